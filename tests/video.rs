//! Two people see each other.

use crossterm::event::{KeyCode, KeyModifiers};
use subrosa::chat::call::CallState;
use subrosa::chat::person::Trouble;
use subrosa::config::{Config, Video};
use subrosa::effect::Happened;
use subrosa::event::{Event, MediaEvent, Stats};
use subrosa::ui::command::Command;
use subrosa_shared::id::AccountName;
use subrosa_shared::time::Millis;
use subrosa_shared::video::picture::Picture;
use subrosa_tests::network::{Link, Weather};
use subrosa_tests::words::{alarms, notices};
use subrosa_tests::{Seen, World};

fn in_a_call(seed: u64) -> World {
    in_a_call_with(seed, Config::default().video)
}

/// A call of pictures so small that a minute of them is soon over.
fn in_a_small_call(seed: u64) -> World {
    in_a_call_with(seed, Video { width: 32, height: 24, ..Config::default().video })
}

fn in_a_call_with(seed: u64, video: Video) -> World {
    let mut world = World::new(seed);
    for name in ["ada", "ben"] {
        world.joins_with(name, Config { video: video.clone(), ..Config::default() });
    }
    world.settle();
    world.knows("ben", "ada");
    world.mirrors("ada");
    world.commands("ada", Command::Add(subrosa_shared::id::AccountName::parse("ben").expect("valid")));
    world.settle();
    world.commands("ada", Command::Video(Some("test".into())));
    world.settle();
    world.commands("ben", Command::Answer(Some("test".into())));
    world.settle();
    world
}

fn state(world: &mut World, name: &str) -> Option<CallState> {
    world.app(name).chat().call.as_ref().map(|call| call.state)
}

fn film(world: &mut World, pictures: u32) {
    for _ in 0..pictures {
        world.films("ada");
        world.films("ben");
        world.passes(100);
    }
}

#[test]
fn ring_answer_see_each_other_hang_up() {
    let mut world = in_a_call(1);
    assert_eq!(
        (state(&mut world, "ada"), state(&mut world, "ben")),
        (Some(CallState::Active), Some(CallState::Active))
    );
    film(&mut world, 20);
    assert!(world.pictures("ada").len() >= 19);
    assert!(world.pictures("ben").len() >= 19);
    world.commands("ben", Command::Hangup);
    world.settle();
    assert_eq!((state(&mut world, "ada"), state(&mut world, "ben")), (None, None));
    let ended = world.told("ada").into_iter().any(|told| matches!(told, Happened::Call { state: None, .. }));
    assert!(ended);
}

#[test]
fn decline_busy_and_no_answer() {
    let mut world = World::with(2, &["ada", "ben", "cyd"]);
    let name = |n: &str| subrosa_shared::id::AccountName::parse(n).expect("valid");
    world.knows("ben", "ada");
    world.knows("ben", "cyd");
    world.commands("ada", Command::Add(name("ben")));
    world.commands("cyd", Command::Add(name("ben")));
    world.settle();
    world.commands("ada", Command::Video(None));
    world.settle();
    assert_eq!(state(&mut world, "ben"), Some(CallState::Ringing));
    world.commands("cyd", Command::Video(None));
    world.settle();
    assert_eq!(state(&mut world, "cyd"), None, "busy");
    world.commands("ben", Command::Decline);
    world.settle();
    assert_eq!(state(&mut world, "ada"), None);
    world.commands("ada", Command::Video(None));
    world.passes(60_000);
    assert_eq!((state(&mut world, "ada"), state(&mut world, "ben")), (None, None), "nobody answered");
}

#[test]
fn two_clocks_of_which_nobody_is_told_let_a_call_ring() {
    let mut world = World::with(14, &["ada", "ben"]);
    world.knows("ben", "ada");
    world.knows("ada", "ben");
    for (off, told) in [(230_000, false), (360_000, true)] {
        for (who, off) in [("ada", -off), ("ben", off)] {
            world.clock_off(who, off);
            notices(&mut world, who);
            world.restarts(who);
            world.settle();
            assert_eq!(notices(&mut world, who).contains("your clock"), told, "{who}");
        }
        if !told {
            let ben = world.app("ada").chat().with(&name("ben")).expect("known").id;
            world.commands("ada", Command::Open(ben));
            world.commands("ada", Command::Video(None));
            world.settle();
            assert_eq!(state(&mut world, "ben"), Some(CallState::Ringing));
        }
    }
}

