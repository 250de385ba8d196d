//! Who people are: verified and lost again, blocked, let in or not.

use crossterm::event::{KeyCode, KeyModifiers};
use subrosa::chat::call::CallState;
use subrosa::chat::expiry::SETTINGS;
use subrosa::chat::person::Trouble;
use subrosa::chat::timeline::{Author, LineState};
use subrosa::effect::Happened;
use subrosa::event::Event;
use subrosa::ui::command::{self, Command};
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::protocol::devices::DeviceList;
use subrosa_shared::protocol::frame::{Refusal, ToDevice, ToRelay};
use subrosa_shared::session::Identity;
use subrosa_shared::store::Order;
use subrosa_tests::World;
use subrosa_tests::words::alarms;
use subrosa_tests::world::Seen;

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("valid")
}

/// Two who know each other and look at each other's conversation.
fn friends(seed: u64) -> World {
    let mut world = World::with(seed, &["ada", "ben"]);
    world.knows("ada", "ben");
    world.knows("ben", "ada");
    world.says("ada", "ben", "hello ben");
    world.says("ben", "ada", "hello ada");
    world.settle();
    world
}

/// Ben, who decides on strangers himself, and Ada, whom he never heard of.
fn strangers(seed: u64) -> World {
    let mut world = World::with(seed, &["ada", "ben"]);
    world.is_wary("ben");
    world.knows("ada", "ben");
    world
}

fn slash(world: &mut World, who: &str, line: &str) {
    world.commands(who, command::parse(line).expect("a command"));
    world.settle();
}

fn shown(world: &mut World, who: &str) -> String {
    world.screen(who, 110, 34)
}

fn is_verified(world: &mut World, who: &str, with: &str) -> bool {
    world.app(who).chat().with(&name(with)).is_some_and(|room| room.is_verified())
}

fn digits(world: &mut World, who: &str, with: &str) -> String {
    let chat = world.app(who).chat();
    let room = chat.with(&name(with)).expect("a conversation");
    chat.safety(room).expect("a key is known").0.to_string()
}

/// What went out to the relay since the last look: envelopes, and rosters that name somebody.
fn traces(world: &mut World, who: &str) -> (usize, usize) {
    let seen = world.seen();
    let of = |frame: fn(&ToRelay) -> bool| {
        let mine = |seen: &&Seen| matches!(seen, Seen::From(from, f) if from == who && frame(f));
        seen.iter().filter(mine).count()
    };
    let named = of(|frame| matches!(frame, ToRelay::Roster(devices) if !devices.is_empty()));
    (of(|frame| matches!(frame, ToRelay::Send(_))), named)
}

/// Ben sets up anew under his name, with a new key, at a relay that begins anew.
fn ben_reinstalls(world: &mut World) {
    world.relay_loses_its_disk();
    world.joins("ben");
    world.start_relay();
    world.passes(5_000);
    world.says("ben", "ada", "new machine");
    world.passes(3_000);
}

#[test]
fn both_ends_show_one_number_and_a_key_press_verifies() {
    let mut world = friends(1);
    world.types("ada", "/verify\n");
    world.types("ben", "/verify ada\n");
    let number = digits(&mut world, "ada", "ben");
    assert_eq!(number, digits(&mut world, "ben", "ada"));
    for who in ["ada", "ben"] {
        let screen = shown(&mut world, who);
        assert!(number.split(' ').all(|group| screen.contains(group)), "{screen}");
    }
    world.types("ada", "y");
    world.press("ben", KeyCode::Esc, KeyModifiers::NONE);
    assert!(is_verified(&mut world, "ada", "ben"));
    assert!(!is_verified(&mut world, "ben", "ada"), "later");
    let screen = shown(&mut world, "ada");
    // The terminal of these stories has ASCII only.
    assert!(screen.contains("ben V verified") && screen.contains("you verified ben"), "{screen}");
    world.restarts("ada");
    world.settle();
    assert!(is_verified(&mut world, "ada", "ben"), "kept");
    slash(&mut world, "ada", "/unverify ben");
    assert!(!is_verified(&mut world, "ada", "ben"));
}

