//! Which blocks say a picture most cheaply: squared error plus bits, weighed by the quantiser.

use super::canvas::{AREA, Canvas, Inside, LARGEST, SMALLEST, add, place};
use super::edges::MODES;
use super::fine::{Fine, Square, differences};
use super::grid::{From, Moves, Near};
use super::model::{Counting, Model};
use super::motion::{bits, nearest, nearest_beside};
use super::plane::{Motion, Plane, Planes};
use super::quantise::{CHROMA_SHARE, Weight, quantised};
use super::syntax::{Block, Role, block, split};
use super::transform::forward;
use std::sync::Arc;

/// Chooses the blocks of one picture.
pub(super) struct Search<'a> {
    source: &'a Planes,
    fine: [Option<Arc<Fine>>; 2],
    weight: Weight,
}

/// The blocks of a square, in order, and what they cost.
pub(super) struct Found {
    pub cost: u64,
    pub blocks: Vec<Block>,
}

/// A way to say one block.
struct Trial {
    block: Block,
    cost: u64,
    /// Squared error, weighed.
    error: u64,
}

/// Motions found for a larger square.
type Hint = [Option<Motion>; 2];

impl<'a> Search<'a> {
    /// `fine` are the references at quarters.
    pub fn new(source: &'a Planes, fine: [Option<Arc<Fine>>; 2], step: i32) -> Self {
        Self { source, fine, weight: Weight::new(step) }
    }

    /// What it costs to show another picture instead.
    pub fn cost_of(&self, planes: &Planes) -> u64 {
        let errors = |plane: usize| error(&self.source.planes[plane], &planes.planes[plane]);
        self.weight.cost(errors(0) + (errors(1) + errors(2)) * CHROMA_SHARE / 4, 0)
    }

    /// The best blocks of a square, which are in the canvas then.
    pub fn square(&self, canvas: &mut Canvas, model: &Model, at: Square, hint: Hint) -> Found {
        let (x, y, side) = at;
        match canvas.inside(x, y, side) {
            Inside::Not => return Found { cost: 0, blocks: Vec::new() },
            Inside::Part => {
                let parts = self.parts(canvas, model, at, hint, u64::MAX);
                return parts.expect("nothing costs more than the limit");
            }
            Inside::Whole => {}
        }
        let mut hint = hint;
        let mut whole = self.whole(canvas, model, at, &mut hint);
        if side > SMALLEST {
            let says = |value: bool| {
                let mut counting = Counting::new(model);
                split(&mut counting, canvas.setting, &canvas.grid, at, value);
                self.weight.bits(counting.cost)
            };
            let (no, yes) = (says(false), says(true));
            whole.cost += no;
            // What is nearly right already cannot get cheaper by saying more.
            if whole.error << 8 > self.weight.bits(QUIET_BITS) && whole.cost > yes {
                let parts = self.parts(canvas, model, at, hint, whole.cost - yes);
                if let Some(mut parts) = parts {
                    parts.cost += yes;
                    return parts;
                }
            }
        }
        canvas.clear(x, y, side);
        canvas.rebuild(&whole.block);
        Found { cost: whole.cost, blocks: vec![whole.block] }
    }

    /// The same in four parts, unless that costs more.
    fn parts(
        &self,
        canvas: &mut Canvas,
        model: &Model,
        (x, y, side): Square,
        hint: Hint,
        limit: u64,
    ) -> Option<Found> {
        let half = side / 2;
        let mut found = Found { cost: 0, blocks: Vec::new() };
        for (x, y) in [(x, y), (x + half, y), (x, y + half), (x + half, y + half)] {
            let part = self.square(canvas, model, (x, y, half), hint);
            found.cost += part.cost;
            if found.cost >= limit {
                return None;
            }
            found.blocks.extend(part.blocks);
        }
        Some(found)
    }

