//! Which envelopes of a sender were taken already, so that a repeat is not stored twice.
//!
//! On disk they lie in rows of some each, in the order in which they came; for who sends they are in memory
//! too. One that was taken with a group is known at once, and forgotten with the group when it fails.

use super::{PAGE, bad_key, numbered, seq_of};
use crate::accounts::{decode, encode};
use crate::mailbox::{REPEAT_MAX, REPEAT_MS};
use crate::staged::Staged;
use std::collections::{BTreeSet, HashMap, VecDeque};
use subrosa_shared::id::{DeviceId, EnvelopeId};
use subrosa_shared::store::{self, Batch, Kv, Order, Table, prefix_end};
use subrosa_shared::time::Millis;

/// What was taken, in memory for some senders.
#[derive(Default)]
pub(super) struct Repeats {
    senders: HashMap<DeviceId, Sender>,
    /// Ids of all of them.
    held: usize,
    /// Counts uses.
    clock: u64,
    /// Rows that the running group changed.
    changed: BTreeSet<(DeviceId, u64)>,
    /// Senders of the running group.
    group: BTreeSet<DeviceId>,
}

/// Everything that is known of one sender.
#[derive(Default)]
struct Sender {
    ids: HashMap<EnvelopeId, Millis>,
    rows: VecDeque<Row>,
    /// The number of the first row.
    first: u64,
    used: u64,
}

/// When they came, and their ids.
type Row = Vec<(Millis, EnvelopeId)>;

pub(super) const TAKEN: Table = Table { byte: b'n', name: "repeats: sender ‖ number → Row" };

/// Ids in one row: it is written again with each group until it is full.
pub(super) const IN_ROW: usize = 32;

/// Ids that are in memory; above that the senders go that have not sent for longest, those of the running group
/// too. One sender's more are there for a moment.
const HELD: usize = 1 << 17;

impl Repeats {
    /// Whether that sender's envelope was taken within the time in which repeats come.
    pub(super) fn knows(
        &mut self,
        records: &mut Staged,
        from: DeviceId,
        id: EnvelopeId,
        wall: Millis,
    ) -> Result<bool, store::Error> {
        let sender = self.sender(records, from)?;
        Ok(sender.ids.get(&id).is_some_and(|at| is_fresh(*at, wall)))
    }

    /// Remembers one that is taken, and forgets what is older than any repeat.
    pub(super) fn note(
        &mut self,
        records: &mut Staged,
        from: DeviceId,
        id: EnvelopeId,
        wall: Millis,
    ) -> Result<(), store::Error> {
        let before = self.sender(records, from)?.ids.len();
        self.group.insert(from);
        let Some(sender) = self.senders.get_mut(&from) else { return Ok(()) };
        if sender.rows.back().is_none_or(|row| row.len() >= IN_ROW) {
            sender.rows.push_back(Vec::with_capacity(IN_ROW));
        }
        if let Some(row) = sender.rows.back_mut() {
            row.push((wall, id));
        }
        sender.ids.insert(id, wall);
        self.changed.insert((from, sender.first + sender.rows.len() as u64 - 1));
        while sender.rows.len() > 1 {
            let old = |row: &Row| row.last().is_none_or(|(at, _)| !is_fresh(*at, wall));
            if sender.ids.len() as u64 <= REPEAT_MAX && !sender.rows.front().is_some_and(old) {
                break;
            }
            for (at, id) in sender.rows.pop_front().unwrap_or_default() {
                // It may have come once more since.
                if sender.ids.get(&id) == Some(&at) {
                    sender.ids.remove(&id);
                }
            }
            records.delete(TAKEN, &numbered(from, sender.first));
            self.changed.remove(&(from, sender.first));
            sender.first += 1;
        }
        self.held = self.held + sender.ids.len() - before;
        Ok(())
    }

    /// Writes what the running group changed.
    pub(super) fn write(&mut self, records: &mut Staged) {
        for (from, number) in std::mem::take(&mut self.changed) {
            let row = self
                .senders
                .get(&from)
                .and_then(|sender| sender.rows.get(usize::try_from(number.checked_sub(sender.first)?).ok()?));
            if let Some(row) = row {
                records.put(TAKEN, &numbered(from, number), encode(row));
            }
        }
    }

