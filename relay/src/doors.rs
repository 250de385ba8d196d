//! Doors where people knock who hold a link: who watches them, which knocks wait, how many guesses.
//!
//! Which doors there are, their guards and guesses are on disk; knocks and who watches are not: both come
//! again with the next connection.

use crate::accounts::{decode, encode};
use crate::admin::check::{Findings, rows};
use crate::ages::day;
use crate::heads::counted;
use crate::mailbox::Old;
use crate::relay::Conn;
use crate::staged::Staged;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use subrosa_shared::id::{AccountName, DeviceId, DoorId};
use subrosa_shared::protocol::door::{
    Answer, GUESSES_MAX, GUESSES_MS, Guess, KnockId, Knocked, WAITS_MS, Watch,
};
use subrosa_shared::protocol::frame::Refusal;
use subrosa_shared::store::{self, Kv, Table};
use subrosa_shared::time::{Millis, Now};

/// Doors that one account has begun.
pub const DOORS_MAX: u32 = 256;

/// Doors that one connection watches.
pub const WATCHED_MAX: usize = 1024;

/// Connections that watch one door.
pub const WATCHERS_MAX: usize = 512;

/// Knocks at one door at a time.
pub const KNOCKS_MAX: usize = 32;

/// Knocks of one device at a time.
pub const KNOCKS_OF_DEVICE: usize = 8;

/// Knocks of one account at a time.
pub const KNOCKS_OF_ACCOUNT: usize = 16;

/// Knocks at a time in all.
pub const KNOCKS_IN_ALL: usize = 4096;

/// Messages of one knock each way, the knock itself and the last word besides.
pub const MESSAGES_MAX: u32 = 64;

/// How long one device has for its first answer before another is asked, in milliseconds.
pub const PATIENCE_MS: u64 = 30_000;

/// How long a door is kept that nobody watches, in milliseconds: 90 days.
pub const LASTS_MS: u64 = 90 * DAY_MS;

/// How old the date of a door gets that is watched all the time, in milliseconds: 30 days.
const DATED_MS: u64 = 30 * DAY_MS;

/// All of them.
pub struct Doors {
    records: Staged,
    watchers: BTreeMap<DoorId, Vec<Conn>>,
    /// The same the other way round, so that nobody looks through the doors of all for their own.
    watched: BTreeMap<Conn, BTreeSet<DoorId>>,
    knocks: BTreeMap<(DoorId, DeviceId), Knock>,
    numbers: BTreeMap<KnockId, (DoorId, DeviceId)>,
    /// Knocks whose first answer takes a guess that is not written yet.
    fresh: BTreeSet<(DoorId, DeviceId)>,
    /// Doors and knocks that are over once the running group is written.
    closing: BTreeSet<DoorId>,
    ending: BTreeSet<(DoorId, DeviceId)>,
    next: u64,
}

/// Something that a device is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A knock for a member's connection.
    Knocked(Conn, Knocked),
    /// What who knocked says next, for the same connection.
    Proved(Conn, KnockId, Vec<u8>),
    /// Whether somebody is there who heard the knock.
    Heard(DeviceId, DoorId, bool),
    /// What a member answered; whether it is the last word.
    Answered(DeviceId, DoorId, Vec<u8>, bool),
    /// There is no such door any more.
    Closed(DeviceId, DoorId),
}

/// Why not.
#[derive(Debug)]
pub enum Fault {
    /// For the device.
    Refusal(Refusal),
    /// The store's.
    Store(store::Error),
}

impl From<Refusal> for Fault {
    fn from(why: Refusal) -> Self {
        Self::Refusal(why)
    }
}

