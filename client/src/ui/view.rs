//! The whole screen, drawn from the state.

use super::Ui;
use crate::chat::Chat;
use subrosa_shared::time::Now;
use subrosa_shared::video::picture::Picture;

/// The live pictures there are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pictures<'a> {
    /// The other person's newest.
    pub theirs: Option<&'a Picture>,
    /// The own newest.
    pub own: Option<&'a Picture>,
}

/// Part of the screen that a terminal may open (OSC 8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hyperlink {
    /// Column.
    pub x: u16,
    /// Row.
    pub y: u16,
    /// What is shown there.
    pub text: String,
    /// How it is shown.
    pub style: ratatui::style::Style,
    /// Where it leads.
    pub url: String,
}

/// Draws everything.
pub fn draw(chat: &Chat, ui: &Ui, pictures: &Pictures, now: Now, frame: &mut ratatui::Frame) {
    draw_links(chat, ui, pictures, now, frame);
}

/// Draws everything and tells which parts are links, for [`crate::term::hyperlinks`] to write after
/// the frame.
pub fn draw_links(
    _chat: &Chat,
    _ui: &Ui,
    _pictures: &Pictures,
    _now: Now,
    _frame: &mut ratatui::Frame,
) -> Vec<Hyperlink> {
    Vec::new()
}
