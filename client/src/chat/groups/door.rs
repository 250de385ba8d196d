//! Coming into a room by a link, and letting in who comes.
//!
//! Whoever may invite opens a door; all who may invite hold its secret and watch it at the relay. One of
//! them hears a knock, adds who it is, and the log sees to it that through a door for one comes one.

use super::super::linked::Question;
use super::super::talk::Talk;
use super::super::{Link as Connection, link_is_up};
use super::ops::NO_ROOM;
use super::room_id;
use crate::effect::Effect;
use sha2::{Digest, Sha256};
use subrosa_shared::content::Content;
use subrosa_shared::content::rooms::{AboutRoom, Keys, LinkKey, RoomTalk};
use subrosa_shared::id::{AccountName, DeviceId, DoorId, RoomId, RoomTag};
use subrosa_shared::protocol::door::{Answer, Guess, KnockId, Knocked, Watch};
use subrosa_shared::protocol::frame::ToRelay;
use subrosa_shared::protocol::link::{RelayLink, RoomLink};
use subrosa_shared::session::Why as Purpose;
use subrosa_shared::session::door::{self, At, Heard, Knocking, Verdict, Visitor, Why};
use subrosa_shared::session::roomlog::{Change, Op, Rule, Secret, Terms, What};
use subrosa_shared::store::{Error, Order, Table};
use subrosa_shared::time::{Millis, Now};
use zeroize::Zeroizing;

/// Door → room (16) ‖ the secret of its link (16).
pub const LINKS: Table = Table { byte: 0x48, name: "links into rooms" };
/// Door → the link of a room that this account wants to come into.
pub const JOINING: Table = Table { byte: 0x49, name: "rooms to come into" };

/// A link into a room that this account is in.
pub(in crate::chat) struct Link {
    room: RoomId,
    secret: door::Secret,
}

/// A room that this account wants to come into.
pub(in crate::chat) struct Joining {
    link: RoomLink,
    /// The knock that was made on this connection.
    knocking: Option<Knocking>,
    /// That nobody is there was said.
    told: bool,
}

/// With which of the room's keys a door is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The one before: the first member to come passes the door on to the next key.
    Old,
    /// The present one.
    Present,
}

