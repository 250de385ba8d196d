//! Commands about rooms of several people.

use super::App;
use crate::effect::Effect;
use crate::ui::rooms::{self, RoomCommand};
use subrosa_shared::id::RoomId;
use subrosa_shared::store::Error;
use subrosa_shared::time::Now;

impl App {
    pub(super) fn room(&mut self, room: Option<RoomId>, command: RoomCommand, now: Now) -> Result<(), Error> {
        if let RoomCommand::New(name, people) = &command {
            match self.talk.found_room(name, people, now) {
                Ok(room) => self.open(room, now)?,
                Err(why) => self.error(&why),
            }
            return Ok(());
        }
        if let RoomCommand::Join(link) = &command {
            if let Err(why) = self.talk.join(&link.0) {
                self.error(&why);
            }
            return Ok(());
        }
        let Some(room) = rooms::meant(&self.talk.chat, room) else {
            self.error("open a room of several people first: /room new NAME begins one");
            return Ok(());
        };
        let chat = &self.talk.chat;
        let (Some(r), Some(group)) = (chat.room(room), chat.group(room)) else { return Ok(()) };
        match &command {
            RoomCommand::Show => {
                let dialog = rooms::card(chat, r, group, now);
                self.ui.show(dialog);
            }
            RoomCommand::Accept => {
                if !self.talk.accept(room, now)? {
                    self.error("you are in already: /room shows who else is");
                }
            }
            RoomCommand::Decline => {
                if !self.talk.decline_request(room, now)? {
                    self.error("you took that invitation: /leave leaves the room");
                }
            }
            RoomCommand::Invite(name) => {
                if let Err(why) = self.talk.invite(room, name, now) {
                    self.error(&why);
                }
            }
            RoomCommand::Link(once, seconds) => match self.talk.make_link(room, *once, *seconds, now) {
                Ok(link) => {
                    self.ui.show(rooms::link(&link, *once));
                    self.talk.then(Effect::Copy(link));
                }
                Err(why) => self.error(&why),
            },
            RoomCommand::Unlink => match self.talk.withdraw_links(room, now) {
                Ok(0) => self.error("there is no link into this room: /room link makes one"),
                Ok(_) => {}
                Err(why) => self.error(&why),
            },
            command => {
                let Some(op) = rooms::op(command, chat, group, now) else { return Ok(()) };
                let allowed = group.log.state().allows(&chat.name, &op, now.wall).is_ok();
                if let Some(dialog) = rooms::sure(r, command, &op).filter(|_| allowed) {
                    self.ui.show(dialog);
                } else if let Err(why) = self.talk.operate(room, op, now) {
                    self.error(&why);
                }
            }
        }
        Ok(())
    }
}
