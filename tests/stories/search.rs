//! Search: what is found, going there and back, and what the index knows and when.

use crossterm::event::{KeyCode, KeyModifiers};
use subrosa::chat::room::ROOMS;
use subrosa::chat::search::index::{BLOCKS, HEADS, STATE, TAIL};
use subrosa::chat::search::segment;
use subrosa::chat::timeline::{Author, LINES, Line, LineState, PLACES, place};
use subrosa::event::Event;
use subrosa::ui::act::LineCommand;
use subrosa::ui::command::{self, Command};
use subrosa::ui::rooms::RoomCommand;
use subrosa_shared::id::{AccountName, MessageId};
use subrosa_shared::session::blind::Blind;
use subrosa_shared::store::{Batch, Order};
use subrosa_shared::time::Millis;
use subrosa_tests::World;
use subrosa_tests::club::{self, club, does, said, speaks};
use subrosa_tests::late::Late;

/// 2026-01-01 00:00 UTC, when stories begin.
const BEGIN: u64 = 1_767_225_600_000;
const HOUR: u64 = 3_600_000;

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("valid")
}

/// People who know each other.
fn friends(seed: u64, names: &[&str]) -> World {
    let mut world = World::with(seed, names);
    for other in &names[1..] {
        world.knows(names[0], other);
        world.says(names[0], other, &format!("hello {other}"));
    }
    world.settle();
    world
}

fn slash(world: &mut World, who: &str, line: &str) {
    world.commands(who, command::parse(line).expect("a command"));
    world.settle();
}

/// The texts that a search finds, newest first, as a script gets them; page by page.
fn finds(world: &mut World, who: &str, query: &str) -> Vec<String> {
    let (now, mut texts, mut behind) = (world.now(), Vec::new(), None);
    loop {
        let page = world.app(who).search(query, behind, 3, now).expect("a query");
        texts.extend(page.hits.into_iter().map(|hit| hit.line.body));
        behind = page.on;
        if behind.is_none() {
            return texts;
        }
    }
}

/// A person who talked with Ben for long before there was an index: so many lines, an hour apart.
fn old_profile(seed: u64, lines: u64) -> World {
    let mut world = friends(seed, &["ada", "ben"]);
    let room = world.app("ada").chat().with(&name("ben")).expect("a conversation");
    let (id, mut kept) = (room.id, room.kept.clone());
    world.kill("ada");
    let (mut batch, store) = (Batch::default(), world.disk("ada"));
    for pos in 0..lines {
        let body =
            if pos % 100 == 7 { format!("the needle of hour {pos}") } else { format!("hay of hour {pos}") };
        let at = Millis(BEGIN - (lines - pos) * HOUR);
        let author = if pos % 2 == 0 { Author::Me } else { Author::Them };
        let state = if pos % 2 == 0 { LineState::Read } else { LineState::Received };
        let mut message = [0; 16];
        message[..8].copy_from_slice(&(pos + 1).to_be_bytes());
        let line = Line::new(MessageId(message), author, at, body, state);
        batch.put(LINES, place(id, pos), line.encode());
        batch.put(PLACES, message, place(id, pos));
    }
    (kept.lines, kept.read, kept.unread) = (lines, lines, 0);
    kept.save(id, &mut batch);
    for table in [STATE, TAIL, HEADS, BLOCKS] {
        for (key, _) in store.records.scan(table, &[], &[], Order::Forward, usize::MAX).expect("reads") {
            batch.delete(table, key);
        }
    }
    store.commit(&batch).expect("memory");
    world.starts("ada");
    world
}

fn press(world: &mut World, code: KeyCode) {
    world.press("ada", code, KeyModifiers::NONE);
    world.settle();
}

