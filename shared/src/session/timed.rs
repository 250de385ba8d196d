//! Keys of messages that disappear: one chain for each conversation, which only goes forward.
//!
//! sled never forgets, so the text of such a message is sealed once more, under the key of this
//! moment's link of the chain, and the link lives in the ratchet file, which is really overwritten.
//! When messages are due the chain takes a step (a hash), those that stay are sealed again under the
//! next key, and the slot is overwritten: what the file of records still has of the others is noise
//! from then on, also for whoever knows the passphrase. One slot a conversation, however many
//! messages.
//!
//! The next key follows from the one before, not the other way: so a crash between the records and
//! the slot loses nothing, since an older link still opens what newer ones sealed. Whoever starts again takes
//! the steps that the slot is behind.

use crate::store::SlotKey;
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use hkdf::Hkdf;
use rand_core::CryptoRngCore;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// One conversation's link of this moment.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Chain {
    generation: u64,
    key: [u8; 32],
}

impl Chain {
    /// A new one.
    pub fn draw(rng: &mut dyn CryptoRngCore) -> Self {
        let mut key = [0; 32];
        rng.fill_bytes(&mut key);
        Self { generation: 0, key }
    }

    /// What [`Chain::secret`] gave.
    pub fn read(secret: &[u8]) -> Option<Self> {
        let (&VERSION, rest) = secret.split_first()? else { return None };
        let (generation, key) = rest.split_first_chunk::<8>()?;
        Some(Self { generation: u64::from_be_bytes(*generation), key: key.try_into().ok()? })
    }

    /// For its slot.
    pub fn secret(&self) -> Zeroizing<Vec<u8>> {
        let mut secret = Zeroizing::new(Vec::with_capacity(41));
        secret.push(VERSION);
        secret.extend_from_slice(&self.generation.to_be_bytes());
        secret.extend_from_slice(&self.key);
        secret
    }

    /// The slot of a conversation.
    pub fn slot(conversation: [u8; 16]) -> SlotKey {
        SlotKey { kind: SLOT_KIND, id: conversation, part: 0 }
    }

    /// The next link: it opens nothing that was sealed before.
    #[must_use]
    pub fn next(&self) -> Self {
        Self { generation: self.generation + 1, key: *self.derive(b"subrosa timed next/1\0") }
    }

    /// Seals a text; `about` says which it is, and binds the seal to it.
    pub fn seal(&self, about: &[u8], text: &[u8], rng: &mut dyn CryptoRngCore) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        rng.fill_bytes(&mut nonce);
        let sealed = self
            .cipher()
            .encrypt(&nonce.into(), Payload { msg: text, aad: about })
            .expect("AES-GCM seals up to 64 GiB");
        [&self.generation.to_be_bytes(), nonce.as_slice(), &sealed].concat()
    }

    /// Opens what this link or a later one sealed.
    pub fn open(&self, about: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (generation, rest) = sealed.split_first_chunk::<8>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>()?;
        let ahead = u64::from_be_bytes(*generation).checked_sub(self.generation)?;
        let mut link = self.clone();
        for _ in 0..Some(ahead).filter(|ahead| *ahead <= AHEAD)? {
            link = link.next();
        }
        link.cipher().decrypt(nonce.into(), Payload { msg: sealed, aad: about }).ok().map(Zeroizing::new)
    }

    /// How many links later that was sealed: more than none when a crash came between the records and the slot.
    pub fn behind(&self, sealed: &[u8]) -> u64 {
        let generation = sealed.first_chunk().map_or(0, |generation| u64::from_be_bytes(*generation));
        generation.saturating_sub(self.generation).min(AHEAD)
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new((&*self.derive(b"subrosa timed text/1\0")).into())
    }

    fn derive(&self, label: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, &self.key)
            .expand(label, &mut *key)
            .expect("32 bytes are within what HKDF-SHA256 gives");
        key
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// Kind of these slots in the ratchet file.
pub const SLOT_KIND: u8 = 0x20;
const VERSION: u8 = 1;
const NONCE: usize = 12;
/// A crash leaves the slot behind by the steps of one group of writes.
const AHEAD: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn a_later_link_opens_nothing_older_and_an_older_one_what_is_newer() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let first = Chain::draw(&mut rng);
        let second = first.next();
        let (old, new) =
            (first.seal(b"a", b"old words", &mut rng), second.seal(b"a", b"new words", &mut rng));
        assert_eq!(first.open(b"a", &old).expect("opens").as_slice(), b"old words");
        assert_eq!(first.open(b"a", &new).expect("opens").as_slice(), b"new words");
        assert_eq!(second.open(b"a", &new).expect("opens").as_slice(), b"new words");
        assert_eq!(second.open(b"a", &old), None);
        assert_eq!(first.open(b"b", &old), None, "it is another line's");
        assert_eq!(Chain::draw(&mut rng).open(b"a", &old), None);
        let mut far = old.clone();
        far[0] = 0xff;
        assert_eq!(first.open(b"a", &far), None, "and takes no time");
        for at in 8..old.len() {
            let mut changed = old.clone();
            changed[at] ^= 1;
            assert_eq!(first.open(b"a", &changed), None);
            assert_eq!(first.open(b"a", &old[..at]), None);
        }
    }

    #[test]
    fn it_is_kept_and_never_shown() {
        let chain = Chain::draw(&mut ChaCha20Rng::seed_from_u64(2)).next();
        assert_eq!(Chain::read(&chain.secret()), Some(chain.clone()));
        assert_eq!(Chain::read(&chain.secret()[..40]), None);
        assert_eq!(Chain::read(&[]), None);
        assert_eq!(format!("{chain:?}"), "Chain { generation: 1, .. }");
    }
}
