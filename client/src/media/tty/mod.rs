//! Pictures on a terminal that may be at the end of a thin line: each new picture becomes the few
//! bytes of escape codes that are worth writing.
//!
//! | module | what lives there |
//! |---|---|
//! | `target` | the picture averaged to the dots of the cells |
//! | `glyph` | which character shows which places of a cell |
//! | `ink` | colours as a terminal is told them, and as the eye sees them |
//! | `pen` | cursor and colours, and the cheapest way to change them |
//! | [`screen`] | a terminal's screen rebuilt from the bytes: the judge |
//!
//! A [`Painter`] believes that the terminal shows what it wrote. Whoever writes to the same place
//! says so: [`Painter::forget`].

mod glyph;
mod ink;
mod pen;
pub mod screen;
mod target;

pub use super::cells::Mode as Glyphs;
pub(super) use glyph::{RAMP, braille, half, octant, quadrant, sextant};
pub use ink::{Ink, Rgb, usual};

use ink::{OWN, far, ycc};
use pen::Pen;
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
    /// What was last set for each entry of an adaptive palette.
    entries: Vec<Option<Rgb>>,
}

/// What a cell shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    /// Which places have the colour before; the others have the one behind.
    lit: u8,
    fore: Ink,
    back: Ink,
}

impl Painter {
    /// For a terminal that shows nothing of ours yet.
    pub fn new(look: Look) -> Self {
        Self { look, place: Rect::ZERO, cells: Vec::new(), entries: Vec::new() }
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
        }
        hidden.iter().for_each(|rect| self.forget(*rect));
        let target = Target::new(picture, place.width, place.height);
        let limit = match budget {
            Budget::Bytes(bytes) => bytes as usize,
            Budget::Unlimited => usize::MAX,
        };
        if self.look.synchronized {
            out.extend_from_slice(b"\x1b[?2026h");
        }
        out.extend_from_slice(b"\x1b7");
        let start = out.len();
        let mut pen = Pen::default();
        let mut behind = 0;
        for (at, dots) in target.cells.iter().enumerate() {
            let (x, y) = (
                place.x + (at % usize::from(place.width)) as u16,
                place.y + (at / usize::from(place.width)) as u16,
            );
            if hidden.iter().any(|rect| rect.contains((x, y).into())) {
                continue;
            }
            let mean: [f32; 3] =
                std::array::from_fn(|part| dots.iter().map(|dot| dot[part]).sum::<f32>() / 8.0);
            let entry = (16..=255)
                .min_by(|a, b| far(mean, ycc(usual(*a))).total_cmp(&far(mean, ycc(usual(*b)))))
                .unwrap_or(16);
            let cell = Cell { lit: 0, fore: Ink::Index(entry), back: Ink::Index(entry) };
            if self.cells[at] == Some(cell) {
                continue;
            }
            if out.len() - begun + 60 > limit {
                behind += 1;
                continue;
            }
            pen.go(x, y, out);
            pen.dip(Ink::Default, cell.back, out);
            pen.write(' ', place.right(), self.look.repeat, out);
            self.cells[at] = Some(cell);
        }
        if out.len() == start {
            out.truncate(begun);
        } else {
            out.extend_from_slice(b"\x1b8");
            if self.look.synchronized {
                out.extend_from_slice(b"\x1b[?2026l");
            }
        }
        Painted { bytes: out.len() - begun, behind: behind as f32 / self.cells.len().max(1) as f32 }
    }

    /// Someone else wrote there: what it shows is unknown, and it is painted again.
    pub fn forget(&mut self, area: Rect) {
        let place = self.place;
        let common = area.intersection(place);
        for y in common.top()..common.bottom() {
            let row = usize::from(y - place.y) * usize::from(place.width);
            let left = usize::from(common.x - place.x);
            self.cells[row + left..row + left + usize::from(common.width)].fill(None);
        }
    }

    /// Someone else wrote everywhere, or the screen was cleared.
    pub fn forget_all(&mut self) {
        self.cells.fill(None);
    }

    /// Puts the terminal's palette back; writes nothing when it was not touched.
    pub fn release(&mut self, out: &mut Vec<u8>) {
        let Colours::Adaptive { first, .. } = self.look.colours else { return };
        let set = self.entries.iter().enumerate().filter(|(_, entry)| entry.is_some());
        let set: Vec<u32> = set.map(|(at, _)| u32::from(first) + at as u32).collect();
        if set.is_empty() {
            return;
        }
        out.extend_from_slice(b"\x1b]104");
        for entry in set {
            out.push(b';');
            ink::number(entry, out);
        }
        out.extend_from_slice(b"\x1b\\");
        self.entries.clear();
        self.forget_all();
    }

    /// The colours of the eight dots (two by four, in rows) that the screen's cell should show by
    /// what was written; `None` where that is unknown.
    pub fn shown(&self, x: u16, y: u16) -> Option<[Rgb; 8]> {
        let place = self.place;
        if !place.contains((x, y).into()) {
            return None;
        }
        let cell =
            self.cells[usize::from(y - place.y) * usize::from(place.width) + usize::from(x - place.x)]?;
        let (fore, back) = (self.colour(cell.fore, 0), self.colour(cell.back, 1));
        let cover = glyph::cover(self.look.glyphs.glyph(cell.lit));
        Some(cover.map(|share| screen::mix(fore, back, share)))
    }

    /// What an ink looks like now.
    fn colour(&self, ink: Ink, side: usize) -> Rgb {
        match ink {
            Ink::Default => OWN[side],
            Ink::Rgb(rgb) => rgb,
            Ink::Index(entry) => match self.look.colours {
                Colours::Adaptive { first, .. } if entry >= first => {
                    let set = self.entries.get(usize::from(entry - first)).copied().flatten();
                    set.unwrap_or_else(|| usual(entry))
                }
                _ => usual(entry),
            },
        }
    }
}
