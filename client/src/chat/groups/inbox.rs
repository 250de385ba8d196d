//! What members say in a room, and what they say about its log.

use super::super::contact::typing_until;
use super::super::devices::pending_key;
use super::super::link_is_up;
use super::super::sending::Resend;
use super::super::talk::{PENDING, RECEIPT_DELAY, Talk};
use super::super::timeline::{Author, Line, LineState, unplace};
use super::super::transferring::file_line;
use super::{EARLY, SHOWN, room_id, save_entries};
use crate::effect::Happened;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use subrosa_shared::content::rooms::{AboutRoom, ENTRIES_MAX, InRoom, Keys, RoomTalk, pieces};
use subrosa_shared::content::{Content, Mark};
use subrosa_shared::id::{AccountName, DeviceId, MessageId, RoomId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::session::Why;
use subrosa_shared::session::roomlog::{Change, Entry, Fault, Met, State, What};
use subrosa_shared::store::{Error, Order, prefix_end};
use subrosa_shared::time::{Millis, Now};

/// How soon a missing piece of the log is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(3);
/// Messages of a room that wait for an entry of its log.
const EARLY_MAX: usize = 512;
/// A clock so far ahead of all others is no clock.
const CLOCK_AHEAD: u64 = 1 << 32;

/// Whose words are being taken in, in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::chat) struct Speaker {
    /// The member.
    pub(in crate::chat) name: AccountName,
    /// The clock of what they say.
    pub(in crate::chat) clock: u64,
}

/// Something that came before the entry that lets its sender speak.
#[derive(Serialize, Deserialize)]
struct Early {
    from: Peer,
    name: AccountName,
    said: InRoom,
}

impl Talk {
    /// Something said in a room, from a device that its session proves.
    pub(in crate::chat) fn hear_in_room(
        &mut self,
        from: &Peer,
        name: &AccountName,
        said: InRoom,
        now: Now,
    ) -> Result<(), Error> {
        let room = room_id(said.room);
        let Some(group) = self.chat.group(room) else {
            self.dropped += 1;
            return Ok(());
        };
        let content = match said.open() {
            Ok(content) => content,
            Err(subrosa_shared::content::Error::Version(version)) => {
                self.note(room, newer(version), now);
                return Ok(());
            }
            Err(_) => {
                self.dropped += 1;
                return Ok(());
            }
        };
        if said.clock > group.kept.clock.saturating_add(CLOCK_AHEAD) {
            self.dropped += 1;
            return Ok(());
        }
        let root = group.log.state().members.get(name).map(|member| member.root);
        if !root.is_some_and(|root| self.speaks_for(name, &root, from)) {
            return self.not_member(room, from, name, said, now);
        }
        self.came(room, name);
        if let Some(group) = self.chat.group_mut(room).filter(|group| group.kept.clock < said.clock) {
            group.kept.clock = said.clock;
            self.save_group(room);
        }
        if let Content::Room(AboutRoom { talk, .. }) = content {
            self.talk_of_room(room, from, name, talk, now)?;
            // What it proposes may be taken before its sender knows that it was.
            self.meet(room, from, name, &said, now);
            return Ok(());
        }
        self.meet(room, from, name, &said, now);
        self.showed(room, from.device(), name, &said, now);
        let clock = said.clock;
        self.speaker = Some(Speaker { name: name.clone(), clock });
        let heard = match *name == self.chat.name {
            true => self.own_word_in(room, from.device(), content, now),
            false => self.member_word(room, from.device(), name, content, now),
        };
        self.speaker = None;
        heard
    }

    /// A word about a room, to this device alone.
    pub(in crate::chat) fn hear_about_room(
        &mut self,
        from: &Peer,
        name: &AccountName,
        about: AboutRoom,
        now: Now,
    ) -> Result<(), Error> {
        let room = room_id(about.room);
        if let RoomTalk::Invite(invite) = about.talk {
            return self.invited_to(from, name, about.room, invite, now);
        }
        let Some(group) = self.chat.group(room) else {
            self.dropped += 1;
            return Ok(());
        };
        // Who declines an invitation, or is told of a removal, need not be a member any more.
        let root = group.log.state().members.get(name).map(|member| member.root);
        if !root.is_some_and(|root| self.speaks_for(name, &root, from)) {
            self.dropped += 1;
            return Ok(());
        }
        self.talk_of_room(room, from, name, about.talk, now)
    }

