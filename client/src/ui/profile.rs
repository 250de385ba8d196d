//! What a person says of themselves, on a sheet of its own: picture or sign, names, status, trust.

use super::command::Command;
use super::dialog::{Step, frame, hint};
use super::text;
use super::theme::{Role, Theme};
use super::video;
use crate::chat::Chat;
use crate::chat::person::Trouble;
use crate::chat::room::Room;
use crate::media::avatar;
use crate::media::cells::{self, Colours, Mode};
use crate::term::Caps;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget};
use sha2::{Digest, Sha256};
use subrosa_shared::video::picture::Picture;

/// The dialog of `/profile` and `/whois`.
#[derive(Debug)]
pub struct Sheet {
    title: String,
    face: Face,
    rows: Vec<(&'static str, String, Role)>,
    /// What has to be said in a sentence.
    said: Vec<(String, Role)>,
    /// Whose own sheet this is can change it.
    own: bool,
    caps: Option<Caps>,
}

#[derive(Debug)]
enum Face {
    Picture(Box<Picture>),
    Sign(Identicon),
    /// Their key is not known yet.
    None,
}

/// The sign that stands for an identity key where there is no picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identicon {
    /// Rows from the top, bits from the left; the right half mirrors the left one.
    rows: [u8; SIDE],
    role: Role,
}

/// Squares of a sign, each way.
const SIDE: usize = 7;

/// Colours of signs: those of the theme that are made to be read on its background.
const ROLES: [Role; 6] = [Role::Accent, Role::Me, Role::Them, Role::Good, Role::Unread, Role::Link];

impl Identicon {
    /// The sign of a key: the same everywhere and for ever.
    pub fn of(identity: &[u8; 32]) -> Self {
        let hash: [u8; 32] =
            Sha256::new().chain_update(b"subrosa sign/1\0").chain_update(identity).finalize().into();
        let mut rows = [0; SIDE];
        for (row, byte) in rows.iter_mut().zip(hash) {
            // Four columns are drawn, the middle one among them; three are mirrored.
            let left = byte >> 4;
            *row = (0..SIDE).filter(|x| left >> (*x).min(SIDE - 1 - *x) & 1 == 1).map(|x| 1 << x).sum();
        }
        Self { rows, role: ROLES[usize::from(hash[SIDE]) % ROLES.len()] }
    }

    fn draw(self, theme: &Theme, area: Rect, buf: &mut Buffer) {
        for (y, row) in (area.y..area.bottom()).zip(self.rows) {
            let squares: String = (0..SIDE).map(|x| if row >> x & 1 == 1 { "██" } else { "  " }).collect();
            buf.set_stringn(area.x, y, squares, area.width.into(), theme.style(self.role));
        }
    }
}

impl Sheet {
    /// What somebody says of themselves, and what is known of them.
    pub fn of(room: &Room) -> Self {
        let portrait = &room.portrait;
        let mut rows =
            vec![("account", room.with().map_or_else(String::new, ToString::to_string), Role::Them)];
        let known = |text: &str| (!text.is_empty()).then(|| text::line(text));
        rows.extend(known(portrait.display_name()).map(|name| ("name", name, Role::Text)));
        rows.extend(room.person.petname.as_deref().and_then(known).map(|name| ("yours", name, Role::Text)));
        rows.extend(known(portrait.status()).map(|status| ("status", status, Role::Text)));
        if let Some(peer) = room.kept.peer {
            rows.push(("device", peer.device().to_string(), Role::Dim));
        }
        let trust = match (room.trouble(), room.is_verified(), room.kept.peer) {
            (Some(Trouble::Changed), ..) => ("key not accepted: /verify, /trust, /distrust", Role::Alarm),
            (Some(_), ..) => ("key not accepted: /verify, /trust", Role::Alarm),
            (None, true, _) => ("verified", Role::Good),
            (None, false, Some(_)) => ("not verified: /verify compares", Role::Dim),
            (None, false, None) => ("not looked up yet", Role::Dim),
        };
        rows.push(("key", trust.0.to_owned(), trust.1));
        rows.extend(room.last_refused().map(|key| ("refused", key.device().to_string(), Role::Dim)));
        let mut said = Vec::new();
        if let Some((name, other)) = &portrait.clash {
            said.push((
                format!(
                    "They call themselves {name}, which would be taken for {other}: so they are shown by their account."
                ),
                Role::Warn,
            ));
        }
        if !room.person.is_contact() {
            let why = if room.person.blocked { "blocked" } else { "a stranger who waits to be let in" };
            said.push((format!("They are {why}, and see nothing of your profile."), Role::Warn));
        } else if portrait.display_name().is_empty()
            && portrait.status().is_empty()
            && portrait.picture.is_none()
        {
            said.push(("They say nothing of themselves. The sign is made of their key.".into(), Role::Dim));
        }
        let face = match (&portrait.picture, room.kept.peer) {
            (Some(picture), _) => Face::Picture(Box::new(picture.clone())),
            (None, Some(peer)) => Face::Sign(Identicon::of(&peer.identity)),
            (None, None) => Face::None,
        };
        Self { title: text::line(&room.full_name()), face, rows, said, own: false, caps: None }
    }

