//! Words that can be compared and not read: HMAC-SHA256 under a key of the vault.
//!
//! Whoever has a mark and not the key can neither say which word it is of nor try words on it. What an
//! index keeps is a mark cut short: enough to find a word, and shared by others by chance.

use hkdf::hmac::{Hmac, Mac};
use sha2::Sha256;

/// Marks words under one key.
#[derive(Clone)]
pub struct Blind {
    /// In a box: freed memory is wiped, moved values leave copies.
    mac: Box<Hmac<Sha256>>,
}

impl Blind {
    /// Marks under that key, which serves nothing else.
    pub fn new(key: &[u8; 32]) -> Self {
        Self { mac: Box::new(Hmac::new_from_slice(key).expect("HMAC takes keys of any length")) }
    }

    /// The mark of a word in one of 256 meanings.
    pub fn mark(&self, meaning: u8, word: &[u8]) -> [u8; 32] {
        let mut mac = (*self.mac).clone();
        mac.update(&[meaning]);
        mac.update(word);
        mac.finalize().into_bytes().into()
    }
}

impl std::fmt::Debug for Blind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Blind(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_hmac_and_tell_keys_meanings_and_words_apart() {
        let blind = Blind::new(&[0x0b; 32]);
        let mark = data_encoding::HEXLOWER.encode(&blind.mark(b'H', b"i There"));
        // HMAC-SHA256 of «Hi There» under 32 bytes 0x0b, as any other implementation gives it.
        assert_eq!(mark, "198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7");
        assert_eq!(blind.mark(0, b"mill"), blind.clone().mark(0, b"mill"));
        assert_ne!(blind.mark(0, b"mill"), blind.mark(1, b"mill"));
        assert_ne!(blind.mark(0, b"mill"), Blind::new(&[1; 32]).mark(0, b"mill"));
        assert_eq!(format!("{blind:?}"), "Blind(…)");
    }
}
