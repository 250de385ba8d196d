//! Keys, the mouse, what is pasted: what a person does, as commands and as changes of the line.

use super::command::{Command, UiCommand};
use super::complete::Popup;
use super::composer::{Edit, TooLong};
use super::dialog::{Dialog, Step};
use super::doing::Asked;
use super::files::FilesCommand;
use super::keymap::Action;
use super::timeline::Scroll;
use super::view::Screen;
use super::{Ui, area, keymap, sidebar, view};
use crate::chat::Chat;
use crate::chat::call::{Call, CallState};
use crate::chat::search::index::Side;
use crate::files::names;
use crossterm::event::{KeyEvent, KeyEventKind, MouseButton, MouseEvent, MouseEventKind};
use subrosa_shared::content::TEXT_MAX;
use subrosa_shared::time::Now;

impl Ui {
    /// A key press: what works over anything first, then dialogs on top, the popup, the keymap, the
    /// composer. Returns commands for the app, in order; the screen's own are already carried out.
    pub fn key(&mut self, key: KeyEvent, chat: &Chat, now: Now) -> Vec<Command> {
        if key.kind == KeyEventKind::Release {
            return Vec::new();
        }
        (self.now, self.keyed) = (now, now.mono);
        self.notice.take_if(|notice| notice.error);
        if !self.dialogs.is_empty()
            && let Some(command) = keymap::over_dialogs(key)
        {
            let rings = |call: &Call| call.state == CallState::Ringing;
            if matches!(command, Command::Answer(_)) && chat.call.as_ref().is_some_and(rings) {
                // It opens the call's conversation, and dialogs may be about another one.
                self.dialogs.clear();
            }
            return self.ask(self.meant(command, chat), chat, Asked::Here);
        }
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
            Action::DeleteOrLeave if self.composer.is_empty() => {
                return self.ask(Command::Quit, chat, Asked::Here);
            }
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
                dialog.paste(text, chat);
                if let Dialog::Search(search) = dialog {
                    return vec![search.find()];
                }
            }
            // A terminal pastes the path of a file that is dragged in.
            None if self.composer.is_empty() && chat.open.is_some() && names::may_be_dropped(text) => {
                // It is text until the disk says that there is such a file.
                self.write(text);
                self.looking = Some(text.trim().to_owned());
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

    /// The disk has said whether that is a file; another one may have been pasted meanwhile.
    pub fn looked(&mut self, text: &str) {
        self.looking.take_if(|asked| asked == text.trim());
    }

    /// Takes a pasted text out of the composer again, if nothing else is there; whether it was.
    pub fn takes_back(&mut self, text: &str) -> bool {
        let alone = self.dialogs.is_empty() && self.composer.text().trim() == text.trim();
        if alone {
            self.composer.set(String::new());
            self.changed(Ok(()));
        }
        alone
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

    /// `$EDITOR` came back: its text goes into the composer.
    pub fn edited(&mut self, text: String) {
        let long = text.len() > TEXT_MAX;
        self.composer.set(text.trim_end().to_owned());
        self.changed(if long { Err(TooLong) } else { Ok(()) });
    }

    pub(super) fn edit(&mut self, edit: Edit) {
        let done = self.composer.edit(edit);
        self.changed(done);
    }

    /// After each change of the composer.
    pub(super) fn changed(&mut self, done: Result<(), TooLong>) {
        self.popup = Popup::offer(&self.composer);
        if done.is_err() {
            let text = format!("A message has at most {} KiB; the rest was left out.", TEXT_MAX / 1024);
            self.notice(text, true, self.now);
        }
    }

    pub(super) fn complete(&mut self, back: bool, chat: &Chat) {
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
}
