//! The bytes of a session message, outside and inside.
//!
//! ```text
//! outside   version 1 ‖ type ‖ …                       at most HEAD_MAX bytes
//!   0 first prekey id (16) ‖ ct (1088) ‖ Noise message (e 32 ‖ sealed s 48 ‖ sealed payload 0)
//!   1 next  session id (16) ‖ n (u64 BE) ‖ ciphertext ‖ tag (16)
//! AD        session id ‖ n (u64 BE) ‖ type             of a next message
//! payload 0 cert (128) ‖ version 1 ‖ SHA-256 of the id of the last inbound session from this peer
//!           (32; zeros for none) ‖ bundle ‖ content
//! payload n version 1 ‖ bundle ‖ content
//! bundle    length (u16 BE; 0 for none) ‖ encoded bundle for this peer
//! content   length (u32 BE) ‖ bytes
//! ```

use super::chain;
use super::error::Invalid;
use super::handshake::OVERHEAD;
use super::prekey::CT;
use crate::id::{PrekeyId, SessionId};
use crate::protocol::auth::Cert;
use crate::protocol::envelope::HEAD_MAX;
use crate::protocol::prekey::BUNDLE_MAX;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The version outside and inside.
pub const VERSION: u8 = 1;

/// The longest content, in bytes: what a session start with a bundle leaves of [`HEAD_MAX`].
pub const CONTENT_MAX: usize = HEAD_MAX - FIRST_HEAD - OVERHEAD - INSIDE_FIRST - INSIDE - BUNDLE_MAX;

/// Whether these bytes begin a session: what follows in it cannot be opened without them.
pub fn begins(bytes: &[u8]) -> bool {
    bytes.get(1) == Some(&FIRST)
}

/// A session message, split but not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outside<'a> {
    First { prekey: PrekeyId, ct: &'a [u8; CT], noise: &'a [u8] },
    Next { session: SessionId, n: u64, sealed: &'a [u8] },
}

impl<'a> Outside<'a> {
    /// Splits bytes from outside; their length is checked first.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, Invalid> {
        if bytes.len() > HEAD_MAX {
            return Err(Invalid::Form);
        }
        let ([version, kind], rest) = bytes.split_first_chunk().ok_or(Invalid::Form)?;
        if *version != VERSION {
            return Err(Invalid::Version(*version));
        }
        let (id, rest) = rest.split_first_chunk().ok_or(Invalid::Form)?;
        match *kind {
            FIRST => {
                let (ct, noise) = rest.split_first_chunk().ok_or(Invalid::Form)?;
                let whole = noise.len() >= OVERHEAD;
                whole.then_some(Self::First { prekey: PrekeyId(*id), ct, noise }).ok_or(Invalid::Form)
            }
            NEXT => {
                let (n, sealed) = rest.split_first_chunk().ok_or(Invalid::Form)?;
                let whole = sealed.len() >= chain::TAG;
                let next = Self::Next { session: SessionId(*id), n: u64::from_be_bytes(*n), sealed };
                whole.then_some(next).ok_or(Invalid::Form)
            }
            _ => Err(Invalid::Form),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::First { prekey, ct, noise } => {
                [&[VERSION, FIRST], prekey.0.as_slice(), ct.as_slice(), noise].concat()
            }
            Self::Next { session, n, sealed } => {
                [&[VERSION, NEXT], session.0.as_slice(), &n.to_be_bytes(), sealed].concat()
            }
        }
    }
}

/// What these bytes say inside a first and a later message, spelt anew: the same bytes. For the fuzz targets, since
/// from outside only a peer's seal leads there.
#[doc(hidden)]
pub fn respelt(bytes: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let first = Start::decode(bytes).map(|(start, inside)| start.encode(&inside));
    let later = Inside::decode(bytes).map(|inside| inside.encode());
    first.into_iter().chain(later).collect()
}

/// What authenticates the place of a next message.
pub(super) fn associated_data(session: &SessionId, n: u64) -> [u8; 25] {
    let mut ad = [NEXT; 25];
    ad[..16].copy_from_slice(&session.0);
    ad[16..24].copy_from_slice(&n.to_be_bytes());
    ad
}

/// How payload 0 names a session.
pub(super) fn session_hash(session: &SessionId) -> [u8; 32] {
    Sha256::digest(session.0).into()
}

/// What stands before [`Inside`] in payload 0.
pub(super) struct Start {
    pub(super) cert: Cert,
    /// [`session_hash`] of the last inbound session from this peer; zeros for none.
    pub(super) last: [u8; 32],
}

/// What every message carries.
pub(super) struct Inside<'a> {
    pub(super) bundle: Option<&'a [u8]>,
    pub(super) content: &'a [u8],
}

impl Start {
    /// Payload 0.
    pub(super) fn encode(&self, inside: &Inside) -> Zeroizing<Vec<u8>> {
        let mut bytes = room(INSIDE_FIRST, inside);
        bytes.extend_from_slice(&self.cert.0);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.last);
        inside.append(&mut bytes);
        bytes
    }

    /// Splits payload 0.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, Inside<'_>), Invalid> {
        let (cert, rest) = bytes.split_first_chunk().ok_or(Invalid::Inside)?;
        let rest = versioned(rest)?;
        let (last, rest) = rest.split_first_chunk().ok_or(Invalid::Inside)?;
        Ok((Self { cert: Cert(*cert), last: *last }, Inside::take(rest)?))
    }
}

