//! What of the sessions is in the store, and how it is found again after a crash.
//!
//! | where | key | value |
//! |---|---|---|
//! | slot 1 | peer's device | `Outbound`: the chain that seals to this peer |
//! | slot 2 | session | `Inbound` without its skipped keys |
//! | slot 3, part p | session | skipped keys, 8 at most |
//! | slot 4 | prekey | `Prekey`: its seed and what it is for |
//! | table 0x10 | peer's device | `Ahead`: session and next number, durable before anything is sent |
//! | table 0x11 | prekey ‖ hash of a first message | `Start` to a last-resort prekey: the replay set |
//! | table 0x12 | peer's device ‖ prekey | a bundle that this peer gave us, encoded |
//! | table 0x14 | | the last-resort prekeys that were used up, the newest last |
//!
//! Values are a version byte, then postcard; bundles are as they came.

use super::chain::{CipherState, Parts, Receiving, Skipped};
use super::prekey::Secrets;
use crate::id::{DeviceId, PrekeyId, SessionId};
use crate::protocol::auth::Peer;
use crate::protocol::prekey::{Bundle, Kind};
use crate::store::{self, Batch, Order, SLOT_MAX, SlotKey, Store, Table};
use crate::time::Millis;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// How far each outbound chain went.
pub const AHEAD: Table = Table { byte: 0x10, name: "session-ahead" };
/// First messages to last-resort prekeys.
pub const STARTS: Table = Table { byte: 0x11, name: "session-starts" };
/// Bundles that peers gave us.
pub const BUNDLES: Table = Table { byte: 0x12, name: "session-bundles" };
/// Empty key → the file that the keys lie in, [`crate::store::Slots::origin`].
pub const ORIGIN: Table = Table { byte: 0x13, name: "session-origin" };
/// Empty key → the last-resort prekeys that were used up.
pub const WORN: Table = Table { byte: 0x14, name: "session-worn" };

/// Kind of the slots of chains that seal.
pub const OUTBOUND: u8 = 1;
/// Kind of the slots of chains that open.
pub const INBOUND: u8 = 2;
const SKIPPED: u8 = 3;
/// Kind of the slots of prekeys' seeds.
pub const PREKEY: u8 = 4;
const VERSION: u8 = 1;

/// A session that seals to one peer.
#[derive(Clone, Serialize, Deserialize, ZeroizeOnDrop)]
pub(super) struct Outbound {
    #[zeroize(skip)]
    pub(super) session: SessionId,
    pub(super) chain: CipherState,
    /// Wall clock at the handshake.
    #[zeroize(skip)]
    pub(super) began: Millis,
    /// Whether something of the peer's was opened since.
    #[zeroize(skip)]
    pub(super) answered: bool,
    /// Whether it began with a last-resort prekey.
    #[zeroize(skip)]
    pub(super) last_resort: bool,
}

/// A session that a peer seals to us.
#[derive(Clone)]
pub(super) struct Inbound {
    pub(super) about: About,
    pub(super) chain: Receiving,
}

/// What is known of an inbound session.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) peer: Peer,
    /// Counted up over all inbound sessions: which is newer.
    pub(super) order: u64,
    /// The prekey it began with.
    pub(super) prekey: PrekeyId,
    /// SHA-256 of the first message's bytes.
    pub(super) first: [u8; 32],
    /// When it is erased, once enough newer ones are there.
    pub(super) until: Option<Millis>,
}

#[derive(Serialize, Deserialize)]
struct InboundSlot {
    about: About,
    next: CipherState,
    forgotten: u64,
}

/// The secret half of a bundle of ours.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(super) struct Prekey {
    seed: [u8; 32],
    #[zeroize(skip)]
    pub(super) kind: Kind,
    #[zeroize(skip)]
    pub(super) created: Millis,
    #[zeroize(skip)]
    pub(super) not_after: Millis,
    /// The only device that may use it; `None` for those at the relay.
    #[zeroize(skip)]
    pub(super) peer: Option<DeviceId>,
    /// When a newer last-resort one took its place.
    #[zeroize(skip)]
    pub(super) replaced: Option<Millis>,
}

impl Prekey {
    pub(super) fn new(seed: &[u8; 32], kind: Kind, created: Millis, not_after: Millis) -> Self {
        Self { seed: *seed, kind, created, not_after, peer: None, replaced: None }
    }

