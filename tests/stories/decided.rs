//! What is decided on one device holds on all of that person, whatever was lost on the way; what nobody decided
//! changes nothing on another.

use subrosa::chat::Link;
use subrosa::chat::person::Trouble;
use subrosa::ui::command::{self, Command};
use subrosa::ui::devices::DevicesCommand;
use subrosa::ui::rooms::RoomCommand;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::frame::ToDevice;
use subrosa_shared::session::Identity;
use subrosa_shared::session::kept::{BUNDLES, OUTBOUND};
use subrosa_shared::store::{Order, SlotKey, SlotWrite, Write, prefix_end};
use subrosa_tests::World;
use subrosa_tests::club::{said, speaks};
use subrosa_tests::words::{alarms, notes};

const DAY: u64 = 24 * 3_600_000;

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("valid")
}

/// Ada has a desk and a laptop, and knows Cleo.
fn desk_and_laptop(seed: u64, others: &[&str]) -> World {
    let all: Vec<&str> = ["ada", "cleo"].into_iter().chain(others.iter().copied()).collect();
    let mut world = World::with(seed, &all);
    acquainted(&mut world, "cleo");
    world.adds_device("ada", "laptop");
    world.passes(3_000);
    world
}

/// The desk has nothing left to begin another session with its laptop: what is lost on the way there makes nothing
/// unreadable that comes after it.
fn goes_on(world: &mut World, with: &str) {
    // What the relay handed out for a session is not kept.
    world.restarts("ada");
    world.settle();
    let laptop = world.app("laptop").device();
    for n in 0..100 {
        world.says("ada", with, &format!("line {n}"));
        world.settle();
        let store = world.disk("ada").records;
        let left = store.scan(BUNDLES, &laptop.0, &prefix_end(&laptop.0), Order::Forward, 1);
        if left.expect("a memory store reads").is_empty() {
            return;
        }
    }
    panic!("the laptop goes on giving bundles");
}

fn acquainted(world: &mut World, other: &str) {
    world.knows("ada", other);
    world.knows(other, "ada");
    world.says(other, "ada", "hello ada");
    world.settle();
    world.says("ada", other, "hello");
    world.settle();
}

fn slash(world: &mut World, who: &str, line: &str) {
    world.commands(who, command::parse(line).expect("a command"));
    world.settle();
}

/// From now on nothing comes to the laptop.
fn hides(world: &mut World) {
    world.liar = Some(Box::new(|who, frame| match frame {
        ToDevice::Deliver(_) if who == "laptop" => Vec::new(),
        frame => vec![frame],
    }));
}

/// The relay shows these Mallory's key as Ben's, and may hide from the laptop what comes for it.
fn lies(world: &mut World, to: &'static [&'static str], hides: bool) {
    let mallory = Identity::from_seed(&world.seed_of("mallory"));
    world.liar = Some(Box::new(move |who, frame| match frame {
        ToDevice::Devices { ask, name, .. } if to.contains(&who) && name.as_str() == "ben" => {
            let versions = vec![mallory.begins(&name)];
            vec![ToDevice::Devices { ask, name, versions, certs: vec![] }]
        }
        ToDevice::Deliver(_) if hides && who == "laptop" => Vec::new(),
        frame => vec![frame],
    }));
}

fn trouble(world: &mut World, who: &str) -> Option<Trouble> {
    world.app(who).chat().with(&name("ben")).expect("known").trouble()
}

fn is_verified(world: &mut World, who: &str) -> bool {
    world.app(who).chat().with(&name("ben")).is_some_and(|room| room.is_verified())
}

/// Ada compares Ben's number with him.
fn verifies(world: &mut World) {
    let chat = world.app("ada").chat();
    let number = chat.safety(chat.with(&name("ben")).expect("known")).expect("a key is known").0.to_string();
    slash(world, "ada", &format!("/verify ben {number}"));
}

#[test]
fn a_key_that_another_device_saw_first_was_accepted_in_place_of_the_pinned_one() {
    for both in [true, false] {
        let mut world = desk_and_laptop(1, &["ben", "mallory"]);
        goes_on(&mut world, "cleo");
        hides(&mut world);
        world.knows("ada", "ben");
        world.knows("ben", "ada");
        let lied: &'static [&'static str] = if both { &["ada", "laptop"] } else { &["laptop"] };
        lies(&mut world, lied, true);
        // The desk hears that he has another device, and asks who he is.
        world.adds_device("ben", "tablet");
        world.passes(3_000);
        assert_eq!(trouble(&mut world, "ada"), both.then_some(Trouble::Changed));
        // The laptop hears of him only now.
        lies(&mut world, lied, false);
        world.says("ada", "ben", "a secret");
        world.passes(10_000);
        assert!(world.timeline("laptop", "ben").contains(&"a secret".into()));
        assert_eq!(trouble(&mut world, "ada"), Some(Trouble::Changed), "both: {both}");
        let told = notes(&mut world, "ada", "ben");
        assert!(!told.iter().any(|note| note.contains("you accepted")), "both: {both}: {told:?}");
    }
}

