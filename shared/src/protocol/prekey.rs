//! A prekey bundle: what a device leaves at the relay so that others can write to it while it is away.

use super::auth::{BadSignature, verify};
use crate::id::{DeviceId, PrekeyId};
use crate::time::Millis;
use ed25519_dalek::{Signer, SigningKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Bytes of an ML-KEM-768 encapsulation key (FIPS 203, table 3).
pub const EK: usize = 1184;

/// The longest encoded bundle.
pub const BUNDLE_MAX: usize = 1400;

/// How often a prekey may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Handed out once.
    OneTime,
    /// Handed out when the one-time ones have run out; rotated weekly.
    LastResort,
}

/// The public half of a prekey, signed by its device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// Drawn by the owner.
    pub id: PrekeyId,
    /// How often it may be used.
    pub kind: Kind,
    /// Not to be used after this, Unix milliseconds.
    pub not_after: Millis,
    /// X25519: the responder's static key of the handshake.
    pub x: [u8; 32],
    /// ML-KEM-768 encapsulation key, [`EK`] bytes.
    pub ek: Vec<u8>,
    /// The owner's Ed25519 identity key.
    pub identity: [u8; 32],
    /// Ed25519 over every other field, 64 bytes.
    pub signature: Vec<u8>,
}

/// Why a bundle cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a bundle.
    #[error("malformed prekey bundle")]
    Malformed,
    /// Not signed by the device it is said to be of.
    #[error("the prekey bundle is not signed by that device")]
    Signature,
    /// Past its date.
    #[error("the prekey bundle is out of date")]
    Expired,
}

impl From<BadSignature> for Error {
    fn from(_: BadSignature) -> Self {
        Self::Signature
    }
}

impl Bundle {
    /// Signs the fields of a bundle.
    pub fn sign(
        identity: &SigningKey,
        id: PrekeyId,
        kind: Kind,
        not_after: Millis,
        x: [u8; 32],
        ek: Vec<u8>,
    ) -> Self {
        let identity_key = identity.verifying_key().to_bytes();
        let mut bundle = Self { id, kind, not_after, x, ek, identity: identity_key, signature: Vec::new() };
        bundle.signature = identity.sign(&bundle.text()).to_bytes().to_vec();
        bundle
    }

    /// The device that made it, if the signature is true.
    pub fn device(&self) -> DeviceId {
        DeviceId::of(&self.identity)
    }

    /// Bytes for the relay.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("a bundle serialises: plain fields only")
    }

    /// Reads an encoded bundle; nothing is verified yet but its form.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > BUNDLE_MAX {
            return Err(Error::Malformed);
        }
        let (bundle, left) = postcard::take_from_bytes::<Self>(bytes).map_err(|_| Error::Malformed)?;
        let shaped = left.is_empty() && bundle.ek.len() == EK && bundle.signature.len() == 64;
        if shaped { Ok(bundle) } else { Err(Error::Malformed) }
    }

    /// Checks that `owner`'s key signed it and that it is not out of date.
    ///
    /// # Errors
    /// [`Error::Signature`] and [`Error::Expired`].
    pub fn verify(&self, owner: &DeviceId, wall: Millis) -> Result<(), Error> {
        if self.device() != *owner {
            return Err(Error::Signature);
        }
        verify(&self.identity, &self.text(), &self.signature)?;
        if wall > self.not_after { Err(Error::Expired) } else { Ok(()) }
    }

    /// SHA-256 of everything that is signed: what the handshake's prologue binds.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.text()).into()
    }

    /// `"subrosa prekey/1\0"`, then every field but the signature with its length (u32 BE) before it.
    fn text(&self) -> Vec<u8> {
        let kind = [match self.kind {
            Kind::OneTime => 0,
            Kind::LastResort => 1,
        }];
        let not_after = self.not_after.0.to_be_bytes();
        let fields: [&[u8]; 6] = [&self.id.0, &kind, &not_after, &self.x, &self.ek, &self.identity];
        let mut text = b"subrosa prekey/1\0".to_vec();
        for field in fields {
            text.extend_from_slice(&(field.len() as u32).to_be_bytes());
            text.extend_from_slice(field);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> Bundle {
        let key = SigningKey::from_bytes(&[1; 32]);
        Bundle::sign(&key, PrekeyId([2; 16]), Kind::OneTime, Millis(1000), [3; 32], vec![4; EK])
    }

    #[test]
    fn a_bundle_of_another_device_or_with_a_changed_field_is_refused() {
        let good = bundle();
        assert_eq!(good.verify(&good.device(), Millis(1000)), Ok(()));
        assert_eq!(good.verify(&good.device(), Millis(1001)), Err(Error::Expired));
        assert_eq!(good.verify(&DeviceId([0; 16]), Millis(0)), Err(Error::Signature));
        let mut kind = good.clone();
        kind.kind = Kind::LastResort;
        assert_eq!(kind.verify(&good.device(), Millis(0)), Err(Error::Signature));
        let mut x = good.clone();
        x.x[0] ^= 1;
        assert_eq!(x.verify(&good.device(), Millis(0)), Err(Error::Signature));
    }

    #[test]
    fn encoded_and_back_and_never_longer_than_said() {
        let good = bundle();
        let bytes = good.encode();
        assert!(bytes.len() <= BUNDLE_MAX, "{}", bytes.len());
        assert_eq!(Bundle::decode(&bytes), Ok(good));
        for cut in 0..bytes.len() {
            assert_eq!(Bundle::decode(&bytes[..cut]), Err(Error::Malformed));
        }
    }
}
