//! What the terminal can do: by its environment, by what it answers, by the settings.

use super::answer::{Answer, ENTRY, SYNC};
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
    /// Entries of its palette may be set for pictures.
    pub adaptive: bool,
    /// It can be told to show nothing before a frame is whole.
    pub sync: bool,
    /// It knows how to repeat a character (REP).
    pub repeat: bool,
    /// Pictures may be shown as images, when it takes those.
    pub images: Images,
}

/// Whether pictures may be shown as images instead of characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Images {
    /// It takes none that are worth it, or did not say so.
    #[default]
    None,
    /// A multiplexer lies between, which has its own idea of what is where.
    Shared,
    /// The settings name characters.
    Unwanted,
    /// Sixels on this machine: for pictures that stay where they are.
    Sixel,
    /// When there is room for good ones.
    Auto(Image),
    /// Whenever one fits.
    Always(Image),
}

/// How a terminal is given an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Image {
    /// A JPEG file in OSC 1337, as iTerm2 began it.
    Jpeg,
    /// Kitty's graphics.
    Kitty,
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
    /// Zellij: it takes foreign sequences for its own, or drops them.
    Zellij,
}

/// How a picture becomes characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cells {
    /// Brightness as letters.
    Ascii,
    /// Two coloured dots a cell.
    Half,
    /// Four dots, two colours.
    Quadrant,
    /// Six dots, two colours.
    Sextant,
    /// Eight dots, two colours.
    Octant,
    /// Eight dots a cell, one colour.
    Braille,
}

/// What the terminal said so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Its name and version.
    pub name: Option<String>,
    rgb: bool,
    sync: bool,
    entry: bool,
    sixel: bool,
    graphics: bool,
}

impl Answers {
    /// Keeps an answer. True when what is known about the terminal may be another than before.
    pub fn take(&mut self, answer: Answer) -> bool {
        let before = self.clone();
        match answer {
            Answer::Name(name) => self.name = Some(name),
            Answer::Capability { name, has } => self.rgb |= has && ["RGB", "Tc"].contains(&name.as_str()),
            Answer::Mode { mode, can } => self.sync |= can && mode == SYNC,
            Answer::Entry { index, .. } => self.entry |= index == ENTRY,
            Answer::Attributes { sixel } => self.sixel = sixel,
            Answer::Graphics(can) => self.graphics = can,
            Answer::Status | Answer::Background(_) => {}
        }
        *self != before
    }

    /// For the person: what the terminal is and draws by itself.
    pub fn said(&self) -> String {
        let mut said = self.name.clone().unwrap_or_else(|| "says no name".into());
        for (has, what) in [(self.graphics, "kitty graphics"), (self.sixel, "sixels")] {
            if has {
                said.push_str(", ");
                said.push_str(what);
            }
        }
        said
    }
}

impl Caps {
    /// What the environment says, under the overrides of the settings.
    pub fn detect(env: impl Fn(&str) -> Option<String>, config: &Config) -> Self {
        Self::learn(env, config, &Answers::default())
    }

