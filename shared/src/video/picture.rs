//! A raw picture: Y′CbCr 4:2:0, 8 bits, BT.601 limited range as in most y4m files.

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

    /// In luma samples.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// In luma samples.
    pub fn height(&self) -> u16 {
        self.height
    }
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({}x{})", self.width, self.height)
    }
}
