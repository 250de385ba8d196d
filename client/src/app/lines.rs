//! Lines of conversations, read from the store in the order in which the screen shows them.

use crate::chat::expiry::reveal;
use crate::chat::timeline::{LINES, Line, insert, place, unplace};
use std::collections::VecDeque;
use subrosa_shared::id::RoomId;
use subrosa_shared::store::{Error, Order, Rows, Store};

/// How many lines may have come between a line and the one that was said after it: one that came later than
/// that stands where it came.
pub const LATE: usize = 1024;

/// Some lines of a conversation.
#[derive(Debug, Default)]
pub struct Page {
    /// With their positions, oldest first.
    pub lines: Vec<(u64, Line)>,
    /// There are older ones.
    pub more: bool,
}

/// Lines of a conversation, as they are shown: at most `limit`, the newest ones before the line of position
/// `before`, or of all. Messages that disappear have their text as long as they are there, and none
/// afterwards.
///
/// # Errors
/// Those of the store.
pub fn history(store: &Store, room: RoomId, before: u64, limit: usize) -> Result<Page, Error> {
    let (here, end) = (place(room, before), place(room, u64::MAX));
    let reach = limit.saturating_add(2 * LATE);
    let mut older = store.records.scan(LINES, &place(room, 0), &here, Order::Backward, reach)?;
    older.reverse();
    // What came later may have been said before that line.
    let newer = store.records.scan(LINES, &here, &end, Order::Forward, LATE)?;
    let newer = if newer.first().is_some_and(|(key, _)| *key == here) { newer } else { Rows::new() };
    let mut lines = VecDeque::with_capacity(older.len() + newer.len());
    for row in older.into_iter().chain(newer) {
        let (pos, line) = read(row)?;
        insert(&mut lines, pos, line);
    }
    let to = lines.iter().position(|(pos, _)| *pos == before).unwrap_or(lines.len());
    let from = to.saturating_sub(limit);
    let mut lines: Vec<(u64, Line)> = lines.into_iter().take(to).skip(from).collect();
    for (pos, line) in lines.iter_mut().filter(|(_, line)| line.body.is_empty()) {
        if let Some(apart) = reveal(store, room, *pos)? {
            line.put_back(apart);
        }
    }
    Ok(Page { lines, more: from > 0 })
}

/// All lines of a conversation before a position, as they are shown, without the text of messages that
/// disappear: a few at a time, so that memory stays in bound.
pub struct Lasting<'a> {
    store: &'a Store,
    room: RoomId,
    /// What is read next, and where the conversation ends.
    next: u64,
    end: u64,
    /// What may still be followed by something that was said before.
    held: VecDeque<(u64, Line)>,
}

impl<'a> Lasting<'a> {
    /// Of that conversation.
    pub fn new(store: &'a Store, room: RoomId, end: u64) -> Self {
        Self { store, room, next: 0, end, held: VecDeque::new() }
    }

    /// Reads a page; gives how many lines were read and those that come next. `None` at the end.
    ///
    /// # Errors
    /// Those of the store.
    pub fn page(&mut self) -> Result<Option<(u64, Vec<Line>)>, Error> {
        let (from, to) = (place(self.room, self.next), place(self.room, self.end));
        let rows = self.store.records.scan(LINES, &from, &to, Order::Forward, PAGE)?;
        let read_now = rows.len() as u64;
        for row in rows {
            let (pos, line) = read(row)?;
            self.next = pos + 1;
            insert(&mut self.held, pos, line);
        }
        let keep = if read_now == 0 { 0 } else { LATE };
        let out: Vec<Line> =
            self.held.drain(..self.held.len().saturating_sub(keep)).map(|(_, line)| line).collect();
        Ok((read_now > 0 || !out.is_empty()).then_some((read_now, out)))
    }
}

/// How many lines a conversation has that goes on to that position.
///
/// # Errors
/// Those of the store.
pub fn count(store: &Store, room: RoomId, end: u64) -> Result<u64, Error> {
    let first = store.records.scan(LINES, &place(room, 0), &place(room, end), Order::Forward, 1)?;
    let first = first.first().and_then(|(key, _)| unplace(key)).map_or(end, |(_, pos)| pos);
    Ok(end - first)
}

