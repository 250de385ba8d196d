//! Which devices the members of rooms have.

use super::super::devices::pending_key;
use super::super::link_is_up;
use super::super::room::Room;
use super::super::sending::{PLACE, pending};
use super::super::talk::{PENDING, RETRY, Talk};
use super::super::timeline::{place, unplace};
use super::Group;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::time::Duration;
use subrosa_shared::id::{AccountName, DeviceId, MessageId, RoomId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::protocol::devices::DeviceList;
use subrosa_shared::protocol::frame::Refusal;
use subrosa_shared::session::roomlog::{Op, State};
use subrosa_shared::store::{Error, Order};
use subrosa_shared::time::Now;

/// Lists that are asked for at a time.
const ASKING: usize = 16;

impl Talk {
    /// The devices of a member, by the list under the root that the room's log names; `None` before it
    /// is known. Of this account: the other ones.
    pub(super) fn devices_of_member(&self, name: &AccountName, root: &[u8; 32]) -> Option<Vec<Peer>> {
        if *name == self.chat.name {
            return Some(self.siblings());
        }
        match self.lists.of(name) {
            Some(list) if list.root().identity == *root => Some(list.devices().collect()),
            Some(_) => None,
            None => {
                let pinned = self.chat.with(name)?.kept.peer?;
                (pinned.identity == *root).then(|| vec![pinned])
            }
        }
    }

    /// The devices of everybody in a room but this one, and whose are not known.
    pub(super) fn recipients(&self, state: &State) -> (Vec<Peer>, Vec<AccountName>) {
        let (mut peers, mut unknown) = (Vec::new(), Vec::new());
        // A member may list another's device, or this one: nothing goes anywhere twice.
        let mut seen = BTreeSet::from([self.sessions.identity().peer().identity]);
        for (name, member) in &state.members {
            match self.devices_of_member(name, &member.root) {
                Some(devices) => peers.extend(devices.into_iter().filter(|peer| seen.insert(peer.identity))),
                None => unknown.push(name.clone()),
            }
        }
        (peers, unknown)
    }

    /// Whether what is said in a conversation goes to that device, whoever lists it.
    pub(in crate::chat) fn goes_to(&self, room: RoomId, device: &DeviceId) -> bool {
        let peers = match self.chat.group(room) {
            Some(group) => self.recipients(group.log.state()).0,
            None => self.devices_of(room),
        };
        self.is_sibling(device) || peers.iter().any(|peer| peer.device() == *device)
    }

    /// Whether somebody is a member of a room that this account is in, or brings it into one.
    pub(in crate::chat) fn is_member(&self, name: &AccountName) -> bool {
        self.chat.groups().any(|(_, group)| group.role(name).is_some() || group.is_brought_by(name))
    }

    /// The keys of a member's device, or of one that is told that it is out.
    pub(in crate::chat) fn member_peer(&self, device: &DeviceId) -> Option<Peer> {
        self.member_where(device, |_| true).or_else(|| self.bringing_peer(device))
    }

    /// The keys of a device of who brings this account into a room that it has accepted, where the log does not name
    /// them yet.
    fn bringing_peer(&self, device: &DeviceId) -> Option<Peer> {
        let brings = |list: &&DeviceList| {
            let mut groups = self.chat.groups();
            groups.any(|(room, group)| room.person.is_contact() && group.is_brought_by(list.name()))
        };
        self.lists.with_device(device).find(brings)?.get(device)
    }

    /// Whether that device's person shares a room with this account, or is told that they are out.
    pub(in crate::chat) fn shares_room(&self, device: &DeviceId) -> bool {
        self.member_where(device, Group::is_open).is_some()
    }

    fn member_where(&self, device: &DeviceId, counts: impl Fn(&Group) -> bool) -> Option<Peer> {
        if let Some(end) = self.chat.groups().find_map(|(_, group)| group.kept.ends.get(device)) {
            return Some(end.peer);
        }
        self.peer_where(device, |group, name, root| {
            let member = group.log.state().members.get(name);
            counts(group) && member.is_some_and(|member| member.root == *root)
        })
    }

    /// The keys of a device of somebody who is about to be added.
    pub(in crate::chat) fn newcomer_peer(&self, device: &DeviceId) -> Option<Peer> {
        self.peer_where(device, |group, name, root| {
            let adds =
                |op: &Op| matches!(op, Op::Add { account, root: of, .. } if account == name && of == root);
            group.kept.pending.iter().any(adds)
        })
    }

    fn peer_where(
        &self,
        device: &DeviceId,
        named: impl Fn(&Group, &AccountName, &[u8; 32]) -> bool,
    ) -> Option<Peer> {
        let known = |list: &&DeviceList| {
            let root = list.root().identity;
            self.chat.groups().any(|(_, group)| named(group, list.name(), &root))
        };
        self.lists.with_device(device).find(known)?.get(device)
    }

    /// All devices of people who share a room with this account.
    pub(in crate::chat) fn member_devices(&self) -> Vec<DeviceId> {
        self.devices_in(|_| true)
    }

    /// Those of them whose room this account has come into.
    pub(in crate::chat) fn fellow_devices(&self) -> Vec<DeviceId> {
        self.devices_in(|room| room.person.is_contact())
    }

    fn devices_in(&self, counts: impl Fn(&Room) -> bool) -> Vec<DeviceId> {
        let shared = self.chat.groups().filter(|(room, group)| group.is_open() && counts(room));
        let peers = shared.flat_map(|(_, group)| self.recipients(group.log.state()).0);
        peers.map(|peer| peer.device()).collect()
    }

    /// Whether that device's person is in a room that this account has come into.
    pub(in crate::chat) fn is_fellow(&self, device: &DeviceId) -> bool {
        self.is_in_joined(device, Group::is_open)
    }

    /// Whether the rooms that this account has come into need that device's word, or that it is told that it is out.
    /// Who merely invites is nobody there.
    pub(in crate::chat) fn rooms_hear(&self, device: &DeviceId) -> bool {
        let mut joined = self.chat.groups().filter(|(room, _)| room.person.is_contact());
        joined.any(|(_, group)| group.kept.ends.contains_key(device))
            || self.is_in_joined(device, |_| true)
            || self.bringing_peer(device).is_some()
    }

    fn is_in_joined(&self, device: &DeviceId, counts: impl Fn(&Group) -> bool) -> bool {
        let member = |list: &DeviceList| {
            let root = list.root().identity;
            let mut joined =
                self.chat.groups().filter(|(room, group)| room.person.is_contact() && counts(group));
            joined.any(|(_, group)| {
                group.log.state().members.get(list.name()).is_some_and(|member| member.root == root)
            })
        };
        self.lists.with_device(device).any(member)
    }

    /// Whether that device is one of the account's, as far as lists are known here.
    pub(super) fn speaks_for(&self, name: &AccountName, root: &[u8; 32], from: &Peer) -> bool {
        if *name == self.chat.name {
            return self.own_list().has(from) && self.own_list().root().identity == *root;
        }
        self.devices_of_member(name, root).is_some_and(|devices| devices.contains(from))
    }

    /// Whether that device is one of a present member's.
    pub(super) fn is_members(&self, room: RoomId, name: &AccountName, from: &Peer) -> bool {
        let member = self.chat.group(room).and_then(|group| group.log.state().members.get(name));
        member.is_some_and(|member| self.speaks_for(name, &member.root, from))
    }

    /// The same of an account that the room's log may not name yet.
    pub(in crate::chat) fn is_listed(&self, name: &AccountName, from: &Peer) -> bool {
        let known = self.chat.with(name).is_some_and(|room| self.devices_of(room.id).contains(from));
        known || self.lists.of(name).is_some_and(|list| list.has(from))
    }

    /// Whether a device, by its identity key, is on the present list of a member.
    pub(super) fn knows(&self, name: &AccountName, root: &[u8; 32], device: &[u8; 32]) -> bool {
        if *name == self.chat.name {
            let own = self.own_list();
            return own.root().identity == *root && own.devices().any(|peer| peer.identity == *device);
        }
        self.devices_of_member(name, root)
            .is_some_and(|devices| devices.iter().any(|peer| peer.identity == *device))
    }

    /// Asks the relay for lists of members that are not known, of those who are to be invited, and of those who
    /// knocked, a few at a time.
    pub(in crate::chat) fn ask_members(&mut self, _now: Now) {
        if !link_is_up(&self.chat) {
            return;
        }
        let mut asking = self.asking_devices();
        let mut wanted = Vec::new();
        for (room, group) in self.chat.groups() {
            if !room.person.is_contact() {
                continue;
            }
            let mut unknown = self.recipients(group.log.state()).1;
            unknown.retain(|name| group.is_open() || group.kept.untold.contains_key(name));
            for name in unknown {
                let other_root = self.lists.of(&name).is_some() || self.lists.other.contains_key(&name);
                if !other_root && !self.groups.after.contains_key(&name) && !wanted.contains(&name) {
                    wanted.push(name);
                }
            }
        }
        // Who is to be invited, where the relay took no question before.
        let wished = self.groups.wished.iter().map(|(_, name)| name);
        let wished =
            wished.filter(|name| self.lists.of(name).is_none() && !self.groups.after.contains_key(*name));
        wanted.extend(wished.cloned());
        let ends = self.ends_unknown().filter(|name| !self.groups.after.contains_key(*name));
        let shown =
            |name: &&AccountName| self.lists.of(name).is_some() || self.lists.other.contains_key(*name);
        wanted.extend(ends.filter(|name| !shown(name)).cloned());
        let knocks = self.groups.knocks.keys();
        wanted.extend(knocks.filter(|name| !self.groups.after.contains_key(*name)).cloned());
        for name in wanted {
            if asking >= ASKING {
                return;
            }
            if !self.asking(&name) {
                self.ask_newer(&name);
                asking += 1;
            }
        }
    }

    /// The list of somebody with whom there is no conversation; a member's is kept.
    pub(in crate::chat) fn member_list(&mut self, list: DeviceList, now: Now) -> Result<(), Error> {
        let name = list.name().clone();
        let known = self.lists.of(&name).cloned();
        let other = known.as_ref().is_some_and(|known| known.root() != list.root());
        let named = |root: [u8; 32]| {
            self.chat.groups().any(|(_, group)| {
                group.log.state().members.get(&name).is_some_and(|member| member.root == root)
            })
        };
        if other && !named(list.root().identity) && known.is_some_and(|known| named(known.root().identity)) {
            // The log named the key; whom the relay shows now is somebody else.
            self.other_root(&name, now);
            return Ok(());
        }
        let before = self.lists.of(&name).map(|list| list.devices().collect::<Vec<_>>()).unwrap_or_default();
        let gone: Vec<DeviceId> =
            before.iter().filter(|peer| !list.has(peer)).map(|peer| peer.device()).collect();
        let added: Vec<DeviceId> =
            list.devices().filter(|peer| !before.contains(peer)).map(|peer| peer.device()).collect();
        let member = self.is_member(&name);
        self.lists.insert(list);
        if member {
            self.keep_list(&name);
            if gone.is_empty() && before.is_empty() && !named_root(self, &name) {
                self.other_root(&name, now);
            }
        }
        self.leave_devices(&gone);
        if !gone.is_empty() {
            self.forget_member_devices(&gone)?;
        }
        self.under_way_in_rooms(&name, &before, &added, now)
    }

    /// Own lines in rooms that a member's devices did not receipt yet, and what was done to lines there, go to
    /// their new ones too: the device that was there before may have no chance to pass them on. What disappears
    /// goes to no device that comes later.
    pub(in crate::chat) fn under_way_in_rooms(
        &mut self,
        name: &AccountName,
        before: &[Peer],
        added: &[DeviceId],
        now: Now,
    ) -> Result<(), Error> {
        if before.is_empty() || added.is_empty() {
            return Ok(());
        }
        let mut rooms = BTreeSet::new();
        for (room, group) in self.chat.groups().filter(|(_, group)| group.is_open()) {
            let member = group.log.state().members.get(name);
            if member.is_some_and(|member| self.devices_of_member(name, &member.root).is_some()) {
                rooms.insert(room.id);
            }
        }
        let mut words = BTreeSet::new();
        for (key, value) in self.store.records.scan(PENDING, &[], &[], Order::Forward, usize::MAX)? {
            let Some((id, device)) = pending(&key) else { continue };
            let Some((room, pos)) = value.get(..PLACE).and_then(unplace) else { continue };
            let theirs = rooms.contains(&room) && before.iter().any(|peer| peer.device() == device);
            if theirs && self.seconds_of(room, pos).is_none() {
                words.insert((room, pos, id));
            }
        }
        for (room, pos, id) in words {
            for device in added {
                self.batch.put(PENDING, pending_key(&id, device), place(room, pos));
                self.send_again((room, pos), *device, id, now)?;
            }
        }
        Ok(())
    }

    /// A member's list is here, or a newer one: what waited for it goes on.
    pub(in crate::chat) fn flush_member(&mut self, name: &AccountName, now: Now) -> Result<(), Error> {
        // An answer that says nothing of them is not asked for once more at once.
        match self.lists.of(name) {
            Some(_) => self.groups.after.remove(name),
            None => self.groups.after.insert(name.clone(), now.mono.plus(RETRY)),
        };
        self.wished(name, now);
        self.knock_again(name, now);
        let unsent = std::mem::take(&mut self.groups.unsent);
        let (now_known, others): (BTreeSet<_>, _) = unsent.into_iter().partition(|(_, who)| who == name);
        self.groups.unsent = others;
        for (room, _) in now_known {
            self.send_invitation(room, name, now);
        }
        // Before what was said after it.
        for room in self.group_ids() {
            self.tell_row(room, name, now);
        }
        for next in self.groups.waiting.remove(name).unwrap_or_default() {
            let Some(room) = next.room else { continue };
            let Some(group) = self.chat.group(room) else { continue };
            let Some(member) = group.log.state().members.get(name) else { continue };
            let root = member.root;
            let Some(devices) = self.devices_of_member(name, &root) else {
                self.groups.waiting.entry(name.clone()).or_default().push_back(next);
                continue;
            };
            if let Some(id) = next.message {
                let key = pending_key(&id, &stand_in(name));
                // What was done to a line stands nowhere itself.
                if let Some(place) = self.place_of(&id)?.or_else(|| self.place_of_act(&id)) {
                    for peer in &devices {
                        self.batch.put(PENDING, pending_key(&id, &peer.device()), place.clone());
                    }
                }
                self.batch.delete(PENDING, key);
            }
            for peer in devices {
                self.queue(peer.device(), next.clone(), now);
            }
        }
        self.ask_members(now);
        for room in self.group_ids() {
            self.want_past(room, now);
            if self.chat.group(room).is_some_and(|group| group.role(name).is_some()) {
                self.heard_early(room, now)?;
            }
        }
        self.advance_all(now)
    }

    /// The relay does not say which devices a member has.
    pub(in crate::chat) fn no_member_devices(
        &mut self,
        name: &AccountName,
        why: Refusal,
        now: Now,
    ) -> Result<(), Error> {
        if why == Refusal::UnknownAccount && self.groups.knocks.remove(name).is_some() {
            self.dropped += 1;
        }
        let wished = self.groups.wished.iter().any(|(_, of)| of == name);
        let out = self.ends_unknown().any(|of| of == name);
        let member = self.is_member(name);
        let lacks = (wished || out || member) && self.lists.of(name).is_none();
        if lacks || member && self.awaits_list(name) || self.groups.knocks.contains_key(name) {
            let wait = match why {
                Refusal::RateLimited { retry_ms } => Duration::from_millis(retry_ms.into()),
                // Who is out of a room and not known to the relay any more: so it is said again at the next connection.
                Refusal::UnknownAccount if out && !member => Duration::from_secs(3600),
                _ => RETRY,
            };
            if wished {
                let seconds = wait.as_secs().max(1);
                self.notice(
                    format!(
                        "{name} is invited once the relay says who that is: it is asked again in {seconds} s"
                    ),
                    false,
                );
            }
            self.groups.after.insert(name.clone(), now.mono.plus(wait));
        }
        self.advance_all(now)
    }

    fn other_root(&mut self, name: &AccountName, now: Now) {
        let rooms: Vec<RoomId> = self
            .chat
            .groups()
            .filter(|(_, group)| group.role(name).is_some())
            .map(|(room, _)| room.id)
            .collect();
        for room in rooms {
            let sign = stand_in(name);
            if self.chat.group_mut(room).is_some_and(|group| group.warned.insert((OTHER_ROOT, sign))) {
                self.alarm(
                    room,
                    format!(
                        "the relay says that {name} has another key than the one this room knows: nothing of the room goes to \
                         it. Either they set up subrosa anew, or the relay lies. Ask them another way; /kick {name} and \
                         /invite {name} takes the new key"
                    ),
                    now,
                );
            }
        }
    }

    /// Lines that waited for devices that are gone.
    pub(in crate::chat) fn forget_member_devices(&mut self, gone: &[DeviceId]) -> Result<(), Error> {
        if gone.is_empty() {
            return Ok(());
        }
        for (key, place) in self.store.records.scan(PENDING, &[], &[], Order::Forward, usize::MAX)? {
            let Some((_, device)) = pending(&key) else { continue };
            let Some((room, _)) = place.get(..PLACE).and_then(unplace) else { continue };
            let theirs = self.chat.group(room).is_some() && gone.contains(&device);
            if theirs && !self.goes_to(room, &device) {
                self.batch.delete(PENDING, key);
            }
        }
        Ok(())
    }

    /// The member for whom a line waits under that number.
    pub(super) fn stood_in(&self, room: RoomId, device: &DeviceId) -> Option<AccountName> {
        let state = self.chat.group(room)?.log.state();
        state.members.keys().find(|name| stand_in(name) == *device).cloned()
    }

    pub(super) fn wait_for_member(
        &mut self,
        id: Option<MessageId>,
        name: &AccountName,
        place: Option<&[u8]>,
    ) {
        if let (Some(id), Some(place)) = (id, place) {
            self.batch.put(PENDING, pending_key(&id, &stand_in(name)), place.to_vec());
        }
    }
}

impl Group {
    /// While this account is not in, what its log lacks comes from who invited it, whom that log may not name yet.
    pub(super) fn is_brought_by(&self, name: &AccountName) -> bool {
        !self.open && self.kept.by.as_ref() == Some(name)
    }
}

fn named_root(talk: &Talk, name: &AccountName) -> bool {
    let Some(root) = talk.lists.of(name).map(|list| list.root().identity) else { return true };
    let mut members = talk.chat.groups().filter_map(|(_, group)| group.log.state().members.get(name));
    members.any(|member| member.root == root)
}

/// In place of a device, while it is not known which devices a member has.
pub(super) fn stand_in(name: &AccountName) -> DeviceId {
    let hash = Sha256::new().chain_update(b"subrosa member/1\0").chain_update(name.as_str()).finalize();
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    DeviceId(id)
}

const OTHER_ROOT: u8 = 3;
