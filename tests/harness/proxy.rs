//! A bad line between a real client and a real relay: a UDP proxy that loses, delays, reorders, narrows and
//! moves, by a seed.

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};

/// How the line treats what passes, each way. The default does nothing to it.
#[derive(Clone, Copy, Debug, Default)]
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
}

/// What a proxy has seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    /// Datagrams from the client, and from the relay.
    pub came: [u64; 2],
    /// Of them, lost on purpose.
    pub lost: [u64; 2],
}

/// One client's line to the relay. Gone when dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    moves: mpsc::UnboundedSender<UdpSocket>,
    relay: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
    _stop: oneshot::Sender<()>,
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
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a thread is to be had");
        let (front, back) = runtime.block_on(async {
            let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
            (front, side(relay, Ipv4Addr::LOCALHOST.into()).await)
        });
        let address = front.local_addr().expect("it is bound");
        let shared: Arc<Mutex<Shared>> = Arc::default();
        let (moves, moved) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let rng = ChaCha20Rng::seed_from_u64(seed);
        runtime.spawn(carry(front, back, moved, stopped, shared.clone(), rng));
        let link = link.replacen(&host(link), &address.to_string(), 1);
        (Self { address, shared, moves, relay, runtime: Some(runtime), _stop: stop }, link)
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

    /// From now on the relay sees the client at another port of this address; what it sends to the one
    /// before is lost.
    ///
    /// # Panics
    /// When that address is none of this machine's.
    pub fn moves_to(&self, ip: IpAddr) {
        let runtime = self.runtime.as_ref().expect("there until it is dropped");
        let back = runtime.block_on(side(self.relay, ip));
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

fn held(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn side(relay: SocketAddr, ip: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).await.expect("an address of this machine");
    socket.connect(relay).await.expect("a UDP socket always connects");
    socket
}

/// To the relay, or to the client.
#[derive(Clone, Copy)]
enum Way {
    Out,
    Home,
}

/// Datagrams that are under way; the narrow part of the line takes one after the other.
struct UnderWay {
    by: BTreeMap<(Instant, u64), (Way, Vec<u8>)>,
    free: [Instant; 2],
    number: u64,
    rng: ChaCha20Rng,
}

/// How long may wait in front of the narrow part; what comes when it is longer is lost.
const QUEUE: Duration = Duration::from_secs(3);

impl UnderWay {
    fn takes(&mut self, way: Way, bytes: &[u8], shared: &Mutex<Shared>) {
        let mut shared = held(shared);
        let (line, now) = (shared.line, Instant::now());
        shared.count.came[way as usize] += 1;
        let free = self.free[way as usize].max(now);
        let lost = line.loss > 0 && self.rng.next_u32() % 1000 < line.loss
            || line.longest > 0 && bytes.len() > line.longest
            || free - now > QUEUE;
        if lost {
            shared.count.lost[way as usize] += 1;
            return;
        }
        let busy = (bytes.len() as u64 * 8_000_000).checked_div(line.rate).unwrap_or(0);
        self.free[way as usize] = free + Duration::from_micros(busy);
        let jitter = line.jitter.as_micros() as u64;
        let more = if jitter > 0 { self.rng.next_u64() % jitter } else { 0 };
        let at = self.free[way as usize] + line.delay + Duration::from_micros(more);
        self.number += 1;
        self.by.insert((at, self.number), (way, bytes.to_vec()));
    }

    fn due(&self) -> Option<Instant> {
        self.by.keys().next().map(|(at, _)| *at)
    }
}

async fn carry(
    front: UdpSocket,
    mut back: UdpSocket,
    mut moved: mpsc::UnboundedReceiver<UdpSocket>,
    mut stopped: oneshot::Receiver<()>,
    shared: Arc<Mutex<Shared>>,
    rng: ChaCha20Rng,
) {
    let now = Instant::now();
    let mut under_way = UnderWay { by: BTreeMap::new(), free: [now; 2], number: 0, rng };
    let mut client = None;
    let (mut out, mut home) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        let due = under_way.due().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        tokio::select! {
            biased;
            // 1. The end of the scene.
            _ = &mut stopped => return,
            // 2. The client is elsewhere.
            Some(elsewhere) = moved.recv() => back = elsewhere,
            // 3. What has arrived. A socket that is full loses it, as any may.
            () = tokio::time::sleep_until(due.into()) => {
                if let Some((_, (way, bytes))) = under_way.by.pop_first() {
                    let _ = match (way, client) {
                        (Way::Out, _) => back.try_send(&bytes),
                        (Way::Home, Some(client)) => front.try_send_to(&bytes, client),
                        (Way::Home, None) => continue,
                    };
                }
            }
            // 4. What sets out.
            Ok((length, from)) = front.recv_from(&mut out) => {
                client = Some(from);
                under_way.takes(Way::Out, &out[..length], &shared);
            }
            Ok(length) = back.recv(&mut home) => under_way.takes(Way::Home, &home[..length], &shared),
        }
    }
}
