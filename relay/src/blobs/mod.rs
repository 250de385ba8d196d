//! Sealed files that people left for each other: an index in the store, the bytes in files of their own.
//!
//! The index says who began a blob, how long it is and how much of it counts; it is written after the
//! bytes that it counts are synced, so what it says holds after a power loss. Only the account that
//! began a blob may go on with it or delete it; whoever knows its id may read it, so there is no list
//! of readers and nothing to count: a blob goes when its owner deletes it or when its time is over.

mod audit;
mod open;
mod place;
mod stream;
mod transfer;

pub(crate) use audit::{FOLDER, audit, file, listed, stored, unlisted};
pub(crate) use place::RESERVE;
pub use place::{Memory, Place};
pub(crate) use stream::serve;
pub use transfer::{Download, Upload};

use crate::accounts::{decode, encode};
use crate::ages::Ages;
use crate::config::Limits;
use crate::limits::{Buckets, Wait, network};
use crate::metrics::{Count, Metrics};
use crate::relay::Conn;
use open::Opened;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use subrosa_shared::id::{AccountName, DeviceId};
use subrosa_shared::protocol::blob::{BlobId, Refusal};
use subrosa_shared::store::{self, Batch, Kv, Order, Table, Write};
use subrosa_shared::time::{Millis, Now};
use tokio::sync::watch;

/// Blob id → [`Entry`].
const FILES: Table = Table { byte: b'f', name: "blobs: id → Entry" };

/// The least that a blob takes of its account's share: an entry and a file are not free.
const LEAST: u64 = 4096;
/// Entries that are looked at in one piece of a sweep.
const PAGE: usize = 64;
const HOUR_MS: u64 = 3_600_000;
/// When too many transfers are open.
const BUSY: Refusal = Refusal::RateLimited { retry_ms: 1000 };

/// What the index says of a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    owner: AccountName,
    size: u64,
    /// Synced, from the start.
    stored: u64,
    /// When it was begun, and once it is complete, when that was.
    since: Millis,
    /// When bytes last came.
    touched: Millis,
}

/// All blobs; shared by the relay and the connections.
pub struct Blobs {
    /// `None` once the relay has ended: then nothing holds its store open.
    kv: RwLock<Option<Arc<dyn Kv>>>,
    place: Place,
    limits: RwLock<Limits>,
    metrics: Arc<Metrics>,
    /// Held by whoever looks at an entry and then changes it. The state is locked within it, never the other way round.
    index: Mutex<()>,
    /// Held by connections before that. So no more than one of them is in the way of the relay itself, whose commits
    /// go through the same journal one by one, and whose sweep needs the index.
    line: Mutex<()>,
    state: Mutex<State>,
    opened: Opened,
}

struct State {
    /// Who is logged in where, and from which network.
    who: HashMap<Conn, (AccountName, DeviceId, IpAddr)>,
    /// Blobs that are being written, or read before they are complete.
    live: HashMap<BlobId, Live>,
    /// Blobs whose bytes are gone, while a full disk keeps their entries: gone for everybody who asks, and tried
    /// again with each sweep. They still take of their accounts' shares.
    bare: HashSet<BlobId>,
    /// What each account takes of its share, and all together.
    used: HashMap<AccountName, u64>,
    total: u64,
    /// What all that are not complete still lack, in bytes: the disk has to have room for that too.
    owed: u64,
    /// How many there are.
    files: u64,
    requests: Buckets<DeviceId>,
    up: Buckets<AccountName>,
    down: Buckets<DeviceId>,
    turns: u64,
}

struct Live {
    progress: watch::Sender<Progress>,
    /// Which upload may go on.
    turn: u64,
}

/// How far a blob is, for who reads along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Stored(u64),
    Gone,
}

