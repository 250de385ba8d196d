//! Secrets that must be gone by now, by the rules that name their time.

use super::check::number;
use super::plan::device;
use super::play::{Town, Typed};
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use subrosa::chat::expiry::{TEXTS, TIMERS};
use subrosa::chat::groups::EARLY;
use subrosa::chat::timeline::{LINES, Line, LineState, unplace};
use subrosa::chat::transfer::{Phase, Transfer};
use subrosa_shared::id::RoomId;
use subrosa_shared::session::timed::Chain;
use subrosa_shared::store::{Order, Store, Table};
use subrosa_shared::time::Millis;

/// Slots as `session::kept` numbers them.
const INBOUND: u8 = 2;
const SKIPPED: u8 = 3;
const PREKEY: u8 = 4;

/// Acts that wait for a line; those of one that disappears begin with 1.
const PARKED: Table = Table { byte: 0xa1, name: "acts before their line" };

/// How often old keys are looked for, and as much again.
const LATE: u64 = 2 * 1800 * 1000;
/// How long a last-resort prekey is in use and kept after it, and how far clocks of a town are off at most.
const LAST_RESORT: u64 = (7 + 14 + 3) * 24 * 3_600_000;
/// One-time prekeys of a device: those that the relay has or gave out, and four for each peer.
const PREKEYS: usize = 8 * 64 + 3;
/// Inbound sessions from one device: at most.
const SESSIONS: usize = 32;

/// After a night: no secret has outlived its rule on anybody's disk.
pub(super) fn are_gone(town: &mut Town) -> Result<(), String> {
    let devices = town.devices();
    for name in devices.iter().copied().map(device) {
        let wall = town.world.now_of(&name).wall;
        let disk = town.world.disk(&name);
        sessions(&disk, wall, devices.len())
            .and_then(|()| fading(&mut town.world, &name, &disk, wall))
            .and_then(|()| words(&disk, &town.typed))
            .map_err(|what| format!("on {name}'s disk {what}"))?;
    }
    Ok(())
}

fn sessions(disk: &Store, wall: Millis, peers: usize) -> Result<(), String> {
    for (key, value) in disk.slots.list(SKIPPED) {
        let mut rest = Reader(&value[1..]);
        for _ in 0..rest.number() {
            rest.skip(32);
            rest.number();
            let until = rest.number();
            if until + LATE < wall.0 {
                return Err(format!(
                    "a skipped key of session {:02x?} is there after its time",
                    &key.id[..4]
                ));
            }
        }
    }
    let inbound = disk.slots.list(INBOUND);
    if inbound.len() > SESSIONS * peers {
        return Err(format!("there are {} sessions of {peers} people", inbound.len()));
    }
    for (key, value) in inbound {
        let mut rest = Reader(&value[1..]);
        rest.skip(64);
        rest.number();
        rest.skip(16 + 32);
        let until = (rest.byte() == 1).then(|| rest.number());
        if until.is_some_and(|until| until + LATE < wall.0) {
            return Err(format!("session {:02x?} is there after its time", &key.id[..4]));
        }
    }
    let prekeys = disk.slots.list(PREKEY);
    if prekeys.len() > PREKEYS + 8 * peers {
        return Err(format!("there are {} prekeys", prekeys.len()));
    }
    for (key, value) in prekeys {
        let mut rest = Reader(&value[1..]);
        rest.skip(32);
        let last_resort = rest.number() == 1;
        let mut since = rest.number();
        rest.number();
        if rest.byte() == 1 {
            rest.skip(16);
        }
        // Of a clock that ran ahead nothing is believed but when another one took its place.
        if since == 0 && rest.byte() == 1 {
            since = rest.number();
        }
        if last_resort && since + LAST_RESORT < wall.0 {
            return Err(format!("last-resort prekey {:02x?} is there after its time", &key.id[..4]));
        }
    }
    Ok(())
}

