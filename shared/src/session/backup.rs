//! What a right password opens on an empty machine: two sealed parts that the relay keeps.
//!
//! ```text
//! keys    version 1 ‖ nonce 12 ‖ AES-256-GCM(HKDF(export key, "subrosa backup/1"))
//!         of recovery secret 32 ‖ state key 32 ‖ account root 32 ‖ zeros   160 bytes, always
//! state   version 1 ‖ nonce 12 ‖ AES-256-GCM(HKDF(state key, "subrosa backup state/1"))
//!         of length u32 BE ‖ bytes ‖ zeros                                 4 KiB, 8, 16 … 128 KiB
//! AD      label ‖ len (1) ‖ name ‖ relay fingerprint 32 ‖ epoch 16
//! ```
//! The first part changes with the password only; the second is sealed anew by the devices, which hold
//! the state key, whenever something in it changes. All keys are drawn anew with each password, so an
//! old password opens nothing that was stored after it.

use super::opaque::{Bound, ExportKey};
use crate::protocol::auth::Cert;
use crate::protocol::devices::{self, DeviceList, Version};
use crate::protocol::password::{Epoch, KEYS, STATE_MAX};
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use ed25519_dalek::SigningKey;
use hkdf::Hkdf;
use rand_core::CryptoRngCore;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// What the password itself opens.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Keys {
    /// Seed of the Ed25519 key that may add a device to the account.
    pub recovery: [u8; 32],
    /// Opens the state.
    pub state: [u8; 32],
    /// Identity key of the account's first device: no list of devices under another root is taken.
    pub root: [u8; 32],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

/// Why a backup does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Sealed for another password, name or relay, changed on its way, or no backup at all.
    #[error("the backup does not open: the relay changed it, or has mixed it up")]
    Broken,
    /// Written by a newer version.
    #[error("the backup was written by a newer subrosa: update this one")]
    Newer,
    /// More than [`STATE_MAX`] holds.
    #[error("there is more to back up than fits")]
    TooLong,
}

impl Keys {
    /// New ones, for the account with that root.
    pub fn generate(root: [u8; 32], rng: &mut dyn CryptoRngCore) -> Self {
        let mut keys = Self { recovery: [0; 32], state: [0; 32], root };
        rng.fill_bytes(&mut keys.recovery);
        rng.fill_bytes(&mut keys.state);
        keys
    }

    /// The next version of the account's list, with one more device, signed by the recovery key.
    ///
    /// # Errors
    /// Those of [`DeviceList::add`].
    pub fn add(&self, list: &DeviceList, cert: &Cert) -> Result<Version, devices::Error> {
        list.add(cert, &SigningKey::from_bytes(&self.recovery))
    }

    /// The first part of a backup.
    pub fn seal(
        &self,
        export: &ExportKey,
        bound: &Bound,
        epoch: Epoch,
        rng: &mut dyn CryptoRngCore,
    ) -> Vec<u8> {
        let mut plain = Zeroizing::new([0; KEYS - OVERHEAD]);
        plain[..32].copy_from_slice(&self.recovery);
        plain[32..64].copy_from_slice(&self.state);
        plain[64..96].copy_from_slice(&self.root);
        seal(&derive(&*export.0, KEYS_LABEL), KEYS_LABEL, &*plain, bound, epoch, rng)
    }

    /// What [`Keys::seal`] sealed.
    ///
    /// # Errors
    /// [`Error`].
    pub fn open(sealed: &[u8], export: &ExportKey, bound: &Bound, epoch: Epoch) -> Result<Self, Error> {
        if sealed.len() != KEYS {
            return Err(Error::Broken);
        }
        let plain = open(&derive(&*export.0, KEYS_LABEL), KEYS_LABEL, sealed, bound, epoch)?;
        let mut keys = Self { recovery: [0; 32], state: [0; 32], root: [0; 32] };
        keys.recovery.copy_from_slice(&plain[..32]);
        keys.state.copy_from_slice(&plain[32..64]);
        keys.root.copy_from_slice(&plain[64..96]);
        Ok(keys)
    }
}

/// The second part of a backup; its length tells a power of two and no more.
///
/// # Errors
/// [`Error::TooLong`].
pub fn seal_state(
    key: &[u8; 32],
    state: &[u8],
    bound: &Bound,
    epoch: Epoch,
    rng: &mut dyn CryptoRngCore,
) -> Result<Vec<u8>, Error> {
    if state.len() > CONTENT_MAX {
        return Err(Error::TooLong);
    }
    let size = (state.len() + 4 + OVERHEAD).next_power_of_two().max(STATE_MIN);
    let mut plain = Zeroizing::new(vec![0; size - OVERHEAD]);
    plain[..4].copy_from_slice(&(state.len() as u32).to_be_bytes());
    plain[4..4 + state.len()].copy_from_slice(state);
    Ok(seal(&derive(key, STATE_LABEL), STATE_LABEL, &plain, bound, epoch, rng))
}

