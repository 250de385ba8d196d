//! What people do with messages: answer, edit, delete, react, pin, forward, call by name; what rings;
//! what is read.

use crossterm::event::{KeyCode, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use std::cell::Cell;
use std::rc::Rc;
use subrosa::chat::call::CallState;
use subrosa::chat::deeds::Change;
use subrosa::chat::timeline::{Author, Line, LineState};
use subrosa::effect::Happened;
use subrosa::event::Event;
use subrosa::ui::act::LineCommand;
use subrosa::ui::command::{self, Command};
use subrosa_shared::content::own::Level;
use subrosa_shared::id::{AccountName, MessageId};
use subrosa_shared::protocol::frame::ToDevice;
use subrosa_tests::World;
use subrosa_tests::late::Late;
use subrosa_tests::network::Weather;

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("valid")
}

/// Two who look at each other's conversation.
fn friends(seed: u64) -> World {
    let mut world = World::with(seed, &["ada", "ben"]);
    world.knows("ada", "ben");
    world.knows("ben", "ada");
    world.says("ada", "ben", "hello ben");
    world.settle();
    world.passes(1_000);
    world.says("ben", "ada", "hello ada");
    world.settle();
    world.passes(1_000);
    world
}

/// The same, and Ada has a laptop.
fn with_laptop(seed: u64) -> World {
    let mut world = friends(seed);
    world.adds_device("ada", "laptop");
    world.passes(3_000);
    world.knows("laptop", "ben");
    world
}

fn slash(world: &mut World, who: &str, line: &str) {
    world.commands(who, command::parse(line).expect("a command"));
    world.settle();
}

fn the(world: &mut World, who: &str, with: &str, body: &str) -> Line {
    let lines = world.lines(who, with);
    let found = lines.iter().find(|line| line.body == body).cloned();
    found.unwrap_or_else(|| panic!("{who} has «{body}»: {:?}", world.timeline(who, with)))
}

fn by_id(world: &mut World, who: &str, with: &str, id: MessageId) -> Line {
    world.lines(who, with).into_iter().find(|line| line.id == id).expect("the line is there")
}

/// Does that to the line that says that.
fn does(world: &mut World, who: &str, with: &str, body: &str, command: LineCommand) {
    let id = the(world, who, with, body).id;
    world.commands(who, Command::Line(Some(id), command));
}

fn edit(text: &str) -> LineCommand {
    LineCommand::Edit(Some(text.into()))
}

fn react(sign: &str) -> LineCommand {
    LineCommand::React(Some(sign.into()), None)
}

fn signs(line: &Line) -> Vec<(String, Vec<String>)> {
    let names = |people: Vec<&AccountName>| people.into_iter().map(AccountName::to_string).collect();
    line.signs().into_iter().map(|(sign, people)| (sign.to_owned(), names(people))).collect()
}

/// What both see of their lines: words, signs, marks. Whose clock says when is no part of it.
fn seen(world: &mut World, who: &str, with: &str) -> Vec<String> {
    let said = |line: &Line| matches!(line.author, Author::Me | Author::Them);
    let lines = world.lines(who, with).into_iter().filter(said);
    let lines = lines.map(|line| {
        let edited = line.more.edited.is_some();
        let answers = line.more.reply.is_some();
        format!(
            "{} {edited} {:?} {} {answers} {:?}",
            line.body,
            line.more.deleted,
            line.is_pinned(),
            signs(&line)
        )
    });
    lines.collect()
}

fn notices(world: &mut World, who: &str) -> String {
    let told = world.told(who).into_iter().filter_map(|told| match told {
        Happened::Notice { text, .. } => Some(text),
        _ => None,
    });
    told.collect::<Vec<_>>().join("\n")
}

#[test]
fn an_answer_shows_what_it_answers_on_both_ends() {
    let mut world = friends(1);
    world.says("ben", "ada", "have you seen the garden?");
    world.settle();
    slash(&mut world, "ada", "/reply all of it");
    let question = the(&mut world, "ada", "ben", "have you seen the garden?").id;
    for (who, with) in [("ada", "ben"), ("ben", "ada")] {
        assert_eq!(the(&mut world, who, with, "all of it").more.reply, Some(question));
        let screen = world.screen(who, 100, 30);
        assert!(screen.contains("| ben: have you seen the garden?"), "{screen}");
    }
    world.restarts("ben");
    world.settle();
    let screen = world.screen("ben", 100, 30);
    assert!(screen.contains("| ben: have you seen the garden?"), "{screen}");
}

#[test]
fn an_answer_to_what_is_not_here_or_gone_says_so() {
    let mut world = friends(2);
    world.says("ben", "ada", "a question");
    world.settle();
    slash(&mut world, "ada", "/reply an answer");
    does(&mut world, "ben", "ada", "a question", LineCommand::Delete);
    world.settle();
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("| ben deleted a message"), "{screen}");
    assert!(world.screen("ben", 100, 30).contains("| you deleted a message"));
    // Ben's new machine has nothing of what was said.
    world.joins_as("ben2", "ben-two");
    world.settle();
    world.knows("ada", "ben-two");
    world.says("ada", "ben-two", "hello there");
    world.settle();
    // What Ada says elsewhere is not there: a hostile client may name any line.
    let id = the(&mut world, "ada", "ben", "an answer").id;
    world.commands(
        "ada",
        Command::Line(Some(id), LineCommand::Reply(Some("to a line of another room".into()))),
    );
    world.settle();
    assert!(notices(&mut world, "ada").contains("no such message here"));
}

