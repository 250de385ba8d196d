//! The safety number on the screen: digits to read out, and a QR code of half-blocks to scan.

use super::command::Command;
use super::dialog::{Step, frame, hint};
use super::text;
use super::theme::{Role, Theme};
use crate::chat::Chat;
use crate::chat::person::Trouble;
use crate::chat::room::Room;
use crate::term::{Caps, Depth};
use qrcode::{Color as Module, EcLevel, QrCode};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Widget};
use subrosa_shared::id::RoomId;
use subrosa_shared::session::safety::Number;

/// The dialog of `/verify`.
#[derive(Debug)]
pub struct Verify {
    room: RoomId,
    /// The identity key that the number is about.
    key: [u8; 32],
    name: String,
    groups: Vec<String>,
    changed: bool,
    verified: bool,
    /// Dark modules by row, without the quiet zone.
    qr: Vec<Vec<bool>>,
    depth: Depth,
    unicode: bool,
}

impl Verify {
    /// The number with a conversation's person.
    pub fn new(chat: &Chat, room: &Room, number: &Number, key: [u8; 32]) -> Self {
        let code = room.with().map_or_else(String::new, |with| number.code(&chat.name, with).to_string());
        Self {
            room: room.id,
            key,
            name: text::line(&room.full_name()),
            groups: number.groups().to_vec(),
            changed: room.trouble() == Some(Trouble::Changed),
            verified: room.is_verified(),
            qr: modules(&code),
            depth: Depth::None,
            unicode: false,
        }
    }

    /// As that terminal can show it.
    pub(super) fn on(mut self, caps: Caps) -> Self {
        (self.depth, self.unicode) = (caps.depth, caps.unicode);
        self
    }

    pub(super) fn key(&self, name: &str) -> Step {
        match name {
            "y" | "Y" => Step::Do(Command::Verified(self.room, self.key)),
            "n" | "N" => Step::Do(Command::Doubt(self.room, self.key)),
            "q" => Step::Close,
            _ => Step::Stay,
        }
    }

    pub(super) fn area(&self, screen: Rect) -> (u16, u16) {
        let (columns, rows) = self.qr_size();
        match self.shows_qr(screen) {
            true => (columns + GAP + BESIDE + 4, (rows + 2).max(self.text(BESIDE).len() as u16 + 4)),
            false => {
                let width = 60.min(screen.width.saturating_sub(4));
                let inside = width.saturating_sub(4);
                (60, self.text(inside).len() as u16 + 4)
            }
        }
    }

    pub(super) fn draw(&self, theme: &Theme, screen: Rect, area: Rect, buf: &mut Buffer) {
        let inner = frame(&format!("Safety number with {}", self.name), theme, area, buf);
        let qr = self.shows_qr(screen);
        let (columns, rows) = self.qr_size();
        let mut side = inner;
        if qr {
            let place = Rect { width: columns, height: rows, ..inner };
            self.draw_qr(place, buf);
            side.x += columns + GAP;
            side.width = side.width.saturating_sub(columns + GAP);
        }
        let keys: &[(&str, &str)] = match side.width {
            40.. => &[("y", "they match"), ("n", "they differ"), ("Esc", "later")],
            _ => &[("y", "same"), ("n", "differ")],
        };
        let keys = hint(theme, keys);
        let mut lines: Vec<Line> = self
            .text(side.width)
            .into_iter()
            .map(|(row, role)| Line::styled(row, theme.style(role)))
            .collect();
        // The digits and the keys are what must be there on any screen.
        let height = usize::from(side.height);
        if lines.len() + 2 > height {
            let digits = self.digits(side.width).len();
            lines.truncate(height.saturating_sub(1).max(digits.min(height)));
        }
        if lines.len() + 1 < height {
            lines.push(Line::raw(""));
        }
        lines.truncate(height.saturating_sub(1));
        lines.push(keys);
        Paragraph::new(lines).style(theme.style(Role::Text)).render(side, buf);
    }

    /// What is read, digits first, wrapped to a width.
    fn text(&self, width: u16) -> Vec<(String, Role)> {
        let mut rows: Vec<(String, Role)> =
            self.digits(width).into_iter().map(|row| (row, Role::Accent)).collect();
        let mut say = |said: &str, role| {
            rows.push((String::new(), Role::Text));
            rows.extend(
                text::wrap(said, usize::from(width).max(1))
                    .into_iter()
                    .map(|range| (said[range].to_owned(), role)),
            );
        };
        if self.changed {
            say(
                "This is the number with the NEW key, which you have not accepted. If it matches, the new key is accepted.",
                Role::Warn,
            );
        } else if self.verified {
            say("You have verified this number before.", Role::Good);
        }
        say(
            &format!(
                "{} sees the same digits under /verify if nobody stands between you. Compare them face to face or on \
                 the phone, not in this conversation. A scanned code can be pasted behind /verify.",
                self.name
            ),
            Role::Dim,
        );
        rows
    }

    /// As many groups on a row as fit, in whole rows.
    fn digits(&self, width: u16) -> Vec<String> {
        let fits = |n: usize| n * 6 - 1 <= usize::from(width);
        let per_row = [4, 3, 2].into_iter().find(|n| fits(*n)).unwrap_or(1);
        self.groups.chunks(per_row).map(|row| row.join(" ")).collect()
    }

    /// Half-blocks are needed, and room for all of it beside the digits.
    fn shows_qr(&self, screen: Rect) -> bool {
        let (columns, rows) = self.qr_size();
        let fits = columns + GAP + BESIDE + 8 <= screen.width && rows + 4 <= screen.height;
        self.unicode && !self.qr.is_empty() && fits
    }

    /// Columns and rows, with the quiet zone.
    fn qr_size(&self) -> (u16, u16) {
        let modules = (self.qr.len() + 2 * QUIET) as u16;
        (modules, modules.div_ceil(2))
    }

    fn draw_qr(&self, area: Rect, buf: &mut Buffer) {
        let dark = |x: usize, y: usize| {
            let row = y.checked_sub(QUIET).and_then(|y| self.qr.get(y));
            x.checked_sub(QUIET).and_then(|x| row?.get(x).copied()).unwrap_or(false)
        };
        // Scanners want dark on light, whatever the theme. Without colours a dark screen is assumed.
        let style = match self.depth {
            Depth::None => Style::default(),
            Depth::True => Style::new().fg(Color::Rgb(255, 255, 255)).bg(Color::Rgb(0, 0, 0)),
            _ => Style::new().fg(Color::White).bg(Color::Black),
        };
        for row in 0..area.height {
            for column in 0..area.width {
                let (x, y) = (usize::from(column), usize::from(row) * 2);
                let symbol = match (dark(x, y), dark(x, y + 1)) {
                    (false, false) => "█",
                    (false, true) => "▀",
                    (true, false) => "▄",
                    (true, true) => " ",
                };
                buf.set_string(area.x + column, area.y + row, symbol, style);
            }
        }
    }
}

/// The dark modules of a code; none when it does not fit one.
fn modules(code: &str) -> Vec<Vec<bool>> {
    let Ok(qr) = QrCode::with_error_correction_level(code, EcLevel::L) else { return Vec::new() };
    let dark: Vec<bool> = qr.to_colors().into_iter().map(|module| module == Module::Dark).collect();
    dark.chunks(qr.width()).map(<[bool]>::to_vec).collect()
}

/// Columns between the code and the digits.
const GAP: u16 = 2;
/// Columns of the digits and the words beside the code.
const BESIDE: u16 = 40;
/// Light modules around the code: 4 in the standard; scanners read 2, and rows are dear.
const QUIET: usize = 2;
