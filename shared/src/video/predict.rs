//! What a block probably looks like: moved from another picture, continued from its edges; and the
//! smoothing of block borders.

use super::picture::Picture;

/// A plane whose sides are whole macroblocks.
#[derive(Clone)]
pub(super) struct Plane {
    pub width: usize,
    pub height: usize,
    pub samples: Vec<u8>,
}

/// Luma, cb, cr, padded to whole macroblocks by repeating the edge.
#[derive(Clone)]
pub(super) struct Padded {
    pub planes: [Plane; 3],
}

/// A motion vector in quarter luma samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Motion {
    pub x: i16,
    pub y: i16,
}

impl Motion {
    /// The farthest motion either way, in quarter samples.
    pub const MAX: i16 = 127;

    /// From quarter samples, moved into the permitted range.
    pub fn new(x: i32, y: i32) -> Self {
        let bound = |v: i32| v.clamp(-i32::from(Self::MAX), Self::MAX.into()) as i16;
        Self { x: bound(x), y: bound(y) }
    }

    /// The middle of three, each direction by itself.
    pub fn median(a: Self, b: Self, c: Self) -> Self {
        let middle = |a: i16, b: i16, c: i16| a.max(b).min(a.min(b).max(c));
        Self { x: middle(a.x, b.x, c.x), y: middle(a.y, b.y, c.y) }
    }
}

/// How an 8 by 8 block continues its edges (the modes of VP8, RFC 6386 section 12.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Edge {
    /// The edges' mean.
    #[default]
    Flat,
    /// The row above, downwards.
    Down,
    /// The column at the left, to the right.
    Right,
    /// Above plus left less the corner.
    Slope,
}

impl Edge {
    pub const ALL: [Self; 4] = [Self::Flat, Self::Down, Self::Right, Self::Slope];
}

