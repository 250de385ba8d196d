//! Mailboxes in a store on disk.

mod audit;
mod near;
mod repeats;

pub(crate) use audit::{audit, restored};
pub(crate) use repeats::convert;

use self::near::Near;
use self::repeats::Repeats;
use super::{Error, Mailbox, Old, Put, Quota, Status, Totals, Waiting};
use crate::accounts::{decode, encode};
use crate::heads;
use crate::staged::Staged;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use subrosa_shared::id::{AccountName, DeviceId, EnvelopeId, Seq};
use subrosa_shared::protocol::envelope::{Delivery, Keep, Outgoing};
use subrosa_shared::store::{self, Kv, Order, Table, prefix_end};
use subrosa_shared::time::Millis;

/// Mailboxes over a [`Kv`]. In memory are the running group, what came lately, and which envelopes were taken
/// already; a failed write leaves no trace in any of them.
pub struct Sled {
    records: Staged,
    near: Near,
    repeats: Repeats,
    quota: Quota,
}

/// How a mailbox stands; kept when it is empty too, since its numbers never start again.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Standing {
    newest: Seq,
    acked: Seq,
    count: u32,
    bytes: u64,
}

/// One recipient's part of an envelope.
#[derive(Serialize, Deserialize)]
struct Entry {
    from: DeviceId,
    name: AccountName,
    id: EnvelopeId,
    keep: Keep,
    wall: Millis,
    #[serde(with = "subrosa_shared::protocol::raw")]
    head: Vec<u8>,
    /// Number and length of the body; `None` for an empty one.
    body: Option<(u64, u32)>,
}

/// Numbers of everything.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Sums {
    bytes: u64,
    bodies: u64,
    next_body: u64,
}

const BOXES: Table = Table { byte: b'm', name: "mailboxes: device → Standing" };
const ENTRIES: Table = Table { byte: b'e', name: "envelopes: device ‖ seq → Entry" };
const BODIES: Table = Table { byte: b'b', name: "bodies: number → bytes" };
const REFS: Table = Table { byte: b'r', name: "references: body number → count" };
const SUMS: Table = Table { byte: b't', name: "sums: → Sums" };

/// Mailboxes that a store holds, and envelopes that wait in them, as far as they are on disk.
///
/// # Errors
/// Those of the store.
pub fn count<K: Kv + ?Sized>(kv: &K) -> Result<(u64, u64), store::Error> {
    let (mut mailboxes, mut waiting, mut from) = (0, 0, Vec::new());
    loop {
        let rows = kv.scan(BOXES, &from, &[], Order::Forward, PAGE)?;
        for (_, value) in &rows {
            let standing: Standing = decode(value, BOXES.name)?;
            mailboxes += 1;
            waiting += u64::from(standing.count);
        }
        match rows.last() {
            Some((last, _)) if rows.len() == PAGE => from = [last.as_slice(), &[0]].concat(),
            _ => return Ok((mailboxes, waiting)),
        }
    }
}

/// Rows read at once when mailboxes are emptied or searched.
const PAGE: usize = 256;

impl Sled {
    /// Over a store.
    pub fn new(kv: Arc<dyn Kv>, quota: Quota) -> Self {
        Self { records: Staged::new(kv), near: Near::default(), repeats: Repeats::default(), quota }
    }

    /// Whether a mailbox's first entry is old.
    fn begins_old(&self, device: DeviceId, standing: Standing, old: Old<'_>) -> Result<bool, store::Error> {
        if let Some(mut all) = self.near.all(device) {
            return Ok(all.next().is_some_and(|(_, entry)| old(entry.wall)));
        }
        let from = numbered(device, standing.acked.0.saturating_add(1));
        match self.records.scan(ENTRIES, &from, &prefix_end(&device.0), 1)?.first() {
            Some((_, value)) => Ok(old(decode::<Entry>(value, ENTRIES.name)?.wall)),
            None => Ok(false),
        }
    }

    /// Erases a mailbox's first entries for as long as `go` says so; returns how many.
    fn erase(
        &mut self,
        device: DeviceId,
        mut go: impl FnMut(Seq, &Entry) -> bool,
    ) -> Result<u64, store::Error> {
        let mut standing = self.near.standing(&self.records, device)?;
        let mut sums = self.near.sums(&self.records)?;
        let before = standing.count;
        let mut gone = Vec::new();
        let here = self.near.all(device).map(|all| {
            let some = all.take_while(|(seq, entry)| go(*seq, entry));
            gone.extend(some.map(|(seq, entry)| (seq, entry.part())));
        });
        if here.is_some() {
            self.take_away(device, &gone, &mut standing, &mut sums)?;
        } else {
            loop {
                // Nothing lies below, and looking there would pass all that was removed a moment ago.
                let from = numbered(device, standing.acked.0.saturating_add(1));
                let rows = self.records.scan(ENTRIES, &from, &prefix_end(&device.0), PAGE)?;
                gone.clear();
                for (key, value) in &rows {
                    let (seq, entry) = (seq_of(key)?, decode::<Entry>(value, ENTRIES.name)?);
                    if !go(seq, &entry) {
                        break;
                    }
                    gone.push((seq, entry.part()));
                }
                self.take_away(device, &gone, &mut standing, &mut sums)?;
                if gone.len() < PAGE {
                    break;
                }
            }
        }
        if standing.count < before {
            self.near.change(device, standing, sums);
        }
        Ok(u64::from(before - standing.count))
    }

