//! What must be true of a town: after every step, when everything has arrived, and after a night.

use super::plan::{NAMES, What, Who};
use super::play::{Said, Town};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use subrosa::chat::Link;
use subrosa::chat::outbox::OUTBOX;
use subrosa::chat::talk::PENDING;
use subrosa::chat::timeline::{Author, Line, LineState};
use subrosa::chat::transfer::Phase;
use subrosa_shared::id::{MessageId, RoomId};
use subrosa_shared::store::{Order, Rows, Store, Table};

/// Things under way at a time, for each person of the town.
const UNDER_WAY: usize = 2_000;
/// Envelopes at the relay, for each person of the town.
const AT_RELAY: u64 = 2_000;
/// Lines of a conversation in memory that nobody looks at: two pages.
const IN_MEMORY: usize = 2 * 256;

/// After every step: nobody has a line twice or out of order, and what waits is in bound.
pub(super) fn always(town: &mut Town, what: &What) -> Result<(), String> {
    let people = town.names.len();
    let touched: Vec<(Who, Who)> = match what {
        What::Says(who, to, _) | What::Acts(who, to, _) | What::Reads(who, to) => vec![(*who, *to)],
        What::Starts(who) | What::Restarts(who) | What::Back(who) | What::Empties(who) => {
            (0..people).filter(|with| with != who).map(|with| (*who, with)).collect()
        }
        // Whatever it was, it may have touched all; a big town is looked at in part.
        _ if people <= 6 => (0..people).flat_map(|a| (0..a).map(move |b| (a, b))).collect(),
        _ => Vec::new(),
    };
    for (one, other) in touched {
        in_order(town, one, other)?;
        in_order(town, other, one)?;
    }
    let under_way = town.world.under_way();
    if under_way > UNDER_WAY * people {
        return Err(format!("{under_way} things are under way at a time"));
    }
    if town.world.relay_runs() {
        let kept = town.world.relay().mailbox().totals().map_err(|why| why.to_string())?.bodies;
        if kept > AT_RELAY * people as u64 {
            return Err(format!("the relay keeps {kept} envelopes"));
        }
    }
    Ok(())
}

fn own(town: &mut Town, who: Who, with: Who) -> Vec<Line> {
    let lines = town.world.lines(town.names[who], town.names[with]);
    lines.into_iter().filter(|line| line.author == Author::Me).collect()
}

fn theirs(town: &mut Town, who: Who, with: Who) -> Vec<Line> {
    let lines = town.world.lines(town.names[who], town.names[with]);
    lines.into_iter().filter(|line| line.author == Author::Them).collect()
}

/// What a reader has of an author's lines is a part of them, each once, in their order.
fn in_order(town: &mut Town, author: Who, reader: Who) -> Result<(), String> {
    let read = theirs(town, reader, author);
    if read.is_empty() {
        return Ok(());
    }
    let wrote = own(town, author, reader);
    let places: HashMap<MessageId, usize> =
        wrote.iter().enumerate().map(|(at, line)| (line.id, at)).collect();
    let mut last = None;
    let mut once = HashSet::new();
    for line in &read {
        if !once.insert(line.id) {
            return Err(format!("{} has {}'s “{}” twice", NAMES[reader], NAMES[author], line.body));
        }
        // A file is told of when it has gone up.
        if line.more.is_file || line.more.file.is_some() {
            continue;
        }
        let Some(at) = places.get(&line.id) else {
            return Err(format!(
                "{} has “{}”, which {} never wrote",
                NAMES[reader], line.body, NAMES[author]
            ));
        };
        if Some(*at) < last {
            let (reader, author) = (NAMES[reader], NAMES[author]);
            return Err(format!("{reader} has {author}'s “{}” after what was written later", line.body));
        }
        last = Some(*at);
    }
    Ok(())
}

