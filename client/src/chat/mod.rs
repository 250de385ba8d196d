//! Conversations, timelines, outbox, inbox and calls: the state that commands and frames change.
//!
//! [`Chat`] is what the screen reads. [`talk::Talk`] owns it together with sessions, outbox and
//! store, and is the only one that changes it.

mod acts;
mod ahead;
pub mod attached;
pub mod attention;
mod away;
pub mod backup;
mod behind;
pub mod call;
mod calling;
mod clocks;
mod contact;
mod debts;
pub mod deeds;
pub mod devices;
pub mod expiry;
pub mod groups;
pub mod history;
mod inbox;
pub mod link;
mod linked;
mod marks;
pub mod mention;
pub mod outbox;
pub mod person;
pub mod profile;
mod receipts;
mod requests;
mod resets;
mod rewound;
pub mod room;
pub mod search;
mod sending;
pub mod showing;
pub mod state;
pub mod talk;
pub mod timeline;
pub mod transfer;
mod transferring;
mod trust;
pub mod wrapped;

#[cfg(test)]
mod tests;

use call::Call;
use room::Room;
use search::finding::Finding;
use subrosa_shared::id::{AccountName, RoomId};
use subrosa_shared::profile::Profile;
use subrosa_shared::protocol::password::Session;
use subrosa_shared::session::safety::{Number, Party};
use subrosa_shared::time::Millis;
use timeline::Timeline;

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
    /// Why the machine whose code was typed here last is no device of this account; a sentence.
    pub unlinked: Option<String>,
    /// A history that comes from another device: lines that came, and about how many there are.
    pub history: Option<(u64, u64)>,
    /// Strangers whose first message found no place among the requests, in this run.
    pub turned_away: u32,
    /// Connections and password sessions of the account, as last asked for.
    pub sessions: Vec<Session>,
    /// How often they were listed in this run.
    pub listings: u32,
    /// How often the relay would not list them.
    pub listings_refused: u32,
    /// What is looked for, and what was found.
    pub finding: Option<Finding>,
    /// How much of what was said before is in the search index, when it is not all: lines, and of how
    /// many.
    pub indexing: Option<(u64, u64)>,
    /// An old part of the open conversation that the screen shows instead of its newest lines.
    pub past: Option<Timeline>,
    /// Files on their way, and those that were, newest first.
    pub transfers: Vec<transfer::Transfer>,
    /// Files that are being read before they are sent.
    pub attaching: Vec<subrosa_shared::id::MessageId>,
    /// What is to be asked or shown about links into rooms.
    pub at_doors: Vec<groups::AtDoor>,
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

/// Logged in to the relay.
fn link_is_up(chat: &Chat) -> bool {
    chat.link == Link::Online
}

/// So many of something, for people: `1 line`, `2 lines`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
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

    /// The lines of a conversation that the screen shows.
    pub fn shown<'a>(&'a self, room: &'a Room) -> &'a Timeline {
        self.past.as_ref().filter(|past| past.room() == room.id).unwrap_or(&room.timeline)
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
        self.rooms.iter().find(|room| room.with() == Some(name))
    }

    /// Unread messages of all who were let in: strangers do not ring.
    pub fn unread(&self) -> u32 {
        self.rooms.iter().filter(|room| room.person.is_contact()).map(|room| room.kept.unread).sum()
    }

    /// The safety number with a conversation's person, and the identity key that it is about.
    pub fn safety(&self, room: &Room) -> Option<(Number, [u8; 32])> {
        let theirs = room.to_compare()?.identity;
        Some((self.safety_of(room, theirs)?, theirs))
    }

    /// The safety number that a conversation's person has under that identity key.
    pub fn safety_of(&self, room: &Room, theirs: [u8; 32]) -> Option<Number> {
        let me = Party { name: &self.name, identity: &self.identity };
        let them = Party { name: room.with()?, identity: &theirs };
        Some(Number::of(me, them))
    }

    /// The transfer of a message's file.
    pub fn transfer(&self, id: &subrosa_shared::id::MessageId) -> Option<&transfer::Transfer> {
        self.transfers.iter().find(|transfer| transfer.id == *id)
    }

    /// Whether that person, or a member of that room, is typing at this moment.
    pub fn typing(&self, room: &Room, mono: Millis) -> bool {
        let members = room.group.iter().flat_map(|group| group.typing.values());
        members.chain(&room.typing).any(|until| *until > mono)
    }
}