impl From<store::Error> for Fault {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

/// A knock that is not over.
struct Knock {
    number: KnockId,
    name: AccountName,
    bytes: Vec<u8>,
    came: Now,
    /// Whom it was handed to, and when that one last had it or tried to answer.
    with: Option<(Conn, Millis)>,
    /// A member has answered: no other can go on with it.
    begun: bool,
    /// Messages that a member was sent since.
    proofs: u32,
    /// Those that a member has answered with.
    answers: u32,
}

/// A door as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    guard: [u8; 32],
    /// Whose quota it counts in.
    by: AccountName,
    /// When it was last watched, to the day.
    watched: Millis,
    /// When each guess of the last hour was taken, oldest first.
    guesses: Vec<Millis>,
}

const DOORS: Table = Table { byte: b'D', name: "doors: door → Kept" };
const BEGUN: Table = Table { byte: b'W', name: "doors: account → how many it has begun" };
const DAY_MS: u64 = 24 * 3_600_000;
const PAGE: usize = 256;

/// Looks whether doors can be read, and whether each account has begun as many as are counted.
pub(crate) fn audit(kv: &dyn Kv, found: &mut Findings) -> Result<(), store::Error> {
    let mut counts = BTreeMap::<AccountName, u32>::new();
    rows(kv, DOORS, |_, value| match decode::<Kept>(value, DOORS.name) {
        Ok(kept) => {
            found.looked();
            *counts.entry(kept.by).or_default() += 1;
        }
        Err(_) => found.wrong("a door cannot be read"),
    })?;
    counted(kv, BEGUN, &counts, "doors", found)
}

impl Doors {
    /// Over a store.
    pub fn new(kv: Arc<dyn Kv>) -> Self {
        Self {
            records: Staged::new(kv),
            watchers: BTreeMap::new(),
            watched: BTreeMap::new(),
            knocks: BTreeMap::new(),
            numbers: BTreeMap::new(),
            fresh: BTreeSet::new(),
            closing: BTreeSet::new(),
            ending: BTreeSet::new(),
            next: 0,
        }
    }

    /// A member's device wants the knocks at a door, those first that wait.
    ///
    /// # Errors
    /// [`Fault`]: `NotAllowed` for another key, `TooLarge` past a bound.
    pub fn watch(
        &mut self,
        conn: Conn,
        name: &AccountName,
        watch: &Watch,
        now: Now,
    ) -> Result<Vec<Notice>, Fault> {
        let kept = match self.kept(&watch.door)? {
            Some(kept) if Sha256::digest(watch.key).as_slice() != kept.guard => {
                return Err(Refusal::NotAllowed.into());
            }
            kept => kept,
        };
        if self.closing.remove(&watch.door) {
            // It begins anew, with nothing of what was there.
            self.over(&watch.door);
        }
        let watched = self.watched.entry(conn).or_default();
        if !watched.contains(&watch.door) {
            let watchers = self.watchers.get(&watch.door).map_or(0, Vec::len);
            if watched.len() >= WATCHED_MAX || watchers >= WATCHERS_MAX {
                return Err(Refusal::TooLarge.into());
            }
            watched.insert(watch.door);
            self.watchers.entry(watch.door).or_default().push(conn);
        }
        let today = day(now.wall);
        match kept {
            Some(kept) if kept.guard == watch.guard && kept.watched >= today => {}
            // A clock that runs behind makes no door older.
            Some(kept) => {
                let watched = kept.watched.max(today);
                self.keep(&watch.door, &Kept { guard: watch.guard, watched, ..kept });
            }
            None => {
                let begun = self.begun(name)? + 1;
                if begun > DOORS_MAX {
                    self.unwatch(conn, &watch.door);
                    return Err(Refusal::TooLarge.into());
                }
                let kept = Kept { guard: watch.guard, by: name.clone(), watched: today, guesses: Vec::new() };
                self.keep(&watch.door, &kept);
                self.records.put(BEGUN, name.as_str().as_bytes(), encode(&begun));
            }
        }
        Ok(self.hand_out(&watch.door, now.mono))
    }

