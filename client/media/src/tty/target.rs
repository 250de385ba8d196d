//! The picture averaged to the dots of the cells that it shall fill.

use super::glyph::DOTS;
use super::ink::Ycc;
use subrosa_shared::video::picture::{Picture, shares};

/// A colour for each dot of each cell, cells in rows from the top left.
pub(super) struct Target {
    pub(super) cells: Vec<[Ycc; DOTS]>,
}

impl Target {
    /// The picture in so many columns and rows of cells.
    pub(super) fn new(picture: &Picture, columns: u16, rows: u16) -> Self {
        let (width, height) = (usize::from(columns) * 2, usize::from(rows) * 4);
        let (w, h) = (usize::from(picture.width()), usize::from(picture.height()));
        let luma = scale(&picture.luma, (w, h), (width, height));
        let half = (w.div_ceil(2), h.div_ceil(2));
        let [cb, cr] = [&picture.cb, &picture.cr].map(|plane| scale(plane, half, (width, height)));
        let cell = |at: usize| {
            let (column, row) = (at % usize::from(columns), at / usize::from(columns));
            std::array::from_fn(|dot| {
                let place = (row * 4 + dot / 2) * width + column * 2 + dot % 2;
                [luma[place], cb[place], cr[place]]
            })
        };
        Self { cells: (0..usize::from(columns) * usize::from(rows)).map(cell).collect() }
    }
}

/// A plane at another size: each sample is the mean of what lies below it.
fn scale(plane: &[u8], from: (usize, usize), to: (usize, usize)) -> Vec<f32> {
    if from == to {
        return plane.iter().map(|sample| f32::from(*sample)).collect();
    }
    let columns = shares(from.0, to.0);
    // Rows first: most of them are only copied.
    let mut wide = vec![0.0; from.1 * to.0];
    for (row, line) in plane.chunks_exact(from.0).zip(wide.chunks_exact_mut(to.0)) {
        for (sample, shares) in line.iter_mut().zip(&columns) {
            *sample = mean(shares.iter().map(|(at, share)| (f32::from(row[*at]), *share)));
        }
    }
    let mut scaled = Vec::with_capacity(to.0 * to.1);
    for shares in shares(from.1, to.1) {
        scaled.extend((0..to.0).map(|x| mean(shares.iter().map(|(y, share)| (wide[y * to.0 + x], *share)))));
    }
    scaled
}

fn mean(samples: impl Iterator<Item = (f32, u32)>) -> f32 {
    let (mut sum, mut whole) = (0.0, 0.0);
    for (sample, share) in samples {
        sum += sample * share as f32;
        whole += share as f32;
    }
    if whole > 0.0 { sum / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_the_samples_or_their_means() {
        let picture = Picture::paint(16, 16, |x, _| [x as u8 * 16; 3]).expect("in bounds");
        let same = Target::new(&picture, 8, 4);
        assert_eq!(same.cells[3][0][0], f32::from(picture.luma[6]));
        assert_eq!(same.cells[3][7][0], f32::from(picture.luma[7]));
        let small = Target::new(&picture, 1, 1);
        let mean = picture.luma[..8].iter().map(|v| f32::from(*v)).sum::<f32>() / 8.0;
        assert!((small.cells[0][0][0] - mean).abs() < 0.01);
        assert!((small.cells[0][0][1] - 128.0).abs() < 1.0);
        let large = Target::new(&picture, 50, 20);
        assert_eq!(large.cells.len(), 1000);
        assert!(large.cells[49][1][0] >= f32::from(picture.luma[15]) - 0.01);
    }
}
