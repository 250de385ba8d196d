//! How content lies in a session message: in the head itself, or in a body of which the head has the key.
//!
//! ```text
//! inside a head   0 ‖ content
//!                 1 ‖ key (32) ‖ SHA-256(body) (32)     body: the content, sealed under that key
//!                 2 ‖ number (u32 BE) ‖ hash (32) ‖ one of these two: which list of devices the sender has
//! ```

use rand_core::CryptoRngCore;
use sha2::{Digest, Sha256};
use subrosa_shared::content::{self, Content};
use subrosa_shared::protocol::devices::Head;
use subrosa_shared::session::blob;
use zeroize::Zeroizing;

/// Content up to this size goes into the head; longer content is sealed once as the body.
pub const INLINE_MAX: usize = 512;

/// Why an opened head holds no content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The content is of a newer version.
    #[error("a message that needs a newer subrosa (content version {0})")]
    Newer(u8),
    /// The body is not the one that the head names.
    #[error("the body's SHA-256 is not the one in the sealed head")]
    Hash,
    /// The body does not open under the key in the head.
    #[error(transparent)]
    Body(#[from] blob::Unreadable),
    /// Neither of the two forms, or no content.
    #[error("a message that makes no sense")]
    Malformed,
}

/// Content that is ready for a session.
pub struct Wrapped {
    /// What the session seals.
    pub inside: Zeroizing<Vec<u8>>,
    /// What goes beside it; empty when the head holds everything.
    pub body: Vec<u8>,
}

/// Wraps content; a long one is sealed as a body under a fresh key.
pub fn wrap(content: &Content, rng: &mut dyn CryptoRngCore) -> Wrapped {
    let content = Zeroizing::new(content.encode());
    if content.len() <= INLINE_MAX {
        let inside = Zeroizing::new([&[IN_HEAD], content.as_slice()].concat());
        return Wrapped { inside, body: Vec::new() };
    }
    let (key, body) = blob::seal(&content, rng);
    let hash = Sha256::digest(&body);
    let inside = Zeroizing::new([&[IN_BODY], key.as_bytes().as_slice(), &hash].concat());
    Wrapped { inside, body }
}

/// The content of an opened head and its body.
///
/// # Errors
/// [`Unreadable`] says which part does not fit.
pub fn unwrap(opened: &[u8], body: &[u8]) -> Result<Content, Unreadable> {
    let content = match opened.split_first() {
        Some((&IN_HEAD, content)) => Zeroizing::new(content.to_vec()),
        Some((&IN_BODY, rest)) => {
            let (key, hash) = rest.split_first_chunk::<32>().ok_or(Unreadable::Malformed)?;
            if Sha256::digest(body).as_slice() != hash {
                return Err(Unreadable::Hash);
            }
            blob::open(&blob::Key::from_bytes(*key), body)?
        }
        _ => return Err(Unreadable::Malformed),
    };
    Ok(Content::decode(&content)?)
}

impl From<content::Error> for Unreadable {
    fn from(error: content::Error) -> Self {
        match error {
            content::Error::Version(version) => Self::Newer(version),
            content::Error::Malformed => Self::Malformed,
        }
    }
}

/// Puts the version of the sender's own list of devices before what [`wrap`] gave.
pub fn with_list(head: Head, inside: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([&[LISTED], head.number.to_be_bytes().as_slice(), &head.hash, inside].concat())
}

/// As [`unwrap`], and which list of devices the sender has, when it was told.
pub fn unwrap_listed(opened: &[u8], body: &[u8]) -> (Option<Head>, Result<Content, Unreadable>) {
    let listed = opened.strip_prefix(&[LISTED]).and_then(|rest| {
        let (number, rest) = rest.split_first_chunk()?;
        let (hash, rest) = rest.split_first_chunk()?;
        Some((Head { number: u32::from_be_bytes(*number), hash: *hash }, rest))
    });
    match listed {
        Some((head, rest)) => (Some(head), unwrap(rest, body)),
        None => (None, unwrap(opened, body)),
    }
}

const IN_HEAD: u8 = 0;
const IN_BODY: u8 = 1;
const LISTED: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use subrosa_shared::id::MessageId;
    use subrosa_shared::time::Millis;

    fn text(length: usize) -> Content {
        Content::Text { id: MessageId([1; 16]), at: Millis(1), body: "x".repeat(length) }
    }

    #[test]
    fn short_content_is_in_the_head_and_long_content_beside_it() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let short = wrap(&text(10), &mut rng);
        assert!(short.body.is_empty() && short.inside[0] == 0);
        assert_eq!(unwrap(&short.inside, &short.body), Ok(text(10)));
        let long = wrap(&text(600), &mut rng);
        assert_eq!((long.inside.len(), long.inside[0]), (65, 1));
        assert_eq!(unwrap(&long.inside, &long.body), Ok(text(600)));
    }

    #[test]
    fn a_list_goes_before_both_forms() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let head = Head { number: 0x0102_0304, hash: [9; 32] };
        for length in [10, 600] {
            let Wrapped { inside, body } = wrap(&text(length), &mut rng);
            let listed = with_list(head, &inside);
            assert_eq!(listed[..6], [2, 1, 2, 3, 4, 9]);
            assert_eq!(unwrap_listed(&listed, &body), (Some(head), Ok(text(length))));
            assert_eq!(unwrap_listed(&inside, &body), (None, Ok(text(length))));
        }
        assert_eq!(unwrap_listed(&[2, 0, 0], &[]), (None, Err(Unreadable::Malformed)));
    }

    #[test]
    fn another_body_hash_or_key_is_refused() {
        let Wrapped { inside, mut body } = wrap(&text(600), &mut ChaCha20Rng::seed_from_u64(2));
        for (at, why) in
            [(0, Unreadable::Malformed), (1, Unreadable::Body(blob::Unreadable)), (33, Unreadable::Hash)]
        {
            let mut changed = inside.clone();
            changed[at] ^= 4;
            assert_eq!(unwrap(&changed, &body), Err(why), "byte {at}");
        }
        assert_eq!(unwrap(&inside[..64], &body), Err(Unreadable::Hash));
        assert_eq!(unwrap(&[], &body), Err(Unreadable::Malformed));
        body[9] ^= 1;
        assert_eq!(unwrap(&inside, &body), Err(Unreadable::Hash));
    }
}
