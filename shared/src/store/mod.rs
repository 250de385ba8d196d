//! The local store: a key-value trait for records, a slots trait for secrets that must be forgotten.
//!
//! Records (sealed history, the ciphertext outbox, everything else) go to a [`Kv`]. Secrets whose
//! erasure matters (chain keys, prekey seeds, skipped keys) go to [`Slots`], because sled never
//! really forgets. A [`Batch`] holds writes to both; [`Store::commit`] makes records durable first
//! and then the slots, so that what a crash leaves behind can always be caught up from the records.

use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

#[cfg(feature = "session")]
pub mod burn;
pub mod contract;
mod files;
pub mod journal;
pub mod journaled;
pub mod memory;
#[cfg(feature = "session")]
pub mod profile;
#[cfg(feature = "session")]
pub mod sealed;
pub mod sled;
#[cfg(feature = "session")]
pub mod slots;

/// A named table; the byte is its prefix on disk and never changes its meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Table {
    /// Prefix on disk.
    pub byte: u8,
    /// For people who debug.
    pub name: &'static str,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// One change to a record.
#[derive(Clone, PartialEq, Eq)]
pub enum Write {
    /// Sets a record.
    Put(Table, Vec<u8>, Zeroizing<Vec<u8>>),
    /// Removes a record; no error when it is not there.
    Delete(Table, Vec<u8>),
}

/// Which slot: what kind of secret, whose, which part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotKey {
    /// Kind of secret, given out by its owner module.
    pub kind: u8,
    /// The session or prekey.
    pub id: [u8; 16],
    /// Part of a secret that needs several slots.
    pub part: u16,
}

/// One change to a slot.
#[derive(Clone, PartialEq, Eq)]
pub enum SlotWrite {
    /// Sets a slot; what it held before is overwritten on disk. At most [`SLOT_MAX`] bytes.
    Put(SlotKey, Zeroizing<Vec<u8>>),
    /// Overwrites a slot with nothing; no error when it is not there.
    Erase(SlotKey),
}

/// The longest secret in one slot, in bytes.
pub const SLOT_MAX: usize = 448;

/// Writes that belong together: all records are durable before the first slot changes.
#[derive(Clone, Default)]
pub struct Batch {
    /// In order; atomic as a whole.
    pub records: Vec<Write>,
    /// In order; atomic as a whole.
    pub slots: Vec<SlotWrite>,
}

impl Batch {
    /// Sets a record.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: Vec<u8>) {
        self.records.push(Write::Put(table, key.into(), Zeroizing::new(value)));
    }

    /// Removes a record.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.records.push(Write::Delete(table, key.into()));
    }

    /// Sets a slot.
    pub fn keep(&mut self, key: SlotKey, secret: Zeroizing<Vec<u8>>) {
        self.slots.push(SlotWrite::Put(key, secret));
    }

    /// Erases a slot.
    pub fn erase(&mut self, key: SlotKey) {
        self.slots.push(SlotWrite::Erase(key));
    }

    /// Appends another batch.
    pub fn extend(&mut self, other: Batch) {
        self.records.extend(other.records);
        self.slots.extend(other.slots);
    }

    /// Nothing to write.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.slots.is_empty()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} records, {} slots)", self.records.len(), self.slots.len())
    }
}

/// Why a store cannot do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has it open.
    #[error("another subrosa is using this folder")]
    Locked,
    /// Not a store of ours; nothing was touched.
    #[error("this folder holds something that is not a subrosa store: {0}")]
    Foreign(String),
    /// Ours, but its bytes do not hold together; nothing was touched.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// Written by a newer version.
    #[error("the store has schema {found}, this version reads up to {known}")]
    Newer {
        /// On disk.
        found: u32,
        /// By this program.
        known: u32,
    },
    /// The key does not open it.
    #[error("wrong key")]
    WrongKey,
    /// Less free space than a safe write needs.
    #[error("the disk is full")]
    Full,
    /// The operating system says no.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Records, as key and value.
pub type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// Which end of a range comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Smallest key first.
    Forward,
    /// Largest key first.
    Backward,
}

