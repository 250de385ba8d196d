//! The state machine of everything said: sessions, outbox and timelines move together here.
//!
//! Each entry point collects one [`Batch`] and a list of effects; [`Talk::settle`] puts the batch
//! before the effects, so that state is on disk before anything that depends on it leaves the
//! machine.

use super::outbox::{Entry, Outbox};
use super::room::{Kept, ROOMS, Room};
use super::timeline::{Author, Line, LineState, PLACES, Timeline, unplace};
use super::{Chat, Link};
use crate::config::Config;
use crate::effect::{Effect, Happened};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;
use subrosa_shared::content::{Content, Mark, RECEIPT_MAX};
use subrosa_shared::id::{AccountName, DeviceId, EnvelopeId, MessageId, RoomId, SessionId};
use subrosa_shared::protocol::auth::{Login, Peer};
use subrosa_shared::protocol::envelope::{Head, Keep, Outgoing};
use subrosa_shared::protocol::frame::{Ask, BUNDLES_MAX, Refusal, ToDevice, ToRelay, Welcome};
use subrosa_shared::session::{Identity, SealError, Sessions, Why, blob};
use subrosa_shared::store::{Batch, Error, Order, Store, Table};
use subrosa_shared::time::{Millis, Now};

/// The own account: `name`, `relay`, `hosting`, `identity`.
pub const ACCOUNT: Table = Table { byte: 0x26, name: "account" };
/// Own lines without a receipt: message id → `room ‖ pos`. Their text may have to go out again.
pub const PENDING: Table = Table { byte: 0x24, name: "pending" };
/// Receipts that are owed: `room ‖ message id` → mark (0 delivered, 1 read).
pub const OWED: Table = Table { byte: 0x25, name: "owed" };

/// Content up to this size goes into the head; longer content is sealed once as the body.
const INLINE_MAX: usize = 512;
/// How long receipts gather before they go out together.
const RECEIPT_DELAY: Duration = Duration::from_millis(40);
/// Wait after a refusal that may pass (full mailbox, full disk).
const RETRY: Duration = Duration::from_secs(20);
/// How often old keys are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(1800);
/// A clock this far from the relay's is worth a word: sessions and dates depend on it.
const CLOCK_OFF: u64 = 10 * 60 * 1000;
/// How often "is typing" is repeated while somebody types, and how long it holds on the other end.
const TYPING_EVERY: Duration = Duration::from_secs(4);
/// See [`TYPING_EVERY`]; a little longer, so that it does not flicker.
pub(super) const TYPING_HOLDS: Duration = Duration::from_secs(6);

/// What was asked of the relay.
pub(super) enum Question {
    Publish,
    Account(AccountName),
    Bundle(DeviceId),
    Track,
    Watch,
}

/// Content that waits for a session with its room's person.
struct Waiting {
    content: Content,
    why: Why,
    message: Option<MessageId>,
}

/// Receipts to one person, gathered.
#[derive(Default)]
struct Receipts {
    marks: BTreeMap<MessageId, Mark>,
}

/// Sessions, outbox, timelines, calls.
pub struct Talk {
    /// What the screen reads.
    pub chat: Chat,
    pub(super) config: Config,
    pub(super) store: Store,
    pub(super) sessions: Sessions,
    pub(super) outbox: Outbox,
    pub(super) rng: ChaCha20Rng,
    pub(super) batch: Batch,
    pub(super) effects: Vec<Effect>,
    /// The person sees the open conversation's newest line.
    pub(super) watching: bool,
    asks: HashMap<Ask, Question>,
    next_ask: u32,
    waiting: HashMap<RoomId, VecDeque<Waiting>>,
    /// Bundles may not be claimed again before this (monotonic), after a refusal.
    claim_after: HashMap<RoomId, Millis>,
    receipts: HashMap<RoomId, Receipts>,
    receipts_due: Option<Millis>,
    typing_sent: Option<(RoomId, Millis)>,
    expire_due: Millis,
    /// Sessions that were reported as unknown, to answer each once.
    pub(super) resets: HashSet<SessionId>,
    /// When a first message to a prekey that is not here was last answered.
    pub(super) blank_reset: Option<Millis>,
    /// Envelopes dropped because they did not open, by any fault.
    pub dropped: u64,
}

/// Who and where, as kept in the profile.
pub struct Account {
    /// Account name.
    pub name: AccountName,
    /// Link of the relay.
    pub relay: String,
    /// This client hosts the relay.
    pub hosting: bool,
}

