//! What once stayed stuck, got lost or stood in the wrong place.

use crossterm::event::{KeyCode, KeyModifiers};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use subrosa::chat::call::CallState;
use subrosa::chat::talk::PENDING;
use subrosa::chat::timeline::{Author, LineState};
use subrosa::chat::transfer::Phase;
use subrosa::config::Config;
use subrosa::effect::Happened;
use subrosa::event::Event;
use subrosa::export::history::{Job, write};
use subrosa::ui::act::LineCommand;
use subrosa::ui::command::{self, Command};
use subrosa::ui::rooms::RoomCommand;
use subrosa_shared::content::EXPIRY_MAX;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::frame::{ToDevice, ToRelay};
use subrosa_shared::session::file::sealed_size;
use subrosa_shared::session::roomlog::Op;
use subrosa_shared::session::timed::{Chain, SLOT_KIND};
use subrosa_shared::store::{Order, SlotWrite, Table};
use subrosa_tests::club::{self, club, does, group, head, said};
use subrosa_tests::late::Late;
use subrosa_tests::network::Weather;
use subrosa_tests::{Seen, World};

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("valid")
}

#[test]
fn a_draft_was_gone_after_a_restart() {
    let mut world = World::with(1, &["ada", "ben", "cyd"]);
    world.commands("ada", Command::Add(name("ben")));
    world.types("ada", "to be ");
    world.commands("ada", Command::Add(name("cyd")));
    world.types("ada", "or not");
    world.commands("ada", Command::Quit);
    world.starts("ada");
    world.settle();
    world.commands("ada", Command::Add(name("cyd")));
    assert_eq!(world.app("ada").ui().draft(), "or not");
    world.commands("ada", Command::Add(name("ben")));
    assert_eq!(world.app("ada").ui().draft(), "to be ");
    world.press("ada", KeyCode::Enter, KeyModifiers::NONE);
    world.settle();
    assert_eq!(world.timeline("ben", "ada"), ["to be"]);
    world.restarts("ada");
    assert_eq!(world.app("ada").ui().draft(), "", "what was sent is no draft");
}

#[test]
fn more_unread_lines_than_a_page_were_never_marked_as_read() {
    let mut world = World::with(2, &["ada", "ben"]);
    world.kill("ben");
    for i in 0..700 {
        world.says("ada", "ben", &format!("{i}"));
    }
    world.settle();
    world.starts("ben");
    world.event("ben", Event::Focus(false));
    world.passes(5_000);
    world.restarts("ben");
    world.passes(5_000);
    let unread = world.marks("ada", "ben").iter().filter(|mark| **mark != LineState::Read).count();
    assert_eq!(unread, 0);
}

#[test]
fn an_open_conversation_grew_in_memory_without_bound() {
    let mut world = World::with(3, &["ada", "ben"]);
    world.commands("ada", Command::Add(name("ben")));
    for i in 0..3_000 {
        world.says("ada", "ben", &format!("{i}"));
    }
    world.settle();
    let room = world.app("ada").chat().current().expect("open");
    assert_eq!(room.timeline.end(), 3_000);
    assert!(room.timeline.end() - room.timeline.first() <= 2_048);
}

#[test]
fn another_name_for_a_registered_device_locked_it_out() {
    let mut world = World::with(4, &["ada", "ben"]);
    world.commands("ada", Command::Name(name("eve")));
    world.passes(3_000);
    assert_eq!(world.app("ada").chat().name, name("ada"));
    world.says("ada", "ben", "still me");
    world.settle();
    assert_eq!(world.timeline("ben", "ada"), ["still me"]);
}

#[test]
fn somebody_added_without_a_connection_was_never_looked_up() {
    let mut world = World::with(5, &["ada", "ben"]);
    world.relay_crashes();
    world.commands("ada", Command::Add(name("ben")));
    world.start_relay();
    world.passes(3_000);
    assert!(world.app("ada").chat().with(&name("ben")).is_some_and(|room| room.kept.peer.is_some()));
}

#[test]
fn text_to_a_name_that_came_later_waited_for_the_next_login() {
    let mut world = World::with(6, &["ada"]);
    world.says("ada", "ben", "are you here already?");
    world.passes(200_000);
    let notes = world.lines("ada", "ben").len() - 1;
    assert_eq!(notes, 1, "said once");
    world.joins("ben");
    world.passes(70_000);
    assert_eq!(world.timeline("ben", "ada"), ["are you here already?"]);
    assert_eq!(world.marks("ada", "ben"), [LineState::Delivered]);
}

fn call(world: &mut World, from: &str, to: &str) {
    world.knows(to, from);
    world.commands(from, Command::Add(name(to)));
    world.settle();
    world.commands(from, Command::Video(Some("test".into())));
    world.settle();
}

fn state(world: &mut World, name: &str) -> Option<CallState> {
    world.app(name).chat().call.as_ref().map(|call| call.state)
}

#[test]
fn a_call_never_ended_when_one_vanished_while_the_other_was_cut_off() {
    let mut world = World::with(7, &["ada", "ben"]);
    call(&mut world, "ada", "ben");
    world.commands("ben", Command::Answer(Some("test".into())));
    world.settle();
    assert_eq!(state(&mut world, "ben"), Some(CallState::Active));
    world.cut("ben");
    world.kill("ada");
    world.passes(60_000);
    assert_eq!(state(&mut world, "ben"), None);
}

#[test]
fn who_calls_again_after_a_crash_was_told_that_the_line_is_busy() {
    for answered in [false, true] {
        let mut world = World::with(8, &["ada", "ben"]);
        call(&mut world, "ada", "ben");
        if answered {
            world.commands("ben", Command::Answer(Some("test".into())));
            world.settle();
        }
        world.restarts("ada");
        world.settle();
        call(&mut world, "ada", "ben");
        assert_eq!(state(&mut world, "ben"), Some(CallState::Ringing), "answered: {answered}");
        assert_eq!(state(&mut world, "ada"), Some(CallState::Calling));
        world.commands("ben", Command::Answer(Some("test".into())));
        world.settle();
        assert_eq!(state(&mut world, "ada"), Some(CallState::Active));
    }
}

#[test]
fn who_answered_a_caller_that_had_crashed_sat_there_alone_though_the_caller_was_back() {
    let mut world = World::with(8, &["ada", "ben"]);
    call(&mut world, "ada", "ben");
    world.kill("ada");
    world.commands("ben", Command::Answer(Some("test".into())));
    world.settle();
    assert_eq!(state(&mut world, "ben"), Some(CallState::Active));
    world.starts("ada");
    world.settle();
    assert_eq!(state(&mut world, "ben"), None);
}

