//! What `subrosa-relay check` finds in a store that real clients filled, row by row.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use subrosa::ui::command::{Command, Secret};
use subrosa::ui::devices::DevicesCommand;
use subrosa_relay::admin::check::{Findings, check};
use subrosa_relay::blobs::Place;
use subrosa_relay::config::Config;
use subrosa_relay::listener::Key;
use subrosa_relay::passwords::Setup;
use subrosa_relay::relay::{Conn, Relay};
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::blob::BlobId;
use subrosa_shared::protocol::frame::ToRelay;
use subrosa_shared::session::Identity;
use subrosa_shared::store::{Batch, Kv, Table};
use subrosa_shared::time::Millis;
use subrosa_tests::World;
use subrosa_tests::club::{club, does, speaks};
use subrosa_tests::past::Past;
use zeroize::Zeroizing;

/// A relay with something in each of its tables, and a file in its data folder.
fn full(data: &Path) -> Past {
    let mut world = club(1, &["ben", "cleo"]);
    let password = |text: &str| Secret(Zeroizing::new(text.into()));
    let set =
        Command::SetPassword { passphrase: password(""), password: password("gravel teapot nineteen otter") };
    world.commands("ada", set);
    world.settle();
    let _ = world.signs_in("guess", "ada", "something else altogether");
    for device in ["laptop", "phone"] {
        world.adds_device("ada", device);
        world.passes(3_000);
    }
    let phone = Identity::from_seed(&world.seed_of("phone")).peer().device();
    world.commands("ada", Command::Devices(DevicesCommand::Removed(phone)));
    world.settle();
    does(&mut world, "ada", "#club", "/room link");
    world.passes(20_000);
    for who in ["ben", "laptop"] {
        world.kill(who);
    }
    for text in ["short", &"long ".repeat(300)] {
        world.says("ada", "ben", text);
        speaks(&mut world, "cleo", "#club", text);
        world.settle();
    }
    keeps_more(&mut world, data);
    world.relay_backup()
}

/// Ada leaves a file, and the relay's owner makes an invitation: at a relay on the same records whose files lie
/// in that folder.
fn keeps_more(world: &mut World, data: &Path) {
    let (fingerprint, exporter, conn, now) = ([9; 32], [3; 32], Conn(1), world.now());
    let files = Place::Folder(data.join("files"));
    let setup = Setup::generate(&mut ChaCha20Rng::seed_from_u64(1));
    let rng = Box::new(ChaCha20Rng::seed_from_u64(2));
    let kv = world.relay().kv();
    let relay = Relay::over(Config::default(), fingerprint, setup, kv, files, rng);
    let mut relay = relay.expect("a memory store reads");
    relay.connected(conn, exporter, [192, 0, 2, 1].into(), now);
    let ada = Identity::from_seed(&world.seed_of("ada"));
    let login = ada.login(AccountName::parse("ada").expect("valid"), false, &fingerprint, &exporter);
    relay.frame(conn, ToRelay::Authenticate(login), now);
    relay.commit().expect("a memory store writes");
    let mut upload = relay.blobs().put(conn, BlobId([4; 16]), 5, now).expect("logged in");
    upload.write(b"bytes").expect("a disk");
    assert_eq!(upload.sync(now), Ok(5));
    let made = relay.invite(3, Millis(now.wall.0 + 3_600_000), now.wall).expect("a memory store writes");
    assert!(made.is_some(), "it is the first");
}

/// What is noticed, of so many tries.
#[derive(Default)]
struct Tally {
    noticed: u32,
    tries: u32,
}

impl Tally {
    fn add(&mut self, found: &Findings) {
        self.tries += 1;
        self.noticed += u32::from(!found.is_well());
    }

    fn word(&self) -> &'static str {
        match self.noticed {
            _ if self.tries == 0 => "untried",
            0 => "none",
            noticed if noticed == self.tries => "all",
            _ => "some",
        }
    }
}

