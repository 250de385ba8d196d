//! Which symbols a block consists of, written once: the writer, the reader and the cost counter
//! all run this code.

use super::edges::{MODES, slant};
use super::grid::{From, Grid, MERGE_MAX, Moves, Near};
use super::levels::{Shape, coded_near, levels};
use super::model::Coder;
use super::plane::Motion;
use super::symbols::Symbol;

/// All that is said about a square block of 8, 16 or 32 luma samples and its chroma.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    pub x: usize,
    pub y: usize,
    pub side: usize,
    /// It moves like a neighbour and has no levels.
    pub skip: bool,
    /// It moves like the neighbour of this number.
    pub merge: Option<usize>,
    pub moves: Moves,
    /// How edges continue, when it does not move.
    pub mode: u8,
    /// Its luma is transformed in four parts.
    pub divided: bool,
    /// Of up to four luma squares, cb, cr: in the order of the scan up to the last that is not zero.
    pub levels: [Vec<i16>; 6],
}

/// What is the same for all blocks of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub role: Role,
    /// There are two different reference pictures.
    pub two: bool,
}

/// What a frame is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Role {
    /// To begin with.
    Key,
    /// To be referred to for long.
    Golden,
    /// To be referred to by the next ones.
    Even,
    /// To be shown, mostly.
    Odd,
}

impl Block {
    /// How many luma squares it has, and their side.
    pub fn squares(&self) -> (usize, usize) {
        if self.divided { (4, self.side / 2) } else { (1, self.side) }
    }

    /// Where a luma square of it lies.
    pub fn square(&self, part: usize) -> (usize, usize, usize) {
        let (_, side) = self.squares();
        (self.x + part % 2 * side, self.y + part / 2 * side, side)
    }

    /// The shape of one of its squares: up to four luma ones, cb (4), cr (5).
    pub fn shape(&self, setting: Setting, near: &Near, part: usize) -> Shape {
        let edges = self.moves.from == From::Edges;
        Shape {
            side: if part < 4 { self.squares().1 } else { self.side / 2 },
            chroma: part >= 4,
            edges,
            slant: if edges { slant(self.mode) } else { 0 },
            role: setting.role as usize,
            coded: coded_near(near),
        }
    }
}

/// Whether a square of the quadtree divides.
pub(super) fn split<C: Coder>(
    coder: &mut C,
    setting: Setting,
    grid: &Grid,
    (x, y, side): (usize, usize, usize),
    value: bool,
) -> bool {
    let near = grid.near(x, y, side);
    let log = side.ilog2();
    let large = usize::from(side == 32);
    let smaller = near.pair(|cell| u32::from(cell.log) < log);
    let skipped = near.pair(|cell| cell.skip);
    let role = setting.role as usize;
    let contexts = [
        (smaller * 2 + large) * 6 + near.count(|cell| u32::from(cell.log) < log).min(5),
        (skipped * 2 + large) * 6 + near.count(|cell| cell.skip).min(5),
        (near.count(|cell| cell.coded) * 2 + large) * 5 + role.min(4),
    ];
    coder.bit(Symbol::Split, &contexts, value)
}

/// A block, levels and all.
pub(super) fn block<C: Coder>(coder: &mut C, setting: Setting, grid: &Grid, block: &mut Block) {
    let near = grid.near(block.x, block.y, block.side);
    let size = block.side.ilog2() as usize - 3;
    if setting.role == Role::Key {
        block.moves = Moves::default();
    } else {
        moves(coder, setting, &near, size, block);
    }
    if block.skip {
        return;
    }
    if block.moves.from == From::Edges {
        mode(coder, setting, &near, size, block);
    }
    let edges = usize::from(block.moves.from == From::Edges);
    let kind = if block.merge.is_some() { 2 } else { edges };
    let role = setting.role as usize;
    let coded = near.pair(|cell| cell.coded);
    let contexts =
        [(size * 2 + edges) * 4 + role, (size * 4 + coded_near(&near)) * 2 + edges, coded * 2 + edges];
    block.divided = coder.bit(Symbol::Divide, &contexts, block.divided);
    let (squares, side) = block.squares();
    let log = side.ilog2() as usize - 2;
    let mut some = 0;
    for part in 0..squares {
        let contexts = [
            (coded * 4 + log) * 2 + edges,
            ((part + usize::from(squares > 1)).min(4) * 4 + some.min(3)) * 3 + kind,
            (log * 3 + kind) * 4 + role,
            (near.count(|cell| cell.coded)) * 4 + log,
        ];
        let value = coder.bit(Symbol::Luma, &contexts, !block.levels[part].is_empty());
        square(coder, setting, &near, block, part, value);
        some += usize::from(value);
    }
    let any = usize::from(some > 0);
    let mut first = 0;
    for part in 4..6 {
        let stage = if part == 4 { 0 } else { 1 + first };
        let contexts = [
            ((stage * 3 + size) * 2 + any) * 4 + role,
            (stage * 4 + kind) * 4 + some.min(3),
            (stage * 4 + size) * 2 + edges,
        ];
        let value = coder.bit(Symbol::Chroma, &contexts, !block.levels[part].is_empty());
        square(coder, setting, &near, block, part, value);
        first = usize::from(value);
    }
}

fn square<C: Coder>(
    coder: &mut C,
    setting: Setting,
    near: &Near,
    block: &mut Block,
    part: usize,
    some: bool,
) {
    if some {
        let shape = block.shape(setting, near, part);
        levels(coder, shape, &mut block.levels[part]);
    } else {
        block.levels[part].clear();
    }
}

