//! Files under way: what the person wants of each, how far it is, when it is tried again.

use crate::files::size_in_words;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;
use subrosa_shared::id::{MessageId, RoomId};
use subrosa_shared::protocol::blob::BlobId;
use subrosa_shared::store::{Batch, Error, Order, Store, Table};
use subrosa_shared::time::{Millis, Now};

/// Message id → version (1) ‖ [`Kept`]. The key of a file is in its line alone.
pub const TRANSFERS: Table = Table { byte: 0x50, name: "transfers" };

/// What is stored of a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// In which conversation.
    pub room: RoomId,
    /// Sent from this device; else it comes.
    pub up: bool,
    /// What its author calls it: foreign text when it comes.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// Where its bytes lie at the relay.
    pub blob: BlobId,
    /// When it was begun.
    pub at: Millis,
    /// What is to become of it.
    pub phase: Phase,
    /// Where the file lies (up), where it is or will be saved (down).
    #[serde(with = "path")]
    pub path: Option<PathBuf>,
    /// The message that tells of it has gone out.
    pub announced: bool,
    /// The relay went back in time: what was there is looked for once more.
    pub again: bool,
    /// The person wants it; else it is fetched by itself.
    pub asked: bool,
    /// The person named [`Kept::path`], and nothing was begun there yet.
    pub named: bool,
    /// It is kept only until what lies there of it is gone.
    pub forgotten: bool,
    /// Where it was saved before: half of it may lie in these folders, too.
    #[serde(with = "paths")]
    pub left: Vec<PathBuf>,
    /// It was saved there whole, and is wanted in another folder too.
    #[serde(with = "path")]
    pub saved: Option<PathBuf>,
}

impl Kept {
    /// It is not saved in that folder any more.
    pub(super) fn leaves(&mut self, folder: PathBuf) {
        self.left.push(folder);
        if self.left.len() > LEFT_MAX {
            self.left.remove(0);
        }
    }

    /// It goes to that folder.
    pub(super) fn lies(&mut self, folder: PathBuf) {
        if let Some(before) = self.path.take_if(|before| *before != folder) {
            self.leaves(before);
        }
        self.left.retain(|left| *left != folder);
        self.path = Some(folder);
    }

    fn read(stored: &[u8]) -> Option<Self> {
        let (version, rest) = stored.split_first()?;
        // What came with later versions: zeros.
        let lacks = match *version {
            VERSION => 0,
            4 => 1,
            3 => 2,
            2 => 5,
            1 => 6,
            _ => return None,
        };
        postcard::from_bytes(&[rest, &[0; 6][..lacks]].concat()).ok()
    }
}

/// What is to become of a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// The person has not said that they want it.
    Offered,
    /// It goes on whenever it can.
    Active,
    /// The person halted it.
    Paused,
    /// All of it is there; a download at [`Kept::path`].
    Done,
    /// It will not come by itself; a sentence.
    Failed(String),
    /// The person does not want it; what the relay has of it is still to be freed.
    Cancelling,
    /// The same, and nothing is left to do.
    Cancelled,
}

/// One file on its way.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// Of its message.
    pub id: MessageId,
    /// What is stored.
    pub kept: Kept,
    /// Bytes of the file that are there.
    pub done: u64,
    /// What happens at this moment.
    pub(super) run: Run,
    /// Where it was at some moments of the last seconds.
    samples: VecDeque<(Millis, u64)>,
    /// How often it was tried in vain since it last went on.
    pub(super) tries: u32,
}

/// What happens at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// Nothing: it waits for its turn, or for a connection.
    Idle,
    /// An order was given for it.
    Going,
    /// Not before that (monotonic), and why.
    Waits(Millis, String),
}

/// How long a rate looks back.
const WINDOW: Duration = Duration::from_secs(8);
/// The first wait after a failure that passes; doubles up to [`WAIT_MAX`].
const WAIT: Duration = Duration::from_secs(2);
/// See [`WAIT`].
const WAIT_MAX: Duration = Duration::from_secs(60);
/// For how long relays keep files, when their owners do not say otherwise.
const LASTS: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often a file is asked for that a relay forgot.
const TRIES: u32 = 10;
/// Folders in which half of a file may lie.
const LEFT_MAX: usize = 8;
/// Transfers that are kept once they are over.
const OLD_MAX: usize = 100;

impl Transfer {
    /// A new one.
    pub(super) fn new(id: MessageId, kept: Kept) -> Self {
        Self { id, kept, done: 0, run: Run::Idle, samples: VecDeque::new(), tries: 0 }
    }

