//! An envelope: a head for each recipient and a body that all share.

use crate::id::{AccountName, DeviceId, EnvelopeId, Seq};
use serde::{Deserialize, Serialize};

/// The longest head: a session start with a post-quantum ciphertext, a bundle and a short message.
pub const HEAD_MAX: usize = 8 * 1024;

/// The longest body; larger things are files.
pub const BODY_MAX: usize = 48 * 1024;

/// The most recipients of one envelope: a room of 100 people, and some devices more.
pub const RECIPIENTS_MAX: usize = 128;

/// What a device hands to the relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    /// Drawn by the sender; repeats are accepted and stored once.
    pub id: EnvelopeId,
    /// Whether the relay keeps it for a device that is away.
    pub keep: Keep,
    /// Each recipient's device with its head, at most [`RECIPIENTS_MAX`], no device twice.
    pub to: Vec<Head>,
    /// Sealed once for all; empty when the heads hold everything.
    pub body: Vec<u8>,
}

/// One recipient's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Whose mailbox.
    pub to: DeviceId,
    /// One session message, at most [`HEAD_MAX`] bytes.
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
    pub head: Vec<u8>,
    /// The shared body.
    pub body: Vec<u8>,
}

impl Outgoing {
    /// Whether every part keeps its bound and there is a recipient, none twice.
    pub fn within_bounds(&self) -> bool {
        let mut devices: Vec<_> = self.to.iter().map(|head| head.to).collect();
        devices.sort_unstable();
        devices.dedup();
        (1..=RECIPIENTS_MAX).contains(&self.to.len())
            && devices.len() == self.to.len()
            && self.body.len() <= BODY_MAX
            && self.to.iter().all(|head| head.bytes.len() <= HEAD_MAX)
    }
}
