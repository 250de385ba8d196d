//! What is thought of a person here: verified or not, their name in this client, whether they are let in.
//!
//! All of it stays on this account's own disk; nobody is told.

use serde::{Deserialize, Serialize};
use subrosa_shared::id::RoomId;
use subrosa_shared::store::{Batch, Table};

/// Room id → version (1) ‖ [`Person`]. No entry: a contact of whom nothing more is known.
pub const PEOPLE: Table = Table { byte: 0x28, name: "people" };
/// Room id → the keys of its person that were refused, the newest last. No entry: none.
pub const REFUSED: Table = Table { byte: 0x35, name: "refused keys" };

/// One person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The identity key whose safety number was compared and is the same on both ends.
    pub verified: Option<[u8; 32]>,
    /// The identity key whose safety number was compared and is not: nothing is sent to it.
    pub doubted: Option<[u8; 32]>,
    /// Own name for them.
    pub petname: Option<String>,
    /// Whether they were let in.
    pub standing: Standing,
    /// Nothing of theirs is let in and nothing goes out.
    pub blocked: bool,
    /// Bytes of their messages that are kept while they wait to be let in.
    pub held: u32,
    /// How many of their messages were left out while they waited to be let in.
    pub missed: u32,
}

/// Whether somebody was let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Standing {
    /// We wrote to them, added or accepted them.
    #[default]
    Contact,
    /// They wrote first: waits for accept, decline or block, and learns nothing until then.
    Request,
}

/// Why nothing goes out to a person before a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// They have another key than the pinned one.
    Changed,
    /// The relay shows another list of their devices than the one that was seen, under the pinned key.
    Forked,
    /// The safety numbers differ.
    Doubted,
}

/// So many refused keys of a person are remembered, the newest; an older one is an alarm again.
pub const REFUSED_MAX: usize = 8;
/// The longest own name for somebody, in characters.
pub const PETNAME_MAX: usize = 32;

impl Person {
    /// What [`Person::save`] wrote.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => postcard::from_bytes(rest).ok(),
            _ => None,
        }
    }

    /// Writes it, or forgets what says nothing.
    pub fn save(&self, room: RoomId, batch: &mut Batch) {
        if *self == Self::default() {
            batch.delete(PEOPLE, room.0);
            return;
        }
        let mut value = vec![VERSION];
        value.extend(postcard::to_stdvec(self).expect("a person serialises: plain fields only"));
        batch.put(PEOPLE, room.0, value);
    }

    /// Let in, and not blocked: hears receipts, typing, presence and rings.
    pub fn is_contact(&self) -> bool {
        self.standing == Standing::Contact && !self.blocked
    }

    /// Waits to be let in.
    pub fn is_request(&self) -> bool {
        self.standing == Standing::Request && !self.blocked
    }
}

const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use subrosa_shared::store::Write;

    #[test]
    fn what_was_saved_is_read_and_what_says_nothing_is_forgotten() {
        let person = Person { petname: Some("mum".into()), blocked: true, ..Person::default() };
        let mut batch = Batch::default();
        person.save(RoomId([1; 16]), &mut batch);
        let Some(Write::Put(_, _, value)) = batch.records.first() else { panic!("a put") };
        assert_eq!(Person::read(value), Some(person));
        assert_eq!(Person::read(&[2, 0]), None, "a newer one");
        let mut batch = Batch::default();
        Person::default().save(RoomId([1; 16]), &mut batch);
        assert!(matches!(batch.records.first(), Some(Write::Delete(..))));
    }
}
