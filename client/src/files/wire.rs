//! A transfer on a stream of its own: pieces pass, and no more than one is held.

use super::saver::{self, Saver, Trouble};
use super::sealer::{Sealer, plain};
use super::{Download, End, Report, Upload, size_in_words};
use quinn::{Connection, RecvStream, SendStream};
use rand_core::OsRng;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use subrosa_shared::id::MessageId;
use subrosa_shared::protocol::blob::{Answer, BlobId, Refusal, Request, length};
use subrosa_shared::protocol::codec::{self, PREFIX};
use subrosa_shared::session::file::{SEALED, sealed_size};
use tokio::sync::{mpsc, watch};

/// Where reports go; how far a transfer is, a few times a second.
#[derive(Clone)]
pub struct Reports {
    to: mpsc::UnboundedSender<Report>,
    said: Arc<Mutex<Option<Instant>>>,
}

impl Reports {
    /// To there.
    pub fn new(to: mpsc::UnboundedSender<Report>) -> Self {
        Self { to, said: Arc::default() }
    }

    /// Whatever it is.
    pub fn say(&self, report: Report) {
        // Nobody listens when the person has left.
        let _ = self.to.send(report);
    }

    fn moved(&self, id: MessageId, done: u64) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|said| said.elapsed() >= PACE) {
            *said = Some(Instant::now());
            self.say(Report::Moved(id, done));
        }
    }
}

/// Says when to stop.
pub type Stop = watch::Receiver<bool>;

/// How often it is said how far a transfer is.
const PACE: Duration = Duration::from_millis(200);
/// How long bytes that came wait for more.
const GATHER: Duration = Duration::from_millis(10);
/// How long nothing may come; the relay ends a stream before.
const SILENCE: Duration = Duration::from_secs(60);
/// Chunks that are read, sealed and written at once.
const CHUNKS: usize = 4;
/// Bytes that are opened and saved at once.
const PIECE: usize = CHUNKS * SEALED;

/// Sends a file. `None` when it was stopped.
pub async fn upload(connection: &Connection, job: Upload, mut stop: Stop, reports: &Reports) -> Option<End> {
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => None,
        end = try_upload(connection, job, reports) => Some(end.unwrap_or_else(|end| end)),
    }
}

/// Fetches a file. `None` when it was stopped.
pub async fn download(
    connection: &Connection,
    job: Download,
    mut stop: Stop,
    reports: &Reports,
) -> Option<End> {
    let id = job.id;
    let opening = stop.clone();
    let opened = apart(move || {
        if let Some(path) = saver::there(&job) {
            return Err(End::Saved(path));
        }
        let mut saver = Saver::open(job.clone())?;
        while saver.resume()? {
            if *opening.borrow() {
                return Ok(None);
            }
        }
        Ok(Some((job, saver)))
    });
    let (job, mut saver) = match opened.await.and_then(|opened| opened) {
        Ok(Some(opened)) => opened,
        Ok(None) => return None,
        Err(end) => return Some(end),
    };
    let folder: PathBuf = saver.folder().to_path_buf();
    if saver.is_complete() {
        // Only its name was missing: the relay need not have it any more.
        reports.say(Report::Begun(id, Some(folder)));
        let finished = apart(move || saver.finish().map_err(End::from)).await.and_then(|path| path);
        return Some(finished.map_or_else(|end| end, End::Saved));
    }
    let begun = tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => Err(None),
        begun = begin(connection, Request::Get { id: job.blob, from: saver.wanted() }) => match begun {
            Ok((send, receive, Answer::Ready { size, .. })) if size == sealed_size(job.size) => {
                Ok((receive, send))
            }
            Ok((_, _, Answer::Ready { .. })) => Err(Some(failed(Trouble::Tampered))),
            Ok((_, _, Answer::Refused(why))) => Err(Some(refused(why, Side::Down))),
            Ok(_) => Err(Some(strange())),
            Err(end) => Err(Some(end)),
        },
    };
    let (mut receive, _send) = match begun {
        Ok(streams) => streams,
        Err(end) => {
            // A panic there was printed there.
            let _ = apart(move || saver.leave()).await;
            return end;
        }
    };
    reports.say(Report::Begun(id, Some(folder)));
    reports.moved(id, saver.done());
    let (mut piece, mut over): (Vec<u8>, Option<End>) = (Vec::with_capacity(PIECE), None);
    loop {
        if over.is_none() && piece.len() < PIECE {
            // What comes at once is saved at once; what trickles in does not wait for more.
            let patience = if piece.is_empty() { SILENCE } else { GATHER };
            let next = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return None,
                next = tokio::time::timeout(patience, receive.read_chunk(PIECE - piece.len(), true)) => next,
            };
            match next {
                Ok(Ok(Some(chunk))) => {
                    piece.extend_from_slice(&chunk.bytes);
                    continue;
                }
                Ok(Ok(None)) => over = Some(End::Later("the rest is not at the relay yet".into())),
                Ok(Err(_)) => over = Some(lost()),
                Err(_) if piece.is_empty() => over = Some(lost()),
                Err(_) => {}
            }
        }
        // Never cut short: whoever goes on with this file waits for it.
        let bytes = std::mem::replace(&mut piece, Vec::with_capacity(PIECE));
        let taken = apart(move || {
            let done = saver.take(&bytes).map_err(failed);
            (saver, done)
        });
        let done;
        (saver, done) = match taken.await {
            Ok(taken) => taken,
            Err(end) => return Some(end),
        };
        if let Err(end) = done {
            return Some(end);
        }
        reports.moved(id, saver.done());
        if saver.is_complete() {
            let finished = apart(move || saver.finish().map_err(End::from)).await.and_then(|path| path);
            return Some(finished.map_or_else(|end| end, End::Saved));
        }
        if over.is_some() {
            return over;
        }
    }
}

