//! A data folder made from a backup, so that clients go on with a relay that went back in time.
//!
//! What the relay said after the backup was made is not known to it any more, and must not be said again:
//! numbers of mailboxes jump, one-time prekeys are dropped (devices leave new ones), and room heads go on
//! wherever a member who knows the key says. What was acknowledged after the backup and not fetched is lost
//! here; a new era tells devices to hand it out again.

use super::archive::{self, Reader, Record};
use super::{above, device};
use crate::{accounts, blobs, era, heads, mailbox, private, records};
use rand_core::{CryptoRngCore, OsRng};
use std::fs::{self, File};
use std::io::{self, BufReader, Write as _};
use std::iter;
use std::path::{Path, PathBuf};
use subrosa_shared::store::sled::Sled;
use subrosa_shared::store::{self, Batch, Kv, Table};
use subrosa_shared::time::Millis;

/// Why nothing was restored: a sentence with the next step.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The backup.
    #[error("{path}: {why}")]
    Backup {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: archive::Error,
    },
    /// The folder is in use.
    #[error("{0} is not empty; restore into a folder that is empty or not there, and nothing gets lost")]
    NotEmpty(PathBuf),
    /// Another restore is under way, or was.
    #[error("{0} is there: another restore is under way, or one was cut off; if so, remove it and try again")]
    CutOff(PathBuf),
    /// Nothing can be renamed to the folder.
    #[error(
        "{0} is a file system of its own (a mount point or a subvolume), which a restored folder cannot replace; name a folder in it with --data, here and for `subrosa-relay run`"
    )]
    Mounted(PathBuf),
    /// Beside the folder nothing can be made.
    #[error(
        "{path} cannot be made: {why}; restore as a user who may write there, or name another folder with --data"
    )]
    Unmade {
        /// What.
        path: PathBuf,
        /// What stands in the way.
        why: store::Error,
    },
    /// The store.
    #[error("the store cannot be written: {0}")]
    Store(#[from] store::Error),
    /// A file.
    #[error("{path}: {why}")]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
}

/// What a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// When it was begun, wall clock.
    pub made: Millis,
    /// Records of the store.
    pub records: u64,
    /// Sealed files.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
}

/// In a restored folder: when the backup was made, and when it was restored.
pub(crate) const MARK: &str = "restored";

/// For how long everyone is told that the relay went back in time: a month, as envelopes last.
const TOLD_MS: u64 = 30 * 24 * 3_600_000;

/// Reads a backup to its end and says what it holds.
///
/// # Errors
/// [`Error::Backup`].
pub fn verify(path: &Path) -> Result<Summary, Error> {
    let broken = |why| Error::Backup { path: path.to_path_buf(), why };
    let file = File::open(path).map_err(|why| broken(why.into()))?;
    let mut reader = Reader::new(BufReader::new(file)).map_err(broken)?;
    let mut summary = Summary::default();
    while let Some(record) = reader.record().map_err(broken)? {
        summary.add(&record);
    }
    Ok(summary)
}

impl Summary {
    fn add(&mut self, record: &Record) {
        match record {
            Record::Made(at) => self.made = *at,
            Record::Put { .. } => self.records += 1,
            Record::Blob { length, .. } => {
                self.files += 1;
                self.file_bytes += length;
            }
            Record::File { .. } | Record::Delete { .. } | Record::Bytes(_) => {}
        }
    }
}

