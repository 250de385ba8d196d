//! Records whose commits go to a journal first, and from there to a [`Sled`] in larger pieces.
//!
//! A commit is one frame appended to a file and one fsync; [`Kv::append`] leaves the fsync to whoever comes
//! next, and no frame is written before the one in front of it is synced. What it wrote stays in memory too,
//! over the store, until the file is full; then the other file takes over, and a thread brings what the full
//! one holds into the store. What is written and removed again before that never reaches the store at all.
//!
//! | file | what it holds |
//! |---|---|
//! | `journal-a`, `journal-b` | frames (see [`journal`]), each file in turn |
//! | `journal-end` | the number of the last frame that was synced; written after each sync, and not synced itself |
//! | the store's proof | the number of the last frame that is in the store for certain, the journal's mark, and the number of the last frame when it was closed |
//!
//! A file is written over only when all of it is in the store, synced. So after a crash at any moment all
//! frames above that number are there, in order; a gap is damage, and is told. So is an end that is cut away:
//! `journal-end` and, once it was closed, the store's proof say how far the journal went. Only after a power
//! cut may the former be older than the journal; an end that was cut away then looks like a commit that was
//! cut off. Frames are brought into the store again from the first on when that was cut off: writing the same
//! twice changes nothing.

mod end;
mod found;

use self::end::End;
use self::found::{Found, note};
use super::journal::{self, Mark};
use super::sled::{Migration, Settings, Sled, joined, range};
use super::{Error, Kv, Order, Rows, Table, Write, files, removes};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::{self, JoinHandle};

/// Records in one folder, with a journal before them.
pub struct Journaled {
    shared: Arc<Shared>,
    journal: Mutex<Journal>,
    cut_off: bool,
    /// Brings full files into the store; begins with the first commit.
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread needs too.
struct Shared {
    dir: PathBuf,
    under: Sled,
    reserve_bytes: u64,
    full_bytes: usize,
    mark: Mark,
    layers: RwLock<Layers>,
    work: Mutex<Work>,
    turn: Condvar,
}

/// What lies over the store; the first layer that has a key says what it holds.
#[derive(Default)]
struct Layers {
    /// Of the file that is written.
    active: Layer,
    /// Of the one that is on its way into the store.
    full: Arc<Layer>,
}

/// Whole keys; `None` is removed.
type Layer = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Where the next frame goes.
struct Journal {
    /// Not there before the first commit ever.
    files: Option<[File; 2]>,
    /// Not there before the first commit of this run.
    end: Option<End>,
    current: usize,
    at: usize,
    next: u64,
    /// The first number of this run.
    first: u64,
    /// The last frame was written, and is not synced yet for all that is known.
    unsynced: bool,
    /// Set by a sync that failed: what is on disk is not known until it is read again.
    broken: bool,
}

/// How far the thread is.
#[derive(Default)]
struct Work {
    /// The last frame of the full layer, as long as not all of it is in the store.
    last: Option<u64>,
    /// The last frame that is in the store.
    applied: u64,
    /// There was no room for it; tried again when that is taken away.
    no_room: bool,
    /// It cannot go on.
    failed: Option<String>,
    stop: bool,
}

/// The journal's two files, beside those of the store.
pub const FILES: [&str; 2] = ["journal-a", "journal-b"];

/// From that length on a file is full, in bytes. What two of them hold is in memory, and is read at a start.
pub const FULL_BYTES: usize = 8 << 20;

/// Rows brought into the store in one go; whoever reads waits for no more than these.
const PIECE: usize = 64;

/// How many times as much room as a file takes bringing it into the store may need: sled writes a record up
/// to three times.
const ROOM: u64 = 4;

impl Journaled {
    /// Opens the store in a folder, or makes one where there is nothing. The journal is written with the
    /// first commit; `mark` is random, for one that begins, and `full_bytes` is [`FULL_BYTES`].
    ///
    /// # Errors
    /// Those of [`Sled::open`]; [`Error::Damaged`] too when records are missing between the journal and
    /// the store.
    pub fn open(dir: &Path, settings: Settings, mark: Mark, full_bytes: usize) -> Result<Self, Error> {
        let under = Sled::open(dir, settings)?;
        let found = Found::read(dir, &under.note()?, mark)?;
        let shared = Shared {
            dir: dir.to_path_buf(),
            under,
            reserve_bytes: settings.reserve_bytes,
            full_bytes,
            mark: found.mark,
            layers: RwLock::new(Layers { active: found.active, full: Arc::new(found.full) }),
            work: Mutex::new(Work { last: found.full_last, applied: found.applied, ..Work::default() }),
            turn: Condvar::new(),
        };
        let journal = Journal {
            files: found.files,
            end: None,
            current: found.current,
            at: found.at,
            next: found.next,
            first: found.next,
            // A process that was killed may have left its last frame to the system's memory alone. Every one before
            // that was synced before it was written, those of the other file too.
            unsynced: found.next > 1,
            broken: false,
        };
        let cut_off = found.cut_off;
        Ok(Self { shared: Arc::new(shared), journal: Mutex::new(journal), cut_off, thread: Mutex::default() })
    }

