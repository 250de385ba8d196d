//! One task that keeps a connection to the relay: connects, reads, writes, connects again.
//!
//! This is the only layer that retries connecting. Frames go out in the order in which they come;
//! while there is no connection, and after a new one until its login, they are dropped: the outbox
//! sends again at login.

use super::tls;
use crate::event::LinkEvent;
use bytes::Bytes;
use quinn::{Connection, ConnectionError, Endpoint, TokenMemoryCache, TokenStore};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use subrosa_shared::protocol::auth::EXPORTER_LABEL;
use subrosa_shared::protocol::codec;
use subrosa_shared::protocol::frame::{ToDevice, ToRelay};
use subrosa_shared::protocol::link::RelayLink;
use tokio::sync::mpsc;

/// A handshake takes a few packets; a path that needs longer than this is down, or so thin that the next try
/// gets [`SLOWER`] times as long: 10 kbit/s need ten seconds.
const CONNECT: Duration = Duration::from_secs(8);
/// See [`CONNECT`].
const SLOWER: u32 = 2;
/// First wait between two tries; doubles up to [`WAIT_MAX`].
const WAIT: Duration = Duration::from_millis(500);
/// See [`WAIT`].
const WAIT_MAX: Duration = Duration::from_secs(20);

/// How long the last frames may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long the relay may take to hear that a connection is closed.
const GOODBYE: Duration = Duration::from_millis(200);

/// What the task is told.
enum Order {
    Frame(ToRelay),
    Reconnect,
    /// Write what came before, and end.
    Close,
}

/// Where received datagrams go; called from the network task, must not block.
pub type OnDatagram = Arc<dyn Fn(Bytes) + Send + Sync>;

/// The task's handle; the task ends when it is dropped.
pub struct Link {
    orders: mpsc::UnboundedSender<Order>,
    current: Current,
    task: tokio::task::JoinHandle<()>,
}

/// The connection of this moment, if there is one that is logged in; cheap to clone.
#[derive(Clone, Default)]
pub struct Current(Arc<Mutex<Option<Connection>>>);

impl Current {
    /// It.
    pub fn get(&self) -> Option<Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, connection: Option<Connection>) -> Option<Connection> {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), connection)
    }
}

/// Hands datagrams to whatever connection there is; cheap to clone.
#[derive(Clone)]
pub struct Datagrams(Current);

impl Link {
    /// Starts connecting. Events are sent in order; when their receiver is full the connection is
    /// read no further.
    pub fn start(relay: RelayLink, events: mpsc::Sender<LinkEvent>, on_datagram: OnDatagram) -> Self {
        // Bounded by what fills it: at most a window of envelopes, one question a conversation, and
        // acknowledgements of what the relay delivered in its own window.
        let (orders, inbox) = mpsc::unbounded_channel();
        let current = Current::default();
        let task = tokio::spawn(run(relay, events, inbox, on_datagram, current.clone()));
        Self { orders, current, task }
    }

    /// Sends a frame on the connection of this moment.
    pub fn send(&self, frame: ToRelay) {
        let _ = self.orders.send(Order::Frame(frame));
    }

    /// Closes the connection, if there is one, and connects again at once.
    pub fn reconnect(&self) {
        let _ = self.orders.send(Order::Reconnect);
    }

    /// Ends the connection after what was to be sent, so that the relay knows at once; waits for that
    /// a moment at most.
    pub async fn close(mut self) {
        let _ = self.orders.send(Order::Close);
        let _ = tokio::time::timeout(FAREWELL, &mut self.task).await;
    }

    /// A way to send datagrams from other threads.
    pub fn datagrams(&self) -> Datagrams {
        Datagrams(self.current.clone())
    }

    /// The connection of each moment, for files.
    pub fn current(&self) -> Current {
        self.current.clone()
    }

    /// A way to send frames from other threads.
    pub fn frames(&self) -> Frames {
        Frames(self.orders.clone())
    }
}

/// Hands frames to the task; cheap to clone.
#[derive(Clone)]
pub struct Frames(mpsc::UnboundedSender<Order>);

impl Frames {
    /// See [`Link::send`].
    pub fn send(&self, frame: ToRelay) {
        let _ = self.0.send(Order::Frame(frame));
    }

    /// See [`Link::reconnect`].
    pub fn reconnect(&self) {
        let _ = self.0.send(Order::Reconnect);
    }

