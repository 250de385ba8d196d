//! The one place that makes foreign text harmless, and measures it.

use std::ops::Range;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Foreign text of several lines as it may be shown: without control, escape and bidirectional
/// characters, invisible ones, signs that draw the next one into themselves and piles of combining
/// marks. Lines end in `\n`, tabs are spaces.
pub fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut marks = 0;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match class(c) {
            Class::Line => {
                if c == '\r' && chars.peek() == Some(&'\n') {
                    continue;
                }
                out.push('\n');
                marks = MARKS_MAX;
            }
            Class::Tab => {
                out.push_str("    ");
                marks = 0;
            }
            Class::Control => {
                out.push(REPLACEMENT);
                marks = MARKS_MAX;
            }
            Class::Invisible => {}
            // Joiners and selectors only mean something behind a letter or sign that takes them.
            Class::Joiner => {
                if marks < MARKS_MAX && out.chars().next_back().is_some_and(|last| !last.is_ascii()) {
                    out.push(c);
                    marks += 1;
                }
            }
            Class::Mark => {
                if marks < MARKS_MAX && !out.is_empty() {
                    out.push(c);
                    marks += 1;
                }
            }
            Class::Plain => {
                out.push(c);
                marks = 0;
            }
        }
    }
    out
}

/// Foreign text as another program may take it, sign for sign: without control, escape and bidirectional
/// characters and invisible ones. Lines end in `\n`, tabs stay.
pub fn bare(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match class(c) {
            Class::Line if c == '\r' && chars.peek() == Some(&'\n') => {}
            Class::Line => out.push('\n'),
            Class::Invisible => {}
            // Signs without a certain width are only hard to draw.
            Class::Control if c.is_control() => {}
            Class::Plain | Class::Tab | Class::Control | Class::Joiner | Class::Mark => out.push(c),
        }
    }
    out
}

/// Foreign text as one harmless line, for names and titles.
pub fn line(text: &str) -> String {
    harmless(text).replace('\n', " ")
}

/// Columns that harmless text takes on one row.
pub fn width(text: &str) -> usize {
    text.graphemes(true).map(grapheme_width).sum()
}

/// Columns of one grapheme. As the drawing library counts, but never more than two.
pub fn grapheme_width(grapheme: &str) -> usize {
    UnicodeWidthStr::width(grapheme).min(2)
}

