//! What the person sees and presses.
//!
//! | module | what lives there |
//! |---|---|
//! | [`command`], [`keymap`] | everything that can be asked for; the keys that ask for it |
//! | [`composer`], [`complete`] | the line being written; the popup that completes it |
//! | [`view`] | the screen: panes of [`sidebar`], [`timeline`], [`video`], [`status`], dialogs on top |
//! | [`dialog`], [`help`] | switcher, help, questions, text |
//! | [`people`], [`verify`], [`profile`] | who is who; the safety number; what they say of themselves |
//! | [`pick`], [`act`], [`pins`] | a line is picked; what is done with it; what is pinned |
//! | [`search`] | what is looked for and what was found; walking along it |
//! | [`ask`], [`password`] | a new passphrase; a new password, and one that a room asks for |
//! | [`card`] | text about something, with keys that change it |
//! | [`files`] | files on their way |
//! | [`lock`] | the screen of a locked client, which shows nothing |
//! | [`picture`] | what may be changed of the own picture by hand |
//! | [`setup`] | the screens before there is a conversation |
//! | [`text`], [`theme`] | foreign text made harmless and measured; colours |

pub mod act;
pub mod ask;
pub mod card;
pub mod command;
pub mod complete;
pub mod composer;
pub mod devices;
pub mod dialog;
pub mod files;
pub mod help;
pub mod keymap;
pub mod lock;
pub mod password;
pub mod people;
pub mod pick;
pub mod picture;
pub mod pins;
pub mod profile;
pub mod rooms;
pub mod search;
pub mod sessions;
pub mod setup;
pub mod sidebar;
pub mod status;
pub mod strength;
#[cfg(test)]
mod tests;
pub use crate::text;
pub mod theme;
pub mod timeline;
pub mod verify;
pub mod video;
pub mod view;

use crate::chat::Chat;
use crate::chat::call::CallState;
use crate::chat::search::index::Side;
use crate::chat::timeline::Author;
use crate::config::Config;
use crate::files::names;
use crate::term::Caps;
use act::LineCommand;
use command::{Command, UiCommand};
use complete::Popup;
use composer::{Composer, Edit, TooLong};
use crossterm::event::{KeyEvent, KeyEventKind, MouseButton, MouseEvent, MouseEventKind};
use dialog::{Dialog, Step};
use files::FilesCommand;
use jiff::tz::TimeZone;
use keymap::Action;
use pick::{About, Pick, What};
use profile::Sheet;
use ratatui::layout::Rect;
use std::collections::HashMap;
use std::io::Read;
use std::time::Duration;
use subrosa_shared::content::TEXT_MAX;
use subrosa_shared::id::{MessageId, RoomId};
use subrosa_shared::time::{Millis, Now};
use theme::Theme;
use timeline::Scroll;
use verify::Verify;
use view::Screen;

/// All state of the screen: what is typed, scrolled, opened on top.
pub struct Ui {
    size: (u16, u16),
    focused: bool,
    caps: Caps,
    theme: Theme,
    /// By which name or file the theme was chosen.
    look: String,
    zone: TimeZone,
    clock_24: bool,
    sidebar: bool,
    sidebar_width: u16,
    hints: bool,
    dialogs: Vec<Dialog>,
    popup: Option<Popup>,
    composer: Composer,
    asides: HashMap<RoomId, Aside>,
    open: Option<RoomId>,
    scroll: Scroll,
    /// The line that keys act on.
    pick: Option<Pick>,
    /// Where jumps to quoted lines began.
    jumps: Vec<MessageId>,
    /// What is being written is about a line.
    about: Option<About>,
    /// The person walks along what was found.
    walk: Option<search::Walk>,
    notice: Option<Notice>,
    prefix: Option<String>,
    leaving: Option<Millis>,
    redraw: bool,
    now: Now,
}

/// What is kept of a conversation that is not open.
#[derive(Default)]
struct Aside {
    draft: String,
    past: Vec<String>,
    about: Option<About>,
}

