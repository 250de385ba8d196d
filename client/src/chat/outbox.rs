//! Sealed envelopes that the relay has not accepted yet.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;
use subrosa_shared::id::{DeviceId, EnvelopeId, MessageId, RoomId, SessionId};
use subrosa_shared::protocol::envelope::{Head, Keep, Outgoing};
use subrosa_shared::session::message;
use subrosa_shared::store::{Batch, Error, Order, Store, Table};
use subrosa_shared::time::Millis;

/// `order: u64 BE` → [`Entry`].
pub const OUTBOX: Table = Table { byte: 0x40, name: "outbox" };
/// The same as it was while each envelope had one recipient: → [`Before`].
const OUTBOX_BEFORE: Table = Table { byte: 0x23, name: "outbox of one recipient" };

/// Envelopes that may wait for an answer at a time. A connection is filled well before that; more
/// would only sit in its buffers.
const WINDOW: usize = 64;

/// In place of a device, for what goes to none.
const NOBODY: DeviceId = DeviceId([0; 16]);

/// One sealed envelope.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Ciphertext, as it goes out each time.
    pub envelope: Outgoing,
    /// Where it was written.
    pub room: RoomId,
    /// The line it carries, if it carries one.
    pub message: Option<MessageId>,
    /// The session that sealed each head, in the order of the heads.
    pub sessions: Vec<SessionId>,
}

impl Entry {
    /// Whom it goes to.
    pub fn devices(&self) -> impl Iterator<Item = DeviceId> {
        self.envelope.to.iter().map(|head| head.to)
    }

    /// What it waits behind while the relay refuses for now: its devices; what goes to none, a room's head alone.
    fn queues(&self) -> impl Iterator<Item = DeviceId> {
        let nobody = self.envelope.to.is_empty().then_some(NOBODY);
        self.devices().chain(nobody)
    }

    /// It goes to several devices: what the relay says of it may be about one of them.
    pub fn is_shared(&self) -> bool {
        self.envelope.to.len() > 1
    }

    /// Devices with which it begins a session.
    pub fn begun(&self) -> impl Iterator<Item = DeviceId> {
        self.envelope.to.iter().filter(|head| message::begins(&head.bytes)).map(|head| head.to)
    }

    /// It moves a room's head.
    pub fn moves(&self) -> bool {
        self.envelope.moves.is_some()
    }

    fn lines(&self) -> impl Iterator<Item = (MessageId, DeviceId)> {
        self.message.into_iter().flat_map(|id| self.devices().map(move |device| (id, device)))
    }

    /// Takes heads out. True when none is left.
    fn retain(&mut self, stays: impl Fn(&Head, SessionId) -> bool) -> bool {
        let heads = std::mem::take(&mut self.envelope.to);
        let sessions = std::mem::take(&mut self.sessions);
        let both = heads.into_iter().zip(sessions).filter(|(head, session)| stays(head, *session));
        (self.envelope.to, self.sessions) = both.unzip();
        self.envelope.to.is_empty()
    }
}

/// An entry while each envelope had one recipient.
#[derive(Serialize, Deserialize)]
struct Before {
    envelope: EnvelopeBefore,
    room: RoomId,
    message: Option<MessageId>,
    session: SessionId,
}

#[derive(Serialize, Deserialize)]
struct EnvelopeBefore {
    id: EnvelopeId,
    keep: Keep,
    to: Vec<Head>,
    body: Vec<u8>,
}

