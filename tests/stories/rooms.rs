//! Rooms of several people: who is in, what they read, and what a hostile relay cannot do.

use subrosa::chat::timeline::{Author, LineState};
use subrosa::effect::Happened;
use subrosa::ui::command::{self, Command};
use subrosa::ui::rooms::RoomCommand;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::frame::{Refusal, ToDevice};
use subrosa_shared::session::roomlog::Role;
use subrosa_tests::World;
use subrosa_tests::club::{club, does, group, head, people, said, speaks};
use subrosa_tests::network::Weather;
use subrosa_tests::words::{alarms, notes, notices};

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("valid")
}

#[test]
fn a_room_is_founded_people_come_in_and_all_read_what_each_says() {
    let mut world = club(1, &["ben", "cleo", "dan"]);
    for who in ["ada", "ben", "cleo", "dan"] {
        assert_eq!(people(&mut world, who, "#club"), ["ada", "ben", "cleo", "dan"], "{who}");
        assert_eq!(head(&mut world, who, "#club"), head(&mut world, "ada", "#club"), "{who}");
    }
    speaks(&mut world, "ada", "#club", "welcome");
    world.settle();
    speaks(&mut world, "dan", "#club", "hello all");
    world.settle();
    speaks(&mut world, "cleo", "#club", "hi");
    world.settle();
    for who in ["ada", "ben", "cleo", "dan"] {
        assert_eq!(said(&mut world, who, "#club"), ["ada: welcome", "dan: hello all", "cleo: hi"], "{who}");
        assert!(alarms(&mut world, who, "#club").is_empty(), "{who}");
    }
    assert!(notes(&mut world, "ada", "#club").contains(&"you added cleo".to_string()));
    assert_eq!(world.marks("ada", "#club"), [LineState::Delivered]);
}

#[test]
fn operations_are_the_same_on_all_and_told_in_words() {
    let mut world = club(2, &["ben", "cleo", "dan"]);
    for typed in ["/topic tea & cake", "/rename salon"] {
        does(&mut world, "ada", "#club", typed);
    }
    world.settle();
    for typed in ["/role ben moderator", "/silence dan", "/unsilence dan", "/room limit 10"] {
        does(&mut world, "ada", "#salon", typed);
        world.settle();
    }
    does(&mut world, "ben", "#salon", "/kick dan");
    world.settle();
    let want = [
        "ada changed the topic",
        "ada named the room salon",
        "ada made you a moderator",
        "ada silenced dan",
        "ada let dan speak again",
        "ada changed how the room is run: /room shows it",
        "you removed dan",
    ];
    let grey_ben = notes(&mut world, "ben", "#salon");
    assert_eq!(grey_ben[grey_ben.len() - want.len()..], want, "{grey_ben:?}");
    assert_eq!(notes(&mut world, "cleo", "#salon").last().map(String::as_str), Some("ben removed dan"));
    let chat = world.app("cleo").chat();
    let group = chat.room_named("salon").and_then(|room| room.group.as_deref()).expect("a room");
    assert_eq!((group.topic().as_str(), group.role(&name("ben"))), ("tea & cake", Some(Role::Moderator)));
    does(&mut world, "ada", "#salon", "/room hand-over ben");
    world.settle();
    does(&mut world, "ada", "#salon", "/leave");
    world.settle();
    assert_eq!(people(&mut world, "cleo", "#salon"), ["ben", "cleo"]);
    does(&mut world, "ben", "#salon", "/room delete");
    world.settle();
    speaks(&mut world, "cleo", "#salon", "anybody?");
    world.settle();
    assert!(notices(&mut world, "cleo").contains("#salon was deleted: /room new NAME begins another"));
    assert!(said(&mut world, "ben", "#salon").is_empty());
}

