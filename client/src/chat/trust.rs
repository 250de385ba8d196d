//! Decisions about people: verified or not, a changed key, own names, blocked.

use super::Chat;
use super::call::CallState;
use super::person::{PETNAME_MAX, Person, Standing, Trouble};
use super::room::Room;
use super::talk::Talk;
use subrosa_shared::id::{AccountName, RoomId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::store::Error;
use subrosa_shared::time::Now;

impl Talk {
    /// The safety numbers were compared and are the same for that identity key: it is verified, and
    /// accepted if it was a changed one.
    ///
    /// # Errors
    /// Those of the store.
    pub fn verified(&mut self, room: RoomId, key: [u8; 32], now: Now) -> Result<(), Error> {
        if !self.is_still(room, key, Room::to_compare, "/verify") {
            return Ok(());
        }
        let Some(r) = self.chat.room_mut(room) else { return Ok(()) };
        // Their number says nothing about which devices they have.
        let changed = r.trouble() == Some(Trouble::Changed);
        let was_doubted = r.person.doubted.take().is_some();
        r.person.verified = Some(key);
        if changed {
            self.trust(room, now)?;
        }
        let Some(r) = self.chat.room(room) else { return Ok(()) };
        let text = format!("you verified {}: the safety numbers are the same", r.full_name());
        self.save_person(room);
        self.note(room, text, now);
        if was_doubted {
            self.flush_room(room, now);
        }
        Ok(())
    }

    /// The safety numbers were compared and differ: nothing goes out to that key. Where another one was refused for it,
    /// that one may be theirs, and is to be decided about: the one that `fits` what was compared, else the last.
    pub fn doubt(&mut self, room: RoomId, key: [u8; 32], fits: Option<Peer>, now: Now) {
        // As long as that still goes out.
        self.break_off(room, now);
        let Some(r) = self.chat.room_mut(room) else { return };
        // That the pinned key was compared says nothing of a changed one, nor the other way round.
        r.person.verified = r.person.verified.filter(|verified| *verified != key);
        r.person.doubted = Some(key);
        let kept = r.kept.changed.is_none() && r.kept.peer.is_some_and(|peer| peer.identity == key);
        let refused = fits.or(r.last_refused()).filter(|_| kept);
        if refused.is_some() {
            r.kept.changed = refused;
            r.save(&mut self.batch);
        }
        let name = r.full_name();
        self.save_person(room);
        let text = match refused {
            Some(refused) => {
                let device = refused.device();
                let found = match fits {
                    Some(_) => "it is that of the one that you refused",
                    None => "the one that you refused may be theirs",
                };
                format!(
                    "what was compared with {name} is not the number of the key that you kept: {found} (device {device}). \
                     Nothing more is sent to them before you decide: ask them another way than this. /verify compares the \
                     number of the refused one now, /trust accepts it, /distrust refuses it again, /block ends it"
                )
            }
            None => format!(
                "the safety number with {name} is not the same on both ends: somebody may stand between you and read along. \
                 Nothing more is sent to them. Ask them to open /verify again, both at the same time; if the numbers still \
                 differ, say nothing secret here and find another relay. /trust goes on all the same"
            ),
        };
        self.alarm(room, text, now);
    }

    /// Takes the mark of a verified person back. False when there was none.
    pub fn unverify(&mut self, room: RoomId, now: Now) -> bool {
        let Some(r) = self.chat.room_mut(room).filter(|r| r.person.verified.is_some()) else { return false };
        r.person.verified = None;
        let text = format!("{} is not verified any more", r.full_name());
        self.save_person(room);
        self.note(room, text, now);
        true
    }

    /// Whether that identity key, whose number was shown, is still the one that it is `about`; else it is said,
    /// with the command that shows the other one.
    pub fn is_still(
        &mut self,
        room: RoomId,
        key: [u8; 32],
        about: fn(&Room) -> Option<Peer>,
        again: &str,
    ) -> bool {
        let same = self.chat.room(room).and_then(about).is_some_and(|peer| peer.identity == key);
        if !same {
            self.notice(format!("their key has changed meanwhile: {again} once more"), true);
        }
        same
    }

    /// Accepts the changed key of a conversation's person, the relay's list of their devices, or the key whose number
    /// was not the same. False when there is nothing to decide.
    ///
    /// # Errors
    /// Those of the store.
    pub fn trust(&mut self, room: RoomId, now: Now) -> Result<bool, Error> {
        let Some(r) = self.chat.room_mut(room) else { return Ok(false) };
        let Some(trouble) = r.trouble() else { return Ok(false) };
        let name = r.full_name();
        if trouble == Trouble::Forked {
            // Until it is here nothing goes to those that were seen before.
            self.note(
                room,
                format!("the relay's list of {name}'s devices is taken as soon as it comes"),
                now,
            );
            self.take_anew(room);
            return Ok(true);
        }
        let another = |key: &mut [u8; 32]| r.kept.changed.is_some_and(|changed| changed.identity != *key);
        if r.person.verified.take_if(another).is_some() {
            // Each own device takes that back by itself: another one may have compared the new key meanwhile.
            self.look_at_room(room);
        }
        let before = self.devices_of(room);
        let Some(r) = self.chat.room_mut(room) else { return Ok(false) };
        r.person.doubted = None;
        if let Some(changed) = r.kept.changed.take() {
            r.kept.peer = Some(changed);
            r.forgive(changed, &mut self.batch);
        }
        let device = r.kept.peer.map(|peer| peer.device().to_string()).unwrap_or_default();
        let rest = if r.is_verified() { "" } else { "; it is not verified: /verify compares it" };
        let Some(r) = self.chat.room(room) else { return Ok(false) };
        r.save(&mut self.batch);
        self.save_person(room);
        if trouble == Trouble::Changed {
            // Nobody opens what went to the old devices any more; its lines are sealed anew below.
            self.adopt(room, &before, now)?;
            self.note(room, format!("you accepted the new key of {name} (device {device}){rest}"), now);
            self.roster();
            self.readdress(room, now)?;
        } else {
            self.note(room, format!("you go on with {name} although the safety numbers differ"), now);
        }
        self.flush_room(room, now);
        Ok(true)
    }

    /// The same, and without anything to decide the key that was refused last is accepted: the person was asked
    /// about just that one.
    ///
    /// # Errors
    /// Those of the store.
    pub fn trust_after_all(&mut self, room: RoomId, now: Now) -> Result<bool, Error> {
        if let Some(r) = self.chat.room_mut(room).filter(|room| room.undecided().is_none()) {
            r.kept.changed = r.last_refused();
        }
        self.trust(room, now)
    }

    /// Answers a changed key with the pinned one: that stays, and of the other nothing more is heard. False when no
    /// changed key waits for a decision.
    pub fn distrust(&mut self, room: RoomId, now: Now) -> bool {
        let Some(r) = self.chat.room_mut(room).filter(|room| room.trouble() == Some(Trouble::Changed)) else {
            return false;
        };
        let (Some(pinned), Some(refused)) = (r.kept.peer, r.kept.changed) else { return false };
        r.kept.changed = None;
        r.refuse(refused, &mut self.batch);
        r.save(&mut self.batch);
        let (name, with) = (r.full_name(), r.with().cloned());
        // The numbers of the pinned key may have differed too.
        let goes = if r.is_open() { ", and what waited goes there" } else { "" };
        let (kept, other) = (pinned.device(), refused.device());
        self.note(
            room,
            format!(
                "you kept the key of {name} that was pinned (device {kept}){goes}. Nothing goes to the other one (device \
                 {other}), what comes from it is dropped, and it is no alarm any more. Should it be theirs after all, \
                 /trust accepts it"
            ),
            now,
        );
        if let Some(with) = with {
            self.share_pinned(with, pinned, now);
        }
        self.flush_room(room, now);
        true
    }

    /// On another own device it was decided that the pinned key stays: the changed one is refused here too.
    pub(super) fn keep_pinned(&mut self, room: RoomId, now: Now) {
        let Some(r) = self.chat.room_mut(room) else { return };
        let (name, with) = (r.full_name(), r.with().cloned());
        if let Some(changed) = r.kept.changed.take() {
            r.refuse(changed, &mut self.batch);
        }
        r.save(&mut self.batch);
        if let Some(with) = with {
            self.lists.drop_other(&with);
        }
        self.note(
            room,
            format!(
                "on another device of yours you kept the key of {name} that is pinned here; the other one is refused here \
                 too. Should it be theirs after all, /trust accepts it"
            ),
            now,
        );
        self.roster();
        self.flush_room(room, now);
    }

    /// An own name for somebody; `None` takes it back.
    ///
    /// # Errors
    /// A sentence: it is too long, empty, or somebody else's.
    pub fn petname(&mut self, room: RoomId, petname: Option<&str>) -> Result<(), String> {
        let petname = petname.map(str::trim).filter(|name| !name.is_empty());
        if let Some(petname) = petname {
            if petname.chars().count() > PETNAME_MAX || petname.chars().any(char::is_control) {
                return Err(format!("an own name has at most {PETNAME_MAX} characters on one line"));
            }
            // Two people of one name would be taken for each other.
            let folded = petname.to_lowercase();
            let taken = |r: &&Room| {
                let petname = r.person.petname.as_ref().map(|petname| petname.to_lowercase());
                r.id != room
                    && (petname.as_ref() == Some(&folded)
                        || r.with().is_some_and(|with| with.as_str() == folded))
            };
            if let Some(other) = self.chat.rooms.iter().find(taken) {
                return Err(format!(
                    "{petname} would be taken for {}: choose another name",
                    other.full_name()
                ));
            }
            if folded == self.chat.name.as_str() {
                return Err("that is your own name: choose another".into());
            }
        }
        if let Some(r) = self.chat.room_mut(room) {
            r.person.petname = petname.map(str::to_owned);
        }
        self.save_person(room);
        self.name_people();
        Ok(())
    }

    /// Lets nothing of a person in and nothing out to them, and tells nobody.
    ///
    /// # Errors
    /// Those of the store.
    pub fn block(&mut self, name: &AccountName, now: Now) -> Result<(), Error> {
        let room = match self.chat.with(name) {
            Some(room) => room.id,
            None => self.new_room(name.clone(), None, Person::default(), now),
        };
        let in_call = self.chat.call.as_ref().filter(|call| call.room == room).map(|call| call.state);
        if in_call.is_some_and(|state| state != CallState::Ringing) {
            self.hang_up(now);
        }
        let Some(r) = self.chat.room_mut(room) else { return Ok(()) };
        if std::mem::replace(&mut r.person.blocked, true) {
            return Ok(());
        }
        (r.online, r.typing) = (false, None);
        self.save_person(room);
        if in_call == Some(CallState::Ringing) {
            // Now that they are blocked, no word of it goes out.
            self.decline(now);
        }
        self.forget_owed(room)?;
        for waiting in self.waiting.get_mut(&room).into_iter().chain(self.queues.values_mut()) {
            waiting.retain(|next| next.room != Some(room) || next.message.is_some());
        }
        self.roster();
        for peer in self.devices_of(room) {
            self.forget_resets(&peer.device());
        }
        let text = format!("you blocked {name}: nothing of theirs comes in, and they are not told");
        self.note(room, text, now);
        self.sort_rooms();
        Ok(())
    }

    /// Lets a person in again. False when they were not blocked.
    pub fn unblock(&mut self, room: RoomId, now: Now) -> bool {
        let Some(r) = self.chat.room_mut(room) else { return false };
        if !std::mem::replace(&mut r.person.blocked, false) {
            return false;
        }
        let text = format!("{} is no longer blocked; what came meanwhile was not kept", r.full_name());
        self.save_person(room);
        self.note(room, text, now);
        self.roster();
        self.look_up_unknown(room);
        self.flush_room(room, now);
        self.sort_rooms();
        true
    }

    pub(super) fn save_person(&mut self, room: RoomId) {
        if let Some(r) = self.chat.rooms.iter().find(|r| r.id == room) {
            r.person.save(room, &mut self.batch);
        }
    }
}

impl Chat {
    /// Why nothing may be written in a conversation now, as a sentence with the next step. Before a decision
    /// about a key it may: it waits.
    pub fn refuses(&self, room: RoomId, now: Now) -> Option<String> {
        let r = self.room(room)?;
        match r.with().filter(|_| r.person.blocked) {
            Some(name) => Some(format!("{name} is blocked: /unblock {name} first")),
            None => self.silent_in(room, now),
        }
    }
}

/// Why a person is not to be brought into a room before a decision about their key.
pub(super) fn closed_by_key(room: &Room) -> Option<String> {
    let blocked = room.person.blocked;
    closed(room).filter(|_| blocked || room.trouble().is_some())
}

/// Why nothing may be said or called there, as a sentence with the next step.
pub(super) fn closed(room: &Room) -> Option<String> {
    let name = room.full_name();
    if room.person.blocked {
        Some(format!("{name} is blocked: /unblock {} first", room.with().map_or("", |with| with.as_str())))
    } else if room.person.standing == Standing::Request {
        Some(format!("{name} waits for your decision: /accept lets them in, then it works"))
    } else {
        room.trouble().map(|trouble| match trouble {
            Trouble::Changed => {
                "their key has changed: look at the conversation, then /verify, /trust or /distrust".into()
            }
            Trouble::Forked => {
                "the relay shows another list of their devices than before: look at the conversation, then /trust".into()
            }
            Trouble::Doubted => format!("the safety number with {name} was not the same: /verify once more"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::tests::alone;
    use subrosa_shared::time::Millis;

    #[test]
    fn who_trusted_a_new_key_twice_accepted_the_one_that_was_refused() {
        let now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };
        let mut talk = alone(now);
        let room = talk.room_with(&AccountName::parse("ben").expect("valid"), now);
        let [first, eves, new] = [1, 2, 3].map(|key| Peer { identity: [key; 32], noise: [key; 32] });
        assert!(talk.pin(room, first, now) && !talk.pin(room, eves, now));
        assert!(talk.distrust(room, now));
        assert!(!talk.pin(room, new, now));
        assert!(talk.trust(room, now).expect("memory"));
        assert!(!talk.trust(room, now).expect("memory"), "there is nothing to decide");
        let r = talk.chat.room(room).expect("there");
        assert_eq!((r.kept.peer, r.undecided(), r.to_accept()), (Some(new), None, Some(eves)));
        assert!(talk.trust_after_all(room, now).expect("memory"));
        let r = talk.chat.room(room).expect("there");
        assert_eq!((r.kept.peer, r.last_refused()), (Some(eves), None));
    }

    #[test]
    fn a_kept_key_was_doubted_alone() {
        let now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };
        let mut talk = alone(now);
        let room = talk.room_with(&AccountName::parse("ben").expect("valid"), now);
        let keys = [1, 2, 3].map(|key| Peer { identity: [key; 32], noise: [key; 32] });
        assert!(talk.pin(room, keys[0], now));
        for other in &keys[1..] {
            assert!(!talk.pin(room, *other, now) && talk.distrust(room, now));
        }
        for (fits, asked) in [(None, keys[2]), (Some(keys[1]), keys[1])] {
            talk.doubt(room, keys[0].identity, fits, now);
            let r = talk.chat.room(room).expect("there");
            assert_eq!((r.trouble(), r.to_compare()), (Some(Trouble::Changed), Some(asked)));
            assert!(talk.distrust(room, now));
            let r = talk.chat.room(room).expect("there");
            assert_eq!(r.trouble(), Some(Trouble::Doubted), "and nothing goes to that one either");
        }
    }
}
