//! The ratchet file on a disk whose power can be cut at every write.

use super::*;
use crate::store::contract;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use std::sync::Arc;

const KEY: [u8; 32] = [9; 32];

/// A disk in memory that remembers what was done to it, and can fail.
#[derive(Clone, Default)]
struct Sim(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    done: Vec<Op>,
    operations_left: Option<usize>,
}

enum Op {
    Write(u64, Vec<u8>),
    Sync,
}

impl Sim {
    fn holding(bytes: Vec<u8>) -> Self {
        let sim = Self::default();
        sim.state().bytes = bytes;
        sim
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("not poisoned")
    }

    fn bytes(&self) -> Vec<u8> {
        self.state().bytes.clone()
    }

    fn create(&self) -> File {
        let inner = Inner::create(Box::new(self.clone()), &KEY, rng(1)).expect("made");
        File { inner: Mutex::new(inner), origin: None }
    }

    fn open_with(&self, key: [u8; 32]) -> Result<File, Error> {
        Ok(File { inner: Mutex::new(Inner::open(Box::new(self.clone()), &key, rng(2))?), origin: None })
    }

    fn open(&self) -> File {
        self.open_with(KEY).expect("opens")
    }

    /// What a power cut after `operations` can leave: of the writes since the last fsync any
    /// may be there, missing, or half there.
    fn after_power_cut(&self, before: &[u8], operations: usize, rng: &mut ChaCha20Rng) -> Sim {
        let state = self.state();
        let done = &state.done[..operations];
        let synced = done.iter().rposition(|op| matches!(op, Op::Sync)).unwrap_or(0);
        let mut bytes = before.to_vec();
        for (number, op) in done.iter().enumerate() {
            let Op::Write(at, written) = op else { continue };
            let kept = match rng.next_u32() % 3 {
                _ if number < synced => written.len(),
                0 => 0,
                1 => written.len(),
                _ => rng.next_u32() as usize % written.len(),
            };
            put_at(&mut bytes, *at, &written[..kept]);
        }
        Sim::holding(bytes)
    }
}

impl Disk for Sim {
    fn length(&mut self) -> io::Result<u64> {
        Ok(self.state().bytes.len() as u64)
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> io::Result<()> {
        into.copy_from_slice(&self.state().bytes[at as usize..][..into.len()]);
        Ok(())
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        count_down(&mut state)?;
        put_at(&mut state.bytes, at, bytes);
        state.done.push(Op::Write(at, bytes.to_vec()));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.state();
        count_down(&mut state)?;
        state.done.push(Op::Sync);
        Ok(())
    }
}

fn count_down(state: &mut State) -> io::Result<()> {
    match &mut state.operations_left {
        Some(0) => Err(io::ErrorKind::StorageFull.into()),
        Some(left) => {
            *left -= 1;
            Ok(())
        }
        None => Ok(()),
    }
}

fn put_at(bytes: &mut Vec<u8>, at: u64, written: &[u8]) {
    let end = at as usize + written.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at as usize..end].copy_from_slice(written);
}

fn rng(seed: u64) -> Box<dyn CryptoRngCore + Send> {
    Box::new(ChaCha20Rng::seed_from_u64(seed))
}

fn slot(number: u8) -> SlotKey {
    SlotKey { kind: 1, id: [number; 16], part: 0 }
}

fn keep(number: u8, secret: &[u8]) -> SlotWrite {
    SlotWrite::Put(slot(number), Zeroizing::new(secret.to_vec()))
}

fn erase(number: u8) -> SlotWrite {
    SlotWrite::Erase(slot(number))
}

type Model = BTreeMap<SlotKey, Vec<u8>>;

fn held_by(file: &File) -> Model {
    file.list(1).into_iter().map(|(key, secret)| (key, secret.to_vec())).collect()
}

fn then(mut model: Model, writes: &[SlotWrite]) -> Model {
    for write in writes {
        match write {
            SlotWrite::Put(key, secret) => model.insert(*key, secret.to_vec()),
            SlotWrite::Erase(key) => model.remove(key),
        };
    }
    model
}

/// Every secret that a thief who has the key finds: in any place, in either copy.
fn found_by_a_thief(bytes: &[u8]) -> BTreeSet<(SlotKey, Vec<u8>)> {
    let mut file_id = [0; 16];
    file_id.copy_from_slice(&bytes[20..36]);
    let seal = Seal::new(&KEY, file_id, rng(0));
    let places = 0..((bytes.len() as u64 - 2 * PAGE) / CHUNK_BYTES) as u32 * CHUNK;
    let copies = places.flat_map(|place| COPIES.map(|copy| (place, copy)));
    let found = copies.filter_map(|(place, copy)| {
        seal.open_copy(place, copy, &bytes[at(place, copy) as usize..][..COPY_BYTES])?.entry
    });
    found.map(|(key, secret)| (key, secret.to_vec())).collect()
}