#[test]
fn a_device_that_sees_another_key_than_the_one_that_was_decided_on_is_told_of_it() {
    let mut world = desk_and_laptop(2, &["ben", "mallory"]);
    goes_on(&mut world, "cleo");
    lies(&mut world, &["ada"], true);
    world.knows("ada", "ben");
    hides(&mut world);
    world.says("ben", "ada", "it is me");
    world.passes(3_000);
    assert_eq!(trouble(&mut world, "ada"), Some(Trouble::Changed));
    world.types("ada", "/trust\ny");
    world.settle();
    assert_eq!(trouble(&mut world, "ada"), None);
    lies(&mut world, &["laptop"], false);
    world.says("ada", "ben", "a secret");
    world.passes(10_000);
    assert_eq!((trouble(&mut world, "ada"), trouble(&mut world, "laptop")), (None, Some(Trouble::Changed)));
}

#[test]
fn the_pinned_key_was_kept_on_one_device_and_the_others_went_on_asking() {
    let mut world = desk_and_laptop(9, &["ben", "mallory"]);
    acquainted(&mut world, "ben");
    lies(&mut world, &["ada", "laptop", "phone"], false);
    world.adds_device("ben", "tablet");
    world.says("ben", "ada", "i have a tablet");
    world.passes(3_000);
    let both = |world: &mut World| [trouble(world, "ada"), trouble(world, "laptop")];
    assert_eq!(both(&mut world), [Some(Trouble::Changed); 2]);
    slash(&mut world, "ada", "/distrust ben");
    world.passes(3_000);
    assert_eq!(both(&mut world), [None; 2]);
    let told = notes(&mut world, "laptop", "ben");
    assert!(told.iter().any(|note| note.contains("you kept the key of ben that is pinned here")), "{told:?}");
    // The relay goes on, and there is a device that comes only now: it saw no alarm.
    world.adds_device("ada", "phone");
    world.passes(5_000);
    for (who, met) in [("laptop", None), ("phone", Some(Trouble::Changed))] {
        world.restarts(who);
        world.settle();
        world.knows(who, "ben");
        world.passes(5_000);
        assert_eq!(trouble(&mut world, who), met, "{who}");
    }
    assert_eq!(both(&mut world), [None; 2]);
    // On any of them one can think better of it; where the key was refused one is asked.
    world.types("laptop", "/trust\ny");
    world.passes(5_000);
    assert_eq!(both(&mut world), [Some(Trouble::Changed), None]);
    world.knows("ada", "ben");
    world.types("ada", "/trust\ny");
    world.passes(5_000);
    let mallory = Identity::from_seed(&world.seed_of("mallory")).peer();
    for who in ["ada", "laptop", "phone"] {
        let kept = world.app(who).chat().with(&name("ben")).expect("known").kept.clone();
        assert_eq!((kept.peer, kept.changed), (Some(mallory), None), "{who}");
    }
}

#[test]
fn a_device_with_another_pinned_key_was_not_told_which_one_was_kept() {
    let mut world = desk_and_laptop(10, &["ben", "mallory"]);
    goes_on(&mut world, "cleo");
    hides(&mut world);
    world.knows("ada", "ben");
    world.knows("ben", "ada");
    // The laptop hears of him only now, and of somebody else.
    lies(&mut world, &["laptop"], false);
    world.says("ada", "ben", "a secret");
    world.passes(10_000);
    let both = |world: &mut World| [trouble(world, "ada"), trouble(world, "laptop")];
    assert_eq!(both(&mut world), [Some(Trouble::Changed); 2], "nobody decided");
    let pinned =
        |world: &mut World, who: &str| world.app(who).chat().with(&name("ben")).expect("known").kept.peer;
    let [ben, mallory] = ["ada", "laptop"].map(|who| pinned(&mut world, who));
    assert_ne!(ben, mallory);
    let told = alarms(&mut world, "laptop", "ben");
    assert_eq!(told.iter().filter(|told| told.contains("key has changed")).count(), 1, "{told:?}");
    // The relay is honest again.
    world.liar = None;
    slash(&mut world, "ada", "/distrust ben");
    world.passes(10_000);
    assert_eq!(both(&mut world), [None; 2]);
    assert_eq!(pinned(&mut world, "laptop"), ben);
}

