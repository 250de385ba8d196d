//! The lines of one conversation: a window in memory over what the store holds.

mod line;

pub use line::{Author, Line, LineState, More};

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use subrosa_shared::id::{MessageId, RoomId};
use subrosa_shared::store::{Batch, Error, Order, Store, Table};

/// One line, by position: `room ‖ pos` → [`Line`].
pub const LINES: Table = Table { byte: 0x21, name: "lines" };
/// Where a message stands: message id → `room ‖ pos`. Of a line that somebody else than its author told
/// `room ‖ message id` → `room ‖ pos`, until its author says it: it is in the way of none elsewhere.
pub const PLACES: Table = Table { byte: 0x22, name: "places" };

/// A conversation's lines: positions count from 0 and never change; `first()..end()` is in memory.
///
/// They are shown in the order of their clocks, where they have one: a line that came late stands where
/// it was said. `get(i)` is the line that is shown there; its position is another one then.
#[derive(Debug)]
pub struct Timeline {
    room: RoomId,
    first: u64,
    /// With their positions, in the order in which they are shown.
    lines: VecDeque<(u64, Line)>,
    /// Seconds that messages stay, 0: for ever.
    timer: u32,
    /// Lines whose text lies apart, see [`super::expiry`].
    timed: BTreeSet<u64>,
    /// Lines that are not in memory and that a line there answers.
    aside: HashMap<MessageId, (u64, Line)>,
    /// Lines that are not in memory and that this event changed: the store does not know them so yet.
    fresh: HashMap<u64, Line>,
}

/// How many lines are read from the store at a time.
pub const PAGE: usize = 256;

impl Timeline {
    /// The newest lines of a room that has `end` of them.
    ///
    /// # Errors
    /// Those of the store.
    pub fn load(store: &Store, room: RoomId, end: u64) -> Result<Self, Error> {
        let mut timeline = Self::closed(room, end);
        timeline.older(store)?;
        Ok(timeline)
    }

    /// Nothing in memory yet of a room that has `end` lines.
    pub fn closed(room: RoomId, end: u64) -> Self {
        let (lines, timed, aside, fresh) = Default::default();
        Self { room, first: end, lines, timer: 0, timed, aside, fresh }
    }

    /// Seconds that messages stay once they were read, 0: for ever.
    pub fn timer(&self) -> u32 {
        self.timer
    }

    pub(super) fn set_timer(&mut self, seconds: u32) {
        self.timer = seconds;
    }

    /// The line there, or the next one that is pushed there, is stored without its text.
    pub(super) fn is_timed(&mut self, pos: u64) {
        self.timed.insert(pos);
    }

    /// A line has no text any more that could lie apart.
    pub(super) fn is_bare(&mut self, pos: u64) {
        self.timed.remove(&pos);
    }

    /// Whose lines these are.
    pub fn room(&self) -> RoomId {
        self.room
    }

    /// Whether the text of that line goes again, and lies apart until then.
    pub(super) fn disappears(&self, pos: u64) -> bool {
        self.timed.contains(&pos)
    }

    /// Forgets the text of a line and what stood around it; gives what stays.
    ///
    /// # Errors
    /// Those of the store, for a line that is not in memory.
    pub(super) fn erase(
        &mut self,
        store: &Store,
        pos: u64,
        batch: &mut Batch,
    ) -> Result<Option<Line>, Error> {
        self.timed.remove(&pos);
        let Some(mut line) = self.read(store, pos)?.map(|line| line.bare()) else { return Ok(None) };
        line.strip();
        self.put(pos, line.clone(), batch);
        Ok(Some(line))
    }

    /// The event is over: the store knows what it changed, or never will.
    pub(super) fn settled(&mut self) {
        self.fresh.clear();
    }

    /// Where the line of that position is shown, when it is in memory.
    fn index(&self, pos: u64) -> Option<usize> {
        let guess = usize::try_from(pos.checked_sub(self.first)?).ok()?;
        let there = |i: &usize| self.lines.get(*i).is_some_and(|(at, _)| *at == pos);
        Some(guess).filter(there).or_else(|| self.lines.iter().position(|(at, _)| *at == pos))
    }

