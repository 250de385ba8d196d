//! Doors: knocks handed to one member, kept while nobody is there, counted where passwords are tried.

use super::*;
use sha2::{Digest, Sha256};
use subrosa_relay::doors::{Doors, MESSAGES_MAX, Notice, WATCHED_MAX};
use subrosa_relay::metrics::Count;
use subrosa_shared::id::DoorId;
use subrosa_shared::protocol::door::{Answer, Guess, KnockId, Knocked, MESSAGE_MAX, Watch};

const DOOR: DoorId = DoorId([4; 16]);
const HOUR: u64 = 3_600_000;

fn watch(ask: u32, key: u8, next: u8) -> ToRelay {
    let guard = Sha256::digest([next; 32]).into();
    ToRelay::WatchDoor { ask: Ask(ask), watch: Watch { door: DOOR, key: [key; 32], guard } }
}

fn knock(ask: u32, byte: u8) -> ToRelay {
    ToRelay::Knock { ask: Ask(ask), door: DOOR, bytes: vec![byte] }
}

fn prove(ask: u32, byte: u8) -> ToRelay {
    ToRelay::Prove { ask: Ask(ask), door: DOOR, bytes: vec![byte] }
}

fn answer(ask: u32, knock: KnockId, guess: Guess, last: bool) -> ToRelay {
    ToRelay::AnswerKnock { ask: Ask(ask), answer: Answer { knock, bytes: vec![7], guess, last } }
}

fn answered(last: bool) -> ToDevice {
    ToDevice::Answered { door: DOOR, bytes: vec![7], last }
}

fn heard(heard: bool) -> ToDevice {
    ToDevice::KnockHeard { door: DOOR, heard }
}

fn done(ask: u32) -> ToDevice {
    ToDevice::Done(Ask(ask))
}

