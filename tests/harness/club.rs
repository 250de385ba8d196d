//! Rooms of several people, as stories see them.

use crate::World;
use subrosa::chat::groups::Group;
use subrosa::chat::timeline::{Author, Line};
use subrosa::ui::command::{self, Command};
use subrosa::ui::rooms::RoomCommand;
use subrosa_shared::id::{AccountName, RoomId};
use subrosa_shared::session::roomlog::Op;

/// Ada's room `#club` with the others in it.
pub fn club(seed: u64, others: &[&str]) -> World {
    let all: Vec<&str> = ["ada"].into_iter().chain(others.iter().copied()).collect();
    let mut world = World::with(seed, &all);
    let typed = format!("/room new club {}", others.join(" "));
    world.commands("ada", command::parse(&typed).expect("a command"));
    world.settle();
    world
}

/// A command about a room, as typed, without what is asked once more.
pub fn does(world: &mut World, who: &str, room: &str, typed: &str) {
    let id = id(world, who, room);
    let Command::Room(_, command) = command::parse(typed).expect("a command") else { panic!("about a room") };
    let sure = match command {
        RoomCommand::Kick(account) => RoomCommand::Sure(Box::new(Op::Remove { account })),
        RoomCommand::Leave => {
            let account = world.app(who).chat().name.clone();
            RoomCommand::Sure(Box::new(Op::Remove { account }))
        }
        RoomCommand::HandOver(account) => RoomCommand::Sure(Box::new(Op::HandOver { account })),
        RoomCommand::Delete => RoomCommand::Sure(Box::new(Op::Delete)),
        RoomCommand::Ban(account) => {
            let root = group(world, who, room).log.state().members[&account].root;
            RoomCommand::Sure(Box::new(Op::Ban { account, root }))
        }
        command => command,
    };
    world.commands(who, Command::Room(Some(id), sure));
}

/// Writes in a room.
pub fn speaks(world: &mut World, who: &str, room: &str, text: &str) {
    let id = id(world, who, room);
    world.commands(who, Command::Open(id));
    world.commands(who, Command::Say(text.into()));
}

/// The number of a room that somebody is in, or was.
pub fn id(world: &mut World, who: &str, room: &str) -> RoomId {
    world.app(who).chat().room_named(room).unwrap_or_else(|| panic!("{who} knows {room}")).id
}

/// A room as somebody has it.
pub fn group<'a>(world: &'a mut World, who: &str, room: &str) -> &'a Group {
    let id = id(world, who, room);
    world.app(who).chat().group(id).expect("a room of several")
}

/// Who is in, by one's own log.
pub fn people(world: &mut World, who: &str, room: &str) -> Vec<String> {
    group(world, who, room).log.state().members.keys().map(ToString::to_string).collect()
}

/// Height and head of somebody's log.
pub fn head(world: &mut World, who: &str, room: &str) -> (u64, [u8; 32]) {
    let log = &group(world, who, room).log;
    (log.height(), log.head())
}

/// What people said in a room, in the order in which it is shown.
pub fn lines(world: &mut World, who: &str, room: &str) -> Vec<Line> {
    let mut lines = world.lines(who, room);
    lines.retain(|line| matches!(line.author, Author::Me | Author::Them));
    lines.sort_by_key(|line| (line.more.clock, line.id));
    lines
}

/// The same as text, with who said it.
pub fn said(world: &mut World, who: &str, room: &str) -> Vec<String> {
    let by =
        |line: &Line| line.more.by.clone().unwrap_or_else(|| AccountName::parse("nobody").expect("valid"));
    lines(world, who, room).iter().map(|line| format!("{}: {}", by(line), line.body)).collect()
}
