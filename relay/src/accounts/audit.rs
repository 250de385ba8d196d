//! Accounts and prekeys on disk looked at as a whole: whether they hold together, and what restored ones need.

use super::{
    ACCOUNTS, Account, Belongs, CHAINS, DEVICES, LAST_RESORT, LISTS, ONE_TIME, REVOKED, SPENT, SWEEP, decode,
};
use crate::admin::check::{Findings, rows};
use std::collections::{BTreeMap, BTreeSet};
use subrosa_shared::id::{AccountName, DeviceId};
use subrosa_shared::protocol::devices::{DeviceList, Version};
use subrosa_shared::protocol::prekey::Bundle;
use subrosa_shared::store::{self, Batch, Kv, Order};
use subrosa_shared::time::Millis;

/// Accounts that a store holds, as far as they are on disk.
///
/// # Errors
/// Those of the store.
pub fn count<K: Kv + ?Sized>(kv: &K) -> Result<u64, store::Error> {
    let (mut accounts, mut from) = (0, Vec::new());
    loop {
        let rows = kv.scan(ACCOUNTS, &from, &[], Order::Forward, SWEEP)?;
        accounts += rows.len() as u64;
        match rows.last() {
            Some((last, _)) if rows.len() == SWEEP => from = [last.as_slice(), &[0]].concat(),
            _ => return Ok(accounts),
        }
    }
}

/// Whether a store holds any account.
///
/// # Errors
/// Those of the store.
pub(crate) fn any(kv: &dyn Kv) -> Result<bool, store::Error> {
    Ok(!kv.scan(ACCOUNTS, &[], &[], Order::Forward, 1)?.is_empty())
}

/// Drops all one-time prekeys: those that were given out after the backup was made must not be given out
/// again, and which those are is not known. Devices leave new ones when they log in.
pub(crate) fn restored(kv: &dyn Kv) -> Result<(), store::Error> {
    loop {
        let page = kv.scan(ONE_TIME, &[], &[], Order::Forward, SWEEP)?;
        if page.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        page.into_iter().for_each(|(key, _)| batch.delete(ONE_TIME, key));
        kv.commit(&batch.records)?;
    }
}

