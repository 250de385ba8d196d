//! Own operations on a room's log: queued, proposed to the relay, carried through or tried again.

use super::super::outbox::Entry as Envelope;
use super::super::talk::{RETRY, Talk, Waiting};
use super::super::wrapped::{self, Wrapped};
use super::super::{Link, link_is_up};
use super::{End, Group, Key, Proposed, save_entries};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use subrosa_shared::content::Content;
use subrosa_shared::content::rooms::{AboutRoom, Keys, RoomTalk};
use subrosa_shared::id::{AccountName, DeviceId, DoorId, RoomId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::protocol::envelope::{Head, Move, RECIPIENTS_MAX};
use subrosa_shared::protocol::frame::Refusal;
use subrosa_shared::session::Why;
use subrosa_shared::session::roomlog::{Change, Entry, Fault, Log, Op, Rule, Secret, What};
use subrosa_shared::store::Error;
use subrosa_shared::time::Now;

/// Own operations that one request carries at most.
const ROW: usize = 32;
/// How soon members are asked for news when the relay says that the head has moved.
const NEWS: Duration = Duration::from_secs(1);

impl Talk {
    /// Queues an operation of this account, and carries it through as soon as that can be.
    ///
    /// # Errors
    /// A sentence with the next step: the room's rules are in the way.
    pub fn operate(&mut self, room: RoomId, op: Op, now: Now) -> Result<(), String> {
        self.operate_all(room, vec![op], now)
    }

    /// The same with several that belong together, in one row.
    pub(super) fn operate_all(&mut self, room: RoomId, ops: Vec<Op>, now: Now) -> Result<(), String> {
        let me = self.chat.name.clone();
        let group = self.chat.group(room).ok_or(NO_ROOM)?;
        if !group.is_open() {
            return Err(super::words::over(group, &me));
        }
        if !ops.iter().all(Op::bounded) {
            return Err(
                "that is too long, or nothing at all: a name has 1 to 128 bytes, a topic at most 512".into(),
            );
        }
        // As it will be once what is queued is done.
        let mut log = group.log.clone();
        let does = |log: &mut Log, op: &Op| {
            if let Ok(entry) = log.draft(&me, op.clone(), self.sessions.identity(), now.wall) {
                let _ = log.apply(&entry, &|_, _, _| true);
            }
        };
        group.kept.pending.iter().for_each(|op| does(&mut log, op));
        for op in &ops {
            log.state().allows(&me, op, now.wall).map_err(|rule| super::words::refused(rule, op))?;
            does(&mut log, op);
        }
        if let Some(group) = self.chat.group_mut(room) {
            group.kept.pending.extend(ops);
        }
        self.save_group(room);
        self.advance(room, now).map_err(|fault| format!("the store cannot be read: {fault}"))?;
        if self.chat.link != Link::Online && self.chat.group(room).is_some_and(|group| group.pending() > 0) {
            self.notice("not connected: it is done as soon as the relay can be reached".into(), false);
        } else if self.is_quiet(room, now) {
            self.notice(
                "the relay went back to an earlier state a moment ago: it is done within a minute, once the others have said \
                 what they know of the room"
                    .into(),
                false,
            );
        }
        Ok(())
    }

    /// A device of this account was removed on this one, and may hold the secrets of rooms: they are new
    /// from now on, and what it signed before is vouched for.
    pub(in crate::chat) fn renew_rooms(&mut self, now: Now) {
        for room in self.group_ids() {
            if !self.chat.room(room).is_some_and(|room| room.is_open()) {
                continue;
            }
            self.leave_open(room, now);
            if let Err(why) = self.operate(room, Op::Renew, now) {
                self.notice(why, true);
            }
        }
    }

    /// Says of links into a room that this account may not close that a removed device knows them.
    fn leave_open(&mut self, room: RoomId, now: Now) {
        let Some(group) = self.chat.group(room) else { return };
        let (state, me) = (group.log.state(), &self.chat.name);
        let mine = |door: &DoorId| state.allows(me, &Op::Door { door: *door, terms: None }, now.wall).is_ok();
        if !state.doors.keys().all(mine) {
            self.alarm(
                room,
                "the device that was removed knows links into this room which only a moderator can take back: ask one for \
                 /room link new"
                    .into(),
                now,
            );
        }
    }

    /// Every room's next step.
    pub(in crate::chat) fn advance_all(&mut self, now: Now) -> Result<(), Error> {
        for room in self.group_ids() {
            self.advance(room, now)?;
        }
        Ok(())
    }

    /// Proposes what is queued, once everybody it goes to can be sealed to.
    pub(super) fn advance(&mut self, room: RoomId, now: Now) -> Result<(), Error> {
        self.told_ends(room);
        self.told_rows(room);
        let Some(group) = self.chat.group(room) else { return Ok(()) };
        if group.kept.proposed.is_some() || group.kept.pending.is_empty() || self.is_quiet(room, now) {
            return Ok(());
        }
        let Some((log, entries, changes)) = self.draft_row(room, now) else { return Ok(()) };
        let Some(group) = self.chat.group(room) else { return Ok(()) };
        let out: BTreeSet<AccountName> = changes.iter().filter_map(Change::out).cloned().collect();
        let renewed = changes.iter().any(|change| change.what == What::Renewed);
        let renews = group.kept.stale || renewed || !out.is_empty();
        let handle = group.kept.keys.handle;
        let leaves = !log.state().members.contains_key(&self.chat.name);
        // Who leaves has no say in the next keys.
        let keys =
            (renews && !leaves).then(|| Keys { handle, secret: *Secret::draw(&mut self.rng).as_bytes() });
        let proposed = Proposed {
            envelope: subrosa_shared::id::EnvelopeId([0; 16]),
            entries: entries.iter().map(Entry::encode).collect(),
            keys,
        };
        self.ask_members(now);
        let (mut stay, unknown) = self.recipients(log.state());
        let before = self.chat.group(room).map(|group| group.log.state().clone());
        let fresh: BTreeSet<&AccountName> = log
            .state()
            .members
            .keys()
            .filter(|name| before.as_ref().is_some_and(|before| !before.members.contains_key(*name)))
            .collect();
        let newcomers: Vec<Peer> = fresh
            .iter()
            .filter_map(|name| self.devices_of_member(name, &log.state().members.get(*name)?.root))
            .flatten()
            .collect();
        let removed: Vec<Peer> = out
            .iter()
            .filter_map(|name| self.devices_of_member(name, &before.as_ref()?.members.get(name)?.root))
            .flatten()
            .collect();
        stay.retain(|peer| !newcomers.contains(peer));
        if link_is_up(&self.chat) && unknown.iter().any(|name| self.asking(name)) {
            return Ok(());
        }
        // Whom it goes to in the request that moves the head.
        let mut full = false;
        for (peers, what) in [(stay, Told::Entries), (newcomers, Told::Invite), (removed, Told::End)] {
            let Some(mut ready) = self.ready(&peers, what, now) else { return Ok(()) };
            let without = self.chat.group(room).map(|group| group.without.clone()).unwrap_or_default();
            ready.retain(|peer| !without.contains(&peer.device()));
            if !ready.is_empty() {
                return self.propose(room, &log, proposed, ready, what, now);
            }
            let none = !peers.is_empty() && peers.iter().all(|peer| without.contains(&peer.device()));
            if !none && !peers.is_empty() && matches!(what, Told::Entries) {
                // Members who cannot be written to now: the relay has no keys of theirs, it is tried again.
                self.wake_group(room, now, RETRY);
                return Ok(());
            }
            full |= none;
        }
        let begun = self.chat.group(room).is_some_and(|group| group.kept.moved != [0; 32]);
        if full || begun {
            // The head moves all the same: who fills mailboxes must not keep a room as it is, and an own device that is
            // linked later takes the log's head for the relay's.
            return self.propose(room, &log, proposed, Vec::new(), Told::Entries, now);
        }
        // Nobody else knows of the room yet.
        self.carry(room, proposed, &[], false, now)
    }

    /// Signs the first queued operations; those that the rules refuse by now are dropped, in words.
    fn draft_row(&mut self, room: RoomId, now: Now) -> Option<(Log, Vec<Entry>, Vec<Change>)> {
        let me = self.chat.name.clone();
        let group = self.chat.group(room)?;
        let mut log = group.log.clone();
        let (mut stays, mut entries, mut changes, mut refused) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut pending = group.kept.pending.clone();
        while let Some(op) = pending.pop_front() {
            if entries.len() >= ROW {
                stays.push(op);
                continue;
            }
            let Some(op) = super::door::adapted(&op, &log) else { continue };
            let entry = match log.draft(&me, op.clone(), self.sessions.identity(), now.wall) {
                Ok(entry) => entry,
                Err(Fault::Against(Rule::Already)) => continue,
                Err(Fault::Against(rule)) => {
                    refused.push(super::words::refused(rule, &op));
                    continue;
                }
                Err(_) => continue,
            };
            if let Ok(change) = log.apply(&entry, &|_, _, _| true) {
                for follows in super::door::consequences(&change, &log, &me, now).into_iter().rev() {
                    pending.push_front(follows);
                }
                changes.push(change);
                stays.push(op);
                entries.push(entry);
            }
        }
        let title = group.title().to_owned();
        for why in refused {
            self.notice(format!("{title}: {why}"), true);
        }
        if let Some(group) = self.chat.group_mut(room) {
            group.kept.pending = stays.into();
        }
        self.save_group(room);
        (!entries.is_empty()).then_some((log, entries, changes))
    }

    /// Those of these devices that can be sealed to now; `None` while the relay is asked for keys.
    fn ready(&mut self, peers: &[Peer], what: Told, now: Now) -> Option<Vec<Peer>> {
        let (mut ready, mut asks) = (Vec::new(), false);
        for peer in peers {
            let device = peer.device();
            if ready.iter().any(|other: &Peer| other.identity == peer.identity) {
                // Two of them list it.
                continue;
            }
            if !self.sessions.needs_bundle(&device, now) {
                if matches!(what, Told::Entries) && self.sessions.begins(&device, Why::Signal, now) {
                    // What the relay may refuse must not begin a session: all that follows would be lost.
                    self.transmit_to(device, None, Content::Devices, Why::Signal, now);
                }
                ready.push(*peer);
            } else if !self.claims_later(&device, now) {
                self.claim(device, now);
                asks = true;
            }
        }
        (!asks).then_some(ready)
    }

    /// Seals the row and its move of the head in one request.
    fn propose(
        &mut self,
        room: RoomId,
        log: &Log,
        proposed: Proposed,
        peers: Vec<Peer>,
        what: Told,
        now: Now,
    ) -> Result<(), Error> {
        let Some(content) = self.told(room, log, &proposed, what) else { return Ok(()) };
        let Some(group) = self.chat.group(room) else { return Ok(()) };
        let secret = |keys: &Keys| Secret::from_bytes(keys.secret);
        let now_secret = secret(&group.kept.keys);
        let guard = proposed.keys.as_ref().map_or_else(|| now_secret.guard(), |keys| secret(keys).guard());
        // A relay that was reset has no head.
        let from = if group.tries % 2 == 1 && group.tries > 1 { [0; 32] } else { group.kept.moved };
        let moves = Move {
            handle: group.kept.keys.handle,
            from,
            to: log.head(),
            key: *secret(group.keys_there()).key(),
            guard,
        };
        let Wrapped { inside, mut body } = wrapped::wrap(&content, &mut self.rng);
        if peers.is_empty() {
            // Nobody reads it.
            body.clear();
        }
        let (mut to, mut sessions, mut size) = (Vec::new(), Vec::new(), 0);
        for peer in peers.iter().take(RECIPIENTS_MAX) {
            if size > super::sending::HEADS_MAX {
                break;
            }
            if let Ok((session, bytes)) = self.seal_for(peer, None, &inside, Why::Signal, now) {
                size += bytes.len();
                to.push(Head { to: peer.device(), bytes });
                sessions.push(session);
            }
        }
        let moves = (peers.is_empty() || !to.is_empty()).then(|| Box::new(moves));
        if let Some(envelope) = self.post(room, to, sessions, body, None, moves)
            && let Some(group) = self.chat.group_mut(room)
        {
            group.kept.proposed = Some(Proposed { envelope, ..proposed });
        }
        self.save_group(room);
        self.pump(now);
        Ok(())
    }

    /// What these people are told of a row.
    fn told(&self, room: RoomId, log: &Log, proposed: &Proposed, what: Told) -> Option<Content> {
        let group = self.chat.group(room)?;
        let tag = group.tag();
        let entries = proposed.entries.clone();
        let talk = match what {
            Told::Invite => {
                let keys = proposed.keys.as_ref().unwrap_or(&group.kept.keys).clone();
                return Some(super::joining::invitation(log, keys));
            }
            Told::Entries => RoomTalk::Entries { entries, keys: proposed.keys.clone() },
            Told::End => {
                let talk = RoomTalk::Entries { entries, keys: None };
                return Some(Content::Room(AboutRoom { room: tag, talk }));
            }
        };
        let about = Content::Room(AboutRoom { room: tag, talk });
        let clock = group.kept.clock;
        let said = subrosa_shared::content::rooms::InRoom::of(tag, (log.height(), log.head()), clock, &about);
        said.ok().map(Content::InRoom)
    }

    /// The relay has the request that moves a head.
    pub(in crate::chat) fn op_accepted(&mut self, envelope: &Envelope, now: Now) -> Result<(), Error> {
        let Some(group) = self.chat.group_mut(envelope.room) else { return Ok(()) };
        let ours = |proposed: &mut Proposed| proposed.envelope == envelope.envelope.id;
        let Some(proposed) = group.kept.proposed.take_if(ours) else { return Ok(()) };
        let had: Vec<DeviceId> = envelope.devices().collect();
        self.carry(envelope.room, proposed, &had, true, now)
    }

    /// The relay refused it.
    pub(in crate::chat) fn op_rejected(
        &mut self,
        room: RoomId,
        why: Refusal,
        who: &[DeviceId],
        begun: Vec<DeviceId>,
        now: Now,
    ) -> Result<(), Error> {
        for device in begun {
            self.sessions.restart(&device, &mut self.batch);
        }
        let Some(group) = self.chat.group_mut(room) else { return Ok(()) };
        group.kept.proposed = None;
        match why {
            Refusal::Outdated | Refusal::NotAllowed => {
                // Somebody was first: their operation is in the mailbox, or on its way. It counts once in the time
                // that the news of it may take, whatever brings it about that it is tried more often.
                let pause = NEWS * u32::from(group.tries.min(30));
                let counts = group.refused.is_none_or(|at| group.tries == 0 || now.mono.since(at) >= pause);
                if counts {
                    group.tries = group.tries.saturating_add(1);
                    group.refused = Some(now.mono);
                }
                if why == Refusal::NotAllowed {
                    group.key_refused();
                }
                let tries = group.tries;
                self.save_group(room);
                if counts && tries == TRIES {
                    self.alarm(
                        room,
                        "the relay does not take changes of this room, and no member knows why: somebody who was in the room \
                         may have spoilt it, or the relay does. What is written still goes to all members; if this stays, \
                         begin a new room"
                            .into(),
                        now,
                    );
                }
                self.wake_group(room, now, NEWS * u32::from(tries.min(30)));
                Ok(())
            }
            Refusal::MailboxFull | Refusal::UnknownDevice if !who.is_empty() => {
                // They get it by themselves, once it is in the log.
                group.without.extend(who);
                self.save_group(room);
                self.advance(room, now)
            }
            Refusal::TooLarge => {
                // The relay has no head for this room and begins none: nothing that waits here can be done.
                group.kept.pending.clear();
                let text = format!(
                    "{}: you have begun as many rooms as this relay allows, so this was not done: ask somebody else to do \
                     it or to begin the room, or the relay's owner for more (room_heads)",
                    group.title()
                );
                self.save_group(room);
                self.notice(text, true);
                Ok(())
            }
            other => {
                self.save_group(room);
                self.notice(
                    format!("the relay refused a change of the room ({other}); it is tried again"),
                    true,
                );
                self.wake_group(room, now, RETRY);
                Ok(())
            }
        }
    }

    /// The row is in the log: applies it, and tells those who did not get it with the request.
    fn carry(
        &mut self,
        room: RoomId,
        proposed: Proposed,
        had: &[DeviceId],
        moved: bool,
        now: Now,
    ) -> Result<(), Error> {
        let Some(group) = self.chat.group(room) else { return Ok(()) };
        let before = group.log.state().clone();
        let mut log = group.log.clone();
        let (mut entries, mut changes) = (Vec::new(), Vec::new());
        for bytes in &proposed.entries {
            let Ok(entry) = Entry::decode(bytes) else { continue };
            match log.apply(&entry, &|_, _, _| true) {
                Ok(change) => {
                    changes.push(change);
                    entries.push(entry);
                }
                // Another way brought it here before.
                Err(Fault::Repeat) => {}
                Err(_) => break,
            }
        }
        let me = self.chat.name.clone();
        // Others may have gone on before this device heard that its row was taken, with keys of theirs.
        let newest = proposed.entries.last().and_then(|bytes| Entry::decode(bytes).ok());
        let newest = newest.is_some_and(|entry| entry.head() == log.head());
        let out: BTreeSet<AccountName> = changes.iter().filter_map(Change::out).cloned().collect();
        // To each what concerns them, but for those who have it.
        let stay = self.told(room, &log, &proposed, Told::Entries);
        let (peers, _) = self.recipients(log.state());
        let added: BTreeSet<AccountName> =
            log.state().members.keys().filter(|name| !before.members.contains_key(*name)).cloned().collect();
        let newcomers: Vec<DeviceId> = added
            .iter()
            .filter_map(|name| self.devices_of_member(name, &log.state().members.get(name)?.root))
            .flatten()
            .map(|peer| peer.device())
            .collect();
        // Who leaves tells their own other devices.
        let removed: Vec<Peer> = out
            .iter()
            .filter_map(|name| self.devices_of_member(name, &before.members.get(name)?.root))
            .flatten()
            .collect();
        let mut renewed = None;
        if let Some(group) = self.chat.group_mut(room) {
            let done = proposed.entries.len().min(group.kept.pending.len());
            group.kept.pending.drain(..done);
            group.log = log;
            if let Some(keys) = proposed.keys.filter(|_| newest) {
                renewed = Some(group.kept.renew(keys));
                group.kept.stale = false;
            }
            if moved {
                group.kept.moved = group.log.head();
            }
            (group.tries, group.behind) = (0, 0);
            group.without.clear();
            group.kept.owed.extend(added.iter().cloned());
            group.refresh(&me);
        }
        save_entries(room, &entries, &mut self.batch);
        self.save_group(room);
        if moved && !peers.is_empty() && peers.iter().all(|peer| !had.contains(&peer.device())) {
            let title = self.chat.group(room).map_or(String::new(), |group| group.title().to_owned());
            self.notice(
                format!("nobody else in {title} could be told at once: they learn of it when they are back"),
                false,
            );
        }
        if renewed.is_some() {
            self.watch_doors(room, Key::FORMER);
        }
        if let Some(content) = stay.map(Arc::new) {
            for peer in peers.iter().filter(|peer| !newcomers.contains(&peer.device())) {
                if !had.contains(&peer.device()) {
                    // Who left has no room any more in which it could wait.
                    let of = self.chat.group(room).is_some_and(Group::is_open).then_some(room);
                    let next = Waiting { room: of, ..waiting(room, &content) };
                    self.queue(peer.device(), next, now);
                }
            }
            if let Some(first) = entries.first() {
                self.owe_row(room, first.height);
            }
        }
        if let (Some(first), Some(last)) = (entries.first(), entries.last()) {
            // They are no members any more, and may have no session with this device yet.
            let told = removed.into_iter().filter(|peer| !had.contains(&peer.device()));
            let end = |peer: Peer| (peer.device(), End { peer, from: first.height, to: last.height });
            if let Some(group) = self.chat.group_mut(room) {
                group.kept.ends.extend(told.map(end));
            }
            self.tell_ends(room, now);
            let out: Vec<AccountName> = out.into_iter().filter(|name| *name != me).collect();
            self.owe_end(room, &out, &before, (first.height, last.height));
        }
        for name in &added {
            self.send_invitation(room, name, now);
        }
        self.changed(room, &before, &changes, renewed.as_ref(), now)?;
        // Others may have heard of it first, and said something since.
        self.heard_early(room, now)?;
        self.advance(room, now)
    }

    /// When a room has to be looked at again.
    pub(super) fn wake_group(&mut self, room: RoomId, now: Now, after: Duration) {
        if let Some(group) = self.chat.group_mut(room) {
            group.without.clear();
            let at = now.mono.plus(after);
            group.due = Some(group.due.map_or(at, |due| due.min(at)));
        }
    }
}

fn waiting(room: RoomId, content: &Arc<Content>) -> Waiting {
    Waiting { room: Some(room), content: content.clone(), why: Why::Signal, message: None }
}

/// What somebody is told of a row of operations.
#[derive(Clone, Copy)]
enum Told {
    /// The entries, and the next keys: to who stays.
    Entries,
    /// The whole log: to who comes.
    Invite,
    /// The entries alone: to who is out.
    End,
}

/// Rows in a row that find a head which nobody knows, before it is an alarm.
const TRIES: u8 = 6;

pub(super) const NO_ROOM: &str = "that is no room of several people: /room new NAME begins one";
