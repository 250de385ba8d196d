//! One device's connection: a task that carries frames and datagrams between QUIC and the relay.

use crate::blobs::{self, Blobs};
use crate::listener::{self, SendWindow};
use crate::metrics::{Count, Metrics};
use crate::outbox::{All, Inbox, Order, outbox};
use crate::relay::{Conn, held};
use crate::server::{EVENTS, Event};
use crate::sfu::{self, Forward, Sfu};
use bytes::Bytes;
use futures_util::FutureExt;
use quinn::{Connection, RecvStream, SendStream, VarInt};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use subrosa_shared::protocol::auth::EXPORTER_LABEL;
use subrosa_shared::protocol::blob::STREAMS;
use subrosa_shared::protocol::codec::{self, FRAME_MAX, PREFIX};
use subrosa_shared::protocol::frame::{PASS_MAX, Refusal, ToDevice, ToRelay};
use subrosa_shared::time::Millis;
use tokio::sync::mpsc::{self, Permit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The first frame is a login, and not longer than this.
const LOGIN_MAX: usize = 1024;

/// How long a device may take for [`TOGETHER`] bytes, or for the rest of what waits once nothing more comes. Its
/// mailbox keeps what it did not acknowledge.
const STALLED: Duration = Duration::from_secs(60);

/// How many times as long as a login the handshake before it may take: on a thin path it is much longer. Who takes a
/// seat for that long has proven its address and passed the bound of its network.
const THIN: u32 = 4;

/// How long nothing is read of a device for each time that it was told it asks too often. Else one that goes on
/// asking keeps the relay busy with telling it so, and others wait behind it.
const REST: Duration = Duration::from_millis(20);

/// The longest rest: what else the device says meanwhile waits too.
const REST_MAX: Duration = Duration::from_secs(1);

/// Places of one device among what waits for the relay. Without this bound one that asks too often has filled the
/// queue of all before it hears so the first time.
const AHEAD: usize = EVENTS / 4;

/// Bytes that a frame has in one place: a longer one takes more of them, so that no device has more than 4 MiB there.
const PLACE: u64 = 16 << 10;

/// A frame's places among those; free when the relay has looked at it.
pub(crate) struct Ahead {
    bytes: u64,
    _places: OwnedSemaphorePermit,
}

impl Ahead {
    /// Bytes of the frame as it came.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Bytes of frames that go out in one piece when more of them wait.
const TOGETHER: usize = 16 << 10;

/// How long a last word may take to arrive before the connection is closed anyway.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Datagrams that go on one after the other before frames have their turn again: the packets of a keyframe.
const DATAGRAMS: usize = 32;

/// What all connections share: where datagrams go, and the relay's door.
pub(crate) struct Shared {
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) sfu: Arc<Mutex<Sfu>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) started: Instant,
    pub(crate) login: Duration,
    /// Bytes of media that may wait for one watcher.
    pub(crate) media_buffer: usize,
    /// What waits for all of them.
    pub(crate) waiting: All,
    pub(crate) wires: RwLock<HashMap<Conn, Connection>>,
}

/// What a connection was good for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Nothing: it was not finished, or the relay had no other word for it than no.
    None,
    /// A login, or what may be asked without one.
    Some,
}

/// Lives as long as the device stays. What begins it is boxed, so that it takes no room of one that is idle: a task
/// is as large as the largest of its steps, for as long as it lives.
pub(crate) async fn run(incoming: Box<quinn::Incoming>, conn: Conn, shared: Arc<Shared>) -> Use {
    let opened = Box::pin(timeout(shared.login * THIN, open(incoming))).await;
    let Ok(Some((connection, exporter, send, receive))) = opened else {
        shared.metrics.count(Count::Closed);
        shared.metrics.count(Count::HandshakesFailed);
        return Use::None;
    };
    shared.metrics.count(Count::Handshakes);
    let (outbox, inbox) = outbox(&shared.waiting);
    let from = connection.remote_address().ip();
    let mut used = Use::None;
    if shared.events.send(Event::Connected { conn, exporter, from, outbox }).await.is_err() {
        connection.close(code(Refusal::Draining), b"draining");
        return used;
    }
    shared.wires.write().unwrap_or_else(PoisonError::into_inner).insert(conn, connection.clone());
    let mut ends = Ends { send, reader: Reader::new(receive), inbox };
    talk(conn, &connection, &mut ends, &shared, &mut used).await;
    shared.wires.write().unwrap_or_else(PoisonError::into_inner).remove(&conn);
    // Fails only when the relay has stopped, and then it knows of no connection any more.
    let _ = shared.events.send(Event::Gone(conn)).await;
    used
}

