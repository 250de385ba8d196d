//! People who know each other from a room alone, and write to each other for the first time: nothing is lost.

use subrosa::chat::talk::PENDING;
use subrosa::ui::command::{self, Command};
use subrosa_shared::id::AccountName;
use subrosa_shared::store::Order;
use subrosa_tests::World;
use subrosa_tests::club::{club, does, group};

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("valid")
}

/// Own lines that wait for somebody's receipt.
fn unreceipted(world: &mut World, who: &str) -> usize {
    let disk = world.disk(who);
    disk.records.scan(PENDING, &[], &[], Order::Forward, usize::MAX).expect("a memory store reads").len()
}

#[test]
fn the_devices_of_somebody_whom_one_invited_were_forgotten_after_a_restart() {
    let mut world = World::with(41, &["ada", "ben"]);
    world.adds_device("ben", "ben-2");
    world.settle();
    world.commands("ada", command::parse("/room new club ben").expect("a command"));
    world.settle();
    world.commands("ada", Command::Add(name("ben")));
    world.settle();
    world.restarts("ada");
    world.settle();
    world.says("ada", "ben", "to both");
    world.settle();
    assert_eq!(world.timeline("ben", "ada"), ["to both"]);
    assert_eq!(world.timeline("ben-2", "ada"), ["to both"]);
}

#[test]
fn who_was_removed_from_a_room_wrote_into_a_session_that_was_forgotten() {
    let mut world = club(42, &["ben"]);
    does(&mut world, "ada", "#club", "/kick ben");
    world.settle();
    assert!(!group(&mut world, "ben", "#club").is_open());
    // All who are to know of it are told: who is in no room with ben any more takes that for a stranger's word.
    world.adds_device("ben", "ben-2");
    world.settle();
    for text in ["one", "two"] {
        world.says("ben", "ada", text);
    }
    world.settle();
    assert_eq!(world.timeline("ada", "ben"), ["one", "two"]);
    assert_eq!(unreceipted(&mut world, "ben"), 0);
}

#[test]
fn a_file_to_a_stranger_was_not_sent_again_when_its_sender_died_before_the_relay_answered() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("a.bin");
    std::fs::write(&file, [7; 10]).expect("written");
    let path = file.to_string_lossy().into_owned();
    let mut deaths = 0;
    for effects in 0..40 {
        let mut world = club(43, &["ben", "cleo"]);
        world.kill_after("ben", effects);
        let path = path.clone();
        world.commands("ben", Command::Attach { to: Some(name("cleo")), path, caption: String::new() });
        world.settle();
        deaths += u32::from(!world.alive("ben"));
        world.is_spared("ben");
        world.restarts("ben");
        world.settle();
        world.passes(60_000);
        assert_eq!(unreceipted(&mut world, "ben"), 0, "{effects} effects");
    }
    assert!(deaths > 0, "he was never killed");
}
