//! Whose devices are whose: the signed lists of this account and of the people it writes to.
//!
//! A person is the root of their list: that key is pinned and compared. Which devices they write from
//! is for their list to say, and the relay, which serves it, can neither add a device to it nor take
//! one out; what it can do is to serve an old one. Therefore the newest version that a device knows of
//! its own list travels inside its messages, and a relay that has none as new is shown to the person.

mod forks;
mod heads;
mod held;
mod own;

pub(super) use heads::Warning;

use super::linked::Question;
use super::talk::{ACCOUNT, PENDING, Talk, Waiting};
use super::timeline::{LINES, Line, LineState, place, unplace};
use crate::effect::Effect;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use subrosa_shared::id::{AccountName, DeviceId, MessageId, RoomId};
use subrosa_shared::protocol::auth::{Cert, Peer};
use subrosa_shared::protocol::devices::{self, DeviceList, Head, VERSIONS_IN_FRAME, Version};
use subrosa_shared::protocol::envelope::Delivery;
use subrosa_shared::protocol::frame::ToRelay;
use subrosa_shared::session::Why;
use subrosa_shared::store::{Batch, Error, Order, Store, Table};
use subrosa_shared::time::{Millis, Now};

/// Account name → [`DeviceList`] as verified last.
pub const LISTS: Table = Table { byte: 0x30, name: "device lists" };
/// The own list's versions from the first: number (u32 BE) → [`Version`].
pub const CHAIN: Table = Table { byte: 0x31, name: "own device list" };

/// Account name → [`Head`]: the newest version that was spoken of and that no list has shown yet.
pub const SPOKEN: Table = Table { byte: 0x3E, name: "spoken of" };
/// Account name → nothing: whose list is taken as the relay shows it, as soon as it comes.
pub const ANEW: Table = Table { byte: 0x3D, name: "lists to take anew" };
/// Account name → the hashes of the versions that led to its list in [`LISTS`], by their numbers.
pub const PASTS: Table = Table { byte: 0x3F, name: "versions of device lists" };
/// In [`ACCOUNT`]: [`Lists::awaited`].
const AWAITED: &[u8] = b"awaited list";
/// In [`ACCOUNT`]: [`Lists::signed_in`], in milliseconds (u64 BE).
const SIGNED_IN: &[u8] = b"signed in";

/// What is kept in [`PASTS`], as far as it was seen.
type Past = BTreeMap<u32, [u8; 32]>;

/// How soon a list is asked for again that the relay did not give.
const ASK_AGAIN: Duration = Duration::from_secs(20);
/// How soon the own list is brought once more that the relay did not take. So long it may keep a device of ours for
/// somebody who listed it first.
const BRING_AGAIN: Duration = Duration::from_secs(10 * 60);
/// How long a message may wait for its sender's list before the person is told.
const OVERDUE: Duration = Duration::from_secs(30);
/// Devices that are remembered to be in nobody's list, or to have been warned of.
const UNLISTED_MAX: usize = 256;
/// Deliveries that wait for a list. The relay hands out fewer before it wants an acknowledgement.
const HELD_MAX: usize = 4096;

