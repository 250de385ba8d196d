//! A person has several devices: linked by a code, written to together, removed one by one.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use subrosa::chat::Link;
use subrosa::chat::call::CallState;
use subrosa::chat::devices::{ANEW, CHAIN};
use subrosa::chat::person::Trouble;
use subrosa::chat::talk::ACCOUNT;
use subrosa::chat::timeline::{Author, LineState};
use subrosa::ui::command::{self, Command, Secret};
use subrosa::ui::devices::DevicesCommand;
use subrosa_relay::config::Rate;
use subrosa_shared::id::{AccountName, DeviceId};
use subrosa_shared::protocol::devices::{DeviceList, VERSIONS_IN_FRAME, Version};
use subrosa_shared::protocol::frame::{Ask, Refusal, ToDevice, ToRelay};
use subrosa_shared::session::Identity;
use subrosa_shared::store::Order;
use subrosa_tests::World;
use subrosa_tests::club::club;
use subrosa_tests::network::Weather;
use subrosa_tests::words::{alarms, notes, notices};
use subrosa_tests::world::Seen;
use zeroize::Zeroizing;

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("valid")
}

/// Ada has a desk and a laptop; Ben knows her.
fn desk_and_laptop(seed: u64) -> World {
    let mut world = World::with(seed, &["ada", "ben"]);
    world.says("ben", "ada", "hello ada");
    world.settle();
    world.says("ada", "ben", "hello ben");
    world.settle();
    world.commands("ada", Command::Add(name("ben")));
    world.commands("ben", Command::Add(name("ada")));
    world.adds_device("ada", "laptop");
    world.passes(3_000);
    world
}

fn removes(world: &mut World, who: &str, device: DeviceId) {
    world.commands(who, Command::Devices(DevicesCommand::Removed(device)));
    world.settle();
}

#[test]
fn two_removals_at_once_leave_one_list() {
    let mut world = desk_and_laptop(90);
    world.adds_device("ada", "tablet");
    world.passes(3_000);
    let [laptop, tablet] = ["laptop", "tablet"].map(|who| world.app(who).device());
    for device in [laptop, tablet] {
        world.commands("ada", Command::Devices(DevicesCommand::Removed(device)));
    }
    world.settle();
    assert!(notices(&mut world, "ada").contains("try again in a moment"));
    let listed =
        |world: &mut World| world.app("ada").chat().devices.iter().map(|it| it.device).collect::<Vec<_>>();
    let left = listed(&mut world);
    assert!(!left.contains(&laptop) && left.contains(&tablet), "{left:?}");
    removes(&mut world, "ada", tablet);
    // What the relay has is what is known here: whoever looks finds nothing to warn of.
    for who in ["ada", "ben"] {
        world.restarts(who);
    }
    world.passes(3_000);
    assert_eq!(listed(&mut world), [world.app("ada").device()]);
    assert!(!notices(&mut world, "ada").contains("another list"));
    assert_eq!(alarms(&mut world, "ben", "ada"), Vec::<String>::new());
}

#[test]
fn a_code_links_a_second_device_which_knows_the_contacts_and_the_history() {
    let mut world = desk_and_laptop(1);
    assert_eq!(world.timeline("laptop", "ben"), ["hello ada", "hello ben"]);
    let chat = world.app("laptop").chat();
    assert_eq!((chat.name.as_str(), chat.devices.len()), ("ada", 2));
    assert!(chat.with(&name("ben")).expect("known").person.is_contact());
    let pinned =
        |world: &mut World, who: &str| world.app(who).chat().with(&name("ben")).expect("known").kept.peer;
    assert_eq!(pinned(&mut world, "laptop"), pinned(&mut world, "ada"));
    assert!(world.bytes_to_link("laptop") < 4096);
    assert!(notes(&mut world, "ben", "ada").contains(&"ada added a device".to_string()));
}

#[test]
fn a_text_shows_on_both_devices_and_own_lines_on_the_other_one() {
    let mut world = desk_and_laptop(2);
    world.says("laptop", "ben", "from my laptop");
    world.settle();
    assert!(world.timeline("ben", "ada").contains(&"from my laptop".into()));
    assert!(world.timeline("ada", "ben").contains(&"from my laptop".into()), "an own line on the desk");
    assert!(
        world
            .lines("ada", "ben")
            .iter()
            .any(|line| line.body == "from my laptop" && line.author == Author::Me)
    );
    world.says("ben", "ada", "to all of you");
    world.settle();
    for device in ["ada", "laptop"] {
        assert_eq!(
            world.timeline(device, "ben").last().map(String::as_str),
            Some("to all of you"),
            "{device}"
        );
    }
    assert!(world.marks("laptop", "ben").iter().all(|mark| *mark >= LineState::Delivered));
    assert!(alarms(&mut world, "ben", "ada").is_empty() && alarms(&mut world, "laptop", "ben").is_empty());
}

#[test]
fn a_profile_that_one_device_sets_is_that_of_the_account() {
    let mut world = desk_and_laptop(21);
    world.commands("laptop", command::parse("/profile name Ada L.").expect("a command"));
    world.settle();
    assert_eq!(world.app("ada").chat().profile.name, "Ada L.");
    let known = |world: &mut World| {
        let chat = world.app("ben").chat();
        chat.with(&name("ada")).expect("known").portrait.display_name().to_owned()
    };
    world.says("ben", "ada", "who are you today?");
    world.settle();
    assert_eq!(known(&mut world), "Ada L.");
    world.passes(10);
    world.commands("ada", command::parse("/profile name Ada").expect("a command"));
    world.settle();
    assert_eq!(world.app("laptop").chat().profile.name, "Ada");
    assert_eq!(known(&mut world), "Ada");
    world.adds_device("ada", "phone");
    world.passes(3_000);
    assert_eq!(world.app("phone").chat().profile.name, "Ada", "a new device learns it");
}

#[test]
fn what_disappears_disappears_on_every_device() {
    let mut world = desk_and_laptop(22);
    world.commands("ada", Command::Add(name("ben")));
    world.commands("ada", command::parse("/expire 1h").expect("a command"));
    world.settle();
    world.says("ada", "ben", "soon gone");
    world.settle();
    for (who, with) in [("ada", "ben"), ("laptop", "ben"), ("ben", "ada")] {
        assert!(world.timeline(who, with).contains(&"soon gone".into()), "{who}");
    }
    world.says("laptop", "ben", "this too: the timer is the conversation's");
    world.settle();
    for who in ["ada", "laptop"] {
        world.commands(who, Command::Add(name("ben")));
    }
    world.commands("ben", Command::Add(name("ada")));
    world.settle();
    world.passes(3_700_000);
    // It has locked itself meanwhile, as idle clients do.
    world.restarts("laptop");
    world.settle();
    for (who, with) in [("ada", "ben"), ("laptop", "ben"), ("ben", "ada")] {
        let left = world.timeline(who, with);
        assert!(
            !left.iter().any(|text| text == "soon gone" || text.starts_with("this too")),
            "{who}: {left:?}"
        );
    }
    world.adds_device("ada", "phone");
    world.passes(3_000);
    assert_eq!(world.timeline("phone", "ben"), ["hello ada", "hello ben"], "nor does the history hold it");
}

#[test]
fn what_was_read_on_one_device_disappears_on_the_other_too() {
    let mut world = desk_and_laptop(31);
    world.commands("ada", command::parse("/expire 1h").expect("a command"));
    world.settle();
    world.kill("ada");
    world.says("ben", "ada", "soon gone");
    world.settle();
    world.commands("laptop", Command::Add(name("ben")));
    world.settle();
    // The desk hears of it, and nobody looks at the conversation there.
    world.starts("ada");
    world.settle();
    assert!(world.timeline("ada", "ben").contains(&"soon gone".into()));
    world.passes(3_700_000);
    for who in ["ada", "laptop"] {
        world.restarts(who);
        world.settle();
        let left = world.timeline(who, "ben");
        assert!(!left.contains(&"soon gone".into()), "{who}: {left:?}");
    }
}

