//! The terminal: what it can do, entering and leaving it, and the bytes for what it does beside text.

use crate::config::Config;
use crossterm::cursor::{MoveTo, Show};
use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, DisableMouseCapture, EnableBracketedPaste, EnableFocusChange,
    EnableMouseCapture, KeyboardEnhancementFlags, PopKeyboardEnhancementFlags, PushKeyboardEnhancementFlags,
};
use crossterm::style::{Print, PrintStyledContent};
use crossterm::terminal::{self, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{execute, queue};
use data_encoding::BASE64;
use ratatui::backend::IntoCrossterm;
use ratatui::style::Style;
use std::io::{self, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

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
        let unicode = locale.contains("utf-8") || locale.contains("utf8");
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
    pub style: Style,
    /// Where it leads.
    pub url: String,
}

/// The terminal while the client has it: raw, alternate screen, pasted text and focus reported.
/// Dropping it gives it back.
pub struct Term {
    mouse: bool,
}

impl Term {
    /// Takes the terminal. A panic gives it back before its message is printed.
    ///
    /// # Errors
    /// Those of the terminal.
    pub fn enter(mouse: bool) -> io::Result<Self> {
        hook();
        TAKEN.store(true, Ordering::SeqCst);
        terminal::enable_raw_mode()?;
        let mut term = Self { mouse: false };
        let mut out = io::stdout();
        out.write_all(PUSH_TITLE)?;
        execute!(out, EnterAlternateScreen, EnableBracketedPaste, EnableFocusChange)?;
        // Terminals without it ignore it; asking first would cost a round trip over ssh.
        execute!(out, PushKeyboardEnhancementFlags(KeyboardEnhancementFlags::DISAMBIGUATE_ESCAPE_CODES))?;
        term.mouse(mouse)?;
        Ok(term)
    }

    /// Mouse reporting on or off.
    ///
    /// # Errors
    /// Those of the terminal.
    pub fn mouse(&mut self, on: bool) -> io::Result<()> {
        if on != self.mouse {
            self.mouse = on;
            let mut out = io::stdout();
            if on { execute!(out, EnableMouseCapture)? } else { execute!(out, DisableMouseCapture)? }
        }
        Ok(())
    }

    /// Gives the terminal back; taking it again needs [`Term::enter`].
    pub fn restore(self) {
        // By dropping it.
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back, in whatever state it is. Doing it twice changes nothing.
pub fn restore() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = io::stdout();
    // There is nobody left to tell when the terminal is gone.
    let _ = out.write_all(&leaving());
    let _ = out.flush();
    let _ = terminal::disable_raw_mode();
}

/// The bytes that undo everything that [`Term::enter`] did.
pub fn leaving() -> Vec<u8> {
    let mut out = Vec::new();
    let done = queue!(
        out,
        PopKeyboardEnhancementFlags,
        DisableMouseCapture,
        DisableFocusChange,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        Show
    );
    debug_assert!(done.is_ok(), "a Vec takes all bytes");
    out.extend_from_slice(b"\x1b[0m");
    out.extend_from_slice(POP_TITLE);
    out
}

/// Puts text on the clipboard (OSC 52). `None` when it is longer than terminals take.
pub fn copy(text: &str, mux: Mux) -> Option<Vec<u8>> {
    if text.len() > COPY_MAX {
        return None;
    }
    let body = format!("\x1b]52;c;{}\x07", BASE64.encode(text.as_bytes()));
    Some(through(body.into_bytes(), mux))
}

/// How a person who looks elsewhere is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alert {
    /// OSC 9: iTerm2, Windows Terminal, foot, WezTerm, Ghostty.
    Osc9,
    /// OSC 777: urxvt, foot, WezTerm, Ghostty.
    Osc777,
    /// OSC 99: kitty.
    Osc99,
    /// Only a bell.
    Bell,
    /// Not at all.
    None,
}

impl Alert {
    /// What the settings say, or what the terminal is known to understand.
    pub fn detect(env: impl Fn(&str) -> Option<String>, how: &str) -> Self {
        let is = |key: &str, part: &str| env(key).is_some_and(|value| value.to_lowercase().contains(part));
        match how {
            "osc9" => Self::Osc9,
            "osc777" => Self::Osc777,
            "osc99" => Self::Osc99,
            "bell" => Self::Bell,
            "none" => Self::None,
            _ if is("TERM", "kitty") || env("KITTY_WINDOW_ID").is_some() => Self::Osc99,
            _ if is("TERM", "rxvt") || is("TERM", "foot") || is("VTE_VERSION", "") => Self::Osc777,
            _ if ["iterm", "wezterm", "ghostty"].iter().any(|name| is("TERM_PROGRAM", name))
                || env("WT_SESSION").is_some() =>
            {
                Self::Osc9
            }
            _ => Self::Bell,
        }
    }
}

/// The bytes of a notification. Texts are made harmless and short here.
pub fn notify(title: &str, body: &str, alert: Alert, mux: Mux) -> Vec<u8> {
    let title = plain(title, 60);
    let body = plain(body, 200);
    let colon = if body.is_empty() { "" } else { ": " };
    // Semicolons part the fields of OSC 777.
    let field = |text: &str| text.replace(';', ",");
    let osc = match alert {
        Alert::None => return Vec::new(),
        Alert::Bell => return vec![7],
        // A leading number would be another command of ConEmu's; a letter never is.
        Alert::Osc9 => {
            format!("\x1b]9;{}{colon}{body}\x07", if title.is_empty() { "subrosa" } else { &title })
        }
        Alert::Osc777 => format!("\x1b]777;notify;{};{}\x07", field(&title), field(&body)),
        Alert::Osc99 => format!(
            "\x1b]99;i=subrosa:d=0:p=title:e=1;{}\x1b\\\x1b]99;i=subrosa:d=1:p=body:e=1;{}\x1b\\",
            BASE64.encode(title.as_bytes()),
            BASE64.encode(body.as_bytes())
        ),
    };
    let mut out = through(osc.into_bytes(), mux);
    // Inside of a multiplexer the bell also marks the window.
    if mux != Mux::None {
        out.push(7);
    }
    out
}

/// The bytes that set the window's title.
pub fn title(text: &str) -> Vec<u8> {
    format!("\x1b]2;{}\x07", plain(text, 100)).into_bytes()
}

/// The bytes that make parts of the drawn screen into links, to be written right after a frame. The
/// cursor and the colours come back to where they were.
///
/// Link text is the only underlined text in the conversation, so the drawing library overwrites a
/// cell, and with it its link, whenever it stops to be one.
pub fn hyperlinks(links: &[Hyperlink], mux: Mux) -> Vec<u8> {
    let mut out = Vec::new();
    if mux == Mux::Screen || links.is_empty() {
        return out;
    }
    out.extend_from_slice(b"\x1b7");
    for link in links {
        let url: String = link.url.chars().filter(|c| !c.is_control() && !c.is_whitespace()).collect();
        let text = crate::ui::text::line(&link.text);
        let shown = link.style.into_crossterm().apply(text);
        let (open, close) = (format!("\x1b]8;;{url}\x1b\\"), "\x1b]8;;\x1b\\");
        let done = queue!(out, MoveTo(link.x, link.y), Print(open), PrintStyledContent(shown), Print(close));
        debug_assert!(done.is_ok(), "a Vec takes all bytes");
    }
    out.extend_from_slice(b"\x1b8");
    out
}

/// Text for the terminal itself: one harmless line, cut.
fn plain(text: &str, columns: usize) -> String {
    crate::ui::text::truncate(&crate::ui::text::line(text), columns)
}

/// Wraps a sequence so that it reaches the terminal behind a multiplexer.
fn through(bytes: Vec<u8>, mux: Mux) -> Vec<u8> {
    let (open, double): (&[u8], bool) = match mux {
        Mux::None => return bytes,
        Mux::Tmux => (b"\x1bPtmux;", true),
        Mux::Screen => (b"\x1bP", false),
    };
    let mut out = open.to_vec();
    if double {
        for byte in bytes {
            if byte == 0x1b {
                out.push(0x1b);
            }
            out.push(byte);
        }
        out.extend_from_slice(b"\x1b\\");
        return out;
    }
    // screen takes short strings only, and an ST inside would end the wrapper.
    for (i, part) in bytes.chunks(SCREEN_CHUNK).enumerate() {
        if i > 0 {
            out.extend_from_slice(b"\x1b\\\x1bP");
        }
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"\x1b\\");
    out
}

fn hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
        }));
    });
}

