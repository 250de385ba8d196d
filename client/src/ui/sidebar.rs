//! The list of conversations.

use super::text;
use super::theme::Role;
use super::view::Screen;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Draws the conversations, with the open one in sight.
pub fn draw(screen: &Screen, area: Rect, buf: &mut Buffer) {
    let (chat, theme) = (screen.chat, &screen.ui.theme);
    if area.is_empty() {
        return;
    }
    // The rule to the right belongs to the sidebar.
    for y in area.top()..area.bottom() {
        buf.set_string(area.right() - 1, y, "│", theme.style(Role::Rule));
    }
    let width = usize::from(area.width.saturating_sub(1));
    let me = text::truncate(chat.name.as_str(), width.saturating_sub(2));
    buf.set_string(area.x + 1, area.y, me, theme.style(Role::Me));
    let height = usize::from(area.height.saturating_sub(1));
    for (i, room) in chat.rooms.iter().enumerate().skip(first(screen, height)).take(height) {
        let y = area.y + 1 + (i - first(screen, height)) as u16;
        let open = chat.open == Some(room.id);
        let number = if i < 9 { char::from(b'1' + i as u8) } else { ' ' };
        let in_call = chat.call.as_ref().is_some_and(|call| call.room == room.id);
        let (dot, dot_role) = match &room.group {
            Some(_) => ("≡", Role::Dim),
            None if room.online => ("●", Role::Good),
            None => ("○", Role::Dim),
        };
        let mut right = String::new();
        if chat.typing(room, screen.now.mono) {
            right.push('…');
        }
        if screen.ui.has_draft(room.id) && !open {
            right.push('✎');
        }
        if room.is_verified() {
            right.push('◆');
        }
        if room.portrait.clash.is_some() {
            right.push('≈');
        }
        if room.trouble().is_some() && !room.person.blocked {
            right.push('!');
        }
        if room.person.blocked {
            right.push_str(" blocked");
        } else if room.person.is_request() {
            right.push_str(if room.group.is_some() { " invited" } else { " request" });
        }
        if in_call {
            right.push('▶');
        }
        if room.kept.muted {
            right.push('×');
        }
        if room.kept.unread > 0 {
            right.push_str(&format!(" {}", room.kept.unread.min(9999)));
        }
        let right = right.trim_start().to_owned();
        let name_width = width.saturating_sub(text::width(&right) + 6);
        let name = text::fit(room.name(), name_width);
        let base = if open { theme.style(Role::Chosen) } else { theme.style(Role::Text) };
        buf.set_string(area.x, y, " ".repeat(width), base);
        let over = |role| if open { base.patch(foreground(theme.style(role))) } else { theme.style(role) };
        let loud = room.kept.unread > 0 && !room.kept.muted && room.person.is_contact();
        let name_role = match (open, loud, room.online) {
            (_, true, _) => over(Role::Unread),
            (true, ..) => base,
            (_, _, true) => theme.style(Role::Text),
            _ => theme.style(Role::Dim),
        };
        let cells = [
            (0, number.to_string(), over(Role::Dim)),
            (2, dot.to_owned(), over(dot_role)),
            (4, name, name_role),
            (width.saturating_sub(text::width(&right) + 1), right.clone(), over(mark(room, &right))),
        ];
        for (x, part, style) in cells {
            let left = width.saturating_sub(x);
            buf.set_stringn(area.x + x as u16, y, part, left, style);
        }
    }
}

/// The conversation on that row of the sidebar.
pub fn at(screen: &Screen, area: Rect, y: u16) -> Option<usize> {
    let row = usize::from(y.checked_sub(area.y + 1)?);
    let height = usize::from(area.height.saturating_sub(1));
    let index = first(screen, height) + row;
    (row < height && index < screen.chat.rooms.len()).then_some(index)
}

fn first(screen: &Screen, height: usize) -> usize {
    let chat = screen.chat;
    let open = chat.rooms.iter().position(|room| Some(room.id) == chat.open).unwrap_or(0);
    // One row of room below the open one where there is some.
    let last = chat.rooms.len().saturating_sub(height);
    (open + 2).saturating_sub(height).min(last)
}

fn mark(room: &crate::chat::room::Room, right: &str) -> Role {
    if room.trouble().is_some() {
        Role::Warn
    } else if !room.person.is_contact() {
        Role::Dim
    } else if room.kept.unread > 0 && !room.kept.muted {
        Role::Unread
    } else if right.is_empty() {
        Role::Dim
    } else {
        Role::Accent
    }
}

/// The foreground and attributes of a style alone.
fn foreground(style: ratatui::style::Style) -> ratatui::style::Style {
    ratatui::style::Style { bg: None, ..style }
}
