//! Room heads: one operation at a time, together with its delivery or not at all.

use super::*;
use sha2::{Digest, Sha256};
use subrosa_relay::admin::restore;
use subrosa_relay::metrics::Count;
use subrosa_shared::protocol::envelope::{Move, RECIPIENTS_MAX};

const DAY_MS: u64 = 24 * 3_600_000;

/// The operation that makes `to` of `from`, made with one key and leaving it to another.
fn op(id: u8, to: &[u8], (from, head): (u8, u8), (key, next): (u8, u8)) -> ToRelay {
    let guard = Sha256::digest([next; 32]).into();
    let moves = Move { handle: [7; 16], from: [from; 32], to: [head; 32], key: [key; 32], guard };
    let body: &[u8] = if to.is_empty() { b"" } else { b"an operation" };
    ToRelay::Send(Outgoing { moves: Some(Box::new(moves)), ..envelope(id, to, body) })
}

#[test]
fn of_two_at_once_the_second_is_outdated_and_in_nobodys_mailbox() {
    let mut stage = Stage::new(Limits::default());
    let [ada, ben] = [1, 2].map(|who| stage.join(who).0);
    let (cy, _) = stage.join(3);
    assert_eq!(stage.answer(ada, op(1, &[], (0, 1), (9, 9))), [accepted(1)], "alone in a new room");
    // Both in one group, before either is on disk.
    stage.relay.frame(ada, op(2, &[2, 3], (1, 2), (9, 9)), stage.now);
    let outs = stage.say(ben, op(3, &[1, 3], (1, 3), (9, 9)));
    assert_eq!(to(ben, &outs)[0], rejected(3, Refusal::Outdated));
    assert_eq!(delivered(&to(cy, &outs)), [2]);
    assert_eq!(stage.answer(ben, op(4, &[1, 3], (2, 3), (9, 9)))[0], accepted(4), "drafted again");
    let metrics = stage.relay.metrics();
    assert_eq!((metrics.get(Count::HeadsMoved), metrics.get(Count::HeadsOutdated)), (3, 1));
}

#[test]
fn who_was_removed_moves_nothing_any_more() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    let (ben, _) = stage.join(2);
    stage.say(ada, op(1, &[2], (0, 1), (9, 9)));
    // The removal leaves it to a key that ben does not hear of.
    assert_eq!(stage.answer(ada, op(2, &[2], (1, 2), (9, 10))), [accepted(2)]);
    assert_eq!(stage.answer(ben, op(3, &[1], (2, 3), (9, 9))), [rejected(3, Refusal::NotAllowed)]);
    assert_eq!(stage.answer(ben, op(4, &[1], (0, 3), (9, 9))), [rejected(4, Refusal::NotAllowed)]);
    assert_eq!(stage.relay.metrics().get(Count::HeadsWrongKey), 2);
    // Only the key changes.
    assert_eq!(stage.answer(ada, op(5, &[2], (2, 2), (10, 11))), [accepted(5)]);
    assert_eq!(stage.answer(ada, op(6, &[2], (2, 3), (10, 11))), [rejected(6, Refusal::NotAllowed)]);
    assert_eq!(stage.answer(ada, op(7, &[2], (2, 3), (11, 11))), [accepted(7)]);
}

#[test]
fn a_head_and_its_envelope_are_on_disk_together_or_not_at_all() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    stage.join(2);
    stage.say(ada, op(1, &[2], (0, 1), (9, 9)));
    // Cut off before the commit.
    stage.relay.frame(ada, op(2, &[2], (1, 2), (9, 9)), stage.now);
    stage.restart();
    let (ada, _) = stage.join(1);
    let (ben, waiting) = stage.join(2);
    assert_eq!(delivered(&waiting), [1]);
    assert_eq!(stage.answer(ada, op(2, &[2], (1, 2), (9, 9))), [accepted(2)], "the head had not moved");
    // A disk that takes no more.
    stage.disk.rule.full.store(true, SeqCst);
    let outs = stage.say(ada, op(3, &[2], (2, 3), (9, 9)));
    assert_eq!((to(ada, &outs), to(ben, &outs)), (vec![rejected(3, Refusal::StorageFull)], vec![]));
    stage.disk.rule.full.store(false, SeqCst);
    stage.pass(1000);
    assert_eq!(stage.answer(ada, op(3, &[2], (2, 3), (9, 9))), [accepted(3)], "the same again");
    // Accepted, but the answer was lost.
    stage.restart();
    let (ada, _) = stage.join(1);
    assert_eq!(stage.answer(ada, op(3, &[2], (2, 3), (9, 9))), [accepted(3)], "and again");
    assert_eq!(stage.answer(ada, op(4, &[2], (2, 4), (9, 9))), [rejected(4, Refusal::Outdated)]);
}