impl Plane {
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, samples: vec![128; width * height] }
    }

    fn padded(samples: &[u8], width: usize, height: usize, to_width: usize, to_height: usize) -> Self {
        let mut plane = Self::new(to_width, to_height);
        for (y, row) in plane.samples.chunks_exact_mut(to_width).enumerate() {
            let from = &samples[y.min(height - 1) * width..][..width];
            row[..width].copy_from_slice(from);
            row[width..].fill(from[width - 1]);
        }
        plane
    }

    fn cut(&self, width: usize, height: usize) -> Vec<u8> {
        self.samples
            .chunks_exact(self.width)
            .take(height)
            .flat_map(|row| row[..width].iter().copied())
            .collect()
    }

    /// Writes the `size` by `size` block that lies at `x`, `y` and `dx`, `dy` eighths of a sample
    /// further, into `out`. Outside the plane its edge goes on.
    pub fn moved(&self, x: usize, y: usize, size: usize, (dx, dy): (i32, i32), out: &mut [u8]) {
        let (fx, fy) = ((dx & 7) as usize, (dy & 7) as usize);
        let (left, top) = (x as i32 + (dx >> 3) - 2, y as i32 + (dy >> 3) - 2);
        let side = size + 5;
        let mut source = [0u8; 21 * 21];
        let inside =
            left >= 0 && top >= 0 && left as usize + side <= self.width && top as usize + side <= self.height;
        for (row, into) in source.chunks_exact_mut(side).take(side).enumerate() {
            if inside {
                let start = (top as usize + row) * self.width + left as usize;
                into.copy_from_slice(&self.samples[start..start + side]);
            } else {
                let line = (top + row as i32).clamp(0, self.height as i32 - 1) as usize * self.width;
                for (column, sample) in into.iter_mut().enumerate() {
                    let at = (left + column as i32).clamp(0, self.width as i32 - 1) as usize;
                    *sample = self.samples[line + at];
                }
            }
        }
        let mut across = [0u8; 16 * 21];
        for (from, into) in source.chunks_exact(side).zip(across.chunks_exact_mut(size)).take(side) {
            if fx == 0 {
                into.copy_from_slice(&from[2..2 + size]);
            } else {
                for (window, sample) in from.windows(6).zip(into) {
                    *sample = filtered(window.iter().copied(), fx);
                }
            }
        }
        for (row, into) in out.chunks_exact_mut(size).take(size).enumerate() {
            if fy == 0 {
                into.copy_from_slice(&across[(row + 2) * size..][..size]);
            } else {
                for (column, sample) in into.iter_mut().enumerate() {
                    *sample = filtered((0..6).map(|tap| across[(row + tap) * size + column]), fy);
                }
            }
        }
    }

    /// Writes the 8 by 8 block that continues the edges at `x`, `y`.
    pub fn continued(&self, x: usize, y: usize, edge: Edge, out: &mut [u8; 64]) {
        let at = y * self.width + x;
        let above: Option<&[u8]> = (y > 0).then(|| &self.samples[at - self.width..][..8]);
        let left = |row: usize| (x > 0).then(|| self.samples[at + row * self.width - 1]);
        let corner = if x > 0 && y > 0 { self.samples[at - self.width - 1] } else { 128 };
        match edge {
            Edge::Flat => {
                let sum_above: u32 = above.map_or(0, |row| row.iter().map(|v| u32::from(*v)).sum());
                let sum_left: u32 = (0..8).filter_map(left).map(u32::from).sum();
                let mean = match (above.is_some(), x > 0) {
                    (true, true) => (sum_above + sum_left + 8) >> 4,
                    (false, false) => 128,
                    _ => (sum_above + sum_left + 4) >> 3,
                };
                out.fill(mean as u8);
            }
            Edge::Down => {
                for row in out.chunks_exact_mut(8) {
                    row.copy_from_slice(above.unwrap_or(&[128; 8]));
                }
            }
            Edge::Right => {
                for (row, into) in out.chunks_exact_mut(8).enumerate() {
                    into.fill(left(row).unwrap_or(128));
                }
            }
            Edge::Slope => {
                for (row, into) in out.chunks_exact_mut(8).enumerate() {
                    let rise = i32::from(left(row).unwrap_or(128)) - i32::from(corner);
                    for (sample, above) in into.iter_mut().zip(above.unwrap_or(&[128; 8])) {
                        *sample = (i32::from(*above) + rise).clamp(0, 255) as u8;
                    }
                }
            }
        }
    }

    /// Puts a `size` by `size` block at `x`, `y`.
    pub fn put(&mut self, x: usize, y: usize, size: usize, block: &[u8]) {
        for (row, from) in block.chunks_exact(size).enumerate() {
            self.samples[(y + row) * self.width + x..][..size].copy_from_slice(from);
        }
    }

    /// Takes the `size` by `size` block at `x`, `y`.
    pub fn take(&self, x: usize, y: usize, size: usize, block: &mut [u8]) {
        for (row, into) in block.chunks_exact_mut(size).enumerate() {
            into.copy_from_slice(&self.samples[(y + row) * self.width + x..][..size]);
        }
    }

    /// Smooths the border left of `x`, eight samples down from `y`, where the step across it is
    /// below `limit` (VP8's simple filter, RFC 6386 section 15.2).
    pub fn smooth_left(&mut self, x: usize, y: usize, limit: i32) {
        for row in y..y + 8 {
            self.smooth(row * self.width + x, 1, limit);
        }
    }

    /// The same for the border above `y`.
    pub fn smooth_above(&mut self, x: usize, y: usize, limit: i32) {
        for column in x..x + 8 {
            self.smooth(y * self.width + column, self.width, limit);
        }
    }

    fn smooth(&mut self, at: usize, stride: usize, limit: i32) {
        let value = |at: usize| i32::from(self.samples[at]);
        let (p1, p0, q0, q1) = (value(at - 2 * stride), value(at - stride), value(at), value(at + stride));
        if (p0 - q0).abs() * 2 + (p1 - q1).abs() / 2 > limit {
            return;
        }
        let across = ((p1 - q1).clamp(-128, 127) + 3 * (q0 - p0)).clamp(-128, 127);
        self.samples[at] = (q0 - ((across + 4).min(127) >> 3)).clamp(0, 255) as u8;
        self.samples[at - stride] = (p0 + ((across + 3).min(127) >> 3)).clamp(0, 255) as u8;
    }
}

