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
mod paints;
mod pen;
mod plan;
mod route;
pub mod screen;
mod target;

pub use super::cells::Mode as Glyphs;
pub(super) use glyph::{RAMP, braille, half, octant, quadrant, sextant};
pub use ink::{Ink, Rgb, usual};

use glyph::DOTS;
use ink::{OWN, Ycc, far, ycc};
use paints::{MOST, Paints};
use pen::Pen;
use plan::{Canvas, Plan, Tune};
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
    /// What a byte had to gain in the last picture.
    price: f32,
    /// Colours for pictures without an adaptive palette.
    centres: Vec<Ycc>,
    last: Vec<[Ycc; DOTS]>,
    motion: Vec<f32>,
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
        Self {
            look,
            place: Rect::ZERO,
            cells: Vec::new(),
            entries: Vec::new(),
            price: 0.0,
            centres: Vec::new(),
            last: Vec::new(),
            motion: Vec::new(),
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
        let mut weights = vec![1.0; self.cells.len()];
        for (at, weight) in weights.iter_mut().enumerate() {
            let (x, y) = (at % usize::from(place.width), at / usize::from(place.width));
            let here = (place.x + x as u16, place.y + y as u16);
            if hidden.iter().any(|rect| rect.contains(here.into())) {
                *weight = 0.0;
            }
        }
        if self.last.len() != target.cells.len() {
            self.last = target.cells.clone();
            self.motion = vec![0.0; target.cells.len()];
        }
        let (t, g, e) = (env("LT", 40.0), env("LG", 0.0), env("LE", 0.3));
        for (at, dots) in target.cells.iter().enumerate() {
            let m: f32 = dots.iter().zip(&self.last[at]).map(|(a, b)| far(*a, *b)).sum::<f32>() / 8.0;
            self.motion[at] += (m - self.motion[at]) * e;
            weights[at] *= (t / (self.motion[at] + t)).powf(g);
        }
        self.last.clone_from(&target.cells);
        let (head, tail): (&[u8], &[u8]) = if self.look.synchronized {
            (b"\x1b[?2026h\x1b7", b"\x1b8\x1b[?2026l")
        } else {
            (b"\x1b7", b"\x1b8")
        };
        let bytes = match budget {
            Budget::Bytes(bytes) => (bytes as usize).saturating_sub(tail.len()),
            Budget::Unlimited => usize::MAX - begun,
        };
        let limit = begun + bytes;
        out.extend_from_slice(head);
        let start = out.len();
        if start < limit {
            self.mix(&target.cells, &weights, limit, out);
        }
        let paints = self.paints(&target.cells, &weights);
        let mut behind = 0;
        if start < limit && paints.len() > 0 {
            let tune = Tune { alpha: env("ALPHA", 1.0), pop: env("POP", 0.0), slack: env("SLACK", 4.0) };
            let canvas = Canvas {
                mode: self.look.glyphs,
                place,
                repeat: self.look.repeat,
                paints: &paints,
                wanted: &target.cells,
                weights: &weights,
            };
            let known = self.cells.clone();
            let keep = |at: usize| self.error(known[at], &target.cells[at]);
            let floor = env("FLOOR", 4.0);
            let mut plan = Plan::new(canvas, keep, floor * 8.0);
            let room = limit.saturating_sub(out.len()) as f32;
            if self.price == 0.0 {
                self.price = plan.price(room);
            }
            let mut pen = Pen::default();
            let mut price = self.price.max(floor);
            let mut rounds = 0;
            let mut cells = std::mem::take(&mut self.cells);
            if env("ROWS", 1.0) > 0.0 {
                let room = (limit - out.len()) as f32;
                let (mut low, mut high) = (0.0f32, f32::INFINITY);
                let mut fits: Option<plan::Rows> = None;
                for tries in 0..env("TRIES", 6.0) as usize {
                    let rows = plan.rows(price, &pen);
                    let share = rows.bytes.len() as f32 / room;
                    if std::env::var("P").is_ok() {
                        println!("price {price} share {share} try {tries}");
                    }
                    if share <= 1.0 {
                        high = price;
                        fits = Some(rows);
                        if share > env("ENOUGH", 0.93) || price <= floor {
                            break;
                        }
                    } else {
                        low = price;
                    }
                    let guess = price * (share / 0.965).powf(env("POW", 1.2)).clamp(0.25, 4.0);
                    price = guess.max(floor);
                    if low > 0.0 && high.is_finite() && !(price > low * 1.01 && price < high * 0.99) {
                        price = (low * high).sqrt();
                    }
                }
                while fits.is_none() {
                    low *= 1.5;
                    let rows = plan.rows(low, &pen);
                    fits = (rows.bytes.len() as f32 <= room).then_some(rows);
                    high = low;
                }
                price = high;
                self.price = high;
                if let Some(rows) = fits {
                    plan.take(rows, &mut pen, out, |at, cell| cells[at] = Some(cell));
                }
            }
            if env("GREEDY", 1.0) > 0.0 {
                loop {
                    if std::env::var("P").is_ok() {
                        println!(
                            "price {price} round {rounds} left {} todo {}",
                            limit - out.len(),
                            plan.waiting(0.0)
                        );
                    }
                    let enough =
                        plan.write(price, &tune, &mut pen, limit, out, |at, cell| cells[at] = Some(cell));
                    if env("ROWS", 1.0) > 0.0 {
                        if !enough || price <= floor {
                            break;
                        }
                        price *= 0.75;
                        continue;
                    }
                    if !enough {
                        let waiting = plan.waiting(price * 7.0) as f32 * 7.0;
                        if rounds == 0 {
                            self.price = price * (1.0 + 0.5 * (waiting / room).min(2.0));
                        } else {
                            self.price = price * (1.0 + 0.2 * (waiting / room).min(1.0));
                        }
                        break;
                    }
                    if price <= floor {
                        self.price = price;
                        break;
                    }
                    price = (price * 0.75).max(floor);
                    rounds += 1;
                }
            }
            self.cells = cells;
            behind = plan.waiting(8.0 * 64.0);
        }
        if out.len() == start {
            out.truncate(begun);
        } else {
            out.extend_from_slice(tail);
        }
        Painted { bytes: out.len() - begun, behind: behind as f32 / self.cells.len().max(1) as f32 }
    }

    /// How wrong a cell is.
    fn error(&self, cell: Option<Cell>, wanted: &[Ycc; DOTS]) -> f32 {
        let Some(cell) = cell else {
            // Nobody knows what stands there; black with something on it is a fair guess.
            return wanted.iter().map(|dot| far(*dot, [16.0, 128.0, 128.0]) + 900.0).sum();
        };
        let sides = [ycc(self.colour(cell.back, 1)), ycc(self.colour(cell.fore, 0))];
        let mode = self.look.glyphs;
        let mut sum = 0.0;
        for place in 0..mode.places() {
            let colour = sides[usize::from(cell.lit >> place & 1)];
            for (dot, wanted) in wanted.iter().enumerate() {
                let thirds = mode.thirds(place, dot);
                if thirds > 0 {
                    sum += far(*wanted, colour) * f32::from(thirds) / 3.0;
                }
            }
        }
        sum
    }

    /// Sets the palette to the picture's colours, as far as that is worth its bytes.
    fn mix(&mut self, wanted: &[[Ycc; DOTS]], weights: &[f32], limit: usize, out: &mut Vec<u8>) {
        let Colours::Adaptive { first, count } = self.look.colours else { return };
        let count = usize::from(count).min(MOST).min(256 - usize::from(first));
        let mut set = Vec::new();
        if self.entries.is_empty() {
            let samples: Vec<(Ycc, f32)> = wanted
                .iter()
                .zip(weights)
                .flat_map(|(dots, weight)| dots.iter().map(|dot| (*dot, *weight)))
                .collect();
            let centres = paints::choose(&samples, count);
            self.entries = vec![None; count];
            set.extend(centres.into_iter().map(ink::rgb).enumerate());
        } else {
            // Where each entry shows now, and what should be there.
            let mut sums = vec![([0.0f32; 3], 0.0f32); count];
            for ((cell, dots), weight) in self.cells.iter().zip(wanted).zip(weights) {
                let Some(cell) = cell else { continue };
                for place in 0..self.look.glyphs.places() {
                    let ink = if cell.lit >> place & 1 == 1 { cell.fore } else { cell.back };
                    let Ink::Index(entry) = ink else { continue };
                    let Some((sum, whole)) = sums.get_mut(usize::from(entry - first)) else { continue };
                    for (dot, wanted) in dots.iter().enumerate() {
                        let share = f32::from(self.look.glyphs.thirds(place, dot)) / 3.0 * weight;
                        sum.iter_mut().zip(wanted).for_each(|(sum, part)| *sum += part * share);
                        *whole += share;
                    }
                }
            }
            for (at, (sum, whole)) in sums.into_iter().enumerate() {
                if whole < 1.0 {
                    continue;
                }
                let Some(now) = self.entries[at] else { continue };
                let better = ink::rgb(sum.map(|sum| sum / whole));
                let mean = sum.map(|sum| sum / whole);
                let gain = whole * (far(mean, ycc(now)) - far(mean, ycc(better)));
                if gain > self.price.max(4.0) * 12.0 * env("PALCOST", 1.0) {
                    set.push((at, better));
                }
            }
        }
        if set.is_empty() {
            return;
        }
        let begun = out.len();
        out.extend_from_slice(b"\x1b]4");
        for (at, colour) in set {
            let before = out.len();
            out.push(b';');
            ink::number(u32::from(first) + at as u32, out);
            out.extend_from_slice(b";#");
            for part in colour {
                out.extend([part >> 4, part & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
            }
            if out.len() + 1 > limit {
                out.truncate(before);
                break;
            }
            self.entries[at] = Some(colour);
        }
        if out.len() == begun + 3 {
            out.truncate(begun);
        } else {
            out.push(7);
        }
    }

    /// The colours to choose from for this picture.
    fn paints(&mut self, wanted: &[[Ycc; DOTS]], weights: &[f32]) -> Paints {
        let mut paints = Paints::default();
        match self.look.colours {
            Colours::Mono => {
                paints.add(Ink::Default, ycc(OWN[0]));
            }
            Colours::Sixteen => (0..16).for_each(|entry| paints.add(Ink::Index(entry), ycc(usual(entry)))),
            Colours::Adaptive { first, .. } => {
                for (at, entry) in self.entries.iter().enumerate() {
                    if let Some(colour) = entry {
                        paints.add(Ink::Index(first + at as u8), ycc(*colour));
                    }
                }
            }
            Colours::Palette | Colours::True => {
                let samples: Vec<(Ycc, f32)> = wanted
                    .iter()
                    .zip(weights)
                    .flat_map(|(dots, weight)| dots.iter().map(|dot| (*dot, *weight)))
                    .collect();
                if self.centres.is_empty() {
                    self.centres = paints::choose(&samples, env("CENTRES", 24.0) as usize);
                } else {
                    paints::settle(&samples, &mut self.centres, 1);
                }
                for centre in &self.centres {
                    let ink = if self.look.colours == Colours::True {
                        Ink::Rgb(ink::rgb(*centre))
                    } else {
                        Ink::Index(paints::nearest(*centre))
                    };
                    if paints.index(ink).is_none() {
                        let seen = ycc(self.colour(ink, 0));
                        paints.add(ink, seen);
                    }
                }
            }
        }
        paints
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

fn env(name: &str, or: f32) -> f32 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(or)
}
