//! Where people look: how much an error in each cell counts.

use super::glyph::DOTS;
use super::ink::{Ycc, far};
use super::wanted::mean;

/// How much of each picture's motion counts beside the ones before it.
const SMOOTH: f32 = 0.6;
/// Motion (the mean square of the difference) that weighs as much as rest.
const RESTS: f32 = 40.0;
/// Motion that is no noise, and how much of a picture counts when all of it is.
const NOISE: f32 = 8.0;
const CALM: f32 = 0.25;
/// How much less counts what moves.
const MOVING: f32 = 0.4;
/// How much more counts what may be a face.
const FACE: f32 = 0.5;

/// What it has seen of a film.
#[derive(Debug, Default)]
pub(super) struct Attention {
    last: Vec<[Ycc; DOTS]>,
    /// How much each cell changes from picture to picture, smoothed: the mean square of its dots.
    motion: Vec<f32>,
}

impl Attention {
    /// How much an error in each cell of this picture counts, about 1. Changes that are as small as
    /// noise are smoothed over pictures.
    pub(super) fn weigh(&mut self, cells: &mut [[Ycc; DOTS]], columns: usize) -> Vec<f32> {
        if self.last.len() != cells.len() {
            self.last = cells.to_vec();
            self.motion = vec![0.0; cells.len()];
        }
        let rows = cells.len() / columns.max(1);
        let mut weights = Vec::with_capacity(cells.len());
        for (at, (dots, (last, motion))) in
            cells.iter_mut().zip(self.last.iter_mut().zip(&mut self.motion)).enumerate()
        {
            let change =
                dots.iter().zip(last.iter()).map(|(now, then)| far(*now, *then)).sum::<f32>() / DOTS as f32;
            *motion += (change - *motion) * SMOOTH;
            let part = (change / NOISE).clamp(CALM, 1.0);
            for (now, then) in dots.iter_mut().zip(last.iter_mut()) {
                *then = std::array::from_fn(|at| then[at] + (now[at] - then[at]) * part);
                *now = *then;
            }
            // What moves is written for a moment, what rests for long.
            let rest = (RESTS / (*motion + RESTS)).powf(MOVING);
            weights.push(rest * (1.0 + FACE * face(mean(dots), at % columns, at / columns, columns, rows)));
        }
        weights
    }
}

/// How likely a cell is part of a face, 0 to 1: it has a colour that skin has, and is not at the edge.
fn face([y, cb, cr]: Ycc, x: usize, y_at: usize, columns: usize, rows: usize) -> f32 {
    // Skin of all shades lies close together in Cb and Cr (Chai and Ngan 1999: 77–127, 133–173).
    let inside = |value: f32, low: f32, high: f32| {
        let (middle, half) = ((low + high) / 2.0, (high - low) / 2.0);
        ((1.0 - ((value - middle) / half).abs()) * 4.0).clamp(0.0, 1.0)
    };
    let skin = inside(cb, 80.0, 127.0) * inside(cr, 131.0, 176.0) * ((y - 40.0) / 20.0).clamp(0.0, 1.0);
    let off = |at: usize, of: usize| ((at as f32 + 0.5) / of as f32 * 2.0 - 1.0).abs();
    let middle = (1.6 - off(x, columns).max(off(y_at, rows)) * 1.1).clamp(0.0, 1.0);
    skin * middle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_face_counts_most_and_what_moves_least() {
        let (skin, wall) = ([140.0, 105.0, 152.0], [140.0, 128.0, 128.0]);
        let mut attention = Attention::default();
        // Five rows of five: a face in the middle, skin in a corner.
        let mut cells = vec![[wall; DOTS]; 25];
        cells[12] = [skin; DOTS];
        cells[0] = [skin; DOTS];
        attention.weigh(&mut cells.clone(), 5);
        for turn in 0..10 {
            cells[20] = [[if turn % 2 == 0 { 60.0 } else { 200.0 }, 128.0, 128.0]; DOTS];
            attention.weigh(&mut cells.clone(), 5);
        }
        let weights = attention.weigh(&mut cells.clone(), 5);
        assert!(weights[12] > weights[0] && weights[0] > 1.0 && weights[20] < 0.5, "{weights:?}");
        assert!((weights[6] - 1.0).abs() < 0.01);
    }
}
