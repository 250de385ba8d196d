//! What is seen of people: their lines, their screens, what they were told.

use super::{Seen, World};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use subrosa::app::{App, history};
use subrosa::chat::timeline::{Author, Line, LineState};
use subrosa::effect::Happened;
use subrosa::event::Event;
use subrosa::ui::view::{self, Pictures};
use subrosa_shared::id::RoomId;
use subrosa_shared::store::Store;

impl World {
    /// The texts in a person's conversation with another, oldest first, from the disk.
    pub fn timeline(&mut self, name: &str, with: &str) -> Vec<String> {
        let lines = self.lines(name, with);
        let said = |line: &Line| matches!(line.author, Author::Me | Author::Them);
        lines.into_iter().filter(said).map(|line| line.body).collect()
    }

    /// All lines of a conversation, from the disk.
    pub fn lines(&mut self, name: &str, with: &str) -> Vec<Line> {
        self.room(name, with).map_or_else(Vec::new, |room| self.lines_of(name, room))
    }

    /// All lines of that conversation, from the disk.
    pub fn lines_of(&mut self, name: &str, room: RoomId) -> Vec<Line> {
        let disk = self.person(name).disk.clone();
        let page = history(&disk, room, u64::MAX, usize::MAX).expect("a memory store reads");
        page.lines.into_iter().map(|(_, line)| line).collect()
    }

    /// How far the own lines got.
    pub fn marks(&mut self, name: &str, with: &str) -> Vec<LineState> {
        let lines = self.lines(name, with);
        lines.into_iter().filter(|line| line.author == Author::Me).map(|line| line.state).collect()
    }

    /// A person's running client.
    pub fn app(&mut self, name: &str) -> &App {
        self.person(name).app.as_ref().expect("the client runs")
    }

    /// What scripts were told since the last call.
    pub fn told(&mut self, name: &str) -> Vec<Happened> {
        std::mem::take(&mut self.person(name).told)
    }

    /// Notifications since the last call.
    pub fn notified(&mut self, name: &str) -> Vec<String> {
        std::mem::take(&mut self.person(name).notified)
    }

    /// What was copied to the clipboard since the last call.
    pub fn copied(&mut self, name: &str) -> Vec<String> {
        std::mem::take(&mut self.person(name).copied)
    }

    /// The title of a person's window.
    pub fn title(&mut self, name: &str) -> String {
        self.person(name).title.clone()
    }

    /// The screen as text.
    pub fn screen(&mut self, name: &str, width: u16, height: u16) -> String {
        self.event(name, Event::Resize(width, height));
        let now = self.now_of(name);
        let person = self.person(name);
        let app = person.app.as_ref().expect("the client runs");
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a test terminal is made");
        let shown = person.studio.shown.last().filter(|_| !person.studio.blank);
        let theirs = shown.map(|(_, picture)| picture);
        let pictures = Pictures { theirs, ..Pictures::default() };
        terminal
            .draw(|frame| view::draw(app.chat(), app.ui(), &pictures, now, frame))
            .expect("a test terminal draws");
        terminal.backend().to_string()
    }

    /// A person's disk.
    pub fn disk(&mut self, name: &str) -> Store {
        self.person(name).disk.clone()
    }

    /// What the relay saw since the last call; from the first call on it is written down.
    pub fn seen(&mut self) -> Vec<Seen> {
        self.seen.replace(Vec::new()).unwrap_or_default()
    }

    pub(super) fn room(&mut self, name: &str, with: &str) -> Option<RoomId> {
        if with.starts_with('#') {
            return self.app(name).chat().room_named(with).map(|room| room.id);
        }
        let disk = self.person(name).disk.clone();
        let rows = disk
            .records
            .scan(subrosa::chat::room::ROOMS, &[], &[], subrosa_shared::store::Order::Forward, usize::MAX)
            .expect("a memory store reads");
        rows.into_iter().find_map(|(key, value)| {
            let kept: subrosa::chat::room::Kept = postcard::from_bytes(&value).expect("a room reads");
            (kept.with.as_ref().is_some_and(|name| name.as_str() == with))
                .then(|| RoomId(key.try_into().expect("16 bytes")))
        })
    }
}
