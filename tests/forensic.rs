//! What a thief finds in the files of a profile: nothing that was said, no key that was erased.

use rand_core::OsRng;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use subrosa::chat::talk::ACCOUNT;
use subrosa_shared::protocol::frame::ToDevice;
use subrosa_shared::session::vault::{self, Cost};
use subrosa_shared::session::{Identity, Sessions};
use subrosa_shared::store::memory::{Memory, MemorySlots};
use subrosa_shared::store::profile::Profile;
use subrosa_shared::store::{
    Batch, Error, Kv, Order, Rows, Secrets, SlotKey, SlotWrite, Slots, Store, Table, Write,
};
use subrosa_tests::{Mischief, Seen, World};
use zeroize::Zeroizing;

const PASSPHRASE: &str = "seven roses under one roof";

/// Slots as `session::kept` numbers them.
const OUTBOUND: u8 = 1;
const INBOUND: u8 = 2;
const SKIPPED: u8 = 3;
const PREKEY: u8 = 4;

/// Everything that ever went to a store.
#[derive(Default)]
struct Tap {
    /// Keys that are in slots now.
    live: BTreeMap<SlotKey, Vec<u8>>,
    /// Keys that were, and were replaced or erased.
    gone: Vec<[u8; 32]>,
    /// Keys of every slot that was erased or replaced, by kind.
    kinds: BTreeMap<u8, u32>,
    /// Values of records, as the client wrote them.
    records: Vec<Vec<u8>>,
}

/// A store that is listened to.
struct Tapped {
    under: Store,
    tap: Arc<Mutex<Tap>>,
}

impl Tapped {
    fn store(under: Store, tap: &Arc<Mutex<Tap>>) -> Store {
        let tapped = Arc::new(Self { under, tap: tap.clone() });
        Store { records: tapped.clone(), slots: tapped }
    }
}

impl Kv for Tapped {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.under.records.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Rows, Error> {
        self.under.records.scan(table, from, to, order, limit)
    }

    fn commit(&self, writes: &[Write]) -> Result<(), Error> {
        let values = writes.iter().filter_map(|write| match write {
            Write::Put(_, _, value) => Some(value.to_vec()),
            Write::Delete(..) => None,
        });
        self.tap.lock().expect("one thread").records.extend(values);
        self.under.records.commit(writes)
    }
}

impl Slots for Tapped {
    fn get(&self, key: &SlotKey) -> Option<Zeroizing<Vec<u8>>> {
        self.under.slots.get(key)
    }

    fn list(&self, kind: u8) -> Secrets {
        self.under.slots.list(kind)
    }

    fn apply(&self, writes: &[SlotWrite]) -> Result<(), Error> {
        self.under.slots.apply(writes)?;
        let mut tap = self.tap.lock().expect("one thread");
        for write in writes {
            let (key, old) = match write {
                SlotWrite::Put(key, secret) => (key, tap.live.insert(*key, secret.to_vec())),
                SlotWrite::Erase(key) => (key, tap.live.remove(key)),
            };
            let old = old.map_or(Vec::new(), |old| keys(key.kind, &old));
            *tap.kinds.entry(key.kind).or_default() += old.len() as u32;
            tap.gone.extend(old);
        }
        // A key that is still in use somewhere (a slot's other fields changed) is not gone.
        let live: HashSet<[u8; 32]> =
            tap.live.iter().flat_map(|(key, value)| keys(key.kind, value)).collect();
        tap.gone.retain(|key| !live.contains(key));
        Ok(())
    }
}

/// The 32-byte secrets in a slot, by the layout of `session::kept`.
fn keys(kind: u8, value: &[u8]) -> Vec<[u8; 32]> {
    let at = |from: usize| value[from..from + 32].try_into().expect("32 bytes");
    match kind {
        // Version, session.
        OUTBOUND => vec![at(1 + 16)],
        // Version, peer, order, prekey, hash, until.
        INBOUND => {
            let hash = number_end(value, 1 + 64) + 16 + 32;
            let until = if value[hash] == 0 { hash + 1 } else { number_end(value, hash + 1) };
            vec![at(until)]
        }
        SKIPPED => {
            let mut from = number_end(value, 1);
            let mut keys = Vec::new();
            while from < value.len() {
                keys.push(at(from));
                from = number_end(value, number_end(value, from + 32));
            }
            keys
        }
        PREKEY => vec![at(1)],
        other => panic!("a slot of kind {other} is not known to this test"),
    }
}

/// Where the number ends that begins here (LEB128).
fn number_end(bytes: &[u8], from: usize) -> usize {
    from + 1 + bytes[from..].iter().take_while(|byte| **byte >= 0x80).count()
}

/// Every file below a folder.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = fs::read(&path).expect("a file reads");
            found.push((path, bytes));
        }
    }
    found
}