#[test]
fn other_words_reach_both_ends_and_every_device() {
    let mut world = with_laptop(3);
    world.says("ada", "ben", "the first words");
    world.settle();
    let id = the(&mut world, "ada", "ben", "the first words").id;
    does(&mut world, "ada", "ben", "the first words", edit("better words"));
    world.settle();
    for (who, with) in [("ada", "ben"), ("ben", "ada"), ("laptop", "ben")] {
        let line = by_id(&mut world, who, with, id);
        assert_eq!((line.body.as_str(), line.more.edited.is_some()), ("better words", true), "{who}");
        assert!(world.screen(who, 100, 30).contains("better words (edited)"), "{who}");
    }
    // The laptop says it in yet other words.
    does(&mut world, "laptop", "ben", "better words", edit("the last words"));
    world.settle();
    for (who, with) in [("ada", "ben"), ("ben", "ada"), ("laptop", "ben")] {
        assert_eq!(by_id(&mut world, who, with, id).body, "the last words", "{who}");
    }
    let told = world.told("ben");
    let change = Happened::Change {
        with: subrosa::effect::Whose::Person(name("ada")),
        id,
        by: name("ada"),
        change: Change::Edited,
        text: "the last words".into(),
    };
    assert!(told.contains(&change), "{told:?}");
}

#[test]
fn two_devices_that_edit_at_once_agree_in_the_end() {
    let mut world = with_laptop(4);
    world.says("ada", "ben", "words");
    world.settle();
    let id = the(&mut world, "ada", "ben", "words").id;
    world.cut("ada");
    world.cut("laptop");
    does(&mut world, "ada", "ben", "words", edit("from the desk"));
    does(&mut world, "laptop", "ben", "words", edit("from the laptop"));
    world.passes(10_000);
    let says: Vec<String> = [("ada", "ben"), ("ben", "ada"), ("laptop", "ben")]
        .into_iter()
        .map(|(who, with)| by_id(&mut world, who, with, id).body)
        .collect();
    assert!(says.iter().all(|body| *body == says[0]), "{says:?}");
}

#[test]
fn what_is_deleted_is_gone_everywhere_and_in_the_store() {
    let mut world = with_laptop(5);
    world.says("ada", "ben", "a slip of the tongue");
    world.settle();
    let id = the(&mut world, "ada", "ben", "a slip of the tongue").id;
    does(&mut world, "ben", "ada", "a slip of the tongue", react("👀"));
    does(&mut world, "ben", "ada", "a slip of the tongue", LineCommand::Pin(Some(true)));
    world.settle();
    does(&mut world, "ada", "ben", "a slip of the tongue", LineCommand::Delete);
    world.settle();
    for (who, with) in [("ada", "ben"), ("ben", "ada"), ("laptop", "ben")] {
        let line = by_id(&mut world, who, with, id);
        assert!(line.body.is_empty() && line.more.deleted == Some(name("ada")), "{who}: {line:?}");
        assert!(signs(&line).is_empty() && !line.is_pinned());
        for table in 0..=u8::MAX {
            let table = subrosa_shared::store::Table { byte: table, name: "any" };
            let order = subrosa_shared::store::Order::Forward;
            let rows = world.disk(who).records.scan(table, &[], &[], order, usize::MAX).expect("reads");
            let holds = |value: &[u8]| value.windows(6).any(|part| part == b"a slip");
            assert!(!rows.iter().any(|(_, value)| holds(value)), "{who}, table {:x}", table.byte);
        }
    }
    assert!(world.screen("ben", 100, 30).contains("- ada deleted a message"));
    assert!(world.screen("ada", 100, 30).contains("- you deleted a message"));
    // Nothing more can be done to it.
    world.commands("ben", Command::Line(Some(id), react("👍")));
    assert!(notices(&mut world, "ben").contains("that message was deleted"));
    world.restarts("ada");
    world.restarts("ben");
    world.passes(5_000);
    assert!(by_id(&mut world, "ben", "ada", id).body.is_empty());
}

#[test]
fn signs_are_counted_and_taken_back() {
    let mut world = friends(6);
    does(&mut world, "ada", "ben", "hello ada", react("+1"));
    does(&mut world, "ben", "ada", "hello ada", react("👍"));
    does(&mut world, "ben", "ada", "hello ada", react("🌹"));
    world.settle();
    let want = vec![
        ("👍".to_owned(), vec!["ada".to_owned(), "ben".to_owned()]),
        ("🌹".to_owned(), vec!["ben".to_owned()]),
    ];
    for (who, with) in [("ada", "ben"), ("ben", "ada")] {
        let mut found = signs(&the(&mut world, who, with, "hello ada"));
        found.iter_mut().for_each(|(_, people)| people.sort());
        assert_eq!(found, want, "{who}");
    }
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains(":+1: 2 "), "{screen}");
    does(&mut world, "ben", "ada", "hello ada", react("👍"));
    world.settle();
    assert_eq!(signs(&the(&mut world, "ada", "ben", "hello ada"))[0].1, ["ada"]);
    slash(&mut world, "ada", "/react");
    world.commands("ada", command::parse("/react nonsense").expect("a command"));
    assert!(notices(&mut world, "ada").contains("a reaction is one sign"));
}

