//! What members say in a room, and what they say about its log.

use super::super::contact::typing_until;
use super::super::devices::pending_key;
use super::super::sending::Resend;
use super::super::talk::{PENDING, RECEIPT_DELAY, Talk};
use super::super::timeline::{Author, Line, LineState, unplace};
use super::super::transferring::file_line;
use super::answers::Wanted;
use super::judging::Verdict;
use super::{SHOWN, room_id};
use crate::effect::Happened;
use subrosa_shared::content::rooms::{AboutRoom, InRoom, RoomTalk};
use subrosa_shared::content::{Content, Mark};
use subrosa_shared::id::{AccountName, DeviceId, RoomId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::session::roomlog::{self, Met, Role};
use subrosa_shared::store::Error;
use subrosa_shared::time::Now;

/// A clock so far ahead of all others is no clock.
pub(in crate::chat) const CLOCK_AHEAD: u64 = 1 << 32;

/// Whose words are being taken in, in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::chat) struct Speaker {
    /// The member.
    pub(in crate::chat) name: AccountName,
    /// The clock of what they say.
    pub(in crate::chat) clock: u64,
    /// They are a moderator or the owner.
    pub(in crate::chat) moderates: bool,
}

impl Talk {
    /// Something said in a room, from a device that its session proves.
    pub(in crate::chat) fn hear_in_room(
        &mut self,
        from: &Peer,
        name: &AccountName,
        said: InRoom,
        now: Now,
    ) -> Result<(), Error> {
        let room = room_id(said.room);
        let Some(group) = self.chat.group(room) else {
            self.dropped += 1;
            return self.is_unknown_room(from, said.room, now);
        };
        // So high is no log.
        let ahead = said.clock > group.kept.clock.saturating_add(CLOCK_AHEAD);
        if ahead || said.height >= roomlog::ENTRIES_MAX {
            self.dropped += 1;
            return Ok(());
        }
        let content = match said.open() {
            Ok(content) => content,
            Err(subrosa_shared::content::Error::Version(version)) => {
                self.unread_in_room(room, from, name, version, now);
                return Ok(());
            }
            Err(_) => {
                self.dropped += 1;
                return Ok(());
            }
        };
        match self.weigh(from, name, &said, &content, now) {
            Verdict::Counts => {}
            Verdict::Waits => {
                self.wait_for_log(from, name, said, now);
                return Ok(());
            }
            Verdict::Crowded => {
                self.dropped += 1;
                self.had_no_place(room, from.device(), said.height, now);
                return Ok(());
            }
            Verdict::Refused => {
                self.dropped += 1;
                return Ok(());
            }
        }
        // By the newest log that is here: who is no moderator any more could say they did not know.
        let moderates = self.chat.group(room).and_then(|group| group.role(name)) >= Some(Role::Moderator);
        self.is_in(room, name, now);
        self.clock_passed(room, said.clock);
        if let Content::Room(AboutRoom { talk, .. }) = content {
            self.talk_of_room(room, from, name, talk, now)?;
            // What it proposes may be taken before its sender knows that it was.
            self.meet(room, from, name, &said, now);
            return Ok(());
        }
        self.meet(room, from, name, &said, now);
        self.showed(room, from.device(), name, &said, now);
        let clock = said.clock;
        self.speaker = Some(Speaker { name: name.clone(), clock, moderates });
        let heard = match *name == self.chat.name {
            true => self.own_word_in(room, from.device(), content, now),
            false => self.member_word(room, from.device(), name, content, now),
        };
        self.speaker = None;
        heard
    }

    /// A member's device says what this version cannot read, which is worth a word once in a run.
    fn unread_in_room(&mut self, room: RoomId, from: &Peer, name: &AccountName, version: u8, now: Now) {
        let blocked = self.chat.with(name).is_some_and(|room| room.person.blocked);
        let heard = !blocked && self.is_members(room, name, from);
        let sign = (NEWER, from.device());
        if heard && self.chat.group_mut(room).is_some_and(|group| group.warned.insert(sign)) {
            self.note(room, newer(version), now);
        } else {
            self.dropped += 1;
        }
    }

    /// A word about a room, to this device alone.
    pub(in crate::chat) fn hear_about_room(
        &mut self,
        from: &Peer,
        name: &AccountName,
        about: AboutRoom,
        now: Now,
    ) -> Result<(), Error> {
        let room = room_id(about.room);
        if let RoomTalk::Invite(invite) = about.talk {
            return self.invited_to(from, name, about.room, invite, now);
        }
        if let RoomTalk::Want { from: height } = about.talk
            && self.answer_end(room, name, from, height, now)
        {
            return Ok(());
        }
        let own = *name == self.chat.name && self.own_list().has(from);
        if own && about.talk == RoomTalk::Decline && self.chat.group(room).is_none() {
            return self.declined_there(room);
        }
        // Who declines an invitation, or is told of a removal, need not be a member any more.
        if !self.is_members(room, name, from) && !self.may_bring(room, name, from, &about.talk) {
            self.dropped += 1;
            return Ok(());
        }
        self.talk_of_room(room, from, name, about.talk, now)
    }

