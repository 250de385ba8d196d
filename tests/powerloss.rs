//! The power goes at any moment: what the real programs write is recorded, and what a power cut could leave of
//! it is opened. Whatever was acknowledged before that moment must be there.
//!
//! A plain run takes some of the moments, `LONG=1` each of them. `strace` makes the record; without it
//! there is no story, and a line says so.

use rand_core::OsRng;
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use subrosa_relay::admin::check;
use subrosa_relay::listener::Key;
use subrosa_relay::passwords::Setup;
use subrosa_relay::records;
use subrosa_shared::store::Kv;
use subrosa_shared::store::profile::Profile;
use subrosa_tests::promise::{self, Promise, held};
use subrosa_tests::real::{Client, Relay, program, signal, subrosa};
use subrosa_tests::record::{Cut, Disk, Recording, Step, Traced, traced};
use subrosa_tests::skip::skipped;

/// Moments of a plain run: of a relay's data folder, and of a profile, which takes longer to open.
const MOMENTS: (usize, usize) = (60, 15);
/// Mixtures of what is not synced that are tried at each moment.
const MIXTURES: u64 = 2;
/// Of so many profiles that are opened one is given to the program too. Not a multiple of the cuts of a
/// moment, so that it is another one each time.
const EACH_WHOLE: u32 = 7;
const PASSPHRASE: &str = "a good passphrase";

#[test]
fn whatever_the_relay_promised_before_the_power_went_is_there() {
    let dir = tempfile::tempdir().expect("a folder");
    let (data, log, config) =
        (dir.path().join("data"), dir.path().join("log"), dir.path().join("relay.toml"));
    std::fs::create_dir(&data).expect("made");
    std::fs::write(&config, promise::CONFIG).expect("written");
    let mut command = Command::new(program("subrosa-relay"));
    command.args(["run", "--listen", "127.0.0.1:0", "--data"]).arg(&data).arg("--config").arg(&config);
    // So that the journal is turned over many times.
    command.env("SUBROSA_TEST_JOURNAL_BYTES", "16384").env("RUST_LOG", "error");
    let Some(command) = traced(&command, &log) else {
        skipped("strace is not installed, or may not trace here");
        return;
    };
    let relay = Relay::start_as(command);
    let traced = Traced::of(&log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut story: Vec<(u64, Promise)> = Vec::new();
    let length = || std::fs::metadata(&log).expect("strace writes").len();
    runtime.block_on(promise::talk(&relay.link, |promise| story.push((length(), promise))));
    signal(traced.process(), "TERM");
    relay.ends();
    let recording = Recording::read(&log, &data);
    // A promise counts from when it was heard: what the relay did before it said so is recorded by then.
    let promises: Vec<(usize, &Promise)> =
        story.iter().map(|(bytes, promise)| (recording.at(*bytes), promise)).collect();
    let most_due = Cell::new(0_usize);
    let (moments, opened) = play(&recording, MOMENTS.0, dir.path(), |step, left| {
        let due: Vec<&Promise> =
            promises.iter().filter(|(at, _)| *at <= step).map(|(_, promise)| *promise).collect();
        most_due.set(most_due.get().max(due.len()));
        starts_and_holds(left, &due)
    });
    assert!(most_due.get() > 0, "no promise was due at any of {moments} moments");
    assert!(opened > moments, "at each of {moments} moments everything was certain");
}

#[test]
fn whatever_the_client_said_before_the_power_went_is_there() {
    let dir = tempfile::tempdir().expect("a folder");
    let (home, log) = (dir.path().join("ada"), dir.path().join("log"));
    let mut command = subrosa(&home);
    command.arg("rpc").current_dir(dir.path());
    let Some(command) = traced(&command, &log) else {
        skipped("strace is not installed, or may not trace here");
        return;
    };
    let relay = Relay::start(&dir.path().join("relay"));
    let (mut ada, mut ben) = (Client::start_as(command), Client::start(&dir.path().join("ben")));
    for (client, name) in [(&mut ada, "ada"), (&mut ben, "ben")] {
        client.ask("subscribe", json!({})).expect("subscribed");
        client.registers(name, PASSPHRASE, &relay.link);
    }
    for (client, name) in [(&mut ada, "ben"), (&mut ben, "ada")] {
        client.ask("add", json!({"name": name})).expect("known");
    }
    let mut asked = BTreeMap::new();
    for round in 0..6 {
        for (client, to, from) in [(&mut ada, "ben", "ada"), (&mut ben, "ada", "ben")] {
            let text = format!("{from} {round}");
            let id = client.begin("send", json!({"to": to, "text": text}));
            client.answer(id).expect("taken");
            if from == "ada" {
                asked.insert(id, text);
            }
        }
        ada.told("message", |line| line["text"] == format!("ben {round}"));
        ben.told("message", |line| line["text"] == format!("ada {round}"));
    }
    let traced = Traced::of(&log);
    let (rest, _) = ada.end();
    drop((rest, ben, relay, traced));
    let recording = Recording::read(&log, &home);
    // What was said on the standard output: that a line is kept, or what somebody wrote.
    let (mut said, mut promises) = (Vec::new(), Vec::new());
    for (at, step) in recording.steps.iter().enumerate() {
        let Step::Said(bytes) = step else { continue };
        said.extend_from_slice(bytes);
        while let Some(end) = said.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = said.drain(..=end).collect();
            let value: Value = serde_json::from_slice(&line).expect("only JSON on standard output");
            let kept =
                value["id"].as_u64().and_then(|id| asked.get(&id)).filter(|_| value.get("result").is_some());
            let read = (value["method"] == "message").then(|| value["params"]["text"].as_str()).flatten();
            promises.extend(kept.map(String::as_str).or(read).map(|text| (at + 1, text.to_string())));
        }
    }
    assert!(promises.len() >= 12, "each line was kept or read: {promises:?}");
    let (well, asked_whole) = (Cell::new(0_u32), Cell::new(0_u32));
    play(&recording, MOMENTS.1, dir.path(), |step, left| {
        let due: Vec<&str> =
            promises.iter().filter(|(at, _)| *at <= step).map(|(_, text)| text.as_str()).collect();
        if due.is_empty() {
            return Ok(());
        }
        let profile = Profile::open(left, PASSPHRASE).map_err(|error| error.to_string())?;
        if profile.lost_secrets > 0 {
            return Err(format!("{} secrets are lost", profile.lost_secrets));
        }
        drop(profile);
        // The program itself takes longer to ask.
        let before = well.replace(well.get() + 1);
        if before.is_multiple_of(EACH_WHOLE) || std::env::var_os("LONG").is_some() {
            asked_whole.set(asked_whole.get() + 1);
            lines_hold(left, &due)
        } else {
            Ok(())
        }
    });
    let (well, asked_whole) = (well.get(), asked_whole.get());
    assert!(asked_whole >= 2, "the program was asked about {asked_whole} of {well} profiles");
}

