//! What a device that is removed, and a disk that is full, leave behind.

use super::*;
use sha2::{Digest, Sha256};
use subrosa_relay::metrics::Count;
use subrosa_shared::id::DoorId;
use subrosa_shared::protocol::devices::DeviceList;
use subrosa_shared::protocol::door::Watch;

const DAY_MS: u64 = 24 * 3_600_000;

/// Two devices of one account, and the list that has both.
fn two(stage: &mut Stage) -> (Conn, Conn, DeviceList) {
    let (ada, _) = stage.join(1);
    let [first, second] = [1, 2].map(|who| Cert::sign(&key(who), &[who; 32]));
    let genesis = DeviceList::genesis(&name(1), &first, &key(1));
    let list = DeviceList::begin(&genesis).expect("signed");
    let add = list.add(&second, &key(1)).expect("signed");
    let list = list.next(&add).expect("follows");
    let publish = ToRelay::PublishDevices { ask: Ask(1), versions: vec![genesis, add] };
    assert_eq!(stage.answer(ada, publish), [ToDevice::Done(Ask(1))]);
    let phone = stage.connect();
    let outs = stage.log_in_as(phone, 2, name(1), false);
    assert!(matches!(to(phone, &outs)[..], [ToDevice::Welcome(_)]), "{outs:?}");
    (ada, phone, list)
}

#[test]
fn a_removal_that_a_full_disk_refuses_does_nothing_to_the_device() {
    let mut stage = Stage::new(Limits::default());
    let (ada, phone, list) = two(&mut stage);
    let outs = stage.say(ada, ToRelay::Send(envelope(1, &[2], b"x")));
    assert_eq!(delivered(&to(phone, &outs)), [1]);
    let remove = list.remove(&device(2), &key(1)).expect("signed");
    let remove = ToRelay::PublishDevices { ask: Ask(2), versions: vec![remove] };
    let waiting = |stage: &Stage| stage.relay.mailbox().status(device(2)).expect("reads").count;
    stage.disk.rule.full.store(true, SeqCst);
    let outs = stage.say(ada, remove.clone());
    assert_eq!(outs, [Out::Frame(ada, refused(2, Refusal::StorageFull))]);
    assert_eq!(waiting(&stage), 1);
    stage.disk.rule.full.store(false, SeqCst);
    assert_eq!(stage.answer(phone, ToRelay::Send(envelope(2, &[1], b"x"))), [accepted(2)]);
    let outs = stage.say(ada, remove);
    assert_eq!(to(ada, &outs), [ToDevice::Done(Ask(2))]);
    assert!(outs.ends_with(&closes(phone, Refusal::Revoked)), "{outs:?}");
    assert_eq!(waiting(&stage), 0);
}

