//! The front door of the codec: an encoder, a decoder, a frame.
//!
//! One picture in, one frame out, no lookahead. A frame is `version: u8 ‖ keyframe and quantiser:
//! u8 ‖ number: u16 BE`, then for a keyframe `width: u16 BE ‖ height: u16 BE` and for another one
//! `layer and distance to its reference: u8`, then range-coded symbols. No entropy state crosses
//! frames. Whatever a picture needs of another one is named by number, so that a decoder which does
//! not have it says [`Error::NeedKeyframe`] and shows nothing wrong.
//!
//! The tools are published and free to use: block motion with quarter-sample six-tap filters, TM
//! prediction and the simple loop filter from VP8 (RFC 6386), the cosine transform of Theora and
//! JPEG, and binary range coding as in the public-domain LZMA SDK.

pub use super::decoder::Decoder;
pub use super::encoder::Encoder;

/// The version in each frame's first byte.
pub const VERSION: u8 = 1;

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
    /// The cheapest; the first one is a keyframe anyway.
    Any,
}

/// An encoded picture.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// What [`Decoder::decode`] takes.
    pub bytes: Vec<u8>,
    /// Decodes without any frame before it.
    pub keyframe: bool,
    /// Temporal layer; nothing refers to a layer above 0.
    pub layer: u8,
}

/// Why a frame was not decoded. The decoder is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Its reference was lost: ask for a keyframe.
    #[error("the frame needs one that was lost")]
    NeedKeyframe,
    /// Written by another version of the codec.
    #[error("the frame is of version {0}, which this program does not know")]
    Version(u8),
    /// Not a frame.
    #[error("malformed frame")]
    Malformed,
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.keyframe { "keyframe" } else { "frame" };
        write!(f, "Frame({kind}, layer {}, {} bytes)", self.layer, self.bytes.len())
    }
}

/// What stands before a frame's symbols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub quantiser: u8,
    pub number: u16,
    pub kind: Kind,
}

/// What only one kind of frame has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Key { width: u16, height: u16 },
    Inter { layer: u8, distance: u8 },
}

impl Head {
    const KEYFRAME: u8 = 0x80;
    /// The farthest reference, in frames.
    pub const DISTANCE_MAX: u8 = 63;

    pub fn write(&self, out: &mut Vec<u8>) {
        let key = if matches!(self.kind, Kind::Key { .. }) { Self::KEYFRAME } else { 0 };
        out.extend([VERSION, key | self.quantiser]);
        out.extend(self.number.to_be_bytes());
        match self.kind {
            Kind::Key { width, height } => {
                out.extend(width.to_be_bytes());
                out.extend(height.to_be_bytes());
            }
            Kind::Inter { layer, distance } => out.push(layer << 6 | distance),
        }
    }

    /// Splits a frame into its head and its symbols.
    pub fn read(frame: &[u8]) -> Result<(Self, &[u8]), Error> {
        let (head, rest) = frame.split_first_chunk::<4>().ok_or(Error::Malformed)?;
        let [version, flags, n0, n1] = *head;
        if version != VERSION {
            return Err(Error::Version(version));
        }
        let quantiser = flags & !Self::KEYFRAME;
        if quantiser > QUANTISER_MAX || frame.len() > FRAME_MAX {
            return Err(Error::Malformed);
        }
        let number = u16::from_be_bytes([n0, n1]);
        if flags & Self::KEYFRAME != 0 {
            let (size, rest) = rest.split_first_chunk::<4>().ok_or(Error::Malformed)?;
            let [w0, w1, h0, h1] = *size;
            let (width, height) = (u16::from_be_bytes([w0, w1]), u16::from_be_bytes([h0, h1]));
            Ok((Self { quantiser, number, kind: Kind::Key { width, height } }, rest))
        } else {
            let (&byte, rest) = rest.split_first().ok_or(Error::Malformed)?;
            let (layer, distance) = (byte >> 6, byte & Self::DISTANCE_MAX);
            if distance == 0 {
                return Err(Error::Malformed);
            }
            Ok((Self { quantiser, number, kind: Kind::Inter { layer, distance } }, rest))
        }
    }
}