    /// The best way to say a square as one block.
    fn whole(&self, canvas: &mut Canvas, model: &Model, at: Square, hint: &mut Hint) -> Trial {
        let (x, y, side) = at;
        let near = canvas.grid.near(x, y, side);
        let mut wanted = [0; AREA];
        let wanted = &mut wanted[..side * side];
        self.source.planes[0].take(x, y, side, wanted);
        let mut best: Option<Trial> = None;
        let keep = |best: &mut Option<Trial>, trial: Trial| {
            if best.as_ref().is_none_or(|best| trial.cost < best.cost) {
                *best = Some(trial);
            }
        };
        let mut closest = u64::MAX;
        if canvas.setting.role != Role::Key {
            let mut ways: Vec<(u64, Moves, Option<usize>)> = Vec::new();
            for (which, moves) in near.merges(canvas.setting.two).all().iter().enumerate() {
                let block =
                    Block { x, y, side, skip: true, merge: Some(which), moves: *moves, ..Block::default() };
                let (trial, difference) = self.skipped(canvas, model, wanted, block);
                let plain = self.weight.plain(difference, (2 + which as u32) * super::model::BIT);
                ways.push((plain, *moves, Some(which)));
                keep(&mut best, trial);
            }
            let done = |best: &Option<Trial>| {
                best.as_ref().is_some_and(|best| best.error << 8 < self.weight.bits(DONE_BITS))
            };
            if !done(&best) {
                self.moves(canvas, &near, at, wanted, hint, &mut ways);
                ways.sort_by_key(|way| way.0);
                closest = ways.first().map_or(u64::MAX, |way| way.0);
                let bound = closest + closest / 6;
                for (_, moves, merge) in
                    ways.into_iter().filter(|way| way.0 <= bound).take(if side == LARGEST { 1 } else { WAYS })
                {
                    let block = Block { x, y, side, merge, moves, ..Block::default() };
                    let trial = self.completed(canvas, model, &near, block);
                    keep(&mut best, trial);
                }
            }
            if done(&best)
                && let Some(best) = best
            {
                return best;
            }
        }
        if side < LARGEST || canvas.setting.role == Role::Key {
            self.edges(canvas, model, at, wanted, closest, |trial| keep(&mut best, trial), &near);
        }
        best.unwrap_or_else(|| {
            // Edges are always tried when nothing else was.
            let block = Block { x, y, side, ..Block::default() };
            self.completed(canvas, model, &near, block)
        })
    }

    /// Motions of its own for a block.
    fn moves(
        &self,
        canvas: &Canvas,
        near: &Near,
        at: Square,
        wanted: &[u8],
        hint: &mut Hint,
        ways: &mut Vec<(u64, Moves, Option<usize>)>,
    ) {
        let known: Vec<Moves> = ways.iter().map(|way| way.1).collect();
        let mut add = |cost: u64, moves: Moves| {
            if !known.contains(&moves) {
                ways.push((cost + self.weight.plain(0, MOVES_BITS), moves, None));
            }
        };
        let mut found = [None; 2];
        let count = if canvas.setting.two { 2 } else { 1 };
        for reference in 0..count {
            let Some(fine) = &self.fine[reference] else { continue };
            let mut seeds = vec![Motion::default()];
            let around = known.iter().filter(|moves| moves.from.uses(reference));
            seeds.extend(around.map(|moves| moves.motion[reference]));
            seeds.extend(hint[reference]);
            let expected = near.motion(reference);
            let (cost, motion) = nearest(fine, &self.weight, at, wanted, expected, &seeds);
            hint[reference] = Some(motion);
            found[reference] = Some(motion);
            let mut moves = Moves { from: [From::Last, From::Golden][reference], ..Moves::default() };
            moves.motion[reference] = motion;
            add(cost, moves);
        }
        let ([Some(last), Some(golden)], [Some(fine), Some(far)]) = (found, &self.fine) else { return };
        let side = at.2;
        let mut other = [0; AREA];
        let other = &mut other[..side * side];
        far.moved(at, golden, other);
        let (_, last) = nearest_beside(fine, &self.weight, at, (wanted, other), near.motion(0), last);
        fine.moved(at, last, other);
        let (cost, golden) = nearest_beside(far, &self.weight, at, (wanted, other), near.motion(1), golden);
        let cost = cost + self.weight.plain(0, bits(last, near.motion(0)));
        add(cost, Moves { from: From::Both, motion: [last, golden] });
    }

