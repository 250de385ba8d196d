//! How far an own line got in a room: to whom of how many.

use super::super::talk::Talk;
use super::super::timeline::LineState;
use super::Group;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use subrosa_shared::content::Mark;
use subrosa_shared::id::{AccountName, MessageId, RoomId};
use subrosa_shared::store::{Error, Table};

/// Message id → version (2) ‖ `Kept`.
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

/// Each member it went to, and 0 (nothing yet), 1 (delivered) or 2 (read).
pub(super) type Marks = BTreeMap<AccountName, u8>;

/// What is stored of something that was said in a room.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The height of the log at which it was written. It is sent again with that.
    height: u64,
    marks: Marks,
}

impl Talk {
    /// How many members have an own line of a room; `None` for any other line.
    ///
    /// # Errors
    /// Those of the store.
    pub fn tally(&self, room: RoomId, id: &MessageId) -> Result<Option<Tally>, Error> {
        let Some(group) = self.chat.group(room) else { return Ok(None) };
        Ok(self.kept_tally(id)?.map(|kept| group.count(&kept.marks)))
    }

    /// Has the tallies of the newest own lines at hand, for the screen.
    pub(in crate::chat) fn tallies_at_hand(&mut self, room: RoomId) -> Result<(), Error> {
        let Some((r, group)) = self.chat.groups().find(|(r, _)| r.id == room) else { return Ok(()) };
        let own = r.timeline.lines().rev().map(|(_, line)| line);
        let own =
            own.filter(|line| matches!(line.state, LineState::Sent | LineState::Delivered)).take(AT_HAND);
        let wanted: Vec<MessageId> =
            own.map(|line| line.id).filter(|id| !group.tallies.contains_key(id)).collect();
        for id in wanted {
            if let Some(kept) = self.kept_tally(&id)?
                && let Some(group) = self.chat.group_mut(room)
            {
                group.tallies.insert(id, kept.marks);
            }
        }
        Ok(())
    }

    /// An own line, or act, goes out to everybody who is in; gives the height at which it was written.
    pub(super) fn begin_tally(&mut self, room: RoomId, id: MessageId) -> Option<u64> {
        if let Some(known) = self.kept_tally(&id).ok().flatten() {
            return Some(known.height);
        }
        let group = self.chat.group(room)?;
        let others = group.log.state().members.keys().filter(|name| **name != self.chat.name);
        let marks = others.map(|name| (name.clone(), 0)).collect();
        let kept = Kept { height: group.log.height(), marks };
        self.keep_tally(room, &id, &kept);
        Some(kept.height)
    }

    /// A member's receipt for an own line.
    pub(super) fn tallied(
        &mut self,
        room: RoomId,
        name: &AccountName,
        id: MessageId,
        mark: Mark,
    ) -> Result<(), Error> {
        let Some(mut kept) = self.kept_tally(&id)? else { return Ok(()) };
        let Some(had) = kept.marks.get_mut(name) else { return Ok(()) };
        let further = if mark == Mark::Read { 2 } else { 1 };
        if *had >= further {
            return Ok(());
        }
        *had = further;
        self.keep_tally(room, &id, &kept);
        self.mark_tally(room, id, &kept.marks)
    }

    /// Own lines at hand that went to that member.
    pub(super) fn lines_to(&self, room: RoomId, name: &AccountName) -> BTreeSet<MessageId> {
        let tallies = self.chat.group(room).into_iter().flat_map(|group| &group.tallies);
        tallies.filter(|(_, marks)| marks.contains_key(name)).map(|(id, _)| *id).collect()
    }

    /// Fewer people are to have an own line.
    pub(super) fn tally_again(&mut self, room: RoomId, id: MessageId) -> Result<(), Error> {
        match self.kept_tally(&id)? {
            Some(kept) => self.mark_tally(room, id, &kept.marks),
            None => Ok(()),
        }
    }

    fn mark_tally(&mut self, room: RoomId, id: MessageId, marks: &Marks) -> Result<(), Error> {
        let Some(tally) = self.chat.group(room).map(|group| group.count(marks)) else { return Ok(()) };
        if tally.of == 0 || tally.delivered < tally.of {
            return Ok(());
        }
        let state = if tally.read == tally.of { LineState::Read } else { LineState::Delivered };
        self.mark_line(Some(id), state)
    }

    fn kept_tally(&self, id: &MessageId) -> Result<Option<Kept>, Error> {
        if let Some(kept) = self.groups.tallies.get(id) {
            return Ok(Some(kept.clone()));
        }
        let Some(bytes) = self.store.records.get(TALLIES, &id.0)? else { return Ok(None) };
        let kept = match bytes.split_first() {
            Some((&VERSION, rest)) => postcard::from_bytes(rest).ok(),
            // Where it was written was not kept yet.
            Some((1, rest)) => postcard::from_bytes(rest).ok().map(|marks| Kept { height: u64::MAX, marks }),
            _ => None,
        };
        kept.map(Some).ok_or_else(|| Error::Damaged("the tally of a line".into()))
    }

    fn keep_tally(&mut self, room: RoomId, id: &MessageId, kept: &Kept) {
        if let Some(group) = self.chat.group_mut(room) {
            if group.tallies.len() >= 2 * AT_HAND {
                group.tallies.clear();
            }
            group.tallies.insert(*id, kept.marks.clone());
        }
        let value = postcard::to_extend(kept, vec![VERSION]).expect("it serialises: plain fields only");
        self.batch.put(TALLIES, id.0, value);
        self.groups.tallies.insert(*id, kept.clone());
    }
}

impl Group {
    /// How many have an own line, where that is at hand.
    pub fn tally(&self, id: &MessageId) -> Option<Tally> {
        self.tallies.get(id).map(|marks| self.count(marks))
    }

    fn count(&self, marks: &Marks) -> Tally {
        let mut tally = Tally::default();
        for mark in marks.iter().filter(|(name, _)| self.role(name).is_some()).map(|(_, mark)| *mark) {
            tally.of += 1;
            tally.delivered += usize::from(mark > 0);
            tally.read += usize::from(mark > 1);
        }
        tally
    }
}

/// Own lines whose tallies are at hand.
const AT_HAND: usize = 64;
const VERSION: u8 = 2;
