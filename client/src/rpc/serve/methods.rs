//! Single methods of `subrosa rpc` that need no more than the running client.

use super::faults::{key_changed, no_call, no_conversation, offline};
use crate::app::history as stored;
use crate::chat::Link;
use crate::chat::call::CallState;
use crate::chat::person::Trouble;
use crate::chat::room::Room;
use crate::event::Event;
use crate::rpc::event;
use crate::rpc::wire::{Fault, PARAMS};
use crate::rpc::{BUSY, KEY_CHANGED, OFFLINE, STORE, TIMEOUT, UNDECIDED};
use crate::runtime::Runtime;
use crate::ui::command::Command;
use serde_json::{Value, json};
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::protocol::password;
use subrosa_shared::session::safety::Compared;

/// Runs a command whose outcome its caller does not wait for.
pub(in crate::rpc) fn run(runtime: &mut Runtime, command: Command) -> Value {
    runtime.step(Event::Run(command));
    json!({})
}

pub(super) fn open_room(runtime: &mut Runtime, with: &AccountName) -> Result<(), Fault> {
    let room = runtime.app().chat().with(with).map(|room| room.id).ok_or_else(no_conversation)?;
    run(runtime, Command::Open(room));
    Ok(())
}

pub(super) fn person(room: &Room) -> Value {
    let key = match (&room.kept.peer, &room.kept.changed) {
        (_, Some(_)) => "changed",
        (Some(_), None) => "pinned",
        (None, None) => "unknown",
    };
    let standing = match &room.person {
        person if person.blocked => "blocked",
        person if person.is_request() => "request",
        _ => "contact",
    };
    json!({
        "name": room.with().map(|with| with.as_str()),
        "online": room.online,
        "unread": room.kept.unread,
        "lines": room.kept.lines,
        "muted": room.attention.is_muted(),
        "rings": crate::rpc::lines::name(room.attention.rings.level),
        "mentions": room.attention.mentions,
        "petname": room.person.petname,
        "standing": standing,
        "verified": room.is_verified(),
        "key": key,
        "device": room.kept.peer.map(|peer| peer.device().to_string()),
        "new_device": room.kept.changed.map(|peer| peer.device().to_string()),
    })
}

pub(super) fn contacts(runtime: &Runtime) -> Value {
    json!({ "contacts": runtime.app().chat().rooms.iter().filter(|room| room.with().is_some()).map(person).collect::<Vec<_>>() })
}

pub(super) fn history(runtime: &Runtime, room: &Room, limit: usize, before: u64) -> Result<Value, Fault> {
    let page = stored(runtime.app().store(), room.id, before, limit)
        .map_err(|error| Fault::new(STORE, format!("the store cannot be read: {error}")))?;
    let lines: Vec<Value> = page
        .lines
        .iter()
        .map(|(pos, line)| {
            let mut told = event::message(
                &room.whose(),
                line.more.by.as_ref(),
                &line.id,
                line.author,
                line.at,
                &line.body,
            );
            told["pos"] = json!(pos);
            told["state"] = json!(event::progress(&line.state));
            event::around(&line.more, &mut told);
            if let Ok(Some(tally)) = runtime.app().tally(room.id, &line.id) {
                (told["delivered"], told["read"]) = (json!(tally.delivered), json!(tally.read));
                told["of"] = json!(tally.of);
            }
            told
        })
        .collect();
    Ok(json!({ "lines": lines, "more": page.more }))
}

pub(super) fn call(runtime: &mut Runtime, to: &AccountName, source: Option<String>) -> Result<Value, Fault> {
    let chat = runtime.app().chat();
    if chat.call.is_some() {
        return Err(Fault::new(BUSY, "there is a call already"));
    }
    if chat.link != Link::Online {
        return Err(offline());
    }
    if chat.with(to).is_some_and(|room| room.trouble().is_some()) {
        return Err(key_changed(to));
    }
    if chat.with(to).is_some_and(|room| !room.person.is_contact()) {
        let why = format!("'{to}' is no contact: accept or unblock them first");
        return Err(Fault::new(UNDECIDED, why));
    }
    open_room(runtime, to)?;
    run(runtime, Command::Video(source));
    match &runtime.app().chat().call {
        Some(call) => Ok(json!({ "call": call.id.to_string() })),
        None => Err(Fault::new(OFFLINE, "the call could not be made")),
    }
}

