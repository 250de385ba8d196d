//! `rooms`, `room`, `new_room`, `say`, `change_room` and what else is about rooms of several people, for
//! scripts.

use super::doors::{self, DoorMethod};
use super::lines;
use super::place::Place;
use super::serve::run;
use super::wire::{Fault, PARAMS};
use super::{AGAINST_RULES, NO_ROOM};
use crate::chat::Chat;
use crate::chat::groups::{Group, role_name};
use crate::chat::room::Room;
use crate::runtime::Runtime;
use crate::ui::act::LineCommand;
use crate::ui::command::Command;
use crate::ui::rooms::{self, RoomCommand};
use serde::Deserialize;
use serde_json::{Value, json};
use subrosa_shared::id::{AccountName, MessageId, RoomId};
use subrosa_shared::session::roomlog::{Op, Role};

/// A request about rooms of several people.
#[derive(Debug)]
pub enum RoomMethod {
    /// All of them.
    List,
    /// One, with its people.
    Show(String),
    /// Begin one.
    New {
        /// What it is called.
        name: String,
        /// Who is invited at once.
        people: Vec<AccountName>,
    },
    /// Write there.
    Say {
        /// Where.
        room: String,
        /// What.
        text: String,
        /// The line that it answers.
        reply: Option<MessageId>,
    },
    /// Everything there was seen.
    Read(String),
    /// Take an invitation, or forget it.
    Decide {
        /// Which.
        room: String,
        /// Take it.
        accept: bool,
    },
    /// Something is different from now on.
    Change {
        /// Where.
        room: String,
        /// What.
        change: Change,
    },
    /// About links into one.
    Door(DoorMethod),
}

/// What becomes different.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs, reason = "the variants are those of `RoomCommand`")]
pub enum Change {
    Invite { with: AccountName },
    Kick { with: AccountName },
    Ban { with: AccountName },
    Unban { with: AccountName },
    Silence { with: AccountName, seconds: Option<u32> },
    Unsilence { with: AccountName },
    Role { with: AccountName, role: Rank },
    HandOver { with: AccountName },
    Rename { name: String },
    Topic { topic: String },
    Policy { invites: Option<Rank>, history: Option<u16>, limit: Option<u8> },
    Leave,
    Delete,
}

/// A role by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the variants are those of `Role`")]
pub enum Rank {
    Member,
    Moderator,
    Owner,
}

impl From<Rank> for Role {
    fn from(rank: Rank) -> Self {
        match rank {
            Rank::Member => Self::Member,
            Rank::Moderator => Self::Moderator,
            Rank::Owner => Self::Owner,
        }
    }
}

impl From<Change> for RoomCommand {
    fn from(change: Change) -> Self {
        match change {
            Change::Invite { with } => Self::Invite(with),
            Change::Kick { with } => Self::Kick(with),
            Change::Ban { with } => Self::Ban(with),
            Change::Unban { with } => Self::Unban(with),
            Change::Silence { with, seconds } => Self::Silence(with, seconds),
            Change::Unsilence { with } => Self::Unsilence(with),
            Change::Role { with, role } => Self::Role(with, role.into()),
            Change::HandOver { with } => Self::HandOver(with),
            Change::Rename { name } => Self::Rename(name),
            Change::Topic { topic } => Self::Topic(topic),
            Change::Policy { invites, history, limit } => {
                Self::Policy(invites.map(Role::from), history, limit)
            }
            Change::Leave => Self::Leave,
            Change::Delete => Self::Delete,
        }
    }
}

/// Carries a request out.
pub(super) fn serve(runtime: &mut Runtime, method: RoomMethod) -> Result<Value, Fault> {
    match method {
        RoomMethod::List => {
            let chat = runtime.app().chat();
            let rooms: Vec<Value> = chat.groups().map(|(room, group)| brief(room, group)).collect();
            Ok(json!({ "rooms": rooms }))
        }
        RoomMethod::Show(room) => {
            let id = find(runtime.app().chat(), &room)?;
            shown(runtime, id)
        }
        RoomMethod::New { name, people } => {
            let before: Vec<RoomId> = runtime.app().chat().groups().map(|(room, _)| room.id).collect();
            run(runtime, Command::Room(None, RoomCommand::New(name, people)));
            let new = runtime.app().chat().groups().map(|(room, _)| room.id).find(|id| !before.contains(id));
            let why = "a room's name has 1 to 128 bytes, and no room that you are in is called so";
            shown(runtime, new.ok_or_else(|| Fault::new(PARAMS, why))?)
        }
        RoomMethod::Say { room, text, reply } => {
            let id = find(runtime.app().chat(), &room)?;
            say(runtime, id, text, reply).map(|said| json!({ "id": said.to_string() }))
        }
        RoomMethod::Read(room) => {
            let id = find(runtime.app().chat(), &room)?;
            run(runtime, Command::Open(id));
            // A moment in which the newest line is seen.
            runtime.step(crate::event::Event::Focus(true));
            runtime.step(crate::event::Event::Focus(false));
            let unread = runtime.app().chat().room(id).map_or(0, |room| room.kept.unread);
            Ok(json!({ "unread": unread }))
        }
        RoomMethod::Decide { room, accept } => {
            let id = find(runtime.app().chat(), &room)?;
            let waits = runtime.app().chat().room(id).is_some_and(|room| room.person.is_request());
            if !waits {
                return Err(Fault::new(super::UNDECIDED, "there is no invitation to that room"));
            }
            let command = if accept { RoomCommand::Accept } else { RoomCommand::Decline };
            Ok(run(runtime, Command::Room(Some(id), command)))
        }
        RoomMethod::Change { room, change } => self::change(runtime, &room, change),
        RoomMethod::Door(method) => doors::serve(runtime, method),
    }
}

