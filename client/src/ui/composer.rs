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
        self.forget();
        text
    }

    /// Nothing can be undone or yanked any more.
    pub fn forget(&mut self) {
        self.undo.clear();
        self.kills.clear();
        self.yank = None;
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
mod tests;
