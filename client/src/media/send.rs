//! Pictures into sealed datagrams: codec, SFrame, fragments.

use super::meter::{Meter, Stats};
use std::time::Duration;
use subrosa_shared::id::TrackId;
use subrosa_shared::protocol::media::{DATAGRAM_MAX, FRAGMENTS_MAX, HEADER, Header};
use subrosa_shared::session::sframe::{Facts, Sealer};
use subrosa_shared::time::{Millis, Now};
use subrosa_shared::video::codec::{Ask, Encoder, Rate};
use subrosa_shared::video::picture::Picture;

/// Size and rate of an outgoing picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// In luma samples, 16 to 320.
    pub width: u16,
    /// In luma samples, 16 to 200.
    pub height: u16,
    /// Pictures a second, 1 to 30.
    pub fps: u8,
    /// Bits a second on average, headers and seals included.
    pub budget: u32,
}

impl Default for Shape {
    fn default() -> Self {
        Self { width: 96, height: 64, fps: 10, budget: 32_000 }
    }
}

/// The shape is out of bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a call picture is 16x16 to 320x200 at 1 to 30 pictures a second; set another size or rate")]
pub struct Misfit;

/// One outgoing track.
pub struct Sender {
    track: TrackId,
    encoder: Encoder,
    sealer: Sealer,
    /// Number of the next frame on the wire.
    frame: u32,
    wanted: bool,
    last_keyframe: Option<Millis>,
    meter: Meter,
}

/// However often it is asked, keyframes are at least this far apart.
pub const KEYFRAME_SPACING: Duration = Duration::from_millis(250);

impl Sender {
    /// The key must be fresh: frames are counted from 0 under it.
    ///
    /// # Errors
    /// [`Misfit`] when the shape is out of bounds.
    pub fn new(track: TrackId, key: &[u8; 32], kid: u64, shape: Shape) -> Result<Self, Misfit> {
        let rate = shape.rate()?;
        let encoder = Encoder::new(shape.width, shape.height, rate).ok_or(Misfit)?;
        let sealer = Sealer::new(key, kid);
        let meter = Meter::default();
        Ok(Self { track, encoder, sealer, frame: 0, wanted: false, last_keyframe: None, meter })
    }

    /// The picture's datagrams, in order, each at most [`DATAGRAM_MAX`] bytes. The first picture
    /// is a keyframe.
    pub fn send(&mut self, picture: &Picture, now: Now) -> Vec<Vec<u8>> {
        let due = self.last_keyframe.is_none_or(|last| now.mono.since(last) >= KEYFRAME_SPACING);
        let ask = if self.wanted && due { Ask::Keyframe } else { Ask::Any };
        let frame = self.encoder.encode(picture, ask);
        if frame.keyframe {
            self.wanted = false;
            self.last_keyframe = Some(now.mono);
        }
        let number = self.frame;
        let facts = Facts { track: self.track, frame: number, keyframe: frame.keyframe, layer: frame.layer };
        // 2^32 frames are four years at 30 a second; the far end refuses what comes after.
        self.frame = self.frame.wrapping_add(1);
        let Ok(sealed) = self.sealer.seal(&facts, &frame.bytes) else { return Vec::new() };
        let datagrams = fragments(&facts, &sealed);
        self.meter.picture(now);
        self.meter.bytes(datagrams.iter().map(Vec::len).sum(), now);
        datagrams
    }

    /// Someone cannot decode: the next picture becomes a keyframe, unless one has just been.
    pub fn want_keyframe(&mut self) {
        self.wanted = true;
    }

    /// Continues on another track, after the relay was reached anew; starts with a keyframe.
    pub fn set_track(&mut self, track: TrackId) {
        self.track = track;
        self.wanted = true;
        self.last_keyframe = None;
    }

    /// Another rate from the next picture on.
    ///
    /// # Errors
    /// [`Misfit`] when the rate is out of bounds; the size of a running track does not change.
    pub fn set_rate(&mut self, fps: u8, budget: u32) -> Result<(), Misfit> {
        self.encoder.set_rate(Shape { fps, budget, ..Shape::default() }.rate()?);
        Ok(())
    }

