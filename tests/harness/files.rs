//! Files on their way between people and their relay: the real reading, sealing, opening and saving, over
//! a wire that carries a chunk at a time.

use crate::world::World;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use std::collections::BTreeMap;
use subrosa::event::Event;
use subrosa::files::saver::{self, Saver};
use subrosa::files::sealer::{Sealer, plain};
use subrosa::files::wire::{Side, refused};
use subrosa::files::{End, Order, Report, prepare};
use subrosa_relay::blobs;
use subrosa_relay::relay::Conn;
use subrosa_shared::id::MessageId;
use subrosa_shared::protocol::blob::BlobId;
use subrosa_shared::session::file::{SEALED, sealed_size};

/// Milliseconds that a chunk takes.
const PIECE: u64 = 20;
/// How often a reader looks for bytes that are not there yet, and how often it does.
const LOOKS: u32 = 40;
const LOOK: u64 = 500;

/// Files on their way: whose, which, over which connection.
pub(crate) type Ports = BTreeMap<(String, MessageId), (Conn, Port)>;

pub(crate) enum Port {
    Up { sealer: Box<Sealer>, upload: Box<blobs::Upload>, size: u64, rng: Box<ChaCha20Rng> },
    Down { saver: Box<Saver>, download: Box<blobs::Download>, looks: u32 },
}

impl World {
    /// What the runtime would do about files.
    pub(crate) fn transfers(&mut self, name: &str, order: Order) {
        match order {
            Order::Look(text) => {
                let file = prepare::look(&text);
                self.reports(name, Report::Looked { text, file });
            }
            Order::View(id, path) => self.reports(name, Report::Viewed(id, prepare::view(&path))),
            Order::Prepare { id, path } => self.reports(name, Report::Prepared(id, prepare::prepare(&path))),
            Order::Upload(job) => {
                let (id, size, blob) = (job.id, job.size, job.blob);
                let begun = Sealer::open(&job).map_err(|why| End::Failed(why.to_string()));
                let begun = begun.and_then(|sealer| {
                    let conn = self.conn(name).ok_or_else(lost)?;
                    let (now, blobs) = (self.now(), self.relay.as_ref().ok_or_else(lost)?.blobs());
                    let upload = blobs.put(conn, blob, sealed_size(size), now);
                    Ok((conn, sealer, upload.map_err(|why| refused(why, Side::Up))?))
                });
                match begun {
                    // All of it was there when the end before this one came.
                    Ok((_, _, upload)) if upload.stored() == sealed_size(size) => {
                        self.reports(name, Report::Begun(id, None));
                        self.reports(name, Report::Ended(id, End::Sent));
                    }
                    Ok((conn, mut sealer, upload)) => {
                        let index = upload.stored() / SEALED as u64;
                        while sealer.skip(index).expect("the story leaves the file alone") {}
                        let rng = Box::new(ChaCha20Rng::seed_from_u64(self.rng.next_u64()));
                        let (sealer, upload) = (Box::new(sealer), Box::new(upload));
                        self.opens(name, id, conn, Port::Up { sealer, upload, size, rng });
                        self.reports(name, Report::Begun(id, None));
                    }
                    Err(end) => self.reports(name, Report::Ended(id, end)),
                }
            }
            Order::Download(job) => {
                let (id, size, blob) = (job.id, job.size, job.blob);
                // The one before lets go of its file.
                self.ports.remove(&(name.to_owned(), id));
                if let Some(path) = saver::there(&job) {
                    return self.reports(name, Report::Ended(id, End::Saved(path)));
                }
                let begun = Saver::open(*job).map_err(End::from);
                let begun = begun.and_then(|mut saver| {
                    while saver.resume().map_err(|why| End::Failed(why.to_string()))? {}
                    match self.asks(name, blob, saver.wanted(), size) {
                        Ok((conn, download)) => Ok((conn, saver, download)),
                        Err(end) => {
                            saver.leave();
                            Err(end)
                        }
                    }
                });
                match begun {
                    Ok((conn, saver, download)) => {
                        let folder = saver.folder().to_path_buf();
                        let (saver, download) = (Box::new(saver), Box::new(download));
                        self.opens(name, id, conn, Port::Down { saver, download, looks: 0 });
                        self.reports(name, Report::Begun(id, Some(folder)));
                    }
                    Err(end) => self.reports(name, Report::Ended(id, end)),
                }
            }
            Order::Stop(id) => drop(self.ports.remove(&(name.to_owned(), id))),
            Order::Delete(id, blob) => {
                self.ports.remove(&(name.to_owned(), id));
                let (conn, now) = (self.conn(name), self.now());
                let end = match conn.zip(self.relay.as_ref()) {
                    Some((conn, relay)) => match relay.blobs().delete(conn, blob, now) {
                        Ok(()) => End::Deleted,
                        Err(why) => refused(why, Side::Up),
                    },
                    None => lost(),
                };
                self.reports(name, Report::Ended(id, end));
            }
            Order::Discard(id, folder) => {
                self.ports.remove(&(name.to_owned(), id));
                if saver::discard(id, &folder) {
                    self.reports(name, Report::Discarded(id, folder));
                }
            }
        }
    }