impl From<Before> for Entry {
    fn from(before: Before) -> Self {
        let EnvelopeBefore { id, keep, to, body } = before.envelope;
        let sessions = vec![before.session; to.len()];
        let envelope = Outgoing { id, keep, to, body, moves: None };
        Self { envelope, room: before.room, message: before.message, sessions }
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
    held: BTreeMap<DeviceId, (Millis, VecDeque<u64>)>,
    /// Lines that an entry carries.
    carried: HashSet<(MessageId, DeviceId)>,
}

impl Outbox {
    /// Reads what an earlier run left; an earlier version's entries are written anew.
    ///
    /// # Errors
    /// Those of the store.
    pub fn load(store: &Store, batch: &mut Batch) -> Result<Self, Error> {
        let mut outbox = Self::default();
        for (key, value) in store.records.scan(OUTBOX, &[], &[], Order::Forward, usize::MAX)? {
            let order = key.try_into().map(u64::from_be_bytes).map_err(|_| damaged())?;
            let entry: Entry = postcard::from_bytes(&value).map_err(|_| damaged())?;
            outbox.carried.extend(entry.lines());
            outbox.entries.insert(order, entry);
            outbox.ready.push_back(order);
            outbox.next = order + 1;
        }
        for (key, value) in store.records.scan(OUTBOX_BEFORE, &[], &[], Order::Forward, usize::MAX)? {
            let before: Before = postcard::from_bytes(&value).map_err(|_| damaged())?;
            batch.delete(OUTBOX_BEFORE, key);
            outbox.push(before.into(), batch);
        }
        Ok(outbox)
    }

    /// Adds a sealed envelope.
    pub fn push(&mut self, entry: Entry, batch: &mut Batch) {
        let order = self.next;
        self.next += 1;
        save(order, &entry, batch);
        match self.holding(&entry) {
            Some(until) => self.hold(order, &entry, until),
            None => self.ready.push_back(order),
        }
        self.carried.extend(entry.lines());
        self.entries.insert(order, entry);
    }

    /// Until when one of an entry's devices waits.
    fn holding(&self, entry: &Entry) -> Option<Millis> {
        entry.queues().filter_map(|device| self.held.get(&device).map(|(until, _)| *until)).max()
    }