    /// Whether the last commit before this was cut off: nothing of it is here, and nobody was told that
    /// it is.
    pub fn was_cut_off(&self) -> bool {
        self.cut_off
    }

    /// The schema of what is on disk.
    pub fn schema(&self) -> u32 {
        self.shared.under.schema()
    }

    /// Brings the records up to the newest schema, as [`Sled::migrate`].
    ///
    /// # Errors
    /// Those of the steps.
    pub fn migrate(&self, steps: &[Migration]) -> Result<(), Error> {
        self.shared.under.migrate(self, steps)
    }

    /// Makes the journal's files, or the thread, if they are missing.
    fn begin(&self, journal: &mut Journal) -> Result<(), Error> {
        if journal.files.is_none() {
            let dir = &self.shared.dir;
            let files =
                [files::open_or_create(&dir.join(FILES[0]))?, files::open_or_create(&dir.join(FILES[1]))?];
            files::sync_folder(dir)?;
            // From here on the files must be there, and a store of the same mark is beside them.
            self.shared.under.apply_noted([].into_iter(), Some(&note(0, self.shared.mark, 0)))?;
            self.shared.under.sync()?;
            journal.files = Some(files);
        }
        if journal.end.is_none() {
            journal.end = Some(End::open(&self.shared.dir, self.shared.mark)?);
        }
        let mut thread = lock(&self.thread);
        if thread.is_none() {
            let shared = self.shared.clone();
            let begun = thread::Builder::new().name("journal".into()).spawn(move || shared.brings())?;
            *thread = Some(begun);
        }
        Ok(())
    }

    /// Notes how far the journal goes, if it went further since it was opened.
    fn close(&self) {
        let (mut journal, applied) = (lock(&self.journal), lock(&self.shared.work).applied);
        let there = journal.next - 1;
        if journal.broken || journal.next == journal.first || journal.sync().is_err() {
            return;
        }
        let note = note(applied, self.shared.mark, there);
        let noted = self.shared.under.apply_noted([].into_iter(), Some(&note));
        // Without it the end of the journal is taken for what it holds, as after a crash.
        let _ = noted.and_then(|()| self.shared.under.sync());
    }

