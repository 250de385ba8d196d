//! Which symbols a macroblock consists of, written once: the writer, the reader and the cost
//! counter all run this code.

use super::predict::{Edge, Motion};
use super::range::{Bits, Context};
use super::transform::{LEVEL_MAX, Levels};

/// All that is said about 16 by 16 luma samples and their chroma.
#[derive(Clone, Copy)]
pub(super) struct Macroblock {
    pub kind: Kind,
    /// Of the four luma quarters; all alike unless the kind is [`Kind::Quarters`].
    pub motion: [Motion; 4],
    /// Of the four luma quarters, when the kind is [`Kind::Edges`].
    pub edges: [Edge; 4],
    /// Of both chroma blocks, when the kind is [`Kind::Edges`].
    pub chroma_edge: Edge,
    /// Four luma blocks, cb, cr.
    pub levels: [Levels; 6],
    /// Which of them have a level that is not zero.
    pub coded: [bool; 6],
}

/// How a macroblock is predicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// Moves like its neighbours; nothing more is said.
    Skip,
    /// Moves as one.
    Whole,
    /// Moves in four quarters.
    Quarters,
    /// Continues the edges.
    #[default]
    Edges,
}

impl Macroblock {
    /// Nothing said yet.
    pub const BLANK: Self = Self {
        kind: Kind::Edges,
        motion: [Motion { x: 0, y: 0 }; 4],
        edges: [Edge::Flat; 4],
        chroma_edge: Edge::Flat,
        levels: [[0; 64]; 6],
        coded: [false; 6],
    };

    /// What its neighbours to the right and below need to know.
    pub fn brief(&self) -> Brief {
        Brief { kind: self.kind, motion: self.motion, coded: self.coded }
    }
}

/// What is remembered of a macroblock while its picture is coded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Brief {
    pub kind: Kind,
    pub motion: [Motion; 4],
    pub coded: [bool; 6],
}

/// The macroblocks around one, where there are any.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Around {
    pub left: Option<Brief>,
    pub above: Option<Brief>,
    pub above_right: Option<Brief>,
}

impl Around {
    /// Of the macroblock at `at` in rows of `columns`.
    pub fn of(briefs: &[Brief], columns: usize, at: usize) -> Self {
        let (x, y) = (at % columns, at / columns);
        Self {
            left: (x > 0).then(|| briefs[at - 1]),
            above: (y > 0).then(|| briefs[at - columns]),
            above_right: (y > 0 && x + 1 < columns).then(|| briefs[at - columns + 1]),
        }
    }

    /// How the neighbours move.
    pub fn motion(&self) -> Motion {
        let moves = |brief: Option<Brief>, quarter: usize| {
            brief.filter(|b| b.kind != Kind::Edges).map(|b| b.motion[quarter])
        };
        let left = moves(self.left, 1);
        let above = moves(self.above, 2);
        let other = moves(self.above_right, 2);
        match (left, above, other) {
            (Some(one), None, None) | (None, Some(one), None) | (None, None, Some(one)) => one,
            _ => {
                Motion::median(left.unwrap_or_default(), above.unwrap_or_default(), other.unwrap_or_default())
            }
        }
    }

    fn count(&self, is: impl Fn(&Brief) -> bool) -> usize {
        usize::from(self.left.as_ref().is_some_and(&is)) + usize::from(self.above.as_ref().is_some_and(&is))
    }
}

/// Everything a frame learns about its symbols; it starts anew with each frame.
#[derive(Clone)]
pub(super) struct Contexts {
    skip: [Context; 3],
    edges: [Context; 3],
    quarters: [Context; 3],
    moved: [[Context; 2]; 2],
    distance: [[Context; DISTANCE_BITS]; 2],
    edge: [[Context; 3]; 2],
    any: [Context; 3],
    coded: [[Context; 3]; 4],
    levels: [LevelContexts; 3],
}