/// Lists, and what waits for one.
pub(super) struct Lists {
    /// The own one.
    pub(super) own: DeviceList,
    /// Its versions, from the first.
    pub(super) chain: Vec<Version>,
    /// Of people, as pinned.
    by: BTreeMap<AccountName, DeviceList>,
    /// What led to them.
    past: HashMap<AccountName, Past>,
    /// Under another root than the pinned one: not accepted yet.
    pub(super) other: BTreeMap<AccountName, DeviceList>,
    /// The newest version that somebody's own device, or the backup, spoke of; [`SPOKEN`].
    spoken: HashMap<AccountName, Head>,
    /// The newest version of the own list that another own device spoke of and that the relay has not shown yet, and
    /// which one that was.
    awaited: Option<(Head, DeviceId)>,
    /// When this device signed in by password (wall), as long as there may be somebody who was not told of it.
    signed_in: Option<Millis>,
    /// Whose list is taken as the relay shows it, whatever was seen of it before: the person decided so; [`ANEW`].
    anew: BTreeSet<AccountName>,
    /// Whose list was asked for from its beginning on this connection, and did not come so yet.
    whole: BTreeSet<AccountName>,
    /// What version of the own list each device was told of, in this run.
    pub(super) told: HashMap<DeviceId, Head>,
    /// Deliveries from a device that is in no list yet, and all after it. Not acknowledged, so the relay
    /// has them still.
    held: VecDeque<Delivery>,
    /// The account whose list they wait for.
    holding: Option<AccountName>,
    /// When it is asked for again.
    again: Option<Millis>,
    /// When the person is told that it does not come.
    overdue: Option<Millis>,
    /// Devices that the list did not have when it was asked for.
    unlisted: HashSet<DeviceId>,
    /// What was warned of, so that it is said once.
    warned: HashSet<(AccountName, Warning)>,
    /// The newest version of the own list that the relay showed on this connection, as far as it is behind.
    there: Option<u32>,
    /// The relay was asked for the own list from its beginning on this connection.
    asked_whole: bool,
    /// So many versions of the own list the relay has when it has taken those under way.
    pub(super) handed: Option<usize>,
    /// When it is brought or asked for once more, after the relay did not take or not show it (monotonic).
    refused: Option<Millis>,
}

/// Who a message is from, by the lists.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Listed {
    /// A device of the pinned list.
    Pinned,
    /// A device of a list under another root, which the person has not accepted.
    Changed,
    /// A key that the person has refused.
    Refused,
    /// In no list of that person.
    Nowhere,
}

/// What an answer about somebody's devices holds.
enum Answer {
    List(Box<DeviceList>),
    /// There may be more versions than were asked for: from the first on, please.
    Whole,
    /// As known.
    Same,
    Old,
    Fork,
    Bad,
}

impl Lists {
    /// What an earlier run left; without any, the own list begins with this device.
    pub(super) fn load(store: &Store, first: impl FnOnce() -> Version) -> Result<Self, Error> {
        let damaged = || Error::Damaged("a list of devices".into());
        let mut chain = Vec::new();
        for (_, bytes) in store.records.scan(CHAIN, &[], &[], Order::Forward, usize::MAX)? {
            chain.push(postcard::from_bytes::<Version>(&bytes).map_err(|_| damaged())?);
        }
        if chain.is_empty() {
            chain.push(first());
        }
        let mut own = DeviceList::begin(&chain[0]).map_err(|_| damaged())?;
        let mut whole = 1;
        for version in &chain[1..] {
            match own.next(version) {
                Ok(next) => (own, whole) = (next, whole + 1),
                // An earlier version took more than removals there.
                Err(devices::Error::Full) => break,
                Err(_) => return Err(damaged()),
            }
        }
        chain.truncate(whole);
        let mut by = BTreeMap::new();
        for (_, bytes) in store.records.scan(LISTS, &[], &[], Order::Forward, usize::MAX)? {
            let list: DeviceList = postcard::from_bytes(&bytes).map_err(|_| damaged())?;
            by.insert(list.name().clone(), list);
        }
        let named = |name: Vec<u8>| {
            let name = String::from_utf8(name).ok().and_then(|name| AccountName::parse(&name).ok());
            name.ok_or_else(damaged)
        };
        let mut past = HashMap::new();
        for (name, bytes) in store.records.scan(PASTS, &[], &[], Order::Forward, usize::MAX)? {
            past.insert(named(name)?, postcard::from_bytes(&bytes).map_err(|_| damaged())?);
        }
        let mut spoken = HashMap::new();
        for (name, bytes) in store.records.scan(SPOKEN, &[], &[], Order::Forward, usize::MAX)? {
            spoken.insert(named(name)?, postcard::from_bytes(&bytes).map_err(|_| damaged())?);
        }
        let mut anew = BTreeSet::new();
        for (name, _) in store.records.scan(ANEW, &[], &[], Order::Forward, usize::MAX)? {
            anew.insert(named(name)?);
        }
        let awaited = match store.records.get(ACCOUNT, AWAITED)? {
            Some(bytes) => Some(postcard::from_bytes(&bytes).map_err(|_| damaged())?),
            None => None,
        };
        let signed_in = match store.records.get(ACCOUNT, SIGNED_IN)? {
            Some(bytes) => Some(Millis(u64::from_be_bytes(bytes.try_into().map_err(|_| damaged())?))),
            None => None,
        };
        Ok(Self {
            own,
            chain,
            by,
            past,
            other: BTreeMap::new(),
            spoken,
            awaited,
            anew,
            signed_in,
            whole: BTreeSet::new(),
            told: HashMap::new(),
            held: VecDeque::new(),
            holding: None,
            again: None,
            overdue: None,
            unlisted: HashSet::new(),
            warned: HashSet::new(),
            there: None,
            asked_whole: false,
            handed: None,
            refused: None,
        })
    }

