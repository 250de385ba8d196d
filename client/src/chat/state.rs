//! What the devices of this account know of each other, and what they think of people: each tells the
//! others, and the newest word about each thing counts.

use super::expiry::AHEAD;
use super::person::{PETNAME_MAX, Person, Standing, Trouble};
use super::room::Room;
use super::sending::copy;
use super::talk::{PENDING, Talk};
use super::timeline::{Author, Line, LineState, unplace};
use super::transferring::file_line;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use subrosa_shared::content::own::{FIELDS_MAX, Field, Level, NAME_MAX, Own, Rings, Value};
use subrosa_shared::content::{Content, EXPIRY_MAX, Mark};
use subrosa_shared::id::{AccountName, DeviceId, MessageId, RoomId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::protocol::devices::Head;
use subrosa_shared::session::Why;
use subrosa_shared::store::{Error, Order, Store, Table};
use subrosa_shared::time::{Millis, Now};

/// `kind ‖ account name` → [`Field`]: the newest word about each thing.
pub const FIELDS: Table = Table { byte: 0x32, name: "fields" };
/// Device → [`Note`].
pub const NOTES: Table = Table { byte: 0x33, name: "own devices" };

/// What is known of an own device beside its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What the person calls it; may be empty.
    pub name: String,
    /// When it was called so.
    pub named: Millis,
    /// When it was first seen in the list, by this device's clock.
    pub added: Millis,
    /// When it was last seen here; zero for never.
    pub seen: Millis,
}

/// An own device, as the person sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnDevice {
    /// Which one.
    pub device: DeviceId,
    /// What is known of it.
    pub note: Note,
    /// Connected now.
    pub online: bool,
    /// The one that this runs on.
    pub this: bool,
}

impl OwnDevice {
    /// What to call it.
    pub fn name(&self) -> String {
        match self.note.name.as_str() {
            "" => format!("device {}", &self.device.to_string()[..8]),
            name => name.to_string(),
        }
    }
}

/// What was told and heard about people and own devices.
#[derive(Default)]
pub(super) struct Shared {
    notes: BTreeMap<DeviceId, Note>,
    /// How each conversation stood when it was last looked at.
    shapes: HashMap<RoomId, Shape>,
    /// Up to which message each conversation was read here, in this run.
    pub(super) read: HashMap<RoomId, MessageId>,
}

/// What of a conversation the own devices share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Shape {
    contact: bool,
    pinned: Option<Peer>,
    petname: Option<String>,
    verified: Option<[u8; 32]>,
    doubted: Option<[u8; 32]>,
    blocked: bool,
    rings: Rings,
    read: Option<MessageId>,
    timer: u32,
}

impl Shape {
    fn of(room: &Room, before: Option<&Self>) -> Self {
        // What was read is told when it is read, and not whenever it is looked at: an old word told
        // anew would be taken for a newer one than what another device read meanwhile.
        let read = before.and_then(|before| before.read);
        Self {
            contact: room.person.standing == Standing::Contact,
            pinned: room.kept.peer,
            petname: room.person.petname.clone(),
            verified: room.person.verified,
            doubted: room.person.doubted,
            blocked: room.person.blocked,
            rings: room.attention.rings,
            read,
            timer: room.timeline.timer(),
        }
    }

    /// What is different here, the standing first.
    fn news(&self, before: &Self) -> Vec<Value> {
        let mut news = Vec::new();
        let mut say = |differs: bool, value: Value| {
            if differs {
                news.push(value);
            }
        };
        say(self.contact != before.contact, Value::Contact(self.contact));
        if let Some(pinned) = self.pinned {
            say(self.pinned != before.pinned, Value::Pinned(pinned));
        }
        say(self.petname != before.petname, Value::Petname(self.petname.clone()));
        say(self.verified != before.verified, Value::Verified(self.verified));
        say(self.doubted != before.doubted, Value::Doubted(self.doubted));
        say(self.blocked != before.blocked, Value::Blocked(self.blocked));
        say(self.rings != before.rings, Value::Rings(self.rings));
        say(self.timer != before.timer, Value::Timer(self.timer));
        if let Some(read) = self.read {
            say(self.read != before.read, Value::Read(read));
        }
        news
    }
}

