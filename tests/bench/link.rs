//! Live media over a bad line: 10 Mbit/s, 50 ms there and back, 2 % of datagrams lost, for the publisher and
//! for the watcher alike. What is lost stays lost, and nothing waits for it.

use crate::figure::{Table, Times, shown};
use crate::people::tokio;
use crate::process::relay;
use crate::raw::{self, CONFIG, Raw};
use anyhow::{Context, ensure};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use subrosa_shared::protocol::frame::{Ask, ToDevice, ToRelay};
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::protocol::media::{HEADER, Header};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::Instant as Moment;

/// One way of one line.
const DELAY: Duration = Duration::from_millis(25);
/// Bits a second of one line, each way.
const RATE: u64 = 10_000_000;
/// Datagrams in a thousand that are lost, each way of each line.
const LOST: u32 = 20;
/// There and back from the publisher to the watcher: two lines.
const ROUND: Duration = Duration::from_millis(100);
/// Pictures a second, and datagrams of each.
const PICTURES: u32 = 10;
const FRAGMENTS: u8 = 3;
const LENGTH: usize = 1_000;
const TIME: Duration = Duration::from_secs(20);
/// Datagrams that wait in a line; more are lost.
const QUEUE: usize = 256;

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (_place, link) = relay(dir.path(), CONFIG)?;
    let link: RelayLink = link.parse().context("the relay printed no link")?;
    let (late, sent) = tokio()?.block_on(run(&link))?;
    let came = late.len();
    ensure!(came > 0, "no datagram came through");
    let mut times = Times::default();
    late.into_iter().for_each(|time| times.add(time));
    let p99 = times.at(0.99);
    table.row(
        &format!(
            "live media from publisher to watcher, each on 10 Mbit/s, 50 ms, 2 % loss ({:.1} % came)",
            came as f64 * 100.0 / sent.max(1) as f64
        ),
        &shown(times.at(0.5)),
        &shown(p99),
        &format!("the way alone {}, there and back {}", shown(ROUND / 2), shown(ROUND)),
        &format!("{:.2}× of a round trip at p99", p99.as_secs_f64() / ROUND.as_secs_f64()),
    );
    Ok(())
}

async fn run(link: &RelayLink) -> anyhow::Result<(Vec<Duration>, usize)> {
    let mut publisher = one(link, "p", 1).await?;
    let mut watcher = one(link, "w", 2).await?;
    let viewers = vec![watcher.device];
    publisher.out.say(&ToRelay::OpenTrack { ask: Ask(1), viewers }).await?;
    let published = |frame: &ToDevice| match frame {
        ToDevice::Published { track, .. } => Some(*track),
        _ => None,
    };
    let track = publisher.inbox.hear(published).await?;
    watcher.out.say(&ToRelay::Watch { ask: Ask(2), track }).await?;
    watcher.inbox.hear(|frame| matches!(frame, ToDevice::Watching { .. }).then_some(())).await?;

    let begun = Instant::now();
    let wire = watcher.connection.clone();
    let reading = tokio::spawn(async move {
        let mut late = Vec::new();
        while let Ok(Ok(datagram)) = tokio::time::timeout(Duration::from_secs(2), wire.read_datagram()).await
        {
            let stamp = datagram.get(HEADER..HEADER + 8).and_then(|bytes| bytes.try_into().ok());
            let Some(stamp) = stamp.map(u64::from_be_bytes) else { continue };
            late.push(begun.elapsed().saturating_sub(Duration::from_nanos(stamp)));
        }
        late
    });
    let mut beat = tokio::time::interval(Duration::from_secs(1) / PICTURES);
    let (mut frame, mut sent) = (0, 0);
    while begun.elapsed() < TIME {
        beat.tick().await;
        frame += 1;
        for index in 0..FRAGMENTS {
            let header = Header { track, frame, index, count: FRAGMENTS, layer: 0, keyframe: frame == 1 };
            let mut datagram = Vec::with_capacity(LENGTH);
            datagram.extend_from_slice(&header.encode());
            datagram.extend_from_slice(&(begun.elapsed().as_nanos() as u64).to_be_bytes());
            datagram.resize(LENGTH, 7);
            publisher.connection.send_datagram(datagram.into())?;
            sent += 1;
        }
    }
    Ok((reading.await?, sent))
}

/// A device behind a line of its own.
async fn one(link: &RelayLink, called: &str, seed: u64) -> anyhow::Result<Raw> {
    let port = line((Ipv4Addr::LOCALHOST, link.port).into(), seed).await?;
    let behind = RelayLink { port, ..link.clone() };
    raw::connect(&behind, called, 1, 1).await?.pop().context("one")
}

/// Begins a line to an address; the port of its near end.
async fn line(to: SocketAddr, seed: u64) -> anyhow::Result<u16> {
    let near = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
    let far = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
    far.connect(to).await?;
    let port = near.local_addr()?.port();
    let client: Arc<OnceLock<SocketAddr>> = Arc::default();

    let up = way(ChaCha20Rng::seed_from_u64(seed), {
        let far = far.clone();
        move |bytes: Vec<u8>| {
            let far = far.clone();
            // A line says nothing when the other end is not there.
            async move { drop(far.send(&bytes).await) }
        }
    });
    let down = way(ChaCha20Rng::seed_from_u64(seed + 100), {
        let (near, client) = (near.clone(), client.clone());
        move |bytes: Vec<u8>| {
            let (near, client) = (near.clone(), client.get().copied());
            async move {
                if let Some(client) = client {
                    drop(near.send_to(&bytes, client).await);
                }
            }
        }
    });
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok((n, from)) = near.recv_from(&mut buffer).await {
            client.get_or_init(|| from);
            // A full queue loses what comes.
            let _ = up.try_send((Moment::now(), buffer[..n].to_vec()));
        }
    });
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok(n) = far.recv(&mut buffer).await {
            let _ = down.try_send((Moment::now(), buffer[..n].to_vec()));
        }
    });
    Ok(port)
}

/// One way of a line: what goes in comes out later, at the line's rate, or never.
fn way<F: Future<Output = ()> + Send>(
    mut rng: ChaCha20Rng,
    out: impl Fn(Vec<u8>) -> F + Send + 'static,
) -> mpsc::Sender<(Moment, Vec<u8>)> {
    let (put, mut take) = mpsc::channel::<(Moment, Vec<u8>)>(QUEUE);
    tokio::spawn(async move {
        let mut free = Moment::now();
        while let Some((came, bytes)) = take.recv().await {
            free = free.max(came) + Duration::from_nanos(bytes.len() as u64 * 8 * 1_000_000_000 / RATE);
            if rng.next_u32() % 1000 < LOST {
                continue;
            }
            tokio::time::sleep_until(free + DELAY).await;
            out(bytes).await;
        }
    });
    put
}