    /// An entry waits, and with it what follows to any of its devices: nothing overtakes what may begin a
    /// session.
    fn hold(&mut self, order: u64, entry: &Entry, until: Millis) {
        let until = self.holding(entry).map_or(until, |held| held.max(until));
        for (at, device) in entry.queues().enumerate() {
            let (till, queue) = self.held.entry(device).or_default();
            *till = until;
            if at == 0 {
                let place = queue.partition_point(|&other| other < order);
                queue.insert(place, order);
            }
        }
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
            if let Some(until) = self.holding(entry) {
                let entry = entry.clone();
                self.hold(order, &entry, until);
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

    /// The relay will not have it for now: it and what follows to the same devices waits.
    pub fn refused(&mut self, id: &EnvelopeId, mono: Millis, wait: Duration) -> Option<&Entry> {
        let order = self.flying.remove(id)?;
        let entry = self.entries.get(&order)?.clone();
        self.hold(order, &entry, mono.plus(wait));
        self.entries.get(&order)
    }

    /// The relay will never have it.
    pub fn rejected(&mut self, id: &EnvelopeId, batch: &mut Batch) -> Option<Entry> {
        self.accepted(id, batch)
    }

    /// The relay will not have an envelope because of these devices, or of any when it names none: each of
    /// them gets one of its own, with the number that `fresh` gives, and all others share another. What is
    /// sealed stays as it is. False when it had one device alone.
    pub fn split(
        &mut self,
        id: &EnvelopeId,
        who: &[DeviceId],
        mut fresh: impl FnMut() -> EnvelopeId,
        batch: &mut Batch,
    ) -> bool {
        let shared =
            |order: &u64| self.entries.get(order).is_some_and(|entry| entry.is_shared() && !entry.moves());
        let Some(order) = self.flying.get(id).copied().filter(shared) else { return false };
        self.flying.remove(id);
        let Some(entry) = self.forget(order, batch) else { return false };
        let Outgoing { keep, to, body, .. } = entry.envelope;
        let (mut rest, mut parts) = (Vec::new(), Vec::new());
        for part in to.into_iter().zip(entry.sessions) {
            if who.is_empty() || who.contains(&part.0.to) { parts.push(vec![part]) } else { rest.push(part) }
        }
        parts.insert(0, rest);
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let (to, sessions) = part.into_iter().unzip();
            let envelope = Outgoing { id: fresh(), keep, to, body: body.clone(), moves: None };
            let (room, message) = (entry.room, entry.message);
            self.push(Entry { envelope, room, message, sessions }, batch);
        }
        true
    }

    /// Takes back what such sessions sealed for this device: it cannot open it.
    pub fn drop_sealed(&mut self, device: &DeviceId, by: impl Fn(SessionId) -> bool, batch: &mut Batch) {
        self.take_back(|_, head, sealed| head.to == *device && by(sealed), batch);
    }

    /// Takes back lines that are sealed anew; not what begins a session, which all that follows in it needs.
    pub fn drop_lines(&mut self, lines: &HashSet<(MessageId, DeviceId)>, batch: &mut Batch) {
        let anew = |id: Option<MessageId>, head: &Head| id.is_some_and(|id| lines.contains(&(id, head.to)));
        self.take_back(|id, head, _| anew(id, head) && !message::begins(&head.bytes), batch);
    }

    /// Takes back everything for this device: its person has another now.
    pub fn drop_device(&mut self, device: &DeviceId, batch: &mut Batch) {
        if let Some((_, queue)) = self.held.remove(device) {
            // What goes to others too waits no longer.
            self.ready.extend(queue);
            self.ready.make_contiguous().sort_unstable();
        }
        self.take_back(|_, head, _| head.to == *device, batch);
    }

    /// Takes these heads back, each with the line that it carries; an envelope that goes to others too goes on to them.
    fn take_back(&mut self, gone: impl Fn(Option<MessageId>, &Head, SessionId) -> bool, batch: &mut Batch) {
        let hit = |entry: &Entry| {
            let mut heads = entry.envelope.to.iter().zip(&entry.sessions);
            // What moves a room's head is answered as a whole.
            !entry.moves() && heads.any(|(head, session)| gone(entry.message, head, *session))
        };
        let orders: Vec<u64> =
            self.entries.iter().filter(|(_, entry)| hit(entry)).map(|(order, _)| *order).collect();
        for order in orders {
            let Some(entry) = self.entries.get_mut(&order) else { continue };
            let (id, line) = (entry.envelope.id, entry.message);
            let before: Vec<_> = entry.lines().collect();
            let empty = entry.retain(|head, session| !gone(line, head, session));
            let after: HashSet<_> = entry.lines().collect();
            for line in before.iter().filter(|line| !after.contains(line)) {
                self.carried.remove(line);
            }
            if empty {
                self.forget(order, batch);
                self.flying.remove(&id);
            } else {
                save(order, entry, batch);
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

    /// Whether the relay is still to accept that line for somebody; what it refuses for now is not waited for.
    pub fn on_its_way(&self, message: &MessageId) -> bool {
        let orders = self.ready.iter().chain(self.flying.values());
        orders.filter_map(|order| self.entries.get(order)).any(|entry| entry.message == Some(*message))
    }

    /// Envelopes for that device that the relay has not accepted.
    pub fn waits_for(&self, device: &DeviceId) -> usize {
        self.entries.values().filter(|entry| entry.devices().any(|to| to == *device)).count()
    }

    /// When something held is due again.
    pub fn due(&self) -> Option<Millis> {
        self.held.values().map(|(until, _)| *until).min()
    }

    /// Envelopes that the relay has not accepted.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The room whose head an envelope moves that was handed over.
    pub fn moving(&self, id: &EnvelopeId) -> Option<RoomId> {
        let entry = self.entries.get(self.flying.get(id)?)?;
        entry.moves().then_some(entry.room)
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn forget(&mut self, order: u64, batch: &mut Batch) -> Option<Entry> {
        batch.delete(OUTBOX, order.to_be_bytes());
        let entry = self.entries.remove(&order)?;
        for line in entry.lines() {
            self.carried.remove(&line);
        }
        Some(entry)
    }
}

fn save(order: u64, entry: &Entry, batch: &mut Batch) {
    let value = postcard::to_stdvec(entry).expect("an entry serialises: plain fields only");
    batch.put(OUTBOX, order.to_be_bytes(), value);
}

fn damaged() -> Error {
    Error::Damaged("an entry of the outbox".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use subrosa_shared::store::memory::{Memory, MemorySlots};

    fn entry(id: u8, device: u8) -> Entry {
        shared(id, &[device])
    }

    fn shared(id: u8, devices: &[u8]) -> Entry {
        let to = devices.iter().map(|device| Head { to: DeviceId([*device; 16]), bytes: vec![id] });
        let envelope = Outgoing {
            id: EnvelopeId([id; 16]),
            keep: Keep::Stored,
            to: to.collect(),
            body: vec![],
            moves: None,
        };
        let sessions = devices.iter().map(|device| SessionId([*device; 16])).collect();
        Entry { envelope, room: RoomId([0; 16]), message: Some(MessageId([id; 16])), sessions }
    }

    fn to(outgoing: &Outgoing) -> Vec<u8> {
        outgoing.to.iter().map(|head| head.to.0[0]).collect()
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
    fn what_goes_to_nobody_waits_and_goes_out_again() {
        let (mut outbox, mut batch) = (Outbox::default(), Batch::default());
        outbox.push(shared(1, &[]), &mut batch);
        assert_eq!(ids(&outbox.pump(Millis(0))), [1]);
        outbox.refused(&EnvelopeId([1; 16]), Millis(0), Duration::from_secs(5));
        assert!(outbox.pump(Millis(4999)).is_empty());
        assert_eq!(outbox.due(), Some(Millis(5000)));
        assert_eq!(ids(&outbox.pump(Millis(5000))), [1]);
    }

    #[test]
    fn a_line_is_on_its_way_until_the_relay_has_said_something_of_each_envelope() {
        let (mut outbox, mut batch) = (Outbox::default(), Batch::default());
        let line = MessageId([1; 16]);
        for (id, device) in [(1, 7), (2, 8), (3, 9)] {
            outbox.push(Entry { message: Some(line), ..entry(id, device) }, &mut batch);
        }
        assert!(outbox.on_its_way(&line), "none has left");
        assert_eq!(ids(&outbox.pump(Millis(0))), [1, 2, 3]);
        outbox.accepted(&EnvelopeId([2; 16]), &mut batch);
        outbox.refused(&EnvelopeId([1; 16]), Millis(0), Duration::from_secs(5));
        assert!(outbox.on_its_way(&line), "the third is not answered");
        outbox.accepted(&EnvelopeId([3; 16]), &mut batch);
        assert!(!outbox.on_its_way(&line), "a full mailbox is not waited for");
        outbox.pump(Millis(5000));
        assert!(outbox.on_its_way(&line), "until it is tried again");
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

    #[test]
    fn a_shared_envelope_goes_on_without_a_device_that_is_gone_and_without_a_session_that_is() {
        let (mut outbox, mut batch) = (Outbox::default(), Batch::default());
        outbox.push(shared(1, &[7, 8, 9]), &mut batch);
        outbox.push(shared(2, &[8]), &mut batch);
        let carries = |outbox: &Outbox, id: u8, device: u8| {
            outbox.carries(&MessageId([id; 16]), &DeviceId([device; 16]))
        };
        outbox.drop_device(&DeviceId([8; 16]), &mut batch);
        let sealed = |byte: u8| move |session: SessionId| session == SessionId([byte; 16]);
        outbox.drop_sealed(&DeviceId([7; 16]), sealed(7), &mut batch);
        // Of what goes to others nobody says that it cannot be opened.
        outbox.drop_sealed(&DeviceId([7; 16]), sealed(9), &mut batch);
        assert!(carries(&outbox, 1, 9) && !carries(&outbox, 1, 8) && !carries(&outbox, 1, 7));
        assert!(!carries(&outbox, 2, 8));
        let out = outbox.pump(Millis(0));
        assert_eq!((ids(&out), to(&out[0])), (vec![1], vec![9]));
        outbox.drop_sealed(&DeviceId([9; 16]), sealed(9), &mut batch);
        assert!(outbox.is_empty() && outbox.accepted(&EnvelopeId([1; 16]), &mut batch).is_none());
    }

    #[test]
    fn a_line_that_is_sealed_anew_goes_out_once_and_a_session_keeps_its_beginning() {
        let (mut outbox, mut batch) = (Outbox::default(), Batch::default());
        let mut begins = entry(1, 7);
        begins.envelope.to[0].bytes = vec![1, 0];
        for entry in [begins, shared(2, &[7, 8]), entry(3, 7), entry(4, 7)] {
            outbox.push(entry, &mut batch);
        }
        let lines = [1, 2, 3].map(|id| (MessageId([id; 16]), DeviceId([7; 16])));
        outbox.drop_lines(&HashSet::from(lines), &mut batch);
        let out = outbox.pump(Millis(0));
        assert_eq!((ids(&out), to(&out[1])), (vec![1, 2, 4], vec![8]));
    }

    #[test]
    fn a_shared_envelope_that_one_mailbox_refuses_goes_on_to_the_others() {
        let (mut outbox, mut batch) = (Outbox::default(), Batch::default());
        outbox.push(shared(1, &[6, 7, 8]), &mut batch);
        assert_eq!(outbox.pump(Millis(0)).len(), 1);
        let mut next = 20;
        let mut fresh = || {
            next += 1;
            EnvelopeId([next; 16])
        };
        assert!(outbox.split(&EnvelopeId([1; 16]), &[DeviceId([7; 16])], &mut fresh, &mut batch));
        let out = outbox.pump(Millis(0));
        assert_eq!(ids(&out), [21, 22]);
        assert_eq!((to(&out[0]), to(&out[1])), (vec![6, 8], vec![7]));
        assert!(!outbox.split(&EnvelopeId([22; 16]), &[], &mut fresh, &mut batch), "one device alone");
        outbox.refused(&EnvelopeId([22; 16]), Millis(0), Duration::from_secs(5));
        outbox.push(shared(3, &[8, 7]), &mut batch);
        assert!(outbox.pump(Millis(1)).is_empty(), "it must not overtake what one of its devices waits for");
        assert_eq!(ids(&outbox.pump(Millis(5000))), [22, 3]);
    }

    #[test]
    fn nothing_overtakes_a_refused_envelope_to_any_of_its_devices() {
        let (mut outbox, mut batch) = (Outbox::default(), Batch::default());
        outbox.push(shared(1, &[6, 7]), &mut batch);
        outbox.push(entry(2, 9), &mut batch);
        assert_eq!(ids(&outbox.pump(Millis(0))), [1, 2]);
        outbox.refused(&EnvelopeId([2; 16]), Millis(0), Duration::from_secs(9));
        outbox.refused(&EnvelopeId([1; 16]), Millis(0), Duration::from_secs(5));
        // What waits for one device holds back what follows it to another.
        outbox.push(shared(3, &[7, 8]), &mut batch);
        outbox.push(shared(4, &[8, 9]), &mut batch);
        outbox.push(entry(5, 8), &mut batch);
        outbox.push(entry(6, 5), &mut batch);
        assert_eq!(ids(&outbox.pump(Millis(1))), [6]);
        let (first, then) = (outbox.pump(Millis(5000)), outbox.pump(Millis(9000)));
        assert_eq!((ids(&first), ids(&then)), (vec![1], vec![2, 3, 4, 5]));
    }

    #[test]
    fn what_an_earlier_version_left_goes_out_and_is_written_anew() {
        let store = Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) };
        let Entry { envelope, room, message, sessions } = entry(5, 7);
        let Outgoing { id, keep, to, body, .. } = envelope;
        let before =
            Before { envelope: EnvelopeBefore { id, keep, to, body }, room, message, session: sessions[0] };
        let mut batch = Batch::default();
        batch.put(OUTBOX_BEFORE, 3u64.to_be_bytes(), postcard::to_stdvec(&before).expect("plain"));
        store.commit(&batch).expect("memory");
        let mut batch = Batch::default();
        let mut outbox = Outbox::load(&store, &mut batch).expect("memory");
        assert_eq!(ids(&outbox.pump(Millis(0))), [5]);
        store.commit(&batch).expect("memory");
        let again = Outbox::load(&store, &mut Batch::default()).expect("memory");
        assert_eq!((again.len(), again.carries(&MessageId([5; 16]), &DeviceId([7; 16]))), (1, true));
    }
}
