//! Who owns a name, its devices, and the prekeys that a device left for others.

mod audit;

pub use audit::count;
pub(crate) use audit::{any, audit, restored};

use crate::staged::Staged;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
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
    /// Accounts that are written, once they were counted: none is ever taken away.
    written: Option<u64>,
    /// New ones since the last append.
    fresh: u64,
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
    /// They are kept; these devices, which had logged in under the name, are gone.
    Kept(Vec<DeviceId>),
    /// The newest version here is not the one before the first of them.
    Outdated,
    /// They do not verify, or name a device of another account: one that has logged in there, or was listed lately.
    Bad,
}

/// Prekeys that a device has left here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// One-time ones that are valid for a month: with fewer of them their owner leaves others, before they are over.
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

/// Whose a device is.
struct Belongs {
    name: AccountName,
    /// When a list alone said so; `None`: it has logged in under that name. Its certificate is known to all, so that
    /// anybody's list may name it.
    listed: Option<Millis>,
}

impl Belongs {
    /// What a row says.
    fn read(row: &[u8]) -> Option<Self> {
        let end = row.iter().position(|byte| *byte == LISTED);
        let name = &row[..end.unwrap_or(row.len())];
        let name = AccountName::parse(std::str::from_utf8(name).ok()?).ok()?;
        let listed = end.map(|end| Some(Millis(u64::from_be_bytes(row[end + 1..].try_into().ok()?))));
        Some(Self { name, listed: listed.map_or(Some(None), |at| at.map(Some))? })
    }

    /// What a row says of a device that was listed then.
    fn row(name: &AccountName, listed: Millis) -> Vec<u8> {
        [name.as_str().as_bytes(), &[LISTED], &listed.0.to_be_bytes()].concat()
    }

    fn is_proven(&self) -> bool {
        self.listed.is_none()
    }

    /// Whether nobody else's list may name it.
    fn is_kept(&self, wall: Millis) -> bool {
        self.listed.is_none_or(|at| wall.0.abs_diff(at.0) < LISTED_MS)
    }
}

const ACCOUNTS: Table = Table { byte: b'a', name: "accounts: name → Account" };
const DEVICES: Table = Table {
    byte: b'd',
    name: "devices: device → name; before it has logged in: name ‖ 0 ‖ when it was listed",
};
const CHAINS: Table = Table { byte: b'c', name: "device lists: name ‖ 0 ‖ number → Version" };
const LISTS: Table = Table { byte: b'h', name: "device lists: name → the newest, verified" };
/// Of each account by itself: what one does to its list takes back nothing of what another did.
const REVOKED: Table =
    Table { byte: b'r', name: "removed devices: device ‖ name → (), or device → name" };
const ONE_TIME: Table = Table { byte: b'p', name: "one-time prekeys: device ‖ id → bundle" };
const LAST_RESORT: Table = Table { byte: b'l', name: "last-resort prekeys: device → bundle" };
/// So that a publication repeated after a lost answer does not hand a one-time prekey out twice.
const SPENT: Table = Table { byte: b's', name: "spent one-time prekeys: device ‖ id → not after" };

/// Behind the name of a device that has not logged in under it; no name holds a zero byte.
const LISTED: u8 = 0;
/// So long who lists a device first has for it to log in, in milliseconds: ten minutes. Who could name it meanwhile
/// would have what is said to them stand there as if it was said to it; who could keep it longer would lock it out.
const LISTED_MS: u64 = 10 * 60_000;

const WEEK_MS: u64 = 7 * 24 * 3_600_000;
/// A device that logs in once in this time, in milliseconds, can be written to all the time. Half of how long clients
/// sign theirs for.
const MONTH_MS: u64 = 30 * 24 * 3_600_000;
/// How long a spent prekey is remembered at most, in milliseconds: 90 days. Clients sign theirs for 60 and publish
/// none of them again after that, by their own clocks.
const SPENT_MS: u64 = 90 * 24 * 3_600_000;
const SWEEP: usize = 256;

impl Accounts {
    /// Over a store; keeps at most `prekeys_max` one-time prekeys a device.
    pub fn new(kv: Arc<dyn Kv>, prekeys_max: u32) -> Self {
        Self { records: Staged::new(kv), prekeys_max, written: None, fresh: 0 }
    }

