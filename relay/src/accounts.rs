//! Who owns a name, its devices, and the prekeys that a device left for others.

mod audit;

pub use audit::count;
pub(crate) use audit::{any, audit, restored};

use crate::staged::Staged;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use subrosa_shared::id::{AccountName, DeviceId, PrekeyId};
use subrosa_shared::protocol::auth::{Cert, Peer};
use subrosa_shared::protocol::devices::{DeviceList, Error as Fault, VERSIONS_IN_FRAME, Version};
use subrosa_shared::protocol::prekey::{Bundle, Kind};
use subrosa_shared::store::{self, Kv, Table, prefix_end};
use subrosa_shared::time::Millis;

/// Accounts and prekeys over a store. Changes are seen at once, and are on disk after
/// [`Accounts::append`], once the store is synced.
pub struct Accounts {
    records: Staged,
    prekeys_max: u32,
}

/// How a name stands towards a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Free.
    Nobody,
    /// This device's.
    This,
    /// Another's.
    Other,
    /// Its own once: the account has removed this device.
    Revoked,
}

/// What came of new versions of a device list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extended {
    /// They are kept; these devices are gone.
    Kept(Vec<DeviceId>),
    /// The newest version here is not the one before the first of them.
    Outdated,
    /// They do not verify, or name a device of another account.
    Bad,
}

/// Prekeys that a device has left here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// One-time ones.
    pub one_time: u32,
    /// The last-resort one is there and valid for a week.
    pub last_resort_fresh: bool,
}

/// What came of published bundles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// They are here (those that are used up already excepted).
    Kept,
    /// More than a device may leave: the first ones are kept, those above the bound are not.
    TooMany,
}

#[derive(Serialize, Deserialize)]
struct Account {
    /// Its devices, as in the newest version of its list; one as long as there is no list.
    certs: Vec<Cert>,
    /// Unix milliseconds.
    since: Millis,
}

const ACCOUNTS: Table = Table { byte: b'a', name: "accounts: name → Account" };
const DEVICES: Table = Table { byte: b'd', name: "devices: device → name" };
const CHAINS: Table = Table { byte: b'c', name: "device lists: name ‖ 0 ‖ number → Version" };
const LISTS: Table = Table { byte: b'h', name: "device lists: name → the newest, verified" };
const REVOKED: Table = Table { byte: b'r', name: "removed devices: device → name" };
const ONE_TIME: Table = Table { byte: b'p', name: "one-time prekeys: device ‖ id → bundle" };
const LAST_RESORT: Table = Table { byte: b'l', name: "last-resort prekeys: device → bundle" };
/// So that a publication repeated after a lost answer does not hand a one-time prekey out twice.
const SPENT: Table = Table { byte: b's', name: "spent one-time prekeys: device ‖ id → not after" };

const WEEK_MS: u64 = 7 * 24 * 3_600_000;
/// How long a spent prekey is remembered at most, in milliseconds: 90 days. Clients sign theirs for 60 and publish
/// none of them again after that, by their own clocks.
const SPENT_MS: u64 = 90 * 24 * 3_600_000;
const SWEEP: usize = 256;

impl Accounts {
    /// Over a store; keeps at most `prekeys_max` one-time prekeys a device.
    pub fn new(kv: Arc<dyn Kv>, prekeys_max: u32) -> Self {
        Self { records: Staged::new(kv), prekeys_max }
    }

    /// Keeps at most so many one-time prekeys a device from here on.
    pub fn bound(&mut self, prekeys_max: u32) {
        self.prekeys_max = prekeys_max;
    }

    /// What is written together with accounts.
    pub(crate) fn records(&mut self) -> &mut Staged {
        &mut self.records
    }

    /// Whose a name is.
    ///
    /// # Errors
    /// Those of the store.
    pub fn owner(&self, name: &AccountName, peer: &Peer) -> Result<Owner, store::Error> {
        let Some(account) = self.account(name)? else { return Ok(Owner::Nobody) };
        if account.certs.iter().any(|cert| cert.0[..32] == peer.identity) {
            return Ok(Owner::This);
        }
        let removed = self.records.get(REVOKED, &peer.device().0)?;
        let once = removed.is_some_and(|of| of == name.as_str().as_bytes());
        Ok(if once { Owner::Revoked } else { Owner::Other })
    }

