//! Rooms of which some are away: long logs, full mailboxes, invitations that nobody answers, lost sessions.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use subrosa::chat::groups::LOCKS;
use subrosa::chat::timeline::LineState;
use subrosa::ui::command::{self, Command, Secret};
use subrosa::ui::devices::DevicesCommand;
use subrosa::ui::rooms::RoomCommand;
use subrosa_relay::config::Rate;
use subrosa_shared::id::DeviceId;
use subrosa_shared::protocol::frame::{Refusal, ToDevice, ToRelay};
use subrosa_shared::store::{Order, SlotWrite, Table};
use subrosa_tests::club::{club, does, group, head, id, people, said, speaks};
use subrosa_tests::words::{alarms, notes, notices};
use subrosa_tests::{Seen, World};
use zeroize::Zeroizing;

const DAY: u64 = 24 * 3_600_000;

/// Changes of Ada's that make the log longer than one message holds.
fn grows(world: &mut World) {
    for n in 0..70 {
        does(world, "ada", "#club", &format!("/topic {n} {}", "x".repeat(500)));
        world.settle();
    }
}

#[test]
fn who_came_into_a_room_with_a_long_log_could_bring_nobody_in_and_linked_an_empty_device() {
    let mut world = club(1, &["ben"]);
    for who in ["cleo", "dan"] {
        world.joins(who);
    }
    world.settle();
    grows(&mut world);
    does(&mut world, "ada", "#club", "/room invites members");
    does(&mut world, "ada", "#club", "/invite cleo");
    world.settle();
    for who in ["ada", "ben"] {
        world.kill(who);
    }
    does(&mut world, "cleo", "#club", "/invite dan");
    world.passes(30_000);
    world.adds_device("cleo", "laptop");
    world.passes(30_000);
    for who in ["cleo", "dan", "laptop"] {
        assert_eq!(people(&mut world, who, "#club"), ["ada", "ben", "cleo", "dan"], "{who}");
        assert_eq!(head(&mut world, who, "#club"), head(&mut world, "cleo", "#club"), "{who}");
        assert_eq!(alarms(&mut world, who, "#club"), [""; 0], "{who}");
    }
    speaks(&mut world, "dan", "#club", "here I am");
    world.settle();
    for who in ["cleo", "laptop"] {
        assert_eq!(said(&mut world, who, "#club"), ["dan: here I am"], "{who}");
    }
}

#[test]
fn who_missed_a_change_asked_the_same_two_members_for_ever_who_were_away() {
    let mut world = club(2, &["ben", "cleo", "dan", "eve"]);
    does(&mut world, "ada", "#club", "/role dan moderator");
    speaks(&mut world, "dan", "#club", "hello");
    world.settle();
    for who in ["ada", "ben"] {
        world.kill(who);
    }
    // Of what Dan says Eve gets one message alone.
    let opens = Arc::new(AtomicBool::new(false));
    let one = opens.clone();
    world.liar = Some(Box::new(move |who, frame| {
        let from_dan = matches!(&frame, ToDevice::Deliver(delivery) if delivery.name.as_str() == "dan");
        let lost = who == "eve" && from_dan && !one.swap(false, Ordering::Relaxed);
        if lost { Vec::new() } else { vec![frame] }
    }));
    does(&mut world, "dan", "#club", "/topic what cleo knows");
    world.settle();
    opens.store(true, Ordering::Relaxed);
    speaks(&mut world, "dan", "#club", "seen the topic?");
    world.passes(60_000);
    assert_eq!(head(&mut world, "eve", "#club"), head(&mut world, "cleo", "#club"));
    assert_eq!(group(&mut world, "eve", "#club").topic(), "what cleo knows");
}

