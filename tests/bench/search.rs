//! A search over a long history beside a search of the same lines in a plain file, and what indexing a
//! message costs beside writing it.

use crate::figure::{Table, Times, mib, shown};
use crate::people::{name, parts};
use anyhow::{Context, ensure};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use subrosa::app::App;
use subrosa::chat::room::{Kept, ROOMS};
use subrosa::chat::search::index::{BLOCKS, HEADS, Index, TAIL};
use subrosa::chat::search::segment::{By, Doc};
use subrosa::chat::timeline::{Author, LINES as LINES_TABLE, Line, LineState, Timeline};
use subrosa::effect::Effect;
use subrosa::event::Event;
use subrosa_shared::id::{MessageId, RoomId};
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::Identity;
use subrosa_shared::session::vault::Cost;
use subrosa_shared::store::profile::Profile;
use subrosa_shared::store::{Batch, Order, Store, Table as Records};
use subrosa_shared::time::{Millis, Now};

const LINES: u64 = 100_000;
/// Lines in one durable write while filling.
const AT_ONCE: u64 = 2_000;
/// Times that each search is made.
const TIMES: usize = 40;
/// Different words that are spoken.
const WORDS: u64 = 30_000;
/// Lines that are written with and without the index, so many in one durable write.
const WRITTEN: u64 = 16_384;
const IN_A_WRITE: u64 = 64;
const ROOM: RoomId = RoomId([1; 16]);

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (folder, plain) = (dir.path().join("profile"), dir.path().join("plain.txt"));
    let profile = Profile::create(&folder, "", Cost::TINY, &mut rand_core::OsRng)?;
    fill(&profile.store, &plain)?;

    let link = RelayLink { host: "127.0.0.1".into(), port: 4433, fingerprint: [0; 32], invite: None };
    let identity = Identity::generate(&mut rand_core::OsRng);
    let (mut app, effects) = App::load(parts("ada", &link, identity, profile.store.clone())?, now(0))?;
    commit(&app, effects)?;
    let (mut mono, begun) = (0, Instant::now());
    while app.chat().indexing.is_some() {
        mono += 20;
        let effects = app.update(Event::Wake, now(mono));
        commit(&app, effects)?;
    }
    let filling = begun.elapsed();

    let (tool, mut all, mut all_plain) = (tool(), Times::default(), Times::default());
    for (what, query, pattern) in [
        ("a rare word", word(WORDS / 2), word(WORDS / 2)),
        ("a common word", word(0), word(0)),
        ("a beginning", word(900)[..3].to_owned(), word(900)[..3].to_owned()),
        ("three words of one person", format!("{} {} from:ben", word(1), word(2)), word(2)),
        ("a phrase", format!("\"{} {}\"", word(3), word(1)), format!("{} {}", word(3), word(1))),
        (
            "a rare phrase of common words, 2,000 lines read",
            format!("\"{} {} {}\"", word(0), word(0), word(0)),
            [word(0), word(0), word(0)].join(" "),
        ),
        ("a word that nobody said", "unsaid".into(), "unsaid".into()),
        ("one day", format!("{} on:2023-12-01", word(0)), word(0)),
    ] {
        let (mut ours, mut theirs, mut found) = (Times::default(), Times::default(), 0);
        for _ in 0..TIMES {
            let begun = Instant::now();
            let page = app.search(&query, None, 50, now(mono)).map_err(anyhow::Error::msg)?;
            ours.add(begun.elapsed());
            all.add(begun.elapsed());
            found = page.hits.len();
            let (time, _) = scan(tool, &pattern, &plain)?;
            theirs.add(time);
            all_plain.add(time);
        }
        let what = format!("search 100,000 messages: {what} (first {found})");
        table.times(&what, &ours, &format!("{tool} over a plain file"), &theirs);
    }
    table.times("all of these searches together", &all, &format!("{tool} over a plain file"), &all_plain);

    let (index, lines) =
        (bytes(&profile.store, &[TAIL, HEADS, BLOCKS])?, bytes(&profile.store, &[LINES_TABLE])?);
    ensure!(lines > 0, "no line was written");
    let ratio = format!("{:.2}×", index as f64 / lines as f64);
    table.value("the index of them", &mib(index), &format!("the lines alone {}", mib(lines)), &ratio);
    let rate = LINES as f64 / filling.as_secs_f64();
    table.value(
        "indexing an old profile, without the pauses",
        &format!("{} ({rate:.0} lines/s)", shown(filling)),
        "",
        "",
    );
    drop((app, profile));

    let [mut with, mut without] = [(); 2].map(|()| Times::default());
    for round in 0..3 {
        let folder = dir.path().join(format!("with {round}"));
        written(&folder, &mut with, true)?;
        written(&dir.path().join(format!("without {round}")), &mut without, false)?;
    }
    table.times("a message written and indexed, 64 in a durable write", &with, "written only", &without);
    Ok(())
}