#[test]
fn a_profile_of_the_far_future_is_not_taken_and_the_next_one_is() {
    let mut world = desk_and_laptop(3, &["ben"]);
    acquainted(&mut world, "ben");
    world.says("laptop", "ben", "from my laptop");
    world.settle();
    world.says("ben", "ada", "hello both");
    world.settle();
    world.clock_off("laptop", 200 * 365 * DAY as i64);
    slash(&mut world, "laptop", "/profile name Thief");
    let shown = |world: &mut World| {
        let theirs = world.app("ben").chat().with(&name("ada")).expect("known").portrait.display_name();
        [theirs.to_owned(), world.app("ada").chat().profile.name.clone()]
    };
    assert_eq!(shown(&mut world), ["", ""]);
    let laptop = world.app("laptop").device();
    world.commands("ada", Command::Devices(DevicesCommand::Removed(laptop)));
    world.settle();
    slash(&mut world, "ada", "/profile name Ada");
    assert_eq!(shown(&mut world), ["Ada", "Ada"]);
}

#[test]
fn a_device_that_met_a_new_key_late_took_the_mark_of_it_from_all() {
    let mut world = desk_and_laptop(4, &["ben"]);
    acquainted(&mut world, "ben");
    verifies(&mut world);
    assert!(is_verified(&mut world, "ada") && is_verified(&mut world, "laptop"));
    // Ben sets up anew, at a relay that begins anew.
    world.kill("ben");
    world.relay_loses_its_disk();
    world.start_relay();
    world.passes(200_000);
    assert_eq!(world.app("laptop").chat().link, Link::Online);
    for who in ["ada", "laptop"] {
        world.kill(who);
    }
    world.joins("ben");
    world.passes(5_000);
    // More than the relay hands out before it hears that they came.
    for n in 0..100 {
        world.says("ben", "ada", &format!("line {n}"));
        world.settle();
    }
    world.starts("ada");
    world.passes(10_000);
    assert_eq!(trouble(&mut world, "ada"), Some(Trouble::Changed));
    verifies(&mut world);
    world.passes(5_000);
    assert!(is_verified(&mut world, "ada"));
    world.starts("laptop");
    world.passes(60_000);
    assert!(is_verified(&mut world, "ada"), "nobody took it back");
    assert!(is_verified(&mut world, "laptop"), "decided on the desk");
}

#[test]
fn a_device_that_was_away_for_longer_than_the_relay_keeps_anything_lacked_what_was_decided_and_said() {
    let mut world = desk_and_laptop(5, &["ben", "mallory"]);
    acquainted(&mut world, "ben");
    slash(&mut world, "ada", "/block cleo");
    goes_on(&mut world, "ben");
    world.kill("laptop");
    slash(&mut world, "ada", "/unblock cleo");
    slash(&mut world, "ada", "/block mallory");
    slash(&mut world, "ada", "/room new club ben");
    world.says("ada", "ben", "lost");
    world.settle();
    world.passes(31 * DAY);
    world.says("ada", "ben", "later");
    world.settle();
    world.starts("laptop");
    world.passes(120_000);
    let chat = world.app("laptop").chat();
    let blocked = |who: &str| chat.with(&name(who)).is_some_and(|room| room.person.blocked);
    assert!(blocked("mallory") && !blocked("cleo"));
    assert!(chat.room_named("#club").is_some_and(|room| room.person.is_contact()));
    let lines = world.timeline("laptop", "ben");
    assert!(["lost", "later"].iter().all(|text| lines.iter().any(|line| line == text)), "{lines:?}");
}

#[test]
fn an_own_line_that_was_lost_on_the_way_to_another_device_goes_there_again() {
    let mut world = desk_and_laptop(6, &[]);
    goes_on(&mut world, "cleo");
    hides(&mut world);
    world.says("ada", "cleo", "lost");
    world.settle();
    world.liar = None;
    world.passes(70_000);
    world.says("ada", "cleo", "later");
    world.passes(10_000);
    let lines = world.timeline("laptop", "cleo");
    assert!(["lost", "later"].iter().all(|text| lines.iter().any(|line| line == text)), "{lines:?}");
}

