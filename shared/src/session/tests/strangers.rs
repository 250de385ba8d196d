//! What hostile accounts may keep here, all together.

use super::world::{Device, Fate, introduce};
use crate::id::DeviceId;
use crate::session::bundles::STARTS_MAX;
use crate::session::chain::SKIPPED_MAX;
use crate::session::strangers::STRANGERS_MAX;
use crate::session::{OpenError, UNREADABLE_START, kept};
use crate::store::Batch;

/// Opens what somebody says, and keeps strangers within bounds as a client does.
fn hears(ada: &mut Device, sealed: &[u8], known: &[DeviceId]) {
    let mut batch = Batch::default();
    let opened = ada.sessions.open(sealed, ada.now, &mut batch).expect("opens");
    if !known.contains(&opened.from.device()) {
        ada.sessions.bound_strangers(|device| known.contains(device), &opened.session, &mut batch);
    }
    ada.store.commit(&batch).expect("memory");
}

fn says(ada: &mut Device, other: &mut Device, text: &[u8]) -> Vec<u8> {
    if other.sessions.needs_bundle(&ada.peer().device(), other.now) {
        introduce(other, ada);
    }
    other.says(&ada.peer(), text).bytes
}

#[test]
fn hundreds_of_strangers_take_a_bounded_place_and_the_longest_silent_go_first() {
    let (mut ada, mut ben) = (Device::new(1), Device::new(2));
    let known = [ben.peer().device()];
    let text = says(&mut ada, &mut ben, b"a friend");
    hears(&mut ada, &text, &known);
    let mut crowd: Vec<Device> = (0..300).map(|i| Device::new(1000 + i)).collect();
    for stranger in &mut crowd {
        let text = says(&mut ada, stranger, b"buy roses");
        hears(&mut ada, &text, &known);
    }
    assert_eq!(ada.sessions.kept.inbound.len(), STRANGERS_MAX + 1);
    let slots = ada.store.slots.list(2).len();
    assert_eq!(slots, STRANGERS_MAX + 1, "on disk too");
    // The last ones and the friend go on; the first ones begin anew.
    let text = says(&mut ada, &mut ben, b"still a friend");
    hears(&mut ada, &text, &known);
    let last = crowd.last_mut().expect("a crowd");
    let text = says(&mut ada, last, b"more roses");
    hears(&mut ada, &text, &known);
    let text = says(&mut ada, &mut crowd[0], b"roses?");
    assert!(ada.open(&text).is_err());
    ada.reload();
    assert_eq!(ada.sessions.kept.inbound.len(), STRANGERS_MAX + 1);
}

#[test]
fn gaps_that_strangers_leave_are_bounded_all_together() {
    let mut ada = Device::new(1);
    for i in 0..4 {
        let mut stranger = Device::new(1000 + i);
        let text = says(&mut ada, &mut stranger, b"one");
        hears(&mut ada, &text, &[]);
        for _ in 0..900 {
            says(&mut ada, &mut stranger, b"never delivered");
        }
        let text = says(&mut ada, &mut stranger, b"and then one");
        hears(&mut ada, &text, &[]);
    }
    let kept = ada.store.slots.list(3).len();
    assert!((100..=SKIPPED_MAX + 4).contains(&kept), "{kept} slots of skipped keys");
}

#[test]
fn somebody_forgotten_leaves_nothing_and_may_begin_again() {
    let (mut ada, mut eve) = (Device::new(1), Device::new(3));
    let before = ada.slots().len();
    let text = says(&mut ada, &mut eve, b"hello");
    let published = ada.slots().len();
    assert!(published > before);
    ada.open(&text).expect("opens");
    ada.says(&eve.peer(), b"who are you?");
    let mut batch = Batch::default();
    ada.sessions.forget_peer(&eve.peer().device(), &mut batch);
    ada.store.commit(&batch).expect("memory");
    // One published prekey was used up; all else is as before the first word.
    assert_eq!(ada.slots().len(), published - 1);
    assert!(ada.rows(kept::BUNDLES).is_empty());
    let text = says(&mut ada, &mut eve, b"again");
    assert!(ada.open(&text).is_err(), "the old session is gone");
    let mut batch = Batch::default();
    eve.sessions.restart(&ada.peer().device(), &mut batch);
    let text = says(&mut ada, &mut eve, b"anew");
    assert!(ada.open(&text).is_ok());
}

/// Begins another session, through that bundle.
fn begins(other: &mut Device, ada: &Device, bundle: &[u8]) -> Vec<u8> {
    let to = ada.peer();
    other.sessions.offer(&to, bundle, other.now).expect("valid");
    let mut batch = Batch::default();
    other.sessions.reset(&to.device(), UNREADABLE_START, &mut batch);
    other.says(&to, b"roses").bytes
}

#[test]
fn a_last_resort_prekey_that_is_used_without_end_gives_way_to_another() {
    let (mut ada, mut eve, mut ben) = (Device::new(1), Device::new(3), Device::new(2));
    let used = ada.publish(64, false).remove(0);
    let first = begins(&mut eve, &ada, &used);
    ada.open(&first).expect("opens");
    for _ in 1..STARTS_MAX {
        assert!(!ada.sessions.lacks_last_resort());
        let text = begins(&mut eve, &ada, &used);
        ada.open(&text).expect("opens");
        assert!(ada.rows(kept::STARTS).len() < STARTS_MAX);
    }
    assert!(ada.sessions.lacks_last_resort());
    let unknown = OpenError::Unknown { session: None };
    for again in [first, begins(&mut eve, &ada, &used)] {
        assert_eq!(ada.open(&again).err(), Some(unknown));
    }
    assert!(ada.rows(kept::STARTS).is_empty());
    let other = ada.publish(64, true);
    assert_ne!(other, [used]);
    let text = begins(&mut ben, &ada, &other[0]);
    ada.reload();
    ada.open(&text).expect("opens");
}

#[test]
fn a_crash_while_a_last_resort_prekey_gives_way_opens_nothing_twice() {
    let (mut ada, mut eve) = (Device::new(1), Device::new(3));
    let used = ada.publish(64, false).remove(0);
    let first = begins(&mut eve, &ada, &used);
    ada.open(&first).expect("opens");
    for _ in 2..STARTS_MAX {
        let text = begins(&mut eve, &ada, &used);
        ada.open(&text).expect("opens");
    }
    let last = begins(&mut eve, &ada, &used);
    let (_, batch) = ada.try_open(&last).expect("opens");
    ada.commit(&batch, Fate::Torn(0));
    assert_eq!(ada.open(&first).err(), Some(OpenError::Unknown { session: None }));
    assert!(ada.sessions.lacks_last_resort());
}