/// Which of these words lie in which file.
fn grep(dir: &Path, words: &[Vec<u8>]) -> Vec<String> {
    let mut by_length: BTreeMap<usize, HashSet<&[u8]>> = BTreeMap::new();
    for word in words {
        by_length.entry(word.len()).or_default().insert(word);
    }
    let mut hits = Vec::new();
    for (path, bytes) in files(dir) {
        for (length, words) in &by_length {
            for (at, part) in bytes.windows(*length).enumerate() {
                if words.contains(part) {
                    hits.push(format!("{} at {at}: {part:02x?}", path.display()));
                }
            }
        }
    }
    hits
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("named"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copied");
        }
    }
}

/// Ada's profile on a real disk after a long conversation with Ben, and all that went through it.
struct Story {
    dir: tempfile::TempDir,
    profile: Profile,
    tap: Arc<Mutex<Tap>>,
    bens: Arc<Mutex<Tap>>,
    world: World,
    /// What was said.
    texts: Vec<String>,
    /// Heads that the relay delivered to Ada.
    heads: Vec<Vec<u8>>,
}

fn conversation(seed: u64) -> Story {
    let dir = tempfile::tempdir().expect("a folder");
    let profile = Profile::create(dir.path(), PASSPHRASE, Cost::TINY, &mut OsRng).expect("made");
    let (tap, bens) = (Arc::new(Mutex::new(Tap::default())), Arc::new(Mutex::new(Tap::default())));
    let mut world = World::new(seed);
    world.seen();
    world.joins_on("ada", Tapped::store(profile.store.clone(), &tap));
    world.joins("ben");
    let ben = world.disk("ben");
    world.kill("ben");
    world.disk_is("ben", Tapped::store(ben, &bens));
    world.starts("ben");
    // As a real profile keeps it; not through the tap, since identities are records by design.
    let mut batch = Batch::default();
    batch.put(ACCOUNT, *b"identity", world.seed_of("ada").to_vec());
    profile.store.commit(&batch).expect("committed");
    world.settle();
    let mut texts = Vec::new();
    for turn in 0..8 {
        let (from, to) = if turn % 2 == 0 { ("ada", "ben") } else { ("ben", "ada") };
        if turn == 4 {
            // Keys of messages that come late are kept, and then not.
            world.mischief = Mischief { swap: 500, ..Mischief::default() };
        }
        for i in 0..4 {
            let text = match i {
                3 if turn < 2 => format!("turn {turn}: {}", "the whole long story of the rose ".repeat(30)),
                _ => format!("in turn {turn} {from} says the words number {i}"),
            };
            world.says(from, to, text.trim());
            texts.push(text.trim().to_string());
        }
        world.settle();
    }
    world.mischief = Mischief::default();
    // A new start in between, as on any morning.
    world.kill("ada");
    world.disk_is("ada", empty());
    drop(profile);
    let profile = Profile::open(dir.path(), PASSPHRASE).expect("opens");
    world.disk_is("ada", Tapped::store(profile.store.clone(), &tap));
    world.starts("ada");
    world.settle();
    for (from, to) in [("ada", "ben"), ("ben", "ada"), ("ada", "ben")] {
        let text = format!("and {from} says good night");
        world.says(from, to, &text);
        texts.push(text);
        world.passes(5_000);
    }
    let mut got = world.timeline("ben", "ada");
    got.sort();
    let mut want = texts.clone();
    want.sort();
    assert_eq!(got, want, "the conversation went well");
    let heads = world
        .seen()
        .into_iter()
        .filter_map(|seen| match seen {
            Seen::To(who, ToDevice::Deliver(delivery)) if who == "ada" => Some(delivery.head),
            _ => None,
        })
        .collect();
    Story { dir, profile, tap, bens, world, texts, heads }
}

/// A disk with nothing on it, to let go of the one before.
fn empty() -> Store {
    Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) }
}

#[test]
fn no_file_of_a_profile_holds_a_secret_or_a_word() {
    let mut story = conversation(1);
    let tap = story.tap.lock().expect("one thread");
    for kind in [OUTBOUND, INBOUND, SKIPPED, PREKEY] {
        let count = tap.kinds.get(&kind).copied().unwrap_or_default();
        assert!(count > 0, "the story erased no secret of kind {kind}: {:?}", tap.kinds);
    }
    assert!(tap.gone.len() > 40, "only {} secrets were erased", tap.gone.len());
    let mut words: Vec<Vec<u8>> = tap.gone.iter().map(|key| key.to_vec()).collect();
    words.extend(tap.live.iter().flat_map(|(key, value)| keys(key.kind, value)).map(|key| key.to_vec()));
    words.extend(story.texts.iter().map(|text| text.as_bytes()[..text.len().min(24)].to_vec()));
    let seed = story.world.seed_of("ada");
    words.extend([seed[..32].to_vec(), seed[32..].to_vec(), seed[..16].to_vec(), PASSPHRASE.into()]);
    let header = fs::read(story.dir.path().join("vault")).expect("a vault");
    let dek = vault::open(&header, PASSPHRASE).expect("opens");
    words.extend([dek.slots_key().to_vec(), dek.records_key().to_vec()]);
    assert_eq!(grep(story.dir.path(), &words), Vec::<String>::new());

    // The check can fail: a secret that was forgotten in any corner is found.
    fs::write(
        story.dir.path().join("db").join("scrap"),
        [b"....".as_slice(), &tap.gone[7], b"...."].concat(),
    )
    .expect("planted");
    let hits = grep(story.dir.path(), &words);
    assert_eq!(hits.len(), 1, "{hits:?}");
    assert!(hits[0].contains("scrap at 4"), "{hits:?}");
    drop(tap);
    drop(story.profile);
}