    pub(super) fn secrets(&self) -> Secrets {
        Secrets::grow(&self.seed)
    }
}

/// How far an outbound chain is, in the records.
#[derive(Serialize, Deserialize)]
struct Ahead {
    session: SessionId,
    n: u64,
}

/// A first message to a last-resort prekey.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Start {
    /// The session that it began.
    pub(super) session: SessionId,
    /// Whether that session was erased since. When not, and it is not there, a crash came between
    /// the records and its slot, and the message may begin it again.
    pub(super) over: bool,
}

/// Everything that [`load`] finds.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) outbound: BTreeMap<DeviceId, Outbound>,
    pub(super) inbound: BTreeMap<SessionId, Inbound>,
    pub(super) prekeys: BTreeMap<PrekeyId, Prekey>,
    pub(super) starts: BTreeMap<(PrekeyId, [u8; 32]), Start>,
    /// Last-resort prekeys that were used up, the newest last.
    pub(super) worn: Vec<PrekeyId>,
    pub(super) bundles: BTreeMap<DeviceId, Vec<Bundle>>,
    /// All this is a copy that was put in the place of a profile.
    pub(super) moved: bool,
}

/// Reads everything and lists the writes that catch up what a crash left half done.
pub(super) fn load(store: &Store) -> Result<(Kept, Batch), store::Error> {
    let mut kept = Kept::default();
    let mut batch = Batch::default();
    load_prekeys(store, &mut kept)?;
    load_worn(store, &mut kept, &mut batch)?;
    load_outbound(store, &mut kept, &mut batch)?;
    load_inbound(store, &mut kept, &mut batch)?;
    load_starts(store, &mut kept, &mut batch)?;
    load_bundles(store, &mut kept)?;
    look_at_origin(store, &mut kept, &mut batch)?;
    Ok((kept, batch))
}

/// A copy of an earlier day that was put in the place of a profile has keys that were used since, with the same
/// numbers: no session goes on from it, and what is sealed next begins new ones.
fn look_at_origin(store: &Store, kept: &mut Kept, batch: &mut Batch) -> Result<(), store::Error> {
    let Some(origin) = store.slots.origin() else { return Ok(()) };
    let before = store.records.get(ORIGIN, &[])?;
    if before.as_deref() == Some(&origin[..]) {
        return Ok(());
    }
    // Where there is no record, the copy may be of an earlier version.
    kept.moved = before.is_some() || !kept.outbound.is_empty();
    if kept.moved {
        for device in std::mem::take(&mut kept.outbound).into_keys() {
            erase_outbound(batch, &device);
        }
        for (device, bundles) in std::mem::take(&mut kept.bundles) {
            for bundle in bundles {
                delete_bundle(batch, &device, &bundle);
            }
        }
    }
    batch.put(ORIGIN, [], origin.to_vec());
    Ok(())
}

fn load_prekeys(store: &Store, kept: &mut Kept) -> Result<(), store::Error> {
    for (key, value) in store.slots.list(PREKEY) {
        kept.prekeys.insert(PrekeyId(key.id), read(&value)?);
    }
    Ok(())
}

/// A crash may have come after the replay set of a prekey was deleted and before its secret was: without the one the
/// other must not be.
fn load_worn(store: &Store, kept: &mut Kept, batch: &mut Batch) -> Result<(), store::Error> {
    let Some(worn) = store.records.get(WORN, &[])? else { return Ok(()) };
    kept.worn = read(&worn)?;
    for id in &kept.worn {
        if kept.prekeys.remove(id).is_some() {
            erase_prekey(batch, id);
        }
    }
    Ok(())
}