    /// Keeps at most so many one-time prekeys a device from here on.
    pub fn bound(&mut self, prekeys_max: u32) {
        self.prekeys_max = prekeys_max;
    }

    /// What is written together with accounts.
    pub(crate) fn records(&mut self) -> &mut Staged {
        &mut self.records
    }

    /// How many there are; the first time they are counted in the store.
    ///
    /// # Errors
    /// Those of the store.
    pub fn count(&mut self) -> Result<u64, store::Error> {
        let written = match self.written {
            Some(written) => written,
            None => *self.written.insert(count(&*self.records.kv())?),
        };
        Ok(written + self.fresh)
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
        let device = peer.device();
        let once = self.records.get(REVOKED, &removed(device, name))?.is_some()
            || self.removed_before(device, name)?;
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
        wall: Millis,
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
        let here: BTreeSet<DeviceId> = list.devices().map(|peer| peer.device()).collect();
        for device in &here {
            if self.belongs(*device)?.is_some_and(|of| of.name != *name && of.is_kept(wall)) {
                return Ok(Extended::Bad);
            }
        }
        for next in versions {
            self.records.put(CHAINS, &version(name, next.number), encode(next));
        }
        self.records.put(LISTS, name.as_str().as_bytes(), encode(&list));
        for device in &here {
            let of = self.belongs(*device)?;
            if of.as_ref().is_none_or(|of| of.name != *name) {
                // It has its time once: not when somebody had it before, nor when it was taken off the list meanwhile.
                let again = of.is_some() || self.records.get(REVOKED, &removed(*device, name))?.is_some();
                let listed = if again { Millis(0) } else { wall };
                self.records.put(DEVICES, &device.0, Belongs::row(name, listed));
            }
            self.records.delete(REVOKED, &removed(*device, name));
            if self.removed_before(*device, name)? {
                self.records.delete(REVOKED, &device.0);
            }
        }
        // Those too that came and went within these versions.
        let ever = account.certs.iter().chain(versions.iter().flat_map(|version| &version.certs));
        let out: BTreeSet<DeviceId> = ever.map(device_of).filter(|device| !here.contains(device)).collect();
        let mut gone = Vec::new();
        for device in out {
            self.records.put(REVOKED, &removed(device, name), Vec::new());
            // What is kept for a device that never logged in under the name may be for it under another.
            let Some(of) = self.belongs(device)?.filter(|of| of.name == *name) else { continue };
            self.records.delete(DEVICES, &device.0);
            if of.is_proven() {
                self.records.delete(LAST_RESORT, &device.0);
                self.drop_prekeys(device)?;
                gone.push(device);
            }
        }
        let account = Account { certs: list.certs().to_vec(), since: account.since };
        self.records.put(ACCOUNTS, name.as_str().as_bytes(), encode(&account));
        Ok(Extended::Kept(gone))
    }

    /// The name that a device goes by: the one that it logged in under, or until then that of who listed it first.
    ///
    /// # Errors
    /// Those of the store.
    pub fn name_of(&self, device: DeviceId) -> Result<Option<AccountName>, store::Error> {
        Ok(self.belongs(device)?.map(|of| of.name))
    }

    /// Whether a device has logged in under another name than this one, and is that account's.
    ///
    /// # Errors
    /// Those of the store.
    pub fn is_another_s(&self, device: DeviceId, name: &AccountName) -> Result<bool, store::Error> {
        Ok(self.belongs(device)?.is_some_and(|of| of.is_proven() && of.name != *name))
    }