    /// What the relay has of a file, from there on.
    fn asks(
        &mut self,
        name: &str,
        blob: BlobId,
        from: u64,
        size: u64,
    ) -> Result<(Conn, blobs::Download), End> {
        let conn = self.conn(name).ok_or_else(lost)?;
        let (now, blobs) = (self.now(), self.relay.as_ref().ok_or_else(lost)?.blobs());
        let download = blobs.get(conn, blob, from, now).map_err(|why| refused(why, Side::Down))?;
        if download.size() != sealed_size(size) {
            return Err(End::Failed(saver::Trouble::Tampered.to_string()));
        }
        Ok((conn, download))
    }

    fn opens(&mut self, name: &str, id: MessageId, conn: Conn, port: Port) {
        self.ports.insert((name.to_owned(), id), (conn, port));
        self.piece_in(name, id, PIECE);
    }

    /// One more chunk.
    pub(crate) fn piece(&mut self, name: &str, id: MessageId) {
        let key = (name.to_owned(), id);
        let Some((conn, mut port)) = self.ports.remove(&key) else { return };
        if self.conn(name) != Some(conn) {
            return self.reports(name, Report::Ended(id, lost()));
        }
        let now = self.now();
        let mut wait = PIECE;
        let (done, end) = match &mut port {
            Port::Up { sealer, upload, size, rng } => match sealer.next(rng) {
                Ok(None) => (*size, Some(End::Sent)),
                Ok(Some(chunk)) => match upload.write(&chunk) {
                    // Bytes are there that no record knows of.
                    Ok(()) if self.relay_disk.rule.dies_here() => {
                        self.relay_commits();
                        return self.reports(name, Report::Ended(id, lost()));
                    }
                    written => match written.and_then(|()| upload.sync(now)) {
                        Ok(stored) => (plain(stored, *size), None),
                        Err(why) => (0, Some(refused(why, Side::Up))),
                    },
                },
                Err(why) => (0, Some(End::Failed(why.to_string()))),
            },
            Port::Down { saver, download, looks } => {
                // A relay that lost a part of it has trouble, and says no more.
                let Ok(bytes) = download.read(SEALED) else {
                    return self.reports(name, Report::Ended(id, lost()));
                };
                if bytes.is_empty() {
                    (*looks, wait) = (*looks + 1, LOOK);
                }
                match saver.take(&bytes) {
                    Err(why) => (saver.done(), Some(End::Failed(why.to_string()))),
                    Ok(()) if *looks > LOOKS => (saver.done(), Some(lost())),
                    Ok(()) => (saver.done(), None),
                }
            }
        };
        self.reports(name, Report::Moved(id, done));
        let end = match (end, port) {
            (Some(end), _) => Some(end),
            (None, Port::Down { saver, .. }) if saver.is_complete() => {
                Some(saver.finish().map_or_else(End::from, End::Saved))
            }
            (None, port) => {
                self.ports.insert(key, (conn, port));
                self.piece_in(name, id, wait);
                None
            }
        };
        if let Some(end) = end {
            self.reports(name, Report::Ended(id, end));
        }
    }

    fn reports(&mut self, name: &str, report: Report) {
        self.event(name, Event::Transfer(report));
    }
}

fn lost() -> End {
    End::Later("the connection to the relay broke".into())
}
