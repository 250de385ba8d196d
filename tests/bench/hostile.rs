//! What honest people notice of attacks on their relay: a text from one to another, quiet and under each
//! attack, and the relay's memory meanwhile. Attackers share this machine's cores, so what is measured is
//! worse than what the same attack does from elsewhere.

use crate::figure::{Table, Times, mib};
use crate::people::tokio;
use crate::process::{relay, resident};
use crate::raw::{self, CONFIG, Raw};
use anyhow::Context;
use rand_core::{OsRng, RngCore};
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use subrosa_shared::id::{DeviceId, EnvelopeId};
use subrosa_shared::protocol::envelope::{Head, Keep, Outgoing};
use subrosa_shared::protocol::frame::{Ask, ToDevice, ToRelay};
use subrosa_shared::protocol::link::RelayLink;
use tokio::task::JoinSet;

/// Texts of honest people in each scene, and the pause between two.
const TEXTS: usize = 300;
const PAUSE: Duration = Duration::from_millis(10);
/// Datagrams a second of the flood of garbage.
const GARBAGE: u32 = 20_000;
/// Handshakes that are always under way in the flood of them; they are dropped half way.
const HANDSHAKES: usize = 64;
/// Devices that flood one mailbox, and that ask and never read.
const BAD: usize = 16;

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    // A mailbox that is soon full, and the rates that a relay has by itself.
    let usual = CONFIG.replace("sends =", "mailbox_envelopes = 2000\nsends =");
    let (place, link) = relay(dir.path(), &usual)?;
    let pid = place.0.id();
    let link: RelayLink = link.parse().context("the relay printed no link")?;
    let tokio = tokio()?;
    tokio.block_on(async {
        let mut people = raw::connect(&link, "honest", 2, 2).await?;
        let (mut ben, mut ada) = (people.pop().context("two")?, people.pop().context("two")?);
        let before = resident(pid)?;
        let quiet = talk(&mut ada, &mut ben).await?;
        table.alone("a text between two devices of a quiet relay", &quiet);
        let mut memory = before;
        let mut scene = |what: &str, times: &Times| -> anyhow::Result<()> {
            table.times(what, times, "quiet", &quiet);
            memory = memory.max(resident(pid)?);
            Ok(())
        };
        let under = garbage(link.port);
        scene("the same, 20,000 datagrams of garbage a second", &beside(under, &mut ada, &mut ben).await?)?;
        let under = handshakes(link.clone());
        scene(
            "the same, 64 handshakes always under way, never finished",
            &beside(under, &mut ada, &mut ben).await?,
        )?;
        let victims = raw::connect(&link, "victim", 1, 1).await?;
        let bad = raw::connect(&link, "flood", BAD, BAD).await?;
        let under = flood(bad, victims[0].device);
        scene("the same, 16 devices fill a third one's mailbox", &beside(under, &mut ada, &mut ben).await?)?;
        let bad = raw::connect(&link, "deaf", BAD, BAD).await?;
        let under = deaf(bad, ada.device);
        scene("the same, 16 devices ask and never read", &beside(under, &mut ada, &mut ben).await?)?;
        table.value(
            "memory of that relay at the end of the worst scene",
            &mib(memory),
            &format!("{} before", mib(before)),
            "",
        );
        Ok(())
    })
}

/// The talk of honest people while this goes on; it ends with them.
async fn beside(
    attack: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ada: &mut Raw,
    ben: &mut Raw,
) -> anyhow::Result<Times> {
    let attack = tokio::spawn(attack);
    // It is under way, and what queues up has queued up.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let times = talk(ada, ben).await;
    attack.abort();
    times
}

fn text(to: DeviceId, bytes: usize) -> (EnvelopeId, ToRelay) {
    let mut id = [0; 16];
    OsRng.fill_bytes(&mut id);
    let to = vec![Head { to, bytes: vec![7; bytes] }];
    let id = EnvelopeId(id);
    (id, ToRelay::Send(Outgoing { id, keep: Keep::Stored, to, body: Vec::new(), moves: None }))
}

async fn talk(ada: &mut Raw, ben: &mut Raw) -> anyhow::Result<Times> {
    let mut times = Times::default();
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
    Ok(times)
}

/// Datagrams of which every second looks like the beginning of a handshake.
async fn garbage(port: u16) -> anyhow::Result<()> {
    let socket = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let relay = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    let mut bytes = [0; 1200];
    OsRng.fill_bytes(&mut bytes);
    loop {
        tick.tick().await;
        for n in 0..GARBAGE / 200 {
            bytes[0] = if n % 2 == 0 { 0xC3 } else { n as u8 };
            bytes[1..5].copy_from_slice(&1_u32.to_be_bytes());
            OsRng.fill_bytes(&mut bytes[6..14]);
            // A full socket loses it.
            let _ = socket.try_send_to(&bytes, relay);
        }
    }
}

async fn handshakes(link: RelayLink) -> anyhow::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, link.port));
    let mut tasks = JoinSet::new();
    loop {
        if tasks.len() == HANDSHAKES {
            tasks.join_next().await;
        }
        let (config, _) = subrosa::net::tls::config(link.fingerprint)?;
        let endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
        tasks.spawn(async move {
            let connecting = endpoint.connect_with(config, address, "subrosa");
            if let Ok(connecting) = connecting {
                // Long enough for the relay to have answered, too short to go on.
                let _ = tokio::time::timeout(Duration::from_millis(3), connecting).await;
            }
        });
    }
}

async fn flood(bad: Vec<Raw>, victim: DeviceId) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    for mut device in bad {
        tasks.spawn(async move {
            while device.out.say(&text(victim, 1_000).1).await.is_ok() {
                if device.inbox.next().await.is_err() {
                    return;
                }
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    Ok(())
}

async fn deaf(bad: Vec<Raw>, about: DeviceId) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    for mut device in bad {
        tasks.spawn(async move {
            while device.out.say(&ToRelay::Claim { ask: Ask(1), device: about }).await.is_ok() {}
        });
    }
    while tasks.join_next().await.is_some() {}
    Ok(())
}
