//! Methods of `subrosa rpc` about single lines, and about what rings.

use super::event;
use super::place::Place;
use super::serve::{no_conversation, run, sendable_in};
use super::wire::Fault;
use super::{NO_MESSAGE, NOT_ALLOWED, STORE};
use crate::runtime::Runtime;
use crate::ui::act::LineCommand;
use crate::ui::command::Command;
use serde_json::{Value, json};
use subrosa_shared::content::own::{Level, Rings};
use subrosa_shared::id::MessageId;
use subrosa_shared::store::Error;

/// Does something to a line of a conversation.
pub(super) fn act(
    runtime: &mut Runtime,
    with: &Place,
    id: MessageId,
    command: LineCommand,
) -> Result<Value, Fault> {
    let chat = runtime.app().chat();
    let room = with.find(chat)?;
    let command = match command {
        LineCommand::Forward(Some(to)) => {
            let to = Place::parse(&to).map_err(|_| no_conversation())?;
            let target = to.find(chat)?;
            sendable_in(runtime, &to)?;
            LineCommand::ForwardTo(target)
        }
        command => command,
    };
    match runtime.app().can_do(room, &id, &command, runtime.now()).map_err(unreadable)? {
        None => Err(Fault::new(NO_MESSAGE, "there is no such message in that conversation")),
        Some(Err(why)) => Err(Fault::new(NOT_ALLOWED, why)),
        Some(Ok(())) => {
            run(runtime, Command::Open(room));
            Ok(run(runtime, Command::Line(Some(id), command)))
        }
    }
}

/// What is pinned in a conversation.
pub(super) fn pins(runtime: &Runtime, with: &Place) -> Result<Value, Fault> {
    let chat = runtime.app().chat();
    let room = chat.room(with.find(chat)?).ok_or_else(no_conversation)?;
    let whose = room.whose();
    let pins = runtime.app().pinned(room.id).map_err(unreadable)?;
    let pins = pins.iter().map(|(pos, line)| {
        let mut told =
            event::message(&whose, line.more.by.as_ref(), &line.id, line.author, line.at, &line.body);
        told["pos"] = json!(pos);
        event::around(&line.more, &mut told);
        told
    });
    Ok(json!({ "pins": pins.collect::<Vec<_>>() }))
}

/// Sets what of a conversation rings.
pub(super) fn rings(
    runtime: &mut Runtime,
    with: &Place,
    level: Level,
    seconds: Option<u32>,
) -> Result<Value, Fault> {
    let room = with.find(runtime.app().chat())?;
    run(runtime, Command::Open(room));
    run(runtime, Command::Rings(Some(level), seconds));
    let rings = runtime.app().chat().room(room).map(|room| room.attention.rings).unwrap_or_default();
    Ok(told(&rings))
}

/// What rings, and until when.
fn told(rings: &Rings) -> Value {
    json!({ "rings": name(rings.level), "until": rings.until.map(|until| until.0) })
}

/// A level in one word.
pub(super) fn name(level: Level) -> &'static str {
    match level {
        Level::All => "all",
        Level::Mentions => "mentions",
        Level::None => "none",
    }
}

fn unreadable(error: Error) -> Fault {
    Fault::new(STORE, format!("the store cannot be read: {error}"))
}
