//! What time alone changes in rooms of several.

use super::super::link_is_up;
use super::super::talk::Talk;
use super::entries::ASK_AGAIN;
use crate::effect::Happened;
use std::time::Duration;
use subrosa_shared::id::{AccountName, DeviceId, RoomId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::session::Why;
use subrosa_shared::store::Error;
use subrosa_shared::time::{Millis, Now};

/// How often a log is asked for that goes on with what nobody vouches for.
pub(super) const SELDOM: Duration = Duration::from_secs(60);

impl Talk {
    /// Time has passed for rooms: what is missing is asked for again, own operations are tried again.
    pub(in crate::chat) fn groups_wake(&mut self, now: Now) -> Result<(), Error> {
        let over: Vec<AccountName> = {
            let due = |at: &Millis| *at <= now.mono;
            self.groups.after.iter().filter(|(_, at)| due(at)).map(|(name, _)| name.clone()).collect()
        };
        for name in &over {
            self.groups.after.remove(name);
        }
        if !over.is_empty() {
            self.ask_members(now);
        }
        for room in self.group_ids() {
            let Some(group) = self.chat.group_mut(room) else { continue };
            let stopped: Vec<AccountName> = group
                .typing
                .iter()
                .filter(|(_, until)| **until <= now.mono)
                .map(|(name, _)| name.clone())
                .collect();
            group.typing.retain(|_, until| *until > now.mono);
            let due = group.due.is_some_and(|due| due <= now.mono);
            if due {
                group.due = None;
            }
            if group.asking.over(now) {
                self.want_past(room, now);
            }
            if let Some(with) = self.chat.room(room).map(super::super::room::Room::whose) {
                for name in stopped {
                    self.tell(Happened::Typing { with: with.clone(), by: Some(name), on: false });
                }
            }
            if due && link_is_up(&self.chat) {
                self.ask_for_news(room, now)?;
            }
        }
        self.doors_wake(now);
        Ok(())
    }

    /// Asks a few members for what is missing, and tries own operations again.
    fn ask_for_news(&mut self, room: RoomId, now: Now) -> Result<(), Error> {
        let Some(group) = self.chat.group_mut(room) else { return Ok(()) };
        let missing = group.missing.filter(|(height, _)| *height > group.log.height());
        group.missing = missing;
        let (want, stuck) = (group.want(), group.tries > 0);
        if missing.is_some() || stuck {
            let state = group.log.state().clone();
            let (peers, _) = self.recipients(&state);
            let mut asked: Vec<DeviceId> = missing.map(|(_, device)| device).into_iter().collect();
            let ready =
                peers.iter().map(Peer::device).filter(|device| !self.sessions.needs_bundle(device, now));
            asked.extend(ready.filter(|device| self.online.contains(device)).take(2));
            asked.extend(peers.iter().map(Peer::device).take(2));
            asked.sort_unstable();
            asked.dedup();
            for device in asked {
                self.transmit_to(device, None, want.clone(), Why::Signal, now);
            }
        }
        if missing.is_some() {
            let stopped = self.chat.group(room).is_some_and(|group| group.stopped);
            self.wake_group(room, now, if stopped { SELDOM } else { ASK_AGAIN });
        }
        self.advance(room, now)
    }

    /// When a room has to be looked at again.
    pub(in crate::chat) fn groups_due(&self) -> Option<Millis> {
        let rooms = self.chat.groups().flat_map(|(_, group)| {
            group.due.into_iter().chain(group.asking.due()).chain(group.typing.values().copied())
        });
        rooms.chain(self.groups.after.values().copied()).chain(self.doors_due()).min()
    }
}
