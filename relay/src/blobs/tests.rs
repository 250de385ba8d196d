//! The blob store, on disk and in memory alike.

use super::*;
use crate::config::Rate;
use std::net::Ipv4Addr;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use subrosa_shared::protocol::blob::UNIT;
use subrosa_shared::store::memory::{Memory as Records, Rule, Ruled};

const ADA: Conn = Conn(1);
const BEN: Conn = Conn(2);
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ID: BlobId = BlobId([7; 16]);
const SIZE: u64 = 2 * UNIT + 100;

fn at(millis: u64) -> Now {
    Now { wall: Millis(1_700_000_000_000 + millis), mono: Millis(millis) }
}

/// A store of blobs that can be started again on what it left.
struct Stage {
    kv: Arc<Records>,
    place: Place,
    limits: Limits,
    blobs: Arc<Blobs>,
    _dir: tempfile::TempDir,
}

impl Stage {
    fn new(limits: Limits, on_disk: bool) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let kv = Arc::new(Records::default());
        let place = match on_disk {
            true => Place::Folder(dir.path().join("files")),
            false => Place::Memory(Memory::default()),
        };
        let blobs = Blobs::load(kv.clone(), place.clone(), &limits, Arc::default()).expect("nothing there");
        let stage = Self { kv, place, limits, blobs, _dir: dir };
        stage.log_in();
        stage
    }

    fn restart(&mut self) {
        let (kv, place) = (self.kv.clone(), self.place.clone());
        self.blobs = Blobs::load(kv, place, &self.limits, Arc::default()).expect("reads");
        self.log_in();
    }

    fn log_in(&self) {
        for (conn, name) in [(ADA, "ada"), (BEN, "ben")] {
            let name = AccountName::parse(name).expect("valid");
            self.blobs.login(conn, HOME, &name, DeviceId([conn.0 as u8; 16]));
        }
    }

    fn put(&self, conn: Conn, id: BlobId, size: u64) -> Result<Upload, Refusal> {
        self.blobs.put(conn, id, size, at(0))
    }

    fn all(&self, id: BlobId) -> Vec<u8> {
        let mut download = self.blobs.get(BEN, id, 0, at(0)).expect("there");
        let mut all = Vec::new();
        loop {
            let piece = download.read(1000).expect("reads");
            if piece.is_empty() {
                return all;
            }
            all.extend_from_slice(&piece);
        }
    }
}

fn both(limits: &Limits, mut story: impl FnMut(Stage)) {
    for on_disk in [true, false] {
        story(Stage::new(limits.clone(), on_disk));
    }
}

fn bytes(length: u64) -> Vec<u8> {
    (0..length).map(|i| (i % 251) as u8).collect()
}

#[test]
fn what_was_synced_is_there_after_a_crash_and_the_rest_is_written_again() {
    both(&Limits::default(), |mut stage| {
        let want = bytes(SIZE);
        let mut upload = stage.put(ADA, ID, SIZE).expect("begun");
        upload.write(&want[..UNIT as usize + 10]).expect("written");
        assert_eq!(upload.sync(at(1)), Ok(UNIT), "whole units count");
        upload.write(&want[UNIT as usize + 10..]).expect("written");
        // Not dropped as after an orderly end: the process is gone.
        std::mem::forget(upload);
        stage.restart();
        let mut upload = stage.put(ADA, ID, SIZE).expect("goes on");
        assert_eq!(upload.stored(), UNIT);
        assert_eq!(stage.all(ID), want[..UNIT as usize]);
        upload.write(&want[UNIT as usize..]).expect("written");
        assert_eq!(upload.write(&[0]), Err(Refusal::Malformed), "more than it said");
        assert_eq!(upload.sync(at(2)), Ok(SIZE));
        drop(upload);
        assert_eq!(stage.all(ID), want);
        stage.restart();
        assert_eq!(stage.all(ID), want);
        assert_eq!(stage.put(ADA, ID, SIZE).expect("again").stored(), SIZE, "nothing is left to do");
        assert_eq!(stage.blobs.stat(BEN, ID, at(0)), Ok((SIZE, SIZE)));
    });
}