impl Shared {
    pub(super) fn load(store: &Store) -> Result<Self, Error> {
        let damaged = || Error::Damaged("an own device".into());
        let mut shared = Self::default();
        for (key, value) in store.records.scan(NOTES, &[], &[], Order::Forward, usize::MAX)? {
            let device = DeviceId(key.try_into().map_err(|_| damaged())?);
            shared.notes.insert(device, postcard::from_bytes(&value).map_err(|_| damaged())?);
        }
        Ok(shared)
    }
}

impl Talk {
    /// What an earlier version took, dated so far ahead that nothing else would ever count: whatever comes next does.
    pub(super) fn bound_words(&mut self, now: Now) -> Result<(), Error> {
        let ahead = now.wall.plus(AHEAD);
        for (_, value) in self.store.records.scan(FIELDS, &[], &[], Order::Forward, usize::MAX)? {
            let field = postcard::from_bytes::<Field>(&value).ok();
            if let Some(field) = field.filter(|field| field.at > ahead) {
                self.keep_field(&Field { at: UNDECIDED, ..field });
            }
        }
        for (device, note) in self.shared.notes.clone() {
            if note.named > ahead {
                self.keep_note(device, Note { named: UNDECIDED, ..note });
            }
        }
        self.bound_room_words(ahead)?;
        self.bound_profiles(now);
        Ok(())
    }

    // ---- what is told

    /// Tells the other own devices what has changed since the last call.
    pub fn share_state(&mut self, now: Now) {
        if self.siblings().is_empty() {
            return;
        }
        let (mut news, mut rooms) = (Vec::new(), Vec::new());
        for room in &self.chat.rooms {
            let before = self.shared.shapes.get(&room.id);
            let read = self.shared.read.get(&room.id).copied();
            let shape = Shape::of(room, before);
            let shape = Shape { read: read.or(shape.read), ..shape };
            if before != Some(&shape) {
                // A stranger writes to every device by themself.
                let known =
                    before.cloned().unwrap_or_else(|| Shape { pinned: shape.pinned, ..Shape::default() });
                let known = if shape.contact {
                    Shape { pinned: before.and_then(|b| b.pinned), ..known }
                } else {
                    known
                };
                match room.with() {
                    Some(with) => {
                        let first = known.pinned.is_none();
                        news.extend(shape.news(&known).into_iter().map(|value| (with.clone(), value, first)));
                    }
                    None => {
                        let rings = (shape.rings != known.rings).then_some(Value::Rings(shape.rings));
                        let timer = (shape.timer != known.timer).then_some(Value::Timer(shape.timer));
                        rooms.extend(rings.into_iter().chain(timer).map(|value| (room.id, value)));
                    }
                }
                self.shared.shapes.insert(room.id, shape);
            }
        }
        let fields = news.into_iter().map(|(with, value, first)| match value {
            Value::Pinned(_) if first => self.saw(with, value),
            value => self.decide(with, value, now),
        });
        let fields: Vec<Field> = fields.collect();
        for chunk in fields.chunks(FIELDS_MAX) {
            self.tell_siblings(Own::Fields(chunk.to_vec()), None, now);
        }
        self.share_rooms(rooms, now);
    }

    /// How all conversations stand now needs no telling.
    pub(super) fn look_at_rooms(&mut self) {
        for room in &self.chat.rooms {
            let shape = Shape::of(room, self.shared.shapes.get(&room.id));
            self.shared.shapes.insert(room.id, shape);
        }
    }

