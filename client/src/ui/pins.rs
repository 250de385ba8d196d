//! The list of pinned lines, to go to one of them.

use super::act::first_words;
use super::command::Command;
use super::dialog::{Dialog, Step, frame};
use super::theme::{Role, Theme};
use super::{Ui, text};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget};
use subrosa_shared::id::MessageId;

/// Pinned lines of a conversation.
#[derive(Debug)]
pub struct Pins {
    rows: Vec<Row>,
    chosen: usize,
}

/// A pinned line with its author and its words.
pub type Row = (MessageId, String, String);

impl Pins {
    /// These, oldest first; the newest is chosen.
    pub fn new(rows: Vec<Row>) -> Self {
        Self { chosen: rows.len().saturating_sub(1), rows }
    }

    /// These from now on; what was chosen stays so while it is there.
    fn follow(&mut self, rows: Vec<Row>) {
        let chosen = self.rows.get(self.chosen).map(|(id, ..)| *id);
        let there = rows.iter().position(|(id, ..)| Some(*id) == chosen);
        self.chosen = there.unwrap_or(self.chosen.min(rows.len().saturating_sub(1)));
        self.rows = rows;
    }

    /// A key press.
    pub fn key(&mut self, name: &str) -> Step {
        let last = self.rows.len().saturating_sub(1);
        match name {
            "Up" | "k" | "Ctrl+p" => self.chosen = self.chosen.saturating_sub(1),
            "Down" | "j" | "Ctrl+n" => self.chosen = (self.chosen + 1).min(last),
            "Home" => self.chosen = 0,
            "End" => self.chosen = last,
            "Enter" => {
                let chosen = self.rows.get(self.chosen);
                return chosen.map_or(Step::Close, |(id, ..)| Step::Do(Command::ToLine(*id)));
            }
            "q" => return Step::Close,
            _ => {}
        }
        Step::Stay
    }

    /// Columns and rows that it would like.
    pub fn size(&self) -> (u16, u16) {
        (76, u16::try_from(self.rows.len()).unwrap_or(u16::MAX).saturating_add(2).clamp(3, 20))
    }

    /// Draws it.
    pub fn draw(&self, theme: &Theme, area: Rect, buf: &mut Buffer) {
        let inner = frame("Pinned: Enter goes there", theme, area, buf);
        let (width, height) = (usize::from(inner.width), usize::from(inner.height).max(1));
        let from = (self.chosen + 1).saturating_sub(height);
        let names = self.rows.iter().map(|(_, name, _)| text::width(name)).max().unwrap_or(0).min(width / 3);
        let rows = self.rows.iter().enumerate().skip(from).take(height).map(|(i, (_, name, body))| {
            let chosen = i == self.chosen;
            let style = |role| theme.style(if chosen { Role::Chosen } else { role });
            let sign = if chosen { "▸ " } else { "  " };
            let said = first_words(body, width.saturating_sub(names + 4));
            Line::from(vec![
                Span::styled(format!("{sign}{}  ", text::fit(name, names)), style(Role::Them)),
                Span::styled(text::fit(&said, width.saturating_sub(names + 4)), style(Role::Text)),
            ])
        });
        Paragraph::new(rows.collect::<Vec<_>>()).style(theme.style(Role::Text)).render(inner, buf);
    }
}

impl Ui {
    /// Whether a list of what is pinned is open.
    pub fn lists_pins(&self) -> bool {
        self.dialogs.iter().any(|dialog| matches!(dialog, Dialog::Pins(_)))
    }

    /// What is pinned now, for a list that is open; it closes when nothing is.
    pub fn pins_now(&mut self, rows: &[Row]) {
        if rows.is_empty() {
            self.dialogs.retain(|dialog| !matches!(dialog, Dialog::Pins(_)));
        }
        for dialog in &mut self.dialogs {
            if let Dialog::Pins(pins) = dialog {
                pins.follow(rows.to_vec());
            }
        }
    }
}
