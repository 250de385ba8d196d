//! Which lines may have which words: the parts on disk and the newest lines in memory.
//!
//! A line that is indexed is one more record beside the line itself, in the same batch: the tail. When
//! the tail has enough lines it becomes a part ([`super::segment`]), again in one batch. Nothing here is
//! needed to read a conversation: an index that cannot be read is made anew.

use super::query::Query;
use super::segment::{self, Bits, Built, By, Doc, Head, LINES_MAX, Token, Tokens};
use crate::chat::timeline::PAGE;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use subrosa_shared::id::{AccountName, RoomId};
use subrosa_shared::session::blind::Blind;
use subrosa_shared::store::{Batch, Error, Order, Store, Table, Write};
use subrosa_shared::time::Millis;
use zeroize::Zeroizing;

/// `state` → version (1) ‖ `State`.
pub const STATE: Table = Table { byte: 0x70, name: "search state" };
/// Number → a line that is in no part yet, with its tokens.
pub const TAIL: Table = Table { byte: 0x71, name: "search tail" };
/// Part → [`Head`].
pub const HEADS: Table = Table { byte: 0x72, name: "search heads" };
/// `part ‖ block` → the block; the last number is the part's lines.
pub const BLOCKS: Table = Table { byte: 0x73, name: "search blocks" };

/// Where a line stands among those found: `at ‖ room ‖ pos`. Later is greater.
pub type Key = [u8; 32];

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// From new to old.
    Older,
    /// From old to new.
    Newer,
}

/// What a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// An index.
    Index,
    /// None, or none that can be read: it has to be filled.
    Nothing,
}

/// What of a query the index can answer.
pub struct Wanted {
    /// Of each word or neighbour: its tokens.
    pub words: Vec<Tokens>,
    /// Only of these; `None`: of anybody.
    pub people: Option<People>,
    /// Only there; `None`: anywhere.
    pub rooms: Option<BTreeSet<RoomId>>,
    /// Not before.
    pub since: Millis,
    /// Before.
    pub until: Millis,
}

/// People whose lines are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People {
    /// Oneself.
    pub me: bool,
    /// Whoever the other person is in these conversations.
    pub rooms: BTreeSet<RoomId>,
    /// Members of rooms.
    pub names: BTreeSet<AccountName>,
}

/// What is stored beside the parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    parts: u32,
    /// What of the time before the index is still to come.
    pub(super) fill: Fill,
}

/// Conversations that are not indexed to their beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fill {
    /// Before which position.
    pub(super) rooms: Vec<(RoomId, u64)>,
    pub(super) done: u64,
    pub(super) total: u64,
}

/// The index.
pub struct Index {
    blind: Blind,
    pub(super) state: State,
    heads: Vec<Head>,
    tail: Vec<(u64, Doc, Box<[Token]>)>,
    /// The next number in the tail.
    next: u64,
    written: Written,
}

impl Index {
    /// What the store holds, and whether there was anything.
    ///
    /// # Errors
    /// Those of the store.
    pub fn load(store: &Store, key: &[u8; 32]) -> Result<(Self, Found), Error> {
        let mut index = Self {
            blind: Blind::new(key),
            state: State::default(),
            heads: Vec::new(),
            tail: Vec::new(),
            next: 0,
            written: Written::default(),
        };
        match index.read(store) {
            Ok(found) => Ok((index, found)),
            Err(Error::Damaged(_)) => Ok((index, Found::Nothing)),
            Err(error) => Err(error),
        }
    }

    fn read(&mut self, store: &Store) -> Result<Found, Error> {
        let Some(bytes) = store.records.get(STATE, STATE_KEY)? else { return Ok(Found::Nothing) };
        let state = bytes.split_first().filter(|(version, _)| **version == VERSION);
        self.state = state.and_then(|(_, rest)| postcard::from_bytes(rest).ok()).ok_or_else(damaged)?;
        for (key, value) in store.records.scan(HEADS, &[], &[], Order::Forward, usize::MAX)? {
            let right = key == (self.heads.len() as u32).to_be_bytes();
            let head = segment::read_head(&value).filter(|_| right);
            self.heads.push(head.ok_or_else(damaged)?);
        }
        if self.heads.len() != self.state.parts as usize {
            return Err(damaged());
        }
        for (key, value) in store.records.scan(TAIL, &[], &[], Order::Forward, usize::MAX)? {
            let number = u64::from_be_bytes(key.try_into().map_err(|_| damaged())?);
            let line: Tail = postcard::take_from_bytes(&value).map_err(|_| damaged())?.0;
            let doc = Doc { room: line.room, pos: line.pos, at: line.at, by: line.by };
            self.tail.push((number, doc, line.tokens.into()));
            self.next = number + 1;
        }
        Ok(Found::Index)
    }

