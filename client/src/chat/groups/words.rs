//! Operations and refusals in words.

use super::Group;
use subrosa_shared::id::AccountName;
use subrosa_shared::session::roomlog::{Change, Op, Role, Rule, What};
use subrosa_shared::time::Millis;

/// A change as a grey line.
pub(super) fn line(change: &Change, me: &AccountName, name: &str) -> String {
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
        What::DoorOpened { .. } => format!("{by} made a link by which people come in"),
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
