//! Rooms of several people: the log that says who belongs to one, its keys, and what of it is stored.
//!
//! A room is its log ([`Log`]), the same for all members. What is said goes to every device of every
//! member by the log, sealed for each and handed to the relay in one request. A change of the log is
//! such a request too, with a [`Move`](subrosa_shared::protocol::envelope::Move) of the room's head at
//! the relay: either all mailboxes have it and the head moved, or nothing happened; so of two changes
//! at once one comes after the other, the same on all ends.

mod again;
mod answers;
mod decided;
mod door;
mod ends;
mod entries;
mod guesses;
mod held;
mod inbox;
mod joining;
mod judging;
mod knocks;
mod locks;
mod members;
mod ops;
mod past;
mod proof;
mod rewound;
mod sending;
mod stretch;
mod tally;
mod untold;
mod visit;
mod waking;
mod words;

pub(super) use door::Key;
pub use door::OpenLink;
pub(super) use inbox::{CLOCK_AHEAD, Speaker};
pub(super) use joining::DECLINED;
pub use locks::LOCKS;
pub use stretch::{Stretch, Stretched};
pub use tally::{TALLIES, Tally};
pub use visit::{AtDoor, Follows};
pub use words::role_name;

use super::talk::{Talk, Waiting};
use super::{Chat, room::Room};
use past::Past;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use subrosa_shared::content::Content;
use subrosa_shared::content::rooms::{AboutRoom, Keys, RoomTalk};
use subrosa_shared::id::{AccountName, DeviceId, DoorId, EnvelopeId, MessageId, RoomId, RoomTag};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::protocol::door::{KnockId, Knocked};
use subrosa_shared::session::door::{Lock, Waiting as Proved};
use subrosa_shared::session::roomlog::{Entry, Log, Op, Role};
use subrosa_shared::store::{Batch, Error, Order, Store, Table, prefix_end};
use subrosa_shared::time::Millis;
use untold::Untold;

/// Room id → version (1) ‖ `Kept`.
pub const GROUPS: Table = Table { byte: 0x41, name: "rooms of several" };
/// `room ‖ height (u64 BE)` → one encoded entry of its log.
pub const LOGS: Table = Table { byte: 0x42, name: "room logs" };
/// What came before the entry that it depends on: `room ‖ clock (u64 BE) ‖ 16 random` → `judging::Early`;
/// with a 1 behind the key, for what disappears: the same, as the conversation's chain sealed it.
pub const EARLY: Table = Table { byte: 0x44, name: "early in rooms" };
/// `room ‖ device` → the highest height that device showed, and its clock then.
pub const SHOWN: Table = Table { byte: 0x45, name: "heights shown" };

/// A room of several people, beside what it has in common with other conversations.
#[derive(Debug)]
pub struct Group {
    /// Who is in and what they may do. Recipients come from here and from nowhere else.
    pub log: Log,
    kept: Kept,
    /// `#name`, harmless.
    title: String,
    /// This account is a member by the log, and the room is not deleted.
    open: bool,
    /// Who types, until when (monotonic).
    pub typing: BTreeMap<AccountName, Millis>,
    /// When what is missing is asked for again, or an own operation tried again.
    due: Option<Millis>,
    /// A height that somebody showed and that is not here, and who did.
    missing: Option<(u64, DeviceId)>,
    /// How often members were asked for it.
    rounds: u8,
    /// When somebody who showed it was last asked for it (monotonic).
    asked: Option<Millis>,
    /// How often members' devices were answered lately.
    answers: answers::Answers,
    shown: HashMap<DeviceId, (u64, u64)>,
    /// The log goes on with an entry that nobody vouches for; it was said.
    stopped: bool,
    /// What waits for the log, by its key in [`EARLY`].
    early: BTreeMap<Vec<u8>, judging::Early>,
    /// Whose words found no place there, of devices that the log does not name yet.
    crowded: BTreeSet<DeviceId>,
    /// What was warned of, so that it is said once in a run.
    warned: HashSet<(u8, DeviceId)>,
    /// How many operations of a row found the head moved by nobody knows whom.
    tries: u8,
    /// When the last one of them did (monotonic).
    refused: Option<Millis>,
    /// How many keys back the relay is, as far as known: it refused the newer ones.
    behind: usize,
    /// Until when own operations wait (monotonic), because the relay went back in time.
    quiet: Option<Millis>,
    /// To whom the newest own lines got, for the screen.
    tallies: HashMap<MessageId, tally::Marks>,
    /// Who was asked for the past, and who asked for it.
    asking: past::Asking,
    /// What of the log waits until it is known who signed it.
    held: VecDeque<held::Held>,
    /// Devices that the relay named as being in the way of an own operation.
    without: BTreeSet<DeviceId>,
    /// Who is out was told so in this run, or waits for keys in it.
    ends_told: bool,
    /// Which members were told in this run of what they are owed, or wait for keys in it.
    rows_told: BTreeSet<AccountName>,
}

