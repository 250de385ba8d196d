//! A conversation with one person.

use super::attention::Attention;
use super::person::{Person, Trouble};
use super::profile::Portrait;
use super::timeline::Timeline;
use serde::{Deserialize, Serialize};
use subrosa_shared::id::{AccountName, RoomId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::store::{Batch, Table};
use subrosa_shared::time::Millis;

/// Room id → [`Kept`].
pub const ROOMS: Table = Table { byte: 0x20, name: "rooms" };
/// Room id → what was typed there and not sent, in UTF-8.
pub const DRAFTS: Table = Table { byte: 0x27, name: "drafts" };

/// What is stored of a room beside its lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The other person's account.
    pub with: AccountName,
    /// Their keys, pinned when first seen. `None`: the relay was not asked yet.
    pub peer: Option<Peer>,
    /// Keys that the relay or a message claims now and that are not the pinned ones: an alarm;
    /// nothing is sent until the person decides.
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
    /// What they say of themselves, stored apart.
    pub portrait: Portrait,
    /// What of it rings, and who called, stored apart.
    pub attention: Attention,
    /// Its lines.
    pub timeline: Timeline,
    /// The other person is connected, as far as they let us know.
    pub online: bool,
    /// They are typing, until this monotonic moment.
    pub typing: Option<Millis>,
    /// Where the unread line stands while the conversation is open: the position of the first line
    /// that was unread when it was opened.
    pub divider: Option<u64>,
}

impl Room {
    /// The name to show: the own one for them, else theirs for themselves where nobody else could be
    /// meant, else their account's.
    pub fn name(&self) -> &str {
        self.other_name().unwrap_or(self.kept.with.as_str())
    }

    /// Both names, where it matters who that really is.
    pub fn full_name(&self) -> String {
        match self.other_name() {
            Some(name) => format!("{name} ({})", self.kept.with),
            None => self.kept.with.to_string(),
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
            (Some(_), _) => Some(Trouble::Changed),
            (None, Some(peer)) if doubted(peer) => Some(Trouble::Doubted),
            _ => None,
        }
    }

    /// Whether something may go out to them.
    pub fn is_open(&self) -> bool {
        self.person.is_contact() && self.trouble().is_none()
    }

    /// Writes what is stored.
    pub fn save(&self, batch: &mut Batch) {
        self.kept.save(self.id, batch);
    }
}