/// Frees what an upload takes at the relay.
pub async fn delete(connection: &Connection, blob: BlobId) -> End {
    match begin(connection, Request::Delete(blob)).await {
        Ok((_, _, Answer::Done)) => End::Deleted,
        Ok((_, _, Answer::Refused(why))) => refused(why, Side::Up),
        Ok(_) => strange(),
        Err(end) => end,
    }
}

async fn try_upload(connection: &Connection, job: Upload, reports: &Reports) -> Result<End, End> {
    let (id, whole, size) = (job.id, sealed_size(job.size), job.size);
    let request = Request::Put { id: job.blob, size: whole };
    let mut sealer = apart(move || Sealer::open(&job).map_err(failed)).await??;
    let (mut send, mut receive, answer) = begin(connection, request).await?;
    let stored = match answer {
        Answer::Ready { size, stored } if size == whole && stored <= whole => stored,
        Answer::Refused(why) => return Err(refused(why, Side::Up)),
        _ => return Err(strange()),
    };
    reports.say(Report::Begun(id, None));
    reports.moved(id, plain(stored, size));
    if stored == whole {
        return Ok(End::Sent);
    }
    // What the relay says meanwhile; its frames must not be read in halves.
    let (said, mut heard) = mpsc::channel(16);
    let _listening = Aborted(tokio::spawn(async move {
        while let Ok(answer) = hear(&mut receive).await {
            if said.send(answer).await.is_err() {
                return;
            }
        }
    }));
    let mut skipped = false;
    loop {
        let index = stored / SEALED as u64;
        let sealed = apart(move || {
            while !skipped && sealer.skip(index).map_err(failed)? {}
            let mut piece = Vec::with_capacity(PIECE);
            while piece.len() + SEALED <= PIECE {
                match sealer.next(&mut OsRng).map_err(failed)? {
                    Some(chunk) => piece.extend_from_slice(&chunk),
                    None => break,
                }
            }
            Ok::<_, End>((sealer, piece))
        });
        let piece;
        (sealer, piece) = sealed.await??;
        skipped = true;
        if piece.is_empty() {
            break;
        }
        let writing = send.write_all(&piece);
        tokio::pin!(writing);
        loop {
            tokio::select! {
                biased;
                answer = heard.recv() => {
                    if let Some(end) = upload_heard(answer, id, size, reports)? {
                        return Ok(end);
                    }
                }
                written = &mut writing => match written {
                    Ok(()) => break,
                    // The relay stops a stream that it refuses, and says why.
                    Err(_) => loop {
                        if let Some(end) = upload_heard(heard.recv().await, id, size, reports)? {
                            return Ok(end);
                        }
                    },
                },
            }
        }
    }
    let _ = send.finish();
    loop {
        if let Some(end) = upload_heard(heard.recv().await, id, size, reports)? {
            return Ok(end);
        }
    }
}

/// What the relay says during an upload.
fn upload_heard(
    answer: Option<Answer>,
    id: MessageId,
    size: u64,
    reports: &Reports,
) -> Result<Option<End>, End> {
    match answer {
        Some(Answer::Stored(stored)) => {
            reports.moved(id, plain(stored, size));
            Ok((stored == sealed_size(size)).then_some(End::Sent))
        }
        Some(Answer::Refused(why)) => Err(refused(why, Side::Up)),
        Some(_) => Err(strange()),
        None => Err(lost()),
    }
}

/// Opens a stream and asks.
async fn begin(connection: &Connection, request: Request) -> Result<(SendStream, RecvStream, Answer), End> {
    let (mut send, mut receive) = connection.open_bi().await.map_err(|_| lost())?;
    // Behind everything that people say. It fails only on a stream that is over.
    let _ = send.set_priority(-1);
    let bytes = codec::encode(&request).map_err(|_| strange())?;
    send.write_all(&bytes).await.map_err(|_| lost())?;
    let answer = hear(&mut receive).await?;
    Ok((send, receive, answer))
}

