//! Our own codec on one film.

use super::clip::{FPS, Film};
use super::curve::{Curve, Point};
use crate::figure::Times;
use anyhow::Context;
use std::sync::Arc;
use subrosa_shared::video::codec::{Ask, Decoder, Encoder, Frame, Layers, QUANTISER_MAX, Rate, Tables};
use subrosa_shared::video::picture::Picture;

/// The codec, with what both sides know before the first picture.
pub struct Ours<'a> {
    film: &'a Film,
    tables: Arc<Tables>,
}

/// A film that went through the codec.
struct Sent {
    bytes: usize,
    shown: Vec<Picture>,
    encoding: Times,
    decoding: Times,
}

/// Two ways to say the same picture, in bytes and decibels over all of them.
#[derive(Default)]
pub struct Recovery {
    pub golden: (usize, f64),
    pub keyframe: (usize, f64),
}

impl<'a> Ours<'a> {
    pub fn new(film: &'a Film, tables: Arc<Tables>) -> Self {
        Self { film, tables }
    }

    /// The film at these qualities.
    pub fn curve(&self, wanted: &[f64], layers: Layers) -> anyhow::Result<Curve<u8>> {
        Curve::around(wanted, (0..=QUANTISER_MAX).rev().step_by(2), |quantiser| {
            let sent = self.send(quantiser, layers)?;
            Ok(Point { kbit: self.film.kbit(sent.bytes), decibels: self.film.quality(&sent.shown)? })
        })
    }

    /// How long encoding and decoding take.
    pub fn times(&self, quantiser: u8) -> anyhow::Result<[Times; 2]> {
        let sent = self.send(quantiser, Layers::One)?;
        Ok([sent.encoding, sent.decoding])
    }

    /// Recovers once a second from a golden frame that was acknowledged when it was 0.3 s old.
    pub fn recovery(&self, quantiser: u8) -> anyhow::Result<Recovery> {
        const ROUND_TRIP: usize = 3;
        let mut recovery = Recovery::default();
        let (mut encoder, mut decoder) = self.pair(Rate::Quality(quantiser))?;
        let mut golden: Vec<Option<u16>> = Vec::new();
        for (at, picture) in self.film.pictures.iter().enumerate() {
            if let Some(number) = at.checked_sub(ROUND_TRIP).and_then(|at| golden[at]) {
                encoder.acknowledge(number);
            }
            let recover = at > 0 && at % usize::from(FPS) == 0;
            let frame = encoder.encode(picture, if recover { Ask::Recover } else { Ask::Any });
            golden.push(frame.golden.then_some(frame.number));
            let shown = decoder.decode(&frame.bytes)?;
            if recover {
                add(&mut recovery.golden, &frame, &shown, picture);
                let (mut encoder, mut decoder) = self.pair(Rate::Quality(quantiser))?;
                let keyframe = encoder.encode(picture, Ask::Keyframe);
                add(&mut recovery.keyframe, &keyframe, &decoder.decode(&keyframe.bytes)?, picture);
            }
        }
        Ok(recovery)
    }

    /// The first frame of the film, and the first one after a cut from its end to another film, at
    /// this rate.
    pub fn keyframe_and_cut(&self, other: Option<&Film>, rate: Rate) -> anyhow::Result<Starts> {
        let (mut encoder, mut decoder) = self.pair(rate)?;
        let mut keyframe = None;
        for picture in &self.film.pictures {
            let frame = encoder.encode(picture, Ask::Any);
            let shown = decoder.decode(&frame.bytes)?;
            keyframe.get_or_insert((frame.bytes.len(), shown.psnr(picture).unwrap_or(0.0)));
        }
        let first = other.and_then(|film| film.pictures.first());
        let cut = first.map(|picture| {
            let frame = encoder.encode(picture, Ask::Any);
            let shown = decoder.decode(&frame.bytes)?;
            anyhow::Ok((frame.bytes.len(), shown.psnr(picture).unwrap_or(0.0)))
        });
        Ok((keyframe.unwrap_or_default(), cut.transpose()?))
    }

    fn send(&self, quantiser: u8, layers: Layers) -> anyhow::Result<Sent> {
        let (encoder, mut decoder) = self.pair(Rate::Quality(quantiser))?;
        let mut encoder = encoder.with_layers(layers);
        let [encoding, decoding] = [(); 2].map(|()| Times::default());
        let mut sent = Sent { bytes: 0, shown: Vec::new(), encoding, decoding };
        for picture in &self.film.pictures {
            let frame = sent.encoding.of(|| encoder.encode(picture, Ask::Any));
            sent.bytes += frame.bytes.len();
            sent.shown.push(sent.decoding.of(|| decoder.decode(&frame.bytes))?);
        }
        Ok(sent)
    }

    fn pair(&self, rate: Rate) -> anyhow::Result<(Encoder, Decoder)> {
        let Film { width, height, .. } = *self.film;
        let encoder = Encoder::with_tables(width, height, rate, self.tables.clone());
        Ok((encoder.context("a size out of bounds")?, Decoder::with_tables(self.tables.clone())))
    }
}

/// A keyframe, and a first frame after a cut when there was one: bytes and decibels of each.
pub type Starts = ((usize, f64), Option<(usize, f64)>);

fn add(sum: &mut (usize, f64), frame: &Frame, shown: &Picture, picture: &Picture) {
    sum.0 += frame.bytes.len();
    sum.1 += shown.psnr(picture).unwrap_or(0.0);
}