    /// Hands the full file over to the thread and goes on in the other, once that is free.
    fn turn_over(&self, journal: &mut Journal) -> Result<(), Error> {
        let mut work = lock(&self.shared.work);
        while work.last.is_some() {
            work.check()?;
            if std::mem::take(&mut work.no_room) {
                self.shared.turn.notify_all();
                return Err(Error::Full);
            }
            work = self.shared.turn.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
        let other = 1 - journal.current;
        if let Some(files) = &journal.files
            && files[other].metadata()?.len() > 2 * self.shared.full_bytes as u64
        {
            // All of it is in the store.
            files[other].set_len(self.shared.full_bytes as u64).map_err(files::refused)?;
        }
        (journal.current, journal.at) = (other, 0);
        let mut layers = self.shared.change();
        layers.full = Arc::new(std::mem::take(&mut layers.active));
        drop(layers);
        work.last = Some(journal.next - 1);
        self.shared.turn.notify_all();
        Ok(())
    }
}

impl Kv for Journaled {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let layers = self.shared.layers();
        let whole = joined(table, key);
        match layers.active.get(&whole).or_else(|| layers.full.get(&whole)) {
            Some(value) => Ok(value.clone()),
            None => self.shared.under.get(table, key),
        }
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Rows, Error> {
        let Some(range) = range(table, from, to) else { return Ok(Rows::new()) };
        let layers = self.shared.layers();
        let (active, full) = (layers.active.range(range.clone()), layers.full.range(range.clone()));
        let under = self.shared.under.range(range);
        match order {
            Order::Forward => merged(active, full, under, |a, b| a < b, limit),
            Order::Backward => merged(active.rev(), full.rev(), under.rev(), |a, b| a > b, limit),
        }
    }

    fn commit(&self, writes: &[Write]) -> Result<(), Error> {
        if writes.is_empty() {
            return Ok(());
        }
        self.write(writes)?.sync()
    }

    fn append(&self, writes: &[Write]) -> Result<(), Error> {
        if writes.is_empty() {
            return Ok(());
        }
        self.write(writes).map(|_| ())
    }

    fn sync(&self) -> Result<(), Error> {
        let mut journal = lock(&self.journal);
        journal.whole()?;
        journal.sync()
    }
}

impl Journaled {
    /// Writes a frame, and what is in it over the store.
    fn write(&self, writes: &[Write]) -> Result<MutexGuard<'_, Journal>, Error> {
        // What removes may go further: it is how a full disk gets room again.
        let reserve = if removes(writes) { self.shared.reserve_bytes / 2 } else { self.shared.reserve_bytes };
        files::require_space(&self.shared.dir, reserve)?;
        let mut journal = lock(&self.journal);
        lock(&self.shared.work).check()?;
        journal.whole()?;
        self.begin(&mut journal)?;
        // Behind a frame that a power cut may still take away there must be none.
        journal.sync()?;
        if journal.at >= self.shared.full_bytes {
            self.turn_over(&mut journal)?;
        }
        let frame = journal::encode(self.shared.mark, journal.next, writes);
        let frame = frame.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        journal.append(&frame)?;
        let mut layers = self.shared.change();
        for write in writes {
            match write {
                Write::Put(table, key, value) => {
                    layers.active.insert(joined(*table, key), Some(value.to_vec()))
                }
                Write::Delete(table, key) => layers.active.insert(joined(*table, key), None),
            };
        }
        drop(layers);
        Ok(journal)
    }
}

impl Drop for Journaled {
    fn drop(&mut self) {
        lock(&self.shared.work).stop = true;
        self.shared.turn.notify_all();
        if let Some(thread) = lock(&self.thread).take() {
            // It holds the store open. What it was about to bring is in the journal.
            let _ = thread.join();
        }
        self.close();
    }
}

impl Journal {
    fn append(&mut self, frame: &[u8]) -> Result<(), Error> {
        let Some(files) = &mut self.files else { return Ok(()) };
        let file = &mut files[self.current];
        // A frame of which not the last byte is there does not verify, and the next is written over it.
        let written = file.seek(SeekFrom::Start(self.at as u64)).and_then(|_| file.write_all(frame));
        written.map_err(files::refused)?;
        self.at = journal::aligned(self.at + frame.len());
        self.next += 1;
        self.unsynced = true;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        let Some(files) = self.files.as_ref().filter(|_| self.unsynced) else { return Ok(()) };
        if let Err(error) = files[self.current].sync_data() {
            self.broken = true;
            return Err(io::Error::other(format!("the journal cannot be synced: {error}")).into());
        }
        self.unsynced = false;
        if let Some(end) = &mut self.end {
            end.write(self.next - 1);
        }
        Ok(())
    }