#[test]
fn who_may_not_is_told_the_next_step_and_changes_nothing() {
    let mut world = club(3, &["ben", "cleo"]);
    let before = head(&mut world, "ada", "#club");
    for (who, typed, why) in [
        ("ben", "/kick cleo", "ask a moderator or the owner, whom /room shows"),
        ("ben", "/topic mine now", "ask a moderator or the owner, whom /room shows"),
        ("ben", "/role cleo moderator", "ask the owner, whom /room shows"),
        ("ada", "/leave", "/room hand-over NAME, or /room delete"),
        ("ada", "/kick nobody", "/room lists who is in"),
        ("ada", "/invite ben", "ben is in #club already"),
        ("ada", "/unban ben", "/room lists who is in, and who is banned"),
        ("ada", "/invite ada", "that is your own name"),
    ] {
        notices(&mut world, who);
        does(&mut world, who, "#club", typed);
        world.settle();
        let said = notices(&mut world, who);
        assert!(said.contains(why), "{who} {typed}: {said}");
    }
    assert_eq!(head(&mut world, "cleo", "#club"), before);
    does(&mut world, "ada", "#club", "/invite nobody-there");
    world.settle();
    assert!(notices(&mut world, "ada").contains("nobody is called 'nobody-there' at this relay"));
}

#[test]
fn who_was_removed_reads_nothing_that_is_said_later_and_cannot_say_more() {
    let mut world = club(4, &["ben", "cleo"]);
    speaks(&mut world, "ada", "#club", "before");
    world.settle();
    does(&mut world, "ada", "#club", "/kick ben");
    world.settle();
    speaks(&mut world, "ada", "#club", "among us");
    world.settle();
    speaks(&mut world, "cleo", "#club", "indeed");
    speaks(&mut world, "ben", "#club", "what do you say?");
    world.settle();
    assert_eq!(said(&mut world, "ben", "#club"), ["ada: before"]);
    assert_eq!(said(&mut world, "cleo", "#club"), ["ada: before", "ada: among us", "cleo: indeed"]);
    assert!(notes(&mut world, "ben", "#club").contains(&"ada removed you".to_string()));
    assert!(notices(&mut world, "ben").contains("you are not in #club any more"));
    // Banned: nobody brings him back before the ban is lifted.
    does(&mut world, "ada", "#club", "/ban cleo");
    world.settle();
    notices(&mut world, "ada");
    does(&mut world, "ada", "#club", "/invite cleo");
    world.settle();
    assert!(notices(&mut world, "ada").contains("/unban NAME"));
    for typed in ["/unban cleo", "/invite cleo", "/invite ben"] {
        does(&mut world, "ada", "#club", typed);
        world.settle();
    }
    speaks(&mut world, "ada", "#club", "welcome back");
    world.settle();
    for who in ["ben", "cleo"] {
        assert_eq!(people(&mut world, who, "#club"), ["ada", "ben", "cleo"], "{who}");
        assert_eq!(said(&mut world, who, "#club").last().map(String::as_str), Some("ada: welcome back"));
    }
    assert!(alarms(&mut world, "ada", "#club").is_empty());
}

#[test]
fn who_was_away_comes_back_to_a_complete_ordered_room() {
    let mut world = club(5, &["ben", "cleo", "dan"]);
    world.kill("dan");
    for i in 0..10 {
        speaks(&mut world, ["ada", "ben", "cleo"][i % 3], "#club", &format!("line {i}"));
        world.settle();
    }
    does(&mut world, "ada", "#club", "/role ben moderator");
    world.settle();
    does(&mut world, "ben", "#club", "/kick cleo");
    world.settle();
    speaks(&mut world, "ben", "#club", "and now?");
    world.settle();
    world.starts("dan");
    world.settle();
    let all = said(&mut world, "ada", "#club");
    assert_eq!(all.len(), 11);
    assert_eq!(said(&mut world, "dan", "#club"), all);
    assert_eq!(people(&mut world, "dan", "#club"), ["ada", "ben", "dan"]);
    assert_eq!(head(&mut world, "dan", "#club"), head(&mut world, "ada", "#club"));
    assert!(alarms(&mut world, "dan", "#club").is_empty());
    assert!(
        world.marks("ada", "#club").iter().all(|mark| *mark >= LineState::Delivered),
        "to all who are in"
    );
}

