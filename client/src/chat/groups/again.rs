//! What goes to members once more: the invitation, while nothing is heard of them, and what a session took along.

use super::super::room::Room;
use super::super::talk::Talk;
use super::answers::Wanted;
use std::time::Duration;
use subrosa_shared::id::{AccountName, DeviceId, RoomId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::time::{Millis, Now};

/// How long it takes until an invitation goes out again that did once already. Each takes a prekey of theirs, and
/// place in a mailbox that they may not look into for long.
pub(super) const INVITED: Duration = Duration::from_secs(24 * 3600);
/// How long it takes until it is looked once more whether anything is under way to them.
const UNDER_WAY: Duration = Duration::from_secs(10 * 60);

/// Why it is looked who was invited and not heard of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// The connection is back: the first invitation may have been lost with the one before.
    Linked,
    /// Time has passed.
    Time,
}

impl Talk {
    /// Those who were added here, and of whom nothing was heard, are invited once more, if that was not done lately.
    pub(super) fn invite_again(&mut self, room: RoomId, due: Due, now: Now) {
        let Some(group) = self.chat.group(room) else { return };
        let added = |name: &AccountName| {
            let since = group.log.state().members.get(name)?.since;
            group.log.entries(since).first().map(|entry| entry.said.at)
        };
        let owed = group.kept.owed.iter().map(|name| {
            let first = added(name).filter(|_| due == Due::Time);
            // What a clock dated ahead that was set back since says nothing.
            let dates = group.kept.invited.get(name).copied().into_iter().chain(first);
            let ago = dates.filter(|at| *at <= now.wall).max().map(|at| now.wall.since(at));
            (name.clone(), ago.and_then(|ago| INVITED.checked_sub(ago)))
        });
        for (name, left) in owed.collect::<Vec<_>>() {
            if let Some(left) = left.filter(|left| !left.is_zero()) {
                self.look_again(room, now.mono.plus(left));
                continue;
            }
            let devices = self.devices_in_room(room, &name).unwrap_or_default();
            let under_way =
                |device: &DeviceId| self.queues.contains_key(device) || self.outbox.waits_for(device) > 0;
            // The one before may be among what the relay does not take yet.
            if devices.iter().any(under_way) {
                self.look_again(room, now.mono.plus(UNDER_WAY));
            } else {
                self.invite_anew(room, &name, now);
            }
        }
    }

    /// At that time at the latest (monotonic) the room is looked at again.
    pub(super) fn look_again(&mut self, room: RoomId, at: Millis) {
        if let Some(group) = self.chat.group_mut(room) {
            group.due = Some(group.due.map_or(at, |due| due.min(at)));
        }
    }

    /// Through a new session: whoever is no contact there keeps few sessions, and does not say which they cannot read.
    pub(super) fn invite_anew(&mut self, room: RoomId, name: &AccountName, now: Now) {
        for device in self.devices_in_room(room, name).unwrap_or_default() {
            self.sessions.restart(&device, &mut self.batch);
        }
        if let Some(group) = self.chat.group_mut(room) {
            group.kept.invited.insert(name.clone(), now.wall);
        }
        self.save_group(room);
        self.send_invitation(room, name, now);
    }

    /// The devices of a member, when they are known.
    fn devices_in_room(&self, room: RoomId, name: &AccountName) -> Option<Vec<DeviceId>> {
        let member = self.chat.group(room)?.log.state().members.get(name)?;
        let devices = self.devices_of_member(name, &member.root)?;
        Some(devices.iter().map(Peer::device).collect())
    }

    /// A device began its sessions anew: of what it could not open, it gets what nobody waits for a receipt of.
    pub(in crate::chat) fn rooms_start_over(&mut self, device: DeviceId, now: Now) {
        for room in self.group_ids() {
            let open = self.chat.room(room).is_some_and(Room::is_open);
            let Some(name) = self.member_with(room, &device).filter(|_| open) else { continue };
            let Some(group) = self.chat.group_mut(room) else { continue };
            if !group.answers.another(Wanted::Entries, device, now) {
                continue;
            }
            let owed = group.kept.owed.contains(&name);
            self.tell_expiry_to(room, device, now);
            if owed {
                self.send_log(room, device, now);
            }
        }
    }

    /// Which member of a room has that device.
    fn member_with(&self, room: RoomId, device: &DeviceId) -> Option<AccountName> {
        let members = self.chat.group(room)?.log.state().members.iter();
        let mut theirs = members.filter_map(|(name, member)| {
            let devices = self.devices_of_member(name, &member.root)?;
            devices.iter().any(|peer| peer.device() == *device).then_some(name)
        });
        theirs.next().cloned()
    }
}
