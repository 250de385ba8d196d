//! What the person sees and presses.
//!
//! | module | what lives there |
//! |---|---|
//! | [`command`], [`keymap`] | everything that can be asked for; the keys that ask for it |
//! | [`composer`], [`complete`] | the line being written; the popup that completes it |
//! | [`view`] | the screen: panes of [`sidebar`], [`timeline`], [`video`], [`status`], dialogs on top |
//! | [`dialog`], [`help`] | switcher, help, questions, text |
//! | [`people`], [`verify`], [`profile`] | who is who; the safety number; what they say of themselves |
//! | [`pick`], [`act`], [`pins`] | a line is picked; what is done with it; what is pinned |
//! | [`search`] | what is looked for and what was found; walking along it |
//! | [`ask`], [`password`] | a new passphrase; a new password, and one that a room asks for |
//! | [`card`] | text about something, with keys that change it |
//! | [`files`] | files on their way |
//! | [`lock`] | the screen of a locked client, which shows nothing |
//! | [`picture`] | what may be changed of the own picture by hand |
//! | [`setup`] | the screens before there is a conversation |
//! | [`text`], [`theme`] | foreign text made harmless and measured; colours |

pub mod act;
pub mod ask;
pub mod card;
pub mod command;
pub mod complete;
pub mod composer;
pub mod devices;
pub mod dialog;
mod doing;
pub mod files;
pub mod help;
mod input;
pub mod keymap;
pub mod lock;
pub mod password;
pub mod people;
pub mod pick;
pub mod picture;
pub mod pins;
pub mod profile;
pub mod rooms;
pub mod search;
pub mod sessions;
pub mod setup;
pub mod sidebar;
pub mod status;
pub mod strength;
#[cfg(test)]
mod tests;
pub use crate::text;
pub mod theme;
pub mod timeline;
pub mod verify;
pub mod video;
pub mod view;

use crate::chat::Chat;
use crate::chat::room::NO_ROOM;
use crate::config::Config;
use crate::term::Caps;
use complete::Popup;
use composer::Composer;
use dialog::Dialog;
use jiff::tz::TimeZone;
use pick::{About, Pick, What};
use profile::Sheet;
use ratatui::layout::Rect;
use std::collections::HashMap;
use std::io::Read;
use std::time::Duration;
use subrosa_shared::id::{MessageId, RoomId};
use subrosa_shared::time::{Millis, Now};
use theme::Theme;
use timeline::Scroll;
use verify::Verify;
use view::Screen;

/// All state of the screen: what is typed, scrolled, opened on top.
pub struct Ui {
    size: (u16, u16),
    /// Somebody can see and close what lies on top; scripts have no screen.
    screen: bool,
    focused: bool,
    caps: Caps,
    theme: Theme,
    /// By which name or file the theme was chosen.
    look: String,
    zone: TimeZone,
    clock_24: bool,
    sidebar: bool,
    sidebar_width: u16,
    hints: bool,
    dialogs: Vec<Dialog>,
    popup: Option<Popup>,
    composer: Composer,
    asides: HashMap<RoomId, Aside>,
    open: Option<RoomId>,
    scroll: Scroll,
    /// The line that keys act on.
    pick: Option<Pick>,
    /// Where jumps to quoted lines began.
    jumps: Vec<MessageId>,
    /// What is being written is about a line.
    about: Option<About>,
    /// What was pasted and may be a file: the disk is being asked.
    looking: Option<String>,
    /// The person walks along what was found.
    walk: Option<search::Walk>,
    notice: Option<Notice>,
    prefix: Option<String>,
    leaving: Option<Millis>,
    redraw: bool,
    now: Now,
    /// When the last key was pressed (monotonic).
    keyed: Millis,
}

/// What is kept of a conversation that is not open.
#[derive(Default)]
struct Aside {
    draft: String,
    past: Vec<String>,
    about: Option<About>,
}

struct Notice {
    text: String,
    error: bool,
    /// Monotonic; errors have none.
    until: Option<Millis>,
    /// Said in the event that is being taken.
    fresh: bool,
}

