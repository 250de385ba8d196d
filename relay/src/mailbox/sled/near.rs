//! What came lately, in memory: whoever is connected is handed its envelopes from here and acknowledges them
//! soon, so that the store is rarely asked.
//!
//! Envelopes are in the records too. How mailboxes stand is written there with the running group, once for
//! all that happened in it. Everything here is forgotten when that group fails, and when it becomes too much.

use super::{BOXES, Entry, SUMS, Standing, Sums, read};
use crate::accounts::encode;
use crate::mailbox::Waiting;
use crate::staged::Staged;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use subrosa_shared::id::{DeviceId, Seq};
use subrosa_shared::protocol::envelope::Delivery;
use subrosa_shared::store;

/// What is in memory.
#[derive(Default)]
pub(super) struct Near {
    boxes: HashMap<DeviceId, Tail>,
    sums: Option<Sums>,
    /// Mailboxes that stand otherwise than the records say.
    changed: BTreeSet<DeviceId>,
    sums_changed: bool,
    /// Of the envelopes here.
    bytes: usize,
}

/// The end of one mailbox.
struct Tail {
    standing: Standing,
    /// Everything from this number on is here.
    from: Seq,
    entries: VecDeque<Held>,
}

/// An envelope.
struct Held {
    seq: Seq,
    entry: Entry,
    body: Arc<Vec<u8>>,
}

/// Bytes of envelopes that are here before all is forgotten.
pub(super) const HELD: usize = 8 << 20;

/// Mailboxes that are.
const BOXES_HELD: usize = 1 << 14;

impl Near {
    /// How a mailbox stands, for whoever changes it.
    pub(super) fn standing(&mut self, records: &Staged, device: DeviceId) -> Result<Standing, store::Error> {
        if let Some(tail) = self.boxes.get(&device) {
            return Ok(tail.standing);
        }
        let standing: Standing = read(records, BOXES, &device.0)?;
        let from = Seq(standing.newest.0.saturating_add(1));
        self.boxes.insert(device, Tail { standing, from, entries: VecDeque::new() });
        Ok(standing)
    }

    /// The same for whoever only looks, if it is here.
    pub(super) fn known(&self, device: DeviceId) -> Option<Standing> {
        self.boxes.get(&device).map(|tail| tail.standing)
    }

    /// Numbers of everything.
    pub(super) fn sums(&mut self, records: &Staged) -> Result<Sums, store::Error> {
        let sums = match self.sums {
            Some(sums) => sums,
            None => read(records, SUMS, &[])?,
        };
        self.sums = Some(sums);
        Ok(sums)
    }

    /// The same for whoever only looks, if they are here.
    pub(super) fn known_sums(&self) -> Option<Sums> {
        self.sums
    }

    /// A mailbox whose standing was asked for stands otherwise from here on, and so does everything.
    pub(super) fn change(&mut self, device: DeviceId, standing: Standing, sums: Sums) {
        if let Some(tail) = self.boxes.get_mut(&device) {
            tail.standing = standing;
            // Of what was erased nothing is left here.
            while tail.entries.front().is_some_and(|held| held.seq <= standing.acked) {
                self.bytes -= tail.entries.pop_front().map_or(0, |held| held.size());
            }
            self.changed.insert(device);
        }
        (self.sums, self.sums_changed) = (Some(sums), true);
    }

    /// An envelope that is the newest of its mailbox.
    pub(super) fn push(&mut self, device: DeviceId, seq: Seq, entry: Entry, body: Arc<Vec<u8>>) {
        if let Some(tail) = self.boxes.get_mut(&device) {
            let held = Held { seq, entry, body };
            self.bytes += held.size();
            tail.entries.push_back(held);
        }
    }

    /// Everything that waits in a mailbox, oldest first; `None` when not all of it is here.
    pub(super) fn all(&self, device: DeviceId) -> Option<impl Iterator<Item = (Seq, &Entry)>> {
        let tail =
            self.boxes.get(&device).filter(|tail| tail.from.0 <= tail.standing.acked.0.saturating_add(1))?;
        Some(tail.entries.iter().map(|held| (held.seq, &held.entry)))
    }

    /// What waits after `seq`, as [`crate::mailbox::Mailbox::after`]; `None` when not all of it is here.
    pub(super) fn after(
        &self,
        device: DeviceId,
        seq: Seq,
        count: usize,
        bytes: usize,
    ) -> Option<Vec<Waiting>> {
        let tail = self.boxes.get(&device).filter(|tail| tail.from.0 <= seq.0.saturating_add(1))?;
        let first = tail.entries.partition_point(|held| held.seq <= seq);
        let mut size = 0;
        let mut waiting = Vec::new();
        for held in tail.entries.range(first..).take(count) {
            size += held.entry.size();
            if size > bytes as u64 && !waiting.is_empty() {
                break;
            }
            waiting.push(held.waiting());
        }
        Some(waiting)
    }

    /// Writes what the running group changed.
    pub(super) fn write(&mut self, records: &mut Staged) {
        for device in std::mem::take(&mut self.changed) {
            if let Some(tail) = self.boxes.get(&device) {
                records.put(BOXES, &device.0, encode(&tail.standing));
            }
        }
        if std::mem::take(&mut self.sums_changed)
            && let Some(sums) = &self.sums
        {
            records.put(SUMS, &[], encode(sums));
        }
    }

    /// Bytes of the envelopes that are here.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.bytes
    }

    /// The group is in the records, or was undone.
    pub(super) fn ended(&mut self, kept: bool) {
        if !kept || self.bytes > HELD || self.boxes.len() > BOXES_HELD {
            *self = Self::default();
        }
    }
}

impl Held {
    fn size(&self) -> usize {
        self.entry.head.len() + self.body.len()
    }

    fn waiting(&self) -> Waiting {
        let Entry { from, name, id, keep, head, .. } = &self.entry;
        let (name, head, body) = (name.clone(), head.clone(), self.body.to_vec());
        Waiting { delivery: Delivery { seq: self.seq, from: *from, name, id: *id, head, body }, keep: *keep }
    }
}
