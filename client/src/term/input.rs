//! Bytes from a terminal into keys, pastes and answers, pure.
//!
//! Answers of a terminal come between the keys, at any time. Here both are told apart, so that no
//! answer, however late, is ever taken for something that was typed.

use super::answer::{self, Answer};
use crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use std::time::Duration;

/// One thing that came from a terminal.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Of the person.
    Event(Event),
    /// Of the terminal itself.
    Answer(Answer),
}

/// Takes bytes as they come, cut anywhere.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    paste: Option<Vec<u8>>,
}

/// What stands at the head of the bytes.
enum Step {
    /// So many bytes are that.
    Is(usize, Option<Input>),
    /// More bytes decide.
    Open,
}

impl Decoder {
    /// Takes bytes; what they complete goes to `out`.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<Input>) {
        // In parts, so that a flood takes no more memory than a part.
        for part in bytes.chunks(4096) {
            self.bytes.extend_from_slice(part);
            self.run(false, out);
        }
    }

    /// How long to wait for the bytes that complete what has begun, before [`Decoder::settle`].
    pub fn waits(&self) -> Option<Duration> {
        match self.bytes.len() {
            0 => None,
            // A key by itself, unless more comes at once.
            _ if self.paste.is_some() => None,
            1 | 2 => Some(ALONE),
            _ => Some(BEGUN),
        }
    }

    /// No bytes came: what has begun stands for itself.
    pub fn settle(&mut self, out: &mut Vec<Input>) {
        // In a paste the rest comes, however late.
        self.run(self.paste.is_none(), out);
    }

    fn run(&mut self, settle: bool, out: &mut Vec<Input>) {
        let mut at = 0;
        while at < self.bytes.len() {
            if let Some(paste) = &mut self.paste {
                let rest = &self.bytes[at..];
                let Some(end) = find(rest, PASTE_END) else {
                    // The end may be cut itself.
                    let sure = rest.len().saturating_sub(PASTE_END.len() - 1);
                    let room = PASTE_MAX.saturating_sub(paste.len());
                    paste.extend_from_slice(&rest[..sure.min(room)]);
                    at += sure;
                    break;
                };
                let room = PASTE_MAX.saturating_sub(paste.len());
                paste.extend_from_slice(&rest[..end.min(room)]);
                let text = String::from_utf8_lossy(paste).into_owned();
                out.push(Input::Event(Event::Paste(text)));
                self.paste = None;
                at += end + PASTE_END.len();
                continue;
            }
            let rest = &self.bytes[at..];
            if rest.starts_with(PASTE_BEGIN) {
                self.paste = Some(Vec::new());
                at += PASTE_BEGIN.len();
                continue;
            }
            match step(rest, settle) {
                Step::Is(count, input) => {
                    out.extend(input);
                    at += count.max(1);
                }
                Step::Open => break,
            }
        }
        self.bytes.drain(..at);
    }
}

/// Reads one thing. With `settle` it always is one.
fn step(bytes: &[u8], settle: bool) -> Step {
    let first = bytes[0];
    if first != ESC {
        return plain(bytes, KeyModifiers::NONE, settle);
    }
    let Some(second) = bytes.get(1) else {
        return if settle { key(1, KeyCode::Esc, KeyModifiers::NONE) } else { Step::Open };
    };
    match second {
        b'[' => control(bytes, settle),
        b'O' => match bytes.get(2) {
            Some(last) => match single(*last) {
                Some(code) => key(3, code, KeyModifiers::NONE),
                None => Step::Is(3, None),
            },
            None if settle => key(2, KeyCode::Char('O'), KeyModifiers::ALT | KeyModifiers::SHIFT),
            None => Step::Open,
        },
        b'P' | b']' | b'_' => string(bytes, settle),
        // Escape twice, or before the next sequence.
        &ESC => key(1, KeyCode::Esc, KeyModifiers::NONE),
        _ => match plain(&bytes[1..], KeyModifiers::ALT, settle) {
            Step::Is(count, input) => Step::Is(count + 1, input),
            Step::Open => Step::Open,
        },
    }
}

