//! A running relay: its store, its endpoint, the thread that owns the [`Relay`].

mod open;
mod release;

pub use open::Error;

use self::open::{bind, host, open};
pub(crate) use self::release::Links;
use self::release::Release;
use crate::admin::health::Stage;
use crate::admin::{self, Admin, Again, Core, Front, Work};
use crate::admission::{Admission, Guest};
use crate::blobs::Blobs;
use crate::config::{self, Config};
use crate::connection::{self, Ahead, Shared, Use, code};
use crate::listener::{Seats, endpoint_config, server_config};
use crate::metrics::{Count, Metrics};
use crate::outbox::{self, All, Outbox};
use crate::porch::Porch;
use crate::relay::{Conn, Relay};
use crate::socket::Socket;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use subrosa_shared::id::TrackId;
use subrosa_shared::protocol::frame::{Refusal, ToRelay};
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::store;
use subrosa_shared::time::{Millis, Now};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

/// A relay that runs until it is shut down or dropped. Dropped it stops at once, like after a crash:
/// what it accepted is on disk.
pub struct Server {
    link: RelayLink,
    address: SocketAddr,
    metrics: Arc<Metrics>,
    blobs: Arc<Blobs>,
    front: Arc<Front>,
    /// Where the figures are served.
    http: Option<SocketAddr>,
    end: watch::Receiver<bool>,
    /// In the data folder; taken away before another relay can have the folder.
    door: Option<PathBuf>,
    endpoint: quinn::Endpoint,
    accepting: JoinHandle<()>,
    /// Answers those who watch the relay; ends with it.
    answering: JoinSet<()>,
    core: Option<thread::JoinHandle<()>>,
    stop: Option<oneshot::Sender<Stop>>,
    ended: Option<oneshot::Receiver<store::Error>>,
}

/// Tell the devices, finish the group, and say when that is done.
struct Stop {
    done: oneshot::Sender<()>,
}

/// What comes in for the relay.
pub(crate) enum Event {
    Connected {
        conn: Conn,
        exporter: [u8; 32],
        from: IpAddr,
        outbox: Outbox,
    },
    Frame(Conn, ToRelay, Ahead),
    Malformed(Conn, Refusal),
    Behind(Conn, TrackId),
    Gone(Conn),
    /// Of whoever runs the relay.
    Ask(Work),
}

/// Events that wait for the relay while it writes; connections wait when it is full.
pub(crate) const EVENTS: usize = 1024;

/// Events of one group; a larger one would only delay the first answer.
const GROUP: usize = 1024;

/// Bytes of their frames from which on a group takes no more: what it writes goes to the disk in one piece, and is in
/// memory a few times until then.
const GROUP_BYTES: u64 = 8 << 20;

/// Bytes of its answers from which on it does not either: half of what may wait for a connection, so that one that
/// takes what it is told is never told more at once.
const GROUP_SAYS: u64 = outbox::BYTES as u64 / 2;

/// How long connections may take to end at a shutdown.
const FAREWELL: Duration = Duration::from_secs(3);