/// What disappears has disappeared, and its key with the last of it.
fn fading(world: &mut World, name: &str, disk: &Store, wall: Millis) -> Result<(), String> {
    let rows = |table| disk.records.scan(table, &[], &[], Order::Forward, usize::MAX);
    let timers = rows(TIMERS).map_err(|why| why.to_string())?;
    for (key, value) in &timers {
        let mut rest = Reader(&value[1..]);
        rest.number();
        let own = rest.byte() == 1;
        let ends = (rest.byte() == 1).then(|| rest.number());
        if ends.is_some_and(|ends| ends + LATE < wall.0) {
            return Err("a message is there after its time".into());
        }
        if ends.is_none() && !waits(world, name, disk, (key, own))? {
            return Err("the time of a message does not begin".into());
        }
    }
    let timed: BTreeSet<&Vec<u8>> = timers.iter().map(|(key, _)| key).collect();
    let texts = rows(TEXTS).map_err(|why| why.to_string())?;
    if texts.iter().any(|(key, _)| !timed.contains(key)) {
        return Err("the text of a message is there that has disappeared".into());
    }
    let rooms: Vec<RoomId> = world.app(name).chat().rooms.iter().map(|room| room.id).collect();
    for room in rooms {
        let key = disk.slots.get(&Chain::slot(room.0)).is_some();
        let parked = rows(PARKED).map_err(|why| why.to_string())?;
        let parked = parked.iter().any(|(at, value)| at.starts_with(&room.0) && value.first() == Some(&1));
        let early = rows(EARLY).map_err(|why| why.to_string())?;
        let early = early.iter().any(|(at, _)| at.starts_with(&room.0) && at.len() > 40);
        if key && !parked && !early && !timers.iter().any(|(at, _)| at.starts_with(&room.0)) {
            return Err("a key is there of messages that have all disappeared".into());
        }
    }
    Ok(())
}

/// Whether the time of a line has a reason not to begin yet: an own one is under way, or its file, and another's
/// was not read. What was taken back has no text, and its timer goes in a moment.
fn waits(world: &mut World, name: &str, disk: &Store, (key, own): (&[u8], bool)) -> Result<bool, String> {
    let read = |table| disk.records.get(table, key).map_err(|why| why.to_string());
    let line = read(LINES)?.and_then(|line| Line::read(&line));
    let (Some(line), Some(_), Some((room, pos))) = (line, read(TEXTS)?, unplace(key)) else {
        return Ok(true);
    };
    let chat = world.app(name).chat();
    let goes_up = |file: &Transfer| file.kept.up && matches!(file.kept.phase, Phase::Active | Phase::Paused);
    Ok(match own {
        true => line.state < LineState::Sent || chat.transfer(&line.id).is_some_and(goes_up),
        false => chat.room(room).is_none_or(|room| pos >= room.kept.read),
    })
}

/// Nothing is there in plain of what somebody typed and no line says any more, nor of what disappears.
fn words(disk: &Store, typed: &BTreeMap<usize, Typed>) -> Result<(), String> {
    let rows = |table| {
        let rows = disk.records.scan(table, &[], &[], Order::Forward, usize::MAX);
        rows.map_err(|why| why.to_string())
    };
    let timed: BTreeSet<Vec<u8>> = rows(TIMERS)?.into_iter().map(|(key, _)| key).collect();
    let lines = rows(LINES)?.into_iter().filter(|(key, _)| !timed.contains(key));
    let said = lines.filter_map(|(_, line)| number(&Line::read(&line)?.body));
    let said: BTreeSet<usize> = said.collect();
    // What was done to a line that never came waits for it for a while, and so does what came before its log.
    for byte in (0..=u8::MAX).filter(|byte| ![PARKED.byte, EARLY.byte].contains(byte)) {
        for (_, value) in rows(Table { byte, name: "any" })? {
            if let Some(number) = heads(&value, typed).find(|number| !said.contains(number)) {
                return Err(format!("are words that no line says: “{:.40}”", typed[&number].text));
            }
        }
    }
    Ok(())
}

/// The numbers of texts of which bytes have the beginning, such as `ada 7.`.
fn heads<'a>(bytes: &'a [u8], typed: &'a BTreeMap<usize, Typed>) -> impl Iterator<Item = usize> + 'a {
    let dots = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'.').map(|(at, _)| at);
    dots.filter_map(move |dot| {
        let before = &bytes[..dot];
        let digits = before.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let number: usize = std::str::from_utf8(&before[dot - digits..]).ok()?.parse().ok()?;
        let (head, _) = typed.get(&number)?.text.split_once('.')?;
        before.ends_with(head.as_bytes()).then_some(number)
    })
}

/// What postcard writes.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().expect("a slot has its fields");
        self.0 = rest;
        *first
    }

    fn skip(&mut self, bytes: usize) {
        self.0 = &self.0[bytes..];
    }

    fn number(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return number;
            }
        }
    }
}
