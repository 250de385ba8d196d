//! What is asked for is done: commands of the screen, the line that is sent, questions before what is for good.

use super::act::{self, LineCommand};
use super::command::{Command, UiCommand};
use super::dialog::Dialog;
use super::people::Waits;
use super::timeline::Scroll;
use super::{NOTICE, Ui, ask, command, lock, people, text, theme};
use crate::chat::Chat;
use crate::chat::call::CallState;
use crate::chat::room::Room;
use crate::chat::timeline::Author;
use subrosa_shared::time::Now;

impl Ui {
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
            UiCommand::Switcher => self.dialogs.push(Dialog::switcher(chat)),
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
                    return self.ask(Command::Quit, chat, Asked::Here);
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

    pub(super) fn submit(&mut self, chat: &Chat) -> Vec<Command> {
        let only = self.popup.take().filter(|popup| popup.items.len() == 1 && !popup.is_reminder());
        let text = self.composer.text();
        if text.trim().is_empty() {
            return match self.reworded() {
                // Without words nothing is left of it.
                Some(on) => {
                    self.end_about();
                    self.about_line(Command::Line(Some(on), LineCommand::Delete), chat, true)
                }
                None => Vec::new(),
            };
        }
        if self.looking.as_deref() == Some(text.trim()) {
            // A path of this machine is nobody's to read by accident.
            self.notice(
                "looking whether that is a file: Enter once more in a moment".into(),
                false,
                self.now,
            );
            return Vec::new();
        }
        if text.starts_with('/') && !text.starts_with("//") {
            // What one command alone begins with means that command.
            let line = match only.filter(|_| command::find(text[1..].trim()).is_none()) {
                Some(popup) => popup.items[0].0.clone(),
                None => text.to_owned(),
            };
            return match command::parse(&line).and_then(|command| to_whom(command, chat)) {
                Ok(command) => self.submit_command(command, chat),
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
        if self.stays(chat.current(), chat) {
            return Vec::new();
        }
        let text = self.take(chat.current());
        (self.scroll, self.walk) = (Scroll::Bottom, None);
        let text = text.strip_prefix('/').unwrap_or(&text).trim_end().to_owned();
        vec![self.submit_about(text)]
    }

    fn submit_command(&mut self, command: Command, chat: &Chat) -> Vec<Command> {
        let to = addressed(&command, chat);
        if self.stays(to, chat) {
            return Vec::new();
        }
        if let Command::Line(None, about) = &command
            && to.is_some()
            && self.pick.is_none()
            && chat.current().is_some_and(|room| act::meant(room, about).is_none())
        {
            self.notice("There is no such message here.".into(), true, self.now);
            return Vec::new();
        }
        self.take(to);
        self.ask(self.meant(command, chat), chat, Asked::Here)
    }

    /// Whether what was typed stays, since nothing may be said there now: it is asked about, or told why.
    fn stays(&mut self, to: Option<&Room>, chat: &Chat) -> bool {
        let Some(room) = to else { return false };
        if room.person.is_request() {
            // An answer tells them that somebody is there: that is for the person to decide.
            self.dialogs.push(people::request(room, Waits::Typed));
            return true;
        }
        let why = chat.refuses(room.id, self.now);
        if let Some(why) = &why {
            self.notice(format!("{why}. What you wrote stays here."), true, self.now);
        }
        why.is_some()
    }

    /// Takes what was typed out of the composer; where messages disappear, words are no input to repeat.
    fn take(&mut self, to: Option<&Room>) -> String {
        let fleeting = to.is_some_and(|room| room.timeline.timer() > 0)
            || self.about.as_ref().is_some_and(|about| about.fleeting);
        if fleeting { self.composer.take_unkept() } else { self.composer.take() }
    }

    /// What a command means in this moment.
    pub(super) fn meant(&self, command: Command, chat: &Chat) -> Command {
        match (command, chat.call.as_ref().map(|call| call.state)) {
            (Command::Hangup, Some(CallState::Ringing)) => Command::Decline,
            (command, _) => command,
        }
    }

    /// Carries out the screen's own commands, asks where that is due, and passes on the rest.
    pub(super) fn ask(&mut self, command: Command, chat: &Chat, asked: Asked) -> Vec<Command> {
        if let Some(room) = addressed(&command, chat).filter(|room| room.person.is_request()) {
            let waits = match command {
                Command::Attach { path, .. } => {
                    self.write(&format!("/file {path}"));
                    Waits::Typed
                }
                _ => Waits::Forward,
            };
            self.dialogs.push(people::request(room, waits));
            return Vec::new();
        }
        match command {
            Command::Add(name) => match chat.with(&name).filter(|room| room.person.is_request()) {
                // To look at what somebody wrote lets nobody in.
                Some(room) => vec![Command::Open(room.id)],
                None => vec![Command::Add(name)],
            },
            Command::Ui(command) => self.run(command, chat, self.now),
            Command::Line(..) => self.about_line(command, chat, asked == Asked::Here),
            Command::Trust => match chat.current().and_then(|room| people::trust(chat, room)) {
                Some(dialog) => {
                    self.dialogs.push(dialog);
                    Vec::new()
                }
                None => vec![Command::Trust],
            },
            Command::ExportKeys(path, None) => {
                self.dialogs.push(Dialog::Ask(Box::new(ask::Ask::new(path))));
                Vec::new()
            }
            Command::Burn(Some(name)) if asked == Asked::Here && name == chat.name => {
                let question = lock::burn_now(&name, chat.hosting);
                self.dialogs.push(Dialog::confirm(question, Command::Burn(Some(name))));
                Vec::new()
            }
            command @ (Command::Quit | Command::Lock) if asked == Asked::Here && chat.stuck.is_some() => {
                let same = |dialog: &Dialog| {
                    matches!(dialog, Dialog::Confirm { yes: Command::Quit | Command::Lock, .. })
                };
                self.dialogs.retain(|dialog| !same(dialog));
                self.dialogs.push(Dialog::confirm(lock::UNWRITTEN, command));
                Vec::new()
            }
            command => vec![command],
        }
    }
}

/// The command with the account of whoever is meant by the name that was typed.
fn to_whom(command: Command, chat: &Chat) -> Result<Command, String> {
    match command {
        Command::TellTyped(said) => act::told(chat, &said).map(|(with, text)| Command::Tell(with, text)),
        command => Ok(command),
    }
}

/// The conversation into which a command says something.
fn addressed<'a>(command: &Command, chat: &'a Chat) -> Option<&'a Room> {
    match command {
        Command::Tell(name, _) | Command::Attach { to: Some(name), .. } => chat.with(name),
        Command::Line(_, LineCommand::Forward(Some(name))) => chat.room(act::named(chat, name).ok()?),
        Command::Line(_, LineCommand::ForwardTo(room)) => chat.room(*room),
        Command::Attach { to: None, .. }
        | Command::Line(_, LineCommand::Reply(Some(_)) | LineCommand::Edit(Some(_))) => chat.current(),
        _ => None,
    }
}

/// Whether a command was confirmed in a dialog.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Here,
    Confirmed,
}