impl Talk {
    /// Everything that the store holds, and the effects that catch up what a crash left half done.
    ///
    /// # Errors
    /// Those of the store.
    pub fn load(
        account: Account,
        identity: Identity,
        store: Store,
        config: Config,
        seed: [u8; 32],
        now: Now,
    ) -> Result<(Self, Vec<Effect>), Error> {
        let (sessions, batch) = Sessions::load(identity, &store, now)?;
        let outbox = Outbox::load(&store)?;
        let mut rooms = Vec::new();
        for (key, value) in store.records.scan(ROOMS, &[], &[], Order::Forward, usize::MAX)? {
            let damaged = || Error::Damaged("a conversation".into());
            let id = RoomId(key.try_into().map_err(|_| damaged())?);
            let kept: Kept = postcard::from_bytes(&value).map_err(|_| damaged())?;
            let timeline = Timeline::closed(id, kept.lines);
            rooms.push(Room {
                id,
                kept,
                timeline,
                online: false,
                typing: None,
                divider: None,
                draft: String::new(),
            });
        }
        let chat = Chat {
            name: account.name,
            link: Link::Connecting,
            relay: account.relay,
            hosting: account.hosting,
            rooms,
            open: None,
            call: None,
            stuck: None,
            waiting: outbox.len(),
        };
        let mut talk = Self {
            chat,
            config,
            store,
            sessions,
            outbox,
            rng: ChaCha20Rng::from_seed(seed),
            batch,
            effects: Vec::new(),
            watching: false,
            asks: HashMap::new(),
            next_ask: 1,
            waiting: HashMap::new(),
            claim_after: HashMap::new(),
            receipts: HashMap::new(),
            receipts_due: None,
            typing_sent: None,
            expire_due: now.mono.plus(EXPIRE_EVERY),
            resets: HashSet::new(),
            blank_reset: None,
            dropped: 0,
        };
        talk.sort_rooms();
        talk.load_owed(now)?;
        for room in talk.chat.rooms.iter().map(|room| room.id).collect::<Vec<_>>() {
            talk.resend(room, Resend::Unsealed, now)?;
        }
        talk.expire(now);
        let newest = talk.chat.rooms.first().map(|room| room.id);
        if let Some(room) = newest {
            talk.open(room, now)?;
        }
        let effects = talk.settle();
        Ok((talk, effects))
    }

    /// The batch first, then everything that waited for it.
    pub fn settle(&mut self) -> Vec<Effect> {
        let mut effects = Vec::with_capacity(self.effects.len() + 1);
        if !self.batch.is_empty() {
            effects.push(Effect::Commit(std::mem::take(&mut self.batch)));
        }
        effects.append(&mut self.effects);
        self.chat.waiting = self.outbox.len() + self.waiting.values().map(VecDeque::len).sum::<usize>();
        effects
    }

    /// The own device.
    pub fn device(&self) -> DeviceId {
        self.sessions.identity().device()
    }

    /// The store, to read from.
    pub fn store(&self) -> &Store {
        &self.store
    }

    // ---- what the person does

    /// The login of this device on a connection with that relay key and exporter value.
    pub fn login(&self, relay: &[u8; 32], exporter: &[u8; 32]) -> Login {
        // Asking to register each time costs nothing: a name that is taken stays its owner's.
        self.sessions.identity().login(self.chat.name.clone(), true, relay, exporter)
    }

    /// Another name, because the first was taken.
    pub fn rename(&mut self, name: AccountName) {
        self.batch.put(ACCOUNT, *b"name", name.as_str().as_bytes().to_vec());
        self.chat.name = name;
    }

    /// Whether the person sees the open conversation's newest line.
    pub fn set_watching(&mut self, on: bool) {
        self.watching = on;
    }

    /// Sends gathered receipts now.
    pub fn flush_receipts(&mut self, now: Now) {
        self.send_receipts(now);
    }

    /// Writes a line.
    ///
    /// # Errors
    /// Those of the store.
    pub fn say(&mut self, room: RoomId, body: String, now: Now) -> Result<Option<MessageId>, Error> {
        if body.trim().is_empty() || self.chat.room(room).is_none() {
            return Ok(None);
        }
        let id = MessageId::random(&mut self.rng);
        let line = Line { id, author: Author::Me, at: now.wall, body, state: LineState::Sending };
        let content = Content::Text { id, at: now.wall, body: line.body.clone() };
        let place = self.push_line(room, line, now);
        self.batch.put(PENDING, id.0, place);
        self.mark_read(room, now);
        self.typing_sent = None;
        self.transmit(room, content, Why::Speech, Some(id), now);
        self.sort_rooms();
        Ok(Some(id))
    }