#[test]
fn a_text_that_only_lay_there_kept_is_typing_alive() {
    let mut world = World::with(9, &["ada", "ben"]);
    world.says("ada", "ben", "hello");
    world.settle();
    world.commands("ben", Command::Add(name("ada")));
    world.types("ben", "h");
    world.settle();
    for i in 0..20 {
        world.says("ada", "ben", &format!("{i}"));
        world.passes(1_000);
    }
    let told = world.told("ada");
    let typing = |wanted| {
        let said = told.iter().filter(|told| matches!(told, Happened::Typing { on, .. } if *on == wanted));
        said.count()
    };
    assert_eq!((typing(true), typing(false)), (1, 1));
}

#[test]
fn the_unread_line_stood_still_in_a_conversation_that_stayed_open() {
    let mut world = World::with(10, &["ada", "ben"]);
    world.says("ada", "ben", "one");
    world.settle();
    let divider = |world: &mut World| world.app("ben").chat().current().and_then(|room| room.divider);
    world.commands("ben", Command::Add(name("ada")));
    for (i, text) in ["two", "three"].iter().enumerate() {
        world.event("ben", Event::Focus(false));
        world.says("ada", "ben", text);
        world.settle();
        assert_eq!(divider(&mut world), Some(i as u64 + 1));
        world.event("ben", Event::Focus(true));
        world.settle();
        assert_eq!(world.app("ben").chat().unread(), 0);
    }
    world.says("ben", "ada", "answer");
    assert_eq!(divider(&mut world), None, "who answers has passed it");
}

#[test]
fn a_mailbox_that_filled_up_for_a_moment_turned_lines_around() {
    let mut world = World::with(11, &["ada", "ben"]);
    world.says("ada", "ben", "first");
    world.settle();
    world.relay_config().limits.mailbox_envelopes = 8;
    world.relay_crashes();
    world.start_relay();
    world.passes(3_000);
    world.weather(Weather { delay: 40, jitter: 30, ..Weather::default() });
    for i in 0..100 {
        world.says("ada", "ben", &format!("{i}"));
        world.passes(3);
    }
    world.passes(600_000);
    let want: Vec<_> = (0..100).map(|i| i.to_string()).collect();
    assert_eq!(world.timeline("ben", "ada")[1..], want);
}

/// A room of ada's with these people, who never met her.
fn founds(world: &mut World, with: &str) {
    let typed = format!("/room new club {with}");
    world.commands("ada", command::parse(&typed).expect("a command"));
}

fn speaks(world: &mut World, who: &str, text: &str) {
    let room = world.app(who).chat().room_named("club").expect("in that room").id;
    world.commands(who, Command::Open(room));
    world.commands(who, Command::Say(text.into()));
}

/// Own lines that wait for somebody's receipt.
fn unreceipted(world: &mut World, who: &str) -> usize {
    let disk = world.disk(who);
    disk.records.scan(PENDING, &[], &[], Order::Forward, usize::MAX).expect("a memory store reads").len()
}

/// What somebody had of sessions that others began is gone.
fn forgets_sessions(world: &mut World, who: &str) {
    let disk = world.disk(who);
    let sessions: Vec<SlotWrite> =
        disk.slots.list(INBOUND).into_iter().map(|(key, _)| SlotWrite::Erase(key)).collect();
    disk.slots.apply(&sessions).expect("memory");
}

#[test]
fn inviting_a_stranger_used_up_all_their_prekeys() {
    let mut world = World::with(31, &["ada", "ben"]);
    world.seen();
    founds(&mut world, "ben");
    world.settle();
    let claims =
        world.seen().iter().filter(|seen| matches!(seen, Seen::From(_, ToRelay::Claim { .. }))).count();
    assert_eq!(claims, 1);
    assert!(world.app("ben").chat().room_named("club").is_some());
}

#[test]
fn what_a_stranger_did_to_a_line_was_forgotten() {
    let mut world = World::with(32, &["ada", "ben"]);
    world.is_wary("ben");
    world.says("ada", "ben", "helo");
    world.settle();
    let room = world.app("ada").chat().rooms[0].id;
    world.commands("ada", Command::Open(room));
    let line = world.lines("ada", "ben").into_iter().find(|line| line.author == Author::Me).expect("written");
    world.commands("ada", Command::Line(Some(line.id), LineCommand::Edit(Some("hello".into()))));
    world.settle();
    world.commands("ben", Command::Accept(Some(name("ada"))));
    world.settle();
    world.passes(60_000);
    assert_eq!(world.timeline("ben", "ada"), ["hello"]);
    assert_eq!(unreceipted(&mut world, "ada"), 0);
}

#[test]
fn a_line_waited_for_ever_in_a_room_that_was_left() {
    let mut world = World::with(33, &["ada", "ben"]);
    founds(&mut world, "ben");
    world.settle();
    world.relay_crashes();
    let room = world.app("ben").chat().room_named("club").expect("in it").id;
    let out = Op::Remove { account: name("ben") };
    world.commands("ben", Command::Room(Some(room), RoomCommand::Sure(Box::new(out))));
    speaks(&mut world, "ben", "too late");
    world.start_relay();
    world.settle();
    world.passes(60_000);
    assert_eq!(unreceipted(&mut world, "ben"), 0);
    world.says("ben", "ada", "but here");
    world.settle();
    assert_eq!(world.timeline("ada", "ben"), ["but here"], "and holds nothing up");
}

#[test]
fn what_was_said_before_an_invitation_came_was_lost() {
    let mut world = World::with(34, &["ada", "ben", "cleo"]);
    let late = Late::new(&mut world, "cleo", |delivery| delivery.name.as_str() == "ada");
    founds(&mut world, "ben cleo");
    world.settle();
    speaks(&mut world, "ben", "welcome, cleo");
    world.settle();
    assert!(world.app("cleo").chat().room_named("club").is_none());
    late.comes();
    speaks(&mut world, "ada", "hello all");
    world.settle();
    world.passes(60_000);
    let mut said = world.timeline("cleo", "#club");
    said.sort();
    assert_eq!(said, ["hello all", "welcome, cleo"]);
    assert_eq!(unreceipted(&mut world, "ben"), 0);
}

