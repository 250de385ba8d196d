//! The rules of the design, one by one.

use super::world::{DAY, Device, Fate, HOUR, at, introduce, pair};
use crate::id::SessionId;
use crate::protocol::prekey::{Bundle, Error, Kind};
use crate::session::chain::SKIPPED_MAX;
use crate::session::pairwise::SKIPPED_IN_ALL;
use crate::session::{Invalid, OpenError, SealError, UNREADABLE_START, Why, kept};
use crate::store::memory::In;
use crate::store::{Batch, Store};
use std::collections::BTreeSet;
use std::sync::Arc;

const OUTBOUND: u8 = 1;
const INBOUND: u8 = 2;
const SKIPPED: u8 = 3;
const PREKEY: u8 = 4;

fn count(device: &Device, kind: u8) -> usize {
    device.store.slots.list(kind).len()
}

#[test]
fn two_devices_talk() {
    let (mut ada, mut ben) = pair();
    let (a, b) = (ada.peer(), ben.peer());
    let first = ada.says(&b, b"hello");
    assert_eq!(first.n, 0);
    let opened = ben.open(&first.bytes).expect("opens");
    assert_eq!((opened.from, opened.content.as_slice()), (a, b"hello".as_slice()));
    let answer = ben.says(&a, b"hi");
    assert_eq!(ada.hears(&answer), b"hi", "through the in-band bundle, with nothing claimed");
    let second = ada.says(&b, b"how are you");
    assert_eq!(ben.hears(&second), b"how are you");
    assert!(first.bytes.len() < 3000 && first.bytes.len() > 2600, "{}", first.bytes.len());
}

/// The device's files are those of that number from now on.
fn lies_in(device: &mut Device, file: u8) {
    let slots = Arc::new(In(device.store.slots.clone(), file));
    device.store = Store { records: device.store.records.clone(), slots };
    device.reload();
}

#[test]
fn rule_5_a_copy_that_is_put_in_the_place_of_a_profile_goes_on_in_no_session() {
    let (mut ada, mut ben) = (Device::new(1), Device::new(2));
    let b = ben.peer();
    lies_in(&mut ada, 1);
    introduce(&mut ada, &mut ben);
    let first = ada.says(&b, b"hello");
    lies_in(&mut ada, 1);
    let copy = ada.copy();
    let second = ada.says(&b, b"the same file goes on");
    assert_eq!((second.session, second.n), (first.session, first.n + 1));
    // The copy of before comes back, in a file of its own.
    (ada.store, ada.sessions) = (copy.store, copy.sessions);
    lies_in(&mut ada, 2);
    assert_eq!(count(&ada, OUTBOUND), 0);
    introduce(&mut ada, &mut ben);
    let third = ada.says(&b, b"after the restore");
    assert_ne!(third.session, first.session, "else this were a second text under the key of the second");
    for (sealed, text) in [(first, "hello"), (second, "the same file goes on"), (third, "after the restore")]
    {
        assert_eq!(ben.hears(&sealed), text.as_bytes());
    }
}

#[test]
fn rule_1_every_label_is_distinct_and_no_label_begins_another() {
    let labels: [&[u8]; 8] = [
        b"subrosa noise-static/1\0",
        b"subrosa prekey/1\0",
        b"subrosa psk/1",
        b"subrosa pairwise/1\0",
        b"subrosa prekey x25519/1\0",
        b"subrosa prekey ml-kem/1\0",
        b"subrosa login/1\0",
        b"subrosa device/1\0",
    ];
    for (i, a) in labels.iter().enumerate() {
        assert!(labels.iter().enumerate().all(|(j, b)| i == j || !b.starts_with(a)));
    }
}

