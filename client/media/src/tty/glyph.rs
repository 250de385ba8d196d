//! Which character shows which places of a cell.

use crate::cells::Mode;
use std::sync::LazyLock;

/// A cell is judged on two by four dots, numbered in rows from the top left.
pub(super) const DOTS: usize = 8;

/// By which quarters are lit: 1 upper left, 2 upper right, 4 lower left, 8 lower right.
const QUADRANTS: [char; 16] =
    [' ', '▘', '▝', '▀', '▖', '▌', '▞', '▛', '▗', '▚', '▐', '▜', '▄', '▙', '▟', '█'];

/// From dark to bright.
pub(crate) const RAMP: [char; 10] = [' ', '.', ':', '-', '=', '+', '*', '#', '%', '@'];

/// Octants that Unicode had before it had octants, by which places are lit; the quarters apart.
const EARLIER: [(u8, char); 10] = [
    (0x01, '\u{1CEA8}'),
    (0x02, '\u{1CEAB}'),
    (0x03, '\u{1FB82}'),
    (0x14, '\u{1FBE6}'),
    (0x28, '\u{1FBE7}'),
    (0x3F, '\u{1FB85}'),
    (0x40, '\u{1CEA3}'),
    (0x80, '\u{1CEA0}'),
    (0xC0, '▂'),
    (0xFC, '▆'),
];

/// The quarters' character where bit `n` lights place `n`, in rows of two.
pub(crate) fn quadrant(lit: u8) -> char {
    QUADRANTS[usize::from(lit & 15)]
}

/// The same for halves: 1 upper, 2 lower.
pub(crate) fn half(lit: u8) -> char {
    [' ', '▀', '▄', '█'][usize::from(lit & 3)]
}

/// The same for three rows of two (Unicode 13, Symbols for Legacy Computing).
pub(crate) fn sextant(lit: u8) -> char {
    match lit & 63 {
        0 => ' ',
        0b01_0101 => '▌',
        0b10_1010 => '▐',
        63 => '█',
        // In rising order without those four.
        lit => {
            let before = 1 + u32::from(lit > 0b01_0101) + u32::from(lit > 0b10_1010);
            char::from_u32(0x1FB00 + u32::from(lit) - before).unwrap_or(' ')
        }
    }
}

/// The same for four rows of two (Unicode 16, Symbols for Legacy Computing Supplement).
pub(crate) fn octant(lit: u8) -> char {
    static ALL: LazyLock<[char; 256]> = LazyLock::new(|| std::array::from_fn(|lit| find_octant(lit as u8)));
    ALL[usize::from(lit)]
}

fn find_octant(lit: u8) -> char {
    if let Some(quarters) = quarters(lit) {
        return quadrant(quarters);
    }
    if let Some((_, glyph)) = EARLIER.iter().find(|(earlier, _)| *earlier == lit) {
        return *glyph;
    }
    let before = (0..lit).filter(|other| is_earlier(*other)).count() as u32;
    char::from_u32(0x1CD00 + u32::from(lit) - before).unwrap_or(' ')
}

fn is_earlier(lit: u8) -> bool {
    quarters(lit).is_some() || EARLIER.iter().any(|(earlier, _)| *earlier == lit)
}

/// The quarters that light the same places, when there are some.
fn quarters(lit: u8) -> Option<u8> {
    const ROWS: [(u8, u8); 4] = [(0x05, 1), (0x0A, 2), (0x50, 4), (0xA0, 8)];
    let both = ROWS.iter().filter(|(places, _)| lit & places == *places);
    let found: u8 = both.map(|(_, quarter)| quarter).sum();
    let places: u8 = ROWS.iter().filter(|(_, quarter)| found & quarter != 0).map(|(places, _)| places).sum();
    (places == lit).then_some(found)
}

/// Dots: place `n`, in four rows of two, of U+2800.
pub(crate) fn braille(lit: u8) -> char {
    /// The dots' bits, which Unicode numbers down the left column first.
    const BITS: [u32; 8] = [0x01, 0x08, 0x02, 0x10, 0x04, 0x20, 0x40, 0x80];
    let bits: u32 = (0..8).filter(|place| lit >> place & 1 == 1).map(|place| BITS[place]).sum();
    char::from_u32(0x2800 + bits).unwrap_or(' ')
}

/// How much of each dot a character covers, in 255ths. Letters and signs count as the share of
/// ink that they have in usual fonts, spread over the cell; what is unknown, as a third.
pub(crate) fn cover(glyph: char) -> [u8; DOTS] {
    let find =
        |count: usize, of: fn(u8) -> char| (0..count).map(|lit| lit as u8).find(|lit| of(*lit) == glyph);
    let dots = |on: &dyn Fn(usize) -> u8| std::array::from_fn(on);
    if let Some(lit) = find(256, octant) {
        return dots(&|dot| if lit >> dot & 1 == 1 { 255 } else { 0 });
    }
    if let Some(lit) = find(64, sextant) {
        let rows = |dot: usize| [(0, 0), (0, 1), (1, 2), (2, 2)][dot / 2];
        // The two middle rows of dots lie over two places each: a third and two thirds.
        return dots(&|dot| {
            let (first, second) = rows(dot);
            let is = |row: usize| u16::from(lit >> (row * 2 + dot % 2) & 1) * 255;
            let (near, far) = if dot / 2 == 1 { (second, first) } else { (first, second) };
            ((is(near) * 2 + is(far)) / 3) as u8
        });
    }
    if let Some(lit) = find(256, braille) {
        return dots(&|dot| if lit >> dot & 1 == 1 { 255 } else { 0 });
    }
    let ramp = RAMP.iter().position(|sign| *sign == glyph);
    [ramp.map_or(85, |at| (at * 255 / (RAMP.len() - 1)) as u8); DOTS]
}

