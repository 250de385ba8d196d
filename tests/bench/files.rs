//! A file of 1 GB between the real programs: how fast, beside the same bytes on a bare QUIC stream and
//! beside copying and sealing them, and how much memory each program takes meanwhile.

use crate::figure::{Table, mib};
use crate::people::tokio;
use crate::process::{Client, relay, resident};
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInPlace, KeyInit};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use subrosa_relay::listener::{Key, server_config, widen};

/// Bytes of the file.
const SIZE: u64 = 1_000_000_000;
const PIECE: usize = 64 * 1024;
/// What one file may be, and no rate in its way.
const CONFIG: &str = "
[limits]
file_bytes = 4000000000
account_file_bytes = 8000000000
file_up = { per_minute = 4000000000, burst = 4000000000 }
file_down = { per_minute = 4000000000, burst = 4000000000 }
";

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("film.mkv");
    make(&path)?;
    let sealed = seal_copy(&path, &dir.path().join("copy"))?;
    let bare = tokio()?.block_on(bare(&path))?;

    let (relay, link) = relay(dir.path(), CONFIG)?;
    let mut ada = Client::start(&dir.path().join("ada"), "ada", &link, &["file"])?;
    let mut ben = Client::start(&dir.path().join("ben"), "ben", &link, &["file"])?;
    ben.ask("add", &json!({"name": "ada"}))?;
    ada.ask("add", &json!({"name": "ben"}))?;
    let pids = [relay.0.id(), ada.process.0.id(), ben.process.0.id()];
    let before = [resident(pids[0])?, resident(pids[1])?, resident(pids[2])?];
    let peaks = Peaks::watch(pids);

    let begun = Instant::now();
    let id = ada.ask("send_file", &json!({"to": "ben", "path": path}))?["id"].clone();
    let read = begun.elapsed();
    file(&mut ada, &id, "done")?;
    let up = begun.elapsed() - read;
    file(&mut ben, &id, "offered")?;
    let begun = Instant::now();
    ben.ask("save_file", &json!({"id": id, "folder": dir.path().join("saved")}))?;
    let saved = file(&mut ben, &id, "done")?;
    let down = begun.elapsed();
    let peaks = peaks.end();
    let length = std::fs::metadata(saved["path"].as_str().context("a path")?)?.len();
    if length != SIZE {
        bail!("{length} bytes came");
    }

    let beside_both = format!("bare QUIC stream {}, copy + AES-256-GCM + fsync {}", rate(bare), rate(sealed));
    let ratio = |time: Duration| format!("{:.2}× / {:.2}×", quotient(bare, time), quotient(sealed, time));
    table.value("1 GB file to the relay, loopback", &rate(up), &beside_both, &ratio(up));
    table.value("the same from the relay, checked and synced", &rate(down), &beside_both, &ratio(down));
    table.value("reading and hashing it before", &rate(read), "", "");
    for ((who, peak), before) in ["relay", "sender", "receiver"].into_iter().zip(peaks).zip(before) {
        let more = format!("{} more", mib(peak.saturating_sub(before)));
        table.value(
            &format!("memory of the {who} during a 1 GB file, at most"),
            &mib(peak),
            &format!("{} before", mib(before)),
            &more,
        );
    }
    Ok(())
}

/// Waits until a file is in that state.
fn file(client: &mut Client, id: &Value, state: &str) -> anyhow::Result<Value> {
    loop {
        let params = client.event()?["params"].take();
        if params["id"] == *id && params["state"] == "failed" {
            bail!("the file failed: {}", params["why"]);
        }
        if params["id"] == *id && params["state"] == state {
            return Ok(params);
        }
    }
}

fn rate(time: Duration) -> String {
    format!("{:.0} MB/s", SIZE as f64 / 1e6 / time.as_secs_f64().max(1e-9))
}

/// Speed of the second as a part of the speed of the first.
fn quotient(reference: Duration, time: Duration) -> f64 {
    reference.as_secs_f64() / time.as_secs_f64().max(1e-9)
}

