//! Links into a room: made, taken back, with a password or without, and watched at the relay.
//!
//! Whoever may invite opens a door; members hold its secret and, when the room has a password, the lock
//! that tests it; those who may invite watch the door at the relay. The log says which doors are open and
//! names the lock; a lock that it does not name opens and closes nothing.

use super::super::linked::Question;
use super::super::talk::Talk;
use super::super::{Link as Connection, link_is_up};
use super::Group;
use super::locks::password;
use super::ops::NO_ROOM;
use crate::effect::Effect;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use subrosa_shared::content::Content;
use subrosa_shared::content::rooms::{AboutRoom, Keys, LinkKey, Lock as SentLock, RoomTalk};
use subrosa_shared::id::{AccountName, DeviceId, DoorId, RoomId, RoomTag};
use subrosa_shared::protocol::door::Watch;
use subrosa_shared::protocol::frame::ToRelay;
use subrosa_shared::protocol::link::{RelayLink, RoomLink};
use subrosa_shared::session::Why as Purpose;
use subrosa_shared::session::door::{self, Lock};
use subrosa_shared::session::roomlog::state::DOORS_MAX;
use subrosa_shared::session::roomlog::{Change, Log, Op, Secret, Terms, What};
use subrosa_shared::store::{Error, Order, Table};
use subrosa_shared::time::{Millis, Now};
use zeroize::Zeroizing;

/// Door → room (16) ‖ the secret of its link (16).
pub const LINKS: Table = Table { byte: 0x48, name: "links into rooms" };

/// Links of a room that its log does not name yet.
const AHEAD: usize = 4;

/// Closed doors of a room that are taken away at the relay until it says so; of one more it is asked once.
const CLOSING_MAX: usize = 4 * DOORS_MAX;

/// A link into a room that this account is in.
pub(in crate::chat) struct Link {
    pub(super) room: RoomId,
    pub(super) secret: door::Secret,
    /// This device watched its door in this run.
    watched: bool,
}

/// A link into a room, for who may hand it on.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenLink {
    /// To be handed on.
    pub link: Zeroizing<String>,
    /// Who made it or changed its terms last.
    pub by: AccountName,
    /// For whom.
    pub terms: Terms,
}

impl std::fmt::Debug for OpenLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenLink").field("terms", &self.terms).finish_non_exhaustive()
    }
}

/// With which of the room's keys a door is watched or taken away: by turns the present one and one of those
/// before, the newest first. Whoever watches with the one that the relay knows passes the door on to the
/// present one; between two tries another member may have done so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(usize);

impl Key {
    /// The present one first.
    pub const PRESENT: Self = Self(0);
    /// First the one before, since the present one is new.
    pub const FORMER: Self = Self(1);

    /// What is tried when the relay refused this one.
    pub fn then(self) -> Self {
        Self(self.0 + 1)
    }

    /// Those of a room; `None` when there are none so old.
    fn of(self, group: &Group) -> Option<&Keys> {
        match self.0 % 2 {
            0 => Some(&group.kept.keys),
            _ => group.kept.former.get(self.0 / 2),
        }
    }
}

