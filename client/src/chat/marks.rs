//! Receipts that came before a copy of their line: another own device wrote it, and tells of it on another way.

use super::talk::Talk;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use subrosa_shared::content::{Content, Mark};
use subrosa_shared::id::{AccountName, MessageId};
use subrosa_shared::store::{Error, Order, Store, Table};
use subrosa_shared::time::{Millis, Now};

/// `message id` → [`Early`].
pub(in crate::chat) const MARKS: Table = Table { byte: 0x29, name: "receipts before their line" };

/// By message.
pub(super) type Marks = BTreeMap<MessageId, Early>;

/// A receipt that waits for its line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Early {
    /// Whose it is.
    who: AccountName,
    /// They have read it, too.
    read: bool,
    at: Millis,
}

/// Those that wait; the oldest goes for one more.
const MARKS_MAX: usize = 1024;
/// Those of one person.
const THEIRS_MAX: usize = 128;
/// How long one waits.
const PATIENCE: Duration = Duration::from_secs(30 * 24 * 3600);

pub(super) fn load(store: &Store) -> Result<Marks, Error> {
    let mut marks = Marks::new();
    for (key, value) in store.records.scan(MARKS, &[], &[], Order::Forward, usize::MAX)? {
        if let (Ok(id), Ok(early)) = (key.try_into(), postcard::from_bytes(&value)) {
            marks.insert(MessageId(id), early);
        }
    }
    Ok(marks)
}

impl Talk {
    /// Keeps somebody's receipts for what may have been written on another own device.
    pub(super) fn marked_early(&mut self, who: &AccountName, content: &Content, now: Now) {
        let Content::Receipt { ids, mark } = content else { return };
        if self.siblings().is_empty() {
            return;
        }
        let own = self.lists.own.root().identity;
        for id in ids.iter().copied().filter(|id| id.under(&own) == *id) {
            let known = self.marks.get(&id).filter(|early| early.who == *who).map(|early| early.read);
            if known.is_none() && !self.makes_place(who) {
                return;
            }
            let read = *mark == Mark::Read || known == Some(true);
            let early = Early { who: who.clone(), read, at: now.wall };
            let value = postcard::to_stdvec(&early).expect("a receipt serialises: plain fields only");
            self.batch.put(MARKS, id.0, value);
            self.marks.insert(id, early);
        }
    }

    fn makes_place(&mut self, who: &AccountName) -> bool {
        if self.marks.values().filter(|early| early.who == *who).count() >= THEIRS_MAX {
            return false;
        }
        if self.marks.len() >= MARKS_MAX
            && let Some(oldest) = self.marks.iter().min_by_key(|(_, early)| early.at).map(|(id, _)| *id)
        {
            self.marks.remove(&oldest);
            self.batch.delete(MARKS, oldest.0);
        }
        true
    }

    /// A line of another own device's is here: what came of it before counts now.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) fn marked_before(&mut self, with: &AccountName, id: MessageId) -> Result<(), Error> {
        let Some(early) = self.marks.remove(&id) else { return Ok(()) };
        self.batch.delete(MARKS, id.0);
        if early.who != *with {
            return Ok(());
        }
        self.marked(id, if early.read { Mark::Read } else { Mark::Delivered })
    }

    /// Nobody waits for ever.
    pub(super) fn expire_marks(&mut self, now: Now) {
        let batch = &mut self.batch;
        self.marks.retain(|id, early| {
            let waits = now.wall.since(early.at) < PATIENCE;
            if !waits {
                batch.delete(MARKS, id.0);
            }
            waits
        });
    }
}
