//! The front door of the codec: an encoder, a decoder, a frame.
//!
//! One picture in, one frame out, no lookahead. No entropy state crosses frames. Whatever a picture
//! needs of another one is named by number, so that a decoder which does not have it says
//! [`Error::NeedReference`] and shows nothing wrong.

pub use super::decoder::Decoder;
pub use super::encoder::Encoder;
pub use super::tables::Tables;

/// The version in each frame's first byte.
pub const VERSION: u8 = 3;

/// The coarsest quantiser; 0 is the finest. Eight steps double the quantiser's width.
pub const QUANTISER_MAX: u8 = 63;

/// The longest frame that a decoder looks at, in bytes.
pub const FRAME_MAX: usize = 64 * 1024;

/// What limits a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// A constant quantiser, 0 (finest) to [`QUANTISER_MAX`].
    Quality(u8),
    /// As good as fits.
    Budget {
        /// On average over a few seconds.
        bytes_per_second: u32,
        /// Pictures a second that will come, at least 1.
        fps: u8,
    },
}

/// Which frames a relay may leave out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layers {
    /// None: each frame refers to the one before it.
    #[default]
    One,
    /// Every second one: it is in layer 1, and nothing refers to it.
    Two,
}

/// Which kind of frame is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// One that decodes without any before it.
    Keyframe,
    /// One that refers to the last acknowledged frame and the golden one before that, so that it
    /// decodes for everyone who holds the former; a keyframe when there is none. It is golden itself.
    Recover,
    /// The cheapest; the first one is a keyframe anyway.
    Any,
}

/// What frames refer to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Chain {
    /// To the last frame and the golden one before it: the cheapest.
    #[default]
    Last,
    /// To the newest acknowledged frame and the golden one before that, so that any one frame may be
    /// lost without harm to the next. As long as there is none, like [`Chain::Last`].
    Acknowledged,
}

/// Every how many frames one is golden: a bit finer, and referred to until the next one.
pub const GOLDEN_EVERY: u8 = 4;

/// How many frames of layer 0 are kept to be referred to, the newest.
pub const KEPT: usize = 16;

/// An encoded picture.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// What [`Decoder::decode`] takes.
    pub bytes: Vec<u8>,
    /// Counts frames, and wraps.
    pub number: u16,
    /// Decodes without any frame before it.
    pub keyframe: bool,
    /// The frames up to the next golden one refer to it. Each keyframe is golden.
    pub golden: bool,
    /// Temporal layer; nothing refers to a layer above 0.
    pub layer: u8,
}

/// Why a frame was not decoded. The decoder is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A frame that it refers to was lost: ask for [`Ask::Recover`], or for a keyframe when no golden
    /// frame is held.
    #[error("the frame needs one that was lost")]
    NeedReference,
    /// Written by another version of the codec.
    #[error("the frame is of version {0}, which this program does not know")]
    Version(u8),
    /// Not a frame.
    #[error("malformed frame")]
    Malformed,
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match (self.keyframe, self.golden) {
            (true, _) => "keyframe",
            (false, true) => "golden",
            (false, false) => "frame",
        };
        write!(f, "Frame({} {kind}, layer {}, {} bytes)", self.number, self.layer, self.bytes.len())
    }
}
