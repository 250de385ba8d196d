//! Smooths the borders of blocks: VP8's simple filter (RFC 6386, section 15.2) and, where both sides
//! are flat, the wide one of VP9 (its specification, section 8.8.5).

use super::canvas::Canvas;
use super::grid::{Cell, From};

/// Smooths all borders across which the prediction or the residual changes.
pub(super) fn borders(canvas: &mut Canvas) {
    for direction in 0..2 {
        for row in 0..canvas.grid.rows {
            for column in 0..canvas.grid.columns {
                let cell = *canvas.grid.cell(column, row);
                let other = match direction {
                    _ if !cell.border[direction] => None,
                    0 if column > 0 => Some(canvas.grid.cell(column - 1, row)),
                    1 if row > 0 => Some(canvas.grid.cell(column, row - 1)),
                    _ => None,
                };
                let Some(strength) = other.and_then(|other| strength(&cell, other)) else { continue };
                border(canvas, 0, (column * 4, row * 4, 4), direction, strength);
                let on_grid = if direction == 0 { column % 2 == 0 } else { row % 2 == 0 };
                if on_grid {
                    for plane in 1..3 {
                        border(canvas, plane, (column * 2, row * 2, 2), direction, strength);
                    }
                }
            }
        }
    }
}

/// How much a border needs, if it does: in 1/16.
fn strength(a: &Cell, b: &Cell) -> Option<i32> {
    if a.moves.from == From::Edges || b.moves.from == From::Edges {
        Some(LIMIT_EDGES)
    } else if a.coded || b.coded || a.moves != b.moves {
        Some(LIMIT_MOVED)
    } else {
        None
    }
}

fn border(
    canvas: &mut Canvas,
    plane: usize,
    (x, y, length): (usize, usize, usize),
    direction: usize,
    strength: i32,
) {
    let step = canvas.steps[plane.min(1)];
    let limit = ((step * strength) >> 8).min(LIMIT_MAX);
    let flat = ((step * FLAT) >> 8).clamp(1, FLAT_MAX);
    let planes = &mut canvas.planes.planes[plane];
    let first = planes.at(x as i32, y as i32);
    let (samples, stride) = planes.raw_mut();
    let (along, across) = if direction == 0 { (stride, 1) } else { (1, stride) };
    for at in 0..length {
        smooth(samples, first + at * along, across, limit, flat, plane == 0);
    }
}

/// One line of samples across a border, which lies before `at`.
fn smooth(samples: &mut [u8], at: usize, stride: usize, limit: i32, flat: i32, wide: bool) {
    let value = |steps: usize| i32::from(samples[at + steps * stride - 4 * stride]);
    let [p3, p2, p1, p0, q0, q1, q2, q3] = [0, 1, 2, 3, 4, 5, 6, 7].map(value);
    if (p0 - q0).abs() * 2 + (p1 - q1).abs() / 2 > limit {
        return;
    }
    let near = |a: i32, b: i32| (a - b).abs() <= flat;
    let mut set = |steps: usize, value: i32| samples[at + steps * stride - 4 * stride] = value as u8;
    if wide && near(p1, p0) && near(p2, p0) && near(p3, p0) && near(q1, q0) && near(q2, q0) && near(q3, q0) {
        set(1, (3 * p3 + 2 * p2 + p1 + p0 + q0 + 4) >> 3);
        set(2, (2 * p3 + p2 + 2 * p1 + p0 + q0 + q1 + 4) >> 3);
        set(3, (p3 + p2 + p1 + 2 * p0 + q0 + q1 + q2 + 4) >> 3);
        set(4, (p2 + p1 + p0 + 2 * q0 + q1 + q2 + q3 + 4) >> 3);
        set(5, (p1 + p0 + q0 + 2 * q1 + q2 + 2 * q3 + 4) >> 3);
        set(6, (p0 + q0 + q1 + 2 * q2 + 3 * q3 + 4) >> 3);
    } else {
        let across = ((p1 - q1).clamp(-128, 127) + 3 * (q0 - p0)).clamp(-128, 127);
        set(4, (q0 - ((across + 4).min(127) >> 3)).clamp(0, 255));
        set(3, (p0 + ((across + 3).min(127) >> 3)).clamp(0, 255));
    }
}

/// How large a step across a border still counts as the quantiser's doing, in 1/16 of its width
/// (which is in 1/16 itself).
const LIMIT_EDGES: i32 = 32;
const LIMIT_MOVED: i32 = 24;
const LIMIT_MAX: i32 = 90;

/// How much samples may differ on one side to count as flat, likewise.
const FLAT: i32 = 2;
const FLAT_MAX: i32 = 6;
