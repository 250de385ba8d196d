//! A clock that ran ahead, and was set back.

use super::world::{DAY, Device, HOUR, at, introduce, pair};
use crate::session::kept::{INBOUND, PREKEY};
use crate::session::{UNREADABLE_START, Why};
use crate::store::Batch;

const MONTH: u64 = 31 * DAY;
const SKIPPED: u8 = 3;

/// How many slots of a kind are there at that time.
fn left(device: &mut Device, kind: u8, ms: u64) -> usize {
    device.now = at(ms);
    back(device);
    device.expire();
    device.store.slots.list(kind).len()
}

/// The clock is known to be right.
fn back(device: &mut Device) {
    let mut batch = Batch::default();
    device.sessions.clock_back(device.now.wall, &mut batch);
    device.store.commit(&batch).expect("memory");
}

#[test]
fn a_clock_that_is_behind_for_a_moment_shortens_nothing() {
    let (mut ada, mut ben) = pair();
    let b = ben.peer();
    ben.now = at(MONTH);
    let hello = ada.says(&b, b"hello");
    ben.hears(&hello);
    let first = ben.publish(64, false);
    ada.seal(&b, Why::Signal, b"lost");
    let last = ada.seal(&b, Why::Signal, b"there");
    ben.hears(&last);
    let held = (ben.store.slots.list(PREKEY).len(), ben.store.slots.list(SKIPPED).len());
    ben.now = at(0);
    ben.expire();
    ben.now = at(MONTH + HOUR);
    ben.expire();
    assert_eq!((ben.store.slots.list(PREKEY).len(), ben.store.slots.list(SKIPPED).len()), held);
    assert!(held.1 > 0 && !first.is_empty());
}

#[test]
fn a_last_resort_prekey_of_a_day_that_has_not_come_is_rotated_and_kept_two_weeks() {
    let mut ben = Device::new(2);
    ben.now = at(12 * MONTH);
    let wrong = ben.publish(64, false);
    ben.now = at(0);
    back(&mut ben);
    let right = ben.publish(64, true);
    assert_eq!((wrong.len(), right.len()), (1, 1));
    assert_ne!(wrong, right);
    assert_eq!(left(&mut ben, PREKEY, 14 * DAY - 1), 2);
    assert_eq!(left(&mut ben, PREKEY, 14 * DAY), 1);
}

#[test]
fn a_last_resort_prekey_that_was_replaced_on_a_day_that_has_not_come_is_kept_a_week() {
    let mut ben = Device::new(2);
    ben.publish(64, false);
    ben.now = at(MONTH);
    ben.publish(64, true);
    assert_eq!(left(&mut ben, PREKEY, 8 * DAY), 2);
    assert_eq!(left(&mut ben, PREKEY, 15 * DAY - 1), 2);
    assert_eq!(left(&mut ben, PREKEY, 15 * DAY), 1);
}

#[test]
fn what_came_while_the_clock_was_ahead_leaves_keys_and_sessions_for_a_week() {
    let (mut ada, mut ben) = pair();
    let b = ben.peer();
    ben.now = at(MONTH);
    for _ in 0..4 {
        let mut batch = Batch::default();
        ada.sessions.reset(&b.device(), UNREADABLE_START, &mut batch);
        ada.store.commit(&batch).expect("memory");
        introduce(&mut ada, &mut ben);
        let first = ada.says(&b, b"roses");
        ben.hears(&first);
    }
    ada.seal(&b, Why::Signal, b"lost");
    let last = ada.seal(&b, Why::Signal, b"there");
    ben.hears(&last);
    let now = HOUR;
    assert_eq!((left(&mut ben, SKIPPED, now), left(&mut ben, INBOUND, now)), (1, 4));
    ben.reload();
    let week = HOUR + 7 * DAY;
    assert_eq!((left(&mut ben, SKIPPED, week - 1), left(&mut ben, INBOUND, week - 1)), (1, 4));
    assert_eq!((left(&mut ben, SKIPPED, week), left(&mut ben, INBOUND, week)), (0, 3));
}

#[test]
fn a_session_of_a_day_that_has_not_come_gives_way() {
    let (mut ada, mut ben) = pair();
    let b = ben.peer();
    ada.now = at(MONTH);
    let first = ada.says(&b, b"hello");
    ada.now = at(HOUR);
    introduce(&mut ada, &mut ben);
    let second = ada.seal(&b, Why::Signal, b"hello again");
    assert_ne!(second.session, first.session);
}

#[test]
fn who_cannot_open_a_start_under_a_clock_that_was_set_back_opens_the_next_one() {
    let (mut ada, mut ben) = pair();
    let (a, b) = (ada.peer(), ben.peer());
    ada.now = at(MONTH);
    ben.now = at(MONTH);
    for _ in 0..100 {
        let sealed = ada.says(&b, b"x");
        ben.hears(&sealed);
    }
    // He lost what she gave him, and she keeps the secrets of it.
    let mut batch = Batch::default();
    ben.sessions.restart(&a.device(), &mut batch);
    ben.store.commit(&batch).expect("memory");
    ada.now = at(MONTH - 26 * HOUR);
    let mut opened = false;
    for _ in 0..3 {
        // She says that she cannot open what he began.
        let mut batch = Batch::default();
        ada.sessions.restart(&b.device(), &mut batch);
        ada.store.commit(&batch).expect("memory");
        introduce(&mut ada, &mut ben);
        let said = ada.says(&b, b"cannot open");
        ben.hears(&said);
        let mut batch = Batch::default();
        ben.sessions.reset(&a.device(), UNREADABLE_START, &mut batch);
        ben.store.commit(&batch).expect("memory");
        let again = ben.says(&a, b"again");
        opened = ada.hears(&again) == b"again";
    }
    assert!(opened);
}
