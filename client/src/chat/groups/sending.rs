//! What is said in a room goes to every device of every member, sealed for each, in one request.

use super::super::Chat;
use super::super::devices::{UNADDRESSED, pending_key};
use super::super::outbox::Entry;
use super::super::talk::{OWED, PENDING, Talk, Waiting};
use super::super::timeline::{LINES, Line, LineState, unplace};
use super::super::wrapped::{self, Wrapped};
use crate::effect::Effect;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use subrosa_shared::content::rooms::{AboutRoom, InRoom, RoomTalk};
use subrosa_shared::content::{Content, Mark, RECEIPT_MAX};
use subrosa_shared::id::{AccountName, DeviceId, EnvelopeId, MessageId, RoomId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::protocol::codec::FRAME_MAX;
use subrosa_shared::protocol::envelope::{Head, Keep, Move, Outgoing, RECIPIENTS_MAX};
use subrosa_shared::protocol::frame::ToRelay;
use subrosa_shared::session::{SealError, Why};
use subrosa_shared::time::Now;

/// Bytes of heads in one envelope: with its body and what is around it, it fits a frame.
pub(super) const HEADS_MAX: usize = FRAME_MAX - 64 * 1024;

impl Talk {
    /// The clock of the next line in a room.
    pub(in crate::chat) fn tick_in(&mut self, room: RoomId) -> u64 {
        let Some(group) = self.chat.group_mut(room) else { return 0 };
        group.kept.clock += 1;
        let clock = group.kept.clock;
        self.save_group(room);
        clock
    }

    /// A clock of the room that was seen elsewhere: what is said from now on comes after it.
    pub(in crate::chat) fn clock_passed_in(&mut self, room: RoomId, clock: u64) {
        if let Some(group) = self.chat.group_mut(room).filter(|group| group.kept.clock < clock) {
            group.kept.clock = clock;
            self.save_group(room);
        }
    }

    /// Content as it is said in a room, beside the head of that height, or the newest one.
    fn in_room(&self, room: RoomId, height: Option<u64>, clock: u64, content: &Content) -> Option<Content> {
        let log = &self.chat.group(room)?.log;
        let there = height.and_then(|height| Some((height, log.head_at(height)?)));
        let (height, head) = there.unwrap_or((log.height(), log.head()));
        InRoom::of(log.tag(), (height, head), clock, content).ok().map(Content::InRoom)
    }

    /// Where the room is, for one device: its clock and the newest head.
    pub(super) fn send_place(&mut self, room: RoomId, device: DeviceId, now: Now) {
        let Some(group) = self.chat.group(room) else { return };
        let talk = RoomTalk::Entries { entries: Vec::new(), keys: None };
        let here = Content::Room(AboutRoom { room: group.tag(), talk });
        self.transmit_in_to(room, device, &here, now);
    }

    /// Says something in a room to one device alone.
    pub(in crate::chat) fn transmit_in_to(
        &mut self,
        room: RoomId,
        device: DeviceId,
        content: &Content,
        now: Now,
    ) {
        let Some(group) = self.chat.group(room) else { return };
        if let Some(content) = self.in_room(room, None, group.kept.clock, content) {
            self.transmit_to(device, None, content, Why::Signal, now);
        }
    }

    /// Says content to all members.
    pub(in crate::chat) fn transmit_in(
        &mut self,
        room: RoomId,
        content: &Content,
        why: Why,
        message: Option<MessageId>,
        now: Now,
    ) {
        let Some(r) = self.chat.room(room).filter(|r| r.is_open()) else { return };
        let Some(group) = r.group.as_deref() else { return };
        let place = message.and_then(|id| self.place_for(&id));
        let clock = match message {
            Some(id) => self.clock_of(room, &id).unwrap_or(group.kept.clock),
            None if why == Why::Speech => group.kept.clock + 1,
            None => group.kept.clock,
        };
        let (peers, unknown) = self.recipients(group.log.state());
        if message.is_none() && why == Why::Speech {
            self.tick(room);
        }
        let height = message.and_then(|id| self.begin_tally(room, id));
        let Some(content) = self.in_room(room, height, clock, content).map(Arc::new) else {
            return self.notice("that cannot be said in a room".into(), true);
        };
        if let Some(id) = message {
            self.batch.delete(PENDING, pending_key(&id, &UNADDRESSED));
            for peer in &peers {
                if let Some(place) = &place {
                    self.batch.put(PENDING, pending_key(&id, &peer.device()), place.clone());
                }
            }
        }
        for name in unknown {
            self.wait_for_member(message, &name, place.as_deref());
            let next = Waiting { room: Some(room), content: content.clone(), why, message };
            self.groups.waiting.entry(name).or_default().push_back(next);
        }
        self.ask_members(now);
        if peers.is_empty() && self.chat.group(room).is_some_and(|group| group.people() == 1) {
            // Nobody else is there to get it.
            if let Some((id, at)) = message.zip(place.as_deref().and_then(unplace)) {
                self.own_timer(&id, at, now);
            }
            if let Err(fault) = self.mark_line(message, LineState::Sent) {
                self.notice(format!("the store cannot be read: {fault}"), true);
            }
        }
        self.fan_out(room, &peers, &content, why, message, now);
    }

    /// Seals content for these devices: one request for those with a session, the others wait for one.
    pub(super) fn fan_out(
        &mut self,
        room: RoomId,
        peers: &[Peer],
        content: &Arc<Content>,
        why: Why,
        message: Option<MessageId>,
        now: Now,
    ) {
        let Wrapped { inside, body } = wrapped::wrap(content, &mut self.rng);
        let (mut to, mut sessions, mut size) = (Vec::new(), Vec::new(), 0);
        for peer in peers {
            let device = peer.device();
            let next = || Waiting { room: Some(room), content: content.clone(), why, message };
            if self.queues.contains_key(&device) || self.sessions.needs_bundle(&device, now) {
                self.queue(device, next(), now);
                continue;
            }
            match self.seal_for(peer, None, &inside, why, now) {
                Ok((session, bytes)) => {
                    size += bytes.len();
                    to.push(Head { to: device, bytes });
                    sessions.push(session);
                }
                Err(SealError::NeedBundle) => self.queue(device, next(), now),
                Err(fault) => self.notice(format!("a message could not be sealed: {fault}"), true),
            }
            if to.len() == RECIPIENTS_MAX || size > HEADS_MAX {
                size = 0;
                let (to, sessions) = (std::mem::take(&mut to), std::mem::take(&mut sessions));
                self.post(room, to, sessions, body.clone(), message, None);
            }
        }
        self.post(room, to, sessions, body, message, None);
        self.pump(now);
    }

    /// Puts a sealed envelope into the outbox; gives its number.
    pub(super) fn post(
        &mut self,
        room: RoomId,
        to: Vec<Head>,
        sessions: Vec<subrosa_shared::id::SessionId>,
        body: Vec<u8>,
        message: Option<MessageId>,
        moves: Option<Box<Move>>,
    ) -> Option<EnvelopeId> {
        if to.is_empty() && moves.is_none() {
            return None;
        }
        let id = EnvelopeId::random(&mut self.rng);
        let envelope = Outgoing { id, keep: Keep::Stored, to, body, moves };
        self.outbox.push(Entry { envelope, room, message, sessions }, &mut self.batch);
        Some(id)
    }

    /// Says what is of use only now to those who are there.
    pub(in crate::chat) fn transmit_in_fleeting(&mut self, room: RoomId, content: &Content, now: Now) {
        let Some(r) = self.chat.room(room).filter(|r| r.is_open()) else { return };
        let Some(group) = r.group.as_deref() else { return };
        let Some(content) = self.in_room(room, None, group.kept.clock, content) else { return };
        let Wrapped { inside, body } = wrapped::wrap(&content, &mut self.rng);
        let mut to = Vec::new();
        for peer in self.recipients(group.log.state()).0 {
            let device = peer.device();
            // What the relay may drop must not begin a session: all that follows would be lost.
            if self.queues.contains_key(&device) || self.sessions.begins(&device, Why::Signal, now) {
                continue;
            }
            if let Ok((_, bytes)) = self.seal_for(&peer, None, &inside, Why::Signal, now) {
                to.push(Head { to: device, bytes });
            }
        }
        for chunk in to.chunks(RECIPIENTS_MAX) {
            let id = EnvelopeId::random(&mut self.rng);
            let (to, body) = (chunk.to_vec(), body.clone());
            let outgoing = Outgoing { id, keep: Keep::Fleeting, to, body, moves: None };
            self.effects.push(Effect::Send(ToRelay::Send(outgoing)));
        }
    }

    /// Says something in a room to one member alone: a receipt for what they wrote.
    pub(in crate::chat) fn transmit_to_member(
        &mut self,
        room: RoomId,
        name: &AccountName,
        content: &Content,
        why: Why,
        now: Now,
    ) {
        let Some(group) = self.chat.room(room).filter(|r| r.is_open()).and_then(|r| r.group.as_deref())
        else {
            return;
        };
        let Some(member) = group.log.state().members.get(name) else { return };
        let (root, clock) = (member.root, group.kept.clock);
        let Some(content) = self.in_room(room, None, clock, content).map(Arc::new) else { return };
        let next = || Waiting { room: Some(room), content: content.clone(), why, message: None };
        match self.devices_of_member(name, &root) {
            Some(devices) => {
                for peer in devices {
                    self.queue(peer.device(), next(), now);
                }
            }
            None => {
                self.groups.waiting.entry(name.clone()).or_default().push_back(next());
                self.ask_members(now);
            }
        }
    }

    /// Where a message stands; a moment ago it was written, the store does not know it yet.
    fn place_for(&self, id: &MessageId) -> Option<Vec<u8>> {
        let said = self.said.as_ref().filter(|(said, _)| said == id).map(|(_, place)| place.clone());
        said.or_else(|| self.place_of(id).ok().flatten())
    }

    /// The clock of a line.
    pub(in crate::chat) fn clock_of(&self, room: RoomId, id: &MessageId) -> Option<u64> {
        let timeline = &self.chat.room(room)?.timeline;
        if let Some((_, line)) = timeline.lines().rev().find(|(_, line)| line.id == *id) {
            return Some(line.more.clock);
        }
        let place = self.place_for(id)?;
        let (of, _) = unplace(&place)?;
        let bytes = self.store.records.get(LINES, &place).ok().flatten()?;
        Line::read(&bytes).filter(|_| of == room).map(|line| line.more.clock)
    }

    /// Lines that wait for the lists of members, each under the number that stands in for one.
    pub(in crate::chat) fn wait_for_lists(&self) -> impl Iterator<Item = (MessageId, DeviceId)> {
        let waits = |(name, queue): (&AccountName, &VecDeque<Waiting>)| {
            let device = super::members::stand_in(name);
            queue.iter().filter_map(|next| next.message).map(|id| (id, device)).collect::<Vec<_>>()
        };
        self.groups.waiting.iter().flat_map(waits).collect::<Vec<_>>().into_iter()
    }

    /// An own line once more, for one device.
    pub(in crate::chat) fn resend_in(
        &mut self,
        room: RoomId,
        device: DeviceId,
        clock: u64,
        content: Content,
        id: MessageId,
        now: Now,
    ) {
        let (why, message) = (Why::Speech, Some(id));
        if device == UNADDRESSED {
            return self.transmit_in(room, &content, why, message, now);
        }
        let height = self.begin_tally(room, id);
        let Some(content) = self.in_room(room, height, clock, &content).map(Arc::new) else { return };
        let next = Waiting { room: Some(room), content, why, message };
        match self.stood_in(room, &device) {
            Some(name) => {
                self.groups.waiting.entry(name.clone()).or_default().push_back(next);
                self.ask_members(now);
            }
            None => self.queue(device, next, now),
        }
    }

    /// Receipts that are owed in a room: to each author what they wrote.
    pub(in crate::chat) fn send_receipts_in(
        &mut self,
        room: RoomId,
        marks: &BTreeMap<MessageId, Mark>,
        now: Now,
    ) {
        let mut by: BTreeMap<(AccountName, Mark), Vec<MessageId>> = BTreeMap::new();
        for (id, mark) in marks {
            let authors = self.groups.authors.remove(&(room, *id));
            let mut authors = authors.unwrap_or_else(|| self.author_of(room, id).into_iter().collect());
            // Who is out hears of nothing more.
            authors.retain(|author| self.chat.group(room).is_some_and(|group| group.role(author).is_some()));
            if authors.is_empty() {
                self.batch.delete(OWED, [room.0, id.0].concat());
            }
            for author in authors {
                by.entry((author, *mark)).or_default().push(*id);
            }
        }
        for ((name, mark), ids) in by {
            for chunk in ids.chunks(RECEIPT_MAX) {
                let receipt = Content::Receipt { ids: chunk.to_vec(), mark };
                self.transmit_to_member(room, &name, &receipt, Why::Signal, now);
            }
        }
    }

    /// Which member wrote a line.
    fn author_of(&self, room: RoomId, id: &MessageId) -> Option<AccountName> {
        let timeline = &self.chat.room(room)?.timeline;
        if let Some((_, line)) = timeline.lines().rev().find(|(_, line)| line.id == *id) {
            return line.more.by.clone();
        }
        let bytes = self.store.records.get(LINES, &self.place_for(id)?).ok().flatten()?;
        Line::read(&bytes)?.more.by
    }

    /// Whether a receipt to that device is one to the author: own devices hear what was read, whoever
    /// wrote it.
    pub(in crate::chat) fn is_for(&self, device: &DeviceId, room: RoomId, id: &MessageId) -> bool {
        !self.is_sibling(device) || self.author_of(room, id).is_none_or(|author| author == self.chat.name)
    }
}

impl Chat {
    /// Why nothing may be said in a room now, as a sentence with the next step.
    pub fn silent_in(&self, room: RoomId, now: Now) -> Option<String> {
        let group = self.group(room)?;
        if !group.is_open() {
            return Some(super::words::over(group, &self.name));
        }
        let me = group.log.state().members.get(&self.name)?;
        me.silent(now.wall).then(|| {
            let title = group.title();
            format!("you were silenced in {title}: what you write is shown to nobody; ask a moderator, whom /room shows")
        })
    }
}
