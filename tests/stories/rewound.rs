//! A relay that goes back to a backup: what its clients do about it, by themselves.

use std::collections::BTreeSet;
use subrosa::chat::timeline::LineState;
use subrosa::ui::command::{self, Command, Secret};
use subrosa::ui::devices::DevicesCommand;
use subrosa_relay::config::Registration;
use subrosa_shared::protocol::devices::DEVICES_MAX;
use subrosa_shared::protocol::frame::{ToDevice, ToRelay};
use subrosa_shared::protocol::prekey::{Bundle, Kind};
use subrosa_shared::session::Identity;
use subrosa_tests::club::{club, does, group, head, people, said, speaks};
use subrosa_tests::words::{alarms, notices};
use subrosa_tests::{Seen, World};
use zeroize::Zeroizing;

const MINUTE: u64 = 60_000;

/// Ada and Ben, who know each other.
fn friends(seed: u64) -> World {
    let mut world = World::with(seed, &["ada", "ben"]);
    world.says("ada", "ben", "hello ben");
    world.settle();
    world.says("ben", "ada", "hello ada");
    world.settle();
    world
}

/// Everybody who runs is there again, and has had time to say what they have to.
fn comes_to_rest(world: &mut World) {
    world.passes(2 * MINUTE);
    world.settle();
}

#[test]
fn what_the_relay_forgot_goes_out_again_and_is_shown_once_and_in_order() {
    let mut world = friends(1);
    world.kill("ben");
    world.says("ada", "ben", "before the backup");
    world.settle();
    let backup = world.relay_backup();
    for text in ["after it, one", "after it, two"] {
        world.says("ada", "ben", text);
        world.settle();
    }
    assert_eq!(world.marks("ada", "ben").last(), Some(&LineState::Sent), "on the relay's disk");
    world.relay_goes_back(&backup);
    world.settle();
    let told = notices(&mut world, "ada");
    assert!(told.contains("went back") && told.contains("again by itself"), "{told}");
    world.starts("ben");
    comes_to_rest(&mut world);
    let all = ["hello ben", "hello ada", "before the backup", "after it, one", "after it, two"];
    assert_eq!(world.timeline("ben", "ada"), all);
    assert!(world.marks("ada", "ben").iter().all(|mark| *mark >= LineState::Delivered));
    // Said once, and both ways go on.
    world.told("ada");
    world.cut("ada");
    world.says("ben", "ada", "and now?");
    world.says("ada", "ben", "on we go");
    comes_to_rest(&mut world);
    assert!(!notices(&mut world, "ada").contains("went back"));
    assert_eq!(world.timeline("ben", "ada").last().map(String::as_str), Some("on we go"));
    assert!(world.timeline("ada", "ben").contains(&"and now?".to_string()));
    for (who, with) in [("ada", "ben"), ("ben", "ada")] {
        assert!(alarms(&mut world, who, with).is_empty(), "{who}");
    }
}

#[test]
fn a_long_list_of_devices_is_handed_out_again_by_whichever_device_comes_first() {
    let mut world = friends(20);
    let backup = world.relay_backup();
    for number in 2..=DEVICES_MAX {
        let name = format!("ada-{number}");
        world.adds_device("ada", &name);
        // Time between two: the relay counts how often a list is changed.
        world.passes(10_000);
        if number < DEVICES_MAX {
            world.kill(&name);
        }
    }
    world.kill("ada");
    world.seen();
    world.relay_goes_back(&backup);
    comes_to_rest(&mut world);
    let handed = world.seen().into_iter().filter_map(|seen| match seen {
        Seen::From(who, ToRelay::PublishDevices { versions, .. }) if who == "ada-16" => Some(versions.len()),
        _ => None,
    });
    // All but the first, which the backup has: each costs a signature for the device that is new in it, no more.
    assert_eq!(handed.collect::<Vec<_>>(), [0; 0], "the relay does not know that device");
    world.starts("ada");
    comes_to_rest(&mut world);
    let handed = world.seen().into_iter().filter_map(|seen| match seen {
        Seen::From(who, ToRelay::PublishDevices { versions, .. }) if who == "ada" => Some(versions.len()),
        _ => None,
    });
    assert_eq!(handed.collect::<Vec<_>>(), [DEVICES_MAX - 1]);
    // The relay has it whole: the last of them speaks to somebody who asks it.
    world.restarts("ada-16");
    world.settle();
    world.says("ada-16", "ben", "the last of sixteen");
    comes_to_rest(&mut world);
    assert_eq!(world.timeline("ben", "ada").last().map(String::as_str), Some("the last of sixteen"));
}

