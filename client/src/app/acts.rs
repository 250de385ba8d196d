//! Commands about lines: answer, edit, delete, react, pin, forward; and what rings.

use super::{App, COPIED};
use crate::chat::deeds;
use crate::chat::expiry::TEXTS;
use crate::chat::timeline::{LINES, Line, More};
use crate::effect::Effect;
use crate::ui::act::{self, LineCommand};
use crate::ui::dialog::Dialog;
use crate::ui::pick::{What, author};
use crate::ui::pins::{Pins, Row};
use subrosa_shared::content::own::Level;
use subrosa_shared::content::post::Deed;
use subrosa_shared::id::{MessageId, RoomId};
use subrosa_shared::store::{Error, Write};
use subrosa_shared::time::Now;

impl App {
    /// Carries out a command about a line of the open conversation.
    pub(super) fn line(
        &mut self,
        on: Option<MessageId>,
        command: LineCommand,
        now: Now,
    ) -> Result<(), Error> {
        let Some(room) = self.talk.chat.current() else {
            self.error("open a conversation first: /add NAME begins one");
            return Ok(());
        };
        let id = on.or_else(|| act::meant(room, &command));
        let room = room.id;
        let found = match id {
            Some(id) => self.talk.line_of(room, &id)?,
            None => None,
        };
        let Some((pos, line)) = found else {
            self.error("there is no such message here");
            return Ok(());
        };
        let (id, me) = (line.id, self.talk.chat.name.clone());
        let deed = match command {
            LineCommand::Reply(None) => {
                if line.is_said() {
                    self.ui.write_about(What::Answer, id, "");
                } else {
                    self.error("that message is gone: there is nothing to answer");
                }
                return Ok(());
            }
            LineCommand::Reply(Some(text)) => {
                let more = More { reply: Some(id), ..More::default() };
                return self.say(room, text, more, now);
            }
            LineCommand::Edit(None) => {
                let deed = Deed::Edit { body: String::new(), mentions: Vec::new() };
                let can = self.talk.chat.room(room).map(|r| self.talk.can(r, &line, &deed, now));
                match can {
                    Some(Err(why)) => self.error(&why),
                    _ => {
                        self.ui.write_about(What::Edit, id, &line.body);
                        if self.talk.disappears(room, pos) {
                            self.ui.keep_nowhere();
                        }
                    }
                }
                return Ok(());
            }
            LineCommand::Edit(Some(body)) if body.trim().is_empty() => {
                self.error("an empty message says nothing: /delete takes it back");
                return Ok(());
            }
            LineCommand::Edit(Some(body)) => {
                Deed::Edit { mentions: self.talk.chat.called_in(room, &body), body }
            }
            LineCommand::Delete => Deed::Delete,
            LineCommand::React(sign, on) => match sign.as_deref().map(deeds::sign) {
                Some(Some(sign)) => {
                    let on = on.unwrap_or(!line.has_sign(&me, &sign));
                    Deed::React { sign, on }
                }
                Some(None) => {
                    self.error("a reaction is one sign such as 👍, or a name: +1, heart, laugh, party, eyes");
                    return Ok(());
                }
                None => {
                    self.error("which sign? /react 👍");
                    return Ok(());
                }
            },
            LineCommand::Pin(on) => Deed::Pin(on.unwrap_or(!line.is_pinned())),
            LineCommand::Forward(to) => {
                let target = match to.as_deref().unwrap_or_default() {
                    "" => Err("forward it to whom? /forward NAME".to_owned()),
                    to => act::named(&self.talk.chat, to),
                };
                return match target {
                    Ok(target) => self.forward(room, id, target, now),
                    Err(why) => {
                        self.error(&why);
                        Ok(())
                    }
                };
            }
            LineCommand::ForwardTo(target) => return self.forward(room, id, target, now),
            LineCommand::Copy => {
                self.talk.then(Effect::Copy(line.body));
                self.talk.notice(COPIED.into(), false);
                return Ok(());
            }
        };
        let said = match &deed {
            Deed::Pin(true) => Some("pinned: /pins lists what is"),
            Deed::Pin(false) => Some("no longer pinned"),
            Deed::Delete => Some("deleted"),
            Deed::Edit { .. } | Deed::React { .. } => None,
        };
        match (self.talk.act(room, id, deed, now)?, said) {
            (Err(why), _) => self.error(&why),
            (Ok(()), Some(said)) => self.talk.notice(said.into(), false),
            (Ok(()), None) => {}
        }
        Ok(())
    }

