//! Methods with their parameters, checked before anything happens.

mod params;
mod parse;
#[cfg(test)]
mod tests;

pub(super) use params::take;

use super::event::Kind;
use super::files;
use super::place::Place;
use super::rooms::RoomMethod;
use crate::chat::profile::Change;
use crate::chat::search::index::Key;
use crate::ui::act::LineCommand;
use crate::ui::command::Command;
use crate::ui::setup::RelayChoice;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use subrosa_shared::content::own::Level;
use subrosa_shared::id::{AccountName, MessageId};
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::pair::Code;
use zeroize::Zeroizing;

/// A checked request.
#[derive(Debug)]
pub enum Method {
    /// Which program this is.
    Version,
    /// Make a profile.
    Register {
        /// Account to take.
        name: AccountName,
        /// Of the new profile.
        passphrase: Secret,
        /// Where.
        relay: RelayChoice,
        /// How long the answer may wait for the login.
        wait: Duration,
    },
    /// Make a profile of what a login password opens.
    SignIn {
        /// The account.
        name: AccountName,
        /// Its login password.
        password: Secret,
        /// Of the new profile.
        passphrase: Secret,
        /// Where the account is.
        relay: RelayLink,
        /// How long the answer may wait for the login.
        wait: Duration,
    },
    /// Set or change the login password.
    SetPassword {
        /// Of the profile.
        passphrase: Secret,
        /// The new one.
        password: Secret,
    },
    /// Send a file.
    SendFile {
        /// Where to.
        to: Place,
        /// Where it lies.
        path: String,
        /// May be empty.
        caption: String,
    },
    /// List files.
    Files,
    /// Do something about one.
    File {
        /// What.
        change: files::Change,
        /// Its message.
        id: MessageId,
        /// Where it is to be saved.
        folder: Option<String>,
    },
    /// List the connections of the account.
    Sessions,
    /// End one of them.
    EndSession(usize),
    /// List the own devices.
    Devices,
    /// Have a code for a new one.
    LinkDevice(Option<Code>),
    /// Call this one something.
    NameDevice(String),
    /// Take one out of the account.
    RemoveDevice {
        /// Its number.
        device: String,
        /// To confirm it.
        sure: bool,
    },
    /// Open the profile.
    Unlock {
        /// Of the profile.
        passphrase: Secret,
        /// How long the answer may wait for the login.
        wait: Duration,
    },
    /// Take the keys out of memory.
    Lock,
    /// Destroy the profile.
    Burn {
        /// The own account, to confirm it.
        name: AccountName,
        /// To confirm it once more.
        sure: bool,
    },
    /// Profile, connection, outbox.
    Status,
    /// People.
    Contacts,
    /// Begin a conversation.
    Add(AccountName),
    /// Write.
    Send {
        /// To whom.
        to: AccountName,
        /// What.
        text: String,
        /// The line that it answers.
        reply: Option<MessageId>,
    },
    /// Do something to a line.
    Act {
        /// Where.
        with: Place,
        /// Which line.
        id: MessageId,
        /// What.
        command: LineCommand,
    },
    /// List what is pinned there.
    Pins(Place),
    /// Set what rings.
    Mute {
        /// Where.
        with: Place,
        /// Which lines.
        level: Level,
        /// For how long.
        seconds: Option<u32>,
    },
    /// Read what was written.
    History {
        /// With whom.
        with: AccountName,
        /// At most so many lines.
        limit: usize,
        /// Only lines before this position.
        before: u64,
    },
    /// Find what was said.
    Search {
        /// As it is typed.
        query: String,
        /// At most so many lines.
        limit: usize,
        /// Only behind this one.
        before: Option<Key>,
    },
    /// About rooms of several people.
    Room(RoomMethod),
    /// Lines of a room of several people.
    RoomHistory {
        /// Which.
        room: String,
        /// At most so many lines.
        limit: usize,
        /// Only lines before this position.
        before: u64,
    },
    /// Everything of that person was seen.
    MarkRead(AccountName),
    /// Hear of these.
    Subscribe(Vec<Kind>),
    /// Hear no longer of these.
    Unsubscribe(Vec<Kind>),
    /// Ring.
    Call {
        /// Whom.
        to: AccountName,
        /// Own pictures.
        source: Option<String>,
    },
    /// Take the call, with own pictures from there.
    Answer(Option<String>),
    /// Refuse the call.
    Decline,
    /// Let a stranger in.
    Accept(AccountName),
    /// Forget a stranger's request.
    DeclineRequest(AccountName),
    /// Let nothing of a person in.
    Block(AccountName),
    /// Let them in again.
    Unblock(AccountName),
    /// Own name for a person.
    Petname {
        /// Whose.
        with: AccountName,
        /// The name; `None` for their own.
        petname: Option<String>,
    },
    /// What somebody says of themselves; of oneself when nobody is named.
    Profile(Option<AccountName>),
    /// Change the own profile.
    SetProfile(Vec<Change>),
    /// The safety number.
    Verify {
        /// With whom.
        with: AccountName,
        /// What the other end shows, to compare.
        given: Option<String>,
    },
    /// End the call.
    Hangup,
    /// Own camera on or off.
    Camera(bool),
    /// Where received pictures go.
    Sink {
        /// File or pipe; `None` for nowhere.
        path: Option<PathBuf>,
        /// Pictures a second that the stream says it has.
        fps: Option<u32>,
    },
    /// How the call does.
    CallStats,
    /// Accept a changed key.
    Trust {
        /// Whose.
        with: AccountName,
        /// Only if it is this device's.
        device: Option<String>,
    },
    /// Keep the pinned key, refuse the changed one.
    Distrust {
        /// Whose.
        with: AccountName,
        /// Only if it is this device's.
        device: Option<String>,
    },
    /// How long new messages stay.
    Expire {
        /// Where.
        with: Place,
        /// Seconds, 0: for ever.
        seconds: u32,
    },
    /// Keys and contacts into a new file, sealed.
    ExportKeys {
        /// The file.
        path: String,
        /// Seals it.
        passphrase: Secret,
    },
    /// A conversation, or all, into a new file.
    Export {
        /// Which; `None` for all.
        with: Option<Place>,
        /// The file.
        path: String,
    },
    /// A `/command`.
    Command(Command),
    /// Leave.
    Quit,
}

/// A passphrase. Wiped when dropped, and never shown.
pub struct Secret(pub Zeroizing<String>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // The usual message of a wrong type repeats the value.
        match Value::deserialize(from)? {
            Value::String(text) => Ok(Self(Zeroizing::new(text))),
            _ => Err(D::Error::custom("a passphrase is a string")),
        }
    }
}