#[test]
fn a_call_is_answered_and_ended_whatever_lies_on_top() {
    let mut world = World::with(12, &["ada", "ben"]);
    world.knows("ben", "ada");
    world.knows("ada", "ben");
    let rings = |world: &mut World| {
        world.commands("ada", Command::Video(None));
        world.settle();
        assert_eq!(state(world, "ben"), Some(CallState::Ringing));
    };
    let presses = |world: &mut World, n| {
        world.press("ben", KeyCode::F(n), KeyModifiers::NONE);
        world.settle();
    };
    rings(&mut world);
    world.types("ben", "/status\n");
    presses(&mut world, 2);
    assert_eq!(state(&mut world, "ben"), Some(CallState::Active));
    assert!(!world.screen("ben", 100, 30).contains("outbox"), "the call is what is looked at");
    world.types("ben", "/status\n");
    presses(&mut world, 2);
    assert!(world.screen("ben", 100, 30).contains("outbox"), "nobody rings any more");
    presses(&mut world, 3);
    assert_eq!((state(&mut world, "ada"), state(&mut world, "ben")), (None, None));
    rings(&mut world);
    presses(&mut world, 3);
    assert_eq!((state(&mut world, "ada"), state(&mut world, "ben")), (None, None));
    assert!(world.screen("ben", 100, 30).contains("outbox"), "it stays for who declines");
}

#[test]
fn both_ring_at_once_and_it_is_one_call() {
    let mut world = World::with(3, &["ada", "ben"]);
    let name = |n: &str| subrosa_shared::id::AccountName::parse(n).expect("valid");
    world.commands("ada", Command::Add(name("ben")));
    world.commands("ben", Command::Add(name("ada")));
    world.settle();
    world.weather(Weather { delay: 50, ..Weather::default() });
    world.commands("ada", Command::Video(None));
    world.commands("ben", Command::Video(None));
    world.settle();
    assert_eq!(
        (state(&mut world, "ada"), state(&mut world, "ben")),
        (Some(CallState::Active), Some(CallState::Active))
    );
    assert_eq!((world.source("ada").1, world.source("ben").1), (0, 0), "each source goes on");
    film(&mut world, 10);
    assert!(!world.pictures("ada").is_empty() && !world.pictures("ben").is_empty());
}

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("valid")
}

fn sees_a_pause(world: &mut World, who: &str) -> bool {
    world.app(who).chat().call.as_ref().is_some_and(|call| call.their_pause)
}

#[test]
fn a_call_ends_when_the_safety_numbers_differ_and_none_is_taken_after_that() {
    let mut world = in_a_small_call(11);
    let chat = world.app("ada").chat();
    let ben = chat.with(&name("ben")).expect("known");
    let (room, key) = (ben.id, chat.safety(ben).expect("pinned").1);
    world.commands("ada", Command::Doubt(room, key));
    world.settle();
    assert_eq!((state(&mut world, "ada"), state(&mut world, "ben")), (None, None), "on both ends");
    world.commands("ben", Command::Video(Some("test".into())));
    world.settle();
    notices(&mut world, "ada");
    world.commands("ada", Command::Answer(Some("test".into())));
    world.settle();
    let told = notices(&mut world, "ada");
    assert!(told.contains("was not the same: /verify once more"), "{told}");
    assert_eq!(state(&mut world, "ada"), Some(CallState::Ringing), "until she has decided");
    world.commands("ada", Command::Trust);
    world.commands("ada", Command::Answer(Some("test".into())));
    world.settle();
    assert_eq!(state(&mut world, "ben"), Some(CallState::Active));
}

