//! The levels of a square: which symbols they consist of, and what each one costs.

use super::grid::Near;
use super::model::{Coder, Counting, Model};
use super::symbols::Symbol;
use super::transform::{LEVEL_MAX, Place, kept, scan};

/// What is known of a square before its levels.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub side: usize,
    pub chroma: bool,
    pub edges: bool,
    /// 0 where edges continue evenly, 1 downwards, 2 to the right.
    pub slant: usize,
    /// What its frame is there for, below 4.
    pub role: usize,
    /// How many of the squares left and above have levels.
    pub coded: usize,
}

impl Shape {
    fn log(&self) -> usize {
        self.side.ilog2() as usize - 2
    }

    /// Chroma, luma that continues edges, luma that moved.
    fn kind(&self) -> usize {
        if self.chroma { 2 } else { usize::from(self.edges) }
    }

    /// How many bits the number of places has.
    fn reach_max(&self) -> usize {
        2 * kept(self.side).ilog2() as usize
    }

    fn reach_contexts(&self, node: usize) -> [usize; 4] {
        [
            (node * 4 + self.log()) * 4 + usize::from(self.chroma) * 2 + usize::from(self.edges),
            (node * 4 + self.log()) * 4 + self.role,
            (node * 3 + self.coded) * 4 + self.log(),
            (node * 3 + self.slant) * 4 + self.log(),
        ]
    }

    fn digit_contexts(&self, class: usize, digit: usize) -> [usize; 2] {
        let class = class.min(7);
        [(class * 3 + self.kind()) * 4 + digit.min(3), (class * 4 + self.log()) * 3 + digit.min(2)]
    }

    /// How many places the levels reach, from 1.
    pub fn reach<C: Coder>(&self, coder: &mut C, reach: usize) -> usize {
        let wanted = reach.max(1).ilog2() as usize;
        let mut class = 0;
        while class < self.reach_max()
            && coder.bit(Symbol::Reach, &self.reach_contexts(class), class < wanted)
        {
            class += 1;
        }
        let mut found = 1;
        // The largest class has one member.
        let digits = if class == self.reach_max() { 0 } else { class };
        for digit in 0..digits {
            let value = reach >> (class - 1 - digit) & 1 == 1;
            let value = coder.bit(Symbol::Digit, &self.digit_contexts(class, digit), value);
            found = found << 1 | usize::from(value);
        }
        found << (class - digits)
    }
}

/// What a level's likelihood depends on: the levels of higher frequencies, which come first.
pub(super) struct Seen {
    shape: Shape,
    /// Sizes, at most 15, with two more rows and columns of zeros.
    sizes: [u8; WIDTH * WIDTH],
    count: usize,
}

const WIDTH: usize = 18;

impl Seen {
    pub fn new(shape: Shape) -> Self {
        Self { shape, sizes: [0; WIDTH * WIDTH], count: 0 }
    }

    pub fn add(&mut self, place: Place, level: i16) {
        self.sizes[usize::from(place.y) * WIDTH + usize::from(place.x)] = level.unsigned_abs().min(15) as u8;
        self.count += usize::from(level != 0);
    }

    /// What a level other than the outermost costs, in parts of a bit as [`Counting`] does.
    pub fn cost(&self, model: &Model, place: Place, level: i16) -> u32 {
        let some = self.some(place);
        let zero = model.cost(Symbol::Some, &some, level != 0);
        if level == 0 { zero } else { zero + self.size_cost(model, place, level) }
    }

    /// What a level costs that is known not to be zero.
    pub fn size_cost(&self, model: &Model, place: Place, level: i16) -> u32 {
        let mut counting = Counting::new(model);
        self.size(&mut counting, place, level);
        counting.cost
    }

    /// Sizes nearby: to the right, below, diagonal.
    fn around(&self, place: Place) -> (usize, usize, usize) {
        let at = usize::from(place.y) * WIDTH + usize::from(place.x);
        let size = |at: usize| usize::from(self.sizes[at]);
        (size(at + 1) + size(at + 2), size(at + WIDTH) + size(at + 2 * WIDTH), size(at + WIDTH + 1))
    }