#[test]
fn readers_see_what_counts_as_it_comes() {
    both(&Limits::default(), |stage| {
        let want = bytes(SIZE);
        let mut upload = stage.put(ADA, ID, SIZE).expect("begun");
        let mut download = stage.blobs.get(BEN, ID, 0, at(0)).expect("there");
        assert_eq!(download.read(1 << 20).expect("nothing yet"), []);
        upload.write(&want[..2 * UNIT as usize - 1]).expect("written");
        upload.sync(at(1)).expect("synced");
        assert!(download.progress.has_changed().expect("the upload lives"));
        assert_eq!(download.read(1 << 20).expect("reads"), want[..UNIT as usize]);
        upload.write(&want[2 * UNIT as usize - 1..]).expect("written");
        upload.sync(at(2)).expect("synced");
        drop(upload);
        assert_eq!(download.read(1 << 20).expect("reads"), want[UNIT as usize..]);
        assert!(download.is_over());
        let mut rest = stage.blobs.get(BEN, ID, SIZE - 3, at(0)).expect("there");
        assert_eq!(rest.read(100).expect("reads"), want[SIZE as usize - 3..]);
        assert_eq!(stage.blobs.get(BEN, ID, SIZE + 1, at(0)).err(), Some(Refusal::Malformed));
    });
}

#[test]
fn only_its_owner_goes_on_with_a_blob_or_deletes_it_and_that_frees_the_disk() {
    both(&Limits::default(), |stage| {
        let mut upload = stage.put(ADA, ID, SIZE).expect("begun");
        upload.write(&bytes(UNIT)).expect("written");
        upload.sync(at(0)).expect("synced");
        assert_eq!(stage.put(BEN, ID, SIZE).err(), Some(Refusal::NotAllowed));
        assert_eq!(stage.put(ADA, ID, SIZE + 1).err(), Some(Refusal::NotAllowed), "another size");
        assert_eq!(stage.put(Conn(9), ID, SIZE).err(), Some(Refusal::NotAllowed), "nobody");
        assert_eq!(stage.blobs.delete(BEN, ID, at(0)), Err(Refusal::NotAllowed));
        let download = stage.blobs.get(BEN, ID, 0, at(0)).expect("there");
        assert!(stage.place.bytes().expect("reads") > 0);
        assert_eq!(stage.blobs.delete(ADA, ID, at(0)), Ok(()));
        assert_eq!((stage.place.bytes().expect("reads"), stage.blobs.total()), (0, 0));
        assert_eq!(*download.progress.borrow(), Progress::Gone, "who reads along hears of it");
        assert_eq!(upload.write(&[1]), Err(Refusal::Gone));
        assert_eq!(upload.sync(at(0)), Err(Refusal::Gone));
        assert_eq!(stage.blobs.get(BEN, ID, 0, at(0)).err(), Some(Refusal::Gone));
        assert_eq!(stage.blobs.delete(ADA, ID, at(0)), Ok(()), "twice is once");
    });
}

type Deed = Box<dyn FnOnce() + Send>;

/// Records where somebody else comes in between a look at them and what follows from it.
#[derive(Default)]
struct Gap {
    other: Mutex<Option<Deed>>,
    came: Mutex<Option<JoinHandle<()>>>,
}

impl Rule for Gap {
    fn got(&self) {
        let Some(other) = lock(&self.other).take() else { return };
        let (done, is_done) = mpsc::channel();
        let other = thread::spawn(move || {
            other();
            let _ = done.send(());
        });
        // Where the other one has to wait for this one, this one goes on.
        let _ = is_done.recv_timeout(Duration::from_millis(50));
        *lock(&self.came) = Some(other);
    }
}

