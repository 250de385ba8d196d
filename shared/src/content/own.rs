//! What the devices of one person tell each other.

use super::file::File;
use crate::id::{AccountName, CallId, DeviceId, MessageId, RoomTag};
use crate::profile::Profile;
use crate::protocol::auth::Peer;
use crate::protocol::password::Epoch;
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The most fields in one [`Own::Fields`].
pub const FIELDS_MAX: usize = 64;

/// The most lines in one [`Own::Lines`].
pub const LINES_MAX: usize = 512;

/// The longest name of a device and the longest own name for a person, in bytes.
pub const NAME_MAX: usize = 128;

/// The most conversations in one [`Own::Rooms`].
pub const ROOMS_MAX: usize = 512;

/// The longest [`Told::more`], in bytes.
pub const MORE_MAX: usize = 8 * 1024;

/// One word from an own device to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Own {
    /// A line that was written on that device.
    Copied {
        /// Whose conversation it belongs to.
        with: AccountName,
        /// As the other person got it.
        id: MessageId,
        /// When it was written.
        at: Millis,
        /// At most [`super::TEXT_MAX`] bytes.
        body: String,
        /// After so many seconds it disappears, at most [`super::EXPIRY_MAX`]; 0: it stays.
        seconds: u32,
    },
    /// What is thought of people; the newest word about each thing counts.
    Fields(Vec<Field>),
    /// A call that rings here too is over or goes on there.
    Taken {
        /// Which one.
        call: CallId,
        /// Answered there; else declined.
        answered: bool,
    },
    /// What a device is called.
    Named {
        /// Which one.
        device: DeviceId,
        /// For people; at most [`NAME_MAX`] bytes.
        name: String,
        /// When it was named so.
        at: Millis,
    },
    /// «Which conversations do you have?» Answered [`Own::Rooms`].
    WantRooms,
    /// Conversations, newest first, and up to which position each goes on that device.
    Rooms(Vec<(AccountName, u64)>),
    /// «Lines of that conversation before that position, newest first.» Answered [`Own::Lines`].
    WantLines {
        /// Whose conversation.
        with: AccountName,
        /// A position on the device that is asked.
        before: u64,
    },
    /// Some of them.
    Lines {
        /// Whose conversation.
        with: AccountName,
        /// As asked.
        before: u64,
        /// Where to go on; `None` at the beginning of the conversation.
        next: Option<u64>,
        /// Newest first, at most [`LINES_MAX`].
        lines: Vec<Told>,
    },
    /// What is said of oneself to contacts, as it was set on that device.
    Profile(Profile),
    /// A password was set: each device stores what it knows under this.
    Backup(BackupKey),
    /// A file that was sent from that device.
    CopiedFile {
        /// Whose conversation it belongs to.
        with: AccountName,
        /// As the other person got it.
        file: Box<File>,
        /// After so many seconds the message disappears, at most [`super::EXPIRY_MAX`]; 0: it stays.
        seconds: u32,
    },
    /// What was said or done on that device in a conversation, and is no plain line.
    Said {
        /// Whose conversation it belongs to.
        with: AccountName,
        /// Encoded content as the other person got it, at most [`super::SAID_MAX`] and a wrapping: as
        /// bytes, so that no depth can be sent.
        inside: Vec<u8>,
    },
    /// Rooms of several people, newest first, and up to which position each goes on that device. Comes
    /// before [`Own::Rooms`].
    Groups(Vec<(RoomTag, u64)>),
    /// As [`Own::WantLines`], of a room of several. Answered [`Own::GroupLines`].
    WantGroupLines {
        /// Which room.
        room: RoomTag,
        /// A position on the device that is asked.
        before: u64,
    },
    /// As [`Own::Lines`].
    GroupLines {
        /// Which room.
        room: RoomTag,
        /// As asked.
        before: u64,
        /// Where to go on; `None` at the beginning of the room.
        next: Option<u64>,
        /// In the order in which they came there, the newest first; at most [`LINES_MAX`].
        lines: Vec<Told>,
    },
    /// What was decided about rooms of several; the newest word about each thing counts.
    RoomFields(Vec<RoomField>),
}

/// One thing that was decided about a room of several people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomField {
    /// Which room.
    pub room: RoomTag,
    /// When.
    pub at: Millis,
    /// On which device; decides between equal times.
    pub by: DeviceId,
    /// What: [`Value::Rings`] or [`Value::Timer`], others mean nothing there.
    pub value: Value,
}

/// What a device needs to store its state in the account's backup.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct BackupKey {
    /// Which password.
    #[zeroize(skip)]
    pub epoch: Epoch,
    /// Seals the state.
    pub key: [u8; 32],
    /// Public half of the key that adds a device by password.
    #[zeroize(skip)]
    pub recovery: [u8; 32],
}

impl std::fmt::Debug for BackupKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackupKey").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// One thing that is thought of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Whom it is about.
    pub with: AccountName,
    /// When it was decided.
    pub at: Millis,
    /// On which device; decides between equal times.
    pub by: DeviceId,
    /// What.
    pub value: Value,
}

/// What is thought of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// They were let in (`true`), or wait.
    Contact(bool),
    /// The root that is pinned.
    Pinned(Peer),
    /// The own name for them.
    Petname(Option<String>),
    /// The identity key whose number was compared and is the same.
    Verified(Option<[u8; 32]>),
    /// The identity key whose number was compared and is not.
    Doubted(Option<[u8; 32]>),
    /// Nothing of theirs is let in.
    Blocked(bool),
    /// No bells.
    Muted(bool),
    /// Everything up to this message was read.
    Read(MessageId),
    /// New messages disappear so many seconds after they were read; 0: they stay.
    Timer(u32),
    /// What rings.
    Rings(Rings),
}