#[test]
fn words_people_conversations_and_days_find_what_was_said() {
    let mut world = friends(1, &["ada", "ben", "cem"]);
    for (from, to, text) in [
        ("ada", "ben", "Meet me at the old MILL"),
        ("ben", "ada", "which mill? there are two mills"),
        ("ada", "cem", "Ben kommt später ins Café, 今日は"),
        ("cem", "ada", "das alte Cafe an der Mühle 🎉"),
    ] {
        world.says(from, to, text);
        world.passes(26 * HOUR / 2);
    }
    world.settle();
    let mut finds = |query: &str| finds(&mut world, "ada", query);
    assert_eq!(finds("mill"), ["which mill? there are two mills", "Meet me at the old MILL"]);
    assert_eq!(finds("\"old mill\""), ["Meet me at the old MILL"]);
    assert_eq!(finds("mill from:ben"), ["which mill? there are two mills"]);
    assert_eq!(finds("mill from:me"), ["Meet me at the old MILL"]);
    assert_eq!(finds("cafe"), ["das alte Cafe an der Mühle 🎉", "Ben kommt später ins Café, 今日は"]);
    assert_eq!(finds("日は"), ["Ben kommt später ins Café, 今日は"]);
    assert_eq!(finds("🎉 mühl"), ["das alte Cafe an der Mühle 🎉"]);
    assert_eq!(finds("in:cem from:ada"), ["Ben kommt später ins Café, 今日は", "hello cem"]);
    assert_eq!(finds("mill before:2026-01-01"), [""; 0]);
    assert_eq!(finds("after:2026-01-01 from:cem"), ["das alte Cafe an der Mühle 🎉"]);
    assert_eq!(finds("on:2026-01-01 from:ben"), ["which mill? there are two mills"]);
    assert_eq!(finds("mill from:cem"), [""; 0]);
    let now = world.now();
    let why = world.app("ada").search("in:nowhere x", None, 9, now).expect_err("there is none");
    assert!(why.contains("nowhere"), "{why}");
    // What subrosa itself says is not found, nor are marks lost by a new start.
    world.restarts("ada");
    world.settle();
    assert_eq!(world.app("ada").search("mill", None, 9, now).expect("finds").hits.len(), 2);
}

#[test]
fn an_old_profile_is_indexed_in_the_background_and_search_says_so_until_then() {
    let mut world = old_profile(2, 1500);
    slash(&mut world, "ada", "/close");
    world.commands("ada", Command::Search("needle".into()));
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("2+ lines") || screen.contains("lines, newest first"), "{screen}");
    // It goes on by itself, through a new start too, and each line is indexed once.
    let mut world = old_profile(3, 1500);
    world.passes(50);
    let (done, total) = world.app("ada").chat().indexing.expect("it is not complete");
    assert!(done > 0 && done < total, "{done} of {total}");
    world.commands("ada", Command::Search("needle".into()));
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("NOT COMPLETE"), "{screen}");
    world.says("ben", "ada", "a new needle");
    world.restarts("ada");
    world.settle();
    world.passes(3000);
    assert_eq!(world.app("ada").chat().indexing, None);
    let found = finds(&mut world, "ada", "needle");
    assert_eq!(found.len(), 16, "{found:?}");
    assert_eq!(found[0], "a new needle");
    assert_eq!(found[15], "the needle of hour 7");
    assert_eq!(finds(&mut world, "ada", "hay on:2025-12-31").len(), 24);
}

#[test]
fn enter_goes_to_an_old_line_n_walks_on_and_esc_comes_back() {
    let mut world = old_profile(4, 3000);
    world.knows("ada", "ben");
    world.passes(5000);
    world.settle();
    world.types("ada", "/search the needle\n");
    world.settle();
    for _ in 0..29 {
        press(&mut world, KeyCode::Down);
    }
    press(&mut world, KeyCode::Enter);
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("the needle of hour 7 ") && screen.contains("30 of 30"), "{screen}");
    let past = world.app("ada").chat().past.as_ref().map(|past| (past.first(), past.end()));
    assert!(past.is_some_and(|(first, end)| first == 0 && end < 400), "around it, and no more: {past:?}");
    press(&mut world, KeyCode::Char('N'));
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("the needle of hour 107 ") && screen.contains("29 of 30"), "{screen}");
    press(&mut world, KeyCode::Char('n'));
    press(&mut world, KeyCode::Char('n'));
    let screen = world.screen("ada", 100, 30);
    assert!(
        screen.contains("the needle of hour 7 ") && screen.contains("that was the oldest one"),
        "{screen}"
    );
    // Reading on from there comes to the newest line in the end, a page at a time.
    for _ in 0..40 {
        press(&mut world, KeyCode::PageDown);
    }
    let far = world.app("ada").chat().past.as_ref().map(|past| (past.first(), past.end()));
    assert!(far.is_some_and(|(first, end)| end > 500 && end - first <= 1024 + 256), "{far:?}");
    // What happens meanwhile moves nothing, and Esc comes back to it.
    world.passes(7000);
    world.says("ben", "ada", "are you there?");
    world.settle();
    let screen = world.screen("ada", 100, 30);
    assert!(!screen.contains("are you there?") && screen.contains("1 new"), "{screen}");
    world.event("ada", Event::Focus(true));
    press(&mut world, KeyCode::Esc);
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("are you there?") && !screen.contains("Esc goes back"), "{screen}");
    assert!(world.app("ada").chat().past.is_none());
}

