//! Names, devices, their lists and prekeys, over a store in memory.

use super::*;
use crate::admin::check::Findings;
use ed25519_dalek::SigningKey;
use subrosa_shared::protocol::prekey::EK;
use subrosa_shared::store::memory::Memory;

const NOW: Millis = Millis(1_000_000);
/// When a bundle ends that counts as left today.
const LATE: Millis = Millis(NOW.0 + MONTH_MS);

fn bundle(id: u8, kind: Kind, not_after: Millis) -> Bundle {
    let key = SigningKey::from_bytes(&[1; 32]);
    Bundle::sign(&key, PrekeyId([id; 16]), kind, not_after, [id; 32], vec![4; EK])
}

fn device() -> DeviceId {
    bundle(0, Kind::OneTime, NOW).device()
}

fn accounts() -> (Arc<Memory>, Accounts) {
    let kv = Arc::new(Memory::default());
    (kv.clone(), Accounts::new(kv, 3))
}

fn publishes(accounts: &mut Accounts, bundles: &[Bundle]) -> Published {
    accounts.publish(device(), bundles, NOW).expect("memory")
}

fn claimed(accounts: &mut Accounts) -> Option<u8> {
    let bytes = accounts.claim(device(), NOW).expect("memory")?;
    Some(Bundle::decode(&bytes).expect("a bundle").id.0[0])
}

#[test]
fn one_time_prekeys_go_out_once_and_then_the_last_resort() {
    let (_, mut accounts) = accounts();
    assert_eq!(claimed(&mut accounts), None);
    let bundles = [
        bundle(1, Kind::OneTime, LATE),
        bundle(2, Kind::OneTime, Millis(1)),
        bundle(3, Kind::OneTime, LATE),
        bundle(9, Kind::LastResort, NOW),
    ];
    assert_eq!(publishes(&mut accounts, &bundles), Published::Kept);
    assert_eq!(accounts.left(device(), NOW).expect("memory").one_time, 2);
    assert_eq!(accounts.left(device(), Millis(NOW.0 + 1)).expect("memory").one_time, 0, "not for a month");
    assert_eq!(claimed(&mut accounts), Some(1));
    assert_eq!(claimed(&mut accounts), Some(3), "2 is out of date");
    assert_eq!(claimed(&mut accounts), Some(9));
    assert_eq!(publishes(&mut accounts, &[bundle(4, Kind::OneTime, NOW)]), Published::Kept);
    accounts.drop_prekeys(device()).expect("memory");
    assert_eq!(claimed(&mut accounts), Some(9));
}

#[test]
fn a_repeated_publication_does_not_bring_a_spent_prekey_back() {
    let (_, mut accounts) = accounts();
    let bundles = [bundle(1, Kind::OneTime, NOW)];
    publishes(&mut accounts, &bundles);
    assert_eq!(claimed(&mut accounts), Some(1));
    publishes(&mut accounts, &bundles);
    assert_eq!(claimed(&mut accounts), None);
    assert_eq!(accounts.sweep(Millis(NOW.0 + 1), Vec::new()).expect("memory"), None);
    assert!(accounts.records.scan(SPENT, &[], &[], 9).expect("memory").is_empty());
}

#[test]
fn a_spent_prekey_without_an_end_is_forgotten_after_ninety_days() {
    let (_, mut accounts) = accounts();
    publishes(&mut accounts, &[bundle(1, Kind::OneTime, Millis(u64::MAX))]);
    assert_eq!(claimed(&mut accounts), Some(1));
    for (wall, left) in [(NOW.0 + SPENT_MS, 1), (NOW.0 + SPENT_MS + 1, 0)] {
        assert_eq!(accounts.sweep(Millis(wall), Vec::new()).expect("memory"), None);
        assert_eq!(accounts.records.scan(SPENT, &[], &[], 9).expect("memory").len(), left);
    }
}

#[test]
fn prekeys_above_a_bound_that_was_lowered_go_with_the_others() {
    let (_, mut accounts) = accounts();
    let all: Vec<_> = (1..=3).map(|id| bundle(id, Kind::OneTime, NOW)).collect();
    publishes(&mut accounts, &all);
    accounts.bound(1);
    accounts.drop_prekeys(device()).expect("memory");
    assert_eq!(claimed(&mut accounts), None);

    // With a device that is removed too.
    accounts.bound(3);
    let name = AccountName::parse("ada").expect("valid");
    let key = |byte: u8| SigningKey::from_bytes(&[byte; 32]);
    let cert = |byte: u8| Cert::sign(&key(byte), &[byte; 32]);
    let second = cert(2).verify().expect("signed").device();
    accounts.settle(&name, &cert(2), NOW).expect("memory");
    let first = DeviceList::genesis(&name, &cert(2), &key(2));
    let list = DeviceList::begin(&first).expect("signed");
    let both = [first, list.add(&cert(1), &key(2)).expect("signed")];
    assert_eq!(accounts.extend(&name, second, &both, NOW).expect("memory"), Extended::Kept(vec![]));
    accounts.settle(&name, &cert(1), NOW).expect("memory");
    publishes(&mut accounts, &all);
    accounts.bound(1);
    let list = list.next(&both[1]).expect("follows");
    let removes = [list.remove(&device(), &key(2)).expect("signed")];
    assert_eq!(
        accounts.extend(&name, second, &removes, NOW).expect("memory"),
        Extended::Kept(vec![device()])
    );
    assert_eq!(accounts.one_time(device(), 9).expect("memory").len(), 0);
}

