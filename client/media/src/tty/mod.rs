//! Pictures on a terminal that may be at the end of a thin line: each new picture becomes the few
//! bytes of escape codes that are worth writing.
//!
//! | module | what lives there |
//! |---|---|
//! | `target` | the picture averaged to the dots of the cells |
//! | `attention` | where people look: how much an error in each cell counts |
//! | `wanted` | what a cell should show, and how wrong it is when it shows something else |
//! | `paints` | the few colours that one picture is painted with |
//! | `palette` | entries of the terminal's palette, set to the colours of the picture |
//! | `plan` | which cells are worth writing in which colours, at a price a byte |
//! | `route` | the cheapest way to write along the rows |
//! | `pen` | cursor and colours, and the cheapest way to change them |
//! | `glyph` | which character shows which places of a cell |
//! | `ink` | colours as a terminal is told them, and as the eye sees them |
//! | [`inline`] | a picture as an image file, for terminals that show those |
//! | [`sixel`] | a picture as sixels, for terminals that show those only |
//! | [`screen`] | a terminal's screen rebuilt from the bytes: the judge |
//!
//! A [`Painter`] believes that the terminal shows what it wrote. Whoever writes to the same place
//! says so: [`Painter::forget`].

mod attention;
mod glyph;
mod ink;
pub mod inline;
mod paints;
mod palette;
mod pen;
mod plan;
mod route;
pub mod screen;
pub mod sixel;
mod target;
mod wanted;

pub use super::cells::Mode as Glyphs;
pub(super) use glyph::{RAMP, braille, half, octant, quadrant, sextant};
pub use ink::{Ink, Rgb, usual};

use attention::Attention;
use glyph::DOTS;
use ink::{OWN, Ycc, ycc};
use paints::Paints;
use palette::{Palette, Scene};
use plan::{Canvas, Memory, PRICE_MIN, Plan, Price};
use ratatui::layout::Rect;
use subrosa_shared::video::picture::Picture;
use target::Target;

/// Which colours a picture is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// None but the terminal's own two.
    Mono,
    /// The 16 of the terminal's own palette, by their usual values.
    Sixteen,
    /// The 240 of xterm's palette that nobody changes.
    Palette,
    /// 24 bits.
    True,
    /// As many entries of the palette from `first` on, set to the picture's colours (OSC 4) and put
    /// back by [`Painter::release`]. Entries 16 to 99 cost least; sixteen of them do best.
    Adaptive {
        /// The first entry that may be set.
        first: u8,
        /// How many; at most 32 are used.
        count: u8,
    },
}

/// What a picture is made of, by what the terminal can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Which characters.
    pub glyphs: Glyphs,
    /// Which colours.
    pub colours: Colours,
    /// The terminal shows all of a picture at once (DEC private mode 2026).
    pub synchronized: bool,
    /// The terminal repeats a space when told to (REP).
    pub repeat: bool,
}

/// How many bytes one picture may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// At most so many.
    Bytes(u32),
    /// As many as it takes to show the picture as well as cells can; still only what changed.
    Unlimited,
}

/// What came of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Painted {
    /// How many were written.
    pub bytes: usize,
    /// The share of cells, 0 to 1, that still differ visibly from what they could show.
    pub behind: f32,
}

/// Paints pictures on its part of a terminal, and remembers what stands there.
#[derive(Debug)]
pub struct Painter {
    look: Look,
    /// Where the picture is; cells in rows from its top left.
    place: Rect,
    cells: Vec<Option<Cell>>,
    /// For how many pictures each cell has been visibly wrong.
    waits: Vec<u8>,
    palette: Option<Palette>,
    /// Colours that fit the pictures, when the palette is not ours to set.
    centres: Vec<Ycc>,
    attention: Attention,
    /// There is so much room that more colours are worth their bytes.
    is_rich: bool,
    /// What a byte of the last picture was worth.
    price: Option<Price>,
    memory: Memory,
}

/// What a cell shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    /// Which places have the colour before, the others have the one behind; for letters and signs,
    /// which step of the ramp it is.
    lit: u8,
    fore: Ink,
    back: Ink,
}

impl Painter {
    /// For a terminal that shows nothing of ours yet.
    pub fn new(look: Look) -> Self {
        Self {
            look,
            place: Rect::ZERO,
            cells: Vec::new(),
            waits: Vec::new(),
            palette: look.palette(),
            centres: Vec::new(),
            attention: Attention::default(),
            is_rich: false,
            price: None,
            memory: Memory::default(),
        }
    }

