//! What every store must do, as tests that each implementation runs.
//!
//! The functions panic when the contract is broken; call them from a test.

use super::{Error, Kv, Order, SLOT_MAX, SlotKey, SlotWrite, Slots, Table, Write};
use zeroize::Zeroizing;

const ONE: Table = Table { byte: 1, name: "one" };
const TWO: Table = Table { byte: 2, name: "two" };

/// What holds for any [`Kv`]. `make` gives a new, empty one each time.
///
/// # Panics
/// When the contract is broken.
pub fn kv(mut make: impl FnMut() -> Box<dyn Kv>) {
    reads_what_was_written(&*make());
    keeps_tables_apart(&*make());
    scans_both_ways(&*make());
    scans_at_the_edges_of_the_key_space(&*make());
    applies_a_commit_in_order(&*make());
    reads_what_was_appended(&*make());
}

/// What holds for a durable [`Kv`]. `open` opens the same store, empty the first time; each is
/// dropped before the next is opened.
///
/// # Panics
/// When the contract is broken.
pub fn kv_reopen(mut open: impl FnMut() -> Box<dyn Kv>) {
    for round in 0..4u8 {
        let store = open();
        for earlier in 0..round {
            assert_eq!(read(&*store, ONE, &[earlier]), Some(vec![earlier; 100]), "kept over reopening");
        }
        let last = read(&*store, TWO, b"last");
        assert_eq!(last, round.checked_sub(1).map(|before| vec![before]), "the newest value is kept");
        assert_eq!(read(&*store, TWO, b"gone"), None, "what was removed stays removed");
        commit(&*store, &[put(ONE, &[round], &[round; 100]), put(TWO, b"gone", b"x")]);
        store.append(&[put(TWO, b"last", &[round])]).expect("appends");
        store.append(&[delete(TWO, b"gone")]).expect("appends");
        if round % 2 == 0 {
            store.sync().expect("syncs");
        }
    }
}

/// What holds for any [`Slots`]. `make` gives new, empty ones each time.
///
/// # Panics
/// When the contract is broken.
pub fn slots(mut make: impl FnMut() -> Box<dyn Slots>) {
    keeps_and_erases_secrets(&*make());
    lists_a_kind_in_order(&*make());
    applies_slot_writes_in_order(&*make());
    refuses_too_long_a_secret(&*make());
    holds_many_secrets(&*make());
}

/// What holds for durable [`Slots`]. `open` opens the same ones, empty the first time; each is
/// dropped before the next is opened.
///
/// # Panics
/// When the contract is broken.
pub fn slots_reopen(mut open: impl FnMut() -> Box<dyn Slots>) {
    for round in 0..4u16 {
        let store = open();
        for earlier in 0..round {
            let secret = secret(&*store, slot(1, earlier, 0));
            assert_eq!(secret, Some(vec![earlier as u8; 60]), "kept over reopening");
        }
        let last = secret(&*store, slot(2, 0, 0));
        assert_eq!(last, round.checked_sub(1).map(|before| vec![before as u8]), "the newest value is kept");
        assert_eq!(secret(&*store, slot(2, 0, 1)), None, "what was erased stays erased");
        apply(&*store, &[keep(slot(1, round, 0), &[round as u8; 60]), keep(slot(2, 0, 1), b"x")]);
        apply(&*store, &[keep(slot(2, 0, 0), &[round as u8]), SlotWrite::Erase(slot(2, 0, 1))]);
    }
}

fn reads_what_was_written(store: &dyn Kv) {
    assert_eq!(read(store, ONE, b"a"), None);
    commit(store, &[put(ONE, b"a", b"first"), put(ONE, b"", b"empty key"), put(ONE, b"empty", b"")]);
    assert_eq!(read(store, ONE, b"a"), Some(b"first".to_vec()));
    assert_eq!(read(store, ONE, b""), Some(b"empty key".to_vec()));
    assert_eq!(read(store, ONE, b"empty"), Some(Vec::new()), "an empty value is a value");
    commit(store, &[put(ONE, b"a", b"second"), delete(ONE, b"empty")]);
    assert_eq!(read(store, ONE, b"a"), Some(b"second".to_vec()));
    assert_eq!(read(store, ONE, b"empty"), None);
    commit(store, &[delete(ONE, b"never there")]);
    commit(store, &[]);
    let large: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
    commit(store, &[put(ONE, b"large", &large)]);
    assert_eq!(read(store, ONE, b"large"), Some(large));
}