#[test]
fn both_pin_and_the_list_goes_there() {
    let mut world = friends(7);
    for i in 0..60 {
        world.says("ben", "ada", &format!("line {i}"));
    }
    world.settle();
    does(&mut world, "ben", "ada", "line 3", LineCommand::Pin(None));
    world.settle();
    does(&mut world, "ada", "ben", "line 50", LineCommand::Pin(None));
    world.settle();
    let notes: Vec<String> = world
        .lines("ada", "ben")
        .into_iter()
        .filter(|line| line.author == Author::Note)
        .map(|line| line.body)
        .collect();
    assert!(notes.iter().any(|note| note.contains("ben pinned a message")), "{notes:?}");
    world.restarts("ada");
    world.settle();
    world.types("ada", "/pins\n");
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("line 3") && screen.contains("line 50"), "{screen}");
    world.press("ada", KeyCode::Up, KeyModifiers::NONE);
    world.press("ada", KeyCode::Enter, KeyModifiers::NONE);
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains(">") && screen.contains("line 3 (pinned)"), "{screen}");
    world.press("ada", KeyCode::Char('p'), KeyModifiers::NONE);
    world.settle();
    assert!(!the(&mut world, "ben", "ada", "line 3").is_pinned());
    assert!(the(&mut world, "ben", "ada", "line 50").is_pinned());
}

#[test]
fn a_message_is_forwarded_without_saying_whose_it_was() {
    let mut world = World::with(8, &["ada", "ben", "cyd"]);
    for (who, other) in [("ada", "ben"), ("ben", "ada"), ("ada", "cyd"), ("cyd", "ada")] {
        world.knows(who, other);
    }
    world.says("ben", "ada", "roses at noon");
    world.settle();
    world.commands("ada", Command::Add(name("ben")));
    slash(&mut world, "ada", "/forward cyd");
    let line = the(&mut world, "cyd", "ada", "roses at noon");
    assert!(line.more.forwarded && line.more.by.is_none());
    assert!(world.screen("cyd", 100, 30).contains("| forwarded"));
    // What disappears does not go on elsewhere.
    world.commands("ben", Command::Add(name("ada")));
    slash(&mut world, "ben", "/expire 1h");
    world.says("ben", "ada", "burn this");
    world.settle();
    does(&mut world, "ada", "ben", "burn this", LineCommand::Forward(Some("cyd".into())));
    world.settle();
    assert!(notices(&mut world, "ada").contains("is not forwarded"));
    assert!(!world.timeline("cyd", "ada").contains(&"burn this".into()));
}

#[test]
fn a_message_went_to_whoever_came_up_in_the_list_before_enter() {
    let mut world = World::with(97, &["ada", "ben", "cyd", "dan"]);
    for other in ["ben", "cyd", "dan"] {
        world.knows("ada", other);
        world.knows(other, "ada");
    }
    for (other, text) in [("dan", "roses at noon"), ("cyd", "hello"), ("ben", "good morning")] {
        world.says(other, "ada", text);
        world.settle();
        world.passes(1_000);
    }
    // Ben is the newest one, and the mark stands on him.
    world.commands("ada", Command::Add(name("dan")));
    world.types("ada", "/forward\n");
    assert!(world.screen("ada", 100, 30).contains("Forward to"));
    world.says("cyd", "ada", "are you there?");
    world.settle();
    world.press("ada", KeyCode::Enter, KeyModifiers::NONE);
    world.settle();
    assert!(world.timeline("ben", "ada").contains(&"roses at noon".into()));
    assert!(!world.timeline("cyd", "ada").contains(&"roses at noon".into()));
}

#[test]
fn what_was_forwarded_or_told_to_a_name_that_nobody_had_went_to_whoever_took_it_later() {
    let mut world = friends(96);
    world.commands("ada", Command::Add(name("ben")));
    slash(&mut world, "ada", "/forward zorkmid");
    assert!(notices(&mut world, "ada").contains("no conversation called zorkmid"));
    world.types("ada", "/tell zorkmid hello\n");
    world.settle();
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("/add zorkmid begins one"), "{screen}");
    world.joins("zorkmid");
    world.passes(130_000);
    assert!(world.app("zorkmid").chat().rooms.is_empty());
    assert!(world.app("ada").chat().with(&name("zorkmid")).is_none());
}

