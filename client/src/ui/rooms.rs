//! Rooms of several people as commands and dialogs: what can be done there, and who is in.

use super::card::Card;
use super::command::{Command, Secret};
use super::dialog::Dialog;
use super::text;
use crate::chat::groups::{Group, OpenLink, role_name};
use crate::chat::room::Room;
use crate::chat::{Chat, counted, wait_in_words};
use subrosa_shared::id::{AccountName, RoomId};
use subrosa_shared::session::roomlog::{HISTORY_MAX, Op, Policy, Role};
use subrosa_shared::time::{Millis, Now};

/// What is done about a room of several people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomCommand {
    /// Begin one of that name, with these people.
    New(String, Vec<AccountName>),
    /// Show who is in, and how it is run.
    Show,
    /// Take an invitation.
    Accept,
    /// Forget an invitation.
    Decline,
    /// Bring somebody in.
    Invite(AccountName),
    /// Remove somebody.
    Kick(AccountName),
    /// Remove somebody and keep them out.
    Ban(AccountName),
    /// Let somebody be invited again.
    Unban(AccountName),
    /// Somebody's words count for nothing for so many seconds (`None`: until lifted).
    Silence(AccountName, Option<u32>),
    /// Somebody may speak again.
    Unsilence(AccountName),
    /// Somebody becomes a moderator or a plain member.
    Role(AccountName, Role),
    /// Another name.
    Rename(String),
    /// What it is about.
    Topic(String),
    /// Another policy: who may invite, what newcomers are sent, how many may be in.
    Policy(Option<Role>, Option<u16>, Option<u8>),
    /// Be out.
    Leave,
    /// Somebody else is the owner.
    HandOver(AccountName),
    /// The room is over.
    Delete,
    /// Make a link into it: for one person or for all who have it, and for so many seconds.
    Link(bool, Option<u32>),
    /// Take all links back, and make one in their place.
    Relink,
    /// Show the links that are open.
    Links,
    /// Take all links back.
    Unlink,
    /// Ask for a new password of links into it.
    Password,
    /// Set it.
    SetPassword(Secret),
    /// Links ask for none any more.
    NoPassword,
    /// Come into one by its link, with this password; an empty one is none.
    Join(Secret, Option<Secret>),
    /// Do it without asking once more.
    Sure(Box<Op>),
}

/// Reads what follows `/room`.
///
/// # Errors
/// A sentence.
pub fn parse(argument: &str) -> Result<Command, String> {
    let (word, rest) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
    let rest = rest.trim();
    Ok(of(match (word, rest) {
        ("" | "show" | "people" | "info", "") => RoomCommand::Show,
        ("new" | "create", rest) if !rest.is_empty() => {
            let (name, people) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let people = people.split_whitespace().map(named).collect::<Result<_, _>>()?;
            RoomCommand::New(name.trim_start_matches('#').to_owned(), people)
        }
        ("hand-over" | "handover", name) => RoomCommand::HandOver(named(name)?),
        ("delete", "") => RoomCommand::Delete,
        ("accept" | "join", "") => RoomCommand::Accept,
        ("decline", "") => RoomCommand::Decline,
        ("leave", "") => RoomCommand::Leave,
        ("invites", rest) => RoomCommand::Policy(Some(role(rest)?), None, None),
        ("history", lines) => {
            let lines = match lines.to_lowercase().as_str() {
                "on" => HISTORY_ON,
                "off" => 0,
                lines => lines.parse().ok().filter(|lines| *lines <= HISTORY_MAX).ok_or(HISTORY)?,
            };
            RoomCommand::Policy(None, Some(lines), None)
        }
        ("limit", most) => {
            let most = most.parse().map_err(|_| "How many people may be in? 1 to 100.")?;
            RoomCommand::Policy(None, None, Some(most))
        }
        ("link", "new") => RoomCommand::Relink,
        ("link", rest) => link_terms(rest)?,
        ("links", "") => RoomCommand::Links,
        ("unlink", "") => RoomCommand::Unlink,
        ("password", "") => RoomCommand::Password,
        ("password", "off" | "none") => RoomCommand::NoPassword,
        ("password", _) => {
            return Err("It is not typed where everybody sees it: /room password asks for it.".into());
        }
        ("new" | "create", _) => return Err("What shall the room be called?".into()),
        _ => return Err("That is not something to do with a room.".into()),
    }))
}

