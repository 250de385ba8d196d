//! Address tokens: how a client shows that what is sent to its address reaches it (RFC 9000, 8.1).
//!
//! Their form is quinn's, so that quinn takes those made here, and those that quinn makes can be told from
//! forged ones before it does any work. Tests that connect hold the two together.

use aes_gcm::aead::{AeadInPlace, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use hkdf::Hkdf;
use quinn::crypto::{AeadKey, CryptoError, HandshakeTokenKey};
use sha2::Sha256;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use subrosa_shared::time::Millis;

/// Seals tokens. It follows from the relay's key: clients come back after a restart without a round trip.
#[derive(Clone)]
pub struct TokenKey([u8; 32]);

/// What a token says about the address that shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It answered a retry from this very address and port, just now.
    Here,
    /// It was connected from this address (any port) within [`LIFETIME`].
    Before,
    /// It answered a retry, but from another address or too long ago.
    Elsewhere,
    /// Nothing: not ours, or of another address.
    Nothing,
}

/// How long a client may come back to its address without proving it once more.
pub const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long a client may take to answer a retry, and to be taken on: as long as clients go on asking.
pub const RETRY_LIFETIME: Duration = Duration::from_secs(30);

/// A token's random part, which its one-time key is derived from.
pub const NONCE: usize = 16;

const TAG: usize = 16;
/// Kind, address, port, a whole connection id and its length, time, tag, nonce.
const LONGEST: usize = 1 + 17 + 2 + 21 + 8 + TAG + NONCE;

/// The first byte of what is sealed.
const RETRY: u8 = 0;
const BEFORE: u8 = 1;

impl TokenKey {
    /// From 32 secret bytes that serve nothing else.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// For a retry: whoever shows it hears what is sent to that address. `chosen` is the connection id that
    /// the client chose for its first packet.
    pub fn retry(&self, to: SocketAddr, chosen: &[u8], wall: Millis, nonce: [u8; NONCE]) -> Vec<u8> {
        let mut token = Vec::with_capacity(LONGEST);
        token.push(RETRY);
        match to.ip() {
            IpAddr::V4(ip) => {
                token.push(0);
                token.extend(ip.octets());
            }
            IpAddr::V6(ip) => {
                token.push(1);
                token.extend(ip.octets());
            }
        }
        token.extend(to.port().to_be_bytes());
        token.push(chosen.len() as u8);
        token.extend(chosen);
        token.extend((wall.0 / 1000).to_be_bytes());
        self.once(&nonce).seal(&mut token, &[]).expect("a token is shorter than GCM's bound");
        token.extend(nonce);
        token
    }

    /// What this token says about whoever shows it from there.
    pub fn says(&self, token: &[u8], from: SocketAddr, wall: Millis) -> Said {
        if token.len() > LONGEST {
            return Said::Nothing;
        }
        let Some((sealed, nonce)) = token.split_last_chunk::<NONCE>() else { return Said::Nothing };
        let mut sealed = sealed.to_vec();
        let Ok(opened) = self.once(nonce).open(&mut sealed, &[]) else { return Said::Nothing };
        read(opened, from, wall).unwrap_or(Said::Nothing)
    }

    fn once(&self, nonce: &[u8]) -> OneTime {
        let mut key = [0; 32];
        Hkdf::<Sha256>::from_prk(&self.0)
            .expect("32 bytes are a whole hash")
            .expand(nonce, &mut key)
            .expect("a key is shorter than HKDF's bound");
        OneTime(Aes256Gcm::new(&key.into()))
    }
}

fn read(opened: &[u8], from: SocketAddr, wall: Millis) -> Option<Said> {
    let (&kind, rest) = opened.split_first()?;
    let (&version, rest) = rest.split_first()?;
    let (ip, rest) = match version {
        0 => rest.split_first_chunk::<4>().map(|(ip, rest)| (IpAddr::from(*ip), rest))?,
        1 => rest.split_first_chunk::<16>().map(|(ip, rest)| (IpAddr::from(*ip), rest))?,
        _ => return None,
    };
    let (rest, issued) = rest.split_last_chunk()?;
    let age = (wall.0 / 1000).saturating_sub(u64::from_be_bytes(*issued));
    match kind {
        RETRY => {
            let (port, _) = rest.split_first_chunk()?;
            let here = from == SocketAddr::new(ip, u16::from_be_bytes(*port));
            Some(if here && age <= RETRY_LIFETIME.as_secs() { Said::Here } else { Said::Elsewhere })
        }
        BEFORE => (ip == from.ip() && age <= LIFETIME.as_secs()).then_some(Said::Before),
        _ => None,
    }
}

