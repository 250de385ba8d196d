//! Somebody puts another person's device onto their list, and the relay helps: whose words are whose, and who
//! gets what, still is as it was meant.

use subrosa::chat::call::CallState;
use subrosa::ui::command::Command;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::devices::DeviceList;
use subrosa_shared::protocol::frame::ToDevice;
use subrosa_shared::session::Identity;
use subrosa_tests::World;
use subrosa_tests::club::{club, id, speaks};
use subrosa_tests::words::alarms;

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("valid")
}

/// Ben hears from the relay that mallory, who signed it, lists that device of ada's; `says` is what else the relay
/// does to what goes to him.
fn mallory_lists(world: &mut World, device: &str, mut says: impl FnMut(ToDevice) -> ToDevice + 'static) {
    let mallory = Identity::from_seed(&world.seed_of("mallory"));
    let other = Identity::from_seed(&world.seed_of(device)).cert();
    let first = mallory.begins(&name("mallory"));
    let list = DeviceList::begin(&first).expect("signed");
    let added = mallory.adds(&list, &other).expect("signed");
    world.liar = Some(Box::new(move |who, frame| match frame {
        ToDevice::Devices { ask, name, certs, .. } if who == "ben" && name.as_str() == "mallory" => {
            let versions = vec![first.clone(), added.clone()];
            vec![ToDevice::Devices { ask, name, versions, certs }]
        }
        frame if who == "ben" => vec![says(frame)],
        frame => vec![frame],
    }));
}

#[test]
fn what_was_for_somebody_who_lists_this_device_is_no_word_to_who_owns_it() {
    let mut world = World::with(1, &["ada", "ben", "mallory"]);
    for (from, to) in [("ben", "ada"), ("ada", "ben")] {
        world.says(from, to, "hello");
        world.settle();
    }
    mallory_lists(&mut world, "ada", |frame| frame);
    world.says("ben", "mallory", "yes, sell it");
    world.settle();
    assert!(world.timeline("mallory", "ben").contains(&"yes, sell it".into()));
    world.says("mallory", "ben", "hello ben");
    world.settle();
    world.films("ben");
    let mallorys = world.app("ben").chat().with(&name("mallory")).expect("known").id;
    world.commands("ben", Command::Open(mallorys));
    world.commands("ben", Command::Expire(Some(3600)));
    world.settle();
    world.commands("ben", Command::Video(Some("test".into())));
    world.passes(1_000);
    let state = |world: &mut World, who| world.app(who).chat().call.as_ref().map(|call| call.state);
    assert!(matches!(state(&mut world, "mallory"), Some(CallState::Ringing)));
    assert_eq!(state(&mut world, "ada"), None, "nobody calls her");
    world.commands("ben", Command::Hangup);
    world.settle();
    let lines = world.lines("ada", "ben");
    let told: Vec<&str> = lines.iter().map(|line| line.body.as_str()).collect();
    assert!(
        !told.contains(&"yes, sell it") && !told.iter().any(|line| line.contains("disappear")),
        "{told:?}"
    );
    let alarms = alarms(&mut world, "ada", "ben");
    assert_eq!(alarms.len(), 1, "said once: {alarms:?}");
    assert!(alarms[0].contains("for 'mallory'"), "{alarms:?}");
    // Between the two all is as before.
    world.says("ben", "ada", "for you");
    world.says("ada", "ben", "and for you");
    world.settle();
    assert!(world.timeline("ada", "ben").contains(&"for you".into()));
    assert!(world.timeline("ben", "ada").contains(&"and for you".into()));
}

/// Ada has a laptop, which mallory lists too, and of what it sends the relay says that it is mallory's.
fn mallory_speaks_as_the_laptop(seed: u64, known: bool) -> World {
    let mut world = club(seed, &["ben", "mallory"]);
    for (from, to) in [("ben", "ada"), ("ada", "ben"), ("mallory", "ben"), ("ben", "mallory")] {
        world.says(from, to, "hello");
        world.settle();
    }
    if !known {
        world.kill("ben");
    }
    world.adds_device("ada", "laptop");
    world.settle();
    if known {
        world.says("laptop", "ben", "i have a laptop");
        world.settle();
        world.kill("ben");
    }
    let laptop = world.app("laptop").device();
    mallory_lists(&mut world, "laptop", move |mut frame| {
        if let ToDevice::Deliver(delivery) = &mut frame
            && delivery.from == laptop
        {
            delivery.name = name("mallory");
        }
        match frame {
            // As if nothing had been added.
            ToDevice::Devices { ask, name, certs, .. } if !known && name.as_str() == "ada" => {
                ToDevice::Devices { ask, name, versions: Vec::new(), certs }
            }
            frame => frame,
        }
    });
    world.starts("ben");
    world.settle();
    world.says("mallory", "ben", "look who i am");
    world.says("ben", "mallory", "who?");
    world.settle();
    world
}

#[test]
fn what_a_device_says_is_its_owners_word_whoever_the_relay_says_it_is() {
    let mut world = mallory_speaks_as_the_laptop(2, true);
    world.says("laptop", "ben", "this is ada");
    speaks(&mut world, "laptop", "#club", "ada, to all");
    world.settle();
    assert!(world.timeline("ben", "ada").contains(&"this is ada".into()));
    assert!(!world.timeline("ben", "mallory").contains(&"this is ada".into()));
    let club = id(&mut world, "ben", "#club");
    let lines = world.lines_of("ben", club);
    let line = lines.iter().find(|line| line.body == "ada, to all").expect("it came");
    assert_eq!(line.more.by, Some(name("ada")));
}

#[test]
fn what_a_device_says_that_its_owner_was_not_seen_to_have_is_nobody_elses_word() {
    let mut world = mallory_speaks_as_the_laptop(3, false);
    world.says("laptop", "ben", "this is ada");
    world.settle();
    assert!(!world.timeline("ben", "mallory").contains(&"this is ada".into()));
    let told = alarms(&mut world, "ben", "mallory");
    assert!(told.iter().any(|line| line.contains("says that it is 'ada'")), "{told:?}");
}