#[test]
fn a_new_device_knows_the_rooms_whenever_its_host_dies() {
    let mut linked = 0;
    for life in 1..30 {
        let mut world = club(32, &["ben"]);
        world.commands("ada", Command::Devices(DevicesCommand::Link));
        world.settle();
        let code = world.code("ada");
        world.kill_after("ada", life);
        world.types_code("laptop", &code);
        world.settle();
        world.restarts("ada");
        world.passes(60_000);
        if world.app("ada").chat().devices.len() < 2 {
            continue;
        }
        linked += 1;
        let chat = world.app("laptop").chat();
        assert!(chat.room_named("#club").is_some(), "killed after {life}");
    }
    assert!(linked > 3, "{linked}");
}

#[test]
fn a_device_that_was_away_gets_everything_later_once() {
    let mut world = desk_and_laptop(3);
    world.says("ada", "ben", "so that he knows the laptop");
    world.settle();
    world.kill("laptop");
    for text in ["one", "two", "three"] {
        world.says("ben", "ada", text);
        world.says("ada", "ben", &format!("{text} back"));
        world.settle();
    }
    world.restarts("ada");
    world.starts("laptop");
    world.passes(5_000);
    let mut desk = world.timeline("ada", "ben");
    let mut laptop = world.timeline("laptop", "ben");
    desk.sort();
    laptop.sort();
    assert_eq!(laptop, desk);
}

#[test]
fn what_is_under_way_when_a_device_comes_is_for_that_one_too() {
    let mut world = World::with(23, &["ada", "ben"]);
    world.says("ben", "ada", "hello ada");
    world.settle();
    world.says("ada", "ben", "hello ben");
    world.settle();
    world.commands("ada", Command::Add(name("ben")));
    world.kill("ben");
    world.adds_device("ada", "laptop");
    world.passes(3_000);
    for who in ["ada", "laptop"] {
        world.kill(who);
    }
    world.starts("ben");
    // He does not know the laptop yet, and the desk is away.
    for text in ["one", "two"] {
        world.says("ben", "ada", text);
        world.settle();
    }
    world.starts("laptop");
    world.settle();
    world.says("laptop", "ben", "from my laptop");
    world.settle();
    world.says("ben", "ada", "three");
    world.passes(5_000);
    let theirs = |world: &mut World, who: &str| -> Vec<String> {
        let lines = world.lines(who, "ben").into_iter().filter(|line| line.author == Author::Them);
        lines.map(|line| line.body).collect()
    };
    assert_eq!(theirs(&mut world, "laptop"), ["hello ada", "one", "two", "three"]);
    world.starts("ada");
    world.passes(5_000);
    assert_eq!(theirs(&mut world, "ada"), ["hello ada", "one", "two", "three"]);
    assert_eq!(world.timeline("ada", "ben"), world.timeline("laptop", "ben"));
    assert_eq!(world.timeline("ada", "ben"), world.timeline("ben", "ada"));
}

#[test]
fn a_new_device_whose_keys_were_not_to_be_had_hears_of_a_name_and_a_timer_after_a_restart() {
    let mut world = World::with(95, &["ada", "ben", "cleo"]);
    world.says("ben", "ada", "hello ada");
    world.settle();
    world.says("ada", "ben", "hello ben");
    world.settle();
    world.commands("ada", command::parse("/profile name Ada L.").expect("a command"));
    world.settle();
    world.relay_config().limits.claims = Rate { per_minute: 1, burst: 1 };
    world.relay_crashes();
    world.start_relay();
    world.passes(3_000);
    // She takes the one key of this minute.
    world.says("ada", "cleo", "hello cleo");
    world.settle();
    world.adds_device("ben", "laptop");
    world.passes(3_000);
    assert!(notes(&mut world, "ada", "ben").contains(&"ben added a device".to_string()));
    // His devices would tell each other of the timer.
    world.kill("ben");
    world.commands("ada", Command::Add(name("ben")));
    world.commands("ada", command::parse("/expire 1h").expect("a command"));
    world.settle();
    let known = |world: &mut World| {
        let room = world.app("laptop").chat().with(&name("ada")).expect("known");
        (room.portrait.display_name().to_owned(), room.timeline.timer())
    };
    assert_eq!(known(&mut world), (String::new(), 0), "the relay gave out no key");
    world.seen();
    world.cut("ada");
    world.passes(10_000);
    assert_eq!(world.app("ada").chat().link, Link::Online);
    let sent = |seen: &&Seen| matches!(seen, Seen::From(from, ToRelay::Send(_)) if from == "ada");
    assert_eq!(world.seen().iter().filter(sent).count(), 0, "what waits is said once in a run");
    world.restarts("ada");
    world.passes(300_000);
    assert_eq!(known(&mut world), ("Ada L.".to_string(), 3600));
}

#[test]
fn read_marks_mute_names_and_blocks_follow() {
    let mut world = desk_and_laptop(4);
    world.says("ada", "ben", "so that he knows the laptop");
    world.settle();
    // Nobody looks at the laptop.
    world.event("laptop", subrosa::event::Event::Focus(false));
    world.event("ada", subrosa::event::Event::Focus(false));
    world.says("ben", "ada", "unread");
    world.settle();
    assert_eq!(world.app("laptop").chat().unread(), 1);
    assert_eq!(world.app("ada").chat().unread(), 1);
    world.event("ada", subrosa::event::Event::Focus(true));
    world.settle();
    assert_eq!(world.app("ada").chat().unread(), 0);
    assert_eq!(world.app("laptop").chat().unread(), 0, "read on the desk");
    world.types("ada", "/petname ben The Baker\n");
    world.types("ada", "/mute\n");
    world.settle();
    let ben = |world: &mut World, who: &str| {
        let room = world.app(who).chat().with(&name("ben")).expect("known");
        (room.name().to_owned(), room.kept.muted, room.person.blocked)
    };
    assert_eq!(ben(&mut world, "laptop"), ("The Baker".into(), true, false));
    world.types("laptop", "/block ben\n");
    world.settle();
    assert!(ben(&mut world, "ada").2, "blocked on the other one too");
    world.restarts("ada");
    world.settle();
    world.types("ada", "/unblock ben\n");
    world.settle();
    assert!(!ben(&mut world, "laptop").2);
}

#[test]
fn a_call_rings_everywhere_and_stops_where_it_was_not_answered() {
    let mut world = desk_and_laptop(5);
    world.says("ada", "ben", "call me");
    world.settle();
    let state = |world: &mut World, who: &str| world.app(who).chat().call.as_ref().map(|call| call.state);
    world.commands("ben", Command::Video(Some("test".into())));
    world.settle();
    for device in ["ada", "laptop"] {
        assert_eq!(state(&mut world, device), Some(CallState::Ringing), "{device}");
    }
    world.commands("laptop", Command::Answer(Some("test".into())));
    world.settle();
    assert_eq!(state(&mut world, "laptop"), Some(CallState::Active));
    assert_eq!(state(&mut world, "ben"), Some(CallState::Active));
    assert_eq!(state(&mut world, "ada"), None);
    assert!(notes(&mut world, "ada", "ben").contains(&"answered on another device".to_string()));
    for _ in 0..20 {
        world.films("laptop");
        world.films("ben");
        world.passes(100);
    }
    assert!(!world.pictures("ben").is_empty() && !world.pictures("laptop").is_empty());
    world.commands("ben", Command::Hangup);
    world.settle();
    assert_eq!(state(&mut world, "laptop"), None);
    world.commands("ben", Command::Video(Some("test".into())));
    world.settle();
    world.commands("ada", Command::Decline);
    world.settle();
    assert_eq!((state(&mut world, "laptop"), state(&mut world, "ben")), (None, None), "declined for all");
}

