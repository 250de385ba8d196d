//! The history comes from another own device: newest first, a piece at a time, taken up again after any
//! restart of either.
//!
//! The new device asks for each piece; the other one answers and remembers nothing. Positions are the
//! other device's and never change, so a piece that comes twice is known by what was asked, and a line
//! that is here already by its message id.

use super::groups::room_id;
use super::person::Person;
use super::room::Room;
use super::talk::Talk;
use super::timeline::{Author, LINES, Line, LineState, More, PAGE, PLACES, place, place_key, unplace};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::time::Duration;
use subrosa_shared::content::Content;
use subrosa_shared::content::own::{LINES_MAX, Own, ROOMS_MAX, Told};
use subrosa_shared::id::{AccountName, DeviceId, RoomId, RoomTag};
use subrosa_shared::session::Why;
use subrosa_shared::store::{Batch, Error, Order, Store, Table};
use subrosa_shared::time::{Millis, Now};

/// One record while a history is on its way: [`Fetch`].
pub const HISTORY: Table = Table { byte: 0x34, name: "history on its way" };
const KEY: &[u8] = b"fetch/2";
/// The same as it was before rooms of several had a history for other devices: [`Before`].
const KEY_BEFORE: &[u8] = b"fetch";

/// Where a conversation begins on a device that was linked: what is older is written before it.
pub const BASE: u64 = 1 << 40;

/// Text in one piece, in bytes: with what is around it, it fits a body.
const PIECE: usize = 20 * 1024;
/// How long an answer may take before the piece is asked for again.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is still to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// The device that has it.
    pub from: DeviceId,
    /// Conversations that are not complete, newest first, and before which position of that device.
    /// `None` until it has said which there are.
    rooms: Option<Vec<(Which, u64)>>,
    /// Rooms of several, which are told first.
    groups: Vec<(RoomTag, u64)>,
    /// Lines that came.
    pub done: u64,
    /// Lines that there are, about.
    pub total: u64,
    #[serde(skip)]
    asked: Option<Millis>,
}

/// A conversation, as all devices of an account know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Which {
    Person(AccountName),
    Room(RoomTag),
}

/// What an earlier version stored.
#[derive(Deserialize)]
struct Before {
    from: DeviceId,
    rooms: Option<Vec<(AccountName, u64)>>,
    done: u64,
    total: u64,
}

impl Fetch {
    /// Everything that this device has.
    pub fn all(from: DeviceId) -> Self {
        Self { from, rooms: None, groups: Vec::new(), done: 0, total: 0, asked: None }
    }

    /// Writes it.
    pub fn save(&self, batch: &mut Batch) {
        let value = postcard::to_stdvec(self).expect("a plan serialises: plain fields only");
        batch.put(HISTORY, KEY, value);
    }

    pub(super) fn load(store: &Store) -> Result<Option<Self>, Error> {
        let damaged = |_| Error::Damaged("the plan of a history".into());
        if let Some(bytes) = store.records.get(HISTORY, KEY)? {
            return postcard::from_bytes(&bytes).map(Some).map_err(damaged);
        }
        let Some(bytes) = store.records.get(HISTORY, KEY_BEFORE)? else { return Ok(None) };
        let Before { from, rooms, done, total } = postcard::from_bytes(&bytes).map_err(damaged)?;
        let people = |(name, at)| (Which::Person(name), at);
        let rooms = rooms.map(|rooms| rooms.into_iter().map(people).collect());
        Ok(Some(Self { rooms, done, total, ..Self::all(from) }))
    }
}

impl Talk {
    /// The connection is back, or the other device: asks where it stopped.
    pub(super) fn history_linked(&mut self, now: Now) {
        if let Some(fetch) = &mut self.history {
            fetch.asked = None;
            self.fetch_on(now);
        }
    }

    /// When a piece is asked for again.
    pub(super) fn history_due(&self) -> Option<Millis> {
        let fetch = self.history.as_ref().filter(|fetch| self.online.contains(&fetch.from))?;
        fetch.asked.map(|asked| asked.plus(PATIENCE))
    }

    /// Time has passed for a piece.
    pub(super) fn history_wake(&mut self, now: Now) {
        if self.history_due().is_some_and(|due| due <= now.mono) {
            self.history_linked(now);
        }
    }