impl Blobs {
    /// Reads the index, and drops what a crash left: bytes without an entry, entries without their bytes.
    ///
    /// # Errors
    /// Those of the store and of the folder.
    pub fn load(
        kv: Arc<dyn Kv>,
        place: Place,
        limits: &Limits,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, store::Error> {
        place.prepare()?;
        let mut state = State::new(limits);
        let (mut known, mut lost) = (HashSet::new(), Vec::new());
        for (key, value) in kv.scan(FILES, &[], &[], Order::Forward, usize::MAX)? {
            let (id, entry) = (id_of(&key)?, decode::<Entry>(&value, FILES.name)?);
            if entry.stored > 0 && place.length(id).is_none_or(|length| length < entry.stored) {
                tracing::error!(?id, "the bytes of a file are missing");
                lost.push((id, entry));
                continue;
            }
            known.insert(id);
            state.reserve(&entry);
        }
        for id in place.list()?.into_iter().filter(|id| !known.contains(id)) {
            place.remove(id)?;
        }
        if !lost.is_empty() {
            match kv.commit(&deletes(&lost)) {
                // A relay on a full disk starts all the same.
                Err(store::Error::Full) => {
                    for (id, entry) in lost {
                        state.reserve(&entry);
                        state.bare.insert(id);
                    }
                }
                done => done?,
            }
        }
        Ok(Arc::new(Self {
            kv: RwLock::new(Some(kv)),
            place,
            limits: RwLock::new(limits.clone()),
            metrics,
            index: Mutex::default(),
            line: Mutex::default(),
            state: Mutex::new(state),
            opened: Opened::default(),
        }))
    }

    pub(crate) fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// Lets go of the store; nothing is taken or given out any more.
    pub(crate) fn close(&self) {
        *self.kv.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Work on the store, which stays open as long as it takes.
    fn with_kv<T>(&self, work: impl FnOnce(&dyn Kv) -> Result<T, store::Error>) -> Result<T, store::Error> {
        match &*self.kv.read().unwrap_or_else(PoisonError::into_inner) {
            Some(kv) => work(&**kv),
            None => Err(io::Error::other("the relay has ended").into()),
        }
    }

    /// A device logged in on a connection.
    pub(crate) fn login(&self, conn: Conn, from: IpAddr, name: &AccountName, device: DeviceId) {
        self.state().who.insert(conn, (name.clone(), device, network(from)));
    }

    /// A connection is gone, or its login.
    pub(crate) fn gone(&self, conn: Conn) {
        self.state().who.remove(&conn);
    }

    /// Bytes of all blobs that are promised a place.
    pub fn total(&self) -> u64 {
        self.state().total
    }

    /// How many blobs there are, those that are not complete too.
    pub fn count(&self) -> u64 {
        self.state().files
    }

    /// Whether what is counted of blobs is what their index says.
    ///
    /// # Errors
    /// Those of the store.
    pub fn adds_up(&self) -> Result<bool, store::Error> {
        let _alone = self.alone();
        let mut anew = State::new(&self.limits());
        for (_, value) in self.with_kv(|kv| kv.scan(FILES, &[], &[], Order::Forward, usize::MAX))? {
            anew.reserve(&decode::<Entry>(&value, FILES.name)?);
        }
        let sums = |state: &State| (state.total, state.owed, state.files);
        let state = self.state();
        Ok(sums(&state) == sums(&anew) && state.used == anew.used)
    }

    /// Begins a blob, or goes on with it.
    ///
    /// # Errors
    /// [`Refusal`]; then nothing has changed.
    pub fn put(self: &Arc<Self>, conn: Conn, id: BlobId, size: u64, now: Now) -> Result<Upload, Refusal> {
        let (owner, _, network) = self.asker(conn, now)?;
        let limits = self.limits();
        if size == 0 {
            return Err(self.refused(Refusal::Malformed));
        }
        if size > limits.file_bytes {
            return Err(self.refused(Refusal::TooLarge { max: limits.file_bytes }));
        }
        let open = self.opened.begin(&owner, network).ok_or_else(|| self.refused(BUSY))?;
        let _alone = self.alone();
        let (entry, begins) = match self.entry(id)? {
            Some(_) if self.is_bare(id) => return Err(self.refused(Refusal::StorageFull)),
            Some(entry) if entry.owner != owner || entry.size != size => {
                return Err(self.refused(Refusal::NotAllowed));
            }
            Some(entry) => (entry, false),
            None => (Entry { owner, size, stored: 0, since: now.wall, touched: now.wall }, true),
        };
        let owed = self.state().owed;
        if begins && !self.place.has_room(size.saturating_add(owed)) {
            return Err(self.refused(Refusal::StorageFull));
        }
        let (turn, stored) = {
            let mut state = self.state();
            if begins {
                let charge = charge(&entry);
                let used = state.used.get(&entry.owner).copied().unwrap_or(0);
                if used.saturating_add(charge) > limits.account_file_bytes {
                    drop(state);
                    return Err(self.refused(Refusal::QuotaReached { quota: limits.account_file_bytes }));
                }
                if state.total.saturating_add(charge) > limits.total_file_bytes {
                    drop(state);
                    return Err(self.refused(Refusal::StorageFull));
                }
                state.reserve(&entry);
            }
            state.turns += 1;
            let turn = state.turns;
            let live = state.live.entry(id).or_insert_with(|| Live::new(entry.stored));
            live.turn = turn;
            let stored = *live.progress.borrow();
            (turn, stored)
        };
        // What an upload before this one has synced a moment ago counts.
        let stored = match stored {
            Progress::Stored(stored) if !begins => stored.max(entry.stored),
            Progress::Stored(_) | Progress::Gone => entry.stored,
        };
        let entry = Entry { stored, ..entry };
        if begins {
            // Before its file: a power cut leaves no file that nobody knows.
            self.keep(id, &entry).map_err(|error| {
                let mut state = self.state();
                state.release(&entry);
                state.live.remove(&id);
                drop(state);
                self.fault(&error)
            })?;
            self.metrics.count(Count::FilesBegun);
        }
        let whole = entry.stored == entry.size;
        let writer = if whole { Ok(None) } else { self.place.append(id, entry.stored).map(Some) };
        let writer = writer.map_err(|error| {
            // One that cannot be dropped keeps its place until it is swept.
            if begins && let Err(error) = self.drop_blob(id, entry.clone()) {
                tracing::warn!(%error, "a file that could not be begun stays in the index");
            }
            self.fault(&error.into())
        })?;
        let written = entry.stored;
        Ok(Upload { blobs: self.clone(), id, entry, turn, writer, written, _open: open })
    }

    /// Opens a blob to read it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn get(&self, conn: Conn, id: BlobId, from: u64, now: Now) -> Result<Download, Refusal> {
        let (name, _, network) = self.asker(conn, now)?;
        let open = self.opened.begin(&name, network).ok_or_else(|| self.refused(BUSY))?;
        let entry = self.there(id)?;
        if from > entry.size {
            return Err(self.refused(Refusal::Malformed));
        }
        let progress = {
            let mut state = self.state();
            match state.live.get(&id) {
                Some(live) => live.progress.subscribe(),
                // Its owner may come back and go on.
                None if entry.stored < entry.size => {
                    // Its upload may have ended since the look at it, and then nobody says any more how far it is.
                    let stored = self.entry(id)?.ok_or_else(|| self.refused(Refusal::Gone))?.stored;
                    if stored < entry.size {
                        state.live.retain(|_, live| live.turn > 0 || live.progress.receiver_count() > 0);
                        state.live.entry(id).or_insert_with(|| Live::new(stored)).progress.subscribe()
                    } else {
                        watch::channel(Progress::Stored(stored)).1
                    }
                }
                None => watch::channel(Progress::Stored(entry.stored)).1,
            }
        };
        let reader = match self.place.read(id, from) {
            Ok(reader) => reader,
            Err(error) if error.kind() == io::ErrorKind::NotFound && entry.stored == 0 => {
                return Err(self.refused(Refusal::Gone));
            }
            Err(error) => return Err(self.fault(&error.into())),
        };
        Ok(Download { reader, at: from, size: entry.size, progress, _open: open })
    }

    /// Its size, and how much of it counts.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn stat(&self, conn: Conn, id: BlobId, now: Now) -> Result<(u64, u64), Refusal> {
        self.asker(conn, now)?;
        let entry = self.there(id)?;
        Ok((entry.size, entry.stored))
    }

