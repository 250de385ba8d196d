//! Knocking at a room's door, through a relay that knows doors and no rooms.
//!
//! 1. Members' devices say `WatchDoor` on each connection. The first one for a door begins it; whoever
//!    watches later must show the key that the one before left it to. The key comes from the room's
//!    secret, so who was removed watches no more.
//! 2. Somebody with a link says `Knock`. The relay hands it to one watching device as `Knocked`, or keeps
//!    it until one comes, and tells who knocks which of the two by `KnockHeard`.
//! 3. The member's device answers with `AnswerKnock`, which arrives as `Answered`; who knocks goes on
//!    with `Prove`, which arrives as `Proved`; and so on until an answer that is the last.
//!
//! An answer that lets a password be tried is marked as a guess by the member. There are
//! [`GUESSES_MAX`] of them a door and hour; after that knocks and such answers are refused with
//! `RateLimited`. A right password gives its guess back.

use crate::id::{AccountName, DeviceId, DoorId};
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest message between who knocks and a member.
pub const MESSAGE_MAX: usize = 4 * 1024;

/// Guesses at one door.
pub const GUESSES_MAX: usize = 10;

/// Within this time, in milliseconds: an hour.
pub const GUESSES_MS: u64 = 3_600_000;

/// How long a knock that nobody answers is kept, in milliseconds: a day.
pub const WAITS_MS: u64 = 24 * 3_600_000;

/// A device wants the knocks at a door.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Which one.
    pub door: DoorId,
    /// Opens the guard that is there; any, when the door begins.
    pub key: [u8; 32],
    /// SHA-256 of the key of who watches next.
    pub guard: [u8; 32],
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("door", &self.door).finish_non_exhaustive()
    }
}

/// A knock, numbered by the relay for as long as it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KnockId(pub u64);

/// A knock, as a member's device gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knocked {
    /// To be repeated in the answer.
    pub knock: KnockId,
    /// Where.
    pub door: DoorId,
    /// The device, as the relay authenticated it.
    pub from: DeviceId,
    /// Its account.
    pub name: AccountName,
    /// When it came, by the relay's wall clock.
    pub since: Millis,
    /// Not trusted.
    pub bytes: Vec<u8>,
}

/// What a member's device says to who knocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whose.
    pub knock: KnockId,
    /// At most [`MESSAGE_MAX`].
    pub bytes: Vec<u8>,
    /// What it does to the count of guesses.
    pub guess: Guess,
    /// Nothing follows.
    pub last: bool,
}

/// What an answer does to the count of guesses at its door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Guess {
    /// Nothing.
    None,
    /// It lets a password be tried.
    Taken,
    /// The password was right.
    GivenBack,
}
