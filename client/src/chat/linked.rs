//! The relay's side of the conversation: what it says, and what is asked of it.

use super::Link;
use super::groups::Key;
use super::talk::{ACCOUNT, Again, IMPORTED, REGISTERED, RETRY, Talk};
use crate::effect::{Effect, Happened};
use std::time::Duration;
use subrosa_shared::id::{AccountName, DeviceId, DoorId, RoomId, TrackId};
use subrosa_shared::protocol::auth::{Login, Peer};
use subrosa_shared::protocol::door::KnockId;
use subrosa_shared::protocol::frame::{Ask, BUNDLES_MAX, ROSTER_MAX, Refusal, ToDevice, ToRelay, Welcome};
use subrosa_shared::protocol::password::Epoch;
use subrosa_shared::session::{Opened, door};
use subrosa_shared::store::Error;
use subrosa_shared::time::{Millis, Now};

/// What was asked of the relay.
pub(super) enum Question {
    Publish,
    Drop,
    Devices(AccountName),
    PublishDevices,
    Slot,
    /// How long was waited before, when it is asked again.
    Bundle(DeviceId, Duration),
    Track,
    Watch(TrackId),
    RegisterPassword,
    SetPassword,
    StoreState(Epoch),
    Sessions,
    EndSession,
    WatchDoor(RoomId, DoorId, Key),
    CloseDoor(RoomId, DoorId, Key),
    Knock(DoorId),
    Prove(DoorId),
    Guess(KnockId),
    Answer,
}

/// How soon a relay is asked again that does not know this device any more.
const KNOCK_AGAIN: Duration = Duration::from_secs(60);

/// How soon keys are claimed again that a device has not left yet; twice as long each time, up to [`RETRY`].
const KEYS_AGAIN: Duration = Duration::from_secs(1);

/// A clock this far from the relay's is worth a word: sessions and dates depend on it. Two that are off by
/// less, one ahead and one behind, make no invitation stale.
const CLOCK_OFF: u64 = 4 * 60 * 1000;

impl Talk {
    /// The login of this device on a connection with that relay key and exporter value.
    pub fn login(&self, relay: &[u8; 32], exporter: &[u8; 32]) -> Login {
        // Asking to register each time costs nothing: a name that is taken stays its owner's.
        self.sessions.identity().login(self.chat.name.clone(), true, relay, exporter)
    }

    /// Whether the clock shows what the relay's must show now. After the machine has slept that is unknown until the
    /// next login.
    pub(super) fn believes(&self, now: Now) -> bool {
        let shows = |then: Now| then.wall.plus(now.mono.since(then.mono));
        self.relay_clock.is_some_and(|then| shows(then).0.abs_diff(now.wall.0) <= CLOCK_OFF)
    }

    /// TLS is up.
    pub fn connected(&mut self, login: ToRelay) {
        self.chat.link = Link::LoggingIn;
        self.draining = false;
        self.asks.clear();
        self.effects.push(Effect::Send(login));
    }

    /// The connection is gone.
    pub fn lost(&mut self, link: Link, now: Now) {
        let link = match (std::mem::take(&mut self.draining), link) {
            // The end of the connection says less than the relay did before.
            (true, Link::Offline { .. }) => self.chat.link.clone(),
            (_, link) => link,
        };
        let why = match &link {
            Link::Offline { why } | Link::Refused { why } => why.clone(),
            _ => String::new(),
        };
        let was = std::mem::replace(&mut self.chat.link, link);
        if was == Link::Online || matches!(self.chat.link, Link::Refused { .. }) {
            self.tell(Happened::Link { online: false, why });
        }
        self.asks.clear();
        self.outbox.grounded();
        self.lists.grounded();
        self.link_lost();
        self.online.clear();
        for room in &mut self.chat.rooms {
            (room.online, room.typing) = (false, None);
        }
        self.call_unlinked(now);
        self.files_unlinked();
        self.doors_unlinked(now);
        self.backup_unlinked();
    }