/// What is stored of it beside the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    keys: Keys,
    /// The head that the relay has, as far as known here.
    moved: [u8; 32],
    /// The highest Lamport clock that was seen.
    clock: u64,
    /// Own operations that are not in the log yet, in order.
    pending: VecDeque<Op>,
    /// The first ones of them, on their way.
    proposed: Option<Proposed>,
    /// Who was added here and has not been heard of since: the invitation goes out again.
    owed: BTreeSet<AccountName>,
    /// Somebody left who knows the keys: the next operation renews them.
    stale: bool,
    /// Who invited this account.
    by: Option<AccountName>,
    /// The invitation was declined: nothing of it is shown.
    declined: bool,
    /// Whose words count for nothing since lately, and when (by the wall clock) that was learned of.
    closed: BTreeMap<AccountName, Millis>,
    /// Devices that are out and were not told of it in the request that moved the head: the entries from
    /// one height to another.
    ends: BTreeMap<DeviceId, End>,
    /// What of the time before this account came is still to be told.
    past: Past,
    /// The first so many entries of the log were taken without knowing the devices of who signed them.
    unproven: u64,
    /// Keys before these, the newest first: a relay that went back in time knows one of them.
    former: VecDeque<Keys>,
    /// When those who are owed an invitation were last sent it once more (by the wall clock).
    invited: BTreeMap<AccountName, Millis>,
    /// Doors that this account closed, or watched until others did, and that the relay has not said to be gone.
    closing: BTreeSet<DoorId>,
    /// Who is still to be told of what this account changed.
    untold: BTreeMap<AccountName, Untold>,
}

/// A device that is to be told of its account's removal.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct End {
    peer: Peer,
    from: u64,
    to: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Proposed {
    envelope: EnvelopeId,
    /// Encoded entries.
    entries: Vec<Vec<u8>>,
    /// The next keys.
    keys: Option<Keys>,
}

/// What waits for members.
#[derive(Default)]
pub(super) struct Groups {
    /// Until it is known which devices they have.
    pub(super) waiting: BTreeMap<AccountName, VecDeque<Waiting>>,
    /// Who is to be invited where, once it is known who that is.
    pub(super) wished: BTreeSet<(RoomId, AccountName)>,
    /// Who was added where and gets the invitation once their devices are known.
    unsent: BTreeSet<(RoomId, AccountName)>,
    /// Whose invitations were declined in this run, the newest last.
    declined: VecDeque<RoomTag>,
    /// When the relay is asked again (monotonic).
    pub(super) after: BTreeMap<AccountName, Millis>,
    /// Tallies that were written in this event: the store does not know them yet.
    tallies: HashMap<MessageId, tally::Kept>,
    /// Which devices accounts ever had.
    chains: proof::Chains,
    /// Who waits for a receipt of what: of an act no line says so, and of an id that nobody drew several may.
    pub(super) authors: HashMap<(RoomId, MessageId), BTreeSet<AccountName>>,
    /// Links into rooms that this account is in.
    links: BTreeMap<DoorId, door::Link>,
    /// What tests passwords of rooms, by what the log calls it.
    locks: BTreeMap<(RoomId, [u8; 32]), Lock>,
    /// Rooms whose password is being stretched.
    locking: BTreeSet<RoomId>,
    /// Guesses at the passwords of rooms.
    guesses: BTreeMap<RoomId, guesses::Guesses>,
    /// Rooms that this account wants to come into by a link.
    joining: BTreeMap<DoorId, visit::Joining>,
    /// How often this account knocked in this run.
    attempts: u32,
    /// Who gave a wrong password there, until the last word on it comes.
    given_up: BTreeMap<DoorId, Proved>,
    /// Knocks that wait until it is known who that is.
    knocks: BTreeMap<AccountName, Knocked>,
    /// Knocks that wait for the lock of their room.
    unlocked: Vec<Knocked>,
    /// Who was asked for a password and has not given it.
    asked: BTreeMap<KnockId, knocks::Asked>,
    /// Rooms of which the relay did not let a door be watched or taken away: when they are tried again
    /// (monotonic).
    unwatched: BTreeMap<RoomId, Millis>,
    /// Whose wait at which door was told of, since when.
    waits: HashMap<(DoorId, DeviceId), Millis>,
    /// When it was last said of a room that nobody is asked for its password now.
    held: BTreeMap<RoomId, Millis>,
}