#[test]
fn who_is_killed_while_they_hand_it_out_again_goes_on_at_the_next_start() {
    let mut deaths = 0;
    for life in [1, 2, 3, 5, 8, 13, 21] {
        let mut world = friends(2);
        world.kill("ben");
        let backup = world.relay_backup();
        let texts: Vec<String> = (0..5).map(|i| format!("line {i}")).collect();
        for text in &texts {
            world.says("ada", "ben", text);
        }
        world.settle();
        world.relay_goes_back(&backup);
        world.kill_after("ada", life);
        world.settle();
        deaths += u32::from(!world.alive("ada"));
        world.restarts("ada");
        world.starts("ben");
        comes_to_rest(&mut world);
        assert_eq!(world.timeline("ben", "ada")[2..], texts, "killed after {life}");
    }
    assert!(deaths > 0, "she was never killed");
}

#[test]
fn what_was_fetched_before_the_backup_was_restored_comes_again_and_is_not_shown_again() {
    let mut world = friends(3);
    world.kill("ben");
    for text in ["one", "two"] {
        world.says("ada", "ben", text);
    }
    world.settle();
    // In the mailbox of the backup, and read a moment later.
    let backup = world.relay_backup();
    world.starts("ben");
    world.settle();
    world.says("ben", "ada", "read");
    world.settle();
    world.relay_goes_back(&backup);
    comes_to_rest(&mut world);
    assert_eq!(world.timeline("ben", "ada"), ["hello ben", "hello ada", "one", "two", "read"]);
    assert_eq!(world.timeline("ada", "ben"), ["hello ben", "hello ada", "one", "two", "read"]);
    world.says("ada", "ben", "three");
    world.settle();
    assert_eq!(world.timeline("ben", "ada").last().map(String::as_str), Some("three"));
}

#[test]
fn no_one_time_prekey_is_handed_out_twice() {
    let mut world = World::with(4, &["ada", "ben", "cleo", "dan"]);
    world.settle();
    world.seen();
    let backup = world.relay_backup();
    let mut out = BTreeSet::new();
    for round in 0..2 {
        for who in ["ben", "cleo", "dan"] {
            if round == 1 {
                // Nothing of the first round is there: they begin anew.
                world.joins_as(who, &format!("{who}-again"));
                world.settle();
            }
            world.says(who, "ada", "hello");
            world.settle();
        }
        for seen in world.seen() {
            let Seen::To(_, ToDevice::Prekey { bundle, .. }) = seen else { continue };
            let bundle = Bundle::decode(&bundle).expect("the relay checks them");
            assert!(bundle.kind != Kind::OneTime || out.insert(bundle.id.0), "twice");
        }
        if round == 0 {
            assert!(out.len() >= 3, "{}", out.len());
            world.relay_goes_back(&backup);
            world.settle();
        }
    }
    assert!(out.len() >= 6, "{}", out.len());
}

#[test]
fn a_change_of_a_room_that_reached_some_reaches_all_before_anybody_makes_another() {
    let mut world = club(5, &["ben", "cleo", "dan"]);
    does(&mut world, "ada", "#club", "/role ben moderator");
    world.settle();
    let backup = world.relay_backup();
    for who in ["ben", "dan"] {
        world.kill(who);
    }
    does(&mut world, "ada", "#club", "/topic what ada and cleo know");
    world.settle();
    assert_eq!(head(&mut world, "cleo", "#club"), head(&mut world, "ada", "#club"));
    world.relay_goes_back(&backup);
    for who in ["ben", "dan"] {
        world.starts(who);
    }
    world.settle();
    // Before he could have heard of it.
    world.told("ben");
    does(&mut world, "ben", "#club", "/rename salon");
    world.settle();
    assert!(notices(&mut world, "ben").contains("within a minute"));
    comes_to_rest(&mut world);
    for who in ["ada", "ben", "cleo", "dan"] {
        assert_eq!(head(&mut world, who, "#salon"), head(&mut world, "ada", "#salon"), "{who}");
        assert_eq!(group(&mut world, who, "#salon").topic(), "what ada and cleo know", "{who}");
        assert!(alarms(&mut world, who, "#salon").is_empty(), "{who}");
    }
    speaks(&mut world, "dan", "#salon", "all here?");
    world.settle();
    for who in ["ada", "ben", "cleo"] {
        assert_eq!(said(&mut world, who, "#salon").last().map(String::as_str), Some("dan: all here?"));
    }
}

