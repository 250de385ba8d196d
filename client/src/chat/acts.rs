//! What people do to lines: carried out here, sent like lines until everybody has it, and kept for a
//! line that has not come yet.
//!
//! An act goes the way of a line: it waits in [`PENDING`] for a receipt of each device and is sealed
//! again when a session was lost. What an edit says is kept in the line alone, so that nothing of a
//! message that disappears, or was taken back, stays in what waits.

use super::deeds::{self, Change, SIGNS_MAX};
use super::devices::pending_key;
use super::room::Room;
use super::sending::{PLACE, pending};
use super::talk::{PENDING, Talk, Waiting};
use super::timeline::{Author, Line, LineState, place, unplace};
use crate::effect::Happened;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use subrosa_shared::content::post::{Act, Deed};
use subrosa_shared::content::{Content, Mark};
use subrosa_shared::id::{AccountName, DeviceId, MessageId, RoomId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::session::Why;
use subrosa_shared::session::roomlog::Role;
use subrosa_shared::store::{Error, Order, Store, Table, prefix_end};
use subrosa_shared::time::{Millis, Now};

mod parked;

pub(super) use parked::PARKED;
use parked::Parked;

/// Own acts that not everybody has: act id → version (1) ‖ `Out`.
const ACTS: Table = Table { byte: 0xa0, name: "acts on their way" };
/// Lines that are kept at hand: `room ‖ message id` → version (1).
const PINS: Table = Table { byte: 0xa2, name: "pins" };

/// An own act that not everybody has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Out {
    room: RoomId,
    on: MessageId,
    clock: u64,
    what: What,
}

/// A deed without its words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum What {
    Edit,
    Delete,
    React { sign: String, on: bool },
    Pin(bool),
}

/// Acts on their way out, and those that came before their line.
#[derive(Default)]
pub(super) struct Acts {
    out: BTreeMap<MessageId, Out>,
    /// The last ones of this account that are not on their way from here: nobody's line has such an id.
    other: VecDeque<MessageId>,
    parked: BTreeMap<(RoomId, MessageId), Vec<Parked>>,
}

impl Acts {
    pub(super) fn load(store: &Store) -> Result<Self, Error> {
        let mut acts = Self::default();
        for (key, value) in store.records.scan(ACTS, &[], &[], Order::Forward, usize::MAX)? {
            let damaged = || Error::Damaged("an act on its way".into());
            let id = MessageId(key.try_into().map_err(|_| damaged())?);
            let out = match value.split_first() {
                Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|_| damaged())?,
                _ => return Err(damaged()),
            };
            acts.out.insert(id, out);
        }
        parked::load(store, &mut acts.parked)?;
        Ok(acts)
    }
}

/// What somebody may do in a conversation beside what everybody may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Power {
    /// Nothing: most members of a room of several.
    Plain,
    /// Keep lines at hand: both in a conversation of two.
    Pins,
    /// That, and take back what others said: moderators and the owner of a room of several.
    Moderates,
}

/// Whether somebody may do that to a line of that author. Everybody reacts; only the author says it in
/// other words.
fn may(power: Power, who: &AccountName, author: &AccountName, deed: &Deed) -> bool {
    match deed {
        Deed::Edit { .. } => who == author,
        Deed::Delete => who == author || power == Power::Moderates,
        Deed::React { .. } => true,
        Deed::Pin(_) => power >= Power::Pins,
    }
}

impl Talk {
    /// Throws away what waits for nobody any more.
    pub(super) fn load_acts(&mut self, now: Now) -> Result<(), Error> {
        for id in self.acts.out.keys().copied().collect::<Vec<_>>() {
            self.settle_act(&id, None)?;
        }
        self.expire_parked(now);
        Ok(())
    }

