//! The open conversation: only the rows that are visible are ever laid out.

mod around;

use super::text;
use super::theme::{Role, Theme};
use crate::chat::room::Room;
use crate::chat::search::marks;
use crate::chat::search::query::Query;
use crate::chat::timeline::{Author, Line, LineState, Timeline};
use crate::chat::transfer::Transfer;
use crate::term::Caps;
use around::Part;
use jiff::tz::TimeZone;
use ratatui::style::Style;
use ratatui::text::Span;
use std::ops::Range;
use std::sync::Arc;
use subrosa_shared::id::{AccountName, MessageId};
use subrosa_shared::time::Millis;
use subrosa_shared::video::picture::Picture;
use unicode_segmentation::UnicodeSegmentation;

mod file;

/// Which part is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scroll {
    /// The newest lines, and those that come.
    #[default]
    Bottom,
    /// The last visible row is that row of that line; what comes in moves nothing.
    At {
        /// Position of the line.
        pos: u64,
        /// Row of the line.
        row: usize,
        /// How many lines there were when the view left the bottom.
        end: u64,
    },
}

/// One row on the screen.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// What it shows.
    pub spans: Vec<Span<'static>>,
    /// Links: column, columns, address.
    pub links: Vec<(usize, usize, String)>,
    /// Where the line that it belongs to is shown.
    pub line: Option<u64>,
    /// It belongs to the picked line.
    pub chosen: bool,
    /// It is a row of a picture, in characters.
    pub picture: Option<Strip>,
}

/// A row of a picture.
#[derive(Clone, Debug)]
pub struct Strip {
    /// Of the line that it belongs to.
    pub of: MessageId,
    /// The whole picture.
    pub picture: Arc<Picture>,
    /// Where the picture is in the row, and how many cells it has.
    pub left: u16,
    /// Columns and rows of the whole.
    pub size: (u16, u16),
    /// Which of its rows this is.
    pub row: u16,
}

/// What laying out needs to know.
pub struct Layout<'a> {
    /// The conversation.
    pub room: &'a Room,
    /// Those of its lines that are shown.
    pub lines: &'a Timeline,
    /// What is highlighted.
    pub found: Option<&'a Query>,
    /// Own name.
    pub me: &'a AccountName,
    /// Colours.
    pub theme: &'a Theme,
    /// Time zone of the dates.
    pub zone: &'a TimeZone,
    /// 24 hours or 12.
    pub clock_24: bool,
    /// Columns.
    pub width: usize,
    /// Files on their way.
    pub transfers: &'a [Transfer],
    /// What the terminal can do.
    pub caps: Caps,
    /// The line that keys act on.
    pub picked: Option<MessageId>,
    /// The terminal shows more than ASCII.
    pub unicode: bool,
}