#[test]
fn a_change_that_was_under_way_when_the_relay_went_back_is_made_once() {
    let mut world = club(6, &["ben", "cleo"]);
    let backup = world.relay_backup();
    does(&mut world, "ada", "#club", "/topic under way");
    // Not settled: the relay has not answered.
    world.relay_goes_back(&backup);
    comes_to_rest(&mut world);
    for who in ["ada", "ben", "cleo"] {
        assert_eq!(head(&mut world, who, "#club"), head(&mut world, "ada", "#club"), "{who}");
        assert_eq!(group(&mut world, who, "#club").topic(), "under way", "{who}");
        assert!(alarms(&mut world, who, "#club").is_empty(), "{who}");
    }
}

#[test]
fn a_room_whose_key_changed_after_the_backup_goes_on_without_who_was_removed() {
    let mut world = club(7, &["ben", "cleo", "dan"]);
    does(&mut world, "ada", "#club", "/topic before");
    world.settle();
    let backup = world.relay_backup();
    does(&mut world, "ada", "#club", "/kick dan");
    world.settle();
    does(&mut world, "ada", "#club", "/topic after");
    world.settle();
    world.relay_goes_back(&backup);
    comes_to_rest(&mut world);
    does(&mut world, "ada", "#club", "/topic the relay knows the old key");
    comes_to_rest(&mut world);
    for who in ["ada", "ben", "cleo"] {
        assert_eq!(people(&mut world, who, "#club"), ["ada", "ben", "cleo"], "{who}");
        assert_eq!(group(&mut world, who, "#club").topic(), "the relay knows the old key", "{who}");
        assert!(alarms(&mut world, who, "#club").is_empty(), "{who}");
    }
    speaks(&mut world, "ben", "#club", "among ourselves");
    world.settle();
    assert!(!said(&mut world, "dan", "#club").contains(&"ben: among ourselves".to_string()));
    assert!(said(&mut world, "cleo", "#club").contains(&"ben: among ourselves".to_string()));
}

#[test]
fn a_link_lets_people_in_though_the_keys_of_its_room_changed_after_the_backup() {
    let mut world = World::with(21, &["ada", "ben", "cleo", "dan"]);
    world.commands("ada", command::parse("/room new club ben cleo").expect("a command"));
    world.settle();
    does(&mut world, "ada", "#club", "/room link");
    world.settle();
    let link = world.copied("ada").pop().expect("it is copied");
    let backup = world.relay_backup();
    let before = group(&mut world, "ada", "#club").print_of_keys();
    // Each who leaves knows the keys: the next change brings others.
    for (who, topic) in [("cleo", "without cleo"), ("ben", "without ben")] {
        does(&mut world, who, "#club", "/leave");
        world.settle();
        does(&mut world, "ada", "#club", &format!("/topic {topic}"));
        world.settle();
    }
    assert_ne!(group(&mut world, "ada", "#club").print_of_keys(), before);
    world.relay_goes_back(&backup);
    comes_to_rest(&mut world);
    world.commands("dan", command::parse(&format!("/join {link}")).expect("a command"));
    comes_to_rest(&mut world);
    for who in ["ada", "dan"] {
        assert_eq!(people(&mut world, who, "#club"), ["ada", "dan"], "{who}");
    }
}

#[test]
fn what_was_said_in_a_room_while_members_were_away_comes_all_the_same() {
    let mut world = club(8, &["ben", "cleo"]);
    let backup = world.relay_backup();
    world.kill("cleo");
    for (who, text) in [("ada", "one"), ("ben", "two"), ("ada", "three")] {
        speaks(&mut world, who, "#club", text);
        world.settle();
    }
    world.relay_goes_back(&backup);
    world.starts("cleo");
    comes_to_rest(&mut world);
    for who in ["ada", "ben", "cleo"] {
        assert_eq!(said(&mut world, who, "#club"), ["ada: one", "ben: two", "ada: three"], "{who}");
    }
}

#[test]
fn a_device_removed_after_the_backup_is_out_again_and_one_linked_after_it_is_in() {
    let mut world = friends(9);
    world.adds_device("ada", "lost");
    world.passes(3_000);
    let backup = world.relay_backup();
    let device = Identity::from_seed(&world.seed_of("lost")).peer().device();
    world.commands("ada", Command::Devices(DevicesCommand::Removed(device)));
    world.settle();
    world.adds_device("ada", "laptop");
    world.passes(3_000);
    world.relay_goes_back(&backup);
    comes_to_rest(&mut world);
    world.says("ben", "ada", "to whom?");
    comes_to_rest(&mut world);
    assert!(world.timeline("laptop", "ben").contains(&"to whom?".to_string()));
    assert!(world.timeline("ada", "ben").contains(&"to whom?".to_string()));
    assert!(!world.timeline("lost", "ben").contains(&"to whom?".to_string()));
    let listed = world.app("ada").chat().devices.len();
    assert_eq!((listed, world.app("laptop").chat().devices.len()), (2, 2));
    world.says("laptop", "ben", "from my laptop");
    world.settle();
    assert!(world.timeline("ben", "ada").contains(&"from my laptop".to_string()));
}