    /// A member's device takes a door away; those who knock there are told.
    ///
    /// # Errors
    /// [`Fault`]: `NotAllowed` for another key.
    pub fn close(&mut self, door: &DoorId, key: &[u8; 32]) -> Result<Vec<Notice>, Fault> {
        let Some(kept) = self.kept(door)? else { return Ok(Vec::new()) };
        if Sha256::digest(key).as_slice() != kept.guard {
            return Err(Refusal::NotAllowed.into());
        }
        self.records.delete(DOORS, &door.0);
        self.one_less(&kept.by)?;
        self.closing.insert(*door);
        Ok(self.at(door).map(|(device, _)| Notice::Closed(device, *door)).collect())
    }

    /// Somebody knocks; an earlier knock of the same device there is over.
    ///
    /// # Errors
    /// [`Fault`]: `NotAllowed` for a door that nobody ever watched, `RateLimited` after too many guesses
    /// or with too many knocks.
    pub fn knock(
        &mut self,
        from: DeviceId,
        name: &AccountName,
        door: DoorId,
        bytes: Vec<u8>,
        now: Now,
    ) -> Result<Vec<Notice>, Fault> {
        let kept = self.kept(&door)?.ok_or(Refusal::NotAllowed)?;
        if let Some(retry_ms) = kept.held(now.wall) {
            return Err(Refusal::RateLimited { retry_ms }.into());
        }
        self.forget(&door, &from);
        let of_device = self.knocks.keys().filter(|(_, device)| *device == from).count();
        let of_account = self.knocks.values().filter(|knock| knock.name == *name).count();
        let enough = of_device >= KNOCKS_OF_DEVICE || of_account >= KNOCKS_OF_ACCOUNT;
        if enough || !self.make_room(&door, name) {
            return Err(Refusal::RateLimited { retry_ms: PATIENCE_MS as u32 }.into());
        }
        self.next += 1;
        let number = KnockId(self.next);
        let knock = Knock {
            number,
            name: name.clone(),
            bytes,
            came: now,
            with: None,
            begun: false,
            proofs: 0,
            answers: 0,
        };
        self.knocks.insert((door, from), knock);
        self.numbers.insert(number, (door, from));
        let mut notices = self.hand_out(&door, now.mono);
        if notices.is_empty() {
            notices.push(Notice::Heard(from, door, false));
        }
        Ok(notices)
    }

    /// Who knocked goes on, to the member who answered.
    ///
    /// # Errors
    /// `NotAllowed` when nobody did, `RateLimited` after too many messages.
    pub fn prove(&mut self, from: DeviceId, door: DoorId, bytes: Vec<u8>) -> Result<Notice, Refusal> {
        match self.knocks.get_mut(&(door, from)) {
            Some(Knock { with: Some((conn, _)), begun: true, number, proofs, .. }) => {
                one_more(proofs)?;
                Ok(Notice::Proved(*conn, *number, bytes))
            }
            _ => Err(Refusal::NotAllowed),
        }
    }

    /// A member answers.
    ///
    /// # Errors
    /// [`Fault`]: `NotAllowed` for a knock that this connection was not handed or that is over,
    /// `RateLimited` for a guess or a message too many.
    pub fn answer(&mut self, conn: Conn, answer: Answer, now: Now) -> Result<Notice, Fault> {
        let wall = now.wall;
        let &(door, device) = self.numbers.get(&answer.knock).ok_or(Refusal::NotAllowed)?;
        let knock = self.knocks.get_mut(&(door, device)).ok_or(Refusal::NotAllowed)?;
        if knock.with.is_none_or(|(with, _)| with != conn) {
            return Err(Refusal::NotAllowed.into());
        }
        knock.with = Some((conn, now.mono));
        // The last word ends it anyway.
        if !answer.last {
            one_more(&mut knock.answers)?;
        }
        if answer.guess != Guess::None {
            let mut kept = self.kept(&door)?.ok_or(Refusal::NotAllowed)?;
            match answer.guess {
                Guess::Taken => {
                    if let Some(retry_ms) = kept.held(wall) {
                        return Err(Refusal::RateLimited { retry_ms }.into());
                    }
                    kept.guesses.retain(|at| counts(*at, wall));
                    kept.guesses.push(wall);
                }
                Guess::GivenBack | Guess::None => {
                    kept.guesses.pop();
                }
            }
            self.keep(&door, &kept);
        }
        if answer.last {
            self.forget(&door, &device);
        } else if let Some(knock) = self.knocks.get_mut(&(door, device))
            && !std::mem::replace(&mut knock.begun, true)
            && answer.guess == Guess::Taken
        {
            self.fresh.insert((door, device));
        }
        Ok(Notice::Answered(device, door, answer.bytes, answer.last))
    }