    fn some(&self, place: Place) -> [usize; 6] {
        let shape = &self.shape;
        let (right, below, diagonal) = self.around(place);
        let sum = (right + below + diagonal).min(5);
        let (log, kind, band) = (shape.log(), shape.kind(), band(place));
        let low = usize::from(place.x.min(3)) + 4 * usize::from(place.y.min(3));
        let sides = (right.min(2) * 3 + below.min(2)) * 2 + diagonal.min(1);
        [
            (sum * 6 + band) * 3 + kind,
            (low * 4 + log) * 3 + kind,
            (sum * 4 + log) * 4 + shape.role,
            (low * 3 + shape.slant) * 3 + sum.min(2),
            (band * 4 + log) * 4 + self.count.min(3),
            sides * 6 + band,
        ]
    }

    fn more(&self, place: Place, above: usize) -> [usize; 4] {
        let shape = &self.shape;
        let (right, below, diagonal) = self.around(place);
        let sum = (right + below + diagonal).min(5);
        let above = above.min(6);
        [
            (above * 6 + sum) * 3 + shape.kind(),
            (above * 6 + band(place)) * 4 + shape.log(),
            (above * 4 + shape.log()) * 3 + shape.kind(),
            (above * 4 + self.count.min(3)) * 4 + shape.role,
        ]
    }

    /// A level that is not zero.
    fn size<C: Coder>(&self, coder: &mut C, place: Place, level: i16) -> i16 {
        let wanted = level.unsigned_abs();
        let mut size = 1;
        while size < PLAIN && coder.bit(Symbol::More, &self.more(place, usize::from(size) - 1), wanted > size)
        {
            size += 1;
        }
        if size == PLAIN {
            size = (PLAIN + number(coder, wanted.saturating_sub(PLAIN))).min(LEVEL_MAX.unsigned_abs());
        }
        if coder.raw(level < 0) { -(size as i16) } else { size as i16 }
    }
}

/// Sizes from here on are said as numbers.
const PLAIN: u16 = 15;

/// A number in Exp-Golomb code, as in many codecs.
fn number<C: Coder>(coder: &mut C, value: u16) -> u16 {
    let wanted = (u32::from(value) + 1).ilog2();
    let mut width = 0;
    while width < 12 && coder.raw(width < wanted) {
        width += 1;
    }
    let mut found = 1u32;
    for digit in (0..width).rev() {
        found = found << 1 | u32::from(coder.raw((u32::from(value) + 1) >> digit & 1 == 1));
    }
    (found - 1) as u16
}

/// Low frequencies one by one, high ones together: below 6.
fn band(place: Place) -> usize {
    match place.x + place.y {
        sum @ 0..=2 => sum.into(),
        3..=4 => 3,
        5..=7 => 4,
        _ => 5,
    }
}

/// The levels of a square that has some, in the order of its scan, up to the last that is not zero.
pub(super) fn levels<C: Coder>(coder: &mut C, shape: Shape, levels: &mut Vec<i16>) {
    let reach = shape.reach(coder, levels.len());
    let scan = scan(shape.side);
    levels.resize(reach, 0);
    let mut seen = Seen::new(shape);
    for at in (0..reach).rev() {
        let (place, level) = (scan[at], levels[at]);
        let some = at + 1 == reach || coder.bit(Symbol::Some, &seen.some(place), level != 0);
        levels[at] = if some { seen.size(coder, place, level) } else { 0 };
        seen.add(place, levels[at]);
        if !coder.alive() {
            return;
        }
    }
}

/// What saying how far the levels reach costs, in parts of a bit as [`Counting`] does.
pub(super) fn reach_cost(model: &Model, shape: Shape, reach: usize) -> u32 {
    let mut counting = Counting::new(model);
    shape.reach(&mut counting, reach);
    counting.cost
}

/// How many of the squares left and above have levels.
pub(super) fn coded_near(near: &Near) -> usize {
    usize::from(near.left.is_some_and(|cell| cell.coded))
        + usize::from(near.above.is_some_and(|cell| cell.coded))
}
