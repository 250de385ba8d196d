//! Members who were not told of a change by the request that moved the head, and for whom there are no keys yet: they
//! are told once there are, in a later run too.

use super::super::talk::{Talk, Waiting};
use std::sync::Arc;
use subrosa_shared::content::Content;
use subrosa_shared::content::rooms::{AboutRoom, ENTRIES_MAX, RoomTalk, pieces};
use subrosa_shared::id::{AccountName, RoomId};
use subrosa_shared::session::Why;
use subrosa_shared::session::roomlog::Entry;
use subrosa_shared::time::Now;

impl Talk {
    /// The log goes on from that height by what this account did: those who wait for keys in memory alone, and those
    /// whose devices are not known, are owed a word of it.
    pub(super) fn owe_row(&mut self, room: RoomId, from: u64, unknown: Vec<AccountName>) {
        let Some(group) = self.chat.group(room) else { return };
        // Who comes in gets the whole log.
        let waits = |name: &AccountName| !group.kept.owed.contains(name) && self.waits_for_keys(room, name);
        let names: Vec<AccountName> =
            group.log.state().members.keys().filter(|name| waits(name)).cloned().collect();
        let Some(group) = self.chat.group_mut(room) else { return };
        group.rows_told.extend(names.iter().cloned());
        for name in names.into_iter().chain(unknown) {
            group.kept.untold.entry(name).or_insert(from);
        }
        self.save_group(room);
    }

    /// Tells a member what they are owed, as soon as their devices are known.
    pub(super) fn tell_row(&mut self, room: RoomId, name: &AccountName, now: Now) {
        let Some(group) = self.chat.group(room) else { return };
        let Some(from) = group.kept.untold.get(name).copied() else { return };
        let Some(member) = group.log.state().members.get(name) else { return };
        let Some(devices) = self.devices_of_member(name, &member.root) else { return };
        let entries: Vec<Vec<u8>> = group.log.entries(from).iter().map(Entry::encode).collect();
        let (tag, open) = (group.tag(), group.is_open());
        let keys = open.then(|| group.kept.keys.clone());
        for piece in pieces(&entries, ENTRIES_MAX, Vec::len) {
            let talk = RoomTalk::Entries { entries: piece, keys: keys.clone() };
            let content = Arc::new(Content::Room(AboutRoom { room: tag, talk }));
            for peer in &devices {
                // Who left has no room any more in which it could wait.
                let of = open.then_some(room);
                let next = Waiting { room: of, content: content.clone(), why: Why::Signal, message: None };
                self.queue(peer.device(), next, now);
            }
        }
        if let Some(group) = self.chat.group_mut(room) {
            group.rows_told.insert(name.clone());
        }
        self.told_rows(room);
    }

    /// The connection is back: those who waited for that in an earlier run.
    pub(super) fn tell_rows_again(&mut self, room: RoomId, now: Now) {
        let names: Vec<AccountName> =
            self.chat.group(room).into_iter().flat_map(|group| group.kept.untold.keys().cloned()).collect();
        for name in names {
            if self.chat.group(room).is_some_and(|group| !group.rows_told.contains(&name)) {
                self.tell_row(room, &name, now);
            }
        }
    }

    /// Those who are told by now, or are members no more.
    pub(super) fn told_rows(&mut self, room: RoomId) {
        let Some(group) = self.chat.group(room).filter(|group| !group.kept.untold.is_empty()) else { return };
        let mut left = group.kept.untold.clone();
        let state = group.log.state();
        left.retain(|name, _| {
            let told = group.rows_told.contains(name) && !self.waits_for_keys(room, name);
            state.members.contains_key(name) && !told
        });
        if let Some(group) = self.chat.group_mut(room).filter(|group| group.kept.untold.len() != left.len()) {
            group.rows_told.retain(|name| left.contains_key(name));
            group.kept.untold = left;
            self.save_group(room);
        }
    }

    /// Whether something waits in memory until there is a session with a device of that member's.
    fn waits_for_keys(&self, room: RoomId, name: &AccountName) -> bool {
        let member = self.chat.group(room).and_then(|group| group.log.state().members.get(name));
        let devices = member.and_then(|member| self.devices_of_member(name, &member.root));
        devices.into_iter().flatten().any(|peer| self.queues.contains_key(&peer.device()))
    }
}
