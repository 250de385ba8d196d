//! Records on disk, in sled.
//!
//! One tree; a key is the table's byte and then the record's key. Two things that sled 0.34 does
//! not do by itself are done here: its `flush` survives `kill -9` but not power loss, so what was
//! written is fsynced too; and it can refuse to reopen on a full disk, so writes are refused before.
//!
//! A folder is ours when it holds `subrosa-store`, which also says its schema. It is looked at
//! before sled is, because sled makes and repairs files wherever it is pointed.

use super::{Error, Kv, Order, Rows, Table, Write, files};
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Records in one folder.
pub struct Sled {
    dir: PathBuf,
    db: ::sled::Db,
    /// Only to fsync what sled wrote.
    data: File,
    /// Values that sled put in files of their own and never fsyncs: the length that each had when
    /// it was fsynced here.
    blobs: Mutex<HashMap<OsString, u64>>,
    reserve_bytes: u64,
    schema: AtomicU32,
    /// Set by a write that failed half-way: what is on disk is not known until it is opened again.
    broken: AtomicBool,
}

/// How to open a store.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The schema that this program writes, and the newest that it reads.
    pub schema: u32,
    /// Memory for pages, in bytes.
    pub cache_bytes: u64,
    /// Free space below which nothing is written any more, in bytes; 0 never refuses.
    pub reserve_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { schema: 1, cache_bytes: 16 << 20, reserve_bytes: 64 << 20 }
    }
}

/// One step from a schema to the next.
pub struct Migration {
    /// The schema after it.
    pub to: u32,
    /// Rewrites the records. May run again after a crash, so it must be able to find its own work
    /// half done.
    pub run: fn(&dyn Kv) -> Result<(), Error>,
}

impl Sled {
    /// Opens the store in a folder, or makes one where there is nothing.
    ///
    /// # Errors
    /// [`Error::Foreign`], [`Error::Damaged`], [`Error::Newer`] and [`Error::Locked`]; then nothing
    /// was touched. [`Error::Full`] and [`Error::Io`].
    pub fn open(dir: &Path, settings: Settings) -> Result<Self, Error> {
        let schema = match look(dir)? {
            Found::Nothing => {
                files::create_folder(dir)?;
                files::require_space(dir, settings.reserve_bytes)?;
                files::replace(&dir.join(MARKER), marker(None).as_bytes())?;
                None
            }
            // The first open was cut off before it could take any record.
            Found::HalfMade => {
                files::require_space(dir, settings.reserve_bytes)?;
                remove_half_made(dir)?;
                None
            }
            Found::Store(found) if found > settings.schema => {
                return Err(Error::Newer { found, known: settings.schema });
            }
            Found::Store(found) => {
                look_at_data(dir)?;
                Some(found)
            }
        };
        let db = open_db(dir, settings.cache_bytes)?;
        let data = File::options().read(true).write(true).open(dir.join(DATA)).map_err(files::refused)?;
        let store = Self {
            dir: dir.to_path_buf(),
            db,
            data,
            blobs: Mutex::default(),
            reserve_bytes: settings.reserve_bytes,
            schema: AtomicU32::new(schema.unwrap_or(settings.schema)),
            broken: AtomicBool::new(false),
        };
        match schema {
            None => {
                store.db.insert(PROOF, PROOF_VALUE).map_err(failed)?;
                store.sync()?;
                // sled writes its settings without a sync, and refuses a store where they are not whole.
                File::open(dir.join(CONF)).and_then(|conf| conf.sync_all()).map_err(files::refused)?;
                files::sync_folder(dir)?;
                files::replace(&dir.join(MARKER), marker(Some(settings.schema)).as_bytes())?;
            }
            Some(_) if store.db.get(PROOF).map_err(failed)?.is_none() => {
                return Err(Error::Damaged(format!("{} lost its records", dir.display())));
            }
            Some(_) => {}
        }
        Ok(store)
    }

    /// The schema of what is on disk.
    pub fn schema(&self) -> u32 {
        self.schema.load(Ordering::Acquire)
    }

