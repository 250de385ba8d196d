//! An envelope: a head for each recipient and a body that all share.

use crate::id::{AccountName, DeviceId, EnvelopeId, Seq};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest head: a session start with a post-quantum ciphertext, a bundle and a short message.
pub const HEAD_MAX: usize = 8 * 1024;

/// The longest body; larger things are files.
pub const BODY_MAX: usize = 48 * 1024;

/// The most recipients of one envelope: a room of 100 people with two or three devices each.
///
/// All heads of a room share a frame of [`super::codec::FRAME_MAX`]: 256 of sessions that go on (some
/// 200 bytes) fit, or 180 session starts (2.7 KB), but not 256. A sender with more devices or longer heads splits:
/// the first envelope, with the [`Move`] if there is one, goes to at least one device of every
/// recipient account, and the others follow without a move once it is accepted. Until then a further
/// device of an account learns of an operation from the head in the next message, and asks for it.
pub const RECIPIENTS_MAX: usize = 256;

/// What a device hands to the relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    /// Drawn by the sender; repeats are accepted and stored once.
    pub id: EnvelopeId,
    /// Whether the relay keeps it for a device that is away.
    pub keep: Keep,
    /// Each recipient's device with its head, at most [`RECIPIENTS_MAX`], no device twice. May be empty
    /// when a head moves: somebody is alone in a room.
    pub to: Vec<Head>,
    /// Sealed once for all; empty when the heads hold everything.
    #[serde(with = "super::raw")]
    pub body: Vec<u8>,
    /// The room head that it moves; all or nothing with the mailboxes.
    pub moves: Option<Box<Move>>,
}

/// A compare-and-swap of a room's head: the envelope is taken only if it goes through.
///
/// The relay keeps `handle → (head, guard)` and knows nothing more of it. It takes the envelope if
/// SHA-256(`key`) is the guard there and the head is `from`; then they are `guard` and `to`. `to` may
/// equal `from`: then only the guard changes. Otherwise the envelope is rejected: `NotAllowed` when the
/// key is another, `Outdated` when the head is. Where there is no head, with any key and from anywhere,
/// one begins: for a new room, and for one whose head the relay has lost or dropped after a year without
/// a move; the envelope is rejected as `TooLarge` when its account has begun as many as it may. A repeat
/// of an accepted envelope is accepted again and moves nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Which head.
    pub handle: [u8; 16],
    /// The head that it must be.
    pub from: [u8; 32],
    /// The head that it becomes.
    pub to: [u8; 32],
    /// Opens the guard that is there.
    pub key: [u8; 32],
    /// SHA-256 of the key of the next move.
    pub guard: [u8; 32],
}

impl fmt::Debug for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Move(…)")
    }
}

/// One recipient's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Whose mailbox.
    pub to: DeviceId,
    /// One session message, at most [`HEAD_MAX`] bytes.
    #[serde(with = "super::raw")]
    pub bytes: Vec<u8>,
}

/// What the relay does for a recipient who is not connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keep {
    /// Keep it until acknowledged.
    Stored,
    /// Drop it: only of use right now (typing).
    Fleeting,
}

/// What the relay delivers from a mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its place in this device's mailbox.
    pub seq: Seq,
    /// The sender's device, as the relay authenticated it. The session proves it.
    pub from: DeviceId,
    /// The sender's account, as the relay knows it.
    pub name: AccountName,
    /// The envelope.
    pub id: EnvelopeId,
    /// This device's head.
    #[serde(with = "super::raw")]
    pub head: Vec<u8>,
    /// The shared body.
    #[serde(with = "super::raw")]
    pub body: Vec<u8>,
}

impl Outgoing {
    /// Whether every part keeps its bound and there is a recipient, none twice; a body has a reader, and
    /// a head is not moved by what is not kept.
    pub fn within_bounds(&self) -> bool {
        let mut devices: Vec<_> = self.to.iter().map(|head| head.to).collect();
        devices.sort_unstable();
        devices.dedup();
        let least = usize::from(self.moves.is_none() || !self.body.is_empty());
        (least..=RECIPIENTS_MAX).contains(&self.to.len())
            && (self.moves.is_none() || self.keep == Keep::Stored)
            && devices.len() == self.to.len()
            && self.body.len() <= BODY_MAX
            && self.to.iter().all(|head| head.bytes.len() <= HEAD_MAX)
    }
}
