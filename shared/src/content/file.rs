//! A file that somebody sends: where its sealed bytes lie, and what opens them.

use crate::id::MessageId;
use crate::protocol::blob::BlobId;
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The longest name of a file, in bytes.
pub const NAME_MAX: usize = 255;

/// The longest caption, in bytes.
pub const CAPTION_MAX: usize = 1024;

/// The longest small picture of a file, in bytes: one keyframe of the picture codec.
pub const PREVIEW_MAX: usize = 6 * 1024;

/// The largest file that can be sent at all, in bytes; a relay's own limit is lower.
pub const SIZE_MAX: u64 = 1 << 40;

/// What a file's chunks are sealed under. Whoever holds it can read that file and nothing else.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Key(pub [u8; 32]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// A file as its author tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// The message's id, drawn by the author; a repeat of it is shown once.
    pub id: MessageId,
    /// The author's wall clock.
    pub at: Millis,
    /// As the author's disk calls it: not trusted, at most [`NAME_MAX`] bytes.
    pub name: String,
    /// In bytes, at most [`SIZE_MAX`].
    pub size: u64,
    /// Of the whole plaintext.
    pub sha256: [u8; 32],
    /// Opens the chunks.
    pub key: Key,
    /// Where they lie at the relay.
    pub blob: BlobId,
    /// What the author says of it; may be empty, at most [`CAPTION_MAX`] bytes.
    pub caption: String,
    /// A small picture of it, or nothing; at most [`PREVIEW_MAX`] bytes, not trusted.
    pub preview: Vec<u8>,
}

impl File {
    /// Whether every part keeps its bound.
    pub fn within_bounds(&self) -> bool {
        (1..=NAME_MAX).contains(&self.name.len())
            && self.size <= SIZE_MAX
            && self.caption.len() <= CAPTION_MAX
            && self.preview.len() <= PREVIEW_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{Content, Error};

    fn file() -> File {
        File {
            id: MessageId([7; 16]),
            at: Millis(300),
            name: "a".into(),
            size: 301,
            sha256: [3; 32],
            key: Key([4; 32]),
            blob: BlobId([5; 16]),
            caption: String::new(),
            preview: vec![9],
        }
    }

    #[test]
    fn bytes_of_a_file() {
        let mut want = Vec::new();
        want.extend([7; 16]);
        want.extend([0xac, 2, 1, b'a', 0xad, 2]);
        want.extend([3; 32]);
        want.extend([4; 32]);
        want.extend([5; 16]);
        want.extend([0, 1, 9]);
        let bytes = Content::File(Box::new(file())).encode();
        assert_eq!(bytes[2..], want, "behind version and variant");
        assert_eq!(Content::decode(&bytes), Ok(Content::File(Box::new(file()))));
        let timed = Content::File(Box::new(file())).timed(60);
        assert!(Content::decode(&timed.encode()).and_then(Content::plain).is_ok());
    }

    #[test]
    fn bounds_are_kept_when_it_is_read() {
        let decode = |file: File| Content::decode(&Content::File(Box::new(file)).encode());
        let longest = File {
            name: "n".repeat(NAME_MAX),
            size: SIZE_MAX,
            caption: "c".repeat(CAPTION_MAX),
            preview: vec![0; PREVIEW_MAX],
            ..file()
        };
        assert!(decode(longest.clone()).is_ok());
        let whole = Content::File(Box::new(longest.clone())).timed(1);
        assert!(
            Content::decode(&whole.encode()).and_then(Content::plain).is_ok(),
            "also one that disappears"
        );
        for bad in [
            File { name: String::new(), ..longest.clone() },
            File { name: "n".repeat(NAME_MAX + 1), ..longest.clone() },
            File { size: SIZE_MAX + 1, ..longest.clone() },
            File { caption: "c".repeat(CAPTION_MAX + 1), ..longest.clone() },
            File { preview: vec![0; PREVIEW_MAX + 1], ..longest },
        ] {
            assert_eq!(decode(bad), Err(Error::Malformed));
        }
    }

    #[test]
    fn debug_of_a_file_hides_its_key() {
        let text = format!("{:?}", file());
        assert!(text.contains("Key(…)") && !text.contains("4, 4"), "{text}");
    }
}
