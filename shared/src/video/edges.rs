//! Blocks that continue their edges, in the ways that AV1 published (its specification, section
//! 7.11.2): evenly, smoothly, by the nearest of three, and along six lines.

use super::grid::Grid;
use super::plane::Plane;

/// In how many ways edges continue.
pub(super) const MODES: usize = 11;

const EVEN: u8 = 0;
const SMOOTH: u8 = 1;
const PAETH: u8 = 2;
const DOWN: u8 = 3;
const RIGHT: u8 = 4;

/// Whether what is left of such a block tends to be even (0), in columns (1) or in rows (2).
pub(super) fn slant(mode: u8) -> usize {
    match mode {
        DOWN | 6 | 7 => 1,
        RIGHT | 9 | 10 => 2,
        _ => 0,
    }
}

/// The samples around a square: the corner, then those above or at the left and as many beyond.
struct Edge([u8; 65]);

/// How many samples around a square are there already.
struct There {
    above: usize,
    left: usize,
    corner: bool,
}

impl There {
    /// Of a square in a plane that is `scale` times smaller than luma.
    fn of(grid: &Grid, x: usize, y: usize, side: usize, scale: usize) -> Self {
        let at = |x: i32, y: i32| grid.filled(x * scale as i32, y * scale as i32).is_some();
        let (left, top) = (x as i32, y as i32);
        let unit = 4 / scale;
        let count = |there: &dyn Fn(i32) -> bool| {
            (0..2 * side).step_by(unit).take_while(|from| there(*from as i32)).count() * unit
        };
        Self {
            above: count(&|from| at(left + from, top - 1)),
            left: count(&|from| at(left - 1, top + from)),
            corner: at(left - 1, top - 1),
        }
    }
}

/// Writes the `side` by `side` square at `x`, `y` as it continues its edges; the plane is `scale`
/// times smaller than luma.
pub(super) fn continued(
    plane: &Plane,
    grid: &Grid,
    (x, y, side): (usize, usize, usize),
    scale: usize,
    mode: u8,
    out: &mut [u8],
) {
    let there = There::of(grid, x, y, side, scale);
    let (left, top) = (x as i32, y as i32);
    let mut above = Edge([128; 65]);
    let mut beside = Edge([128; 65]);
    let length = 2 * side;
    if there.above > 0 {
        let count = there.above.min(length);
        above.0[1..=count].copy_from_slice(plane.row(left, top - 1, count));
        let last = above.0[count];
        above.0[count + 1..=length].fill(last);
    }
    if there.left > 0 {
        let count = there.left.min(length);
        for at in 0..count {
            beside.0[at + 1] = plane.sample(left - 1, top + at as i32);
        }
        let last = beside.0[count];
        beside.0[count + 1..=length].fill(last);
    }
    match (there.above > 0, there.left > 0) {
        (false, true) => above.0[1..=length].fill(beside.0[1]),
        (true, false) => beside.0[1..=length].fill(above.0[1]),
        _ => {}
    }
    let corner = match (there.corner, there.above > 0) {
        (true, _) => plane.sample(left - 1, top - 1),
        (false, true) => above.0[1],
        (false, false) => beside.0[1],
    };
    above.0[0] = corner;
    beside.0[0] = corner;
    match mode {
        EVEN => even(&above, &beside, &there, side, out),
        SMOOTH => smooth(&above, &beside, side, out),
        PAETH => paeth(&above, &beside, side, out),
        DOWN => out.chunks_exact_mut(side).take(side).for_each(|row| row.copy_from_slice(&above.0[1..=side])),
        RIGHT => {
            let rows = out.chunks_exact_mut(side).take(side);
            rows.zip(&beside.0[1..]).for_each(|(row, sample)| row.fill(*sample));
        }
        _ => line(&above, &beside, LINES[usize::from(mode) - 5], side, out),
    }
}

