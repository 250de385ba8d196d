//! What can be done with a data folder from beside the relay: looked at, and backed up.

use super::archive::Writer;
use super::ask;
use super::backup;
use super::check::{self, Findings};
use super::restore::{self, Summary};
use super::tap::Tapped;
use super::{above, device};
use crate::blobs::RESERVE;
use crate::{private, records, server};
use std::fs::{self, File};
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
    /// Another backup is made there, or was.
    #[error("{0} is there: another backup is being made, or one was cut off; if so, remove it and try again")]
    CutOff(PathBuf),
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
    let to = private::new_file(&aside).map_err(|why| match why.kind() {
        io::ErrorKind::AlreadyExists => Error::CutOff(aside.clone()),
        _ => Error::Io { path: aside.clone(), why },
    })?;
    let above = above(file);
    let free = || match (Disk::of(data), Disk::of(above)) {
        (Ok(relays), Ok(disk)) if disk.shares(relays) => disk.free,
        // Another disk may become full; where the system does not say, it says so when it is written.
        _ => u64::MAX,
    };
    let made = (|| {
        fill(data, Sparing { to: &to, free, ahead: 0 }, &aside)?;
        to.sync_all().map_err(at(&aside))?;
        Ok(restore::verify(&aside)?)
    })();
    match made {
        Ok(summary) => {
            fs::rename(&aside, file).map_err(at(file))?;
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

fn fill(data: &Path, mut to: impl Write, path: &Path) -> Result<(), Error> {
    let io = |why| Error::Io { path: path.to_path_buf(), why };
    match ask::ask(data, "backup") {
        Ok(mut pieces) => {
            io::copy(&mut pieces, &mut to).map_err(io)?;
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

/// Where a folder lies.
#[derive(Clone, Copy)]
struct Disk {
    device: u64,
    /// Bytes.
    free: u64,
}

impl Disk {
    fn of(folder: &Path) -> io::Result<Self> {
        Ok(Self { device: device(folder)?, free: fs4::available_space(folder)? })
    }

    /// Whether what one takes is missing in the other. Subvolumes of btrfs and ZFS have each a number of their own, and
    /// all have the room of their pool.
    fn shares(self, other: Self) -> bool {
        self.device == other.device || self.free == other.free
    }
}

/// Writes as long as the disk has free what the relay on it needs.
struct Sparing<W, F> {
    to: W,
    /// Bytes that are free there.
    free: F,
    /// Bytes until that is looked at again.
    ahead: usize,
}

/// Bytes between two looks.
const STRIDE: usize = 1 << 20;

impl<W: Write, F: Fn() -> u64> Write for Sparing<W, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.ahead == 0 {
            if (self.free)() < RESERVE {
                return Err(io::Error::other(format!(
                    "less than {} MiB are free, which the relay on this disk needs to take envelopes; make room, or write the backup to another disk",
                    RESERVE >> 20
                )));
            }
            self.ahead = STRIDE;
        }
        let most = bytes.len().min(self.ahead);
        let count = self.to.write(&bytes[..most])?;
        self.ahead -= count;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[cfg(unix)]
    #[test]
    fn what_another_backup_is_written_to_stays_as_it_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let [data, theirs] = ["data", "theirs"].map(|name| dir.path().join(name));
        fs::write(&theirs, "theirs").expect("written");
        fs::write(dir.path().join("file.part"), "theirs").expect("written");
        std::os::unix::fs::symlink(&theirs, dir.path().join("link.part")).expect("made");
        for name in ["file", "link"] {
            let why = backup(&data, &dir.path().join(name)).expect_err("it is there").to_string();
            assert!(why.contains(&format!("{name}.part is there")) && why.contains("remove it"), "{why}");
            assert_eq!(fs::read(dir.path().join(name).with_extension("part")).expect("there"), b"theirs");
        }
    }

    #[test]
    fn a_backup_without_the_relays_key_is_none() {
        let dir = tempfile::tempdir().expect("a folder");
        let data = dir.path().join("data");
        drop(records::open(&data, records::Use::Run).expect("made"));
        let why = backup(&data, &dir.path().join("file")).expect_err("no key").to_string();
        assert!(why.contains("data/relay.key"), "{why}");
        assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 1, "only the data");
    }

    #[test]
    fn subvolumes_of_one_pool_share_its_room() {
        let [relays, beside, pool, other] =
            [(1, 500), (1, 499), (2, 500), (2, 400)].map(|(device, free)| Disk { device, free });
        assert!(relays.shares(beside) && relays.shares(pool) && !relays.shares(other));
    }

    #[test]
    fn a_disk_is_looked_at_now_and_then_while_it_is_written() {
        let looks = Cell::new(0);
        let free = || {
            looks.set(looks.get() + 1);
            if looks.get() < 3 { RESERVE } else { RESERVE - 1 }
        };
        let mut written: Vec<u8> = Vec::new();
        let long = "x".repeat(3 * STRIDE);
        let why = Sparing { to: &mut written, free, ahead: 0 }.write_all(long.as_bytes());
        let why = why.expect_err("no room").to_string();
        assert!(why.contains("128 MiB") && why.contains("another disk"), "{why}");
        assert_eq!(written.len(), 2 * STRIDE);
    }
}