    /// Whether a command about a line could be carried out; `None` when there is no such line.
    ///
    /// # Errors
    /// Those of the store; inside a sentence.
    pub fn can_do(
        &self,
        room: RoomId,
        id: &MessageId,
        command: &LineCommand,
        now: Now,
    ) -> Result<Option<Result<(), String>>, Error> {
        let Some((pos, line)) = self.talk.line_of(room, id)? else { return Ok(None) };
        let Some(r) = self.talk.chat.room(room) else { return Ok(None) };
        let can = |deed| self.talk.can(r, &line, &deed, now);
        Ok(Some(match command {
            LineCommand::Edit(_) => can(Deed::Edit { body: String::new(), mentions: Vec::new() }),
            LineCommand::Delete => can(Deed::Delete),
            LineCommand::React(sign, on) => {
                can(Deed::React { sign: sign.clone().unwrap_or_default(), on: on.unwrap_or(true) })
            }
            LineCommand::Pin(on) => can(Deed::Pin(on.unwrap_or(true))),
            LineCommand::Forward(_) | LineCommand::ForwardTo(_) if self.talk.disappears(room, pos) => {
                Err("a message that disappears is not forwarded: it would stay there".into())
            }
            _ if !line.is_said() => Err("that message is gone".into()),
            _ => Ok(()),
        }))
    }

    /// Lines of a conversation that are pinned, oldest first.
    ///
    /// # Errors
    /// Those of the store.
    pub fn pinned(&self, room: RoomId) -> Result<Vec<(u64, Line)>, Error> {
        self.talk.pins(room)
    }

    /// Sends a line's words to another conversation.
    fn forward(&mut self, from: RoomId, id: MessageId, to: RoomId, now: Now) -> Result<(), Error> {
        let Some((pos, line)) = self.talk.line_of(from, &id)? else { return Ok(()) };
        let name = self.talk.chat.room(to).map_or(String::new(), |room| room.name().to_owned());
        if !line.is_said() {
            self.error("that message is gone: there is nothing to forward");
        } else if self.talk.disappears(from, pos) {
            self.error("a message that disappears is not forwarded: it would stay there");
        } else if let Some(why) = self.talk.chat.refuses(to, now) {
            self.error(&why);
        } else {
            match line.more.file {
                Some(attached) => {
                    self.talk.accept(to, now)?;
                    self.talk.forward_file(to, attached.file, now)?;
                }
                None => self.say(to, line.body, More { forwarded: true, ..More::default() }, now)?,
            }
            self.talk.notice(format!("forwarded to {name}"), false);
        }
        Ok(())
    }

    /// Shows what is pinned in the open conversation.
    pub(super) fn pins(&mut self) -> Result<(), Error> {
        if self.talk.chat.current().is_none() {
            self.error("open a conversation first: /add NAME begins one");
            return Ok(());
        }
        let rows = self.pin_rows()?;
        match rows.is_empty() {
            true => self.talk.notice("nothing is pinned here: /pin pins a message".into(), false),
            false => self.ui.show(Dialog::Pins(Box::new(Pins::new(rows)))),
        }
        Ok(())
    }

    fn pin_rows(&self) -> Result<Vec<Row>, Error> {
        let chat = &self.talk.chat;
        let Some(room) = chat.current() else { return Ok(Vec::new()) };
        let pins = self.talk.pins(room.id)?;
        Ok(pins.into_iter().map(|(_, line)| (line.id, author(chat, room, &line), line.body)).collect())
    }

    /// Words that were taken back, said otherwise or are due go from what lies on top too.
    pub(super) fn follow_lines(&mut self, effects: &[Effect]) {
        let of_line = |write: &Write| {
            let (Write::Put(table, ..) | Write::Delete(table, _)) = write;
            *table == LINES || *table == TEXTS
        };
        let wrote =
            |effect: &Effect| matches!(effect, Effect::Commit(batch) if batch.records.iter().any(of_line));
        if !effects.iter().any(wrote) {
            return;
        }
        self.forget_gone();
        self.ui.unask_gone(&self.talk.chat);
        if self.ui.lists_pins() {
            // What cannot be read any more is not shown any more.
            let rows = self.pin_rows().unwrap_or_default();
            self.ui.pins_now(&rows);
        }
    }

    /// Goes to a line of the open conversation.
    pub(super) fn go_to_line(&mut self, id: MessageId) -> Result<(), Error> {
        let Some(room) = self.talk.chat.open else { return Ok(()) };
        match self.talk.line_of(room, &id)? {
            Some((pos, _)) => {
                self.talk.look_at(pos)?;
                self.ui.go_to(id, &self.talk.chat);
            }
            None => self.error("that message is not here: it came before this device did, or never"),
        }
        Ok(())
    }

    /// What of the open conversation rings.
    pub(super) fn rings_here(&mut self, level: Option<Level>, seconds: Option<u32>, now: Now) {
        let Some(room) = self.talk.chat.current() else {
            return self.error("open a conversation first: /add NAME begins one");
        };
        let (id, muted) = (room.id, room.attention.is_muted());
        let level = level.unwrap_or(if muted && seconds.is_none() { Level::All } else { Level::None });
        self.talk.set_rings(id, level, seconds, now);
        let said = self.talk.chat.room(id).map(|room| room.attention.said(now));
        self.talk.notice(said.unwrap_or_default(), false);
    }
}