impl Group {
    fn new(log: Log, keys: Keys, me: &AccountName) -> Self {
        let moved = log.head();
        let kept = Kept {
            keys,
            moved,
            clock: 0,
            pending: VecDeque::new(),
            proposed: None,
            owed: BTreeSet::new(),
            stale: false,
            by: None,
            declined: false,
            closed: BTreeMap::new(),
            ends: BTreeMap::new(),
            past: Past::default(),
            unproven: 0,
            former: VecDeque::new(),
            invited: BTreeMap::new(),
            closing: BTreeSet::new(),
            untold: BTreeMap::new(),
        };
        Self::with(log, kept, me)
    }

    fn with(log: Log, kept: Kept, me: &AccountName) -> Self {
        let mut group = Self {
            log,
            kept,
            title: String::new(),
            open: false,
            typing: BTreeMap::new(),
            due: None,
            missing: None,
            rounds: 0,
            asked: None,
            answers: answers::Answers::default(),
            shown: HashMap::new(),
            stopped: false,
            early: BTreeMap::new(),
            crowded: BTreeSet::new(),
            warned: HashSet::new(),
            tries: 0,
            refused: None,
            behind: 0,
            quiet: None,
            tallies: HashMap::new(),
            asking: past::Asking::default(),
            held: VecDeque::new(),
            without: BTreeSet::new(),
            ends_told: false,
            rows_told: BTreeSet::new(),
        };
        group.refresh(me);
        group
    }

    /// After the log has changed.
    fn refresh(&mut self, me: &AccountName) {
        let state = self.log.state();
        self.title = titled(&state.name);
        self.open = state.members.contains_key(me) && !state.deleted;
        self.typing.retain(|name, _| self.log.state().members.contains_key(name));
    }

    /// `#name`, harmless.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What it is about, harmless; empty for nothing.
    pub fn topic(&self) -> String {
        crate::text::line(&self.log.state().topic).trim().to_owned()
    }

    /// This account is a member, and the room is not deleted.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// The invitation was declined.
    pub fn is_declined(&self) -> bool {
        self.kept.declined
    }

    /// Who invited this account, when somebody did.
    pub fn inviter(&self) -> Option<&AccountName> {
        self.kept.by.as_ref()
    }

    /// What somebody may do; `None`: no member.
    pub fn role(&self, name: &AccountName) -> Option<Role> {
        self.log.state().role(name)
    }

    /// How many people are in.
    pub fn people(&self) -> usize {
        self.log.state().members.len()
    }

    /// Own operations that are not in the log yet.
    pub fn pending(&self) -> usize {
        self.kept.pending.len()
    }

    /// Which room it is, for all members.
    pub fn tag(&self) -> RoomTag {
        self.log.tag()
    }

    /// SHA-256 of what moves the room's head at the relay, handle ‖ secret: the same for all members.
    pub fn print_of_keys(&self) -> [u8; 32] {
        let Keys { handle, secret } = &self.kept.keys;
        Sha256::new().chain_update(handle).chain_update(secret).finalize().into()
    }

    /// Asks a member for what comes after this log.
    fn want(&self) -> Content {
        let talk = RoomTalk::Want { from: self.log.height() + 1 };
        Content::Room(AboutRoom { room: self.tag(), talk })
    }

    fn save(&self, room: RoomId, batch: &mut Batch) {
        let bytes = postcard::to_extend(&self.kept, vec![VERSION]).expect("it serialises: plain fields only");
        batch.put(GROUPS, room.0, bytes);
    }