#[test]
fn keys_pick_a_line_and_act_on_it() {
    let mut world = friends(9);
    world.says("ben", "ada", "question one");
    world.says("ben", "ada", "question two");
    world.settle();
    let key = |world: &mut World, code| world.press("ada", code, KeyModifiers::NONE);
    world.types("ada", "half a thought");
    world.press("ada", KeyCode::Char('g'), KeyModifiers::CONTROL);
    key(&mut world, KeyCode::Up);
    key(&mut world, KeyCode::Char('r'));
    assert!(world.screen("ada", 100, 30).contains("answering ben: \"question one\""));
    world.types("ada", " is the answer\n");
    world.settle();
    let answer = the(&mut world, "ben", "ada", "half a thought is the answer");
    let first = the(&mut world, "ben", "ada", "question one").id;
    assert_eq!(answer.more.reply, Some(first));
    // To the question, and back.
    world.press("ada", KeyCode::Char('g'), KeyModifiers::CONTROL);
    key(&mut world, KeyCode::Char('g'));
    key(&mut world, KeyCode::Char('1'));
    world.settle();
    assert_eq!(signs(&the(&mut world, "ben", "ada", "question one"))[0].0, "👍");
    key(&mut world, KeyCode::Char('b'));
    key(&mut world, KeyCode::Char('y'));
    assert_eq!(world.copied("ada"), ["half a thought is the answer"]);
    // Other words for it, and what was being written comes back.
    key(&mut world, KeyCode::Esc);
    world.types("ada", "a draft");
    world.press("ada", KeyCode::Char('g'), KeyModifiers::CONTROL);
    key(&mut world, KeyCode::Char('e'));
    world.types("ada", ", yes\n");
    world.settle();
    the(&mut world, "ben", "ada", "half a thought is the answer, yes");
    assert_eq!(world.app("ada").ui().draft(), "a draft");
    // Deleting asks first.
    world.press("ada", KeyCode::Char('u'), KeyModifiers::CONTROL);
    world.press("ada", KeyCode::Char('g'), KeyModifiers::CONTROL);
    key(&mut world, KeyCode::Char('d'));
    assert!(world.screen("ada", 100, 30).contains("Delete \"half a thought"));
    key(&mut world, KeyCode::Char('n'));
    world.settle();
    the(&mut world, "ben", "ada", "half a thought is the answer, yes");
    world.press("ada", KeyCode::Char('g'), KeyModifiers::CONTROL);
    key(&mut world, KeyCode::Char('d'));
    key(&mut world, KeyCode::Char('y'));
    world.settle();
    assert!(world.timeline("ben", "ada").contains(&String::new()));
}

#[test]
fn up_on_an_empty_line_edits_the_last_own_message() {
    let mut world = friends(10);
    world.says("ada", "ben", "a tpyo");
    world.says("ben", "ada", "what?");
    world.settle();
    world.press("ada", KeyCode::Up, KeyModifiers::NONE);
    assert!(world.screen("ada", 100, 30).contains("editing \"a tpyo\""));
    world.press("ada", KeyCode::Char('u'), KeyModifiers::CONTROL);
    world.types("ada", "a typo\n");
    world.settle();
    the(&mut world, "ben", "ada", "a typo");
    world.press("ada", KeyCode::Up, KeyModifiers::NONE);
    world.press("ada", KeyCode::Esc, KeyModifiers::NONE);
    assert_eq!(world.app("ada").ui().draft(), "");
    the(&mut world, "ben", "ada", "a typo");
}

#[test]
fn a_click_picks_a_line() {
    let mut world = friends(11);
    let screen = world.screen("ada", 100, 30);
    let row = screen.lines().position(|row| row.contains("hello ada")).expect("on the screen") as u16;
    let kind = MouseEventKind::Down(MouseButton::Left);
    let click = MouseEvent { kind, column: 60, row, modifiers: KeyModifiers::NONE };
    world.event("ada", Event::Mouse(click));
    world.press("ada", KeyCode::Char('1'), KeyModifiers::NONE);
    world.settle();
    assert_eq!(signs(&the(&mut world, "ben", "ada", "hello ada"))[0].0, "👍");
}

#[test]
fn acts_survive_broken_connections_and_restarts() {
    let mut world = friends(12);
    world.weather(Weather { cut: 40, ..Weather::default() });
    for i in 0..10 {
        world.says("ada", "ben", &format!("line {i}"));
    }
    world.passes(5_000);
    for i in 0..10 {
        let line = format!("line {i}");
        match i % 4 {
            0 => does(&mut world, "ada", "ben", &line, edit(&format!("line {i}, better"))),
            1 => does(&mut world, "ada", "ben", &line, LineCommand::Delete),
            2 => does(&mut world, "ada", "ben", &line, react("🌹")),
            _ => does(&mut world, "ada", "ben", &line, LineCommand::Pin(None)),
        }
        if i == 5 {
            world.restarts("ada");
        }
        if i == 7 {
            world.restarts("ben");
        }
        world.passes(200);
    }
    world.passes(30_000);
    world.weather(Weather::default());
    world.restarts("ada");
    world.restarts("ben");
    world.passes(60_000);
    assert_eq!(seen(&mut world, "ben", "ada"), seen(&mut world, "ada", "ben"));
}

#[test]
fn a_kill_between_any_two_effects_loses_no_act_and_applies_none_twice() {
    for effects in 0..10 {
        for who in ["ada", "ben"] {
            let mut world = friends(13);
            world.kill_after(who, effects);
            does(&mut world, "ada", "ben", "hello ben", edit("hello dear ben"));
            world.settle();
            if world.alive(who) {
                world.kill(who);
            }
            world.starts(who);
            world.passes(30_000);
            assert_eq!(
                seen(&mut world, "ben", "ada"),
                seen(&mut world, "ada", "ben"),
                "{who} after {effects} effects"
            );
            // The first write has the new words in it.
            let written = world.timeline("ada", "ben").contains(&"hello dear ben".into());
            assert!(written || (who == "ada" && effects == 0), "{who} after {effects} effects");
        }
    }
}