    /// The versions of an account's list, from the first: that one and those from `from` on, as many
    /// as go into a frame. Empty when it has none.
    ///
    /// # Errors
    /// Those of the store.
    pub fn versions(&self, name: &AccountName, from: u32) -> Result<Vec<Version>, store::Error> {
        let end = prefix_end(&chain(name));
        let first = self.records.scan(CHAINS, &version(name, 0), &version(name, 1), 1)?;
        let rest = self.records.scan(CHAINS, &version(name, from.max(1)), &end, VERSIONS_IN_FRAME - 1)?;
        let versions = first.into_iter().chain(rest);
        versions.map(|(_, bytes)| decode(&bytes, "a list of devices")).collect()
    }

    /// Takes the next versions of an account's list, all or none. `publisher` must be in the list that
    /// begins here; later the signatures say who may.
    ///
    /// # Errors
    /// Those of the store.
    pub fn extend(
        &mut self,
        name: &AccountName,
        publisher: DeviceId,
        versions: &[Version],
    ) -> Result<Extended, store::Error> {
        let Some(account) = self.account(name)? else { return Ok(Extended::Bad) };
        let known = self.records.get(LISTS, name.as_str().as_bytes())?;
        let known: Option<DeviceList> = known.map(|bytes| decode(&bytes, "a list of devices")).transpose()?;
        let list = match known {
            None if versions.first().is_none_or(|first| first.number != 0) => return Ok(Extended::Outdated),
            None => DeviceList::verify(name, versions).and_then(|list| match list.get(&publisher) {
                Some(_) => Ok(list),
                None => Err(Fault::Signature),
            }),
            Some(list) => {
                let follows = |first: &Version| {
                    first.previous == list.head().hash
                        && Some(first.number) == list.head().number.checked_add(1)
                };
                if !versions.first().is_some_and(follows) {
                    return Ok(Extended::Outdated);
                }
                versions.iter().try_fold(list, |list, version| list.next(version))
            }
        };
        let Ok(list) = list else { return Ok(Extended::Bad) };
        for device in list.devices() {
            if self.name_of(device.device())?.is_some_and(|of| of != *name) {
                return Ok(Extended::Bad);
            }
        }
        for next in versions {
            self.records.put(CHAINS, &version(name, next.number), encode(next));
        }
        self.records.put(LISTS, name.as_str().as_bytes(), encode(&list));
        for device in list.devices().map(|peer| peer.device()) {
            self.records.put(DEVICES, &device.0, name.as_str().into());
            self.records.delete(REVOKED, &device.0);
        }
        let before = account.certs.iter().filter_map(|cert| cert.verify().ok());
        let gone: Vec<_> = before.filter(|peer| !list.has(peer)).map(|peer| peer.device()).collect();
        for device in &gone {
            self.records.delete(DEVICES, &device.0);
            self.records.put(REVOKED, &device.0, name.as_str().into());
            self.records.delete(LAST_RESORT, &device.0);
            // The bound may have been higher once.
            for (key, _) in self.one_time(*device, usize::MAX)? {
                self.records.delete(ONE_TIME, &key);
            }
        }
        let account = Account { certs: list.certs().to_vec(), since: account.since };
        self.records.put(ACCOUNTS, name.as_str().as_bytes(), encode(&account));
        Ok(Extended::Kept(gone))
    }

    /// The name that a device goes by.
    ///
    /// # Errors
    /// Those of the store.
    pub fn name_of(&self, device: DeviceId) -> Result<Option<AccountName>, store::Error> {
        let Some(bytes) = self.records.get(DEVICES, &device.0)? else { return Ok(None) };
        let name = String::from_utf8(bytes).ok().and_then(|text| AccountName::parse(&text).ok());
        name.map(Some).ok_or_else(|| damaged("a device's name"))
    }

