//! What every kind of mailbox keeps.

use super::{Error, Mailbox, Put, Quota, REPEAT_MS, Totals};
use sha2::{Digest, Sha256};
use subrosa_shared::id::{AccountName, DeviceId, EnvelopeId, Seq};
use subrosa_shared::protocol::envelope::{Head, Keep, Move, Outgoing};
use subrosa_shared::time::Millis;

const ADA: DeviceId = DeviceId([1; 16]);
const BEN: DeviceId = DeviceId([2; 16]);
const CY: DeviceId = DeviceId([3; 16]);
const ROOMY: Quota = Quota { envelopes: 1000, bytes: 1 << 20, total: 1 << 30, heads: 2 };

/// Runs the whole contract over fresh mailboxes.
pub(super) fn check(fresh: &mut dyn FnMut(Quota) -> Box<dyn Mailbox>) {
    in_order_until_acknowledged(&mut *fresh(ROOMY));
    numbers_are_never_given_out_twice(&mut *fresh(ROOMY));
    a_body_is_kept_once_until_its_last_reader(&mut *fresh(ROOMY));
    a_repeat_is_stored_once(&mut *fresh(ROOMY));
    pieces_are_bounded_but_never_empty(&mut *fresh(ROOMY));
    a_full_mailbox_takes_none_of_it(&mut *fresh(Quota { envelopes: 2, ..ROOMY }));
    bytes_are_bounded(&mut *fresh(Quota { bytes: 100, ..ROOMY }));
    a_full_relay_takes_none_of_it(&mut *fresh(Quota { total: 100, ..ROOMY }));
    what_is_old_expires(&mut *fresh(ROOMY));
    a_head_moves_with_its_envelope_or_not_at_all(&mut *fresh(Quota { envelopes: 2, ..ROOMY }));
    heads_have_a_quota_and_expire(&mut *fresh(ROOMY));
    a_long_first_mailbox_does_not_hide_the_next(&mut *fresh(ROOMY));
}

fn envelope(id: u16, to: &[DeviceId], head: &[u8], body: &[u8]) -> Outgoing {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&id.to_be_bytes());
    let to = to.iter().map(|to| Head { to: *to, bytes: head.to_vec() }).collect();
    Outgoing { id: EnvelopeId(bytes), keep: Keep::Stored, to, body: body.to_vec(), moves: None }
}

fn put(mailbox: &mut dyn Mailbox, envelope: &Outgoing, wall: u64) -> Result<Put, Error> {
    let name = AccountName::parse("ada").expect("valid");
    let put = mailbox.put(ADA, &name, envelope, Millis(wall));
    mailbox.append().expect("commits");
    put
}

fn seqs(mailbox: &dyn Mailbox, device: DeviceId, after: u64) -> Vec<u64> {
    let waiting = mailbox.after(device, Seq(after), 10_000, usize::MAX).expect("reads");
    waiting.iter().map(|next| next.delivery.seq.0).collect()
}

fn in_order_until_acknowledged(mailbox: &mut dyn Mailbox) {
    for id in 1..=3 {
        put(mailbox, &envelope(id, &[BEN], &[id as u8], b"body"), 5).expect("room");
    }
    assert_eq!(seqs(mailbox, BEN, 0), [1, 2, 3]);
    assert_eq!(seqs(mailbox, BEN, 2), [3]);
    assert_eq!(seqs(mailbox, CY, 0), [0_u64; 0]);
    let first = &mailbox.after(BEN, Seq(0), 1, 100).expect("reads")[0];
    assert_eq!((first.delivery.from, first.delivery.name.as_str()), (ADA, "ada"));
    assert_eq!((&first.delivery.head[..], &first.delivery.body[..]), (&[1][..], &b"body"[..]));
    mailbox.ack(BEN, Seq(2)).expect("acks");
    assert_eq!(seqs(mailbox, BEN, 0), [3], "up to and with it");
    mailbox.ack(BEN, Seq(1)).expect("acks");
    assert_eq!(seqs(mailbox, BEN, 0), [3], "an older one changes nothing");
    let status = mailbox.status(BEN).expect("reads");
    assert_eq!((status.newest, status.acked, status.count, status.bytes), (Seq(3), Seq(2), 1, 5));
}

fn numbers_are_never_given_out_twice(mailbox: &mut dyn Mailbox) {
    put(mailbox, &envelope(1, &[BEN], b"h", b""), 5).expect("room");
    mailbox.ack(BEN, Seq(99)).expect("acks");
    mailbox.append().expect("commits");
    assert_eq!(mailbox.status(BEN).expect("reads").acked, Seq(1), "no further than there is");
    put(mailbox, &envelope(2, &[BEN], b"h", b""), 5).expect("room");
    assert_eq!(seqs(mailbox, BEN, 0), [2]);
}

