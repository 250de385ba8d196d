//! Whole screens, as people see them, at several sizes.

use crossterm::event::{KeyCode, KeyModifiers};
use std::path::PathBuf;
use subrosa::config::Config;
use subrosa::event::Event;
use subrosa::files::Report;
use subrosa::ui::command::Command;
use subrosa_shared::id::AccountName;
use subrosa_tests::World;

/// Ada and Ben after a few words, Ada looking at them.
fn after_a_talk(seed: u64) -> World {
    let mut world = World::with(seed, &["ada", "ben"]);
    world.commands("ada", Command::Add(AccountName::parse("ben").expect("valid")));
    world.commands("ben", Command::Add(AccountName::parse("ada").expect("valid")));
    world.settle();
    for (from, to, text) in [
        ("ada", "ben", "good morning, ben"),
        ("ben", "ada", "good morning! have you seen the garden?"),
        ("ada", "ben", "not yet\nis it the roses?"),
        ("ben", "ada", "all of them, at once: https://example.org/roses"),
    ] {
        world.says(from, to, text);
        world.passes(20_000);
    }
    world.settle();
    world
}

fn rings(world: &mut World) {
    world.commands("ada", Command::Video(Some("test".into())));
    world.settle();
}

#[test]
fn two_people_after_a_short_talk() {
    let mut world = after_a_talk(1);
    insta::assert_snapshot!(world.screen("ada", 100, 30));
}

#[test]
fn a_narrow_terminal_has_no_sidebar() {
    let mut world = after_a_talk(2);
    let screen = world.screen("ada", 50, 20);
    insta::assert_snapshot!(screen);
}

#[test]
fn twenty_columns_and_six_rows_still_talk() {
    let mut world = after_a_talk(3);
    insta::assert_snapshot!(world.screen("ada", 20, 6));
    world.types("ada", "ok\n");
    world.settle();
    assert_eq!(world.timeline("ben", "ada").last().map(String::as_str), Some("ok"));
}

#[test]
fn the_unread_line_stands_before_what_came_meanwhile() {
    let mut world = World::with(4, &["ada", "ben", "cyd"]);
    world.says("ben", "ada", "the first word");
    world.settle();
    let ben = AccountName::parse("ben").expect("valid");
    world.commands("ada", Command::Add(ben.clone()));
    world.settle();
    world.commands("ada", Command::Add(AccountName::parse("cyd").expect("valid")));
    world.settle();
    world.says("ben", "ada", "are you there?");
    world.says("ben", "ada", "hello?");
    world.settle();
    insta::assert_snapshot!("unread_in_the_sidebar", world.screen("ada", 100, 30));
    world.press("ada", KeyCode::Char('a'), KeyModifiers::ALT);
    world.settle();
    insta::assert_snapshot!("unread_opened", world.screen("ada", 100, 30));
}

#[test]
fn somebody_is_typing() {
    let mut world = after_a_talk(5);
    world.types("ben", "wait");
    world.passes(100);
    insta::assert_snapshot!(world.screen("ada", 100, 30));
    world.passes(10_000);
    assert!(!world.screen("ada", 100, 30).contains("typing"), "it ends by itself");
}

/// Ada, whose client locks by itself, has begun to write to Ben.
fn writes(seed: u64) -> World {
    let mut world = World::new(seed);
    world.joins_with("ada", Config::default());
    world.joins("ben");
    world.settle();
    world.commands("ada", Command::Add(AccountName::parse("ben").expect("valid")));
    world.settle();
    world.types("ada", "x");
    world
}

#[test]
fn a_text_that_took_longer_than_the_idle_time_was_thrown_away() {
    let mut world = writes(8);
    // While an editor has the terminal nothing else happens.
    world.clock_off("ada", 3_600_000);
    world.event("ada", Event::Edited(Ok("a long letter".into())));
    assert!(!world.alive("ada"), "the client is locked");
    world.starts("ada");
    assert!(world.screen("ada", 100, 30).contains("a long letter"));
    // Other words for a line are no draft, and where messages disappear none is kept.
    world.types("ada", "\n");
    world.settle();
    world.press("ada", KeyCode::Up, KeyModifiers::NONE);
    world.clock_off("ada", 2 * 3_600_000);
    world.event("ada", Event::Edited(Ok("other words".into())));
    assert!(world.screen("ada", 100, 30).contains("other words"), "somebody is there");
    world.press("ada", KeyCode::Esc, KeyModifiers::NONE);
    world.types("ada", "/expire 1h\n");
    world.clock_off("ada", 3 * 3_600_000);
    world.event("ada", Event::Edited(Ok("a fleeting letter".into())));
    assert!(world.screen("ada", 100, 30).contains("a fleeting letter"), "still there");
    world.passes(16 * 60_000);
    assert!(!world.alive("ada"), "and is gone");
}

#[test]
fn a_text_that_took_longer_than_the_idle_time_was_thrown_away_on_a_full_disk() {
    let mut world = writes(10);
    world.disk_fills("ada");
    world.says("ada", "ben", "not written yet");
    assert!(world.app("ada").chat().stuck.is_some());
    world.clock_off("ada", 3_600_000);
    world.event("ada", Event::Edited(Ok("a long letter".into())));
    assert_eq!(world.app("ada").leaving(), None, "it could not be kept");
    world.disk_empties("ada");
    world.commands("ada", Command::Lock);
    world.starts("ada");
    assert!(world.screen("ada", 100, 30).contains("a long letter"));
}

#[test]
fn a_path_that_was_found_late_changed_what_was_typed_meanwhile() {
    let mut world = after_a_talk(9);
    let found = |path: &str| {
        Event::Transfer(Report::Looked { text: path.into(), file: Some((PathBuf::from(path), 5)) })
    };
    world.event("ada", Event::Paste("/nowhere/a.txt".into()));
    world.types("ada", " is it");
    world.event("ada", found("/nowhere/a.txt"));
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("/nowhere/a.txt is it") && !screen.contains("Send a.txt"), "{screen}");
    for _ in " is it".chars() {
        world.press("ada", KeyCode::Backspace, KeyModifiers::NONE);
    }
    world.event("ada", found("/nowhere/a.txt"));
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("Send a.txt (5 B) to ben?"), "{screen}");
}

#[test]
fn a_call_rings() {
    let mut world = after_a_talk(6);
    rings(&mut world);
    insta::assert_snapshot!("call_rings_there", world.screen("ben", 100, 30));
    insta::assert_snapshot!("call_rings_here", world.screen("ada", 100, 30));
}

#[test]
fn a_call_shows_the_other_picture() {
    let mut world = after_a_talk(7);
    rings(&mut world);
    world.commands("ben", Command::Answer(Some("test".into())));
    world.settle();
    for _ in 0..5 {
        world.films("ada");
        world.films("ben");
        world.passes(100);
    }
    insta::assert_snapshot!(world.screen("ada", 100, 30));
}
