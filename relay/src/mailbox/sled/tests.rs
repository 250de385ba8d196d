//! Mailboxes in memory and in the store at once.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use subrosa_shared::protocol::envelope::Head;
use subrosa_shared::store::memory::{Disk, Memory, Rule, Ruled};

/// Mailboxes that are made anew after each group, as by a relay that is started again.
struct Forgetful {
    kv: Arc<dyn Kv>,
    sled: Sled,
}

impl Mailbox for Forgetful {
    fn put(
        &mut self,
        from: DeviceId,
        name: &AccountName,
        envelope: &Outgoing,
        wall: Millis,
    ) -> Result<Put, Error> {
        self.sled.put(from, name, envelope, wall)
    }

    fn after(&self, device: DeviceId, seq: Seq, count: usize, bytes: usize) -> Result<Vec<Waiting>, Error> {
        self.sled.after(device, seq, count, bytes)
    }

    fn ack(&mut self, device: DeviceId, seq: Seq) -> Result<(), Error> {
        self.sled.ack(device, seq)
    }

    fn status(&self, device: DeviceId) -> Result<Status, Error> {
        self.sled.status(device)
    }

    fn totals(&self) -> Result<Totals, Error> {
        self.sled.totals()
    }

    fn expire(&mut self, old: Old<'_>, from: Option<DeviceId>) -> Result<(u64, Option<DeviceId>), Error> {
        self.sled.expire(old, from)
    }

    fn expire_heads(&mut self, old: Old<'_>, from: &[u8]) -> Result<(u64, Option<Vec<u8>>), Error> {
        self.sled.expire_heads(old, from)
    }

    fn forget(&mut self, sender: DeviceId) -> Result<(), Error> {
        self.sled.forget(sender)
    }

    fn expire_repeats(&mut self, wall: Millis, from: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.sled.expire_repeats(wall, from)
    }

    fn bound(&mut self, quota: Quota) {
        self.sled.bound(quota);
    }

    fn append(&mut self) -> Result<(), store::Error> {
        self.sled.append()?;
        self.sled = Sled::new(self.kv.clone(), self.sled.quota);
        Ok(())
    }
}

#[test]
fn keeps_the_contract() {
    crate::mailbox::contract::check(&mut |quota| Box::new(Sled::new(Arc::new(Memory::default()), quota)));
    crate::mailbox::contract::check(&mut |quota| {
        let kv = Arc::new(Memory::default());
        Box::new(Forgetful { sled: Sled::new(kv.clone(), quota), kv })
    });
}

const ADA: DeviceId = DeviceId([1; 16]);
const BEN: DeviceId = DeviceId([2; 16]);
const QUOTA: Quota = Quota { envelopes: 99, bytes: 1 << 20, total: 1 << 20, heads: 1 };

fn put(mailbox: &mut Sled, numbers: std::ops::RangeInclusive<u8>) {
    let name = AccountName::parse("ada").expect("valid");
    for number in numbers {
        let to = vec![Head { to: BEN, bytes: vec![number; 3] }];
        let id = EnvelopeId([number; 16]);
        let envelope = Outgoing { id, keep: Keep::Stored, to, body: vec![number; 5], moves: None };
        mailbox.put(ADA, &name, &envelope, Millis(1)).expect("room");
    }
}

/// Mailboxes in a store that holds these.
fn filled(kv: Arc<dyn Kv>, numbers: std::ops::RangeInclusive<u8>) -> Sled {
    let mut mailbox = Sled::new(kv, QUOTA);
    put(&mut mailbox, numbers);
    mailbox.append().expect("there is room");
    mailbox
}

fn waiting(mailbox: &Sled, after: u64) -> Vec<(u64, u8)> {
    let waiting = mailbox.after(BEN, Seq(after), 99, usize::MAX).expect("reads");
    waiting.iter().map(|next| (next.delivery.seq.0, next.delivery.body[0])).collect()
}

