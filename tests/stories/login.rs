//! Signing in by password: register, come back on an empty machine, guess, be held back.

use std::net::IpAddr;
use std::sync::Arc;
use subrosa::chat::backup::TRIED;
use subrosa::chat::devices::CHAIN;
use subrosa::chat::expiry::SETTINGS;
use subrosa::chat::talk::ACCOUNT;
use subrosa::chat::timeline::{Author, Line, LineState};
use subrosa::effect::Happened;
use subrosa::export::{keyfile, keys};
use subrosa::login::Problem;
use subrosa::ui::command::{Command, Secret};
use subrosa::ui::devices::DevicesCommand;
use subrosa_relay::metrics::Count;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::frame::{Refusal, ToDevice, ToRelay};
use subrosa_shared::protocol::password::{KE2, Start, Token};
use subrosa_shared::session::vault::Cost;
use subrosa_shared::store::memory::{Memory, MemorySlots};
use subrosa_shared::store::{Batch, Order, Store};
use subrosa_tests::network::Weather;
use subrosa_tests::visit::Visit;
use subrosa_tests::words::{notes, notices};
use subrosa_tests::{Seen, World};
use zeroize::Zeroizing;

const PASSWORD: &str = "gravel teapot nineteen otter";
/// The one before it.
const BEFORE: &str = "another gravel teapot otter";
const MINUTE: u64 = 60_000;

fn secret(text: &str) -> Secret {
    Secret(Zeroizing::new(text.into()))
}

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("valid")
}

/// Sets a password; what the person was told.
fn sets(world: &mut World, who: &str, passphrase: &str, password: &str) -> String {
    world.told(who);
    world.commands(who, Command::SetPassword { passphrase: secret(passphrase), password: secret(password) });
    world.settle();
    let mut told = world.told(who).into_iter().filter_map(|told| match told {
        Happened::Notice { text, .. } => Some(text),
        _ => None,
    });
    told.next_back().unwrap_or_default()
}

/// Ada with a password, and Ben.
fn registered(seed: u64) -> World {
    let mut world = World::with(seed, &["ada", "ben"]);
    world.says("ada", "ben", "hello");
    world.settle();
    assert!(sets(&mut world, "ada", "", PASSWORD).contains("is set"));
    world
}

fn guesses(world: &mut World, account: &str, from: &str) -> Vec<ToDevice> {
    let visit = world.visits_from(from.parse::<IpAddr>().expect("an address"));
    let (_, start) = world.begins_login(visit, account, "a guess");
    let heard = world.visitor_says(visit, start);
    world.relay_forgets(visit);
    heard
}

fn wait_of(heard: &[ToDevice]) -> Option<u32> {
    heard.iter().find_map(|frame| match frame {
        ToDevice::Refused { ask: None, why: Refusal::RateLimited { retry_ms } } => Some(*retry_ms),
        _ => None,
    })
}

fn opened(heard: &[ToDevice]) -> Option<Token> {
    heard.iter().find_map(|frame| match frame {
        ToDevice::PasswordWelcome(opened) => Some(opened.token.clone()),
        _ => None,
    })
}

/// A right password on a connection of its own; the session's token.
fn proves(world: &mut World, account: &str) -> (Visit, Token) {
    use subrosa::login::Next;
    let visit = world.visits();
    let (mut login, start) = world.begins_login(visit, account, PASSWORD);
    let ke2 = world.visitor_says(visit, start).remove(0);
    let next = login.frame(ke2, &mut rand_core::OsRng).expect("goes on");
    let Some(Next::Stretch(stretch)) = next else { panic!("{next:?}") };
    let proved = stretch.run(subrosa_shared::session::vault::Cost::TINY, &mut rand_core::OsRng);
    let Ok(Next::Send(ke3)) = login.stretched(proved) else { panic!("the password is right") };
    let heard = world.visitor_says(visit, ke3);
    let token = opened(&heard).unwrap_or_else(|| panic!("{heard:?}"));
    (visit, token)
}

#[test]
fn an_empty_machine_gets_people_and_settings_back() {
    let mut world = World::new(1);
    let mut config = subrosa::config::Config::default();
    config.screen.sidebar = 31;
    world.joins_with("ada", config);
    world.joins("ben");
    world.joins("cleo");
    world.settle();
    world.says("ada", "ben", "hello");
    world.says("ada", "cleo", "hello");
    world.settle();
    world.commands("ada", Command::Petname(name("ben"), Some("Benjamin".into())));
    world.commands("ada", Command::Block(Some(name("cleo"))));
    world.settle();
    assert!(sets(&mut world, "ada", "", PASSWORD).contains("is set"));

    world.signs_in("ada2", "ada", PASSWORD).expect("signs in");
    world.settle();
    assert_eq!(world.app("ada2").config().screen.sidebar, 31);
    let rooms = &world.app("ada2").chat().rooms;
    let people: Vec<_> = rooms.iter().map(|room| (room.full_name(), room.person.blocked)).collect();
    assert_eq!(people, [("Benjamin (ben)".to_owned(), false), ("cleo".to_owned(), true)]);
    let pinned =
        |world: &mut World, who| world.app(who).chat().with(&name("ben")).and_then(|room| room.kept.peer);
    let theirs = pinned(&mut world, "ada");
    assert!(theirs.is_some());
    assert_eq!(pinned(&mut world, "ada2"), theirs, "whoever was pinned stays pinned");
    assert_ne!(world.app("ada2").device(), world.app("ada").device(), "a device has keys of its own");
    assert_eq!(world.app("ada2").chat().link, subrosa::chat::Link::Online);
    let number = |world: &mut World, who: &str, with: &str| {
        let chat = world.app(who).chat();
        let room = chat.with(&name(with)).expect("they know each other");
        chat.safety(room).expect("pinned").0.groups().to_vec()
    };
    let before = number(&mut world, "ada", "ben");
    assert_eq!(number(&mut world, "ada2", "ben"), before, "the safety number is the account's");
    world.says("ben", "ada", "welcome back");
    world.settle();
    assert!(world.timeline("ada2", "ben").contains(&"welcome back".to_owned()));
    assert!(world.timeline("ada", "ben").contains(&"welcome back".to_owned()));
    world.says("ada2", "ben", "thank you");
    world.settle();
    assert_eq!(world.timeline("ben", "ada"), ["hello", "welcome back", "thank you"]);
    assert_eq!(number(&mut world, "ben", "ada"), before);
}