/// The record is never behind the slot: records are durable first.
fn load_outbound(store: &Store, kept: &mut Kept, batch: &mut Batch) -> Result<(), store::Error> {
    let mut ahead = BTreeMap::new();
    for (key, value) in store.records.scan(AHEAD, &[], &[], Order::Forward, usize::MAX)? {
        ahead.insert(DeviceId(id(&key)?), read::<Ahead>(&value)?);
    }
    for (key, value) in store.slots.list(OUTBOUND) {
        let device = DeviceId(key.id);
        let mut outbound: Outbound = read(&value)?;
        match ahead.remove(&device) {
            Some(record) if record.session == outbound.session => {
                if outbound.chain.n() < record.n {
                    while outbound.chain.n() < record.n {
                        outbound.chain.step();
                    }
                    keep_outbound(batch, &device, &outbound);
                }
                kept.outbound.insert(device, outbound);
            }
            // A newer session took its place, or it was given up: its key must go.
            record => {
                batch.erase(slot(OUTBOUND, device.0, 0));
                if record.is_some() {
                    batch.delete(AHEAD, device.0);
                }
            }
        }
    }
    // Sessions whose first key was lost: their numbers are never used again.
    for device in ahead.into_keys() {
        batch.delete(AHEAD, device.0);
    }
    Ok(())
}

fn load_inbound(store: &Store, kept: &mut Kept, batch: &mut Batch) -> Result<(), store::Error> {
    let mut skipped: BTreeMap<SessionId, Parts> = BTreeMap::new();
    for (key, value) in store.slots.list(SKIPPED) {
        let keys: Vec<Skipped> = read(&value)?;
        skipped.entry(SessionId(key.id)).or_default().insert(key.part, keys);
    }
    for (key, value) in store.slots.list(INBOUND) {
        let session = SessionId(key.id);
        let InboundSlot { about, next, forgotten } = read(&value)?;
        let skipped = skipped.remove(&session).unwrap_or_default();
        let mut inbound = Inbound { about, chain: Receiving { next, skipped, forgotten } };
        let changed = inbound.chain.drop_ahead();
        keep_skipped(batch, &session, &inbound, &changed);
        // The crash came after the session's slot and before the prekey's erasure (rule 3).
        if kept.prekeys.get(&about.prekey).is_some_and(|prekey| prekey.kind == Kind::OneTime) {
            erase_prekey(batch, &about.prekey);
            kept.prekeys.remove(&about.prekey);
        }
        kept.inbound.insert(session, inbound);
    }
    // A session is erased before its skipped keys.
    for (session, parts) in skipped {
        for part in parts.into_keys() {
            batch.erase(slot(SKIPPED, session.0, part));
        }
    }
    Ok(())
}

fn load_starts(store: &Store, kept: &mut Kept, batch: &mut Batch) -> Result<(), store::Error> {
    for (key, value) in store.records.scan(STARTS, &[], &[], Order::Forward, usize::MAX)? {
        let (prekey, hash) = key.split_first_chunk().ok_or_else(damaged)?;
        let (prekey, hash) = (PrekeyId(*prekey), hash.try_into().map_err(|_| damaged())?);
        let start: Start = read(&value)?;
        let torn = !start.over && !kept.inbound.contains_key(&start.session);
        if torn || !kept.prekeys.contains_key(&prekey) {
            batch.delete(STARTS, key);
            continue;
        }
        if start.over
            && let Some(inbound) = kept.inbound.remove(&start.session)
        {
            erase_inbound(batch, &start.session, &inbound);
        }
        kept.starts.insert((prekey, hash), start);
    }
    Ok(())
}

fn load_bundles(store: &Store, kept: &mut Kept) -> Result<(), store::Error> {
    for (key, value) in store.records.scan(BUNDLES, &[], &[], Order::Forward, usize::MAX)? {
        let device = DeviceId(id(key.get(..16).ok_or_else(damaged)?)?);
        let bundle = Bundle::decode(&value).map_err(|_| damaged())?;
        kept.bundles.entry(device).or_default().push(bundle);
    }
    Ok(())
}

/// The record that goes before the wire.
pub(super) fn put_ahead(batch: &mut Batch, device: &DeviceId, outbound: &Outbound) {
    let ahead = Ahead { session: outbound.session, n: outbound.chain.n() };
    batch.put(AHEAD, device.0, written(&ahead).to_vec());
}

pub(super) fn keep_outbound(batch: &mut Batch, device: &DeviceId, outbound: &Outbound) {
    batch.keep(slot(OUTBOUND, device.0, 0), written(outbound));
}

pub(super) fn erase_outbound(batch: &mut Batch, device: &DeviceId) {
    batch.delete(AHEAD, device.0);
    batch.erase(slot(OUTBOUND, device.0, 0));
}

