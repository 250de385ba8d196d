//! Founding a room, inviting people, and what becomes of an invitation.

use super::super::attention::Attention;
use super::super::history::BASE;
use super::super::person::{PEOPLE, Person, Standing};
use super::super::profile::Portrait;
use super::super::room::{self, Room};
use super::super::talk::{Talk, Waiting};
use super::super::timeline::Timeline;
use super::again::{Due, INVITED};
use super::ops::NO_ROOM;
use super::past::Past;
use super::{EARLY, GROUPS, Group, LOGS, SHOWN, room_id, save_entries};
use crate::effect::Happened;
use rand_core::RngCore;
use std::sync::Arc;
use subrosa_shared::content::Content;
use subrosa_shared::content::rooms::{AboutRoom, ENTRIES_MAX, Invite, Keys, RoomTalk, pieces};
use subrosa_shared::id::{AccountName, DeviceId, RoomId, RoomTag};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::session::Why;
use subrosa_shared::session::roomlog::{self, Entry, Log, Op, Policy, Secret};
use subrosa_shared::store::{Error, Order, Table, prefix_end};
use subrosa_shared::time::Now;

/// Room id → the height (u64 BE) that its log had when the invitation was declined; with a 1 behind it, the one that
/// the invitation named when the rest of the log had not come. An earlier version wrote 2⁶⁴ − 1 then. With a 2 behind
/// it, any: another own device declined what has not come here.
pub const DECLINED: Table = Table { byte: 0x46, name: "declined rooms" };
/// Rooms that are remembered because another own device declined what has not come here…
const THERE_MAX: usize = 1024;
/// …and those of which it is said to an own device that opened nothing for a while.
const LATELY_MAX: usize = 32;
/// `room ‖ account name`: is to be invited once it is known who that is.
pub const WISHED: Table = Table { byte: 0x47, name: "people to invite" };

/// What a newcomer is told: the log from its beginning, as much as one message holds.
pub(super) fn invitation(log: &Log, keys: Keys) -> Content {
    let entries: Vec<Vec<u8>> = log.entries(0).iter().map(Entry::encode).collect();
    let entries = pieces(&entries, ENTRIES_MAX, Vec::len).into_iter().next().unwrap_or_default();
    let people = u8::try_from(log.state().members.len()).unwrap_or(u8::MAX);
    let (name, head, height) = (log.state().name.clone(), log.head(), log.height());
    let invite = Invite { name, people, head, height, entries, keys: Some(keys) };
    Content::Room(AboutRoom { room: log.tag(), talk: RoomTalk::Invite(invite) })
}

/// An invitation that was declined: the same does not come again, a later one does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Declined {
    /// Whoever was added up to that height was added then.
    Whole(u64),
    /// Of so long a log the beginning alone was here.
    Partly(u64),
    /// On another own device, before it came here: the next one is it.
    There,
}

impl Declined {
    fn read(value: &[u8]) -> Option<Self> {
        let (height, rest) = value.split_first_chunk()?;
        match (u64::from_be_bytes(*height), rest) {
            (height, []) if height < roomlog::ENTRIES_MAX => Some(Self::Whole(height)),
            (height, [1]) => Some(Self::Partly(height)),
            (_, [2]) => Some(Self::There),
            _ => None,
        }
    }

    fn write(self) -> Vec<u8> {
        match self {
            Self::Whole(height) => height.to_be_bytes().to_vec(),
            Self::Partly(height) => [&height.to_be_bytes()[..], &[1]].concat(),
            Self::There => [&[0; 8][..], &[2]].concat(),
        }
    }
}

