//! The whole screen, drawn from the state.

use super::theme::Role;
use super::timeline::{Layout, Row, Strip};
use super::{Ui, people, pick, sidebar, status, text, video};
use crate::chat::Chat;
use crate::chat::room::Room;
use crate::media::cells;
use crate::term::Hyperlink;
use ratatui::buffer::{Buffer, CellDiffOption};
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};
use std::sync::Arc;
use subrosa_shared::id::MessageId;
use subrosa_shared::time::Now;
use subrosa_shared::video::picture::Picture;

/// The live pictures there are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pictures<'a> {
    /// The other person's newest.
    pub theirs: Option<&'a Picture>,
    /// The own newest.
    pub own: Option<&'a Picture>,
    /// Someone paints them beside the buffer, whose cells are left alone there: see [`Beside`].
    pub beside: bool,
    /// The same for pictures that stay where they are.
    pub stills: bool,
}

/// A picture that stays where it is, to be shown as an image in these cells.
#[derive(Clone, Debug)]
pub struct Still {
    /// Which.
    pub of: StillId,
    /// Its cells.
    pub at: Rect,
    /// The picture.
    pub picture: Arc<Picture>,
}

/// Which picture that is: the same one looks the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StillId {
    /// The small one of a file.
    Preview(MessageId),
    /// The file's own, looked at by itself.
    Large(MessageId),
}

impl PartialEq for Still {
    fn eq(&self, other: &Self) -> bool {
        (self.of, self.at) == (other.of, other.at)
    }
}

/// What is written beside the buffer, right after a frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beside {
    /// Parts that are links, for [`crate::term::say::hyperlinks`].
    pub links: Vec<Hyperlink>,
    /// Where the other person's picture belongs; painted in the middle, with its aspect.
    pub theirs: Option<Rect>,
    /// Where the own picture belongs, over theirs.
    pub own: Option<Rect>,
    /// What lies over both.
    pub over: Vec<Rect>,
    /// Pictures that stay where they are, with nothing over them.
    pub stills: Vec<Still>,
}

/// What a pane draws from.
#[derive(Clone, Copy)]
pub struct Screen<'a> {
    /// Conversations.
    pub chat: &'a Chat,
    /// The screen's own state.
    pub ui: &'a Ui,
    /// The time.
    pub now: Now,
}

/// Where the panes are; empty ones are not drawn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Panes {
    /// Conversations.
    pub sidebar: Rect,
    /// Whose conversation it is.
    pub head: Rect,
    /// The lines.
    pub timeline: Rect,
    /// The live picture, or its caption when there is one row only.
    pub video: Rect,
    /// What waits for a decision, until it is made.
    pub banner: Rect,
    /// Notice, typing, what is new below.
    pub notice: Rect,
    /// What is being written is about a line: which.
    pub context: Rect,
    /// What is being written, with its prompt.
    pub composer: Rect,
    /// The status line.
    pub bar: Rect,
    /// The key hints.
    pub hints: Rect,
}

/// Draws everything.
pub fn draw(chat: &Chat, ui: &Ui, pictures: &Pictures, now: Now, frame: &mut ratatui::Frame) {
    draw_beside(chat, ui, pictures, now, frame);
}

