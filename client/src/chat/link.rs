//! Another machine becomes a device of this account: a short code that is read on one screen and typed
//! at the other, and nothing that the relay between them could learn or change. Either may show it. This is
//! the device that is enrolled; the new machine is in `joining`, and in `showing` where it shows the code.

mod joining;

pub use joining::{Joining, Linked, Step};
pub(super) use joining::{Told, hello};

use super::linked::Question;
use super::talk::Talk;
use crate::effect::Effect;
use crate::text;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use subrosa_shared::content::own::NAME_MAX;
use subrosa_shared::id::{AccountName, DeviceId};
use subrosa_shared::protocol::auth::Cert;
use subrosa_shared::protocol::devices::{DEVICES_MAX, Head, Version};
use subrosa_shared::protocol::frame::{Refusal, Slot, ToRelay};
use subrosa_shared::session::pair::{self, Answered, Code, Guest, Host, Keys, Last, Shows};
use subrosa_shared::store::Error;
use subrosa_shared::time::{Millis, Now};

/// How long a code is good for.
pub const LASTS: Duration = Duration::from_secs(10 * 60);

/// How long the machine that shows a code may take to answer.
const ANSWERS: Duration = Duration::from_secs(30);

/// How long the new machine has, on top of that, to make its profile.
const MAKES: Duration = Duration::from_secs(60);

/// After that long a machine whose code was typed here is linked, or never will be.
pub const LINKS: Duration = Duration::from_secs(100);

/// The enrolled device, while it links another one.
pub(super) struct Linking {
    code: Code,
    shows: Shows,
    until: Millis,
    stage: Stage,
}

enum Stage {
    Opening(Host),
    Open(Host),
    Answered(Answered),
    /// The code was typed here: where the other machine waits is being joined.
    Joining {
        ke1: Vec<u8>,
        guest: Guest,
    },
    Met(Guest),
    Proven(Keys),
    /// The new device writes down whose it becomes, and then says that word: nobody is listed whom nobody has.
    Offered {
        offer: Offer,
        name: String,
    },
    /// The list with the new device is on its way to the relay.
    Adding {
        listed: [u8; 16],
        version: Version,
        name: String,
    },
    /// A step is being taken.
    Moving,
}

/// What the welcome is sealed with: that of who shows the code, or of who typed it.
enum Seal {
    Host(Keys),
    Guest(Last),
}

/// What the new device says of itself.
#[derive(Serialize, Deserialize)]
struct Hello {
    cert: Cert,
    name: String,
}

/// What it is told.
#[derive(Serialize, Deserialize)]
pub(super) struct Welcome {
    pub(super) name: AccountName,
    head: Head,
    host: DeviceId,
}

/// Behind the welcome: what it is to write down before it is listed. A version before this one said none,
/// and had listed it by then.
#[derive(Serialize, Deserialize)]
struct Offer {
    words: Words,
    /// The version with the new device. Sealed, because the relay could publish it.
    version: Version,
}

/// What the relay cannot say, because it was sealed.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Words {
    /// Said once it is on the new device's disk.
    kept: [u8; 16],
    /// The answer: the new device is listed.
    listed: [u8; 16],
}

/// A code as the screen shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Three words.
    pub code: String,
    /// Good until then, monotonic.
    pub until: Millis,
}

impl Shown {
    /// What is typed on the new machine.
    pub fn command(&self, relay: &str) -> String {
        format!("subrosa link {} '{relay}'", self.code)
    }
}

impl Talk {
    /// Shows a code for another machine.
    pub fn link_device(&mut self, now: Now) {
        if !self.may_link() {
            return;
        }
        let code = Code::draw(&mut self.rng);
        let host = Host::new(&code, Shows::Enrolled, &self.relay_key, &mut self.rng);
        let slot = code.slot();
        let (shows, until) = (Shows::Enrolled, now.mono.plus(LASTS));
        self.linking = Some(Linking { code, shows, until, stage: Stage::Opening(host) });
        let ask = self.ask(Question::Slot);
        self.effects.push(Effect::Send(ToRelay::OpenSlot { ask, slot }));
    }

    /// Links the machine that shows this code.
    pub fn link_shown(&mut self, code: Code, now: Now) {
        if !self.may_link() {
            return;
        }
        self.chat.unlinked = None;
        let (ke1, guest) = Guest::new(&code, Shows::New, &self.relay_key, &mut self.rng);
        let slot = code.slot();
        let (shows, until) = (Shows::New, now.mono.plus(ANSWERS));
        self.linking = Some(Linking { code, shows, until, stage: Stage::Joining { ke1, guest } });
        let ask = self.ask(Question::Slot);
        self.effects.push(Effect::Send(ToRelay::JoinSlot { ask, slot }));
    }

