//! Finding lines by their words, over everything that was said.
//!
//! | module | what lives there |
//! |---|---|
//! | [`query`], [`words`], [`mod@matches`] | what is looked for; a text in words; whether it is there, and where |
//! | [`index`], [`segment`] | which lines may have which words, blinded and sealed |
//! | [`filling`] | what was said before there was an index |
//! | [`finding`] | the lines that the person walks along |
//!
//! The index only proposes lines: each is read and compared before it is shown. So it may know too much
//! (words that look alike to it, a line that is gone), and must never know too little.
//!
//! Lines of a person are indexed; what subrosa says is not, and neither are messages that disappear:
//! nothing of them outlives them here.

pub mod filling;
pub mod finding;
pub mod index;
pub mod matches;
pub mod query;
pub mod segment;
pub mod words;

use super::Chat;
use super::talk::Talk;
use super::timeline::{Author, LINES, Line, place};
use index::{Key, People, Side, Wanted, place_of};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use query::Query;
use segment::{By, Doc};
use std::collections::BTreeSet;
use std::ops::Range;
use subrosa_shared::id::{AccountName, RoomId};
use subrosa_shared::store::{Batch, Error};
use subrosa_shared::time::Millis;
use words::folded;

/// A line that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Its place among all that are found.
    pub key: Key,
    /// Its conversation.
    pub room: RoomId,
    /// Its position there.
    pub pos: u64,
    /// The line.
    pub line: Line,
}

/// Lines that were found, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// At most as many as were asked for.
    pub hits: Vec<Hit>,
    /// Where to go on; `None`: that is all.
    pub on: Option<Key>,
}

/// Lines that are read and compared at most before a page is given, full or not.
const LOOKS: usize = 2000;

impl Talk {
    /// Lines that are found, from a place on.
    ///
    /// # Errors
    /// Those of the store.
    pub fn search(
        &self,
        query: &Query,
        wanted: &Wanted,
        side: Side,
        behind: Option<Key>,
        limit: usize,
    ) -> Result<Page, Error> {
        let mut page = Page::default();
        let mut candidates = self.search.index.candidates(wanted, side, behind);
        for _ in 0..LOOKS {
            let Some(key) = candidates.next(&self.store)? else {
                page.on = None;
                break;
            };
            page.on = Some(key);
            let (room, pos) = place_of(&key);
            let Some(bytes) = self.store.records.get(LINES, &place(room, pos))? else { continue };
            let line = Line::read(&bytes).ok_or_else(|| Error::Damaged("a line of a conversation".into()))?;
            if worth(&line).is_some_and(|text| query.is_in(&text)) {
                page.hits.push(Hit { key, room, pos, line });
                if page.hits.len() >= limit {
                    break;
                }
            }
        }
        Ok(page)
    }

    /// What a query means with the people and conversations of this account.
    ///
    /// # Errors
    /// A sentence, for a conversation that there is not.
    pub fn wanted(&self, query: &Query, zone: &TimeZone) -> Result<Wanted, String> {
        let rooms = if query.rooms.is_empty() { None } else { Some(rooms(&self.chat, &query.rooms)?) };
        let people = (!query.from.is_empty()).then(|| people(&self.chat, &query.from));
        let since = query.since.map_or(Millis(0), |day| begins(day, zone));
        let until = query.until.map_or(Millis(u64::MAX), |day| begins(day, zone));
        Ok(Wanted { words: self.search.index.tokens(query), people, rooms, since, until })
    }

    /// The text of a line is another one now, or gone (no line); or a whole conversation is gone (no
    /// position). To be called in the batch that changes it.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) fn index_again(
        &mut self,
        room: RoomId,
        pos: Option<u64>,
        line: Option<&Line>,
    ) -> Result<(), Error> {
        let store = self.store.clone();
        if pos.is_none() {
            self.search.index.state.fill.rooms.retain(|(other, _)| *other != room);
            self.search.index.save(&mut self.batch);
        }
        match self.search.index.forget(&store, room, pos, &mut self.batch) {
            // It is made anew from what is stored then: of this line too.
            Err(Error::Damaged(_)) => return self.index_anew(),
            done => done?,
        }
        if let Some((pos, line)) = pos.zip(line) {
            self.search.line(room, pos, line, &mut self.batch);
        }
        Ok(())
    }
}

/// Indexes a line, when it is one to be found.
pub(super) fn index_line(index: &mut index::Index, room: RoomId, pos: u64, line: &Line, batch: &mut Batch) {
    let Some(text) = worth(line) else { return };
    let by = match (&line.author, &line.more.by) {
        (Author::Me, _) => By::Me,
        (_, Some(name)) => By::Member(name.clone()),
        (_, None) => By::Them,
    };
    index.add(Doc { room, pos, at: line.at, by }, &text, batch);
}

/// What of a line is found; `None`: nothing.
pub fn worth(line: &Line) -> Option<std::borrow::Cow<'_, str>> {
    let said = matches!(line.author, Author::Me | Author::Them) && !line.body.is_empty();
    said.then(|| line.body.as_str().into())
}

/// Conversations by name: whole names before beginnings of names.
fn rooms(chat: &Chat, names: &[String]) -> Result<BTreeSet<RoomId>, String> {
    let mut found = BTreeSet::new();
    for name in names {
        let called = |fits: &dyn Fn(&str) -> bool| -> Vec<RoomId> {
            let has = |room: &&super::room::Room| {
                fits(&folded(room.name().trim_start_matches('#')))
                    || room.with().is_some_and(|with| fits(&folded(with.as_str())))
            };
            chat.rooms.iter().filter(has).map(|room| room.id).collect()
        };
        let mut some = called(&|other| other == name);
        if some.is_empty() {
            some = called(&|other| other.starts_with(name.as_str()));
        }
        if some.is_empty() {
            return Err(format!(
                "No conversation is called «{}»: Ctrl+k lists them.",
                crate::text::line(name)
            ));
        }
        found.extend(some);
    }
    Ok(found)
}

fn people(chat: &Chat, names: &[String]) -> People {
    let mut people = People::default();
    for name in names {
        people.me |= name == "me" || *name == chat.name.as_str();
        for room in &chat.rooms {
            let Some(with) = room.with() else { continue };
            if folded(room.name()) == *name || with.as_str() == name {
                people.rooms.insert(room.id);
                people.names.insert(with.clone());
            }
        }
        people.names.extend(AccountName::parse(name));
    }
    people
}

/// When a day begins there.
fn begins(day: Date, zone: &TimeZone) -> Millis {
    let begins = day.to_zoned(zone.clone()).map_or(0, |zoned| zoned.timestamp().as_millisecond());
    Millis(u64::try_from(begins).unwrap_or(0))
}

/// Where the words of a query stand in a text, for whoever shows it.
pub fn marks(query: Option<&Query>, text: &str) -> Vec<Range<usize>> {
    query.map_or(Vec::new(), |query| query.spans(text))
}