/// By letter of the table and length of the key: a value cut short, one bit of it changed, the row gone. What
/// is sealed for clients or drawn at random looks right whatever it is, and of prekeys, guesses, times,
/// invitations and the last of a sender's repeats nothing says how many there were. Bytes without a row of the index
/// are what a delete leaves that a crash cut off.
const EXPECTED: &[&str] = &[
    "D16 cut all flipped none gone all",
    "E0 cut all flipped none gone none",
    "H16 cut all flipped none gone all",
    "Q3 cut all flipped all gone all",
    "V8 cut all flipped none gone none",
    "W3 cut all flipped all gone all",
    "a3 cut all flipped all gone all",
    "a4 cut all flipped all gone all",
    "b3 cut none flipped none gone all",
    "b8 cut all flipped none gone all",
    "c8 cut all flipped all gone all",
    "c9 cut all flipped all gone all",
    "d16 cut all flipped all gone all",
    "e24 cut all flipped none gone all",
    "f16 cut all flipped none gone none",
    "g1 cut all flipped none gone none",
    "g4 cut all flipped none gone none",
    "g13 cut all flipped none gone none",
    "h3 cut all flipped some gone all",
    "h4 cut all flipped all gone all",
    "l16 cut all flipped all gone none",
    "m16 cut all flipped all gone some",
    "n24 cut all flipped none gone none",
    "o3 cut all flipped none gone all",
    "p32 cut all flipped all gone none",
    "r8 cut all flipped all gone all",
    "r19 cut untried flipped untried gone all",
    "s32 cut all flipped none gone none",
    "t0 cut all flipped all gone all",
];

/// Letters of tables that no relay of today writes: what an older one left, which goes at the next start.
const LEFT: &[char] = &['i', 'k'];

/// Letters of tables that `check` knows.
fn letters() -> BTreeSet<char> {
    let source = include_str!("../../relay/src/admin/check.rs");
    let (_, rest) = source.split_once("const LETTERS: &[u8] = b\"").expect("the list of letters");
    rest.split('"').next().expect("its text").chars().collect()
}

#[test]
fn each_kind_of_damage_is_noticed_in_each_table_or_cannot_be() {
    let dir = tempfile::tempdir().expect("a folder");
    let past = full(dir.path());
    Key::read_or_make(&dir.path().join("relay.key")).expect("made");
    Setup::read_or_make(&dir.path().join("relay.opaque"), &mut rand_core::OsRng).expect("made");
    let looks = |change: &dyn Fn(&mut Batch)| -> Findings {
        let store = past.store();
        let mut batch = Batch::default();
        change(&mut batch);
        store.commit(&batch.records).expect("memory");
        check(&store, dir.path()).expect("reads")
    };
    let before = looks(&|_| {});
    assert!(before.is_well(), "{before}");
    // Rows that lie under one letter for two purposes are told apart by the length of their keys.
    let mut tables: BTreeMap<(char, usize), [Tally; 3]> = BTreeMap::new();
    for (table, key, value) in past.rows() {
        let [cut, flipped, gone] = tables.entry((char::from(table.byte), key.len())).or_default();
        if gone.tries >= 3 {
            continue;
        }
        let put = |batch: &mut Batch, value: Vec<u8>| batch.put(Table { name: "any", ..table }, key, value);
        if !value.is_empty() {
            cut.add(&looks(&|batch| put(batch, value[..value.len() - 1].to_vec())));
            let mut other = value.to_vec();
            other[value.len() / 2] ^= 0x10;
            flipped.add(&looks(&|batch| put(batch, other.clone())));
        }
        gone.add(&looks(&|batch| batch.delete(table, key)));
    }
    let mut seen: BTreeSet<char> = tables.keys().map(|(letter, _)| *letter).collect();
    assert!(LEFT.iter().all(|letter| seen.insert(*letter)), "nothing writes these");
    assert_eq!(seen, letters(), "each table that is checked has something in it");
    let report: Vec<String> = tables
        .iter()
        .map(|((letter, length), [cut, flipped, gone])| {
            format!("{letter}{length} cut {} flipped {} gone {}", cut.word(), flipped.word(), gone.word())
        })
        .collect();
    assert_eq!(report, EXPECTED, "{}", report.join("\n"));
}