#[test]
fn a_receipt_for_a_copy_was_forgotten_when_the_device_died_before_it_went_out() {
    let mut deaths = 0;
    for effects in 0..12 {
        let mut world = World::with(23, &["ada", "ben"]);
        world.says("ada", "ben", "hello");
        world.settle();
        world.adds_device("ada", "ada-2");
        world.settle();
        world.says("ada", "ben", "to both");
        world.kill_after("ada-2", effects);
        world.settle();
        deaths += u32::from(!world.alive("ada-2"));
        world.is_spared("ada-2");
        world.restarts("ada-2");
        world.settle();
        assert_eq!(world.timeline("ada-2", "ben"), ["hello", "to both"], "{effects} effects");
        assert_eq!(unreceipted(&mut world, "ada"), 0, "{effects} effects");
    }
    assert!(deaths > 0, "the device never died");
}

#[test]
fn a_message_that_did_not_open_was_asked_for_late_when_the_device_died_before_it_asked() {
    let mut deaths = 0;
    for effects in 0..40 {
        let mut world = World::with(24, &["ada", "ben"]);
        world.says("ada", "ben", "one");
        world.settle();
        world.kill("ben");
        world.says("ada", "ben", "two");
        world.settle();
        forgets_sessions(&mut world, "ben");
        world.starts("ben");
        world.kill_after("ben", effects);
        world.settle();
        deaths += u32::from(!world.alive("ben"));
        world.is_spared("ben");
        world.restarts("ben");
        world.settle();
        assert_eq!(world.timeline("ben", "ada"), ["one", "two"], "{effects} effects");
    }
    assert!(deaths > 0, "the device never died");
}

#[test]
fn a_change_of_a_room_that_did_not_open_never_came_again() {
    let mut world = club(33, &["ben"]);
    world.kill("ben");
    does(&mut world, "ada", "#club", "/room limit 10");
    world.settle();
    forgets_sessions(&mut world, "ben");
    world.starts("ben");
    world.settle();
    assert_eq!(head(&mut world, "ben", "#club"), head(&mut world, "ada", "#club"));
}

#[test]
fn an_edit_was_lost_that_came_to_a_stranger_before_the_line_from_another_device() {
    let mut edited = 0;
    for effects in 0..16 {
        let mut world = World::with(33, &["ada", "ben"]);
        world.adds_device("ada", "ada-2");
        world.settle();
        world.kill_after("ada", effects);
        world.says("ada", "ben", "helo");
        world.settle();
        let room = world.app("ada-2").chat().with(&name("ben")).map(|room| room.id);
        if let Some(room) = room {
            world.commands("ada-2", Command::Open(room));
            let line = world.lines("ada-2", "ben").pop().expect("it came with the conversation");
            world.commands("ada-2", Command::Line(Some(line.id), LineCommand::Edit(Some("hello".into()))));
            world.settle();
            edited += 1;
        }
        world.is_spared("ada");
        world.restarts("ada");
        world.settle();
        if room.is_some() {
            assert_eq!(world.timeline("ben", "ada"), ["hello"], "{effects} effects");
            assert_eq!(unreceipted(&mut world, "ada-2"), 0, "{effects} effects");
        }
    }
    assert!(edited > 0, "it never came that far");
}

#[test]
fn what_was_said_after_a_change_that_its_author_did_not_know_to_be_taken_was_never_shown() {
    let mut deaths = 0;
    for effects in 0..8 {
        let mut world = club(31, &["ben"]);
        world.kill_after("ada", effects);
        does(&mut world, "ada", "#club", "/room limit 10");
        world.settle();
        speaks(&mut world, "ben", "hello");
        world.settle();
        deaths += u32::from(!world.alive("ada"));
        world.is_spared("ada");
        world.restarts("ada");
        world.settle();
        world.passes(60_000);
        let said = world.timeline("ada", "#club");
        assert_eq!(said.iter().filter(|line| *line == "hello").count(), 1, "{effects} effects: {said:?}");
        assert_eq!(unreceipted(&mut world, "ben"), 0, "{effects} effects");
    }
    assert!(deaths > 0, "the author never died");
}

#[test]
fn who_was_invited_by_a_client_that_was_restarted_meanwhile_never_heard_of_it() {
    let mut world = club(32, &["ben"]);
    world.joins("dan");
    world.settle();
    world.relay_disk_full(true);
    does(&mut world, "ada", "#club", "/invite dan");
    world.settle();
    world.restarts("ada");
    world.settle();
    world.relay_disk_full(false);
    world.passes(300_000);
    assert!(world.app("dan").chat().room_named("club").is_some());
}

#[test]
fn a_device_that_the_inviter_did_not_know_of_never_got_the_room() {
    let mut world = club(40, &["ben", "cleo"]);
    does(&mut world, "ben", "#club", "/room leave");
    world.settle();
    // Ben hears of it from nobody: they share no room any more.
    world.adds_device("ada", "ada-2");
    world.settle();
    world.commands("ben", command::parse("/room new two cleo ada").expect("a command"));
    world.settle();
    club::speaks(&mut world, "ben", "#two", "hello, both of you");
    world.settle();
    for who in ["ada", "ada-2", "cleo"] {
        assert_eq!(said(&mut world, who, "#two"), ["ben: hello, both of you"], "{who}");
    }
    assert_eq!(head(&mut world, "ada-2", "#two"), head(&mut world, "ben", "#two"));
}

#[test]
fn the_other_devices_of_who_left_a_room_went_on_writing_there() {
    let mut world = club(25, &["ben", "cleo"]);
    world.adds_device("ben", "ben-2");
    world.settle();
    does(&mut world, "ben", "#club", "/room leave");
    world.settle();
    assert!(!group(&mut world, "ben-2", "#club").is_open());
    assert_eq!(unreceipted(&mut world, "ben-2"), 0);
}