/// The one knock among the frames.
fn knocked(frames: &[ToDevice]) -> Knocked {
    match frames {
        [ToDevice::Knocked(knocked)] => knocked.clone(),
        [ToDevice::Done(_), ToDevice::Knocked(knocked)] => knocked.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_knock_reaches_one_member_and_both_talk_to_the_last_word() {
    let mut stage = Stage::new(Limits::default());
    let [ada, ben, cy] = [1, 2, 3].map(|who| stage.join(who).0);
    assert_eq!(stage.answer(cy, knock(1, 1)), [refused(1, Refusal::NotAllowed)], "nobody ever watched it");
    assert_eq!(stage.answer(ada, watch(1, 9, 9)), [done(1)]);
    assert_eq!(stage.answer(ben, watch(1, 9, 9)), [done(1)]);
    let outs = stage.say(cy, knock(2, 5));
    assert_eq!(to(cy, &outs), [done(2), heard(true)]);
    let (hears, other) = if to(ada, &outs).is_empty() { (ben, ada) } else { (ada, ben) };
    assert_eq!(to(other, &outs), []);
    let told = knocked(&to(hears, &outs));
    assert_eq!((told.from, told.name, told.bytes, told.since), (device(3), name(3), vec![5], stage.now.wall));
    assert_eq!(stage.answer(cy, prove(3, 6)), [refused(3, Refusal::NotAllowed)], "nobody has answered");
    let stranger = stage.answer(other, answer(2, told.knock, Guess::None, true));
    assert_eq!(stranger, [refused(2, Refusal::NotAllowed)], "another's knock");
    let outs = stage.say(hears, answer(2, told.knock, Guess::Taken, false));
    assert_eq!((to(hears, &outs), to(cy, &outs)), (vec![done(2)], vec![answered(false)]));
    let outs = stage.say(cy, prove(4, 6));
    assert_eq!(to(hears, &outs), [ToDevice::Proved { knock: told.knock, bytes: vec![6] }]);
    let outs = stage.say(hears, answer(3, told.knock, Guess::GivenBack, true));
    assert_eq!(to(cy, &outs), [answered(true)]);
    let after = stage.answer(hears, answer(4, told.knock, Guess::None, true));
    assert_eq!(after, [refused(4, Refusal::NotAllowed)], "it is over");
}

#[test]
fn messages_of_one_knock_are_bounded_either_way() {
    let mut stage = Stage::new(Limits::default());
    let [ada, cy] = [1, 3].map(|who| stage.join(who).0);
    stage.say(ada, watch(1, 9, 9));
    let told = knocked(&to(ada, &stage.say(cy, knock(1, 5))));
    let late = Refusal::RateLimited { retry_ms: 30_000 };
    for _ in 0..MESSAGES_MAX {
        assert_eq!(stage.answer(ada, answer(2, told.knock, Guess::None, false)), [done(2)]);
        assert_eq!(stage.answer(cy, prove(2, 6)), [done(2)]);
    }
    let outs = stage.say(cy, prove(3, 6));
    assert_eq!((to(cy, &outs), to(ada, &outs)), (vec![refused(3, late)], vec![]));
    let outs = stage.say(ada, answer(3, told.knock, Guess::None, false));
    assert_eq!((to(ada, &outs), to(cy, &outs)), (vec![refused(3, late)], vec![]));
    let outs = stage.say(ada, answer(4, told.knock, Guess::None, true));
    assert_eq!((to(ada, &outs), to(cy, &outs)), (vec![done(4)], vec![answered(true)]), "the last word");
    // Whoever knocks once more begins again.
    let again = knocked(&to(ada, &stage.say(cy, knock(5, 5))));
    assert_eq!(stage.answer(ada, answer(5, again.knock, Guess::None, false)), [done(5)]);
    assert_eq!(stage.answer(cy, prove(6, 6)), [done(6)]);
}

#[test]
fn a_knock_waits_until_a_member_comes_and_both_are_told() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    stage.say(ada, watch(1, 9, 9));
    stage.relay.gone(ada);
    let (cy, _) = stage.join(3);
    assert_eq!(stage.answer(cy, knock(1, 5)), [done(1), heard(false)]);
    let came = stage.now.wall;
    stage.pass(HOUR);
    // Who knocked may go meanwhile.
    stage.relay.gone(cy);
    let (ada, _) = stage.join(1);
    let outs = stage.say(ada, watch(1, 9, 9));
    let told = knocked(&to(ada, &outs));
    assert_eq!((told.from, told.since), (device(3), came));
    let (cy, _) = stage.join(3);
    assert_eq!(to(cy, &stage.say(ada, answer(2, told.knock, Guess::None, true))), [answered(true)]);
    // After a day it is over.
    stage.relay.gone(ada);
    stage.say(cy, knock(2, 5));
    stage.pass(24 * HOUR);
    stage.relay.tick(stage.now);
    let (ada, _) = stage.join(1);
    assert_eq!(stage.answer(ada, watch(1, 9, 9)), [done(1)]);
}

#[test]
fn a_member_who_leaves_or_sleeps_is_passed_by() {
    let mut stage = Stage::new(Limits::default());
    let [ada, ben, cy] = [1, 2, 3].map(|who| stage.join(who).0);
    stage.say(ada, watch(1, 9, 9));
    stage.say(ben, watch(1, 9, 9));
    let outs = stage.say(cy, knock(1, 5));
    let (first, second) = if to(ada, &outs).is_empty() { (ben, ada) } else { (ada, ben) };
    stage.pass(29_999);
    stage.relay.tick(stage.now);
    assert_eq!(stage.commit(), []);
    stage.pass(1);
    stage.relay.tick(stage.now);
    let outs = stage.commit();
    let told = knocked(&to(second, &outs));
    assert_eq!(
        stage.answer(first, answer(2, told.knock, Guess::None, true)),
        [refused(2, Refusal::NotAllowed)],
        "too late"
    );
    // Gone before an answer: the other one is asked again.
    stage.relay.gone(second);
    assert_eq!(stage.relay.tick(stage.now).0.min(stage.now.mono.0), stage.now.mono.0);
    let outs = stage.commit();
    let told = knocked(&to(first, &outs));
    // Gone after it: it has to begin again.
    stage.say(first, answer(3, told.knock, Guess::Taken, false));
    stage.relay.gone(first);
    assert_eq!(to(cy, &stage.commit()), [heard(false)]);
    assert_eq!(stage.answer(cy, prove(2, 6)), [refused(2, Refusal::NotAllowed)]);
    assert_eq!(stage.answer(cy, knock(3, 5)), [done(3), heard(false)]);
}

#[test]
fn the_eleventh_guess_within_an_hour_is_refused_also_after_a_restart() {
    let mut stage = Stage::new(Limits::default());
    let [mut ada, mut cy] = [1, 3].map(|who| stage.join(who).0);
    stage.say(ada, watch(1, 9, 9));
    for n in 0..10 {
        if n == 5 {
            stage.restart();
            [ada, cy] = [1, 3].map(|who| stage.join(who).0);
            stage.say(ada, watch(1, 9, 9));
        }
        let outs = stage.say(cy, knock(n, 5));
        let told = knocked(&to(ada, &outs));
        assert_eq!(stage.answer(ada, answer(n, told.knock, Guess::Taken, false)), [done(n)]);
        if n == 3 {
            // A right one counts for nothing.
            stage.say(ada, answer(n, told.knock, Guess::GivenBack, true));
            let again = knocked(&to(ada, &stage.say(cy, knock(n, 5))));
            stage.say(ada, answer(n, again.knock, Guess::Taken, false));
        }
        stage.pass(60_000);
    }
    let wait = Refusal::RateLimited { retry_ms: (HOUR - 600_000) as u32 };
    assert_eq!(stage.answer(cy, knock(20, 5)), [refused(20, wait)]);
    stage.restart();
    let [ada, cy] = [1, 3].map(|who| stage.join(who).0);
    stage.say(ada, watch(1, 9, 9));
    assert_eq!(stage.answer(cy, knock(20, 5)), [refused(20, wait)]);
    assert_eq!(stage.relay.metrics().get(Count::KnocksRefused), 1);
    stage.pass(HOUR - 600_000);
    let told = knocked(&to(ada, &stage.say(cy, knock(21, 5))));
    assert_eq!(stage.answer(ada, answer(21, told.knock, Guess::Taken, false)), [done(21)]);
}

#[test]
fn who_watches_while_the_disk_is_full_hears_the_knocks_that_wait() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    stage.say(ada, watch(1, 9, 9));
    stage.relay.gone(ada);
    let (cy, _) = stage.join(3);
    assert_eq!(stage.answer(cy, knock(1, 5)), [done(1), heard(false)]);
    // Over midnight: that the door is watched is to be written.
    stage.pass(2 * HOUR);
    let (ada, _) = stage.join(1);
    stage.disk.rule.to_the_brim.store(true, SeqCst);
    let outs = stage.say(ada, watch(2, 9, 9));
    let frames = to(ada, &outs);
    assert_eq!(frames.first(), Some(&refused(2, Refusal::StorageFull)));
    let told = knocked(&frames[1..]);
    assert_eq!(to(cy, &outs), [heard(true)]);
    // What takes no guess needs no disk, whatever else is of the same group.
    stage.relay.frame(ada, watch(3, 9, 9), stage.now);
    let outs = stage.say(ada, answer(4, told.knock, Guess::None, true));
    assert_eq!(to(cy, &outs), [answered(true)]);
}

