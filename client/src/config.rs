//! Settings: `config/client.toml` lists each with its default and what it means.

use serde::{Deserialize, Serialize};

/// All settings.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The screen.
    pub screen: Screen,
    /// Telling the person who looks elsewhere.
    pub notify: Notify,
    /// What other people may see.
    pub privacy: Privacy,
    /// Live pictures.
    pub video: Video,
}

/// The screen.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Screen {
    /// `dark`, `light`, `native` (the terminal's own colours), or the path of a theme file (TOML).
    pub theme: String,
    /// `auto`, `none`, `16`, `256` or `true`.
    pub colours: String,
    /// Mouse reporting; off leaves selecting to the terminal.
    pub mouse: bool,
    /// Columns of the sidebar, 10 to 60.
    pub sidebar: u16,
    /// The line of key hints.
    pub hints: bool,
    /// Dates and times in 24 hours (`true`) or 12.
    pub clock_24: bool,
    /// Keys of the composer: `emacs` (readline).
    pub keys: String,
}

/// Telling the person who looks elsewhere.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notify {
    /// `auto`, `osc9`, `osc777`, `osc99`, `bell` or `none`.
    pub how: String,
    /// How much they say: `full`, `sender` or `none`.
    pub preview: String,
    /// Set the window's title to the unread count.
    pub title: bool,
}

/// What other people may see.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Privacy {
    /// Tell others that you are typing.
    pub typing: bool,
    /// Tell others what you have read.
    pub read_receipts: bool,
    /// Let your contacts see whether you are connected.
    pub presence: bool,
}

/// Live pictures.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Video {
    /// `test`, `camera`, or the path of a y4m, GIF or image file.
    pub source: String,
    /// `auto`, `ascii`, `half` or `braille`.
    pub cells: String,
    /// Width of the sent picture in dots, 16 to 320.
    pub width: u16,
    /// Height of the sent picture in dots, 16 to 200.
    pub height: u16,
    /// Pictures a second, 1 to 30.
    pub fps: u8,
    /// Kilobits a second that the sent picture may take, 2 to 2000.
    pub kbps: u32,
}

impl Default for Screen {
    fn default() -> Self {
        Self {
            theme: "dark".into(),
            colours: "auto".into(),
            mouse: false,
            sidebar: 24,
            hints: true,
            clock_24: true,
            keys: "emacs".into(),
        }
    }
}

impl Default for Notify {
    fn default() -> Self {
        Self { how: "auto".into(), preview: "sender".into(), title: true }
    }
}

impl Default for Privacy {
    fn default() -> Self {
        Self { typing: true, read_receipts: true, presence: true }
    }
}

impl Default for Video {
    fn default() -> Self {
        Self { source: "test".into(), cells: "auto".into(), width: 96, height: 72, fps: 10, kbps: 32 }
    }
}