    /// What pictures are made of.
    pub fn look(&self) -> Look {
        self.look
    }

    /// Makes pictures of something else from now on. The old palette is given back to `out` when
    /// the new look does not use it.
    pub fn set_look(&mut self, look: Look, out: &mut Vec<u8>) {
        if self.look == look {
            return;
        }
        if self.look.colours != look.colours {
            self.release(out);
            self.palette = look.palette();
            self.centres.clear();
        }
        self.look = look;
        self.forget_all();
    }

    /// Writes what is worth it. The picture is drawn in the middle of `area` (cells from 0 at the
    /// screen's top left) with its aspect; the rest of `area` belongs to others. Rectangles in
    /// `hidden` lie over it and are never touched. The cursor and its colours are as before
    /// afterwards.
    pub fn paint(
        &mut self,
        picture: &Picture,
        area: Rect,
        hidden: &[Rect],
        budget: Budget,
        out: &mut Vec<u8>,
    ) -> Painted {
        let begun = out.len();
        let place = super::cells::fit(picture, area);
        if place != self.place {
            self.place = place;
            self.cells = vec![None; usize::from(place.width) * usize::from(place.height)];
            self.waits = vec![0; self.cells.len()];
            self.price = None;
        }
        if place.is_empty() {
            return Painted::default();
        }
        let mut target = Target::new(picture, place.width, place.height);
        let mut weights = self.attention.weigh(&mut target.cells, place.width.into());
        for (weight, waits) in weights.iter_mut().zip(&self.waits) {
            *weight *= 1.0 + WAITED * f32::from(*waits);
        }
        for rect in hidden {
            self.cells_in(*rect).for_each(|at| weights[at] = 0.0);
            self.forget(*rect);
        }
        let rich = match budget {
            Budget::Bytes(bytes) => bytes >= if self.is_rich { RICH.0 } else { RICH.1 },
            Budget::Unlimited => true,
        };
        if std::mem::replace(&mut self.is_rich, rich) != rich {
            self.centres.clear();
        }
        let (head, tail) = self.look.frame();
        let limit = match budget {
            Budget::Bytes(bytes) => begun + (bytes as usize).saturating_sub(tail.len()),
            Budget::Unlimited => usize::MAX,
        };
        out.extend_from_slice(head);
        let start = out.len();
        let mut behind = self.cells.len();
        if start < limit {
            let price = self.price.map_or(PRICE_MIN, |price| price.price);
            if let Some(palette) = &mut self.palette {
                let (mode, cells, wanted) = (self.look.glyphs, &self.cells, &target.cells);
                palette.mix(&Scene { mode, cells, wanted, weights: &weights, price, rich }, limit, out);
            }
            behind = self.write(&target.cells, &weights, limit, out);
        }
        if out.len() > start {
            out.extend_from_slice(tail);
        } else {
            out.truncate(begun);
        }
        Painted { bytes: out.len() - begun, behind: behind as f32 / self.cells.len() as f32 }
    }

    /// Writes cells while `out` is shorter than `limit`; returns how many are visibly wrong then.
    fn write(&mut self, wanted: &[[Ycc; DOTS]], weights: &[f32], limit: usize, out: &mut Vec<u8>) -> usize {
        let paints = self.paints(wanted, weights);
        if paints.fores.len() == 0 {
            return self.cells.len();
        }
        let canvas =
            Canvas { mode: self.look.glyphs, place: self.place, repeat: self.look.repeat, paints: &paints };
        let seen = |cell: Cell| {
            let [fore, back] =
                [(cell.fore, 0), (cell.back, 1)].map(|(ink, side)| ycc(self.colour(ink, side)));
            (cell.lit, fore, back)
        };
        let shown: Vec<_> = self.cells.iter().map(|cell| cell.map(seen)).collect();
        let mut plan = Plan::new(canvas, wanted, weights, &shown, &mut self.memory);
        let room = (limit < usize::MAX).then(|| limit.saturating_sub(out.len()));
        let (stroke, price) = plan.fitting(self.price, room);
        self.price = Some(price);
        out.extend_from_slice(&stroke.bytes);
        for (at, cell) in &stroke.cells {
            self.cells[*at] = Some(*cell);
        }
        let behind = plan.behind(&stroke);
        let mut waits = vec![0; self.waits.len()];
        behind.iter().for_each(|at| waits[*at] = (self.waits[*at] + 1).min(WAITS_MAX));
        self.waits = waits;
        behind.len()
    }