fn even(above: &Edge, beside: &Edge, there: &There, side: usize, out: &mut [u8]) {
    let sum = |edge: &Edge| edge.0[1..=side].iter().map(|v| u32::from(*v)).sum::<u32>();
    let (half, whole) = (side as u32 / 2, side as u32);
    let mean = match (there.above > 0, there.left > 0) {
        (true, true) => (sum(above) + sum(beside) + whole) / (2 * whole),
        (true, false) => (sum(above) + half) / whole,
        _ => (sum(beside) + half) / whole,
    };
    out[..side * side].fill(mean as u8);
}

fn smooth(above: &Edge, beside: &Edge, side: usize, out: &mut [u8]) {
    let weights = &WEIGHTS[side - 4..][..side];
    let (right, bottom) = (u32::from(above.0[side]), u32::from(beside.0[side]));
    for (y, row) in out.chunks_exact_mut(side).take(side).enumerate() {
        let (down, left) = (u32::from(weights[y]), u32::from(beside.0[y + 1]));
        for (x, sample) in row.iter_mut().enumerate() {
            let across = u32::from(weights[x]);
            let sum = down * u32::from(above.0[x + 1])
                + (256 - down) * bottom
                + across * left
                + (256 - across) * right;
            *sample = ((sum + 256) >> 9) as u8;
        }
    }
}

fn paeth(above: &Edge, beside: &Edge, side: usize, out: &mut [u8]) {
    let corner = i32::from(above.0[0]);
    for (y, row) in out.chunks_exact_mut(side).take(side).enumerate() {
        let left = i32::from(beside.0[y + 1]);
        for (x, sample) in row.iter_mut().enumerate() {
            let top = i32::from(above.0[x + 1]);
            let (to_left, to_top) = ((top - corner).abs(), (left - corner).abs());
            let to_corner = (top + left - 2 * corner).abs();
            *sample = if to_left <= to_top && to_left <= to_corner {
                left
            } else if to_top <= to_corner {
                top
            } else {
                corner
            } as u8;
        }
    }
}

/// A direction: how far the edge above, or at the left, moves for each row or column, in 1/64.
#[derive(Clone, Copy)]
enum Line {
    /// From above and the right.
    Above(i32),
    /// From above and the left.
    Corner(i32, i32),
    /// From below and the left.
    Beside(i32),
}

/// 45, 67, 113, 135, 157 and 203 degrees.
const LINES: [Line; 6] = [
    Line::Above(64),
    Line::Above(27),
    Line::Corner(27, 151),
    Line::Corner(64, 64),
    Line::Corner(151, 27),
    Line::Beside(27),
];

fn line(above: &Edge, beside: &Edge, line: Line, side: usize, out: &mut [u8]) {
    let last = 2 * side as i32;
    // `at` is in 1/64 samples from the edge's first one; its corner is at −64.
    let between = |edge: &Edge, at: i32| {
        let (whole, part) = ((at >> 6) + 1, (at >> 1) & 31);
        let sample = |at: i32| i32::from(edge.0[at.clamp(0, last) as usize]);
        ((sample(whole) * (32 - part) + sample(whole + 1) * part + 16) >> 5) as u8
    };
    for y in 0..side as i32 {
        for x in 0..side as i32 {
            out[y as usize * side + x as usize] = match line {
                Line::Above(dx) => between(above, (x << 6) + (y + 1) * dx),
                Line::Beside(dy) => between(beside, (y << 6) + (x + 1) * dy),
                Line::Corner(dx, dy) => {
                    let at = (x << 6) - (y + 1) * dx;
                    if at >= -64 { between(above, at) } else { between(beside, (y << 6) - (x + 1) * dy) }
                }
            };
        }
    }
}

/// AV1's weights for sides of 4, 8, 16 and 32, one after the other.
const WEIGHTS: [u8; 60] = [
    255, 149, 85, 64, 255, 197, 146, 105, 73, 50, 37, 32, 255, 225, 196, 170, 145, 123, 102, 84, 68, 54, 43,
    33, 26, 20, 17, 16, 255, 240, 225, 210, 196, 182, 169, 157, 145, 133, 122, 111, 101, 92, 83, 74, 66, 59,
    52, 45, 39, 34, 29, 25, 21, 17, 14, 12, 10, 9, 8, 8,
];