    /// How a conversation stands now, by a word of another own device or by itself, needs no telling.
    pub(super) fn look_at_room(&mut self, room: RoomId) {
        if let Some(r) = self.chat.room(room) {
            let shape = Shape::of(r, self.shared.shapes.get(&room));
            self.shared.shapes.insert(room, shape);
        }
    }

    /// Tells a new own device all there is to know.
    pub(super) fn greet(&mut self, device: DeviceId, now: Now) {
        self.note_of(device, now);
        let this = self.device();
        if device == this {
            return;
        }
        for (about, note) in self.shared.notes.clone() {
            if !note.name.is_empty() {
                let named = Own::Named { device: about, name: note.name, at: note.named };
                self.transmit_to(device, None, Content::Own(named), Why::Signal, now);
            }
        }
        if self.chat.profile.version > 0 {
            let profile = Own::Profile(self.chat.profile.clone());
            self.transmit_to(device, None, Content::Own(profile), Why::Signal, now);
        }
        if let Some(key) = self.backup_key() {
            self.transmit_to(device, None, Content::Own(Own::Backup(key)), Why::Signal, now);
        }
        self.greet_with_rooms(device, now);
        self.greet_with_room_fields(device, now);
        self.greet_with_declined(device, now);
        let mut fields = Vec::new();
        for room in &self.chat.rooms {
            let shape = Shape::of(room, self.shared.shapes.get(&room.id));
            let read = last_read(room).or(shape.read);
            let shape = Shape { read, ..shape };
            let Some(with) = room.with() else { continue };
            let off = self.expiry_at(room.id).filter(|_| shape.timer == 0).map(|_| Value::Timer(0));
            let mut values = shape.news(&Shape::default());
            // That something was taken back may not have come there.
            let back = |value: &Value| {
                let known = self.known_field(with, value.kind()).is_some_and(|known| known.value == *value);
                known && values.iter().all(|told| told.kind() != value.kind())
            };
            let back: Vec<Value> = TAKEN_BACK.into_iter().filter(back).collect();
            values.extend(back.into_iter().chain(off));
            for value in values {
                let set = self.timer_set_at(room.id, &value);
                let known = self.known_field(with, value.kind()).filter(|known| known.value == value);
                let first = Field { with: with.clone(), at: set.unwrap_or(UNDECIDED), by: this, value };
                fields.push(known.filter(|_| set.is_none()).unwrap_or(first));
            }
            self.shared.shapes.insert(room.id, shape);
        }
        for chunk in fields.chunks(FIELDS_MAX) {
            let fields = Content::Own(Own::Fields(chunk.to_vec()));
            self.transmit_to(device, None, fields, Why::Signal, now);
        }
    }

    /// Tells the other own devices that the pinned key was kept.
    pub(super) fn share_pinned(&mut self, with: AccountName, pinned: Peer, now: Now) {
        let field = self.decide(with, Value::Pinned(pinned), now);
        self.tell_siblings(Own::Fields(vec![field]), None, now);
    }

    /// A line of this device goes to the other ones too.
    pub(super) fn copy_tell_siblings(&mut self, room: RoomId, content: Content, place: &[u8], now: Now) {
        let Some(with) = self.chat.room(room).and_then(|room| room.with().cloned()) else { return };
        let id = match content.clone().plain() {
            Ok((Content::Text { id, .. }, _)) => id,
            Ok((Content::Post(post), _)) => post.id,
            Ok((Content::File(file), _)) => file.id,
            Ok((Content::Act(act), _)) => act.id,
            _ => return,
        };
        let content = self.placed(room, Some(&id), content);
        if let Some(own) = copy(with, content) {
            self.tell_siblings(own, Some((id, place)), now);
        }
    }

    fn decide(&mut self, with: AccountName, value: Value, now: Now) -> Field {
        let before = self.known_field(&with, value.kind()).map_or(Millis(0), |field| field.at);
        let room = self.chat.with(&with).map(|room| room.id);
        let set = room.and_then(|room| self.timer_set_at(room, &value));
        let at = set.unwrap_or(now.wall.max(Millis(before.0.saturating_add(1))));
        let field = Field { with, at, by: self.device(), value };
        self.keep_field(&field);
        field
    }