#[test]
fn the_tap_reads_the_keys_that_the_sessions_use() {
    let story = conversation(2);
    let (ada, ben) = (story.tap.lock().expect("one thread"), story.bens.lock().expect("one thread"));
    // Everything has arrived: what Ada seals with next is what Ben opens with next.
    let of = |tap: &Tap, kind: u8| -> HashSet<[u8; 32]> {
        tap.live
            .iter()
            .filter(|(key, _)| key.kind == kind)
            .flat_map(|(key, value)| keys(key.kind, value))
            .collect()
    };
    assert!(of(&ada, OUTBOUND).is_subset(&of(&ben, INBOUND)));
    assert!(of(&ben, OUTBOUND).is_subset(&of(&ada, INBOUND)));
    assert_eq!(of(&ada, OUTBOUND).len(), 1);
    // Keys that Ada sealed with and erased are ones that Ben opened with and erased.
    let bens: HashSet<_> = ben.gone.iter().collect();
    assert!(ada.gone.iter().filter(|key| bens.contains(key)).count() > 10);
}

#[test]
fn no_erased_key_ever_went_to_the_records_which_forget_nothing() {
    let story = conversation(3);
    let tap = story.tap.lock().expect("one thread");
    let secrets: HashSet<[u8; 32]> = tap
        .gone
        .iter()
        .copied()
        .chain(tap.live.iter().flat_map(|(key, value)| keys(key.kind, value)))
        .collect();
    assert!(tap.records.len() > 50, "records were written: {}", tap.records.len());
    for value in &tap.records {
        for part in value.windows(32) {
            assert!(!secrets.contains(part), "a secret in a record of {} bytes", value.len());
        }
    }
}

#[test]
fn a_stolen_copy_with_its_passphrase_opens_nothing_that_was_sealed_before() {
    let story = conversation(4);
    assert!(story.heads.len() > 20, "the relay kept {} heads", story.heads.len());
    let stolen = tempfile::tempdir().expect("a folder");
    drop(story.profile);
    // Three thieves: one takes the file as it is, two dig for what one of both copies may still say.
    for damage in [None, Some(0), Some(1)] {
        let dir = stolen.path().join(format!("{damage:?}"));
        copy(story.dir.path(), &dir);
        if let Some(half) = damage {
            wipe_half(&dir.join("ratchet"), half);
        }
        let profile = Profile::open(&dir, PASSPHRASE).expect("the thief knows the passphrase");
        let tap = story.tap.lock().expect("one thread");
        let gone: HashSet<[u8; 32]> = tap.gone.iter().copied().collect();
        let mut seen = 0;
        for kind in 0..=u8::MAX {
            for (key, value) in profile.store.slots.list(kind) {
                seen += 1;
                for part in value.windows(32) {
                    assert!(!gone.contains(part), "slot {key:?} holds an erased key");
                }
            }
        }
        assert_eq!(seen, tap.live.len(), "the thief reads what is there now, and no more");
        let seed = story_seed(&profile.store);
        let now = story.world.now();
        let (mut sessions, _) =
            Sessions::load(Identity::from_seed(&seed), &profile.store, now).expect("loads");
        for (at, head) in story.heads.iter().enumerate() {
            if let Ok(opened) = sessions.open(head, now, &mut Batch::default()) {
                eprintln!(
                    "{at} of {}: n {} {:?}",
                    story.heads.len(),
                    opened.n,
                    String::from_utf8_lossy(&opened.content)
                );
            }
        }
    }
}

fn story_seed(store: &Store) -> [u8; 64] {
    let seed = store.records.get(ACCOUNT, b"identity").expect("reads").expect("there");
    seed.try_into().expect("64 bytes")
}

/// Makes the first or the second copies of all slots unreadable: 8 KiB of headers, then chunks of 64
/// first and 64 second copies of 512 bytes.
fn wipe_half(path: &Path, half: usize) {
    const HEADERS: usize = 8192;
    const COPIES: usize = 64 * 512;
    let mut bytes = fs::read(path).expect("reads");
    for chunk in bytes[HEADERS..].chunks_mut(2 * COPIES) {
        chunk[half * COPIES..(half + 1) * COPIES].fill(0xA5);
    }
    fs::write(path, bytes).expect("written");
}