/// A character or a control key.
fn plain(bytes: &[u8], with: KeyModifiers, settle: bool) -> Step {
    let ctrl = with | KeyModifiers::CONTROL;
    match bytes[0] {
        b'\r' => key(1, KeyCode::Enter, with),
        b'\t' => key(1, KeyCode::Tab, with),
        0x7f => key(1, KeyCode::Backspace, with),
        0 => key(1, KeyCode::Char(' '), ctrl),
        byte @ 1..=0x1a => key(1, KeyCode::Char(char::from(byte - 1 + b'a')), ctrl),
        byte @ 0x1c..=0x1f => key(1, KeyCode::Char(char::from(byte - 0x1c + b'4')), ctrl),
        first => {
            let count = match first {
                0..0x80 => 1,
                0xc2..0xe0 => 2,
                0xe0..0xf0 => 3,
                0xf0..0xf5 => 4,
                // No beginning of a character.
                _ => return Step::Is(1, None),
            };
            let Some(whole) = bytes.get(..count) else {
                let begun = bytes[1..].iter().all(|byte| (0x80..0xc0).contains(byte));
                return if begun && !settle { Step::Open } else { Step::Is(1, None) };
            };
            match std::str::from_utf8(whole).ok().and_then(|text| text.chars().next()) {
                Some(c) => {
                    let shift = if c.is_uppercase() { KeyModifiers::SHIFT } else { KeyModifiers::NONE };
                    key(count, KeyCode::Char(c), with | shift)
                }
                None => Step::Is(1, None),
            }
        }
    }
}

/// `CSI …`.
fn control(bytes: &[u8], settle: bool) -> Step {
    // The Linux console's F1 to F5.
    if bytes.get(2) == Some(&b'[') {
        return match bytes.get(3) {
            Some(last @ b'A'..=b'E') => key(4, KeyCode::F(last - b'A' + 1), KeyModifiers::NONE),
            Some(_) => Step::Is(3, None),
            None if settle => Step::Is(3, None),
            None => Step::Open,
        };
    }
    // X10's mouse: three bytes of any value.
    if bytes.get(2) == Some(&b'M') {
        return match bytes.get(3..6) {
            Some(place) => Step::Is(6, old_mouse(place)),
            None if settle => Step::Is(3, None),
            None => Step::Open,
        };
    }
    let parameters =
        bytes[2..].iter().take(CONTROL_MAX).take_while(|byte| (0x20..0x40).contains(*byte)).count();
    let end = 2 + parameters;
    match bytes.get(end) {
        Some(last @ 0x40..=0x7e) => Step::Is(end + 1, sequence(&bytes[2..end], *last)),
        // Cut short by something else, or far too long.
        Some(_) => Step::Is(end, None),
        None if settle && parameters == 0 => key(2, KeyCode::Char('['), KeyModifiers::ALT),
        None if settle => Step::Is(end, None),
        None => Step::Open,
    }
}

/// A whole control sequence.
fn sequence(body: &[u8], last: u8) -> Option<Input> {
    if let Some(answer) = answer::control(body, last) {
        return Some(Input::Answer(answer));
    }
    if body.first() == Some(&b'<') {
        return mouse(&body[1..], last);
    }
    match (body, last) {
        (b"", b'I') => return Some(Input::Event(Event::FocusGained)),
        (b"", b'O') => return Some(Input::Event(Event::FocusLost)),
        _ => {}
    }
    let text = std::str::from_utf8(body).ok()?;
    // Reports of other kinds begin with a sign of their own.
    if text.starts_with(['?', '>', '=']) {
        return None;
    }
    let mut fields = text.split(';');
    let first = fields.next().unwrap_or_default();
    let (modifiers, kind) = modifiers(fields.next().unwrap_or_default())?;
    let code = match last {
        b'~' => tilde(first.parse().ok()?)?,
        b'u' => return unicode(first, modifiers, kind),
        b'Z' => return Some(event(KeyCode::BackTab, modifiers | KeyModifiers::SHIFT, kind)),
        // Where the cursor is: nobody asked.
        b'R' if first != "1" && !first.is_empty() => return None,
        _ if first.is_empty() || first == "1" => single(last)?,
        _ => return None,
    };
    Some(event(code, modifiers, kind))
}

/// The key of a last byte alone, after `CSI` or `SS3`.
fn single(last: u8) -> Option<KeyCode> {
    Some(match last {
        b'A' => KeyCode::Up,
        b'B' => KeyCode::Down,
        b'C' => KeyCode::Right,
        b'D' => KeyCode::Left,
        b'F' => KeyCode::End,
        b'H' => KeyCode::Home,
        b'P'..=b'S' => KeyCode::F(last - b'P' + 1),
        // The keypad in its application mode.
        b'M' => KeyCode::Enter,
        b'j'..=b'y' => KeyCode::Char(char::from(last - 0x40)),
        _ => return None,
    })
}