    /// Which key was there first: nobody has decided that.
    fn saw(&mut self, with: AccountName, value: Value) -> Field {
        let field = Field { with, at: UNDECIDED, by: self.device(), value };
        if self.known_field(&field.with, field.value.kind()).is_none() {
            self.keep_field(&field);
        }
        field
    }

    /// A timer holds from when it was set, at whichever end, and no later: of two all devices take the same.
    pub(super) fn timer_set_at(&self, room: RoomId, value: &Value) -> Option<Millis> {
        self.expiry_at(room).filter(|_| matches!(value, Value::Timer(_)))
    }

    fn known_field(&self, with: &AccountName, kind: u8) -> Option<Field> {
        let bytes = self.store.records.get(FIELDS, &field_key(with, kind)).ok().flatten()?;
        postcard::from_bytes(&bytes).ok()
    }

    fn keep_field(&mut self, field: &Field) {
        let value = postcard::to_stdvec(field).expect("a field serialises: plain fields only");
        self.batch.put(FIELDS, field_key(&field.with, field.value.kind()), value);
    }

    // ---- what is heard

    /// A word from another own device.
    pub(super) fn hear_sibling(
        &mut self,
        device: DeviceId,
        head: Option<Head>,
        content: Option<Content>,
        now: Now,
    ) -> Result<(), Error> {
        if let Some(head) = head {
            self.spoke_own(device, head);
        }
        match content {
            Some(Content::Own(own)) => self.own_word(device, own, now)?,
            Some(Content::Receipt { ids, mark }) => {
                for id in &ids {
                    self.batch.delete(PENDING, super::devices::pending_key(id, &device));
                    if mark == Mark::Read {
                        self.act_for_nobody(*id, device)?;
                    }
                    self.act_receipted(id, &device)?;
                }
                self.has_later(device, &ids, now)?;
            }
            Some(Content::Reset { session }) => self.reset_came(None, device, session, now)?,
            Some(Content::Devices) => {}
            _ => self.dropped += 1,
        }
        Ok(())
    }

    fn own_word(&mut self, device: DeviceId, own: Own, now: Now) -> Result<(), Error> {
        match own {
            Own::Copied { with, id, at, body, seconds } => {
                let line = Line::new(id, Author::Me, at, body, LineState::Sent);
                self.copied(device, &with, line, seconds, now)?;
            }
            Own::Said { with, inside } => self.said_there(device, &with, &inside, now)?,
            Own::Fields(mut fields) => {
                // What begins a conversation first: the others are about it.
                fields
                    .sort_by_key(|field| !matches!(field.value, Value::Contact(true) | Value::Blocked(true)));
                for field in fields {
                    self.field(device, field, now)?;
                }
            }
            Own::Taken { call, answered } => self.taken_there(call, answered, now),
            Own::Named { device, name, at } => {
                if self.own_list().get(&device).is_some() {
                    let mut note = self.note_of(device, now);
                    if note.named < at && at <= now.wall.plus(AHEAD) {
                        (note.name, note.named) = (name, at);
                        self.keep_note(device, note);
                    }
                }
            }
            Own::Profile(profile) => self.profile_there(profile, now),
            Own::Backup(key) => self.backup_key_came(device, &key, now),
            Own::CopiedFile { with, file, seconds } => {
                let line = file_line(*file, Author::Me, LineState::Sent);
                self.copied(device, &with, line, seconds, now)?;
            }
            // It is new here. What it was greeted with may have waited for it in the memory of who greeted it.
            Own::WantRooms => {
                self.greet(device, now);
                self.tell_rooms(device, now);
            }
            Own::WantLines { with, before } => self.tell_lines(device, with, before, now)?,
            Own::Rooms(rooms) => self.heard_rooms(device, rooms, now),
            Own::Lines { with, before, next, lines } => {
                self.heard_lines(device, &with, (before, next), lines, now)?;
            }
            Own::Groups(rooms) => self.heard_groups(device, rooms),
            Own::WantGroupLines { room, before } => self.tell_group_lines(device, room, before, now)?,
            Own::GroupLines { room, before, next, lines } => {
                self.heard_group_lines(device, room, (before, next), lines, now)?;
            }
            Own::RoomFields(fields) => {
                for field in fields {
                    self.room_field(field, now);
                }
            }
        }
        Ok(())
    }