impl Talk {
    /// A new room of this account, with these people.
    ///
    /// # Errors
    /// A sentence: the name is too long or empty.
    pub fn found_room(&mut self, name: &str, people: &[AccountName], now: Now) -> Result<RoomId, String> {
        let name = name.trim().trim_start_matches('#').trim();
        if self.chat.room_named(name).is_some_and(|room| room.is_open()) {
            return Err(format!("you are in a room of that name already: choose another than {name}"));
        }
        let (me, root) = (self.chat.name.clone(), self.chat.identity);
        let mut nonce = [0; 16];
        self.rng.fill_bytes(&mut nonce);
        let founded =
            Log::found(&me, &root, name, Policy::default(), nonce, self.sessions.identity(), now.wall);
        let (first, log) =
            founded.map_err(|_| "a room's name has 1 to 128 bytes: choose another".to_owned())?;
        let secret = Secret::draw(&mut self.rng);
        let keys = Keys { handle: secret.handle(), secret: *secret.as_bytes() };
        let mut group = Group::new(log, keys, &me);
        // The relay knows nothing of it before somebody is told.
        group.kept.moved = [0; 32];
        save_entries(room_id(group.tag()), std::slice::from_ref(&first), &mut self.batch);
        let room = self.add_group(group, Person::default(), now);
        self.note(room, "you began this room: /invite NAME brings people in".into(), now);
        self.tell_own_devices(room, now);
        for name in people {
            self.invite(room, name, now)?;
        }
        Ok(room)
    }

    /// Brings somebody into a room, as soon as it is known who that is.
    ///
    /// # Errors
    /// A sentence with the next step.
    pub fn invite(&mut self, room: RoomId, name: &AccountName, now: Now) -> Result<(), String> {
        let group = self.chat.group(room).ok_or(NO_ROOM)?;
        if *name == self.chat.name {
            return Err("that is your own name".into());
        }
        if group.role(name).is_some() {
            return Err(format!("{name} is in {} already", group.title()));
        }
        if let Some(trouble) = self.chat.with(name).and_then(super::super::trust::closed_by_key) {
            return Err(trouble);
        }
        match self.root_of(name) {
            Some(root) => self.operate(room, Op::Add { account: name.clone(), root, door: None }, now),
            None => {
                self.batch.put(WISHED, [room.0.as_slice(), name.as_str().as_bytes()].concat(), vec![1]);
                self.groups.wished.insert((room, name.clone()));
                self.ask_newer(name);
                Ok(())
            }
        }
    }

    /// The root key of an account, when it is known.
    fn root_of(&self, name: &AccountName) -> Option<[u8; 32]> {
        let pinned = self.chat.with(name).and_then(|room| room.kept.peer).map(|peer| peer.identity);
        pinned.or_else(|| self.lists.of(name).map(|list| list.root().identity))
    }

    /// It is known who somebody is: invitations that waited for that go on.
    pub(super) fn wished(&mut self, name: &AccountName, now: Now) {
        if self.root_of(name).is_none() {
            return;
        }
        let rooms: Vec<RoomId> =
            self.groups.wished.iter().filter(|(_, of)| of == name).map(|(room, _)| *room).collect();
        for room in rooms {
            self.unwish(room, name);
            if let Err(why) = self.invite(room, name, now) {
                self.notice(why, true);
            }
        }
    }

    /// Nobody is called so.
    pub(in crate::chat) fn unknown_wish(&mut self, name: &AccountName) {
        let rooms: Vec<RoomId> =
            self.groups.wished.iter().filter(|(_, of)| of == name).map(|(room, _)| *room).collect();
        for room in &rooms {
            self.unwish(*room, name);
        }
        if !rooms.is_empty() {
            self.notice(
                format!("nobody is called '{name}' at this relay: check the spelling with them"),
                true,
            );
        }
    }

    fn unwish(&mut self, room: RoomId, name: &AccountName) {
        self.batch.delete(WISHED, [room.0.as_slice(), name.as_str().as_bytes()].concat());
        self.groups.wished.remove(&(room, name.clone()));
    }

