//! An envelope from the mailbox becomes a line, a mark, or a counted drop.

use super::contact::typing_until;
use super::sending::Resend;
use super::talk::{PENDING, Talk};
use super::timeline::{Author, Line, LineState, unplace};
use crate::effect::{Effect, Happened};
use sha2::{Digest, Sha256};
use std::time::Duration;
use subrosa_shared::content::{self, Content, Mark};
use subrosa_shared::id::{DeviceId, MessageId, RoomId, SessionId};
use subrosa_shared::protocol::envelope::Delivery;
use subrosa_shared::protocol::frame::ToRelay;
use subrosa_shared::session::{OpenError, UNREADABLE_START, Why, blob};
use subrosa_shared::store::Error;
use subrosa_shared::time::Now;
use zeroize::Zeroizing;

/// Unknown sessions remembered so that each is answered once; past this the memory starts anew.
const RESETS_MAX: usize = 1000;

/// How often a first message to a lost prekey is answered: a relay may replay old ones.
const BLANK_EVERY: Duration = Duration::from_secs(30);

impl Talk {
    /// One delivery. It is acknowledged in any case: what cannot be opened now never can.
    pub(super) fn deliver(&mut self, delivery: Delivery, now: Now) -> Result<(), Error> {
        let seq = delivery.seq;
        match self.sessions.open(&delivery.head, now, &mut self.batch) {
            Ok(opened) => {
                let known = self.room_of(&opened.from.device());
                let room = match known.or_else(|| self.chat.with(&delivery.name).map(|room| room.id)) {
                    Some(room) => room,
                    None => self.new_room(delivery.name.clone(), Some(opened.from), now),
                };
                let pinned = self.pin(room, opened.from, now);
                match inside(&opened.content, &delivery.body) {
                    Ok(content) => self.content(room, content, pinned, now)?,
                    Err(Inside::Newer(version)) => self.note(
                        room,
                        format!("a message came that needs a newer subrosa (content version {version}): update to read the next ones"),
                        now,
                    ),
                    Err(Inside::Broken) => self.dropped += 1,
                }
            }
            Err(OpenError::Repeated) => {}
            Err(OpenError::Unknown { session }) => self.unknown_session(delivery.from, session, now),
            // More got lost before it than keys are kept for: all that has no receipt must come again.
            Err(OpenError::TooFarAhead) => self.unknown_session(delivery.from, None, now),
            Err(_) => self.dropped += 1,
        }
        self.effects.push(Effect::Send(ToRelay::Ack(seq)));
        Ok(())
    }

    fn content(&mut self, room: RoomId, content: Content, pinned: bool, now: Now) -> Result<(), Error> {
        match content {
            Content::Text { id, at, body } => self.text(room, id, at, body, now)?,
            // Receipts end our tries to send: only the pinned key may give them.
            Content::Receipt { ids, mark } if pinned => {
                for id in ids {
                    self.receipt(room, id, mark)?;
                }
            }
            Content::Typing(on) if pinned => {
                let Some(r) = self.chat.room_mut(room) else { return Ok(()) };
                r.typing = on.then(|| typing_until(now));
                let with = r.kept.with.clone();
                self.tell(Happened::Typing { with, on });
            }
            // A key that is not the pinned one may not ring.
            Content::Call { call, at, signal } if pinned => self.call_signal(room, call, at, signal, now),
            Content::Call { .. } | Content::Receipt { .. } | Content::Typing(_) => self.dropped += 1,
            Content::Reset { session } => {
                let device = self.chat.room(room).and_then(|room| room.kept.peer).map(|peer| peer.device());
                if let Some(device) = device.filter(|_| pinned) {
                    self.start_over(room, device, session, now)?;
                }
            }
        }
        Ok(())
    }

