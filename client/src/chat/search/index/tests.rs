//! The index as it is written, read, cut and spoilt.

use super::*;
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use subrosa_shared::store::memory::{Memory, MemorySlots, Rule, Ruled};

fn store() -> Store {
    Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) }
}

fn wanted(index: &Index, text: &str) -> Wanted {
    let query = Query::parse(text, jiff::civil::date(2026, 1, 1)).expect("a query");
    Wanted {
        words: index.tokens(&query),
        people: None,
        rooms: None,
        since: Millis(0),
        until: Millis(u64::MAX),
    }
}

fn all(index: &Index, store: &Store, wanted: &Wanted, side: Side, behind: Option<Key>) -> Vec<Key> {
    let mut candidates = index.candidates(wanted, side, behind);
    std::iter::from_fn(|| candidates.next(store).expect("reads")).collect()
}

fn doc(pos: u64) -> Doc {
    // Times that go up and down, as foreign clocks do.
    let at = Millis((pos * 37) % 50_000 / 10 * 10);
    Doc {
        room: RoomId([(pos % 3) as u8; 16]),
        pos,
        at,
        by: if pos.is_multiple_of(2) { By::Me } else { By::Them },
    }
}

/// An index of lines with the texts that `text` gives, and its store.
fn filled(lines: u64, text: impl Fn(u64) -> String) -> (Index, Store) {
    let store = store();
    let (mut index, there) = Index::load(&store, &[1; 32]).expect("reads");
    assert_eq!(there, Found::Nothing);
    for pos in 0..lines {
        let mut batch = Batch::default();
        index.add(doc(pos), &text(pos), &mut batch);
        store.commit(&batch).expect("memory");
    }
    let mut batch = Batch::default();
    index.save(&mut batch);
    store.commit(&batch).expect("memory");
    (index, store)
}

#[test]
fn parts_and_tail_give_one_order_both_ways_and_from_any_place_on() {
    let (index, store) =
        filled(3000, |pos| format!("line {} {}", pos, if pos % 7 == 0 { "seven" } else { "x" }));
    assert_eq!(index.heads.len(), 2);
    let wanted = wanted(&index, "sev");
    let older = all(&index, &store, &wanted, Side::Older, None);
    let mut scan: Vec<Key> = (0..3000).filter(|pos| pos % 7 == 0).map(|pos| key(&doc(pos))).collect();
    scan.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(older, scan);
    let mut newer = all(&index, &store, &wanted, Side::Newer, None);
    newer.reverse();
    assert_eq!(newer, scan);
    assert_eq!(all(&index, &store, &wanted, Side::Older, Some(scan[99])), scan[100..]);
    newer = all(&index, &store, &wanted, Side::Newer, Some(scan[99]));
    newer.reverse();
    assert_eq!(newer, scan[..99]);
    let people = People { me: true, ..People::default() };
    let rooms = Some(BTreeSet::from([RoomId([1; 16])]));
    let some = Wanted { people: Some(people), rooms, since: Millis(10_000), until: Millis(20_000), ..wanted };
    let fits = |doc: &Doc| doc.by == By::Me && doc.room.0[0] == 1 && (10_000..20_000).contains(&doc.at.0);
    let count = (0..3000).filter(|pos| pos % 7 == 0 && fits(&doc(*pos))).count();
    assert_eq!(all(&index, &store, &some, Side::Older, None).len(), count);
    assert!(count > 0);
}

