//! What goes wrong beside the weather: a relay that dies between two writes, machines that are cut off or
//! slow to read.

use crate::world::{Packet, World};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use subrosa::event::{Event, LinkEvent};
use subrosa_shared::store::memory::{Memory, Rule, Ruled};
use subrosa_shared::store::{Error, Kv, Write};
use subrosa_shared::time::Millis;

/// After how long the relay notices that a machine is gone that does not say so, in milliseconds.
const NOTICED: u64 = 10_000;

/// The relay's records.
pub(crate) type RelayDisk = Ruled<Fate>;

/// A count of reads, and a write at which the relay dies.
#[derive(Default)]
pub(crate) struct Fate {
    pub(crate) reads: AtomicU64,
    full: AtomicBool,
    /// One more than the half writes that are left, each with a half before it and one behind it; 0: any
    /// number.
    left: AtomicI64,
    died: AtomicBool,
}

impl Fate {
    /// Whether the relay was killed at a write since this was last asked.
    pub(crate) fn died(&self) -> bool {
        self.died.swap(false, Ordering::Relaxed)
    }

    /// Half a write; true when the relay dies there.
    pub(crate) fn dies_here(&self) -> bool {
        let left = self.left.load(Ordering::Relaxed);
        if left > 0 {
            self.left.store(left - 1, Ordering::Relaxed);
            self.died.fetch_or(left == 1, Ordering::Relaxed);
        }
        left == 1
    }
}

impl Rule for Fate {
    fn got(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    fn scanned(&self, _: usize) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    fn commit(&self, records: &Memory, writes: &[Write]) -> Result<(), Error> {
        if self.full.load(Ordering::Relaxed) || self.died.load(Ordering::Relaxed) {
            return Err(Error::Full);
        }
        if self.dies_here() {
            return Err(Error::Full);
        }
        records.commit(writes)?;
        // What was written stays, and nobody hears of it.
        if self.dies_here() { Err(Error::Full) } else { Ok(()) }
    }
}

impl World {
    /// The relay is killed before (even) or behind (odd) that half of a write from now, of records or of a
    /// file's bytes.
    pub fn relay_crashes_after(&mut self, halves: u32) {
        self.relay_disk.rule.left.store(i64::from(halves) + 1, Ordering::Relaxed);
    }

    /// The relay that dies at a write lives on.
    pub fn relay_is_spared(&mut self) {
        self.relay_disk.rule.left.store(0, Ordering::Relaxed);
        // It was killed as it wrote a file, and had nothing to commit since.
        if self.relay_disk.rule.died() {
            self.relay_crashes();
        }
    }

    /// No more space on the relay's disk, or space again.
    pub fn relay_disk_full(&mut self, full: bool) {
        self.relay_disk.rule.full.store(full, Ordering::Relaxed);
        self.relay_files.fill(full);
    }

    /// Whether the relay runs.
    pub fn relay_runs(&self) -> bool {
        self.relay.is_some()
    }

    /// A machine has no way to the relay, which notices that later. What it sent last arrives, or is lost.
    pub fn cuts_off(&mut self, name: &str, lost: bool) {
        self.person(name).cut_off = true;
        let Some(conn) = self.person(name).conn.take() else { return };
        if lost {
            self.owners.remove(&conn);
        }
        let noticed = Millis(self.now().mono.0 + NOTICED);
        self.network.put_at(Packet::Gone(conn), noticed);
        self.event(name, Event::Link(LinkEvent::Lost { why: "the network is away".into() }));
    }

    /// It has a way again, and connects.
    pub fn is_back(&mut self, name: &str) {
        if std::mem::take(&mut self.person(name).cut_off) {
            let now = self.now().mono;
            self.network.put_at(Packet::Dial(name.into()), now);
        }
    }

    /// Each frame to that machine takes so many milliseconds.
    pub fn reads_slowly(&mut self, name: &str, millis: u64) {
        self.person(name).sluggish = millis;
    }

    /// A person's client runs, no end of it is set, and nothing waits for its disk.
    pub fn is_well(&mut self, name: &str) -> bool {
        let person = self.person(name);
        person.life.is_none() && person.stuck.is_none() && self.alive(name)
    }

    /// Nobody's end is set any more.
    pub fn is_spared(&mut self, name: &str) {
        self.person(name).life = None;
    }

    /// Things under way.
    pub fn under_way(&self) -> usize {
        self.network.len()
    }
}
