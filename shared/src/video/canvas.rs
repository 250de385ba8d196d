//! A picture in the making, on both sides: what blocks say becomes samples.

use super::edges::continued;
use super::grid::{Cell, From, Grid, Moves};
use super::plane::{Motion, Planes};
use super::references::Held;
use super::syntax::{Block, Setting};
use super::transform::{inverse, kept, restore, scan};
use std::sync::Arc;

/// The picture, what its blocks are like, and what they refer to.
pub(super) struct Canvas {
    pub setting: Setting,
    pub planes: Planes,
    pub grid: Grid,
    /// The last picture and the golden one.
    pub from: [Option<Arc<Held>>; 2],
    /// The quantiser's widths for luma and chroma, in 1/16.
    pub steps: [i32; 2],
}

/// The largest luma square.
pub(super) const LARGEST: usize = 32;
/// The smallest block.
pub(super) const SMALLEST: usize = 8;
/// Luma samples of the largest.
pub(super) const AREA: usize = LARGEST * LARGEST;

impl Canvas {
    pub fn new(
        (width, height): (u16, u16),
        setting: Setting,
        from: [Option<Arc<Held>>; 2],
        steps: [i32; 2],
    ) -> Self {
        let planes = Planes::new(width, height);
        let grid = Grid::new(planes.planes[0].width, planes.planes[0].height);
        Self { setting, planes, grid, from, steps }
    }

    /// The picture is the one that it refers to.
    pub fn stand_still(&mut self) {
        if let Some(held) = &self.from[0] {
            self.planes = held.planes.clone();
        }
    }

    /// The corners of the largest squares, in order.
    pub fn squares(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (width, height) = (self.planes.planes[0].width, self.planes.planes[0].height);
        (0..height).step_by(LARGEST).flat_map(move |y| (0..width).step_by(LARGEST).map(move |x| (x, y)))
    }

    /// Whether a square lies in the picture not at all, in part (so it divides), or whole.
    pub fn inside(&self, x: usize, y: usize, side: usize) -> Inside {
        let (width, height) = (self.planes.planes[0].width, self.planes.planes[0].height);
        if x >= width || y >= height {
            Inside::Not
        } else if x + side > width || y + side > height {
            Inside::Part
        } else {
            Inside::Whole
        }
    }

    /// What a square looks like by the way it moves; `x`, `y` and `side` are in the plane's samples.
    pub fn moved(&self, plane: usize, (x, y, side): (usize, usize, usize), moves: &Moves, out: &mut [u8]) {
        let one = |reference: usize, out: &mut [u8]| {
            let from = self.from[reference].as_ref().or(self.from[0].as_ref());
            // A frame that refers to nothing has no block that moves.
            let Some(held) = from else { return };
            let motion: Motion = moves.motion[reference];
            if plane == 0 {
                held.planes.planes[0].moved(x, y, side, motion, out);
            } else {
                held.planes.planes[plane].moved_chroma(x, y, side, motion, out);
            }
        };
        match moves.from {
            From::Edges => {}
            From::Last => one(0, out),
            From::Golden => one(1, out),
            From::Both => {
                let mut other = [0; AREA];
                let other = &mut other[..side * side];
                one(0, out);
                one(1, other);
                for (a, b) in out.iter_mut().zip(other) {
                    *a = ((u16::from(*a) + u16::from(*b) + 1) >> 1) as u8;
                }
            }
        }
    }

    /// What a square looks like that continues its edges.
    pub fn continued(&self, plane: usize, at: (usize, usize, usize), mode: u8, out: &mut [u8]) {
        continued(&self.planes.planes[plane], &self.grid, at, if plane == 0 { 1 } else { 2 }, mode, out);
    }

    /// Puts a block into the picture.
    pub fn rebuild(&mut self, block: &Block) {
        for part in 0..6 {
            if part < block.squares().0 || part >= 4 {
                self.rebuild_square(block, part);
            }
        }
        self.remember(block);
    }

    fn rebuild_square(&mut self, block: &Block, part: usize) {
        let (plane, at) = place(block, part);
        let (x, y, side) = at;
        let mut samples = [0; AREA];
        let samples = &mut samples[..side * side];
        if block.moves.from == From::Edges {
            self.continued(plane, at, block.mode, samples);
        } else {
            self.moved(plane, at, &block.moves, samples);
        }
        let levels = &block.levels[part];
        if !levels.is_empty() {
            add(samples, levels, side, self.steps[plane.min(1)]);
        }
        self.planes.planes[plane].put(x, y, side, samples);
        if plane == 0 {
            self.grid.update(x, y, side, |cell| cell.filled = true);
        }
    }

    /// What a block is like, for the blocks after it.
    fn remember(&mut self, block: &Block) {
        let (squares, _) = block.squares();
        for part in 0..squares {
            let (x, y, side) = block.square(part);
            let cell = Cell {
                filled: true,
                moves: block.moves,
                skip: block.skip,
                merged: block.merge.is_some(),
                coded: !block.levels[part].is_empty(),
                mode: block.mode,
                log: block.side.ilog2() as u8,
                border: [false; 2],
            };
            self.grid.update(x, y, side, |into| *into = cell);
        }
        for part in 0..squares {
            let (x, y, side) = block.square(part);
            self.grid.begin(x, y, side);
        }
    }

    /// Forgets what lies there, so that it can be tried anew.
    pub fn clear(&mut self, x: usize, y: usize, side: usize) {
        self.grid.update(x, y, side, |cell| *cell = Cell::default());
    }
}

/// How much of a square lies in the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inside {
    Not,
    Part,
    Whole,
}

/// The plane of one of a block's squares, and where it lies in it.
pub(super) fn place(block: &Block, part: usize) -> (usize, (usize, usize, usize)) {
    match part {
        0..4 => (0, block.square(part)),
        _ => (part - 3, (block.x / 2, block.y / 2, block.side / 2)),
    }
}

/// Adds what levels say to a square, within 8 bits.
pub(super) fn add(samples: &mut [u8], levels: &[i16], side: usize, step: i32) {
    let mut coefficients = [0; 256];
    for (place, level) in scan(side).iter().zip(levels) {
        coefficients[usize::from(place.y) * kept(side) + usize::from(place.x)] = restore(*level, step);
    }
    let mut residual = [0; AREA];
    inverse(&coefficients, side, &mut residual[..side * side]);
    for (sample, difference) in samples.iter_mut().zip(residual) {
        *sample = i32::from(*sample).saturating_add(difference).clamp(0, 255) as u8;
    }
}