fn tilde(number: u8) -> Option<KeyCode> {
    Some(match number {
        1 | 7 => KeyCode::Home,
        2 => KeyCode::Insert,
        3 => KeyCode::Delete,
        4 | 8 => KeyCode::End,
        5 => KeyCode::PageUp,
        6 => KeyCode::PageDown,
        11..=15 => KeyCode::F(number - 10),
        17..=21 => KeyCode::F(number - 11),
        23..=26 => KeyCode::F(number - 12),
        28..=29 => KeyCode::F(number - 13),
        31..=34 => KeyCode::F(number - 14),
        _ => return None,
    })
}

/// kitty's keyboard protocol: a character's number, maybe with its shifted one, and with the one of the same
/// key on a Latin keyboard.
fn unicode(first: &str, mut modifiers: KeyModifiers, kind: KeyEventKind) -> Option<Input> {
    let mut codes = first.split(':');
    let number: u32 = codes.next()?.parse().ok()?;
    let code = match number {
        9 if modifiers.contains(KeyModifiers::SHIFT) => KeyCode::BackTab,
        9 => KeyCode::Tab,
        13 | 57_414 => KeyCode::Enter,
        27 => KeyCode::Esc,
        8 | 127 => KeyCode::Backspace,
        57_376..=57_398 => KeyCode::F((number - 57_376 + 13) as u8),
        57_399..=57_408 => KeyCode::Char(char::from_digit(number - 57_399, 10)?),
        57_409..=57_413 => KeyCode::Char(['.', '/', '*', '-', '+'][(number - 57_409) as usize]),
        57_415 => KeyCode::Char('='),
        57_416 => KeyCode::Char(','),
        57_417 => KeyCode::Left,
        57_418 => KeyCode::Right,
        57_419 => KeyCode::Up,
        57_420 => KeyCode::Down,
        57_421 => KeyCode::PageUp,
        57_422 => KeyCode::PageDown,
        57_423 => KeyCode::Home,
        57_424 => KeyCode::End,
        57_425 => KeyCode::Insert,
        57_426 => KeyCode::Delete,
        // Locks, media keys and modifiers by themselves.
        57_344..=63_743 => return None,
        _ => {
            let mut other = || {
                let code: u32 = codes.next()?.parse().ok()?;
                char::from_u32(code).filter(|c| !c.is_control())
            };
            let (shifted, base) = (other(), other());
            let c = char::from_u32(number).filter(|c| !c.is_control())?;
            let shift = modifiers.contains(KeyModifiers::SHIFT);
            // Chords are Latin letters on every keyboard; Ctrl and Alt together are AltGr, which types.
            let chord = modifiers.contains(KeyModifiers::CONTROL) != modifiers.contains(KeyModifiers::ALT);
            match base.filter(|base| chord && !c.is_ascii() && base.is_ascii()) {
                Some(base) if shift => KeyCode::Char(upper(base)),
                Some(base) => KeyCode::Char(base),
                None if shift => KeyCode::Char(shifted.unwrap_or_else(|| upper(c))),
                None => KeyCode::Char(c),
            }
        }
    };
    if code == KeyCode::BackTab {
        modifiers |= KeyModifiers::SHIFT;
    }
    Some(event(code, modifiers, kind))
}

fn upper(c: char) -> char {
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// Modifiers and kind as a key's second field writes them: `5`, `5:1`.
fn modifiers(field: &str) -> Option<(KeyModifiers, KeyEventKind)> {
    let (mask, kind) = field.split_once(':').unwrap_or((field, ""));
    let bits = if mask.is_empty() { 0 } else { mask.parse::<u16>().ok()?.saturating_sub(1) };
    let known = [
        (1, KeyModifiers::SHIFT),
        (2, KeyModifiers::ALT),
        (4, KeyModifiers::CONTROL),
        (8, KeyModifiers::SUPER),
        (16, KeyModifiers::HYPER),
        (32, KeyModifiers::META),
    ];
    let set = known.into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, modifier)| modifier);
    let kind = match kind {
        "2" => KeyEventKind::Repeat,
        "3" => KeyEventKind::Release,
        _ => KeyEventKind::Press,
    };
    Some((set.collect(), kind))
}

