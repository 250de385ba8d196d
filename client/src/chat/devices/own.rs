//! The list of the own devices: kept in step with the relay, changed, announced.

use super::{BRING_AGAIN, CHAIN, SIGNED_IN, Warning};
use crate::chat::linked::Question;
use crate::chat::room::Room;
use crate::chat::talk::{ACCOUNT, PENDING, Talk};
use crate::effect::Effect;
use subrosa_shared::content::Content;
use subrosa_shared::id::{DeviceId, RoomId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::protocol::devices::{DeviceList, Head, VERSIONS_IN_FRAME, Version, frameful};
use subrosa_shared::protocol::frame::{Refusal, ToRelay};
use subrosa_shared::session::Why;
use subrosa_shared::store::{Error, Order};
use subrosa_shared::time::Now;

/// So long a device that signed in by password tells those who do not know it yet, in milliseconds. Some of their
/// devices may never leave keys.
const ANNOUNCED_FOR: u64 = 7 * 24 * 3600 * 1000;

impl Talk {
    /// The relay's copy of the own list: behind, the same, or ahead.
    pub(in crate::chat) fn own_devices(&mut self, versions: &[Version], now: Now) -> Result<(), Error> {
        let known = self.lists.own.head();
        let newest = versions.last().map(|version| version.number);
        let same = |version: &Version| {
            usize::try_from(version.number)
                .ok()
                .and_then(|at| self.lists.chain.get(at))
                .is_none_or(|own| own.hash() == version.hash())
        };
        if !versions.iter().all(same) {
            return self.own_forked(versions, now);
        }
        match newest {
            Some(newest) if newest == known.number => {}
            Some(newest) if newest > known.number => {
                let news: Vec<Version> =
                    versions.iter().filter(|version| version.number > known.number).cloned().collect();
                let this = self.sessions.identity().peer().identity;
                let here = news.iter().any(|version| version.signer == this);
                self.extend_own(news, now)?;
                if here {
                    // Its answer was lost, or this device died: nobody was told.
                    self.announce(now);
                }
                if versions.len() >= VERSIONS_IN_FRAME {
                    let own = self.chat.name.clone();
                    self.ask_newer(&own);
                }
            }
            behind => {
                // An answer has the first version, and of the others those that were asked for.
                self.lists.there = self.lists.there.max(behind);
                let next = self.lists.there.map_or(0, |there| there + 1);
                let whole = std::mem::replace(&mut self.lists.asked_whole, true);
                if versions.len() >= VERSIONS_IN_FRAME || (!whole && !versions.is_empty()) {
                    let own = self.chat.name.clone();
                    self.ask_devices(&own, if whole { next } else { 0 });
                } else {
                    self.publish_own(next as usize);
                }
            }
        }
        if versions.len() < VERSIONS_IN_FRAME {
            self.missing_own(now);
        }
        Ok(())
    }

    /// Hands the own list's versions to the relay that it does not have, as many as go into a frame; the next
    /// follow when it has taken them.
    pub(in crate::chat) fn publish_own(&mut self, from: usize) {
        let news = self.lists.chain.get(from..).unwrap_or_default();
        let versions = frameful(news).to_vec();
        if !versions.is_empty() {
            self.lists.handed = Some(from + versions.len());
            let ask = self.ask(Question::PublishDevices);
            self.effects.push(Effect::Send(ToRelay::PublishDevices { ask, versions }));
        }
    }

    /// The relay did not take those of the own list that it lacks.
    pub(in crate::chat) fn own_refused(&mut self, why: Refusal, now: Now) {
        self.lists.refused = Some(now.mono.plus(BRING_AGAIN));
        let name = self.chat.name.clone();
        let text = format!(
            "the relay does not take the list of your devices: {why}. It is tried again in ten minutes; if this stays, ask \
             the relay's owner"
        );
        self.warn(None, &name, Warning::NotTaken, &text, now);
    }

    /// Looks anew where the relay is with the own list.
    pub(in crate::chat) fn look_at_own(&mut self) {
        self.lists.look_anew();
        let name = self.chat.name.clone();
        self.ask_newer(&name);
    }

    /// New versions of the own list: kept if they verify, and then they hold.
    pub(in crate::chat) fn extend_own(&mut self, versions: Vec<Version>, now: Now) -> Result<(), Error> {
        let (mut own, mut chain) = (self.lists.own.clone(), self.lists.chain.clone());
        for version in versions {
            let Ok(next) = own.next(&version) else {
                self.notice(
                    "the relay's list of your own devices is not signed as it must be: it was not taken"
                        .into(),
                    true,
                );
                break;
            };
            own = next;
            chain.push(version);
        }
        self.own_is(own, chain, now)
    }

    /// From here on that is the own list, and what led to it.
    pub(super) fn own_is(&mut self, own: DeviceList, chain: Vec<Version>, now: Now) -> Result<(), Error> {
        let before: Vec<Peer> = self.lists.own.devices().collect();
        let recovery = self.lists.own.recovery();
        let this = self.sessions.identity().peer().identity;
        let mut news = chain.iter().filter(|version| !self.lists.chain.contains(version));
        let here = news.any(|version| version.signer == this);
        if self.lists.own.is_free() && !own.is_free() {
            let text = format!(
                "the list of your devices was changed {} times: devices can be removed from here on, and none added. If \
                 that was not you, remove the device that did it (/devices)",
                own.head().number
            );
            self.notice(text, true);
        }
        (self.lists.own, self.lists.chain) = (own, chain);
        self.keep_own();
        let own = &self.lists.own;
        let gone: Vec<DeviceId> =
            before.iter().filter(|peer| !own.has(peer)).map(|peer| peer.device()).collect();
        let added: Vec<DeviceId> =
            own.devices().filter(|peer| !before.contains(peer)).map(|peer| peer.device()).collect();
        if self.lists.awaited.is_some_and(|(_, by)| gone.contains(&by)) {
            // Who is out may have said anything.
            self.await_own(None);
        }
        self.drop_devices(&gone);
        self.forget_pending(&gone)?;
        self.recovery_changed(recovery, &gone, here);
        for device in &added {
            self.notice("your account has a new device; /devices lists all".into(), false);
            self.greet(*device, now);
        }
        for _ in &gone {
            self.notice("a device was removed from your account; /devices lists the rest".into(), false);
        }
        self.show_devices();
        if !gone.is_empty() && here {
            self.renew_rooms(now);
        }
        if !added.is_empty() || !gone.is_empty() {
            self.roster();
        }
        Ok(())
    }

    /// Writes the own list.
    pub(in crate::chat) fn keep_own(&mut self) {
        for version in &self.lists.chain {
            let value = postcard::to_stdvec(version).expect("a version serialises: plain fields only");
            self.batch.put(CHAIN, version.number.to_be_bytes(), value);
        }
    }

    /// What is said of the own list in the next message to a device: nothing when it has been said.
    pub(in crate::chat) fn head_for(&mut self, device: DeviceId, begins: bool) -> Option<Head> {
        let head = self.lists.own.head();
        let news = self.lists.told.insert(device, head) != Some(head);
        (begins || news).then_some(head)
    }

    /// Tells everybody who was let in, or shares a room, that the own list has changed.
    pub(in crate::chat) fn announce(&mut self, now: Now) {
        let people = self.chat.rooms.iter().filter(|room| room.is_open() && room.group.is_none());
        for room in people.map(|room| room.id).collect::<Vec<_>>() {
            self.transmit(room, Content::Devices, Why::Signal, None, now);
        }
        for device in self.beside_people() {
            self.transmit_to(device, None, Content::Devices, Why::Signal, now);
        }
    }

    /// Own devices, and those of members of rooms with whom there is no conversation.
    fn beside_people(&self) -> Vec<DeviceId> {
        let mut others: Vec<DeviceId> = self.siblings().iter().map(Peer::device).collect();
        others.extend(self.member_devices().into_iter().filter(|device| self.room_of(device).is_none()));
        others.sort_unstable();
        others.dedup();
        others
    }

    /// This device signed in by password: it is announced from here on, on later connections and in later runs too.
    pub(in crate::chat) fn signed_in(&mut self, now: Now) {
        self.lists.signed_in = Some(now.wall);
        self.batch.put(ACCOUNT, SIGNED_IN, now.wall.0.to_be_bytes().to_vec());
    }

    /// At each login: tells those who were not told yet that this device signed in by password.
    pub(in crate::chat) fn announce_on(&mut self, now: Now) {
        if !self.is_announced(now) {
            if self.lists.signed_in.take().is_some() {
                self.batch.delete(ACCOUNT, SIGNED_IN);
            }
            return;
        }
        let people = self.chat.rooms.iter().filter(|room| room.is_open() && room.group.is_none());
        let listed = |room: &Room| room.with().is_some_and(|with| self.lists.of(with).is_some());
        for (room, listed) in people.map(|room| (room.id, listed(room))).collect::<Vec<_>>() {
            match listed {
                true => self.announce_in(room, now),
                // The backup has the root alone, which may be gone: the list says who else is to be told.
                false => self.look_up(room),
            }
        }
        for device in self.beside_people() {
            self.announce_to(device, None, now);
        }
    }

    /// The same, to the devices of a conversation's person.
    pub(in crate::chat) fn announce_in(&mut self, room: RoomId, now: Now) {
        if self.is_announced(now) && self.chat.room(room).is_some_and(Room::is_open) {
            for peer in self.devices_of(room) {
                self.announce_to(peer.device(), Some(room), now);
            }
        }
    }

    /// With whom there is a session was told by its first message.
    fn announce_to(&mut self, device: DeviceId, room: Option<RoomId>, now: Now) {
        let mut waiting = self.queues.get(&device).into_iter().flatten();
        let waits = waiting.any(|next| matches!(*next.content, Content::Devices));
        if !waits && self.sessions.needs_bundle(&device, now) {
            self.transmit_to(device, room, Content::Devices, Why::Signal, now);
        }
    }

    fn is_announced(&self, now: Now) -> bool {
        // It lies ahead once a clock that was fast is set right.
        self.lists.signed_in.is_some_and(|at| at.0.abs_diff(now.wall.0) < ANNOUNCED_FOR)
    }

    /// The account has another name: its list begins anew with this device.
    pub(in crate::chat) fn begin_own(&mut self) {
        let first = self.sessions.identity().begins(&self.chat.name);
        let Ok(own) = DeviceList::begin(&first) else { return };
        for version in self.lists.chain.drain(..) {
            self.batch.delete(CHAIN, version.number.to_be_bytes());
        }
        self.await_own(None);
        self.chat.identity = own.root().identity;
        self.lists.own = own;
        self.lists.chain.push(first);
        self.keep_own();
        self.show_devices();
    }

    pub(in crate::chat) fn forget_pending(&mut self, devices: &[DeviceId]) -> Result<(), Error> {
        for (key, _) in self.store.records.scan(PENDING, &[], &[], Order::Forward, usize::MAX)? {
            if crate::chat::sending::pending(&key).is_some_and(|(_, device)| devices.contains(&device)) {
                self.batch.delete(PENDING, key);
            }
        }
        Ok(())
    }
}
