//! A raw picture: Y′CbCr 4:2:0, 8 bits, BT.601 limited range as in most y4m files.

use std::collections::VecDeque;

/// The smallest side, in luma samples.
pub const SIDE_MIN: u16 = 16;
/// The widest picture, in luma samples.
pub const WIDTH_MAX: u16 = 320;
/// The tallest picture, in luma samples.
pub const HEIGHT_MAX: u16 = 200;

/// Planes in rows from the top left; chroma is half as wide and tall, rounded up.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    width: u16,
    height: u16,
    /// `width * height` samples.
    pub luma: Vec<u8>,
    /// `ceil(width / 2) * ceil(height / 2)` samples.
    pub cb: Vec<u8>,
    /// As many.
    pub cr: Vec<u8>,
}

/// What to do when a picture's shape is not the target's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// Show all of it between black bars.
    Letterbox,
    /// Fill the target and lose the edges.
    #[default]
    Crop,
}

/// Three bytes a pixel, in rows from the top left, of any size: what a file or camera delivers.
#[derive(Clone, Copy)]
pub struct Rgb<'a> {
    width: usize,
    height: usize,
    stride: usize,
    bytes: &'a [u8],
}

/// Full planes of any size and any chroma subsampling: what a y4m file delivers.
#[derive(Clone, Copy)]
pub struct Planes<'a> {
    /// Luma samples in a row.
    pub width: usize,
    /// Luma rows.
    pub height: usize,
    /// `width * height` samples.
    pub luma: &'a [u8],
    /// Width and height of each chroma plane, 0 by 0 when there is none.
    pub chroma: (usize, usize),
    /// Samples as `chroma` says.
    pub cb: &'a [u8],
    /// As many.
    pub cr: &'a [u8],
}

impl Picture {
    /// A grey picture, or `None` when the size is out of bounds.
    pub fn grey(width: u16, height: u16) -> Option<Self> {
        let fits = (SIDE_MIN..=WIDTH_MAX).contains(&width) && (SIDE_MIN..=HEIGHT_MAX).contains(&height);
        let chroma = usize::from(width.div_ceil(2)) * usize::from(height.div_ceil(2));
        fits.then(|| Self {
            width,
            height,
            luma: vec![128; usize::from(width) * usize::from(height)],
            cb: vec![128; chroma],
            cr: vec![128; chroma],
        })
    }

    /// A black picture, or `None` when the size is out of bounds.
    pub fn black(width: u16, height: u16) -> Option<Self> {
        let mut picture = Self::grey(width, height)?;
        picture.luma.fill(16);
        Some(picture)
    }

    /// A picture from planes that already have its shape, or `None` when a length is wrong.
    pub fn from_planes(width: u16, height: u16, luma: Vec<u8>, cb: Vec<u8>, cr: Vec<u8>) -> Option<Self> {
        let like = Self::grey(width, height)?;
        let right = luma.len() == like.luma.len() && cb.len() == like.cb.len() && cr.len() == like.cr.len();
        right.then_some(Self { width, height, luma, cb, cr })
    }

    /// A picture whose pixels are what `colour(x, y)` says, or `None` when the size is out of bounds.
    pub fn paint(width: u16, height: u16, mut colour: impl FnMut(u16, u16) -> [u8; 3]) -> Option<Self> {
        let mut bytes = Vec::with_capacity(usize::from(width) * usize::from(height) * 3);
        for y in 0..height {
            for x in 0..width {
                bytes.extend(colour(x, y));
            }
        }
        Self::from_rgb(Rgb::new(width.into(), height.into(), &bytes)?, width, height, Fit::Crop)
    }

