//! Everything that can happen to the client.

use crate::chat::backup::Stretched;
use crate::chat::groups;
use crate::media::form::Made;
use crate::media::ladder::Level;
use crate::term::Caps;
use crate::ui::command::Command;
use crossterm::event::{KeyEvent, MouseEvent};
use subrosa_shared::id::TrackId;
use subrosa_shared::protocol::frame::ToDevice;

/// One thing that happened.
#[derive(Debug)]
pub enum Event {
    /// A key press, or a repeat.
    Key(KeyEvent),
    /// Bracketed paste.
    Paste(String),
    /// The mouse, when it is on.
    Mouse(MouseEvent),
    /// Columns and rows.
    Resize(u16, u16),
    /// The terminal got the focus, or lost it.
    Focus(bool),
    /// The editor closed: its text, or why there is none.
    Edited(Result<String, String>),
    /// The shell brought this process back.
    Resumed,
    /// A command from outside the keyboard (rpc, one-shot).
    Run(Command),
    /// The relay connection.
    Link(LinkEvent),
    /// Live pictures.
    Media(MediaEvent),
    /// The terminal said what it can do.
    Terminal {
        /// That, with everything that was known before.
        caps: Caps,
        /// What it says about itself, for the person.
        said: String,
    },
    /// The moment came that [`crate::effect::Effect::Wake`] asked for.
    Wake,
    /// Something that was carried out has a word for the person.
    Notice {
        /// A sentence.
        text: String,
        /// A failure.
        error: bool,
    },
    /// An image file became an own avatar, or why it did not.
    Avatar(Result<Vec<u8>, String>),
    /// What became of an order about files.
    Transfer(crate::files::Report),
    /// How far an export is.
    Progress(String),
    /// Slow work is done.
    Stretched(Stretched),
    /// The same about a room's password.
    StretchedDoor(groups::Stretched),
    /// The store could not write; it tries again until it can, or failed for good. Nothing goes out before.
    StoreFailed(String),
    /// The store writes again.
    StoreBack,
}

/// What the connection to the relay reports.
#[derive(Debug)]
pub enum LinkEvent {
    /// TLS is up and the relay's key is the pinned one; login comes next.
    Connected {
        /// Exporter value of this connection.
        exporter: [u8; 32],
    },
    /// A frame.
    Frame(ToDevice),
    /// Gone, or could not be made; it tries again by itself.
    Lost {
        /// A sentence for the person.
        why: String,
    },
    /// Will not be tried again before the person changes something (wrong fingerprint, other
    /// version).
    Refused {
        /// A sentence with the next step.
        why: String,
    },
}

/// What live pictures report.
#[derive(Debug, Clone)]
pub enum MediaEvent {
    /// The own source could not start, or broke.
    SourceFailed {
        /// A sentence with the next step.
        why: String,
    },
    /// A file or pipe came to its end.
    SourceEnded,
    /// A watched track needs a keyframe.
    WantKeyframe(TrackId),
    /// How a watched track does, about once a second.
    Stats(TrackId, Stats),
    /// How much of the pictures is shown from now on.
    Shown(Level),
    /// What their picture is made of from now on.
    Made(Made),
}

/// How a live picture does.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stats {
    /// Pictures shown a second.
    pub fps: f32,
    /// Kilobits a second on the wire, payload.
    pub kbps: f32,
    /// Share of frames lost, 0 to 1.
    pub loss: f32,
}