    /// What contacts see of oneself.
    pub fn own(chat: &Chat) -> Self {
        let profile = &chat.profile;
        let or_none = |text: &str, what: &'static str| match text {
            "" => (format!("none: /profile {what} sets it"), Role::Dim),
            text => (text::line(text), Role::Text),
        };
        let (name, name_role) = or_none(&profile.name, "name TEXT");
        let (status, status_role) = or_none(&profile.status, "status TEXT");
        let picture = avatar::decode(&profile.avatar);
        let (drawn, drawn_role) = match &picture {
            Some(_) => {
                (format!("{} bytes: /profile avatar none removes it", profile.avatar.len()), Role::Text)
            }
            None => ("none, a sign of your key: /profile avatar FILE".to_owned(), Role::Dim),
        };
        let rows = vec![
            ("account", chat.name.to_string(), Role::Me),
            ("name", name, name_role),
            ("status", status, status_role),
            ("avatar", drawn, drawn_role),
        ];
        let said = "Goes to your contacts, sealed like messages, and to nobody else: not to the relay, not to \
                    strangers, not to who is blocked.";
        let face = match picture {
            Some(picture) => Face::Picture(Box::new(picture)),
            None => Face::Sign(Identicon::of(&chat.identity)),
        };
        let said = vec![(said.to_owned(), Role::Dim)];
        Self { title: "Your profile".into(), face, rows, said, own: true, caps: None }
    }

    /// As that terminal can show it.
    pub(super) fn on(mut self, caps: Caps) -> Self {
        self.caps = Some(caps);
        self
    }

    pub(super) fn key(&self, name: &str) -> Step {
        match name {
            "n" if self.own => Step::Write("/profile name ".into()),
            "s" if self.own => Step::Write("/profile status ".into()),
            "a" if self.own => Step::Write("/profile avatar ".into()),
            "v" if !self.own => Step::Do(Command::Verify(self.account(), None)),
            "q" | "Enter" => Step::Close,
            _ => Step::Stay,
        }
    }

    pub(super) fn area(&self, screen: Rect) -> (u16, u16) {
        let (columns, rows) = self.face_size();
        let wide = self.is_beside(screen.width.saturating_sub(4));
        let width = WIDTH.min(screen.width.saturating_sub(4));
        let side = if wide { width.saturating_sub(columns + GAP + 4) } else { width.saturating_sub(4) };
        let said = self.lines(side).len() as u16 + 2;
        let height = match (wide, columns) {
            (true, _) => said.max(rows),
            (false, 0) => said,
            (false, _) => said + rows + 1,
        };
        (WIDTH, height + 2)
    }

    pub(super) fn draw(&self, theme: &Theme, area: Rect, buf: &mut Buffer) {
        let inner = frame(&self.title, theme, area, buf);
        let (columns, rows) = self.face_size();
        let mut side = inner;
        let place = Rect { width: columns.min(inner.width), height: rows.min(inner.height), ..inner };
        if self.is_beside(area.width) {
            self.draw_face(theme, place, buf);
            side.x += columns + GAP;
            side.width = side.width.saturating_sub(columns + GAP);
        } else if columns > 0 && inner.height >= rows + 1 + self.lines(inner.width).len() as u16 {
            // A small screen keeps what is to be read.
            self.draw_face(theme, place, buf);
            side.y += rows + 1;
            side.height -= rows + 1;
        }
        let keys: &[(&str, &str)] = match self.own {
            true => &[("n", "name"), ("s", "status"), ("a", "avatar"), ("Esc", "close")],
            false => &[("v", "verify"), ("Esc", "close")],
        };
        let styled = |(label, said, role): (String, String, Role)| {
            Line::from(vec![
                Span::styled(label, theme.style(Role::Dim)),
                Span::styled(said, theme.style(role)),
            ])
        };
        let mut lines: Vec<Line> = self.lines(side.width).into_iter().map(styled).collect();
        let height = usize::from(side.height);
        lines.truncate(height.saturating_sub(1));
        if lines.len() + 1 < height {
            lines.push(Line::raw(""));
        }
        lines.push(hint(theme, keys));
        Paragraph::new(lines).style(theme.style(Role::Text)).render(side, buf);
    }

    fn account(&self) -> Option<subrosa_shared::id::AccountName> {
        self.rows.first().and_then(|(_, name, _)| subrosa_shared::id::AccountName::parse(name).ok())
    }

    /// Label, what it says, and how: wrapped to a width.
    fn lines(&self, width: u16) -> Vec<(String, String, Role)> {
        let width = usize::from(width);
        let mut lines = Vec::new();
        for (label, said, role) in &self.rows {
            for (at, row) in text::wrap(said, width.saturating_sub(LABELS).max(1)).into_iter().enumerate() {
                let label = if at == 0 { *label } else { "" };
                lines.push((text::fit(label, LABELS), said[row].to_owned(), *role));
            }
        }
        for (said, role) in &self.said {
            lines.push((String::new(), String::new(), *role));
            let rows = text::wrap(said, width.max(1)).into_iter();
            lines.extend(rows.map(|row| (String::new(), said[row].to_owned(), *role)));
        }
        lines
    }

    fn draw_face(&self, theme: &Theme, area: Rect, buf: &mut Buffer) {
        match &self.face {
            Face::Picture(picture) => {
                let (mode, colours) = self.means();
                cells::draw(picture, area, buf, mode, colours);
            }
            Face::Sign(sign) => sign.draw(theme, area, buf),
            Face::None => {}
        }
    }

    /// With which characters and colours a picture is drawn.
    fn means(&self) -> (Mode, Colours) {
        self.caps.map_or((Mode::Ascii, Colours::Mono), video::means)
    }

    fn face_size(&self) -> (u16, u16) {
        match self.face {
            Face::Picture(_) => (20, 10),
            Face::Sign(_) => (2 * SIDE as u16, SIDE as u16),
            Face::None => (0, 0),
        }
    }

    fn is_beside(&self, width: u16) -> bool {
        let (columns, _) = self.face_size();
        columns > 0 && width >= columns + GAP + BESIDE + 4
    }
}

/// Columns of the whole sheet, of the labels, between picture and text, and the fewest of text beside a
/// picture.
const WIDTH: u16 = 68;
const LABELS: usize = 9;
const GAP: u16 = 2;
const BESIDE: u16 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_is_symmetric_and_another_for_another_key() {
        let mut signs = std::collections::HashSet::new();
        for key in 0..=255u8 {
            let sign = Identicon::of(&[key; 32]);
            for row in sign.rows {
                assert_eq!(row, row.reverse_bits() >> 1, "mirrored");
            }
            assert_eq!(sign, Identicon::of(&[key; 32]));
            signs.insert(sign.rows);
        }
        assert_eq!(signs.len(), 256);
    }
}
