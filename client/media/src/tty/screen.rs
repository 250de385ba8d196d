//! A terminal's screen rebuilt from the bytes alone: what a person would see, so that a picture on
//! a terminal can be judged, whoever wrote it.
//!
//! It reads what writers of pictures use: characters, moves of the cursor, colours, repeats, erasing,
//! the palette, saving and restoring the cursor. Everything else is passed over.

use super::glyph::{DOTS, cover};
use super::ink::{Ink, OWN, Rgb, usual};

/// The screen of a terminal.
#[derive(Clone, Debug)]
pub struct Screen {
    width: usize,
    height: usize,
    cells: Vec<Written>,
    palette: Vec<Rgb>,
    pen: Writer,
    saved: Writer,
    state: State,
    /// Bytes of a control string or character that is not complete yet.
    pending: Vec<u8>,
    last: char,
}

/// What stands in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The character.
    pub glyph: char,
    /// What it is written with.
    pub fore: Ink,
    /// What is behind it.
    pub back: Ink,
}

#[derive(Clone, Copy, Debug, Default)]
struct Writer {
    x: usize,
    y: usize,
    /// A character in the last column was written: the next one goes to the next line.
    hangs: bool,
    fore: Ink,
    back: Ink,
    inverse: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Text,
    Escape,
    /// After an escape and an intermediate: one more byte.
    Intermediate,
    Sequence,
    /// OSC, DCS, APC, PM or SOS, to its terminator.
    String,
    /// In one, after an escape.
    StringEscape,
}

/// The longest control string that is kept; more of it is dropped.
const PENDING_MAX: usize = 1 << 16;

const BLANK: Written = Written { glyph: ' ', fore: Ink::Default, back: Ink::Default };

impl Screen {
    /// An empty one.
    pub fn new(width: u16, height: u16) -> Self {
        let (width, height) = (usize::from(width.max(1)), usize::from(height.max(1)));
        Self {
            width,
            height,
            cells: vec![BLANK; width * height],
            palette: (0..=255).map(usual).collect(),
            pen: Writer::default(),
            saved: Writer::default(),
            state: State::Text,
            pending: Vec::new(),
            last: ' ',
        }
    }