/// Makes a data folder from a backup; all of it or nothing.
///
/// # Errors
/// [`Error`]; then nothing of it is left, unless the system cannot say that the folder is on disk under its name.
pub fn restore(backup: &Path, data: &Path, wall: Millis) -> Result<Summary, Error> {
    // Behind a link it is the folder itself that is made anew: a service's often lies elsewhere.
    let real = if data.exists() { Some(fs::canonicalize(data).map_err(at(data))?) } else { None };
    let data = real.as_deref().unwrap_or(data);
    let above = above(data);
    // Before what is in it: a fresh disk holds a folder, and to remove that does not help.
    if data.exists() && device(data).map_err(at(data))? != device(above).map_err(at(above))? {
        return Err(Error::Mounted(data.to_path_buf()));
    }
    if data.exists() && fs::read_dir(data).map_err(at(data))?.next().is_some() {
        return Err(Error::NotEmpty(data.to_path_buf()));
    }
    let name = data.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let aside = data.with_file_name(format!("{name}.restoring"));
    // First, since reading the backup may take long; and no other restore can be in it.
    let unmade = |path: &Path, why: io::Error| Error::Unmade { path: path.to_path_buf(), why: why.into() };
    let is_new = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let new: Vec<&Path> = above.ancestors().take_while(is_new).collect();
    private::folder(above).map_err(|why| unmade(above, why))?;
    private::new_folder(&aside).map_err(|why| match why.kind() {
        io::ErrorKind::AlreadyExists => Error::CutOff(aside.clone()),
        _ => unmade(&aside, why),
    })?;
    let restored = fill(backup, &aside, wall).and_then(|summary| {
        // Elsewhere it does not take the place of an empty folder.
        #[cfg(not(unix))]
        if data.exists() {
            fs::remove_dir(data).map_err(at(data))?;
        }
        fs::rename(&aside, data).map_err(|why| match why.kind() {
            // Mounted from the same disk.
            io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices => Error::Mounted(data.to_path_buf()),
            _ => Error::Io { path: data.to_path_buf(), why },
        })?;
        for above in iter::once(data).chain(new).map(super::above) {
            File::open(above).and_then(|above| above.sync_all()).map_err(at(above))?;
        }
        Ok(summary)
    });
    if restored.is_err() {
        // Half a relay is of no use to anybody, and its keys are in it.
        let _ = fs::remove_dir_all(&aside);
    }
    restored
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_path_buf();
    move |why| Error::Io { path, why }
}

/// Makes the folder `aside` from a backup, all of it on disk.
fn fill(backup: &Path, aside: &Path, wall: Millis) -> Result<Summary, Error> {
    // Without a journal, which begins when a relay runs there: nothing is acknowledged before the end.
    let unmade = |why| Error::Unmade { path: aside.to_path_buf(), why };
    let store = Sled::open(&records::folder(aside), records::SETTINGS).map_err(unmade)?;
    let files = aside.join(blobs::FOLDER);
    private::folder(&files).map_err(at(&files))?;
    let summary = verify(backup)?;
    let broken = |why| Error::Backup { path: backup.to_path_buf(), why };
    let file = File::open(backup).map_err(|why| broken(why.into()))?;
    let mut reader = Reader::new(BufReader::new(file)).map_err(broken)?;
    let mut batch = Batch::default();
    let mut held = 0;
    let mut blob: Option<(PathBuf, File)> = None;
    while let Some(record) = reader.record().map_err(broken)? {
        match record {
            Record::Made(_) => {}
            Record::File { name, content } => {
                let path = aside.join(name);
                let written = private::new_file(&path).and_then(|mut file| {
                    file.write_all(&content)?;
                    file.sync_all()
                });
                written.map_err(at(&path))?;
            }
            Record::Put { table, key, value } => {
                held += key.len() + value.len();
                batch.put(Table { byte: table, name: "any" }, key, value);
            }
            Record::Delete { table, key } => {
                held += key.len();
                batch.delete(Table { byte: table, name: "any" }, key);
            }
            Record::Blob { id, .. } => {
                finish(blob.take())?;
                let path = blobs::file(aside, id);
                let file = private::new_file(&path).map_err(at(&path))?;
                blob = Some((path, file));
            }
            Record::Bytes(bytes) => {
                if let Some((path, file)) = &mut blob {
                    file.write_all(&bytes).map_err(|why| Error::Io { path: path.clone(), why })?;
                }
            }
        }
        if held > BATCH {
            store.apply_unsynced(&std::mem::take(&mut batch).records)?;
            held = 0;
        }
    }
    finish(blob.take())?;
    store.apply_unsynced(&batch.records)?;
    store.sync()?;
    settle(&store, &mut OsRng)?;
    drop(store);
    let path = aside.join(MARK);
    let mark = format!("{} {}\n", summary.made.0, wall.0);
    let marked = private::new_file(&path).and_then(|mut file| {
        file.write_all(mark.as_bytes())?;
        file.sync_all()
    });
    marked.map_err(at(&path))?;
    for folder in [files.as_path(), aside] {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))?;
    }
    Ok(summary)
}

/// Makes a store that went back in time safe to go on with; no relay runs on it.
///
/// # Errors
/// Those of the store.
pub fn settle(store: &dyn Kv, rng: &mut dyn CryptoRngCore) -> Result<(), store::Error> {
    mailbox::restored(store)?;
    accounts::restored(store)?;
    heads::restored(store)?;
    era::begin(store, rng)?;
    Ok(())
}

