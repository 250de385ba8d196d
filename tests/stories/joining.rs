//! Coming into a room by a link: whoever has it, while it holds, when a member is there.

use subrosa::chat::groups::Group;
use subrosa::effect::Happened;
use subrosa::ui::command;
use subrosa::ui::devices::DevicesCommand;
use subrosa::ui::rooms::RoomCommand;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::frame::{Refusal, ToDevice, ToRelay};
use subrosa_shared::protocol::link::RoomLink;
use subrosa_shared::session::roomlog::Op;
use subrosa_tests::words::alarms;
use subrosa_tests::{Seen, World};

#[path = "joining/password.rs"]
mod password;

/// Ada's room, with ben in it; cleo and dan know of nothing.
fn tea(seed: u64) -> World {
    let mut world = World::with(seed, &["ada", "ben", "cleo", "dan"]);
    types(&mut world, "ada", "/room new tea ben");
    world.settle();
    world
}

fn types(world: &mut World, who: &str, typed: &str) {
    world.commands(who, command::parse(typed).expect("a command"));
}

/// The link that ada makes.
fn link(world: &mut World, typed: &str) -> String {
    link_into(world, "#tea", typed)
}

/// The link that ada makes into that room of hers.
fn link_into(world: &mut World, room: &str, typed: &str) -> String {
    let room = world.app("ada").chat().room_named(room).expect("her room").id;
    world.commands("ada", command::Command::Open(room));
    types(world, "ada", typed);
    world.settle();
    world.copied("ada").pop().expect("it is copied")
}

fn joins(world: &mut World, who: &str, link: &str) {
    world.told(who);
    types(world, who, &format!("/join {link}"));
    world.settle();
}

fn group<'a>(world: &'a mut World, who: &str) -> Option<&'a Group> {
    let chat = world.app(who).chat();
    chat.group(chat.room_named("#tea")?.id).filter(|group| group.is_open())
}

fn is_in(world: &mut World, who: &str) -> bool {
    group(world, who).is_some()
}

