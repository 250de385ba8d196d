//! Receipts that came before a copy of their line: another own device wrote it, and tells of it on another way.

use super::talk::Talk;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use subrosa_shared::content::{Content, Mark};
use subrosa_shared::id::{AccountName, MessageId};
use subrosa_shared::store::{Batch, Error, Order, Store, Table};
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

impl Early {
    fn save(&self, id: &MessageId, batch: &mut Batch) {
        let value = postcard::to_stdvec(self).expect("a receipt serialises: plain fields only");
        batch.put(MARKS, id.0, value);
    }
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
        // What was done to a line is receipted too, and is no line.
        let lines = ids.iter().copied().filter(|id| id.under(&own) == *id && !self.was_act(id));
        for id in lines.collect::<Vec<_>>() {
            let known = self.marks.get(&id).filter(|early| early.who == *who).map(|early| early.read);
            if known.is_none() {
                self.makes_place(who);
            }
            let read = *mark == Mark::Read || known == Some(true);
            let early = Early { who: who.clone(), read, at: now.wall };
            early.save(&id, &mut self.batch);
            self.marks.insert(id, early);
        }
    }

    /// Of one person's, and of all, the oldest goes for one more.
    fn makes_place(&mut self, who: &AccountName) {
        let full = self.marks.values().filter(|early| early.who == *who).count() >= THEIRS_MAX;
        if full || self.marks.len() >= MARKS_MAX {
            let waits = self.marks.iter().filter(|(_, early)| !full || early.who == *who);
            if let Some(oldest) = waits.min_by_key(|(_, early)| early.at).map(|(id, _)| *id) {
                self.unmarked(&oldest);
            }
        }
    }

    /// Nothing waits under that id.
    pub(super) fn unmarked(&mut self, id: &MessageId) {
        if self.marks.remove(id).is_some() {
            self.batch.delete(MARKS, id.0);
        }
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

    /// Nobody waits for ever. A clock that ran ahead and was set back keeps nothing longer than what came now.
    pub(super) fn expire_marks(&mut self, now: Now) {
        if self.believes(now) {
            for (id, early) in self.marks.iter_mut().filter(|(_, early)| early.at > now.wall) {
                early.at = now.wall;
                early.save(id, &mut self.batch);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::tests::alone;
    use crate::effect::Effect;

    #[test]
    fn of_one_persons_receipts_the_oldest_goes_and_none_waits_longer_because_the_clock_was_ahead() {
        let now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };
        let mut talk = alone(now);
        let [ben, cleo] = ["ben", "cleo"].map(|name| AccountName::parse(name).expect("valid"));
        let keeps = |talk: &mut Talk, id: u8, who: &AccountName, at: u64| {
            talk.makes_place(who);
            talk.marks.insert(MessageId([id; 16]), Early { who: who.clone(), read: false, at: Millis(at) });
        };
        keeps(&mut talk, 200, &cleo, now.wall.0 - 1);
        for id in 0..=128 {
            keeps(&mut talk, id, &ben, now.wall.0 + 1 + u64::from(id));
        }
        assert_eq!(talk.marks.len(), THEIRS_MAX + 1);
        assert!(!talk.marks.contains_key(&MessageId([0; 16])));
        talk.expire_marks(now);
        assert!(
            talk.marks.values().any(|early| early.at > now.wall),
            "whether the clock is right is not known"
        );
        talk.relay_clock = Some(now);
        talk.expire_marks(now);
        for effect in talk.settle() {
            if let Effect::Commit(batch) = effect {
                talk.store().commit(&batch).expect("memory");
            }
        }
        let kept = load(talk.store()).expect("memory");
        assert_eq!(kept.len(), THEIRS_MAX);
        assert!(kept.values().all(|early| early.at == now.wall));
        let mono = Millis(PATIENCE.as_millis() as u64);
        talk.expire_marks(Now { wall: now.wall.plus(PATIENCE), mono });
        assert!(talk.marks.is_empty());
    }
}