/// Cuts one row of harmless text to at most `columns`, with an ellipsis when something is missing.
pub fn truncate(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for grapheme in text.graphemes(true) {
        let wide = grapheme_width(grapheme);
        if used + wide + 1 > columns {
            break;
        }
        used += wide;
        out.push_str(grapheme);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// One row of harmless text, cut or filled with spaces to exactly `columns`.
pub fn fit(text: &str, columns: usize) -> String {
    let mut out = truncate(text, columns);
    let used = width(&out);
    out.extend(std::iter::repeat_n(' ', columns.saturating_sub(used)));
    out
}

/// Rows of harmless text at a width: byte ranges without the line ends, at least one row. Breaks at
/// spaces where it can, inside of words where it must, and never inside of a grapheme.
pub fn wrap(text: &str, columns: usize) -> Vec<Range<usize>> {
    let columns = columns.max(1);
    let mut rows = Vec::new();
    let mut at = 0;
    for line in text.split('\n') {
        wrap_line(line, at, columns, &mut rows);
        at += line.len() + 1;
    }
    rows
}

/// Addresses in harmless text that a terminal can open.
pub fn urls(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    for (colon, mark) in text.match_indices("://") {
        let head = &text[..colon + mark.len()];
        let Some(scheme) = SCHEMES.iter().find(|scheme| head.ends_with(**scheme)) else { continue };
        let start = head.len() - scheme.len();
        if start < from {
            continue;
        }
        let rest = &text[start..];
        let stop = rest
            .find(|c: char| c.is_whitespace() || c.is_control() || "<>\"`{}|\\^".contains(c))
            .unwrap_or(rest.len());
        let body = &rest[..stop];
        // How many brackets more are closed in it than opened.
        let odd =
            |open: char, close: char| body.matches(close).count().saturating_sub(body.matches(open).count());
        let (mut round, mut square) = (odd('(', ')'), odd('[', ']'));
        let mut end = start + stop;
        // A closing bracket or a full stop behind an address belongs to the sentence.
        for last in body.chars().rev() {
            match last {
                ')' if round > 0 => round -= 1,
                ']' if square > 0 => square -= 1,
                last if ".,;:!?'*_…".contains(last) => {}
                _ => break,
            }
            end -= last.len_utf8();
        }
        if end > start + scheme.len() && end - start <= URL_MAX {
            found.push(start..end);
        }
        from = end.max(start + scheme.len());
    }
    found
}

enum Class {
    Plain,
    Line,
    Tab,
    Control,
    Invisible,
    Joiner,
    Mark,
}

fn class(c: char) -> Class {
    match c {
        '\n' | '\r' | '\u{2028}' | '\u{2029}' | '\u{85}' => Class::Line,
        '\t' => Class::Tab,
        ' '..='~' => Class::Plain,
        c if c.is_control() => Class::Control,
        // Bidirectional marks, embeddings, overrides and isolates.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            Class::Invisible
        }
        // Soft hyphen, fillers, zero-width spaces, invisible operators, annotations, tags.
        '\u{ad}'
        | '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'
        | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' => Class::Invisible,
        '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' => Class::Joiner,
        c if c.width() == Some(0) => Class::Mark,
        c if swallows(c) => Class::Control,
        _ => Class::Plain,
    }
}

/// Whether a sign makes one grapheme with whatever follows it, a space of ours too (the Arabic
/// number signs and their kin). No terminal knows how wide that is.
fn swallows(c: char) -> bool {
    let mut bytes = [0; 5];
    let len = c.encode_utf8(&mut bytes).len();
    bytes[len] = b' ';
    std::str::from_utf8(&bytes[..=len]).is_ok_and(|pair| pair.graphemes(true).count() == 1)
}

fn wrap_line(line: &str, at: usize, columns: usize, rows: &mut Vec<Range<usize>>) {
    let (mut start, mut used) = (0, 0);
    // Where the row may break: the end of what stays, and the start of what goes on.
    let mut gap: Option<(usize, usize)> = None;
    for (i, grapheme) in line.grapheme_indices(true) {
        let wide = grapheme_width(grapheme);
        let space = grapheme == " ";
        if used + wide > columns && i > start && !space {
            let (end, next) = gap.take().filter(|(end, _)| *end > start).unwrap_or((i, i));
            rows.push(at + start..at + clip(line, start, end, columns));
            start = next;
            used = width(&line[next..i]);
        }
        if space {
            gap = Some(match gap {
                Some((end, next)) if next == i => (end, i + 1),
                _ => (i, i + 1),
            });
        }
        used += wide;
    }
    rows.push(at + start..at + clip(line, start, line.len(), columns));
}

/// Spaces past the edge are not shown and make no row of their own.
fn clip(line: &str, start: usize, end: usize, columns: usize) -> usize {
    let row = &line[start..end];
    // Each takes one column and one byte.
    match row.len() - row.trim_end_matches(' ').len() {
        0 => end,
        spaces => end - spaces.min(width(row).saturating_sub(columns)),
    }
}

/// Zero-width characters behind one base: enough for any script, too few for a flood.
const MARKS_MAX: u32 = 6;
/// What stands for a control character, and for a sign that has no certain width.
const REPLACEMENT: char = '\u{fffd}';
const SCHEMES: [&str; 3] = ["https://", "http://", "subrosa://"];
/// Longer ones are refused by terminals.
const URL_MAX: usize = 2000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_and_tricks_are_gone() {
        assert_eq!(harmless("a\u{1b}[2Jb"), "a\u{fffd}[2Jb");
        assert_eq!(harmless("x\u{9b}31mred"), "x\u{fffd}31mred");
        assert_eq!(harmless("photo\u{202e}gpj.exe"), "photogpj.exe");
        assert_eq!(harmless("a\u{200b}b\u{feff}c\u{ad}d"), "abcd");
        assert_eq!(harmless("one\r\ntwo\rthree\u{2028}four"), "one\ntwo\nthree\nfour");
        assert_eq!(harmless("a\tb"), "a    b");
        assert_eq!(line("a\nb\x07"), "a b\u{fffd}");
        assert_eq!(harmless("\u{6dd}\u{6dd}("), "\u{fffd}\u{fffd}(", "would have no certain width");
    }

    #[test]
    fn other_programs_get_the_words_and_nothing_to_obey() {
        assert_eq!(bare("a\u{1b}[201~\u{15}/file x\rb\r\nc\n"), "a[201~/file x\nb\nc\n");
        assert_eq!(bare("\u{9b}0m\tphoto\u{202e}gpj\u{200b}.exe\u{2028}"), "0m\tphotogpj.exe\n");
        for real in ["e\u{301}", "नमस्ते", "👩‍👩‍👧‍👦", "❤️", "\u{6dd}12"] {
            assert_eq!(bare(real), real);
        }
    }

    #[test]
    fn no_sign_grows_into_the_space_behind_it() {
        for c in '\0'..=char::MAX {
            let shown = line(&c.to_string());
            assert_eq!(width(&fit(&shown, 4)), 4, "{c:?}");
            assert_eq!(width(&format!("{shown} ")), width(&shown) + 1, "{c:?}");
        }
    }

    #[test]
    fn piles_of_marks_are_cut_and_real_scripts_are_left() {
        let flood = format!("e{}", "\u{301}".repeat(500));
        assert_eq!(harmless(&flood).chars().count(), 7);
        for real in ["e\u{301}", "नमस्ते", "👩‍👩‍👧‍👦", "❤️", "مرحبا", "日本語"]
        {
            assert_eq!(harmless(real), real);
        }
        assert_eq!(harmless("\u{301}\n\u{301}a"), "\na", "nothing to stand on");
    }

    #[test]
    fn rows_break_at_spaces() {
        let rows = |text: &str, n| wrap(text, n).into_iter().map(|r| text[r].to_owned()).collect::<Vec<_>>();
        assert_eq!(rows("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(rows("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(rows("", 4), [""]);
        assert_eq!(rows("a\n\nb", 4), ["a", "", "b"]);
        assert_eq!(rows("日本語です", 4), ["日本", "語で", "す"]);
        assert_eq!(rows("word      ", 4), ["word"]);
        assert_eq!(rows("      cd", 4), ["    ", "cd"]);
        assert_eq!(rows("ab      cd", 4), ["ab", "cd"]);
    }

    #[test]
    fn cutting_keeps_columns() {
        assert_eq!(truncate("hello", 5), "hello");
        assert_eq!(truncate("hello", 4), "hel…");
        assert_eq!(truncate("日本語", 4), "日…");
        assert_eq!(fit("日本語", 4), "日… ");
        assert_eq!(truncate("hello", 0), "");
    }

    #[test]
    fn addresses_without_the_sentence_around_them() {
        let of = |text: &str| urls(text).into_iter().map(|r| text[r].to_owned()).collect::<Vec<_>>();
        assert_eq!(of("see https://a.example/x_(y)."), ["https://a.example/x_(y)"]);
        assert_eq!(of("(http://b.example) https://"), ["http://b.example"]);
        assert_eq!(of("subrosa://h:1/#aa http://c"), ["subrosa://h:1/#aa", "http://c"]);
        assert!(of("nothing here").is_empty());
        assert_eq!(of("see (http://d/(e)[f]_).]"), ["http://d/(e)[f]"]);
        assert_eq!(of("http://g/])] xhttps://h"), ["http://g/", "https://h"]);
    }

    #[test]
    fn long_runs_of_one_sign_are_counted_once() {
        let many = 16 * 1024;
        let spaces = harmless(&format!("x{}", "\t".repeat(many)));
        let rows = wrap(&spaces, 10);
        assert_eq!((rows.len(), rows[0].end), (1, 10));
        let spaces = format!("{spaces}y");
        let rows = wrap(&spaces, 10);
        assert_eq!(rows.iter().map(|row| &spaces[row.clone()]).collect::<Vec<_>>(), ["x", "y"]);
        for sign in [")", "]", ".", ")]."] {
            let text = format!("http://a{}", sign.repeat(many));
            let found = urls(&text);
            assert_eq!((found.len(), found[0].end), (1, "http://a".len()), "{sign}");
        }
        assert_eq!(urls(&"http://a ".repeat(many)).len(), many);
    }

    proptest! {
        #[test]
        fn harmless_text_is_harmless(text in any::<String>()) {
            let out = harmless(&text);
            prop_assert!(out.chars().all(|c| c == '\n' || !c.is_control()));
            prop_assert_eq!(harmless(&out), out.clone(), "twice changes nothing");
            urls(&out);
            prop_assert!(bare(&text).chars().all(|c| c == '\n' || c == '\t' || !c.is_control()));
        }

        #[test]
        fn rows_fit_and_lose_no_words(text in any::<String>(), columns in 0usize..40) {
            let text = harmless(&text);
            let rows = wrap(&text, columns);
            let mut last = 0;
            for row in &rows {
                prop_assert!(row.start >= last && row.end >= row.start);
                prop_assert!(text[last..row.start].chars().all(|c| c == ' ' || c == '\n'));
                prop_assert!(width(&text[row.clone()]) <= columns.max(2));
                last = row.end;
            }
            prop_assert!(text[last..].chars().all(|c| c == ' '));
            prop_assert!(width(&truncate(&line(&text), columns)) <= columns);
            prop_assert_eq!(width(&fit(&line(&text), columns)), columns);
        }
    }
}
