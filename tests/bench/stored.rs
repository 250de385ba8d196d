//! Envelopes that the relay accepts, each safe from a power cut before it says so, delivered and
//! acknowledged: how many a second and at what CPU, beside a bare QUIC server that appends to a log with
//! shared fsyncs, answers and forwards; and beside both their stores without a network.

use crate::figure::Table;
use crate::keeper::{self, Keeper};
use crate::people::{name, tokio};
use crate::process::{relay, ticks};
use crate::raw::{self, CONFIG, Inbox, Out};
use anyhow::{Context, bail};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use subrosa_relay::mailbox::{Mailbox, Quota, Sled};
use subrosa_relay::records;
use subrosa_shared::id::{DeviceId, EnvelopeId, Seq};
use subrosa_shared::protocol::envelope::{Head, Keep, Outgoing};
use subrosa_shared::protocol::frame::{ToDevice, ToRelay};
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::store::Kv;
use subrosa_shared::store::journal::Mark;
use subrosa_shared::store::journaled::{FULL_BYTES, Journaled};
use subrosa_shared::time::Millis;
use tokio::sync::Semaphore;

/// Who writes, each to one other.
const SENDERS: usize = 32;
/// Envelopes that one sender has on the way.
const WINDOW: usize = 32;
/// Envelopes in all.
const COUNT: usize = 32_768;
/// Bytes of what is sealed in one.
const LENGTH: usize = 400;
/// Deliveries that a device acknowledges at once, as clients do.
const AT_ONCE: u64 = 8;

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let log = log(&dir.path().join("log"))?;
    let store = store(&dir.path().join("store"))?;
    let (peer, peer_cpu) = kept(&dir.path().join("kept"))?;
    let (ours, cpu) = relayed(dir.path())?;
    let per = |time: Duration| COUNT as f64 / time.as_secs_f64().max(1e-9);
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / COUNT as f64;
    table.value(
        &format!("envelopes of {LENGTH} B accepted, safe from a power cut, and delivered"),
        &format!("{:.0}/s", per(ours)),
        &format!("a bare QUIC server that appends to a log with shared fsyncs {:.0}/s", per(peer)),
        &format!("{:.2}×", per(ours) / per(peer)),
    );
    table.value(
        "CPU of the relay for one of these",
        &format!("{:.0} µs", each(cpu)),
        &format!("that server {:.0} µs", each(peer_cpu)),
        &format!("{:.2}×", each(cpu) / each(peer_cpu).max(1e-9)),
    );
    table.value(
        "the same without a network: the relay's mailboxes on their store",
        &format!("{:.0}/s", per(store)),
        &format!("threads that wait for a log with shared fsyncs {:.0}/s", per(log)),
        &format!("{:.2}×", per(store) / per(log)),
    );
    Ok(())
}

/// Over the least that could do it; the time until all is answered and delivered, and its CPU.
fn kept(log: &Path) -> anyhow::Result<(Duration, Duration)> {
    let keeper = Keeper::start(log)?;
    tokio()?.block_on(async {
        let lines = keeper.connect(SENDERS as u8).await?;
        let (before, begun) = (ticks(keeper.pid())?, Instant::now());
        let mut tasks = tokio::task::JoinSet::new();
        let mut held = Vec::new();
        for (sender, taker) in lines {
            let window = Arc::new(Semaphore::new(WINDOW));
            held.extend([sender.connection, taker.connection]);
            let (mut send, mut receive, places) = (sender.send, sender.receive, window.clone());
            tasks.spawn(async move {
                let frame = keeper::frame(&[7; LENGTH + 64]);
                for _ in 0..COUNT / SENDERS {
                    places.acquire().await?.forget();
                    send.write_all(&frame).await?;
                }
                places.acquire_many(WINDOW as u32).await?.forget();
                anyhow::Ok(())
            });
            tasks.spawn(async move {
                for _ in 0..COUNT / SENDERS {
                    keeper::hear_kept(&mut receive).await?;
                    window.add_permits(1);
                }
                Ok(())
            });
            let (mut send, mut receive) = (taker.send, taker.receive);
            tasks.spawn(async move {
                for n in 1..=(COUNT / SENDERS) as u64 {
                    keeper::take(&mut receive).await?;
                    if n % AT_ONCE == 0 {
                        send.write_all(&n.to_be_bytes()).await?;
                    }
                }
                Ok(())
            });
        }
        while let Some(task) = tasks.join_next().await {
            task??;
        }
        let time = begun.elapsed();
        anyhow::Ok((time, Duration::from_millis((ticks(keeper.pid())? - before) * 10)))
    })
}

fn envelope(from: usize, n: usize, to: DeviceId) -> Outgoing {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&(from as u64).to_be_bytes());
    id[8..].copy_from_slice(&(n as u64).to_be_bytes());
    let to = vec![Head { to, bytes: vec![n as u8; LENGTH] }];
    Outgoing { id: EnvelopeId(id), keep: Keep::Stored, to, body: Vec::new(), moves: None }
}