fn call_of(world: &mut World, who: &str) -> Option<CallState> {
    world.app(who).chat().call.as_ref().map(|call| call.state)
}

fn rings(world: &mut World, who: &str) {
    world.commands(who, Command::Video(Some("test".into())));
}

fn answers(world: &mut World, who: &str) {
    world.commands(who, Command::Answer(Some("test".into())));
    world.settle();
}

#[test]
fn where_one_device_is_in_another_call_the_others_stop_to_ring() {
    let mut world = World::with(70, &["ada", "ben", "cyd"]);
    for other in ["ben", "cyd"] {
        world.says(other, "ada", "hello ada");
        world.settle();
        world.says("ada", other, "hello");
        world.settle();
        world.commands("ada", Command::Add(name(other)));
        world.commands(other, Command::Add(name("ada")));
    }
    world.adds_device("ada", "laptop");
    world.passes(3_000);
    for other in ["ben", "cyd"] {
        world.says("ada", other, "call me");
        world.settle();
    }
    rings(&mut world, "cyd");
    world.settle();
    answers(&mut world, "ada");
    assert_eq!((call_of(&mut world, "ada"), call_of(&mut world, "laptop")), (Some(CallState::Active), None));
    rings(&mut world, "ben");
    world.settle();
    assert!(notes(&mut world, "ben", "ada").contains(&"they are in another call".to_string()));
    assert_eq!((call_of(&mut world, "ben"), call_of(&mut world, "laptop")), (None, None));
    assert_eq!(call_of(&mut world, "ada"), Some(CallState::Active), "the first one goes on");
}

#[test]
fn a_call_goes_on_though_another_device_of_theirs_rings() {
    let mut world = desk_and_laptop(71);
    world.says("ada", "ben", "shall we?");
    world.settle();
    rings(&mut world, "ada");
    world.settle();
    answers(&mut world, "ben");
    assert_eq!(call_of(&mut world, "ada"), Some(CallState::Active));
    world.commands("laptop", Command::Add(name("ben")));
    world.settle();
    rings(&mut world, "laptop");
    world.settle();
    assert_eq!(call_of(&mut world, "laptop"), None, "busy");
    for who in ["ada", "ben"] {
        assert_eq!(call_of(&mut world, who), Some(CallState::Active), "{who}");
    }
}

#[test]
fn when_both_ring_at_once_no_further_device_rings_on() {
    let mut given_up = false;
    // Which call is given up is drawn by lot.
    for seed in 72..92 {
        let mut world = desk_and_laptop(seed);
        world.says("ada", "ben", "call me");
        world.settle();
        world.commands("laptop", Command::Add(name("ben")));
        world.settle();
        world.weather(Weather { delay: 50, ..Weather::default() });
        rings(&mut world, "ben");
        rings(&mut world, "laptop");
        let id = |world: &mut World| world.app("ben").chat().call.as_ref().map(|call| call.id);
        let first = id(&mut world);
        world.settle();
        for who in ["ben", "laptop"] {
            assert_eq!(call_of(&mut world, who), Some(CallState::Active), "{who}, {seed}");
        }
        assert_eq!(call_of(&mut world, "ada"), None, "{seed}");
        given_up |= id(&mut world) != first;
        if given_up {
            break;
        }
    }
    assert!(given_up, "not once in twenty times");
}

/// Ada has a desk and a laptop, and Ben calls her.
fn ben_rings(seed: u64) -> World {
    let mut world = desk_and_laptop(seed);
    world.says("ada", "ben", "call me");
    world.settle();
    rings(&mut world, "ben");
    world.settle();
    for device in ["ada", "laptop"] {
        assert_eq!(call_of(&mut world, device), Some(CallState::Ringing), "{device}");
    }
    world
}

#[test]
fn a_device_that_ends_while_it_rings_leaves_the_others_ringing() {
    for ends in [Command::Quit, Command::Lock] {
        let mut world = ben_rings(93);
        world.commands("laptop", ends);
        world.settle();
        assert!(!world.alive("laptop"));
        assert!(notes(&mut world, "laptop", "ben").contains(&"missed call".to_string()));
        assert_eq!(call_of(&mut world, "ada"), Some(CallState::Ringing));
        answers(&mut world, "ada");
        assert_eq!(call_of(&mut world, "ben"), Some(CallState::Active));
    }
}

#[test]
fn a_device_that_ends_while_only_it_rings_lets_the_caller_go() {
    for ends in [Command::Quit, Command::Lock] {
        let mut world = desk_and_laptop(97);
        world.says("ada", "ben", "call me");
        world.settle();
        rings(&mut world, "ada");
        world.settle();
        assert_eq!(call_of(&mut world, "ben"), Some(CallState::Ringing));
        world.commands("ben", ends);
        world.settle();
        assert!(!world.alive("ben"));
        assert_eq!(call_of(&mut world, "ada"), None);
        let told = notes(&mut world, "ada", "ben");
        assert!(told.contains(&"they ended the call".to_string()), "{told:?}");
    }
}

#[test]
fn where_the_relay_opens_no_track_for_an_answer_the_others_stop_to_ring() {
    let mut world = ben_rings(94);
    world.liar = Some(Box::new(|who, frame| match frame {
        ToDevice::Published { ask, .. } if who == "laptop" => {
            vec![ToDevice::Refused { ask: Some(ask), why: Refusal::TooLarge }]
        }
        frame => vec![frame],
    }));
    answers(&mut world, "laptop");
    for who in ["laptop", "ben", "ada"] {
        assert_eq!(call_of(&mut world, who), None, "{who}");
    }
}

#[test]
fn a_call_with_a_device_that_is_removed_ends() {
    let mut world = ben_rings(95);
    answers(&mut world, "laptop");
    assert_eq!(call_of(&mut world, "ben"), Some(CallState::Active));
    let laptop = world.app("laptop").device();
    removes(&mut world, "ada", laptop);
    assert_eq!(call_of(&mut world, "ben"), None);
    let told = notes(&mut world, "ben", "ada");
    assert!(told.iter().any(|note| note.starts_with("the call broke off: they removed")), "{told:?}");
}

#[test]
fn a_device_that_is_removed_from_a_call_knows_the_key_of_no_further_picture() {
    for (answered, honest) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut world = ben_rings(96);
        if answered {
            answers(&mut world, "ada");
        }
        let own = |world: &mut World| world.app("ben").chat().call.as_ref().and_then(|call| call.own.clone());
        let before = own(&mut world).expect("a track");
        if !honest {
            // This relay would rather go on with the track that the laptop may watch.
            world.liar = Some(Box::new(|who, frame| match frame {
                ToDevice::Published { .. } if who == "ben" => Vec::new(),
                frame => vec![frame],
            }));
        }
        let [desk, laptop] = ["ada", "laptop"].map(|who| world.app(who).device());
        world.seen();
        removes(&mut world, "ada", laptop);
        if !answered {
            answers(&mut world, "ada");
        }
        for _ in 0..10 {
            world.films("ben");
            world.films("ada");
            world.passes(100);
        }
        let case = format!("answered: {answered}, honest: {honest}");
        assert_eq!(call_of(&mut world, "ben"), Some(CallState::Active), "{case}");
        let after = own(&mut world);
        assert_eq!(after.is_some(), honest, "{case}");
        assert!(after.is_none_or(|after| after.key != before.key), "{case}");
        assert_eq!(!world.pictures("ada").is_empty(), honest, "{case}");
        let (mut opened, mut filmed) = (Vec::new(), false);
        for seen in world.seen() {
            match seen {
                Seen::From(who, ToRelay::OpenTrack { viewers, .. }) if who == "ben" => opened.push(viewers),
                Seen::Media(who, _) => filmed |= who == "ben",
                _ => {}
            }
        }
        assert_eq!(opened, [[desk]], "{case}");
        assert_eq!(filmed, honest, "{case}");
    }
}