    /// Reads one more page of older lines into memory. False when there are none.
    ///
    /// # Errors
    /// Those of the store.
    pub fn older(&mut self, store: &Store) -> Result<bool, Error> {
        let (from, to) = (place(self.room, 0), place(self.room, self.first));
        if self.first == 0 {
            return Ok(false);
        }
        let rows = store.records.scan(LINES, &from, &to, Order::Backward, PAGE)?;
        for (key, value) in &rows {
            if unplace(key).map(|(_, pos)| pos + 1) != Some(self.first) {
                return Err(Error::Damaged("a line of a conversation is missing".into()));
            }
            let line = self.whole(store, self.first - 1, value)?;
            // Mostly at the very front: what it has to pass came late and was said before it.
            let order = line.order();
            let passed = |(_, other): &(u64, Line)| other.order() < order;
            let ordered = |(_, other): &(u64, Line)| other.more.clock > 0;
            let mut index = 0;
            for (i, row) in self.lines.iter().enumerate().filter(|(_, row)| ordered(row)) {
                if order.is_none() || !passed(row) {
                    break;
                }
                index = i + 1;
            }
            self.first -= 1;
            self.fresh.remove(&self.first);
            self.lines.insert(index, (self.first, line));
        }
        let asked: Vec<MessageId> = self.lines.iter().filter_map(|(_, line)| line.more.reply).collect();
        for id in asked {
            self.fetch(store, id)?;
        }
        let Self { aside, lines, .. } = self;
        aside.retain(|id, _| !lines.iter().any(|(_, line)| line.id == *id));
        Ok(!rows.is_empty())
    }

