//! Messages that disappear: their timers, and erasing them for good.
//!
//! A timer starts on the author's side when the relay has the message, with all of its file, and on the
//! other side when it was read: so both see it for the same time, and what nobody has read is not lost.
//! It goes on while the client is closed or locked; what became due meanwhile is erased before anything
//! is shown.
//!
//! The line of such a message is kept without its text, which lies apart ([`TEXTS`]), sealed by the
//! conversation's [`Chain`] before the store seals it once more. What stays of it: that there was a
//! message, whose, and when. What others copied, photographed or exported stays theirs.

use super::acts::PARKED;
use super::groups::EARLY;
use super::talk::{PENDING, Talk};
use super::timeline::{Author, Line, place, unplace};
use super::transfer::{Phase, Transfer};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;
use subrosa_shared::content::Content;
use subrosa_shared::id::{AccountName, DeviceId, MessageId, RoomId};
use subrosa_shared::session::Why;
use subrosa_shared::session::timed::{Chain, SLOT_KIND};
use subrosa_shared::store::{Error, Order, Store, Table, prefix_end};
use subrosa_shared::time::{Millis, Now};
use zeroize::Zeroizing;

/// Room id → 1 ‖ seconds that messages written there stay (4) ‖ when that was set (8) ‖ the identity key that was
/// told of it (32) or nothing. Of earlier versions: the seconds alone.
pub const SETTINGS: Table = Table { byte: 0x58, name: "expiry" };
/// `room ‖ pos` → version (1) ‖ `Timer`. Without its text: that was taken back, and the chain has not taken its
/// step since.
pub const TIMERS: Table = Table { byte: 0x59, name: "timers" };
/// `room ‖ pos` → the text, as the conversation's chain sealed it.
pub const TEXTS: Table = Table { byte: 0x5a, name: "timed texts" };

/// Table, key, and what a chain made of a text.
type Sealed = (Table, Vec<u8>, Vec<u8>);

/// When one line disappears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Timer {
    seconds: u32,
    own: bool,
    /// By the wall clock; `None`: it has not started.
    ends: Option<Millis>,
}

/// How long messages of a conversation stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Setting {
    seconds: u32,
    /// By the clock of who set it; 0: nobody has, or in an earlier version.
    at: Millis,
    /// Who knows of it, in a conversation of two.
    told: Option<[u8; 32]>,
}

impl Setting {
    fn read(value: &[u8]) -> Option<Self> {
        let seconds = |bytes: &[u8]| Some(u32::from_be_bytes(bytes.try_into().ok()?));
        match value {
            [_, _, _, _] => Some(Self { seconds: seconds(value)?, ..Self::default() }),
            [1, rest @ ..] => {
                let (first, rest) = rest.split_at_checked(4)?;
                let (at, told) = rest.split_first_chunk()?;
                let told = if told.is_empty() { None } else { Some(told.try_into().ok()?) };
                Some(Self { seconds: seconds(first)?, at: Millis(u64::from_be_bytes(*at)), told })
            }
            _ => None,
        }
    }

    fn write(&self) -> Vec<u8> {
        let told = self.told.as_ref().map_or(&[][..], |key| key);
        [&[1][..], &self.seconds.to_be_bytes(), &self.at.0.to_be_bytes(), told].concat()
    }

    /// What holds of two.
    fn rank(&self) -> (Millis, u32) {
        (self.at, self.seconds)
    }
}

/// A moment so far ahead of the own clock is no moment: nobody takes the last one there is, and whoever sets
/// something next does it later than all that counts.
pub(super) const AHEAD: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// So long after it was set, or told once more, a line without a timer says nothing: it was under way, or its author
/// keeps to none. Whose profile is gone sooner than that does not know the session, and says so.
const UNDER_WAY: Duration = Duration::from_secs(3600);

/// A wall clock that is so far behind the monotonic one was set back; by less they differ by themselves.
const SET_BACK: Duration = Duration::from_secs(1);