fn random_writes(rng: &mut ChaCha20Rng) -> Vec<SlotWrite> {
    let count = 1 + rng.next_u32() % 5;
    let write = |_| {
        let number = (rng.next_u32() % 8) as u8;
        let secret = rng.next_u64().to_be_bytes();
        if rng.next_u32().is_multiple_of(3) { erase(number) } else { keep(number, &secret) }
    };
    (0..count).map(write).collect()
}

#[test]
fn the_ratchet_file_keeps_the_contract() {
    contract::slots(|| Box::new(Sim::default().create()));
    let sim = Sim::default();
    contract::slots_reopen(|| Box::new(if sim.bytes().is_empty() { sim.create() } else { sim.open() }));
    let dir = tempfile::tempdir().expect("temporary folder");
    let path = dir.path().join("ratchet");
    contract::slots_reopen(|| {
        let opened = if path.exists() { File::open } else { File::create };
        Box::new(opened(&path, &KEY, rng(3)).expect("opens"))
    });
}

#[test]
fn a_power_cut_leaves_a_batch_done_or_not_and_no_old_secret() {
    for seed in 0..24 {
        let mut random = ChaCha20Rng::seed_from_u64(seed);
        let sim = Sim::default();
        let file = sim.create();
        let mut model = Model::new();
        for _ in 0..random.next_u32() % 4 {
            let writes = random_writes(&mut random);
            file.apply(&writes).expect("applies");
            model = then(model, &writes);
        }
        let before = sim.bytes();
        sim.state().done.clear();
        let writes = random_writes(&mut random);
        file.apply(&writes).expect("applies");
        let after = then(model.clone(), &writes);

        let operations = sim.state().done.len();
        for cut in 0..=operations {
            let disk = sim.after_power_cut(&before, cut, &mut random);
            let damaged = disk.bytes();
            let file = disk.open();
            let held = held_by(&file);
            assert!(held == model || held == after, "seed {seed}, cut {cut} of {operations}");
            assert!(cut < operations || held == after, "what returned is durable");
            let unsynced = matches!(disk.state().done.last(), Some(Op::Write(..)));
            assert!(!unsynced, "a repair that is lost later would bring back what was undone");
            assert_eq!(file.unreadable(), 0);
            assert_eq!(found_by_a_thief(&disk.bytes()), held.clone().into_iter().collect());

            // The power may be cut again, while the damage is repaired or soon after.
            let repairs = disk.state().done.len();
            let more = random_writes(&mut random);
            file.apply(&more).expect("goes on");
            let again = random.next_u32() as usize % (disk.state().done.len() + 1);
            let disk = disk.after_power_cut(&damaged, again, &mut random);
            let held_again = held_by(&disk.open());
            let goes_on = again > repairs && held_again == then(held.clone(), &more);
            assert!(held_again == held || goes_on, "seed {seed}, cut {cut}, again {again} of {repairs}");
        }
    }
}

#[test]
fn a_power_cut_while_growing_loses_nothing() {
    let sim = Sim::default();
    let file = sim.create();
    let full: Vec<SlotWrite> = (0..CHUNK as u8).map(|n| keep(n, &[n])).collect();
    file.apply(&full).expect("applies");
    let before = sim.bytes();
    sim.state().done.clear();
    file.apply(&[keep(0, b"new"), keep(64, b"grown")]).expect("applies");
    let (old, new) = (then(Model::new(), &full), held_by(&file));
    assert_eq!(new.len(), full.len() + 1);
    let operations = sim.state().done.len();
    let mut random = ChaCha20Rng::seed_from_u64(1);
    for cut in (0..=operations).flat_map(|cut| [cut; 4]) {
        let disk = sim.after_power_cut(&before, cut, &mut random);
        let file = disk.open();
        let held = held_by(&file);
        assert!(held == old || held == new, "cut {cut} of {operations}");
        file.apply(&[keep(70, b"more"), keep(71, b"more")]).expect("goes on");
        assert_eq!(held_by(&disk.open()).len(), held.len() + 2);
    }
}

#[test]
fn of_what_was_replaced_or_erased_nothing_is_left() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let path = dir.path().join("ratchet");
    let file = File::create(&path, &KEY, rng(4)).expect("made");
    file.apply(&[keep(1, b"replaced"), keep(2, b"erased"), keep(3, b"stays")]).expect("applies");
    let before = std::fs::read(&path).expect("there");
    file.apply(&[keep(1, b"new"), erase(2)]).expect("applies");
    let after = std::fs::read(&path).expect("there");

    let sealed = |place: u32, copy: u32| &before[at(place, copy) as usize..][..COPY_BYTES];
    for (place, copy) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        for part in sealed(place, copy).chunks_exact(16) {
            assert!(!after.windows(16).any(|some| some == part), "slot {place}, copy {copy}");
        }
    }
    assert!(after.windows(COPY_BYTES).any(|some| some == sealed(2, 0)), "what stays is not rewritten");
    assert_eq!(found_by_a_thief(&after), held_by(&file).into_iter().collect());
    assert_eq!(after.len(), before.len());
    let clear =
        |word: &[u8]| before.windows(word.len()).chain(after.windows(word.len())).any(|some| some == word);
    assert!(!clear(b"replaced") && !clear(b"erased") && !clear(b"stays"));
}

