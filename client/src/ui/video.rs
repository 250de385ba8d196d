//! The live picture beside or above the conversation.

use super::text;
use super::theme::Role;
use super::view::{Pictures, Screen};
use crate::chat::call::{Call, CallState};
use crate::term::{Cells, Depth};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use subrosa_shared::video::picture::Picture;

/// Draws the call.
pub fn draw(screen: &Screen, call: &Call, pictures: &Pictures, area: Rect, buf: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let theme = &screen.ui.theme;
    caption(screen, call, Rect { height: 1, ..area }, buf);
    let area = Rect { y: area.y + 1, height: area.height - 1, ..area };
    let who = screen.chat.room(call.room).map_or("", |room| room.name());
    let waits = match call.state {
        CallState::Ringing => Some((format!("{who} is calling"), "F2 answers, F3 declines")),
        CallState::Calling => Some((format!("calling {who}"), "F3 gives up")),
        CallState::Active if call.lost.is_some() => {
            Some(("their picture broke off".into(), "waiting for it"))
        }
        CallState::Active if call.their_pause => Some((format!("{who}'s camera is off"), "")),
        CallState::Active if pictures.theirs.is_none() => Some(("waiting for the first picture".into(), "")),
        CallState::Active => None,
    };
    match (&waits, pictures.theirs) {
        (None, Some(picture)) => paint(screen, picture, area, buf),
        (Some((what, keys)), _) => {
            let rows = [(what.as_str(), Role::Accent), (*keys, Role::Dim)];
            let top = area.y + (area.height / 2).saturating_sub(1);
            for (i, (row, role)) in rows.into_iter().enumerate() {
                let row = text::truncate(row, area.width.into());
                let x = area.x + (area.width - text::width(&row) as u16) / 2;
                if top + (i as u16) < area.bottom() {
                    buf.set_string(x, top + i as u16, row, theme.style(role));
                }
            }
        }
        (None, None) => {}
    }
    // Alone the own picture may be larger; beside theirs it stands in a corner.
    if let Some(own) =
        pictures.own.filter(|_| !call.own_hidden && !call.paused && call.state != CallState::Ringing)
    {
        let (width, height) = ((area.width / 4).clamp(8, 24), (area.height / 3).clamp(3, 8));
        if area.width >= 32 && area.height >= 8 {
            let corner = Rect { x: area.right() - width, y: area.bottom() - height, width, height };
            paint(screen, own, corner, buf);
        }
    }
}

/// One row for a screen that has no room for a picture, and above the picture.
pub fn caption(screen: &Screen, call: &Call, area: Rect, buf: &mut Buffer) {
    let theme = &screen.ui.theme;
    let who = screen.chat.room(call.room).map_or("", |room| room.name());
    let mut spans = vec![
        Span::styled(" ▶ ", theme.style(Role::Accent)),
        Span::styled(who.to_owned(), theme.style(Role::Them)),
    ];
    let mut say = |what: String, role| spans.push(Span::styled(format!("  {what}"), theme.style(role)));
    match call.state {
        CallState::Ringing => say("is calling: F2 answer, F3 decline".into(), Role::Unread),
        CallState::Calling => say("ringing: F3 gives up".into(), Role::Warn),
        CallState::Active => {
            let stats = call.stats;
            let loss = if stats.loss.is_finite() { stats.loss.clamp(0.0, 1.0) * 100.0 } else { 0.0 };
            say(format!("{:.0} fps", stats.fps.clamp(0.0, 999.0)), Role::Dim);
            say(format!("{:.0} kbit/s", stats.kbps.clamp(0.0, 99_999.0)), Role::Dim);
            say(format!("{loss:.0}% lost"), if loss >= 5.0 { Role::Warn } else { Role::Dim });
        }
    }
    if call.paused {
        say("own camera off".into(), Role::Warn);
    }
    Line::from(spans).render(area, buf);
}

/// A picture in the middle of an area, as large as fits.
fn paint(screen: &Screen, picture: &Picture, area: Rect, buf: &mut Buffer) {
    let (depth, cells) = (screen.ui.caps.depth, screen.ui.cells());
    let (w, h) = (u32::from(picture.width()) * 2, u32::from(picture.height()));
    let (most_w, most_h) = (u32::from(area.width), u32::from(area.height));
    let (width, height) =
        if most_w * h > most_h * w { (most_h * w / h, most_h) } else { (most_w, most_w * h / w) };
    let (left, top) = ((most_w - width) / 2, (most_h - height) / 2);
    for y in 0..height {
        for x in 0..width {
            let sample =
                |half: u32| rgb(picture, x * w / 2 / width.max(1), (2 * y + half) * h / (2 * height.max(1)));
            let (upper, lower) = (sample(0), sample(1));
            let Some(cell) = buf.cell_mut((area.x + (left + x) as u16, area.y + (top + y) as u16)) else {
                continue;
            };
            cell.reset();
            if cells == Cells::Half && depth == Depth::True {
                cell.set_char('▀')
                    .set_fg(Color::Rgb(upper.0, upper.1, upper.2))
                    .set_bg(Color::Rgb(lower.0, lower.1, lower.2));
            } else {
                let bright = (u32::from(upper.1) + u32::from(lower.1)) / 2;
                cell.set_char(char::from(b" .:-=+*#%@"[(bright as usize * 9) / 255]));
            }
        }
    }
}

fn rgb(picture: &Picture, x: u32, y: u32) -> (u8, u8, u8) {
    let (w, h) = (u32::from(picture.width()), u32::from(picture.height()));
    let (x, y) = (x.min(w - 1), y.min(h - 1));
    let luma = (i32::from(picture.luma[(y * w + x) as usize]) - 16) * 298;
    let at = (y / 2 * w.div_ceil(2) + x / 2) as usize;
    let (cb, cr) = (i32::from(picture.cb[at]) - 128, i32::from(picture.cr[at]) - 128);
    let clamp = |v: i32| ((v + 128) >> 8).clamp(0, 255) as u8;
    (clamp(luma + 409 * cr), clamp(luma - 100 * cb - 208 * cr), clamp(luma + 516 * cb))
}