#[test]
fn pasted_digits_and_scanned_codes_are_compared() {
    let mut world = friends(2);
    let number = digits(&mut world, "ben", "ada");
    slash(&mut world, "ada", &format!("/verify ben {}", number.replace(' ', "")));
    assert!(is_verified(&mut world, "ada", "ben"));
    let (code, own) = {
        let chat = world.app("ada").chat();
        let room = chat.with(&name("ben")).expect("a conversation");
        let (number, _) = chat.safety(room).expect("known");
        let code = |a: &str, b: &str| number.code(&name(a), &name(b)).to_string();
        (code("ada", "ben"), code("ben", "ada"))
    };
    slash(&mut world, "ben", &format!("/verify ada {own}"));
    assert!(!is_verified(&mut world, "ben", "ada"), "the own screen proves nothing");
    slash(&mut world, "ben", &format!("/verify {code}"));
    assert!(is_verified(&mut world, "ben", "ada"));
    slash(&mut world, "ben", "/verify ada 12345");
    assert!(shown(&mut world, "ben").contains("60 digits"));
    assert!(is_verified(&mut world, "ben", "ada"), "a slip of the hand changes nothing");
}

#[test]
fn numbers_that_differ_stop_sending_until_they_are_the_same_or_trusted() {
    let mut world = friends(3);
    let number = digits(&mut world, "ada", "ben");
    world.types("ada", "/verify\n");
    world.types("ada", "n");
    assert!(shown(&mut world, "ada").contains("THE NUMBERS DIFFER"));
    world.press("ada", KeyCode::Esc, KeyModifiers::NONE);
    assert!(shown(&mut world, "ada").contains("NUMBERS DIFFER: somebody may stand between you and ben"));
    world.says("ada", "ben", "a secret");
    world.restarts("ada");
    world.settle();
    assert!(!world.timeline("ben", "ada").contains(&"a secret".into()));
    assert_eq!(alarms(&mut world, "ada", "ben").len(), 1);
    world.commands("ada", Command::Video(None));
    world.settle();
    assert!(world.app("ada").chat().call.is_none(), "no call either");
    slash(&mut world, "ada", &format!("/verify ben {number}"));
    assert!(is_verified(&mut world, "ada", "ben"));
    assert_eq!(world.timeline("ben", "ada").last().map(String::as_str), Some("a secret"));
}

#[test]
fn a_reinstall_loses_the_mark_loudly_and_stops_sending() {
    let mut world = friends(4);
    let before = digits(&mut world, "ada", "ben");
    slash(&mut world, "ada", &format!("/verify ben {before}"));
    ben_reinstalls(&mut world);
    assert!(!is_verified(&mut world, "ada", "ben"));
    let told = alarms(&mut world, "ada", "ben");
    assert!(told.iter().any(|line| line.contains("You had verified the old one: that is void")), "{told:?}");
    world.says("ada", "ben", "a secret");
    world.restarts("ada");
    world.passes(30_000);
    assert!(!world.timeline("ben", "ada").contains(&"a secret".into()));
    // However much is said, the banner stays where it is.
    for i in 0..60 {
        world.says("ben", "ada", &format!("line {i}"));
    }
    world.settle();
    let screen = shown(&mut world, "ada");
    assert!(screen.contains("KEY CHANGED: ben set up subrosa anew"), "{screen}");
    let after = digits(&mut world, "ada", "ben");
    assert_ne!(after, before, "the number is about the new key");
    world.types("ada", "/trust\n");
    let screen = shown(&mut world, "ada");
    assert!(after.split(' ').all(|group| screen.contains(group)), "{screen}");
    world.press("ada", KeyCode::Esc, KeyModifiers::NONE);
    world.passes(5_000);
    assert!(!world.timeline("ben", "ada").contains(&"a secret".into()), "looked at only");
    slash(&mut world, "ada", &format!("/verify ben {before}"));
    let trouble = world.app("ada").chat().with(&name("ben")).expect("there").trouble();
    assert_eq!(trouble, Some(Trouble::Changed), "the old number proves nothing for the new key");
    slash(&mut world, "ada", &format!("/verify ben {after}"));
    world.passes(5_000);
    assert!(is_verified(&mut world, "ada", "ben"), "compared, so accepted and verified");
    assert!(world.timeline("ben", "ada").contains(&"a secret".into()));
    assert!(!shown(&mut world, "ada").contains("KEY CHANGED:"));
}

#[test]
fn a_number_on_the_screen_is_not_vouched_for_when_the_key_changed_meanwhile() {
    let mut world = friends(5);
    world.types("ada", "/verify\n");
    ben_reinstalls(&mut world);
    world.types("ada", "y");
    world.settle();
    assert!(!is_verified(&mut world, "ada", "ben"));
    let trouble = world.app("ada").chat().with(&name("ben")).expect("there").trouble();
    assert_eq!(trouble, Some(Trouble::Changed), "not accepted either");
}