    /// Scales an RGB picture of any size to this one, averaging the pixels below each sample;
    /// `None` when the target is out of bounds.
    pub fn from_rgb(rgb: Rgb<'_>, width: u16, height: u16, fit: Fit) -> Option<Self> {
        let mut picture = Self::black(width, height)?;
        let (from, to) = fit.place((rgb.width, rgb.height), (width.into(), height.into()));
        let mut chroma = vec![[0u32; 3]; picture.cb.len()];
        let half = usize::from(width.div_ceil(2));
        let means = means(from, &to, |x, y| rgb.pixel(x, y));
        for (row, y) in means.chunks_exact(to.width).zip(to.rows()) {
            for ([r, g, b], x) in row.iter().copied().zip(to.columns()) {
                picture.luma[y * usize::from(width) + x] = luma(r, g, b);
                let sums = &mut chroma[(y / 2) * half + x / 2];
                sums[0] += u32::from(chroma_of([r, g, b]).0);
                sums[1] += u32::from(chroma_of([r, g, b]).1);
                sums[2] += 1;
            }
        }
        for (at, [cb, cr, count]) in chroma.into_iter().enumerate() {
            // Below a bar there is nothing to average: it stays grey.
            let mean = |sum: u32| (sum + count / 2).checked_div(count).map_or(128, |mean| mean as u8);
            picture.cb[at] = mean(cb);
            picture.cr[at] = mean(cr);
        }
        Some(picture)
    }

    /// Scales planes of any size to this one, averaging the samples below each one; `None` when
    /// the target is out of bounds or a plane is shorter than it says.
    pub fn from_scaled(planes: Planes<'_>, width: u16, height: u16, fit: Fit) -> Option<Self> {
        let (chroma_w, chroma_h) = planes.chroma;
        let enough = planes.luma.len() >= planes.width * planes.height
            && planes.cb.len() >= chroma_w * chroma_h
            && planes.cr.len() >= chroma_w * chroma_h;
        if !enough || planes.width == 0 || planes.height == 0 {
            return None;
        }
        let mut picture = Self::black(width, height)?;
        let full = (usize::from(width), usize::from(height));
        let half = (full.0.div_ceil(2), full.1.div_ceil(2));
        let (from, to) = fit.place((planes.width, planes.height), full);
        scale(planes.luma, planes.width, from, &mut picture.luma, full.0, to);
        if chroma_w > 0 && chroma_h > 0 {
            let size = (planes.width, planes.height);
            let from = from.scaled(size, planes.chroma);
            let to = to.scaled(full, half);
            scale(planes.cb, chroma_w, from, &mut picture.cb, half.0, to);
            scale(planes.cr, chroma_w, from, &mut picture.cr, half.0, to);
        }
        Some(picture)
    }

    /// This picture at another size; `None` when that is out of bounds.
    pub fn scaled(&self, width: u16, height: u16, fit: Fit) -> Option<Self> {
        if (width, height) == (self.width, self.height) {
            return Some(self.clone());
        }
        let planes = Planes {
            width: self.width.into(),
            height: self.height.into(),
            luma: &self.luma,
            chroma: (self.width.div_ceil(2).into(), self.height.div_ceil(2).into()),
            cb: &self.cb,
            cr: &self.cr,
        };
        Self::from_scaled(planes, width, height, fit)
    }

    /// In luma samples.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// In luma samples.
    pub fn height(&self) -> u16 {
        self.height
    }

    /// The pixel's colour. Coordinates outside are moved to the nearest edge.
    pub fn rgb(&self, x: u16, y: u16) -> [u8; 3] {
        let (x, y) = (usize::from(x.min(self.width - 1)), usize::from(y.min(self.height - 1)));
        let chroma = (y / 2) * usize::from(self.width.div_ceil(2)) + x / 2;
        to_rgb(self.luma[y * usize::from(self.width) + x], self.cb[chroma], self.cr[chroma])
    }

    /// Peak signal to noise of the luma beside `other`, in decibels; `None` when the
    /// sizes differ. Equal pictures count as 99 dB.
    pub fn psnr(&self, other: &Self) -> Option<f64> {
        if (self.width, self.height) != (other.width, other.height) {
            return None;
        }
        let squares: u64 =
            self.luma.iter().zip(&other.luma).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
        if squares == 0 {
            return Some(99.0);
        }
        let mean = squares as f64 / self.luma.len() as f64;
        Some(10.0 * (255.0 * 255.0 / mean).log10())
    }
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({}x{})", self.width, self.height)
    }
}

