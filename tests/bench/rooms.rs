//! A text to a room of 2, 10 and 100 people beside one to a single person, and what it costs to come into
//! the room of 100.
//!
//! The relay and who speaks are the real programs, on disk; the others are clients in this process, with
//! their stores in memory. They stand on the same cores, so that the times to the last member are those of
//! all of them reading.

use crate::figure::{Table, Times, shown};
use crate::people::{Home, Person, name};
use crate::process::{Client, Running, relay, ticks};
use crate::wire::Between;
use anyhow::Context;
use serde_json::json;
use std::time::{Duration, Instant};
use subrosa::chat::timeline::Author;
use subrosa::effect::Happened;
use subrosa::ui::command::Command;
use subrosa_shared::protocol::link::RelayLink;

/// People of each room, who speaks among them.
const ROOMS: [usize; 3] = [2, 10, 100];
/// Texts of each way of measuring.
const TEXTS: usize = 100;
/// Bytes of a text, and of one that is long enough to be sealed once for all.
const LENGTHS: [usize; 2] = [100, 2_000];
/// Ticks of 10 ms in a second in which a relay does nothing to speak of.
const QUIET: u64 = 3;
/// Waiting for a hundred clients on two cores.
const PATIENCE: Duration = Duration::from_secs(120);
/// Everything that a single address could otherwise not do.
const CONFIG: &str = "
[limits]
registrations = { per_minute = 100000, burst = 100000 }
";

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (place, link) = relay(dir.path(), CONFIG)?;
    let link: RelayLink = link.parse().context("the relay printed no link")?;
    let between = Between::start(&link)?;
    let people = dir.path().join("ada");
    let mut ada = Client::start(&people, "ada", &between.link.to_string(), &["message", "room"])?;
    let mut all = Vec::new();
    for n in 1..ROOMS[2] {
        let person = Person::start(&format!("m{n}"), &Home::Memory, &link)?;
        person.runs(Command::Add(name("ada")?));
        all.push(person);
    }

    ada.ask("send", &json!({"to": "m1", "text": "hello"}))?;
    hears(&all[0], "hello")?;
    all[0].writes("and hello");
    all[0].enters()?;
    let mut scene = Scene { ada, place, between };
    scene.hears(1)?;
    let alone = scene.texts(LENGTHS[0], &all[..1], "send", &json!({"to": "m1"}))?;
    alone.row(table, "a text of 100 B to one person, on disk", None);

    for people in ROOMS {
        let (room, members) = (format!("of {people}"), &all[..people - 1]);
        scene.found(&room, members)?;
        let texts = scene.texts(LENGTHS[0], members, "say", &json!({"room": room}))?;
        texts.row(table, &format!("a text of 100 B to a room of {people}"), Some(&alone));
    }
    let long_alone = scene.texts(LENGTHS[1], &all[..1], "send", &json!({"to": "m1"}))?;
    let room = json!({"room": format!("of {}", ROOMS[2])});
    let long = scene.texts(LENGTHS[1], &all, "say", &room)?;
    long.row(table, "a text of 2,000 B to a room of 100", Some(&long_alone));
    scene.joins(table, &all, &link)
}

/// What is measured: the one who speaks, the relay, and the way between them.
struct Scene {
    ada: Client,
    place: Running,
    between: Between,
}

impl Scene {
    /// A room of these people in which everybody has said something.
    fn found(&mut self, room: &str, members: &[Person]) -> anyhow::Result<()> {
        let called: Vec<String> = (1..=members.len()).map(|n| format!("m{n}")).collect();
        self.ada.ask("new_room", &json!({"name": room, "people": called}))?;
        for member in members {
            in_room(member, room, members.len() + 1)?;
        }
        self.ada.ask("say", &json!({"room": room, "text": "who is here?"}))?;
        for member in members {
            let place = |happened: &Happened| match happened {
                Happened::Line { room, body, .. } if body == "who is here?" => Some(*room),
                _ => None,
            };
            let (id, _) = member.hears_within(PATIENCE, "the room's first line", place)?;
            member.runs(Command::Open(id));
            member.runs(Command::Say("here".into()));
        }
        self.hears(members.len())?;
        self.quiet()
    }

