//! Commands about people: verify, accept, block, own names.

use super::App;
use crate::chat::call::CallState;
use crate::chat::person::Trouble;
use crate::chat::room::Room;
use crate::ui::command::Command;
use crate::ui::people;
use crate::ui::rooms::RoomCommand;
use crate::ui::text;
use crate::ui::verify::Verify;
use subrosa_shared::id::{AccountName, RoomId};
use subrosa_shared::session::safety::{Compared, Number};
use subrosa_shared::store::Error;
use subrosa_shared::time::Now;

impl App {
    pub(super) fn decide(&mut self, command: Command, now: Now) -> Result<(), Error> {
        match command {
            Command::Verify(name, given) => {
                if let Some(room) = self.whose(name.as_ref()) {
                    match given {
                        None => self.show_safety(room),
                        Some(given) => self.compare(room, &given, now)?,
                    }
                }
            }
            Command::Trust => {
                let open = self.talk.chat.open;
                match open {
                    Some(room) if self.talk.trust(room, now)? => {}
                    _ => self.error(NO_NEW_KEY),
                }
            }
            Command::Trusted(room, key) => {
                let about = |room: &Room| room.to_accept().or(room.kept.peer);
                let still = self.talk.is_still(room, key, about, "/trust");
                if still && !self.talk.trust_after_all(room, now)? {
                    self.error(NO_NEW_KEY);
                }
            }
            Command::Distrust(name) => {
                if let Some(room) = self.whose(name.as_ref())
                    && !self.talk.distrust(room, now)
                {
                    let forked = self.talk.chat.room(room).and_then(Room::trouble) == Some(Trouble::Forked);
                    self.error(if forked { SAME_KEY } else { NO_NEW_KEY });
                }
            }
            Command::Verified(room, key) => self.talk.verified(room, key, now)?,
            Command::Doubt(room, key) => {
                self.talk.doubt(room, key, None, now);
                if let Some(room) = self.talk.chat.room(room) {
                    self.ui.show(people::differs(room));
                }
            }
            Command::Unverify(name) => {
                if let Some(room) = self.whose(name.as_ref())
                    && !self.talk.unverify(room, now)
                {
                    self.error("they are not verified: /verify compares the safety number");
                }
            }
            Command::Contacts => {
                let dialog = people::contacts(&self.talk.chat);
                self.ui.show(dialog);
            }
            Command::Petname(name, new) => {
                let new = new.map(|new| text::line(&new));
                if let Some(room) = self.whose(Some(&name)) {
                    match (self.talk.petname(room, new.as_deref()), new) {
                        (Err(why), _) => self.error(&why),
                        (Ok(()), Some(new)) => {
                            self.talk.notice(
                                format!("{name} is '{}' here; nobody else sees that", new.trim()),
                                false,
                            );
                        }
                        (Ok(()), None) => self.talk.notice(format!("{name} is called {name} again"), false),
                    }
                }
            }
            Command::Block(Some(name)) if name == self.talk.chat.name => self.error("that is your own name"),
            Command::Block(name) => {
                let open = self.talk.chat.current().and_then(|room| room.with().cloned());
                match name.or(open) {
                    Some(name) => {
                        self.talk.block(&name, now)?;
                        self.talk.notice(
                            format!("{name} is blocked and is not told; /unblock {name} undoes it"),
                            false,
                        );
                    }
                    None => self.error("block whom? /block NAME"),
                }
            }
            Command::Unblock(name) => {
                if let Some(room) = self.whose(name.as_ref())
                    && !self.talk.unblock(room, now)
                {
                    self.error("they are not blocked: /contacts lists who is");
                }
            }
            Command::Accept(None) if self.rings() && !self.asks() => {
                let source = self.config.video.source.clone();
                self.run(Command::Answer(Some(source)), now)?;
            }
            // What is open and asked about may be a room.
            Command::Accept(None) if self.talk.chat.current().is_some_and(|room| room.group.is_some()) => {
                self.room(None, RoomCommand::Accept, now)?;
            }
            Command::Accept(name) => {
                if let Some(room) = self.whose(name.as_ref())
                    && !self.talk.accept(room, now)?
                {
                    self.error("nobody waits to be let in there: /contacts lists who does");
                }
            }
            Command::DeclineRequest(name) => {
                if let Some(room) = self.whose(name.as_ref())
                    && !self.talk.decline_request(room, now)?
                {
                    self.error("nobody waits to be let in there: /block NAME keeps a contact out");
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Somebody rings.
    pub(super) fn rings(&self) -> bool {
        self.talk.chat.call.as_ref().is_some_and(|call| call.state == CallState::Ringing)
    }

    /// The open conversation is a stranger's request.
    pub(super) fn asks(&self) -> bool {
        self.talk.chat.current().is_some_and(|room| room.person.is_request())
    }

    /// The conversation with that person, or the open one; says so when there is none.
    pub(super) fn whose(&mut self, name: Option<&AccountName>) -> Option<RoomId> {
        let room = match name {
            Some(name) => self.talk.chat.with(name),
            None => self.talk.chat.current().filter(|room| room.with().is_some() || room.person.is_request()),
        };
        let found = room.map(|room| room.id);
        match (found, name) {
            (None, Some(name)) => {
                self.error(&format!("there is no conversation with {name}: /add {name} begins one"));
            }
            (None, None) => self.error("open a conversation first, or name somebody: /contacts lists all"),
            _ => {}
        }
        found
    }

    fn show_safety(&mut self, room: RoomId) {
        let chat = &self.talk.chat;
        let Some(room) = chat.room(room) else { return };
        match chat.safety(room) {
            Some((number, key)) => {
                let verify = Verify::new(chat, room, &number, key);
                self.ui.show_verify(verify);
            }
            None => self.error(NO_KEY),
        }
    }

    fn compare(&mut self, room: RoomId, given: &str, now: Now) -> Result<(), Error> {
        let chat = &self.talk.chat;
        let Some((found, fits)) = chat.room(room).and_then(|room: &Room| {
            let ((number, key), with) = (chat.safety(room)?, room.with()?);
            let compared = |number: Number| number.compare(&chat.name, with, given);
            // While the pinned key is the one to compare.
            let refused = room.refused.iter().filter(|_| room.kept.changed.is_none());
            let fits = refused.copied().find(|refused| {
                let number = chat.safety_of(room, refused.identity);
                matches!(number.map(compared), Some(Ok(Compared::Same)))
            });
            Some(((compared(number), key, room.full_name()), fits))
        }) else {
            self.error(NO_KEY);
            return Ok(());
        };
        match found {
            (Ok(Compared::Same), key, name) => {
                self.talk.verified(room, key, now)?;
                self.talk.notice(format!("the safety numbers are the same: {name} is verified"), false);
            }
            (Ok(Compared::Different), key, name) if fits.is_some() => {
                self.talk.doubt(room, key, fits, now);
                self.error(&format!(
                    "that is not the number of the key of {name} that you kept, but of the one that you refused: nothing is \
                     sent before you decide"
                ));
            }
            (Ok(Compared::Different), key, _) => self.run(Command::Doubt(room, key), now)?,
            (Ok(Compared::OtherPeople), _, name) => self.error(&format!(
                "that code is not {name}'s for you: ask {name} for the one that their own screen shows"
            )),
            (Err(why), _, _) => self.error(&format!("{why}: /verify shows yours")),
        }
        Ok(())
    }
}

const NO_NEW_KEY: &str = "no changed key waits for a decision here";
const SAME_KEY: &str = "their key is the same, only the relay's list of their devices is another: /trust takes it, /block ends it";
const NO_KEY: &str = "their key is not known yet: wait until the relay has said who that is";