    /// Opens a conversation.
    ///
    /// # Errors
    /// Those of the store.
    pub fn open(&mut self, room: RoomId, _now: Now) -> Result<(), Error> {
        if let Some(old) =
            self.chat.open.filter(|open| *open != room).and_then(|open| self.chat.room_mut(open))
        {
            old.divider = None;
            old.timeline.shrink(super::timeline::PAGE);
        }
        let store = self.store.clone();
        if let Some(room) = self.chat.room_mut(room) {
            if room.timeline.first() == room.timeline.end() {
                room.timeline.older(&store)?;
            }
            room.divider = (room.kept.unread > 0).then_some(room.kept.read);
            self.chat.open = Some(room.id);
        }
        Ok(())
    }

    /// Reads older lines of the open conversation into memory.
    ///
    /// # Errors
    /// Those of the store.
    pub fn older(&mut self) -> Result<(), Error> {
        let store = self.store.clone();
        if let Some(room) = self.chat.open.and_then(|open| self.chat.room_mut(open)) {
            room.timeline.older(&store)?;
        }
        Ok(())
    }

    /// Everything in the conversation was seen.
    pub fn mark_read(&mut self, room: RoomId, now: Now) {
        let tell = self.config.privacy.read_receipts;
        let Some(room) = self.chat.rooms.iter_mut().find(|r| r.id == room) else { return };
        if room.kept.read == room.kept.lines && room.kept.unread == 0 {
            return;
        }
        let id = room.id;
        let seen: Vec<MessageId> = room
            .timeline
            .lines()
            .filter(|(pos, line)| *pos >= room.kept.read && line.author == Author::Them)
            .map(|(_, line)| line.id)
            .collect();
        room.kept.read = room.kept.lines;
        room.kept.unread = 0;
        room.save(&mut self.batch);
        if tell {
            for message in seen {
                self.owe(id, message, Mark::Read, now);
            }
        }
    }

    /// The person is typing in the open conversation, or stopped.
    pub fn typing(&mut self, on: bool, now: Now) {
        let Some(room) = self.chat.open.filter(|_| self.config.privacy.typing) else { return };
        let due = match self.typing_sent {
            Some((sent, at)) if sent == room => !on || now.mono.since(at) >= TYPING_EVERY,
            _ => on,
        };
        if due {
            self.typing_sent = on.then_some((room, now.mono));
            self.transmit_fleeting(room, &Content::Typing(on), now);
        }
    }

    /// Another try of everything that waits.
    ///
    /// # Errors
    /// Those of the store.
    pub fn retry(&mut self, now: Now) -> Result<(), Error> {
        self.outbox.release();
        self.claim_after.clear();
        for room in self.chat.rooms.iter().map(|room| room.id).collect::<Vec<_>>() {
            self.resend(room, Resend::Unsealed, now)?;
            self.flush_waiting(room, now);
        }
        self.pump(now);
        Ok(())
    }

    // ---- the connection

    /// TLS is up.
    pub fn connected(&mut self, login: ToRelay) {
        self.chat.link = Link::LoggingIn;
        self.asks.clear();
        self.effects.push(Effect::Send(login));
    }

    /// The connection is gone.
    pub fn lost(&mut self, link: Link, now: Now) {
        let why = match &link {
            Link::Offline { why } | Link::Refused { why } => why.clone(),
            _ => String::new(),
        };
        let was = std::mem::replace(&mut self.chat.link, link);
        if was == Link::Online || matches!(self.chat.link, Link::Refused { .. }) {
            self.tell(Happened::Link { online: false, why });
        }
        self.asks.clear();
        self.outbox.grounded();
        for room in &mut self.chat.rooms {
            (room.online, room.typing) = (false, None);
        }
        self.call_unlinked(now);
    }