    /// Asks for the next piece, once at a time.
    fn fetch_on(&mut self, now: Now) {
        let Some(fetch) = &mut self.history else { return };
        let (from, next) = (fetch.from, fetch.rooms.as_ref().map(|rooms| rooms.first().cloned()));
        if fetch.asked.is_some() || self.chat.link != super::Link::Online {
            return;
        }
        if !self.is_sibling(&from) {
            self.history_over("the rest of the history is gone with the device that had it", true);
            return;
        }
        let ask = match next {
            None => Own::WantRooms,
            Some(Some((Which::Person(with), before))) => Own::WantLines { with, before },
            Some(Some((Which::Room(room), before))) => Own::WantGroupLines { room, before },
            Some(None) => return self.history_over("the history is complete", false),
        };
        if let Some(fetch) = &mut self.history {
            fetch.asked = Some(now.mono);
        }
        self.transmit_to(from, None, Content::Own(ask), Why::Signal, now);
    }

    fn history_over(&mut self, text: &str, error: bool) {
        let Some(fetch) = self.history.take() else { return };
        self.batch.delete(HISTORY, KEY);
        self.batch.delete(HISTORY, KEY_BEFORE);
        self.chat.history = None;
        let came = super::counted(fetch.done, "message", "messages");
        self.notice(format!("{text}: {came} came from your other device"), error);
    }

    /// Which rooms of several the other device has: those that are not here by now never will be.
    pub(super) fn heard_groups(&mut self, device: DeviceId, rooms: Vec<(RoomTag, u64)>) {
        let known = self.chat.rooms.iter().filter(|room| room.person.is_contact());
        let mut rooms = completed(rooms, known.filter_map(|room| Some(room.group.as_ref()?.tag())));
        rooms.retain(|(tag, _)| self.chat.group(room_id(*tag)).is_some());
        let fetch = self.history.as_mut().filter(|fetch| fetch.from == device && fetch.rooms.is_none());
        if let Some(fetch) = fetch {
            fetch.groups = rooms;
        }
    }

    /// Which conversations the other device has.
    pub(super) fn heard_rooms(&mut self, device: DeviceId, rooms: Vec<(AccountName, u64)>, now: Now) {
        let Some(fetch) = self.history.as_mut().filter(|fetch| fetch.from == device && fetch.rooms.is_none())
        else {
            return;
        };
        let known = self.chat.rooms.iter().filter(|room| room.person.is_contact());
        let people = completed(rooms, known.filter_map(|room| room.with().cloned()));
        let people = people.into_iter().map(|(name, end)| (Which::Person(name), end));
        let groups = std::mem::take(&mut fetch.groups).into_iter().map(|(tag, end)| (Which::Room(tag), end));
        let rooms: Vec<(Which, u64)> = people.chain(groups).collect();
        fetch.total =
            rooms.iter().map(|(_, end)| *end).filter(|end| *end < u64::MAX).map(|end| end % BASE).sum();
        fetch.rooms = Some(rooms);
        fetch.asked = None;
        fetch.save(&mut self.batch);
        self.fetch_on(now);
    }

    /// A piece of a conversation.
    pub(super) fn heard_lines(
        &mut self,
        device: DeviceId,
        with: &AccountName,
        (before, next): (u64, Option<u64>),
        lines: Vec<Told>,
        now: Now,
    ) -> Result<(), Error> {
        if *with == self.chat.name || !self.asked_for(device, &Which::Person(with.clone()), before) {
            return Ok(());
        }
        let room = match self.chat.with(with) {
            Some(room) => room.id,
            None => self.new_room(with.clone(), None, Person::default(), now),
        };
        let newest = lines.iter().map(|line| More::heard(&line.more).clock).max().unwrap_or(0);
        self.clock_passed(room, newest);
        self.heard_piece(room, (before, next), lines, now)
    }