    /// A connection is gone: what it was handed goes to another at the next [`Doors::tick`], or waits.
    pub fn gone(&mut self, conn: Conn) -> Vec<Notice> {
        let mut notices = Vec::new();
        for door in self.watched.remove(&conn).unwrap_or_default() {
            self.unwatch(conn, &door);
            let with: Vec<_> = self
                .at(&door)
                .filter(|(_, knock)| knock.with.is_some_and(|(with, _)| with == conn))
                .map(|(device, knock)| (device, knock.begun))
                .collect();
            for (device, begun) in with {
                if self.fresh.contains(&(door, device)) {
                    // Who knocked hears nothing of an answer that is not written: then it waits on.
                    self.ending.insert((door, device));
                } else if begun {
                    // Its first message means nothing any more: who knocks has to begin again.
                    self.forget(&door, &device);
                }
                if let Some(knock) = self.knocks.get_mut(&(door, device)) {
                    knock.with = None;
                }
                if begun || !self.watchers.contains_key(&door) {
                    notices.push(Notice::Heard(device, door, false));
                }
            }
        }
        notices
    }

    /// Time passed: knocks that nobody answered are over, and who does not answer is passed by.
    pub fn tick(&mut self, mono: Millis) -> Vec<Notice> {
        let late = |knock: &Knock| mono.since(knock.came.mono).as_millis() as u64 >= WAITS_MS;
        let over: Vec<_> = self.knocks.iter().filter(|(_, knock)| late(knock)).map(|(key, _)| *key).collect();
        for (door, device) in over {
            self.forget(&door, &device);
        }
        let mut notices = Vec::new();
        let waiting: Vec<_> = self.waiting().map(|((door, _), _)| *door).collect();
        for door in waiting {
            notices.extend(self.hand_out(&door, mono));
        }
        for ((door, device), knock) in &mut self.knocks {
            let Some((conn, since)) = knock.with.filter(|_| !knock.begun) else { continue };
            let watchers = self.watchers.get(door).map(Vec::as_slice).unwrap_or_default();
            if mono.since(since).as_millis() as u64 >= PATIENCE_MS && watchers.len() > 1 {
                let at = watchers.iter().position(|other| *other == conn).map_or(0, |at| at + 1);
                let next = watchers[at % watchers.len()];
                knock.with = Some((next, mono));
                notices.push(Notice::Knocked(next, knock.told(*door, *device)));
            }
        }
        notices
    }

    /// When [`Doors::tick`] has something to do.
    pub fn due(&self) -> Option<Millis> {
        let due = self.knocks.iter().map(|((door, _), knock)| {
            let end = Millis(knock.came.mono.0 + WAITS_MS);
            let others = self.watchers.get(door).is_some_and(|conns| conns.len() > 1);
            match knock.with.filter(|_| !knock.begun && others) {
                Some((_, since)) => end.min(Millis(since.0 + PATIENCE_MS)),
                None => end,
            }
        });
        let waiting = self.waiting().map(|(_, knock)| knock.came.mono);
        due.chain(waiting).min()
    }

    /// Knocks that nobody has, although somebody watches. One that may be over with the running group waits for that.
    fn waiting(&self) -> impl Iterator<Item = (&(DoorId, DeviceId), &Knock)> {
        let watched = |door: &DoorId| self.watchers.contains_key(door);
        self.knocks.iter().filter(move |(key, knock)| {
            knock.with.is_none() && watched(&key.0) && !self.ending.contains(*key)
        })
    }

