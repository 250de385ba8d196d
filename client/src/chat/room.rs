//! A conversation: with one person, or a room of several.

use super::attention::Attention;
use super::groups::Group;
use super::person::{Person, REFUSED, REFUSED_MAX, Trouble};
use super::profile::Portrait;
use super::timeline::{Line, Timeline};
use crate::effect::{Happened, Whose};
use serde::{Deserialize, Serialize};
use subrosa_shared::id::{AccountName, RoomId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::store::{Batch, Table};
use subrosa_shared::time::Millis;

/// Room id → [`Kept`].
pub const ROOMS: Table = Table { byte: 0x20, name: "rooms" };
/// Room id → what was typed there and not sent, in UTF-8. Under [`NO_ROOM`]: with nothing open.
pub const DRAFTS: Table = Table { byte: 0x27, name: "drafts" };
/// In place of a room: ids of rooms are random.
pub const NO_ROOM: RoomId = RoomId([0; 16]);

/// What is stored of a room beside its lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The other person's account; `None` for a room of several people.
    #[serde(with = "person")]
    pub with: Option<AccountName>,
    /// Their keys, pinned when first seen. `None`: the relay was not asked yet.
    pub peer: Option<Peer>,
    /// Keys that the relay or a message claims now and that are not the pinned ones: an alarm;
    /// nothing is sent until the person decides. The pinned ones: it shows another list of devices under them.
    pub changed: Option<Peer>,
    /// How many lines the timeline has.
    pub lines: u64,
    /// Lines before this position were read.
    pub read: u64,
    /// Other people's lines from `read` on.
    pub unread: u32,
    /// Not everything rings; [`Attention`] says what does.
    pub muted: bool,
    /// When the newest line came, for the order of the sidebar.
    pub last: Millis,
}

impl Kept {
    /// Writes it.
    pub fn save(&self, room: RoomId, batch: &mut Batch) {
        let value = postcard::to_stdvec(self).expect("a room serialises: plain fields only");
        batch.put(ROOMS, room.0, value);
    }
}

/// A conversation.
#[derive(Debug)]
pub struct Room {
    /// Its number here.
    pub id: RoomId,
    /// What is stored.
    pub kept: Kept,
    /// What is thought of the other person, stored apart.
    pub person: Person,
    /// Keys that were refused for the pinned one, the newest last, stored apart: they raise no alarm, and no word of
    /// another own device accepts them.
    pub refused: Vec<Peer>,
    /// What they say of themselves, stored apart.
    pub portrait: Portrait,
    /// What of it rings, and who called, stored apart.
    pub attention: Attention,
    /// Its lines.
    pub timeline: Timeline,
    /// The highest clock of a line that was seen in a conversation of two; see `clocks`.
    pub clock: u64,
    /// The other person is connected, as far as they let us know.
    pub online: bool,
    /// They are typing, until this monotonic moment.
    pub typing: Option<Millis>,
    /// Where the unread line stands while the conversation is open: the position of the first line
    /// that was unread when it was opened.
    pub divider: Option<u64>,
    /// What a room of several people has besides.
    pub group: Option<Box<Group>>,
}

impl Room {
    /// The other person's account; `None` for a room of several people.
    pub fn with(&self) -> Option<&AccountName> {
        self.kept.with.as_ref()
    }

    /// How scripts know it.
    pub fn whose(&self) -> Whose {
        match self.with() {
            Some(with) => Whose::Person(with.clone()),
            None => Whose::Room { tag: self.id.to_string(), name: self.name().to_owned() },
        }
    }

    /// A line of it, as scripts hear of it.
    pub fn told(&self, line: &Line) -> Happened {
        Happened::Line {
            room: self.id,
            with: self.whose(),
            by: line.more.by.clone(),
            id: line.id,
            author: line.author,
            at: line.at,
            body: line.body.clone(),
            more: Box::new(line.more.clone()),
        }
    }

    /// The name to show: the own one for them, else theirs for themselves where nobody else could be
    /// meant, else their account's.
    pub fn name(&self) -> &str {
        match (&self.group, self.with()) {
            (Some(group), _) => group.title(),
            (None, Some(with)) => self.other_name().unwrap_or(with.as_str()),
            (None, None) => "#room",
        }
    }

    /// Both names, where it matters who that really is.
    pub fn full_name(&self) -> String {
        match (self.other_name(), self.with()) {
            (Some(name), Some(with)) => format!("{name} ({with})"),
            _ => self.name().to_owned(),
        }
    }

