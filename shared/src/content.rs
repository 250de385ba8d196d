//! What an opened envelope says.

pub mod file;
pub mod own;
pub mod post;
pub mod rooms;

use crate::id::{CallId, MessageId, SessionId, TrackId};
use crate::profile::Profile;
use crate::time::Millis;
use file::File;
use own::Own;
use post::{Act, Post};
use rooms::{AboutRoom, InRoom};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The longest text of one message, in bytes.
pub const TEXT_MAX: usize = 16 * 1024;

/// The longest encoded content that carries a text, in bytes: what stands around the text is shorter
/// than the rest.
pub const SAID_MAX: usize = TEXT_MAX + 4096;

/// What [`Content::timed`] adds at most, in bytes.
const WRAPPED: usize = 16;

/// The most message ids that one receipt names.
pub const RECEIPT_MAX: usize = 256;

/// The longest time for which a message that disappears stays, in seconds: four weeks.
pub const EXPIRY_MAX: u32 = 4 * 7 * 24 * 3600;

/// One opened content. The first byte on the inside wire is [`VERSION`], then postcard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// A line that a person wrote.
    Text {
        /// Drawn by the author, see [`MessageId::drawn`]; a repeat of it is shown once.
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
    /// What the sender says of themselves; goes to contacts alone.
    Profile(Profile),
    /// Messages of this conversation stay so many seconds after they were read from now on, on both
    /// ends; 0: for ever. What was set later holds, on both ends.
    Expire {
        /// At most [`EXPIRY_MAX`].
        seconds: u32,
        /// When it was set, by the clock of who set it, and later than what was set before as far as they knew.
        at: Millis,
    },
    /// Content that disappears; see [`Content::timed`].
    Timed {
        /// After it was read; 1 to [`EXPIRY_MAX`].
        seconds: u32,
        /// Encoded content, which is not timed itself: as bytes, so that no depth can be sent.
        inside: Vec<u8>,
    },
    /// «My list of devices has changed»: what this comes in says to which.
    Devices,
    /// From an own device; from anybody else it means nothing.
    Own(Own),
    /// Said in a room, to all members.
    InRoom(InRoom),
    /// About a room: to one person, or inside what is said there.
    Room(AboutRoom),
    /// A line that answers another, was forwarded or calls somebody.
    Post(Post),
    /// What somebody does to a line.
    Act(Act),
    /// A file, whose sealed bytes lie at the relay.
    File(Box<File>),
    /// A line of a conversation of two, and where it stands among its lines; see [`Content::placed`].
    Placed {
        /// The sender's Lamport clock: one more than the highest that the sender has seen there.
        clock: u64,
        /// Encoded content, of no kind that [`Content::unplaced`] refuses: as bytes, so that no depth can
        /// be sent.
        inside: Vec<u8>,
    },
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
    /// A new track of a call that goes on: the relay connection came back, or a device that knew the key
    /// was removed.
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
    /// SFrame base key, random for each track (AES_256_GCM_SHA512_128).
    pub key: [u8; 32],
    /// SFrame key id. Ours is always 0: who needs another key opens another track.
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

    /// This content, to disappear so many seconds after it was read.
    #[must_use]
    pub fn timed(&self, seconds: u32) -> Self {
        Self::Timed { seconds, inside: self.encode() }
    }

    /// The content itself, and after how many seconds it disappears.
    ///
    /// # Errors
    /// Those of [`Content::decode`] for what is inside.
    pub fn plain(self) -> Result<(Self, Option<u32>), Error> {
        match self {
            Self::Timed { seconds, inside } => {
                let inside = zeroize::Zeroizing::new(inside);
                match Self::decode(&inside)? {
                    Self::Timed { .. } | Self::Expire { .. } | Self::InRoom(_) | Self::Placed { .. } => {
                        Err(Error::Malformed)
                    }
                    content => Ok((content, Some(seconds))),
                }
            }
            content => Ok((content, None)),
        }
    }

    /// This line of a conversation of two, with its clock.
    #[must_use]
    pub fn placed(&self, clock: u64) -> Self {
        Self::Placed { clock, inside: self.encode() }
    }

    /// The content itself, and the clock of a line that has one.
    ///
    /// # Errors
    /// Those of [`Content::decode`] for what is inside, also when that is no line.
    pub fn unplaced(self) -> Result<(Self, Option<u64>), Error> {
        match self {
            Self::Placed { clock, inside } => {
                let inside = zeroize::Zeroizing::new(inside);
                match Self::decode(&inside)? {
                    line if line.is_line() => Ok((line, Some(clock))),
                    _ => Err(Error::Malformed),
                }
            }
            content => Ok((content, None)),
        }
    }

    /// Which line it is, or which act on one.
    pub fn id(&self) -> Option<MessageId> {
        match self {
            Self::Text { id, .. } => Some(*id),
            Self::Post(post) => Some(post.id),
            Self::File(file) => Some(file.id),
            Self::Act(act) => Some(act.id),
            _ => None,
        }
    }

    /// Who says a line, or does something to one, under an id that is not theirs says it under another one, which
    /// is: nobody takes the place of what somebody else says.
    #[must_use]
    pub fn under(mut self, author: &[u8; 32]) -> Self {
        match &mut self {
            Self::Text { id, .. } => *id = id.under(author),
            Self::Post(post) => post.id = post.id.under(author),
            Self::File(file) => file.id = file.id.under(author),
            Self::Act(act) => act.id = act.id.under(author),
            _ => {}
        }
        self
    }

    /// What a timeline has a line of; what disappears may turn out to be another thing.
    pub fn is_line(&self) -> bool {
        matches!(self, Self::Text { .. } | Self::Post(_) | Self::File(_) | Self::Timed { .. })
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
            Content::Profile(profile) => profile.within_bounds(),
            Content::Expire { seconds, .. } => *seconds <= EXPIRY_MAX,
            Content::Timed { seconds, inside } => {
                (1..=EXPIRY_MAX).contains(seconds) && inside.len() <= SAID_MAX
            }
            Content::Own(own) => own.bounded(),
            Content::Post(post) => post.bounded(),
            Content::Act(act) => act.bounded(),
            Content::InRoom(said) => said.bounded(),
            Content::Room(about) => about.talk.bounded(),
            Content::File(file) => file.within_bounds(),
            Content::Placed { inside, .. } => inside.len() <= SAID_MAX + WRAPPED,
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
    fn bytes_of_a_profile_and_its_bounds() {
        use crate::profile::{AVATAR_MAX, NAME_MAX, STATUS_MAX};
        let profile = Profile { version: 300, name: "Ada".into(), status: "é".into(), avatar: vec![7, 8] };
        let want = [1, 5, 0xac, 0x02, 3, b'A', b'd', b'a', 2, 0xc3, 0xa9, 2, 7, 8];
        assert_eq!(Content::Profile(profile.clone()).encode(), want);
        assert_eq!(Content::decode(&want), Ok(Content::Profile(profile.clone())));
        let longest = Profile {
            name: "n".repeat(NAME_MAX),
            status: "🌹".repeat(STATUS_MAX),
            avatar: vec![0; AVATAR_MAX],
            ..profile
        };
        let decode = |profile: Profile| Content::decode(&Content::Profile(profile).encode());
        assert!(decode(longest.clone()).is_ok());
        for longer in [
            Profile { name: "n".repeat(NAME_MAX + 1), ..longest.clone() },
            Profile { status: "s".repeat(STATUS_MAX + 1), ..longest.clone() },
            Profile { avatar: vec![0; AVATAR_MAX + 1], ..longest.clone() },
        ] {
            assert_eq!(decode(longer), Err(Error::Malformed));
        }
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
    fn what_disappears_is_wrapped_once() {
        let text = Content::Text { id: MessageId([7; 16]), at: Millis(300), body: "hi".into() };
        let timed = text.timed(60);
        let bytes = timed.encode();
        assert_eq!(bytes[..4], [1, 7, 60, 23], "version, variant, seconds, length");
        assert_eq!(Content::decode(&bytes).and_then(Content::plain), Ok((text.clone(), Some(60))));
        assert_eq!(text.clone().plain(), Ok((text.clone(), None)));
        assert_eq!(timed.timed(60).plain(), Err(Error::Malformed));
        assert_eq!(Content::decode(&text.timed(0).encode()), Err(Error::Malformed));
        assert_eq!(Content::decode(&text.timed(EXPIRY_MAX + 1).encode()), Err(Error::Malformed));
        assert!(Content::decode(&Content::Expire { seconds: 3600, at: Millis(7) }.encode()).is_ok());
        assert_eq!(
            Content::decode(&Content::Expire { seconds: u32::MAX, at: Millis(7) }.encode()),
            Err(Error::Malformed)
        );
        let long = Content::Text { id: MessageId([7; 16]), at: Millis(0), body: "x".repeat(TEXT_MAX) };
        assert!(Content::decode(&long.timed(1).encode()).and_then(Content::plain).is_ok());
    }

    #[test]
    fn a_line_of_two_has_its_place_and_nothing_else_has_one() {
        let text = Content::Text { id: MessageId([7; 16]), at: Millis(300), body: "hi".into() };
        let placed = text.placed(300);
        let bytes = placed.encode();
        assert_eq!(bytes[..6], [1, 15, 0xac, 0x02, 23, 1], "version, variant, clock, length, what is inside");
        assert_eq!(Content::decode(&bytes).and_then(Content::unplaced), Ok((text.clone(), Some(300))));
        assert_eq!(text.clone().unplaced(), Ok((text.clone(), None)));
        let timed = text.timed(60);
        assert_eq!(timed.placed(1).unplaced(), Ok((timed, Some(1))));
        for other in [placed, Content::Devices, Content::Typing(true)] {
            assert_eq!(other.placed(1).unplaced(), Err(Error::Malformed));
            assert!(other.timed(1).plain().is_err() || !matches!(other, Content::Placed { .. }));
        }
        let long = Content::Text { id: MessageId([7; 16]), at: Millis(0), body: "x".repeat(TEXT_MAX) };
        let long = long.timed(EXPIRY_MAX).placed(u64::MAX);
        assert!(Content::decode(&long.encode()).and_then(Content::unplaced).is_ok());
    }

    #[test]
    fn debug_of_a_stream_hides_its_key() {
        let stream = Stream { track: TrackId(3), key: [0xAB; 32], kid: 1 };
        let text = format!("{stream:?} {:?}", Signal::Invite(stream.clone()));
        assert!(!text.contains("171") && !text.to_lowercase().contains("ab, "), "{text}");
    }
}
