//! Commands as data: keys, `/commands`, the palette, help, the JSON interface and the tests name these.

use super::picture;
use crate::chat::profile::Change;
use subrosa_shared::content::EXPIRY_MAX;
use subrosa_shared::id::{AccountName, RoomId};
use zeroize::Zeroizing;

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
    /// Silence this conversation, or not.
    Mute,

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
    /// Who people are.
    People,
    /// Reading and copying.
    Reading,
    /// Live pictures.
    Calls,
    /// Connection, screen and leaving.
    Client,
}

impl Group {
    /// All, in help's order.
    pub const ALL: [Self; 5] = [Self::Rooms, Self::People, Self::Reading, Self::Calls, Self::Client];

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Rooms => "Conversations",
            Self::People => "People and trust",
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
    SPECS.iter().find(|spec| spec.name == name || spec.aliases.contains(&name))
}

/// Commands whose name or alias begins like that, names before aliases.
pub fn beginning(prefix: &str) -> Vec<&'static Spec> {
    let prefix = prefix.to_lowercase();
    let by_name = SPECS.iter().filter(|spec| spec.name.starts_with(&prefix));
    let by_alias = SPECS.iter().filter(|spec| {
        !spec.name.starts_with(&prefix) && spec.aliases.iter().any(|alias| alias.starts_with(&prefix))
    });
    by_name.chain(by_alias).collect()
}