#[test]
fn a_kill_between_the_records_and_the_secrets_of_many_lines_seals_nothing_twice() {
    for effects in 0..6 {
        let mut world = friends(13);
        // One session, which nobody answers.
        world.kill("ben");
        world.says("ada", "ben", "zero");
        world.settle();
        world.lags("ada");
        for text in ["one", "two", "three", "four"] {
            world.says("ada", "ben", text);
        }
        world.kill_after("ada", effects);
        world.catches_up("ada");
        world.restarts("ada");
        world.says("ada", "ben", "five");
        world.settle();
        world.starts("ben");
        world.passes(30_000);
        let written: &[&str] = if effects == 0 { &[] } else { &["one", "two", "three", "four"] };
        let want = [&["hello ben", "hello ada", "zero"][..], written, &["five"]].concat();
        assert_eq!(world.timeline("ada", "ben"), want, "after {effects} effects");
        assert_eq!(world.timeline("ben", "ada"), want, "after {effects} effects");
    }
}

#[test]
fn an_act_that_comes_before_its_line_waits_for_it_also_over_a_restart() {
    let mut world = with_laptop(14);
    // The desk writes while it has no connection, but the laptop hears of it first.
    world.kill("ben");
    world.says("ada", "ben", "from the desk");
    world.settle();
    let id = the(&mut world, "laptop", "ben", "from the desk").id;
    does(&mut world, "laptop", "ben", "from the desk", edit("from the laptop"));
    does(&mut world, "ada", "ben", "from the desk", react("🎉"));
    world.settle();
    // A relay that delivers what came last first.
    let late = Late::arranged(&mut world, "ben", |_| true, <[_]>::reverse);
    world.starts("ben");
    world.settle();
    late.comes();
    world.says("ada", "ben", "and then");
    world.passes(20_000);
    world.restarts("ben");
    world.passes(20_000);
    let line = by_id(&mut world, "ben", "ada", id);
    assert_eq!((line.body.as_str(), signs(&line).len()), ("from the laptop", 1));
}

#[test]
fn edits_of_what_disappears_go_with_it() {
    let mut world = friends(15);
    slash(&mut world, "ada", "/expire 1h");
    world.says("ada", "ben", "soon gone");
    world.settle();
    let id = the(&mut world, "ada", "ben", "soon gone").id;
    does(&mut world, "ada", "ben", "soon gone", edit("gone as soon"));
    does(&mut world, "ben", "ada", "soon gone", react("👍"));
    world.settle();
    assert_eq!(by_id(&mut world, "ben", "ada", id).body, "gone as soon");
    world.commands("ben", Command::Line(Some(id), LineCommand::Reply(Some("read it".into()))));
    world.settle();
    world.restarts("ben");
    world.settle();
    assert_eq!(by_id(&mut world, "ben", "ada", id).body, "gone as soon");
    for (who, with) in [("ada", "ben"), ("ben", "ada")] {
        let table = subrosa_shared::store::Table { byte: 0x21, name: "lines" };
        let order = subrosa_shared::store::Order::Forward;
        let rows = world.disk(who).records.scan(table, &[], &[], order, usize::MAX).expect("reads");
        let holds = |value: &[u8]| value.windows(4).any(|part| part == b"gone");
        assert!(!rows.iter().any(|(_, value)| holds(value)), "{who} wrote {with}'s line in clear");
    }
    world.passes(3_700_000);
    for who in ["ada", "ben"] {
        world.restarts(who);
    }
    world.settle();
    for (who, with) in [("ada", "ben"), ("ben", "ada")] {
        let line = by_id(&mut world, who, with, id);
        assert!(line.body.is_empty() && signs(&line).is_empty(), "{who}");
        let screen = world.screen(who, 100, 30);
        assert!(!screen.contains("gone as soon") && screen.contains("has disappeared"), "{screen}");
    }
}

#[test]
fn words_that_are_gone_are_gone_from_what_lies_on_top_too() {
    let mut world = friends(41);
    world.says("ben", "ada", "come to the garden");
    world.settle();
    slash(&mut world, "ada", "/expire 30s");
    world.says("ada", "ben", "meet me at the mill");
    world.settle();
    for line in ["hello ben", "come to the garden", "meet me at the mill"] {
        does(&mut world, "ada", "ben", line, LineCommand::Pin(Some(true)));
    }
    world.settle();
    slash(&mut world, "ada", "/pins");
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("Pinned") && screen.contains("meet me at the mill"), "{screen}");
    world.passes(31_000);
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("come to the garden") && !screen.contains("mill"), "{screen}");
    does(&mut world, "ben", "ada", "come to the garden", edit("come to the lake"));
    world.settle();
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("come to the lake") && !screen.contains("garden"), "{screen}");
    does(&mut world, "ben", "ada", "come to the lake", LineCommand::Delete);
    world.settle();
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("Pinned") && !screen.contains("lake"), "{screen}");
    does(&mut world, "ada", "ben", "hello ben", LineCommand::Pin(Some(false)));
    world.settle();
    assert!(!world.screen("ada", 100, 30).contains("Pinned"), "nothing is left to list");
    // A question names the words that it is about.
    world.types("ada", "at noon, then\n/delete\n");
    world.settle();
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("for everybody?"), "{screen}");
    world.passes(31_000);
    let screen = world.screen("ada", 100, 30);
    assert!(!screen.contains("for everybody?") && !screen.contains("at noon"), "{screen}");
}