    /// Takes what a program wrote.
    pub fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.byte(*byte));
    }

    /// What stands in a cell; `None` outside.
    pub fn cell(&self, x: u16, y: u16) -> Option<Written> {
        let (x, y) = (usize::from(x), usize::from(y));
        (x < self.width && y < self.height).then(|| self.cells[y * self.width + x])
    }

    /// What an entry of the palette is set to.
    pub fn entry(&self, entry: u8) -> Rgb {
        self.palette[usize::from(entry)]
    }

    /// The colours of the cell's dots, two by four in rows; `None` outside.
    pub fn dots(&self, x: u16, y: u16) -> Option<[Rgb; DOTS]> {
        let written = self.cell(x, y)?;
        let colour = |ink: Ink, side: usize| match ink {
            Ink::Default => OWN[side],
            Ink::Index(entry) => self.entry(entry),
            Ink::Rgb(rgb) => rgb,
        };
        let (fore, back) = (colour(written.fore, 0), colour(written.back, 1));
        Some(cover(written.glyph).map(|share| mix(fore, back, share)))
    }

    /// Where the cursor stands, from 0.
    pub fn cursor(&self) -> (u16, u16) {
        (self.pen.x as u16, self.pen.y as u16)
    }

    fn byte(&mut self, byte: u8) {
        match self.state {
            State::Text => self.text(byte),
            State::Escape => {
                self.state = State::Text;
                self.pending.clear();
                match byte {
                    b'[' => self.state = State::Sequence,
                    b']' | b'P' | b'_' | b'^' | b'X' => {
                        self.state = State::String;
                        self.keep(byte);
                    }
                    0x20..=0x2F => self.state = State::Intermediate,
                    b'7' => self.saved = self.pen,
                    b'8' => self.pen = self.saved,
                    b'M' => self.up(1),
                    b'D' => self.line_feed(),
                    b'c' => *self = Self::new(self.width as u16, self.height as u16),
                    _ => {}
                }
            }
            State::Intermediate => self.state = State::Text,
            State::Sequence if (0x40..0x7F).contains(&byte) => {
                self.state = State::Text;
                let parameters = std::mem::take(&mut self.pending);
                self.sequence(&parameters, byte);
            }
            State::Sequence | State::String if byte == 0x1B && self.state == State::String => {
                self.state = State::StringEscape;
            }
            State::String if byte == 0x07 => self.string(),
            State::Sequence | State::String => self.keep(byte),
            State::StringEscape => {
                self.string();
                if byte != b'\\' {
                    self.state = State::Escape;
                    self.byte(byte);
                }
            }
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.pending.len() < PENDING_MAX {
            self.pending.push(byte);
        }
    }

    fn text(&mut self, byte: u8) {
        match byte {
            0x1B => {
                self.pending.clear();
                self.state = State::Escape;
            }
            0x08 => {
                self.pen.x = self.pen.x.saturating_sub(1);
                self.pen.hangs = false;
            }
            b'\r' => {
                self.pen.x = 0;
                self.pen.hangs = false;
            }
            b'\n' | 0x0B | 0x0C => self.line_feed(),
            0..0x20 | 0x7F => {}
            0x20..0x7F => {
                self.pending.clear();
                self.put(char::from(byte));
            }
            _ => {
                self.keep(byte);
                let longest = match self.pending[0] {
                    0xF0.. => 4,
                    0xE0.. => 3,
                    0xC0.. => 2,
                    _ => 1,
                };
                if self.pending.len() >= longest {
                    let bytes = std::mem::take(&mut self.pending);
                    let glyph = std::str::from_utf8(&bytes).ok().and_then(|text| text.chars().next());
                    self.put(glyph.unwrap_or(char::REPLACEMENT_CHARACTER));
                }
            }
        }
    }

    fn put(&mut self, glyph: char) {
        if self.pen.hangs {
            self.pen.x = 0;
            self.line_feed();
        }
        let Writer { x, y, fore, back, inverse, .. } = self.pen;
        let (fore, back) = if inverse { (back, fore) } else { (fore, back) };
        self.cells[y * self.width + x] = Written { glyph, fore, back };
        self.last = glyph;
        self.pen.hangs = x + 1 == self.width;
        self.pen.x = (x + 1).min(self.width - 1);
    }

    fn up(&mut self, by: usize) {
        self.pen.hangs = false;
        self.pen.y = self.pen.y.saturating_sub(by);
    }

    fn line_feed(&mut self) {
        self.pen.hangs = false;
        if self.pen.y + 1 < self.height {
            self.pen.y += 1;
        } else {
            self.cells.drain(..self.width);
            self.cells.resize(self.width * self.height, BLANK);
        }
    }

    fn erase(&mut self, from: usize, to: usize) {
        let blank = Written { back: self.pen.back, ..BLANK };
        self.cells[from..to].fill(blank);
    }

    fn sequence(&mut self, parameters: &[u8], last: u8) {
        if parameters.first().is_some_and(|byte| (b'<'..=b'?').contains(byte)) {
            return;
        }
        let numbers: Vec<usize> = parameters
            .split(|byte| *byte == b';' || *byte == b':')
            .map(|digits| std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).unwrap_or(0))
            // No screen is larger.
            .map(|number: usize| number.min(u16::MAX.into()))
            .collect();
        let number = |at: usize| numbers.get(at).copied().unwrap_or(0);
        let count = number(0).max(1);
        let (right, bottom) = (self.width - 1, self.height - 1);
        let Writer { x, y, .. } = self.pen;
        let here = y * self.width + x;
        self.pen.hangs &= matches!(last, b'm' | b'b');
        match last {
            b'H' | b'f' => {
                self.pen.y = (count - 1).min(bottom);
                self.pen.x = number(1).saturating_sub(1).min(right);
            }
            b'A' => self.up(count),
            b'B' | b'e' => self.pen.y = (y + count).min(bottom),
            b'C' | b'a' => self.pen.x = (x + count).min(right),
            b'D' => self.pen.x = x.saturating_sub(count),
            b'E' => (self.pen.x, self.pen.y) = (0, (y + count).min(bottom)),
            b'F' => (self.pen.x, self.pen.y) = (0, y.saturating_sub(count)),
            b'G' | b'`' => self.pen.x = (count - 1).min(right),
            b'd' => self.pen.y = (count - 1).min(bottom),
            b'b' => (0..count.min(self.cells.len())).for_each(|_| self.put(self.last)),
            b'X' => self.erase(here, here + count.min(self.width - x)),
            b'J' => match number(0) {
                0 => self.erase(here, self.cells.len()),
                1 => self.erase(0, here + 1),
                _ => self.erase(0, self.cells.len()),
            },
            b'K' => match number(0) {
                0 => self.erase(here, (y + 1) * self.width),
                1 => self.erase(y * self.width, here + 1),
                _ => self.erase(y * self.width, (y + 1) * self.width),
            },
            b's' => self.saved = self.pen,
            b'u' => self.pen = self.saved,
            b'm' => self.select(&numbers),
            _ => {}
        }
    }

    fn select(&mut self, numbers: &[usize]) {
        let mut rest = numbers;
        while let Some((first, more)) = rest.split_first() {
            rest = more;
            let byte = |value: usize| value.min(255) as u8;
            match *first {
                0 => (self.pen.fore, self.pen.back, self.pen.inverse) = Default::default(),
                7 => self.pen.inverse = true,
                27 => self.pen.inverse = false,
                30..=37 => self.pen.fore = Ink::Index(byte(first - 30)),
                39 => self.pen.fore = Ink::Default,
                40..=47 => self.pen.back = Ink::Index(byte(first - 40)),
                49 => self.pen.back = Ink::Default,
                90..=97 => self.pen.fore = Ink::Index(byte(first - 82)),
                100..=107 => self.pen.back = Ink::Index(byte(first - 92)),
                38 | 48 => {
                    let (ink, used) = match *rest {
                        [5, entry, ..] => (Ink::Index(byte(entry)), 2),
                        [2, r, g, b, ..] => (Ink::Rgb([byte(r), byte(g), byte(b)]), 4),
                        _ => return,
                    };
                    rest = &rest[used..];
                    let side = if *first == 38 { &mut self.pen.fore } else { &mut self.pen.back };
                    *side = ink;
                }
                _ => {}
            }
        }
    }

    /// A control string is complete: OSC 4 sets entries of the palette, OSC 104 puts them back.
    fn string(&mut self) {
        self.state = State::Text;
        let bytes = std::mem::take(&mut self.pending);
        let Some(text) = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_prefix(']')) else {
            return;
        };
        let mut words = text.split(';');
        match words.next() {
            Some("4") => {
                while let (Some(entry), Some(colour)) = (words.next(), words.next()) {
                    if let (Ok(entry), Some(colour)) = (entry.parse::<u8>(), colour_of(colour)) {
                        self.palette[usize::from(entry)] = colour;
                    }
                }
            }
            Some("104") => {
                let named: Vec<u8> = words.filter_map(|word| word.parse().ok()).collect();
                let all = 0..=255;
                let back: Vec<u8> = if text == "104" { all.collect() } else { named };
                back.into_iter().for_each(|entry| self.palette[usize::from(entry)] = usual(entry));
            }
            _ => {}
        }
    }
}

