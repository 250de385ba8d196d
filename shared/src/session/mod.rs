//! End-to-end sessions between devices.
//!
//! A session is one-way: from the device that started it to one other. It begins with a Noise
//! `Xpsk0` message to a signed prekey of the responder, which carries the first content itself, and
//! goes on as a stream whose key is replaced after every message. A conversation is two sessions,
//! one each way, and each is replaced whenever the conversation turns.
//!
//! | module | what lives there |
//! |---|---|
//! | [`pairwise`] | [`Sessions`]: every session of one device; seals, opens, forgets |
//! | [`bundles`] | its prekeys, and the bundles that its peers gave it |
//! | [`identity`] | [`Identity`]: the two long-lived keys of this device |
//! | [`prekey`] | what others start a session with, from a 32-byte seed |
//! | [`handshake`] | the one handshake message, through snow |
//! | [`provider`] | snow's randomness, passed in |
//! | [`chain`] | the stream: Noise's CipherState with a REKEY after each message |
//! | [`message`] | the bytes of a session message, outside and inside |
//! | [`strangers`] | what people may keep here who were never accepted |
//! | [`blind`] | words that a search can compare and nobody read |
//! | [`opaque`] | the client's side of the password login |
//! | [`backup`] | what a right password opens, sealed |
//! | [`pair`] | two devices of one person agree on a key from a short code |
//! | [`door`] | coming into a room by a link, with or without a password |
//! | [`roomlog`] | who belongs to a room and what they may do: a signed, hash-chained log |
//! | [`safety`] | the number that two people compare to know each other's keys |
//! | [`kept`] | what of all this is in the store, and how it is found again after a crash |
//! | [`error`] | why something was not sealed or opened |
//!
//! # What is on disk, and in which order
//!
//! Keys are in slots, which are overwritten in place; all else is in records. Every call that
//! changes something lists its writes in a [`crate::store::Batch`] and the caller commits the batch
//! *before* it sends or acknowledges anything. The records of a batch are durable before its first
//! slot is. A crash between the two is caught up by [`Sessions::load`]:
//!
//! * *Sealing* writes a record with the session and the next number, beside the caller's outbox
//!   entry that holds the ciphertext. A chain found behind its record is advanced, so no key seals
//!   twice. A session whose first key never reached its slot is given up; the next message starts
//!   another.
//! * *Opening* moves only slots, and the caller's own record of the message comes first. A message
//!   whose slots did not move opens again when it is delivered again, and the caller knows it by
//!   its message id. A session's slot comes before its prekey's erasure, and skipped keys before the
//!   chain that moved past them.
//!
//! Nothing changes, in memory or in the batch, unless the call succeeds: work is done on copies that
//! are kept only after every tag and signature held. When a commit fails, memory is ahead of the
//! disk: load again.

pub mod backup;
pub mod blind;
pub mod blob;
pub mod bundles;
pub mod chain;
pub mod door;
pub mod error;
pub mod file;
pub mod handshake;
pub mod identity;
pub mod kept;
pub mod message;
pub mod opaque;
pub mod pair;
pub mod pairwise;
pub mod prekey;
pub mod provider;
pub mod roomlog;
pub mod safety;
pub mod sframe;
pub mod strangers;
pub mod timed;
pub mod vault;

pub use error::{Invalid, OpenError, SealError};
pub use identity::Identity;
pub use message::CONTENT_MAX;
pub use pairwise::{Opened, Sealed, Sessions, UNREADABLE_START, Why};

#[cfg(test)]
mod tests;