#[test]
fn a_removed_device_reads_nothing_sent_later_and_contacts_drop_its_sessions() {
    let mut world = desk_and_laptop(6);
    world.says("laptop", "ben", "mine for now");
    world.settle();
    world.says("ben", "ada", "hello both");
    world.settle();
    let laptop = world.app("laptop").device();
    world.kill("laptop");
    removes(&mut world, "ada", laptop);
    assert!(notes(&mut world, "ben", "ada").iter().any(|note| note.contains("removed a device")));
    world.seen();
    world.says("ben", "ada", "only the desk");
    world.says("ada", "ben", "yes");
    world.settle();
    let sent = world.seen().into_iter().filter_map(|seen| match seen {
        Seen::From(_, ToRelay::Send(outgoing)) => Some(outgoing),
        _ => None,
    });
    assert!(sent.flat_map(|outgoing| outgoing.to).all(|head| head.to != laptop), "not a byte goes to it");
    world.starts("laptop");
    world.passes(5_000);
    assert!(!world.timeline("laptop", "ben").contains(&"only the desk".into()));
    assert!(notices(&mut world, "laptop").contains("was removed from the account"));
    world.says("laptop", "ben", "let me in");
    world.passes(5_000);
    assert!(!world.timeline("ben", "ada").contains(&"let me in".into()));
    assert_eq!(world.app("ada").chat().devices.len(), 1);
}

#[test]
fn the_first_device_can_be_removed_and_the_person_stays_the_same() {
    let mut world = desk_and_laptop(7);
    world.says("laptop", "ben", "both of us");
    world.settle();
    let number = |world: &mut World, who: &str, with: &str| {
        let chat = world.app(who).chat();
        chat.safety(chat.with(&name(with)).expect("known")).expect("pinned").0.to_string()
    };
    let before = number(&mut world, "ben", "ada");
    assert_eq!(number(&mut world, "laptop", "ben"), before, "one number for a person");
    let desk = world.app("ada").device();
    removes(&mut world, "laptop", desk);
    world.says("laptop", "ben", "without the desk");
    world.says("ben", "ada", "fine");
    world.settle();
    assert_eq!(world.timeline("laptop", "ben").last().map(String::as_str), Some("fine"));
    assert_eq!(number(&mut world, "ben", "ada"), before);
    assert!(alarms(&mut world, "ben", "ada").is_empty());
    assert!(notices(&mut world, "ada").contains("was removed from the account"));
}

#[test]
fn a_wrong_code_is_one_try_told_on_both_ends() {
    let mut world = World::with(8, &["ada", "ben"]);
    world.commands("ada", Command::Devices(DevicesCommand::Link));
    world.settle();
    let code = world.code("ada");
    let wrong = format!("{}babab-babab", &code[..6]);
    world.types_code("mallory", &wrong);
    world.settle();
    assert!(notices(&mut world, "mallory").contains("not the code"));
    assert!(notices(&mut world, "ada").contains("a wrong code was typed"));
    world.types_code("laptop", &code);
    world.settle();
    assert!(notices(&mut world, "laptop").contains("no device waits with that code"), "used up");
    assert_eq!(world.app("ada").chat().devices.len(), 1);
    world.adds_device("ada", "laptop");
}

#[test]
fn a_code_is_void_after_ten_minutes() {
    let mut world = World::with(9, &["ada"]);
    world.commands("ada", Command::Devices(DevicesCommand::Link));
    world.settle();
    let code = world.code("ada");
    world.passes(10 * 60_000 + 1_000);
    assert!(world.app("ada").chat().linking.is_none());
    world.types_code("laptop", &code);
    world.settle();
    assert!(!world.alive("laptop"));
}

#[test]
fn a_relay_that_changes_what_passes_links_nobody() {
    for message in 0..4 {
        let mut world = World::with(10 + message, &["ada"]);
        let count = RefCell::new(0);
        world.liar = Some(Box::new(move |_, frame| match frame {
            ToDevice::Passed { slot, mut bytes } => {
                if *count.borrow() == message {
                    bytes[40] ^= 1;
                }
                *count.borrow_mut() += 1;
                vec![ToDevice::Passed { slot, bytes }]
            }
            frame => vec![frame],
        }));
        world.commands("ada", Command::Devices(DevicesCommand::Link));
        world.settle();
        let code = world.code("ada");
        world.types_code("laptop", &code);
        world.settle();
        assert!(!world.alive("laptop"), "message {message}");
        let told = notices(&mut world, "laptop") + &notices(&mut world, "ada");
        assert!(told.contains("changed on the way"), "message {message}: {told}");
        assert_eq!(world.app("ada").chat().devices.len(), 1, "message {message}");
    }
}

#[test]
fn a_new_machine_shows_the_code_and_both_ends_see_whom_they_linked() {
    let mut world = World::with(40, &["ada", "ben"]);
    world.says("ben", "ada", "hello ada");
    world.settle();
    world.commands("ada", Command::Add(name("ben")));
    world.settle();
    let code = world.shows_code("laptop");
    world.types("ada", &format!("/devices link {code}\n"));
    world.settle();
    assert_eq!(world.app("ada").chat().devices.len(), 1, "it is asked first");
    world.links_shown("ada", &code);
    world.settle();
    assert!(world.alive("laptop"), "{:?}", world.told("laptop"));
    assert!(notices(&mut world, "ada").contains("the device is linked and called 'laptop'"));
    world.passes(3_000);
    let chat = world.app("laptop").chat();
    assert_eq!((chat.name.as_str(), chat.devices.len()), ("ada", 2));
    assert_eq!(world.timeline("laptop", "ben"), ["hello ada"]);
    assert!(notes(&mut world, "ben", "ada").contains(&"ada added a device".to_string()));
    assert!(world.bytes_to_link("laptop") < 4096);
}

#[test]
fn a_wrong_code_for_a_machine_that_shows_one_is_one_try_told_on_both_ends() {
    let mut world = World::with(41, &["ada", "ben"]);
    let code = world.shows_code("laptop");
    world.links_shown("ben", &format!("{}babab-babab", &code[..6]));
    world.settle();
    assert!(notices(&mut world, "ben").contains("not the code that the other machine shows"));
    assert!(notices(&mut world, "laptop").contains("a wrong code was typed"));
    world.links_shown("ada", &code);
    world.settle();
    assert!(notices(&mut world, "ada").contains("no machine waits with that code"), "used up");
    assert_eq!(world.app("ada").chat().devices.len(), 1);
    assert_eq!(world.app("ben").chat().devices.len(), 1);
    assert!(!world.alive("laptop"));
    let code = world.shows_code("laptop");
    world.links_shown("ada", &code);
    world.settle();
    assert!(world.alive("laptop"));
    world.links_shown("ada", &code);
    world.settle();
    assert!(notices(&mut world, "ada").contains("no machine waits"), "it served once");
    assert_eq!(world.app("ada").chat().devices.len(), 2);
}

