//! A line is picked, by keys or by a click, and keys act on it; and what is being written is an answer
//! or other words for a line.

use super::act::{self, LineCommand, first_words};
use super::command::{Command, UiCommand};
use super::dialog::Dialog;
use super::theme::Role;
use super::view::{self, Screen};
use super::{Ui, text};
use crate::chat::Chat;
use crate::chat::deeds::NAMED;
use crate::chat::room::Room;
use crate::chat::timeline::{Author, Line};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use subrosa_shared::id::MessageId;
use subrosa_shared::time::Now;

/// The line that commands are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Which.
    pub id: MessageId,
    /// Keys act on it; else something is written about it.
    pub keys: bool,
}

/// What the text being written is, when it is no message of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Answer or other words.
    pub what: What,
    /// The line.
    pub on: MessageId,
    /// What was being written before, and comes back.
    pub stash: String,
    /// The line disappears: its words are kept nowhere once they are not being written any more.
    pub fleeting: bool,
}

/// Answer or other words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// An answer to the line.
    Answer,
    /// The line, in other words.
    Edit,
}

/// The keys of a picked line, for help.
pub const KEYS: &[(&str, &str)] = &[
    ("Ctrl+g, Ctrl+Up", "Pick a message; Up and Down go to another, Esc ends it"),
    ("r, q, Enter", "Answer the picked message"),
    ("e", "Edit it, when it is yours (Up on an empty line edits your last one)"),
    ("d, Delete", "Delete it for everybody, when it is yours"),
    ("+, a", "React to it; 1 to 9 set a sign at once"),
    ("p", "Pin it, or not any more"),
    ("f", "Forward it"),
    ("y, c", "Copy it"),
    ("g", "Go to the message that it answers; b goes back"),
    ("/", "Write a /command about it"),
];

impl Ui {
    /// A key while a line is picked; `None` when it is none of this.
    pub(super) fn pick_key(&mut self, name: &str, chat: &Chat, now: Now) -> Option<Vec<Command>> {
        let id = self.pick.filter(|pick| pick.keys)?.id;
        let about = |command| Command::Line(Some(id), command);
        let command = match name {
            "Up" | "k" | "Ctrl+p" | "Ctrl+Up" => return Some(self.step_pick(-1, chat)),
            "Down" | "j" | "Ctrl+n" | "Ctrl+Down" => return Some(self.step_pick(1, chat)),
            "PageUp" => return Some(self.step_pick(-10, chat)),
            "PageDown" => return Some(self.step_pick(10, chat)),
            "Home" => return Some(self.step_pick(i64::MIN, chat)),
            "End" | "G" => return Some(self.step_pick(i64::MAX, chat)),
            "Esc" | "Ctrl+g" | "Ctrl+c" | "i" => {
                self.unpick();
                return Some(Vec::new());
            }
            "r" | "q" | "Enter" => about(LineCommand::Reply(None)),
            "e" => about(LineCommand::Edit(None)),
            "d" | "Delete" => about(LineCommand::Delete),
            "+" | "a" => about(LineCommand::React(None, None)),
            "p" => about(LineCommand::Pin(None)),
            "f" => about(LineCommand::Forward(None)),
            "y" | "c" => about(LineCommand::Copy),
            "g" => match chat.shown(chat.current()?).find(&id).and_then(|(_, line)| line.more.reply) {
                Some(to) => {
                    self.jumps.push(id);
                    Command::ToLine(to)
                }
                None => {
                    self.notice("That message answers no other.".into(), false, now);
                    return Some(Vec::new());
                }
            },
            "b" | "Backspace" => match self.jumps.pop() {
                Some(from) => Command::ToLine(from),
                None => {
                    self.notice("There is nothing to go back to.".into(), false, now);
                    return Some(Vec::new());
                }
            },
            "/" => {
                self.pick = Some(Pick { id, keys: false });
                return None;
            }
            "?" => return Some(self.run(UiCommand::Help, chat, now)),
            digit if digit.len() == 1 && ("1"..="9").contains(&digit) => {
                let nth = digit.parse::<usize>().unwrap_or(1) - 1;
                about(LineCommand::React(NAMED.get(nth).map(|(_, sign)| (*sign).to_owned()), None))
            }
            // No letter goes astray into the line being written.
            name if name.chars().count() == 1 || name == "Space" || name == "Tab" => {
                return Some(Vec::new());
            }
            _ => return None,
        };
        self.now = now;
        Some(self.about_line(command, chat, true))
    }

    /// Begins to pick; or goes on to the one above.
    pub(super) fn begin_pick(&mut self, chat: &Chat, now: Now) {
        match self.pick {
            Some(pick) => self.pick = Some(Pick { keys: true, ..pick }),
            None => match chat.current().and_then(|room| self.first_pick(room, chat)) {
                Some(id) => self.go_to(id, chat),
                None => self.notice("There is no message here to pick.".into(), false, now),
            },
        }
    }