async fn open(incoming: Box<quinn::Incoming>) -> Option<(Connection, [u8; 32], SendStream, RecvStream)> {
    let connection = incoming.accept().ok()?.await.ok()?;
    let mut exporter = [0; 32];
    connection.export_keying_material(&mut exporter, EXPORTER_LABEL, &[]).ok()?;
    let (send, receive) = connection.accept_bi().await.ok()?;
    Some((connection, exporter, send, receive))
}

/// What frames go through.
struct Ends {
    send: SendStream,
    reader: Reader,
    inbox: Inbox,
}

async fn talk(conn: Conn, connection: &Connection, ends: &mut Ends, shared: &Shared, used: &mut Use) {
    let Ends { send, reader, inbox } = ends;
    // Frames on their way out, and how much of them has gone.
    let mut writing: Option<(Vec<u8>, usize)> = None;
    // What is to be said behind them as the last word.
    let mut closing: Option<Refusal> = None;
    // What came in and waits for the relay.
    let mut read: Option<Box<Result<ToRelay, Refusal>>> = None;
    let ahead = Arc::new(Semaphore::new(AHEAD));
    // Nothing more is read after the end of the stream or bytes that are no frame.
    let mut listening = true;
    // Until when nothing more is read.
    let mut rest: Option<Instant> = None;
    // When the device last took a whole piece, and how much it took since: a byte now and then would keep its seat, and
    // the room of all that waits for it.
    let (mut taken, mut since) = (Instant::now(), 0);
    // Until when it has time for what waits, once nothing more comes.
    let mut end: Option<Instant> = None;
    let cut = inbox.cut();
    // Transfers of files; they end with the connection.
    let mut files = JoinSet::new();
    let window = SendWindow::of(connection);
    loop {
        tokio::select! {
            biased;
            // 1. Finish the frames that are half out. A device that does not read stops here; its
            //    queue fills and the relay lets it go.
            written = send.write(unwritten(&writing)), if writing.is_some() => match (written, &mut writing) {
                (Ok(count), Some((bytes, at))) => {
                    *at += count;
                    shared.metrics.add(Count::FrameBytesOut, count as u64);
                    since += count;
                    let whole = *at == bytes.len();
                    if whole || since >= TOGETHER {
                        (taken, since) = (Instant::now(), 0);
                    }
                    if whole {
                        writing = None;
                        if let Some(why) = closing {
                            return close(connection, send, why).await;
                        }
                    }
                }
                _ => return,
            },
            //    One that stays connected and never reads gives its seat back.
            () = tokio::time::sleep_until(late(taken, end).into()), if writing.is_some() => {
                shared.metrics.count(Count::Slow);
                return connection.close(code(Refusal::Internal), b"too slow");
            },
            //    The relay has counted it.
            () = cut.off(), if writing.is_some() => {
                return connection.close(code(Refusal::Internal), b"too slow");
            },
            // 2. The relay's next words.
            order = inbox.next(), if writing.is_none() => match order {
                Some(order) => {
                    let Together { bytes, last, limited, answered } = together(order, inbox, connection);
                    closing = last;
                    if answered {
                        *used = Use::Some;
                    }
                    if limited > 0 {
                        let now = Instant::now();
                        let until = rest.map_or(now, |rest| rest.max(now)) + REST * limited;
                        rest = Some(until.min(now + REST_MAX));
                    }
                    match closing {
                        Some(why) if bytes.is_empty() => return close(connection, send, why).await,
                        _ if bytes.is_empty() => {}
                        _ => {
                            writing = Some((bytes, 0));
                            (taken, since) = (Instant::now(), 0);
                            if inbox.is_last() {
                                end.get_or_insert(taken + STALLED);
                            }
                        }
                    }
                }
                // Forgotten without a word: it did not read.
                None => return connection.close(code(Refusal::Internal), b"too slow, or the relay stopped"),
            },
            // 3. Hand over what was read. The queue to the relay is bounded, and so is this device's part of it;
            //    while it is full, nothing more is read from this device.
            door = room(&shared.events, &ahead, reader.taken()), if read.is_some() => match (door, read.take()) {
                (Some((door, place)), Some(came)) => door.send(event(conn, *came, place)),
                _ => return connection.close(code(Refusal::Draining), b"draining"),
            },
            // 4. Frames, those of one packet at a time, and none while the device does not take its
            //    answers, or has to wait.
            () = tokio::time::sleep_until(rest.unwrap_or(taken).into()), if rest.is_some() => rest = None,
            next = reader.next(), if listening && read.is_none() && writing.is_none() && rest.is_none() => {
                let mut next = Some(next);
                while let Some(came) = next.take() {
                    let came = match came {
                        Ok(frame) => {
                            shared.metrics.add(Count::FrameBytesIn, reader.taken());
                            Ok(frame)
                        }
                        Err(End::Gone) => return,
                        Err(End::Bad(why)) => {
                            listening = false;
                            Err(why)
                        }
                    };
                    match room(&shared.events, &ahead, reader.taken()).now_or_never() {
                        Some(Some((door, place))) => door.send(event(conn, came, place)),
                        Some(None) => return connection.close(code(Refusal::Draining), b"draining"),
                        None => {
                            read = Some(Box::new(came));
                            break;
                        }
                    }
                    next = if listening { reader.ready() } else { None };
                }
            }
            // 5. Live media, which never waits for a disk.
            datagram = connection.read_datagram() => match datagram {
                Ok(datagram) => {
                    forward(conn, datagram, shared);
                    // What came with it goes on at once, without asking all the others in between.
                    for _ in 1..DATAGRAMS {
                        let Some(Ok(datagram)) = connection.read_datagram().now_or_never() else { break };
                        forward(conn, datagram, shared);
                    }
                }
                Err(_) => return,
            },
            // 6. Transfers of files that are over, and new ones; each is a task of its own, so that no
            //    frame waits for them.
            Some(_) = files.join_next() => {}
            stream = connection.accept_bi(), if files.len() < STREAMS => match stream {
                Ok((send, receive)) => {
                    let (blobs, started) = (shared.blobs.clone(), shared.started);
                    let clock = move || crate::server::now(started);
                    files.spawn(blobs::serve(conn, send, receive, blobs, window.clone(), clock));
                }
                Err(_) => return,
            },
        }
    }
}