    /// One frame from the relay.
    ///
    /// # Errors
    /// Those of the store.
    pub fn frame(&mut self, frame: ToDevice, now: Now) -> Result<(), Error> {
        match frame {
            ToDevice::Welcome(welcome) => self.welcome(welcome, now)?,
            ToDevice::Refused { ask: Some(ask), why } => self.refused(ask, why, now),
            ToDevice::Refused { ask: None, why } => self.turned_away(why, now),
            ToDevice::Done(ask) => drop(self.asks.remove(&ask)),
            ToDevice::Account { ask, name, certs } => {
                if matches!(self.asks.remove(&ask), Some(Question::Account(asked)) if asked == name) {
                    self.account(&name, &certs, now)?;
                }
            }
            ToDevice::Prekey { ask, device, bundle } => {
                if matches!(self.asks.remove(&ask), Some(Question::Bundle(asked)) if asked == device) {
                    self.bundle(device, &bundle, now);
                }
            }
            ToDevice::Accepted(id) => {
                if let Some(entry) = self.outbox.accepted(&id, &mut self.batch) {
                    self.mark_line(entry.message, LineState::Sent)?;
                }
                self.pump(now);
            }
            ToDevice::Rejected { id, why } => self.rejected(id, why, now)?,
            ToDevice::Deliver(delivery) => self.deliver(delivery, now)?,
            ToDevice::Presence { device, online } => self.presence(device, online, now),
            ToDevice::PrekeysLeft(left) => self.publish(left, true, now),
            ToDevice::Published { ask, track } => {
                if matches!(self.asks.remove(&ask), Some(Question::Track)) {
                    self.published(ask, track, now);
                }
            }
            ToDevice::Watching { ask, .. } => drop(self.asks.remove(&ask)),
            ToDevice::TrackEnded(track) => self.track_ended(track, now),
            ToDevice::KeyframeWanted(track) => self.keyframe_wanted(track),
            ToDevice::Draining { .. } => {
                self.chat.link = Link::Offline { why: "the relay is restarting".into() };
            }
        }
        Ok(())
    }

    /// When time alone changes something next.
    pub fn next_wake(&self) -> Option<Millis> {
        let typing = self.chat.rooms.iter().filter_map(|room| room.typing);
        let claims = self.claim_after.values().copied();
        [self.receipts_due, self.outbox.due(), self.call_due(), Some(self.expire_due)]
            .into_iter()
            .flatten()
            .chain(typing)
            .chain(claims)
            .min()
    }

    /// Time has passed.
    ///
    /// # Errors
    /// Those of the store.
    pub fn wake(&mut self, now: Now) -> Result<(), Error> {
        if self.receipts_due.is_some_and(|due| due <= now.mono) {
            self.send_receipts(now);
        }
        let mut stopped = Vec::new();
        for room in &mut self.chat.rooms {
            if room.typing.is_some_and(|until| until <= now.mono) {
                room.typing = None;
                stopped.push(room.kept.with.clone());
            }
        }
        for with in stopped {
            self.tell(Happened::Typing { with, on: false });
        }
        if self.outbox.due().is_some_and(|due| due <= now.mono) {
            self.pump(now);
        }
        let due: Vec<RoomId> =
            self.claim_after.iter().filter(|(_, at)| **at <= now.mono).map(|(room, _)| *room).collect();
        for room in due {
            self.claim_after.remove(&room);
            self.flush_waiting(room, now);
        }
        if self.expire_due <= now.mono {
            self.expire(now);
        }
        self.call_wake(now);
        Ok(())
    }

    fn welcome(&mut self, welcome: Welcome, now: Now) -> Result<(), Error> {
        self.chat.link = Link::Online;
        self.tell(Happened::Link { online: true, why: String::new() });
        if welcome.clock.abs_diff(now.wall.0) > CLOCK_OFF {
            let minutes = welcome.clock.abs_diff(now.wall.0) / 60_000;
            self.notice(
                format!("your clock and the relay's differ by {minutes} minutes: check yours, dates and keys depend on it"),
                true,
            );
        }
        if !welcome.motd.is_empty() {
            self.notice(welcome.motd, false);
        }
        self.publish(welcome.prekeys_left, welcome.last_resort_fresh, now);
        self.roster();
        self.pump(now);
        for room in self.chat.rooms.iter().map(|room| room.id).collect::<Vec<_>>() {
            self.flush_waiting(room, now);
        }
        self.call_linked(now);
        Ok(())
    }

    /// Tops up the prekeys at the relay.
    fn publish(&mut self, left: u32, last_resort_fresh: bool, now: Now) {
        let (mut left, mut fresh) = (left, last_resort_fresh);
        loop {
            let bundles = self.sessions.prekeys(left, fresh, &mut self.rng, now, &mut self.batch);
            if bundles.is_empty() {
                return;
            }
            (left, fresh) = (left + bundles.len() as u32, true);
            for chunk in bundles.chunks(BUNDLES_MAX) {
                let bundles = chunk.iter().map(|bundle| bundle.encode()).collect();
                let ask = self.ask(Question::Publish);
                self.effects.push(Effect::Send(ToRelay::Publish { ask, bundles }));
            }
        }
    }

