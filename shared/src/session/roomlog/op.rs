//! What an entry of a room's log says, as bytes and as values.

use super::Fault;
use crate::id::{AccountName, DoorId, RoomTag};
use crate::protocol::auth::verify;
use crate::session::Identity;
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The longest name of a room, in bytes.
pub const NAME_MAX: usize = 128;

/// The longest topic of a room, in bytes.
pub const TOPIC_MAX: usize = 512;

/// The most members of a room, whatever its policy.
pub const MEMBERS_MAX: u8 = 100;

/// The most lines that a policy lets a newcomer be sent.
pub const HISTORY_MAX: u16 = 500;

/// The longest encoded entry.
pub const ENTRY_MAX: usize = 1024;

/// What a member is; more may do more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Talks; invites, if the policy lets every member invite.
    Member,
    /// Also names the room, removes, bans and silences members.
    Moderator,
    /// One in each room: everything, and alone roles, policy, handing over, the room's end.
    Owner,
}

/// How a room is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Policy {
    /// The least role that may add people and open doors.
    pub invite: Role,
    /// How many of the last lines a member sends to a newcomer; at most [`HISTORY_MAX`].
    pub history: u16,
    /// The most members, 1 to [`MEMBERS_MAX`].
    pub limit: u8,
}

impl Default for Policy {
    fn default() -> Self {
        Self { invite: Role::Moderator, history: 50, limit: MEMBERS_MAX }
    }
}

/// Who comes in through a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Terms {
    /// It closes behind the first one.
    pub once: bool,
    /// Nobody is added through it afterwards, by the clock of who adds.
    pub until: Option<Millis>,
    /// SHA-256 of the password's record, which members hold; `None`: the link is enough.
    pub password: Option<[u8; 32]>,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// The first entry of every log and of no other place: its author is the owner.
    Found {
        /// Random, so that no two rooms are the same.
        nonce: [u8; 16],
        /// The root identity key of the author's account.
        root: [u8; 32],
        /// At most [`NAME_MAX`] bytes, not blank.
        name: String,
        /// How it is run.
        policy: Policy,
    },
    /// Somebody is a member from here on.
    Add {
        /// Who.
        account: AccountName,
        /// The root identity key of their account: the relay cannot put another one in.
        root: [u8; 32],
        /// The door that they came in by; a door for one closes.
        door: Option<DoorId>,
    },
    /// Somebody is no member any more: oneself (leaving) or another (kicked).
    Remove {
        /// Who.
        account: AccountName,
    },
    /// Removed if a member, and not to be added until [`Op::Unban`].
    Ban {
        /// Who.
        account: AccountName,
        /// The root identity key of their account, banned under any other name too.
        root: [u8; 32],
    },
    /// May be added again.
    Unban {
        /// Who.
        account: AccountName,
    },
    /// A member's words count for nothing for a while.
    Silence {
        /// Who.
        account: AccountName,
        /// Until then; the largest value: until lifted. `None` lifts it.
        until: Option<Millis>,
    },
    /// A member becomes a moderator or a plain member.
    Role {
        /// Who.
        account: AccountName,
        /// Never [`Role::Owner`]: see [`Op::HandOver`].
        role: Role,
    },
    /// The room is called otherwise.
    Name(String),
    /// The room is about something else; may be empty.
    Topic(String),
    /// The room is run otherwise.
    Policy(Policy),
    /// Another member is the owner; who was becomes a moderator.
    HandOver {
        /// Who.
        account: AccountName,
    },
    /// A door opens or has other terms (`Some`), or closes.
    Door {
        /// Which one.
        door: DoorId,
        /// From here on.
        terms: Option<Terms>,
    },
    /// The room is over; nothing follows.
    Delete,
    /// The author's account lost a device: the keys are new from here on, and all before was signed by
    /// devices that the account had.
    Renew,
}

/// One signed operation and its place in the chain. Its form was checked, its signature was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Head before it; zeros for the first.
    pub previous: [u8; 32],
    /// Counted from 0.
    pub height: u64,
    /// Who says what.
    pub said: Said,
    /// Ed25519 by the author's device over all of it.
    pub signature: [u8; 64],
}

