//! What goes to members once more: the invitation, while nothing is heard of them, and what a session took along.

use super::super::room::Room;
use super::super::talk::Talk;
use super::answers::Wanted;
use std::time::Duration;
use subrosa_shared::id::{AccountName, DeviceId, RoomId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::time::Now;

/// How long it takes until an invitation goes out again that did once already. Each takes a prekey of theirs, and
/// place in a mailbox that they may not look into for long.
const INVITED: Duration = Duration::from_secs(24 * 3600);
/// How long it takes until it is looked once more whether anything is under way to them.
const UNDER_WAY: Duration = Duration::from_secs(10 * 60);

impl Talk {
    /// The connection is back, or time has passed: those who were added here, and of whom nothing was heard, are invited once more, if
    /// that was not done lately.
    pub(super) fn invite_again(&mut self, room: RoomId, now: Now) {
        let Some(group) = self.chat.group(room) else { return };
        let lately = |name: &AccountName| {
            let at = group.kept.invited.get(name);
            at.is_some_and(|at| *at <= now.wall && now.wall.since(*at) < INVITED)
        };
        let owed: Vec<AccountName> = group.kept.owed.iter().filter(|name| !lately(name)).cloned().collect();
        for name in owed {
            let devices = self.devices_in_room(room, &name).unwrap_or_default();
            let under_way =
                |device: &DeviceId| self.queues.contains_key(device) || self.outbox.waits_for(device) > 0;
            // The one before may be among what the relay does not take yet.
            if devices.iter().any(under_way) {
                self.wake_group(room, now, UNDER_WAY);
            } else {
                self.invite_anew(room, &name, now);
            }
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
