//! Files and folders that are private to their owner, and durable once made.

use super::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Makes a folder and those above it, closed to everybody else (0700), and durable. One that is
/// there is closed too.
pub(super) fn create_folder(dir: &Path) -> Result<(), Error> {
    let made: Vec<&Path> =
        dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(refused)?;
    #[cfg(unix)]
    fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    sync_folder(dir)?;
    for parent in made.iter().filter_map(|made| made.parent()) {
        let here = Path::new(".");
        sync_folder(if parent.as_os_str().is_empty() { here } else { parent })?;
    }
    Ok(())
}

/// Makes a new file that only its owner may read (0600); an existing one is an error.
#[cfg(feature = "session")]
pub(super) fn create_file(path: &Path) -> Result<File, Error> {
    private().read(true).write(true).create_new(true).open(path).map_err(refused)
}

/// Opens a file for reading and writing, making an empty private one when there is none.
pub(super) fn open_or_create(path: &Path) -> Result<File, Error> {
    private().read(true).write(true).create(true).truncate(false).open(path).map_err(refused)
}

/// Replaces a file as a whole: after a crash it holds either the old bytes or the new ones.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let new = path.with_extension("new");
    let mut file = private().write(true).create(true).truncate(true).open(&new).map_err(refused)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(refused)?;
    drop(file);
    fs::rename(&new, path).map_err(refused)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes what was created, renamed or removed in a folder durable.
pub(super) fn sync_folder(dir: &Path) -> Result<(), Error> {
    // Elsewhere a folder cannot be opened as a file, and the file system keeps its own journal.
    #[cfg(unix)]
    File::open(dir).and_then(|folder| folder.sync_all()).map_err(refused)?;
    let _ = dir;
    Ok(())
}

/// Refuses when the file system that holds `dir` has less than `reserve` bytes for us.
pub(super) fn require_space(dir: &Path, reserve: u64) -> Result<(), Error> {
    if reserve > 0 && fs4::available_space(dir)? < reserve { Err(Error::Full) } else { Ok(()) }
}

/// What the operating system said, with a full disk told apart.
pub(super) fn refused(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full,
        _ => Error::Io(error),
    }
}

/// Whether a folder is missing or holds nothing.
pub(super) fn is_empty_or_absent(dir: &Path) -> Result<bool, Error> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(Error::Foreign(format!("{} is a file", dir.display())))
        }
        Err(error) => Err(error.into()),
    }
}

fn private() -> OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut))]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("deep").join("name");
        create_folder(path.parent().expect("has one")).expect("made");
        replace(&path, b"old and long").expect("written");
        replace(&path, b"new").expect("replaced");
        assert_eq!(fs::read(&path).expect("there"), b"new");
        assert_eq!(fs::read_dir(dir.path().join("deep")).expect("there").count(), 1, "nothing else is left");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_made_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("temporary folder");
        let folder = dir.path().join("folder");
        create_folder(&folder).expect("made");
        replace(&folder.join("a"), b"x").expect("made");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join("a"))), (0o700, 0o600));
        fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).expect("ours");
        create_folder(&folder).expect("is there");
        assert_eq!(mode(&folder), 0o700);
    }
}