/// Every command.
pub const SPECS: &[Spec] = &[
    Spec {
        name: "add",
        aliases: &["open", "query", "msg", "dm"],
        args: "NAME",
        help: "Begin or open the conversation with a person",
        keys: &[],
        group: Group::Rooms,
        parse: |a| Ok(Command::Add(name(a)?)),
    },
    Spec {
        name: "tell",
        aliases: &["t"],
        args: "NAME TEXT",
        help: "Write to a person without opening the conversation",
        keys: &[],
        group: Group::Rooms,
        parse: |a| {
            let (who, text) = a.split_once(char::is_whitespace).ok_or("Write to whom, and what?")?;
            Ok(Command::Tell(name(who)?, text.trim().to_owned()))
        },
    },
    Spec {
        name: "switch",
        aliases: &["find", "palette"],
        args: "",
        help: "Find a conversation or a command",
        keys: &[("Ctrl+k", "")],
        group: Group::Rooms,
        parse: |a| none(a, Command::Ui(UiCommand::Switcher)),
    },
    Spec {
        name: "next-unread",
        aliases: &["nu"],
        args: "",
        help: "The next conversation with something unread",
        keys: &[("Alt+a", "")],
        group: Group::Rooms,
        parse: |a| none(a, Command::Ui(UiCommand::NextUnread)),
    },
    Spec {
        name: "go",
        aliases: &["goto"],
        args: "NUMBER",
        help: "The conversation of that number in the sidebar",
        keys: &[
            ("Alt+1", "1"),
            ("Alt+2", "2"),
            ("Alt+3", "3"),
            ("Alt+4", "4"),
            ("Alt+5", "5"),
            ("Alt+6", "6"),
            ("Alt+7", "7"),
            ("Alt+8", "8"),
            ("Alt+9", "9"),
        ],
        group: Group::Rooms,
        parse: |a| match a.parse() {
            Ok(n) if n > 0 => Ok(Command::Ui(UiCommand::Nth(n))),
            _ => Err("Which number?".into()),
        },
    },
    Spec {
        name: "previous",
        aliases: &["prev"],
        args: "",
        help: "The conversation above",
        keys: &[("Alt+Up", "")],
        group: Group::Rooms,
        parse: |a| none(a, Command::Ui(UiCommand::Previous)),
    },
    Spec {
        name: "next",
        aliases: &[],
        args: "",
        help: "The conversation below",
        keys: &[("Alt+Down", "")],
        group: Group::Rooms,
        parse: |a| none(a, Command::Ui(UiCommand::Next)),
    },
    Spec {
        name: "mute",
        aliases: &["unmute", "silence"],
        args: "",
        help: "Silence this conversation, or not any more",
        keys: &[],
        group: Group::Rooms,
        parse: |a| none(a, Command::Mute),
    },
    Spec {
        name: "contacts",
        aliases: &["people", "names"],
        args: "",
        help: "Everybody, with what you think of them",
        keys: &[],
        group: Group::People,
        parse: |a| none(a, Command::Contacts),
    },
    Spec {
        name: "profile",
        aliases: &["me"],
        args: "[name TEXT | status TEXT | avatar FILE | avatar none]",
        help: "What your contacts see of you: a name, a line, a picture",
        keys: &[],
        group: Group::People,
        parse: profile,
    },
    Spec {
        name: "whois",
        aliases: &["who", "about"],
        args: "[NAME]",
        help: "What a person says of themselves, and who they are",
        keys: &[],
        group: Group::People,
        parse: |a| Ok(Command::Whois(maybe_name(a)?)),
    },
    Spec {
        name: "verify",
        aliases: &["safety", "fingerprint"],
        args: "[NAME] [DIGITS]",
        help: "Compare the safety number with a person, or with pasted digits",
        keys: &[],
        group: Group::People,
        parse: verify,
    },
    Spec {
        name: "unverify",
        aliases: &[],
        args: "[NAME]",
        help: "Take the mark of a verified person back",
        keys: &[],
        group: Group::People,
        parse: |a| Ok(Command::Unverify(maybe_name(a)?)),
    },
    Spec {
        name: "trust",
        aliases: &["accept-key"],
        args: "",
        help: "Accept this person's changed key",
        keys: &[],
        group: Group::People,
        parse: |a| none(a, Command::Trust),
    },
    Spec {
        name: "accept",
        aliases: &["allow"],
        args: "[NAME]",
        help: "Let a stranger in who wrote to you (or take the call)",
        keys: &[],
        group: Group::People,
        parse: |a| Ok(Command::Accept(maybe_name(a)?)),
    },
    Spec {
        name: "petname",
        aliases: &["rename", "alias"],
        args: "NAME [NEW]",
        help: "Your own name for a person; without NEW theirs again",
        keys: &[],
        group: Group::People,
        parse: |a| {
            let (who, new) = a.split_once(char::is_whitespace).unwrap_or((a, ""));
            Ok(Command::Petname(name(who)?, some(new.trim())))
        },
    },
    Spec {
        name: "block",
        aliases: &["ignore"],
        args: "[NAME]",
        help: "Let nothing of a person in; they are not told",
        keys: &[],
        group: Group::People,
        parse: |a| Ok(Command::Block(maybe_name(a)?)),
    },
    Spec {
        name: "unblock",
        aliases: &["unignore"],
        args: "[NAME]",
        help: "Let a blocked person in again",
        keys: &[],
        group: Group::People,
        parse: |a| Ok(Command::Unblock(maybe_name(a)?)),
    },
    Spec {
        name: "expire",
        aliases: &["disappear", "timer"],
        args: "[1h|1d|1w|off]",
        help: "Let new messages here disappear on both ends after they are read",
        keys: &[],
        group: Group::Rooms,
        parse: |a| {
            if a.is_empty() { Ok(Command::Expire(None)) } else { expiry(a).map(Some).map(Command::Expire) }
        },
    },
    Spec {
        name: "retry",
        aliases: &["resend"],
        args: "",
        help: "Send again what the relay refused",
        keys: &[],
        group: Group::Rooms,
        parse: |a| none(a, Command::Retry),
    },
    Spec {
        name: "page",
        aliases: &["scroll"],
        args: "[up|down]",
        help: "Half a screen up or down",
        keys: &[("PageUp", "up"), ("PageDown", "down"), ("Alt+v", "up"), ("Ctrl+v", "down")],
        group: Group::Reading,
        parse: |a| match a {
            "" | "up" => Ok(Command::Ui(UiCommand::Page(-1))),
            "down" => Ok(Command::Ui(UiCommand::Page(1))),
            _ => Err("Up or down?".into()),
        },
    },
    Spec {
        name: "line",
        aliases: &[],
        args: "[up|down]",
        help: "One row up or down",
        keys: &[("Shift+Up", "up"), ("Shift+Down", "down")],
        group: Group::Reading,
        parse: |a| match a {
            "" | "up" => Ok(Command::Ui(UiCommand::Scroll(-1))),
            "down" => Ok(Command::Ui(UiCommand::Scroll(1))),
            _ => Err("Up or down?".into()),
        },
    },
    Spec {
        name: "top",
        aliases: &["oldest"],
        args: "",
        help: "To the oldest line (Home on an empty line)",
        keys: &[("Ctrl+Home", ""), ("Alt+<", "")],
        group: Group::Reading,
        parse: |a| none(a, Command::Ui(UiCommand::Top)),
    },
    Spec {
        name: "bottom",
        aliases: &["newest"],
        args: "",
        help: "To the newest line (End on an empty line)",
        keys: &[("Ctrl+End", ""), ("Alt+>", "")],
        group: Group::Reading,
        parse: |a| none(a, Command::Ui(UiCommand::Bottom)),
    },
    Spec {
        name: "unread",
        aliases: &["jump"],
        args: "",
        help: "To the first unread line",
        keys: &[("Alt+g", "")],
        group: Group::Reading,
        parse: |a| none(a, Command::Ui(UiCommand::Unread)),
    },
    Spec {
        name: "copy",
        aliases: &["yank"],
        args: "[BACK]",
        help: "Copy the newest message, or the one that many back",
        keys: &[("Alt+c", "")],
        group: Group::Reading,
        parse: |a| match a.parse() {
            Ok(n) => Ok(Command::Ui(UiCommand::CopyLine(n))),
            Err(_) if a.is_empty() => Ok(Command::Ui(UiCommand::CopyLine(0))),
            Err(_) => Err("How many messages back?".into()),
        },
    },
    Spec {
        name: "url",
        aliases: &["copy-url"],
        args: "",
        help: "Copy the newest web address",
        keys: &[("Alt+o", "")],
        group: Group::Reading,
        parse: |a| none(a, Command::Ui(UiCommand::CopyUrl)),
    },
    Spec {
        name: "export",
        aliases: &["save"],
        args: "[all|keys] FILE",
        help: "This conversation, or all, to a .txt, .md or .json; or keys, sealed",
        keys: &[],
        group: Group::Reading,
        parse: export,
    },
    Spec {
        name: "import",
        aliases: &[],
        args: "",
        help: "How a key file that /export keys wrote is taken on another machine",
        keys: &[],
        group: Group::Client,
        parse: |_| Ok(Command::Import),
    },
    Spec {
        name: "video",
        aliases: &["call", "v"],
        args: "[SOURCE|8k|80x48|10fps|auto]",
        help: "Call, with test, camera or a file; or the own picture's kbit/s, size, rate",
        keys: &[],
        group: Group::Calls,
        parse: |a| {
            picture::Change::parse(a).map_or_else(|| Ok(Command::Video(some(a))), |c| c.map(Command::Picture))
        },
    },
    Spec {
        name: "answer",
        aliases: &["pickup"],
        args: "[SOURCE]",
        help: "Take the call",
        keys: &[("F2", "")],
        group: Group::Calls,
        parse: |a| Ok(Command::Answer(some(a))),
    },
    Spec {
        name: "decline",
        aliases: &["reject"],
        args: "[NAME]",
        help: "Refuse the call (F3 while it rings), or a stranger's request",
        keys: &[],
        group: Group::Calls,
        parse: |a| Ok(maybe_name(a)?.map_or(Command::Decline, |name| Command::DeclineRequest(Some(name)))),
    },
    Spec {
        name: "hangup",
        aliases: &["hang", "end"],
        args: "",
        help: "End the call",
        keys: &[("F3", "")],
        group: Group::Calls,
        parse: |a| none(a, Command::Hangup),
    },
    Spec {
        name: "camera",
        aliases: &["cam"],
        args: "",
        help: "Own camera off, or on again",
        keys: &[("F4", "")],
        group: Group::Calls,
        parse: |a| none(a, Command::Camera),
    },
    Spec {
        name: "own",
        aliases: &["selfview"],
        args: "",
        help: "Hide the own picture, or show it again",
        keys: &[("F6", "")],
        group: Group::Calls,
        parse: |a| none(a, Command::OwnPicture),
    },
    Spec {
        name: "devices",
        aliases: &["device"],
        args: "[link | name NAME | remove NAME]",
        help: "Your devices: list them, link another by a code, remove one",
        keys: &[],
        group: Group::Client,
        parse: super::devices::parse,
    },
    Spec {
        name: "password",
        aliases: &["passwd"],
        args: "",
        help: "Set or change the password that signs you in on an empty machine",
        keys: &[],
        group: Group::Client,
        parse: |a| none(a, Command::Password),
    },
    Spec {
        name: "sessions",
        aliases: &["connections"],
        args: "[NUMBER]",
        help: "Connections of your account; with a number, end that one",
        keys: &[],
        group: Group::Client,
        parse: sessions,
    },
    Spec {
        name: "status",
        aliases: &["whoami"],
        args: "",
        help: "Connection, encryption, version",
        keys: &[("F8", "")],
        group: Group::Client,
        parse: |a| none(a, Command::Status),
    },
    Spec {
        name: "link",
        aliases: &["invite"],
        args: "",
        help: "Show and copy the relay's link, to hand to friends",
        keys: &[],
        group: Group::Client,
        parse: |a| none(a, Command::Link),
    },
    Spec {
        name: "reconnect",
        aliases: &["connect"],
        args: "",
        help: "Connect again now",
        keys: &[],
        group: Group::Client,
        parse: |a| none(a, Command::Reconnect),
    },
    Spec {
        name: "name",
        aliases: &["nick"],
        args: "NAME",
        help: "Take another name, when the first was taken",
        keys: &[],
        group: Group::Client,
        parse: |a| Ok(Command::Name(name(a)?)),
    },
    Spec {
        name: "editor",
        aliases: &["edit"],
        args: "",
        help: "Write in $EDITOR",
        keys: &[("Ctrl+x Ctrl+e", "")],
        group: Group::Client,
        parse: |a| none(a, Command::Ui(UiCommand::Editor)),
    },
    Spec {
        name: "theme",
        aliases: &[],
        args: "dark|light|native|FILE",
        help: "Other colours",
        keys: &[],
        group: Group::Client,
        parse: |a| {
            if a.is_empty() { Err("Which one?".into()) } else { Ok(Command::Ui(UiCommand::Theme(a.into()))) }
        },
    },
    Spec {
        name: "sidebar",
        aliases: &[],
        args: "",
        help: "Sidebar on or off",
        keys: &[("Alt+s", "")],
        group: Group::Client,
        parse: |a| none(a, Command::Ui(UiCommand::Sidebar)),
    },
    Spec {
        name: "hints",
        aliases: &[],
        args: "",
        help: "Key hints on or off",
        keys: &[("Alt+h", "")],
        group: Group::Client,
        parse: |a| none(a, Command::Ui(UiCommand::Hints)),
    },
    Spec {
        name: "mouse",
        aliases: &[],
        args: "",
        help: "Mouse on or off (off leaves selecting to the terminal)",
        keys: &[("Alt+m", "")],
        group: Group::Client,
        parse: |a| none(a, Command::Mouse),
    },
    Spec {
        name: "redraw",
        aliases: &["clear"],
        args: "",
        help: "Draw everything again",
        keys: &[("Ctrl+l", "")],
        group: Group::Client,
        parse: |a| none(a, Command::Ui(UiCommand::Redraw)),
    },
    Spec {
        name: "help",
        aliases: &["?", "h", "keys", "commands"],
        args: "",
        help: "All keys and commands (? on an empty line)",
        keys: &[("F1", "")],
        group: Group::Client,
        parse: |a| none(a, Command::Ui(UiCommand::Help)),
    },
    Spec {
        name: "suspend",
        aliases: &["shell"],
        args: "",
        help: "Back to the shell for a while (fg returns)",
        keys: &[("Ctrl+z", "")],
        group: Group::Client,
        parse: |a| none(a, Command::Suspend),
    },
    Spec {
        name: "lock",
        aliases: &["away"],
        args: "",
        help: "Lock: keys leave memory until you type the passphrase",
        keys: &[("Alt+l", "")],
        group: Group::Client,
        parse: |a| none(a, Command::Lock),
    },
    Spec {
        name: "burn",
        aliases: &[],
        args: "[YOURNAME]",
        help: "Destroy keys and history on this machine, for good; asks twice",
        keys: &[],
        group: Group::Client,
        parse: |a| Ok(Command::Burn(maybe_name(a)?)),
    },
    Spec {
        name: "quit",
        aliases: &["exit", "q", "bye"],
        args: "",
        help: "Leave (Ctrl+d on an empty line)",
        keys: &[],
        group: Group::Client,
        parse: |a| none(a, Command::Quit),
    },
    Spec {
        name: "interrupt",
        aliases: &[],
        args: "",
        help: "Clear the line; on an empty one leave, when pressed twice",
        keys: &[("Ctrl+c", "")],
        group: Group::Client,
        parse: |a| none(a, Command::Ui(UiCommand::Interrupt)),
    },
    Spec {
        name: "close",
        aliases: &[],
        args: "",
        help: "Close what is on top, or go back to the newest line",
        keys: &[("Esc", "")],
        group: Group::Client,
        parse: |a| none(a, Command::Ui(UiCommand::Escape)),
    },
];