/// All timers.
#[derive(Default)]
pub(super) struct Expiry {
    settings: HashMap<RoomId, Setting>,
    /// When a setting came here in this run, or was told once more (monotonic).
    lately: HashMap<RoomId, Millis>,
    live: BTreeMap<(RoomId, u64), Timer>,
    due: BTreeSet<(Millis, RoomId, u64)>,
    chains: HashMap<RoomId, Chain>,
    /// What comes after the last link of chains that were erased. What is sealed next goes on with it: a crash may
    /// leave the slot as it was, and what lies there opens that too.
    spent: HashMap<RoomId, Chain>,
    /// The monotonic moment of the first that is due.
    wake: Option<Millis>,
    /// When it was last looked what is due.
    seen: Option<Now>,
    /// Conversations whose chain took its step or sealed something in this event: a step now would be taken
    /// over texts that are not written yet.
    turned: BTreeSet<RoomId>,
    /// Those whose chain shall take a step in the next event, and the lines whose timers go with it.
    turn: BTreeMap<RoomId, Vec<u64>>,
}

impl Expiry {
    fn load(store: &Store) -> Result<Self, Error> {
        let mut expiry = Self::default();
        for (key, value) in store.records.scan(TIMERS, &[], &[], Order::Forward, usize::MAX)? {
            let damaged = || Error::Damaged("a timer of a message".into());
            let at = unplace(&key).ok_or_else(damaged)?;
            let timer: Timer = match value.split_first() {
                Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|_| damaged())?,
                _ => return Err(damaged()),
            };
            // Taken back, and whoever did it was killed before the step.
            if store.records.get(TEXTS, &key)?.is_none() {
                expiry.turn.entry(at.0).or_default().push(at.1);
                continue;
            }
            if let Some(ends) = timer.ends {
                expiry.due.insert((ends, at.0, at.1));
            }
            expiry.live.insert(at, timer);
        }
        let links = store.slots.list(SLOT_KIND);
        let chains = links.iter().filter_map(|(slot, link)| Some((RoomId(slot.id), Chain::read(link)?)));
        expiry.chains.extend(chains);
        Ok(expiry)
    }

    pub(super) fn wake(&self) -> Option<Millis> {
        self.wake
    }

    /// The chain shall take a step.
    pub(super) fn turn_soon(&mut self, room: RoomId, now: Now) {
        self.turn.entry(room).or_default();
        self.reckon(now);
    }

    /// The event is over.
    pub(super) fn settled(&mut self) {
        self.turned.clear();
    }

    fn reckon(&mut self, now: Now) {
        let first = self.due.first().map(|(ends, ..)| ends.since(now.wall));
        self.wake = first.map(|left| now.mono.plus(left));
        if !self.turn.is_empty() {
            self.wake = Some(now.mono);
        }
    }
}

/// The text of a line that disappears; `None` when it is no such line, or gone.
///
/// # Errors
/// Those of the store.
pub fn reveal(store: &Store, room: RoomId, pos: u64) -> Result<Option<String>, Error> {
    let key = place(room, pos);
    let Some(sealed) = store.records.get(TEXTS, &key)? else { return Ok(None) };
    let text = kept(store, room).and_then(|chain| chain.open(&key, &sealed));
    Ok(text.and_then(|text| String::from_utf8(text.to_vec()).ok()))
}

/// What [`Talk::sealed_timed`] sealed, while its link is there.
pub(super) fn opened(store: &Store, room: RoomId, about: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    kept(store, room)?.open(about, sealed)
}

fn kept(store: &Store, room: RoomId) -> Option<Chain> {
    Chain::read(&store.slots.get(&Chain::slot(room.0))?)
}

impl Talk {
    /// Reads timers and settings, and erases what became due while nobody was there.
    pub(super) fn load_expiry(&mut self, now: Now) -> Result<(), Error> {
        self.expiry = Expiry::load(&self.store)?;
        for (key, value) in self.store.records.scan(SETTINGS, &[], &[], Order::Forward, usize::MAX)? {
            let damaged = || Error::Damaged("a conversation's timer".into());
            let id = RoomId(key.try_into().map_err(|_| damaged())?);
            let setting = Setting::read(&value).ok_or_else(damaged)?;
            self.expiry.settings.insert(id, setting);
            if setting.at > now.wall.plus(AHEAD) {
                // Nobody else takes it, and what they set would never hold here.
                self.keep_setting(id, Setting { at: now.wall, told: None, ..setting });
            }
            if let Some(room) = self.chat.room_mut(id) {
                room.timeline.set_timer(setting.seconds);
            }
        }
        let live: Vec<(RoomId, u64)> = self.expiry.live.keys().copied().collect();
        for (id, pos) in live {
            if let Some(room) = self.chat.room_mut(id) {
                room.timeline.is_timed(pos);
            }
        }
        self.chains_catch_up(now)?;
        self.vanish(now)
    }