#[test]
fn a_call_ends_when_the_key_changes() {
    let mut world = in_a_small_call(12);
    film(&mut world, 5);
    // Somebody sets up under Ben's name, at a relay that begins anew.
    world.relay_loses_its_disk();
    world.joins("ben");
    world.start_relay();
    world.passes(5_000);
    world.says("ben", "ada", "new machine");
    world.passes(3_000);
    let ben = world.app("ada").chat().with(&name("ben")).expect("known");
    assert_eq!(ben.trouble(), Some(Trouble::Changed));
    assert_eq!(state(&mut world, "ada"), None);
    let told = alarms(&mut world, "ada", "ben");
    assert!(told.iter().any(|told| told.contains("key has changed")), "{told:?}");
}

#[test]
fn a_source_that_failed_is_opened_anew_when_the_camera_is_turned_on() {
    let mut world = in_a_small_call(13);
    film(&mut world, 10);
    world.source_fails("ada");
    world.settle();
    assert!(sees_a_pause(&mut world, "ben"));
    world.pictures("ben");
    film(&mut world, 10);
    assert!(world.pictures("ben").is_empty());
    world.commands("ada", Command::Camera);
    world.settle();
    assert!(!sees_a_pause(&mut world, "ben"));
    film(&mut world, 10);
    assert!(!world.pictures("ben").is_empty());
    // And now it is only off and on.
    for off in [true, false] {
        world.commands("ada", Command::Camera);
        world.settle();
        assert_eq!(sees_a_pause(&mut world, "ben"), off);
    }
}

#[test]
fn the_camera_is_off_while_somebody_else_has_the_terminal() {
    let mut world = in_a_small_call(17);
    let editor = (Command::Editor("so far".into()), Event::Edited(Ok("so far, so good".into())));
    for (leaves, comes_back) in [(Command::Suspend, Event::Resumed), editor] {
        world.commands("ada", leaves);
        world.settle();
        assert!(sees_a_pause(&mut world, "ben"));
        world.pictures("ben");
        film(&mut world, 10);
        assert!(world.pictures("ben").is_empty());
        world.event("ada", comes_back);
        world.settle();
        assert!(!sees_a_pause(&mut world, "ben"));
        film(&mut world, 10);
        assert!(!world.pictures("ben").is_empty());
    }
    // It stays off for who had turned it off.
    world.commands("ada", Command::Camera);
    world.commands("ada", Command::Suspend);
    world.event("ada", Event::Resumed);
    world.settle();
    assert!(sees_a_pause(&mut world, "ben"));
}

#[test]
fn a_camera_that_is_turned_off_before_it_rings_is_known_to_be_off() {
    let mut world = World::with(15, &["ada", "ben"]);
    world.knows("ben", "ada");
    world.commands("ada", Command::Add(name("ben")));
    world.settle();
    world.commands("ada", Command::Video(Some("test".into())));
    world.commands("ada", Command::Camera);
    world.settle();
    assert_eq!(state(&mut world, "ben"), Some(CallState::Ringing));
    assert!(sees_a_pause(&mut world, "ben"));
}

#[test]
fn a_camera_that_was_turned_on_and_saw_nothing_yet_showed_its_old_picture() {
    let mut world = in_a_small_call(16);
    let waits = |world: &mut World| world.screen("ben", 120, 40).contains("waiting for the first picture");
    film(&mut world, 10);
    assert!(!waits(&mut world));
    world.commands("ada", Command::Camera);
    world.settle();
    assert!(world.screen("ben", 120, 40).contains("camera is off"));
    // It takes its time.
    world.types("ada", "/video test:5\n");
    world.settle();
    assert!(!sees_a_pause(&mut world, "ben"));
    assert!(waits(&mut world));
    film(&mut world, 10);
    assert!(!waits(&mut world));
}

