//! Dialogs for passwords: a new one for the account or a room, twice, with a word on its strength; one
//! that a room's door asks for.

use super::command::{Command, Secret};
use super::dialog::{Step, frame, hint};
use super::rooms::RoomCommand;
use super::setup::{FIELD_MAX, dots, hidden};
use super::strength::{LEAST, MEMBER, RELAY, Strength};
use super::text;
use super::theme::{Role, Theme};
use crate::chat::Chat;
use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use subrosa_shared::id::RoomId;
use unicode_segmentation::UnicodeSegmentation;
use zeroize::{Zeroize, Zeroizing};

/// The dialog.
pub struct Password {
    of: Of,
    /// What who guesses tries first.
    name: String,
    at: usize,
    passphrase: Zeroizing<String>,
    new: Zeroizing<String>,
    again: Zeroizing<String>,
    strength: Strength,
    said: Option<(String, Role)>,
    /// A fair password was asked about once.
    warned: bool,
}

/// Whose password.
enum Of {
    /// The account's: there is one that is to be changed; the profile's passphrase is asked for first.
    Account { changes: bool, guarded: bool },
    /// A room's, which has one that is to be changed.
    Room { room: RoomId, title: String, changes: bool },
    /// Of the room of this link, because of this.
    Door { link: Secret, why: String },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Passphrase,
    New,
    Again,
    Given,
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Room for all of it: growing would leave copies behind.
fn empty() -> Zeroizing<String> {
    Zeroizing::new(String::with_capacity(4 * FIELD_MAX))
}

impl Password {
    /// For the person of this client.
    pub fn new(chat: &Chat, guarded: bool, changes: bool) -> Self {
        Self::of(Of::Account { changes, guarded }, chat.name.to_string())
    }

    /// For that room.
    pub fn of_room(room: RoomId, title: &str, changes: bool) -> Self {
        Self::of(
            Of::Room { room, title: title.to_owned(), changes },
            title.trim_start_matches('#').to_owned(),
        )
    }

    /// To come in by that link.
    pub fn at_door(link: Secret, why: &str) -> Self {
        Self::of(Of::Door { link, why: text::line(why) }, String::new())
    }

    pub(super) fn is_at_door(&self) -> bool {
        matches!(self.of, Of::Door { .. })
    }

    fn of(of: Of, name: String) -> Self {
        Self {
            of,
            name,
            at: 0,
            passphrase: empty(),
            new: empty(),
            again: empty(),
            strength: Strength::default(),
            said: None,
            warned: false,
        }
    }

    pub(super) fn key(&mut self, key: KeyEvent, name: &str) -> Step {
        match name {
            "Enter" => return self.enter(),
            "Tab" | "Down" => self.at = (self.at + 1) % self.fields().len(),
            "Shift+Tab" | "Up" => self.at = self.at.checked_sub(1).unwrap_or(self.fields().len() - 1),
            "Backspace" | "Ctrl+h" => {
                let field = self.secret();
                let end = field.grapheme_indices(true).next_back().map_or(0, |(at, _)| at);
                field.truncate(end);
                self.changed();
            }
            "Ctrl+u" | "Ctrl+w" => {
                self.secret().zeroize();
                self.changed();
            }
            _ => {
                if let KeyCode::Char(c) = key.code
                    && super::keymap::plain(key.modifiers)
                {
                    hidden(self.secret(), c);
                    self.changed();
                }
            }
        }
        Step::Stay
    }

    pub(super) fn paste(&mut self, pasted: &str) {
        let line = pasted.lines().next().unwrap_or("");
        line.chars().filter(|c| !c.is_control()).take(FIELD_MAX).for_each(|c| hidden(self.secret(), c));
        self.changed();
    }

    pub(super) fn size(&self) -> (u16, u16) {
        (72, 2 * self.fields().len() as u16 + 9)
    }