/// Room for a frame of so many bytes at the relay; `None` when the relay has stopped.
async fn room<'a>(
    events: &'a mpsc::Sender<Event>,
    ahead: &Arc<Semaphore>,
    bytes: u64,
) -> Option<(Permit<'a, Event>, Ahead)> {
    // Never more than there are: who waits for more waits for ever.
    let places = bytes.div_ceil(PLACE).clamp(1, AHEAD as u64) as u32;
    let places = ahead.clone().acquire_many_owned(places).await.ok()?;
    Some((events.reserve().await.ok()?, Ahead { bytes, _places: places }))
}

fn event(conn: Conn, came: Result<ToRelay, Refusal>, place: Ahead) -> Event {
    match came {
        Ok(frame) => Event::Frame(conn, frame, place),
        Err(why) => Event::Malformed(conn, why),
    }
}

/// Frames that go out in one piece.
#[derive(Default)]
struct Together {
    bytes: Vec<u8>,
    /// Why the connection is to be closed behind them.
    last: Option<Refusal>,
    /// So many of them say that the device asks too often.
    limited: u32,
    /// One of them is no refusal.
    answered: bool,
}

/// Frames that wait, as many as go out in one piece. One that is welcomed may have more under way from now on.
fn together(first: Order, inbox: &mut Inbox, connection: &Connection) -> Together {
    let mut together = Together::default();
    let mut next = Some(first);
    while let Some(order) = next {
        match order {
            Order::Frame(frame) => {
                together.answered |= !matches!(&frame, ToDevice::Refused { .. } | ToDevice::Rejected { .. });
                match &frame {
                    ToDevice::Welcome(_) => listener::widen(connection),
                    ToDevice::Refused { why: Refusal::RateLimited { .. }, .. }
                    | ToDevice::Rejected { why: Refusal::RateLimited { .. }, .. } => together.limited += 1,
                    _ => {}
                }
                if let Err(error) = codec::append(&frame, &mut together.bytes) {
                    tracing::error!(%error, "a frame of the relay's own does not fit");
                }
            }
            Order::Close(why) => {
                together.last = Some(why);
                return together;
            }
        }
        next = if together.bytes.len() < TOGETHER { inbox.ready() } else { None };
    }
    together
}