impl Talk {
    // ---- members

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
    ) -> Result<String, String> {
        let relay: RelayLink = self
            .chat
            .relay
            .parse()
            .map_err(|_| "the relay's own link is not known here: connect once, then try again")?;
        let tag = self.chat.group(room).ok_or(NO_ROOM)?.tag();
        let secret = door::Secret::draw(&mut self.rng);
        let until = seconds.map(|seconds| Millis(now.wall.0 + u64::from(seconds) * 1000));
        let terms = Terms { once, until, password: None };
        self.operate(room, Op::Door { door: secret.door(), terms: Some(terms) }, now)?;
        self.keep_link(room, &secret);
        let talk = RoomTalk::Doors { links: vec![LinkKey(*secret.as_bytes())], lock: None };
        self.transmit_in(room, &Content::Room(AboutRoom { room: tag, talk }), Purpose::Signal, None, now);
        self.watch_door(room, secret.door(), None);
        let secret = Zeroizing::new(*secret.as_bytes());
        Ok(RoomLink { relay, room: tag, secret, password: false }.to_string())
    }

    /// Takes all links into a room back; says how many.
    ///
    /// # Errors
    /// A sentence with the next step.
    pub fn withdraw_links(&mut self, room: RoomId, now: Now) -> Result<usize, String> {
        let group = self.chat.group(room).ok_or(NO_ROOM)?;
        let doors: Vec<DoorId> = group.log.state().doors.keys().copied().collect();
        for door in &doors {
            self.operate(room, Op::Door { door: *door, terms: None }, now)?;
        }
        Ok(doors.len())
    }

    /// The links that newcomers get with the log; `None` when there are none.
    pub(super) fn links_of(&self, room: RoomId, tag: RoomTag) -> Option<Content> {
        let keys: Vec<LinkKey> = self
            .groups
            .links
            .values()
            .filter(|link| link.room == room)
            .map(|link| LinkKey(*link.secret.as_bytes()))
            .collect();
        let some = !keys.is_empty();
        let talk = RoomTalk::Doors { links: keys, lock: None };
        some.then_some(Content::Room(AboutRoom { room: tag, talk }))
    }

    /// A member made links.
    pub(super) fn links_came(&mut self, room: RoomId, name: &AccountName, links: &[LinkKey]) {
        if self.chat.group(room).is_none_or(|group| group.role(name).is_none()) {
            self.dropped += 1;
            return;
        }
        for key in links {
            let secret = door::Secret::from_bytes(key.0);
            self.keep_link(room, &secret);
            self.watch_door(room, secret.door(), None);
        }
    }

    /// A change of the log that may be about a door.
    pub(super) fn door_changed(&mut self, room: RoomId, change: &Change) {
        let closed = |door: &DoorId, talk: &Self| {
            talk.chat.group(room).is_some_and(|group| !group.log.state().doors.contains_key(door))
        };
        match &change.what {
            What::DoorOpened { door, .. } => self.watch_door(room, *door, None),
            What::DoorClosed { door } | What::Added { door: Some(door), .. } if closed(door, self) => {
                self.batch.delete(LINKS, door.0);
                self.groups.links.remove(door);
                if change.by == self.chat.name
                    && link_is_up(&self.chat)
                    && let Some(group) = self.chat.group(room)
                {
                    let key = *Secret::from_bytes(group.kept.keys.secret).door_key(door);
                    let ask = self.ask(Question::Answer);
                    self.effects.push(Effect::Send(ToRelay::CloseDoor { ask, door: *door, key }));
                }
            }
            _ => {}
        }
    }

    /// Wants the knocks at all doors of a room, with the key before if it has just changed.
    pub(super) fn watch_doors(&mut self, room: RoomId, old: Option<&Keys>) {
        let of = self.groups.links.iter().filter(|(_, link)| link.room == room);
        for door in of.map(|(door, _)| *door).collect::<Vec<_>>() {
            self.watch_door(room, door, old);
        }
    }

    /// Wants the knocks at a door, if this account may let people in there.
    pub(in crate::chat) fn watch_door(&mut self, room: RoomId, door: DoorId, old: Option<&Keys>) {
        let Some(group) = self.chat.group(room).filter(|group| group.is_open()) else { return };
        let state = group.log.state();
        let may = group.role(&self.chat.name).is_some_and(|role| role >= state.policy.invite);
        let open = state.doors.contains_key(&door) && self.groups.links.contains_key(&door);
        if !may || !open || self.chat.link != Connection::Online {
            return;
        }
        let present = Secret::from_bytes(group.kept.keys.secret).door_key(&door);
        let key = old.map_or(*present, |old| *Secret::from_bytes(old.secret).door_key(&door));
        let guard = Sha256::digest(present.as_slice()).into();
        let which = if old.is_some() { Key::Old } else { Key::Present };
        let ask = self.ask(Question::WatchDoor(room, door, which));
        self.effects.push(Effect::Send(ToRelay::WatchDoor { ask, watch: Watch { door, key, guard } }));
    }

    /// Somebody knocks.
    pub(in crate::chat) fn knocked(&mut self, knocked: Knocked, now: Now) {
        let Some(Link { room, secret }) = self.groups.links.get(&knocked.door) else { return };
        let room = *room;
        let Some(group) = self.chat.group(room) else { return };
        let at = At { relay: self.relay_key, room: group.tag() };
        let from = (&knocked.from, &knocked.name);
        let heard = Heard::open(&secret.clone(), &at, from, &knocked.bytes, &mut self.rng);
        let Ok(heard) = heard else {
            self.dropped += 1;
            return;
        };
        if !self.vouched(heard.visitor()) {
            // What the relay says of that account has to begin at the key that they gave.
            let first = self.groups.knocks.insert(knocked.name.clone(), knocked.clone()).is_none();
            if first || !self.asking(&knocked.name) {
                self.ask_newer(&knocked.name);
            }
            return;
        }
        let Visitor { name, root, .. } = heard.visitor().clone();
        let op = Op::Add { account: name.clone(), root, door: Some(knocked.door) };
        let allowed = group.log.state().allows(&self.chat.name, &op, now.wall);
        let verdict = match allowed {
            Ok(()) => match self.operate(room, op, now) {
                Ok(()) => Verdict::Welcome,
                Err(_) => Verdict::Refused(Why::NoDoor),
            },
            Err(Rule::Already) => {
                self.send_invitation(room, &name, now);
                Verdict::Welcome
            }
            Err(Rule::Banned) => Verdict::Refused(Why::Banned),
            Err(Rule::Crowded(_)) => Verdict::Refused(Why::Full),
            Err(_) => Verdict::Refused(Why::NoDoor),
        };
        self.answer_knock(knocked.knock, heard.verdict(verdict));
    }

    /// It is known who somebody is: their knock, if they made one.
    pub(super) fn knock_again(&mut self, name: &AccountName, now: Now) {
        let Some(knocked) = self.groups.knocks.remove(name) else { return };
        self.knocked(knocked, now);
        // Still not who they say.
        if self.groups.knocks.remove(name).is_some() {
            self.dropped += 1;
        }
    }

    fn answer_knock(&mut self, knock: KnockId, bytes: Vec<u8>) {
        let ask = self.ask(Question::Answer);
        let answer = Answer { knock, bytes, guess: Guess::None, last: true };
        self.effects.push(Effect::Send(ToRelay::AnswerKnock { ask, answer }));
    }

    fn vouched(&self, visitor: &Visitor) -> bool {
        match self.lists.of(&visitor.name) {
            Some(list) => list.root().identity == visitor.root && list.has(&visitor.peer),
            None => self
                .chat
                .with(&visitor.name)
                .and_then(|room| room.kept.peer)
                .is_some_and(|pinned| pinned == visitor.peer && pinned.identity == visitor.root),
        }
    }

    fn keep_link(&mut self, room: RoomId, secret: &door::Secret) {
        let door = secret.door();
        self.batch.put(LINKS, door.0, [room.0, *secret.as_bytes()].concat());
        self.groups.links.insert(door, Link { room, secret: secret.clone() });
    }

    // ---- who comes

    /// Knocks at the door of a link, now or as soon as there is a connection.
    ///
    /// # Errors
    /// A sentence with the next step.
    pub fn join(&mut self, link: &str) -> Result<(), String> {
        let link: RoomLink = link.parse().map_err(|why| format!("{why}"))?;
        if link.relay.fingerprint != self.relay_key {
            return Err(format!(
                "that room is at another relay, {}: join it with a profile there (subrosa --profile NEW)",
                link.relay.host
            ));
        }
        if link.password {
            return Err("that room asks for a password, which needs a newer subrosa".into());
        }
        if let Some(group) = self.chat.group(room_id(link.room)).filter(|group| group.is_open()) {
            return Err(format!("you are in {} already", group.title()));
        }
        let door = door::Secret::from_bytes(*link.secret).door();
        self.batch.put(JOINING, door.0, link.to_string().into_bytes());
        self.groups.joining.insert(door, Joining { link, knocking: None, told: false });
        if self.chat.link == Connection::Online {
            self.knock(door);
        } else {
            self.notice("not connected: you knock as soon as the relay can be reached".into(), false);
        }
        Ok(())
    }

    /// The connection is back: doors are watched, and who wants to come in knocks.
    pub(in crate::chat) fn doors_linked(&mut self) {
        for (room, door) in
            self.groups.links.iter().map(|(door, link)| (link.room, *door)).collect::<Vec<_>>()
        {
            self.watch_door(room, door, None);
        }
        for door in self.groups.joining.keys().copied().collect::<Vec<_>>() {
            self.knock(door);
        }
    }

    fn knock(&mut self, door: DoorId) {
        let Some(joining) = self.groups.joining.get_mut(&door) else { return };
        let identity = self.sessions.identity();
        let at = At { relay: self.relay_key, room: joining.link.room };
        let secret = door::Secret::from_bytes(*joining.link.secret);
        let says = (&self.chat.name, &self.chat.identity, &identity.cert());
        let Ok((bytes, knocking)) = Knocking::begin(&secret, &at, says, None, &mut self.rng) else { return };
        joining.knocking = Some(knocking);
        let ask = self.ask(Question::Knock(door));
        self.effects.push(Effect::Send(ToRelay::Knock { ask, door, bytes }));
    }

    /// Whether a member is there.
    pub(in crate::chat) fn knock_heard(&mut self, door: DoorId, heard: bool) {
        let Some(joining) = self.groups.joining.get_mut(&door) else { return };
        if !heard && !std::mem::replace(&mut joining.told, true) {
            let text = "nobody who can let you in is there now: your knock waits, and you come in when one of them is";
            self.notice(text.into(), false);
        }
    }

    /// A member answered.
    pub(in crate::chat) fn knock_answered(&mut self, door: DoorId, bytes: &[u8]) {
        let Some(knocking) = self.groups.joining.get_mut(&door).and_then(|joining| joining.knocking.take())
        else {
            return;
        };
        match knocking.answered(bytes) {
            Ok(door::Answer::Verdict(Verdict::Welcome)) => {
                self.notice("you are let in: the room is here in a moment".into(), false);
            }
            Ok(door::Answer::Verdict(Verdict::Refused(why))) => self.turned_away_at(door, why),
            Ok(door::Answer::Challenge(_)) => self.turned_away_at(door, Why::NeedsPassword),
            Err(_) => {
                self.dropped += 1;
                self.notice(
                    "what came back from that door was made up or changed on the way: ask for a new link"
                        .into(),
                    true,
                );
            }
        }
    }

    /// Not let in.
    pub(in crate::chat) fn turned_away_at(&mut self, door: DoorId, why: Why) {
        if self.groups.joining.remove(&door).is_some() {
            self.batch.delete(JOINING, door.0);
            self.notice(why.to_string(), true);
        }
    }

    /// Whether this account knocked at a door of that room.
    pub(super) fn knocked_there(&self, tag: RoomTag) -> bool {
        self.groups.joining.values().any(|joining| joining.link.room == tag)
    }

    /// The room is here.
    pub(super) fn came_in(&mut self, tag: RoomTag) {
        let joined = self.groups.joining.iter().filter(|(_, joining)| joining.link.room == tag);
        for door in joined.map(|(door, _)| *door).collect::<Vec<_>>() {
            self.groups.joining.remove(&door);
            self.batch.delete(JOINING, door.0);
        }
    }

    /// Links, and rooms to come into, from an earlier run.
    pub(in crate::chat) fn load_doors(&mut self) -> Result<(), Error> {
        for (_, value) in self.store.records.scan(LINKS, &[], &[], Order::Forward, usize::MAX)? {
            let value = Zeroizing::new(value);
            let Some((room, secret)) = value.split_first_chunk::<16>() else { continue };
            let Ok(secret) = secret.try_into().map(door::Secret::from_bytes) else { continue };
            self.groups.links.insert(secret.door(), Link { room: RoomId(*room), secret });
        }
        for (_, value) in self.store.records.scan(JOINING, &[], &[], Order::Forward, usize::MAX)? {
            let value = Zeroizing::new(value);
            let Some(link) = std::str::from_utf8(&value).ok().and_then(|link| link.parse::<RoomLink>().ok())
            else {
                continue;
            };
            let door = door::Secret::from_bytes(*link.secret).door();
            self.groups.joining.insert(door, Joining { link, knocking: None, told: false });
        }
        Ok(())
    }

    /// The links of a room for one device.
    pub(super) fn send_links(&mut self, room: RoomId, device: DeviceId, now: Now) {
        let Some(tag) = self.chat.group(room).map(super::Group::tag) else { return };
        if let Some(content) = self.links_of(room, tag) {
            self.transmit_to(device, None, content, Purpose::Signal, now);
        }
    }
}
