//! Where lines stand in a conversation of two: each has a clock, above all that its author had seen there.
//!
//! So both ends and all their devices show the same order, and what goes out again after a crash stands
//! where it was said. Rooms of several have their own clock beside their log; see [`super::groups`].

use super::groups::CLOCK_AHEAD;
use super::talk::Talk;
use subrosa_shared::content::Content;
use subrosa_shared::id::{MessageId, RoomId};
use subrosa_shared::store::{Error, Store, Table};
use subrosa_shared::time::Now;

/// Room id → the highest clock that was seen in a conversation of two (u64 BE).
pub const CLOCKS: Table = Table { byte: 0x4a, name: "clocks" };

/// Where the clock of a conversation begins of which nothing is known here: at the second in which it does. Who goes on
/// from a key file, or set subrosa up anew, knows nothing of what was said before, and is not above it.
pub(super) fn begins(now: Now) -> u64 {
    (now.wall.0 / 1000).min(u64::from(u32::MAX))
}

/// The highest clock of a conversation that the store knows of.
pub(super) fn load(store: &Store, room: RoomId, now: Now) -> Result<u64, Error> {
    let Some(bytes) = store.records.get(CLOCKS, &room.0)? else { return Ok(begins(now)) };
    let clock = bytes.try_into().map(u64::from_be_bytes);
    clock.map_err(|_| Error::Damaged("the clock of a conversation".into()))
}

impl Talk {
    /// The clock of the next line in a conversation.
    pub(super) fn tick(&mut self, room: RoomId) -> u64 {
        if self.chat.group(room).is_some() {
            return self.tick_in(room);
        }
        let Some(r) = self.chat.room_mut(room) else { return 0 };
        r.clock += 1;
        let clock = r.clock;
        self.batch.put(CLOCKS, room.0, clock.to_be_bytes().to_vec());
        clock
    }

    /// A clock that was seen elsewhere: what is said from now on comes after it.
    pub(super) fn clock_passed(&mut self, room: RoomId, clock: u64) {
        if self.chat.group(room).is_some() {
            return self.clock_passed_in(room, clock);
        }
        if let Some(r) = self.chat.room_mut(room).filter(|room| room.clock < clock) {
            r.clock = clock;
            self.batch.put(CLOCKS, room.0, clock.to_be_bytes().to_vec());
        }
    }

    /// The clock that a line of somebody's says to have; 0, which stays where it came, for one far ahead of
    /// all others: nobody's lines may be the last ones for ever.
    pub(super) fn clock_said(&mut self, room: RoomId, clock: Option<u64>) -> u64 {
        let known = self.chat.room(room).map_or(0, |room| room.clock);
        let clock = clock.filter(|clock| *clock <= known.saturating_add(CLOCK_AHEAD)).unwrap_or(0);
        self.clock_passed(room, clock);
        clock
    }

    /// Content of a conversation of two as it goes out: a line with its clock, all else as it is.
    pub(super) fn placed(&self, room: RoomId, message: Option<&MessageId>, content: Content) -> Content {
        let line = content.is_line() && self.chat.group(room).is_none();
        let id = message.filter(|id| line && !self.is_act(id));
        match id.and_then(|id| self.clock_of(room, id)).filter(|clock| *clock > 0) {
            Some(clock) => content.placed(clock),
            None => content,
        }
    }
}