#[test]
fn another_key_was_accepted_than_the_one_whose_number_was_shown() {
    let mut world = friends(17);
    let trouble = |world: &mut World| world.app("ada").chat().with(&name("ben")).expect("there").trouble();
    ben_reinstalls(&mut world);
    let asked = digits(&mut world, "ada", "ben");
    world.types("ada", "/trust\n");
    ben_reinstalls(&mut world);
    assert_ne!(digits(&mut world, "ada", "ben"), asked);
    world.types("ada", "y");
    let screen = shown(&mut world, "ada");
    assert!(screen.contains("/trust once more"), "{screen}");
    world.settle();
    assert_eq!(trouble(&mut world), Some(Trouble::Changed));
    world.types("ada", "/trust\ny");
    world.settle();
    assert_eq!(trouble(&mut world), None);
}

/// What the relay shows Ada in place of Ben is somebody else's, and what they say comes as his.
fn ben_is_for_ada(world: &mut World, who: &'static str) {
    let other = Identity::from_seed(&world.seed_of(who));
    world.liar = Some(Box::new(move |to, frame| match frame {
        ToDevice::Devices { ask, name, .. } if to == "ada" && name.as_str() == "ben" => {
            let versions = vec![other.begins(&name)];
            vec![ToDevice::Devices { ask, name, versions, certs: vec![] }]
        }
        ToDevice::Deliver(mut delivery) if to == "ada" && delivery.name.as_str() == who => {
            delivery.name = name("ben");
            vec![ToDevice::Deliver(delivery)]
        }
        frame => vec![frame],
    }));
}

fn trouble(world: &mut World) -> Option<Trouble> {
    world.app("ada").chat().with(&name("ben")).expect("there").trouble()
}

fn pinned(world: &mut World) -> Option<Peer> {
    world.app("ada").chat().with(&name("ben")).expect("there").kept.peer
}

#[test]
fn the_pinned_key_could_not_be_kept_when_the_relay_showed_another_one() {
    let mut world = friends(18);
    for who in ["mallory", "eve"] {
        world.joins(who);
        world.settle();
    }
    let number = digits(&mut world, "ada", "ben");
    slash(&mut world, "ada", &format!("/verify ben {number}"));
    ben_is_for_ada(&mut world, "mallory");
    // She hears that he has another device, and asks which.
    world.adds_device("ben", "tablet");
    world.passes(3_000);
    assert_eq!(trouble(&mut world), Some(Trouble::Changed));
    assert!(!is_verified(&mut world, "ada", "ben"));
    world.says("ada", "ben", "a secret");
    world.knows("mallory", "ada");
    world.says("mallory", "ada", "it is me");
    world.restarts("ada");
    world.passes(30_000);
    assert!(!world.timeline("ben", "ada").contains(&"a secret".into()));
    let said = |world: &mut World, text: &str| {
        alarms(world, "ada", "ben").iter().filter(|told| told.contains(text)).count()
    };
    assert_eq!(said(&mut world, "/distrust keeps the old one"), 1);
    assert_eq!(said(&mut world, "it is me"), 1);
    slash(&mut world, "ada", "/distrust ben");
    world.passes(5_000);
    assert_eq!(trouble(&mut world), None);
    assert!(is_verified(&mut world, "ada", "ben"), "the number of that key was compared");
    assert!(world.timeline("ben", "ada").contains(&"a secret".into()));
    assert!(world.lines("ada", "ben").iter().any(|line| line.body.starts_with("you kept the key of ben")));
    // However often the relay shows the refused one, and whatever comes from it.
    for _ in 0..3 {
        world.restarts("ada");
        world.settle();
        world.knows("ada", "ben");
        world.says("mallory", "ada", "believe me");
        world.passes(30_000);
    }
    assert_eq!(trouble(&mut world), None);
    assert_eq!((said(&mut world, "key has changed"), said(&mut world, "believe me")), (1, 0));
    world.says("ben", "ada", "it is me indeed");
    world.passes(3_000);
    assert!(world.timeline("ada", "ben").contains(&"it is me indeed".into()));
    slash(&mut world, "ada", "/distrust ben");
    assert!(shown(&mut world, "ada").contains("no changed key waits"));
    // Without the question that names it nothing is accepted.
    world.commands("ada", Command::Trust);
    world.settle();
    assert!(is_verified(&mut world, "ada", "ben"));
    // A third one is another matter.
    ben_is_for_ada(&mut world, "eve");
    world.restarts("ada");
    world.settle();
    world.knows("ada", "ben");
    world.passes(3_000);
    assert_eq!(trouble(&mut world), Some(Trouble::Changed));
    assert_eq!(said(&mut world, "key has changed"), 2);
}

