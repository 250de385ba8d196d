//! What a terminal is asked at the start, and what it answers: bytes both ways, pure.
//!
//! Nobody waits for an answer. Over ssh it may take its time, so each is taken whenever it comes,
//! told apart from keys by [`super::input`].

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is well, and has read everything before the question (DSR).
    Status,
    /// What kind of terminal it says to be (DA1); every terminal answers this.
    Attributes {
        /// Pictures in sixels.
        sixel: bool,
    },
    /// Its name and version, as it writes them (XTVERSION).
    Name(String),
    /// A capability by its terminfo name (XTGETTCAP).
    Capability {
        /// The name.
        name: String,
        /// It has it.
        has: bool,
    },
    /// A mode (DECRPM): known, and could be set.
    Mode {
        /// Its number.
        mode: u16,
        /// It can be set and reset.
        can: bool,
    },
    /// An entry of the palette (OSC 4); who answers lets it be set, too.
    Entry {
        /// Which.
        index: u8,
        /// Its colour.
        rgb: [u8; 3],
    },
    /// The background (OSC 11).
    Background([u8; 3]),
    /// Whether it takes pictures in kitty's way.
    Graphics(bool),
}

/// The entry of the palette that is asked for.
pub const ENTRY: u8 = 255;
/// Synchronized output.
pub const SYNC: u16 = 2026;