#[test]
fn a_room_of_which_a_device_did_not_hear_is_told_when_another_one_speaks_there() {
    let mut world = desk_and_laptop(7, &["ben"]);
    acquainted(&mut world, "ben");
    goes_on(&mut world, "ben");
    hides(&mut world);
    slash(&mut world, "ada", "/room new club ben");
    world.liar = None;
    speaks(&mut world, "ada", "#club", "hello");
    world.passes(60_000);
    assert!(world.app("laptop").chat().room_named("#club").is_some());
    assert!(said(&mut world, "laptop", "#club").contains(&"ada: hello".into()));
}

/// The desk dies, has no session with its laptop any more, and finds no relay when it starts again.
fn loses_its_session(world: &mut World) {
    let laptop = world.app("laptop").device();
    world.kill("ada");
    world.relay_crashes();
    let disk = world.disk("ada");
    let bundles = disk.records.scan(BUNDLES, &laptop.0, &prefix_end(&laptop.0), Order::Forward, usize::MAX);
    let bundles = bundles.expect("a memory store reads").into_iter();
    let gone: Vec<Write> = bundles.map(|(key, _)| Write::Delete(BUNDLES, key)).collect();
    disk.records.commit(&gone).expect("memory");
    let session = SlotKey { kind: OUTBOUND, id: laptop.0, part: 0 };
    disk.slots.apply(&[SlotWrite::Erase(session)]).expect("memory");
    world.starts("ada");
}

/// It ends twice, and the first time there is no relay either.
fn ends_twice(world: &mut World) {
    world.restarts("ada");
    world.passes(2_000);
    world.start_relay();
    world.restarts("ada");
    world.passes(120_000);
}

#[test]
fn an_invitation_that_was_declined_while_there_was_no_session_with_another_device_stayed_there() {
    // A stranger is not told, and takes nothing back.
    let mut world = desk_and_laptop(9, &["ben"]);
    world.is_wary("ada");
    world.is_wary("laptop");
    slash(&mut world, "ben", "/room new club ada");
    world.passes(3_000);
    let invited = |world: &mut World, who: &str| world.app(who).chat().room_named("club").map(|room| room.id);
    let room = invited(&mut world, "ada").expect("invited");
    assert!(invited(&mut world, "laptop").is_some());
    loses_its_session(&mut world);
    world.commands("ada", Command::Room(Some(room), RoomCommand::Decline));
    ends_twice(&mut world);
    assert_eq!((invited(&mut world, "ada"), invited(&mut world, "laptop")), (None, None));
}

#[test]
fn an_invitation_stayed_on_a_device_that_could_not_open_the_word_that_it_was_declined() {
    for seed in 0..20 {
        let mut world = desk_and_laptop(seed, &["ben"]);
        world.is_wary("ada");
        world.is_wary("laptop");
        slash(&mut world, "ben", "/room new club ada");
        world.passes(3_000);
        let invited =
            |world: &mut World, who: &str| world.app(who).chat().room_named("club").map(|room| room.id);
        let room = invited(&mut world, "ada").expect("invited");
        assert!(invited(&mut world, "laptop").is_some(), "seed {seed}");
        // The desk begins another session with its laptop, and its words come in any order.
        let laptop = world.app("laptop").device();
        let session = SlotKey { kind: OUTBOUND, id: laptop.0, part: 0 };
        world.kill("ada");
        world.disk("ada").slots.apply(&[SlotWrite::Erase(session)]).expect("memory");
        world.mischief.late = 1_000;
        world.starts("ada");
        world.passes(2_000);
        world.says("ada", "cleo", "busy");
        world.commands("ada", Command::Room(Some(room), RoomCommand::Decline));
        world.passes(20_000);
        world.mischief.late = 0;
        world.passes(300_000);
        let there = ["ada", "laptop"].map(|who| invited(&mut world, who));
        assert_eq!(there, [None, None], "seed {seed}");
    }
}

#[test]
fn what_was_decided_while_there_was_no_session_with_another_device_was_never_told_to_it() {
    let mut world = desk_and_laptop(8, &["ben"]);
    acquainted(&mut world, "ben");
    loses_its_session(&mut world);
    world.commands("ada", command::parse("/block ben").expect("a command"));
    ends_twice(&mut world);
    let mut blocked =
        |who: &str| world.app(who).chat().with(&name("ben")).is_some_and(|room| room.person.blocked);
    assert!(blocked("ada") && blocked("laptop"));
}