    /// More than a plain line, from another own device.
    fn said_there(
        &mut self,
        device: DeviceId,
        with: &AccountName,
        inside: &[u8],
        now: Now,
    ) -> Result<(), Error> {
        let Ok((content, clock)) = Content::decode(inside).and_then(Content::unplaced) else {
            self.dropped += 1;
            return Ok(());
        };
        self.said_at = clock;
        let taken = self.word_there(device, with, content, now);
        self.said_at = None;
        taken
    }

    fn word_there(
        &mut self,
        device: DeviceId,
        with: &AccountName,
        content: Content,
        now: Now,
    ) -> Result<(), Error> {
        let line = match content.plain() {
            Ok((Content::Text { id, at, body }, timer)) => {
                Ok((Line::new(id, Author::Me, at, body, LineState::Sent), timer))
            }
            Ok((Content::Post(post), timer)) => Ok((Line::of(post, Author::Me, LineState::Sent), timer)),
            Ok((Content::File(file), timer)) => Ok((file_line(*file, Author::Me, LineState::Sent), timer)),
            other => Err(other),
        };
        let other = match line {
            Ok((line, timer)) => return self.copied(device, with, line, timer.unwrap_or(0), now),
            Err(other) => other,
        };
        match other {
            Ok((Content::Act(act), timer)) => {
                let (id, mut mark) = (act.id, Mark::Delivered);
                if let Some(room) = self.chat.with(with).map(|room| room.id) {
                    if self.takes_back(room, &act)? {
                        mark = Mark::Read;
                    }
                    let me = self.chat.name.clone();
                    self.acted(room, &me, act, timer, now)?;
                }
                self.act_over(id);
                self.unmarked(&id);
                self.owe_copy(device, id, mark, now);
            }
            _ => self.dropped += 1,
        }
        Ok(())
    }

    /// A line that was written on another own device.
    fn copied(
        &mut self,
        device: DeviceId,
        with: &AccountName,
        line: Line,
        seconds: u32,
        now: Now,
    ) -> Result<(), Error> {
        let id = line.id;
        if self.place_of(&id)?.is_none() && *with != self.chat.name {
            let room = match self.chat.with(with) {
                Some(room) => room.id,
                None => self.room_elsewhere(with, now)?,
            };
            self.offer(room, &line, now);
            let at = if seconds == 0 {
                self.push_line(room, line, now)
            } else {
                let at = self.push_timed(room, line, seconds, now);
                // It is with the relay by now.
                if let Some(at) = unplace(&at) {
                    self.start_timer(at, now);
                }
                at
            };
            if let Some((_, pos)) = unplace(&at) {
                self.catch_up(room, pos, id, now)?;
            }
            self.marked_before(with, id)?;
            self.look_up_unknown(room);
            self.sort_rooms();
        }
        self.owe_copy(device, id, Mark::Delivered, now);
        Ok(())
    }

