//! What follows from any event: read marks, older pages, the window's title, the next wake-up.

use super::App;
use crate::effect::{Effect, Happened};
use crate::ui::sessions;
use subrosa_shared::store::Error;
use subrosa_shared::time::Now;

impl App {
    /// What follows from any event: read marks, typing, older pages.
    pub(super) fn after(&mut self, now: Now) -> Result<(), Error> {
        self.turn_to_open();
        self.forget_gone();
        self.ui.close_unseen();
        self.show_code(now);
        self.at_doors(now);
        if self.ui.is_at_bottom() {
            self.talk.leave_past();
        }
        let bottom = self.ui.sees_bottom(&self.talk.chat);
        self.talk.set_watching(bottom);
        if let Some(room) = self.talk.chat.open.filter(|_| bottom) {
            self.talk.mark_read(room, now)?;
            self.talk.shrink();
        }
        // A text that only lies there is not being typed.
        if self.typed != self.ui.draft() {
            self.ui.draft().clone_into(&mut self.typed);
            self.talk.typing(self.ui.composing(), now);
        }
        if self.ui.wants_older(&self.talk.chat) {
            self.talk.older()?;
        }
        if self.ui.wants_newer(&self.talk.chat) {
            self.talk.newer()?;
        }
        self.talk.watch_backup(now);
        if self.listings != self.talk.chat.listings {
            self.listings = self.talk.chat.listings;
            let dialog = sessions::dialog(&self.talk.chat, now);
            self.ui.show(dialog);
        }
        Ok(())
    }

    /// Words that are gone from their line, wherever that stands, go from the composer too.
    pub(super) fn forget_gone(&mut self) {
        let Some((room, on)) = self.talk.chat.open.zip(self.ui.reworded()) else { return };
        if matches!(self.talk.line_of(room, &on), Ok(Some((_, line))) if line.body.is_empty()) {
            self.ui.forget_reworded();
        }
    }

    /// What the screen itself shows of an effect.
    pub(super) fn show(&mut self, effect: &mut Effect, now: Now) {
        match effect {
            Effect::Tell(Happened::Notice { text, error }) => self.ui.notice(text.clone(), *error, now),
            Effect::Notify { title, body } => match self.config.notify.preview.as_str() {
                "full" => {}
                "none" => (*title, *body) = ("subrosa".into(), "something new".into()),
                _ => *body = if body == "is calling" { body.clone() } else { "new message".into() },
            },
            _ => {}
        }
    }

    /// Title and next wake-up.
    pub(super) fn finish(&mut self, effects: &mut Vec<Effect>, now: Now) {
        let unread = self.talk.chat.unread();
        let title = if unread > 0 && self.leaving.is_none() {
            format!("({unread}) subrosa")
        } else {
            "subrosa".to_string()
        };
        if self.config.notify.title && title != self.title {
            self.title = title.clone();
            // Before what ends the client.
            effects.insert(0, Effect::Title(title));
        }
        let idle = self.idle.due().filter(|_| self.idles());
        let next = [self.talk.next_wake(), self.ui.next_wake(now), idle, self.code_due(now), self.asks_at()]
            .into_iter()
            .flatten()
            .min();
        if let Some(at) = next.filter(|at| self.woken != Some(*at)) {
            self.woken = Some(at);
            effects.push(Effect::Wake(at));
        }
    }
}
