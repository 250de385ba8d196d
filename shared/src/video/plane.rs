//! Sample planes with a border, and what a block looks like that moved in them.

use super::picture::Picture;

/// Samples in rows, with [`BORDER`] more on each side.
#[derive(Clone)]
pub(super) struct Plane {
    pub width: usize,
    pub height: usize,
    stride: usize,
    samples: Vec<u8>,
}

/// Luma, cb, cr, of whole 8 by 8 luma blocks.
#[derive(Clone)]
pub(super) struct Planes {
    pub planes: [Plane; 3],
}

/// How a block moved, in quarter luma samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Motion {
    pub x: i16,
    pub y: i16,
}

/// Rows and columns outside of a plane that repeat its edge.
pub(super) const BORDER: usize = 16;

/// How far a block may lie outside, in samples: the filter's taps reach four farther.
const OUTSIDE: i32 = 8;

impl Motion {
    /// The farthest motion either way, in quarter samples.
    pub const MAX: i32 = 1023;

    /// From quarter samples, moved into the permitted range.
    pub fn new(x: i32, y: i32) -> Self {
        let bound = |v: i32| v.clamp(-Self::MAX, Self::MAX) as i16;
        Self { x: bound(x), y: bound(y) }
    }
}

impl Plane {
    pub fn new(width: usize, height: usize) -> Self {
        let stride = width + 2 * BORDER;
        Self { width, height, stride, samples: vec![128; stride * (height + 2 * BORDER)] }
    }

    /// Where a sample lies; from −[`BORDER`] on.
    pub fn at(&self, x: i32, y: i32) -> usize {
        let border = BORDER as i32;
        (y + border) as usize * self.stride + (x + border) as usize
    }

    /// `length` samples of a row.
    pub fn row(&self, x: i32, y: i32, length: usize) -> &[u8] {
        let at = self.at(x, y);
        &self.samples[at..at + length]
    }

    /// The same, to change them.
    pub fn row_mut(&mut self, x: i32, y: i32, length: usize) -> &mut [u8] {
        let at = self.at(x, y);
        &mut self.samples[at..at + length]
    }

    /// All samples and the distance of rows, for filters that look in both directions.
    pub fn raw_mut(&mut self) -> (&mut [u8], usize) {
        (&mut self.samples, self.stride)
    }

    /// All samples.
    pub fn raw(&self) -> &[u8] {
        &self.samples
    }

    /// One sample.
    pub fn sample(&self, x: i32, y: i32) -> u8 {
        self.samples[self.at(x, y)]
    }

    /// Repeats the edges in the border.
    pub fn extend(&mut self) {
        let (width, height) = (self.width as i32, self.height as i32);
        for y in 0..height {
            let (first, last) = (self.sample(0, y), self.sample(width - 1, y));
            self.row_mut(-(BORDER as i32), y, BORDER).fill(first);
            self.row_mut(width, y, BORDER).fill(last);
        }
        let (first, last) = (self.at(-(BORDER as i32), 0), self.at(-(BORDER as i32), height - 1));
        for row in 1..=BORDER {
            self.samples.copy_within(first..first + self.stride, first - row * self.stride);
            self.samples.copy_within(last..last + self.stride, last + row * self.stride);
        }
    }

    /// Takes the `side` by `side` block at `x`, `y`.
    pub fn take(&self, x: usize, y: usize, side: usize, block: &mut [u8]) {
        for (row, into) in block.chunks_exact_mut(side).take(side).enumerate() {
            into.copy_from_slice(self.row(x as i32, (y + row) as i32, side));
        }
    }

    /// Puts it there.
    pub fn put(&mut self, x: usize, y: usize, side: usize, block: &[u8]) {
        for (row, from) in block.chunks_exact(side).take(side).enumerate() {
            self.row_mut(x as i32, (y + row) as i32, side).copy_from_slice(from);
        }
    }

    /// Writes the `side` by `side` luma block at `x`, `y` as it was before it moved.
    pub fn moved(&self, x: usize, y: usize, side: usize, motion: Motion, out: &mut [u8]) {
        let ((left, fx), (top, fy)) = self.origin((x, y), side, motion, 2);
        let rows = side + 7;
        let mut across = [0u8; 32 * 39];
        let used = if fy == 0 { 3..3 + side } else { 0..rows };
        for row in used {
            let into = &mut across[row * side..][..side];
            let y = top + row as i32 - 3;
            if fx == 0 {
                into.copy_from_slice(self.row(left, y, side));
            } else {
                let from = self.row(left - 3, y, side + 7);
                for (at, sample) in into.iter_mut().enumerate() {
                    *sample = filtered(|tap| from[at + tap], fx);
                }
            }
        }
        for (row, into) in out.chunks_exact_mut(side).take(side).enumerate() {
            if fy == 0 {
                into.copy_from_slice(&across[(row + 3) * side..][..side]);
            } else {
                let from = &across[row * side..][..8 * side];
                for (at, sample) in into.iter_mut().enumerate() {
                    *sample = filtered(|tap| from[at + tap * side], fy);
                }
            }
        }
    }

    /// The same for a chroma block, whose motion is in eighths of its samples; bilinear.
    pub fn moved_chroma(&self, x: usize, y: usize, side: usize, motion: Motion, out: &mut [u8]) {
        let ((left, fx), (top, fy)) = self.origin((x, y), side, motion, 3);
        let (fx, fy) = (fx as u32, fy as u32);
        for (row, into) in out.chunks_exact_mut(side).take(side).enumerate() {
            let above = self.row(left, top + row as i32, side + 1);
            let below = self.row(left, top + row as i32 + 1, side + 1);
            for (at, sample) in into.iter_mut().enumerate() {
                let mix = |row: &[u8]| u32::from(row[at]) * (8 - fx) + u32::from(row[at + 1]) * fx;
                *sample = ((mix(above) * (8 - fy) + mix(below) * fy + 32) >> 6) as u8;
            }
        }
    }

