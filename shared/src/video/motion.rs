//! Where a block was in a reference picture: downhill from several guesses, in whole samples, then
//! in halves and quarters.

use super::fine::{Fine, Square};
use super::model::BIT;
use super::plane::Motion;
use super::quantise::Weight;

/// The motion whose samples are closest, bits included, and its cost; `expected` is free.
pub(super) fn nearest(
    fine: &Fine,
    weight: &Weight,
    at: Square,
    wanted: &[u8],
    expected: Motion,
    seeds: &[Motion],
) -> (u64, Motion) {
    let cost = |motion: Motion| weight.plain(fine.difference(at, motion, wanted), bits(motion, expected));
    let whole = |m: Motion| new((i32::from(m.x) + 2) & !3, (i32::from(m.y) + 2) & !3);
    let mut best = (cost(expected), expected);
    for (index, seed) in seeds.iter().enumerate() {
        if *seed != expected && !seeds[..index].contains(seed) {
            better(&mut best, *seed, &cost);
        }
    }
    let start = best;
    better(&mut best, whole(start.1), &cost);
    for (stride, tries) in [(32, 1), (16, 2), (8, 3), (4, 8)] {
        for _ in 0..tries {
            if !around(&mut best, stride, &CROSS, &cost) {
                break;
            }
        }
    }
    refine(&mut best, &cost);
    best
}

/// The best motion of one reference when the other one's samples are known.
pub(super) fn nearest_beside(
    fine: &Fine,
    weight: &Weight,
    at: Square,
    (wanted, other): (&[u8], &[u8]),
    expected: Motion,
    start: Motion,
) -> (u64, Motion) {
    let cost = |motion: Motion| {
        weight.plain(fine.difference_both(at, motion, other, wanted), bits(motion, expected))
    };
    let mut best = (cost(start), start);
    around(&mut best, 4, &CROSS, &cost);
    refine(&mut best, &cost);
    best
}

fn refine(best: &mut (u64, Motion), cost: &impl Fn(Motion) -> u64) {
    around(best, 2, &RING, cost);
    if around(best, 1, &RING, cost) {
        around(best, 1, &CROSS, cost);
    }
}

fn better(best: &mut (u64, Motion), motion: Motion, cost: &impl Fn(Motion) -> u64) {
    let found = cost(motion);
    if found < best.0 {
        *best = (found, motion);
    }
}

/// Whether one of the motions around the best one is better.
fn around(
    best: &mut (u64, Motion),
    stride: i32,
    places: &[(i32, i32)],
    cost: &impl Fn(Motion) -> u64,
) -> bool {
    let start = best.1;
    for (dx, dy) in places {
        better(best, new(i32::from(start.x) + dx * stride, i32::from(start.y) + dy * stride), cost);
    }
    best.1 != start
}

const CROSS: [(i32, i32); 4] = [(-1, 0), (1, 0), (0, -1), (0, 1)];
const RING: [(i32, i32); 8] = [(-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1)];

/// Within what a difference to any other motion can say.
fn new(x: i32, y: i32) -> Motion {
    const MAX: i32 = Motion::MAX / 2;
    Motion::new(x.clamp(-MAX, MAX), y.clamp(-MAX, MAX))
}

/// About what a motion costs, in [`BIT`]ths of a bit.
pub(super) fn bits(motion: Motion, expected: Motion) -> u32 {
    let axis = |a: i16, b: i16| match a.abs_diff(b) {
        0 => BIT,
        far => BIT * (3 + 2 * u32::from(far).ilog2()),
    };
    axis(motion.x, expected.x) + axis(motion.y, expected.y)
}
