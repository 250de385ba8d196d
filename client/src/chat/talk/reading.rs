//! Conversations as they are opened and read, with what was typed in them and not sent.

use super::Talk;
use crate::chat::expiry::TEXTS;
use crate::chat::room::{DRAFTS, NO_ROOM};
use crate::chat::state::last_read;
use crate::chat::timeline::{Author, LINES, PAGE, unplace};
use subrosa_shared::content::{Content, Mark};
use subrosa_shared::id::RoomId;
use subrosa_shared::session::Why;
use subrosa_shared::store::{Batch, Error, Order, Write};
use subrosa_shared::time::Now;

impl Talk {
    /// Opens a conversation.
    ///
    /// # Errors
    /// Those of the store.
    pub fn open(&mut self, room: RoomId, _now: Now) -> Result<(), Error> {
        if let Some(old) =
            self.chat.open.filter(|open| *open != room).and_then(|open| self.chat.room_mut(open))
        {
            old.divider = None;
            old.timeline.shrink(PAGE);
        }
        self.chat.past = None;
        let store = self.store.clone();
        if let Some(room) = self.chat.room_mut(room) {
            if room.timeline.first() == room.timeline.end() {
                room.timeline.older(&store)?;
            }
            room.divider = (room.kept.unread > 0).then_some(room.kept.read);
            self.chat.open = Some(room.id);
        }
        self.tallies_at_hand(room)
    }

    /// Reads older lines of the open conversation into memory.
    ///
    /// # Errors
    /// Those of the store.
    pub fn older(&mut self) -> Result<(), Error> {
        let store = self.store.clone();
        if let Some(past) = &mut self.chat.past {
            past.older(&store)?;
            past.shrink_end(OPEN_LINES);
            return Ok(());
        }
        if let Some(room) = self.chat.open.and_then(|open| self.chat.room_mut(open)) {
            room.timeline.older(&store)?;
        }
        Ok(())
    }

    /// Brings a line of the open conversation into memory: far from the newest ones, as a part of its own.
    ///
    /// # Errors
    /// Those of the store.
    pub fn look_at(&mut self, pos: u64) -> Result<(), Error> {
        let store = self.store.clone();
        self.chat.past = None;
        let Some(room) = self.chat.open.and_then(|open| self.chat.room_mut(open)) else { return Ok(()) };
        while room.timeline.first() > pos && room.timeline.first() - pos < NEAR {
            if !room.timeline.older(&store)? {
                break;
            }
        }
        if pos < room.timeline.first() {
            let past = room.timeline.part(&store, pos, pos + PAGE as u64 / 2)?;
            self.chat.past = Some(past);
        }
        Ok(())
    }

    /// Reads newer lines of the old part that is shown; at the conversation's end it is an old part no
    /// longer.
    ///
    /// # Errors
    /// Those of the store.
    pub fn newer(&mut self) -> Result<(), Error> {
        let store = self.store.clone();
        let Some(mut past) = self.chat.past.take() else { return Ok(()) };
        let Some(room) = self.chat.room_mut(past.room()) else { return Ok(()) };
        past.newer(&store, room.timeline.end())?;
        if past.end() >= room.timeline.end() {
            room.timeline.become_part(past);
        } else {
            past.shrink(OPEN_LINES);
            self.chat.past = Some(past);
        }
        Ok(())
    }

    /// Shows the newest lines again.
    pub fn leave_past(&mut self) {
        self.chat.past = None;
    }

    /// What was written a moment ago may stand in the old part that is shown.
    pub(super) fn follow_past(&mut self, batch: &Batch) {
        let Some(past) = &self.chat.past else { return };
        let (room, from, end) = (past.room(), past.first(), past.end());
        let touches = |write: &Write| {
            let (Write::Put(table, key, _) | Write::Delete(table, key)) = write;
            let here = unplace(key).is_some_and(|(of, pos)| of == room && (from..end).contains(&pos));
            (*table == LINES || *table == TEXTS) && here
        };
        if !batch.records.iter().any(touches) {
            return;
        }
        let read = self.chat.room(room).map(|room| room.timeline.part(&self.store, from, end));
        // What cannot be read any more is not shown any more.
        self.chat.past = read.and_then(Result::ok);
    }