#[derive(Clone)]
struct LevelContexts {
    more: [[Context; 3]; BANDS],
    some: [[Context; 3]; BANDS],
    above_one: [[Context; 3]; BANDS],
    size: [Context; SIZE_BITS],
}

const BANDS: usize = 7;
const SIZE_BITS: usize = 10;
const DISTANCE_BITS: usize = 6;

/// Which band a coefficient belongs to, by its place in the zigzag.
const BAND: [usize; 64] = {
    let mut band = [BANDS - 1; 64];
    let ends = [1, 3, 6, 10, 21, 36];
    let mut place = 0;
    while place < 36 {
        let mut at = 0;
        while place >= ends[at] {
            at += 1;
        }
        band[place] = at;
        place += 1;
    }
    band
};

impl Contexts {
    /// What is expected before anything was seen.
    pub fn new() -> Self {
        const fn level(more: u8, some: u8) -> LevelContexts {
            LevelContexts {
                more: [[Context::new(more, 2); 3]; BANDS],
                some: [[Context::new(some, 2); 3]; BANDS],
                above_one: [[Context::new(60, 2); 3]; BANDS],
                size: [Context::new(110, 2); SIZE_BITS],
            }
        }
        Self {
            skip: [60, 128, 200].map(|set| Context::new(set, 3)),
            edges: [12, 60, 120].map(|set| Context::new(set, 3)),
            quarters: [60, 100, 150].map(|set| Context::new(set, 3)),
            moved: [[Context::new(128, 2); 2]; 2],
            distance: [[Context::new(128, 2); DISTANCE_BITS]; 2],
            edge: [[Context::new(128, 2); 3]; 2],
            any: [128, 170, 200].map(|set| Context::new(set, 2)),
            coded: [[80, 128, 180].map(|set| Context::new(set, 2)); 4],
            levels: [level(170, 110), level(128, 90), level(128, 90)],
        }
    }
}

/// A macroblock's symbols.
pub(super) fn macroblock<B: Bits>(
    bits: &mut B,
    c: &mut Contexts,
    around: &Around,
    keyframe: bool,
    block: &mut Macroblock,
) {
    if keyframe {
        block.kind = Kind::Edges;
    } else {
        kind(bits, c, around, &mut block.kind);
        match block.kind {
            Kind::Skip => {
                block.motion = [around.motion(); 4];
                block.coded = [false; 6];
                return;
            }
            Kind::Whole => {
                motion(bits, c, around.motion(), &mut block.motion[0]);
                block.motion = [block.motion[0]; 4];
            }
            Kind::Quarters => {
                motion(bits, c, around.motion(), &mut block.motion[0]);
                for quarter in 1..4 {
                    // The last quarter follows the one above it, the others the first.
                    let near = block.motion[quarter / 3];
                    motion(bits, c, near, &mut block.motion[quarter]);
                }
            }
            Kind::Edges => block.motion = [Motion::default(); 4],
        }
    }
    if block.kind == Kind::Edges {
        for at in 0..4 {
            edge(bits, &mut c.edge[0], &mut block.edges[at]);
        }
        edge(bits, &mut c.edge[1], &mut block.chroma_edge);
    }
    let edges = usize::from(block.kind == Kind::Edges);
    let neighbours = around.count(|b| b.coded.contains(&true));
    if !bits.bit(&mut c.any[neighbours], block.coded.contains(&true)) {
        block.coded = [false; 6];
        return;
    }
    let left = around.left.map_or([false; 6], |b| b.coded);
    let above = around.above.map_or([false; 6], |b| b.coded);
    for at in 0..6 {
        let near = match at {
            0 => [left[1], above[2]],
            1 => [block.coded[0], above[3]],
            2 => [left[3], block.coded[0]],
            3 => [block.coded[2], block.coded[1]],
            _ => [left[at], above[at]],
        };
        let near = usize::from(near[0]) + usize::from(near[1]);
        let table = if at < 4 { edges } else { at - 2 };
        block.coded[at] = bits.bit(&mut c.coded[table][near], block.coded[at]);
        if block.coded[at] {
            let table = if at < 4 { edges } else { 2 };
            levels(bits, &mut c.levels[table], &mut block.levels[at]);
        }
    }
}