#[test]
fn a_refused_key_that_was_theirs_after_all_is_accepted_later() {
    let mut world = friends(19);
    ben_reinstalls(&mut world);
    slash(&mut world, "ada", "/distrust ben");
    assert_eq!(trouble(&mut world), None);
    world.says("ada", "ben", "is it you?");
    world.says("ben", "ada", "it is me");
    world.passes(60_000);
    assert!(!world.timeline("ben", "ada").contains(&"is it you?".into()));
    let lines = world.lines("ada", "ben");
    assert!(!lines.iter().any(|line| line.body.contains("it is me")), "{lines:?}");
    world.restarts("ada");
    world.settle();
    world.knows("ada", "ben");
    world.types("ada", "/trust\n");
    let screen = shown(&mut world, "ada");
    assert!(screen.contains("You have refused this key of ben"), "{screen}");
    world.types("ada", "y");
    world.passes(60_000);
    assert_eq!(trouble(&mut world), None);
    assert!(world.timeline("ben", "ada").contains(&"is it you?".into()));
    world.says("ben", "ada", "at last");
    world.passes(3_000);
    assert!(world.timeline("ada", "ben").contains(&"at last".into()));
}

#[test]
fn what_waited_went_to_the_kept_key_although_its_number_differed_too() {
    for fits in [true, false] {
        let mut world = World::with(20, &["ada", "ben", "mallory"]);
        ben_is_for_ada(&mut world, "mallory");
        world.knows("ada", "ben");
        world.knows("ben", "ada");
        let lied = pinned(&mut world);
        // The relay is honest from here on, and she holds the true key for the false one.
        world.liar = None;
        world.says("ben", "ada", "hello ada");
        world.passes(3_000);
        world.restarts("ada");
        world.settle();
        world.knows("ada", "ben");
        world.passes(3_000);
        assert_eq!(trouble(&mut world), Some(Trouble::Changed));
        slash(&mut world, "ada", "/distrust ben");
        assert_eq!(trouble(&mut world), None);
        let bens = digits(&mut world, "ben", "ada");
        assert_ne!(digits(&mut world, "ada", "ben"), bens);
        if fits {
            slash(&mut world, "ada", &format!("/verify ben {bens}"));
            let told = alarms(&mut world, "ada", "ben");
            assert!(
                told.iter().any(|told| told.contains("it is that of the one that you refused")),
                "{told:?}"
            );
        } else {
            world.types("ada", "/verify\nn");
            let screen = shown(&mut world, "ada");
            assert!(screen.contains("THE NUMBERS DIFFER"), "{screen}");
            world.press("ada", KeyCode::Esc, KeyModifiers::NONE);
        }
        assert_eq!((trouble(&mut world), pinned(&mut world)), (Some(Trouble::Changed), lied));
        assert_eq!(digits(&mut world, "ada", "ben"), bens, "that one is asked about");
        world.seen();
        world.says("ada", "ben", "a secret");
        world.passes(30_000);
        assert_eq!(traces(&mut world, "ada").0, 0, "nothing goes to Mallory");
        if fits {
            slash(&mut world, "ada", &format!("/verify ben {bens}"));
        } else {
            world.types("ada", "/trust\ny");
        }
        world.passes(5_000);
        assert_eq!((trouble(&mut world), is_verified(&mut world, "ada", "ben")), (None, fits));
        assert_ne!(pinned(&mut world), lied);
        assert!(world.timeline("ben", "ada").contains(&"a secret".into()));
    }
}

#[test]
fn a_device_was_silent_because_it_was_put_on_a_refused_list() {
    let mut world = friends(21);
    world.joins("mallory");
    world.settle();
    ben_is_for_ada(&mut world, "mallory");
    world.adds_device("ben", "tablet");
    world.passes(3_000);
    assert_eq!(trouble(&mut world), Some(Trouble::Changed));
    slash(&mut world, "ada", "/distrust ben");
    let mallory = Identity::from_seed(&world.seed_of("mallory"));
    let tablet = Identity::from_seed(&world.seed_of("tablet")).cert();
    let first = mallory.begins(&name("ben"));
    let list = DeviceList::begin(&first).expect("signed");
    let hers = vec![first, mallory.adds(&list, &tablet).expect("signed")];
    world.liar = Some(Box::new(move |to, frame| match frame {
        ToDevice::Devices { ask, name, .. } if to == "ada" && name.as_str() == "ben" => {
            vec![ToDevice::Devices { ask, name, versions: hers.clone(), certs: vec![] }]
        }
        frame => vec![frame],
    }));
    let begins = |world: &mut World| {
        world.restarts("ada");
        world.settle();
        world.knows("ada", "ben");
        world.passes(3_000);
    };
    let said = |world: &mut World| {
        let told = alarms(world, "ada", "ben");
        told.iter().filter(|told| told.contains("from a device that is not in their list")).count()
    };
    let before = said(&mut world);
    begins(&mut world);
    for text in ["do you hear me?", "do you?"] {
        world.says("tablet", "ada", text);
        world.passes(3_000);
    }
    assert_eq!((said(&mut world), trouble(&mut world)), (before + 1, None));
    assert!(!world.timeline("ada", "ben").contains(&"do you?".into()));
    // As soon as the relay is honest it counts for the true list that it is on.
    begins(&mut world);
    world.liar = None;
    world.says("tablet", "ada", "at last");
    world.passes(3_000);
    assert!(world.timeline("ada", "ben").contains(&"at last".into()));
}

