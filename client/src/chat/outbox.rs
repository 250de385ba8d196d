//! Sealed envelopes that the relay has not accepted yet.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;
use subrosa_shared::id::{DeviceId, EnvelopeId, MessageId, RoomId, SessionId};
use subrosa_shared::protocol::envelope::Outgoing;
use subrosa_shared::store::{Batch, Error, Order, Store, Table};
use subrosa_shared::time::Millis;

/// `order: u64 BE` → [`Entry`].
pub const OUTBOX: Table = Table { byte: 0x23, name: "outbox" };

/// Envelopes that may wait for an answer at a time. A connection is filled well before that; more
/// would only sit in its buffers.
const WINDOW: usize = 64;

/// One sealed envelope.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Ciphertext, as it goes out each time.
    pub envelope: Outgoing,
    /// Where it was written.
    pub room: RoomId,
    /// The line it carries, if it carries one.
    pub message: Option<MessageId>,
    /// The session that sealed it.
    pub session: SessionId,
}

impl Entry {
    /// Whom it goes to.
    pub fn device(&self) -> Option<DeviceId> {
        self.envelope.to.first().map(|head| head.to)
    }

    fn line(&self) -> Option<(MessageId, DeviceId)> {
        Some((self.message?, self.device()?))
    }
}

/// The envelopes in the order in which they were sealed.
#[derive(Default)]
pub struct Outbox {
    entries: BTreeMap<u64, Entry>,
    next: u64,
    /// Not handed to the connection yet.
    ready: VecDeque<u64>,
    /// Handed over, not answered.
    flying: HashMap<EnvelopeId, u64>,
    /// Devices whose mailbox refuses for now: until when (monotonic), and what waits.
    held: HashMap<DeviceId, (Millis, VecDeque<u64>)>,
    /// Lines that an entry carries.
    carried: HashSet<(MessageId, DeviceId)>,
}

impl Outbox {
    /// Reads what an earlier run left.
    ///
    /// # Errors
    /// Those of the store.
    pub fn load(store: &Store) -> Result<Self, Error> {
        let mut outbox = Self::default();
        for (key, value) in store.records.scan(OUTBOX, &[], &[], Order::Forward, usize::MAX)? {
            let order = key.try_into().map(u64::from_be_bytes).map_err(|_| damaged())?;
            let entry: Entry = postcard::from_bytes(&value).map_err(|_| damaged())?;
            outbox.carried.extend(entry.line());
            outbox.entries.insert(order, entry);
            outbox.ready.push_back(order);
            outbox.next = order + 1;
        }
        Ok(outbox)
    }

    /// Adds a sealed envelope.
    pub fn push(&mut self, entry: Entry, batch: &mut Batch) {
        let order = self.next;
        self.next += 1;
        let value = postcard::to_stdvec(&entry).expect("an entry serialises: plain fields only");
        batch.put(OUTBOX, order.to_be_bytes(), value);
        let held = entry.device().and_then(|device| self.held.get_mut(&device));
        match held {
            Some((_, queue)) => queue.push_back(order),
            None => self.ready.push_back(order),
        }
        self.carried.extend(entry.line());
        self.entries.insert(order, entry);
    }

    /// What to hand to the connection now.
    pub fn pump(&mut self, mono: Millis) -> Vec<Outgoing> {
        let mut due: Vec<u64> = Vec::new();
        self.held.retain(|_, (until, queue)| {
            let over = *until <= mono;
            if over {
                due.extend(queue.drain(..));
            }
            !over
        });
        due.sort_unstable();
        for order in due.into_iter().rev() {
            self.ready.push_front(order);
        }
        let mut out = Vec::new();
        while self.flying.len() < WINDOW {
            let Some(order) = self.ready.pop_front() else { break };
            let Some(entry) = self.entries.get(&order) else { continue };
            if let Some((_, queue)) = entry.device().and_then(|device| self.held.get_mut(&device)) {
                queue.push_back(order);
                continue;
            }
            self.flying.insert(entry.envelope.id, order);
            out.push(entry.envelope.clone());
        }
        out
    }

    /// The connection is gone: what flew goes out again at the next one.
    pub fn grounded(&mut self) {
        self.flying.clear();
        self.held.clear();
        self.ready = self.entries.keys().copied().collect();
    }

    /// The relay has it.
    pub fn accepted(&mut self, id: &EnvelopeId, batch: &mut Batch) -> Option<Entry> {
        let order = self.flying.remove(id)?;
        self.forget(order, batch)
    }