#[test]
fn what_two_devices_removed_each_for_itself_on_a_relay_that_was_set_back_leaves_one_list() {
    let mut world = friends(22);
    for device in ["laptop", "lost"] {
        world.adds_device("ada", device);
        world.passes(3_000);
    }
    for device in ["laptop", "lost"] {
        world.kill(device);
    }
    let lost = Identity::from_seed(&world.seed_of("lost")).peer().device();
    let backup = world.relay_backup();
    world.commands("ada", Command::Devices(DevicesCommand::Removed(lost)));
    world.settle();
    world.kill("ada");
    world.relay_goes_back(&backup);
    world.starts("laptop");
    comes_to_rest(&mut world);
    assert_eq!(world.app("laptop").chat().devices.len(), 3, "it is there again");
    world.commands("laptop", Command::Devices(DevicesCommand::Removed(lost)));
    world.settle();
    world.starts("ada");
    comes_to_rest(&mut world);
    world.adds_device("laptop", "tablet");
    comes_to_rest(&mut world);
    world.says("tablet", "ben", "from my tablet");
    comes_to_rest(&mut world);
    for (who, with) in [("ben", "ada"), ("ada", "ben"), ("laptop", "ben")] {
        assert!(world.timeline(who, with).contains(&"from my tablet".to_string()), "{who}");
    }
    assert_eq!(world.app("ada").chat().devices.len(), 3);
    // The desk changes it on, and finds nothing to warn of at the next start.
    let tablet = world.app("tablet").device();
    world.commands("ada", Command::Devices(DevicesCommand::Removed(tablet)));
    comes_to_rest(&mut world);
    assert_eq!(world.app("laptop").chat().devices.len(), 2);
    world.told("ada");
    world.restarts("ada");
    comes_to_rest(&mut world);
    assert!(!notices(&mut world, "ada").contains("another list"));
}

#[test]
fn an_account_opened_after_the_backup_opens_itself_again_or_is_told_whom_to_ask() {
    for registration in [Registration::Open, Registration::Closed] {
        let mut world = friends(10);
        let backup = world.relay_backup();
        world.joins("cleo");
        world.settle();
        world.says("cleo", "ada", "I am new");
        world.settle();
        world.relay_config().registration = registration;
        world.relay_goes_back(&backup);
        world.told("cleo");
        comes_to_rest(&mut world);
        world.says("ada", "cleo", "welcome");
        comes_to_rest(&mut world);
        let came = world.timeline("cleo", "ada").contains(&"welcome".to_string());
        assert_eq!(came, registration == Registration::Open);
        if !came {
            let told = notices(&mut world, "cleo");
            assert!(told.contains("does not know your account 'cleo' any more"), "{told}");
            assert!(told.contains("what is stored here stays"), "{told}");
            // The owner opens it for a moment.
            world.relay_config().registration = Registration::Open;
            world.relay_crashes();
            world.start_relay();
            world.commands("cleo", Command::Reconnect);
            comes_to_rest(&mut world);
            assert!(world.timeline("cleo", "ada").contains(&"welcome".to_string()));
        }
    }
}

#[test]
fn a_login_password_set_after_the_backup_is_said_to_be_gone() {
    let secret = |text: &str| Secret(Zeroizing::new(text.into()));
    let sets = |world: &mut World, password: &str| {
        world.commands("ada", Command::SetPassword { passphrase: secret(""), password: secret(password) });
        world.settle();
        world.passes(MINUTE);
    };
    let mut world = friends(11);
    sets(&mut world, "gravel teapot nineteen otter");
    let first = world.relay_backup();
    sets(&mut world, "another gravel teapot otter");
    world.told("ada");
    world.relay_goes_back(&first);
    comes_to_rest(&mut world);
    let told = notices(&mut world, "ada");
    assert!(told.contains("before your login password was set") && told.contains("/password"), "{told}");
    assert!(world.signs_in("ada2", "ada", "another gravel teapot otter").is_err());
    sets(&mut world, "a third gravel teapot otter");
    world.signs_in("ada3", "ada", "a third gravel teapot otter").expect("signs in");
    assert_eq!(world.app("ada3").chat().rooms.len(), 1);
}