/// Draws everything and tells what is to be written beside it.
pub fn draw_beside(
    chat: &Chat,
    ui: &Ui,
    pictures: &Pictures,
    now: Now,
    frame: &mut ratatui::Frame,
) -> Beside {
    let screen = Screen { chat, ui, now };
    let area = frame.area();
    let buf = frame.buffer_mut();
    buf.set_style(area, ui.theme.style(Role::Text));
    let panes = panes(&screen, area);
    sidebar::draw(&screen, panes.sidebar, buf);
    if !panes.head.is_empty() {
        status::head(&screen, panes.head, buf);
    }
    let mut beside = Beside::default();
    lines(&screen, panes.timeline, buf, &mut beside);
    if let Some(call) = &chat.call {
        (beside.theirs, beside.own) = video::draw(&screen, call, pictures, panes.video, buf);
    }
    banner(&screen, panes.banner, buf);
    notice(&screen, panes.notice, buf);
    pick::draw(&screen, panes.context, buf);
    let mut cursor = composer(&screen, panes.composer, buf);
    if let Some(rect) = popup(&screen, panes.composer, buf) {
        beside.links.retain(|link| !rect.contains((link.x, link.y).into()));
        beside.stills.retain(|still| !rect.intersects(still.at));
    }
    if !panes.bar.is_empty() {
        status::bar(&screen, panes.bar, buf);
    }
    if !panes.hints.is_empty() {
        status::hints(&screen, panes.hints, buf);
    }
    for dialog in &ui.dialogs {
        cursor = dialog.draw(chat, &ui.theme, ui.noticed(now), area, buf);
        beside.links.clear();
        beside.stills = dialog.still(area).into_iter().collect();
    }
    if !ui.caps.unicode {
        ascii(buf);
        beside.links.clear();
    }
    // Whatever was drawn there since is no longer left alone.
    let places = [(beside.theirs, pictures.theirs), (beside.own, pictures.own)];
    let places = places.into_iter().filter_map(|(area, picture)| Some(cells::fit(picture?, area?)));
    beside.over = places.flat_map(|place| drawn(place.intersection(area), buf)).collect();
    match pictures.stills && ui.caps.unicode {
        true => beside.stills.iter().for_each(|still| leave(still.at, buf)),
        false => beside.stills.clear(),
    }
    if let Some(cursor) = cursor.filter(|at| area.contains((*at).into())) {
        frame.set_cursor_position(cursor);
    }
    beside
}

/// Leaves the cells of an area to whoever paints beside the buffer.
pub(super) fn leave(area: Rect, buf: &mut Buffer) {
    for at in area.intersection(buf.area).positions() {
        buf[at].reset();
        buf[at].set_diff_option(CellDiffOption::Skip);
    }
}

/// The parts of an area that are drawn after all, in rectangles of whole runs.
fn drawn(area: Rect, buf: &Buffer) -> Vec<Rect> {
    let mut found: Vec<Rect> = Vec::new();
    for y in area.top()..area.bottom() {
        let mut x = area.left();
        while x < area.right() {
            let is_drawn = |x| buf[(x, y)].diff_option != CellDiffOption::Skip;
            let count = (x..area.right()).take_while(|x| is_drawn(*x)).count() as u16;
            if count == 0 {
                x += 1;
                continue;
            }
            match found.iter_mut().find(|rect| rect.x == x && rect.width == count && rect.bottom() == y) {
                Some(above) => above.height += 1,
                None => found.push(Rect { x, y, width: count, height: 1 }),
            }
            x += count;
        }
    }
    found
}

/// Divides the screen.
pub fn panes(screen: &Screen, area: Rect) -> Panes {
    let (chat, ui) = (screen.chat, screen.ui);
    let mut panes = Panes::default();
    let mut rest = area;
    let bottom = |rest: &mut Rect, rows: u16| {
        let rows = rows.min(rest.height);
        rest.height -= rows;
        Rect { y: rest.y + rest.height, height: rows, ..*rest }
    };
    if ui.hints && area.height >= 12 {
        panes.hints = bottom(&mut rest, 1);
    }
    if area.height >= 4 || (chat.stuck.is_some() && area.height >= 3) {
        panes.bar = bottom(&mut rest, 1);
    }
    if ui.sidebar && area.width >= SIDEBAR_FROM && !rest.is_empty() {
        let width = ui.sidebar_width.min(area.width / 3);
        panes.sidebar = Rect { width, ..rest };
        rest.x += width;
        rest.width -= width;
    }
    let columns = usize::from(rest.width).saturating_sub(text::width(&prompt(chat).0)).max(1);
    let rows = ui.composer.rows(columns).0.len();
    let most = usize::from(rest.height / 3).max(1);
    panes.composer = bottom(&mut rest, rows.min(most) as u16);
    if rest.height >= 3 && ui.context(chat).is_some() {
        panes.context = bottom(&mut rest, 1);
    }
    if rest.height >= 3 {
        let rows = ui
            .notice_rows(usize::from(rest.width.saturating_sub(2)), screen.now)
            .min(usize::from(rest.height / 3));
        panes.notice = bottom(&mut rest, rows.max(1) as u16);
    }
    if let Some((said, _)) = people::banner(chat).filter(|_| rest.height >= 3) {
        let rows = text::wrap(&said, usize::from(rest.width.saturating_sub(2)).max(1)).len();
        let most = usize::from(rest.height / 2);
        panes.banner = bottom(&mut rest, rows.min(most) as u16);
    }
    if rest.height >= 5 {
        panes.head = Rect { height: 1, ..rest };
        rest.y += 1;
        rest.height -= 1;
    }
    if chat.call.is_some() {
        if rest.height < 9 || rest.width < 20 {
            if rest.height >= 2 {
                panes.video = Rect { height: 1, ..rest };
                rest.y += 1;
                rest.height -= 1;
            }
        } else if rest.width >= BESIDE_FROM {
            // The conversation keeps at least what it needs to be read.
            let width = (rest.width * 11 / 20).min(rest.width - 40);
            panes.video = Rect { x: rest.right() - width, width, ..rest };
            rest.width -= width + 1;
        } else {
            let height = rest.height * 11 / 20;
            panes.video = Rect { height, ..rest };
            rest.y += height;
            rest.height -= height;
        }
    }
    panes.timeline = rest;
    panes
}