#[test]
fn what_is_in_memory_and_what_is_not_are_one_mailbox() {
    let kv = Arc::new(Memory::default());
    filled(kv.clone(), 1..=4);
    for acked in 0..=7u64 {
        let mut mailbox = Sled::new(Arc::new(copy(&kv)), QUOTA);
        put(&mut mailbox, 5..=7);
        let expected = |after: u64| Vec::from_iter((after + 1..=7).map(|seq| (seq, seq as u8)));
        (0..=7).for_each(|after| assert_eq!(waiting(&mailbox, after), expected(after)));
        mailbox.ack(BEN, Seq(acked)).expect("acks");
        (acked..=7).for_each(|after| assert_eq!(waiting(&mailbox, after), expected(after)));
        assert_eq!(waiting(&mailbox, 0), expected(acked));
        let left = 7 - acked;
        let totals = Totals { bytes: 8 * left, bodies: left };
        assert_eq!(mailbox.totals().expect("reads"), totals);
        mailbox.append().expect("memory");
        let status = Status { newest: Seq(7), acked: Seq(acked), count: left as u32, bytes: 8 * left };
        let again = Sled::new(mailbox.records.kv(), QUOTA);
        assert_eq!(again.status(BEN).expect("reads"), status);
        assert_eq!(again.totals().expect("reads"), totals);
        assert_eq!(waiting(&again, 0), expected(acked));
    }
}

#[test]
fn a_group_that_failed_leaves_nothing_in_memory() {
    let disk = Arc::new(Disk::default());
    let mut mailbox = filled(disk.clone(), 1..=2);
    disk.fill(true);
    put(&mut mailbox, 3..=3);
    mailbox.ack(BEN, Seq(1)).expect("acks");
    assert_eq!(waiting(&mailbox, 0), [(2, 2), (3, 3)]);
    assert!(mailbox.append().is_err());
    assert_eq!(waiting(&mailbox, 0), [(1, 1), (2, 2)]);
    assert_eq!(mailbox.totals().expect("reads"), Totals { bytes: 16, bodies: 2 });
    disk.fill(false);
    put(&mut mailbox, 3..=3);
    mailbox.append().expect("there is room");
    assert_eq!(waiting(&mailbox, 0), [(1, 1), (2, 2), (3, 3)]);
}

#[test]
fn what_is_too_much_for_memory_is_read_from_the_store() {
    let quota = Quota { envelopes: 9999, bytes: 1 << 30, total: 1 << 30, heads: 1 };
    let mut mailbox = Sled::new(Arc::new(Memory::default()), quota);
    let name = AccountName::parse("ada").expect("valid");
    for number in 0..300u64 {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let to = vec![Head { to: BEN, bytes: vec![7; 3] }];
        let envelope =
            Outgoing { id: EnvelopeId(id), keep: Keep::Stored, to, body: vec![7; 40_000], moves: None };
        mailbox.put(ADA, &name, &envelope, Millis(1)).expect("room");
        mailbox.append().expect("memory");
        assert!(mailbox.near.held() <= near::HELD);
    }
    let all = mailbox.after(BEN, Seq(0), 999, usize::MAX).expect("reads");
    assert_eq!(all.len(), 300);
}

#[test]
fn of_a_mailbox_with_nothing_to_drop_only_the_first_envelope_is_read() {
    let disk = Arc::new(Ruled::<Scanned>::default());
    filled(disk.clone(), 1..=9);
    let mut mailbox = Sled::new(disk.clone(), QUOTA);
    disk.rule.0.store(0, Ordering::Relaxed);
    assert_eq!(mailbox.expire(&|at| at < Millis(1), None).expect("reads"), (0, None));
    assert_eq!(disk.rule.0.load(Ordering::Relaxed), 2, "how it stands, and its first");
    assert_eq!(mailbox.expire(&|at| at < Millis(2), None).expect("reads"), (9, Some(BEN)));
}

/// Counts the rows that are scanned.
#[derive(Default)]
struct Scanned(AtomicUsize);

impl Rule for Scanned {
    fn scanned(&self, rows: usize) {
        self.0.fetch_add(rows, Ordering::Relaxed);
    }
}

/// The same records once more.
fn copy(kv: &Memory) -> Memory {
    let copy = Memory::default();
    for table in [BOXES, ENTRIES, BODIES, REFS, SUMS, repeats::TAKEN] {
        let mut batch = store::Batch::default();
        let rows = kv.scan(table, &[], &[], Order::Forward, usize::MAX).expect("memory");
        rows.into_iter().for_each(|(key, value)| batch.put(table, key, value));
        copy.commit(&batch.records).expect("memory");
    }
    copy
}