fn kind<B: Bits>(bits: &mut B, c: &mut Contexts, around: &Around, kind: &mut Kind) {
    let near = |wanted: Kind| around.count(|b| b.kind == wanted);
    *kind = if bits.bit(&mut c.skip[near(Kind::Skip)], *kind == Kind::Skip) {
        Kind::Skip
    } else if bits.bit(&mut c.edges[near(Kind::Edges)], *kind == Kind::Edges) {
        Kind::Edges
    } else if bits.bit(&mut c.quarters[near(Kind::Quarters)], *kind == Kind::Quarters) {
        Kind::Quarters
    } else {
        Kind::Whole
    };
}

fn motion<B: Bits>(bits: &mut B, c: &mut Contexts, near: Motion, motion: &mut Motion) {
    let mut still = 0;
    let mut axis = |at: usize, near: i16, value: i16| -> i32 {
        let difference = i32::from(value) - i32::from(near);
        let moved = bits.bit(&mut c.moved[at][still], difference != 0);
        if at == 0 {
            still = usize::from(!moved);
        }
        if !moved {
            return near.into();
        }
        let size = number(bits, &mut c.distance[at], difference.unsigned_abs().saturating_sub(1)) + 1;
        let size = size.min(2 * Motion::MAX as u32) as i32;
        i32::from(near) + if bits.raw(difference < 0) { -size } else { size }
    };
    let x = axis(0, near.x, motion.x);
    let y = axis(1, near.y, motion.y);
    *motion = Motion::new(x, y);
}

fn edge<B: Bits>(bits: &mut B, c: &mut [Context; 3], edge: &mut Edge) {
    *edge = if bits.bit(&mut c[0], *edge == Edge::Flat) {
        Edge::Flat
    } else if bits.bit(&mut c[1], *edge == Edge::Slope) {
        Edge::Slope
    } else if bits.bit(&mut c[2], *edge == Edge::Down) {
        Edge::Down
    } else {
        Edge::Right
    };
}

/// The levels of a block that has some.
fn levels<B: Bits>(bits: &mut B, c: &mut LevelContexts, levels: &mut Levels) {
    let last = levels.iter().rposition(|level| *level != 0).unwrap_or(0);
    // Sizes of the last two levels, at most 2 each.
    let (mut one, mut two) = (0usize, 0usize);
    for place in 0..64 {
        let band = BAND[place];
        let near = (one + two).div_ceil(2);
        // After a zero there is always more.
        if place > 0 && one > 0 && !bits.bit(&mut c.more[band][near], place <= last) {
            levels[place..].fill(0);
            return;
        }
        let level = levels[place];
        let mut size = 0;
        if bits.bit(&mut c.some[band][near], level != 0) {
            size = 1;
            if bits.bit(&mut c.above_one[band][near], level.unsigned_abs() > 1) {
                let rest = u32::from(level.unsigned_abs().saturating_sub(2));
                size = (number(bits, &mut c.size, rest) + 2).min(LEVEL_MAX as u32) as i16;
            }
            let negative = bits.raw(level < 0);
            levels[place] = if negative { -size } else { size };
        } else {
            levels[place] = 0;
        }
        two = one;
        one = size.min(2) as usize;
    }
}

/// A number from 0, Exp-Golomb with a learned prefix (the same shape in JPEG's and Daala's coders).
fn number<B: Bits>(bits: &mut B, c: &mut [Context], value: u32) -> u32 {
    let wanted = (value + 1).ilog2() as usize;
    let mut width = 0;
    while width < 12 && bits.bit(&mut c[width.min(c.len() - 1)], width < wanted) {
        width += 1;
    }
    let mut read = 1;
    for digit in (0..width).rev() {
        read = read << 1 | u32::from(bits.raw((value + 1) >> digit & 1 == 1));
    }
    read - 1
}
