//! Our own codec on one film.

use super::clip::Film;
use super::curve::{Curve, Point};
use crate::figure::Times;
use anyhow::Context;
use std::sync::Arc;
use subrosa_shared::video::codec::{Ask, Decoder, Encoder, Frame, Layers, QUANTISER_MAX, Rate, Tables};
use subrosa_shared::video::picture::Picture;

/// Bytes and decibels, of a frame that recovers and of a keyframe in its place.
type Pair = [(f64, f64); 2];

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

/// A frame that refers to an acknowledged one only, beside a keyframe of the same picture and
/// quantiser: medians over the film.
pub struct Recovery {
    /// Bytes of the one for each of the other.
    pub share: f64,
    /// Bytes and decibels of each.
    pub frame: (f64, f64),
    pub keyframe: (f64, f64),
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

    /// Recovers at each picture from the frame so many before it.
    pub fn recovery(&self, quantiser: u8, age: usize) -> anyhow::Result<Recovery> {
        let (mut encoder, mut decoder) = self.pair(Rate::Quality(quantiser))?;
        let mut found = Vec::new();
        for (at, picture) in self.film.pictures.iter().enumerate() {
            if let Some(known) = at.checked_sub(age) {
                encoder.acknowledge(known as u16);
                let frame = encoder.clone().encode(picture, Ask::Recover);
                let shown = decoder.clone().decode(&frame.bytes)?;
                let (mut anew, mut blank) = self.pair(Rate::Quality(quantiser))?;
                let keyframe = anew.encode(picture, Ask::Keyframe);
                found.push([said(&frame, &shown, picture), {
                    let shown = blank.decode(&keyframe.bytes)?;
                    said(&keyframe, &shown, picture)
                }]);
            }
            decoder.decode(&encoder.encode(picture, Ask::Any).bytes)?;
        }
        let median = |value: &dyn Fn(&Pair) -> f64| {
            let mut values: Vec<f64> = found.iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().context("the film is too short")
        };
        let of = |which: usize| anyhow::Ok((median(&|f| f[which].0)?, median(&|f| f[which].1)?));
        Ok(Recovery { share: median(&|f| f[0].0 / f[1].0)?, frame: of(0)?, keyframe: of(1)? })
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

/// A frame's bytes and decibels.
fn said(frame: &Frame, shown: &Picture, picture: &Picture) -> (f64, f64) {
    (frame.bytes.len() as f64, shown.psnr(picture).unwrap_or(0.0))
}