    /// A name to show that is not their account's.
    fn other_name(&self) -> Option<&str> {
        self.person.petname.as_deref().or(self.portrait.alias.as_deref())
    }

    /// The pinned key is the one whose safety number was compared.
    pub fn is_verified(&self) -> bool {
        self.kept.changed.is_none()
            && self.kept.peer.is_some_and(|peer| self.person.verified == Some(peer.identity))
    }

    /// Why nothing goes out before the person decides.
    pub fn trouble(&self) -> Option<Trouble> {
        let doubted = |peer: Peer| self.person.doubted == Some(peer.identity);
        match (self.kept.changed, self.kept.peer) {
            (Some(changed), Some(peer)) if changed == peer => Some(Trouble::Forked),
            (Some(_), _) => Some(Trouble::Changed),
            (None, Some(peer)) if doubted(peer) => Some(Trouble::Doubted),
            _ => None,
        }
    }

    /// The key whose number is compared: the changed one while there is one, for that is what is to be decided.
    pub fn to_compare(&self) -> Option<Peer> {
        self.kept.changed.or(self.kept.peer)
    }

    /// The key about which nothing was decided yet.
    pub fn undecided(&self) -> Option<Peer> {
        self.to_compare().filter(|_| self.trouble().is_some())
    }

    /// The key that is accepted when the person says so; where there is nothing to decide, the one that was
    /// refused last.
    pub fn to_accept(&self) -> Option<Peer> {
        self.undecided().or_else(|| self.last_refused())
    }

    /// The key that was refused last.
    pub fn last_refused(&self) -> Option<Peer> {
        self.refused.iter().rev().copied().find(|key| self.has_refused(key))
    }

    /// Whether that key was refused, and is not asked about anew.
    pub fn has_refused(&self, key: &Peer) -> bool {
        self.refused.contains(key) && self.kept.changed != Some(*key)
    }

    /// From here on that key raises no alarm.
    pub(super) fn refuse(&mut self, key: Peer, batch: &mut Batch) {
        self.refused.retain(|known| *known != key);
        if self.refused.len() >= REFUSED_MAX {
            self.refused.remove(0);
        }
        self.refused.push(key);
        self.save_refused(batch);
    }

    /// That key was not refused.
    pub(super) fn forgive(&mut self, key: Peer, batch: &mut Batch) {
        self.refused.retain(|known| *known != key);
        self.save_refused(batch);
    }

    fn save_refused(&self, batch: &mut Batch) {
        if self.refused.is_empty() {
            return batch.delete(REFUSED, self.id.0);
        }
        let value = postcard::to_stdvec(&self.refused).expect("keys serialise: plain fields only");
        batch.put(REFUSED, self.id.0, value);
    }

    /// Whether something may go out there.
    pub fn is_open(&self) -> bool {
        let group = self.group.as_ref().is_none_or(|group| group.is_open());
        self.person.is_contact() && self.trouble().is_none() && group
    }

    /// Writes what is stored.
    pub fn save(&self, batch: &mut Batch) {
        self.kept.save(self.id, batch);
    }
}

/// One person's name, or an empty text: as it was stored before there were rooms of several.
mod person {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use subrosa_shared::id::AccountName;

    pub fn serialize<S: Serializer>(with: &Option<AccountName>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(with.as_ref().map_or("", AccountName::as_str))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<AccountName>, D::Error> {
        let name = String::deserialize(from)?;
        if name.is_empty() {
            return Ok(None);
        }
        AccountName::try_from(name).map(Some).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_with_one_person_is_stored_as_before_and_a_room_of_several_without_a_name() {
        let kept = |with: Option<&str>| Kept {
            with: with.and_then(|name| AccountName::parse(name).ok()),
            peer: None,
            changed: None,
            lines: 3,
            read: 2,
            unread: 1,
            muted: false,
            last: Millis(9),
        };
        for (with, bytes) in [
            (Some("ben"), &[3, b'b', b'e', b'n', 0, 0, 3, 2, 1, 0, 9][..]),
            (None, &[0, 0, 0, 3, 2, 1, 0, 9][..]),
        ] {
            let kept = kept(with);
            assert_eq!(postcard::to_stdvec(&kept).expect("plain"), bytes);
            assert_eq!(postcard::from_bytes::<Kept>(bytes), Ok(kept));
        }
    }
}