pub(super) fn keep_inbound(batch: &mut Batch, session: &SessionId, inbound: &Inbound) {
    let value = InboundSlot {
        about: inbound.about,
        next: inbound.chain.next.clone(),
        forgotten: inbound.chain.forgotten,
    };
    batch.keep(slot(INBOUND, session.0, 0), written(&value));
}

/// Sets or erases the parts of skipped keys that changed.
pub(super) fn keep_skipped(batch: &mut Batch, session: &SessionId, inbound: &Inbound, changed: &[u16]) {
    for part in changed {
        let slot = slot(SKIPPED, session.0, *part);
        match inbound.chain.skipped.get(part) {
            Some(keys) => batch.keep(slot, written(keys)),
            None => batch.erase(slot),
        }
    }
}

/// The session first: what is left of skipped keys without it is erased at the next start.
pub(super) fn erase_inbound(batch: &mut Batch, session: &SessionId, inbound: &Inbound) {
    batch.erase(slot(INBOUND, session.0, 0));
    for part in inbound.chain.skipped.keys() {
        batch.erase(slot(SKIPPED, session.0, *part));
    }
}

pub(super) fn keep_prekey(batch: &mut Batch, id: &PrekeyId, prekey: &Prekey) {
    batch.keep(slot(PREKEY, id.0, 0), written(prekey));
}

pub(super) fn erase_prekey(batch: &mut Batch, id: &PrekeyId) {
    batch.erase(slot(PREKEY, id.0, 0));
}

pub(super) fn put_start(batch: &mut Batch, prekey: &PrekeyId, hash: &[u8; 32], start: &Start) {
    batch.put(STARTS, [prekey.0.as_slice(), hash].concat(), written(start).to_vec());
}

pub(super) fn delete_start(batch: &mut Batch, prekey: &PrekeyId, hash: &[u8; 32]) {
    batch.delete(STARTS, [prekey.0.as_slice(), hash].concat());
}

pub(super) fn put_worn(batch: &mut Batch, worn: &[PrekeyId]) {
    batch.put(WORN, [], written(&worn).to_vec());
}

pub(super) fn put_bundle(batch: &mut Batch, device: &DeviceId, bundle: &Bundle) {
    batch.put(BUNDLES, [device.0, bundle.id.0].concat(), bundle.encode());
}

pub(super) fn delete_bundle(batch: &mut Batch, device: &DeviceId, bundle: &Bundle) {
    batch.delete(BUNDLES, [device.0, bundle.id.0].concat());
}

fn slot(kind: u8, id: [u8; 16], part: u16) -> SlotKey {
    SlotKey { kind, id, part }
}

/// Written into one buffer that does not grow, so that no copy of a secret is left behind.
fn written<T: Serialize>(value: &T) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(vec![0; SLOT_MAX]);
    bytes[0] = VERSION;
    let used = postcard::to_slice(value, &mut bytes[1..]).expect("every value is shorter than a slot").len();
    bytes.truncate(1 + used);
    bytes
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, store::Error> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => match postcard::take_from_bytes(rest) {
            Ok((value, [])) => Ok(value),
            _ => Err(damaged()),
        },
        Some((&found, _)) => Err(store::Error::Newer { found: found.into(), known: VERSION.into() }),
        None => Err(damaged()),
    }
}

fn id(bytes: &[u8]) -> Result<[u8; 16], store::Error> {
    bytes.try_into().map_err(|_| damaged())
}

fn damaged() -> store::Error {
    store::Error::Damaged("a session does not read back".into())
}

#[cfg(test)]
mod tests {
    use super::super::chain::PART;
    use super::*;

    #[test]
    fn the_largest_values_fit_a_slot() {
        let late = Millis(u64::MAX);
        let mut state = CipherState::new(&[255; 32]);
        for _ in 0..1000 {
            state.step();
        }
        let part: Vec<_> = (0..PART).map(|_| Skipped { state: state.clone(), until: late }).collect();
        assert!(written(&part).len() + PART * 8 <= SLOT_MAX, "with the longest numbers too");
        let peer = Peer { identity: [255; 32], noise: [255; 32] };
        let about =
            About { peer, order: u64::MAX, prekey: PrekeyId([1; 16]), first: [1; 32], until: Some(late) };
        assert!(written(&InboundSlot { about, next: state, forgotten: u64::MAX }).len() + 8 <= SLOT_MAX);
    }
}
