//! What was said before somebody came: told by a member, or by another device of one's own; and who may
//! vouch for a room's log.

use subrosa::chat::timeline::{Author, LineState};
use subrosa::export::history;
use subrosa::rpc;
use subrosa::ui::act::LineCommand;
use subrosa::ui::command::{self, Command};
use subrosa::ui::devices::DevicesCommand;
use subrosa_shared::content::own::Level;
use subrosa_shared::protocol::frame::ToDevice;
use subrosa_tests::World;
use subrosa_tests::club::{club, does, group, head, id, lines, people, said, speaks};
use subrosa_tests::network::Weather;
use subrosa_tests::words::{alarms, notes};

/// Who told each line, or nobody.
fn told(world: &mut World, who: &str) -> Vec<Option<String>> {
    let lines = lines(world, who, "#club").into_iter();
    lines.map(|line| line.more.told.map(|name| name.to_string())).collect()
}

/// Ada and Ben have talked; Cleo is there and not in the room.
fn talked(seed: u64, count: usize) -> World {
    let mut world = club(seed, &["ben"]);
    for i in 0..count {
        speaks(&mut world, ["ada", "ben"][i % 2], "#club", &format!("line {i}"));
        world.settle();
    }
    world.joins("cleo");
    world.settle();
    world
}

#[test]
fn a_newcomer_is_told_the_last_lines_by_a_member() {
    let mut world = talked(1, 6);
    let taken_back = lines(&mut world, "ada", "#club")[4].id;
    world.commands("ada", Command::Line(Some(taken_back), LineCommand::Delete));
    world.commands("ada", command::parse("/expire 1h").expect("a command"));
    world.settle();
    speaks(&mut world, "ben", "#club", "soon gone");
    world.settle();
    does(&mut world, "ada", "#club", "/room history 4");
    world.settle();
    does(&mut world, "ada", "#club", "/invite cleo");
    world.settle();
    world.passes(2_000);
    let want = ["ben: line 1", "ada: line 2", "ben: line 3", "ben: line 5"];
    assert_eq!(said(&mut world, "cleo", "#club"), want, "nothing that was deleted, nothing that disappears");
    assert_eq!(told(&mut world, "cleo"), vec![Some("ada".to_string()); 4]);
    let room = id(&mut world, "cleo", "#club");
    assert_eq!(
        world.app("cleo").chat().room(room).expect("a room").kept.unread,
        0,
        "nobody has to read the past"
    );
    world.commands("cleo", Command::Open(room));
    let screen = world.screen("cleo", 100, 30);
    assert!(screen.contains("line 3 (told by ada)"), "{screen}");
    // What is said from now on comes after it, from whom it is.
    speaks(&mut world, "cleo", "#club", "thanks");
    world.settle();
    for who in ["ada", "ben", "cleo"] {
        assert_eq!(said(&mut world, who, "#club").last().map(String::as_str), Some("cleo: thanks"), "{who}");
    }
    world.restarts("cleo");
    world.passes(60_000);
    assert_eq!(said(&mut world, "cleo", "#club").len(), 5, "told once");
    assert!(world.app("ada").chat().room_named("club").is_some());
}