    pub(super) fn load(store: &Store, room: RoomId, me: &AccountName) -> Result<Option<Box<Self>>, Error> {
        let damaged = || Error::Damaged("a room".into());
        let Some(bytes) = store.records.get(GROUPS, &room.0)? else { return Ok(None) };
        let kept = match bytes.split_first() {
            Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|_| damaged())?,
            // Without what came with later versions: empty, each of it a zero.
            Some((1, rest)) => postcard::from_bytes(&[rest, &[0; ADDED]].concat()).map_err(|_| damaged())?,
            Some((2, rest)) => postcard::from_bytes(&[rest, &[0; 4]].concat()).map_err(|_| damaged())?,
            Some((3, rest)) => postcard::from_bytes(&[rest, &[0; 3]].concat()).map_err(|_| damaged())?,
            Some((4, rest)) => postcard::from_bytes(&[rest, &[0; 2]].concat()).map_err(|_| damaged())?,
            Some((5, rest)) => postcard::from_bytes(&[rest, &[0]].concat()).map_err(|_| damaged())?,
            _ => return Err(damaged()),
        };
        let mut entries = Vec::new();
        let end = prefix_end(&room.0);
        for (_, bytes) in store.records.scan(LOGS, &room.0, &end, Order::Forward, usize::MAX)? {
            entries.push(Entry::decode(&bytes).map_err(|_| damaged())?);
        }
        let log = Log::restore(&entries).map_err(|_| damaged())?;
        let mut group = Self::with(log, kept, me);
        for (key, value) in store.records.scan(SHOWN, &room.0, &end, Order::Forward, usize::MAX)? {
            let device = key[16..].try_into().map(DeviceId).map_err(|_| damaged())?;
            group.shown.insert(device, postcard::from_bytes(&value).map_err(|_| damaged())?);
        }
        group.load_early(store, room)?;
        Ok(Some(Box::new(group)))
    }
}

/// Writes entries of a log.
fn save_entries(room: RoomId, entries: &[Entry], batch: &mut Batch) {
    for entry in entries {
        batch.put(LOGS, [room.0.as_slice(), &entry.height.to_be_bytes()].concat(), entry.encode());
    }
}

/// What a stored room of several is called, with its `#`, harmless; `None` when there is no such room.
///
/// # Errors
/// Those of the store.
pub fn title(store: &Store, room: RoomId) -> Result<Option<String>, Error> {
    let damaged = || Error::Damaged("a room".into());
    let mut entries = Vec::new();
    let end = prefix_end(&room.0);
    for (_, bytes) in store.records.scan(LOGS, &room.0, &end, Order::Forward, usize::MAX)? {
        entries.push(Entry::decode(&bytes).map_err(|_| damaged())?);
    }
    if entries.is_empty() {
        return Ok(None);
    }
    let log = Log::restore(&entries).map_err(|_| damaged())?;
    Ok(Some(titled(log.state().name.as_str())))
}

fn titled(name: &str) -> String {
    format!("#{}", crate::text::line(name).trim())
}

/// The conversation of a room: the same on all devices.
pub fn room_id(tag: RoomTag) -> RoomId {
    RoomId(tag.0)
}

impl Chat {
    /// A room of several.
    pub fn group(&self, room: RoomId) -> Option<&Group> {
        self.room(room)?.group.as_deref()
    }

    pub(super) fn group_mut(&mut self, room: RoomId) -> Option<&mut Group> {
        self.room_mut(room)?.group.as_deref_mut()
    }

    /// The rooms of several, with what was said there.
    pub fn groups(&self) -> impl Iterator<Item = (&Room, &Group)> {
        self.rooms.iter().filter_map(|room| Some((room, room.group.as_deref()?)))
    }

    /// The room that a person means by that name, with or without `#`.
    pub fn room_named(&self, name: &str) -> Option<&Room> {
        let wanted = name.trim().trim_start_matches('#').to_lowercase();
        let mut groups = self.groups();
        groups.find(|(_, group)| group.title()[1..].to_lowercase() == wanted).map(|(room, _)| room)
    }