#[test]
fn nobody_is_told_of_a_list_or_an_account_that_a_full_disk_refuses() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _, list) = two(&mut stage);
    let (ben, _) = stage.join(3);
    stage.disk.rule.full.store(true, SeqCst);
    let remove = list.remove(&device(2), &key(1)).expect("signed");
    // All of one group.
    stage.relay.frame(ada, ToRelay::PublishDevices { ask: Ask(2), versions: vec![remove] }, stage.now);
    let newcomer = stage.connect();
    let cert = Cert::sign(&key(4), &[4; 32]);
    let login = Login::sign(name(4), true, cert, &key(4), &RELAY, &[newcomer.0 as u8; 32]);
    stage.relay.frame(newcomer, ToRelay::Authenticate(login), stage.now);
    stage.relay.frame(ben, ToRelay::Lookup { ask: Ask(3), name: name(4) }, stage.now);
    let outs = stage.say(ben, ToRelay::Devices { ask: Ask(4), name: name(1), from: 0 });
    assert_eq!(to(ada, &outs), [refused(2, Refusal::StorageFull)]);
    match &to(ben, &outs)[..] {
        [unknown, ToDevice::Devices { ask: Ask(4), versions, .. }] => {
            assert_eq!(*unknown, refused(3, Refusal::UnknownAccount));
            assert_eq!(versions.iter().map(|version| version.number).collect::<Vec<_>>(), [0, 1]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn strangers_open_no_more_accounts_than_the_settings_allow_and_who_is_here_stays() {
    let mut stage = Stage::new(Limits { accounts: 3, ..Limits::default() });
    let refused_as = |stage: &mut Stage, who, why| {
        let conn = stage.connect();
        assert_eq!(stage.log_in_as(conn, who, name(who), true), closes(conn, why));
    };
    let (_, _, list) = two(&mut stage);
    stage.join(3);
    // What a full disk refuses takes no place.
    stage.disk.rule.full.store(true, SeqCst);
    refused_as(&mut stage, 4, Refusal::StorageFull);
    stage.disk.rule.full.store(false, SeqCst);
    stage.join(4);
    refused_as(&mut stage, 5, Refusal::RegistrationClosed);
    stage.restart();
    refused_as(&mut stage, 5, Refusal::RegistrationClosed);
    let (ada, _) = stage.join(1);
    let tablet = list.add(&Cert::sign(&key(6), &[6; 32]), &key(1)).expect("signed");
    let publish = ToRelay::PublishDevices { ask: Ask(2), versions: vec![tablet] };
    assert_eq!(stage.answer(ada, publish), [ToDevice::Done(Ask(2))]);
    let tablet = stage.connect();
    let outs = stage.log_in_as(tablet, 6, name(1), false);
    assert!(matches!(to(tablet, &outs)[..], [ToDevice::Welcome(_)]), "{outs:?}");
    // Room for one more, and two who come in one group.
    stage.config.limits.accounts = 4;
    stage.relay.reload(&stage.config);
    let [first, second] = [5, 7].map(|who| {
        let conn = stage.connect();
        let cert = Cert::sign(&key(who), &[who; 32]);
        let login = Login::sign(name(who), true, cert, &key(who), &RELAY, &[conn.0 as u8; 32]);
        stage.relay.frame(conn, ToRelay::Authenticate(login), stage.now);
        conn
    });
    let outs = stage.commit();
    assert!(matches!(to(first, &outs)[..], [ToDevice::Welcome(_)]), "{outs:?}");
    assert!(outs.ends_with(&closes(second, Refusal::RegistrationClosed)), "{outs:?}");
}

/// Rows of what each sender sent.
fn taken(stage: &Stage) -> usize {
    let table = Table { byte: b'n', name: "repeats" };
    stage.disk.scan(table, &[], &[], Order::Forward, 99).expect("memory").len()
}

#[test]
fn what_a_device_sent_is_forgotten_with_it_or_with_its_time() {
    let mut stage = Stage::new(Limits::default());
    let (ada, phone, list) = two(&mut stage);
    for (from, id) in [(ada, 1), (phone, 2)] {
        assert_eq!(stage.answer(from, ToRelay::Send(envelope(id, &[1], b"x")))[0], accepted(id));
    }
    assert_eq!(taken(&stage), 2);
    let remove = list.remove(&device(2), &key(1)).expect("signed");
    stage.say(ada, ToRelay::PublishDevices { ask: Ask(2), versions: vec![remove] });
    assert_eq!(taken(&stage), 1);
    stage.pass(8 * 24 * 3_600_000);
    while stage.relay.tick(stage.now) <= stage.now.mono {}
    stage.commit();
    assert_eq!(taken(&stage), 0);
}

#[test]
fn who_is_let_go_because_the_disk_is_full_is_counted_under_that() {
    let mut stage = Stage::new(Limits::default());
    stage.disk.rule.full.store(true, SeqCst);
    let newcomer = stage.connect();
    let outs = stage.log_in_as(newcomer, 3, name(3), true);
    assert_eq!(outs, closes(newcomer, Refusal::StorageFull));
    assert!(stage.relay.metrics().closings().any(|closed| closed == ("storage_full", 1)));
}

#[test]
fn what_was_written_is_said_though_something_else_of_the_same_group_found_no_room() {
    let mut stage = Stage::new(Limits::default());
    let (ben, _) = stage.join(2);
    let publish = ToRelay::Publish { ask: Ask(1), bundles: vec![bundle(2, 1, Kind::OneTime)] };
    assert_eq!(stage.answer(ben, publish), [ToDevice::Done(Ask(1))]);
    // The longest name, which makes a door too large.
    let (ada, long) = (stage.connect(), AccountName::parse(&"a".repeat(AccountName::MAX)).expect("valid"));
    stage.log_in_as(ada, 1, long, true);
    stage.disk.rule.full.store(true, SeqCst);
    let watch = Watch { door: DoorId([4; 16]), key: [9; 32], guard: Sha256::digest([9; 32]).into() };
    stage.relay.frame(ada, ToRelay::WatchDoor { ask: Ask(1), watch }, stage.now);
    let claim = ToRelay::Claim { ask: Ask(2), device: device(2) };
    let answers = stage.answer(ada, claim.clone());
    assert_eq!(answers[0], refused(1, Refusal::StorageFull));
    assert!(matches!(answers[1..], [ToDevice::Prekey { ask: Ask(2), .. }]), "{answers:?}");
    assert_eq!(stage.answer(ada, claim), [refused(2, Refusal::NoPrekeys)], "it went to her");
}

#[test]
fn what_a_full_disk_refuses_is_not_counted_as_done() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    stage.join(2);
    let counts = |stage: &Stage| {
        [Count::Registrations, Count::Logins, Count::Accepted].map(|count| stage.relay.metrics().get(count))
    };
    stage.disk.rule.full.store(true, SeqCst);
    let newcomer = stage.connect();
    assert_eq!(stage.log_in_as(newcomer, 3, name(3), true), closes(newcomer, Refusal::StorageFull));
    let long = ToRelay::Send(envelope(1, &[2], &[0; 100]));
    assert_eq!(stage.answer(ada, long.clone()), [rejected(1, Refusal::StorageFull)]);
    assert_eq!(counts(&stage), [2, 2, 0]);
    stage.disk.rule.full.store(false, SeqCst);
    stage.pass(1000);
    assert_eq!(stage.answer(ada, long), [accepted(1)]);
    stage.join(3);
    assert_eq!(counts(&stage), [3, 3, 1]);
}

#[test]
fn a_clock_that_is_put_right_drops_nothing_that_was_taken_before() {
    let mut stage = Stage::new(Limits::default());
    stage.now.wall.0 -= 365 * DAY_MS;
    let (ada, _) = stage.join(1);
    let ben = stage.join(2).0;
    stage.relay.gone(ben);
    assert_eq!(stage.answer(ada, ToRelay::Send(envelope(1, &[2], b"x"))), [accepted(1)]);
    stage.now.wall.0 += 365 * DAY_MS;
    stage.pass(3_600_000);
    assert_eq!(swept(&mut stage), 1);
    stage.pass(29 * DAY_MS);
    assert_eq!(swept(&mut stage), 1);
    stage.pass(DAY_MS);
    assert_eq!(swept(&mut stage), 0, "not for ever");
}

/// What waits for ben after the search for what is out of date.
fn swept(stage: &mut Stage) -> u32 {
    while stage.relay.tick(stage.now) <= stage.now.mono {
        stage.commit();
    }
    stage.relay.mailbox().status(device(2)).expect("reads").count
}

#[test]
fn a_clock_that_is_put_right_after_months_drops_nothing_that_came_a_minute_ago() {
    let mut stage = Stage::new(Limits::default());
    stage.now.wall.0 -= 365 * DAY_MS;
    let (ada, _) = stage.join(1);
    let ben = stage.join(2).0;
    stage.relay.gone(ben);
    for _ in 0..62 {
        stage.pass(DAY_MS / 2);
        swept(&mut stage);
    }
    assert_eq!(stage.answer(ada, ToRelay::Send(envelope(1, &[2], b"x"))), [accepted(1)]);
    stage.now.wall.0 += 365 * DAY_MS;
    stage.pass(3_600_000);
    assert_eq!(swept(&mut stage), 1);
    // It goes wrong for an hour, the other way.
    stage.now.wall.0 += 365 * DAY_MS;
    stage.pass(3_600_000);
    assert_eq!(swept(&mut stage), 1);
    stage.now.wall.0 -= 365 * DAY_MS;
    stage.pass(30 * DAY_MS);
    assert_eq!(swept(&mut stage), 0, "not for ever");
}

#[test]
fn what_an_earlier_run_took_is_no_younger_for_a_machine_that_boots_in_the_past() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    let ben = stage.join(2).0;
    stage.relay.gone(ben);
    assert_eq!(stage.answer(ada, ToRelay::Send(envelope(1, &[2], b"x"))), [accepted(1)]);
    stage.pass(40 * DAY_MS);
    let right = stage.now.wall.0;
    stage.restart();
    stage.now.wall = Millis(15_000);
    let (ada, _) = stage.join(1);
    assert_eq!(stage.answer(ada, ToRelay::Send(envelope(2, &[2], b"x"))), [accepted(2)]);
    assert_eq!(swept(&mut stage), 2);
    stage.now.wall = Millis(right);
    stage.pass(3_600_000);
    assert_eq!(swept(&mut stage), 1);
    assert_eq!(delivered(&stage.join(2).1), [2]);
}

#[test]
fn on_a_full_disk_the_search_for_what_is_out_of_date_comes_to_its_end() {
    let mut stage = Stage::new(Limits { expiry_days: 1, ..Limits::default() });
    let (ada, _) = stage.join(1);
    let ben = stage.join(2).0;
    stage.relay.gone(ben);
    // More than are dropped in one piece.
    for id in 0..=255 {
        assert_eq!(stage.answer(ada, ToRelay::Send(envelope(id, &[2], b"x"))), [accepted(id)]);
        stage.pass(1000);
    }
    stage.pass(2 * 24 * 3_600_000);
    let waiting = |stage: &Stage| stage.relay.mailbox().status(device(2)).expect("reads").count;
    stage.disk.rule.to_the_brim.store(true, SeqCst);
    for pieces in 0.. {
        if stage.relay.tick(stage.now) > stage.now.mono {
            break;
        }
        stage.commit();
        assert!(pieces < 50, "it begins again and again");
    }
    assert_eq!(waiting(&stage), 256);
    stage.disk.rule.to_the_brim.store(false, SeqCst);
    stage.pass(2 * 3_600_000);
    while stage.relay.tick(stage.now) <= stage.now.mono {
        stage.commit();
    }
    assert_eq!(waiting(&stage), 0);
}

#[test]
fn a_full_disk_gives_old_envelopes_back_while_new_ones_come() {
    let mut stage = Stage::new(Limits { expiry_days: 1, ..Limits::default() });
    let (ada, _) = stage.join(1);
    let ben = stage.join(2).0;
    stage.relay.gone(ben);
    // Whoever is refused waits.
    let others = (10..50).map(|who| stage.join(who).0).collect::<Vec<_>>();
    // More than are dropped in one piece.
    for id in 0..=199 {
        assert_eq!(stage.answer(ada, ToRelay::Send(envelope(id, &[2], b"x"))), [accepted(id)]);
        stage.pass(1000);
    }
    stage.pass(2 * 24 * 3_600_000);
    stage.disk.rule.full.store(true, SeqCst);
    for (other, more) in others.into_iter().zip(200..) {
        // As the relay's own thread does it.
        stage.relay.frame(other, ToRelay::Send(envelope(more, &[2], &[7; 99])), stage.now);
        if stage.relay.searches(stage.now) {
            stage.commit();
        }
        let due = stage.relay.tick(stage.now);
        stage.commit();
        if due > stage.now.mono {
            break;
        }
    }
    assert_eq!(stage.relay.mailbox().status(device(2)).expect("reads").count, 0);
}

#[test]
fn who_logs_in_with_what_a_full_disk_refuses_misses_nothing_that_comes_later() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    let ben = stage.join(2).0;
    stage.relay.gone(ben);
    stage.disk.rule.full.store(true, SeqCst);
    let ben = stage.connect();
    stage.relay.frame(ada, ToRelay::Send(envelope(1, &[2], &[7; 99])), stage.now);
    let outs = stage.log_in_as(ben, 2, name(2), false);
    assert!(to(ada, &outs).contains(&rejected(1, Refusal::StorageFull)), "{outs:?}");
    assert!(matches!(to(ben, &outs)[..], [ToDevice::Welcome(_)]), "{outs:?}");
    stage.disk.rule.full.store(false, SeqCst);
    let cy = stage.join(3).0;
    let fleeting = Outgoing { keep: Keep::Fleeting, ..envelope(2, &[2], b"") };
    let outs = stage.say(cy, ToRelay::Send(fleeting));
    assert_eq!(delivered(&to(ben, &outs)), [2]);
}

#[test]
fn a_notice_that_is_lost_on_a_full_disk_is_not_counted_as_a_refusal() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    let (ben, _) = stage.join(2);
    let publish = ToRelay::Publish { ask: Ask(1), bundles: vec![bundle(2, 1, Kind::OneTime)] };
    assert_eq!(stage.answer(ben, publish), [ToDevice::Done(Ask(1))]);
    stage.disk.rule.to_the_brim.store(true, SeqCst);
    let outs = stage.say(ada, ToRelay::Claim { ask: Ask(2), device: device(2) });
    assert_eq!(outs, [Out::Frame(ada, refused(2, Refusal::StorageFull))]);
    assert!(stage.relay.metrics().refusals().any(|refused| refused == ("storage_full", 1)));
}
