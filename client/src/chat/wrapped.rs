//! How content lies in a session message: in the head itself, or in a body of which the head has the key.
//!
//! ```text
//! inside a head   0 ‖ content
//!                 1 ‖ key (32) ‖ SHA-256(body) (32)     body: the content, sealed under that key
//!                 0 ‖ 2 ‖ length ‖ from ‖ length ‖ to ‖ one of these two: whose words they are, and for whom
//!                 2 ‖ number (u32 BE) ‖ hash (32) ‖ one of these three: which list of devices the sender has
//! ```
//!
//! A session is between two devices, and anybody can put a device onto their list: only the sender knows as whose
//! it was written to. A client that does not know the third form takes it for content of version 2, and says that
//! it needs an update.

use rand_core::CryptoRngCore;
use sha2::{Digest, Sha256};
use subrosa_shared::content::{self, Content};
use subrosa_shared::id::AccountName;
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

/// Between which accounts something is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Between {
    /// Whose words they are.
    pub from: AccountName,
    /// The person that they are for; `None` for what names a room, or is no word of a conversation.
    pub to: Option<AccountName>,
}

impl Between {
    /// Puts the names before what [`wrap`] gave.
    pub fn address(&self, inside: &[u8]) -> Zeroizing<Vec<u8>> {
        let to = self.to.as_ref().map_or("", AccountName::as_str);
        let mut bytes = Zeroizing::new(Vec::with_capacity(4 + 2 * AccountName::MAX + inside.len()));
        bytes.extend([IN_HEAD, ADDRESSED]);
        for name in [self.from.as_str(), to] {
            bytes.push(u8::try_from(name.len()).expect("a name has at most 32 bytes"));
            bytes.extend(name.as_bytes());
        }
        bytes.extend(inside);
        bytes
    }

    /// What [`Between::address`] wrote, and what follows.
    fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (from, rest) = name(bytes)?;
        let (to, rest) = name(rest)?;
        let parse = |name: &str| AccountName::try_from(name.to_owned()).ok();
        let to = if to.is_empty() { None } else { Some(parse(to)?) };
        Some((Self { from: parse(from)?, to }, rest))
    }
}

/// A length of one byte, so many bytes of text, and what follows.
fn name(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(length.into())?;
    Some((std::str::from_utf8(name).ok()?, rest))
}

/// Puts the version of the sender's own list of devices before all else.
pub fn with_list(head: Head, inside: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([&[LISTED], head.number.to_be_bytes().as_slice(), &head.hash, inside].concat())
}

/// What was found in an opened head and its body.
#[derive(Debug, PartialEq, Eq)]
pub struct Inside {
    /// Which list of devices the sender has, when it was told.
    pub list: Option<Head>,
    /// Between whom; an earlier version does not say it.
    pub between: Option<Between>,
    /// As [`unwrap`] gives it.
    pub content: Result<Content, Unreadable>,
}

/// As [`unwrap`], with what stands before the content.
pub fn unwrap_all(opened: &[u8], body: &[u8]) -> Inside {
    let listed = opened.strip_prefix(&[LISTED]).and_then(|rest| {
        let (number, rest) = rest.split_first_chunk()?;
        let (hash, rest) = rest.split_first_chunk()?;
        Some((Head { number: u32::from_be_bytes(*number), hash: *hash }, rest))
    });
    let (list, rest) = listed.map_or((None, opened), |(head, rest)| (Some(head), rest));
    let Some(addressed) = rest.strip_prefix(&[IN_HEAD, ADDRESSED]) else {
        return Inside { list, between: None, content: unwrap(rest, body) };
    };
    match Between::read(addressed) {
        Some((between, rest)) => Inside { list, between: Some(between), content: unwrap(rest, body) },
        None => Inside { list, between: None, content: Err(Unreadable::Malformed) },
    }
}

const IN_HEAD: u8 = 0;
const IN_BODY: u8 = 1;
const LISTED: u8 = 2;
/// After [`IN_HEAD`], where content has its version, which is another one.
const ADDRESSED: u8 = content::VERSION + 1;

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
    fn a_list_and_names_go_before_both_forms() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let head = Head { number: 0x0102_0304, hash: [9; 32] };
        let account = |name| AccountName::parse(name).expect("a name");
        let between = Between { from: account("ada"), to: Some(account("ben")) };
        for length in [10, 600] {
            let Wrapped { inside, body } = wrap(&text(length), &mut rng);
            let content = || Ok(text(length));
            let listed = with_list(head, &inside);
            assert_eq!(listed[..6], [2, 1, 2, 3, 4, 9]);
            let want = Inside { list: Some(head), between: None, content: content() };
            assert_eq!(unwrap_all(&listed, &body), want);
            let want = Inside { list: None, between: None, content: content() };
            assert_eq!(unwrap_all(&inside, &body), want);
            let addressed = between.address(&inside);
            assert_eq!(addressed[..10], *b"\x00\x02\x03ada\x03ben");
            assert_eq!(unwrap(&addressed, &body), Err(Unreadable::Newer(2)), "what an earlier version sees");
            let want = Inside { list: None, between: Some(between.clone()), content: content() };
            assert_eq!(unwrap_all(&addressed, &body), want);
            let both = with_list(head, &addressed);
            let want = Inside { list: Some(head), between: Some(between.clone()), content: content() };
            assert_eq!(unwrap_all(&both, &body), want);
            let to_all = Between { from: account("ada"), to: None };
            assert_eq!(to_all.address(&inside)[..7], *b"\x00\x02\x03ada\x00");
            assert_eq!(unwrap_all(&to_all.address(&inside), &body).between, Some(to_all));
        }
        let malformed = Inside { list: None, between: None, content: Err(Unreadable::Malformed) };
        for bytes in [&b"\x02\x00\x00"[..], b"\x00\x02", b"\x00\x02\x04ada", b"\x00\x02\x03Ada\x00\x00\x01"] {
            assert_eq!(unwrap_all(bytes, &[]), malformed);
        }
        assert_eq!(unwrap_all(b"\x00\x02\x03ada\x03b", &[]), malformed);
        assert_eq!(unwrap_all(b"\x00\x02\x00\x00\x00\x01", &[]), malformed, "from nobody");
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