#[test]
fn rule_2_a_bundle_is_verified_strictly_before_use() {
    let (mut ada, mut ben, mut eve) = (Device::new(1), Device::new(2), Device::new(3));
    let bundles = ben.publish(63, false);
    let eves = eve.publish(63, true);
    let b = ben.peer();
    assert_eq!(ada.sessions.offer(&b, &eves[0], ada.now), Err(Error::Signature), "swapped by the relay");
    for byte in 0..bundles[0].len() {
        let mut bad = bundles[0].clone();
        bad[byte] ^= 1;
        assert!(ada.sessions.offer(&b, &bad, ada.now).is_err(), "byte {byte}");
    }
    let late = at(90 * DAY);
    assert_eq!(ada.sessions.offer(&b, &bundles[1], late), Err(Error::Expired));
    assert_eq!(ada.try_seal(&b, Why::Speech, b"x").err(), Some(SealError::NeedBundle), "none was kept");
    // The identity key signed garbage: right signature, key that FIPS 203 refuses.
    let id = ada.peer();
    let bad = Bundle::sign(
        ada.sessions.identity().signing(),
        crate::id::PrekeyId([1; 16]),
        Kind::OneTime,
        late.wall,
        [9; 32],
        vec![0xff; crate::protocol::prekey::EK],
    );
    assert_eq!(ben.sessions.offer(&id, &bad.encode(), ben.now), Err(Error::Malformed));
}

#[test]
fn rule_3_a_one_time_prekey_is_erased_before_acknowledgement() {
    // However far the batch came, a prekey and the session that it began are never both there after
    // the start, nor both gone.
    for torn in 0..4 {
        let (mut ada, mut ben) = pair();
        let first = ada.says(&ben.peer(), b"hello");
        let (_, batch) = ben.try_open(&first.bytes).expect("opens");
        assert!(batch.slots.len() <= 3, "every prefix is tried");
        ben.commit(&batch, Fate::Torn(torn));
        let (sessions, prekeys) = (count(&ben, INBOUND), count(&ben, PREKEY));
        assert_eq!(sessions + prekeys, 2, "after {torn} slots: the last-resort one and this");
        match ben.open(&first.bytes) {
            Ok(opened) => assert_eq!(opened.content.as_slice(), b"hello"),
            Err(error) => assert_eq!(error, OpenError::Repeated),
        }
        assert_eq!((count(&ben, INBOUND), count(&ben, PREKEY)), (1, 1));
        assert_eq!(ben.open(&first.bytes).err(), Some(OpenError::Repeated));
        let next = ada.says(&ben.peer(), b"still there?");
        assert_eq!(ben.hears(&next), b"still there?");
    }
}

#[test]
fn rule_3_a_prekey_that_was_used_opens_nothing_more() {
    let (mut ada, mut eve, mut ben) = (Device::new(1), Device::new(3), Device::new(2));
    let bundles = ben.publish(63, true);
    let b = ben.peer();
    ada.sessions.offer(&b, &bundles[1], ada.now).expect("verifies");
    eve.sessions.offer(&b, &bundles[1], eve.now).expect("handed out twice by the relay");
    let first = ada.says(&b, b"from ada");
    let second = eve.says(&b, b"from eve");
    assert_eq!(ben.hears(&first), b"from ada");
    assert_eq!(ben.open(&second.bytes).err(), Some(OpenError::Unknown { session: None }));
}