    /// Forgets everything: it is filled anew.
    pub(super) fn clear(&mut self, store: &Store, batch: &mut Batch) -> Result<(), Error> {
        // What is damaged cannot be listed: keys are counted instead.
        for part in 0..self.state.parts.max(self.heads.len() as u32) {
            let blocks = self.heads.get(part as usize).map_or(BLOCKS_MAX, |head| head.firsts.len() as u16);
            batch.delete(HEADS, part.to_be_bytes());
            for block in (0..blocks).chain([DOCS]) {
                batch.delete(BLOCKS, block_key(part, block));
            }
        }
        let tail = match store.records.scan(TAIL, &[], &[], Order::Forward, usize::MAX) {
            Ok(rows) => rows.into_iter().map(|(key, _)| key).collect(),
            Err(Error::Damaged(_)) => {
                self.tail.iter().map(|(n, ..)| n.to_be_bytes().to_vec()).collect::<Vec<_>>()
            }
            Err(error) => return Err(error),
        };
        for key in tail {
            batch.delete(TAIL, key);
        }
        (self.heads, self.tail, self.state) = (Vec::new(), Vec::new(), State::default());
        self.written = Written::default();
        self.save(batch);
        Ok(())
    }

    pub(super) fn save(&self, batch: &mut Batch) {
        let mut value = vec![VERSION];
        value.extend(postcard::to_stdvec(&self.state).expect("a state serialises: plain fields only"));
        batch.put(STATE, STATE_KEY, value);
    }

    /// Adds a line that has that text.
    pub fn add(&mut self, doc: Doc, text: &str, batch: &mut Batch) {
        let tokens = segment::tokens(&self.blind, text);
        if tokens.is_empty() {
            return;
        }
        let Doc { room, pos, at, ref by } = doc;
        let kept = Tail { room, pos, at, by: by.clone(), tokens: tokens.to_vec() };
        let mut value = postcard::to_stdvec(&kept).expect("a line serialises: plain fields only");
        // How many words it has is nobody's business.
        value.resize(value.len().next_multiple_of(TAIL_STEP), 0);
        batch.put(TAIL, self.next.to_be_bytes(), value);
        self.tail.push((self.next, doc, tokens));
        self.next += 1;
        let words: usize = self.tail.iter().map(|(.., tokens)| tokens.len()).sum();
        if self.tail.len() >= LINES_MAX || words >= WORDS_MAX {
            self.fold(batch);
        }
    }

    /// The tail becomes a part.
    fn fold(&mut self, batch: &mut Batch) {
        let part = self.state.parts;
        let lines = self.tail.iter().map(|(_, doc, tokens)| (doc, &tokens[..]));
        let Built { head, blocks, docs } = segment::build(lines);
        for (number, block) in blocks.into_iter().enumerate() {
            self.written.put(batch, block_key(part, number as u16), block);
        }
        self.written.put(batch, block_key(part, DOCS), docs);
        save_head(part, &head, batch);
        for (number, ..) in self.tail.drain(..) {
            batch.delete(TAIL, number.to_be_bytes());
        }
        self.heads.push(head);
        self.state.parts += 1;
        self.save(batch);
    }

    /// Takes lines out: those of a conversation, or one of them.
    ///
    /// # Errors
    /// Those of the store.
    pub fn forget(
        &mut self,
        store: &Store,
        room: RoomId,
        pos: Option<u64>,
        batch: &mut Batch,
    ) -> Result<(), Error> {
        let meant = |doc: &Doc| doc.room == room && pos.is_none_or(|pos| doc.pos == pos);
        self.tail.retain(|(number, doc, _)| {
            if meant(doc) {
                batch.delete(TAIL, number.to_be_bytes());
            }
            !meant(doc)
        });
        for part in 0..self.state.parts {
            let head = &mut self.heads[part as usize];
            if !head.may_have(room, pos) {
                continue;
            }
            let docs = self.written.block(store, batch, &block_key(part, DOCS))?;
            let mut docs = segment::read_docs(&docs).ok_or_else(damaged)?;
            if head.spans.is_none() {
                head.spans = Some(segment::spans(&docs));
                save_head(part, head, batch);
            }
            let gone: Vec<usize> = (0..docs.len()).filter(|i| docs[*i].as_ref().is_some_and(meant)).collect();
            if gone.is_empty() {
                continue;
            }
            for line in &gone {
                docs[*line] = None;
            }
            self.written.put(batch, block_key(part, DOCS), segment::write_docs(&docs));
            // In memory stays what was known, and is too much: this batch may be taken back.
            let mut left = Head { spans: Some(segment::spans(&docs)), ..head.clone() };
            let mut first = [u8::MAX; 8];
            for number in (0..left.firsts.len()).rev() {
                let key = block_key(part, number as u16);
                let mut less = self.written.block(store, batch, &key)?;
                let mut changed = false;
                for line in &gone {
                    if let Some(without) = segment::without(&less, *line) {
                        (less, changed) = (without, true);
                    }
                }
                // A word that is gone does not go on saying where its block begins.
                first = segment::first(&less, first).ok_or_else(damaged)?;
                left.firsts[number] = first;
                if changed {
                    self.written.put(batch, key, less);
                }
            }
            save_head(part, &left, batch);
        }
        Ok(())
    }

