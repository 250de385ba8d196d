//! Smooths the insides of coded blocks along their direction: AV1's constrained directional
//! enhancement filter (its specification, section 7.15), on luma.

use super::canvas::Canvas;
use super::plane::Plane;

/// Smooths each 8 by 8 block that has levels; `strength` 0 does nothing.
pub(super) fn insides(canvas: &mut Canvas, strength: usize) {
    if strength == 0 {
        return;
    }
    let mut before = canvas.planes.planes[0].clone();
    before.extend();
    for row in (0..canvas.grid.rows).step_by(2) {
        for column in (0..canvas.grid.columns).step_by(2) {
            let corner = |at: usize| canvas.grid.cell(column + at % 2, row + at / 2);
            if (0..4).all(|at| corner(at).skip) {
                continue;
            }
            block(&before, &mut canvas.planes.planes[0], column * 4, row * 4, strength);
        }
    }
}

fn block(before: &Plane, after: &mut Plane, x: usize, y: usize, strength: usize) {
    let (x, y) = (x as i32, y as i32);
    let (direction, contrast) = direction(before, x, y);
    let (along, aside) = STRENGTHS[strength];
    // Where nothing has a direction, the filter along it is weaker.
    let along = if contrast == 0 { 0 } else { (along * (4 + (contrast.ilog2() as i32).min(12)) + 8) >> 4 };
    let stride = before.at(0, 1) as isize - before.at(0, 0) as isize;
    let offset = |direction: usize, far: usize| {
        let (dy, dx) = STEPS[direction % 8][far];
        dy * stride + dx
    };
    let lines = [0, 2, 6].map(|turn| [0, 1].map(|far| offset(direction + turn, far)));
    let samples = before.raw();
    for row in 0..8 {
        let start = before.at(x, y + row);
        let into = after.row_mut(x, y + row, 8);
        for (column, sample) in into.iter_mut().enumerate() {
            let at = start + column;
            let middle = i32::from(samples[at]);
            let tap = |offset: isize, strength: i32| {
                let one = |at: usize| constrained(i32::from(samples[at]) - middle, strength);
                one(at.wrapping_add_signed(offset)) + one(at.wrapping_add_signed(-offset))
            };
            let mut sum = 0;
            for far in 0..2 {
                sum += tap(lines[0][far], along) * [4, 2][far];
                sum += (tap(lines[1][far], aside) + tap(lines[2][far], aside)) * [2, 1][far];
            }
            *sample = (middle + ((8 + sum - i32::from(sum < 0)) >> 4)).clamp(0, 255) as u8;
        }
    }
}

/// A difference, less the larger it is: an edge stays.
fn constrained(difference: i32, strength: i32) -> i32 {
    if strength == 0 {
        return 0;
    }
    let size = difference.abs();
    let shift = DAMPING.saturating_sub(strength.ilog2());
    size.min((strength - (size >> shift)).max(0)) * difference.signum()
}

const DAMPING: u32 = 5;

/// Along the direction, and beside it.
const STRENGTHS: [(i32, i32); super::frame::STRENGTHS] = [(0, 0), (2, 1), (5, 2), (10, 4)];

/// One and two samples along each of eight directions: down, across.
const STEPS: [[(isize, isize); 2]; 8] = [
    [(-1, 1), (-2, 2)],
    [(0, 1), (-1, 2)],
    [(0, 1), (0, 2)],
    [(0, 1), (1, 2)],
    [(1, 1), (2, 2)],
    [(1, 0), (2, 1)],
    [(1, 0), (2, 0)],
    [(1, 0), (2, -1)],
];

/// The direction along which an 8 by 8 block varies least, and how much less than across it.
fn direction(plane: &Plane, x: i32, y: i32) -> (usize, i32) {
    // Sums along each line of each direction; lines of one direction are equally long in the mean.
    let mut sums = [[0i32; 15]; 8];
    for i in 0..8usize {
        let row = plane.row(x, y + i as i32, 8);
        for (j, sample) in row.iter().enumerate() {
            let value = i32::from(*sample) - 128;
            sums[0][i + j] += value;
            sums[1][i + j / 2] += value;
            sums[2][i] += value;
            sums[3][3 + i - j / 2] += value;
            sums[4][7 + i - j] += value;
            sums[5][3 - i / 2 + j] += value;
            sums[6][j] += value;
            sums[7][i / 2 + j] += value;
        }
    }
    let square = |value: i32| value * value;
    let cost = |direction: usize| -> i32 {
        let sums = &sums[direction];
        match direction {
            2 | 6 => sums[..8].iter().map(|v| square(*v)).sum::<i32>() * 105,
            0 | 4 => {
                let ends: i32 = (0..7)
                    .map(|at| (square(sums[at]) + square(sums[14 - at])) * (840 / (at as i32 + 1)))
                    .sum();
                ends + square(sums[7]) * 105
            }
            _ => {
                let middle: i32 = sums[3..8].iter().map(|v| square(*v)).sum::<i32>() * 105;
                let ends: i32 = (0..3)
                    .map(|at| (square(sums[at]) + square(sums[10 - at])) * (840 / (2 * at as i32 + 2)))
                    .sum();
                middle + ends
            }
        }
    };
    let costs: [i32; 8] = std::array::from_fn(cost);
    let best = (0..8).max_by_key(|at| (costs[*at], 8 - at)).unwrap_or_default();
    (best, (costs[best] - costs[(best + 4) % 8]) >> 10)
}
