//! The ways out: leaving, locking, burning.

use super::App;
use crate::effect::Effect;
use crate::event::Event;
use crate::lock::Leaving;
use crate::ui::command::Command;
use subrosa_shared::time::Now;

impl App {
    pub(super) fn leave(&mut self, how: Leaving, now: Now) {
        if self.talk.chat.call.is_some() {
            self.talk.hang_up(now);
        }
        self.keep_draft();
        self.talk.flush_receipts(now);
        self.leaving = how;
        self.talk.then(Effect::Quit);
    }

    /// What happens instead of an event when it is time to lock; nothing once that was begun: what the
    /// relay still brings is not acknowledged, and comes again.
    pub(super) fn unless_locked(&mut self, event: Event, now: Now) -> Option<Event> {
        if self.leaving != Leaving::Quit {
            return None;
        }
        // A text comes back from the editor when the person is done with it, however long that took; and
        // who leaves has nothing to lock.
        let passes = matches!(event, Event::Edited(_) | Event::Run(Command::Quit));
        if !passes && self.idles() && self.idle.is_over(now) {
            return Some(Event::Run(Command::Lock));
        }
        let person = matches!(
            event,
            Event::Key(_) | Event::Paste(_) | Event::Mouse(_) | Event::Resize(..) | Event::Edited(_)
        );
        if person || (self.talk.chat.call.is_some() && self.idle.due().is_some()) {
            self.idle.touched(now);
        }
        Some(event)
    }

    /// Whether the idle time runs.
    pub(super) fn idles(&self) -> bool {
        self.vault && self.leaving == Leaving::Quit && self.talk.chat.call.is_none()
    }
}
