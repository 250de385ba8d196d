//! The real relay, as a program of its own, with many clients that do nothing: its memory, and what letting
//! them in takes.
//!
//! The clients share one UDP socket here; for the relay each is a connection with its own TLS, login
//! and stream.

use crate::bare::Bare;
use crate::figure::{Table, mib};
use crate::people::tokio;
use crate::process::{relay, resident, ticks};
use crate::raw::{self, CONFIG, Raw};
use anyhow::Context;
use rand_core::OsRng;
use std::time::{Duration, Instant};
use subrosa_shared::protocol::frame::{Ask, ToDevice, ToRelay};
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::store::Batch;

/// Connections in all, step by step.
const CROWDS: [usize; 3] = [1_000, 5_000, 10_000];
/// Handshakes under way at the same time.
const AT_ONCE: usize = 16;
/// Handshakes with the endpoint beside.
const BARE: usize = 1_000;

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (place, link) = relay(dir.path(), CONFIG)?;
    let pid = place.0.id();
    let link: RelayLink = link.parse().context("the relay printed no link")?;
    let empty = resident(pid)?;

    let tokio = tokio()?;
    let mut clients: Vec<Raw> = Vec::new();
    for (step, crowd) in CROWDS.into_iter().enumerate() {
        let more = crowd - clients.len();
        let (begun, spent) = (Instant::now(), ticks(pid)?);
        clients.extend(tokio.block_on(raw::connect(&link, &format!("idle{step}x"), more, AT_ONCE))?);
        if step == 0 {
            let took = (begun.elapsed(), Duration::from_millis((ticks(pid)? - spent) * 10));
            handshakes(table, &tokio, more, took)?;
        }
        let idle = resident(pid)?;
        let each =
            |now: u64| format!("{:.1} KiB a client", (now - empty.min(now)) as f64 / 1024.0 / crowd as f64);
        let beside = format!("{} with none", mib(empty));
        table.value(&format!("memory of the relay, {crowd} idle clients"), &mib(idle), &beside, &each(idle));
    }
    let before = ticks(pid)?;
    std::thread::sleep(Duration::from_secs(10));
    let spent = (ticks(pid)? - before) * 10;
    table.value("CPU of that relay in 10 s, all idle", &format!("{spent} ms"), "", "");
    let idle = resident(pid)?;
    tokio.block_on(publish(&mut clients[..CROWDS[0]]))?;
    let more = resident(pid)?.saturating_sub(idle);
    table.value(
        "32 prekeys on disk for each of 1,000 of them",
        &format!("{} more", mib(more)),
        "",
        &format!("{:.1} KiB a client", more as f64 / 1024.0 / CROWDS[0] as f64),
    );
    Ok(())
}

/// What logins took, beside connections to an endpoint that does nothing with them.
fn handshakes(
    table: &mut Table,
    tokio: &tokio::runtime::Runtime,
    count: usize,
    (took, cpu): (Duration, Duration),
) -> anyhow::Result<()> {
    let bare = Bare::start()?;
    let empty = resident(bare.pid())?;
    let (begun, before) = (Instant::now(), ticks(bare.pid())?);
    let held = tokio.block_on(bare.connect(BARE, AT_ONCE))?;
    let (bare_took, bare_cpu) = (begun.elapsed(), Duration::from_millis((ticks(bare.pid())? - before) * 10));
    let more = resident(bare.pid())?.saturating_sub(empty);
    drop(held);
    let kept = format!("{:.1} KiB each", more as f64 / 1024.0 / BARE as f64);
    table.value(&format!("memory of a bare quinn endpoint for {BARE} connections"), &mib(more), "", &kept);
    let rate = |count: usize, took: Duration| count as f64 / took.as_secs_f64().max(1e-9);
    let each = |count: usize, cpu: Duration| cpu.as_secs_f64() * 1e6 / count as f64;
    table.value(
        "handshakes with registration, a second; CPU of the relay for one",
        &format!("{:.0}/s; {:.0} µs", rate(count, took), each(count, cpu)),
        &format!("bare quinn {:.0}/s; {:.0} µs", rate(BARE, bare_took), each(BARE, bare_cpu)),
        &format!(
            "{:.2}×; {:.1}×",
            rate(count, took) / rate(BARE, bare_took).max(1e-9),
            each(count, cpu) / each(BARE, bare_cpu).max(1e-9)
        ),
    );
    Ok(())
}

/// The first batch of prekeys, which each client publishes after its first login.
async fn publish(clients: &mut [Raw]) -> anyhow::Result<()> {
    let now = subrosa::runtime::Clock::start().now();
    for client in clients {
        let bundles = client.sessions.prekeys(0, false, &mut OsRng, now, &mut Batch::default());
        let bundles = bundles.iter().map(|bundle| bundle.encode()).collect();
        let ask = Ask(1);
        client.out.say(&ToRelay::Publish { ask, bundles }).await?;
        client.inbox.hear(|frame| (*frame == ToDevice::Done(ask)).then_some(())).await?;
    }
    Ok(())
}