    /// One thing that was decided on another own device; the newest word counts.
    fn field(&mut self, device: DeviceId, field: Field, now: Now) -> Result<(), Error> {
        if field.with == self.chat.name || field.at > now.wall.plus(AHEAD) {
            self.dropped += 1;
            return Ok(());
        }
        let known = self.known_field(&field.with, field.value.kind());
        let older = known.as_ref().is_some_and(|known| (known.at, known.by) >= (field.at, field.by));
        // Of two timers the conversation says which one holds, whoever told it.
        let timer = matches!(field.value, Value::Timer(_));
        // The key that was there first gives way to one that was decided on, and is an alarm to all that saw another.
        let first = matches!(field.value, Value::Pinned(_)) && field.at <= UNDECIDED;
        let here = self.chat.with(&field.with).and_then(|room| room.kept.peer);
        // What was decided last with nobody to tell is in no field.
        let holds = |known: &Field| here.is_none_or(|here| known.value == Value::Pinned(here));
        if let Some(decided) = known.filter(|known| first && known.at > UNDECIDED && holds(known)) {
            if decided.value != field.value {
                let decided = Content::Own(Own::Fields(vec![decided]));
                self.transmit_to(device, None, decided, Why::Signal, now);
            }
            return Ok(());
        }
        if older && !timer && !first {
            return Ok(());
        }
        if !older || timer {
            self.keep_field(&field);
        }
        let room = self.chat.with(&field.with).map(|room| room.id);
        let room = match (room, &field.value) {
            (Some(room), _) => room,
            (None, Value::Contact(true) | Value::Blocked(true)) => self.room_elsewhere(&field.with, now)?,
            (None, _) => return Ok(()),
        };
        let asks = |talk: &Self| talk.chat.room(room).is_some_and(|room| room.kept.changed.is_some());
        let quiet = !asks(self);
        let begins = matches!(field.value, Value::Contact(true)).then(|| field.with.clone());
        self.apply(room, field, now)?;
        if let Some(with) = begins {
            self.apply_known(room, &with, now)?;
        }
        self.look_at_room(room);
        let news = self.chat.room(room).filter(|_| first && quiet && asks(self));
        if let Some((with, pinned)) = news.and_then(|room| room.with().cloned().zip(room.kept.peer)) {
            // There another key than this one is pinned: it is an alarm to both, once before somebody decides.
            let field = Field { with, at: UNDECIDED, by: self.device(), value: Value::Pinned(pinned) };
            self.transmit_to(device, None, Content::Own(Own::Fields(vec![field])), Why::Signal, now);
        }
        Ok(())
    }

    /// A conversation that another own device has.
    fn room_elsewhere(&mut self, with: &AccountName, now: Now) -> Result<RoomId, Error> {
        let room = self.new_room(with.clone(), None, Person::default(), now);
        self.apply_known(room, with, now)?;
        Ok(room)
    }

    /// What other own devices decided about a person may have come before it was known here that there is a
    /// conversation with them. Not which key is theirs: the device that said so may have been removed since.
    fn apply_known(&mut self, room: RoomId, with: &AccountName, now: Now) -> Result<(), Error> {
        let device = self.device();
        for kind in [PETNAME, DOUBTED, READ, TIMER, RINGS] {
            let about = |field: &Field| field.by != device && self.own_list().get(&field.by).is_some();
            if let Some(field) = self.known_field(with, kind).filter(about) {
                self.apply(room, field, now)?;
            }
        }
        Ok(())
    }

