//! Who the other people are: looking up, pinning, alarms when a key changes.

use super::attention::{ATTENTION, Attention};
use super::clocks::CLOCKS;
use super::history::BASE;
use super::person::{PEOPLE, Person, REFUSED};
use super::profile::{PROFILES, Portrait};
use super::room::{Kept, ROOMS, Room};
use super::talk::Talk;
use super::timeline::{LINES, Timeline, place};
use std::time::Duration;
use subrosa_shared::id::{AccountName, RoomId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::protocol::frame::Refusal;
use subrosa_shared::store::{Error, Order};
use subrosa_shared::time::{Millis, Now};

/// How soon a name that the relay did not know is asked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Lists of people whose key is known that are asked for at a time: those of the others when something is said to them.
const ASKING: usize = 64;

impl Talk {
    /// The conversation with that account, begun if there is none.
    pub fn room_with(&mut self, name: &AccountName, now: Now) -> RoomId {
        if let Some(room) = self.chat.with(name) {
            let room = room.id;
            self.look_up_unknown(room);
            return room;
        }
        let room = self.new_room(name.clone(), None, Person::default(), now);
        self.look_up(room);
        room
    }

    /// Asks the relay who that is, unless it is known.
    pub(super) fn look_up_unknown(&mut self, room: RoomId) {
        let Some(r) = self.chat.room(room).filter(|room| !room.person.blocked) else { return };
        let few = self.asking_devices() < ASKING;
        let lacks = |with: &AccountName| self.awaits_list(with) || few && self.lists.of(with).is_none();
        if r.kept.peer.is_none() || r.with().is_some_and(lacks) {
            self.look_up(room);
        }
    }

    /// Asks the relay who that is, once at a time.
    pub(super) fn look_up(&mut self, room: RoomId) {
        let Some(name) = self.chat.room(room).and_then(|room| room.with().cloned()) else { return };
        if !self.look_after.contains_key(&room) {
            self.ask_newer(&name);
        }
    }

    /// There is no such account.
    pub(super) fn no_account(&mut self, name: &AccountName, why: Refusal, now: Now) -> Result<(), Error> {
        let Some(room) = self.chat.with(name) else { return Ok(()) };
        let newest = room.timeline.lines().next_back().map(|(_, line)| line.body.clone());
        let (id, kept) = (room.id, &room.kept);
        let unused = kept.lines % BASE == 0 && kept.peer.is_none() && room.person == Person::default();
        // A history that came from another device is not counted.
        let (from, to) = (place(id, 0), place(id, u64::MAX));
        let empty = unused && self.store.records.scan(LINES, &from, &to, Order::Forward, 1)?.is_empty();
        match why {
            Refusal::UnknownAccount if empty => {
                self.forget_room(id);
                self.notice(
                    format!("nobody is called '{name}' at this relay: check the spelling with them"),
                    true,
                );
            }
            Refusal::UnknownAccount => {
                let text = format!("nobody is called '{name}' at this relay yet; what you wrote waits here");
                // Said once, however often it is tried.
                if newest.as_ref() != Some(&text) {
                    self.note(id, text, now);
                }
                self.look_after.insert(id, now.mono.plus(LOOK_AGAIN));
            }
            other => {
                let wait = match other {
                    Refusal::RateLimited { retry_ms } => Duration::from_millis(retry_ms.into()),
                    _ => LOOK_AGAIN,
                };
                self.look_after.insert(id, now.mono.plus(wait));
                self.notice(
                    format!("the relay could not look up {name} now: {other}; it is tried again"),
                    true,
                );
            }
        }
        Ok(())
    }

    /// Pins keys on first sight; other keys than the pinned ones are an alarm, unless they were refused. True when
    /// `peer` is the pinned one.
    pub(super) fn pin(&mut self, room: RoomId, peer: Peer, now: Now) -> bool {
        let Some(r) = self.chat.rooms.iter_mut().find(|r| r.id == room) else { return false };
        match r.kept.peer {
            Some(pinned) if pinned == peer => true,
            None => {
                r.kept.peer = Some(peer);
                r.save(&mut self.batch);
                self.roster();
                true
            }
            Some(_) => {
                if !r.refused.contains(&peer) {
                    self.key_changed(room, peer, now);
                }
                false
            }
        }
    }

    /// They have another key than the pinned one, it is said: an alarm, once.
    pub(super) fn key_changed(&mut self, room: RoomId, peer: Peer, now: Now) {
        if self.chat.room(room).is_none_or(|r| r.kept.changed == Some(peer)) {
            return;
        }
        // As long as that still goes out, to the key that was pinned.
        self.break_off(room, now);
        let Some(r) = self.chat.room_mut(room) else { return };
        let lost = match r.is_verified() {
            true => " You had verified the old one: that is void for this one.",
            false => "",
        };
        r.kept.changed = Some(peer);
        r.save(&mut self.batch);
        let name = r.full_name();
        self.alarm(
            room,
            format!(
                "{name}'s key has changed. Either they set up subrosa anew, on the same or on a new device, or \
                 somebody stands between you.{lost} Nothing is sent before you decide: ask them another way than \
                 this. /verify compares the numbers, /trust accepts the new key, /distrust keeps the old one, \
                 /block ends it"
            ),
            now,
        );
    }

    /// A new conversation.
    pub(super) fn new_room(
        &mut self,
        name: AccountName,
        peer: Option<Peer>,
        person: Person,
        now: Now,
    ) -> RoomId {
        let id = RoomId::random(&mut self.rng);
        // A linked device leaves place for what was said before.
        let base = if self.own_list().root().device() == self.device() { 0 } else { BASE };
        let kept = Kept {
            with: Some(name),
            peer,
            changed: None,
            lines: base,
            read: base,
            unread: 0,
            muted: false,
            last: now.wall,
        };
        let timeline = Timeline::closed(id, base);
        person.save(id, &mut self.batch);
        let portrait = Portrait::default();
        let attention = Attention::default();
        let room = Room {
            id,
            kept,
            person,
            refused: Vec::new(),
            portrait,
            attention,
            timeline,
            clock: super::clocks::begins(now),
            online: false,
            typing: None,
            divider: None,
            group: None,
        };
        room.save(&mut self.batch);
        self.chat.rooms.push(room);
        self.sort_rooms();
        self.name_people();
        if peer.is_some() {
            self.roster();
        }
        id
    }

    /// A conversation is gone, with all that is kept beside its lines.
    pub(super) fn forget_room(&mut self, room: RoomId) {
        self.keep_draft(room, "");
        self.forget_expiry(room);
        for table in [ROOMS, PEOPLE, REFUSED, PROFILES, ATTENTION, CLOCKS] {
            self.batch.delete(table, room.0);
        }
        self.waiting.remove(&room);
        for queue in self.queues.values_mut() {
            queue.retain(|next| next.room != Some(room));
        }
        self.look_after.remove(&room);
        self.chat.rooms.retain(|r| r.id != room);
        // No other one is opened: who types on would write to somebody else.
        if self.chat.open == Some(room) {
            self.chat.open = None;
        }
        self.name_people();
    }
}

/// Until when somebody counts as typing.
pub(super) fn typing_until(now: Now) -> Millis {
    let hold: Duration = super::talk::TYPING_HOLDS;
    now.mono.plus(hold)
}