#[test]
fn a_code_of_one_direction_is_none_of_the_other() {
    let mut world = World::with(42, &["ada"]);
    let code = world.shows_code("laptop");
    world.types_code("phone", &code);
    world.settle();
    assert!(
        notices(&mut world, "phone").contains("no device waits with that code"),
        "two strangers never meet"
    );
    world.links_shown("ada", &code);
    world.settle();
    assert!(world.alive("laptop"), "and nothing was used up");
}

#[test]
fn a_relay_that_changes_what_passes_to_or_from_a_machine_that_shows_a_code_links_nobody() {
    // Five messages, the list, which the welcome names, and the word that the profile is made.
    for message in 0..7 {
        let mut world = World::with(50 + message, &["ada"]);
        let count = RefCell::new(0);
        world.liar = Some(Box::new(move |_, frame| match frame {
            ToDevice::Passed { slot, mut bytes } => {
                if *count.borrow() == message {
                    bytes[5] ^= 1;
                }
                *count.borrow_mut() += 1;
                vec![ToDevice::Passed { slot, bytes }]
            }
            frame => vec![frame],
        }));
        let code = world.shows_code("laptop");
        world.links_shown("ada", &code);
        world.settle();
        assert_eq!(world.alive("laptop"), message == 6, "message {message}: what is made stays");
        let told = notices(&mut world, "laptop") + &notices(&mut world, "ada");
        assert!(told.contains("changed on the way"), "message {message}: {told}");
        let unlisted = told.contains("this device is not in the list");
        assert_eq!(unlisted, message == 6, "message {message}: {told}");
        assert_eq!(world.app("ada").chat().devices.len(), 1, "message {message}");
    }
}

#[test]
fn a_relay_that_repeats_what_passes_links_nobody() {
    for message in 0..4 {
        let mut world = World::with(60 + message, &["ada"]);
        let (count, last) = (RefCell::new(0), RefCell::new(Vec::new()));
        world.liar = Some(Box::new(move |_, frame| match frame {
            ToDevice::Passed { slot, bytes } => {
                let before = last.replace(bytes.clone());
                let swapped = *count.borrow() == message + 1;
                *count.borrow_mut() += 1;
                vec![ToDevice::Passed { slot, bytes: if swapped { before } else { bytes } }]
            }
            frame => vec![frame],
        }));
        let code = world.shows_code("laptop");
        world.links_shown("ada", &code);
        world.settle();
        assert!(!world.alive("laptop"), "message {message}");
    }
}

#[test]
fn a_code_that_a_new_machine_shows_is_void_after_ten_minutes_and_a_silent_relay_stalls_nothing() {
    let mut world = World::with(43, &["ada"]);
    let code = world.shows_code("laptop");
    world.passes(10 * 60_000 + 1_000);
    world.links_shown("ada", &code);
    world.settle();
    assert!(notices(&mut world, "ada").contains("no machine waits"));
    assert!(notices(&mut world, "laptop").contains("nobody typed the code in time"));
    world.liar = Some(Box::new(|who, frame| match frame {
        ToDevice::Passed { .. } if who == "ada" => Vec::new(),
        frame => vec![frame],
    }));
    let code = world.shows_code("phone");
    world.links_shown("ada", &code);
    world.passes(31_000);
    assert!(notices(&mut world, "ada").contains("did not answer in time"));
    assert!(notices(&mut world, "phone").contains("a wrong code was typed"), "its code is used up");
    assert_eq!(world.app("ada").chat().devices.len(), 1);
}

#[test]
fn a_connection_that_breaks_while_a_code_is_tried_is_told_on_both_ends() {
    let mut world = World::with(44, &["ada"]);
    world.weather(Weather { delay: 50, ..Weather::default() });
    let code = world.shows_code("laptop");
    world.links_shown("ada", &code);
    // The other machine has answered; that is on its way.
    world.passes(220);
    world.kill("ada");
    world.settle();
    assert!(notices(&mut world, "laptop").contains("a wrong code was typed"));
    assert!(!world.alive("laptop"));
    world.starts("ada");
    world.settle();
    assert_eq!(world.app("ada").chat().devices.len(), 1);
}

/// Ada begins to link a laptop, by a code that either shows. Each frame takes 50 milliseconds.
fn begins_to_link(world: &mut World, laptop_shows: bool) {
    let slow = Weather { delay: 50, ..Weather::default() };
    if laptop_shows {
        let code = world.shows_code("laptop");
        world.weather(slow);
        world.links_shown("ada", &code);
    } else {
        world.commands("ada", Command::Devices(DevicesCommand::Link));
        world.settle();
        let code = world.code("ada");
        world.weather(slow);
        world.types_code("laptop", &code);
    }
}

/// Something happens to one of the two between any two frames of a linking: whoever is in the list is
/// somebody's device, and who has a profile and is not in the list is told so.
fn each_listed_device_is_somebodys(happens: impl Fn(&mut World, &str)) {
    let mut ends = BTreeSet::new();
    for (laptop_shows, who) in [(false, "ada"), (false, "laptop"), (true, "ada"), (true, "laptop")] {
        for frames in 0..20 {
            let story = format!("{who} after {frames} frames, the laptop shows the code: {laptop_shows}");
            let mut world = World::with(80, &["ada"]);
            begins_to_link(&mut world, laptop_shows);
            world.passes(frames * 50 + 25);
            happens(&mut world, who);
            world.passes(70_000);
            let listed = world.app("ada").chat().devices.len() == 2;
            let there = world.alive("laptop");
            if listed {
                assert!(there, "nobody has it: {story}");
                let chat = world.app("laptop").chat();
                assert_eq!((&chat.link, chat.devices.len()), (&Link::Online, 2), "{story}");
            } else if there {
                let told = notices(&mut world, "laptop");
                assert!(told.contains("this device is not in the list"), "{story}: {told}");
            }
            ends.insert((listed, there));
        }
    }
    assert_eq!(ends.len(), 3, "listed, only made, and neither: {ends:?}");
}

#[test]
fn a_connection_that_breaks_while_a_device_is_linked_leaves_none_that_nobody_has() {
    each_listed_device_is_somebodys(World::cut);
}

#[test]
fn a_machine_that_dies_while_a_device_is_linked_leaves_none_that_nobody_has() {
    each_listed_device_is_somebodys(|world, who| {
        world.kill(who);
        let made = world.disk(who).records.get(ACCOUNT, b"name").expect("a memory store reads").is_some();
        if made || who == "ada" {
            world.starts(who);
        }
    });
}

#[test]
fn a_machine_whose_disk_is_full_is_linked_to_nobody() {
    for laptop_shows in [false, true] {
        let mut world = World::with(81, &["ada"]);
        begins_to_link(&mut world, laptop_shows);
        world.disk_fills("laptop");
        world.passes(5_000);
        assert!(!world.alive("laptop"));
        assert!(notices(&mut world, "laptop").contains("the disk is full"));
        assert!(notices(&mut world, "ada").contains("no device was added"));
        world.restarts("ada");
        world.passes(5_000);
        assert_eq!(world.app("ada").chat().devices.len(), 1);
        world.adds_device("ada", "laptop");
    }
}

#[test]
fn a_removal_while_a_device_is_linked_is_told_as_such_and_not_as_a_wrong_code() {
    for laptop_shows in [false, true] {
        let mut ended = 0;
        for frames in 0..16 {
            let story = format!("after {frames} frames, the laptop shows the code: {laptop_shows}");
            let mut world = World::with(84, &["ada"]);
            world.adds_device("ada", "tablet");
            world.passes(3_000);
            let tablet = world.app("tablet").device();
            world.told("ada");
            begins_to_link(&mut world, laptop_shows);
            world.passes(frames * 50 + 25);
            world.commands("ada", Command::Devices(DevicesCommand::Removed(tablet)));
            world.passes(5_000);
            let told = notices(&mut world, "ada");
            assert!(!told.contains("changed on the way"), "{story}: {told}");
            let over = told.contains("your list of devices changed meanwhile");
            ended += usize::from(over);
            let linked = told.contains("the device is linked");
            assert!(over != linked, "{story}: {told}");
        }
        assert!(ended > 1, "{ended}, the laptop shows the code: {laptop_shows}");
    }
}