impl Ui {
    /// No screen until the first [`Ui::resize`]; what asks for its size takes it for 80×24.
    pub fn new(config: &Config, caps: Caps) -> Self {
        let mut ui = Self {
            size: (80, 24),
            screen: false,
            focused: true,
            caps,
            theme: Theme::plain(),
            look: config.screen.theme.clone(),
            zone: TimeZone::system(),
            clock_24: config.screen.clock_24,
            sidebar: true,
            sidebar_width: config.screen.sidebar.clamp(10, 60),
            hints: config.screen.hints,
            dialogs: Vec::new(),
            popup: None,
            composer: Composer::default(),
            asides: HashMap::new(),
            open: None,
            scroll: Scroll::Bottom,
            pick: None,
            jumps: Vec::new(),
            about: None,
            looking: None,
            walk: None,
            notice: None,
            prefix: None,
            leaving: None,
            redraw: false,
            now: Now { wall: Millis(0), mono: Millis(0) },
            keyed: Millis(0),
        };
        match theme(&config.screen.theme, caps) {
            Ok(theme) => ui.theme = theme,
            Err(why) => {
                ui.theme = Theme::named("dark", caps.depth).unwrap_or_else(Theme::plain);
                ui.notice = Some(Notice { text: why, error: true, until: None, fresh: false });
            }
        }
        ui
    }

    /// The terminal can do something else than was thought.
    pub fn learn(&mut self, caps: Caps) {
        let depth = std::mem::replace(&mut self.caps, caps).depth;
        if depth != caps.depth {
            // A theme's file that is gone meanwhile leaves its colours as they were.
            self.theme = theme(&self.look, caps).unwrap_or_else(|_| self.theme.clone());
        }
    }

    /// What the terminal can do.
    pub fn caps(&self) -> Caps {
        self.caps
    }

    /// Colours of the text.
    pub fn theme(&self) -> &Theme {
        &self.theme
    }