    /// One frame from the relay.
    ///
    /// # Errors
    /// Those of the store.
    pub fn frame(&mut self, frame: ToDevice, now: Now) -> Result<(), Error> {
        match frame {
            ToDevice::Welcome(welcome) => self.welcome(welcome, now)?,
            ToDevice::Refused { ask: Some(ask), why } => self.refused(ask, why, now)?,
            ToDevice::Refused { ask: None, why } => self.turned_away(why, now),
            ToDevice::Done(ask) => match self.asks.remove(&ask) {
                Some(Question::PublishDevices) => self.list_published(now)?,
                Some(Question::Slot) => self.slot_opened(),
                Some(Question::SetPassword) => self.password_set(now),
                Some(Question::StoreState(epoch)) => self.state_stored(epoch, now),
                Some(Question::EndSession) => self.ask_sessions(),
                Some(Question::Drop) => self.batch.delete(ACCOUNT, IMPORTED),
                Some(Question::CloseDoor(room, door, _)) => self.door_is_gone(room, &door),
                _ => {}
            },
            ToDevice::PasswordAnswer { ask, answer } => {
                if matches!(self.asks.remove(&ask), Some(Question::RegisterPassword)) {
                    self.password_answer(answer);
                }
            }
            ToDevice::Sessions { ask, sessions } => {
                if matches!(self.asks.remove(&ask), Some(Question::Sessions)) {
                    self.chat.sessions = sessions;
                    self.chat.listings += 1;
                }
            }
            // A device logs in by its signature: a password's messages are not for it.
            ToDevice::PasswordChallenge(_) | ToDevice::PasswordWelcome(_) => {}
            ToDevice::Devices { ask, name, versions, certs } => {
                if matches!(self.asks.remove(&ask), Some(Question::Devices(asked)) if asked == name) {
                    self.devices(&name, &versions, &certs, now)?;
                }
            }
            // Nobody here asks for that.
            ToDevice::Account { ask, .. } => drop(self.asks.remove(&ask)),
            ToDevice::Passed { slot, bytes } => self.passed(slot, &bytes),
            ToDevice::SlotClosed(slot) => self.slot_closed(slot, now),
            ToDevice::Prekey { ask, device, bundle } => {
                if matches!(self.asks.remove(&ask), Some(Question::Bundle(asked, _)) if asked == device) {
                    self.bundle(device, &bundle, now);
                    self.advance_all(now)?;
                }
            }
            ToDevice::Accepted(id) => {
                if let Some(entry) = self.outbox.accepted(&id, &mut self.batch) {
                    self.accepted(&entry, now)?;
                }
                self.pump(now);
            }
            ToDevice::Rejected { id, why, who } => self.rejected(id, why, &who, now)?,
            ToDevice::Knocked(knocked) => self.knocked(knocked, now),
            ToDevice::Proved { knock, bytes } => self.proved(knock, &bytes, now),
            ToDevice::KnockHeard { door, heard } => self.knock_heard(door, heard, now),
            ToDevice::Answered { door, bytes, .. } => self.knock_answered(door, &bytes, now),
            ToDevice::DoorClosed(door) => self.turned_away_at(door, door::Why::NoDoor),
            ToDevice::Deliver(delivery) => self.deliver(delivery, now)?,
            ToDevice::Presence { device, online } => self.presence(device, online, now),
            ToDevice::PrekeysLeft(left) if !self.publishes() => self.publish(left, true, now),
            // It does not count those on their way.
            ToDevice::PrekeysLeft(_) => {}
            ToDevice::Published { ask, track } => {
                if matches!(self.asks.remove(&ask), Some(Question::Track)) {
                    self.published(ask, track, now);
                }
            }
            ToDevice::Watching { ask, .. } => drop(self.asks.remove(&ask)),
            ToDevice::TrackEnded(track) => self.track_ended(track, now),
            ToDevice::KeyframeWanted(track) => self.keyframe_wanted(track),
            ToDevice::Draining { .. } => {
                let why = String::from("the relay is restarting");
                self.lost(Link::Offline { why }, now);
                self.draining = true;
            }
        }
        Ok(())
    }

