//! Heads inside messages: what people's own devices say of their lists, beside what the relay shows.

use super::keep_spoken;
use crate::chat::talk::Talk;
use subrosa_shared::id::{AccountName, RoomId};
use subrosa_shared::protocol::devices::{DeviceList, Head};
use subrosa_shared::time::Now;

impl Talk {
    /// Whether a newer list was spoken of than the one that is known.
    pub(in crate::chat) fn awaits_list(&self, name: &AccountName) -> bool {
        self.lists.spoken.contains_key(name)
    }

    /// The newest version of a person's list that was seen or spoken of.
    pub(in crate::chat) fn head_of(&self, name: &AccountName) -> Option<Head> {
        let seen = self.lists.by.get(name).filter(|list| list.is_signed()).map(DeviceList::head);
        let spoken = self.lists.spoken.get(name).copied();
        seen.into_iter().chain(spoken).max_by_key(|head| head.number)
    }

    /// What a person's own device says about their list.
    pub(in crate::chat) fn spoke(&mut self, room: RoomId, head: Head, now: Now) {
        let Some(name) = self.chat.room(room).and_then(|room| room.with().cloned()) else { return };
        match self.lists.by.get(&name).filter(|list| list.is_signed()).map(DeviceList::head) {
            Some(known) if known.number == head.number && known.hash != head.hash => self.warn(
                Some(room),
                &name,
                2,
                "{}'s own device has another list of their devices than the relay showed you: the relay is not to be \
                 trusted. Compare with /verify, another way than this",
                now,
            ),
            Some(known) if known.number >= head.number => {}
            _ => {
                let spoken = self.lists.spoken.entry(name.clone()).or_insert(head);
                if spoken.number < head.number {
                    *spoken = head;
                }
                keep_spoken(&name, Some(*spoken), &mut self.batch);
                self.ask_newer(&name);
            }
        }
    }

    /// Whether the relay has shown as much as a person's own device spoke of.
    pub(in crate::chat) fn missing(&mut self, room: Option<RoomId>, name: &AccountName, now: Now) {
        let Some(spoken) = self.lists.spoken.get(name).copied() else { return };
        let known = self.lists.by.get(name).filter(|list| list.is_signed()).map(DeviceList::head);
        match known {
            Some(known) if known.number >= spoken.number => {
                self.lists.spoken.remove(name);
                keep_spoken(name, None, &mut self.batch);
                if known.number == spoken.number && known.hash != spoken.hash {
                    self.warn(
                        room,
                        name,
                        2,
                        "{}'s own device has another list of their devices than the relay showed you: the relay is not \
                         to be trusted. Compare with /verify, another way than this",
                        now,
                    );
                }
            }
            _ => self.warn(
                room,
                name,
                3,
                "{} has changed their list of devices, and the relay does not show the new one: it may hide a device that \
                 they removed. Think before you write something secret here; /reconnect asks again",
                now,
            ),
        }
    }

    /// A message from a device that its person's list does not have.
    pub(in crate::chat) fn unlisted(&mut self, room: RoomId, now: Now) {
        self.dropped += 1;
        let Some(name) = self.chat.room(room).and_then(|room| room.with().cloned()) else { return };
        self.warn(
            Some(room),
            &name,
            4,
            "a message came in {}'s name from a device that is not in their list: it was dropped. Either they removed \
             that device, or somebody tries to speak for them",
            now,
        );
    }

    /// A line that must not be missed, once in a run for each kind.
    pub(in crate::chat) fn warn(
        &mut self,
        room: Option<RoomId>,
        name: &AccountName,
        kind: u8,
        text: &str,
        now: Now,
    ) {
        if !self.lists.warned.insert((name.clone(), kind)) {
            return;
        }
        let who =
            room.and_then(|room| self.chat.room(room)).map_or(name.to_string(), |room| room.full_name());
        let text = text.replace("{}", &who);
        match room {
            Some(room) => self.alarm(room, text, now),
            None => self.notice(text, true),
        }
    }
}