#[test]
fn prekeys_of_a_device_are_bounded() {
    let (_, mut accounts) = accounts();
    let bundles: Vec<_> = (1..=4).map(|id| bundle(id, Kind::OneTime, NOW)).collect();
    assert_eq!(publishes(&mut accounts, &bundles), Published::TooMany);
    assert_eq!(accounts.one_time(device(), 9).expect("memory").len(), 3);
}

#[test]
fn prekeys_that_end_sooner_make_room_for_those_that_last_longer() {
    let (_, mut accounts) = accounts();
    let bundles = [
        bundle(1, Kind::OneTime, LATE),
        bundle(2, Kind::OneTime, Millis(NOW.0 + 1)),
        bundle(3, Kind::OneTime, NOW),
    ];
    publishes(&mut accounts, &bundles);
    let later = [bundle(4, Kind::OneTime, LATE), bundle(5, Kind::OneTime, NOW)];
    assert_eq!(publishes(&mut accounts, &later), Published::TooMany, "5 lasts no longer than what is here");
    let ids = |accounts: &Accounts| {
        let rows = accounts.one_time(device(), 9).expect("memory").into_iter();
        rows.map(|(key, _)| key[key.len() - 1]).collect::<Vec<_>>()
    };
    assert_eq!(ids(&accounts), [1, 2, 4]);
    // What is out of date goes, whether there is room or not.
    accounts.bound(9);
    let tomorrow = Millis(NOW.0 + 2);
    let published = accounts.publish(device(), &[bundle(6, Kind::OneTime, LATE)], tomorrow);
    assert_eq!(published.expect("memory"), Published::Kept);
    assert_eq!(ids(&accounts), [1, 4, 6]);
}

#[test]
fn a_last_resort_prekey_is_fresh_for_all_but_its_last_week() {
    let (_, mut accounts) = accounts();
    let fresh = |accounts: &Accounts| accounts.left(device(), NOW).expect("memory").last_resort_fresh;
    assert!(!fresh(&accounts));
    publishes(&mut accounts, &[bundle(1, Kind::LastResort, Millis(NOW.0 + WEEK_MS))]);
    assert!(fresh(&accounts));
    publishes(&mut accounts, &[bundle(2, Kind::LastResort, Millis(NOW.0 + 1))]);
    assert!(!fresh(&accounts));
}

#[test]
fn a_name_stays_its_owners_and_survives() {
    let (kv, mut accounts) = accounts();
    let name = AccountName::parse("ada").expect("valid");
    let cert = |key: u8, noise| Cert::sign(&SigningKey::from_bytes(&[key; 32]), &[noise; 32]);
    let peer = |key| cert(key, 0).verify().expect("signed");
    assert_eq!(accounts.owner(&name, &peer(1)).expect("memory"), Owner::Nobody);
    accounts.settle(&name, &cert(1, 5), NOW).expect("memory");
    accounts.append().expect("memory");
    let mut accounts = Accounts::new(kv, 3);
    assert_eq!(accounts.owner(&name, &peer(1)).expect("memory"), Owner::This);
    assert_eq!(accounts.owner(&name, &peer(2)).expect("memory"), Owner::Other);
    assert_eq!(accounts.name_of(peer(1).device()).expect("memory"), Some(name.clone()));
    accounts.settle(&name, &cert(1, 6), NOW).expect("memory");
    assert_eq!(accounts.certs(&name).expect("memory"), Some(vec![cert(1, 6)]), "its owner may renew it");
}