#[test]
fn rule_4_last_resort_rotated_weekly_kept_two_weeks_with_a_replay_set() {
    let (mut ada, mut ben) = (Device::new(1), Device::new(2));
    let b = ben.peer();
    let published = ben.publish(64, false);
    assert_eq!(published.len(), 1);
    assert_eq!(ben.publish(64, false), published, "the relay lost it: the same again");
    assert!(ben.publish(64, true).is_empty());
    ada.sessions.offer(&b, &published[0], ada.now).expect("verifies");
    let first = ada.says(&b, b"hello");
    assert_eq!(ben.hears(&first), b"hello");
    assert_eq!(ben.open(&first.bytes).err(), Some(OpenError::Repeated));
    ben.reload();
    assert_eq!(ben.open(&first.bytes).err(), Some(OpenError::Repeated), "after a restart too");
    // The next message goes through an in-band one-time prekey as soon as there is one, even
    // when nothing else would turn the conversation.
    let answer = ben.seal(&ada.peer(), Why::Signal, b"receipt");
    ada.hears(&answer);
    let second = ada.seal(&b, Why::Signal, b"receipt");
    assert_ne!(second.session, first.session);
    ben.hears(&second);
    // Rotated after a week: another one, and the old one still opens.
    ben.now = at(7 * DAY);
    let rotated = ben.publish(64, true);
    assert_eq!(rotated.len(), 1);
    assert_ne!(rotated, published);
    let mut eve = Device::new(3);
    eve.sessions.offer(&b, &published[0], at(7 * DAY)).expect("still valid");
    let late = eve.says(&b, b"late");
    assert_eq!(ben.hears(&late), b"late");
    // The session may go, the replay set stays.
    for n in 0..4u8 {
        eve.sessions.offer(&b, &rotated[0], at(7 * DAY)).expect("valid");
        let mut batch = Batch::default();
        eve.sessions.reset(&b.device(), UNREADABLE_START, &mut batch);
        let start = eve.says(&b, &[n]);
        ben.hears(&start);
    }
    ben.now = at(14 * DAY - 1);
    ben.expire();
    assert_eq!(ben.open(&late.bytes).err(), Some(OpenError::Repeated));
    ben.now = at(15 * DAY);
    ben.expire();
    ben.reload();
    assert_eq!(ben.open(&late.bytes).err(), Some(OpenError::Unknown { session: None }), "erased");
    assert_eq!(ben.open(&first.bytes).err(), Some(OpenError::Repeated), "its session is there still");
    let kinds: Vec<_> = ben.store.slots.list(PREKEY).iter().map(|(key, _)| key.id).collect();
    let old = Bundle::decode(&published[0]).expect("decodes").id;
    assert!(!kinds.contains(&old.0));
}

#[test]
fn rule_4_a_start_torn_from_its_records_begins_again() {
    let (mut ada, mut ben) = (Device::new(1), Device::new(2));
    let published = ben.publish(64, false);
    ada.sessions.offer(&ben.peer(), &published[0], ada.now).expect("verifies");
    let first = ada.says(&ben.peer(), b"hello");
    let (_, batch) = ben.try_open(&first.bytes).expect("opens");
    ben.commit(&batch, Fate::Torn(0));
    assert_eq!(ben.hears(&first), b"hello", "its replay entry alone does not refuse it");
    let second = ada.says(&ben.peer(), b"more");
    assert_eq!(ben.hears(&second), b"more");
}

#[test]
fn rule_5_outbox_before_wire_and_no_key_and_number_twice() {
    let (mut ada, mut ben) = pair();
    let b = ben.peer();
    let first = ada.says(&b, b"first");
    ben.hears(&first);
    // Ciphertext and number are durable, the chain is not: it is advanced at the start.
    let (torn, batch) = ada.try_seal(&b, Why::Speech, b"torn").expect("seals");
    assert!(!batch.records.is_empty());
    ada.commit(&batch, Fate::Torn(0));
    let next = ada.says(&b, b"next");
    assert_eq!((next.session, next.n), (torn.session, torn.n + 1));
    assert_eq!(ben.hears(&next), b"next");
    assert_eq!(ben.hears(&torn), b"torn", "sent again from the outbox");
    // A crash in the catching up changes nothing.
    let (torn, batch) = ada.try_seal(&b, Why::Speech, b"torn again").expect("seals");
    ada.store.records.commit(&batch.records).expect("memory");
    let _ = ada.restart();
    ada.reload();
    assert_eq!(ada.says(&b, b"x").n, torn.n + 1);
}

#[test]
fn rule_5_a_new_session_whose_key_was_lost_is_given_up() {
    let (mut ada, mut ben) = pair();
    let b = ben.peer();
    let (lost, batch) = ada.try_seal(&b, Why::Speech, b"first").expect("seals");
    ada.commit(&batch, Fate::Torn(0));
    assert!(ada.sessions.needs_bundle(&b.device(), ada.now), "its bundle is used up too");
    assert_eq!(ada.rows(kept::AHEAD).len(), 0);
    introduce(&mut ada, &mut ben);
    let second = ada.says(&b, b"second");
    assert_ne!(second.session, lost.session);
    assert_eq!(ben.hears(&second), b"second");
    assert_eq!(ben.hears(&lost), b"first", "from the outbox");
}