    fn talk_of_room(
        &mut self,
        room: RoomId,
        from: &Peer,
        name: &AccountName,
        talk: RoomTalk,
        now: Now,
    ) -> Result<(), Error> {
        let own = *name == self.chat.name;
        match talk {
            RoomTalk::Entries { entries, keys } => self.entries(room, name, from, &entries, keys, now)?,
            RoomTalk::Want { from: height } => self.answer_want(room, from.device(), height, now),
            RoomTalk::Accept if own => self.taken_in_room(room, now)?,
            RoomTalk::Decline if own => {
                if self.chat.room(room).is_some_and(|room| room.person.is_request()) {
                    self.decline_request(room, now)?;
                }
            }
            RoomTalk::Accept => {
                self.came(room, name);
                // What was said before they knew of the room.
                self.resend(Some(from.device()), Resend::Unreceipted, now)?;
            }
            RoomTalk::Decline => self.stays_away(room, name, now),
            RoomTalk::Keys(keys) => self.take_keys(room, name, keys),
            RoomTalk::Doors { links, .. } => self.links_came(room, name, &links),
            RoomTalk::Invite(_) | RoomTalk::Past { .. } => self.dropped += 1,
        }
        Ok(())
    }

    /// The invitation was accepted on another own device.
    fn taken_in_room(&mut self, room: RoomId, now: Now) -> Result<(), Error> {
        let Some(r) = self.chat.room_mut(room).filter(|room| room.person.is_request()) else { return Ok(()) };
        r.person.standing = super::super::person::Standing::Contact;
        self.save_person(room);
        self.sort_rooms();
        self.ask_members(now);
        self.advance(room, now)
    }

    /// What a member says, who is none by the log that is here.
    fn not_member(
        &mut self,
        room: RoomId,
        from: &Peer,
        name: &AccountName,
        said: InRoom,
        now: Now,
    ) -> Result<(), Error> {
        let Some(group) = self.chat.group(room) else { return Ok(()) };
        let ahead = matches!(group.log.meet(said.height, &said.head), Met::Ahead { .. });
        let listed = self.lists.of(name).is_some_and(|list| list.has(from));
        let end = prefix_end(&room.0);
        let waiting = self.store.records.scan(EARLY, &room.0, &end, Order::Forward, EARLY_MAX)?.len();
        if !ahead || !listed || waiting >= EARLY_MAX {
            self.dropped += 1;
            return Ok(());
        }
        let height = said.height;
        let key =
            [room.0.as_slice(), &said.clock.to_be_bytes(), &MessageId::random(&mut self.rng).0].concat();
        let early = Early { from: *from, name: name.clone(), said };
        self.batch.put(EARLY, key, postcard::to_stdvec(&early).expect("it serialises: plain fields only"));
        self.entries_missing(room, height, from.device(), now);
        Ok(())
    }

    /// What a sender's head says beside the own log.
    fn meet(&mut self, room: RoomId, from: &Peer, name: &AccountName, said: &InRoom, now: Now) {
        let device = from.device();
        let Some(group) = self.chat.group_mut(room) else { return };
        match group.log.meet(said.height, &said.head) {
            Met::Ahead { .. } => self.entries_missing(room, said.height, device, now),
            Met::Fork if group.warned.insert((FORK, device)) => self.alarm(
                room,
                format!(
                    "{name} has another history of this room than you at the same place: the relay shows different people \
                     different things, or a member does. Who is in may not be the same for all: say nothing secret here, ask \
                     the others another way, and begin a new room"
                ),
                now,
            ),
            _ => {}
        }
    }

    /// Who showed a height does not go back behind it.
    fn showed(&mut self, room: RoomId, device: DeviceId, name: &AccountName, said: &InRoom, now: Now) {
        let Some(group) = self.chat.group_mut(room) else { return };
        let (height, clock) = group.shown.get(&device).copied().unwrap_or_default();
        if said.clock <= clock && height > 0 {
            // Late, or sent once more: it says nothing of how the sender is now.
            return;
        }
        if said.height < height && group.warned.insert((ROLLBACK, device)) {
            self.alarm(
                room,
                format!(
                    "{name} has gone back to an older state of this room than {name} had before: their device was set back, \
                     or somebody made it forget. What they believe about who is in may be wrong"
                ),
                now,
            );
        } else {
            let shown = (said.height.max(height), said.clock);
            group.shown.insert(device, shown);
            let shown = postcard::to_stdvec(&shown).expect("two numbers serialise");
            self.batch.put(SHOWN, [room.0, device.0].concat(), shown);
        }
    }