#[test]
fn a_batch_costs_two_fsyncs() {
    let sim = Sim::default();
    let file = sim.create();
    let writes: Vec<SlotWrite> = (0..60).map(|n| keep(n, &[n])).collect();
    let syncs = |writes: &[SlotWrite]| {
        sim.state().done.clear();
        file.apply(writes).expect("applies");
        sim.state().done.iter().filter(|op| matches!(op, Op::Sync)).count()
    };
    assert_eq!(syncs(&writes), 2 + 3, "however much the file grows");
    assert_eq!(syncs(&[&writes[1..], &[erase(0)]].concat()), 2);
    assert_eq!(syncs(&[erase(0)]), 0, "nothing to do");
}

#[test]
fn a_failed_write_changes_nothing_in_memory() {
    let sim = Sim::default();
    let file = sim.create();
    file.apply(&[keep(1, b"old"), keep(2, b"old")]).expect("applies");
    let old = held_by(&file);
    let writes = [keep(1, b"new"), erase(2), keep(3, b"new")];
    let (rest, new) = (sim.bytes(), then(old.clone(), &writes));
    for operations in 0..8 {
        let disk = Sim::holding(rest.clone());
        let file = disk.open();
        disk.state().operations_left = Some(operations);
        assert!(matches!(file.apply(&writes), Err(Error::Full)), "after {operations}");
        assert_eq!(held_by(&file), old);
        disk.state().operations_left = None;
        assert!(file.apply(&writes).is_err(), "only opening again tells what is on disk");
        let held = held_by(&disk.open());
        assert!(held == old || held == new);
        assert_eq!(found_by_a_thief(&disk.bytes()), held.into_iter().collect());
    }
}

#[test]
fn a_full_disk_while_growing_leaves_it_usable() {
    let sim = Sim::default();
    let file = sim.create();
    let full: Vec<SlotWrite> = (0..CHUNK as u8).map(|n| keep(n, &[n])).collect();
    file.apply(&full).expect("applies");
    sim.state().operations_left = Some(0);
    assert!(matches!(file.apply(&[keep(64, b"one more")]), Err(Error::Full)));
    sim.state().operations_left = None;
    file.apply(&[erase(0), keep(1, b"goes on")]).expect("applies");
    file.apply(&[keep(64, b"in a freed place"), keep(65, b"grown")]).expect("applies");
    assert_eq!(held_by(&sim.open()), held_by(&file));
}

#[test]
fn the_number_of_secrets_is_bounded() {
    let sim = Sim::default();
    let file = sim.create();
    file.held().max_chunks = 2;
    let many: Vec<SlotWrite> = (0..2 * CHUNK as u8).map(|n| keep(n, &[n])).collect();
    file.apply(&many).expect("applies");
    assert!(file.apply(&[keep(128, b"one too many"), keep(1, b"x")]).is_err());
    assert_eq!(file.get(&slot(1)).expect("there").as_slice(), [1]);
    file.apply(&[erase(0)]).expect("applies");
    file.apply(&[keep(128, b"now it fits")]).expect("applies");
}

#[test]
fn a_full_file_takes_what_goes_where_the_same_batch_erases() {
    let sim = Sim::default();
    let file = sim.create();
    file.held().max_chunks = 1;
    let full: Vec<SlotWrite> = (0..CHUNK as u8).map(|n| keep(n, &[n])).collect();
    file.apply(&full).expect("applies");
    let before = sim.bytes();
    sim.state().done.clear();
    let writes = [keep(64, b"in a place that is freed"), erase(0), erase(1), keep(2, b"changed")];
    file.apply(&writes).expect("fits");
    let old = then(Model::new(), &full);
    let new = then(old.clone(), &writes);
    assert_eq!(held_by(&file), new);
    assert!(file.apply(&[keep(65, b"fits"), keep(66, b"one too many")]).is_err());
    let operations = sim.state().done.len();
    let mut random = ChaCha20Rng::seed_from_u64(1);
    for cut in (0..=operations).flat_map(|cut| [cut; 8]) {
        let disk = sim.after_power_cut(&before, cut, &mut random);
        let held = held_by(&disk.open());
        assert!(held == new || (held == old && cut < operations), "cut {cut} of {operations}");
        assert_eq!(found_by_a_thief(&disk.bytes()), held.into_iter().collect());
    }
    file.apply(&[keep(65, b"fits")]).expect("applies");
    assert_eq!(held_by(&sim.open()), held_by(&file));
}