    /// A piece of a room of several.
    pub(super) fn heard_group_lines(
        &mut self,
        device: DeviceId,
        tag: RoomTag,
        (before, next): (u64, Option<u64>),
        lines: Vec<Told>,
        now: Now,
    ) -> Result<(), Error> {
        if !self.asked_for(device, &Which::Room(tag), before) {
            return Ok(());
        }
        let room = room_id(tag);
        let newest = lines.iter().map(|line| More::heard(&line.more).clock).max().unwrap_or(0);
        self.clock_passed(room, newest);
        self.heard_piece(room, (before, next), lines, now)
    }

    /// Whether that is the piece that was asked for.
    fn asked_for(&self, device: DeviceId, which: &Which, before: u64) -> bool {
        self.history.as_ref().is_some_and(|fetch| {
            let first = fetch.rooms.as_ref().and_then(|rooms| rooms.first());
            fetch.from == device && first.is_some_and(|(asked, at)| asked == which && *at == before)
        })
    }

    fn heard_piece(
        &mut self,
        room: RoomId,
        (before, next): (u64, Option<u64>),
        lines: Vec<Told>,
        now: Now,
    ) -> Result<(), Error> {
        let came = self.put_before(room, lines)?;
        let Some(fetch) = &mut self.history else { return Ok(()) };
        fetch.done += came;
        fetch.asked = None;
        if let Some(rooms) = &mut fetch.rooms {
            match next.filter(|next| *next < before) {
                Some(next) => rooms[0].1 = next,
                None => drop(rooms.remove(0)),
            }
        }
        fetch.save(&mut self.batch);
        self.chat.history = Some((fetch.done, fetch.total.max(fetch.done)));
        self.fetch_on(now);
        Ok(())
    }

    /// Writes older lines before those of a conversation; those that are here already are left out.
    fn put_before(&mut self, room: RoomId, lines: Vec<Told>) -> Result<u64, Error> {
        let first =
            self.store.records.scan(LINES, &place(room, 0), &place(room, u64::MAX), Order::Forward, 1)?;
        let end = self.chat.room(room).map_or(0, |room| room.kept.lines);
        let mut low = first.first().and_then(|(key, _)| unplace(key)).map_or(end, |(_, pos)| pos);
        let newest = lines.first().map(|line| line.at);
        let (mut came, mut seen) = (0, HashSet::new());
        for Told { id, mine, at, body, mark, more } in lines {
            if low == 0 || !seen.insert(id) || self.stands(room, &id)?.is_some() {
                continue;
            }
            low -= 1;
            came += 1;
            let (author, state) = match (mine, mark) {
                (false, _) => (Author::Them, LineState::Received),
                (true, 0) => (Author::Me, LineState::Sent),
                (true, 1) => (Author::Me, LineState::Delivered),
                (true, _) => (Author::Me, LineState::Read),
            };
            let mut line = Line::new(id, author, at, body, state);
            line.more = More::heard(&more);
            self.catch_up_told(room, &mut line);
            self.batch.put(LINES, place(room, low), line.encode());
            self.batch.put(PLACES, place_key(room, &line), place(room, low));
            self.search.line(room, low, &line, &mut self.batch);
        }
        let empty = first.is_empty();
        if let Some(r) = self.chat.rooms.iter_mut().find(|r| r.id == room).filter(|_| empty) {
            // Nothing was said here yet: the newest line of the history says where it stands.
            r.kept.last = newest.unwrap_or(r.kept.last);
            r.save(&mut self.batch);
        }
        self.sort_rooms();
        Ok(came)
    }

    // ---- the other side

    /// Says which conversations there are.
    pub(super) fn tell_rooms(&mut self, device: DeviceId, now: Now) {
        let told: Vec<&Room> = self.chat.rooms.iter().filter(|room| room.person.is_contact()).collect();
        let groups = told.iter().filter_map(|room| Some((room.group.as_ref()?.tag(), room.kept.lines)));
        let groups = groups.take(ROOMS_MAX).collect();
        let rooms = told.iter().filter_map(|room| Some((room.with()?.clone(), room.kept.lines)));
        let rooms = rooms.take(ROOMS_MAX).collect();
        self.transmit_to(device, None, Content::Own(Own::Groups(groups)), Why::Signal, now);
        self.transmit_to(device, None, Content::Own(Own::Rooms(rooms)), Why::Signal, now);
    }