fn make(path: &Path) -> anyhow::Result<()> {
    let mut file = File::create(path)?;
    let (mut seed, mut left) = (1u64, SIZE);
    let mut piece = vec![0; 1 << 20];
    while left > 0 {
        for word in piece.chunks_exact_mut(8) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            word.copy_from_slice(&seed.to_le_bytes());
        }
        let length = left.min(piece.len() as u64) as usize;
        file.write_all(&piece[..length])?;
        left -= length as u64;
    }
    file.sync_all()?;
    Ok(())
}

/// Reads, seals and writes every piece: the least that keeping a sealed copy takes.
fn seal_copy(from: &Path, to: &Path) -> anyhow::Result<Duration> {
    let cipher = Aes256Gcm::new(&[7; 32].into());
    let begun = Instant::now();
    let (mut input, mut output) = (File::open(from)?, File::create(to)?);
    let (mut piece, mut number) = (vec![0; PIECE], 0u64);
    loop {
        let count = input.read(&mut piece)?;
        if count == 0 {
            break;
        }
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&number.to_be_bytes());
        let tag = cipher.encrypt_in_place_detached(&nonce.into(), &[], &mut piece[..count]);
        let tag = tag.map_err(|_| anyhow::anyhow!("it does not seal"))?;
        output.write_all(&piece[..count])?;
        output.write_all(&tag)?;
        number += 1;
    }
    output.sync_all()?;
    let time = begun.elapsed();
    std::fs::remove_file(to)?;
    Ok(time)
}

/// The same bytes from one end of a QUIC stream to the other, with the relay's own settings; the disk is
/// read and not written.
async fn bare(path: &Path) -> anyhow::Result<Duration> {
    let key = Key::new()?;
    let server = server_config(&key, &subrosa_relay::config::Link::default())?;
    let relay = quinn::Endpoint::server(server, (Ipv4Addr::LOCALHOST, 0).into())?;
    let address = relay.local_addr()?;
    let (config, _) = subrosa::net::tls::config(key.fingerprint())?;
    let client = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    let taking = tokio::spawn(async move {
        let connection = relay.accept().await.context("an endpoint that lives")?.await?;
        widen(&connection);
        let (_, mut receive) = connection.accept_bi().await?;
        let mut count = 0;
        while let Some(chunk) = receive.read_chunk(1 << 20, true).await? {
            count += chunk.bytes.len() as u64;
        }
        anyhow::Ok((count, connection, relay))
    });
    let connection = client.connect_with(config, address, "subrosa")?.await?;
    let (mut send, _receive) = connection.open_bi().await?;
    let mut file = File::open(path)?;
    let mut piece = vec![0; 4 * PIECE];
    let begun = Instant::now();
    loop {
        let count = file.read(&mut piece)?;
        if count == 0 {
            break;
        }
        send.write_all(&piece[..count]).await?;
    }
    send.finish()?;
    let (count, _connection, _relay) = taking.await??;
    if count != SIZE {
        bail!("{count} bytes came");
    }
    Ok(begun.elapsed())
}

/// The most memory that each program had.
struct Peaks {
    stop: Arc<AtomicBool>,
    most: Arc<[AtomicU64; 3]>,
    thread: std::thread::JoinHandle<()>,
}

impl Peaks {
    fn watch(pids: [u32; 3]) -> Self {
        let (stop, most) = (Arc::new(AtomicBool::new(false)), Arc::new([const { AtomicU64::new(0) }; 3]));
        let (stopped, seen) = (stop.clone(), most.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for (pid, most) in pids.into_iter().zip(&*seen) {
                    most.fetch_max(resident(pid).unwrap_or(0), Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Self { stop, most, thread }
    }

    fn end(self) -> [u64; 3] {
        self.stop.store(true, Ordering::Relaxed);
        // A panic there was printed there.
        let _ = self.thread.join();
        [0, 1, 2].map(|i| self.most[i].load(Ordering::Relaxed))
    }
}