#[test]
fn a_picture_that_stood_still_looked_like_a_live_one() {
    let mut world = in_a_small_call(17);
    film(&mut world, 10);
    let measures = |world: &mut World, fps| {
        let call = world.app("ben").chat().call.as_ref();
        let track = call.and_then(|call| call.watched()).expect("ben watches");
        world.event("ben", Event::Media(MediaEvent::Stats(track, Stats { fps, ..Stats::default() })));
        world.screen("ben", 120, 40)
    };
    assert!(measures(&mut world, 10.0).contains("10 fps"));
    let screen = measures(&mut world, 0.0);
    assert!(!screen.contains("no new picture"), "another track may just begin: {screen}");
    world.passes(5_000);
    let screen = measures(&mut world, 0.0);
    assert!(screen.contains("no new picture for") && screen.contains("stands still"), "{screen}");
    let screen = measures(&mut world, 9.0);
    assert!(screen.contains("9 fps") && !screen.contains("stands still"), "{screen}");
}

#[test]
fn who_hung_up_on_a_full_disk_was_in_the_call_still() {
    let mut world = in_a_small_call(18);
    film(&mut world, 10);
    world.disk_fills("ada");
    world.commands("ada", Command::Hangup);
    world.passes(40_000);
    assert_eq!(state(&mut world, "ben"), None);
}

#[test]
fn a_source_that_is_named_in_a_call_takes_the_place_of_the_one_before() {
    let mut world = in_a_small_call(14);
    film(&mut world, 10);
    world.commands("ada", Command::Camera);
    world.types("ada", "/video test:5\n");
    world.settle();
    assert_eq!(world.source("ada"), ("test:5".into(), 0));
    assert!(!sees_a_pause(&mut world, "ben"));
    world.pictures("ben");
    film(&mut world, 10);
    assert!(!world.pictures("ben").is_empty());
    // The next track goes on with that one.
    world.cut("ada");
    film(&mut world, 20);
    assert_eq!(world.source("ada").0, "test:5");
    notices(&mut world, "ada");
    world.commands("ada", Command::Video(None));
    assert!(notices(&mut world, "ada").contains("there is a call already"));
}

#[test]
fn the_picture_comes_back_after_loss_and_after_a_cut() {
    let mut world = in_a_call(4);
    world.weather(Weather { delay: 30, jitter: 20, loss: 100, twice: 50, ..Weather::default() });
    film(&mut world, 50);
    assert!(world.pictures("ben").len() > 10, "a fifth of the datagrams is lost between the two");
    world.weather(Weather::default());
    film(&mut world, 10);
    world.pictures("ben");
    film(&mut world, 10);
    assert!(world.pictures("ben").len() >= 9, "well again");
    world.cut("ada");
    film(&mut world, 20);
    world.pictures("ben");
    world.pictures("ada");
    film(&mut world, 10);
    assert!(world.pictures("ben").len() >= 9, "on the new track");
    assert!(world.pictures("ada").len() >= 9);
    world.relay_crashes();
    world.passes(300);
    world.start_relay();
    film(&mut world, 30);
    world.pictures("ben");
    film(&mut world, 10);
    assert!(world.pictures("ben").len() >= 9, "after the relay came back");
}

/// The number that the camera gave each picture which was shown. They are those that left, to the last
/// sample, and come in order.
fn numbered(left: &[(u64, Picture)], shown: &[(Millis, Picture)]) -> Vec<(Millis, u64)> {
    let mut next = 0;
    let number = |(at, picture): &(Millis, Picture)| {
        let found = left[next..].iter().position(|(_, other)| other == picture);
        let place =
            next + found.unwrap_or_else(|| panic!("at {} ms something was shown that never left", at.0));
        next = place + 1;
        (*at, left[place].0)
    };
    shown.iter().map(number).collect()
}

/// What ben saw of ada: how long the picture stood still, longest first.
fn gaps(shown: &[(Millis, u64)], from: Millis, to: Millis) -> Vec<u64> {
    // A picture that was sent again is no new one.
    let mut newest = None;
    let new = |(_, number): &&(Millis, u64)| newest.replace(*number).is_none_or(|newest| *number > newest);
    let mut times: Vec<u64> = shown.iter().filter(new).map(|(at, _)| at.0).collect();
    times.insert(0, from.0);
    times.push(to.0);
    let mut gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    gaps
}

