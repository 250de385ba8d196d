//! The screens before there is a conversation: first run, unlocking.

use super::composer::{Composer, Edit};
use super::keymap::{self, Action};
use super::strength::{LEAST, RELAY, Strength};
use super::text;
use super::theme::Role;
use crate::chat::wait_in_words;
use crossterm::event::KeyEvent;
use std::fmt;
use std::time::Duration;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::pair::Code;
use unicode_segmentation::UnicodeSegmentation;
use zeroize::{Zeroize, Zeroizing};

pub(super) use draw::dots;
pub use draw::draw_setup;

mod draw;

/// The relay of a new profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayChoice {
    /// This client hosts one.
    Here,
    /// That one.
    Link(RelayLink),
}

impl fmt::Display for RelayChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here => f.write_str("here"),
            Self::Link(link) => write!(f, "{link}"),
        }
    }
}

/// What a key led to.
#[derive(Debug)]
pub enum SetupStep {
    /// More to type.
    Stay,
    /// Leave.
    Quit,
    /// Make a profile.
    Create {
        /// The name that others see.
        name: AccountName,
        /// Seals the profile.
        passphrase: Zeroizing<String>,
        /// Where to.
        relay: RelayChoice,
        /// For signing in on another machine, when one was chosen.
        login: Option<Zeroizing<String>>,
    },
    /// Make a profile of what a password opens.
    SignIn {
        /// The account.
        name: AccountName,
        /// Its login password.
        password: Zeroizing<String>,
        /// Seals the new profile.
        passphrase: Zeroizing<String>,
        /// Where the account is.
        relay: RelayLink,
    },
    /// Become a device of an account, by the code that another device shows, or by one shown here.
    Link {
        /// As typed; without one, a code is shown.
        code: Option<Code>,
        /// Seals the new profile.
        passphrase: Zeroizing<String>,
        /// Where the account is.
        relay: RelayLink,
    },
    /// Open the profile.
    Unlock {
        /// As typed.
        passphrase: Zeroizing<String>,
    },
}

/// First run or unlocking.
pub struct Setup {
    kind: Kind,
    /// Which field the cursor is in.
    at: usize,
    name: Composer,
    relay: Composer,
    code: Composer,
    passphrase: Zeroizing<String>,
    again: Zeroizing<String>,
    password: Zeroizing<String>,
    strength: Strength,
    /// A fair password was asked about once.
    warned: bool,
    said: Option<(String, Role)>,
    busy: bool,
}

enum Kind {
    First,
    SignIn,
    Link,
    Unlock(String),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Name,
    Passphrase,
    Again,
    Relay,
    /// Of the other device; empty to show one here.
    Code,
    /// Of the account; a new one at the first run, which may be left out.
    Password,
}

impl Setup {
    /// A new profile; `relay` stands in its field already: a link, or `here`.
    pub fn first_run(relay: Option<String>) -> Self {
        let mut setup = Self::empty(Kind::First);
        setup.relay.set(relay.unwrap_or_else(|| "here".into()));
        setup
    }

    /// An account that is there, on a machine that has no profile.
    pub fn sign_in(name: Option<&AccountName>, relay: String) -> Self {
        let mut setup = Self::empty(Kind::SignIn);
        setup.relay.set(relay);
        if let Some(name) = name {
            setup.name.set(name.to_string());
        }
        let filled = [setup.relay.is_empty(), setup.name.is_empty()];
        setup.at = filled.iter().position(|empty| *empty).unwrap_or(2);
        setup
    }

    /// A profile that is there.
    pub fn unlock(name: impl Into<String>) -> Self {
        Self::empty(Kind::Unlock(name.into()))
    }

    /// A key press. While it is busy only leaving does anything.
    pub fn key(&mut self, key: KeyEvent) -> SetupStep {
        let name = keymap::chord(key).unwrap_or_default();
        let action = keymap::action(None, key);
        if action == Action::Nothing {
            return SetupStep::Stay;
        }
        if matches!(name.as_str(), "Ctrl+c" | "Esc") || (name == "Ctrl+d" && self.is_empty()) {
            return SetupStep::Quit;
        }
        if self.busy {
            return SetupStep::Stay;
        }
        self.said = None;
        match (name.as_str(), action) {
            ("F2", _) => self.other_way(match self.kind {
                Kind::SignIn => Kind::First,
                _ => Kind::SignIn,
            }),
            ("F3", _) => self.other_way(match self.kind {
                Kind::Link => Kind::First,
                _ => Kind::Link,
            }),
            ("Enter", _) => return self.enter(),
            ("Tab" | "Down", _) => self.at = (self.at + 1) % self.fields().len(),
            ("Shift+Tab" | "Up", _) => self.at = self.at.checked_sub(1).unwrap_or(self.fields().len() - 1),
            (_, Action::Type(c)) => self.type_char(c),
            (_, Action::Edit(Edit::Newline | Edit::Up | Edit::Down)) => {}
            (_, Action::Edit(edit)) => self.edit(edit),
            _ => {}
        }
        SetupStep::Stay
    }

