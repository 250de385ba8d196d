//! What members of a room tell each other, and what a newcomer is told.
//!
//! Everything that is said in a room goes as [`super::Content::InRoom`] to every device of every member
//! by the log; operations too, as [`RoomTalk::Entries`] inside. What concerns one person alone (an
//! invitation, a missing piece of the log, the past for a newcomer) goes to that person as
//! [`super::Content::Room`], which names the room.
//!
//! Entries are encoded `session::roomlog::Entry`s; they mean nothing before the log took them. Nothing
//! here says who may do what: the log does.

use super::{Content, Error};
use crate::id::{AccountName, RoomTag};
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The longest encoded content inside an [`InRoom`]: with the rest it fits the body of an envelope.
pub const INSIDE_MAX: usize = 46 * 1024;

/// The most bytes of all entries, or of all past lines, in one piece.
pub const PIECE_MAX: usize = 40 * 1024;

/// The longest entry; `session::roomlog::ENTRY_MAX`.
pub const ENTRY_MAX: usize = 1024;

/// The most entries in one piece.
pub const ENTRIES_MAX: usize = 512;

/// The most doors of a room at once; `session::roomlog::state::DOORS_MAX`.
pub const DOORS_MAX: usize = 16;

/// Bytes of a lock; `session::door::LOCK`.
pub const LOCK: usize = 320;

/// The most past lines in one piece.
pub const PAST_MAX: usize = 256;

/// Something said in a room.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InRoom {
    /// Which room.
    pub room: RoomTag,
    /// Newest head of the sender's log.
    pub head: [u8; 32],
    /// Its height.
    pub height: u64,
    /// The sender's Lamport clock: one more than the highest that the sender has seen in the room.
    pub clock: u64,
    /// Encoded content, of no kind that [`InRoom::open`] refuses: as bytes, so that no depth can be
    /// sent.
    pub inside: Vec<u8>,
}

/// About a room, to one person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AboutRoom {
    /// Which room.
    pub room: RoomTag,
    /// What.
    pub talk: RoomTalk,
}

/// One word about a room.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoomTalk {
    /// Entries of the log, one after the other, oldest first: new ones, or an answer to `Want`. With a
    /// removal, and in that same message, the room's next secret.
    Entries {
        /// Encoded; at most [`ENTRIES_MAX`] and [`PIECE_MAX`] bytes.
        entries: Vec<Vec<u8>>,
        /// Only to those who stay.
        keys: Option<Keys>,
    },
    /// «I miss the entries from that height on.» Answered `Entries`, by a member to a member.
    Want {
        /// The first one that is missing.
        from: u64,
    },
    /// «Come in», from a member who added the receiver, or will when they accept.
    Invite(Invite),
    /// The invitation is taken.
    Accept,
    /// It is not.
    Decline,
    /// Another secret, or another handle when the old head was spoilt.
    Keys(Keys),
    /// What answers knocks at the room's doors; the newest word about each door counts. The log says which
    /// doors are open, and names the hash of the lock.
    Doors {
        /// Secrets of links, `session::door::Secret`; at most [`DOORS_MAX`].
        links: Vec<LinkKey>,
        /// `session::door::Lock`, [`LOCK`] bytes; `None`: no password.
        lock: Option<Lock>,
    },
    /// Lines from before a newcomer came, as the sender has them, oldest first. Their authors did not
    /// sign them: they are shown as told by the sender.
    Past {
        /// At most [`PAST_MAX`] and [`PIECE_MAX`] bytes.
        lines: Vec<PastLine>,
        /// More follow.
        more: bool,
    },
    /// What happened at a door of the room: from who heard the knock to all members, who count guesses.
    Doorstep {
        /// Who knocked, as the relay and their device's key say.
        who: AccountName,
        /// When, by the clock of who heard it.
        at: Millis,
        /// What.
        what: Step,
    },
    /// «What was said before I came?» From a newcomer to one member's device, answered `Past`.
    WantPast,
}

/// What happened at a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// A wrong password was given, the how manieth guess within the hour.
    Wrong(u8),
    /// The password was asked for and did not come, which is a guess too.
    Unproved(u8),
    /// Nobody is asked for the password before some guesses are an hour old.
    Held,
    /// They had waited since then until a member came.
    Waited,
}