    /// Invitations that waited for an answer of the relay in an earlier run.
    pub(in crate::chat) fn load_wishes(&mut self) -> Result<(), Error> {
        for (key, _) in self.store.records.scan(WISHED, &[], &[], Order::Forward, usize::MAX)? {
            let Some((room, name)) = key.split_first_chunk::<16>() else { continue };
            if let Some(name) = std::str::from_utf8(name).ok().and_then(|name| AccountName::parse(name).ok())
            {
                self.groups.wished.insert((RoomId(*room), name));
            }
        }
        Ok(())
    }

    /// The connection is back: what members may have missed goes out again, and what waited goes on.
    pub(in crate::chat) fn groups_linked(&mut self, now: Now) -> Result<(), Error> {
        for (_, name) in self.groups.wished.clone() {
            if self.root_of(&name).is_some() {
                self.wished(&name, now);
            } else {
                self.ask_newer(&name);
            }
        }
        for room in self.group_ids() {
            self.ask_anew(room, now);
            self.tell_ends_again(room, now);
            self.tell_rows_again(room, now);
            if let Some(group) = self.chat.group_mut(room) {
                group.asking.again();
            }
            self.want_past(room, now);
            self.invite_again(room, Due::Linked, now);
        }
        self.prove_rooms(now)?;
        self.ask_chains();
        self.ask_members(now);
        self.ask_awaited();
        self.advance_all(now)
    }

    /// A conversation of a room.
    fn add_group(&mut self, group: Group, person: Person, now: Now) -> RoomId {
        let id = room_id(group.tag());
        let base = if self.own_list().root().device() == self.device() { 0 } else { BASE };
        let kept = room::Kept {
            with: None,
            peer: None,
            changed: None,
            lines: base,
            read: base,
            unread: 0,
            muted: false,
            last: now.wall,
        };
        group.save(id, &mut self.batch);
        person.save(id, &mut self.batch);
        let room = Room {
            id,
            kept,
            person,
            refused: Vec::new(),
            portrait: Portrait::default(),
            attention: Attention::default(),
            timeline: Timeline::closed(id, base),
            clock: 0,
            online: false,
            typing: None,
            divider: None,
            group: Some(Box::new(group)),
        };
        room.save(&mut self.batch);
        self.chat.rooms.push(room);
        self.sort_rooms();
        self.name_people();
        id
    }

    /// The invitation for somebody who was added.
    pub(super) fn send_invitation(&mut self, room: RoomId, name: &AccountName, now: Now) {
        let Some(group) = self.chat.group(room).filter(|group| group.is_open()) else { return };
        let Some(root) = group.log.state().members.get(name).map(|member| member.root) else { return };
        self.look_again(room, now.mono.plus(INVITED));
        match self.devices_of_member(name, &root) {
            Some(devices) => {
                for peer in devices {
                    self.send_log(room, peer.device(), now);
                }
            }
            None => {
                self.groups.unsent.insert((room, name.clone()));
                self.ask_members(now);
            }
        }
    }

    /// The whole log for one device, in as many pieces as it takes.
    pub(super) fn send_log(&mut self, room: RoomId, device: DeviceId, now: Now) {
        let Some(group) = self.chat.group(room) else { return };
        let (tag, log, keys) = (group.tag(), &group.log, group.kept.keys.clone());
        let mut contents = vec![invitation(log, keys.clone())];
        let entries: Vec<Vec<u8>> = log.entries(0).iter().map(Entry::encode).collect();
        for piece in pieces(&entries, ENTRIES_MAX, Vec::len).into_iter().skip(1) {
            let talk = RoomTalk::Entries { entries: piece, keys: Some(keys.clone()) };
            contents.push(Content::Room(AboutRoom { room: tag, talk }));
        }
        for content in contents {
            let content = Arc::new(content);
            let next = Waiting { room: None, content, why: Why::Signal, message: None };
            self.queue(device, next, now);
        }
        self.send_links(room, device, now);
        // What the newcomer says first comes after all that was said.
        self.send_place(room, device, now);
    }

