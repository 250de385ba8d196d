//! Dialogs about people: the list of all, a stranger's request, numbers that differ.

use super::command::Command;
use super::dialog::Dialog;
use super::rooms::RoomCommand;
use super::text;
use crate::chat::person::Trouble;
use crate::chat::room::Room;
use crate::chat::{Chat, counted};

/// Everybody, with what is thought of them.
pub fn contacts(chat: &Chat) -> Dialog {
    let mut body = String::new();
    type Belongs = fn(&Room) -> bool;
    let chapters: [(&str, Belongs); 5] = [
        ("Rooms of several people", |room| room.group.is_some() && room.person.is_contact()),
        ("Invitations: open one, then /accept or /decline", |room| {
            room.group.is_some() && room.person.is_request()
        }),
        ("Contacts", |room| room.group.is_none() && room.person.is_contact()),
        ("Requests: /accept NAME, /decline NAME or /block NAME", |room| {
            room.group.is_none() && room.person.is_request()
        }),
        ("Blocked: /unblock NAME lets them in again", |room| room.person.blocked),
    ];
    for (title, belongs) in chapters {
        let mut rooms: Vec<&Room> = chat.rooms.iter().filter(|room| belongs(room)).collect();
        if rooms.is_empty() {
            continue;
        }
        rooms.sort_by_key(|room| room.name().to_lowercase());
        if !body.is_empty() {
            body.push('\n');
        }
        body.push_str(&format!("{title}\n"));
        for room in rooms {
            let mark = if room.is_verified() { "◆" } else { " " };
            let name = text::line(&room.full_name());
            body.push_str(&format!("{mark} {}  {}\n", text::fit(&name, NAMES), state(room)));
        }
    }
    if chat.turned_away > 0 {
        body.push_str(&format!(
            "\n{} found no place: decide on those who wait, and ask them to write again.\n",
            counted(chat.turned_away.into(), "more stranger", "more strangers")
        ));
    }
    if body.is_empty() {
        body.push_str(
            "Nobody yet: /add NAME begins a conversation, /link shows the relay's link to hand out.",
        );
    }
    Dialog::text("People", body.trim_end())
}

/// What waits for the decision about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// What stands in the composer.
    Typed,
    /// A message that is to be forwarded.
    Forward,
}

/// What a stranger's first message asks for, or an invitation to a room.
pub fn request(room: &Room, waits: Waits) -> Dialog {
    let name = text::line(&room.full_name());
    let then = match waits {
        Waits::Typed => "What you typed stays; it is sent by Enter",
        Waits::Forward => "The message is not forwarded yet: do it again",
    };
    if let Some(group) = &room.group {
        let by = group.inviter().map_or("somebody", |name| name.as_str());
        return Dialog::Choose {
            title: format!("An invitation to {name}"),
            question: format!(
                "{by} invites you to {name}. Before you accept nobody there knows that you saw it. {then} \
                 once you are in."
            ),
            choices: vec![
                ('a', "accept", Command::Room(Some(room.id), RoomCommand::Accept)),
                ('d', "decline, forget it", Command::Room(Some(room.id), RoomCommand::Decline)),
            ],
        };
    }
    let question = format!(
        "{name} wrote to you first and waits. Before you accept they see neither that you read it nor that you \
         are there. {then} once they are accepted."
    );
    let with = || room.with().cloned();
    Dialog::Choose {
        title: format!("A request from {name}"),
        question,
        choices: vec![
            ('a', "accept", Command::Accept(with())),
            ('d', "decline, forget it", Command::DeclineRequest(with())),
            ('b', "block", Command::Block(with())),
        ],
    }
}

/// What is asked before a key is accepted, with the number that it would have, or another list of devices; `None`
/// when there is none to accept.
pub fn trust(chat: &Chat, room: &Room) -> Option<Dialog> {
    let name = text::line(&room.full_name());
    let peer = room.to_accept()?;
    let (device, key) = (peer.device(), peer.identity);
    let number = chat.safety_of(room, key)?;
    let what = match room.trouble() {
        None => format!("You have refused this key of {name} for the one that you know"),
        Some(Trouble::Doubted) => "You said that the safety numbers differ".to_owned(),
        Some(Trouble::Forked) => {
            let question = format!(
                "The relay shows another list of {name}'s devices than the one you have seen. That happens when it was set \
                 back to a backup, and also when it lets in again whom they removed. Ask {name} in another way than this \
                 which devices they have.\n\nTake the relay's list?"
            );
            return Some(Dialog::confirm(question, Command::Trusted(room.id, key)));
        }
        Some(Trouble::Changed) => format!(
            "{name} has another key than before. That happens after a new installation or with a new device, and also \
             when somebody stands between you"
        ),
    };
    let compares = match room.trouble() {
        Some(_) => " (/verify compares first, and then accepts it.)",
        None => "",
    };
    let question = format!(
        "{what}. Ask {name} in another way than this whether it is theirs.\n\nIts device: {device}\nIts safety \
         number: {number}\n\nAccept it?{compares}"
    );
    Some(Dialog::confirm(question, Command::Trusted(room.id, key)))
}