    /// What picking begins with: the message that was found, where it is in sight, else the lowest one there.
    fn first_pick(&self, room: &Room, chat: &Chat) -> Option<MessageId> {
        let (lines, area) = (chat.shown(room), self.lines_area(chat));
        let screen = Screen { chat, ui: self, now: self.now };
        let rows = view::layout(&screen, room, area.width).visible(self.scroll, area.height.into());
        let in_sight = rows.iter().rev().filter_map(|row| lines.get(row.line?));
        let in_sight: Vec<MessageId> = in_sight.filter(|line| line.is_said()).map(|line| line.id).collect();
        let finding = self.walk.as_ref().and(chat.finding.as_ref());
        let found = finding.and_then(|finding| finding.hits.get(finding.at?)).map(|hit| hit.line.id);
        let newest = || lines.lines().rev().map(|(_, line)| line).find(|line| line.is_said());
        found
            .filter(|id| in_sight.contains(id))
            .or_else(|| in_sight.first().copied())
            .or_else(|| newest().map(|line| line.id))
    }

    /// Picks that line, which is in memory, and has it in sight.
    pub fn go_to(&mut self, id: MessageId, chat: &Chat) {
        let Some(room) = chat.current() else { return };
        let lines = chat.shown(room);
        let Some(shown) = lines.find(&id).and_then(|(pos, _)| lines.shown(pos)) else { return };
        self.pick = Some(Pick { id, keys: true });
        let area = self.lines_area(chat);
        let screen = Screen { chat, ui: self, now: self.now };
        let layout = view::layout(&screen, room, area.width);
        self.scroll = layout.showing(shown, self.scroll, area.height.into());
    }

    /// Nothing is picked any more.
    pub(super) fn unpick(&mut self) {
        self.pick = None;
        self.jumps.clear();
    }

    fn step_pick(&mut self, by: i64, chat: &Chat) -> Vec<Command> {
        let Some((room, pick)) = chat.current().zip(self.pick) else { return Vec::new() };
        let timeline = chat.shown(room);
        let fits = |line: &Line| matches!(line.author, Author::Me | Author::Them) && !line.body.is_empty();
        let ids: Vec<MessageId> =
            timeline.lines().filter(|(_, line)| fits(line)).map(|(_, line)| line.id).collect();
        let here = ids.iter().position(|id| *id == pick.id);
        // One that is gone: from where the newest stands.
        let here = here.unwrap_or(ids.len()) as i64;
        let last = ids.len() as i64 - 1;
        if by == 1 && here >= last {
            // Down from the newest one is back to writing.
            self.unpick();
            return Vec::new();
        }
        let to = here.saturating_add(by).clamp(0, last.max(0));
        if let Some(id) = usize::try_from(to).ok().and_then(|to| ids.get(to)) {
            self.go_to(*id, chat);
        }
        Vec::new()
    }

    /// A click on that row of the lines.
    pub(super) fn click_line(&mut self, area: Rect, y: u16, chat: &Chat) {
        let Some(room) = chat.current() else { return };
        let screen = Screen { chat, ui: self, now: self.now };
        let rows = view::layout(&screen, room, area.width).visible(self.scroll, area.height.into());
        let top = area.bottom() - (rows.len() as u16).min(area.height);
        let row = y.checked_sub(top).and_then(|y| rows.get(usize::from(y)));
        let line = row.and_then(|row| chat.shown(room).get(row.line?));
        let Some(line) = line.filter(|line| line.is_said()) else { return };
        match self.pick == Some(Pick { id: line.id, keys: true }) {
            true => self.unpick(),
            false => self.pick = Some(Pick { id: line.id, keys: true }),
        }
    }

    /// A command about a line: what the screen does of it, and the rest for the app. `ask`: what cannot
    /// be taken back is asked for once more.
    pub(super) fn about_line(&mut self, command: Command, chat: &Chat, ask: bool) -> Vec<Command> {
        let Command::Line(on, command) = command else { return vec![command] };
        let Some(room) = chat.current() else { return vec![Command::Line(on, command)] };
        let picked = self.pick.map(|pick| pick.id);
        let Some(id) = on.or(picked).or_else(|| act::meant(room, &command)) else {
            self.notice("There is no such message here.".into(), true, self.now);
            return Vec::new();
        };
        let line = in_memory(chat, room, &id);
        let kept =
            matches!(command, LineCommand::React(Some(_), _) | LineCommand::Pin(_) | LineCommand::Copy);
        if self.pick.is_some_and(|pick| !pick.keys || !kept) {
            self.unpick();
        }
        match (command, line) {
            (LineCommand::React(None, _), Some(_)) => self.dialogs.push(act::signs(id)),
            (LineCommand::Forward(None), Some(_)) => self.dialogs.push(Dialog::forward(id, chat)),
            (LineCommand::Delete, Some(line)) if ask && line.is_said() => {
                self.dialogs.push(act::delete(id, line));
            }
            // Nobody deletes words that they are not shown.
            (LineCommand::Delete, None) if ask => {
                let why = "That message is out of sight: go to it first, and delete it there.";
                self.notice(why.into(), true, self.now);
            }
            (command, _) => return vec![Command::Line(Some(id), command)],
        }
        Vec::new()
    }