#[test]
fn what_came_late_stood_behind_what_was_written_later() {
    let mut world = World::with(26, &["ada", "ben"]);
    world.says("ada", "ben", "hello");
    world.settle();
    world.kill("ben");
    for text in ["zero", "one", "two"] {
        world.says("ada", "ben", text);
    }
    world.settle();
    // The second of three is held back until something else comes.
    let (mut seen, mut held) = (0, Vec::new());
    let late = Arc::new(AtomicBool::new(true));
    let on = late.clone();
    world.liar = Some(Box::new(move |who, frame| match frame {
        ToDevice::Deliver(delivery) if who == "ben" => {
            seen += 1;
            if seen == 2 {
                held.push(ToDevice::Deliver(delivery));
                return Vec::new();
            }
            let late = if on.load(Ordering::Relaxed) { Vec::new() } else { std::mem::take(&mut held) };
            [vec![ToDevice::Deliver(delivery)], late].concat()
        }
        frame => vec![frame],
    }));
    world.starts("ben");
    world.settle();
    assert_eq!(world.timeline("ben", "ada"), ["hello", "zero", "two"]);
    late.store(false, Ordering::Relaxed);
    world.says("ada", "ben", "three");
    world.settle();
    let said = ["hello", "zero", "one", "two", "three"];
    assert_eq!(world.timeline("ben", "ada"), said);
    world.restarts("ben");
    assert_eq!(world.timeline("ben", "ada"), said, "read again");
    let screen = world.screen("ben", 80, 20);
    let at = |text: &str| screen.find(text).expect("it is shown");
    assert!(at("one") < at("two") && at("two") < at("three"), "{screen}");
}

#[test]
fn an_export_of_a_linked_device_never_ended() {
    let mut world = World::with(27, &["ada", "ben"]);
    for line in 0..300 {
        world.says("ada", "ben", &format!("line {line}"));
    }
    world.settle();
    world.adds_device("ada", "ada-2");
    world.passes(60_000);
    world.says("ada", "ben", "the last line");
    world.settle();
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("all.txt").to_string_lossy().into_owned();
    let job = Job::new(world.app("ada-2").chat(), None, path.clone());
    let store = world.disk("ada-2");
    assert_eq!(write(&store, &job, &mut |done, all| done <= all), Ok(301));
    let text = std::fs::read_to_string(path).expect("written");
    assert!(text.contains("ada: line 0\n") && text.trim_end().ends_with("ada: the last line"), "{text}");
}

/// Slots of sessions, as `session::kept` numbers them.
const INBOUND: u8 = 2;

#[test]
fn what_was_acknowledged_while_the_relay_s_disk_was_full_lay_there_for_ever() {
    let mut world = World::with(28, &["ada", "ben"]);
    world.says("ada", "ben", "hello");
    world.settle();
    world.says("ben", "ada", "on its way");
    world.relay_disk_full(false);
    let full = Arc::new(AtomicBool::new(false));
    let now = full.clone();
    world.liar = Some(Box::new(move |_, frame| {
        now.fetch_or(matches!(frame, ToDevice::Deliver(_)), Ordering::Relaxed);
        vec![frame]
    }));
    while !full.load(Ordering::Relaxed) {
        world.passes(1);
    }
    world.relay_disk_full(true);
    world.passes(30_000);
    world.relay_disk_full(false);
    world.passes(60_000);
    assert_eq!(world.timeline("ada", "ben"), ["hello", "on its way"]);
    assert_eq!(world.relay().mailbox().totals().expect("memory").bytes, 0);
}

#[test]
fn what_followed_a_refused_line_to_another_of_its_devices_came_before_it_and_did_not_open() {
    let mut world = World::with(29, &["cleo", "dan"]);
    world.adds_device("dan", "dan-2");
    world.commands("cleo", command::parse("/room new club dan").expect("a command"));
    world.settle();
    world.relay_disk_full(true);
    speaks(&mut world, "cleo", "from cleo");
    world.settle();
    world.relay_disk_full(false);
    speaks(&mut world, "dan-2", "from dan");
    world.settle();
    world.passes(30_000);
    for who in ["cleo", "dan", "dan-2"] {
        assert_eq!(unreceipted(&mut world, who), 0, "{who}");
        assert_eq!(world.timeline(who, "#club").len(), 2, "{who}");
    }
    assert!(world.lines("dan", "#club").iter().all(|line| line.author != Author::Alarm));
}

/// A file to somebody new, written while the relay is away; its sender and its reader die after so many
/// effects each, and come back. Whether both had died with all of it at the relay, and what became of it.
fn file_of_two_deaths(sender: u64, reader: u64) -> (bool, Vec<Phase>) {
    let mut world = World::with(30, &["ada"]);
    let dir = tempfile::tempdir().expect("a folder");
    let mut config = Config::default();
    config.vault.idle_lock = "off".into();
    config.files.auto_mb = 5;
    config.files.folder = dir.path().join("in").to_string_lossy().into_owned();
    world.joins_with("ben", config);
    world.settle();
    world.relay_crashes();
    let path = dir.path().join("it.bin");
    std::fs::write(&path, vec![7; 70_000]).expect("written");
    let path = path.to_string_lossy().into_owned();
    world.commands("ada", Command::Attach { to: Some(name("ben")), path, caption: String::new() });
    world.passes(200);
    world.kill_after("ada", sender);
    world.start_relay();
    world.kill_after("ben", reader);
    world.passes(1_500);
    let mut there = 0;
    world.relay_files().spoil(|bytes| there += bytes.len() as u64);
    let dead = !world.alive("ada") && !world.alive("ben");
    for who in ["ada", "ben"] {
        world.is_spared(who);
        world.restarts(who);
    }
    world.settle();
    world.passes(300_000);
    let phases = ["ada", "ben"]
        .iter()
        .flat_map(|who| world.app(who).chat().transfers.clone())
        .map(|it| it.kept.phase)
        .collect();
    (dead && there == sealed_size(70_000), phases)
}

#[test]
fn a_file_that_was_all_there_when_both_ends_died_was_given_up() {
    let mut all_there = 0;
    for sender in (20..36).chain((36..64).step_by(2)) {
        for reader in [0, 7, 13, 20, 26] {
            let (there, phases) = file_of_two_deaths(sender, reader);
            let whole = phases.iter().all(|phase| *phase == Phase::Done);
            assert!(whole && phases.len() == 2, "after {sender} and {reader} effects: {phases:?}");
            all_there += u32::from(there);
        }
    }
    assert!(all_there > 0, "they never died with all of it at the relay");
}

#[test]
fn a_receipt_to_a_room_was_forgotten_when_an_own_device_had_heard_of_it_first() {
    for millis in 0..12 {
        let mut world = club(31, &["ben"]);
        world.adds_device("ada", "ada-2");
        world.settle();
        let room = world.app("ada-2").chat().room_named("club").expect("in that room").id;
        world.commands("ada-2", Command::Open(room));
        world.settle();
        speaks(&mut world, "ben", "do you read this?");
        world.passes(millis * 5);
        world.restarts("ada-2");
        world.settle();
        assert_eq!(unreceipted(&mut world, "ben"), 0, "after {} ms", millis * 5);
    }
}