/// The terminal is ours; whoever gives it back first does it alone.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// xterm's title stack.
const PUSH_TITLE: &[u8] = b"\x1b[22;2t";
const POP_TITLE: &[u8] = b"\x1b[23;2t";
/// The most that terminals take at once: xterm and tmux stop near 100 KB of base64.
const COPY_MAX: usize = 74_000;
const SCREEN_CHUNK: usize = 240;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn caps(vars: &[(&str, &str)]) -> Caps {
        let vars: HashMap<String, String> = vars.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        Caps::detect(|key| vars.get(key).cloned(), &Config::default())
    }

    #[test]
    fn the_environment_says_what_it_can() {
        let plain = caps(&[("TERM", "xterm")]);
        assert_eq!(plain, Caps { depth: Depth::Ansi16, unicode: false, mux: Mux::None, cells: Cells::Ascii });
        let good = caps(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor"), ("LANG", "de_DE.UTF-8")]);
        assert_eq!(good, Caps { depth: Depth::True, unicode: true, mux: Mux::None, cells: Cells::Half });
        let tmux =
            caps(&[("TERM", "screen-256color"), ("TMUX", "/tmp/x"), ("LC_ALL", "C.utf8"), ("LANG", "C")]);
        assert_eq!((tmux.depth, tmux.unicode, tmux.mux), (Depth::Ansi256, true, Mux::Tmux));
        let mono = caps(&[("TERM", "xterm-256color"), ("NO_COLOR", "1"), ("LC_CTYPE", "C.UTF-8")]);
        assert_eq!((mono.depth, mono.cells), (Depth::None, Cells::Braille));
        assert!(!caps(&[("LANG", "C.UTF-8"), ("LC_ALL", "C")]).unicode, "LC_ALL wins");
    }

    #[test]
    fn the_clipboard_through_multiplexers() {
        assert_eq!(copy("hi", Mux::None).as_deref(), Some(b"\x1b]52;c;aGk=\x07".as_slice()));
        assert_eq!(
            copy("hi", Mux::Tmux).as_deref(),
            Some(b"\x1bPtmux;\x1b\x1b]52;c;aGk=\x07\x1b\\".as_slice())
        );
        assert_eq!(copy("hi", Mux::Screen).as_deref(), Some(b"\x1bP\x1b]52;c;aGk=\x07\x1b\\".as_slice()));
        assert_eq!(copy(&"x".repeat(COPY_MAX + 1), Mux::None), None);
        let long = copy(&"x".repeat(1000), Mux::Screen).expect("short enough");
        assert_eq!(long.windows(4).filter(|w| w == b"\x1b\\\x1bP").count(), 5);
    }

    #[test]
    fn notifications_carry_no_escapes() {
        let evil = "a\x1b]0;x\x07;b\u{9c}";
        let bytes = notify(evil, "two\nlines", Alert::Osc777, Mux::None);
        assert_eq!(bytes, "\x1b]777;notify;a\u{fffd}]0,x\u{fffd},b\u{fffd};two lines\x07".as_bytes());
        assert_eq!(notify("ben", "hi", Alert::Osc9, Mux::None), b"\x1b]9;ben: hi\x07");
        assert_eq!(
            notify("ben", "hi", Alert::Osc9, Mux::Tmux),
            b"\x1bPtmux;\x1b\x1b]9;ben: hi\x07\x1b\\\x07"
        );
        assert_eq!(notify("ben", "hi", Alert::Bell, Mux::Tmux), b"\x07");
        assert_eq!(notify("ben", "hi", Alert::None, Mux::Tmux), b"");
        let kitty = notify("ben", "hi", Alert::Osc99, Mux::None);
        assert_eq!(
            kitty,
            b"\x1b]99;i=subrosa:d=0:p=title:e=1;YmVu\x1b\\\x1b]99;i=subrosa:d=1:p=body:e=1;aGk=\x1b\\"
        );
        assert_eq!(title("(2) b\x07en"), "\x1b]2;(2) b\u{fffd}en\x07".as_bytes());
    }

    #[test]
    fn the_terminal_is_told_how_to_notify() {
        let of = |key: &'static str, value: &'static str| {
            Alert::detect(move |k| (k == key).then(|| value.to_owned()), "auto")
        };
        assert_eq!(of("TERM", "xterm-kitty"), Alert::Osc99);
        assert_eq!(of("TERM_PROGRAM", "WezTerm"), Alert::Osc9);
        assert_eq!(of("TERM", "foot"), Alert::Osc777);
        assert_eq!(of("TERM", "xterm"), Alert::Bell);
        assert_eq!(Alert::detect(|_| None, "none"), Alert::None);
    }

    #[test]
    fn links_are_written_where_they_stand() {
        let link = Hyperlink {
            x: 4,
            y: 2,
            text: "http://a".into(),
            style: Style::new(),
            url: "http://a\x1b\\b".into(),
        };
        let bytes = hyperlinks(std::slice::from_ref(&link), Mux::None);
        assert_eq!(bytes, b"\x1b7\x1b[3;5H\x1b]8;;http://a\\b\x1b\\http://a\x1b]8;;\x1b\\\x1b8");
        assert_eq!(hyperlinks(&[link], Mux::Screen), b"");
    }

    #[test]
    fn leaving_undoes_everything() {
        let bytes = String::from_utf8(leaving()).expect("ASCII");
        for undone in [
            "\x1b[<1u",
            "\x1b[?1006l",
            "\x1b[?1004l",
            "\x1b[?2004l",
            "\x1b[?1049l",
            "\x1b[?25h",
            "\x1b[23;2t",
        ] {
            assert!(bytes.contains(undone), "{undone:?} in {bytes:?}");
        }
    }
}