#[test]
fn reading_on_from_an_old_line_joins_the_newest_ones() {
    let mut world = old_profile(5, 1200);
    world.knows("ada", "ben");
    world.passes(5000);
    world.types("ada", "/search \"hour 107\"\n");
    press(&mut world, KeyCode::Enter);
    assert!(world.app("ada").chat().past.is_some());
    for _ in 0..200 {
        press(&mut world, KeyCode::PageDown);
    }
    assert!(world.app("ada").chat().past.is_none());
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("hay of hour 1199"), "{screen}");
    for _ in 0..30 {
        press(&mut world, KeyCode::PageUp);
    }
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("hay of hour"), "{screen}");
}

/// Ada goes to an old own line, far from the newest ones; its number.
fn goes_back(world: &mut World, body: &str) -> MessageId {
    world.knows("ada", "ben");
    let line = world.lines("ada", "ben").into_iter().find(|line| line.body == body);
    let id = line.expect("it is there").id;
    world.commands("ada", Command::ToLine(id));
    world.settle();
    assert!(world.app("ada").chat().past.is_some());
    id
}

#[test]
fn the_newest_message_is_not_deleted_unasked_while_an_old_part_is_shown() {
    let mut world = old_profile(15, 1200);
    goes_back(&mut world, "hay of hour 8");
    press(&mut world, KeyCode::Esc);
    world.types("ada", "/delete\n");
    world.settle();
    assert!(world.app("ada").chat().past.is_some());
    // What comes meanwhile closes no question.
    world.says("ben", "ada", "are you there?");
    world.settle();
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("hay of hour 1198") && screen.contains("for everybody?"), "{screen}");
    press(&mut world, KeyCode::Char('n'));
    assert!(world.timeline("ada", "ben").contains(&"hay of hour 1198".into()));
    // Nor is one that is not in sight any more.
    goes_back(&mut world, "hay of hour 8");
    press(&mut world, KeyCode::Char('e'));
    world.press("ada", KeyCode::End, KeyModifiers::CONTROL);
    world.press("ada", KeyCode::Char('u'), KeyModifiers::CONTROL);
    press(&mut world, KeyCode::Enter);
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("out of sight"), "{screen}");
    assert!(world.timeline("ada", "ben").contains(&"hay of hour 8".into()));
}

#[test]
fn an_answer_to_a_line_out_of_sight_looked_like_a_message_of_its_own() {
    let mut world = old_profile(17, 1200);
    for (key, said) in [('r', "answering a message"), ('e', "editing a message")] {
        goes_back(&mut world, "hay of hour 8");
        press(&mut world, KeyCode::Char(key));
        world.press("ada", KeyCode::End, KeyModifiers::CONTROL);
        assert!(world.app("ada").chat().past.is_none());
        let screen = world.screen("ada", 100, 30);
        assert!(screen.contains(&format!("{said} that is out of sight")), "{screen}");
        press(&mut world, KeyCode::Esc);
        assert!(!world.screen("ada", 100, 30).contains("out of sight"));
    }
}

#[test]
fn picking_began_with_the_newest_message_wherever_one_was() {
    let mut world = old_profile(18, 1200);
    let answers = |world: &mut World, text: &str| {
        world.press("ada", KeyCode::Char('g'), KeyModifiers::CONTROL);
        world.types("ada", &format!("r{text}\n"));
        world.settle();
        let lines = world.lines("ada", "ben");
        let reply = lines.iter().find(|line| line.body == text).expect("it is said").more.reply;
        let to = lines.iter().find(|line| Some(line.id) == reply);
        to.map(|line| line.body.clone()).expect("it answers one")
    };
    world.knows("ada", "ben");
    world.passes(5000);
    world.types("ada", "/search needle\n");
    press(&mut world, KeyCode::Enter);
    assert_eq!(answers(&mut world, "found"), "the needle of hour 1107");
    // Else the lowest one on the screen.
    goes_back(&mut world, "hay of hour 8");
    press(&mut world, KeyCode::Esc);
    press(&mut world, KeyCode::PageDown);
    let screen = world.screen("ada", 100, 30);
    let lowest = screen.lines().rev().find_map(|row| row.split_once(" of hour ")).expect("old lines").1;
    let lowest = lowest.split(|c: char| !c.is_ascii_digit()).next().expect("a number");
    let picked = answers(&mut world, "scrolled");
    assert!(picked.ends_with(&format!(" of hour {lowest}")), "{picked}\n{screen}");
    assert_eq!(answers(&mut world, "at the end"), "scrolled");
}

