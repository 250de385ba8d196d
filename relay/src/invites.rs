//! Invitations to open an account: which hold, and for how many. What is kept of one is its hash.

use crate::accounts::{decode, encode};
use crate::admin::check::{Findings, rows};
use crate::staged::Staged;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subrosa_shared::protocol::invite::Invite;
use subrosa_shared::store::{self, Kv, Table};
use subrosa_shared::time::Millis;
use subtle::ConstantTimeEq;

/// How an invitation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Accounts that may still be opened with it.
    pub uses: u32,
    /// It holds up to here, wall clock.
    pub until: Millis,
    /// When it was made.
    pub made: Millis,
}

/// An invitation as it is kept, under the first bytes of its hash.
#[derive(Serialize, Deserialize)]
struct Kept {
    hash: [u8; 32],
    invitation: Invitation,
}

const INVITES: Table = Table { byte: b'V', name: "invitations: id → Kept" };

/// Bytes of the hash that name an invitation.
const ID: usize = 8;

/// Invitations that hold at a time.
pub const INVITES_MAX: usize = 10_000;

/// Makes one, and forgets those that ran out; whether there was room for it.
///
/// # Errors
/// Those of the store.
pub(crate) fn make(
    records: &mut Staged,
    invite: &Invite,
    invitation: Invitation,
    wall: Millis,
) -> Result<bool, store::Error> {
    let mut count = 0;
    for (key, value) in records.scan(INVITES, &[], &[], usize::MAX)? {
        let kept: Kept = decode(&value, INVITES.name)?;
        if kept.invitation.holds(wall) {
            count += 1;
        } else {
            records.delete(INVITES, &key);
        }
    }
    if count >= INVITES_MAX {
        return Ok(false);
    }
    let hash = hash(invite);
    records.put(INVITES, &hash[..ID], encode(&Kept { hash, invitation }));
    Ok(true)
}

/// Takes one use; whether it held.
///
/// # Errors
/// Those of the store.
pub(crate) fn take(records: &mut Staged, invite: &Invite, wall: Millis) -> Result<bool, store::Error> {
    let hash = hash(invite);
    let Some(bytes) = records.get(INVITES, &hash[..ID])? else { return Ok(false) };
    let Kept { hash: theirs, mut invitation } = decode(&bytes, INVITES.name)?;
    if !bool::from(theirs.ct_eq(&hash)) || !invitation.holds(wall) {
        return Ok(false);
    }
    invitation.uses -= 1;
    match invitation.uses {
        0 => records.delete(INVITES, &hash[..ID]),
        _ => records.put(INVITES, &hash[..ID], encode(&Kept { hash, invitation })),
    }
    Ok(true)
}

/// Those that hold, by id.
///
/// # Errors
/// Those of the store.
pub(crate) fn list(records: &Staged, wall: Millis) -> Result<Vec<(String, Invitation)>, store::Error> {
    let mut all = Vec::new();
    for (key, value) in records.scan(INVITES, &[], &[], INVITES_MAX)? {
        let Kept { invitation, .. } = decode(&value, INVITES.name)?;
        if invitation.holds(wall) {
            all.push((data_encoding::HEXLOWER.encode(&key), invitation));
        }
    }
    all.sort_by_key(|(_, invitation)| invitation.made);
    Ok(all)
}

/// Voids one; whether there was one of that id.
///
/// # Errors
/// Those of the store.
pub(crate) fn revoke(records: &mut Staged, id: &str) -> Result<bool, store::Error> {
    let Some(key) = data_encoding::HEXLOWER.decode(id.as_bytes()).ok().filter(|key| key.len() == ID) else {
        return Ok(false);
    };
    let there = records.get(INVITES, &key)?.is_some();
    records.delete(INVITES, &key);
    Ok(there)
}

/// Looks whether they can be read.
pub(crate) fn audit(kv: &dyn Kv, found: &mut Findings) -> Result<(), store::Error> {
    rows(kv, INVITES, |key, value| match decode::<Kept>(value, INVITES.name) {
        Ok(kept) if kept.hash[..ID] == *key && kept.invitation.uses > 0 => found.looked(),
        _ => found.wrong("an invitation cannot be read"),
    })
}

impl Invitation {
    fn holds(&self, wall: Millis) -> bool {
        self.uses > 0 && wall <= self.until
    }
}

fn hash(invite: &Invite) -> [u8; 32] {
    Sha256::new().chain_update(b"subrosa invite/1\0").chain_update(invite.bytes()).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use subrosa_shared::store::memory::Memory;

    #[test]
    fn an_invitation_holds_for_its_uses_and_its_time_and_is_not_kept_itself() {
        let kv = Arc::new(Memory::default());
        let mut records = Staged::new(kv.clone());
        let [one, two] = [[1; 16], [2; 16]].map(Invite::of);
        let until = |until| Invitation { uses: 2, until: Millis(until), made: Millis(0) };
        assert!(make(&mut records, &one, until(10), Millis(0)).expect("memory"));
        assert!(make(&mut records, &two, until(5), Millis(0)).expect("memory"));
        assert!(
            !take(&mut records, &Invite::of([3; 16]), Millis(0)).expect("memory"),
            "nobody made that one"
        );
        for wall in [1, 10] {
            assert!(take(&mut records, &one, Millis(wall)).expect("memory"));
        }
        assert!(!take(&mut records, &one, Millis(10)).expect("memory"), "used up");
        assert!(!take(&mut records, &two, Millis(6)).expect("memory"), "ran out");
        let listed = list(&records, Millis(5)).expect("memory");
        assert_eq!(listed.len(), 1);
        records.commit().expect("memory");
        let stored = kv.get(INVITES, &hash(&two)[..ID]).expect("memory").expect("there");
        assert!(!stored.windows(16).any(|bytes| bytes == two.bytes()));
        assert!(!revoke(&mut records, "00").expect("memory") && !revoke(&mut records, "zz").expect("memory"));
        assert!(revoke(&mut records, &listed[0].0).expect("memory"));
        assert!(!take(&mut records, &two, Millis(0)).expect("memory"), "revoked");
    }
}
