//! What must be true of a town: after every step, when everything has arrived, and after a night.

use super::alike::{self, Held};
use super::plan::{Club, NAMES, SECOND, What, Who, device, person as whose};
use super::play::{Place, Said, Town, account, lines_on};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use subrosa::app::history;
use subrosa::chat::Link;
use subrosa::chat::history::BASE;
use subrosa::chat::outbox::OUTBOX;
use subrosa::chat::talk::PENDING;
use subrosa::chat::timeline::{Author, LINES, Line, LineState};
use subrosa::chat::transfer::{Phase, Transfer};
use subrosa_shared::id::MessageId;
use subrosa_shared::store::{Order, Rows, Store, Table};

/// Transfers that are over and that a client keeps.
const TRANSFERS: usize = 100;

/// What may be at a time at most.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Things under way, for each person of the town.
    pub under_way: usize,
    /// What waits in a client to go out.
    pub waiting: usize,
    /// Bytes of envelopes at the relay, for each person of the town.
    pub at_relay: u64,
    /// Lines of a conversation in memory that nobody looks at.
    pub in_memory: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        // Two pages of lines.
        Self { under_way: 2_000, waiting: 5_000, at_relay: 4 << 20, in_memory: 2 * 256 }
    }
}

/// After every step: nobody has a line twice or out of order, and what waits is in bound.
pub(super) fn always(town: &mut Town, what: &What) -> Result<(), String> {
    let people = town.names.len();
    let touched: Vec<(Who, Who)> = match what {
        What::Says(who, to, _) | What::Acts(who, to, _) | What::Reads(who, to) | What::Thinks(who, to, _) => {
            vec![(whose(*who), *to)]
        }
        What::Starts(who) | What::Restarts(who) | What::Back(who) | What::Empties(who) => {
            (0..people).filter(|with| *with != whose(*who)).map(|with| (whose(*who), with)).collect()
        }
        // Whatever it was, it may have touched all; a big town is looked at in part.
        _ if people <= 6 => (0..people).flat_map(|a| (0..a).map(move |b| (a, b))).collect(),
        _ => Vec::new(),
    };
    for (one, other) in touched {
        for (author, reader) in [(one, other), (other, one)] {
            let wrote = written(town, author, reader);
            for reader in town.devices().into_iter().filter(|device| whose(*device) == reader) {
                in_order(town, author, &wrote, reader)?;
            }
        }
    }
    let bounds = town.bounds;
    let under_way = town.world.under_way();
    if under_way > bounds.under_way * people {
        return Err(format!("{under_way} things are under way at a time"));
    }
    for name in town.devices().into_iter().map(device) {
        if town.world.alive(&name) && town.world.app(&name).chat().waiting > bounds.waiting {
            return Err(format!("{} things wait at {name}'s", town.world.app(&name).chat().waiting));
        }
    }
    if town.world.relay_runs() {
        let kept = town.world.relay().mailbox().totals().map_err(|why| why.to_string())?.bytes;
        if kept > bounds.at_relay * people as u64 {
            return Err(format!("the relay keeps {kept} B of envelopes"));
        }
    }
    Ok(())
}

/// What is said on a device in the conversation with another, as it is shown.
fn said(town: &mut Town, who: Who, with: Who) -> Vec<Line> {
    let lines = town.world.lines(&device(who), town.names[with]);
    lines.into_iter().filter(|line| matches!(line.author, Author::Me | Author::Them)).collect()
}

fn own(town: &mut Town, who: Who, with: Who) -> Vec<Line> {
    said(town, who, with).into_iter().filter(|line| line.author == Author::Me).collect()
}

fn theirs(town: &mut Town, who: Who, with: Who) -> Vec<Line> {
    said(town, who, with).into_iter().filter(|line| line.author == Author::Them).collect()
}

/// What somebody wrote to another, whichever of their devices knows it by now, in its order.
fn written(town: &mut Town, author: Who, reader: Who) -> Vec<Line> {
    let mut wrote = own(town, author, reader);
    if town.linked.contains(&author) {
        wrote.extend(own(town, author + SECOND, reader));
        // How far a line got is known where it was written.
        wrote.sort_by_key(|line| (line.more.clock, line.id, std::cmp::Reverse(line.state.clone())));
        wrote.dedup_by_key(|line| line.id);
    }
    wrote
}