/// What a person would search a plain file with.
fn tool() -> &'static str {
    let there = |tool: &str| {
        Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    if there("rg") { "rg" } else { "grep" }
}

/// Looks for a text in a file, without regard to case, to the end; says how long that took.
fn scan(tool: &str, pattern: &str, file: &Path) -> anyhow::Result<(Duration, Vec<u8>)> {
    let begun = Instant::now();
    let done =
        Command::new(tool).args(["-i", "-F", "-e", pattern]).arg(file).output().context(tool.to_owned())?;
    Ok((begun.elapsed(), done.stdout))
}

/// A word, common ones first.
fn word(nth: u64) -> String {
    const SOUNDS: [&str; 16] =
        ["ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu", "va"];
    let (mut rest, mut word) = (nth + 16, String::new());
    while rest > 0 {
        word.push_str(SOUNDS[(rest % 16) as usize]);
        rest /= 16;
    }
    word
}

/// What people say: a few words, most of them common ones.
fn text(rng: &mut ChaCha20Rng) -> String {
    let words = 3 + rng.next_u32() % 14;
    let nth = |rng: &mut ChaCha20Rng| {
        // As often as one over its place in the list, about.
        let share = f64::from(rng.next_u32()) / f64::from(u32::MAX);
        ((WORDS as f64).powf(share) - 1.0) as u64
    };
    (0..words).map(|_| word(nth(rng))).collect::<Vec<_>>().join(" ")
}

fn line(n: u64, body: String) -> Line {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let (author, state) = match n % 3 {
        0 => (Author::Me, LineState::Read),
        _ => (Author::Them, LineState::Received),
    };
    Line::new(MessageId(id), author, Millis(1_700_000_000_000 + n * 60_000), body, state)
}

/// A conversation of 100,000 lines without an index, and the same lines in a plain file.
fn fill(store: &Store, plain: &Path) -> anyhow::Result<()> {
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let mut file = std::io::BufWriter::new(std::fs::File::create(plain)?);
    let (mut timeline, mut batch) = (Timeline::closed(ROOM, 0), Batch::default());
    for n in 0..LINES {
        let line = line(n, text(&mut rng));
        let who = if line.author == Author::Me { "ada" } else { "ben" };
        writeln!(file, "{} {who}: {}", line.at.0, line.body)?;
        timeline.push(line, &mut batch);
        if timeline.end().is_multiple_of(AT_ONCE) {
            store.commit(&std::mem::take(&mut batch))?;
            timeline.shrink(0);
        }
    }
    file.flush()?;
    let peer = Some(Identity::generate(&mut rand_core::OsRng).peer());
    let (with, last) = (name("ben")?, now(0).wall);
    let kept = Kept {
        with: Some(with),
        peer,
        changed: None,
        lines: LINES,
        read: LINES,
        unread: 0,
        muted: false,
        last,
    };
    batch.put(ROOMS, ROOM.0, postcard::to_stdvec(&kept)?);
    store.commit(&batch)?;
    Ok(())
}

/// Writes lines, and takes the time for each.
fn written(folder: &Path, times: &mut Times, indexed: bool) -> anyhow::Result<()> {
    let profile = Profile::create(folder, "", Cost::TINY, &mut rand_core::OsRng)?;
    let mut rng = ChaCha20Rng::seed_from_u64(6);
    let (mut index, _) = Index::load(&profile.store, &profile.dek().search_key())?;
    let mut timeline = Timeline::closed(ROOM, 0);
    let texts: Vec<String> = (0..WRITTEN).map(|_| text(&mut rng)).collect();
    for (round, texts) in texts.chunks(IN_A_WRITE as usize).enumerate() {
        let (begun, mut batch) = (Instant::now(), Batch::default());
        for (i, text) in texts.iter().enumerate() {
            let line = line(round as u64 * IN_A_WRITE + i as u64, text.clone());
            if indexed {
                let doc = Doc { room: ROOM, pos: timeline.end(), at: line.at, by: By::Them };
                index.add(doc, text, &mut batch);
            }
            timeline.push(line, &mut batch);
        }
        profile.store.commit(&batch)?;
        times.add(begun.elapsed() / IN_A_WRITE as u32);
        timeline.shrink(0);
    }
    Ok(())
}

fn bytes(store: &Store, tables: &[Records]) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for table in tables {
        let rows = store.records.scan(*table, &[], &[], Order::Forward, usize::MAX)?;
        bytes += rows.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum::<u64>();
    }
    Ok(bytes)
}

fn commit(app: &App, effects: Vec<Effect>) -> anyhow::Result<()> {
    for effect in effects {
        if let Effect::Commit(batch) = effect {
            app.store().commit(&batch)?;
        }
    }
    Ok(())
}

fn now(mono: u64) -> Now {
    Now { wall: Millis(1_710_000_000_000), mono: Millis(1_000 + mono) }
}