    /// Does something to a line.
    ///
    /// # Errors
    /// Those of the store; inside a sentence why it cannot be done.
    pub fn act(
        &mut self,
        room: RoomId,
        on: MessageId,
        deed: Deed,
        now: Now,
    ) -> Result<Result<(), String>, Error> {
        let me = self.chat.name.clone();
        let Some((pos, line)) = self.line_of(room, &on)? else {
            return Ok(Err("that message is not here".into()));
        };
        let Some(r) = self.chat.room(room) else { return Ok(Err("that message is not here".into())) };
        if let Err(why) = self.can(r, &line, &deed, now) {
            return Ok(Err(why));
        }
        let same = match &deed {
            Deed::Edit { body, .. } => *body == line.body,
            Deed::React { sign, on } => line.has_sign(&me, sign) == *on,
            Deed::Pin(on) => line.is_pinned() == *on,
            Deed::Delete => false,
        };
        if same {
            return Ok(Ok(()));
        }
        let id = self.draws();
        let act = Act { id, on, clock: line.next_clock(), deed };
        let content = Content::Act(act.clone());
        let content = match self.seconds_of(room, pos) {
            Some(seconds) => content.timed(seconds),
            None => content,
        };
        let unsent = self.takes_back(room, &act)?;
        self.carry_out(room, pos, &me, &act, now)?;
        if unsent && self.siblings().is_empty() {
            return Ok(Ok(()));
        }
        let what = match &act.deed {
            Deed::Edit { .. } => What::Edit,
            Deed::Delete => What::Delete,
            Deed::React { sign, on } => What::React { sign: sign.clone(), on: *on },
            Deed::Pin(on) => What::Pin(*on),
        };
        let out = Out { room, on, clock: act.clock, what };
        let mut value = vec![VERSION];
        value.extend(postcard::to_stdvec(&out).expect("an act serialises: plain fields only"));
        self.batch.put(ACTS, id.0, value);
        self.acts.out.insert(id, out);
        let at = place(room, pos);
        if !unsent {
            self.batch.put(PENDING, pending_key(&id, &super::devices::UNADDRESSED), at.clone());
            self.said = Some((id, at.clone()));
            self.transmit(room, content.clone(), Why::Speech, Some(id), now);
        }
        self.copy_tell_siblings(room, content, &at, now);
        Ok(Ok(()))
    }

    /// Whether an own line of a conversation is being deleted that was written here and that no envelope
    /// carries. Then it never goes out, and nobody but own devices is told: who does not know this account
    /// would take what was done to a line for a stranger's word, and never say that it came.
    pub(super) fn takes_back(&mut self, room: RoomId, act: &Act) -> Result<bool, Error> {
        if act.deed != Deed::Delete || self.chat.group(room).is_some() {
            return Ok(false);
        }
        let Some((_, line)) = self.line_of(room, &act.on)? else { return Ok(false) };
        let carried = self.devices_of(room).iter().any(|peer| self.outbox.carries(&line.id, &peer.device()));
        let unsent = line.author == Author::Me && line.state < LineState::Sent && !carried;
        if unsent {
            self.withhold(line.id);
        }
        Ok(unsent)
    }

    /// What waits to be sealed for others under that number goes to none of them.
    fn withhold(&mut self, id: MessageId) {
        let own: Vec<DeviceId> = self.siblings().iter().map(Peer::device).collect();
        let rest = |queue: &mut VecDeque<Waiting>| {
            queue.retain(|next| next.message != Some(id));
            !queue.is_empty()
        };
        self.waiting.retain(|_, queue| rest(queue));
        self.groups.waiting.retain(|_, queue| rest(queue));
        self.queues.retain(|device, queue| own.contains(device) || rest(queue));
    }

    /// The own device that wrote the line of an own act has it, and says that the line never goes out: the act
    /// waits for nobody but further own devices.
    pub(super) fn act_for_nobody(&mut self, id: MessageId, author: DeviceId) -> Result<(), Error> {
        self.withhold(id);
        let mut further = false;
        let rows = self.store.records.scan(PENDING, &id.0, &prefix_end(&id.0), Order::Forward, usize::MAX)?;
        for (key, _) in rows {
            match pending(&key) {
                Some((_, device)) if self.is_sibling(&device) => further |= device != author,
                _ => self.batch.delete(PENDING, key),
            }
        }
        if !further {
            self.act_over(id);
        }
        Ok(())
    }

