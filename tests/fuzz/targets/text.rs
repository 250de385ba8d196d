//! Foreign text on the screen, and the line being written.
#![no_main]

use subrosa::ui::composer::{Composer, Edit};
use subrosa::ui::text;

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

libfuzzer_sys::fuzz_target!(|data: (u8, String, Vec<u8>)| {
    let (columns, words, edits) = data;
    let columns = usize::from(columns);
    let shown = text::harmless(&words);
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{shown:?}");
    assert_eq!(text::harmless(&shown), shown);
    let line = text::line(&words);
    assert!(!line.contains('\n'));
    assert!(text::width(&text::truncate(&line, columns)) <= columns);
    assert_eq!(text::width(&text::fit(&line, columns)), columns);
    for range in text::wrap(&shown, columns).into_iter().chain(text::urls(&shown)) {
        assert!(shown.get(range).is_some());
    }

    let mut composer = Composer::default();
    let mut typed = words.chars();
    for byte in edits {
        match (EDITS.get(usize::from(byte)), byte) {
            (Some(edit), _) => drop(composer.edit(*edit)),
            (None, 22) => drop(composer.paste(&words)),
            (None, 23) => drop(composer.take()),
            _ => typed.next().map_or((), |c| drop(composer.type_char(c))),
        }
        assert!(composer.text().is_char_boundary(composer.cursor()));
        composer.rows(columns);
    }
});
