//! What an opened envelope says.

pub mod own;

use crate::id::{CallId, MessageId, SessionId, TrackId};
use crate::time::Millis;
use own::Own;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The longest text of one message, in bytes.
pub const TEXT_MAX: usize = 16 * 1024;

/// The most message ids that one receipt names.
pub const RECEIPT_MAX: usize = 256;

/// One opened content. The first byte on the inside wire is [`VERSION`], then postcard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// A line that a person wrote.
    Text {
        /// Drawn by the author; a repeat of it is shown once.
        id: MessageId,
        /// The author's wall clock.
        at: Millis,
        /// At most [`TEXT_MAX`] bytes.
        body: String,
    },
    /// Messages that arrived on the other end, or that were read there.
    Receipt {
        /// At most [`RECEIPT_MAX`].
        ids: Vec<MessageId>,
        /// How far they got.
        mark: Mark,
    },
    /// The other person is typing, or stopped.
    Typing(bool),
    /// A live call.
    Call {
        /// Which one.
        call: CallId,
        /// The sender's wall clock: an old invitation is a missed call.
        at: Millis,
        /// What happens to it.
        signal: Signal,
    },
    /// «I cannot open that session; start another and send again what I have not receipted.»
    Reset {
        /// The session that is unknown here.
        session: SessionId,
    },
    /// «My list of devices has changed»: what this comes in says to which.
    Devices,
    /// From an own device; from anybody else it means nothing.
    Own(Own),
}

/// How far a message got on the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Mark {
    /// In the other person's store.
    Delivered,
    /// On the other person's screen.
    Read,
}

/// A step of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signal {
    /// Ring; the caller's stream is ready to be watched.
    Invite(Stream),
    /// Yes; the answerer's stream.
    Accept(Stream),
    /// A new track of a call that goes on, after the relay connection came back.
    Moved(Stream),
    /// No.
    Decline,
    /// In another call.
    Busy,
    /// Over; also takes an invitation back.
    Hangup,
    /// The sender's camera goes off (`true`) or on.
    Paused(bool),
}

/// Where one person's live picture can be watched, and the key that opens it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Stream {
    /// The relay's track.
    #[zeroize(skip)]
    pub track: TrackId,
    /// SFrame base key, random for each call and sender (AES_256_GCM_SHA512_128).
    pub key: [u8; 32],
    /// SFrame key id.
    pub kid: u64,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("track", &self.track).finish_non_exhaustive()
    }
}

/// The version byte before each encoded content.
pub const VERSION: u8 = 1;

/// Why content could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Written by a newer client.
    #[error("this message needs a newer subrosa")]
    Version(u8),
    /// Not content, or past a bound.
    #[error("a message that makes no sense")]
    Malformed,
}

impl Content {
    /// The bytes that a session seals.
    pub fn encode(&self) -> Vec<u8> {
        let head = vec![VERSION];
        postcard::to_extend(self, head).expect("content serialises: it holds no maps or unsized data")
    }

    /// Reads what [`Content::encode`] wrote and checks its bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let (&version, rest) = bytes.split_first().ok_or(Error::Malformed)?;
        if version != VERSION {
            return Err(Error::Version(version));
        }
        let (content, left) = postcard::take_from_bytes(rest).map_err(|_| Error::Malformed)?;
        let bounded = match &content {
            Content::Text { body, .. } => body.len() <= TEXT_MAX,
            Content::Receipt { ids, .. } => ids.len() <= RECEIPT_MAX,
            Content::Own(own) => own.bounded(),
            _ => true,
        };
        if left.is_empty() && bounded { Ok(content) } else { Err(Error::Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_a_text() {
        let text = Content::Text { id: MessageId([7; 16]), at: Millis(300), body: "hi".into() };
        let mut want = vec![1, 0];
        want.extend([7; 16]);
        want.extend([0xac, 0x02, 2, b'h', b'i']);
        assert_eq!(text.encode(), want);
        assert_eq!(Content::decode(&want), Ok(text));
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(Content::decode(&[]), Err(Error::Malformed));
        assert_eq!(Content::decode(&[9, 0]), Err(Error::Version(9)));
        assert_eq!(Content::decode(&[1, 2, 1, 0]), Err(Error::Malformed), "a trailing byte");
        let long = Content::Text { id: MessageId([0; 16]), at: Millis(0), body: "x".repeat(TEXT_MAX + 1) };
        assert_eq!(Content::decode(&long.encode()), Err(Error::Malformed));
    }

    #[test]
    fn debug_of_a_stream_hides_its_key() {
        let stream = Stream { track: TrackId(3), key: [0xAB; 32], kid: 1 };
        let text = format!("{stream:?} {:?}", Signal::Invite(stream.clone()));
        assert!(!text.contains("171") && !text.to_lowercase().contains("ab, "), "{text}");
    }
}