    /// Everything that the store holds, newest first, and what is to be forgotten, as old ones that are over are.
    pub(super) fn load(store: &Store) -> Result<(Vec<Self>, Vec<Self>), Error> {
        let damaged = || Error::Damaged("a transfer of a file".into());
        let mut all = Vec::new();
        for (key, value) in store.records.scan(TRANSFERS, &[], &[], Order::Forward, usize::MAX)? {
            let id = MessageId(key.try_into().map_err(|_| damaged())?);
            let kept = Kept::read(&value).ok_or_else(damaged)?;
            let mut transfer = Self::new(id, kept);
            if transfer.kept.phase == Phase::Done {
                transfer.done = transfer.kept.size;
            }
            all.push(transfer);
        }
        all.sort_by(|a, b| b.kept.at.cmp(&a.kept.at).then_with(|| a.id.cmp(&b.id)));
        let mut old = 0;
        let forgotten = all.extract_if(.., |transfer| {
            old += usize::from(transfer.is_over());
            transfer.kept.forgotten || (transfer.is_over() && old > OLD_MAX)
        });
        let forgotten = forgotten.collect();
        Ok((all, forgotten))
    }

    /// One that the store holds.
    pub(super) fn get(store: &Store, id: MessageId) -> Result<Option<Self>, Error> {
        let Some(value) = store.records.get(TRANSFERS, &id.0)? else { return Ok(None) };
        let kept = Kept::read(&value).ok_or_else(|| Error::Damaged("a transfer of a file".into()))?;
        Ok(Some(Self::new(id, kept)))
    }

    pub(super) fn save(&self, batch: &mut Batch) {
        let value = postcard::to_extend(&self.kept, vec![VERSION]).expect("plain fields only");
        batch.put(TRANSFERS, self.id.0, value);
    }

    /// The folders in which half of it may lie, readable.
    pub(super) fn halves(&self) -> impl Iterator<Item = &PathBuf> {
        let Kept { up, phase, path, left, .. } = &self.kept;
        let half = !up && *phase != Phase::Done;
        path.iter().filter(move |_| half).chain(left)
    }

    /// Nothing more becomes of it.
    pub fn is_over(&self) -> bool {
        matches!(self.kept.phase, Phase::Done | Phase::Failed(_) | Phase::Cancelled)
    }

    /// Whether an order is to be given for it as soon as there is a connection.
    pub(super) fn wants_turn(&self, now: Now) -> bool {
        let due = match &self.run {
            Run::Idle => true,
            Run::Going => false,
            Run::Waits(until, _) => *until <= now.mono,
        };
        due && matches!(self.kept.phase, Phase::Active | Phase::Cancelling)
    }

    pub(super) fn due(&self) -> Option<Millis> {
        match &self.run {
            Run::Waits(until, _) if matches!(self.kept.phase, Phase::Active | Phase::Cancelling) => {
                Some(*until)
            }
            _ => None,
        }
    }

    /// The relay went back in time: it may lack what it had, and have what was taken back.
    pub(super) fn rewound(&mut self, now: Now) {
        let recent = now.wall.since(self.kept.at) < LASTS;
        match (self.kept.up, &self.kept.phase) {
            (true, Phase::Done) if recent => {
                (self.kept.phase, self.kept.again) = (Phase::Active, true);
                (self.done, self.tries) = (0, 0);
            }
            (true, Phase::Cancelled) if recent => self.kept.phase = Phase::Cancelling,
            // Whoever sent it brings it again.
            (false, Phase::Active) => (self.kept.again, self.tries) = (true, 0),
            _ => {}
        }
    }

    /// What the relay does not have, though it had it once, may come: it is tried again for some minutes.
    pub(super) fn may_come(&self) -> bool {
        self.kept.again && !self.kept.up && self.tries < TRIES
    }

    /// An order for it is carried out. Of what waits for its turn that is said of an order before.
    pub(super) fn goes(&mut self) {
        if self.run != Run::Idle {
            self.run = Run::Going;
        }
    }

    /// It goes on.
    pub(super) fn moved(&mut self, done: u64, now: Now) {
        if done > self.done {
            self.tries = 0;
        }
        self.done = done.min(self.kept.size);
        self.samples.push_back((now.mono, self.done));
        while self.samples.len() > 2
            && self.samples.front().is_some_and(|(at, _)| now.mono.since(*at) > WINDOW)
        {
            self.samples.pop_front();
        }
    }

    /// It stopped, and is tried again later.
    pub(super) fn later(&mut self, why: String, now: Now) {
        let wait = (WAIT * 2u32.saturating_pow(self.tries.min(8))).min(WAIT_MAX);
        self.tries = self.tries.saturating_add(1);
        self.run = Run::Waits(now.mono.plus(wait), why);
        self.samples.clear();
    }