#[test]
fn what_followed_a_timer_that_came_before_the_first_line_was_lost() {
    let mut world = World::with(9628, &["ada", "ben"]);
    world.commands("ada", Command::Add(name("ben")));
    world.commands("ada", Command::Expire(Some(600)));
    world.says("ada", "ben", "hello");
    world.settle();
    assert_eq!(world.timeline("ben", "ada"), ["hello"]);
    assert!(world.marks("ada", "ben").iter().all(|mark| *mark >= LineState::Delivered));
    let lines = world.lines("ben", "ada");
    assert!(
        lines.iter().any(|line| line.body == "ada set messages to disappear 10 minutes after they are read")
    );
    assert_eq!(unreceipted(&mut world, "ada"), 0);
}

#[test]
fn a_file_that_a_timer_overtook_on_its_way_to_somebody_new_was_lost() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("tea.bin");
    std::fs::write(&path, vec![7; 70_000]).expect("written");
    let mut world = World::with(9629, &["ada", "ben"]);
    world.relay_crashes();
    let path = path.to_string_lossy().into_owned();
    world.commands("ada", Command::Attach { to: Some(name("ben")), path, caption: String::new() });
    world.passes(20_000);
    world.commands("ada", Command::Add(name("ben")));
    world.commands("ada", Command::Expire(Some(600)));
    world.start_relay();
    world.passes(60_000);
    let came =
        |line: &subrosa::chat::timeline::Line| line.author == Author::Them && line.body.contains("tea.bin");
    assert!(world.lines("ben", "ada").iter().any(came));
    assert_eq!(unreceipted(&mut world, "ada"), 0);
}

#[test]
fn what_followed_a_new_device_that_came_before_the_first_line_was_lost() {
    let mut world = World::with(9630, &["ada", "ben"]);
    world.commands("ada", Command::Add(name("ben")));
    world.settle();
    world.adds_device("ada", "ada2");
    world.settle();
    world.says("ada", "ben", "hello");
    world.settle();
    assert_eq!(world.timeline("ben", "ada"), ["hello"]);
    assert_eq!(unreceipted(&mut world, "ada"), 0);
}

/// Ada and Ben, who have spoken to each other.
fn friends(seed: u64) -> World {
    let mut world = World::with(seed, &["ada", "ben"]);
    world.says("ada", "ben", "hello");
    world.settle();
    world.says("ben", "ada", "hello");
    world.settle();
    world
}

/// For how long messages of a conversation stay at somebody's.
fn timer(world: &mut World, who: &str, with: &str) -> u32 {
    let chat = world.app(who).chat();
    let room = if with.starts_with('#') { chat.room_named(with) } else { chat.with(&name(with)) };
    room.expect("there is one").timeline.timer()
}

#[test]
fn two_who_set_a_timer_at_the_same_time_each_took_the_other_s() {
    let mut world = friends(9640);
    world.commands("ada", Command::Add(name("ben")));
    world.commands("ben", Command::Add(name("ada")));
    world.commands("ada", Command::Expire(Some(60)));
    world.commands("ben", Command::Expire(Some(3600)));
    world.settle();
    let both = [timer(&mut world, "ada", "ben"), timer(&mut world, "ben", "ada")];
    assert!(both == [60; 2] || both == [3600; 2], "{both:?}");
    // And whoever sets it next is followed.
    world.commands("ada", Command::Expire(Some(600)));
    world.settle();
    assert_eq!(timer(&mut world, "ben", "ada"), 600);
}

#[test]
fn a_timer_that_was_set_without_a_connection_was_forgotten() {
    let mut world = World::with(9641, &["ada", "ben"]);
    world.commands("ada", Command::Add(name("ben")));
    world.settle();
    world.relay_crashes();
    world.commands("ada", Command::Expire(Some(600)));
    world.restarts("ada");
    world.start_relay();
    world.passes(60_000);
    world.says("ada", "ben", "hello");
    world.settle();
    assert_eq!(timer(&mut world, "ben", "ada"), 600);
}

#[test]
fn who_begins_anew_did_not_learn_of_the_timer() {
    let mut world = friends(9642);
    world.commands("ada", Command::Add(name("ben")));
    world.commands("ada", Command::Expire(Some(600)));
    world.settle();
    // A new machine of Ben's, which is linked: the timer is the conversation's there, too.
    world.adds_device("ben", "ben-2");
    world.passes(3_000);
    assert_eq!(timer(&mut world, "ben-2", "ada"), 600);
    world.commands("ben-2", Command::Add(name("ada")));
    world.commands("ben-2", Command::Expire(Some(0)));
    world.settle();
    for _ in 0..2 {
        for (who, with) in [("ada", "ben"), ("ben", "ada"), ("ben-2", "ada")] {
            assert_eq!(timer(&mut world, who, with), 0, "{who}");
            world.restarts(who);
        }
        world.settle();
    }
}

#[test]
fn who_came_into_a_room_later_did_not_learn_of_its_timer() {
    for past in ["on", "off"] {
        let mut world = club(9643, &["ben"]);
        world.joins("cleo");
        world.settle();
        does(&mut world, "ada", "#club", &format!("/room history {past}"));
        let room = world.app("ada").chat().room_named("#club").expect("hers").id;
        world.commands("ada", Command::Open(room));
        world.commands("ada", Command::Expire(Some(3600)));
        world.settle();
        assert_eq!(timer(&mut world, "ben", "#club"), 3600);
        does(&mut world, "ada", "#club", "/invite cleo");
        world.settle();
        let invited = world.app("cleo").chat().room_named("#club").map(|room| room.id);
        world.commands("cleo", Command::Room(invited, RoomCommand::Accept));
        world.passes(10_000);
        assert_eq!(timer(&mut world, "cleo", "#club"), 3600, "{past}");
    }
}

