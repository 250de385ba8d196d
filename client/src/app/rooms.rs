//! Commands about rooms of several people.

use super::App;
use crate::chat::groups::{AtDoor, Follows, OpenLink};
use crate::effect::Effect;
use crate::ui::command::Secret;
use crate::ui::dialog::Dialog;
use crate::ui::password::Password;
use crate::ui::rooms::{self, RoomCommand};
use std::time::Duration;
use subrosa_shared::id::RoomId;
use subrosa_shared::protocol::link::RoomLink;
use subrosa_shared::store::Error;
use subrosa_shared::time::{Millis, Now};

/// So long no key is pressed before a password is asked for that nobody waits for.
const QUIET: Duration = Duration::from_secs(2);

impl App {
    pub(super) fn room(&mut self, room: Option<RoomId>, command: RoomCommand, now: Now) -> Result<(), Error> {
        if let RoomCommand::New(name, people) = &command {
            match self.talk.found_room(name, people, now) {
                Ok(room) => self.open(room, now)?,
                Err(why) => self.error(&why),
            }
            return Ok(());
        }
        if let RoomCommand::Join(link, password) = command {
            self.join(link, password, now);
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
                Ok(link) => self.link_made(&link, *once),
                Err(why) => self.error(&why),
            },
            RoomCommand::Links => {
                let links = self.talk.links_into(room, now);
                if links.is_empty() {
                    self.error("no link of this room is open here: /room link makes one, where you may");
                } else {
                    self.ui.show(rooms::links(group.title(), &links, now));
                }
            }
            RoomCommand::Relink => match self.talk.renew_link(room, now) {
                Ok(link) => self.link_made(&link, false),
                Err(why) => self.error(&why),
            },
            RoomCommand::Password => match self.talk.may_set_password(room) {
                Ok(group) => {
                    let dialog = Password::of_room(room, group.title(), group.has_password());
                    self.ui.show(Dialog::Password(Box::new(dialog)));
                }
                Err(why) => self.error(&why),
            },
            RoomCommand::SetPassword(password) => {
                if let Err(why) = self.talk.set_room_password(room, password.0.clone()) {
                    self.error(&why);
                }
            }
            RoomCommand::NoPassword => {
                if let Err(why) = self.talk.drop_room_password(room, now) {
                    self.error(&why);
                }
            }
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

    /// Follows a link; asks for the password that it says is asked for.
    fn join(&mut self, link: Secret, password: Option<Secret>, now: Now) {
        self.settles(&link.0);
        match self.talk.join(&link.0, password.map(|password| password.0), now) {
            Ok(Follows::Knocks) => {}
            Ok(Follows::NeedsPassword) => {
                self.ask_at_door(link, "That room has a password.");
            }
            Err(why) => self.error(&why),
        }
    }

    fn link_made(&mut self, link: &str, once: bool) {
        self.ui.show(rooms::link(link, once));
        self.talk.then(Effect::Copy(link.to_owned()));
    }

    fn ask_at_door(&mut self, link: Secret, why: &str) {
        self.ui.show(Dialog::Password(Box::new(Password::at_door(link.clone(), why))));
        self.asked = Some(link);
    }

    /// What came up about links meanwhile.
    pub(super) fn at_doors(&mut self, now: Now) {
        if !self.ui.asks_at_door()
            && let Some(link) = self.asked.take()
        {
            self.talk.was_asked(&link.0);
        }
        for at_door in std::mem::take(&mut self.talk.chat.at_doors) {
            match at_door {
                AtDoor::Made { link, once } => self.link_made(&link, once),
                // The next start with a screen asks for it.
                AtDoor::Password { .. } if !self.ui.has_screen() => {}
                // It could take what is being typed.
                AtDoor::Password { link, why } => {
                    self.settles(&link);
                    self.asks.push_back(AtDoor::Password { link, why });
                }
            }
        }
        while self.asks_at().is_some_and(|at| at <= now.mono)
            && let Some(AtDoor::Password { link, why }) = self.asks.pop_front()
        {
            if self.talk.is_behind(&link) {
                self.talk.was_asked(&link);
            } else {
                self.ask_at_door(Secret(link), &why);
            }
        }
    }

    /// Nothing that waits is asked about that link any more.
    fn settles(&mut self, link: &str) {
        let secret = |link: &str| link.parse().map(|link: RoomLink| link.secret).ok();
        let one = secret(link);
        self.asks.retain(|ask| !matches!(ask, AtDoor::Password { link, .. } if secret(link) == one));
    }

    /// When the next password that waits is asked for (monotonic), as far as nothing is being typed.
    pub(super) fn asks_at(&self) -> Option<Millis> {
        let may = !self.asks.is_empty() && self.ui.has_screen() && self.ui.is_idle();
        may.then(|| self.ui.keyed().plus(QUIET))
    }

    /// Whether this account may set a room's password.
    ///
    /// # Errors
    /// A sentence with the next step.
    pub fn may_set_room_password(&self, room: RoomId) -> Result<(), String> {
        self.talk.may_set_password(room).map(|_| ())
    }

    /// The links into a room that are open, for who may invite there.
    pub fn links_into(&self, room: RoomId, now: Now) -> Vec<OpenLink> {
        self.talk.links_into(room, now)
    }
}