/// What a reader's device has of an author's lines is a part of them, each once, in their order and as it was
/// typed.
fn in_order(town: &mut Town, by: Who, wrote: &[Line], to: Who) -> Result<(), String> {
    let read = theirs(town, to, by);
    let (reader, author) = (device(to), NAMES[by]);
    let places: HashMap<MessageId, usize> =
        wrote.iter().enumerate().map(|(at, line)| (line.id, at)).collect();
    let mut last = None;
    let (mut once, mut bodies) = (HashSet::new(), HashSet::new());
    for line in &read {
        if !once.insert(line.id) {
            return Err(format!("{reader} has {author}'s “{:.40}” twice", line.body));
        }
        let Some(at) = places.get(&line.id) else {
            return Err(format!("{reader} has “{:.40}”, which {author} never wrote", line.body));
        };
        if Some(*at) < last {
            return Err(format!("{reader} has {author}'s “{:.40}” after what was written later", line.body));
        }
        last = Some(*at);
        let Some(body) = text(line) else { continue };
        if !bodies.insert(body) {
            return Err(format!("{reader} has {author}'s “{body:.40}” twice, as two lines"));
        }
        if !typed(town, body, by, Place::To(whose(to))) {
            return Err(format!("{reader} has “{body:.40}”, which {author} never typed to them"));
        }
    }
    Ok(())
}

/// The words of a line that is no file, as long as they are there.
fn text(line: &Line) -> Option<&str> {
    let file = line.more.file.is_some() || line.more.is_file;
    Some(line.body.as_str()).filter(|body| !file && !body.is_empty())
}

/// Whether somebody typed that there.
fn typed(town: &Town, body: &str, by: Who, place: Place) -> bool {
    let typed = number(body).and_then(|number| town.typed.get(&number));
    typed.is_some_and(|typed| (typed.by, typed.place) == (by, place) && typed.text == body)
}

/// The number of a text that begins like `ada 7.`.
pub(super) fn number(body: &str) -> Option<usize> {
    body.split_once('.')?.0.rsplit_once(' ')?.1.parse().ok()
}

/// Everything works and everything has arrived.
pub(super) fn quiet(town: &mut Town, at: usize) -> Result<(), String> {
    removed(town)?;
    for who in town.devices() {
        person(town, who)?;
    }
    let kept = town.world.relay().mailbox().totals().map_err(|why| why.to_string())?;
    if kept.bytes > 0 {
        return Err(format!("the relay still keeps {} B of envelopes", kept.bytes));
    }
    town.world.relay_adds_up()?;
    for one in 0..town.names.len() {
        for other in (0..town.names.len()).filter(|other| *other != one) {
            arrived(town, one, other)?;
            if other < one {
                agreed(town, one, other)?;
            }
        }
    }
    for who in town.linked.clone() {
        twins(town, who)?;
    }
    for one in 0..town.names.len() {
        for other in 0..one {
            alike::two(town, one, other)?;
        }
    }
    for club in town.clubs.keys().copied().collect::<Vec<_>>() {
        converged(town, club, at)?;
    }
    Ok(())
}

/// Nobody says anything to a device that was removed.
fn removed(town: &mut Town) -> Result<(), String> {
    for (who, had) in &town.unlinked {
        let name = device(who + SECOND);
        let lines = lines_on(&town.world.disk(&name));
        if let Some(line) = lines.iter().find(|line| !had.contains(&line.id)) {
            return Err(format!("{name}, which was removed, got “{:.40}”", line.body));
        }
    }
    Ok(())
}

/// Which lines stand in which order, of those that went out and were not taken back.
fn standing(lines: Vec<Line>) -> Vec<MessageId> {
    let stays = |line: &Line| !taken_back(line) && !matches!(line.state, LineState::Waiting(_));
    lines.into_iter().filter(stays).map(|line| line.id).collect()
}

/// Two people see their conversation in the same order.
fn agreed(town: &mut Town, one: Who, other: Who) -> Result<(), String> {
    let (mut here, mut there) = (standing(said(town, one, other)), standing(said(town, other, one)));
    let both: HashSet<MessageId> = here.iter().copied().filter(|id| there.contains(id)).collect();
    here.retain(|id| both.contains(id));
    there.retain(|id| both.contains(id));
    if here != there {
        return Err(format!("{} and {} see their lines in another order", NAMES[one], NAMES[other]));
    }
    let mut timers = Vec::new();
    for (who, with) in alike::of_two(town, one, other) {
        let chat = town.world.app(&device(who)).chat();
        let open = chat.with(&with).filter(|room| room.is_open() && room.person.is_contact());
        timers.extend(open.map(|room| (device(who), room.timeline.timer())));
    }
    if let Some((one, here)) = timers.first()
        && let Some((other, there)) = timers.iter().find(|(_, there)| there != here)
    {
        return Err(format!("{one} and {other} have another timer: {here} and {there}"));
    }
    Ok(())
}

