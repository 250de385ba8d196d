//! Commands as data: keys, `/commands`, the palette, help, the JSON interface and the tests name these.

use super::act::LineCommand;
use super::picture;
use crate::chat::profile::Change;
use crate::chat::search::index::Side;
use subrosa_shared::content::own::Level;
use subrosa_shared::id::{AccountName, MessageId, RoomId};
use zeroize::Zeroizing;

pub use argument::{expiry, level};
pub use table::specs;

mod argument;
mod table;
#[cfg(test)]
mod tests;

/// What a person can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Write to the open conversation.
    Say(String),
    /// Write to that person, whichever conversation is open.
    Tell(AccountName, String),
    /// The same as it was typed: a name, of several words where it is one's own for them, and the text.
    TellTyped(String),
    /// Begin (or open) the conversation with that person.
    Add(AccountName),
    /// Ask the relay who that is, for somebody who is written to; what is open stays so.
    Meet(AccountName),
    /// Open a conversation.
    Open(RoomId),
    /// Take another name at the relay, when the first was taken.
    Name(AccountName),
    /// Accept a person's changed key.
    Trust,
    /// Accept that identity key of theirs, whose number was shown.
    Trusted(RoomId, [u8; 32]),
    /// Keep a person's pinned key, and refuse the changed one (`None`: of the open conversation).
    Distrust(Option<AccountName>),
    /// Show the safety number with a person (`None`: of the open conversation), or compare it with
    /// what was pasted.
    Verify(Option<AccountName>, Option<String>),
    /// The safety number is the same on both ends, for that identity key.
    Verified(RoomId, [u8; 32]),
    /// It is not.
    Doubt(RoomId, [u8; 32]),
    /// Take the verified mark back.
    Unverify(Option<AccountName>),
    /// List people, with what is thought of them.
    Contacts,
    /// Own name for a person; `None` takes it back.
    Petname(AccountName, Option<String>),
    /// Change what contacts see of oneself; `None` shows it.
    Profile(Option<Change>),
    /// Show what a person says of themselves (`None`: of the open conversation).
    Whois(Option<AccountName>),
    /// Let nothing of a person in.
    Block(Option<AccountName>),
    /// Let them in again.
    Unblock(Option<AccountName>),
    /// Let a stranger in; a call that rings is taken when no stranger is meant.
    Accept(Option<AccountName>),
    /// Forget a stranger's request.
    DeclineRequest(Option<AccountName>),
    /// New messages of this conversation disappear so many seconds after they are read, 0: never;
    /// `None` says how it is.
    Expire(Option<u32>),
    /// Ask for a new login password.
    Password,
    /// Set it.
    SetPassword {
        /// Of the profile, where it has one.
        passphrase: Secret,
        /// The new one.
        password: Secret,
    },
    /// List the connections of the account, or end the one of that number.
    Sessions(Option<usize>),
    /// Send again what failed.
    Retry,
    /// What of this conversation rings (`None`: nothing if all does, else all), for so many seconds or
    /// for good.
    Rings(Option<Level>, Option<u32>),
    /// About a line of the open conversation; `None`: the picked one, or the one that is meant.
    Line(Option<MessageId>, LineCommand),
    /// List what is pinned in the open conversation.
    Pins,
    /// Go to that line of the open conversation.
    ToLine(MessageId),

    /// Ring, with pictures from this source (`None`: the configured one).
    Video(Option<String>),
    /// The own picture is another one, in this call and the next ones.
    Picture(picture::Change),
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

    /// Send a file, with a line about it (`None`: in the open conversation).
    Attach {
        /// To whom.
        to: Option<AccountName>,
        /// As the person wrote it.
        path: String,
        /// May be empty.
        caption: String,
    },
    /// Files on their way.
    Files(super::files::FilesCommand),

    /// A room of several people; `None`: the open one.
    Room(Option<RoomId>, super::rooms::RoomCommand),
    /// The own devices.
    Devices(super::devices::DevicesCommand),
    /// Show the connection, the encryption, the version.
    Status,
    /// Show the relay's link, and copy it.
    Link,
    /// Write this conversation to a readable file.
    Export(String),
    /// Write all conversations to a readable file.
    ExportAll(String),
    /// Write keys and contacts to a file, sealed under this passphrase (`None`: it is asked for).
    ExportKeys(String, Option<Secret>),
    /// Where an import happens.
    Import,
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
    /// Take the keys out of memory until the passphrase is typed.
    Lock,
    /// Destroy the profile, confirmed by the own account name.
    Burn(Option<AccountName>),
    /// Leave.
    Quit,

    /// Look for something, on top of the conversation; empty: what was looked for last.
    Search(String),
    /// What is typed there now.
    Find(String),
    /// Read more of what was found.
    FindOn(Side),
    /// Go to that one of the lines that were found.
    Jump(usize),
    /// Go to the next one that was found.
    Hit(Side),
    /// Go back to where one was before.
    Back,

    /// Something that only the screen knows about.
    Ui(UiCommand),
}

