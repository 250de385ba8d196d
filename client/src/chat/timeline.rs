//! The lines of one conversation: a window in memory over what the store holds.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use subrosa_shared::id::{MessageId, RoomId};
use subrosa_shared::store::{Batch, Error, Order, Store, Table};
use subrosa_shared::time::Millis;

/// One line, by position: `room ‖ pos` → [`Line`].
pub const LINES: Table = Table { byte: 0x21, name: "lines" };
/// Where a message stands: message id → `room ‖ pos`.
pub const PLACES: Table = Table { byte: 0x22, name: "places" };

/// One line of a timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Drawn by its author.
    pub id: MessageId,
    /// Who wrote it.
    pub author: Author,
    /// The author's clock for other people's lines, ours for our own.
    pub at: Millis,
    /// Foreign text: harmless only after the screen made it so.
    pub body: String,
    /// How far it got.
    pub state: LineState,
}

/// Who wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Author {
    /// This account.
    Me,
    /// The other person.
    Them,
    /// subrosa itself: a grey line.
    Note,
    /// subrosa itself: a line that must not be missed.
    Alarm,
}

/// How far an own line got; other lines are `Received`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LineState {
    /// Somebody else's.
    Received,
    /// Here only.
    Sending,
    /// The relay refuses it for now; it is tried again. Why, for the person.
    Waiting(String),
    /// On the relay's disk.
    Sent,
    /// On the other person's disk.
    Delivered,
    /// On the other person's screen.
    Read,
}

/// A conversation's lines: positions count from 0 and never change; `first()..end()` is in memory.
#[derive(Debug)]
pub struct Timeline {
    room: RoomId,
    first: u64,
    lines: VecDeque<Line>,
    /// Seconds that messages stay, 0: for ever.
    timer: u32,
    /// Lines whose text lies apart, see [`super::expiry`].
    timed: BTreeSet<u64>,
}

/// How many lines are read from the store at a time.
pub const PAGE: usize = 256;

impl Timeline {
    /// The newest lines of a room that has `end` of them.
    ///
    /// # Errors
    /// Those of the store.
    pub fn load(store: &Store, room: RoomId, end: u64) -> Result<Self, Error> {
        let mut timeline = Self::closed(room, end);
        timeline.older(store)?;
        Ok(timeline)
    }

    /// Nothing in memory yet of a room that has `end` lines.
    pub fn closed(room: RoomId, end: u64) -> Self {
        Self { room, first: end, lines: VecDeque::new(), timer: 0, timed: BTreeSet::new() }
    }

    /// Seconds that messages stay once they were read, 0: for ever.
    pub fn timer(&self) -> u32 {
        self.timer
    }

    pub(super) fn set_timer(&mut self, seconds: u32) {
        self.timer = seconds;
    }

    /// The line there, or the next one that is pushed there, is stored without its text.
    pub(super) fn is_timed(&mut self, pos: u64) {
        self.timed.insert(pos);
    }

    /// Forgets the text of a line.
    pub(super) fn erase(&mut self, pos: u64) {
        self.timed.remove(&pos);
        let index = pos.checked_sub(self.first).and_then(|i| usize::try_from(i).ok());
        if let Some(line) = index.and_then(|i| self.lines.get_mut(i)) {
            line.body = String::new();
        }
    }

    /// Reads one more page of older lines into memory. False when there are none.
    ///
    /// # Errors
    /// Those of the store.
    pub fn older(&mut self, store: &Store) -> Result<bool, Error> {
        let (from, to) = (place(self.room, 0), place(self.room, self.first));
        if self.first == 0 {
            return Ok(false);
        }
        let rows = store.records.scan(LINES, &from, &to, Order::Backward, PAGE)?;
        for (key, value) in &rows {
            if unplace(key).map(|(_, pos)| pos + 1) != Some(self.first) {
                return Err(Error::Damaged("a line of a conversation is missing".into()));
            }
            let mut line: Line =
                postcard::from_bytes(value).map_err(|_| Error::Damaged("a line of a conversation".into()))?;
            if self.timed.contains(&(self.first - 1)) {
                line.body = super::expiry::reveal(store, self.room, self.first - 1)?.unwrap_or_default();
            }
            self.lines.push_front(line);
            self.first -= 1;
        }
        Ok(!rows.is_empty())
    }