fn keeps_tables_apart(store: &dyn Kv) {
    commit(store, &[put(ONE, b"k", b"in one"), put(TWO, b"k", b"in two"), put(TWO, b"", b"first of two")]);
    assert_eq!(read(store, ONE, b"k"), Some(b"in one".to_vec()));
    assert_eq!(read(store, TWO, b"k"), Some(b"in two".to_vec()));
    assert_eq!(keys(store, ONE, b"", b"", Order::Forward, 10), [b"k"]);
    assert_eq!(keys(store, ONE, b"", b"", Order::Backward, 10), [b"k"]);
    commit(store, &[delete(ONE, b"k")]);
    assert_eq!(read(store, TWO, b"k"), Some(b"in two".to_vec()));
    // A name is for people; the byte says which table it is.
    assert_eq!(read(store, Table { name: "another name", ..TWO }, b"k"), Some(b"in two".to_vec()));
}

fn scans_both_ways(store: &dyn Kv) {
    let writes: Vec<Write> = (0..50u8).map(|n| put(ONE, &[b'k', n], &[n])).collect();
    commit(store, &writes);
    commit(store, &[put(TWO, &[b'k', 7], b"elsewhere")]);
    let numbers = |from: &[u8], to: &[u8], order, limit| -> Vec<u8> {
        let rows = store.scan(ONE, from, to, order, limit).expect("scans");
        rows.iter().for_each(|(key, value)| assert_eq!(&key[1..], value.as_slice()));
        rows.iter().map(|(key, _)| key[1]).collect()
    };
    assert_eq!(numbers(b"", b"", Order::Forward, 3), [0, 1, 2]);
    assert_eq!(numbers(b"", b"", Order::Backward, 3), [49, 48, 47]);
    assert_eq!(numbers(b"k\x0a", b"k\x0d", Order::Forward, 9), [10, 11, 12], "`to` is excluded");
    assert_eq!(numbers(b"k\x0a", b"k\x0d", Order::Backward, 9), [12, 11, 10], "`from` is included");
    assert_eq!(numbers(b"k\x0a", b"k\x0d", Order::Backward, 2), [12, 11], "the largest come first");
    assert_eq!(numbers(b"k\x30", b"", Order::Forward, 9), [48, 49], "an empty `to` is no bound");
    assert_eq!(numbers(b"k\x30", b"", Order::Backward, 9), [49, 48]);
    for order in [Order::Forward, Order::Backward] {
        assert!(numbers(b"k\x05", b"k\x05", order, 9).is_empty(), "an empty range");
        assert!(numbers(b"k\x09", b"k\x05", order, 9).is_empty(), "a range that ends before it begins");
        assert!(numbers(b"", b"", order, 0).is_empty(), "nothing asked for");
        assert!(numbers(b"l", b"", order, 9).is_empty(), "past the last");
        assert_eq!(numbers(b"", b"", order, usize::MAX).len(), 50, "all");
    }
}

fn scans_at_the_edges_of_the_key_space(store: &dyn Kv) {
    let first = Table { byte: 0, name: "first" };
    let last = Table { byte: u8::MAX, name: "last" };
    for table in [first, last] {
        commit(store, &[put(table, b"", b"1"), put(table, &[u8::MAX; 3], b"2")]);
        let all: [&[u8]; 2] = [b"", &[u8::MAX; 3]];
        assert_eq!(keys(store, table, b"", b"", Order::Forward, 10), all);
        assert_eq!(keys(store, table, b"", b"", Order::Backward, 10), [all[1], all[0]]);
        assert_eq!(keys(store, table, &[u8::MAX; 2], b"", Order::Backward, 10), [all[1]]);
    }
}

fn applies_a_commit_in_order(store: &dyn Kv) {
    commit(store, &[put(ONE, b"a", b"1"), delete(ONE, b"a"), put(ONE, b"a", b"2")]);
    assert_eq!(read(store, ONE, b"a"), Some(b"2".to_vec()));
    commit(store, &[put(ONE, b"a", b"3"), delete(ONE, b"a")]);
    assert_eq!(read(store, ONE, b"a"), None);
}

fn reads_what_was_appended(store: &dyn Kv) {
    store.sync().expect("has nothing to sync");
    store.append(&[]).expect("appends nothing");
    store.append(&[put(ONE, b"a", b"1"), put(ONE, b"b", b"1")]).expect("appends");
    assert_eq!(read(store, ONE, b"a"), Some(b"1".to_vec()));
    store.append(&[put(ONE, b"a", b"2")]).expect("appends behind what is not synced");
    commit(store, &[delete(ONE, b"b")]);
    store.append(&[put(ONE, b"c", b"3")]).expect("appends");
    for _ in 0..2 {
        store.sync().expect("syncs");
    }
    assert_eq!(keys(store, ONE, b"", b"", Order::Forward, 10), [b"a", b"c"]);
    assert_eq!(read(store, ONE, b"a"), Some(b"2".to_vec()));
}

