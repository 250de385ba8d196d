//! A file becomes sealed chunks, from any chunk on; a file that changed meanwhile is noticed.

use super::{Upload, prepare};
use rand_core::CryptoRngCore;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::time::SystemTime;
use subrosa_shared::content::file::Key;
use subrosa_shared::session::file::{CHUNK, chunks, file_len, seal};

/// Why a file cannot be sent any more.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// It is another one than when it was prepared.
    #[error(
        "the file was changed while it was being sent: nothing of it counts, /file sends it as it is now"
    )]
    Changed,
    /// It cannot be read.
    #[error("the file cannot be read any more ({0}): is it still there?")]
    Unreadable(#[from] std::io::Error),
}

/// Reads and seals a file. Every byte from the start passes the hash, also what is not sent again, and
/// the last chunk is given out only when the hash is the one in the message.
pub struct Sealer {
    file: File,
    modified: Option<SystemTime>,
    size: u64,
    sha256: [u8; 32],
    key: Key,
    hash: Sha256,
    next: u64,
}

impl Sealer {
    /// Opens the file of an upload.
    ///
    /// # Errors
    /// [`Trouble`].
    pub fn open(upload: &Upload) -> Result<Self, Trouble> {
        let file = prepare::open(&upload.path)?;
        let about = file.metadata()?;
        if !about.is_file() || about.len() != upload.size {
            return Err(Trouble::Changed);
        }
        Ok(Self {
            file,
            modified: about.modified().ok(),
            size: upload.size,
            sha256: upload.sha256,
            key: upload.key.clone(),
            hash: Sha256::new(),
            next: 0,
        })
    }

    /// Passes over one chunk that the relay has. False when there is none before `index`.
    ///
    /// # Errors
    /// [`Trouble`].
    pub fn skip(&mut self, index: u64) -> Result<bool, Trouble> {
        if self.next >= index {
            return Ok(false);
        }
        self.read()?;
        Ok(true)
    }

    /// The next sealed chunk; `None` behind the last.
    ///
    /// # Errors
    /// [`Trouble`].
    pub fn next(&mut self, rng: &mut dyn CryptoRngCore) -> Result<Option<Vec<u8>>, Trouble> {
        if self.next == chunks(self.size) {
            return Ok(None);
        }
        let index = self.next;
        let bytes = self.read()?;
        Ok(Some(seal(&self.key, index, self.size, &bytes, rng)))
    }

    fn read(&mut self) -> Result<Vec<u8>, Trouble> {
        let mut bytes = vec![0; file_len(self.next, self.size)];
        match self.file.read_exact(&mut bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Err(Trouble::Changed),
            read => read?,
        }
        self.hash.update(&bytes);
        self.next += 1;
        let about = self.file.metadata()?;
        if about.len() != self.size || about.modified().ok() != self.modified {
            return Err(Trouble::Changed);
        }
        if self.next == chunks(self.size) && self.hash.clone().finalize().as_slice() != self.sha256 {
            return Err(Trouble::Changed);
        }
        Ok(bytes)
    }
}

/// So much of a file is in so many of its sealed bytes.
pub fn plain(sealed: u64, size: u64) -> u64 {
    let unit = subrosa_shared::session::file::SEALED as u64;
    (sealed / unit * CHUNK as u64)
        .min(size)
        .max(if sealed >= subrosa_shared::session::file::sealed_size(size) { size } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use std::path::Path;
    use subrosa_shared::id::MessageId;
    use subrosa_shared::protocol::blob::BlobId;
    use subrosa_shared::session::file::open;

    fn upload(path: &Path) -> Upload {
        let prepared = prepare::prepare(&path.to_string_lossy()).expect("read");
        Upload {
            id: MessageId([1; 16]),
            path: path.to_path_buf(),
            size: prepared.size,
            sha256: prepared.sha256,
            key: Key([2; 32]),
            blob: BlobId([3; 16]),
        }
    }

    fn all(sealer: &mut Sealer) -> Result<Vec<Vec<u8>>, Trouble> {
        let (mut rng, mut sealed) = (ChaCha20Rng::seed_from_u64(1), Vec::new());
        while let Some(chunk) = sealer.next(&mut rng)? {
            sealed.push(chunk);
        }
        Ok(sealed)
    }

    #[test]
    fn a_file_is_sealed_from_any_chunk_on() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a");
        let bytes: Vec<u8> = (0..3 * CHUNK + 5).map(|i| (i % 241) as u8).collect();
        std::fs::write(&path, &bytes).expect("written");
        let upload = upload(&path);
        let opened = |index: usize, sealed: &[u8]| {
            open(&upload.key, index as u64, upload.size, sealed).expect("opens").to_vec()
        };
        let sealed = all(&mut Sealer::open(&upload).expect("opens")).expect("unchanged");
        let back: Vec<u8> = sealed.iter().enumerate().flat_map(|(i, chunk)| opened(i, chunk)).collect();
        assert_eq!(back, bytes);
        let mut sealer = Sealer::open(&upload).expect("opens");
        while sealer.skip(2).expect("unchanged") {}
        let rest = all(&mut sealer).expect("unchanged");
        assert_eq!(opened(2, &rest[0]), bytes[2 * CHUNK..3 * CHUNK]);
        assert_ne!(rest[0], sealed[2], "sealed anew, under another nonce");
    }

    #[test]
    fn a_file_that_changes_is_noticed_before_the_relay_has_all_of_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a");
        std::fs::write(&path, vec![1; 3 * CHUNK]).expect("written");
        let upload = upload(&path);
        let mut sealer = Sealer::open(&upload).expect("opens");
        let mut other = vec![1; 3 * CHUNK];
        other[5] = 2;
        // As long as before, and with the same time.
        let modified = std::fs::metadata(&path).expect("there").modified().expect("known");
        std::fs::write(&path, &other).expect("written");
        File::options().write(true).open(&path).and_then(|file| file.set_modified(modified)).expect("set");
        assert!(matches!(all(&mut sealer), Err(Trouble::Changed)));
        assert!(matches!(all(&mut Sealer::open(&upload).expect("opens")), Err(Trouble::Changed)));
        std::fs::write(&path, b"shorter").expect("written");
        assert!(matches!(Sealer::open(&upload), Err(Trouble::Changed)));
        std::fs::remove_file(&path).expect("removed");
        assert!(matches!(Sealer::open(&upload), Err(Trouble::Unreadable(_))));
    }

    #[test]
    fn progress_is_of_the_file_not_of_what_is_around_it() {
        use subrosa_shared::session::file::{SEALED, sealed_size};
        let size = 2 * CHUNK as u64 + 1;
        assert_eq!(plain(0, size), 0);
        assert_eq!(plain(SEALED as u64 + 9, size), CHUNK as u64);
        assert_eq!(plain(sealed_size(size), size), size);
        assert_eq!(plain(sealed_size(3), 3), 3);
    }
}
