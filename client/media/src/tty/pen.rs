//! Where a terminal's cursor stands and what it writes with; the cheapest way to change that.

use super::ink::{Ink, Side, digits, number};

/// The terminal's cursor and colours as far as they are known, and the bytes that change them.
#[derive(Clone, Debug, Default)]
pub(super) struct Pen {
    /// Column and row from 0.
    at: Option<(u16, u16)>,
    /// Before and behind.
    inks: Option<(Ink, Ink)>,
    /// How many spaces the last bytes are, when they may still become one repeat.
    spaces: u16,
}

/// Bytes of a repeat beside its digits: CSI … b.
const REPEAT: u32 = 3;

impl Pen {
    pub(super) fn at(&self) -> Option<(u16, u16)> {
        self.at
    }

    pub(super) fn inks(&self) -> Option<(Ink, Ink)> {
        self.inks
    }

    /// Puts the cursor there.
    pub(super) fn go(&mut self, x: u16, y: u16, out: &mut Vec<u8>) {
        let from = self.at.replace((x, y));
        if from == Some((x, y)) {
            return;
        }
        self.spaces = 0;
        match from {
            Some((from_x, from_y)) if relative(from_x, from_y, x, y) <= absolute(x, y) => {
                // Left before down: after the last column of a screen nothing else is safe.
                step(i32::from(x) - i32::from(from_x), (b"\x08", b'D'), (b"", b'C'), out);
                // A vertical tab is a line feed that no line discipline turns into something else.
                step(i32::from(y) - i32::from(from_y), (b"\x1bM", b'A'), (b"\x0b", b'B'), out);
            }
            _ => {
                out.extend_from_slice(b"\x1b[");
                number(u32::from(y) + 1, out);
                if x > 0 {
                    out.push(b';');
                    number(u32::from(x) + 1, out);
                }
                out.push(b'H');
            }
        }
    }

    /// Writes with these colours from now on.
    pub(super) fn dip(&mut self, fore: Ink, back: Ink, out: &mut Vec<u8>) {
        if self.inks == Some((fore, back)) {
            return;
        }
        self.spaces = 0;
        let known = self.inks.replace((fore, back));
        out.extend_from_slice(b"\x1b[");
        let begun = out.len();
        let mut select = |ink: Ink, side, differs: bool| {
            if differs {
                if out.len() > begun {
                    out.push(b';');
                }
                ink.select(side, out);
            }
        };
        match known {
            Some((old_fore, old_back)) => {
                select(fore, Side::Fore, fore != old_fore);
                select(back, Side::Back, back != old_back);
            }
            None => {
                // Nobody knows what else is set: bold, underlined.
                let set = [(fore, Side::Fore), (back, Side::Back)];
                let unset = set.iter().all(|(ink, _)| *ink == Ink::Default);
                if !unset {
                    out.push(b'0');
                }
                for (ink, side) in set.into_iter().filter(|(ink, _)| *ink != Ink::Default) {
                    out.push(b';');
                    ink.select(side, out);
                }
            }
        }
        out.push(b'm');
    }

    /// Writes a character where the cursor stands. `edge` is the first column past the picture:
    /// there, the cursor may hang behind the screen's last column, so that it is unknown.
    /// Spaces in a row become one repeat when the terminal knows that (`repeat`).
    pub(super) fn write(&mut self, glyph: char, edge: u16, repeat: bool, out: &mut Vec<u8>) {
        if glyph == ' ' && repeat {
            out.truncate(out.len() - spaces(self.spaces) as usize);
            self.spaces += 1;
            if spaces(self.spaces) == u32::from(self.spaces) {
                out.extend(std::iter::repeat_n(b' ', self.spaces.into()));
            } else {
                out.extend_from_slice(b" \x1b[");
                number(u32::from(self.spaces) - 1, out);
                out.push(b'b');
            }
        } else {
            self.spaces = 0;
            let mut bytes = [0; 4];
            out.extend_from_slice(glyph.encode_utf8(&mut bytes).as_bytes());
        }
        self.at = self.at.map(|(x, y)| (x + 1, y)).filter(|(x, _)| *x < edge);
        if self.at.is_none() {
            self.spaces = 0;
        }
    }
}

/// Bytes of so many spaces, the shortest way.
pub(super) fn spaces(count: u16) -> u32 {
    let count = u32::from(count);
    if count < 2 { count } else { count.min(1 + REPEAT + digits(count - 1)) }
}

/// Bytes of a move to a place on the screen.
pub(super) fn absolute(x: u16, y: u16) -> u32 {
    let column = if x > 0 { 1 + digits(u32::from(x) + 1) } else { 0 };
    3 + digits(u32::from(y) + 1) + column
}