/// How the lines of a conversation are laid out.
pub fn layout<'a>(screen: &Screen<'a>, room: &'a Room, width: u16) -> Layout<'a> {
    let ui = screen.ui;
    Layout {
        room,
        lines: screen.chat.shown(room),
        found: ui.walk.as_ref().and(screen.chat.finding.as_ref()).map(|finding| &finding.query),
        me: &screen.chat.name,
        theme: &ui.theme,
        zone: &ui.zone,
        clock_24: ui.clock_24,
        width: usize::from(width),
        transfers: &screen.chat.transfers,
        caps: ui.caps,
        picked: ui.pick.map(|pick| pick.id),
        unicode: ui.caps.unicode,
    }
}

fn lines(screen: &Screen, area: Rect, buf: &mut Buffer, beside: &mut Beside) {
    let theme = &screen.ui.theme;
    if area.is_empty() {
        return;
    }
    let Some(room) = screen.chat.current() else {
        return empty(screen, area, buf);
    };
    let rows = layout(screen, room, area.width).visible(screen.ui.scroll(), usize::from(area.height));
    if rows.is_empty() {
        let hello = format!("This is the beginning of your conversation with {}.", text::line(room.name()));
        let hello = text::truncate(&hello, usize::from(area.width.saturating_sub(2)));
        buf.set_string(area.x + 1.min(area.width - 1), area.bottom() - 1, hello, theme.style(Role::Dim));
    }
    // New lines come in at the bottom, next to the composer.
    let top = area.bottom() - (rows.len() as u16).min(area.height);
    for (y, Row { spans, links, chosen, picture, .. }) in (top..area.bottom()).zip(rows) {
        Line::from(spans).render(Rect { y, height: 1, ..area }, buf);
        if chosen {
            buf.set_style(Rect { y, height: 1, ..area }, theme.style(Role::Chosen));
        }
        // Its last row, and all those above it are in sight too.
        if let Some(Strip { of, picture, left, size: (width, height), .. }) =
            picture.filter(|strip| strip.row + 1 == strip.size.1 && y + 1 >= top + strip.size.1)
        {
            let at = Rect { x: area.x + left, y: y + 1 - height, width, height }.intersection(area);
            if at.width == width {
                beside.stills.push(Still { of: StillId::Preview(of), at, picture });
            }
        }
        for (column, columns, url) in links {
            let (from, to) =
                (area.x as usize + column, (area.x as usize + column + columns).min(area.right().into()));
            let shown = (from..to)
                .filter_map(|x| buf.cell((x as u16, y)))
                .map(|cell| cell.symbol())
                .collect::<Vec<_>>();
            let mut text = String::new();
            let mut skip = 0;
            for symbol in shown {
                // The cell behind a wide character is a filler.
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                skip = text::width(symbol).saturating_sub(1);
                text.push_str(symbol);
            }
            beside.links.push(Hyperlink { x: from as u16, y, text, style: theme.style(Role::Link), url });
        }
    }
}