    /// Forgets lines of the open conversation far above its end, which is on the screen.
    pub fn shrink(&mut self) {
        if let Some(room) = self.chat.open.and_then(|open| self.chat.room_mut(open))
            && room.timeline.end() - room.timeline.first() > 2 * OPEN_LINES as u64
        {
            room.timeline.shrink(OPEN_LINES);
        }
    }

    /// What was typed and not sent in an earlier run, under [`NO_ROOM`] with nothing open.
    ///
    /// # Errors
    /// Those of the store.
    pub fn drafts(&mut self) -> Result<Vec<(RoomId, String)>, Error> {
        let mut drafts = Vec::new();
        for (key, value) in self.store.records.scan(DRAFTS, &[], &[], Order::Forward, usize::MAX)? {
            let damaged = || Error::Damaged("a draft".into());
            let room = RoomId(key.try_into().map_err(|_| damaged())?);
            drafts.push((room, String::from_utf8(value).map_err(|_| damaged())?));
            self.drafted.insert(room);
        }
        Ok(drafts)
    }

    /// Keeps what was typed in a conversation and not sent; empty forgets it. False when it is not kept.
    pub fn keep_draft(&mut self, room: RoomId, text: &str) -> bool {
        // Where messages disappear, what was not even sent is not kept.
        let fleeting = self.chat.room(room).is_some_and(|room| room.timeline.timer() > 0);
        if text.trim().is_empty() || fleeting {
            if self.drafted.remove(&room) {
                self.batch.delete(DRAFTS, room.0);
            }
        } else if room == NO_ROOM || self.chat.room(room).is_some() {
            self.drafted.insert(room);
            self.batch.put(DRAFTS, room.0, text.as_bytes().to_vec());
        }
        text.trim().is_empty() || !fleeting
    }

    /// Everything in the conversation was seen.
    ///
    /// # Errors
    /// Those of the store.
    pub fn mark_read(&mut self, room: RoomId, now: Now) -> Result<(), Error> {
        let store = self.store.clone();
        let Some(room) = self.chat.rooms.iter_mut().find(|r| r.id == room) else { return Ok(()) };
        let tell = self.config.privacy.read_receipts && room.person.is_contact();
        if room.kept.read == room.kept.lines && room.kept.unread == 0 {
            return Ok(());
        }
        let id = room.id;
        let mut seen = Vec::new();
        if room.kept.unread > 0 {
            // What is not in memory was seen too: own devices hear of it, and its author waits for the mark.
            room.timeline.stored(&store, room.kept.read, |_, line| {
                if line.author == Author::Them && line.more.told.is_none() {
                    seen.push(line.id);
                }
            })?;
        }
        let in_memory = room
            .timeline
            .lines()
            .filter(|(pos, line)| *pos >= room.kept.read && line.author == Author::Them)
            .filter(|(_, line)| line.more.told.is_none())
            .map(|(_, line)| line.id);
        seen.extend(in_memory);
        room.kept.read = room.kept.lines;
        room.kept.unread = 0;
        let read = room.kept.read;
        let last = last_read(room).or_else(|| seen.last().copied());
        room.save(&mut self.batch);
        let newest = seen.last().copied().filter(|_| room.group.is_some());
        self.called(id, 0);
        self.shared.read.extend(last.map(|last| (id, last)));
        self.timers_read(id, read, now);
        if tell {
            for message in seen {
                self.owe(id, message, Mark::Read, now);
            }
        }
        if let Some(newest) = newest {
            let own = self.chat.name.clone();
            let read = Content::Receipt { ids: vec![newest], mark: Mark::Read };
            self.transmit_to_member(id, &own, &read, Why::Signal, now);
        }
        Ok(())
    }
}

/// Lines of the open conversation that stay in memory while its end is on the screen.
const OPEN_LINES: usize = 4 * PAGE;
/// So near the lines in memory an older one is read along with those between.
const NEAR: u64 = 2 * PAGE as u64;
