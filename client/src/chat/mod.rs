//! Conversations, timelines, outbox, inbox and calls: the state that commands and frames change.
//!
//! [`Chat`] is what the screen reads. [`talk::Talk`] owns it together with sessions, outbox and
//! store, and is the only one that changes it.

mod ahead;
pub mod backup;
pub mod call;
mod calling;
mod contact;
pub mod devices;
pub mod expiry;
pub mod history;
mod inbox;
pub mod link;
mod linked;
pub mod outbox;
pub mod person;
pub mod profile;
mod receipts;
mod requests;
mod resets;
pub mod room;
mod sending;
pub mod showing;
pub mod state;
pub mod talk;
pub mod timeline;
mod trust;
pub mod wrapped;

#[cfg(test)]
mod tests;

use call::Call;
use room::Room;
use subrosa_shared::id::{AccountName, RoomId};
use subrosa_shared::profile::Profile;
use subrosa_shared::protocol::password::Session;
use subrosa_shared::session::safety::{Number, Party};
use subrosa_shared::time::Millis;

/// Everything about people and messages; the screen reads it and never changes it.
pub struct Chat {
    /// Own account.
    pub name: AccountName,
    /// What is said of oneself to contacts.
    pub profile: Profile,
    /// The identity key of the account's first device: what people pin and compare.
    pub identity: [u8; 32],
    /// The relay connection.
    pub link: Link,
    /// The relay's link, to show and to hand on.
    pub relay: String,
    /// The relay is hosted by this client.
    pub hosting: bool,
    /// Conversations in the order of the sidebar: newest first.
    pub rooms: Vec<Room>,
    /// The open one.
    pub open: Option<RoomId>,
    /// The one call there is.
    pub call: Option<Call>,
    /// The store cannot write (why): nothing goes out until it can.
    pub stuck: Option<String>,
    /// Envelopes that wait for the relay.
    pub waiting: usize,
    /// The devices of this account.
    pub devices: Vec<state::OwnDevice>,
    /// A code that is shown for another machine.
    pub linking: Option<link::Shown>,
    /// A history that comes from another device: lines that came, and about how many there are.
    pub history: Option<(u64, u64)>,
    /// Strangers whose first message found no place among the requests, in this run.
    pub turned_away: u32,
    /// Connections and password sessions of the account, as last asked for.
    pub sessions: Vec<Session>,
    /// How often they were listed in this run.
    pub listings: u32,
}

/// The relay connection, as the person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// Trying.
    Connecting,
    /// TLS is up; waiting for the relay's welcome.
    LoggingIn,
    /// Logged in.
    Online,
    /// Not connected; it is tried again.
    Offline {
        /// A sentence.
        why: String,
    },
    /// Not connected and not tried again before the person does something.
    Refused {
        /// A sentence with the next step.
        why: String,
    },
}

/// How long somebody has to wait, for people: `2 min 40 s`, `3 h 5 min`.
pub fn wait_in_words(millis: u32) -> String {
    let seconds = u64::from(millis).div_ceil(1000).max(1);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, 0) => format!("{m} min"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, 0, _) => format!("{h} h"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

impl Chat {
    /// The open conversation.
    pub fn current(&self) -> Option<&Room> {
        self.room(self.open?)
    }

    /// A conversation.
    pub fn room(&self, id: RoomId) -> Option<&Room> {
        self.rooms.iter().find(|room| room.id == id)
    }

    /// A conversation, to change it.
    pub(crate) fn room_mut(&mut self, id: RoomId) -> Option<&mut Room> {
        self.rooms.iter_mut().find(|room| room.id == id)
    }

    /// The conversation with that account.
    pub fn with(&self, name: &AccountName) -> Option<&Room> {
        self.rooms.iter().find(|room| room.kept.with == *name)
    }

    /// Unread messages of all who were let in: strangers do not ring.
    pub fn unread(&self) -> u32 {
        self.rooms.iter().filter(|room| room.person.is_contact()).map(|room| room.kept.unread).sum()
    }

    /// The safety number with a conversation's person, and the identity key that it is about: the
    /// changed one while there is one, for that is what is to be decided.
    pub fn safety(&self, room: &Room) -> Option<(Number, [u8; 32])> {
        let theirs = room.kept.changed.or(room.kept.peer)?.identity;
        let me = Party { name: &self.name, identity: &self.identity };
        let them = Party { name: &room.kept.with, identity: &theirs };
        Some((Number::of(me, them), theirs))
    }

    /// Whether that person is typing at this moment.
    pub fn typing(&self, room: &Room, mono: Millis) -> bool {
        room.typing.is_some_and(|until| until > mono)
    }
}