    /// Forgets a sender, on disk too.
    pub(super) fn erase(&mut self, records: &mut Staged, from: DeviceId) -> Result<(), store::Error> {
        self.write(records);
        for (key, _) in records.scan(TAKEN, &from.0, &prefix_end(&from.0), usize::MAX)? {
            records.delete(TAKEN, &key);
        }
        self.forget(from);
        Ok(())
    }

    /// Drops rows of which all came longer ago than any repeat, a bounded piece of work from that key on; says
    /// where to go on, `None` at the end.
    pub(super) fn expire(
        &mut self,
        records: &mut Staged,
        wall: Millis,
        from: &[u8],
    ) -> Result<Option<Vec<u8>>, store::Error> {
        self.write(records);
        let rows = records.scan(TAKEN, from, &[], PAGE)?;
        let next = rows.last().filter(|_| rows.len() == PAGE).map(|(key, _)| [key.as_slice(), &[0]].concat());
        // A sender whose first rows go, and one of which a row stays: its numbers may have no gap.
        let (mut going, mut staying) = (None, None);
        for (key, value) in rows {
            let sender = DeviceId(*key.first_chunk().ok_or_else(bad_key)?);
            if staying == Some(sender) {
                continue;
            }
            let begins = going == Some(sender) || records.scan(TAKEN, &sender.0, &key, 1)?.is_empty();
            let row: Row = decode(&value, TAKEN.name)?;
            if !begins || row.last().is_some_and(|(at, _)| is_fresh(*at, wall)) {
                staying = Some(sender);
                continue;
            }
            going = Some(sender);
            records.delete(TAKEN, &key);
            // What is left is read when it sends again.
            self.forget(sender);
        }
        Ok(next)
    }

    /// The group is on disk, or was undone.
    pub(super) fn ended(&mut self, kept: bool) {
        self.changed.clear();
        let group = std::mem::take(&mut self.group);
        if !kept {
            // As it is on disk is read when they send again.
            group.iter().for_each(|from| self.forget(*from));
        }
        self.make_room();
    }

    /// Nothing may have changed that is not in the records.
    fn make_room(&mut self) {
        if self.held > HELD {
            let mut all: Vec<_> = self.senders.iter().map(|(from, sender)| (sender.used, *from)).collect();
            all.sort_unstable();
            for (_, from) in all {
                if self.held <= HELD / 2 {
                    break;
                }
                self.forget(from);
            }
        }
    }

    fn forget(&mut self, from: DeviceId) {
        if let Some(sender) = self.senders.remove(&from) {
            self.held -= sender.ids.len();
        }
    }

    fn sender(&mut self, records: &mut Staged, from: DeviceId) -> Result<&Sender, store::Error> {
        self.clock += 1;
        if !self.senders.contains_key(&from) {
            if self.held > HELD {
                // Who goes is read from there again, as it is in the running group, or as it was when that fails.
                self.write(records);
                self.make_room();
            }
            let sender = Sender::read(records, from)?;
            self.held += sender.ids.len();
            self.senders.insert(from, sender);
        }
        let sender = self.senders.entry(from).or_default();
        sender.used = self.clock;
        Ok(sender)
    }
}

impl Sender {
    fn read(records: &Staged, from: DeviceId) -> Result<Self, store::Error> {
        let mut sender = Self::default();
        let mut after = from.0.to_vec();
        loop {
            let page = records.scan(TAKEN, &after, &prefix_end(&from.0), PAGE)?;
            for (key, value) in &page {
                let row: Row = decode(value, TAKEN.name)?;
                if sender.rows.is_empty() {
                    sender.first = seq_of(key)?.0;
                }
                sender.ids.extend(row.iter().map(|(at, id)| (*id, *at)));
                sender.rows.push_back(row);
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE => after = [last.as_slice(), &[0]].concat(),
                _ => return Ok(sender),
            }
        }
    }
}