#[test]
fn nobody_could_be_removed_while_the_mailboxes_of_all_others_were_full() {
    let mut world = club(3, &["ben", "eve"]);
    world.relay_config().limits.mailbox_envelopes = 8;
    world.relay_crashes();
    world.start_relay();
    world.passes(3_000);
    world.kill("ben");
    for n in 0..12 {
        speaks(&mut world, "eve", "#club", &format!("{n}"));
        world.settle();
    }
    notices(&mut world, "ada");
    does(&mut world, "ada", "#club", "/kick eve");
    world.passes(60_000);
    assert_eq!(people(&mut world, "ada", "#club"), ["ada", "ben"]);
    assert!(!group(&mut world, "eve", "#club").is_open(), "she is told");
    let told = notices(&mut world, "ada");
    assert_eq!(told.matches("nobody else in #club could be told at once").count(), 1, "{told}");
    world.starts("ben");
    world.passes(120_000);
    assert_eq!(head(&mut world, "ben", "#club"), head(&mut world, "ada", "#club"));
    // Where not even who is removed can be told.
    let mut world = club(4, &["ben"]);
    world.relay_config().limits.mailbox_envelopes = 8;
    world.relay_crashes();
    world.start_relay();
    world.passes(3_000);
    world.kill("ada");
    for n in 0..12 {
        speaks(&mut world, "ben", "#club", &format!("{n}"));
        world.settle();
    }
    does(&mut world, "ben", "#club", "/leave");
    world.passes(60_000);
    assert!(!group(&mut world, "ben", "#club").is_open(), "nor could anybody leave");
    world.starts("ada");
    world.passes(120_000);
    assert_eq!(people(&mut world, "ada", "#club"), ["ada"]);
}

#[test]
fn whoever_did_not_answer_an_invitation_was_sent_it_again_each_time_the_connection_broke() {
    let mut world = World::with(5, &["ada", "ben"]);
    let ben = world.app("ben").device();
    world.kill("ben");
    world.seen();
    world.commands("ada", command::parse("/room new club ben").expect("a command"));
    world.settle();
    let claims = |world: &mut World| {
        let claim =
            |seen: &Seen| matches!(seen, Seen::From(_, ToRelay::Claim { device, .. }) if *device == ben);
        world.seen().iter().filter(|seen| claim(seen)).count()
    };
    assert_eq!(claims(&mut world), 1);
    for _ in 0..20 {
        world.cut("ada");
        world.passes(2_000);
    }
    assert_eq!(claims(&mut world), 1, "it may have been lost: once more");
    // Not by a new start either; but on the next day, also of who stays connected.
    world.restarts("ada");
    world.settle();
    assert_eq!(claims(&mut world), 0);
    for day in 0..2 {
        world.passes(DAY);
        assert_eq!(claims(&mut world), 1, "{day}");
    }
    world.starts("ben");
    world.settle();
    assert_eq!(people(&mut world, "ada", "#club"), people(&mut world, "ben", "#club"));
}

#[test]
fn a_member_who_lost_the_word_that_messages_disappear_wrote_lines_that_stayed() {
    let mut world = club(6, &["ben"]);
    world.kill("ben");
    let room = id(&mut world, "ada", "#club");
    world.commands("ada", Command::Open(room));
    world.commands("ada", Command::Expire(Some(3600)));
    world.settle();
    // What he had of sessions that others began is gone.
    let disk = world.disk("ben");
    let sessions = disk.slots.list(INBOUND).into_iter().map(|(key, _)| SlotWrite::Erase(key));
    disk.slots.apply(&sessions.collect::<Vec<_>>()).expect("memory");
    world.starts("ben");
    world.passes(10_000);
    assert_eq!(world.app("ben").chat().room(room).expect("a room").timeline.timer(), 3600);
    let told = notes(&mut world, "ben", "#club");
    let want = "ada set messages to disappear 1 hour after they are read";
    assert_eq!(told.iter().filter(|note| *note == want).count(), 1, "{told:?}");
}

#[test]
fn who_declined_an_invitation_kept_what_opens_the_room() {
    let mut world = World::with(7, &["ada", "ben"]);
    world.is_wary("ben");
    world.commands("ada", command::parse("/room new club").expect("a command"));
    world.settle();
    does(&mut world, "ada", "#club", "/room link");
    world.settle();
    let password = Secret(Zeroizing::new("gravel teapot nineteen otter".into()));
    let room = id(&mut world, "ada", "#club");
    world.commands("ada", Command::Room(Some(room), RoomCommand::SetPassword(password)));
    world.settle();
    does(&mut world, "ada", "#club", "/invite ben");
    world.passes(5_000);
    let kept = |world: &mut World| {
        let rows =
            |table| world.disk("ben").records.scan(table, &[], &[], Order::Forward, 9).expect("memory");
        [LINKS, LOCKS].map(rows).map(|rows| rows.len())
    };
    assert_eq!(kept(&mut world), [1, 1], "he could let people in");
    world.commands("ben", Command::Room(Some(room), RoomCommand::Decline));
    world.settle();
    assert_eq!(kept(&mut world), [0, 0]);
}

