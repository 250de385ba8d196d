//! Mailboxes on disk looked at as a whole: whether they hold together, and what a restored one needs.

use super::repeats::{IN_ROW, TAKEN, convert};
use super::{BODIES, BOXES, ENTRIES, Entry, PAGE, REFS, SUMS, Standing, Sums};
use crate::accounts::{decode, encode};
use crate::admin::check::{Findings, rows};
use std::collections::BTreeMap;
use subrosa_shared::id::{DeviceId, EnvelopeId, Seq};
use subrosa_shared::store::{self, Batch, Kv, Order};
use subrosa_shared::time::Millis;

/// How far the numbers of a restored mailbox jump, so that none is given out twice: what the relay gave out
/// after the backup was made is far fewer.
const JUMP: u64 = 1 << 32;

/// Makes mailboxes that went back in time safe to go on with.
pub(crate) fn restored(kv: &dyn Kv) -> Result<(), store::Error> {
    // The backup may be older than this form of the records.
    convert(kv)?;
    let mut from = Vec::new();
    loop {
        let page = kv.scan(BOXES, &from, &[], Order::Forward, PAGE)?;
        let mut batch = Batch::default();
        for (key, value) in &page {
            let mut standing: Standing = decode(value, BOXES.name)?;
            standing.newest = Seq(standing.newest.0.saturating_add(JUMP));
            batch.put(BOXES, key.clone(), encode(&standing));
        }
        if !batch.is_empty() {
            kv.commit(&batch.records)?;
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE => from = [last.as_slice(), &[0]].concat(),
            _ => return Ok(()),
        }
    }
}

/// Looks whether standings, envelopes, bodies, references, sums and known repeats agree.
pub(crate) fn audit(kv: &dyn Kv, found: &mut Findings) -> Result<(), store::Error> {
    let mut boxes: BTreeMap<Vec<u8>, (Standing, u64, u64)> = BTreeMap::new();
    rows(kv, BOXES, |key, value| match decode::<Standing>(value, BOXES.name) {
        Ok(standing) if key.len() == 16 => {
            found.looked();
            boxes.insert(key.to_vec(), (standing, 0, 0));
        }
        _ => found.wrong("how a mailbox stands cannot be read"),
    })?;
    let (mut bytes, mut refs) = (0, BTreeMap::<u64, (u32, u32)>::new());
    rows(kv, ENTRIES, |key, value| {
        let (Some((device, seq)), Ok(entry)) = (numbered(key), decode::<Entry>(value, ENTRIES.name)) else {
            return found.wrong("an envelope cannot be read");
        };
        found.looked();
        bytes += entry.head.len() as u64;
        if let Some((body, length)) = entry.body {
            let count = refs.entry(body).or_insert((0, length));
            count.0 += 1;
            if count.1 != length {
                found.wrong(format!("envelopes disagree about the length of body {body}"));
            }
        }
        match boxes.get_mut(device.0.as_slice()) {
            None => found.wrong(format!("an envelope lies in a mailbox that is not there ({device})")),
            Some((standing, count, size)) => {
                *count += 1;
                *size += entry.size();
                if seq <= standing.acked.0 || seq > standing.newest.0 {
                    found.wrong(format!("envelope {seq} of mailbox {device} is out of its bounds"));
                }
            }
        }
    })?;
    for (key, (standing, count, size)) in &boxes {
        if u64::from(standing.count) != *count || standing.bytes != *size {
            let device = key.as_slice().try_into().map(|id| DeviceId(id).to_string()).unwrap_or_default();
            found.wrong(format!(
                "mailbox {device} says {} envelopes of {} bytes, and {count} of {size} are there",
                standing.count, standing.bytes
            ));
        }
    }
    let (mut bodies, mut next) = (0, 0);
    rows(kv, BODIES, |key, value| {
        // Backups of accounts lie under the same letter; their keys are names.
        let Some(number) = body(key) else { return };
        found.looked();
        bodies += 1;
        next = next.max(number + 1);
        bytes += value.len() as u64;
        match refs.get(&number) {
            None => found.wrong(format!("body {number} belongs to no envelope")),
            Some((_, length)) if *length as usize != value.len() => {
                found.wrong(format!("body {number} has {} bytes, its envelopes say {length}", value.len()));
            }
            Some(_) => {}
        }
    })?;
    for (number, (count, _)) in &refs {
        let key = number.to_be_bytes();
        if kv.get(BODIES, &key)?.is_none() {
            found.wrong(format!("body {number} of {count} envelopes is missing"));
        }
        let said = kv.get(REFS, &key)?.and_then(|bytes| decode::<u32>(&bytes, REFS.name).ok());
        if said != Some(*count) {
            found.wrong(format!("body {number} has {count} envelopes, and its count says {said:?}"));
        }
    }
    rows(kv, REFS, |key, _| {
        // Removed devices lie under the same letter; their keys are longer.
        if body(key).is_some_and(|number| !refs.contains_key(&number)) {
            found.wrong("a count of references belongs to no body");
        }
    })?;
    let sums = kv.get(SUMS, &[])?.map(|bytes| decode::<Sums>(&bytes, SUMS.name));
    match sums {
        None if boxes.is_empty() => {}
        Some(Ok(sums)) => {
            found.looked();
            if (sums.bytes, sums.bodies) != (bytes, bodies) || sums.next_body < next {
                found.wrong(format!(
                    "the sums say {} bytes in {} bodies, and {bytes} in {bodies} are there",
                    sums.bytes, sums.bodies
                ));
            }
        }
        _ => found.wrong("the sums of all mailboxes cannot be read"),
    }
    repeats(kv, found)
}

fn repeats(kv: &dyn Kv, found: &mut Findings) -> Result<(), store::Error> {
    let mut last = None;
    rows(kv, TAKEN, |key, value| {
        let row = decode::<Vec<(Millis, EnvelopeId)>>(value, TAKEN.name).unwrap_or_default();
        let Some((sender, number)) = numbered(key).filter(|_| (1..=IN_ROW).contains(&row.len())) else {
            return found.wrong("which envelopes of a sender were taken cannot be read");
        };
        found.looked();
        if last.is_some_and(|(before, at)| before == sender && at + 1 != number) {
            found.wrong(format!("some of what is known of envelopes of sender {sender} is missing"));
        }
        last = Some((sender, number));
    })
}

fn numbered(key: &[u8]) -> Option<(DeviceId, u64)> {
    let (device, number) = key.split_first_chunk()?;
    Some((DeviceId(*device), u64::from_be_bytes(number.try_into().ok()?)))
}

/// The number of a body; no relay lives to give out one that begins like a name.
fn body(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes).filter(|number| number >> 56 == 0)
}