    /// Without a connection, and what was sent, one by one.
    #[cfg(test)]
    pub fn to_nowhere() -> (Self, impl FnMut() -> Option<ToRelay>) {
        let (orders, mut inbox) = mpsc::unbounded_channel();
        let next = move || match inbox.try_recv() {
            Ok(Order::Frame(frame)) => Some(frame),
            _ => None,
        };
        (Self(orders), next)
    }
}

impl Datagrams {
    /// Sends one; drops the oldest that waits when too many do. Without a connection it is lost,
    /// as datagrams may be.
    pub fn send(&self, bytes: Vec<u8>) {
        if let Some(connection) = self.0.get() {
            let _ = connection.send_datagram(bytes.into());
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(connection) = self.current.set(None) {
            connection.close(0u32.into(), b"bye");
        }
        self.task.abort();
    }
}

/// How a connection ended, or why there was none.
enum End {
    /// Try again by itself.
    Lost(String),
    /// Wait for the person.
    Refused(String),
    /// The person asked for another one now.
    Again,
    /// The relay has said why it will not have this client; wait for the person, who knows already.
    TurnedAway,
    /// The client is leaving.
    Over,
}

async fn run(
    relay: RelayLink,
    events: mpsc::Sender<LinkEvent>,
    mut orders: mpsc::UnboundedReceiver<Order>,
    on_datagram: OnDatagram,
    current: Current,
) {
    let mut wait = WAIT;
    // The relay gives these out so that who comes back need not prove its address once more.
    let tokens: Arc<dyn TokenStore> = Arc::new(TokenMemoryCache::default());
    let mut slower = 1;
    loop {
        let end = match connect(&relay, tokens.clone(), slower).await {
            Ok((endpoint, connection)) => {
                slower = 1;
                let shared = (&on_datagram, &current);
                let end = talk(&relay, &connection, &events, &mut orders, shared, &mut wait).await;
                current.set(None);
                connection.close(0u32.into(), b"bye");
                if matches!(end, End::Over) {
                    let _ = tokio::time::timeout(GOODBYE, endpoint.wait_idle()).await;
                }
                // Otherwise the endpoint's own task says goodbye; a dead path must not hold us up.
                end
            }
            Err(end) => {
                slower = SLOWER;
                end
            }
        };
        let pause = match end {
            End::Over => return,
            End::Again => {
                let why = "connecting again".into();
                if events.send(LinkEvent::Lost { why }).await.is_err() {
                    return;
                }
                continue;
            }
            End::Lost(why) => {
                if events.send(LinkEvent::Lost { why }).await.is_err() {
                    return;
                }
                Some(wait)
            }
            End::TurnedAway => None,
            End::Refused(why) => {
                if events.send(LinkEvent::Refused { why }).await.is_err() {
                    return;
                }
                None
            }
        };
        wait = (wait * 2).min(WAIT_MAX);
        let pause = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(pause);
        loop {
            // Orders first, so that a wish to reconnect does not wait behind the clock.
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order::Reconnect) => { wait = WAIT; break }
                    Some(Order::Frame(_)) => {}
                    Some(Order::Close) | None => return,
                },
                () = &mut pause => break,
            }
        }
    }
}

/// A connection of its own, tried once.
///
/// # Errors
/// A sentence with the next step.
pub(super) async fn dial(relay: &RelayLink) -> Result<(Endpoint, Connection), String> {
    connect(relay, Arc::new(quinn::NoneTokenStore), SLOWER).await.map_err(|end| match end {
        End::Lost(why) | End::Refused(why) => why,
        End::Again | End::TurnedAway | End::Over => "the connection could not be made; try again".into(),
    })
}