    /// What the environment and the terminal itself say, under the overrides of the settings.
    pub fn learn(env: impl Fn(&str) -> Option<String>, config: &Config, answers: &Answers) -> Self {
        let set = |key: &str| env(key).filter(|value| !value.is_empty());
        let term = set("TERM").unwrap_or_default();
        let locale =
            ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default().to_lowercase();
        let unicode = locale.contains("utf-8") || locale.contains("utf8");
        let colorterm = set("COLORTERM").unwrap_or_default();
        let known = answers.name.as_deref().map(Known::parse).unwrap_or_default();
        let mux = if set("TMUX").is_some() || known.name == "tmux" {
            Mux::Tmux
        } else if set("STY").is_some() || known.name == "screen" {
            Mux::Screen
        } else if set("ZELLIJ").is_some() || known.name == "zellij" {
            Mux::Zellij
        } else {
            Mux::None
        };
        let depth = match config.screen.colours.as_str() {
            "none" => Depth::None,
            "16" => Depth::Ansi16,
            "256" => Depth::Ansi256,
            "true" => Depth::True,
            _ if set("NO_COLOR").is_some() || term == "dumb" || term.starts_with("vt1") => Depth::None,
            _ if colorterm == "truecolor" || colorterm == "24bit" || term.ends_with("-direct") => Depth::True,
            _ if answers.rgb || known.is_modern() => Depth::True,
            _ if ["xterm-kitty", "xterm-ghostty", "alacritty", "foot"].contains(&term.as_str()) => {
                Depth::True
            }
            _ if term.contains("256") => Depth::Ansi256,
            _ => Depth::Ansi16,
        };
        let cells = match config.video.cells.as_str() {
            "ascii" => Cells::Ascii,
            "half" => Cells::Half,
            "quadrant" => Cells::Quadrant,
            "sextant" => Cells::Sextant,
            "octant" => Cells::Octant,
            "braille" => Cells::Braille,
            _ if !unicode => Cells::Ascii,
            _ if depth == Depth::None => Cells::Braille,
            // The console's font has halves, and little else.
            _ if term == "linux" => Cells::Half,
            // What lies between may have another font.
            _ if mux == Mux::None => known.cells(),
            _ => Cells::Quadrant,
        };
        let adaptive = match config.screen.colours.as_str() {
            "adaptive" => depth >= Depth::Ansi256,
            // Others share the palette behind a multiplexer.
            "auto" => answers.entry && mux == Mux::None && depth >= Depth::Ansi256,
            _ => false,
        };
        let (sync, repeat) = (answers.sync, mux == Mux::None && known.repeats());
        // Where the name is not told: iTerm2's variable comes along over ssh.
        let program = ["TERM_PROGRAM", "LC_TERMINAL"].into_iter().find_map(set).unwrap_or_default();
        let program = program.to_lowercase();
        let takes_jpeg = known.takes_jpeg()
            || known.name.is_empty() && ["iterm.app", "iterm2", "wezterm"].contains(&program.as_str());
        let image = if takes_jpeg { Some(Image::Jpeg) } else { answers.graphics.then_some(Image::Kitty) };
        let images = match (image, config.video.cells.as_str()) {
            _ if mux != Mux::None => Images::Shared,
            // Too many bytes for what moves, and for the way to another machine.
            (None, "auto" | "image")
                if answers.sixel && set("SSH_CONNECTION").or(set("SSH_TTY")).is_none() =>
            {
                Images::Sixel
            }
            (None, _) => Images::None,
            (Some(image), "auto") => Images::Auto(image),
            (Some(image), "image") => Images::Always(image),
            _ => Images::Unwanted,
        };
        Self { depth, unicode, mux, cells, adaptive, sync, repeat, images }
    }
}

/// A terminal's name and the first two numbers of its version.
#[derive(Default)]
struct Known {
    name: String,
    version: (u32, u32),
}

impl Known {
    fn parse(text: &str) -> Self {
        let name: String = text.chars().take_while(char::is_ascii_alphanumeric).collect();
        let rest = &text[name.len()..];
        let mut numbers = rest
            .split(|c: char| !c.is_ascii_digit())
            .filter(|digits| !digits.is_empty())
            .map(|digits| digits.parse().unwrap_or(0));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        Self { name: name.to_lowercase(), version }
    }

    /// The finest characters that it is known to draw by itself, whatever its font has.
    fn cells(&self) -> Cells {
        let since = |first: (u32, u32)| self.version >= first;
        let (sextants, octants) = match self.name.as_str() {
            "kitty" => (since((0, 20)), since((0, 40))),
            "ghostty" => (true, since((1, 1))),
            "foot" => (since((1, 9)), since((1, 20))),
            // Named by dates.
            "wezterm" => (since((20_210_502, 0)), since((20_240_901, 0))),
            "contour" => (since((0, 4)), false),
            "vte" => (since((6_800, 0)), since((8_000, 0))),
            _ => (false, false),
        };
        match (sextants, octants) {
            (_, true) => Cells::Octant,
            (true, false) => Cells::Sextant,
            (false, false) => Cells::Quadrant,
        }
    }

