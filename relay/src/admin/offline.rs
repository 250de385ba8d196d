//! What can be done with a data folder from beside the relay: looked at, and backed up.

use super::archive::Writer;
use super::ask;
use super::backup;
use super::check::{self, Findings};
use super::restore::{self, Summary};
use super::tap::Tapped;
use crate::{records, server};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use subrosa_shared::store;
use subrosa_shared::store::journaled::Journaled;

/// Why it was not done: a sentence with the next step.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No relay has run there.
    #[error("no relay has run in {0} yet; name its folder with --data")]
    NoRelay(PathBuf),
    /// A relay runs there.
    #[error("a relay runs on {0}; end it first with `subrosa-relay drain`")]
    Runs(PathBuf),
    /// One runs there that does not answer.
    #[error(
        "a relay runs on {0} and does not answer on its socket; ask as its own user or as root, or end it first"
    )]
    Silent(PathBuf),
    /// The file is there.
    #[error("{0} is there already; name a new file")]
    There(PathBuf),
    /// The store.
    #[error("the store in {path} cannot be read: {why}; restore it from a backup")]
    Store {
        /// Which folder.
        path: PathBuf,
        /// What is wrong with it.
        why: store::Error,
    },
    /// The running relay.
    #[error(transparent)]
    Ask(#[from] ask::Error),
    /// The backup.
    #[error(transparent)]
    Backup(#[from] backup::Error),
    /// The backup, as it was read once more.
    #[error(transparent)]
    Unread(#[from] restore::Error),
    /// The file.
    #[error("{path}: {why}")]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
}

/// Looks at everything in a data folder that no relay runs on.
///
/// # Errors
/// [`Error`], when it cannot even be read.
pub fn check(data: &Path) -> Result<Findings, Error> {
    let store = open(data)?.ok_or_else(|| Error::Runs(data.to_path_buf()))?;
    check::check(&store, data).map_err(|why| Error::Store { path: data.to_path_buf(), why })
}

/// Writes a backup of a data folder to a new file, through the relay that runs on it or without one; then
/// reads it once more to its end.
///
/// # Errors
/// [`Error`]; then there is no such file.
pub fn backup(data: &Path, file: &Path) -> Result<Summary, Error> {
    let at = |path: &Path| {
        let path = path.to_path_buf();
        move |why| Error::Io { path, why }
    };
    if file.exists() {
        return Err(Error::There(file.to_path_buf()));
    }
    let mut name = file.file_name().unwrap_or_default().to_os_string();
    name.push(".part");
    let aside = file.with_file_name(name);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let made = (|| {
        let to = options.open(&aside).map_err(at(&aside))?;
        fill(data, &to, &aside)?;
        to.sync_all().map_err(at(&aside))?;
        Ok(restore::verify(&aside)?)
    })();
    match made {
        Ok(summary) => {
            fs::rename(&aside, file).map_err(at(file))?;
            let above = file.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(above).and_then(|above| above.sync_all()).map_err(at(above))?;
            Ok(summary)
        }
        Err(error) => {
            // What is in it is of no use to anybody.
            let _ = fs::remove_file(&aside);
            Err(error)
        }
    }
}

fn fill(data: &Path, to: &File, path: &Path) -> Result<(), Error> {
    let io = |why| Error::Io { path: path.to_path_buf(), why };
    match ask::ask(data, "backup") {
        Ok(mut pieces) => {
            io::copy(&mut pieces, &mut &*to).map_err(io)?;
            return Ok(());
        }
        Err(ask::Error::Nobody(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let store = Arc::new(Tapped::new(open(data)?.ok_or_else(|| Error::Silent(data.to_path_buf()))?));
    let store: Arc<Tapped> = store;
    let mut writer = Writer::new(BufWriter::new(to)).map_err(io)?;
    backup::write(&Arc::downgrade(&store), data, server::wall(), &mut writer)?;
    writer.end().and_then(|mut to| to.flush()).map_err(io)
}

/// The store of a data folder; `None` when a relay has it.
fn open(data: &Path) -> Result<Option<Journaled>, Error> {
    if !records::folder(data).is_dir() {
        return Err(Error::NoRelay(data.to_path_buf()));
    }
    match records::open(data, records::Use::Look) {
        Ok(store) => Ok(Some(store)),
        Err(store::Error::Locked) => Ok(None),
        Err(why) => Err(Error::Store { path: data.to_path_buf(), why }),
    }
}
