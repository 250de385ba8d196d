//! What time alone changes in conversations, and when it next does.

use super::{EXPIRE_EVERY, Talk};
use crate::chat::Link;
use crate::chat::resets::{Heard, Resets};
use crate::effect::{Effect, Happened};
use subrosa_shared::id::RoomId;
use subrosa_shared::store::Error;
use subrosa_shared::time::{Millis, Now};

impl Talk {
    /// When time alone changes something next.
    pub fn next_wake(&self) -> Option<Millis> {
        let typing = self.chat.rooms.iter().filter_map(|room| room.typing);
        let claims = self.claim_after.values().map(|again| again.at);
        let claims = claims.chain(self.look_after.values().copied());
        // Without a connection nothing held can go out; the next login hands it over anyway.
        let held = self.outbox.due().filter(|_| self.chat.link == Link::Online);
        let lists =
            [self.lists.due(), self.linking_due(), self.history_due(), self.backup.due(), self.search.due()];
        let others =
            [self.call_due(), Some(self.expire_due), self.expiry.wake(), self.rings_due(), self.groups_due()];
        [self.receipts_due, self.files_due(), held, self.knock_due]
            .into_iter()
            .chain(others)
            .chain(lists)
            .flatten()
            .chain(typing)
            .chain(claims)
            .chain(self.resets.values().filter_map(Resets::due))
            .chain(self.heard.values().filter_map(Heard::due))
            .min()
    }

    /// Time has passed.
    ///
    /// # Errors
    /// Those of the store.
    pub fn wake(&mut self, now: Now) -> Result<(), Error> {
        if self.receipts_due.is_some_and(|due| due <= now.mono) {
            self.send_receipts(now);
        }
        if self.knock_due.take_if(|due| *due <= now.mono).is_some() {
            self.effects.push(Effect::Reconnect);
        }
        let mut stopped = Vec::new();
        for room in &mut self.chat.rooms {
            if room.typing.is_some_and(|until| until <= now.mono) {
                room.typing = None;
                stopped.push(room.whose());
            }
        }
        for with in stopped {
            self.tell(Happened::Typing { with, by: None, on: false });
        }
        if self.outbox.due().is_some_and(|due| due <= now.mono) {
            self.pump(now);
        }
        let due: Vec<RoomId> =
            self.look_after.iter().filter(|(_, at)| **at <= now.mono).map(|(room, _)| *room).collect();
        for room in due {
            self.look_after.remove(&room);
            self.look_up_unknown(room);
            self.flush_room(room, now);
        }
        let due = self.claim_after.iter().filter(|(_, again)| again.at <= now.mono);
        for device in due.map(|(device, _)| *device).collect::<Vec<_>>() {
            self.flush_device(device, now);
        }
        let advanced = self.advance_all(now);
        // Each new claim took its own along; the rest nobody needs now.
        self.claim_after.retain(|_, again| again.at > now.mono);
        advanced?;
        self.groups_wake(now)?;
        self.devices_wake(now);
        self.linking_wake(now);
        self.history_wake(now);
        self.fill_wake(now)?;
        for device in self.resets.keys().copied().collect::<Vec<_>>() {
            self.answer_unknown(device, now)?;
        }
        let due = self.heard.iter().filter(|(_, heard)| heard.due().is_some_and(|due| due <= now.mono));
        for device in due.map(|(device, _)| *device).collect::<Vec<_>>() {
            self.heed_reset(device, now)?;
        }
        if self.expire_due <= now.mono {
            self.expire(now);
            if self.chat.link == Link::Online {
                self.is_here(now)?;
            }
        }
        if self.rings_due().is_some_and(|due| due <= now.mono) {
            self.rings_over(now);
        }
        self.call_wake(now);
        self.backup_wake(now);
        if self.files_due().is_some_and(|due| due <= now.mono) {
            self.run_transfers(now);
        }
        Ok(())
    }

    pub(super) fn expire(&mut self, now: Now) {
        self.expire_due = now.mono.plus(EXPIRE_EVERY);
        if self.believes(now) {
            self.sessions.clock_back(now.wall, &mut self.batch);
        }
        self.sessions.expire(now, &mut self.batch);
        self.expire_parked(now);
        self.expire_marks(now);
        self.expire_early(now);
        if self.chat.link == Link::Online {
            // A connection may last longer than a last-resort prekey: it is rotated here too.
            self.publish(u32::MAX, true, now);
        }
    }
}