    /// What the index can answer of the words of a query.
    pub fn tokens(&self, query: &Query) -> Vec<Tokens> {
        let mut all = Vec::new();
        for term in &query.terms {
            for (i, word) in term.words.iter().enumerate() {
                let open = term.open && i + 1 == term.words.len();
                // A character of a script without spaces begins a pair, unless it is the last one.
                let tokens = if open {
                    segment::beginning(&self.blind, word)
                } else {
                    let token = segment::token(&self.blind, word);
                    token..=token
                };
                all.push(tokens);
            }
        }
        all
    }

    /// Lines that may be what is wanted, in order, behind that one.
    pub fn candidates<'a>(&'a self, wanted: &'a Wanted, side: Side, behind: Option<Key>) -> Candidates<'a> {
        let edge = |head: &Head| match side {
            Side::Older => head.newest.0,
            Side::Newer => !head.oldest.0,
        };
        let mut parts: Vec<(u64, Option<u32>)> = Vec::new();
        for (part, head) in self.heads.iter().enumerate() {
            let from = behind.map(|key| Millis(time_of(&key)));
            let passed = from.is_some_and(|from| match side {
                Side::Older => head.oldest > from,
                Side::Newer => head.newest < from,
            });
            if !passed && head.newest >= wanted.since && head.oldest < wanted.until {
                parts.push((edge(head), Some(part as u32)));
            }
        }
        // The tail is in memory: it is looked at first.
        parts.push((u64::MAX, None));
        parts.sort_unstable();
        let pool = BinaryHeap::new();
        Candidates { index: self, wanted, side, behind: behind.map(|key| turned(key, side)), parts, pool }
    }

    fn docs(&self, store: &Store, part: u32) -> Result<Vec<Option<Doc>>, Error> {
        let bytes = store.records.get(BLOCKS, &block_key(part, DOCS))?.ok_or_else(damaged)?;
        segment::read_docs(&bytes).ok_or_else(damaged)
    }

    /// The lines of a part that have all words.
    fn with_words(&self, store: &Store, part: u32, words: &[Tokens]) -> Result<Bits, Error> {
        let head = &self.heads[part as usize];
        let mut all = Bits::ALL;
        for tokens in words {
            let mut some = Bits::NONE;
            for number in segment::blocks(head, tokens) {
                let block =
                    store.records.get(BLOCKS, &block_key(part, number as u16))?.ok_or_else(damaged)?;
                for (token, bits) in segment::read(&block).ok_or_else(damaged)? {
                    if tokens.contains(&token) {
                        some = some.or(bits);
                    }
                }
            }
            all = all.and(some);
            if all.is_none() {
                break;
            }
        }
        Ok(all)
    }
}

/// Lines one after the other, see [`Index::candidates`]. In memory are those of the parts whose times
/// overlap, and no more.
pub struct Candidates<'a> {
    index: &'a Index,
    wanted: &'a Wanted,
    side: Side,
    behind: Option<Key>,
    /// Parts that were not looked at, the next one last, each with the first time that it can give.
    parts: Vec<(u64, Option<u32>)>,
    /// Turned so that the next one is the greatest.
    pool: BinaryHeap<Key>,
}