fn name(text: &str) -> Result<AccountName, String> {
    match text.trim_start_matches('@') {
        "" => Err("Whose name?".into()),
        text => AccountName::parse(text).map_err(|bad| {
            let why = bad.to_string();
            format!("{}{}.", why[..1].to_uppercase(), &why[1..])
        }),
    }
}

fn maybe_name(text: &str) -> Result<Option<AccountName>, String> {
    if text.is_empty() { Ok(None) } else { name(text).map(Some) }
}

/// A name, something to compare, both or neither. Sixty digits are no name.
fn verify(argument: &str) -> Result<Command, String> {
    let digits = argument.chars().filter(char::is_ascii_digit).count();
    let number = digits == 60 && argument.chars().all(|c| c.is_ascii_digit() || c.is_whitespace());
    if number || argument.to_ascii_uppercase().starts_with("SUBROSA-SAFETY:") {
        return Ok(Command::Verify(None, Some(argument.to_owned())));
    }
    let (who, given) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
    Ok(Command::Verify(maybe_name(who)?, some(given.trim())))
}

/// Which part of the profile, and what it becomes.
fn profile(argument: &str) -> Result<Command, String> {
    let (part, rest) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
    let rest = rest.trim();
    Ok(Command::Profile(Some(match part.to_lowercase().as_str() {
        "" => return Ok(Command::Profile(None)),
        "name" => Change::Name(rest.to_owned()),
        "status" => Change::Status(rest.to_owned()),
        "avatar" if rest == "none" => Change::Avatar(None),
        "avatar" if !rest.is_empty() => Change::Avatar(Some(rest.into())),
        "avatar" => return Err("Which image file?".into()),
        _ => return Err("A profile has a name, a status and an avatar.".into()),
    })))
}