impl HandshakeTokenKey for TokenKey {
    fn aead_from_hkdf(&self, random_bytes: &[u8]) -> Box<dyn AeadKey> {
        Box::new(self.once(random_bytes))
    }
}

/// AES-256-GCM under a key that seals one token, so its nonce is all zeros.
struct OneTime(Aes256Gcm);

impl AeadKey for OneTime {
    fn seal(&self, data: &mut Vec<u8>, additional_data: &[u8]) -> Result<(), CryptoError> {
        self.0.encrypt_in_place(&Nonce::default(), additional_data, data).map_err(|_| CryptoError)
    }

    fn open<'a>(&self, data: &'a mut [u8], additional_data: &[u8]) -> Result<&'a mut [u8], CryptoError> {
        let (data, tag) = data.split_last_chunk_mut::<TAG>().ok_or(CryptoError)?;
        self.0
            .decrypt_in_place_detached(&Nonce::default(), additional_data, data, Tag::from_slice(tag))
            .map_err(|_| CryptoError)?;
        Ok(data)
    }
}

/// Tokens that were shown: each counts once. It remembers the last ones only, so that its memory is bounded;
/// who shows a token once more after so many others is believed again, and pays a handshake for it.
#[derive(Default)]
pub struct Used(Mutex<[HashSet<u128>; 2]>);

/// Tokens of one half; when it is full the other is forgotten.
const HALF: usize = 50_000;

impl quinn::TokenLog for Used {
    fn check_and_insert(
        &self,
        nonce: u128,
        _: SystemTime,
        _: Duration,
    ) -> Result<(), quinn::TokenReuseError> {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [young, old] = &mut *halves;
        if old.contains(&nonce) || !young.insert(nonce) {
            return Err(quinn::TokenReuseError);
        }
        if young.len() == HALF {
            *old = std::mem::take(young);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quinn::TokenLog;

    const NOW: Millis = Millis(1_800_000_000_000);

    fn from(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_retry_is_answered_from_where_it_was_sent_to_and_soon() {
        let key = TokenKey::new([1; 32]);
        for address in ["192.0.2.1:7", "[2001:db8::1]:7"] {
            let token = key.retry(from(address), &[5; 20], NOW, [9; NONCE]);
            assert!(token.len() <= LONGEST);
            assert_eq!(key.says(&token, from(address), NOW), Said::Here);
            assert_eq!(key.says(&token, from(address), Millis(NOW.0 + 30_000)), Said::Here);
            assert_eq!(key.says(&token, from(address), Millis(NOW.0 + 31_000)), Said::Elsewhere);
            assert_eq!(key.says(&token, from("192.0.2.1:8"), NOW), Said::Elsewhere);
            assert_eq!(TokenKey::new([2; 32]).says(&token, from(address), NOW), Said::Nothing);
            for at in 0..token.len() {
                let mut bent = token.clone();
                bent[at] ^= 1;
                assert_eq!(key.says(&bent, from(address), NOW), Said::Nothing, "byte {at}");
                assert_eq!(key.says(&token[..at], from(address), NOW), Said::Nothing);
            }
        }
    }

    #[test]
    fn a_token_of_before_counts_for_its_address_at_any_port_for_a_week() {
        let key = TokenKey::new([1; 32]);
        let mut token = [&[BEFORE, 0, 192, 0, 2, 1][..], &(NOW.0 / 1000).to_be_bytes()].concat();
        key.aead_from_hkdf(&[3; NONCE]).seal(&mut token, &[]).expect("sealed");
        token.extend([3; NONCE]);
        assert_eq!(key.says(&token, from("192.0.2.1:1"), NOW), Said::Before);
        assert_eq!(key.says(&token, from("192.0.2.1:65535"), Millis(NOW.0 + 7 * 86_400_000)), Said::Before);
        assert_eq!(key.says(&token, from("192.0.2.1:1"), Millis(NOW.0 + 7 * 86_401_000)), Said::Nothing);
        assert_eq!(key.says(&token, from("192.0.2.2:1"), NOW), Said::Nothing);
    }

    #[test]
    fn a_token_counts_once_and_their_number_is_bounded() {
        let used = Used::default();
        let takes = |nonce| used.check_and_insert(nonce, SystemTime::UNIX_EPOCH, LIFETIME).is_ok();
        assert!(takes(0) && !takes(0));
        for nonce in 1..=3 * HALF as u128 {
            assert!(takes(nonce) && !takes(nonce));
        }
        let kept: usize = used.0.lock().expect("nobody panicked").iter().map(HashSet::len).sum();
        assert!(kept <= 2 * HALF);
    }
}