    /// Up on an empty line: other words for the last own message. False when there is none.
    pub(super) fn edit_last(&mut self, chat: &Chat) -> Option<Command> {
        let room = chat.current().filter(|_| self.about.is_none())?;
        let edit = LineCommand::Edit(None);
        act::meant(room, &edit).map(|id| Command::Line(Some(id), edit))
    }

    /// What is written from now on is about that line.
    pub fn write_about(&mut self, what: What, on: MessageId, body: &str) {
        self.unpick();
        self.end_about();
        let stash = match what {
            What::Answer => String::new(),
            What::Edit => {
                let slash = if body.starts_with('/') { "/" } else { "" };
                let before = self.composer.text().to_owned();
                self.composer.set(format!("{slash}{body}"));
                before
            }
        };
        self.about = Some(About { what, on, stash, fleeting: false });
        self.popup = None;
    }

    /// The line that is being written about disappears.
    pub fn keep_nowhere(&mut self) {
        if let Some(about) = &mut self.about {
            about.fleeting = true;
        }
    }

    /// The line that is being said in other words.
    pub fn reworded(&self) -> Option<MessageId> {
        self.about.as_ref().filter(|about| about.what == What::Edit).map(|about| about.on)
    }

    /// What is being said in other words has no words any more: they go from the composer too.
    pub fn forget_reworded(&mut self) {
        // Nor are they there to undo or to yank.
        self.composer.take_unkept();
        self.end_about();
    }

    /// Nobody is asked about words that are gone.
    pub fn unask_gone(&mut self, chat: &Chat) {
        let gone = |id: &MessageId| {
            let line = chat.current().and_then(|room| in_memory(chat, room, id));
            line.is_none_or(|line| !line.is_said())
        };
        let asks = |dialog: &Dialog| match dialog {
            Dialog::Confirm { yes: Command::Line(Some(id), LineCommand::Delete), .. } => gone(id),
            _ => false,
        };
        self.dialogs.retain(|dialog| !asks(dialog));
    }

    /// What is written is a message of its own again. False when it was.
    pub(super) fn end_about(&mut self) -> bool {
        let Some(about) = self.about.take() else { return false };
        if about.what == What::Edit {
            if about.fleeting {
                self.composer.take_unkept();
            }
            self.composer.set(about.stash);
        }
        true
    }

    /// Enter, with a text that is about a line.
    pub(super) fn submit_about(&mut self, text: String) -> Command {
        match self.about.take() {
            Some(About { what: What::Answer, on, .. }) => {
                Command::Line(Some(on), LineCommand::Reply(Some(text)))
            }
            Some(About { what: What::Edit, on, stash, .. }) => {
                self.composer.set(stash);
                Command::Line(Some(on), LineCommand::Edit(Some(text)))
            }
            None => Command::Say(text),
        }
    }

    /// The row above the line being written, where it is about another line.
    pub(super) fn context(&self, chat: &Chat) -> Option<String> {
        let room = chat.current()?;
        if self.pick.is_some_and(|pick| pick.keys) {
            return Some(
                "r reply  e edit  d delete  + react  p pin  f forward  y copy  g quoted  Esc".into(),
            );
        }
        let about = self.about.as_ref()?;
        let line = chat.shown(room).quoted(&about.on).or_else(|| room.timeline.quoted(&about.on));
        let said = line.map_or_else(String::new, |line| first_words(&line.body, 40));
        Some(match (about.what, line) {
            (What::Edit, Some(_)) => format!("editing «{said}»  Enter saves, Esc leaves it"),
            (What::Edit, None) => "editing a message that is out of sight  Enter saves, Esc leaves it".into(),
            (What::Answer, Some(line)) => {
                format!("answering {}: «{said}»  Esc ends that", author(chat, room, line))
            }
            (What::Answer, None) => "answering a message that is out of sight  Esc ends that".into(),
        })
    }
}

/// The line, where it is shown or among the newest ones.
fn in_memory<'a>(chat: &'a Chat, room: &'a Room, id: &MessageId) -> Option<&'a Line> {
    chat.shown(room).find(id).or_else(|| room.timeline.find(id)).map(|(_, line)| line)
}

/// Draws what the composer is about.
pub fn draw(screen: &Screen, area: Rect, buf: &mut Buffer) {
    if let Some(said) = screen.ui.context(screen.chat).filter(|_| !area.is_empty()) {
        let width = usize::from(area.width.saturating_sub(2));
        let style = screen.ui.theme.style(Role::Accent);
        buf.set_stringn(area.x + 1.min(area.width - 1), area.y, text::truncate(&said, width), width, style);
    }
}

/// How the author of a line is called.
pub fn author(chat: &Chat, room: &Room, line: &Line) -> String {
    match (line.author, &line.more.by) {
        (Author::Me, _) => "yourself".into(),
        (_, Some(by)) => chat.name_of(room.id, by),
        _ => text::line(room.name()),
    }
}
