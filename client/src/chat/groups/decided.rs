//! What a person decided about rooms of several, on any of their devices: what rings there, and for how
//! long messages stay. The newest word counts.

use super::super::expiry::AHEAD;
use super::super::state::UNDECIDED;
use super::super::talk::Talk;
use super::room_id;
use subrosa_shared::content::own::{FIELDS_MAX, Own, RoomField, Value};
use subrosa_shared::content::{Content, EXPIRY_MAX};
use subrosa_shared::id::{DeviceId, MessageId, RoomId, RoomTag};
use subrosa_shared::session::Why;
use subrosa_shared::store::{Error, Order, Table, Write};
use subrosa_shared::time::{Millis, Now};

/// `kind ‖ room` → [`RoomField`]: the newest word about each thing.
pub const ROOM_FIELDS: Table = Table { byte: 0x4c, name: "decided about rooms" };

impl Talk {
    /// Tells the other own devices what was decided here.
    pub(in crate::chat) fn share_rooms(&mut self, news: Vec<(RoomId, Value)>, now: Now) {
        let mut fields = Vec::new();
        for (room, value) in news {
            let before = self.known_about(room, value.kind()).map_or(Millis(0), |field| field.at);
            let set = self.timer_set_at(room, &value);
            let at = set.unwrap_or(now.wall.max(Millis(before.0.saturating_add(1))));
            let field = RoomField { room: RoomTag(room.0), at, by: self.device(), value };
            self.keep_room_field(&field);
            fields.push(field);
        }
        for chunk in fields.chunks(FIELDS_MAX) {
            self.tell_siblings(Own::RoomFields(chunk.to_vec()), None, now);
        }
    }

    /// Tells a new own device how rooms stand.
    pub(in crate::chat) fn greet_with_room_fields(&mut self, device: DeviceId, now: Now) {
        let mut fields = Vec::new();
        for (room, group) in self.chat.groups() {
            let (rings, timer) = (room.attention.rings, room.timeline.timer());
            let timed = timer > 0 || self.expiry_at(room.id).is_some();
            let values = [(rings != Default::default(), Value::Rings(rings)), (timed, Value::Timer(timer))];
            for (is, value) in values {
                let set = self.timer_set_at(room.id, &value);
                let known = self.known_about(room.id, value.kind()).filter(|known| known.value == value);
                // That something was taken back may not have come there.
                if !is && known.is_none() {
                    continue;
                }
                let (tag, at) = (group.tag(), set.unwrap_or(UNDECIDED));
                let first = RoomField { room: tag, at, by: self.device(), value };
                fields.push(known.filter(|_| set.is_none()).unwrap_or(first));
            }
        }
        for chunk in fields.chunks(FIELDS_MAX) {
            let fields = Content::Own(Own::RoomFields(chunk.to_vec()));
            self.transmit_to(device, None, fields, Why::Signal, now);
        }
    }

    /// One thing that was decided on another own device.
    pub(in crate::chat) fn room_field(&mut self, field: RoomField, now: Now) {
        if field.at > now.wall.plus(AHEAD) {
            self.dropped += 1;
            return;
        }
        let room = room_id(field.room);
        let known = self.known_about(room, field.value.kind());
        let older = known.is_some_and(|known| (known.at, known.by) >= (field.at, field.by));
        // Of two timers the room says which one holds, whoever told it.
        if older && !matches!(field.value, Value::Timer(_)) {
            return;
        }
        self.keep_room_field(&field);
        if self.chat.group(room).is_none() {
            return;
        }
        match field.value {
            Value::Rings(rings) => self.rings(room, rings, now),
            Value::Timer(seconds) => drop(self.expires(room, seconds.min(EXPIRY_MAX), field.at, now)),
            _ => self.dropped += 1,
        }
        self.look_at_room(room);
    }