#[test]
fn a_device_that_signed_in_is_announced_to_all_devices_of_people_though_it_was_killed() {
    for killed in [false, true] {
        let mut world = registered(33);
        world.adds_device("ben", "laptop");
        world.passes(3_000);
        let first = world.app("ben").device();
        world.commands("laptop", Command::Devices(DevicesCommand::Removed(first)));
        world.settle();
        world.says("laptop", "ada", "this is the one that i have now");
        world.passes(20_000);
        world.settle();
        world.kill("ada");
        if killed {
            // Nothing that it asks for comes.
            world.liar = Some(Box::new(|who, frame| match frame {
                ToDevice::Welcome(_) => vec![frame],
                _ if who == "ada2" => Vec::new(),
                _ => vec![frame],
            }));
        }
        world.signs_in("ada2", "ada", PASSWORD).expect("signs in");
        world.settle();
        if killed {
            world.liar = None;
            world.restarts("ada2");
            world.settle();
        }
        world.says("laptop", "ada", "do you have another one?");
        world.settle();
        let lines = world.timeline("ada2", "ben");
        assert!(lines.contains(&"do you have another one?".to_owned()), "{killed}: {lines:?}");
    }
}

#[test]
fn what_changes_later_is_in_the_backup_a_moment_later() {
    let mut world = registered(2);
    world.joins("dora");
    world.settle();
    world.says("ada", "dora", "hello");
    world.settle();
    world.commands("ada", Command::Petname(name("dora"), Some("D".into())));
    world.passes(20_000);
    world.settle();
    world.signs_in("ada2", "ada", PASSWORD).expect("signs in");
    let names: Vec<_> = world.app("ada2").chat().rooms.iter().map(|room| room.full_name()).collect();
    assert!(names.contains(&"D (dora)".to_owned()), "{names:?}");
}

#[test]
fn whichever_device_is_left_goes_on_with_the_backup() {
    let mut world = registered(25);
    world.adds_device("ada", "ada2");
    assert!(sets(&mut world, "ada", "", "another gravel teapot otter").contains("is changed"));
    world.passes(20_000);
    world.kill("ada");
    world.commands("ada2", Command::Petname(name("ben"), Some("Benjamin".into())));
    world.passes(20_000);
    world.settle();
    world.signs_in("ada3", "ada", "another gravel teapot otter").expect("signs in");
    let names: Vec<_> = world.app("ada3").chat().rooms.iter().map(|room| room.full_name()).collect();
    assert_eq!(names, ["Benjamin (ben)"]);
}

#[test]
fn a_device_that_was_removed_comes_back_by_no_password() {
    let mut world = registered(29);
    world.adds_device("ada", "laptop");
    world.passes(3_000);
    // Whoever has the laptop sets one of their own.
    assert!(sets(&mut world, "laptop", "", "a thief has chosen this one").contains("is changed"));
    world.passes(20_000);
    assert!(notices(&mut world, "ada").contains("was set on another device of yours"));
    let laptop = world.app("laptop").device();
    world.commands("ada", Command::Devices(DevicesCommand::Removed(laptop)));
    world.settle();
    let told = notices(&mut world, "ada");
    assert!(told.contains("set it anew with /password"), "{told}");
    let screen = world.screen("ada", 160, 30);
    assert!(screen.contains("set it anew with /password"), "what else was said hides it: {screen}");
    for password in ["a thief has chosen this one", PASSWORD] {
        assert!(world.signs_in("thief", "ada", password).is_err(), "{password}");
    }
    assert_eq!(world.signs_in("thief", "ada", "a thief has chosen this one"), Err(Problem::Void));
    // She is told until she has done it, and then it holds again.
    world.restarts("ada");
    world.settle();
    assert!(notices(&mut world, "ada").contains("set it anew with /password"));
    assert!(sets(&mut world, "ada", "", "another gravel teapot otter").contains("is set"));
    world.passes(20_000);
    world.restarts("ada");
    world.settle();
    assert!(!notices(&mut world, "ada").contains("set it anew"));
    world.signs_in("phone", "ada", "another gravel teapot otter").expect("signs in");
    assert_eq!(world.app("phone").chat().devices.len(), 2);
}

#[test]
fn a_password_that_was_set_after_a_removal_holds_on_all_devices() {
    let mut world = registered(30);
    for device in ["laptop", "phone"] {
        world.adds_device("ada", device);
        world.passes(3_000);
    }
    let phone = world.app("phone").device();
    world.kill("laptop");
    world.commands("ada", Command::Devices(DevicesCommand::Removed(phone)));
    world.settle();
    assert!(sets(&mut world, "ada", "", "another gravel teapot otter").contains("is set"));
    world.passes(20_000);
    world.kill("ada");
    // It hears of the password, the removal and the new key in whatever order.
    world.starts("laptop");
    world.settle();
    world.commands("laptop", Command::Petname(name("ben"), Some("Benjamin".into())));
    world.passes(20_000);
    world.settle();
    world.signs_in("ada3", "ada", "another gravel teapot otter").expect("signs in");
    let names: Vec<_> = world.app("ada3").chat().rooms.iter().map(|room| room.full_name()).collect();
    assert_eq!(names, ["Benjamin (ben)"]);
}