#[test]
fn a_mark_stayed_behind_when_the_last_who_lacked_the_line_was_removed() {
    let mut world = club(8, &["ben", "cleo"]);
    world.kill("cleo");
    speaks(&mut world, "ada", "#club", "who has this?");
    world.settle();
    let room = id(&mut world, "ben", "#club");
    world.commands("ben", Command::Open(room));
    world.settle();
    world.passes(2_000);
    assert_eq!(world.marks("ada", "#club"), [LineState::Sent]);
    does(&mut world, "ada", "#club", "/kick cleo");
    world.settle();
    assert_eq!(world.marks("ada", "#club"), [LineState::Read]);
}

/// The kind of slots with sessions that others began.
const INBOUND: u8 = 2;
const LINKS: Table = Table { byte: 0x48, name: "links into rooms" };

/// Ben came into the club a moment ago, and the relay gives him one key each minute, or one list of devices.
fn without_keys(seed: u64, lists: bool) -> World {
    let mut world = club(seed, &["cleo", "dan", "eve"]);
    world.joins("ben");
    world.settle();
    let (limits, rate) = (&mut world.relay_config().limits, Rate { per_minute: 1, burst: 1 });
    *(if lists { &mut limits.lookups } else { &mut limits.claims }) = rate;
    world.relay_crashes();
    world.start_relay();
    world.passes(3_000);
    does(&mut world, "ada", "#club", "/invite ben");
    for _ in 0..180 {
        if world.app("ben").chat().room_named("club").is_some() {
            break;
        }
        world.passes(1_000);
    }
    does(&mut world, "ada", "#club", "/role ben moderator");
    world.passes(1_000);
    world
}

#[test]
fn members_whose_keys_were_not_to_be_had_are_told_of_a_change_after_a_restart() {
    for (seed, deed) in ["/topic ours", "/kick eve", "/leave"].into_iter().enumerate() {
        for lists in [false, true] {
            let mut world = without_keys(seed as u64, lists);
            let before = head(&mut world, "ben", "#club");
            does(&mut world, "ben", "#club", deed);
            world.passes(2_000);
            let done = head(&mut world, "ben", "#club");
            assert_eq!(done.0, before.0 + 1, "{deed}");
            let behind = |world: &mut World| {
                ["ada", "cleo", "dan"].into_iter().filter(|who| head(world, who, "#club") != done).count()
            };
            assert!(behind(&mut world) > 0, "{deed}: the relay gave out all keys, or all lists");
            world.restarts("ben");
            world.passes(300_000);
            assert_eq!(behind(&mut world), 0, "{deed}, {lists}");
            assert_eq!(group(&mut world, "eve", "#club").is_open(), deed != "/kick eve", "{lists}");
        }
    }
}

#[test]
fn members_whose_keys_were_not_to_be_had_hear_of_a_timer_after_a_restart() {
    for lists in [false, true] {
        let mut world = without_keys(20, lists);
        let club = id(&mut world, "ben", "#club");
        world.commands("ben", Command::Open(club));
        world.commands("ben", Command::Expire(Some(3600)));
        world.passes(1_000);
        let timer = |world: &mut World, who: &str| {
            let id = id(world, who, "#club");
            world.app(who).chat().room(id).expect("there").timeline.timer()
        };
        let without = |world: &mut World| {
            ["ada", "cleo", "dan", "eve"].into_iter().filter(|who| timer(world, who) != 3600).count()
        };
        assert_eq!(timer(&mut world, "ben"), 3600);
        assert!(without(&mut world) > 0, "{lists}: the relay gave out all keys, or all lists");
        world.restarts("ben");
        world.passes(300_000);
        assert_eq!(without(&mut world), 0, "{lists}");
    }
}

