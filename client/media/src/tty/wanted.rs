//! What a cell should show, and how wrong it is when it shows something else.

use super::glyph::{DOTS, RAMP};
use super::ink::{Ycc, far, rgb, ycc};
use crate::cells::Mode;

/// How much a wrong hue counts for letters and dots, which show a brightness by their shape.
const HUE: f32 = 0.25;
/// How wrong a dot is of which nobody knows what it shows, beside what black would be.
const UNKNOWN: f32 = 300.0;

/// A cell of the picture, for one kind of character.
pub(super) struct Wanted<'a> {
    mode: Mode,
    dots: &'a [Ycc; DOTS],
    /// How much its errors count.
    weight: f32,
    /// For colours that only two shades are there for: what is added to the brightness of each
    /// place, so that as many places are lit as it takes (ordered dithering).
    dither: Option<[f32; DOTS]>,
    /// Its colour when the shape already says how bright it is.
    vivid: Ycc,
}

impl<'a> Wanted<'a> {
    /// At a column and row of the picture, in cells. `mono`: there is one colour beside black.
    pub(super) fn new(
        mode: Mode,
        mono: bool,
        dots: &'a [Ycc; DOTS],
        weight: f32,
        at: (usize, usize),
    ) -> Self {
        let by_shape = !mode.has_two_colours();
        let dither = (mono && mode != Mode::Ascii || mode == Mode::Braille).then(|| dither(mode, at));
        let vivid = if by_shape { vivid(mean(dots)) } else { [0.0; 3] };
        Self { mode, dots, weight, dither, vivid }
    }

    /// For each place and paint, how wrong that place is in that paint, before (`lit`) or behind.
    pub(super) fn errors(&self, lit: bool, paints: &[Ycc], out: &mut [f32]) {
        for (place, out) in out.chunks_exact_mut(paints.len()).enumerate() {
            if !self.mode.has_two_colours() || self.dither.is_some() {
                out.iter_mut().zip(paints).for_each(|(error, paint)| *error = self.place(place, lit, *paint));
                continue;
            }
            out.fill(0.0);
            for (dot, wanted) in self.dots.iter().enumerate() {
                let share = self.mode.thirds(place, dot);
                if share > 0 {
                    let share = f32::from(share) / 3.0 * self.weight;
                    out.iter_mut()
                        .zip(paints)
                        .for_each(|(error, paint)| *error += share * far(*wanted, *paint));
                }
            }
        }
    }

    /// How wrong it is with these places lit.
    pub(super) fn error(&self, lit: u8, fore: Ycc, back: Ycc) -> f32 {
        if self.mode == Mode::Ascii {
            let step = self.brightness() - shade(lit);
            return self.weight * DOTS as f32 * (step * step + if lit > 0 { self.hue(fore) } else { 0.0 });
        }
        let places = 0..self.mode.places();
        places
            .map(|place| {
                if lit >> place & 1 == 1 {
                    self.place(place, true, fore)
                } else {
                    self.place(place, false, back)
                }
            })
            .sum()
    }

    /// How wrong it is when nobody knows what it shows.
    pub(super) fn unknown(&self) -> f32 {
        let black = [16.0, 128.0, 128.0];
        self.weight * self.dots.iter().map(|dot| far(*dot, black) + UNKNOWN).sum::<f32>()
    }

    /// The step of the ramp that is as bright.
    pub(super) fn step(&self) -> u8 {
        let last = RAMP.len() as f32 - 1.0;
        ((self.brightness() - 16.0) / 219.0 * RAMP.len() as f32).floor().clamp(0.0, last) as u8
    }

    fn place(&self, place: usize, lit: bool, paint: Ycc) -> f32 {
        if self.mode == Mode::Ascii {
            let step = self.brightness() - if lit { shade(self.step()) } else { shade(0) };
            return self.weight * DOTS as f32 * (step * step + if lit { self.hue(paint) } else { 0.0 });
        }
        let mut sum = 0.0;
        for (dot, wanted) in self.dots.iter().enumerate() {
            let share = self.mode.thirds(place, dot);
            if share == 0 {
                continue;
            }
            let error = match self.dither {
                Some(dither) => {
                    let over = wanted[0] + dither[place] - 126.0;
                    let wrong = if lit { (-over).max(0.0) } else { over.max(0.0) };
                    let hue = if lit && !self.mode.has_two_colours() { self.hue(paint) } else { 0.0 };
                    wrong * wrong + hue
                }
                None => far(*wanted, paint),
            };
            sum += error * f32::from(share) / 3.0;
        }
        self.weight * sum
    }

    fn hue(&self, paint: Ycc) -> f32 {
        HUE * far(self.vivid, paint)
    }

    fn brightness(&self) -> f32 {
        mean(self.dots)[0]
    }
}

/// How bright a step of the ramp is.
fn shade(step: u8) -> f32 {
    16.0 + 219.0 * (f32::from(step) + 0.5) / RAMP.len() as f32
}

/// Bayer's matrix of four by four places, spread over all brightnesses.
fn dither(mode: Mode, (column, row): (usize, usize)) -> [f32; DOTS] {
    const BAYER: [[u8; 4]; 4] = [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]];
    let (across, down) = match mode.places() {
        1 => (1, 1),
        2 => (1, 2),
        places => (2, places / 2),
    };
    std::array::from_fn(|place| {
        let (x, y) = (column * across + place % across, row * down + place / across);
        (7.5 - f32::from(BAYER[y % 4][x % 4])) / 16.0 * 219.0
    })
}

/// The shape says how bright a place is, so that the colour says only which.
fn vivid(colour: Ycc) -> Ycc {
    let colour = rgb(colour).map(f32::from);
    let most = colour.iter().copied().fold(1.0, f32::max);
    ycc(colour.map(|value| (value * (most + 255.0) / 2.0 / most).min(255.0) as u8))
}

/// The mean of its dots.
pub(super) fn mean(dots: &[Ycc; DOTS]) -> Ycc {
    std::array::from_fn(|part| dots.iter().map(|dot| dot[part]).sum::<f32>() / DOTS as f32)
}