    /// Gives a free name to a device that logs in, or keeps the newest certificate of its owner.
    ///
    /// # Errors
    /// Those of the store.
    pub fn settle(&mut self, name: &AccountName, cert: &Cert, wall: Millis) -> Result<(), store::Error> {
        let device = device_of(cert);
        if !self.belongs(device)?.is_some_and(|of| of.is_proven() && of.name == *name) {
            self.records.put(DEVICES, &device.0, name.as_str().into());
        }
        let since = match self.account(name)? {
            Some(account) if account.certs.contains(cert) => return Ok(()),
            // The list says which certificate is a device's.
            Some(_) if self.records.get(LISTS, name.as_str().as_bytes())?.is_some() => return Ok(()),
            Some(account) => account.since,
            None => {
                self.fresh += 1;
                wall
            }
        };
        let account = Account { certs: vec![cert.clone()], since };
        self.records.put(ACCOUNTS, name.as_str().as_bytes(), encode(&account));
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
    /// last-resort one replaces the last. What is out of date goes, and what ends soonest makes room for
    /// what lasts longer.
    ///
    /// # Errors
    /// Those of the store.
    pub fn publish(
        &mut self,
        device: DeviceId,
        bundles: &[Bundle],
        wall: Millis,
    ) -> Result<Published, store::Error> {
        let most = self.prekeys_max as usize;
        let mut here = BTreeSet::new();
        // The bound may have been higher once.
        for (key, bytes) in self.one_time(device, usize::MAX)? {
            let end = end(&bytes);
            if end < wall {
                self.records.delete(ONE_TIME, &key);
            } else {
                here.insert((end, key));
            }
        }
        let mut outcome = Published::Kept;
        for bundle in bundles {
            let key = key(device, bundle.id);
            match bundle.kind {
                Kind::LastResort => self.records.put(LAST_RESORT, &device.0, bundle.encode()),
                Kind::OneTime if self.records.get(SPENT, &key)?.is_some() => {}
                Kind::OneTime if self.records.get(ONE_TIME, &key)?.is_some() => {}
                Kind::OneTime => {
                    while here.len() >= most
                        && here.first().is_some_and(|(end, _)| *end < bundle.not_after)
                        && let Some((_, soonest)) = here.pop_first()
                    {
                        self.records.delete(ONE_TIME, &soonest);
                    }
                    if here.len() >= most {
                        outcome = Published::TooMany;
                        continue;
                    }
                    self.records.put(ONE_TIME, &key, bundle.encode());
                    here.insert((bundle.not_after, key));
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
        let lasts = |bytes: &[u8], ms| wall.0.saturating_add(ms) <= end(bytes).0;
        let one_time = self.one_time(device, self.prekeys_max as usize)?;
        let one_time = one_time.iter().filter(|(_, bytes)| lasts(bytes, MONTH_MS)).count() as u32;
        let last = self.records.get(LAST_RESORT, &device.0)?;
        let last_resort_fresh = last.is_some_and(|bytes| lasts(&bytes, WEEK_MS));
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
        let fresh = std::mem::take(&mut self.fresh);
        self.records.append()?;
        if let Some(written) = &mut self.written {
            *written += fresh;
        }
        Ok(())
    }

    fn account(&self, name: &AccountName) -> Result<Option<Account>, store::Error> {
        let bytes = self.records.get(ACCOUNTS, name.as_str().as_bytes())?;
        bytes.map(|bytes| decode(&bytes, "an account")).transpose()
    }

    fn belongs(&self, device: DeviceId) -> Result<Option<Belongs>, store::Error> {
        let Some(row) = self.records.get(DEVICES, &device.0)? else { return Ok(None) };
        Belongs::read(&row).map(Some).ok_or_else(|| damaged("a device's name"))
    }

    /// Whether an older relay wrote that this account has removed that device.
    fn removed_before(&self, device: DeviceId, name: &AccountName) -> Result<bool, store::Error> {
        let of = self.records.get(REVOKED, &device.0)?;
        Ok(of.is_some_and(|of| of == name.as_str().as_bytes()))
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

/// Until when a bundle may be used; one that cannot be read is over.
fn end(bundle: &[u8]) -> Millis {
    Bundle::decode(bundle).map_or(Millis(0), |bundle| bundle.not_after)
}

fn key(device: DeviceId, prekey: PrekeyId) -> Vec<u8> {
    [device.0, prekey.0].concat()
}

fn removed(device: DeviceId, by: &AccountName) -> Vec<u8> {
    [device.0.as_slice(), by.as_str().as_bytes()].concat()
}

fn device_of(cert: &Cert) -> DeviceId {
    DeviceId::of(cert.0.first_chunk().expect("a certificate has 128 bytes"))
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
mod tests;
