//! Secrets that must be gone by now, by the rules that name their time.

use super::plan::device;
use super::play::Town;
use crate::world::World;
use std::collections::BTreeSet;
use subrosa::chat::expiry::{TEXTS, TIMERS};
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

/// What waits for a room's log; what disappears of it has a key of 41 bytes.
const EARLY: Table = Table { byte: 0x44, name: "early in rooms" };

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
        let created = rest.number();
        if last_resort && created + LAST_RESORT < wall.0 {
            return Err(format!("last-resort prekey {:02x?} is there after its time", &key.id[..4]));
        }
    }
    Ok(())
}

/// What disappears has disappeared, and its key with the last of it.
fn fading(world: &mut World, name: &str, disk: &Store, wall: Millis) -> Result<(), String> {
    let rows = |table| disk.records.scan(table, &[], &[], Order::Forward, usize::MAX);
    let timers = rows(TIMERS).map_err(|why| why.to_string())?;
    for (_, value) in &timers {
        let mut rest = Reader(&value[1..]);
        rest.number();
        rest.byte();
        let ends = (rest.byte() == 1).then(|| rest.number());
        if ends.is_some_and(|ends| ends + LATE < wall.0) {
            return Err("a message is there after its time".into());
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