    fn welcome(&mut self, welcome: Welcome, now: Now) -> Result<(), Error> {
        self.chat.link = Link::Online;
        (self.knock_due, self.refused) = (None, None);
        if !self.registered {
            self.registered = true;
            self.batch.put(ACCOUNT, REGISTERED, vec![1]);
            if self.has_password() && !self.siblings().is_empty() {
                // Signed in by password a moment ago: nobody has said so yet.
                self.signed_in(now);
            }
        }
        self.tell(Happened::Link { online: true, why: String::new() });
        if !welcome.motd.is_empty() && self.motd != welcome.motd {
            self.notice(welcome.motd.clone(), false);
            self.motd = welcome.motd;
        }
        self.relay_clock = Some(Now { wall: Millis(welcome.clock), mono: now.mono });
        // Last, so that it is what stays on the screen.
        if welcome.clock.abs_diff(now.wall.0) > CLOCK_OFF {
            let minutes = welcome.clock.abs_diff(now.wall.0) / 60_000;
            self.notice(
                format!("your clock and the relay's differ by {minutes} minutes: check yours, dates and keys depend on it"),
                true,
            );
        }
        if self.store.records.get(ACCOUNT, IMPORTED)?.is_some() {
            // What the old machine left there, or this one after the copy was made, nobody can open.
            let ask = self.ask(Question::Drop);
            self.effects.push(Effect::Send(ToRelay::DropPrekeys { ask }));
            self.publish(0, false, now);
        } else {
            let fresh = welcome.last_resort_fresh && !self.sessions.wore_out();
            self.publish(welcome.prekeys_left, fresh, now);
        }
        self.roster();
        let own = self.chat.name.clone();
        self.ask_newer(&own);
        self.in_era(welcome.era, now)?;
        self.is_here(now)?;
        for device in self.queues.keys().copied().collect::<Vec<_>>() {
            self.flush_device(device, now);
        }
        self.pump(now);
        for room in self.chat.rooms.iter().map(|room| room.id).collect::<Vec<_>>() {
            self.look_up_unknown(room);
            self.ask_again(room, now);
            self.flush_room(room, now);
        }
        self.share_profile(now);
        self.groups_linked(now)?;
        self.doors_linked(now);
        self.history_linked(now);
        self.call_linked(now);
        self.files_linked(now);
        self.announce_on(now);
        self.backup_linked(now);
        Ok(())
    }

    /// Tops up the prekeys at the relay.
    pub(super) fn publish(&mut self, left: u32, last_resort_fresh: bool, now: Now) {
        let (mut left, mut fresh) = (left, last_resort_fresh);
        loop {
            let bundles = self.sessions.prekeys(left, fresh, &mut self.rng, now, &mut self.batch);
            if bundles.is_empty() {
                return;
            }
            // The relay says what is left: any number.
            (left, fresh) = (left.saturating_add(bundles.len() as u32), true);
            for chunk in bundles.chunks(BUNDLES_MAX) {
                let bundles = chunk.iter().map(|bundle| bundle.encode()).collect();
                let ask = self.ask(Question::Publish);
                self.effects.push(Effect::Send(ToRelay::Publish { ask, bundles }));
            }
        }
    }

    /// After something was opened: too many sessions may have begun with the last-resort prekey.
    pub(super) fn renew_last_resort(&mut self, opened: &Opened, now: Now) {
        if opened.n == 0 && self.chat.link == Link::Online && self.sessions.lacks_last_resort() {
            self.publish(u32::MAX, true, now);
        }
    }

    /// Whether the relay has yet to say that it took prekeys.
    pub(crate) fn publishes(&self) -> bool {
        self.asks.values().any(|question| matches!(question, Question::Publish))
    }

    /// Tells the relay whose presence counts.
    pub(super) fn roster(&mut self) {
        if self.chat.link == Link::Online {
            // Own devices see each other whatever others may see.
            let devices = match self.config.privacy.presence {
                true => self.contacts().take(ROSTER_MAX).collect(),
                false => self.siblings().iter().map(Peer::device).collect(),
            };
            self.effects.push(Effect::Send(ToRelay::Roster(devices)));
        }
    }