    /// The other own devices learn of a room that this one is in.
    pub(super) fn tell_own_devices(&mut self, room: RoomId, now: Now) {
        for peer in self.siblings() {
            self.tell_own_device(room, peer.device(), now);
        }
    }

    fn tell_own_device(&mut self, room: RoomId, device: DeviceId, now: Now) {
        let Some(tag) = self.chat.group(room).filter(|group| group.is_open()).map(Group::tag) else { return };
        self.send_log(room, device, now);
        if self.chat.room(room).is_some_and(|room| room.person.is_contact()) {
            let content = Content::Room(AboutRoom { room: tag, talk: RoomTalk::Accept });
            self.transmit_to(device, None, content, Why::Signal, now);
        }
    }

    /// A new own device learns of all rooms.
    pub(in crate::chat) fn greet_with_rooms(&mut self, device: DeviceId, now: Now) {
        for room in self.group_ids() {
            self.tell_own_device(room, device, now);
        }
    }

    // ---- the other side

    /// Somebody, or an own device, says that this account is in a room.
    pub(super) fn invited_to(
        &mut self,
        from: &Peer,
        name: &AccountName,
        tag: RoomTag,
        invite: Invite,
        now: Now,
    ) -> Result<(), Error> {
        let room = room_id(tag);
        let own = *name == self.chat.name;
        let blocked = self.chat.with(name).is_some_and(|room| room.person.blocked);
        let bounded = invite.height < roomlog::ENTRIES_MAX;
        let Some(keys) = invite.keys.clone().filter(|_| !blocked && bounded) else {
            self.dropped += 1;
            return Ok(());
        };
        let known = self.chat.group(room).map(|group| group.is_open());
        if known.is_some() {
            // What it says beyond the log that is here already.
            self.entries(room, name, from, &invite.entries, Some(keys), now)?;
            let lacks = |group: &Group| !group.is_open() && group.log.height() < invite.height;
            let partly = (invite.entries.len() as u64) <= invite.height;
            if partly && self.chat.group(room).is_some_and(lacks) {
                self.entries_missing(room, invite.height, from.device(), now);
            }
            return Ok(());
        }
        // Whose devices signed it is verified as soon as their lists are here; whoever else is in has
        // another head if it was changed.
        let entries: Vec<Entry> =
            invite.entries.iter().map_while(|bytes| Entry::decode(bytes).ok()).collect();
        let Some((first, rest)) = entries.split_first() else {
            self.dropped += 1;
            return Ok(());
        };
        let Ok(mut log) = Log::begin(first, &|_, _, _| true) else {
            self.dropped += 1;
            return Ok(());
        };
        let whole = entries.len() == invite.entries.len()
            && rest.iter().all(|entry| log.apply(entry, &|_, _, _| true).is_ok());
        let (me, root) = (&self.chat.name, self.chat.identity);
        let state = log.state();
        let mine = state.members.get(me).filter(|member| member.root == root).map(|member| member.since);
        let partly = log.height() < invite.height;
        let theirs = own || state.members.contains_key(name) || partly;
        if !whole || log.tag() != tag || !theirs || (mine.is_none() && !partly) {
            self.dropped += 1;
            return Ok(());
        }
        if let Some(declined) = self.store.records.get(DECLINED, &room.0)? {
            let declined = Declined::read(&declined);
            if declined == Some(Declined::There) && !own {
                let this =
                    if partly { Declined::Partly(invite.height) } else { Declined::Whole(log.height()) };
                self.batch.put(DECLINED, room.0, this.write());
                return Ok(());
            }
            let same = match mine {
                Some(since) => matches!(declined, Some(Declined::Whole(height)) if since <= height),
                None => declined == Some(Declined::Partly(invite.height)),
            };
            if same {
                return Ok(());
            }
            if mine.is_some() {
                self.batch.delete(DECLINED, room.0);
            }
        }
        let inviter = self.chat.with(name).is_some_and(|room| room.person.is_contact());
        let knocked = self.knocked_there(tag);
        if !own && !inviter && !knocked && self.config.privacy.requests && !self.has_place() {
            self.chat.turned_away += 1;
            self.dropped += 1;
            if !self.lets_hear(&from.device()) {
                self.sessions.forget_peer(&from.device(), &mut self.batch);
            }
            return Ok(());
        }
        self.groups.declined.retain(|declined| *declined != tag);
        let mut group = Group::new(log, keys, &self.chat.name);
        group.kept.by = (!own).then(|| name.clone());
        // A device that was linked has it from the other one.
        group.kept.past = if own { Past::Told } else { Past::Wanted };
        // Signed by devices that are not known here yet.
        group.kept.unproven = group.log.height() + 1;
        save_entries(room, &entries, &mut self.batch);
        let standing = Person { standing: Standing::Request, ..Person::default() };
        self.add_group(group, standing, now);
        self.keep_member_lists();
        self.doubt_authors(room);
        self.prove_rooms(now)?;
        if own {
            // Whether it was accepted comes behind it.
            return Ok(());
        }
        let title = self.chat.room(room).map_or(String::new(), |room| room.name().to_owned());
        if knocked {
            self.came_in(tag);
            self.accept(room, now)?;
            self.notice(format!("{name} let you into {title}: Ctrl+k finds it"), false);
            if partly {
                self.entries_missing(room, invite.height, from.device(), now);
            }
            return Ok(());
        }
        let people = invite.people;
        self.note(
            room,
            format!(
                "{name} invites you to {title}, where {people} people are: /accept lets them see that you came, /decline \
                 forgets it"
            ),
            now,
        );
        if let Some(with) = self.chat.room(room).map(Room::whose) {
            self.tell(Happened::Request { with, by: Some(name.clone()) });
        }
        self.notice(format!("{name} invites you to {title}: Ctrl+k finds it"), false);
        if partly {
            self.entries_missing(room, invite.height, from.device(), now);
        }
        if !self.config.privacy.requests {
            self.accept(room, now)?;
        }
        Ok(())
    }