#[test]
fn two_admins_at_once_converge() {
    for seed in 0..6 {
        let mut world = club(60 + seed, &["ben", "cleo", "dan"]);
        does(&mut world, "ada", "#club", "/role ben moderator");
        world.settle();
        does(&mut world, "ada", "#club", "/kick dan");
        does(&mut world, "ben", "#club", "/topic ours");
        does(&mut world, "ada", "#club", "/rename salon");
        does(&mut world, "ben", "#club", "/silence cleo");
        world.settle();
        world.passes(5_000);
        for who in ["ada", "ben", "cleo"] {
            assert_eq!(head(&mut world, who, "#salon"), head(&mut world, "ada", "#salon"), "{seed} {who}");
            assert_eq!(people(&mut world, who, "#salon"), ["ada", "ben", "cleo"], "{seed} {who}");
            assert_eq!(alarms(&mut world, who, "#salon"), [""; 0], "{seed} {who}");
        }
        let group = world.app("cleo").chat().room_named("salon").and_then(|room| room.group.as_deref());
        let state = group.expect("a room").log.state().clone();
        assert_eq!(state.topic, "ours");
        assert!(state.members[&name("cleo")].silenced.is_some());
    }
}

#[test]
fn an_own_operation_survives_a_crash_at_any_step() {
    for effects in 1..14 {
        let mut world = club(70, &["ben", "cleo"]);
        world.kill_after("ada", effects);
        does(&mut world, "ada", "#club", "/kick cleo");
        world.settle();
        // Whether it was killed meanwhile or not.
        world.restarts("ada");
        world.settle();
        world.passes(30_000);
        let in_it = people(&mut world, "ben", "#club");
        assert_eq!(people(&mut world, "ada", "#club"), in_it, "{effects}");
        assert_eq!(head(&mut world, "ada", "#club"), head(&mut world, "ben", "#club"), "{effects}");
        // The first write has what was asked for in it.
        assert!(effects == 1 || in_it == ["ada", "ben"], "{effects}: {in_it:?}");
        speaks(&mut world, "ben", "#club", "still here");
        speaks(&mut world, "ada", "#club", "me too");
        world.settle();
        assert_eq!(said(&mut world, "ada", "#club").len(), 2, "{effects}");
        assert_eq!(said(&mut world, "ada", "#club"), said(&mut world, "ben", "#club"), "{effects}");
    }
}

#[test]
fn an_invitation_waits_for_a_decision_and_can_be_declined() {
    let mut world = World::with(8, &["ada", "ben"]);
    world.is_wary("ben");
    world.commands("ada", command::parse("/room new club ben").expect("a command"));
    world.settle();
    let room = world.app("ben").chat().room_named("club").expect("invited");
    assert!(room.person.is_request());
    let told = world.told("ben");
    assert!(told.iter().any(|told| {
        matches!(told, Happened::Request { with, by: Some(by) } if with.as_str() == "#club" && by.as_str() == "ada")
    }));
    speaks(&mut world, "ada", "#club", "are you coming?");
    world.settle();
    assert_eq!(world.marks("ada", "#club"), [LineState::Sent], "an invitation says nothing of who got it");
    let id = world.app("ben").chat().room_named("club").expect("invited").id;
    world.commands("ben", Command::Open(id));
    world.commands("ben", Command::Accept(None));
    world.settle();
    assert_eq!(said(&mut world, "ben", "#club"), ["ada: are you coming?"]);
    assert!(world.marks("ada", "#club")[0] >= LineState::Delivered);
    // Another one: declined, which a stranger does not learn.
    world.commands("ada", command::parse("/room new other ben").expect("a command"));
    world.settle();
    let id = world.app("ben").chat().room_named("other").expect("invited").id;
    world.commands("ben", Command::Room(Some(id), RoomCommand::Decline));
    world.settle();
    assert!(world.app("ben").chat().room_named("other").is_none());
    world.restarts("ada");
    world.restarts("ben");
    world.settle();
    assert!(world.app("ben").chat().room_named("other").is_none(), "the same invitation does not come again");
    assert_eq!(world.app("ben").chat().rooms.len(), 1, "the other members are no contacts");
}

#[test]
fn a_member_who_is_no_contact_may_speak_in_the_room_and_asks_before_a_direct_message() {
    let mut world = club(9, &["ben", "cleo"]);
    world.is_wary("cleo");
    speaks(&mut world, "ben", "#club", "to all");
    world.settle();
    assert_eq!(said(&mut world, "cleo", "#club"), ["ben: to all"]);
    assert!(world.app("cleo").chat().with(&name("ben")).is_none(), "no conversation with ben");
    world.says("ben", "cleo", "to you alone");
    world.settle();
    assert!(world.app("cleo").chat().with(&name("ben")).expect("asks").person.is_request());
    speaks(&mut world, "ben", "#club", "still to all");
    world.settle();
    assert_eq!(said(&mut world, "cleo", "#club").len(), 2, "the room is another matter");
}