    /// Hands over the lines from `from` on that are not in memory, oldest first.
    ///
    /// # Errors
    /// Those of the store.
    pub fn stored(&self, store: &Store, from: u64, mut each: impl FnMut(u64, Line)) -> Result<(), Error> {
        let mut from = from;
        while from < self.first {
            let (start, end) = (place(self.room, from), place(self.room, self.first));
            let rows = store.records.scan(LINES, &start, &end, Order::Forward, PAGE)?;
            if rows.is_empty() {
                break;
            }
            for (key, value) in rows {
                let damaged = || Error::Damaged("a line of a conversation".into());
                let (_, pos) = unplace(&key).ok_or_else(damaged)?;
                each(pos, postcard::from_bytes(&value).map_err(|_| damaged())?);
                from = pos + 1;
            }
        }
        Ok(())
    }

    /// Position of the oldest line in memory.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Position after the newest line; how many there are in all.
    pub fn end(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    /// A line in memory.
    pub fn get(&self, pos: u64) -> Option<&Line> {
        self.lines.get(usize::try_from(pos.checked_sub(self.first)?).ok()?)
    }

    /// Lines in memory, oldest first.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = (u64, &Line)> {
        self.lines.iter().enumerate().map(|(i, line)| (self.first + i as u64, line))
    }

    /// Adds a line at the end.
    pub fn push(&mut self, line: Line, batch: &mut Batch) -> u64 {
        let pos = self.end();
        let place = place(self.room, pos);
        batch.put(LINES, place.clone(), encoded(&line, self.timed.contains(&pos)));
        batch.put(PLACES, line.id.0, place);
        self.lines.push_back(line);
        pos
    }

    /// Moves an own line to a further state; never back. True when it changed.
    ///
    /// # Errors
    /// Those of the store, for a line that is not in memory.
    pub fn mark(
        &mut self,
        store: &Store,
        pos: u64,
        state: LineState,
        batch: &mut Batch,
    ) -> Result<bool, Error> {
        let key = place(self.room, pos);
        let index = pos.checked_sub(self.first).and_then(|i| usize::try_from(i).ok());
        let mut stored = None;
        let line = match index.and_then(|i| self.lines.get_mut(i)) {
            Some(line) => line,
            None => match store.records.get(LINES, &key)? {
                Some(bytes) => stored.insert(
                    postcard::from_bytes(&bytes)
                        .map_err(|_| Error::Damaged("a line of a conversation".into()))?,
                ),
                None => return Ok(false),
            },
        };
        // A refused line may start waiting with another reason; everything else only moves on.
        let waits = matches!(
            (&line.state, &state),
            (LineState::Waiting(_), LineState::Waiting(_) | LineState::Sending)
        );
        if line.author != Author::Me || line.state == state || (line.state > state && !waits) {
            return Ok(false);
        }
        line.state = state;
        batch.put(LINES, key, encoded(line, self.timed.contains(&pos)));
        Ok(true)
    }

    /// Forgets lines far from the end, to keep memory in bound.
    pub fn shrink(&mut self, keep: usize) {
        while self.lines.len() > keep {
            self.lines.pop_front();
            self.first += 1;
        }
    }
}

/// Key of a line.
pub fn place(room: RoomId, pos: u64) -> Vec<u8> {
    [room.0.as_slice(), &pos.to_be_bytes()].concat()
}

/// Room and position of a key that [`place`] made.
pub fn unplace(key: &[u8]) -> Option<(RoomId, u64)> {
    let (room, pos) = key.split_first_chunk::<16>()?;
    Some((RoomId(*room), u64::from_be_bytes(pos.try_into().ok()?)))
}

/// A line for the store, without its text when that lies apart.
fn encoded(line: &Line, apart: bool) -> Vec<u8> {
    let bare = apart.then(|| Line { body: String::new(), state: line.state.clone(), ..*line });
    postcard::to_stdvec(bare.as_ref().unwrap_or(line)).expect("a line serialises: plain fields only")
}
