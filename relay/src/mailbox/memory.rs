//! Mailboxes in memory: for tests, and for relays that live as long as a demo.

use super::{Error, Mailbox, Old, Put, Quota, REPEAT_MAX, REPEAT_MS, Status, Totals, Waiting};
use crate::heads;
use crate::staged::Staged;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use subrosa_shared::id::{AccountName, DeviceId, EnvelopeId, Seq};
use subrosa_shared::protocol::envelope::{Delivery, Keep, Outgoing};
use subrosa_shared::store;
use subrosa_shared::time::Millis;

/// Mailboxes in memory. Durable as long as the value lives.
pub struct Memory {
    quota: Quota,
    boxes: BTreeMap<DeviceId, Entries>,
    seen: BTreeMap<DeviceId, Seen>,
    bytes: u64,
    bodies: u64,
    heads: Staged,
}

#[derive(Default)]
struct Entries {
    status: Status,
    entries: VecDeque<Entry>,
}

struct Entry {
    seq: Seq,
    from: DeviceId,
    name: AccountName,
    id: EnvelopeId,
    keep: Keep,
    wall: Millis,
    head: Vec<u8>,
    body: Arc<Vec<u8>>,
}

/// What a sender sent lately.
#[derive(Default)]
struct Seen {
    ids: BTreeSet<EnvelopeId>,
    order: VecDeque<(Millis, EnvelopeId)>,
}

impl Memory {
    /// Empty ones.
    pub fn new(quota: Quota) -> Self {
        let heads = Staged::new(Arc::new(store::memory::Memory::default()));
        Self { quota, boxes: BTreeMap::new(), seen: BTreeMap::new(), bytes: 0, bodies: 0, heads }
    }

    fn drop_oldest(&mut self, device: DeviceId) {
        let Some(mailbox) = self.boxes.get_mut(&device) else { return };
        let Some(entry) = mailbox.entries.pop_front() else { return };
        mailbox.status.acked = mailbox.status.acked.max(entry.seq);
        mailbox.status.count -= 1;
        mailbox.status.bytes -= entry.size();
        self.bytes -= entry.head.len() as u64;
        if Arc::strong_count(&entry.body) == 1 && !entry.body.is_empty() {
            self.bytes -= entry.body.len() as u64;
            self.bodies -= 1;
        }
    }
}

impl Mailbox for Memory {
    fn put(
        &mut self,
        from: DeviceId,
        name: &AccountName,
        envelope: &Outgoing,
        wall: Millis,
    ) -> Result<Put, Error> {
        let stored = envelope.keep == Keep::Stored;
        if stored && self.seen.get(&from).is_some_and(|seen| seen.ids.contains(&envelope.id)) {
            return Ok(Put::Repeat);
        }
        let most = self.quota.heads;
        let shift = envelope.moves.as_ref().map(|m| heads::check(&self.heads, name, m, most, wall));
        let shift = shift.transpose()?;
        let heads: u64 = envelope.to.iter().map(|head| head.bytes.len() as u64).sum();
        if self.bytes + heads + envelope.body.len() as u64 > self.quota.total {
            return Err(Error::StorageFull);
        }
        let mut full = Vec::new();
        for head in &envelope.to {
            let status = self.status(head.to)?;
            let size = (head.bytes.len() + envelope.body.len()) as u64;
            if status.count >= self.quota.envelopes || status.bytes + size > self.quota.bytes {
                full.push(head.to);
            }
        }
        if !full.is_empty() {
            return Err(Error::MailboxFull(full));
        }
        if let Some(shift) = shift {
            heads::shift(&mut self.heads, shift);
        }
        let body = Arc::new(envelope.body.clone());
        for head in &envelope.to {
            let mailbox = self.boxes.entry(head.to).or_default();
            mailbox.status.newest.0 += 1;
            let entry = Entry {
                seq: mailbox.status.newest,
                from,
                name: name.clone(),
                id: envelope.id,
                keep: envelope.keep,
                wall,
                head: head.bytes.clone(),
                body: body.clone(),
            };
            mailbox.status.count += 1;
            mailbox.status.bytes += entry.size();
            mailbox.entries.push_back(entry);
        }
        self.bytes += heads + body.len() as u64;
        self.bodies += u64::from(!body.is_empty());
        if stored {
            self.seen.entry(from).or_default().note(envelope.id, wall);
        }
        Ok(Put::Stored)
    }