impl Padded {
    /// Grey, for pictures of this size.
    pub fn new(width: u16, height: u16) -> Self {
        let (w, h) = (usize::from(width).div_ceil(16), usize::from(height).div_ceil(16));
        Self { planes: [Plane::new(w * 16, h * 16), Plane::new(w * 8, h * 8), Plane::new(w * 8, h * 8)] }
    }

    pub fn from_picture(picture: &Picture) -> Self {
        let (width, height) = (usize::from(picture.width()), usize::from(picture.height()));
        let (w, h) = (width.div_ceil(16), height.div_ceil(16));
        let half = (width.div_ceil(2), height.div_ceil(2));
        Self {
            planes: [
                Plane::padded(&picture.luma, width, height, w * 16, h * 16),
                Plane::padded(&picture.cb, half.0, half.1, w * 8, h * 8),
                Plane::padded(&picture.cr, half.0, half.1, w * 8, h * 8),
            ],
        }
    }

    /// The picture inside, of a size that fits; `None` when it does not.
    pub fn to_picture(&self, width: u16, height: u16) -> Option<Picture> {
        let (w, h) = (usize::from(width), usize::from(height));
        if w > self.planes[0].width || h > self.planes[0].height {
            return None;
        }
        let half = (w.div_ceil(2), h.div_ceil(2));
        let luma = self.planes[0].cut(w, h);
        let cb = self.planes[1].cut(half.0, half.1);
        let cr = self.planes[2].cut(half.0, half.1);
        Picture::from_planes(width, height, luma, cb, cr)
    }
}

/// VP8's six-tap filters for each eighth of a sample (RFC 6386 section 18.3).
const TAPS: [[i32; 6]; 8] = [
    [0, 0, 128, 0, 0, 0],
    [0, -6, 123, 12, -1, 0],
    [2, -11, 108, 36, -8, 1],
    [0, -9, 93, 50, -6, 0],
    [3, -16, 77, 77, -16, 3],
    [0, -6, 50, 93, -9, 0],
    [1, -8, 36, 108, -11, 2],
    [0, -1, 12, 123, -6, 0],
];

fn filtered(samples: impl Iterator<Item = u8>, eighth: usize) -> u8 {
    let sum: i32 = samples.zip(TAPS[eighth]).map(|(sample, tap)| i32::from(sample) * tap).sum();
    ((sum + 64) >> 7).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_step_moves_and_the_edge_goes_on() {
        let mut plane = Plane::new(32, 16);
        for (at, sample) in plane.samples.iter_mut().enumerate() {
            *sample = (at % 32 * 5) as u8;
        }
        let mut block = [0; 64];
        plane.moved(8, 0, 8, (-16, 0), &mut block);
        assert_eq!(block[..8], [30, 35, 40, 45, 50, 55, 60, 65]);
        plane.moved(24, 8, 8, (800, 800), &mut block);
        assert_eq!(block, [155; 64]);
        plane.moved(8, 0, 8, (4, 0), &mut block);
        assert_eq!(block[..3], [43, 48, 53], "half a sample further on a slope");
    }

    #[test]
    fn planes_are_padded_and_cut_to_odd_sizes() {
        let picture = Picture::paint(17, 19, |x, y| [x as u8 * 9, y as u8 * 9, 7]).expect("in bounds");
        let padded = Padded::from_picture(&picture);
        assert_eq!((padded.planes[0].width, padded.planes[1].height), (32, 16));
        assert_eq!(padded.planes[0].samples[31], picture.luma[16]);
        assert_eq!(padded.to_picture(17, 19), Some(picture));
    }

    #[test]
    fn small_steps_are_smoothed_and_edges_kept() {
        let mut plane = Plane::new(16, 8);
        for row in plane.samples.chunks_exact_mut(16) {
            row[8..].fill(138);
        }
        let mut sharp = plane.clone();
        plane.smooth_left(8, 0, 40);
        assert_eq!(plane.samples[6..10], [128, 130, 135, 138]);
        sharp.smooth_left(8, 0, 10);
        assert_eq!(sharp.samples[6..10], [128, 128, 138, 138]);
    }
}
