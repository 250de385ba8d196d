//! What devices have of a conversation: of a line that two of them have, both see the same.

use super::plan::{Club, NAMES, Who, device, person};
use super::play::{Town, account};
use std::collections::{BTreeMap, HashMap, HashSet};
use subrosa::app::history;
use subrosa::chat::expiry::TIMERS;
use subrosa::chat::timeline::{Author, Line, More, place};
use subrosa_shared::id::{AccountName, MessageId, RoomId};

/// Lines as they are shown, each with whether it disappears.
pub(super) type Held = Vec<(Line, bool)>;

/// What people said in a conversation, as a device has it from them.
pub(super) fn held(town: &mut Town, who: Who, room: RoomId) -> Result<Held, String> {
    let disk = town.world.disk(&device(who));
    let page = history(&disk, room, u64::MAX, usize::MAX).map_err(|why| why.to_string())?;
    let mut held = Held::new();
    for (pos, line) in page.lines {
        // Who tells a newcomer of a line tells it as it is then.
        if matches!(line.author, Author::Me | Author::Them) && line.more.told.is_none() {
            let timer = disk.records.get(TIMERS, &place(room, pos)).map_err(|why| why.to_string())?;
            held.push((line, timer.is_some()));
        }
    }
    Ok(held)
}

/// The devices of two people, each with whom its conversation with the other is.
pub(super) fn of_two(town: &Town, one: Who, other: Who) -> Vec<(Who, AccountName)> {
    let devices = town.devices().into_iter().filter(|who| [one, other].contains(&person(*who)));
    devices.map(|who| (who, account(NAMES[if person(who) == one { other } else { one }]))).collect()
}

/// All devices of two people have the same of their lines.
pub(super) fn two(town: &mut Town, one: Who, other: Who) -> Result<(), String> {
    let fades = town.fading.contains(&(one, other));
    // A device that meets somebody by their answer to what another own device wrote has a plain line of it.
    let several = |who: &Who| town.linked.contains(who) || town.unlinked.contains_key(who);
    let answers = ![one, other].iter().any(several);
    let mut all = Vec::new();
    for (who, with) in of_two(town, one, other) {
        let room = town.world.app(&device(who)).chat().with(&with).map(|room| room.id);
        if let Some(room) = room {
            all.push((who, held(town, who, room)?));
        }
    }
    for (at, (one, here)) in all.iter().enumerate() {
        for (other, there) in &all[..at] {
            same((*one, here), (*other, there), |line, timed| shown(line, timed, fades, answers))?;
        }
    }
    Ok(())
}

/// Devices that were in a room all the time have the same of its lines, and of those that are new all or none.
pub(super) fn club(town: &Town, club: Club, lines: &BTreeMap<Who, Held>) -> Result<(), String> {
    let fades = town.fading_in.contains(&club);
    let since = |who: Who| town.steady.get(&(club, who)).copied();
    let steady = |who: Who, at: usize| since(who).is_some_and(|since| since <= at);
    // At which step something was done to each line first. 0, so that nothing follows from it: somebody did it whose
    // words counted for nothing meanwhile, or who moderated no more, and some may have refused that.
    let mut touched: HashMap<MessageId, usize> = HashMap::new();
    for act in town.done.get(&club).into_iter().flatten() {
        let at = if steady(act.who, act.at) { act.at } else { 0 };
        touched.entry(act.id).and_modify(|first| *first = at.min(*first)).or_insert(at);
    }
    let there: Vec<(Who, usize, &Held)> =
        lines.iter().filter_map(|(who, held)| Some((*who, since(*who)?, held))).collect();
    for (at, (one, came, here)) in there.iter().enumerate() {
        for (other, before, theirs) in &there[..at] {
            let both = (*came).max(*before);
            same((*one, here), (*other, theirs), |line, timed| {
                let judged = touched.get(&line.id).is_none_or(|first| both <= *first);
                if judged { shown(line, timed, fades, true) } else { String::new() }
            })?;
        }
    }
    let Some(known) = town.known.get(&club) else { return Ok(()) };
    let has: Vec<HashSet<MessageId>> =
        there.iter().map(|(_, _, held)| held.iter().map(|(line, _)| line.id).collect()).collect();
    let by = |line: &Line| {
        let by = line.more.by.as_ref()?;
        town.names.iter().position(|name| *name == by.as_str())
    };
    let goes_to_all = |line: &Line, timed: bool| {
        let lasts = !fades || (line.is_said() && !timed);
        let new = !known.contains(&line.id) && !town.taken_back.contains(&line.id);
        lasts && new && by(line).is_some_and(|by| since(by).is_some())
    };
    for (who, _, held) in &there {
        for (line, _) in held.iter().filter(|(line, timed)| goes_to_all(line, *timed)) {
            if let Some(at) = has.iter().position(|ids| !ids.contains(&line.id)) {
                let (who, lacks) = (device(*who), device(there[at].0));
                return Err(format!("{who} has “{:.40}” of #club{club}, and {lacks} has not", line.body));
            }
        }
    }
    Ok(())
}

/// Of each line that both have, both see the same, in one order.
fn same(
    (one, here): (Who, &[(Line, bool)]),
    (other, there): (Who, &[(Line, bool)]),
    shown: impl Fn(&Line, bool) -> String,
) -> Result<(), String> {
    let (one, other) = (device(one), device(other));
    let known: HashMap<MessageId, &(Line, bool)> = there.iter().map(|held| (held.0.id, held)).collect();
    let mut order = Vec::new();
    for (line, timed) in here {
        let Some((theirs, fades)) = known.get(&line.id) else { continue };
        if (&line.more.by, line.more.clock) != (&theirs.more.by, theirs.more.clock) {
            let body = &line.body;
            return Err(format!("{one} has “{body:.40}” elsewhere than {other}, or of somebody else"));
        }
        let (seen, elsewhere) = (shown(line, *timed), shown(theirs, *fades));
        if seen != elsewhere {
            return Err(format!("{one} sees [{seen:.200}] where {other} sees [{elsewhere:.200}]"));
        }
        order.push(line.id);
    }
    let both: HashSet<MessageId> = order.iter().copied().collect();
    let theirs = there.iter().map(|(line, _)| line.id).filter(|id| both.contains(id));
    match theirs.eq(order) {
        true => Ok(()),
        false => Err(format!("{one} and {other} see their lines in another order")),
    }
}

/// What is seen of a line. Where lines disappear: of one that stays, since each end has its own time for the others.
fn shown(line: &Line, timed: bool, fades: bool, answers: bool) -> String {
    if fades && (timed || !line.is_said()) {
        return String::new();
    }
    let More { edited, deleted, reply, .. } = &line.more;
    let (signs, pinned, reply) = (line.signs(), line.is_pinned(), reply.filter(|_| answers));
    format!("{edited:?} {deleted:?} {signs:?} {pinned} {reply:?} “{}”", line.body)
}
