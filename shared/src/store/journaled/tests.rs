//! What a journal before a store keeps through crashes, full disks and damage.

use super::super::{COUNTS, contract};
use super::*;
use std::fs;
use zeroize::Zeroizing;

const TABLE: Table = Table { byte: 5, name: "test" };
const SETTINGS: Settings = Settings { schema: 3, cache_bytes: 1 << 20, reserve_bytes: 0 };
const MARK: Mark = Mark([7; 16]);
const FULL: usize = 1 << 20;

fn open(dir: &Path) -> Result<Journaled, Error> {
    Journaled::open(dir, SETTINGS, MARK, FULL)
}

fn put(key: &[u8], value: &[u8]) -> Write {
    Write::Put(TABLE, key.to_vec(), Zeroizing::new(value.to_vec()))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Commits a fifth of what makes a file full, five times for each round.
fn fill(store: &Journaled, rounds: std::ops::Range<u8>) {
    for round in rounds {
        for part in 0..5 {
            let value = vec![round; FULL / 5];
            let gone = Write::Delete(TABLE, vec![round, part, b'x']);
            store
                .commit(&[put(&[round, part], &value), put(&[round, part, b'x'], b"short"), gone])
                .expect("commits");
        }
    }
}

fn all(store: &Journaled) -> Vec<u8> {
    let rows = store.scan(TABLE, b"", b"", Order::Forward, 1000).expect("scans");
    rows.iter().for_each(|(key, value)| assert!(value.iter().all(|byte| *byte == key[0])));
    rows.into_iter().map(|(key, _)| key[0]).collect()
}

/// Five of each round.
fn five(rounds: std::ops::Range<u8>) -> Vec<u8> {
    rounds.flat_map(|round| [round; 5]).collect()
}

/// Waits until the thread has nothing to do.
fn settle(store: &Journaled) {
    let mut work = lock(&store.shared.work);
    while work.last.is_some() {
        work = store.shared.turn.wait(work).expect("nobody panics");
    }
}

#[test]
fn keeps_the_contract() {
    let dir = folder();
    let mut count = 0;
    contract::kv(|| {
        count += 1;
        Box::new(open(&dir.path().join(count.to_string())).expect("opens"))
    });
    let home = dir.path().join("home");
    contract::kv_reopen(|| Box::new(open(&home).expect("opens")));
}

#[test]
fn what_is_in_three_layers_is_read_as_one() {
    let dir = folder();
    let store = open(dir.path()).expect("opens");
    let layer = |rows: &[(u8, Option<u8>)]| -> Layer {
        let whole = |key: u8| joined(TABLE, &[key]);
        rows.iter().map(|(key, value)| (whole(*key), value.map(|value| vec![value]))).collect()
    };
    let lowest: Vec<Write> = (0..10).map(|n| put(&[n], &[n])).collect();
    store.shared.under.commit(&lowest).expect("commits");
    store.shared.change().full = Arc::new(layer(&[(1, None), (2, Some(102)), (3, None), (20, Some(120))]));
    store.shared.change().active =
        layer(&[(2, None), (3, Some(203)), (4, Some(204)), (20, None), (21, Some(221))]);
    let rows = |order, limit| -> Vec<(u8, u8)> {
        let rows = store.scan(TABLE, b"", b"", order, limit).expect("scans");
        rows.into_iter().map(|(key, value)| (key[0], value[0])).collect()
    };
    let expected = [(0, 0), (3, 203), (4, 204), (5, 5), (6, 6), (7, 7), (8, 8), (9, 9), (21, 221)];
    assert_eq!(rows(Order::Forward, 99), expected);
    assert_eq!(rows(Order::Forward, 2), expected[..2]);
    let back: Vec<_> = expected.iter().rev().copied().collect();
    assert_eq!(rows(Order::Backward, 99), back);
    assert_eq!(rows(Order::Backward, 2), back[..2]);
    for key in 0..30 {
        let value = expected.iter().find(|(there, _)| *there == key).map(|(_, value)| vec![*value]);
        assert_eq!(store.get(TABLE, &[key]).expect("reads"), value);
    }
}

#[test]
fn full_files_go_into_the_store_and_are_written_over() {
    let dir = folder();
    let store = open(dir.path()).expect("opens");
    fill(&store, 0..6);
    settle(&store);
    assert!(store.shared.under.get(TABLE, &[4, 0]).expect("reads").is_some());
    assert_eq!(store.shared.under.get(TABLE, &[4, 0, b'x']).expect("reads"), None);
    assert_eq!(store.shared.under.get(TABLE, &[5, 0]).expect("reads"), None, "still before it");
    for name in FILES {
        let length = fs::metadata(dir.path().join(name)).expect("there").len();
        assert!(length < 2 * FULL as u64, "{name} has {length} bytes");
    }
    assert_eq!(all(&store), five(0..6));
    drop(store);
    let store = open(dir.path()).expect("opens");
    assert_eq!(all(&store), five(0..6));
    fill(&store, 6..9);
    assert_eq!(all(&store), five(0..9));
}

#[test]
fn what_was_not_brought_yet_is_brought_after_it_is_opened_again() {
    let dir = folder();
    {
        let store = open(dir.path()).expect("opens");
        // As a process that is killed before its thread ran.
        *lock(&store.thread) = Some(thread::spawn(|| ()));
        fill(&store, 0..2);
        assert!(lock(&store.shared.work).last.is_some());
    }
    for round in 2..4 {
        let store = open(dir.path()).expect("opens");
        assert_eq!(all(&store), five(0..round));
        fill(&store, round..round + 1);
    }
    let store = open(dir.path()).expect("opens");
    assert_eq!(all(&store), five(0..4));
}

#[test]
fn a_commit_that_was_cut_off_is_not_there_and_what_follows_takes_its_place() {
    let dir = folder();
    let file = dir.path().join(FILES[0]);
    {
        let store = open(dir.path()).expect("opens");
        store.commit(&[put(b"a", b"a")]).expect("commits");
        store.append(&[put(b"b", &[b'b'; 1000])]).expect("appends");
        kill(store);
    }
    let whole = fs::read(&file).expect("reads");
    fs::write(&file, &whole[..whole.len() - 1]).expect("written");
    let store = open(dir.path()).expect("opens");
    assert!(store.was_cut_off());
    assert_eq!(all(&store), b"a");
    store.commit(&[put(b"c", b"c")]).expect("goes on");
    kill(store);
    let store = open(dir.path()).expect("opens");
    assert!(!store.was_cut_off());
    assert_eq!(all(&store), b"ac");
}

/// It ends without a word.
fn kill(store: Journaled) {
    lock(&store.journal).broken = true;
    drop(store);
}

/// Whether that syncs the file with the last frame: its place takes one that cannot be synced.
#[cfg(target_os = "linux")]
fn syncs(store: Journaled, what: impl Fn(&Journaled) -> Result<(), Error>) -> bool {
    let mut journal = lock(&store.journal);
    let current = journal.current;
    if let Some(files) = &mut journal.files {
        files[current] = File::open("/dev/null").expect("opens");
    }
    drop(journal);
    what(&store).is_err_and(|error| error.to_string().contains("cannot be synced"))
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_killed_process_did_not_sync_is_synced_before_anybody_relies_on_it() {
    let dir = folder();
    let again = || open(dir.path()).expect("opens");
    assert!(!syncs(again(), |store| store.sync()), "there is nothing");
    let store = again();
    store.append(&[put(b"a", b"a")]).expect("appends");
    kill(store);
    assert!(syncs(again(), |store| store.sync()));
    assert!(syncs(again(), |store| store.append(&[put(b"b", b"b")])));
    // The file is full: what follows goes into the other one.
    let store = again();
    fill(&store, 0..1);
    assert!(lock(&store.journal).at >= FULL);
    kill(store);
    assert!(syncs(again(), |store| store.commit(&[put(b"c", b"c")])));
    let store = again();
    store.sync().expect("syncs");
    assert!(!syncs(store, |store| store.sync()), "once");
}

#[test]
fn an_end_that_is_cut_away_after_it_was_closed_is_told() {
    let cut = |to: usize| {
        said(
            |store| {
                for key in [b"a", b"b", b"c"] {
                    store.commit(&[put(key, key)]).expect("commits");
                }
            },
            |dir| {
                let file = dir.join(FILES[0]);
                let whole = fs::read(&file).expect("reads");
                fs::write(&file, &whole[..to.min(whole.len() - 1)]).expect("written");
            },
        )
    };
    for (to, commits) in [(0, 0), (journal::ALIGN, 1), (2 * journal::ALIGN, 2), (usize::MAX, 2)] {
        let what = cut(to);
        assert!(what.contains(&format!("ends with commit {commits}, and held up to 3")), "{what}");
    }
}

#[test]
fn an_end_that_is_cut_away_after_a_kill_is_told() {
    let dir = folder();
    let store = open(dir.path()).expect("opens");
    store.commit(&[put(b"a", b"a")]).expect("commits");
    store.commit(&[put(b"b", b"b")]).expect("commits");
    // Not synced, and nobody may rely on it.
    store.append(&[put(b"c", b"c")]).expect("appends");
    kill(store);
    let file = dir.path().join(FILES[0]);
    let whole = fs::read(&file).expect("reads");
    for (to, commits) in [(0, 0), (1, 0), (journal::ALIGN, 1)] {
        fs::write(&file, &whole[..to]).expect("written");
        let Err(Error::Damaged(what)) = open(dir.path()) else { panic!("cut to {to}: nobody noticed") };
        assert!(what.contains(&format!("ends with commit {commits}, and held up to 2: ")), "{what}");
    }
    fs::write(&file, &whole[..2 * journal::ALIGN]).expect("written");
    // Whoever only looks notes nothing.
    assert_eq!(all(&open(dir.path()).expect("opens")), b"ab");
    // As the sentence says: without that file it goes on with what is left, and holds it from there on.
    fs::write(&file, &whole[..journal::ALIGN]).expect("written");
    fs::remove_file(dir.path().join(end::NAME)).expect("removed");
    let store = open(dir.path()).expect("opens");
    assert_eq!(all(&store), b"a");
    store.commit(&[put(b"d", b"d")]).expect("commits");
    kill(store);
    assert_eq!(all(&open(dir.path()).expect("opens")), b"ad");
    fs::write(&file, &whole[..journal::ALIGN]).expect("written");
    assert!(open(dir.path()).is_err());
}

#[test]
fn a_power_cut_may_leave_an_older_end() {
    let dir = folder();
    let store = open(dir.path()).expect("opens");
    store.commit(&[put(b"a", b"a")]).expect("commits");
    let older = fs::read(dir.path().join(end::NAME)).expect("reads");
    store.commit(&[put(b"b", b"b")]).expect("commits");
    kill(store);
    for end in [&older[..], &older[..7], b""] {
        fs::write(dir.path().join(end::NAME), end).expect("written");
        assert_eq!(all(&open(dir.path()).expect("opens")), b"ab");
    }
}

/// What opening says after something was done to the folder.
fn said(before: impl Fn(&Journaled), harm: impl Fn(&Path)) -> String {
    let dir = folder();
    let store = open(dir.path()).expect("opens");
    before(&store);
    drop(store);
    harm(dir.path());
    match open(dir.path()).err().expect("is refused") {
        Error::Damaged(what) => what,
        other => panic!("{other}"),
    }
}

#[test]
fn whatever_is_missing_in_between_is_told() {
    let three =
        |store: &Journaled| (b'a'..b'd').for_each(|n| store.commit(&[put(&[n], &[n])]).expect("commits"));
    let flip = |path: &Path, at: usize| {
        let mut bytes = fs::read(path).expect("reads");
        bytes[at] ^= 1;
        fs::write(path, bytes).expect("written");
    };
    let what = said(three, |dir| flip(&dir.join(FILES[0]), 520));
    assert!(what.contains("commit 2 cannot be read in its journal, and later ones are there"), "{what}");
    for name in FILES {
        let what = said(three, |dir| fs::remove_file(dir.join(name)).expect("removed"));
        assert!(what.contains(&format!("{name} is missing")), "{what}");
    }
    let brought = |store: &Journaled| {
        fill(store, 0..3);
        settle(store);
    };
    let what =
        said(brought, |dir| FILES.iter().for_each(|name| fs::write(dir.join(name), b"").expect("written")));
    assert!(what.contains("ends with commit 0, and the store holds up to 10"), "{what}");
    // The store is of another time than the journal.
    let older = folder();
    let what = said(
        |store| {
            fill(store, 0..1);
            copy(&store.shared.dir, older.path());
            fill(store, 1..4);
            settle(store);
        },
        |dir| {
            let journals = FILES.map(|name| fs::read(dir.join(name)).expect("reads"));
            copy(older.path(), dir);
            FILES
                .iter()
                .zip(journals)
                .for_each(|(name, bytes)| fs::write(dir.join(name), bytes).expect("written"));
        },
    );
    assert!(what.contains("lacks the commits from 1 to 10"), "{what}");
    let what = said(|_| {}, |dir| fs::write(dir.join(FILES[1]), b"of another").expect("written"));
    assert!(what.contains("does not know of its journal-b"), "{what}");
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            fs::copy(&path, to.join(path.file_name().expect("named"))).expect("copied");
        }
    }
}