    /// Columns and rows.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        (self.size, self.screen) = ((columns, rows), true);
    }

    /// Whether there is a screen; scripts have none.
    pub fn has_screen(&self) -> bool {
        self.screen
    }

    /// The terminal got the focus, or lost it.
    pub fn focus(&mut self, on: bool) {
        self.focused = on;
    }

    /// An event begins: what was said before it may be replaced.
    pub fn begins(&mut self) {
        if let Some(notice) = &mut self.notice {
            notice.fresh = false;
        }
    }

    /// A one-line message above the composer: errors stay until the next key, others six seconds. What
    /// else comes with the event that brought an error hides none of it.
    pub fn notice(&mut self, text: String, error: bool, now: Now) {
        let mut text = text::line(&text);
        if let Some(held) = self.notice.as_ref().filter(|held| held.fresh && held.error) {
            if !error || held.text.contains(&text) {
                return;
            }
            text = format!("{} · {text}", held.text);
        }
        let until = (!error).then(|| now.mono.plus(NOTICE));
        self.notice = Some(Notice { text, error, until, fresh: true });
    }

    /// Opens a dialog on top.
    pub fn show(&mut self, dialog: Dialog) {
        self.dialogs.push(dialog);
    }

    /// Closes what nobody can, where there is no screen.
    pub fn close_unseen(&mut self) {
        if !self.screen {
            self.dialogs.clear();
        }
    }

    /// Closes the text of that heading, if it is open.
    pub fn dismiss(&mut self, heading: &str) {
        self.dialogs.retain(|dialog| !matches!(dialog, Dialog::Text { title, .. } if title == heading));
    }

    /// Whether the text of that heading is open.
    pub fn says(&self, heading: &str) -> bool {
        self.dialogs.iter().any(|dialog| matches!(dialog, Dialog::Text { title, .. } if title == heading))
    }

    /// The text of that heading, if it is open, says this from now on.
    pub fn says_now(&mut self, heading: &str, text: String) {
        for dialog in &mut self.dialogs {
            if let Dialog::Text { title, body, .. } = dialog
                && title == heading
            {
                *body = text;
                return;
            }
        }
    }

    /// Opens the safety number on top.
    pub fn show_verify(&mut self, verify: Verify) {
        let verify = verify.on(self.caps);
        self.dialogs.push(Dialog::Verify(Box::new(verify)));
    }

    /// Opens a profile on top.
    pub fn show_profile(&mut self, sheet: Sheet) {
        let sheet = sheet.on(self.caps);
        self.dialogs.push(Dialog::Profile(Box::new(sheet)));
    }

    /// Whether a message is being written (the typing indicator): text that is not a command.
    pub fn composing(&self) -> bool {
        let text = self.composer.text();
        !text.trim().is_empty() && (!text.starts_with('/') || text.starts_with("//"))
    }

    /// Whether nothing is being typed or chosen: the next key is not meant for something else.
    pub fn is_idle(&self) -> bool {
        self.dialogs.is_empty() && self.pick.is_none() && self.composer.is_empty()
    }

    /// Whether the password of a link's room is asked for.
    pub fn asks_at_door(&self) -> bool {
        self.dialogs
            .iter()
            .any(|dialog| matches!(dialog, Dialog::Password(password) if password.is_at_door()))
    }

    /// When the last key was pressed (monotonic).
    pub fn keyed(&self) -> Millis {
        self.keyed
    }

    /// Whether the open conversation's newest line is on a screen that has the focus: it is read. Without
    /// a screen only the focus counts, which a script takes when it has read.
    pub fn sees_bottom(&self, chat: &Chat) -> bool {
        let shown =
            || self.scroll == Scroll::Bottom && self.dialogs.is_empty() && self.lines_area(chat).height > 0;
        self.focused && chat.open.is_some() && (!self.screen || shown())
    }

    /// Whether an older page of lines should be loaded.
    pub fn wants_older(&self, chat: &Chat) -> bool {
        chat.current().is_some_and(|room| {
            let lines = chat.shown(room);
            let last = match self.scroll {
                Scroll::Bottom => lines.end(),
                Scroll::At { pos, .. } => pos,
            };
            let above = last.saturating_sub(lines.first());
            lines.first() > 0 && above < u64::from(self.size.1) + AHEAD
        })
    }

    /// The app switched conversations: drafts are swapped and the scroll is reset. Where the open one is
    /// gone, what was being typed in it stays in the composer.
    pub fn opened(&mut self, room: Option<RoomId>) {
        if room == self.open {
            return;
        }
        match room {
            Some(room) => self.swap_drafts(room),
            None => {
                self.end_about();
            }
        }
        self.open = room;
        self.walk = None;
        self.scroll = Scroll::Bottom;
        self.unpick();
        self.popup = Popup::offer(&self.composer);
    }

    fn swap_drafts(&mut self, room: RoomId) {
        let mut next = self.asides.remove(&room).unwrap_or_default();
        let (waiting, walked) = (std::mem::take(&mut next.draft), std::mem::take(&mut next.past));
        let (draft, past) = self.composer.switch(waiting, walked);
        match self.open {
            Some(old) => {
                let about = self.about.take();
                if about.as_ref().is_some_and(|about| about.fleeting) {
                    // What was cut of them is not for the next conversation.
                    self.composer.forget();
                }
                self.asides.insert(old, Aside { draft, past, about });
            }
            // What was typed while no conversation was open goes along, behind what waited there.
            None if draft.is_empty() => {}
            None => {
                let waited = match &mut next.about {
                    // Other words for a line are not where it belongs.
                    Some(About { what: What::Edit, stash, .. }) => Some(stash),
                    _ => None,
                };
                let before = waited.as_deref().map_or(self.composer.text(), String::as_str);
                let both = match before {
                    "" => draft,
                    // Nor behind a command.
                    command if command.starts_with('/') => format!("{draft}\n{command}"),
                    text => format!("{text}\n{draft}"),
                };
                match waited {
                    Some(stash) => *stash = both,
                    None => self.composer.set(both),
                }
            }
        }
        self.about = next.about;
    }

    /// The monotonic moment when something on the screen expires.
    pub fn next_wake(&self, now: Now) -> Option<Millis> {
        self.notice.as_ref().and_then(|notice| notice.until).filter(|until| *until > now.mono)
    }

    /// What is typed in the open conversation and not sent, to keep it with the room.
    pub fn draft(&self) -> &str {
        match &self.about {
            // Other words for a line are no message that waits.
            Some(About { what: What::Edit, stash, .. }) => stash,
            _ => self.composer.text(),
        }
    }

    /// Whether what is typed are other words for a line.
    pub fn rewords(&self) -> bool {
        self.reworded().is_some()
    }

    /// Puts a kept draft back, before the conversation is opened.
    pub fn restore_draft(&mut self, room: RoomId, text: String) {
        if room == NO_ROOM {
            self.composer.set(text);
        } else {
            self.asides.entry(room).or_default().draft = text;
        }
    }

    /// True once after everything has to be drawn again (Ctrl+l): clear the terminal first.
    pub fn take_redraw(&mut self) -> bool {
        std::mem::take(&mut self.redraw)
    }

    /// The time zone of dates and times; the system's unless told otherwise.
    pub fn set_zone(&mut self, zone: TimeZone) {
        self.zone = zone;
    }

    fn scroll(&self) -> Scroll {
        self.scroll
    }

    fn scrolled(&self) -> bool {
        self.scroll != Scroll::Bottom
    }

    fn has_draft(&self, room: RoomId) -> bool {
        self.asides.get(&room).is_some_and(|aside| !aside.draft.trim().is_empty())
    }

    /// The notice that is still to be shown, and whether it is an error.
    fn noticed(&self, now: Now) -> Option<(&str, bool)> {
        let notice = self.notice.as_ref()?;
        notice.until.is_none_or(|until| until > now.mono).then_some((notice.text.as_str(), notice.error))
    }

    fn notice_rows(&self, columns: usize, now: Now) -> usize {
        self.noticed(now).map_or(1, |(said, _)| text::wrap(said, columns).len().min(3))
    }

    fn lines_area(&self, chat: &Chat) -> Rect {
        view::panes(&Screen { chat, ui: self, now: self.now }, area(self.size)).timeline
    }

    fn scroll_by(&mut self, rows: i32, chat: &Chat) {
        let Some(room) = chat.current() else { return };
        let area = self.lines_area(chat);
        let screen = Screen { chat, ui: self, now: self.now };
        let layout = view::layout(&screen, room, area.width);
        self.scroll = layout.held(layout.moved(self.scroll, rows, area.height.into()));
    }

    fn scroll_to(&mut self, pos: u64, chat: &Chat) {
        let Some(room) = chat.current() else { return };
        let area = self.lines_area(chat);
        let screen = Screen { chat, ui: self, now: self.now };
        let layout = view::layout(&screen, room, area.width);
        self.scroll = layout.held(layout.from_top(pos, self.scroll, area.height.into()));
    }
}

fn area((columns, rows): (u16, u16)) -> Rect {
    Rect { x: 0, y: 0, width: columns, height: rows }
}

/// A theme by name or file.
fn theme(name: &str, caps: Caps) -> Result<Theme, String> {
    if let Some(theme) = Theme::named(name, caps.depth) {
        return Ok(theme);
    }
    let open = std::fs::File::open(name);
    let mut text = String::new();
    open.and_then(|file| file.take(theme::FILE_MAX as u64 + 1).read_to_string(&mut text)).map_err(|why| {
        format!("The theme {}: {why}. Built in are dark, light and native.", text::line(name))
    })?;
    Theme::read(&text, caps.depth)
}

/// How long a notice stays.
const NOTICE: Duration = Duration::from_secs(6);
/// Lines in memory above the screen before an older page is loaded.
const AHEAD: u64 = 64;