#[test]
fn the_picture_recovers_within_half_a_second_from_any_loss() {
    for loss in [50, 200, 400] {
        let mut world = in_a_small_call(u64::from(loss));
        world.weather(Weather { delay: 15, jitter: 10, ..Weather::default() });
        film(&mut world, 10);
        world.links("ada", Link::lossy(loss));
        // From the first loss on.
        let (from, _) = (world.now().mono, world.shown("ben"));
        film(&mut world, 600);
        let (left, _) = world.mirrored("ada");
        let gaps = gaps(&numbered(&left, &world.shown("ben")), from, world.now().mono);
        assert!(gaps[0] <= 500, "{:?} ms without a new picture at {loss}/1000 lost", &gaps[..4]);
        // A blackout of three tenths of a second on top.
        world.links("ada", Link::lossy(1000));
        film(&mut world, 3);
        world.links("ada", Link::lossy(0));
        let (light, _) = (world.now().mono, world.shown("ben"));
        film(&mut world, 10);
        let back = world.shown("ben").iter().map(|(at, _)| at.0).find(|at| *at > light.0 + 25);
        assert!(back.is_some_and(|back| back - light.0 <= 500), "{back:?} after {light:?}");
    }
}

#[test]
fn a_narrow_link_lowers_the_budget_and_a_wide_one_brings_it_back() {
    let mut world = in_a_small_call(8);
    world.weather(Weather { delay: 15, ..Weather::default() });
    film(&mut world, 30);
    assert_eq!(world.sender("ada").budget(), 32_000);
    // 10 kbit/s each way, packets' headers included, and a queue of two seconds.
    world.links("ada", Link::narrow(1_250, 2_500));
    let thinnable = |world: &mut World| {
        let upper =
            |seen: &Seen| matches!(seen, Seen::Media(who, bytes) if who == "ada" && bytes[1] & 3 == 1);
        world.seen().iter().any(upper)
    };
    thinnable(&mut world);
    film(&mut world, 100);
    assert!(thinnable(&mut world), "a relay may leave out every second picture");
    let low = world.sender("ada").budget();
    assert!(low < 16_000, "{low} bit/s");
    world.shown("ben");
    film(&mut world, 50);
    let shown = world.shown("ben").len();
    assert!(shown >= 30, "and the picture goes on: {shown}");
    world.links("ada", Link::default());
    film(&mut world, 100);
    assert!(world.sender("ada").budget() > low, "slowly up again");
}

#[test]
fn a_person_says_how_large_the_own_picture_is_and_how_often_it_moves() {
    let mut world = in_a_small_call(10);
    film(&mut world, 20);
    world.shown("ben");
    world.types("ada", "/video 80x48\n/video 5fps\n");
    film(&mut world, 40);
    let shown = world.shown("ben");
    let sized = shown.iter().filter(|(_, picture)| (picture.width(), picture.height()) == (80, 48)).count();
    assert!(sized > 10 && sized + 3 >= shown.len(), "{sized} of {}", shown.len());
    world.types("ada", "/video auto\n");
    film(&mut world, 40);
    let last = world.shown("ben").pop().expect("it goes on").1;
    assert_eq!((last.width(), last.height()), (32, 24));
    world.types("ada", "/video 7fps\n/status\n");
    assert!(world.screen("ada", 120, 40).contains("yours 32x24, at most 7 pictures"));
    assert_eq!(state(&mut world, "ada"), Some(CallState::Active));
}

#[test]
fn a_person_says_what_the_own_picture_may_take() {
    let mut world = in_a_small_call(9);
    film(&mut world, 20);
    world.mirrored("ada");
    film(&mut world, 30);
    let (_, before) = world.mirrored("ada");
    world.types("ada", "/video 8k\n");
    film(&mut world, 50);
    assert_eq!(world.sender("ada").budget(), 8_000);
    world.mirrored("ada");
    film(&mut world, 50);
    let (_, after) = world.mirrored("ada");
    assert!(after <= 5 * 1_000 * 13 / 10, "{after} bytes in five seconds, {before} in three before");
    assert_eq!(state(&mut world, "ada"), Some(CallState::Active));
}
