//! What time alone changes in rooms of several.

use super::super::link_is_up;
use super::super::talk::Talk;
use super::Group;
use super::again::Due;
use super::inbox::FORK;
use crate::effect::Happened;
use std::time::Duration;
use subrosa_shared::id::{AccountName, DeviceId, RoomId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::session::Why;
use subrosa_shared::store::Error;
use subrosa_shared::time::{Millis, Now};

/// How soon a missing piece of the log is asked for again; each time it takes twice as long as before…
const ASK_AGAIN: Duration = Duration::from_secs(3);
/// …up to this. So often a log is asked for, too, that goes on with what nobody vouches for.
const SELDOM: Duration = Duration::from_secs(60);
/// How often members are asked for what somebody says there is: some five minutes long. Those who are away find it
/// in their mailboxes.
pub(super) const ROUNDS_MAX: u8 = 8;

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
        for name in &over {
            if self.is_member(name) && self.awaits_list(name) {
                self.ask_newer(name);
            }
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
        self.chains_wake(now)
    }

    /// Asks a few members for what is missing, and tries own operations again.
    fn ask_for_news(&mut self, room: RoomId, now: Now) -> Result<(), Error> {
        let Some(group) = self.chat.group_mut(room) else { return Ok(()) };
        group.missing = group.missing.filter(|(height, _)| *height > group.log.height());
        let missing = group.missing.filter(|_| group.rounds < ROUNDS_MAX);
        group.rounds += u8::from(missing.is_some());
        let (want, stuck) = (group.want(), group.tries > 0);
        // By turns: some may be away for long, or miss it too.
        let turn = usize::from(group.rounds) + usize::from(group.tries);
        if missing.is_some() || stuck {
            let state = group.log.state().clone();
            let (peers, _) = self.recipients(&state);
            let mut asked: Vec<DeviceId> = missing.map(|(_, device)| device).into_iter().collect();
            let ready =
                peers.iter().map(Peer::device).filter(|device| !self.sessions.needs_bundle(device, now));
            asked.extend(ready.filter(|device| self.online.contains(device)).take(2));
            let others = peers.iter().map(Peer::device).cycle();
            asked.extend(others.skip(2 * turn.saturating_sub(1)).take(2));
            asked.sort_unstable();
            asked.dedup();
            for device in asked {
                self.transmit_to(device, None, want.clone(), Why::Signal, now);
            }
        }
        if missing.is_some() {
            let pause = self.chat.group(room).map_or(SELDOM, Group::pause);
            self.wake_group(room, now, pause);
        }
        self.invite_again(room, Due::Time, now);
        self.advance(room, now)
    }

    /// The connection is back: what is missing is asked for anew.
    pub(super) fn ask_anew(&mut self, room: RoomId, now: Now) {
        let Some(group) = self.chat.group_mut(room) else { return };
        group.rounds = 0;
        if group.missing.is_some() {
            self.wake_group(room, now, ASK_AGAIN);
        }
    }

    /// When a room has to be looked at again.
    pub(in crate::chat) fn groups_due(&self) -> Option<Millis> {
        let rooms = self.chat.groups().flat_map(|(_, group)| {
            group.due.into_iter().chain(group.asking.due()).chain(group.typing.values().copied())
        });
        let rooms = rooms.chain(self.groups.after.values().copied());
        let chains = self.groups.chains.later.into_iter().chain(self.groups.chains.anew);
        rooms.chain(chains).chain(self.doors_due()).min()
    }
}

impl Group {
    /// A device showed that height, which is not here. Whether it is asked for it at once: members are asked for
    /// [`ROUNDS_MAX`] rounds, after that who shows it alone, and seldom. What comes begins the rounds anew.
    pub(super) fn misses(&mut self, height: u64, device: DeviceId, now: Now) -> bool {
        let since = self.asked.map(|at| now.mono.since(at));
        let lately = |span: Duration| since.is_some_and(|since| since < span);
        let vain = self.rounds >= ROUNDS_MAX;
        let asks = match self.missing.filter(|(known, _)| *known > self.log.height()) {
            None => {
                self.rounds = 0;
                true
            }
            Some((known, _)) if !vain && known >= height => return false,
            Some((_, of)) if !vain => of != device || !lately(ASK_AGAIN),
            // Another history brings nothing, however often it comes.
            Some(_) if lately(SELDOM) || self.warned.contains(&(FORK, device)) => return false,
            Some(_) => true,
        };
        self.missing = Some((height, device));
        if asks {
            self.asked = Some(now.mono);
        }
        asks
    }

    /// How long an answer may take before what is missing is asked for again.
    pub(super) fn pause(&self) -> Duration {
        if self.stopped { SELDOM } else { SELDOM.min(ASK_AGAIN * (1_u32 << self.rounds)) }
    }
}
