//! The head of a conversation, the status line, the key hints.

use super::dialog::hint;
use super::search::percent;
use super::text;
use super::theme::{Role, Theme};
use super::view::Screen;
use crate::chat::call::CallState;
use crate::chat::expiry::span;
use crate::chat::groups::Group;
use crate::chat::person::Trouble;
use crate::chat::room::Room;
use crate::chat::{Link, counted};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use subrosa_shared::content::own::Level;

/// Who this is, whether they are here, how it is protected.
pub fn head(screen: &Screen, area: Rect, buf: &mut Buffer) {
    let (chat, theme) = (screen.chat, &screen.ui.theme);
    let mut spans = vec![Span::raw(" ")];
    match chat.current() {
        Some(room) => {
            spans.push(Span::styled(text::line(&room.full_name()), theme.style(Role::Them)));
            if room.is_verified() {
                spans.push(Span::styled(" ◆ verified", theme.style(Role::Good)));
            }
            if let Some((name, other)) = &room.portrait.clash {
                let said = format!(" ≈ calls themselves {name}, like {other}");
                spans.push(Span::styled(said, theme.style(Role::Warn)));
            }
            if let Some(group) = &room.group {
                spans.extend(several(room, group, theme));
                return Line::from(spans).render(area, buf);
            }
            let (dot, here, role) =
                if room.online { ("●", "online", Role::Good) } else { ("○", "away", Role::Dim) };
            spans.push(Span::styled(format!("  {dot} {here}"), theme.style(role)));
            let (lock, role) = if room.person.blocked {
                ("blocked", Role::Warn)
            } else if room.person.is_request() {
                ("a stranger's request", Role::Warn)
            } else if room.trouble() == Some(Trouble::Forked) {
                ("OTHER DEVICES: /trust", Role::Alarm)
            } else if room.kept.changed.is_some() {
                ("KEY CHANGED: /verify, /trust, /distrust", Role::Alarm)
            } else if room.trouble().is_some() {
                ("NUMBERS DIFFER: /verify", Role::Alarm)
            } else if room.kept.peer.is_some() {
                ("end-to-end encrypted", Role::Good)
            } else {
                ("waiting for their keys", Role::Dim)
            };
            spans.push(Span::styled("  ", theme.style(Role::Dim)));
            spans.push(Span::styled(lock, theme.style(role)));
            if room.timeline.timer() > 0 {
                let after = format!("  disappears after {}", span(room.timeline.timer()));
                spans.push(Span::styled(after, theme.style(Role::Dim)));
            }
            spans.extend(muted(room, theme));
            if !room.portrait.status().is_empty() {
                let said = format!("  «{}»", room.portrait.status());
                spans.push(Span::styled(said, theme.style(Role::Dim)));
            }
        }
        None => spans.push(Span::styled("subrosa", theme.style(Role::Accent))),
    }
    Line::from(spans).render(area, buf);
}

/// What a room of several is about, how many are in, how it is protected.
fn several(room: &Room, group: &Group, theme: &Theme) -> Vec<Span<'static>> {
    let count = format!("  {}", counted(group.people() as u64, "person", "people"));
    let mut spans = vec![Span::styled(count, theme.style(Role::Dim))];
    let (said, role) = if room.person.is_request() {
        ("an invitation: /accept or /decline", Role::Warn)
    } else if group.log.state().deleted {
        ("deleted", Role::Warn)
    } else if !group.is_open() {
        ("you are not in it any more", Role::Warn)
    } else {
        ("end-to-end encrypted", Role::Good)
    };
    spans.push(Span::styled(format!("  {said}"), theme.style(role)));
    if group.pending() > 0 {
        spans.push(Span::styled("  a change waits", theme.style(Role::Warn)));
    }
    if room.timeline.timer() > 0 {
        let after = format!("  disappears after {}", span(room.timeline.timer()));
        spans.push(Span::styled(after, theme.style(Role::Dim)));
    }
    spans.extend(muted(room, theme));
    if !group.topic().is_empty() {
        spans.push(Span::styled(format!("  {}", group.topic()), theme.style(Role::Text)));
    }
    spans
}