async fn connect(
    relay: &RelayLink,
    tokens: Arc<dyn TokenStore>,
    slower: u32,
) -> Result<(Endpoint, Connection), End> {
    let place = format!("{}:{}", relay.host, relay.port);
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((relay.host.as_str(), relay.port))
        .await
        .map_err(|error| {
            End::Lost(format!(
                "the relay's name {} could not be looked up ({error}); check the network",
                relay.host
            ))
        })?
        .collect();
    let (mut config, mismatch) = tls::patient(relay.fingerprint, slower)
        .map_err(|error| End::Refused(format!("TLS is not available: {error}")))?;
    config.token_store(tokens);
    let mut last = format!("the relay's name {} has no address", relay.host);
    for address in addresses {
        let local: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let mut endpoint = match Endpoint::client(local) {
            Ok(endpoint) => endpoint,
            Err(error) => {
                last = format!("no UDP socket: {error}");
                continue;
            }
        };
        endpoint.set_default_client_config(config.clone());
        let connecting = match endpoint.connect(address, "subrosa") {
            Ok(connecting) => connecting,
            Err(error) => {
                last = error.to_string();
                continue;
            }
        };
        match tokio::time::timeout(CONNECT * slower, connecting).await {
            Ok(Ok(connection)) => return Ok((endpoint, connection)),
            Ok(Err(_)) if mismatch.seen() => {
                return Err(End::Refused(format!(
                    "the relay at {place} shows another key than your link: ask its owner for the right one. Either this link is \
                     wrong, or somebody is in between; with a link of another key begin a new profile (subrosa --profile NEW)"
                )));
            }
            Ok(Err(ConnectionError::VersionMismatch)) => {
                return Err(End::Refused(format!(
                    "{place} speaks another version of QUIC: update subrosa, or ask its owner to"
                )));
            }
            // TLS alert 120, no_application_protocol (RFC 7301): QUIC, but not our protocol.
            Ok(Err(ConnectionError::ConnectionClosed(close))) if u64::from(close.error_code) == 0x178 => {
                return Err(End::Refused(format!(
                    "the relay at {place} speaks another version of subrosa: update, or ask its owner to"
                )));
            }
            Ok(Err(error)) => last = format!("the relay at {place} could not be reached: {error}"),
            Err(_) => {
                last = format!(
                    "no answer from {place} over UDP: is the relay running, does a firewall drop UDP? \
                     If it has moved, start with its link of now: subrosa --relay LINK"
                )
            }
        }
    }
    Err(End::Lost(last))
}

/// One connection from its first to its last byte.
async fn talk(
    relay: &RelayLink,
    connection: &Connection,
    events: &mpsc::Sender<LinkEvent>,
    orders: &mut mpsc::UnboundedReceiver<Order>,
    (on_datagram, current): (&OnDatagram, &Current),
    wait: &mut Duration,
) -> End {
    let mut exporter = [0; 32];
    if connection.export_keying_material(&mut exporter, EXPORTER_LABEL, &[]).is_err() {
        return End::Lost("TLS gave no login value".into());
    }
    let Ok((mut send, mut receive)) = connection.open_bi().await else {
        return End::Lost(closed(connection));
    };
    if events.send(LinkEvent::Connected { exporter }).await.is_err() {
        return End::Over;
    }
    let writing = async {
        let mut logged_in = false;
        while let Some(order) = orders.recv().await {
            let frame = match order {
                Order::Frame(frame) => frame,
                Order::Reconnect => return End::Again,
                Order::Close => {
                    if send.finish().is_ok() {
                        // Until the relay has all of it.
                        let _ = send.stopped().await;
                    }
                    return End::Over;
                }
            };
            // What was meant for an earlier connection must not come before this one's login, and its
            // login, which a slow disk held up, must not come at all.
            if let ToRelay::Authenticate(login) | ToRelay::Enter(login, _) = &frame {
                let ours = login.verify(&relay.fingerprint, &exporter).is_ok();
                if !ours || logged_in {
                    continue;
                }
                logged_in = true;
            }
            if logged_in {
                let Ok(bytes) = codec::encode(&frame) else { continue };
                if send.write_all(&bytes).await.is_err() {
                    return End::Lost(closed(connection));
                }
            }
        }
        End::Over
    };
    let reading = async {
        loop {
            match read(&mut receive).await {
                Ok(frame) => {
                    match &frame {
                        // Only a login shows that this relay is worth trying again at once.
                        ToDevice::Welcome(_) => {
                            *wait = WAIT;
                            // Before that the relay allows nothing.
                            current.set(Some(connection.clone()));
                        }
                        // It ends, and spreads those who come back.
                        ToDevice::Draining { retry_ms } => {
                            *wait = Duration::from_millis((*retry_ms).into()).clamp(WAIT, WAIT_MAX);
                        }
                        ToDevice::Refused { ask: None, why } if why.lasts() => {
                            return match events.send(LinkEvent::Frame(frame)).await {
                                Ok(()) => End::TurnedAway,
                                Err(_) => End::Over,
                            };
                        }
                        _ => {}
                    }
                    if events.send(LinkEvent::Frame(frame)).await.is_err() {
                        return End::Over;
                    }
                }
                Err(Some(error)) => {
                    return End::Lost(format!("the relay sent something that is no frame ({error})"));
                }
                Err(None) => return End::Lost(closed(connection)),
            }
        }
    };
    let watching = async {
        loop {
            match connection.read_datagram().await {
                Ok(bytes) => on_datagram(bytes),
                Err(_) => return End::Lost(closed(connection)),
            }
        }
    };
    tokio::select! {
        biased;
        // A refusal of the relay is read before its close is noticed.
        end = reading => end,
        end = writing => end,
        end = watching => end,
    }
}

