//! Which cells are worth writing in which colours, at a price a byte.

use super::Cell;
use super::glyph::DOTS;
use super::ink::Ycc;
use super::paints::Paints;
use super::pen::Pen;
use super::route::{self, Costs, Stop};
use super::wanted::Wanted;
use crate::cells::Mode;
use ratatui::layout::Rect;

/// A cell whose dots are wrong by so much more than they need to be, of 219, is seen to be wrong.
const VISIBLE: f32 = 8.0;

/// The least error that a byte must take away (squares of 1/219, summed over dots): less is noise.
pub(super) const PRICE_MIN: f32 = 16.0;

/// With many pairs of colours, where time matters more, a cell that gains less
/// than so many bytes must is not looked at: it would only ever be written in passing, in place of a move
/// of three bytes.
const WORTH: f32 = 1.5;
const MANY: usize = 18 * 18;

/// How many prices are tried for one picture of so many cells; fewer for a larger one.
const TRIES: usize = 5;
const CELLS: usize = 2000;
/// The share of the room that is aimed at, the one that is good enough, and the one of which the
/// end is cut off.
const AIM: f32 = 0.98;
const ENOUGH: f32 = 0.93;
const OVER: f32 = 1.05;

/// What a byte is worth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Price {
    /// How much error it must take away.
    pub(super) price: f32,
    /// How much error there was to take away in all.
    gain: f32,
}

/// What a picture is painted on and with.
pub(super) struct Canvas<'a> {
    pub(super) mode: Mode,
    pub(super) place: Rect,
    pub(super) repeat: bool,
    pub(super) paints: &'a Paints,
}

/// The errors of all cells that may be written.
pub(super) struct Plan<'a> {
    canvas: Canvas<'a>,
    cells: Vec<Todo>,
    memory: &'a mut Memory,
}

/// What a plan needs much memory for, kept from picture to picture.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// For each cell, place and paint before: the error; then for each paint behind.
    fores: Vec<f32>,
    backs: Vec<f32>,
    /// For each cell and pair of paints: the error, each place in the better of the two.
    pairs: Vec<f32>,
    /// For each cell and paint behind: the error when all is in that.
    flats: Vec<f32>,
    route: route::Past,
}

struct Todo {
    /// Which cell.
    at: usize,
    /// The error as it is, and the least one possible.
    keep: f32,
    least: f32,
    /// All places lit; for letters and signs, the one that is as bright.
    full: u8,
}

/// What is worth writing, and the bytes that do it.
#[derive(Default)]
pub(super) struct Stroke {
    pub(super) cells: Vec<(usize, Cell)>,
    pub(super) bytes: Vec<u8>,
    /// Which cells of the plan these are, and their errors afterwards.
    errors: Vec<(usize, f32)>,
    /// How many cells, in how many bytes, there is room for.
    whole: (usize, usize),
}

impl Stroke {
    /// Without what there is no room for.
    pub(super) fn cut(mut self) -> Self {
        let (cells, bytes) = self.whole;
        self.cells.truncate(cells);
        self.errors.truncate(cells);
        self.bytes.truncate(bytes);
        self
    }
}