#[test]
fn words_that_are_deleted_leave_the_composer_wherever_their_line_stands() {
    for leaves in [false, true] {
        let mut world = old_profile(16, 1200);
        let id = goes_back(&mut world, "hay of hour 8");
        press(&mut world, KeyCode::Char('e'));
        let screen = world.screen("ada", 100, 30);
        assert!(screen.contains("editing \"hay of hour 8\""), "{screen}");
        if leaves {
            world.press("ada", KeyCode::End, KeyModifiers::CONTROL);
            assert!(world.app("ada").chat().past.is_none());
            let screen = world.screen("ada", 100, 30);
            assert!(screen.contains("hay of hour 8"), "{screen}");
        }
        // Not by the keyboard, as when another device does it.
        world.commands("ada", Command::Line(Some(id), LineCommand::Delete));
        world.settle();
        world.press("ada", KeyCode::Char('_'), KeyModifiers::CONTROL);
        let screen = world.screen("ada", 100, 30);
        assert!(!screen.contains("hay of hour 8"), "leaves: {leaves}\n{screen}");
    }
}

#[test]
fn the_screen_of_a_search() {
    let mut world = old_profile(6, 900);
    world.knows("ada", "ben");
    world.passes(5000);
    world.says(
        "ben",
        "ada",
        "I have lost my needle in the hay, could you please help me to look for the needle?",
    );
    world.settle();
    world.types("ada", "/search \"the needle\"\n");
    insta::assert_snapshot!(world.screen("ada", 100, 24));
    press(&mut world, KeyCode::Down);
    press(&mut world, KeyCode::Enter);
    insta::assert_snapshot!(world.screen("ada", 100, 24));
}

#[test]
fn words_that_are_taken_back_go_from_what_was_found() {
    let mut world = friends(12, &["ada", "ben"]);
    world.knows("ben", "ada");
    for text in ["a needle", "a needle of gold", "the eye of a needle", "needle and thread"] {
        world.says("ben", "ada", text);
        world.passes(1_000);
    }
    world.settle();
    world.types("ada", "/search needle\n");
    world.settle();
    let found = |world: &mut World| -> Vec<String> {
        let finding = world.app("ada").chat().finding.as_ref().expect("a search");
        finding.hits.iter().map(|hit| hit.line.body.clone()).collect()
    };
    assert_eq!(
        found(&mut world),
        ["needle and thread", "the eye of a needle", "a needle of gold", "a needle"]
    );
    let edit = |words: &str| LineCommand::Edit(Some(words.into()));
    for (words, command) in [
        ("a needle of gold", LineCommand::Delete),
        ("the eye of a needle", edit("the eye of a storm")),
        ("a needle", edit("another needle")),
    ] {
        let lines = world.lines("ben", "ada");
        let line = lines.iter().find(|line| line.body == words).expect("said").id;
        world.commands("ben", Command::Line(Some(line), command));
    }
    world.settle();
    assert_eq!(found(&mut world), ["needle and thread", "another needle"]);
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("another needle") && screen.contains("2 lines"), "{screen}");
    assert!(!screen.contains("gold") && !screen.contains("eye of a needle"), "{screen}");
}

#[test]
fn messages_that_disappear_are_never_in_the_index() {
    let mut world = friends(7, &["ada", "ben"]);
    slash(&mut world, "ada", "/expire 1h");
    world.says("ada", "ben", "a fleeting honeysuckle");
    slash(&mut world, "ada", "/expire off");
    world.says("ada", "ben", "a lasting rose");
    world.settle();
    assert_eq!(finds(&mut world, "ada", "a"), ["a lasting rose"]);
    assert_eq!(finds(&mut world, "ben", "honey"), [""; 0]);
    // Nor after it is made anew.
    for who in ["ada", "ben"] {
        world.kill(who);
        let mut batch = Batch::default();
        batch.delete(STATE, *b"state");
        world.disk(who).commit(&batch).expect("memory");
        world.starts(who);
        world.settle();
        assert_eq!(finds(&mut world, who, "honey"), [""; 0]);
        assert_eq!(finds(&mut world, who, "rose"), ["a lasting rose"]);
    }
}

