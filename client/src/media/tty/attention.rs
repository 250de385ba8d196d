//! Where people look: how much an error in each cell counts.

use super::glyph::DOTS;
use super::ink::{Ycc, far};
use super::wanted::mean;
use super::tune;

/// What it has seen of a film.
#[derive(Debug, Default)]
pub(super) struct Attention {
    last: Vec<[Ycc; DOTS]>,
    /// How much each cell changes from picture to picture, smoothed: the mean square of its dots.
    motion: Vec<f32>,
}

impl Attention {
    /// How much an error in each cell of this picture counts, about 1.
    pub(super) fn weigh(&mut self, cells: &[[Ycc; DOTS]], columns: usize) -> Vec<f32> {
        if self.last.len() != cells.len() {
            self.last = cells.to_vec();
            self.motion = vec![0.0; cells.len()];
        }
        let rows = cells.len() / columns.max(1);
        let mut weights = Vec::with_capacity(cells.len());
        for (at, (dots, (last, motion))) in cells.iter().zip(self.last.iter_mut().zip(&mut self.motion)).enumerate() {
            let change = dots.iter().zip(last.iter()).map(|(now, then)| far(*now, *then)).sum::<f32>() / DOTS as f32;
            *motion += (change - *motion) * tune("LE", 0.3);
            *last = *dots;
            // What moves is written for a moment, what rests for long.
            let t = tune("LT", 40.0);
            let rest = (t / (*motion + t)).powf(tune("LG", 0.4));
            weights.push(rest * (1.0 + tune("FACE", 0.5) * face(mean(dots), at % columns, at / columns, columns, rows)));
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