impl<'a> Plan<'a> {
    /// Looks at all cells: the colours `wanted` for their dots, how much their errors count (0 for
    /// those that are hidden), and what they show now: the places lit, the colours before and behind.
    pub(super) fn new(
        canvas: Canvas<'a>,
        wanted: &[[Ycc; DOTS]],
        weights: &[f32],
        shown: &[Option<(u8, Ycc, Ycc)>],
        memory: &'a mut Memory,
    ) -> Self {
        let (mode, paints) = (canvas.mode, canvas.paints);
        let (fores, backs, places) = (paints.fores.len(), paints.backs.len(), mode.places());
        let count = weights.iter().filter(|weight| **weight > 0.0).count();
        memory.fores.resize(count * places * fores, 0.0);
        memory.backs.resize(count * places * backs, 0.0);
        memory.pairs.resize(count * fores * backs, 0.0);
        memory.flats.resize(count * backs, 0.0);
        let mut cells = Vec::with_capacity(count);
        let visible = (0..wanted.len()).filter(|at| weights[*at] > 0.0);
        let tables =
            memory.fores.chunks_exact_mut(places * fores).zip(memory.backs.chunks_exact_mut(places * backs));
        let tables = tables
            .zip(memory.pairs.chunks_exact_mut(fores * backs))
            .zip(memory.flats.chunks_exact_mut(backs));
        for (at, (((of_fores, of_backs), pairs), flats)) in visible.zip(tables) {
            let width = usize::from(canvas.place.width);
            let wanted = Wanted::new(mode, paints.mono, &wanted[at], weights[at], (at % width, at / width));
            wanted.errors(true, &paints.fores.seen, of_fores);
            if paints.same {
                of_backs.copy_from_slice(of_fores);
            } else {
                wanted.errors(false, &paints.backs.seen, of_backs);
            }
            let least = pair_errors((of_fores, of_backs), paints.same, pairs, flats);
            let keep =
                shown[at].map_or_else(|| wanted.unknown(), |(lit, fore, back)| wanted.error(lit, fore, back));
            let full = if mode == Mode::Ascii { wanted.step() } else { mode.full() };
            cells.push(Todo { at, keep, least, full });
        }
        Self { canvas, cells, memory }
    }

    /// How much error could be taken away.
    fn gain(&self) -> f32 {
        self.cells.iter().map(|cell| (cell.keep - cell.least).max(0.0)).sum()
    }

    /// What is worth writing at the price at which that fills the room best; `None` is room for all.
    pub(super) fn fitting(&mut self, last: Option<Price>, room: Option<usize>) -> (Stroke, Price) {
        let gain = self.gain().max(1.0);
        let Some(room) = room else {
            return (self.stroke(PRICE_MIN, usize::MAX), Price { price: PRICE_MIN, gain });
        };
        let mut price = match last {
            // What there is to gain and what a byte gains go together.
            Some(last) => last.price * (gain / last.gain).powf(0.7).clamp(0.2, 5.0),
            None => gain / room.max(1) as f32 / 2.0,
        };
        price = price.max(PRICE_MIN);
        // The highest price known to be too low, the lowest one known to fit.
        let (mut low, mut high) = (0.0f32, f32::INFINITY);
        // The largest that fits, and the smallest that does not, without its end.
        let (mut best, mut part) = (Stroke::default(), Stroke::default());
        let tries = (TRIES * CELLS / self.cells.len().max(1)).clamp(2, TRIES);
        for _ in 0..tries {
            let stroke = self.stroke(price, room);
            let share = stroke.bytes.len() as f32 / room.max(1) as f32;
            if share > 1.0 && share <= OVER {
                return (stroke.cut(), Price { price, gain });
            }
            if share <= 1.0 {
                high = price;
                best = stroke;
                if share > ENOUGH || price <= PRICE_MIN {
                    break;
                }
            } else {
                low = price;
                part = stroke.cut();
            }
            price = (price * (share / AIM).powf(1.2).clamp(0.25, 4.0)).max(PRICE_MIN);
            if low > 0.0 && high.is_finite() && !(price > low * 1.02 && price < high * 0.98) {
                price = (low * high).sqrt();
            }
        }
        let price = if high.is_finite() { high } else { price };
        // Rather the upper part of much than nothing.
        let stroke = if part.bytes.len() > best.bytes.len() * 2 { part } else { best };
        (stroke, Price { price, gain })
    }

