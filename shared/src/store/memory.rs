//! Records and secrets in memory, for tests.

use super::{Error, Kv, Order, Rows, Secrets, SlotKey, SlotWrite, Slots, Table, Write};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// Records in memory. Durable as long as the value lives.
#[derive(Default)]
pub struct Memory {
    records: Mutex<BTreeMap<(Table, Vec<u8>), Vec<u8>>>,
}

/// Secrets in memory.
#[derive(Default)]
pub struct MemorySlots {
    secrets: Mutex<BTreeMap<SlotKey, Zeroizing<Vec<u8>>>>,
}

impl Kv for Memory {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(held(&self.records).get(&(table, key.to_vec())).cloned())
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Rows, Error> {
        let records = held(&self.records);
        let inside = |key: &Vec<u8>| to.is_empty() || key.as_slice() < to;
        let row = |((_, key), value): (&(Table, Vec<u8>), &Vec<u8>)| (key.clone(), value.clone());
        let next = Table { byte: table.byte, name: table.name };
        let rows =
            records.range((next, from.to_vec())..).take_while(|((t, key), _)| *t == table && inside(key));
        Ok(match order {
            Order::Forward => rows.take(limit).map(row).collect(),
            Order::Backward => {
                let mut rows: Rows = rows.map(row).collect();
                rows.reverse();
                rows.truncate(limit);
                rows
            }
        })
    }

    fn commit(&self, writes: &[Write]) -> Result<(), Error> {
        let mut records = held(&self.records);
        for write in writes {
            match write {
                Write::Put(table, key, value) => {
                    records.insert((*table, key.clone()), value.to_vec());
                }
                Write::Delete(table, key) => {
                    records.remove(&(*table, key.clone()));
                }
            }
        }
        Ok(())
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
        let mut secrets = held(&self.secrets);
        for write in writes {
            match write {
                SlotWrite::Put(_, secret) if secret.len() > super::SLOT_MAX => {
                    return Err(std::io::Error::from(std::io::ErrorKind::InvalidInput).into());
                }
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

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