impl Layout<'_> {
    /// The rows to show at a height, oldest first.
    pub fn visible(&self, scroll: Scroll, height: usize) -> Vec<Row> {
        let Some((pos, row)) = self.anchor(scroll) else { return Vec::new() };
        let mut rows: Vec<Row> = self.rows(pos);
        let below = rows.split_off((row + 1).min(rows.len()));
        let mut at = pos;
        while rows.len() < height && at > self.first() {
            at -= 1;
            let mut more = self.rows(at);
            more.append(&mut rows);
            rows = more;
        }
        if rows.len() > height {
            rows.drain(..rows.len() - height);
        }
        // At the very top the rest of the screen is what follows.
        let mut more = below.into_iter();
        let mut at = pos;
        while rows.len() < height {
            match more.next() {
                Some(row) => rows.push(row),
                None if at + 1 < self.end() => {
                    at += 1;
                    more = self.rows(at).into_iter();
                }
                None => break,
            }
        }
        rows
    }

    /// Rows up (negative) or down.
    pub fn moved(&self, scroll: Scroll, by: i32, height: usize) -> Scroll {
        let Some((mut pos, mut row)) = self.anchor(scroll) else { return Scroll::Bottom };
        let mut left = by.unsigned_abs() as usize;
        if by < 0 {
            while left > 0 {
                if row >= left {
                    row -= left;
                    left = 0;
                } else if pos > self.first() {
                    left -= row + 1;
                    pos -= 1;
                    row = self.rows(pos).len() - 1;
                } else {
                    row = 0;
                    break;
                }
            }
        } else {
            while left > 0 {
                let last = self.rows(pos).len() - 1;
                if row + left <= last {
                    row += left;
                    left = 0;
                } else if pos + 1 < self.end() {
                    left -= last - row + 1;
                    pos += 1;
                    row = 0;
                } else {
                    return Scroll::Bottom;
                }
            }
        }
        self.filled(pos, row, scroll, height)
    }

    /// With that line on the first visible row.
    pub fn from_top(&self, pos: u64, scroll: Scroll, height: usize) -> Scroll {
        if pos < self.first() || pos >= self.end() {
            return if pos < self.first() {
                self.filled(self.first(), 0, scroll, height)
            } else {
                Scroll::Bottom
            };
        }
        let down = i32::try_from(height.saturating_sub(1)).unwrap_or(i32::MAX);
        self.moved(Scroll::At { pos, row: 0, end: self.left_at(scroll) }, down, height)
    }

    /// With that line in sight, moved as little as that takes.
    pub fn showing(&self, pos: u64, scroll: Scroll, height: usize) -> Scroll {
        let Some((mut at, row)) = self.anchor(scroll) else { return scroll };
        let rows = self.rows(pos).len();
        if pos > at || (pos == at && row + 1 < rows) {
            return self.filled(pos, rows - 1, scroll, height);
        }
        let mut above = row + 1;
        while at > pos && above <= height {
            at -= 1;
            above += self.rows(at).len();
        }
        if at == pos && above <= height { scroll } else { self.from_top(pos, scroll, height) }
    }

    /// With that row of that line as the last one.
    pub fn ending_at(&self, pos: u64, row: usize, height: usize) -> Scroll {
        let end = self.room.timeline.end();
        self.held(self.moved(Scroll::At { pos, row, end }, 0, height))
    }

    /// With that line in the middle.
    pub fn around(&self, pos: u64, height: usize) -> Scroll {
        let at = Scroll::At { pos, row: 0, end: self.room.timeline.end() };
        self.held(self.moved(at, i32::try_from(height / 2).unwrap_or(0), height))
    }

    /// The end of an old part is not the newest line.
    pub fn held(&self, scroll: Scroll) -> Scroll {
        let newest = self.end() == self.room.timeline.end();
        match self.end().checked_sub(1).filter(|_| scroll == Scroll::Bottom && !newest) {
            Some(pos) => {
                let row = self.rows(pos).len().saturating_sub(1);
                Scroll::At { pos, row, end: self.room.timeline.end() }
            }
            None => scroll,
        }
    }

    /// Lines that came after the view left the bottom.
    pub fn new_below(&self, scroll: Scroll) -> usize {
        match scroll {
            Scroll::Bottom => 0,
            Scroll::At { pos, end, .. } => (end.max(pos + 1)..self.room.timeline.end())
                .filter_map(|pos| self.room.timeline.get(pos))
                .filter(|line| matches!(line.author, Author::Them | Author::Alarm))
                .count(),
        }
    }

    /// The rows of one line, with the date and unread lines above it: at least one.
    pub fn rows(&self, pos: u64) -> Vec<Row> {
        let Some(line) = self.lines.get(pos) else { return vec![Row::default()] };
        let before = pos.checked_sub(1).and_then(|pos| self.lines.get(pos));
        let mut rows = Vec::new();
        let day = self.date(line.at);
        if before.is_none_or(|before| self.date(before.at) != day) {
            rows.push(self.rule(&day, Role::Dim, Role::Rule));
        }
        let divider = self.room.divider.is_some() && self.room.divider == self.lines.position(pos);
        if divider {
            rows.push(self.rule("new", Role::Unread, Role::Unread));
        }
        // One author's lines of a few minutes are one paragraph; where only a note is left of the line before,
        // nobody stands there.
        let grouped = rows.is_empty()
            && before.is_some_and(|before| {
                before.author == line.author
                    && !before.body.is_empty()
                    && before.more.by == line.more.by
                    && line.at.since(before.at).as_secs() < GROUP_SECONDS
            });
        let before = rows.len();
        let gone;
        let line = if line.body.is_empty() {
            let body = self.gone(line);
            gone = Line { author: Author::Note, body, state: LineState::Received, ..line.clone() };
            &gone
        } else {
            line
        };
        match line.author {
            Author::Me | Author::Them if self.width >= NARROW => self.wide(line, grouped, &mut rows),
            Author::Me | Author::Them => self.narrow(line, grouped, &mut rows),
            Author::Note | Author::Alarm => self.own(line, &mut rows),
        }
        for row in &mut rows[before..] {
            (row.line, row.chosen) = (Some(pos), self.picked == Some(line.id));
        }
        rows
    }

    /// A point in time as the clock on the wall says.
    pub fn clock(&self, at: Millis) -> String {
        let format = if self.clock_24 { "%H:%M" } else { "%I:%M%p" };
        self.zoned(at).strftime(format).to_string().to_lowercase()
    }

    fn anchor(&self, scroll: Scroll) -> Option<(u64, usize)> {
        let last = self.end().checked_sub(1)?;
        if last < self.first() {
            return None;
        }
        Some(match scroll {
            Scroll::At { pos, row, .. } if pos <= last => {
                let pos = pos.max(self.first());
                (pos, row.min(self.rows(pos).len() - 1))
            }
            _ => (last, self.rows(last).len() - 1),
        })
    }

    /// That row as the last one, or further down when the screen would not be full.
    fn filled(&self, mut pos: u64, mut row: usize, scroll: Scroll, height: usize) -> Scroll {
        let mut above = row + 1;
        let mut at = pos;
        while above < height && at > self.first() {
            at -= 1;
            above += self.rows(at).len();
        }
        let mut missing = height.saturating_sub(above);
        loop {
            let last = self.rows(pos).len() - 1;
            if pos + 1 >= self.end() && row + missing >= last {
                return Scroll::Bottom;
            }
            if row + missing <= last {
                return Scroll::At { pos, row: row + missing, end: self.left_at(scroll) };
            }
            missing -= last - row + 1;
            pos += 1;
            row = 0;
        }
    }

    fn left_at(&self, scroll: Scroll) -> u64 {
        match scroll {
            Scroll::Bottom => self.room.timeline.end(),
            Scroll::At { end, .. } => end,
        }
    }

    fn wide(&self, line: &Line, grouped: bool, rows: &mut Vec<Row>) {
        let names = text::width(self.me.as_str()).max(self.longest_name()).clamp(3, NAME_MAX);
        let clock = if self.clock_24 { 5 } else { 7 };
        let left = 1 + clock + 1 + names + 2;
        let (name, style) = self.author(line);
        let time = if grouped { String::new() } else { self.clock(line.at) };
        let name = if grouped { String::new() } else { text::truncate(name, names) };
        let pad = names.saturating_sub(text::width(&name));
        let head = vec![
            self.margin(line),
            Span::styled(text::fit(&time, clock), self.theme.style(Role::Dim)),
            Span::raw(" ".repeat(1 + pad)),
            Span::styled(name, style),
            Span::raw("  "),
        ];
        self.body(line, left, head, rows);
    }

    fn narrow(&self, line: &Line, grouped: bool, rows: &mut Vec<Row>) {
        if !grouped {
            let (name, style) = self.author(line);
            let name = text::truncate(name, self.width.saturating_sub(6));
            let spans = vec![
                Span::styled(name, style),
                Span::raw(" "),
                Span::styled(self.clock(line.at), self.theme.style(Role::Dim)),
            ];
            rows.push(Row { spans, ..Row::default() });
        }
        self.body(line, 1, vec![self.margin(line)], rows);
    }

    fn body(&self, line: &Line, left: usize, head: Vec<Span<'static>>, rows: &mut Vec<Row>) {
        // Marks stand at the right edge, where the eye finds them in one column.
        let columns = self.width.saturating_sub(left + MARKS).max(1);
        let indent = || vec![Span::raw(" ".repeat(left))];
        let mut head = Some(head);
        for above in self.above(line, columns) {
            let mut spans = head.take().unwrap_or_else(indent);
            spans.push(Span::styled(above, self.theme.style(Role::Dim)));
            rows.push(Row { spans, ..Row::default() });
        }
        let head = head.unwrap_or_else(indent);
        match &line.more.file {
            Some(attached) => self.file(line, attached, left, head, columns, rows),
            None => self.words(line, left, head, columns, rows),
        }
        for below in self.below(line, columns) {
            let mut spans = indent();
            spans.push(Span::styled(below, self.theme.style(Role::Accent)));
            rows.push(Row { spans, ..Row::default() });
        }
        if let LineState::Waiting(why) = &line.state {
            let why = format!("waiting: {}", text::line(why));
            for range in text::wrap(&why, columns) {
                let mut spans = indent();
                spans.push(Span::styled(why[range].to_owned(), self.theme.style(Role::Warn)));
                rows.push(Row { spans, ..Row::default() });
            }
        }
    }

    /// The rows of what was said behind `head`, `left` columns from the edge.
    fn words(&self, line: &Line, left: usize, head: Vec<Span<'static>>, columns: usize, rows: &mut Vec<Row>) {
        // A stranger gets a few rows, and no links to click on.
        let stranger = self.room.person.is_request();
        let body = if stranger { preview(&line.body) } else { text::harmless(&line.body) };
        let told = body.len();
        let body = body + &self.behind(line);
        let ranges = text::wrap(&body, columns);
        let parts = if stranger { Vec::new() } else { self.parts(line, &body, told) };
        let style = self.theme.style(if line.state == LineState::Sending { Role::Dim } else { Role::Text });
        let found = marks(self.found, &body);
        let count = ranges.len();
        let mut head = Some(head);
        for (i, range) in ranges.into_iter().enumerate() {
            let mut row = Row {
                spans: head.take().unwrap_or_else(|| vec![Span::raw(" ".repeat(left))]),
                ..Row::default()
            };
            let mut at = range.start;
            let mut used = 0;
            let here = |part: &&Part| part.at.start < range.end && part.at.end > range.start;
            for part in parts.iter().filter(here) {
                let (from, to) = (part.at.start.max(range.start), part.at.end.min(range.end));
                used += self.marked(&mut row, &body, at..from, style, &found);
                let shown = self.marked(&mut row, &body, from..to, self.theme.style(part.role), &found);
                if part.role == Role::Link {
                    row.links.push((left + used, shown, body[part.at.clone()].to_owned()));
                }
                used += shown;
                at = to;
            }
            used += self.marked(&mut row, &body, at..range.end, style, &found);
            if i + 1 == count {
                self.mark_at_edge(&mut row.spans, line, columns, used);
            }
            rows.push(row);
        }
    }

    /// Adds a part of a text, what was looked for highlighted; says how wide it is.
    fn marked(
        &self,
        row: &mut Row,
        body: &str,
        part: Range<usize>,
        style: Style,
        found: &[Range<usize>],
    ) -> usize {
        let (mut at, mut used) = (part.start, 0);
        for span in found.iter().filter(|span| span.start < part.end && span.end > part.start) {
            let (from, to) = (span.start.max(part.start), span.end.min(part.end));
            used += push(row, &body[at..from], style);
            used += push(row, &body[from..to], self.theme.style(Role::Unread).reversed());
            at = to;
        }
        used + push(row, &body[at..part.end], style)
    }

    /// What subrosa itself says.
    fn own(&self, line: &Line, rows: &mut Vec<Row>) {
        let (sign, role) =
            if line.author == Author::Alarm { (" ! ", Role::Alarm) } else { (" · ", Role::Dim) };
        let body = text::harmless(&line.body);
        let columns = self.width.saturating_sub(4).max(1);
        for (i, range) in text::wrap(&body, columns).into_iter().enumerate() {
            let sign = if i == 0 { sign } else { "   " };
            let spans = vec![
                Span::styled(sign, self.theme.style(role)),
                Span::styled(body[range].to_owned(), self.theme.style(role)),
            ];
            rows.push(Row { spans, ..Row::default() });
        }
    }

    fn rule(&self, title: &str, role: Role, rule: Role) -> Row {
        let title = text::truncate(title, self.width.saturating_sub(4));
        let sides = self.width.saturating_sub(text::width(&title) + 2);
        let line = |n: usize| Span::styled("─".repeat(n), self.theme.style(rule));
        let spans = vec![
            line(sides / 2),
            Span::styled(format!(" {title} "), self.theme.style(role)),
            line(sides - sides / 2),
        ];
        Row { spans, ..Row::default() }
    }

    /// The mark of a line at the right edge, behind so many columns of it.
    fn mark_at_edge(&self, spans: &mut Vec<Span<'static>>, line: &Line, columns: usize, used: usize) {
        if let Some((mark, style)) = self.mark(&line.state) {
            let gap = columns.saturating_sub(used) + MARKS.saturating_sub(text::width(mark));
            spans.push(Span::raw(" ".repeat(gap)));
            spans.push(Span::styled(mark, style));
        }
    }

    fn mark(&self, state: &LineState) -> Option<(&'static str, Style)> {
        let style = |role| self.theme.style(role);
        Some(match state {
            LineState::Received => return None,
            LineState::Sending => ("◌", style(Role::Dim)),
            LineState::Waiting(_) => ("!", style(Role::Warn)),
            LineState::Sent => ("✓", style(Role::Dim)),
            LineState::Delivered => ("✓✓", style(Role::Dim)),
            LineState::Read => ("✓✓", style(Role::Good)),
        })
    }

    /// Who wrote it; each member of a room has a colour of their own, the same each time.
    fn author<'a>(&'a self, line: &'a Line) -> (&'a str, Style) {
        match (line.author, &line.more.by) {
            (Author::Me, _) => (self.me.as_str(), self.theme.style(Role::Me)),
            (_, Some(by)) => (by.as_str(), self.theme.member(by.as_str())),
            _ => (self.room.name(), self.theme.style(Role::Them)),
        }
    }

    /// Columns of the longest name that may stand beside a line.
    fn longest_name(&self) -> usize {
        match &self.room.group {
            Some(group) => {
                let members = group.log.state().members.keys();
                members.map(|name| text::width(name.as_str())).max().unwrap_or_default()
            }
            None => text::width(self.room.name()),
        }
    }

    fn date(&self, at: Millis) -> String {
        self.zoned(at).strftime("%A, %-d %B %Y").to_string()
    }

    /// Somebody else's clock may say anything; what is out of range is the epoch.
    fn zoned(&self, at: Millis) -> jiff::Zoned {
        let ms = i64::try_from(at.0).unwrap_or(0);
        jiff::Timestamp::from_millisecond(ms)
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .to_zoned(self.zone.clone())
    }

    fn first(&self) -> u64 {
        self.lines.first()
    }

    fn end(&self) -> u64 {
        self.lines.end()
    }
}

/// As much of a stranger's message as is shown before they are let in.
fn preview(body: &str) -> String {
    let short: String = body.chars().take(PREVIEW).collect();
    let mut lines: Vec<&str> = short.lines().take(PREVIEW_LINES).collect();
    let cut = short.len() < body.len() || lines.len() < body.lines().count();
    if cut {
        lines.push("… (all of it once you /accept)");
    }
    text::harmless(&lines.join("\n"))
}

/// Adds text to a row and says how wide it is.
fn push(row: &mut Row, part: &str, style: Style) -> usize {
    if part.is_empty() {
        return 0;
    }
    // One span a grapheme cluster run: the width is what the screen uses.
    let columns = part.graphemes(true).map(text::grapheme_width).sum();
    row.spans.push(Span::styled(part.to_owned(), style));
    columns
}

/// Below so many columns a line has its author above it.
const NARROW: usize = 46;
const NAME_MAX: usize = 12;
/// Columns of the marks, with a space before.
const MARKS: usize = 3;
const GROUP_SECONDS: u64 = 300;
/// Characters and lines of a stranger's message.
const PREVIEW: usize = 280;
const PREVIEW_LINES: usize = 6;