#[test]
fn rule_6_a_session_gives_way_when_the_conversation_turns() {
    let (mut ada, mut ben) = pair();
    let (a, b) = (ada.peer(), ben.peer());
    let first = ada.says(&b, b"1");
    assert_eq!(ada.says(&b, b"2").session, first.session, "nobody answered");
    ben.hears(&first);
    let answer = ben.says(&a, b"3");
    ada.hears(&answer);
    assert_eq!(ada.seal(&b, Why::Signal, b"receipt").session, first.session, "a signal never turns");
    let turned = ada.says(&b, b"4");
    assert_ne!(turned.session, first.session);
    assert_eq!(turned.n, 0);
    let again = ada.says(&b, b"5");
    assert_eq!(again.session, turned.session, "it is ada's turn still");
    assert_eq!(count(&ada, OUTBOUND), 1, "the key before is gone");
}

#[test]
fn rule_6_or_at_50_messages_or_a_day_if_a_bundle_is_at_hand() {
    let (mut ada, mut ben) = pair();
    let b = ben.peer();
    let first = ada.says(&b, b"0");
    for n in 1..60 {
        assert_eq!(ada.says(&b, b"x").n, n, "goes on without a bundle");
    }
    introduce(&mut ada, &mut ben);
    let second = ada.seal(&b, Why::Signal, b"x");
    assert_ne!(second.session, first.session);
    introduce(&mut ada, &mut ben);
    assert_eq!(ada.says(&b, b"x").session, second.session);
    ada.now = at(24 * HOUR);
    assert_ne!(ada.says(&b, b"x").session, second.session);
}

#[test]
fn rule_6_a_start_and_every_20th_message_carry_a_bundle() {
    let (mut ada, mut ben) = pair();
    let b = ben.peer();
    let mut carried = Vec::new();
    for n in 0..62 {
        let before: BTreeSet<_> = ada.slots().into_iter().collect();
        let sealed = ada.says(&b, b"x");
        if ada.slots().iter().any(|key| key.kind == PREKEY && !before.contains(key)) {
            carried.push(n);
        }
        ben.hears(&sealed);
    }
    assert_eq!(carried, [0, 20, 40, 60]);
    assert_eq!(ben.rows(kept::BUNDLES).len(), 4);
    for _ in 0..40 {
        let sealed = ada.says(&b, b"x");
        ben.hears(&sealed);
    }
    assert_eq!(ben.rows(kept::BUNDLES).len(), 4, "the newest four");
    assert_eq!(count(&ada, PREKEY), 4, "and their secrets");
    let answer = ben.says(&ada.peer(), b"y");
    assert_eq!(ada.hears(&answer), b"y", "the newest is the one used");
}

#[test]
fn rule_6_a_copied_device_is_locked_out_after_the_next_turn() {
    let (mut ada, mut ben) = pair();
    let (a, b) = (ada.peer(), ben.peer());
    let hello = ada.says(&b, b"hello");
    ben.hears(&hello);
    let mut thief = ben.copy();
    let read = ada.says(&b, b"the thief reads this");
    assert_eq!(thief.hears(&read), b"the thief reads this");
    ben.hears(&read);
    let answer = ben.says(&a, b"an answer");
    ada.hears(&answer);
    let turned = ada.says(&b, b"not this");
    assert_eq!(thief.open(&turned.bytes).err(), Some(OpenError::Unknown { session: None }));
    assert_eq!(ben.hears(&turned), b"not this");
    let next = ada.says(&b, b"nor this");
    assert!(thief.open(&next.bytes).is_err());
}

#[test]
fn rule_6_a_prekey_given_to_one_peer_serves_no_other() {
    let (mut ada, mut ben) = pair();
    let first = ada.says(&ben.peer(), b"hello");
    ben.hears(&first);
    let given = ben.rows(kept::BUNDLES).remove(0).1;
    let mut eve = Device::new(3);
    eve.sessions.offer(&ada.peer(), &given, eve.now).expect("signed by ada");
    let stolen = eve.says(&ada.peer(), b"hi");
    assert_eq!(ada.open(&stolen.bytes).err(), Some(OpenError::Invalid(Invalid::Prekey)));
    let answer = ben.says(&ada.peer(), b"hi");
    assert_eq!(ada.hears(&answer), b"hi");
}

