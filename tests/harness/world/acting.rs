//! What people do: keys, commands, words; one event after the other, as a program takes them.

use super::World;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use subrosa::chat::timeline::{LINES, Line};
use subrosa::effect::Effect;
use subrosa::event::Event;
use subrosa::ui::command::Command;
use subrosa::ui::rooms::RoomCommand;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::frame::ToRelay;
use subrosa_shared::store::{Batch, Order};

impl World {
    /// Types, as on a keyboard: `\n` is Enter.
    pub fn types(&mut self, name: &str, text: &str) {
        for c in text.chars() {
            let code = if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) };
            self.press(name, code, KeyModifiers::NONE);
        }
    }

    /// Presses one key.
    pub fn press(&mut self, name: &str, code: KeyCode, modifiers: KeyModifiers) {
        self.event(name, Event::Key(KeyEvent::new(code, modifiers)));
    }

    /// Gives a command, as a script does.
    pub fn commands(&mut self, name: &str, command: Command) {
        self.event(name, Event::Run(command));
    }

    /// Writes to somebody, whichever conversation is open.
    pub fn says(&mut self, name: &str, to: &str, text: &str) {
        self.commands(name, Command::Tell(AccountName::parse(to).expect("valid"), text.into()));
    }

    /// Brings one event to a person's client, if it runs: after those that wait, as a program takes them.
    pub fn event(&mut self, name: &str, event: Event) {
        self.waiting.push_back((name.to_owned(), event));
        self.carries_out(name, Vec::new());
    }

    /// Carries out what a client wants; what comes of it is taken after all of it.
    pub(super) fn carries_out(&mut self, name: &str, effects: Vec<Effect>) {
        let busy = std::mem::replace(&mut self.busy, true);
        self.perform(name, effects);
        if busy {
            return;
        }
        while let Some((name, event)) = self.waiting.pop_front() {
            self.takes(&name, event);
        }
        self.busy = false;
    }

    pub(super) fn takes(&mut self, name: &str, event: Event) {
        let now = self.now_of(name);
        let Some(app) = &mut self.person(name).app else { return };
        let effects = app.update(event, now);
        self.perform(name, effects);
        self.welcome(name);
    }

    /// A person writes down another's name before that one ever writes.
    pub fn knows(&mut self, name: &str, other: &str) {
        self.commands(name, Command::Add(AccountName::parse(other).expect("valid")));
        self.settle();
    }

    /// Whoever has a client of their own making: their lines, with where each stands, are stored in another way.
    pub fn rewrites(&mut self, name: &str, change: impl Fn(&mut Batch, Vec<u8>, Line)) {
        self.kill(name);
        let (disk, mut batch) = (self.disk(name), Batch::default());
        let lines = disk.records.scan(LINES, &[], &[], Order::Forward, usize::MAX);
        for (place, line) in lines.expect("a memory store reads") {
            change(&mut batch, place, Line::read(&line).expect("a line"));
        }
        disk.commit(&batch).expect("a memory store writes");
        self.starts(name);
        self.settle();
    }

    /// A client of somebody's own making says that to the relay, on the connection of a person's machine.
    pub fn tells_relay(&mut self, name: &str, frame: ToRelay) {
        self.sends(name, frame);
    }

    /// A person who decides on strangers by the story's commands only.
    pub fn is_wary(&mut self, name: &str) {
        self.person(name).welcoming = false;
    }

    /// Accepts whoever waits to be let in.
    pub(super) fn welcome(&mut self, name: &str) {
        let person = self.person(name);
        let Some(app) = person.app.as_ref().filter(|_| person.welcoming) else { return };
        let stranger = app.chat().rooms.iter().find(|room| room.person.is_request());
        let invited = stranger.filter(|room| room.group.is_some()).map(|room| room.id);
        if let Some(room) = invited {
            self.event(name, Event::Run(Command::Room(Some(room), RoomCommand::Accept)));
        } else if let Some(with) = stranger.and_then(|room| room.with().cloned()) {
            self.event(name, Event::Run(Command::Accept(Some(with))));
        }
    }
}