#[test]
fn a_password_that_a_removal_ended_is_named_again_by_no_device_that_was_away() {
    for restarted in [false, true] {
        let mut world = registered(31);
        for device in ["laptop", "phone"] {
            world.adds_device("ada", device);
            world.passes(3_000);
        }
        let laptop = world.app("laptop").device();
        world.kill("phone");
        assert!(sets(&mut world, "ada", "", "another gravel teapot otter").contains("is changed"));
        world.passes(20_000);
        world.commands("ada", Command::Devices(DevicesCommand::Removed(laptop)));
        world.settle();
        world.passes(20_000);
        world.starts("phone");
        world.passes(60_000);
        if restarted {
            world.restarts("phone");
            world.passes(60_000);
        }
        assert!(notices(&mut world, "phone").contains("set it anew with /password"), "{restarted}");
        let signed = world.signs_in("thief", "ada", "another gravel teapot otter");
        assert_eq!(signed, Err(Problem::Void), "{restarted}");
    }
}

/// What a device has for a key file, without people, is all that there is on its new machine.
fn goes_on_from_a_key_file(world: &mut World, who: &str) {
    goes_on_with(world, who, Vec::new());
}

fn goes_on_with(world: &mut World, who: &str, people: Vec<keyfile::Contact>) {
    let (seed, disk) = (world.seed_of(who), world.disk(who));
    let list = disk.records.scan(CHAIN, &[], &[], Order::Forward, usize::MAX).expect("a memory store reads");
    let version = |(_, bytes): (_, Vec<u8>)| postcard::from_bytes(&bytes).expect("a version");
    let exported = keyfile::Keys {
        name: name("ada"),
        relay: "subrosa://relay.invalid".into(),
        identity: *seed.first_chunk().expect("64 bytes"),
        noise: *seed.last_chunk().expect("64 bytes"),
        people,
        list: list.into_iter().map(version).collect(),
    };
    let text = keyfile::seal(&exported, "export me", Cost::TINY, &mut rand_core::OsRng).expect("sealed");
    let exported = keyfile::open(&text, "export me").expect("the same again");
    let disk = Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) };
    disk.commit(&keys::furnish(&exported, &mut rand_core::OsRng)).expect("a memory store writes");
    world.disk_is(who, disk);
    world.starts(who);
    world.settle();
}

#[test]
fn a_key_file_of_a_linked_device_goes_on_as_a_device_of_the_account() {
    let mut world = World::with(34, &["ada", "ben"]);
    world.adds_device("ada", "laptop");
    world.passes(3_000);
    world.says("ben", "ada", "are you there?");
    world.settle();
    world.kill("laptop");
    world.told("laptop");
    goes_on_from_a_key_file(&mut world, "laptop");
    assert_eq!(notices(&mut world, "laptop"), "");
    assert_eq!(world.app("laptop").chat().devices.len(), 2);
    world.says("laptop", "ben", "from the new laptop");
    world.settle();
    assert_eq!(world.marks("laptop", "ben"), [LineState::Delivered]);
    for (who, with) in [("ben", "ada"), ("ada", "ben")] {
        assert!(world.timeline(who, with).iter().any(|line| line == "from the new laptop"), "{who}");
    }
}

#[test]
fn who_goes_on_from_a_key_file_writes_to_the_devices_that_people_have_by_now() {
    let mut world = World::with(38, &["ada", "ben"]);
    world.says("ada", "ben", "hello ben");
    world.settle();
    world.says("ben", "ada", "hello ada");
    world.settle();
    world.adds_device("ben", "laptop");
    world.passes(3_000);
    let first = world.app("ben").device();
    world.commands("laptop", Command::Devices(DevicesCommand::Removed(first)));
    world.settle();
    // A key file says by which key he is known, and nothing of his devices.
    let ben = world.app("ada").chat().with(&name("ben")).expect("known");
    let (peer, changed, person) = (ben.kept.peer, ben.kept.changed, ben.person.clone());
    let people = vec![keyfile::Contact { with: name("ben"), peer, changed, muted: false, person }];
    world.kill("ada");
    goes_on_with(&mut world, "ada", people);
    world.says("ada", "ben", "from my new machine");
    world.settle();
    let told = world.timeline("laptop", "ada");
    assert_eq!(told.last().map(String::as_str), Some("from my new machine"));
    assert!(!notes(&mut world, "ada", "ben").iter().any(|note| note.contains("a device")));
}

#[test]
fn what_somebody_wrote_who_goes_on_from_a_key_file_stood_above_all_that_was_said_before() {
    let mut world = World::with(36, &["ada", "ben"]);
    for text in ["one", "two", "three"] {
        world.says("ada", "ben", text);
        world.settle();
        world.passes(1_000);
    }
    world.kill("ada");
    world.told("ada");
    goes_on_from_a_key_file(&mut world, "ada");
    world.says("ada", "ben", "four");
    world.settle();
    assert_eq!(world.timeline("ben", "ada"), ["one", "two", "three", "four"]);
    world.says("ben", "ada", "five");
    world.settle();
    assert_eq!(world.timeline("ada", "ben"), ["four", "five"]);
}

