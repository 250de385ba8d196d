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

use crate::chat::counted;
use crate::ui::command::Secret;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use subrosa_shared::store::Store;
use tempfile::NamedTempFile;

/// One export, to be carried out beside everything else.
#[derive(Debug)]
pub enum Job {
    /// Readable conversations.
    History(history::Job),
    /// The key file.
    Keys {
        /// Target; must not exist.
        path: PathBuf,
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
                    said(format!("exported {done} of {}…", counted(all, "line", "lines")));
                    !stop.load(Ordering::Relaxed)
                };
                let lines = history::write(store, &job, &mut on)?;
                Ok(format!(
                    "{} written to {}: it is readable by whoever gets it, keep it safe",
                    counted(lines, "line", "lines"),
                    job.path.display()
                ))
            }
            Self::Keys { path, passphrase } => {
                let text = keys::sealed(store, &passphrase.0)?;
                let beside = if keys::hosts(store)? { BESIDE } else { "" };
                put(&path, Existing::Keep, &mut |file| file.write_all(text.as_bytes()))?;
                Ok(format!(
                    "your keys and contacts are in {}, sealed under the passphrase that you gave: {USE}{beside}",
                    path.display()
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

/// Said besides where the client hosts the relay.
const BESIDE: &str = ". The relay that this client hosts is not in it, neither its key nor what it keeps: copy that with \
                      `subrosa-relay backup FILE --data FOLDER`, whose FOLDER is `relay` in this profile";

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
    let mut writer = std::io::BufWriter::new(beside(path).map_err(failed)?);
    fill(&mut writer).and_then(|()| writer.flush()).map_err(failed)?;
    let file = writer.into_inner().map_err(|error| failed(error.into_error()))?;
    settle(file, path, existing).map_err(failed)
}

/// A file beside that place: private (0600), and gone when it is not settled there.
pub(crate) fn beside(path: &Path) -> std::io::Result<NamedTempFile> {
    let folder = above(path);
    sweep(folder);
    let file =
        tempfile::Builder::new().prefix(HIDDEN).rand_bytes(DRAWN).suffix(PARTIAL).tempfile_in(folder)?;
    // It is being written. Where files cannot be locked, none is taken away.
    let _ = fs4::FileExt::try_lock(file.as_file());
    Ok(file)
}

/// Takes away what an export left that was killed: nobody else would, and it is readable.
fn sweep(folder: &Path) {
    let Ok(entries) = folder.read_dir() else { return };
    for entry in entries.flatten().filter(|entry| is_left(entry).unwrap_or(false)) {
        let unlocked = std::fs::File::open(entry.path()).ok();
        let unlocked = unlocked.filter(|file| fs4::FileExt::try_lock(file).is_ok());
        if unlocked.is_some() {
            // What cannot be removed stays as it was.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Whether that is called as [`beside`] calls a file, and nobody has written to it for long.
fn is_left(entry: &std::fs::DirEntry) -> std::io::Result<bool> {
    let name = entry.file_name();
    let drawn = name.to_str().and_then(|name| name.strip_prefix(HIDDEN)?.strip_suffix(PARTIAL));
    if !drawn.is_some_and(|drawn| drawn.len() == DRAWN && drawn.bytes().all(|b| b.is_ascii_alphanumeric())) {
        return Ok(false);
    }
    let about = entry.metadata()?;
    Ok(about.is_file() && about.modified()?.elapsed().is_ok_and(|age| age >= LEFT_FOR))
}

/// How the name of a file begins that is not whole…
const HIDDEN: &str = ".subrosa-export-";
/// …so many drawn letters and digits follow, as nobody calls a file of their own…
const DRAWN: usize = 32;
/// …and so it ends.
const PARTIAL: &str = ".tmp";
/// So long nobody writes to a file that an export has left.
const LEFT_FOR: Duration = Duration::from_secs(3600);

/// Puts a whole file in its place, on the disk for good.
pub(crate) fn settle(file: NamedTempFile, path: &Path, existing: Existing) -> std::io::Result<()> {
    file.as_file().sync_all()?;
    let done = match existing {
        Existing::Keep => file.persist_noclobber(path),
        Existing::Replace => file.persist(path),
    };
    done.map_err(|error| error.error)?;
    // It is there, also in a folder that cannot be synced.
    #[cfg(unix)]
    let _ = std::fs::File::open(above(path)).and_then(|folder| folder.sync_all());
    Ok(())
}

/// The folder that a file lies in.
fn above(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::talk::ACCOUNT;
    use std::sync::Arc;
    use std::time::SystemTime;
    use subrosa_shared::store::Batch;
    use subrosa_shared::store::memory::{Memory, MemorySlots};
    use zeroize::Zeroizing;

    #[test]
    fn what_an_export_left_that_was_killed_is_taken_away_by_the_next_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let made = |name: String, age: Duration| {
            let path = dir.path().join(name);
            let file = std::fs::File::create(&path).expect("made");
            file.set_modified(SystemTime::now() - age).expect("set");
            (path, file)
        };
        let drawn = |letter: &str| format!(".subrosa-export-{}.tmp", letter.repeat(32));
        let (left, _) = made(drawn("a"), LEFT_FOR);
        let (young, _) = made(drawn("b"), LEFT_FOR / 2);
        let (half, _) = made(drawn("a") + ".part", LEFT_FOR);
        let (written, open) = made(drawn("c"), LEFT_FOR);
        fs4::FileExt::try_lock(&open).expect("nobody else has it");
        put(&dir.path().join("a.txt"), Existing::Keep, &mut |out| out.write_all(b"a")).expect("written");
        assert!(!left.exists());
        for stays in [young, half, written] {
            assert!(stays.exists(), "{}", stays.display());
        }
    }

    #[test]
    fn an_export_leaves_a_file_of_the_users_own_alone_and_takes_away_what_is_called_as_it_calls_its_own() {
        let dir = tempfile::tempdir().expect("a folder");
        let kept =
            |name: &str| put(&dir.path().join(name), Existing::Keep, &mut |out| out.write_all(b"mine"));
        let aged = |path: &Path| {
            let file = std::fs::File::options().write(true).open(path).expect("there");
            file.set_modified(SystemTime::now() - LEFT_FOR * 2).expect("set");
        };
        let own = dir.path().join(".subrosa-backup");
        kept(".subrosa-backup").expect("written");
        aged(&own);
        let (_, killed) = beside(&own).expect("made").keep().expect("stays");
        aged(&killed);
        kept("a.txt").expect("written");
        assert!(own.exists());
        assert!(!killed.exists());
    }

    #[test]
    fn a_key_file_of_a_client_that_hosts_its_relay_says_that_the_relay_is_not_in_it() {
        let dir = tempfile::tempdir().expect("a folder");
        for hosting in [0, 1] {
            let store =
                Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) };
            let mut batch = Batch::default();
            batch.put(ACCOUNT, *b"name", b"ada".to_vec());
            batch.put(ACCOUNT, *b"relay", b"subrosa://relay.invalid".to_vec());
            batch.put(ACCOUNT, *b"identity", vec![7; 64]);
            batch.put(ACCOUNT, *b"hosting", vec![hosting]);
            store.commit(&batch).expect("memory");
            let path = dir.path().join(hosting.to_string());
            let passphrase = Secret(Zeroizing::new("a good passphrase".into()));
            let job = Job::Keys { path, passphrase };
            let said = job.run(&store, &AtomicBool::new(false), &mut |_| {}).expect("written");
            assert_eq!(said.contains("subrosa-relay backup"), hosting == 1, "{said}");
        }
    }
}
