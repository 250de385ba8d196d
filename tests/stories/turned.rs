//! The conversation that somebody looks at is gone, or is none yet: what is typed goes to nobody else.

use crossterm::event::{KeyCode, KeyModifiers};
use subrosa::chat::room::DRAFTS;
use subrosa::ui::command::{self, Command};
use subrosa_shared::id::AccountName;
use subrosa_shared::store::Order;
use subrosa_tests::World;
use subrosa_tests::club::said;
use subrosa_tests::words::notices;

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("valid")
}

#[test]
fn what_was_typed_to_a_name_that_nobody_has_went_to_somebody_else_without_its_beginning() {
    let mut world = World::with(71, &["ada", "ben"]);
    world.knows("ada", "ben");
    world.says("ada", "ben", "hello");
    world.settle();
    world.types("ada", "/add bem\nare you ");
    world.settle();
    assert!(notices(&mut world, "ada").contains("nobody is called 'bem'"));
    assert!(world.app("ada").chat().current().is_none());
    world.types("ada", "there?\n");
    world.settle();
    assert_eq!(world.timeline("ben", "ada"), ["hello"]);
    let screen = world.screen("ada", 110, 34);
    assert!(screen.contains("are you there?") && screen.contains("Open a conversation first"), "{screen}");
    // It goes along to where she meant to be.
    world.commands("ada", Command::Add(name("ben")));
    world.press("ada", KeyCode::Enter, KeyModifiers::NONE);
    world.settle();
    assert_eq!(world.timeline("ben", "ada"), ["hello", "are you there?"]);
}

/// Ada wrote to a name that nobody has, beside Ben's: nothing is open any more.
fn types_to_nobody(seed: u64) -> World {
    let mut world = World::with(seed, &["ada", "ben"]);
    world.knows("ada", "ben");
    world.commands("ada", Command::Add(name("bem")));
    world.types("ada", "are you there?");
    world.settle();
    world
}

#[test]
fn what_was_typed_with_nothing_open_was_lost_where_a_draft_waited() {
    let mut world = World::with(72, &["ada", "ben"]);
    world.knows("ada", "ben");
    world.types("ada", "a draft");
    world.commands("ada", Command::Add(name("bem")));
    world.types("ada", "and more");
    world.settle();
    assert!(world.app("ada").chat().current().is_none());
    world.commands("ada", Command::Add(name("ben")));
    assert_eq!(world.app("ada").ui().draft(), "a draft\nand more");
}

#[test]
fn what_was_typed_with_nothing_open_was_lost_at_a_restart() {
    let mut world = types_to_nobody(75);
    world.commands("ada", Command::Quit);
    world.starts("ada");
    assert!(world.app("ada").chat().current().is_none(), "it is not offered to Ben");
    assert_eq!(world.app("ada").ui().draft(), "are you there?");
    // It goes along, and stays with Ben however the client ends.
    world.commands("ada", Command::Add(name("ben")));
    for _ in 0..2 {
        world.restarts("ada");
        assert_eq!(world.app("ada").chat().current().map(|room| room.full_name()), Some("ben".into()));
        assert_eq!(world.app("ada").ui().draft(), "are you there?");
    }
    world.settle();
    world.press("ada", KeyCode::Enter, KeyModifiers::NONE);
    world.settle();
    assert_eq!(world.timeline("ben", "ada"), ["are you there?"]);
}

#[test]
fn what_was_typed_with_nothing_open_went_along_to_whom_a_script_wrote() {
    let mut world = types_to_nobody(77);
    world.commands("ada", Command::Quit);
    world.starts_unseen("ada");
    world.settle();
    world.commands("ada", Command::Add(name("ben")));
    world.says("ada", "ben", "from a script");
    world.settle();
    assert_eq!(world.timeline("ben", "ada"), ["from a script"]);
    world.commands("ada", Command::Quit);
    world.starts("ada");
    assert!(world.app("ada").chat().current().is_none(), "it is not offered to Ben");
    assert_eq!(world.app("ada").ui().draft(), "are you there?");
}

#[test]
fn a_draft_to_a_name_that_nobody_has_stayed_on_the_disk() {
    let mut world = World::with(76, &["ada", "ben"]);
    world.knows("ada", "ben");
    world.commands("ada", Command::Add(name("bem")));
    world.types("ada", "between us");
    world.commands("ada", Command::Add(name("ben")));
    let drafts = |world: &mut World| {
        let rows = world.disk("ada").records.scan(DRAFTS, &[], &[], Order::Forward, usize::MAX);
        rows.expect("a memory store reads").len()
    };
    assert_eq!(drafts(&mut world), 1);
    world.settle();
    assert!(notices(&mut world, "ada").contains("nobody is called 'bem'"));
    assert_eq!(drafts(&mut world), 0);
}

#[test]
fn what_was_typed_to_a_stranger_who_was_declined_went_to_somebody_else() {
    let mut world = World::with(73, &["ada", "ben", "eve"]);
    world.knows("ada", "ben");
    world.says("ada", "ben", "hello");
    world.settle();
    world.is_wary("ada");
    world.says("eve", "ada", "roses?");
    world.settle();
    let room = world.app("ada").chat().with(&name("eve")).expect("a request").id;
    world.commands("ada", Command::Open(room));
    world.types("ada", "no, ");
    world.commands("ada", Command::DeclineRequest(Some(name("eve"))));
    world.types("ada", "thanks\n");
    world.settle();
    assert_eq!(world.timeline("ben", "ada"), ["hello"]);
    assert_eq!(world.app("ada").ui().draft(), "no, thanks");
}

#[test]
fn an_invitation_to_a_room_offered_to_block_nobody() {
    let mut world = World::with(74, &["ada", "ben"]);
    world.is_wary("ben");
    world.commands("ada", command::parse("/room new club ben").expect("a command"));
    world.settle();
    let id = world.app("ben").chat().room_named("club").expect("invited").id;
    world.commands("ben", Command::Open(id));
    // With a screen, on which questions are asked.
    world.screen("ben", 110, 34);
    world.types("ben", "hi all\n");
    let screen = world.screen("ben", 110, 34);
    assert!(screen.contains("An invitation to") && screen.contains("ada invites you"), "{screen}");
    assert!(!screen.contains("block"), "{screen}");
    world.types("ben", "a");
    world.settle();
    world.press("ben", KeyCode::Enter, KeyModifiers::NONE);
    world.settle();
    assert_eq!(said(&mut world, "ada", "#club"), ["ben: hi all"]);
}