/// Something that nobody may read over a shoulder or in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Zeroizing<String>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
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
    /// Pick a line, to do something with it.
    Pick,
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
    /// Put that into the composer.
    Write(String),
    /// Compose in `$EDITOR` what is in the composer.
    Editor,
    /// Clear the line; on an empty one leave, when asked twice.
    Interrupt,
}

/// One command, as `/name`, keys and help know it.
pub struct Spec {
    /// Behind the slash.
    pub name: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// Arguments as help shows them: `NAME` is needed, `[NAME]` is not.
    pub args: &'static str,
    /// What it does, on one line.
    pub help: &'static str,
    /// Keys, each with the argument that it gives.
    pub keys: &'static [(&'static str, &'static str)],
    /// Where help lists it.
    pub group: Group,
    /// Reads the trimmed argument text.
    pub parse: fn(&str) -> Result<Command, String>,
}

/// Chapters of help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Conversations.
    Rooms,
    /// Rooms of several people.
    Several,
    /// Who people are.
    People,
    /// What can be done with a message.
    Lines,
    /// Reading and copying.
    Reading,
    /// Live pictures.
    Calls,
    /// Connection, screen and leaving.
    Client,
}

impl Group {
    /// All, in help's order.
    pub const ALL: [Self; 7] =
        [Self::Rooms, Self::Several, Self::People, Self::Lines, Self::Reading, Self::Calls, Self::Client];

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Rooms => "Conversations",
            Self::Several => "Rooms of several people",
            Self::People => "People and trust",
            Self::Lines => "Messages",
            Self::Reading => "Reading and copying",
            Self::Calls => "Video calls",
            Self::Client => "Connection and screen",
        }
    }
}

/// Reads `/name argument`.
///
/// # Errors
/// A sentence with the closest command, or with the arguments that it wants.
pub fn parse(line: &str) -> Result<Command, String> {
    let rest = line.strip_prefix('/').unwrap_or(line);
    let (name, argument) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let name = name.to_lowercase();
    match find(&name) {
        Some(spec) => (spec.parse)(argument.trim()).map_err(|why| {
            let space = if spec.args.is_empty() { "" } else { " " };
            format!("{why} Usage: /{}{space}{}", spec.name, spec.args)
        }),
        None => Err(match closest(&name) {
            Some(other) => {
                format!("There is no /{}. Did you mean /{other}? F1 lists all.", super::text::line(&name))
            }
            None => format!(
                "There is no /{}. F1 lists all commands; // begins a line with /.",
                super::text::line(&name)
            ),
        }),
    }
}

/// The command of that name or alias.
pub fn find(name: &str) -> Option<&'static Spec> {
    specs().find(|spec| spec.name == name || spec.aliases.contains(&name))
}

/// Commands whose name or alias begins like that, names before aliases.
pub fn beginning(prefix: &str) -> Vec<&'static Spec> {
    let prefix = prefix.to_lowercase();
    let by_name = specs().filter(|spec| spec.name.starts_with(&prefix));
    let by_alias = specs().filter(|spec| {
        !spec.name.starts_with(&prefix) && spec.aliases.iter().any(|alias| alias.starts_with(&prefix))
    });
    by_name.chain(by_alias).collect()
}

/// The command that a mistyped name most likely meant.
fn closest(name: &str) -> Option<&'static str> {
    let all = specs().flat_map(|spec| std::iter::once(&spec.name).chain(spec.aliases));
    let (far, best) = all.map(|other| (distance(name, other), *other)).min()?;
    (far <= 2 && far < name.chars().count()).then_some(best)
}

/// Letters to change, insert, drop or swap.
fn distance(a: &str, b: &str) -> usize {
    // Longer words are never close to a command.
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(32).collect(), b.chars().take(32).collect());
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let same = usize::from(a[i - 1] != b[j - 1]);
                let mut best = (rows[i - 1][j - 1] + same).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}