#[test]
fn nobody_comes_in_between_a_look_at_the_index_and_what_follows_from_it() {
    let (kv, place) = (Arc::new(Ruled::<Gap>::default()), Place::Memory(Memory::default()));
    let blobs = Blobs::load(kv.clone(), place.clone(), &Limits::default(), Arc::default()).expect("none");
    blobs.login(ADA, HOME, &AccountName::parse("ada").expect("valid"), DeviceId([1; 16]));
    let between = |deed: fn(&Arc<Blobs>)| {
        let blobs = blobs.clone();
        *lock(&kv.rule.other) = Some(Box::new(move || deed(&blobs)));
    };
    let came = || lock(&kv.rule.came).take().expect("somebody came").join().expect("did it");
    let delete = |blobs: &Arc<Blobs>| blobs.delete(ADA, ID, at(0)).expect("its own");
    let other = BlobId([8; 16]);
    drop(blobs.put(ADA, other, SIZE, at(0)).expect("begun"));

    between(|blobs| drop(blobs.put(ADA, ID, SIZE, at(0)).expect("begun, or goes on")));
    drop(blobs.put(ADA, ID, SIZE, at(0)).expect("begun, or goes on"));
    came();
    assert_eq!((blobs.total(), blobs.count()), (2 * SIZE, 2), "two begin the same");

    let mut upload = blobs.put(ADA, ID, SIZE, at(0)).expect("goes on");
    upload.write(&bytes(SIZE)).expect("written");
    between(delete);
    // Before it is deleted, or too late.
    assert!(matches!(upload.sync(at(1)), Ok(SIZE) | Err(Refusal::Gone)));
    came();
    assert_eq!(blobs.stat(ADA, ID, at(1)), Err(Refusal::Gone), "deleted while it was synced");
    assert_eq!((blobs.total(), blobs.count(), place.bytes().expect("memory")), (SIZE, 1, 0));

    drop(blobs.put(ADA, ID, SIZE, at(1)).expect("begun"));
    between(delete);
    delete(&blobs);
    came();
    assert_eq!((blobs.total(), blobs.count()), (SIZE, 1), "two delete the same");

    drop(blobs.put(ADA, ID, SIZE, at(1)).expect("begun"));
    between(delete);
    blobs.sweep(&Ages::new(at(99 * 24 * HOUR_MS)), &[]).expect("sweeps");
    came();
    assert_eq!((blobs.total(), blobs.count()), (0, 0), "deleted while it was swept");
}

#[test]
fn a_file_that_completes_while_somebody_opens_it_is_read_to_its_end() {
    let kv = Arc::new(Ruled::<Gap>::default());
    let place = Place::Memory(Memory::default());
    let blobs = Blobs::load(kv.clone(), place, &Limits::default(), Arc::default()).expect("none");
    blobs.login(ADA, HOME, &AccountName::parse("ada").expect("valid"), DeviceId([1; 16]));
    let mut upload = blobs.put(ADA, ID, SIZE, at(0)).expect("begun");
    upload.write(&bytes(SIZE)).expect("written");
    let ends = move || assert_eq!(upload.sync(at(1)), Ok(SIZE));
    *lock(&kv.rule.other) = Some(Box::new(ends));
    let mut first = blobs.get(ADA, ID, 0, at(1)).expect("there");
    lock(&kv.rule.came).take().expect("somebody came").join().expect("did it");
    let mut second = blobs.get(ADA, ID, 0, at(1)).expect("there");
    for download in [&mut first, &mut second] {
        assert_eq!(download.read(SIZE as usize).expect("reads"), bytes(SIZE));
    }
}

#[test]
fn what_cannot_be_begun_takes_no_place() {
    let dir = tempfile::tempdir().expect("a folder");
    let (kv, folder) = (Arc::new(Records::default()), dir.path().join("files"));
    let place = Place::Folder(folder.clone());
    let blobs = Blobs::load(kv, place, &Limits::default(), Arc::default()).expect("none");
    blobs.login(ADA, HOME, &AccountName::parse("ada").expect("valid"), DeviceId([1; 16]));
    // A file cannot be made there.
    std::fs::remove_dir(&folder).expect("empty");
    assert_eq!(blobs.put(ADA, ID, SIZE, at(0)).err(), Some(Refusal::Internal));
    assert_eq!((blobs.total(), blobs.stat(ADA, ID, at(0))), (0, Err(Refusal::Gone)));
}

#[test]
fn a_newer_upload_of_the_same_blob_takes_over() {
    both(&Limits::default(), |stage| {
        let mut old = stage.put(ADA, ID, SIZE).expect("begun");
        old.write(&bytes(UNIT)).expect("written");
        old.sync(at(0)).expect("synced");
        let mut new = stage.put(ADA, ID, SIZE).expect("goes on");
        assert_eq!(new.stored(), UNIT);
        assert_eq!(old.write(&[1]), Err(Refusal::Superseded));
        drop(old);
        new.write(&bytes(SIZE)[UNIT as usize..]).expect("written");
        assert_eq!(new.sync(at(1)), Ok(SIZE));
        assert_eq!(stage.all(ID), bytes(SIZE));
    });
}