    /// Takes the steps of chains that a crash left behind their records: what they could still open is gone.
    fn chains_catch_up(&mut self, now: Now) -> Result<(), Error> {
        for (room, chain) in self.expiry.chains.clone() {
            let sealed = self.chained(room)?;
            if sealed.is_empty() || sealed.iter().any(|(.., sealed)| chain.behind(sealed) > 0) {
                self.expiry.turn_soon(room, now);
            }
        }
        Ok(())
    }

    /// What a conversation's chain seals and what stays.
    fn chained(&self, room: RoomId) -> Result<Vec<Sealed>, Error> {
        let mut all = Vec::new();
        let texts = self.expiry.live.range((room, 0)..=(room, u64::MAX));
        for key in texts.map(|((_, pos), _)| place(room, *pos)) {
            if let Some(sealed) = self.store.records.get(TEXTS, &key)? {
                all.push((TEXTS, key, sealed));
            }
        }
        for key in self.parked_timed(room) {
            if let Some([1, sealed @ ..]) = self.store.records.get(PARKED, &key)?.as_deref() {
                all.push((PARKED, key, sealed.to_vec()));
            }
        }
        for key in self.early_timed(room) {
            if let Some(sealed) = self.store.records.get(EARLY, &key)? {
                all.push((EARLY, key, sealed));
            }
        }
        Ok(all)
    }

    /// Sets for how long messages of a conversation stay from now on, 0: for ever, and tells the other
    /// end. False when it was so.
    pub fn set_expiry(&mut self, room: RoomId, seconds: u32, now: Now) -> bool {
        if self.chat.room(room).is_none_or(|room| room.timeline.timer() == seconds) {
            return false;
        }
        // Later than what was set before, whatever the clocks say.
        let at = Millis(now.wall.0.max(self.setting(room).at.0.saturating_add(1)));
        if !self.expires(room, seconds, at, now) {
            return false;
        }
        self.note(room, format!("you {}", said(seconds)), now);
        self.transmit(room, Content::Expire { seconds, at }, Why::Speech, None, now);
        self.owe_timer(room);
        true
    }

    /// The other end set it, or says what it was set to.
    pub(super) fn expiry_set(&mut self, room: RoomId, seconds: u32, at: Millis, now: Now) {
        if at > now.wall.plus(AHEAD) {
            // Nor is it answered: two would tell each other theirs for ever.
            self.dropped += 1;
            return;
        }
        let (known, theirs) = (self.setting(room), Setting { seconds, at, told: None });
        if theirs.rank() < known.rank() {
            // They do not know yet what was set later.
            self.expiry_again(room, now);
            return;
        }
        if theirs.rank() > known.rank() && self.expires(room, seconds, at, now) {
            let member = self.speaker.as_ref().map(|speaker| speaker.name.to_string());
            let name = member.or_else(|| Some(self.chat.room(room)?.name().to_owned()));
            self.note(room, format!("{} {}", name.unwrap_or_default(), said(seconds)), now);
        }
        self.expiry_told(room, at);
    }

    /// When it was set for how long messages of a conversation stay; `None`: nobody has.
    pub(super) fn expiry_at(&self, room: RoomId) -> Option<Millis> {
        Some(self.setting(room).at).filter(|at| *at > Millis(0))
    }

    fn setting(&self, room: RoomId) -> Setting {
        self.expiry.settings.get(&room).copied().unwrap_or_default()
    }

    fn keep_setting(&mut self, room: RoomId, setting: Setting) {
        self.batch.put(SETTINGS, room.0, setting.write());
        self.expiry.settings.insert(room, setting);
    }

