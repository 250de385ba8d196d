//! What of a conversation rings, and how many unread lines call the person by name.

use super::room::Room;
use super::talk::Talk;
use super::timeline::{Author, Line};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use subrosa_shared::content::own::{Level, Rings};
use subrosa_shared::id::{AccountName, RoomId};
use subrosa_shared::store::{Batch, Error, Store, Table};
use subrosa_shared::time::{Millis, Now};

/// Room id → version (1) ‖ [`Attention`]. No entry: everything rings, and nobody was called.
pub const ATTENTION: Table = Table { byte: 0xa3, name: "attention" };

/// What of one conversation rings, and what was missed in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attention {
    /// Which lines ring.
    pub rings: Rings,
    /// Unread lines that mention this account.
    pub mentions: u32,
}

impl Attention {
    pub(super) fn load(store: &Store, room: RoomId, muted: bool) -> Result<Self, Error> {
        match store.records.get(ATTENTION, &room.0)? {
            Some(bytes) => match bytes.split_first() {
                Some((&VERSION, rest)) => postcard::from_bytes(rest).ok(),
                _ => None,
            }
            .ok_or_else(|| Error::Damaged("what rings".into())),
            // Silenced before there were levels.
            None if muted => Ok(Self { rings: Rings { level: Level::None, until: None }, ..Self::default() }),
            None => Ok(Self::default()),
        }
    }

    fn save(&self, room: RoomId, batch: &mut Batch) {
        let value = postcard::to_extend(self, vec![VERSION]);
        batch.put(ATTENTION, room.0, value.expect("it serialises: plain fields only"));
    }

    /// Whether a new line rings.
    pub fn lets_ring(&self, mentioned: bool) -> bool {
        match self.rings.level {
            Level::All => true,
            Level::Mentions => mentioned,
            Level::None => false,
        }
    }

    /// Not every line rings.
    pub fn is_muted(&self) -> bool {
        self.rings.level != Level::All
    }

    /// What rings, in words.
    pub fn said(&self, now: Now) -> String {
        let what = match self.rings.level {
            Level::All => return "everything rings here".into(),
            Level::Mentions => "only what mentions you rings here",
            Level::None => "nothing rings here",
        };
        match self.rings.until {
            Some(until) => {
                let left = u32::try_from(until.since(now.wall).as_millis()).unwrap_or(u32::MAX);
                format!("{what} for {}", super::wait_in_words(left))
            }
            None => format!("{what} any more"),
        }
    }
}

impl Room {
    /// Whether the line makes it unread.
    pub(super) fn counts(line: &Line) -> bool {
        line.author == Author::Them && line.more.deleted.is_none() && line.more.told.is_none()
    }

    /// Something unread asks for the person: it is no stranger's, and rings.
    pub fn is_loud(&self) -> bool {
        let waits = self.kept.unread > 0 && !self.attention.is_muted();
        let called = self.attention.mentions > 0 && self.attention.rings.level != Level::None;
        (waits || called) && self.person.is_contact()
    }
}

impl Talk {
    /// Sets what of a conversation rings, for some time or for good.
    pub fn set_rings(&mut self, room: RoomId, level: Level, seconds: Option<u32>, now: Now) {
        let after = |seconds: u32| now.wall.plus(Duration::from_secs(seconds.into()));
        let until = seconds.filter(|_| level != Level::All).map(after);
        self.rings(room, Rings { level, until }, now);
    }

    /// The same, as another own device set it.
    pub(super) fn rings(&mut self, room: RoomId, rings: Rings, now: Now) {
        if let Some(r) = self.chat.rooms.iter_mut().find(|r| r.id == room) {
            r.attention.rings = rings;
            r.attention.save(room, &mut self.batch);
            r.kept.muted = r.attention.is_muted();
            r.save(&mut self.batch);
        }
        self.rings_over(now);
    }

    /// What was silenced for a while rings again.
    pub(super) fn rings_over(&mut self, now: Now) {
        let over = |room: &&mut Room| room.attention.rings.until.is_some_and(|until| until <= now.wall);
        let mut again = Vec::new();
        for r in self.chat.rooms.iter_mut().filter(over) {
            r.attention.rings = Rings::default();
            r.attention.save(r.id, &mut self.batch);
            r.kept.muted = false;
            r.save(&mut self.batch);
            again.push(r.id);
        }
        // Nobody decided that now: where something else was decided meanwhile, that holds.
        for room in again {
            self.look_at_room(room);
        }
        let first = self.chat.rooms.iter().filter_map(|room| room.attention.rings.until).min();
        self.rings_due = first.map(|until| now.mono.plus(until.since(now.wall)));
    }

    /// Whether a line calls this account.
    pub(super) fn mentions_me(&self, mentions: &[AccountName]) -> bool {
        mentions.contains(&self.chat.name)
    }

    /// That many unread lines call the person.
    pub(super) fn called(&mut self, room: RoomId, mentions: u32) {
        if let Some(r) = self.chat.rooms.iter_mut().find(|r| r.id == room)
            && r.attention.mentions != mentions
        {
            r.attention.mentions = mentions;
            r.attention.save(room, &mut self.batch);
        }
    }

    /// Counts anew what is unread in a conversation, after its line at `gone` lost its words.
    pub(super) fn recount(&mut self, room: RoomId, gone: Option<u64>) -> Result<(), Error> {
        let (store, me) = (self.store.clone(), self.chat.name.clone());
        let Some(r) = self.chat.rooms.iter_mut().find(|r| r.id == room) else { return Ok(()) };
        if r.kept.unread == 0 {
            return Ok(());
        }
        let (mut unread, mut mentions) = (0, 0);
        let mut count = |pos: u64, line: &Line| {
            if pos >= r.kept.read && Some(pos) != gone && Room::counts(line) {
                unread += 1;
                mentions += u32::from(line.more.mentions.contains(&me));
            }
        };
        r.timeline.stored(&store, r.kept.read, |pos, line| count(pos, &line))?;
        r.timeline.lines().for_each(|(pos, line)| count(pos, line));
        r.kept.unread = unread;
        if unread == 0 {
            r.kept.read = r.kept.lines;
        }
        r.save(&mut self.batch);
        self.called(room, mentions);
        Ok(())
    }

    /// When the first of what was silenced for a while rings again.
    pub(super) fn rings_due(&self) -> Option<Millis> {
        self.rings_due
    }
}

const VERSION: u8 = 1;