#[test]
fn what_a_member_told_says_so_in_searches_and_exports_too() {
    let mut world = talked(11, 4);
    does(&mut world, "ada", "#club", "/invite cleo");
    world.settle();
    world.passes(2_000);
    speaks(&mut world, "cleo", "#club", "thanks");
    world.settle();
    let own = lines(&mut world, "cleo", "#club").pop().expect("said").id;
    world.commands("cleo", Command::Line(Some(own), LineCommand::Edit(Some("thank you".into()))));
    world.settle();
    let (now, disk) = (world.now(), world.disk("cleo"));
    let app = world.app("cleo");
    let page = app.search("line", None, 9, now).expect("a query");
    let found: Vec<_> = page.hits.iter().filter_map(|hit| rpc::search::told(app.chat(), hit)).collect();
    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|line| line["told_by"] == "ada"), "{found:?}");
    let dir = tempfile::tempdir().expect("a folder");
    let exported = |name: &str| {
        let path = dir.path().join(name).to_str().expect("text").to_owned();
        let job = history::Job::new(app.chat(), app.chat().room_named("#club"), path.clone());
        history::write(&disk, &job, &mut |_, _| true).expect("written");
        std::fs::read_to_string(path).expect("reads")
    };
    let text = exported("a.txt");
    assert!(
        text.contains("ben (told by ada): line 3") && text.contains("cleo (edited): thank you"),
        "{text}"
    );
    let text = exported("a.md");
    assert!(text.contains("**ben** \\(told by ada\\) ") && text.contains("**cleo** \\(edited\\) "), "{text}");
    let text = exported("a.json");
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let told = value["conversations"][0]["lines"].as_array().expect("a list");
    assert_eq!(told.iter().filter(|line| line["told_by"] == "ada").count(), 4, "{text}");
    assert!(told.iter().any(|line| line["text"] == "thank you" && line["edited"] == true), "{text}");
    world.types("cleo", "/search line\n");
    world.settle();
    let screen = world.screen("cleo", 100, 30);
    assert!(screen.contains("ben (told by ada)"), "{screen}");
}

#[test]
fn the_owner_says_whether_newcomers_are_told_anything() {
    let mut world = talked(2, 4);
    does(&mut world, "ada", "#club", "/room history off");
    world.settle();
    does(&mut world, "ada", "#club", "/invite cleo");
    world.settle();
    world.passes(60_000);
    assert_eq!(said(&mut world, "cleo", "#club"), [""; 0]);
    world.joins("dan");
    world.settle();
    does(&mut world, "ada", "#club", "/room history on");
    does(&mut world, "ada", "#club", "/invite dan");
    world.settle();
    world.passes(2_000);
    assert_eq!(group(&mut world, "ada", "#club").log.state().policy.history, 200);
    assert_eq!(said(&mut world, "dan", "#club").len(), 4);
    does(&mut world, "ada", "#club", "/room");
    let screen = world.screen("ada", 100, 40);
    assert!(screen.contains("are told the last 200 lines by a member"), "{screen}");
}

#[test]
fn when_who_let_them_in_is_silent_another_member_tells() {
    let mut world = talked(3, 5);
    world.is_wary("cleo");
    does(&mut world, "ada", "#club", "/invite cleo");
    world.settle();
    world.kill("ada");
    let room = id(&mut world, "cleo", "#club");
    world.commands("cleo", Command::Open(room));
    world.commands("cleo", Command::Accept(None));
    world.passes(60_000);
    assert_eq!(said(&mut world, "cleo", "#club"), said(&mut world, "ben", "#club"));
    assert_eq!(told(&mut world, "cleo"), vec![Some("ben".to_string()); 5]);
    // Ada comes back, was asked, and doubles nothing.
    world.starts("ada");
    world.passes(60_000);
    assert_eq!(lines(&mut world, "cleo", "#club").len(), 5);
}

#[test]
fn the_past_comes_whole_and_once_through_loss_and_kills() {
    for seed in 0..4 {
        let mut world = talked(40 + seed, 40);
        world.weather(Weather { delay: 20, jitter: 40, cut: 30, ..Weather::default() });
        does(&mut world, "ada", "#club", "/invite cleo");
        for _ in 0..6 {
            world.passes(150 + 70 * seed);
            world.restarts(["cleo", "ada", "cleo", "ben"][seed as usize]);
        }
        world.weather(Weather::default());
        for who in ["ada", "ben", "cleo"] {
            world.cut(who);
        }
        world.settle();
        world.passes(120_000);
        assert_eq!(people(&mut world, "cleo", "#club"), ["ada", "ben", "cleo"], "{seed}");
        assert_eq!(said(&mut world, "cleo", "#club"), said(&mut world, "ada", "#club"), "{seed}");
        assert_eq!(alarms(&mut world, "cleo", "#club"), [""; 0], "{seed}");
    }
}

