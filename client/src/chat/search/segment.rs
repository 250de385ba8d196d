//! A part of the index: up to 1,024 lines, and which words they have.
//!
//! A word is a token of eight bytes: one byte each of the blinded first, first two … first five letters,
//! and three of the blinded word. So tokens of words that begin alike stand together, and the beginning
//! of a word finds them; what they are is in no byte. Tokens in order are cut into blocks of one size:
//! what a part shows on disk is how many blocks it has. Its head says of which conversations it has lines,
//! so that a line is forgotten without looking into every part.
//!
//! ```text
//! block    length 2 ‖ entries ‖ zeros to 4,096
//! entry    token 8 ‖ count 1 ‖ count times the number of a line 2
//!          token 8 ‖ 0       ‖ a bit for each line 128
//! ```

use super::words::words;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use subrosa_shared::id::{AccountName, RoomId};
use subrosa_shared::session::blind::Blind;
use subrosa_shared::time::Millis;

/// A word that cannot be read.
pub type Token = [u8; 8];

/// Lines in a part.
pub const LINES_MAX: usize = 1024;
/// A block, in bytes.
pub const BLOCK: usize = 4096;
/// A head is stored in so many bytes, or a multiple.
pub const HEAD: usize = 1024;
/// Letters of a word that are found by themselves.
const PATH: usize = 5;
/// Numbers of lines that are listed; more of them are bits.
const LISTED: usize = 63;

/// Which lines of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits([u64; LINES_MAX / 64]);

/// A line that is indexed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doc {
    /// Its conversation.
    pub room: RoomId,
    /// Its position there.
    pub pos: u64,
    /// When, as shown.
    pub at: Millis,
    /// Whose.
    pub by: By,
}

/// Who wrote a line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum By {
    /// This account.
    Me,
    /// The other person of the conversation.
    Them,
    /// A member of a room.
    Member(AccountName),
}

/// A word, or the beginning of words, as the index knows it.
pub type Tokens = RangeInclusive<Token>;

impl Bits {
    /// No line.
    pub const NONE: Self = Self([0; LINES_MAX / 64]);
    /// Every line.
    pub const ALL: Self = Self([u64::MAX; LINES_MAX / 64]);

    /// Adds a line.
    pub fn set(&mut self, line: usize) {
        self.0[line / 64] |= 1 << (line % 64);
    }

    /// Takes a line out; says whether it was there.
    pub fn clear(&mut self, line: usize) -> bool {
        let (word, bit) = (line / 64, 1 << (line % 64));
        let there = self.0[word] & bit != 0;
        self.0[word] &= !bit;
        there
    }

    /// The lines that are in both.
    pub fn and(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] & other.0[i]))
    }

    /// The lines that are in one of them.
    pub fn or(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] | other.0[i]))
    }

    /// No line is there.
    pub fn is_none(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The lines, lowest number first.
    pub fn lines(&self) -> impl Iterator<Item = usize> + '_ {
        let bit = |word: u64, i: usize| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| i * 64 + bit)
        };
        self.0.iter().enumerate().flat_map(move |(i, word)| bit(*word, i))
    }
}

/// The token of a word.
pub fn token(blind: &Blind, word: &str) -> Token {
    let mut token = [0; 8];
    let whole = blind.mark(0, word.as_bytes());
    token[PATH..].copy_from_slice(&whole[PATH..8]);
    token[..PATH].copy_from_slice(&whole[..PATH]);
    let ends = word.char_indices().skip(1).map(|(at, _)| at).chain([word.len()]);
    for (i, end) in ends.take(PATH).enumerate() {
        token[i] = blind.mark(1, &word.as_bytes()[..end])[i];
    }
    token
}

/// The tokens of all words that begin like that, and of a few others.
pub fn beginning(blind: &Blind, word: &str) -> Tokens {
    let mut low = token(blind, word);
    let mut high = low;
    let letters = word.chars().count().min(PATH);
    low[letters..].fill(0);
    high[letters..].fill(u8::MAX);
    low..=high
}

/// The tokens of a text, each once, in order.
pub fn tokens(blind: &Blind, text: &str) -> Box<[Token]> {
    let mut words: Vec<String> = words(text).into_iter().map(|word| word.text).collect();
    words.sort_unstable();
    words.dedup();
    let mut tokens: Vec<Token> = words.iter().map(|word| token(blind, word)).collect();
    tokens.sort_unstable();
    tokens.dedup();
    tokens.into()
}