#[test]
fn rule_7_an_unknown_session_is_answered_and_another_is_started() {
    let (mut ada, mut ben) = pair();
    let (a, b) = (ada.peer(), ben.peer());
    let first = ada.says(&b, b"hello");
    ben.hears(&first);
    let answer = ben.says(&a, b"hi");
    ada.hears(&answer);
    // Ben loses every slot.
    let mut batch = Batch::default();
    ben.slots().into_iter().for_each(|key| batch.erase(key));
    ben.store.commit(&batch).expect("memory");
    ben.reload();
    let lost = ada.seal(&b, Why::Signal, b"lost");
    let unknown = OpenError::Unknown { session: Some(lost.session) };
    assert_eq!(ben.open(&lost.bytes).err(), Some(unknown));
    // He says so in another session.
    (ada.now, ben.now) = (at(1), at(1));
    let mut batch = Batch::default();
    ben.sessions.restart(&a.device(), &mut batch);
    ben.store.commit(&batch).expect("memory");
    introduce(&mut ben, &mut ada);
    let word = ben.seal(&a, Why::Signal, &lost.session.0);
    assert_eq!(ada.hears(&word), lost.session.0);
    let mut batch = Batch::default();
    assert!(!ada.sessions.reset(&b.device(), SessionId([7; 16]), &mut batch), "another session");
    assert!(batch.is_empty());
    assert!(ada.sessions.reset(&b.device(), lost.session, &mut batch));
    ada.store.commit(&batch).expect("memory");
    assert_eq!(count(&ada, OUTBOUND), 0, "its key is gone");
    assert_eq!(ada.rows(kept::BUNDLES).len(), 1, "what he gave before may be lost with the rest");
    ada.reload();
    assert!(!ada.sessions.needs_bundle(&b.device(), ada.now), "what came with the word is not");
    let again = ada.says(&b, b"lost");
    assert_eq!(ben.hears(&again), b"lost");
    assert!(!ada.sessions.reset(&b.device(), lost.session, &mut batch), "the reset comes once more");
}

#[test]
fn rule_8_no_secret_is_in_the_records_and_used_ones_leave_the_slots() {
    let (mut ada, mut ben) = pair();
    let (a, b) = (ada.peer(), ben.peer());
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for turn in 0..6 {
        let sealed: Vec<_> = (0..5).map(|_| ada.says(&b, b"x")).collect();
        ben.hears(&sealed[0]);
        for sealed in sealed[1..].iter().rev() {
            ben.hears(sealed);
        }
        let answer = ben.says(&a, b"y");
        ada.hears(&answer);
        for device in [&ada, &ben] {
            for (_, secret) in (1..=15).flat_map(|kind| device.store.slots.list(kind)) {
                seen.push(secret.to_vec());
            }
        }
        assert_eq!(count(&ben, SKIPPED), 0, "turn {turn}: all late messages came");
        assert!(count(&ben, INBOUND) <= 3 + turn);
    }
    // Every 32-byte key of every slot ever seen; keys and seeds follow one another in no record.
    let rows: Vec<Vec<u8>> = [&ada, &ben]
        .iter()
        .flat_map(|device| {
            let tables = [kept::AHEAD, kept::STARTS, kept::BUNDLES];
            tables.map(|table| device.rows(table)).into_iter().flatten().map(|(_, value)| value)
        })
        .collect();
    let windows: BTreeSet<&[u8]> = rows.iter().flat_map(|row| row.windows(32)).collect();
    let publics: Vec<[u8; 32]> = [a, b].iter().flat_map(|peer| [peer.identity, peer.noise]).collect();
    for secret in &seen {
        for key in secret.windows(32).filter(|key| !publics.iter().any(|public| public == key)) {
            let spread: BTreeSet<_> = key.iter().collect();
            assert!(spread.len() < 16 || !windows.contains(key), "a secret in a record");
        }
    }
}