    /// A conversation is forgotten, and how long its messages stay.
    pub(super) fn forget_expiry(&mut self, room: RoomId) {
        self.batch.delete(SETTINGS, room.0);
        self.expiry.settings.remove(&room);
        self.expiry.lately.remove(&room);
        self.expiry.spent.remove(&room);
    }

    /// What was set at that moment is in the outbox for a device of theirs, or they said so. What waits for another
    /// one is in memory alone: only with the last are they told.
    pub(super) fn expiry_told(&mut self, room: RoomId, at: Millis) {
        let setting = self.setting(room);
        let Some(r) = self.chat.room(room).filter(|r| r.group.is_none() && setting.at == at) else { return };
        let told = r.kept.peer.map(|peer| peer.identity);
        if setting.told != told && !self.expiry_waits(room, at) {
            self.keep_setting(room, Setting { told, ..setting });
        }
    }

    /// What they were told may be lost, or they were told something else meanwhile.
    pub(super) fn expiry_again(&mut self, room: RoomId, now: Now) {
        let setting = self.setting(room);
        if setting.told.is_some() {
            self.keep_setting(room, Setting { told: None, ..setting });
        }
        if self.lacks_expiry(room) {
            self.say_expiry(room, now);
        }
    }

    /// Theirs came without a timer where there is one, of which they were told, or those of their devices that had
    /// keys: it went with an earlier profile of theirs.
    pub(super) fn expiry_lost(&mut self, room: RoomId, now: Now) {
        let Setting { seconds, at, told } = self.setting(room);
        let said = told.is_some() || self.expiry_waits(room, at);
        let lately = self.expiry.lately.get(&room).is_some_and(|at| now.mono.since(*at) < UNDER_WAY);
        if seconds > 0 && said && !lately {
            self.expiry.lately.insert(room, now.mono);
            self.expiry_again(room, now);
        }
    }

    /// Tells the other end for how long messages stay, when they do not know.
    pub(super) fn share_expiry(&mut self, room: RoomId, now: Now) {
        // What waits for one device went to the others when it was said.
        if self.lacks_expiry(room) && !self.expiry_waits(room, self.setting(room).at) {
            self.say_expiry(room, now);
        }
    }

    fn lacks_expiry(&self, room: RoomId) -> bool {
        let Setting { at, told, .. } = self.setting(room);
        let Some(r) = self.chat.room(room).filter(|r| r.is_open() && r.group.is_none()) else { return false };
        let identity = r.kept.peer.map(|peer| peer.identity);
        at > Millis(0) && identity.is_some() && told != identity
    }

    /// Whether what was set at that moment still waits for a device.
    fn expiry_waits(&self, room: RoomId, set: Millis) -> bool {
        self.waits(room, |content| matches!(content, Content::Expire { at, .. } if *at == set))
    }

    fn say_expiry(&mut self, room: RoomId, now: Now) {
        let Setting { seconds, at, .. } = self.setting(room);
        // One that still waits for a session has been overtaken.
        for queue in self.waiting.values_mut().chain(self.queues.values_mut()) {
            queue.retain(|next| next.room != Some(room) || !matches!(*next.content, Content::Expire { .. }));
        }
        self.transmit(room, Content::Expire { seconds, at }, Why::Speech, None, now);
    }

    /// Tells a member of a room who came in later.
    pub(super) fn tell_expiry(&mut self, room: RoomId, name: &AccountName, now: Now) {
        let Setting { seconds, at, .. } = self.setting(room);
        if at > Millis(0) {
            self.transmit_to_member(room, name, &Content::Expire { seconds, at }, Why::Signal, now);
        }
    }

    /// The same for one of their devices, which may not have heard it.
    pub(super) fn tell_expiry_to(&mut self, room: RoomId, device: DeviceId, now: Now) {
        let Setting { seconds, at, .. } = self.setting(room);
        if at > Millis(0) {
            self.transmit_in_to(room, device, &Content::Expire { seconds, at }, now);
        }
    }