pub(super) async fn read(receive: &mut quinn::RecvStream) -> Result<ToDevice, Option<codec::Error>> {
    let mut prefix = [0; codec::PREFIX];
    receive.read_exact(&mut prefix).await.map_err(|_| None)?;
    let length = codec::length(prefix).map_err(Some)?;
    let mut bytes = vec![0; length];
    receive.read_exact(&mut bytes).await.map_err(|_| None)?;
    codec::decode(&bytes).map_err(Some)
}

fn closed(connection: &Connection) -> String {
    match connection.close_reason() {
        Some(ConnectionError::TimedOut) => {
            "the relay has not answered for 30 s; the network may be down".into()
        }
        Some(ConnectionError::ApplicationClosed(close)) => {
            let reason: String = String::from_utf8_lossy(&close.reason)
                .chars()
                .filter(|c| !c.is_control())
                .take(200)
                .collect();
            format!("the relay closed the connection: {reason}")
        }
        Some(ConnectionError::Reset) => "the relay was restarted".into(),
        Some(error) => format!("the connection to the relay broke: {error}"),
        None => "the connection to the relay ended".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::OsRng;
    use subrosa_relay::server::Server;
    use subrosa_shared::id::AccountName;
    use subrosa_shared::session::Identity;

    async fn next(events: &mut mpsc::Receiver<LinkEvent>) -> LinkEvent {
        tokio::time::timeout(Duration::from_secs(20), events.recv()).await.expect("in time").expect("runs")
    }

    async fn connected(events: &mut mpsc::Receiver<LinkEvent>) -> [u8; 32] {
        match next(events).await {
            LinkEvent::Connected { exporter } => exporter,
            other => panic!("{other:?}"),
        }
    }

    async fn welcomed(events: &mut mpsc::Receiver<LinkEvent>) {
        let welcome = next(events).await;
        assert!(matches!(welcome, LinkEvent::Frame(ToDevice::Welcome(_))), "{welcome:?}");
    }

    #[tokio::test]
    async fn two_connections_of_one_device_do_not_fight_and_a_late_login_does_no_harm() {
        let config = subrosa_relay::config::Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            data: None,
            ..subrosa_relay::config::Config::default()
        };
        let server = Server::start(config).await.expect("starts");
        let identity = Identity::generate(&mut OsRng);
        let name = AccountName::parse("ada").expect("valid");
        let fingerprint = server.link().fingerprint;
        let login =
            |exporter| ToRelay::Authenticate(identity.login(name.clone(), true, &fingerprint, &exporter));
        let start = || {
            let (out, events) = mpsc::channel(16);
            (Link::start(server.link().clone(), out, Arc::new(|_| ())), events)
        };
        let (first, mut heard) = start();
        let exporter = connected(&mut heard).await;
        first.send(login([7; 32]));
        assert!(first.current().get().is_none(), "files and pictures wait for the login");
        first.send(login(exporter));
        welcomed(&mut heard).await;
        assert!(first.current().get().is_some());
        let (second, mut also) = start();
        second.send(login(connected(&mut also).await));
        welcomed(&mut also).await;
        let mut replaced = next(&mut heard).await;
        while !matches!(
            replaced,
            LinkEvent::Frame(ToDevice::Refused {
                ask: None,
                why: subrosa_shared::protocol::frame::Refusal::Replaced
            })
        ) {
            assert!(matches!(replaced, LinkEvent::Frame(_)), "{replaced:?}");
            replaced = next(&mut heard).await;
        }
        first.reconnect();
        // Nothing was tried in between, or it would be heard here first.
        first.send(login(connected(&mut heard).await));
        welcomed(&mut heard).await;
        first.close().await;
        second.close().await;
        server.shutdown().await;
    }
}
