//! A bad line between a real client and a real relay: a UDP proxy that loses, delays, reorders, narrows,
//! forgets, bleaches and moves, by a seed. What it carries keeps its ECN bits.

use quinn::udp::{EcnCodepoint, RecvMeta, Transmit, UdpSocketState};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};

/// How the line treats what passes, each way. The default does nothing to it.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Line {
    /// Of 1,000 datagrams so many are lost.
    pub loss: u32,
    /// One-way delay.
    pub delay: Duration,
    /// Up to that much more for each, so that some overtake others.
    pub jitter: Duration,
    /// Bits a second, 0 for any number.
    pub rate: u64,
    /// Longer datagrams are lost; 0 for none.
    pub longest: usize,
    /// The ECN bits of what passes are cleared.
    pub bleach: bool,
    /// As NATs do: when the client was silent for that long, what comes for it is lost, and it goes on at
    /// another port once it says something. Zero for never.
    pub forgets: Duration,
}

/// What a proxy has seen.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Count {
    /// Datagrams from the client, and from the relay.
    pub came: [u64; 2],
    /// Of them, lost on purpose.
    pub lost: [u64; 2],
    /// Of those that came, marked for ECN.
    pub marked: [u64; 2],
    /// How often the client went on at another port because it had been silent.
    pub forgotten: u64,
}

/// One client's line to the relay. Gone when dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Common>,
    moves: mpsc::UnboundedSender<Wire>,
    runtime: Option<tokio::runtime::Runtime>,
    _stop: oneshot::Sender<()>,
}

#[derive(Default)]
struct Common {
    shared: Mutex<Shared>,
    /// The client went on at another port because it had been silent.
    forgot: Condvar,
}

#[derive(Default)]
struct Shared {
    line: Line,
    count: Count,
}

impl Proxy {
    /// In front of the relay of this link; the first address that sends something is the client.
    ///
    /// # Panics
    /// When there is no socket to be had.
    pub fn new(link: &str, seed: u64) -> (Self, String) {
        let relay: SocketAddr = host(link).parse().expect("the link of a test names an address");
        let proxy = Self::between((Ipv4Addr::LOCALHOST, 0).into(), Ipv4Addr::LOCALHOST.into(), relay, seed);
        let link = link.replacen(&host(link), &proxy.address.to_string(), 1);
        (proxy, link)
    }

    /// Between who sends to `front` and the relay, which sees them at `back`.
    ///
    /// # Panics
    /// When there is no socket to be had.
    pub fn between(front: SocketAddr, back: IpAddr, relay: SocketAddr, seed: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a thread is to be had");
        let (front, back) = runtime.block_on(async {
            (Wire::bind(front).expect("a socket"), Wire::bind((back, 0).into()).expect("a socket"))
        });
        let address = front.io.local_addr().expect("it is bound");
        let shared: Arc<Common> = Arc::default();
        let (moves, moved) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let rng = ChaCha20Rng::seed_from_u64(seed);
        runtime.spawn(carry(front, back, relay, moved, stopped, shared.clone(), rng));
        Self { address, shared, moves, runtime: Some(runtime), _stop: stop }
    }

    /// Where the client talks to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How the line is from now on.
    pub fn becomes(&self, line: Line) {
        held(&self.shared).line = line;
    }

    /// What has passed.
    pub fn count(&self) -> Count {
        held(&self.shared).count
    }