#[test]
fn a_relay_that_lies_at_first_contact_is_found_out_by_the_number() {
    let mut world = World::with(15, &["ada", "ben", "mallory"]);
    // Whoever Ada asks for, she gets Mallory's key, and Mallory sits with the relay.
    let mallory = Identity::from_seed(&world.seed_of("mallory"));
    world.liar = Some(Box::new(move |to, frame| match frame {
        ToDevice::Devices { ask, name, .. } if to == "ada" && name.as_str() == "ben" => {
            let versions = vec![mallory.begins(&name)];
            vec![ToDevice::Devices { ask, name, versions, certs: vec![] }]
        }
        frame => vec![frame],
    }));
    world.knows("ada", "ben");
    world.knows("ben", "ada");
    let bens = digits(&mut world, "ben", "ada");
    assert_ne!(digits(&mut world, "ada", "ben"), bens);
    slash(&mut world, "ada", &format!("/verify ben {bens}"));
    assert!(shown(&mut world, "ada").contains("THE NUMBERS DIFFER"));
    world.seen();
    world.says("ada", "ben", "a secret");
    world.passes(30_000);
    assert_eq!(traces(&mut world, "ada").0, 0, "nothing goes to Mallory");
    assert!(!is_verified(&mut world, "ada", "ben"));
}

#[test]
fn a_blocked_person_hears_and_sees_nothing() {
    let mut world = friends(6);
    slash(&mut world, "ben", "/block ada");
    world.told("ada");
    world.seen();
    world.says("ada", "ben", "are you angry?");
    world.types("ada", "hello?");
    world.commands("ada", Command::Video(None));
    world.passes(10_000);
    assert_eq!(traces(&mut world, "ben"), (0, 0), "not a byte goes to her");
    assert!(!world.timeline("ben", "ada").contains(&"are you angry?".into()));
    assert_eq!(world.marks("ada", "ben").last(), Some(&LineState::Sent), "as if he were away");
    assert!(world.notified("ben").is_empty() && world.app("ben").chat().call.is_none());
    let told = world.told("ada");
    assert!(!told.iter().any(|told| matches!(told, Happened::Presence { online: true, .. })), "{told:?}");
    assert!(!world.app("ada").chat().with(&name("ben")).expect("there").online, "he looks away");
    world.restarts("ben");
    world.settle();
    world.says("ada", "ben", "still?");
    world.settle();
    assert!(!world.timeline("ben", "ada").contains(&"still?".into()), "kept over a restart");
    let screen = shown(&mut world, "ben");
    assert!(screen.contains("ada is blocked"), "{screen}");
    world.says("ben", "ada", "only this");
    world.settle();
    assert!(!world.timeline("ada", "ben").contains(&"only this".into()));
    slash(&mut world, "ben", "/unblock ada");
    world.says("ada", "ben", "friends again?");
    world.settle();
    world.says("ben", "ada", "yes");
    world.settle();
    assert_eq!(world.timeline("ben", "ada").last().map(String::as_str), Some("yes"));
    assert!(world.timeline("ben", "ada").contains(&"friends again?".into()));
    assert_eq!(world.timeline("ada", "ben").last().map(String::as_str), Some("yes"));
}

#[test]
fn somebody_can_be_blocked_before_the_first_word() {
    let mut world = strangers(7);
    slash(&mut world, "ben", "/block ada");
    world.seen();
    world.says("ada", "ben", "surprise");
    world.settle();
    assert_eq!(traces(&mut world, "ben"), (0, 0));
    assert_eq!(world.timeline("ben", "ada"), [""; 0]);
}