    /// Pasted text: its first line.
    pub fn paste(&mut self, pasted: &str) {
        if !self.busy {
            let first = pasted.trim_start().lines().next().unwrap_or("");
            first.chars().filter(|c| !c.is_control()).take(FIELD_MAX).for_each(|c| self.type_char(c));
        }
    }

    /// It failed; a sentence with the next step. What was typed stays.
    pub fn problem(&mut self, said: String) {
        self.busy = false;
        if matches!(self.kind, Kind::Unlock(_)) {
            self.passphrase.zeroize();
        }
        self.said = Some((text::line(&said), Role::Warn));
    }

    /// Nobody is let in by password for so long; nothing: again from now on. To be told once a second.
    pub fn waits(&mut self, left: Duration) {
        if !matches!(self.kind, Kind::SignIn) {
            return;
        }
        self.busy = false;
        let millis = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
        self.said = Some(match millis {
            0 => ("It may be tried again now: Enter.".into(), Role::Good),
            millis => {
                let wait = wait_in_words(millis);
                (format!("Too many tries with this name or from this network: again in {wait}."), Role::Warn)
            }
        });
    }

    /// It takes a moment.
    pub fn busy(&mut self, said: impl Into<String>) {
        self.busy = true;
        self.said = Some((text::line(&said.into()), Role::Dim));
    }

    fn empty(kind: Kind) -> Self {
        Self {
            kind,
            at: 0,
            name: Composer::default(),
            relay: Composer::default(),
            code: Composer::default(),
            // Room for all of it: growing would leave copies behind.
            passphrase: Zeroizing::new(String::with_capacity(4 * FIELD_MAX)),
            again: Zeroizing::new(String::with_capacity(4 * FIELD_MAX)),
            password: Zeroizing::new(String::with_capacity(4 * FIELD_MAX)),
            strength: Strength::default(),
            warned: false,
            said: None,
            busy: false,
        }
    }