    /// Gives a free name to a device, or keeps the newest certificate of its owner.
    ///
    /// # Errors
    /// Those of the store.
    pub fn settle(&mut self, name: &AccountName, cert: &Cert, wall: Millis) -> Result<(), store::Error> {
        let device = DeviceId::of(cert.0.first_chunk().expect("a certificate has 128 bytes"));
        let since = match self.account(name)? {
            Some(account) if account.certs.contains(cert) => return Ok(()),
            // The list says which certificate is a device's.
            Some(_) if self.records.get(LISTS, name.as_str().as_bytes())?.is_some() => return Ok(()),
            Some(account) => account.since,
            None => wall,
        };
        let account = Account { certs: vec![cert.clone()], since };
        self.records.put(ACCOUNTS, name.as_str().as_bytes(), encode(&account));
        self.records.put(DEVICES, &device.0, name.as_str().into());
        Ok(())
    }

    /// The certificates of an account.
    ///
    /// # Errors
    /// Those of the store.
    pub fn certs(&self, name: &AccountName) -> Result<Option<Vec<Cert>>, store::Error> {
        Ok(self.account(name)?.map(|account| account.certs))
    }

    /// Keeps a device's verified bundles. One that is here already or used up changes nothing; a
    /// last-resort one replaces the last.
    ///
    /// # Errors
    /// Those of the store.
    pub fn publish(&mut self, device: DeviceId, bundles: &[Bundle]) -> Result<Published, store::Error> {
        let mut count = self.one_time(device, self.prekeys_max as usize)?.len();
        let mut outcome = Published::Kept;
        for bundle in bundles {
            let key = key(device, bundle.id);
            match bundle.kind {
                Kind::LastResort => self.records.put(LAST_RESORT, &device.0, bundle.encode()),
                Kind::OneTime if self.records.get(SPENT, &key)?.is_some() => {}
                Kind::OneTime if self.records.get(ONE_TIME, &key)?.is_some() => {}
                Kind::OneTime if count >= self.prekeys_max as usize => outcome = Published::TooMany,
                Kind::OneTime => {
                    count += 1;
                    self.records.put(ONE_TIME, &key, bundle.encode());
                }
            }
        }
        Ok(outcome)
    }

    /// Drops a device's one-time bundles, which it can open nothing with any more.
    ///
    /// # Errors
    /// Those of the store.
    pub fn drop_prekeys(&mut self, device: DeviceId) -> Result<(), store::Error> {
        // The bound may have been higher once.
        for (key, _) in self.one_time(device, usize::MAX)? {
            self.records.delete(ONE_TIME, &key);
        }
        Ok(())
    }

    /// Takes one valid bundle of a device: a one-time one while there are, which then is gone.
    ///
    /// # Errors
    /// Those of the store.
    pub fn claim(&mut self, device: DeviceId, wall: Millis) -> Result<Option<Vec<u8>>, store::Error> {
        for (key, bytes) in self.one_time(device, self.prekeys_max as usize)? {
            self.records.delete(ONE_TIME, &key);
            let bundle = Bundle::decode(&bytes).map_err(|_| damaged("a prekey bundle"))?;
            if wall <= bundle.not_after {
                // The date is the client's own: one that is never over would be here for ever.
                let until = bundle.not_after.min(Millis(wall.0.saturating_add(SPENT_MS)));
                self.records.put(SPENT, &key, encode(&until));
                return Ok(Some(bytes));
            }
        }
        let last = self.records.get(LAST_RESORT, &device.0)?;
        let valid = |bytes: &Vec<u8>| Bundle::decode(bytes).is_ok_and(|bundle| wall <= bundle.not_after);
        Ok(last.filter(valid))
    }

    /// Prekeys that a device has left here.
    ///
    /// # Errors
    /// Those of the store.
    pub fn left(&self, device: DeviceId, wall: Millis) -> Result<Left, store::Error> {
        let one_time = self.one_time(device, self.prekeys_max as usize)?.len() as u32;
        let last = self.records.get(LAST_RESORT, &device.0)?;
        let last_resort_fresh = last
            .and_then(|bytes| Bundle::decode(&bytes).ok())
            .is_some_and(|bundle| wall.0.saturating_add(WEEK_MS) <= bundle.not_after.0);
        Ok(Left { one_time, last_resort_fresh })
    }