#[test]
fn a_device_that_never_leaves_keys_brings_the_others_of_its_person_nothing_at_each_start() {
    let mut world = club(21, &["dan"]);
    world.adds_device("dan", "drawer");
    world.joins("ben");
    world.settle();
    world.kill("drawer");
    let came = Rc::new(Cell::new(0));
    let count = came.clone();
    world.liar = Some(Box::new(move |who, frame| match frame {
        // No keys of anybody for Ben: the others' come along with what they say to him.
        ToDevice::Prekey { ask, .. } if who == "ben" => {
            vec![ToDevice::Refused { ask: Some(ask), why: Refusal::NoPrekeys }]
        }
        ToDevice::Deliver(delivery) => {
            count.set(count.get() + u32::from(who == "dan"));
            vec![ToDevice::Deliver(delivery)]
        }
        frame => vec![frame],
    }));
    does(&mut world, "ada", "#club", "/invite ben");
    world.settle();
    speaks(&mut world, "dan", "#club", "hello");
    speaks(&mut world, "ada", "#club", "hello");
    does(&mut world, "ada", "#club", "/role ben moderator");
    world.settle();
    does(&mut world, "ben", "#club", "/topic ours");
    world.passes(10_000);
    let done = head(&mut world, "ben", "#club");
    assert_eq!([head(&mut world, "ada", "#club"), head(&mut world, "dan", "#club")], [done; 2]);
    let counts = [(); 4].map(|()| {
        world.restarts("ben");
        world.passes(60_000);
        came.get()
    });
    assert_eq!(counts[1..], [counts[0]; 3]);
    world.liar = None;
    world.starts("drawer");
    world.passes(60_000);
    assert_eq!(head(&mut world, "drawer", "#club"), done);
}

#[test]
fn what_members_and_who_is_out_are_owed_is_not_forgotten_by_another_deed_before_the_connection() {
    for seed in 10..14 {
        let mut world = without_keys(seed, false);
        does(&mut world, "ben", "#club", "/kick eve");
        world.passes(1_000);
        let done = head(&mut world, "ben", "#club");
        let late =
            ["ada", "cleo", "dan"].into_iter().filter(|who| head(&mut world, who, "#club") != done).count();
        let unaware = group(&mut world, "eve", "#club").is_open();
        assert!(late > 0 && unaware, "{seed}: the relay gave out all keys");
        world.cuts_off("ben", true);
        world.restarts("ben");
        does(&mut world, "ben", "#club", "/topic ours");
        world.passes(1_000);
        world.is_back("ben");
        world.passes(400_000);
        let done = head(&mut world, "ben", "#club");
        for who in ["ada", "cleo", "dan"] {
            assert_eq!(head(&mut world, who, "#club"), done, "{seed}: {who}");
        }
        assert!(!group(&mut world, "eve", "#club").is_open(), "{seed}");
    }
}

#[test]
fn an_invitation_was_forgotten_till_the_next_connection_when_the_relay_took_no_more_questions() {
    let mut world = club(5, &["cleo"]);
    world.joins("ben");
    world.settle();
    world.relay_config().limits.lookups = Rate { per_minute: 1, burst: 1 };
    world.relay_crashes();
    world.start_relay();
    world.passes(3_000);
    // The first takes the one question of this minute.
    does(&mut world, "ada", "#club", "/invite nobody");
    does(&mut world, "ada", "#club", "/invite ben");
    world.passes(1_000);
    assert!(notices(&mut world, "ada").contains("ben is invited once the relay says who that is"));
    world.passes(120_000);
    assert_eq!(people(&mut world, "ben", "#club"), ["ada", "ben", "cleo"]);
}