    /// Brings the records up to the newest schema: runs the steps that are missing, in order, and
    /// writes down each one. `view` is this store as the steps should see it, e.g. unsealed.
    ///
    /// # Errors
    /// Those of the steps; the steps before the failing one are done and stay done.
    pub fn migrate(&self, view: &dyn Kv, steps: &[Migration]) -> Result<(), Error> {
        for step in steps {
            if step.to > self.schema() {
                (step.run)(view)?;
                files::replace(&self.dir.join(MARKER), marker(Some(step.to)).as_bytes())?;
                self.schema.store(step.to, Ordering::Release);
            }
        }
        Ok(())
    }

    /// Applies all writes or none, at once visible to everybody but durable only after the next
    /// [`Sled::sync`]: for who syncs once for many.
    ///
    /// # Errors
    /// [`Error::Full`] and [`Error::Io`]; then none of them is done.
    pub fn apply_unsynced(&self, writes: &[Write]) -> Result<(), Error> {
        if writes.is_empty() {
            return Ok(());
        }
        self.refuse_when_broken()?;
        files::require_space(&self.dir, self.reserve_bytes)?;
        let mut batch = ::sled::Batch::default();
        for write in writes {
            match write {
                Write::Put(table, key, value) => batch.insert(joined(*table, key), value.as_slice()),
                Write::Delete(table, key) => batch.remove(joined(*table, key)),
            }
        }
        self.guarded(|| self.db.apply_batch(batch).map_err(failed))
    }

    /// What [`Sled::apply_noted`] noted last; empty when it never did.
    pub(super) fn note(&self) -> Result<Vec<u8>, Error> {
        let proof = self.db.get(PROOF).map_err(failed)?.unwrap_or_default();
        Ok(proof.strip_prefix(PROOF_VALUE).unwrap_or_default().to_vec())
    }

    /// Like [`Sled::apply_unsynced`], for whole keys (`None` removes), and a note that is set with them.
    /// Whoever calls has looked whether there is room.
    pub(super) fn apply_noted<'a>(
        &self,
        rows: impl Iterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>,
        note: Option<&[u8]>,
    ) -> Result<(), Error> {
        self.refuse_when_broken()?;
        let mut batch = ::sled::Batch::default();
        for (key, value) in rows {
            match value {
                Some(value) => batch.insert(key.as_slice(), value.as_slice()),
                None => batch.remove(key.as_slice()),
            }
        }
        if let Some(note) = note {
            batch.insert(PROOF, [PROOF_VALUE, note].concat());
        }
        self.guarded(|| self.db.apply_batch(batch).map_err(failed))
    }

    /// Whether there is a record with that whole key.
    pub(super) fn has(&self, key: &[u8]) -> Result<bool, Error> {
        self.db.contains_key(key).map_err(failed)
    }

    /// Rows of a range of whole keys.
    pub(super) fn range(
        &self,
        range: Range,
    ) -> impl DoubleEndedIterator<Item = Result<(::sled::IVec, ::sled::IVec), Error>> {
        self.db.range(range).map(|row| row.map_err(failed))
    }

    /// Makes everything that was applied before survive `kill -9` and power loss.
    ///
    /// # Errors
    /// [`Error::Full`] and [`Error::Io`]; then it is not known what survives, and the store takes
    /// no more writes until it is opened again.
    pub fn sync(&self) -> Result<(), Error> {
        self.refuse_when_broken()?;
        self.guarded(|| {
            self.db.flush().map_err(failed)?;
            self.sync_blobs()?;
            self.data.sync_all().map_err(files::refused)
        })
    }

    fn sync_blobs(&self) -> Result<(), Error> {
        let mut synced = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.dir.join("blobs");
        let mut present = HashMap::new();
        let mut grown = false;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            // sled removes the files of dead values whenever it likes.
            let Some(length) = or_gone(entry.metadata())?.map(|metadata| metadata.len()) else { continue };
            if synced.get(&entry.file_name()) != Some(&length) {
                let Some(blob) = or_gone(File::options().write(true).open(entry.path()))? else { continue };
                blob.sync_all().map_err(files::refused)?;
                grown = true;
            }
            present.insert(entry.file_name(), length);
        }
        *synced = present;
        if grown { files::sync_folder(&folder) } else { Ok(()) }
    }

    fn refuse_when_broken(&self) -> Result<(), Error> {
        if self.broken.load(Ordering::Acquire) {
            return Err(io::Error::other("an earlier write failed; the store must be opened again").into());
        }
        Ok(())
    }

    /// sled panics where it does not expect the disk to fail; that must not take the caller along.
    fn guarded(&self, write: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let done = catch_unwind(AssertUnwindSafe(write))
            .unwrap_or_else(|_| Err(io::Error::other("sled gave up on a write").into()));
        if done.is_err() {
            self.broken.store(true, Ordering::Release);
        }
        done
    }
}