#[test]
fn a_device_that_is_linked_later_has_what_was_said_in_rooms() {
    let mut world = club(5, &["ben"]);
    for i in 0..30 {
        speaks(&mut world, ["ada", "ben"][i % 2], "#club", &format!("line {i}"));
        world.settle();
    }
    let room = id(&mut world, "ada", "#club");
    world.commands("ada", Command::Open(room));
    world.commands("ada", Command::Rings(Some(Level::Mentions), None));
    world.settle();
    world.adds_device("ada", "laptop");
    // Both are killed on the way.
    world.passes(60);
    world.restarts("laptop");
    world.restarts("ada");
    world.passes(60_000);
    assert_eq!(said(&mut world, "laptop", "#club"), said(&mut world, "ada", "#club"));
    let marks = |world: &mut World, who: &str| -> Vec<LineState> {
        let own = lines(world, who, "#club").into_iter().filter(|line| line.author == Author::Me);
        own.map(|line| line.state).collect()
    };
    assert_eq!(marks(&mut world, "laptop"), marks(&mut world, "ada"));
    let rings = |world: &mut World, who: &str| {
        world.app(who).chat().room(room).expect("a room").attention.rings.level
    };
    assert_eq!(rings(&mut world, "laptop"), Level::Mentions);
    assert_eq!(world.app("laptop").chat().room(room).expect("a room").kept.unread, 0);
    // And what is decided later, on either.
    world.commands("laptop", Command::Open(room));
    world.commands("laptop", Command::Rings(Some(Level::None), None));
    world.settle();
    assert_eq!(rings(&mut world, "ada"), Level::None);
    speaks(&mut world, "laptop", "#club", "after all that");
    world.settle();
    assert_eq!(said(&mut world, "ben", "#club").last().map(String::as_str), Some("ada: after all that"));
    assert_eq!(said(&mut world, "laptop", "#club"), said(&mut world, "ben", "#club"));
}

/// While Ben is away, Ada links a laptop, changes the room there, and removes it from her account.
fn lost_laptop(seed: u64) -> World {
    let mut world = club(seed, &["ben", "cleo"]);
    world.kill("ben");
    world.adds_device("ada", "laptop");
    world.passes(3_000);
    does(&mut world, "laptop", "#club", "/topic from the laptop");
    world.settle();
    let laptop = world.app("laptop").device();
    world.kill("laptop");
    world.commands("ada", Command::Devices(DevicesCommand::Removed(laptop)));
    world.settle();
    world
}

#[test]
fn what_a_device_signed_before_it_was_removed_counts_for_who_was_away() {
    let mut world = lost_laptop(6);
    assert!(
        notes(&mut world, "cleo", "#club")
            .contains(&"ada removed a device and renewed the room's keys".into())
    );
    speaks(&mut world, "cleo", "#club", "welcome back");
    world.settle();
    world.starts("ben");
    world.settle();
    world.passes(30_000);
    assert_eq!(head(&mut world, "ben", "#club"), head(&mut world, "ada", "#club"));
    assert_eq!(group(&mut world, "ben", "#club").topic(), "from the laptop");
    assert_eq!(alarms(&mut world, "ben", "#club"), [""; 0]);
    assert_eq!(said(&mut world, "ben", "#club"), ["cleo: welcome back"]);
}