    fn after(&self, device: DeviceId, seq: Seq, count: usize, bytes: usize) -> Result<Vec<Waiting>, Error> {
        let Some(mailbox) = self.boxes.get(&device) else { return Ok(Vec::new()) };
        let start = mailbox.entries.partition_point(|entry| entry.seq <= seq);
        let mut waiting: Vec<Waiting> = Vec::new();
        let mut size = 0;
        for entry in mailbox.entries.range(start..).take(count) {
            let next = entry.waiting();
            size += next.size();
            if size > bytes && !waiting.is_empty() {
                break;
            }
            waiting.push(next);
        }
        Ok(waiting)
    }

    fn ack(&mut self, device: DeviceId, seq: Seq) -> Result<(), Error> {
        while self.boxes.get(&device).and_then(|b| b.entries.front()).is_some_and(|entry| entry.seq <= seq) {
            self.drop_oldest(device);
        }
        if let Some(mailbox) = self.boxes.get_mut(&device) {
            let status = &mut mailbox.status;
            status.acked = status.acked.max(seq.min(status.newest));
        }
        Ok(())
    }

    fn status(&self, device: DeviceId) -> Result<Status, Error> {
        Ok(self.boxes.get(&device).map(|mailbox| mailbox.status).unwrap_or_default())
    }

    fn totals(&self) -> Result<Totals, Error> {
        Ok(Totals { bytes: self.bytes, bodies: self.bodies })
    }

    fn expire(&mut self, old: Old<'_>, from: Option<DeviceId>) -> Result<(u64, Option<DeviceId>), Error> {
        let next = match from {
            Some(from) => self.boxes.range((Excluded(from), Unbounded)).next(),
            None => self.boxes.iter().next(),
        };
        let Some((&device, _)) = next else { return Ok((0, None)) };
        let mut dropped = 0;
        while self.boxes.get(&device).and_then(|b| b.entries.front()).is_some_and(|e| old(e.wall)) {
            self.drop_oldest(device);
            dropped += 1;
        }
        Ok((dropped, Some(device)))
    }

    fn expire_heads(&mut self, old: Old<'_>, from: &[u8]) -> Result<(u64, Option<Vec<u8>>), Error> {
        Ok(heads::expire(&mut self.heads, old, from)?)
    }

    fn forget(&mut self, sender: DeviceId) -> Result<(), Error> {
        self.seen.remove(&sender);
        Ok(())
    }

    fn expire_repeats(&mut self, wall: Millis, _: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let fresh = |(at, _): &(Millis, EnvelopeId)| wall.0.saturating_sub(at.0) <= REPEAT_MS;
        self.seen.retain(|_, seen| seen.order.back().is_some_and(fresh));
        Ok(None)
    }

    fn bound(&mut self, quota: Quota) {
        self.quota = quota;
    }

    fn append(&mut self) -> Result<(), store::Error> {
        self.heads.append()
    }
}

impl Entry {
    fn size(&self) -> u64 {
        (self.head.len() + self.body.len()) as u64
    }

    fn waiting(&self) -> Waiting {
        let delivery = Delivery {
            seq: self.seq,
            from: self.from,
            name: self.name.clone(),
            id: self.id,
            head: self.head.clone(),
            body: self.body.to_vec(),
        };
        Waiting { delivery, keep: self.keep }
    }
}

impl Seen {
    fn note(&mut self, id: EnvelopeId, wall: Millis) {
        self.ids.insert(id);
        self.order.push_back((wall, id));
        while self.order.front().is_some_and(|(at, _)| {
            self.order.len() as u64 > REPEAT_MAX || wall.0.saturating_sub(at.0) > REPEAT_MS
        }) {
            if let Some((_, old)) = self.order.pop_front() {
                self.ids.remove(&old);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_contract() {
        crate::mailbox::contract::check(&mut |quota| Box::new(Memory::new(quota)));
    }
}