    /// False when it was so, or was set later.
    pub(super) fn expires(&mut self, room: RoomId, seconds: u32, at: Millis, now: Now) -> bool {
        let later = self.setting(room).rank() < (at, seconds) && at <= now.wall.plus(AHEAD);
        let Some(r) = self.chat.room_mut(room).filter(|_| later) else { return false };
        let was = r.timeline.timer();
        r.timeline.set_timer(seconds);
        self.expiry.lately.insert(room, now.mono);
        self.keep_setting(room, Setting { seconds, at, told: None });
        if was == seconds {
            return false;
        }
        // What is typed there from now on is not kept, and what was is not needed.
        self.keep_draft(room, "");
        true
    }

    /// Adds a line that disappears; gives its place.
    pub(super) fn push_timed(&mut self, room: RoomId, line: Line, seconds: u32, now: Now) -> Vec<u8> {
        let (text, own) = (line.apart(), line.author == Author::Me);
        if let Some(r) = self.chat.room_mut(room) {
            let end = r.timeline.end();
            r.timeline.is_timed(end);
        }
        let at = self.push_line(room, line, now);
        if let Some((_, pos)) = unplace(&at) {
            self.seal_text(room, pos, &text);
            self.begin_timer((room, pos), seconds, own, now);
        }
        at
    }

    /// The line there disappears so long after it was read, or sent if it is an own one.
    pub(super) fn begin_timer(&mut self, at: (RoomId, u64), seconds: u32, own: bool, now: Now) {
        self.keep_timer(at, Timer { seconds, own, ends: None }, now);
    }

    /// The same message once more: its text is kept again if a crash took its key.
    pub(super) fn timed_again(&mut self, at: &[u8], text: &str) -> Result<(), Error> {
        let Some((room, pos)) = unplace(at).filter(|(room, pos)| self.disappears(*room, *pos)) else {
            return Ok(());
        };
        if let Some(sealed) = self.store.records.get(TEXTS, &place(room, pos))?
            && self.text_of(room, pos, &sealed)?.is_none()
        {
            self.seal_text(room, pos, text);
        }
        Ok(())
    }

    /// Keeps the text of a line that disappears, in place of the one before.
    pub(super) fn seal_text(&mut self, room: RoomId, pos: u64, text: &str) {
        let key = place(room, pos);
        let sealed = self.sealed_timed(room, &key, text.as_bytes());
        self.batch.put(TEXTS, key, sealed);
    }

    /// Seals what must not outlive the messages of a conversation that disappear.
    pub(super) fn sealed_timed(&mut self, room: RoomId, about: &[u8], text: &[u8]) -> Vec<u8> {
        self.expiry.turned.insert(room);
        let chain = match self.expiry.chains.get(&room) {
            Some(chain) => chain.clone(),
            None => {
                let spent = self.expiry.spent.remove(&room);
                let chain = spent.unwrap_or_else(|| Chain::draw(&mut self.rng));
                self.batch.keep(Chain::slot(room.0), chain.secret());
                self.expiry.chains.insert(room, chain.clone());
                chain
            }
        };
        chain.seal(about, text, &mut self.rng)
    }

    /// After how many seconds the line disappears, if it does.
    pub(super) fn seconds_of(&self, room: RoomId, pos: u64) -> Option<u32> {
        self.expiry.live.get(&(room, pos)).map(|timer| timer.seconds)
    }

    /// Whether a line disappears.
    pub fn disappears(&self, room: RoomId, pos: u64) -> bool {
        self.seconds_of(room, pos).is_some()
    }

    /// The text of such a line was taken back before its time.
    pub(super) fn erase_timed(&mut self, room: RoomId, pos: u64, now: Now) -> Result<(), Error> {
        let Some(timer) = self.expiry.live.remove(&(room, pos)) else { return Ok(()) };
        if let Some(ends) = timer.ends {
            self.expiry.due.remove(&(ends, room, pos));
        }
        self.batch.delete(TEXTS, place(room, pos));
        if let Some(r) = self.chat.room_mut(room) {
            r.timeline.is_bare(pos);
        }
        if self.expiry.turned.contains(&room) {
            // Its timer stays until then: who is killed before takes the step at the next start.
            self.expiry.turn.entry(room).or_default().push(pos);
        } else {
            self.batch.delete(TIMERS, place(room, pos));
            self.turn(room)?;
        }
        self.expiry.reckon(now);
        Ok(())
    }