fn unwritten(writing: &Option<(Vec<u8>, usize)>) -> &[u8] {
    writing.as_ref().map_or(&[], |(bytes, at)| &bytes[*at..])
}

/// When a device has taken too long for what it is told.
fn late(taken: Instant, end: Option<Instant>) -> Instant {
    let late = taken + STALLED;
    end.map_or(late, |end| end.min(late))
}

/// Says why, waits a moment for the device to have read it, and closes.
async fn close(connection: &Connection, send: &mut SendStream, why: Refusal) {
    if send.finish().is_ok() {
        let _ = timeout(LAST_WORD, send.stopped()).await;
    }
    connection.close(code(why), why.to_string().as_bytes());
}

/// Sends a datagram on to all who watch its track. Queues are small: a watcher whose queue is half full
/// gets the lowest layer only, and one whose queue is full loses this frame.
fn forward(conn: Conn, datagram: Bytes, shared: &Shared) {
    let mono = Millis(shared.started.elapsed().as_millis() as u64);
    let forwarded = held(&shared.sfu).forward(conn, &datagram, mono);
    shared.metrics.media(&forwarded, datagram.len());
    let Ok(Forward { header, to, waiting }) = forwarded else { return };
    let wires = shared.wires.read().unwrap_or_else(PoisonError::into_inner);
    for watcher in to {
        let Some(wire) = wires.get(&watcher) else { continue };
        let space = wire.datagram_send_buffer_space();
        let fits = sfu::fits(space, shared.media_buffer, datagram.len(), header.layer);
        if fits && wire.send_datagram(datagram.clone()).is_ok() {
            continue;
        }
        shared.metrics.count(Count::MediaBehind);
        held(&shared.sfu).lost(watcher, &header);
    }
    if let Some(watcher) = waiting {
        // When the relay is too busy for it, the next frame tries again.
        let _ = shared.events.try_send(Event::Behind(watcher, header.track));
    }
}

/// The QUIC close code of a refusal; the reason says the same in words.
pub(crate) fn code(why: Refusal) -> VarInt {
    VarInt::from_u32(match why {
        Refusal::NameTaken => 1,
        Refusal::RegistrationClosed => 2,
        Refusal::BadSignature => 3,
        Refusal::UnknownAccount => 4,
        Refusal::UnknownDevice => 5,
        Refusal::NoPrekeys => 6,
        Refusal::MailboxFull => 7,
        Refusal::StorageFull => 8,
        Refusal::TooLarge => 9,
        Refusal::NotAllowed => 10,
        Refusal::RateLimited { .. } => 11,
        Refusal::Malformed => 12,
        Refusal::Version { .. } => 13,
        Refusal::Replaced => 14,
        Refusal::Draining => 15,
        Refusal::Internal => 16,
        Refusal::Revoked => 17,
        Refusal::Outdated => 18,
        Refusal::Ended => 19,
        Refusal::InviteNeeded => 20,
    })
}

/// What each code is called where it is counted, from the first on.
pub(crate) const REASONS: [&str; 20] = [
    "name_taken",
    "registration_closed",
    "bad_signature",
    "unknown_account",
    "unknown_device",
    "no_prekeys",
    "mailbox_full",
    "storage_full",
    "too_large",
    "not_allowed",
    "rate_limited",
    "malformed",
    "version",
    "replaced",
    "draining",
    "internal",
    "revoked",
    "outdated",
    "ended",
    "invite_needed",
];