/// Ben has asked Ada something, and what they say from now on disappears after 30 seconds. She knows Cyd too.
fn asked_where_words_go(seed: u64) -> World {
    let mut world = World::with(seed, &["ada", "ben", "cyd"]);
    world.knows("ada", "cyd");
    world.knows("ben", "ada");
    world.knows("ada", "ben");
    world.says("ben", "ada", "when?");
    world.settle();
    slash(&mut world, "ada", "/expire 30s");
    world
}

#[test]
fn what_is_said_by_a_command_where_messages_disappear_is_no_input_to_repeat() {
    let mut world = asked_where_words_go(42);
    for typed in ["/reply at noon", "/edit at one"] {
        world.types("ada", &format!("{typed}\n"));
        world.settle();
        world.press("ada", KeyCode::Char('p'), KeyModifiers::CONTROL);
        let screen = world.screen("ada", 100, 30);
        assert!(!screen.contains(typed), "{screen}");
    }
    assert!(world.timeline("ben", "ada").contains(&"at one".into()));
    // Nor does an edit that was begun bring them back.
    world.press("ada", KeyCode::Up, KeyModifiers::NONE);
    assert!(world.screen("ada", 100, 30).contains("editing"));
    world.passes(31_000);
    world.press("ada", KeyCode::Char('_'), KeyModifiers::CONTROL);
    let screen = world.screen("ada", 100, 30);
    assert!(!screen.contains("at one"), "{screen}");
    world.commands("ada", Command::Add(name("cyd")));
    world.types("ada", "/tell ben at two\n");
    world.press("ada", KeyCode::Char('p'), KeyModifiers::CONTROL);
    let screen = world.screen("ada", 100, 30);
    assert!(!screen.contains("/tell ben at two"), "{screen}");
    assert!(world.timeline("ada", "ben").contains(&"at two".into()));
}

#[test]
fn an_edit_that_was_given_up_brought_the_words_back_after_they_had_disappeared() {
    let mut world = asked_where_words_go(43);
    world.says("ada", "ben", "gone by noon");
    // Nor is what it was to say instead left, where messages stay by then.
    slash(&mut world, "ada", "/expire off");
    let control = |world: &mut World, c| world.press("ada", KeyCode::Char(c), KeyModifiers::CONTROL);
    for open in [false, true] {
        world.press("ada", KeyCode::Up, KeyModifiers::NONE);
        assert!(world.screen("ada", 100, 30).contains("editing"));
        control(&mut world, 'u');
        world.types("ada", "by one");
        if open {
            world.commands("ada", Command::Add(name("cyd")));
        } else {
            world.press("ada", KeyCode::Esc, KeyModifiers::NONE);
        }
        for key in ['_', '_', 'y', 'p'] {
            control(&mut world, key);
            assert_eq!(world.app("ada").ui().draft(), "", "{key}, another one open: {open}");
        }
    }
    world.commands("ada", Command::Add(name("ben")));
    world.types("ada", "\n");
    world.settle();
    assert!(world.timeline("ben", "ada").contains(&"by one".into()));
    for key in ['_', 'y', 'p'] {
        control(&mut world, key);
        assert_eq!(world.app("ada").ui().draft(), "", "{key}, once it is sent");
    }
}

#[test]
fn what_disappears_can_be_deleted_before_and_the_others_stay() {
    let mut world = friends(16);
    slash(&mut world, "ada", "/expire 1h");
    world.says("ada", "ben", "one");
    world.says("ada", "ben", "two");
    world.settle();
    does(&mut world, "ada", "ben", "one", LineCommand::Delete);
    world.settle();
    for who in ["ada", "ben"] {
        world.restarts(who);
        world.settle();
    }
    for (who, with) in [("ada", "ben"), ("ben", "ada")] {
        let texts = world.timeline(who, with);
        assert!(texts.contains(&"two".into()) && !texts.contains(&"one".into()), "{who}: {texts:?}");
    }
}

#[test]
fn a_name_calls_and_rings_where_only_calls_ring() {
    let mut world = friends(17);
    world.knows("ada", "cyd-who-is-not-there");
    world.event("ada", Event::Focus(false));
    world.types("ada", "/add ben\n");
    world.types("ada", "/mute mentions\n");
    world.settle();
    world.notified("ada");
    world.says("ben", "ada", "nothing much");
    world.settle();
    assert!(world.notified("ada").is_empty());
    world.says("ben", "ada", "look, @Ada!");
    world.settle();
    assert_eq!(world.notified("ada").len(), 1);
    assert_eq!(the(&mut world, "ada", "ben", "look, @Ada!").more.mentions, [name("ada")]);
    let attention = world.app("ada").chat().with(&name("ben")).expect("known").attention;
    assert_eq!((attention.mentions, attention.rings.level), (1, Level::Mentions));
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("x@ 2"), "{screen}");
    world.event("ada", Event::Focus(true));
    world.settle();
    assert_eq!(world.app("ada").chat().with(&name("ben")).expect("known").attention.mentions, 0);
    // Nothing rings at none.
    slash(&mut world, "ada", "/mute none");
    world.event("ada", Event::Focus(false));
    world.says("ben", "ada", "@ada once more");
    world.settle();
    assert!(world.notified("ada").is_empty());
}

