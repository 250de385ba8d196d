//! `room_link`, `room_unlink`, `room_password`, `join_room`: links into rooms, for scripts.

use super::method::{Secret, take};
use super::rooms::{RoomMethod, find};
use super::serve::run;
use super::wire::{Fault, PARAMS};
use super::{AGAINST_RULES, NO_ROOM};
use crate::chat::groups::{Group, OpenLink};
use crate::runtime::Runtime;
use crate::ui::command::{self, Command};
use crate::ui::rooms::RoomCommand;
use crate::ui::strength::{LEAST, MEMBER, Strength};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use subrosa_shared::id::{DoorId, RoomId};
use subrosa_shared::protocol::link::RoomLink;
use subrosa_shared::session::roomlog::{Op, Terms};
use zeroize::Zeroizing;

/// A request about links into a room.
#[derive(Debug)]
pub enum DoorMethod {
    /// Make one; in the place of all others (`renews`).
    Link {
        /// Where.
        room: String,
        /// For one person.
        once: bool,
        /// For so many seconds.
        seconds: Option<u32>,
        /// All others are taken back.
        renews: bool,
    },
    /// Take all back.
    Unlink(String),
    /// Set, change or take away (`None`) the password that they ask for.
    Password(String, Option<Secret>),
    /// Come into a room.
    Join(Secret, Option<Secret>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    room: String,
    once: Option<bool>,
    #[serde(rename = "for")]
    time: Option<String>,
    new: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unlink {
    room: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Password {
    room: String,
    password: Option<Secret>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Join {
    link: Secret,
    password: Option<Secret>,
}

/// The method, checked.
///
/// # Errors
/// [`PARAMS`] with a sentence.
pub(super) fn parse(method: &str, params: Map<String, Value>) -> Result<RoomMethod, Fault> {
    let wrong = |why: &str| Fault::new(PARAMS, why);
    Ok(RoomMethod::Door(match method {
        "room_link" => {
            let Link { room, once, time, new } = take(params)?;
            let seconds = time.map(|time| command::expiry(&time).map_err(|why| Fault::new(PARAMS, why)));
            let seconds = seconds.transpose()?.filter(|seconds| *seconds > 0);
            let (once, renews) = (once.unwrap_or(false), new.unwrap_or(false));
            if renews && (once || seconds.is_some()) {
                return Err(wrong("a new link in the place of the others has their terms"));
            }
            DoorMethod::Link { room, once, seconds, renews }
        }
        "room_unlink" => DoorMethod::Unlink(take::<Unlink>(params)?.room),
        "room_password" => {
            if !params.contains_key("password") {
                return Err(wrong("password is missing: a text, or null to take it away"));
            }
            let Password { room, password } = take(params)?;
            if let Some(password) = &password {
                let strength = Strength::of(&password.0, &[]);
                if let Some(why) = strength.objection(MEMBER).filter(|_| strength.score < LEAST) {
                    return Err(Fault::new(PARAMS, why));
                }
            }
            DoorMethod::Password(room, password)
        }
        _ => {
            let Join { link, password } = take(params)?;
            let to: RoomLink = link.0.parse().map_err(|why| Fault::new(PARAMS, format!("{why}")))?;
            if to.password && password.is_none() {
                return Err(wrong("that room has a password: give it, or an empty one if it was taken away"));
            }
            DoorMethod::Join(link, password)
        }
    }))
}

/// Carries a request out.
pub(super) fn serve(runtime: &mut Runtime, method: DoorMethod) -> Result<Value, Fault> {
    match method {
        DoorMethod::Link { room, once, seconds, renews } => {
            let id = find(runtime.app().chat(), &room)?;
            let terms = Terms { once, until: None, password: None };
            allowed(runtime, id, &Op::Door { door: DoorId([0; 16]), terms: Some(terms) })?;
            let before = links(runtime, id);
            let command = if renews { RoomCommand::Relink } else { RoomCommand::Link(once, seconds) };
            run(runtime, Command::Room(Some(id), command));
            let made = links(runtime, id).into_iter().find(|link| !before.contains(link));
            made.map(|made| shown(&made)).ok_or_else(refused)
        }
        DoorMethod::Unlink(room) => {
            let id = find(runtime.app().chat(), &room)?;
            let count = group(runtime, id)?.log.state().doors.len();
            for door in group(runtime, id)?.log.state().doors.keys() {
                allowed(runtime, id, &Op::Door { door: *door, terms: None })?;
            }
            if count > 0 {
                run(runtime, Command::Room(Some(id), RoomCommand::Unlink));
            }
            Ok(json!({ "links": count }))
        }
        DoorMethod::Password(room, password) => {
            let id = find(runtime.app().chat(), &room)?;
            let may = runtime.app().may_set_room_password(id);
            may.map_err(|why| Fault::new(AGAINST_RULES, why))?;
            if password.is_none() && !group(runtime, id)?.has_password() {
                return Err(Fault::new(AGAINST_RULES, "that room has no password"));
            }
            let command = match password {
                Some(password) => RoomCommand::SetPassword(command::Secret(password.0)),
                None => RoomCommand::NoPassword,
            };
            Ok(run(runtime, Command::Room(Some(id), command)))
        }
        DoorMethod::Join(link, password) => {
            let to: RoomLink = link.0.parse().map_err(|why| Fault::new(PARAMS, format!("{why}")))?;
            let id = RoomId(to.room.0);
            if runtime.app().chat().group(id).is_some_and(Group::is_open) {
                return Err(Fault::new(AGAINST_RULES, "you are in that room already"));
            }
            let relay = runtime.app().chat().relay.parse().ok();
            if relay.is_some_and(|own: subrosa_shared::protocol::link::RelayLink| {
                own.fingerprint != to.relay.fingerprint
            }) {
                return Err(Fault::new(
                    PARAMS,
                    "that room is at another relay: join it with a profile there",
                ));
            }
            let password = password.map_or_else(Zeroizing::default, |password| password.0);
            let join = RoomCommand::Join(command::Secret(link.0), Some(command::Secret(password)));
            run(runtime, Command::Room(None, join));
            Ok(json!({ "room": id.to_string() }))
        }
    }
}

/// What `room` says of links.
pub(super) fn told(runtime: &Runtime, room: RoomId) -> Value {
    links(runtime, room).iter().map(shown).collect()
}

fn links(runtime: &Runtime, room: RoomId) -> Vec<OpenLink> {
    runtime.app().links_into(room, runtime.now())
}

fn shown(link: &OpenLink) -> Value {
    let Terms { once, until, password } = link.terms;
    json!({
        "link": link.link.as_str(),
        "by": link.by.as_str(),
        "once": once,
        "until": until.map(|until| until.0),
        "password": password.is_some(),
    })
}

fn group(runtime: &Runtime, room: RoomId) -> Result<&Group, Fault> {
    runtime.app().chat().group(room).ok_or_else(|| Fault::new(NO_ROOM, "that is no room of several"))
}

fn allowed(runtime: &Runtime, room: RoomId, op: &Op) -> Result<(), Fault> {
    let (chat, now) = (runtime.app().chat(), runtime.now());
    let state = group(runtime, room)?.log.state();
    state.allows(&chat.name, op, now.wall).map_err(|rule| Fault::new(AGAINST_RULES, rule.to_string()))
}

fn refused() -> Fault {
    Fault::new(AGAINST_RULES, "that link could not be made: a notice says why")
}