#[test]
fn who_goes_on_from_a_key_file_is_told_again_for_how_long_messages_stay() {
    let mut world = World::with(35, &["ada", "ben"]);
    world.knows("ben", "ada");
    world.knows("ada", "ben");
    world.says("ben", "ada", "hello");
    world.settle();
    world.commands("ada", Command::Expire(Some(3600)));
    world.settle();
    world.kill("ada");
    goes_on_from_a_key_file(&mut world, "ada");
    // Ben begins another session by then, and so nobody notices that the one before is gone.
    world.passes(25 * 60 * MINUTE);
    world.says("ada", "ben", "I am back");
    world.settle();
    world.says("ada", "ben", "where were we?");
    world.settle();
    assert!(notes(&mut world, "ada", "ben").iter().any(|note| note.contains("set messages to disappear")));
    world.passes(61 * MINUTE);
    assert_eq!(world.timeline("ada", "ben"), ["I am back", ""]);
    let mut stays = world.timeline("ben", "ada");
    stays.sort();
    assert_eq!(stays, ["", "I am back", "hello"]);
}

#[test]
fn who_keeps_to_no_timer_is_told_of_it_seldom() {
    let mut world = World::with(36, &["ada", "ben"]);
    world.knows("ben", "ada");
    world.knows("ada", "ben");
    world.says("ben", "ada", "hello");
    world.settle();
    world.commands("ada", Command::Expire(Some(3600)));
    world.settle();
    // Each time that she starts she knows of none.
    let forgets = |world: &mut World| {
        world.kill("ada");
        let disk = world.disk("ada");
        let rows = disk.records.scan(SETTINGS, &[], &[], Order::Forward, 9).expect("a memory store reads");
        let mut batch = Batch::default();
        rows.into_iter().for_each(|(key, _)| batch.delete(SETTINGS, key));
        disk.commit(&batch).expect("a memory store writes");
        world.starts("ada");
        world.settle();
    };
    world.passes(120 * MINUTE);
    let mut told = 0;
    for line in ["one", "two", "three", "four"] {
        forgets(&mut world);
        world.says("ada", "ben", line);
        world.settle();
        told += usize::from(world.app("ada").chat().with(&name("ben")).expect("known").timeline.timer() > 0);
    }
    assert_eq!(told, 1);
    world.passes(61 * MINUTE);
    world.says("ada", "ben", "five");
    world.settle();
    assert_eq!(world.app("ada").chat().with(&name("ben")).expect("known").timeline.timer(), 3600);
}

#[test]
fn a_removal_on_a_machine_that_never_had_the_backup_says_that_the_password_is_void() {
    let mut world = registered(32);
    world.adds_device("ada", "laptop");
    world.passes(3_000);
    let laptop = world.app("laptop").device();
    world.kill("laptop");
    world.kill("ada");
    // Ada goes on from a key file, which has nothing of the backup.
    goes_on_from_a_key_file(&mut world, "ada");
    world.told("ada");
    world.commands("ada", Command::Devices(DevicesCommand::Removed(laptop)));
    world.settle();
    let told = notices(&mut world, "ada");
    assert!(told.contains("set it anew with /password"), "{told}");
    world.restarts("ada");
    world.settle();
    let told = notices(&mut world, "ada");
    assert!(told.contains("set it anew with /password"), "{told}");
    assert_eq!(world.signs_in("phone", "ada", PASSWORD), Err(Problem::Void));
}

#[test]
fn a_password_that_was_not_named_in_time_is_not_said_to_be_void() {
    for changed in [false, true] {
        let mut world = World::with(33, &["ada"]);
        if changed {
            assert!(sets(&mut world, "ada", "", "another gravel teapot otter").contains("is set"));
        }
        world.told("ada");
        world.weather(Weather { delay: 100, ..Weather::default() });
        let (passphrase, password) = (secret(""), secret(PASSWORD));
        world.commands("ada", Command::SetPassword { passphrase, password });
        // There and back twice: the relay has it, and the list with its key is on its way.
        world.passes(450);
        let told = notices(&mut world, "ada");
        assert!(told.contains("the login password is"), "{told}");
        world.kill("ada");
        world.settle();
        world.weather(Weather::default());
        let Err(problem) = world.signs_in("phone", "ada", PASSWORD) else { panic!("it adds no device") };
        assert_eq!(problem, Problem::Unfinished, "{changed}");
        assert!(problem.to_string().contains("start the device on which it was set"), "{problem}");
        world.starts("ada");
        world.settle();
        world.signs_in("phone", "ada", PASSWORD).expect("it was finished");
    }
}

/// Ada is setting a password since so many milliseconds, on a way that takes 100: it is at the relay after 300.
/// Maybe she had another one.
fn setting(seed: u64, changed: bool, millis: u64) -> World {
    let mut world = World::with(seed, &["ada"]);
    if changed {
        assert!(sets(&mut world, "ada", "", BEFORE).contains("is set"));
    }
    world.told("ada");
    world.weather(Weather { delay: 100, ..Weather::default() });
    world.commands("ada", Command::SetPassword { passphrase: secret(""), password: secret(PASSWORD) });
    world.passes(millis);
    let told = notices(&mut world, "ada");
    assert!(!told.contains("the login password is"), "{told}");
    assert!(tries(&mut world), "on the disk before it goes out");
    world
}

/// Whether Ada's disk has a password of which the relay has not said whether it has it.
fn tries(world: &mut World) -> bool {
    world.disk("ada").records.get(ACCOUNT, TRIED).expect("reads").is_some()
}

