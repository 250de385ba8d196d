//! Dialogs about the own devices: the list, the code for a new one, removing one.

use super::command::Command;
use super::dialog::Dialog;
use super::text;
use crate::chat::link::Shown;
use crate::chat::state::OwnDevice;
use crate::chat::{Chat, counted};
use qrcode::{Color as Module, EcLevel, QrCode};
use std::time::Duration;
use subrosa_shared::id::DeviceId;
use subrosa_shared::session::pair::Code;
use subrosa_shared::time::{Millis, Now};

/// Heading of the code for a new one.
pub const CODE: &str = "Link a device";

/// What is done about the own devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DevicesCommand {
    /// Show them.
    List,
    /// Show a code for a new one.
    Link,
    /// Ask whether the machine that shows this code is to be linked.
    Join(Code),
    /// Link it.
    Joined(Code),
    /// Take the code back.
    Stop,
    /// Call this one something.
    Name(String),
    /// Ask whether the one of that name, or whose number begins so, is to be removed.
    Remove(String),
    /// Ask once more.
    Removing(DeviceId),
    /// Remove it.
    Removed(DeviceId),
}

/// Reads what follows `/devices`.
///
/// # Errors
/// A sentence.
pub fn parse(argument: &str) -> Result<Command, String> {
    let (word, rest) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
    let rest = rest.trim();
    Ok(Command::Devices(match (word, rest) {
        ("" | "list", "") => DevicesCommand::List,
        ("link" | "add", "") => DevicesCommand::Link,
        ("link" | "add", code) => {
            DevicesCommand::Join(Code::parse(code).map_err(|why| format!("That is no code: {why}."))?)
        }
        ("stop" | "cancel", "") => DevicesCommand::Stop,
        ("name", name) if !name.is_empty() => DevicesCommand::Name(name.to_owned()),
        ("remove" | "revoke", which) if !which.is_empty() => DevicesCommand::Remove(which.to_owned()),
        ("name" | "remove" | "revoke", _) => return Err(format!("{word} what?")),
        _ => return Err("That is not something to do with devices.".into()),
    }))
}

/// All of them.
pub fn list(chat: &Chat, now: Now) -> Dialog {
    let mut body = String::new();
    for device in &chat.devices {
        let name = text::fit(&text::line(&device.name()), NAME);
        body.push_str(&format!("{name}  {}  {}\n", &device.device.to_string()[..8], state(device, now)));
    }
    if let Some((done, total)) = chat.history {
        let all = counted(total, "message", "messages");
        body.push_str(&format!("\nThe history is on its way: {done} of about {all}.\n"));
    }
    body.push_str(
        "\n/devices link shows a short code to type on a new one; /devices link CODE adds the one that \
         shows a code itself (subrosa link --show). /devices name NAME calls this one something, \
         /devices remove NAME takes one out: it can read nothing that is sent later.",
    );
    Dialog::text("Your devices", body)
}

/// The code for a new one, and how long it is good.
pub fn code(shown: &Shown, relay: &str, now: Now) -> Dialog {
    let command = shown.command(relay);
    let left = seconds_left(shown, now);
    let mut body = format!(
        "On the new machine:\n\n    {command}\n\nThe code is\n\n    {}\n\nand good for one try and {}:{:02} min. Show it to nobody else: whoever types it first becomes a device \
         of yours.\n",
        shown.code,
        left / 60,
        left % 60
    );
    if let Some(qr) = qr(&command) {
        body.push('\n');
        body.push_str(&qr);
    }
    Dialog::text(CODE, body)
}

fn seconds_left(shown: &Shown, now: Now) -> u64 {
    (shown.until.since(now.mono).as_millis() as u64).div_ceil(1000)
}

/// When the code has a second less to go (monotonic); `None` once it is too old.
pub fn code_due(shown: &Shown, now: Now) -> Option<Millis> {
    let next = seconds_left(shown, now).checked_sub(1)?;
    Some(Millis(shown.until.0.saturating_sub(next * 1000)))
}

/// The question before a machine is linked that shows a code.
pub fn join(code: Code) -> Dialog {
    Dialog::Confirm {
        question: "Make the machine that shows this code a device of your account? It will read and write everything that \
                   you do: do it only for a machine that is yours, in front of you."
            .into(),
        yes: Command::Devices(DevicesCommand::Joined(code)),
    }
}

/// The first question before one is removed.
pub fn remove(device: &OwnDevice) -> Dialog {
    Dialog::Confirm {
        question: format!("Remove {} from your account?", text::line(&device.name())),
        yes: Command::Devices(DevicesCommand::Removing(device.device)),
    }
}

/// The second one.
pub fn removing(device: &OwnDevice) -> Dialog {
    Dialog::Confirm {
        question: format!(
            "{} will receive nothing any more, and cannot come back by itself. What it has stored stays on it. Really?",
            text::line(&device.name())
        ),
        yes: Command::Devices(DevicesCommand::Removed(device.device)),
    }
}

fn state(device: &OwnDevice, now: Now) -> String {
    let added = jiff::Timestamp::from_millisecond(device.note.added.0 as i64)
        .ok()
        .filter(|_| device.note.added > Millis(0))
        .map_or(String::new(), |at| format!(", added {}", at.strftime("%Y-%m-%d")));
    let seen = match (device.this, device.online, device.note.seen) {
        (true, ..) => "this one".into(),
        (_, true, _) => "online".into(),
        (_, _, Millis(0)) => "not seen from here yet".into(),
        (_, _, seen) => format!("last seen {} ago", spoken(now.wall.since(seen))),
    };
    format!("{seen}{added}")
}

fn spoken(span: Duration) -> String {
    match span.as_secs() {
        0..120 => "a minute".into(),
        seconds @ 120..7200 => format!("{} minutes", seconds / 60),
        seconds @ 7200..172_800 => format!("{} hours", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Two modules a character, dark on light: light is drawn, so that it reads on a dark screen.
pub(crate) fn qr(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let width = code.width();
    let modules = code.to_colors();
    let light = |x: usize, y: usize| {
        let inside = (QUIET..width + QUIET).contains(&x) && (QUIET..width + QUIET).contains(&y);
        !inside || modules[(y - QUIET) * width + x - QUIET] == Module::Light
    };
    let side = width + 2 * QUIET;
    let mut drawn = String::new();
    for y in (0..side).step_by(2) {
        for x in 0..side {
            drawn.push(match (light(x, y), y + 1 >= side || light(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        drawn.push('\n');
    }
    Some(drawn)
}

const NAME: usize = 24;
const QUIET: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_read() {
        let read = |text| match parse(text) {
            Ok(Command::Devices(command)) => Some(command),
            _ => None,
        };
        assert_eq!(read(""), Some(DevicesCommand::List));
        assert_eq!(read("link"), Some(DevicesCommand::Link));
        assert_eq!(read("remove old phone"), Some(DevicesCommand::Remove("old phone".into())));
        assert_eq!(read("name desk"), Some(DevicesCommand::Name("desk".into())));
        let code = Code::parse("babab-zuzuz-babad").expect("a code");
        assert_eq!(read("link Babab zuzuz babad"), Some(DevicesCommand::Join(code)));
        for bad in ["remove", "name", "frobnicate", "link now"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