#[test]
fn a_store_that_had_no_journal_gets_one() {
    let dir = folder();
    {
        let old = Sled::open(dir.path(), SETTINGS).expect("opens");
        old.commit(&[put(b"a", b"a"), put(b"b", b"b")]).expect("commits");
    }
    let store = open(dir.path()).expect("opens");
    assert_eq!(all(&store), b"ab");
    assert!(!dir.path().join(FILES[0]).exists(), "looking changes nothing");
    store.commit(&[Write::Delete(TABLE, b"a".to_vec()), put(b"c", b"c")]).expect("commits");
    drop(store);
    assert_eq!(all(&open(dir.path()).expect("opens")), b"bc");
}

#[test]
fn a_full_disk_refuses_and_keeps_all() {
    let dir = folder();
    open(dir.path()).expect("opens").commit(&[put(b"a", b"a")]).expect("commits");
    let full = Settings { reserve_bytes: u64::MAX, ..SETTINGS };
    let store = Journaled::open(dir.path(), full, MARK, FULL).expect("opens, to be read");
    assert!(matches!(store.commit(&[put(b"b", b"b")]), Err(Error::Full)));
    assert_eq!(all(&store), b"a");
    drop(store);
    let store = open(dir.path()).expect("opens");
    store.commit(&[put(b"c", b"c")]).expect("there is room again");
    assert_eq!(all(&store), b"ac");
}

