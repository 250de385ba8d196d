//! Settings: `config/client.toml` lists each with its default and what it means.

use serde::{Deserialize, Serialize};
use std::path::Path;

/// A settings file longer than this is none.
const FILE_MAX: u64 = 256 * 1024;

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
    /// Locking.
    pub vault: Vault,
    /// Live pictures.
    pub video: Video,
    /// Files.
    pub files: Files,
    /// They were read from a file: those that came with a backup do not count.
    #[serde(skip)]
    pub from_file: bool,
}

impl Config {
    /// Reads a settings file; what it does not name keeps its default.
    ///
    /// # Errors
    /// A sentence with the file, the line and what is wrong there.
    pub fn read(path: &Path) -> Result<Self, String> {
        let at = path.display();
        let length = std::fs::metadata(path).map_err(|error| format!("{at} cannot be read: {error}"))?.len();
        if length > FILE_MAX {
            return Err(format!("{at} is {length} bytes long: that is no settings file"));
        }
        let text = std::fs::read_to_string(path).map_err(|error| format!("{at} cannot be read: {error}"))?;
        let config = Self::parse(&text).map_err(|why| format!("{at}: {why}"))?;
        Ok(config)
    }

    /// Settings from TOML text.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check().map_or(Ok(config), Err)
    }

    /// The first value out of its bounds, in words.
    pub fn check(&self) -> Option<String> {
        let one_of = |key: &str, value: &str, known: &[&str]| {
            (!known.contains(&value)).then(|| format!("{key} = {value:?} is none of {}", known.join(", ")))
        };
        let within = |key: &str, value: u32, low: u32, high: u32| {
            (!(low..=high).contains(&value)).then(|| format!("{key} = {value} is not within {low} to {high}"))
        };
        one_of("screen.colours", &self.screen.colours, &["auto", "none", "16", "256", "true", "adaptive"])
            .or_else(|| one_of("screen.keys", &self.screen.keys, &["emacs"]))
            .or_else(|| {
                let known = ["auto", "osc9", "osc777", "osc99", "bell", "none"];
                one_of("notify.how", &self.notify.how, &known)
            })
            .or_else(|| one_of("notify.preview", &self.notify.preview, &["full", "sender", "none"]))
            .or_else(|| {
                let known =
                    ["auto", "image", "cells", "ascii", "half", "quadrant", "sextant", "octant", "braille"];
                one_of("video.cells", &self.video.cells, &known)
            })
            .or_else(|| within("screen.sidebar", self.screen.sidebar.into(), 10, 60))
            .or_else(|| within("video.width", self.video.width.into(), 16, 320))
            .or_else(|| within("video.height", self.video.height.into(), 16, 200))
            .or_else(|| within("video.fps", self.video.fps.into(), 1, 30))
            .or_else(|| within("video.kbps", self.video.kbps, 2, 2000))
            .or_else(|| within("files.auto_mb", self.files.auto_mb, 0, 1_000_000))
            .or_else(|| crate::lock::idle_lock(&self.vault.idle_lock).err())
            .or_else(|| within("video.terminal_kbps", self.video.terminal_kbps, 0, 1_000_000))
    }
}

/// The screen.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Screen {
    /// `dark`, `light`, `native` (the terminal's own colours), or the path of a theme file (TOML).
    pub theme: String,
    /// `auto`, `none`, `16`, `256`, `true` or `adaptive` (pictures set entries of the palette).
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
    /// Who writes first waits until you accept them.
    pub requests: bool,
}

/// Locking.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vault {
    /// Lock after so long without a key: `30s` to `24h`, or `off`.
    pub idle_lock: String,
}

/// Live pictures.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Video {
    /// `test`, `camera`, or the path of a y4m, GIF or image file.
    pub source: String,
    /// `auto`, `image`, `cells`, or which: `ascii`, `half`, `quadrant`, `sextant`, `octant`, `braille`.
    pub cells: String,
    /// Width of the sent picture in dots, 16 to 320.
    pub width: u16,
    /// Height of the sent picture in dots, 16 to 200.
    pub height: u16,
    /// Pictures a second, 1 to 30.
    pub fps: u8,
    /// Kilobits a second that the sent picture may take, 2 to 2000.
    pub kbps: u32,
    /// Kilobits a second that pictures may take on the way to the terminal; 0: what it takes easily.
    pub terminal_kbps: u32,
    /// Measure how fast the terminal takes bytes, and hold pictures back for the sake of typing.
    pub drain: bool,
}

/// Files.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Files {
    /// Where files are saved; empty: the user's folder for downloads, or the current one.
    pub folder: String,
    /// Files of contacts up to so many megabytes are fetched by themselves; 0: none.
    pub auto_mb: u32,
}

impl Files {
    /// The folder, absolute, when one is set.
    pub fn folder(&self) -> Option<std::path::PathBuf> {
        (!self.folder.is_empty()).then(|| crate::files::names::folder(&self.folder))
    }
}

impl Default for Files {
    fn default() -> Self {
        Self { folder: String::new(), auto_mb: 5 }
    }
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
        Self { typing: true, read_receipts: true, presence: true, requests: true }
    }
}

impl Default for Vault {
    fn default() -> Self {
        Self { idle_lock: "15m".into() }
    }
}

impl Default for Video {
    fn default() -> Self {
        Self {
            source: "test".into(),
            cells: "auto".into(),
            width: 96,
            height: 72,
            fps: 10,
            kbps: 32,
            terminal_kbps: 0,
            drain: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = include_str!("../../config/client.toml");

    #[test]
    fn the_file_in_the_repository_holds_every_setting_with_its_default() {
        assert_eq!(Config::parse(FILE), Ok(Config::default()));
        let named = toml::Value::try_from(Config::default()).expect("settings serialise");
        for (section, keys) in named.as_table().expect("a table") {
            assert!(FILE.contains(&format!("[{section}]")), "{section}");
            for key in keys.as_table().expect("a table").keys() {
                assert!(FILE.lines().any(|line| line.starts_with(&format!("{key} = "))), "{section}.{key}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, part) in [
            ("[screen]\ncolors = \"16\"", "colors"),
            ("[video]\nfps = 0", "video.fps = 0 is not within 1 to 30"),
            ("[notify]\nhow = \"smoke\"", "none of auto"),
            ("[vault]\nidle_lock = \"soon\"", "nor a time"),
            ("[screen", "line 1"),
        ] {
            let why = Config::parse(text).expect_err(text);
            assert!(why.contains(part), "{text}: {why}");
        }
    }
}