/// Seconds, from `30s`, `5m`, `1h`, `1d`, `1w` or `off`.
///
/// # Errors
/// A sentence.
pub fn expiry(argument: &str) -> Result<u32, String> {
    let lower = argument.to_ascii_lowercase();
    if matches!(lower.as_str(), "off" | "never" | "0") {
        return Ok(0);
    }
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400), ('w', 604_800)];
    let seconds = units.into_iter().find_map(|(unit, seconds)| {
        let count: u32 = lower.strip_suffix(unit)?.trim().parse().ok()?;
        count.checked_mul(seconds)
    });
    let within = seconds.filter(|seconds| (EXPIRY_MIN..=EXPIRY_MAX).contains(seconds));
    within.ok_or_else(|| "A time from 30s to 4w such as 1h, 1d or 1w, or off.".into())
}

/// The shortest time that can be set, in seconds.
const EXPIRY_MIN: u32 = 30;

/// `all FILE`, `keys FILE`, or a file.
fn export(argument: &str) -> Result<Command, String> {
    let (first, rest) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
    match (first, rest.trim()) {
        ("" | "all" | "keys", "") => Err("To which file?".into()),
        ("all", file) => Ok(Command::ExportAll(file.into())),
        ("keys", file) => Ok(Command::ExportKeys(file.into(), None)),
        _ => Ok(Command::Export(argument.into())),
    }
}