    fn takes_jpeg(&self) -> bool {
        ["iterm2", "wezterm"].contains(&self.name.as_str())
    }

    fn is_modern(&self) -> bool {
        ["kitty", "ghostty", "foot", "wezterm", "contour", "iterm2", "vte", "konsole"]
            .contains(&self.name.as_str())
    }

    fn repeats(&self) -> bool {
        ["kitty", "ghostty", "foot", "wezterm", "contour", "iterm2", "vte", "xterm"]
            .contains(&self.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn learnt(vars: &[(&str, &str)], config: &Config, answers: Vec<Answer>) -> Caps {
        let vars: HashMap<String, String> = vars.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let mut all = Answers::default();
        for answer in answers {
            all.take(answer);
        }
        Caps::learn(|key| vars.get(key).cloned(), config, &all)
    }

    fn caps(vars: &[(&str, &str)]) -> Caps {
        learnt(vars, &Config::default(), Vec::new())
    }

    #[test]
    fn the_environment_says_what_it_can() {
        let plain = caps(&[("TERM", "xterm")]);
        let nothing = Caps {
            depth: Depth::Ansi16,
            unicode: false,
            mux: Mux::None,
            cells: Cells::Ascii,
            adaptive: false,
            sync: false,
            repeat: false,
            images: Images::None,
        };
        assert_eq!(plain, nothing);
        let good = caps(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor"), ("LANG", "de_DE.UTF-8")]);
        assert_eq!(good, Caps { depth: Depth::True, unicode: true, cells: Cells::Quadrant, ..nothing });
        let tmux =
            caps(&[("TERM", "screen-256color"), ("TMUX", "/tmp/x"), ("LC_ALL", "C.utf8"), ("LANG", "C")]);
        assert_eq!((tmux.depth, tmux.unicode, tmux.mux), (Depth::Ansi256, true, Mux::Tmux));
        let mono = caps(&[("TERM", "xterm-256color"), ("NO_COLOR", "1"), ("LC_CTYPE", "C.UTF-8")]);
        assert_eq!((mono.depth, mono.cells), (Depth::None, Cells::Braille));
        assert!(!caps(&[("LANG", "C.UTF-8"), ("LC_ALL", "C")]).unicode, "LC_ALL wins");
        assert_eq!(caps(&[("TERM", "linux"), ("LANG", "C.UTF-8")]).cells, Cells::Half);
    }

    const SSH: &[(&str, &str)] = &[("TERM", "xterm-256color"), ("LANG", "C.UTF-8")];

    fn named(name: &str) -> Vec<Answer> {
        vec![
            Answer::Name(name.into()),
            Answer::Entry { index: ENTRY, rgb: [238; 3] },
            Answer::Mode { mode: SYNC, can: true },
            Answer::Attributes { sixel: false },
        ]
    }

    #[test]
    fn a_terminal_that_answers_gets_the_best_it_draws() {
        let config = Config::default();
        for (name, cells) in [
            ("kitty(0.40.1)", Cells::Octant),
            ("kitty(0.26.5)", Cells::Sextant),
            ("ghostty 1.2.0", Cells::Octant),
            ("foot(1.16.2)", Cells::Sextant),
            ("WezTerm 20240203-110809-5046fc22", Cells::Sextant),
            ("VTE(7600)", Cells::Sextant),
            ("iTerm2 3.5.0", Cells::Quadrant),
            ("(", Cells::Quadrant),
        ] {
            let caps = learnt(SSH, &config, named(name));
            assert_eq!(caps.cells, cells, "{name}");
            assert!(caps.sync && caps.adaptive, "{name}");
        }
        assert_eq!(learnt(SSH, &config, named("kitty(0.40.1)")).depth, Depth::True);
        assert_eq!(learnt(SSH, &config, named("XTerm(390)")).depth, Depth::Ansi256);
        let rgb = Answer::Capability { name: "RGB".into(), has: true };
        assert_eq!(learnt(SSH, &config, vec![rgb]).depth, Depth::True);
    }

    #[test]
    fn nobody_touches_a_palette_that_is_shared() {
        let config = Config::default();
        let mut env = SSH.to_vec();
        assert!(!learnt(&env, &config, named("tmux 3.4")).adaptive, "by its name");
        assert_eq!(learnt(&env, &config, named("tmux 3.4")).mux, Mux::Tmux);
        env.push(("TMUX", "/tmp/x"));
        assert!(!learnt(&env, &config, named("kitty(0.40.1)")).adaptive, "by the environment");
        assert!(!learnt(SSH, &config, vec![Answer::Name("kitty(0.40.1)".into())]).adaptive, "no answer");
        env.push(("NO_COLOR", "1"));
        assert!(!learnt(&env, &config, named("kitty(0.40.1)")).adaptive);
    }

    #[test]
    fn settings_have_the_last_word() {
        let mut config = Config::default();
        config.screen.colours = "256".into();
        config.video.cells = "sextant".into();
        let caps = learnt(SSH, &config, named("kitty(0.40.1)"));
        assert_eq!((caps.depth, caps.cells, caps.adaptive), (Depth::Ansi256, Cells::Sextant, false));
        config.screen.colours = "adaptive".into();
        assert!(learnt(SSH, &config, Vec::new()).adaptive);
    }

    #[test]
    fn images_go_to_who_takes_them_and_never_through_a_multiplexer() {
        let graphics = |name: &str| {
            let mut answers = named(name);
            answers.push(Answer::Graphics(true));
            answers
        };
        let mut config = Config::default();
        let of = |env: &[(&str, &str)], config: &Config, answers| learnt(env, config, answers).images;
        assert_eq!(of(SSH, &config, graphics("kitty(0.40.1)")), Images::Auto(Image::Kitty));
        assert_eq!(of(SSH, &config, named("kitty(0.40.1)")), Images::None, "it did not answer");
        assert_eq!(of(SSH, &config, named("iTerm2 3.5.0")), Images::Auto(Image::Jpeg));
        assert_eq!(of(SSH, &config, graphics("WezTerm 20240203")), Images::Auto(Image::Jpeg));
        let sixel = vec![Answer::Name("foot(1.16)".into()), Answer::Attributes { sixel: true }];
        assert_eq!(of(SSH, &config, sixel.clone()), Images::Sixel);
        let with = |key, value| {
            let mut env = SSH.to_vec();
            env.push((key, value));
            env
        };
        let far = with("SSH_CONNECTION", "10.0.0.1 4 10.0.0.2 22");
        assert_eq!(of(&far, &config, sixel), Images::None, "it would take too long");
        assert_eq!(of(&with("LC_TERMINAL", "iTerm2"), &config, Vec::new()), Images::Auto(Image::Jpeg));
        assert_eq!(of(&with("TERM_PROGRAM", "WezTerm"), &config, named("foot(1.16)")), Images::None);
        for (key, value) in [("TMUX", "/tmp/x"), ("STY", "1.pts"), ("ZELLIJ", "0")] {
            for cells in ["auto", "image"] {
                config.video.cells = cells.into();
                let learnt = learnt(&with(key, value), &config, graphics("kitty(0.40.1)"));
                assert_eq!((learnt.images, learnt.adaptive), (Images::Shared, false), "{key} {cells}");
            }
        }
        for (cells, images) in [
            ("image", Images::Always(Image::Kitty)),
            ("cells", Images::Unwanted),
            ("octant", Images::Unwanted),
        ] {
            config.video.cells = cells.into();
            assert_eq!(of(SSH, &config, graphics("kitty(0.40.1)")), images);
        }
    }
}