/// What moves the room's head at the relay.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Keys {
    /// Where the relay keeps the head.
    pub handle: [u8; 16],
    /// `session::roomlog::Secret`.
    pub secret: [u8; 32],
}

/// The secret of a link into a room.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct LinkKey(pub [u8; 16]);

/// What tests a room's password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Lock(pub Vec<u8>);

/// An invitation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// What the room is called; at most [`super::own::NAME_MAX`] bytes. The log says it surely.
    pub name: String,
    /// How many people are in.
    pub people: u8,
    /// Newest head of the inviter's log.
    pub head: [u8; 32],
    /// Its height.
    pub height: u64,
    /// The log from its first entry on, or as much as fits in a piece; `Want` asks for the rest. Empty
    /// while the receiver is not a member yet.
    pub entries: Vec<Vec<u8>>,
    /// `None` while the receiver is not a member yet.
    pub keys: Option<Keys>,
}

/// A line from before somebody came.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastLine {
    /// Who said it.
    pub by: AccountName,
    /// The sender's wall clock, for what has none inside.
    pub at: Millis,
    /// See [`InRoom::clock`].
    pub clock: u64,
    /// Encoded content, as in [`InRoom::inside`].
    pub inside: Vec<u8>,
}

impl InRoom {
    /// This content, to be said in a room.
    ///
    /// # Errors
    /// [`Error::Malformed`] for content that is not said in rooms, or too long.
    pub fn of(
        room: RoomTag,
        (height, head): (u64, [u8; 32]),
        clock: u64,
        content: &Content,
    ) -> Result<Self, Error> {
        let said = Self { room, head, height, clock, inside: content.encode() };
        if said.inside.len() <= INSIDE_MAX && said.open().is_ok() { Ok(said) } else { Err(Error::Malformed) }
    }

    /// What was said. It may disappear: see [`Content::plain`].
    ///
    /// # Errors
    /// Those of [`Content::decode`], also for content that is not said in rooms.
    pub fn open(&self) -> Result<Content, Error> {
        match said(&self.inside)? {
            Content::Room(about) if about.room != self.room => Err(Error::Malformed),
            content => Ok(content),
        }
    }

    pub(super) fn bounded(&self) -> bool {
        self.inside.len() <= INSIDE_MAX
    }
}

impl PastLine {
    /// What was said.
    ///
    /// # Errors
    /// As [`InRoom::open`].
    pub fn open(&self) -> Result<Content, Error> {
        said(&self.inside)
    }
}

impl RoomTalk {
    /// Whether every part keeps its bound.
    pub(super) fn bounded(&self) -> bool {
        match self {
            Self::Entries { entries, .. } => piece(entries),
            Self::Invite(invite) => invite.name.len() <= super::own::NAME_MAX && piece(&invite.entries),
            Self::Doors { links, lock } => {
                links.len() <= DOORS_MAX && lock.as_ref().is_none_or(|lock| lock.0.len() == LOCK)
            }
            Self::Past { lines, .. } => {
                lines.len() <= PAST_MAX
                    && lines.iter().map(|line| line.inside.len()).sum::<usize>() <= PIECE_MAX
            }
            Self::Want { .. }
            | Self::WantPast
            | Self::Accept
            | Self::Decline
            | Self::Keys(_)
            | Self::Doorstep { .. } => true,
        }
    }
}

/// Splits encoded entries, or anything of a length, into pieces that fit one message each.
pub fn pieces<T: Clone>(all: &[T], most: usize, length: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut pieces: Vec<Vec<T>> = Vec::new();
    let mut left = 0;
    for one in all {
        let length = length(one);
        match pieces.last_mut() {
            Some(piece) if length <= left && piece.len() < most => {
                piece.push(one.clone());
                left -= length;
            }
            _ => {
                pieces.push(vec![one.clone()]);
                left = PIECE_MAX.saturating_sub(length);
            }
        }
    }
    pieces
}

fn piece(entries: &[Vec<u8>]) -> bool {
    entries.len() <= ENTRIES_MAX
        && entries.iter().all(|entry| entry.len() <= ENTRY_MAX)
        && entries.iter().map(Vec::len).sum::<usize>() <= PIECE_MAX
}

