//! What lets members, and nobody else, move the room's head at the relay.

use crate::id::DoorId;
use hkdf::Hkdf;
use rand_core::CryptoRngCore;
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A room's secret: new after each removal, sent inside the sessions to who stays.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    /// A fresh one.
    pub fn draw(rng: &mut dyn CryptoRngCore) -> Self {
        let mut secret = Self([0; 32]);
        rng.fill_bytes(&mut secret.0);
        secret
    }

    /// As it came inside a message.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// To be put inside a message.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Where the head of a room that begins with this secret is found. It stays when the secret is
    /// replaced, so it travels beside the secret to newcomers.
    pub fn handle(&self) -> [u8; 16] {
        let mut handle = [0; 16];
        handle.copy_from_slice(&self.derive(b"subrosa room handle/1")[..16]);
        handle
    }

    /// The key of a move while this is the secret.
    pub fn key(&self) -> Zeroizing<[u8; 32]> {
        self.derive(b"subrosa room key/1")
    }

    /// The guard that lets this secret's key make the next move.
    pub fn guard(&self) -> [u8; 32] {
        Sha256::digest(self.key().as_slice()).into()
    }

    /// The key by which members watch a door; see [`crate::protocol::door::Watch`].
    pub fn door_key(&self, door: &DoorId) -> Zeroizing<[u8; 32]> {
        self.derive(&[b"subrosa door watch/1".as_slice(), &door.0].concat())
    }

    fn derive(&self, label: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        let derived = Hkdf::<Sha256>::new(None, &self.0);
        derived.expand(label, key.as_mut()).expect("32 bytes are not too many");
        key
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
