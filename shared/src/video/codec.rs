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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::picture::{Fit, Picture};
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    /// A bright disc that wanders over a slanted slope, in integers.
    fn clip(width: u16, height: u16, tick: u16) -> Picture {
        let (cx, cy) = (i32::from(width) / 4 + i32::from(tick) * 2, i32::from(height) / 2 - i32::from(tick));
        let paint = |x: u16, y: u16| {
            let (x, y) = (i32::from(x), i32::from(y));
            let (dx, dy) = (x - cx, y - cy);
            if dx * dx + dy * dy < i32::from(height) * i32::from(height) / 9 {
                [230, (200 - dx * 3).clamp(0, 255) as u8, (90 + dy * 4).clamp(0, 255) as u8]
            } else {
                [(x * 2 + y) as u8 / 2, (60 + y * 2).min(255) as u8, (x * y / 40 % 120) as u8]
            }
        };
        Picture::paint(width, height, paint).expect("in bounds")
    }

    /// Frames, what a decoder makes of them, and the mean PSNR.
    fn run(width: u16, height: u16, rate: Rate, count: u16) -> (Vec<Frame>, Vec<Picture>, f64) {
        let mut encoder = Encoder::new(width, height, rate).expect("in bounds");
        let mut decoder = Decoder::new();
        let (mut frames, mut pictures, mut psnr) = (Vec::new(), Vec::new(), 0.0);
        for tick in 0..count {
            let source = clip(width, height, tick);
            let frame = encoder.encode(&source, Ask::Any);
            assert_eq!(frame.keyframe, tick == 0);
            let picture = decoder.decode(&frame.bytes).expect("our own frame");
            psnr += picture.psnr(&source).expect("same size") / f64::from(count);
            frames.push(frame);
            pictures.push(picture);
        }
        (frames, pictures, psnr)
    }

    #[test]
    fn golden_bitstream() {
        let (frames, pictures, psnr) = run(48, 32, Rate::Quality(24), 6);
        let hash = |parts: &mut dyn Iterator<Item = &[u8]>| {
            let digest = parts.fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize();
            data_encoding::HEXLOWER.encode(&digest[..8])
        };
        let stream = hash(&mut frames.iter().map(|f| f.bytes.as_slice()));
        let shown = hash(&mut pictures.iter().flat_map(|p| [&p.luma[..], &p.cb, &p.cr]));
        assert_eq!(frames[0].bytes[..8], [1, 0x80 | 24, 0, 0, 0, 48, 0, 32]);
        assert_eq!(frames[1].bytes[..5], [1, 24, 0, 1, 1]);
        assert_eq!((stream.as_str(), shown.as_str()), ("7f1ec3f16d808358", "0318b06269e071d2"));
        assert!(psnr > 36.0, "{psnr} dB");
    }

    #[test]
    fn every_size_comes_back() {
        for (width, height) in [(16, 16), (17, 31), (33, 16), (80, 48), (95, 63), (320, 200)] {
            let (_, pictures, psnr) = run(width, height, Rate::Quality(20), 2);
            assert_eq!((pictures[1].width(), pictures[1].height()), (width, height));
            assert!(psnr > 34.0, "{psnr} dB at {width}x{height}");
        }
        assert!(Encoder::new(15, 16, Rate::Quality(1)).is_none());
        assert!(Encoder::new(320, 201, Rate::Quality(1)).is_none());
    }

    #[test]
    fn every_quantiser_works_and_finer_looks_better() {
        let psnr = [0, 16, 32, 48, QUANTISER_MAX].map(|q| run(48, 32, Rate::Quality(q), 2).2);
        assert!(psnr.windows(2).all(|pair| pair[0] > pair[1]), "{psnr:?}");
        assert!(psnr[0] > 44.0, "{psnr:?}");
    }

    #[test]
    fn a_lost_reference_needs_a_keyframe_and_the_decoder_goes_on() {
        let mut encoder = Encoder::new(48, 32, Rate::Quality(24)).expect("in bounds");
        let mut decoder = Decoder::new();
        let mut frame = |tick, ask| encoder.encode(&clip(48, 32, tick), ask).bytes;
        let frames: Vec<_> = (0..4).map(|tick| frame(tick, Ask::Any)).collect();
        assert_eq!(decoder.decode(&frames[1]), Err(Error::NeedKeyframe));
        assert!(decoder.decode(&frames[0]).is_ok());
        assert_eq!(decoder.decode(&frames[2]), Err(Error::NeedKeyframe));
        assert!(decoder.decode(&frames[1]).is_ok(), "an error changes nothing");
        let again = frame(4, Ask::Keyframe);
        assert!(decoder.decode(&again).is_ok());
        assert!(decoder.decode(&frame(5, Ask::Any)).is_ok());
    }

    #[test]
    fn the_second_layer_may_be_left_out() {
        let mut encoder =
            Encoder::new(48, 32, Rate::Quality(24)).expect("in bounds").with_layers(Layers::Two);
        let (mut all, mut thinned) = (Decoder::new(), Decoder::new());
        let mut layers = Vec::new();
        for tick in 0..6 {
            let frame = encoder.encode(&clip(48, 32, tick), Ask::Any);
            let picture = all.decode(&frame.bytes).expect("our own frame");
            if frame.layer == 0 {
                assert_eq!(thinned.decode(&frame.bytes), Ok(picture));
            }
            layers.push(frame.layer);
        }
        assert_eq!(layers, [0, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn a_budget_is_kept() {
        for bytes_per_second in [1_000, 4_000] {
            let (frames, _, psnr) = run(80, 48, Rate::Budget { bytes_per_second, fps: 10 }, 50);
            let total: usize = frames.iter().map(|f| f.bytes.len()).sum();
            println!("{bytes_per_second} B/s: {} B/s, {psnr:.1} dB", total / 5);
            assert!(total <= 5 * bytes_per_second as usize * 13 / 10, "{total} bytes in 5 s");
            assert!(frames.iter().skip(1).all(|f| f.bytes.len() <= bytes_per_second as usize * 4 / 10));
        }
    }

    #[test]
    fn changed_frames_never_panic() {
        let (frames, ..) = run(48, 32, Rate::Quality(24), 3);
        for frame in &frames[..2] {
            for bit in 0..frame.bytes.len() * 8 {
                let mut bytes = frame.bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let mut decoder = Decoder::new();
                let _first = decoder.decode(&frames[0].bytes);
                // Any answer will do.
                let _any = decoder.decode(&bytes);
            }
            for length in 0..frame.bytes.len() {
                let _any = Decoder::new().decode(&frame.bytes[..length]);
            }
        }
        assert_eq!(Decoder::new().decode(&[2, 0, 0, 0]), Err(Error::Version(2)));
        assert_eq!(Decoder::new().decode(&[]), Err(Error::Malformed));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn noise_never_panics(
            kind in any::<bool>(), quantiser in 0u8..64, number in any::<u8>(),
            size in (16u16..=64, 16u16..=64), noise in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            let mut decoder = Decoder::new();
            let mut encoder = Encoder::new(32, 32, Rate::Quality(40)).expect("in bounds");
            decoder.decode(&encoder.encode(&clip(32, 32, 0), Ask::Any).bytes).expect("our own frame");
            let mut bytes = Vec::new();
            let kind = if kind {
                Kind::Key { width: size.0, height: size.1 }
            } else {
                Kind::Inter { layer: number & 3, distance: 1 }
            };
            Head { quantiser, number: 1, kind }.write(&mut bytes);
            bytes.extend(&noise);
            if let Ok(picture) = decoder.decode(&bytes) {
                prop_assert!(picture.width() <= 64 && picture.height() <= 64);
            }
            let _any = Decoder::new().decode(&noise);
        }
    }

    /// Prints what real footage costs, when the clips lie beside the project or where
    /// `SUBROSA_CLIPS` says.
    #[test]
    fn a_talking_head_fits_a_thin_link() {
        let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/clips");
        let folder = std::env::var("SUBROSA_CLIPS").unwrap_or_else(|_| beside.to_string());
        let Ok(bytes) = std::fs::read(format!("{folder}/carphone-176x144-15.y4m")) else {
            println!("skipped: no clips in {folder}");
            return;
        };
        let planes = |at: usize| {
            let frame = &bytes[at..at + 176 * 144 * 3 / 2];
            crate::video::picture::Planes {
                width: 176,
                height: 144,
                luma: &frame[..176 * 144],
                chroma: (88, 72),
                cb: &frame[176 * 144..176 * 144 * 5 / 4],
                cr: &frame[176 * 144 * 5 / 4..],
            }
        };
        let header = bytes.iter().position(|byte| *byte == b'\n').expect("a header") + 1;
        let stride = 6 + 176 * 144 * 3 / 2;
        let (width, height, fps) = (80, 48, 10);
        let mut encoder = Encoder::new(width, height, Rate::Quality(32)).expect("in bounds");
        let mut decoder = Decoder::new();
        let (mut size, mut psnr, mut count) = (0, 0.0, 0);
        // 15 pictures a second become 10; two seconds are enough here.
        for at in (0..30).filter(|at| at % 3 != 2) {
            let planes = planes(header + at * stride + 6);
            let source = Picture::from_scaled(planes, width, height, Fit::Crop).expect("in bounds");
            let frame = encoder.encode(&source, Ask::Any);
            size += frame.bytes.len();
            psnr += decoder.decode(&frame.bytes).expect("ours").psnr(&source).expect("same size");
            count += 1;
        }
        let (psnr, kbits) = (psnr / f64::from(count), (size * 8 * fps) as f64 / f64::from(count) / 1000.0);
        println!("carphone {width}x{height} at {fps} fps: {kbits:.2} kbit/s, {psnr:.2} dB");
        assert!(psnr > 29.0 && kbits < 15.0, "{kbits} kbit/s, {psnr} dB");
    }
}
