//! Heads inside messages: what people's own devices say of their lists, beside what the relay shows.

use super::{AWAITED, BRING_AGAIN, Listed, PASTS, keep_spoken};
use crate::chat::talk::{ACCOUNT, Talk};
use subrosa_shared::id::{AccountName, DeviceId, RoomId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::protocol::devices::{DeviceList, Head, Version};
use subrosa_shared::time::Now;

/// What is wrong with somebody's devices, or with what comes from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::chat) enum Warning {
    /// The relay shows an older list than before.
    Old,
    /// The relay shows another list than before.
    Forked,
    /// Their own device has another list than the relay showed.
    Differs,
    /// The relay does not show the list that was spoken of.
    Missing,
    /// Something came from a device that is in no list.
    Unlisted,
    /// The relay does not take the own list.
    NotTaken,
    /// Their own devices have different lists.
    Parted,
    /// Something came that was for somebody else.
    Astray,
    /// Something came of which the relay and the device say different authors.
    Disputed,
}

impl Talk {
    /// Whether a newer list was spoken of than the one that is known, or another one is to be taken.
    pub(in crate::chat) fn awaits_list(&self, name: &AccountName) -> bool {
        self.lists.spoken.contains_key(name) || self.lists.anew.contains(name)
    }

    /// The hash of that version of somebody's list, as far as it was seen here.
    pub(super) fn seen(&self, name: &AccountName, number: u32) -> Option<[u8; 32]> {
        if *name == self.chat.name {
            let at = usize::try_from(number).ok()?;
            return self.lists.chain.get(at).map(Version::hash);
        }
        let head = self.lists.by.get(name).filter(|list| list.is_signed())?.head();
        match self.lists.past.get(name) {
            _ if head.number == number => Some(head.hash),
            Some(past) => past.get(&number).copied(),
            None => None,
        }
    }

    /// These versions led to somebody's list, as far as they did.
    pub(super) fn remember(&mut self, name: &AccountName, versions: &[Version]) {
        let known = self.lists.by.get(name).filter(|list| list.is_signed() && !versions.is_empty());
        let Some(head) = known.map(DeviceList::head) else { return };
        let past = self.lists.past.entry(name.clone()).or_default();
        past.retain(|number, _| *number <= head.number);
        let mut before = head.hash;
        for version in versions.iter().rev().skip_while(|version| version.number > head.number) {
            if version.hash() != before {
                break;
            }
            past.insert(version.number, before);
            before = version.previous;
        }
        if self.chat.with(name).is_some() || self.is_member(name) {
            self.keep_past(name);
        }
    }

    /// Writes what led to somebody's list.
    pub(super) fn keep_past(&mut self, name: &AccountName) {
        if let Some(past) = self.lists.past.get(name) {
            let value = postcard::to_stdvec(past).expect("it serialises: plain fields only");
            self.batch.put(PASTS, name.as_str().as_bytes().to_vec(), value);
        }
    }

    /// The newest version of a person's list that was seen or spoken of.
    pub(in crate::chat) fn head_of(&self, name: &AccountName) -> Option<Head> {
        let seen = self.lists.by.get(name).filter(|list| list.is_signed()).map(DeviceList::head);
        let spoken = self.lists.spoken.get(name).copied();
        seen.into_iter().chain(spoken).max_by_key(|head| head.number)
    }

    /// Whose list a device that is written to stands in.
    pub(in crate::chat) fn lister(&self, device: &DeviceId) -> Option<AccountName> {
        if self.is_sibling(device) {
            return Some(self.chat.name.clone());
        }
        let with = self.room_of(device).and_then(|room| self.chat.room(room)?.with());
        with.or_else(|| self.lists.with_device(device).next().map(DeviceList::name)).cloned()
    }

    /// What a person's own device says about their list.
    pub(in crate::chat) fn spoke(&mut self, room: RoomId, head: Head, now: Now) {
        let Some(name) = self.chat.room(room).and_then(|room| room.with().cloned()) else { return };
        self.spoke_of(Some(room), &name, head, now);
    }