    /// Rates of the last seconds.
    pub fn stats(&self, now: Now) -> Stats {
        self.meter.stats(now)
    }
}

impl Shape {
    /// What is left for the codec once each picture paid for its datagram.
    fn rate(&self) -> Result<Rate, Misfit> {
        if !(1..=30).contains(&self.fps) {
            return Err(Misfit);
        }
        let overhead = u32::from(self.fps) * (HEADER as u32 + SEAL);
        let bytes_per_second = (self.budget / 8).saturating_sub(overhead).max(u32::from(self.fps) * 16);
        Ok(Rate::Budget { bytes_per_second, fps: self.fps })
    }
}

/// SFrame header and tag of a usual frame, in bytes.
const SEAL: u32 = 20;

/// A sealed frame in datagrams of about equal length.
fn fragments(facts: &Facts, sealed: &[u8]) -> Vec<Vec<u8>> {
    let count = sealed.len().div_ceil(DATAGRAM_MAX - HEADER).max(1);
    let Some(count) = u8::try_from(count).ok().filter(|count| *count <= FRAGMENTS_MAX) else {
        return Vec::new();
    };
    let length = sealed.len().div_ceil(count.into()).max(1);
    let datagram = |(index, payload): (u8, &[u8])| {
        let header = Header {
            track: facts.track,
            frame: facts.frame,
            index,
            count,
            layer: facts.layer,
            keyframe: facts.keyframe,
        };
        [&header.encode()[..], payload].concat()
    };
    (0..count).zip(sealed.chunks(length)).map(datagram).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::face;

    const KEY: [u8; 32] = [3; 32];

    fn at(ms: u64) -> Now {
        Now { wall: Millis(0), mono: Millis(ms) }
    }

    #[test]
    fn it_starts_with_a_keyframe_and_repeats_one_when_asked() {
        let mut sender = Sender::new(TrackId(4), &KEY, 1, Shape::default()).expect("in bounds");
        let mut keyframes = Vec::new();
        for tick in 0..12 {
            if tick >= 5 {
                sender.want_keyframe();
            }
            let picture = face::picture(96, 64, Duration::from_millis(tick * 100), 1).expect("in bounds");
            let datagrams = sender.send(&picture, at(tick * 100));
            let (header, _) = Header::decode(&datagrams[0]).expect("ours");
            assert_eq!((header.track, header.frame), (TrackId(4), tick as u32));
            if header.keyframe {
                keyframes.push(tick);
            }
        }
        assert_eq!(keyframes, [0, 5, 8, 11], "at most one each quarter of a second");
    }

    #[test]
    fn fragments_fit_and_cover_the_frame() {
        let facts = Facts { track: TrackId(1), frame: 2, keyframe: true, layer: 0 };
        for length in [1, 1107, 1108, 1109, 5_000, 64 * 1108] {
            let sealed: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let datagrams = fragments(&facts, &sealed);
            let mut whole = Vec::new();
            for (index, datagram) in datagrams.iter().enumerate() {
                assert!(datagram.len() <= DATAGRAM_MAX);
                let (header, payload) = Header::decode(datagram).expect("ours");
                assert_eq!((usize::from(header.index), usize::from(header.count)), (index, datagrams.len()));
                whole.extend_from_slice(payload);
            }
            assert!(whole == sealed, "{length} bytes");
        }
        assert!(fragments(&facts, &vec![0; 64 * 1108 + 1]).is_empty());
    }

    #[test]
    fn shapes_are_bounded() {
        let wrong = [(8, 64, 10), (96, 400, 10), (96, 64, 0), (96, 64, 31)];
        for (width, height, fps) in wrong {
            let shape = Shape { width, height, fps, budget: 32_000 };
            assert!(Sender::new(TrackId(1), &KEY, 1, shape).is_err(), "{shape:?}");
        }
    }
}
