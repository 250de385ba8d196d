//! Folders that only the relay's own user may enter, and files that only they may open.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

/// Makes the folder, and those above it, where there is none; one that is there stays as it is.
///
/// # Errors
/// Those of the system.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    made(path, true)
}

/// Makes the folder in one that is there; one of that name is an error.
///
/// # Errors
/// Those of the system.
pub(crate) fn new_folder(path: &Path) -> io::Result<()> {
    made(path, false)
}

fn made(path: &Path, with_those_above: bool) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(with_those_above);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Makes the file; one that is there is an error, as is a link.
///
/// # Errors
/// Those of the system.
pub(crate) fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