#[test]
fn a_knock_was_forgotten_till_the_next_connection_when_the_relay_took_no_more_questions() {
    let mut world = World::with(6, &["ada", "ben"]);
    world.commands("ada", command::parse("/room new club").expect("a command"));
    world.settle();
    let club = id(&mut world, "ada", "#club");
    world.commands("ada", Command::Open(club));
    world.commands("ada", command::parse("/room link").expect("a command"));
    world.settle();
    let link = world.copied("ada").pop().expect("it is copied");
    world.relay_config().limits.lookups = Rate { per_minute: 1, burst: 1 };
    world.relay_crashes();
    world.start_relay();
    world.passes(3_000);
    // The first takes the one question of this minute.
    does(&mut world, "ada", "#club", "/invite nobody");
    world.commands("ben", command::parse(&format!("/join {link}")).expect("a command"));
    world.passes(1_000);
    assert_eq!(people(&mut world, "ada", "#club"), ["ada"]);
    world.passes(240_000);
    assert_eq!(people(&mut world, "ben", "#club"), ["ada", "ben"]);
}

/// Whether that is a message of somebody's, from another device of theirs than this one.
fn elsewhere(frame: &ToDevice, name: &str, device: DeviceId) -> bool {
    matches!(frame, ToDevice::Deliver(delivery) if delivery.name.as_str() == name && delivery.from != device)
}

#[test]
fn a_members_newer_list_went_unseen_till_the_next_connection_when_the_relay_took_no_more_questions() {
    let mut world = club(7, &["dan"]);
    let desk = world.app("dan").device();
    world.liar = Some(Box::new(move |who, frame| match frame {
        ToDevice::Devices { ask, name, .. } if who == "ada" && name.as_str() == "dan" => {
            let why = Refusal::RateLimited { retry_ms: 30_000 };
            vec![ToDevice::Refused { ask: Some(ask), why }]
        }
        frame if who == "ada" && elsewhere(&frame, "dan", desk) => Vec::new(),
        frame => vec![frame],
    }));
    world.adds_device("dan", "laptop");
    world.passes(3_000);
    speaks(&mut world, "dan", "#club", "I have a laptop");
    world.passes(1_000);
    assert!(said(&mut world, "ada", "#club").contains(&"dan: I have a laptop".into()));
    // He passes nothing on, and what the laptop itself says would have Ada ask.
    world.kill("dan");
    world.liar = Some(Box::new(move |who, frame| match frame {
        frame if who == "ada" && elsewhere(&frame, "dan", desk) => Vec::new(),
        frame => vec![frame],
    }));
    world.passes(60_000);
    speaks(&mut world, "ada", "#club", "and your desk?");
    world.settle();
    assert!(said(&mut world, "laptop", "#club").contains(&"ada: and your desk?".into()));
}

#[test]
fn a_member_whose_removed_device_the_relay_no_longer_knew_was_not_asked_about() {
    let mut world = club(8, &["dan"]);
    let desk = world.app("dan").device();
    world.adds_device("dan", "laptop");
    world.passes(3_000);
    speaks(&mut world, "ada", "#club", "to both");
    world.passes(3_000);
    let asked = Arc::new(AtomicBool::new(false));
    let seen = asked.clone();
    world.liar = Some(Box::new(move |who, frame| match frame {
        frame if who == "ada" && elsewhere(&frame, "dan", desk) => Vec::new(),
        frame => {
            let about = matches!(&frame, ToDevice::Devices { name, .. } if name.as_str() == "dan");
            seen.fetch_or(who == "ada" && about, Ordering::Relaxed);
            vec![frame]
        }
    }));
    world.commands("laptop", Command::Devices(DevicesCommand::Removed(desk)));
    world.passes(3_000);
    asked.store(false, Ordering::Relaxed);
    speaks(&mut world, "ada", "#club", "to the laptop");
    world.settle();
    assert!(asked.load(Ordering::Relaxed));
}

#[test]
fn what_was_changed_alone_in_a_room_kept_a_device_that_was_linked_later_from_changing_anything() {
    let mut world = club(30, &["ben"]);
    does(&mut world, "ada", "#club", "/kick ben");
    world.settle();
    does(&mut world, "ada", "#club", "/topic alone");
    world.settle();
    world.adds_device("ada", "laptop");
    world.passes(5_000);
    does(&mut world, "laptop", "#club", "/topic from the laptop");
    world.passes(1_000);
    for who in ["ada", "laptop"] {
        assert_eq!(group(&mut world, who, "#club").topic(), "from the laptop");
        assert_eq!(alarms(&mut world, who, "#club"), [""; 0]);
    }
}
