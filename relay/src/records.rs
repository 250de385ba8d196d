//! The relay's records on disk: which folder, which schema.

use crate::mailbox;
use rand_core::{OsRng, RngCore};
use std::path::{Path, PathBuf};
use subrosa_shared::store::Error;
use subrosa_shared::store::journal::Mark;
use subrosa_shared::store::journaled::{FULL_BYTES, Journaled};
use subrosa_shared::store::sled::{Migration, Settings};

/// What they are opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A relay runs on them.
    Run,
    /// They are only read: an older schema stays, and a full disk is no hindrance.
    Look,
}

/// Schema 2 has a journal before the store, and other rows for what is known of repeats. What a relay of
/// schema 1 has kept is converted when this one starts; that relay would not look into the journal, and
/// refuses schema 2. Schema 3 has another checksum in the journal: a relay of schema 2 would take its commits for
/// ones that were cut off.
pub const SETTINGS: Settings = Settings { schema: 3, cache_bytes: 16 << 20, reserve_bytes: 64 << 20 };

const STEPS: [Migration; 2] =
    [Migration { to: 2, run: mailbox::convert }, Migration { to: 3, run: |_| Ok(()) }];

/// Where they lie in a data folder.
pub fn folder(data: &Path) -> PathBuf {
    data.join("store")
}

/// Opens them.
///
/// # Errors
/// Those of [`Journaled::open`].
pub fn open(data: &Path, what: Use) -> Result<Journaled, Error> {
    let mut mark = [0; 16];
    OsRng.fill_bytes(&mut mark);
    let settings = match what {
        Use::Run => SETTINGS,
        Use::Look => Settings { reserve_bytes: 0, ..SETTINGS },
    };
    let records = Journaled::open(&folder(data), settings, Mark(mark), full_bytes())?;
    if what == Use::Run {
        records.migrate(&STEPS)?;
    }
    Ok(records)
}

/// Tests make it small, so that a short story goes through many rounds of the journal.
fn full_bytes() -> usize {
    let wanted = cfg!(debug_assertions).then(|| std::env::var("SUBROSA_TEST_JOURNAL_BYTES").ok()).flatten();
    wanted.and_then(|bytes| bytes.parse().ok()).unwrap_or(FULL_BYTES)
}