/// Everything that is asked at the start. DA1 comes last: its answer says that there are no others.
/// What a terminal does not know it may print, so the screen is cleared behind.
pub fn questions(term: &str) -> Vec<u8> {
    let mut out = Vec::new();
    // Consoles and teletypes know nothing of the rest.
    let plain = ["linux", "dumb", "cons25"].contains(&term) || term.starts_with("vt");
    if !plain {
        // The name first: it explains the others.
        out.extend_from_slice(b"\x1b[>0q");
        out.extend_from_slice(b"\x1b]11;?\x1b\\");
        out.extend_from_slice(format!("\x1b]4;{ENTRY};?\x1b\\").as_bytes());
        // RGB and Tc: 24 bits of colour.
        out.extend_from_slice(b"\x1bP+q524742\x1b\\\x1bP+q5463\x1b\\");
        out.extend_from_slice(format!("\x1b[?{SYNC}$p").as_bytes());
        // One dot that is not kept.
        out.extend_from_slice(b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\");
    }
    out.extend_from_slice(b"\x1b[c\x1b[2J");
    out
}

/// The answer in a control sequence: what stands between `CSI` and the last byte, and that byte.
/// `None` for sequences that answer nothing known.
pub fn control(body: &[u8], last: u8) -> Option<Answer> {
    let text = std::str::from_utf8(body).ok()?;
    match last {
        b'n' => ["0", "3"].contains(&text).then_some(Answer::Status),
        b'c' => {
            let attributes = text.strip_prefix('?')?;
            Some(Answer::Attributes { sixel: attributes.split(';').skip(1).any(|number| number == "4") })
        }
        b'y' => {
            let (mode, state) = text.strip_prefix('?')?.strip_suffix('$')?.split_once(';')?;
            // 1 is set, 2 is reset; 0 is unknown, 3 and 4 cannot be changed.
            Some(Answer::Mode { mode: mode.parse().ok()?, can: ["1", "2"].contains(&state) })
        }
        _ => None,
    }
}

/// The answer in a device control string, without its introducer and terminator.
pub fn device(body: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(body).ok()?;
    if let Some(name) = text.strip_prefix(">|") {
        let name: String = name.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect();
        return Some(Answer::Name(name));
    }
    let (has, rest) = match (text.strip_prefix("1+r"), text.strip_prefix("0+r")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return None,
    };
    let name = rest.split(['=', ';']).next().unwrap_or_default();
    let name = data_encoding::HEXUPPER_PERMISSIVE.decode(name.as_bytes()).ok()?;
    Some(Answer::Capability { name: String::from_utf8(name).ok()?, has })
}

/// The answer in an operating system command, without its introducer and terminator.
pub fn system(body: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(body).ok()?;
    let (code, rest) = text.split_once(';')?;
    match code {
        "4" => {
            let (index, value) = rest.split_once(';')?;
            Some(Answer::Entry { index: index.parse().ok()?, rgb: colour(value)? })
        }
        "11" => Some(Answer::Background(colour(rest)?)),
        _ => None,
    }
}

/// The answer in an application program command: kitty's graphics.
pub fn program(body: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(body).ok()?;
    let (keys, said) = text.strip_prefix('G')?.split_once(';')?;
    keys.split(',').any(|key| key == "i=31").then(|| Answer::Graphics(said == "OK"))
}

/// `rgb:` and three numbers of one to four hexadecimal digits each, as X writes colours.
fn colour(text: &str) -> Option<[u8; 3]> {
    let text = text.strip_prefix("rgb:").or_else(|| text.strip_prefix("rgba:"))?;
    let mut parts = text.split('/');
    let mut part = || {
        let digits = parts.next().filter(|digits| (1..=4).contains(&digits.len()))?;
        let value = u32::from_str_radix(digits, 16).ok()?;
        let most = (1u32 << (4 * digits.len())) - 1;
        Some(((value * 255 + most / 2) / most) as u8)
    };
    Some([part()?, part()?, part()?])
}

/// Longer names are cut.
const NAME_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_as_terminals_write_them() {
        assert_eq!(control(b"0", b'n'), Some(Answer::Status));
        assert_eq!(control(b"?62;4;22", b'c'), Some(Answer::Attributes { sixel: true }));
        assert_eq!(control(b"?1;2", b'c'), Some(Answer::Attributes { sixel: false }));
        assert_eq!(control(b">41;354;0", b'c'), None, "that is DA2");
        assert_eq!(control(b"?2026;2$", b'y'), Some(Answer::Mode { mode: 2026, can: true }));
        assert_eq!(control(b"?2026;0$", b'y'), Some(Answer::Mode { mode: 2026, can: false }));
        assert_eq!(device(b">|foot(1.16.2)"), Some(Answer::Name("foot(1.16.2)".into())));
        let has = |name: &str, has| Some(Answer::Capability { name: name.into(), has });
        assert_eq!(device(b"1+r524742=382F382F38"), has("RGB", true));
        assert_eq!(device(b"0+r5463"), has("Tc", false));
        assert_eq!(device(b"1+r5463"), has("Tc", true));
        let entry = |rgb| Some(Answer::Entry { index: 255, rgb });
        assert_eq!(system(b"4;255;rgb:eeee/eeee/eeee"), entry([0xee; 3]));
        assert_eq!(system(b"4;255;rgb:ff/80/0"), entry([255, 128, 0]));
        assert_eq!(system(b"11;rgb:1d1d/1f1f/2121"), Some(Answer::Background([0x1d, 0x1f, 0x21])));
        assert_eq!(program(b"Gi=31;OK"), Some(Answer::Graphics(true)));
        assert_eq!(program(b"Gi=31;ENOTSUPPORTED: no"), Some(Answer::Graphics(false)));
    }

    #[test]
    fn what_answers_nothing_is_nothing() {
        for body in
            [&b""[..], b"4;", b"4;256;rgb:0/0/0", b"4;1;rgb:00000/0/0", b"11;#fff", b"52;c;aGk=", b"\xff"]
        {
            assert_eq!(system(body), None, "{body:?}");
        }
        assert_eq!(device(b"1+rzz"), None);
        assert_eq!(device(b"1$r0m"), None);
        assert_eq!(program(b"Gi=1;OK"), None);
        assert_eq!(control(b"12;5", b'R'), None);
        assert_eq!(control(b"1", b'n'), None);
    }

    #[test]
    fn a_console_is_asked_little() {
        assert_eq!(questions("linux"), b"\x1b[c\x1b[2J");
        let all = String::from_utf8(questions("xterm-256color")).expect("ASCII");
        assert!(
            all.ends_with("\x1b[c\x1b[2J") && all.contains("\x1b]4;255;?") && all.contains("a=q"),
            "{all:?}"
        );
    }
}