fn is_fresh(at: Millis, wall: Millis) -> bool {
    wall.0.saturating_sub(at.0) <= REPEAT_MS
}

/// What stores of schema 1 know of repeats: a row for each id, one for its place in order, and which places
/// there are. [`convert`] makes rows of some each of them.
mod before {
    use super::Table;

    pub(super) const SEEN: Table = Table { byte: b'i', name: "repeats: sender ‖ envelope id → ()" };
    pub(super) const ORDER: Table =
        Table { byte: b'o', name: "repeats in order: sender ‖ number → (time, envelope id)" };
    pub(super) const KNOWN: Table = Table { byte: b'k', name: "repeats: sender → first and next number" };
}

/// Brings what a store of schema 1 knows of repeats into the form of this one; each sender at once, so that
/// it can be cut off anywhere and run again.
///
/// # Errors
/// Those of the store.
pub(crate) fn convert(kv: &dyn Kv) -> Result<(), store::Error> {
    while let Some((sender, _)) = kv.scan(before::KNOWN, &[], &[], Order::Forward, 1)?.pop() {
        let mut batch = Batch::default();
        batch.delete(before::KNOWN, sender.clone());
        let end = prefix_end(&sender);
        let mut all = Row::new();
        for (key, value) in kv.scan(before::ORDER, &sender, &end, Order::Forward, usize::MAX)? {
            // Passwords lie under the same letter; their keys are names.
            if key.len() == 24 {
                all.push(decode(&value, before::ORDER.name)?);
                batch.delete(before::ORDER, key);
            }
        }
        for (key, _) in kv.scan(before::SEEN, &sender, &end, Order::Forward, usize::MAX)? {
            batch.delete(before::SEEN, key);
        }
        for (number, row) in (0u64..).zip(all.chunks(IN_ROW)) {
            let key = [sender.as_slice(), &number.to_be_bytes()].concat();
            batch.put(TAKEN, key, encode(&row.to_vec()));
        }
        kv.commit(&batch.records)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use subrosa_shared::store::memory::Memory;

    const ADA: DeviceId = DeviceId([1; 16]);

    fn id(number: u64) -> EnvelopeId {
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&number.to_be_bytes());
        EnvelopeId(bytes)
    }

    /// A store, what is staged over it, and what is in memory: nothing was taken yet.
    fn fresh() -> (Arc<Memory>, Staged, Repeats) {
        let kv = Arc::new(Memory::default());
        (kv.clone(), Staged::new(kv), Repeats::default())
    }

    /// Takes these in one group.
    fn take(repeats: &mut Repeats, records: &mut Staged, ids: std::ops::Range<u64>, wall: u64) {
        for number in ids {
            repeats.note(records, ADA, id(number), Millis(wall)).expect("memory");
        }
        repeats.write(records);
        records.commit().expect("memory");
        repeats.ended(true);
    }

    fn known(
        repeats: &mut Repeats,
        records: &mut Staged,
        among: std::ops::Range<u64>,
        wall: u64,
    ) -> Vec<u64> {
        among
            .filter(|number| repeats.knows(records, ADA, id(*number), Millis(wall)).expect("memory"))
            .collect()
    }

    #[test]
    fn what_was_taken_is_known_after_a_restart_and_until_its_time_is_over() {
        let (kv, mut records, mut repeats) = fresh();
        take(&mut repeats, &mut records, 0..50, 5);
        take(&mut repeats, &mut records, 50..70, 1000);
        for _ in 0..2 {
            assert_eq!(known(&mut repeats, &mut records, 0..99, 1000), Vec::from_iter(0..70));
            assert_eq!(known(&mut repeats, &mut records, 0..99, 6 + REPEAT_MS), Vec::from_iter(50..70));
            repeats = Repeats::default();
        }
        take(&mut repeats, &mut records, 70..71, 1001 + REPEAT_MS);
        assert_eq!(repeats.held, 71 - 64, "whole rows go");
        assert_eq!(kv.scan(TAKEN, &[], &[], Order::Forward, 9).expect("memory").len(), 1);
    }

    #[test]
    fn what_is_too_old_is_dropped_of_those_who_send_no_more_too() {
        let (kv, mut records, mut repeats) = fresh();
        take(&mut repeats, &mut records, 0..70, 5);
        for number in 0..PAGE as u64 * 2 {
            let mut sender = [7; 16];
            sender[8..].copy_from_slice(&number.to_be_bytes());
            repeats.note(&mut records, DeviceId(sender), id(1), Millis(5)).expect("memory");
        }
        take(&mut repeats, &mut records, 70..99, 1000);
        let rows = || kv.scan(TAKEN, &[], &[], Order::Forward, usize::MAX).expect("memory").len();
        let mut sweep = |wall: u64| {
            let mut from = Some(Vec::new());
            while let Some(at) = from {
                from = repeats.expire(&mut records, Millis(wall), &at).expect("memory");
                records.commit().expect("memory");
                repeats.ended(true);
            }
            assert_eq!(
                known(&mut repeats, &mut records, 64..200, 1000),
                known(&mut Repeats::default(), &mut records, 64..200, 1000),
                "in memory and on disk is the same"
            );
        };
        sweep(5 + REPEAT_MS);
        assert_eq!(rows(), 4 + PAGE * 2);
        sweep(6 + REPEAT_MS);
        assert_eq!(rows(), 2, "those with something newer stay");
        sweep(1001 + REPEAT_MS);
        assert_eq!(rows(), 0);
        // Numbers begin again.
        take(&mut repeats, &mut records, 99..150, 2000 + REPEAT_MS);
        repeats = Repeats::default();
        let wall = 2000 + REPEAT_MS;
        assert_eq!(known(&mut repeats, &mut records, 0..200, wall), Vec::from_iter(99..150));
        assert_eq!(repeats.held, 51);
    }

    #[test]
    fn rows_behind_one_that_stays_stay() {
        let (kv, mut records, mut repeats) = fresh();
        take(&mut repeats, &mut records, 0..32, REPEAT_MS);
        // The clock was set back.
        take(&mut repeats, &mut records, 32..64, 5);
        for from in [Vec::new(), numbered(ADA, 1)] {
            repeats.expire(&mut records, Millis(6 + REPEAT_MS), &from).expect("memory");
            records.commit().expect("memory");
            assert_eq!(kv.scan(TAKEN, &[], &[], Order::Forward, 9).expect("memory").len(), 2);
        }
    }

    #[test]
    fn a_sender_that_is_erased_leaves_nothing() {
        let (kv, mut records, mut repeats) = fresh();
        take(&mut repeats, &mut records, 0..70, 5);
        // With what the running group took.
        repeats.note(&mut records, ADA, id(70), Millis(5)).expect("memory");
        repeats.erase(&mut records, ADA).expect("memory");
        take(&mut repeats, &mut records, 0..0, 5);
        assert_eq!(kv.scan(TAKEN, &[], &[], Order::Forward, 9).expect("memory").len(), 0);
        assert_eq!(known(&mut repeats, &mut records, 0..99, 5), [0u64; 0]);
        assert_eq!(repeats.held, 0);
    }

    #[test]
    fn no_more_are_known_than_a_bound() {
        let (_, mut records, mut repeats) = fresh();
        take(&mut repeats, &mut records, 0..REPEAT_MAX + 5, 5);
        for _ in 0..2 {
            let known = known(&mut repeats, &mut records, 0..REPEAT_MAX + 5, 5);
            assert!(known.len() as u64 <= REPEAT_MAX && known.len() as u64 > REPEAT_MAX - IN_ROW as u64);
            assert_eq!(known.last(), Some(&(REPEAT_MAX + 4)));
            repeats = Repeats::default();
        }
    }

    #[test]
    fn a_group_that_failed_is_forgotten() {
        let (_, mut records, mut repeats) = fresh();
        take(&mut repeats, &mut records, 0..40, 5);
        for number in 40..80 {
            repeats.note(&mut records, ADA, id(number), Millis(6)).expect("memory");
        }
        assert_eq!(known(&mut repeats, &mut records, 0..99, 6), Vec::from_iter(0..80));
        repeats.ended(false);
        assert_eq!(known(&mut repeats, &mut records, 0..99, 6), Vec::from_iter(0..40));
        assert_eq!(repeats.held, 40);
    }

    #[test]
    fn senders_of_long_ago_make_room_in_memory_and_are_read_again() {
        let (_, mut records, mut repeats) = fresh();
        let sender = |number: u8| DeviceId([number; 16]);
        for number in 1..=70 {
            for at in 0..REPEAT_MAX - 10 {
                repeats.note(&mut records, sender(number), id(at), Millis(5)).expect("memory");
            }
            repeats.write(&mut records);
            records.commit().expect("memory");
            repeats.ended(true);
            assert!(repeats.held <= HELD);
        }
        assert!(!repeats.senders.contains_key(&sender(1)) && repeats.senders.contains_key(&sender(70)));
        assert!(repeats.knows(&mut records, sender(1), id(7), Millis(5)).expect("memory"));
    }

    #[test]
    fn many_senders_of_one_group_are_not_all_in_memory() {
        let kv = Arc::new(Memory::default());
        let sender = |number: u8| DeviceId([number; 16]);
        let mut batch = Batch::default();
        let ids: Row = (0..REPEAT_MAX).map(|number| (Millis(5), id(number))).collect();
        for from in (1..=70).map(sender) {
            for (number, row) in (0..).zip(ids.chunks(IN_ROW)) {
                batch.put(TAKEN, numbered(from, number), encode(&row.to_vec()));
            }
        }
        kv.commit(&batch.records).expect("memory");
        let (mut repeats, mut records) = (Repeats::default(), Staged::new(kv.clone()));
        let (fresh, wall) = (id(REPEAT_MAX), Millis(6));
        for kept in [false, true] {
            for from in (1..=70).map(sender) {
                assert!(!repeats.knows(&mut records, from, fresh, wall).expect("memory"));
                repeats.note(&mut records, from, fresh, wall).expect("memory");
                assert!(repeats.held <= HELD + REPEAT_MAX as usize);
            }
            assert!(!repeats.senders.contains_key(&sender(1)));
            for known in [fresh, id(REPEAT_MAX - 1)] {
                assert!(repeats.knows(&mut records, sender(1), known, wall).expect("memory"));
            }
            repeats.write(&mut records);
            match kept {
                true => records.commit().expect("memory"),
                // As after a group that failed.
                false => records = Staged::new(kv.clone()),
            }
            repeats.ended(kept);
        }
        let ids = repeats.senders.values().map(|sender| sender.ids.len());
        assert_eq!(repeats.held, ids.sum::<usize>());
        let mut again = Repeats::default();
        for from in (1..=70).map(sender) {
            assert!(again.knows(&mut records, from, fresh, wall).expect("memory"));
            assert!(!again.knows(&mut records, from, id(0), wall).expect("memory"), "whole rows go");
        }
    }

    #[test]
    fn what_the_first_schema_knew_is_known() {
        let kv = Arc::new(Memory::default());
        let mut batch = Batch::default();
        for number in 0..100u64 {
            batch.put(before::SEEN, [ADA.0, id(number).0].concat(), Vec::new());
            batch.put(before::ORDER, numbered(ADA, 300 + number), encode(&(Millis(number), id(number))));
        }
        batch.put(before::KNOWN, ADA.0, encode(&(300u64, 400u64)));
        batch.put(before::ORDER, *b"a name", b"a password".to_vec());
        kv.commit(&batch.records).expect("memory");
        convert(&*kv).expect("converts");
        convert(&*kv).expect("has nothing to do");
        let mut records = Staged::new(kv.clone());
        assert_eq!(known(&mut Repeats::default(), &mut records, 0..200, 100), Vec::from_iter(0..100));
        let left = |table| kv.scan(table, &[], &[], Order::Forward, 999).expect("memory").len();
        assert_eq!((left(before::SEEN), left(before::KNOWN), left(before::ORDER)), (0, 0, 1));
    }
}
