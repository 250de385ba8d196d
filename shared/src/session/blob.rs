//! A body sealed once, under a key of its own that travels inside a message.

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use rand_core::CryptoRngCore;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The key of one body. Whoever holds it can read that body and nothing else.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; 32]);

/// These bytes are not what was sealed under this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body does not open: it was changed or the key belongs to another one")]
pub struct Unreadable;

/// What sealing adds to a body, in bytes.
pub const OVERHEAD: usize = 16;

impl Key {
    /// A key as it came inside a message.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key, to be put inside a message.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Seals a body under a fresh key; the result is [`OVERHEAD`] bytes longer.
pub fn seal(content: &[u8], rng: &mut dyn CryptoRngCore) -> (Key, Vec<u8>) {
    let mut key = Key([0; 32]);
    rng.fill_bytes(&mut key.0);
    let sealed = cipher(&key)
        .encrypt(&NONCE.into(), Payload { msg: content, aad: LABEL })
        .expect("AES-GCM seals up to 64 GiB, more than memory holds here");
    (key, sealed)
}

/// Opens a body.
///
/// # Errors
/// [`Unreadable`] when a bit of it or of the key is wrong.
pub fn open(key: &Key, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
    cipher(key)
        .decrypt(&NONCE.into(), Payload { msg: sealed, aad: LABEL })
        .map(Zeroizing::new)
        .map_err(|_| Unreadable)
}

fn cipher(key: &Key) -> Aes256Gcm {
    Aes256Gcm::new((&key.0).into())
}

const LABEL: &[u8] = b"subrosa body/1\0";
/// One key seals one body, so that the nonce may be the same for all.
const NONCE: [u8; 12] = [0; 12];

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn a_body_opens_with_its_key_alone() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        for content in [&b""[..], b"x", &[7; 5000]] {
            let (key, sealed) = seal(content, &mut rng);
            assert_eq!(sealed.len(), content.len() + OVERHEAD);
            assert_eq!(open(&key, &sealed).expect("opens").as_slice(), content);
            let (other, _) = seal(content, &mut rng);
            assert_ne!(key.as_bytes(), other.as_bytes(), "each body has a fresh key");
            assert_eq!(open(&other, &sealed), Err(Unreadable));
            assert_eq!(open(&Key::from_bytes(*key.as_bytes()), &sealed).expect("opens").as_slice(), content);
        }
    }

    #[test]
    fn a_changed_bit_is_noticed() {
        let (key, sealed) = seal(b"the body", &mut ChaCha20Rng::seed_from_u64(2));
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&key, &changed), Err(Unreadable));
        }
        for length in 0..sealed.len() {
            assert_eq!(open(&key, &sealed[..length]), Err(Unreadable));
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let (key, _) = seal(b"", &mut ChaCha20Rng::seed_from_u64(3));
        assert_eq!(format!("{key:?}"), "Key(…)");
    }
}
