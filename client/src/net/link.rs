//! One task that keeps a connection to the relay: connects, reads, writes, connects again.
//!
//! This is the only layer that retries connecting. Frames go out in the order in which they come;
//! while there is no connection, and after a new one until its login, they are dropped: the outbox
//! sends again at login.

use super::tls;
use crate::event::LinkEvent;
use bytes::Bytes;
use quinn::{Connection, ConnectionError, Endpoint};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use subrosa_shared::protocol::auth::EXPORTER_LABEL;
use subrosa_shared::protocol::codec;
use subrosa_shared::protocol::frame::{ToDevice, ToRelay};
use subrosa_shared::protocol::link::RelayLink;
use tokio::sync::{mpsc, oneshot};

/// A handshake takes three packets; a path that needs longer than this is down.
const CONNECT: Duration = Duration::from_secs(8);
/// First wait between two tries; doubles up to [`WAIT_MAX`].
const WAIT: Duration = Duration::from_millis(500);
/// See [`WAIT`].
const WAIT_MAX: Duration = Duration::from_secs(20);

/// How long leaving waits for the relay.
const LEAVE: Duration = Duration::from_millis(1500);

/// What the task is told.
enum Order {
    Frame(ToRelay),
    Reconnect,
    /// Everything before it is to reach the relay; then the sender is dropped.
    Leave(oneshot::Sender<()>),
}

/// Where received datagrams go; called from the network task, must not block.
pub type OnDatagram = Arc<dyn Fn(Bytes) + Send + Sync>;

/// The task's handle; the task ends when it is dropped.
pub struct Link {
    orders: mpsc::UnboundedSender<Order>,
    current: Current,
    task: tokio::task::JoinHandle<()>,
}

/// The connection of this moment, for datagrams.
type Current = Arc<Mutex<Option<Connection>>>;

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

    /// Waits until the relay has everything that was sent, or [`LEAVE`] is over.
    pub async fn leave(self) {
        let (reached, all) = oneshot::channel();
        if self.orders.send(Order::Leave(reached)).is_ok() {
            let _ = tokio::time::timeout(LEAVE, all).await;
        }
    }

    /// A way to send datagrams from other threads.
    pub fn datagrams(&self) -> Datagrams {
        Datagrams(self.current.clone())
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
}

impl Datagrams {
    /// Sends one; drops the oldest that waits when too many do. Without a connection it is lost,
    /// as datagrams may be.
    pub fn send(&self, bytes: Vec<u8>) {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(connection) = connection {
            let _ = connection.send_datagram(bytes.into());
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(connection) = self.current.lock().unwrap_or_else(PoisonError::into_inner).take() {
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
    /// The same, and the relay's own frame has said why.
    TurnedAway,
    /// The person asked for another one now.
    Again,
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
    loop {
        let end = match connect(&relay).await {
            Ok((endpoint, connection)) => {
                wait = WAIT;
                *current.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
                let end = talk(&connection, &events, &mut orders, &on_datagram).await;
                *current.lock().unwrap_or_else(PoisonError::into_inner) = None;
                connection.close(0u32.into(), b"bye");
                endpoint.wait_idle().await;
                end
            }
            Err(end) => end,
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
            End::Refused(why) => {
                if events.send(LinkEvent::Refused { why }).await.is_err() {
                    return;
                }
                None
            }
            End::TurnedAway => None,
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
                    Some(Order::Leave(_)) | None => return,
                },
                () = &mut pause => break,
            }
        }
    }
}

async fn connect(relay: &RelayLink) -> Result<(Endpoint, Connection), End> {
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
    let (config, mismatch) = tls::config(relay.fingerprint)
        .map_err(|error| End::Refused(format!("TLS is not available: {error}")))?;
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
        match tokio::time::timeout(CONNECT, connecting).await {
            Ok(Ok(connection)) => return Ok((endpoint, connection)),
            Ok(Err(_)) if mismatch.seen() => {
                return Err(End::Refused(format!(
                    "the relay at {place} shows another key than the link says: the link is old, or somebody is in between. \
                     Ask its owner for the link of today"
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
                    "no answer from {place} over UDP: is the relay running, does a firewall drop UDP?"
                )
            }
        }
    }
    Err(End::Lost(last))
}

/// One connection from its first to its last byte.
async fn talk(
    connection: &Connection,
    events: &mpsc::Sender<LinkEvent>,
    orders: &mut mpsc::UnboundedReceiver<Order>,
    on_datagram: &OnDatagram,
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
                Order::Leave(reached) => {
                    // Resolves when the relay has acknowledged the stream to its end.
                    if send.finish().is_ok() {
                        let _ = send.stopped().await;
                    }
                    drop(reached);
                    return End::Over;
                }
            };
            // What was meant for an earlier connection must not come before this one's login.
            logged_in |= matches!(frame, ToRelay::Authenticate(_));
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
                    let over = matches!(&frame, ToDevice::Refused { ask: None, why } if why.lasts());
                    if events.send(LinkEvent::Frame(frame)).await.is_err() {
                        return End::Over;
                    }
                    if over {
                        return End::TurnedAway;
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

async fn read(receive: &mut quinn::RecvStream) -> Result<ToDevice, Option<codec::Error>> {
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
