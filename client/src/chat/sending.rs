//! Content becomes a sealed envelope in the outbox, as soon as there is a session for it.

use super::Link;
use super::debts::greets;
use super::devices::{UNADDRESSED, pending_key};
use super::linked::Question;
use super::outbox::Entry;
use super::room::{NO_ROOM, Room};
use super::talk::{Again, PENDING, RETRY, Talk, Waiting};
use super::timeline::{LINES, Line, LineState, place, unplace};
use super::wrapped::{self, Between, Wrapped};
use crate::effect::Effect;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use subrosa_shared::content::Content;
use subrosa_shared::content::own::Own;
use subrosa_shared::id::{AccountName, DeviceId, EnvelopeId, MessageId, RoomId, SessionId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::protocol::envelope::{Head, Keep, Outgoing};
use subrosa_shared::protocol::frame::{Refusal, ToRelay};
use subrosa_shared::session::{SealError, Why};
use subrosa_shared::store::{Error, Order, prefix_end};
use subrosa_shared::time::Now;

/// What is tried again within this is worth waiting for.
const SOON: Duration = Duration::from_secs(5);

/// Which own lines go out again.
#[derive(Clone, Copy)]
pub(super) enum Resend {
    /// Those that no envelope carries and the relay never accepted.
    Unsealed,
    /// Those, and those that were accepted but not receipted.
    Unreceipted,
    /// Those, and those that an envelope carries, in its place: it may have been handed out without a word of the
    /// relay that came here, and is handed out once.
    Carried,
}

impl Talk {
    /// Hands over what the relay may have now.
    pub(super) fn pump(&mut self, now: Now) {
        if self.chat.link == Link::Online {
            for outgoing in self.outbox.pump(now.mono) {
                self.effects.push(Effect::Send(ToRelay::Send(outgoing)));
            }
        }
    }

    /// Seals content for every device of a room's person and puts it into the outbox; waits for lists
    /// and sessions if needed.
    pub(super) fn transmit(
        &mut self,
        room: RoomId,
        content: Content,
        why: Why,
        message: Option<MessageId>,
        now: Now,
    ) {
        if self.chat.group(room).is_some() {
            return self.transmit_in(room, &content, why, message, now);
        }
        // Signs of life are for people who were let in; own lines wait.
        let let_in = self.chat.room(room).is_some_and(|room| room.person.is_contact());
        if message.is_none() && !let_in {
            return;
        }
        let content = self.placed(room, message.as_ref(), content);
        let next = Waiting { room: Some(room), content: Arc::new(content), why, message };
        self.waiting.entry(room).or_default().push_back(next);
        self.flush_room(room, now);
    }

    /// The same for one device, of the room's person or of this account.
    pub(super) fn transmit_to(
        &mut self,
        device: DeviceId,
        room: Option<RoomId>,
        content: Content,
        why: Why,
        now: Now,
    ) {
        self.queue(device, Waiting { room, content: Arc::new(content), why, message: None }, now);
    }

    /// The same for every other device of this account; a line that it carries is kept until they have it.
    pub(super) fn tell_siblings(&mut self, own: Own, line: Option<(MessageId, &[u8])>, now: Now) {
        let content = Arc::new(Content::Own(own));
        for device in self.siblings().iter().map(Peer::device) {
            if let Some((id, place)) = line {
                self.batch.put(PENDING, pending_key(&id, &device), place.to_vec());
            }
            let message = line.map(|(id, _)| id);
            let next = Waiting { room: None, content: content.clone(), why: Why::Speech, message };
            self.queue(device, next, now);
        }
    }

    /// Hands what waits in a room to the queues of its person's devices, once it is known which they are.
    pub(super) fn flush_room(&mut self, room: RoomId, now: Now) {
        let Some(r) = self.chat.room(room) else {
            self.waiting.remove(&room);
            return;
        };
        // The person decides first: on a key, on a stranger.
        let (open, known) = (r.is_open(), r.kept.peer.is_some());
        let listed = r.with().is_some_and(|with| self.lists.of(with).is_some());
        let waits = self.waiting.get(&room).is_some_and(|queue| !queue.is_empty());
        if open && waits && !(known && listed) {
            self.look_up(room);
        }
        if !open || !known {
            return;
        }
        let devices: Vec<DeviceId> = self.devices_of(room).iter().map(Peer::device).collect();
        for next in self.waiting.remove(&room).unwrap_or_default() {
            if let Some(id) = next.message {
                self.address(&id, &devices);
            }
            for device in &devices {
                self.queues.entry(*device).or_default().push_back(next.clone());
            }
        }
        for device in devices {
            self.flush_device(device, now);
        }
    }

    /// A line that waited to be addressed waits for a receipt of each device from here on.
    fn address(&mut self, id: &MessageId, devices: &[DeviceId]) {
        let said = self.said.take().filter(|(said, _)| said == id).map(|(_, place)| place);
        let place = said.or_else(|| self.place_of(id).ok().flatten()).or_else(|| self.place_of_act(id));
        self.batch.delete(PENDING, pending_key(id, &UNADDRESSED));
        let Some(place) = place else { return };
        for device in devices {
            self.batch.put(PENDING, pending_key(id, device), place.clone());
        }
    }

    /// Waits for a session with that device, and is sealed as soon as there is one.
    pub(super) fn queue(&mut self, device: DeviceId, next: Waiting, now: Now) {
        let owed = next.message.is_none() && greets(&next.content) && self.is_sibling(&device);
        let content = next.content.clone();
        self.queues.entry(device).or_default().push_back(next);
        self.flush_device(device, now);
        if owed && self.queues.contains_key(&device) {
            self.owe_greeting(device, &content);
        }
    }

    /// Seals what waits for a device, as far as there is a session.
    pub(super) fn flush_device(&mut self, device: DeviceId, now: Now) {
        while let Some(at) = self.first_open(&device) {
            let Some(peer) = self.peer_of(&device) else {
                self.queues.remove(&device);
                break;
            };
            if self.sessions.needs_bundle(&device, now) {
                self.claim(device, now);
                return;
            }
            let Some(next) = self.queues.get_mut(&device).and_then(|queue| queue.remove(at)) else { break };
            match self.seal(&peer, next.room, &next.content, next.why, now) {
                Ok((id, session, head, body)) => {
                    let to = vec![Head { to: device, bytes: head }];
                    let envelope = Outgoing { id, keep: Keep::Stored, to, body, moves: None };
                    // To an own device.
                    let room = next.room.unwrap_or(NO_ROOM);
                    let (message, sessions) = (next.message, vec![session]);
                    self.outbox.push(Entry { envelope, room, message, sessions }, &mut self.batch);
                    match (&*next.content, next.room) {
                        (Content::Receipt { ids, mark }, Some(room)) => self.receipted(room, ids, *mark),
                        (Content::InRoom(said), Some(room)) => {
                            if let Ok(Content::Receipt { mut ids, mark }) = said.open() {
                                // That something was read here is said to own devices too: its author is
                                // still owed a word.
                                ids.retain(|id| self.is_for(&device, room, id));
                                self.receipted(room, &ids, mark);
                            }
                        }
                        (Content::Receipt { .. }, None) => self.paid(device, &next.content),
                        (Content::Reset { .. }, room) => {
                            self.paid(device, &next.content);
                            match room {
                                Some(room) => self.asked_again(room),
                                None if self.is_sibling(&device) || self.shares_room(&device) => {}
                                // Who has no conversation with this account keeps no session in which nothing
                                // was said: what is said to them later goes through another.
                                None => self.sessions.restart(&device, &mut self.batch),
                            }
                        }
                        (Content::Profile(profile), Some(room)) => self.profile_told(room, profile.version),
                        (Content::Expire { at, .. }, Some(room)) => self.expiry_told(room, *at),
                        _ => {}
                    }
                }
                Err(SealError::NeedBundle) => {
                    self.queues.entry(device).or_default().insert(at, next);
                    self.claim(device, now);
                    return;
                }
                Err(fault) => {
                    self.notice(format!("a message could not be sealed: {fault}"), true);
                }
            }
        }
        if self.queues.get(&device).is_some_and(VecDeque::is_empty) {
            self.queues.remove(&device);
            self.greeted(&device);
        }
        self.pump(now);
    }

    /// The first that waits for a device and may go. What waits until the person decides, in a conversation with
    /// somebody, holds up nothing of the rooms that they are in too; within each all keeps its order.
    fn first_open(&self, device: &DeviceId) -> Option<usize> {
        // Who is out of a room still delivers what was said before.
        let open = |room: &Room| room.is_open() || (room.group.is_some() && room.person.is_contact());
        let goes = |next: &Waiting| next.room.is_none_or(|room| self.chat.room(room).is_some_and(open));
        self.queues.get(device)?.iter().position(goes)
    }

    /// Whether such content of a conversation still waits, for any device.
    pub(super) fn waits(&self, room: RoomId, such: impl Fn(&Content) -> bool) -> bool {
        let mut all = self.waiting.values().chain(self.queues.values()).flatten();
        all.any(|next| next.room == Some(room) && such(&next.content))
    }

    /// Sends content that is of use only now; without a session or a connection it is dropped.
    pub(super) fn transmit_fleeting(&mut self, room: RoomId, content: &Content, now: Now) {
        if self.chat.group(room).is_some() {
            if self.chat.link == Link::Online {
                self.transmit_in_fleeting(room, content, now);
            }
            return;
        }
        let open = self.chat.room(room).is_some_and(|room| room.is_open() && room.online);
        if !open || self.chat.link != Link::Online || self.waiting.contains_key(&room) {
            return;
        }
        for peer in self.devices_of(room) {
            let device = peer.device();
            // An envelope that the relay may drop must not begin a session: all that follows would be lost.
            let begins = self.sessions.begins(&device, Why::Signal, now);
            if begins || self.queues.contains_key(&device) {
                continue;
            }
            if let Ok((id, _, head, body)) = self.seal(&peer, Some(room), content, Why::Signal, now) {
                let to = vec![Head { to: device, bytes: head }];
                let outgoing = Outgoing { id, keep: Keep::Fleeting, to, body, moves: None };
                self.effects.push(Effect::Send(ToRelay::Send(outgoing)));
            }
        }
    }

    /// One envelope's head and body; inside the head also the own list of devices, when the session begins
    /// or the device was not told of that version.
    fn seal(
        &mut self,
        peer: &Peer,
        room: Option<RoomId>,
        content: &Content,
        why: Why,
        now: Now,
    ) -> Result<(EnvelopeId, SessionId, Vec<u8>, Vec<u8>), SealError> {
        let Wrapped { inside, body } = wrapped::wrap(content, &mut self.rng);
        let to = match content {
            // Between devices, whosever they are.
            Content::Reset { .. } | Content::Devices => None,
            _ => room.and_then(|room| self.chat.room(room)?.with().cloned()),
        };
        let (session, bytes) = self.seal_for(peer, to, &inside, why, now)?;
        Ok((EnvelopeId::random(&mut self.rng), session, bytes, body))
    }

    /// One head over what [`wrapped::wrap`] gave, for that person or for whoever is meant by what it says.
    pub(super) fn seal_for(
        &mut self,
        peer: &Peer,
        to: Option<AccountName>,
        inside: &[u8],
        why: Why,
        now: Now,
    ) -> Result<(SessionId, Vec<u8>), SealError> {
        let device = peer.device();
        let begins = self.sessions.begins(&device, why, now);
        let mut inside = Between { from: self.chat.name.clone(), to }.address(inside);
        if let Some(head) = self.head_for(device, begins) {
            inside = wrapped::with_list(head, &inside);
        }
        let sealed = self.sessions.seal(peer, why, &inside, &mut self.rng, now, &mut self.batch)?;
        Ok((sealed.session, sealed.bytes))
    }

    /// Sends own lines again that have no receipt, to one device or to all.
    pub(super) fn resend(&mut self, to: Option<DeviceId>, which: Resend, now: Now) -> Result<(), Error> {
        self.resend_but(&[], to, which, now)
    }

    /// The same but for lines and acts that were receipted in this event: the store does not know that yet.
    pub(super) fn resend_but(
        &mut self,
        ids: &[MessageId],
        to: Option<DeviceId>,
        which: Resend,
        now: Now,
    ) -> Result<(), Error> {
        let waits = |next: &Waiting, device: DeviceId| next.message.map(|id| (id, device));
        let for_members: Vec<(MessageId, DeviceId)> = self.wait_for_lists().collect();
        let mut waiting: HashSet<(MessageId, DeviceId)> = HashSet::new();
        for (device, queue) in &self.queues {
            waiting.extend(queue.iter().filter_map(|next| waits(next, *device)));
        }
        waiting.extend(for_members);
        let unaddressed = self.waiting.values().flatten();
        waiting.extend(unaddressed.filter_map(|next| waits(next, UNADDRESSED)));
        let mut places = Vec::new();
        for (key, value) in self.store.records.scan(PENDING, &[], &[], Order::Forward, usize::MAX)? {
            let damaged = || Error::Damaged("the list of unreceipted lines".into());
            let (id, device) = pending(&key).ok_or_else(damaged)?;
            let (place, accepted) = value.split_at_checked(PLACE).ok_or_else(damaged)?;
            let meant = to.is_none_or(|to| to == device) && !ids.contains(&id);
            let again = !matches!(which, Resend::Unsealed) || accepted.is_empty();
            let carried = !matches!(which, Resend::Carried) && self.outbox.carries(&id, &device);
            if meant && again && !carried && !waiting.contains(&(id, device)) {
                let (room, pos) = unplace(place).ok_or_else(damaged)?;
                if !accepted.is_empty() {
                    // It may wait for keys first: who is killed until then goes on at the next start.
                    self.batch.put(PENDING, key, place.to_vec());
                }
                places.push((room, pos, device, id));
            }
        }
        if matches!(which, Resend::Carried) {
            let lines = places.iter().map(|(_, _, device, id)| (*id, *device)).collect();
            self.outbox.drop_lines(&lines, &mut self.batch);
        }
        places.sort_unstable();
        for (room, pos, device, id) in places {
            self.send_again((room, pos), device, id, now)?;
        }
        Ok(())
    }

    /// Sends one own line of that place, or what was done to it, once more to one device.
    pub(super) fn send_again(
        &mut self,
        (room, pos): (RoomId, u64),
        device: DeviceId,
        id: MessageId,
        now: Now,
    ) -> Result<(), Error> {
        let Some(bytes) = self.store.records.get(LINES, &place(room, pos))? else { return Ok(()) };
        let line = Line::read(&bytes).ok_or_else(|| Error::Damaged("a line of a conversation".into()))?;
        let clock = line.more.clock;
        let Some(content) = self.content_again(room, pos, id, line)? else {
            // Its words are gone: nobody gets it any more.
            self.batch.delete(PENDING, pending_key(&id, &device));
            return Ok(());
        };
        let (why, message) = (Why::Speech, Some(id));
        if self.chat.group(room).is_some() {
            self.resend_in(room, device, clock, content, id, now);
            return Ok(());
        }
        let Some(with) = self.chat.room(room).and_then(|room| room.with().cloned()) else { return Ok(()) };
        if device == UNADDRESSED {
            self.transmit(room, content, why, message, now);
            return Ok(());
        }
        let content = self.placed(room, message.as_ref(), content);
        if self.is_sibling(&device) {
            let Some(own) = copy(with, content) else { return Ok(()) };
            let content = Arc::new(Content::Own(own));
            self.queue(device, Waiting { room: None, content, why, message }, now);
        } else {
            let content = Arc::new(content);
            self.queue(device, Waiting { room: Some(room), content, why, message }, now);
        }
        Ok(())
    }

    /// An own line is on the relay's disk for that device.
    pub(super) fn accepted(&mut self, entry: &Entry, now: Now) -> Result<(), Error> {
        if entry.moves() {
            return self.op_accepted(entry, now);
        }
        let Some(id) = entry.message else { return Ok(()) };
        for device in entry.devices() {
            let key = pending_key(&id, &device);
            // It is to go there once more.
            let again = self.queues.get(&device).into_iter().flatten().any(|next| next.message == Some(id));
            if let Some(mut value) = self.store.records.get(PENDING, &key)?
                && value.len() == PLACE
                && !again
            {
                if unplace(&value).is_some_and(|(room, _)| self.is_out_of(room)) {
                    // Nobody there says any more that it came.
                    self.batch.delete(PENDING, key);
                    continue;
                }
                value.push(1);
                self.batch.put(PENDING, key, value);
            }
        }
        // Who was alone in a room said it to nobody else.
        let alone = self.chat.group(entry.room).is_some() && self.is_for_own_devices(&id)?;
        if !alone && entry.devices().all(|device| self.is_sibling(&device)) {
            return Ok(());
        }
        self.timer_sent(Some(id), now)?;
        self.mark_line(Some(id), LineState::Sent)
    }

    /// Whether nobody else is to receipt a line.
    fn is_for_own_devices(&self, id: &MessageId) -> Result<bool, Error> {
        let rows = self.store.records.scan(PENDING, &id.0, &prefix_end(&id.0), Order::Forward, usize::MAX)?;
        Ok(rows.iter().filter_map(|(key, _)| pending(key)).all(|(_, device)| self.is_sibling(&device)))
    }

    /// Whether something of an own line is about to go to the relay. What the relay refuses for now does not
    /// count: a mailbox is full, a device has left no keys for a while, a list is not to be had.
    pub fn on_its_way(&self, id: &MessageId) -> bool {
        let asked = |name: &AccountName| {
            self.asks.values().any(|question| matches!(question, Question::Devices(of) if of == name))
        };
        let rooms = self.waiting.iter().filter(|(room, _)| !self.look_after.contains_key(room));
        let soon = |device: &DeviceId| self.claim_after.get(device).is_none_or(|again| again.wait < SOON);
        let devices = self.queues.iter().filter(|(device, _)| soon(device));
        let members = self.groups.waiting.iter().filter(|(name, _)| asked(name));
        let queues = rooms.map(|(_, queue)| queue).chain(devices.map(|(_, queue)| queue));
        let mut waiting = queues.chain(members.map(|(_, queue)| queue)).flatten();
        self.outbox.on_its_way(id) || waiting.any(|next| next.message == Some(*id))
    }

    /// What an earlier version wrote: lines that wait for a receipt, of people with one device each.
    pub(super) fn migrate_pending(&mut self) -> Result<(), Error> {
        for (key, value) in self.store.records.scan(PENDING, &[], &[], Order::Forward, usize::MAX)? {
            let Ok(id) = <[u8; 16]>::try_from(key.as_slice()).map(MessageId) else { continue };
            self.batch.delete(PENDING, key);
            let Some((room, _)) = unplace(&value) else { continue };
            let peer = self.chat.room(room).and_then(|room| room.kept.peer);
            let mut value = value.clone();
            if let Some(bytes) = self.store.records.get(LINES, &value)? {
                let line =
                    Line::read(&bytes).ok_or_else(|| Error::Damaged("a line of a conversation".into()))?;
                if line.state >= LineState::Sent {
                    value.push(1);
                }
            }
            let device = peer.map_or(UNADDRESSED, |peer| peer.device());
            self.batch.put(PENDING, pending_key(&id, &device), value);
        }
        Ok(())
    }

    pub(super) fn rejected(
        &mut self,
        id: EnvelopeId,
        why: Refusal,
        who: &[DeviceId],
        now: Now,
    ) -> Result<(), Error> {
        let passes = matches!(
            why,
            Refusal::RateLimited { .. } | Refusal::StorageFull | Refusal::Draining | Refusal::Internal
        );
        if let Some(room) = self.outbox.moving(&id).filter(|_| !passes) {
            let refused = self.outbox.rejected(&id, &mut self.batch);
            // Sessions that it would have begun are known to nobody else.
            let begun = refused.iter().flat_map(Entry::begun).collect();
            self.op_rejected(room, why, who, begun, now)?;
            self.pump(now);
            return Ok(());
        }
        if matches!(why, Refusal::MailboxFull | Refusal::UnknownDevice) {
            // Some of its devices are meant: the others need not wait for that.
            let rng = &mut self.rng;
            if self.outbox.split(&id, who, || EnvelopeId::random(rng), &mut self.batch) {
                self.pump(now);
                return Ok(());
            }
        }
        let passing = match why {
            Refusal::RateLimited { retry_ms } => {
                Some((Duration::from_millis(retry_ms.into()), "the relay asks to slow down"))
            }
            Refusal::UnknownDevice if self.rewound.is_some_and(|until| now.mono < until) => {
                Some((RETRY, "the relay forgot them until they come back to it"))
            }
            Refusal::MailboxFull => Some((RETRY, "their mailbox is full until they come back")),
            Refusal::StorageFull => Some((RETRY, "the relay's disk is full")),
            Refusal::Draining | Refusal::Internal => Some((RETRY, "the relay has trouble")),
            _ => None,
        };
        let (entry, text) = match passing {
            Some((wait, text)) => (self.outbox.refused(&id, now.mono, wait).cloned(), text.to_string()),
            None => {
                let entry = self.outbox.rejected(&id, &mut self.batch);
                (entry, format!("the relay refused it ({why}): /retry sends it again"))
            }
        };
        let Some(entry) = entry else { return Ok(()) };
        let device = entry.devices().find(|device| !self.is_sibling(device));
        if why == Refusal::UnknownDevice
            && let Some(name) = device.and_then(|device| self.lister(&device))
        {
            // Removed, most likely: their list says so.
            self.ask_newer(&name);
        }
        let message = entry.message.filter(|_| device.is_some());
        self.mark_line(message, LineState::Waiting(text))
    }

    pub(super) fn claim(&mut self, device: DeviceId, now: Now) {
        let asked = self.asks.values().any(|ask| matches!(ask, Question::Bundle(of, _) if *of == device));
        if self.chat.link == Link::Online && !asked && !self.claims_later(&device, now) {
            let waited = self.claim_after.remove(&device).map_or(Duration::ZERO, |again| again.wait);
            let ask = self.ask(Question::Bundle(device, waited));
            self.effects.push(Effect::Send(ToRelay::Claim { ask, device }));
        }
    }

    /// Whether a bundle was refused a moment ago.
    pub(super) fn claims_later(&self, device: &DeviceId, now: Now) -> bool {
        self.claim_after.get(device).is_some_and(|again| again.at > now.mono)
    }

    pub(super) fn bundle(&mut self, device: DeviceId, bundle: &[u8], now: Now) {
        let Some(peer) = self.peer_of(&device).or_else(|| self.newcomer_peer(&device)) else {
            // Whoever is meant would be asked for once more at once.
            self.claim_after.insert(device, Again::after(RETRY, now));
            return;
        };
        match self.sessions.offer(&peer, bundle, now) {
            Ok(()) => self.flush_device(device, now),
            Err(fault) => {
                // A relay that swaps bundles gets no session; the text stays here.
                self.dropped += 1;
                self.claim_after.insert(device, Again::after(RETRY, now));
                let room = self.room_of(&device);
                let name = room.and_then(|room| self.chat.room(room)).map(|room| room.name().to_string());
                let name = name.unwrap_or_else(|| "your other device".into());
                let text = format!(
                    "the relay gave out a key for {name} that is not theirs ({fault}). Nothing was sent with it; \
                     if this stays, the relay is not to be trusted"
                );
                match room {
                    Some(room) => self.alarm(room, text, now),
                    None => self.notice(text, true),
                }
            }
        }
    }
}

/// What own devices are told of an own line.
pub(super) fn copy(with: AccountName, content: Content) -> Option<Own> {
    if matches!(content, Content::Placed { .. }) {
        return Some(Own::Said { with, inside: content.encode() });
    }
    match content.clone().plain().ok()? {
        (Content::Text { id, at, body }, timer) => {
            Some(Own::Copied { with, id, at, body, seconds: timer.unwrap_or(0) })
        }
        (Content::File(file), timer) => Some(Own::CopiedFile { with, file, seconds: timer.unwrap_or(0) }),
        (Content::Post(_) | Content::Act(_), _) => Some(Own::Said { with, inside: content.encode() }),
        _ => None,
    }
}

/// Bytes of a line's place.
pub(super) const PLACE: usize = 24;

/// The message and the device of a key in [`PENDING`].
pub(super) fn pending(key: &[u8]) -> Option<(MessageId, DeviceId)> {
    let (id, device) = key.split_first_chunk::<16>()?;
    Some((MessageId(*id), DeviceId(device.try_into().ok()?)))
}