#[test]
fn a_question_that_a_full_disk_refuses_was_not_asked_and_can_be_asked_again() {
    let mut stage = Stage::new(Limits::default());
    let [ada, ben, cy] = [1, 2, 3].map(|who| stage.join(who).0);
    stage.say(ada, watch(1, 9, 9));
    let told = knocked(&to(ada, &stage.say(cy, knock(1, 5))));
    stage.say(ben, watch(1, 9, 9));
    stage.disk.rule.to_the_brim.store(true, SeqCst);
    // As often as it takes, each time before another is asked.
    for _ in 0..=MESSAGES_MAX {
        let outs = stage.say(ada, answer(2, told.knock, Guess::Taken, false));
        assert_eq!((to(ada, &outs), to(cy, &outs)), (vec![refused(2, Refusal::StorageFull)], vec![]));
        assert_eq!(stage.answer(cy, prove(2, 6)), [refused(2, Refusal::NotAllowed)]);
        stage.pass(20_000);
        stage.relay.tick(stage.now);
        assert_eq!(to(ben, &stage.commit()), []);
    }
    stage.disk.rule.to_the_brim.store(false, SeqCst);
    let outs = stage.say(ada, answer(3, told.knock, Guess::Taken, false));
    assert_eq!((to(ada, &outs), to(cy, &outs)), (vec![done(3)], vec![answered(false)]));
    assert_eq!(stage.relay.metrics().get(Count::DoorGuesses), 1);
    assert_eq!(stage.answer(cy, prove(3, 6)), [done(3)]);
}

