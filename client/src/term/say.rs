//! What is said beside the text: clipboard, notifications, title, links. Bytes, pure.

use super::Mux;
use crossterm::cursor::MoveTo;
use crossterm::queue;
use crossterm::style::{Print, PrintStyledContent};
use data_encoding::BASE64;
use ratatui::backend::IntoCrossterm;
use ratatui::style::Style;

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

/// Puts text on the clipboard (OSC 52). `None` when it is longer than terminals take. tmux takes it for its own
/// buffer and hands it on where `set-clipboard` is `on`, and lets it through where `allow-passthrough` is.
/// Where it is pasted, none of it is a key.
pub fn copy(text: &str, mux: Mux) -> Option<Vec<u8>> {
    let text = crate::ui::text::bare(text);
    if text.len() > COPY_MAX {
        return None;
    }
    let body = format!("\x1b]52;c;{}\x07", BASE64.encode(text.as_bytes())).into_bytes();
    let mut out = if mux == Mux::Tmux { body.clone() } else { Vec::new() };
    out.extend(through(body, mux));
    Some(out)
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
            let own = match title.chars().next() {
                None => "subrosa",
                Some(first) if first.is_ascii_digit() => "subrosa: ",
                Some(_) => "",
            };
            format!("\x1b]9;{own}{title}{colon}{body}\x07")
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
        Mux::None | Mux::Zellij => return bytes,
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

/// The most that terminals take at once: xterm and tmux stop near 100 KB of base64.
const COPY_MAX: usize = 74_000;
const SCREEN_CHUNK: usize = 240;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clipboard_through_multiplexers() {
        assert_eq!(copy("hi", Mux::None).as_deref(), Some(b"\x1b]52;c;aGk=\x07".as_slice()));
        assert_eq!(
            copy("hi", Mux::Tmux).as_deref(),
            Some(b"\x1b]52;c;aGk=\x07\x1bPtmux;\x1b\x1b]52;c;aGk=\x07\x1b\\".as_slice())
        );
        assert_eq!(copy("hi", Mux::Screen).as_deref(), Some(b"\x1bP\x1b]52;c;aGk=\x07\x1b\\".as_slice()));
        assert_eq!(copy(&"x".repeat(COPY_MAX + 1), Mux::None), None);
        let long = copy(&"x".repeat(1000), Mux::Screen).expect("short enough");
        assert_eq!(long.windows(4).filter(|w| w == b"\x1b\\\x1bP").count(), 5);
    }

    #[test]
    fn a_copied_message_typed_keys_where_it_was_pasted() {
        let bytes = copy("a\x1b[201~\x15/file x\rb", Mux::None).expect("short enough");
        let body = bytes.strip_prefix(b"\x1b]52;c;").and_then(|rest| rest.strip_suffix(b"\x07"));
        let pasted = BASE64.decode(body.expect("an OSC 52")).expect("base64");
        assert_eq!(pasted, b"a[201~/file x\nb");
    }

    #[test]
    fn notifications_carry_no_escapes() {
        let evil = "a\x1b]0;x\x07;b\u{9c}";
        let bytes = notify(evil, "two\nlines", Alert::Osc777, Mux::None);
        assert_eq!(bytes, "\x1b]777;notify;a\u{fffd}]0,x\u{fffd},b\u{fffd};two lines\x07".as_bytes());
        assert_eq!(notify("ben", "hi", Alert::Osc9, Mux::None), b"\x1b]9;ben: hi\x07");
        assert_eq!(notify("4;1;50", "hi", Alert::Osc9, Mux::None), b"\x1b]9;subrosa: 4;1;50: hi\x07");
        assert_eq!(notify("", "hi", Alert::Osc9, Mux::None), b"\x1b]9;subrosa: hi\x07");
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
}