    /// A block that says nothing but whom it moves like; and its absolute error in luma.
    fn skipped(&self, canvas: &Canvas, model: &Model, wanted: &[u8], mut said: Block) -> (Trial, u32) {
        let mut samples = [0; AREA];
        let at = (said.x, said.y, said.side);
        let area = &mut samples[..at.2 * at.2];
        self.moved(canvas, 0, at, &said.moves, area);
        let difference = differences(area, wanted);
        let mut error = squares(area, wanted);
        for part in 4..6 {
            let (plane, at) = place(&said, part);
            let (mut wanted, mut samples) = ([0; 256], [0; 256]);
            let (wanted, area) = (&mut wanted[..at.2 * at.2], &mut samples[..at.2 * at.2]);
            self.source.planes[plane].take(at.0, at.1, at.2, wanted);
            self.moved(canvas, plane, at, &said.moves, area);
            error += squares(area, wanted) * CHROMA_SHARE / 4;
        }
        let cost = self.weight.cost(error, bits_of(canvas, model, &mut said));
        (Trial { block: said, cost, error }, difference)
    }

    /// What a square of a plane looks like that moved.
    fn moved(&self, canvas: &Canvas, plane: usize, at: Square, moves: &Moves, out: &mut [u8]) {
        match (plane, moves.from, &self.fine) {
            (0, From::Last, [Some(fine), _]) => fine.moved(at, moves.motion[0], out),
            (0, From::Golden, [_, Some(fine)]) => fine.moved(at, moves.motion[1], out),
            (0, From::Both, [Some(last), Some(golden)]) => {
                let mut other = [0; AREA];
                let other = &mut other[..out.len()];
                last.moved(at, moves.motion[0], out);
                golden.moved(at, moves.motion[1], other);
                for (a, b) in out.iter_mut().zip(other) {
                    *a = ((u16::from(*a) + u16::from(*b) + 1) >> 1) as u8;
                }
            }
            _ => canvas.moved(plane, at, moves, out),
        }
    }

    /// The ways in which edges go on, the most promising ones completed.
    #[expect(clippy::too_many_arguments, reason = "all of it is the block's surroundings")]
    fn edges(
        &self,
        canvas: &mut Canvas,
        model: &Model,
        at: Square,
        wanted: &[u8],
        closest: u64,
        mut keep: impl FnMut(Trial),
        near: &Near,
    ) {
        let side = at.2;
        let first = closest == u64::MAX;
        let bound = closest.saturating_add(closest / 5);
        let mut modes: Vec<(u64, u8)> = Vec::with_capacity(MODES);
        let mut samples = [0; AREA];
        let samples = &mut samples[..side * side];
        for mode in 0..MODES as u8 {
            canvas.continued(0, at, mode, samples);
            let difference = differences(samples, wanted);
            if self.weight.plain(difference, 0) < bound {
                let mut said = edged(at, mode);
                let bits = bits_of(canvas, model, &mut said);
                modes.push((self.weight.plain(difference, bits), mode));
            }
        }
        modes.sort_unstable();
        for (cost, mode) in modes.into_iter().take(if first { WAYS_KEY } else { 1 }) {
            if cost <= bound {
                keep(self.completed(canvas, model, near, edged(at, mode)));
            }
        }
    }

