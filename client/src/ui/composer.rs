//! The line being written: editing by grapheme with readline's keys, undo, history.

use super::text;
use std::ops::Range;
use subrosa_shared::content::TEXT_MAX;
use unicode_segmentation::UnicodeSegmentation;

/// A change or a movement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Break the line.
    Newline,
    /// Delete the grapheme before the cursor.
    Backspace,
    /// Delete the grapheme behind the cursor.
    Delete,
    /// One grapheme left.
    Left,
    /// One grapheme right.
    Right,
    /// One word left.
    WordLeft,
    /// One word right.
    WordRight,
    /// To the start of the line.
    Home,
    /// To the end of the line.
    End,
    /// One line up, then to older inputs.
    Up,
    /// One line down, then to newer inputs.
    Down,
    /// The input before.
    Older,
    /// The input after.
    Newer,
    /// Delete to the start of the line, and keep it to yank.
    KillStart,
    /// Delete to the end of the line, and keep it.
    KillEnd,
    /// Delete back to a space, and keep it.
    KillSpace,
    /// Delete the word before the cursor, and keep it.
    KillWordLeft,
    /// Delete the word behind the cursor, and keep it.
    KillWordRight,
    /// Insert what was deleted last.
    Yank,
    /// After a yank: the deleted text before that one instead.
    YankPop,
    /// Swap the two graphemes around the cursor.
    Transpose,
    /// Take the last change back.
    Undo,
}

/// The text being written.
#[derive(Debug, Default)]
pub struct Composer {
    text: String,
    cursor: usize,
    undo: Vec<(String, usize)>,
    kills: Vec<String>,
    yank: Option<(Range<usize>, usize)>,
    last: Last,
    past: Vec<String>,
    at: Option<usize>,
    aside: String,
}

#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
enum Last {
    #[default]
    Other,
    Typed,
    Killed,
}