    /// What is worth writing at this price. When that is more than there is `room` for, it can be cut.
    fn stroke(&mut self, price: f32, room: usize) -> Stroke {
        let (paints, place) = (self.canvas.paints, self.canvas.place);
        let (fores, backs) = (paints.fores.len(), paints.backs.len());
        let costs = Costs {
            price,
            fores: &paints.fores.bytes,
            backs: &paints.backs.bytes,
            glyph: self.canvas.mode.bytes() as f32,
            repeat: self.canvas.repeat,
            edge: place.right(),
        };
        let position = |at: usize| {
            let width = usize::from(place.width);
            (place.x + (at % width) as u16, place.y + (at / width) as u16)
        };
        let tables = self.memory.pairs.chunks_exact(fores * backs).zip(self.memory.flats.chunks_exact(backs));
        let least = if fores * backs > MANY { price * WORTH } else { f32::NEG_INFINITY };
        let worth = |cell: &Todo| cell.keep - cell.least > least;
        let todo = self.cells.iter().zip(tables).enumerate().filter(|(_, (cell, _))| worth(cell));
        let (stops, which): (Vec<_>, Vec<_>) = todo
            .map(|(which, (cell, (pairs, flats)))| {
                let (x, y) = position(cell.at);
                (Stop { x, y, keep: cell.keep, pairs, flats }, which)
            })
            .unzip();
        let visits = route::plan(&stops, &costs, &mut self.memory.route);
        let (mut pen, mut stroke) = (Pen::default(), Stroke::default());
        for visit in visits {
            let (which, fore, back) = (which[visit.stop], usize::from(visit.fore), usize::from(visit.back));
            let cell = &self.cells[which];
            let (x, y) = position(cell.at);
            let lit = if visit.solid { 0 } else { self.lit(which, fore, back) };
            let shows = Cell { lit, fore: paints.fores.inks[fore], back: paints.backs.inks[back] };
            let goes_on =
                lit == 0 && pen.at() == Some((x, y)) && pen.inks() == Some((shows.fore, shows.back));
            if !goes_on && stroke.bytes.len() <= room {
                stroke.whole = (stroke.cells.len(), stroke.bytes.len());
            }
            pen.go(x, y, &mut stroke.bytes);
            pen.dip(shows.fore, shows.back, &mut stroke.bytes);
            pen.write(self.canvas.mode.glyph(lit), place.right(), self.canvas.repeat, &mut stroke.bytes);
            let of_pair = self.memory.pairs[(which * fores + fore) * backs + back];
            let error = if visit.solid { self.memory.flats[which * backs + back] } else { of_pair };
            stroke.cells.push((cell.at, shows));
            stroke.errors.push((which, error));
        }
        stroke
    }

    /// The cells that still differ visibly from what they could show, once that is done.
    pub(super) fn behind(mut self, done: &Stroke) -> Vec<usize> {
        done.errors.iter().for_each(|(cell, error)| self.cells[*cell].keep = *error);
        let visible = VISIBLE * VISIBLE * DOTS as f32;
        let behind = self.cells.iter().filter(|cell| cell.keep - cell.least > visible);
        behind.map(|cell| cell.at).collect()
    }

    /// Which places of a cell are nearer to the paint before.
    fn lit(&self, cell: usize, fore: usize, back: usize) -> u8 {
        let (fores, backs) = (self.canvas.paints.fores.len(), self.canvas.paints.backs.len());
        let count = self.canvas.mode.places();
        let nearer = |place: &usize| {
            let place = cell * count + place;
            self.memory.fores[place * fores + fore] < self.memory.backs[place * backs + back]
        };
        let lit: u8 = (0..count).filter(nearer).map(|place| 1 << place).sum();
        // A single place is lit by the character that is as bright.
        if self.canvas.mode == Mode::Ascii { lit * self.cells[cell].full } else { lit }
    }
}

/// For each pair of paints the error of the cell, and when all of it is in the paint behind;
/// returns the least of them.
fn pair_errors((fores, backs): (&[f32], &[f32]), same: bool, pairs: &mut [f32], flats: &mut [f32]) -> f32 {
    let count = flats.len();
    let before = pairs.len() / count;
    flats.fill(0.0);
    for place in backs.chunks_exact(count) {
        flats.iter_mut().zip(place).for_each(|(sum, error)| *sum += error);
    }
    let mut least = f32::INFINITY;
    for fore in 0..before {
        // Two paints show the same whichever is before: half of the pairs are known already.
        let from = if same { fore } else { 0 };
        let row = &mut pairs[fore * count + from..(fore + 1) * count];
        row.fill(0.0);
        for (lit, unlit) in fores.chunks_exact(before).zip(backs.chunks_exact(count)) {
            let lit = lit[fore];
            for (sum, unlit) in row.iter_mut().zip(&unlit[from..]) {
                *sum += if *unlit < lit { *unlit } else { lit };
            }
        }
        least = row.iter().fold(least, |least, error| if *error < least { *error } else { least });
        for back in 0..from {
            pairs[fore * count + back] = pairs[back * count + fore];
        }
    }
    least
}