/// The room of that number or name.
pub(super) fn find(chat: &Chat, room: &str) -> Result<RoomId, Fault> {
    let meant = chat.rooms_meant(room);
    match meant.as_slice() {
        [] => Err(Fault::new(NO_ROOM, "you are in no room of that number or name: rooms lists them")),
        [one] => Ok(one.id),
        [first, ..] => {
            let numbers: Vec<String> = meant.iter().map(|room| format!("#{}", room.id)).collect();
            let why = format!(
                "several rooms are called {}: say which by its number, {}",
                first.name(),
                numbers.join(" or ")
            );
            Err(Fault::new(PARAMS, why))
        }
    }
}

/// Whether something may be said in a conversation now, as far as rooms have rules for that.
pub(crate) fn sayable(runtime: &Runtime, id: RoomId) -> Result<(), Fault> {
    let (chat, now) = (runtime.app().chat(), runtime.now());
    let Some(group) = chat.group(id) else { return Ok(()) };
    if !group.is_open() {
        return Err(Fault::new(AGAINST_RULES, "you are not in that room any more"));
    }
    let me = group.log.state().members.get(&chat.name);
    if me.is_some_and(|me| me.silent(now.wall)) {
        let why = "you were silenced there: what you write would be shown to nobody; ask a moderator";
        return Err(Fault::new(AGAINST_RULES, why));
    }
    Ok(())
}

/// Writes a line in a conversation; its number.
pub(crate) fn say(
    runtime: &mut Runtime,
    id: RoomId,
    text: String,
    reply: Option<MessageId>,
) -> Result<MessageId, Fault> {
    let newest = |runtime: &Runtime| {
        let lines = &runtime.app().chat().room(id)?.timeline;
        let own = |line: &&crate::chat::timeline::Line| line.author == crate::chat::timeline::Author::Me;
        lines.lines().map(|(_, line)| line).rev().find(own).map(|line| line.id)
    };
    sayable(runtime, id)?;
    run(runtime, Command::Open(id));
    let before = newest(runtime);
    match reply {
        Some(answered) => {
            let place = Place::Room(id.to_string());
            lines::act(runtime, &place, answered, LineCommand::Reply(Some(text)))?;
        }
        None => drop(run(runtime, Command::Say(text))),
    }
    let said = newest(runtime).filter(|id| Some(*id) != before);
    said.ok_or_else(|| Fault::new(AGAINST_RULES, "that could not be said there: a notice says why"))
}

fn change(runtime: &mut Runtime, room: &str, change: Change) -> Result<Value, Fault> {
    let id = find(runtime.app().chat(), room)?;
    let (chat, now) = (runtime.app().chat(), runtime.now());
    let command = RoomCommand::from(change);
    let Some(group) = chat.group(id) else { return Err(Fault::new(NO_ROOM, "that is no room of several")) };
    let op = match &command {
        // Who that is, is found out later; the rest of the rule holds for anybody.
        RoomCommand::Invite(name) => Op::Add { account: name.clone(), root: [0; 32], door: None },
        command => match rooms::op(command, chat, group, now) {
            Some(op) => op,
            None => return Err(Fault::new(PARAMS, "that changes no room")),
        },
    };
    if !op.bounded() {
        return Err(Fault::new(
            PARAMS,
            "a name has 1 to 128 bytes, a topic at most 512, a limit is 1 to 100",
        ));
    }
    if let Err(rule) = group.log.state().allows(&chat.name, &op, now.wall) {
        return Err(Fault::new(AGAINST_RULES, rule.to_string()));
    }
    let sure = match command {
        RoomCommand::Invite(name) => RoomCommand::Invite(name),
        _ => RoomCommand::Sure(Box::new(op)),
    };
    run(runtime, Command::Room(Some(id), sure));
    let pending = runtime.app().chat().group(id).map_or(0, Group::pending);
    Ok(json!({ "pending": pending }))
}

fn brief(room: &Room, group: &Group) -> Value {
    let standing = if room.person.is_request() { "invited" } else { "member" };
    json!({
        "room": room.id.to_string(),
        "name": group.title(),
        "topic": group.topic(),
        "people": group.people(),
        "unread": room.kept.unread,
        "lines": room.kept.lines,
        "muted": room.kept.muted,
        "standing": if group.is_open() { standing } else { "out" },
        "by": group.inviter().map(AccountName::as_str),
        "pending": group.pending(),
    })
}

fn shown(runtime: &Runtime, id: RoomId) -> Result<Value, Fault> {
    let (chat, now) = (runtime.app().chat(), runtime.now());
    let found = chat.groups().find(|(room, _)| room.id == id);
    let (room, group) = found.ok_or_else(|| Fault::new(NO_ROOM, "that is no room of several"))?;
    let state = group.log.state();
    let members = state.members.iter().map(|(name, member)| {
        let (role, silenced) = (role_name(member.role), member.silent(now.wall));
        json!({ "name": name.as_str(), "role": role, "silenced": silenced })
    });
    let mut told = brief(room, group);
    told["members"] = members.collect();
    told["banned"] = state.banned.keys().map(|name| json!(name.as_str())).collect();
    told["policy"] = json!({
        "invites": role_name(state.policy.invite),
        "history": state.policy.history,
        "limit": state.policy.limit,
    });
    told["deleted"] = json!(state.deleted);
    told["password"] = json!(group.has_password());
    told["links"] = doors::told(runtime, id);
    Ok(told)
}