    /// It stopped.
    pub(super) fn rest(&mut self) {
        self.run = Run::Idle;
        self.samples.clear();
    }

    /// Bytes a second over the last seconds; `None` while that cannot be told.
    pub fn rate(&self) -> Option<u64> {
        let ((from, first), (to, last)) = (self.samples.front()?, self.samples.back()?);
        let millis = to.since(*from).as_millis() as u64;
        (millis >= 500 && last >= first).then(|| (last - first) * 1000 / millis)
    }

    /// How far it is, in words.
    pub fn said(&self) -> String {
        let percent = (self.done * 100).checked_div(self.kept.size).unwrap_or(100);
        let of = format!("{percent} % of {}", size_in_words(self.kept.size));
        match (&self.kept.phase, &self.run) {
            (Phase::Offered, _) => "/files save fetches it".into(),
            (Phase::Paused, _) => format!("paused at {of}; /files resume goes on"),
            (Phase::Done, _) if self.kept.up => "sent".into(),
            (Phase::Done, _) => match &self.kept.path {
                Some(path) => format!("saved as {}", path.display()),
                None => "saved".into(),
            },
            (Phase::Failed(why), _) => match &self.kept.saved {
                Some(saved) => format!("{why}; it was saved before as {}", saved.display()),
                None => why.clone(),
            },
            (Phase::Cancelling | Phase::Cancelled, _) if self.kept.up => "taken back".into(),
            (Phase::Cancelling | Phase::Cancelled, _) => "not wanted".into(),
            (Phase::Active, Run::Waits(_, why)) => format!("waits at {of}: {why}"),
            (Phase::Active, Run::Idle) => format!("waits at {of}"),
            (Phase::Active, Run::Going) => match self.rate().filter(|rate| *rate > 0) {
                Some(rate) => {
                    let left = (self.kept.size - self.done).div_ceil(rate);
                    format!("{of}, {}/s, {} left", size_in_words(rate), time_in_words(left))
                }
                None => of,
            },
        }
    }

    /// In one word, for scripts.
    pub fn word(&self) -> &'static str {
        match (&self.kept.phase, &self.run) {
            (Phase::Offered, _) => "offered",
            (Phase::Active, Run::Going) if self.kept.up => "uploading",
            (Phase::Active, Run::Going) => "downloading",
            (Phase::Active, _) => "waiting",
            (Phase::Paused, _) => "paused",
            (Phase::Done, _) => "done",
            (Phase::Failed(_), _) => "failed",
            (Phase::Cancelling | Phase::Cancelled, _) => "cancelled",
        }
    }

    /// Why it does not go on, when it does not.
    pub fn why(&self) -> &str {
        match (&self.kept.phase, &self.run) {
            (Phase::Failed(why), _) | (Phase::Active, Run::Waits(_, why)) => why,
            _ => "",
        }
    }
}

/// A time that is left: `8 s`, `2 min`, `3 h`.
fn time_in_words(seconds: u64) -> String {
    match seconds {
        0..90 => format!("{seconds} s"),
        90..5400 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h", seconds.div_ceil(3600)),
    }
}

const VERSION: u8 = 5;

/// A path as its bytes, since not every path is text. One that is stands there as text would.
mod path {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::path::{Path, PathBuf};

    pub fn serialize<S: Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
        path.as_deref().map(bytes).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<Vec<u8>>::deserialize(from)?.map(of))
    }

    pub fn bytes(path: &Path) -> Vec<u8> {
        #[cfg(unix)]
        let text = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
        #[cfg(not(unix))]
        let text = path.to_string_lossy().into_owned().into_bytes();
        text.to_vec()
    }

    pub fn of(bytes: Vec<u8>) -> PathBuf {
        #[cfg(unix)]
        let text = <std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(bytes);
        #[cfg(not(unix))]
        let text = String::from_utf8_lossy(&bytes).into_owned();
        PathBuf::from(text)
    }
}

/// Several of them.
mod paths {
    use super::path::{bytes, of};
    use serde::{Deserialize, Deserializer, Serializer};
    use std::path::PathBuf;