#[test]
fn what_a_declined_stranger_wrote_is_forgotten_by_the_index_too() {
    let mut world = World::with(8, &["ada", "eve"]);
    world.is_wary("ada");
    world.knows("eve", "ada");
    world.says("eve", "ada", "buy my honeysuckle");
    world.settle();
    assert_eq!(finds(&mut world, "ada", "honey").len(), 1);
    slash(&mut world, "ada", "/decline eve");
    assert_eq!(finds(&mut world, "ada", "honey"), [""; 0]);
    let left = world.disk("ada").records.scan(TAIL, &[], &[], Order::Forward, 9).expect("reads");
    assert!(left.is_empty());
}

#[test]
fn history_from_another_device_is_found_on_the_new_one() {
    let mut world = friends(9, &["ada", "ben"]);
    for i in 0..40 {
        world.says("ada", "ben", &format!("old word number{i}"));
    }
    world.settle();
    world.adds_device("ada", "tablet");
    world.settle();
    world.passes(5000);
    world.says("ben", "ada", "new word");
    world.settle();
    let (mut here, mut there) = (finds(&mut world, "ada", "word"), finds(&mut world, "tablet", "word"));
    here.sort();
    there.sort();
    assert_eq!((here.len(), here), (41, there));
    assert_eq!(finds(&mut world, "tablet", "\"number7\""), ["old word number7"]);
}

#[test]
fn a_kill_at_any_moment_loses_no_line_from_the_index_and_doubles_none() {
    for cut in 1..14 {
        let mut world = friends(100 + cut, &["ada", "ben"]);
        world.kill_after("ada", cut);
        for i in 0..3 {
            world.says("ada", "ben", &format!("rose {i}"));
            world.says("ben", "ada", &format!("rose of ben {i}"));
        }
        world.settle();
        world.starts("ada");
        world.settle();
        let mut said: Vec<String> =
            world.timeline("ada", "ben").into_iter().filter(|text| text.contains("rose")).collect();
        let mut found = finds(&mut world, "ada", "rose");
        said.sort();
        found.sort();
        assert_eq!(found, said, "cut {cut}");
    }
}

#[test]
fn a_damaged_index_is_made_anew() {
    let mut world = old_profile(10, 2100);
    world.passes(5000);
    world.settle();
    assert_eq!(finds(&mut world, "ada", "needle").len(), 21);
    let disk = world.disk("ada");
    let blocks = disk.records.scan(BLOCKS, &[], &[], Order::Forward, usize::MAX).expect("reads");
    let mut batch = Batch::default();
    for (key, _) in blocks {
        batch.delete(BLOCKS, key);
    }
    disk.commit(&batch).expect("memory");
    world.commands("ada", Command::Search("needle".into()));
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("made anew"), "{screen}");
    world.passes(5000);
    world.settle();
    assert_eq!(finds(&mut world, "ada", "needle").len(), 21);
    assert!(!world.disk("ada").records.scan(ROOMS, &[], &[], Order::Forward, 9).expect("reads").is_empty());
}

/// Does that to the line with these words, in a conversation or a room.
fn acts(world: &mut World, who: &str, with: &str, body: &str, command: LineCommand) {
    let room = if with.starts_with('#') {
        club::id(world, who, with)
    } else {
        world.app(who).chat().with(&name(with)).expect("a conversation").id
    };
    let line = world.lines_of(who, room).into_iter().find(|line| line.body == body).expect("a line");
    world.commands(who, Command::Open(room));
    world.commands(who, Command::Line(Some(line.id), command));
    world.settle();
}

fn edit(text: &str) -> LineCommand {
    LineCommand::Edit(Some(text.into()))
}

/// Those of these words that are in what is stored of somebody's index.
fn indexed<'a>(world: &mut World, who: &str, words: &[&'a str]) -> Vec<&'a str> {
    // Stories have no vault: words are blinded by zeros.
    let (blind, disk) = (Blind::new(&[0; 32]), world.disk(who));
    let rows = |table| disk.records.scan(table, &[], &[], Order::Forward, usize::MAX).expect("reads");
    let stored: Vec<Vec<u8>> =
        [TAIL, HEADS, BLOCKS].into_iter().flat_map(rows).map(|(_, value)| value).collect();
    let is_stored = |word: &&str| {
        let token = segment::token(&blind, word);
        stored.iter().any(|value| value.windows(token.len()).any(|some| some == token))
    };
    words.iter().copied().filter(is_stored).collect()
}