impl Candidates<'_> {
    /// The next one.
    ///
    /// # Errors
    /// Those of the store; [`Error::Damaged`] when the index has to be made anew.
    pub fn next(&mut self, store: &Store) -> Result<Option<Key>, Error> {
        while let Some((edge, part)) = self.parts.last().copied() {
            if self.pool.peek().is_some_and(|key| time_of(key) > edge) {
                break;
            }
            self.parts.pop();
            self.look_into(store, part)?;
        }
        let next = self.pool.pop();
        // Each line once, also when it was indexed twice.
        while self.pool.peek().is_some_and(|other| Some(*other) == next) {
            self.pool.pop();
        }
        Ok(next.map(|key| turned(key, self.side)))
    }

    fn look_into(&mut self, store: &Store, part: Option<u32>) -> Result<(), Error> {
        let Some(part) = part else {
            let has = |tokens: &[Token], wanted: &Tokens| {
                let at = tokens.partition_point(|token| token < wanted.start());
                tokens.get(at).is_some_and(|token| token <= wanted.end())
            };
            for (_, doc, tokens) in &self.index.tail {
                if self.wanted.words.iter().all(|wanted| has(tokens, wanted)) {
                    self.take(doc);
                }
            }
            return Ok(());
        };
        let bits = self.index.with_words(store, part, &self.wanted.words)?;
        if bits.is_none() {
            return Ok(());
        }
        let docs = self.index.docs(store, part)?;
        for line in bits.lines().take_while(|line| *line < docs.len()) {
            if let Some(doc) = &docs[line] {
                self.take(doc);
            }
        }
        Ok(())
    }

    fn take(&mut self, doc: &Doc) {
        let wanted = self.wanted;
        let of = |people: &People| match &doc.by {
            By::Me => people.me,
            By::Them => people.rooms.contains(&doc.room),
            By::Member(name) => people.names.contains(name),
        };
        let fits = doc.at >= wanted.since
            && doc.at < wanted.until
            && wanted.rooms.as_ref().is_none_or(|rooms| rooms.contains(&doc.room))
            && wanted.people.as_ref().is_none_or(of);
        let key = turned(key(doc), self.side);
        if fits && self.behind.is_none_or(|behind| key < behind) {
            self.pool.push(key);
        }
    }
}

/// Where in a batch each block is written: it is changed there, and not looked for among all writes. In
/// another batch, after that one was committed or taken back, something else is at that place.
#[derive(Default)]
struct Written {
    places: HashMap<Vec<u8>, usize>,
    newest: usize,
}

impl Written {
    /// A block as it is once that batch is written.
    fn block(&self, store: &Store, batch: &Batch, key: &[u8]) -> Result<Vec<u8>, Error> {
        match self.places.get(key).and_then(|place| batch.records.get(*place)) {
            Some(Write::Put(table, at, block)) if *table == BLOCKS && at == key => Ok(block.to_vec()),
            _ => store.records.get(BLOCKS, key)?.ok_or_else(damaged),
        }
    }

    fn put(&mut self, batch: &mut Batch, key: Vec<u8>, block: Vec<u8>) {
        let known = self.places.get(&key).and_then(|place| batch.records.get_mut(*place));
        if let Some(Write::Put(table, at, value)) = known
            && *table == BLOCKS
            && *at == key
        {
            *value = Zeroizing::new(block);
            return;
        }
        let next = batch.records.len();
        if next <= self.newest {
            // Another batch.
            self.places.clear();
        }
        self.newest = next;
        self.places.insert(key.clone(), next);
        batch.put(BLOCKS, key, block);
    }
}

/// A line in the tail, as it is stored.
#[derive(Serialize, Deserialize)]
struct Tail {
    room: RoomId,
    pos: u64,
    at: Millis,
    by: By,
    tokens: Vec<Token>,
}

fn key(doc: &Doc) -> Key {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&doc.at.0.to_be_bytes());
    key[8..24].copy_from_slice(&doc.room.0);
    key[24..].copy_from_slice(&doc.pos.to_be_bytes());
    key
}

/// Room and position of a key.
pub fn place_of(key: &Key) -> (RoomId, u64) {
    let (mut room, mut pos) = ([0; 16], [0; 8]);
    room.copy_from_slice(&key[8..24]);
    pos.copy_from_slice(&key[24..]);
    (RoomId(room), u64::from_be_bytes(pos))
}

fn time_of(key: &Key) -> u64 {
    let mut at = [0; 8];
    at.copy_from_slice(&key[..8]);
    u64::from_be_bytes(at)
}

/// As the pool orders it; twice is as it was.
fn turned(key: Key, side: Side) -> Key {
    match side {
        Side::Older => key,
        Side::Newer => key.map(|byte| !byte),
    }
}

fn block_key(part: u32, block: u16) -> Vec<u8> {
    [&part.to_be_bytes()[..], &block.to_be_bytes()].concat()
}

fn save_head(part: u32, head: &Head, batch: &mut Batch) {
    batch.put(HEADS, part.to_be_bytes(), segment::write_head(head));
}

fn damaged() -> Error {
    Error::Damaged("the search index".into())
}

const STATE_KEY: &[u8] = b"state";
const VERSION: u8 = 1;
/// The number under which the lines of a part are.
const DOCS: u16 = u16::MAX;
/// Words in the tail, counted for each line, before it becomes a part.
const WORDS_MAX: usize = 64 * 1024;
/// More than a part can have.
const BLOCKS_MAX: u16 = 512;
/// A line in the tail is stored in so many bytes, or a multiple.
const TAIL_STEP: usize = 128;
/// Lines that are indexed in one step of filling.
pub(super) const STEP: usize = PAGE;

#[cfg(test)]
mod tests;
