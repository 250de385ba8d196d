//! How far an own line got in a room: to whom of how many.

use super::super::talk::Talk;
use super::super::timeline::LineState;
use std::collections::BTreeMap;
use subrosa_shared::content::Mark;
use subrosa_shared::id::{AccountName, MessageId, RoomId};
use subrosa_shared::store::{Error, Table};

/// Message id → version (1) ‖ each member it went to, and 0 (nothing yet), 1 (delivered) or 2 (read).
pub const TALLIES: Table = Table { byte: 0x43, name: "tallies of lines" };

/// How many have a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// It is on their disk, or further.
    pub delivered: usize,
    /// It was on their screen.
    pub read: usize,
    /// All it went to who are still in the room.
    pub of: usize,
}

type Marks = BTreeMap<AccountName, u8>;

impl Talk {
    /// How many members have an own line of a room; `None` for any other line.
    ///
    /// # Errors
    /// Those of the store.
    pub fn tally(&self, room: RoomId, id: &MessageId) -> Result<Option<Tally>, Error> {
        Ok(self.marks(id)?.map(|marks| self.count(room, &marks)))
    }

    /// An own line goes out to everybody who is in.
    pub(super) fn begin_tally(&mut self, room: RoomId, id: MessageId) {
        let known = self.marks(&id).ok().flatten();
        let Some(group) = self.chat.group(room).filter(|_| known.is_none()) else { return };
        let others = group.log.state().members.keys().filter(|name| **name != self.chat.name);
        let marks: Marks = others.map(|name| (name.clone(), 0)).collect();
        self.keep_marks(&id, &marks);
    }

    /// A member's receipt for an own line.
    pub(super) fn tallied(
        &mut self,
        room: RoomId,
        name: &AccountName,
        id: MessageId,
        mark: Mark,
    ) -> Result<(), Error> {
        let Some(mut marks) = self.marks(&id)? else { return Ok(()) };
        let Some(had) = marks.get_mut(name) else { return Ok(()) };
        let further = if mark == Mark::Read { 2 } else { 1 };
        if *had >= further {
            return Ok(());
        }
        *had = further;
        self.keep_marks(&id, &marks);
        self.mark_tally(room, id, &marks)
    }

    fn mark_tally(&mut self, room: RoomId, id: MessageId, marks: &Marks) -> Result<(), Error> {
        let tally = self.count(room, marks);
        if tally.of == 0 || tally.delivered < tally.of {
            return Ok(());
        }
        let state = if tally.read == tally.of { LineState::Read } else { LineState::Delivered };
        self.mark_line(Some(id), state)
    }

    fn count(&self, room: RoomId, marks: &Marks) -> Tally {
        let here = |name: &AccountName| self.chat.group(room).is_some_and(|group| group.role(name).is_some());
        let mut tally = Tally::default();
        for mark in marks.iter().filter(|(name, _)| here(name)).map(|(_, mark)| *mark) {
            tally.of += 1;
            tally.delivered += usize::from(mark > 0);
            tally.read += usize::from(mark > 1);
        }
        tally
    }

    fn marks(&self, id: &MessageId) -> Result<Option<Marks>, Error> {
        let Some(bytes) = self.store.records.get(TALLIES, &id.0)? else { return Ok(None) };
        let marks = match bytes.split_first() {
            Some((&VERSION, rest)) => postcard::from_bytes(rest).ok(),
            _ => None,
        };
        marks.map(Some).ok_or_else(|| Error::Damaged("the tally of a line".into()))
    }

    fn keep_marks(&mut self, id: &MessageId, marks: &Marks) {
        let value = postcard::to_extend(marks, vec![VERSION]).expect("it serialises: plain fields only");
        self.batch.put(TALLIES, id.0, value);
    }
}

const VERSION: u8 = 1;