    /// Has that line at hand, for the lines that answer it.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) fn fetch(&mut self, store: &Store, id: MessageId) -> Result<(), Error> {
        if self.quoted(&id).is_some() {
            return Ok(());
        }
        for key in [&id.0[..], &told_key(self.room, &id)] {
            let place = store.records.get(PLACES, key)?.and_then(|place| unplace(&place));
            // What was said elsewhere is not shown here.
            if let Some((_, pos)) = place.filter(|(room, _)| *room == self.room)
                && let Some(line) = self.read(store, pos)?
            {
                self.aside.insert(id, (pos, line));
                break;
            }
        }
        Ok(())
    }

    /// A line that is answered, where it is known here.
    pub fn quoted(&self, id: &MessageId) -> Option<&Line> {
        self.find(id).map(|(_, line)| line).or_else(|| self.aside.get(id).map(|(_, line)| line))
    }

    /// A line in memory, with its position.
    pub fn find(&self, id: &MessageId) -> Option<(u64, &Line)> {
        self.lines.iter().rev().find(|(_, line)| line.id == *id).map(|(pos, line)| (*pos, line))
    }

    /// The line of that position, with its text also where that lies apart.
    ///
    /// # Errors
    /// Those of the store.
    pub fn read(&self, store: &Store, pos: u64) -> Result<Option<Line>, Error> {
        if let Some((_, line)) = self.index(pos).and_then(|i| self.lines.get(i)) {
            return Ok(Some(line.clone()));
        }
        let Some(bytes) = store.records.get(LINES, &place(self.room, pos))? else { return Ok(None) };
        self.whole(store, pos, &bytes).map(Some)
    }

    /// A line that is stored so, as this event left it and with its text.
    fn whole(&self, store: &Store, pos: u64, stored: &[u8]) -> Result<Line, Error> {
        if let Some(line) = self.fresh.get(&pos) {
            return Ok(line.clone());
        }
        let mut line = Line::read(stored).ok_or_else(damaged)?;
        if self.timed.contains(&pos) {
            match super::expiry::reveal(store, self.room, pos)? {
                Some(apart) => line.put_back(apart),
                None => line.body.clear(),
            }
        }
        Ok(line)
    }

    /// Changes the line of that position, wherever it is; what the change gives. Nothing is written when
    /// that is nothing.
    ///
    /// # Errors
    /// Those of the store, for a line that is not in memory.
    pub fn change<T>(
        &mut self,
        store: &Store,
        pos: u64,
        batch: &mut Batch,
        change: impl FnOnce(&mut Line) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(mut line) = self.read(store, pos)? else { return Ok(None) };
        let before = line.clone();
        let changed = change(&mut line);
        // A word that changes nothing to be seen may still be the newest one.
        if line != before {
            self.put(pos, line, batch);
        }
        Ok(changed)
    }

    /// Writes the line of that position as it is now, wherever it is.
    fn put(&mut self, pos: u64, line: Line, batch: &mut Batch) {
        batch.put(LINES, place(self.room, pos), encoded(&line, self.timed.contains(&pos)));
        for aside in self.aside.values_mut().filter(|(at, _)| *at == pos) {
            aside.1 = line.clone();
        }
        let index = self.index(pos);
        match index.and_then(|index| self.lines.get_mut(index)) {
            None => drop(self.fresh.insert(pos, line)),
            Some(row) if row.1.order() == line.order() => row.1 = line,
            // Said in another place than was thought.
            Some(_) => {
                self.lines.retain(|(at, _)| *at != pos);
                insert(&mut self.lines, pos, line);
            }
        }
    }

    /// The lines of these positions and some older ones, apart from those that are in memory here.
    ///
    /// # Errors
    /// Those of the store.
    pub fn part(&self, store: &Store, from: u64, end: u64) -> Result<Self, Error> {
        let end = end.min(self.end());
        let mut part = Self { timer: self.timer, timed: self.timed.clone(), ..Self::closed(self.room, end) };
        while part.first > from && part.older(store)? {}
        Ok(part)
    }

    /// Reads one more page of newer lines into memory, up to the end of the conversation. False when
    /// there are none.
    ///
    /// # Errors
    /// Those of the store.
    pub fn newer(&mut self, store: &Store, end: u64) -> Result<bool, Error> {
        let (from, to) = (self.end(), place(self.room, end));
        let rows = store.records.scan(LINES, &place(self.room, from), &to, Order::Forward, PAGE)?;
        for (i, (key, value)) in rows.iter().enumerate() {
            let pos = from + i as u64;
            if unplace(key).map(|(_, at)| at) != Some(pos) {
                return Err(Error::Damaged("a line of a conversation is missing".into()));
            }
            let line = self.whole(store, pos, value)?;
            insert(&mut self.lines, pos, line);
        }
        Ok(!rows.is_empty())
    }

    /// Forgets lines far from the beginning.
    pub fn shrink_end(&mut self, keep: usize) {
        while self.lines.len() > keep {
            let newest = self.index(self.end() - 1).unwrap_or(self.lines.len() - 1);
            self.lines.remove(newest);
        }
    }

    /// Takes the lines of a part that goes on to the same end.
    pub fn become_part(&mut self, part: Self) {
        (self.first, self.lines) = (part.first, part.lines);
    }

    /// Hands over the lines from `from` on that are not in memory, oldest first.
    ///
    /// # Errors
    /// Those of the store.
    pub fn stored(&self, store: &Store, from: u64, mut each: impl FnMut(u64, Line)) -> Result<(), Error> {
        let mut from = from;
        while from < self.first {
            let (start, end) = (place(self.room, from), place(self.room, self.first));
            let rows = store.records.scan(LINES, &start, &end, Order::Forward, PAGE)?;
            if rows.is_empty() {
                break;
            }
            for (key, value) in rows {
                let (_, pos) = unplace(&key).ok_or_else(damaged)?;
                let line = match self.fresh.get(&pos) {
                    Some(line) => line.clone(),
                    None => Line::read(&value).ok_or_else(damaged)?,
                };
                each(pos, line);
                from = pos + 1;
            }
        }
        Ok(())
    }

    /// Position of the oldest line in memory.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Position after the newest line; how many there are in all.
    pub fn end(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    /// The line in memory that is shown there, `first()..end()`.
    pub fn get(&self, shown: u64) -> Option<&Line> {
        self.row(shown).map(|(_, line)| line)
    }

    /// The position of the line that is shown there.
    pub fn position(&self, shown: u64) -> Option<u64> {
        self.row(shown).map(|(pos, _)| *pos)
    }

    /// Where the line of that position is shown; `None` when it is not in memory.
    pub fn shown(&self, pos: u64) -> Option<u64> {
        self.index(pos).map(|i| self.first + i as u64)
    }

    fn row(&self, shown: u64) -> Option<&(u64, Line)> {
        self.lines.get(usize::try_from(shown.checked_sub(self.first)?).ok()?)
    }

    /// Lines in memory with their positions, as they are shown: oldest first.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = (u64, &Line)> {
        self.lines.iter().map(|(pos, line)| (*pos, line))
    }

    /// Adds a line: at the end, or where its clock says. Gives its position.
    pub fn push(&mut self, line: Line, batch: &mut Batch) -> u64 {
        let pos = self.end();
        let place = place(self.room, pos);
        batch.put(LINES, place.clone(), encoded(&line, self.timed.contains(&pos)));
        batch.put(PLACES, place_key(self.room, &line), place);
        insert(&mut self.lines, pos, line);
        pos
    }

    /// Moves an own line to a further state; never back. True when it changed.
    ///
    /// # Errors
    /// Those of the store, for a line that is not in memory.
    pub fn mark(
        &mut self,
        store: &Store,
        pos: u64,
        state: LineState,
        batch: &mut Batch,
    ) -> Result<bool, Error> {
        let marked = self.change(store, pos, batch, |line| {
            // A refused line may start waiting with another reason; everything else only moves on.
            let waits = matches!(
                (&line.state, &state),
                (LineState::Waiting(_), LineState::Waiting(_) | LineState::Sending)
            );
            if line.author != Author::Me || line.state == state || (line.state > state && !waits) {
                return None;
            }
            line.state = state;
            Some(())
        })?;
        Ok(marked.is_some())
    }

    /// Forgets lines far from the end, to keep memory in bound.
    pub fn shrink(&mut self, keep: usize) {
        let mut gone = Vec::new();
        while self.lines.len() > keep {
            let oldest = self.index(self.first).unwrap_or(0);
            gone.extend(self.lines.remove(oldest));
            self.first += 1;
        }
        if gone.is_empty() {
            return;
        }
        let answered: HashSet<MessageId> =
            self.lines.iter().filter_map(|(_, line)| line.more.reply).collect();
        self.aside.extend(gone.into_iter().map(|(pos, line)| (line.id, (pos, line))));
        self.aside.retain(|id, _| answered.contains(id));
    }
}

