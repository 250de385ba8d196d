//! The state machine of everything said: sessions, outbox and timelines move together here.
//!
//! Each entry point collects one [`Batch`] and a list of effects; [`Talk::settle`] puts the batch
//! before the effects, so that state is on disk before anything that depends on it leaves the
//! machine.

use super::acts::Acts;
use super::ahead::Ahead;
use super::attention::Attention;
use super::backup::Backup;
use super::debts::Copies;
use super::devices::{Lists, UNADDRESSED, pending_key};
use super::expiry::Expiry;
use super::groups::{Group, Groups, Speaker};
use super::history::Fetch;
use super::link::Linking;
use super::linked::Question;
use super::marks::{self, Marks};
use super::outbox::Outbox;
use super::person::{PEOPLE, Person, REFUSED};
use super::profile::{self, Portrait};
use super::resets::{Heard, Resets};
use super::room::{DRAFTS, Kept, ROOMS, Room};
use super::search::filling::Search;
use super::search::index::Index;
use super::sending::Resend;
use super::state::Shared;
use super::timeline::{Author, Line, LineState, More, PAGE, PLACES, Timeline, place_key, told_key, unplace};
use super::transfer::Transfer;
use super::{Chat, Link};
use crate::config::Config;
use crate::effect::{Effect, Happened};
use rand_core::CryptoRngCore;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use subrosa_shared::content::{Content, Mark};
use subrosa_shared::id::{AccountName, DeviceId, MessageId, RoomId, RoomTag};
use subrosa_shared::protocol::devices::Version;
use subrosa_shared::protocol::frame::Ask;
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::{Identity, Sessions, Why};
use subrosa_shared::store::{Batch, Error, Order, Store, Table};
use subrosa_shared::time::{Millis, Now};
use zeroize::Zeroizing;

mod reading;
mod waking;

/// The own account: `name`, `relay`, `hosting`, `identity`.
pub const ACCOUNT: Table = Table { byte: 0x26, name: "account" };
/// Set in [`ACCOUNT`] once the relay has welcomed this device under its name.
pub(super) const REGISTERED: &[u8] = b"registered";
/// Set in [`ACCOUNT`] of a profile that came from a key file or is put back from a copy, until the relay has
/// dropped what was left there before.
pub(crate) const IMPORTED: &[u8] = b"imported";
/// Own lines without a receipt: `message id ‖ device` → `room ‖ pos`, and 1 once the relay has it for that
/// device. Their text may have to go out again. The device is zeros as long as it is not known whose it is.
pub const PENDING: Table = Table { byte: 0x24, name: "pending" };
/// Receipts that are owed: `room ‖ message id` → mark (0 delivered, 1 read).
pub const OWED: Table = Table { byte: 0x25, name: "owed" };

/// How long receipts gather before they go out together.
pub(super) const RECEIPT_DELAY: Duration = Duration::from_millis(40);
/// Wait after a refusal that may pass (full mailbox, full disk).
pub(super) const RETRY: Duration = Duration::from_secs(20);
/// How often old keys are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(1800);
/// How often "is typing" is repeated while somebody types, and how long it holds on the other end.
const TYPING_EVERY: Duration = Duration::from_secs(4);
/// See [`TYPING_EVERY`]; a little longer, so that it does not flicker.
pub(super) const TYPING_HOLDS: Duration = Duration::from_secs(6);

/// Content that waits to be sealed.
#[derive(Clone)]
pub(super) struct Waiting {
    /// Where it was said; `None` for an own device.
    pub(super) room: Option<RoomId>,
    pub(super) content: Arc<Content>,
    pub(super) why: Why,
    pub(super) message: Option<MessageId>,
}

/// When what the relay refused is asked for again.
#[derive(Clone, Copy)]
pub(super) struct Again {
    /// Monotonic.
    pub(super) at: Millis,
    /// How long that is behind the refusal.
    pub(super) wait: Duration,
}

impl Again {
    pub(super) fn after(wait: Duration, now: Now) -> Self {
        Self { at: now.mono.plus(wait), wait }
    }
}