/// Records in tables, each an ordered map of byte strings.
pub trait Kv: Send + Sync {
    /// One record.
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Io`].
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// At most `limit` records whose keys lie in `from..to` (`to` excluded; empty `to` is no bound).
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Io`].
    fn scan(&self, table: Table, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Rows, Error>;

    /// Applies all writes or none. When it returns, they survive `kill -9` and power loss.
    ///
    /// # Errors
    /// [`Error::Full`]; then none of them is done. [`Error::Io`]; then either all of them or none
    /// will be found when the store is opened again, and until then it takes no more.
    fn commit(&self, writes: &[Write]) -> Result<(), Error>;

    /// Applies all writes or none, and does not wait for the disk: whoever reads sees them, and they survive
    /// `kill -9` and power loss from the next [`Kv::sync`] on. Before that, those that were appended last may
    /// be lost, never one without all that came after it.
    ///
    /// # Errors
    /// Those of [`Kv::commit`].
    fn append(&self, writes: &[Write]) -> Result<(), Error> {
        self.commit(writes)
    }

    /// Waits until all that was appended is durable.
    ///
    /// # Errors
    /// [`Error::Io`]; as for [`Kv::commit`].
    fn sync(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl<K: Kv + ?Sized> Kv for Arc<K> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        (**self).get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Rows, Error> {
        (**self).scan(table, from, to, order, limit)
    }

    fn commit(&self, writes: &[Write]) -> Result<(), Error> {
        (**self).commit(writes)
    }

    fn append(&self, writes: &[Write]) -> Result<(), Error> {
        (**self).append(writes)
    }

    fn sync(&self) -> Result<(), Error> {
        (**self).sync()
    }
}

/// Every secret of one kind, with its key.
pub type Secrets = Vec<(SlotKey, Zeroizing<Vec<u8>>)>;

/// Secrets that are really overwritten.
pub trait Slots: Send + Sync {
    /// One secret.
    fn get(&self, key: &SlotKey) -> Option<Zeroizing<Vec<u8>>>;

    /// Every secret of a kind, in order of its key.
    fn list(&self, kind: u8) -> Secrets;

    /// Applies all writes, in order, or none: also a crash leaves all of them done or none. When it
    /// returns they are durable, and of what they replaced or erased nothing is left in the file.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Io`]; a secret over [`SLOT_MAX`] is `Error::Io(InvalidInput)`.
    /// What [`Slots::get`] says has then not changed.
    fn apply(&self, writes: &[SlotWrite]) -> Result<(), Error>;

    /// Which file they lie in, by when it was made, or else by its number. A copy that was put in its place was made
    /// later, and has another number most often. `None` where neither can be told.
    fn origin(&self) -> Option<[u8; 16]> {
        None
    }
}

/// Records and secrets of one profile.
#[derive(Clone)]
pub struct Store {
    /// Records.
    pub records: Arc<dyn Kv>,
    /// Secrets.
    pub slots: Arc<dyn Slots>,
}

impl Store {
    /// Makes a batch durable: records first, then slots.
    ///
    /// # Errors
    /// Those of [`Kv::commit`] and [`Slots::apply`].
    pub fn commit(&self, batch: &Batch) -> Result<(), Error> {
        if !batch.records.is_empty() {
            self.records.commit(&batch.records)?;
        }
        if !batch.slots.is_empty() {
            self.slots.apply(&batch.slots)?;
        }
        Ok(())
    }
}

/// Whether these writes only remove, with the counts that go with it.
pub fn removes(writes: &[Write]) -> bool {
    let small = |write: &Write| match write {
        Write::Put(_, _, value) => value.len() <= COUNTS,
        Write::Delete(..) => true,
    };
    writes.iter().any(|write| matches!(write, Write::Delete(..))) && writes.iter().all(small)
}

/// A value this short is a count or a place, not something that is kept, in bytes.
const COUNTS: usize = 64;

/// The end of the range of all keys that begin with `prefix`; empty means no bound.
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    end
}

fn refuse_too_long(writes: &[SlotWrite]) -> Result<(), Error> {
    let too_long = |write: &SlotWrite| matches!(write, SlotWrite::Put(_, secret) if secret.len() > SLOT_MAX);
    if writes.iter().any(too_long) {
        return Err(std::io::Error::from(std::io::ErrorKind::InvalidInput).into());
    }
    Ok(())
}