/// Puts the line of the next position in its place among those before: at the end, or where its clock says.
pub(crate) fn insert(lines: &mut VecDeque<(u64, Line)>, pos: u64, line: Line) {
    let mut index = lines.len();
    if let Some(order) = line.order() {
        let ordered = lines.iter().enumerate().rev();
        let ordered = ordered.filter_map(|(i, (_, other))| Some((i, other.order()?)));
        // Lines without a clock stay behind what they came after.
        for (i, _) in ordered.take_while(|(_, other)| *other > order) {
            index = i;
        }
    }
    lines.insert(index, (pos, line));
}

/// Key of a line.
pub fn place(room: RoomId, pos: u64) -> Vec<u8> {
    [room.0.as_slice(), &pos.to_be_bytes()].concat()
}

/// Under which key [`PLACES`] has a line.
pub(super) fn place_key(room: RoomId, line: &Line) -> Vec<u8> {
    if line.more.told.is_some() { told_key(room, &line.id) } else { line.id.0.to_vec() }
}

/// The same for one that is only told.
pub(super) fn told_key(room: RoomId, id: &MessageId) -> Vec<u8> {
    [room.0, id.0].concat()
}

/// Room and position of a key that [`place`] made.
pub fn unplace(key: &[u8]) -> Option<(RoomId, u64)> {
    let (room, pos) = key.split_first_chunk::<16>()?;
    Some((RoomId(*room), u64::from_be_bytes(pos.try_into().ok()?)))
}