#[test]
fn a_password_that_the_relay_took_without_a_word_holds_from_the_next_connection_on() {
    for (changed, killed) in [(false, true), (true, true), (false, false), (true, false)] {
        let mut world = setting(36, changed, 350);
        if killed {
            world.kill("ada");
            world.settle();
            world.weather(Weather::default());
            world.starts("ada");
        } else {
            world.cut("ada");
            world.weather(Weather::default());
        }
        world.passes(MINUTE);
        world.settle();
        let told = notices(&mut world, "ada");
        let says = if changed { "the login password is changed" } else { "the login password is set" };
        assert!(told.contains(says), "{told}");
        assert!(!told.contains("on another device"), "{told}");
        assert_eq!(told.contains("before the relay said whether it has the password"), !killed, "{told}");
        assert!(!tries(&mut world), "{changed} {killed}");
        world.signs_in("phone", "ada", PASSWORD).expect("it was finished");
    }
}

#[test]
fn a_password_that_never_came_to_the_relay_is_said_to_be_not_set() {
    for changed in [false, true] {
        let mut world = setting(37, changed, 250);
        world.kill("ada");
        world.settle();
        world.weather(Weather::default());
        world.starts("ada");
        world.settle();
        let told = notices(&mut world, "ada");
        assert!(told.contains("was not set: the relay does not have it"), "{told}");
        assert!(!told.contains("on another device"), "{told}");
        assert!(!tries(&mut world), "{changed}");
        assert!(world.signs_in("phone", "ada", PASSWORD).is_err(), "{changed}");
        if changed {
            world.signs_in("phone", "ada", BEFORE).expect("the one before holds");
        }
    }
}

#[test]
fn a_late_refusal_of_an_older_password_s_state_takes_nothing_of_a_newer_one() {
    let mut world = registered(34);
    world.adds_device("ada", "laptop");
    world.passes(20_000);
    let mut held = Vec::new();
    let mut late = false;
    world.liar = Some(Box::new(move |who, frame| match frame {
        ToDevice::Deliver(_) if who == "ada" && !late => {
            held.push(frame);
            Vec::new()
        }
        ToDevice::Refused { ask: Some(_), why: Refusal::NotAllowed } if who == "ada" => {
            late = true;
            held.drain(..).chain([frame]).collect()
        }
        frame => vec![frame],
    }));
    assert!(sets(&mut world, "laptop", "", "another gravel teapot otter").contains("is changed"));
    world.kill("laptop");
    world.told("ada");
    world.commands("ada", Command::Petname(name("ben"), Some("Benjamin".into())));
    world.passes(40_000);
    let told = notices(&mut world, "ada");
    assert!(told.contains("was set on another device of yours"), "the key came: {told}");
    assert!(!told.contains("was changed on another device"), "{told}");
    world.signs_in("phone", "ada", "another gravel teapot otter").expect("signs in");
    let names: Vec<_> = world.app("phone").chat().rooms.iter().map(|room| room.full_name()).collect();
    assert_eq!(names, ["Benjamin (ben)"]);
}

#[test]
fn a_refusal_of_what_a_removal_made_void_says_nothing_more() {
    let mut world = registered(35);
    world.adds_device("ada", "laptop");
    world.passes(20_000);
    // Whoever has the laptop sets a password of which ada has not heard.
    world.liar = Some(Box::new(|who, frame| match frame {
        ToDevice::Deliver(_) if who == "ada" => Vec::new(),
        frame => vec![frame],
    }));
    assert!(sets(&mut world, "laptop", "", "a thief has chosen this one").contains("is changed"));
    let laptop = world.app("laptop").device();
    world.seen();
    world.told("ada");
    for _ in 0..2 {
        // The first try finds that the relay's list is a newer one.
        world.commands("ada", Command::Devices(DevicesCommand::Removed(laptop)));
        world.settle();
    }
    let refused = |seen: &Seen| match seen {
        Seen::To(who, ToDevice::Refused { why, .. }) => who == "ada" && *why == Refusal::NotAllowed,
        _ => false,
    };
    assert!(world.seen().iter().any(refused), "the state under the password before");
    let told = notices(&mut world, "ada");
    assert!(told.contains("set it anew with /password"), "{told}");
    assert!(!told.contains("was changed on another device"), "{told}");
}

#[test]
fn a_relay_that_shows_a_restored_device_an_older_list_is_betrayed_by_the_backup() {
    let mut world = registered(26);
    world.adds_device("ben", "ben2");
    world.adds_device("ben", "ben3");
    world.says("ben3", "ada", "hello from the third");
    world.passes(20_000);
    world.settle();
    let other = name("ben");
    world.liar = Some(Box::new(move |_, frame| match frame {
        ToDevice::Devices { ask, name, mut versions, certs } if name == other => {
            versions.truncate(2);
            vec![ToDevice::Devices { ask, name, versions, certs }]
        }
        frame => vec![frame],
    }));
    world.signs_in("ada2", "ada", PASSWORD).expect("signs in");
    world.says("ada2", "ben", "hello again");
    world.settle();
    let lines = world.lines("ada2", "ben");
    let shown = |line: &Line| {
        line.author == Author::Alarm && line.body.contains("the relay does not show the new one")
    };
    assert!(lines.iter().any(shown), "{lines:?}");
    world.restarts("ada2");
    world.liar = None;
    world.cut("ada2");
    world.settle();
    world.says("ada2", "ben", "and again");
    world.settle();
    assert!(world.timeline("ben3", "ada").contains(&"and again".to_owned()));
}

#[test]
fn the_relay_stores_nothing_that_opens_the_backup() {
    let mut world = World::with(3, &["ada", "ben"]);
    world.says("ada", "ben", "hello");
    world.settle();
    world.seen();
    sets(&mut world, "ada", "", PASSWORD);
    let frames = world.seen().into_iter().map(|seen| match seen {
        Seen::From(_, frame) => postcard::to_stdvec(&frame).expect("serialises"),
        Seen::To(_, frame) => postcard::to_stdvec(&frame).expect("serialises"),
        Seen::Media(_, bytes) => bytes,
    });
    for frame in frames {
        for word in [PASSWORD.as_bytes(), b"ben", b"sidebar"] {
            assert!(!frame.windows(word.len()).any(|bytes| bytes == word), "a word of the backup in clear");
        }
    }
}