    fn apply(&mut self, room: RoomId, field: Field, now: Now) -> Result<(), Error> {
        match field.value {
            Value::Contact(true) => {
                self.accept(room, now)?;
            }
            Value::Contact(false) => {}
            Value::Pinned(peer) => {
                let decided = field.at > UNDECIDED;
                let refused = self.chat.room(room).is_some_and(|room| room.refused.contains(&peer));
                // Another list under the same root is for each device to decide on: it may have been shown another one.
                let changed = self.chat.room(room).filter(|room| room.trouble() == Some(Trouble::Changed));
                let changed = changed.and_then(|room| room.kept.changed);
                let kept = self.chat.room(room).is_some_and(|room| room.kept.peer == Some(peer));
                if refused && decided {
                    // However often it was accepted elsewhere: what was refused here is asked about here.
                    self.key_changed(room, peer, now);
                } else if changed == Some(peer) && decided {
                    self.trust(room, now)?;
                } else if changed.is_some() && kept && decided {
                    self.keep_pinned(room, now);
                } else {
                    self.pin(room, peer, now);
                }
            }
            Value::Petname(petname) => {
                // One that is taken here by somebody else stays theirs.
                if petname.as_ref().is_none_or(|name| name.chars().count() <= PETNAME_MAX) {
                    let _ = self.petname(room, petname.as_deref());
                }
            }
            Value::Verified(key) => self.set_person(room, |person| person.verified = key, now),
            Value::Doubted(key) => {
                if key.is_some() {
                    self.break_off(room, now);
                }
                self.set_person(room, |person| person.doubted = key, now);
            }
            Value::Blocked(true) => self.block(&field.with, now)?,
            Value::Blocked(false) => {
                self.unblock(room, now);
            }
            Value::Muted(muted) => {
                let level = if muted { Level::None } else { Level::All };
                self.rings(room, Rings { level, until: None }, now);
            }
            Value::Rings(rings) => self.rings(room, rings, now),
            Value::Read(id) => self.read_there(room, id, now)?,
            Value::Timer(seconds) => {
                self.expires(room, seconds.min(EXPIRY_MAX), field.at, now);
            }
        }
        self.look_up_unknown(room);
        self.sort_rooms();
        Ok(())
    }

    fn set_person(&mut self, room: RoomId, set: impl FnOnce(&mut Person), now: Now) {
        if let Some(room) = self.chat.room_mut(room) {
            set(&mut room.person);
        }
        self.save_person(room);
        self.flush_room(room, now);
    }

    /// A message that was read on another own device, also when it comes here only now.
    pub(super) fn read_if_read_there(&mut self, room: RoomId, id: MessageId, now: Now) -> Result<(), Error> {
        if self.siblings().is_empty() {
            return Ok(());
        }
        let Some(r) = self.chat.room(room) else { return Ok(()) };
        let read = match r.with() {
            Some(with) => self.known_field(with, READ).map(|field| field.value) == Some(Value::Read(id)),
            None => self.was_read_before_it_came(room, id),
        };
        if !read {
            return Ok(());
        }
        // What was said after it and came before it was not read with it, also where it is not in memory.
        let said = |line: &Line| (line.more.clock > 0).then_some((line.more.clock, line.id));
        let this = r.timeline.find(&id).and_then(|(_, line)| said(line));
        let after = |line: &Line| this.is_some() && said(line) > this && Room::counts(line);
        let mut later = r.timeline.lines().any(|(pos, line)| pos >= r.kept.read && after(line));
        r.timeline.stored(&self.store, r.kept.read, |_, line| later |= after(&line))?;
        if later { Ok(()) } else { self.mark_read_quietly(room, None, now) }
    }

    pub(super) fn read_there(&mut self, room: RoomId, id: MessageId, now: Now) -> Result<(), Error> {
        let place = self.place_in(room, &id)?.and_then(|place| unplace(&place));
        match place {
            Some((of, pos)) if of == room => {
                // What came later and was said before it was read with it, wherever it lies.
                let last = self.chat.room(room).and_then(|r| {
                    let from = r.timeline.shown(pos)?;
                    let after = (from + 1..r.timeline.end()).filter_map(|at| r.timeline.get(at));
                    Some(after.filter(|line| Room::counts(line)).count() == 0)
                });
                self.mark_read_quietly(room, (last != Some(true)).then_some(pos + 1), now)
            }
            _ => Ok(()),
        }
    }

    /// Read on another own device, which says so to the author: up to that position, or all of it.
    pub(super) fn mark_read_quietly(&mut self, room: RoomId, to: Option<u64>, now: Now) -> Result<(), Error> {
        let Some(r) = self.chat.rooms.iter_mut().find(|r| r.id == room) else { return Ok(()) };
        let to = to.unwrap_or(r.kept.lines).min(r.kept.lines);
        if to <= r.kept.read && r.kept.unread == 0 {
            return Ok(());
        }
        r.kept.read = r.kept.read.max(to);
        if to >= r.kept.lines {
            r.kept.unread = 0;
            self.called(room, 0);
        }
        if let Some(r) = self.chat.room(room) {
            r.kept.save(room, &mut self.batch);
        }
        // Wherever it was read: its time begins.
        self.timers_read(room, to, now);
        self.recount(room, None)
    }