    /// Removes entries, and what only they refer to.
    fn take_away(
        &mut self,
        device: DeviceId,
        gone: &[(Seq, Part)],
        standing: &mut Standing,
        sums: &mut Sums,
    ) -> Result<(), store::Error> {
        for (seq, part) in gone {
            self.records.delete(ENTRIES, &numbered(device, seq.0));
            standing.acked = standing.acked.max(*seq);
            standing.count = standing.count.saturating_sub(1);
            standing.bytes = standing.bytes.saturating_sub(part.size());
            sums.bytes = sums.bytes.saturating_sub(part.head);
            if let Some((body, length)) = part.body {
                self.release(body, length, sums)?;
            }
        }
        Ok(())
    }

    /// One reference less; the last one takes the body with it.
    fn release(&mut self, body: u64, length: u32, sums: &mut Sums) -> Result<(), store::Error> {
        let key = body.to_be_bytes();
        let refs: u32 = read(&self.records, REFS, &key)?;
        if refs > 1 {
            self.records.put(REFS, &key, encode(&(refs - 1)));
        } else {
            self.records.delete(REFS, &key);
            self.records.delete(BODIES, &key);
            sums.bytes = sums.bytes.saturating_sub(u64::from(length));
            sums.bodies = sums.bodies.saturating_sub(1);
        }
        Ok(())
    }
}

impl Mailbox for Sled {
    fn put(
        &mut self,
        from: DeviceId,
        name: &AccountName,
        envelope: &Outgoing,
        wall: Millis,
    ) -> Result<Put, Error> {
        if envelope.keep == Keep::Stored && self.repeats.knows(&mut self.records, from, envelope.id, wall)? {
            return Ok(Put::Repeat);
        }
        let most = self.quota.heads;
        let shift = envelope.moves.as_ref().map(|m| heads::check(&self.records, name, m, most, wall));
        let shift = shift.transpose()?;
        let mut sums = self.near.sums(&self.records)?;
        let heads: u64 = envelope.to.iter().map(|head| head.bytes.len() as u64).sum();
        sums.bytes += heads + envelope.body.len() as u64;
        if sums.bytes > self.quota.total {
            return Err(Error::StorageFull);
        }
        let mut standings = Vec::with_capacity(envelope.to.len());
        let mut full = Vec::new();
        for head in &envelope.to {
            let mut standing = self.near.standing(&self.records, head.to)?;
            standing.newest.0 += 1;
            standing.count += 1;
            standing.bytes += (head.bytes.len() + envelope.body.len()) as u64;
            if standing.count > self.quota.envelopes || standing.bytes > self.quota.bytes {
                full.push(head.to);
            }
            standings.push(standing);
        }
        if !full.is_empty() {
            return Err(Error::MailboxFull(full));
        }
        // Nothing has changed so far; from here on only a broken store can stop it, and that one
        // stops the relay before a commit.
        if let Some(shift) = shift {
            heads::shift(&mut self.records, shift);
        }
        if envelope.keep == Keep::Stored {
            self.repeats.note(&mut self.records, from, envelope.id, wall)?;
        }
        let body = (!envelope.body.is_empty()).then_some((sums.next_body, envelope.body.len() as u32));
        if let Some((number, _)) = body {
            self.records.put(BODIES, &number.to_be_bytes(), envelope.body.clone());
            self.records.put(REFS, &number.to_be_bytes(), encode(&(envelope.to.len() as u32)));
            sums.next_body += 1;
            sums.bodies += 1;
        }
        let shared = Arc::new(envelope.body.clone());
        for (head, standing) in envelope.to.iter().zip(standings) {
            let entry = Entry {
                from,
                name: name.clone(),
                id: envelope.id,
                keep: envelope.keep,
                wall,
                head: head.bytes.clone(),
                body,
            };
            self.records.put(ENTRIES, &numbered(head.to, standing.newest.0), encode(&entry));
            self.near.change(head.to, standing, sums);
            self.near.push(head.to, standing.newest, entry, shared.clone());
        }
        Ok(Put::Stored)
    }

    fn after(&self, device: DeviceId, seq: Seq, count: usize, bytes: usize) -> Result<Vec<Waiting>, Error> {
        if let Some(waiting) = self.near.after(device, seq, count, bytes) {
            return Ok(waiting);
        }
        let from = numbered(device, seq.0.saturating_add(1));
        let rows = self.records.scan(ENTRIES, &from, &prefix_end(&device.0), count)?;
        let mut waiting: Vec<Waiting> = Vec::new();
        let mut size = 0;
        for (key, value) in rows {
            let (seq, entry) = (seq_of(&key)?, decode::<Entry>(&value, ENTRIES.name)?);
            size += entry.size();
            if size > bytes as u64 && !waiting.is_empty() {
                break;
            }
            let body = match entry.body {
                None => Vec::new(),
                Some((number, _)) => self
                    .records
                    .get(BODIES, &number.to_be_bytes())?
                    .ok_or_else(|| store::Error::Damaged("an envelope's body is missing".into()))?,
            };
            let Entry { from, name, id, keep, head, .. } = entry;
            waiting.push(Waiting { delivery: Delivery { seq, from, name, id, head, body }, keep });
        }
        Ok(waiting)
    }

