//! Colours as a terminal is told them, and as the eye sees them.

/// Red, green, blue.
pub type Rgb = [u8; 3];

/// What a terminal was told to write with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ink {
    /// The terminal's own foreground or background.
    #[default]
    Default,
    /// An entry of the palette.
    Index(u8),
    /// 24 bits.
    Rgb(Rgb),
}

/// Before or behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Fore,
    Back,
}

/// The terminal's own foreground and background, as long as nobody asked it.
pub(super) const OWN: [Rgb; 2] = [[229; 3], [0; 3]];

impl Ink {
    /// Adds the parameters that select it, as Select Graphic Rendition has them (ECMA-48, 8.3.117;
    /// the colours beyond eight as in ITU-T T.416 with semicolons, which every terminal reads).
    pub(super) fn select(self, side: Side, out: &mut Vec<u8>) {
        let (normal, bright, more, own): (u8, u8, &[u8], &[u8]) = match side {
            Side::Fore => (30, 90, b"38;", b"39"),
            Side::Back => (40, 100, b"48;", b"49"),
        };
        match self {
            Self::Default => out.extend_from_slice(own),
            Self::Index(at @ 0..8) => number(u32::from(normal + at), out),
            Self::Index(at @ 8..16) => number(u32::from(bright + at - 8), out),
            Self::Index(at) => {
                out.extend_from_slice(more);
                out.extend_from_slice(b"5;");
                number(at.into(), out);
            }
            Self::Rgb([r, g, b]) => {
                out.extend_from_slice(more);
                out.extend_from_slice(b"2;");
                number(r.into(), out);
                out.push(b';');
                number(g.into(), out);
                out.push(b';');
                number(b.into(), out);
            }
        }
    }
}

/// Writes a number in decimal.
pub(super) fn number(value: u32, out: &mut Vec<u8>) {
    let (mut digits, mut rest, mut at) = ([0u8; 10], value, 10);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// How many digits [`number`] writes.
pub(super) fn digits(value: u32) -> u32 {
    value.checked_ilog10().unwrap_or(0) + 1
}

/// What xterm shows for the entries of its palette before anyone changed them. A person's theme
/// has the last word on the first 16.
pub fn usual(entry: u8) -> Rgb {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    match entry {
        0..16 => SIXTEEN[usize::from(entry)],
        16..232 => {
            let at = usize::from(entry - 16);
            [LEVELS[at / 36], LEVELS[at / 6 % 6], LEVELS[at % 6]]
        }
        _ => [8 + (entry - 232) * 10; 3],
    }
}

const SIXTEEN: [Rgb; 16] = [
    [0, 0, 0],
    [170, 0, 0],
    [0, 170, 0],
    [170, 85, 0],
    [0, 0, 170],
    [170, 0, 170],
    [0, 170, 170],
    [170, 170, 170],
    [85, 85, 85],
    [255, 85, 85],
    [85, 255, 85],
    [255, 255, 85],
    [85, 85, 255],
    [255, 85, 255],
    [85, 255, 255],
    [255, 255, 255],
];

/// A colour in Y′CbCr as pictures have it (BT.601, limited range), with fractions.
pub(super) type Ycc = [f32; 3];

/// How much an error in Cb and in Cr counts beside one in Y′: the eye sees it less, and blue least. A
/// mouth differs from the skin around it by red more than by brightness.
const CHROMA: [f32; 2] = [0.15, 0.3];

pub(super) fn ycc([r, g, b]: Rgb) -> Ycc {
    let [r, g, b] = [r, g, b].map(f32::from);
    [
        16.0 + 0.256_79 * r + 0.504_13 * g + 0.097_91 * b,
        128.0 - 0.148_22 * r - 0.290_99 * g + 0.439_22 * b,
        128.0 + 0.439_22 * r - 0.367_79 * g - 0.071_43 * b,
    ]
}

pub(super) fn rgb([y, cb, cr]: Ycc) -> Rgb {
    let (y, cb, cr) = ((y - 16.0) * 1.164_38, cb - 128.0, cr - 128.0);
    [y + 1.596_03 * cr, y - 0.391_76 * cb - 0.812_97 * cr, y + 2.017_23 * cb]
        .map(|value| value.round().clamp(0.0, 255.0) as u8)
}

/// How different two colours look: the weighted square of their distance.
pub(super) fn far(a: Ycc, b: Ycc) -> f32 {
    let [y, cb, cr] = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
    y * y + CHROMA[0] * cb * cb + CHROMA[1] * cr * cr
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_selected_in_the_fewest_bytes() {
        let select = |ink: Ink, side| {
            let mut out = Vec::new();
            ink.select(side, &mut out);
            String::from_utf8(out).expect("letters")
        };
        assert_eq!(select(Ink::Default, Side::Fore), "39");
        assert_eq!(select(Ink::Index(3), Side::Back), "43");
        assert_eq!(select(Ink::Index(9), Side::Back), "101");
        assert_eq!(select(Ink::Index(31), Side::Fore), "38;5;31");
        assert_eq!(select(Ink::Rgb([0, 10, 255]), Side::Back), "48;2;0;10;255");
        for value in [0, 9, 10, 99, 100, 255, 1000] {
            let mut out = Vec::new();
            number(value, &mut out);
            assert_eq!((out.len() as u32, out), (digits(value), value.to_string().into_bytes()));
        }
    }

    #[test]
    fn colours_survive_the_way_there_and_back() {
        for colour in [[0; 3], [255; 3], [255, 0, 0], [0, 255, 0], [0, 0, 255], [90, 140, 200]] {
            let back = rgb(ycc(colour));
            assert!(colour.iter().zip(back).all(|(a, b)| a.abs_diff(b) <= 1), "{colour:?} {back:?}");
        }
        assert_eq!([usual(16), usual(231), usual(196), usual(232)], [[0; 3], [255; 3], [255, 0, 0], [8; 3]]);
    }
}