#[test]
fn guesses_that_a_clock_ahead_dated_close_a_door_no_longer_once_it_is_put_right() {
    let mut stage = Stage::new(Limits::default());
    let [ada, cy] = [1, 3].map(|who| stage.join(who).0);
    stage.say(ada, watch(1, 9, 9));
    for n in 0..10 {
        let told = knocked(&to(ada, &stage.say(cy, knock(n, 5))));
        assert_eq!(stage.answer(ada, answer(n, told.knock, Guess::Taken, false)), [done(n)]);
    }
    // By less than the hour: they count, and it says for how long.
    stage.now.wall.0 -= 60_000;
    let wait = Refusal::RateLimited { retry_ms: (HOUR + 60_000) as u32 };
    assert_eq!(stage.answer(cy, knock(20, 5)), [refused(20, wait)]);
    stage.now.wall.0 -= 365 * 24 * HOUR;
    stage.pass(HOUR + 1);
    let told = knocked(&to(ada, &stage.say(cy, knock(21, 5))));
    assert_eq!(stage.answer(ada, answer(21, told.knock, Guess::Taken, false)), [done(21)]);
}

#[test]
fn guesses_at_once_are_no_more_than_guesses_one_by_one() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    stage.say(ada, watch(1, 9, 9));
    let mut knocks = Vec::new();
    for who in 10..21 {
        let (conn, _) = stage.join(who);
        stage.pass(60_000);
        knocks.push(knocked(&to(ada, &stage.say(conn, knock(1, 5)))).knock);
    }
    for (n, knock) in knocks.into_iter().enumerate() {
        let outs = stage.answer(ada, answer(1, knock, Guess::Taken, false));
        match n {
            0..10 => assert_eq!(outs, [done(1)]),
            _ => assert_eq!(outs, [refused(1, Refusal::RateLimited { retry_ms: HOUR as u32 })]),
        }
    }
}

#[test]
fn who_was_removed_watches_no_more_and_a_closed_door_is_gone() {
    let mut stage = Stage::new(Limits::default());
    let [ada, ben, cy] = [1, 2, 3].map(|who| stage.join(who).0);
    stage.say(ada, watch(1, 9, 9));
    assert_eq!(stage.answer(ada, watch(2, 9, 10)), [done(2)], "the room has another secret");
    assert_eq!(stage.answer(ben, watch(1, 9, 9)), [refused(1, Refusal::NotAllowed)]);
    let close = |ask, key: u8| ToRelay::CloseDoor { ask: Ask(ask), door: DOOR, key: [key; 32] };
    assert_eq!(stage.answer(ben, close(2, 9)), [refused(2, Refusal::NotAllowed)]);
    stage.say(cy, knock(1, 5));
    let outs = stage.say(ada, close(3, 10));
    assert_eq!((to(ada, &outs), to(cy, &outs)), (vec![done(3)], vec![ToDevice::DoorClosed(DOOR)]));
    assert_eq!(stage.answer(cy, knock(2, 5)), [refused(2, Refusal::NotAllowed)]);
    assert_eq!(stage.answer(ada, close(4, 1)), [done(4)], "there is none");
}