#[test]
fn size_shares_and_rates_are_bounded() {
    let limits = Limits {
        file_bytes: 10_000,
        account_file_bytes: 12_000,
        total_file_bytes: 17_000,
        file_requests: Rate { per_minute: 1, burst: 6 },
        ..Limits::default()
    };
    both(&limits, |mut stage| {
        let id = |number| BlobId([number; 16]);
        assert_eq!(stage.put(ADA, id(1), 10_001).err(), Some(Refusal::TooLarge { max: 10_000 }));
        assert!(stage.put(ADA, id(1), 10_000).is_ok());
        let quota = Refusal::QuotaReached { quota: 12_000 };
        assert_eq!(stage.put(ADA, id(2), 1).err(), Some(quota), "a small one takes its place too");
        assert_eq!(stage.put(BEN, id(3), 8_000).err(), Some(Refusal::StorageFull));
        assert!(stage.put(BEN, id(2), 6_000).is_ok());
        stage.restart();
        assert_eq!(stage.put(ADA, id(2), 1).err(), Some(Refusal::NotAllowed), "somebody else's");
        assert_eq!(stage.put(ADA, id(4), 1).err(), Some(quota), "shares are known after a restart");
        assert_eq!(stage.blobs.delete(ADA, id(1), at(0)), Ok(()));
        assert!(stage.put(ADA, id(4), 1).is_ok());
        assert_eq!(stage.put(ADA, id(5), 0).err(), Some(Refusal::Malformed));
        assert!(stage.put(ADA, id(4), 1).is_ok());
        let limited = stage.put(ADA, id(4), 1).err();
        assert!(matches!(limited, Some(Refusal::RateLimited { .. })), "{limited:?}");
    });
}

#[test]
fn complete_and_half_ones_go_when_their_time_is_over() {
    const DAY: u64 = 24 * HOUR_MS;
    let limits = Limits { file_days: 30, half_file_hours: 72, ..Limits::default() };
    both(&limits, |stage| {
        let half = BlobId([8; 16]);
        let mut upload = stage.put(ADA, ID, SIZE).expect("begun");
        upload.write(&bytes(SIZE)).expect("written");
        upload.sync(at(DAY)).expect("synced");
        let mut begun = stage.put(ADA, half, SIZE).expect("begun");
        begun.write(&bytes(UNIT)).expect("written");
        begun.sync(at(DAY)).expect("synced");
        let there = |id| stage.blobs.entry(id).expect("reads").is_some();
        stage.blobs.sweep(&Ages::new(at(4 * DAY)), &[]).expect("sweeps");
        assert!(there(ID) && there(half));
        stage.blobs.sweep(&Ages::new(at(4 * DAY + 1)), &[]).expect("sweeps");
        assert!(there(ID) && !there(half));
        stage.blobs.sweep(&Ages::new(at(31 * DAY)), &[]).expect("sweeps");
        assert!(there(ID));
        stage.blobs.sweep(&Ages::new(at(31 * DAY + 1)), &[]).expect("sweeps");
        assert!(!there(ID));
        assert_eq!((stage.place.bytes().expect("reads"), stage.blobs.total()), (0, 0));
    });
}

#[test]
fn a_crash_leaves_no_bytes_without_an_entry_and_no_entry_without_its_bytes() {
    both(&Limits::default(), |mut stage| {
        let mut upload = stage.put(ADA, ID, SIZE).expect("begun");
        upload.write(&bytes(SIZE)).expect("written");
        upload.sync(at(0)).expect("synced");
        stage.place.append(BlobId([9; 16]), 0).and_then(|mut orphan| orphan.write(b"x")).expect("written");
        stage.restart();
        assert_eq!(stage.place.bytes().expect("reads"), SIZE, "the other one is gone");
        stage.place.remove(ID).expect("removed");
        stage.restart();
        assert_eq!(stage.blobs.stat(BEN, ID, at(0)), Err(Refusal::Gone));
        assert_eq!(stage.blobs.total(), 0);
    });
}