    /// Forgets doors that are `old` by when they were last watched, and dates those anew that are watched, a
    /// bounded piece of work from that key on; says where to go on, `None` at the end.
    ///
    /// # Errors
    /// Those of the store.
    pub fn sweep(
        &mut self,
        old: Old<'_>,
        wall: Millis,
        from: &[u8],
    ) -> Result<Option<Vec<u8>>, store::Error> {
        let rows = self.records.scan(DOORS, from, &[], PAGE)?;
        let next = rows.last().filter(|_| rows.len() == PAGE).map(|(key, _)| [key.as_slice(), &[0]].concat());
        for (key, value) in rows {
            let kept: Kept = decode(&value, DOORS.name)?;
            let door = key.as_slice().try_into().ok().map(DoorId);
            match door.filter(|door| self.watchers.contains_key(door)) {
                Some(door) if wall.0.saturating_sub(kept.watched.0) > DATED_MS => {
                    self.keep(&door, &Kept { watched: day(wall), ..kept });
                }
                Some(_) => {}
                None if old(kept.watched) => {
                    self.records.delete(DOORS, &key);
                    self.one_less(&kept.by)?;
                }
                None => {}
            }
        }
        Ok(next)
    }

    /// Writes everything since the last call; it is durable once the store is synced.
    ///
    /// # Errors
    /// Those of the store; then what is on disk is as it was, an answer that took a guess was none, and no door
    /// was closed.
    pub fn append(&mut self) -> Result<(), store::Error> {
        let done = self.records.append();
        let fresh = std::mem::take(&mut self.fresh);
        let (closing, ending) = (std::mem::take(&mut self.closing), std::mem::take(&mut self.ending));
        if done.is_err() {
            for key in fresh {
                if let Some(knock) = self.knocks.get_mut(&key) {
                    (knock.begun, knock.answers) = (false, 0);
                }
            }
            return done;
        }
        for (door, device) in ending {
            self.forget(&door, &device);
        }
        for door in closing {
            self.over(&door);
        }
        Ok(())
    }

    /// Whether a knock of that account has room at that door. Where it is full there, or everywhere, the oldest knock
    /// goes of the account with the most, if that is more than this one then has. Whose it was hears nothing: its
    /// client knocks again in time, and with its next connection.
    fn make_room(&mut self, door: &DoorId, name: &AccountName) -> bool {
        let full_there = self.at(door).count() >= KNOCKS_MAX;
        if !full_there && self.knocks.len() < KNOCKS_IN_ALL {
            return true;
        }
        let knocks: Vec<_> = self.knocks.iter().filter(|((at, _), _)| !full_there || at == door).collect();
        let mut counts = BTreeMap::<&AccountName, usize>::new();
        for (_, knock) in &knocks {
            *counts.entry(&knock.name).or_default() += 1;
        }
        let own = counts.get(name).copied().unwrap_or(0);
        // One that a member has answered goes on.
        let spare = knocks.into_iter().filter(|(_, knock)| !knock.begun && counts[&knock.name] > own + 1);
        let goes = spare.min_by_key(|(_, knock)| (Reverse(counts[&knock.name]), knock.number));
        let Some(&(door, device)) = goes.map(|(key, _)| key) else { return false };
        self.forget(&door, &device);
        true
    }

    /// Gives the knocks that nobody has to who watches, one after the other.
    fn hand_out(&mut self, door: &DoorId, mono: Millis) -> Vec<Notice> {
        let watchers = self.watchers.get(door).map(Vec::as_slice).unwrap_or_default();
        let mut notices = Vec::new();
        if watchers.is_empty() {
            return notices;
        }
        let range = (*door, DeviceId([0; 16]))..=(*door, DeviceId([0xff; 16]));
        for (key, knock) in self.knocks.range_mut(range) {
            if knock.with.is_none() && !self.ending.contains(key) {
                let conn = watchers[knock.number.0 as usize % watchers.len()];
                knock.with = Some((conn, mono));
                notices.push(Notice::Knocked(conn, knock.told(*door, key.1)));
                notices.push(Notice::Heard(key.1, *door, true));
            }
        }
        notices
    }

