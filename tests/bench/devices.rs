//! What it takes to link a device, and how long a long history takes to come from another one: a relay
//! and two real clients on loopback, profiles on disk.

use crate::cold::fill;
use crate::figure::{Table, shown};
use crate::people::{Person, Place};
use anyhow::{Context, anyhow, bail};
use rand_core::OsRng;
use std::time::{Duration, Instant};
use subrosa::chat::link::{Joining, Linked, Step};
use subrosa::effect::Happened;
use subrosa::net::visit::Visit;
use subrosa::ui::command::Command;
use subrosa::ui::devices::DevicesCommand;
use subrosa_shared::protocol::codec;
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::Identity;
use subrosa_shared::session::pair::Code;
use subrosa_shared::session::vault::Cost;
use subrosa_shared::store::profile::Profile;
use subrosa_shared::store::{Batch, Store};

const LINES: u64 = 10_000;
/// How long all of them may take.
const PATIENCE: Duration = Duration::from_secs(600);

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let [desk, laptop] = ["desk", "laptop"].map(|name| dir.path().join(name));
    let begun = Instant::now();
    fill(&desk, LINES)?;
    let writing = begun.elapsed();

    let relay = Place::start(Some(&dir.path().join("relay")))?;
    let link = relay.server().link().clone();
    let profile = Profile::open(&desk, "")?;
    let store = profile.store.clone();
    let desk = Person::with("ada", Identity::generate(&mut OsRng), store, Some(profile), &link)?;
    desk.runs(Command::Devices(DevicesCommand::Link));
    let (code, _) = desk.hears_within(PATIENCE, "a code", code)?;
    let identity = Identity::generate(&mut OsRng);
    let profile = Profile::create(&laptop, "", Cost::TINY, &mut OsRng)?;
    let store = profile.store.clone();
    let begun = Instant::now();
    let (linked, bytes) = crate::people::tokio()?.block_on(links(&code, &link, &identity, &store))?;
    let linking = begun.elapsed();
    table.value(
        "linking a device: all frames, both ways",
        &format!("{bytes} B, {}", shown(linking)),
        &format!("the code alone: {} B", code.len()),
        &format!("{:.0}×", bytes as f64 / code.len() as f64),
    );

    let begun = Instant::now();
    let laptop = Person::with(linked.name.as_str(), identity, store, Some(profile), &link)?;
    let (told, at) = laptop.hears_within(PATIENCE, "the history", over)?;
    if told != format!("the history is complete: {LINES} messages came from your other device") {
        bail!("{told}");
    }
    let took = at.duration_since(begun);
    table.value(
        "10,000 messages restored from another device",
        &format!("{} ({:.0}/s)", shown(took), LINES as f64 / took.as_secs_f64()),
        &format!("the same lines written to a fresh profile: {}", shown(writing)),
        &format!("{:.1}×", took.as_secs_f64() / writing.as_secs_f64()),
    );
    Ok(())
}

/// The code in what the first device says.
fn code(happened: &Happened) -> Option<String> {
    let Happened::Notice { text, error: false } = happened else { return None };
    let (_, command) = text.split_once("subrosa link ")?;
    command.split(' ').next().map(String::from)
}

/// What is said of a history that ended.
fn over(happened: &Happened) -> Option<String> {
    match happened {
        Happened::Notice { text, .. } if text.contains("history is") => Some(text.clone()),
        _ => None,
    }
}

/// Links with that code; says how many bytes of frames that took.
async fn links(
    code: &str,
    relay: &RelayLink,
    identity: &Identity,
    store: &Store,
) -> anyhow::Result<(Linked, usize)> {
    let code = Code::parse(code).map_err(|why| anyhow!("{why}"))?;
    let wrong = |why| anyhow!("{why}");
    let mut visit = Visit::connect(relay).await.map_err(wrong)?;
    let (mut joining, first) = Joining::new(code, &relay.fingerprint, identity, "laptop", &mut OsRng);
    let (mut bytes, mut send) = (0, vec![first]);
    let mut kept: Option<Linked> = None;
    loop {
        for frame in send {
            bytes += codec::encode(&frame).context("a frame")?.len();
            visit.send(&frame).await.map_err(wrong)?;
        }
        let frame = visit.receive().await.map_err(wrong)?;
        bytes += codec::encode(&frame).context("a frame")?.len();
        if let Some(linked) = kept.take() {
            match linked.listed(&frame) {
                Some(true) => return Ok((linked, bytes)),
                Some(false) => bail!("the other device left"),
                None => (kept, send) = (Some(linked), Vec::new()),
            }
            continue;
        }
        match joining.frame(frame, &mut OsRng) {
            Step::Send(frames) => send = frames,
            Step::Keep(linked) => {
                let mut batch = Batch::default();
                linked.write(&relay.to_string(), identity, &mut batch);
                store.commit(&batch)?;
                (send, kept) = (linked.kept().into_iter().collect(), Some(linked));
            }
            Step::Failed(why) => bail!("{why}"),
        }
    }
}
