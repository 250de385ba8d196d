//! The real programs, killed at random under load, on disks that fill up.

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use subrosa_tests::real::{Client, PATIENCE, Relay, on_small_disk, program, seen_by, subrosa};
use subrosa_tests::skip::skipped;

const PASSPHRASE: &str = "a good passphrase";
/// Kills of a plain `cargo test`; `KILLS=200` is how many in the long run.
const KILLS: u32 = 5;
/// Lines that each of both writes before a kill.
const LINES: u32 = 8;

/// Somebody with a profile of their own.
struct Person {
    name: &'static str,
    other: &'static str,
    profile: PathBuf,
    client: Client,
    wrote: u32,
    /// Questions under way, with their texts.
    asked: Vec<(u64, String)>,
    /// What the client said to have.
    kept: Vec<String>,
}

impl Person {
    fn joins(dir: &Path, name: &'static str, other: &'static str, link: &str) -> Self {
        let profile = dir.join(name);
        let mut client = Client::start(&profile);
        client.ask("subscribe", json!({})).expect("subscribed");
        client.registers(name, PASSPHRASE, link);
        Self { name, other, profile, client, wrote: 0, asked: Vec::new(), kept: Vec::new() }
    }

    fn writes(&mut self) {
        self.wrote += 1;
        let text = format!("{} {}", self.name, self.wrote);
        let id = self.client.begin("send", json!({"to": self.other, "text": text}));
        self.asked.push((id, text));
    }

    /// Waits for some of the answers.
    fn hears(&mut self, answers: usize) {
        for (id, text) in self.asked.drain(..answers.min(self.asked.len())) {
            self.client.answer(id).expect("taken");
            self.kept.push(text);
        }
    }

    /// `kill -9`, and on.
    fn dies(&mut self) {
        let words = self.client.last_words();
        for (id, text) in self.asked.drain(..) {
            if words.iter().any(|word| word["id"] == id && word.get("result").is_some()) {
                self.kept.push(text);
            }
        }
        self.client = Client::start(&self.profile);
        self.client.ask("subscribe", json!({})).expect("subscribed");
        self.client.unlocks(PASSPHRASE);
    }

    /// What one of both wrote, as it stands in this person's conversation.
    fn lines(&mut self, author: &str) -> Vec<String> {
        let whose = if author == "me" { self.name } else { self.other };
        let said = self.conversation().into_iter().filter(|(by, _)| *by == whose);
        said.map(|(_, text)| text).collect()
    }

    /// What both wrote, as `history` lists it.
    fn conversation(&mut self) -> Vec<(&'static str, String)> {
        let (mut lines, mut before) = (Vec::new(), None);
        loop {
            let asked = json!({"with": self.other, "limit": 100, "before": before.unwrap_or(1u64 << 40)});
            let got = self.client.ask("history", asked).expect("read");
            let page = got["lines"].as_array().expect("a list").clone();
            before = page.first().and_then(|line| line["pos"].as_u64());
            let by = |line: &Value| match line["author"].as_str()? {
                "me" => Some(self.name),
                "them" => Some(self.other),
                _ => None,
            };
            let said = page.iter().filter_map(|line| Some((by(line)?, line["text"].as_str()?.to_owned())));
            lines.splice(0..0, said.collect::<Vec<_>>());
            if got["more"] != true {
                return lines;
            }
        }
    }
}

fn says(line: &Value, text: &str) -> bool {
    line["author"] == "them" && line["text"] == text
}