    fn keep_timer(&mut self, at: (RoomId, u64), timer: Timer, now: Now) {
        let mut value = vec![VERSION];
        value.extend(postcard::to_stdvec(&timer).expect("a timer serialises: plain fields only"));
        self.batch.put(TIMERS, place(at.0, at.1), value);
        let before = self.expiry.live.insert(at, timer);
        if let Some(ends) = before.and_then(|before| before.ends) {
            self.expiry.due.remove(&(ends, at.0, at.1));
        }
        if let Some(ends) = timer.ends {
            self.expiry.due.insert((ends, at.0, at.1));
        }
        self.expiry.reckon(now);
    }

    /// Their lines before `to` were read: their time begins.
    pub(super) fn timers_read(&mut self, room: RoomId, to: u64, now: Now) {
        let waits =
            |(at, timer): (&(RoomId, u64), &Timer)| (!timer.own && timer.ends.is_none()).then_some(*at);
        let read: Vec<_> = self.expiry.live.range((room, 0)..(room, to)).filter_map(waits).collect();
        for at in read {
            self.start_timer(at, now);
        }
    }

    /// The relay has an own line: its time begins, or when it has the file too.
    pub(super) fn timer_sent(&mut self, message: Option<MessageId>, now: Now) -> Result<(), Error> {
        let Some(id) = message else { return Ok(()) };
        if let Some(at) = self.place_of(&id)?.and_then(|place| unplace(&place)) {
            self.own_timer(&id, at, now);
        }
        Ok(())
    }

    /// The same for one that stands there.
    pub(super) fn own_timer(&mut self, id: &MessageId, at: (RoomId, u64), now: Now) {
        let goes_up =
            |file: &Transfer| file.kept.up && matches!(file.kept.phase, Phase::Active | Phase::Paused);
        let waits = |timer: &Timer| timer.own && timer.ends.is_none();
        if !self.chat.transfer(id).is_some_and(goes_up) && self.expiry.live.get(&at).is_some_and(waits) {
            self.start_timer(at, now);
        }
    }

    pub(super) fn start_timer(&mut self, at: (RoomId, u64), now: Now) {
        if let Some(timer) = self.expiry.live.get(&at).copied() {
            let ends = now.wall.plus(Duration::from_secs(timer.seconds.into()));
            self.keep_timer(at, Timer { ends: Some(ends), ..timer }, now);
        }
    }

    /// A clock that ran ahead and was set back keeps nothing longer: no timer has more left than it began with. One
    /// that differs from the relay's shortens nothing: it may be behind, and put right soon.
    fn clock_back(&mut self, now: Now) {
        if !self.believes(now) {
            self.expiry.seen = None;
            return;
        }
        let seen = self.expiry.seen.replace(now);
        let goes_on = |seen: Now| now.wall.plus(SET_BACK) >= seen.wall.plus(now.mono.since(seen.mono));
        // In an earlier run it may have shown anything.
        if seen.is_some_and(goes_on) {
            return;
        }
        let long = |(at, timer): (&(RoomId, u64), &Timer)| {
            let most = now.wall.plus(Duration::from_secs(timer.seconds.into()));
            timer.ends.is_some_and(|ends| ends > most).then_some(*at)
        };
        for at in self.expiry.live.iter().filter_map(long).collect::<Vec<_>>() {
            self.start_timer(at, now);
        }
    }

    /// What a line of ours says on the wire; `None` when its text is gone.
    pub(super) fn content_of(&self, room: RoomId, pos: u64, line: Line) -> Result<Option<Content>, Error> {
        let Some(timer) = self.expiry.live.get(&(room, pos)) else {
            return Ok(line.content());
        };
        let sealed = self.store.records.get(TEXTS, &place(room, pos))?;
        let body = sealed.map_or(Ok(None), |sealed| self.text_of(room, pos, &sealed))?;
        let Some(body) = body else { return Ok(None) };
        let mut line = line;
        line.put_back(body);
        Ok(line.content().map(|content| content.timed(timer.seconds)))
    }

