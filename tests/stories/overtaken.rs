//! What the relay delivers in another order than it was sent: nothing is lost with it, and nothing waits for ever.

use subrosa::chat::timeline::LineState;
use subrosa::config::Config;
use subrosa::ui::act::LineCommand;
use subrosa::ui::command::Command;
use subrosa_shared::id::AccountName;
use subrosa_tests::World;
use subrosa_tests::club::{club, does, group, head, id, lines, speaks};
use subrosa_tests::late::Late;
use subrosa_tests::words::alarms;

/// Everything comes up to five seconds late, in any order.
fn all_late(world: &mut World) {
    world.mischief.late = 1_000;
}

/// What does not open is told of four times at once, and then each 30 s.
fn calm(world: &mut World) {
    world.mischief.late = 0;
    world.passes(300_000);
}

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("valid")
}

#[test]
fn what_is_late_when_its_connection_breaks_is_delivered_on_the_next_one() {
    for seed in 0..10 {
        let mut world = World::with(seed, &["ada", "ben"]);
        world.says("ada", "ben", "begun");
        world.settle();
        all_late(&mut world);
        let mut written = vec!["begun".to_string()];
        for i in 0..10 {
            written.push(format!("{i}"));
            world.says("ada", "ben", &written[i + 1]);
            world.passes(300);
            if i % 3 == 0 {
                world.cut("ben");
            }
        }
        calm(&mut world);
        assert_eq!(world.timeline("ben", "ada"), written, "seed {seed}");
        assert_eq!(world.relay().mailbox().totals().expect("memory").bytes, 0, "seed {seed}");
    }
}

#[test]
fn what_a_stranger_said_was_lost_where_their_first_word_was_overtaken() {
    let mut early = 0;
    for seed in 0..10 {
        let mut world = World::with(seed, &["ada", "ben"]);
        world.is_wary("ben");
        all_late(&mut world);
        for text in ["one", "two", "three"] {
            world.says("ada", "ben", text);
        }
        world.passes(20_000);
        let waits = world.app("ben").chat().with(&name("ada")).expect("somebody waits").person.missed;
        early += u32::from(waits > 0);
        world.commands("ben", Command::Accept(Some(name("ada"))));
        calm(&mut world);
        assert_eq!(world.timeline("ben", "ada"), ["one", "two", "three"], "seed {seed}");
        let marks = world.marks("ada", "ben");
        assert!(marks.iter().all(|mark| *mark >= LineState::Delivered), "seed {seed}: {marks:?}");
    }
    assert!(early > 0, "no first word was overtaken");
}

#[test]
fn where_nobody_waits_to_be_let_in_what_overtook_the_first_word_is_asked_for_at_once() {
    for seed in 0..10 {
        let mut world = World::with(seed, &["ada"]);
        let mut config = Config::default();
        config.vault.idle_lock = "off".into();
        config.privacy.requests = false;
        world.joins_with("ben", config);
        world.is_wary("ben");
        world.settle();
        all_late(&mut world);
        for text in ["one", "two", "three"] {
            world.says("ada", "ben", text);
        }
        world.passes(20_000);
        calm(&mut world);
        assert_eq!(world.timeline("ben", "ada"), ["one", "two", "three"], "seed {seed}");
    }
}

#[test]
fn a_receipt_that_came_before_a_copy_of_its_line_was_forgotten() {
    for seed in 0..10 {
        let mut world = World::with(seed, &["ada", "ben"]);
        world.adds_device("ben", "laptop");
        world.settle();
        all_late(&mut world);
        for text in ["one", "two"] {
            world.says("laptop", "ada", text);
        }
        world.passes(2_000);
        // What came early is on the disk.
        world.restarts("ben");
        calm(&mut world);
        assert_eq!(world.timeline("ben", "ada"), ["one", "two"], "seed {seed}");
        let marks = world.marks("ben", "ada");
        assert!(marks.iter().all(|mark| *mark >= LineState::Delivered), "seed {seed}: {marks:?}");
    }
}

#[test]
fn a_member_never_heard_that_somebody_left_whose_word_of_it_was_overtaken() {
    for seed in 0..20 {
        let mut world = club(seed, &["ben", "cleo"]);
        all_late(&mut world);
        // The first that Ben ever says to Cleo, and the second.
        speaks(&mut world, "ben", "#club", "farewell");
        does(&mut world, "ben", "#club", "/leave");
        world.passes(20_000);
        calm(&mut world);
        let left = head(&mut world, "ben", "#club");
        for who in ["ada", "cleo"] {
            assert_eq!(head(&mut world, who, "#club"), left, "seed {seed}: {who}");
        }
    }
}

