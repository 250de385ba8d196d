//! Who was not told of a change by the request that moved the head, and whose keys or devices were not to be had: they
//! are told once they are, in a later run too.

use super::super::talk::{Talk, Waiting};
use super::End;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use subrosa_shared::content::Content;
use subrosa_shared::content::rooms::{AboutRoom, ENTRIES_MAX, RoomTalk, pieces};
use subrosa_shared::id::{AccountName, DeviceId, RoomId};
use subrosa_shared::session::Why;
use subrosa_shared::session::roomlog::{Entry, State};
use subrosa_shared::time::Now;

/// What somebody is owed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Untold {
    /// The log from that height on.
    from: u64,
    /// Which of their devices wait for it; none: it is not known which they have.
    devices: Vec<DeviceId>,
    /// They are out by it: the root key that the log named, and the height of the last entry that is theirs to know.
    out: Option<([u8; 32], u64)>,
}

impl Talk {
    /// The log goes on from that height by what this account did, or what is set there is another: those who wait for
    /// keys in memory alone, and those whose devices are not known, are owed a word of it.
    pub(super) fn owe_row(&mut self, room: RoomId, from: u64) {
        let Some(group) = self.chat.group(room) else { return };
        let mut owed = Vec::new();
        // Who comes in gets the whole log.
        let members = group.log.state().members.iter().filter(|(name, _)| !group.kept.owed.contains(*name));
        for (name, member) in members {
            let devices = self.devices_of_member(name, &member.root);
            let known = devices.is_some();
            let waiting = self.waiting_of(devices.into_iter().flatten().map(|peer| peer.device()));
            if !known || !waiting.is_empty() {
                owed.push((name.clone(), waiting));
            }
        }
        let Some(group) = self.chat.group_mut(room).filter(|_| !owed.is_empty()) else { return };
        for (name, devices) in owed {
            match group.kept.untold.get_mut(&name) {
                Some(untold) if untold.devices.is_empty() => {}
                Some(untold) if devices.is_empty() => {
                    untold.devices.clear();
                    group.rows_told.remove(&name);
                }
                Some(untold) => {
                    untold.devices.extend(devices);
                    untold.devices.sort_unstable();
                    untold.devices.dedup();
                }
                None => {
                    if !devices.is_empty() {
                        group.rows_told.insert(name.clone());
                    }
                    group.kept.untold.insert(name, Untold { from, devices, out: None });
                }
            }
        }
        self.save_group(room);
    }

    /// A timer was set: who does not hear of it at once is owed it.
    pub(in crate::chat) fn owe_timer(&mut self, room: RoomId) {
        if let Some(next) = self.chat.group(room).map(|group| group.log.height() + 1) {
            self.owe_row(room, next);
        }
    }

    /// Those who are out since that row, and whose devices are not known.
    pub(super) fn owe_end(
        &mut self,
        room: RoomId,
        out: &[AccountName],
        before: &State,
        (from, to): (u64, u64),
    ) {
        let unknown = |name: &&AccountName| {
            let root = before.members.get(*name).map(|member| member.root);
            root.filter(|root| self.devices_of_member(name, root).is_none())
        };
        let out: Vec<_> = out.iter().filter_map(|name| Some((name.clone(), unknown(&name)?))).collect();
        let Some(group) = self.chat.group_mut(room).filter(|_| !out.is_empty()) else { return };
        for (name, root) in out {
            group.rows_told.remove(&name);
            group.kept.untold.insert(name, Untold { from, devices: Vec::new(), out: Some((root, to)) });
        }
        self.save_group(room);
    }

    /// Tells somebody what they are owed, as soon as their devices are known, once in a run.
    pub(super) fn tell_row(&mut self, room: RoomId, name: &AccountName, now: Now) {
        let Some(group) = self.chat.group(room).filter(|group| !group.rows_told.contains(name)) else {
            return;
        };
        let Some(untold) = group.kept.untold.get(name).cloned() else { return };
        if let Some((root, to)) = untold.out {
            let Some(devices) = self.devices_of_member(name, &root) else { return };
            let Some(group) = self.chat.group_mut(room) else { return };
            group.kept.untold.remove(name);
            let ends = devices.into_iter().map(|peer| (peer.device(), End { peer, from: untold.from, to }));
            group.kept.ends.extend(ends);
            self.save_group(room);
            return self.tell_ends(room, now);
        }
        let Some(member) = group.log.state().members.get(name) else { return };
        let Some(devices) = self.devices_of_member(name, &member.root) else { return };
        let mut devices: Vec<DeviceId> = devices.iter().map(|peer| peer.device()).collect();
        devices.retain(|device| untold.devices.is_empty() || untold.devices.contains(device));
        let entries: Vec<Vec<u8>> = group.log.entries(untold.from).iter().map(Entry::encode).collect();
        let (tag, open) = (group.tag(), group.is_open());
        let keys = open.then(|| group.kept.keys.clone());
        let pieces = pieces(&entries, ENTRIES_MAX, Vec::len).into_iter();
        let about =
            |entries| AboutRoom { room: tag, talk: RoomTalk::Entries { entries, keys: keys.clone() } };
        let mut contents: Vec<_> = pieces.map(|piece| Arc::new(Content::Room(about(piece)))).collect();
        contents.extend(self.doors_of(room).filter(|_| open).map(Arc::new));
        for device in &devices {
            for content in &contents {
                // Who left has no room any more in which it could wait.
                let of = open.then_some(room);
                let next = Waiting { room: of, content: content.clone(), why: Why::Signal, message: None };
                self.queue(*device, next, now);
            }
            if open {
                self.tell_expiry_to(room, *device, now);
            }
        }
        if let Some(group) = self.chat.group_mut(room) {
            group.rows_told.insert(name.clone());
            if let Some(untold) = group.kept.untold.get_mut(name) {
                untold.devices = devices;
            }
        }
        self.told_rows(room);
    }

    /// The connection is back: those who waited for that in an earlier run.
    pub(super) fn tell_rows_again(&mut self, room: RoomId, now: Now) {
        let names: Vec<AccountName> =
            self.chat.group(room).into_iter().flat_map(|group| group.kept.untold.keys().cloned()).collect();
        for name in names {
            self.tell_row(room, &name, now);
        }
    }

    /// Those devices that are told by now, and those who are members no more.
    pub(super) fn told_rows(&mut self, room: RoomId) {
        let Some(group) = self.chat.group(room).filter(|group| !group.kept.untold.is_empty()) else { return };
        let mut left = group.kept.untold.clone();
        let state = group.log.state();
        left.retain(|name, untold| {
            if state.members.contains_key(name) == untold.out.is_some() {
                return false;
            }
            if !group.rows_told.contains(name) {
                return true;
            }
            untold.devices = self.waiting_of(untold.devices.iter().copied());
            !untold.devices.is_empty()
        });
        if let Some(group) = self.chat.group_mut(room).filter(|group| group.kept.untold != left) {
            group.rows_told.retain(|name| left.contains_key(name));
            group.kept.untold = left;
            self.save_group(room);
        }
    }

    /// Who is owed the word that they are out, while it is not known which devices they have.
    pub(super) fn ends_unknown(&self) -> impl Iterator<Item = &AccountName> {
        self.chat.groups().flat_map(|(_, group)| {
            group.kept.untold.iter().filter(|(_, untold)| untold.out.is_some()).map(|(name, _)| name)
        })
    }

    /// Those of these devices for which something waits in memory until there is a session.
    fn waiting_of(&self, devices: impl Iterator<Item = DeviceId>) -> Vec<DeviceId> {
        devices.filter(|device| self.queues.contains_key(device)).collect()
    }
}