    /// Whether another device can be linked now; what was begun before is over.
    fn may_link(&mut self) -> bool {
        if self.chat.link != super::Link::Online {
            self.notice("there is no connection to the relay: linking works once it is back".into(), true);
            return false;
        }
        if self.own_list().certs().len() >= DEVICES_MAX {
            let why =
                format!("an account has at most {DEVICES_MAX} devices: /devices remove NAME takes one out");
            self.notice(why, true);
            return false;
        }
        if !self.own_list().is_free() {
            let why =
                "the list of your devices has been changed as often as it can be: none can be added any more";
            self.notice(why.into(), true);
            return false;
        }
        if matches!(self.linking, Some(Linking { stage: Stage::Adding { .. }, .. })) {
            self.notice("a device is being added at this moment: try again when that is done".into(), true);
            return false;
        }
        self.end_linking();
        true
    }

    /// Takes the code back.
    pub fn end_linking(&mut self) {
        self.chat.linking = None;
        if let Some(linking) = self.linking.take() {
            self.effects.push(Effect::Send(ToRelay::CloseSlot(linking.code.slot())));
        }
    }

    pub(super) fn slot_opened(&mut self) {
        let Some(linking) = &mut self.linking else { return };
        let stage = std::mem::replace(&mut linking.stage, Stage::Moving);
        linking.stage = match stage {
            Stage::Opening(host) => Stage::Open(host),
            Stage::Joining { ke1, guest } => {
                linking.stage = Stage::Met(guest);
                let slot = linking.code.slot();
                return self.effects.push(Effect::Send(ToRelay::Pass { slot, bytes: ke1 }));
            }
            stage => stage,
        };
        let (code, until) = (linking.code.words().to_string(), linking.until);
        let shown = Shown { code, until };
        let command = shown.command(&self.chat.relay);
        self.notice(format!("on the new machine: {command}"), false);
        self.chat.linking = Some(shown);
    }

    pub(super) fn slot_refused(&mut self, why: Refusal) {
        let typed = matches!(self.linking.take(), Some(Linking { stage: Stage::Joining { .. }, .. }));
        if typed && why == Refusal::NotAllowed {
            let why = "no machine waits with that code: check the first word, or have it show another (subrosa link --show)";
            return self.not_linked(why.into());
        }
        if typed {
            return self.not_linked(format!("the code was not tried: {why}. Try it again in a moment"));
        }
        self.notice(format!("the relay opened no meeting place: {why}. Try /devices link again"), true);
    }

    /// What the new device says through the relay.
    pub(super) fn passed(&mut self, slot: Slot, bytes: &[u8]) {
        let Some(linking) = self.linking.as_mut().filter(|linking| linking.code.slot() == slot) else {
            return;
        };
        match std::mem::replace(&mut linking.stage, Stage::Moving) {
            Stage::Open(host) => {
                // The one try of this code.
                self.chat.linking = None;
                match host.answer(bytes, &mut self.rng) {
                    Ok((bytes, answered)) => {
                        linking.stage = Stage::Answered(answered);
                        self.effects.push(Effect::Send(ToRelay::Pass { slot, bytes }));
                    }
                    Err(pair::Wrong) => self.link_failed(),
                }
            }
            Stage::Answered(answered) => match answered.finish(bytes) {
                Ok((said, keys)) => self.offer_place(&said, Seal::Host(keys)),
                Err(pair::Wrong) => self.link_failed(),
            },
            Stage::Met(guest) => {
                match guest.finish(bytes, self.chat.name.as_str().as_bytes(), &mut self.rng) {
                    Ok((bytes, keys)) => {
                        linking.stage = Stage::Proven(keys);
                        self.effects.push(Effect::Send(ToRelay::Pass { slot, bytes }));
                    }
                    Err(pair::Wrong) => self.typed_wrong(),
                }
            }
            Stage::Proven(keys) => match keys.host_said(bytes) {
                Ok((said, last)) => self.offer_place(&said, Seal::Guest(last)),
                Err(pair::Wrong) => self.typed_wrong(),
            },
            Stage::Offered { offer, name } if bytes == offer.words.kept => self.list_kept(offer, name),
            Stage::Offered { .. } => self.not_added(),
            stage => linking.stage = stage,
        }
    }

    fn link_failed(&mut self) {
        self.end_linking();
        self.notice(
            "a wrong code was typed on the other machine, or what passed was changed on the way: no device was added. \
             The code is used up; /devices link shows another"
                .into(),
            true,
        );
    }