    /// Tells the relay whose presence counts.
    pub(super) fn roster(&mut self) {
        if self.chat.link == Link::Online {
            let peers = self.chat.rooms.iter().filter_map(|room| room.kept.peer);
            let devices = peers.filter(|_| self.config.privacy.presence).map(|peer| peer.device()).collect();
            self.effects.push(Effect::Send(ToRelay::Roster(devices)));
        }
    }

    fn presence(&mut self, device: DeviceId, online: bool, _now: Now) {
        let Some(room) =
            self.chat.rooms.iter_mut().find(|room| room.kept.peer.is_some_and(|p| p.device() == device))
        else {
            return;
        };
        if room.online != online {
            room.online = online;
            if !online {
                room.typing = None;
            }
            let with = room.kept.with.clone();
            self.tell(Happened::Presence { with, online });
        }
    }

    /// A question was refused.
    fn refused(&mut self, ask: Ask, why: Refusal, now: Now) {
        match self.asks.remove(&ask) {
            Some(Question::Account(name)) => self.no_account(&name, why, now),
            Some(Question::Bundle(device)) => {
                let Some(room) = self.room_of(&device) else { return };
                let wait = match why {
                    Refusal::RateLimited { retry_ms } => Duration::from_millis(retry_ms.into()),
                    _ => RETRY,
                };
                self.claim_after.insert(room, now.mono.plus(wait));
                let text = match why {
                    Refusal::NoPrekeys => "has left no keys at the relay yet; it is tried again",
                    Refusal::UnknownDevice => "is not known to this relay any more; it is tried again",
                    _ => "cannot be reached through the relay now; it is tried again",
                };
                let name = self.chat.room(room).map_or(String::new(), |room| room.name().to_string());
                self.notice(format!("{name} {text}"), true);
            }
            Some(Question::Track | Question::Watch) => self.track_refused(why, now),
            Some(Question::Publish) => {
                self.notice(
                    format!("the relay did not take fresh keys: {why}; it is tried at the next login"),
                    true,
                );
            }
            None => {}
        }
    }

    /// The relay refused the connection itself.
    fn turned_away(&mut self, why: Refusal, now: Now) {
        let name = &self.chat.name;
        let text = match why {
            Refusal::NameTaken => {
                format!("the name '{name}' belongs to somebody else at this relay: choose another with /name NEW")
            }
            Refusal::RegistrationClosed => {
                "this relay takes no new accounts: ask its owner, or start with another relay (subrosa --profile NEW)".into()
            }
            Refusal::BadSignature => "the relay did not accept this device's key: its store may have been reset".into(),
            Refusal::Version { spoken } => {
                format!("the relay speaks version {spoken} of the protocol: update subrosa, or ask its owner to")
            }
            Refusal::Replaced => "this account was opened elsewhere: /reconnect brings it back here".into(),
            other => {
                let why = format!("the relay closed the connection: {other}");
                self.lost(Link::Offline { why }, now);
                return;
            }
        };
        self.notice(text.clone(), true);
        self.lost(Link::Refused { why: text }, now);
    }

    // ---- sending

    /// Hands over what the relay may have now.
    pub(super) fn pump(&mut self, now: Now) {
        if self.chat.link == Link::Online {
            for outgoing in self.outbox.pump(now.mono) {
                self.effects.push(Effect::Send(ToRelay::Send(outgoing)));
            }
        }
    }

    /// Seals content for a room's person and puts it into the outbox; waits for a session if needed.
    pub(super) fn transmit(
        &mut self,
        room: RoomId,
        content: Content,
        why: Why,
        message: Option<MessageId>,
        now: Now,
    ) {
        let queue = self.waiting.entry(room).or_default();
        queue.push_back(Waiting { content, why, message });
        self.flush_waiting(room, now);
    }