    /// Whether this account may do that now; else a sentence.
    ///
    /// # Errors
    /// A sentence.
    pub fn can(&self, room: &Room, line: &Line, deed: &Deed, now: Now) -> Result<(), String> {
        let name = room.name();
        let Some(author) = self.chat.author_of(room, line) else {
            return Err("that line is subrosa's own: pick a message".into());
        };
        if line.more.deleted.is_some() {
            return Err("that message was deleted".into());
        }
        if !line.is_said() {
            return Err("that message has disappeared".into());
        }
        if room.person.blocked {
            return Err(format!("{name} is blocked: /unblock first"));
        }
        if room.person.is_request() {
            return Err(format!("{name} waits to be let in: /accept first"));
        }
        if let Some(why) = self.chat.silent_in(room.id, now) {
            return Err(why);
        }
        if !may(self.power(room.id), &self.chat.name, &author, deed) {
            let group = room.group.is_some();
            return Err(match deed {
                Deed::Edit { .. } => "only your own messages can be edited: /reply answers this one".into(),
                Deed::Delete if group => {
                    "only its author and the room's moderators can delete that: /room shows who they are"
                        .into()
                }
                Deed::Delete => "only your own messages can be deleted".into(),
                Deed::React { .. } | Deed::Pin(_) => {
                    "only the room's moderators pin: ask one of them, /room shows who they are".into()
                }
            });
        }
        match deed {
            Deed::Edit { .. } if line.is_file() => {
                Err("a file cannot be edited: send it again with another caption, and delete this one".into())
            }
            Deed::React { sign, on: true }
                if !line.has_sign(&self.chat.name, sign) && line.signs_of(&self.chat.name) >= SIGNS_MAX =>
            {
                Err(format!("{SIGNS_MAX} signs are enough: take one back first"))
            }
            _ => Ok(()),
        }
    }

    /// What this account may do there now.
    fn power(&self, room: RoomId) -> Power {
        match self.chat.group(room) {
            Some(group) if group.role(&self.chat.name) >= Some(Role::Moderator) => Power::Moderates,
            Some(_) => Power::Plain,
            None => Power::Pins,
        }
    }

    /// What who speaks may do.
    fn power_of_speaker(&self) -> Power {
        match &self.speaker {
            Some(speaker) if speaker.moderates => Power::Moderates,
            Some(_) => Power::Plain,
            None => Power::Pins,
        }
    }

    /// Somebody else's act, or one of another own device. It is receipted in any case: what cannot be
    /// done now never can.
    pub(super) fn acted(
        &mut self,
        room: RoomId,
        who: &AccountName,
        act: Act,
        seconds: Option<u32>,
        now: Now,
    ) -> Result<(), Error> {
        let sign = |sign: &str| deeds::is_sign(sign);
        if matches!(&act.deed, Deed::React { sign: s, .. } if !sign(s)) {
            self.dropped += 1;
            return Ok(());
        }
        match self.line_of(room, &act.on)? {
            Some((pos, line)) => self.act_on((room, pos), &line, who, self.power_of_speaker(), &act, now),
            None if self.place_of(&act.on)?.is_some() => {
                self.dropped += 1;
                Ok(())
            }
            None => {
                let power = self.power_of_speaker();
                self.park(room, Parked { who: who.clone(), power, act, seconds, at: now.wall });
                Ok(())
            }
        }
    }

    /// Somebody else's act, who gets a receipt.
    pub(super) fn act_came(
        &mut self,
        room: RoomId,
        who: &AccountName,
        act: Act,
        seconds: Option<u32>,
        now: Now,
    ) -> Result<(), Error> {
        let id = act.id;
        self.acted(room, who, act, seconds, now)?;
        self.owe(room, id, Mark::Delivered, now);
        Ok(())
    }