/// The mouse as SGR writes it: button, column, row; `m` lets go.
fn mouse(body: &[u8], last: u8) -> Option<Input> {
    let mut numbers = std::str::from_utf8(body).ok()?.split(';').map(|number| number.parse::<u16>().ok());
    let (button, column, row) = (numbers.next()??, numbers.next()??, numbers.next()??);
    if !matches!(last, b'M' | b'm') || numbers.next().is_some() {
        return None;
    }
    moved(u8::try_from(button).ok()?, column, row, last == b'm')
}

/// The mouse as X10 writes it: each value above 32.
fn old_mouse(place: &[u8]) -> Option<Input> {
    let value = |at: usize| place.get(at)?.checked_sub(32);
    let button = value(0)?;
    moved(button, value(1)?.into(), value(2)?.into(), button & 0b11 == 3 && button & 0b110_0000 == 0)
}

fn moved(button: u8, column: u16, row: u16, released: bool) -> Option<Input> {
    let side = match button & 0b1100_0011 {
        0 => Some(MouseButton::Left),
        1 => Some(MouseButton::Middle),
        2 => Some(MouseButton::Right),
        _ => None,
    };
    let drags = button & 0b10_0000 != 0;
    let kind = match (button & 0b1100_0011, side) {
        (64, _) => MouseEventKind::ScrollUp,
        (65, _) => MouseEventKind::ScrollDown,
        (66, _) => MouseEventKind::ScrollLeft,
        (67, _) => MouseEventKind::ScrollRight,
        (_, Some(side)) if drags => MouseEventKind::Drag(side),
        (3, None) if drags => MouseEventKind::Moved,
        (3, None) => MouseEventKind::Up(MouseButton::Left),
        (_, Some(side)) if released => MouseEventKind::Up(side),
        (_, Some(side)) => MouseEventKind::Down(side),
        _ => return None,
    };
    let bits = [(4, KeyModifiers::SHIFT), (8, KeyModifiers::ALT), (16, KeyModifiers::CONTROL)];
    let modifiers =
        bits.into_iter().filter(|(bit, _)| button & bit != 0).map(|(_, modifier)| modifier).collect();
    let (column, row) = (column.saturating_sub(1), row.saturating_sub(1));
    Some(Input::Event(Event::Mouse(MouseEvent { kind, column, row, modifiers })))
}

/// `DCS`, `OSC` or `APC` up to their terminator. Alt and the same letter begin alike: only what
/// looks like an answer is one.
fn string(bytes: &[u8], settle: bool) -> Step {
    let kind = bytes[1];
    let alone = || match plain(&bytes[1..], KeyModifiers::ALT, true) {
        Step::Is(count, input) => Step::Is(count + 1, input),
        Step::Open => Step::Open,
    };
    let Some(third) = bytes.get(2) else { return if settle { alone() } else { Step::Open } };
    let begins = match kind {
        b'P' => third.is_ascii_digit() || [b'>', b'!', b'$', b'+'].contains(third),
        b']' => third.is_ascii_digit(),
        _ => *third == b'G',
    };
    if !begins {
        return alone();
    }
    let body = &bytes[2..];
    let end = body.iter().position(|byte| [ESC, BEL, CAN, SUB].contains(byte));
    match end {
        Some(end) if body[end] == ESC && end + 1 == body.len() && !settle => Step::Open,
        Some(end) => {
            let whole = &body[..end];
            let answer = match kind {
                b'P' => answer::device(whole),
                b']' => answer::system(whole),
                _ => answer::program(whole),
            };
            // ST has two bytes; another escape begins something else.
            let tail = match (body[end], body.get(end + 1)) {
                (ESC, Some(b'\\')) => 2,
                (ESC, _) => 0,
                _ => 1,
            };
            Step::Is(2 + end + tail, answer.map(Input::Answer))
        }
        // Without an end it is dropped, before it swallows what is typed.
        None if settle || body.len() > STRING_MAX => Step::Is(bytes.len(), None),
        None => Step::Open,
    }
}

fn key(count: usize, code: KeyCode, modifiers: KeyModifiers) -> Step {
    Step::Is(count, Some(event(code, modifiers, KeyEventKind::Press)))
}