    /// The person takes an invitation: the others hear of it, and from now on receipts go out.
    pub(in crate::chat) fn joined(&mut self, room: RoomId, now: Now) -> Result<(), Error> {
        self.say_came(room, now);
        self.tell_room_changed(room);
        self.ask_members(now);
        self.ask_for_rest(room, now);
        self.ask_for_unheard(room, now);
        self.want_past(room, now);
        self.advance(room, now)
    }

    /// The others hear that this account came, once it is in: a long log may still be on its way.
    pub(super) fn say_came(&mut self, room: RoomId, now: Now) {
        let Some(group) = self.chat.group(room) else { return };
        let accept = Content::Room(AboutRoom { room: group.tag(), talk: RoomTalk::Accept });
        // To all: what they said before the invitation was here could not be read.
        self.transmit_in(room, &accept, Why::Signal, None, now);
        // With the log: who invited may not have known of all of them.
        self.tell_own_devices(room, now);
    }

    fn tell_siblings_of_room(&mut self, content: &Content, now: Now) {
        for peer in self.siblings() {
            self.transmit_to(peer.device(), None, content.clone(), Why::Signal, now);
        }
    }

    /// The person does not take an invitation: whom they know is told, strangers are not.
    pub(in crate::chat) fn not_joined(&mut self, room: RoomId, now: Now) -> Result<(), Error> {
        let Some(group) = self.chat.group(room) else { return Ok(()) };
        let tag = group.tag();
        let decline = Content::Room(AboutRoom { room: tag, talk: RoomTalk::Decline });
        let declined = match group.log.state().members.contains_key(&self.chat.name) {
            true => Some(Declined::Whole(group.log.height())),
            false => group.missing.map(|(height, _)| Declined::Partly(height)),
        };
        // A log that is not verified may be made up, and the true invitation another one.
        let declined = declined.filter(|_| group.kept.unproven == 0);
        let by = group.kept.by.clone();
        let contact = by.filter(|name| self.chat.with(name).is_some_and(Room::is_open));
        let devices = contact.and_then(|name| Some(self.devices_of(self.chat.with(&name)?.id)));
        for peer in devices.unwrap_or_default() {
            self.transmit_to(peer.device(), None, decline.clone(), Why::Signal, now);
        }
        self.tell_siblings_of_room(&decline, now);
        if let Some(declined) = declined {
            if self.groups.declined.len() >= LATELY_MAX {
                self.groups.declined.pop_front();
            }
            self.groups.declined.push_back(tag);
            self.batch.put(DECLINED, room.0, declined.write());
        }
        self.forget_group(room)
    }

