//! Commands as data: keys, `/commands`, the palette, help, the JSON interface and the tests name these.

use subrosa_shared::id::{AccountName, RoomId};

/// What a person can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Write to the open conversation.
    Say(String),
    /// Write to that person, whichever conversation is open.
    Tell(AccountName, String),
    /// Begin (or open) the conversation with that person.
    Add(AccountName),
    /// Open a conversation.
    Open(RoomId),
    /// Take another name at the relay, when the first was taken.
    Name(AccountName),
    /// Accept a person's changed key.
    Trust,
    /// Send again what failed.
    Retry,
    /// Silence this conversation, or not.
    Mute,

    /// Ring, with pictures from this source (`None`: the configured one).
    Video(Option<String>),
    /// Take the call.
    Answer(Option<String>),
    /// Refuse the call.
    Decline,
    /// End the call.
    Hangup,
    /// Own camera off, or on again.
    Camera,
    /// Hide the own picture, or show it again.
    OwnPicture,

    /// Show the connection, the encryption, the version.
    Status,
    /// Show the relay's link, and copy it.
    Link,
    /// Write a plain-text export of this conversation.
    Export(String),
    /// Copy that text.
    Copy(String),
    /// Compose in `$EDITOR`; the text is what is there so far.
    Editor(String),
    /// Connect again now.
    Reconnect,
    /// Mouse on or off.
    Mouse,
    /// Suspend to the shell.
    Suspend,
    /// Leave.
    Quit,

    /// Something that only the screen knows about.
    Ui(UiCommand),
}

/// What changes only the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UiCommand {
    /// The next conversation with something unread.
    NextUnread,
    /// Conversation of that number in the sidebar, from 1.
    Nth(u8),
    /// One up in the sidebar.
    Previous,
    /// One down in the sidebar.
    Next,
    /// Fuzzy switcher over conversations and commands.
    Switcher,
    /// All keys and commands.
    Help,
    /// Rows up (negative) or down.
    Scroll(i32),
    /// Half a screen up (negative) or down.
    Page(i32),
    /// To the oldest line.
    Top,
    /// To the newest line.
    Bottom,
    /// To the first unread line.
    Unread,
    /// Copy the newest message, or the one that many back.
    CopyLine(usize),
    /// Copy the newest link.
    CopyUrl,
    /// Another theme.
    Theme(String),
    /// Sidebar on or off.
    Sidebar,
    /// Key hints on or off.
    Hints,
    /// Draw everything again.
    Redraw,
    /// Close what is on top.
    Escape,
}
