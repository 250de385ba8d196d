//! `send_file`, `files`, `save_file`, `pause_file`, `resume_file`, `cancel_file`: files, for scripts.

use super::place::Place;
use super::rooms;
use super::serve::run;
use super::wire::{Fault, PARAMS, Reply};
use super::{FILE, NO_CONVERSATION, NO_FILE};
use crate::chat::transfer::{Phase, Transfer};
use crate::effect::Whose;
use crate::files::Report;
use crate::runtime::Runtime;
use crate::ui::command::Command;
use crate::ui::files::{FilesCommand, Which};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;
use subrosa_shared::id::MessageId;

/// Somebody who waits for a file to be read.
pub(super) struct Reading {
    /// Who.
    pub(super) reply: Reply,
    id: MessageId,
}

impl Reading {
    /// The answer, when this report is about that file.
    pub(super) fn outcome(&self, report: &Report) -> Option<Result<Value, Fault>> {
        match report {
            Report::Prepared(id, prepared) if *id == self.id => Some(match prepared {
                Ok(prepared) => {
                    let sha256 = data_encoding::HEXLOWER.encode(&prepared.sha256);
                    Ok(
                        json!({"id": id.to_string(), "name": prepared.name, "size": prepared.size, "sha256": sha256}),
                    )
                }
                Err(why) => Err(Fault::new(FILE, why.clone())),
            }),
            _ => None,
        }
    }

    /// What is answered once that report was taken in: meanwhile the conversation may have gone.
    pub(super) fn answer(&self, runtime: &Runtime, outcome: Result<Value, Fault>) -> Result<Value, Fault> {
        let told = outcome?;
        match runtime.app().chat().transfer(&self.id) {
            Some(_) => Ok(told),
            None => Err(Fault::new(NO_CONVERSATION, "its conversation is gone: the file was not sent")),
        }
    }
}

/// What is done about one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Fetch it.
    Save,
    /// Halt it.
    Pause,
    /// Go on with it.
    Resume,
    /// Take it back, or do without it.
    Cancel,
}

/// Parameters of `send_file`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Send {
    pub(super) to: Place,
    pub(super) path: String,
    pub(super) caption: Option<String>,
}

/// Parameters of what is done about one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct One {
    pub(super) id: String,
    pub(super) folder: Option<String>,
}

/// Begins to read a file that is to be sent.
pub(super) fn send(
    runtime: &mut Runtime,
    reply: Reply,
    to: Place,
    path: String,
    caption: String,
) -> Result<Reading, (Reply, Fault)> {
    let before = runtime.app().chat().attaching.len();
    let to = match to {
        Place::Person(name) => Some(name),
        Place::Room(room) => match rooms::find(runtime.app().chat(), &room) {
            Ok(room) => {
                run(runtime, Command::Open(room));
                None
            }
            Err(fault) => return Err((reply, fault)),
        },
    };
    run(runtime, Command::Attach { to, path: quoted(&path), caption });
    let attaching = &runtime.app().chat().attaching;
    match attaching.last().filter(|_| attaching.len() > before) {
        Some(id) => Ok(Reading { reply, id: *id }),
        None => Err((reply, Fault::new(PARAMS, "that cannot be sent: a notice says why"))),
    }
}

/// All of them.
pub(super) fn list(runtime: &Runtime) -> Value {
    let chat = runtime.app().chat();
    let files: Vec<Value> = chat
        .transfers
        .iter()
        .filter_map(|transfer| {
            let whose = chat.room(transfer.kept.room)?.whose();
            let mut listed = of(&whose, transfer);
            listed["rate"] = json!(transfer.rate());
            Some(listed)
        })
        .collect();
    json!({ "files": files })
}

/// Does something about one.
pub(super) fn change(
    runtime: &mut Runtime,
    change: Change,
    id: MessageId,
    folder: Option<String>,
) -> Result<Value, Fault> {
    let chat = runtime.app().chat();
    let transfer = chat.transfer(&id).ok_or_else(|| Fault::new(NO_FILE, "there is no such file"))?;
    let (up, phase) = (transfer.kept.up, &transfer.kept.phase);
    let fits = match change {
        Change::Save => !up && *phase != Phase::Done,
        Change::Pause => *phase == Phase::Active,
        Change::Resume => matches!(phase, Phase::Active | Phase::Paused | Phase::Failed(_)),
        Change::Cancel => up || *phase != Phase::Done,
    };
    if !fits {
        return Err(Fault::new(
            NO_FILE,
            format!("that cannot be done with a file that is '{}'", transfer.word()),
        ));
    }
    let which = Which::Of(id);
    run(
        runtime,
        Command::Files(match change {
            Change::Save => FilesCommand::Save(which, folder.as_deref().map(quoted)),
            Change::Pause => FilesCommand::Pause(which),
            Change::Resume => FilesCommand::Resume(which),
            Change::Cancel => FilesCommand::Cancel(which),
        }),
    );
    let state = runtime.app().chat().transfer(&id).map_or("cancelled", Transfer::word);
    Ok(json!({ "state": state }))
}

fn of(with: &Whose, transfer: &Transfer) -> Value {
    let kept = &transfer.kept;
    let path = kept.path.as_deref().filter(|_| kept.up || kept.phase == Phase::Done);
    file(
        with,
        transfer.id,
        kept.up,
        &kept.name,
        kept.size,
        transfer.done,
        transfer.word(),
        path,
        transfer.why(),
    )
}

/// A file as scripts see it. Its name is as it came, which may not be harmless to show.
#[expect(clippy::too_many_arguments, reason = "each is one member of the object")]
pub(super) fn file(
    with: &Whose,
    id: MessageId,
    up: bool,
    name: &str,
    size: u64,
    done: u64,
    state: &str,
    path: Option<&Path>,
    why: &str,
) -> Value {
    let path = path.map(|path| path.to_string_lossy());
    let mut told = super::event::about(with, None);
    let said = json!({"id": id.to_string(), "up": up, "name": name, "size": size,
        "done": done, "state": state, "path": path, "why": why});
    if let (Some(told), Value::Object(said)) = (told.as_object_mut(), said) {
        told.extend(said);
    }
    told
}

/// A path as a script means it: what a shell would make of it was made already.
fn quoted(path: &str) -> String {
    format!("\"{path}\"")
}

/// The message that 32 hexadecimal digits name.
pub(super) fn id(text: &str) -> Result<MessageId, Fault> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
    let id = bytes.and_then(|bytes| bytes.try_into().ok()).map(MessageId);
    id.ok_or_else(|| Fault::new(PARAMS, "an id is 32 hexadecimal digits"))
}
