//! An envelope from the mailbox becomes a line, a mark, or a counted drop.

use super::attached::Attached;
use super::contact::typing_until;
use super::devices::{Listed, Warning, pending_key};
use super::room::Room;
use super::sending::Resend;
use super::talk::{PENDING, Talk};
use super::timeline::{Author, Line, LineState, unplace};
use super::wrapped::{self, Inside, Unreadable};
use crate::effect::{Effect, Happened};
use sha2::{Digest, Sha256};
use subrosa_shared::content::{Content, Mark};
use subrosa_shared::id::{AccountName, DeviceId, MessageId, RoomId, SessionId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::protocol::devices::Head;
use subrosa_shared::protocol::envelope::Delivery;
use subrosa_shared::protocol::frame::ToRelay;
use subrosa_shared::session::{OpenError, Opened, UNREADABLE_START, Why};
use subrosa_shared::store::Error;
use subrosa_shared::time::Now;

impl Talk {
    /// One delivery; it waits while its device is in no list that is known.
    pub(super) fn deliver(&mut self, delivery: Delivery, now: Now) -> Result<(), Error> {
        if self.holds(&delivery, now) { Ok(()) } else { self.take(delivery, now) }
    }

    /// One delivery. It is acknowledged in any case: what cannot be opened now never can.
    fn take(&mut self, delivery: Delivery, now: Now) -> Result<(), Error> {
        let seq = delivery.seq;
        match self.sessions.open(&delivery.head, now, &mut self.batch) {
            // Somebody lists this device as theirs: what it sealed for them came back, and nobody said it.
            Ok(opened) if opened.from.device() == self.device() => self.dropped += 1,
            Ok(opened) => {
                let Inside { list: head, between, content } =
                    wrapped::unwrap_all(&opened.content, &delivery.body);
                let (by, to) = between.map_or((None, None), |between| (Some(between.from), between.to));
                let said = self.author_by(&opened.from, by.as_ref(), &delivery.name);
                let name = self.lists.whose(&opened.from, said);
                let astray = to.filter(|to| *to != self.chat.name);
                let disputed = by.filter(|by| *by != name && self.is_listed(&name, &opened.from));
                let content = content.and_then(|content| {
                    let (content, clock) = content.unplaced()?;
                    self.said_at = clock;
                    Ok(content)
                });
                if let Some(by) = disputed {
                    self.is_disputed(&opened.from, &name, &by, now);
                } else if let Some(to) = astray {
                    self.came_astray(&opened.from, &name, head, &to, now);
                } else if let Some(content) = self.for_rooms(&opened, &name, head, &content, now) {
                    content?;
                } else if self.is_sibling(&opened.from.device()) && self.own_list().has(&opened.from) {
                    self.hear_sibling(opened.from.device(), head, content.ok(), now)?;
                } else {
                    self.hear_person(&opened, &name, head, content, now)?;
                }
                self.said_at = None;
                self.bound_strangers(&opened);
                self.renew_last_resort(&opened, now);
                let device = opened.from.device();
                self.hears_now(device);
                if self.queues.contains_key(&device) && !self.sessions.needs_bundle(&device, now) {
                    // Keys came along.
                    self.flush_device(device, now);
                }
            }
            Err(OpenError::Repeated) => {}
            Err(OpenError::Unknown { session }) => {
                self.unknown_session(delivery.from, session, &delivery.head, now)?;
            }
            // More got lost before it than keys are kept for: all that has no receipt must come again.
            Err(OpenError::TooFarAhead) => {
                self.unknown_session(delivery.from, None, &delivery.head, now)?;
            }
            Err(_) => self.dropped += 1,
        }
        self.effects.push(Effect::Send(ToRelay::Ack(seq)));
        Ok(())
    }

    /// Whose words they are: as the device says, where it is on that list, else as the relay says.
    fn author_by<'a>(
        &self,
        from: &Peer,
        by: Option<&'a AccountName>,
        relay: &'a AccountName,
    ) -> &'a AccountName {
        by.filter(|by| self.is_listed(by, from)).unwrap_or(relay)
    }

    /// A device on somebody's list says that it is somebody else's.
    fn is_disputed(&mut self, from: &Peer, name: &AccountName, by: &AccountName, now: Now) {
        self.dropped += 1;
        if let Some(room) = self.room_from(from, name) {
            let text = format!(
                "the relay brought a message as {{}}'s whose device says that it is '{by}': it was dropped. Either {{}} \
                 lists a device of '{by}', or one of the three lies; compare with /verify"
            );
            self.warn(Some(room), name, Warning::Disputed, &text, now);
        }
    }

    /// A word for somebody else, who lists this device as theirs, or of whom the relay says so.
    pub(super) fn came_astray(
        &mut self,
        from: &Peer,
        name: &AccountName,
        head: Option<Head>,
        to: &AccountName,
        now: Now,
    ) {
        self.dropped += 1;
        let Some(room) = self.room_from(from, name) else { return };
        if self.listed(room, from) != Listed::Pinned {
            return;
        }
        if let Some(head) = head {
            self.spoke(room, head, now);
        }
        let text = format!(
            "a message of {{}}'s that was for '{to}' came here and was dropped: either '{to}' lists this device as \
             theirs, or the relay says so. Tell {{}} another way than this that '{to}' may not get what they write"
        );
        self.warn(Some(room), name, Warning::Astray, &text, now);
    }

    /// What concerns rooms of several goes by their logs, whoever says it; `None` when it does not.
    fn for_rooms(
        &mut self,
        opened: &Opened,
        name: &AccountName,
        head: Option<Head>,
        content: &Result<Content, Unreadable>,
        now: Now,
    ) -> Option<Result<(), Error>> {
        let from = &opened.from;
        let Ok(content) = content else { return None };
        let room = self.room_from(from, name).and_then(|room| self.chat.room(room));
        // There nothing of theirs is heard; what the rooms need is.
        let closed = room.is_some_and(|room| !room.person.is_contact());
        let known = room.is_some() || self.is_sibling(&from.device());
        let fellow = (closed || !known) && self.member_peer(&from.device()).is_some_and(|peer| peer == *from);
        let member = fellow && !known;
        let about_rooms = matches!(content, Content::InRoom(_) | Content::Room(_));
        if let Some(head) = head.filter(|_| member) {
            self.spoke_of(None, name, head, now);
        } else if let Some(head) = head.filter(|_| known && !closed && about_rooms) {
            self.spoke_in_room(from, name, head, now);
        }
        match content {
            Content::InRoom(said) => Some(self.hear_in_room(from, name, said.clone(), now)),
            Content::Room(about) => Some(self.hear_about_room(from, name, about.clone(), now)),
            Content::Reset { session } if fellow && self.lets_hear(&from.device()) => {
                Some(self.reset_came(None, from.device(), *session, now))
            }
            // Who merely invites gets no answer.
            Content::Reset { .. } if fellow => {
                self.dropped += 1;
                Some(Ok(()))
            }
            Content::Devices if member => Some(Ok(())),
            _ => None,
        }
    }

    fn hear_person(
        &mut self,
        opened: &Opened,
        name: &AccountName,
        head: Option<Head>,
        content: Result<Content, Unreadable>,
        now: Now,
    ) -> Result<(), Error> {
        let device = opened.from.device();
        let Some(room) = self.lets_in(opened, name, content.as_ref().ok(), now) else {
            return Ok(());
        };
        let listed = self.listed(room, &opened.from);
        match listed {
            Listed::Pinned | Listed::Changed => {}
            Listed::Refused => {
                self.dropped += 1;
                return Ok(());
            }
            Listed::Nowhere => {
                self.unlisted(room, now);
                return Ok(());
            }
        }
        let pinned = listed == Listed::Pinned;
        if let Some(head) = head.filter(|_| pinned) {
            self.spoke(room, head, now);
        }
        match content {
            Ok(content) => self.content(room, device, content, pinned, now)?,
            Err(Unreadable::Newer(_)) if self.chat.room(room).is_some_and(|room| room.person.is_request()) => {
                self.left_out(room);
            }
            Err(Unreadable::Newer(version)) => self.note(
                room,
                format!("a message came that needs a newer subrosa (content version {version}): update to read the next ones"),
                now,
            ),
            Err(_) => self.dropped += 1,
        }
        Ok(())
    }

    pub(super) fn content(
        &mut self,
        room: RoomId,
        device: DeviceId,
        content: Content,
        pinned: bool,
        now: Now,
    ) -> Result<(), Error> {
        let author = self.author_key(room, pinned).unwrap_or_default();
        if self.chat.room(room).is_some_and(|room| room.person.is_request()) {
            let content = content.under(&author);
            return self.asked(room, content, pinned, now);
        }
        if pinned {
            self.heard_of(room, now);
        }
        let Ok((content, timer)) = content.plain() else {
            self.dropped += 1;
            return Ok(());
        };
        let claimed = content.id();
        let content = if pinned { self.as_theirs(room, content, &author)? } else { content.under(&author) };
        let claimed = claimed.filter(|claimed| content.id() != Some(*claimed));
        match content {
            Content::Text { id, at, body } if pinned => {
                self.line_came(room, Line::new(id, Author::Them, at, body, LineState::Received), timer, now)?;
            }
            Content::Post(post) if pinned => {
                self.line_came(room, Line::of(post, Author::Them, LineState::Received), timer, now)?;
            }
            Content::Post(post) => self.unproven(room, post.id, post.at, &post.body, timer, now)?,
            Content::Text { id, at, body } => self.unproven(room, id, at, &body, timer, now)?,
            Content::File(file) if pinned => self.file_came(room, device, *file, timer, now)?,
            Content::File(file) => {
                let (id, at) = (file.id, file.at);
                let text = Attached::new(*file).text();
                self.unproven(room, id, at, &text, timer, now)?;
            }
            // All else that a key says which is not the pinned one moves nothing: no marks, no ringing.
            _ if !pinned => self.dropped += 1,
            Content::Receipt { ids, mark } => {
                for id in &ids {
                    self.receipt(room, device, *id, mark, now)?;
                }
                self.has_later(device, &ids, now)?;
                self.acts_after(device, room, &ids, now)?;
            }
            Content::Typing(on) => {
                let Some(r) = self.chat.room_mut(room) else { return Ok(()) };
                r.typing = on.then(|| typing_until(now));
                let with = r.whose();
                self.tell(Happened::Typing { with, by: None, on });
            }
            Content::Profile(profile) => self.profile_came(room, profile, now),
            Content::Expire { seconds, at } => self.expiry_set(room, seconds, at, now),
            // Unwrapped above.
            Content::Timed { .. } => self.dropped += 1,
            Content::Call { call, at, signal } => self.call_signal(room, device, call, at, signal, now),
            Content::Reset { session } => self.reset_came(Some(room), device, session, now)?,
            // What it came in said it already.
            Content::Devices => {}
            Content::Act(act) => {
                let speaker = self.speaker.as_ref().map(|speaker| speaker.name.clone());
                let who = speaker.or_else(|| self.chat.room(room)?.with().cloned());
                if let Some(who) = who {
                    self.act_came(room, &who, act, timer, now)?;
                }
            }
            // Its line was taken out of it above.
            Content::Own(_) | Content::InRoom(_) | Content::Room(_) | Content::Placed { .. } => {
                self.dropped += 1;
            }
        }
        // An earlier version waits for a receipt of what it knows it by. For an id that somebody drew only they do.
        if let Some(claimed) = claimed.filter(|claimed| pinned && !self.is_drawn(room, *claimed)) {
            self.owe(room, claimed, Mark::Delivered, now);
        }
        Ok(())
    }

    /// What somebody says, under an id of theirs: one of an earlier version's that is known here already stays.
    fn as_theirs(&self, room: RoomId, content: Content, author: &[u8; 32]) -> Result<Content, Error> {
        let Some(id) = content.id() else { return Ok(content) };
        if let (Some(r), Some((_, line))) = (self.chat.room(room), self.line_of(room, &id)?) {
            let speaker = self.speaker.as_ref().map(|speaker| &speaker.name).or(r.with());
            let known = line.author == Author::Them && line.more.told.is_none();
            if known && self.chat.author_of(r, &line).as_ref() == speaker {
                return Ok(content);
            }
        }
        Ok(content.under(author))
    }

    /// Somebody else's line: a new one, or once more.
    pub(super) fn line_came(
        &mut self,
        room: RoomId,
        line: Line,
        timer: Option<u32>,
        now: Now,
    ) -> Result<(), Error> {
        let id = line.id;
        if let Some(place) = self.stands(room, &id)? {
            self.author_says(room, &place, &line, timer, now)?;
            // Sent again because our receipt was lost.
            self.timed_again(&place, &line.apart())?;
            self.owe(room, id, Mark::Delivered, now);
        } else {
            let mentioned = self.mentions_me(&line.more.mentions);
            let preview = match &self.speaker {
                Some(speaker) => format!("{}: {}", speaker.name, line.body),
                None => line.body.clone(),
            };
            let place = match timer {
                Some(seconds) => self.push_timed(room, line, seconds, now),
                None => self.push_line(room, line, now),
            };
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
                let kept = r.kept.clone();
                if r.attention.lets_ring(mentioned) && !here {
                    let title = r.name().to_string();
                    self.effects.push(Effect::Notify { title, body: preview });
                }
                let mentions = r.attention.mentions;
                // Saved again: the unread count changed after the line was pushed.
                let value = postcard::to_stdvec(&kept).expect("a room serialises: plain fields only");
                self.batch.put(super::room::ROOMS, room.0, value);
                if mentioned && !here {
                    self.called(room, mentions + 1);
                }
            }
            if let Some((_, pos)) = unplace(&place) {
                self.catch_up(room, pos, id, now)?;
            }
            self.sort_rooms();
            if timer.is_none() {
                self.expiry_lost(room, now);
            }
            self.owe(room, id, Mark::Delivered, now);
            if here {
                self.mark_read(room, now)?;
            } else {
                self.read_if_read_there(room, id, now)?;
            }
        }
        Ok(())
    }

    /// A text under a key that is not the pinned one must not look like the person's own lines, which
    /// may go on beside it.
    fn unproven(
        &mut self,
        room: RoomId,
        id: MessageId,
        at: subrosa_shared::time::Millis,
        body: &str,
        timer: Option<u32>,
        now: Now,
    ) -> Result<(), Error> {
        if self.stands(room, &id)?.is_none() {
            let body = match timer {
                // An alarm stays; a text that shall not stay is none of it.
                Some(_) => {
                    "a message that disappears came under the key that you have not accepted; it was not kept"
                        .into()
                }
                None => format!("under the key that you have not accepted: {body}"),
            };
            self.push_line(room, Line::new(id, Author::Alarm, at, body, LineState::Received), now);
            self.sort_rooms();
        }
        self.owe(room, id, Mark::Delivered, now);
        Ok(())
    }

    /// Only the person that the line went to can receipt it, each device for itself.
    fn receipt(
        &mut self,
        room: RoomId,
        device: DeviceId,
        id: MessageId,
        mark: Mark,
        now: Now,
    ) -> Result<(), Error> {
        self.act_receipted(&id, &device)?;
        let Some(place) = self.place_of(&id)? else {
            if let Some(with) = self.chat.room(room).and_then(Room::with).cloned() {
                self.marked_early(&with, &Content::Receipt { ids: vec![id], mark }, now);
            }
            return Ok(());
        };
        if unplace(&place).is_some_and(|(of, _)| of == room) {
            self.batch.delete(PENDING, pending_key(&id, &device));
            self.marked(id, mark)?;
        }
        Ok(())
    }

    /// How far an own line got, as somebody it went to says.
    pub(super) fn marked(&mut self, id: MessageId, mark: Mark) -> Result<(), Error> {
        let state = match mark {
            Mark::Delivered => LineState::Delivered,
            Mark::Read => LineState::Read,
        };
        self.mark_line(Some(id), state)
    }

    /// A session that is not known here: the sender must start another. Who was not let in gets no answer before.
    fn unknown_session(
        &mut self,
        from: DeviceId,
        session: Option<SessionId>,
        head: &[u8],
        now: Now,
    ) -> Result<(), Error> {
        self.dropped += 1;
        self.change_unheard(from);
        if !self.lets_hear(&from) {
            self.is_unheard(from);
            return Ok(());
        }
        let mut sign = [0; 16];
        sign.copy_from_slice(&Sha256::digest(head)[..16]);
        self.owe_reset(from, session.unwrap_or(UNREADABLE_START), sign);
        self.answer_unknown(from, now)
    }

    /// Tells a peer what is unknown here, when it is time.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) fn answer_unknown(&mut self, device: DeviceId, now: Now) -> Result<(), Error> {
        if !self.lets_hear(&device) {
            self.forget_resets(&device);
            return Ok(());
        }
        let open = |room: &RoomId| self.chat.room(*room).is_some_and(Room::is_open);
        // A conversation that waits for a decision holds up nothing of the rooms that both are in.
        let room = self.room_of(&device).filter(|room| open(room) || !self.shares_room(&device));
        let Some(session) = self.resets.get_mut(&device).and_then(|resets| resets.take(now.mono)) else {
            return Ok(());
        };
        // Through a new session: the other end may be as unable to read ours.
        self.sessions.restart(&device, &mut self.batch);
        self.transmit_to(device, room, Content::Reset { session }, Why::Signal, now);
        self.ask_for_changes(device, now);
        // There may have been receipts in what did not open: who has a line says so once more.
        self.resend(Some(device), Resend::Carried, now)
    }

    /// The other end cannot open that session.
    pub(super) fn reset_came(
        &mut self,
        room: Option<RoomId>,
        device: DeviceId,
        session: SessionId,
        now: Now,
    ) -> Result<(), Error> {
        self.owe_start(device, session);
        self.start_over(room, device, now)
    }

    /// Heeds what a peer cannot open, when it is time.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) fn heed_reset(&mut self, device: DeviceId, now: Now) -> Result<(), Error> {
        if !self.lets_hear(&device) {
            self.forget_heard(&device);
            return Ok(());
        }
        let let_in = |room: &RoomId| self.chat.room(*room).is_some_and(|room| room.person.is_contact());
        let room = self.room_of(&device).filter(|room| let_in(room) && !self.is_sibling(&device));
        self.start_over(room, device, now)
    }

    /// Another session, and everything unreceipted once more, when it is time.
    fn start_over(&mut self, room: Option<RoomId>, device: DeviceId, now: Now) -> Result<(), Error> {
        let Some(session) = self.start_due(&device, now) else { return Ok(()) };
        let in_use = self.sessions.reset(&device, session, &mut self.batch);
        // Which session a start would have begun is not known: all that waits in the outbox may be meant.
        let meant = |sealed: SessionId| session == UNREADABLE_START || sealed == session;
        self.outbox.drop_sealed(&device, meant, &mut self.batch);
        // Said of the session in use alone: of others a peer can name as many as it likes.
        if let Some(room) = room.filter(|_| in_use) {
            self.note(
                room,
                "the encrypted session was started again; unreceipted messages are sent once more".into(),
                now,
            );
        }
        if let Some(room) = room {
            self.profile_again(room, now);
        }
        self.rooms_start_over(device, now);
        // They may have been asked in it.
        self.ask_for_changes(device, now);
        if self.is_sibling(&device) {
            // Before the lines that go there once more: it may not know the rooms where they stand.
            self.greet(device, now);
        }
        self.resend(Some(device), Resend::Unreceipted, now)
    }
}