    /// Of somebody, as known.
    pub(super) fn of(&self, name: &AccountName) -> Option<&DeviceList> {
        self.by.get(name)
    }

    /// Who lists that device, as far as lists are known: anybody can.
    pub(super) fn with_device(&self, device: &DeviceId) -> impl Iterator<Item = &DeviceList> {
        self.by.values().filter(move |list| list.get(device).is_some())
    }

    /// The account that a device speaks for, of which the relay says that it is `said`. Anybody's list can name a
    /// device, but an own one and one that began a list are that account's, whatever the relay says.
    pub(super) fn whose(&self, from: &Peer, said: &AccountName) -> AccountName {
        let began = |list: &&DeviceList| list.root() == *from && list.has(from);
        if self.own.has(from) {
            return self.own.name().clone();
        }
        let mut lists = self.of(said).into_iter().chain(self.by.values());
        lists.find(began).map_or(said, DeviceList::name).clone()
    }

    /// The list under another root than the pinned one counts no longer.
    pub(super) fn drop_other(&mut self, name: &AccountName) {
        self.other.remove(name);
    }

    pub(super) fn insert(&mut self, list: DeviceList) {
        self.by.insert(list.name().clone(), list);
    }

    /// The connection is gone: what was not acknowledged comes again.
    pub(super) fn grounded(&mut self) {
        self.held.clear();
        self.unlisted.clear();
        self.whole.clear();
        (self.holding, self.again, self.overdue) = (None, None, None);
        self.look_anew();
    }

    /// Where the relay is with the own list is not known any more.
    pub(super) fn look_anew(&mut self) {
        (self.there, self.asked_whole, self.handed, self.refused) = (None, false, None, None);
    }

    /// When a list is asked for again, is overdue, or is brought once more.
    pub(super) fn due(&self) -> Option<Millis> {
        self.again.into_iter().chain(self.overdue).chain(self.refused).min()
    }
}

impl Talk {
    /// The own account's list of devices.
    pub fn own_list(&self) -> &DeviceList {
        &self.lists.own
    }

    /// The other devices of this account.
    pub(super) fn siblings(&self) -> Vec<Peer> {
        let this = self.device();
        self.lists.own.devices().filter(|peer| peer.device() != this).collect()
    }

    /// Whether that device is another one of this account.
    pub(super) fn is_sibling(&self, device: &DeviceId) -> bool {
        *device != self.device() && self.lists.own.get(device).is_some()
    }

    /// The devices of a conversation's person, by the pinned list; none before it is known who that is.
    pub(super) fn devices_of(&self, room: RoomId) -> Vec<Peer> {
        let Some(room) = self.chat.room(room) else { return Vec::new() };
        match (room.with().and_then(|with| self.lists.by.get(with)), room.kept.peer) {
            (Some(list), Some(peer)) if list.root() == peer => list.devices().collect(),
            (_, peer) => peer.into_iter().collect(),
        }
    }

    /// The keys of a device that is written to.
    pub(super) fn peer_of(&self, device: &DeviceId) -> Option<Peer> {
        if self.is_sibling(device) {
            return self.lists.own.get(device);
        }
        let theirs = |room| self.devices_of(room).into_iter().find(|peer| peer.device() == *device);
        let known = self.room_of(device).and_then(theirs);
        known.or_else(|| self.member_peer(device)).or_else(|| self.newcomer_peer(device))
    }

    /// The conversation with the account that a device speaks for, whoever else lists it.
    pub(super) fn room_from(&self, from: &Peer, name: &AccountName) -> Option<RoomId> {
        match self.is_listed(name, from) {
            true => self.chat.with(name).map(|room| room.id),
            false => self.room_of(&from.device()),
        }
    }