    /// The rooms that may be meant by a number or a name, with or without `#`. Neither an invitation nor a
    /// room that is over takes the name of one that this account is in.
    pub fn rooms_meant(&self, name: &str) -> Vec<&Room> {
        let wanted = name.trim().trim_start_matches('#');
        if let Some((room, _)) = self.groups().find(|(room, _)| room.id.to_string() == wanted) {
            return vec![room];
        }
        let wanted = wanted.to_lowercase();
        let called = |group: &Group| group.title()[1..].to_lowercase() == wanted;
        let rank = |room: &Room, group: &Group| (!group.is_open(), room.person.is_request());
        let alike = self.groups().filter(|(_, group)| called(group));
        let alike: Vec<_> = alike.map(|(room, group)| (rank(room, group), room)).collect();
        let best = alike.iter().map(|(rank, _)| *rank).min();
        alike.into_iter().filter(|(rank, _)| Some(*rank) == best).map(|(_, room)| room).collect()
    }
}

impl Groups {
    /// The event is over.
    pub(super) fn settled(&mut self) {
        self.tallies.clear();
    }
}

impl Talk {
    fn save_group(&mut self, room: RoomId) {
        if let Some(group) = self.chat.rooms.iter().find(|r| r.id == room).and_then(|r| r.group.as_deref()) {
            group.save(room, &mut self.batch);
        }
    }

    fn group_ids(&self) -> Vec<RoomId> {
        self.chat.groups().map(|(room, _)| room.id).collect()
    }
}

const VERSION: u8 = 6;
/// Fields that version 1 did not have.
const ADDED: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use std::sync::Arc;
    use subrosa_shared::session::Identity;
    use subrosa_shared::session::roomlog::Policy;
    use subrosa_shared::store::memory::{Memory, MemorySlots};
    use subrosa_shared::time::Now;

    #[test]
    fn who_was_added_under_a_clock_ahead_is_not_invited_at_each_look() {
        let at = |seconds: u64| Now {
            wall: Millis(1_800_000_000_000 + seconds * 1000),
            mono: Millis(seconds * 1000),
        };
        let mut talk = crate::chat::tests::alone(at(0));
        let room = talk.found_room("club", &[], at(0)).expect("a name");
        let (me, ben) = (talk.chat.name.clone(), AccountName::parse("ben").expect("valid"));
        let add = Op::Add { account: ben.clone(), root: [1; 32], door: None };
        let log = &talk.chat.group(room).expect("begun").log;
        let entry = log.draft(&me, add, talk.sessions.identity(), at(3600).wall).expect("may");
        let group = talk.chat.group_mut(room).expect("begun");
        group.log.apply(&entry, &|_, _, _| true).expect("follows");
        group.kept.owed.insert(ben.clone());
        let invited = [10, 20, 30].map(|seconds| {
            talk.invite_again(room, again::Due::Time, at(seconds));
            talk.chat.group(room).expect("begun").kept.invited[&ben]
        });
        assert_eq!(invited, [at(10).wall; 3]);
    }

    #[test]
    fn what_earlier_versions_kept_of_a_room_is_read() {
        let identity = Identity::generate(&mut ChaCha20Rng::seed_from_u64(1));
        let ada = AccountName::parse("ada").expect("valid");
        let (root, policy) = (identity.peer().identity, Policy::default());
        let founded = Log::found(&ada, &root, "club", policy, [1; 16], &identity, Millis(0));
        let (first, log) = founded.expect("a name");
        let room = room_id(log.tag());
        let group = Group::new(log, Keys { handle: [1; 16], secret: [2; 32] }, &ada);
        for (version, later) in [(VERSION, 0), (5, 1), (4, 2), (3, 3), (2, 4), (1, ADDED)] {
            let store =
                Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) };
            let mut batch = Batch::default();
            group.save(room, &mut batch);
            save_entries(room, std::slice::from_ref(&first), &mut batch);
            store.commit(&batch).expect("memory");
            let mut bytes = store.records.get(GROUPS, &room.0).expect("memory").expect("saved");
            bytes.truncate(bytes.len() - later);
            bytes[0] = version;
            let mut batch = Batch::default();
            batch.put(GROUPS, room.0, bytes);
            store.commit(&batch).expect("memory");
            let read = Group::load(&store, room, &ada).expect("reads").expect("there");
            assert!(read.is_open() && read.kept.invited.is_empty(), "{version}");
        }
    }
}
