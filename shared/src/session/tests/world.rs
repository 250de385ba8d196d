//! Devices with stores, for the tests of whole sessions.

use crate::protocol::auth::Peer;
use crate::session::{Identity, OpenError, Opened, SealError, Sealed, Sessions, Why};
use crate::store::memory::{Memory, MemorySlots};
use crate::store::{Batch, Order, SlotKey, Store, Table};
use crate::time::{Millis, Now};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use std::sync::Arc;

/// A device, its store, and its clock.
pub(super) struct Device {
    pub(super) sessions: Sessions,
    pub(super) store: Store,
    pub(super) rng: ChaCha20Rng,
    pub(super) now: Now,
}

/// What a crash leaves of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// No crash.
    Whole,
    /// All records and this many slots; then the device starts again.
    Torn(usize),
    /// Nothing; then the device starts again.
    Nothing,
}

pub(super) const HOUR: u64 = 3_600_000;
pub(super) const DAY: u64 = 24 * HOUR;

/// A moment, in milliseconds after the tests' beginning.
pub(super) fn at(ms: u64) -> Now {
    Now { wall: Millis(1_800_000_000_000 + ms), mono: Millis(ms) }
}

impl Device {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let identity = Identity::generate(&mut rng);
        let store = Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) };
        let (sessions, batch) = Sessions::load(identity, &store, at(0)).expect("an empty store");
        assert!(batch.is_empty());
        Self { sessions, store, rng, now: at(0) }
    }

    pub(super) fn peer(&self) -> Peer {
        self.sessions.identity().peer()
    }

    /// As after a restart; the batch that catches up is committed.
    pub(super) fn reload(&mut self) {
        let batch = self.restart();
        self.store.commit(&batch).expect("memory");
    }

    /// As after a restart; the batch that catches up is not committed.
    pub(super) fn restart(&mut self) -> Batch {
        let identity = Identity::from_seed(&self.sessions.identity().seed());
        let (sessions, batch) = Sessions::load(identity, &self.store, self.now).expect("reads back");
        self.sessions = sessions;
        batch
    }

    /// Commits as far as fate lets; says whether the records are durable.
    pub(super) fn commit(&mut self, batch: &Batch, fate: Fate) -> bool {
        match fate {
            Fate::Whole => self.store.commit(batch).expect("memory"),
            Fate::Torn(slots) => {
                self.store.records.commit(&batch.records).expect("memory");
                self.store.slots.apply(&batch.slots[..slots.min(batch.slots.len())]).expect("memory");
                self.reload();
            }
            Fate::Nothing => self.reload(),
        }
        !matches!(fate, Fate::Nothing)
    }

    /// Encoded bundles; the last-resort one first, when there is one.
    pub(super) fn publish(&mut self, left: u32, last_resort_fresh: bool) -> Vec<Vec<u8>> {
        let mut batch = Batch::default();
        let bundles = self.sessions.prekeys(left, last_resort_fresh, &mut self.rng, self.now, &mut batch);
        self.store.commit(&batch).expect("memory");
        bundles.iter().map(|bundle| bundle.encode()).collect()
    }

    pub(super) fn try_seal(
        &mut self,
        to: &Peer,
        why: Why,
        content: &[u8],
    ) -> Result<(Sealed, Batch), SealError> {
        let mut batch = Batch::default();
        let sealed = self.sessions.seal(to, why, content, &mut self.rng, self.now, &mut batch);
        assert!(sealed.is_ok() || batch.is_empty(), "a refusal leaves the batch alone");
        sealed.map(|sealed| (sealed, batch))
    }

    pub(super) fn seal(&mut self, to: &Peer, why: Why, content: &[u8]) -> Sealed {
        let (sealed, batch) = self.try_seal(to, why, content).expect("seals");
        self.store.commit(&batch).expect("memory");
        sealed
    }

    pub(super) fn says(&mut self, to: &Peer, content: &[u8]) -> Sealed {
        self.seal(to, Why::Speech, content)
    }

    pub(super) fn try_open(&mut self, bytes: &[u8]) -> Result<(Opened, Batch), OpenError> {
        let mut batch = Batch::default();
        let opened = self.sessions.open(bytes, self.now, &mut batch);
        assert!(opened.is_ok() || batch.is_empty(), "a refusal leaves the batch alone");
        opened.map(|opened| (opened, batch))
    }

    pub(super) fn open(&mut self, bytes: &[u8]) -> Result<Opened, OpenError> {
        let (opened, batch) = self.try_open(bytes)?;
        self.store.commit(&batch).expect("memory");
        Ok(opened)
    }

    /// The contents of an opened message.
    pub(super) fn hears(&mut self, sealed: &Sealed) -> Vec<u8> {
        let opened = self.open(&sealed.bytes).expect("opens");
        assert_eq!((opened.session, opened.n), (sealed.session, sealed.n));
        opened.content.to_vec()
    }

    pub(super) fn expire(&mut self) -> Option<Millis> {
        let mut batch = Batch::default();
        let next = self.sessions.expire(self.now, &mut batch);
        self.store.commit(&batch).expect("memory");
        next
    }

    /// A second device with the same keys and the same store as now: what a thief copies.
    pub(super) fn copy(&self) -> Self {
        let store = Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) };
        let mut batch = Batch::default();
        use crate::session::kept::{AHEAD, BUNDLES, ORIGIN, STARTS, WORN};
        for table in [AHEAD, STARTS, BUNDLES, ORIGIN, WORN] {
            for (key, value) in self.rows(table) {
                batch.put(table, key, value);
            }
        }
        for kind in 1..=15 {
            for (key, secret) in self.store.slots.list(kind) {
                batch.keep(key, secret);
            }
        }
        store.commit(&batch).expect("memory");
        let identity = Identity::from_seed(&self.sessions.identity().seed());
        let (sessions, _) = Sessions::load(identity, &store, self.now).expect("reads back");
        Self { sessions, store, rng: self.rng.clone(), now: self.now }
    }

    pub(super) fn rows(&self, table: Table) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.store.records.scan(table, &[], &[], Order::Forward, usize::MAX).expect("memory")
    }

    /// The keys of all slots.
    pub(super) fn slots(&self) -> Vec<SlotKey> {
        (1..=15).flat_map(|kind| self.store.slots.list(kind)).map(|(key, _)| key).collect()
    }
}

/// Two devices; the second's bundles are published, and one is offered to the first.
pub(super) fn pair() -> (Device, Device) {
    let (mut ada, mut ben) = (Device::new(1), Device::new(2));
    introduce(&mut ada, &mut ben);
    (ada, ben)
}

/// Offers `to` one of `from`'s fresh one-time bundles.
pub(super) fn introduce(to: &mut Device, from: &mut Device) {
    let bundles = from.publish(63, true);
    let one_time = bundles.last().expect("one was wanted");
    to.sessions.offer(&from.peer(), one_time, to.now).expect("verifies");
}