#[test]
fn who_typed_a_code_hears_that_the_machine_must_show_another_however_it_ended() {
    let ends = ["could not make its profile", "did not answer in time", "the connection broke"];
    for why in ends {
        let mut world = World::with(85, &["ada"]);
        // That the laptop has made its profile is never heard.
        world.liar = Some(Box::new(|who, frame| match frame {
            ToDevice::Passed { bytes, .. } if who == "ada" && bytes.len() == 16 => Vec::new(),
            frame => vec![frame],
        }));
        begins_to_link(&mut world, true);
        match why {
            "could not make its profile" => world.disk_fills("laptop"),
            "the connection broke" => {
                world.passes(5_000);
                world.cut("ada");
            }
            _ => {}
        }
        world.passes(100_000);
        let told = world.app("ada").chat().unlinked.clone().expect("scripts are told why");
        assert!(told.contains(why) && told.contains("(subrosa link --show)"), "{told}");
        assert!(!told.contains("/devices link"), "{told}");
        assert!(notices(&mut world, "ada").contains(&told));
        assert_eq!(world.app("ada").chat().devices.len(), 1);
    }
}

#[test]
fn a_device_that_is_being_added_is_waited_for_before_the_next_one() {
    let mut busy = 0;
    for frames in 0..20 {
        let mut world = World::with(87, &["ada"]);
        begins_to_link(&mut world, false);
        world.passes(frames * 50 + 25);
        world.commands("ada", Command::Devices(DevicesCommand::Link));
        world.passes(30_000);
        let told = notices(&mut world, "ada");
        if told.contains("a device is being added at this moment") {
            busy += 1;
            assert!(told.contains("the device is linked"), "after {frames} frames: {told}");
            assert_eq!(world.app("ada").chat().devices.len(), 2);
        }
    }
    assert!(busy > 0);
}

#[test]
fn a_relay_that_says_itself_that_a_device_is_listed_is_not_believed() {
    for lies in [false, true] {
        let mut world = World::with(86, &["ada"]);
        world.liar = Some(Box::new(move |who, frame| match frame {
            ToDevice::Passed { slot, bytes } if lies && who == "laptop" && bytes.len() == 16 => {
                vec![ToDevice::Passed { slot, bytes: Vec::new() }]
            }
            frame => vec![frame],
        }));
        begins_to_link(&mut world, false);
        world.passes(5_000);
        assert!(world.alive("laptop"));
        let told = notices(&mut world, "laptop");
        assert_eq!(told.contains("did not say that this one is in the list"), lies, "{told}");
    }
}

#[test]
fn people_hear_of_a_device_whose_host_was_cut_off_before_the_relay_had_answered() {
    let mut world = World::with(82, &["ada", "ben"]);
    world.says("ben", "ada", "hello ada");
    world.settle();
    world.says("ada", "ben", "hello ben");
    world.settle();
    begins_to_link(&mut world, false);
    // The relay has the list; that it has is on its way.
    world.passes(675);
    assert_eq!(world.app("ada").chat().devices.len(), 1);
    world.cut("ada");
    world.kill("laptop");
    world.passes(20_000);
    assert_eq!(world.app("ada").chat().devices.len(), 2);
    assert!(notes(&mut world, "ben", "ada").contains(&"ada added a device".to_string()));
}

#[test]
fn who_signs_in_and_is_cut_off_before_the_relay_answers_goes_on_as_the_device_that_is_listed() {
    const PASSWORD: &str = "gravel teapot nineteen otter";
    let secret = |text: &str| Secret(Zeroizing::new(text.into()));
    let mut world = World::with(83, &["ada"]);
    world.commands("ada", Command::SetPassword { passphrase: secret(""), password: secret(PASSWORD) });
    world.settle();
    world.liar = Some(Box::new(|who, frame| match frame {
        ToDevice::Done(_) if who == "visitor" => Vec::new(),
        frame => vec![frame],
    }));
    world.signs_in("phone", "ada", PASSWORD).expect("the password is right");
    world.settle();
    let chat = world.app("phone").chat();
    assert_eq!((&chat.link, chat.devices.len()), (&Link::Online, 2));
    assert_eq!(world.app("ada").chat().devices.len(), 2);
}

/// Keeps what the relay last said about Ada's devices at that time, and repeats it to Ben.
fn serves_an_old_list(world: &mut World, to: &'static str) {
    let old: Rc<RefCell<Option<Vec<Version>>>> = Rc::default();
    world.liar = Some(Box::new(move |who, frame| match frame {
        ToDevice::Devices { ask, name, versions, certs } if who == to && name.as_str() == "ada" => {
            let first = versions.into_iter().take(1).collect::<Vec<_>>();
            let versions = old.borrow_mut().get_or_insert(first).clone();
            vec![ToDevice::Devices { ask, name, versions, certs }]
        }
        frame => vec![frame],
    }));
}

#[test]
fn a_relay_that_serves_an_old_list_hides_no_new_device_unseen() {
    let mut world = World::with(20, &["ada", "ben"]);
    world.says("ben", "ada", "hello ada");
    world.settle();
    world.says("ada", "ben", "hello ben");
    world.settle();
    serves_an_old_list(&mut world, "ben");
    world.adds_device("ada", "laptop");
    world.says("ada", "ben", "i have a laptop now");
    world.settle();
    let told = alarms(&mut world, "ben", "ada");
    assert!(told.iter().any(|told| told.contains("does not show the new one")), "{told:?}");
    world.says("laptop", "ben", "do you see me?");
    world.settle();
    assert!(!world.timeline("ben", "ada").contains(&"do you see me?".into()));
    let told = alarms(&mut world, "ben", "ada");
    assert!(told.iter().any(|told| told.contains("not in their list")), "{told:?}");
}

#[test]
fn a_relay_that_withholds_a_list_stalls_nothing_unseen() {
    let mut world = World::with(23, &["ada", "ben"]);
    world.says("ben", "ada", "hello ada");
    world.settle();
    world.says("ada", "ben", "hello ben");
    world.settle();
    world.liar = Some(Box::new(|who, frame| match frame {
        ToDevice::Devices { name, .. } if who == "ben" && name.as_str() == "ada" => Vec::new(),
        frame => vec![frame],
    }));
    world.adds_device("ada", "laptop");
    world.says("laptop", "ben", "do you see me?");
    world.passes(20_000);
    assert!(!notices(&mut world, "ben").contains("waits"));
    world.passes(15_000);
    let told = notices(&mut world, "ben");
    assert!(told.contains("a message from 'ada' waits") && told.contains("/reconnect"), "{told}");
    assert!(!world.timeline("ben", "ada").contains(&"do you see me?".into()));
    world.passes(120_000);
    assert!(!notices(&mut world, "ben").contains("waits"), "once");
    // It was not acknowledged: an honest relay brings it again.
    world.liar = None;
    world.restarts("ben");
    world.passes(5_000);
    assert!(world.timeline("ben", "ada").contains(&"do you see me?".into()));
}