#[test]
fn what_was_begun_keeps_its_room_and_nobody_writes_into_the_reserve() {
    let mut stage = Stage::new(Limits::default(), false);
    let Place::Memory(memory) = stage.place.clone() else { panic!("in memory") };
    memory.leave(4 * UNIT);
    let (other, third) = (BlobId([8; 16]), BlobId([9; 16]));
    let mut upload = stage.put(ADA, ID, 3 * UNIT).expect("begun");
    assert_eq!(stage.put(BEN, other, 2 * UNIT).err(), Some(Refusal::StorageFull), "promised already");
    upload.write(&bytes(2 * UNIT)).expect("written");
    upload.sync(at(1)).expect("synced");
    assert_eq!(stage.put(BEN, other, 2 * UNIT).err(), Some(Refusal::StorageFull));
    drop(stage.put(BEN, other, UNIT).expect("what is there is promised no more"));
    drop(upload);
    stage.restart();
    assert_eq!(stage.put(BEN, third, 1).err(), Some(Refusal::StorageFull), "known after a restart");
    assert_eq!(stage.blobs.delete(BEN, other, at(1)), Ok(()));
    drop(stage.put(BEN, third, 1).expect("there is room again"));
    let mut upload = stage.put(ADA, ID, 3 * UNIT).expect("goes on");
    memory.leave(2 * UNIT);
    assert_eq!(upload.write(&[1]), Err(Refusal::StorageFull), "somebody else took it");
    memory.leave(4 * UNIT);
    upload.write(&bytes(UNIT)).expect("written");
    assert_eq!(upload.sync(at(2)), Ok(3 * UNIT));
}

#[test]
fn only_what_counts_is_synced() {
    let stage = Stage::new(Limits::default(), false);
    let Place::Memory(memory) = stage.place.clone() else { panic!("in memory") };
    let mut upload = stage.put(ADA, ID, SIZE).expect("begun");
    for byte in 0..3 {
        upload.write(&[byte]).expect("written");
        assert_eq!(upload.sync(at(1)), Ok(0));
    }
    assert_eq!(memory.syncs(), 0);
    upload.write(&bytes(UNIT - 3)).expect("written");
    for _ in 0..3 {
        assert_eq!(upload.sync(at(2)), Ok(UNIT));
    }
    assert_eq!(memory.syncs(), 1);
}

/// Records on a disk that has no room for so many commits to come.
#[derive(Default)]
struct Tight {
    refuses: Mutex<u32>,
    commits: Mutex<u32>,
}

impl Rule for Tight {
    fn commit(&self, records: &Records, writes: &[Write]) -> Result<(), store::Error> {
        let mut refuses = lock(&self.refuses);
        if *refuses > 0 {
            *refuses -= 1;
            return Err(store::Error::Full);
        }
        *lock(&self.commits) += 1;
        records.commit(writes)
    }
}

/// Two blobs of two units, of which one counts.
fn two_halves(kv: &Arc<Ruled<Tight>>, place: &Place) -> (Arc<Blobs>, [BlobId; 2]) {
    let blobs = Blobs::load(kv.clone(), place.clone(), &Limits::default(), Arc::default()).expect("none");
    blobs.login(ADA, HOME, &AccountName::parse("ada").expect("valid"), DeviceId([1; 16]));
    let ids = [ID, BlobId([8; 16])];
    for id in ids {
        let mut upload = blobs.put(ADA, id, 2 * UNIT, at(0)).expect("begun");
        upload.write(&bytes(UNIT)).expect("written");
        upload.sync(at(0)).expect("synced");
    }
    (blobs, ids)
}

#[test]
fn a_full_disk_gives_the_bytes_back_and_the_index_follows_once_it_can() {
    let late = at(99 * 24 * HOUR_MS);
    let (kv, place) = (Arc::new(Ruled::<Tight>::default()), Place::Memory(Memory::default()));
    let (blobs, ids) = two_halves(&kv, &place);
    let mut upload = blobs.put(ADA, ID, 2 * UNIT, late).expect("goes on");
    *lock(&kv.rule.refuses) = 2;
    assert!(blobs.sweep(&Ages::new(late), &[]).is_ok(), "it goes on to the next");
    assert_eq!(place.bytes().expect("memory"), 0);
    assert_eq!((blobs.total(), blobs.count()), (4 * UNIT, 2), "as the index says");
    assert_eq!(upload.write(&[1]), Err(Refusal::Gone));
    drop(upload);
    for id in ids {
        assert_eq!(blobs.stat(ADA, id, late), Err(Refusal::Gone));
        assert_eq!(blobs.get(ADA, id, 0, late).err(), Some(Refusal::Gone));
        assert_eq!(blobs.put(ADA, id, 2 * UNIT, late).err(), Some(Refusal::StorageFull));
    }
    *lock(&kv.rule.refuses) = 2;
    assert_eq!(blobs.delete(ADA, ID, late), Err(Refusal::StorageFull));
    // A start cannot drop what it finds without bytes either, and is one all the same.
    drop(blobs);
    *lock(&kv.rule.refuses) = 1;
    let blobs = Blobs::load(kv.clone(), place.clone(), &Limits::default(), Arc::default()).expect("starts");
    blobs.login(ADA, HOME, &AccountName::parse("ada").expect("valid"), DeviceId([1; 16]));
    assert_eq!((blobs.total(), blobs.stat(ADA, ID, at(0))), (4 * UNIT, Err(Refusal::Gone)));
    // Also before their time is over.
    blobs.sweep(&Ages::new(at(1)), &[]).expect("sweeps");
    assert_eq!((blobs.total(), blobs.count(), blobs.state().owed), (0, 0, 0));
    assert!(blobs.state().bare.is_empty());
    assert!(blobs.put(ADA, ID, 2 * UNIT, at(1)).is_ok());
}