impl<'a> Rgb<'a> {
    /// Three bytes a pixel; `None` when there are fewer than `width * height` of them, or none.
    pub fn new(width: usize, height: usize, bytes: &'a [u8]) -> Option<Self> {
        Self::strided(width, height, 3, bytes)
    }

    /// Four bytes a pixel, the last one ignored.
    pub fn with_alpha(width: usize, height: usize, bytes: &'a [u8]) -> Option<Self> {
        Self::strided(width, height, 4, bytes)
    }

    fn strided(width: usize, height: usize, stride: usize, bytes: &'a [u8]) -> Option<Self> {
        let needed = width.checked_mul(height)?.checked_mul(stride)?;
        (needed > 0 && bytes.len() >= needed).then_some(Self { width, height, stride, bytes })
    }

    fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let at = (y * self.width + x) * self.stride;
        [self.bytes[at], self.bytes[at + 1], self.bytes[at + 2]]
    }
}

impl Fit {
    /// Which part of a picture goes to which part of the target.
    fn place(self, from: (usize, usize), to: (usize, usize)) -> (Span, Span) {
        // Wider than the target when from.0 / from.1 > to.0 / to.1.
        let (across, down) = (from.0 * to.1, from.1 * to.0);
        let centred = |of: (usize, usize), width: usize, height: usize| {
            let (width, height) = (width.clamp(1, of.0), height.clamp(1, of.1));
            Span { x: (of.0 - width) / 2, y: (of.1 - height) / 2, width, height }
        };
        match self {
            Self::Crop if across > down => (centred(from, down / to.1, from.1), centred(to, to.0, to.1)),
            Self::Crop => (centred(from, from.0, across / to.0), centred(to, to.0, to.1)),
            Self::Letterbox if across > down => {
                (centred(from, from.0, from.1), centred(to, to.0, down / from.0))
            }
            Self::Letterbox => (centred(from, from.0, from.1), centred(to, across / from.1, to.1)),
        }
    }
}

/// A rectangle of samples that lies inside its plane.
#[derive(Clone, Copy)]
struct Span {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

impl Span {
    fn rows(&self) -> std::ops::Range<usize> {
        self.y..self.y + self.height
    }

    fn columns(&self) -> std::ops::Range<usize> {
        self.x..self.x + self.width
    }

