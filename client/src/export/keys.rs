//! What a profile has for a key file, and a new profile from one.

use super::keyfile::{self, Contact, Keys};
use crate::chat::devices::CHAIN;
use crate::chat::person::{PEOPLE, Person};
use crate::chat::room::{Kept, ROOMS};
use crate::chat::talk::{ACCOUNT, IMPORTED};
use crate::start;
use rand_core::{CryptoRngCore, OsRng};
use subrosa_shared::id::{AccountName, RoomId};
use subrosa_shared::protocol::devices::Version;
use subrosa_shared::store::{Batch, Error, Order, Store};
use subrosa_shared::time::Millis;
use zeroize::Zeroizing;

/// The sealed key file of a profile.
///
/// # Errors
/// A sentence, when the store cannot be read.
pub fn sealed(store: &Store, passphrase: &str) -> Result<String, String> {
    let keys = gather(store).map_err(|error| format!("the store cannot be read: {error}"))?;
    if !keys.is_listed() {
        return Err(
            "this device was removed from its account: make a key file on one that is still in it".into()
        );
    }
    keyfile::seal(&keys, passphrase, start::cost(), &mut OsRng).map_err(|error| error.to_string())
}

/// Whether the relay of a profile lives in it. A key file has nothing of that.
///
/// # Errors
/// A sentence, when the store cannot be read.
pub fn hosts(store: &Store) -> Result<bool, String> {
    let hosting = store.records.get(ACCOUNT, b"hosting");
    let hosting = hosting.map_err(|error| format!("the store cannot be read: {error}"))?;
    Ok(hosting == Some(vec![1]))
}

/// What a profile has for a key file.
///
/// # Errors
/// Those of the store.
pub fn gather(store: &Store) -> Result<Keys, Error> {
    let damaged = |what: &str| Error::Damaged(what.into());
    let get = |key: &[u8]| store.records.get(ACCOUNT, key)?.ok_or_else(|| damaged("the account"));
    let text = |key: &[u8]| String::from_utf8(get(key)?).map_err(|_| damaged("the account"));
    let seed = Zeroizing::new(get(b"identity")?);
    let (identity, noise) = seed.split_at_checked(32).ok_or_else(|| damaged("the account"))?;
    let mut people = Vec::new();
    for (key, value) in store.records.scan(ROOMS, &[], &[], Order::Forward, usize::MAX)? {
        let kept: Kept = postcard::from_bytes(&value).map_err(|_| damaged("a conversation"))?;
        let person = match store.records.get(PEOPLE, &key)? {
            Some(bytes) => Person::read(&bytes).ok_or_else(|| damaged("a person"))?,
            None => Person::default(),
        };
        // A room of several people is joined anew, by an invitation.
        let Some(with) = kept.with else { continue };
        people.push(Contact { with, peer: kept.peer, changed: kept.changed, muted: kept.muted, person });
    }
    let list = store.records.scan(CHAIN, &[], &[], Order::Forward, usize::MAX)?.into_iter();
    let list: Result<Vec<Version>, _> = list.map(|(_, version)| postcard::from_bytes(&version)).collect();
    let list = list.map_err(|_| damaged("a list of devices"))?;
    Ok(Keys {
        name: AccountName::parse(&text(b"name")?).map_err(|_| damaged("the account"))?,
        relay: text(b"relay")?,
        identity: identity.try_into().map_err(|_| damaged("the account"))?,
        noise: noise.try_into().map_err(|_| damaged("the account"))?,
        people,
        list,
    })
}

/// What a new profile holds that goes on as this account: keys and people, no words.
pub fn furnish(keys: &Keys, rng: &mut dyn CryptoRngCore) -> Batch {
    let mut batch = Batch::default();
    batch.put(ACCOUNT, *b"name", keys.name.as_str().as_bytes().to_vec());
    batch.put(ACCOUNT, *b"relay", keys.relay.clone().into_bytes());
    batch.put(ACCOUNT, *b"hosting", vec![0]);
    batch.put(ACCOUNT, *b"identity", [keys.identity, keys.noise].concat());
    batch.put(ACCOUNT, IMPORTED, vec![1]);
    for version in &keys.list {
        let value = postcard::to_stdvec(version).expect("a version serialises: plain fields only");
        batch.put(CHAIN, version.number.to_be_bytes(), value);
    }
    for contact in &keys.people {
        let mut id = [0; 16];
        rng.fill_bytes(&mut id);
        let kept = Kept {
            with: Some(contact.with.clone()),
            peer: contact.peer,
            changed: contact.changed,
            lines: 0,
            read: 0,
            unread: 0,
            muted: contact.muted,
            last: Millis(0),
        };
        let value = postcard::to_stdvec(&kept).expect("a room serialises: plain fields only");
        batch.put(ROOMS, id, value);
        contact.person.save(RoomId(id), &mut batch);
    }
    batch
}