#[test]
fn it_is_read_again_and_what_is_forgotten_is_in_no_block() {
    let (index, store) = filled(1500, |pos| format!("same word{pos}"));
    let (mut again, there) = Index::load(&store, &[1; 32]).expect("reads");
    assert_eq!((there, again.heads.clone(), again.tail.clone()), (Found::Index, index.heads, index.tail));
    let count = |index: &Index, text: &str| all(index, &store, &wanted(index, text), Side::Older, None).len();
    assert_eq!(
        (count(&again, "same"), count(&again, "\"word77\""), count(&again, "\"word1400\"")),
        (1500, 1, 1)
    );
    let mut batch = Batch::default();
    for pos in [77, 1400] {
        again.forget(&store, doc(pos).room, Some(pos), &mut batch).expect("reads");
    }
    store.commit(&batch).expect("memory");
    let (mut again, _) = Index::load(&store, &[1; 32]).expect("reads");
    assert_eq!(
        (count(&again, "same"), count(&again, "\"word77\""), count(&again, "\"word1400\"")),
        (1498, 0, 0)
    );
    let mut batch = Batch::default();
    again.forget(&store, RoomId([0; 16]), None, &mut batch).expect("reads");
    store.commit(&batch).expect("memory");
    assert_eq!(count(&again, "same"), 998);
    // Another key finds nothing, and a block that is missing is said to be.
    let (other, _) = Index::load(&store, &[2; 32]).expect("reads");
    assert_eq!(count(&other, "same"), 0);
    let mut batch = Batch::default();
    again.clear(&store, &mut batch).expect("reads");
    store.commit(&batch).expect("memory");
    for table in [TAIL, HEADS, BLOCKS] {
        assert!(
            store.records.scan(table, &[], &[], Order::Forward, 9).expect("reads").is_empty(),
            "{table:?}"
        );
    }
}

#[test]
fn what_is_forgotten_in_one_batch_is_forgotten_line_by_line() {
    let (mut index, store) = filled(1023, |pos| format!("same word{pos}"));
    // The line that makes a part of them comes in that batch, too.
    let mut batch = Batch::default();
    index.add(doc(1023), "same word1023", &mut batch);
    for pos in [77, 78, 1023] {
        index.forget(&store, doc(pos).room, Some(pos), &mut batch).expect("reads");
    }
    store.commit(&batch).expect("memory");
    let mut batch = Batch::default();
    for pos in [500, 501] {
        index.forget(&store, doc(pos).room, Some(pos), &mut batch).expect("reads");
    }
    store.commit(&batch).expect("memory");
    let (again, _) = Index::load(&store, &[1; 32]).expect("reads");
    assert_eq!((again.heads.len(), again.tail.len()), (1, 0));
    assert_eq!(all(&again, &store, &wanted(&again, "same"), Side::Older, None).len(), 1019);
    for pos in [77, 78, 500, 501, 1023] {
        let of = wanted(&again, &format!("\"word{pos}\""));
        assert!(all(&again, &store, &of, Side::Older, None).is_empty(), "{pos}");
    }
}

/// Counts the records that are read one by one.
#[derive(Default)]
struct Reads(AtomicUsize);