    /// Seals what waits in a room, as far as there is a session.
    pub(super) fn flush_waiting(&mut self, room: RoomId, now: Now) {
        while self.waiting.get(&room).is_some_and(|queue| !queue.is_empty()) {
            let Some(kept) = self.chat.room(room).map(|room| &room.kept) else { break };
            if kept.changed.is_some() {
                return; // The person decides first whether the new key is true.
            }
            let Some(peer) = kept.peer else {
                self.look_up(room);
                return;
            };
            if self.sessions.needs_bundle(&peer.device(), now) {
                self.claim(room, peer.device(), now);
                return;
            }
            let Some(next) = self.waiting.get_mut(&room).and_then(VecDeque::pop_front) else { break };
            match self.seal(&peer, &next.content, next.why, now) {
                Ok((id, session, head, body)) => {
                    let head = Head { to: peer.device(), bytes: head };
                    let envelope = Outgoing { id, keep: Keep::Stored, to: vec![head], body };
                    let entry = Entry { envelope, room, message: next.message, session };
                    self.outbox.push(entry, &mut self.batch);
                }
                Err(SealError::NeedBundle) => {
                    self.waiting.entry(room).or_default().push_front(next);
                    self.claim(room, peer.device(), now);
                    return;
                }
                Err(fault) => {
                    self.notice(format!("a message could not be sealed: {fault}"), true);
                }
            }
        }
        self.waiting.remove(&room);
        self.pump(now);
    }

    /// Sends content that is of use only now; without a session or a connection it is dropped.
    fn transmit_fleeting(&mut self, room: RoomId, content: &Content, now: Now) {
        let Some(kept) = self.chat.room(room).map(|room| &room.kept) else { return };
        let Some(peer) = kept.peer.filter(|_| kept.changed.is_none()) else { return };
        let online = self.chat.link == Link::Online && self.chat.room(room).is_some_and(|room| room.online);
        if !online || self.waiting.contains_key(&room) || self.sessions.needs_bundle(&peer.device(), now) {
            return;
        }
        if let Ok((id, _, head, body)) = self.seal(&peer, content, Why::Signal, now) {
            let to = vec![Head { to: peer.device(), bytes: head }];
            self.effects.push(Effect::Send(ToRelay::Send(Outgoing { id, keep: Keep::Fleeting, to, body })));
        }
    }

    /// One envelope's head and body. Inside the head: `0 ‖ content`, or `1 ‖ key ‖ SHA-256(body)`
    /// with the content sealed under that key as the body.
    fn seal(
        &mut self,
        peer: &Peer,
        content: &Content,
        why: Why,
        now: Now,
    ) -> Result<(EnvelopeId, SessionId, Vec<u8>, Vec<u8>), SealError> {
        let content = zeroize::Zeroizing::new(content.encode());
        let (inside, body) = if content.len() <= INLINE_MAX {
            ([&[0], content.as_slice()].concat(), Vec::new())
        } else {
            let (key, body) = blob::seal(&content, &mut self.rng);
            let inside = [&[1], key.as_bytes().as_slice(), Sha256::digest(&body).as_slice()].concat();
            (inside, body)
        };
        let inside = zeroize::Zeroizing::new(inside);
        let sealed = self.sessions.seal(peer, why, &inside, &mut self.rng, now, &mut self.batch)?;
        Ok((EnvelopeId::random(&mut self.rng), sealed.session, sealed.bytes, body))
    }

    /// Sends own lines again that have no receipt.
    pub(super) fn resend(&mut self, room: RoomId, which: Resend, now: Now) -> Result<(), Error> {
        let waiting: HashSet<MessageId> =
            self.waiting.get(&room).into_iter().flatten().filter_map(|waiting| waiting.message).collect();
        let mut places = Vec::new();
        for (key, place) in self.store.records.scan(PENDING, &[], &[], Order::Forward, usize::MAX)? {
            let id = MessageId(
                key.try_into().map_err(|_| Error::Damaged("the list of unreceipted lines".into()))?,
            );
            match unplace(&place) {
                Some((of, pos)) if of == room && !self.outbox.carries(&id) && !waiting.contains(&id) => {
                    places.push((pos, id));
                }
                _ => {}
            }
        }
        places.sort_unstable_by_key(|(pos, _)| *pos);
        for (pos, id) in places {
            let Some(bytes) =
                self.store.records.get(super::timeline::LINES, &super::timeline::place(room, pos))?
            else {
                continue;
            };
            let line: Line = postcard::from_bytes(&bytes)
                .map_err(|_| Error::Damaged("a line of a conversation".into()))?;
            let again = match which {
                Resend::Unsealed => line.state < LineState::Sent,
                Resend::Unreceipted => line.state <= LineState::Sent,
            };
            if again && line.author == Author::Me {
                let content = Content::Text { id, at: line.at, body: line.body };
                self.transmit(room, content, Why::Speech, Some(id), now);
            }
        }
        Ok(())
    }