#[test]
fn a_call_rings_where_names_ring_and_is_silent_where_nothing_rings() {
    let mut world = friends(30);
    world.event("ada", Event::Focus(false));
    for (level, rings) in [("mentions", 1), ("none", 0)] {
        slash(&mut world, "ada", &format!("/mute {level}"));
        world.notified("ada");
        world.commands("ben", Command::Video(None));
        world.settle();
        assert_eq!(world.notified("ada").len(), rings, "{level}");
        let call = world.app("ada").chat().call.as_ref();
        assert_eq!(call.map(|call| call.state), Some(CallState::Ringing), "it can be answered");
        world.commands("ben", Command::Hangup);
        world.settle();
    }
}

#[test]
fn tab_completes_a_name_behind_an_at_sign() {
    let mut world = friends(18);
    slash(&mut world, "ben", "/profile name Benjamin Rose");
    world.types("ada", "thanks @Benj");
    world.press("ada", KeyCode::Tab, KeyModifiers::NONE);
    assert_eq!(world.app("ada").ui().draft(), "thanks @ben ");
    world.types("ada", "\n");
    world.settle();
    assert_eq!(the(&mut world, "ben", "ada", "thanks @ben").more.mentions, [name("ben")]);
}

#[test]
fn muted_for_a_while_ends_by_itself_also_over_a_restart_and_on_every_device() {
    let mut world = with_laptop(19);
    for who in ["ada", "laptop"] {
        world.event(who, Event::Focus(false));
    }
    slash(&mut world, "ada", "/mute none for 2h");
    let level = |world: &mut World, who: &str| {
        world.app(who).chat().with(&name("ben")).expect("known").attention.rings.level
    };
    assert_eq!((level(&mut world, "ada"), level(&mut world, "laptop")), (Level::None, Level::None));
    world.passes(3_600_000);
    for who in ["ada", "laptop"] {
        // They have locked themselves meanwhile, as idle clients may.
        world.restarts(who);
        world.event(who, Event::Focus(false));
    }
    world.settle();
    assert_eq!((level(&mut world, "ada"), level(&mut world, "laptop")), (Level::None, Level::None));
    world.says("ben", "ada", "are you there?");
    world.settle();
    assert!(world.notified("ada").is_empty());
    world.passes(1_000);
    world.kill("laptop");
    world.passes(3_600_000);
    world.starts("laptop");
    world.event("laptop", Event::Focus(false));
    world.settle();
    assert_eq!((level(&mut world, "ada"), level(&mut world, "laptop")), (Level::All, Level::All));
    world.notified("ada");
    world.says("ben", "ada", "and now?");
    world.settle();
    assert_eq!(world.notified("ada").len(), 1);
}

#[test]
fn what_rang_again_by_itself_on_a_device_that_was_cut_off_undid_what_was_decided_meanwhile() {
    let mut world = with_laptop(21);
    slash(&mut world, "ada", "/mute none for 2h");
    let level = |world: &mut World, who: &str| {
        world.app(who).chat().with(&name("ben")).expect("known").attention.rings.level
    };
    assert_eq!((level(&mut world, "ada"), level(&mut world, "laptop")), (Level::None, Level::None));
    world.cuts_off("laptop", false);
    slash(&mut world, "ada", "/mute none");
    world.passes(2 * 3_600_000 + 60_000);
    assert_eq!((level(&mut world, "ada"), level(&mut world, "laptop")), (Level::None, Level::All));
    world.is_back("laptop");
    world.passes(10_000);
    assert_eq!((level(&mut world, "ada"), level(&mut world, "laptop")), (Level::None, Level::None));
}

#[test]
fn what_is_unread_is_right_after_restarts_deletions_and_reactions() {
    let mut world = friends(20);
    world.event("ada", Event::Focus(false));
    for text in ["one", "two @ada", "three"] {
        world.says("ben", "ada", text);
    }
    does(&mut world, "ben", "ada", "hello ben", react("👍"));
    world.settle();
    let unread = |world: &mut World, who: &str| {
        let room = world.app(who).chat().with(&name("ben")).expect("known");
        (room.kept.unread, room.attention.mentions)
    };
    assert_eq!(unread(&mut world, "ada"), (3, 1), "a sign is no message");
    does(&mut world, "ben", "ada", "two @ada", LineCommand::Delete);
    world.settle();
    assert_eq!(unread(&mut world, "ada"), (2, 0), "what is gone is not unread");
    for _ in 0..2 {
        world.kill("ada");
        world.starts("ada");
        // Before it can be seen.
        assert!(unread(&mut world, "ada").0 <= 2);
        world.event("ada", Event::Focus(false));
        world.settle();
    }
    let before = unread(&mut world, "ada").0;
    world.says("ben", "ada", "four");
    world.settle();
    assert_eq!(unread(&mut world, "ada").0, before + 1);
    world.event("ada", Event::Focus(true));
    world.settle();
    world.restarts("ada");
    world.settle();
    assert_eq!(unread(&mut world, "ada"), (0, 0));
    assert!(world.marks("ben", "ada").iter().all(|mark| *mark == LineState::Read), "all but the deleted");
}

