//! Who attacks a relay: a program of its own that only gets the time that no other wants (`SCHED_IDLE`), so
//! that on few cores what is measured is the relay and not the attackers, who would have machines of their own.
//! It is this program, started once more.

use crate::people::{name, tokio};
use crate::process::Running;
use crate::raw;
use ::tokio::task::JoinSet;
use anyhow::{Context, bail};
use rand_core::{OsRng, RngCore};
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use subrosa_shared::id::{DeviceId, EnvelopeId};
use subrosa_shared::protocol::codec;
use subrosa_shared::protocol::envelope::{Head, Keep, Outgoing};
use subrosa_shared::protocol::frame::{Ask, ToRelay};
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::Identity;

/// The argument that makes this program that one.
pub const ARGUMENT: &str = "flood";

/// What strangers do; and devices that are logged in, to the device that comes behind.
pub const KINDS: [&str; 8] =
    ["garbage", "initials", "handshakes", "logins", "crowd", "fill", "drain", "deaf"];

/// Addresses of loopback that they come from.
const NETWORKS: u8 = 100;
/// Datagrams a second, where there is nothing to wait for.
const DATAGRAMS: u32 = 20_000;
/// Connections a second that they try.
const DIALS: u32 = 400;
/// Connections that a crowd tries in all, from one address.
const CROWD: usize = 10_000;
/// Devices that are logged in and bad.
pub const BAD: usize = 16;

/// Such a program.
pub struct Flood(Running);

impl Flood {
    /// Begins; `about` is the device that it is about, for those of [`KINDS`] that need one.
    pub fn start(kind: &str, link: &str, about: Option<DeviceId>) -> anyhow::Result<Self> {
        let about = about.map(|device| data_encoding::HEXLOWER.encode(&device.0));
        let process = Command::new("chrt")
            .args(["--idle", "0"])
            .arg(std::env::current_exe()?)
            .args([ARGUMENT, kind, link])
            .args(about)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("`chrt` starts it")?;
        Ok(Self(Running(process)))
    }

    /// Ends it; what it did each second.
    pub fn end(mut self) -> anyhow::Result<f64> {
        drop(self.0.0.stdin.take());
        let mut line = String::new();
        BufReader::new(self.0.0.stdout.take().context("piped")?).read_line(&mut line)?;
        line.trim().parse().context("it printed no figure")
    }
}

/// That program.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    let (kind, link, about) = match arguments {
        [kind, link] => (kind, link, None),
        [kind, link, about] => (kind, link, Some(data_encoding::HEXLOWER.decode(about.as_bytes())?)),
        _ => bail!("expected a kind, a link and perhaps a device"),
    };
    let about = about.and_then(|id| Some(DeviceId(id.try_into().ok()?)));
    let link: RelayLink = link.parse().context("that is no link")?;
    let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let ends = over.clone();
    std::thread::spawn(move || {
        // Nothing is ever written to it.
        let _ = std::io::stdin().read(&mut [0]);
        ends.store(true, Relaxed);
    });
    let begun = Instant::now();
    match kind.as_str() {
        "garbage" => datagrams(&garbage(), &link, &over, &done)?,
        "initials" => datagrams(&initials(), &link, &over, &done)?,
        "handshakes" | "logins" => tokio()?.block_on(dials(&link, kind == "logins", &over, &done))?,
        "crowd" => tokio()?.block_on(crowd(&link, &over, &done))?,
        "fill" | "drain" | "deaf" => {
            let about = about.context("expected the device that it is about")?;
            tokio()?.block_on(devices(kind, &link, about, &over, &done))?
        }
        other => bail!("no flood {other}; there are {}", KINDS.join(", ")),
    }
    println!("{}", done.load(Relaxed) as f64 / begun.elapsed().as_secs_f64());
    Ok(())
}

fn sockets() -> anyhow::Result<Vec<UdpSocket>> {
    let addresses = (2..2 + NETWORKS).map(|n| Ipv4Addr::new(127, 0, 0, n));
    Ok(addresses.map(|ip| UdpSocket::bind((ip, 0))).collect::<Result<_, _>>()?)
}

/// Short headers, and what looks like the beginning of something.
fn garbage() -> Vec<Vec<u8>> {
    let mut rng = OsRng;
    let of = |n: usize| {
        let mut bytes = vec![0; [60, 300, 1200][n % 3]];
        rng.fill_bytes(&mut bytes);
        bytes
    };
    (0..64).map(of).collect()
}

/// Beginnings of handshakes as the porch sees them; what is sealed in them it never reads.
fn initials() -> Vec<Vec<u8>> {
    let of = |mut bytes: Vec<u8>| {
        bytes[..6].copy_from_slice(&[0xC3, 0, 0, 0, 1, 8]);
        bytes[14..24].copy_from_slice(&[8, 1, 2, 3, 4, 5, 6, 7, 8, 0]);
        bytes
    };
    let random = |_| {
        let mut bytes = vec![0; 1200];
        OsRng.fill_bytes(&mut bytes);
        bytes
    };
    (0..64).map(random).map(of).collect()
}