#[test]
fn a_text_that_stays_was_lost_when_another_was_deleted_in_the_same_moment() {
    let mut world = World::with(9631, &["ada", "ben"]);
    world.says("ada", "ben", "hello");
    world.settle();
    world.commands("ben", Command::Add(name("ada")));
    world.kill("ada");
    world.adds_device("ben", "ben-2");
    world.passes(3_000);
    // Ada does not know that device: all that follows waits for the list that names it, and comes at once.
    world.says("ben-2", "ada", "from my laptop");
    world.settle();
    world.commands("ben", Command::Expire(Some(600)));
    world.says("ben", "ada", "this stays for a while");
    world.says("ben", "ada", "this was not meant");
    world.settle();
    let mut lines = world.lines("ben", "ada").into_iter();
    let line = lines.find(|line| line.body == "this was not meant").expect("written");
    world.commands("ben", Command::Line(Some(line.id), LineCommand::Delete));
    world.settle();
    world.starts("ada");
    world.settle();
    for _ in 0..2 {
        let said = world.timeline("ada", "ben");
        assert!(said.iter().any(|text| text == "this stays for a while"), "{said:?}");
        assert!(said.iter().all(|text| text != "this was not meant"), "{said:?}");
        world.restarts("ada");
        world.settle();
    }
    let links = world.disk("ada").slots.list(SLOT_KIND);
    let link = Chain::read(&links[0].1).expect("a link");
    assert_ne!(format!("{link:?}"), "Chain { generation: 0, .. }", "the key of what was deleted is gone");
}

#[test]
fn what_was_said_in_a_room_never_reached_a_device_that_was_linked_while_its_author_was_away() {
    for met in [false, true] {
        let mut world = club(9632, &["ben"]);
        if met {
            world.says("ben", "ada", "a word between us");
            world.settle();
        }
        speaks(&mut world, "ada", "soon taken back");
        world.settle();
        world.cuts_off("ada", false);
        speaks(&mut world, "ada", "said while I was away");
        let line = club::lines(&mut world, "ada", "#club").remove(0);
        world.commands("ada", Command::Line(Some(line.id), LineCommand::Delete));
        world.settle();
        world.adds_device("ben", "ben-2");
        world.passes(20_000);
        assert_eq!(said(&mut world, "ben-2", "#club"), ["ada: soon taken back"], "{met}");
        world.is_back("ada");
        world.passes(20_000);
        assert_eq!(said(&mut world, "ben-2", "#club"), ["ada: ", "ada: said while I was away"], "{met}");
        assert_eq!(unreceipted(&mut world, "ada"), 0, "{met}");
    }
}

#[test]
fn what_was_done_to_an_own_line_in_a_room_was_lost_on_a_device_that_got_the_line_later() {
    for seconds in [None, Some(600)] {
        let mut world = club(9633, &["ben"]);
        for device in ["ada-2", "ada-3"] {
            world.adds_device("ada", device);
            world.passes(3_000);
        }
        if seconds.is_some() {
            let room = club::id(&mut world, "ada", "#club");
            world.commands("ada", Command::Open(room));
            world.commands("ada", Command::Expire(seconds));
            world.settle();
        }
        // What the desk says comes late to one of the other devices.
        let desk = world.app("ada").device();
        let late = Arc::new(AtomicBool::new(true));
        let (on, mut held) = (late.clone(), Vec::new());
        world.liar = Some(Box::new(move |who, frame| match frame {
            ToDevice::Deliver(delivery) if who == "ada-2" && delivery.from == desk => {
                held.push(ToDevice::Deliver(delivery));
                if on.load(Ordering::Relaxed) { Vec::new() } else { std::mem::take(&mut held) }
            }
            frame => vec![frame],
        }));
        speaks(&mut world, "ada", "helo");
        world.settle();
        let id = club::lines(&mut world, "ada", "#club").remove(0).id;
        let sign = LineCommand::React(Some("👍".into()), Some(true));
        for (who, command) in [("ben", sign), ("ada-3", LineCommand::Edit(Some("hello".into())))] {
            let room = club::id(&mut world, who, "#club");
            world.commands(who, Command::Open(room));
            world.commands(who, Command::Line(Some(id), command));
            world.settle();
        }
        // Both wait for their line; sealed, if it disappears.
        let acts = Table { byte: 0xa1, name: "acts before their line" };
        let rows = world.disk("ada-2").records.scan(acts, &[], &[], Order::Forward, 9).expect("memory");
        let sealed: Vec<bool> = rows.iter().map(|(_, value)| value[0] == 1).collect();
        assert_eq!(sealed, [seconds.is_some(); 2]);
        late.store(false, Ordering::Relaxed);
        speaks(&mut world, "ada", "and on");
        world.settle();
        let mut lines = club::lines(&mut world, "ada-2", "#club").into_iter();
        let line = lines.find(|line| line.id == id).expect("it came");
        assert_eq!((line.body.as_str(), line.signs().len()), ("hello", 1), "{seconds:?}");
    }
}

#[test]
fn a_conversation_that_was_closed_held_up_what_was_said_to_that_person_in_a_room() {
    for blocked in [false, true] {
        let mut world = club(9635, &["ben"]);
        world.is_wary("ada");
        world.says("ben", "ada", "a word between us");
        world.settle();
        if blocked {
            world.commands("ada", Command::Block(Some(name("ben"))));
            world.settle();
        }
        world.kill("ada");
        speaks(&mut world, "ben", "does this open?");
        world.settle();
        forgets_sessions(&mut world, "ada");
        world.starts("ada");
        world.settle();
        speaks(&mut world, "ada", "do you hear me?");
        world.settle();
        let heard = said(&mut world, "ben", "#club");
        assert!(heard.iter().any(|line| line == "ada: do you hear me?"), "{blocked}: {heard:?}");
        // Of who is blocked nothing is shown.
        let shown = said(&mut world, "ada", "#club").iter().any(|line| line == "ben: does this open?");
        assert_eq!(shown, !blocked);
    }
}

#[test]
fn somebody_blocked_could_not_say_that_a_message_in_a_room_did_not_open() {
    let mut world = club(9636, &["ben"]);
    world.says("ben", "ada", "a word between us");
    world.settle();
    world.commands("ben", Command::Block(Some(name("ada"))));
    world.kill("ada");
    speaks(&mut world, "ben", "does this open?");
    world.settle();
    forgets_sessions(&mut world, "ada");
    world.starts("ada");
    world.settle();
    assert_eq!(said(&mut world, "ada", "#club"), ["ben: does this open?"]);
    assert_eq!(unreceipted(&mut world, "ben"), 0);
}

#[test]
fn what_was_said_in_a_room_was_taken_back_from_a_member_whose_request_was_declined() {
    let mut world = club(9637, &["ben"]);
    world.is_wary("ada");
    world.says("ben", "ada", "a word between us");
    world.settle();
    world.relay_crashes();
    speaks(&mut world, "ada", "to all of you");
    world.commands("ada", Command::DeclineRequest(Some(name("ben"))));
    world.start_relay();
    world.passes(5_000);
    assert_eq!(said(&mut world, "ben", "#club"), ["ada: to all of you"]);
    speaks(&mut world, "ada", "and this");
    world.settle();
    assert_eq!(said(&mut world, "ben", "#club"), ["ada: to all of you", "ada: and this"]);
    assert_eq!(unreceipted(&mut world, "ada"), 0);
}

