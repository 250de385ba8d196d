//! Folders that only the relay's own user may enter.

use std::fs::DirBuilder;
use std::io;
use std::path::Path;

/// Makes the folder, and those above it, where there is none; one that is there stays as it is.
///
/// # Errors
/// Those of the system.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}
