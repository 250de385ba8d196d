//! Commands about finding what was said, and going there.

use super::App;
use crate::chat::search::finding::Finding;
use crate::chat::search::index::{Key, Side};
use crate::chat::search::query::Query;
use crate::chat::search::{Hit, Page};
use crate::ui::command::Command;
use crate::ui::search::Walk;
use subrosa_shared::store::Error;
use subrosa_shared::time::Now;

impl App {
    pub(super) fn look_for(&mut self, command: Command, now: Now) -> Result<(), Error> {
        match command {
            Command::Search(text) => {
                let last = self.talk.chat.finding.as_ref().map(|finding| finding.text.clone());
                let text = if text.is_empty() { last.unwrap_or_default() } else { text };
                self.ui.show_search(&text);
                self.talk.find(&text, self.ui.zone(), now)?;
            }
            Command::Find(text) => self.talk.find(&text, self.ui.zone(), now)?,
            Command::FindOn(side) => self.talk.find_on(side)?,
            Command::Jump(nth) => self.jump(nth, now)?,
            Command::Hit(side) => self.next_hit(side, now)?,
            Command::Back => self.back(now)?,
            _ => {}
        }
        Ok(())
    }

    /// Lines that are found, newest first, for who has no screen.
    ///
    /// # Errors
    /// A sentence.
    pub fn search(&self, text: &str, behind: Option<Key>, limit: usize, now: Now) -> Result<Page, String> {
        let zone = self.ui.zone();
        let query = Query::parse(text, crate::chat::search::finding::today(zone, now))?;
        if query.is_empty() {
            return Err("there is nothing to look for: give words, from:NAME, in:NAME or a date".into());
        }
        let wanted = self.talk.wanted(&query, zone)?;
        let page = self.talk.search(&query, &wanted, Side::Older, behind, limit);
        page.map_err(|error| format!("the index or the store cannot be read: {error}"))
    }

    /// Goes to a line that was found.
    fn jump(&mut self, nth: usize, now: Now) -> Result<(), Error> {
        let hit = self.talk.chat.finding.as_ref().and_then(|finding| finding.hits.get(nth));
        let Some(Hit { room, pos, .. }) = hit.cloned() else { return Ok(()) };
        if self.talk.chat.room(room).is_none() {
            self.error("that conversation is gone");
            return Ok(());
        }
        let walk = self.ui.walk_from(&self.talk.chat);
        self.open(room, now)?;
        self.talk.look_at(pos)?;
        if let Some(finding) = &mut self.talk.chat.finding {
            finding.at = Some(nth);
        }
        self.ui.walk_to(walk, pos, &self.talk.chat);
        Ok(())
    }

    /// The next one on that side.
    fn next_hit(&mut self, side: Side, now: Now) -> Result<(), Error> {
        let Some(finding) = &self.talk.chat.finding else {
            self.error("nothing was looked for: /search WORDS");
            return Ok(());
        };
        if step(finding, side).is_none() {
            self.talk.find_on(side)?;
        }
        match self.talk.chat.finding.as_ref().and_then(|finding| step(finding, side)) {
            Some(nth) => self.jump(nth, now)?,
            None => {
                let which = if side == Side::Older { "oldest" } else { "newest" };
                self.talk.notice(format!("that was the {which} one"), false);
            }
        }
        Ok(())
    }

    /// Where one was before.
    fn back(&mut self, now: Now) -> Result<(), Error> {
        let Some(Walk { room, at }) = self.ui.end_walk() else {
            self.error("you did not go anywhere: /search WORDS finds what was said");
            return Ok(());
        };
        self.talk.find_nothing();
        if let Some(room) = room.filter(|room| self.talk.chat.room(*room).is_some()) {
            self.open(room, now)?;
        }
        match at {
            Some((pos, row)) => {
                self.talk.look_at(pos)?;
                self.ui.return_to(pos, row, &self.talk.chat);
            }
            None => self.ui.to_bottom(),
        }
        Ok(())
    }
}

/// The hit behind the one that was gone to last.
fn step(finding: &Finding, side: Side) -> Option<usize> {
    let next = match (finding.at, side) {
        (None, _) => 0,
        (Some(at), Side::Older) => at + 1,
        (Some(at), Side::Newer) => at.checked_sub(1)?,
    };
    (next < finding.hits.len()).then_some(next)
}
