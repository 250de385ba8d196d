//! Drawing the screens before there is a conversation.

use super::{Field, Kind, PASSPHRASE_MIN, Setup};
use crate::ui::composer::Composer;
use crate::ui::dialog::{frame, hint};
use crate::ui::text;
use crate::ui::theme::{Role, Theme};
use ratatui::layout::Rect;
use unicode_segmentation::UnicodeSegmentation;
use zeroize::Zeroize;

/// Draws it.
pub fn draw_setup(setup: &Setup, theme: &Theme, frame_: &mut ratatui::Frame) {
    let screen = frame_.area();
    let buf = frame_.buffer_mut();
    buf.set_style(screen, theme.style(Role::Text));
    let rows = setup.fields().len() as u16 * 2 + 6;
    let width = if screen.width < 40 { screen.width } else { (screen.width - 4).min(72) };
    let height = if screen.height < rows { screen.height } else { rows };
    let (x, y) = (screen.x + (screen.width - width) / 2, screen.y + (screen.height - height) / 2);
    let inner = frame("subrosa", theme, Rect { x, y, width, height }, buf);
    let columns = usize::from(inner.width);
    if inner.is_empty() {
        return;
    }
    let mut lines: Vec<(String, Role)> = Vec::new();
    // On a low screen the fields come before the words about them.
    let roomy = inner.height >= rows - 2;
    if roomy {
        let intro = match &setup.kind {
            Kind::First => "Private chat and video. Nothing leaves this machine unsealed.".to_owned(),
            Kind::SignIn => "Sign in with your password. The relay never sees it.".to_owned(),
            Kind::Link => "Make this machine a device of your account, by a short code.".to_owned(),
            Kind::Unlock(name) => format!("Welcome back, {}.", text::line(name)),
        };
        lines.push((text::truncate(&intro, columns), Role::Dim));
        lines.push((String::new(), Role::Dim));
    }
    let top = inner.y + lines.len() as u16;
    for (y, (line, role)) in (inner.top()..inner.bottom()).zip(&lines) {
        buf.set_string(inner.x, y, line, theme.style(*role));
    }
    let step = if roomy { 2 } else { 1 };
    // The field with the cursor is always in sight.
    let fit = (usize::from(inner.bottom().saturating_sub(top)) / step).max(1);
    let skip = (setup.at + 1).saturating_sub(fit.saturating_sub(usize::from(!roomy)).max(1));
    let mut cursor = None;
    let mut y = top;
    for (i, field) in setup.fields().iter().enumerate().skip(skip) {
        if y >= inner.bottom() {
            break;
        }
        let here = i == setup.at;
        let label = match field {
            Field::Password => "Password",
            Field::Name => "Name",
            Field::Passphrase => "Passphrase",
            Field::Again => "Once more",
            Field::Relay => "Relay",
            Field::Code => "Code",
        };
        let (label, left) = if columns < 30 { (String::new(), 0) } else { (text::fit(label, 12), 12) };
        buf.set_string(inner.x, y, label, theme.style(if here { Role::Accent } else { Role::Dim }));
        let most = columns.saturating_sub(left + 1);
        let (shown, column) = match field {
            Field::Name => scrolled(&setup.name, most),
            Field::Relay => scrolled(&setup.relay, most),
            Field::Code => scrolled(&setup.code, most),
            Field::Passphrase => dots(&setup.passphrase, most),
            Field::Again => dots(&setup.again, most),
            Field::Password => dots(&setup.password, most),
        };
        buf.set_stringn(inner.x + left as u16, y, &shown, most, theme.style(Role::Text));
        let bar = setup.strength.bar().0;
        let note = match field {
            Field::Passphrase if !matches!(setup.kind, Kind::Unlock(_)) => strength(&setup.passphrase),
            Field::Password if matches!(setup.kind, Kind::First) && setup.password.is_empty() => {
                "to sign in on other machines; may stay empty"
            }
            Field::Password if matches!(setup.kind, Kind::First) => bar.as_str(),
            Field::Relay if setup.relay.is_empty() && matches!(setup.kind, Kind::SignIn | Kind::Link) => {
                "subrosa://…"
            }
            Field::Code if setup.code.is_empty() => "of /devices link; empty: one is shown here",
            Field::Relay if setup.relay.text().trim() == "here" => "this client hosts one",
            Field::Relay if setup.relay.is_empty() => "here, or subrosa://…",
            _ => "",
        };
        let free = most.saturating_sub(text::width(&shown) + 2);
        if text::width(note) <= free {
            let x = inner.x + (left + text::width(&shown) + 2) as u16;
            buf.set_stringn(x, y, note, free, theme.style(Role::Dim));
        }
        if here && !setup.busy {
            cursor = Some((inner.x + (left + column).min(columns.saturating_sub(1)) as u16, y));
        }
        y += step as u16;
    }
    let keys = match setup.kind {
        Kind::First => {
            [("Enter", "next"), ("F2", "I have a password"), ("F3", "link this machine"), ("Esc", "leave")]
                .as_slice()
        }
        Kind::Link => {
            [("Enter", "next"), ("F2", "by password"), ("F3", "new account"), ("Esc", "leave")].as_slice()
        }
        Kind::SignIn => {
            [("Enter", "next"), ("Tab", "other field"), ("F2", "new account"), ("Esc", "leave")].as_slice()
        }
        Kind::Unlock(_) => [("Enter", "open"), ("Esc", "leave")].as_slice(),
    };
    if let Some((said, role)) = &setup.said {
        let ranges = text::wrap(said, columns);
        let from =
            inner.bottom().saturating_sub(ranges.len() as u16).max(y.min(inner.bottom().saturating_sub(1)));
        for (y, range) in (from..inner.bottom()).zip(ranges) {
            buf.set_string(inner.x, y, " ".repeat(columns), theme.style(Role::Text));
            buf.set_stringn(inner.x, y, &said[range], columns, theme.style(*role));
        }
        cursor = cursor.filter(|(_, y)| *y < from);
    } else if y < inner.bottom() {
        buf.set_line(inner.x, inner.bottom() - 1, &hint(theme, keys), inner.width);
    }
    if let Some(at) = cursor.filter(|at| screen.contains((*at).into())) {
        frame_.set_cursor_position(at);
    }
}

