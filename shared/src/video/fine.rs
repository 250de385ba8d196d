//! A reference picture at all quarters of a sample, so that a search compares many motions quickly.

use super::plane::{Motion, Plane, TAPS};

/// Luma, moved by each quarter across and down.
pub(super) struct Fine {
    planes: Vec<Plane>,
}

impl Fine {
    /// Of a plane whose border repeats its edge.
    pub fn of(plane: &Plane) -> Self {
        let mut planes = Vec::with_capacity(16);
        planes.push(plane.clone());
        for quarter in 1..4 {
            planes.push(filtered(plane, 1, quarter));
        }
        let stride = plane.at(0, 1) - plane.at(0, 0);
        for down in 1..4 {
            for across in 0..4 {
                let moved = filtered(&planes[across], stride, down);
                planes.push(moved);
            }
        }
        Self { planes }
    }

    /// Writes a square as it was before it moved: the same samples as [`Plane::moved`] gives.
    pub fn moved(&self, (x, y, side): Square, motion: Motion, out: &mut [u8]) {
        let (plane, left, top) = self.origin((x, y, side), motion);
        for (row, into) in out.chunks_exact_mut(side).take(side).enumerate() {
            into.copy_from_slice(plane.row(left, top + row as i32, side));
        }
    }

    /// The sum of absolute differences to a square that moved.
    pub fn difference(&self, at: Square, motion: Motion, wanted: &[u8]) -> u32 {
        let (plane, left, top) = self.origin(at, motion);
        let side = at.2;
        let rows = wanted.chunks_exact(side).enumerate();
        let row = |row: usize| plane.row(left, top + row as i32, side);
        rows.map(|(y, wanted)| differences(wanted, row(y))).sum()
    }

    /// The same to the mean of this and `other`.
    pub fn difference_both(&self, at: Square, motion: Motion, other: &[u8], wanted: &[u8]) -> u32 {
        let (plane, left, top) = self.origin(at, motion);
        let side = at.2;
        let mut sum = 0;
        for (y, (wanted, other)) in wanted.chunks_exact(side).zip(other.chunks_exact(side)).enumerate() {
            let row = plane.row(left, top + y as i32, side);
            for ((a, b), wanted) in row.iter().zip(other).zip(wanted) {
                let mean = ((u16::from(*a) + u16::from(*b) + 1) >> 1) as u8;
                sum += u32::from(mean.abs_diff(*wanted));
            }
        }
        sum
    }

    fn origin(&self, (x, y, side): Square, motion: Motion) -> (&Plane, i32, i32) {
        let ((left, across), (top, down)) = self.planes[0].origin((x, y), side, motion, 2);
        (&self.planes[down * 4 + across], left, top)
    }
}

/// Column, row and side in luma samples.
pub(super) type Square = (usize, usize, usize);

/// The sum of absolute differences.
pub(super) fn differences(a: &[u8], b: &[u8]) -> u32 {
    a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum()
}

/// The whole plane by some quarters along `distance`; only its outermost samples are not right.
fn filtered(plane: &Plane, distance: usize, quarter: usize) -> Plane {
    let mut out = plane.clone();
    let from = plane.raw();
    let (into, _) = out.raw_mut();
    let inside = from.len() - 7 * distance;
    let taps: [&[u8]; 8] = std::array::from_fn(|tap| &from[tap * distance..][..inside]);
    let into = &mut into[3 * distance..][..inside];
    let factors: [i16; 8] = TAPS[quarter].map(|tap| tap as i16);
    for (at, sample) in into.iter_mut().enumerate() {
        // Around 128, so that sums fit 16 bits; the factors' sum is 128.
        let mut sum = 64i16;
        for tap in 0..8 {
            sum = sum.wrapping_add((i16::from(taps[tap][at]) - 128).wrapping_mul(factors[tap]));
        }
        *sample = ((sum >> 7) + 128).clamp(0, 255) as u8;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_what_a_decoder_predicts() {
        let mut plane = Plane::new(48, 40);
        for y in 0..40 {
            for (x, sample) in plane.row_mut(0, y, 48).iter_mut().enumerate() {
                *sample = (x * x * 7 + y as usize * 31 + x * y as usize) as u8;
            }
        }
        plane.extend();
        let fine = Fine::of(&plane);
        for (at, side) in [8, 16, 32, 8, 8].into_iter().enumerate() {
            for x in (-200..200).step_by(7) {
                let (motion, square) = (Motion::new(x, 91 - x), (at * 8 % 16, 8, side));
                let (mut ours, mut theirs) = (vec![0; side * side], vec![0; side * side]);
                fine.moved(square, motion, &mut ours);
                plane.moved(square.0, square.1, side, motion, &mut theirs);
                assert_eq!(ours, theirs, "{motion:?} {square:?}");
                assert_eq!(fine.difference(square, motion, &theirs), 0);
            }
        }
    }
}
