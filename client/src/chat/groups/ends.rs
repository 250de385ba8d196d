//! Who is out is told so, also when the request that moved the head could not reach them.

use super::super::talk::Talk;
use super::End;
use subrosa_shared::content::Content;
use subrosa_shared::content::rooms::{AboutRoom, RoomTalk};
use subrosa_shared::id::RoomId;
use subrosa_shared::session::Why;
use subrosa_shared::session::roomlog::Entry;
use subrosa_shared::time::Now;

impl Talk {
    /// Tells those that they are out who did not learn it with the request that moved the head.
    pub(super) fn tell_ends(&mut self, room: RoomId, now: Now) {
        let Some(group) = self.chat.group(room) else { return };
        let (tag, ends) = (group.tag(), group.kept.ends.clone());
        for (device, End { from, to, .. }) in ends {
            let Some(group) = self.chat.group(room) else { return };
            // Nothing of what was done after it.
            let row = group.log.entries(from).iter().take_while(|entry| entry.height <= to);
            let talk = RoomTalk::Entries { entries: row.map(Entry::encode).collect(), keys: None };
            self.transmit_to(device, None, Content::Room(AboutRoom { room: tag, talk }), Why::Signal, now);
        }
        self.told_ends(room);
    }

    /// The connection is back: those who waited for that in an earlier run.
    pub(super) fn tell_ends_again(&mut self, room: RoomId, now: Now) {
        let ends = self.chat.group(room).map(|group| group.kept.ends.keys().copied().collect::<Vec<_>>());
        if ends.unwrap_or_default().iter().any(|device| !self.queues.contains_key(device)) {
            self.tell_ends(room, now);
        }
    }

    /// Those who are told by now, or will be as soon as there are keys of theirs in this run.
    pub(super) fn told_ends(&mut self, room: RoomId) {
        let queues = &self.queues;
        let Some(group) = self.chat.rooms.iter_mut().find(|r| r.id == room).and_then(|r| r.group.as_mut())
        else {
            return;
        };
        let before = group.kept.ends.len();
        group.kept.ends.retain(|device, _| queues.contains_key(device));
        if group.kept.ends.len() != before {
            self.save_group(room);
        }
    }
}