    /// Entries up to that height are missing here; that device has them.
    pub(super) fn entries_missing(&mut self, room: RoomId, height: u64, device: DeviceId, now: Now) {
        let Some(group) = self.chat.group_mut(room) else { return };
        if group.missing.is_some_and(|(known, _)| known >= height) {
            return;
        }
        group.missing = Some((height, device));
        let (tag, from) = (group.tag(), group.log.height() + 1);
        self.wake_group(room, now, ASK_AGAIN);
        let want = Content::Room(AboutRoom { room: tag, talk: RoomTalk::Want { from } });
        self.transmit_to(device, None, want, Why::Signal, now);
    }

    /// A member asks for entries.
    fn answer_want(&mut self, room: RoomId, device: DeviceId, from: u64, now: Now) {
        let Some(group) = self.chat.group(room) else { return };
        let entries: Vec<Vec<u8>> = group.log.entries(from).iter().map(Entry::encode).collect();
        let (tag, keys) = (group.tag(), group.kept.keys.clone());
        for piece in pieces(&entries, ENTRIES_MAX, Vec::len) {
            let talk = RoomTalk::Entries { entries: piece, keys: Some(keys.clone()) };
            self.transmit_to(device, None, Content::Room(AboutRoom { room: tag, talk }), Why::Signal, now);
        }
    }