/// Over the real relay; the time until all is accepted and delivered, and its CPU.
fn relayed(dir: &Path) -> anyhow::Result<(Duration, Duration)> {
    let (place, link) = relay(dir, CONFIG)?;
    let link: RelayLink = link.parse().context("the relay printed no link")?;
    tokio()?.block_on(async {
        let senders = raw::connect(&link, "s", SENDERS, SENDERS).await?;
        let takers = raw::connect(&link, "t", SENDERS, SENDERS).await?;
        let (before, begun) = (ticks(place.0.id())?, Instant::now());
        let mut tasks = tokio::task::JoinSet::new();
        let mut held = Vec::new();
        for (n, (sender, taker)) in senders.into_iter().zip(takers).enumerate() {
            let window = Arc::new(Semaphore::new(WINDOW));
            let to = taker.device;
            held.extend([sender.connection, taker.connection]);
            tasks.spawn(sends(sender.out, n, to, window.clone()));
            tasks.spawn(hears(sender.inbox, window));
            tasks.spawn(takes(taker.out, taker.inbox));
        }
        while let Some(task) = tasks.join_next().await {
            task??;
        }
        let time = begun.elapsed();
        anyhow::Ok((time, Duration::from_millis((ticks(place.0.id())? - before) * 10)))
    })
}

async fn sends(mut out: Out, from: usize, to: DeviceId, window: Arc<Semaphore>) -> anyhow::Result<()> {
    for n in 0..COUNT / SENDERS {
        window.acquire().await?.forget();
        out.say(&ToRelay::Send(envelope(from, n, to))).await?;
    }
    // The stream stays open for as long as answers come.
    window.acquire_many(WINDOW as u32).await?.forget();
    Ok(())
}

async fn hears(mut inbox: Inbox, window: Arc<Semaphore>) -> anyhow::Result<()> {
    for _ in 0..COUNT / SENDERS {
        inbox.hear(|frame| matches!(frame, ToDevice::Accepted(_)).then_some(())).await?;
        window.add_permits(1);
    }
    Ok(())
}

async fn takes(mut out: Out, mut inbox: Inbox) -> anyhow::Result<()> {
    for n in 1..=(COUNT / SENDERS) as u64 {
        let delivered = |frame: &ToDevice| match frame {
            ToDevice::Deliver(delivery) => Some(delivery.seq),
            _ => None,
        };
        let seq = inbox.hear(delivered).await?;
        if n % AT_ONCE == 0 {
            out.say(&ToRelay::Ack(seq)).await?;
        }
    }
    Ok(())
}

/// The relay's store by itself: groups as large as they become when all wait for a commit.
fn store(path: &Path) -> anyhow::Result<Duration> {
    let quota = Quota { envelopes: 1 << 20, bytes: 1 << 40, total: 1 << 40, heads: 100 };
    let kv = Arc::new(Journaled::open(path, records::SETTINGS, Mark([7; 16]), FULL_BYTES)?);
    let mut mailbox = Sled::new(kv.clone(), quota);
    let begun = Instant::now();
    let group = SENDERS * WINDOW / 2;
    let device = |n: usize| DeviceId([n as u8 + 1; 16]);
    for first in (0..COUNT).step_by(group) {
        for n in first..first + group {
            let (from, nth) = (n % SENDERS, n / SENDERS);
            let sent =
                mailbox.put(device(from), &name("ada")?, &envelope(from, nth, device(from)), Millis(1));
            if sent.is_err() {
                bail!("the store takes no envelope");
            }
        }
        mailbox.append()?;
        kv.sync()?;
        for n in 0..SENDERS {
            let waiting = mailbox.after(device(n), Seq(0), group, usize::MAX)?;
            if let Some(last) = waiting.last() {
                mailbox.ack(device(n), last.delivery.seq)?;
            }
        }
    }
    mailbox.append()?;
    kv.sync()?;
    Ok(begun.elapsed())
}

/// Threads that each wait until theirs is on disk, and one that writes all that came and syncs once.
fn log(path: &Path) -> anyhow::Result<Duration> {
    let mut file = File::create(path)?;
    let (say, inbox) = mpsc::channel::<(Vec<u8>, mpsc::Sender<()>)>();
    let begun = Instant::now();
    let writers: Vec<_> = (0..SENDERS)
        .map(|from| {
            let say = say.clone();
            std::thread::spawn(move || {
                let (done, kept) = mpsc::channel();
                for n in 0..COUNT / SENDERS {
                    // As many on the way as a sender of envelopes has.
                    if n >= WINDOW && kept.recv().is_err() {
                        return;
                    }
                    let line = vec![from as u8; LENGTH + 64];
                    if say.send((line, done.clone())).is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    drop(say);
    while let Ok(first) = inbox.recv() {
        let group: Vec<_> = std::iter::once(first).chain(inbox.try_iter()).collect();
        for (line, _) in &group {
            file.write_all(line)?;
        }
        file.sync_data()?;
        for (_, done) in group {
            // A writer that has said all does not listen any more.
            let _ = done.send(());
        }
    }
    let time = begun.elapsed();
    for writer in writers {
        if writer.join().is_err() {
            bail!("a writer broke");
        }
    }
    Ok(time)
}
