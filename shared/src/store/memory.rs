//! Records and secrets in memory, for tests.

use super::{Error, Kv, Order, Rows, Secrets, SlotKey, SlotWrite, Slots, Table, Write};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// Records in memory. Durable as long as the value lives.
#[derive(Default)]
pub struct Memory {
    records: Mutex<Records>,
}

/// Records in memory, and what a test wants to be different about them.
#[derive(Default)]
pub struct Ruled<R> {
    records: Memory,
    /// What is different.
    pub rule: R,
}

/// What is different about records in memory; what it does not speak of is as in [`Memory`].
pub trait Rule: Send + Sync {
    /// One record was read, and nobody has it yet.
    fn got(&self) {}

    /// So many rows of a range were read.
    fn scanned(&self, _rows: usize) {}

    /// [`Kv::commit`], and [`Kv::append`].
    ///
    /// # Errors
    /// Those of [`Kv::commit`].
    fn commit(&self, records: &Memory, writes: &[Write]) -> Result<(), Error> {
        records.commit(writes)
    }

    /// [`Kv::sync`].
    ///
    /// # Errors
    /// Those of [`Kv::sync`].
    fn sync(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// Records on a disk that can be full.
pub type Disk = Ruled<Full>;

/// Whether there is room for no commit at all.
#[derive(Default)]
pub struct Full(AtomicBool);

impl Disk {
    /// No more room, or room again.
    pub fn fill(&self, full: bool) {
        self.rule.0.store(full, Ordering::Relaxed);
    }
}

/// Secrets in memory.
#[derive(Default)]
pub struct MemorySlots {
    secrets: Mutex<BTreeMap<SlotKey, Zeroizing<Vec<u8>>>>,
}

/// Secrets as if they lay in a file of that number.
pub struct In(pub Arc<dyn Slots>, pub u8);

impl Kv for Memory {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(held(&self.records).get(&(table.byte, key.to_vec())).cloned())
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Rows, Error> {
        let start = (table.byte, from.to_vec());
        let end = match (to, table.byte.checked_add(1)) {
            ([], Some(next)) => Bound::Excluded((next, Vec::new())),
            ([], None) => Bound::Unbounded,
            (to, _) if to <= from => return Ok(Rows::new()),
            (to, _) => Bound::Excluded((table.byte, to.to_vec())),
        };
        let records = held(&self.records);
        let rows = records.range((Bound::Included(start), end));
        let row = |((_, key), value): (&(u8, Vec<u8>), &Vec<u8>)| (key.clone(), value.clone());
        Ok(match order {
            Order::Forward => rows.take(limit).map(row).collect(),
            Order::Backward => rows.rev().take(limit).map(row).collect(),
        })
    }

    fn commit(&self, writes: &[Write]) -> Result<(), Error> {
        let mut records = held(&self.records);
        for write in writes {
            match write {
                Write::Put(table, key, value) => {
                    records.insert((table.byte, key.clone()), value.to_vec());
                }
                Write::Delete(table, key) => {
                    records.remove(&(table.byte, key.clone()));
                }
            }
        }
        Ok(())
    }
}

impl<R: Rule> Kv for Ruled<R> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let found = self.records.get(table, key);
        self.rule.got();
        found
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Rows, Error> {
        let rows = self.records.scan(table, from, to, order, limit)?;
        self.rule.scanned(rows.len());
        Ok(rows)
    }

    fn commit(&self, writes: &[Write]) -> Result<(), Error> {
        self.rule.commit(&self.records, writes)
    }

    fn sync(&self) -> Result<(), Error> {
        self.rule.sync()
    }
}

impl Rule for Full {
    fn commit(&self, records: &Memory, writes: &[Write]) -> Result<(), Error> {
        if self.0.load(Ordering::Relaxed) { Err(Error::Full) } else { records.commit(writes) }
    }
}

impl Slots for MemorySlots {
    fn get(&self, key: &SlotKey) -> Option<Zeroizing<Vec<u8>>> {
        held(&self.secrets).get(key).cloned()
    }

    fn list(&self, kind: u8) -> Secrets {
        let secrets = held(&self.secrets);
        secrets
            .iter()
            .filter(|(key, _)| key.kind == kind)
            .map(|(key, secret)| (*key, secret.clone()))
            .collect()
    }

    fn apply(&self, writes: &[SlotWrite]) -> Result<(), Error> {
        super::refuse_too_long(writes)?;
        let mut secrets = held(&self.secrets);
        for write in writes {
            match write {
                SlotWrite::Put(key, secret) => {
                    secrets.insert(*key, secret.clone());
                }
                SlotWrite::Erase(key) => {
                    secrets.remove(key);
                }
            }
        }
        Ok(())
    }
}

impl Slots for In {
    fn get(&self, key: &SlotKey) -> Option<Zeroizing<Vec<u8>>> {
        self.0.get(key)
    }

    fn list(&self, kind: u8) -> Secrets {
        self.0.list(kind)
    }

    fn apply(&self, writes: &[SlotWrite]) -> Result<(), Error> {
        self.0.apply(writes)
    }

    fn origin(&self) -> Option<[u8; 16]> {
        Some([self.1; 16])
    }
}

/// By the table's byte alone, as on disk: its name is for people.
type Records = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract;

    #[test]
    fn memory_keeps_the_contract() {
        contract::kv(|| Box::new(Memory::default()));
        contract::kv(|| Box::new(Disk::default()));
        contract::slots(|| Box::new(MemorySlots::default()));
    }
}