#[test]
fn a_log_that_nobody_vouches_for_is_told_of_and_goes_on_once_somebody_does() {
    let mut world = club(7, &["ben", "cleo"]);
    world.kill("ben");
    world.adds_device("ada", "laptop");
    world.passes(3_000);
    does(&mut world, "laptop", "#club", "/topic from the laptop");
    world.settle();
    let laptop = world.app("laptop").device();
    world.kill("laptop");
    // Ada's client dies before it has renewed the keys; only Cleo, who stands below her, goes on.
    world.commands("ada", Command::Devices(DevicesCommand::Removed(laptop)));
    world.kill("ada");
    world.settle();
    world.starts("ben");
    world.settle();
    speaks(&mut world, "cleo", "#club", "are you there?");
    world.settle();
    world.passes(60_000);
    let told = alarms(&mut world, "ben", "#club").join(" ");
    assert!(told.contains("signed by a device that ada has removed since"), "{told}");
    assert_eq!(said(&mut world, "ben", "#club"), [""; 0], "it waits for the log");
    world.starts("ada");
    world.settle();
    world.passes(60_000);
    assert_eq!(head(&mut world, "ben", "#club"), head(&mut world, "ada", "#club"));
    assert_eq!(said(&mut world, "ben", "#club"), ["cleo: are you there?"]);
}

#[test]
fn a_newcomer_verifies_who_signed_the_log() {
    let mut world = club(8, &["ben", "cleo"]);
    for who in ["dan", "eve"] {
        world.joins(who);
    }
    does(&mut world, "ada", "#club", "/role ben moderator");
    does(&mut world, "ada", "#club", "/role cleo moderator");
    world.settle();
    world.adds_device("cleo", "laptop");
    world.passes(3_000);
    does(&mut world, "laptop", "#club", "/topic from the laptop");
    world.settle();
    does(&mut world, "ben", "#club", "/invite dan");
    world.settle();
    world.passes(30_000);
    assert_eq!(alarms(&mut world, "dan", "#club"), [""; 0], "the laptop is hers");
    // To Eve the relay says that Cleo has none, and nobody above her has stood behind that change.
    world.liar = Some(Box::new(|who, frame| match frame {
        ToDevice::Devices { ask, name, mut versions, certs } if who == "eve" && name.as_str() == "cleo" => {
            versions.truncate(1);
            vec![ToDevice::Devices { ask, name, versions, certs }]
        }
        frame => vec![frame],
    }));
    does(&mut world, "ben", "#club", "/invite eve");
    world.settle();
    world.passes(30_000);
    let told = alarms(&mut world, "eve", "#club").join(" ");
    assert!(told.contains("is not signed by a device that cleo ever had"), "{told}");
}

#[test]
fn who_is_removed_by_a_member_they_never_wrote_to_learns_it() {
    let mut world = club(9, &["ben", "eve"]);
    does(&mut world, "ada", "#club", "/role ben moderator");
    world.settle();
    does(&mut world, "ben", "#club", "/kick eve");
    world.settle();
    assert!(!group(&mut world, "eve", "#club").is_open());
    assert!(notes(&mut world, "eve", "#club").contains(&"ben removed you".to_string()));
}

#[test]
fn how_many_have_an_own_line_stands_behind_it() {
    let mut world = club(10, &["ben", "cleo"]);
    world.kill("cleo");
    speaks(&mut world, "ada", "#club", "an old one");
    world.settle();
    speaks(&mut world, "ada", "#club", "who has this?");
    world.settle();
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("who has this? (1 of 2 have it"), "{screen}");
    assert!(!screen.contains("an old one ("), "only behind the newest one: {screen}");
    let screen = world.screen("ada", 40, 30);
    assert!(screen.contains("who has this? (1/2"), "{screen}");
    let room = id(&mut world, "ben", "#club");
    world.commands("ben", Command::Open(room));
    world.settle();
    world.restarts("ada");
    world.settle();
    world.commands("ada", Command::Open(room));
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("who has this? (1 of 2 have it, 1 read it)"), "{screen}");
    world.starts("cleo");
    world.settle();
    let screen = world.screen("ada", 100, 30);
    assert!(!screen.contains("have it"), "all have it: {screen}");
}