    /// The text of a line, of what is stored of it; `None` when a crash took its key.
    fn text_of(&self, room: RoomId, pos: u64, sealed: &[u8]) -> Result<Option<String>, Error> {
        let chain = self.expiry.chains.get(&room);
        let body = chain.and_then(|chain| chain.open(&place(room, pos), sealed));
        match body.and_then(|body| String::from_utf8(body.to_vec()).ok()) {
            // The chain took its step in this event: what is stored is as it was before.
            None => reveal(&self.store, room, pos),
            body => Ok(body),
        }
    }

    /// Erases what is due: from memory and screen, and in the store by overwriting its key.
    ///
    /// # Errors
    /// Those of the store.
    pub fn vanish(&mut self, now: Now) -> Result<(), Error> {
        self.clock_back(now);
        let store = self.store.clone();
        let mut rooms = std::mem::take(&mut self.expiry.turn);
        while let Some(&(ends, room, pos)) = self.expiry.due.first().filter(|(ends, ..)| *ends <= now.wall) {
            self.expiry.due.remove(&(ends, room, pos));
            self.expiry.live.remove(&(room, pos));
            let key = place(room, pos);
            let timeline = self.chat.room_mut(room).map(|r| &mut r.timeline);
            let erased = timeline.map(|timeline| timeline.erase(&store, pos, &mut self.batch)).transpose()?;
            // A line without a text has nothing to send again.
            if let Some(line) = erased.flatten() {
                self.forget_deeds(room, line.id)?;
                self.file_gone(line.id);
                for (key, _) in self.store.records.scan(
                    PENDING,
                    &line.id.0,
                    &prefix_end(&line.id.0),
                    Order::Forward,
                    usize::MAX,
                )? {
                    self.batch.delete(PENDING, key);
                }
            }
            self.batch.delete(TIMERS, key.clone());
            self.batch.delete(TEXTS, key);
            rooms.entry(room).or_default();
        }
        if !rooms.is_empty() {
            // Uploads of what disappeared are taken back, and others have their turn.
            self.run_transfers(now);
        }
        for (room, erased) in rooms {
            for pos in erased {
                self.batch.delete(TIMERS, place(room, pos));
            }
            self.turn(room)?;
        }
        self.expiry.reckon(now);
        Ok(())
    }

    /// The next link of a conversation's chain; texts that stay go along.
    fn turn(&mut self, room: RoomId) -> Result<(), Error> {
        self.expiry.turned.insert(room);
        let stays = self.expiry.live.range((room, 0)..=(room, u64::MAX)).next().is_some()
            || self.parked_timed(room).next().is_some()
            || self.early_timed(room).next().is_some();
        let chain = self.expiry.chains.remove(&room);
        let Some(chain) = chain.as_ref().filter(|_| stays) else {
            self.expiry.spent.extend(chain.map(|chain| (room, chain.next())));
            self.batch.erase(Chain::slot(room.0));
            return Ok(());
        };
        let sealed = self.chained(room)?;
        let behind = sealed.iter().map(|(.., sealed)| chain.behind(sealed)).max().unwrap_or(0);
        let next = (0..behind).fold(chain.next(), |link, _| link.next());
        for (table, key, sealed) in sealed {
            if let Some(text) = chain.open(&key, &sealed) {
                let sealed = next.seal(&key, &text, &mut self.rng);
                let value = if table == PARKED { [&[1], sealed.as_slice()].concat() } else { sealed };
                self.batch.put(table, key, value);
            }
        }
        self.batch.keep(Chain::slot(room.0), next.secret());
        self.expiry.chains.insert(room, next);
        Ok(())
    }
}

/// A time in words: `1 hour`, `90 seconds`.
pub fn span(seconds: u32) -> String {
    let units = [(604_800, "week"), (86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let whole = units.into_iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    let (unit, name) = whole.unwrap_or((1, "second"));
    let count = seconds / unit;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

/// What was set, in words.
fn said(seconds: u32) -> String {
    match seconds {
        0 => "set messages to stay".into(),
        seconds => format!("set messages to disappear {} after they are read", span(seconds)),
    }
}

const VERSION: u8 = 1;