#[test]
fn a_door_that_a_full_disk_keeps_has_its_knocks_and_who_hears_them() {
    let mut stage = Stage::new(Limits::default());
    let [ada, ben, cy] = [1, 2, 3].map(|who| stage.join(who).0);
    stage.say(ada, watch(1, 9, 9));
    // Of two doors of hers: that one is left is to be written.
    let guard = Sha256::digest([9; 32]).into();
    let second = Watch { door: DoorId([5; 16]), key: [9; 32], guard };
    stage.say(ada, ToRelay::WatchDoor { ask: Ask(1), watch: second });
    stage.say(ben, watch(1, 9, 9));
    let outs = stage.say(cy, knock(1, 5));
    let hears = if to(ada, &outs).is_empty() { ben } else { ada };
    let told = knocked(&to(hears, &outs));
    let close = ToRelay::CloseDoor { ask: Ask(2), door: DOOR, key: [9; 32] };
    stage.disk.rule.to_the_brim.store(true, SeqCst);
    let outs = stage.say(ada, close.clone());
    assert_eq!((to(ada, &outs), to(cy, &outs)), (vec![refused(2, Refusal::StorageFull)], vec![]));
    stage.disk.rule.to_the_brim.store(false, SeqCst);
    let outs = stage.say(hears, answer(3, told.knock, Guess::None, false));
    assert_eq!((to(hears, &outs), to(cy, &outs)), (vec![done(3)], vec![answered(false)]));
    let outs = stage.say(ada, close);
    assert_eq!((to(ada, &outs), to(cy, &outs)), (vec![done(2)], vec![ToDevice::DoorClosed(DOOR)]));
    let late = stage.answer(hears, answer(4, told.knock, Guess::None, true));
    assert_eq!(late, [refused(4, Refusal::NotAllowed)]);
}

#[test]
fn a_knock_waits_whose_question_is_lost_on_a_full_disk_together_with_who_asked_it() {
    for full in [true, false] {
        let mut stage = Stage::new(Limits::default());
        let [ada, ben, cy] = [1, 2, 3].map(|who| stage.join(who).0);
        stage.say(ada, watch(1, 9, 9));
        let told = knocked(&to(ada, &stage.say(cy, knock(1, 5))));
        stage.say(ben, watch(1, 9, 9));
        stage.disk.rule.to_the_brim.store(full, SeqCst);
        // All of one group.
        stage.relay.frame(ada, answer(2, told.knock, Guess::Taken, false), stage.now);
        stage.relay.gone(ada);
        stage.relay.tick(stage.now);
        let outs = stage.commit();
        assert_eq!(to(ben, &outs), [], "nobody is asked whose answer may come too late");
        let hears = to(cy, &outs);
        stage.disk.rule.to_the_brim.store(false, SeqCst);
        stage.relay.tick(stage.now);
        let outs = to(ben, &stage.commit());
        if full {
            assert_eq!(hears, [heard(false)]);
            assert_eq!(knocked(&outs), told);
        } else {
            assert_eq!(hears, [answered(false), heard(false)], "it has to begin again");
            assert_eq!(outs, []);
        }
    }
}

#[test]
fn a_knock_waits_on_whose_guess_was_one_too_many_and_whose_member_left() {
    let mut stage = Stage::new(Limits::default());
    let [ada, cy] = [1, 3].map(|who| stage.join(who).0);
    stage.say(ada, watch(1, 9, 9));
    let told = knocked(&to(ada, &stage.say(cy, knock(1, 5))));
    for who in 10..20 {
        let (conn, _) = stage.join(who);
        stage.pass(60_000);
        let other = knocked(&to(ada, &stage.say(conn, knock(1, 5)))).knock;
        assert_eq!(stage.answer(ada, answer(1, other, Guess::Taken, false)), [done(1)]);
        stage.say(ada, answer(1, other, Guess::None, true));
    }
    let outs = stage.say(ada, answer(2, told.knock, Guess::Taken, false));
    assert!(matches!(to(ada, &outs)[..], [ToDevice::Refused { why: Refusal::RateLimited { .. }, .. }]));
    assert_eq!(stage.answer(cy, prove(2, 6)), [refused(2, Refusal::NotAllowed)], "nobody has asked");
    stage.relay.gone(ada);
    assert_eq!(to(cy, &stage.commit()), [heard(false)]);
    let (ben, _) = stage.join(2);
    assert_eq!(knocked(&stage.answer(ben, watch(1, 9, 9))), told);
}

#[test]
fn a_door_that_is_closed_is_watched_no_more() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    for n in 0..=WATCHED_MAX as u32 {
        let mut door = DoorId([0; 16]);
        door.0[..4].copy_from_slice(&n.to_be_bytes());
        let watch = Watch { door, key: [9; 32], guard: Sha256::digest([9; 32]).into() };
        assert_eq!(stage.answer(ada, ToRelay::WatchDoor { ask: Ask(n), watch }), [done(n)]);
        assert_eq!(stage.answer(ada, ToRelay::CloseDoor { ask: Ask(n), door, key: [9; 32] }), [done(n)]);
    }
}