/// The same of each of these people, before and after a new start.
fn all_index(world: &mut World, people: &[&str], words: &[&str], want: &[&str]) {
    for _ in 0..2 {
        for who in people {
            assert_eq!(indexed(world, who, words), want, "{who}");
            world.restarts(who);
        }
        world.settle();
    }
}

#[test]
fn words_that_were_replaced_or_taken_back_leave_what_is_stored_of_the_index() {
    let mut world = friends(11, &["ada", "ben"]);
    let (people, words) = (["ada", "ben"], ["honeysuckle", "rosemary"]);
    world.says("ada", "ben", "a fragrant honeysuckle");
    world.settle();
    all_index(&mut world, &people, &words, &["honeysuckle"]);
    acts(&mut world, "ada", "ben", "a fragrant honeysuckle", edit("a fragrant rosemary"));
    all_index(&mut world, &people, &words, &["rosemary"]);
    for who in people {
        assert_eq!(finds(&mut world, who, "fragrant"), ["a fragrant rosemary"], "{who}");
    }
    acts(&mut world, "ada", "ben", "a fragrant rosemary", LineCommand::Delete);
    all_index(&mut world, &people, &words, &[]);
}

#[test]
fn words_of_old_lines_leave_the_parts_of_the_index_too() {
    let mut world = old_profile(12, 1500);
    world.knows("ada", "ben");
    world.passes(5000);
    world.settle();
    // The newest 1024 lines are a part.
    let words = ["1400", "1402", "honeysuckle"];
    all_index(&mut world, &["ada"], &words, &["1400", "1402"]);
    acts(&mut world, "ada", "ben", "hay of hour 1400", edit("hay and honeysuckle"));
    acts(&mut world, "ada", "ben", "hay of hour 1402", LineCommand::Delete);
    all_index(&mut world, &["ada"], &words, &["honeysuckle"]);
    assert_eq!(finds(&mut world, "ada", "\"hour 1401\""), ["hay of hour 1401"]);
}

#[test]
fn words_that_a_room_has_no_more_leave_the_index_of_every_member() {
    let mut world = club(13, &["ben", "cleo"]);
    let (people, words) = (["ada", "ben", "cleo"], ["honeysuckle", "nightshade", "rosemary"]);
    speaks(&mut world, "ben", "#club", "a fragrant honeysuckle");
    speaks(&mut world, "cleo", "#club", "a rude nightshade");
    world.settle();
    all_index(&mut world, &people, &words, &["honeysuckle", "nightshade"]);
    acts(&mut world, "ben", "#club", "a fragrant honeysuckle", edit("a fragrant rosemary"));
    // Ada moderates.
    acts(&mut world, "ada", "#club", "a rude nightshade", LineCommand::Delete);
    all_index(&mut world, &people, &words, &["rosemary"]);
}

#[test]
fn what_a_member_told_of_a_line_gives_way_to_what_its_author_says_in_the_index_too() {
    let mut world = club(14, &["ben"]);
    world.joins("cleo");
    world.is_wary("cleo");
    world.settle();
    does(&mut world, "ada", "#club", "/invite cleo");
    world.settle();
    // What Ben says comes late to Cleo, and Ada has it in other words.
    let late = Late::new(&mut world, "cleo", |delivery| delivery.name.as_str() == "ben");
    speaks(&mut world, "ben", "#club", "quinces at noon");
    world.settle();
    world.rewrites("ada", |batch, place, line| {
        if line.body == "quinces at noon" {
            batch.put(LINES, place, Line { body: "medlars at noon".into(), ..line }.encode());
        }
    });
    let room = club::id(&mut world, "cleo", "#club");
    world.commands("cleo", Command::Room(Some(room), RoomCommand::Accept));
    world.settle();
    world.passes(2_000);
    assert_eq!(said(&mut world, "cleo", "#club"), ["ben: medlars at noon"]);
    let words = ["medlars", "quinces"];
    assert_eq!(indexed(&mut world, "cleo", &words), ["medlars"]);
    late.comes();
    speaks(&mut world, "ben", "#club", "and pears at one");
    world.settle();
    assert_eq!(said(&mut world, "cleo", "#club"), ["ben: quinces at noon", "ben: and pears at one"]);
    all_index(&mut world, &["cleo"], &words, &["quinces"]);
    assert_eq!(finds(&mut world, "cleo", "quinces"), ["quinces at noon"]);
}
