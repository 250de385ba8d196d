//! The stream after the handshake: Noise's CipherState (spec 5.1) with a REKEY (4.2) after each message.
//!
//! Message `n` is sealed by AES-256-GCM under `k_n` with the nonce `0^4 ‖ BE64(n)` (spec 12.4), and
//! `k_{n+1} = REKEY(k_n)`; `n` is never reset. So a key seals one message, and whoever takes `k_n`
//! learns nothing of the messages before it.

use crate::time::Millis;
use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// How far past the last number a message may be.
pub const AHEAD_MAX: u64 = 1000;

/// How long the key of a message that did not come is kept.
pub const SKIPPED_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// The most slots with keys of messages that did not come, for one session; past it the oldest go. A key has a slot
/// of its own where the messages before and after it came.
pub const SKIPPED_MAX: usize = 2 * AHEAD_MAX as usize / PART;

/// Bytes that sealing adds.
pub const TAG: usize = 16;

/// `k_n` and `n`. Wiped on drop; has no `Debug`.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(super) struct CipherState {
    key: [u8; 32],
    n: u64,
}

/// A tag that does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadTag;

impl CipherState {
    /// At `n = 0`.
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self { key: *key, n: 0 }
    }

    /// The number of the next message.
    pub(super) fn n(&self) -> u64 {
        self.n
    }

    /// Whether all numbers are used: 2^64-1 is REKEY's own (spec 4.2).
    pub(super) fn used_up(&self) -> bool {
        self.n == u64::MAX
    }

    /// Noise's ENCRYPT at this `n`. The state does not move: the caller moves it by
    /// [`CipherState::step`], once.
    pub(super) fn encrypt(&self, ad: &[u8], plaintext: &[u8]) -> Vec<u8> {
        encrypt(&self.key, self.n, ad, plaintext)
    }

    /// Noise's DECRYPT at this `n`. The state does not move.
    pub(super) fn decrypt(&self, ad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, BadTag> {
        let payload = Payload { msg: sealed, aad: ad };
        cipher(&self.key).decrypt(&nonce(self.n).into(), payload).map(Zeroizing::new).map_err(|_| BadTag)
    }

    /// The next `n` alone, as in a Noise stream without REKEY.
    #[cfg(test)]
    pub(super) fn count(&mut self) {
        self.n += 1;
    }

    /// The next key and the next `n`.
    pub(super) fn step(&mut self) {
        let sealed = Zeroizing::new(encrypt(&self.key, u64::MAX, &[], &[0; 32]));
        self.key.copy_from_slice(&sealed[..32]);
        self.n += 1;
    }
}

fn encrypt(key: &[u8; 32], n: u64, ad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let payload = Payload { msg: plaintext, aad: ad };
    cipher(key).encrypt(&nonce(n).into(), payload).expect("a message is far below AES-GCM's 64 GiB")
}

fn cipher(key: &[u8; 32]) -> Aes256Gcm {
    Aes256Gcm::new(key.into())
}

fn nonce(n: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&n.to_be_bytes());
    nonce
}

/// The key of a message that did not come yet.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(super) struct Skipped {
    pub(super) state: CipherState,
    /// When it is forgotten, wall clock.
    #[zeroize(skip)]
    pub(super) until: Millis,
}

/// Keys of messages that did not come, in parts that fit a slot each.
pub(super) type Parts = BTreeMap<u16, Vec<Skipped>>;

/// How many keys make a part: 8 of at most 52 bytes each are below [`crate::store::SLOT_MAX`].
pub(super) const PART: usize = 8;

/// The receiving side.
#[derive(Clone)]
pub(super) struct Receiving {
    pub(super) next: CipherState,
    pub(super) skipped: Parts,
    /// Below this number a key that is not there may have been forgotten unused.
    pub(super) forgotten: u64,
}

/// What a message moved; apply it by [`Receiving::keep`].
pub(super) struct Moved {
    /// The chain past the message; `None` when the message came late.
    next: Option<CipherState>,
    /// Parts that are set (or, when empty, erased).
    parts: Parts,
    forgotten: u64,
}

/// Why a message was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Repeated,
    /// Opened before, or its key was forgotten.
    Forgotten,
    TooFarAhead,
    BadTag,
}