    fn presence(&mut self, device: DeviceId, online: bool, now: Now) {
        match online {
            true => self.online.insert(device),
            false => self.online.remove(&device),
        };
        if self.is_sibling(&device) {
            return self.sibling_seen(device, now);
        }
        let Some(room) = self.room_of(&device) else { return };
        let online = self.devices_of(room).iter().any(|peer| self.online.contains(&peer.device()));
        let Some(room) = self.chat.room_mut(room) else { return };
        if room.online != online {
            room.online = online;
            if !online {
                room.typing = None;
            }
            if let Some(with) = room.with().cloned() {
                self.tell(Happened::Presence { with, online });
            }
        }
    }

    /// A question was refused.
    fn refused(&mut self, ask: Ask, why: Refusal, now: Now) -> Result<(), Error> {
        match self.asks.remove(&ask) {
            Some(Question::Devices(name)) => self.no_devices(&name, why, now)?,
            Some(Question::PublishDevices) => self.list_refused(why, now),
            Some(Question::Slot) => self.slot_refused(why),
            Some(Question::Bundle(device, waited)) => {
                let wait = match why {
                    Refusal::RateLimited { retry_ms } => Duration::from_millis(retry_ms.into()),
                    // Whoever came a moment ago leaves them in the next.
                    Refusal::NoPrekeys => waited.saturating_mul(2).clamp(KEYS_AGAIN, RETRY),
                    _ => RETRY,
                };
                self.claim_after.insert(device, Again::after(wait, now));
                let room = self.room_of(&device).and_then(|room| self.chat.room(room));
                let text = match why {
                    Refusal::NoPrekeys => "has left no keys at the relay yet; it is tried again",
                    Refusal::UnknownDevice if room.is_some_and(|room| room.last_refused().is_some()) => {
                        "is not known to this relay any more under the key that you kept; it is tried again. Should the \
                         other one be theirs after all, /trust accepts it"
                    }
                    Refusal::UnknownDevice => "is not known to this relay any more; it is tried again",
                    _ => "cannot be reached through the relay now; it is tried again",
                };
                let name = match room {
                    Some(room) => room.name().to_string(),
                    None if self.is_sibling(&device) => "your other device".into(),
                    // Somebody who shares a room.
                    None => self
                        .lists
                        .with_device(&device)
                        .next()
                        .map_or("somebody".into(), |list| list.name().to_string()),
                };
                // Said once while it is asked often.
                if waited.is_zero() || wait >= RETRY {
                    self.notice(format!("{name} {text}"), true);
                }
                if why == Refusal::UnknownDevice
                    && let Some(name) = self.lister(&device)
                {
                    // Removed, most likely: their list says so.
                    self.ask_newer(&name);
                }
                self.advance_all(now)?;
            }
            Some(Question::Track) => self.track_refused(ask, why, now),
            Some(Question::Watch(track)) => self.track_ended(track, now),
            // It is tried again at the next login.
            Some(Question::Drop) => {}
            Some(Question::Publish) => {
                self.notice(
                    format!("the relay did not take fresh keys: {why}; it is tried at the next login"),
                    true,
                );
            }
            Some(Question::RegisterPassword | Question::SetPassword) => self.password_refused(why),
            Some(Question::StoreState(epoch)) => self.state_refused(epoch, why, now),
            Some(Question::WatchDoor(room, door, key)) if why == Refusal::NotAllowed => {
                self.watch_door(room, door, key.then());
            }
            Some(Question::WatchDoor(room, ..)) if why == Refusal::StorageFull => self.doors_again(room, now),
            Some(Question::WatchDoor(..)) => {}
            Some(Question::CloseDoor(room, door, key)) if why == Refusal::NotAllowed => {
                self.close_door(room, door, key.then());
            }
            Some(Question::CloseDoor(room, ..)) => self.doors_again(room, now),
            // Who knocked is gone.
            Some(Question::Answer) => {}
            Some(Question::Guess(knock)) => self.guess_refused(knock, why, now),
            Some(Question::Prove(door)) => self.proof_refused(door, now),
            Some(Question::Knock(door)) => match why {
                Refusal::NotAllowed => self.turned_away_at(door, door::Why::NoDoor),
                Refusal::RateLimited { retry_ms } => self.knock_held(door, retry_ms, now),
                why => {
                    self.notice(format!("the relay did not take the knock: {why}; /join tries again"), true)
                }
            },
            Some(question @ (Question::Sessions | Question::EndSession)) => {
                self.chat.listings_refused += u32::from(matches!(question, Question::Sessions));
                self.notice(format!("the relay did not do that: {why}; /sessions lists anew"), true);
            }
            None => {}
        }
        Ok(())
    }

