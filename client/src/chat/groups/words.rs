//! Operations and refusals in words.

use super::Group;
use crate::chat::wait_in_words;
use subrosa_shared::content::rooms::Step;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::door::GUESSES_MAX;
use subrosa_shared::session::roomlog::{Change, Op, Role, Rule, What};
use subrosa_shared::time::Millis;

/// Changes as grey lines. Those of doors that belong together are one line.
pub(super) fn lines(changes: &[Change], me: &AccountName, name: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut changes = changes.iter().peekable();
    while let Some(change) = changes.next() {
        let by = if change.by == *me { "you".to_owned() } else { change.by.to_string() };
        let closed = |next: &&Change| next.by == change.by && matches!(next.what, What::DoorClosed { .. });
        match &change.what {
            What::DoorClosed { .. } => {
                let others = std::iter::from_fn(|| changes.next_if(closed)).count();
                lines.push(match others {
                    0 => format!("{by} withdrew a link"),
                    others => format!("{by} withdrew {} links", others + 1),
                });
            }
            What::DoorOpened { terms, before: Some(before), .. } if before.password != terms.password => {
                let same = |next: &&Change| {
                    next.by == change.by
                        && matches!(&next.what, What::DoorOpened { terms: of, before: Some(_), .. }
                            if of.password == terms.password)
                };
                while changes.next_if(same).is_some() {}
                lines.push(match (before.password, terms.password) {
                    (None, _) => format!("{by} set a password: who comes by a link is asked for it"),
                    (Some(_), Some(_)) => format!("{by} changed the password that links ask for"),
                    (Some(_), None) => format!("{by} took the password away: a link is enough to come in"),
                });
            }
            _ => {
                lines.push(line(change, me, name));
                let Some(out) = change.out().filter(|out| **out != change.by) else { continue };
                if std::iter::from_fn(|| changes.next_if(closed)).count() > 0 {
                    let whom = if out == me { "you".to_owned() } else { out.to_string() };
                    lines.push(format!(
                        "the links into this room that {whom} knew open it no more: who may invite makes a new one with /room link"
                    ));
                }
            }
        }
    }
    lines
}

/// What happened at a door as a grey line.
pub(super) fn doorstep(who: &AccountName, at: Millis, what: Step, wall: Millis) -> String {
    let guesses = |nth: u8| {
        let full =
            if usize::from(nth) < GUESSES_MAX { "" } else { ": nobody is asked for it within the hour" };
        format!("({nth} of {GUESSES_MAX} this hour{full})")
    };
    match what {
        Step::Wrong(nth) => {
            format!("somebody tried to enter with a wrong password: {who} {}", guesses(nth))
        }
        Step::Unproved(nth) => format!(
            "{who} was asked for the room's password and did not give it, which counts as a guess {}",
            guesses(nth)
        ),
        Step::Held => {
            format!(
                "{who} knocked and was not asked for the password: {GUESSES_MAX} guesses were made within the hour"
            )
        }
        Step::Waited => {
            let since = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
            let since = since.unwrap_or(jiff::Timestamp::UNIX_EPOCH);
            let waited = u32::try_from(wall.0.saturating_sub(at.0)).unwrap_or(u32::MAX);
            format!(
                "{who} waited at the door since {} UTC ({})",
                since.strftime("%Y-%m-%d %H:%M"),
                wait_in_words(waited)
            )
        }
    }
}

/// A change as a grey line.
fn line(change: &Change, me: &AccountName, name: &str) -> String {
    let by = if change.by == *me { "you".to_owned() } else { change.by.to_string() };
    let who = |account: &AccountName| if account == me { "you".to_owned() } else { account.to_string() };
    match &change.what {
        What::Added { account, door: Some(_) } => {
            format!("{} came in by a link; {by} let them in", who(account))
        }
        What::Added { account, door: None } => format!("{by} added {}", who(account)),
        What::Left => format!("{by} left"),
        What::Removed { account } => format!("{by} removed {}", who(account)),
        What::Banned { account, was_in: true } => format!("{by} removed and banned {}", who(account)),
        What::Banned { account, .. } => format!("{by} banned {}", who(account)),
        What::Unbanned { account } => format!("{by} lifted the ban on {}", who(account)),
        What::Silenced { account, until: None } => format!("{by} let {} speak again", who(account)),
        What::Silenced { account, until: Some(until) } if *until == Millis(u64::MAX) => {
            format!("{by} silenced {}", who(account))
        }
        What::Silenced { account, until: Some(_) } => format!("{by} silenced {} for a while", who(account)),
        What::Role { account, role } => format!("{by} made {} a {}", who(account), role_name(*role)),
        What::Named { .. } => format!("{by} named the room {}", crate::text::line(name)),
        What::Topic { .. } => format!("{by} changed the topic"),
        What::Policy { .. } => format!("{by} changed how the room is run: /room shows it"),
        What::HandedOver { account } => format!("{by} handed the room over to {}", who(account)),
        What::DoorOpened { terms, before: None, .. } => {
            let once = if terms.once { "one person comes" } else { "people come" };
            let password = if terms.password.is_some() { ", with the room's password" } else { "" };
            format!("{by} made a link by which {once} in{password}")
        }
        What::DoorOpened { .. } => format!("{by} changed a link"),
        What::DoorClosed { .. } => format!("{by} withdrew a link"),
        What::Renewed => format!("{by} removed a device and renewed the room's keys"),
        What::Deleted => format!("{by} deleted the room: nothing more is said here"),
    }
}

/// A role's name.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Member => "member",
        Role::Moderator => "moderator",
        Role::Owner => "owner",
    }
}

/// Why an operation is not done, with the next step.
pub(super) fn refused(rule: Rule, op: &Op) -> String {
    let who = match op {
        Op::Add { account, .. }
        | Op::Remove { account }
        | Op::Ban { account, .. }
        | Op::Unban { account }
        | Op::Silence { account, .. }
        | Op::Role { account, .. }
        | Op::HandOver { account } => Some(account),
        _ => None,
    };
    let step = match rule {
        Rule::Right(Role::Owner) => "ask the owner, whom /room shows",
        Rule::Right(_) | Rule::NotMember => "ask a moderator or the owner, whom /room shows",
        Rule::NoSuchMember => "/room lists who is in, and who is banned",
        Rule::Banned => "/unban NAME",
        Rule::OwnerLeaves => "/room hand-over NAME, or /room delete",
        Rule::Oneself => "/leave",
        Rule::OneOwner => "/room hand-over NAME",
        Rule::Crowded(_) | Rule::Full | Rule::Deleted => "/room new NAME begins another",
        Rule::Already | Rule::NoDoor | Rule::TooMany(_) | Rule::Founded => "/room shows how it is",
    };
    match who {
        Some(who) => format!("{who}: {rule} ({step})"),
        None => format!("{rule} ({step})"),
    }
}

/// Why nothing can be said in a room any more.
pub(super) fn over(group: &Group, me: &AccountName) -> String {
    if group.log.state().deleted {
        return format!("{} was deleted: /room new NAME begins another", group.title());
    }
    let banned = group.log.state().banned.contains_key(me);
    let step = if banned { "a moderator lifts the ban" } else { "somebody who is in invites you again" };
    format!("you are not in {} any more, until {step}", group.title())
}