impl Mode {
    /// How many places of a cell have a colour of their own.
    pub(super) fn places(self) -> usize {
        match self {
            Self::Ascii => 1,
            Self::Halves => 2,
            Self::Quadrants => 4,
            Self::Sextants => 6,
            Self::Octants | Self::Braille => 8,
        }
    }

    /// How many bytes its characters take.
    pub(super) fn bytes(self) -> u32 {
        match self {
            Self::Ascii => 1,
            Self::Halves | Self::Quadrants | Self::Braille => 3,
            Self::Sextants | Self::Octants => 4,
        }
    }

    /// Whether the colour behind is used too, so that each place has one of two colours.
    pub(super) fn has_two_colours(self) -> bool {
        !matches!(self, Self::Ascii | Self::Braille)
    }

    /// The character for the places that are lit; for letters and signs, for the step of the ramp.
    pub(super) fn glyph(self, lit: u8) -> char {
        match self {
            Self::Ascii => RAMP[usize::from(lit).min(RAMP.len() - 1)],
            Self::Halves => half(lit),
            Self::Quadrants => quadrant(lit),
            Self::Sextants => sextant(lit),
            Self::Octants => octant(lit),
            // Blank in one byte instead of three.
            Self::Braille if lit == 0 => ' ',
            Self::Braille => braille(lit),
        }
    }

    /// All places lit.
    pub(super) fn full(self) -> u8 {
        (u16::MAX >> (16 - self.places())) as u8
    }

    /// How much of each dot belongs to each place, in thirds.
    pub(super) fn thirds(self, place: usize, dot: usize) -> u8 {
        let (row, column) = (dot / 2, dot % 2);
        let whole = |is: bool| if is { 3 } else { 0 };
        match self {
            Self::Ascii => 3,
            Self::Halves => whole(place == row / 2),
            Self::Quadrants => whole(place == row / 2 * 2 + column),
            Self::Sextants if place % 2 == column => {
                [[3, 1, 0, 0], [0, 2, 2, 0], [0, 0, 1, 3]][place / 2][row]
            }
            Self::Sextants => 0,
            Self::Octants | Self::Braille => whole(place == dot),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_pattern_has_its_own_character() {
        for (count, of) in
            [(4, half as fn(u8) -> char), (16, quadrant), (64, sextant), (256, octant), (256, braille)]
        {
            let glyphs: BTreeSet<char> = (0..count).map(|lit| of(lit as u8)).collect();
            assert_eq!(glyphs.len(), count);
        }
        // Known ones by the names in Unicode's table.
        assert_eq!([octant(0b100), octant(0b110), octant(0xFE)], ['\u{1CD00}', '\u{1CD01}', '\u{1CDE5}']);
        assert_eq!([octant(0x0F), octant(0x55), octant(0xFF), octant(0)], ['▀', '▌', '█', ' ']);
        assert_eq!([sextant(1), sextant(62), sextant(0x14)], ['\u{1FB00}', '\u{1FB3B}', '\u{1FB13}']);
        assert_eq!([sextant(0x16), sextant(0x29), sextant(0x2B)], ['\u{1FB14}', '\u{1FB27}', '\u{1FB28}']);
        assert_eq!([braille(0), braille(2), braille(255)], ['⠀', '⠈', '⣿']);
    }

    #[test]
    fn characters_cover_what_their_places_say() {
        assert_eq!(cover('▀'), [255, 255, 255, 255, 0, 0, 0, 0]);
        assert_eq!(cover('▐'), [0, 255, 0, 255, 0, 255, 0, 255]);
        assert_eq!(cover('▂'), [0, 0, 0, 0, 0, 0, 255, 255]);
        // The upper left sixth: a row and a third of the next one.
        assert_eq!(cover(sextant(1)), [255, 0, 85, 0, 0, 0, 0, 0]);
        for mode in [Mode::Halves, Mode::Quadrants, Mode::Sextants, Mode::Octants, Mode::Braille] {
            for lit in 0..=mode.full() {
                let cover = cover(mode.glyph(lit));
                for (dot, share) in cover.into_iter().enumerate() {
                    let places = (0..mode.places()).filter(|place| lit >> place & 1 == 1);
                    let thirds: u8 = places.map(|place| mode.thirds(place, dot)).sum();
                    assert_eq!(share, (u16::from(thirds) * 255 / 3) as u8, "{mode:?} {lit:b} {dot}");
                }
            }
        }
    }
}
