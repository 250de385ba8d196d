//! What honest people notice of attacks on their relay: a text from one to another, quiet and under each
//! attack; what the attack costs the relay, and its memory meanwhile. Strangers are a program of their own
//! (`flood`) that gives way to the others; devices that misbehave are part of this one.

use crate::figure::{Table, Times, mib, shown};
use crate::flood::Flood;
use crate::people::tokio;
use crate::process::{relay, resident, ticks};
use crate::raw::{self, Raw};
use anyhow::Context;
use rand_core::{OsRng, RngCore};
use std::time::{Duration, Instant};
use subrosa_shared::id::{DeviceId, EnvelopeId};
use subrosa_shared::protocol::envelope::{Head, Keep, Outgoing};
use subrosa_shared::protocol::frame::{Ask, ToDevice, ToRelay};
use subrosa_shared::protocol::link::RelayLink;
use tokio::task::JoinSet;

/// Texts of honest people in each scene, and the pause between two.
const TEXTS: usize = 300;
const PAUSE: Duration = Duration::from_millis(10);
/// Devices of each bad kind.
const BAD: usize = 16;
/// How long an attack goes on before it counts: what queues up has queued up, what bursts has burst.
const BEFORE: Duration = Duration::from_secs(2);

/// The bounds that a relay has by itself, but for accounts, which here all come from one address, and a mailbox
/// that is soon full.
const CONFIG: &str = "
[limits]
registrations = { per_minute = 1000000, burst = 1000000 }
mailbox_envelopes = 2000
";

/// What each stranger's flood is called in the table, and what it consists of.
const STRANGERS: [(&str, &str, &str); 5] = [
    ("garbage", "datagrams of garbage from 100 addresses", "datagram"),
    ("initials", "beginnings of handshakes from 100 forged addresses", "datagram"),
    ("handshakes", "handshakes from 100 addresses, dropped half way", "handshake tried"),
    ("logins", "logins that do not hold, from 100 addresses", "login tried"),
    ("crowd", "connections from one address, ten thousand at once", "connection tried"),
];

/// A newcomer gives up.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (place, text) = relay(dir.path(), CONFIG)?;
    let pid = place.0.id();
    let link: RelayLink = text.parse().context("the relay printed no link")?;
    let tokio = tokio()?;
    tokio.block_on(async {
        let mut people = raw::connect(&link, "honest", 2, 2).await?;
        let (mut ben, mut ada) = (people.pop().context("two")?, people.pop().context("two")?);
        let before = resident(pid)?;
        let (quiet, idle) = talk(&mut ada, &mut ben, pid).await?;
        table.alone("a text between two devices of a quiet relay", &quiet);
        for (number, (kind, what, unit)) in STRANGERS.iter().enumerate() {
            let flood = Flood::start(kind, &text)?;
            tokio::time::sleep(BEFORE).await;
            let (times, busy) = talk(&mut ada, &mut ben, pid).await?;
            let login = newcomer(&link, number).await;
            let rate = flood.end()?;
            table.times(&format!("the same, {rate:.0} {what} a second"), &times, "quiet", &quiet);
            let each = (busy - idle).max(0.0) / rate.max(1.0);
            table.value(
                "relay, CPU meanwhile; memory; a newcomer's login",
                &format!("{:.0} % of a core", busy * 100.0),
                &format!("{}; {login}", mib(resident(pid)?)),
                &format!("{} a {unit}", shown(Duration::from_secs_f64(each))),
            );
        }
        let victims = raw::connect(&link, "victim", 1, 1).await?;
        let (victim, prey) = (victims[0].device, ada.device);
        for kind in [Bad::Fill(victim), Bad::Drain(prey), Bad::Deaf(prey)] {
            let had = resident(pid)?;
            let bad = raw::connect(&link, kind.name(), BAD, BAD).await?;
            let attack = tokio::spawn(attack(bad, kind));
            tokio::time::sleep(BEFORE).await;
            let (times, busy) = talk(&mut ada, &mut ben, pid).await?;
            table.times(&format!("the same, {BAD} devices {}", kind.does()), &times, "quiet", &quiet);
            let more = resident(pid)?.saturating_sub(had);
            table.value(
                "relay, CPU meanwhile; memory for each of them",
                &format!("{:.0} % of a core", busy * 100.0),
                &mib(more / BAD as u64),
                "",
            );
            attack.abort();
        }
        let after = resident(pid)?;
        table.value("memory of that relay at the end", &mib(after), &format!("{} before", mib(before)), "");
        Ok(())
    })
}