    fn ack(&mut self, device: DeviceId, seq: Seq) -> Result<(), Error> {
        self.erase(device, |at, _| at <= seq)?;
        let mut standing = self.near.standing(&self.records, device)?;
        let seq = seq.min(standing.newest);
        if seq > standing.acked {
            standing.acked = seq;
            let sums = self.near.sums(&self.records)?;
            self.near.change(device, standing, sums);
        }
        Ok(())
    }

    fn status(&self, device: DeviceId) -> Result<Status, Error> {
        let standing = self.near.known(device).map_or_else(|| read(&self.records, BOXES, &device.0), Ok)?;
        let Standing { newest, acked, count, bytes } = standing;
        Ok(Status { newest, acked, count, bytes })
    }

    fn totals(&self) -> Result<Totals, Error> {
        let sums = self.near.known_sums().map_or_else(|| read(&self.records, SUMS, &[]), Ok)?;
        let Sums { bytes, bodies, .. } = sums;
        Ok(Totals { bytes, bodies })
    }

    fn expire(&mut self, old: Old<'_>, from: Option<DeviceId>) -> Result<(u64, Option<DeviceId>), Error> {
        let mut after = from.map(|device| device.0.to_vec()).unwrap_or_default();
        if from.is_some() {
            after.push(0);
        }
        self.near.write(&mut self.records);
        let rows = self.records.scan(BOXES, &after, &[], PAGE)?;
        for (key, value) in &rows {
            let standing: Standing = decode(value, BOXES.name)?;
            let device = DeviceId(key.as_slice().try_into().map_err(|_| bad_key())?);
            if standing.count > 0 && self.begins_old(device, standing, old)? {
                // One mailbox with something to drop is enough work at once.
                let mut room = PAGE;
                let dropped = self.erase(device, |_, entry| {
                    room = room.saturating_sub(1);
                    room > 0 && old(entry.wall)
                })?;
                if dropped > 0 {
                    // A full piece may have left more of the same mailbox.
                    let again = dropped as usize + 1 >= PAGE;
                    // The first mailbox of all has none before it but the number zero, which nobody has.
                    let before = from.or(Some(DeviceId([0; 16])));
                    return Ok((dropped, if again { before } else { Some(device) }));
                }
            }
        }
        let end = rows.len() < PAGE;
        let last = rows.last().and_then(|(key, _)| key.as_slice().try_into().ok()).map(DeviceId);
        Ok((0, last.filter(|_| !end)))
    }

    fn expire_heads(&mut self, old: Old<'_>, from: &[u8]) -> Result<(u64, Option<Vec<u8>>), Error> {
        Ok(heads::expire(&mut self.records, old, from)?)
    }

    fn forget(&mut self, sender: DeviceId) -> Result<(), Error> {
        Ok(self.repeats.erase(&mut self.records, sender)?)
    }

    fn expire_repeats(&mut self, wall: Millis, from: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.repeats.expire(&mut self.records, wall, from)?)
    }

    fn bound(&mut self, quota: Quota) {
        self.quota = quota;
    }

    fn append(&mut self) -> Result<(), store::Error> {
        self.near.write(&mut self.records);
        self.repeats.write(&mut self.records);
        let done = self.records.append();
        self.near.ended(done.is_ok());
        self.repeats.ended(done.is_ok());
        done
    }
}

/// What of an entry counts in sums.
struct Part {
    head: u64,
    body: Option<(u64, u32)>,
}

impl Part {
    fn size(&self) -> u64 {
        self.head + self.body.map_or(0, |(_, length)| u64::from(length))
    }
}

impl Entry {
    fn part(&self) -> Part {
        Part { head: self.head.len() as u64, body: self.body }
    }

    fn size(&self) -> u64 {
        self.part().size()
    }
}

/// A record, or how it begins where there is none.
fn read<T: Default + for<'a> Deserialize<'a>>(
    records: &Staged,
    table: Table,
    key: &[u8],
) -> Result<T, store::Error> {
    let bytes = records.get(table, key)?;
    bytes.map_or(Ok(T::default()), |bytes| decode(&bytes, table.name))
}

fn numbered(device: DeviceId, number: u64) -> Vec<u8> {
    [device.0.as_slice(), &number.to_be_bytes()].concat()
}

fn seq_of(key: &[u8]) -> Result<Seq, store::Error> {
    key.last_chunk().map(|bytes| Seq(u64::from_be_bytes(*bytes))).ok_or_else(bad_key)
}

fn bad_key() -> store::Error {
    store::Error::Damaged("a mailbox has a key that is not ours".into())
}

#[cfg(test)]
mod tests;
