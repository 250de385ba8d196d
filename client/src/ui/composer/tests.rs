//! What keys do to a line, and what no keys may do.

use super::*;
use proptest::prelude::*;

const EDITS: [Edit; 22] = [
    Edit::Newline,
    Edit::Backspace,
    Edit::Delete,
    Edit::Left,
    Edit::Right,
    Edit::WordLeft,
    Edit::WordRight,
    Edit::Home,
    Edit::End,
    Edit::Up,
    Edit::Down,
    Edit::Older,
    Edit::Newer,
    Edit::KillStart,
    Edit::KillEnd,
    Edit::KillSpace,
    Edit::KillWordLeft,
    Edit::KillWordRight,
    Edit::Yank,
    Edit::YankPop,
    Edit::Transpose,
    Edit::Undo,
];

fn typed(text: &str) -> Composer {
    let mut composer = Composer::default();
    text.chars().for_each(|c| composer.type_char(c).expect("fits"));
    composer
}

fn after(text: &str, edits: &[Edit]) -> (String, usize) {
    let mut composer = typed(text);
    edits.iter().for_each(|edit| composer.edit(*edit).expect("fits"));
    (composer.text.clone(), composer.cursor)
}

#[test]
fn moving_and_deleting_go_by_grapheme() {
    assert_eq!(after("ae\u{301}", &[Edit::Backspace]), ("a".into(), 1));
    assert_eq!(after("a👩‍👩‍👧‍👦b", &[Edit::Left, Edit::Left]).1, 1);
    assert_eq!(after("日本", &[Edit::Left, Edit::Delete]), ("日".into(), 3));
    assert_eq!(after("one two", &[Edit::WordLeft]).1, 4);
    assert_eq!(after("one two", &[Edit::Home, Edit::WordRight]).1, 3);
    assert_eq!(after("ab", &[Edit::Transpose]), ("ba".into(), 2));
    assert_eq!(after("a", &[Edit::Transpose]), ("a".into(), 1));
    assert_eq!(after("a", &[Edit::Newline, Edit::Transpose]), ("a\n".into(), 2), "an empty line");
}

#[test]
fn kills_are_yanked_in_a_ring() {
    use Edit::*;
    assert_eq!(after("one two", &[KillSpace, KillSpace, Yank]).0, "one two");
    assert_eq!(after("one two", &[KillSpace, Left, KillStart, Yank, YankPop]).0, "two ");
    assert_eq!(after("one/two", &[KillWordLeft]).0, "one/");
    assert_eq!(after("one/two", &[KillSpace]).0, "");
    assert_eq!(after("abc", &[Left, KillEnd, Home, Yank]).0, "cab");
    assert_eq!(after("abc", &[Yank]).0, "abc");
}

#[test]
fn undo_takes_words_back() {
    assert_eq!(after("one two", &[Edit::Undo]).0, "one");
    assert_eq!(after("one two", &[Edit::KillStart, Edit::Undo]).0, "one two");
}

#[test]
fn history_keeps_what_was_not_sent() {
    let mut composer = typed("first");
    assert_eq!(composer.take(), "first");
    "second".chars().for_each(|c| composer.type_char(c).expect("fits"));
    composer.take();
    "draft".chars().for_each(|c| composer.type_char(c).expect("fits"));
    let mut seen = Vec::new();
    for edit in [Edit::Up, Edit::Up, Edit::Up, Edit::Down, Edit::Down, Edit::Down] {
        composer.edit(edit).expect("fits");
        seen.push(composer.text().to_owned());
    }
    assert_eq!(seen, ["second", "first", "first", "second", "draft", "draft"]);
}

#[test]
fn up_and_down_move_in_several_lines_first() {
    let (_, cursor) = after("abc\nd\nefg", &[Edit::Up]);
    assert_eq!(cursor, 5, "the end of the short line");
    assert_eq!(after("abc\nd\nefg", &[Edit::Up, Edit::Up]).1, 1);
    assert_eq!(after("abc\nd\nefg", &[Edit::Up, Edit::Down]).1, 7);
}

#[test]
fn a_paste_of_many_lines_stays_one_text() {
    let mut composer = typed("x");
    composer.paste("one\r\ntwo\rthree\u{1b}[31m").expect("fits");
    assert_eq!(composer.text(), "xone\ntwo\nthree[31m");
    assert_eq!(composer.paste(&"é".repeat(TEXT_MAX)), Err(TooLong));
    assert!(composer.text().len() <= TEXT_MAX && composer.text().len() > TEXT_MAX - 4);
    assert_eq!(composer.type_char('日'), Err(TooLong));
}

#[test]
fn a_typed_carriage_return_joins_no_line_end() {
    let mut composer = typed("a\r\u{b}\nb");
    assert_eq!(composer.text(), "a\nb");
    composer.edit(Edit::Home).expect("fits");
    assert_eq!(composer.edge(composer.cursor), composer.cursor);
}

#[test]
fn the_cursor_stands_where_the_next_character_goes() {
    assert_eq!(typed("日本").rows(10), (vec!["日本".into()], (0, 4)));
    assert_eq!(typed("abcd").rows(4), (vec!["abcd".into(), String::new()], (1, 0)));
    assert_eq!(typed("ab\n").rows(4), (vec!["ab".into(), String::new()], (1, 0)));
    assert_eq!(typed("ab  ").rows(10).1, (0, 4));
}

proptest! {
    #[test]
    fn any_edits_keep_the_cursor_at_an_edge(
        steps in prop::collection::vec((0usize..30, ".{0,6}"), 0..60), columns in 1usize..30,
    ) {
        let mut composer = Composer::default();
        for (i, text) in steps {
            let _ = match EDITS.get(i) {
                Some(edit) => composer.edit(*edit),
                None if i == 29 => { composer.take(); Ok(()) }
                None if i > 25 => composer.paste(&text),
                None => text.chars().try_for_each(|c| composer.type_char(c)),
            };
            prop_assert!(composer.cursor <= composer.text.len());
            prop_assert_eq!(composer.edge(composer.cursor), composer.cursor);
            let (rows, (row, column)) = composer.rows(columns);
            prop_assert!(row < rows.len() && column < columns.max(2), "{row} {column} {rows:?}");
        }
    }
}
