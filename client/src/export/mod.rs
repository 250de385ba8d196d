//! Taking things out of a profile: keys into an armoured file, conversations into a readable one.
//!
//! | module | what lives there |
//! |---|---|
//! | [`keyfile`] | the key file: its bytes, pure |
//! | [`keys`] | what a profile has for it, and a new profile from it |
//! | [`history`] | conversations as text, Markdown or JSON |
//! | [`cli`] | `subrosa export` and `subrosa import` |

pub mod cli;
pub mod history;
pub mod keyfile;
pub mod keys;

use crate::ui::command::Secret;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use subrosa_shared::store::Store;

/// One export, to be carried out beside everything else.
#[derive(Debug)]
pub enum Job {
    /// Readable conversations.
    History(history::Job),
    /// The key file.
    Keys {
        /// Target; must not exist.
        path: String,
        /// Seals it.
        passphrase: Secret,
    },
}

impl Job {
    /// Carries it out; `said` hears how far it is, and may be told to stop. Gives the last word on it.
    ///
    /// # Errors
    /// A sentence with the next step; the target is then as it was.
    pub fn run(
        self,
        store: &Store,
        stop: &AtomicBool,
        said: &mut dyn FnMut(String),
    ) -> Result<String, String> {
        match self {
            Self::History(job) => {
                let mut on = |done: u64, all: u64| {
                    said(format!("exported {done} of {all} lines…"));
                    !stop.load(Ordering::Relaxed)
                };
                let lines = history::write(store, &job, &mut on)?;
                Ok(format!(
                    "{lines} lines written to {}: it is readable by whoever gets it, keep it safe",
                    job.path
                ))
            }
            Self::Keys { path, passphrase } => {
                let text = keys::sealed(store, &passphrase.0)?;
                put(Path::new(&path), Existing::Keep, &mut |file| file.write_all(text.as_bytes()))?;
                Ok(format!(
                    "your keys and contacts are in {path}, sealed under the passphrase that you gave: {USE}"
                ))
            }
        }
    }
}

/// What happens to a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and the export is refused.
    Keep,
    /// The person agreed to lose it.
    Replace,
}

/// How a key file is used.
pub const USE: &str = "`subrosa import FILE` on an empty machine takes it, and then this one must not go on";

/// Writes a file that only its owner may read, as a whole or not at all.
pub(crate) fn put(
    path: &Path,
    existing: Existing,
    fill: &mut dyn FnMut(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), String> {
    let at = path.display();
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => format!("{at} exists already: choose another name"),
        std::io::ErrorKind::Interrupted => "the export was stopped; nothing was written".into(),
        std::io::ErrorKind::StorageFull => format!("the disk of {at} is full: nothing was written"),
        _ => format!("{at} could not be written: {error}"),
    };
    if existing == Existing::Keep && path.symlink_metadata().is_ok() {
        return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Private (0600) and gone when it is not finished.
    let file = tempfile::Builder::new().prefix(".subrosa-").tempfile_in(folder).map_err(failed)?;
    let mut writer = std::io::BufWriter::new(file);
    fill(&mut writer).and_then(|()| writer.flush()).map_err(failed)?;
    let file = writer.into_inner().map_err(|error| failed(error.into_error()))?;
    file.as_file().sync_all().map_err(failed)?;
    let done = match existing {
        Existing::Keep => file.persist_noclobber(path),
        Existing::Replace => file.persist(path),
    };
    done.map(drop).map_err(|error| failed(error.error))
}
