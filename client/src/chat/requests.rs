//! Strangers: a first message waits for accept, decline or block, and tells its author nothing.

use super::devices::Listed;
use super::history::BASE;
use super::person::{Person, Standing};
use super::talk::Talk;
use super::timeline::{Author, LINES, Line, LineState, PLACES, place, place_key};
use crate::effect::{Happened, Whose};
use std::collections::HashSet;
use subrosa_shared::content::post::Post;
use subrosa_shared::content::{Content, Mark, Signal};
use subrosa_shared::id::{AccountName, DeviceId, RoomId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::session::{Opened, UNREADABLE_START, Why};
use subrosa_shared::store::{Error, Order};
use subrosa_shared::time::Now;

impl Talk {
    /// The conversation that an opened message belongs to; `None` when it is dropped without a trace.
    pub(super) fn lets_in(
        &mut self,
        opened: &Opened,
        name: &AccountName,
        content: Option<&Content>,
        now: Now,
    ) -> Option<RoomId> {
        let known = self.room_from(&opened.from, name).or_else(|| self.chat.with(name).map(|room| room.id));
        let listed = known.is_some_and(|room| self.listed(room, &opened.from) == Listed::Pinned);
        match known {
            Some(room) => {
                let let_in = self.chat.room(room).filter(|room| {
                    // Of a stranger who turns up with another key nothing is believed.
                    !room.person.blocked && (room.person.standing == Standing::Contact || listed)
                });
                let let_in = let_in.map(|room| room.id);
                if let_in.is_none() {
                    self.dropped += 1;
                }
                let_in
            }
            None => self.knocks(opened, name, content, now),
        }
    }

    /// After something of a device's was opened: what all keep here whom nobody let in stays in bound, whatever
    /// they speak of. Who invites into a room is nobody whom the person let in before they take it.
    pub(super) fn bound_strangers(&mut self, opened: &Opened) {
        let device = opened.from.device();
        if self.contacts().any(|contact| contact == device) || self.is_fellow(&device) {
            return;
        }
        let known: HashSet<DeviceId> = self.contacts().chain(self.fellow_devices()).collect();
        let known = |device: &DeviceId| known.contains(device);
        self.sessions.bound_strangers(known, &opened.session, &mut self.batch);
    }

    /// Somebody unknown: a new conversation, or no place for one.
    fn knocks(
        &mut self,
        opened: &Opened,
        name: &AccountName,
        content: Option<&Content>,
        now: Now,
    ) -> Option<RoomId> {
        let root = self.stranger(name, &opened.from);
        if !self.config.privacy.requests && root.is_some() {
            let room = self.new_room(name.clone(), root, Person::default(), now);
            self.keep_list(name);
            return Some(room);
        }
        // Only what a person means to say opens a conversation.
        let meant = matches!(
            content,
            Some(
                Content::Text { .. }
                    | Content::Post(_)
                    | Content::Timed { .. }
                    | Content::File(_)
                    | Content::Expire { .. }
                    | Content::Call { signal: Signal::Invite(_), .. }
            )
        );
        // A relay that delivers under our own name lies.
        let (own, place) = (*name == self.chat.name, self.has_place());
        if own || !place || root.is_none() {
            if meant && !own && !place {
                self.chat.turned_away += 1;
            }
            self.dropped += 1;
            self.sessions.forget_peer(&opened.from.device(), &mut self.batch);
            return None;
        }
        if !meant {
            if let Some(content) = content {
                self.marked_early(name, content, now);
            }
            // The session stays, within the bound of all strangers': what is meant may come in it next.
            self.dropped += 1;
            return None;
        }
        let person = Person { standing: Standing::Request, ..Person::default() };
        let room = self.new_room(name.clone(), root, person, now);
        self.keep_list(name);
        self.tell(Happened::Request { with: Whose::Person(name.clone()), by: None });
        self.notice(format!("{name} wants to write to you: Ctrl+k finds it, /contacts lists all"), false);
        Some(room)
    }

    /// Something of a stranger's that does not open here: they are asked for it when they are let in.
    pub(super) fn is_unheard(&mut self, device: DeviceId) {
        match self.room_of(&device) {
            Some(room) if self.chat.room(room).is_some_and(|room| room.person.is_request()) => {
                self.left_something_out(room)
            }
            Some(_) => {}
            // Who it is says the beginning of their session, which may come yet.
            None if self.unheard.contains(&device) => {}
            None => {
                if self.unheard.len() >= UNHEARD_MAX {
                    self.unheard.pop_front();
                }
                self.unheard.push_back(device);
            }
        }
    }

    /// Something of that device's was opened, of which something may have come too early.
    pub(super) fn hears_now(&mut self, device: DeviceId) {
        let Some(at) = self.unheard.iter().position(|unheard| *unheard == device) else { return };
        if self.lets_hear(&device) {
            self.owe_reset(device, UNREADABLE_START, [0; 16]);
        } else if let Some(room) = self.room_of(&device) {
            self.left_something_out(room);
        } else {
            return;
        }
        self.unheard.remove(at);
    }

    /// Whether one more stranger may wait.
    pub(super) fn has_place(&self) -> bool {
        self.chat.rooms.iter().filter(|room| room.person.is_request()).count() < REQUESTS_MAX
    }

    /// What a stranger says who waits: a few lines and no more, quietly.
    pub(super) fn asked(
        &mut self,
        room: RoomId,
        content: Content,
        pinned: bool,
        now: Now,
    ) -> Result<(), Error> {
        let Some(r) = self.chat.room(room).filter(|_| pinned) else {
            self.dropped += 1;
            return Ok(());
        };
        let full = r.kept.lines % BASE >= REQUEST_LINES || r.person.held >= REQUEST_BYTES;
        // What a stranger's line answers or whom it calls is nothing yet.
        let content = match content {
            Content::Post(Post { id, at, body, .. }) => Content::Text { id, at, body },
            content => content,
        };
        match content {
            Content::Text { id, .. } if self.stands(room, &id)?.is_some() => {}
            // A file is asked for once they are let in.
            Content::File(_) => {
                if r.person.missed == 0 && !full {
                    self.note(
                        room,
                        "they want to send you a file: it comes once you accept them".into(),
                        now,
                    );
                }
                self.left_out(room);
            }
            // What shall disappear after it was read, and what was done to a line, is asked for once they
            // are let in.
            Content::Text { .. } | Content::Timed { .. } | Content::Act(_)
                if full || !matches!(content, Content::Text { .. }) =>
            {
                self.left_out(room);
            }
            Content::Text { id, at, body } => {
                let long = u32::try_from(body.len()).unwrap_or(u32::MAX);
                self.push_line(room, Line::new(id, Author::Them, at, body, LineState::Received), now);
                let seen = self.watching && self.chat.open == Some(room);
                if let Some(r) = self.chat.room_mut(room) {
                    r.person.held = r.person.held.saturating_add(long);
                    if seen {
                        r.kept.read = r.kept.lines;
                    } else {
                        r.kept.unread += 1;
                    }
                }
                if let Some(r) = self.chat.rooms.iter().find(|r| r.id == room) {
                    r.save(&mut self.batch);
                }
                self.save_person(room);
                self.sort_rooms();
            }
            Content::Expire { seconds, at } if !full => self.expiry_set(room, seconds, at, now),
            Content::Call { signal: Signal::Invite(_), .. } if !full => {
                self.note(room, "missed call: it does not ring before you accept them".into(), now);
            }
            content @ Content::Receipt { .. } => {
                if let Some(with) = r.with().cloned() {
                    self.marked_early(&with, &content, now);
                }
            }
            // Signs of life and answers to nothing.
            _ => {}
        }
        Ok(())
    }

    /// Something of who waits is not kept: it is asked for once they are let in.
    pub(super) fn left_out(&mut self, room: RoomId) {
        if let Some(r) = self.chat.room_mut(room) {
            r.person.missed = r.person.missed.saturating_add(1);
        }
        self.save_person(room);
    }

    /// The same of what did not open: it may come any number of times, and be one thing.
    pub(super) fn left_something_out(&mut self, room: RoomId) {
        if self.chat.room(room).is_some_and(|room| room.person.missed == 0) {
            self.left_out(room);
        }
    }

    /// Lets a stranger in: from now on they see what contacts see. False when nobody waits there.
    ///
    /// # Errors
    /// Those of the store.
    pub fn accept(&mut self, room: RoomId, now: Now) -> Result<bool, Error> {
        let tell_read = self.config.privacy.read_receipts;
        let store = self.store.clone();
        let Some(r) = self.chat.room_mut(room).filter(|room| room.person.is_request()) else {
            return Ok(false);
        };
        r.person.standing = Standing::Contact;
        r.person.held = 0;
        let (name, read) = (r.full_name(), r.kept.read);
        // What came while they waited is receipted now.
        let mut came = Vec::new();
        r.timeline.stored(&store, 0, |pos, line| came.push((pos, line.author, line.id)))?;
        came.extend(r.timeline.lines().map(|(pos, line)| (pos, line.author, line.id)));
        self.save_person(room);
        for (pos, _, id) in came.into_iter().filter(|(_, author, _)| *author == Author::Them) {
            let mark = if tell_read && pos < read { Mark::Read } else { Mark::Delivered };
            self.owe(room, id, mark, now);
        }
        self.notice(format!("you accepted {name}"), false);
        self.roster();
        self.ask_again(room, now);
        self.flush_room(room, now);
        self.heard_of(room, now);
        self.joined(room, now)?;
        self.sort_rooms();
        Ok(true)
    }

    /// What found no place while somebody waited is asked for once more when they were let in: it has
    /// no receipt, so they still have it.
    pub(super) fn ask_again(&mut self, room: RoomId, now: Now) {
        let asked = self.waits(room, |content| matches!(content, Content::Reset { .. }));
        let Some(r) = self.chat.room(room).filter(|r| r.is_open() && r.person.missed > 0 && !asked) else {
            return;
        };
        let devices = self.devices_of(r.id);
        for peer in &devices {
            self.sessions.restart(&peer.device(), &mut self.batch);
        }
        if !devices.is_empty() {
            let again = Content::Reset { session: UNREADABLE_START };
            self.transmit(room, again, Why::Signal, None, now);
        }
    }

    /// They will be told to send again.
    pub(super) fn asked_again(&mut self, room: RoomId) {
        if let Some(r) = self.chat.room_mut(room).filter(|r| r.person.missed > 0) {
            r.person.missed = 0;
            self.save_person(room);
        }
    }

    /// Forgets a stranger and what they wrote, and tells nobody. False when nobody waits there.
    ///
    /// # Errors
    /// Those of the store.
    pub fn decline_request(&mut self, room: RoomId, now: Now) -> Result<bool, Error> {
        let Some(r) = self.chat.room(room).filter(|room| room.person.is_request()) else {
            return Ok(false);
        };
        let (devices, name) = (self.devices_of(room), r.full_name());
        let group = r.group.is_some();
        let lines: Vec<_> =
            r.timeline.lines().map(|(pos, line)| (place(room, pos), place_key(room, line))).collect();
        for (place, key) in lines {
            self.batch.delete(LINES, place);
            self.batch.delete(PLACES, key);
        }
        let (from, to) = (place(room, 0), place(room, u64::MAX));
        for (key, value) in self.store.records.scan(LINES, &from, &to, Order::Forward, usize::MAX)? {
            let line = Line::read(&value).ok_or_else(|| Error::Damaged("a line of a conversation".into()))?;
            self.batch.delete(LINES, key);
            self.batch.delete(PLACES, place_key(room, &line));
        }
        self.index_again(room, None, None)?;
        self.forget_owed(room)?;
        self.forget_files(room);
        if group {
            self.not_joined(room, now)?;
            // With what had come before its entry of the log.
            self.expiry.turn_soon(room, now);
        }
        self.forget_list(room);
        self.forget_room(room);
        // Who shares a room goes on being written to there.
        let devices: Vec<DeviceId> = devices.iter().map(Peer::device).collect();
        self.leave_devices(&devices);
        let text = match group {
            true => format!("the invitation to {name} is gone"),
            false => format!("the request of {name} is gone; they are not told"),
        };
        self.notice(text, false);
        Ok(true)
    }

    /// Whether that device is a contact's or an own one, or of a room that the person took, and may hear that we are
    /// there.
    pub(super) fn lets_hear(&self, device: &DeviceId) -> bool {
        self.contacts().any(|contact| contact == *device) || self.rooms_hear(device)
    }

    /// All devices of people who were let in, and the other ones of this account.
    pub(super) fn contacts(&self) -> impl Iterator<Item = DeviceId> {
        let let_in = self.chat.rooms.iter().filter(|room| room.person.is_contact());
        let theirs = let_in.flat_map(|room| self.devices_of(room.id));
        theirs.chain(self.siblings()).map(|peer| peer.device())
    }
}

/// Strangers who may wait at a time; those after them are turned away until some are decided on.
pub const REQUESTS_MAX: usize = 50;
/// Devices of strangers that are remembered because something of theirs came too early.
pub(super) const UNHEARD_MAX: usize = 64;
/// Lines that a stranger may leave…
const REQUEST_LINES: u64 = 200;
/// …and how long they may be together before no other is kept.
const REQUEST_BYTES: u32 = 64 * 1024;