#[cfg(unix)]
#[test]
fn a_copy_is_told_from_its_file_where_nothing_says_when_they_were_made() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let (path, copy) = (dir.path().join("ratchet"), dir.path().join("copy"));
    let file = File::create(&path, &KEY, rng(5)).expect("made");
    std::fs::copy(&path, &copy).expect("copied");
    let number = |path: &Path| inode(&std::fs::metadata(path).expect("there"));
    let before = number(&path);
    file.apply(&[keep(1, b"goes on")]).expect("applies");
    assert!(before.is_some());
    assert_eq!(number(&path), before);
    assert_ne!(number(&copy), before);
}

#[test]
fn one_broken_copy_is_repaired_and_two_are_counted() {
    let sim = Sim::default();
    sim.create().apply(&[keep(1, b"one"), keep(2, b"two")]).expect("applies");
    let good = held_by(&sim.open());
    let flip = |bytes: &mut Vec<u8>, place, copy| bytes[at(place, copy) as usize + 100] ^= 1;
    for copy in COPIES {
        let mut bytes = sim.bytes();
        flip(&mut bytes, 0, copy);
        let disk = Sim::holding(bytes);
        let file = disk.open();
        assert_eq!((held_by(&file), file.unreadable()), (good.clone(), 0));
        let mut repaired = disk.bytes();
        flip(&mut repaired, 0, 1 - copy);
        assert_eq!(held_by(&Sim::holding(repaired).open()), good, "the broken one was written again");
    }
    let mut bytes = sim.bytes();
    COPIES.iter().for_each(|copy| flip(&mut bytes, 0, *copy));
    let disk = Sim::holding(bytes.clone());
    let file = disk.open();
    assert_eq!(file.unreadable(), 1);
    assert!(file.get(&slot(1)).is_none());
    assert_eq!(file.get(&slot(2)).expect("its neighbour").as_slice(), b"two");
    assert!(disk.bytes() == bytes, "what does not open is left for who can repair it");
    file.apply(&[keep(1, b"starts over")]).expect("applies");
    assert_eq!(held_by(&disk.open()).len(), 2);
    assert_eq!(disk.open().unreadable(), 1);
}

#[test]
fn copies_cannot_be_moved() {
    let sim = Sim::default();
    sim.create().apply(&[keep(1, b"one"), keep(2, b"two")]).expect("applies");
    let mut bytes = sim.bytes();
    for copy in COPIES {
        let (from, to) = (at(0, copy) as usize, at(1, copy) as usize);
        bytes.copy_within(from..from + COPY_BYTES, to);
    }
    let file = Sim::holding(bytes).open();
    assert_eq!(file.unreadable(), 1);
    assert!(file.get(&slot(2)).is_none());
}

#[test]
fn what_is_no_ratchet_file_of_ours_is_refused_and_left_alone() {
    let sim = Sim::default();
    sim.create().apply(&[keep(1, b"one")]).expect("applies");
    let good = sim.bytes();
    let refused = |bytes: Vec<u8>, key: [u8; 32]| {
        let disk = Sim::holding(bytes);
        let error = disk.open_with(key).err().expect("is refused");
        assert!(disk.state().done.is_empty(), "it was written to: {error}");
        error
    };
    assert!(matches!(refused(good.clone(), [8; 32]), Error::WrongKey));
    assert!(matches!(refused(vec![7; 100_000], KEY), Error::Foreign(_)));
    assert!(matches!(refused(b"a letter".to_vec(), KEY), Error::Foreign(_)));
    assert!(matches!(refused(Vec::new(), KEY), Error::Damaged(_)));
    for length in [17, 600, 5000, 8192, good.len() - 1] {
        assert!(matches!(refused(good[..length].to_vec(), KEY), Error::Damaged(_)), "{length}");
    }
    let changed = |change: fn(&mut [u8])| {
        let mut bytes = good.clone();
        COPIES.iter().for_each(|copy| change(&mut bytes[header_at(*copy) as usize..][..HEADER_BYTES]));
        refused(bytes, KEY)
    };
    assert!(matches!(changed(|header| header[19] = 2), Error::Newer { found: 2, known: 1 }));
    assert!(matches!(changed(|header| header[39] = 9), Error::Damaged(_)));
    let one = |copy: u32| {
        let mut bytes = good.clone();
        bytes[header_at(copy) as usize + 39] = 9;
        Sim::holding(bytes)
    };
    for disk in COPIES.map(one) {
        assert_eq!(held_by(&disk.open()).len(), 1, "one header is enough");
        assert!(disk.bytes()[..40] == disk.bytes()[PAGE as usize..][..40], "and the other is written again");
    }
}
