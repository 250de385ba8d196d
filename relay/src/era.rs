//! The era of a relay: a number that is another one after its store was lost or went back in time.
//!
//! Devices are told it at login. One that knew another era knows that what the relay took lately may be
//! gone, and hands it out again.

use crate::admin::check::Findings;
use rand_core::CryptoRngCore;
use subrosa_shared::store::{self, Batch, Kv, Table};

const ERA: Table = Table { byte: b'E', name: "era: → number" };

/// The era of a store; one that has none begins its first.
///
/// # Errors
/// Those of the store.
pub(crate) fn of(kv: &dyn Kv, rng: &mut dyn CryptoRngCore) -> Result<u64, store::Error> {
    match kv.get(ERA, &[])? {
        Some(bytes) => read(&bytes).ok_or_else(|| store::Error::Damaged(ERA.name.into())),
        None => begin(kv, rng),
    }
}

/// Another one begins.
///
/// # Errors
/// Those of the store.
pub(crate) fn begin(kv: &dyn Kv, rng: &mut dyn CryptoRngCore) -> Result<u64, store::Error> {
    let era = rng.next_u64();
    let mut batch = Batch::default();
    batch.put(ERA, [], era.to_be_bytes().to_vec());
    kv.commit(&batch.records)?;
    Ok(era)
}

/// Looks whether it can be read.
pub(crate) fn audit(kv: &dyn Kv, found: &mut Findings) -> Result<(), store::Error> {
    if let Some(bytes) = kv.get(ERA, &[])? {
        match read(&bytes) {
            Some(_) => found.looked(),
            None => found.wrong("the relay's era cannot be read"),
        }
    }
    Ok(())
}

fn read(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::OsRng;
    use subrosa_shared::store::memory::Memory;

    #[test]
    fn an_era_stays_until_another_begins() {
        let kv = Memory::default();
        let first = of(&kv, &mut OsRng).expect("memory");
        assert_eq!(of(&kv, &mut OsRng).expect("memory"), first);
        let second = begin(&kv, &mut OsRng).expect("memory");
        assert_ne!(second, first);
        assert_eq!(of(&kv, &mut OsRng).expect("memory"), second);
        let mut batch = Batch::default();
        batch.put(ERA, [], vec![1]);
        kv.commit(&batch.records).expect("memory");
        assert!(of(&kv, &mut OsRng).is_err());
        let mut found = Findings::default();
        audit(&kv, &mut found).expect("memory");
        assert!(!found.is_well());
    }
}
