//! The conversation that somebody looks at is gone, or is none yet: what is typed goes to nobody else.

use crossterm::event::{KeyCode, KeyModifiers};
use subrosa::ui::command::{self, Command};
use subrosa_shared::id::AccountName;
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