impl Receiving {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self { next: CipherState::new(key), skipped: Parts::new(), forgotten: 0 }
    }

    /// Opens message `n`. Nothing moves until [`Receiving::keep`].
    pub(super) fn open(
        &self,
        n: u64,
        ad: &[u8],
        sealed: &[u8],
        wall: Millis,
    ) -> Result<(Zeroizing<Vec<u8>>, Moved), Refused> {
        if n < self.next.n() {
            return self.open_late(n, ad, sealed);
        }
        if n - self.next.n() > AHEAD_MAX || n == u64::MAX {
            return Err(Refused::TooFarAhead);
        }
        let mut state = self.next.clone();
        let mut fresh = Vec::new();
        while state.n() < n {
            fresh.push(Skipped { state: state.clone(), until: wall.plus(SKIPPED_FOR) });
            state.step();
        }
        let plaintext = state.decrypt(ad, sealed).map_err(|BadTag| Refused::BadTag)?;
        state.step();
        let (parts, forgotten) = self.placed(fresh);
        Ok((plaintext, Moved { next: Some(state), parts, forgotten }))
    }

    /// Takes over what a message moved; says which parts changed, in order.
    pub(super) fn keep(&mut self, moved: Moved) -> Vec<u16> {
        let changed = moved.parts.keys().copied().collect();
        for (part, keys) in moved.parts {
            if keys.is_empty() {
                self.skipped.remove(&part);
            } else {
                self.skipped.insert(part, keys);
            }
        }
        if let Some(next) = moved.next {
            self.next = next;
        }
        self.forgotten = moved.forgotten;
        changed
    }

    /// Forgets keys that are past their time; says which parts changed.
    pub(super) fn expire(&mut self, wall: Millis) -> Vec<u16> {
        let old = self.skipped.values().flatten().filter(|key| key.until <= wall);
        self.forgotten = old.map(|key| key.state.n() + 1).max().unwrap_or(0).max(self.forgotten);
        self.retain(|key| key.until > wall)
    }

    /// Keeps no key for longer than one of now; says which parts changed.
    pub(super) fn shorten(&mut self, wall: Millis) -> Vec<u16> {
        let latest = wall.plus(SKIPPED_FOR);
        let mut changed = Vec::new();
        for (part, keys) in &mut self.skipped {
            if keys.iter().any(|key| key.until > latest) {
                keys.iter_mut().for_each(|key| key.until = key.until.min(latest));
                changed.push(*part);
            }
        }
        changed
    }

    /// Forgets keys that the chain has not passed: a crash came between them and the chain.
    pub(super) fn drop_ahead(&mut self) -> Vec<u16> {
        let next = self.next.n();
        self.retain(|key| key.state.n() < next)
    }

    /// How many slots the keys of messages that did not come take.
    pub(super) fn held(&self) -> usize {
        self.skipped.len()
    }

    /// Forgets all of them; says which parts changed.
    pub(super) fn forget_skipped(&mut self) -> Vec<u16> {
        let all = self.skipped.values().flatten().map(|key| key.state.n() + 1);
        self.forgotten = all.max().unwrap_or(0).max(self.forgotten);
        self.retain(|_| false)
    }

    /// When the first key is past its time.
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.skipped.values().flatten().map(|key| key.until).min()
    }

    fn retain(&mut self, keep: impl Fn(&Skipped) -> bool) -> Vec<u16> {
        let mut changed = Vec::new();
        self.skipped.retain(|part, keys| {
            let before = keys.len();
            keys.retain(&keep);
            if keys.len() < before {
                changed.push(*part);
            }
            !keys.is_empty()
        });
        changed
    }

    fn open_late(&self, n: u64, ad: &[u8], sealed: &[u8]) -> Result<(Zeroizing<Vec<u8>>, Moved), Refused> {
        let holds = |keys: &Vec<Skipped>| keys.iter().position(|key| key.state.n() == n);
        let found = self.skipped.iter().find_map(|(part, keys)| Some((part, keys, holds(keys)?)));
        let missing = if n < self.forgotten { Refused::Forgotten } else { Refused::Repeated };
        let (part, keys, at) = found.ok_or(missing)?;
        let plaintext = keys[at].state.decrypt(ad, sealed).map_err(|BadTag| Refused::BadTag)?;
        let mut keys = keys.clone();
        keys.remove(at);
        Ok((plaintext, Moved { next: None, parts: Parts::from([(*part, keys)]), forgotten: self.forgotten }))
    }

    /// Gives fresh keys parts of their own, and the room of the oldest when there are too many.
    fn placed(&self, fresh: Vec<Skipped>) -> (Parts, u64) {
        let (mut parts, mut forgotten) = (Parts::new(), self.forgotten);
        let mut held = self.held() + fresh.len().div_ceil(PART);
        let oldest = |keys: &Vec<Skipped>| keys.iter().map(|key| key.state.n()).min();
        let mut by_age: Vec<_> = self.skipped.iter().map(|(part, keys)| (oldest(keys), *part)).collect();
        by_age.sort_unstable();
        for (_, part) in by_age {
            if held <= SKIPPED_MAX {
                break;
            }
            let keys = self.skipped.get(&part).map_or([].as_slice(), Vec::as_slice);
            held -= 1;
            forgotten = keys.iter().map(|key| key.state.n() + 1).max().unwrap_or(0).max(forgotten);
            parts.insert(part, Vec::new());
        }
        let mut free = (0..=u16::MAX).filter(|part| !self.skipped.contains_key(part));
        for keys in fresh.chunks(PART) {
            let part = free.next().expect("SKIPPED_MAX is far below the number of parts that there can be");
            parts.insert(part, keys.to_vec());
        }
        (parts, forgotten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SLOT_MAX;

    const NOW: Millis = Millis(1_800_000_000_000);

    /// The message `n` of a stream that began with this key.
    fn sealed(key: u8, n: u64) -> Vec<u8> {
        let mut state = CipherState::new(&[key; 32]);
        while state.n() < n {
            state.step();
        }
        state.encrypt(b"ad", &n.to_be_bytes())
    }

    fn takes(chain: &mut Receiving, n: u64) {
        let (plaintext, moved) = chain.open(n, b"ad", &sealed(1, n), NOW).expect("opens");
        assert_eq!(*plaintext, n.to_be_bytes());
        chain.keep(moved);
    }

    fn held(chain: &Receiving) -> usize {
        chain.skipped.values().map(Vec::len).sum()
    }

    #[test]
    fn a_refused_message_moves_nothing() {
        let mut chain = Receiving::new(&[1; 32]);
        takes(&mut chain, 3);
        for (n, bytes, ad, why) in [
            (4, sealed(2, 4), b"ad".as_slice(), Refused::BadTag),
            (4, sealed(1, 4), b"xx", Refused::BadTag),
            (4, sealed(1, 5), b"ad", Refused::BadTag),
            (1, sealed(1, 2), b"ad", Refused::BadTag),
            (3, sealed(1, 3), b"ad", Refused::Repeated),
            (1005, sealed(1, 1005), b"ad", Refused::TooFarAhead),
            (u64::MAX, sealed(1, 5), b"ad", Refused::TooFarAhead),
        ] {
            assert_eq!(chain.open(n, ad, &bytes, NOW).err(), Some(why), "{n}");
        }
        assert_eq!((chain.next.n(), held(&chain)), (4, 3));
        for n in [1, 0, 2, 4] {
            takes(&mut chain, n);
        }
        assert_eq!((chain.next.n(), held(&chain)), (5, 0));
    }

    #[test]
    fn too_many_skipped_keys_push_the_oldest_out() {
        let mut chain = Receiving::new(&[1; 32]);
        for n in [1000, 2001, 3002] {
            takes(&mut chain, n);
            assert!(chain.held() <= SKIPPED_MAX, "{}", chain.held());
        }
        assert_eq!(chain.open(5, b"ad", &sealed(1, 5), NOW).err(), Some(Refused::Forgotten), "pushed out");
        takes(&mut chain, 2999);
        takes(&mut chain, 1500);
    }

    #[test]
    fn expired_and_premature_keys_are_dropped_by_part() {
        let mut chain = Receiving::new(&[1; 32]);
        takes(&mut chain, 20);
        assert_eq!(chain.skipped.len(), 20usize.div_ceil(PART));
        assert_eq!(chain.deadline(), Some(NOW.plus(SKIPPED_FOR)));
        assert!(chain.expire(NOW).is_empty());
        let mut torn = Receiving::new(&[1; 32]);
        torn.skipped = chain.skipped.clone();
        assert_eq!(torn.drop_ahead(), [0, 1, 2], "the chain did not pass them");
        assert_eq!(chain.expire(NOW.plus(SKIPPED_FOR)), [0, 1, 2]);
        assert!(chain.skipped.is_empty());
    }

    #[test]
    fn a_part_is_below_a_slot() {
        // Two varints of at most 10 bytes beside each key, and version and length before all.
        const { assert!(2 + PART * (32 + 10 + 10) <= SLOT_MAX) };
    }
}