#[test]
fn knocks_are_bounded_and_doors_nobody_watches_are_forgotten() {
    let mut stage = Stage::new(Limits::default());
    let [ada, cy] = [1, 3].map(|who| stage.join(who).0);
    stage.say(ada, watch(1, 9, 9));
    let long = ToRelay::Knock { ask: Ask(1), door: DOOR, bytes: vec![0; MESSAGE_MAX + 1] };
    assert_eq!(stage.answer(cy, long), [refused(1, Refusal::TooLarge)]);
    let mut refusals = 0;
    for n in 0..40 {
        let outs = stage.answer(cy, knock(n, 5));
        refusals += usize::from(outs.iter().any(|frame| matches!(frame, ToDevice::Refused { .. })));
    }
    assert_eq!(refusals, 20, "twenty at once");
    for who in 10..60 {
        let (conn, _) = stage.join(who);
        let outs = stage.answer(conn, knock(1, 5));
        let full = [refused(1, Refusal::RateLimited { retry_ms: 30_000 })];
        assert_eq!(outs == full, who >= 41, "{who}: {outs:?}");
        stage.pass(60_000);
    }
    stage.relay.gone(ada);
    stage.pass(91 * 24 * HOUR);
    search(&mut stage);
    let (cy, _) = stage.join(3);
    assert_eq!(stage.answer(cy, knock(1, 5)), [refused(1, Refusal::NotAllowed)]);
}

#[test]
fn a_door_that_two_accounts_have_filled_is_open_to_others() {
    let mut doors = Doors::new(Arc::new(Memory::default()));
    let now = Now { wall: Millis(1_700_000_000_000), mono: Millis(1000) };
    let watch = Watch { door: DOOR, key: [9; 32], guard: Sha256::digest([9; 32]).into() };
    doors.watch(Conn(1), &name(1), &watch, now).expect("begun");
    let from = |number| DeviceId([number; 16]);
    let mut knock = |number, who| doors.knock(from(number), &name(who), DOOR, vec![5], now);
    for number in 0..32 {
        assert!(knock(number, number % 2).is_ok(), "{number}");
    }
    assert!(knock(99, 0).is_err(), "an account has a bound of its own");
    for number in 32..62 {
        assert!(knock(number, number).is_ok(), "{number}");
    }
    assert!(knock(62, 62).is_err(), "each of them has one");
    // The oldest of those two went.
    let left: Vec<_> = (30..62).map(|number| Notice::Closed(from(number), DOOR)).collect();
    assert_eq!(doors.close(&DOOR, &[9; 32]).expect("its key"), left);
}

/// Looks for what is out of date, to the end.
fn search(stage: &mut Stage) {
    while stage.relay.tick(stage.now) <= stage.now.mono {
        stage.commit();
    }
}

#[test]
fn a_door_that_was_watched_before_the_clock_was_put_right_is_kept() {
    // In one run, or in three of which the second has a clock that is wrong.
    for runs in [1, 3] {
        let mut stage = Stage::new(Limits::default());
        if runs == 3 {
            let (ada, _) = stage.join(1);
            stage.say(ada, watch(1, 9, 9));
            stage.restart();
        }
        stage.now.wall.0 -= 365 * 24 * HOUR;
        let (ada, _) = stage.join(1);
        stage.say(ada, watch(1, 9, 9));
        stage.relay.gone(ada);
        if runs == 3 {
            stage.restart();
        }
        stage.now.wall.0 += 365 * 24 * HOUR;
        stage.pass(HOUR);
        search(&mut stage);
        let (cy, _) = stage.join(3);
        assert_eq!(stage.answer(cy, knock(1, 5)), [done(1), heard(false)]);
    }
}

#[test]
fn a_door_is_kept_that_somebody_watched_for_months_until_a_moment_ago() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    stage.say(ada, watch(1, 9, 9));
    for _ in 0..91 {
        stage.pass(24 * HOUR);
        search(&mut stage);
    }
    stage.relay.gone(ada);
    stage.pass(HOUR);
    search(&mut stage);
    let (cy, _) = stage.join(3);
    assert_eq!(stage.answer(cy, knock(1, 5)), [done(1), heard(false)]);
}
