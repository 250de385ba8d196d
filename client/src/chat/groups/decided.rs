//! What a person decided about rooms of several, on any of their devices: what rings there, and for how
//! long messages stay. The newest word counts.

use super::super::talk::Talk;
use super::room_id;
use subrosa_shared::content::own::{FIELDS_MAX, Own, RoomField, Value};
use subrosa_shared::content::{Content, EXPIRY_MAX};
use subrosa_shared::id::{DeviceId, RoomId, RoomTag};
use subrosa_shared::session::Why;
use subrosa_shared::store::Table;
use subrosa_shared::time::{Millis, Now};

/// `kind ‖ room` → [`RoomField`]: the newest word about each thing.
pub const ROOM_FIELDS: Table = Table { byte: 0x4c, name: "decided about rooms" };

impl Talk {
    /// Tells the other own devices what was decided here.
    pub(in crate::chat) fn share_rooms(&mut self, news: Vec<(RoomId, Value)>, now: Now) {
        let mut fields = Vec::new();
        for (room, value) in news {
            let before = self.known_about(room, value.kind()).map_or(Millis(0), |field| field.at);
            let at = self.decided_at(room, &value, now).max(Millis(before.0 + 1));
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
            let values =
                [(rings != Default::default(), Value::Rings(rings)), (timer > 0, Value::Timer(timer))];
            for value in values.into_iter().filter(|(is, _)| *is).map(|(_, value)| value) {
                let known = self.known_about(room.id, value.kind()).filter(|known| known.value == value);
                let first = RoomField { room: group.tag(), at: Millis(1), by: self.device(), value };
                fields.push(known.unwrap_or(first));
            }
        }
        for chunk in fields.chunks(FIELDS_MAX) {
            let fields = Content::Own(Own::RoomFields(chunk.to_vec()));
            self.transmit_to(device, None, fields, Why::Signal, now);
        }
    }

    /// One thing that was decided on another own device.
    pub(in crate::chat) fn room_field(&mut self, field: RoomField, now: Now) {
        let room = room_id(field.room);
        let known = self.known_about(room, field.value.kind());
        if known.is_some_and(|known| (known.at, known.by) >= (field.at, field.by)) {
            return;
        }
        self.keep_room_field(&field);
        if self.chat.group(room).is_none() {
            return;
        }
        match field.value {
            Value::Rings(rings) => self.rings(room, rings, now),
            Value::Timer(seconds) => drop(self.expires(room, seconds.min(EXPIRY_MAX), field.at)),
            _ => self.dropped += 1,
        }
        self.look_at_room(room);
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

fn key(room: RoomId, kind: u8) -> Vec<u8> {
    [&[kind], room.0.as_slice()].concat()
}
