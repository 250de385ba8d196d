//! The live picture beside or above the conversation.

use super::text;
use super::theme::Role;
use super::view::{self, Pictures, Screen};
use crate::chat::call::{Call, CallState};
use crate::media::cells::{self, Colours, Mode};
use crate::media::ladder::Rung;
use crate::media::meter::Meter;
use crate::term::{Caps, Cells, Depth};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use std::time::Duration;
use subrosa_shared::video::picture::Picture;

/// Draws the call. Gives the places of their picture and of the own one, when those are painted
/// beside the buffer.
pub fn draw(
    screen: &Screen,
    call: &Call,
    pictures: &Pictures,
    area: Rect,
    buf: &mut Buffer,
) -> (Option<Rect>, Option<Rect>) {
    if area.is_empty() {
        return (None, None);
    }
    let (mut theirs, mut mine) = (None, None);
    let theme = &screen.ui.theme;
    caption(screen, call, Rect { height: 1, ..area }, buf);
    let area = Rect { y: area.y + 1, height: area.height - 1, ..area };
    let who = screen.chat.room(call.room).map_or("", |room| room.name());
    let waits = match call.state {
        CallState::Ringing => Some((format!("{who} is calling"), "F2 answers, F3 declines".into())),
        CallState::Calling => Some((format!("calling {who}"), "F3 gives up".into())),
        CallState::Active if call.lost.is_some() => {
            Some(("their picture broke off".into(), "waiting for it".into()))
        }
        CallState::Active if call.level.rung == Rung::Name => {
            Some((who.to_owned(), call.level.said().unwrap_or_default()))
        }
        CallState::Active if call.their_pause => Some((format!("{who}'s camera is off"), String::new())),
        CallState::Active if pictures.theirs.is_none() => {
            Some(("waiting for the first picture".into(), String::new()))
        }
        CallState::Active => {
            let frozen = frozen(screen, call);
            frozen.map(|_| ("their picture stands still".into(), "waiting for another one".into()))
        }
    };
    match (&waits, pictures.theirs) {
        (None, Some(picture)) => {
            theirs = paint(screen, picture, part(area, call.level.size), pictures.beside, buf);
        }
        (Some((what, keys)), _) => {
            let rows = [(what.as_str(), Role::Accent), (keys.as_str(), Role::Dim)];
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
    let shows_own = !call.own_hidden
        && !call.paused
        && call.state != CallState::Ringing
        // Who has little room on the way to the screen sees the other person.
        && call.level.rung < Rung::Smaller;
    if let Some(own) = pictures.own.filter(|_| shows_own) {
        let (width, height) = ((area.width / 4).clamp(8, 24), (area.height / 3).clamp(3, 8));
        if area.width >= 32 && area.height >= 8 {
            let corner = Rect { x: area.right() - width, y: area.bottom() - height, width, height };
            mine = paint(screen, own, corner, pictures.beside, buf);
        }
    }
    (theirs, mine)
}

/// The middle of an area, with so many percent of its cells.
fn part(area: Rect, percent: u8) -> Rect {
    if percent >= 100 {
        return area;
    }
    let side =
        |length: u16| ((f32::from(length) * (f32::from(percent) / 100.0).sqrt()) as u16).max(1).min(length);
    let (width, height) = (side(area.width), side(area.height));
    Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
}

/// For how long no picture came, once the last one is too old to pass for a live one.
fn frozen(screen: &Screen, call: &Call) -> Option<Duration> {
    let since = call.still.filter(|_| !call.their_pause)?;
    let known = screen.now.mono.since(since);
    // The last one came so much earlier.
    (known >= PATIENCE).then_some(known + Meter::WINDOW)
}

/// How long another track may take to bring its first picture.
const PATIENCE: Duration = Duration::from_secs(2);

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
            if let Some((long, short)) = call.level.said().zip(call.level.brief()) {
                let room = usize::from(area.width).saturating_sub(text::width(who) + 5);
                say(if text::width(&long) <= room { long } else { short }, Role::Warn);
                // Narrow places have room for one of both.
                if area.width < 100 {
                    return Line::from(spans).render(area, buf);
                }
            }
            if call.lost.is_some() {
                say("their picture broke off, waiting".into(), Role::Warn);
            } else if let Some(frozen) = frozen(screen, call) {
                say(format!("no new picture for {} s", frozen.as_secs()), Role::Warn);
            } else {
                let stats = call.stats;
                let loss = if stats.loss.is_finite() { stats.loss.clamp(0.0, 1.0) * 100.0 } else { 0.0 };
                say(format!("{:.0} fps", stats.fps.clamp(0.0, 999.0)), Role::Dim);
                say(format!("{:.0} kbit/s", stats.kbps.clamp(0.0, 99_999.0)), Role::Dim);
                say(format!("{loss:.0}% lost"), if loss >= 5.0 { Role::Warn } else { Role::Dim });
            }
        }
    }
    if call.paused {
        say("own camera off".into(), Role::Warn);
    }
    Line::from(spans).render(area, buf);
}

/// A picture in the middle of an area, as large as fits. Gives the area when somebody else paints
/// it.
fn paint(screen: &Screen, picture: &Picture, area: Rect, beside: bool, buf: &mut Buffer) -> Option<Rect> {
    if beside {
        view::leave(cells::fit(picture, area), buf);
        return Some(area);
    }
    let caps = screen.ui.caps;
    let colours = match caps.depth {
        Depth::None => Colours::Mono,
        Depth::Ansi16 => Colours::Sixteen,
        Depth::Ansi256 => Colours::Palette,
        Depth::True => Colours::True,
    };
    cells::draw(picture, area, buf, mode(caps), colours);
    None
}

/// Which characters pictures are made of.
pub fn means(caps: Caps) -> (Mode, Colours) {
    let colours = match caps.depth {
        Depth::None => Colours::Mono,
        Depth::Ansi16 => Colours::Sixteen,
        Depth::Ansi256 => Colours::Palette,
        Depth::True => Colours::True,
    };
    (if caps.unicode { mode(caps) } else { Mode::Ascii }, colours)
}

/// With which characters a picture is drawn.
pub fn mode(caps: Caps) -> Mode {
    match caps.cells {
        Cells::Ascii => Mode::Ascii,
        Cells::Half => Mode::Halves,
        Cells::Quadrant => Mode::Quadrants,
        Cells::Sextant => Mode::Sextants,
        Cells::Octant => Mode::Octants,
        Cells::Braille => Mode::Braille,
    }
}