    /// Where a block begins that moved in 2^`bits` parts of a sample: whole samples and the rest,
    /// each direction by itself. A block never lies farther outside than the border allows.
    pub fn origin(
        &self,
        (x, y): (usize, usize),
        side: usize,
        motion: Motion,
        bits: u32,
    ) -> ((i32, usize), (i32, usize)) {
        let outside = (OUTSIDE * 4) >> bits;
        let axis = |at: usize, motion: i16, length: usize| {
            let last = length as i32 - side as i32 + outside;
            let at = (((at as i32) << bits) + i32::from(motion)).clamp(-outside << bits, last << bits);
            (at >> bits, (at & ((1 << bits) - 1)) as usize)
        };
        (axis(x, motion.x, self.width), axis(y, motion.y, self.height))
    }
}

impl Planes {
    /// Grey, for pictures of this size.
    pub fn new(width: u16, height: u16) -> Self {
        let (w, h) = (usize::from(width).div_ceil(8), usize::from(height).div_ceil(8));
        Self { planes: [Plane::new(w * 8, h * 8), Plane::new(w * 4, h * 4), Plane::new(w * 4, h * 4)] }
    }

    /// The picture, its edge repeated up to whole blocks.
    pub fn from_picture(picture: &Picture) -> Self {
        let (width, height) = (usize::from(picture.width()), usize::from(picture.height()));
        let mut planes = Self::new(picture.width(), picture.height());
        let half = (width.div_ceil(2), height.div_ceil(2));
        let sources =
            [(&picture.luma, width, height), (&picture.cb, half.0, half.1), (&picture.cr, half.0, half.1)];
        for (plane, (samples, width, height)) in planes.planes.iter_mut().zip(sources) {
            let full = plane.width;
            for y in 0..plane.height {
                let from = &samples[y.min(height - 1) * width..][..width];
                let row = plane.row_mut(0, y as i32, full);
                row[..width].copy_from_slice(from);
                row[width..].fill(from[width - 1]);
            }
        }
        planes
    }

    /// Repeats the edges in the borders.
    pub fn extend(&mut self) {
        self.planes.iter_mut().for_each(Plane::extend);
    }

    /// The picture inside, of a size that fits; `None` when it does not.
    pub fn to_picture(&self, width: u16, height: u16) -> Option<Picture> {
        let (w, h) = (usize::from(width), usize::from(height));
        if w > self.planes[0].width || h > self.planes[0].height {
            return None;
        }
        let half = (w.div_ceil(2), h.div_ceil(2));
        let cut = |plane: &Plane, width: usize, height: usize| -> Vec<u8> {
            (0..height).flat_map(|y| plane.row(0, y as i32, width).iter().copied()).collect()
        };
        let [luma, cb, cr] = &self.planes;
        Picture::from_planes(width, height, cut(luma, w, h), cut(cb, half.0, half.1), cut(cr, half.0, half.1))
    }
}

/// VP9's regular filters for quarters of a sample (the bitstream's specification, section 8.5.2.3).
pub(super) const TAPS: [[i32; 8]; 4] = [
    [0, 0, 0, 128, 0, 0, 0, 0],
    [-1, 4, -16, 112, 37, -11, 4, -1],
    [-1, 6, -19, 78, 78, -19, 6, -1],
    [-1, 4, -11, 37, 112, -16, 4, -1],
];

#[inline(always)]
fn filtered(sample: impl Fn(usize) -> u8, quarter: usize) -> u8 {
    let taps = &TAPS[quarter];
    let mut sum = 64;
    for (at, tap) in taps.iter().enumerate() {
        sum += i32::from(sample(at)) * tap;
    }
    (sum >> 7).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_step_moves_and_the_edge_goes_on() {
        let mut plane = Plane::new(32, 16);
        for y in 0..16 {
            for (x, sample) in plane.row_mut(0, y, 32).iter_mut().enumerate() {
                *sample = x as u8 * 5;
            }
        }
        plane.extend();
        let mut block = [0; 64];
        plane.moved(8, 0, 8, Motion::new(-8, 0), &mut block);
        assert_eq!(block[..8], [30, 35, 40, 45, 50, 55, 60, 65]);
        plane.moved(24, 8, 8, Motion::new(800, 800), &mut block);
        assert_eq!(block, [155; 64]);
        plane.moved(8, 0, 8, Motion::new(2, 0), &mut block);
        assert_eq!(block[..3], [43, 48, 53], "half a sample further on a slope");
        plane.moved_chroma(8, 0, 8, Motion::new(4, -900), &mut block);
        assert_eq!(block[..3], [43, 48, 53]);
    }

    #[test]
    fn planes_are_padded_and_cut_to_odd_sizes() {
        let picture = Picture::paint(17, 19, |x, y| [x as u8 * 9, y as u8 * 9, 7]).expect("in bounds");
        let planes = Planes::from_picture(&picture);
        assert_eq!((planes.planes[0].width, planes.planes[1].height), (24, 12));
        assert_eq!(planes.planes[0].sample(23, 0), picture.luma[16]);
        assert_eq!(planes.to_picture(17, 19), Some(picture));
    }
}