/// Something did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl Composer {
    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The cursor, as a byte of the text at a grapheme's edge.
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Types one character.
    ///
    /// # Errors
    /// When a message cannot be that long.
    pub fn type_char(&mut self, c: char) -> Result<(), TooLong> {
        // A carriage return before a line end would make one character of the two.
        if c.is_control() && !matches!(c, '\n' | '\t') {
            return Ok(());
        }
        if self.last != Last::Typed || c == ' ' {
            self.remember();
        }
        self.insert(c.encode_utf8(&mut [0; 4]))?;
        self.last = Last::Typed;
        Ok(())
    }

    /// Inserts pasted text; its line ends become `\n`, and control characters go.
    ///
    /// # Errors
    /// When it does not fit whole: then what fits is inserted.
    pub fn paste(&mut self, pasted: &str) -> Result<(), TooLong> {
        self.remember();
        self.last = Last::Other;
        let clean: String = pasted
            .replace("\r\n", "\n")
            .chars()
            .map(|c| if c == '\r' { '\n' } else { c })
            .filter(|c| !c.is_control() || *c == '\n' || *c == '\t')
            .collect();
        let room = TEXT_MAX.saturating_sub(self.text.len());
        if clean.len() <= room {
            return self.insert(&clean);
        }
        let end = clean.grapheme_indices(true).map(|(i, _)| i).take_while(|i| *i <= room).last().unwrap_or(0);
        self.insert(&clean[..end])?;
        Err(TooLong)
    }

    /// Replaces everything, as one step to undo.
    pub fn set(&mut self, text: String) {
        self.remember();
        self.last = Last::Other;
        self.yank = None;
        self.text = text;
        self.clip();
        self.cursor = self.text.len();
    }

    /// Replaces a part, as one step to undo, and stands behind it.
    pub fn replace(&mut self, range: Range<usize>, with: &str) {
        self.remember();
        self.last = Last::Other;
        self.yank = None;
        if self.text.get(range.clone()).is_some() && self.text.len() - range.len() + with.len() <= TEXT_MAX {
            self.text.replace_range(range.clone(), with);
            self.cursor = self.edge(range.start + with.len());
        }
    }

    /// Takes the text out to send it, and keeps it as history.
    pub fn take(&mut self) -> String {
        let text = self.clear();
        if !text.trim().is_empty() && self.past.last() != Some(&text) {
            self.past.push(text.clone());
            if self.past.len() > PAST_MAX {
                self.past.remove(0);
            }
        }
        text
    }

    /// Takes the text out to send it, and keeps it nowhere: neither as history nor to undo or yank it.
    pub fn take_unkept(&mut self) -> String {
        let text = self.clear();
        self.undo.clear();
        self.kills.clear();
        text
    }

    /// Empties the line; it can be undone.
    pub fn clear(&mut self) -> String {
        self.remember();
        self.last = Last::Other;
        self.at = None;
        self.yank = None;
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }

    /// Another conversation: its own text and history, the same kills.
    pub fn switch(&mut self, text: String, past: Vec<String>) -> (String, Vec<String>) {
        let old = (std::mem::replace(&mut self.text, text), std::mem::replace(&mut self.past, past));
        self.clip();
        self.cursor = self.text.len();
        self.undo.clear();
        self.yank = None;
        self.at = None;
        self.aside.clear();
        self.last = Last::Other;
        old
    }

    /// Carries out an edit.
    ///
    /// # Errors
    /// When a message cannot be that long.
    pub fn edit(&mut self, edit: Edit) -> Result<(), TooLong> {
        let last = std::mem::replace(&mut self.last, Last::Other);
        let yank = self.yank.take();
        match edit {
            Edit::Newline => {
                self.remember();
                self.insert("\n")?;
            }
            Edit::Backspace => {
                let from = self.left();
                self.cut(from..self.cursor);
            }
            Edit::Delete => {
                let to = self.right();
                self.cut(self.cursor..to);
            }
            Edit::Left => self.cursor = self.left(),
            Edit::Right => self.cursor = self.right(),
            Edit::WordLeft => self.cursor = self.edge(self.word_left()),
            Edit::WordRight => self.cursor = self.edge(self.word_right()),
            Edit::Home => self.cursor = self.line().start,
            Edit::End => self.cursor = self.line().end,
            Edit::Up => {
                if !self.vertical(-1) {
                    self.older();
                }
            }
            Edit::Down => {
                if !self.vertical(1) {
                    self.newer();
                }
            }
            Edit::Older => self.older(),
            Edit::Newer => self.newer(),
            Edit::KillStart => self.kill(self.line().start..self.cursor, last),
            Edit::KillEnd => {
                let end = self.line().end;
                // At the end of a line its break goes.
                let end = if end == self.cursor { self.right() } else { end };
                self.kill(self.cursor..end, last);
            }
            Edit::KillSpace => {
                let before = self.text[..self.cursor].trim_end();
                let from = before.rfind(char::is_whitespace).map_or(0, |i| self.after(i));
                self.kill(from..self.cursor, last);
            }
            Edit::KillWordLeft => self.kill(self.word_left()..self.cursor, last),
            Edit::KillWordRight => self.kill(self.cursor..self.word_right(), last),
            Edit::Yank => {
                if let Some(kill) = self.kills.last().cloned() {
                    self.yank_from(self.cursor..self.cursor, &kill, self.kills.len() - 1)?;
                }
            }
            Edit::YankPop => {
                if let Some((range, index)) = yank {
                    let index = index.checked_sub(1).unwrap_or(self.kills.len() - 1);
                    let kill = self.kills[index].clone();
                    self.yank_from(range, &kill, index)?;
                }
            }
            Edit::Transpose => self.transpose(),
            Edit::Undo => {
                if let Some((text, cursor)) = self.undo.pop() {
                    self.text = text;
                    self.cursor = self.edge(cursor);
                }
            }
        }
        Ok(())
    }

    /// Rows at a width, as harmless text to show, and the cursor's row and column.
    pub fn rows(&self, columns: usize) -> (Vec<String>, (usize, usize)) {
        let shown = text::harmless(&self.text);
        let before = text::harmless(&self.text[..self.cursor]);
        let ranges = text::wrap(&shown, columns);
        // Cleaning is from left to right, so what is before the cursor is a prefix of the whole,
        // but for marks that the cursor parts from their base.
        let at = before.len().min(shown.len());
        let row = ranges.iter().rposition(|range| range.start <= at).unwrap_or(0);
        let range = &ranges[row];
        let inside = shown.get(range.start..at.min(range.end)).unwrap_or("");
        let (mut row, mut column) = (row, text::width(inside) + at.saturating_sub(range.end));
        let mut rows: Vec<String> = ranges.iter().map(|range| shown[range.clone()].to_owned()).collect();
        if column >= columns.max(1) {
            column = 0;
            row += 1;
            if row >= rows.len() {
                rows.push(String::new());
            }
        }
        (rows, (row, column))
    }

    fn insert(&mut self, new: &str) -> Result<(), TooLong> {
        if self.text.len() + new.len() > TEXT_MAX {
            return Err(TooLong);
        }
        self.yank = None;
        self.text.insert_str(self.cursor, new);
        self.cursor = self.edge(self.cursor + new.len());
        Ok(())
    }

    fn cut(&mut self, range: Range<usize>) -> String {
        if range.is_empty() {
            return String::new();
        }
        self.remember();
        let cut = self.text[range.clone()].to_owned();
        self.text.replace_range(range.clone(), "");
        self.cursor = self.edge(range.start);
        cut
    }

    fn kill(&mut self, range: Range<usize>, last: Last) {
        let before = range.start < self.cursor;
        let cut = self.cut(range);
        if cut.is_empty() {
            return;
        }
        // Kills in a row are one text to yank, as in readline.
        match self.kills.last_mut().filter(|_| last == Last::Killed) {
            Some(kill) if before => kill.insert_str(0, &cut),
            Some(kill) => kill.push_str(&cut),
            None => {
                self.kills.push(cut);
                if self.kills.len() > KILLS_MAX {
                    self.kills.remove(0);
                }
            }
        }
        self.last = Last::Killed;
    }

    fn yank_from(&mut self, range: Range<usize>, kill: &str, index: usize) -> Result<(), TooLong> {
        if self.text.len() - range.len() + kill.len() > TEXT_MAX {
            return Err(TooLong);
        }
        self.remember();
        self.text.replace_range(range.clone(), kill);
        let end = range.start + kill.len();
        self.cursor = self.edge(end);
        self.yank = Some((range.start..end, index));
        Ok(())
    }

    fn transpose(&mut self) {
        let line = self.line();
        let second = if self.cursor == line.end { self.left() } else { self.cursor };
        if second < line.start {
            return;
        }
        let first =
            self.text[line.start..second].grapheme_indices(true).next_back().map(|(i, _)| line.start + i);
        let Some(first) = first else { return };
        let end = self.after_grapheme(second);
        if second >= end {
            return;
        }
        self.remember();
        let swapped = format!("{}{}", &self.text[second..end], &self.text[first..second]);
        self.text.replace_range(first..end, &swapped);
        self.cursor = self.edge(end);
    }

    fn older(&mut self) {
        let index = match self.at {
            None if self.past.is_empty() => return,
            None => {
                self.aside = self.text.clone();
                self.past.len() - 1
            }
            Some(0) => return,
            Some(i) => i - 1,
        };
        self.recall(Some(index));
    }

    fn newer(&mut self) {
        match self.at {
            None => {}
            Some(i) if i + 1 < self.past.len() => self.recall(Some(i + 1)),
            Some(_) => self.recall(None),
        }
    }

    fn recall(&mut self, at: Option<usize>) {
        self.remember();
        self.at = at;
        self.text = match at {
            Some(i) => self.past[i].clone(),
            None => std::mem::take(&mut self.aside),
        };
        self.cursor = self.text.len();
    }

    /// One line up or down at the same column; false when there is none.
    fn vertical(&mut self, by: i8) -> bool {
        let line = self.line();
        let column = text::width(&self.text[line.start..self.cursor]);
        let target = if by < 0 {
            let Some(end) = line.start.checked_sub(1) else { return false };
            self.text[..end].rfind('\n').map_or(0, |i| i + 1)..end
        } else {
            if line.end == self.text.len() {
                return false;
            }
            let start = line.end + 1;
            start..self.text[start..].find('\n').map_or(self.text.len(), |i| start + i)
        };
        let mut used = 0;
        let mut at = target.start;
        for grapheme in self.text[target].graphemes(true) {
            if used >= column {
                break;
            }
            used += text::grapheme_width(grapheme);
            at += grapheme.len();
        }
        self.cursor = self.edge(at);
        true
    }

    fn line(&self) -> Range<usize> {
        let start = self.text[..self.cursor].rfind('\n').map_or(0, |i| i + 1);
        let end = self.text[self.cursor..].find('\n').map_or(self.text.len(), |i| self.cursor + i);
        start..end
    }

    fn left(&self) -> usize {
        self.text[..self.cursor].grapheme_indices(true).next_back().map_or(0, |(i, _)| i)
    }

    fn right(&self) -> usize {
        self.after_grapheme(self.cursor)
    }

    fn after_grapheme(&self, at: usize) -> usize {
        at + self.text[at..].graphemes(true).next().map_or(0, str::len)
    }

    fn after(&self, at: usize) -> usize {
        at + self.text[at..].chars().next().map_or(0, char::len_utf8)
    }

    fn word_left(&self) -> usize {
        let words = self.text[..self.cursor].split_word_bound_indices();
        words.rev().find(|(_, word)| is_word(word)).map_or(0, |(i, _)| i)
    }

    fn word_right(&self) -> usize {
        let words = self.text[self.cursor..].split_word_bound_indices();
        let mut words = words.filter(|(_, word)| is_word(word));
        words.next().map_or(self.text.len(), |(i, word)| self.cursor + i + word.len())
    }

    /// The grapheme edge at or behind a byte: an insertion may have joined two graphemes.
    fn edge(&self, at: usize) -> usize {
        let edges = self.text.grapheme_indices(true).map(|(i, _)| i);
        edges.chain([self.text.len()]).find(|i| *i >= at).unwrap_or(self.text.len())
    }

    fn clip(&mut self) {
        if self.text.len() > TEXT_MAX {
            let end = self.text.grapheme_indices(true).map(|(i, _)| i).take_while(|i| *i <= TEXT_MAX).last();
            self.text.truncate(end.unwrap_or(0));
        }
    }

    fn remember(&mut self) {
        if self.undo.last().is_none_or(|(text, _)| *text != self.text) {
            self.undo.push((self.text.clone(), self.cursor));
            if self.undo.len() > UNDO_MAX {
                self.undo.remove(0);
            }
        }
    }
}

fn is_word(word: &str) -> bool {
    word.chars().any(char::is_alphanumeric)
}

const PAST_MAX: usize = 200;
const KILLS_MAX: usize = 16;
const UNDO_MAX: usize = 100;

#[cfg(test)]
mod tests {
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
}