#[test]
fn another_own_device_never_heard_that_this_one_left_a_room() {
    for seed in 0..20 {
        let mut world = club(seed, &["ben"]);
        world.adds_device("ben", "laptop");
        world.settle();
        // A session of the laptop's that the desk does not know yet.
        world.says("laptop", "ada", "hello");
        all_late(&mut world);
        does(&mut world, "laptop", "#club", "/leave");
        world.passes(20_000);
        calm(&mut world);
        assert_eq!(head(&mut world, "ben", "#club"), head(&mut world, "laptop", "#club"), "seed {seed}");
    }
}

#[test]
fn who_was_removed_never_heard_of_it_where_the_word_was_overtaken() {
    let mut world = club(1, &["ben", "cleo"]);
    does(&mut world, "ada", "#club", "/role cleo moderator");
    world.settle();
    let late = Late::arranged(&mut world, "ben", |_| true, <[_]>::reverse);
    // The first that Cleo ever says to Ben, and the second.
    speaks(&mut world, "cleo", "#club", "farewell");
    does(&mut world, "cleo", "#club", "/kick ben");
    world.settle();
    late.comes();
    world.says("ada", "ben", "are you still there?");
    calm(&mut world);
    assert!(!group(&mut world, "ben", "#club").is_open());
    let (there, here) = (head(&mut world, "cleo", "#club"), head(&mut world, "ben", "#club"));
    assert_eq!(here, there);
}

#[test]
fn what_was_sealed_as_a_list_came_was_lost_when_a_reset_had_waited_for_that_list_too() {
    let mut world = club(1, &["ben", "cleo"]);
    let late = Late::arranged(&mut world, "cleo", |_| true, <[_]>::reverse);
    // The first that Ben ever says to Cleo, and the second: she cannot open this one.
    speaks(&mut world, "ben", "#club", "one");
    world.settle();
    late.comes();
    world.reads_slowly("ben", 2_000);
    speaks(&mut world, "ben", "#club", "two");
    world.passes(100);
    // She says so, which waits until Ben knows her devices in this conversation; so do these.
    world.says("ben", "cleo", "three");
    world.says("ben", "cleo", "four");
    world.passes(10_000);
    world.relay_disk_full(true);
    world.passes(20_000);
    world.relay_disk_full(false);
    calm(&mut world);
    assert_eq!(world.timeline("cleo", "ben"), ["three", "four"]);
    let marks = world.marks("ben", "cleo");
    assert!(marks.iter().all(|mark| *mark >= LineState::Delivered), "{marks:?}");
}

#[test]
fn of_two_deeds_on_an_old_line_that_waited_for_the_same_entry_only_one_was_kept() {
    let edit = || LineCommand::Edit(Some("the".into()));
    let react = || LineCommand::React(Some("🌹".into()), None);
    for edited_first in [true, false] {
        let mut world = club(1, &["ben", "cleo"]);
        speaks(&mut world, "cleo", "#club", "teh");
        world.passes(1_000);
        let line = lines(&mut world, "cleo", "#club")[0].id;
        // Another conversation is the newest one: of the room's lines none is in memory after the start.
        world.says("ben", "ada", "hello");
        world.settle();
        world.restarts("ben");
        world.settle();
        let late = Late::arranged(&mut world, "ben", |_| true, <[_]>::reverse);
        does(&mut world, "ada", "#club", "/topic tea");
        world.settle();
        let mut deeds = [("cleo", edit()), ("ada", react())];
        if !edited_first {
            deeds.reverse();
        }
        for (who, deed) in deeds {
            let room = id(&mut world, who, "#club");
            world.commands(who, Command::Open(room));
            world.commands(who, Command::Line(Some(line), deed));
            world.settle();
        }
        late.comes();
        world.says("ada", "ben", "are you there?");
        calm(&mut world);
        let has = |world: &mut World, who| {
            let lines = lines(world, who, "#club").into_iter();
            lines.map(|line| (line.body, line.more.reactions)).collect::<Vec<_>>()
        };
        let (here, there) = (has(&mut world, "ben"), has(&mut world, "ada"));
        assert_eq!(here, there, "edited first: {edited_first}");
        assert_eq!((here[0].0.as_str(), here[0].1.len()), ("the", 1));
    }
}

#[test]
fn who_hears_of_changes_late_and_makes_one_is_not_told_that_the_relay_takes_none() {
    for seed in 0..20 {
        let mut world = club(seed, &["ben"]);
        does(&mut world, "ada", "#club", "/role ben moderator");
        world.settle();
        all_late(&mut world);
        for typed in ["/topic one", "/rename salon", "/topic two"] {
            let room = if typed == "/topic two" { "#salon" } else { "#club" };
            does(&mut world, "ada", room, typed);
            for text in ["a", "b", "c"] {
                world.says("ada", "ben", text);
            }
            world.passes(300);
        }
        does(&mut world, "ben", "#club", "/topic three");
        calm(&mut world);
        assert_eq!(alarms(&mut world, "ben", "#salon"), [""; 0], "seed {seed}");
        assert_eq!(group(&mut world, "ada", "#salon").topic(), "three", "seed {seed}");
    }
}