/// The part of a field around its cursor, and the cursor's column in it.
fn scrolled(field: &Composer, columns: usize) -> (String, usize) {
    let before = text::line(&field.text()[..field.cursor()]);
    let after = text::line(&field.text()[field.cursor()..]);
    let mut before: Vec<&str> = before.graphemes(true).collect();
    let mut used: usize = before.iter().map(|g| text::grapheme_width(g)).sum();
    let mut from = 0;
    while used > columns {
        used -= text::grapheme_width(before[from]);
        from += 1;
    }
    before.drain(..from);
    (before.concat() + &after, used)
}

/// As many dots as there are characters, so far as they fit.
pub(in crate::ui) fn dots(secret: &str, columns: usize) -> (String, usize) {
    let count = secret.graphemes(true).count().min(columns);
    ("•".repeat(count), count)
}

/// A rough word on a passphrase: how many guesses its length and variety cost at least.
pub(super) fn strength(passphrase: &str) -> &'static str {
    let count = passphrase.chars().count();
    let kinds: [fn(char) -> bool; 4] =
        [char::is_lowercase, char::is_uppercase, char::is_numeric, |c| !c.is_alphanumeric()];
    let variety = kinds.into_iter().filter(|kind| passphrase.chars().any(kind)).count();
    let mut letters: Vec<char> = passphrase.chars().collect();
    letters.sort_unstable();
    letters.dedup();
    let different = letters.len();
    letters.zeroize();
    match (count, count + 3 * variety) {
        (0, _) => "",
        (n, _) if n < PASSPHRASE_MIN => "too short",
        _ if different < 5 => "weak",
        (_, ..18) => "weak",
        (_, 18..25) => "fair",
        _ => "good",
    }
}
