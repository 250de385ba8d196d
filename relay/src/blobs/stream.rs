//! One transfer on a stream of its own: bytes pass in pieces, and no more than one is held.

use super::{Blobs, Download, Progress, Upload};
use crate::limits::Wait;
use crate::listener::SendWindow;
use crate::relay::Conn;
use bytes::Bytes;
use quinn::{RecvStream, SendStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use subrosa_shared::protocol::blob::{Answer, Refusal, Request, length};
use subrosa_shared::protocol::codec::{self, PREFIX};
use subrosa_shared::time::Now;
use tokio::time::timeout;

/// Bytes that are held of a transfer, and what is read or written at once.
const PIECE: usize = 256 * 1024;
/// Bytes of an upload after which it is synced at the latest.
const SYNC_BYTES: u64 = 4 << 20;
/// How long bytes of an upload wait for their sync.
const SYNC_EVERY: Duration = Duration::from_millis(250);
/// How long a device may take for its request.
const ASKING: Duration = Duration::from_secs(10);
/// How long a transfer may stand still because the device does.
const STALLED: Duration = Duration::from_secs(60);
/// Bytes of an upload that come in that time at least: each holds a place that others wait for.
const PACE: u64 = 8 << 10;
/// How long a reader waits for bytes that are not here yet.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the last bytes may take to arrive.
const LAST: Duration = Duration::from_secs(30);

/// Serves one stream to its end.
pub(crate) async fn serve(
    conn: Conn,
    mut send: SendStream,
    mut receive: RecvStream,
    blobs: Arc<Blobs>,
    window: Arc<SendWindow>,
    clock: impl Fn() -> Now + Copy,
) {
    // Behind everything that people say. It fails only on a stream that is over.
    let _ = send.set_priority(-1);
    // To the last byte of a file that is fetched.
    let mut fetched = None;
    let fetches = || fetched = Some(window.fetch());
    let done = match timeout(ASKING, request(&mut receive)).await {
        Ok(Some(Ok(request))) => {
            carry_out(conn, request, &mut send, &mut receive, &blobs, fetches, clock).await
        }
        Ok(Some(Err(why))) => Err(End::Refused(why)),
        Ok(None) | Err(_) => Err(End::Gone),
    };
    if let Err(End::Refused(why)) = done {
        // Nobody may be there to hear it.
        let _ = say(&mut send, Answer::Refused(why)).await;
    }
    let _ = receive.stop(0u8.into());
    if send.finish().is_ok() {
        let _ = timeout(LAST, send.stopped()).await;
    }
}

/// Why a transfer ends before its time.
enum End {
    Refused(Refusal),
    /// Nobody is there.
    Gone,
}

impl From<Refusal> for End {
    fn from(why: Refusal) -> Self {
        Self::Refused(why)
    }
}

async fn carry_out(
    conn: Conn,
    request: Request,
    send: &mut SendStream,
    receive: &mut RecvStream,
    blobs: &Arc<Blobs>,
    fetches: impl FnOnce(),
    clock: impl Fn() -> Now + Copy,
) -> Result<(), End> {
    let (all, now) = (blobs.clone(), clock());
    match request {
        Request::Put { id, size } => {
            let upload = apart(move || all.put(conn, id, size, now)).await??;
            say(send, Answer::Ready { size, stored: upload.stored() }).await?;
            upload_to_end(upload, send, receive, blobs, clock).await
        }
        Request::Get { id, from } => {
            let download = apart(move || all.get(conn, id, from, now)).await??;
            fetches();
            say(send, Answer::Ready { size: download.size(), stored: download.stored() }).await?;
            download_to_end(conn, download, send, blobs, clock).await
        }
        Request::Stat(id) => {
            let (size, stored) = apart(move || all.stat(conn, id, now)).await??;
            say(send, Answer::Ready { size, stored }).await
        }
        Request::Delete(id) => {
            apart(move || all.delete(conn, id, now)).await??;
            say(send, Answer::Done).await
        }
    }
}

async fn upload_to_end(
    upload: Upload,
    send: &mut SendStream,
    receive: &mut RecvStream,
    blobs: &Arc<Blobs>,
    clock: impl Fn() -> Now + Copy,
) -> Result<(), End> {
    let (size, owner) = (upload.size(), upload.owner().clone());
    let mut came = upload.stored();
    // In the pool of blocking work while it writes.
    let mut upload = Some(upload);
    let mut piece: Vec<u8> = Vec::new();
    // Bytes that came since the last sync, and when that was.
    let (mut dirty, mut synced) = (0, Instant::now());
    let mut pace = Pace::default();
    loop {
        let left = size - came;
        let mut over = left == 0;
        if !over {
            let wait = if dirty > 0 { SYNC_EVERY.saturating_sub(synced.elapsed()) } else { STALLED };
            let room = (PIECE - piece.len()).min(left as usize);
            let asked = Instant::now();
            let read = timeout(wait, receive.read_chunk(room, true)).await;
            let length = if let Ok(Ok(Some(chunk))) = &read { chunk.bytes.len() as u64 } else { 0 };
            // What came before is kept.
            over = !pace.holds(length, asked.elapsed());
            match read {
                Ok(Ok(Some(chunk))) => {
                    came += chunk.bytes.len() as u64;
                    dirty += chunk.bytes.len() as u64;
                    piece.extend_from_slice(&chunk.bytes);
                    if piece.len() < PIECE && came < size && !over {
                        continue;
                    }
                }
                // A device that says nothing for so long has gone on elsewhere.
                Err(_) if dirty == 0 => return Err(End::Gone),
                // Nothing came for a moment: what is here is made safe.
                Err(_) => {}
                // What came before it went is kept.
                Ok(Ok(None) | Err(_)) => over = true,
            }
        }
        while let Err(Wait(ms)) = blobs.take_up(&owner, piece.len() as u64, clock()) {
            tokio::time::sleep(Duration::from_millis(ms.into())).await;
        }
        let (bytes, now) = (std::mem::take(&mut piece), clock());
        let sync = over || dirty >= SYNC_BYTES || synced.elapsed() >= SYNC_EVERY || came == size;
        let Some(mut writing) = upload.take() else { return Err(End::Gone) };
        let (writing, stored) = apart(move || {
            let done = match writing.write(&bytes) {
                Ok(()) if sync => writing.sync(now).map(Some),
                Ok(()) => Ok(None),
                Err(why) => {
                    // What came before it counts, where that can still be written.
                    let _ = writing.sync(now);
                    Err(why)
                }
            };
            (writing, done)
        })
        .await?;
        upload = Some(writing);
        if let Some(stored) = stored? {
            (dirty, synced) = (0, Instant::now());
            say(send, Answer::Stored(stored)).await?;
            if stored == size || over {
                return Ok(());
            }
        }
    }
}

async fn download_to_end(
    conn: Conn,
    mut download: Download,
    send: &mut SendStream,
    blobs: &Arc<Blobs>,
    clock: impl Fn() -> Now + Copy,
) -> Result<(), End> {
    loop {
        let (reading, bytes) = apart(move || {
            let bytes = download.read(PIECE);
            (download, bytes)
        })
        .await?;
        download = reading;
        let bytes = bytes.map_err(|error| blobs.fault(&error.into()));
        // A reader that has had bytes takes the end of the stream for «later».
        let Ok(bytes) = bytes else { return Ok(()) };
        if !bytes.is_empty() {
            while let Err(Wait(ms)) = blobs.take_down(conn, bytes.len() as u64, clock()) {
                tokio::time::sleep(Duration::from_millis(ms.into())).await;
            }
            match timeout(STALLED, send.write_chunk(Bytes::from(bytes))).await {
                Ok(Ok(())) => continue,
                Ok(Err(_)) | Err(_) => return Err(End::Gone),
            }
        }
        if download.is_over() {
            return Ok(());
        }
        // Also what was stored since it was read a moment ago.
        let at = download.at;
        let further = download.progress.wait_for(|now| match now {
            Progress::Stored(stored) => *stored > at,
            Progress::Gone => true,
        });
        match timeout(PATIENCE, further).await {
            Ok(Ok(now)) if *now != Progress::Gone => {}
            _ => return Ok(()),
        }
    }
}

async fn request(receive: &mut RecvStream) -> Option<Result<Request, Refusal>> {
    let mut prefix = [0; PREFIX];
    receive.read_exact(&mut prefix).await.ok()?;
    let Ok(length) = length(prefix) else { return Some(Err(Refusal::Malformed)) };
    let mut bytes = vec![0; length];
    receive.read_exact(&mut bytes).await.ok()?;
    Some(codec::decode(&bytes).map_err(|_| Refusal::Malformed))
}

async fn say(send: &mut SendStream, answer: Answer) -> Result<(), End> {
    let bytes = codec::encode(&answer).map_err(|_| Refusal::Internal)?;
    match timeout(STALLED, send.write_all(&bytes)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(End::Gone),
    }
}

/// Whether bytes of an upload come as fast as they have to.
#[derive(Default)]
struct Pace {
    bytes: u64,
    waited: Duration,
}

impl Pace {
    /// So many came when they were waited for so long; false once that is too slow.
    fn holds(&mut self, bytes: u64, waited: Duration) -> bool {
        self.bytes += bytes;
        self.waited += waited;
        if self.bytes >= PACE {
            *self = Self::default();
        }
        self.waited < STALLED
    }
}

/// Work on the disk, where nobody else waits for it.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, End> {
    tokio::task::spawn_blocking(work).await.map_err(|_| End::Refused(Refusal::Internal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_of_a_byte_now_and_then_is_too_slow_and_one_over_a_thin_line_is_not() {
        let mut pace = Pace::default();
        assert!(pace.holds(1, STALLED - Duration::from_secs(1)));
        assert!(!pace.holds(1, Duration::from_secs(1)));
        let mut pace = Pace::default();
        assert!((0..100).all(|_| pace.holds(PACE / 4, STALLED / 5)));
    }
}
