//! Sealing encoded frames so that the relay forwards what it cannot see (RFC 9605).
//!
//! Cipher suite 5, AES_256_GCM_SHA512_128. One random base key a track; CTR counts from 0 for each
//! base key and is never stored, so a sender that starts again needs a new base key. What the relay
//! sees in clear of a frame is bound to it as SFrame metadata.

use crate::id::TrackId;
use sframe::CipherSuite;
use sframe::frame::{EncryptedFrameView, FrameCounter, MediaFrameView, MonotonicCounter};
use sframe::header::SframeHeader;
use sframe::key::{DecryptionKey, EncryptionKey};
use std::fmt;

/// What stands in clear beside a sealed frame and must not change on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Which track.
    pub track: TrackId,
    /// Counted up by the publisher, one a frame.
    pub frame: u32,
    /// Decodes without any frame before it.
    pub keyframe: bool,
    /// Temporal layer.
    pub layer: u8,
}

/// Seals one sender's frames.
pub struct Sealer {
    key: EncryptionKey,
    counter: MonotonicCounter,
}

/// Opens one sender's frames.
pub struct Opener {
    key: DecryptionKey,
    kid: u64,
    /// CTR of the newest frame that was opened.
    newest: Option<u64>,
}

/// Why a frame was not opened. The opener is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too short, too long, or under another key id.
    #[error("not a sealed frame of this sender")]
    Foreign,
    /// Not newer than one that was opened already.
    #[error("the frame came before")]
    Replayed,
    /// The tag does not verify.
    #[error("the frame was changed or sealed with another key")]
    Forged,
    /// All counter values are used: a new base key is needed.
    #[error("the key is used up")]
    Exhausted,
}

/// The most bytes that a sealed frame is longer than the frame.
pub const OVERHEAD: usize = 17 + 16;

/// The longest sealed frame that is looked at.
pub const SEALED_MAX: usize = crate::video::codec::FRAME_MAX + OVERHEAD;

impl Sealer {
    /// Counts from 0: never make two with the same `key` and `kid`.
    pub fn new(key: &[u8; 32], kid: u64) -> Self {
        Self { key: encryption_key(key, kid), counter: MonotonicCounter::default() }
    }

    /// `SFrame header ‖ ciphertext ‖ tag`, bound to the facts.
    ///
    /// # Errors
    /// [`Refused::Exhausted`] after 2^64 frames.
    pub fn seal(&mut self, facts: &Facts, frame: &[u8]) -> Result<Vec<u8>, Refused> {
        seal(&self.key, &mut self.counter, &facts.metadata(), frame)
    }
}

impl Opener {
    /// Opens what a [`Sealer`] with the same key and key id sealed.
    pub fn new(key: &[u8; 32], kid: u64) -> Self {
        Self { key: decryption_key(key, kid), kid, newest: None }
    }

    /// The frame. Only a frame newer than each one before is opened.
    ///
    /// # Errors
    /// [`Refused`] says whether it is foreign, came before, or does not verify.
    pub fn open(&mut self, facts: &Facts, sealed: &[u8]) -> Result<Vec<u8>, Refused> {
        let counter = self.counter(sealed)?;
        if self.newest.is_some_and(|newest| counter <= newest) {
            return Err(Refused::Replayed);
        }
        let frame = open(&self.key, &facts.metadata(), sealed)?;
        self.newest = Some(counter);
        Ok(frame)
    }

    fn counter(&self, sealed: &[u8]) -> Result<u64, Refused> {
        if sealed.len() > SEALED_MAX {
            return Err(Refused::Foreign);
        }
        let header = SframeHeader::deserialize(sealed).map_err(|_| Refused::Foreign)?;
        // A counter has one spelling, or a header could be rewritten; its bytes are sealed too.
        (header.key_id() == self.kid).then_some(header.counter()).ok_or(Refused::Foreign)
    }
}