struct Notice {
    text: String,
    error: bool,
    /// Monotonic; errors have none.
    until: Option<Millis>,
}

impl Ui {
    /// An empty screen of 80×24 until the first [`Ui::resize`].
    pub fn new(config: &Config, caps: Caps) -> Self {
        let mut ui = Self {
            size: (80, 24),
            focused: true,
            caps,
            theme: Theme::plain(),
            look: config.screen.theme.clone(),
            zone: TimeZone::system(),
            clock_24: config.screen.clock_24,
            sidebar: true,
            sidebar_width: config.screen.sidebar.clamp(10, 60),
            hints: config.screen.hints,
            dialogs: Vec::new(),
            popup: None,
            composer: Composer::default(),
            asides: HashMap::new(),
            open: None,
            scroll: Scroll::Bottom,
            pick: None,
            jumps: Vec::new(),
            about: None,
            walk: None,
            notice: None,
            prefix: None,
            leaving: None,
            redraw: false,
            now: Now { wall: Millis(0), mono: Millis(0) },
        };
        match theme(&config.screen.theme, caps) {
            Ok(theme) => ui.theme = theme,
            Err(why) => {
                ui.theme = Theme::named("dark", caps.depth).unwrap_or_else(Theme::plain);
                ui.notice = Some(Notice { text: why, error: true, until: None });
            }
        }
        ui
    }

    /// The terminal can do something else than was thought.
    pub fn learn(&mut self, caps: Caps) {
        let depth = std::mem::replace(&mut self.caps, caps).depth;
        if depth != caps.depth {
            // A theme's file that is gone meanwhile leaves its colours as they were.
            self.theme = theme(&self.look, caps).unwrap_or_else(|_| self.theme.clone());
        }
    }

    /// What the terminal can do.
    pub fn caps(&self) -> Caps {
        self.caps
    }

    /// Colours of the text.
    pub fn theme(&self) -> &Theme {
        &self.theme
    }

    /// A key press: dialogs on top first, then the popup, then the keymap, then the composer. Returns
    /// commands for the app, in order; the screen's own are already carried out.
    pub fn key(&mut self, key: KeyEvent, chat: &Chat, now: Now) -> Vec<Command> {
        if key.kind == KeyEventKind::Release {
            return Vec::new();
        }
        self.now = now;
        self.notice.take_if(|notice| notice.error);
        if let Some(dialog) = self.dialogs.last_mut() {
            let asked = if matches!(dialog, Dialog::Confirm { .. }) { Asked::Confirmed } else { Asked::Here };
            let step = dialog.key(key, chat, area(self.size));
            if !matches!(step, Step::Stay | Step::Run(_)) {
                self.dialogs.pop();
            }
            return match step {
                Step::Stay | Step::Close => Vec::new(),
                Step::Run(command) => vec![command],
                Step::Do(command) => self.ask(self.meant(command, chat), chat, asked),
                Step::Write(text) => {
                    self.composer.set(text);
                    self.popup = Popup::offer(&self.composer);
                    Vec::new()
                }
            };
        }
        if self.prefix.is_none()
            && let Some(name) = keymap::chord(key)
            && let Some(commands) = self.pick_key(&name, chat, now)
        {
            return commands;
        }
        let prefix = self.prefix.take();
        let action = keymap::action(prefix.as_deref(), key);
        if !matches!(action, Action::Command(Command::Ui(UiCommand::Interrupt))) {
            self.leaving = None;
        }
        match action {
            Action::Nothing => {}
            Action::Prefix(first) => self.prefix = Some(first),
            Action::Command(command) => return self.ask(self.meant(command, chat), chat, Asked::Here),
            Action::Submit => return self.submit(chat),
            Action::Complete(back) => self.complete(back, chat),
            Action::DeleteOrLeave if self.composer.is_empty() => return vec![Command::Quit],
            Action::DeleteOrLeave => self.edit(Edit::Delete),
            Action::Type(c @ ('n' | 'N')) if self.walk.is_some() && self.composer.is_empty() => {
                return vec![Command::Hit(if c == 'n' { Side::Older } else { Side::Newer })];
            }
            Action::Type('?') if self.composer.is_empty() => self.dialogs.push(Dialog::help()),
            Action::Type(c) => {
                let done = self.composer.type_char(c);
                self.changed(done);
            }
            Action::Edit(Edit::Home) if self.composer.is_empty() => {
                return self.run(UiCommand::Top, chat, now);
            }
            Action::Edit(Edit::End) if self.composer.is_empty() => {
                return self.run(UiCommand::Bottom, chat, now);
            }
            Action::Edit(edit @ (Edit::Up | Edit::Down)) => {
                let choosing = self.popup.as_ref().is_some_and(|popup| !popup.is_reminder());
                if edit == Edit::Up
                    && self.composer.is_empty()
                    && let Some(command) = self.edit_last(chat)
                {
                    return vec![command];
                }
                if choosing { self.complete(edit == Edit::Up, chat) } else { self.edit(edit) }
            }
            Action::Edit(edit) => self.edit(edit),
        }
        Vec::new()
    }