    fn act_on(
        &mut self,
        (room, pos): (RoomId, u64),
        line: &Line,
        who: &AccountName,
        power: Power,
        act: &Act,
        now: Now,
    ) -> Result<(), Error> {
        let author = self.chat.room(room).and_then(|room| self.chat.author_of(room, line));
        let allowed = author.is_some_and(|author| may(power, who, &author, &act.deed));
        // Nothing brings words back that have disappeared.
        if !allowed || (!line.is_said() && line.more.deleted.is_none()) {
            self.dropped += u64::from(!allowed);
            return Ok(());
        }
        self.carry_out(room, pos, who, act, now)
    }

    /// Changes the line and whatever hangs on it.
    fn carry_out(
        &mut self,
        room: RoomId,
        pos: u64,
        who: &AccountName,
        act: &Act,
        now: Now,
    ) -> Result<(), Error> {
        let store = self.store.clone();
        let Some(r) = self.chat.rooms.iter_mut().find(|r| r.id == room) else { return Ok(()) };
        let changed = r.timeline.change(&store, pos, &mut self.batch, |line| {
            let change = line.apply(who, act)?;
            Some((change, line.clone()))
        })?;
        let Some((change, line)) = changed else { return Ok(()) };
        let body = line.body.clone();
        match &change {
            Change::Edited if self.seconds_of(room, pos).is_some() => self.seal_text(room, pos, &body),
            Change::Edited => self.index_again(room, Some(pos), Some(&line))?,
            Change::Reacted { .. } => {}
            Change::Deleted => self.words_gone(room, pos, act.on, now)?,
            Change::Pinned(on) => {
                let key = [room.0, act.on.0].concat();
                match on {
                    true => self.batch.put(PINS, key, vec![VERSION]),
                    false => self.batch.delete(PINS, key),
                }
                if *who != self.chat.name && *on {
                    let name = self.chat.name_of(room, who);
                    self.note(room, format!("{name} pinned a message: /pins shows it"), now);
                }
            }
        }
        let Some(with) = self.chat.room(room).map(Room::whose) else { return Ok(()) };
        let text = if change == Change::Edited { body } else { String::new() };
        self.tell(Happened::Change { with, id: act.on, by: who.clone(), change, text });
        Ok(())
    }

    /// The words of a line were taken back: nothing of them stays in what is kept beside it.
    fn words_gone(&mut self, room: RoomId, pos: u64, id: MessageId, now: Now) -> Result<(), Error> {
        let disappears = self.disappears(room, pos);
        self.erase_timed(room, pos, now)?;
        if !disappears {
            self.index_again(room, Some(pos), None)?;
        }
        // Somebody may have told of it in another conversation.
        if self.chat.transfer(&id).is_some_and(|transfer| transfer.kept.room == room) {
            self.file_gone(id);
            self.run_transfers(now);
        }
        self.forget_deeds(room, id)?;
        // It waits for no receipt any more, and is unread no more.
        for (key, _) in
            self.store.records.scan(PENDING, &id.0, &prefix_end(&id.0), Order::Forward, usize::MAX)?
        {
            self.batch.delete(PENDING, key);
        }
        self.recount(room, Some(pos))
    }

    /// Own acts on that line, acts that wait for it and its pin: gone with it.
    pub(super) fn forget_deeds(&mut self, room: RoomId, on: MessageId) -> Result<(), Error> {
        let of: Vec<MessageId> = self
            .acts
            .out
            .iter()
            .filter(|(_, out)| (out.room, out.on) == (room, on))
            .map(|(id, _)| *id)
            .collect();
        for id in of {
            self.act_over(id);
            // An edit that is not sealed yet has words, too.
            self.withhold(id);
            let end = prefix_end(&id.0);
            for (key, _) in self.store.records.scan(PENDING, &id.0, &end, Order::Forward, usize::MAX)? {
                self.batch.delete(PENDING, key);
            }
        }
        self.unpark(room, on);
        self.batch.delete(PINS, [room.0, on.0].concat());
        Ok(())
    }