/// Both devices of a person have the same.
fn twins(town: &mut Town, who: Who) -> Result<(), String> {
    let second = device(who + SECOND);
    for with in (0..town.names.len()).filter(|with| *with != who) {
        let [here, there] = [who, who + SECOND].map(|who| {
            let room = town.world.app(&device(who)).chat().with(&account(NAMES[with]))?;
            let person = room.person.clone();
            let keys = (person.verified, person.doubted);
            Some((person.blocked, keys, person.petname, room.attention.rings))
        });
        if here.is_some() && there.is_some() && here != there {
            let (name, of) = (NAMES[who], NAMES[with]);
            return Err(format!("{second} thinks otherwise of {of} than {name}: {there:?} and {here:?}"));
        }
        // What disappears goes to no device that comes later.
        if town.fading.contains(&(who, with)) {
            continue;
        }
        let (here, there) = (standing(said(town, who, with)), standing(said(town, who + SECOND, with)));
        if let Some(lost) = here.iter().find(|id| !there.contains(id)) {
            let lines = said(town, who, with);
            let line = lines.iter().find(|line| line.id == *lost).map_or("", |line| &line.body);
            return Err(format!("{second} never got “{line:.40}” of the conversation with {}", NAMES[with]));
        }
        if here != there {
            return Err(format!("{second} sees the lines with {} in another order", NAMES[with]));
        }
        for one in [who, who + SECOND] {
            let lines = told(town, one, with)?;
            files(town, &lines, one)?;
        }
    }
    Ok(())
}

/// Lines of a conversation that a device was told of when they were written. What comes with the history of
/// another device lies before them, and of its files none is offered.
fn told(town: &mut Town, who: Who, with: Who) -> Result<Vec<Line>, String> {
    let name = device(who);
    let Some(room) = town.world.app(&name).chat().with(&account(NAMES[with])).map(|room| room.id) else {
        return Ok(Vec::new());
    };
    let page = history(&town.world.disk(&name), room, u64::MAX, usize::MAX).map_err(|why| why.to_string())?;
    let first = if who < SECOND { 0 } else { BASE };
    Ok(page.lines.into_iter().filter(|(pos, _)| *pos >= first).map(|(_, line)| line).collect())
}

/// A person's client came to rest.
fn person(town: &mut Town, who: Who) -> Result<(), String> {
    let (name, most) = (device(who), town.bounds.in_memory);
    let disk = town.world.disk(&name);
    let chat = town.world.app(&name).chat();
    if chat.link != Link::Online {
        return Err(format!("{name} is not online: {:?}", chat.link));
    }
    if chat.call.is_some() {
        return Err(format!("{name} is in a call that nobody is in"));
    }
    let long = chat.rooms.iter().find(|room| room.timeline.lines().count() > most);
    if let Some(room) = long.filter(|room| chat.open != Some(room.id)) {
        return Err(format!("{name} has {} lines in memory", room.timeline.lines().count()));
    }
    for room in chat.rooms.iter().map(|room| room.id).collect::<Vec<_>>() {
        let lines = town.world.lines_of(&name, room);
        if let Some(alarm) = lines.iter().find(|line| line.author == Author::Alarm) {
            return Err(format!("{name} is alarmed, and the relay was honest: “{}”", alarm.body));
        }
    }
    for (table, what) in [(OUTBOX, "has not sent"), (PENDING, "has no receipt for")] {
        let left = rows(&disk, table)?;
        if !left.is_empty() {
            let lines: BTreeSet<String> = left.iter().filter_map(|row| waits(town, &disk, row)).collect();
            return Err(format!("{name} {what} {} envelopes: {lines:?}", left.len()));
        }
    }
    Ok(())
}

/// Which line waits for whose device, of a row in [`PENDING`].
fn waits(town: &mut Town, disk: &Store, (key, value): &(Vec<u8>, Vec<u8>)) -> Option<String> {
    let (at, accepted) = value.split_at_checked(24)?;
    let line = Line::read(&disk.records.get(LINES, at).ok()??)?;
    let to = key.get(16..)?;
    let mut devices = town.devices().into_iter().map(device);
    let whose = devices.find(|name| town.world.app(name).device().0 == *to);
    let far = if accepted.is_empty() { "not sent" } else { "sent" };
    Some(format!("“{:.40}” to {}, {far}", line.body, whose.unwrap_or_else(|| "nobody".into())))
}