    /// Waits until the relay has nothing more to do: everybody has everything, with its receipts.
    fn quiet(&self) -> anyhow::Result<()> {
        let mut before = ticks(self.place.0.id())?;
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let now = ticks(self.place.0.id())?;
            if now - before <= QUIET {
                return Ok(());
            }
            before = now;
        }
    }

    /// Waits until so many of the others' lines came.
    fn hears(&mut self, mut lines: usize) -> anyhow::Result<()> {
        while lines > 0 {
            let event = self.ada.event()?;
            if event["method"] == "message" && event["params"]["author"] == "them" {
                lines -= 1;
            }
        }
        Ok(())
    }

    /// Says texts of that length one after the other; each is waited for by all who hear it.
    fn texts(
        &mut self,
        length: usize,
        to: &[Person],
        method: &str,
        params: &serde_json::Value,
    ) -> anyhow::Result<Cost> {
        self.quiet()?;
        let pids = [self.ada.process.0.id(), self.place.0.id()];
        let spent = || anyhow::Ok([ticks(pids[0])?, ticks(pids[1])?]);
        let (before, bytes, mut last) = (spent()?, self.between.counted(), Times::default());
        for n in 0..TEXTS {
            let text = format!("{n:0length$}");
            let mut params = params.clone();
            params["text"] = json!(text);
            let begun = Instant::now();
            self.ada.ask(method, &params)?;
            let mut there = begun;
            for person in to {
                there = there.max(hears(person, &text)?);
            }
            last.add(there.saturating_duration_since(begun));
        }
        let after = spent()?;
        let cpu = [0, 1].map(|i| Duration::from_millis((after[i] - before[i]) * 10) / TEXTS as u32);
        Ok(Cost { up: self.between.since(bytes, TEXTS as u64)[0], cpu, last })
    }

    /// Somebody comes into the biggest room.
    fn joins(mut self, table: &mut Table, members: &[Person], link: &RelayLink) -> anyhow::Result<()> {
        let room = format!("of {}", ROOMS[2]);
        let kicked = json!({"room": room, "what": "kick", "with": "m99"});
        self.ada.ask("change_room", &kicked)?;
        let (_, stay) = members.split_last().context("a hundred")?;
        for member in stay {
            in_room(member, &room, ROOMS[2] - 1)?;
        }
        let between = Between::start(link)?;
        let late = Person::start("late", &Home::Memory, &between.link)?;
        late.runs(Command::Add(name("ada")?));
        let bytes = between.counted();
        let begun = Instant::now();
        self.ada.ask("change_room", &json!({"room": room, "what": "invite", "with": "late"}))?;
        let there = in_room(&late, &room, ROOMS[2])?;
        let mut all = there;
        for member in stay {
            all = all.max(in_room(member, &room, ROOMS[2])?);
        }
        let [_, down] = between.since(bytes, 1);
        table.value(
            "joining a room of 100 by invitation: the newcomer is in",
            &shown(there.saturating_duration_since(begun)),
            &format!("all 99 others know {}", shown(all.saturating_duration_since(begun))),
            &format!("{down} B down"),
        );
        Ok(())
    }
}

/// What a text costs.
struct Cost {
    /// Bytes of UDP from who speaks.
    up: u64,
    /// CPU of who speaks and of the relay.
    cpu: [Duration; 2],
    /// From the request to the last timeline.
    last: Times,
}

impl Cost {
    fn row(&self, table: &mut Table, what: &str, beside: Option<&Self>) {
        let [sender, relay] = self.cpu.map(shown);
        let beside = beside.unwrap_or(self);
        table.times(&format!("{what}: to the last timeline"), &self.last, "to one", &beside.last);
        let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64().max(1e-9);
        table.value(
            &format!("{what}: bytes up; CPU of who speaks, of the relay"),
            &format!("{} B; {sender}, {relay}", self.up),
            &format!("to one: {} B; {}, {}", beside.up, shown(beside.cpu[0]), shown(beside.cpu[1])),
            &format!(
                "{:.1}×; {:.1}×, {:.1}×",
                self.up as f64 / beside.up.max(1) as f64,
                ratio(self.cpu[0], beside.cpu[0]),
                ratio(self.cpu[1], beside.cpu[1]),
            ),
        );
    }
}

fn hears(person: &Person, text: &str) -> anyhow::Result<Instant> {
    let line = |happened: &Happened| {
        matches!(happened, Happened::Line { author: Author::Them, body, .. } if body == text).then_some(())
    };
    Ok(person.hears_within(PATIENCE, "a line", line)?.1)
}

/// Waits until somebody is in the room with so many people.
fn in_room(person: &Person, room: &str, wanted: usize) -> anyhow::Result<Instant> {
    let is = |happened: &Happened| match happened {
        Happened::Room { with, people, open: true } if *people == wanted => {
            (with.as_str() == format!("#{room}")).then_some(())
        }
        _ => None,
    };
    Ok(person.hears_within(PATIENCE, "the room", is)?.1)
}