/// Lines that newcomers get when the owner says no number.
const HISTORY_ON: u16 = 200;
const HISTORY: &str = "on, off, or how many of the last lines newcomers get: 0 to 500";

fn link_terms(argument: &str) -> Result<RoomCommand, String> {
    let (mut once, mut seconds) = (false, None);
    for word in argument.split_whitespace() {
        match word {
            "once" | "--once" => once = true,
            "for" | "--for" => {}
            "off" => return Ok(RoomCommand::Unlink),
            time => seconds = Some(super::command::expiry(time)?).filter(|seconds| *seconds > 0),
        }
    }
    Ok(RoomCommand::Link(once, seconds))
}

/// A link, to be handed on.
pub fn link(link: &str, once: bool) -> Dialog {
    let who = if once { "The first one who uses it" } else { "Whoever has it" };
    let body = format!(
        "{link}\n\n{who} comes in as soon as a member who may invite is there: /join LINK. It was copied, where the terminal allows that; send it only where nobody else \
         reads. /room unlink takes all links into this room back."
    );
    Dialog::text("A link into this room", body)
}

/// `/join LINK`.
///
/// # Errors
/// A sentence.
pub fn parse_join(argument: &str) -> Result<Command, String> {
    match argument.trim() {
        "" => Err("Which link? It looks like subrosa://HOST:PORT/join#CODE.".into()),
        link => Ok(of(RoomCommand::Join(Secret(zeroize::Zeroizing::new(link.to_owned())), None))),
    }
}

/// A command about the open room.
pub fn of(command: RoomCommand) -> Command {
    Command::Room(None, command)
}

/// A name, and a command with it about the open room.
///
/// # Errors
/// A sentence.
pub fn about(argument: &str, command: fn(AccountName) -> RoomCommand) -> Result<Command, String> {
    named(argument).map(command).map(of)
}

/// `NAME moderator` or `NAME member`.
///
/// # Errors
/// A sentence.
pub fn parse_role(argument: &str) -> Result<Command, String> {
    let (who, which) = argument.split_once(char::is_whitespace).ok_or("Whose role, and which?")?;
    Ok(of(RoomCommand::Role(named(who)?, role(which.trim())?)))
}

/// `NAME`, or `NAME TIME`.
///
/// # Errors
/// A sentence.
pub fn parse_silence(argument: &str) -> Result<Command, String> {
    let (who, time) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
    let seconds = match time.trim() {
        "" => None,
        time => Some(super::command::expiry(time)?).filter(|seconds| *seconds > 0),
    };
    Ok(of(RoomCommand::Silence(named(who)?, seconds)))
}

fn named(text: &str) -> Result<AccountName, String> {
    match text.trim().trim_start_matches('@') {
        "" => Err("Whose name?".into()),
        name => AccountName::parse(name).map_err(|_| format!("{} is no name of a person.", text::line(name))),
    }
}

fn role(text: &str) -> Result<Role, String> {
    match text.to_lowercase().as_str() {
        "moderator" | "mod" | "moderators" => Ok(Role::Moderator),
        "member" | "members" | "everybody" => Ok(Role::Member),
        "owner" => Ok(Role::Owner),
        _ => Err("Moderator or member?".into()),
    }
}