    /// The colours to choose from for this picture.
    fn paints(&mut self, wanted: &[[Ycc; DOTS]], weights: &[f32]) -> Paints {
        let two = self.look.glyphs.has_two_colours();
        let inks: Vec<Ink> = match (&self.palette, self.look.colours) {
            (Some(palette), _) => palette.set().map(Ink::Index).collect(),
            (None, Colours::Mono) => return Paints::own(),
            (None, Colours::Sixteen) => (0..16).map(Ink::Index).collect(),
            (None, colours) => {
                let samples = paints::samples(wanted, weights);
                if self.centres.is_empty() {
                    self.centres = paints::choose(&samples, CENTRES[usize::from(self.is_rich)]);
                } else {
                    paints::settle(&samples, &mut self.centres, 1);
                }
                let ink = |centre: &Ycc| match colours {
                    Colours::True => Ink::Rgb(ink::rgb(*centre)),
                    _ => Ink::Index(paints::nearest(*centre)),
                };
                let mut inks: Vec<Ink> = self.centres.iter().map(ink).collect();
                inks.sort_unstable();
                inks.dedup();
                inks
            }
        };
        let colours: Vec<_> = inks.into_iter().map(|ink| (ink, ycc(self.colour(ink, 0)))).collect();
        Paints::new(&colours, two)
    }

    /// Someone else wrote there: what it shows is unknown, and it is painted again.
    pub fn forget(&mut self, area: Rect) {
        for at in self.cells_in(area) {
            self.cells[at] = None;
        }
    }

    /// Someone else wrote everywhere, or the screen was cleared.
    pub fn forget_all(&mut self) {
        self.cells.fill(None);
    }

    /// Puts the terminal's palette back; writes nothing when it was not touched.
    pub fn release(&mut self, out: &mut Vec<u8>) {
        let before = out.len();
        if let Some(palette) = &mut self.palette {
            palette.release(out);
        }
        if out.len() > before {
            self.forget_all();
        }
    }

    /// The colours of the eight dots (two by four, in rows) that the screen's cell should show by
    /// what was written; `None` where that is unknown.
    pub fn shown(&self, x: u16, y: u16) -> Option<[Rgb; 8]> {
        let at = self.cells_in(Rect::new(x, y, 1, 1)).next()?;
        let cell = self.cells[at]?;
        let (fore, back) = (self.colour(cell.fore, 0), self.colour(cell.back, 1));
        let cover = glyph::cover(self.look.glyphs.glyph(cell.lit));
        Some(cover.map(|share| screen::mix(fore, back, share)))
    }

    /// What an ink looks like, before (0) or behind (1).
    fn colour(&self, ink: Ink, side: usize) -> Rgb {
        match ink {
            Ink::Default => OWN[side],
            Ink::Rgb(rgb) => rgb,
            Ink::Index(entry) => self.palette.as_ref().map_or(usual(entry), |palette| palette.colour(entry)),
        }
    }

    /// The picture's cells in an area of the screen.
    fn cells_in(&self, area: Rect) -> impl Iterator<Item = usize> + use<> {
        let place = self.place;
        let common = area.intersection(place);
        let at = move |x: u16, y: u16| {
            usize::from(y - place.y) * usize::from(place.width) + usize::from(x - place.x)
        };
        (common.top()..common.bottom())
            .flat_map(move |y| (common.left()..common.right()).map(move |x| at(x, y)))
    }
}

impl Look {
    /// What stands before and after what is written for a picture: the cursor is saved and restored.
    fn frame(self) -> (&'static [u8], &'static [u8]) {
        if self.synchronized { (b"\x1b[?2026h\x1b7", b"\x1b8\x1b[?2026l") } else { (b"\x1b7", b"\x1b8") }
    }

    fn palette(self) -> Option<Palette> {
        match self.colours {
            Colours::Adaptive { first, count } if count > 0 => Some(Palette::new(first, count)),
            _ => None,
        }
    }
}

/// How much more an error counts for each picture that it was visible in, and for how many at most.
const WAITED: f32 = 0.05;
const WAITS_MAX: u8 = 10;

/// How many colours are chosen for a picture when the palette is not ours to set: usually, and where
/// there is room.
const CENTRES: [usize; 2] = [18, 24];
/// Down to how many bytes a picture there is still room, and from how many on.
const RICH: (u32, u32) = (2_200, 2_900);

#[cfg(test)]
mod tests;