    /// The machine whose code was typed here is no device of this account.
    fn not_linked(&mut self, why: String) {
        self.chat.unlinked = Some(why.clone());
        self.notice(why, true);
    }

    fn typed_wrong(&mut self) {
        self.end_linking();
        self.not_linked(
            "that is not the code that the other machine shows, or what passed was changed on the way: no device was added. \
             The code is used up; have the machine show another (subrosa link --show)"
                .into(),
        );
    }

    fn not_added(&mut self) {
        match self.linking.as_ref().map(|linking| linking.shows) {
            Some(Shows::New) => self.typed_wrong(),
            _ => self.link_failed(),
        }
    }

    /// It came to nothing, and not by a wrong code.
    fn nobody_added(&mut self, why: &str) {
        let next = match self.linking.as_ref().map(|linking| linking.shows) {
            Some(Shows::New) => "have the machine show another code (subrosa link --show)",
            _ => "/devices link shows another code",
        };
        self.end_linking();
        self.not_linked(format!("no device was added: {why}; {next}"));
    }

    /// The rendezvous ended before the device was added: a wrong code, or it left.
    pub(super) fn slot_closed(&mut self, slot: Slot, now: Now) {
        let Some(linking) = self.linking.as_ref().filter(|linking| linking.code.slot() == slot) else {
            return;
        };
        match linking.stage {
            Stage::Answered(_) => self.link_failed(),
            Stage::Met(_) | Stage::Proven(_) => self.typed_wrong(),
            // It has all that it needs, and finds out by itself whether it is listed.
            Stage::Adding { .. } => {}
            _ => {
                let why = match linking.stage {
                    _ if linking.until <= now.mono => "the code is too old",
                    Stage::Offered { .. } => "the other machine left, or could not make its profile",
                    _ => "the other machine left",
                };
                self.nobody_added(why);
            }
        }
    }

    /// The new device has the code: it is told whose it becomes, and is listed once it has that on its disk.
    fn offer_place(&mut self, said: &[u8], seal: Seal) {
        let hello = postcard::from_bytes::<Hello>(said).ok();
        let hello = hello.filter(|hello| hello.name.len() <= NAME_MAX && hello.cert.verify().is_ok());
        let signed = hello.and_then(|hello| {
            let version = self.sessions.identity().adds(self.own_list(), &hello.cert).ok()?;
            Some((version, hello.name))
        });
        let Some((version, name)) = signed else { return self.not_added() };
        let host = self.device();
        let Some(linking) = &mut self.linking else { return };
        let slot = linking.code.slot();
        let mut words = Words { kept: [0; 16], listed: [0; 16] };
        self.rng.fill_bytes(&mut words.kept);
        self.rng.fill_bytes(&mut words.listed);
        let welcome = Welcome { name: self.chat.name.clone(), head: version.head(), host };
        let offer = Offer { words, version };
        let told = postcard::to_stdvec(&(&welcome, &offer)).expect("a welcome serialises: plain fields only");
        linking.until = linking.until.plus(MAKES);
        linking.stage = Stage::Offered { offer, name };
        let bytes = match seal {
            Seal::Host(keys) => keys.host_says(&told).0,
            Seal::Guest(last) => last.guest_says(&told),
        };
        self.effects.push(Effect::Send(ToRelay::Pass { slot, bytes }));
        // The relay has these and may see them; the head above says what they must be.
        for version in &self.lists.chain {
            let bytes = postcard::to_stdvec(version).expect("a version serialises: plain fields only");
            self.effects.push(Effect::Send(ToRelay::Pass { slot, bytes }));
        }
    }

    /// The new device has all of it on its disk: it is listed, if the offer still follows the own list.
    fn list_kept(&mut self, offer: Offer, name: String) {
        if !self.list_is_free() || self.own_list().next(&offer.version).is_err() {
            return self.nobody_added("your list of devices changed meanwhile");
        }
        let Some(linking) = &mut self.linking else { return };
        let Offer { words, version } = offer;
        linking.stage = Stage::Adding { listed: words.listed, version: version.clone(), name };
        self.publish_version(version);
    }

    /// Whether no change of the own list waits for the relay's answer: two would have one number, and the
    /// answer to one would be taken for that to the other.
    pub(super) fn list_is_free(&self) -> bool {
        self.publishing.is_empty() && self.lists.handed.is_none()
    }

