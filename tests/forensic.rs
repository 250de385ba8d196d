//! What a thief finds in the files of a profile: nothing that was said, no key that was erased.

use rand_core::OsRng;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use subrosa::chat::expiry;
use subrosa::chat::groups::EARLY;
use subrosa::chat::search;
use subrosa::chat::talk::ACCOUNT;
use subrosa::ui::command::{self, Command};
use subrosa_shared::protocol::frame::ToDevice;
use subrosa_shared::session::blind::Blind;
use subrosa_shared::session::timed;
use subrosa_shared::session::vault::{self, Cost};
use subrosa_shared::session::{Identity, Sessions};
use subrosa_shared::store::burn;
use subrosa_shared::store::memory::{Memory, MemorySlots};
use subrosa_shared::store::profile::Profile;
use subrosa_shared::store::{
    Batch, Error, Kv, Order, Rows, Secrets, SlotKey, SlotWrite, Slots, Store, Table, Write,
};
use subrosa_tests::club::{self, does, said, speaks};
use subrosa_tests::{Liar, Seen, World};
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
    /// Every version of the texts that disappear, with their keys.
    texts: Vec<(Vec<u8>, Vec<u8>)>,
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
        let texts = writes.iter().filter_map(|write| match write {
            Write::Put(table, key, value) if *table == expiry::TEXTS => Some((key.clone(), value.to_vec())),
            _ => None,
        });
        let mut tap = self.tap.lock().expect("one thread");
        tap.records.extend(values);
        tap.texts.extend(texts);
        drop(tap);
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
        // Version, generation.
        timed::SLOT_KIND => vec![at(9)],
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
    let holding = Arc::new(AtomicBool::new(false));
    world.liar = Some(late(holding.clone()));
    let mut texts = Vec::new();
    for turn in 0..8 {
        let (from, to) = if turn % 2 == 0 { ("ada", "ben") } else { ("ben", "ada") };
        // Keys of messages that come late are kept, and then not.
        holding.store(turn >= 4, Ordering::Relaxed);
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
    holding.store(false, Ordering::Relaxed);
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

/// While it is on, every other message within a session comes after the frame that follows it.
fn late(on: Arc<AtomicBool>) -> Liar {
    let mut held: BTreeMap<String, ToDevice> = BTreeMap::new();
    Box::new(move |who, frame| {
        if let Some(late) = held.remove(who) {
            return vec![frame, late];
        }
        let next = matches!(&frame, ToDevice::Deliver(delivery) if delivery.head.get(1) == Some(&NEXT));
        if next && on.load(Ordering::Relaxed) {
            held.insert(who.to_string(), frame);
            return Vec::new();
        }
        vec![frame]
    })
}

/// Type byte of a session message that is not the first.
const NEXT: u8 = 1;

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
            let opened = sessions.open(head, now, &mut Batch::default());
            assert!(opened.is_err(), "the old ciphertext {at} opens again");
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

/// The bytes of a profile that a burn must leave nowhere: the header, and every copy of every slot.
fn what_opens_it(dir: &Path) -> Vec<Vec<u8>> {
    let header = fs::read(dir.join("vault")).expect("a vault");
    let ratchet = fs::read(dir.join("ratchet")).expect("a ratchet file");
    let mut words =
        vec![header[32..64].to_vec(), header[64..96].to_vec(), header[header.len() - 64..].to_vec()];
    words.extend(ratchet[8192..].chunks(512).map(|copy| copy[100..164].to_vec()));
    words
}

#[test]
fn a_burnt_profile_is_gone_for_whoever_has_the_passphrase() {
    let story = conversation(5);
    drop(story.profile);
    let dir = story.dir.path();
    let words = what_opens_it(dir);
    // The check can fail: before, a copy opens and its bytes are there.
    let thief = tempfile::tempdir().expect("a folder");
    copy(dir, &thief.path().join("before"));
    assert!(Profile::open(&thief.path().join("before"), PASSPHRASE).is_ok());
    assert!(grep(dir, &words).len() >= words.len());
    // A second name of each file, as a file system's journal or a careless backup tool may keep it.
    let kept = thief.path().join("kept");
    fs::create_dir(&kept).expect("made");
    for name in ["vault", "ratchet"] {
        fs::hard_link(dir.join(name), kept.join(name)).expect("linked");
    }
    copy(&dir.join("db"), &kept.join("db"));
    burn::burn(dir).expect("burns, without the passphrase");
    assert_eq!(fs::read_dir(dir).map_or(0, Iterator::count), 0, "nothing is left in the folder");
    // The records are still there for the thief, and are noise: what opened them was overwritten where
    // it lay.
    assert!(kept.join("db").join("db").exists());
    assert_eq!(grep(&kept, &words), Vec::<String>::new());
    assert!(Profile::open(&kept, PASSPHRASE).is_err());
    let mut said: Vec<Vec<u8>> =
        story.texts.iter().map(|text| text.as_bytes()[..text.len().min(24)].to_vec()).collect();
    said.push(PASSPHRASE.into());
    assert_eq!(grep(&kept, &said), Vec::<String>::new());
}

#[test]
fn a_message_that_disappeared_is_noise_for_whoever_has_every_byte_and_the_passphrase() {
    const TEXTS: &[&str] = &["burn after reading, one", "burn after reading, two"];
    let dir = tempfile::tempdir().expect("a folder");
    let profile = Profile::create(dir.path(), PASSPHRASE, Cost::TINY, &mut OsRng).expect("made");
    let tap = Arc::new(Mutex::new(Tap::default()));
    let mut world = World::new(6);
    world.joins_on("ada", Tapped::store(profile.store.clone(), &tap));
    world.joins("ben");
    world.settle();
    world.says("ben", "ada", "hello");
    world.settle();
    let ben = world.app("ada").chat().rooms[0].id;
    world.commands("ada", Command::Open(ben));
    world.types("ada", "/expire 10m\n");
    world.types("ada", &format!("{}\n", TEXTS[0]));
    world.settle();
    world.says("ben", "ada", TEXTS[1]);
    world.settle();
    world.passes(300_000);
    world.types("ada", "this one is younger\n");
    world.settle();
    let shown = |world: &mut World| -> Vec<String> {
        world.timeline("ada", "ben").into_iter().filter(|text| !text.is_empty()).collect()
    };
    assert_eq!(shown(&mut world).len(), 4, "{:?}", shown(&mut world));
    // The check can fail: a thief who comes now reads all of it.
    let thief = tempfile::tempdir().expect("a folder");
    let words: Vec<Vec<u8>> = TEXTS.iter().map(|text| text.as_bytes().to_vec()).collect();
    let before = everything(&tap, &profile.store);
    assert!(words.iter().all(|word| opens_to(&before, word)), "before, the texts can be had");
    world.passes(301_000);
    assert_eq!(shown(&mut world), ["hello", "this one is younger"]);
    world.kill("ada");
    world.disk_is("ada", empty());
    // Every version of every record that was ever written, and every key that is there now.
    let after = everything(&tap, &profile.store);
    drop(profile);
    copy(dir.path(), &thief.path().join("copy"));
    let stolen =
        Profile::open(&thief.path().join("copy"), PASSPHRASE).expect("the thief knows the passphrase");
    for word in &words {
        assert!(!opens_to(&after, word), "{} can be had", String::from_utf8_lossy(word));
    }
    assert!(opens_to(&after, b"this one is younger"), "what stays can be read");
    for text in TEXTS {
        for table in 0..=u8::MAX {
            let rows = stolen.store.records.scan(
                Table { byte: table, name: "any" },
                &[],
                &[],
                Order::Forward,
                usize::MAX,
            );
            let found = rows
                .into_iter()
                .flatten()
                .any(|(_, value)| value.windows(text.len()).any(|part| part == text.as_bytes()));
            assert!(!found, "table {table}");
        }
    }
    let tap = tap.lock().expect("one thread");
    for value in &tap.records {
        assert!(
            !words.iter().any(|word| value.windows(word.len()).any(|part| part == word)),
            "it was never written in clear"
        );
    }
}

#[test]
fn a_message_that_disappears_and_came_before_its_room_s_log_is_never_written_in_clear() {
    const TEXT: &str = "burn after reading, all of you";
    let dir = tempfile::tempdir().expect("a folder");
    let profile = Profile::create(dir.path(), PASSPHRASE, Cost::TINY, &mut OsRng).expect("made");
    let tap = Arc::new(Mutex::new(Tap::default()));
    let mut world = World::new(22);
    world.joins_on("ada", Tapped::store(profile.store.clone(), &tap));
    for who in ["ben", "dan"] {
        world.joins(who);
    }
    world.settle();
    world.commands("ada", command::parse("/room new club ben dan").expect("a command"));
    world.settle();
    let room = club::id(&mut world, "ben", "#club");
    world.commands("ben", Command::Open(room));
    world.commands("ben", Command::Expire(Some(600)));
    world.settle();
    // Dan leaves, and nothing that he says of it comes to Ada; what Ben says next comes after it.
    world.kill("ada");
    world.liar = Some(Box::new(|who, frame| match frame {
        ToDevice::Deliver(delivery) if who == "ada" && delivery.name.as_str() == "dan" => Vec::new(),
        frame => vec![frame],
    }));
    does(&mut world, "dan", "#club", "/room leave");
    world.settle();
    speaks(&mut world, "ben", "#club", TEXT);
    world.settle();
    world.kill("ben");
    world.starts("ada");
    world.settle();
    assert!(said(&mut world, "ada", "#club").is_empty());
    let waits = profile.store.records.scan(EARLY, &[], &[], Order::Forward, 9).expect("reads");
    assert_eq!(waits.len(), 1, "it waits for the log");
    // Also over a new start; and Ben knows what is missing.
    world.restarts("ada");
    world.settle();
    world.starts("ben");
    world.passes(10_000);
    assert_eq!(said(&mut world, "ada", "#club"), [format!("ben: {TEXT}")]);
    let waits = profile.store.records.scan(EARLY, &[], &[], Order::Forward, 9).expect("reads");
    assert!(waits.is_empty(), "and waits no longer");
    let room = club::id(&mut world, "ada", "#club");
    world.commands("ada", Command::Open(room));
    world.passes(700_000);
    assert_eq!(said(&mut world, "ada", "#club"), ["ben: "]);
    assert!(profile.store.slots.list(timed::SLOT_KIND).is_empty(), "no key is left when no text is");
    let tap = tap.lock().expect("one thread");
    for value in &tap.records {
        assert!(
            !value.windows(TEXT.len()).any(|part| part == TEXT.as_bytes()),
            "it was never written in clear"
        );
    }
}

/// Sealed texts with their keys, and links of chains.
type Found = (Vec<(Vec<u8>, Vec<u8>)>, Vec<timed::Chain>);

/// All that a thief has to work with: each value that ever went to the records, already without the
/// store's own seal, and the links of all chains that are there now.
fn everything(tap: &Arc<Mutex<Tap>>, store: &Store) -> Found {
    let tap = tap.lock().expect("one thread");
    let chains = store
        .slots
        .list(timed::SLOT_KIND)
        .iter()
        .filter_map(|(_, secret)| timed::Chain::read(secret))
        .collect();
    (tap.texts.clone(), chains)
}

/// Whether some value, under some link, is that text.
fn opens_to((texts, chains): &Found, word: &[u8]) -> bool {
    texts.iter().any(|(key, value)| {
        chains.iter().any(|chain| chain.open(key, value).is_some_and(|text| text.as_slice() == word))
    })
}

#[test]
fn rare_words_that_were_said_and_searched_for_are_in_no_file() {
    const WORDS: [&str; 4] = ["honeysuckle", "quincunx", "zugzwang", "日光浴中"];
    let dir = tempfile::tempdir().expect("a folder");
    let profile = Profile::create(dir.path(), PASSPHRASE, Cost::TINY, &mut OsRng).expect("made");
    let mut world = World::new(21);
    world.joins_on("ada", profile.store.clone());
    world.joins("ben");
    world.settle();
    // Enough lines for a part of the index, and some that are in none yet.
    for i in 0..1100 {
        let word = WORDS[i / 50 % WORDS.len()];
        let text = if i % 50 == 0 { format!("number{i} {word} again") } else { format!("number{i}") };
        world.says("ada", "ben", &text);
        if i % 100 == 0 {
            world.settle();
        }
    }
    world.settle();
    for word in WORDS {
        world.commands("ada", Command::Search(format!("{word} from:me")));
        let now = world.now();
        let found = world.app("ada").search(word, None, 100, now).expect("a query").hits.len();
        assert!((5..=11).contains(&found), "{word}: {found}");
    }
    world.commands("ada", Command::Jump(0));
    world.settle();
    let parts =
        world.disk("ada").records.scan(search::index::HEADS, &[], &[], Order::Forward, 9).expect("reads");
    assert_eq!(parts.len(), 1, "a part was made");
    let mut words: Vec<Vec<u8>> = Vec::new();
    for word in WORDS.into_iter().chain(["number1", "number9", "again"]) {
        words.push(word.into());
        words.push(word.to_uppercase().into());
        // As pairs, and as the marks that would stand for it.
        words.extend(word.char_indices().filter_map(|(at, _)| word.get(at..at + 6)).map(|some| some.into()));
    }
    let mark = |word: &str| search::segment::token(&Blind::new(&[0; 32]), word).to_vec();
    words.extend(WORDS[..3].iter().map(|word| mark(word)));
    assert_eq!(grep(dir.path(), &words), Vec::<String>::new());
    world.kill("ada");
    world.disk_is("ada", empty());
    drop(profile);
    assert_eq!(grep(dir.path(), &words), Vec::<String>::new());
}