    /// Waits until the client, having been silent for longer than the line remembers, says something.
    pub fn waits_for_silence(&self) {
        let before = self.count().forgotten;
        let nothing = |shared: &mut Shared| shared.count.forgotten == before;
        drop(
            self.shared
                .forgot
                .wait_while(held(&self.shared), nothing)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// From now on the relay sees the client at another port of this address; what it sends to the one
    /// before is lost.
    ///
    /// # Panics
    /// When that address is none of this machine's.
    pub fn moves_to(&self, ip: IpAddr) {
        let runtime = self.runtime.as_ref().expect("there until it is dropped");
        let back =
            runtime.block_on(async { Wire::bind((ip, 0).into()) }).expect("an address of this machine");
        self.moves.send(back).expect("the proxy runs");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn host(link: &str) -> String {
    let rest = link.trim_start_matches("subrosa://");
    rest.split('/').next().unwrap_or_default().to_string()
}

fn held(common: &Common) -> MutexGuard<'_, Shared> {
    common.shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A socket that reads and writes ECN bits.
struct Wire {
    io: UdpSocket,
    state: UdpSocketState,
}

/// A datagram and the ECN bits that it came with.
struct Datagram {
    bytes: Vec<u8>,
    ecn: Option<EcnCodepoint>,
}

impl Wire {
    /// Inside a runtime only.
    fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(address)?;
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { io: UdpSocket::from_std(socket)?, state })
    }

    /// What has come, and from where; it may be several datagrams of one sender.
    async fn receive(&self, room: &mut [u8]) -> io::Result<(Vec<Datagram>, SocketAddr)> {
        let mut meta = RecvMeta::default();
        let read = || {
            let mut slices = [IoSliceMut::new(&mut *room)];
            self.state.recv((&self.io).into(), &mut slices, std::slice::from_mut(&mut meta))
        };
        self.io.async_io(Interest::READABLE, read).await?;
        let chunks = room[..meta.len].chunks(meta.stride.max(1));
        Ok((chunks.map(|bytes| Datagram { bytes: bytes.to_vec(), ecn: meta.ecn }).collect(), meta.addr))
    }

    /// A socket that is full loses it, as any may.
    fn send(&self, datagram: &Datagram, destination: SocketAddr) {
        let contents = &datagram.bytes;
        let transmit =
            Transmit { destination, ecn: datagram.ecn, contents, segment_size: None, src_ip: None };
        let _ = self.io.try_io(Interest::WRITABLE, || self.state.try_send((&self.io).into(), &transmit));
    }
}

/// To the relay, or to the client.
#[derive(Clone, Copy)]
enum Way {
    Out,
    Home,
}

/// Datagrams that are under way; the narrow part of the line takes one after the other.
struct UnderWay {
    by: BTreeMap<(Instant, u64), (Way, Datagram)>,
    free: [Instant; 2],
    number: u64,
    rng: ChaCha20Rng,
}

/// How long may wait in front of the narrow part; what comes when it is longer is lost.
const QUEUE: Duration = Duration::from_secs(3);

impl UnderWay {
    fn takes(&mut self, way: Way, mut datagram: Datagram, shared: &Common) {
        let length = datagram.bytes.len();
        let mut shared = held(shared);
        let (line, now) = (shared.line, Instant::now());
        shared.count.came[way as usize] += 1;
        shared.count.marked[way as usize] += u64::from(datagram.ecn.is_some());
        if line.bleach {
            datagram.ecn = None;
        }
        let free = self.free[way as usize].max(now);
        let lost = line.loss > 0 && self.rng.next_u32() % 1000 < line.loss
            || line.longest > 0 && length > line.longest
            || free - now > QUEUE;
        if lost {
            shared.count.lost[way as usize] += 1;
            return;
        }
        let busy = (length as u64 * 8_000_000).checked_div(line.rate).unwrap_or(0);
        self.free[way as usize] = free + Duration::from_micros(busy);
        let jitter = line.jitter.as_micros() as u64;
        let more = if jitter > 0 { self.rng.next_u64() % jitter } else { 0 };
        let at = self.free[way as usize] + line.delay + Duration::from_micros(more);
        self.number += 1;
        self.by.insert((at, self.number), (way, datagram));
    }

    fn due(&self) -> Option<Instant> {
        self.by.keys().next().map(|(at, _)| *at)
    }
}

async fn carry(
    front: Wire,
    mut back: Wire,
    relay: SocketAddr,
    mut moved: mpsc::UnboundedReceiver<Wire>,
    mut stopped: oneshot::Receiver<()>,
    shared: Arc<Common>,
    rng: ChaCha20Rng,
) {
    let now = Instant::now();
    let mut under_way = UnderWay { by: BTreeMap::new(), free: [now; 2], number: 0, rng };
    let mut client = None;
    // When the client last said something.
    let mut heard = now;
    let (mut out, mut home) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        let due = under_way.due().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        tokio::select! {
            biased;
            // 1. The end of the scene.
            _ = &mut stopped => return,
            // 2. The client is elsewhere.
            Some(elsewhere) = moved.recv() => back = elsewhere,
            // 3. What has arrived.
            () = tokio::time::sleep_until(due.into()) => {
                if let Some((_, (way, datagram))) = under_way.by.pop_first() {
                    match (way, client) {
                        (Way::Out, _) => back.send(&datagram, relay),
                        (Way::Home, Some(client)) => front.send(&datagram, client),
                        (Way::Home, None) => {}
                    }
                }
            }
            // 4. What sets out.
            Ok((datagrams, from)) = front.receive(&mut out) => {
                if is_forgotten(heard, &shared) {
                    let ip = back.io.local_addr().map(|address| address.ip());
                    let Ok(another) = ip.and_then(|ip| Wire::bind((ip, 0).into())) else { return };
                    back = another;
                    held(&shared).count.forgotten += 1;
                    shared.forgot.notify_all();
                }
                (client, heard) = (Some(from), Instant::now());
                datagrams.into_iter().for_each(|datagram| under_way.takes(Way::Out, datagram, &shared));
            }
            Ok((datagrams, _)) = back.receive(&mut home) => {
                let lost = is_forgotten(heard, &shared);
                for datagram in datagrams {
                    if lost {
                        let count = &mut held(&shared).count;
                        count.came[Way::Home as usize] += 1;
                        count.lost[Way::Home as usize] += 1;
                    } else {
                        under_way.takes(Way::Home, datagram, &shared);
                    }
                }
            }
        }
    }
}

fn is_forgotten(heard: Instant, shared: &Common) -> bool {
    let forgets = held(shared).line.forgets;
    !forgets.is_zero() && heard.elapsed() > forgets
}
