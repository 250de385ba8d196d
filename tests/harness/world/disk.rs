//! Records of a person's machine.

use std::sync::atomic::{AtomicBool, Ordering};
use subrosa_shared::store::memory::Memory;
use subrosa_shared::store::{Error, Kv, Order, Rows, Table, Write};

/// Records in memory on a disk that can be full.
#[derive(Default)]
pub(crate) struct Disk {
    pub(super) records: Memory,
    pub(super) full: AtomicBool,
}

impl Kv for Disk {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.records.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Rows, Error> {
        self.records.scan(table, from, to, order, limit)
    }

    fn commit(&self, writes: &[Write]) -> Result<(), Error> {
        if self.full.load(Ordering::Relaxed) {
            return Err(Error::Full);
        }
        self.records.commit(writes)
    }
}