    /// Entries of the log, from a member or with an invitation.
    pub(super) fn entries(
        &mut self,
        room: RoomId,
        name: &AccountName,
        from: &Peer,
        entries: &[Vec<u8>],
        keys: Option<Keys>,
        now: Now,
    ) -> Result<(), Error> {
        let Some(group) = self.chat.group(room) else { return Ok(()) };
        let (before, was_open) = (group.log.state().clone(), group.is_open());
        let mut log = group.log.clone();
        let joining = self.chat.room(room).is_some_and(|room| room.person.is_request()) && !was_open;
        let (mut taken, mut changes, mut gap, mut unsigned, mut fork) =
            (Vec::new(), Vec::new(), false, None, false);
        for bytes in entries {
            let Ok(entry) = Entry::decode(bytes) else {
                self.dropped += 1;
                break;
            };
            // Of what was before this account came in, who let it in is the witness.
            let knows = |account: &AccountName, root: &[u8; 32], device: &[u8; 32]| {
                !was_open || self.knows(account, root, device)
            };
            match log.apply(&entry, &knows) {
                Ok(change) => {
                    changes.push(change);
                    taken.push(entry);
                }
                Err(Fault::Repeat) => {}
                Err(Fault::Gap { .. }) => {
                    gap = true;
                    break;
                }
                Err(Fault::Unsigned) => {
                    unsigned = Some(entry.said.author.clone());
                    break;
                }
                Err(Fault::Fork { .. }) => {
                    fork = true;
                    break;
                }
                Err(Fault::Malformed | Fault::Against(_)) => {
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
            group.tries = 0;
            group.refresh(&me);
            if group.missing.is_some_and(|(height, _)| height <= group.log.height()) {
                group.missing = None;
            }
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
        if let Some(keys) = keys {
            self.take_keys(room, name, keys);
        }
        if gap {
            self.entries_missing(room, newest, from.device(), now);
        }
        if let Some(author) = unsigned {
            // Their list may have grown since it was asked for.
            self.dropped += 1;
            self.ask_newer(&author);
            let height = self.chat.group(room).map_or(0, |group| group.log.height()) + 1;
            if let Some(group) = self.chat.group_mut(room) {
                group.missing = Some((height, from.device()));
            }
            self.wake_group(room, now, ASK_AGAIN);
        }
        if joining && self.chat.group(room).is_some_and(|group| group.is_open()) {
            self.keep_group_lists(room);
        }
        self.changed(room, &before, &changes, now)?;
        if !taken.is_empty() {
            self.early(room, now)?;
            self.advance(room, now)?;
        }
        Ok(())
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

    /// The next keys of a room, from a member.
    fn take_keys(&mut self, room: RoomId, name: &AccountName, keys: Keys) {
        let Some(group) = self.chat.group_mut(room) else { return };
        if group.role(name).is_some() && group.kept.keys != keys {
            let old = std::mem::replace(&mut group.kept.keys, keys);
            group.kept.stale = false;
            self.save_group(room);
            self.watch_doors(room, Some(&old));
        }
    }

    /// What follows from changes of the log: grey lines, who is out, what waited.
    pub(super) fn changed(
        &mut self,
        room: RoomId,
        before: &State,
        changes: &[Change],
        now: Now,
    ) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let me = self.chat.name.clone();
        let name = self.chat.group(room).map_or(String::new(), |group| group.log.state().name.clone());
        let mut back = false;
        for change in changes {
            self.door_changed(room, change);
            self.note(room, super::words::line(change, &me, &name), now);
            if matches!(change.what, What::Left)
                && change.by != me
                && let Some(group) = self.chat.group_mut(room)
            {
                group.kept.stale = true;
            }
            back |= matches!(&change.what, What::Added { account, .. } if *account == me);
            if let Some(out) = change.out().filter(|out| **out != me).cloned() {
                self.gone(room, before, &out)?;
            }
        }
        let open = self.chat.group(room).is_some_and(|group| group.is_open());
        if !open && let Some(group) = self.chat.group_mut(room) {
            group.kept.pending.clear();
            group.kept.owed.clear();
            group.missing = None;
        }
        if !open {
            self.nothing_waits(room)?;
            for (name, member) in &before.members {
                self.part_with(&self.devices_of_member(name, &member.root).unwrap_or_default());
            }
        }
        if open && back {
            // In again: as before for who was in, by their own word.
            self.keep_group_lists(room);
        }
        self.save_group(room);
        self.tell_room_changed(room);
        self.ask_members(now);
        self.sort_rooms();
        Ok(())
    }

    /// Scripts hear how a room is now.
    pub(super) fn tell_room_changed(&mut self, room: RoomId) {
        let Some((r, group)) = self.chat.groups().find(|(r, _)| r.id == room) else { return };
        let told = Happened::Room { with: r.whose(), people: group.people(), open: group.is_open() };
        self.tell(told);
    }

    /// Somebody is out: nothing more waits for them, and no line waits for them.
    fn gone(&mut self, room: RoomId, before: &State, name: &AccountName) -> Result<(), Error> {
        self.came(room, name);
        if let Some(waiting) = self.groups.waiting.get_mut(name) {
            waiting.retain(|next| next.room != Some(room));
        }
        let Some(root) = before.members.get(name).map(|member| member.root) else { return Ok(()) };
        let devices = self.devices_of_member(name, &root).unwrap_or_default();
        self.part_with(&devices);
        for peer in devices {
            let device = peer.device();
            if let Some(queue) = self.queues.get_mut(&device) {
                queue.retain(|next| next.room != Some(room));
            }
            for (key, place) in self.store.records.scan(PENDING, &[], &[], Order::Forward, usize::MAX)? {
                let here = place.get(..24).and_then(unplace).is_some_and(|(of, _)| of == room);
                if here && key.ends_with(&device.0) {
                    self.batch.delete(PENDING, key);
                }
            }
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

    /// This account is out: nobody takes its words any more, and none of them waits.
    fn nothing_waits(&mut self, room: RoomId) -> Result<(), Error> {
        let queues = self.queues.values_mut().chain(self.groups.waiting.values_mut());
        queues.for_each(|queue| queue.retain(|next| next.room != Some(room)));
        for (key, place) in self.store.records.scan(PENDING, &[], &[], Order::Forward, usize::MAX)? {
            if place.get(..24).and_then(unplace).is_some_and(|(of, _)| of == room) {
                self.batch.delete(PENDING, key);
            }
        }
        Ok(())
    }

    /// What waited for entries is heard now, or never.
    fn early(&mut self, room: RoomId, now: Now) -> Result<(), Error> {
        let end = prefix_end(&room.0);
        for (key, value) in self.store.records.scan(EARLY, &room.0, &end, Order::Forward, usize::MAX)? {
            let early: Early =
                postcard::from_bytes(&value).map_err(|_| Error::Damaged("what was said early".into()))?;
            let Some(group) = self.chat.group(room) else { return Ok(()) };
            if early.said.height > group.log.height() {
                continue;
            }
            self.batch.delete(EARLY, key);
            self.hear_in_room(&early.from, &early.name, early.said, now)?;
        }
        Ok(())
    }

    /// What a member says.
    fn member_word(
        &mut self,
        room: RoomId,
        device: DeviceId,
        name: &AccountName,
        content: Content,
        now: Now,
    ) -> Result<(), Error> {
        let silent = self
            .chat
            .group(room)
            .and_then(|group| group.log.state().members.get(name))
            .is_some_and(|member| member.silent(now.wall));
        let blocked = self.chat.with(name).is_some_and(|room| room.person.blocked);
        match content {
            Content::Receipt { ids, mark } => {
                for id in ids {
                    let here = self.place_of(&id)?.and_then(|place| unplace(&place));
                    if here.is_some_and(|(of, _)| of == room) {
                        self.batch.delete(PENDING, pending_key(&id, &device));
                        self.tallied(room, name, id, mark)?;
                    }
                }
            }
            Content::Typing(on) => {
                let Some(group) = self.chat.group_mut(room).filter(|_| !silent && !blocked) else {
                    return Ok(());
                };
                match on {
                    true => group.typing.insert(name.clone(), typing_until(now)),
                    false => group.typing.remove(name),
                };
                if let Some(with) = self.chat.room(room).map(super::super::room::Room::whose) {
                    self.tell(Happened::Typing { with, by: Some(name.clone()), on });
                }
            }
            Content::Call { .. } => self.dropped += 1,
            _ if silent || blocked => self.dropped += 1,
            content => {
                if let Some(group) = self.chat.group_mut(room) {
                    group.typing.remove(name);
                }
                self.content(room, device, content, true, now)?;
            }
        }
        Ok(())
    }

    /// What another own device says in a room.
    fn own_word_in(
        &mut self,
        room: RoomId,
        device: DeviceId,
        content: Content,
        now: Now,
    ) -> Result<(), Error> {
        let Ok((content, timer)) = content.plain() else {
            self.dropped += 1;
            return Ok(());
        };
        match content {
            Content::Text { .. } | Content::Post(_) | Content::File(_) => {
                let line = match content {
                    Content::Text { id, at, body } => Line::new(id, Author::Me, at, body, LineState::Sent),
                    Content::Post(post) => Line::of(post, Author::Me, LineState::Sent),
                    Content::File(file) => file_line(*file, Author::Me, LineState::Sent),
                    _ => return Ok(()),
                };
                let id = line.id;
                if self.place_of(&id)?.is_none() {
                    self.offer(room, &line, now);
                    match timer {
                        Some(seconds) => {
                            let place = self.push_timed(room, line, seconds, now);
                            if let Some(at) = unplace(&place) {
                                self.start_timer(at, now);
                            }
                        }
                        None => drop(self.push_line(room, line, now)),
                    }
                    self.mark_read_quietly(room, None)?;
                    self.sort_rooms();
                }
                self.owe(room, id, Mark::Delivered, now);
                self.receipts_due.get_or_insert(now.mono.plus(RECEIPT_DELAY));
            }
            Content::Receipt { ids, mark } => {
                for id in ids {
                    self.batch.delete(PENDING, pending_key(&id, &device));
                    if mark == Mark::Read {
                        self.read_there(room, id)?;
                    }
                }
            }
            Content::Typing(_) => {}
            Content::Expire { seconds } => {
                self.expires(room, seconds);
            }
            content => self.content(room, device, content, true, now)?,
        }
        Ok(())
    }

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
            if let Some(with) = self.chat.room(room).map(super::super::room::Room::whose) {
                for name in stopped {
                    self.tell(Happened::Typing { with: with.clone(), by: Some(name), on: false });
                }
            }
            if due && link_is_up(&self.chat) {
                self.ask_for_news(room, now)?;
            }
        }
        Ok(())
    }

    /// Asks a few members for what is missing, and tries own operations again.
    fn ask_for_news(&mut self, room: RoomId, now: Now) -> Result<(), Error> {
        let Some(group) = self.chat.group_mut(room) else { return Ok(()) };
        let missing = group.missing.filter(|(height, _)| *height > group.log.height());
        group.missing = missing;
        let (tag, from, stuck) = (group.tag(), group.log.height() + 1, group.tries > 0);
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
            let want = Arc::new(Content::Room(AboutRoom { room: tag, talk: RoomTalk::Want { from } }));
            for device in asked {
                self.transmit_to(device, None, Content::clone(&want), Why::Signal, now);
            }
        }
        if missing.is_some() {
            self.wake_group(room, now, ASK_AGAIN);
        }
        self.advance(room, now)
    }

    /// When a room has to be looked at again.
    pub(in crate::chat) fn groups_due(&self) -> Option<Millis> {
        let rooms = self
            .chat
            .groups()
            .flat_map(|(_, group)| group.due.into_iter().chain(group.typing.values().copied()));
        rooms.chain(self.groups.after.values().copied()).min()
    }
}

fn newer(version: u8) -> String {
    format!(
        "a message came that needs a newer subrosa (content version {version}): update to read the next ones"
    )
}

const FORK: u8 = 1;
const ROLLBACK: u8 = 2;
