//! Everything that the client can do about an event. Effects are carried out in their order.

use crate::chat::backup::Job;
use crate::chat::call::CallState;
use crate::chat::deeds::Change;
use crate::chat::groups::Stretch;
use crate::chat::timeline::{Author, LineState, More};
use crate::export;
use crate::files::Order;
use crate::media::source::Size;
use std::path::PathBuf;
use subrosa_shared::content::Stream;
use subrosa_shared::id::{AccountName, MessageId, RoomId, TrackId};
use subrosa_shared::protocol::frame::ToRelay;
use subrosa_shared::store::Batch;
use subrosa_shared::time::Millis;

/// One thing to do. What must be on disk comes before what goes out.
#[derive(Debug)]
pub enum Effect {
    /// Make it durable; what follows waits for it.
    Commit(Batch),
    /// To the relay, when connected; dropped otherwise (the outbox sends again at login).
    Send(ToRelay),
    /// Send [`crate::event::Event::Wake`] at this monotonic moment; a later one replaces it.
    Wake(Millis),
    /// Live pictures.
    Media(MediaEffect),
    /// Draw again.
    Draw,
    /// Tell the person, who looks elsewhere.
    Notify {
        /// Who or what.
        title: String,
        /// A line of it.
        body: String,
    },
    /// The window's title.
    Title(String),
    /// Put text on the clipboard (OSC 52).
    Copy(String),
    /// Open `$EDITOR` with this text.
    Edit {
        /// What is there so far.
        text: String,
        /// It disappears once it is said: it must be on no disk.
        fleeting: bool,
    },
    /// Tell the scripts that listen.
    Tell(Happened),
    /// Read an image file and answer with [`crate::event::Event::Avatar`].
    Avatar(PathBuf),
    /// Send, fetch or look at a file, and report by [`crate::event::Event::Transfer`].
    Transfer(Order),
    /// Export this, beside everything else.
    Export(Box<export::Job>),
    /// Connect again now, with a fresh login.
    Reconnect,
    /// Suspend to the shell (Ctrl+Z).
    Suspend,
    /// Turn mouse reporting on or off.
    Mouse(bool),
    /// Do this slow work where nobody waits, and send [`crate::event::Event::Stretched`].
    Stretch(Box<Job>),
    /// The same with a room's password, and [`crate::event::Event::StretchedDoor`].
    StretchDoor(Box<Stretch>),
    /// Leave.
    Quit,
}

/// Live pictures: what to run.
#[derive(Debug, Clone)]
pub enum MediaEffect {
    /// Open the own source and show it; pictures go out once it is live.
    Start {
        /// Own track with its key.
        stream: Stream,
        /// Where pictures come from: `test`, a path, `-`, `camera`.
        source: String,
    },
    /// The own picture comes from here from now on, on the same track under the same key; camera on.
    Source(String),
    /// Send pictures (`true`), or only show the own one.
    Live(bool),
    /// Camera off (`true`): nothing is captured or sent.
    Pause(bool),
    /// The next frame is a keyframe.
    Keyframe,
    /// The own picture may take that many kilobits a second from now on.
    Budget(u32),
    /// The own picture is of this size, so many times a second, from now on.
    Shape {
        /// In dots.
        size: Size,
        /// Pictures a second.
        fps: u8,
    },
    /// End the own source.
    Stop,
    /// Receive and show this stream; replaces the one before.
    Watch(Stream),
    /// Stop receiving.
    Unwatch(TrackId),
    /// Their picture is an old one: nothing is shown until the next one comes.
    Blank,
}

/// A conversation, as scripts know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// With that person.
    Person(AccountName),
    /// A room of several.
    Room {
        /// The same for all its members, in hexadecimal.
        tag: String,
        /// What it is called, with its `#`; harmless only after the screen made it so.
        name: String,
    },
}

impl Whose {
    /// The other person, where there is one.
    pub fn person(&self) -> Option<&AccountName> {
        match self {
            Self::Person(name) => Some(name),
            Self::Room { .. } => None,
        }
    }

    /// The person's account, or the room's name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Person(name) => name.as_str(),
            Self::Room { name, .. } => name,
        }
    }
}

impl PartialEq<AccountName> for Whose {
    fn eq(&self, name: &AccountName) -> bool {
        self.person() == Some(name)
    }
}

/// What scripts are told.
#[derive(Debug, Clone, PartialEq)]
pub enum Happened {
    /// A line was added to a timeline.
    Line {
        /// Where.
        room: RoomId,
        /// The other person, or the room.
        with: Whose,
        /// The member who wrote it, in a room of several.
        by: Option<AccountName>,
        /// The message.
        id: MessageId,
        /// Who wrote it.
        author: Author,
        /// When, as shown.
        at: Millis,
        /// The text.
        body: String,
        /// What it has besides.
        more: Box<More>,
    },
    /// Something was done to a line.
    Change {
        /// Which conversation.
        with: Whose,
        /// The line.
        id: MessageId,
        /// Who did it.
        by: AccountName,
        /// What is different.
        change: Change,
        /// What an edited line says now; empty for everything else.
        text: String,
    },
    /// A stranger wrote for the first time and waits to be let in.
    Request {
        /// Who, or into which room.
        with: Whose,
        /// Who invites, to a room of several.
        by: Option<AccountName>,
    },
    /// A contact says something else of themselves.
    Profile {
        /// Who.
        with: AccountName,
        /// Their display name, harmless; empty for none.
        name: String,
        /// Their status line, harmless; empty for none.
        status: String,
        /// Whether they have an avatar.
        avatar: bool,
    },
    /// A room of several has changed: who is in, what it is called, whether it goes on.
    Room {
        /// Which.
        with: Whose,
        /// How many people are in.
        people: usize,
        /// This account is in, and the room was not deleted.
        open: bool,
    },
    /// An own message got further.
    Mark {
        /// The other person, or the room.
        with: Whose,
        /// The message.
        id: MessageId,
        /// How far.
        state: LineState,
    },
    /// Somebody came or went.
    Presence {
        /// Who.
        with: AccountName,
        /// Here now.
        online: bool,
    },
    /// Somebody is typing, or stopped.
    Typing {
        /// Who, or in which room.
        with: Whose,
        /// The member, in a room of several.
        by: Option<AccountName>,
        /// Now.
        on: bool,
    },
    /// A file got further, or will not.
    File {
        /// Which conversation.
        with: Whose,
        /// The message that tells of it.
        id: MessageId,
        /// Sent from here.
        up: bool,
        /// As its author calls it: foreign text.
        name: String,
        /// In bytes.
        size: u64,
        /// Bytes that are there.
        done: u64,
        /// In one word.
        state: &'static str,
        /// Where it was saved.
        path: Option<PathBuf>,
        /// Why it does not go on; empty when it does.
        why: String,
    },
    /// A call changed.
    Call {
        /// With whom.
        with: AccountName,
        /// To what; `None` when it is over.
        state: Option<CallState>,
        /// Why it is over, for the person.
        note: String,
    },
    /// The relay connection changed.
    Link {
        /// Logged in.
        online: bool,
        /// Why not.
        why: String,
    },
    /// A command failed, or has something to say.
    Notice {
        /// A sentence.
        text: String,
        /// A failure.
        error: bool,
    },
}