    fn rejected(&mut self, id: EnvelopeId, why: Refusal, now: Now) -> Result<(), Error> {
        let passing = match why {
            Refusal::RateLimited { retry_ms } => {
                Some((Duration::from_millis(retry_ms.into()), "the relay asks to slow down"))
            }
            Refusal::MailboxFull => Some((RETRY, "their mailbox is full until they come back")),
            Refusal::StorageFull => Some((RETRY, "the relay's disk is full")),
            Refusal::Draining | Refusal::Internal => Some((RETRY, "the relay has trouble")),
            _ => None,
        };
        let (message, text) = match passing {
            Some((wait, text)) => {
                (self.outbox.refused(&id, now.mono, wait).and_then(|entry| entry.message), text.to_string())
            }
            None => {
                let message = self.outbox.rejected(&id, &mut self.batch).and_then(|entry| entry.message);
                (message, format!("the relay refused it ({why}): /retry sends it again"))
            }
        };
        self.mark_line(message, LineState::Waiting(text))
    }

    fn claim(&mut self, room: RoomId, device: DeviceId, now: Now) {
        let asked = self.asks.values().any(|ask| matches!(ask, Question::Bundle(of) if *of == device));
        let wait = self.claim_after.get(&room).is_some_and(|at| *at > now.mono);
        if self.chat.link == Link::Online && !asked && !wait {
            let ask = self.ask(Question::Bundle(device));
            self.effects.push(Effect::Send(ToRelay::Claim { ask, device }));
        }
    }

    fn bundle(&mut self, device: DeviceId, bundle: &[u8], now: Now) {
        let Some(room) = self.room_of(&device) else { return };
        let Some(peer) = self.chat.room(room).and_then(|room| room.kept.peer) else { return };
        match self.sessions.offer(&peer, bundle, now) {
            Ok(()) => self.flush_waiting(room, now),
            Err(fault) => {
                // A relay that swaps bundles gets no session; the text stays here.
                let name = self.chat.room(room).map_or(String::new(), |room| room.name().to_string());
                self.dropped += 1;
                self.claim_after.insert(room, now.mono.plus(RETRY));
                self.alarm(
                    room,
                    format!(
                        "the relay gave out a key for {name} that is not theirs ({fault}). Nothing was sent with it; \
                         if this stays, the relay is not to be trusted"
                    ),
                    now,
                );
            }
        }
    }

    // ---- receipts

    /// Owes the person a receipt for that message.
    pub(super) fn owe(&mut self, room: RoomId, message: MessageId, mark: Mark, now: Now) {
        let owed = self.receipts.entry(room).or_default().marks.entry(message).or_insert(mark);
        *owed = (*owed).max(mark);
        self.batch.put(OWED, [room.0, message.0].concat(), vec![u8::from(*owed == Mark::Read)]);
        self.receipts_due.get_or_insert(now.mono.plus(RECEIPT_DELAY));
    }

    fn send_receipts(&mut self, now: Now) {
        self.receipts_due = None;
        let mut gathered: Vec<_> = std::mem::take(&mut self.receipts).into_iter().collect();
        gathered.sort_unstable_by_key(|(room, _)| *room);
        for (room, receipts) in gathered {
            for mark in [Mark::Delivered, Mark::Read] {
                let ids: Vec<MessageId> =
                    receipts.marks.iter().filter(|(_, owed)| **owed == mark).map(|(id, _)| *id).collect();
                for chunk in ids.chunks(RECEIPT_MAX) {
                    for id in chunk {
                        self.batch.delete(OWED, [room.0, id.0].concat());
                    }
                    let receipt = Content::Receipt { ids: chunk.to_vec(), mark };
                    self.transmit(room, receipt, Why::Signal, None, now);
                }
            }
        }
    }

    fn load_owed(&mut self, now: Now) -> Result<(), Error> {
        for (key, value) in self.store.records.scan(OWED, &[], &[], Order::Forward, usize::MAX)? {
            let Some((room, id)) = key.split_first_chunk::<16>() else { continue };
            let Ok(id) = id.try_into() else { continue };
            let mark = if value.first() == Some(&1) { Mark::Read } else { Mark::Delivered };
            self.receipts.entry(RoomId(*room)).or_default().marks.insert(MessageId(id), mark);
            self.receipts_due = Some(now.mono);
        }
        Ok(())
    }

    // ---- small parts that all use

    /// A new question's number.
    pub(super) fn ask(&mut self, question: Question) -> Ask {
        let ask = Ask(self.next_ask);
        self.next_ask = self.next_ask.wrapping_add(1);
        self.asks.insert(ask, question);
        ask
    }