    pub fn serialize<S: Serializer>(paths: &[PathBuf], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(paths.iter().map(|path| bytes(path)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PathBuf>, D::Error> {
        Ok(Vec::<Vec<u8>>::deserialize(from)?.into_iter().map(of).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(mono: u64) -> Now {
        Now { wall: Millis(mono), mono: Millis(mono) }
    }

    fn transfer() -> Transfer {
        let kept = Kept {
            room: RoomId([1; 16]),
            up: false,
            name: "a".into(),
            size: 10_000_000,
            blob: BlobId([3; 16]),
            at: Millis(1),
            phase: Phase::Active,
            path: None,
            announced: false,
            again: false,
            asked: false,
            named: false,
            forgotten: false,
            left: Vec::new(),
            saved: None,
        };
        Transfer::new(MessageId([2; 16]), kept)
    }

    #[test]
    fn rate_and_time_left_are_of_the_last_seconds() {
        let mut transfer = transfer();
        transfer.run = Run::Going;
        transfer.moved(0, now(0));
        assert_eq!(transfer.said(), "0 % of 10.0 MB");
        for second in 1..=20 {
            // Slow at first.
            let done = if second <= 10 { second * 1000 } else { 10_000 + (second - 10) * 500_000 };
            transfer.moved(done, now(second * 1000));
        }
        assert_eq!(transfer.rate(), Some(500_000));
        assert_eq!(transfer.said(), "50 % of 10.0 MB, 500.0 kB/s, 10 s left");
        assert_eq!([0, 89, 91, 5400].map(time_in_words), ["0 s", "89 s", "2 min", "2 h"]);
    }

    #[test]
    fn it_waits_longer_each_time_and_not_once_it_went_on() {
        let mut transfer = transfer();
        let mut waits = Vec::new();
        for _ in 0..7 {
            transfer.later("x".into(), now(0));
            assert!(!transfer.wants_turn(now(0)));
            waits.push(transfer.due().expect("waits").0 / 1000);
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60]);
        transfer.moved(5, now(0));
        transfer.later("x".into(), now(0));
        assert_eq!(transfer.due(), Some(Millis(2000)));
        assert!(transfer.wants_turn(now(2000)));
        transfer.kept.phase = Phase::Paused;
        assert!(!transfer.wants_turn(now(9000)) && transfer.due().is_none());
    }

    fn store() -> Store {
        use std::sync::Arc;
        use subrosa_shared::store::memory::{Memory, MemorySlots};
        Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) }
    }

    #[test]
    fn it_is_kept() {
        let (store, mut batch) = (store(), Batch::default());
        for number in 0..=OLD_MAX as u8 {
            let mut old = transfer();
            (old.id, old.kept.phase) = (MessageId([number; 16]), Phase::Done);
            old.kept.at = Millis(number.into());
            old.save(&mut batch);
        }
        let mut live = transfer();
        live.id = MessageId([0xee; 16]);
        live.save(&mut batch);
        store.commit(&batch).expect("memory");
        let (all, forgotten) = Transfer::load(&store).expect("reads");
        assert_eq!(all.len(), OLD_MAX + 1, "the oldest is forgotten");
        assert_eq!(forgotten.iter().map(|old| old.id).collect::<Vec<_>>(), [MessageId([0; 16])]);
        assert!(all.iter().any(|transfer| transfer.kept == live.kept));
    }

    #[test]
    fn what_earlier_versions_stored_is_read() {
        let (store, transfer) = (store(), transfer());
        let stored = postcard::to_stdvec(&transfer.kept).expect("plain");
        for (version, lacks) in [(1, 6), (2, 5), (3, 2), (4, 1)] {
            let (before, _) = stored.split_at(stored.len() - lacks);
            let mut batch = Batch::default();
            batch.put(TRANSFERS, transfer.id.0, [&[version][..], before].concat());
            store.commit(&batch).expect("memory");
            let (all, _) = Transfer::load(&store).expect("reads");
            assert_eq!(all[0].kept, transfer.kept);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_whose_name_is_no_text_is_kept_too() {
        let (store, mut batch, mut transfer) = (store(), Batch::default(), transfer());
        let folder: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"/T\xe9l");
        transfer.kept.path = Some(folder.into());
        transfer.kept.left = vec![folder.into(), "/films".into()];
        transfer.kept.saved = Some(folder.into());
        transfer.save(&mut batch);
        store.commit(&batch).expect("memory");
        let (all, _) = Transfer::load(&store).expect("reads");
        assert_eq!(all[0].kept, transfer.kept);
        // Of earlier versions, which stored text alone.
        transfer.kept.path = Some("/films".into());
        let stored = postcard::to_stdvec(&transfer.kept).expect("plain");
        let text = postcard::to_stdvec(&Some("/films")).expect("plain");
        assert!(stored.windows(text.len()).any(|part| part == text), "{stored:?}");
        assert_eq!(postcard::from_bytes::<Kept>(&stored), Ok(transfer.kept));
    }
}
