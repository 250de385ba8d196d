//! What was said before there was an index: indexed a page at a time, while nobody waits for it.

use super::index::{Fill, Found, Index, STEP};
use super::index_line;
use crate::chat::history::BASE;
use crate::chat::talk::Talk;
use crate::chat::timeline::{LINES, Line, place, unplace};
use std::time::Duration;
use subrosa_shared::id::RoomId;
use subrosa_shared::store::{Error, Order};
use subrosa_shared::time::{Millis, Now};

/// The index, and when it goes on filling.
pub struct Search {
    pub(super) index: Index,
    /// Monotonic.
    due: Option<Millis>,
}

/// Between two steps everything else has its turn.
const PAUSE: Duration = Duration::from_millis(20);

impl Fill {
    /// Whether filling has still to come to that line.
    pub(super) fn will_come_to(&self, room: RoomId, pos: u64) -> bool {
        self.rooms.iter().any(|(other, before)| *other == room && pos < *before)
    }
}

impl Search {
    pub(in crate::chat) fn new(index: Index) -> Self {
        Self { index, due: None }
    }

    pub(in crate::chat) fn due(&self) -> Option<Millis> {
        self.due
    }

    /// Indexes a line that was written a moment ago.
    pub(in crate::chat) fn line(
        &mut self,
        room: RoomId,
        pos: u64,
        line: &Line,
        batch: &mut subrosa_shared::store::Batch,
    ) {
        if !self.index.state.fill.will_come_to(room, pos) {
            index_line(&mut self.index, room, pos, line, batch);
        }
    }
}

impl Talk {
    /// The index is there, or it is filled from now on.
    pub(in crate::chat) fn load_index(&mut self, found: Found, now: Now) -> Result<(), Error> {
        if found == Found::Nothing {
            self.index_anew()?;
        }
        self.fill_later(now);
        Ok(())
    }

    /// Forgets the index and fills it from what is stored.
    pub(in crate::chat) fn index_anew(&mut self) -> Result<(), Error> {
        let store = self.store.clone();
        self.search.index.clear(&store, &mut self.batch)?;
        let rooms = self.chat.rooms.iter().map(|room| (room.id, room.kept.lines));
        let rooms: Vec<(RoomId, u64)> = rooms.filter(|(_, lines)| *lines > 0).collect();
        let total = rooms.iter().map(|(_, lines)| lines % BASE).sum();
        self.search.index.state.fill = Fill { rooms, done: 0, total };
        self.search.index.save(&mut self.batch);
        self.search.due = Some(Millis(0));
        self.chat.indexing = Some((0, total));
        Ok(())
    }

    fn fill_later(&mut self, now: Now) {
        let fill = &self.search.index.state.fill;
        let open = !fill.rooms.is_empty();
        self.search.due = open.then(|| now.mono.plus(PAUSE));
        self.chat.indexing = open.then_some((fill.done, fill.total.max(fill.done)));
    }

    /// Time for a step.
    pub(in crate::chat) fn fill_wake(&mut self, now: Now) -> Result<(), Error> {
        if self.search.due.is_none_or(|due| due > now.mono) {
            return Ok(());
        }
        let Some(&(room, before)) = self.search.index.state.fill.rooms.first() else {
            self.fill_later(now);
            return Ok(());
        };
        let rows =
            self.store.records.scan(LINES, &place(room, 0), &place(room, before), Order::Backward, STEP)?;
        let mut lowest = 0;
        for (key, value) in &rows {
            let damaged = || Error::Damaged("a line of a conversation".into());
            let (_, pos) = unplace(key).ok_or_else(damaged)?;
            let line = Line::read(value).ok_or_else(damaged)?;
            index_line(&mut self.search.index, room, pos, &line, &mut self.batch);
            lowest = pos;
        }
        let fill = &mut self.search.index.state.fill;
        fill.done += rows.len() as u64;
        if rows.len() < STEP || lowest == 0 {
            fill.rooms.remove(0);
        } else {
            fill.rooms[0].1 = lowest;
        }
        self.search.index.save(&mut self.batch);
        self.fill_later(now);
        Ok(())
    }
}