#[test]
fn bytes_that_go_make_the_room_that_their_entry_needs() {
    let (kv, place) = (Arc::new(Ruled::<Tight>::default()), Place::Memory(Memory::default()));
    let (blobs, ids) = two_halves(&kv, &place);
    *lock(&kv.rule.refuses) = 1;
    assert_eq!(blobs.delete(ADA, ids[0], at(1)), Ok(()));
    assert_eq!((blobs.total(), blobs.count(), place.bytes().expect("memory")), (2 * UNIT, 1, UNIT));
}

#[test]
fn a_sweep_drops_all_of_a_page_in_one_commit() {
    let (kv, place) = (Arc::new(Ruled::<Tight>::default()), Place::Memory(Memory::default()));
    let (blobs, _) = two_halves(&kv, &place);
    *lock(&kv.rule.commits) = 0;
    blobs.sweep(&Ages::new(at(99 * 24 * HOUR_MS)), &[]).expect("sweeps");
    assert_eq!((*lock(&kv.rule.commits), blobs.count(), place.bytes().expect("memory")), (1, 0, 0));
    assert_eq!(blobs.metrics().get(Count::FilesHalf), 2);
}

#[test]
fn so_many_transfers_are_open_and_no_more() {
    both(&Limits::default(), |stage| {
        drop(stage.put(ADA, ID, SIZE).expect("begun"));
        let get = || stage.blobs.get(BEN, ID, 0, at(0));
        let mut held: Vec<_> = (0..open::SHARE).map(|_| get().expect("there")).collect();
        assert_eq!(get().err(), Some(BUSY));
        assert_eq!(stage.put(BEN, BlobId([8; 16]), SIZE).err(), Some(BUSY));
        assert!(stage.put(ADA, ID, SIZE).is_ok(), "somebody else's share");
        held.pop();
        assert!(get().is_ok());
    });
}

#[test]
fn a_few_accounts_or_one_network_leave_room_for_the_transfers_of_others() {
    let opened = Opened::default();
    let begin = |who: usize, network: u8| {
        let name = AccountName::parse(&format!("user{who}")).expect("valid");
        opened.begin(&name, IpAddr::from([10, 0, 0, network]))
    };
    // As many as they like from one network, three each as one device has.
    let near: Vec<_> = (0..open::MOST).filter_map(|number| begin(number / 3, 1)).collect();
    assert_eq!(near.len(), open::NEAR);
    assert!(begin(1000, 1).is_none() && begin(1000, 2).is_some());
    // And from another too: where nobody has one yet, it still begins.
    let mut far: Vec<_> = (0..open::MOST).filter_map(|number| begin(200 + number % 30, 2)).collect();
    assert_eq!(near.len() + far.len(), open::MOST - open::KEPT);
    assert!(begin(200, 3).is_none() && begin(5000, 2).is_none());
    far.extend((0..=open::KEPT).filter_map(|number| begin(2000 + number, 3 + number as u8)));
    assert_eq!(near.len() + far.len(), open::MOST);
    assert!(begin(5000, 255).is_none());
    far.pop();
    assert!(begin(5000, 255).is_some());
    drop((near, far));
    assert!((0..open::SHARE).map(|_| begin(1, 1)).collect::<Option<Vec<_>>>().is_some());
}