/// The safety number was not the same on both ends.
pub fn differs(room: &Room) -> Dialog {
    let name = text::line(&room.full_name());
    let kept = room.kept.peer.is_some_and(|peer| room.person.doubted == Some(peer.identity));
    let then = match (room.trouble(), room.kept.changed) {
        (Some(Trouble::Changed), Some(key)) if kept && room.refused.contains(&key) => {
            "That was the key that you kept; the one that you refused may be theirs. /verify compares that one now, /trust \
             accepts it, /distrust refuses it again."
        }
        (Some(Trouble::Changed), _) => "/distrust keeps the key that you had. /trust goes on all the same.",
        _ => "/trust goes on all the same.",
    };
    Dialog::text(
        "THE NUMBERS DIFFER",
        format!(
            "Somebody may stand between you and {name} and read along. Nothing more is sent to {name} here.\n\n\
             1. Both of you: open /verify at the same time, and compare again. A key that changed a moment ago, on \
             either end, gives other numbers too.\n\
             2. Do it in another way than through this relay: in person, or on the phone when you know the voice.\n\
             3. If the numbers still differ, say nothing secret here. /block ends it; another relay is a way out.\n\n\
             {then}"
        ),
    )
}

/// What the lines above the composer say until the person has decided, and whether it is a warning: of
/// the open conversation, else of another one where something stopped.
pub fn banner(chat: &Chat) -> Option<(String, bool)> {
    if let Some(room) = chat.current()
        && let Some(said) = waits(room)
    {
        return Some((said, warns(room)));
    }
    let room = chat.rooms.iter().find(|room| warns(room))?;
    let name = text::line(&room.full_name());
    let what = match room.trouble()? {
        Trouble::Changed => "KEY CHANGED",
        Trouble::Forked => "OTHER DEVICES",
        Trouble::Doubted => "NUMBERS DIFFER",
    };
    let said = format!(
        "{what}: nothing is sent to {name} before you decide. /add {} goes there",
        room.with().map_or("", |with| with.as_str())
    );
    Some((said, true))
}

fn waits(room: &Room) -> Option<String> {
    let name = text::line(&room.full_name());
    if room.person.blocked {
        return Some(format!("{name} is blocked: nothing of theirs comes in. /unblock lets them in again"));
    }
    if let Some(group) = room.group.as_ref().filter(|_| room.person.is_request()) {
        let by = group.inviter().map_or("somebody", |name| name.as_str());
        return Some(format!(
            "{by} invites you to {name}; nobody there knows yet that you saw it: /accept or /decline"
        ));
    }
    if room.person.is_request() {
        return Some(format!(
            "{name} is a stranger and sees nothing of you yet: /accept, /decline or /block"
        ));
    }
    Some(match room.trouble()? {
        Trouble::Changed => format!(
            "KEY CHANGED: {name} set up subrosa anew or has a new device, or somebody stands between you. \
             Nothing is sent. /verify compares, /trust accepts, /distrust keeps the old one, /block ends it"
        ),
        Trouble::Forked => format!(
            "OTHER DEVICES: the relay shows another list of {name}'s devices than before. Nothing is sent. Ask them \
             which they have; /trust takes it, /block ends it"
        ),
        Trouble::Doubted => format!(
            "NUMBERS DIFFER: somebody may stand between you and {name}. Nothing is sent. /verify compares \
             again, /trust goes on, /block ends it"
        ),
    })
}

fn warns(room: &Room) -> bool {
    !room.person.blocked && room.trouble().is_some()
}

fn state(room: &Room) -> String {
    let mut parts = Vec::new();
    match room.trouble() {
        Some(Trouble::Changed) => parts.push("KEY CHANGED: /verify, /trust, /distrust".to_owned()),
        Some(Trouble::Forked) => parts.push("OTHER DEVICES: /trust".to_owned()),
        Some(Trouble::Doubted) => parts.push("NUMBERS DIFFER: /verify".to_owned()),
        None if room.is_verified() => parts.push("verified".to_owned()),
        None if room.kept.peer.is_none() => parts.push("not looked up yet".to_owned()),
        None => parts.push("not verified".to_owned()),
    }
    if room.last_refused().is_some() {
        parts.push("another key refused".to_owned());
    }
    if let Some((name, other)) = &room.portrait.clash {
        parts.push(format!("calls themselves {name}, like {other}"));
    }
    if room.attention.is_muted() {
        parts.push("muted".to_owned());
    }
    if room.person.missed > 0 {
        parts.push(counted(room.person.missed.into(), "more message", "more messages"));
    }
    parts.join(", ")
}

/// Columns of the names.
const NAMES: usize = 28;