impl Rule for Reads {
    fn got(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Twenty parts of ten lines each, every one in a block; and the store, which counts.
fn counted() -> (Index, Store, Arc<Ruled<Reads>>) {
    let counted = Arc::new(Ruled::<Reads>::default());
    let store = Store { records: counted.clone(), slots: Arc::new(MemorySlots::default()) };
    let (mut index, _) = Index::load(&store, &[1; 32]).expect("reads");
    let mut batch = Batch::default();
    for pos in 0..200 {
        index.add(doc(pos), &format!("word{pos}"), &mut batch);
        if pos % 10 == 9 {
            index.fold(&mut batch);
        }
    }
    store.commit(&batch).expect("memory");
    assert_eq!(index.heads.len(), 20);
    (index, store, counted)
}

/// How many records are read to forget a line.
fn reads_to_forget(index: &mut Index, store: &Store, counted: &Ruled<Reads>, line: (RoomId, u64)) -> usize {
    let before = counted.rule.0.load(Ordering::Relaxed);
    let mut batch = Batch::default();
    index.forget(store, line.0, Some(line.1), &mut batch).expect("reads");
    store.commit(&batch).expect("memory");
    counted.rule.0.load(Ordering::Relaxed) - before
}

#[test]
fn to_forget_a_line_no_part_is_read_that_cannot_have_it() {
    let (mut index, store, counted) = counted();
    // Its lines and its block.
    assert_eq!(reads_to_forget(&mut index, &store, &counted, (doc(77).room, 77)), 2);
    assert_eq!(reads_to_forget(&mut index, &store, &counted, (doc(77).room, 500)), 0);
    assert_eq!(reads_to_forget(&mut index, &store, &counted, (RoomId([9; 16]), 77)), 0);
    let (mut again, _) = Index::load(&store, &[1; 32]).expect("reads");
    assert_eq!(reads_to_forget(&mut again, &store, &counted, (doc(111).room, 111)), 2);
    for (pos, left) in [(77, 0), (111, 0), (112, 1)] {
        let of = wanted(&again, &format!("\"word{pos}\""));
        assert_eq!(all(&again, &store, &of, Side::Older, None).len(), left, "{pos}");
    }
}

#[test]
fn a_part_of_an_earlier_version_is_looked_into_once() {
    let (index, store, counted) = counted();
    let mut batch = Batch::default();
    for (part, Head { oldest, newest, firsts, .. }) in (0u32..).zip(&index.heads) {
        let head = postcard::to_stdvec(&(oldest, newest, firsts)).expect("plain fields only");
        batch.put(HEADS, part.to_be_bytes(), head);
    }
    store.commit(&batch).expect("memory");
    let (mut again, found) = Index::load(&store, &[1; 32]).expect("reads");
    assert_eq!(found, Found::Index);
    assert!(again.heads.iter().all(|head| head.spans.is_none()));
    assert_eq!(reads_to_forget(&mut again, &store, &counted, (doc(77).room, 77)), 21);
    let (mut again, _) = Index::load(&store, &[1; 32]).expect("reads");
    assert_eq!(reads_to_forget(&mut again, &store, &counted, (doc(78).room, 78)), 2);
    assert_eq!(all(&again, &store, &wanted(&again, "wor"), Side::Older, None).len(), 198);
}

#[test]
fn a_batch_that_forgets_much_writes_each_block_once() {
    let (mut index, store, counted) = counted();
    let before = counted.rule.0.load(Ordering::Relaxed);
    let mut batch = Batch::default();
    for pos in 0..200 {
        index.forget(&store, doc(pos).room, Some(pos), &mut batch).expect("reads");
    }
    let is_block = |write: &&Write| matches!(write, Write::Put(table, ..) if *table == BLOCKS);
    let blocks = batch.records.iter().filter(is_block).count();
    assert_eq!((blocks, counted.rule.0.load(Ordering::Relaxed) - before), (40, 40));
    store.commit(&batch).expect("memory");
    let (again, _) = Index::load(&store, &[1; 32]).expect("reads");
    assert!(all(&again, &store, &wanted(&again, "wor"), Side::Older, None).is_empty());
}

#[test]
fn what_a_batch_forgot_that_was_taken_back_is_still_there() {
    let (mut index, store, _) = counted();
    let token = |pos: &u64| segment::token(&index.blind, &format!("word{pos}"));
    // Its block begins with it.
    let first = (0..10).min_by_key(token).expect("a line");
    let other = (first + 3) % 10;
    // It is not committed.
    let mut batch = Batch::default();
    index.forget(&store, doc(first).room, Some(first), &mut batch).expect("reads");
    index.forget(&store, RoomId([1; 16]), None, &mut batch).expect("reads");
    let mut batch = Batch::default();
    index.forget(&store, doc(other).room, Some(other), &mut batch).expect("reads");
    store.commit(&batch).expect("memory");
    let (mut again, _) = Index::load(&store, &[1; 32]).expect("reads");
    for index in [&index, &again] {
        for pos in 0..10 {
            let found = all(index, &store, &wanted(index, &format!("\"word{pos}\"")), Side::Older, None);
            assert_eq!(found.len(), usize::from(pos != other), "{pos}");
        }
    }
    // What was taken back is done in another batch.
    for index in [&mut index, &mut again] {
        let mut batch = Batch::default();
        index.forget(&store, RoomId([1; 16]), None, &mut batch).expect("reads");
        assert!(!batch.is_empty());
    }
}

#[test]
fn a_conversation_that_is_forgotten_is_in_no_head() {
    let (mut index, store, _) = counted();
    let has = |room: u8| {
        let heads = store.records.scan(HEADS, &[], &[], Order::Forward, usize::MAX).expect("reads");
        heads.iter().filter(|(_, head)| head.windows(16).any(|some| *some == [room; 16])).count()
    };
    assert_eq!((has(1), has(2)), (20, 20));
    let mut batch = Batch::default();
    index.forget(&store, RoomId([1; 16]), None, &mut batch).expect("reads");
    store.commit(&batch).expect("memory");
    assert_eq!((has(1), has(2)), (0, 20));
}

#[test]
fn a_word_that_is_gone_does_not_go_on_beginning_a_block() {
    let (mut index, store) = filled(1024, |pos| format!("same word{pos}"));
    let of = |index: &Index, pos: u64| segment::token(&index.blind, &format!("word{pos}"));
    let begins = |pos: &u64| index.heads[0].firsts.contains(&of(&index, *pos));
    let gone: Vec<u64> = (0..1024).filter(begins).collect();
    assert!(gone.len() > 1);
    let tokens: Vec<Token> = gone.iter().map(|pos| of(&index, *pos)).collect();
    let mut batch = Batch::default();
    for pos in &gone {
        index.forget(&store, doc(*pos).room, Some(*pos), &mut batch).expect("reads");
    }
    store.commit(&batch).expect("memory");
    for table in [HEADS, BLOCKS, TAIL] {
        for (_, value) in store.records.scan(table, &[], &[], Order::Forward, usize::MAX).expect("reads") {
            assert!(!value.windows(8).any(|some| tokens.iter().any(|token| some == token)), "{table:?}");
        }
    }
    // All others are found as before, by the whole word and by how it begins.
    let (again, _) = Index::load(&store, &[1; 32]).expect("reads");
    for pos in (0..1024).step_by(5) {
        let found = all(&again, &store, &wanted(&again, &format!("\"word{pos}\"")), Side::Older, None);
        assert_eq!(found.len(), usize::from(!gone.contains(&pos)), "{pos}");
    }
    let found = all(&again, &store, &wanted(&again, "wor"), Side::Older, None);
    assert_eq!(found.len(), 1024 - gone.len());
}

#[test]
fn what_is_damaged_is_said_to_be_and_made_anew() {
    let (index, store) = filled(1100, |pos| format!("same word{pos}"));
    let mut batch = Batch::default();
    batch.delete(BLOCKS, block_key(0, 0));
    store.commit(&batch).expect("memory");
    let wanted = Wanted { words: vec![[0; 8]..=[255; 8]], ..wanted(&index, "same") };
    let mut candidates = index.candidates(&wanted, Side::Older, None);
    let fault = (0..1100).find_map(|_| candidates.next(&store).err());
    assert!(matches!(fault, Some(Error::Damaged(_))));
    let mut batch = Batch::default();
    batch.delete(HEADS, 0u32.to_be_bytes());
    store.commit(&batch).expect("memory");
    let (mut again, there) = Index::load(&store, &[1; 32]).expect("reads");
    assert_eq!(there, Found::Nothing);
    let mut batch = Batch::default();
    again.clear(&store, &mut batch).expect("reads");
    store.commit(&batch).expect("memory");
    assert!(store.records.scan(BLOCKS, &[], &[], Order::Forward, 9).expect("reads").is_empty());
}

#[test]
fn what_lies_on_disk_has_one_size_and_no_word() {
    let (_, store) =
        filled(1100, |pos| format!("honeysuckle number{pos} {}", "x ".repeat(pos as usize % 30)));
    for (_, value) in store.records.scan(TAIL, &[], &[], Order::Forward, usize::MAX).expect("reads") {
        assert!(value.len().is_multiple_of(TAIL_STEP));
        assert!(!value.windows(5).any(|some| some == b"honey"));
    }
    for (_, value) in store.records.scan(HEADS, &[], &[], Order::Forward, usize::MAX).expect("reads") {
        assert!(value.len().is_multiple_of(segment::HEAD));
    }
    for (_, value) in store.records.scan(BLOCKS, &[], &[], Order::Forward, usize::MAX).expect("reads") {
        assert!(value.len().is_multiple_of(segment::BLOCK));
        assert!(!value.windows(5).any(|some| some == b"honey"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn it_finds_what_a_scan_finds(texts in proptest::collection::vec("[a-d]{1,3}( [a-d]{1,3}){0,3}", 0..60),
        looked_for in "[a-d]{1,3}( [a-d]{1,2})?") {
        let (index, store) = filled(texts.len() as u64, |pos| texts[pos as usize].clone());
        let query = Query::parse(&looked_for, jiff::civil::date(2026, 1, 1)).expect("a query");
        let found: BTreeSet<u64> = all(&index, &store, &wanted(&index, &looked_for), Side::Older, None)
            .iter().map(|key| place_of(key).1).collect();
        for (pos, text) in texts.iter().enumerate() {
            prop_assert!(!query.is_in(text) || found.contains(&(pos as u64)), "{text}");
        }
    }
}