/// Everything works and everything has arrived.
pub(super) fn quiet(town: &mut Town, at: usize) -> Result<(), String> {
    for who in 0..town.names.len() {
        person(town, who)?;
    }
    let kept = town.world.relay().mailbox().totals().map_err(|why| why.to_string())?;
    if kept.bodies > 0 {
        return Err(format!("the relay still keeps {} envelopes", kept.bodies));
    }
    for author in 0..town.names.len() {
        for reader in (0..town.names.len()).filter(|reader| *reader != author) {
            arrived(town, author, reader)?;
        }
    }
    for club in town.clubs.keys().copied().collect::<Vec<_>>() {
        converged(town, club, at)?;
    }
    Ok(())
}

/// A person's client came to rest.
fn person(town: &mut Town, who: Who) -> Result<(), String> {
    let name = town.names[who];
    let disk = town.world.disk(name);
    let chat = town.world.app(name).chat();
    if chat.link != Link::Online {
        return Err(format!("{name} is not online: {:?}", chat.link));
    }
    if chat.call.is_some() {
        return Err(format!("{name} is in a call that nobody is in"));
    }
    let long = chat.rooms.iter().find(|room| room.timeline.lines().count() > IN_MEMORY);
    if let Some(room) = long.filter(|room| chat.open != Some(room.id)) {
        return Err(format!("{name} has {} lines in memory", room.timeline.lines().count()));
    }
    for room in chat.rooms.iter().map(|room| room.id).collect::<Vec<_>>() {
        let lines = town.world.lines_of(name, room);
        if let Some(alarm) = lines.iter().find(|line| line.author == Author::Alarm) {
            return Err(format!("{name} is alarmed, and the relay was honest: “{}”", alarm.body));
        }
    }
    for (table, what) in [(OUTBOX, "has not sent"), (PENDING, "has no receipt for")] {
        let left = rows(&disk, table)?;
        if !left.is_empty() {
            return Err(format!("{name} {what} {} envelopes", left.len()));
        }
    }
    Ok(())
}

fn rows(disk: &Store, table: Table) -> Result<Rows, String> {
    disk.records.scan(table, &[], &[], Order::Forward, usize::MAX).map_err(|why| why.to_string())
}

/// All that an author wrote is with the reader, once, in its order, in the same words.
fn arrived(town: &mut Town, author: Who, reader: Who) -> Result<(), String> {
    let (wrote, read) = (own(town, author, reader), theirs(town, reader, author));
    let (from, to) = (NAMES[author], NAMES[reader]);
    let ids = |lines: &[Line]| lines.iter().map(|line| line.id).collect::<HashSet<MessageId>>();
    let (known, there) = (ids(&wrote), ids(&read));
    // A file that could not go up says so.
    let told = |line: &&Line| !there.contains(&line.id) && !matches!(line.state, LineState::Waiting(_));
    let missing: Vec<&Line> = wrote.iter().filter(told).filter(|line| !taken_back(line)).collect();
    in_order(town, author, reader)?;
    if !missing.is_empty() {
        let transfers = &town.world.app(from).chat().transfers;
        let stands: Vec<_> = transfers.iter().filter(|file| !there.contains(&file.id)).collect();
        let missing: Vec<&str> = missing.iter().map(|line| line.body.as_str()).collect();
        return Err(format!("{to} never got of {from}: {missing:?} {stands:?}"));
    }
    let lost =
        town.direct.get(&(author, reader)).into_iter().flatten().find(|said| !known.contains(&said.id));
    if let Some(said) = lost {
        return Err(format!("a line that {from} wrote to {to} in step {} is gone", said.at));
    }
    let waits = |line: &&Line| there.contains(&line.id) && line.state < LineState::Delivered;
    if let Some(line) = wrote.iter().filter(|line| !taken_back(line)).find(waits) {
        return Err(format!("{from}'s “{}” to {to} is only {:?}", line.body, line.state));
    }
    if !town.fading.contains(&(author, reader)) {
        let bodies: HashMap<MessageId, &str> =
            wrote.iter().map(|line| (line.id, line.body.as_str())).collect();
        if let Some(line) = read.iter().find(|line| bodies.get(&line.id) != Some(&line.body.as_str())) {
            return Err(format!("{from} says {:?}, {to} reads “{}”", bodies.get(&line.id), line.body));
        }
        files(town, &read, reader)?;
    }
    Ok(())
}