/// What is signed of an entry besides its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// In which room: an entry of one room means nothing in another. Zeros in the first entry, which
    /// makes the tag.
    pub room: RoomTag,
    /// Whose operation.
    pub author: AccountName,
    /// Identity key of the device that signs.
    pub device: [u8; 32],
    /// The author's wall clock.
    pub at: Millis,
    /// What.
    pub op: Op,
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) previous: [u8; 32],
    pub(super) height: u64,
}

impl Entry {
    pub(super) fn sign(place: Place, said: Said, identity: &Identity) -> Self {
        let signature = identity.sign(&text(place.previous, place.height, &said));
        Self { previous: place.previous, height: place.height, said, signature }
    }

    /// The head that the log has after it: SHA-256 of what is signed.
    pub fn head(&self) -> [u8; 32] {
        Sha256::digest(text(self.previous, self.height, &self.said)).into()
    }

    /// The room that begins with it.
    pub fn tag(&self) -> RoomTag {
        let hash = Sha256::new().chain_update(b"subrosa room/1\0").chain_update(self.head()).finalize();
        let mut tag = [0; 16];
        tag.copy_from_slice(&hash[..16]);
        RoomTag(tag)
    }

    /// Whether the device that it names signed it.
    pub fn is_signed(&self) -> bool {
        let text = text(self.previous, self.height, &self.said);
        verify(&self.said.device, &text, &self.signature).is_ok()
    }

    /// Its bytes, at most [`ENTRY_MAX`].
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.previous.to_vec();
        bytes.extend_from_slice(&self.height.to_be_bytes());
        bytes.extend(said_bytes(&self.said));
        bytes.extend_from_slice(&self.signature);
        bytes
    }

    /// Reads what [`Entry::encode`] wrote, in that one form only, and checks its bounds.
    ///
    /// # Errors
    /// [`Fault::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() > ENTRY_MAX {
            return Err(Fault::Malformed);
        }
        let (previous, rest) = bytes.split_first_chunk::<32>().ok_or(Fault::Malformed)?;
        let (height, rest) = rest.split_first_chunk::<8>().ok_or(Fault::Malformed)?;
        let (said, signature) = rest.split_last_chunk::<64>().ok_or(Fault::Malformed)?;
        let height = u64::from_be_bytes(*height);
        let parsed: Said = postcard::from_bytes(said).map_err(|_| Fault::Malformed)?;
        // Numbers have longer spellings too, and what is behind the value would be passed over.
        if !parsed.op.bounded() || said_bytes(&parsed) != said {
            return Err(Fault::Malformed);
        }
        Ok(Self { previous: *previous, height, said: parsed, signature: *signature })
    }
}

impl Op {
    /// Whether every part keeps its bound.
    pub fn bounded(&self) -> bool {
        match self {
            Self::Found { name, policy, .. } => named(name) && policy.bounded(),
            Self::Name(name) => named(name),
            Self::Topic(topic) => topic.len() <= TOPIC_MAX,
            Self::Policy(policy) => policy.bounded(),
            _ => true,
        }
    }

    /// Whether it takes something away: these alone fit into a log that is nearly full.
    pub fn takes_away(&self) -> bool {
        matches!(
            self,
            Self::Remove { .. }
                | Self::Ban { .. }
                | Self::HandOver { .. }
                | Self::Door { terms: None, .. }
                | Self::Delete
        )
    }
}

impl Policy {
    fn bounded(&self) -> bool {
        self.history <= HISTORY_MAX && (1..=MEMBERS_MAX).contains(&self.limit)
    }
}

fn named(name: &str) -> bool {
    name.len() <= NAME_MAX && !name.trim().is_empty()
}

fn said_bytes(said: &Said) -> Vec<u8> {
    postcard::to_stdvec(said).expect("an operation serialises: it holds no maps or unsized data")
}

/// `"subrosa room-op/1\0" ‖ previous (32) ‖ height (u64 BE) ‖ length (u32 BE) ‖ postcard of [`Said`]`.
fn text(previous: [u8; 32], height: u64, said: &Said) -> Vec<u8> {
    let said = said_bytes(said);
    let mut text = b"subrosa room-op/1\0".to_vec();
    text.extend_from_slice(&previous);
    text.extend_from_slice(&height.to_be_bytes());
    text.extend_from_slice(&(said.len() as u32).to_be_bytes());
    text.extend(said);
    text
}