fn event(code: KeyCode, modifiers: KeyModifiers, kind: KeyEventKind) -> Input {
    Input::Event(Event::Key(KeyEvent::new_with_kind(code, modifiers, kind)))
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// After an escape; sequences come in one piece nearly always.
const ALONE: Duration = Duration::from_millis(50);
/// In the midst of a sequence.
const BEGUN: Duration = Duration::from_millis(500);
const ESC: u8 = 0x1b;
const BEL: u8 = 7;
const CAN: u8 = 0x18;
const SUB: u8 = 0x1a;
const PASTE_BEGIN: &[u8] = b"\x1b[200~";
const PASTE_END: &[u8] = b"\x1b[201~";
/// More than a message; the rest of a longer paste is dropped.
const PASTE_MAX: usize = 1 << 20;
/// Longer control sequences are none.
const CONTROL_MAX: usize = 64;
/// Longer answers are none.
const STRING_MAX: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    /// What was read, shortly.
    fn read(bytes: &[u8]) -> Vec<String> {
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        decoder.feed(bytes, &mut out);
        decoder.settle(&mut out);
        assert_eq!(decoder.waits(), None);
        out.iter().map(short).collect()
    }

    fn short(input: &Input) -> String {
        match input {
            Input::Event(Event::Key(key)) => {
                let kind =
                    if key.kind == KeyEventKind::Press { String::new() } else { format!(" {:?}", key.kind) };
                let with: Vec<_> = key.modifiers.iter_names().map(|(name, _)| name).collect();
                format!("{:?} {}{kind}", key.code, with.join("+"))
            }
            Input::Event(Event::Mouse(mouse)) => format!("{:?} {} {}", mouse.kind, mouse.column, mouse.row),
            Input::Event(other) => format!("{other:?}"),
            Input::Answer(answer) => format!("{answer:?}"),
        }
    }

    #[test]
    fn keys_of_old_and_new_terminals() {
        for (bytes, keys) in [
            (&b"a"[..], "Char('a') "),
            (b"A", "Char('A') SHIFT"),
            (b"\x1b", "Esc "),
            (b"\x1ba", "Char('a') ALT"),
            (b"\x1b\r", "Enter ALT"),
            (b"\r", "Enter "),
            (b"\n", "Char('j') CONTROL"),
            (b"\x18", "Char('x') CONTROL"),
            (b"\x1f", "Char('7') CONTROL"),
            (b"\0", "Char(' ') CONTROL"),
            (b"\x7f", "Backspace "),
            (b"\x1b\x7f", "Backspace ALT"),
            (b"\x1bOP", "F(1) "),
            (b"\x1b[A", "Up "),
            (b"\x1b[1;5C", "Right CONTROL"),
            (b"\x1b[1;3A", "Up ALT"),
            (b"\x1b[3~", "Delete "),
            (b"\x1b[3;5~", "Delete CONTROL"),
            (b"\x1b[15~", "F(5) "),
            (b"\x1b[17~", "F(6) "),
            (b"\x1b[24~", "F(12) "),
            (b"\x1b[Z", "BackTab SHIFT"),
            (b"\x1b[1;2R", "F(3) SHIFT"),
            (b"\x1b[[A", "F(1) "),
            (b"\x1b[27u", "Esc "),
            (b"\x1b[97;5u", "Char('a') CONTROL"),
            (b"\x1b[97:65;2u", "Char('A') SHIFT"),
            // On a Cyrillic keyboard: Ctrl+c, Alt+c, Alt+Shift+c, and letters that are typed.
            (b"\x1b[1089::99;5u", "Char('c') CONTROL"),
            (b"\x1b[1089::99;3u", "Char('c') ALT"),
            (b"\x1b[1089:1057:99;4u", "Char('C') SHIFT+ALT"),
            (b"\x1b[1089:1057:99;2u", "Char('С') SHIFT"),
            (b"\x1b[1089::99;7u", "Char('с') CONTROL+ALT"),
            // Where Latin letters lie elsewhere, the letter counts and not its place.
            (b"\x1b[99::105;5u", "Char('c') CONTROL"),
            (b"\x1b[49:33;4u", "Char('!') SHIFT+ALT"),
            (b"\x1b[13;2u", "Enter SHIFT"),
            (b"\x1b[9;2u", "BackTab SHIFT"),
            (b"\x1b[97;5:3u", "Char('a') CONTROL Release"),
            (b"\x1b[57414u", "Enter "),
            (b"\x1b[57399u", "Char('0') "),
            ("ß".as_bytes(), "Char('ß') "),
            ("\x1bé".as_bytes(), "Char('é') ALT"),
            ("🦀".as_bytes(), "Char('🦀') "),
            (b"\x1b[", "Char('[') ALT"),
            (b"\x1bP", "Char('P') SHIFT+ALT"),
            (b"\x1b]", "Char(']') ALT"),
            (b"\x1b_", "Char('_') ALT"),
            (b"\x1bO", "Char('O') SHIFT+ALT"),
            (b"\x1b[I", "FocusGained"),
            (b"\x1b[<0;5;7M", "Down(Left) 4 6"),
            (b"\x1b[<0;5;7m", "Up(Left) 4 6"),
            (b"\x1b[<64;1;1M", "ScrollUp 0 0"),
            (b"\x1b[<32;2;2M", "Drag(Left) 1 1"),
            (b"\x1b[M !!", "Down(Left) 0 0"),
        ] {
            assert_eq!(read(bytes), [keys], "{:?}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(read(b"\x1b\x1b"), ["Esc ", "Esc "]);
        assert_eq!(read(b"\x1b\x1b[A"), ["Esc ", "Up "]);
        assert_eq!(read(b"\x1bPhi"), ["Char('P') SHIFT+ALT", "Char('h') ", "Char('i') "]);
    }

    #[test]
    fn a_late_answer_was_taken_for_typing() {
        let answers = b"h\x1bP>|kitty(0.40.1)\x1b\\i\x1b]4;255;rgb:ee/ee/ee\x07\x1b[?2026;2$y\x1b_Gi=31;OK\x1b\\\x1b[?62;4c!\x1b[0n";
        let whole = read(answers);
        assert_eq!(
            whole,
            [
                "Char('h') ",
                "Name(\"kitty(0.40.1)\")",
                "Char('i') ",
                "Entry { index: 255, rgb: [238, 238, 238] }",
                "Mode { mode: 2026, can: true }",
                "Graphics(true)",
                "Attributes { sixel: true }",
                "Char('!') ",
                "Status",
            ]
        );
        // However they are cut on their way.
        for cut in 1..answers.len() {
            let mut decoder = Decoder::default();
            let mut out = Vec::new();
            decoder.feed(&answers[..cut], &mut out);
            decoder.feed(&answers[cut..], &mut out);
            assert_eq!(out.iter().map(short).collect::<Vec<_>>(), whole, "cut at {cut}");
        }
        // Also what nobody asked for.
        for report in
            [&b"\x1b[12;40R"[..], b"\x1b[>41;354;0c", b"\x1b[?1u", b"\x1b[8;24;80t", b"\x1b]52;c;aGk=\x1b\\"]
        {
            assert_eq!(read(report), [""; 0], "{:?}", String::from_utf8_lossy(report));
        }
    }

    #[test]
    fn a_paste_is_one_thing_and_bounded() {
        assert_eq!(
            read(b"\x1b[200~two\nlines \x1b[A\x1b[201~x"),
            ["Paste(\"two\\nlines \\u{1b}[A\")", "Char('x') "]
        );
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        decoder.feed(b"\x1b[200~", &mut out);
        for _ in 0..400 {
            decoder.feed(&[b'x'; 8192], &mut out);
            decoder.settle(&mut out);
        }
        assert!(decoder.bytes.len() < 100 && out.is_empty());
        decoder.feed(b"\x1b[20", &mut out);
        decoder.feed(b"1~", &mut out);
        assert!(matches!(&out[..], [Input::Event(Event::Paste(text))] if text.len() == PASTE_MAX));
    }

    #[test]
    fn what_has_no_end_does_not_swallow_the_keyboard() {
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        decoder.feed(b"\x1b]4;1;rgb:", &mut out);
        assert_eq!(decoder.waits(), Some(BEGUN));
        decoder.settle(&mut out);
        decoder.feed(b"a", &mut out);
        assert_eq!(out.iter().map(short).collect::<Vec<_>>(), ["Char('a') "]);
        out.clear();
        decoder.feed(b"\x1bP1", &mut out);
        decoder.feed(&[b'y'; 10_000], &mut out);
        assert!(out.len() > 1_000, "what comes behind a string that is too long is typed");
        out.clear();
        decoder.feed(b"\x1b[1;1;1", &mut out);
        decoder.feed(&[b'1'; 500], &mut out);
        decoder.settle(&mut out);
        assert!(decoder.bytes.is_empty());
    }
}