/// `#rrggbb` or `rgb:rr/gg/bb` (XParseColor).
fn colour_of(text: &str) -> Option<Rgb> {
    let byte = |digits: &str| u8::from_str_radix(digits, 16).ok();
    if let Some(digits) = text.strip_prefix('#') {
        let part = |at: usize| digits.get(at * 2..at * 2 + 2).and_then(byte);
        return (digits.len() == 6).then_some(()).and_then(|()| Some([part(0)?, part(1)?, part(2)?]));
    }
    let mut parts = text.strip_prefix("rgb:")?.split('/').map(|part| part.get(..2).and_then(byte));
    Some([parts.next()??, parts.next()??, parts.next()??])
}

/// Two colours in one dot: `share` of the first in 255ths.
pub(super) fn mix(fore: Rgb, back: Rgb, share: u8) -> Rgb {
    let share = u32::from(share);
    std::array::from_fn(|at| {
        ((u32::from(fore[at]) * share + u32::from(back[at]) * (255 - share) + 127) / 255) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_follows_the_bytes() {
        let mut screen = Screen::new(4, 2);
        screen.write(b"\x1b[?2026h\x1b]4;20;#102030\x07\x1b7\x1b[2;2H\x1b[0;38;5;20;41m\xe2\x96");
        screen.write(b"\x80 \x1b[8bx\x1b[1;1H\x1b[38;2;1;2;3;100mA\x0b\x08B\x1b8\x1b[?2026l");
        let red = Ink::Index(1);
        let cell = |x, y| screen.cell(x, y).expect("inside");
        // The repeat went past the end of the last line, which scrolled.
        assert_eq!(cell(0, 0), Written { glyph: 'A', fore: Ink::Rgb([1, 2, 3]), back: Ink::Index(8) });
        assert_eq!(cell(0, 1).glyph, 'B');
        assert_eq!(cell(3, 0), Written { glyph: ' ', fore: Ink::Index(20), back: red });
        assert_eq!(screen.cursor(), (0, 0));
        assert_eq!(screen.entry(20), [16, 32, 48]);
        screen.write(b"\x1b]104;20\x1b\\\x1b[m");
        assert_eq!(screen.entry(20), usual(20));
        assert!(screen.cell(4, 0).is_none());
    }

    #[test]
    fn half_a_cell_has_two_colours() {
        let mut screen = Screen::new(3, 1);
        screen.write("\x1b[31;47m▌\x1b[7m▌\x1b[m▌".as_bytes());
        let (red, grey) = (usual(1), usual(7));
        assert_eq!(screen.dots(0, 0), Some([red, grey, red, grey, red, grey, red, grey]));
        assert_eq!(screen.dots(1, 0), Some([grey, red, grey, red, grey, red, grey, red]));
        assert_eq!(screen.dots(2, 0).map(|dots| dots[..2].to_vec()), Some(OWN.to_vec()));
    }

    #[test]
    fn any_bytes_are_survived() {
        let mut screen = Screen::new(7, 5);
        let mut seed = 1u32;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let byte = (seed >> 24) as u8;
            let some = [0x1B, b'[', b'm', b';', b'9', b'b', b'C', b'H', b']', 0x07, 0xF0, byte];
            screen.write(&[some[(seed >> 8) as usize % some.len()]]);
        }
        screen.write(b"\x1b[18446744073709551615C\x1b[99999999999999999999B\xF0\x9Fx\x1b[4294967295b");
        assert!(screen.cursor().0 < 7 && screen.cursor().1 < 5);
    }
}