#[test]
fn a_list_is_extended_from_its_newest_version_and_forgets_who_is_removed() {
    let (_, mut accounts) = accounts();
    let name = AccountName::parse("ada").expect("valid");
    let key = |byte: u8| SigningKey::from_bytes(&[byte; 32]);
    let cert = |byte: u8| Cert::sign(&key(byte), &[byte; 32]);
    let peer = |byte: u8| cert(byte).verify().expect("signed");
    let first = DeviceList::genesis(&name, &cert(1), &key(1));
    assert_eq!(
        accounts.extend(&name, peer(1).device(), std::slice::from_ref(&first), NOW).expect("memory"),
        Extended::Bad
    );
    accounts.settle(&name, &cert(1), NOW).expect("memory");
    let foreign = DeviceList::genesis(&name, &cert(3), &key(3));
    let kept = accounts.extend(&name, peer(1).device(), &[foreign], NOW).expect("memory");
    assert_eq!(kept, Extended::Bad, "a list without the device that publishes it");
    let list = DeviceList::begin(&first).expect("signed");
    let second = list.add(&cert(2), &key(1)).expect("signed");
    let both = [first.clone(), second.clone()];
    assert_eq!(accounts.extend(&name, peer(1).device(), &both, NOW).expect("memory"), Extended::Kept(vec![]));
    assert_eq!(accounts.owner(&name, &peer(2)).expect("memory"), Owner::This);
    assert_eq!(
        accounts.extend(&name, peer(1).device(), std::slice::from_ref(&second), NOW).expect("memory"),
        Extended::Outdated
    );
    accounts.settle(&name, &cert(2), NOW).expect("memory");
    let list = list.next(&second).expect("follows");
    let third = list.remove(&peer(2).device(), &key(1)).expect("signed");
    let kept = accounts.extend(&name, peer(1).device(), std::slice::from_ref(&third), NOW).expect("memory");
    assert_eq!(kept, Extended::Kept(vec![peer(2).device()]));
    assert_eq!(accounts.owner(&name, &peer(2)).expect("memory"), Owner::Revoked);
    assert_eq!(accounts.name_of(peer(2).device()).expect("memory"), None);
    assert_eq!(accounts.versions(&name, 2).expect("memory"), [first.clone(), third.clone()]);
    assert_eq!(accounts.versions(&name, 0).expect("memory"), [first, second, third]);
}

fn named(name: &str) -> AccountName {
    AccountName::parse(name).expect("valid")
}

fn cert(of: u8) -> Cert {
    Cert::sign(&SigningKey::from_bytes(&[of; 32]), &[of; 32])
}

/// The versions of an account's list, all signed by its first device: that one alone, then each of these.
fn list(name: &AccountName, first: u8, then: &[&[u8]]) -> Vec<Version> {
    let key = SigningKey::from_bytes(&[first; 32]);
    let mut versions = vec![DeviceList::genesis(name, &cert(first), &key)];
    for devices in then {
        let list = DeviceList::verify(name, &versions).expect("follows");
        let certs = devices.iter().map(|of| cert(*of)).collect();
        versions.push(list.extend(certs, None, &key).expect("signed"));
    }
    versions
}

/// What is wrong on the disk.
fn wrong(kv: &Memory, accounts: &mut Accounts) -> Vec<String> {
    accounts.append().expect("memory");
    let mut found = Findings::default();
    audit(kv, &mut found).expect("reads");
    found.sentences().to_vec()
}

fn logs_in(accounts: &mut Accounts, name: &AccountName, of: u8) {
    let peer = cert(of).verify().expect("signed");
    assert!(matches!(accounts.owner(name, &peer).expect("memory"), Owner::This | Owner::Nobody));
    assert!(!accounts.is_another_s(peer.device(), name).expect("memory"));
    accounts.settle(name, &cert(of), NOW).expect("memory");
}

fn extends(accounts: &mut Accounts, name: &AccountName, first: u8, versions: &[Version]) -> Extended {
    accounts.extend(name, device_of(&cert(first)), versions, NOW).expect("memory")
}

#[test]
fn a_device_that_was_removed_stays_removed_whoever_lists_it() {
    let (kv, mut accounts) = accounts();
    let (ada, mallory) = (named("ada"), named("mallory"));
    let owner =
        |accounts: &Accounts| accounts.owner(&ada, &cert(1).verify().expect("signed")).expect("memory");
    logs_in(&mut accounts, &ada, 2);
    logs_in(&mut accounts, &mallory, 3);
    let hers = list(&ada, 2, &[&[2, 1], &[2], &[2, 1]]);
    let theirs = list(&mallory, 3, &[&[3, 1], &[3]]);
    assert_eq!(extends(&mut accounts, &ada, 2, &hers[..2]), Extended::Kept(vec![]));
    logs_in(&mut accounts, &ada, 1);
    assert_eq!(extends(&mut accounts, &mallory, 3, &theirs[..2]), Extended::Bad, "it is Ada's");
    assert_eq!(extends(&mut accounts, &ada, 2, &hers[2..3]), Extended::Kept(vec![device()]));
    for versions in [&theirs[..2], &theirs[2..]] {
        assert_eq!(extends(&mut accounts, &mallory, 3, versions), Extended::Kept(vec![]));
        assert_eq!(owner(&accounts), Owner::Revoked);
        assert_eq!(wrong(&kv, &mut accounts), [""; 0]);
    }
    assert_eq!(extends(&mut accounts, &ada, 2, &hers[3..]), Extended::Kept(vec![]));
    assert_eq!(owner(&accounts), Owner::This, "Ada herself takes it back");
    assert_eq!(wrong(&kv, &mut accounts), [""; 0]);
}

