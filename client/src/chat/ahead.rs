//! The store as the client already knows it: what is still on its way to the disk can be read.
//!
//! State changes at once, and the disk follows behind a queue. Without this, a line that was shown a
//! moment ago would be missing when older lines are read back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use subrosa_shared::store::{Error, Kv, Order, Rows, Table, Write};
use zeroize::Zeroizing;

/// Records with the writes that are queued laid over them. Each write is staged once, in order, and
/// later committed once, in order.
pub(super) struct Ahead {
    below: Arc<dyn Kv>,
    /// By the table's byte and the key: the newest value (`None` is a deletion), and how many writes
    /// of that record are not committed yet. Bounded by what waits for the disk.
    staged: Mutex<BTreeMap<(u8, Vec<u8>), Staged>>,
}

struct Staged {
    value: Option<Zeroizing<Vec<u8>>>,
    writes: u32,
}

impl Ahead {
    pub(super) fn over(below: Arc<dyn Kv>) -> Self {
        Self { below, staged: Mutex::default() }
    }

    /// These writes will be committed.
    pub(super) fn stage(&self, writes: &[Write]) {
        let mut staged = self.staged();
        for write in writes {
            let (place, value) = match write {
                Write::Put(table, key, value) => ((table.byte, key.clone()), Some(value.clone())),
                Write::Delete(table, key) => ((table.byte, key.clone()), None),
            };
            let record = staged.entry(place).or_insert(Staged { value: None, writes: 0 });
            record.value = value;
            record.writes += 1;
        }
    }

    fn staged(&self) -> MutexGuard<'_, BTreeMap<(u8, Vec<u8>), Staged>> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kv for Ahead {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        if let Some(record) = self.staged().get(&(table.byte, key.to_vec())) {
            return Ok(record.value.as_ref().map(|value| value.to_vec()));
        }
        self.below.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Rows, Error> {
        let mut over: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
        for ((byte, key), record) in self.staged().range((table.byte, from.to_vec())..) {
            if *byte != table.byte || (!to.is_empty() && key.as_slice() >= to) {
                break;
            }
            over.push((key.clone(), record.value.as_ref().map(|value| value.to_vec())));
        }
        // Each staged record hides one stored row at most, so this many rows are enough.
        let stored = self.below.scan(table, from, to, order, limit.saturating_add(over.len()))?;
        if over.is_empty() {
            return Ok(stored);
        }
        let mut rows: BTreeMap<Vec<u8>, Vec<u8>> = stored.into_iter().collect();
        for (key, value) in over {
            match value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(&key),
            };
        }
        Ok(match order {
            Order::Forward => rows.into_iter().take(limit).collect(),
            Order::Backward => rows.into_iter().rev().take(limit).collect(),
        })
    }

    fn commit(&self, writes: &[Write]) -> Result<(), Error> {
        self.below.commit(writes)?;
        let mut staged = self.staged();
        for write in writes {
            let (Write::Put(table, key, _) | Write::Delete(table, key)) = write;
            let place = (table.byte, key.clone());
            if let Some(record) = staged.get_mut(&place) {
                record.writes -= 1;
                if record.writes == 0 {
                    staged.remove(&place);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use subrosa_shared::store::memory::Memory;
    use subrosa_shared::store::{Batch, contract};

    const T: Table = Table { byte: 1, name: "test" };

    #[test]
    fn keeps_the_contract_of_a_store() {
        contract::kv(|| Box::new(Ahead::over(Arc::new(Memory::default()))));
    }

    #[test]
    fn what_waits_for_the_disk_is_read_and_an_older_write_does_not_hide_a_newer_one() {
        let disk = Arc::new(Memory::default());
        let ahead = Ahead::over(disk.clone());
        let put = |key: u8, value: u8| {
            let mut batch = Batch::default();
            batch.put(T, [key], vec![value]);
            batch.records
        };
        ahead.commit(&[put(1, 1), put(3, 3), put(5, 5)].concat()).expect("memory");
        let mut gone = Batch::default();
        gone.delete(T, [3]);
        let queued = [put(4, 7), gone.records, put(4, 8), put(4, 7)];
        for writes in &queued {
            ahead.stage(writes);
        }
        let keys = |order, limit| -> Vec<u8> {
            ahead.scan(T, &[], &[], order, limit).expect("memory").iter().map(|(key, _)| key[0]).collect()
        };
        assert_eq!(keys(Order::Forward, 9), [1, 4, 5]);
        assert_eq!(keys(Order::Backward, 2), [5, 4]);
        assert_eq!(disk.get(T, &[4]).expect("memory"), None, "not there yet");
        for writes in &queued {
            ahead.commit(writes).expect("memory");
            assert_eq!(ahead.get(T, &[4]).expect("memory"), Some(vec![7]), "the newest, at every step");
        }
        assert_eq!(keys(Order::Forward, 9), [1, 4, 5]);
        assert!(ahead.staged().is_empty(), "nothing is kept twice");
    }
}