    /// The relay will not have it for now: it and what follows to the same device waits.
    pub fn refused(&mut self, id: &EnvelopeId, mono: Millis, wait: Duration) -> Option<&Entry> {
        let order = self.flying.remove(id)?;
        let device = self.entries.get(&order)?.device()?;
        let (until, queue) = self.held.entry(device).or_default();
        *until = (*until).max(mono.plus(wait));
        let at = queue.partition_point(|&other| other < order);
        queue.insert(at, order);
        self.entries.get(&order)
    }

    /// The relay will never have it.
    pub fn rejected(&mut self, id: &EnvelopeId, batch: &mut Batch) -> Option<Entry> {
        self.accepted(id, batch)
    }

    /// Takes back everything that this session sealed: the other end cannot open it.
    pub fn drop_session(&mut self, session: SessionId, batch: &mut Batch) {
        self.take_back(|entry| entry.session == session, batch);
    }

    /// Takes back everything for this device: its person has another now.
    pub fn drop_device(&mut self, device: &DeviceId, batch: &mut Batch) {
        self.held.remove(device);
        self.take_back(|entry| entry.device() == Some(*device), batch);
    }

    fn take_back(&mut self, gone: impl Fn(&Entry) -> bool, batch: &mut Batch) {
        let gone: Vec<u64> =
            self.entries.iter().filter(|(_, entry)| gone(entry)).map(|(order, _)| *order).collect();
        for order in gone {
            if let Some(entry) = self.forget(order, batch) {
                self.flying.remove(&entry.envelope.id);
            }
        }
    }

    /// Ends all waiting: the person asked for another try now.
    pub fn release(&mut self) {
        for (until, _) in self.held.values_mut() {
            *until = Millis(0);
        }
    }

    /// Whether a sealed envelope carries that line to that device.
    pub fn carries(&self, message: &MessageId, device: &DeviceId) -> bool {
        self.carried.contains(&(*message, *device))
    }

    /// When something held is due again.
    pub fn due(&self) -> Option<Millis> {
        self.held.values().map(|(until, _)| *until).min()
    }

    /// Envelopes that the relay has not accepted.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn forget(&mut self, order: u64, batch: &mut Batch) -> Option<Entry> {
        batch.delete(OUTBOX, order.to_be_bytes());
        let entry = self.entries.remove(&order)?;
        if let Some(line) = entry.line() {
            self.carried.remove(&line);
        }
        Some(entry)
    }
}

fn damaged() -> Error {
    Error::Damaged("an entry of the outbox".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use subrosa_shared::protocol::envelope::{Head, Keep};

    fn entry(id: u8, device: u8) -> Entry {
        let head = Head { to: DeviceId([device; 16]), bytes: vec![id] };
        let envelope = Outgoing {
            id: EnvelopeId([id; 16]),
            keep: Keep::Stored,
            to: vec![head],
            body: vec![],
            moves: None,
        };
        Entry { envelope, room: RoomId([0; 16]), message: None, session: SessionId([device; 16]) }
    }

    fn ids(out: &[Outgoing]) -> Vec<u8> {
        out.iter().map(|outgoing| outgoing.id.0[0]).collect()
    }

    #[test]
    fn a_refused_envelope_holds_what_follows_to_the_same_device_in_order() {
        let (mut outbox, mut batch) = (Outbox::default(), Batch::default());
        for (id, device) in [(1, 7), (2, 7), (3, 8)] {
            outbox.push(entry(id, device), &mut batch);
        }
        assert_eq!(ids(&outbox.pump(Millis(0))), [1, 2, 3]);
        outbox.refused(&EnvelopeId([2; 16]), Millis(0), Duration::from_secs(5));
        outbox.refused(&EnvelopeId([1; 16]), Millis(0), Duration::from_secs(5));
        outbox.push(entry(4, 7), &mut batch);
        outbox.push(entry(5, 8), &mut batch);
        assert_eq!(ids(&outbox.pump(Millis(1))), [5]);
        assert_eq!(outbox.due(), Some(Millis(5000)));
        assert_eq!(ids(&outbox.pump(Millis(5000))), [1, 2, 4]);
        assert!(outbox.accepted(&EnvelopeId([1; 16]), &mut batch).is_some());
        assert!(outbox.accepted(&EnvelopeId([1; 16]), &mut batch).is_none(), "answered once");
        assert_eq!(outbox.len(), 4);
    }

    #[test]
    fn at_most_a_window_flies_and_all_of_it_flies_again_after_a_cut() {
        let (mut outbox, mut batch) = (Outbox::default(), Batch::default());
        for id in 0..100 {
            outbox.push(entry(id, 1), &mut batch);
        }
        assert_eq!(outbox.pump(Millis(0)).len(), WINDOW);
        assert_eq!(outbox.pump(Millis(0)).len(), 0);
        outbox.grounded();
        assert_eq!(ids(&outbox.pump(Millis(0)))[..3], [0, 1, 2]);
    }
}
