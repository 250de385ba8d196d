//! Another machine becomes a device of this account: a short code that is read on one screen and typed
//! at the other, and nothing that the relay between them could learn or change. Either may show it;
//! a new machine that does is in `showing`.

use super::devices::CHAIN;
use super::history::Fetch;
use super::linked::Question;
use super::talk::{ACCOUNT, Talk};
use crate::effect::Effect;
use crate::text;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use subrosa_shared::content::own::NAME_MAX;
use subrosa_shared::id::{AccountName, DeviceId};
use subrosa_shared::protocol::auth::Cert;
use subrosa_shared::protocol::devices::{DEVICES_MAX, DeviceList, Head, VERSIONS_MAX, Version};
use subrosa_shared::protocol::frame::{Ask, PASS_MAX, Refusal, Slot, ToDevice, ToRelay};
use subrosa_shared::session::Identity;
use subrosa_shared::session::pair::{self, Answered, Code, Guest, Host, Keys, Last, Shows};
use subrosa_shared::store::{Batch, Error};
use subrosa_shared::time::{Millis, Now};

/// How long a code is good for.
pub const LASTS: Duration = Duration::from_secs(10 * 60);

/// How long the machine that shows a code may take to answer.
const ANSWERS: Duration = Duration::from_secs(30);

/// The enrolled device, while it links another one.
pub(super) struct Linking {
    code: Code,
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
    /// The list with the new device is on its way to the relay.
    Adding {
        seal: Seal,
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
        self.linking = Some(Linking { code, until: now.mono.plus(LASTS), stage: Stage::Opening(host) });
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
        self.linking =
            Some(Linking { code, until: now.mono.plus(ANSWERS), stage: Stage::Joining { ke1, guest } });
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
                Ok((said, keys)) => self.add_device(&said, Seal::Host(keys)),
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
                Ok((said, last)) => self.add_device(&said, Seal::Guest(last)),
                Err(pair::Wrong) => self.typed_wrong(),
            },
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

    /// The rendezvous ended before the device was added: a wrong code, or it left.
    pub(super) fn slot_closed(&mut self, slot: Slot, now: Now) {
        let Some(linking) = self.linking.as_ref().filter(|linking| linking.code.slot() == slot) else {
            return;
        };
        match linking.stage {
            Stage::Answered(_) => self.link_failed(),
            Stage::Met(_) | Stage::Proven(_) => self.typed_wrong(),
            // It was added; it will find the list at the relay if it got the answer.
            Stage::Adding { .. } => {}
            _ => {
                let late = linking.until <= now.mono;
                self.end_linking();
                let why = if late { "the code is too old" } else { "the other machine left" };
                self.not_linked(format!("no device was added: {why}. /devices link shows another code"));
            }
        }
    }

    /// The new device has the code: it is signed into the list.
    fn add_device(&mut self, said: &[u8], seal: Seal) {
        let hello = postcard::from_bytes::<Hello>(said).ok();
        let hello = hello.filter(|hello| hello.name.len() <= NAME_MAX && hello.cert.verify().is_ok());
        let signed = hello.and_then(|hello| {
            let version = self.sessions.identity().adds(self.own_list(), &hello.cert).ok()?;
            Some((version, hello.name))
        });
        let Some((version, name)) = signed else {
            return match seal {
                Seal::Host(_) => self.link_failed(),
                Seal::Guest(_) => self.typed_wrong(),
            };
        };
        if let Some(linking) = &mut self.linking {
            linking.stage = Stage::Adding { seal, version: version.clone(), name };
        }
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
        let version = self.sessions.identity().removes(self.own_list(), &device);
        let version = version.map_err(|why| format!("the device cannot be removed: {why}"))?;
        let ask = self.ask(Question::PublishDevices);
        self.publishing = vec![version.clone()];
        self.effects.push(Effect::Send(ToRelay::PublishDevices { ask, versions: vec![version] }));
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
        self.welcome_device(now);
        self.announce(now);
        Ok(())
    }

    /// The relay did not take the list.
    pub(super) fn list_refused(&mut self, why: Refusal) {
        let own = !std::mem::take(&mut self.publishing).is_empty();
        if own {
            self.end_linking();
            self.notice(format!("the list of devices was not changed: {why}. Try again in a moment"), true);
        }
        self.lists.handed = None;
        if why == Refusal::Outdated {
            self.lists.look_anew();
            let name = self.chat.name.clone();
            self.ask_newer(&name);
        }
    }