#[test]
fn a_device_that_somebody_else_listed_first_belongs_where_it_logs_in() {
    let (kv, mut accounts) = accounts();
    let (ada, mallory) = (named("ada"), named("mallory"));
    logs_in(&mut accounts, &ada, 2);
    logs_in(&mut accounts, &mallory, 3);
    let theirs = list(&mallory, 3, &[&[3, 1], &[3], &[3, 1]]);
    assert_eq!(extends(&mut accounts, &mallory, 3, &theirs[..2]), Extended::Kept(vec![]));
    let hers = list(&ada, 2, &[&[2, 1]]);
    assert_eq!(extends(&mut accounts, &ada, 2, &hers), Extended::Bad, "it may still log in there");
    let later = Millis(NOW.0 + LISTED_MS);
    let kept = accounts.extend(&ada, device_of(&cert(2)), &hers, later).expect("memory");
    assert_eq!(kept, Extended::Kept(vec![]));
    assert_eq!(wrong(&kv, &mut accounts), [""; 0]);
    logs_in(&mut accounts, &ada, 1);
    assert!(accounts.is_another_s(device(), &mallory).expect("memory"));
    let bundles = [bundle(1, Kind::OneTime, NOW), bundle(9, Kind::LastResort, NOW)];
    publishes(&mut accounts, &bundles);
    assert_eq!(extends(&mut accounts, &mallory, 3, &theirs[2..3]), Extended::Kept(vec![]));
    assert_eq!(extends(&mut accounts, &mallory, 3, &theirs[3..]), Extended::Bad);
    assert_eq!(accounts.name_of(device()).expect("memory"), Some(ada));
    assert_eq!([claimed(&mut accounts), claimed(&mut accounts)], [Some(1), Some(9)], "they are still there");
    assert_eq!(wrong(&kv, &mut accounts), [""; 0]);
}

#[test]
fn a_device_that_came_and_went_between_two_publications_is_kept_out() {
    let (kv, mut accounts) = accounts();
    let ada = named("ada");
    logs_in(&mut accounts, &ada, 2);
    let versions = list(&ada, 2, &[&[2, 1], &[2]]);
    assert_eq!(extends(&mut accounts, &ada, 2, &versions), Extended::Kept(vec![]));
    let peer = cert(1).verify().expect("signed");
    assert_eq!(accounts.owner(&ada, &peer).expect("memory"), Owner::Revoked);
    assert_eq!(wrong(&kv, &mut accounts), [""; 0]);
}

#[test]
fn what_an_older_relay_wrote_of_a_removed_device_counts_until_it_is_listed_again() {
    let (kv, mut accounts) = accounts();
    let ada = named("ada");
    let peer = cert(1).verify().expect("signed");
    logs_in(&mut accounts, &ada, 2);
    let versions = list(&ada, 2, &[&[2, 1], &[2], &[2, 1], &[2]]);
    extends(&mut accounts, &ada, 2, &versions[..3]);
    accounts.records.delete(REVOKED, &removed(device(), &ada));
    accounts.records.put(REVOKED, &device().0, b"ada".to_vec());
    assert_eq!(accounts.owner(&ada, &peer).expect("memory"), Owner::Revoked);
    assert_eq!(accounts.owner(&named("ben"), &peer).expect("memory"), Owner::Nobody);
    assert_eq!(wrong(&kv, &mut accounts), [""; 0]);
    extends(&mut accounts, &ada, 2, &versions[3..4]);
    assert_eq!(accounts.owner(&ada, &peer).expect("memory"), Owner::This);
    extends(&mut accounts, &ada, 2, &versions[4..]);
    assert_eq!(accounts.records.scan(REVOKED, &[], &[], 9).expect("memory").len(), 1);
    assert_eq!(wrong(&kv, &mut accounts), [""; 0]);
}

#[test]
fn a_device_that_is_not_kept_out_or_goes_by_no_name_is_told() {
    let (kv, mut accounts) = accounts();
    let ada = named("ada");
    logs_in(&mut accounts, &ada, 2);
    extends(&mut accounts, &ada, 2, &list(&ada, 2, &[&[2, 1], &[2]]));
    accounts.records.delete(REVOKED, &removed(device(), &ada));
    accounts.records.delete(DEVICES, &device_of(&cert(2)).0);
    let told = ["1 devices of accounts go by no name", "1 devices that ada removed are not kept out"];
    assert_eq!(wrong(&kv, &mut accounts), told);
}
