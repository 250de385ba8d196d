//! What `subrosa-relay check` finds in a store that real clients filled, row by row.

use std::collections::BTreeMap;
use subrosa::ui::command::{Command, Secret};
use subrosa::ui::devices::DevicesCommand;
use subrosa_relay::admin::check::{Findings, check};
use subrosa_relay::listener::Key;
use subrosa_relay::passwords::Setup;
use subrosa_shared::session::Identity;
use subrosa_shared::store::{Batch, Kv, Table};
use subrosa_tests::club::{club, does, speaks};
use subrosa_tests::past::Past;
use zeroize::Zeroizing;

/// A relay with something in each of its tables.
fn full() -> Past {
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
    world.relay_backup()
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
            0 => "none",
            noticed if noticed == self.tries => "all",
            _ => "some",
        }
    }
}

/// By letter of the table and length of the key: a value cut short, one bit of it changed, the row gone. What
/// is sealed for clients or drawn at random looks right whatever it is, and of prekeys, guesses, times and the
/// last of a sender's repeats nothing says how many there were.
const EXPECTED: &[&str] = &[
    "D16 cut all flipped none gone all",
    "E0 cut all flipped none gone none",
    "H16 cut all flipped none gone all",
    "Q3 cut all flipped all gone all",
    "W3 cut all flipped all gone all",
    "a3 cut all flipped all gone all",
    "a4 cut all flipped all gone all",
    "b3 cut none flipped none gone all",
    "b8 cut all flipped none gone all",
    "c8 cut all flipped all gone all",
    "c9 cut all flipped all gone all",
    "d16 cut all flipped all gone all",
    "e24 cut all flipped none gone all",
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
    "r16 cut all flipped all gone all",
    "s32 cut all flipped none gone none",
    "t0 cut all flipped all gone all",
];

#[test]
fn each_kind_of_damage_is_noticed_in_each_table_or_cannot_be() {
    let past = full();
    let dir = tempfile::tempdir().expect("a folder");
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
    let report: Vec<String> = tables
        .iter()
        .map(|((letter, length), [cut, flipped, gone])| {
            format!("{letter}{length} cut {} flipped {} gone {}", cut.word(), flipped.word(), gone.word())
        })
        .collect();
    assert_eq!(report, EXPECTED, "{}", report.join("\n"));
}