#[test]
fn a_kill_at_any_moment_keeps_unread_and_lines_in_step() {
    for effects in 0..12 {
        let mut world = friends(21);
        world.event("ada", Event::Focus(false));
        world.settle();
        world.kill_after("ada", effects);
        for text in ["one", "two"] {
            world.says("ben", "ada", text);
        }
        world.settle();
        if world.alive("ada") {
            world.kill("ada");
        }
        world.starts("ada");
        world.event("ada", Event::Focus(false));
        world.passes(5_000);
        let room = world.app("ada").chat().with(&name("ben")).expect("known");
        let (unread, read) = (room.kept.unread, room.kept.read);
        let lines = world.lines("ada", "ben");
        let counted = lines.iter().skip(read as usize).filter(|line| line.author == Author::Them).count();
        assert_eq!(unread as usize, counted, "after {effects} effects");
        assert_eq!(world.timeline("ada", "ben").len(), 4);
    }
}

#[test]
fn what_is_read_on_one_device_is_read_on_the_one_that_was_away() {
    let mut world = with_laptop(22);
    world.kill("laptop");
    for text in ["one", "two @ada", "three"] {
        world.says("ben", "ada", text);
    }
    world.settle();
    world.event("ada", Event::Focus(true));
    world.settle();
    world.starts("laptop");
    world.event("laptop", Event::Focus(false));
    world.passes(5_000);
    let laptop = world.app("laptop").chat().with(&name("ben")).expect("known");
    assert_eq!((laptop.kept.unread, laptop.attention.mentions), (0, 0));
    world.event("ada", Event::Focus(false));
    world.says("ben", "ada", "four");
    world.settle();
    for who in ["ada", "laptop"] {
        assert_eq!(world.app(who).chat().unread(), 1, "{who}");
    }
}

#[test]
fn a_new_device_gets_answers_signs_and_edits_with_the_history() {
    let mut world = friends(23);
    slash(&mut world, "ada", "/reply and to you");
    does(&mut world, "ben", "ada", "and to you", react("🌹"));
    does(&mut world, "ben", "ada", "hello ada", edit("hello dear ada"));
    does(&mut world, "ben", "ada", "hello ben", LineCommand::Pin(None));
    world.settle();
    world.adds_device("ada", "laptop");
    world.passes(5_000);
    assert_eq!(seen(&mut world, "laptop", "ben"), seen(&mut world, "ada", "ben"));
    slash(&mut world, "laptop", "/add ben");
    world.types("laptop", "/pins\n");
    assert!(world.screen("laptop", 100, 30).contains("hello ben"), "the pins too");
}

#[test]
fn a_receipt_of_what_was_done_to_a_line_waited_for_a_line_of_that_number() {
    let mut world = with_laptop(25);
    for _ in 0..130 {
        does(&mut world, "ada", "ben", "hello ada", react("🌹"));
        world.settle();
    }
    world.passes(5_000);
    for who in ["ada", "laptop"] {
        let table = subrosa_shared::store::Table { byte: 0x29, name: "receipts before their line" };
        let order = subrosa_shared::store::Order::Forward;
        let rows = world.disk(who).records.scan(table, &[], &[], order, usize::MAX).expect("reads");
        assert!(rows.is_empty(), "{who}: {} wait", rows.len());
    }
}

#[test]
fn the_screen_of_a_conversation_wide_and_narrow() {
    let mut world = friends(24);
    world.says("ben", "ada", "have you seen the garden? @ada");
    world.settle();
    slash(&mut world, "ada", "/reply all of it, twice");
    does(&mut world, "ben", "ada", "all of it, twice", react("🌹"));
    does(&mut world, "ada", "ben", "all of it, twice", react("🌹"));
    does(&mut world, "ada", "ben", "all of it, twice", edit("all of it, three times"));
    does(&mut world, "ada", "ben", "hello ben", LineCommand::Delete);
    does(&mut world, "ben", "ada", "hello ada", LineCommand::Pin(None));
    world.settle();
    insta::assert_snapshot!("conversation_wide", world.screen("ada", 100, 24));
    world.press("ada", KeyCode::Char('g'), KeyModifiers::CONTROL);
    world.press("ada", KeyCode::Up, KeyModifiers::NONE);
    insta::assert_snapshot!("conversation_narrow", world.screen("ada", 42, 24));
}

#[test]
fn a_receipt_that_shows_a_gap_brings_nothing_again_that_it_settles() {
    let mut world = World::with(9, &["ada", "ben"]);
    for (who, to, text) in [("ada", "ben", "a"), ("ben", "ada", "b"), ("ada", "ben", "c")] {
        world.says(who, to, text);
        world.settle();
    }
    // The first one is kept back, however often the relay delivers it.
    let came = Rc::new(Cell::new(0));
    let (count, mut first) = (came.clone(), None);
    world.liar = Some(Box::new(move |who, frame| match frame {
        ToDevice::Deliver(delivery) if who == "ben" => {
            if *first.get_or_insert(delivery.seq) == delivery.seq {
                return Vec::new();
            }
            count.set(count.get() + 1);
            vec![ToDevice::Deliver(delivery)]
        }
        frame => vec![frame],
    }));
    world.says("ada", "ben", "one");
    world.passes(61_000);
    world.says("ada", "ben", "two");
    world.passes(5_000);
    let mut said = world.timeline("ben", "ada");
    said.sort();
    assert_eq!(said, ["a", "b", "c", "one", "two"]);
    assert_eq!(came.get(), 2, "the second, and the first once more");
}
