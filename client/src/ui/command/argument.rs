//! What stands behind a command's name, read.

use super::Command;
use crate::chat::profile::Change;
use crate::files::names;
use subrosa_shared::content::EXPIRY_MAX;
use subrosa_shared::content::own::Level;
use subrosa_shared::id::AccountName;

pub(super) fn name(text: &str) -> Result<AccountName, String> {
    match text.trim_start_matches('@') {
        "" => Err("Whose name?".into()),
        text => AccountName::parse(text).map_err(|bad| {
            let why = bad.to_string();
            format!("{}{}.", why[..1].to_uppercase(), &why[1..])
        }),
    }
}

pub(super) fn maybe_name(text: &str) -> Result<Option<AccountName>, String> {
    if text.is_empty() { Ok(None) } else { name(text).map(Some) }
}

/// A name, something to compare, both or neither. Sixty digits are no name.
pub(super) fn verify(argument: &str) -> Result<Command, String> {
    let digits = argument.chars().filter(char::is_ascii_digit).count();
    let number = digits == 60 && argument.chars().all(|c| c.is_ascii_digit() || c.is_whitespace());
    if number || argument.to_ascii_uppercase().starts_with("SUBROSA-SAFETY:") {
        return Ok(Command::Verify(None, Some(argument.to_owned())));
    }
    let (who, given) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
    Ok(Command::Verify(maybe_name(who)?, some(given.trim())))
}

/// Which part of the profile, and what it becomes.
pub(super) fn profile(argument: &str) -> Result<Command, String> {
    let (part, rest) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
    let rest = rest.trim();
    Ok(Command::Profile(Some(match part.to_lowercase().as_str() {
        "" => return Ok(Command::Profile(None)),
        "name" => Change::Name(rest.to_owned()),
        "status" => Change::Status(rest.to_owned()),
        "avatar" if rest == "none" => Change::Avatar(None),
        "avatar" if !rest.is_empty() => Change::Avatar(Some(names::written(rest).into())),
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

/// `[all|mentions|none] [for 2h]`.
pub(super) fn rings(argument: &str) -> Result<Command, String> {
    let mut words = argument.split_whitespace().filter(|word| !word.eq_ignore_ascii_case("for")).peekable();
    let said = words.next_if(|word| level(word).is_some()).and_then(level);
    let seconds = match words.next() {
        None => None,
        Some(_) if said == Some(Level::All) => {
            return Err("What rings again does so for good.".into());
        }
        Some(time) => match expiry(time) {
            Ok(seconds) if seconds > 0 => Some(seconds),
            _ => return Err("All, mentions or none, and a time from 30s to 4w such as 2h.".into()),
        },
    };
    match words.next() {
        None => Ok(Command::Rings(said, seconds)),
        Some(_) => Err("All, mentions or none, and one time.".into()),
    }
}

/// What rings, by its name.
pub fn level(name: &str) -> Option<Level> {
    match name.to_ascii_lowercase().as_str() {
        "all" | "everything" | "off" => Some(Level::All),
        "mentions" | "mention" => Some(Level::Mentions),
        "none" | "nothing" | "on" => Some(Level::None),
        _ => None,
    }
}

/// The shortest time that can be set, in seconds.
const EXPIRY_MIN: u32 = 30;

/// `all FILE`, `keys FILE`, or a file.
pub(super) fn export(argument: &str) -> Result<Command, String> {
    let (first, rest) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
    match (first, rest.trim()) {
        ("" | "all" | "keys", "") => Err("To which file?".into()),
        ("all", file) => Ok(Command::ExportAll(names::written(file))),
        ("keys", file) => Ok(Command::ExportKeys(names::written(file), None)),
        _ => Ok(Command::Export(names::written(argument))),
    }
}

pub(super) fn sessions(argument: &str) -> Result<Command, String> {
    match argument {
        "" => Ok(Command::Sessions(None)),
        number => {
            let number = number.parse().map_err(|_| "Which one? /sessions lists them with their numbers.")?;
            Ok(Command::Sessions(Some(number)))
        }
    }
}

pub(super) fn none(argument: &str, command: Command) -> Result<Command, String> {
    if argument.is_empty() { Ok(command) } else { Err("It takes nothing behind it.".into()) }
}

/// A video source, which may be a path.
pub(super) fn source(argument: &str) -> Option<String> {
    some(argument).map(|source| names::written(&source))
}

pub(super) fn some(argument: &str) -> Option<String> {
    (!argument.is_empty()).then(|| argument.to_owned())
}
