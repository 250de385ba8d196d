//! Files at the relay: sealed bytes under an id that nobody can guess.
//!
//! Each transfer has a bidirectional QUIC stream of its own beside the one for frames, of a lower
//! priority, opened by the device once it is logged in. It begins with one [`Request`], written as
//! frames are ([`super::codec`]); the relay's first word is an [`Answer`].
//!
//! - `Put` begins an upload, or goes on with one. `Ready` says how many bytes the relay has on its disk;
//!   the device sends what follows them, as they are, and the relay says `Stored` now and then, each
//!   time after it has synced that many. `Stored` of the whole size is the end: from then on the blob
//!   never changes. The relay counts in whole [`UNIT`]s until then, so that what was counted once is
//!   never replaced.
//! - `Get` is answered `Ready`, and then come the bytes from `from` on. While the blob is not complete
//!   they come as they are stored; a stream that ends early means «later».
//! - `Stat` is answered `Ready`; `Delete` frees the disk and is answered `Done`, also when there is
//!   nothing.
//!
//! Only the account that began a blob may go on with it or delete it; whoever knows its id may read it.
//! The relay keeps no list of readers, and drops a blob when its time is over.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A blob, drawn at random by who begins it: whoever knows it may read the sealed bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlobId(pub [u8; 16]);

impl fmt::Debug for BlobId {
    /// It is as good as a ticket: logs see its beginning.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobId({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

/// What a device asks on a stream of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Begins a blob of that many bytes, or goes on with it.
    Put {
        /// Which one.
        id: BlobId,
        /// All of it, in bytes; the same each time.
        size: u64,
    },
    /// Its bytes from an offset on.
    Get {
        /// Which one.
        id: BlobId,
        /// At most its size.
        from: u64,
    },
    /// How far it is.
    Stat(BlobId),
    /// Frees the disk.
    Delete(BlobId),
}

/// What the relay answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// That is so far on the relay's disk.
    Ready {
        /// All of it.
        size: u64,
        /// From the start.
        stored: u64,
    },
    /// So many bytes from the start are on the relay's disk, safe against power loss.
    Stored(u64),
    /// Nothing is left of it.
    Done,
    /// No.
    Refused(Refusal),
}

/// Why the relay said no: a closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The relay takes no blobs of that size.
    #[error("larger than the {max} bytes that this relay takes")]
    TooLarge {
        /// What it takes.
        max: u64,
    },
    /// The account has its share of the relay's disk.
    #[error("the account's share of {quota} bytes is used up")]
    QuotaReached {
        /// The share.
        quota: u64,
    },
    /// All shares together, or the disk, are used up.
    #[error("storage full")]
    StorageFull,
    /// There is no such blob: never, or not any more.
    #[error("no such file")]
    Gone,
    /// Somebody else's, or nobody is logged in, or another size than at first.
    #[error("not allowed")]
    NotAllowed,
    /// Too many in a short time.
    #[error("rate limited, again in {retry_ms} ms")]
    RateLimited {
        /// At least this long.
        retry_ms: u32,
    },
    /// Bytes that are no request.
    #[error("malformed")]
    Malformed,
    /// Another stream goes on with the same upload.
    #[error("taken over by a newer upload")]
    Superseded,
    /// A fault of the relay's own; its log says more.
    #[error("relay fault")]
    Internal,
}

impl Refusal {
    /// Whether the same may work later, without anybody doing something.
    pub fn passes(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Internal | Self::StorageFull | Self::Superseded)
    }
}

/// The longest request or answer after its length; checked before anything is read.
pub const WORD_MAX: usize = 64;

/// What the relay counts an upload in, in bytes: one sealed chunk of a file.
pub const UNIT: u64 = 64 * 1024 + 28;

/// The most transfers that a connection has open at the same time.
pub const STREAMS: usize = 3;

/// The length that a prefix announces, checked.
///
/// # Errors
/// [`super::codec::Error::Length`].
pub fn length(prefix: [u8; super::codec::PREFIX]) -> Result<usize, super::codec::Error> {
    let length = u32::from_be_bytes(prefix) as usize;
    if (1..=WORD_MAX).contains(&length) { Ok(length) } else { Err(super::codec::Error::Length(length)) }
}

/// So much of an upload counts: whole [`UNIT`]s, and the rest once it is all there.
pub fn counted(length: u64, size: u64) -> u64 {
    if length >= size { size } else { length / UNIT * UNIT }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::codec::{self, decode, encode};

    #[test]
    fn bytes_of_requests_and_answers() {
        let id = BlobId([7; 16]);
        let with = |head: &[u8], tail: &[u8]| [head, &[7; 16], tail].concat();
        for (request, want) in [
            (Request::Put { id, size: 300 }, with(&[0, 0, 0, 20, 1, 0], &[0xac, 2])),
            (Request::Get { id, from: 1 }, with(&[0, 0, 0, 19, 1, 1], &[1])),
            (Request::Stat(id), with(&[0, 0, 0, 18, 1, 2], &[])),
            (Request::Delete(id), with(&[0, 0, 0, 18, 1, 3], &[])),
        ] {
            let bytes = encode(&request).expect("fits");
            assert_eq!(bytes, want);
            assert_eq!(decode(&bytes[4..]), Ok(request));
        }
        for (answer, want) in [
            (Answer::Ready { size: 300, stored: 0 }, vec![0, 0, 0, 5, 1, 0, 0xac, 2, 0]),
            (Answer::Stored(300), vec![0, 0, 0, 4, 1, 1, 0xac, 2]),
            (Answer::Done, vec![0, 0, 0, 2, 1, 2]),
            (Answer::Refused(Refusal::TooLarge { max: 300 }), vec![0, 0, 0, 5, 1, 3, 0, 0xac, 2]),
            (Answer::Refused(Refusal::Gone), vec![0, 0, 0, 3, 1, 3, 3]),
            (Answer::Refused(Refusal::Internal), vec![0, 0, 0, 3, 1, 3, 8]),
        ] {
            let bytes = encode(&answer).expect("fits");
            assert_eq!(bytes, want);
            assert_eq!(decode(&bytes[4..]), Ok(answer));
        }
    }

    #[test]
    fn the_longest_words_are_within_the_bound_and_longer_ones_are_not_read() {
        let id = BlobId([0xff; 16]);
        let longest = encode(&Request::Put { id, size: u64::MAX }).expect("fits");
        assert!(longest.len() - 4 <= WORD_MAX, "{}", longest.len());
        let longest = encode(&Answer::Ready { size: u64::MAX, stored: u64::MAX }).expect("fits");
        assert!(longest.len() - 4 <= WORD_MAX, "{}", longest.len());
        assert_eq!(length([0, 0, 0, 64]), Ok(64));
        assert_eq!(length([0, 0, 0, 65]), Err(codec::Error::Length(65)));
        assert_eq!(length([0, 0, 0, 0]), Err(codec::Error::Length(0)));
    }

    #[test]
    fn whole_units_count_until_all_is_there() {
        let size = 2 * UNIT + 10;
        for (length, want) in
            [(0, 0), (UNIT - 1, 0), (UNIT, UNIT), (size - 1, 2 * UNIT), (size, size), (size + 1, size)]
        {
            assert_eq!(counted(length, size), want);
        }
    }

    #[test]
    fn logs_see_the_beginning_of_an_id() {
        assert_eq!(format!("{:?}", BlobId([0xab; 16])), "BlobId(abab…)");
    }
}