#[test]
fn rule_8_skipped_keys_are_forgotten_after_seven_days() {
    let (mut ada, mut ben) = pair();
    let b = ben.peer();
    let sent: Vec<_> = (0..30).map(|_| ada.says(&b, b"x")).collect();
    ben.hears(&sent[0]);
    ben.hears(&sent[29]);
    assert_eq!(count(&ben, SKIPPED), 4, "28 keys, 8 a slot");
    ben.reload();
    ben.hears(&sent[5]);
    assert_eq!(ben.open(&sent[5].bytes).err(), Some(OpenError::Repeated));
    ben.now = at(7 * DAY - 1);
    let next = ben.expire();
    assert_eq!(next, Some(at(7 * DAY).wall));
    ben.hears(&sent[6]);
    ben.now = at(7 * DAY);
    ben.expire();
    assert_eq!(count(&ben, SKIPPED), 0);
    ben.reload();
    let unknown = OpenError::Unknown { session: Some(sent[7].session) };
    assert_eq!(ben.open(&sent[7].bytes).err(), Some(unknown), "not taken for a repeat: it is sent again");
    assert_eq!(ben.open(&sent[29].bytes).err(), Some(OpenError::Repeated));
}

#[test]
fn rule_8_a_crash_between_skipped_keys_and_chain_opens_nothing_twice() {
    for torn in 0..5 {
        let (mut ada, mut ben) = pair();
        let b = ben.peer();
        let sent: Vec<_> = (0..20).map(|_| ada.says(&b, b"x")).collect();
        ben.hears(&sent[0]);
        let (_, batch) = ben.try_open(&sent[19].bytes).expect("opens");
        assert!(batch.slots.len() < 5, "every prefix is tried");
        ben.commit(&batch, Fate::Torn(torn));
        let again = ben.open(&sent[19].bytes).map(|_| ()).err();
        assert!(again.is_none() || again == Some(OpenError::Repeated), "after {torn}: {again:?}");
        for sealed in &sent[1..19] {
            ben.hears(sealed);
            assert_eq!(ben.open(&sealed.bytes).err(), Some(OpenError::Repeated), "after {torn}");
        }
        assert_eq!(count(&ben, SKIPPED), 0);
    }
}

#[test]
fn a_message_may_be_a_thousand_ahead_and_no_more() {
    let (mut ada, mut ben) = pair();
    let b = ben.peer();
    let first = ada.says(&b, b"first");
    ben.hears(&first);
    let sent: Vec<_> = (0..1002).map(|_| ada.says(&b, b"x")).collect();
    assert_eq!(ben.open(&sent[1001].bytes).err(), Some(OpenError::TooFarAhead));
    ben.hears(&sent[1000]);
    ben.hears(&sent[1001]);
    ben.hears(&sent[0]);
    ben.hears(&sent[999]);
}

#[test]
fn state_moves_only_on_a_verified_tag() {
    let (mut ada, mut ben) = pair();
    let b = ben.peer();
    let first = ada.says(&b, b"first");
    let next = ada.says(&b, b"next");
    // Many bits of the long one, every bit of the short one.
    for bit in (0..18 * 8).chain((18..first.bytes.len()).step_by(29).map(|byte| byte * 8 + byte % 8)) {
        let mut bad = first.bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(ben.try_open(&bad).is_err(), "bit {bit}");
    }
    for cut in [0, 1, 17, 100, first.bytes.len() - 1] {
        assert!(ben.try_open(&first.bytes[..cut]).is_err());
    }
    ben.hears(&first);
    for bit in 0..next.bytes.len() * 8 {
        let mut bad = next.bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(ben.try_open(&bad).is_err(), "bit {bit}");
    }
    ben.hears(&next);
    assert_eq!(ben.open(&next.bytes).err(), Some(OpenError::Repeated));
}

#[test]
fn of_many_sessions_the_newest_stay_and_the_others_a_week() {
    let (mut ada, mut ben) = pair();
    let (a, b) = (ada.peer(), ben.peer());
    let mut late = Vec::new();
    for turn in 0..5u8 {
        let start = ada.says(&b, &[turn]);
        late.push(ada.says(&b, b"late"));
        ben.hears(&start);
        let answer = ben.says(&a, b"y");
        ada.hears(&answer);
    }
    assert_eq!(count(&ben, INBOUND), 5);
    ben.hears(&late[0]);
    ben.now = at(7 * DAY);
    ben.expire();
    assert_eq!(count(&ben, INBOUND), 3);
    let session = Some(late[1].session);
    assert_eq!(ben.open(&late[1].bytes).err(), Some(OpenError::Unknown { session }));
    ben.hears(&late[2]);
}

