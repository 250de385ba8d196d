//! What a relayed datagram of live media costs, from one to 1, 2, 8, 32 and 100 watchers, beside a quinn
//! loop that does nothing else; and how long it takes.

use crate::bare::Bare;
use crate::figure::{Table, Times, shown};
use crate::people::tokio;
use crate::process::{relay, ticks};
use crate::raw::{self, CONFIG};
use anyhow::{Context, ensure};
use quinn::Connection;
use std::time::{Duration, Instant};
use subrosa_shared::id::TrackId;
use subrosa_shared::protocol::frame::{Ask, ToDevice, ToRelay};
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::protocol::media::{HEADER, Header};

const WATCHERS: [usize; 5] = [1, 2, 8, 32, 100];
/// Bytes of a datagram.
pub const LENGTH: usize = 1_000;
/// Datagrams a second that go out in all.
const OUT: usize = 6_000;
/// That one watcher gets a second at most.
const PACE: usize = 1_500;
/// Of sending.
pub const TIME: Duration = Duration::from_secs(6);
/// Datagrams go out so often.
pub const BEAT: Duration = Duration::from_millis(2);
/// Connections begun at the same time.
const AT_ONCE: usize = 16;

/// What is carried.
#[derive(Clone, Copy)]
pub struct Load {
    /// How many get each message.
    pub takers: usize,
    /// Messages a second.
    pub pace: usize,
}

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    for watchers in WATCHERS {
        // Turn and turn about, so that both see the same machine.
        let load = Load { takers: watchers, pace: pace(watchers) };
        let loops = bare(load)?;
        let ours = relayed(load)?;
        table.value(
            &format!(
                "a datagram of {LENGTH} B from one to {watchers}: CPU of the relay for each that goes out"
            ),
            &shown(ours.each()),
            &format!("bare quinn loop {}", shown(loops.each())),
            &format!("{:.2}×", ours.each().as_secs_f64() / loops.each().as_secs_f64().max(1e-12)),
        );
        let lost = |run: &Run| format!("{:.2} % lost", run.lost * 100.0);
        table.times(
            &format!("the same, from publisher to watcher ({}; beside {})", lost(&ours), lost(&loops)),
            &ours.late,
            "bare quinn loop",
            &loops.late,
        );
    }
    Ok(())
}

struct Run {
    cpu: Duration,
    /// Datagrams that watchers got.
    came: usize,
    /// Part of those that they should have got.
    lost: f64,
    late: Times,
}

impl Run {
    /// CPU for each datagram that came through.
    fn each(&self) -> Duration {
        Duration::from_nanos((self.cpu.as_nanos() / self.came.max(1) as u128) as u64)
    }
}

/// CPU of the relay for a datagram that comes through, and the part that does not.
pub fn cpu(load: Load) -> anyhow::Result<(Duration, f64)> {
    let run = relayed(load)?;
    Ok((run.each(), run.lost))
}

/// Datagrams a second that one publishes to so many.
pub const fn pace(watchers: usize) -> usize {
    if OUT / watchers < PACE { OUT / watchers } else { PACE }
}

fn relayed(load: Load) -> anyhow::Result<Run> {
    let dir = tempfile::tempdir()?;
    let (place, link) = relay(dir.path(), CONFIG)?;
    let link: RelayLink = link.parse().context("the relay printed no link")?;
    tokio()?.block_on(async {
        let mut all = raw::connect(&link, "p", load.takers + 1, AT_ONCE).await?;
        let mut publisher = all.pop().context("one at least")?;
        let viewers = all.iter().map(|viewer| viewer.device).collect();
        publisher.out.say(&ToRelay::OpenTrack { ask: Ask(1), viewers }).await?;
        let published = |frame: &ToDevice| match frame {
            ToDevice::Published { track, .. } => Some(*track),
            _ => None,
        };
        let track = publisher.inbox.hear(published).await?;
        for viewer in &mut all {
            viewer.out.say(&ToRelay::Watch { ask: Ask(2), track }).await?;
            viewer.inbox.hear(|frame| matches!(frame, ToDevice::Watching { .. }).then_some(())).await?;
        }
        let to = all.iter().map(|viewer| viewer.connection.clone()).collect();
        run(place.0.id(), track, publisher.connection.clone(), to, load.pace).await
    })
}

fn bare(load: Load) -> anyhow::Result<Run> {
    let bare = Bare::start()?;
    tokio()?.block_on(async {
        let mut all = bare.connect(load.takers + 1, AT_ONCE).await?;
        let publisher = all.remove(0);
        run(bare.pid(), TrackId(1), publisher, all, load.pace).await
    })
}

async fn run(
    pid: u32,
    track: TrackId,
    from: Connection,
    to: Vec<Connection>,
    pace: usize,
) -> anyhow::Result<Run> {
    let begun = Instant::now();
    let watchers = to.len();
    let readers: Vec<_> = to.into_iter().map(|watcher| tokio::spawn(reads(watcher, begun))).collect();
    let (before, mut sent) = (ticks(pid)?, 0u32);
    let rate = pace as f64;
    let mut beat = tokio::time::interval(BEAT);
    let started = Instant::now();
    while started.elapsed() < TIME {
        beat.tick().await;
        while f64::from(sent) < started.elapsed().as_secs_f64() * rate {
            sent += 1;
            let header = Header { track, frame: sent, index: 0, count: 1, layer: 0, keyframe: sent == 1 };
            let mut datagram = Vec::with_capacity(LENGTH);
            datagram.extend_from_slice(&header.encode());
            datagram.extend_from_slice(&(begun.elapsed().as_nanos() as u64).to_be_bytes());
            datagram.resize(LENGTH, 7);
            from.send_datagram(datagram.into())?;
        }
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let cpu = Duration::from_millis((ticks(pid)? - before) * 10);
    from.close(0u8.into(), b"done");
    let (mut came, mut late) = (0, Times::default());
    for reader in readers {
        for time in reader.await? {
            came += 1;
            late.add(time);
        }
    }
    ensure!(came > 0, "no datagram came through");
    Ok(Run { cpu, came, lost: 1.0 - came as f64 / (sent as usize * watchers) as f64, late })
}

/// How late each datagram was, until none comes for a while.
async fn reads(watcher: Connection, begun: Instant) -> Vec<Duration> {
    let mut late = Vec::new();
    let quiet = Duration::from_secs(1);
    let mut patience = TIME;
    while let Ok(Ok(datagram)) = tokio::time::timeout(patience, watcher.read_datagram()).await {
        patience = quiet;
        let Some(stamp) = datagram.get(HEADER..HEADER + 8).and_then(|bytes| bytes.try_into().ok()) else {
            continue;
        };
        late.push(begun.elapsed().saturating_sub(Duration::from_nanos(u64::from_be_bytes(stamp))));
    }
    late
}
