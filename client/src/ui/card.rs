//! Text to read about something, with keys that change it.

use super::command::Command;
use super::dialog::{Step, frame, hint, scrolled};
use super::text;
use super::theme::Theme;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

/// The dialog.
#[derive(Debug)]
pub struct Card {
    title: String,
    body: String,
    scroll: usize,
    /// Key, what it says, what it does.
    keys: Vec<(char, &'static str, Command)>,
}

impl Card {
    /// With no key but those that scroll.
    pub fn new(title: impl Into<String>, body: impl Into<String>) -> Self {
        Self { title: title.into(), body: body.into(), scroll: 0, keys: Vec::new() }
    }

    /// The same with one more.
    pub fn with(mut self, key: char, says: &'static str, does: Command) -> Self {
        self.keys.push((key, says, does));
        self
    }

    pub(super) fn key(&mut self, name: &str, area: Rect) -> Step {
        if let Some((.., does)) = self.keys.iter().find(|(key, ..)| name == key.to_string()) {
            return Step::Do(does.clone());
        }
        let height = usize::from(area.height.saturating_sub(2 + self.hint_rows()));
        let most = self.rows(area.width).saturating_sub(height);
        let page = height.max(2) - 1;
        self.scroll = match name {
            "q" | "Enter" | "F1" | "?" => return Step::Close,
            "Up" | "k" | "Ctrl+p" => self.scroll.saturating_sub(1),
            "Down" | "j" | "Ctrl+n" => self.scroll + 1,
            "PageUp" | "b" => self.scroll.saturating_sub(page),
            "PageDown" | "Space" => self.scroll + page,
            "Home" | "g" => 0,
            "End" | "G" => most,
            _ => self.scroll,
        }
        .min(most);
        Step::Stay
    }

    /// How much room it wants on a screen of that width.
    pub(super) fn size(&self, screen: u16) -> (u16, u16) {
        let rows = self.rows(WIDTH.min(screen.saturating_sub(4)));
        (WIDTH, u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(2 + self.hint_rows()))
    }

    pub(super) fn draw(&self, theme: &Theme, area: Rect, buf: &mut Buffer) {
        let inner = frame(&text::line(&self.title), theme, area, buf);
        let body = text::harmless(&self.body);
        let rows = text::wrap(&body, inner.width.into());
        let rows: Vec<Line> = rows.into_iter().map(|row| Line::raw(body[row].to_owned())).collect();
        let hint_rows = self.hint_rows().min(inner.height.saturating_sub(1));
        let above = Rect { height: inner.height - hint_rows, ..inner };
        scrolled(rows, self.scroll, theme, area, above, buf);
        if hint_rows > 0 {
            let keys: Vec<(String, &str)> =
                self.keys.iter().map(|(key, says, _)| (key.to_string(), *says)).collect();
            let keys: Vec<(&str, &str)> = keys.iter().map(|(key, says)| (key.as_str(), *says)).collect();
            buf.set_line(inner.x, inner.bottom() - 1, &hint(theme, &keys), inner.width);
        }
    }

    fn hint_rows(&self) -> u16 {
        if self.keys.is_empty() { 0 } else { 2 }
    }

    fn rows(&self, width: u16) -> usize {
        text::wrap(&text::harmless(&self.body), usize::from(width.saturating_sub(4))).len()
    }
}

const WIDTH: u16 = 76;
