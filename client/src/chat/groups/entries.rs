//! What comes for a room's log: entries and keys, what is missing of it, and what follows from a change.

use super::super::room::Room;
use super::super::sending::{PLACE, pending};
use super::super::talk::{PENDING, Talk};
use super::super::timeline::unplace;
use super::answers::Wanted;
use super::inbox::FORK;
use super::past::Past;
use super::waking::ROUNDS_MAX;
use super::{Key, save_entries};
use crate::effect::Happened;
use std::collections::VecDeque;
use subrosa_shared::content::Content;
use subrosa_shared::content::rooms::{AboutRoom, ENTRIES_MAX, Keys, RoomTalk, pieces};
use subrosa_shared::id::{AccountName, DeviceId, RoomId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::session::Why;
use subrosa_shared::session::roomlog::{Change, Entry, Fault, Log, State, What};
use subrosa_shared::store::{Error, Order};
use subrosa_shared::time::Now;

/// Envelopes that may wait for a device before it is told no more of the log: it does not fetch what it asks for.
const WAITING_MAX: usize = 32;
/// Devices that are asked for a log when the invitation is taken.
const ASKED: usize = 4;
/// Bytes of the log that are taken while the invitation waits for a decision, and the entry that passes them: some
/// hundred changes. Whoever accepts asks for the rest.
const REQUEST_LOG: usize = 128 * 1024;

impl Talk {
    /// Entries up to that height are missing here; that device has them.
    pub(super) fn entries_missing(&mut self, room: RoomId, height: u64, device: DeviceId, now: Now) {
        let Some(group) = self.chat.group_mut(room) else { return };
        if !group.misses(height, device, now) {
            return;
        }
        let (want, pause) = (group.want(), group.pause());
        self.wake_group(room, now, pause);
        self.transmit_to(device, None, want, Why::Signal, now);
    }

    /// The person came in: of a long log only the beginning was taken before.
    pub(super) fn ask_for_rest(&mut self, room: RoomId, now: Now) {
        let Some(group) = self.chat.group_mut(room) else { return };
        if group.is_open() && length(&group.log) < REQUEST_LOG {
            return;
        }
        let (missing, next) = (group.missing.take(), group.log.height() + 1);
        let missing = missing.or_else(|| Some((next, *self.who_brought(room).first()?)));
        if let Some((height, device)) = missing {
            self.entries_missing(room, height, device, now);
        }
    }

    /// The same of what did not open while the invitation waited.
    pub(super) fn ask_for_unheard(&mut self, room: RoomId, now: Now) {
        let Some(group) = self.chat.group(room) else { return };
        let want = group.want();
        if self.chat.room(room).is_some_and(|room| room.person.missed > 0) {
            self.asked_again(room);
            for device in self.who_brought(room) {
                self.transmit_to(device, None, want.clone(), Why::Signal, now);
            }
        }
        let unheard = self.unheard.iter().copied().filter(|device| self.lets_hear(device));
        for device in unheard.collect::<Vec<_>>() {
            self.hears_now(device);
        }
    }

    /// Devices that have the log of a room that this account just came into: those of who brought it in. Others may
    /// have decided on nothing yet, and answer nobody.
    fn who_brought(&self, room: RoomId) -> Vec<DeviceId> {
        let Some(group) = self.chat.group(room) else { return Vec::new() };
        let state = group.log.state();
        let by = group.kept.by.as_ref().unwrap_or(&self.chat.name);
        let theirs = state.members.get(by).and_then(|member| self.devices_of_member(by, &member.root));
        let peers = theirs.filter(|peers| !peers.is_empty()).unwrap_or_else(|| self.recipients(state).0);
        peers.iter().map(Peer::device).take(ASKED).collect()
    }

    /// Something of that device's did not open. It may have been a change of a room whose invitation waits.
    pub(in crate::chat) fn change_unheard(&mut self, device: DeviceId) {
        let waits = self.chat.groups().filter(|(room, _)| room.person.is_request());
        let theirs = waits.filter(|(_, group)| {
            self.recipients(group.log.state()).0.iter().any(|peer| peer.device() == device)
        });
        for room in theirs.map(|(room, _)| room.id).collect::<Vec<_>>() {
            self.left_something_out(room);
        }
    }

    /// Something of that device's did not open. It may have been a change of a room, which comes only once:
    /// what is missing here is asked for in each room that it is in, and that this account has come into.
    pub(in crate::chat) fn ask_for_changes(&mut self, device: DeviceId, now: Now) {
        for room in self.group_ids() {
            if !self.chat.room(room).is_some_and(Room::is_open) {
                continue;
            }
            let Some(group) = self.chat.group(room) else { continue };
            let (want, state) = (group.want(), group.log.state().clone());
            if self.recipients(&state).0.iter().any(|peer| peer.device() == device) {
                self.transmit_to(device, None, want, Why::Signal, now);
            }
        }
    }

    /// A member asks for entries.
    pub(super) fn answer_want(&mut self, room: RoomId, device: DeviceId, from: u64, now: Now) {
        let waits = self.outbox.waits_for(&device) + self.queues.get(&device).map_or(0, VecDeque::len);
        let Some(group) = self.chat.group_mut(room) else { return };
        if waits >= WAITING_MAX || !group.answers.another(Wanted::Entries, device, now) {
            self.dropped += 1;
            return;
        }
        let entries: Vec<Vec<u8>> = group.log.entries(from).iter().map(Entry::encode).collect();
        let (tag, keys) = (group.tag(), group.kept.keys.clone());
        for piece in pieces(&entries, ENTRIES_MAX, Vec::len) {
            let talk = RoomTalk::Entries { entries: piece, keys: Some(keys.clone()) };
            self.transmit_to(device, None, Content::Room(AboutRoom { room: tag, talk }), Why::Signal, now);
        }
        self.send_links(room, device, now);
        self.tell_expiry_to(room, device, now);
    }

    /// Takes those entries that follow on the log.
    pub(super) fn take_entries(
        &mut self,
        room: RoomId,
        name: &AccountName,
        from: &Peer,
        entries: &[Vec<u8>],
        keys: Option<Keys>,
        now: Now,
    ) -> Result<(), Error> {
        let Some(group) = self.chat.group(room) else { return Ok(()) };
        let (before, was_open, shut) = (group.log.state().clone(), group.is_open(), group.is_shut());
        let mut log = group.log.clone();
        let request = self.chat.room(room).is_some_and(|room| room.person.is_request());
        let joining = request && !was_open;
        // An own device knows the room.
        let mut left = match request && *name != self.chat.name {
            true => REQUEST_LOG.saturating_sub(length(&log)),
            false => usize::MAX,
        };
        let (mut taken, mut changes, mut gap, mut unsigned, mut fork) =
            (Vec::new(), Vec::new(), false, None, false);
        let decoded: Vec<Entry> = entries.iter().map_while(|bytes| Entry::decode(bytes).ok()).collect();
        self.dropped += u64::from(decoded.len() < entries.len());
        for (i, entry) in decoded.iter().enumerate() {
            if left == 0 {
                break;
            }
            // Of what was before this account came in, the authors' devices are asked for afterwards.
            let present =
                |account: &AccountName, root: &[u8; 32], device: &[u8; 32]| self.knows(account, root, device);
            let ever = |account: &AccountName, root: &[u8; 32], device: &[u8; 32]| {
                self.ever_had(account, root, device) == Some(true)
            };
            let mut met = match (was_open, shut) {
                (true, _) => log.apply(entry, &present),
                (false, true) => log.apply(entry, &ever),
                (false, false) => log.apply(entry, &|_, _, _| true),
            };
            let perhaps = |account: &AccountName, root: &[u8; 32], device: &[u8; 32]| {
                self.may_have_had(account, root, device)
            };
            if met == Err(Fault::Unsigned) && log.vouched(&decoded[i..], &present, &perhaps) {
                met = log.apply(entry, &perhaps);
            }
            match met {
                Ok(change) => {
                    left = left.saturating_sub(entries[i].len());
                    changes.push(change);
                    taken.push(entry.clone());
                }
                Err(Fault::Repeat) => {}
                Err(Fault::Gap { .. }) => {
                    gap = true;
                    break;
                }
                Err(Fault::Unsigned) if !shut && entry.height > log.height() && entry.is_signed() => {
                    unsigned = Some((entry.said.author.clone(), entry.said.device));
                    break;
                }
                Err(Fault::Fork { .. }) => {
                    fork = true;
                    break;
                }
                Err(Fault::Unsigned | Fault::Malformed | Fault::Against(_)) => {
                    self.dropped += 1;
                    break;
                }
            }
        }
        let me = self.chat.name.clone();
        let newest = entries.len() as u64 + log.height();
        let Some(group) = self.chat.group_mut(room) else { return Ok(()) };
        if !taken.is_empty() {
            group.log = log;
            group.kept.moved = group.log.head();
            (group.tries, group.behind) = (0, 0);
            group.stopped = false;
            if !was_open && !shut {
                group.kept.unproven = group.log.height() + 1;
            }
            group.refresh(&me);
            let vain = group.rounds >= ROUNDS_MAX;
            if vain || group.missing.is_some_and(|(height, _)| height <= group.log.height()) {
                group.missing = None;
            }
            group.rounds = 0;
        }
        if fork && group.warned.insert((FORK, from.device())) {
            self.alarm(
                room,
                format!(
                    "{name} sent another history of this room than yours: a member signed both, or the relay shows different \
                     people different things. Say nothing secret here, ask the others another way, and begin a new room"
                ),
                now,
            );
        }
        save_entries(room, &taken, &mut self.batch);
        self.save_group(room);
        // Who was away, and whose log ends sooner, has keys that who was removed since knows.
        let level = self.chat.group(room).map(|group| group.log.head());
        let ends_here = gap || decoded.last().map(Entry::head) == level;
        let keys = keys.filter(|_| ends_here);
        let old = keys.and_then(|keys| self.take_keys(room, name, keys));
        // Whoever brings what proves itself; on a word of who is not in nobody is asked or alarmed.
        let heard = !was_open || self.is_members(room, name, from);
        if gap && heard {
            self.entries_missing(room, newest, from.device(), now);
        }
        if let Some((author, device)) = unsigned.filter(|_| heard) {
            self.unsigned(room, from, &author, &device, now);
        }
        if joining && self.chat.group(room).is_some_and(|group| group.is_open()) {
            self.keep_group_lists(room);
        }
        self.changed(room, &before, &changes, old.as_ref(), now)?;
        if !was_open && self.chat.room(room).is_some_and(Room::is_open) {
            self.say_came(room, now);
        }
        if !was_open {
            if !taken.is_empty() {
                self.doubt_authors(room);
            }
            self.prove_rooms(now)?;
        }
        if !taken.is_empty() {
            self.heard_early(room, now)?;
            self.advance(room, now)?;
        }
        Ok(())
    }

    /// An entry is not signed by a device that its author has now: their list may have grown, or the device
    /// was removed since, which the whole list tells.
    fn unsigned(&mut self, room: RoomId, from: &Peer, author: &AccountName, device: &[u8; 32], now: Now) {
        self.dropped += 1;
        let Some(group) = self.chat.group_mut(room) else { return };
        let Some(root) = group.log.state().members.get(author).map(|member| member.root) else { return };
        let height = group.log.height() + 1;
        if group.missing.is_none() {
            group.rounds = 0;
        }
        group.missing = Some((height, from.device()));
        let had = self.ever_had(author, &root, device);
        let Some(group) = self.chat.group_mut(room) else { return };
        let stops = had == Some(true) && !group.stopped;
        group.stopped |= stops;
        let pause = group.pause();
        if stops {
            self.alarm(
                room,
                format!(
                    "the changes of this room that came after number {} are not taken here: the next one is signed by a device \
                     that {author} has removed since, and nobody who may has built on it. Ask {author}, or the owner, to \
                     change something in the room: the topic, say",
                    height - 1
                ),
                now,
            );
        }
        self.ask_newer(author);
        self.want_chain(author);
        self.wake_group(room, now, pause);
    }

    fn keep_group_lists(&mut self, room: RoomId) {
        let names: Vec<AccountName> = self
            .chat
            .group(room)
            .map(|group| group.log.state().members.keys().cloned().collect())
            .unwrap_or_default();
        for name in names {
            self.keep_list(&name);
        }
    }

    /// The next keys of a room, from a member; gives those before.
    pub(super) fn take_keys(&mut self, room: RoomId, name: &AccountName, keys: Keys) -> Option<Keys> {
        let group = self.chat.group_mut(room)?;
        if group.role(name).is_none() || group.kept.keys == keys {
            return None;
        }
        let old = group.kept.renew(keys);
        group.behind = 0;
        group.kept.stale = false;
        self.save_group(room);
        self.watch_doors(room, Key::FORMER);
        Some(old)
    }

    /// What follows from changes of the log: grey lines, who is out, what waited.
    pub(super) fn changed(
        &mut self,
        room: RoomId,
        before: &State,
        changes: &[Change],
        old: Option<&Keys>,
        now: Now,
    ) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let me = self.chat.name.clone();
        let name = self.chat.group(room).map_or(String::new(), |group| group.log.state().name.clone());
        let mut back = false;
        for line in super::words::lines(changes, &me, &name) {
            self.note(room, line, now);
        }
        for change in changes {
            self.door_changed(room, change, old, now);
            if let Some(group) = self.chat.group_mut(room) {
                group.closes(change, now);
            }
            if matches!(change.what, What::Left)
                && change.by != me
                && let Some(group) = self.chat.group_mut(room)
            {
                group.kept.stale = true;
            }
            if let What::Added { account, .. } = &change.what {
                back |= *account == me;
                // Asked for before they were a member: it is kept from here on.
                self.keep_list(account);
            }
            if let Some(out) = change.out().filter(|out| **out != me).cloned() {
                self.gone(room, before, &out)?;
            }
        }
        let open = self.chat.group(room).is_some_and(|group| group.is_open());
        // Not while the log that lets this account in still comes.
        if !open && before.members.contains_key(&me) {
            self.shut(room, before)?;
        }
        if open
            && back
            && let Some(group) = self.chat.group_mut(room)
        {
            group.kept.past = Past::Wanted;
        }
        if open && back {
            self.want_past(room, now);
            // In again: as before for who was in, by their own word.
            self.keep_group_lists(room);
        }
        self.save_group(room);
        self.tell_room_changed(room);
        self.ask_members(now);
        self.sort_rooms();
        if name != before.name {
            self.name_people();
        }
        Ok(())
    }

    /// Scripts hear how a room is now.
    pub(super) fn tell_room_changed(&mut self, room: RoomId) {
        let Some((r, group)) = self.chat.groups().find(|(r, _)| r.id == room) else { return };
        let told = Happened::Room { with: r.whose(), people: group.people(), open: group.is_open() };
        self.tell(told);
    }

    /// This account is out since a moment ago, or the room is over.
    pub(super) fn shut(&mut self, room: RoomId, before: &State) -> Result<(), Error> {
        if let Some(group) = self.chat.group_mut(room) {
            group.kept.pending.clear();
            group.kept.owed.clear();
            group.kept.invited.clear();
            group.missing = None;
        }
        self.only_lines_wait(room)?;
        for (name, member) in &before.members {
            self.part_with(&self.devices_of_member(name, &member.root).unwrap_or_default());
        }
        self.forget_doors(room);
        Ok(())
    }

    /// Somebody is out: nothing more waits for them, and no line waits for them.
    pub(super) fn gone(&mut self, room: RoomId, before: &State, name: &AccountName) -> Result<(), Error> {
        self.came(room, name);
        if let Some(waiting) = self.groups.waiting.get_mut(name) {
            waiting.retain(|next| next.room != Some(room));
        }
        let Some(root) = before.members.get(name).map(|member| member.root) else { return Ok(()) };
        let mut devices = self.devices_of_member(name, &root).unwrap_or_default();
        // Who stays may have one of them too.
        devices.retain(|peer| !self.goes_to(room, &peer.device()));
        self.part_with(&devices);
        // Their receipts alone may have been missing.
        let mut lines = self.lines_to(room, name);
        for peer in devices {
            let device = peer.device();
            if let Some(queue) = self.queues.get_mut(&device) {
                queue.retain(|next| next.room != Some(room));
            }
            for (key, place) in self.store.records.scan(PENDING, &[], &[], Order::Forward, usize::MAX)? {
                let here = place.get(..24).and_then(unplace).is_some_and(|(of, _)| of == room);
                if here && key.ends_with(&device.0) {
                    lines.extend(pending(&key).map(|(id, _)| id));
                    self.batch.delete(PENDING, key);
                }
            }
        }
        for id in lines {
            self.tally_again(room, id)?;
        }
        Ok(())
    }

    /// A room is shared no more. Who is no contact keeps few sessions, and does not say which they cannot
    /// read: what is said to them later goes through a new one.
    fn part_with(&mut self, devices: &[Peer]) {
        let contacts: Vec<DeviceId> = self.contacts().collect();
        for device in devices.iter().map(Peer::device) {
            if !contacts.contains(&device) {
                self.sessions.restart(&device, &mut self.batch);
            }
        }
    }

    /// This account is out: of what waits, the others take what it wrote before and nothing else, and nobody
    /// says any more that it came.
    fn only_lines_wait(&mut self, room: RoomId) -> Result<(), Error> {
        let queues = self.queues.values_mut().chain(self.groups.waiting.values_mut());
        queues.for_each(|queue| queue.retain(|next| next.room != Some(room) || next.message.is_some()));
        for (key, value) in self.store.records.scan(PENDING, &[], &[], Order::Forward, usize::MAX)? {
            let here = value.get(..PLACE).and_then(unplace).is_some_and(|(of, _)| of == room);
            if here && value.len() > PLACE {
                self.batch.delete(PENDING, key);
            }
        }
        Ok(())
    }

    /// Whether this account is out of a room of several.
    pub(in crate::chat) fn is_out_of(&self, room: RoomId) -> bool {
        self.chat.group(room).is_some_and(|group| !group.is_open())
    }
}

/// Bytes of all entries of a log.
fn length(log: &Log) -> usize {
    log.entries(0).iter().map(|entry| entry.encode().len()).sum()
}