    fn fields(&self) -> &'static [Field] {
        match self.kind {
            Kind::First => &[Field::Name, Field::Passphrase, Field::Again, Field::Relay, Field::Password],
            Kind::SignIn => &[Field::Relay, Field::Name, Field::Password, Field::Passphrase, Field::Again],
            Kind::Link => &[Field::Relay, Field::Passphrase, Field::Again, Field::Code],
            Kind::Unlock(_) => &[Field::Passphrase],
        }
    }

    fn field(&self) -> Field {
        self.fields()[self.at.min(self.fields().len() - 1)]
    }

    fn is_empty(&self) -> bool {
        self.name.is_empty() && self.passphrase.is_empty() && self.again.is_empty()
    }

    fn type_char(&mut self, c: char) {
        match self.field() {
            Field::Name => visible(&mut self.name, c),
            Field::Relay => visible(&mut self.relay, c),
            Field::Code => visible(&mut self.code, c),
            Field::Passphrase => hidden(&mut self.passphrase, c),
            Field::Again => hidden(&mut self.again, c),
            Field::Password => {
                hidden(&mut self.password, c);
                self.rate();
            }
        }
    }

    fn edit(&mut self, edit: Edit) {
        let secret = match self.field() {
            Field::Name => {
                // Taking away and moving always fit.
                let _ = self.name.edit(edit);
                return;
            }
            Field::Relay => {
                let _ = self.relay.edit(edit);
                return;
            }
            Field::Code => {
                let _ = self.code.edit(edit);
                return;
            }
            Field::Passphrase => &mut self.passphrase,
            Field::Again => &mut self.again,
            Field::Password => &mut self.password,
        };
        match edit {
            Edit::Backspace => {
                let end = secret.grapheme_indices(true).next_back().map_or(0, |(i, _)| i);
                secret.truncate(end);
            }
            Edit::KillStart | Edit::KillSpace | Edit::KillWordLeft => secret.zeroize(),
            _ => {}
        }
        self.rate();
    }

    /// Between a new account and one that is there.
    fn other_way(&mut self, kind: Kind) {
        if matches!(self.kind, Kind::Unlock(_)) {
            return;
        }
        self.kind = kind;
        self.at = 0;
        let (here, first) = (self.relay.text() == "here", matches!(self.kind, Kind::First));
        match (here, first) {
            (true, false) => self.relay.set(String::new()),
            (false, true) if self.relay.is_empty() => self.relay.set("here".into()),
            _ => {}
        }
        self.password.zeroize();
        self.rate();
    }

    fn rate(&mut self) {
        if matches!(self.kind, Kind::First) && self.field() == Field::Password {
            self.strength = Strength::of(&self.password, &[self.name.text()]);
            self.warned = false;
        }
    }

    fn enter(&mut self) -> SetupStep {
        if let Kind::Unlock(_) = self.kind {
            if self.passphrase.is_empty() {
                return self.wrong(0, "Type the passphrase of this profile.".into());
            }
            return SetupStep::Unlock { passphrase: self.passphrase.clone() };
        }
        if self.at + 1 < self.fields().len() {
            let problem = self.check(self.field()).err();
            match problem {
                Some(why) => return self.wrong(self.at, why),
                None => self.at += 1,
            }
            return SetupStep::Stay;
        }
        for (i, field) in self.fields().iter().enumerate() {
            if let Err(why) = self.check(*field) {
                return self.wrong(i, why);
            }
        }
        if let (Kind::Link, Ok(RelayChoice::Link(relay))) = (&self.kind, relay(self.relay.text())) {
            let code = Code::parse(self.code.text()).ok();
            return SetupStep::Link { code, passphrase: self.passphrase.clone(), relay };
        }
        let (Ok(name), Ok(relay)) = (AccountName::parse(self.name.text()), relay(self.relay.text())) else {
            return SetupStep::Stay;
        };
        let passphrase = self.passphrase.clone();
        match (&self.kind, relay) {
            (Kind::SignIn, RelayChoice::Link(relay)) => {
                SetupStep::SignIn { name, password: self.password.clone(), passphrase, relay }
            }
            (Kind::SignIn | Kind::Link, _) => SetupStep::Stay,
            (_, relay) => {
                if self.strength.score == LEAST && !self.password.is_empty() && !self.warned {
                    self.warned = true;
                    let why = self.strength.objection(RELAY).unwrap_or_default();
                    return self.wrong(self.at, why);
                }
                let login = Some(self.password.clone()).filter(|password| !password.is_empty());
                SetupStep::Create { name, passphrase, relay, login }
            }
        }
    }

    fn wrong(&mut self, field: usize, why: String) -> SetupStep {
        self.at = field;
        self.said = Some((why, Role::Warn));
        SetupStep::Stay
    }

    fn check(&self, field: Field) -> Result<(), String> {
        match field {
            Field::Name if self.name.text().trim().is_empty() && matches!(self.kind, Kind::SignIn) => {
                Err("Which name do you have at the relay?".into())
            }
            Field::Code if self.code.text().trim().is_empty() => Ok(()),
            Field::Code => Code::parse(self.code.text())
                .map(drop)
                .map_err(|why| format!("That is no code: {why}. Leave it empty to show one here.")),
            Field::Relay if matches!(self.kind, Kind::SignIn | Kind::Link) => {
                match relay(self.relay.text()) {
                    Ok(RelayChoice::Link(_)) => Ok(()),
                    Ok(RelayChoice::Here) | Err(_) if self.relay.text().trim().len() < 10 => {
                        Err("Paste the link of the relay where your account is (subrosa://…).".into())
                    }
                    other => other.map(drop),
                }
            }
            Field::Password if matches!(self.kind, Kind::SignIn) && self.password.is_empty() => {
                Err("Type the login password of your account.".into())
            }
            Field::Password if matches!(self.kind, Kind::First) && !self.password.is_empty() => {
                match self.strength.objection(RELAY) {
                    Some(why) if self.strength.score < LEAST => Err(why),
                    _ => Ok(()),
                }
            }
            Field::Name if self.name.text().trim().is_empty() => Err("Choose a name; others see it.".into()),
            Field::Name => AccountName::parse(self.name.text()).map(drop).map_err(|_| {
                "A name has 1 to 32 of a-z, 0-9, '.', '_' and '-', and starts with a letter or digit.".into()
            }),
            Field::Passphrase if self.passphrase.chars().count() < PASSPHRASE_MIN => {
                Err(format!("A passphrase has at least {PASSPHRASE_MIN} characters. Several words are good."))
            }
            Field::Again if *self.again != *self.passphrase => {
                Err("The two passphrases differ. Type the second one again (Ctrl+u empties it).".into())
            }
            Field::Relay => relay(self.relay.text()).map(drop),
            _ => Ok(()),
        }
    }
}

/// A link, or `here`.
///
/// # Errors
/// A sentence with the next step.
pub(crate) fn relay(text: &str) -> Result<RelayChoice, String> {
    match text.trim() {
        "" => Err("Paste the link of a relay (subrosa://…), or type here to host one.".into()),
        "here" | "Here" | "HERE" => Ok(RelayChoice::Here),
        text => text.parse().map(RelayChoice::Link).map_err(|why: subrosa_shared::protocol::link::Error| {
            let why = why.to_string();
            format!("{}{}. Or type here to host one.", why[..1].to_uppercase(), &why[1..])
        }),
    }
}

fn visible(field: &mut Composer, c: char) {
    if field.text().len() < FIELD_MAX {
        // Far below the size of a message.
        let _ = field.type_char(c);
    }
}

pub(super) fn hidden(field: &mut Zeroizing<String>, c: char) {
    // Within its capacity, so that nothing is copied.
    if field.len() + c.len_utf8() <= field.capacity() && field.chars().count() < FIELD_MAX {
        field.push(c);
    }
}

/// Shortest passphrase.
const PASSPHRASE_MIN: usize = 8;
/// Longest input of a field, in characters; a relay link has at most 400 bytes.
pub(super) const FIELD_MAX: usize = 400;

#[cfg(test)]
mod tests;
