//! The index of sealed files seen from outside: for a backup, and to find what does not hold together.

use super::place::{name, unname};
use super::{Entry, FILES, id_of};
use crate::accounts::decode;
use crate::admin::archive::Record;
use crate::admin::check::{Findings, rows};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use subrosa_shared::protocol::blob::BlobId;
use subrosa_shared::store::{self, Kv};

/// Below the data folder.
pub(crate) const FOLDER: &str = "files";

/// The blob that a record of the store is about, when it is one of the index.
pub(crate) fn listed(table: u8, key: &[u8]) -> Option<BlobId> {
    (table == FILES.byte).then(|| key.try_into().ok().map(BlobId)).flatten()
}

/// What takes a blob out of the index.
pub(crate) fn unlisted(id: BlobId) -> Record {
    Record::Delete { table: FILES.byte, key: id.0.to_vec() }
}

/// How much of a blob counts, by its entry in the index.
pub(crate) fn stored(entry: &[u8]) -> Result<u64, store::Error> {
    decode::<Entry>(entry, FILES.name).map(|entry| entry.stored)
}

/// Where the bytes of a blob lie in a data folder.
pub(crate) fn file(data: &Path, id: BlobId) -> PathBuf {
    data.join(FOLDER).join(name(id))
}

/// Looks whether index and files agree.
pub(crate) fn audit(kv: &dyn Kv, data: &Path, found: &mut Findings) -> Result<(), store::Error> {
    let mut known = BTreeSet::new();
    rows(kv, FILES, |key, value| {
        let (Ok(id), Ok(entry)) = (id_of(key), decode::<Entry>(value, FILES.name)) else {
            return found.wrong("an entry of the index of files cannot be read");
        };
        found.looked();
        known.insert(id);
        let length = fs::metadata(file(data, id)).map(|about| about.len()).unwrap_or(0);
        if entry.stored > entry.size {
            found.wrong(format!("more counts of file {} than it has", name(id)));
        }
        if length < entry.stored {
            let there = format!("{length} of {} bytes of file {} are on the disk", entry.stored, name(id));
            found.wrong(format!("{there}; the relay drops it at its next start"));
        }
    })?;
    let lie = match fs::read_dir(data.join(FOLDER)) {
        Ok(entries) => entries.flatten().collect(),
        Err(_) => Vec::new(),
    };
    for entry in lie {
        let id = entry.file_name().to_str().and_then(unname);
        match id {
            Some(id) if known.contains(&id) => {}
            // One that was deleted leaves the index first.
            Some(id) => {
                found.note(format!("file {} is in no index; the relay drops it at its next start", name(id)))
            }
            None => found.wrong(format!("{} is no file of the relay", entry.path().display())),
        }
    }
    Ok(())
}