    /// What an earlier version took that is dated beyond `ahead` gives way to whatever comes next.
    pub(in crate::chat) fn bound_room_words(&mut self, ahead: Millis) -> Result<(), Error> {
        for (_, value) in self.store.records.scan(ROOM_FIELDS, &[], &[], Order::Forward, usize::MAX)? {
            let field = postcard::from_bytes::<RoomField>(&value).ok();
            // Of what was read it is no date.
            let late = |field: &RoomField| field.at > ahead && field.value.kind() != READ;
            if let Some(field) = field.filter(late) {
                self.keep_room_field(&RoomField { at: UNDECIDED, ..field });
            }
        }
        Ok(())
    }

    /// Another own device has read what is not here yet; said at that clock of the room, which is what
    /// [`RoomField::at`] holds. The newest one counts, and nobody is told.
    pub(super) fn read_before_it_came(&mut self, room: RoomId, id: MessageId, by: DeviceId, clock: u64) {
        // An invitation may be forgotten, and then nothing of it is kept.
        let open = self.chat.room(room).is_some_and(|room| !room.person.is_request());
        let newer = self.read_elsewhere(room).is_some_and(|known| known.at > Millis(clock));
        if open && !newer {
            let value = Value::Read(id);
            self.keep_room_field(&RoomField { room: RoomTag(room.0), at: Millis(clock), by, value });
        }
    }

    /// Whether another own device had read that message before it came here.
    pub(in crate::chat) fn was_read_before_it_came(&self, room: RoomId, id: MessageId) -> bool {
        self.read_elsewhere(room).is_some_and(|known| known.value == Value::Read(id))
    }

    /// Also what was kept in this event: both may have waited for the same entry of the log.
    fn read_elsewhere(&self, room: RoomId) -> Option<RoomField> {
        let key = key(room, READ);
        let kept = self.batch.records.iter().rev().find_map(|write| match write {
            Write::Put(table, at, value) if *table == ROOM_FIELDS && *at == key => Some(value),
            _ => None,
        });
        match kept {
            Some(value) => postcard::from_bytes(value).ok(),
            None => self.known_about(room, READ),
        }
    }

    fn known_about(&self, room: RoomId, kind: u8) -> Option<RoomField> {
        let bytes = self.store.records.get(ROOM_FIELDS, &key(room, kind)).ok().flatten()?;
        postcard::from_bytes(&bytes).ok()
    }

    fn keep_room_field(&mut self, field: &RoomField) {
        let value = postcard::to_stdvec(field).expect("a field serialises: plain fields only");
        self.batch.put(ROOM_FIELDS, key(room_id(field.room), field.value.kind()), value);
    }
}

/// [`Value::Read`]'s kind.
const READ: u8 = 7;

fn key(room: RoomId, kind: u8) -> Vec<u8> {
    [&[kind], room.0.as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::tests::alone;
    use subrosa_shared::content::own::{Level, Rings};

    #[test]
    fn a_word_of_the_far_future_about_a_room_is_not_taken_and_gives_way_where_an_earlier_version_took_it() {
        let now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };
        let mut talk = alone(now);
        let (desk, thief, tag) = (DeviceId([1; 16]), DeviceId([9; 16]), RoomTag([7; 16]));
        let value = Value::Rings(Rings { level: Level::None, until: None });
        let word = |by, at| RoomField { room: tag, at, by, value: value.clone() };
        let known = |talk: &Talk| talk.known_about(room_id(tag), value.kind()).map(|field| field.by);
        talk.room_field(word(thief, Millis(u64::MAX)), now);
        talk.settle();
        assert_eq!(known(&talk), None);
        // As an earlier version left it.
        talk.keep_room_field(&word(thief, Millis(u64::MAX)));
        talk.settle();
        talk.bound_room_words(now.wall).expect("memory");
        talk.settle();
        talk.room_field(word(desk, now.wall), now);
        talk.settle();
        assert_eq!(known(&talk), Some(desk));
    }
}