#[test]
fn own_devices_have_the_room_whenever_they_were_linked() {
    let mut world = World::with(10, &["ada", "ben"]);
    world.adds_device("ada", "laptop");
    world.passes(3_000);
    world.commands("ada", command::parse("/room new club ben").expect("a command"));
    world.settle();
    world.passes(3_000);
    world.adds_device("ada", "phone");
    world.passes(3_000);
    for device in ["laptop", "phone"] {
        assert_eq!(people(&mut world, device, "#club"), ["ada", "ben"], "{device}");
    }
    speaks(&mut world, "laptop", "#club", "from my lap");
    world.settle();
    speaks(&mut world, "phone", "#club", "from my hand");
    world.settle();
    speaks(&mut world, "ben", "#club", "which ada?");
    world.settle();
    let want = ["ada: from my lap", "ada: from my hand", "ben: which ada?"];
    for device in ["ada", "laptop", "phone", "ben"] {
        assert_eq!(said(&mut world, device, "#club"), want, "{device}");
    }
    // An operation of one is there on the others, and each may do one.
    does(&mut world, "phone", "#club", "/topic pockets");
    world.settle();
    does(&mut world, "laptop", "#club", "/role ben moderator");
    world.settle();
    for device in ["ada", "laptop", "phone", "ben"] {
        assert_eq!(head(&mut world, device, "#club"), head(&mut world, "ben", "#club"), "{device}");
        assert!(alarms(&mut world, device, "#club").is_empty(), "{device}");
    }
    // Seen on one, seen on all.
    world.passes(5_000);
    speaks(&mut world, "ada", "#club", "read");
    world.settle();
    let unread =
        |world: &mut World, who: &str| world.app(who).chat().room_named("club").expect("a room").kept.unread;
    assert_eq!((unread(&mut world, "laptop"), unread(&mut world, "phone")), (0, 0));
}

#[test]
fn loss_repeats_swaps_and_restarts_leave_one_room() {
    for seed in 0..3 {
        let mut world = club(110 + seed, &["ben", "cleo", "dan"]);
        world.weather(Weather { delay: 20, jitter: 30, cut: 15, ..Weather::default() });
        (world.mischief.repeat, world.mischief.late) = (100, 100);
        for i in 0..24 {
            speaks(&mut world, ["ada", "ben", "cleo", "dan"][i % 4], "#club", &format!("line {i}"));
            if i % 6 == 0 {
                does(&mut world, "ada", "#club", &format!("/topic {i}"));
            }
            if i % 5 == 0 {
                world.restarts(["ben", "cleo", "dan", "ada"][i % 4]);
            }
            world.passes(40);
        }
        world.weather(Weather::default());
        world.mischief = Default::default();
        for who in ["ada", "ben", "cleo", "dan"] {
            world.cut(who);
        }
        world.settle();
        world.passes(60_000);
        let all = said(&mut world, "ada", "#club");
        assert_eq!(all.len(), 24, "{all:?}");
        for who in ["ben", "cleo", "dan"] {
            assert_eq!(said(&mut world, who, "#club"), all, "{seed} {who}");
            assert_eq!(head(&mut world, who, "#club"), head(&mut world, "ada", "#club"), "{seed} {who}");
            assert_eq!(alarms(&mut world, who, "#club"), [""; 0], "{seed} {who}");
        }
    }
}

#[test]
fn a_relay_that_drops_an_operation_for_one_member_is_mended_by_the_next_word() {
    let mut world = club(12, &["ben", "cleo"]);
    // Everything from the relay to cleo is lost while ada changes the topic.
    world.liar = Some(Box::new(|who, frame| match frame {
        ToDevice::Deliver(_) if who == "cleo" => Vec::new(),
        frame => vec![frame],
    }));
    does(&mut world, "ada", "#club", "/topic hidden from cleo");
    world.settle();
    world.liar = None;
    assert!(head(&mut world, "cleo", "#club").0 < head(&mut world, "ada", "#club").0);
    speaks(&mut world, "ben", "#club", "have you seen the topic?");
    world.settle();
    world.passes(10_000);
    assert_eq!(head(&mut world, "cleo", "#club"), head(&mut world, "ada", "#club"));
    let chat = world.app("cleo").chat();
    let group = chat.room_named("club").and_then(|room| room.group.as_deref()).expect("a room");
    assert_eq!(group.topic(), "hidden from cleo");
}