#[test]
fn a_recipient_in_the_way_leaves_the_head_where_it_is() {
    let mut stage = Stage::new(Limits { mailbox_envelopes: 1, ..Limits::default() });
    let (ada, _) = stage.join(1);
    stage.join(2);
    stage.join(3);
    assert_eq!(stage.answer(ada, op(1, &[2], (0, 1), (9, 9))), [accepted(1)]);
    let full = stage.answer(ada, op(2, &[2, 3], (1, 2), (9, 9)));
    assert_eq!(full, [in_the_way(2, Refusal::MailboxFull, &[2])]);
    let gone = stage.answer(ada, op(3, &[3, 88, 99], (1, 2), (9, 9)));
    assert_eq!(gone, [in_the_way(3, Refusal::UnknownDevice, &[88, 99])]);
    assert_eq!(stage.answer(ada, op(4, &[3], (1, 2), (9, 9))), [accepted(4)], "to whom it can reach");
}

#[test]
fn heads_have_bounds_a_quota_and_an_end() {
    let mut stage = Stage::new(Limits { room_heads: 1, ..Limits::default() });
    let (ada, _) = stage.join(1);
    let (ben, _) = stage.join(2);
    let other = |id, from| {
        let ToRelay::Send(mut outgoing) = op(id, &[], (from, 1), (9, 9)) else { unreachable!("a send") };
        outgoing.moves.as_mut().expect("an operation").handle = [8; 16];
        outgoing
    };
    stage.say(ada, op(1, &[], (0, 1), (9, 9)));
    assert_eq!(stage.answer(ada, ToRelay::Send(other(2, 0))), [rejected(2, Refusal::TooLarge)]);
    let next = stage.answer(ada, ToRelay::Send(envelope(8, &[2], b"x")));
    assert_eq!(next, [accepted(8)], "what follows need not wait for it");
    let fleeting = Outgoing { keep: Keep::Fleeting, ..other(3, 0) };
    assert_eq!(stage.answer(ben, ToRelay::Send(fleeting)), [rejected(3, Refusal::TooLarge)]);
    assert_eq!(stage.answer(ben, ToRelay::Send(other(4, 0))), [accepted(4)], "each account has its own");
    // Half a year later one of them moves, and after a year only that one is there.
    stage.pass(180 * DAY_MS);
    assert_eq!(stage.answer(ben, ToRelay::Send(other(5, 1))), [accepted(5)]);
    stage.pass(190 * DAY_MS);
    let mut due = Millis(0);
    while due <= stage.now.mono {
        due = stage.relay.tick(stage.now);
        stage.commit();
    }
    assert_eq!(stage.relay.metrics().get(Count::HeadsExpired), 1);
    let ben = stage.join(2).0;
    assert_eq!(stage.answer(ben, ToRelay::Send(other(6, 0))), [rejected(6, Refusal::Outdated)]);
    let ada = stage.join(1).0;
    assert_eq!(stage.answer(ada, op(7, &[], (3, 4), (9, 9))), [accepted(7)], "a head begins where they are");
}

#[test]
fn an_operation_reaches_a_room_of_a_hundred_people_with_their_devices() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    let others: Vec<u8> = (2..=255).collect();
    let mut conns = Vec::new();
    for who in &others {
        conns.push(stage.join(*who).0);
        stage.pass(60_000);
    }
    let outs = stage.say(ada, op(1, &others, (0, 1), (9, 9)));
    assert_eq!(to(ada, &outs), [accepted(1)]);
    assert!(conns.iter().all(|conn| delivered(&to(*conn, &outs)) == [1]));
    assert_eq!(stage.totals().bodies, 1);
    let many = Outgoing {
        to: (0..=RECIPIENTS_MAX as u32)
            .map(|n| Head { to: DeviceId::of(&[n as u8; 32]), bytes: n.to_be_bytes().to_vec() })
            .collect(),
        ..envelope(2, &[], b"")
    };
    assert_eq!(stage.answer(ada, ToRelay::Send(many)), [rejected(2, Refusal::TooLarge)]);
}

#[test]
fn a_relay_that_went_back_takes_a_head_from_wherever_it_is_by_its_key_alone() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    stage.join(2);
    stage.say(ada, op(1, &[2], (0, 1), (9, 9)));
    // A removal: ben knows the key before it, and the handle.
    stage.say(ada, op(2, &[2], (1, 2), (9, 10)));
    restore::settle(&*stage.disk, &mut OsRng).expect("memory");
    stage.restart();
    let (ada, _) = stage.join(1);
    let (ben, _) = stage.join(2);
    assert_eq!(stage.answer(ben, op(3, &[1], (0, 3), (9, 9))), [rejected(3, Refusal::NotAllowed)]);
    assert_eq!(stage.answer(ben, op(4, &[1], (2, 3), (9, 9))), [rejected(4, Refusal::NotAllowed)]);
    // Others have moved it since the backup, as only who is in knows.
    assert_eq!(stage.answer(ada, op(5, &[2], (77, 78), (10, 11))), [accepted(5)]);
    assert_eq!(
        stage.answer(ada, op(6, &[2], (77, 79), (11, 11))),
        [rejected(6, Refusal::Outdated)],
        "as ever"
    );
    stage.pass(1000);
    assert_eq!(stage.answer(ada, op(7, &[2], (78, 79), (11, 11))), [accepted(7)]);
}
