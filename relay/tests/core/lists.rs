//! Whose a device is when others list it too: its certificate is known to all.

use super::*;
use subrosa_shared::protocol::devices::DeviceList;

fn publish(ask: u32, versions: Vec<Version>) -> ToRelay {
    ToRelay::PublishDevices { ask: Ask(ask), versions }
}

/// The account of the first device lists the second beside it.
pub(super) fn lists(first: u8, second: u8) -> (Vec<Version>, DeviceList) {
    let cert = |who: u8| Cert::sign(&key(who), &[who; 32]);
    let genesis = DeviceList::genesis(&name(first), &cert(first), &key(first));
    let list = DeviceList::begin(&genesis).expect("signed");
    let add = list.add(&cert(second), &key(first)).expect("signed");
    let list = list.next(&add).expect("follows");
    (vec![genesis, add], list)
}

#[test]
fn a_device_that_was_removed_hears_so_whoever_lists_it() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    let (ben, _) = stage.join(3);
    let (versions, list) = lists(1, 2);
    assert_eq!(stage.answer(ada, publish(1, versions)), [ToDevice::Done(Ask(1))]);
    let phone = stage.connect();
    let outs = stage.log_in_as(phone, 2, name(1), false);
    assert!(matches!(to(phone, &outs)[..], [ToDevice::Welcome(_)]), "{outs:?}");
    let bens = publish(2, lists(3, 2).0);
    assert_eq!(stage.answer(ben, bens.clone()), [refused(2, Refusal::BadSignature)], "it is Ada's");
    let remove = list.remove(&device(2), &key(1)).expect("signed");
    assert_eq!(to(ada, &stage.say(ada, publish(3, vec![remove]))), [ToDevice::Done(Ask(3))]);
    assert_eq!(stage.answer(ben, bens), [ToDevice::Done(Ask(2))]);
    let phone = stage.connect();
    assert_eq!(stage.log_in_as(phone, 2, name(1), false), closes(phone, Refusal::Revoked));
}

#[test]
fn a_device_that_somebody_else_listed_first_logs_in_where_it_belongs() {
    // The backup is older than Ada's second device, and Ben is back before her.
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    let (ben, _) = stage.join(3);
    let (versions, list) = lists(3, 2);
    assert_eq!(stage.answer(ben, publish(1, versions)), [ToDevice::Done(Ask(1))]);
    let hers = publish(2, lists(1, 2).0);
    assert_eq!(
        stage.answer(ada, hers.clone()),
        [refused(2, Refusal::BadSignature)],
        "it may still log in there"
    );
    stage.pass(10 * 60_000);
    assert_eq!(stage.answer(ada, hers), [ToDevice::Done(Ask(2))]);
    let phone = stage.connect();
    let outs = stage.log_in_as(phone, 2, name(1), false);
    assert!(matches!(to(phone, &outs)[..], [ToDevice::Welcome(_)]), "{outs:?}");
    let other = stage.connect();
    assert_eq!(stage.log_in_as(other, 2, name(3), false), closes(other, Refusal::NotAllowed));
    let outs = stage.say(ada, ToRelay::Send(envelope(1, &[2], b"x")));
    assert_eq!(delivered(&to(phone, &outs)), [1]);
    // What Ben does to his list takes nothing from it.
    let remove = list.remove(&device(2), &key(3)).expect("signed");
    let list = list.next(&remove).expect("follows");
    assert_eq!(stage.say(ben, publish(3, vec![remove])), [Out::Frame(ben, ToDevice::Done(Ask(3)))]);
    assert_eq!(stage.relay.mailbox().status(device(2)).expect("reads").count, 1);
    let add = list.add(&Cert::sign(&key(2), &[2; 32]), &key(3)).expect("signed");
    assert_eq!(stage.answer(ben, publish(4, vec![add])), [refused(4, Refusal::BadSignature)]);
}

#[test]
fn mail_for_a_device_that_is_not_back_yet_outlasts_who_listed_and_removed_it() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    let (ben, _) = stage.join(3);
    let (versions, list) = lists(3, 2);
    assert_eq!(stage.answer(ben, publish(1, versions)), [ToDevice::Done(Ask(1))]);
    assert_eq!(stage.answer(ada, ToRelay::Send(envelope(1, &[2], b"x"))), [accepted(1)]);
    let remove = list.remove(&device(2), &key(3)).expect("signed");
    assert_eq!(stage.answer(ben, publish(2, vec![remove])), [ToDevice::Done(Ask(2))]);
    assert_eq!(stage.answer(ada, publish(3, lists(1, 2).0)), [ToDevice::Done(Ask(3))]);
    let phone = stage.connect();
    let outs = stage.log_in_as(phone, 2, name(1), false);
    assert_eq!(delivered(&to(phone, &outs)), [1]);
}

#[test]
fn who_lists_a_device_again_and_again_keeps_it_from_nobody() {
    const MINUTE: u64 = 60_000;
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    let (ben, _) = stage.join(3);
    let (versions, list) = lists(3, 2);
    assert_eq!(stage.answer(ben, publish(1, versions)), [ToDevice::Done(Ask(1))]);
    stage.pass(9 * MINUTE);
    let remove = list.remove(&device(2), &key(3)).expect("signed");
    let list = list.next(&remove).expect("follows");
    let add = list.add(&Cert::sign(&key(2), &[2; 32]), &key(3)).expect("signed");
    let list = list.next(&add).expect("follows");
    assert_eq!(stage.answer(ben, publish(2, vec![remove])), [ToDevice::Done(Ask(2))]);
    assert_eq!(stage.answer(ben, publish(3, vec![add])), [ToDevice::Done(Ask(3))]);
    stage.pass(2 * MINUTE);
    assert_eq!(stage.answer(ada, publish(4, lists(1, 2).0)), [ToDevice::Done(Ask(4))]);
    // From here on it goes by Ada's name: what is for it is taken, whatever Ben does.
    let remove = list.remove(&device(2), &key(3)).expect("signed");
    assert_eq!(stage.answer(ben, publish(5, vec![remove])), [ToDevice::Done(Ask(5))]);
    assert_eq!(stage.answer(ada, ToRelay::Send(envelope(1, &[2], b"x"))), [accepted(1)]);
}