    /// Bracketed paste.
    pub fn paste(&mut self, text: &str, chat: &Chat) -> Vec<Command> {
        self.prefix = None;
        match self.dialogs.last_mut() {
            Some(dialog) => {
                dialog.paste(text);
                if let Dialog::Search(search) = dialog {
                    return vec![search.find()];
                }
            }
            // A terminal pastes the path of a file that is dragged in.
            None if self.composer.is_empty() && chat.open.is_some() && names::may_be_dropped(text) => {
                return vec![Command::Files(FilesCommand::Dropped(text.to_owned()))];
            }
            None => self.write(text),
        }
        Vec::new()
    }

    /// Puts pasted text into the composer.
    pub fn write(&mut self, text: &str) {
        let done = self.composer.paste(text);
        self.changed(done);
    }

    /// The mouse: the wheel scrolls, a click opens a conversation or goes to the newest line.
    pub fn mouse(&mut self, mouse: MouseEvent, chat: &Chat) -> Vec<Command> {
        let step = match mouse.kind {
            MouseEventKind::ScrollUp => -3,
            MouseEventKind::ScrollDown => 3,
            MouseEventKind::Down(MouseButton::Left) => {
                let screen = Screen { chat, ui: self, now: self.now };
                let panes = view::panes(&screen, area(self.size));
                let at = (mouse.column, mouse.row).into();
                if !self.dialogs.is_empty() {
                    return Vec::new();
                }
                if panes.sidebar.contains(at) {
                    let index = sidebar::at(&screen, panes.sidebar, mouse.row);
                    return index.map(|i| Command::Open(chat.rooms[i].id)).into_iter().collect();
                }
                if panes.timeline.contains(at) {
                    self.click_line(panes.timeline, mouse.row, chat);
                }
                if panes.notice.contains(at) && self.noticed(self.now).is_none() {
                    self.scroll = Scroll::Bottom;
                }
                return Vec::new();
            }
            _ => return Vec::new(),
        };
        match self.dialogs.last_mut() {
            Some(Dialog::Text { scroll, .. } | Dialog::Help { scroll }) => {
                *scroll = scroll.saturating_add_signed(step as isize);
            }
            Some(_) => {}
            None => self.scroll_by(step, chat),
        }
        Vec::new()
    }