#[test]
fn relay_and_clients_killed_at_random_under_load_lose_and_double_nothing() {
    let kills = std::env::var("KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let seed = std::env::var("KILL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("relay");
    let mut relay = Relay::start(&data);
    let address = relay.address();
    let mut both = [("ada", "ben"), ("ben", "ada")]
        .map(|(name, other)| Person::joins(dir.path(), name, other, &relay.link));
    for person in &mut both {
        person.client.ask("add", json!({"name": person.other})).expect("known");
    }
    for _ in 0..kills {
        let victim = rng.next_u32() % 3;
        let at = rng.next_u32() % LINES;
        for line in 0..LINES {
            both.iter_mut().for_each(Person::writes);
            if line == at {
                // Somewhere between the first effect of what was asked and the last.
                let heard = rng.next_u32() as usize % (line as usize + 2);
                match victim {
                    0 => {
                        both[0].hears(heard);
                        relay.kill();
                        relay = Relay::start_at(&data, &address);
                    }
                    person => {
                        both[person as usize - 1].hears(heard);
                        both[person as usize - 1].dies();
                    }
                }
            }
        }
        both.iter_mut().for_each(|person| person.hears(usize::MAX));
    }
    // What is written last comes last.
    for at in 0..2 {
        both[at].writes();
        both[at].hears(1);
        let text = both[at].kept.last().expect("just written").clone();
        both[1 - at].client.told("message", |line| says(line, &text));
    }
    for at in 0..2 {
        let wrote = both[at].lines("me");
        let read = both[1 - at].lines("them");
        let lacks: Vec<_> = wrote.iter().filter(|text| !read.contains(text)).collect();
        assert!(lacks.is_empty(), "seed {seed}: {} was never shown {lacks:?}", both[1 - at].name);
        assert_eq!(wrote, read, "seed {seed}: each once, as they were said");
        let numbers = wrote.iter().map(|text| text.split(' ').nth(1).and_then(|n| n.parse().ok()));
        let numbers: Vec<u32> = numbers.map(|number| number.expect("a number")).collect();
        let ordered = numbers.is_sorted_by(|a, b| a < b);
        assert!(ordered, "seed {seed}: {} has their own in another order, or twice", both[at].name);
        let lost: Vec<_> = both[at].kept.iter().filter(|text| !wrote.contains(text)).collect();
        assert!(lost.is_empty(), "seed {seed}: {} was told to have {lost:?}", both[at].name);
    }
    let [ada, ben] = &mut both;
    assert!(ada.conversation() == ben.conversation(), "seed {seed}: both see one order");
    println!("{kills} kills: {} lines, all there, each once and in order", ada.wrote + ben.wrote);
}

/// Fills what is free but for so many bytes.
fn ballast(folder: &Path, megabytes: usize) -> PathBuf {
    let path = folder.join("ballast");
    std::fs::write(&path, vec![0; megabytes << 20]).expect("there is that much space");
    path
}

#[test]
fn a_relay_on_a_full_disk_takes_nothing_says_so_and_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = dir.path().join("disk");
    std::fs::create_dir(&disk).expect("made");
    let mut command = Command::new(program("subrosa-relay"));
    command.args(["run", "--listen", "127.0.0.1:0", "--data"]).arg(disk.join("relay"));
    let Some(command) = on_small_disk(&command, &disk, 128) else {
        skipped("this machine lets nobody mount a tmpfs in a namespace of their own");
        return;
    };
    let relay = Relay::start_as(command);
    let mut ada = Person::joins(dir.path(), "ada", "ben", &relay.link);
    let mut ben = Person::joins(dir.path(), "ben", "ada", &relay.link);
    ben.client.ask("add", json!({"name": "ada"})).expect("known");
    ada.writes();
    ada.hears(1);
    ben.client.told("message", |line| says(line, "ada 1"));
    // Less is free than the relay keeps free.
    let full = ballast(&seen_by(relay.process(), &disk), 80);
    ada.writes();
    ada.hears(1);
    let told = ada.client.told("mark", |mark| mark["state"] == "waiting");
    assert!(told["why"].as_str().is_some_and(|why| !why.is_empty()), "a reason is told: {told}");
    std::fs::remove_file(full).expect("gone");
    ben.client.told("message", |line| says(line, "ada 2"));
    assert_eq!(ben.lines("them"), ["ada 1", "ada 2"]);
}

/// Whether the client says that it cannot write; until it says so the question is not answered.
fn is_stuck(client: &mut Client, question: u64) -> bool {
    let asked = client.begin("status", json!({}));
    client.take("the status", |value| {
        assert_ne!(value["id"], question, "answered before it is kept: {value}");
        (value["id"] == asked).then(|| value["result"]["stuck"].as_str().is_some_and(|why| !why.is_empty()))
    })
}

#[test]
fn a_client_on_a_full_disk_keeps_what_was_written_until_there_is_space() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = dir.path().join("disk");
    std::fs::create_dir(&disk).expect("made");
    let relay = Relay::start(&dir.path().join("relay"));
    let mut command = subrosa(&disk.join("ada"));
    command.arg("rpc");
    let Some(command) = on_small_disk(&command, &disk, 128) else {
        skipped("this machine lets nobody mount a tmpfs in a namespace of their own");
        return;
    };
    let mut ada = Client::start_as(command);
    ada.ask("subscribe", json!({})).expect("subscribed");
    ada.registers("ada", PASSPHRASE, &relay.link);
    let mut ben = Person::joins(dir.path(), "ben", "ada", &relay.link);
    ben.client.ask("add", json!({"name": "ada"})).expect("known");
    ada.ask("send", json!({"to": "ben", "text": "there is space"})).expect("sent");
    ben.client.told("message", |line| says(line, "there is space"));
    let full = ballast(&seen_by(ada.process(), &disk), 80);
    // Not said to be kept before it is.
    let question = ada.begin("send", json!({"to": "ben", "text": "there is none"}));
    let until = Instant::now() + PATIENCE;
    while !is_stuck(&mut ada, question) {
        assert!(Instant::now() < until, "the full disk was not met");
    }
    std::fs::remove_file(full).expect("gone");
    ada.answer(question).expect("sent");
    ben.client.told("message", |line| says(line, "there is none"));
    assert_eq!(ben.lines("them"), ["there is space", "there is none"]);
}
