//! Lists that parted: the relay shows another one than was seen here, under the same root.
//!
//! A relay that was set back brings that about, since another device does anew what it forgot; and so does one that
//! lies, with the help of a device that was removed.

use super::{ANEW, CHAIN, Warning, keep_spoken};
use crate::chat::person::Trouble;
use crate::chat::talk::Talk;
use subrosa_shared::id::{AccountName, RoomId};
use subrosa_shared::protocol::devices::{DeviceList, VERSIONS_IN_FRAME, Version};
use subrosa_shared::store::Error;
use subrosa_shared::time::Now;

impl Talk {
    /// The relay shows another list of somebody's devices than the one that was seen: the person decides.
    pub(super) fn forked(&mut self, room: Option<RoomId>, name: &AccountName, now: Now) {
        let root = self.lists.of(name).map(DeviceList::root);
        let pinned = room.and_then(|room| self.chat.room(room)).filter(|room| room.kept.peer == root);
        let Some((room, undecided)) = pinned.map(|room| (room.id, room.kept.changed.is_some())) else {
            return self.warn(
                room,
                name,
                Warning::Forked,
                "the relay shows another list of {}'s devices than the one you have seen, at the same place: it was not \
                 taken. Either the relay was set back, or it shows different people different things, and is not to be \
                 trusted",
                now,
            );
        };
        if undecided {
            return;
        }
        // As long as that still goes out.
        self.break_off(room, now);
        let Some(r) = self.chat.room_mut(room) else { return };
        r.kept.changed = root;
        r.save(&mut self.batch);
        let name = r.full_name();
        self.alarm(
            room,
            format!(
                "the relay shows another list of {name}'s devices than the one you have seen. Either it was set back, and \
                 they changed their devices anew; or it lies, and may let in again whom they removed. Nothing is sent \
                 before you decide: ask them another way than this which devices they have. /trust takes the relay's \
                 list, /block ends it"
            ),
            now,
        );
    }

    /// The list of a conversation's person is taken as the relay shows it, whatever was seen of it before.
    pub(in crate::chat) fn take_anew(&mut self, room: RoomId) {
        let Some(name) = self.chat.room(room).and_then(|room| room.with().cloned()) else { return };
        self.lists.spoken.remove(&name);
        keep_spoken(&name, None, &mut self.batch);
        self.batch.put(ANEW, name.as_str().as_bytes().to_vec(), vec![1]);
        self.lists.anew.insert(name.clone());
        self.lists.whole.remove(&name);
        self.ask_newer(&name);
    }

    /// From now on what was seen of that list counts again.
    pub(super) fn forget_anew(&mut self, name: &AccountName) {
        if self.lists.anew.remove(name) {
            self.batch.delete(ANEW, name.as_str().as_bytes().to_vec());
        }
    }

    /// That list is here.
    pub(super) fn took_anew(&mut self, room: RoomId, now: Now) {
        let Some(r) = self.chat.room_mut(room).filter(|room| room.trouble() == Some(Trouble::Forked)) else {
            return;
        };
        let name = r.full_name();
        r.kept.changed = None;
        r.save(&mut self.batch);
        self.note(room, format!("you took the relay's list of {name}'s devices"), now);
        self.roster();
    }

    /// The relay shows another list of the own devices than this device has. One that is as good is taken.
    pub(super) fn own_forked(&mut self, versions: &[Version], now: Now) -> Result<(), Error> {
        let name = self.chat.name.clone();
        let partial = versions.get(1).is_some_and(|next| next.number > 1);
        if partial && !std::mem::replace(&mut self.lists.asked_whole, true) {
            self.ask_devices(&name, 0);
            return Ok(());
        }
        let left = |version: &Version| self.seen(&name, version.number) != Some(version.hash());
        let (own, this) = (&self.lists.own, self.sessions.identity().peer());
        let fits = |list: &DeviceList| *list.name() == name && list.root() == own.root() && list.has(&this);
        let Some(list) = as_good(own, versions, left).filter(fits) else {
            self.notice(
                "the relay shows another list of your own devices than this device has: it was not taken. Either the relay \
                 is not to be trusted, or it was set back, and your devices were changed anew since: then remove this one \
                 on another one, and link it anew as another profile (subrosa --profile NEW). /devices shows the list"
                    .into(),
                true,
            );
            return Ok(());
        };
        for version in self.lists.chain.iter().skip(versions.len()) {
            self.batch.delete(CHAIN, version.number.to_be_bytes());
        }
        self.own_is(list, versions.to_vec(), now)?;
        if versions.len() >= VERSIONS_IN_FRAME {
            self.ask_newer(&name);
        } else {
            self.missing_own(now);
        }
        Ok(())
    }
}

/// The list at the end of a chain, if it is as good as the known one: after it had `left` what led to that one, it came
/// to the same devices, and to no other key beside them. From there on it is signed by nobody who may not sign
/// what follows the known one.
pub(super) fn as_good(
    known: &DeviceList,
    chain: &[Version],
    left: impl Fn(&Version) -> bool,
) -> Option<DeviceList> {
    let same = |list: &DeviceList| {
        list.certs().len() == known.certs().len()
            && list.certs().iter().all(|cert| known.certs().contains(cert))
            && list.recovery().is_none_or(|key| known.recovery() == Some(key))
    };
    let (first, rest) = chain.split_first()?;
    let mut list = DeviceList::begin(first).ok()?;
    let mut met = left(first) && same(&list);
    for version in rest {
        list = list.next(version).ok()?;
        met |= left(version) && same(&list);
    }
    met.then_some(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use subrosa_shared::session::Identity;

    #[test]
    fn a_list_is_as_good_that_came_to_the_same_devices_and_no_other_key_after_it_had_parted() {
        let [desk, laptop, phone, tablet] = [1, 2, 3, 4].map(|seed| Identity::from_seed(&[seed; 64]));
        let name = AccountName::parse("ada").expect("valid");
        let mut chain = vec![desk.begins(&name)];
        let mut list = DeviceList::begin(&chain[0]).expect("signed");
        for other in [&laptop, &phone] {
            let version = desk.adds(&list, &other.cert()).expect("signed");
            list = list.next(&version).expect("follows");
            chain.push(version);
        }
        let good = |known: &Version, shown: &[&Version]| {
            let chain: Vec<Version> = chain.iter().chain(shown.iter().copied()).cloned().collect();
            let known = list.next(known).expect("follows");
            as_good(&known, &chain, |version| version.number > 2)
        };
        let gone = desk.removes(&list, &phone.device()).expect("signed");
        let again = laptop.removes(&list, &phone.device()).expect("signed");
        let without = list.next(&again).expect("follows");
        let added = laptop.adds(&without, &tablet.cert()).expect("signed");
        assert_eq!(good(&gone, &[&again]), Some(without.clone()));
        assert_eq!(good(&gone, &[&again, &added]), without.next(&added).ok());
        // The phone goes on where it is still listed: before it came, the devices were the same too.
        let stays = phone.recovers(&list, None).expect("signed");
        assert_eq!(good(&gone, &[&stays]), None);
        // The devices are the same, and somebody else could add others.
        let named = desk.recovers(&list, Some([7; 32])).expect("signed");
        let other = phone.recovers(&list, Some([9; 32])).expect("signed");
        assert_eq!(good(&named, &[&other]), None);
        assert!(good(&named, &[&stays]).is_some(), "who may sign the one may sign the other");
    }
}