    /// A line came: what was done to it before is done now.
    pub(super) fn catch_up(&mut self, room: RoomId, pos: u64, id: MessageId, now: Now) -> Result<(), Error> {
        for Parked { who, power, act, .. } in self.unpark(room, id) {
            let line = self.chat.room(room).map(|r| r.timeline.read(&self.store, pos)).transpose()?;
            if let Some(line) = line.flatten() {
                self.act_on((room, pos), &line, &who, power, &act, now)?;
            }
        }
        Ok(())
    }

    /// The same for a line of the history, before it is written.
    pub(super) fn catch_up_told(&mut self, room: RoomId, line: &mut Line) {
        for Parked { who, power, act, .. } in self.unpark(room, line.id) {
            let author = self.chat.room(room).and_then(|room| self.chat.author_of(room, line));
            if author.is_some_and(|author| may(power, &who, &author, &act.deed)) {
                line.apply(&who, &act);
            }
        }
        if line.is_pinned() {
            self.batch.put(PINS, [room.0, line.id.0].concat(), vec![VERSION]);
        }
    }

    /// A device has these lines. What was done to one of them on this device may have come there before the
    /// line, which another device wrote, and from somebody whom nobody knew there: it goes out once more.
    pub(super) fn acts_after(
        &mut self,
        device: DeviceId,
        room: RoomId,
        lines: &[MessageId],
        now: Now,
    ) -> Result<(), Error> {
        let before = |(id, out): &(&MessageId, &Out)| {
            out.room == room && lines.contains(&out.on) && !lines.contains(id)
        };
        let ids: Vec<MessageId> = self.acts.out.iter().filter(before).map(|(id, _)| *id).collect();
        for id in ids {
            let key = pending_key(&id, &device);
            let sent = self.store.records.get(PENDING, &key)?.filter(|value| value.len() > PLACE);
            let Some(place) = sent.as_ref().and_then(|value| value.get(..PLACE)) else { continue };
            let Some((_, pos)) = unplace(place) else { continue };
            self.batch.put(PENDING, key, place.to_vec());
            self.send_again((room, pos), device, id, now)?;
        }
        Ok(())
    }

    /// A device has an own act.
    pub(super) fn act_receipted(&mut self, id: &MessageId, device: &DeviceId) -> Result<(), Error> {
        if self.acts.out.contains_key(id) {
            let key = pending_key(id, device);
            self.batch.delete(PENDING, key.clone());
            self.settle_act(id, Some(key))?;
        }
        Ok(())
    }

    /// Forgets an own act that nobody lacks but in that row.
    fn settle_act(&mut self, id: &MessageId, but: Option<Vec<u8>>) -> Result<(), Error> {
        let rows = self.store.records.scan(PENDING, &id.0, &prefix_end(&id.0), Order::Forward, 2)?;
        if rows.iter().all(|(key, _)| Some(key) == but.as_ref()) {
            self.act_over(*id);
        }
        Ok(())
    }

    /// An own act is on its way from here no more, or was never.
    pub(super) fn act_over(&mut self, id: MessageId) {
        if self.acts.out.remove(&id).is_some() {
            self.batch.delete(ACTS, id.0);
        }
        if !self.acts.other.contains(&id) {
            if self.acts.other.len() >= OTHER_MAX {
                self.acts.other.pop_front();
            }
            self.acts.other.push_back(id);
        }
    }

    /// Whether that id is one of an own act on its way.
    pub(super) fn is_act(&self, id: &MessageId) -> bool {
        self.acts.out.contains_key(id)
    }

    /// The same, or of one that was on its way in this run, also from another own device.
    pub(super) fn was_act(&self, id: &MessageId) -> bool {
        self.is_act(id) || self.acts.other.contains(id)
    }

    /// Where the line of an own act stands.
    pub(super) fn place_of_act(&self, id: &MessageId) -> Option<Vec<u8>> {
        let out = self.acts.out.get(id)?;
        self.place_in(out.room, &out.on).ok().flatten()
    }