    /// Who wrote, by the lists.
    pub(super) fn listed(&self, room: RoomId, from: &Peer) -> Listed {
        if self.devices_of(room).contains(from) {
            return Listed::Pinned;
        }
        let Some(r) = self.chat.room(room) else { return Listed::Nowhere };
        if r.has_refused(from) {
            return Listed::Refused;
        }
        match r.with().and_then(|name| self.lists.other.get(name)) {
            // Whoever is put on the list of a refused key is not silent for that.
            Some(list) if list.has(from) && !r.has_refused(&list.root()) => Listed::Changed,
            _ => Listed::Nowhere,
        }
    }

    /// The root identity key of the account that speaks there; of one that is not accepted, if it is not
    /// `pinned`.
    pub(super) fn author_key(&self, room: RoomId, pinned: bool) -> Option<[u8; 32]> {
        if let Some(name) = self.speaker.as_ref().map(|speaker| &speaker.name) {
            if *name == self.chat.name {
                return Some(self.lists.own.root().identity);
            }
            // The one by which their words were weighed: they may be another account's in the log by now.
            let pinned = || self.chat.with(name)?.kept.peer;
            return self.lists.of(name).map(DeviceList::root).or_else(pinned).map(|root| root.identity);
        }
        let room = self.chat.room(room)?;
        match pinned {
            true => room.kept.peer.map(|peer| peer.identity),
            false => self.lists.other.get(room.with()?).map(|list| list.root().identity),
        }
    }

    /// The root of a stranger's list, if that device is in it.
    pub(super) fn stranger(&self, name: &AccountName, from: &Peer) -> Option<Peer> {
        self.lists.by.get(name).filter(|list| list.has(from)).map(DeviceList::root)
    }

    /// The relay is asked for the devices of an account.
    pub(super) fn ask_devices(&mut self, name: &AccountName, from: u32) {
        if self.chat.link == super::Link::Online && !self.asking(name) {
            let ask = self.ask(Question::Devices(name.clone()));
            self.effects.push(Effect::Send(ToRelay::Devices { ask, name: name.clone(), from }));
        }
    }

    /// The same, for what is newer than what is known.
    pub(super) fn ask_newer(&mut self, name: &AccountName) {
        let known = if *name == self.chat.name { Some(&self.lists.own) } else { self.lists.by.get(name) };
        let known = known.filter(|_| !self.lists.anew.contains(name));
        self.ask_devices(name, known.map_or(0, |list| list.head().number));
    }

    // ---- answers

    /// The relay says which devices an account has.
    pub(super) fn devices(
        &mut self,
        name: &AccountName,
        versions: &[Version],
        certs: &[Cert],
        now: Now,
    ) -> Result<(), Error> {
        if *name == self.chat.name {
            self.own_devices(versions, now)?;
            self.prove_rooms(now)?;
            return self.release(name, now);
        }
        self.chain_came(name, versions, certs, now)?;
        if self.awaits_chain(name) && versions.len() >= VERSIONS_IN_FRAME {
            // A long list from its beginning: the end of it says how it is now.
            return Ok(());
        }
        let room = self.chat.with(name).map(|room| room.id);
        let answer = match versions.is_empty() {
            true => self.alone(name, certs),
            false => self.read(name, versions),
        };
        let taken = matches!(answer, Answer::List(_) | Answer::Same);
        match answer {
            Answer::Whole if self.lists.whole.insert(name.clone()) => {
                self.ask_devices(name, 0);
                return Ok(());
            }
            // Who never shows the beginning would be asked for it without end.
            Answer::Whole => {}
            Answer::List(list) => {
                if let Some(room) = room.filter(|_| self.lists.anew.contains(name)) {
                    self.took_anew(room, now);
                }
                self.forget_anew(name);
                self.lists.whole.remove(name);
                self.take_list(room, *list, now)?;
            }
            Answer::Same => {
                // Known as a member of a room before there was a conversation.
                if let (Some(room), Some(root)) = (room, self.lists.of(name).map(DeviceList::root)) {
                    self.pin(room, root, now);
                    self.keep_list(name);
                }
            }
            Answer::Old => self.warn(
                room,
                name,
                Warning::Old,
                "the relay shows an older list of {}'s devices than you have seen: it was not taken. Either the relay was \
                 set back, or it hides what they changed; if this stays, ask them another way than this",
                now,
            ),
            Answer::Fork => self.forked(room, name, now),
            Answer::Bad => {
                self.dropped += 1;
                self.notice(
                    format!("the relay's answer about {name} is not signed as it must be; nothing was sent"),
                    true,
                );
            }
        }
        self.remember(name, versions);
        if taken && versions.len() >= VERSIONS_IN_FRAME && self.lists.by.contains_key(name) {
            self.ask_newer(name);
            return Ok(());
        }
        self.missing(room, name, now);
        if let Some(room) = room {
            self.flush_room(room, now);
            self.announce_in(room, now);
        }
        self.flush_member(name, now)?;
        self.release(name, now)
    }