/// How a block is predicted.
fn moves<C: Coder>(coder: &mut C, setting: Setting, near: &Near, size: usize, block: &mut Block) {
    let role = setting.role as usize;
    let skipped = near.pair(|cell| cell.skip);
    let contexts = [
        skipped * 3 + size,
        near.pair(|cell| cell.coded) * 3 + size,
        (near.count(|cell| cell.skip).min(4) * 3 + size) * 3 + role - 1,
        skipped * 9 + near.pair(|cell| u32::from(cell.log) < 4),
    ];
    block.skip = coder.bit(Symbol::Skip, &contexts, block.skip);
    if !block.skip {
        let edges = near.pair(|cell| cell.moves.from == From::Edges);
        let contexts =
            [edges, near.count(|cell| cell.moves.from == From::Edges) * 3 + size, size * 3 + role - 1];
        if coder.bit(Symbol::Intra, &contexts, block.moves.from == From::Edges) {
            block.moves = Moves::default();
            return;
        }
        let merged = near.pair(|cell| cell.merged);
        let contexts =
            [near.count(|cell| cell.merged) * 3 + size, merged * 3 + role - 1, size * 3 + role - 1];
        if !coder.bit(Symbol::Merge, &contexts, block.merge.is_some()) {
            block.merge = None;
            return explicit(coder, setting, near, size, block);
        }
    }
    let merges = near.merges(setting.two);
    let all = merges.all();
    let wanted = block.merge.unwrap_or(0);
    let mut which = 0;
    while which + 1 < all.len() {
        let moves = all[which];
        let still = usize::from(moves.motion == [Motion::default(); 2]);
        let like = near.pair(|cell| cell.moves == moves);
        let contexts = [
            (which * 3 + moves.from as usize - 1) * 3 + size,
            (which * 2 + still) * 6 + usize::from(block.skip) * 3 + size,
            (like * 2 + still) * 3 + moves.from as usize - 1,
            which * 6 + all.len() - 1,
        ];
        if coder.bit(Symbol::Which, &contexts, which == wanted) {
            break;
        }
        which += 1;
    }
    block.merge = Some(which);
    block.moves = all[which];
}

/// A motion of its own.
fn explicit<C: Coder>(coder: &mut C, setting: Setting, near: &Near, size: usize, block: &mut Block) {
    let mut from = From::Last;
    if setting.two {
        let of = |cell: Option<super::grid::Cell>| cell.map_or(4, |cell| cell.moves.from as usize);
        let around = of(near.left) * 5 + of(near.above);
        let role = setting.role as usize - 1;
        let mut say = |stage: usize, value: bool| {
            let contexts =
                [around * 2 + stage, ((size * 3 + role) * 2 + stage), (role * 3 + size) * 2 + stage];
            coder.bit(Symbol::References, &contexts, value)
        };
        from = if say(0, block.moves.from == From::Both) {
            From::Both
        } else if say(1, block.moves.from == From::Golden) {
            From::Golden
        } else {
            From::Last
        };
    }
    block.moves.from = from;
    for reference in 0..2 {
        if from.uses(reference) {
            let expected = near.motion(reference);
            let both = usize::from(from == From::Both) * (1 + reference);
            motion(coder, expected, both, size, &mut block.moves.motion[reference]);
        } else {
            block.moves.motion[reference] = Motion::default();
        }
    }
}

fn motion<C: Coder>(coder: &mut C, expected: Motion, both: usize, size: usize, motion: &mut Motion) {
    let mut moved = 0;
    let mut axis = |down: usize, expected: i16, value: i16| -> i32 {
        let difference = i32::from(value) - i32::from(expected);
        let stage = down * (1 + moved);
        let still = usize::from(expected == 0);
        let contexts = [(stage * 3 + size) * 2 + still, (stage * 3 + both) * 2 + still, stage * 3 + size];
        if !coder.bit(Symbol::Moved, &contexts, difference != 0) {
            return expected.into();
        }
        moved = 1;
        let wanted = difference.unsigned_abs().max(1).ilog2() as usize;
        let mut class = 0;
        let far = |class: usize| {
            [class * 2 + down, (class * 3 + size) * 2 + stage.min(1), (class * 2 + still) * 2 + down]
        };
        while class < 9 && coder.bit(Symbol::Far, &far(class), class < wanted) {
            class += 1;
        }
        let mut size = 1;
        for digit in (0..class).rev() {
            size = size << 1 | i32::from(coder.raw(difference.unsigned_abs() >> digit & 1 == 1));
        }
        i32::from(expected) + if coder.raw(difference < 0) { -size } else { size }
    };
    let x = axis(0, expected.x, motion.x);
    let y = axis(1, expected.y, motion.y);
    *motion = Motion::new(x, y);
}

/// How edges continue: in unary, the more likely ways first.
fn mode<C: Coder>(coder: &mut C, setting: Setting, near: &Near, size: usize, block: &mut Block) {
    let of = |cell: Option<super::grid::Cell>| {
        cell.filter(|cell| cell.moves.from == From::Edges).map_or(MODES, |cell| usize::from(cell.mode))
    };
    let (left, above) = (of(near.left), of(near.above));
    let inter = usize::from(setting.role != Role::Key);
    let mut mode = 0;
    while mode + 1 < MODES {
        let contexts = [left * 10 + mode, above * 10 + mode, (mode * 3 + size) * 2 + inter];
        if coder.bit(Symbol::Mode, &contexts, usize::from(block.mode) == mode) {
            break;
        }
        mode += 1;
    }
    block.mode = mode as u8;
}

const _: () = assert!(MODES == 11 && MERGE_MAX == 6);
