//! The lines that were found, as the person walks along them: a window over all of them.

use super::index::{Side, Wanted};
use super::query::Query;
use super::{Hit, Page, worth};
use crate::chat::talk::Talk;
use crate::chat::timeline::{LINES, Line, place};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::collections::{BTreeSet, VecDeque};
use subrosa_shared::store::{Batch, Error, Write};
use subrosa_shared::time::Now;

/// What is looked for and what was found, newest first.
pub struct Finding {
    /// As it was typed.
    pub text: String,
    /// What it says; what is shown of it is highlighted.
    pub query: Query,
    /// Why nothing can be found, as a sentence.
    pub fault: Option<String>,
    /// Some of what was found.
    pub hits: VecDeque<Hit>,
    /// How many newer ones were found and are not in memory.
    pub before: usize,
    /// There may be older ones.
    pub more: bool,
    /// The line that was gone to last.
    pub at: Option<usize>,
    wanted: Option<Wanted>,
    /// Where the older ones begin.
    on: Option<super::index::Key>,
}

/// Lines that are looked for at a time.
pub const PAGE: usize = 50;
/// Lines in memory at most.
const KEEP: usize = 4 * PAGE;
/// Rounds that are made for one key press: most searches need one.
const ROUNDS: usize = 4;

impl Talk {
    /// Looks for what is typed.
    ///
    /// # Errors
    /// Those of the store.
    pub fn find(&mut self, text: &str, zone: &TimeZone, now: Now) -> Result<(), Error> {
        let read = Query::parse(text, today(zone, now))
            .and_then(|query| Ok((self.wanted(&query, zone)?, query)))
            .map(|(wanted, query)| (Some(wanted).filter(|_| !query.is_empty()), query, None))
            .unwrap_or_else(|why| (None, Query::default(), Some(why)));
        let (wanted, query, fault) = read;
        let more = wanted.is_some();
        self.chat.finding = Some(Finding {
            text: text.to_owned(),
            query,
            fault,
            hits: VecDeque::new(),
            before: 0,
            more,
            at: None,
            wanted,
            on: None,
        });
        self.find_on(Side::Older)
    }

    /// Reads the next hits on one side of those in memory.
    ///
    /// # Errors
    /// Those of the store.
    pub fn find_on(&mut self, side: Side) -> Result<(), Error> {
        let Some(mut finding) = self.chat.finding.take() else { return Ok(()) };
        let found = finding.look(self, side);
        self.chat.finding = Some(finding);
        match found {
            // The index proposes: what it cannot read it learns again.
            Err(Error::Damaged(_)) => {
                if let Some(finding) = &mut self.chat.finding {
                    finding.more = false;
                    finding.fault =
                        Some("The index was damaged and is made anew: search again in a while.".into());
                }
                self.index_anew()
            }
            found => found,
        }
    }

    /// What was written a moment ago may be among what was found.
    pub(in crate::chat) fn follow_found(&mut self, batch: &Batch) {
        if let Some(mut finding) = self.chat.finding.take() {
            finding.follow(self, batch);
            self.chat.finding = Some(finding);
        }
    }

    /// Nothing is looked for any longer.
    pub fn find_nothing(&mut self) {
        self.chat.finding = None;
    }
}

/// The day that it is there.
pub fn today(zone: &TimeZone, now: Now) -> Date {
    let wall = i64::try_from(now.wall.0).unwrap_or(0);
    let today = jiff::Timestamp::from_millisecond(wall).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    today.to_zoned(zone.clone()).date()
}

impl Finding {
    /// Lines that were written are read again: those that are gone, or say something else now, are found no more.
    fn follow(&mut self, talk: &Talk, batch: &Batch) {
        let key = |write: &Write| {
            let (Write::Put(table, key, _) | Write::Delete(table, key)) = write;
            (*table == LINES).then(|| key.clone())
        };
        let written: BTreeSet<Vec<u8>> = batch.records.iter().filter_map(key).collect();
        if written.is_empty() {
            return;
        }
        let (query, at) = (&self.query, self.at);
        let (mut nth, mut gone) = (0, 0);
        self.hits.retain_mut(|hit| {
            let place = place(hit.room, hit.pos);
            let mut found = true;
            if written.contains(&place) {
                let line = talk.store.records.get(LINES, &place).ok().flatten();
                let line = line.and_then(|bytes| Line::read(&bytes));
                let line = line.filter(|line| worth(line).is_some_and(|text| query.is_in(&text)));
                match line {
                    Some(line) => hit.line = line,
                    None => found = false,
                }
            }
            gone += usize::from(!found && at.is_some_and(|at| nth <= at));
            nth += 1;
            found
        });
        self.at = at.and_then(|at| at.checked_sub(gone));
    }

    fn look(&mut self, talk: &Talk, side: Side) -> Result<(), Error> {
        let Some(wanted) = &self.wanted else { return Ok(()) };
        match side {
            Side::Older if self.more => {
                for _ in 0..ROUNDS {
                    let Page { hits, on } = talk.search(&self.query, wanted, side, self.on, PAGE)?;
                    let enough = !hits.is_empty() || on.is_none();
                    self.hits.extend(hits);
                    (self.on, self.more) = (on.or(self.on), on.is_some());
                    if enough {
                        break;
                    }
                }
                while self.hits.len() > KEEP {
                    self.hits.pop_front();
                    self.before += 1;
                    self.at = self.at.and_then(|at| at.checked_sub(1));
                }
            }
            Side::Newer if self.before > 0 => {
                let Some(first) = self.hits.front().map(|hit| hit.key) else { return Ok(()) };
                let mut from = Some(first);
                for _ in 0..ROUNDS {
                    let Page { hits, on } = talk.search(&self.query, wanted, side, from, PAGE)?;
                    let enough = !hits.is_empty() || on.is_none();
                    for hit in hits {
                        self.hits.push_front(hit);
                        self.before = self.before.saturating_sub(1);
                        self.at = self.at.map(|at| at + 1);
                    }
                    from = on;
                    if enough {
                        break;
                    }
                }
                while self.hits.len() > KEEP {
                    self.hits.pop_back();
                    self.on = self.hits.back().map(|hit| hit.key);
                    self.more = true;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