    /// The same rectangle in a plane of another size.
    fn scaled(&self, of: (usize, usize), to: (usize, usize)) -> Self {
        let axis = |start: usize, length: usize, of: usize, to: usize| {
            let first = (start * to / of).min(to - 1);
            let end = ((start + length) * to).div_ceil(of).clamp(first + 1, to);
            (first, end - first)
        };
        let (x, width) = axis(self.x, self.width, of.0, to.0);
        let (y, height) = axis(self.y, self.height, of.1, to.1);
        Self { x, y, width, height }
    }
}

/// For each of `parts` that divide `length` samples evenly: which samples it covers, and how much of
/// each, in `1 / parts` of a sample. The shares of one part sum up to `length`.
pub fn shares(length: usize, parts: usize) -> Vec<Vec<(usize, u32)>> {
    let share = |part: usize| {
        let (start, end) = (part * length, (part + 1) * length);
        let overlap = |at: usize| ((at + 1) * parts).min(end) - (at * parts).max(start);
        (start / parts..end.div_ceil(parts)).map(|at| (at, overlap(at) as u32)).collect()
    };
    (0..parts).map(share).collect()
}

/// A part of a picture averaged to the size of another, each sample by the area that it covers.
fn means<const N: usize>(from: Span, to: &Span, sample: impl Fn(usize, usize) -> [u8; N]) -> Vec<[u8; N]> {
    let (across, down) = (shares(from.width, to.width), shares(from.height, to.height));
    // Rows first, each one once for all the rows that it counts for.
    let squeezed = |y: usize| -> Vec<[u64; N]> {
        let sum = |shares: &Vec<(usize, u32)>| {
            let mut sums = [0; N];
            for (x, weight) in shares {
                let values = sample(from.x + x, from.y + y);
                sums.iter_mut()
                    .zip(values)
                    .for_each(|(sum, value)| *sum += u64::from(value) * u64::from(*weight));
            }
            sums
        };
        across.iter().map(sum).collect()
    };
    let whole = (from.width * from.height) as u64;
    // Rows with their numbers; those that the row before needed too are kept, and come first.
    let mut rows = VecDeque::new();
    let mut out = Vec::with_capacity(to.width * to.height);
    for shares in &down {
        rows.retain(|(y, _)| shares.iter().any(|(needed, _)| needed == y));
        for (y, _) in &shares[rows.len()..] {
            rows.push_back((*y, squeezed(*y)));
        }
        for x in 0..to.width {
            let mut sums = [0; N];
            for ((_, row), (_, weight)) in rows.iter().zip(shares) {
                sums.iter_mut().zip(row[x]).for_each(|(sum, value)| *sum += value * u64::from(*weight));
            }
            out.push(sums.map(|sum| ((sum + whole / 2) / whole) as u8));
        }
    }
    out
}

fn scale(from: &[u8], from_width: usize, source: Span, to: &mut [u8], to_width: usize, target: Span) {
    let means = means(source, &target, |x, y| [from[y * from_width + x]]);
    for (row, y) in means.chunks_exact(target.width).zip(target.rows()) {
        let start = y * to_width + target.x;
        for (into, [mean]) in to[start..].iter_mut().zip(row) {
            *into = *mean;
        }
    }
}

/// BT.601 limited range in 16-bit fixed point (ITU-R BT.601-7, section 2.5).
fn luma(r: u8, g: u8, b: u8) -> u8 {
    let [r, g, b] = [r, g, b].map(i32::from);
    ((16_829 * r + 33_039 * g + 6_416 * b + 32_768 + (16 << 16)) >> 16) as u8
}

fn chroma_of([r, g, b]: [u8; 3]) -> (u8, u8) {
    let [r, g, b] = [r, g, b].map(i32::from);
    let cb = (-9_714 * r - 19_071 * g + 28_784 * b + 32_768 + (128 << 16)) >> 16;
    let cr = (28_784 * r - 24_103 * g - 4_681 * b + 32_768 + (128 << 16)) >> 16;
    (cb as u8, cr as u8)
}

fn to_rgb(luma: u8, cb: u8, cr: u8) -> [u8; 3] {
    let y = 76_309 * (i32::from(luma) - 16);
    let (cb, cr) = (i32::from(cb) - 128, i32::from(cr) - 128);
    let r = y + 104_597 * cr;
    let g = y - 25_675 * cb - 53_279 * cr;
    let b = y + 132_201 * cb;
    [r, g, b].map(|value| ((value + 32_768) >> 16).clamp(0, 255) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_survive_the_way_there_and_back() {
        for colour in [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [90, 140, 200]] {
            let picture = Picture::paint(17, 19, |_, _| colour).expect("in bounds");
            let back = picture.rgb(16, 18);
            for (there, here) in colour.iter().zip(back) {
                assert!(there.abs_diff(here) <= 2, "{colour:?} became {back:?}");
            }
        }
    }

    #[test]
    fn white_and_black_are_at_the_limits() {
        let white = Picture::paint(16, 16, |_, _| [255; 3]).expect("in bounds");
        assert_eq!((white.luma[0], white.cb[0], white.cr[0]), (235, 128, 128));
        let black = Picture::paint(16, 16, |_, _| [0; 3]).expect("in bounds");
        assert_eq!((black.luma[0], black.cb[0], black.cr[0]), (16, 128, 128));
    }

    #[test]
    fn sizes_are_bounded() {
        for (width, height) in [(15, 16), (16, 15), (321, 200), (320, 201), (0, 0), (u16::MAX, u16::MAX)] {
            assert!(Picture::grey(width, height).is_none(), "{width}x{height}");
        }
        let odd = Picture::grey(17, 33).expect("in bounds");
        assert_eq!((odd.luma.len(), odd.cb.len(), odd.cr.len()), (17 * 33, 9 * 17, 9 * 17));
    }

    #[test]
    fn a_wide_picture_is_cropped_or_gets_bars() {
        let mut bytes = vec![255u8; 64 * 16 * 3];
        // Red ends, white in the middle.
        for row in bytes.chunks_exact_mut(64 * 3) {
            for pixel in row.chunks_exact_mut(3).enumerate().filter(|(x, _)| !(16..48).contains(x)) {
                pixel.1.copy_from_slice(&[255, 0, 0]);
            }
        }
        let rgb = Rgb::new(64, 16, &bytes).expect("enough bytes");
        let cropped = Picture::from_rgb(rgb, 32, 16, Fit::Crop).expect("in bounds");
        assert!(cropped.luma.iter().all(|y| *y == 235), "only the white middle is left");
        let boxed = Picture::from_rgb(rgb, 32, 16, Fit::Letterbox).expect("in bounds");
        assert_eq!(boxed.rgb(16, 0), [0, 0, 0], "a bar above");
        assert_eq!(boxed.rgb(16, 8), [255, 255, 255]);
        assert!(boxed.rgb(0, 8)[0] > 240 && boxed.rgb(0, 8)[1] < 15, "a red end");
    }

    #[test]
    fn any_size_scales_to_any_other() {
        for (from_w, from_h) in [(1, 1), (3, 7), (176, 144), (641, 479)] {
            let luma = vec![100; from_w * from_h];
            let chroma = (from_w.div_ceil(2), from_h.div_ceil(2));
            let plane = vec![90; chroma.0 * chroma.1];
            let planes =
                Planes { width: from_w, height: from_h, luma: &luma, chroma, cb: &plane, cr: &plane };
            for (width, height) in [(16, 16), (17, 199), (320, 17), (96, 64)] {
                let picture = Picture::from_scaled(planes, width, height, Fit::Crop).expect("in bounds");
                assert!(picture.luma.iter().all(|y| *y == 100), "{from_w}x{from_h} to {width}x{height}");
                assert!(picture.cb.iter().all(|c| *c == 90));
                assert!(Picture::from_scaled(planes, width, height, Fit::Letterbox).is_some());
            }
        }
    }

    #[test]
    fn samples_count_by_the_area_that_they_cover() {
        let span = |width, height| Span { x: 0, y: 0, width, height };
        let row = [[0], [90], [180]];
        assert_eq!(means(span(3, 1), &span(2, 1), |x, _| row[x]), [[30], [150]]);
        assert_eq!(means(span(1, 3), &span(1, 2), |_, y| row[y]), [[30], [150]]);
        assert_eq!(means(span(2, 1), &span(3, 1), |x, _| row[x]), [[0], [45], [90]]);
        let steps = means(span(5, 7), &span(2, 3), |x, y| [(x * 10) as u8, (y * 10) as u8]);
        assert_eq!(steps[0], [8, 7], "(0 + 10 + 20 / 2) / 2.5 and (0 + 10 + 20 / 3) / 2.33");
        assert_eq!(steps[5], [32, 53]);
        let inside = Span { x: 1, y: 1, width: 2, height: 2 };
        assert_eq!(means(inside, &span(1, 1), |x, y| [(x * 10 + y) as u8]), [[17]], "11 + 21 + 12 + 22");
    }

    #[test]
    fn noise_is_measured() {
        let one = Picture::grey(16, 16).expect("in bounds");
        let mut other = one.clone();
        assert_eq!(one.psnr(&other), Some(99.0));
        other.luma.iter_mut().for_each(|y| *y += 1);
        assert!((one.psnr(&other).expect("same size") - 48.13).abs() < 0.01);
        assert_eq!(one.psnr(&Picture::grey(16, 17).expect("in bounds")), None);
    }
}