/// What is known of a part without looking into it: stays in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// When its oldest line is of.
    pub oldest: Millis,
    /// When its newest line is of.
    pub newest: Millis,
    /// The first token of each block; of one that lost all of its own, where the next begins.
    pub firsts: Vec<Token>,
    /// Of which conversations it has lines; `None`: an earlier version wrote it.
    #[serde(skip)]
    pub spans: Option<Spans>,
}

/// The first and the last position of each conversation.
pub type Spans = BTreeMap<RoomId, (u64, u64)>;

impl Head {
    /// Whether its part may have that line, or any of the conversation.
    pub fn may_have(&self, room: RoomId, pos: Option<u64>) -> bool {
        let Some(spans) = &self.spans else { return true };
        let within = |(first, last): &(u64, u64)| pos.is_none_or(|pos| (*first..=*last).contains(&pos));
        spans.get(&room).is_some_and(within)
    }
}

/// A part, before it is written.
pub struct Built {
    /// What stays in memory.
    pub head: Head,
    /// Its blocks.
    pub blocks: Vec<Vec<u8>>,
    /// Its lines, for [`read_docs`].
    pub docs: Vec<u8>,
}

/// Makes a part of lines with their tokens.
pub fn build<'a>(lines: impl IntoIterator<Item = (&'a Doc, &'a [Token])>) -> Built {
    let (mut docs, mut postings) = (Vec::new(), BTreeMap::<Token, Bits>::new());
    for (number, (doc, tokens)) in lines.into_iter().take(LINES_MAX).enumerate() {
        docs.push(Some(doc.clone()));
        for token in tokens {
            postings.entry(*token).or_insert(Bits::NONE).set(number);
        }
    }
    let times = || docs.iter().flatten().map(|doc| doc.at);
    let (oldest, newest) = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
    let (mut firsts, mut blocks) = (Vec::new(), Vec::new());
    let mut block = Vec::new();
    for (token, bits) in &postings {
        let entry = entry(token, bits);
        if block.len() + entry.len() > BLOCK - 2 {
            blocks.push(whole(&block));
            block.clear();
        }
        if block.is_empty() {
            firsts.push(*token);
        }
        block.extend(entry);
    }
    if !block.is_empty() {
        blocks.push(whole(&block));
    }
    let head = Head { oldest, newest, firsts, spans: Some(spans(&docs)) };
    Built { head, blocks, docs: write_docs(&docs) }
}

fn entry(token: &Token, bits: &Bits) -> Vec<u8> {
    let mut entry = token.to_vec();
    let lines: Vec<u16> = bits.lines().take(LISTED + 1).map(|line| line as u16).collect();
    if lines.len() <= LISTED {
        entry.push(lines.len() as u8);
        entry.extend(lines.iter().flat_map(|line| line.to_be_bytes()));
    } else {
        entry.push(0);
        entry.extend(bits.0.iter().flat_map(|word| word.to_be_bytes()));
    }
    entry
}

/// A block of entries, with its length before and zeros behind.
fn whole(entries: &[u8]) -> Vec<u8> {
    let mut block = (entries.len() as u16).to_be_bytes().to_vec();
    block.extend_from_slice(entries);
    block.resize(BLOCK, 0);
    block
}

/// The entries of a block; `None` when it is none.
pub fn read(block: &[u8]) -> Option<Vec<(Token, Bits)>> {
    let (length, rest) = block.split_first_chunk::<2>()?;
    let mut rest = rest.get(..u16::from_be_bytes(*length).into())?;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (token, behind) = rest.split_first_chunk::<8>()?;
        let (count, behind) = behind.split_first()?;
        let mut bits = Bits::NONE;
        rest = if *count == 0 {
            let (words, behind) = behind.split_at_checked(LINES_MAX / 8)?;
            for (word, bytes) in bits.0.iter_mut().zip(words.chunks_exact(8)) {
                *word = u64::from_be_bytes(bytes.try_into().ok()?);
            }
            behind
        } else {
            let (lines, behind) = behind.split_at_checked(usize::from(*count) * 2)?;
            for line in lines.chunks_exact(2) {
                let line = u16::from_be_bytes(line.try_into().ok()?).into();
                if line >= LINES_MAX {
                    return None;
                }
                bits.set(line);
            }
            behind
        };
        entries.push((*token, bits));
    }
    Some(entries)
}

/// A block without that line; `None` when the line is not in it, or it is none.
pub fn without(block: &[u8], line: usize) -> Option<Vec<u8>> {
    let mut entries = read(block)?;
    let mut there = false;
    for (_, bits) in &mut entries {
        there |= bits.clear(line);
    }
    let left = entries.iter().filter(|(_, bits)| !bits.is_none());
    there.then(|| whole(&left.flat_map(|(token, bits)| entry(token, bits)).collect::<Vec<_>>()))
}