    /// Tells the new device whose it is now.
    fn welcome_device(&mut self, now: Now) {
        let Some(Linking { code, until, stage }) = self.linking.take() else { return };
        let Stage::Adding { seal, version, name } = stage else {
            self.linking = Some(Linking { code, until, stage });
            return;
        };
        let slot = code.slot();
        let welcome =
            Welcome { name: self.chat.name.clone(), head: self.own_list().head(), host: self.device() };
        let welcome = postcard::to_stdvec(&welcome).expect("a welcome serialises: plain fields only");
        let bytes = match seal {
            Seal::Host(keys) => keys.host_says(&welcome).0,
            Seal::Guest(last) => last.guest_says(&welcome),
        };
        self.effects.push(Effect::Send(ToRelay::Pass { slot, bytes }));
        // The relay has these and may see them; the head above says what they must be.
        for version in &self.lists.chain {
            let bytes = postcard::to_stdvec(version).expect("a version serialises: plain fields only");
            self.effects.push(Effect::Send(ToRelay::Pass { slot, bytes }));
        }
        let added = version.certs.last().and_then(|cert| cert.verify().ok());
        if let Some(device) = added.map(|peer| peer.device()).filter(|_| !name.is_empty()) {
            let _ = self.name_device(device, &name, now);
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

    /// When a code is too old.
    pub(super) fn linking_due(&self) -> Option<Millis> {
        self.linking.as_ref().map(|linking| linking.until)
    }

    /// Time has passed for a code.
    pub(super) fn linking_wake(&mut self, now: Now) {
        if self.linking_due().is_some_and(|until| until <= now.mono) {
            let shown = self.linking.as_ref().is_some_and(|linking| {
                matches!(linking.stage, Stage::Opening(_) | Stage::Open(_) | Stage::Answered(_))
            });
            self.end_linking();
            let why = match shown {
                true => "nobody typed the code: it is void. /devices link shows another",
                false => {
                    "the other machine did not answer in time: have it show another code (subrosa link --show)"
                }
            };
            self.notice(why.into(), false);
        }
    }

    /// The connection is gone, and the rendezvous with it.
    pub(super) fn link_lost(&mut self) {
        self.publishing.clear();
        self.chat.linking = None;
        if let Some(Linking { stage, .. }) = self.linking.take() {
            if matches!(stage, Stage::Joining { .. } | Stage::Met(_) | Stage::Proven(_)) {
                let why = "the connection broke: the code may be used up; have the machine show another (subrosa link --show)";
                return self.notice(why.into(), true);
            }
            self.notice("the connection broke: the code is void. /devices link shows another".into(), true);
        }
    }
}

/// The new machine, as long as it has no account yet.
pub struct Joining {
    code: Code,
    hello: Vec<u8>,
    own: Cert,
    stage: Join,
    /// Bytes that passed, both ways.
    pub bytes: usize,
}

enum Join {
    Asking { ke1: Vec<u8>, guest: Guest },
    Met(Guest),
    Proven(Keys),
    Told(Told),
    Over,
}

/// A welcome, and the list that comes after it.
pub(super) struct Told {
    welcome: Welcome,
    chain: Vec<Version>,
}

/// What to do next.
pub enum Step {
    /// Send these and wait.
    Send(Vec<ToRelay>),
    /// This machine is a device of that account now.
    Linked(Linked),
    /// It did not work: a sentence with the next step.
    Failed(String),
}

/// Whose device this is now.
pub struct Linked {
    /// The account.
    pub name: AccountName,
    /// Its list of devices, from the first version.
    pub chain: Vec<Version>,
    /// The device that linked it: the history comes from it.
    pub host: DeviceId,
}

impl Joining {
    /// With the code that the other device shows; gives the first frame, in place of a login.
    pub fn new(
        code: Code,
        relay: &[u8; 32],
        identity: &Identity,
        called: &str,
        rng: &mut dyn rand_core::CryptoRngCore,
    ) -> (Self, ToRelay) {
        let (ke1, guest) = Guest::new(&code, Shows::Enrolled, relay, rng);
        let (own, hello) = hello(identity, called);
        let slot = code.slot();
        let joining = Self { code, hello, own, stage: Join::Asking { ke1, guest }, bytes: 0 };
        (joining, ToRelay::JoinSlot { ask: Ask(1), slot })
    }

    /// One frame from the relay.
    pub fn frame(&mut self, frame: ToDevice, rng: &mut dyn rand_core::CryptoRngCore) -> Step {
        let slot = self.code.slot();
        match (std::mem::replace(&mut self.stage, Join::Over), frame) {
            (Join::Asking { ke1, guest }, ToDevice::Done(Ask(1))) => {
                self.stage = Join::Met(guest);
                self.pass(slot, ke1)
            }
            (_, ToDevice::Refused { why: Refusal::RateLimited { retry_ms }, .. }) => Step::Failed(format!(
                "too many codes were tried from here: wait {} seconds, and have another code shown",
                retry_ms.div_ceil(1000)
            )),
            (Join::Asking { .. }, ToDevice::Refused { .. }) => Step::Failed(
                "no device waits with that code: check the first word, or have another code shown (/devices link)".into(),
            ),
            (Join::Met(guest), ToDevice::Passed { slot: at, bytes }) if at == slot => {
                self.bytes += bytes.len();
                match guest.finish(&bytes, &self.hello, rng) {
                    Ok((message, keys)) => {
                        self.stage = Join::Proven(keys);
                        self.pass(slot, message)
                    }
                    Err(pair::Wrong) => Step::Failed(WRONG.into()),
                }
            }
            (Join::Proven(keys), ToDevice::Passed { slot: at, bytes }) if at == slot => {
                self.bytes += bytes.len();
                match keys.host_said(&bytes).ok().and_then(|(welcome, _)| Told::read(&welcome)) {
                    Some(told) => {
                        self.stage = Join::Told(told);
                        Step::Send(Vec::new())
                    }
                    None => Step::Failed(WRONG.into()),
                }
            }
            (Join::Told(mut told), ToDevice::Passed { slot: at, bytes }) if at == slot => {
                self.bytes += bytes.len();
                match told.version(&bytes, &self.own) {
                    Ok(Some(linked)) => Step::Linked(linked),
                    Ok(None) => {
                        self.stage = Join::Told(told);
                        Step::Send(Vec::new())
                    }
                    Err(pair::Wrong) => Step::Failed(WRONG.into()),
                }
            }
            (_, ToDevice::Refused { ask: None, .. } | ToDevice::SlotClosed(_)) => Step::Failed(
                "the other device took the code back, or it was wrong: have another one shown (/devices link)".into(),
            ),
            (stage, _) => {
                self.stage = stage;
                Step::Send(Vec::new())
            }
        }
    }

    fn pass(&mut self, slot: Slot, bytes: Vec<u8>) -> Step {
        debug_assert!(bytes.len() <= PASS_MAX);
        self.bytes += bytes.len();
        Step::Send(vec![ToRelay::Pass { slot, bytes }])
    }
}

/// What a new device says of itself, and the certificate in it.
pub(super) fn hello(identity: &Identity, called: &str) -> (Cert, Vec<u8>) {
    let own = identity.cert();
    let hello = Hello { cert: own.clone(), name: called.chars().take(32).collect() };
    (own, postcard::to_stdvec(&hello).expect("a hello serialises: plain fields only"))
}

impl Told {
    /// A welcome, which was sealed.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let welcome = postcard::from_bytes::<Welcome>(bytes).ok()?;
        (welcome.head.number < VERSIONS_MAX).then(|| Self { welcome, chain: Vec::new() })
    }

    /// Whose device this is to be.
    pub(super) fn name(&self) -> &AccountName {
        &self.welcome.name
    }

    /// One more version of the list; whose device this is, once that was the last.
    ///
    /// # Errors
    /// It is not the list that the welcome means.
    pub(super) fn version(&mut self, bytes: &[u8], own: &Cert) -> Result<Option<Linked>, pair::Wrong> {
        let version = postcard::from_bytes::<Version>(bytes).map_err(|_| pair::Wrong)?;
        let last = version.number >= self.welcome.head.number;
        self.chain.push(version);
        if !last {
            return if self.chain.len() > VERSIONS_MAX as usize { Err(pair::Wrong) } else { Ok(None) };
        }
        let Welcome { name, head, host } = &self.welcome;
        match DeviceList::verify(name, &self.chain) {
            Ok(list) if list.head() == *head && list.certs().contains(own) && list.get(host).is_some() => {
                let chain = std::mem::take(&mut self.chain);
                Ok(Some(Linked { name: name.clone(), chain, host: *host }))
            }
            _ => Err(pair::Wrong),
        }
    }
}

impl Linked {
    /// What a fresh profile of this device begins with.
    pub fn write(&self, relay: &str, identity: &Identity, batch: &mut Batch) {
        batch.put(ACCOUNT, *b"name", self.name.as_str().as_bytes().to_vec());
        batch.put(ACCOUNT, *b"relay", relay.as_bytes().to_vec());
        batch.put(ACCOUNT, *b"hosting", vec![0]);
        batch.put(ACCOUNT, *b"identity", identity.seed().to_vec());
        for version in &self.chain {
            let value = postcard::to_stdvec(version).expect("a version serialises: plain fields only");
            batch.put(CHAIN, version.number.to_be_bytes(), value);
        }
        Fetch::all(self.host).save(batch);
    }
}

const WRONG: &str = "that is not the code that the other device shows, or what passed was changed on the way: nothing was \
                     linked. The code is used up; have another one shown (/devices link)";
