//! How far the journal was synced: a frame without writes, in a file of its own.
//!
//! It is written after each sync and before anybody is told, so that after a process was killed it says exactly
//! what must be there. It is not synced itself, which would cost as much as the commit: after a power cut it
//! may say less than there is, never more.

use super::super::journal::{self, ALIGN, Mark};
use super::super::{Error, files};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// Beside the journal's two.
pub(super) const NAME: &str = "journal-end";

/// The file.
pub(super) struct End {
    file: File,
    mark: Mark,
}

impl End {
    /// Opens it, or makes it where it is missing.
    pub(super) fn open(dir: &Path, mark: Mark) -> Result<Self, Error> {
        Ok(Self { file: files::open_or_create(&dir.join(NAME))?, mark })
    }

    /// Says that all frames up to this one are synced.
    pub(super) fn write(&mut self, number: u64) {
        let frame = journal::encode(self.mark, number, &[]).unwrap_or_default();
        // The commit is kept whether or not this is: without it the file says less than there is.
        let _ = self.file.rewind().and_then(|()| self.file.write_all(&frame));
    }
}

/// The number of the last frame that was synced for certain; `None` when the file is not there or cannot be
/// understood, which says nothing of the journal.
pub(super) fn read(dir: &Path, mark: Mark) -> Result<Option<u64>, Error> {
    let file = match File::open(dir.join(NAME)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    file.take(ALIGN as u64).read_to_end(&mut bytes)?;
    Ok(journal::read(&bytes, mark).ok().and_then(|run| run.frames.first().map(|(number, _)| *number)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const MARK: Mark = Mark([7; 16]);

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a folder");
        let read = |mark| read(dir.path(), mark).expect("reads");
        assert_eq!(read(MARK), None);
        let mut end = End::open(dir.path(), MARK).expect("made");
        assert_eq!(read(MARK), None, "still empty");
        for number in [1, u64::MAX, 258] {
            end.write(number);
            assert_eq!(read(MARK), Some(number));
        }
        assert_eq!(read(Mark([8; 16])), None, "another store's");
        let path = dir.path().join(NAME);
        let bytes = fs::read(&path).expect("reads");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).expect("written");
            assert_eq!(read(MARK), None, "changed at {at}");
            fs::write(&path, &bytes[..at]).expect("written");
            assert_eq!(read(MARK), None, "cut at {at}");
        }
        end.write(259);
        assert_eq!(End::open(dir.path(), MARK).map(|_| read(MARK)).expect("opens"), Some(259));
    }
}