#[test]
fn a_relay_that_goes_back_to_an_old_list_is_refused_and_shown() {
    let mut world = desk_and_laptop(21);
    world.says("laptop", "ben", "both of us");
    world.settle();
    serves_an_old_list(&mut world, "ben");
    world.restarts("ben");
    world.settle();
    // Whatever makes Ben ask: a device that he does not know.
    world.adds_device("ada", "phone");
    world.says("phone", "ben", "hello from my phone");
    world.settle();
    let told = alarms(&mut world, "ben", "ada");
    assert!(told.iter().any(|told| told.contains("older list")), "{told:?}");
    world.says("ben", "ada", "who is there?");
    world.settle();
    assert!(world.timeline("laptop", "ben").contains(&"who is there?".into()), "not taken back");
}

#[test]
fn a_relay_that_inserts_a_device_is_refused() {
    let mut world = World::with(22, &["ada", "ben", "mallory"]);
    world.says("ben", "ada", "hello ada");
    world.settle();
    let mallory = Identity::from_seed(&world.seed_of("mallory"));
    world.liar = Some(Box::new(move |who, frame| match frame {
        ToDevice::Devices { ask, name, mut versions, certs } if who == "ben" && name.as_str() == "ada" => {
            // As a version of Ada's list, as well as the relay can make one.
            let list = DeviceList::begin(&versions[0]).expect("hers");
            let mut forged = mallory.begins(&name);
            (forged.number, forged.previous) = (1, list.head().hash);
            forged.certs.insert(0, versions[0].certs[0].clone());
            versions.push(forged);
            vec![ToDevice::Devices { ask, name, versions, certs }]
        }
        frame => vec![frame],
    }));
    world.restarts("ben");
    world.adds_device("ada", "laptop");
    world.says("ada", "ben", "i have a laptop now");
    world.settle();
    assert!(notices(&mut world, "ben").contains("not signed as it must be"));
    let mallorys = world.app("mallory").device();
    world.seen();
    world.says("ben", "ada", "a secret");
    world.settle();
    let sent = world.seen().into_iter().filter_map(|seen| match seen {
        Seen::From(who, ToRelay::Send(outgoing)) if who == "ben" => Some(outgoing),
        _ => None,
    });
    assert!(sent.flat_map(|outgoing| outgoing.to).all(|head| head.to != mallorys));
    assert!(world.timeline("ada", "ben").contains(&"a secret".into()));
}

/// The versions of Ada's list, as the desk has them.
fn chain(world: &mut World) -> Vec<Version> {
    let rows = world.disk("ada").records.scan(CHAIN, &[], &[], Order::Forward, usize::MAX);
    let version = |(_, bytes): (_, Vec<u8>)| postcard::from_bytes(&bytes).expect("a version");
    rows.expect("a memory store reads").into_iter().map(version).collect()
}

/// What the laptop signs from here on, though Ada removes it: two versions that change no device.
fn goes_on(world: &mut World) -> Vec<Version> {
    let mut versions = chain(world);
    let laptop = Identity::from_seed(&world.seed_of("laptop"));
    let mut list = DeviceList::verify(&name("ada"), &versions).expect("hers");
    for key in [1, 2] {
        let version = laptop.recovers(&list, Some([key; 32])).expect("it is listed");
        list = list.next(&version).expect("follows");
        versions.push(version);
    }
    versions
}

/// The relay tells that one so about Ada's devices.
fn tells_of_ada(world: &mut World, to: &'static str, versions: Vec<Version>) {
    world.liar = Some(Box::new(move |who, frame| match frame {
        ToDevice::Devices { ask, name, certs, .. } if who == to && name.as_str() == "ada" => {
            vec![ToDevice::Devices { ask, name, versions: versions.clone(), certs }]
        }
        frame => vec![frame],
    }));
}

/// The relay shows that one nothing of somebody's list that comes after that version.
fn hides_after(world: &mut World, to: &'static str, of: &'static str, number: u32) {
    world.liar = Some(Box::new(move |who, frame| match frame {
        ToDevice::Devices { ask, name, mut versions, certs } if who == to && name.as_str() == of => {
            versions.retain(|version| version.number <= number);
            vec![ToDevice::Devices { ask, name, versions, certs }]
        }
        frame => vec![frame],
    }));
}

#[test]
fn a_list_that_a_removed_device_went_on_with_is_betrayed_by_what_the_others_say() {
    let mut world = desk_and_laptop(24);
    let versions = goes_on(&mut world);
    tells_of_ada(&mut world, "ben", versions);
    let laptop = world.app("laptop").device();
    removes(&mut world, "ada", laptop);
    let told = |world: &mut World| {
        let told = alarms(world, "ben", "ada");
        told.iter().filter(|told| told.contains("has another list of their devices")).count()
    };
    assert_eq!(told(&mut world), 1);
    // He knows what led to that list after a restart too.
    world.restarts("ben");
    world.restarts("ada");
    world.settle();
    world.says("ada", "ben", "I have one device");
    world.settle();
    assert_eq!(told(&mut world), 2);
}

#[test]
fn a_list_that_a_removed_device_went_on_with_is_betrayed_on_the_own_devices_too() {
    let mut world = desk_and_laptop(25);
    world.adds_device("ada", "tablet");
    world.passes(3_000);
    let versions = goes_on(&mut world);
    tells_of_ada(&mut world, "tablet", versions);
    world.told("tablet");
    let laptop = world.app("laptop").device();
    removes(&mut world, "ada", laptop);
    let told = notices(&mut world, "tablet");
    assert!(told.contains("another list of your devices than this one"), "{told}");
}

#[test]
fn a_list_of_the_own_devices_that_the_relay_withholds_is_told_of_until_it_comes() {
    let mut world = desk_and_laptop(26);
    world.adds_device("ada", "tablet");
    world.passes(3_000);
    hides_after(&mut world, "laptop", "ada", 2);
    world.told("laptop");
    let tablet = world.app("tablet").device();
    removes(&mut world, "ada", tablet);
    for _ in 0..2 {
        let told = notices(&mut world, "laptop");
        assert!(told.contains("the relay does not show the new one"), "{told}");
        assert_eq!(world.app("laptop").chat().devices.len(), 3);
        world.restarts("laptop");
        world.settle();
    }
    world.liar = None;
    // It is asked again by itself.
    world.passes(10 * 60_000 + 1_000);
    assert_eq!(world.app("laptop").chat().devices.len(), 2);
    world.told("laptop");
    world.restarts("laptop");
    world.settle();
    assert!(!notices(&mut world, "laptop").contains("does not show"));
}

#[test]
fn a_list_of_somebody_met_in_a_room_that_the_relay_withholds_is_told_of() {
    let mut world = club(27, &["ben", "cleo"]);
    world.adds_device("cleo", "laptop");
    world.passes(3_000);
    hides_after(&mut world, "ben", "cleo", 1);
    world.told("ben");
    let laptop = world.app("laptop").device();
    removes(&mut world, "cleo", laptop);
    world.passes(3_000);
    let told = |world: &mut World| {
        notices(world, "ben").contains("cleo has changed their list of devices, and the relay")
    };
    assert!(told(&mut world));
    // Each login asks again.
    for honest in [false, true] {
        if honest {
            world.liar = None;
        }
        world.restarts("ben");
        world.settle();
        assert_eq!(told(&mut world), !honest);
    }
}