#[test]
fn a_relay_that_drops_a_text_for_one_member_is_betrayed_by_its_marks() {
    let mut world = club(13, &["ben", "cleo"]);
    world.liar = Some(Box::new(|who, frame| match frame {
        ToDevice::Deliver(_) if who == "cleo" => Vec::new(),
        frame => vec![frame],
    }));
    speaks(&mut world, "ada", "#club", "to all of you");
    world.settle();
    assert_eq!(world.marks("ada", "#club"), [LineState::Sent], "not delivered to all");
    let line = world.lines("ada", "#club").into_iter().find(|line| line.author == Author::Me).expect("said");
    let room = world.app("ada").chat().room_named("club").expect("a room").id;
    let tally = world.app("ada").tally(room, &line.id).expect("a memory store reads").expect("an own line");
    assert_eq!((tally.delivered, tally.of), (1, 2));
}

#[test]
fn a_relay_that_takes_two_operations_for_one_place_is_an_alarm() {
    let mut world = club(14, &["ben", "cleo"]);
    does(&mut world, "ada", "#club", "/role ben moderator");
    world.settle();
    // It tells both that theirs was first, and neither hears of the other's.
    world.liar = Some(Box::new(|who, frame| match frame {
        ToDevice::Rejected { id, why: Refusal::Outdated, .. } => vec![ToDevice::Accepted(id)],
        ToDevice::Deliver(_) if who == "ada" || who == "ben" => Vec::new(),
        frame => vec![frame],
    }));
    does(&mut world, "ada", "#club", "/topic one");
    does(&mut world, "ben", "#club", "/topic other");
    world.settle();
    world.liar = None;
    assert_ne!(head(&mut world, "ada", "#club"), head(&mut world, "ben", "#club"));
    speaks(&mut world, "ada", "#club", "one, isn't it?");
    world.settle();
    let fork = alarms(&mut world, "ben", "#club").join(" ");
    assert!(fork.contains("another history of this room"), "{fork}");
    assert!(said(&mut world, "ben", "#club").contains(&"ada: one, isn't it?".to_string()));
}

#[test]
fn a_relay_that_was_reset_takes_operations_again() {
    let mut world = club(15, &["ben", "cleo"]);
    world.relay_loses_its_disk();
    world.start_relay();
    world.passes(5_000);
    does(&mut world, "ada", "#club", "/topic after the flood");
    world.settle();
    world.passes(60_000);
    assert_eq!(head(&mut world, "ben", "#club"), head(&mut world, "ada", "#club"));
    let chat = world.app("ben").chat();
    let group = chat.room_named("club").and_then(|room| room.group.as_deref()).expect("a room");
    assert_eq!(group.topic(), "after the flood");
}

#[test]
fn who_begins_one_room_too_many_is_told_and_goes_on_talking_to_people() {
    let mut world = World::with(16, &["ada", "ben"]);
    let allows = |world: &mut World, rooms: u32| {
        world.relay_config().limits.room_heads = rooms;
        world.relay_crashes();
        world.start_relay();
        world.passes(3_000);
        world.settle();
    };
    allows(&mut world, 0);
    world.told("ada");
    world.commands("ada", command::parse("/room new club ben").expect("a command"));
    world.settle();
    let told = notices(&mut world, "ada");
    assert!(told.contains("#club: you have begun as many rooms as this relay allows"), "{told}");
    world.says("ada", "ben", "not in a room, then");
    world.passes(120_000);
    assert_eq!(world.timeline("ben", "ada"), ["not in a room, then"]);
    assert!(!notices(&mut world, "ada").contains("as many rooms"), "it is not tried again");
    assert_eq!(people(&mut world, "ada", "#club"), ["ada"]);
    does(&mut world, "ada", "#club", "/topic mine");
    world.settle();
    assert_eq!(group(&mut world, "ada", "#club").topic(), "mine", "nobody else is to know of it");
    // Nothing of it is left in the way.
    allows(&mut world, 1);
    does(&mut world, "ada", "#club", "/invite ben");
    world.settle();
    assert_eq!(people(&mut world, "ben", "#club"), ["ada", "ben"]);
}