    /// The answer about an account without a list: its one device.
    fn alone(&self, name: &AccountName, certs: &[Cert]) -> Answer {
        let Some(Ok(peer)) = certs.first().map(Cert::verify) else { return Answer::Bad };
        match self.lists.by.get(name) {
            Some(list) if list.root() == peer && list.head().number == 0 => Answer::Same,
            // The relay has lost it; its devices bring it again.
            Some(list) if list.root() == peer || list.has(&peer) => Answer::Old,
            _ => Answer::List(Box::new(DeviceList::alone(name, &certs[0]))),
        }
    }

    /// The answer about an account with a list.
    fn read(&self, name: &AccountName, versions: &[Version]) -> Answer {
        let partial = versions.get(1).is_some_and(|next| next.number > 1);
        let anew = self.lists.anew.contains(name);
        let known = self.lists.by.get(name).filter(|list| list.is_signed() && !anew);
        let Some(known) = known else {
            return match DeviceList::verify(name, versions) {
                Ok(list) => Answer::List(Box::new(list)),
                // It was asked for before the person decided.
                Err(_) if anew && partial => Answer::Whole,
                Err(_) => Answer::Bad,
            };
        };
        let Ok(first) = DeviceList::begin(&versions[0]) else { return Answer::Bad };
        if first.name() != name {
            return Answer::Bad;
        }
        if first.root() != known.root() {
            // Somebody else's beginning: all of it is needed.
            return match DeviceList::verify(name, versions) {
                Ok(list) => Answer::List(Box::new(list)),
                Err(_) if partial => Answer::Whole,
                Err(_) => Answer::Bad,
            };
        }
        let at = known.head();
        let Some(newest) = versions.last().filter(|newest| newest.number >= at.number) else {
            return Answer::Old;
        };
        let same = versions.iter().find(|version| version.number == at.number);
        if same.is_none_or(|same| same.hash() != at.hash) {
            // As far as one frame has it from its beginning.
            if partial && at.number < VERSIONS_IN_FRAME as u32 - 1 {
                return Answer::Whole;
            }
            let left = |version: &Version| {
                let seen = self.seen(name, version.number);
                version.number > at.number || seen.is_some_and(|seen| seen != version.hash())
            };
            return forks::as_good(known, versions, left)
                .map_or(Answer::Fork, |list| Answer::List(Box::new(list)));
        }
        if newest.number == at.number {
            return Answer::Same;
        }
        let news = versions.iter().filter(|version| version.number > at.number);
        news.into_iter()
            .try_fold(known.clone(), |list, version| list.next(version))
            .map_or(Answer::Bad, |list| Answer::List(Box::new(list)))
    }