impl Kv for Sled {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.db.get(joined(table, key)).map_err(failed)?.map(|value| value.to_vec()))
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Rows, Error> {
        let Some(range) = range(table, from, to) else { return Ok(Rows::new()) };
        let rows = self.range(range);
        let row = |row: Result<(::sled::IVec, ::sled::IVec), Error>| {
            row.map(|(key, value)| (key[1..].to_vec(), value.to_vec()))
        };
        match order {
            Order::Forward => rows.take(limit).map(row).collect(),
            Order::Backward => rows.rev().take(limit).map(row).collect(),
        }
    }

    fn commit(&self, writes: &[Write]) -> Result<(), Error> {
        self.apply_unsynced(writes)?;
        self.sync()
    }
}

enum Found {
    Nothing,
    HalfMade,
    Store(u32),
}

/// What a folder holds, without touching it.
fn look(dir: &Path) -> Result<Found, Error> {
    if files::is_empty_or_absent(dir)? {
        return Ok(Found::Nothing);
    }
    let mut text = String::new();
    match File::open(dir.join(MARKER)).and_then(|file| file.take(MARKER_MAX).read_to_string(&mut text)) {
        Ok(_) => {}
        // The marker is written aside and renamed; that alone is not yet a store.
        Err(error) if error.kind() == io::ErrorKind::NotFound && only_unfinished_marker(dir)? => {
            return Ok(Found::Nothing);
        }
        Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::IsADirectory].contains(&error.kind()) => {
            return Err(Error::Foreign(format!("{} has no file {MARKER}", dir.display())));
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => text.clear(),
        Err(error) => return Err(error.into()),
    }
    let Some(rest) = text.strip_prefix(MAGIC) else {
        return Err(Error::Foreign(format!("{} is not ours", dir.join(MARKER).display())));
    };
    match (rest, rest.strip_prefix("schema ").and_then(|number| number.trim_end().parse().ok())) {
        (_, Some(schema)) => Ok(Found::Store(schema)),
        (UNFINISHED, None) => Ok(Found::HalfMade),
        _ => Err(Error::Damaged(format!("{} names no schema", dir.join(MARKER).display()))),
    }
}

/// Looks whether sled's file can be one, because sled would take a broken one for new and start over.
fn look_at_data(dir: &Path) -> Result<(), Error> {
    let path = dir.join(DATA);
    let damaged = |what: &str| Err(Error::Damaged(format!("{} {what}", path.display())));
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return damaged("is missing"),
        Err(error) => return Err(error.into()),
    };
    let length = file.metadata()?.len();
    let mut at = 0;
    while at + SEGMENT_HEADER as u64 <= length {
        let mut header = [0; SEGMENT_HEADER];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut header)?;
        let (sum, summed) = header.split_at(4);
        if sum == (!crc32(summed)).to_le_bytes() {
            return Ok(());
        }
        at += SEGMENT;
    }
    damaged("holds no segment of sled")
}

fn open_db(dir: &Path, cache_bytes: u64) -> Result<::sled::Db, Error> {
    let config = ::sled::Config::new()
        .path(dir)
        .cache_capacity(cache_bytes)
        .segment_size(SEGMENT as usize)
        .use_compression(false)
        // Who commits flushes; a thread that also does would only hold the folder after a drop.
        .flush_every_ms(None);
    let until = Instant::now() + LETTING_GO;
    loop {
        let opened = match catch_unwind(AssertUnwindSafe(|| config.open())) {
            Ok(opened) => opened.map_err(failed),
            Err(_) => Err(Error::Damaged(format!("sled cannot read {}", dir.display()))),
        };
        match opened {
            // A store that this process has just dropped: sled's own threads hold it a moment longer.
            Err(Error::Locked) if Instant::now() < until => std::thread::sleep(LETTING_GO / 100),
            opened => return opened,
        }
    }
}

