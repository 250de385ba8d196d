//! Which conversation a script or a shell means: a person's name, or a room's `#name` or `#number`.

use super::rooms;
use super::serve::no_conversation;
use super::wire::Fault;
use crate::chat::Chat;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use subrosa_shared::id::{AccountName, BadName, RoomId};

/// A conversation, as a script or a shell names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// With that person.
    Person(AccountName),
    /// A room of several, by its name or number; without the `#`.
    Room(String),
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Person(name) => write!(f, "{name}"),
            Self::Room(room) => write!(f, "#{room}"),
        }
    }
}

impl Place {
    /// Reads a person's name, or a room behind its `#`.
    ///
    /// # Errors
    /// What is no name.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        match text.strip_prefix('#') {
            Some(room) => Ok(Self::Room(room.to_owned())),
            None => AccountName::parse(text).map(Self::Person),
        }
    }

    /// Its conversation, if there is one.
    ///
    /// # Errors
    /// That there is none, or several, as a sentence.
    pub(crate) fn find(&self, chat: &Chat) -> Result<RoomId, Fault> {
        match self {
            Self::Person(name) => chat.with(name).map(|room| room.id).ok_or_else(no_conversation),
            Self::Room(room) => rooms::find(chat, room),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_sign_means_a_room() {
        let read = |text: &str| serde_json::from_value::<Place>(text.into()).ok();
        assert_eq!(read("#tea & cake"), Some(Place::Room("tea & cake".into())));
        assert_eq!(read("ada").map(|place| place.to_string()), Some("ada".into()));
        assert_eq!(read("not a name"), None);
    }
}