    fn at(&self, door: &DoorId) -> impl Iterator<Item = (DeviceId, &Knock)> {
        let range = (*door, DeviceId([0; 16]))..=(*door, DeviceId([0xff; 16]));
        self.knocks.range(range).map(|((_, device), knock)| (*device, knock))
    }

    fn forget(&mut self, door: &DoorId, device: &DeviceId) {
        let key = (*door, *device);
        if let Some(knock) = self.knocks.remove(&key) {
            self.numbers.remove(&knock.number);
            self.fresh.remove(&key);
            self.ending.remove(&key);
        }
    }

    /// Nobody watches a door any more, or knocks there.
    fn over(&mut self, door: &DoorId) {
        for conn in self.watchers.remove(door).unwrap_or_default() {
            self.unwatch(conn, door);
        }
        for device in self.at(door).map(|(device, _)| device).collect::<Vec<_>>() {
            self.forget(door, &device);
        }
    }

    fn unwatch(&mut self, conn: Conn, door: &DoorId) {
        if let Some(watchers) = self.watchers.get_mut(door) {
            watchers.retain(|watcher| *watcher != conn);
            if watchers.is_empty() {
                self.watchers.remove(door);
            }
        }
        if let Some(watched) = self.watched.get_mut(&conn) {
            watched.remove(door);
            if watched.is_empty() {
                self.watched.remove(&conn);
            }
        }
    }

    fn kept(&self, door: &DoorId) -> Result<Option<Kept>, store::Error> {
        let bytes = self.records.get(DOORS, &door.0)?;
        bytes.map(|bytes| decode(&bytes, DOORS.name)).transpose()
    }

    fn keep(&mut self, door: &DoorId, kept: &Kept) {
        self.records.put(DOORS, &door.0, encode(kept));
    }

    fn begun(&self, name: &AccountName) -> Result<u32, store::Error> {
        let bytes = self.records.get(BEGUN, name.as_str().as_bytes())?;
        bytes.map_or(Ok(0), |bytes| decode(&bytes, BEGUN.name))
    }

    fn one_less(&mut self, name: &AccountName) -> Result<(), store::Error> {
        match self.begun(name)?.saturating_sub(1) {
            0 => self.records.delete(BEGUN, name.as_str().as_bytes()),
            left => self.records.put(BEGUN, name.as_str().as_bytes(), encode(&left)),
        }
        Ok(())
    }
}

/// Counts a message of a knock, one way.
fn one_more(messages: &mut u32) -> Result<(), Refusal> {
    if *messages >= MESSAGES_MAX {
        return Err(Refusal::RateLimited { retry_ms: PATIENCE_MS as u32 });
    }
    *messages += 1;
    Ok(())
}

impl Knock {
    fn told(&self, door: DoorId, from: DeviceId) -> Knocked {
        let (name, bytes) = (self.name.clone(), self.bytes.clone());
        Knocked { knock: self.number, door, from, name, since: self.came.wall, bytes }
    }
}

impl Kept {
    /// For how many milliseconds no guess may be taken.
    fn held(&self, wall: Millis) -> Option<u32> {
        let recent: Vec<_> = self.guesses.iter().filter(|at| counts(**at, wall)).collect();
        if recent.len() < GUESSES_MAX {
            return None;
        }
        let over = recent.into_iter().min().map_or(0, |oldest| oldest.0 + GUESSES_MS);
        Some(over.saturating_sub(wall.0) as u32)
    }
}

/// Whether a guess was within the hour. One that lies further ahead than that was dated by a clock that is set back
/// by now.
fn counts(guess: Millis, wall: Millis) -> bool {
    wall.0.abs_diff(guess.0) < GUESSES_MS
}