/// A line for the store, without its text when that lies apart.
fn encoded(line: &Line, apart: bool) -> Vec<u8> {
    if apart { line.bare().encode() } else { line.encode() }
}

fn damaged() -> Error {
    Error::Damaged("a line of a conversation".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use subrosa_shared::id::AccountName;
    use subrosa_shared::store::memory::{Memory, MemorySlots};
    use subrosa_shared::time::Millis;

    const ROOM: RoomId = RoomId([1; 16]);

    fn line(number: u8, clock: u64) -> Line {
        let line =
            Line::new(MessageId([number; 16]), Author::Them, Millis(1), "x".into(), LineState::Received);
        Line { more: More { clock, ..More::default() }, ..line }
    }

    fn shown(timeline: &Timeline) -> Vec<u8> {
        timeline.lines().map(|(_, line)| line.id.0[0]).collect()
    }

    fn store() -> Store {
        Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) }
    }

    #[test]
    fn bytes_of_a_line() {
        let plain = Line::new(MessageId([7; 16]), Author::Me, Millis(300), "hi".into(), LineState::Sent);
        let mut want = vec![7; 16];
        want.extend([0, 0xac, 2, 2, b'h', b'i', 3]);
        assert_eq!(plain.encode(), want);
        assert_eq!(Line::read(&want), Some(plain.clone()));
        let ben = AccountName::parse("ben").expect("a name");
        let more = Line { more: More { by: Some(ben), clock: 9, ..More::default() }, ..plain };
        want.extend([2, 1, 3, b'b', b'e', b'n', 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(more.encode(), want);
        assert_eq!(Line::read(&want), Some(more.clone()));
        let version = want.len() - 17;
        want[version] = 3;
        assert_eq!(Line::read(&want), None, "of a newer client");
        want[version] = 1;
        assert_eq!(Line::read(&want[..want.len() - 1]), Some(more), "of an older client");
    }

    #[test]
    fn what_came_late_stands_where_it_was_said_also_when_it_is_read_again() {
        let (store, mut batch) = (store(), Batch::default());
        let mut timeline = Timeline::closed(ROOM, 0);
        // 20 and 21 are grey lines: they stay behind what they came after.
        let came = [(1, 1), (4, 4), (20, 0), (3, 3), (5, 5), (2, 2), (21, 0), (6, 6)];
        for (number, clock) in came {
            timeline.push(line(number, clock), &mut batch);
        }
        let want = [1, 2, 3, 4, 20, 5, 21, 6];
        assert_eq!(shown(&timeline), want);
        assert_eq!((timeline.position(1), timeline.shown(5)), (Some(5), Some(1)));
        store.commit(&batch).expect("memory");
        let read = Timeline::load(&store, ROOM, came.len() as u64).expect("memory");
        let clocks = |timeline: &Timeline| -> Vec<u8> {
            shown(timeline).into_iter().filter(|number| *number < 20).collect()
        };
        assert_eq!(clocks(&read), [1, 2, 3, 4, 5, 6]);
        timeline.shrink(3);
        assert_eq!((shown(&timeline), timeline.first()), (vec![2, 21, 6], 5), "the last three that came");
        timeline.older(&store).expect("memory");
        assert_eq!(clocks(&timeline), [1, 2, 3, 4, 5, 6]);
        assert!(timeline.mark(&store, 5, LineState::Read, &mut batch).is_ok());
        timeline.erase(&store, 5, &mut batch).expect("memory");
        let at = timeline.shown(5).expect("in memory");
        assert_eq!(timeline.get(at).map(|line| (line.id.0[0], line.body.as_str())), Some((2, "")));
    }
}