fn rows(disk: &Store, table: Table) -> Result<Rows, String> {
    disk.records.scan(table, &[], &[], Order::Forward, usize::MAX).map_err(|why| why.to_string())
}

/// All that an author wrote is with the reader, once, in its order.
fn arrived(town: &mut Town, author: Who, reader: Who) -> Result<(), String> {
    let (wrote, read) = (written(town, author, reader), theirs(town, reader, author));
    let (from, to) = (NAMES[author], NAMES[reader]);
    let ids = |lines: &[Line]| lines.iter().map(|line| line.id).collect::<HashSet<MessageId>>();
    let (known, there) = (ids(&wrote), ids(&read));
    // What did not open because it was overtaken comes again as long as its author has the words.
    if town.overtaken {
        town.void.extend(wrote.iter().filter(|line| !line.is_said()).map(|line| line.id));
    }
    let void = town.void.clone();
    let void = |line: &Line| void.contains(&line.id);
    let unmarked = town.unmarked.clone();
    let unmarked = |line: &Line| unmarked.contains(&line.id);
    // A crash took the key of words that are to disappear, before anybody had them.
    let torn = |line: &Line| !line.is_said() && line.state == LineState::Sending;
    // A file that could not go up says so.
    let unsent = |line: &&Line| {
        let kept = void(line) || torn(line) || matches!(line.state, LineState::Waiting(_));
        !kept && !there.contains(&line.id)
    };
    let missing: Vec<&Line> = wrote.iter().filter(unsent).filter(|line| !taken_back(line)).collect();
    in_order(town, author, &wrote, reader)?;
    if !missing.is_empty() {
        let transfers = &town.world.app(from).chat().transfers;
        let stands: Vec<_> = transfers.iter().filter(|file| !there.contains(&file.id)).collect();
        let missing: Vec<String> = missing.iter().map(|line| format!("{:.40}", line.body)).collect();
        return Err(format!("{to} never got of {from}: {missing:?} {stands:?}"));
    }
    let lost =
        town.direct.get(&(author, reader)).into_iter().flatten().find(|said| !known.contains(&said.id));
    if let Some(said) = lost {
        return Err(format!("a line that {from} wrote to {to} in step {} is gone", said.at));
    }
    let waits = |line: &&Line| {
        !void(line) && !unmarked(line) && there.contains(&line.id) && line.state < LineState::Delivered
    };
    if let Some(line) = wrote.iter().filter(|line| !taken_back(line)).find(waits) {
        return Err(format!("{from}'s “{:.40}” to {to} is only {:?}", line.body, line.state));
    }
    if !town.fading.contains(&(author, reader)) {
        files(town, &read, reader)?;
    }
    Ok(())
}

fn taken_back(line: &Line) -> bool {
    line.more.deleted.is_some()
}

