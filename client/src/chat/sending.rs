//! Content becomes a sealed envelope in the outbox, as soon as there is a session for it.

use super::Link;
use super::linked::Question;
use super::outbox::Entry;
use super::room::Room;
use super::talk::{PENDING, RETRY, Talk, Waiting};
use super::timeline::{Author, LINES, Line, LineState, place, unplace};
use super::wrapped::{self, Wrapped};
use crate::effect::Effect;
use std::collections::{HashSet, VecDeque};
use std::time::Duration;
use subrosa_shared::content::Content;
use subrosa_shared::id::{DeviceId, EnvelopeId, MessageId, RoomId, SessionId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::protocol::envelope::{Head, Keep, Outgoing};
use subrosa_shared::protocol::frame::{Refusal, ToRelay};
use subrosa_shared::session::{SealError, Why};
use subrosa_shared::store::{Error, Order};
use subrosa_shared::time::Now;

/// Which own lines go out again.
#[derive(Clone, Copy)]
pub(super) enum Resend {
    /// Those that no envelope carries and the relay never accepted.
    Unsealed,
    /// Those, and those that were accepted but not receipted.
    Unreceipted,
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

    /// Seals content for a room's person and puts it into the outbox; waits for a session if needed.
    pub(super) fn transmit(
        &mut self,
        room: RoomId,
        content: Content,
        why: Why,
        message: Option<MessageId>,
        now: Now,
    ) {
        // Signs of life are for people who were let in; own lines wait.
        let let_in = self.chat.room(room).is_some_and(|room| room.person.is_contact());
        if message.is_none() && !let_in {
            return;
        }
        let queue = self.waiting.entry(room).or_default();
        queue.push_back(Waiting { content, why, message });
        self.flush_waiting(room, now);
    }

    /// Seals what waits in a room, as far as there is a session.
    pub(super) fn flush_waiting(&mut self, room: RoomId, now: Now) {
        while self.waiting.get(&room).is_some_and(|queue| !queue.is_empty()) {
            let Some(kept) = self.chat.room(room).map(|room| &room.kept) else { break };
            if !self.chat.room(room).is_some_and(Room::is_open) {
                return; // The person decides first: on a key, on a stranger.
            }
            let Some(peer) = kept.peer else {
                self.look_up(room);
                return;
            };
            if self.sessions.needs_bundle(&peer.device(), now) {
                self.claim(room, peer.device(), now);
                return;
            }
            let Some(next) = self.waiting.get_mut(&room).and_then(VecDeque::pop_front) else { break };
            match self.seal(&peer, &next.content, next.why, now) {
                Ok((id, session, head, body)) => {
                    let head = Head { to: peer.device(), bytes: head };
                    let envelope = Outgoing { id, keep: Keep::Stored, to: vec![head], body };
                    let entry = Entry { envelope, room, message: next.message, session };
                    self.outbox.push(entry, &mut self.batch);
                    match &next.content {
                        Content::Receipt { ids, mark } => self.receipted(room, ids, *mark),
                        Content::Reset { .. } => self.asked_again(room),
                        _ => {}
                    }
                }
                Err(SealError::NeedBundle) => {
                    self.waiting.entry(room).or_default().push_front(next);
                    self.claim(room, peer.device(), now);
                    return;
                }
                Err(fault) => {
                    self.notice(format!("a message could not be sealed: {fault}"), true);
                }
            }
        }
        self.waiting.remove(&room);
        self.pump(now);
    }

    /// Sends content that is of use only now; without a session or a connection it is dropped.
    pub(super) fn transmit_fleeting(&mut self, room: RoomId, content: &Content, now: Now) {
        let Some(peer) = self.chat.room(room).filter(|room| room.is_open()).and_then(|room| room.kept.peer)
        else {
            return;
        };
        let online = self.chat.link == Link::Online && self.chat.room(room).is_some_and(|room| room.online);
        // An envelope that the relay may drop must not begin a session: all that follows would be lost.
        let begins = self.sessions.begins(&peer.device(), Why::Signal, now);
        if !online || self.waiting.contains_key(&room) || begins {
            return;
        }
        if let Ok((id, _, head, body)) = self.seal(&peer, content, Why::Signal, now) {
            let to = vec![Head { to: peer.device(), bytes: head }];
            self.effects.push(Effect::Send(ToRelay::Send(Outgoing { id, keep: Keep::Fleeting, to, body })));
        }
    }

    /// One envelope's head and body.
    fn seal(
        &mut self,
        peer: &Peer,
        content: &Content,
        why: Why,
        now: Now,
    ) -> Result<(EnvelopeId, SessionId, Vec<u8>, Vec<u8>), SealError> {
        let Wrapped { inside, body } = wrapped::wrap(content, &mut self.rng);
        let sealed = self.sessions.seal(peer, why, &inside, &mut self.rng, now, &mut self.batch)?;
        Ok((EnvelopeId::random(&mut self.rng), sealed.session, sealed.bytes, body))
    }

    /// Sends own lines again that have no receipt, of one conversation or of all.
    pub(super) fn resend(&mut self, room: Option<RoomId>, which: Resend, now: Now) -> Result<(), Error> {
        let waiting: HashSet<MessageId> =
            self.waiting.values().flatten().filter_map(|waiting| waiting.message).collect();
        let mut places = Vec::new();
        for (key, place) in self.store.records.scan(PENDING, &[], &[], Order::Forward, usize::MAX)? {
            let id = MessageId(
                key.try_into().map_err(|_| Error::Damaged("the list of unreceipted lines".into()))?,
            );
            match unplace(&place) {
                Some((of, pos))
                    if room.is_none_or(|room| of == room)
                        && !self.outbox.carries(&id)
                        && !waiting.contains(&id) =>
                {
                    places.push((of, pos, id));
                }
                _ => {}
            }
        }
        places.sort_unstable_by_key(|(room, pos, _)| (*room, *pos));
        for (room, pos, id) in places {
            let Some(bytes) = self.store.records.get(LINES, &place(room, pos))? else {
                continue;
            };
            let line: Line = postcard::from_bytes(&bytes)
                .map_err(|_| Error::Damaged("a line of a conversation".into()))?;
            let again = match which {
                Resend::Unsealed => line.state < LineState::Sent,
                Resend::Unreceipted => line.state <= LineState::Sent,
            };
            if again && line.author == Author::Me {
                let content = Content::Text { id, at: line.at, body: line.body };
                self.transmit(room, content, Why::Speech, Some(id), now);
            }
        }
        Ok(())
    }

    pub(super) fn rejected(&mut self, id: EnvelopeId, why: Refusal, now: Now) -> Result<(), Error> {
        let passing = match why {
            Refusal::RateLimited { retry_ms } => {
                Some((Duration::from_millis(retry_ms.into()), "the relay asks to slow down"))
            }
            Refusal::MailboxFull => Some((RETRY, "their mailbox is full until they come back")),
            Refusal::StorageFull => Some((RETRY, "the relay's disk is full")),
            Refusal::Draining | Refusal::Internal => Some((RETRY, "the relay has trouble")),
            _ => None,
        };
        let (message, text) = match passing {
            Some((wait, text)) => {
                (self.outbox.refused(&id, now.mono, wait).and_then(|entry| entry.message), text.to_string())
            }
            None => {
                let message = self.outbox.rejected(&id, &mut self.batch).and_then(|entry| entry.message);
                (message, format!("the relay refused it ({why}): /retry sends it again"))
            }
        };
        self.mark_line(message, LineState::Waiting(text))
    }

    fn claim(&mut self, room: RoomId, device: DeviceId, now: Now) {
        let asked = self.asks.values().any(|ask| matches!(ask, Question::Bundle(of) if *of == device));
        let wait = self.claim_after.get(&room).is_some_and(|at| *at > now.mono);
        if self.chat.link == Link::Online && !asked && !wait {
            let ask = self.ask(Question::Bundle(device));
            self.effects.push(Effect::Send(ToRelay::Claim { ask, device }));
        }
    }

    pub(super) fn bundle(&mut self, device: DeviceId, bundle: &[u8], now: Now) {
        let Some(room) = self.room_of(&device) else { return };
        let Some(peer) = self.chat.room(room).and_then(|room| room.kept.peer) else { return };
        match self.sessions.offer(&peer, bundle, now) {
            Ok(()) => self.flush_waiting(room, now),
            Err(fault) => {
                // A relay that swaps bundles gets no session; the text stays here.
                let name = self.chat.room(room).map_or(String::new(), |room| room.name().to_string());
                self.dropped += 1;
                self.claim_after.insert(room, now.mono.plus(RETRY));
                self.alarm(
                    room,
                    format!(
                        "the relay gave out a key for {name} that is not theirs ({fault}). Nothing was sent with it; \
                         if this stays, the relay is not to be trusted"
                    ),
                    now,
                );
            }
        }
    }
}
