//! `devices`, `link_device`, `name_device`, `remove_device`: the own devices, for scripts.

use super::serve::{offline, run};
use super::wire::{Fault, INVALID, PARAMS, Reply};
use super::{PASSPHRASE, TIMEOUT};
use crate::chat::Link;
use crate::chat::link::{LASTS, LINKS};
use crate::chat::state::OwnDevice;
use crate::runtime::Runtime;
use crate::ui::command::Command;
use crate::ui::devices::DevicesCommand;
use crate::ui::text;
use serde_json::{Value, json};
use std::time::Duration;
use subrosa_shared::id::DeviceId;
use subrosa_shared::protocol::devices::DEVICES_MAX;
use subrosa_shared::session::pair::Code;
use tokio::time::Instant;

/// How long the relay may take.
const ANSWER: Duration = Duration::from_secs(10);

/// Somebody who waits for the relay to do something about devices.
pub(super) struct Waiting {
    /// Who.
    pub(super) reply: Reply,
    /// Until then.
    pub(super) until: Instant,
    change: Change,
}

/// What it is to do.
pub(super) enum Change {
    /// Open a meeting place for a code.
    Code,
    /// Take a list with a device more than these.
    More(Vec<DeviceId>),
    /// Take a list without that device.
    Gone(DeviceId),
}

impl Waiting {
    pub(super) fn new(reply: Reply, change: Change) -> Self {
        let lasts = match change {
            Change::More(_) => LINKS,
            Change::Code | Change::Gone(_) => ANSWER,
        };
        Self { reply, until: Instant::now() + lasts, change }
    }

    /// Whether it is a machine that is being linked.
    pub(super) fn links(&self) -> bool {
        matches!(self.change, Change::More(_))
    }

    /// The answer, once there is one.
    pub(super) fn outcome(&self, runtime: &Runtime, now: Instant) -> Option<Result<Value, Fault>> {
        let chat = runtime.app().chat();
        match (&self.change, &chat.linking) {
            (Change::Code, Some(shown)) => {
                return Some(Ok(json!({
                    "code": shown.code,
                    "command": shown.command(&chat.relay),
                    "seconds": LASTS.as_secs(),
                })));
            }
            (Change::More(before), _) => {
                let added = chat.devices.iter().find(|own| !before.contains(&own.device));
                if let Some(own) = added {
                    return Some(Ok(json!({ "device": own.device.to_string(), "name": own.note.name })));
                }
            }
            (Change::Gone(device), _) if chat.devices.iter().all(|own| own.device != *device) => {
                return Some(Ok(json!({})));
            }
            _ => {}
        }
        if let (Change::More(_), Some(why)) = (&self.change, &chat.unlinked) {
            return Some(Err(Fault::new(PASSPHRASE, why.clone())));
        }
        match chat.link {
            Link::Online if now < self.until => None,
            Link::Online => Some(Err(Fault::new(
                TIMEOUT,
                "the relay did not do that: a notice says why, if it gave a reason; try again",
            ))),
            _ => Some(Err(offline())),
        }
    }
}

/// All of them.
pub(super) fn list(runtime: &Runtime) -> Value {
    let device = |own: &OwnDevice| {
        json!({
            "device": own.device.to_string(),
            "name": own.note.name,
            "this": own.this,
            "online": own.this && runtime.app().chat().link == Link::Online || own.online,
            "added": (own.note.added.0 > 0).then_some(own.note.added.0),
            "seen": (own.note.seen.0 > 0).then_some(own.note.seen.0),
        })
    };
    let chat = runtime.app().chat();
    let devices: Vec<Value> = chat.devices.iter().map(device).collect();
    let history = chat.history.map(|(done, total)| json!({ "done": done, "total": total }));
    json!({ "devices": devices, "history": history })
}

/// Asks for a code, or links the machine that shows this one.
pub(super) fn link(runtime: &mut Runtime, code: Option<Code>) -> Result<Change, Fault> {
    online(runtime)?;
    if runtime.app().chat().devices.len() >= DEVICES_MAX {
        return Err(Fault::new(
            INVALID,
            format!("an account has at most {DEVICES_MAX} devices: remove_device takes one out"),
        ));
    }
    if let Some(code) = code {
        let before = runtime.app().chat().devices.iter().map(|own| own.device).collect();
        run(runtime, Command::Devices(DevicesCommand::Joined(code)));
        return Ok(Change::More(before));
    }
    run(runtime, Command::Devices(DevicesCommand::Link));
    Ok(Change::Code)
}

/// Calls this device something.
pub(super) fn name(runtime: &mut Runtime, name: String) -> Result<Value, Fault> {
    let wanted = text::line(&name).trim().to_owned();
    run(runtime, Command::Devices(DevicesCommand::Name(name)));
    let devices = &runtime.app().chat().devices;
    match devices.iter().any(|own| own.this && own.note.name == wanted && !wanted.is_empty()) {
        true => Ok(json!({ "name": wanted })),
        false => Err(Fault::new(PARAMS, "a device's name is one line of at most 32 characters")),
    }
}

/// Removes one.
pub(super) fn remove(runtime: &mut Runtime, device: &str, sure: bool) -> Result<Change, Fault> {
    let wrong = |why: &str| Err(Fault::new(PARAMS, why));
    let devices = &runtime.app().chat().devices;
    let Some(own) = devices.iter().find(|own| own.device.to_string() == device) else {
        return wrong("no device of yours has that number: devices lists them");
    };
    if own.this {
        return wrong("that is this device: remove it from another one");
    }
    if !sure {
        return wrong("a removed device cannot come back by itself: say sure is true");
    }
    let device = own.device;
    online(runtime)?;
    run(runtime, Command::Devices(DevicesCommand::Removed(device)));
    Ok(Change::Gone(device))
}

fn online(runtime: &Runtime) -> Result<(), Fault> {
    if runtime.app().chat().link == Link::Online { Ok(()) } else { Err(offline()) }
}