/// What follows from an operation of the own row: who is out knows the links, and one password is for all
/// of them.
pub(super) fn consequences(change: &Change, log: &Log, me: &AccountName, now: Now) -> Vec<Op> {
    let doors = log.state().doors.iter();
    let shut = |door: &DoorId| Op::Door { door: *door, terms: None };
    match &change.what {
        // The device that is out knows them as well; what others opened, others close.
        What::Renewed => {
            let may = |op: &Op| log.state().allows(me, op, now.wall).is_ok();
            doors.map(|(id, _)| shut(id)).filter(may).collect()
        }
        What::Removed { .. } | What::Banned { was_in: true, .. } => doors.map(|(id, _)| shut(id)).collect(),
        What::DoorOpened { terms, before: Some(before), .. } if before.password != terms.password => doors
            .filter(|(_, door)| door.terms.password != terms.password)
            .map(|(id, door)| {
                let terms = Terms { password: terms.password, ..door.terms };
                Op::Door { door: *id, terms: Some(terms) }
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// An own operation as it makes sense after what others did meanwhile; `None` when it does not.
pub(super) fn adapted(op: &Op, log: &Log) -> Option<Op> {
    let of = |op: &Op| match op {
        Op::Door { door, .. } => Some(*door),
        _ => None,
    };
    let Some(door) = of(op).filter(|door| !log.state().doors.contains_key(door)) else {
        return Some(op.clone());
    };
    match op {
        // Closed before, or used up: other terms would open it again.
        _ if log.entries(0).iter().any(|entry| of(&entry.said.op) == Some(door)) => None,
        Op::Door { terms: Some(terms), .. } => {
            let terms = Terms { password: password(log), ..*terms };
            Some(Op::Door { door, terms: Some(terms) })
        }
        _ => None,
    }
}

impl Talk {
    /// A new link into a room.
    ///
    /// # Errors
    /// A sentence with the next step.
    pub fn make_link(
        &mut self,
        room: RoomId,
        once: bool,
        seconds: Option<u32>,
        now: Now,
    ) -> Result<Zeroizing<String>, String> {
        let until = seconds.map(|seconds| Millis(now.wall.0 + u64::from(seconds) * 1000));
        self.open_door(room, Terms { once, until, password: None }, None, now)
    }

    /// With the room's password; with another one (`Some`), it is set.
    pub(super) fn open_door(
        &mut self,
        room: RoomId,
        terms: Terms,
        sets: Option<[u8; 32]>,
        now: Now,
    ) -> Result<Zeroizing<String>, String> {
        let relay = self.relay_link()?;
        let group = self.chat.group(room).ok_or(NO_ROOM)?;
        let (tag, password) = (group.tag(), password(&group.log));
        let secret = door::Secret::draw(&mut self.rng);
        let door = secret.door();
        let with = |password| Op::Door { door, terms: Some(Terms { password, ..terms }) };
        let mut ops = vec![with(password)];
        ops.extend(sets.map(|hash| with(Some(hash))));
        self.keep_link(room, &secret);
        if let Err(why) = self.operate_all(room, ops, now) {
            self.forget_link(&door);
            return Err(why);
        }
        Ok(text(relay, tag, &secret, sets.or(password).is_some()))
    }

    fn relay_link(&self) -> Result<RelayLink, String> {
        let link = self.chat.relay.parse();
        link.map_err(|_| "the relay's own link is not known here: connect once, then try again".into())
    }

    /// The links into a room that are open, for who may invite.
    pub fn links_into(&self, room: RoomId, now: Now) -> Vec<OpenLink> {
        let (Some(group), Ok(relay)) = (self.chat.group(room), self.relay_link()) else { return Vec::new() };
        if !self.may_let_in(group) {
            return Vec::new();
        }
        // With what is on its way.
        let mut doors: BTreeMap<DoorId, (AccountName, Terms)> = BTreeMap::new();
        doors.extend(group.log.state().doors.iter().map(|(id, door)| (*id, (door.by.clone(), door.terms))));
        for op in &group.kept.pending {
            match op {
                Op::Door { door, terms: Some(terms) } => {
                    doors.insert(*door, (self.chat.name.clone(), *terms));
                }
                Op::Door { door, terms: None } => drop(doors.remove(door)),
                _ => {}
            }
        }
        doors.retain(|_, (_, terms)| terms.until.is_none_or(|until| now.wall <= until));
        let open = doors.into_iter().filter_map(|(id, (by, terms))| {
            let secret = &self.groups.links.get(&id)?.secret;
            let link = text(relay.clone(), group.tag(), secret, terms.password.is_some());
            Some(OpenLink { link, by, terms })
        });
        open.collect()
    }

    /// Takes all links into a room back; says how many.
    ///
    /// # Errors
    /// A sentence with the next step.
    pub fn withdraw_links(&mut self, room: RoomId, now: Now) -> Result<usize, String> {
        let group = self.chat.group(room).ok_or(NO_ROOM)?;
        let doors = group.log.state().doors.keys();
        let ops: Vec<Op> = doors.map(|door| Op::Door { door: *door, terms: None }).collect();
        let count = ops.len();
        self.operate_all(room, ops, now)?;
        Ok(count)
    }

    /// Takes all links into a room back and makes one in their place, on the terms of the most lasting.
    ///
    /// # Errors
    /// A sentence with the next step.
    pub fn renew_link(&mut self, room: RoomId, now: Now) -> Result<Zeroizing<String>, String> {
        self.relay_link()?;
        let group = self.chat.group(room).ok_or(NO_ROOM)?;
        let open = group.log.state().doors.values().filter(|door| door.open(now.wall));
        let lasting = |terms: &Terms| (!terms.once, terms.until.map_or(u64::MAX, |until| until.0));
        let terms = open.map(|door| door.terms).max_by_key(lasting);
        self.withdraw_links(room, now)?;
        self.open_door(room, terms.unwrap_or(Terms { once: false, until: None, password: None }), None, now)
    }

    // ---- what members have

    /// The links and the lock that another device gets; `None` when there are none.
    pub(super) fn doors_of(&self, room: RoomId) -> Option<Content> {
        let group = self.chat.group(room)?;
        let doors = &group.log.state().doors;
        let links: Vec<LinkKey> = self
            .groups
            .links
            .iter()
            .filter(|(door, link)| link.room == room && doors.contains_key(door))
            .map(|(_, link)| LinkKey(*link.secret.as_bytes()))
            .collect();
        let lock = password(&group.log).and_then(|hash| self.groups.locks.get(&(room, hash)));
        let lock = lock.map(|lock| SentLock(lock.as_bytes().to_vec()));
        let some = !links.is_empty() || lock.is_some();
        let talk = RoomTalk::Doors { links, lock };
        some.then(|| Content::Room(AboutRoom { room: group.tag(), talk }))
    }

    /// The links of a room and its lock for one device.
    pub(super) fn send_links(&mut self, room: RoomId, device: DeviceId, now: Now) {
        if let Some(content) = self.doors_of(room) {
            self.transmit_to(device, None, content, Purpose::Signal, now);
        }
    }

    /// A member has links, or the lock.
    pub(super) fn links_came(
        &mut self,
        room: RoomId,
        name: &AccountName,
        (links, lock): (&[LinkKey], Option<&SentLock>),
        now: Now,
    ) {
        if self.chat.group(room).is_none_or(|group| group.role(name).is_none()) {
            self.dropped += 1;
            return;
        }
        for key in links {
            let secret = door::Secret::from_bytes(key.0);
            let named = self
                .chat
                .group(room)
                .is_some_and(|group| group.log.state().doors.contains_key(&secret.door()));
            let known = self.groups.links.values().filter(|link| link.room == room).count();
            if named || known < DOORS_MAX + AHEAD {
                self.keep_link(room, &secret);
                self.watch_door(room, secret.door(), Key::PRESENT);
            }
        }
        match lock.map(|lock| Lock::from_bytes(&lock.0)) {
            Some(Ok(lock)) => {
                self.keep_lock(room, &lock);
                self.watch_doors(room, Key::PRESENT);
                self.unlocked(room, now);
            }
            Some(Err(_)) => self.dropped += 1,
            None => {}
        }
    }

    /// A change of the log that may be about a door. `old`: the keys that it came with the next ones of.
    pub(super) fn door_changed(&mut self, room: RoomId, change: &Change, old: Option<&Keys>, now: Now) {
        let closed = |door: &DoorId, talk: &Self| {
            talk.chat.group(room).is_some_and(|group| !group.log.state().doors.contains_key(door))
        };
        match &change.what {
            What::DoorOpened { door, terms, before } => {
                let new = before.is_none();
                let before = before.and_then(|before| before.password);
                if let Some(hash) = before.filter(|hash| terms.password != Some(*hash)) {
                    self.forget_lock(room, hash);
                }
                self.watch_door(room, *door, Key::PRESENT);
                let made = self.groups.links.get(door).filter(|_| new && change.by == self.chat.name);
                if let Some(link) = made
                    && let Some(group) = self.chat.group(room)
                {
                    // Not before the log has it: whoever is out by then does not hear of it.
                    let links = vec![LinkKey(*link.secret.as_bytes())];
                    let talk = RoomTalk::Doors { links, lock: None };
                    let doors = Content::Room(AboutRoom { room: group.tag(), talk });
                    self.transmit_in(room, &doors, Purpose::Signal, None, now);
                }
            }
            What::DoorClosed { door } | What::Added { door: Some(door), .. } if closed(door, self) => {
                // Who watched on after others closed it has begun it anew at the relay.
                let watched = self.forget_link(door);
                if (watched || change.by == self.chat.name)
                    && let Some(group) = self.chat.group_mut(room)
                {
                    if group.kept.closing.len() < CLOSING_MAX {
                        group.kept.closing.insert(*door);
                    }
                    // Nobody passes a door on that is closed.
                    self.close_door(room, *door, if old.is_some() { Key::FORMER } else { Key::PRESENT });
                }
            }
            // Whoever may let people in from now on.
            What::Role { .. } | What::HandedOver { .. } | What::Policy { .. } => {
                self.watch_doors(room, Key::PRESENT);
            }
            _ => {}
        }
    }

    /// Asks who has them for links and a lock that the log names and that are not here.
    pub(super) fn ask_for_doors(&mut self, room: RoomId, now: Now) {
        let Some(group) = self.chat.group(room).filter(|group| self.may_let_in(group)) else { return };
        let state = group.log.state();
        let missing = |(id, door): &(&DoorId, &subrosa_shared::session::roomlog::Door)| {
            let locked =
                door.terms.password.is_some_and(|hash| !self.groups.locks.contains_key(&(room, hash)));
            door.by != self.chat.name && (locked || !self.groups.links.contains_key(id))
        };
        let Some((_, door)) = state.doors.iter().find(missing) else { return };
        let want = group.want();
        let root = state.members.get(&door.by).map(|member| member.root);
        let devices = root.and_then(|root| self.devices_of_member(&door.by, &root)).unwrap_or_default();
        for peer in devices {
            self.transmit_to(peer.device(), None, want.clone(), Purpose::Signal, now);
        }
    }

    /// Wants the knocks at all doors of a room.
    pub(super) fn watch_doors(&mut self, room: RoomId, key: Key) {
        let of = self.groups.links.iter().filter(|(_, link)| link.room == room);
        for door in of.map(|(door, _)| *door).collect::<Vec<_>>() {
            self.watch_door(room, door, key);
        }
    }

    /// Wants the knocks at a door, if this account may let people in there and can; with a key that it has.
    pub(in crate::chat) fn watch_door(&mut self, room: RoomId, door: DoorId, key: Key) {
        let Some(group) = self.chat.group(room).filter(|group| self.may_let_in(group)) else { return };
        let Some(open) = group.log.state().doors.get(&door) else { return };
        let unlocks = |hash| self.groups.locks.contains_key(&(room, hash));
        let can = self.groups.links.contains_key(&door) && open.terms.password.is_none_or(unlocks);
        if !can || self.chat.link != Connection::Online {
            return;
        }
        let Some(shown) = key.of(group) else { return };
        let opens = |keys: &Keys| Secret::from_bytes(keys.secret).door_key(&door);
        let guard = Sha256::digest(opens(&group.kept.keys).as_slice()).into();
        let watch = Watch { door, key: *opens(shown), guard };
        if let Some(link) = self.groups.links.get_mut(&door) {
            link.watched = true;
        }
        let ask = self.ask(Question::WatchDoor(room, door, key));
        self.effects.push(Effect::Send(ToRelay::WatchDoor { ask, watch }));
    }

    /// Takes a closed door away at the relay, with a key that it has.
    pub(in crate::chat) fn close_door(&mut self, room: RoomId, door: DoorId, key: Key) {
        let Some(group) = self.chat.group(room).filter(|_| link_is_up(&self.chat)) else { return };
        let Some(shown) = key.of(group) else {
            // The relay forgets it, as nobody watches it.
            return self.door_is_gone(room, &door);
        };
        let shown = *Secret::from_bytes(shown.secret).door_key(&door);
        let ask = self.ask(Question::CloseDoor(room, door, key));
        self.effects.push(Effect::Send(ToRelay::CloseDoor { ask, door, key: shown }));
    }

    /// Takes those of a room away once more of which the relay has not said that they are gone.
    pub(super) fn close_doors(&mut self, room: RoomId) {
        let closing = self.chat.group(room).map(|group| group.kept.closing.clone());
        for door in closing.unwrap_or_default() {
            self.close_door(room, door, Key::PRESENT);
        }
    }

    /// Nothing more is to be done about a closed door.
    pub(in crate::chat) fn door_is_gone(&mut self, room: RoomId, door: &DoorId) {
        if self.chat.group_mut(room).is_some_and(|group| group.kept.closing.remove(door)) {
            self.save_group(room);
        }
    }

    /// This account is in, and may let people in.
    fn may_let_in(&self, group: &Group) -> bool {
        let least = group.log.state().policy.invite;
        group.is_open() && group.role(&self.chat.name).is_some_and(|role| role >= least)
    }

    fn keep_link(&mut self, room: RoomId, secret: &door::Secret) {
        let door = secret.door();
        self.batch.put(LINKS, door.0, [room.0, *secret.as_bytes()].concat());
        let watched = self.groups.links.get(&door).is_some_and(|link| link.watched);
        self.groups.links.insert(door, Link { room, secret: secret.clone(), watched });
    }

    /// Says whether this device watched its door.
    fn forget_link(&mut self, door: &DoorId) -> bool {
        self.batch.delete(LINKS, door.0);
        self.groups.links.remove(door).is_some_and(|link| link.watched)
    }

    /// Nothing that opens a room is kept by who is out.
    pub(super) fn forget_doors(&mut self, room: RoomId) {
        let of = self.groups.links.iter().filter(|(_, link)| link.room == room);
        for door in of.map(|(door, _)| *door).collect::<Vec<_>>() {
            self.forget_link(&door);
        }
        self.forget_locks(room);
    }

    /// The connection is back: doors are watched or taken away, and who wants to come in knocks.
    pub(in crate::chat) fn doors_linked(&mut self, now: Now) {
        self.end_guesses(now);
        let doors: Vec<_> = self.groups.links.iter().map(|(door, link)| (link.room, *door)).collect();
        for (room, door) in doors {
            self.watch_door(room, door, Key::PRESENT);
        }
        for room in self.group_ids() {
            self.close_doors(room);
            self.ask_for_doors(room, now);
        }
        for door in self.groups.joining.keys().copied().collect::<Vec<_>>() {
            self.knock(door, now);
        }
    }

    /// Links, locks, guesses, and rooms to come into, from an earlier run.
    pub(in crate::chat) fn load_doors(&mut self) -> Result<(), Error> {
        for (_, value) in self.store.records.scan(LINKS, &[], &[], Order::Forward, usize::MAX)? {
            let value = Zeroizing::new(value);
            let Some((room, secret)) = value.split_first_chunk::<16>() else { continue };
            let Ok(secret) = secret.try_into().map(door::Secret::from_bytes) else { continue };
            self.groups.links.insert(secret.door(), Link { room: RoomId(*room), secret, watched: false });
        }
        self.load_locks()?;
        self.load_guesses()?;
        self.load_joining()
    }
}

fn text(relay: RelayLink, room: RoomTag, secret: &door::Secret, password: bool) -> Zeroizing<String> {
    let secret = Zeroizing::new(*secret.as_bytes());
    Zeroizing::new(RoomLink { relay, room, secret, password }.to_string())
}