    /// Hands a change of the own list to the relay.
    fn publish_version(&mut self, version: Version) {
        let ask = self.ask(Question::PublishDevices);
        self.publishing = vec![version.clone()];
        self.effects.push(Effect::Send(ToRelay::PublishDevices { ask, versions: vec![version] }));
    }

    /// Removes another own device: nothing goes to it or comes from it from then on.
    ///
    /// # Errors
    /// A sentence.
    pub fn remove_device(&mut self, device: DeviceId) -> Result<(), String> {
        if device == self.device() {
            return Err("that is this device: remove it from another one".into());
        }
        if self.chat.link != super::Link::Online {
            return Err("there is no connection to the relay: a device can be removed once it is back".into());
        }
        if !self.list_is_free() {
            return Err(
                "another change of your devices is on its way to the relay: try again in a moment".into()
            );
        }
        let version = self.sessions.identity().removes(self.own_list(), &device);
        self.publish_version(version.map_err(|why| format!("the device cannot be removed: {why}"))?);
        Ok(())
    }

    /// The relay has the new list: from now on it holds here too.
    pub(super) fn list_published(&mut self, now: Now) -> Result<(), Error> {
        let versions = std::mem::take(&mut self.publishing);
        if versions.is_empty() {
            if let Some(from) = self.lists.handed.take() {
                self.publish_own(from);
            }
            if self.lists.handed.is_none() {
                self.name_recovery();
            }
            return Ok(());
        }
        self.extend_own(versions, now)?;
        self.name_recovery();
        self.device_added(now);
        self.announce(now);
        Ok(())
    }

    /// The relay did not take the list.
    pub(super) fn list_refused(&mut self, why: Refusal, now: Now) {
        let own = !std::mem::take(&mut self.publishing).is_empty();
        if own {
            let what = format!("the list of devices was not changed: {why}");
            match self.linking {
                Some(Linking { stage: Stage::Adding { .. }, .. }) => self.nobody_added(&what),
                _ => self.notice(format!("{what}. Try again in a moment"), true),
            }
        }
        let handed = self.lists.handed.take().is_some();
        if why == Refusal::Outdated {
            self.look_at_own();
        } else if handed {
            self.own_refused(why, now);
        }
    }

    /// The new device is listed, and need not wait any longer.
    fn device_added(&mut self, now: Now) {
        let Some(linking) = &self.linking else { return };
        let Stage::Adding { listed, version, name } = &linking.stage else { return };
        let (slot, bytes, name) = (linking.code.slot(), listed.to_vec(), name.clone());
        let added = version.certs.last().and_then(|cert| cert.verify().ok());
        let Some(added) = added.filter(|peer| self.own_list().has(peer)) else {
            return self.nobody_added("the relay said that it took the list, but the list is another one");
        };
        self.linking = None;
        self.effects.push(Effect::Send(ToRelay::Pass { slot, bytes }));
        if !name.is_empty() {
            let _ = self.name_device(added.device(), &name, now);
        }
        let called = match text::line(&name).trim() {
            "" => String::new(),
            name => format!(" and called '{name}'"),
        };
        self.notice(
            format!("the device is linked{called}: contacts, settings and the history go to it now"),
            false,
        );
    }

    /// When a code is too old. What is on its way to the relay is answered, or the connection ends.
    pub(super) fn linking_due(&self) -> Option<Millis> {
        let linking = self.linking.as_ref().filter(|it| !matches!(it.stage, Stage::Adding { .. }))?;
        Some(linking.until)
    }

    /// Time has passed for a code.
    pub(super) fn linking_wake(&mut self, now: Now) {
        if self.linking_due().is_some_and(|until| until <= now.mono) {
            match self.linking.as_ref().map(|linking| &linking.stage) {
                Some(Stage::Opening(_) | Stage::Open(_) | Stage::Answered(_)) => {
                    self.end_linking();
                    let why = "nobody typed the code: it is void. /devices link shows another";
                    self.notice(why.into(), false);
                }
                _ => self.nobody_added("the other machine did not answer in time"),
            }
        }
    }

    /// The connection is gone, and the rendezvous with it.
    pub(super) fn link_lost(&mut self) {
        self.publishing.clear();
        self.chat.linking = None;
        let Some(Linking { stage, shows, .. }) = self.linking.take() else { return };
        let why = match (stage, shows) {
            (Stage::Adding { .. }, _) => {
                "the connection broke while the device was added: once it is back, /devices shows whether it was"
            }
            (_, Shows::New) => {
                "the connection broke: the code may be used up; have the machine show another (subrosa link --show)"
            }
            (_, Shows::Enrolled) => "the connection broke: the code is void. /devices link shows another",
        };
        self.not_linked(why.into());
    }
}