#[test]
fn a_strangers_first_message_waits_and_tells_them_nothing() {
    let mut world = strangers(8);
    world.seen();
    world.says("ada", "ben", "hello, it is ada from the train");
    world.settle();
    world.types("ada", "did you");
    world.passes(5_000);
    world.commands("ada", Command::Video(None));
    world.passes(50_000);
    // Ben reads it, at length.
    let room = world.app("ben").chat().with(&name("ada")).expect("a request").id;
    world.commands("ben", Command::Open(room));
    world.types("ben", "hm");
    world.passes(10_000);
    assert_eq!(traces(&mut world, "ben"), (0, 0), "no receipt, no typing, no presence, no busy");
    assert_eq!(world.marks("ada", "ben"), [LineState::Sent]);
    assert!(world.notified("ben").is_empty(), "bells are quiet");
    let told = world.told("ben");
    assert!(told.iter().any(|told| matches!(told, Happened::Request { with, .. } if with.as_str() == "ada")));
    assert!(!told.iter().any(|told| matches!(told, Happened::Call { .. })), "it never rang");
    let lines = world.lines("ben", "ada");
    assert!(lines.iter().any(|line| line.author == Author::Note && line.body.contains("missed call")));
    assert_eq!(world.app("ben").chat().unread(), 0);
    let screen = shown(&mut world, "ben");
    assert!(screen.contains("request") && screen.contains("/accept, /decline or /block"), "{screen}");
    // An answer asks first; what is typed stays.
    world.types("ben", "i remember\n");
    assert!(shown(&mut world, "ben").contains("wrote to you first"));
    world.types("ben", "a");
    world.settle();
    assert_eq!(world.marks("ada", "ben"), [LineState::Read]);
    world.press("ben", KeyCode::Enter, KeyModifiers::NONE);
    world.settle();
    assert_eq!(world.timeline("ada", "ben").last().map(String::as_str), Some("hmi remember"));
    assert!(world.app("ada").chat().with(&name("ben")).expect("there").online, "and sees that he is there");
}

#[test]
fn a_stranger_was_let_in_unasked_by_what_answers_them_in_another_way() {
    let mut world = strangers(18);
    world.says("ada", "ben", "hello, it is ada from the train");
    world.settle();
    let room = world.app("ben").chat().with(&name("ada")).expect("a request").id;
    world.commands("ben", Command::Open(room));
    world.seen();
    let asks = |world: &mut World, why: &str| {
        let screen = shown(world, "ben");
        assert!(screen.contains("wrote to you first"), "{why}: {screen}");
        world.press("ben", KeyCode::Esc, KeyModifiers::NONE);
    };
    world.types("ben", "/open ada\n");
    world.settle();
    assert_eq!(traces(&mut world, "ben"), (0, 0));
    for typed in ["/reply i remember", "/tell ada i remember", "/file /nowhere/a.txt", "/forward ada"] {
        world.types("ben", &format!("{typed}\n"));
        world.settle();
        asks(&mut world, typed);
        assert_eq!(world.app("ben").ui().draft(), typed);
        world.press("ben", KeyCode::Char('u'), KeyModifiers::CONTROL);
    }
    world.press("ben", KeyCode::Char('g'), KeyModifiers::CONTROL);
    world.types("ben", "f\n");
    asks(&mut world, "the list to forward to");
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("a.txt");
    std::fs::write(&path, b"a ticket").expect("written");
    world.event("ben", Event::Paste(path.display().to_string()));
    world.types("ben", "y");
    asks(&mut world, "a file that is dragged in");
    let draft = world.app("ben").ui().draft().to_owned();
    assert!(draft.starts_with("/file /") && draft.ends_with("a.txt"), "{draft}");
    world.settle();
    assert_eq!(traces(&mut world, "ben"), (0, 0));
    assert!(world.app("ben").chat().with(&name("ada")).expect("waits").person.is_request());
    world.press("ben", KeyCode::Char('u'), KeyModifiers::CONTROL);
    world.types("ben", "/reply i remember\na");
    world.settle();
    world.press("ben", KeyCode::Enter, KeyModifiers::NONE);
    world.settle();
    assert_eq!(world.timeline("ada", "ben").last().map(String::as_str), Some("i remember"));
}

#[test]
fn what_goes_to_an_invitation_that_is_not_open_asks_about_that_one() {
    let mut world = strangers(19);
    world.says("ada", "ben", "hello, it is ada from the train");
    world.settle();
    let room = world.app("ben").chat().with(&name("ada")).expect("a request").id;
    world.commands("ben", Command::Open(room));
    slash(&mut world, "ada", "/room new club ben");
    let waits = |world: &mut World| {
        let chat = world.app("ben").chat();
        let club = chat.room_named("club").expect("invited").person.is_request();
        (club, chat.with(&name("ada")).expect("waits").person.is_request())
    };
    world.types("ben", "/forward #club\n");
    world.settle();
    assert_eq!(waits(&mut world), (true, true));
    let screen = shown(&mut world, "ben");
    assert!(screen.contains("An invitation to #club"), "{screen}");
    world.types("ben", "a");
    world.settle();
    assert_eq!(waits(&mut world), (false, true));
}