fn a_body_is_kept_once_until_its_last_reader(mailbox: &mut dyn Mailbox) {
    put(mailbox, &envelope(1, &[BEN, CY], b"hh", b"0123456789"), 5).expect("room");
    assert_eq!(mailbox.totals().expect("reads"), Totals { bytes: 14, bodies: 1 });
    mailbox.ack(BEN, Seq(1)).expect("acks");
    assert_eq!(mailbox.totals().expect("reads"), Totals { bytes: 12, bodies: 1 });
    let waiting = mailbox.after(CY, Seq(0), 1, 100).expect("reads");
    assert_eq!(waiting[0].delivery.body, b"0123456789");
    mailbox.ack(CY, Seq(1)).expect("acks");
    assert_eq!(mailbox.totals().expect("reads"), Totals::default());
    mailbox.append().expect("commits");
    assert_eq!(mailbox.totals().expect("reads"), Totals::default());
}

fn a_repeat_is_stored_once(mailbox: &mut dyn Mailbox) {
    let once = envelope(1, &[BEN], b"h", b"b");
    assert_eq!(put(mailbox, &once, 5).expect("room"), Put::Stored);
    assert_eq!(put(mailbox, &once, 6).expect("room"), Put::Repeat);
    mailbox.ack(BEN, Seq(1)).expect("acks");
    assert_eq!(put(mailbox, &once, 7).expect("room"), Put::Repeat, "read already");
    assert_eq!(seqs(mailbox, BEN, 0), [0_u64; 0]);
    let other = AccountName::parse("cy").expect("valid");
    assert_eq!(mailbox.put(CY, &other, &once, Millis(8)).expect("room"), Put::Stored, "another sender's id");
    // Far later, and after others, the id is forgotten.
    let late = 6 + REPEAT_MS;
    put(mailbox, &envelope(2, &[BEN], b"h", b"b"), late).expect("room");
    assert_eq!(put(mailbox, &once, late).expect("room"), Put::Stored);
}

fn pieces_are_bounded_but_never_empty(mailbox: &mut dyn Mailbox) {
    for id in 1..=3 {
        put(mailbox, &envelope(id, &[BEN], &[0; 10], &[0; 10]), 5).expect("room");
    }
    let count = |count, bytes| mailbox.after(BEN, Seq(0), count, bytes).expect("reads").len();
    assert_eq!((count(2, 1000), count(9, 40), count(9, 39), count(9, 0)), (2, 2, 1, 1));
}

fn a_full_mailbox_takes_none_of_it(mailbox: &mut dyn Mailbox) {
    for id in 1..=2 {
        put(mailbox, &envelope(id, &[BEN], b"h", b""), 5).expect("room");
    }
    let both = envelope(3, &[CY, BEN], b"h", b"body");
    assert!(matches!(put(mailbox, &both, 5), Err(Error::MailboxFull(_))));
    assert_eq!(seqs(mailbox, CY, 0), [0_u64; 0], "in every mailbox or in none");
    assert_eq!(mailbox.totals().expect("reads").bodies, 0);
    mailbox.ack(BEN, Seq(1)).expect("acks");
    assert_eq!(put(mailbox, &both, 5).expect("room"), Put::Stored, "not taken for a repeat");
    assert_eq!(seqs(mailbox, BEN, 0), [2, 3]);
}

fn bytes_are_bounded(mailbox: &mut dyn Mailbox) {
    put(mailbox, &envelope(1, &[BEN], &[0; 40], &[0; 40]), 5).expect("room");
    let refused = put(mailbox, &envelope(2, &[BEN], &[0; 21], &[]), 5);
    assert!(matches!(refused, Err(Error::MailboxFull(_))));
    put(mailbox, &envelope(3, &[BEN], &[0; 20], &[]), 5).expect("just fits");
}

fn a_full_relay_takes_none_of_it(mailbox: &mut dyn Mailbox) {
    put(mailbox, &envelope(1, &[BEN, CY], &[0; 10], &[0; 60]), 5).expect("a body counts once");
    let refused = put(mailbox, &envelope(2, &[ADA], &[0; 21], &[]), 5);
    assert!(matches!(refused, Err(Error::StorageFull)));
    assert_eq!(seqs(mailbox, ADA, 0), [0_u64; 0]);
    mailbox.ack(BEN, Seq(1)).expect("acks");
    put(mailbox, &envelope(2, &[ADA], &[0; 21], &[]), 5).expect("there is room again");
}

fn what_is_old_expires(mailbox: &mut dyn Mailbox) {
    for id in 1..=600 {
        put(mailbox, &envelope(id, &[BEN], b"h", b"b"), 5).expect("room");
    }
    put(mailbox, &envelope(601, &[BEN, CY], b"h", b"b"), 9).expect("room");
    let (mut dropped, mut from) = (0, None);
    loop {
        let (count, next) = mailbox.expire(&|at| at < Millis(9), from).expect("expires");
        mailbox.append().expect("commits");
        dropped += count;
        from = next;
        if from.is_none() && count == 0 {
            break;
        }
    }
    assert_eq!(dropped, 600);
    assert_eq!(seqs(mailbox, BEN, 0), [601]);
    assert_eq!(seqs(mailbox, CY, 0), [1]);
    assert_eq!(mailbox.totals().expect("reads"), Totals { bytes: 3, bodies: 1 });
}