fn read((key, value): (Vec<u8>, Vec<u8>)) -> Result<(u64, Line), Error> {
    let damaged = || Error::Damaged("a line of a conversation".into());
    let (_, pos) = unplace(&key).ok_or_else(damaged)?;
    Ok((pos, Line::read(&value).ok_or_else(damaged)?))
}

/// Lines that are read at a time.
const PAGE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::timeline::{Author, LineState, More};
    use std::sync::Arc;
    use subrosa_shared::id::MessageId;
    use subrosa_shared::store::Batch;
    use subrosa_shared::store::memory::{Memory, MemorySlots};
    use subrosa_shared::time::Millis;

    const ROOM: RoomId = RoomId([1; 16]);

    /// Lines with these clocks, in the order in which they came; a body says the clock.
    fn store(first: u64, clocks: &[u64]) -> Store {
        let mut batch = Batch::default();
        for (at, clock) in clocks.iter().enumerate() {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&clock.to_be_bytes());
            let line =
                Line::new(MessageId(id), Author::Them, Millis(1), clock.to_string(), LineState::Received);
            let line = Line { more: More { clock: *clock, ..More::default() }, ..line };
            batch.put(LINES, place(ROOM, first + at as u64), line.encode());
        }
        let store = Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) };
        store.commit(&batch).expect("memory");
        store
    }

    fn clocks(page: &Page) -> Vec<u64> {
        page.lines.iter().map(|(_, line)| line.more.clock).collect()
    }

    #[test]
    fn what_came_late_is_listed_where_it_was_said_whatever_the_pages_are() {
        let came = [1, 2, 5, 6, 3, 7, 8, 4, 9, 13, 10, 11, 12];
        for first in [0, 1 << 40] {
            let store = store(first, &came);
            let all = history(&store, ROOM, u64::MAX, usize::MAX).expect("memory");
            assert_eq!(clocks(&all), (1..=13).collect::<Vec<_>>());
            assert!(!all.more);
            for limit in 1..=14 {
                let (mut listed, mut before) = (Vec::new(), u64::MAX);
                loop {
                    let page = history(&store, ROOM, before, limit).expect("memory");
                    listed.splice(0..0, clocks(&page));
                    if !page.more {
                        break;
                    }
                    before = page.lines.first().expect("there are more").0;
                }
                assert_eq!(listed, clocks(&all), "{limit} at a time");
            }
            let mut lasting = Lasting::new(&store, ROOM, first + 13);
            let mut all = Vec::new();
            while let Some((_, lines)) = lasting.page().expect("memory") {
                all.extend(lines.iter().map(|line| line.more.clock));
            }
            assert_eq!(all, (1..=13).collect::<Vec<_>>());
            assert_eq!(count(&store, ROOM, first + 13).expect("memory"), 13);
        }
    }

    #[test]
    fn a_long_conversation_is_listed_page_by_page_in_bounded_memory() {
        let mut came: Vec<u64> = (1..=5_000).collect();
        let late = came.remove(2_000);
        came.insert(2_000 + LATE - 1, late);
        let store = store(0, &came);
        let mut lasting = Lasting::new(&store, ROOM, 5_000);
        let (mut all, mut most) = (Vec::new(), 0);
        while let Some((_, lines)) = lasting.page().expect("memory") {
            all.extend(lines.iter().map(|line| line.more.clock));
            most = most.max(lasting.held.len());
        }
        assert_eq!(all, (1..=5_000).collect::<Vec<_>>());
        assert_eq!(most, LATE);
        let page = history(&store, ROOM, u64::MAX, 4_000).expect("memory");
        assert_eq!((clocks(&page), page.more), ((1_001..=5_000).collect(), true));
    }

    #[test]
    fn a_position_where_nothing_stands_ends_a_page_too() {
        let store = store(10, &[1, 2, 3]);
        assert!(history(&store, ROOM, 5, 9).expect("memory").lines.is_empty());
        assert_eq!(clocks(&history(&store, ROOM, 12, 9).expect("memory")), [1, 2]);
        assert_eq!(clocks(&history(&store, ROOM, 99, 2).expect("memory")), [2, 3]);
    }
}