/// Bytes of records that are written in one go.
const BATCH: usize = 4 << 20;

fn finish(blob: Option<(PathBuf, File)>) -> Result<(), Error> {
    match blob {
        Some((path, file)) => file.sync_all().map_err(|why| Error::Io { path, why }),
        None => Ok(()),
    }
}

/// What everyone is to be told at login for a while, when the folder was restored.
pub(crate) fn remark(data: &Path, wall: Millis) -> Option<String> {
    let text = fs::read_to_string(data.join(MARK)).ok()?;
    let (made, restored) = text.trim().split_once(' ')?;
    let (made, restored) = (Millis(made.parse().ok()?), Millis(restored.parse().ok()?));
    (wall.0 < restored.0.saturating_add(TOLD_MS)).then(|| {
        format!(
            "this relay went back to a backup of {} UTC at {} UTC: what was sent between the two goes out again once its sender is here; what is not marked as delivered by tomorrow may be lost, so send it again",
            date(made),
            date(restored)
        )
    })
}

/// `2026-11-21 14:05`, in UTC; the days by Howard Hinnant's `civil_from_days`.
fn date(at: Millis) -> String {
    let minutes = at.0 / 60_000;
    let days = minutes / 1440 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    format!("{:04}-{month:02}-{day:02} {:02}:{:02}", era * 400 + year, minutes / 60 % 24, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::archive::{FILES, Writer};

    /// A backup whose second file cannot be written: the first has its name.
    fn half_a_backup(folder: &Path) -> PathBuf {
        let path = folder.join("backup");
        let mut writer = Writer::new(File::create(&path).expect("made")).expect("written");
        for content in [vec![1], vec![2]] {
            writer.record(&Record::File { name: FILES[0], content }).expect("written");
        }
        writer.end().expect("written");
        path
    }

    #[test]
    fn nothing_is_left_of_a_restore_that_failed() {
        let dir = tempfile::tempdir().expect("a folder");
        let backup = half_a_backup(dir.path());
        let why = restore(&backup, &dir.path().join("data"), Millis(1)).expect_err("half").to_string();
        assert!(why.contains("data.restoring/relay.key"), "{why}");
        let left = fs::read_dir(dir.path()).expect("there").map(|entry| entry.expect("read").path());
        assert_eq!(left.collect::<Vec<_>>(), [backup]);
    }

    #[test]
    fn what_another_restore_left_is_told_and_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let theirs = dir.path().join("data.restoring");
        fs::create_dir(&theirs).expect("made");
        let why = restore(&half_a_backup(dir.path()), &dir.path().join("data"), Millis(1));
        let why = why.expect_err("one at a time").to_string();
        assert!(why.contains("another restore is under way, or one was cut off") && theirs.exists(), "{why}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_nothing_in_the_way_is_told_and_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let theirs = dir.path().join("data.restoring");
        std::os::unix::fs::symlink("nowhere", &theirs).expect("made");
        let why = restore(&half_a_backup(dir.path()), &dir.path().join("data"), Millis(1));
        let why = why.expect_err("it is in the way").to_string();
        assert!(why.contains("data.restoring is there") && theirs.is_symlink(), "{why}");
    }

    #[test]
    fn where_nothing_can_be_made_is_said_before_the_backup_is_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("file");
        fs::write(&file, "").expect("written");
        let why = restore(Path::new("none"), &file.join("data"), Millis(1)).expect_err("a file").to_string();
        assert!(why.contains("file cannot be made") && why.contains("--data"), "{why}");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00"),
            (951_782_399, "2000-02-28 23:59"),
            (951_782_400, "2000-02-29 00:00"),
            (1_767_225_600, "2026-01-01 00:00"),
            (4_107_542_399, "2100-02-28 23:59"),
            (4_107_542_400, "2100-03-01 00:00"),
        ] {
            assert_eq!(date(Millis(seconds * 1000)), text);
        }
    }

    #[test]
    fn everyone_is_told_for_a_month() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(remark(dir.path(), Millis(0)), None);
        fs::write(dir.path().join(MARK), "0 60000\n").expect("written");
        let told = remark(dir.path(), Millis(60_000)).expect("told");
        assert!(told.contains("1970-01-01 00:00 UTC") && told.contains("1970-01-01 00:01 UTC"), "{told}");
        assert_eq!(remark(dir.path(), Millis(60_000 + TOLD_MS)), None);
    }
}
