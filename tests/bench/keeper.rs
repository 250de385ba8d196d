//! The least that a relay which keeps envelopes could be: a program that appends each frame of a sender to a
//! log, syncs it once for all that came meanwhile, and then answers the sender and hands the frame to one
//! other. It is this program, started once more. It knows no accounts, numbers, quotas or repeats, keeps no
//! order between runs, and its log only grows.

use crate::people::as_the_relay;
use crate::process::{Running, again};
use anyhow::{Context, bail};
use quinn::{Connection, RecvStream, SendStream};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use subrosa_relay::listener::{Key, server_config};
use tokio::sync::mpsc as queue;

/// The argument that makes this program that one; the path of its log comes behind it.
pub const ARGUMENT: &str = "bare-keeper";

/// What a frame begins with: its length as a big-endian number.
const PREFIX: usize = 4;
/// What a sender hears of each of its frames.
const KEPT: [u8; 20] = [1; 20];
/// Answers and frames that are written to one connection at once.
const AT_ONCE: usize = 256;

/// Such a program.
pub struct Keeper {
    process: Running,
    address: SocketAddr,
    fingerprint: [u8; 32],
}

/// A connection to it.
pub struct Line {
    /// Not closed as long as this lives.
    pub connection: Connection,
    pub send: SendStream,
    pub receive: RecvStream,
}

impl Keeper {
    pub fn start(log: &Path) -> anyhow::Result<Self> {
        let (process, address, fingerprint) = again(&[OsStr::new(ARGUMENT), log.as_os_str()])?;
        Ok(Self { process, address, fingerprint })
    }

    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// So many pairs, a sender and who gets its frames.
    pub async fn connect(&self, pairs: u8) -> anyhow::Result<Vec<(Line, Line)>> {
        let endpoints = [
            quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?,
            quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?,
        ];
        let (config, _) = subrosa::net::tls::config(self.fingerprint)?;
        let mut all = Vec::new();
        for number in 0..pairs {
            let mut lines = Vec::new();
            for (endpoint, kind) in endpoints.iter().zip(*b"ts") {
                let connection = endpoint.connect_with(config.clone(), self.address, "subrosa")?.await?;
                let (mut send, mut receive) = connection.open_bi().await?;
                send.write_all(&[kind, number]).await?;
                // It answers once it knows the connection.
                receive.read_exact(&mut [0]).await?;
                lines.push(Line { connection, send, receive });
            }
            let (Some(sender), Some(taker)) = (lines.pop(), lines.pop()) else { bail!("two were made") };
            all.push((sender, taker));
        }
        Ok(all)
    }
}

/// What a sender writes.
pub fn frame(length: usize) -> Vec<u8> {
    [(length as u32).to_be_bytes().as_slice(), &vec![7; length]].concat()
}

/// Reads one answer.
pub async fn hear_kept(receive: &mut RecvStream) -> anyhow::Result<()> {
    Ok(receive.read_exact(&mut [0; KEPT.len()]).await?)
}

/// Reads one frame.
pub async fn take(receive: &mut RecvStream) -> anyhow::Result<Vec<u8>> {
    let mut prefix = [0; PREFIX];
    receive.read_exact(&mut prefix).await?;
    let mut bytes = vec![0; u32::from_be_bytes(prefix) as usize];
    receive.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Where what a connection is to be sent waits.
type Out = queue::UnboundedSender<Vec<u8>>;

/// A frame on its way to the disk.
struct Came {
    bytes: Vec<u8>,
    sender: Out,
    taker: Out,
}

/// Is that program until it is killed.
pub fn run(log: &Path) -> anyhow::Result<()> {
    let mut file = File::create(log)?;
    let (say, came) = mpsc::channel::<Came>();
    std::thread::spawn(move || {
        while let Ok(first) = came.recv() {
            let group: Vec<_> = std::iter::once(first).chain(came.try_iter()).collect();
            let mut bytes = Vec::new();
            group.iter().for_each(|one| bytes.extend_from_slice(&one.bytes));
            file.write_all(&bytes).and_then(|()| file.sync_data()).expect("the disk takes a log");
            for Came { bytes, sender, taker } in group {
                // Whoever has gone hears nothing.
                let _ = (sender.send(KEPT.to_vec()), taker.send(bytes));
            }
        }
    });
    let runtime = as_the_relay()?;
    runtime.block_on(async {
        let key = Key::new()?;
        let config = server_config(&key, &subrosa_relay::config::Link::default())?;
        let endpoint = quinn::Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into())?;
        println!("{} {}", endpoint.local_addr()?.port(), data_encoding::HEXLOWER.encode(&key.fingerprint()));
        std::io::stdout().flush()?;
        let takers: Arc<Mutex<HashMap<u8, Out>>> = Arc::default();
        while let Some(incoming) = endpoint.accept().await {
            let (takers, say) = (takers.clone(), say.clone());
            tokio::spawn(async move {
                // A connection that breaks is over.
                let _ = serve(incoming, &takers, say).await;
            });
        }
        Ok(())
    })
}

async fn serve(
    incoming: quinn::Incoming,
    takers: &Mutex<HashMap<u8, Out>>,
    say: mpsc::Sender<Came>,
) -> anyhow::Result<()> {
    let connection = incoming.await?;
    let (mut send, mut receive) = connection.accept_bi().await?;
    let mut who = [0; 2];
    receive.read_exact(&mut who).await?;
    let (out, mut waiting) = queue::unbounded_channel::<Vec<u8>>();
    let writing = tokio::spawn(async move {
        let mut some = Vec::new();
        while waiting.recv_many(&mut some, AT_ONCE).await > 0 {
            if send.write_all(&some.concat()).await.is_err() {
                return;
            }
            some.clear();
        }
    });
    out.send(vec![0])?;
    if who[0] == b't' {
        takers.lock().unwrap_or_else(PoisonError::into_inner).insert(who[1], out);
        // What it says of what it got.
        while receive.read_chunk(usize::MAX, true).await?.is_some() {}
        return Ok(());
    }
    let taker = takers.lock().unwrap_or_else(PoisonError::into_inner).get(&who[1]).cloned();
    let taker = taker.context("nobody takes its frames")?;
    while let Ok(bytes) = take(&mut receive).await {
        let bytes = [(bytes.len() as u32).to_be_bytes().as_slice(), &bytes].concat();
        say.send(Came { bytes, sender: out.clone(), taker: taker.clone() })?;
    }
    drop(out);
    writing.await?;
    Ok(())
}
