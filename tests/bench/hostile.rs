//! What honest people notice of attacks on their relay: a text from one to another, under each attack and
//! quiet right before it; what the attack costs the relay, and its memory meanwhile. Who attacks is a program
//! of its own (`flood`) that gives way to the others.

use crate::figure::{Table, Times, mib, shown};
use crate::flood::{BAD, Flood, envelope};
use crate::people::tokio;
use crate::process::{relay, resident, ticks};
use crate::raw::{self, Raw};
use anyhow::Context;
use std::time::{Duration, Instant};
use subrosa_shared::protocol::frame::{ToDevice, ToRelay};
use subrosa_shared::protocol::link::RelayLink;

/// Texts of honest people in each scene, and the pause between two.
const TEXTS: usize = 500;
const PAUSE: Duration = Duration::from_millis(10);
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

/// The same of devices that are logged in.
const DEVICES: [(&str, &str, &str); 3] = [
    ("fill", "fill a third one's mailbox", "envelopes"),
    ("drain", "ask for one's prekeys without a pause", "questions"),
    ("deaf", "ask and never read", "questions"),
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
        for (number, (kind, what, unit)) in STRANGERS.iter().enumerate() {
            let (quiet, idle) = talk(&mut ada, &mut ben, pid).await?;
            let flood = Flood::start(kind, &text, None)?;
            tokio::time::sleep(BEFORE).await;
            let (times, busy) = talk(&mut ada, &mut ben, pid).await?;
            let login = newcomer(&link, number).await;
            let rate = flood.end()?;
            let what = format!("a text between two devices, beside {rate:.0} {what} a second");
            table.times(&what, &times, "quiet", &quiet);
            let each = (busy - idle).max(0.0) / rate.max(1.0);
            table.value(
                "relay, CPU meanwhile; memory; a newcomer's login",
                &format!("{:.0} % of a core", busy * 100.0),
                &format!("{}; {login}", mib(resident(pid)?)),
                &format!("{} a {unit}", shown(Duration::from_secs_f64(each))),
            );
        }
        let victim = raw::connect(&link, "victim", 1, 1).await?[0].device;
        for (kind, what, unit) in DEVICES {
            let (quiet, _) = talk(&mut ada, &mut ben, pid).await?;
            let had = resident(pid)?;
            let about = if kind == "fill" { victim } else { ada.device };
            let flood = Flood::start(kind, &text, Some(about))?;
            tokio::time::sleep(BEFORE).await;
            let (times, busy) = talk(&mut ada, &mut ben, pid).await?;
            let more = resident(pid)?.saturating_sub(had) / BAD as u64;
            let rate = flood.end()?;
            let what = format!("a text between two devices, while {BAD} others {what}");
            table.times(&what, &times, "quiet", &quiet);
            table.value(
                "relay, CPU meanwhile; memory for each of them",
                &format!("{:.0} % of a core", busy * 100.0),
                &mib(more),
                &format!("{rate:.0} {unit} a second in all"),
            );
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

/// How long each text took, and how busy the relay was meanwhile, 1 for a core.
async fn talk(ada: &mut Raw, ben: &mut Raw, relay: u32) -> anyhow::Result<(Times, f64)> {
    let mut times = Times::default();
    let (begun, spent) = (Instant::now(), ticks(relay)?);
    for _ in 0..TEXTS {
        let (id, frame) = envelope(ben.device, 200);
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