/// Where a block begins, one without tokens where the next does; `None` when it is none.
pub fn first(block: &[u8], next: Token) -> Option<Token> {
    let (length, rest) = block.split_first_chunk::<2>()?;
    let entries = rest.get(..u16::from_be_bytes(*length).into())?;
    if entries.is_empty() { Some(next) } else { entries.first_chunk().copied() }
}

/// Of which conversations these lines are.
pub fn spans(docs: &[Option<Doc>]) -> Spans {
    let mut spans = Spans::new();
    for doc in docs.iter().flatten() {
        let (first, last) = spans.entry(doc.room).or_insert((doc.pos, doc.pos));
        (*first, *last) = ((*first).min(doc.pos), (*last).max(doc.pos));
    }
    spans
}

/// A head for the store: how many conversations it knows is nobody's business.
pub fn write_head(head: &Head) -> Vec<u8> {
    let mut bytes = postcard::to_stdvec(&(head, &head.spans)).expect("a head serialises: plain fields only");
    bytes.resize(bytes.len().next_multiple_of(HEAD), 0);
    bytes
}

/// What [`write_head`] wrote, or an earlier version, which ended before the spans; `None` when it is
/// something else.
pub fn read_head(bytes: &[u8]) -> Option<Head> {
    let (mut head, rest) = postcard::take_from_bytes::<Head>(bytes).ok()?;
    if !rest.is_empty() {
        head.spans = postcard::from_bytes(rest).ok()?;
    }
    Some(head)
}

/// Which blocks may have one of these tokens.
pub fn blocks(head: &Head, tokens: &Tokens) -> std::ops::Range<usize> {
    let end = head.firsts.partition_point(|first| first <= tokens.end());
    let begin = head.firsts.partition_point(|first| first <= tokens.start()).saturating_sub(1);
    begin.min(end)..end
}

/// The lines of a part, as they are stored: what repeats is written once.
#[derive(Serialize, Deserialize)]
struct Docs {
    rooms: Vec<RoomId>,
    people: Vec<By>,
    lines: Vec<Option<Kept>>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    room: u16,
    by: u16,
    /// From the line before.
    pos: i64,
    /// From the line before.
    at: i64,
}

