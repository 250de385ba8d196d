//! The screen of a locked client, which shows nothing of it; and what is asked before it is destroyed.

use super::composer::Edit;
use super::dialog::{Dialog, frame, hint};
use super::keymap::{self, Action};
use super::setup::{FIELD_MAX, dots, hidden};
use super::text;
use super::theme::{Role, Theme};
use crossterm::event::KeyEvent;
use ratatui::layout::Rect;
use std::time::Duration;
use subrosa_shared::id::AccountName;
use unicode_segmentation::UnicodeSegmentation;
use zeroize::{Zeroize, Zeroizing};

/// What a key led to.
#[derive(Debug)]
pub enum LockStep {
    /// More to type.
    Stay,
    /// Leave.
    Quit,
    /// Open it.
    Unlock(Zeroizing<String>),
}

/// The screen of a locked client: neither names nor counts, and no word of what is there.
pub struct LockScreen {
    passphrase: Zeroizing<String>,
    said: Option<(String, Role)>,
    busy: bool,
}

impl Default for LockScreen {
    fn default() -> Self {
        // Room for all of it: growing would leave copies behind.
        Self { passphrase: Zeroizing::new(String::with_capacity(4 * FIELD_MAX)), said: None, busy: false }
    }
}

impl LockScreen {
    /// A key press. While it is busy only leaving does anything.
    pub fn key(&mut self, key: KeyEvent) -> LockStep {
        let name = keymap::chord(key).unwrap_or_default();
        // Without Esc: who presses it to see what happens should not end the client.
        if matches!(name.as_str(), "Ctrl+c" | "Ctrl+q") || (name == "Ctrl+d" && self.passphrase.is_empty()) {
            return LockStep::Quit;
        }
        if self.busy {
            return LockStep::Stay;
        }
        match (name.as_str(), keymap::action(None, key)) {
            ("Enter", _) if !self.passphrase.is_empty() => {
                return LockStep::Unlock(std::mem::take(&mut *self).passphrase);
            }
            ("Esc", _) => self.passphrase.zeroize(),
            (_, Action::Type(c)) => hidden(&mut self.passphrase, c),
            (_, Action::Edit(Edit::Backspace)) => {
                let end = self.passphrase.grapheme_indices(true).next_back().map_or(0, |(i, _)| i);
                self.passphrase.truncate(end);
            }
            (_, Action::Edit(Edit::KillStart | Edit::KillSpace | Edit::KillWordLeft)) => {
                self.passphrase.zeroize();
            }
            _ => {}
        }
        LockStep::Stay
    }

    /// Pasted text: its first line.
    pub fn paste(&mut self, pasted: &str) {
        if !self.busy {
            let first = pasted.trim_start().lines().next().unwrap_or("");
            first.chars().filter(|c| !c.is_control()).for_each(|c| hidden(&mut self.passphrase, c));
        }
    }

    /// It does not open; a sentence with the next step.
    pub fn problem(&mut self, said: &str) {
        (self.busy, self.said) = (false, Some((text::line(said), Role::Warn)));
    }

    /// The next try has to wait so long; one that was given is made then.
    pub fn waits(&mut self, left: Duration, given: bool) {
        let seconds = left.as_millis().div_ceil(1000);
        let try_again = if given { "it is tried" } else { "the next try" };
        self.busy = given;
        self.said = Some((format!("That was not the passphrase: {try_again} in {seconds} s."), Role::Warn));
    }

    /// The wait is over.
    pub fn may_try(&mut self) {
        self.said = Some(("That was not the passphrase; try again.".into(), Role::Warn));
    }

    /// It takes a moment.
    pub fn busy(&mut self) {
        (self.busy, self.said) = (true, Some(("Unlocking…".into(), Role::Dim)));
    }
}