#[test]
fn a_wrong_password_and_an_unknown_name_say_the_same() {
    let mut world = registered(4);
    let wrong = world.signs_in("mallory", "ada", "another one");
    let unknown = world.signs_in("mallory", "nobody", PASSWORD);
    let unset = world.signs_in("mallory", "ben", PASSWORD);
    assert_eq!(wrong, Err(Problem::Wrong));
    assert_eq!(unknown, wrong, "a name that nobody has");
    assert_eq!(unset, wrong, "a name without a password");
}

#[test]
fn the_relay_answers_an_unknown_name_in_the_same_bytes() {
    let mut world = registered(5);
    let mut answers = Vec::new();
    for account in ["ada", "ben", "nobody"] {
        let heard = guesses(&mut world, account, "192.0.2.1");
        let [ToDevice::PasswordChallenge(ke2)] = heard.as_slice() else { panic!("{heard:?}") };
        assert_eq!(ke2.len(), KE2);
        answers.push(postcard::to_stdvec(&heard[0]).expect("serialises").len());
    }
    assert!(answers.iter().all(|length| *length == answers[0]), "{answers:?}");
    // The same after the last guess: the limit counts names, not accounts.
    for account in ["ada", "ben", "nobody"] {
        let heard: Vec<_> = (0..5).map(|_| guesses(&mut world, account, "198.51.100.1")).collect();
        let last = wait_of(heard.last().expect("five"));
        assert!(last.is_some_and(|wait| wait <= 3 * MINUTE as u32), "{account}: {last:?}");
    }
}

#[test]
fn the_relay_takes_the_same_steps_for_an_unknown_name() {
    let mut world = registered(6);
    let mut steps = Vec::new();
    for account in ["ada", "ben", "nobody"] {
        world.relay_disk_reads();
        guesses(&mut world, account, "192.0.2.1");
        steps.push(world.relay_disk_reads());
    }
    assert!(steps[0] > 0 && steps.iter().all(|reads| *reads == steps[0]), "reads of the disk: {steps:?}");
}

#[test]
fn the_sixth_guess_waits_and_says_how_long() {
    let mut world = registered(7);
    for _ in 0..5 {
        assert_eq!(world.signs_in("mallory", "ada", "a guess"), Err(Problem::Wrong));
    }
    let Err(Problem::Wait(wait)) = world.signs_in("mallory", "ada", PASSWORD) else { panic!("held back") };
    assert!((170_000..=180_000).contains(&wait), "{wait}");
    assert!(Problem::Wait(160_000).to_string().ends_with("try again in 2 min 40 s"));
    assert_eq!(world.relay().metrics().get(Count::PasswordLimitedName), 1, "the operator sees it");
    world.passes(3 * MINUTE);
    world.signs_in("ada2", "ada", PASSWORD).expect("the right password, three minutes later");
    world.signs_in("ada3", "ada", PASSWORD).expect("a right one costs nothing");
}

#[test]
fn guesses_are_remembered_through_a_restart_of_the_relay() {
    let mut world = registered(8);
    for _ in 0..5 {
        guesses(&mut world, "ada", "192.0.2.1");
    }
    world.relay_crashes();
    world.start_relay();
    world.settle();
    assert!(wait_of(&guesses(&mut world, "ada", "192.0.2.1")).is_some());
    assert!(wait_of(&guesses(&mut world, "ben", "192.0.2.1")).is_none(), "another name is another");
}

#[test]
fn one_network_does_not_guess_at_many_names() {
    let mut world = registered(9);
    let held = |world: &mut World, n: usize, from: &str| wait_of(&guesses(world, &format!("name{n}"), from));
    let free = (0..60).filter(|n| held(&mut world, *n, &format!("192.0.2.{n}")).is_none()).count();
    assert_eq!(free, 20, "one /24");
    assert_eq!(held(&mut world, 99, "198.51.100.1"), None, "another network");
    let many = (0..60).filter(|n| held(&mut world, 100 + n, &format!("2001:db8:0:{n:x}::1")).is_none());
    assert_eq!(many.count(), 20, "one /56");
    assert_eq!(world.relay().metrics().get(Count::PasswordLimitedNetwork), 80);
}

#[test]
fn a_thousand_addresses_guess_no_faster_at_one_name_and_slowly_at_all() {
    let mut world = registered(31);
    let address = |n: usize| format!("10.{}.{}.1", n / 250, n % 250);
    let at_one = (0..1000).filter(|n| wait_of(&guesses(&mut world, "ada", &address(*n))).is_none());
    assert_eq!(at_one.count(), 5, "one name, from anywhere");
    let at_many =
        |n: &usize| wait_of(&guesses(&mut world, &format!("name{n}"), &address(1000 + n))).is_none();
    let at_many = (0..1000).filter(at_many).count();
    assert!((200..=300).contains(&at_many), "{at_many} in all");
    // Who is enrolled does not notice.
    world.cut("ada");
    world.passes(1000);
    world.says("ada", "ben", "still here");
    world.settle();
    assert_eq!(world.timeline("ben", "ada"), ["hello", "still here"]);
}

#[test]
fn a_device_that_is_enrolled_is_never_locked_out_by_guessing() {
    let mut world = registered(10);
    for _ in 0..30 {
        guesses(&mut world, "ada", "192.0.2.1");
    }
    assert!(wait_of(&guesses(&mut world, "ada", "203.0.113.1")).is_some(), "nobody can guess");
    world.cut("ada");
    world.passes(1000);
    world.settle();
    assert_eq!(world.app("ada").chat().link, subrosa::chat::Link::Online);
    world.says("ada", "ben", "still here");
    world.settle();
    assert_eq!(world.timeline("ben", "ada"), ["hello", "still here"]);
}