/// Looks whether names, devices, lists and prekeys agree.
pub(crate) fn audit(kv: &dyn Kv, found: &mut Findings) -> Result<(), store::Error> {
    // More than one account may list a device.
    let mut devices: BTreeSet<(DeviceId, AccountName)> = BTreeSet::new();
    let mut lists: BTreeMap<AccountName, DeviceList> = BTreeMap::new();
    rows(kv, ACCOUNTS, |key, value| {
        let (Some(name), Ok(account)) = (name(key), decode::<Account>(value, ACCOUNTS.name)) else {
            return found.wrong("an account cannot be read");
        };
        found.looked();
        if account.certs.is_empty() {
            found.wrong(format!("account {name} has no device"));
        }
        for cert in &account.certs {
            match cert.verify() {
                Ok(peer) => drop(devices.insert((peer.device(), name.clone()))),
                Err(_) => found.wrong(format!("a certificate of account {name} does not verify")),
            }
        }
    })?;
    let mut named: BTreeSet<DeviceId> = BTreeSet::new();
    rows(kv, DEVICES, |key, value| {
        let (Ok(id), Some(Belongs { name, .. })) = (key.try_into().map(DeviceId), Belongs::read(value))
        else {
            return found.wrong("the name of a device cannot be read");
        };
        found.looked();
        named.insert(id);
        if !devices.contains(&(id, name.clone())) {
            found.wrong(format!("device {id} goes by the name {name}, and that account does not have it"));
        }
    })?;
    rows(kv, LISTS, |key, value| match (name(key), decode::<DeviceList>(value, LISTS.name)) {
        (Some(name), Ok(list)) => {
            found.looked();
            if list.devices().any(|peer| !devices.contains(&(peer.device(), name.clone()))) {
                found.wrong(format!("the list of devices of {name} is not that of its account"));
            }
            lists.insert(name, list);
        }
        _ => found.wrong("a list of devices cannot be read"),
    })?;
    let mut chains: BTreeMap<AccountName, Vec<Version>> = BTreeMap::new();
    rows(kv, CHAINS, |key, value| {
        let of = key
            .split_last_chunk::<4>()
            .and_then(|(rest, number)| Some((name(rest.strip_suffix(&[0])?)?, u32::from_be_bytes(*number))));
        match (of, decode::<Version>(value, CHAINS.name)) {
            (Some((name, number)), Ok(version)) if version.number == number => {
                found.looked();
                chains.entry(name).or_default().push(version);
            }
            _ => found.wrong("a version of a list of devices cannot be read"),
        }
    })?;
    for (name, versions) in &chains {
        let verified = DeviceList::verify(name, versions);
        if verified.ok().map(|list| list.head().hash) != lists.get(name).map(|list| list.head().hash) {
            found.wrong(format!("the versions of the list of {name} do not lead to its newest"));
        }
    }
    if lists.keys().any(|name| !chains.contains_key(name)) {
        found.wrong("a list of devices has no versions");
    }
    let names: BTreeSet<&AccountName> = devices.iter().map(|(_, name)| name).collect();
    let mut out: BTreeSet<(DeviceId, AccountName)> = BTreeSet::new();
    rows(kv, REVOKED, |key, value| {
        // References to bodies lie under the same letter; their keys are shorter.
        let Some((id, by)) = key.split_first_chunk::<16>() else { return };
        // An older relay wrote the name there.
        let by = if by.is_empty() { value } else { by };
        match name(by).filter(|name| names.contains(name)) {
            Some(name) => drop(out.insert((DeviceId(*id), name))),
            None => found.wrong("a removed device goes by a name that nobody has"),
        }
    })?;
    // One that its account has removed goes by no name, whoever else lists it.
    named.extend(out.iter().map(|(id, _)| *id));
    let unnamed: BTreeSet<DeviceId> =
        devices.iter().map(|(id, _)| *id).filter(|id| !named.contains(id)).collect();
    if !unnamed.is_empty() {
        found.wrong(format!("{} devices of accounts go by no name", unnamed.len()));
    }
    for (name, versions) in &chains {
        let removed = removed(versions);
        let missing = removed.iter().filter(|id| !out.contains(&(**id, name.clone()))).count();
        if missing > 0 {
            found.wrong(format!("{missing} devices that {name} removed are not kept out"));
        }
    }
    for table in [ONE_TIME, LAST_RESORT] {
        rows(kv, table, |key, value| {
            found.looked();
            let owner = key.first_chunk().map(|id| DeviceId(*id));
            let holds = Bundle::decode(value)
                .ok()
                .zip(owner)
                .is_some_and(|(bundle, owner)| bundle.verify(&owner, Millis(0)).is_ok());
            if !holds {
                found.wrong("a prekey cannot be read, or is not signed by its device");
            }
        })?;
    }
    rows(kv, SPENT, |_, value| {
        if decode::<Millis>(value, SPENT.name).is_err() {
            found.wrong("a spent prekey cannot be read");
        }
    })
}

/// Devices that earlier versions of a list have, and the newest has not.
fn removed(versions: &[Version]) -> BTreeSet<DeviceId> {
    let mut ever = BTreeSet::new();
    let mut list = None;
    for version in versions {
        list = match list {
            None => DeviceList::begin(version).ok(),
            Some(list) => DeviceList::next(&list, version).ok(),
        };
        ever.extend(list.iter().flat_map(DeviceList::devices).map(|peer| peer.device()));
    }
    if let Some(list) = list {
        ever.retain(|device| list.get(device).is_none());
    }
    ever
}

fn name(bytes: &[u8]) -> Option<AccountName> {
    let text = String::from_utf8(bytes.to_vec()).ok()?;
    AccountName::try_from(text).ok()
}