    /// Forgets spent prekeys that are out of date anyway, a bounded piece of work after `from`; says
    /// where to go on, `None` at the end.
    ///
    /// # Errors
    /// Those of the store.
    pub fn sweep(&mut self, wall: Millis, from: Vec<u8>) -> Result<Option<Vec<u8>>, store::Error> {
        let rows = self.records.scan(SPENT, &from, &[], SWEEP)?;
        let next = rows.last().filter(|_| rows.len() == SWEEP).map(|(key, _)| {
            let mut after = key.clone();
            after.push(0);
            after
        });
        for (key, value) in rows {
            let not_after: Millis = decode(&value, "a spent prekey")?;
            if not_after < wall {
                self.records.delete(SPENT, &key);
            }
        }
        Ok(next)
    }

    /// Writes everything since the last call; it is durable once the store is synced.
    ///
    /// # Errors
    /// Those of the store; then everything since the last call is undone.
    pub fn append(&mut self) -> Result<(), store::Error> {
        self.records.append()
    }

    fn account(&self, name: &AccountName) -> Result<Option<Account>, store::Error> {
        let bytes = self.records.get(ACCOUNTS, name.as_str().as_bytes())?;
        bytes.map(|bytes| decode(&bytes, "an account")).transpose()
    }

    fn one_time(&self, device: DeviceId, limit: usize) -> Result<store::Rows, store::Error> {
        self.records.scan(ONE_TIME, &device.0, &prefix_end(&device.0), limit)
    }
}

/// Before the numbers of an account's versions; no name holds a zero byte.
fn chain(name: &AccountName) -> Vec<u8> {
    [name.as_str().as_bytes(), &[0]].concat()
}

fn version(name: &AccountName, number: u32) -> Vec<u8> {
    [chain(name).as_slice(), &number.to_be_bytes()].concat()
}

fn key(device: DeviceId, prekey: PrekeyId) -> Vec<u8> {
    [device.0, prekey.0].concat()
}

/// Bytes that most records fit into.
const RECORD: usize = 256;

/// A record as bytes.
pub(crate) fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    let bytes = Vec::with_capacity(RECORD);
    postcard::to_extend(record, bytes).expect("a record serialises: plain fields only")
}

/// A record from bytes.
pub(crate) fn decode<T: for<'a> Deserialize<'a>>(bytes: &[u8], what: &str) -> Result<T, store::Error> {
    match postcard::take_from_bytes(bytes) {
        Ok((record, [])) => Ok(record),
        _ => Err(damaged(what)),
    }
}