    /// Frees the disk; nothing happens when there is no such blob.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn delete(&self, conn: Conn, id: BlobId, now: Now) -> Result<(), Refusal> {
        let owner = self.asker(conn, now)?.0;
        let _alone = self.alone();
        match self.entry(id)? {
            None => Ok(()),
            Some(entry) if entry.owner != owner => Err(self.refused(Refusal::NotAllowed)),
            Some(entry) => {
                if !self.is_bare(id) {
                    self.metrics.count(Count::FilesDeleted);
                }
                self.drop_blob(id, entry).map_err(|error| self.fault(&error))
            }
        }
    }

    /// Drops what is out of date, a bounded piece of work after `from`; says where to go on, `None` at the
    /// end.
    ///
    /// # Errors
    /// Those of the store and of the folder.
    pub(crate) fn sweep(&self, ages: &Ages, from: &[u8]) -> Result<Option<Vec<u8>>, store::Error> {
        let rows = self.with_kv(|kv| kv.scan(FILES, from, &[], Order::Forward, PAGE))?;
        let next = rows.last().filter(|_| rows.len() == PAGE).map(|(key, _)| {
            let mut after = key.clone();
            after.push(0);
            after
        });
        let limits = self.limits();
        let mut due = Vec::new();
        for (key, value) in rows {
            let (id, entry) = (id_of(&key)?, decode::<Entry>(&value, FILES.name)?);
            if self.is_bare(id) || entry.overdue(&limits, ages).is_some() {
                due.push(id);
            }
        }
        if due.is_empty() {
            return Ok(next);
        }
        let _index = lock(&self.index);
        let mut over = Vec::new();
        for id in due {
            // Somebody may have gone on with it meanwhile, or deleted it.
            let Some(entry) = self.read(id)? else { continue };
            match entry.overdue(&limits, ages) {
                // Counted when its bytes went.
                _ if self.is_bare(id) => {}
                Some(what) => self.metrics.count(what),
                None => continue,
            }
            over.push((id, entry));
        }
        match self.drop_all(&over) {
            // Their bytes are gone; the entries go with a later sweep.
            Err(store::Error::Full) => Ok(next),
            done => done.map(|()| next),
        }
    }

    /// Takes bytes of an upload from the bucket of its account.
    fn take_up(&self, name: &AccountName, bytes: u64, now: Now) -> Result<(), Wait> {
        self.state().up.take(name, bytes, now.mono)?;
        self.metrics.add(Count::FileBytesUp, bytes);
        Ok(())
    }

    /// Takes bytes of a download from the bucket of its device.
    fn take_down(&self, conn: Conn, bytes: u64, now: Now) -> Result<(), Wait> {
        let mut state = self.state();
        let Some((_, device, _)) = state.who.get(&conn).cloned() else { return Ok(()) };
        state.down.take(&device, bytes, now.mono)?;
        self.metrics.add(Count::FileBytesDown, bytes);
        Ok(())
    }

    /// Who asks; each question has its price.
    fn asker(&self, conn: Conn, now: Now) -> Result<(AccountName, DeviceId, IpAddr), Refusal> {
        let mut state = self.state();
        let who = state.who.get(&conn).cloned();
        let taken = who.as_ref().map(|(_, device, _)| state.requests.take(device, 1, now.mono));
        drop(state);
        match (who, taken) {
            (Some(who), Some(Ok(()))) => Ok(who),
            (_, Some(Err(Wait(retry_ms)))) => Err(self.refused(Refusal::RateLimited { retry_ms })),
            _ => Err(self.refused(Refusal::NotAllowed)),
        }
    }

    /// The index, for a connection that looks at an entry and then changes it: those wait for each other first.
    fn alone(&self) -> (MutexGuard<'_, ()>, MutexGuard<'_, ()>) {
        let line = lock(&self.line);
        (lock(&self.index), line)
    }

    /// For whoever has the index.
    fn drop_blob(&self, id: BlobId, entry: Entry) -> Result<(), store::Error> {
        self.drop_all(&[(id, entry)])
    }

    /// For whoever has the index; one commit for all of them. The bytes go even where a full disk refuses that.
    fn drop_all(&self, all: &[(BlobId, Entry)]) -> Result<(), store::Error> {
        let writes = deletes(all);
        let mut done = self.with_kv(|kv| kv.commit(&writes));
        if matches!(done, Err(store::Error::Full)) {
            // That may make the room that the commit needs. A start drops entries without their bytes.
            self.state().bare.extend(all.iter().map(|(id, _)| *id));
            self.unlink(all)?;
            done = self.with_kv(|kv| kv.commit(&writes));
        }
        done?;
        {
            let mut state = self.state();
            for (id, entry) in all {
                state.release(entry);
                state.bare.remove(id);
            }
        }
        self.unlink(all)?;
        Ok(())
    }

    /// Frees what they take, and tells who writes or reads them. An error of one does not keep the others.
    fn unlink(&self, all: &[(BlobId, Entry)]) -> io::Result<()> {
        let mut done = Ok(());
        for (id, _) in all {
            let live = self.state().live.remove(id);
            if let Some(live) = live {
                live.progress.send_replace(Progress::Gone);
            }
            done = done.and(self.place.remove(*id));
        }
        done
    }

    /// Whether its bytes are gone, and a full disk keeps its entry.
    fn is_bare(&self, id: BlobId) -> bool {
        self.state().bare.contains(&id)
    }

    /// The entry of a blob that somebody asks for.
    fn there(&self, id: BlobId) -> Result<Entry, Refusal> {
        let entry = self.entry(id)?.filter(|_| !self.is_bare(id));
        entry.ok_or_else(|| self.refused(Refusal::Gone))
    }

    fn entry(&self, id: BlobId) -> Result<Option<Entry>, Refusal> {
        self.read(id).map_err(|error| self.fault(&error))
    }

    fn read(&self, id: BlobId) -> Result<Option<Entry>, store::Error> {
        self.with_kv(|kv| {
            let bytes = kv.get(FILES, &id.0)?;
            bytes.map(|bytes| decode(&bytes, FILES.name)).transpose()
        })
    }

    /// For whoever has the index.
    fn keep(&self, id: BlobId, entry: &Entry) -> Result<(), store::Error> {
        let mut batch = Batch::default();
        batch.put(FILES, id.0, encode(entry));
        self.with_kv(|kv| kv.commit(&batch.records))
    }

    fn refused(&self, why: Refusal) -> Refusal {
        self.metrics.count(Count::FilesRefused);
        why
    }

    fn fault(&self, error: &store::Error) -> Refusal {
        self.metrics.count(Count::FilesRefused);
        match error {
            store::Error::Full => Refusal::StorageFull,
            store::Error::Io(error) if full(error) => Refusal::StorageFull,
            error => {
                tracing::error!(%error, "a file cannot be read or written");
                Refusal::Internal
            }
        }
    }

    /// Other bounds from here on; what is here stays.
    pub(crate) fn bound(&self, limits: &Limits) {
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = limits.clone();
        let mut state = self.state();
        state.requests.change(limits.file_requests);
        state.up.change(limits.file_up);
        state.down.change(limits.file_down);
    }

    fn limits(&self) -> Limits {
        self.limits.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Entry {
    /// What its time being over is counted as, if it is.
    fn overdue(&self, limits: &Limits, ages: &Ages) -> Option<Count> {
        let (dated, most, what) = if self.stored == self.size {
            let most = u64::from(limits.file_days) * 24 * HOUR_MS;
            (self.since, most, Count::FilesExpired)
        } else {
            // One of which nothing came only keeps room from others.
            let hours = if self.stored == 0 { limits.half_file_hours.min(1) } else { limits.half_file_hours };
            let most = u64::from(hours) * HOUR_MS;
            (self.touched, most, Count::FilesHalf)
        };
        ages.is_older(dated, most).then_some(what)
    }

    /// Bytes that it still lacks.
    fn owed(&self) -> u64 {
        self.size.saturating_sub(self.stored)
    }
}

impl State {
    /// Of no blob yet.
    fn new(limits: &Limits) -> Self {
        Self {
            who: HashMap::new(),
            live: HashMap::new(),
            bare: HashSet::new(),
            used: HashMap::new(),
            total: 0,
            owed: 0,
            files: 0,
            requests: Buckets::new(limits.file_requests),
            up: Buckets::new(limits.file_up),
            down: Buckets::new(limits.file_down),
            turns: 0,
        }
    }

    fn reserve(&mut self, entry: &Entry) {
        let charge = charge(entry);
        *self.used.entry(entry.owner.clone()).or_default() += charge;
        self.total += charge;
        self.owed = self.owed.saturating_add(entry.owed());
        self.files += 1;
    }

    fn release(&mut self, entry: &Entry) {
        let charge = charge(entry);
        self.total = self.total.saturating_sub(charge);
        self.owed = self.owed.saturating_sub(entry.owed());
        self.files = self.files.saturating_sub(1);
        if let Some(used) = self.used.get_mut(&entry.owner) {
            *used = used.saturating_sub(charge);
            if *used == 0 {
                self.used.remove(&entry.owner);
            }
        }
    }
}

impl Live {
    fn new(stored: u64) -> Self {
        Self { progress: watch::channel(Progress::Stored(stored)).0, turn: 0 }
    }
}

/// Even after a panic elsewhere: they hold sums and senders, or nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn charge(entry: &Entry) -> u64 {
    entry.size.max(LEAST)
}

/// What takes blobs out of the index.
fn deletes(all: &[(BlobId, Entry)]) -> Vec<Write> {
    let mut batch = Batch::default();
    for (id, _) in all {
        batch.delete(FILES, id.0);
    }
    batch.records
}

fn id_of(key: &[u8]) -> Result<BlobId, store::Error> {
    let damaged = |_| store::Error::Damaged("the index of files has a key that is not ours".into());
    key.try_into().map(BlobId).map_err(damaged)
}

fn full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests;