    /// Says a piece of a conversation.
    pub(super) fn tell_lines(
        &mut self,
        device: DeviceId,
        with: AccountName,
        before: u64,
        now: Now,
    ) -> Result<(), Error> {
        let room = self.chat.with(&with).filter(|room| room.person.is_contact()).map(|room| room.id);
        let (lines, next) = self.piece(room, before)?;
        let told = Own::Lines { with, before, next, lines };
        self.transmit_to(device, None, Content::Own(told), Why::Signal, now);
        Ok(())
    }

    /// Says a piece of a room of several.
    pub(super) fn tell_group_lines(
        &mut self,
        device: DeviceId,
        tag: RoomTag,
        before: u64,
        now: Now,
    ) -> Result<(), Error> {
        let room = self.chat.room(room_id(tag)).filter(|room| room.person.is_contact()).map(|room| room.id);
        let (lines, next) = self.piece(room, before)?;
        let told = Own::GroupLines { room: tag, before, next, lines };
        self.transmit_to(device, None, Content::Own(told), Why::Signal, now);
        Ok(())
    }

    /// The lines before a position, newest first, and where the next piece begins.
    fn piece(&self, room: Option<RoomId>, before: u64) -> Result<(Vec<Told>, Option<u64>), Error> {
        let Some(room) = room else { return Ok((Vec::new(), None)) };
        let (mut lines, mut size, mut at) = (Vec::new(), 0, Some(before));
        while let Some(to) = at {
            let (from, to) = (place(room, 0), place(room, to));
            let rows = self.store.records.scan(LINES, &from, &to, Order::Backward, PAGE)?;
            if rows.is_empty() {
                at = None;
            }
            for (key, value) in rows {
                let damaged = || Error::Damaged("a line of a conversation".into());
                let (_, pos) = unplace(&key).ok_or_else(damaged)?;
                let line = Line::read(&value).ok_or_else(damaged)?;
                if size + line.body.len() > PIECE && !lines.is_empty() || lines.len() >= LINES_MAX {
                    return Ok((lines, at));
                }
                at = Some(pos);
                // What disappears has no text there, and goes to no other device later.
                if line.body.is_empty() {
                    continue;
                }
                let mine = match line.author {
                    Author::Me => true,
                    Author::Them => false,
                    Author::Note | Author::Alarm => continue,
                };
                let mark = match line.state {
                    LineState::Read => 2,
                    LineState::Delivered => 1,
                    _ => 0,
                };
                let more = line.more.told();
                size += line.body.len() + more.len();
                lines.push(Told { id: line.id, mine, at: line.at, body: line.body, mark, more });
            }
        }
        Ok((lines, None))
    }
}

/// What the other device has, with what is known here besides where its list is full, and so may not name all.
fn completed<T: PartialEq>(mut listed: Vec<(T, u64)>, known: impl Iterator<Item = T>) -> Vec<(T, u64)> {
    if listed.len() >= ROOMS_MAX {
        let besides = known.filter(|known| listed.iter().all(|(named, _)| named != known));
        let besides: Vec<(T, u64)> = besides.map(|known| (known, u64::MAX)).collect();
        listed.extend(besides);
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::tests::alone;

    #[test]
    fn whom_a_full_list_does_not_name_is_asked_for_too() {
        let now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };
        let name = |i: usize| AccountName::parse(&format!("friend{i}")).expect("valid");
        let mut talk = alone(now);
        for i in 0..=ROOMS_MAX {
            talk.room_with(&name(i), now);
        }
        let device = DeviceId([7; 16]);
        for (told, want) in [(ROOMS_MAX - 1, ROOMS_MAX - 1), (ROOMS_MAX, ROOMS_MAX + 1)] {
            talk.history = Some(Fetch::all(device));
            talk.heard_rooms(device, (0..told).map(|i| (name(i), 1)).collect(), now);
            let fetch = talk.history.as_ref().expect("it goes on");
            assert_eq!(fetch.rooms.as_ref().map(Vec::len), Some(want));
            assert_eq!(fetch.total, told as u64);
        }
        let last = talk.history.and_then(|fetch| fetch.rooms?.pop());
        assert_eq!(last, Some((Which::Person(name(ROOMS_MAX)), u64::MAX)));
    }
}