    /// Whether an account is being looked up.
    pub(super) fn asking(&self, name: &AccountName) -> bool {
        self.asks.values().any(|ask| matches!(ask, Question::Account(asked) if asked == name))
    }

    /// The conversation with that device's person.
    pub(super) fn room_of(&self, device: &DeviceId) -> Option<RoomId> {
        let theirs = |room: &&Room| room.kept.peer.is_some_and(|peer| peer.device() == *device);
        self.chat.rooms.iter().find(theirs).map(|room| room.id)
    }

    /// Adds a line to a conversation; gives its place.
    pub(super) fn push_line(&mut self, room: RoomId, line: Line, now: Now) -> Vec<u8> {
        let (batch, open) = (&mut self.batch, self.chat.open);
        let Some(room) = self.chat.rooms.iter_mut().find(|r| r.id == room) else { return Vec::new() };
        let happened = Happened::Line {
            room: room.id,
            with: room.kept.with.clone(),
            id: line.id,
            author: line.author,
            at: line.at,
            body: line.body.clone(),
        };
        let pos = room.timeline.push(line, batch);
        room.kept.lines = room.timeline.end();
        room.kept.last = now.wall;
        room.save(batch);
        if open != Some(room.id) {
            room.timeline.shrink(super::timeline::PAGE);
        }
        let place = super::timeline::place(room.id, pos);
        self.effects.push(Effect::Tell(happened));
        place
    }

    /// A grey line.
    pub(super) fn note(&mut self, room: RoomId, body: String, now: Now) {
        self.system_line(room, Author::Note, body, now);
    }

    /// A line that must not be missed.
    pub(super) fn alarm(&mut self, room: RoomId, body: String, now: Now) {
        self.system_line(room, Author::Alarm, body, now);
    }

    fn system_line(&mut self, room: RoomId, author: Author, body: String, now: Now) {
        let id = MessageId::random(&mut self.rng);
        self.push_line(room, Line { id, author, at: now.wall, body, state: LineState::Received }, now);
    }

    /// A word for the person, not kept.
    pub(super) fn notice(&mut self, text: String, error: bool) {
        self.tell(Happened::Notice { text, error });
    }

    pub(super) fn tell(&mut self, happened: Happened) {
        self.effects.push(Effect::Tell(happened));
    }

    /// Moves an own line further.
    pub(super) fn mark_line(&mut self, message: Option<MessageId>, state: LineState) -> Result<(), Error> {
        let Some(id) = message else { return Ok(()) };
        let Some(place) = self.place_of(&id)? else { return Ok(()) };
        let Some((room, pos)) = unplace(&place) else { return Ok(()) };
        let store = self.store.clone();
        let Some(room) = self.chat.rooms.iter_mut().find(|r| r.id == room) else { return Ok(()) };
        if room.timeline.mark(&store, pos, state.clone(), &mut self.batch)? {
            let with = room.kept.with.clone();
            self.tell(Happened::Mark { with, id, state });
        }
        Ok(())
    }

    /// Where a message stands: in the store, or in a batch that is not written yet.
    pub(super) fn place_of(&self, id: &MessageId) -> Result<Option<Vec<u8>>, Error> {
        for room in &self.chat.rooms {
            // The newest lines may not be in the store yet.
            if let Some((pos, _)) = room.timeline.lines().rev().take(RECENT).find(|(_, line)| line.id == *id)
            {
                return Ok(Some(super::timeline::place(room.id, pos)));
            }
        }
        self.store.records.get(PLACES, &id.0)
    }

    /// Newest conversation first.
    pub(super) fn sort_rooms(&mut self) {
        self.chat
            .rooms
            .sort_by(|a, b| b.kept.last.cmp(&a.kept.last).then_with(|| a.kept.with.cmp(&b.kept.with)));
    }

    fn expire(&mut self, now: Now) {
        self.expire_due = now.mono.plus(EXPIRE_EVERY);
        self.sessions.expire(now, &mut self.batch);
    }

    /// Random bytes for keys.
    pub(super) fn secret(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }
}

/// Lines that are looked through in memory before the store is asked.
const RECENT: usize = 64;

/// Which own lines go out again.
#[derive(Clone, Copy)]
pub(super) enum Resend {
    /// Those that no envelope carries and the relay never accepted.
    Unsealed,
    /// Those, and those that were accepted but not receipted.
    Unreceipted,
}
