//! Room heads: an opaque value under a handle, moved only by who knows the last one and its key.
//!
//! The relay learns neither what a head is of nor who may move it. Heads lie in the same records as the
//! mailboxes, so that a head and the envelope that moves it are on disk together or not at all.

use crate::accounts::{decode, encode};
use crate::admin::check::{Findings, rows};
use crate::mailbox::{Error, Old};
use crate::staged::Staged;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::envelope::Move;
use subrosa_shared::store::{self, Batch, Kv, Order, Table};
use subrosa_shared::time::Millis;

/// How long a head is kept that nobody moves, in milliseconds: a year. After that it begins again
/// where whoever moves it says.
pub const LASTS_MS: u64 = 365 * 24 * 3_600_000;

/// A head as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    head: [u8; 32],
    guard: [u8; 32],
    /// Whose quota it counts in: who began it.
    by: AccountName,
    moved: Millis,
}

/// A move that may be made.
pub(crate) struct Ready {
    handle: [u8; 16],
    kept: Kept,
    /// How many its account has begun, this one counted, if it begins with this move.
    begun: Option<u32>,
}

const HEADS: Table = Table { byte: b'H', name: "room heads: handle → Kept" };
const BEGUN: Table = Table { byte: b'Q', name: "room heads: account → how many it has begun" };

/// In place of a head that nobody here knows: whoever has the key moves it from wherever it is. No hash is
/// all zeros.
const LOOSE: [u8; 32] = [0; 32];

/// Heads looked at in one piece of the search for old ones.
const PAGE: usize = 256;

/// Whether a move of that account may be made; nothing changes.
///
/// # Errors
/// [`Error::WrongKey`], [`Error::Outdated`], [`Error::TooManyHeads`] when the account has begun `most`.
pub(crate) fn check(
    records: &Staged,
    name: &AccountName,
    moves: &Move,
    most: u32,
    wall: Millis,
) -> Result<Ready, Error> {
    let next = |by: AccountName| Kept { head: moves.to, guard: moves.guard, by, moved: wall };
    let Some(bytes) = records.get(HEADS, &moves.handle)? else {
        let begun = begun(records, name)? + 1;
        if begun > most {
            return Err(Error::TooManyHeads);
        }
        return Ok(Ready { handle: moves.handle, kept: next(name.clone()), begun: Some(begun) });
    };
    let kept: Kept = decode(&bytes, HEADS.name)?;
    if Sha256::digest(moves.key).as_slice() != kept.guard {
        return Err(Error::WrongKey);
    }
    if kept.head != moves.from && kept.head != LOOSE {
        return Err(Error::Outdated);
    }
    Ok(Ready { handle: moves.handle, kept: next(kept.by), begun: None })
}

/// Makes a move that was checked a moment ago.
pub(crate) fn shift(records: &mut Staged, Ready { handle, kept, begun }: Ready) {
    records.put(HEADS, &handle, encode(&kept));
    if let Some(begun) = begun {
        records.put(BEGUN, kept.by.as_str().as_bytes(), encode(&begun));
    }
}

/// Drops heads that are `old` by when they were last moved, a bounded piece of work from that handle on.
/// Returns how many went, and where to go on.
///
/// # Errors
/// Those of the store.
pub(crate) fn expire(
    records: &mut Staged,
    old: Old<'_>,
    from: &[u8],
) -> Result<(u64, Option<Vec<u8>>), store::Error> {
    let rows = records.scan(HEADS, from, &[], PAGE)?;
    let next = rows.last().filter(|_| rows.len() == PAGE).map(|(key, _)| [key.as_slice(), &[0]].concat());
    let mut dropped = 0;
    for (key, value) in rows {
        let kept: Kept = decode(&value, HEADS.name)?;
        if old(kept.moved) {
            records.delete(HEADS, &key);
            let left = begun(records, &kept.by)?.saturating_sub(1);
            match left {
                0 => records.delete(BEGUN, kept.by.as_str().as_bytes()),
                left => records.put(BEGUN, kept.by.as_str().as_bytes(), encode(&left)),
            }
            dropped += 1;
        }
    }
    Ok((dropped, next))
}

/// Makes the heads of a store that went back in time ready to go on: where they are now only the members
/// know. Who may move them is kept: whoever was removed before the backup cannot begin them anew.
pub(crate) fn restored(kv: &dyn Kv) -> Result<(), store::Error> {
    let mut from = Vec::new();
    loop {
        let page = kv.scan(HEADS, &from, &[], Order::Forward, PAGE)?;
        let mut batch = Batch::default();
        for (key, value) in &page {
            let kept: Kept = decode(value, HEADS.name)?;
            batch.put(HEADS, key.clone(), encode(&Kept { head: LOOSE, ..kept }));
        }
        kv.commit(&batch.records)?;
        match page.last() {
            Some((last, _)) if page.len() == PAGE => from = [last.as_slice(), &[0]].concat(),
            _ => return Ok(()),
        }
    }
}

/// Looks whether heads can be read, and whether each account has begun as many as are counted.
pub(crate) fn audit(kv: &dyn Kv, found: &mut Findings) -> Result<(), store::Error> {
    let mut counts = BTreeMap::<AccountName, u32>::new();
    rows(kv, HEADS, |_, value| match decode::<Kept>(value, HEADS.name) {
        Ok(kept) => {
            found.looked();
            *counts.entry(kept.by).or_default() += 1;
        }
        Err(_) => found.wrong("a room head cannot be read"),
    })?;
    counted(kv, BEGUN, &counts, "room heads", found)
}

/// Looks whether an account's number of something is as it is counted.
pub(crate) fn counted(
    kv: &dyn Kv,
    table: Table,
    counts: &BTreeMap<AccountName, u32>,
    what: &str,
    found: &mut Findings,
) -> Result<(), store::Error> {
    let mut named = 0;
    rows(kv, table, |key, value| {
        named += 1;
        let there = counts.iter().find(|(name, _)| name.as_str().as_bytes() == key).map(|(_, count)| *count);
        if decode::<u32>(value, table.name).ok() != there {
            found.wrong(format!(
                "an account has {} {what}, and another number is counted",
                there.unwrap_or(0)
            ));
        }
    })?;
    if named < counts.len() {
        found.wrong(format!("{what} of {} accounts are not counted", counts.len() - named));
    }
    Ok(())
}

fn begun(records: &Staged, name: &AccountName) -> Result<u32, store::Error> {
    let bytes = records.get(BEGUN, name.as_str().as_bytes())?;
    bytes.map_or(Ok(0), |bytes| decode(&bytes, BEGUN.name))
}
