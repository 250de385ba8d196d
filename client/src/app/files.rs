//! Commands about files, and what comes of them.

use super::App;
use crate::chat::transfer::{Phase, Transfer};
use crate::effect::Effect;
use crate::files::{Order, Report, names};
use crate::ui::dialog::Dialog;
use crate::ui::files::{self, FilesCommand, View, Which};
use std::path::PathBuf;
use subrosa_shared::id::{AccountName, MessageId, RoomId};
use subrosa_shared::store::Error;
use subrosa_shared::time::Now;

impl App {
    /// Sends a file to a person, or in the open conversation.
    pub(super) fn attach(
        &mut self,
        to: Option<AccountName>,
        path: String,
        caption: String,
        now: Now,
    ) -> Result<(), Error> {
        let room = match to {
            Some(name) if name == self.talk.chat.name => {
                self.error("that is your own name");
                return Ok(());
            }
            Some(name) => Some(self.talk.room_with(&name, now)),
            None => self.talk.chat.open,
        };
        let Some(room) = room else {
            self.error("open a conversation first: /add NAME begins one");
            return Ok(());
        };
        if let Some(why) = self.talk.chat.refuses(room, now) {
            self.error(&why);
            return Ok(());
        }
        self.talk.accept(room, now)?;
        let fleeting = self.talk.chat.room(room).is_some_and(|room| room.timeline.timer() > 0);
        let typed = fleeting.then(|| format!("/file {path} {caption}").trim_end().to_owned());
        match self.talk.attach(room, path, caption) {
            Ok(id) => self.given = typed.map(|typed| (id, room, typed)),
            Err(why) => {
                self.error(&why);
                self.give_back(room, typed);
            }
        }
        Ok(())
    }

    /// A file cannot be sent: what was typed for it stands in the composer again, if nothing else does.
    fn give_back(&mut self, room: RoomId, typed: Option<String>) {
        let there = self.ui.has_screen() && self.ui.is_idle() && self.talk.chat.open == Some(room);
        if let Some(typed) = typed.filter(|_| there) {
            self.ui.write(&typed);
        }
    }

    /// Files that came in part: the number and the folder of each. What is there of them is readable.
    pub fn halves(&self) -> Vec<(MessageId, PathBuf)> {
        self.talk.halves()
    }

    pub(super) fn files(&mut self, command: FilesCommand, now: Now) {
        let done = match command {
            FilesCommand::List => {
                self.ui.show(Dialog::Files(files::List::new(&self.talk.chat)));
                return;
            }
            FilesCommand::Dropped(text) => {
                self.talk.then(Effect::Transfer(Order::Look(text)));
                return;
            }
            FilesCommand::Pause(which) => self
                .which(which, |transfer| transfer.kept.phase == Phase::Active)
                .and_then(|id| self.talk.pause_file(id, now)),
            FilesCommand::Resume(which) => self
                .which(which, |transfer| matches!(transfer.kept.phase, Phase::Paused | Phase::Failed(_)))
                .and_then(|id| self.talk.resume_file(id, now)),
            FilesCommand::Cancel(which) => self
                .which(which, |transfer| !transfer.is_over())
                .and_then(|id| self.talk.cancel_file(id, now)),
            FilesCommand::Save(which, folder) => {
                let folder = folder.map(|folder| names::folder(&folder));
                self.which(which, |transfer| !transfer.kept.up && transfer.kept.phase != Phase::Done)
                    .or_else(|_| self.which(which, |transfer| !transfer.kept.up))
                    .and_then(|id| self.talk.save_file(id, folder, now))
            }
            FilesCommand::View(which) => {
                self.which(which, |transfer| transfer.kept.phase == Phase::Done).and_then(|id| self.view(id))
            }
        };
        if let Err(why) = done {
            self.error(&why);
        }
    }

    /// What became of an order.
    pub(super) fn file_report(&mut self, report: Report, now: Now) -> Result<(), Error> {
        match report {
            // Meanwhile something was typed behind it, or another conversation is open: it stays text.
            Report::Looked { text, file: Some((path, size)) } => {
                self.ui.looked(&text);
                if self.ui.takes_back(&text) {
                    let dialog = files::dropped(&self.talk.chat, &path, size, &text);
                    self.ui.show(dialog);
                }
                Ok(())
            }
            Report::Looked { text, file: None } => {
                self.ui.looked(&text);
                Ok(())
            }
            Report::Viewed(id, Some(picture)) => {
                let name = self.talk.chat.transfer(&id).map_or("", |transfer| transfer.kept.name.as_str());
                let view = View::new(id, name, *picture, self.ui.caps());
                self.ui.show(Dialog::View(view));
                Ok(())
            }
            Report::Viewed(_, None) => {
                self.error("that file is no PNG, JPEG, WebP or GIF that can be shown");
                Ok(())
            }
            report => {
                if let Report::Prepared(id, read) = &report
                    && let Some((_, room, typed)) = self.given.take_if(|given| given.0 == *id)
                    && read.is_err()
                {
                    self.give_back(room, Some(typed));
                }
                self.talk.file_report(report, now)
            }
        }
    }

    /// Shows the picture that a file is, from this disk.
    fn view(&mut self, id: MessageId) -> Result<(), String> {
        let transfer = self.talk.chat.transfer(&id).ok_or(NONE)?;
        let here = transfer.kept.up || transfer.kept.phase == Phase::Done;
        let path = transfer.kept.path.clone().filter(|_| here);
        let path = path.ok_or("that file is not on this disk yet: /files save fetches it")?;
        self.talk.then(Effect::Transfer(Order::View(id, path)));
        Ok(())
    }

    fn which(&self, which: Which, fits: impl Fn(&Transfer) -> bool) -> Result<MessageId, String> {
        if let Which::Of(id) = which
            && self.talk.chat.attaching.contains(&id)
        {
            return Ok(id);
        }
        let all = &self.talk.chat.transfers;
        let found = match which {
            Which::Newest => all.iter().find(|transfer| fits(transfer)),
            Which::Nth(number) => number.checked_sub(1).and_then(|i| all.get(i)),
            Which::Of(id) => self.talk.chat.transfer(&id),
        };
        found.map(|transfer| transfer.id).ok_or_else(|| NONE.to_owned())
    }
}

const NONE: &str = "there is no such file: /files lists them";
