//! Asks for a new passphrase, twice, without showing it.

use super::command::{Command, Secret};
use super::dialog::{Step, frame, hint};
use super::setup::{FIELD_MAX, dots, hidden};
use super::text;
use super::theme::{Role, Theme};
use crate::export::cli::PASSPHRASE_MIN;
use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use zeroize::{Zeroize, Zeroizing};

/// The passphrase of a key file that is to be written.
#[derive(Debug)]
pub struct Ask {
    path: String,
    typed: [Secret; 2],
    /// Which of both is being typed.
    at: usize,
    said: Option<String>,
}

impl Ask {
    /// For this file.
    pub fn new(path: String) -> Self {
        // Room for all of it: growing would leave copies behind.
        let empty = || Secret(Zeroizing::new(String::with_capacity(4 * FIELD_MAX)));
        Self { path, typed: [empty(), empty()], at: 0, said: None }
    }

    /// A key press.
    pub fn key(&mut self, name: &str, key: KeyEvent) -> Step {
        let same = self.typed[0] == self.typed[1];
        let field = &mut self.typed[self.at].0;
        match name {
            "Enter" | "Tab" | "Down" if self.at == 0 => match field.chars().count() {
                ..PASSPHRASE_MIN => self.said = Some(format!("At least {PASSPHRASE_MIN} characters.")),
                _ => (self.at, self.said) = (1, None),
            },
            "Enter" if same => {
                return Step::Do(Command::ExportKeys(self.path.clone(), Some(self.typed[0].clone())));
            }
            "Enter" => {
                self.typed[1].0.zeroize();
                self.said = Some("The two differ: type the second one again.".into());
            }
            "Shift+Tab" | "Up" => self.at = 0,
            "Backspace" | "Ctrl+h" => drop(field.pop()),
            "Ctrl+u" => field.zeroize(),
            _ => {
                if let KeyCode::Char(c) = key.code
                    && super::keymap::plain(key.modifiers)
                {
                    hidden(field, c);
                }
            }
        }
        Step::Stay
    }

    /// Pasted text: its first line.
    pub fn paste(&mut self, pasted: &str) {
        let first = pasted.trim_start().lines().next().unwrap_or("");
        first.chars().filter(|c| !c.is_control()).for_each(|c| hidden(&mut self.typed[self.at].0, c));
    }

    /// How much room it wants.
    pub fn size(&self) -> (u16, u16) {
        (64, 9)
    }

    /// Draws it; returns where the cursor stands.
    pub fn draw(&self, theme: &Theme, area: Rect, buf: &mut Buffer) -> Option<(u16, u16)> {
        let inner = frame("A passphrase for the key file", theme, area, buf);
        let columns = usize::from(inner.width);
        let mut cursor = None;
        let about = format!("Keys and contacts go to {}, sealed.", text::line(&self.path));
        let mut rows = vec![(text::truncate(&about, columns), Role::Dim), (String::new(), Role::Dim)];
        if inner.height < 6 {
            rows.clear();
        }
        for (i, label) in ["Passphrase  ", "Once more   "].into_iter().enumerate() {
            let (shown, column) = dots(&self.typed[i].0, columns.saturating_sub(label.len() + 1));
            if i == self.at {
                let y = inner.y + rows.len() as u16;
                let x = inner.x + (label.len() + column).min(columns.saturating_sub(1)) as u16;
                cursor = Some((x, y)).filter(|_| y < inner.bottom());
            }
            rows.push((format!("{label}{shown}"), if i == self.at { Role::Text } else { Role::Dim }));
        }
        if let Some(said) = &self.said {
            rows.push((said.clone(), Role::Warn));
        }
        for (y, (row, role)) in (inner.top()..inner.bottom()).zip(rows) {
            buf.set_stringn(inner.x, y, row, columns, theme.style(role));
        }
        if inner.height > 5 {
            let keys = [("Enter", "next"), ("Esc", "no")];
            buf.set_line(inner.x, inner.bottom() - 1, &hint(theme, &keys), inner.width);
        }
        cursor
    }
}
