//! What happened, as notifications.

use crate::chat::call::CallState;
use crate::chat::timeline::{Author, LineState};
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
    /// Somebody came or went.
    Presence,
    /// Somebody is typing, or stopped.
    Typing,
    /// A call changed.
    Call,
    /// The relay connection changed.
    Link,
    /// A sentence for the person.
    Notice,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Message,
        Self::Request,
        Self::Profile,
        Self::Room,
        Self::Mark,
        Self::Presence,
        Self::Typing,
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
            Self::Presence => "presence",
            Self::Typing => "typing",
            Self::Call => "call",
            Self::Link => "link",
            Self::Notice => "notice",
        }
    }
}

/// Kind and parameters of what happened.
pub fn told(happened: &Happened) -> (Kind, Value) {
    match happened {
        Happened::Line { with, by, id, author, at, body, .. } => {
            (Kind::Message, message(with, by.as_ref(), id, *author, *at, body))
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