/// The operation that a command stands for, where it is one; against what a room is now.
pub fn op(command: &RoomCommand, chat: &Chat, group: &Group, now: Now) -> Option<Op> {
    let account = |name: &AccountName| name.clone();
    Some(match command {
        RoomCommand::Kick(name) => Op::Remove { account: account(name) },
        RoomCommand::Ban(name) => {
            let state = group.log.state();
            let member = state.members.get(name).map(|member| member.root);
            let pinned = || Some(chat.with(name)?.kept.peer?.identity);
            // Who is not known here is kept out by name.
            Op::Ban { account: account(name), root: member.or_else(pinned).unwrap_or([0; 32]) }
        }
        RoomCommand::Unban(name) => Op::Unban { account: account(name) },
        RoomCommand::Silence(name, seconds) => {
            let until =
                seconds.map_or(Millis(u64::MAX), |seconds| Millis(now.wall.0 + u64::from(seconds) * 1000));
            Op::Silence { account: account(name), until: Some(until) }
        }
        RoomCommand::Unsilence(name) => Op::Silence { account: account(name), until: None },
        RoomCommand::Role(name, role) => Op::Role { account: account(name), role: *role },
        RoomCommand::Rename(name) => Op::Name(name.trim().trim_start_matches('#').trim().to_owned()),
        RoomCommand::Topic(topic) => Op::Topic(topic.trim().to_owned()),
        RoomCommand::Policy(invite, history, limit) => {
            let was = group.log.state().policy;
            Op::Policy(Policy {
                invite: invite.unwrap_or(was.invite),
                history: history.unwrap_or(was.history),
                limit: limit.unwrap_or(was.limit),
            })
        }
        RoomCommand::Leave => Op::Remove { account: chat.name.clone() },
        RoomCommand::HandOver(name) => Op::HandOver { account: account(name) },
        RoomCommand::Delete => Op::Delete,
        RoomCommand::Sure(op) => Op::clone(op),
        RoomCommand::New(..)
        | RoomCommand::Show
        | RoomCommand::Accept
        | RoomCommand::Decline
        | RoomCommand::Link(..)
        | RoomCommand::Relink
        | RoomCommand::Links
        | RoomCommand::Unlink
        | RoomCommand::Password
        | RoomCommand::SetPassword(_)
        | RoomCommand::NoPassword
        | RoomCommand::Join(..)
        | RoomCommand::Invite(_) => return None,
    })
}

/// What is asked before something that cannot be taken back; `None` for what needs no asking.
pub fn sure(room: &Room, command: &RoomCommand, op: &Op) -> Option<Dialog> {
    let title = text::line(room.name());
    let question = match command {
        RoomCommand::Kick(name) => {
            format!("Remove {name} from {title}? They read nothing that is said from then on.")
        }
        RoomCommand::Ban(name) => {
            format!("Remove {name} from {title} and keep them out until /unban {name}?")
        }
        RoomCommand::Leave => {
            format!("Leave {title}? What was said stays here; somebody has to invite you to come back.")
        }
        RoomCommand::HandOver(name) => {
            format!("Make {name} the owner of {title}? You become a moderator, and only {name} can undo it.")
        }
        RoomCommand::Delete => format!("End {title} for everybody? Nothing more can be said there, ever."),
        _ => return None,
    };
    Some(Dialog::confirm(question, Command::Room(Some(room.id), RoomCommand::Sure(Box::new(op.clone())))))
}

/// Who is in, what they may do, and how the room is run.
pub fn card(chat: &Chat, room: &Room, group: &Group, now: Now) -> Dialog {
    let (title, body) = about_room(chat, room, group, now);
    let mut card = Card::new(title, body);
    let own = group.role(&chat.name).filter(|_| group.is_open());
    let invite = group.log.state().policy.invite;
    let does = |command| Command::Room(Some(room.id), command);
    if own.is_some_and(|role| role >= invite) {
        card = card.with('l', "link", does(RoomCommand::Link(false, None)));
        if !group.log.state().doors.is_empty() {
            card = card.with('s', "show links", does(RoomCommand::Links)).with(
                'n',
                "new in their place",
                does(RoomCommand::Relink),
            );
        }
    }
    if own.is_some_and(|role| role >= invite.max(Role::Moderator)) {
        if !group.log.state().doors.is_empty() {
            card = card.with('u', "unlink", does(RoomCommand::Unlink));
        }
        card = card.with('p', "password", does(RoomCommand::Password));
    }
    Dialog::Card(Box::new(card))
}