fn notices(world: &mut World, who: &str) -> String {
    let told = world.told(who).into_iter().filter_map(|told| match told {
        Happened::Notice { text, .. } => Some(text),
        _ => None,
    });
    told.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_removed_device_knows_no_link_that_is_still_open() {
    let mut world = tea(40);
    world.adds_device("ada", "laptop");
    world.passes(3_000);
    let link = link(&mut world, "/room link");
    let laptop = world.app("laptop").device();
    world.commands("ada", command::Command::Devices(DevicesCommand::Removed(laptop)));
    world.settle();
    world.passes(5_000);
    joins(&mut world, "dan", &link);
    assert!(!is_in(&mut world, "dan"));
    // Ben may not close what Ada opened: he is told whom to ask.
    let link = self::link(&mut world, "/room link");
    world.adds_device("ben", "phone");
    world.passes(3_000);
    let phone = world.app("phone").device();
    world.commands("ben", command::Command::Devices(DevicesCommand::Removed(phone)));
    world.settle();
    let told = alarms(&mut world, "ben", "#tea");
    assert!(told.iter().any(|told| told.contains("only a moderator can take back")), "{told:?}");
    joins(&mut world, "dan", &link);
    assert!(is_in(&mut world, "dan"));
}

#[test]
fn of_several_rooms_only_the_last_said_that_a_removed_device_knows_its_links() {
    let mut world = tea(41);
    types(&mut world, "ada", "/room new club ben");
    world.settle();
    for room in ["#tea", "#club"] {
        link_into(&mut world, room, "/room link");
    }
    world.adds_device("ben", "phone");
    world.passes(3_000);
    let phone = world.app("phone").device();
    world.commands("ben", command::Command::Devices(DevicesCommand::Removed(phone)));
    world.settle();
    for room in ["#tea", "#club"] {
        let told = alarms(&mut world, "ben", room);
        assert!(told.iter().any(|told| told.contains("only a moderator can take back")), "{room}: {told:?}");
    }
}

#[test]
fn whoever_has_the_link_comes_in_and_all_have_the_same_log() {
    let mut world = tea(1);
    let link = link(&mut world, "/room link");
    assert!(link.parse::<RoomLink>().is_ok(), "{link}");
    joins(&mut world, "cleo", &link);
    assert!(notices(&mut world, "cleo").contains("let you into #tea"));
    joins(&mut world, "dan", &link);
    let heads: Vec<_> = ["ada", "ben", "cleo", "dan"]
        .map(|who| group(&mut world, who).map(|group| (group.people(), group.log.head())))
        .to_vec();
    assert!(heads[0].is_some_and(|(people, _)| people == 4), "{heads:?}");
    assert!(heads.iter().all(|head| *head == heads[0]), "{heads:?}");
    joins(&mut world, "dan", &link);
    let screen = world.screen("dan", 120, 30);
    assert!(screen.contains("you are in #tea already"), "{screen}");
}

#[test]
fn nobody_there_the_knock_waits_and_is_answered_when_a_member_comes() {
    let mut world = tea(2);
    let link = link(&mut world, "/room link");
    world.kill("ada");
    joins(&mut world, "cleo", &link);
    assert!(notices(&mut world, "cleo").contains("your knock waits"));
    assert!(!is_in(&mut world, "cleo"));
    // Through a restart of who knocks, too.
    world.restarts("cleo");
    world.settle();
    assert!(!is_in(&mut world, "cleo"));
    world.starts("ada");
    world.settle();
    assert!(is_in(&mut world, "cleo"));
}

#[test]
fn a_door_that_a_full_relay_let_nobody_watch_is_watched_once_there_is_room() {
    let mut world = tea(43);
    link(&mut world, "/room link");
    // That a door is watched is written once a day.
    world.passes(24 * 3_600_000);
    world.relay_disk_full(true);
    world.seen();
    world.cut("ada");
    world.passes(5_000);
    let full = |seen: &Seen| match seen {
        Seen::To(who, ToDevice::Refused { why, .. }) => who == "ada" && *why == Refusal::StorageFull,
        _ => false,
    };
    let watches = |seen: &Seen| matches!(seen, Seen::From(who, ToRelay::WatchDoor { .. }) if who == "ada");
    let seen = world.seen();
    assert!(seen.iter().any(watches) && seen.iter().any(full), "{seen:?}");
    world.relay_disk_full(false);
    world.passes(30_000);
    assert!(world.seen().iter().any(watches));
}

#[test]
fn a_door_that_a_full_relay_did_not_close_is_closed_once_there_is_room() {
    for restarts in [false, true] {
        let mut world = tea(44);
        let link = link(&mut world, "/room link");
        world.reads_slowly("ada", 10_000);
        types(&mut world, "ada", "/room unlink");
        world.passes(1_000);
        types(&mut world, "cleo", &format!("/join {link}"));
        world.passes(4_000);
        // The room has closed it, and ada has not heard of that yet.
        world.relay_disk_full(true);
        world.seen();
        world.passes(30_000);
        let full = |seen: &Seen| match seen {
            Seen::To(who, ToDevice::Refused { why, .. }) => who == "ada" && *why == Refusal::StorageFull,
            _ => false,
        };
        assert!(world.seen().iter().any(full));
        assert!(!notices(&mut world, "cleo").contains("no longer valid"));
        world.relay_disk_full(false);
        world.reads_slowly("ada", 0);
        if restarts {
            world.restarts("ada");
        }
        world.passes(60_000);
        assert!(notices(&mut world, "cleo").contains("no longer valid"), "restarts: {restarts}");
        // It is done with.
        world.seen();
        world.restarts("ada");
        world.settle();
        let closes = |seen: &Seen| matches!(seen, Seen::From(_, ToRelay::CloseDoor { .. }));
        assert!(!world.seen().iter().any(closes));
    }
}

#[test]
fn a_link_for_one_lets_one_in() {
    let mut world = tea(3);
    let link = link(&mut world, "/room link once");
    joins(&mut world, "cleo", &link);
    assert!(is_in(&mut world, "cleo"));
    joins(&mut world, "dan", &link);
    assert!(notices(&mut world, "dan").contains("no longer valid"));
    assert!(!is_in(&mut world, "dan"));
}

#[test]
fn a_link_for_a_while_and_one_taken_back_let_nobody_in() {
    let mut world = tea(4);
    let hour = link(&mut world, "/room link for 1h");
    world.passes(2 * 3_600_000);
    joins(&mut world, "cleo", &hour);
    assert!(notices(&mut world, "cleo").contains("no longer valid"));
    let next = link(&mut world, "/room link");
    types(&mut world, "ada", "/room unlink");
    world.settle();
    joins(&mut world, "cleo", &next);
    assert!(notices(&mut world, "cleo").contains("no longer valid"));
    assert!(!is_in(&mut world, "cleo"));
}

#[test]
fn a_link_that_was_taken_back_was_begun_anew_by_a_moderator_who_was_away() {
    let mut world = tea(45);
    types(&mut world, "ada", "/role ben moderator");
    world.settle();
    let link = link(&mut world, "/room link");
    world.kill("ben");
    types(&mut world, "ada", "/room unlink");
    world.settle();
    world.starts("ben");
    world.settle();
    joins(&mut world, "cleo", &link);
    assert!(notices(&mut world, "cleo").contains("no longer valid"));
    assert!(!is_in(&mut world, "cleo"));
}

#[test]
fn a_moderator_lets_people_in_too_and_who_is_banned_stays_out() {
    let mut world = tea(5);
    types(&mut world, "ada", "/role ben moderator");
    world.settle();
    let link = link(&mut world, "/room link");
    world.kill("ada");
    joins(&mut world, "cleo", &link);
    assert!(is_in(&mut world, "cleo"), "ben let her in");
    let id = world.app("ben").chat().room_named("#tea").expect("his room").id;
    let account = AccountName::parse("cleo").expect("valid");
    let root = group(&mut world, "ben").expect("his").log.state().members[&account].root;
    let ban = RoomCommand::Sure(Box::new(Op::Ban { account, root }));
    world.commands("ben", command::Command::Room(Some(id), ban));
    world.settle();
    assert!(!is_in(&mut world, "cleo"), "she was told");
    world.starts("ada");
    world.settle();
    // Another door, since she knew that one; it is watched with the room's next key.
    let link = self::link(&mut world, "/room link");
    joins(&mut world, "cleo", &link);
    assert!(notices(&mut world, "cleo").contains("does not let you in"));
    joins(&mut world, "dan", &link);
    assert!(is_in(&mut world, "dan"));
}

#[test]
fn links_that_somebody_knew_who_is_out_open_no_more() {
    for banned in [false, true] {
        let mut world = tea(6);
        let old = link(&mut world, "/room link");
        let once = link(&mut world, "/room link once");
        types(&mut world, "ada", if banned { "/ban ben" } else { "/kick ben" });
        world.types("ada", "y");
        world.settle();
        assert!(!is_in(&mut world, "ben"));
        let lines =
            world.lines("ada", "#tea").into_iter().map(|line| line.body).collect::<Vec<_>>().join("\n");
        assert!(lines.contains("the links into this room that ben knew open it no more"), "{lines}");
        assert!(!lines.contains("withdrew"), "{lines}");
        assert!(group(&mut world, "ada").is_some_and(|group| group.log.state().doors.is_empty()));
        for (who, link) in [("ben", &old), ("cleo", &old), ("cleo", &once)] {
            joins(&mut world, who, link);
            assert!(notices(&mut world, who).contains("no longer valid"));
            assert!(!is_in(&mut world, who));
        }
        let next = link(&mut world, "/room link");
        joins(&mut world, "cleo", &next);
        assert!(is_in(&mut world, "cleo"));
        joins(&mut world, "ben", &next);
        assert_eq!(is_in(&mut world, "ben"), !banned, "who has the new one may come back, unless banned");
    }
}

#[test]
fn a_new_link_takes_the_place_of_all_others_on_their_terms() {
    let mut world = tea(7);
    let old = link(&mut world, "/room link for 2h");
    link(&mut world, "/room link once for 4h");
    let new = link(&mut world, "/room link new");
    joins(&mut world, "cleo", &old);
    assert!(notices(&mut world, "cleo").contains("no longer valid"));
    joins(&mut world, "cleo", &new);
    assert!(is_in(&mut world, "cleo"));
    world.passes(3 * 3_600_000);
    joins(&mut world, "dan", &new);
    assert!(notices(&mut world, "dan").contains("no longer valid"));
}

#[test]
fn a_link_made_while_somebody_is_removed_does_not_let_them_back() {
    for seed in 10..16 {
        let mut world = tea(seed);
        types(&mut world, "ada", "/invite dan");
        world.settle();
        types(&mut world, "ada", "/role dan moderator");
        world.settle();
        world.weather(subrosa_tests::network::Weather { delay: 20, jitter: 200, ..Default::default() });
        let room = world.app("ada").chat().room_named("#tea").expect("her room").id;
        let account = AccountName::parse("ben").expect("valid");
        let kick = RoomCommand::Sure(Box::new(Op::Remove { account }));
        world.commands("dan", command::Command::Room(Some(room), RoomCommand::Link(false, None)));
        world.commands("ada", command::Command::Room(Some(room), kick));
        world.settle();
        world.passes(5_000);
        let link = world.copied("dan").pop().expect("it is copied");
        let heads = ["ada", "dan"].map(|who| group(&mut world, who).map(|group| group.log.head()));
        assert!(heads[0].is_some() && heads[0] == heads[1], "{heads:?}");
        let log = &group(&mut world, "dan").expect("his").log;
        let at = |wanted: fn(&Op) -> bool| log.entries(0).iter().position(|entry| wanted(&entry.said.op));
        let removed = at(|op| matches!(op, Op::Remove { .. })).expect("ben is out");
        let made = at(|op| matches!(op, Op::Door { terms: Some(_), .. })).expect("dan made a link");
        let open = !log.state().doors.is_empty();
        // What ben may have heard of is closed.
        assert_eq!(open, removed < made, "seed {seed}");
        joins(&mut world, "cleo", &link);
        assert_eq!(is_in(&mut world, "cleo"), open, "seed {seed}");
    }
}