/// What of a conversation rings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rings {
    /// Which lines.
    pub level: Level,
    /// Until then, by the wall clock; everything rings afterwards. `None`: for good.
    pub until: Option<Millis>,
}

/// Which lines of a conversation ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    /// All.
    #[default]
    All,
    /// Those that mention oneself.
    Mentions,
    /// None.
    None,
}

impl Value {
    /// Which thing it is: the newest of each counts.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Contact(_) => 0,
            Self::Pinned(_) => 1,
            Self::Petname(_) => 2,
            Self::Verified(_) => 3,
            Self::Doubted(_) => 4,
            Self::Blocked(_) => 5,
            Self::Muted(_) => 6,
            Self::Read(_) => 7,
            Self::Timer(_) => 8,
            Self::Rings(_) => 9,
        }
    }
}

/// A line of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Drawn by its author.
    pub id: MessageId,
    /// Written by the person themself.
    pub mine: bool,
    /// When.
    pub at: Millis,
    /// At most [`super::TEXT_MAX`] bytes.
    pub body: String,
    /// How far an own line got: 0 sent, 1 delivered, 2 read.
    pub mark: u8,
    /// What the line has besides, as the devices of one person store it; at most [`MORE_MAX`], empty
    /// for nothing.
    pub more: Vec<u8>,
}

impl Own {
    /// Whether every part keeps its bound.
    pub(super) fn bounded(&self) -> bool {
        match self {
            Self::Copied { body, seconds, .. } => {
                body.len() <= super::TEXT_MAX && *seconds <= super::EXPIRY_MAX
            }
            Self::Fields(fields) => {
                let short = |field: &Field| match &field.value {
                    Value::Petname(Some(name)) => name.len() <= NAME_MAX,
                    _ => true,
                };
                fields.len() <= FIELDS_MAX && fields.iter().all(short)
            }
            Self::Named { name, .. } => name.len() <= NAME_MAX,
            Self::Rooms(rooms) => rooms.len() <= ROOMS_MAX,
            Self::Groups(rooms) => rooms.len() <= ROOMS_MAX,
            Self::RoomFields(fields) => {
                fields.len() <= FIELDS_MAX
                    && fields.iter().all(|field| matches!(field.value, Value::Rings(_) | Value::Timer(_)))
            }
            Self::Lines { lines, .. } | Self::GroupLines { lines, .. } => {
                let short = |line: &Told| line.body.len() <= super::TEXT_MAX && line.more.len() <= MORE_MAX;
                lines.len() <= LINES_MAX && lines.iter().all(short)
            }
            Self::Profile(profile) => profile.within_bounds(),
            Self::CopiedFile { file, seconds, .. } => file.within_bounds() && *seconds <= super::EXPIRY_MAX,
            Self::Said { inside, .. } => inside.len() <= super::SAID_MAX + 64,
            Self::Taken { .. }
            | Self::WantRooms
            | Self::WantLines { .. }
            | Self::WantGroupLines { .. }
            | Self::Backup(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{Content, Error};

    fn field(value: Value) -> RoomField {
        RoomField { room: RoomTag([9; 16]), at: Millis(300), by: DeviceId([7; 16]), value }
    }

    fn decoded(own: Own) -> Result<Content, Error> {
        Content::decode(&Content::Own(own).encode())
    }

    #[test]
    fn bytes_of_what_was_decided_about_a_room() {
        let rings = Rings { level: Level::Mentions, until: None };
        let own = Own::RoomFields(vec![field(Value::Rings(rings))]);
        let bytes = Content::Own(own.clone()).encode();
        let mut want = vec![15, 1];
        want.extend([9; 16]);
        want.extend([0xac, 0x02]);
        want.extend([7; 16]);
        want.extend([9, 1, 0]);
        assert_eq!(bytes[2..], want, "after version and variant");
        assert_eq!(decoded(own.clone()), Ok(Content::Own(own)));
    }

    #[test]
    fn what_is_told_of_rooms_keeps_its_bounds() {
        let tag = RoomTag([9; 16]);
        assert!(decoded(Own::Groups(vec![(tag, 1); ROOMS_MAX])).is_ok());
        assert_eq!(decoded(Own::Groups(vec![(tag, 1); ROOMS_MAX + 1])), Err(Error::Malformed));
        assert_eq!(
            decoded(Own::RoomFields(vec![field(Value::Timer(1)); FIELDS_MAX + 1])),
            Err(Error::Malformed)
        );
        let blocked = Own::RoomFields(vec![field(Value::Blocked(true))]);
        assert_eq!(decoded(blocked), Err(Error::Malformed), "that is thought of people");
        let told = Told {
            id: MessageId([1; 16]),
            mine: true,
            at: Millis(1),
            body: String::new(),
            mark: 0,
            more: Vec::new(),
        };
        let lines =
            |count| Own::GroupLines { room: tag, before: 5, next: None, lines: vec![told.clone(); count] };
        assert!(decoded(lines(LINES_MAX)).is_ok());
        assert_eq!(decoded(lines(LINES_MAX + 1)), Err(Error::Malformed));
    }
}