fn keeps_and_erases_secrets(store: &dyn Slots) {
    let key = slot(1, 7, 0);
    assert_eq!(secret(store, key), None);
    apply(store, &[keep(key, b"first"), keep(slot(1, 7, 1), b"")]);
    assert_eq!(secret(store, key), Some(b"first".to_vec()));
    assert_eq!(secret(store, slot(1, 7, 1)), Some(Vec::new()), "an empty secret is a secret");
    apply(store, &[keep(key, &[9; SLOT_MAX])]);
    assert_eq!(secret(store, key), Some(vec![9; SLOT_MAX]), "the longest fits");
    apply(store, &[SlotWrite::Erase(key), SlotWrite::Erase(slot(9, 9, 9))]);
    assert_eq!(secret(store, key), None);
    assert_eq!(secret(store, slot(1, 7, 1)), Some(Vec::new()), "its neighbour stays");
    apply(store, &[]);
}

fn lists_a_kind_in_order(store: &dyn Slots) {
    let keys = [slot(1, 3, 1), slot(2, 1, 0), slot(1, 1, 0), slot(1, 3, 0)];
    let writes: Vec<SlotWrite> = keys.iter().map(|key| keep(*key, &[key.part as u8])).collect();
    apply(store, &writes);
    let listed: Vec<SlotKey> = store.list(1).iter().map(|(key, _)| *key).collect();
    assert_eq!(listed, [keys[2], keys[3], keys[0]]);
    assert_eq!(store.list(1)[2].1.as_slice(), [1]);
    assert!(store.list(3).is_empty());
}

fn applies_slot_writes_in_order(store: &dyn Slots) {
    let key = slot(1, 1, 1);
    apply(store, &[keep(key, b"1"), SlotWrite::Erase(key), keep(key, b"2"), keep(key, b"3")]);
    assert_eq!(secret(store, key), Some(b"3".to_vec()));
    apply(store, &[keep(key, b"4"), SlotWrite::Erase(key)]);
    assert_eq!(secret(store, key), None);
}

fn refuses_too_long_a_secret(store: &dyn Slots) {
    let key = slot(1, 1, 1);
    apply(store, &[keep(key, b"kept")]);
    let refused = store.apply(&[keep(key, b"lost"), keep(slot(1, 1, 2), &[0; SLOT_MAX + 1])]);
    let Err(Error::Io(error)) = refused else { panic!("a secret over SLOT_MAX must be refused") };
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert_eq!(secret(store, key), Some(b"kept".to_vec()), "a refused batch changes nothing");
    assert_eq!(secret(store, slot(1, 1, 2)), None);
    apply(store, &[keep(key, b"goes on")]);
    assert_eq!(secret(store, key), Some(b"goes on".to_vec()));
}

fn holds_many_secrets(store: &dyn Slots) {
    let numbers = 0..200u16;
    let writes: Vec<SlotWrite> = numbers.clone().map(|n| keep(slot(1, n, 0), &n.to_be_bytes())).collect();
    apply(store, &writes);
    let erased: Vec<SlotWrite> =
        numbers.clone().step_by(2).map(|n| SlotWrite::Erase(slot(1, n, 0))).collect();
    apply(store, &erased);
    apply(store, &[keep(slot(2, 0, 0), b"in a freed place")]);
    for n in numbers {
        let expected = (n % 2 == 1).then(|| n.to_be_bytes().to_vec());
        assert_eq!(secret(store, slot(1, n, 0)), expected);
    }
    assert_eq!(store.list(1).len(), 100);
}

fn put(table: Table, key: &[u8], value: &[u8]) -> Write {
    Write::Put(table, key.to_vec(), Zeroizing::new(value.to_vec()))
}

fn delete(table: Table, key: &[u8]) -> Write {
    Write::Delete(table, key.to_vec())
}

fn commit(store: &dyn Kv, writes: &[Write]) {
    store.commit(writes).expect("commits");
}

fn read(store: &dyn Kv, table: Table, key: &[u8]) -> Option<Vec<u8>> {
    store.get(table, key).expect("reads")
}

fn keys(store: &dyn Kv, table: Table, from: &[u8], to: &[u8], order: Order, limit: usize) -> Vec<Vec<u8>> {
    store.scan(table, from, to, order, limit).expect("scans").into_iter().map(|(key, _)| key).collect()
}

fn slot(kind: u8, id: u16, part: u16) -> SlotKey {
    let mut long = [0; 16];
    long[14..].copy_from_slice(&id.to_be_bytes());
    SlotKey { kind, id: long, part }
}

fn keep(key: SlotKey, secret: &[u8]) -> SlotWrite {
    SlotWrite::Put(key, Zeroizing::new(secret.to_vec()))
}

fn apply(store: &dyn Slots, writes: &[SlotWrite]) {
    store.apply(writes).expect("applies");
}

fn secret(store: &dyn Slots, key: SlotKey) -> Option<Vec<u8>> {
    store.get(&key).map(|secret| secret.to_vec())
}