fn damaged(what: &str) -> store::Error {
    store::Error::Damaged(format!("{what} cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;
    use subrosa_shared::protocol::prekey::EK;
    use subrosa_shared::store::memory::Memory;

    const NOW: Millis = Millis(1_000_000);

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

    fn claimed(accounts: &mut Accounts) -> Option<u8> {
        let bytes = accounts.claim(device(), NOW).expect("memory")?;
        Some(Bundle::decode(&bytes).expect("a bundle").id.0[0])
    }

    #[test]
    fn one_time_prekeys_go_out_once_and_then_the_last_resort() {
        let (_, mut accounts) = accounts();
        assert_eq!(claimed(&mut accounts), None);
        let bundles = [
            bundle(1, Kind::OneTime, NOW),
            bundle(2, Kind::OneTime, Millis(1)),
            bundle(3, Kind::OneTime, NOW),
            bundle(9, Kind::LastResort, NOW),
        ];
        assert_eq!(accounts.publish(device(), &bundles).expect("memory"), Published::Kept);
        assert_eq!(accounts.left(device(), NOW).expect("memory").one_time, 3);
        assert_eq!(claimed(&mut accounts), Some(1));
        assert_eq!(claimed(&mut accounts), Some(3), "2 is out of date");
        assert_eq!(claimed(&mut accounts), Some(9));
        assert_eq!(
            accounts.publish(device(), &[bundle(4, Kind::OneTime, NOW)]).expect("memory"),
            Published::Kept
        );
        accounts.drop_prekeys(device()).expect("memory");
        assert_eq!(claimed(&mut accounts), Some(9));
    }

    #[test]
    fn a_repeated_publication_does_not_bring_a_spent_prekey_back() {
        let (_, mut accounts) = accounts();
        let bundles = [bundle(1, Kind::OneTime, NOW)];
        accounts.publish(device(), &bundles).expect("memory");
        assert_eq!(claimed(&mut accounts), Some(1));
        accounts.publish(device(), &bundles).expect("memory");
        assert_eq!(claimed(&mut accounts), None);
        assert_eq!(accounts.sweep(Millis(NOW.0 + 1), Vec::new()).expect("memory"), None);
        assert!(accounts.records.scan(SPENT, &[], &[], 9).expect("memory").is_empty());
    }

    #[test]
    fn a_spent_prekey_without_an_end_is_forgotten_after_ninety_days() {
        let (_, mut accounts) = accounts();
        accounts.publish(device(), &[bundle(1, Kind::OneTime, Millis(u64::MAX))]).expect("memory");
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
        accounts.publish(device(), &all).expect("memory");
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
        assert_eq!(accounts.extend(&name, second, &both).expect("memory"), Extended::Kept(vec![]));
        accounts.publish(device(), &all).expect("memory");
        accounts.bound(1);
        let list = list.next(&both[1]).expect("follows");
        let removes = [list.remove(&device(), &key(2)).expect("signed")];
        assert_eq!(accounts.extend(&name, second, &removes).expect("memory"), Extended::Kept(vec![device()]));
        assert_eq!(accounts.one_time(device(), 9).expect("memory").len(), 0);
    }

    #[test]
    fn prekeys_of_a_device_are_bounded() {
        let (_, mut accounts) = accounts();
        let bundles: Vec<_> = (1..=4).map(|id| bundle(id, Kind::OneTime, NOW)).collect();
        assert_eq!(accounts.publish(device(), &bundles).expect("memory"), Published::TooMany);
        assert_eq!(accounts.left(device(), NOW).expect("memory").one_time, 3);
    }

    #[test]
    fn a_last_resort_prekey_is_fresh_for_all_but_its_last_week() {
        let (_, mut accounts) = accounts();
        let fresh = |accounts: &Accounts| accounts.left(device(), NOW).expect("memory").last_resort_fresh;
        assert!(!fresh(&accounts));
        accounts.publish(device(), &[bundle(1, Kind::LastResort, Millis(NOW.0 + WEEK_MS))]).expect("memory");
        assert!(fresh(&accounts));
        accounts.publish(device(), &[bundle(2, Kind::LastResort, Millis(NOW.0 + 1))]).expect("memory");
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
            accounts.extend(&name, peer(1).device(), std::slice::from_ref(&first)).expect("memory"),
            Extended::Bad
        );
        accounts.settle(&name, &cert(1), NOW).expect("memory");
        let foreign = DeviceList::genesis(&name, &cert(3), &key(3));
        let kept = accounts.extend(&name, peer(1).device(), &[foreign]).expect("memory");
        assert_eq!(kept, Extended::Bad, "a list without the device that publishes it");
        let list = DeviceList::begin(&first).expect("signed");
        let second = list.add(&cert(2), &key(1)).expect("signed");
        let both = [first.clone(), second.clone()];
        assert_eq!(accounts.extend(&name, peer(1).device(), &both).expect("memory"), Extended::Kept(vec![]));
        assert_eq!(accounts.owner(&name, &peer(2)).expect("memory"), Owner::This);
        assert_eq!(
            accounts.extend(&name, peer(1).device(), std::slice::from_ref(&second)).expect("memory"),
            Extended::Outdated
        );
        let list = list.next(&second).expect("follows");
        let third = list.remove(&peer(2).device(), &key(1)).expect("signed");
        let kept = accounts.extend(&name, peer(1).device(), std::slice::from_ref(&third)).expect("memory");
        assert_eq!(kept, Extended::Kept(vec![peer(2).device()]));
        assert_eq!(accounts.owner(&name, &peer(2)).expect("memory"), Owner::Revoked);
        assert_eq!(accounts.name_of(peer(2).device()).expect("memory"), None);
        assert_eq!(accounts.versions(&name, 2).expect("memory"), [first.clone(), third.clone()]);
        assert_eq!(accounts.versions(&name, 0).expect("memory"), [first, second, third]);
    }
}