    /// The same of somebody with whom there may be no conversation.
    pub(in crate::chat) fn spoke_of(
        &mut self,
        room: Option<RoomId>,
        name: &AccountName,
        head: Head,
        now: Now,
    ) {
        match self.lists.by.get(name).filter(|list| list.is_signed()).map(DeviceList::head) {
            Some(known) if known.number >= head.number => {
                if self.seen(name, head.number).is_some_and(|seen| seen != head.hash) {
                    self.differs(room, name, now);
                    self.ask_newer(name);
                }
            }
            _ => {
                let spoken = self.lists.spoken.entry(name.clone()).or_insert(head);
                if spoken.number < head.number {
                    *spoken = head;
                }
                let parted = spoken.number == head.number && spoken.hash != head.hash;
                keep_spoken(name, Some(*spoken), &mut self.batch);
                if parted {
                    self.parted(room, name, now);
                }
                self.ask_newer(name);
            }
        }
    }

    /// What a device that is no stranger's says about its list in what concerns rooms of several.
    pub(in crate::chat) fn spoke_in_room(&mut self, from: &Peer, name: &AccountName, head: Head, now: Now) {
        if self.is_sibling(&from.device()) && self.own_list().has(from) {
            return self.spoke_own(from.device(), head);
        }
        if let Some(room) = self.room_from(from, name)
            && self.listed(room, from) == Listed::Pinned
        {
            self.spoke(room, head, now);
        }
    }