/// Whether the program shows these lines when it is started on a profile, each once.
fn lines_hold(profile: &Path, due: &[&str]) -> Result<(), String> {
    let mut client = Client::start(profile);
    client.ask("unlock", json!({"passphrase": PASSPHRASE})).map_err(|code| format!("unlocking: {code}"))?;
    let asked = json!({"with": "ben", "limit": 500, "before": 1u64 << 40});
    let got = client.ask("history", asked).map_err(|code| format!("history: {code}"))?;
    let lines: Vec<&str> =
        got["lines"].as_array().into_iter().flatten().filter_map(|line| line["text"].as_str()).collect();
    for text in due {
        let count = lines.iter().filter(|line| *line == text).count();
        if count != 1 {
            return Err(format!("{text:?} is there {count} times among {lines:?}"));
        }
    }
    Ok(())
}

/// Whether a relay can start on a data folder, and finds there what was promised.
fn starts_and_holds(data: &Path, due: &[&Promise]) -> Result<(), String> {
    let why = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
    let records = records::open(data, records::Use::Run).map_err(|error| why("the store", &error))?;
    let records: Arc<dyn Kv> = Arc::new(records);
    Key::read_or_make(&data.join("relay.key")).map_err(|error| why("relay.key", &error))?;
    Setup::read_or_make(&data.join("relay.opaque"), &mut OsRng)
        .map_err(|error| why("relay.opaque", &error))?;
    if due.is_empty() {
        return Ok(());
    }
    let found = check::check(&*records, data).map_err(|error| why("check", &error))?;
    // No file of these was deleted: bytes without an entry are what is left of one.
    if !found.is_well() || !found.notes().is_empty() {
        return Err(found.to_string());
    }
    held(&records, data, due)
}

/// Goes through a record and opens what a power cut could leave. Gives how many moments were tried, and how
/// many folders were opened.
fn play(
    recording: &Recording,
    moments: usize,
    dir: &Path,
    holds: impl Fn(usize, &Path) -> Result<(), String>,
) -> (usize, usize) {
    let total = recording.steps.len();
    assert!(total > 0, "nothing was recorded");
    let every = if std::env::var_os("LONG").is_some() { 1 } else { total.div_ceil(moments).max(1) };
    let mut disk = Disk::default();
    let (mut tried, mut opened) = (0, 0);
    for (at, step) in recording.steps.iter().enumerate() {
        disk.take(step);
        if at % every != 0 {
            continue;
        }
        tried += 1;
        let mixtures = (0..MIXTURES).map(|n| Cut::Mixed(at as u64 * MIXTURES + n));
        let cuts = [Cut::Dropped, Cut::Kept, Cut::Torn].into_iter().chain(mixtures);
        // Where everything is certain, all of them are one.
        let some = if disk.is_certain() { 1 } else { usize::MAX };
        for cut in cuts.take(some) {
            let left = tempfile::tempdir_in(dir).expect("a folder");
            disk.leave(cut, left.path());
            opened += 1;
            if let Err(why) = holds(at + 1, left.path()) {
                let step: String = format!("{step:?}").chars().take(200).collect();
                panic!("the power goes after step {} of {total} ({step}), {cut:?}: {why}", at + 1);
            }
        }
    }
    (tried, opened)
}