    fn whole(&self) -> Result<(), Error> {
        if self.broken {
            return Err(io::Error::other("an earlier write failed; the store must be opened again").into());
        }
        Ok(())
    }
}

impl Work {
    fn check(&self) -> Result<(), Error> {
        match &self.failed {
            Some(why) => Err(io::Error::other(why.clone()).into()),
            None => Ok(()),
        }
    }
}

impl Shared {
    /// The thread: brings each full layer into the store, one after the other.
    fn brings(&self) {
        loop {
            let mut work = lock(&self.work);
            let last = loop {
                match work.last {
                    _ if work.stop => return,
                    Some(last) if !work.no_room => break last,
                    _ => work = self.turn.wait(work).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(work);
            let full = self.layers().full.clone();
            let brought = self.bring(&full, last);
            let mut work = lock(&self.work);
            match brought {
                Ok(true) => {
                    self.change().full = Arc::default();
                    work.last = None;
                    work.applied = last;
                }
                Ok(false) => return,
                Err(Error::Full) => work.no_room = true,
                Err(error) => work.failed = Some(error.to_string()),
            }
            let over = work.failed.is_some();
            drop(work);
            self.turn.notify_all();
            if over {
                return;
            }
        }
    }

    /// Brings a layer into the store, durably; false when it was told to stop before its end.
    fn bring(&self, full: &Layer, last: u64) -> Result<bool, Error> {
        // The last commit of a file may have been a large one.
        let sizes = full.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len));
        let bytes = self.full_bytes.max(sizes.sum());
        let room = if self.reserve_bytes > 0 { ROOM * bytes as u64 } else { 0 };
        files::require_space(&self.dir, room)?;
        let mut rows = full.iter().peekable();
        loop {
            if lock(&self.work).stop {
                return Ok(false);
            }
            let mut piece: Vec<_> = rows.by_ref().take(PIECE).collect();
            // What came and went within the journal was never there: removing it would cost a write all the same.
            for (key, value) in std::mem::take(&mut piece) {
                if value.is_some() || self.under.has(key)? {
                    piece.push((key, value));
                }
            }
            let end = rows.peek().is_none();
            // In one with the last rows: what the note says is there.
            let note = end.then(|| note(last, self.mark, last));
            self.under.apply_noted(piece.into_iter(), note.as_deref())?;
            if end {
                break;
            }
        }
        self.under.sync()?;
        Ok(true)
    }

    fn layers(&self) -> RwLockReadGuard<'_, Layers> {
        self.layers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Layers> {
        self.layers.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rows of both layers and the store in order, the newer ones hiding the older.
fn merged<'a>(
    active: impl Iterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>,
    full: impl Iterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>,
    under: impl Iterator<Item = Result<(::sled::IVec, ::sled::IVec), Error>>,
    before: fn(&[u8], &[u8]) -> bool,
    limit: usize,
) -> Result<Rows, Error> {
    let (mut active, mut full, mut under) = (active.peekable(), full.peekable(), under.peekable());
    let mut rows = Rows::new();
    while rows.len() < limit {
        if let Some(Err(error)) = under.next_if(|row| row.is_err()) {
            return Err(error);
        }
        let keys = [
            active.peek().map(|(key, _)| key.as_slice()),
            full.peek().map(|(key, _)| key.as_slice()),
            under.peek().and_then(|row| row.as_ref().ok()).map(|(key, _)| key.as_ref()),
        ];
        let first = keys.into_iter().flatten().reduce(|a, b| if before(b, a) { b } else { a });
        let Some(key) = first.map(<[u8]>::to_vec) else { break };
        let newest = active.next_if(|(next, _)| **next == key).map(|(_, value)| value.clone());
        let older = full.next_if(|(next, _)| **next == key).map(|(_, value)| value.clone());
        let stored = under.next_if(|row| row.as_ref().is_ok_and(|(next, _)| next.as_ref() == key.as_slice()));
        let stored = stored.and_then(Result::ok).map(|(_, value)| Some(value.to_vec()));
        if let Some(value) = newest.or(older).or(stored).flatten() {
            rows.push((key[1..].to_vec(), value));
        }
    }
    Ok(rows)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
