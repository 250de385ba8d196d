//! A file that is to be sent is read once: its size, its SHA-256, a small picture of it.

use super::names;
use super::preview;
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use subrosa_shared::content::file::{NAME_MAX, SIZE_MAX};
use subrosa_shared::video::picture::Picture;

/// A file that can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Where it lies, absolute.
    pub path: PathBuf,
    /// Its last part.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// Of all of it.
    pub sha256: [u8; 32],
    /// A small picture, or nothing.
    pub preview: Vec<u8>,
}

/// Reads a file; takes as long as reading it.
///
/// # Errors
/// A sentence with the next step.
pub fn prepare(text: &str) -> Result<Prepared, String> {
    let path = located(text);
    let shown = crate::text::line(&path.to_string_lossy());
    let unreadable = |why: std::io::Error| format!("'{shown}' cannot be read ({why}): check the path");
    let path = std::path::absolute(&path).map_err(unreadable)?;
    let mut file = open(&path).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err(format!("'{shown}' is no file: a folder has to be packed first, with tar or zip"));
    }
    if about.len() > SIZE_MAX {
        return Err(format!("'{shown}' is larger than can be sent at all"));
    }
    let name = path.file_name().map(|name| crate::text::line(&name.to_string_lossy())).unwrap_or_default();
    let name = if name.is_empty() || name.len() > NAME_MAX { names::safe(&name) } else { name };
    let mut hash = Sha256::new();
    let (mut buffer, mut size) = (vec![0; 256 * 1024], 0);
    loop {
        let count = file.read(&mut buffer).map_err(unreadable)?;
        if count == 0 {
            break;
        }
        size += count as u64;
        hash.update(&buffer[..count]);
    }
    if size != about.len() {
        return Err(format!("'{shown}' changes at this moment: send it when it is done"));
    }
    let preview = preview::make(&mut file, size);
    Ok(Prepared { path, name, size, sha256: hash.finalize().into(), preview })
}

/// An image file as a picture.
pub fn view(path: &Path) -> Option<Box<Picture>> {
    let mut file = open(path).ok()?;
    let about = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    preview::large(&mut file, about.len()).map(Box::new)
}

/// The file that a pasted text names, with its size.
pub fn look(text: &str) -> Option<(PathBuf, u64)> {
    let path = located(text);
    let about = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
    path.is_absolute().then_some((path, about.len()))
}

fn located(text: &str) -> PathBuf {
    let home = directories::BaseDirs::new();
    names::path(text, home.as_ref().map(|dirs| dirs.home_dir()))
}

/// Opens a file to read it. A pipe must not hold anybody up: who names one gets an error instead.
pub(super) fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        rustix::fs::OFlags::NONBLOCK.bits().cast_signed(),
    );
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_and_others_get_a_sentence() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("my notes.txt");
        std::fs::write(&path, b"abc").expect("written");
        let prepared = prepare(&format!("'{}'", path.display())).expect("read");
        assert_eq!((prepared.name.as_str(), prepared.size), ("my notes.txt", 3));
        assert_eq!(prepared.sha256[..4], [0xba, 0x78, 0x16, 0xbf], "SHA-256 of abc, FIPS 180-2");
        assert_eq!(look(&path.to_string_lossy()), Some((path.clone(), 3)));
        assert_eq!(look(&dir.path().to_string_lossy()), None);
        assert!(prepare(&dir.path().to_string_lossy()).expect_err("a folder").contains("tar or zip"));
        assert!(prepare("/nowhere/at all").expect_err("none").contains("check the path"));
    }
}
