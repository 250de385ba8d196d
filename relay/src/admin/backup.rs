//! What a relay has on its disk, written out while it goes on.
//!
//! Records are read page by page; what is written meanwhile is caught by a [`Tap`](super::tap) and follows in
//! order, so that the whole is as the store was at the moment the tap was closed, between two commits.
//! Everything that was acknowledged before that is in it. Sealed files come last: what counts of them never
//! changes, they can only go.

use super::archive::{FILES, PIECE, Record, Writer};
use super::tap::{Tap, Tapped};
use crate::blobs;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Weak;
use subrosa_shared::protocol::blob::BlobId;
use subrosa_shared::store::{self, Kv, Order, Table, Write};
use subrosa_shared::time::Millis;

/// Why a backup was not made: a sentence with the next step.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another is being made.
    #[error("another backup is being made; wait for its end")]
    Busy,
    /// The relay wrote faster than it was read.
    #[error("the relay wrote more meanwhile than could be kept; try again when less is going on")]
    TooBusy,
    /// The relay ended.
    #[error("the relay ended meanwhile; run the same once more, it works without one too")]
    Ended,
    /// The store.
    #[error("the store cannot be read: {0}; `subrosa-relay check` says more")]
    Store(#[from] store::Error),
    /// A file of the relay's.
    #[error("{path}: {why}; without it no relay starts on the backup, so put it back from an earlier one")]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// A sealed file, or whoever it is written to.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Rows read at once.
const PAGE: usize = 64;

/// Writes a backup of the store and the data folder around it. `wall` is when it is begun.
///
/// # Errors
/// [`Error`].
pub fn write<W: io::Write>(
    store: &Weak<Tapped>,
    data: &Path,
    wall: Millis,
    to: &mut Writer<W>,
) -> Result<(), Error> {
    to.record(&Record::Made(wall))?;
    for name in FILES {
        let path = data.join(name);
        let content = fs::read(&path).map_err(|why| Error::File { path, why })?;
        to.record(&Record::File { name, content })?;
    }
    let tap = held(store)?.open().ok_or(Error::Busy)?;
    let opened = Opened(store);
    let mut files = BTreeMap::new();
    for table in 0..=u8::MAX {
        let mut from = Vec::new();
        loop {
            // Only as long as a page takes is the store held open.
            let table = Table { byte: table, name: "any" };
            let rows = held(store)?.scan(table, &from, &[], Order::Forward, PAGE)?;
            let next =
                rows.last().filter(|_| rows.len() == PAGE).map(|(key, _)| [key.as_slice(), &[0]].concat());
            for (key, value) in rows {
                note(&mut files, table.byte, &key, Some(&value));
                to.record(&Record::Put { table: table.byte, key, value })?;
            }
            caught(&tap, &mut files, to)?;
            match next {
                Some(next) => from = next,
                None => break,
            }
        }
    }
    drop(opened);
    caught(&tap, &mut files, to)?;
    for (id, value) in files {
        let stored = blobs::stored(&value)?;
        sealed(&blobs::file(data, id), id, stored, to)?;
    }
    Ok(())
}

/// A tap that is closed whatever happens.
struct Opened<'a>(&'a Weak<Tapped>);

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        if let Some(store) = self.0.upgrade() {
            store.close();
        }
    }
}

fn held(store: &Weak<Tapped>) -> Result<std::sync::Arc<Tapped>, Error> {
    store.upgrade().ok_or(Error::Ended)
}

/// Entries of the index of sealed files, as they are last.
type Files = BTreeMap<BlobId, Vec<u8>>;

fn note(files: &mut Files, table: u8, key: &[u8], value: Option<&[u8]>) {
    let Some(id) = blobs::listed(table, key) else { return };
    match value {
        Some(value) => drop(files.insert(id, value.to_vec())),
        None => drop(files.remove(&id)),
    }
}

/// What was written since the last call.
fn caught<W: io::Write>(tap: &Tap, files: &mut Files, to: &mut Writer<W>) -> Result<(), Error> {
    for write in tap.take().ok_or(Error::TooBusy)? {
        match write {
            Write::Put(table, key, value) => {
                note(files, table.byte, &key, Some(&value));
                to.record(&Record::Put { table: table.byte, key, value: value.to_vec() })?;
            }
            Write::Delete(table, key) => {
                note(files, table.byte, &key, None);
                to.record(&Record::Delete { table: table.byte, key })?;
            }
        }
    }
    Ok(())
}

/// What counts of a sealed file. One that is gone by now is taken out of the index again.
fn sealed<W: io::Write>(path: &Path, id: BlobId, stored: u64, to: &mut Writer<W>) -> Result<(), Error> {
    let file = match File::open(path) {
        Ok(file) if file.metadata()?.len() >= stored => file,
        Ok(_) => return Ok(to.record(&blobs::unlisted(id))?),
        Err(error) if error.kind() == io::ErrorKind::NotFound && stored == 0 => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(to.record(&blobs::unlisted(id))?),
        Err(error) => return Err(error.into()),
    };
    to.record(&Record::Blob { id, length: stored })?;
    let mut file = file.take(stored);
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        (&mut file).take(PIECE as u64).read_to_end(&mut piece)?;
        if piece.is_empty() {
            break;
        }
        to.record(&Record::Bytes(piece))?;
    }
    Ok(())
}

/// Pieces of a stream, handed to whoever sends them on.
pub(crate) struct Pieces(pub(crate) tokio::sync::mpsc::Sender<Vec<u8>>);

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Whoever asked has gone.
        self.0.blocking_send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a whole backup, or why there is none, into pieces.
pub(crate) fn stream(store: &Weak<Tapped>, data: &Path, wall: Millis, to: Pieces) -> Result<(), Error> {
    let mut writer = Writer::new(io::BufWriter::with_capacity(PIECE, to))?;
    match write(store, data, wall, &mut writer) {
        Ok(()) => {
            writer.end()?.flush()?;
            Ok(())
        }
        Err(error) => {
            writer.fail(&error.to_string())?;
            Err(error)
        }
    }
}