fn empty(screen: &Screen, area: Rect, buf: &mut Buffer) {
    let theme = &screen.ui.theme;
    let rows: &[(&str, Role)] = if screen.chat.rooms.is_empty() {
        &[
            ("Nobody here yet.", Role::Text),
            ("", Role::Dim),
            ("/add NAME   begins a conversation", Role::Dim),
            ("/link       shows your relay's link", Role::Dim),
            ("F1          lists everything", Role::Dim),
        ]
    } else {
        &[
            ("No conversation is open.", Role::Text),
            ("", Role::Dim),
            ("Ctrl+k      goes to one", Role::Dim),
            ("/add NAME   begins another", Role::Dim),
            ("F1          lists everything", Role::Dim),
        ]
    };
    let width = rows.iter().map(|(row, _)| row.len() as u16).max().unwrap_or(0).min(area.width);
    let height = (rows.len() as u16).min(area.height);
    let (x, y) = (area.x + (area.width - width) / 2, area.y + (area.height - height) / 2);
    for (i, (row, role)) in rows.iter().take(usize::from(height)).enumerate() {
        buf.set_stringn(x, y + i as u16, row, usize::from(width), theme.style(*role));
    }
}

/// What waits for a decision; never scrolls away.
fn banner(screen: &Screen, area: Rect, buf: &mut Buffer) {
    let Some((said, warns)) = people::banner(screen.chat) else { return };
    let role = if warns { Role::Alarm } else { Role::Warn };
    let style = screen.ui.theme.style(role);
    let width = usize::from(area.width.saturating_sub(2));
    buf.set_style(area, style);
    for (y, range) in (area.top()..area.bottom()).zip(text::wrap(&said, width.max(1))) {
        buf.set_stringn(area.x + 1.min(area.width), y, &said[range], width, style);
    }
}

/// What is new below, a notice, or that somebody is typing.
fn notice(screen: &Screen, area: Rect, buf: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let theme = &screen.ui.theme;
    let width = usize::from(area.width.saturating_sub(2));
    if let Some((said, error)) = screen.ui.noticed(screen.now) {
        let style = theme.style(if error { Role::Warn } else { Role::Accent });
        for (y, range) in (area.top()..area.bottom()).zip(text::wrap(said, width)) {
            buf.set_stringn(area.x + 1, y, &said[range], width, style);
        }
        return;
    }
    let Some(room) = screen.chat.current() else { return };
    let new = layout(screen, room, area.width).new_below(screen.ui.scroll());
    if let Some(said) = screen.ui.walks(screen.chat).filter(|_| !screen.chat.typing(room, screen.now.mono)) {
        buf.set_stringn(area.x + 1, area.y, said, width, theme.style(Role::Accent));
    }
    if new > 0 {
        let hint = format!("{new} new ↓");
        let x = area.right().saturating_sub(text::width(&hint) as u16 + 1).max(area.x);
        buf.set_stringn(x, area.y, hint, width, theme.style(Role::Unread));
    } else if screen.ui.scrolled() && screen.ui.walk.is_none() {
        let hint = "↓ End goes to the newest";
        let x = area.right().saturating_sub(text::width(hint) as u16 + 1).max(area.x);
        buf.set_stringn(x, area.y, hint, width, theme.style(Role::Dim));
    }
    if screen.chat.typing(room, screen.now.mono) {
        let who: Vec<&str> = match &room.group {
            Some(group) => group.typing.keys().map(|name| name.as_str()).collect(),
            None => vec![room.name()],
        };
        let typing = match who.as_slice() {
            [one] => format!("{one} is typing…"),
            [one, other] => format!("{one} and {other} are typing…"),
            more => format!("{} people are typing…", more.len()),
        };
        let typing = text::truncate(&typing, width);
        buf.set_string(area.x + 1, area.y, typing, theme.style(Role::Dim));
    }
}

/// The prompt says to whom, and whether their keys are known.
fn prompt(chat: &Chat) -> (String, Role) {
    match chat.current() {
        Some(room) => {
            let name = text::truncate(room.name(), 12);
            if room.trouble().is_some() {
                (format!(" {name} ! "), Role::Alarm)
            } else if !room.person.is_contact() {
                (format!(" {name} ? "), Role::Warn)
            } else if room.kept.peer.is_some() {
                (format!(" {name} › "), Role::Good)
            } else {
                (format!(" {name} … "), Role::Warn)
            }
        }
        None => (" › ".into(), Role::Dim),
    }
}