/// Draws it.
pub fn draw_lock(screen: &LockScreen, theme: &Theme, frame_: &mut ratatui::Frame) {
    let area = frame_.area();
    let buf = frame_.buffer_mut();
    buf.set_style(area, theme.style(Role::Text));
    let width = if area.width < 40 { area.width } else { (area.width - 4).min(64) };
    let words = |columns: usize| -> Vec<String> {
        text::wrap(ABOUT, columns).into_iter().map(|range| ABOUT[range].to_owned()).collect()
    };
    let about = words(usize::from(width.saturating_sub(4)));
    let rows = about.len() as u16 + 7;
    let roomy = area.height >= rows;
    let height = if roomy { rows } else { area.height };
    let (x, y) = (area.x + (area.width - width) / 2, area.y + (area.height - height) / 2);
    let inner = frame("subrosa", theme, Rect { x, y, width, height }, buf);
    let columns = usize::from(inner.width);
    if inner.is_empty() {
        return;
    }
    let mut y = inner.y;
    if roomy {
        for line in &about {
            buf.set_stringn(inner.x, y, line, columns, theme.style(Role::Dim));
            y += 1;
        }
        y += 1;
    }
    let label = if columns < 30 { "" } else { "Passphrase  " };
    buf.set_stringn(inner.x, y, label, columns, theme.style(Role::Accent));
    let left = label.len();
    let (shown, column) = dots(&screen.passphrase, columns.saturating_sub(left + 1));
    buf.set_stringn(inner.x + left as u16, y, shown, columns, theme.style(Role::Text));
    let cursor = (inner.x + (left + column).min(columns.saturating_sub(1)) as u16, y);
    let last = inner.bottom() - 1;
    if last > y {
        match &screen.said {
            Some((said, role)) => {
                let ranges = text::wrap(said, columns);
                let from = (inner.bottom().saturating_sub(ranges.len() as u16)).max(y + 1);
                for (y, range) in (from..inner.bottom()).zip(ranges) {
                    buf.set_stringn(inner.x, y, &said[range], columns, theme.style(*role));
                }
            }
            None => {
                buf.set_line(
                    inner.x,
                    last,
                    &hint(theme, &[("Enter", "unlock"), ("Ctrl+c", "leave")]),
                    inner.width,
                );
            }
        }
    }
    if !screen.busy {
        frame_.set_cursor_position(cursor);
    }
}

/// What is asked first before everything is destroyed.
pub fn burn(name: &AccountName, hosting: bool) -> Dialog {
    Dialog::text(
        "Burn everything?",
        format!(
            "This destroys, on this machine and for good: the keys of this account, all conversations, all settings of \
             people.{} No passphrase brings any of it back; an export that you made before does bring the keys back.\n\n\
             It stays what others have: their side of the conversations, copies of this folder in backups, and at the \
             relay the name of the account with what waits there, which nobody can open any more.\n\n\
             To go on, type:  /burn {name}",
            beside(hosting)
        ),
    )
}

/// What is asked second.
pub fn burn_now(name: &AccountName, hosting: bool) -> String {
    format!(
        "Destroy the account '{name}' on this machine now, and end?{} There is no way back.",
        beside(hosting)
    )
}

/// What is asked before what is only in memory goes with it.
pub const UNWRITTEN: &str = "The last changes are not on the disk yet, lines that you wrote among them: they are \
                             lost when this client is left or locked now. Go on and lose them?";

fn beside(hosting: bool) -> &'static str {
    if hosting {
        " The relay that this client hosts goes too, with the accounts of everybody on it."
    } else {
        ""
    }
}

const ABOUT: &str = "Locked. Keys and conversations are out of memory, and the connection is closed: what is \
                     sent to you waits, sealed, at the relay, and comes when you unlock.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::Depth;
    use crossterm::event::{KeyCode, KeyModifiers};
    use insta::assert_snapshot;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn shown(screen: &LockScreen, width: u16, height: u16) -> String {
        let theme = Theme::named("dark", Depth::None).unwrap_or_else(Theme::plain);
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a test terminal is made");
        terminal.draw(|frame| draw_lock(screen, &theme, frame)).expect("a test terminal draws");
        terminal.backend().to_string()
    }

    fn types(screen: &mut LockScreen, text: &str) {
        for c in text.chars() {
            screen.key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE));
        }
    }

    #[test]
    fn a_locked_screen_at_every_size() {
        let mut screen = LockScreen::default();
        assert_snapshot!("locked_wide", shown(&screen, 90, 24));
        types(&mut screen, "correct horse");
        assert_snapshot!("locked_typed", shown(&screen, 60, 16));
        screen.waits(Duration::from_millis(3_200), false);
        assert_snapshot!("locked_waits", shown(&screen, 44, 12));
        assert_snapshot!("locked_small", shown(&screen, 20, 6));
        for (width, height) in [(1, 1), (3, 2), (7, 3), (200, 4), (10, 60)] {
            shown(&screen, width, height);
        }
    }

    #[test]
    fn a_passphrase_is_handed_over_once_and_forgotten_here() {
        let mut screen = LockScreen::default();
        let enter = KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE);
        assert!(matches!(screen.key(enter), LockStep::Stay));
        types(&mut screen, "wrong");
        screen.key(KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL));
        screen.paste("correct horse\nmore");
        match screen.key(enter) {
            LockStep::Unlock(passphrase) => assert_eq!(*passphrase, "correct horse"),
            step => panic!("{step:?}"),
        }
        assert!(screen.passphrase.is_empty());
        assert!(matches!(
            screen.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)),
            LockStep::Quit
        ));
    }
}