impl Facts {
    fn metadata(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[..4].copy_from_slice(&self.track.0.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.frame.to_be_bytes());
        bytes[8] = u8::from(self.keyframe);
        bytes[9] = self.layer;
        bytes
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("kid", &self.key.key_id()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("kid", &self.kid).finish_non_exhaustive()
    }
}

const SUITE: CipherSuite = CipherSuite::AesGcm256Sha512;

fn encryption_key(material: &[u8], kid: u64) -> EncryptionKey {
    EncryptionKey::derive_from(SUITE, kid, material).expect("the suite is built in and HKDF's output short")
}

fn decryption_key(material: &[u8], kid: u64) -> DecryptionKey {
    DecryptionKey::derive_from(SUITE, kid, material).expect("the suite is built in and HKDF's output short")
}

fn seal(
    key: &EncryptionKey,
    counter: &mut impl FrameCounter,
    metadata: &[u8],
    frame: &[u8],
) -> Result<Vec<u8>, Refused> {
    let view =
        MediaFrameView::try_with_meta_data(counter, frame, metadata).map_err(|_| Refused::Exhausted)?;
    let mut buffer = Vec::new();
    view.encrypt_into(key, &mut buffer).map_err(|_| Refused::Exhausted)?;
    // The crate puts the metadata first; it travels elsewhere.
    Ok(buffer.split_off(metadata.len()))
}

fn open(key: &DecryptionKey, metadata: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Refused> {
    let view = EncryptedFrameView::try_with_meta_data(sealed, metadata).map_err(|_| Refused::Foreign)?;
    let opened = view.decrypt(key).map_err(|_| Refused::Forged)?;
    Ok(opened.payload().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;
    use sframe::frame::SingleUseCounter;

    const FACTS: Facts = Facts { track: TrackId(7), frame: 3, keyframe: true, layer: 0 };

    fn pair() -> (Sealer, Opener) {
        (Sealer::new(&[5; 32], 9), Opener::new(&[5; 32], 9))
    }

    #[test]
    fn rfc_9605_vector_for_suite_5() {
        let text = include_str!("../../testdata/sframe-aes256-gcm.json");
        let vector: serde_json::Value = serde_json::from_str(text).expect("json");
        let hex = |name: &str| HEXLOWER.decode(vector[name].as_str().expect("text").as_bytes()).expect("hex");
        let (kid, ctr) = (vector["kid"].as_u64().expect("number"), vector["ctr"].as_u64().expect("number"));
        let key = encryption_key(&hex("base_key"), kid);
        let sealed =
            seal(&key, &mut SingleUseCounter::new(ctr), &hex("metadata"), &hex("pt")).expect("fresh");
        assert_eq!(sealed, hex("ct"));
        let opened = open(&decryption_key(&hex("base_key"), kid), &hex("metadata"), &sealed);
        assert_eq!(opened, Ok(hex("pt")));
    }

    #[test]
    fn counters_start_at_zero_and_a_frame_costs_little() {
        let (mut sealer, mut opener) = pair();
        for count in 0..300u64 {
            let sealed = sealer.seal(&FACTS, b"frame").expect("fresh");
            assert_eq!(SframeHeader::deserialize(&sealed).expect("a header").counter(), count);
            assert!(sealed.len() <= 5 + 21, "{} bytes", sealed.len());
            assert_eq!(opener.open(&FACTS, &sealed).expect("whole"), b"frame");
        }
    }

    #[test]
    fn a_frame_is_opened_once_and_never_after_a_newer_one() {
        let (mut sealer, mut opener) = pair();
        let first = sealer.seal(&FACTS, b"one").expect("fresh");
        let second = sealer.seal(&FACTS, b"two").expect("fresh");
        assert_eq!(opener.open(&FACTS, &second).expect("whole"), b"two");
        assert_eq!(opener.open(&FACTS, &second), Err(Refused::Replayed));
        assert_eq!(opener.open(&FACTS, &first), Err(Refused::Replayed));
    }

    #[test]
    fn every_fact_and_every_bit_is_bound() {
        let (mut sealer, mut opener) = pair();
        let sealed = sealer.seal(&FACTS, b"a picture").expect("fresh");
        for facts in [
            Facts { track: TrackId(8), ..FACTS },
            Facts { frame: 4, ..FACTS },
            Facts { keyframe: false, ..FACTS },
            Facts { layer: 1, ..FACTS },
        ] {
            assert_eq!(opener.open(&facts, &sealed), Err(Refused::Forged), "{facts:?}");
        }
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(opener.open(&FACTS, &changed).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(opener.open(&FACTS, &sealed[..length]).is_err(), "{length} bytes");
        }
        assert_eq!(opener.open(&FACTS, &sealed).expect("state is unharmed"), b"a picture");
    }

    #[test]
    fn another_key_or_key_id_opens_nothing() {
        let (mut sealer, _) = pair();
        let sealed = sealer.seal(&FACTS, b"a picture").expect("fresh");
        assert_eq!(Opener::new(&[6; 32], 9).open(&FACTS, &sealed), Err(Refused::Forged));
        assert_eq!(Opener::new(&[5; 32], 8).open(&FACTS, &sealed), Err(Refused::Foreign));
        assert_eq!(Opener::new(&[5; 32], 9).open(&FACTS, &vec![0; SEALED_MAX + 1]), Err(Refused::Foreign));
    }

    #[test]
    fn debug_shows_no_key() {
        let (sealer, opener) = pair();
        assert_eq!(format!("{sealer:?} {opener:?}"), "Sealer { kid: 9, .. } Opener { kid: 9, .. }");
    }
}