    /// A list that verified: pinned, an alarm, or news about the pinned one.
    fn take_list(&mut self, room: Option<RoomId>, list: DeviceList, now: Now) -> Result<(), Error> {
        let name = list.name().clone();
        let Some(room) = room else {
            return self.member_list(list, now);
        };
        let before = self.devices_of(room);
        if !self.pin(room, list.root(), now) {
            self.lists.other.insert(name, list);
            return Ok(());
        }
        // The other root was a lie, or they are back under the pinned one.
        self.lists.other.remove(&name);
        if list.is_signed() {
            let value = postcard::to_stdvec(&list).expect("a list serialises: plain fields only");
            self.batch.put(LISTS, name.as_str().as_bytes().to_vec(), value);
        }
        let added: Vec<DeviceId> =
            list.devices().filter(|peer| !before.contains(peer)).map(|peer| peer.device()).collect();
        let gone: Vec<DeviceId> =
            before.iter().filter(|peer| !list.has(peer)).map(|peer| peer.device()).collect();
        let first = self.lists.by.insert(name.clone(), list).is_none();
        let Some(r) = self.chat.room(room).filter(|_| !before.is_empty()) else { return Ok(()) };
        let who = r.full_name();
        // Of somebody whose list was not known nobody can say what is new in it.
        let (come, left) = if first { (0, 0) } else { (added.len(), gone.len()) };
        for _ in 0..come {
            self.note(room, format!("{who} added a device"), now);
        }
        for _ in 0..left {
            self.note(room, format!("{who} removed a device: nothing goes to it any more"), now);
        }
        self.leave_devices(&gone);
        self.call_without(room, &gone, now);
        self.forget_member_devices(&gone)?;
        if !gone.is_empty() {
            self.readdress(room, now)?;
        }
        if !added.is_empty() {
            // The new one does not know it yet.
            self.profile_again(room, now);
            self.under_way(room, &added, now)?;
            self.under_way_in_rooms(&name, &before, &added, now)?;
        }
        if !added.is_empty() || !gone.is_empty() {
            self.roster();
        }
        Ok(())
    }

    /// The changed root of a conversation's person was accepted: its list is theirs from now on.
    pub(super) fn adopt(&mut self, room: RoomId, before: &[Peer], now: Now) -> Result<(), Error> {
        let Some(name) = self.chat.room(room).and_then(|room| room.with().cloned()) else { return Ok(()) };
        self.drop_list(&name);
        self.lists.spoken.remove(&name);
        keep_spoken(&name, None, &mut self.batch);
        if let Some(list) = self.lists.other.remove(&name) {
            self.take_list(Some(room), list, now)?;
        }
        let devices = self.devices_of(room);
        let gone: Vec<DeviceId> =
            before.iter().filter(|peer| !devices.contains(peer)).map(|peer| peer.device()).collect();
        self.leave_devices(&gone);
        self.call_without(room, &gone, now);
        self.ask_newer(&name);
        Ok(())
    }

    /// Devices that somebody lists no more. Anybody can list one and leave it out again: of what is somebody else's
    /// all the same, only what goes there no more is forgotten.
    pub(super) fn leave_devices(&mut self, devices: &[DeviceId]) {
        for device in devices {
            if self.peer_of(device).is_none() {
                self.drop_devices(std::slice::from_ref(device));
            } else if let Some(mut queue) = self.queues.remove(device) {
                queue.retain(|next| next.room.is_none_or(|room| self.goes_to(room, device)));
                if !queue.is_empty() {
                    self.queues.insert(*device, queue);
                }
            }
        }
    }

    /// Forgets everything that is kept of devices: nothing goes to them and nothing of theirs opens.
    pub(super) fn drop_devices(&mut self, devices: &[DeviceId]) {
        for device in devices {
            self.outbox.drop_device(device, &mut self.batch);
            self.sessions.forget_peer(device, &mut self.batch);
            self.queues.remove(device);
            self.claim_after.remove(device);
            self.forget_debts(device);
            self.lists.told.remove(device);
            self.online.remove(device);
        }
    }

    /// Own lines that only devices had to receipt which are gone go to those that are there now.
    pub(super) fn readdress(&mut self, room: RoomId, now: Now) -> Result<(), Error> {
        let devices: Vec<DeviceId> = self.devices_of(room).iter().map(Peer::device).collect();
        let mut lost = Vec::new();
        for (key, place) in self.store.records.scan(PENDING, &[], &[], Order::Forward, usize::MAX)? {
            let Some((id, device)) = super::sending::pending(&key) else { continue };
            let Some(place) = place.get(..24) else { continue };
            let here = unplace(place).is_some_and(|(of, _)| of == room);
            if here && device != UNADDRESSED && !devices.contains(&device) && !self.is_sibling(&device) {
                self.batch.delete(PENDING, key);
                lost.push((place.to_vec(), id));
            }
        }
        lost.sort_unstable();
        lost.dedup();
        for (place, id) in lost {
            let Some(bytes) = self.store.records.get(LINES, &place)? else { continue };
            let line = Line::read(&bytes).ok_or_else(|| Error::Damaged("a line of a conversation".into()))?;
            let Some((_, pos)) = unplace(&place) else { continue };
            if (line.state <= LineState::Sent || self.is_act(&id))
                && let Some(content) = self.content_again(room, pos, id, line)?
            {
                self.transmit(room, content, Why::Speech, Some(id), now);
            }
        }
        Ok(())
    }

