//! Rooms of several people: who is in, what they read, and what a hostile relay cannot do.

use subrosa::chat::timeline::{Author, LineState};
use subrosa::effect::Happened;
use subrosa::ui::command::{self, Command};
use subrosa::ui::rooms::RoomCommand;
use subrosa_shared::id::AccountName;
use subrosa_shared::session::roomlog::{Op, Role};
use subrosa_tests::World;
use subrosa_tests::network::Weather;

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("valid")
}

/// A command about a room, as typed, without what is asked once more.
fn does(world: &mut World, who: &str, room: &str, typed: &str) {
    let id = world.app(who).chat().room_named(room).expect("in that room").id;
    let Command::Room(_, command) = command::parse(typed).expect("a command") else { panic!("about a room") };
    let sure = match command {
        RoomCommand::Kick(account) => RoomCommand::Sure(Box::new(Op::Remove { account })),
        RoomCommand::Leave => RoomCommand::Sure(Box::new(Op::Remove { account: account_of(world, who) })),
        RoomCommand::HandOver(account) => RoomCommand::Sure(Box::new(Op::HandOver { account })),
        RoomCommand::Delete => RoomCommand::Sure(Box::new(Op::Delete)),
        RoomCommand::Ban(account) => {
            let group = world.app(who).chat().group(id).expect("a room");
            let root = group.log.state().members[&account].root;
            RoomCommand::Sure(Box::new(Op::Ban { account, root }))
        }
        command => command,
    };
    world.commands(who, Command::Room(Some(id), sure));
}

fn account_of(world: &mut World, who: &str) -> AccountName {
    world.app(who).chat().name.clone()
}

fn speaks(world: &mut World, who: &str, room: &str, text: &str) {
    let id = world.app(who).chat().room_named(room).expect("in that room").id;
    world.commands(who, Command::Open(id));
    world.commands(who, Command::Say(text.into()));
}

/// Who is in, by one's own log.
fn people(world: &mut World, who: &str, room: &str) -> Vec<String> {
    let chat = world.app(who).chat();
    let room = chat.room_named(room).expect("in that room").id;
    chat.group(room).expect("a room").log.state().members.keys().map(ToString::to_string).collect()
}

fn head(world: &mut World, who: &str, room: &str) -> (u64, [u8; 32]) {
    let chat = world.app(who).chat();
    let room = chat.room_named(room).expect("in that room").id;
    let log = &chat.group(room).expect("a room").log;
    (log.height(), log.head())
}

fn grey(world: &mut World, who: &str, room: &str) -> Vec<String> {
    let lines = world.lines(who, room).into_iter().filter(|line| line.author == Author::Note);
    lines.map(|line| line.body).collect()
}

fn alarms(world: &mut World, who: &str, room: &str) -> Vec<String> {
    let lines = world.lines(who, room).into_iter().filter(|line| line.author == Author::Alarm);
    lines.map(|line| line.body).collect()
}

fn notices(world: &mut World, who: &str) -> String {
    let told = world.told(who).into_iter().filter_map(|told| match told {
        Happened::Notice { text, .. } => Some(text),
        _ => None,
    });
    told.collect::<Vec<_>>().join("\n")
}

/// What was said, with who said it, in the order in which it is shown.
fn said(world: &mut World, who: &str, room: &str) -> Vec<String> {
    let mut lines = world.lines(who, room);
    lines.retain(|line| matches!(line.author, Author::Me | Author::Them));
    lines.sort_by_key(|line| (line.more.clock, line.id));
    lines.iter().map(|line| format!("{}: {}", line.more.by.as_ref().expect("of a member"), line.body)).collect()
}

/// Ada's room with the others in it.
fn club(seed: u64, others: &[&str]) -> World {
    let all: Vec<&str> = ["ada"].into_iter().chain(others.iter().copied()).collect();
    let mut world = World::with(seed, &all);
    let typed = format!("/room new club {}", others.join(" "));
    world.commands("ada", command::parse(&typed).expect("a command"));
    world.settle();
    world
}

#[test]
fn a_room_is_founded_people_come_in_and_all_read_what_each_says() {
    let mut world = club(1, &["ben", "cleo", "dan"]);
    for who in ["ada", "ben", "cleo", "dan"] {
        assert_eq!(people(&mut world, who, "#club"), ["ada", "ben", "cleo", "dan"], "{who}");
        assert_eq!(head(&mut world, who, "#club"), head(&mut world, "ada", "#club"), "{who}");
    }
    speaks(&mut world, "ada", "#club", "welcome");
    world.settle();
    speaks(&mut world, "dan", "#club", "hello all");
    world.settle();
    speaks(&mut world, "cleo", "#club", "hi");
    world.settle();
    for who in ["ada", "ben", "cleo", "dan"] {
        assert_eq!(said(&mut world, who, "#club"), ["ada: welcome", "dan: hello all", "cleo: hi"], "{who}");
        assert!(alarms(&mut world, who, "#club").is_empty(), "{who}");
    }
    assert!(grey(&mut world, "ada", "#club").contains(&"you added cleo".to_string()));
    assert_eq!(world.marks("ada", "#club"), [LineState::Delivered]);
}
