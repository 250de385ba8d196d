//! What was said before somebody came into a room: a member tells it, if the room's policy has it so.
//!
//! The newcomer asks one device after another: of who let them in first, then of the others by name. Who
//! does not answer in time is followed by the next, and what comes twice is shown once. Nothing proves
//! who said what: each line names who told it, until its author says it.

use super::super::link_is_up;
use super::super::room::Room;
use super::super::talk::Talk;
use super::super::timeline::{Author, LINES, Line, LineState, PAGE, place, unplace};
use super::super::transferring::file_line;
use super::inbox::{CLOCK_AHEAD, Speaker};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;
use subrosa_shared::content::rooms::{AboutRoom, PAST_MAX, PastLine, RoomTalk, pieces};
use subrosa_shared::content::{Content, Mark};
use subrosa_shared::id::{AccountName, DeviceId, MessageId, RoomId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::session::Why;
use subrosa_shared::session::roomlog::{HISTORY_MAX, Op};
use subrosa_shared::store::{Error, Order};
use subrosa_shared::time::{Millis, Now};

/// How long a device may take before the next one is asked.
const PATIENCE: Duration = Duration::from_secs(15);
/// The most lines that are told.
const LINES_MAX: usize = HISTORY_MAX as usize;
/// The most bytes of them.
const BYTES_MAX: usize = 256 * 1024;
/// Stored lines that are looked at to find them.
const LOOK_MAX: usize = 4 * LINES_MAX;
/// Bytes around a line on the wire.
const AROUND: usize = 64;
/// How often one device is told the past, in a run.
const TELLS_MAX: u8 = 4;

/// Whether the past is still to be told to this device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Past {
    /// No: this account began the room, or another own device tells it, or it was told.
    #[default]
    Told,
    /// Members are asked for it.
    Wanted,
}

/// Who was asked for the past, and who asked for it.
#[derive(Debug, Default)]
pub(super) struct Asking {
    asked: Vec<DeviceId>,
    /// When the next one is asked.
    due: Option<Millis>,
    /// Lines that came.
    came: usize,
    /// Somebody answered, if only that there is nothing.
    answered: bool,
    /// Whom this device told, and how often.
    told: HashMap<DeviceId, u8>,
}

impl Asking {
    pub(super) fn due(&self) -> Option<Millis> {
        self.due
    }

    /// Whether the time of who was asked is over; says so once.
    pub(super) fn over(&mut self, now: Now) -> bool {
        self.due.take_if(|due| *due <= now.mono).is_some()
    }

    /// The connection is back: whoever did not answer is asked again.
    pub(super) fn again(&mut self) {
        self.due = None;
        self.asked.clear();
    }
}

impl Talk {
    // ---- the newcomer

    /// Asks the next device for what was said before this account came, if that is still wanted and it is
    /// time.
    pub(super) fn want_past(&mut self, room: RoomId, now: Now) {
        let open = self.chat.room(room).is_some_and(Room::is_open);
        let online = link_is_up(&self.chat);
        let Some(group) = self.chat.group(room).filter(|_| open && online) else { return };
        let waits = group.asking.due.is_some_and(|due| due > now.mono);
        if group.kept.past != Past::Wanted || waits {
            return;
        }
        let (tag, state) = (group.tag(), group.log.state().clone());
        if state.policy.history == 0 && group.missing.is_none() {
            return self.past_is_told(room);
        }
        let by = group.kept.by.clone();
        let first = by.iter().chain(state.members.keys()).filter(|name| **name != self.chat.name);
        let devices = first.filter_map(|name| self.devices_of_member(name, &state.members.get(name)?.root));
        let next =
            devices.flatten().map(|peer| peer.device()).find(|device| !group.asking.asked.contains(device));
        let Some(group) = self.chat.group_mut(room) else { return };
        if next.is_none() && group.asking.answered {
            // Nobody knows of anything.
            return self.past_is_told(room);
        }
        group.asking.due = next.map(|_| now.mono.plus(PATIENCE));
        if let Some(device) = next {
            group.asking.asked.push(device);
            let want = Content::Room(AboutRoom { room: tag, talk: RoomTalk::WantPast });
            self.transmit_to(device, None, want, Why::Signal, now);
        }
    }

    fn past_is_told(&mut self, room: RoomId) {
        if let Some(group) = self.chat.group_mut(room) {
            group.kept.past = Past::Told;
            group.asking.again();
        }
        self.save_group(room);
    }

