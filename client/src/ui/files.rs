//! The list of files: what is on its way and what was, with what can be done about each.

use super::command::Command;
use super::dialog::{Dialog, Step, frame, hint};
use super::text;
use super::theme::{Role, Theme};
use super::video;
use super::view::{Still, StillId};
use crate::chat::Chat;
use crate::chat::transfer::{Phase, Transfer};
use crate::files::names;
use crate::files::size_in_words;
use crate::media::cells;
use crate::term::Caps;
use crate::ui::command::UiCommand;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget};
use std::path::Path;
use std::sync::Arc;
use subrosa_shared::id::MessageId;
use subrosa_shared::video::picture::Picture;

/// What is done about files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilesCommand {
    /// Show them.
    List,
    /// Halt one.
    Pause(Which),
    /// Go on with one.
    Resume(Which),
    /// Take one back, or do without it.
    Cancel(Which),
    /// Fetch one, into a folder.
    Save(Which, Option<String>),
    /// Show the picture that one is.
    View(Which),
    /// A text that may be the path of a file was pasted.
    Dropped(String),
}

/// Which file is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The newest with which that can be done.
    Newest,
    /// The one of that number in the list, from 1.
    Nth(usize),
    /// The one of that message.
    Of(MessageId),
}

/// Reads what follows `/files`.
///
/// # Errors
/// A sentence.
pub fn parse(argument: &str) -> Result<Command, String> {
    let (word, rest) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
    let (first, more) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
    let (which, more) = match first.parse() {
        Ok(number) if number > 0 => (Which::Nth(number), more.trim()),
        _ => (Which::Newest, rest.trim()),
    };
    let folder = Some(more.to_owned()).filter(|more| !more.is_empty());
    Ok(Command::Files(match (word, folder) {
        ("" | "list", None) if which == Which::Newest => FilesCommand::List,
        ("pause" | "halt", None) => FilesCommand::Pause(which),
        ("resume" | "retry", None) => FilesCommand::Resume(which),
        ("cancel" | "remove", None) => FilesCommand::Cancel(which),
        ("save" | "get" | "accept", folder) => FilesCommand::Save(which, folder),
        ("view" | "show", None) => FilesCommand::View(which),
        _ => return Err("pause, resume, cancel, save or view, and the number that /files shows.".into()),
    }))
}

/// Reads what follows `/file`: a path, in quotes when a caption stands behind it.
///
/// # Errors
/// A sentence.
pub fn attach(argument: &str) -> Result<Command, String> {
    match names::split_quoted(argument) {
        (path, _) if path.is_empty() => Err("Which file?".into()),
        (path, caption) => Ok(Command::Attach { to: None, path, caption }),
    }
}

/// Asks whether a file that was dragged in is to be sent.
pub fn dropped(chat: &Chat, path: &Path, size: u64, pasted: &str) -> Dialog {
    let name = text::line(&path.file_name().unwrap_or_default().to_string_lossy());
    let to = chat.current().map_or(String::new(), |room| format!(" to {}", room.name()));
    // As it was written: the path itself need not be text.
    let send = Command::Attach { to: None, path: pasted.trim().to_owned(), caption: String::new() };
    Dialog::Choose {
        title: "A file".into(),
        question: format!("Send {name} ({}){to}?", size_in_words(size)),
        choices: vec![
            ('y', "send it", send),
            ('t', "write the path", Command::Ui(UiCommand::Write(pasted.trim_end().to_owned()))),
        ],
    }
}

/// The list, as it is now.
#[derive(Clone, Copy, Debug)]
pub struct List {
    /// It goes along with its file when a newer one comes; none when that is gone.
    chosen: Option<MessageId>,
}

impl List {
    /// With the newest file chosen.
    pub fn new(chat: &Chat) -> Self {
        Self { chosen: chat.transfers.first().map(|transfer| transfer.id) }
    }

    pub(super) fn key(&mut self, name: &str, chat: &Chat) -> Step {
        let row = self.row(chat);
        let to = match name {
            "q" => return Step::Close,
            "Up" | "k" | "Ctrl+p" => Some(row.map_or(0, |row| row.saturating_sub(1))),
            "Down" | "j" | "Ctrl+n" => {
                Some(row.map_or(0, |row| (row + 1).min(chat.transfers.len().saturating_sub(1))))
            }
            _ => None,
        };
        if let Some(to) = to {
            self.chosen = chat.transfers.get(to).map(|transfer| transfer.id);
            return Step::Stay;
        }
        let Some(transfer) = row.and_then(|row| chat.transfers.get(row)) else {
            return if name == "Enter" { Step::Close } else { Step::Stay };
        };
        let which = Which::Of(transfer.id);
        let command = match name {
            "p" if matches!(transfer.kept.phase, Phase::Active) => FilesCommand::Pause(which),
            "p" | "r" => FilesCommand::Resume(which),
            "c" => FilesCommand::Cancel(which),
            "s" | "Enter" => FilesCommand::Save(which, None),
            "v" => FilesCommand::View(which),
            _ => return Step::Stay,
        };
        Step::Run(Command::Files(command))
    }

    pub(super) fn size(&self, chat: &Chat) -> (u16, u16) {
        (WIDTH, (2 * chat.transfers.len().clamp(1, 8)) as u16 + 4)
    }

