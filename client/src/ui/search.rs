//! What is looked for and what was found, on top of the conversation; and the way along it.

use super::command::Command;
use super::dialog::{Dialog, Step, frame, hint};
use super::keymap;
use super::text;
use super::theme::{Role, Theme};
use super::timeline::Scroll;
use super::view::{self, Screen};
use super::{Ui, area};
use crate::chat::Chat;
use crate::chat::search::Hit;
use crate::chat::search::finding::Finding;
use crate::chat::search::index::Side;
use crate::chat::search::matches::excerpt;
use crate::chat::search::query::{QUERY_MAX, Query};
use crate::chat::timeline::Author;
use crossterm::event::{KeyCode, KeyEvent};
use jiff::tz::TimeZone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget};
use subrosa_shared::id::RoomId;
use subrosa_shared::time::Millis;

/// Columns and rows, where the screen has them.
pub const SIZE: (u16, u16) = (84, 26);
/// Rows of one line that was found.
const HIT_ROWS: usize = 2;
/// Rows above and below the list: what is typed, what it found; keys.
const OTHER_ROWS: usize = 3;

/// The dialog; what was found is in [`Chat::finding`].
#[derive(Debug)]
pub struct Search {
    query: String,
    /// Counted from the newest one that is in memory.
    chosen: usize,
    zone: TimeZone,
    clock_24: bool,
}

/// Where the person was before they went to what was found.
#[derive(Clone, Debug)]
pub struct Walk {
    /// In which conversation.
    pub room: Option<RoomId>,
    /// The position of the last line on the screen, and which row of it; `None`: at the newest line.
    pub at: Option<(u64, usize)>,
}

impl Search {
    /// The command that looks for what is typed.
    pub fn find(&self) -> Command {
        Command::Find(self.query.clone())
    }

    /// Pasted text.
    pub fn paste(&mut self, pasted: &str) {
        for c in text::line(pasted).chars() {
            self.push(c);
        }
    }

    fn push(&mut self, c: char) {
        if self.query.len() + c.len_utf8() <= QUERY_MAX {
            self.query.push(c);
            self.chosen = 0;
        }
    }

    /// A key press, on a screen of that size.
    pub fn key(&mut self, key: KeyEvent, name: &str, chat: &Chat, screen: Rect) -> Step {
        let found = chat.finding.as_ref();
        let (count, more) = found.map_or((0, false), |found| (found.hits.len(), found.more));
        let before = found.map_or(0, |found| found.before);
        let page = (usize::from(screen.height.min(SIZE.1)) / HIT_ROWS).max(3) - 2;
        match name {
            "Enter" if count > 0 => return Step::Do(Command::Jump(self.chosen.min(count - 1))),
            "Up" | "Ctrl+p" | "Shift+Tab" if self.chosen == 0 && before > 0 => {
                return Step::Run(Command::FindOn(Side::Newer));
            }
            "Up" | "Ctrl+p" | "Shift+Tab" => self.chosen = self.chosen.saturating_sub(1),
            "PageUp" => self.chosen = self.chosen.saturating_sub(page),
            "Down" | "Ctrl+n" | "Tab" | "PageDown" => {
                let by = if name == "PageDown" { page } else { 1 };
                let past = self.chosen + by >= count && more;
                self.chosen = (self.chosen + by).min(count.saturating_sub(1));
                if past {
                    return Step::Run(Command::FindOn(Side::Older));
                }
            }
            "Ctrl+u" => {
                self.query.clear();
                self.chosen = 0;
                return Step::Run(self.find());
            }
            "Ctrl+w" => {
                let kept = self.query.trim_end().rfind(' ').map_or(0, |at| at + 1);
                self.query.truncate(kept);
                self.chosen = 0;
                return Step::Run(self.find());
            }
            "Backspace" | "Ctrl+h" => {
                self.query.pop();
                self.chosen = 0;
                return Step::Run(self.find());
            }
            _ => {
                if let KeyCode::Char(c) = key.code
                    && keymap::plain(key.modifiers)
                {
                    self.push(c);
                    return Step::Run(self.find());
                }
            }
        }
        Step::Stay
    }