    /// Asks the relay for the lists of members of rooms that were spoken of, and that it did not show.
    pub(in crate::chat) fn ask_awaited(&mut self) {
        let names = self.lists.spoken.keys().filter(|name| self.is_member(name)).cloned();
        for name in names.collect::<Vec<_>>() {
            self.ask_newer(&name);
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
                if self.seen(name, spoken.number).is_some_and(|seen| seen != spoken.hash) {
                    self.differs(room, name, now);
                }
            }
            _ => self.warn(
                room,
                name,
                Warning::Missing,
                "{} has changed their list of devices, and the relay does not show the new one: it may hide a device that \
                 they removed. Think before you write something secret here; /reconnect asks again",
                now,
            ),
        }
    }

    /// The relay showed another version of a list here than to the person whose list it is.
    fn differs(&mut self, room: Option<RoomId>, name: &AccountName, now: Now) {
        self.warn(
            room,
            name,
            Warning::Differs,
            "{}'s own device has another list of their devices than the relay showed you: the relay is not to be \
             trusted, and a device that they removed may read along. Ask them another way than this which devices they \
             have",
            now,
        );
    }

    /// Of two lists at the same place that own devices of somebody spoke of, the first is waited for.
    fn parted(&mut self, room: Option<RoomId>, name: &AccountName, now: Now) {
        self.warn(
            room,
            name,
            Warning::Parted,
            "{}'s own devices have different lists of their devices: either the relay shows them different things, and is \
             not to be trusted, or a device that they removed speaks for them. Ask them another way than this which devices \
             they have",
            now,
        );
    }

    /// What another own device says about the own list.
    pub(in crate::chat) fn spoke_own(&mut self, by: DeviceId, head: Head) {
        let name = self.chat.name.clone();
        match self.seen(&name, head.number) {
            Some(seen) if seen == head.hash => return,
            Some(_) => self.differs_there(),
            None => match self.lists.awaited {
                Some((known, _)) if known.number > head.number || known == head => {}
                Some((known, _)) if known.number == head.number => self.differs_there(),
                _ => self.await_own(Some((head, by))),
            },
        }
        self.ask_newer(&name);
    }

    /// Whether the relay has shown as much of the own list as another own device spoke of.
    pub(super) fn missing_own(&mut self, now: Now) {
        let Some((head, _)) = self.lists.awaited else { return };
        let name = self.chat.name.clone();
        match self.seen(&name, head.number) {
            Some(seen) => {
                self.await_own(None);
                if seen != head.hash {
                    self.differs_there();
                }
            }
            None => {
                self.lists.refused.get_or_insert(now.mono.plus(BRING_AGAIN));
                // The other device may still have to bring the relay what it forgot.
                if self.rewound.is_none_or(|until| now.mono >= until) {
                    let text = "another device of yours has changed the list of your devices, and the relay does not \
                                show the new one: it may hide that a device was removed, which then reads on what you \
                                write here. /devices on the other one shows the list; if this stays, ask the relay's owner";
                    self.warn(None, &name, Warning::Missing, text, now);
                }
            }
        }
    }

    /// Keeps what another own device said about the own list, or forgets it.
    pub(super) fn await_own(&mut self, awaited: Option<(Head, DeviceId)>) {
        self.lists.awaited = awaited;
        match awaited {
            Some(awaited) => {
                let value = postcard::to_stdvec(&awaited).expect("it serialises: plain fields only");
                self.batch.put(ACCOUNT, AWAITED, value);
            }
            None => self.batch.delete(ACCOUNT, AWAITED),
        }
    }

    fn differs_there(&mut self) {
        self.notice(
            "another device of yours has another list of your devices than this one: the relay may show them \
             different things. Compare /devices on both"
                .into(),
            true,
        );
    }

    /// A message from a device that its person's list does not have.
    pub(in crate::chat) fn unlisted(&mut self, room: RoomId, now: Now) {
        self.dropped += 1;
        let Some(name) = self.chat.room(room).and_then(|room| room.with().cloned()) else { return };
        self.warn(
            Some(room),
            &name,
            Warning::Unlisted,
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
        what: Warning,
        text: &str,
        now: Now,
    ) {
        if !self.lists.warned.insert((name.clone(), what)) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::tests::alone;
    use crate::effect::{Effect, Happened};
    use subrosa_shared::time::Millis;

    const NOW: Now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };

    fn head(number: u32, byte: u8) -> Head {
        Head { number, hash: [byte; 32] }
    }

    #[test]
    fn of_two_lists_at_the_same_place_that_were_spoken_of_the_second_went_unseen() {
        let mut talk = alone(NOW);
        let ben = AccountName::parse("ben").expect("valid");
        let room = talk.room_with(&ben, NOW);
        let alarms = |talk: &Talk| {
            let lines = talk.chat.room(room).expect("there").timeline.lines();
            lines.filter(|(_, line)| line.body.contains("different lists")).count()
        };
        // It silences no other alarm about them.
        let peer = Peer { identity: [1; 32], noise: [1; 32] };
        talk.pin(room, peer, NOW);
        let to = AccountName::parse("cleo").expect("valid");
        talk.came_astray(&peer, &ben, None, &to, NOW);
        talk.came_astray(&peer, &ben, None, &to, NOW);
        let lines = talk.chat.room(room).expect("there").timeline.lines();
        assert_eq!(lines.filter(|(_, line)| line.body.contains("was for 'cleo'")).count(), 1);
        talk.spoke_of(Some(room), &ben, head(2, 1), NOW);
        talk.spoke_of(Some(room), &ben, head(3, 1), NOW);
        talk.spoke_of(Some(room), &ben, head(3, 1), NOW);
        talk.spoke_of(Some(room), &ben, head(2, 2), NOW);
        assert_eq!(alarms(&talk), 0);
        talk.spoke_of(Some(room), &ben, head(3, 2), NOW);
        assert_eq!(alarms(&talk), 1);
        assert_eq!(talk.head_of(&ben), Some(head(3, 1)), "the first stays");
    }

    #[test]
    fn of_two_own_lists_at_the_same_place_that_were_spoken_of_the_second_went_unseen() {
        let mut talk = alone(NOW);
        let notices = |talk: &Talk| {
            let said = |effect: &&Effect| matches!(effect, Effect::Tell(Happened::Notice { .. }));
            talk.effects.iter().filter(said).count()
        };
        let [laptop, phone] = [1, 2].map(|byte| DeviceId([byte; 16]));
        talk.spoke_own(laptop, head(2, 1));
        talk.spoke_own(laptop, head(3, 1));
        talk.spoke_own(phone, head(3, 1));
        assert_eq!(notices(&talk), 0);
        talk.spoke_own(phone, head(3, 2));
        assert_eq!((notices(&talk), talk.lists.awaited), (1, Some((head(3, 1), laptop))));
    }
}
