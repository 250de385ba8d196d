//! The ways out: leaving, locking, burning.

use super::App;
use crate::effect::Effect;
use crate::event::Event;
use crate::lock::Leaving;
use crate::ui::command::Command;
use subrosa_shared::store::Error;
use subrosa_shared::time::Now;

impl App {
    pub(super) fn leave(&mut self, how: Leaving, now: Now) {
        self.talk.leave_call(now);
        self.keep_draft();
        self.talk.flush_receipts(now);
        // Who is told to end while it locks ends, and who ends is not locked any more.
        self.leaving = self.leaving.max(Some(how));
        self.talk.then(Effect::Quit);
    }

    /// What happens instead of an event when it is time to lock; nothing once that was begun: what the
    /// relay still brings is not acknowledged, and comes again.
    pub(super) fn unless_locked(&mut self, event: Event, now: Now) -> Option<Event> {
        if matches!(event, Event::Run(Command::Quit)) {
            return Some(event);
        }
        match self.leaving {
            None => {}
            Some(Leaving::Quit) => return Some(event),
            Some(Leaving::Lock | Leaving::Burn) => return None,
        }
        if self.is_idle(now) {
            if self.talk.chat.stuck.is_none() {
                // What comes back from an editor is taken first.
                let edited = matches!(event, Event::Edited(_));
                return Some(if edited { event } else { Event::Run(Command::Lock) });
            }
            // What is not on the disk would be lost.
            self.idle.touched(now);
        }
        let person = matches!(
            event,
            Event::Key(_) | Event::Paste(_) | Event::Mouse(_) | Event::Resize(..) | Event::Edited(_)
        );
        if person || (self.in_call() && self.idle.due().is_some()) {
            self.idle.touched(now);
        }
        Some(event)
    }

    /// What is typed goes to the editor.
    pub(super) fn edit(&mut self, text: String, now: Now) -> Result<(), Error> {
        let open = self.talk.chat.open;
        let line = match open.zip(self.ui.reworded()) {
            Some((room, on)) => self.talk.line_of(room, &on)?.map(|(pos, _)| (room, pos)),
            None => None,
        };
        let timed =
            open.and_then(|room| self.talk.chat.room(room)).is_some_and(|room| room.timeline.timer() > 0);
        let fleeting = timed || line.is_some_and(|(room, pos)| self.talk.disappears(room, pos));
        self.talk.looks_away(now);
        self.talk.then(Effect::Edit { text, fleeting });
        Ok(())
    }

    /// The editor closed. When the idle time passed meanwhile, the text is kept and the client locks.
    pub(super) fn edited(&mut self, edited: Result<String, String>, now: Now) -> Vec<Command> {
        match edited {
            Ok(text) => self.ui.edited(text),
            Err(why) => self.ui.notice(why, true, now),
        }
        if !self.is_idle(now) {
            return Vec::new();
        }
        if self.keep_draft() {
            return vec![Command::Lock];
        }
        // It would be lost, and somebody is there.
        self.idle.touched(now);
        Vec::new()
    }

    /// Whether the idle time runs.
    pub(super) fn idles(&self) -> bool {
        self.vault && self.leaving.is_none() && !self.in_call()
    }

    /// Whether somebody is there without pressing a key.
    fn in_call(&self) -> bool {
        self.talk.chat.call.as_ref().is_some_and(|call| call.is_taken())
    }

    /// Whether it is over.
    fn is_idle(&self, now: Now) -> bool {
        self.idles() && self.idle.is_over(now)
    }
}