fn sessions(argument: &str) -> Result<Command, String> {
    match argument {
        "" => Ok(Command::Sessions(None)),
        number => {
            let number = number.parse().map_err(|_| "Which one? /sessions lists them with their numbers.")?;
            Ok(Command::Sessions(Some(number)))
        }
    }
}

fn none(argument: &str, command: Command) -> Result<Command, String> {
    if argument.is_empty() { Ok(command) } else { Err("It takes nothing behind it.".into()) }
}

fn some(argument: &str) -> Option<String> {
    (!argument.is_empty()).then(|| argument.to_owned())
}

/// The command that a mistyped name most likely meant.
fn closest(name: &str) -> Option<&'static str> {
    let all = SPECS.iter().flat_map(|spec| std::iter::once(&spec.name).chain(spec.aliases));
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn slash_commands_are_read() {
        assert_eq!(parse("/video test"), Ok(Command::Video(Some("test".into()))));
        assert_eq!(parse("/v"), Ok(Command::Video(None)));
        for line in ["/video 8k", "/video 8K", "/v 8 kbit/s", "/video 8kbps"] {
            assert_eq!(parse(line), Ok(Command::Picture(picture::Change::Budget(8))), "{line}");
        }
        assert_eq!(parse("/video talk.k"), Ok(Command::Video(Some("talk.k".into()))));
        for line in ["/video 1k", "/video 2001k", "/video 99999999999k"] {
            assert!(parse(line).expect_err("out of bounds").contains("2k to 2000k"), "{line}");
        }
        assert_eq!(parse("/ADD @Ben "), Ok(Command::Add(AccountName::parse("ben").expect("valid"))));
        assert_eq!(
            parse("/tell ben  hello there"),
            Ok(Command::Tell(AccountName::parse("ben").expect("valid"), "hello there".into()))
        );
        let ben = || AccountName::parse("ben").expect("valid");
        assert_eq!(parse("/verify"), Ok(Command::Verify(None, None)));
        assert_eq!(parse("/verify @Ben"), Ok(Command::Verify(Some(ben()), None)));
        let number = "12345 ".repeat(12);
        let number = number.trim();
        assert_eq!(parse(&format!("/verify {number}")), Ok(Command::Verify(None, Some(number.into()))));
        assert_eq!(
            parse(&format!("/verify ben {number}")),
            Ok(Command::Verify(Some(ben()), Some(number.into())))
        );
        assert_eq!(parse("/petname ben Ben B."), Ok(Command::Petname(ben(), Some("Ben B.".into()))));
        assert_eq!(parse("/petname ben"), Ok(Command::Petname(ben(), None)));
        assert_eq!(parse("/decline ben"), Ok(Command::DeclineRequest(Some(ben()))));
        assert_eq!(parse("/decline"), Ok(Command::Decline));
        assert_eq!(parse("/go 3"), Ok(Command::Ui(UiCommand::Nth(3))));
        assert_eq!(parse("/export a b.txt"), Ok(Command::Export("a b.txt".into())));
        for (line, seconds) in [("1h", 3600), ("1D", 86_400), ("4w", EXPIRY_MAX), ("30s", 30), ("off", 0)] {
            assert_eq!(parse(&format!("/expire {line}")), Ok(Command::Expire(Some(seconds))), "{line}");
        }
        for line in ["/expire 29s", "/expire 5w", "/expire soon", "/expire 99999999999w", "/expire -1h"] {
            assert!(parse(line).expect_err("out of bounds").contains("30s to 4w"), "{line}");
        }
        assert_eq!(parse("/export all a.md"), Ok(Command::ExportAll("a.md".into())));
        assert_eq!(parse("/export keys k"), Ok(Command::ExportKeys("k".into(), None)));
        assert!(parse("/export keys").expect_err("no file").contains("To which file?"));
    }

    #[test]
    fn mistakes_get_a_sentence_with_the_next_step() {
        assert!(parse("/viedo").expect_err("typo").contains("Did you mean /video?"));
        assert!(parse("/zzzzzz").expect_err("unknown").contains("F1"));
        assert!(parse("/").expect_err("empty").contains("F1"));
        assert_eq!(parse("/add").expect_err("no name"), "Whose name? Usage: /add NAME");
        assert!(parse("/quit now").expect_err("argument").ends_with("Usage: /quit"));
        assert!(parse("/add a b").expect_err("bad name").starts_with("A name has"));
        assert!(!parse("/\u{1b}[2J").expect_err("escape").contains('\u{1b}'));
    }

    #[test]
    fn names_and_keys_are_unique_and_help_is_one_line() {
        let mut names = HashSet::new();
        let mut keys = HashSet::new();
        for spec in SPECS {
            assert!(names.insert(spec.name), "/{} twice", spec.name);
            spec.aliases.iter().for_each(|alias| assert!(names.insert(alias), "/{alias} twice"));
            for (key, argument) in spec.keys {
                assert!(keys.insert(key), "{key} twice");
                assert!((spec.parse)(argument).is_ok(), "{key} of /{}", spec.name);
            }
            assert!(!spec.help.is_empty() && !spec.help.contains('\n') && spec.help.len() < 80);
        }
    }

    #[test]
    fn swapped_letters_are_one_mistake() {
        assert_eq!(distance("viedo", "video"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }
}