/// What does not ring.
fn muted(room: &Room, theme: &Theme) -> Option<Span<'static>> {
    let said = match room.attention.rings.level {
        Level::All => return None,
        Level::Mentions => "  muted but mentions",
        Level::None => "  muted",
    };
    Some(Span::styled(said, theme.style(Role::Dim)))
}

/// The connection and what must not be missed.
pub fn bar(screen: &Screen, area: Rect, buf: &mut Buffer) {
    let (chat, theme) = (screen.chat, &screen.ui.theme);
    let base = theme.style(Role::Bar);
    buf.set_string(area.x, area.y, " ".repeat(usize::from(area.width)), base);
    if let Some(why) = &chat.stuck {
        let why = format!(" NOTHING IS SENT: {} ", text::line(why));
        let style = theme.style(Role::Alarm);
        buf.set_stringn(area.x, area.y, text::fit(&why, area.width.into()), area.width.into(), style);
        return;
    }
    let on = |role| ratatui::style::Style { bg: base.bg, ..theme.style(role) };
    let mut spans = vec![Span::raw(" ")];
    match &chat.link {
        Link::Online => spans.push(Span::styled("● online", on(Role::Good))),
        Link::Connecting => spans.push(Span::styled("◌ connecting", on(Role::Warn))),
        Link::LoggingIn => spans.push(Span::styled("◌ logging in", on(Role::Warn))),
        Link::Offline { why } => {
            spans.push(Span::styled("○ offline", on(Role::Warn)));
            spans.push(Span::styled(format!(": {}", text::line(why)), base));
        }
        Link::Refused { why } => spans.push(Span::styled(format!("! {}", text::line(why)), on(Role::Alarm))),
    }
    if chat.hosting {
        spans.push(Span::styled("  hosting the relay", base));
    }
    if chat.waiting > 0 {
        spans.push(Span::styled(format!("  {} waiting", chat.waiting), on(Role::Warn)));
    }
    if let Some((done, total)) = chat.indexing {
        let said = format!("  indexing old messages {} %", percent(done, total));
        spans.push(Span::styled(said, base));
    }
    let elsewhere = chat.rooms.iter().filter(|r| Some(r.id) != chat.open && r.person.is_contact());
    let elsewhere: u32 = elsewhere.map(|r| r.kept.unread).sum();
    if elsewhere > 0 {
        spans.push(Span::styled(format!("  {elsewhere} unread"), on(Role::Unread)));
    }
    let line = Line::from(spans);
    let used = line.width() as u16;
    line.render(area, buf);
    let right = text::truncate(chat.name.as_str(), 32);
    let columns = text::width(&right) as u16;
    if used + columns + 3 < area.width {
        buf.set_string(area.right() - columns - 1, area.y, right, base);
    }
}

/// The keys that matter now.
pub fn hints(screen: &Screen, area: Rect, buf: &mut Buffer) {
    let chat = screen.chat;
    let mut keys: Vec<(&str, &str)> = Vec::new();
    match chat.call.as_ref().map(|call| call.state) {
        Some(CallState::Ringing) => keys.extend([("F2", "answer"), ("F3", "decline")]),
        Some(CallState::Calling) => keys.push(("F3", "give up")),
        Some(CallState::Active) => keys.extend([("F3", "hang up"), ("F4", "camera"), ("F6", "own picture")]),
        None => {}
    }
    if chat.unread() > 0 {
        keys.push(("Alt+a", "next unread"));
    }
    keys.extend([("Ctrl+k", "go to"), ("/", "commands"), ("F1", "help")]);
    if chat.call.is_none() {
        keys.extend([("/video", "call"), ("Alt+Enter", "new line")]);
    }
    keys.extend([("PgUp", "scroll"), ("Alt+h", "hide this")]);
    // Only whole hints.
    let mut used = 1;
    let fitting = keys
        .iter()
        .take_while(|(key, what)| {
            used += text::width(key) + text::width(what) + 4;
            used <= usize::from(area.width) + 3
        })
        .count();
    let inner = Rect { x: area.x + 1.min(area.width), width: area.width.saturating_sub(1), ..area };
    hint(&screen.ui.theme, &keys[..fitting]).render(inner, buf);
}