/// How long sled's threads may hold a folder after its store was dropped. Seen: a few milliseconds.
const LETTING_GO: Duration = Duration::from_secs(1);

fn remove_half_made(dir: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name == "blobs" {
            fs::remove_dir_all(entry.path())?;
        } else if name == DATA || name == CONF || name.starts_with("snap.") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn only_unfinished_marker(dir: &Path) -> Result<bool, Error> {
    let unfinished = Path::new(MARKER).with_extension("new");
    for entry in fs::read_dir(dir)? {
        if entry?.file_name() != unfinished.as_os_str() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn failed(error: ::sled::Error) -> Error {
    match error {
        // sled has no variant for it.
        ::sled::Error::Io(error) if error.to_string().contains("could not acquire lock") => Error::Locked,
        ::sled::Error::Io(error) => files::refused(error),
        other => Error::Damaged(other.to_string()),
    }
}

fn or_gone<T>(result: io::Result<T>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Of whole keys.
pub(super) type Range = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// A range of a table as one of whole keys; `None` when it is empty.
pub(super) fn range(table: Table, from: &[u8], to: &[u8]) -> Option<Range> {
    let end = match (to, table.byte.checked_add(1)) {
        ([], Some(next)) => Bound::Excluded(vec![next]),
        ([], None) => Bound::Unbounded,
        (to, _) if to <= from => return None,
        (to, _) => Bound::Excluded(joined(table, to)),
    };
    Some((Bound::Included(joined(table, from)), end))
}

/// A record's key in the one tree.
pub(super) fn joined(table: Table, key: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(1 + key.len());
    joined.push(table.byte);
    joined.extend_from_slice(key);
    joined
}

fn marker(schema: Option<u32>) -> String {
    schema.map_or(format!("{MAGIC}{UNFINISHED}"), |schema| format!("{MAGIC}schema {schema}\n"))
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    })
}

pub(super) const MARKER: &str = "subrosa-store";
const MARKER_MAX: u64 = 256;
pub(super) const MAGIC: &str = "subrosa store\n";
const UNFINISHED: &str = "being made\n";
/// sled's own file, its segments (its default) and what each of them begins with.
const DATA: &str = "db";
const CONF: &str = "conf";
const SEGMENT: u64 = 512 * 1024;
const SEGMENT_HEADER: usize = 20;
/// The record that no table can hold: every table's keys begin with its byte.
const PROOF: &[u8] = b"";
const PROOF_VALUE: &[u8] = b"subrosa";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract;
    use zeroize::Zeroizing;

    const TABLE: Table = Table { byte: 5, name: "test" };
    const NO_RESERVE: Settings = Settings { schema: 3, cache_bytes: 1 << 20, reserve_bytes: 0 };

    fn put(key: &[u8], value: &[u8]) -> Write {
        Write::Put(TABLE, key.to_vec(), Zeroizing::new(value.to_vec()))
    }

    fn all_bytes(dir: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                found.extend(all_bytes(&path));
            }
            found.push((path.clone(), fs::read(&path).ok()));
        }
        found.sort();
        found
    }

    fn refused_untouched(dir: &Path, settings: Settings) -> Error {
        let before = all_bytes(dir);
        let error = Sled::open(dir, settings).err().expect("is refused");
        assert!(before == all_bytes(dir), "it was touched: {error}");
        error
    }

    #[test]
    fn sled_keeps_the_contract() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let mut number = 0;
        contract::kv(|| {
            number += 1;
            Box::new(Sled::open(&dir.path().join(number.to_string()), NO_RESERVE).expect("opens"))
        });
        let same = dir.path().join("same");
        contract::kv_reopen(|| Box::new(Sled::open(&same, NO_RESERVE).expect("opens")));
    }

    #[test]
    fn large_values_are_kept_and_synced() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let value = |n: u8| vec![n; 300_000];
        {
            let store = Sled::open(dir.path(), NO_RESERVE).expect("opens");
            (0..8u8).for_each(|n| store.commit(&[put(&[n], &value(n))]).expect("commits"));
            let synced = store.blobs.lock().expect("not poisoned").len();
            assert!(synced > 0, "sled has put them in files of their own, and they were fsynced");
        }
        let store = Sled::open(dir.path(), NO_RESERVE).expect("opens");
        (0..8u8).for_each(|n| assert!(store.get(TABLE, &[n]).expect("reads") == Some(value(n))));
    }

    /// What a process killed at this moment leaves behind. That the files outlive the power as well is
    /// the business of `sync_all`, which no test here can watch.
    #[test]
    fn rule_9_what_commit_acknowledged_is_in_the_files() {
        let (dir, copy) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let store = Sled::open(dir.path(), NO_RESERVE).expect("opens");
        store.commit(&[put(b"a", b"1")]).expect("commits");
        for entry in fs::read_dir(dir.path()).expect("reads") {
            let entry = entry.expect("reads");
            if entry.metadata().expect("reads").is_file() {
                fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("copies");
            }
        }
        let left = Sled::open(copy.path(), NO_RESERVE).expect("opens");
        assert_eq!(left.get(TABLE, b"a").expect("reads"), Some(b"1".to_vec()));
    }

    #[test]
    fn one_sync_serves_many_batches() {
        let dir = tempfile::tempdir().expect("temporary folder");
        {
            let store = Sled::open(dir.path(), NO_RESERVE).expect("opens");
            store.apply_unsynced(&[put(b"a", b"1"), put(b"b", b"1")]).expect("applies");
            store.apply_unsynced(&[put(b"a", b"2")]).expect("applies");
            store.sync().expect("syncs");
        }
        let store = Sled::open(dir.path(), NO_RESERVE).expect("opens");
        let rows = store.scan(TABLE, b"", b"", Order::Forward, 9).expect("scans");
        assert_eq!(rows, [(b"a".to_vec(), b"2".to_vec()), (b"b".to_vec(), b"1".to_vec())]);
    }

    #[test]
    fn a_foreign_folder_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().expect("temporary folder");
        fs::write(dir.path().join("letter.txt"), "dear").expect("written");
        assert!(matches!(refused_untouched(dir.path(), NO_RESERVE), Error::Foreign(_)));
        fs::write(dir.path().join(MARKER), "somebody else's").expect("written");
        assert!(matches!(refused_untouched(dir.path(), NO_RESERVE), Error::Foreign(_)));
        fs::write(dir.path().join(MARKER), [0xff; 9]).expect("written");
        assert!(matches!(refused_untouched(dir.path(), NO_RESERVE), Error::Foreign(_)));
        let file = dir.path().join("letter.txt");
        assert!(matches!(Sled::open(&file, NO_RESERVE), Err(Error::Foreign(_))));
        // A sled folder of another program.
        let other = dir.path().join("other");
        drop(::sled::Config::new().path(&other).flush_every_ms(None).open().expect("opens"));
        assert!(matches!(refused_untouched(&other, NO_RESERVE), Error::Foreign(_)));
    }

    #[test]
    fn a_damaged_store_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let damage = |name: &str, how: fn(&Path)| {
            let dir = dir.path().join(name);
            let store = Sled::open(&dir, NO_RESERVE).expect("opens");
            store.commit(&[put(b"a", b"1")]).expect("commits");
            drop(store);
            how(&dir);
            let error = refused_untouched(&dir, NO_RESERVE);
            assert!(matches!(error, Error::Damaged(_)), "{name}: {error}");
        };
        damage("no data", |dir| fs::remove_file(dir.join(DATA)).expect("removed"));
        damage("empty data", |dir| fs::write(dir.join(DATA), b"").expect("written"));
        damage("garbage", |dir| fs::write(dir.join(DATA), vec![0x5a; 600_000]).expect("written"));
        damage("zeros", |dir| fs::write(dir.join(DATA), vec![0; 600_000]).expect("written"));
        damage("no schema", |dir| fs::write(dir.join(MARKER), "subrosa store\nschema x\n").expect("written"));
    }

    #[test]
    fn a_newer_store_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().expect("temporary folder");
        drop(Sled::open(dir.path(), Settings { schema: 4, ..NO_RESERVE }).expect("opens"));
        let error = refused_untouched(dir.path(), NO_RESERVE);
        assert!(matches!(error, Error::Newer { found: 4, known: 3 }), "{error}");
    }

    #[test]
    fn a_store_is_open_once() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let store = Sled::open(dir.path(), NO_RESERVE).expect("opens");
        assert!(matches!(Sled::open(dir.path(), NO_RESERVE), Err(Error::Locked)));
        store.commit(&[put(b"a", b"1")]).expect("goes on");
        drop(store);
        Sled::open(dir.path(), NO_RESERVE).expect("opens again");
    }

    #[test]
    fn a_full_disk_refuses_and_keeps_all() {
        let dir = tempfile::tempdir().expect("temporary folder");
        drop(Sled::open(dir.path(), NO_RESERVE).expect("opens"));
        {
            let store = Sled::open(dir.path(), NO_RESERVE).expect("opens");
            store.commit(&[put(b"a", b"kept")]).expect("commits");
        }
        let full = Settings { reserve_bytes: u64::MAX, ..NO_RESERVE };
        {
            let store = Sled::open(dir.path(), full).expect("opens, to be read");
            assert!(matches!(store.commit(&[put(b"a", b"lost"), put(b"b", b"")]), Err(Error::Full)));
            assert_eq!(store.get(TABLE, b"a").expect("reads"), Some(b"kept".to_vec()));
            assert_eq!(store.get(TABLE, b"b").expect("reads"), None);
        }
        let store = Sled::open(dir.path(), NO_RESERVE).expect("opens");
        store.commit(&[put(b"b", b"goes on")]).expect("there is room again");
        assert_eq!(store.get(TABLE, b"a").expect("reads"), Some(b"kept".to_vec()));
        assert!(matches!(Sled::open(&dir.path().join("new"), full), Err(Error::Full)));
    }

    #[test]
    fn a_half_made_store_is_made_again() {
        let dir = tempfile::tempdir().expect("temporary folder");
        fs::write(dir.path().join("subrosa-store.new"), "subr").expect("written");
        drop(Sled::open(dir.path(), NO_RESERVE).expect("opens"));
        fs::write(dir.path().join(MARKER), marker(None)).expect("written");
        fs::write(dir.path().join(DATA), [1; 100]).expect("written");
        let store = Sled::open(dir.path(), NO_RESERVE).expect("opens");
        store.commit(&[put(b"a", b"1")]).expect("commits");
        drop(store);
        assert_eq!(Sled::open(dir.path(), NO_RESERVE).expect("opens").schema(), 3);
    }

    #[test]
    fn each_migration_runs_once_and_in_order() {
        fn add(store: &dyn Kv, letter: u8) -> Result<(), Error> {
            let mut word = store.get(TABLE, b"word")?.unwrap_or_default();
            word.push(letter);
            store.commit(&[put(b"word", &word)])
        }
        const STEPS: [Migration; 3] = [
            Migration { to: 2, run: |store| add(store, b'b') },
            Migration { to: 3, run: |store| add(store, b'c') },
            Migration { to: 4, run: |store| add(store, b'd') },
        ];
        let word = |store: &Sled| store.get(TABLE, b"word").expect("reads").expect("there");
        let dir = tempfile::tempdir().expect("temporary folder");
        {
            let store = Sled::open(dir.path(), Settings { schema: 1, ..NO_RESERVE }).expect("opens");
            store.commit(&[put(b"word", b"a")]).expect("commits");
        }
        {
            let store = Sled::open(dir.path(), NO_RESERVE).expect("opens");
            assert_eq!(store.schema(), 1);
            store.migrate(&store, &STEPS[..2]).expect("migrates");
            assert_eq!((word(&store), store.schema()), (b"abc".to_vec(), 3));
            let fails = [Migration { to: 4, run: |_| Err(Error::Full) }];
            assert!(store.migrate(&store, &fails).is_err());
        }
        let store = Sled::open(dir.path(), Settings { schema: 4, ..NO_RESERVE }).expect("opens");
        assert_eq!(store.schema(), 3, "a step that failed is not written down");
        store.migrate(&store, &STEPS).expect("migrates");
        store.migrate(&store, &STEPS).expect("has nothing to do");
        assert_eq!((word(&store), store.schema()), (b"abcd".to_vec(), 4));
    }
}