fn said(inside: &[u8]) -> Result<Content, Error> {
    let content = Content::decode(inside)?;
    if may_be_said(&content) { Ok(content) } else { Err(Error::Malformed) }
}

/// What is between two devices, or about one person, is not said in rooms; nor as what disappears.
fn may_be_said(content: &Content) -> bool {
    match content {
        Content::InRoom(_)
        | Content::Own(_)
        | Content::Reset { .. }
        | Content::Devices
        | Content::Placed { .. }
        | Content::Profile(_) => false,
        Content::Timed { inside, .. } => Content::decode(inside)
            .is_ok_and(|inside| !matches!(inside, Content::Timed { .. }) && may_be_said(&inside)),
        _ => true,
    }
}

macro_rules! quiet_debug {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )*};
}

quiet_debug!(LinkKey, Lock, Keys, PastLine, Invite, RoomTalk);

impl fmt::Debug for InRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InRoom")
            .field("room", &self.room)
            .field("height", &self.height)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::TEXT_MAX;
    use crate::id::{CallId, MessageId};

    const ROOM: RoomTag = RoomTag([9; 16]);

    fn about(talk: RoomTalk) -> Content {
        Content::Room(AboutRoom { room: ROOM, talk })
    }

    fn invite(entries: Vec<Vec<u8>>) -> RoomTalk {
        let keys = Some(Keys { handle: [1; 16], secret: [2; 32] });
        RoomTalk::Invite(Invite { name: "tea".into(), people: 3, head: [4; 32], height: 300, entries, keys })
    }

    #[test]
    fn bytes_of_a_line_in_a_room() {
        let text = Content::Text { id: MessageId([7; 16]), at: Millis(300), body: "hi".into() };
        let said = InRoom::of(ROOM, (300, [4; 32]), 5, &text).expect("said in rooms");
        let bytes = Content::InRoom(said.clone()).encode();
        let mut want = [9; 16].to_vec();
        want.extend([4; 32]);
        want.extend([0xac, 0x02, 5, 23]);
        want.extend(text.encode());
        assert_eq!(bytes[2..], want, "after version and variant");
        assert_eq!(Content::decode(&bytes), Ok(Content::InRoom(said.clone())));
        assert_eq!(said.open(), Ok(text));
    }

    #[test]
    fn bytes_of_what_is_told_about_a_room() {
        let bytes = |talk: RoomTalk| {
            let content = about(talk);
            let bytes = content.encode();
            assert_eq!(Content::decode(&bytes), Ok(content));
            assert_eq!(bytes[2..18], [9; 16]);
            bytes[18..].to_vec()
        };
        assert_eq!(bytes(RoomTalk::Entries { entries: vec![vec![5, 6]], keys: None }), [0, 1, 2, 5, 6, 0]);
        assert_eq!(bytes(RoomTalk::Want { from: 300 }), [1, 0xac, 0x02]);
        let mut want = vec![2, 3, b't', b'e', b'a', 3];
        want.extend([4; 32]);
        want.extend([0xac, 0x02, 1, 1, 8, 1]);
        want.extend([1; 16]);
        want.extend([2; 32]);
        assert_eq!(bytes(invite(vec![vec![8]])), want);
        assert_eq!(bytes(RoomTalk::Accept), [3]);
        assert_eq!(bytes(RoomTalk::Decline), [4]);
        let keys = Keys { handle: [1; 16], secret: [2; 32] };
        assert_eq!(bytes(RoomTalk::Keys(keys)), [&[5][..], &[1; 16], &[2; 32]].concat());
        let lock = Some(Lock(vec![5; LOCK]));
        let want = [&[6, 1][..], &[3; 16], &[1, 0xc0, 0x02], &[5; LOCK]].concat();
        assert_eq!(bytes(RoomTalk::Doors { links: vec![LinkKey([3; 16])], lock }), want);
        let by = AccountName::parse("ada").expect("valid");
        let line = PastLine { by, at: Millis(1), clock: 2, inside: vec![3, 4] };
        let want = [7, 1, 3, b'a', b'd', b'a', 1, 2, 2, 3, 4, 1];
        assert_eq!(bytes(RoomTalk::Past { lines: vec![line], more: true }), want);
        let who = AccountName::parse("eve").expect("valid");
        let step = |what| bytes(RoomTalk::Doorstep { who: who.clone(), at: Millis(300), what });
        let begins = [8, 3, b'e', b'v', b'e', 0xac, 0x02];
        assert_eq!(step(Step::Wrong(3)), [&begins[..], &[0, 3]].concat());
        assert_eq!(step(Step::Unproved(4)), [&begins[..], &[1, 4]].concat());
        assert_eq!(step(Step::Held), [&begins[..], &[2]].concat());
        assert_eq!(step(Step::Waited), [&begins[..], &[3]].concat());
        assert_eq!(bytes(RoomTalk::WantPast), [9]);
    }

    #[test]
    fn what_is_not_for_rooms_is_refused_there_at_any_depth() {
        let text = Content::Text { id: MessageId([7; 16]), at: Millis(0), body: "x".repeat(TEXT_MAX) };
        let of = |content: &Content| InRoom::of(ROOM, (0, [0; 32]), 0, content);
        let said = of(&text).expect("the longest text");
        assert!(of(&text.timed(60)).is_ok());
        let forbidden = [
            Content::InRoom(said.clone()),
            Content::Own(super::super::own::Own::WantRooms),
            Content::Own(super::super::own::Own::Taken { call: CallId([1; 16]), answered: true }),
            Content::Devices,
            text.timed(60).timed(60),
            Content::InRoom(said.clone()).timed(60),
            Content::Room(AboutRoom { room: RoomTag([8; 16]), talk: RoomTalk::Accept }),
        ];
        for content in forbidden {
            assert_eq!(of(&content), Err(Error::Malformed), "{content:?}");
            let inside = content.encode();
            assert_eq!(InRoom { inside, ..said.clone() }.open(), Err(Error::Malformed), "{content:?}");
        }
    }

    #[test]
    fn bounds_hold() {
        let ok = |content: &Content| Content::decode(&content.encode()).is_ok();
        let long = InRoom { room: ROOM, head: [0; 32], height: 0, clock: 0, inside: vec![0; INSIDE_MAX] };
        assert!(ok(&Content::InRoom(long.clone())));
        assert!(!ok(&Content::InRoom(InRoom { inside: vec![0; INSIDE_MAX + 1], ..long })));
        let entries = |entries: Vec<Vec<u8>>| about(RoomTalk::Entries { entries, keys: None });
        assert!(ok(&entries(vec![vec![0; ENTRY_MAX]; 40])));
        assert!(!ok(&entries(vec![vec![0; ENTRY_MAX]; 41])));
        assert!(!ok(&entries(vec![vec![0; ENTRY_MAX + 1]])));
        assert!(!ok(&entries(vec![vec![]; ENTRIES_MAX + 1])));
        assert!(!ok(&about(invite(vec![vec![0; ENTRY_MAX]; 41]))));
        let doors = |links, lock| about(RoomTalk::Doors { links, lock });
        assert!(ok(&doors(vec![LinkKey([0; 16]); DOORS_MAX], None)));
        assert!(!ok(&doors(vec![LinkKey([0; 16]); DOORS_MAX + 1], None)));
        assert!(!ok(&doors(vec![], Some(Lock(vec![0; LOCK - 1])))));
        let by = AccountName::parse("ada").expect("valid");
        let line = PastLine { by, at: Millis(1), clock: 2, inside: vec![0; PIECE_MAX] };
        assert!(ok(&about(RoomTalk::Past { lines: vec![line.clone()], more: false })));
        assert!(!ok(&about(RoomTalk::Past { lines: vec![line; 2], more: false })));
    }

    #[test]
    fn a_long_log_goes_in_pieces_in_order() {
        let all: Vec<Vec<u8>> = (0..300_u16).map(|n| vec![n as u8; 170 + usize::from(n)]).collect();
        let pieces = pieces(&all, ENTRIES_MAX, Vec::len);
        assert!(pieces.len() > 1 && pieces.iter().all(|piece| super::piece(piece)));
        assert_eq!(pieces.concat(), all);
        assert_eq!(super::pieces(&[1; 5], 2, |_| 1).len(), 3);
    }

    #[test]
    fn debug_hides_what_is_secret() {
        let text = format!("{:?}", about(invite(vec![])));
        assert!(!text.contains("tea") && !text.contains("2, 2"), "{text}");
    }
}
