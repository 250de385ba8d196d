//! What the person sees and presses.
pub mod command;
pub mod dialog;
pub mod text;
pub mod view;

use crate::chat::Chat;
use crate::config::Config;
use crate::term::Caps;
use command::{Command, UiCommand};
use crossterm::event::{KeyEvent, MouseEvent};
use dialog::Dialog;
use subrosa_shared::id::RoomId;
use subrosa_shared::time::{Millis, Now};

/// All state of the screen: what is typed, scrolled, opened on top.
pub struct Ui {
    size: (u16, u16),
    #[expect(dead_code)]
    caps: Caps,
    dialogs: Vec<Dialog>,
}

impl Ui {
    /// An empty screen of 80×24 until the first [`Ui::resize`].
    pub fn new(_config: &Config, caps: Caps) -> Self {
        Self { size: (80, 24), caps, dialogs: Vec::new() }
    }

    /// A key press: dialogs on top first, then the popup, then the keymap, then the composer. Returns
    /// commands for the app, in order; the screen's own are already carried out.
    pub fn key(&mut self, _key: KeyEvent, _chat: &Chat, _now: Now) -> Vec<Command> {
        Vec::new()
    }

    /// Bracketed paste.
    pub fn paste(&mut self, _text: &str, _chat: &Chat) -> Vec<Command> {
        Vec::new()
    }

    /// The mouse.
    pub fn mouse(&mut self, _mouse: MouseEvent, _chat: &Chat) -> Vec<Command> {
        Vec::new()
    }

    /// Columns and rows.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.size = (columns, rows);
    }

    /// The terminal got the focus, or lost it.
    pub fn focus(&mut self, _on: bool) {}

    /// `$EDITOR` came back: its text goes into the composer.
    pub fn edited(&mut self, _text: String) {}

    /// Carries out a command of the screen; may return further commands for the app.
    pub fn run(&mut self, _command: UiCommand, _chat: &Chat, _now: Now) -> Vec<Command> {
        Vec::new()
    }

    /// A one-line message above the composer: errors stay until the next key, others six seconds.
    pub fn notice(&mut self, _text: String, _error: bool, _now: Now) {}

    /// Opens a dialog on top.
    pub fn show(&mut self, dialog: Dialog) {
        self.dialogs.push(dialog);
    }

    /// Whether a message is being written (the typing indicator): text that is not a command.
    pub fn composing(&self) -> bool {
        false
    }

    /// Whether the open conversation's newest line is on a screen that has the focus: it is read.
    pub fn sees_bottom(&self, _chat: &Chat) -> bool {
        false
    }

    /// Whether an older page of lines should be loaded.
    pub fn wants_older(&self, _chat: &Chat) -> bool {
        false
    }

    /// The app switched conversations: drafts are swapped and the scroll is reset.
    pub fn opened(&mut self, _room: Option<RoomId>) {}

    /// The monotonic moment when something on the screen expires.
    pub fn next_wake(&self, _now: Now) -> Option<Millis> {
        None
    }

    /// What is typed in the open conversation and not sent, to keep it with the room.
    pub fn draft(&self) -> &str {
        ""
    }

    /// Puts a kept draft back, before the conversation is opened.
    pub fn restore_draft(&mut self, _room: RoomId, _text: String) {}

    /// True once after everything has to be drawn again (Ctrl+L): clear the terminal first.
    pub fn take_redraw(&mut self) -> bool {
        false
    }
}
