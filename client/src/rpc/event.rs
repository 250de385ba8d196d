//! What happened, as notifications.

use super::files;
use crate::chat::call::CallState;
use crate::chat::deeds::Change;
use crate::chat::timeline::{Author, LineState, More};
use crate::effect::{Happened, Whose};
use serde::Deserialize;
use serde_json::{Value, json};
use subrosa_shared::id::{AccountName, MessageId};
use subrosa_shared::time::Millis;

/// Kinds of notifications that one can subscribe to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A line was added to a conversation.
    Message,
    /// A stranger waits to be let in.
    Request,
    /// A contact says something else of themselves.
    Profile,
    /// A room of several has changed.
    Room,
    /// An own message got further.
    Mark,
    /// Something was done to a line.
    Change,
    /// Somebody came or went.
    Presence,
    /// Somebody is typing, or stopped.
    Typing,
    /// A file got further, or will not.
    File,
    /// A call changed.
    Call,
    /// The relay connection changed.
    Link,
    /// A sentence for the person.
    Notice,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Message,
        Self::Request,
        Self::Profile,
        Self::Room,
        Self::Mark,
        Self::Change,
        Self::Presence,
        Self::Typing,
        Self::File,
        Self::Call,
        Self::Link,
        Self::Notice,
    ];

    /// Its name as a method.
    pub fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Request => "request",
            Self::Profile => "profile",
            Self::Room => "room",
            Self::Mark => "mark",
            Self::Change => "change",
            Self::Presence => "presence",
            Self::Typing => "typing",
            Self::File => "file",
            Self::Call => "call",
            Self::Link => "link",
            Self::Notice => "notice",
        }
    }
}

/// Kind and parameters of what happened.
pub fn told(happened: &Happened) -> (Kind, Value) {
    match happened {
        Happened::Line { with, by, id, author, at, body, more, .. } => {
            let mut told = message(with, by.as_ref(), id, *author, *at, body);
            around(more, &mut told);
            (Kind::Message, told)
        }
        Happened::Change { with, id, by, change, text } => {
            let mut told = about(with, Some(by));
            told["id"] = json!(id.to_string());
            let (what, on) = match change {
                Change::Edited => ("edit", None),
                Change::Deleted => ("delete", None),
                Change::Reacted { sign, on } => {
                    told["sign"] = json!(sign);
                    ("react", Some(on))
                }
                Change::Pinned(on) => ("pin", Some(on)),
            };
            told["change"] = json!(what);
            if *change == Change::Edited {
                told["text"] = json!(text);
            }
            if let Some(on) = on {
                told["on"] = json!(on);
            }
            (Kind::Change, told)
        }
        Happened::Request { with, by } => (Kind::Request, about(with, by.as_ref())),
        Happened::Profile { with, name, status, avatar } => {
            let said = json!({"with": with.as_str(), "name": name, "status": status, "avatar": avatar});
            (Kind::Profile, said)
        }
        Happened::Room { with, people, open } => {
            let mut room = about(with, None);
            (room["people"], room["open"]) = (json!(people), json!(open));
            (Kind::Room, room)
        }
        Happened::Mark { with, id, state } => {
            let mut mark = about(with, None);
            (mark["id"], mark["state"]) = (json!(id.to_string()), json!(progress(state)));
            if let LineState::Waiting(why) = state {
                mark["why"] = json!(why);
            }
            (Kind::Mark, mark)
        }
        Happened::Presence { with, online } => {
            (Kind::Presence, json!({"with": with.as_str(), "online": online}))
        }
        Happened::File { with, id, up, name, size, done, state, path, why } => {
            let told = files::file(with, *id, *up, name, *size, *done, state, path.as_deref(), why);
            (Kind::File, told)
        }
        Happened::Typing { with, by, on } => {
            let mut typing = about(with, by.as_ref());
            typing["on"] = json!(on);
            (Kind::Typing, typing)
        }
        Happened::Call { with, state, note } => {
            (Kind::Call, json!({"with": with.as_str(), "state": phase(*state), "note": note}))
        }
        Happened::Link { online, why } => (Kind::Link, json!({"online": online, "why": why})),
        Happened::Notice { text, error } => (Kind::Notice, json!({"text": text, "error": error})),
    }
}

/// Which conversation: `with` a person, or `room` and `name` of a room of several and there `by` whom.
pub fn about(with: &Whose, by: Option<&AccountName>) -> Value {
    let mut about = match with {
        Whose::Person(with) => json!({"with": with.as_str()}),
        Whose::Room { tag, name } => json!({"room": tag, "name": name}),
    };
    if let Some(by) = by {
        about["by"] = json!(by.as_str());
    }
    about
}

/// A line of a conversation. The text is as it came, which may not be harmless to show.
pub fn message(
    with: &Whose,
    by: Option<&AccountName>,
    id: &MessageId,
    author: Author,
    at: Millis,
    text: &str,
) -> Value {
    let author = match author {
        Author::Me => "me",
        Author::Them => "them",
        Author::Note => "note",
        Author::Alarm => "alarm",
    };
    let mut message = about(with, by);
    message["id"] = json!(id.to_string());
    (message["author"], message["at"], message["text"]) = (json!(author), json!(at.0), json!(text));
    message
}

/// What a line has besides, each only where there is something.
pub fn around(more: &More, told: &mut Value) {
    let mut say = |name: &str, there: bool, value: Value| {
        if there {
            told[name] = value;
        }
    };
    let names = |names: &[AccountName]| names.iter().map(|name| json!(name.as_str())).collect::<Vec<_>>();
    if let Some(reply) = &more.reply {
        say("reply", true, json!(reply.to_string()));
    }
    say("forwarded", more.forwarded, json!(true));
    say("told_by", more.told.is_some(), json!(more.told.as_ref().map(AccountName::as_str)));
    say("mentions", !more.mentions.is_empty(), json!(names(&more.mentions)));
    say("edited", more.edited.is_some(), json!(true));
    say("deleted", more.deleted.is_some(), json!(more.deleted.as_ref().map(AccountName::as_str)));
    say("pinned", more.pin.as_ref().is_some_and(|pin| pin.on), json!(true));
    let set = more.reactions.iter().filter(|reaction| reaction.on);
    let set: Vec<Value> =
        set.map(|reaction| json!({"by": reaction.by.as_str(), "sign": reaction.sign})).collect();
    say("reactions", !set.is_empty(), json!(set));
}

/// How far a message got, in one word.
pub fn progress(state: &LineState) -> &'static str {
    match state {
        LineState::Received => "received",
        LineState::Sending => "sending",
        LineState::Waiting(_) => "waiting",
        LineState::Sent => "sent",
        LineState::Delivered => "delivered",
        LineState::Read => "read",
    }
}

/// What a call is doing, in one word.
pub fn phase(state: Option<CallState>) -> &'static str {
    match state {
        Some(CallState::Calling) => "calling",
        Some(CallState::Ringing) => "ringing",
        Some(CallState::Active) => "active",
        None => "ended",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_named_as_they_are_read() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::from_value::<Kind>(json!(kind.name())).expect("its name"), kind);
        }
    }

    #[test]
    fn a_message_that_waits_says_why() {
        let with = Whose::Person(AccountName::parse("ada").expect("valid"));
        let state = LineState::Waiting("full".into());
        let (kind, mark) = told(&Happened::Mark { with, id: MessageId([0xab; 16]), state });
        assert_eq!(kind, Kind::Mark);
        assert_eq!(mark, json!({"with": "ada", "id": "ab".repeat(16), "state": "waiting", "why": "full"}));
    }
}