/// The lines of a part for the store, in whole blocks.
pub fn write_docs(docs: &[Option<Doc>]) -> Vec<u8> {
    let mut kept = Docs { rooms: Vec::new(), people: Vec::new(), lines: Vec::new() };
    let (mut pos, mut at) = (0u64, 0u64);
    for doc in docs {
        let line = doc.as_ref().map(|doc| {
            let line = Kept {
                room: number(&mut kept.rooms, &doc.room),
                by: number(&mut kept.people, &doc.by),
                pos: doc.pos.wrapping_sub(pos) as i64,
                at: doc.at.0.wrapping_sub(at) as i64,
            };
            (pos, at) = (doc.pos, doc.at.0);
            line
        });
        kept.lines.push(line);
    }
    let mut bytes = postcard::to_stdvec(&kept).expect("lines serialise: plain fields only");
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

/// What [`write_docs`] wrote; `None` for a line that was forgotten, and for all when it is something else.
pub fn read_docs(bytes: &[u8]) -> Option<Vec<Option<Doc>>> {
    let (kept, _) = postcard::take_from_bytes::<Docs>(bytes).ok()?;
    let (mut pos, mut at) = (0u64, 0u64);
    let mut docs = Vec::new();
    for line in kept.lines {
        docs.push(match line {
            None => None,
            Some(line) => {
                pos = pos.wrapping_add(line.pos as u64);
                at = at.wrapping_add(line.at as u64);
                let room = *kept.rooms.get(usize::from(line.room))?;
                let by = kept.people.get(usize::from(line.by))?.clone();
                Some(Doc { room, pos, at: Millis(at), by })
            }
        });
    }
    (docs.len() <= LINES_MAX).then_some(docs)
}

fn number<T: Clone + PartialEq>(known: &mut Vec<T>, value: &T) -> u16 {
    let there = known.iter().position(|other| other == value).unwrap_or_else(|| {
        known.push(value.clone());
        known.len() - 1
    });
    there as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn blind() -> Blind {
        Blind::new(&[7; 32])
    }

    fn doc(pos: u64) -> Doc {
        let by = match pos % 3 {
            0 => By::Me,
            1 => By::Them,
            _ => By::Member(AccountName::parse("ben").expect("a name")),
        };
        Doc { room: RoomId([(pos % 2) as u8; 16]), pos: pos ^ 5, at: Millis(pos * 7 % 100), by }
    }

    /// The lines that a part finds.
    fn found(built: &Built, tokens: &Tokens) -> Vec<usize> {
        let mut bits = Bits::NONE;
        for block in &built.blocks[blocks(&built.head, tokens)] {
            let entries = read(block).expect("a block");
            for (_, more) in entries.iter().filter(|(token, _)| tokens.contains(token)) {
                bits = bits.or(*more);
            }
        }
        bits.lines().collect()
    }

    #[test]
    fn words_that_begin_alike_stand_together() {
        let of = |word: &str| token(&blind(), word);
        for (word, start) in
            [("mill", "m"), ("mills", "mil"), ("millstone", "mills"), ("日本", "日"), ("a", "a")]
        {
            assert!(beginning(&blind(), start).contains(&of(word)), "{word}");
        }
        assert!(!beginning(&blind(), "mi").contains(&of("ma")));
        assert!(
            beginning(&blind(), "millstones").contains(&of("mills-other")),
            "the rest is looked at later"
        );
        assert_ne!(of("mill"), token(&Blind::new(&[8; 32]), "mill"));
        assert_eq!(tokens(&blind(), "a b A, b").len(), 2);
    }

    #[test]
    fn a_part_of_many_common_and_rare_words() {
        let texts: Vec<String> = (0..LINES_MAX)
            .map(|i| format!("the rare{i} {}", if i % 2 == 0 { "even" } else { "odd" }))
            .collect();
        let docs: Vec<Doc> = (0..LINES_MAX as u64).map(doc).collect();
        let tokens: Vec<Box<[Token]>> = texts.iter().map(|text| tokens(&blind(), text)).collect();
        let built = build(docs.iter().zip(tokens.iter().map(|tokens| &tokens[..])));
        assert!(built.blocks.len() > 2 && built.blocks.iter().all(|block| block.len() == BLOCK));
        assert!(
            built.docs.len().is_multiple_of(BLOCK) && built.docs.len() < 4 * BLOCK,
            "{}",
            built.docs.len()
        );
        let word = |word: &str| token(&blind(), word)..=token(&blind(), word);
        assert_eq!(found(&built, &word("the")).len(), LINES_MAX);
        assert_eq!(found(&built, &word("even")).len(), LINES_MAX / 2);
        assert_eq!(found(&built, &word("rare77")), [77]);
        assert!(found(&built, &word("nothing")).is_empty());
        assert_eq!(found(&built, &beginning(&blind(), "rare")).len(), LINES_MAX);
        let gone: Vec<_> = built.blocks.iter().filter_map(|block| without(block, 77)).collect();
        assert!(gone.len() >= 2, "one word of its own, and common ones");
        for block in gone {
            assert_eq!(block.len(), BLOCK);
            assert!(
                read(&block).expect("a block").iter().all(|(_, bits)| bits.lines().all(|line| line != 77))
            );
        }
        let mut docs: Vec<Option<Doc>> = docs.into_iter().map(Some).collect();
        assert_eq!(read_docs(&built.docs), Some(docs.clone()));
        docs[3] = None;
        assert_eq!(read_docs(&write_docs(&docs)), Some(docs));
    }

    proptest! {
        #[test]
        fn a_part_finds_what_a_scan_finds(texts in proptest::collection::vec("[a-cé日本 ]{0,12}", 0..80),
            word in "[a-cé日本]{1,7}") {
            let docs: Vec<Doc> = (0..texts.len() as u64).map(doc).collect();
            let all: Vec<Box<[Token]>> = texts.iter().map(|text| tokens(&blind(), text)).collect();
            let built = build(docs.iter().zip(all.iter().map(|tokens| &tokens[..])));
            for wanted in words(&word) {
                let scan = |fits: &dyn Fn(&str) -> bool| -> Vec<usize> {
                    let has = |text: &&String| words(text).iter().any(|word| fits(&word.text));
                    (0..texts.len()).filter(|i| has(&&texts[*i])).collect()
                };
                let token = token(&blind(), &wanted.text);
                prop_assert_eq!(found(&built, &(token..=token)), scan(&|word| word == wanted.text));
                let starts = scan(&|word| word.starts_with(&wanted.text));
                let maybe = found(&built, &beginning(&blind(), &wanted.text));
                prop_assert!(starts.iter().all(|line| maybe.contains(line)));
            }
        }

        #[test]
        fn bytes_that_are_no_part_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (read(&bytes), read_docs(&bytes), without(&bytes, 3), first(&bytes, [0; 8]));
            let _ = read_head(&bytes);
        }
    }
}