    /// Columns and rows.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.size = (columns, rows);
    }

    /// The terminal got the focus, or lost it.
    pub fn focus(&mut self, on: bool) {
        self.focused = on;
    }

    /// `$EDITOR` came back: its text goes into the composer.
    pub fn edited(&mut self, text: String) {
        let long = text.len() > TEXT_MAX;
        self.composer.set(text.trim_end().to_owned());
        self.changed(if long { Err(TooLong) } else { Ok(()) });
    }

    /// Carries out a command of the screen; may return further commands for the app.
    pub fn run(&mut self, command: UiCommand, chat: &Chat, now: Now) -> Vec<Command> {
        self.now = now;
        let here = chat.open.and_then(|open| chat.rooms.iter().position(|room| room.id == open));
        let nth = |i: usize| chat.rooms.get(i).map(|room| Command::Open(room.id));
        match command {
            UiCommand::NextUnread => {
                let count = chat.rooms.len();
                let from = here.map_or(0, |i| i + 1);
                let mut next = (0..count).map(|i| (from + i) % count);
                // What is muted waits until nothing else does, and so do strangers.
                let loud = next.clone().find(|i| {
                    let room = &chat.rooms[*i];
                    room.is_loud()
                });
                match loud.or_else(|| next.find(|i| chat.rooms[*i].kept.unread > 0)) {
                    Some(i) => return nth(i).into_iter().collect(),
                    None => self.notice("Nothing is unread.".into(), false, now),
                }
            }
            UiCommand::Nth(n) => match usize::from(n).checked_sub(1).and_then(nth) {
                Some(open) => return vec![open],
                None => self.notice(format!("There is no conversation {n}."), true, now),
            },
            UiCommand::Previous => {
                let i = here.map_or(0, |i| i.checked_sub(1).unwrap_or(chat.rooms.len() - 1));
                return nth(i).into_iter().collect();
            }
            UiCommand::Next => {
                let i = here.map_or(0, |i| if i + 1 < chat.rooms.len() { i + 1 } else { 0 });
                return nth(i).into_iter().collect();
            }
            UiCommand::Switcher => self.dialogs.push(Dialog::switcher()),
            UiCommand::Help => self.dialogs.push(Dialog::help()),
            UiCommand::Scroll(by) => self.scroll_by(by, chat),
            UiCommand::Page(by) => {
                let half = i32::from(self.lines_area(chat).height / 2).max(1);
                self.scroll_by(by.saturating_mul(half), chat);
            }
            UiCommand::Top => self.scroll_to(0, chat),
            UiCommand::Bottom => self.scroll = Scroll::Bottom,
            UiCommand::Unread => match chat.current().and_then(|room| room.divider) {
                Some(pos) => self.scroll_to(pos, chat),
                None => self.notice("Nothing was unread here.".into(), false, now),
            },
            UiCommand::Pick => self.begin_pick(chat, now),
            UiCommand::CopyLine(back) => {
                let room = chat.current();
                let mut lines = room.into_iter().flat_map(|room| room.timeline.lines().rev());
                let line = lines
                    .by_ref()
                    .filter(|(_, line)| {
                        matches!(line.author, Author::Me | Author::Them) && !line.body.is_empty()
                    })
                    .nth(back);
                match line {
                    Some((_, line)) => return vec![Command::Copy(line.body.clone())],
                    None => self.notice("There is no such message here.".into(), true, now),
                }
            }
            UiCommand::CopyUrl => {
                let room = chat.current();
                let url =
                    room.into_iter().flat_map(|room| room.timeline.lines().rev()).find_map(|(_, line)| {
                        let body = text::harmless(&line.body);
                        text::urls(&body).last().map(|range| body[range.clone()].to_owned())
                    });
                match url {
                    Some(url) => return vec![Command::Copy(url)],
                    None => self.notice("There is no web address here.".into(), true, now),
                }
            }
            UiCommand::Theme(name) => match theme(&name, self.caps) {
                Ok(theme) => (self.theme, self.look) = (theme, name),
                Err(why) => self.notice(why, true, now),
            },
            UiCommand::Sidebar => self.sidebar = !self.sidebar,
            UiCommand::Hints => self.hints = !self.hints,
            UiCommand::Redraw => self.redraw = true,
            UiCommand::Editor => return vec![Command::Editor(self.composer.text().to_owned())],
            UiCommand::Write(text) => self.write(&text),
            UiCommand::Interrupt => {
                if !self.composer.is_empty() {
                    self.composer.clear();
                    self.popup = None;
                } else if self.leaving.is_some_and(|until| now.mono < until) {
                    return vec![Command::Quit];
                } else {
                    self.leaving = Some(now.mono.plus(NOTICE));
                    self.notice("Ctrl+c again leaves.".into(), false, now);
                }
            }
            UiCommand::Escape => {
                // One thing at a time, the topmost first.
                let said = self.noticed(now).is_some();
                let closed = self.dialogs.pop().is_some()
                    || self.popup.take().is_some()
                    || self.pick.take().is_some()
                    || self.end_about()
                    || self.notice.take().is_some_and(|_| said);
                if !closed && self.walk.is_some() {
                    return vec![Command::Back];
                }
                if !closed {
                    self.scroll = Scroll::Bottom;
                }
            }
        }
        Vec::new()
    }

    /// A one-line message above the composer: errors stay until the next key, others six seconds.
    pub fn notice(&mut self, text: String, error: bool, now: Now) {
        let until = (!error).then(|| now.mono.plus(NOTICE));
        self.notice = Some(Notice { text: text::line(&text), error, until });
    }

    /// Opens a dialog on top.
    pub fn show(&mut self, dialog: Dialog) {
        self.dialogs.push(dialog);
    }

    /// Closes the text of that heading, if it is open.
    pub fn dismiss(&mut self, heading: &str) {
        self.dialogs.retain(|dialog| !matches!(dialog, Dialog::Text { title, .. } if title == heading));
    }

    /// Whether the text of that heading is open.
    pub fn says(&self, heading: &str) -> bool {
        self.dialogs.iter().any(|dialog| matches!(dialog, Dialog::Text { title, .. } if title == heading))
    }

    /// The text of that heading, if it is open, says this from now on.
    pub fn says_now(&mut self, heading: &str, text: String) {
        for dialog in &mut self.dialogs {
            if let Dialog::Text { title, body, .. } = dialog
                && title == heading
            {
                *body = text;
                return;
            }
        }
    }

    /// Opens the safety number on top.
    pub fn show_verify(&mut self, verify: Verify) {
        let verify = verify.on(self.caps);
        self.dialogs.push(Dialog::Verify(Box::new(verify)));
    }

    /// Opens a profile on top.
    pub fn show_profile(&mut self, sheet: Sheet) {
        let sheet = sheet.on(self.caps);
        self.dialogs.push(Dialog::Profile(Box::new(sheet)));
    }

    /// Whether a message is being written (the typing indicator): text that is not a command.
    pub fn composing(&self) -> bool {
        let text = self.composer.text();
        !text.trim().is_empty() && (!text.starts_with('/') || text.starts_with("//"))
    }

    /// Whether the open conversation's newest line is on a screen that has the focus: it is read.
    pub fn sees_bottom(&self, chat: &Chat) -> bool {
        self.focused
            && chat.open.is_some()
            && self.scroll == Scroll::Bottom
            && self.dialogs.is_empty()
            && self.lines_area(chat).height > 0
    }

    /// Whether an older page of lines should be loaded.
    pub fn wants_older(&self, chat: &Chat) -> bool {
        chat.current().is_some_and(|room| {
            let lines = chat.shown(room);
            let last = match self.scroll {
                Scroll::Bottom => lines.end(),
                Scroll::At { pos, .. } => pos,
            };
            let above = last.saturating_sub(lines.first());
            lines.first() > 0 && above < u64::from(self.size.1) + AHEAD
        })
    }

    /// The app switched conversations: drafts are swapped and the scroll is reset.
    pub fn opened(&mut self, room: Option<RoomId>) {
        if room == self.open {
            return;
        }
        let next = room.and_then(|room| self.asides.remove(&room)).unwrap_or_default();
        let (draft, past) = self.composer.switch(next.draft, next.past);
        match self.open {
            Some(old) => {
                let about = self.about.take();
                self.asides.insert(old, Aside { draft, past, about });
            }
            // What was typed before any conversation was open goes along.
            None if self.composer.is_empty() => self.composer.set(draft),
            None => {}
        }
        self.open = room;
        self.walk = None;
        self.scroll = Scroll::Bottom;
        self.about = next.about;
        self.unpick();
        self.popup = Popup::offer(&self.composer);
    }

    /// The monotonic moment when something on the screen expires.
    pub fn next_wake(&self, now: Now) -> Option<Millis> {
        self.notice.as_ref().and_then(|notice| notice.until).filter(|until| *until > now.mono)
    }

    /// What is typed in the open conversation and not sent, to keep it with the room.
    pub fn draft(&self) -> &str {
        match &self.about {
            // Other words for a line are no message that waits.
            Some(About { what: What::Edit, stash, .. }) => stash,
            _ => self.composer.text(),
        }
    }

    /// Puts a kept draft back, before the conversation is opened.
    pub fn restore_draft(&mut self, room: RoomId, text: String) {
        self.asides.entry(room).or_default().draft = text;
    }

    /// True once after everything has to be drawn again (Ctrl+l): clear the terminal first.
    pub fn take_redraw(&mut self) -> bool {
        std::mem::take(&mut self.redraw)
    }

    /// The time zone of dates and times; the system's unless told otherwise.
    pub fn set_zone(&mut self, zone: TimeZone) {
        self.zone = zone;
    }

    fn scroll(&self) -> Scroll {
        self.scroll
    }

    fn scrolled(&self) -> bool {
        self.scroll != Scroll::Bottom
    }

    fn has_draft(&self, room: RoomId) -> bool {
        self.asides.get(&room).is_some_and(|aside| !aside.draft.trim().is_empty())
    }

    /// The notice that is still to be shown, and whether it is an error.
    fn noticed(&self, now: Now) -> Option<(&str, bool)> {
        let notice = self.notice.as_ref()?;
        notice.until.is_none_or(|until| until > now.mono).then_some((notice.text.as_str(), notice.error))
    }

    fn notice_rows(&self, columns: usize, now: Now) -> usize {
        self.noticed(now).map_or(1, |(said, _)| text::wrap(said, columns).len().min(3))
    }

    fn lines_area(&self, chat: &Chat) -> Rect {
        view::panes(&Screen { chat, ui: self, now: self.now }, area(self.size)).timeline
    }

    fn scroll_by(&mut self, rows: i32, chat: &Chat) {
        let Some(room) = chat.current() else { return };
        let area = self.lines_area(chat);
        let screen = Screen { chat, ui: self, now: self.now };
        let layout = view::layout(&screen, room, area.width);
        self.scroll = layout.held(layout.moved(self.scroll, rows, area.height.into()));
    }

    fn scroll_to(&mut self, pos: u64, chat: &Chat) {
        let Some(room) = chat.current() else { return };
        let area = self.lines_area(chat);
        let screen = Screen { chat, ui: self, now: self.now };
        let layout = view::layout(&screen, room, area.width);
        self.scroll = layout.held(layout.from_top(pos, self.scroll, area.height.into()));
    }

    fn edit(&mut self, edit: Edit) {
        let done = self.composer.edit(edit);
        self.changed(done);
    }

    /// After each change of the composer.
    fn changed(&mut self, done: Result<(), TooLong>) {
        self.popup = Popup::offer(&self.composer);
        if done.is_err() {
            let text = format!("A message has at most {} KiB; the rest was left out.", TEXT_MAX / 1024);
            self.notice = Some(Notice { text, error: true, until: None });
        }
    }

    fn complete(&mut self, back: bool, chat: &Chat) {
        if self.popup.as_ref().is_none_or(Popup::is_reminder) {
            self.popup = Popup::names(&self.composer, chat).or(self.popup.take());
        }
        if let Some(popup) = &mut self.popup {
            popup.choose(&mut self.composer, back);
            // A single choice is no choice: done.
            if popup.items.len() == 1 && !popup.is_reminder() {
                self.popup = None;
            }
        }
    }

    fn submit(&mut self, chat: &Chat) -> Vec<Command> {
        let only = self.popup.take().filter(|popup| popup.items.len() == 1 && !popup.is_reminder());
        let text = self.composer.text();
        if text.trim().is_empty() {
            return match self.about.take_if(|about| about.what == What::Edit) {
                // Without words nothing is left of it.
                Some(about) => {
                    self.composer.set(about.stash);
                    self.about_line(Command::Line(Some(about.on), LineCommand::Delete), chat, true)
                }
                None => Vec::new(),
            };
        }
        if text.starts_with('/') && !text.starts_with("//") {
            // What one command alone begins with means that command.
            let line = match only.filter(|_| command::find(text[1..].trim()).is_none()) {
                Some(popup) => popup.items[0].0.clone(),
                None => text.to_owned(),
            };
            return match command::parse(&line) {
                Ok(command) => {
                    self.composer.take();
                    self.ask(self.meant(command, chat), chat, Asked::Here)
                }
                Err(why) => {
                    self.notice(why, true, self.now);
                    Vec::new()
                }
            };
        }
        if chat.open.is_none() {
            self.notice("Open a conversation first: /add NAME, or Ctrl+k.".into(), true, self.now);
            return Vec::new();
        }
        if let Some(room) = chat.current().filter(|room| room.person.is_request()) {
            // An answer tells them that somebody is there: that is for the person to decide.
            self.dialogs.push(people::request(room));
            return Vec::new();
        }
        if let Some(room) = chat.current().filter(|room| room.person.blocked) {
            let why =
                format!("{} is blocked: /unblock first; what you wrote stays here.", text::line(room.name()));
            self.notice(why, true, self.now);
            return Vec::new();
        }
        let fleeting = chat.current().is_some_and(|room| room.timeline.timer() > 0);
        let text = if fleeting { self.composer.take_unkept() } else { self.composer.take() };
        (self.scroll, self.walk) = (Scroll::Bottom, None);
        let text = text.strip_prefix('/').unwrap_or(&text).trim_end().to_owned();
        vec![self.submit_about(text)]
    }

    /// What a command means in this moment.
    fn meant(&self, command: Command, chat: &Chat) -> Command {
        match (command, chat.call.as_ref().map(|call| call.state)) {
            (Command::Hangup, Some(CallState::Ringing)) => Command::Decline,
            (command, _) => command,
        }
    }

    /// Carries out the screen's own commands, asks where that is due, and passes on the rest.
    fn ask(&mut self, command: Command, chat: &Chat, asked: Asked) -> Vec<Command> {
        match command {
            Command::Ui(command) => self.run(command, chat, self.now),
            Command::Line(..) => self.about_line(command, chat, asked == Asked::Here),
            Command::Trust if asked == Asked::Here => {
                match chat.current().filter(|room| room.trouble().is_some()) {
                    Some(room) => {
                        self.dialogs.push(Dialog::confirm(people::trust(chat, room), Command::Trust));
                        Vec::new()
                    }
                    None => vec![Command::Trust],
                }
            }
            Command::ExportKeys(path, None) => {
                self.dialogs.push(Dialog::Ask(Box::new(ask::Ask::new(path))));
                Vec::new()
            }
            Command::Burn(Some(name)) if asked == Asked::Here && name == chat.name => {
                let question = lock::burn_now(&name, chat.hosting);
                self.dialogs.push(Dialog::confirm(question, Command::Burn(Some(name))));
                Vec::new()
            }
            command => vec![command],
        }
    }
}

/// Whether a command was confirmed in a dialog.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Here,
    Confirmed,
}

fn area((columns, rows): (u16, u16)) -> Rect {
    Rect { x: 0, y: 0, width: columns, height: rows }
}

/// A theme by name or file.
fn theme(name: &str, caps: Caps) -> Result<Theme, String> {
    if let Some(theme) = Theme::named(name, caps.depth) {
        return Ok(theme);
    }
    let open = std::fs::File::open(name);
    let mut text = String::new();
    open.and_then(|file| file.take(theme::FILE_MAX as u64 + 1).read_to_string(&mut text)).map_err(|why| {
        format!("The theme {}: {why}. Built in are dark, light and native.", text::line(name))
    })?;
    Theme::read(&text, caps.depth)
}

/// How long a notice stays.
const NOTICE: Duration = Duration::from_secs(6);
/// Lines in memory above the screen before an older page is loaded.
const AHEAD: u64 = 64;