    /// Tells an own device which invitations were declined lately: the word of it may not have opened there.
    pub(in crate::chat) fn greet_with_declined(&mut self, device: DeviceId, now: Now) {
        for room in self.groups.declined.clone() {
            let decline = Content::Room(AboutRoom { room, talk: RoomTalk::Decline });
            self.transmit_to(device, None, decline, Why::Signal, now);
        }
    }

    /// Another own device declined an invitation that has not come here: it may be on its way still.
    pub(super) fn declined_there(&mut self, room: RoomId) -> Result<(), Error> {
        let all = self.store.records.scan(DECLINED, &[], &[], Order::Forward, THERE_MAX)?;
        if all.len() < THERE_MAX && all.iter().all(|(key, _)| *key != room.0) {
            self.batch.put(DECLINED, room.0, Declined::There.write());
        }
        Ok(())
    }

    /// Nothing of a room is kept.
    pub(super) fn forget_group(&mut self, room: RoomId) -> Result<(), Error> {
        let end = prefix_end(&room.0);
        for table in [LOGS, SHOWN, EARLY] {
            for (key, _) in self.store.records.scan(table, &room.0, &end, Order::Forward, usize::MAX)? {
                self.batch.delete(table, key);
            }
        }
        self.batch.delete(GROUPS, room.0);
        self.batch.delete(PEOPLE, room.0);
        self.forget_doors(room);
        self.forget_guesses(room);
        Ok(())
    }

    /// Somebody was heard of who was invited here.
    pub(super) fn came(&mut self, room: RoomId, name: &AccountName) {
        let Some(group) = self.chat.group_mut(room) else { return };
        group.kept.invited.remove(name);
        if group.kept.owed.remove(name) {
            self.save_group(room);
        }
    }

    /// Somebody is in. Whom this device has brought in it tells for how long messages stay: they may ask for
    /// nothing of before.
    pub(super) fn is_in(&mut self, room: RoomId, name: &AccountName, now: Now) {
        let owed = self.chat.group(room).is_some_and(|group| group.kept.owed.contains(name));
        self.came(room, name);
        if owed {
            self.tell_expiry(room, name, now);
        }
    }

    /// Somebody does not come.
    pub(super) fn stays_away(&mut self, room: RoomId, name: &AccountName, now: Now) {
        self.came(room, name);
        let Some(group) = self.chat.group(room).filter(|group| group.role(name).is_some()) else { return };
        let op = Op::Remove { account: name.clone() };
        if group.log.state().allows(&self.chat.name, &op, now.wall).is_ok() {
            self.note(room, format!("{name} declined the invitation"), now);
            if let Err(why) = self.operate(room, op, now) {
                self.notice(why, true);
            }
        }
    }

    fn keep_member_lists(&mut self) {
        let names: Vec<AccountName> =
            self.chat.groups().flat_map(|(_, group)| group.log.state().members.keys().cloned()).collect();
        for name in names {
            self.keep_list(&name);
        }
    }
}