/// Bytes of a move from one place to another, if it does not start anew.
fn relative(from_x: u16, from_y: u16, x: u16, y: u16) -> u32 {
    let (dx, dy) = (i32::from(x) - i32::from(from_x), i32::from(y) - i32::from(from_y));
    let across = if dx < 0 { stepped(-dx, 1) } else { stepped(dx, 9) };
    let down = if dy < 0 { stepped(-dy, 2) } else { stepped(dy, 1) };
    across + down
}

/// Bytes of so many steps, where one step can be written in `one` byte (9: it cannot).
fn stepped(count: i32, one: u32) -> u32 {
    match count.unsigned_abs() {
        0 => 0,
        1 => one.min(3),
        count => (count * one).min(3 + digits(count)),
    }
}

/// Steps back when `by` is negative, forth otherwise; each way with its single step, if there is
/// one, and its control sequence.
fn step(by: i32, back: (&[u8], u8), forth: (&[u8], u8), out: &mut Vec<u8>) {
    let (single, last) = if by < 0 { back } else { forth };
    let count = by.unsigned_abs();
    let one = if single.is_empty() { 9 } else { single.len() as u32 };
    if count > 0 && !single.is_empty() && stepped(count as i32, one) == count * one {
        (0..count).for_each(|_| out.extend_from_slice(single));
    } else if count > 0 {
        out.extend_from_slice(b"\x1b[");
        if count > 1 {
            number(count, out);
        }
        out.push(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_are_short() {
        let way = |from: (u16, u16), to: (u16, u16)| {
            let mut pen = Pen { at: Some(from), ..Pen::default() };
            let mut out = Vec::new();
            pen.go(to.0, to.1, &mut out);
            String::from_utf8(out).expect("letters")
        };
        assert_eq!(way((9, 9), (9, 9)), "");
        assert_eq!(way((9, 9), (8, 10)), "\x08\x0b");
        assert_eq!(way((9, 9), (10, 9)), "\x1b[C");
        assert_eq!(way((9, 9), (19, 9)), "\x1b[10C");
        assert_eq!(way((9, 9), (9, 8)), "\x1bM");
        assert_eq!(way((9, 9), (9, 6)), "\x1b[3A");
        assert_eq!(way((9, 9), (70, 3)), "\x1b[4;71H");
        assert_eq!(way((70, 3), (0, 11)), "\x1b[12H");
        for from in [(0, 0), (79, 23), (40, 12), (9, 98), (200, 100)] {
            for to in (0..220).step_by(3).flat_map(|x| (0..110).map(move |y| (x, y))) {
                assert!(way(from, to).len() as u32 <= absolute(to.0, to.1));
            }
        }
        assert_eq!(absolute(0, 0), 4);
    }

    #[test]
    fn only_what_changes_is_selected() {
        let mut pen = Pen::default();
        let mut dip = |fore, back| {
            let mut out = Vec::new();
            pen.dip(fore, back, &mut out);
            String::from_utf8(out).expect("letters")
        };
        assert_eq!(dip(Ink::Index(20), Ink::Index(21)), "\x1b[0;38;5;20;48;5;21m");
        assert_eq!(dip(Ink::Index(20), Ink::Index(22)), "\x1b[48;5;22m");
        assert_eq!(dip(Ink::Index(20), Ink::Index(22)), "");
        assert_eq!(dip(Ink::Index(1), Ink::Index(9)), "\x1b[31;101m");
        let mut out = Vec::new();
        Pen::default().dip(Ink::Default, Ink::Default, &mut out);
        assert_eq!(out, b"\x1b[m");
    }

    #[test]
    fn spaces_are_repeated_when_that_is_shorter() {
        for repeat in [true, false] {
            for count in 0..130 {
                let mut pen = Pen { at: Some((0, 0)), ..Pen::default() };
                let mut out = b"x".to_vec();
                for _ in 0..count {
                    pen.write(' ', 500, repeat, &mut out);
                }
                let bytes = if repeat { spaces(count as u16) as usize } else { count };
                assert!(out.len() == 1 + bytes && bytes <= if repeat { 8 } else { 130 });
            }
        }
        let mut pen = Pen { at: Some((0, 0)), ..Pen::default() };
        let mut out = Vec::new();
        (0..12).for_each(|_| pen.write(' ', 12, true, &mut out));
        assert_eq!((out.as_slice(), pen.at), (b" \x1b[11b".as_slice(), None));
    }
}