/// Frames out of a stream. Every step can be cut short and taken up again.
struct Reader {
    stream: RecvStream,
    /// Came with the last frame and was not looked at yet: what is left of a packet.
    rest: Bytes,
    /// The beginning of a frame whose rest did not come yet.
    bytes: Vec<u8>,
    /// Longest frame.
    limit: usize,
    /// Bytes of the last frame.
    last: usize,
}

enum End {
    Gone,
    Bad(Refusal),
}

impl Reader {
    fn new(stream: RecvStream) -> Self {
        Self { stream, rest: Bytes::new(), bytes: Vec::new(), limit: LOGIN_MAX, last: 0 }
    }

    /// Bytes of the frame that came last.
    fn taken(&self) -> u64 {
        self.last as u64
    }

    async fn next(&mut self) -> Result<ToRelay, End> {
        loop {
            if let Some(next) = self.ready() {
                return next;
            }
            // No more than one packet, so what is held never passes a frame and a packet.
            match self.stream.read_chunk(FRAME_MAX, true).await {
                Ok(Some(chunk)) => self.rest = chunk.bytes,
                Ok(None) if self.bytes.is_empty() => return Err(End::Gone),
                Ok(None) => return Err(End::Bad(Refusal::Malformed)),
                Err(_) => return Err(End::Gone),
            }
        }
    }

    /// The next frame, if all of it came already.
    fn ready(&mut self) -> Option<Result<ToRelay, End>> {
        loop {
            let begun = !self.bytes.is_empty();
            let here = if begun { self.bytes.as_slice() } else { &self.rest };
            let wanted = match here.first_chunk() {
                None => PREFIX,
                Some(prefix) => match codec::length(*prefix) {
                    Ok(length) if length > self.limit => return Some(Err(End::Bad(Refusal::TooLarge))),
                    Ok(length) => PREFIX + length,
                    Err(error) => return Some(Err(refusal(error))),
                },
            };
            if let Some(frame) = here.get(PREFIX..wanted).filter(|frame| !frame.is_empty()) {
                let frame = codec::decode(frame).map_err(refusal);
                // An idle connection holds no buffer.
                match begun {
                    true => self.bytes = Vec::new(),
                    false => drop(self.rest.split_to(wanted)),
                }
                if self.rest.is_empty() {
                    self.rest = Bytes::new();
                }
                self.last = wanted;
                return Some(frame.inspect(|frame| {
                    self.limit = match frame {
                        // In place of a login: nothing after it is longer than a message that passes.
                        ToRelay::OpenSlot { .. } | ToRelay::JoinSlot { .. } if self.limit == LOGIN_MAX => {
                            LOGIN_MAX + PASS_MAX
                        }
                        ToRelay::OpenSlot { .. } | ToRelay::JoinSlot { .. } | ToRelay::Pass { .. } => {
                            self.limit
                        }
                        _ => FRAME_MAX,
                    }
                }));
            }
            if self.rest.is_empty() {
                return None;
            }
            let more = self.rest.len().min(wanted - self.bytes.len());
            self.bytes.extend_from_slice(&self.rest.split_to(more));
        }
    }
}

fn refusal(error: codec::Error) -> End {
    End::Bad(match error {
        codec::Error::Length(_) => Refusal::TooLarge,
        codec::Error::Version(_) => Refusal::Version { spoken: codec::VERSION },
        codec::Error::Malformed => Refusal::Malformed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_device_takes_a_part_of_the_queue_by_frames_and_by_bytes() {
        for (bytes, frames) in [(0, 256), (PLACE, 256), (PLACE + 1, 128), (FRAME_MAX as u64, 8)] {
            let (events, _inbox) = mpsc::channel(EVENTS);
            let ahead = Arc::new(Semaphore::new(AHEAD));
            let mut waiting = Vec::new();
            while let Some(Some((_, place))) = room(&events, &ahead, bytes).now_or_never() {
                waiting.push(place);
            }
            assert_eq!(waiting.len(), frames, "of {bytes} bytes");
            assert!(waiting.iter().map(Ahead::bytes).sum::<u64>() <= 4 << 20);
            waiting.clear();
            assert!(room(&events, &ahead, u64::MAX).now_or_never().is_some());
        }
    }
}