    /// Own lines that a person's devices did not receipt yet go to their new ones too: the device that was
    /// there before may have no chance to pass them on. What disappears goes to no device that comes later.
    fn under_way(&mut self, room: RoomId, added: &[DeviceId], now: Now) -> Result<(), Error> {
        let devices: Vec<DeviceId> = self.devices_of(room).iter().map(Peer::device).collect();
        let mut lines = Vec::new();
        for (key, value) in self.store.records.scan(PENDING, &[], &[], Order::Forward, usize::MAX)? {
            let Some((id, _)) = super::sending::pending(&key).filter(|(_, to)| devices.contains(to)) else {
                continue;
            };
            if let Some((of, pos)) = value.get(..super::sending::PLACE).and_then(unplace)
                && of == room
            {
                lines.push((pos, id));
            }
        }
        lines.sort_unstable();
        lines.dedup();
        for (pos, id) in lines {
            let place = place(room, pos);
            let Some(bytes) = self.store.records.get(LINES, &place)? else { continue };
            let line = Line::read(&bytes).ok_or_else(|| Error::Damaged("a line of a conversation".into()))?;
            if self.seconds_of(room, pos).is_some() {
                continue;
            }
            let Some(content) = self.content_again(room, pos, id, line)? else { continue };
            let content = Arc::new(self.placed(room, Some(&id), content));
            for device in added {
                self.batch.put(PENDING, pending_key(&id, device), place.clone());
                let (content, why, message) = (content.clone(), Why::Speech, Some(id));
                self.queue(*device, Waiting { room: Some(room), content, why, message }, now);
            }
        }
        Ok(())
    }

    // ---- the own list

    /// The list under which a stranger was let in is kept with their conversation.
    pub(super) fn keep_list(&mut self, name: &AccountName) {
        let member = self.is_member(name);
        if let Some(list) = self.lists.by.get(name).filter(|list| list.is_signed() || member) {
            let value = postcard::to_stdvec(list).expect("a list serialises: plain fields only");
            self.batch.put(LISTS, name.as_str().as_bytes().to_vec(), value);
            self.keep_past(name);
        }
    }

    /// The conversation goes, and its person's list with it, unless rooms go by it.
    pub(super) fn forget_list(&mut self, room: RoomId) {
        let Some(name) = self.chat.room(room).and_then(|room| room.with().cloned()) else { return };
        self.lists.other.remove(&name);
        let fellow = |list: &DeviceList| list.devices().any(|peer| self.shares_room(&peer.device()));
        if !self.lists.by.get(&name).is_some_and(fellow) {
            self.drop_list(&name);
        }
    }

    fn drop_list(&mut self, name: &AccountName) {
        self.lists.by.remove(name);
        self.lists.past.remove(name);
        self.forget_anew(name);
        for table in [LISTS, PASTS] {
            self.batch.delete(table, name.as_str().as_bytes().to_vec());
        }
    }
}

/// In place of a device: the line waits until it is known who is to get it.
pub(super) const UNADDRESSED: DeviceId = DeviceId([0; 16]);

/// A message's key in [`PENDING`].
pub(super) fn pending_key(id: &MessageId, device: &DeviceId) -> Vec<u8> {
    [id.0, device.0].concat()
}

/// Keeps a head that was spoken of, or forgets it.
pub(super) fn keep_spoken(name: &AccountName, head: Option<Head>, batch: &mut Batch) {
    let key = name.as_str().as_bytes().to_vec();
    match head {
        Some(head) => {
            batch.put(SPOKEN, key, postcard::to_stdvec(&head).expect("it serialises: plain fields only"));
        }
        None => batch.delete(SPOKEN, key),
    }
}