    /// A member tells what was said before.
    pub(super) fn past_came(
        &mut self,
        room: RoomId,
        from: &Peer,
        name: &AccountName,
        lines: Vec<PastLine>,
        more: bool,
        now: Now,
    ) -> Result<(), Error> {
        let Some(group) = self.chat.group_mut(room) else { return Ok(()) };
        let wanted = group.kept.past == Past::Wanted && group.asking.asked.contains(&from.device());
        if !wanted {
            self.dropped += 1;
            return Ok(());
        }
        let most = LINES_MAX.saturating_sub(group.asking.came);
        group.asking.came += lines.len();
        group.asking.due = Some(now.mono.plus(PATIENCE));
        let (clock, all) = (group.kept.clock.saturating_add(CLOCK_AHEAD), group.asking.came);
        let (mut seen, ever) = (HashSet::new(), self.ever_in(room));
        let unread = self.chat.room(room).map_or(0, |room| room.kept.unread);
        for PastLine { by, clock: said, inside, .. } in lines.into_iter().take(most) {
            let past = PastLine { by: by.clone(), at: Millis(0), clock: said, inside };
            let line = past.open().ok().and_then(past_line).filter(|_| (1..=clock).contains(&said));
            let Some(mut line) = line else {
                self.dropped += 1;
                continue;
            };
            // Under an id of somebody else's it would be taken for theirs.
            let roots = ever.get(&by).map_or(&[[0; 32]][..], Vec::as_slice);
            if roots.iter().all(|root| line.id.under(root) != line.id) {
                line.id = line.id.under(&roots[roots.len() - 1]);
            }
            if !seen.insert(line.id) || self.stands(room, &line.id)?.is_some() {
                continue;
            }
            line.more.told = Some(name.clone());
            let id = line.id;
            self.clock_passed(room, said);
            self.offer(room, &line, now);
            self.speaker = Some(Speaker { name: by, clock: said, moderates: false });
            let at = self.push_line(room, line, now);
            self.speaker = None;
            if let Some((_, pos)) = unplace(&at) {
                self.catch_up(room, pos, id, now)?;
            }
        }
        if unread == 0 {
            // It is the past: nobody has to read it.
            self.mark_read_quietly(room, None, now)?;
        }
        if !more && all > 0 {
            self.past_is_told(room);
            self.note(
                room,
                format!("{name} told you what was said before you came: see whom you believe"),
                now,
            );
        } else if !more {
            // Who knows nothing may have come a moment ago, too.
            if let Some(group) = self.chat.group_mut(room) {
                (group.asking.due, group.asking.answered) = (None, true);
            }
            self.want_past(room, now);
        }
        self.sort_rooms();
        Ok(())
    }

    /// The author says a line that somebody else told before: it is theirs now. False where it was theirs
    /// already.
    pub(in crate::chat) fn author_says(
        &mut self,
        room: RoomId,
        at: &[u8],
        line: &Line,
        timer: Option<u32>,
        now: Now,
    ) -> Result<bool, Error> {
        let Some((_, pos)) = unplace(at).filter(|(of, _)| *of == room) else { return Ok(false) };
        let Some(speaker) = self.speaker.clone() else { return Ok(false) };
        let store = self.store.clone();
        let Some(r) = self.chat.rooms.iter_mut().find(|r| r.id == room) else { return Ok(false) };
        let Some(told) = r.timeline.read(&store, pos)?.filter(|told| told.more.told.is_some()) else {
            return Ok(false);
        };
        if timer.is_some() {
            r.timeline.is_timed(pos);
        }
        let other_file = told.more.file != line.more.file;
        let said = r.timeline.change(&store, pos, &mut self.batch, |known| {
            *known = line.clone();
            (known.more.by, known.more.clock) = (Some(speaker.name), speaker.clock);
            // What was done to it meanwhile was done to theirs.
            (known.more.reactions, known.more.pin) = (told.more.reactions, told.more.pin);
            if told.more.edited.is_some() && told.more.by == known.more.by {
                (known.more.edited, known.more.mentions) = (told.more.edited, told.more.mentions);
                known.body = told.body;
            }
            Some(known.clone())
        })?;
        let (read, Some(said)) = (pos < r.kept.read, said) else { return Ok(false) };
        self.is_said(room, &line.id, at);
        if other_file {
            self.drop_files(|transfer| transfer.id == line.id && !transfer.kept.up);
        }
        self.offer(room, line, now);
        // It counts like any other from here on.
        self.recount(room, None)?;
        match timer {
            None => self.index_again(room, Some(pos), Some(&said))?,
            Some(seconds) => {
                self.index_again(room, Some(pos), None)?;
                self.seal_text(room, pos, &said.apart());
                self.begin_timer((room, pos), seconds, line.author == Author::Me, now);
                if read {
                    self.start_timer((room, pos), now);
                }
            }
        }
        // It is on the screen. Elsewhere it may stand before `read` unseen: told lines are nobody's to read.
        let seen = self.watching && self.chat.open == Some(room) && line.author == Author::Them;
        if seen && self.config.privacy.read_receipts {
            self.owe(room, line.id, Mark::Read, now);
        }
        Ok(true)
    }