/// What [`seal_state`] sealed.
///
/// # Errors
/// [`Error`].
pub fn open_state(
    key: &[u8; 32],
    sealed: &[u8],
    bound: &Bound,
    epoch: Epoch,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    if sealed.len() > STATE_MAX {
        return Err(Error::Broken);
    }
    let mut plain = open(&derive(key, STATE_LABEL), STATE_LABEL, sealed, bound, epoch)?;
    let length = plain.first_chunk::<4>().ok_or(Error::Broken)?;
    let length = u32::from_be_bytes(*length) as usize;
    if length > plain.len() - 4 {
        return Err(Error::Broken);
    }
    plain.drain(..4);
    plain.truncate(length);
    Ok(plain)
}

/// The most bytes of a state.
pub const CONTENT_MAX: usize = STATE_MAX - OVERHEAD - 4;

/// The least bytes of a sealed state.
const STATE_MIN: usize = 4096;
/// Version, nonce and tag.
const OVERHEAD: usize = 1 + 12 + 16;
const VERSION: u8 = 1;
const KEYS_LABEL: &[u8] = b"subrosa backup/1";
const STATE_LABEL: &[u8] = b"subrosa backup state/1";

fn seal(
    key: &[u8; 32],
    label: &[u8],
    plain: &[u8],
    bound: &Bound,
    epoch: Epoch,
    rng: &mut dyn CryptoRngCore,
) -> Vec<u8> {
    let mut nonce = [0; 12];
    rng.fill_bytes(&mut nonce);
    let aad = associated(label, bound, epoch);
    let sealed = Aes256Gcm::new(key.into())
        .encrypt(&nonce.into(), Payload { msg: plain, aad: &aad })
        .expect("AES-GCM seals up to 64 GiB");
    [&[VERSION], nonce.as_slice(), &sealed].concat()
}

fn open(
    key: &[u8; 32],
    label: &[u8],
    sealed: &[u8],
    bound: &Bound,
    epoch: Epoch,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (&version, rest) = sealed.split_first().ok_or(Error::Broken)?;
    match version {
        VERSION => {}
        0 => return Err(Error::Broken),
        _ => return Err(Error::Newer),
    }
    let (nonce, sealed) = rest.split_first_chunk::<12>().ok_or(Error::Broken)?;
    let aad = associated(label, bound, epoch);
    Aes256Gcm::new(key.into())
        .decrypt(nonce.into(), Payload { msg: sealed, aad: &aad })
        .map(Zeroizing::new)
        .map_err(|_| Error::Broken)
}

fn associated(label: &[u8], bound: &Bound, epoch: Epoch) -> Vec<u8> {
    let name = bound.name.as_str().as_bytes();
    [label, b"\0", &[name.len() as u8], name, &bound.relay, &epoch.0].concat()
}

fn derive(secret: &[u8], label: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, secret)
        .expand(label, &mut *key)
        .expect("32 bytes are within what HKDF-SHA256 gives");
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::AccountName;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    const EPOCH: Epoch = Epoch([3; 16]);

    fn bound(name: &str, relay: u8) -> Bound {
        Bound { name: AccountName::parse(name).expect("valid"), relay: [relay; 32] }
    }

    fn export(byte: u8) -> ExportKey {
        ExportKey(Zeroizing::new([byte; 64]))
    }

    #[test]
    fn keys_open_for_their_password_name_relay_and_epoch_only() {
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        let keys = Keys::generate([6; 32], rng);
        let sealed = keys.seal(&export(1), &bound("ada", 7), EPOCH, rng);
        assert_eq!(sealed.len(), KEYS);
        assert_eq!(Keys::open(&sealed, &export(1), &bound("ada", 7), EPOCH), Ok(keys.clone()));
        for (key, whose, epoch) in [
            (2, bound("ada", 7), EPOCH),
            (1, bound("ben", 7), EPOCH),
            (1, bound("ada", 8), EPOCH),
            (1, bound("ada", 7), Epoch([4; 16])),
        ] {
            assert_eq!(Keys::open(&sealed, &export(key), &whose, epoch), Err(Error::Broken));
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(Keys::open(&changed, &export(1), &bound("ada", 7), EPOCH).is_err(), "byte {at}");
        }
        for cut in 0..sealed.len() {
            assert_eq!(Keys::open(&sealed[..cut], &export(1), &bound("ada", 7), EPOCH), Err(Error::Broken));
        }
        assert_eq!(format!("{keys:?}"), "Keys(…)");
    }

    #[test]
    fn the_length_of_a_state_tells_a_power_of_two_only() {
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        let whose = bound("ada", 7);
        for (content, sealed) in
            [(0, 4096), (4063, 4096), (4064, 8192), (100_000, STATE_MAX), (CONTENT_MAX, STATE_MAX)]
        {
            let state = vec![9; content];
            let bytes = seal_state(&[5; 32], &state, &whose, EPOCH, rng).expect("fits");
            assert_eq!(bytes.len(), sealed, "{content}");
            assert_eq!(*open_state(&[5; 32], &bytes, &whose, EPOCH).expect("opens"), state);
            assert_eq!(open_state(&[6; 32], &bytes, &whose, EPOCH), Err(Error::Broken));
        }
        let long = vec![0; CONTENT_MAX + 1];
        assert_eq!(seal_state(&[5; 32], &long, &whose, EPOCH, rng), Err(Error::TooLong));
        assert_eq!(open_state(&[5; 32], &[2, 0], &whose, EPOCH), Err(Error::Newer));
    }
}