#[test]
fn a_disk_that_is_nearly_full_still_takes_what_only_removes() {
    let dir = folder();
    open(dir.path()).expect("opens").commit(&[put(b"a", b"a"), put(b"b", b"b")]).expect("commits");
    let free = fs4::available_space(dir.path()).expect("the system says");
    // More than is free, and half of it less.
    let nearly = Settings { reserve_bytes: free + free / 2, ..SETTINGS };
    let store = Journaled::open(dir.path(), nearly, MARK, FULL).expect("opens");
    let gone = Write::Delete(TABLE, b"a".to_vec());
    for more in [&[gone.clone(), put(b"c", &[b'c'; COUNTS + 1])][..], &[put(b"c", b"c")]] {
        assert!(matches!(store.commit(more), Err(Error::Full)));
    }
    assert_eq!(all(&store), b"ab");
    store.commit(&[gone, put(b"c", b"c")]).expect("removes, and counts");
    assert_eq!(all(&store), b"bc");
}

#[test]
fn while_there_is_no_room_in_the_store_commits_wait_for_none() {
    let dir = folder();
    let store = open(dir.path()).expect("opens");
    // As if the thread had found no room.
    *lock(&store.thread) = Some(thread::spawn(|| ()));
    fill(&store, 0..2);
    lock(&store.shared.work).no_room = true;
    assert!(matches!(store.commit(&[put(b"z", b"z")]), Err(Error::Full)));
    assert!(!lock(&store.shared.work).no_room, "it is tried again");
    assert_eq!(all(&store), five(0..2));
}