    /// The relay refused the connection itself.
    fn turned_away(&mut self, why: Refusal, now: Now) {
        let joined = self.own_list().root() != self.sessions.identity().peer();
        let name = &self.chat.name;
        let text = match why {
            Refusal::NameTaken if !self.registered && joined => format!(
                "this device is not in the list of devices of '{name}': it was cut off before it came there. It is tried again \
                 each minute; if /devices on another device of yours does not show it either, destroy this profile with \
                 /burn, and link or sign in anew"
            ),
            Refusal::NameTaken if !self.registered => {
                format!("the name '{name}' belongs to somebody else at this relay: choose another with /name NEW")
            }
            Refusal::RegistrationClosed | Refusal::InviteNeeded if self.registered => format!(
                "this relay does not know your account '{name}' any more, and takes no new accounts: it went back to a time \
                 before you came. Ask its owner to open registration for a moment, or to allow more accounts; it is tried \
                 again each minute, and what is stored here stays"
            ),
            Refusal::NameTaken => format!(
                "this relay does not know this device of '{name}' any more: it went back to a time before the device was \
                 linked, or the name is somebody else's by now. Start another device of yours, if there is one; it is tried \
                 again each minute, and what is stored here stays"
            ),
            Refusal::RegistrationClosed => {
                "this relay takes no new accounts: ask its owner, or start with another relay (subrosa --profile NEW)".into()
            }
            Refusal::InviteNeeded => {
                "this relay takes new accounts by invitation only, and this link has none that holds: ask its owner for a new link, and begin with it (subrosa --profile NEW)".into()
            }
            Refusal::BadSignature => "the relay did not accept this device's key: its store may have been reset".into(),
            Refusal::Version { spoken } => {
                format!("the relay speaks version {spoken} of the protocol: update subrosa, or ask its owner to")
            }
            Refusal::Ended => "this connection was ended from another of your devices: /reconnect brings it back".into(),
            Refusal::Replaced => "this account was opened elsewhere: /reconnect brings it back here".into(),
            Refusal::Revoked => format!(
                "this device was removed from the account '{name}': nothing more comes here. What is stored stays yours; \
                 to write again, link it anew as another profile (subrosa --profile NEW)"
            ),
            other => {
                let why = format!("the relay closed the connection: {other}");
                self.lost(Link::Offline { why }, now);
                return;
            }
        };
        if (self.registered || joined)
            && matches!(
                why,
                Refusal::NameTaken
                    | Refusal::RegistrationClosed
                    | Refusal::InviteNeeded
                    // A login that waited for a full disk may have gone out on a later connection.
                    | Refusal::BadSignature
            )
        {
            self.knock_due = Some(now.mono.plus(KNOCK_AGAIN));
        }
        if self.refused.as_ref() != Some(&text) {
            self.notice(text.clone(), true);
            self.refused = Some(text.clone());
        }
        self.lost(Link::Refused { why: text }, now);
    }

    /// A new question's number.
    pub(super) fn ask(&mut self, question: Question) -> Ask {
        let ask = Ask(self.next_ask);
        self.next_ask = self.next_ask.wrapping_add(1);
        self.asks.insert(ask, question);
        ask
    }

    /// How many accounts are being looked up.
    pub(super) fn asking_devices(&self) -> usize {
        self.asks.values().filter(|ask| matches!(ask, Question::Devices(_))).count()
    }

    /// Whether an account is being looked up.
    pub(super) fn asking(&self, name: &AccountName) -> bool {
        self.asks.values().any(|ask| matches!(ask, Question::Devices(asked) if asked == name))
    }
}