/// Recorded before, so that sending costs little; a full socket loses them.
fn datagrams(
    recorded: &[Vec<u8>],
    link: &RelayLink,
    over: &AtomicBool,
    done: &AtomicU64,
) -> anyhow::Result<()> {
    let (sockets, relay) = (sockets()?, SocketAddr::from((Ipv4Addr::LOCALHOST, link.port)));
    let (begun, mut sent) = (Instant::now(), 0_usize);
    while !over.load(Relaxed) {
        let due = (begun.elapsed().as_secs_f64() * f64::from(DATAGRAMS)) as usize;
        while sent < due {
            let _ = sockets[sent % sockets.len()].send_to(&recorded[sent % recorded.len()], relay);
            sent += 1;
        }
        done.store(sent as u64, Relaxed);
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Handshakes from many networks that prove their address, and logins of which the signature does not hold.
async fn dials(link: &RelayLink, logins: bool, over: &AtomicBool, done: &AtomicU64) -> anyhow::Result<()> {
    let relay = SocketAddr::from((Ipv4Addr::LOCALHOST, link.port));
    let (config, _) = subrosa::net::tls::config(link.fingerprint)?;
    let endpoints: Vec<quinn::Endpoint> = sockets()?
        .into_iter()
        .map(|socket| endpoint(socket, config.clone()))
        .collect::<anyhow::Result<_>>()?;
    let login = codec::encode(&ToRelay::Authenticate(Identity::generate(&mut OsRng).login(
        name("mallory")?,
        true,
        &link.fingerprint,
        &[0; 32],
    )))?;
    let mut tasks = JoinSet::new();
    let mut tick = ::tokio::time::interval(Duration::from_secs(1) / DIALS);
    for number in 0.. {
        tick.tick().await;
        while tasks.try_join_next().is_some() {}
        if over.load(Relaxed) {
            break;
        }
        let connecting = endpoints[number % endpoints.len()].connect(relay, "subrosa")?;
        let login = logins.then(|| login.clone());
        tasks.spawn(async move {
            let Some(login) = login else {
                // The relay has done its part by then.
                let _ = ::tokio::time::timeout(Duration::from_millis(100), connecting).await;
                return;
            };
            let Ok(connection) = connecting.await else { return };
            let Ok((mut send, mut receive)) = connection.open_bi().await else { return };
            if send.write_all(&login).await.is_ok() {
                let _ = receive.read_to_end(1 << 10).await;
            }
        });
        done.fetch_add(1, Relaxed);
    }
    Ok(())
}

fn endpoint(socket: UdpSocket, config: quinn::ClientConfig) -> anyhow::Result<quinn::Endpoint> {
    let runtime = quinn::default_runtime().context("inside tokio")?;
    let mut endpoint = quinn::Endpoint::new(quinn::EndpointConfig::default(), None, socket, runtime)?;
    endpoint.set_default_client_config(config);
    Ok(endpoint)
}

/// Ten thousand from one address, who stay as long as they may and never log in.
async fn crowd(link: &RelayLink, over: &AtomicBool, done: &AtomicU64) -> anyhow::Result<()> {
    let relay = SocketAddr::from((Ipv4Addr::LOCALHOST, link.port));
    let (config, _) = subrosa::net::tls::config(link.fingerprint)?;
    let endpoint = endpoint(UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 2), 0))?, config)?;
    let mut tasks = JoinSet::new();
    let mut tick = ::tokio::time::interval(Duration::from_millis(1));
    while !over.load(Relaxed) {
        tick.tick().await;
        while tasks.try_join_next().is_some() {}
        if tasks.len() < CROWD {
            let connecting = endpoint.connect(relay, "subrosa")?;
            tasks.spawn(async move {
                if let Ok(connection) = connecting.await {
                    connection.closed().await;
                }
            });
            done.fetch_add(1, Relaxed);
        }
    }
    Ok(())
}

/// Devices that are logged in: they fill somebody's mailbox, ask for prekeys without a pause, or ask and never
/// read.
async fn devices(
    kind: &str,
    link: &RelayLink,
    about: DeviceId,
    over: &Arc<AtomicBool>,
    done: &Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let (fills, reads) = (kind == "fill", kind != "deaf");
    let mut tasks = JoinSet::new();
    for mut device in raw::connect(link, kind, BAD, BAD).await? {
        let (over, done) = (over.clone(), done.clone());
        tasks.spawn(async move {
            while !over.load(Relaxed) {
                let frame = match fills {
                    true => envelope(about, 1_000).1,
                    false => ToRelay::Claim { ask: Ask(1), device: about },
                };
                if device.out.say(&frame).await.is_err() || reads && device.inbox.next().await.is_err() {
                    return;
                }
                done.fetch_add(1, Relaxed);
            }
        });
    }
    while !over.load(Relaxed) {
        ::tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tasks.shutdown().await;
    Ok(())
}

/// An envelope of so many bytes, and its number.
pub fn envelope(to: DeviceId, bytes: usize) -> (EnvelopeId, ToRelay) {
    let mut id = [0; 16];
    OsRng.fill_bytes(&mut id);
    let to = vec![Head { to, bytes: vec![7; bytes] }];
    let id = EnvelopeId(id);
    (id, ToRelay::Send(Outgoing { id, keep: Keep::Stored, to, body: Vec::new(), moves: None }))
}
