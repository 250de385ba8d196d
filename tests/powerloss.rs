//! The power goes at any moment: what the real programs write is recorded, and what a power cut could leave of
//! it is opened. Whatever was acknowledged before that moment must be there.
//!
//! A plain run takes some of the moments, `LONG=1` each of them. `strace` makes the record; without it
//! there is no story, and a line says so.

use rand_core::OsRng;
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use subrosa_relay::admin::{check, restore};
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
    let (moments, opened) = play(&recording, MOMENTS.0, &[], dir.path(), |step, left| {
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
    let [home, log, config] = ["ada", "log", "client.toml"].map(|name| dir.path().join(name));
    // No file is fetched before it is said where to.
    std::fs::write(&config, "[files]\nauto_mb = 0\n").expect("written");
    let mut command = subrosa(&home);
    command.arg("--config").arg(&config).arg("rpc").current_dir(dir.path());
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
    // Both go below the folder that is recorded: a file that comes, and keys that are taken out.
    let (film, content) = (dir.path().join("film.mkv"), vec![7; 200_000]);
    std::fs::write(&film, &content).expect("written");
    ben.ask("send_file", json!({"to": "ada", "path": film})).expect("read");
    let id = ada.told("file", |file| file["state"] == "offered")["id"].clone();
    ada.ask("save_file", json!({"id": id, "folder": home.join("saved")})).expect("begun");
    ada.told("file", |file| file["state"] == "done");
    let keys = ada
        .begin("export_keys", json!({"path": home.join("keys.txt"), "passphrase": "one of the file's own"}));
    ada.answer(keys).expect("written");
    let traced = Traced::of(&log);
    let (rest, _) = ada.end();
    drop((rest, ben, relay, traced));
    let recording = Recording::read(&log, &home);
    // What was said on the standard output: that a line is kept, what somebody wrote, or where a file is.
    let (mut said, mut promises, mut files) = (Vec::new(), Vec::new(), Vec::new());
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
            let params = &value["params"];
            let is_saved = value["method"] == "file" && params["state"] == "done";
            let saved = is_saved.then(|| params["path"].as_str()).flatten().map(PathBuf::from);
            let taken = (value["id"] == keys && value.get("result").is_some()).then(|| home.join("keys.txt"));
            files.extend(saved.or(taken).map(|path| (at + 1, path)));
        }
    }
    assert!(promises.len() >= 12, "each line was kept or read: {promises:?}");
    let paths: BTreeSet<&PathBuf> = files.iter().map(|(_, path)| path).collect();
    assert_eq!(paths.len(), 2, "both files were said to be there: {paths:?}");
    assert!(std::fs::read(&files[0].1).expect("saved") == content, "bit for bit");
    let also: Vec<usize> = files.iter().map(|(at, _)| *at).collect();
    let (well, asked_whole) = (Cell::new(0_u32), Cell::new(0_u32));
    play(&recording, MOMENTS.1, &also, dir.path(), |step, left| {
        for (_, path) in files.iter().filter(|(at, _)| *at <= step) {
            let there = left.join(path.strip_prefix(&home).expect("recorded"));
            if std::fs::read(there).ok() != std::fs::read(path).ok() {
                return Err(format!("{} is not there as it was", path.display()));
            }
        }
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

#[test]
fn a_backup_and_what_is_restored_from_it_outlast_the_power() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("relay.toml"), promise::CONFIG).expect("written");
    let relay = Relay::start_with(&path("data"), "127.0.0.1:0", Some(&path("relay.toml")));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut story = Vec::new();
    runtime.block_on(promise::talk(&relay.link, |promise| story.push(promise)));
    assert!(relay.terminate().success());
    let after = |what: &str, data: &str, root: &str| {
        std::fs::create_dir(path(root)).expect("made");
        let mut command = Command::new(program("subrosa-relay"));
        command.arg(what).arg(path("out/backup")).arg("--data").arg(path(data));
        let log = path(&format!("{what}.log"));
        let done = traced(&command, &log)?.output().expect("runs");
        assert!(done.status.success(), "{what}: {}", String::from_utf8_lossy(&done.stderr));
        let mut disk = Disk::default();
        Recording::read(&log, &path(root)).steps.iter().for_each(|step| disk.take(step));
        let left = tempfile::tempdir_in(dir.path()).expect("a folder");
        disk.leave(Cut::Dropped, left.path());
        Some(left)
    };
    let Some(left) = after("backup", "data", "out") else {
        skipped("strace is not installed, or may not trace here");
        return;
    };
    assert!(files_in(left.path()) == files_in(&path("out")), "the backup is there under its name alone");
    restore::verify(&left.path().join("backup")).expect("whole");
    let left = after("restore", "in/data", "in").expect("it may trace");
    for folder in ["data", "data/files"] {
        let (there, was) = (files_in(&left.path().join(folder)), files_in(&path("in").join(folder)));
        assert!(!was.is_empty() && there == was, "{folder}: {:?} of {:?}", there.keys(), was.keys());
    }
    let due: Vec<&Promise> = story.iter().collect();
    starts_and_holds(&left.path().join("data"), &due).expect("all that was promised before the backup");
}

/// What lies in a folder, but for other folders.
fn files_in(folder: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let paths = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("reads").path());
    let files = paths.filter(|path| path.is_file());
    let read = |path: PathBuf| {
        let name = path.file_name().expect("it has one").to_os_string();
        (name, std::fs::read(&path).expect("reads"))
    };
    files.map(read).collect()
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

/// Goes through a record and opens what a power cut could leave, also behind those steps. Gives how many
/// moments were tried, and how many folders were opened.
fn play(
    recording: &Recording,
    moments: usize,
    also: &[usize],
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
        if at % every != 0 && !also.contains(&(at + 1)) {
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