/// Receipts to one person, gathered.
#[derive(Default)]
pub(super) struct Receipts {
    pub(super) marks: BTreeMap<MessageId, Mark>,
}

/// Sessions, outbox, timelines, calls.
pub struct Talk {
    /// What the screen reads.
    pub chat: Chat,
    pub(super) config: Config,
    /// Reads what is queued for the disk too.
    pub(super) store: Store,
    ahead: Arc<Ahead>,
    /// Conversations with a draft in the store.
    drafted: HashSet<RoomId>,
    /// The relay's line for everyone, as it was shown last.
    pub(super) motd: String,
    /// Why the relay refused this device, as it was told.
    pub(super) refused: Option<String>,
    /// The relay said that it ends; the connection does so in a moment.
    pub(super) draining: bool,
    /// When a relay is asked again that did not know this device any more (monotonic).
    pub(super) knock_due: Option<Millis>,
    /// The relay's clock at the last login, and when that was.
    pub(super) relay_clock: Option<Now>,
    /// Until when the relay may not know people yet whom it knew (monotonic).
    pub(super) rewound: Option<Millis>,
    /// The relay knew this device by its name once.
    pub(super) registered: bool,
    pub(super) sessions: Sessions,
    pub(super) outbox: Outbox,
    /// The system's own: a generator of ours would hold, in memory, what every key of the run was
    /// and will be drawn from, and whoever read it once would follow all later turns.
    pub(super) rng: Box<dyn CryptoRngCore + Send>,
    pub(super) batch: Batch,
    pub(super) effects: Vec<Effect>,
    /// What [`Talk::part`] put before them.
    parted: Vec<Effect>,
    /// The person sees the open conversation's newest line.
    pub(super) watching: bool,
    pub(super) asks: BTreeMap<Ask, Question>,
    pub(super) next_ask: u32,
    /// Waits until it is known which devices its person has, or until the person decides.
    pub(super) waiting: BTreeMap<RoomId, VecDeque<Waiting>>,
    /// Waits for a session with that device.
    pub(super) queues: BTreeMap<DeviceId, VecDeque<Waiting>>,
    /// Bundles may not be claimed again before this, after a refusal.
    pub(super) claim_after: BTreeMap<DeviceId, Again>,
    /// Names may not be looked up again before this (monotonic), after a refusal.
    pub(super) look_after: BTreeMap<RoomId, Millis>,
    /// Whose devices are whose.
    pub(super) lists: Lists,
    /// Devices that are connected, as far as they let us know.
    pub(super) online: BTreeSet<DeviceId>,
    /// What the other own devices know of people.
    pub(super) shared: Shared,
    /// A line that was written a moment ago, and where: the store does not know it yet.
    pub(super) said: Option<(MessageId, Vec<u8>)>,
    /// Lines that were added in this event, by their keys in [`PLACES`], and where: the store does not know them yet.
    placed: BTreeMap<Vec<u8>, Vec<u8>>,
    /// When it was last looked what a device lacks (monotonic).
    pub(super) looked_behind: BTreeMap<DeviceId, Millis>,
    /// New versions of the own list that the relay was given.
    pub(super) publishing: Vec<Version>,
    /// Fingerprint of the relay.
    pub(super) relay_key: [u8; 32],
    /// A device that is being linked.
    pub(super) linking: Option<Linking>,
    /// What is still to come from another own device.
    pub(super) history: Option<Fetch>,
    pub(super) receipts: BTreeMap<RoomId, Receipts>,
    pub(super) receipts_due: Option<Millis>,
    typing_sent: Option<(RoomId, Millis)>,
    expire_due: Millis,
    /// Messages that disappear.
    pub(super) expiry: Expiry,
    /// What was done to lines.
    pub(super) acts: Acts,
    /// Receipts that came before their line.
    pub(super) marks: Marks,
    /// When what was silenced for a while rings again (monotonic).
    pub(super) rings_due: Option<Millis>,
    /// What waits for members of rooms.
    pub(super) groups: Groups,
    /// Whose words are being taken in, in a room of several.
    pub(super) speaker: Option<Speaker>,
    /// The clock of the line of a conversation of two that is being taken in.
    pub(super) said_at: Option<u64>,
    /// Receipts that are owed to other own devices.
    pub(super) copies: Copies,
    /// Unknown sessions of each peer, and the answers to them.
    pub(super) resets: BTreeMap<DeviceId, Resets>,
    /// Strangers of whom something came before the beginning of its session, at most
    /// [`UNHEARD_MAX`](super::requests::UNHEARD_MAX).
    pub(super) unheard: VecDeque<DeviceId>,
    /// What each peer says that it cannot open.
    pub(super) heard: BTreeMap<DeviceId, Heard>,
    /// Own devices for which something waits that the next run would not know of, and the rooms of which it says that the
    /// invitation was declined.
    pub(super) greetings: BTreeMap<DeviceId, BTreeSet<RoomTag>>,
    /// Login password and backup.
    pub(super) backup: Backup,
    /// Which lines have which words.
    pub(super) search: Search,
    /// Files that are being read before they are sent: where they go, and their captions.
    pub(super) preparing: BTreeMap<MessageId, (RoomId, String)>,
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
    /// The vault's header: with it the passphrase is asked for before a login password is set.
    pub header: Option<Vec<u8>>,
    /// Blinds the words of the search index.
    pub search: Zeroizing<[u8; 32]>,
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
        rng: Box<dyn CryptoRngCore + Send>,
        now: Now,
    ) -> Result<(Self, Vec<Effect>), Error> {
        let Account { name, relay, hosting, header, search } = account;
        let ahead = Arc::new(Ahead::over(store.records.clone()));
        let store = Store { records: ahead.clone(), slots: store.slots };
        let (sessions, mut batch) = Sessions::load(identity, &store, now)?;
        if sessions.moved() {
            batch.put(ACCOUNT, IMPORTED, vec![1]);
        }
        let outbox = Outbox::load(&store, &mut batch)?;
        let registered = store.records.get(ACCOUNT, REGISTERED)?.is_some();
        let backup = Backup::load(&store, header)?;
        let (index, found) = Index::load(&store, &search)?;
        let mut rooms = Vec::new();
        for (key, value) in store.records.scan(ROOMS, &[], &[], Order::Forward, usize::MAX)? {
            let damaged = || Error::Damaged("a conversation".into());
            let id = RoomId(key.try_into().map_err(|_| damaged())?);
            let kept: Kept = postcard::from_bytes(&value).map_err(|_| damaged())?;
            let timeline = Timeline::closed(id, kept.lines);
            let person = match store.records.get(PEOPLE, &id.0)? {
                Some(bytes) => Person::read(&bytes).ok_or_else(|| Error::Damaged("a person".into()))?,
                None => Person::default(),
            };
            let refused = match store.records.get(REFUSED, &id.0)? {
                Some(bytes) => {
                    postcard::from_bytes(&bytes).map_err(|_| Error::Damaged("a refused key".into()))?
                }
                None => Vec::new(),
            };
            let portrait = Portrait::load(&store, id)?;
            let attention = Attention::load(&store, id, kept.muted)?;
            let group = Group::load(&store, id, &name)?;
            rooms.push(Room {
                id,
                kept,
                person,
                refused,
                portrait,
                attention,
                timeline,
                clock: super::clocks::load(&store, id, now)?,
                online: false,
                typing: None,
                divider: None,
                group,
            });
        }
        let lists = Lists::load(&store, || sessions.identity().begins(&name))?;
        let relay_key = relay.parse().map_or([0; 32], |link: RelayLink| link.fingerprint);
        let shared = Shared::load(&store)?;
        let history = Fetch::load(&store)?;
        let acts = Acts::load(&store)?;
        let marks = marks::load(&store)?;
        let chat = Chat {
            name,
            profile: profile::own(&store)?,
            identity: lists.own.root().identity,
            link: Link::Connecting,
            relay,
            hosting,
            rooms,
            open: None,
            call: None,
            stuck: None,
            waiting: outbox.len(),
            devices: Vec::new(),
            linking: None,
            unlinked: None,
            history: None,
            turned_away: 0,
            sessions: Vec::new(),
            listings: 0,
            listings_refused: 0,
            finding: None,
            indexing: None,
            past: None,
            transfers: Vec::new(),
            attaching: Vec::new(),
            at_doors: Vec::new(),
        };
        let mut talk = Self {
            chat,
            config,
            store,
            ahead,
            drafted: HashSet::new(),
            motd: String::new(),
            refused: None,
            draining: false,
            knock_due: None,
            relay_clock: None,
            rewound: None,
            registered,
            sessions,
            outbox,
            rng,
            batch,
            effects: Vec::new(),
            parted: Vec::new(),
            watching: false,
            asks: BTreeMap::new(),
            next_ask: 1,
            waiting: BTreeMap::new(),
            queues: BTreeMap::new(),
            claim_after: BTreeMap::new(),
            look_after: BTreeMap::new(),
            lists,
            online: BTreeSet::new(),
            shared,
            said: None,
            placed: BTreeMap::new(),
            looked_behind: BTreeMap::new(),
            publishing: Vec::new(),
            relay_key,
            linking: None,
            history,
            receipts: BTreeMap::new(),
            receipts_due: None,
            typing_sent: None,
            expire_due: now.mono.plus(EXPIRE_EVERY),
            expiry: Expiry::default(),
            acts,
            marks,
            rings_due: None,
            groups: Groups::default(),
            speaker: None,
            said_at: None,
            copies: Copies::new(),
            resets: BTreeMap::new(),
            unheard: VecDeque::new(),
            heard: BTreeMap::new(),
            greetings: BTreeMap::new(),
            backup,
            search: Search::new(index),
            preparing: BTreeMap::new(),
            dropped: 0,
        };
        talk.sort_rooms();
        talk.name_people();
        // What disappears takes what came of its file along.
        let (transfers, forgotten) = Transfer::load(&talk.store)?;
        talk.chat.transfers = transfers;
        for transfer in forgotten {
            talk.forget_file(transfer);
        }
        talk.load_expiry(now)?;
        talk.load_acts(now)?;
        talk.rings_over(now);
        talk.bound_words(now)?;
        talk.load_index(found, now)?;
        talk.keep_own();
        talk.look_at_rooms();
        talk.show_devices();
        talk.load_owed(now)?;
        talk.load_debts(now)?;
        talk.migrate_pending()?;
        talk.load_wishes()?;
        talk.load_doors()?;
        // The lines that were rewritten a moment ago are read below.
        let mut caught_up = std::mem::take(&mut talk.batch);
        talk.ahead.stage(&caught_up.records);
        let catch_up = Effect::Commit(std::mem::take(&mut caught_up));
        talk.discard_halves();
        // Before the lines that go there once more: it may not know the rooms where they stand.
        talk.greet_owed(now);
        talk.resend(None, Resend::Unsealed, now)?;
        talk.expire(now);
        let newest = talk.chat.rooms.first().map(|room| room.id);
        if let Some(room) = newest {
            talk.open(room, now)?;
        }
        let mut effects = talk.settle();
        effects.insert(0, catch_up);
        Ok((talk, effects))
    }

    /// The batch first, then everything that waited for it.
    pub fn settle(&mut self) -> Vec<Effect> {
        self.expiry.settled();
        self.groups.settled();
        self.placed.clear();
        let mut effects = std::mem::take(&mut self.parted);
        if !self.batch.is_empty() {
            let batch = std::mem::take(&mut self.batch);
            self.ahead.stage(&batch.records);
            self.lines_settled();
            self.follow_past(&batch);
            self.follow_found(&batch);
            effects.push(Effect::Commit(batch));
        }
        effects.append(&mut self.effects);
        self.chat.waiting = self.outbox.len()
            + self.waiting.values().chain(self.queues.values()).map(VecDeque::len).sum::<usize>();
        effects
    }

    /// The store knows all lines: of what is not open the newest ones are enough.
    fn lines_settled(&mut self) {
        let open = self.chat.open;
        for room in &mut self.chat.rooms {
            room.timeline.settled();
            if open != Some(room.id) {
                room.timeline.shrink(PAGE);
            }
        }
    }

    /// What was done so far stands by itself: what follows in the same event reads it in the store.
    pub(super) fn part(&mut self) {
        if !self.batch.is_empty() {
            self.look_at_batch();
            self.parted = self.settle();
        }
    }

    /// Takes back everything since the last [`Talk::settle`] or what parted the event: it could not be carried through.
    pub fn abandon(&mut self) {
        self.batch = Batch::default();
        self.effects.clear();
        self.groups.settled();
        self.placed.clear();
        self.chat.rooms.iter_mut().for_each(|room| room.timeline.settled());
        self.said_at = None;
    }

    /// The own device.
    pub fn device(&self) -> DeviceId {
        self.sessions.identity().device()
    }

    /// The store, with what is queued for the disk. Effects are committed through it.
    pub fn store(&self) -> &Store {
        &self.store
    }

    // ---- what the person does

    /// Another name, because the first was taken.
    ///
    /// # Errors
    /// A sentence: a name that the relay has registered stays.
    pub fn rename(&mut self, name: AccountName) -> Result<(), String> {
        if self.registered && !matches!(self.chat.link, Link::Refused { .. }) {
            return Err(format!(
                "this device is registered as '{}', and that stays: /name is for a name that was taken",
                self.chat.name
            ));
        }
        self.batch.put(ACCOUNT, *b"name", name.as_str().as_bytes().to_vec());
        self.chat.name = name;
        self.begin_own();
        Ok(())
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
        self.say_with(room, body, More::default(), now)
    }

    /// Writes a line with something around it.
    ///
    /// # Errors
    /// Those of the store.
    pub fn say_with(
        &mut self,
        room: RoomId,
        body: String,
        more: More,
        now: Now,
    ) -> Result<Option<MessageId>, Error> {
        if body.trim().is_empty() || self.chat.room(room).is_none() {
            return Ok(None);
        }
        let id = self.draws();
        let mentions = self.chat.called_in(room, &body);
        let line = Line::new(id, Author::Me, now.wall, body, LineState::Sending);
        let line = Line { more: More { mentions, ..more }, ..line };
        let content = line.words();
        let timer = self.chat.room(room).map_or(0, |room| room.timeline.timer());
        let (content, place) = match timer {
            0 => (content, self.push_line(room, line, now)),
            seconds => (content.timed(seconds), self.push_timed(room, line, seconds, now)),
        };
        self.batch.put(PENDING, pending_key(&id, &UNADDRESSED), place.clone());
        self.mark_read(room, now)?;
        if let Some(room) = self.chat.room_mut(room) {
            // Who answers has passed the unread line.
            room.divider = None;
        }
        if self.drafted.remove(&room) {
            self.batch.delete(DRAFTS, room.0);
        }
        self.typing_sent = None;
        self.said = Some((id, place.clone()));
        self.transmit(room, content.clone(), Why::Speech, Some(id), now);
        self.copy_tell_siblings(room, content, &place, now);
        self.sort_rooms();
        Ok(Some(id))
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
        self.look_after.clear();
        self.resend(None, Resend::Unsealed, now)?;
        for room in self.chat.rooms.iter().map(|room| room.id).collect::<Vec<_>>() {
            self.flush_room(room, now);
        }
        for device in self.queues.keys().copied().collect::<Vec<_>>() {
            self.flush_device(device, now);
        }
        self.pump(now);
        Ok(())
    }

    // ---- small parts that all use

    /// The conversation with that device's person.
    pub(super) fn room_of(&self, device: &DeviceId) -> Option<RoomId> {
        let theirs = |room: &&Room| self.devices_of(room.id).iter().any(|peer| peer.device() == *device);
        self.chat.rooms.iter().find(theirs).map(|room| room.id)
    }

    /// Adds a line to a conversation; gives its place.
    pub(super) fn push_line(&mut self, room: RoomId, line: Line, now: Now) -> Vec<u8> {
        let line = self.in_order(room, line);
        let batch = &mut self.batch;
        let Some(room) = self.chat.rooms.iter_mut().find(|r| r.id == room) else { return Vec::new() };
        let happened = room.told(&line);
        let answers = line.more.reply;
        let (key, next) = (place_key(room.id, &line), room.timeline.end());
        if !room.timeline.disappears(next) {
            self.search.line(room.id, next, &line, batch);
        }
        let pos = room.timeline.push(line, batch);
        room.kept.lines = room.timeline.end();
        room.kept.last = now.wall;
        room.save(batch);
        let place = super::timeline::place(room.id, pos);
        self.placed.insert(key, place.clone());
        // A store that cannot be read shows an answer without what it answers.
        let store = self.store.clone();
        if let Some(on) = answers {
            let _ = room.timeline.fetch(&store, on);
        }
        self.effects.push(Effect::Tell(happened));
        place
    }

    /// A line that somebody said has a place in the order that all see.
    fn in_order(&mut self, room: RoomId, mut line: Line) -> Line {
        let said = matches!(line.author, Author::Me | Author::Them);
        if !said {
            return line;
        }
        if self.chat.group(room).is_none() {
            // Of a line that is taken in its sender says it.
            line.more.clock = match (line.author, &line.state) {
                (Author::Me, LineState::Sending) => self.tick(room),
                _ => {
                    let clock = self.said_at.take();
                    self.clock_said(room, clock)
                }
            };
            return line;
        }
        let (by, clock) = match &self.speaker {
            Some(Speaker { name, clock, .. }) => (name.clone(), *clock),
            None => (self.chat.name.clone(), self.tick(room)),
        };
        (line.more.by, line.more.clock) = (Some(by), clock);
        line
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
        self.push_line(room, Line::new(id, author, now.wall, body, LineState::Received), now);
    }

    /// An effect after those that are there.
    pub fn then(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// A word for the person, not kept.
    pub fn notice(&mut self, text: String, error: bool) {
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
            let with = room.whose();
            self.tell(Happened::Mark { with, id, state });
        }
        Ok(())
    }

    /// A fresh id for what this account says.
    pub(super) fn draws(&mut self) -> MessageId {
        MessageId::drawn(&self.lists.own.root().identity, &mut self.rng)
    }

    /// Where a line stands that is said there: wherever its author said it, or where somebody told it there.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) fn stands(&self, room: RoomId, id: &MessageId) -> Result<Option<Vec<u8>>, Error> {
        match self.place_of(id)? {
            None => self.place_at(&told_key(room, id)),
            place => Ok(place),
        }
    }

    /// Where a line of that conversation stands, whoever said or told it.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) fn place_in(&self, room: RoomId, id: &MessageId) -> Result<Option<Vec<u8>>, Error> {
        let here = |place: &Vec<u8>| unplace(place).is_some_and(|(of, _)| of == room);
        match self.place_of(id)?.filter(here) {
            None => self.place_at(&told_key(room, id)),
            place => Ok(place),
        }
    }

    /// The author of a line that was told says it: it stands there for all.
    pub(super) fn is_said(&mut self, room: RoomId, id: &MessageId, at: &[u8]) {
        self.batch.delete(PLACES, told_key(room, id));
        self.batch.put(PLACES, id.0, at.to_vec());
        self.placed.remove(&told_key(room, id));
        self.placed.insert(id.0.to_vec(), at.to_vec());
    }

    /// Where a message stands that its author said.
    pub(super) fn place_of(&self, id: &MessageId) -> Result<Option<Vec<u8>>, Error> {
        self.place_at(&id.0)
    }

    fn place_at(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self.placed.get(key) {
            None => self.store.records.get(PLACES, key),
            place => Ok(place.cloned()),
        }
    }

    /// Newest conversation first; strangers after all contacts, who is blocked last.
    pub(super) fn sort_rooms(&mut self) {
        let apart = |room: &Room| (room.person.blocked, room.person.standing);
        self.chat.rooms.sort_by(|a, b| {
            let newest = || b.kept.last.cmp(&a.kept.last).then_with(|| a.with().cmp(&b.with()));
            apart(a).cmp(&apart(b)).then_with(newest)
        });
    }

    /// Random bytes for keys.
    pub(super) fn secret(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }
}
