//! The terminal: what it can do, entering and leaving it, and the bytes for what it does beside text.

use crate::config::Config;

/// What the terminal can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Colours.
    pub depth: Depth,
    /// UTF-8; otherwise everything is drawn in ASCII.
    pub unicode: bool,
    /// What stands between us and the terminal.
    pub mux: Mux,
    /// How pictures are drawn.
    pub cells: Cells,
}

/// How many colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Attributes only.
    None,
    /// The sixteen of the terminal.
    Ansi16,
    /// The cube and the greys.
    Ansi256,
    /// 24 bits.
    True,
}

/// A terminal multiplexer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mux {
    /// None.
    None,
    /// tmux: foreign sequences go through in a wrapper.
    Tmux,
    /// GNU screen.
    Screen,
}

/// How a picture becomes characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cells {
    /// Brightness as letters.
    Ascii,
    /// Two coloured dots a cell.
    Half,
    /// Eight dots a cell, one colour.
    Braille,
}

impl Caps {
    /// What the environment says, under the overrides of the settings.
    pub fn detect(env: impl Fn(&str) -> Option<String>, config: &Config) -> Self {
        let set = |key: &str| env(key).filter(|value| !value.is_empty());
        let term = set("TERM").unwrap_or_default();
        let locale =
            ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default().to_lowercase();
        let unicode = (locale.contains("utf-8") || locale.contains("utf8")) && term != "linux-basic";
        let colorterm = set("COLORTERM").unwrap_or_default();
        let depth = match config.screen.colours.as_str() {
            "none" => Depth::None,
            "16" => Depth::Ansi16,
            "256" => Depth::Ansi256,
            "true" => Depth::True,
            _ if set("NO_COLOR").is_some() || term == "dumb" || term.starts_with("vt1") => Depth::None,
            _ if colorterm == "truecolor" || colorterm == "24bit" || term.ends_with("-direct") => Depth::True,
            _ if term.contains("256") => Depth::Ansi256,
            _ if ["xterm-kitty", "xterm-ghostty", "alacritty", "foot"].contains(&term.as_str()) => {
                Depth::True
            }
            _ => Depth::Ansi16,
        };
        let mux = if set("TMUX").is_some() {
            Mux::Tmux
        } else if set("STY").is_some() {
            Mux::Screen
        } else {
            Mux::None
        };
        let cells = match config.video.cells.as_str() {
            "ascii" => Cells::Ascii,
            "half" => Cells::Half,
            "braille" => Cells::Braille,
            _ if !unicode => Cells::Ascii,
            _ if depth == Depth::None => Cells::Braille,
            _ => Cells::Half,
        };
        Self { depth, unicode, mux, cells }
    }
}