impl Server {
    /// Starts a relay; it is ready when this returns.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn start(config: Config) -> Result<Self, Error> {
        Self::start_from(config, None).await
    }

    /// The same with settings that can be read once more while it runs.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn start_from(config: Config, again: Option<Again>) -> Result<Self, Error> {
        if let Some(what) = config.fault() {
            return Err(Error::Config(what));
        }
        // First whoever watches: opening a large store takes a moment, and that can be seen.
        let front = Front::new(config.data.as_deref());
        let mut answering = JoinSet::new();
        let mut http = None;
        if let Some(address) = config.metrics.http {
            let listener = admin::listen(address).await.map_err(|why| Error::Figures { address, why })?;
            http = listener.local_addr().ok();
            answering.spawn(admin::serve_http(listener, front.clone()));
        }
        let (key, mut relay, store) = open(&config)?;
        let mut door = None;
        #[cfg(unix)]
        if let Some(data) = &config.data {
            match admin::Door::make(data) {
                Ok(made) => {
                    door = Some(data.join(admin::SOCKET));
                    answering.spawn(admin::serve_socket(made, front.clone()));
                }
                // It can do without: what the relay is for does not need it.
                Err(error) => tracing::warn!(
                    %error,
                    "there is no socket in the data folder: top, reload, drain and backup do not reach this relay"
                ),
            }
        }
        let link_config = config.link.clone();
        let server_config = server_config(&key, &link_config)?;
        let (metrics, started) = (relay.metrics(), Instant::now());
        let mono = now(started).mono;
        let porch = Porch::new(key.tokens(), server_config.crypto.clone(), &link_config, mono);
        let admission = Admission::new(&link_config, mono);
        let (socket, listen) = bind(config.listen)?;
        let runtime = quinn::default_runtime().ok_or_else(|| std::io::Error::other("no async runtime"))?;
        let seats = Seats::new(&link_config);
        #[cfg(unix)]
        let inner = crate::udp::Udp::new(socket)?;
        #[cfg(not(unix))]
        let inner = runtime.wrap_udp_socket(socket)?;
        let socket = Socket::new(inner, seats.open(), porch, metrics.clone(), started);
        let config_of_key = endpoint_config(&key);
        let endpoint =
            quinn::Endpoint::new_with_abstract_socket(config_of_key, Some(server_config), socket, runtime)?;
        let address = endpoint.local_addr().unwrap_or(listen);
        let link = RelayLink {
            host: config.host.clone().unwrap_or_else(|| host(address)),
            port: address.port(),
            fingerprint: key.fingerprint(),
            invite: None,
        };
        if let Some(data) = &config.data {
            match keep_link(data, &link) {
                // A relay on a full disk starts all the same, and says its link then.
                Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                    tracing::warn!("the disk is full: the link is not kept in the data folder");
                }
                kept => kept.map_err(|why| Error::Folder { path: data.join(LINK_FILE), why })?,
            }
        }
        let (events, inbox) = mpsc::channel(EVENTS);
        let blobs = relay.blobs();
        let (asked, asked_to_end) = watch::channel(false);
        front.opens(Arc::new(Admin {
            events: events.clone(),
            metrics: metrics.clone(),
            blobs: blobs.clone(),
            sfu: relay.sfu(),
            store: store.as_ref().map(Arc::downgrade),
            data: config.data.clone(),
            started,
            again,
            end: asked,
        }));
        drop(store);
        let shared = Arc::new(Shared {
            events,
            sfu: relay.sfu(),
            metrics: metrics.clone(),
            blobs: blobs.clone(),
            started,
            login: Duration::from_secs(link_config.login_seconds.into()),
            media_buffer: link_config.media_buffer as usize,
            waiting: All::default(),
            wires: RwLock::default(),
        });
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let clock = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let core = thread::Builder::new().name("relay".into()).spawn(move || {
            if let Err(error) = clock.block_on(keep(&mut relay, inbox, stopped, started)) {
                // Nobody waits for it when the server was dropped meanwhile.
                let _ = end.send(error);
            }
        })?;
        let accepting = tokio::spawn(accept(endpoint.clone(), shared, seats, admission));
        Ok(Self {
            link,
            address,
            metrics,
            blobs,
            front,
            http,
            end: asked_to_end,
            door,
            endpoint,
            accepting,
            answering,
            core: Some(core),
            stop: Some(stop),
            ended: Some(ended),
        })
    }

    /// The link to hand out.
    pub fn link(&self) -> &RelayLink {
        &self.link
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What was counted so far.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Where the figures are served, if they are.
    pub fn figures_address(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Waits until somebody asks the relay, through its socket, to end.
    pub fn asked_to_end(&self) -> impl Future<Output = ()> + use<> {
        let mut end = self.end.clone();
        async move {
            if end.wait_for(|end| *end).await.is_err() {
                std::future::pending().await
            }
        }
    }

    /// Reads the settings once more and takes over what may change while it runs; says what did.
    ///
    /// # Errors
    /// A sentence; then nothing has changed.
    pub async fn reload(&self) -> Result<String, String> {
        match self.front.admin() {
            Some(admin) => admin.reload().await,
            None => Err("the relay does not run yet".into()),
        }
    }

    /// The files that it keeps.
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Waits until the relay cannot go on by itself; says why.
    pub async fn failed(&mut self) -> store::Error {
        match &mut self.ended {
            Some(ended) => match ended.await {
                Ok(error) => error,
                Err(_) => std::io::Error::other("the relay's thread ended").into(),
            },
            None => std::future::pending().await,
        }
    }

    /// Tells all devices, finishes what was begun, and ends, within five seconds.
    pub async fn shutdown(mut self) {
        self.front.health.reach(Stage::Draining);
        tracing::info!("draining: nothing new is taken, and everyone is told when to come back");
        self.endpoint.set_server_config(None);
        let (done, finished) = oneshot::channel();
        if self.stop.take().is_some_and(|stop| stop.send(Stop { done }).is_ok()) {
            let _ = timeout(FAREWELL, finished).await;
        }
        self.endpoint.close(code(Refusal::Draining), b"draining");
        let _ = timeout(Duration::from_secs(1), self.endpoint.wait_idle()).await;
        self.answering.shutdown().await;
        tracing::info!(metrics = %self.metrics, "stopped");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.endpoint.close(code(Refusal::Draining), b"the relay stopped");
        self.accepting.abort();
        if let Some(socket) = self.door.take() {
            // What is left is taken away at the next start.
            let _ = std::fs::remove_file(socket);
        }
        drop(self.stop.take());
        // The thread waits for nothing but its own disk, and gives the folder free.
        if let Some(core) = self.core.take() {
            let _ = core.join();
        }
        // Connections end a moment later; they must not hold the store open.
        self.blobs.close();
    }
}

/// The link that a relay wrote into its data folder when it started.
///
/// # Errors
/// Those of the file.
pub fn stored_link(data: &Path) -> std::io::Result<String> {
    Ok(std::fs::read_to_string(data.join(LINK_FILE))?.trim().to_string())
}

/// Keeps the link there, complete or as it was; nothing is written where it has not changed.
fn keep_link(data: &Path, link: &RelayLink) -> std::io::Result<()> {
    let (path, line) = (data.join(LINK_FILE), format!("{link}\n"));
    if std::fs::read(&path).is_ok_and(|kept| kept == line.as_bytes()) {
        return Ok(());
    }
    let aside = path.with_extension("new");
    let mut file = File::create(&aside)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&aside, &path)
}