    /// Draws it; gives where the cursor stands.
    pub fn draw(&self, chat: &Chat, theme: &Theme, area: Rect, buf: &mut Buffer) -> Option<(u16, u16)> {
        let inner = frame("Search", theme, area, buf);
        let width = usize::from(inner.width);
        let shown = text::line(&self.query);
        let skip = shown.chars().count().saturating_sub(width.saturating_sub(3));
        let shown: String = shown.chars().skip(skip).collect();
        let mut rows =
            vec![Line::from(vec![Span::styled("› ", theme.style(Role::Accent)), Span::raw(shown.clone())])];
        let (said, role) = said(chat);
        rows.push(Line::styled(text::truncate(&said, width), theme.style(role)));
        let room = usize::from(inner.height).saturating_sub(OTHER_ROWS) / HIT_ROWS;
        if let Some(finding) = &chat.finding {
            let chosen = self.chosen.min(finding.hits.len().saturating_sub(1));
            let from = (chosen + 1).saturating_sub(room.max(1));
            for (i, hit) in finding.hits.iter().enumerate().skip(from).take(room) {
                rows.extend(self.hit(hit, i == chosen, &finding.query, chat, theme, width));
            }
        }
        rows.resize(usize::from(inner.height).saturating_sub(1).max(1), Line::raw(""));
        rows.push(hint(theme, &[("Enter", "go there"), ("↑↓", "choose"), ("Esc", "close")]));
        Paragraph::new(rows).style(theme.style(Role::Text)).render(inner, buf);
        let column = (2 + text::width(&shown)).min(width.saturating_sub(1));
        Some((inner.x + column as u16, inner.y))
    }

    fn hit(
        &self,
        hit: &Hit,
        chosen: bool,
        query: &Query,
        chat: &Chat,
        theme: &Theme,
        width: usize,
    ) -> Vec<Line<'static>> {
        let role = |role| if chosen { theme.style(Role::Chosen) } else { theme.style(role) };
        let (place, theirs) = match chat.room(hit.room) {
            Some(room) => (text::line(&room.full_name()), text::line(room.name())),
            None => ("a conversation that is gone".into(), String::new()),
        };
        let who = match (&hit.line.author, &hit.line.more.by) {
            (Author::Me, _) => chat.name.to_string(),
            (_, Some(member)) => chat.with(member).map_or(member.to_string(), |room| text::line(room.name())),
            (_, None) => theirs,
        };
        let sign = if chosen { "▸ " } else { "  " };
        let head = format!("{sign}{}  {who}{}  in {place}", self.time(hit.line.at), hit.line.more.marks());
        let body = text::line(&hit.line.body);
        // The excerpt is cut by characters first: a wide one takes two columns.
        let (body, spans) = excerpt(query, &body, width.saturating_sub(5));
        let mut line = vec![Span::styled("    ", theme.style(Role::Text))];
        let (mut at, mut used) = (0, 4);
        let ends = spans.iter().map(|span| (span.start, span.end)).chain([(body.len(), body.len())]);
        for (start, end) in ends {
            for (part, style) in
                [(at..start, theme.style(Role::Text)), (start..end, theme.style(Role::Unread).reversed())]
            {
                let part = text::truncate(&body[part], width.saturating_sub(used));
                used += text::width(&part);
                line.push(Span::styled(part, style));
            }
            at = end;
        }
        vec![Line::styled(text::fit(&text::truncate(&head, width), width), role(Role::Dim)), Line::from(line)]
    }

    fn time(&self, at: Millis) -> String {
        let ms = i64::try_from(at.0).unwrap_or(0);
        let at = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let format = if self.clock_24 { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d %I:%M%p" };
        at.to_zoned(self.zone.clone()).strftime(format).to_string().to_lowercase()
    }
}