fn a_long_first_mailbox_does_not_hide_the_next(mailbox: &mut dyn Mailbox) {
    for id in 0..600 {
        put(mailbox, &envelope(id, &[ADA], b"h", b""), 5).expect("room");
    }
    put(mailbox, &envelope(600, &[BEN], b"h", b""), 5).expect("room");
    let (mut from, mut dropped) = (None, 0);
    loop {
        let (count, next) = mailbox.expire(&|at| at < Millis(6), from).expect("expires");
        dropped += count;
        from = next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(dropped, 601);
}

/// A move under a handle, with the key that the guard before let in, to a head and its key.
fn moving(envelope: Outgoing, handle: u8, from: u8, key: u8, to: u8, next: u8) -> Outgoing {
    let guard = Sha256::digest([next; 32]).into();
    let moves = Move { handle: [handle; 16], from: [from; 32], to: [to; 32], key: [key; 32], guard };
    Outgoing { moves: Some(Box::new(moves)), ..envelope }
}

fn a_head_moves_with_its_envelope_or_not_at_all(mailbox: &mut dyn Mailbox) {
    let to_ben = |id| envelope(id, &[BEN], b"h", b"");
    let first = moving(to_ben(1), 7, 0, 50, 1, 50);
    assert_eq!(put(mailbox, &first, 5).ok(), Some(Put::Stored));
    assert_eq!(put(mailbox, &first, 5).ok(), Some(Put::Repeat), "moves nothing again");
    let from_before = put(mailbox, &moving(to_ben(2), 7, 0, 50, 2, 50), 5);
    assert!(matches!(from_before, Err(Error::Outdated)), "another was first");
    let wrong = put(mailbox, &moving(to_ben(3), 7, 1, 51, 2, 50), 5);
    assert!(matches!(wrong, Err(Error::WrongKey)));
    assert_eq!(seqs(mailbox, BEN, 0), [1], "nothing of what was refused");
    // Somebody was removed: another key from here on.
    put(mailbox, &moving(to_ben(4), 7, 1, 50, 2, 51), 5).expect("its turn");
    assert!(matches!(put(mailbox, &moving(to_ben(5), 7, 2, 50, 3, 50), 5), Err(Error::WrongKey)));
    // Ben's mailbox is full: the head stays where it is.
    let full = put(mailbox, &moving(envelope(6, &[BEN, CY], b"h", b""), 7, 2, 51, 3, 51), 5);
    assert!(matches!(full, Err(Error::MailboxFull(who)) if who == [BEN]));
    put(mailbox, &moving(envelope(7, &[CY], b"h", b""), 7, 2, 51, 3, 51), 5).expect("still its turn");
    // Alone in a room.
    put(mailbox, &moving(envelope(8, &[], b"", b""), 7, 3, 51, 4, 51), 5).expect("nobody need hear it");
    assert!(matches!(put(mailbox, &moving(to_ben(9), 7, 3, 51, 5, 51), 5), Err(Error::Outdated)));
}

fn heads_have_a_quota_and_expire(mailbox: &mut dyn Mailbox) {
    let alone = |id| envelope(id, &[], b"", b"");
    put(mailbox, &moving(alone(1), 1, 0, 9, 1, 9), 10).expect("the first");
    put(mailbox, &moving(alone(2), 2, 0, 9, 1, 9), 10).expect("the second");
    let third = moving(alone(3), 3, 0, 9, 1, 9);
    assert!(matches!(put(mailbox, &third, 10), Err(Error::TooManyHeads)));
    put(mailbox, &moving(alone(4), 2, 1, 9, 2, 9), 20).expect("those that there are move");
    let (mut dropped, mut from) = (0, Some(Vec::new()));
    while let Some(key) = from {
        let (more, next) = mailbox.expire_heads(&|at| at < Millis(20), &key).expect("sweeps");
        (dropped, from) = (dropped + more, next);
    }
    mailbox.append().expect("commits");
    assert_eq!(dropped, 1, "the first was moved before");
    put(mailbox, &third, 30).expect("its place is free");
    // What the relay has dropped begins again where its members are.
    assert!(matches!(put(mailbox, &moving(alone(5), 1, 1, 9, 2, 9), 30), Err(Error::TooManyHeads)));
    mailbox.expire_heads(&|at| at < Millis(30), &[]).expect("sweeps");
    put(mailbox, &moving(alone(6), 1, 1, 9, 2, 9), 30).expect("from anywhere");
    assert!(matches!(put(mailbox, &moving(alone(7), 1, 1, 9, 3, 9), 30), Err(Error::Outdated)));
}