/// How long somebody new takes to come in, who tries again whenever it fails.
async fn newcomer(link: &RelayLink, flood: usize) -> String {
    let begun = Instant::now();
    for attempt in 0.. {
        if raw::connect(link, &format!("new{flood}x{attempt}"), 1, 1).await.is_ok() {
            return shown(begun.elapsed());
        }
        if begun.elapsed() > PATIENCE {
            break;
        }
    }
    format!("nobody new for {}", shown(PATIENCE))
}

/// What a device does that is logged in and bad.
#[derive(Clone, Copy)]
enum Bad {
    /// Fills somebody's mailbox.
    Fill(DeviceId),
    /// Takes somebody's prekeys, or tries to.
    Drain(DeviceId),
    /// Asks and never reads.
    Deaf(DeviceId),
}

impl Bad {
    fn name(self) -> &'static str {
        match self {
            Self::Fill(_) => "fill",
            Self::Drain(_) => "drain",
            Self::Deaf(_) => "deaf",
        }
    }

    fn does(self) -> &'static str {
        match self {
            Self::Fill(_) => "fill a third one's mailbox",
            Self::Drain(_) => "ask for a third one's prekeys without a pause",
            Self::Deaf(_) => "ask and never read",
        }
    }
}

async fn attack(bad: Vec<Raw>, kind: Bad) {
    let mut tasks = JoinSet::new();
    for mut device in bad {
        tasks.spawn(async move {
            loop {
                let (frame, reads) = match kind {
                    Bad::Fill(victim) => (text(victim, 1_000).1, true),
                    Bad::Drain(victim) => (ToRelay::Claim { ask: Ask(1), device: victim }, true),
                    Bad::Deaf(about) => (ToRelay::Claim { ask: Ask(1), device: about }, false),
                };
                if device.out.say(&frame).await.is_err() || reads && device.inbox.next().await.is_err() {
                    return;
                }
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

fn text(to: DeviceId, bytes: usize) -> (EnvelopeId, ToRelay) {
    let mut id = [0; 16];
    OsRng.fill_bytes(&mut id);
    let to = vec![Head { to, bytes: vec![7; bytes] }];
    let id = EnvelopeId(id);
    (id, ToRelay::Send(Outgoing { id, keep: Keep::Stored, to, body: Vec::new(), moves: None }))
}

/// How long each text took, and how busy the relay was meanwhile, 1 for a core.
async fn talk(ada: &mut Raw, ben: &mut Raw, relay: u32) -> anyhow::Result<(Times, f64)> {
    let mut times = Times::default();
    let (begun, spent) = (Instant::now(), ticks(relay)?);
    for _ in 0..TEXTS {
        let (id, frame) = text(ben.device, 200);
        let begun = Instant::now();
        ada.out.say(&frame).await?;
        let arrived = |frame: &ToDevice| match frame {
            ToDevice::Deliver(delivery) if delivery.id == id => Some(delivery.seq),
            _ => None,
        };
        let seq = ben.inbox.hear(arrived).await?;
        times.add(begun.elapsed());
        ben.out.say(&ToRelay::Ack(seq)).await?;
        ada.inbox.hear(|frame| (*frame == ToDevice::Accepted(id)).then_some(())).await?;
        tokio::time::sleep(PAUSE).await;
    }
    let busy = (ticks(relay)? - spent) as f64 / 100.0 / begun.elapsed().as_secs_f64();
    Ok((times, busy))
}