    fn text(
        &mut self,
        room: RoomId,
        id: MessageId,
        at: subrosa_shared::time::Millis,
        body: String,
        now: Now,
    ) -> Result<(), Error> {
        if self.place_of(&id)?.is_none() {
            let preview = body.clone();
            self.push_line(
                room,
                Line { id, author: Author::Them, at, body, state: LineState::Received },
                now,
            );
            let here = self.watching && self.chat.open == Some(room);
            if let Some(r) = self.chat.room_mut(room) {
                r.typing = None;
                if !here {
                    r.kept.unread += 1;
                    if r.kept.unread == 1 {
                        // Everything above was read, however long the conversation has been open.
                        r.divider = Some(r.kept.lines - 1);
                    }
                }
                let (title, muted) = (r.name().to_string(), r.kept.muted);
                let kept = r.kept.clone();
                if !muted && !here {
                    self.effects.push(Effect::Notify { title, body: preview });
                }
                // Saved again: the unread count changed after the line was pushed.
                let value = postcard::to_stdvec(&kept).expect("a room serialises: plain fields only");
                self.batch.put(super::room::ROOMS, room.0, value);
            }
            self.sort_rooms();
            self.owe(room, id, Mark::Delivered, now);
            if here {
                self.mark_read(room, now)?;
            }
        } else {
            // Sent again because our receipt was lost.
            self.owe(room, id, Mark::Delivered, now);
        }
        Ok(())
    }

    /// Only the person that the line went to can receipt it.
    fn receipt(&mut self, room: RoomId, id: MessageId, mark: Mark) -> Result<(), Error> {
        let theirs = self.place_of(&id)?.and_then(|place| unplace(&place)).is_some_and(|(of, _)| of == room);
        if theirs {
            self.batch.delete(PENDING, id.0);
            let state = match mark {
                Mark::Delivered => LineState::Delivered,
                Mark::Read => LineState::Read,
            };
            self.mark_line(Some(id), state)?;
        }
        Ok(())
    }

    /// A session that is not known here: the sender must start another. Strangers get no answer.
    fn unknown_session(&mut self, from: DeviceId, session: Option<SessionId>, now: Now) {
        self.dropped += 1;
        let Some(room) = self.room_of(&from) else { return };
        if self.resets.len() >= RESETS_MAX {
            self.resets.clear();
        }
        let session = session.unwrap_or(UNREADABLE_START);
        let first = if session == UNREADABLE_START {
            self.blank_reset.is_none_or(|at| now.mono.since(at) > BLANK_EVERY)
        } else {
            self.resets.insert(session)
        };
        if first {
            if session == UNREADABLE_START {
                self.blank_reset = Some(now.mono);
            }
            // Through a new session: the other end may be as unable to read ours.
            self.sessions.restart(&from, &mut self.batch);
            self.transmit(room, Content::Reset { session }, Why::Signal, None, now);
        }
    }

    /// The other end cannot open that session: another one, and everything unreceipted once more.
    fn start_over(
        &mut self,
        room: RoomId,
        device: DeviceId,
        session: SessionId,
        now: Now,
    ) -> Result<(), Error> {
        self.sessions.reset(&device, session, &mut self.batch);
        self.outbox.drop_session(session, &mut self.batch);
        self.note(
            room,
            "the encrypted session was started again; unreceipted messages are sent once more".into(),
            now,
        );
        self.resend(Some(room), Resend::Unreceipted, now)
    }
}

/// Why an opened head holds no content.
enum Inside {
    Newer(u8),
    Broken,
}

/// The content of an opened head and its body.
fn inside(opened: &[u8], body: &[u8]) -> Result<Content, Inside> {
    let content = match opened.split_first() {
        Some((0, content)) => Zeroizing::new(content.to_vec()),
        Some((1, rest)) if rest.len() == 64 && Sha256::digest(body).as_slice() == &rest[32..] => {
            let key = blob::Key::from_bytes(rest[..32].try_into().map_err(|_| Inside::Broken)?);
            blob::open(&key, body).map_err(|_| Inside::Broken)?
        }
        _ => return Err(Inside::Broken),
    };
    Content::decode(&content).map_err(|error| match error {
        content::Error::Version(version) => Inside::Newer(version),
        content::Error::Malformed => Inside::Broken,
    })
}