    /// Whether that word about a room is heard from a device that is no member's by the log here, of which the
    /// beginning alone may have come. Entries prove themselves.
    fn may_bring(&self, room: RoomId, name: &AccountName, from: &Peer, talk: &RoomTalk) -> bool {
        let Some(group) = self.chat.group(room) else { return false };
        let own = *name == self.chat.name && self.own_list().has(from);
        let asked = group.missing.is_some_and(|(_, device)| device == from.device());
        match talk {
            RoomTalk::Entries { .. } => {
                own || asked || (group.is_brought_by(name) && self.is_listed(name, from))
            }
            // Who left on one device says so on the others too, also to the one that missed it.
            RoomTalk::Want { .. }
            | RoomTalk::Keys(_)
            | RoomTalk::Doors { .. }
            | RoomTalk::Accept
            | RoomTalk::Decline => own,
            _ => false,
        }
    }

    fn talk_of_room(
        &mut self,
        room: RoomId,
        from: &Peer,
        name: &AccountName,
        talk: RoomTalk,
        now: Now,
    ) -> Result<(), Error> {
        let own = *name == self.chat.name;
        let joined = self.chat.room(room).is_some_and(|room| room.person.is_contact());
        match talk {
            // Before the invitation is taken nobody but own devices gets an answer.
            RoomTalk::Want { .. } | RoomTalk::WantPast if !own && !joined => self.dropped += 1,
            RoomTalk::Entries { entries, keys } => self.entries(room, name, from, &entries, keys, now)?,
            RoomTalk::Want { from: height } => self.answer_want(room, from.device(), height, now),
            RoomTalk::Accept if own => self.taken_in_room(room, now)?,
            RoomTalk::Decline if own => {
                if self.chat.room(room).is_some_and(|room| room.person.is_request()) {
                    self.decline_request(room, now)?;
                }
            }
            RoomTalk::Accept => {
                self.is_in(room, name, now);
                let (device, group) = (from.device(), self.chat.group_mut(room));
                if group.is_some_and(|group| group.answers.another(Wanted::Lines, device, now)) {
                    // What was said before they knew of the room.
                    self.resend(Some(from.device()), Resend::Unreceipted, now)?;
                }
            }
            RoomTalk::Decline => self.stays_away(room, name, now),
            RoomTalk::Keys(keys) => drop(self.take_keys(room, name, keys)),
            RoomTalk::Doors { links, lock } => self.links_came(room, name, (&links, lock.as_ref()), now),
            RoomTalk::Doorstep { who, at, what } => self.doorstep_came(room, name, (&who, at, what), now),
            RoomTalk::Past { lines, more } => self.past_came(room, from, name, lines, more, now)?,
            RoomTalk::WantPast => {
                self.tell_expiry(room, name, now);
                self.tell_past(room, from.device(), now)?;
            }
            RoomTalk::Invite(_) => self.dropped += 1,
        }
        Ok(())
    }

    /// The invitation was accepted on another own device.
    fn taken_in_room(&mut self, room: RoomId, now: Now) -> Result<(), Error> {
        let Some(r) = self.chat.room_mut(room).filter(|room| room.person.is_request()) else { return Ok(()) };
        r.person.standing = super::super::person::Standing::Contact;
        self.save_person(room);
        self.sort_rooms();
        self.ask_members(now);
        self.ask_for_unheard(room, now);
        self.want_past(room, now);
        self.advance(room, now)
    }

    /// What a sender's head says beside the own log.
    fn meet(&mut self, room: RoomId, from: &Peer, name: &AccountName, said: &InRoom, now: Now) {
        let device = from.device();
        let Some(group) = self.chat.group_mut(room) else { return };
        match group.log.meet(said.height, &said.head) {
            Met::Ahead { .. } => self.entries_missing(room, said.height, device, now),
            Met::Fork if group.warned.insert((FORK, device)) => self.alarm(
                room,
                format!(
                    "{name} has another history of this room than you at the same place: the relay shows different people \
                     different things, or a member does. Who is in may not be the same for all: say nothing secret here, ask \
                     the others another way, and begin a new room"
                ),
                now,
            ),
            _ => {}
        }
    }

    /// Who showed a height does not go back behind it.
    fn showed(&mut self, room: RoomId, device: DeviceId, name: &AccountName, said: &InRoom, now: Now) {
        let Some(group) = self.chat.group_mut(room) else { return };
        let (height, clock) = group.shown.get(&device).copied().unwrap_or_default();
        if said.clock <= clock && height > 0 {
            // Late, or sent once more: it says nothing of how the sender is now.
            return;
        }
        if said.height < height && group.warned.insert((ROLLBACK, device)) {
            self.alarm(
                room,
                format!(
                    "{name} has gone back to an older state of this room than {name} had before: their device was set back, \
                     or somebody made it forget. What they believe about who is in may be wrong"
                ),
                now,
            );
        } else {
            let shown = (said.height.max(height), said.clock);
            group.shown.insert(device, shown);
            let shown = postcard::to_stdvec(&shown).expect("two numbers serialise");
            self.batch.put(SHOWN, [room.0, device.0].concat(), shown);
        }
    }