impl<'a> Inside<'a> {
    /// Payload n.
    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = room(1, self);
        bytes.push(VERSION);
        self.append(&mut bytes);
        bytes
    }

    /// Splits payload n.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, Invalid> {
        Self::take(versioned(bytes)?)
    }

    fn append(&self, bytes: &mut Vec<u8>) {
        let bundle = self.bundle.unwrap_or_default();
        bytes.extend_from_slice(&(bundle.len() as u16).to_be_bytes());
        bytes.extend_from_slice(bundle);
        bytes.extend_from_slice(&(self.content.len() as u32).to_be_bytes());
        bytes.extend_from_slice(self.content);
    }

    fn take(bytes: &'a [u8]) -> Result<Self, Invalid> {
        let (length, rest) = bytes.split_first_chunk().ok_or(Invalid::Inside)?;
        let (bundle, rest) =
            rest.split_at_checked(u16::from_be_bytes(*length) as usize).ok_or(Invalid::Inside)?;
        let (length, content) = rest.split_first_chunk().ok_or(Invalid::Inside)?;
        let whole = u32::from_be_bytes(*length) as usize == content.len();
        let bundle = Some(bundle).filter(|bundle| !bundle.is_empty());
        whole.then_some(Self { bundle, content }).ok_or(Invalid::Inside)
    }
}

fn versioned(bytes: &[u8]) -> Result<&[u8], Invalid> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => Ok(rest),
        Some((&version, _)) => Err(Invalid::Version(version)),
        None => Err(Invalid::Inside),
    }
}

/// As much as is needed at once: growing would leave copies of the content behind.
fn room(before: usize, inside: &Inside) -> Zeroizing<Vec<u8>> {
    let bundle = inside.bundle.map_or(0, <[u8]>::len);
    Zeroizing::new(Vec::with_capacity(before + INSIDE + bundle + inside.content.len()))
}

const FIRST: u8 = 0;
const NEXT: u8 = 1;

/// Version, type, prekey id and ciphertext.
const FIRST_HEAD: usize = 2 + 16 + CT;

/// Certificate, version and hash.
const INSIDE_FIRST: usize = 128 + 1 + 32;

/// The lengths of bundle and content.
const INSIDE: usize = 2 + 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_a_first_message() {
        let (ct, noise) = ([3; CT], [4; OVERHEAD]);
        let first = Outside::First { prekey: PrekeyId([2; 16]), ct: &ct, noise: &noise };
        let bytes = first.encode();
        let mut want = vec![1, 0];
        want.extend([2; 16]);
        want.extend([3; 1088]);
        want.extend([4; 96]);
        assert_eq!(bytes, want);
        assert_eq!(Outside::decode(&bytes), Ok(first));
        for cut in 0..bytes.len() {
            assert!(Outside::decode(&bytes[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn bytes_of_a_next_message() {
        let next = Outside::Next { session: SessionId([5; 16]), n: 258, sealed: &[6; 16] };
        let bytes = next.encode();
        let mut want = vec![1, 1];
        want.extend([5; 16]);
        want.extend([0, 0, 0, 0, 0, 0, 1, 2]);
        want.extend([6; 16]);
        assert_eq!(bytes, want);
        assert_eq!(Outside::decode(&bytes), Ok(next));
        for cut in 0..bytes.len() {
            assert!(Outside::decode(&bytes[..cut]).is_err(), "{cut}");
        }
        want[0] = 2;
        assert_eq!(Outside::decode(&want), Err(Invalid::Version(2)));
        want[..2].copy_from_slice(&[1, 2]);
        assert_eq!(Outside::decode(&want), Err(Invalid::Form));
        assert_eq!(Outside::decode(&[1; HEAD_MAX + 1]), Err(Invalid::Form));
    }

    #[test]
    fn bytes_of_the_associated_data() {
        let mut want = vec![7; 16];
        want.extend([0, 0, 0, 0, 0, 0, 1, 2, 1]);
        assert_eq!(associated_data(&SessionId([7; 16]), 258).as_slice(), want);
    }

    #[test]
    fn bytes_of_the_insides() {
        let inside = Inside { bundle: Some(&[8, 9]), content: b"hi" };
        assert_eq!(*inside.encode(), [1, 0, 2, 8, 9, 0, 0, 0, 2, b'h', b'i']);
        let start = Start { cert: Cert([1; 128]), last: [2; 32] };
        let bytes = start.encode(&inside);
        let mut want = vec![1; 129];
        want.extend([2; 32]);
        want.extend([0, 2, 8, 9, 0, 0, 0, 2, b'h', b'i']);
        assert_eq!(*bytes, want);
        let (again, inside) = Start::decode(&bytes).expect("whole");
        assert_eq!((again.cert, again.last), (start.cert, start.last));
        assert_eq!((inside.bundle, inside.content), (Some([8, 9].as_slice()), b"hi".as_slice()));
        for cut in 0..bytes.len() {
            assert!(Start::decode(&bytes[..cut]).is_err(), "{cut}");
        }
        let none = Inside { bundle: None, content: b"" };
        assert_eq!(*none.encode(), [1, 0, 0, 0, 0, 0, 0]);
        assert!(Inside::decode(&none.encode()).is_ok_and(|inside| inside.bundle.is_none()));
        assert!(Inside::decode(&[1, 0, 0, 0, 0, 0, 0, 0]).is_err(), "a byte left over");
    }

    #[test]
    fn the_longest_first_message_fits_a_head() {
        const { assert!(CONTENT_MAX >= 4 * 1024) };
        let inside = Inside { bundle: Some(&[0; BUNDLE_MAX]), content: &[0; CONTENT_MAX] };
        let payload = Start { cert: Cert([0; 128]), last: [0; 32] }.encode(&inside);
        assert_eq!(FIRST_HEAD + OVERHEAD + payload.len(), HEAD_MAX);
    }
}
