//! A relay that goes back in time: what is on its disk at one moment, and a restore of that.

use crate::trouble::RelayDisk;
use crate::world::World;
use std::sync::Arc;
use subrosa_relay::admin::restore;
use subrosa_shared::store::memory::Memory;
use subrosa_shared::store::{Batch, Kv, Order, Table, Write};

/// All records of a relay's disk at one moment.
pub struct Past(Batch);

impl World {
    /// What is on the relay's disk now.
    pub fn relay_backup(&self) -> Past {
        let mut batch = Batch::default();
        for byte in 0..=u8::MAX {
            let table = Table { byte, name: "any" };
            let rows = self.relay_disk.scan(table, &[], &[], Order::Forward, usize::MAX);
            for (key, value) in rows.expect("a memory store reads") {
                batch.put(table, key, value);
            }
        }
        Past(batch)
    }

    /// The relay's disk is lost, the backup restored, and the relay started on it.
    pub fn relay_goes_back(&mut self, to: &Past) {
        self.relay_crashes();
        let disk = RelayDisk::default();
        disk.commit(&to.0.records).expect("a memory store writes");
        restore::settle(&disk, &mut self.rng).expect("a memory store writes");
        self.relay_disk = Arc::new(disk);
        self.start_relay();
    }
}

impl Past {
    /// The same on a disk of its own, changed or not.
    pub fn store(&self) -> Memory {
        let store = Memory::default();
        store.commit(&self.0.records).expect("a memory store writes");
        store
    }

    /// Every record: table, key, value.
    pub fn rows(&self) -> impl Iterator<Item = (Table, &[u8], &[u8])> {
        self.0.records.iter().filter_map(|write| match write {
            Write::Put(table, key, value) => Some((*table, key.as_slice(), value.as_slice())),
            Write::Delete(..) => None,
        })
    }
}