#[test]
fn a_password_session_ends_after_ten_minutes_and_earlier_when_idle() {
    let mut world = registered(11);
    let (_, token) = proves(&mut world, "ada");
    let resume = |world: &mut World, token: Token| {
        let visit = world.visits();
        let heard = world.visitor_says(visit, ToRelay::PasswordResume(token));
        opened(&heard)
    };
    let mut token = resume(&mut world, token).expect("within its time");
    for minute in 1..10 {
        world.passes(MINUTE);
        token = resume(&mut world, token.clone()).unwrap_or_else(|| panic!("minute {minute}"));
    }
    world.passes(MINUTE);
    assert_eq!(resume(&mut world, token), None, "ten minutes are over");
    let (_, token) = proves(&mut world, "ada");
    world.passes(2 * MINUTE + 1000);
    assert_eq!(resume(&mut world, token), None, "nothing happened for two minutes");
}

#[test]
fn a_token_opens_once() {
    let mut world = registered(12);
    let (_, token) = proves(&mut world, "ada");
    let visit = world.visits();
    let first = world.visitor_says(visit, ToRelay::PasswordResume(token.clone()));
    let next = opened(&first).expect("within its time");
    assert_ne!(next, token);
    let visit = world.visits();
    assert_eq!(opened(&world.visitor_says(visit, ToRelay::PasswordResume(token))), None);
}

#[test]
fn a_password_session_reads_no_mail_and_asks_about_nobody_else() {
    let mut world = registered(13);
    let (visit, _) = proves(&mut world, "ada");
    let ask = subrosa_shared::protocol::frame::Ask(9);
    let about = |who: &str| ToRelay::Devices { ask, name: name(who), from: 0 };
    let own = world.visitor_says(visit, about("ada"));
    assert!(matches!(own.as_slice(), [ToDevice::Devices { .. }]), "{own:?}");
    let other = world.visitor_says(visit, about("ben"));
    assert_eq!(other, [ToDevice::Refused { ask: Some(ask), why: Refusal::NotAllowed }]);
    let closed = world.visitor_says(visit, ToRelay::Ack(subrosa_shared::id::Seq(1)));
    assert_eq!(closed, [ToDevice::Refused { ask: None, why: Refusal::Malformed }]);
}

#[test]
fn a_password_session_asks_no_more_often_than_others() {
    let mut world = registered(28);
    let ask = subrosa_shared::protocol::frame::Ask(9);
    let question = ToRelay::Devices { ask, name: name("ada"), from: 0 };
    // Not by another connection either: the password costs nothing when it is right.
    let (first, _) = proves(&mut world, "ada");
    let (second, _) = proves(&mut world, "ada");
    let mut answered = 0;
    for visit in [first, second] {
        for _ in 0..1000 {
            match world.visitor_says(visit, question.clone()).as_slice() {
                [ToDevice::Devices { .. }] => answered += 1,
                [ToDevice::Refused { ask: Some(_), why: Refusal::RateLimited { retry_ms: 1.. } }] => break,
                other => panic!("{other:?}"),
            }
        }
    }
    assert!((100..500).contains(&answered), "{answered}");
    world.passes(30_000);
    assert!(matches!(world.visitor_says(second, question).as_slice(), [ToDevice::Devices { .. }]));
}

#[test]
fn sessions_are_listed_and_ended() {
    let mut world = registered(14);
    let (visit, token) = proves(&mut world, "ada");
    world.commands("ada", Command::Sessions(None));
    world.settle();
    let sessions = world.app("ada").chat().sessions.clone();
    let kinds: Vec<_> = sessions.iter().map(|session| (session.device.is_some(), session.own)).collect();
    assert_eq!(kinds, [(false, false), (true, true)]);
    assert_eq!(sessions[0].network, "127.0.0.0/24");
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("signed in by password") && screen.contains("(this one)"), "{screen}");
    world.commands("ada", Command::Sessions(Some(1)));
    world.settle();
    assert_eq!(world.visitor_hears(visit), [ToDevice::Refused { ask: None, why: Refusal::Ended }]);
    let again = world.visits();
    assert_eq!(opened(&world.visitor_says(again, ToRelay::PasswordResume(token))), None);
    assert_eq!(world.app("ada").chat().sessions.len(), 1, "listed anew");
}

#[test]
fn a_changed_password_seals_anew_and_the_old_one_opens_nothing() {
    let mut world = registered(15);
    let (_, token) = proves(&mut world, "ada");
    let said = sets(&mut world, "ada", "", "another gravel teapot otter");
    assert!(said.contains("is changed"), "{said}");
    assert_eq!(world.signs_in("mallory", "ada", PASSWORD), Err(Problem::Wrong));
    let visit = world.visits();
    let heard = world.visitor_says(visit, ToRelay::PasswordResume(token));
    assert_eq!(opened(&heard), None, "what the old one opened is closed");
    world.signs_in("ada2", "ada", "another gravel teapot otter").expect("the new one");
}

#[test]
fn the_passphrase_of_the_profile_is_asked_for_before_a_password_is_set() {
    let mut world = World::new(16);
    world.joins("ada");
    world.has_passphrase("ada", "open sesame");
    world.restarts("ada");
    world.settle();
    let said = sets(&mut world, "ada", "open sesam", PASSWORD);
    assert!(said.contains("not the passphrase of this profile"), "{said}");
    assert_eq!(world.signs_in("mallory", "ada", PASSWORD), Err(Problem::Wrong), "nothing was set");
    assert!(sets(&mut world, "ada", "open sesame", PASSWORD).contains("is set"));
    world.signs_in("ada2", "ada", PASSWORD).expect("signs in");
}