#[test]
fn what_was_taken_back_before_it_went_out_to_somebody_new_waited_for_ever() {
    for who in ["ada", "ada-2"] {
        let mut world = World::with(9642, &["ada"]);
        world.adds_device("ada", "ada-2");
        world.settle();
        // Nobody is called that yet.
        world.says("ada", "ben", "not meant for anybody");
        world.settle();
        let room = world.app(who).chat().with(&name("ben")).expect("on both devices").id;
        let mut lines = world.lines(who, "ben").into_iter();
        let line = lines.find(|line| line.author == Author::Me).expect("written");
        world.commands(who, Command::Open(room));
        world.commands(who, Command::Line(Some(line.id), LineCommand::Edit(Some("a secret".into()))));
        world.settle();
        world.commands(who, Command::Line(Some(line.id), LineCommand::Delete));
        world.settle();
        world.joins("ben");
        world.passes(130_000);
        for device in ["ada", "ada-2"] {
            assert_eq!(world.timeline(device, "ben"), [""], "{who}: {device}");
            assert_eq!(unreceipted(&mut world, device), 0, "{who}: {device}");
        }
        assert!(world.app("ben").chat().rooms.is_empty(), "{who}: he is told nothing");
        // What is meant goes out.
        world.says(who, "ben", "hello");
        world.passes(5_000);
        assert_eq!(world.timeline("ben", "ada"), ["hello"], "{who}");
    }
}

/// What Ada and Ben have together: what she calls it, and what he does.
const TOGETHER: [(&str, &str); 2] = [("ben", "ada"), ("#club", "#club")];

/// Ada's room with the others in it; she and Ben have spoken to each other, too.
fn club_of_friends(seed: u64, others: &[&str]) -> World {
    let mut world = club(seed, others);
    for (who, with) in [("ada", "ben"), ("ben", "ada")] {
        world.says(who, with, "hello");
        world.settle();
    }
    world
}

/// Opens a conversation or a room.
fn opens(world: &mut World, who: &str, with: &str) {
    let open = if with.starts_with('#') {
        Command::Open(club::id(world, who, with))
    } else {
        Command::Add(name(with))
    };
    world.commands(who, open);
}

#[test]
fn who_took_the_last_moment_set_the_timer_for_ever() {
    for (with, back) in TOGETHER {
        let mut world = club_of_friends(9650, &["ben", "cleo"]);
        opens(&mut world, "ben", back);
        world.clock_off("ben", 1 << 60);
        world.commands("ben", Command::Expire(Some(EXPIRY_MAX)));
        world.clock_off("ben", 0);
        world.settle();
        opens(&mut world, "ada", with);
        for seconds in [3600, 0] {
            world.commands("ada", Command::Expire(Some(seconds)));
            world.settle();
            assert_eq!(timer(&mut world, "ada", with), seconds, "{with}");
        }
        world.commands("ada", Command::Expire(Some(600)));
        world.settle();
        if with == "#club" {
            assert_eq!(timer(&mut world, "cleo", with), 600);
        }
        // Nor does it hold for ever where it was set.
        world.restarts("ben");
        world.settle();
        world.commands("ada", Command::Expire(Some(300)));
        world.settle();
        assert_eq!(timer(&mut world, "ben", back), 300, "{with}");
    }
}

#[test]
fn of_two_timers_of_one_moment_the_one_that_holds_was_later_on_another_device() {
    let mut world = friends(9651);
    world.adds_device("ada", "ada-2");
    world.passes(3_000);
    world.says("ada-2", "ben", "from my laptop");
    world.settle();
    opens(&mut world, "ada", "ben");
    opens(&mut world, "ben", "ada");
    world.commands("ada", Command::Expire(Some(60)));
    world.commands("ben", Command::Expire(Some(3600)));
    world.settle();
    // By a clock that is behind, it is set no later than it must be.
    world.clock_off("ben", -3_600_000);
    world.commands("ben", Command::Expire(Some(60)));
    world.settle();
    for (who, with) in [("ada", "ben"), ("ada-2", "ben"), ("ben", "ada")] {
        assert_eq!(timer(&mut world, who, with), 60, "{who}");
    }
}

#[test]
fn a_new_device_did_not_learn_of_a_room_s_timer_that_was_under_way() {
    let mut world = club(9652, &["ben"]);
    speaks(&mut world, "ada", "hello");
    world.settle();
    world.cuts_off("ada", false);
    // Sealed for the one device that Ben has.
    world.commands("ada", Command::Expire(Some(3600)));
    world.settle();
    world.adds_device("ben", "ben-2");
    world.passes(20_000);
    assert_eq!(timer(&mut world, "ben-2", "#club"), 0);
    world.is_back("ada");
    world.passes(20_000);
    for who in ["ada", "ben", "ben-2"] {
        assert_eq!(timer(&mut world, who, "#club"), 3600, "{who}");
    }
}

#[test]
fn a_timer_that_a_new_device_set_was_older_than_the_one_that_it_was_told_of() {
    for (with, back) in TOGETHER {
        let mut world = club_of_friends(9653, &["ben"]);
        opens(&mut world, "ada", with);
        world.clock_off("ada", 2 * 3_600_000);
        world.commands("ada", Command::Expire(Some(3600)));
        world.clock_off("ada", 0);
        world.settle();
        world.adds_device("ben", "ben-2");
        world.passes(3_000);
        opens(&mut world, "ben-2", back);
        world.commands("ben-2", Command::Expire(Some(60)));
        world.passes(5_000);
        for (who, with) in [("ada", with), ("ben", back), ("ben-2", back)] {
            assert_eq!(timer(&mut world, who, with), 60, "{who}: {with}");
        }
    }
}