/// Whether the own camera is off in the call that there is, in that state.
pub(super) fn in_call(runtime: &Runtime, state: Option<CallState>) -> Result<bool, Fault> {
    let call = runtime.app().chat().call.as_ref();
    call.filter(|call| state.is_none_or(|state| call.state == state))
        .map(|call| call.paused)
        .ok_or_else(no_call)
}

pub(super) fn trust(runtime: &mut Runtime, with: &AccountName, device: Option<&str>) -> Result<Value, Fault> {
    let room = runtime.app().chat().with(with).ok_or_else(no_conversation)?;
    // One that was refused is accepted only by its name.
    let named = |key: &Peer| device.is_some_and(|device| key.device().to_string() == device);
    let key = room.undecided().or_else(|| room.last_refused().filter(named));
    let (room, changed) = (room.id, changed(with, key, device)?);
    open_room(runtime, with)?;
    run(runtime, Command::Trusted(room, changed.identity));
    Ok(json!({ "device": changed.device().to_string() }))
}

pub(super) fn distrust(
    runtime: &mut Runtime,
    with: &AccountName,
    device: Option<&str>,
) -> Result<Value, Fault> {
    let room = runtime.app().chat().with(with).ok_or_else(no_conversation)?;
    let undecided = room.kept.changed.filter(|_| room.trouble() == Some(Trouble::Changed));
    let changed = changed(with, undecided, device)?;
    run(runtime, Command::Distrust(Some(with.clone())));
    Ok(json!({ "device": changed.device().to_string() }))
}

/// A key that is to be decided about, if its device is the one that was named.
fn changed(with: &AccountName, key: Option<Peer>, device: Option<&str>) -> Result<Peer, Fault> {
    let key = key.ok_or_else(|| Fault::new(KEY_CHANGED, format!("the key of '{with}' has not changed")))?;
    let changed = key.device().to_string();
    if device.is_some_and(|device| changed != device) {
        return Err(Fault::new(PARAMS, format!("the changed key of '{with}' is of device {changed}")));
    }
    Ok(key)
}

/// Whether there is something of that kind to decide about a person.
pub(super) fn decided(runtime: &Runtime, with: &AccountName, waits: fn(&Room) -> bool) -> Result<(), Fault> {
    let room = runtime.app().chat().with(with).ok_or_else(no_conversation)?;
    if waits(room) {
        return Ok(());
    }
    Err(Fault::new(UNDECIDED, format!("there is nothing of that kind to decide about '{with}'")))
}

pub(super) fn petnamed(
    runtime: &mut Runtime,
    with: AccountName,
    petname: Option<String>,
) -> Result<Value, Fault> {
    runtime.app().chat().with(&with).ok_or_else(no_conversation)?;
    let shown = petname.as_deref().map(crate::ui::text::line);
    let wanted = shown.as_deref().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
    run(runtime, Command::Petname(with.clone(), petname));
    let now = runtime.app().chat().with(&with).and_then(|room| room.person.petname.clone());
    if now == wanted {
        Ok(json!({ "petname": now }))
    } else {
        Err(Fault::new(PARAMS, "that name is too long, or would be taken for somebody else"))
    }
}

pub(super) fn verify(
    runtime: &mut Runtime,
    with: &AccountName,
    given: Option<String>,
) -> Result<Value, Fault> {
    let chat = runtime.app().chat();
    let room = chat.with(with).ok_or_else(no_conversation)?;
    let (number, _) = chat
        .safety(room)
        .ok_or_else(|| Fault::new(TIMEOUT, format!("the relay has not said yet who '{with}' is")))?;
    let code = number.code(&chat.name, with).to_string();
    let same = match given {
        None => Value::Null,
        Some(given) => {
            let compared = number.compare(&chat.name, with, &given);
            let compared = compared.map_err(|why| Fault::new(PARAMS, why.to_string()))?;
            run(runtime, Command::Verify(Some(with.clone()), Some(given)));
            json!(compared == Compared::Same)
        }
    };
    let verified = runtime.app().chat().with(with).is_some_and(Room::is_verified);
    Ok(json!({"number": number.to_string(), "code": code, "same": same, "verified": verified}))
}

/// A connection of the account, as `sessions` lists it.
pub(super) fn session(session: &password::Session) -> Value {
    json!({
        "device": session.device.map(|device| device.to_string()),
        "own": session.own,
        "since": session.since,
        "network": session.network,
    })
}