#[test]
fn the_dialog_rates_the_password_and_asks_for_it_twice() {
    let mut world = World::with(17, &["ada"]);
    world.types("ada", "/password\n");
    world.types("ada", "qwerty12\n");
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("too easy to guess") && screen.contains("weak"), "{screen}");
    assert!(!screen.contains("qwerty"), "{screen}");
    world.press("ada", crossterm::event::KeyCode::Char('u'), crossterm::event::KeyModifiers::CONTROL);
    world.types("ada", PASSWORD);
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("##### strong") && screen.contains("guessed in"), "{screen}");
    world.types("ada", "\nsomething else\n");
    assert!(world.screen("ada", 100, 30).contains("passwords differ"));
    world.types("ada", PASSWORD);
    world.types("ada", "\n");
    world.settle();
    world.signs_in("ada2", "ada", PASSWORD).expect("signs in");
}

// ---- a relay that does not keep to it

#[test]
fn a_relay_that_replays_an_old_ke2_is_refused() {
    let mut world = registered(20);
    let visit = world.visits();
    let (_, start) = world.begins_login(visit, "ada", PASSWORD);
    let old = world.visitor_says(visit, start);
    let visit = world.visits();
    let (login, start) = world.begins_login(visit, "ada", PASSWORD);
    world.visitor_says(visit, start);
    assert_eq!(world.goes_on("ada2", "ada", visit, login, old), Err(Problem::Wrong));
}

#[test]
fn a_relay_that_answers_with_another_persons_record_is_refused() {
    let mut world = registered(21);
    assert!(sets(&mut world, "ben", "", PASSWORD).contains("is set"), "with the same password");
    let visit = world.visits();
    let (login, start) = world.begins_login(visit, "ada", PASSWORD);
    let ToRelay::PasswordStart(Start { ke1, .. }) = start else { panic!("{start:?}") };
    // Ada's KE1, put forward as Ben's.
    let theirs = world.visitor_says(visit, ToRelay::PasswordStart(Start { name: name("ben"), ke1 }));
    assert_eq!(world.goes_on("ada2", "ada", visit, login, theirs), Err(Problem::Wrong));
}

#[test]
fn a_ke3_of_another_connection_is_refused_and_its_guess_is_not_given_back() {
    let mut world = registered(22);
    let (first, second) = (world.visits(), world.visits());
    let (mut login, start) = world.begins_login(first, "ada", PASSWORD);
    let mut ke2 = world.visitor_says(first, start);
    let next = login.frame(ke2.remove(0), &mut rand_core::OsRng);
    let Ok(Some(subrosa::login::Next::Stretch(stretch))) = next else { panic!("{next:?}") };
    let proved = stretch.run(subrosa_shared::session::vault::Cost::TINY, &mut rand_core::OsRng);
    let Ok(subrosa::login::Next::Send(ke3)) = login.stretched(proved) else { panic!("right") };
    let (_, start) = world.begins_login(second, "ada", PASSWORD);
    world.visitor_says(second, start);
    let heard = world.visitor_says(second, ke3.clone());
    assert_eq!(heard, [ToDevice::Refused { ask: None, why: Refusal::BadSignature }], "replayed elsewhere");
    let heard = world.visitor_says(first, ke3.clone());
    assert!(opened(&heard).is_some(), "where it belongs");
    let heard = world.visitor_says(first, ke3);
    assert_eq!(heard, [ToDevice::Refused { ask: None, why: Refusal::Malformed }], "and only once");
    let free = (0..5).filter(|_| wait_of(&guesses(&mut world, "ada", "192.0.2.1")).is_none());
    assert_eq!(free.count(), 4, "the one that did not hold counts");
}

#[test]
fn a_relay_that_hands_out_an_older_backup_of_another_password_is_refused() {
    let mut world = registered(23);
    let (visit, _) = proves(&mut world, "ada");
    world.relay_forgets(visit);
    let mut old = None;
    world.liar = Some(Box::new(move |_, frame| match frame {
        ToDevice::PasswordWelcome(mut opened) => {
            let first = old.get_or_insert_with(|| opened.backup.clone()).clone();
            opened.backup = first;
            vec![ToDevice::PasswordWelcome(opened)]
        }
        frame => vec![frame],
    }));
    world.signs_in("ada2", "ada", PASSWORD).expect("the first is the right one");
    sets(&mut world, "ada", "", "another gravel teapot otter");
    let problem = world.signs_in("ada3", "ada", "another gravel teapot otter");
    assert!(matches!(problem, Err(Problem::Backup(_))), "{problem:?}");
}

#[test]
fn a_relay_that_invents_a_list_of_devices_is_refused() {
    use subrosa_shared::protocol::devices::DeviceList;
    use subrosa_shared::session::Identity;
    let mut world = registered(24);
    world.liar = Some(Box::new(|_, frame| match frame {
        ToDevice::Devices { ask, name, versions, certs } => {
            // A list of the relay's own that names the true recovery key: the key is no secret.
            let recovery = versions.last().and_then(|version| version.recovery);
            let mallory = Identity::generate(&mut rand_core::OsRng);
            let first = mallory.begins(&name);
            let list = DeviceList::begin(&first).expect("signed");
            let second = mallory.recovers(&list, recovery).expect("signed");
            vec![ToDevice::Devices { ask, name, versions: vec![first, second], certs }]
        }
        frame => vec![frame],
    }));
    assert_eq!(world.signs_in("ada2", "ada", PASSWORD), Err(Problem::List));
}