    /// What a member says.
    fn member_word(
        &mut self,
        room: RoomId,
        device: DeviceId,
        name: &AccountName,
        content: Content,
        now: Now,
    ) -> Result<(), Error> {
        let silent = self
            .chat
            .group(room)
            .and_then(|group| group.log.state().members.get(name))
            .is_some_and(|member| member.silent(now.wall));
        let blocked = self.chat.with(name).is_some_and(|room| room.person.blocked);
        match content {
            Content::Receipt { ids, mark } => {
                for id in ids.iter().copied() {
                    self.act_receipted(&id, &device)?;
                    let here = self.place_of(&id)?.and_then(|place| unplace(&place));
                    if here.is_some_and(|(of, _)| of == room) {
                        self.batch.delete(PENDING, pending_key(&id, &device));
                        self.tallied(room, name, id, mark)?;
                    }
                }
                self.has_later(device, &ids, now)?;
            }
            Content::Typing(on) => {
                let Some(group) = self.chat.group_mut(room).filter(|_| !silent && !blocked) else {
                    return Ok(());
                };
                match on {
                    true => group.typing.insert(name.clone(), typing_until(now)),
                    false => group.typing.remove(name),
                };
                if let Some(with) = self.chat.room(room).map(super::super::room::Room::whose) {
                    self.tell(Happened::Typing { with, by: Some(name.clone()), on });
                }
            }
            Content::Call { .. } => self.dropped += 1,
            _ if blocked => self.dropped += 1,
            content => {
                if let Some(group) = self.chat.group_mut(room) {
                    group.typing.remove(name);
                }
                self.content(room, device, content, true, now)?;
            }
        }
        Ok(())
    }

    /// What another own device says in a room.
    fn own_word_in(
        &mut self,
        room: RoomId,
        device: DeviceId,
        content: Content,
        now: Now,
    ) -> Result<(), Error> {
        let Ok((content, timer)) = content.plain() else {
            self.dropped += 1;
            return Ok(());
        };
        match content {
            Content::Text { .. } | Content::Post(_) | Content::File(_) => {
                let line = match content {
                    Content::Text { id, at, body } => Line::new(id, Author::Me, at, body, LineState::Sent),
                    Content::Post(post) => Line::of(post, Author::Me, LineState::Sent),
                    Content::File(file) => file_line(*file, Author::Me, LineState::Sent),
                    _ => return Ok(()),
                };
                let id = line.id;
                if let Some(place) = self.stands(room, &id)? {
                    if self.author_says(room, &place, &line, timer, now)?
                        && let Some(at) = unplace(&place)
                    {
                        // It is with the relay by now.
                        self.start_timer(at, now);
                    }
                } else {
                    self.offer(room, &line, now);
                    let at = match timer {
                        Some(seconds) => {
                            let at = self.push_timed(room, line, seconds, now);
                            // It is with the relay by now.
                            if let Some(at) = unplace(&at) {
                                self.start_timer(at, now);
                            }
                            at
                        }
                        None => self.push_line(room, line, now),
                    };
                    if let Some((_, pos)) = unplace(&at) {
                        self.catch_up(room, pos, id, now)?;
                    }
                    self.sort_rooms();
                }
                self.owe(room, id, Mark::Delivered, now);
                self.receipts_due.get_or_insert(now.mono.plus(RECEIPT_DELAY));
            }
            Content::Receipt { ids, mark } => {
                let clock = self.speaker.as_ref().map(|speaker| speaker.clock);
                for id in &ids {
                    self.act_receipted(id, &device)?;
                    self.batch.delete(PENDING, pending_key(id, &device));
                    if mark == Mark::Read {
                        if let (Some(clock), None) = (clock, self.place_of(id)?) {
                            self.read_before_it_came(room, *id, device, clock);
                        }
                        self.read_there(room, *id, now)?;
                    }
                }
                self.has_later(device, &ids, now)?;
            }
            Content::Typing(_) => {}
            Content::Expire { seconds, at } => {
                self.expires(room, seconds, at, now);
            }
            Content::Act(act) => {
                let me = self.chat.name.clone();
                self.act_came(room, &me, act, timer, now)?;
            }
            content => self.content(room, device, content, true, now)?,
        }
        Ok(())
    }
}

fn newer(version: u8) -> String {
    format!(
        "a message came that needs a newer subrosa (content version {version}): update to read the next ones"
    )
}

pub(super) const FORK: u8 = 1;
const ROLLBACK: u8 = 2;
// OTHER_ROOT is 3.
const NEWER: u8 = 4;