    /// A block with the best levels, in one piece or four.
    fn completed(&self, canvas: &mut Canvas, model: &Model, near: &Near, mut said: Block) -> Trial {
        let mut luma = self.fill(canvas, model, near, &mut said, 0);
        let chroma =
            self.fill(canvas, model, near, &mut said, 4) + self.fill(canvas, model, near, &mut said, 5);
        let chroma = chroma * CHROMA_SHARE / 4;
        let mut cost = self.weight.cost(luma + chroma, bits_of(canvas, model, &mut said));
        if luma << 8 > self.weight.bits(QUIET_BITS) {
            let mut divided = Block { divided: true, ..said.clone() };
            divided.levels[0].clear();
            let error = self.fill_parts(canvas, model, near, &mut divided);
            let other = self.weight.cost(error + chroma, bits_of(canvas, model, &mut divided));
            if other < cost {
                (cost, luma, said) = (other, error, divided);
            }
        }
        Trial { block: said, cost, error: luma + chroma }
    }

    /// The levels of all luma squares of a divided block, and the squared error.
    fn fill_parts(&self, canvas: &mut Canvas, model: &Model, near: &Near, said: &mut Block) -> u64 {
        let error = (0..4).map(|part| self.fill(canvas, model, near, said, part)).sum();
        if said.moves.from == From::Edges {
            canvas.clear(said.x, said.y, said.side);
        }
        error
    }

    /// The levels of one of a block's squares, and the squared error. A part of a block that
    /// continues edges goes into the canvas, for the next part to continue it.
    fn fill(&self, canvas: &mut Canvas, model: &Model, near: &Near, said: &mut Block, part: usize) -> u64 {
        let (plane, at) = place(said, part);
        let side = at.2;
        let (mut wanted, mut samples) = ([0; AREA], [0; AREA]);
        let (wanted, samples) = (&mut wanted[..side * side], &mut samples[..side * side]);
        self.source.planes[plane].take(at.0, at.1, side, wanted);
        let edges = said.moves.from == From::Edges;
        if edges {
            canvas.continued(plane, at, said.mode, samples);
        } else {
            self.moved(canvas, plane, at, &said.moves, samples);
        }
        let mut residual = [0; AREA];
        for ((into, wanted), sample) in residual.iter_mut().zip(&*wanted).zip(&*samples) {
            *into = i32::from(*wanted) - i32::from(*sample);
        }
        let mut coefficients = [0; 256];
        forward(&residual[..side * side], side, &mut coefficients);
        let shape = said.shape(canvas.setting, near, part);
        let step = canvas.steps[plane.min(1)];
        quantised(model, &self.weight, shape, &coefficients, step, &mut said.levels[part]);
        if !said.levels[part].is_empty() {
            add(samples, &said.levels[part], side, step);
        }
        if edges && said.divided {
            canvas.planes.planes[plane].put(at.0, at.1, side, samples);
            canvas.grid.update(at.0, at.1, side, |cell| cell.filled = true);
        }
        squares(samples, wanted)
    }
}

/// A square error below which a block is as good as right, as what so many bits are worth.
const DONE_BITS: u32 = 10 * super::model::BIT;
/// And one below which it is not worth dividing.
const QUIET_BITS: u32 = 16 * super::model::BIT;
/// What saying a motion costs beside the motion itself.
const MOVES_BITS: u32 = 3 * super::model::BIT;
/// How many ways to move, and to continue edges in keyframes, are completed with levels.
const WAYS: usize = 2;
const WAYS_KEY: usize = 3;

fn edged((x, y, side): Square, mode: u8) -> Block {
    Block { x, y, side, mode, ..Block::default() }
}

fn bits_of(canvas: &Canvas, model: &Model, said: &mut Block) -> u32 {
    let mut counting = Counting::new(model);
    block(&mut counting, canvas.setting, &canvas.grid, said);
    counting.cost
}

/// The squared error between two planes of one size.
pub(super) fn error(a: &Plane, b: &Plane) -> u64 {
    (0..a.height as i32).map(|y| squares(a.row(0, y, a.width), b.row(0, y, b.width))).sum()
}

/// The sum of squared differences.
fn squares(a: &[u8], b: &[u8]) -> u64 {
    let square = |(a, b): (&u8, &u8)| {
        let difference = u32::from(a.abs_diff(*b));
        difference * difference
    };
    u64::from(a.iter().zip(b).map(square).sum::<u32>())
}