    /// What goes out again for something that waits for a receipt: the own line of that place, or what
    /// was done to it. `None` when its words are gone.
    pub(super) fn content_again(
        &self,
        room: RoomId,
        pos: u64,
        id: MessageId,
        line: Line,
    ) -> Result<Option<Content>, Error> {
        let Some(out) = self.acts.out.get(&id) else {
            // The words of a line are for its own number alone: what an act left behind brings them to nobody.
            let own = line.author == Author::Me && line.id == id;
            return if own { self.content_of(room, pos, line) } else { Ok(None) };
        };
        let deed = match &out.what {
            What::Edit => {
                let Some(r) = self.chat.room(room) else { return Ok(None) };
                let whole = r.timeline.read(&self.store, pos)?;
                let Some(line) = whole.filter(|line| !line.body.is_empty()) else { return Ok(None) };
                Deed::Edit { body: line.body, mentions: line.more.mentions }
            }
            What::Delete => Deed::Delete,
            What::React { sign, on } => Deed::React { sign: sign.clone(), on: *on },
            What::Pin(on) => Deed::Pin(*on),
        };
        let content = Content::Act(Act { id, on: out.on, clock: out.clock, deed });
        Ok(Some(match self.seconds_of(room, pos) {
            Some(seconds) => content.timed(seconds),
            None => content,
        }))
    }

    /// A line of that conversation, with its words and its position.
    ///
    /// # Errors
    /// Those of the store.
    pub fn line_of(&self, room: RoomId, id: &MessageId) -> Result<Option<(u64, Line)>, Error> {
        let Some(r) = self.chat.room(room) else { return Ok(None) };
        if let Some((pos, line)) = r.timeline.find(id) {
            return Ok(Some((pos, line.clone())));
        }
        match self.place_in(room, id)?.and_then(|place| unplace(&place)) {
            Some((_, pos)) => Ok(r.timeline.read(&self.store, pos)?.map(|line| (pos, line))),
            None => Ok(None),
        }
    }

    /// Lines of a conversation that are kept at hand, oldest first.
    ///
    /// # Errors
    /// Those of the store.
    pub fn pins(&self, room: RoomId) -> Result<Vec<(u64, Line)>, Error> {
        let end = prefix_end(&room.0);
        let mut pins = Vec::new();
        for (key, _) in self.store.records.scan(PINS, &room.0, &end, Order::Forward, usize::MAX)? {
            let Some(Ok(id)) = key.get(16..).map(<[u8; 16]>::try_from) else { continue };
            pins.extend(self.line_of(room, &MessageId(id))?.filter(|(_, line)| line.is_said()));
        }
        pins.sort_by_key(|(pos, line)| (line.more.clock, *pos));
        Ok(pins)
    }
}

impl super::Chat {
    /// Whose account wrote a line; nobody's for subrosa's own.
    pub fn author_of(&self, room: &Room, line: &Line) -> Option<AccountName> {
        match line.author {
            Author::Me => Some(self.name.clone()),
            Author::Them => line.more.by.clone().or_else(|| room.with().cloned()),
            Author::Note | Author::Alarm => None,
        }
    }

    /// How somebody is called in a conversation.
    pub fn name_of(&self, room: RoomId, who: &AccountName) -> String {
        // In a room of several, people are called as they are in the conversation with them.
        let room = self.room(room).filter(|room| room.with() == Some(who)).or_else(|| self.with(who));
        room.map_or_else(|| who.to_string(), |room| room.name().to_owned())
    }
}

/// How long an act waits for its line.
const PATIENCE: Duration = Duration::from_secs(30 * 24 * 3600);

/// When an act that came then has waited long enough.
fn given_up(at: Millis, seconds: Option<u32>) -> Millis {
    at.plus(seconds.map_or(PATIENCE, |seconds| Duration::from_secs(seconds.into())))
}

/// Own acts that are remembered for receipts that come late.
const OTHER_MAX: usize = 1024;

const VERSION: u8 = 1;
