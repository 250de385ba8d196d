//! One blob that is being written, or read.

use super::open::Open;
use super::place::{Reader, Writer};
use super::{Blobs, Entry, Progress};
use crate::metrics::Count;
use std::io;
use std::sync::Arc;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::blob::{BlobId, Refusal, counted};
use subrosa_shared::time::Now;
use tokio::sync::watch;

/// A blob that is being written; the newest of the same blob alone may go on.
pub struct Upload {
    pub(super) blobs: Arc<Blobs>,
    pub(super) id: BlobId,
    pub(super) entry: Entry,
    pub(super) turn: u64,
    pub(super) writer: Option<Writer>,
    pub(super) written: u64,
    pub(super) _open: Open,
}

/// A blob that is being read.
pub struct Download {
    pub(super) reader: Reader,
    pub(super) at: u64,
    pub(super) size: u64,
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) _open: Open,
}

impl Upload {
    /// All of it.
    pub fn size(&self) -> u64 {
        self.entry.size
    }

    /// Synced, from the start.
    pub fn stored(&self) -> u64 {
        self.entry.stored
    }

    pub(super) fn owner(&self) -> &AccountName {
        &self.entry.owner
    }

    /// The next bytes; more than the size is an error.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.still_ours()?;
        if self.written + bytes.len() as u64 > self.entry.size {
            return Err(Refusal::Malformed);
        }
        if let Some(writer) = &mut self.writer {
            // Something else may have taken what was free when it began.
            if !self.blobs.place.has_room(bytes.len() as u64) {
                return Err(self.blobs.refused(Refusal::StorageFull));
            }
            writer.write(bytes).map_err(|error| self.blobs.fault(&error.into()))?;
        }
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Makes what was written durable, and says how much of the blob counts from here on.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn sync(&mut self, now: Now) -> Result<u64, Refusal> {
        self.still_ours()?;
        let stored = counted(self.written, self.entry.size);
        let complete = stored == self.entry.size;
        // What does not count is synced with what makes it count.
        if stored > self.entry.stored {
            if let Some(writer) = &mut self.writer {
                writer.sync().map_err(|error| self.blobs.fault(&error.into()))?;
            }
            let since = if complete { now.wall } else { self.entry.since };
            let entry = Entry { stored, since, touched: now.wall, ..self.entry.clone() };
            let _alone = self.blobs.alone();
            // Deleted meanwhile, or begun by another: it stays so.
            self.still_ours()?;
            let before = self.blobs.entry(self.id)?.ok_or(Refusal::Gone)?.stored;
            self.blobs.keep(self.id, &entry).map_err(|error| self.blobs.fault(&error))?;
            self.entry = entry;
            let mut state = self.blobs.state();
            state.owed = state.owed.saturating_sub(stored.saturating_sub(before));
            if let Some(live) = state.live.get(&self.id) {
                live.progress.send_replace(Progress::Stored(stored));
            }
            if complete {
                state.live.remove(&self.id);
                self.writer = None;
                drop(state);
                self.blobs.metrics.count(Count::FilesStored);
            }
        }
        Ok(stored)
    }

    fn still_ours(&self) -> Result<(), Refusal> {
        match self.blobs.state().live.get(&self.id) {
            Some(live) if live.turn == self.turn => Ok(()),
            Some(_) => Err(Refusal::Superseded),
            None if self.entry.stored == self.entry.size => Ok(()),
            None => Err(Refusal::Gone),
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let mut state = self.blobs.state();
        if let Some(live) = state.live.get_mut(&self.id).filter(|live| live.turn == self.turn) {
            live.turn = 0;
            if live.progress.receiver_count() == 0 {
                state.live.remove(&self.id);
            }
        }
    }
}

impl Download {
    /// All of it.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How much of it counts now.
    pub fn stored(&self) -> u64 {
        match *self.progress.borrow() {
            Progress::Stored(stored) => stored,
            Progress::Gone => 0,
        }
    }

    /// The next bytes that are there, at most so many; none when there are none now.
    ///
    /// # Errors
    /// Those of the folder.
    pub fn read(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let length = self.stored().saturating_sub(self.at).min(most as u64) as usize;
        if length == 0 {
            return Ok(Vec::new());
        }
        let bytes = self.reader.read(self.at, length)?;
        self.at += bytes.len() as u64;
        Ok(bytes)
    }

    /// Whether all was read.
    pub fn is_over(&self) -> bool {
        self.at == self.size
    }
}