fn composer(screen: &Screen, area: Rect, buf: &mut Buffer) -> Option<(u16, u16)> {
    if area.is_empty() {
        return None;
    }
    let theme = &screen.ui.theme;
    let (prompt, role) = prompt(screen.chat);
    // On the narrowest screens the text matters more than the prompt.
    let prompt = if area.width < 16 { "›".to_owned() } else { prompt };
    let left = text::width(&prompt) as u16;
    buf.set_stringn(area.x, area.y, &prompt, usize::from(area.width), theme.style(role));
    let columns = area.width.saturating_sub(left).max(1);
    let (rows, (row, column)) = screen.ui.composer.rows(usize::from(columns));
    let height = usize::from(area.height);
    let from = (row + 1).saturating_sub(height);
    for (i, shown) in rows.iter().skip(from).take(height).enumerate() {
        let style = theme.style(Role::Text);
        buf.set_stringn(area.x + left, area.y + i as u16, shown, usize::from(columns), style);
    }
    if screen.ui.composer.is_empty() && screen.chat.open.is_some() {
        let hint = "Write a message, / for commands";
        if usize::from(columns) > hint.len() {
            buf.set_string(area.x + left, area.y, hint, theme.style(Role::Rule));
        }
    }
    Some((area.x + left + column as u16, area.y + (row - from) as u16))
}

/// The choices of Tab and `/`, above the composer.
fn popup(screen: &Screen, composer: Rect, buf: &mut Buffer) -> Option<Rect> {
    let popup = screen.ui.popup.as_ref()?;
    let theme = &screen.ui.theme;
    let most = composer.y.saturating_sub(buf.area.y).min(POPUP_ROWS);
    let rows = (popup.items.len() as u16).min(most);
    if rows == 0 || composer.width < 8 {
        return None;
    }
    let names = popup.items.iter().map(|(name, _)| text::width(name)).max().unwrap_or(0);
    let about = popup.items.iter().map(|(_, about)| text::width(about)).max().unwrap_or(0);
    let width = (names + 4 + about).min(composer.width.into());
    let area = Rect { x: composer.x, y: composer.y - rows, width: width as u16, height: rows };
    Clear.render(area, buf);
    let from = popup.chosen.map_or(0, |chosen| (chosen + 1).saturating_sub(rows.into()));
    for (i, (name, about)) in popup.items.iter().enumerate().skip(from).take(rows.into()) {
        let chosen = popup.chosen == Some(i);
        let style =
            |role| if chosen { theme.style(Role::Chosen) } else { theme.style(role).patch(bar(screen)) };
        let name = text::fit(&format!(" {name}"), (names + 2).min(width));
        let about = text::fit(about, width - text::width(&name));
        let line =
            Line::from(vec![Span::styled(name, style(Role::Text)), Span::styled(about, style(Role::Dim))]);
        line.render(Rect { y: area.y + (i - from) as u16, height: 1, ..area }, buf);
    }
    Some(area)
}

fn bar(screen: &Screen) -> ratatui::style::Style {
    ratatui::style::Style { fg: None, ..screen.ui.theme.style(Role::Bar) }
}

/// For terminals without UTF-8: everything in ASCII, column by column.
fn ascii(buf: &mut Buffer) {
    for cell in &mut buf.content {
        if cell.symbol().is_ascii() {
            continue;
        }
        let plain = match cell.symbol() {
            "─" => "-",
            "│" => "|",
            "╭" | "╮" | "╰" | "╯" | "┌" | "┐" | "└" | "┘" => "+",
            "✓" => "v",
            "◌" => ".",
            "●" | "•" => "*",
            "■" => "#",
            "□" => ".",
            "○" => "o",
            "›" | "▸" | "▶" => ">",
            "↓" => "v",
            "↑" => "^",
            "…" => "~",
            "·" => "-",
            "×" => "x",
            "✎" => "+",
            "◆" => "V",
            "≈" => "~",
            "█" => "#",
            "«" | "»" => "\"",
            wide if text::width(wide) == 2 => "??",
            _ => "?",
        };
        // A cell holds one column; what was wide loses its filler's half.
        cell.set_symbol(if plain == "??" { "?" } else { plain });
    }
}

/// Narrower screens have no sidebar.
const SIDEBAR_FROM: u16 = 60;
/// Narrower conversations have the picture above them.
const BESIDE_FROM: u16 = 84;
const POPUP_ROWS: u16 = 10;
