//! A store that is watched while the relay runs: how long its commits take, and what they write while a
//! backup is made.

use crate::metrics::Histogram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};
use subrosa_shared::store::{self, Error, Kv, Order, Rows, Table, Write};

/// The store of a running relay.
pub struct Tapped<K: ?Sized = dyn Kv> {
    took: Histogram,
    /// When a commit was last refused because the disk is full, if nothing was kept since.
    full: Mutex<Option<Instant>>,
    /// Something was appended that is not synced yet.
    unsynced: AtomicBool,
    /// Held for writing only to open and close a tap, so that no commit is half inside it.
    tap: RwLock<Option<Arc<Tap>>>,
    kv: K,
}

/// What was written since a tap was opened, in order, for as far as it was not taken yet.
#[derive(Default)]
pub(crate) struct Tap(Mutex<Held>);

#[derive(Default)]
struct Held {
    writes: Vec<Write>,
    bytes: usize,
    /// More was written than is held: whoever reads it has lost some.
    spilled: bool,
}

/// Bytes that a tap holds for a reader that is slower than the relay writes.
const HELD_MAX: usize = 256 << 20;

/// How long a disk that was full is called so without another try.
const FULL_FOR: Duration = Duration::from_secs(60);

impl<K: Kv> Tapped<K> {
    /// Watches a store.
    pub fn new(kv: K) -> Self {
        Self {
            took: Histogram::default(),
            full: Mutex::new(None),
            unsynced: AtomicBool::new(false),
            tap: RwLock::default(),
            kv,
        }
    }
}

impl<K: Kv + ?Sized> Tapped<K> {
    /// How long the disk took for commits.
    pub fn took(&self) -> &Histogram {
        &self.took
    }

    /// Whether a commit was refused because the disk is full and nothing was kept since, and that was within
    /// a minute: while nothing is written nobody knows whether there is room again.
    pub fn is_full(&self, now: Instant) -> bool {
        self.refused().is_some_and(|at| now.saturating_duration_since(at) < FULL_FOR)
    }

    fn refused(&self) -> MutexGuard<'_, Option<Instant>> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what is written from here on; `None` when there is a tap already.
    pub(crate) fn open(&self) -> Option<Arc<Tap>> {
        let mut tap = self.tap.write().unwrap_or_else(PoisonError::into_inner);
        if tap.is_some() {
            return None;
        }
        Some(tap.insert(Arc::default()).clone())
    }

    /// Ends that. What the tap holds then is all up to a moment between two commits.
    pub(crate) fn close(&self) {
        *self.tap.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn tap(&self) -> RwLockReadGuard<'_, Option<Arc<Tap>>> {
        self.tap.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tap {
    /// What came since the last call; `None` when some of it was lost.
    pub(crate) fn take(&self) -> Option<Vec<Write>> {
        let mut held = self.held();
        held.bytes = 0;
        let writes = std::mem::take(&mut held.writes);
        (!held.spilled).then_some(writes)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn keep(&mut self, writes: &[Write]) {
        let length = |write: &Write| match write {
            Write::Put(_, key, value) => key.len() + value.len(),
            Write::Delete(_, key) => key.len(),
        };
        self.bytes += writes.iter().map(length).sum::<usize>();
        if self.spilled || self.bytes > HELD_MAX {
            self.spilled = true;
            self.writes = Vec::new();
        } else {
            self.writes.extend_from_slice(writes);
        }
    }
}

impl<K: Kv + ?Sized> Kv for Tapped<K> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.kv.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Rows, Error> {
        self.kv.scan(table, from, to, order, limit)
    }

    fn commit(&self, writes: &[Write]) -> Result<(), Error> {
        let began = Instant::now();
        let done = self.kept(writes, |kv| kv.commit(writes));
        self.took.add(began.elapsed());
        done
    }

    fn append(&self, writes: &[Write]) -> Result<(), Error> {
        self.kept(writes, |kv| kv.append(writes)).inspect(|()| self.unsynced.store(true, Ordering::Relaxed))
    }

    fn sync(&self) -> Result<(), Error> {
        let (began, waits) = (Instant::now(), self.unsynced.swap(false, Ordering::Relaxed));
        let done = self.kv.sync();
        if waits {
            self.took.add(began.elapsed());
        }
        done
    }
}

impl<K: Kv + ?Sized> Tapped<K> {
    /// Writes, and keeps what was written for whoever makes a backup.
    fn kept(&self, writes: &[Write], write: impl FnOnce(&K) -> Result<(), Error>) -> Result<(), Error> {
        let done = match &*self.tap() {
            None => write(&self.kv),
            Some(tap) => {
                // Held throughout, so that the order here is the order there.
                let mut held = tap.held();
                write(&self.kv).inspect(|()| held.keep(writes))
            }
        };
        match done {
            Err(Error::Full) => *self.refused() = Some(Instant::now()),
            // What only removes has room on a disk where nothing can be kept.
            Ok(()) if !store::removes(writes) => *self.refused() = None,
            _ => {}
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use subrosa_shared::store::Batch;
    use subrosa_shared::store::memory::{Disk, Memory};

    const T: Table = Table { byte: b't', name: "test" };

    fn put(key: u8, value: Vec<u8>) -> Vec<Write> {
        let mut batch = Batch::default();
        batch.put(T, [key], value);
        batch.records
    }

    #[test]
    fn a_disk_is_called_full_for_a_minute_after_it_was() {
        let store = Tapped::new(Disk::default());
        assert!(!store.is_full(Instant::now()));
        store.kv.fill(true);
        assert!(matches!(store.commit(&put(1, vec![1])), Err(Error::Full)));
        assert!(store.is_full(Instant::now()));
        assert!(!store.is_full(Instant::now() + FULL_FOR));
    }

    #[test]
    fn a_disk_that_takes_only_what_removes_is_still_called_full() {
        let store = Tapped::new(Disk::default());
        store.kv.fill(true);
        assert!(matches!(store.commit(&put(1, vec![1])), Err(Error::Full)));
        store.kv.fill(false);
        let mut removal = Batch::default();
        removal.delete(T, [1]);
        removal.put(T, [2], vec![1]);
        store.commit(&removal.records).expect("memory");
        assert!(store.is_full(Instant::now()));
        store.commit(&put(3, vec![1])).expect("memory");
        assert!(!store.is_full(Instant::now()));
    }

    #[test]
    fn a_tap_holds_what_is_written_while_it_is_open_and_says_when_it_lost_some() {
        let store = Tapped::new(Memory::default());
        store.commit(&put(1, vec![1])).expect("memory");
        let tap = store.open().expect("the first");
        assert!(store.open().is_none(), "one at a time");
        store.commit(&put(2, vec![2])).expect("memory");
        store.commit(&put(2, vec![3])).expect("memory");
        assert!(tap.take().expect("all of it") == [put(2, vec![2]), put(2, vec![3])].concat());
        assert!(tap.take().expect("all of it").is_empty());
        store.commit(&put(3, vec![0; HELD_MAX])).expect("memory");
        assert!(tap.take().is_none());
        store.close();
        let tap = store.open().expect("closed");
        assert!(tap.take().expect("all of it").is_empty());
        assert_eq!(store.took().read().0[12], 4);
    }
}