    pub(super) fn draw(&self, theme: &Theme, area: Rect, buf: &mut Buffer) -> Option<(u16, u16)> {
        let (title, about) = self.title();
        let inner = frame(&title, theme, area, buf);
        let columns = usize::from(inner.width);
        if inner.is_empty() {
            return None;
        }
        let mut y = inner.y;
        let mut say = |left: usize, y: u16, said: &str, role| {
            if y < inner.bottom() {
                let most = columns.saturating_sub(left);
                buf.set_stringn(inner.x + left as u16, y, said, most, theme.style(role));
            }
        };
        if inner.height >= 2 * self.fields().len() as u16 + 6 {
            for range in text::wrap(&about, columns).into_iter().take(2) {
                say(0, y, &about[range], Role::Dim);
                y += 1;
            }
            y += 1;
        }
        let mut cursor = None;
        for (i, field) in self.fields().iter().enumerate() {
            let (label, secret) = match field {
                Field::Passphrase => ("Passphrase of this profile", &self.passphrase),
                Field::New => ("New password", &self.new),
                Field::Again => ("Once more", &self.again),
                Field::Given => ("Its password", &self.new),
            };
            let left = if columns < 44 { 0 } else { 28 };
            let here = i == self.at;
            if left > 0 {
                say(0, y, label, if here { Role::Accent } else { Role::Dim });
            }
            let most = columns.saturating_sub(left + 1);
            let (shown, column) = dots(secret, most);
            say(left, y, &shown, Role::Text);
            if here {
                cursor = Some((inner.x + (left + column).min(columns.saturating_sub(1)) as u16, y));
            }
            y += 1;
            if *field == Field::New && !self.new.is_empty() {
                let (bar, role) = self.strength.bar();
                say(left, y, &bar, role);
            }
            y += 1;
        }
        let (said, role) = match &self.said {
            Some((said, role)) => (said.clone(), *role),
            None if self.fields().contains(&Field::New) && !self.new.is_empty() => {
                (self.strength.line(self.thief()), Role::Dim)
            }
            None => (String::new(), Role::Dim),
        };
        for range in text::wrap(&said, columns) {
            if y + 1 < inner.bottom() {
                say(0, y, &said[range], role);
                y += 1;
            }
        }
        let keys = [("Enter", "next"), ("Tab", "other field"), ("Esc", "leave it")];
        buf.set_line(inner.x, inner.bottom() - 1, &hint(theme, &keys), inner.width);
        cursor.filter(|(_, y)| *y < inner.bottom())
    }

    fn fields(&self) -> &'static [Field] {
        match self.of {
            Of::Account { guarded: true, .. } => &[Field::Passphrase, Field::New, Field::Again],
            Of::Account { .. } | Of::Room { .. } => &[Field::New, Field::Again],
            Of::Door { .. } => &[Field::Given],
        }
    }

    /// Heading, and what is said about it.
    fn title(&self) -> (String, String) {
        match &self.of {
            Of::Account { changes, .. } => (
                if *changes { "Change the login password" } else { "Set a login password" }.into(),
                "With it you sign in on an empty machine. The relay never sees it.".into(),
            ),
            Of::Room { title, changes, .. } => (
                format!("{} for {title}", if *changes { "Another password" } else { "A password" }),
                "Who comes by a link is asked for it. Neither the relay nor who only has the link can try it \
                 more than ten times an hour."
                    .into(),
            ),
            Of::Door { why, .. } => ("Come into a room".into(), why.clone()),
        }
    }

    /// Who could guess without being counted.
    fn thief(&self) -> &'static str {
        match self.of {
            Of::Account { .. } => RELAY,
            Of::Room { .. } | Of::Door { .. } => MEMBER,
        }
    }

    fn secret(&mut self) -> &mut Zeroizing<String> {
        match self.fields()[self.at] {
            Field::Passphrase => &mut self.passphrase,
            Field::New | Field::Given => &mut self.new,
            Field::Again => &mut self.again,
        }
    }

    fn changed(&mut self) {
        self.said = None;
        if self.fields()[self.at] == Field::New {
            self.strength = Strength::of(&self.new, &[&self.name]);
            self.warned = false;
        }
    }

    fn enter(&mut self) -> Step {
        let fields = self.fields();
        let place = |wanted| fields.iter().position(|field| *field == wanted).unwrap_or(0);
        if let Of::Door { link, .. } = &self.of {
            let (link, password) = (link.clone(), Secret(std::mem::replace(&mut self.new, empty())));
            return Step::Do(Command::Room(None, RoomCommand::Join(link, Some(password))));
        }
        if matches!(self.of, Of::Account { guarded: true, .. }) && self.passphrase.is_empty() {
            return self
                .wrong(0, "Type the passphrase that opens this profile: it says that you are its owner.");
        }
        if fields[self.at] == Field::Passphrase {
            self.at = place(Field::New);
            return Step::Stay;
        }
        if self.strength.score < LEAST || (self.strength.score == LEAST && !self.warned) {
            self.warned = self.strength.score == LEAST;
            let why = self.strength.objection(self.thief()).unwrap_or_else(|| "Type a password.".into());
            return self.wrong(place(Field::New), &why);
        }
        if fields[self.at] == Field::New {
            self.at = place(Field::Again);
            return Step::Stay;
        }
        if *self.again != *self.new {
            self.again.zeroize();
            return self.wrong(place(Field::Again), "The two passwords differ. Type the second one again.");
        }
        let password = Secret(std::mem::replace(&mut self.new, empty()));
        if let Of::Room { room, .. } = self.of {
            return Step::Do(Command::Room(Some(room), RoomCommand::SetPassword(password)));
        }
        let passphrase = Secret(std::mem::replace(&mut self.passphrase, empty()));
        Step::Do(Command::SetPassword { passphrase, password })
    }

    fn wrong(&mut self, at: usize, why: &str) -> Step {
        self.at = at;
        self.said = Some((text::line(why), Role::Warn));
        Step::Stay
    }
}