#[test]
fn what_was_said_while_the_other_device_was_away_does_not_disappear_unread() {
    for (with, back) in TOGETHER {
        let mut world = club_of_friends(9654, &["ben"]);
        world.adds_device("ada", "ada-2");
        world.passes(3_000);
        opens(&mut world, "ada-2", with);
        world.commands("ada-2", Command::Say("from my laptop".into()));
        world.settle();
        opens(&mut world, "ada", with);
        world.commands("ada", Command::Expire(Some(30)));
        world.settle();
        for device in ["ada", "ada-2"] {
            world.event(device, Event::Focus(false));
        }
        world.cuts_off("ada-2", false);
        for text in ["in the train", "and still in the train"] {
            world.commands("ada-2", Command::Say(text.into()));
        }
        opens(&mut world, "ben", back);
        world.commands("ben", Command::Say("the code is 4711".into()));
        world.settle();
        world.is_back("ada-2");
        world.passes(60_000);
        let there = |world: &mut World, device: &str| {
            world.timeline(device, with).iter().any(|text| text == "the code is 4711")
        };
        for device in ["ada", "ada-2"] {
            assert!(there(&mut world, device), "{with}: nobody has seen it on {device}");
        }
        world.event("ada", Event::Focus(true));
        world.passes(35_000);
        for device in ["ada", "ada-2"] {
            assert!(!there(&mut world, device), "{with}: it was read, and is still on {device}");
        }
    }
}

#[test]
fn what_was_answered_without_a_look_stayed_unread_on_the_other_device() {
    for receipts in [true, false] {
        answers_without_a_look(receipts);
    }
}

fn answers_without_a_look(receipts: bool) {
    let mut world = World::new(9655);
    let mut config = Config::default();
    config.privacy.read_receipts = receipts;
    world.joins_with("ada", config);
    world.joins("ben");
    world.says("ben", "ada", "hello");
    world.settle();
    world.says("ada", "ben", "hello");
    world.settle();
    world.joins("cleo");
    world.adds_device("ada", "ada-2");
    world.passes(3_000);
    for device in ["ada", "ada-2"] {
        world.event(device, Event::Focus(false));
    }
    world.says("ben", "ada", "how are you?");
    // The newest conversation is the one that the next run opens.
    world.passes(5_000);
    world.says("cleo", "ada", "hello");
    world.settle();
    world.restarts("ada");
    world.event("ada", Event::Focus(false));
    world.settle();
    let unread = |world: &mut World, device: &str| {
        world.app(device).chat().with(&name("ben")).expect("they talk").kept.unread
    };
    assert!(unread(&mut world, "ada-2") > 0);
    world.says("ada", "ben", "well");
    world.settle();
    assert_eq!(unread(&mut world, "ada-2"), 0);
}

/// Ada's room with Ben, where what is said disappears a minute after it was read; what comes to `ada-2` from
/// elsewhere than the desk waits, that of Ben for longest, until it comes and Ben does something more.
fn club_that_comes_late_to_a_second_device(seed: u64, others: &[&str]) -> (World, Late) {
    let mut world = club(seed, &["ben"]);
    for device in ["ada-2"].iter().chain(others) {
        world.adds_device("ada", device);
        world.passes(3_000);
    }
    opens(&mut world, "ada", "#club");
    world.commands("ada", Command::Expire(Some(60)));
    world.settle();
    world.event("ada-2", Event::Focus(false));
    let desk = world.app("ada").device();
    let late = Late::arranged(
        &mut world,
        "ada-2",
        move |delivery| delivery.from != desk,
        |held| held.sort_by_key(|delivery| delivery.name.as_str() == "ben"),
    );
    (world, late)
}

/// What was held back comes, and then a sign of Ben's on the last line.
fn comes_at_last(world: &mut World, late: &Late) {
    late.comes();
    let line = club::lines(world, "ben", "#club").pop().expect("he said something").id;
    opens(world, "ben", "#club");
    world.commands("ben", Command::Line(Some(line), LineCommand::React(Some("👍".into()), Some(true))));
    world.settle();
}

fn unread_in_club(world: &mut World, who: &str) -> u32 {
    world.app(who).chat().room_named("#club").expect("in that room").kept.unread
}

#[test]
fn what_was_read_in_a_room_before_it_came_to_the_other_device_stayed_unread_there() {
    let (mut world, late) = club_that_comes_late_to_a_second_device(9656, &[]);
    speaks(&mut world, "ben", "the code is 4711");
    world.settle();
    let there = |world: &mut World| world.timeline("ada-2", "#club").iter().any(|text| text.contains("4711"));
    assert_eq!(unread_in_club(&mut world, "ada"), 0);
    assert!(!there(&mut world));
    comes_at_last(&mut world, &late);
    assert!(there(&mut world));
    assert_eq!(unread_in_club(&mut world, "ada-2"), 0);
    world.passes(65_000);
    assert!(!there(&mut world), "its time began");
}

#[test]
fn of_what_two_devices_had_read_in_a_room_before_it_came_to_a_third_the_newest_counts_there() {
    let (mut world, late) = club_that_comes_late_to_a_second_device(9657, &["ada-3"]);
    opens(&mut world, "ada-3", "#club");
    world.event("ada", Event::Focus(false));
    speaks(&mut world, "ben", "one");
    world.settle();
    // That she has read so far comes after the desk's word on more.
    world.event("ada-3", Event::Focus(false));
    world.event("ada", Event::Focus(true));
    speaks(&mut world, "ben", "two");
    world.settle();
    assert!(club::lines(&mut world, "ada-2", "#club").is_empty());
    comes_at_last(&mut world, &late);
    assert_eq!(said(&mut world, "ada-2", "#club"), ["ben: one", "ben: two"]);
    assert_eq!(unread_in_club(&mut world, "ada-2"), 0);
}

#[test]
fn what_was_said_after_what_another_device_had_read_disappeared_unread_when_that_came_late() {
    let mut world = friends(9658);
    world.adds_device("ada", "ada-2");
    world.adds_device("ben", "ben-2");
    world.passes(3_000);
    opens(&mut world, "ada", "ben");
    world.commands("ada", Command::Expire(Some(60)));
    world.settle();
    world.event("ada-2", Event::Focus(false));
    let desk = world.app("ben").device();
    let late = Late::new(&mut world, "ada-2", move |delivery| delivery.from == desk);
    world.says("ben", "ada", "read at the desk");
    world.settle();
    world.event("ada", Event::Focus(false));
    world.says("ben-2", "ada", "read by nobody");
    world.settle();
    late.comes();
    world.says("ben", "ada", "and that");
    world.settle();
    let there = ["read at the desk", "read by nobody", "and that"];
    assert_eq!(world.timeline("ada-2", "ben")[2..], there);
    world.passes(65_000);
    assert_eq!(
        world.timeline("ada-2", "ben")[2..].iter().filter(|text| there[1..].contains(&text.as_str())).count(),
        2
    );
}