#[test]
fn a_stranger_may_set_a_timer_first_and_nothing_of_it_stays_when_they_are_declined() {
    let mut world = strangers(9);
    let timers = |world: &mut World| {
        let disk = world.disk("ben");
        disk.records.scan(SETTINGS, &[], &[], Order::Forward, 10).expect("a memory store reads").len()
    };
    world.commands("ada", Command::Add(name("ben")));
    world.commands("ada", Command::Expire(Some(600)));
    world.settle();
    let room = world.app("ben").chat().with(&name("ada")).expect("a request");
    assert!(room.person.is_request() && room.timeline.timer() == 600);
    assert_eq!(timers(&mut world), 1);
    slash(&mut world, "ben", "/decline ada");
    assert!(world.app("ben").chat().with(&name("ada")).is_none());
    assert_eq!(timers(&mut world), 0);
}

#[test]
fn what_waits_for_another_try_goes_out_though_an_earlier_message_disappears_in_that_moment() {
    let mut world = friends(16);
    slash(&mut world, "ada", "/expire 1h");
    world.says("ada", "ben", "soon gone");
    world.settle();
    // The relay says of the next one that it does not take it.
    world.liar = Some(Box::new(|to, frame| match frame {
        ToDevice::Accepted(id) if to == "ada" => {
            vec![ToDevice::Rejected { id, why: Refusal::TooLarge, who: Vec::new() }]
        }
        ToDevice::Deliver(_) if to == "ben" => Vec::new(),
        frame => vec![frame],
    }));
    world.says("ada", "ben", "still on its way");
    world.settle();
    assert!(matches!(world.marks("ada", "ben").last(), Some(LineState::Waiting(_))));
    world.liar = None;
    // Her machine slept for two hours: the first one is due when she asks for another try.
    world.clock_off("ada", 2 * 3_600_000);
    world.commands("ada", Command::Retry);
    world.settle();
    assert_eq!(world.timeline("ada", "ben")[2..], ["", "still on its way"]);
    assert_eq!(world.timeline("ben", "ada").last().map(String::as_str), Some("still on its way"));
    assert!(world.marks("ada", "ben").last().is_some_and(|mark| *mark >= LineState::Delivered));
}

#[test]
fn a_declined_request_is_forgotten_and_a_blocked_one_stays_out() {
    let mut world = strangers(9);
    world.joins("eve");
    world.settle();
    world.says("ada", "ben", "hello");
    world.says("eve", "ben", "buy roses");
    world.settle();
    assert_eq!(world.timeline("ben", "eve"), ["buy roses"]);
    slash(&mut world, "ben", "/decline ada");
    slash(&mut world, "ben", "/block eve");
    assert_eq!(world.timeline("ben", "ada"), [""; 0]);
    assert!(world.app("ben").chat().with(&name("ada")).is_none());
    world.restarts("ben");
    world.settle();
    world.says("eve", "ben", "roses!");
    world.settle();
    assert_eq!(world.timeline("ben", "eve"), ["buy roses"]);
    assert!(world.app("ben").chat().with(&name("ada")).is_none(), "still gone");
    slash(&mut world, "ben", "/contacts");
    let screen = shown(&mut world, "ben");
    assert!(screen.contains("Blocked") && screen.contains("eve"), "{screen}");
}

#[test]
fn a_request_outlives_a_restart_and_what_found_no_place_comes_once_accepted() {
    let mut world = strangers(10);
    let long = "x".repeat(15_000);
    for i in 0..8 {
        world.says("ada", "ben", &format!("{i} {long}"));
    }
    world.settle();
    assert_eq!(world.timeline("ben", "ada").len(), 5, "about 64 KiB and no more");
    world.restarts("ben");
    world.settle();
    assert!(world.app("ben").chat().with(&name("ada")).expect("waits").person.is_request());
    // Accepted without a connection: they are asked once there is one, in another run.
    world.relay_crashes();
    world.commands("ben", Command::Accept(Some(name("ada"))));
    world.restarts("ben");
    world.start_relay();
    world.passes(5_000);
    let got = world.timeline("ben", "ada");
    assert_eq!(got.len(), 8);
    for (i, text) in got.iter().enumerate() {
        assert!(text.starts_with(&format!("{i} ")), "in order");
    }
    assert!(world.marks("ada", "ben").iter().all(|mark| *mark >= LineState::Delivered));
}