const LINK_FILE: &str = "link";

/// Lets connections in, one task each; they end with this one.
async fn accept(endpoint: quinn::Endpoint, shared: Arc<Shared>, seats: Arc<Seats>, mut admission: Admission) {
    let mut tasks = JoinSet::new();
    let mut next = 0;
    loop {
        tokio::select! {
            biased;
            // 1. Forget connections that ended, so that the set stays as small as what is connected.
            Some(ended) = tasks.join_next() => {
                if let Ok(Some(for_nothing)) = ended {
                    admission.came_to_nothing(for_nothing, now(shared.started).mono);
                }
            }
            // 2. Somebody new.
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else { break };
                if !incoming.remote_address_validated() {
                    // A token that was shown before: it counts once.
                    shared.metrics.count(Count::Retries);
                    let _ = incoming.retry();
                    continue;
                }
                // What answers a retry may not be asked to once more.
                let guest = if incoming.may_retry() { Guest::Known } else { Guest::New };
                let mono = now(shared.started).mono;
                if admission.take(guest, incoming.remote_address().ip(), mono).is_err() {
                    shared.metrics.count(Count::HeldBack);
                    incoming.ignore();
                    continue;
                }
                let Some(seat) = seats.take(incoming.remote_address()) else {
                    shared.metrics.count(Count::TurnedAway);
                    incoming.refuse();
                    continue;
                };
                next += 1;
                let (incoming, conn, shared) = (Box::new(incoming), Conn(next), shared.clone());
                tasks.spawn(async move {
                    let from = incoming.remote_address().ip();
                    let came_to_nothing = connection::run(incoming, conn, shared).await == Use::None;
                    drop(seat);
                    came_to_nothing.then_some(from)
                });
            }
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// The relay's own thread: takes all that has come, writes it at once, and says what follows when it is on disk.
async fn keep(
    relay: &mut Relay,
    mut inbox: mpsc::Receiver<Event>,
    mut stop: oneshot::Receiver<Stop>,
    started: Instant,
) -> Result<(), store::Error> {
    let mut release = Release::start(relay.kv())?;
    loop {
        if relay.searches(now(started)) {
            send(relay, &mut release, true)?;
        }
        let due = relay.tick(now(started));
        send(relay, &mut release, !inbox.is_empty())?;
        let wait = due.since(now(started).mono);
        let first = tokio::select! {
            biased;
            // 1. The end, by a farewell or by being dropped.
            stop = &mut stop => return match stop {
                Ok(Stop { done }) => farewell(relay, &mut release, &mut inbox, done, started).await,
                Err(_) => Ok(()),
            },
            // 2. What was said meanwhile.
            slow = release.said(), if release.is_behind() => {
                let_go(relay, slow?);
                continue;
            }
            // 3. What came in.
            event = inbox.recv() => match event {
                Some(event) => event,
                None => return Ok(()),
            },
            // 4. What is due.
            () = tokio::time::sleep(wait) => continue,
        };
        group(relay, &mut release, first, &mut inbox, GROUP, started)?;
    }
}

impl Event {
    /// Bytes of its frame as it came.
    fn bytes(&self) -> u64 {
        match self {
            Self::Frame(_, _, place) => place.bytes(),
            _ => 0,
        }
    }
}

/// Takes an event, and of what waits behind it as much as one group has room for, `most` in all; how many it took.
fn group(
    relay: &mut Relay,
    release: &mut Release,
    first: Event,
    inbox: &mut mpsc::Receiver<Event>,
    most: usize,
    started: Instant,
) -> Result<usize, store::Error> {
    let mut bytes = first.bytes();
    take(relay, release, first, now(started))?;
    let mut taken = 1;
    while taken < most.min(GROUP) {
        if bytes >= GROUP_BYTES || relay.said() >= GROUP_SAYS || relay.removes() {
            break;
        }
        let Ok(event) = inbox.try_recv() else { break };
        bytes += event.bytes();
        take(relay, release, event, now(started))?;
        taken += 1;
    }
    Ok(taken)
}

fn take(relay: &mut Relay, release: &mut Release, event: Event, now: Now) -> Result<(), store::Error> {
    match event {
        Event::Connected { conn, exporter, from, outbox } => {
            release.links().insert(conn, outbox);
            relay.connected(conn, exporter, from, now);
        }
        Event::Frame(conn, frame, place) => {
            drop(place);
            relay.frame(conn, frame, now);
        }
        Event::Malformed(conn, why) => relay.malformed(conn, why),
        Event::Behind(conn, track) => relay.behind(conn, track, now),
        Event::Gone(conn) => {
            release.links().remove(&conn);
            relay.gone(conn);
        }
        Event::Ask(work) => {
            send(relay, release, false)?;
            work(&mut Core { relay, links: &release.links() });
        }
    }
    Ok(())
}

/// Writes, and says what follows from it.
fn send(relay: &mut Relay, release: &mut Release, more: bool) -> Result<(), store::Error> {
    loop {
        let outs = relay.append()?;
        let slow = release.say(outs, more)?;
        if slow.is_empty() {
            return Ok(());
        }
        let_go(relay, slow);
    }
}

/// Connections that do not take what they are told.
fn let_go(relay: &mut Relay, slow: Vec<Conn>) {
    for conn in slow {
        relay.metrics().count(Count::Slow);
        relay.gone(conn);
    }
}

/// The last words, and time for them to arrive.
async fn farewell(
    relay: &mut Relay,
    release: &mut Release,
    inbox: &mut mpsc::Receiver<Event>,
    done: oneshot::Sender<()>,
    started: Instant,
) -> Result<(), store::Error> {
    // No more than was there when it began: connections go on asking.
    let mut left = inbox.len();
    while left > 0
        && let Ok(first) = inbox.try_recv()
    {
        left -= group(relay, release, first, inbox, left, started)?;
        send(relay, release, left > 0)?;
    }
    relay.drain();
    send(relay, release, false)?;
    while release.is_behind() {
        let_go(relay, release.said().await?);
        send(relay, release, false)?;
    }
    let mut open: Vec<Conn> = release.links().keys().copied().collect();
    for (_, link) in release.links().drain() {
        relay.metrics().close(Refusal::Draining);
        link.put(Vec::new(), Some(Refusal::Draining));
    }
    let leaving = async {
        while !open.is_empty() {
            match inbox.recv().await {
                Some(Event::Gone(conn)) => open.retain(|other| *other != conn),
                Some(_) => {}
                None => return,
            }
        }
    };
    let _ = timeout(FAREWELL, leaving).await;
    let _ = done.send(());
    Ok(())
}

/// The wall clock.
pub fn wall() -> Millis {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(wall.as_millis() as u64)
}

pub(crate) fn now(started: Instant) -> Now {
    Now { wall: wall(), mono: Millis(started.elapsed().as_millis() as u64) }
}

/// The configuration in a file, or the defaults.
///
/// # Errors
/// [`config::Error`].
pub fn config_from(path: Option<&Path>) -> Result<Config, config::Error> {
    path.map_or_else(|| Ok(Config::default()), Config::read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blobs::{self, Place};
    use crate::mailbox::{self, Mailbox as _, Quota};
    use crate::passwords::Setup;
    use ed25519_dalek::SigningKey;
    use rand_core::OsRng;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use subrosa_shared::id::{AccountName, DeviceId, EnvelopeId};
    use subrosa_shared::protocol::auth::{Cert, Login};
    use subrosa_shared::protocol::envelope::{Head, Keep, Outgoing};
    use subrosa_shared::store::memory::{Memory, Rule, Ruled};
    use subrosa_shared::store::{Kv as _, Write};

    #[tokio::test]
    async fn who_is_connected_at_the_end_is_counted_under_its_reason() {
        let mut relay = Relay::in_memory(Config::default(), [9; 32], Box::new(OsRng));
        let mut release = Release::start(relay.kv()).expect("a thread");
        let (outbox, _inbox) = outbox::outbox(&All::default());
        release.links().insert(Conn(1), outbox);
        let (events, mut inbox) = mpsc::channel(1);
        drop(events);
        let (done, finished) = oneshot::channel();
        farewell(&mut relay, &mut release, &mut inbox, done, Instant::now()).await.expect("memory");
        finished.await.expect("it says so");
        assert!(relay.metrics().closings().any(|closed| closed == ("draining", 1)));
    }

    /// A disk that syncs once and then breaks.
    #[derive(Default)]
    struct Once(AtomicBool);

    impl Rule for Once {
        fn sync(&self) -> Result<(), store::Error> {
            match self.0.swap(true, Ordering::Relaxed) {
                false => Ok(()),
                true => Err(std::io::Error::other("broke").into()),
            }
        }
    }

    #[tokio::test]
    async fn what_waits_at_the_end_is_written_and_said_in_groups() {
        let mut relay = Relay::in_memory(Config::default(), [9; 32], Box::new(OsRng));
        let mut release = Release::start(Arc::new(Ruled::<Once>::default())).expect("a thread");
        let (events, mut inbox) = mpsc::channel(2 * GROUP);
        let comes = |event| assert!(events.try_send(event).is_ok(), "there is room");
        // A group each.
        let [mut first, mut second] = [Conn(1), Conn(2)].map(|conn| {
            let (outbox, end) = outbox::outbox(&All::default());
            comes(Event::Connected { conn, exporter: [0; 32], from: IpAddr::from([127, 0, 0, 1]), outbox });
            comes(Event::Malformed(conn, Refusal::NotAllowed));
            (2..GROUP).for_each(|_| comes(Event::Gone(Conn(3))));
            end
        });
        let (done, _) = oneshot::channel();
        assert!(farewell(&mut relay, &mut release, &mut inbox, done, Instant::now()).await.is_err());
        assert!(first.ready().is_some() && second.ready().is_none());
    }

    /// Asks for the same once more when it is done, so many times.
    fn again(events: mpsc::Sender<Event>, done: Arc<AtomicUsize>, times: usize) -> Event {
        Event::Ask(Box::new(move |_| {
            done.fetch_add(1, Ordering::Relaxed);
            if times > 1 {
                let next = again(events.clone(), done, times - 1);
                assert!(events.try_send(next).is_ok(), "there is room");
            }
        }))
    }

    #[tokio::test]
    async fn the_end_is_put_off_by_nothing_that_comes_after_it_began() {
        let mut relay = Relay::in_memory(Config::default(), [9; 32], Box::new(OsRng));
        let mut release = Release::start(relay.kv()).expect("a thread");
        let (events, mut inbox) = mpsc::channel(1);
        let done = Arc::new(AtomicUsize::new(0));
        assert!(events.try_send(again(events.clone(), done.clone(), 3)).is_ok(), "there is room");
        let (ends, _) = oneshot::channel();
        farewell(&mut relay, &mut release, &mut inbox, ends, Instant::now()).await.expect("memory");
        assert_eq!(done.load(Ordering::Relaxed), 1);
    }

    /// A disk that takes only what removes, once it is full.
    #[derive(Default)]
    struct Brim(AtomicBool);

    impl Rule for Brim {
        fn commit(&self, records: &Memory, writes: &[Write]) -> Result<(), store::Error> {
            let no_room = self.0.load(Ordering::Relaxed) && !store::removes(writes);
            if no_room { Err(store::Error::Full) } else { records.commit(writes) }
        }
    }

    #[tokio::test]
    async fn what_a_full_disk_refuses_does_not_keep_old_envelopes_from_being_dropped() {
        let (config, disk) = (Config::default(), Arc::new(Ruled::<Brim>::default()));
        let envelope = |id, to| Outgoing {
            id: EnvelopeId([id; 16]),
            keep: Keep::Stored,
            to: vec![Head { to, bytes: vec![id] }],
            body: vec![7; 99],
            moves: None,
        };
        let (name, away) = (AccountName::parse("ada").expect("valid"), DeviceId([2; 16]));
        let mut mailbox = mailbox::Sled::new(disk.clone(), Quota::from(&config.limits));
        mailbox.put(DeviceId([3; 16]), &name, &envelope(1, away), Millis(0)).expect("there is room");
        mailbox.append().expect("there is room");
        let (setup, files) = (Setup::generate(&mut OsRng), Place::Memory(blobs::Memory::default()));
        let relay = Relay::over(config, [9; 32], setup, disk.clone(), files, Box::new(OsRng));
        let (mut relay, started) = (relay.expect("it reads"), Instant::now());
        relay.connected(Conn(1), [0; 32], IpAddr::from([127, 0, 0, 1]), now(started));
        let key = SigningKey::from_bytes(&[1; 32]);
        let login = Login::sign(name, true, Cert::sign(&key, &[1; 32]), &key, &[9; 32], &[0; 32]);
        relay.frame(Conn(1), ToRelay::Authenticate(login), now(started));
        relay.commit().expect("there is room");
        disk.rule.0.store(true, Ordering::Relaxed);
        let own = DeviceId::of(&key.verifying_key().to_bytes());
        let (events, inbox) = mpsc::channel(1);
        let sends = Event::Ask(Box::new(move |core: &mut Core<'_>| {
            core.relay.frame(Conn(1), ToRelay::Send(envelope(2, own)), now(started));
        }));
        assert!(events.try_send(sends).is_ok(), "there is room");
        drop(events);
        let (_stop, stopped) = oneshot::channel();
        keep(&mut relay, inbox, stopped, started).await.expect("memory");
        assert!(relay.metrics().refusals().any(|refused| refused == ("storage_full", 1)));
        assert_eq!(relay.mailbox().status(away).expect("memory").count, 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_link_that_has_not_changed_is_not_written_and_one_that_does_not_fit_leaves_the_last() {
        let dir = tempfile::tempdir().expect("a folder");
        let link = |port| RelayLink { host: "relay".into(), port, fingerprint: [9; 32], invite: None };
        keep_link(dir.path(), &link(1)).expect("written");
        std::os::unix::fs::symlink("/dev/full", dir.path().join("link.new")).expect("made");
        keep_link(dir.path(), &link(1)).expect("it is there");
        let why = keep_link(dir.path(), &link(2)).expect_err("no room");
        assert_eq!(why.kind(), ErrorKind::StorageFull);
        assert_eq!(stored_link(dir.path()).expect("reads"), link(1).to_string());
    }
}