#[test]
fn one_peer_cannot_fill_the_ratchet_file_with_skipped_keys() {
    let (mut ada, mut ben) = (Device::new(1), Device::new(2));
    let b = ben.peer();
    for turn in 0..4 {
        introduce(&mut ada, &mut ben);
        let first = ada.says(&b, b"start");
        assert_eq!(first.n, 0, "turn {turn}");
        ben.hears(&first);
        for _ in 0..999 {
            ada.seal(&b, Why::Signal, b"lost");
        }
        let last = ada.seal(&b, Why::Signal, b"there");
        ben.hears(&last);
        assert!(count(&ben, SKIPPED) <= SKIPPED_MAX, "turn {turn}: {}", count(&ben, SKIPPED));
    }
    let sessions = count(&ben, INBOUND);
    ben.reload();
    assert_eq!(count(&ben, INBOUND), sessions, "the sessions themselves stay");
}

#[test]
fn one_peer_cannot_fill_the_ratchet_file_by_gaps_of_one() {
    let (mut ada, mut ben) = pair();
    let b = ben.peer();
    let first = ada.says(&b, b"start");
    ben.hears(&first);
    let mut late = Vec::new();
    for _ in 0..2 * SKIPPED_MAX {
        late.push(ada.seal(&b, Why::Signal, b"late"));
        let there = ada.seal(&b, Why::Signal, b"there");
        ben.hears(&there);
    }
    assert_eq!(count(&ben, SKIPPED), SKIPPED_MAX);
    ben.hears(&late[SKIPPED_MAX]);
    let unknown = OpenError::Unknown { session: Some(first.session) };
    assert_eq!(ben.open(&late[SKIPPED_MAX - 1].bytes).err(), Some(unknown));
}

#[test]
fn many_peers_cannot_fill_the_ratchet_file_with_skipped_keys_and_who_left_few_keeps_them() {
    let mut ben = Device::new(2);
    let b = ben.peer();
    // Says so much, of which the first and the last come; gives one that may come late.
    let leaves = |ben: &mut Device, seed: u64, lost: usize| {
        let mut peer = Device::new(seed);
        introduce(&mut peer, ben);
        let first = peer.says(&b, b"start");
        ben.hears(&first);
        let late = peer.seal(&b, Why::Signal, b"late");
        for _ in 1..lost {
            peer.seal(&b, Why::Signal, b"lost");
        }
        let last = peer.seal(&b, Why::Signal, b"there");
        ben.hears(&last);
        late
    };
    let late = leaves(&mut ben, 100, 1);
    for seed in 101..107 {
        leaves(&mut ben, seed, 1000);
        assert!(count(&ben, SKIPPED) <= SKIPPED_IN_ALL, "{}", count(&ben, SKIPPED));
    }
    assert!(count(&ben, SKIPPED) > SKIPPED_IN_ALL / 2);
    ben.reload();
    ben.hears(&late);
}

#[test]
fn content_over_the_bound_is_refused_and_the_longest_opens() {
    let (mut ada, mut ben) = pair();
    let b = ben.peer();
    let long = vec![7; crate::session::CONTENT_MAX + 1];
    assert_eq!(ada.try_seal(&b, Why::Speech, &long).err(), Some(SealError::TooLong(long.len())));
    let sealed = ada.says(&b, &long[1..]);
    assert!(sealed.bytes.len() <= crate::protocol::envelope::HEAD_MAX);
    assert_eq!(ben.hears(&sealed), long[1..]);
}

#[test]
fn debug_shows_no_secret_and_no_content() {
    let (mut ada, mut ben) = pair();
    let sealed = ada.says(&ben.peer(), b"a private line");
    let opened = ben.open(&sealed.bytes).expect("opens");
    let text = format!("{:?} {:?} {opened:?}", ada.sessions, ben.sessions);
    assert!(text.contains("bytes: 14") && !text.contains("private") && !text.contains("112, 114"), "{text}");
    assert!(text.len() < 700, "counts and ids only: {text}");
}
