//! Envelopes waiting for a device.

use crate::config::Limits;
use subrosa_shared::id::{AccountName, DeviceId, Seq};
use subrosa_shared::protocol::envelope::{Delivery, Keep, Outgoing};
use subrosa_shared::store;
use subrosa_shared::time::Millis;

#[cfg(test)]
mod contract;
pub mod memory;
pub mod sled;

pub use memory::Memory;
pub use sled::{Sled, count};
pub(crate) use sled::{audit, convert, restored};

/// The mailboxes of all devices.
///
/// Changes are seen at once by whoever reads here, and are on disk once the store is synced after
/// [`Mailbox::append`]. A body
/// is kept once, for as long as a mailbox refers to it. Numbers of a mailbox rise strictly and are
/// never given out twice, but may have gaps.
pub trait Mailbox: Send {
    /// Puts an envelope into every mailbox that it names, and moves the room head that it moves, or does
    /// nothing at all.
    ///
    /// # Errors
    /// [`Error`]; then nothing has changed.
    fn put(
        &mut self,
        from: DeviceId,
        name: &AccountName,
        envelope: &Outgoing,
        wall: Millis,
    ) -> Result<Put, Error>;

    /// What waits after `seq`, in order: at most `count` envelopes and no more than `bytes`, but one
    /// at least if there is one.
    ///
    /// # Errors
    /// [`Error::Broken`].
    fn after(&self, device: DeviceId, seq: Seq, count: usize, bytes: usize) -> Result<Vec<Waiting>, Error>;

    /// Erases everything up to `seq`.
    ///
    /// # Errors
    /// [`Error::Broken`].
    fn ack(&mut self, device: DeviceId, seq: Seq) -> Result<(), Error>;

    /// How a mailbox stands; an unknown one is empty.
    ///
    /// # Errors
    /// [`Error::Broken`].
    fn status(&self, device: DeviceId) -> Result<Status, Error>;

    /// What all mailboxes hold together.
    ///
    /// # Errors
    /// [`Error::Broken`].
    fn totals(&self) -> Result<Totals, Error>;

    /// Drops what is `old` by when it came, in the mailboxes after `from`, a bounded piece of work. Returns
    /// how many envelopes went, and where to go on; `None` when all mailboxes are done.
    ///
    /// # Errors
    /// [`Error::Broken`].
    fn expire(&mut self, old: Old<'_>, from: Option<DeviceId>) -> Result<(u64, Option<DeviceId>), Error>;

    /// Drops room heads that are `old` by when they were moved last, a bounded piece of work from that key on.
    /// Returns how many went, and where to go on.
    ///
    /// # Errors
    /// [`Error::Broken`].
    fn expire_heads(&mut self, old: Old<'_>, from: &[u8]) -> Result<(u64, Option<Vec<u8>>), Error>;

    /// Forgets which envelopes a device sent: it is one of its account no more.
    ///
    /// # Errors
    /// [`Error::Broken`].
    fn forget(&mut self, sender: DeviceId) -> Result<(), Error>;

    /// Forgets envelopes that came so long ago that no repeat of them comes any more, of all senders: a bounded
    /// piece of work from that key on. Returns where to go on.
    ///
    /// # Errors
    /// [`Error::Broken`].
    fn expire_repeats(&mut self, wall: Millis, from: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// Other bounds from here on; what is there already stays.
    fn bound(&mut self, quota: Quota);

    /// Writes everything since the last call; it is durable once the store is synced.
    ///
    /// # Errors
    /// Those of the store; then everything since the last call is undone.
    fn append(&mut self) -> Result<(), store::Error>;
}

/// Whether what is dated so is old enough to be dropped.
pub type Old<'a> = &'a dyn Fn(Millis) -> bool;

/// What became of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is in every mailbox.
    Stored,
    /// It was there already; nothing has changed.
    Repeat,
}

/// One waiting envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// As it goes to the device.
    pub delivery: Delivery,
    /// Whether it is of use later too.
    pub keep: Keep,
}

impl Waiting {
    /// Bytes of head and body.
    pub fn size(&self) -> usize {
        self.delivery.head.len() + self.delivery.body.len()
    }
}

/// How a mailbox stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The highest number given out.
    pub newest: Seq,
    /// Everything up to here is erased.
    pub acked: Seq,
    /// Envelopes that wait.
    pub count: u32,
    /// Their heads and bodies.
    pub bytes: u64,
}

/// What all mailboxes hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes of heads and bodies, each body once.
    pub bytes: u64,
    /// Bodies.
    pub bodies: u64,
}

/// Why a mailbox cannot do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The mailboxes of these recipients are full.
    #[error("a recipient's mailbox is full")]
    MailboxFull(Vec<DeviceId>),
    /// All mailboxes together are full.
    #[error("the relay's quota is reached")]
    StorageFull,
    /// The room head is another by now.
    #[error("the room head is another by now")]
    Outdated,
    /// Not the key that moves that room head.
    #[error("not the key that moves that room head")]
    WrongKey,
    /// The account has begun as many room heads as it may.
    #[error("the account has begun as many room heads as it may")]
    TooManyHeads,
    /// The store.
    #[error(transparent)]
    Broken(#[from] store::Error),
}

/// Bounds of mailboxes.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// Envelopes in one.
    pub envelopes: u32,
    /// Bytes in one.
    pub bytes: u64,
    /// Bytes in all.
    pub total: u64,
    /// Room heads that one account has begun.
    pub heads: u32,
}

impl From<&Limits> for Quota {
    fn from(limits: &Limits) -> Self {
        Self {
            envelopes: limits.mailbox_envelopes,
            bytes: limits.mailbox_bytes,
            total: limits.total_bytes,
            heads: limits.room_heads,
        }
    }
}

/// How long a repeated envelope is recognised. A client repeats what was not accepted as soon as it
/// is connected again; the recipients' sessions drop later repeats.
pub const REPEAT_MS: u64 = 7 * 24 * 3_600_000;

/// The most envelopes of one sender that are recognised as repeats: 32 times as many as a client has under way
/// without an answer (64, the window of its outbox; the same ones at each connection until they are answered).
/// A relay that does not have them in memory reads them all.
pub const REPEAT_MAX: u64 = 2048;