#[test]
fn another_list_under_the_same_key_waits_for_a_decision_and_is_taken_with_it() {
    let mut world = desk_and_laptop(28);
    let versions = goes_on(&mut world);
    let laptop = world.app("laptop").device();
    removes(&mut world, "ada", laptop);
    let trouble = |world: &mut World| world.app("ben").chat().with(&name("ada")).expect("known").trouble();
    assert_eq!(trouble(&mut world), None);
    tells_of_ada(&mut world, "ben", versions);
    world.adds_device("ada", "tablet");
    world.settle();
    assert_eq!(trouble(&mut world), Some(Trouble::Forked));
    let told = alarms(&mut world, "ben", "ada");
    assert!(told.iter().any(|told| told.contains("may let in again whom they removed")), "{told:?}");
    world.says("ben", "ada", "which devices do you have?");
    world.settle();
    assert!(!world.timeline("ada", "ben").contains(&"which devices do you have?".into()));
    world.restarts("ben");
    world.commands("ben", Command::Add(name("ada")));
    world.settle();
    assert!(world.screen("ben", 110, 34).contains("OTHER DEVICES"));
    world.liar = None;
    world.types("ben", "/trust\n");
    assert!(world.screen("ben", 110, 34).contains("Take the relay's list?"));
    world.types("ben", "y");
    world.settle();
    assert_eq!(trouble(&mut world), None);
    world.says("tablet", "ben", "this one");
    world.settle();
    assert_eq!(world.timeline("ben", "ada").last().map(String::as_str), Some("this one"));
    for who in ["ada", "tablet"] {
        assert!(world.timeline(who, "ben").contains(&"which devices do you have?".into()), "{who}");
    }
    assert!(!world.timeline("laptop", "ben").contains(&"which devices do you have?".into()));
}

#[test]
fn the_decision_for_the_relays_list_was_forgotten_by_a_restart_before_that_list_came() {
    let mut world = desk_and_laptop(34);
    let versions = goes_on(&mut world);
    let laptop = world.app("laptop").device();
    removes(&mut world, "ada", laptop);
    tells_of_ada(&mut world, "ben", versions);
    world.adds_device("ada", "tablet");
    world.settle();
    let trouble = |world: &mut World| world.app("ben").chat().with(&name("ada")).expect("known").trouble();
    assert_eq!(trouble(&mut world), Some(Trouble::Forked));
    world.commands("ben", Command::Add(name("ada")));
    world.settle();
    world.cuts_off("ben", true);
    world.liar = None;
    world.types("ben", "/trust\n");
    world.types("ben", "y");
    world.settle();
    let told = notes(&mut world, "ben", "ada");
    assert!(told.iter().any(|told| told.contains("is taken as soon as it comes")), "{told:?}");
    world.restarts("ben");
    assert_eq!(trouble(&mut world), Some(Trouble::Forked));
    world.is_back("ben");
    world.passes(3_000);
    assert_eq!(trouble(&mut world), None);
    let rows = world.disk("ben").records.scan(ANEW, &[], &[], Order::Forward, usize::MAX);
    assert_eq!(rows.expect("memory").len(), 0, "once");
}

#[test]
fn a_stolen_device_uses_up_no_version_that_its_removal_needs() {
    let mut world = desk_and_laptop(29);
    let thief = Identity::from_seed(&world.seed_of("laptop"));
    let mut list = DeviceList::verify(&name("ada"), &chain(&mut world)).expect("hers");
    let mut made = Vec::new();
    while let Ok(version) = thief.recovers(&list, Some([made.len() as u8; 32])) {
        list = list.next(&version).expect("follows");
        made.push(version);
    }
    for versions in made.chunks(VERSIONS_IN_FRAME) {
        let versions = versions.to_vec();
        world.tells_relay("laptop", ToRelay::PublishDevices { ask: Ask(u32::MAX), versions });
        world.settle();
    }
    let laptop = world.app("laptop").device();
    // She hears of all that first.
    removes(&mut world, "ada", laptop);
    let told = notices(&mut world, "ada");
    assert!(told.contains(&format!("changed {} times", made.len() + 1)), "{told}");
    removes(&mut world, "ada", laptop);
    assert_eq!(world.app("ada").chat().devices.len(), 1);
    world.says("ben", "ada", "only the desk");
    world.settle();
    assert!(world.timeline("ada", "ben").contains(&"only the desk".into()));
    assert!(!world.timeline("laptop", "ben").contains(&"only the desk".into()));
}

#[test]
fn a_first_line_for_somebody_who_has_removed_the_only_device_that_was_known_goes_to_the_others() {
    let mut world = World::with(33, &["ada", "ben"]);
    world.knows("ada", "ben");
    world.kill("ada");
    world.adds_device("ben", "laptop");
    world.passes(3_000);
    let first = world.app("ben").device();
    removes(&mut world, "laptop", first);
    world.starts("ada");
    world.settle();
    world.says("ada", "ben", "hello ben");
    world.settle();
    assert_eq!(world.timeline("laptop", "ada"), ["hello ben"]);
}

#[test]
fn a_conversation_of_which_only_the_history_came_was_forgotten_where_the_relay_knew_no_such_name() {
    let mut world = World::with(31, &["ada"]);
    world.says("ada", "ben", "are you here yet?");
    world.settle();
    world.adds_device("ada", "laptop");
    world.passes(3_000);
    assert_eq!(world.timeline("laptop", "ben"), ["are you here yet?"]);
    // Each login looks him up.
    world.restarts("laptop");
    world.passes(3_000);
    assert_eq!(world.timeline("laptop", "ben"), ["are you here yet?"]);
}

#[test]
fn a_pinned_key_was_forgotten_with_a_conversation_without_lines_where_the_relay_denied_the_name() {
    let mut world = World::with(32, &["ada", "ben"]);
    world.knows("ada", "ben");
    let pinned =
        |world: &mut World| world.app("ada").chat().with(&name("ben")).and_then(|room| room.kept.peer);
    let before = pinned(&mut world);
    assert!(before.is_some() && world.lines("ada", "ben").is_empty());
    world.liar = Some(Box::new(|who, frame| match frame {
        ToDevice::Devices { ask, name, .. } if who == "ada" && name.as_str() == "ben" => {
            vec![ToDevice::Refused { ask: Some(ask), why: Refusal::UnknownAccount }]
        }
        frame => vec![frame],
    }));
    // Ada asks who that device is.
    world.adds_device("ben", "laptop");
    world.says("laptop", "ada", "from my laptop");
    world.settle();
    assert!(notes(&mut world, "ada", "ben").iter().any(|note| note.contains("nobody is called 'ben'")));
    assert_eq!(pinned(&mut world), before);
}

#[test]
fn a_history_of_a_thousand_messages_resumes_after_both_were_killed() {
    let mut world = World::with(30, &["ada", "ben"]);
    for i in 0..1000 {
        world.says("ben", "ada", &format!("{i}"));
        if i % 100 == 0 {
            world.settle();
        }
    }
    world.passes(10_000);
    let whole = world.timeline("ada", "ben");
    assert_eq!(whole.len(), 1000);
    // Slow enough to be killed in the middle of it.
    world.weather(Weather { delay: 50, ..Weather::default() });
    world.commands("ada", Command::Devices(DevicesCommand::Link));
    world.settle();
    let code = world.code("ada");
    world.types_code("laptop", &code);
    for _ in 0..10_000 {
        if world.alive("laptop") && world.app("laptop").chat().history.is_some() {
            break;
        }
        world.passes(1);
    }
    let (done, total) = world.app("laptop").chat().history.expect("on its way");
    assert!(done < 1000 && total >= 1000, "{done} of {total}");
    world.kill("laptop");
    world.restarts("ada");
    world.passes(2_000);
    assert!(world.timeline("laptop", "ben").len() < 1000);
    world.starts("laptop");
    world.passes(60_000);
    assert_eq!(world.timeline("laptop", "ben"), whole, "newest first, and in order in the end");
    assert!(notices(&mut world, "laptop").contains("the history is complete"));
    assert!(world.app("laptop").chat().history.is_none());
}