fn taken_back(line: &Line) -> bool {
    line.more.deleted.is_some()
}

/// Files that were announced are there, as they were sent.
fn files(town: &mut Town, read: &[Line], reader: Who) -> Result<(), String> {
    let name = town.names[reader];
    let transfers = &town.world.app(name).chat().transfers;
    let kept = read.iter().filter(|line| !taken_back(line));
    let announced: HashSet<MessageId> = kept.map(|line| line.id).collect();
    for transfer in transfers.iter().filter(|transfer| announced.contains(&transfer.id)) {
        let kept = &transfer.kept;
        if kept.phase != Phase::Done {
            return Err(format!("{} did not come to {name}: {:?}", kept.name, kept.phase));
        }
        let there = kept.path.as_ref().and_then(|path| std::fs::read(path).ok());
        if there.as_ref() != town.files.get(&kept.name) {
            return Err(format!("{} came to {name} with other bytes", kept.name));
        }
    }
    Ok(())
}

/// All members of a room have the same log, and who was in all the time has the same lines.
fn converged(town: &mut Town, club: usize, at: usize) -> Result<(), String> {
    let room = town.clubs[&club];
    let mut logs: BTreeMap<Who, (u64, [u8; 32])> = BTreeMap::new();
    let (mut highest, mut members) = (0, BTreeSet::new());
    for who in 0..town.names.len() {
        let chat = town.world.app(town.names[who]).chat();
        let Some(group) = chat.group(room) else { continue };
        logs.insert(who, (group.log.height(), group.log.head()));
        if group.is_open() && group.log.height() >= highest {
            highest = group.log.height();
            members = group.log.state().members.keys().map(ToString::to_string).collect();
        }
    }
    let members: Vec<Who> = (0..town.names.len()).filter(|who| members.contains(town.names[*who])).collect();
    let Some(first) = members.first() else { return Ok(()) };
    let head = logs.get(first).copied();
    for who in &members {
        match logs.get(who) {
            None => return Err(format!("{} is in the log of #club{club} and has no room", NAMES[*who])),
            log if log.copied() != head => {
                return Err(format!("{} has another log of #club{club} than {}", NAMES[*who], NAMES[*first]));
            }
            Some(_) => {}
        }
    }
    town.steady.retain(|(of, who), _| *of != club || members.contains(who));
    let spoken = town.spoken.get(&club).cloned().unwrap_or_default();
    for who in &members {
        let since = town.steady.get(&(club, *who)).copied();
        let heard = shown(town, *who, room)?;
        let Some(since) = since else { continue };
        let steady = |said: &&Said| {
            since <= said.at && town.steady.get(&(club, said.who)).is_some_and(|since| *since <= said.at)
        };
        let mut places: BTreeMap<Who, usize> = BTreeMap::new();
        for said in spoken.iter().filter(steady) {
            let Some(place) = heard.iter().position(|id| *id == said.id) else {
                return Err(format!(
                    "{} never got what {} wrote in #club{club} in step {}",
                    NAMES[*who], NAMES[said.who], said.at
                ));
            };
            if places.insert(said.who, place).is_some_and(|before| before > place) {
                return Err(format!(
                    "{} is shown what {} wrote in #club{club} in step {} too early",
                    NAMES[*who], NAMES[said.who], said.at
                ));
            }
        }
    }
    for who in members {
        town.steady.entry((club, who)).or_insert(at + 1);
    }
    Ok(())
}

/// What was said in a room, as it is shown.
fn shown(town: &mut Town, who: Who, room: RoomId) -> Result<Vec<MessageId>, String> {
    let mut lines = town.world.lines_of(town.names[who], room);
    lines.retain(|line| matches!(line.author, Author::Me | Author::Them));
    lines.sort_by_key(|line| (line.more.clock, line.id));
    let ids: Vec<MessageId> = lines.iter().map(|line| line.id).collect();
    let once: HashSet<MessageId> = ids.iter().copied().collect();
    if once.len() < ids.len() {
        return Err(format!("{} has a line of a room twice", NAMES[who]));
    }
    Ok(ids)
}
