//! The history comes from another own device: newest first, a piece at a time, taken up again after any
//! restart of either.
//!
//! The new device asks for each piece; the other one answers and remembers nothing. Positions are the
//! other device's and never change, so a piece that comes twice is known by what was asked, and a line
//! that is here already by its message id.

use super::person::Person;
use super::room::Room;
use super::talk::Talk;
use super::timeline::{Author, LINES, Line, LineState, PAGE, PLACES, place, unplace};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::time::Duration;
use subrosa_shared::content::Content;
use subrosa_shared::content::own::{LINES_MAX, Own, ROOMS_MAX, Told};
use subrosa_shared::id::{AccountName, DeviceId};
use subrosa_shared::session::Why;
use subrosa_shared::store::{Batch, Error, Order, Store, Table};
use subrosa_shared::time::{Millis, Now};

/// One record while a history is on its way: [`Fetch`].
pub const HISTORY: Table = Table { byte: 0x34, name: "history on its way" };
const KEY: &[u8] = b"fetch";

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
    rooms: Option<Vec<(AccountName, u64)>>,
    /// Lines that came.
    pub done: u64,
    /// Lines that there are, about.
    pub total: u64,
    #[serde(skip)]
    asked: Option<Millis>,
}

impl Fetch {
    /// Everything that this device has.
    pub fn all(from: DeviceId) -> Self {
        Self { from, rooms: None, done: 0, total: 0, asked: None }
    }

    /// Writes it.
    pub fn save(&self, batch: &mut Batch) {
        let value = postcard::to_stdvec(self).expect("a plan serialises: plain fields only");
        batch.put(HISTORY, KEY, value);
    }

    pub(super) fn load(store: &Store) -> Result<Option<Self>, Error> {
        let bytes = store.records.get(HISTORY, KEY)?;
        let damaged = |_| Error::Damaged("the plan of a history".into());
        bytes.map(|bytes| postcard::from_bytes(&bytes).map_err(damaged)).transpose()
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
            Some(Some((with, before))) => Own::WantLines { with, before },
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
        self.chat.history = None;
        self.notice(format!("{text}: {} messages came from your other device", fetch.done), error);
    }

    /// Which conversations the other device has.
    pub(super) fn heard_rooms(&mut self, device: DeviceId, rooms: Vec<(AccountName, u64)>, now: Now) {
        let Some(fetch) = self.history.as_mut().filter(|fetch| fetch.from == device && fetch.rooms.is_none())
        else {
            return;
        };
        fetch.total = rooms.iter().map(|(_, end)| end % BASE).sum();
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
        before: u64,
        next: Option<u64>,
        lines: Vec<Told>,
        now: Now,
    ) -> Result<(), Error> {
        let asked = |fetch: &Fetch| {
            let first = fetch.rooms.as_ref().and_then(|rooms| rooms.first());
            fetch.from == device && first.is_some_and(|(name, at)| name == with && *at == before)
        };
        if !self.history.as_ref().is_some_and(asked) || *with == self.chat.name {
            return Ok(());
        }
        let came = self.put_before(with, lines, now)?;
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
        self.chat.history = Some((fetch.done, fetch.total));
        self.fetch_on(now);
        Ok(())
    }

    /// Writes older lines before those of a conversation; those that are here already are left out.
    fn put_before(&mut self, with: &AccountName, lines: Vec<Told>, now: Now) -> Result<u64, Error> {
        let room = match self.chat.with(with) {
            Some(room) => room.id,
            None => self.new_room(with.clone(), None, Person::default(), now),
        };
        let first =
            self.store.records.scan(LINES, &place(room, 0), &place(room, u64::MAX), Order::Forward, 1)?;
        let end = self.chat.room(room).map_or(0, |room| room.kept.lines);
        let mut low = first.first().and_then(|(key, _)| unplace(key)).map_or(end, |(_, pos)| pos);
        let newest = lines.first().map(|line| line.at);
        let (mut came, mut seen) = (0, HashSet::new());
        for Told { id, mine, at, body, mark } in lines {
            if low == 0 || !seen.insert(id) || self.place_of(&id)?.is_some() {
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
            let line = Line::new(id, author, at, body, state);
            self.batch.put(LINES, place(room, low), line.encode());
            self.batch.put(PLACES, id.0, place(room, low));
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
        let told = self.chat.rooms.iter().filter(|room| room.person.is_contact());
        let told = told.filter_map(|room: &Room| Some((room.with()?.clone(), room.kept.lines)));
        let rooms = told.take(ROOMS_MAX).collect();
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
        let (mut lines, mut size, mut at) = (Vec::new(), 0, Some(before));
        if let Some(room) = room {
            'piece: while let Some(to) = at {
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
                        break 'piece;
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
                    size += line.body.len();
                    lines.push(Told { id: line.id, mine, at: line.at, body: line.body, mark });
                }
            }
        } else {
            at = None;
        }
        let told = Own::Lines { with, before, next: at, lines };
        self.transmit_to(device, None, Content::Own(told), Why::Signal, now);
        Ok(())
    }
}