    /// `said` is what its keys did, and whether that is an error: it may lie over where that is shown else.
    pub(super) fn draw(
        &self,
        chat: &Chat,
        theme: &Theme,
        said: Option<(&str, bool)>,
        area: Rect,
        buf: &mut Buffer,
    ) {
        let inner = frame("Files", theme, area, buf);
        let width = usize::from(inner.width);
        let mut rows = Vec::new();
        let chosen = self.row(chat);
        let height = (usize::from(inner.height).saturating_sub(2) / 2).max(1);
        let from = chosen.map_or(0, |row| (row + 1).saturating_sub(height));
        for (i, transfer) in chat.transfers.iter().enumerate().skip(from).take(height) {
            let role = if chosen == Some(i) { Role::Chosen } else { Role::Text };
            let head = format!("{:>3} {} {}", i + 1, arrow(transfer), text::line(&transfer.kept.name));
            let with = chat.room(transfer.kept.room).map_or(String::new(), |room| text::line(room.name()));
            let names = width.saturating_sub(text::width(&with) + 2);
            rows.push(Line::from(vec![
                Span::styled(text::fit(&head, names), theme.style(role)),
                Span::styled(format!("  {with}"), theme.style(Role::Dim)),
            ]));
            let said = text::truncate(&text::line(&transfer.said()), width.saturating_sub(6));
            rows.push(Line::styled(format!("      {said}"), theme.style(state_role(transfer))));
        }
        if chat.transfers.is_empty() {
            rows.push(Line::styled("No files yet: /file PATH sends one.", theme.style(Role::Dim)));
        }
        rows.push(said.map_or_else(Line::default, |(said, error)| {
            let role = if error { Role::Warn } else { Role::Accent };
            Line::styled(text::truncate(said, width), theme.style(role))
        }));
        let keys = [("p", "pause, go on"), ("c", "cancel"), ("s", "save"), ("v", "view"), ("Esc", "close")];
        rows.push(hint(theme, &keys));
        Paragraph::new(rows).style(theme.style(Role::Text)).render(inner, buf);
    }

    fn row(&self, chat: &Chat) -> Option<usize> {
        chat.transfers.iter().position(|transfer| self.chosen == Some(transfer.id))
    }
}

/// A picture as large as the screen lets it be.
#[derive(Debug)]
pub struct View {
    of: MessageId,
    title: String,
    picture: Arc<Picture>,
    caps: Caps,
}

impl View {
    /// Of that file, under that name.
    pub fn new(of: MessageId, name: &str, picture: Picture, caps: Caps) -> Self {
        Self { of, title: text::line(name), picture: Arc::new(picture), caps }
    }

    /// The picture, where it is drawn inside of the frame.
    pub(super) fn still(&self, inner: Rect) -> Still {
        let at = cells::fit(&self.picture, inner);
        Still { of: StillId::Large(self.of), at, picture: self.picture.clone() }
    }

    pub(super) fn key(&self, name: &str) -> Step {
        if matches!(name, "q" | "Enter" | "v" | "Space") { Step::Close } else { Step::Stay }
    }

    pub(super) fn draw(&self, theme: &Theme, area: Rect, buf: &mut Buffer) {
        let inner = frame(&self.title, theme, area, buf);
        let (mode, colours) = video::means(self.caps);
        cells::draw(&self.picture, inner, buf, mode, colours);
    }
}

/// Which way it goes.
pub(super) fn arrow(transfer: &Transfer) -> char {
    if transfer.kept.up { '↑' } else { '↓' }
}

/// How its state is written.
pub(super) fn state_role(transfer: &Transfer) -> Role {
    match transfer.kept.phase {
        Phase::Failed(_) => Role::Warn,
        Phase::Done => Role::Good,
        Phase::Active => Role::Accent,
        _ => Role::Dim,
    }
}

const WIDTH: u16 = 76;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_read() {
        let read = |text| match parse(text) {
            Ok(Command::Files(command)) => Some(command),
            _ => None,
        };
        assert_eq!(read(""), Some(FilesCommand::List));
        assert_eq!(read("pause"), Some(FilesCommand::Pause(Which::Newest)));
        assert_eq!(read("cancel 3"), Some(FilesCommand::Cancel(Which::Nth(3))));
        assert_eq!(read("save"), Some(FilesCommand::Save(Which::Newest, None)));
        let folder = Some("~/my films".to_owned());
        assert_eq!(read("save 2 ~/my films"), Some(FilesCommand::Save(Which::Nth(2), folder.clone())));
        assert_eq!(read("save ~/my films"), Some(FilesCommand::Save(Which::Newest, folder)));
        for bad in ["frobnicate", "pause soon", "pause 1 2", "list 3"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let attach = |text| match attach(text) {
            Ok(Command::Attach { to: None, path, caption }) => Some((path, caption)),
            _ => None,
        };
        assert_eq!(attach("~/a b.txt"), Some(("~/a b.txt".into(), String::new())));
        assert_eq!(attach("'a b.txt' see this"), Some(("'a b.txt'".into(), "see this".into())));
        assert_eq!(attach(""), None);
    }
}