/// Files that were announced are there, as they were sent.
fn files(town: &mut Town, read: &[Line], reader: Who) -> Result<(), String> {
    let name = device(reader);
    let transfers = &town.world.app(&name).chat().transfers;
    let kept = read.iter().filter(|line| !taken_back(line));
    // Whoever has so many may have forgotten others at a start.
    let lost = |line: &&Line| {
        line.more.file.is_some()
            && transfers.len() < TRANSFERS
            && transfers.iter().all(|transfer| transfer.id != line.id)
    };
    if let Some(line) = kept.clone().find(lost) {
        return Err(format!("{name} has the line “{}” and knows of no file", line.body));
    }
    let announced: HashSet<MessageId> = kept.map(|line| line.id).collect();
    let comes = |transfer: &&Transfer| !transfer.kept.up && announced.contains(&transfer.id);
    for transfer in transfers.iter().filter(comes) {
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

/// All members of a room have the same log, and who was in all the time has all lines.
fn converged(town: &mut Town, club: Club, at: usize) -> Result<(), String> {
    let room = town.clubs[&club];
    let mut logs: BTreeMap<Who, (u64, [u8; 32])> = BTreeMap::new();
    let mut keys: BTreeMap<Who, [u8; 32]> = BTreeMap::new();
    let (mut highest, mut members) = (0, BTreeSet::new());
    for who in town.devices() {
        let name = device(who);
        let chat = town.world.app(&name).chat();
        let Some(group) = chat.group(room) else { continue };
        logs.insert(who, (group.log.height(), group.log.head()));
        keys.insert(who, group.print_of_keys());
        if group.is_open() && group.log.height() >= highest {
            highest = group.log.height();
            members = group.log.state().members.keys().map(ToString::to_string).collect();
        }
    }
    let mut members: Vec<Who> =
        town.devices().into_iter().filter(|who| members.contains(NAMES[whose(*who)])).collect();
    members.sort_unstable();
    let Some(first) = members.first() else { return Ok(()) };
    let head = logs.get(first).copied();
    for who in &members {
        match logs.get(who) {
            None => return Err(format!("{} is in the log of #club{club} and has no room", device(*who))),
            log if log.copied() != head => {
                let (one, other) = (device(*who), device(*first));
                let heights = [who, first].map(|who| logs.get(who).map(|(height, _)| *height));
                return Err(format!("{one} has another log of #club{club} than {other}: {heights:?}"));
            }
            Some(_) if keys.get(who) != keys.get(first) => {
                let (one, other) = (device(*who), device(*first));
                return Err(format!("{one} has other keys of #club{club} than {other}"));
            }
            Some(_) => {}
        }
    }
    town.steady.retain(|(of, who), _| *of != club || members.contains(who));
    let mut lines: BTreeMap<Who, Held> = BTreeMap::new();
    for who in &members {
        lines.insert(*who, alike::held(town, *who, room)?);
    }
    let mut spoken = town.spoken.get(&club).cloned().unwrap_or_default();
    spoken.retain(|said| !town.taken_back.contains(&said.id));
    if town.fading_in.contains(&club) {
        // What disappears may be gone at its author's before all have it.
        let lasts = lines.values().flatten().filter(|(line, timed)| line.is_said() && !timed);
        let lasts: HashSet<MessageId> = lasts.map(|(line, _)| line.id).collect();
        spoken.retain(|said| lasts.contains(&said.id));
    }
    for who in &members {
        let since = town.steady.get(&(club, *who)).copied();
        let heard = shown(town, *who, club)?;
        let Some(since) = since else { continue };
        let steady = |said: &&Said| {
            since <= said.at && town.steady.get(&(club, said.who)).is_some_and(|since| *since <= said.at)
        };
        let mut places: BTreeMap<Who, usize> = BTreeMap::new();
        for said in spoken.iter().filter(steady) {
            let Some(place) = heard.iter().position(|id| *id == said.id) else {
                return Err(format!(
                    "{} never got what {} wrote in #club{club} in step {}",
                    device(*who),
                    NAMES[said.who],
                    said.at
                ));
            };
            if places.insert(said.by, place).is_some_and(|before| before > place) {
                return Err(format!(
                    "{} is shown what {} wrote in #club{club} in step {} too early",
                    device(*who),
                    NAMES[said.who],
                    said.at
                ));
            }
        }
    }
    alike::club(town, club, &lines)?;
    let ids = lines.into_values().flatten().map(|(line, _)| line.id).collect();
    town.known.insert(club, ids);
    for who in members {
        town.steady.entry((club, who)).or_insert(at + 1);
    }
    Ok(())
}

/// What was said in a room, as it is shown: each once, as it was typed.
fn shown(town: &mut Town, who: Who, club: Club) -> Result<Vec<MessageId>, String> {
    let (name, room) = (device(who), town.clubs[&club]);
    let mut lines = town.world.lines_of(&name, room);
    lines.retain(|line| matches!(line.author, Author::Me | Author::Them));
    let ids: Vec<MessageId> = lines.iter().map(|line| line.id).collect();
    let once: HashSet<MessageId> = ids.iter().copied().collect();
    if once.len() < ids.len() {
        return Err(format!("{name} has a line of a room twice"));
    }
    let mut bodies = HashSet::new();
    for line in &lines {
        let Some(body) = text(line) else { continue };
        let by = line.more.by.as_ref().and_then(|by| NAMES.iter().position(|name| *name == by.as_str()));
        let so = by.is_some_and(|by| typed(town, body, by, Place::In(club)));
        if !so {
            return Err(format!("{name} has “{body:.40}” in #club{club}, which nobody typed there so"));
        }
        if !bodies.insert(body) {
            return Err(format!("{name} has “{body:.40}” in #club{club} twice, as two lines"));
        }
    }
    Ok(ids)
}