    /// The root keys that each member of that room ever had, by its log; in a conversation of two those of both.
    pub(super) fn ever_in(&self, room: RoomId) -> BTreeMap<AccountName, Vec<[u8; 32]>> {
        let mut roots: BTreeMap<AccountName, Vec<[u8; 32]>> = BTreeMap::new();
        if let Some(room) = self.chat.room(room)
            && let (Some(with), Some(peer)) = (room.with(), room.kept.peer)
        {
            roots.insert(self.chat.name.clone(), vec![self.own_list().root().identity]);
            roots.insert(with.clone(), vec![peer.identity]);
        }
        for entry in self.chat.group(room).map_or(&[][..], |group| group.log.entries(0)) {
            let (account, root) = match &entry.said.op {
                Op::Found { root, .. } => (&entry.said.author, root),
                Op::Add { account, root, .. } => (account, root),
                _ => continue,
            };
            roots.entry(account.clone()).or_default().push(*root);
        }
        roots
    }

    /// Whether somebody of that conversation drew that id.
    pub(in crate::chat) fn is_drawn(&self, room: RoomId, id: MessageId) -> bool {
        self.ever_in(room).values().flatten().any(|root| id.under(root) == id)
    }

    // ---- who tells

    /// A newcomer's device asks what was said.
    pub(super) fn tell_past(&mut self, room: RoomId, device: DeviceId, now: Now) -> Result<(), Error> {
        let open = self.chat.room(room).is_some_and(Room::is_open);
        let Some(group) = self.chat.group_mut(room).filter(|_| open) else { return Ok(()) };
        let told = group.asking.told.entry(device).or_default();
        if *told >= TELLS_MAX {
            self.dropped += 1;
            return Ok(());
        }
        *told += 1;
        let (tag, most) = (group.tag(), usize::from(group.log.state().policy.history));
        let lines = self.past_of(room, most)?;
        let mut pieces = pieces(&lines, PAST_MAX, |line| line.inside.len() + AROUND);
        if pieces.is_empty() {
            pieces.push(Vec::new());
        }
        let count = pieces.len();
        for (i, lines) in pieces.into_iter().enumerate() {
            let talk = RoomTalk::Past { lines, more: i + 1 < count };
            self.transmit_to(device, None, Content::Room(AboutRoom { room: tag, talk }), Why::Signal, now);
        }
        Ok(())
    }

    /// The newest lines, oldest first. What disappears or was deleted is not told.
    fn past_of(&self, room: RoomId, most: usize) -> Result<Vec<PastLine>, Error> {
        let Some(r) = self.chat.room(room) else { return Ok(Vec::new()) };
        let (mut all, mut end, mut looked) = (Vec::new(), r.kept.lines, 0);
        while looked < LOOK_MAX {
            let (from, to) = (place(room, 0), place(room, end));
            let rows = self.store.records.scan(LINES, &from, &to, Order::Backward, PAGE)?;
            let Some((oldest, _)) = rows.last() else { break };
            looked += rows.len();
            end = unplace(oldest).map_or(0, |(_, pos)| pos);
            for (key, value) in rows {
                let line =
                    Line::read(&value).ok_or_else(|| Error::Damaged("a line of a conversation".into()))?;
                let said = matches!(line.author, Author::Me | Author::Them) && line.more.clock > 0;
                let goes = unplace(&key).is_some_and(|(_, pos)| r.timeline.disappears(pos));
                let Some(content) = line.content().filter(|_| said && !goes && line.more.deleted.is_none())
                else {
                    continue;
                };
                let by = line.more.by.clone().unwrap_or_else(|| self.chat.name.clone());
                let past = PastLine { by, at: line.at, clock: line.more.clock, inside: content.encode() };
                all.push((line.more.clock, line.id, past));
            }
        }
        all.sort_by_key(|(clock, id, _)| std::cmp::Reverse((*clock, *id)));
        let mut left = BYTES_MAX;
        let fits = |(_, _, past): &(u64, _, PastLine)| {
            let fits = past.inside.len() + AROUND <= left;
            left = left.saturating_sub(past.inside.len() + AROUND);
            fits
        };
        let mut told: Vec<PastLine> =
            all.into_iter().take(most).take_while(fits).map(|(_, _, past)| past).collect();
        told.reverse();
        Ok(told)
    }
}

/// A line that somebody told, of what is a line.
fn past_line(content: Content) -> Option<Line> {
    match content {
        Content::Text { id, at, body } => Some(Line::new(id, Author::Them, at, body, LineState::Received)),
        Content::Post(post) => Some(Line::of(post, Author::Them, LineState::Received)),
        Content::File(file) => Some(file_line(*file, Author::Them, LineState::Received)),
        _ => None,
    }
}