async fn hear(receive: &mut RecvStream) -> Result<Answer, End> {
    let mut prefix = [0; PREFIX];
    receive.read_exact(&mut prefix).await.map_err(|_| lost())?;
    let mut bytes = vec![0; length(prefix).map_err(|_| strange())?];
    receive.read_exact(&mut bytes).await.map_err(|_| lost())?;
    codec::decode(&bytes).map_err(|_| strange())
}

/// Which way a file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// To the relay.
    Up,
    /// From the relay.
    Down,
}

/// A refusal as a sentence, and whether it passes by itself.
pub fn refused(why: Refusal, side: Side) -> End {
    let text = match (why, side) {
        (Refusal::TooLarge { max }, _) => {
            format!(
                "this relay takes files of at most {}: make it smaller, or send it another way",
                size_in_words(max)
            )
        }
        (Refusal::QuotaReached { quota }, _) => format!(
            "your files at this relay take the {} that an account may have: /files cancel takes one back, or wait until \
             some are out of date",
            size_in_words(quota)
        ),
        (Refusal::StorageFull, _) => "the relay's disk is full; it is tried again".into(),
        (Refusal::Gone, Side::Down) => {
            "the relay has nothing of it: it was taken back, or its time was over. Ask for it again".into()
        }
        (Refusal::Gone, Side::Up) => "the relay has dropped it: /file sends it anew".into(),
        (Refusal::NotAllowed, _) => "the relay does not allow it: /file sends it anew".into(),
        (Refusal::RateLimited { .. }, _) => "the relay asks to slow down; it is tried again".into(),
        (Refusal::Superseded, _) => "another connection of yours goes on with it".into(),
        (Refusal::Malformed | Refusal::Internal, _) => format!("the relay has trouble ({why})"),
    };
    if why.passes() { End::Later(text) } else { End::Failed(text) }
}

fn failed(error: impl std::fmt::Display) -> End {
    End::Failed(error.to_string())
}

fn lost() -> End {
    End::Later("the connection to the relay broke".into())
}

fn strange() -> End {
    End::Failed("the relay answers what makes no sense: update subrosa, or ask its owner to".into())
}

/// Work on the disk, where nobody else waits for it.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, End> {
    tokio::task::spawn_blocking(work).await.map_err(failed)
}

/// A task that ends when this is dropped.
struct Aborted(tokio::task::JoinHandle<()>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use sha2::{Digest, Sha256};
    use std::fs;
    use std::net::{Ipv4Addr, SocketAddr};
    use subrosa_relay::server::Server;
    use subrosa_shared::content::file::Key;
    use subrosa_shared::session::file::seal;

    /// A connection on which nobody can be asked any more.
    async fn over() -> Connection {
        let config = subrosa_relay::config::Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            data: None,
            ..subrosa_relay::config::Config::default()
        };
        let server = Server::start(config).await.expect("starts");
        let (config, _) = crate::net::tls::config(server.link().fingerprint).expect("TLS");
        let endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("a socket");
        let connecting = endpoint.connect_with(config, server.local_addr(), "subrosa").expect("dials");
        let connection = connecting.await.expect("connects");
        connection.close(0u32.into(), b"");
        server.shutdown().await;
        connection
    }

    #[tokio::test]
    async fn what_is_whole_on_this_disk_gets_its_name_without_the_relay() {
        let dir = tempfile::tempdir().expect("a folder");
        let (folder, content) = (dir.path().to_path_buf(), vec![7u8; 1000]);
        let job = Download {
            id: MessageId([1; 16]),
            name: "film.mkv".into(),
            size: content.len() as u64,
            sha256: Sha256::digest(&content).into(),
            key: Key([2; 32]),
            blob: BlobId([3; 16]),
            folder: Some(folder.clone()),
            begun: false,
        };
        let connection = over().await;
        let (to, mut said) = mpsc::unbounded_channel();
        let (_going, stop) = watch::channel(false);
        let nothing = download(&connection, job.clone(), stop.clone(), &Reports::new(to.clone())).await;
        assert!(matches!(nothing, Some(End::Later(_))), "nothing is there yet: {nothing:?}");
        assert!(said.try_recv().is_err(), "and nothing has begun");
        assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 0, "nor is anything left of it");
        // As a kill right before the name leaves it.
        let mut saver = Saver::open(job.clone()).expect("opens");
        let sealed = seal(&job.key, 0, job.size, &content, &mut ChaCha20Rng::seed_from_u64(1));
        saver.take(&sealed).expect("right");
        drop(saver);
        let end = download(&connection, job.clone(), stop.clone(), &Reports::new(to.clone())).await;
        let path = folder.join("film.mkv");
        assert_eq!(end, Some(End::Saved(path.clone())));
        assert_eq!(said.try_recv(), Ok(Report::Begun(job.id, Some(folder))));
        assert_eq!(fs::read(&path).expect("it is there"), content);
        assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 1, "and nothing hidden beside it");
        // As a kill right behind the name leaves it.
        let begun = Download { begun: true, ..job };
        assert_eq!(download(&connection, begun, stop, &Reports::new(to)).await, Some(End::Saved(path)));
        assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 1, "no second one");
    }
}