#[test]
fn hundreds_of_strangers_find_a_bounded_place_and_friends_are_not_hurt() {
    let mut world = friends(11);
    world.is_wary("ben");
    // More than there is room for; each is a whole account with its own keys.
    let crowd: Vec<String> = (0..120).map(|i| format!("crowd{i}")).collect();
    for stranger in &crowd {
        world.joins(stranger);
        world.settle();
        world.says(stranger, "ben", "hello");
        world.settle();
        world.kill(stranger);
    }
    let requests = |world: &mut World| {
        let rooms = &world.app("ben").chat().rooms;
        rooms.iter().filter(|room| room.person.is_request()).count()
    };
    assert_eq!(requests(&mut world), 50);
    assert_eq!(world.app("ben").chat().turned_away, 70);
    // One slot a session: the crowd's fifty, Ada's and the own few.
    let inbound = world.disk("ben").slots.list(2).len();
    assert!(inbound <= 50 + 4, "{inbound} sessions");
    world.says("ada", "ben", "what a crowd");
    world.settle();
    assert_eq!(world.timeline("ben", "ada").last().map(String::as_str), Some("what a crowd"));
    assert_eq!(world.app("ben").chat().rooms[0].with(), Some(&name("ada")), "friends come first");
    slash(&mut world, "ben", "/decline crowd3");
    world.restarts("ben");
    world.settle();
    assert_eq!(requests(&mut world), 49);
    world.joins("late");
    world.settle();
    world.says("late", "ben", "room for me?");
    world.settle();
    assert_eq!(world.timeline("ben", "late"), ["room for me?"]);
}

#[test]
fn a_crowd_that_invites_into_rooms_was_kept_beside_all_strangers_that_may_wait() {
    let mut world = friends(14);
    world.is_wary("ben");
    for i in 0..60 {
        let stranger = format!("crowd{i}");
        world.joins(&stranger);
        world.settle();
        slash(&mut world, &stranger, "/room new x ben");
        world.kill(&stranger);
    }
    let chat = world.app("ben").chat();
    assert_eq!(chat.rooms.iter().filter(|room| room.person.is_request()).count(), 50);
    assert!(chat.turned_away >= 10, "{} turned away", chat.turned_away);
    let inbound = world.disk("ben").slots.list(2).len();
    assert!(inbound <= 50 + 4, "{inbound} sessions");
    world.says("ada", "ben", "what a crowd");
    world.settle();
    assert_eq!(world.timeline("ben", "ada").last().map(String::as_str), Some("what a crowd"));
}

#[test]
fn requests_can_be_turned_off() {
    let mut config = subrosa::config::Config::default();
    config.privacy.requests = false;
    let mut world = World::with(12, &["ada"]);
    world.joins_with("ben", config);
    world.is_wary("ben");
    world.settle();
    world.says("ada", "ben", "hello");
    world.settle();
    assert_eq!(world.marks("ada", "ben"), [LineState::Delivered]);
}

#[test]
fn an_own_name_is_shown_and_never_sent() {
    let mut world = friends(13);
    world.seen();
    slash(&mut world, "ada", "/petname ben The Baker");
    world.says("ada", "ben", "two loaves please");
    world.settle();
    let screen = shown(&mut world, "ada");
    assert!(screen.contains("The Baker (ben)"), "the head names both: {screen}");
    let sent = format!("{:?}", world.seen());
    assert!(!sent.contains("Baker"));
    world.joins("cyd");
    world.settle();
    world.knows("ada", "cyd");
    slash(&mut world, "ada", "/petname cyd ben");
    let called = |world: &mut World, with: &str| {
        world.app("ada").chat().with(&name(with)).expect("there").name().to_owned()
    };
    assert_eq!(called(&mut world, "cyd"), "cyd", "nobody is taken for somebody else");
    world.restarts("ada");
    world.settle();
    assert_eq!(called(&mut world, "ben"), "The Baker");
    slash(&mut world, "ada", "/petname ben");
    assert_eq!(called(&mut world, "ben"), "ben");
}

#[test]
fn a_blocked_caller_stops_ringing_without_a_word() {
    let mut world = friends(14);
    world.commands("ada", Command::Video(Some("test".into())));
    world.settle();
    assert_eq!(world.app("ben").chat().call.as_ref().map(|call| call.state), Some(CallState::Ringing));
    world.seen();
    slash(&mut world, "ben", "/block ada");
    assert!(world.app("ben").chat().call.is_none());
    assert_eq!(traces(&mut world, "ben").0, 0);
    let still = world.app("ada").chat().call.as_ref().map(|call| call.state);
    assert_eq!(still, Some(CallState::Calling), "she goes on ringing until she gives up");
    world.seen();
    slash(&mut world, "ben", "/unblock ada");
    assert_eq!(traces(&mut world, "ben").0, 0, "and nothing of that time comes late");
}