/// What there is to say about what was found.
fn said(chat: &Chat) -> (String, Role) {
    let Some(finding) = &chat.finding else { return (EMPTY.into(), Role::Dim) };
    let count = finding.before + finding.hits.len();
    let (said, role) = match (&finding.fault, count) {
        (Some(why), _) => (text::line(why), Role::Warn),
        (None, _) if finding.query.is_empty() => (EMPTY.into(), Role::Dim),
        (None, 0) if finding.more => ("Nothing yet: ↓ looks further back".into(), Role::Warn),
        (None, 0) => ("Nothing like that was said".into(), Role::Dim),
        (None, 1) if !finding.more => ("1 line".into(), Role::Dim),
        (None, n) => (format!("{n}{} lines, newest first", if finding.more { "+" } else { "" }), Role::Dim),
    };
    match chat.indexing {
        Some((done, total)) if finding.fault.is_none() => {
            let said =
                format!("{said}. NOT COMPLETE: older messages are being indexed, {} %", percent(done, total));
            (said, Role::Warn)
        }
        _ => (said, role),
    }
}

/// How much of it is done; never all of it.
pub(super) fn percent(done: u64, total: u64) -> u64 {
    (done * 100).checked_div(total).unwrap_or(0).min(99)
}

const EMPTY: &str = "words  \"as a whole\"  from:NAME  in:NAME  before:2026-01-31  after:  on:";

impl Ui {
    /// Opens the search on top.
    pub fn show_search(&mut self, query: &str) {
        self.dialogs.retain(|dialog| !matches!(dialog, Dialog::Search(_)));
        let mut search =
            Search { query: String::new(), chosen: 0, zone: self.zone.clone(), clock_24: self.clock_24 };
        search.paste(query);
        self.dialogs.push(Dialog::Search(Box::new(search)));
    }

    /// The time zone of dates and times.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Where the person is, or was before they began to walk.
    pub fn walk_from(&self, chat: &Chat) -> Walk {
        self.walk.clone().unwrap_or_else(|| {
            let at = match (self.scroll, chat.current()) {
                (Scroll::At { pos, row, .. }, Some(room)) => {
                    chat.shown(room).position(pos).map(|position| (position, row))
                }
                _ => None,
            };
            Walk { room: chat.open, at }
        })
    }

    /// Shows a line that was found; the way back is kept.
    pub fn walk_to(&mut self, walk: Walk, position: u64, chat: &Chat) {
        self.walk = Some(walk);
        self.at_line(position, chat, |layout, pos, height| layout.around(pos, height));
    }

    /// Shows a place again.
    pub fn return_to(&mut self, position: u64, row: usize, chat: &Chat) {
        self.at_line(position, chat, |layout, pos, height| layout.ending_at(pos, row, height));
    }

    /// The person walks no longer; gives where they came from.
    pub fn end_walk(&mut self) -> Option<Walk> {
        self.walk.take()
    }

    /// Shows the newest lines.
    pub fn to_bottom(&mut self) {
        self.scroll = Scroll::Bottom;
    }

    /// Whether the newest lines are shown.
    pub fn is_at_bottom(&self) -> bool {
        self.scroll == Scroll::Bottom
    }

    /// Whether a newer page of an old part should be loaded.
    pub fn wants_newer(&self, chat: &Chat) -> bool {
        let past = chat.past.as_ref();
        past.is_some_and(|past| match self.scroll {
            Scroll::Bottom => false,
            Scroll::At { pos, .. } => past.end().saturating_sub(pos) < super::AHEAD,
        })
    }

    /// What is said while the person walks.
    pub(super) fn walks(&self, chat: &Chat) -> Option<String> {
        self.walk.as_ref()?;
        let Finding { before, at, hits, more, .. } = chat.finding.as_ref()?;
        let (nth, count) = (before + (*at)? + 1, before + hits.len());
        let plus = if *more { "+" } else { "" };
        Some(format!("{nth} of {count}{plus}: n older, N newer, Esc goes back"))
    }

    fn at_line(
        &mut self,
        position: u64,
        chat: &Chat,
        place: impl FnOnce(&super::timeline::Layout, u64, usize) -> Scroll,
    ) {
        let Some(room) = chat.current() else { return };
        let Some(pos) = chat.shown(room).shown(position) else { return };
        let at = view::panes(&Screen { chat, ui: self, now: self.now }, area(self.size)).timeline;
        let screen = Screen { chat, ui: self, now: self.now };
        self.scroll = place(&view::layout(&screen, room, at.width), pos, at.height.into());
    }
}