/// The links into a room, to be handed on.
pub fn links(title: &str, links: &[OpenLink], now: Now) -> Dialog {
    let said = links.iter().map(|open| {
        let once = if open.terms.once { ", for one person" } else { "" };
        let left = open.terms.until.map(|until| until.0.saturating_sub(now.wall.0));
        let left = left.map_or(String::new(), |left| {
            format!(", for {} more", wait_in_words(u32::try_from(left).unwrap_or(u32::MAX)))
        });
        let password = if open.terms.password.is_some() { ", asks for the password" } else { "" };
        format!("{}\n  by {}{once}{left}{password}", open.link.as_str(), open.by)
    });
    let body = said.collect::<Vec<_>>().join("\n\n");
    Dialog::text(format!("Links into {}", text::line(title)), body)
}

fn about_room(chat: &Chat, room: &Room, group: &Group, now: Now) -> (String, String) {
    let state = group.log.state();
    let mut body = String::new();
    if !group.topic().is_empty() {
        body.push_str(&format!("{}\n\n", group.topic()));
    }
    let people = counted(state.members.len() as u64, "person", "people");
    body.push_str(&format!("{people}\n"));
    let mut members: Vec<_> = state.members.iter().collect();
    members.sort_by_key(|(name, member)| (std::cmp::Reverse(member.role), (*name).clone()));
    for (name, member) in members {
        let role = if member.role == Role::Member { "" } else { role_name(member.role) };
        let you = if *name == chat.name { "you" } else { "" };
        let silent = if member.silent(now.wall) { "silenced" } else { "" };
        let known = chat.with(name).filter(|room| room.is_verified()).map_or("", |_| "◆ verified");
        let about: Vec<&str> =
            [role, you, silent, known].into_iter().filter(|part| !part.is_empty()).collect();
        body.push_str(&format!("  {name}  {}\n", about.join(", ")));
    }
    if !state.banned.is_empty() {
        let names: Vec<String> = state.banned.keys().map(ToString::to_string).collect();
        body.push_str(&format!("\nBanned: {}\n", names.join(", ")));
    }
    let who = match state.policy.invite {
        Role::Member => "everybody invites",
        Role::Moderator => "moderators and the owner invite",
        Role::Owner => "the owner invites",
    };
    let past = match state.policy.history {
        0 => "newcomers see nothing of what was said before".to_owned(),
        lines => {
            let lines = counted(lines.into(), "line", "lines");
            format!("newcomers are told the last {lines} by a member")
        }
    };
    let most = counted(state.policy.limit.into(), "person", "people");
    body.push_str(&format!("\nRules: {who}; at most {most}; {past}.\n"));
    let open = state.doors.values().filter(|door| door.open(now.wall)).count();
    let asks = if group.has_password() { ", with a password" } else { "" };
    body.push_str(&match open {
        0 if group.has_password() => "Links: none; the next one asks for the password.\n".into(),
        0 => "Links: none.\n".to_owned(),
        1 => format!("Links: one{asks}.\n"),
        open => format!("Links: {open}{asks}.\n"),
    });
    if group.pending() > 0 {
        let changes = counted(group.pending() as u64, "change of yours waits", "changes of yours wait");
        body.push_str(&format!("\n{changes} for the relay.\n"));
    }
    if !group.is_open() {
        let over = if state.deleted { "The room was deleted." } else { "You are not in it any more." };
        body.push_str(&format!("\n{over}\n"));
    }
    let commands = match group.role(&chat.name).filter(|_| group.is_open()) {
        Some(Role::Owner) => {
            "/invite /kick /ban /unban /silence /unsilence NAME · /role NAME moderator|member · /topic /rename TEXT · /room \
             invites members|moderators · /room limit N · /room history on|off|N · /room link [once] [for TIME] · /room unlink · /room \
             password [off] · /room hand-over NAME · /room delete"
        }
        Some(Role::Moderator) => {
            "/invite /kick /ban /unban /silence /unsilence NAME · /topic /rename TEXT · /room link [once] [for TIME] · /room \
             unlink · /room password [off] · /leave"
        }
        Some(Role::Member) => "/leave",
        None => "/room new NAME begins another",
    };
    body.push_str(&format!("\n{commands}"));
    (format!("Room {}", text::line(room.name())), body)
}

/// Which room a command is about: that one, or the open one.
pub fn meant(chat: &Chat, room: Option<RoomId>) -> Option<RoomId> {
    let room = room.or(chat.open)?;
    chat.group(room).map(|_| room)
}
