//! Where the bytes of blobs lie: files in a folder, or memory.

use crate::private;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use subrosa_shared::protocol::blob::BlobId;

/// Where the bytes of blobs lie.
#[derive(Clone, Debug)]
pub enum Place {
    /// A file for each blob, called as its id.
    Folder(PathBuf),
    /// Forgotten with the last clone.
    Memory(Memory),
}

/// Bytes in memory; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    blobs: Arc<Mutex<BTreeMap<BlobId, Vec<u8>>>>,
    /// Bytes of its disk that others take.
    taken: Arc<AtomicU64>,
    /// How often bytes were made durable.
    syncs: Arc<AtomicU64>,
}

/// Appends to one blob.
pub(super) enum Writer {
    File(File),
    Memory(Memory, BlobId),
}

/// Reads one blob.
pub(super) enum Reader {
    File(File),
    Memory(Memory, BlobId),
}

/// Disk that stays free for everything else, in bytes: more than the store wants to have free before it writes, so
/// that a disk full of blobs still takes envelopes.
pub(crate) const RESERVE: u64 = 128 << 20;

impl Place {
    /// Makes the folder if there is none.
    pub(super) fn prepare(&self) -> io::Result<()> {
        let Self::Folder(folder) = self else { return Ok(()) };
        private::folder(folder)?;
        sync_folder(folder)
    }

    /// Whether so many bytes more have room.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        match self {
            // When the system does not say, it says so when it is written.
            Self::Folder(folder) => {
                fs4::available_space(folder).map_or(true, |free| free >= bytes.saturating_add(RESERVE))
            }
            Self::Memory(memory) => memory.free() >= bytes,
        }
    }

    /// Opens a blob to go on at `at`; what was behind that is gone.
    pub(super) fn append(&self, id: BlobId, at: u64) -> io::Result<Writer> {
        match self {
            Self::Folder(folder) => {
                let mut options = OpenOptions::new();
                options.write(true).create(true).truncate(false);
                #[cfg(unix)]
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
                let mut file = options.open(folder.join(name(id)))?;
                if file.metadata()?.len() < at {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                file.set_len(at)?;
                file.seek(SeekFrom::Start(at))?;
                sync_folder(folder)?;
                Ok(Writer::File(file))
            }
            Self::Memory(memory) => {
                let mut all = memory.lock();
                let bytes = all.entry(id).or_default();
                if (bytes.len() as u64) < at {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                bytes.truncate(at as usize);
                Ok(Writer::Memory(memory.clone(), id))
            }
        }
    }

    /// Opens a blob to read it from `at` on.
    pub(super) fn read(&self, id: BlobId, at: u64) -> io::Result<Reader> {
        match self {
            Self::Folder(folder) => {
                let mut file = File::open(folder.join(name(id)))?;
                file.seek(SeekFrom::Start(at))?;
                Ok(Reader::File(file))
            }
            Self::Memory(memory) => Ok(Reader::Memory(memory.clone(), id)),
        }
    }

    /// How long a blob is; `None` when there is none.
    pub(super) fn length(&self, id: BlobId) -> Option<u64> {
        match self {
            Self::Folder(folder) => fs::metadata(folder.join(name(id))).ok().map(|about| about.len()),
            Self::Memory(memory) => memory.lock().get(&id).map(|bytes| bytes.len() as u64),
        }
    }

    /// Frees what a blob takes.
    pub(super) fn remove(&self, id: BlobId) -> io::Result<()> {
        match self {
            Self::Folder(folder) => match fs::remove_file(folder.join(name(id))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
            Self::Memory(memory) => {
                memory.lock().remove(&id);
                Ok(())
            }
        }
    }

    /// Which blobs have bytes here.
    pub(super) fn list(&self) -> io::Result<Vec<BlobId>> {
        match self {
            Self::Folder(folder) => {
                let mut found = Vec::new();
                for entry in fs::read_dir(folder)? {
                    found.extend(entry?.file_name().to_str().and_then(unname));
                }
                Ok(found)
            }
            Self::Memory(memory) => Ok(memory.lock().keys().copied().collect()),
        }
    }

    /// Bytes of all blobs together.
    ///
    /// # Errors
    /// Those of the folder.
    pub fn bytes(&self) -> io::Result<u64> {
        Ok(self.list()?.into_iter().filter_map(|id| self.length(id)).sum())
    }
}

impl Memory {
    /// Changes the bytes of every blob, as a hostile relay does.
    pub fn spoil(&self, mut change: impl FnMut(&mut Vec<u8>)) {
        self.lock().values_mut().for_each(&mut change);
    }

    /// No more room, as on a disk that is full, or room again.
    pub fn fill(&self, full: bool) {
        self.leave(if full { 0 } else { u64::MAX });
    }

    /// Leaves room for so many bytes of all blobs together.
    pub fn leave(&self, bytes: u64) {
        self.taken.store(u64::MAX - bytes, Ordering::Relaxed);
    }

    /// How often bytes were made durable.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    fn free(&self) -> u64 {
        let held: u64 = self.lock().values().map(|bytes| bytes.len() as u64).sum();
        (u64::MAX - self.taken.load(Ordering::Relaxed)).saturating_sub(held)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<BlobId, Vec<u8>>> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.write_all(bytes),
            Self::Memory(memory, id) => {
                memory.lock().entry(*id).or_default().extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.sync_data(),
            Self::Memory(memory, _) => {
                memory.syncs.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        }
    }
}

impl Reader {
    /// So many bytes, which are there. `at` is where the last call ended.
    pub(super) fn read(&mut self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        match self {
            Self::File(file) => file.read_exact(&mut bytes)?,
            Self::Memory(memory, id) => {
                let all = memory.lock();
                let there = all.get(id).and_then(|all| all.get(at as usize..at as usize + length));
                bytes.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
            }
        }
        Ok(bytes)
    }
}

pub(super) fn name(id: BlobId) -> String {
    data_encoding::HEXLOWER.encode(&id.0)
}

pub(super) fn unname(name: &str) -> Option<BlobId> {
    data_encoding::HEXLOWER.decode(name.as_bytes()).ok()?.try_into().ok().map(BlobId)
}

/// What was made or removed in a folder is so after a power loss too.
fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    let _ = folder;
    Ok(())
}