    // ---- own devices

    /// What is known of an own device; a new one is remembered.
    pub(super) fn note_of(&mut self, device: DeviceId, now: Now) -> Note {
        if let Some(note) = self.shared.notes.get(&device) {
            return note.clone();
        }
        let note = Note { added: now.wall, ..Note::default() };
        self.keep_note(device, note.clone());
        note
    }

    pub(super) fn keep_note(&mut self, device: DeviceId, note: Note) {
        let value = postcard::to_stdvec(&note).expect("a note serialises: plain fields only");
        self.batch.put(NOTES, device.0, value);
        self.shared.notes.insert(device, note);
        self.show_devices();
    }

    /// Another own device came or went.
    pub(super) fn sibling_seen(&mut self, device: DeviceId, now: Now) {
        let mut note = self.note_of(device, now);
        note.seen = now.wall;
        self.keep_note(device, note);
        if self.online.contains(&device) {
            self.history_linked(now);
        }
    }

    /// The list as the person sees it.
    pub(super) fn show_devices(&mut self) {
        let this = self.device();
        let devices = self.own_list().devices().map(|peer| peer.device()).map(|device| OwnDevice {
            device,
            note: self.shared.notes.get(&device).cloned().unwrap_or_default(),
            online: device == this || self.online.contains(&device),
            this: device == this,
        });
        self.chat.devices = devices.collect();
    }

    /// Calls an own device something; this one when none is named.
    ///
    /// # Errors
    /// A sentence.
    pub fn name_device(&mut self, device: DeviceId, name: &str, now: Now) -> Result<(), String> {
        let name = name.trim();
        if name.is_empty()
            || name.len() > NAME_MAX
            || name.chars().count() > PETNAME_MAX
            || name.chars().any(char::is_control)
        {
            return Err(format!("a device's name has 1 to {PETNAME_MAX} characters on one line"));
        }
        let mut note = self.note_of(device, now);
        (note.name, note.named) = (name.to_owned(), now.wall.max(Millis(note.named.0.saturating_add(1))));
        let named = Own::Named { device, name: note.name.clone(), at: note.named };
        self.keep_note(device, note);
        self.tell_siblings(named, None, now);
        Ok(())
    }
}

/// The newest message of somebody else, when all was read.
pub(super) fn last_read(room: &Room) -> Option<MessageId> {
    let mut lines = room.timeline.lines().rev().filter(|_| room.kept.unread == 0);
    lines.find(|(_, line)| line.author == Author::Them).map(|(_, line)| line.id)
}

/// The date of what nobody decided, but found so: whatever is decided is newer.
pub(super) const UNDECIDED: Millis = Millis(1);

/// How things are that nobody decided about, or that were taken back.
const TAKEN_BACK: [Value; 5] = [
    Value::Petname(None),
    Value::Verified(None),
    Value::Doubted(None),
    Value::Blocked(false),
    Value::Rings(Rings { level: Level::All, until: None }),
];

/// [`Value::Petname`]'s kind.
const PETNAME: u8 = 2;
/// [`Value::Doubted`]'s kind.
const DOUBTED: u8 = 4;
/// [`Value::Read`]'s kind.
const READ: u8 = 7;
/// [`Value::Timer`]'s kind.
const TIMER: u8 = 8;
/// [`Value::Rings`]'s kind.
const RINGS: u8 = 9;

fn field_key(with: &AccountName, kind: u8) -> Vec<u8> {
    [&[kind], with.as_str().as_bytes()].concat()
}

#[cfg(test)]
mod tests;
