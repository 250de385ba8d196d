//! A frame into a picture.

use super::codec::{Error, QUANTISER_MAX};
use super::head::{Head, Kind as FrameKind};
use super::picture::{HEIGHT_MAX, Picture, SIDE_MIN, WIDTH_MAX};
use super::predict::{Padded, Plane};
use super::range::Reader;
use super::references::References;
use super::syntax::{Around, Brief, Contexts, Kind, Macroblock, macroblock};
use super::transform::{inverse, restore, step};

/// Turns frames into pictures, in order. Holds the last picture and the newest golden ones.
#[derive(Default)]
pub struct Decoder {
    references: References<Held>,
}

/// A picture that others refer to.
struct Held {
    width: u16,
    height: u16,
    padded: Padded,
}

impl Decoder {
    /// Waits for a keyframe.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of the newest golden frame held.
    pub fn golden(&self) -> Option<u16> {
        self.references.newest_golden().map(|golden| golden.number)
    }

    /// The frame's picture. After an error the decoder is as it was before.
    ///
    /// # Errors
    /// [`Error::NeedReference`] when a frame that it refers to was lost, [`Error::Version`] and
    /// [`Error::Malformed`] for what is not a frame of ours.
    pub fn decode(&mut self, frame: &[u8]) -> Result<Picture, Error> {
        let (head, symbols) = Head::read(frame)?;
        let (quantiser, width, height, from, symbols) = match head.kind {
            FrameKind::Key { quantiser, width, height } => (quantiser, width, height, None, symbols),
            FrameKind::Golden => {
                let (&[quantiser, distance], symbols) =
                    symbols.split_first_chunk::<2>().ok_or(Error::Malformed)?;
                let wanted = head.number.wrapping_sub(distance.into());
                let held = self.references.golden(wanted).ok_or(Error::NeedReference)?.picture.clone();
                (quantiser, held.width, held.height, Some(held), symbols)
            }
            FrameKind::Last { distance } => {
                let (&quantiser, symbols) = symbols.split_first().ok_or(Error::Malformed)?;
                let wanted = head.number.wrapping_sub(distance.into());
                let found = self.references.last().filter(|r| r.number == wanted);
                let held = found.ok_or(Error::NeedReference)?.picture.clone();
                (quantiser, held.width, held.height, Some(held), symbols)
            }
        };
        let sized = (SIDE_MIN..=WIDTH_MAX).contains(&width) && (SIDE_MIN..=HEIGHT_MAX).contains(&height);
        if !sized || quantiser > QUANTISER_MAX {
            return Err(Error::Malformed);
        }
        let from = from.as_deref().map(|held| &held.padded);
        let mut padded = Padded::new(width, height);
        let columns = padded.planes[0].width / 16;
        let count = columns * padded.planes[0].height / 16;
        let mut reader = Reader::new(symbols);
        let mut contexts = Contexts::new();
        let mut briefs = vec![Brief::default(); count];
        for at in 0..count {
            let around = Around::of(&briefs, columns, at);
            let mut block = Macroblock::BLANK;
            macroblock(&mut reader, &mut contexts, &around, from.is_none(), &mut block);
            reader.check()?;
            rebuild(&mut padded, from, columns, at, &block, step(quantiser));
            briefs[at] = block.brief();
        }
        deblock(&mut padded, &briefs, columns, quantiser);
        let picture = padded.to_picture(width, height).ok_or(Error::Malformed)?;
        if head.layer == 0 {
            self.references.keep(head.number, Held { width, height, padded }, head.golden);
        }
        Ok(picture)
    }
}

/// Puts what a macroblock says into the picture; the encoder runs this very code.
pub(super) fn rebuild(
    into: &mut Padded,
    from: Option<&Padded>,
    columns: usize,
    at: usize,
    block: &Macroblock,
    step: i32,
) {
    for part in 0..6 {
        let (plane, x, y) = place(columns, at, part);
        let mut samples = [0; 64];
        predict(&into.planes[plane], from.map(|f| &f.planes[plane]), x, y, block, part, &mut samples);
        if block.coded[part] {
            add(&mut samples, &inverse(&restore(&block.levels[part], step)));
        }
        into.planes[plane].put(x, y, 8, &samples);
    }
}

/// The plane and the place in it of one of a macroblock's six blocks.
pub(super) fn place(columns: usize, at: usize, part: usize) -> (usize, usize, usize) {
    let (x, y) = (at % columns, at / columns);
    match part {
        0..4 => (0, x * 16 + part % 2 * 8, y * 16 + part / 2 * 8),
        _ => (part - 3, x * 8, y * 8),
    }
}

/// What one of a macroblock's six blocks looks like before its levels are added.
pub(super) fn predict(
    plane: &Plane,
    from: Option<&Plane>,
    x: usize,
    y: usize,
    block: &Macroblock,
    part: usize,
    out: &mut [u8; 64],
) {
    let moving = from.filter(|_| block.kind != Kind::Edges);
    match (moving, part) {
        (None, 0..4) => plane.continued(x, y, block.edges[part], out),
        (None, _) => plane.continued(x, y, block.chroma_edge, out),
        (Some(from), 0..4) => {
            let motion = block.motion[part];
            from.moved(x, y, 8, (i32::from(motion.x) * 2, i32::from(motion.y) * 2), out);
        }
        (Some(from), _) => {
            // Chroma is half as large, so a quarter luma sample is an eighth here; of four
            // motions it takes the mean.
            let sum = |axis: fn(&super::predict::Motion) -> i16| {
                (block.motion.iter().map(|m| i32::from(axis(m))).sum::<i32>() + 2) >> 2
            };
            from.moved(x, y, 8, (sum(|m| m.x), sum(|m| m.y)), out);
        }
    }
}

/// Adds a residual, within 8 bits.
pub(super) fn add(samples: &mut [u8; 64], residual: &[i32; 64]) {
    for (sample, difference) in samples.iter_mut().zip(residual) {
        *sample = (i32::from(*sample) + difference).clamp(0, 255) as u8;
    }
}

/// Smooths borders between blocks that were not predicted as one.
pub(super) fn deblock(padded: &mut Padded, briefs: &[Brief], columns: usize, quantiser: u8) {
    let limit = ((step(quantiser) * LIMIT) >> 8).min(LIMIT_MAX);
    let edge = |a: &Brief, i: usize, b: &Brief, j: usize| {
        a.kind == Kind::Edges
            || b.kind == Kind::Edges
            || a.coded[i]
            || b.coded[j]
            || a.motion[i] != b.motion[j]
    };
    for (at, own) in briefs.iter().enumerate() {
        for part in 0..4 {
            let (_, x, y) = place(columns, at, part);
            if x > 0 {
                let other = if part % 2 == 0 { &briefs[at - 1] } else { own };
                if edge(own, part, other, part ^ 1) {
                    padded.planes[0].smooth_left(x, y, limit);
                }
            }
            if y > 0 {
                let other = if part < 2 { &briefs[at - columns] } else { own };
                if edge(own, part, other, part ^ 2) {
                    padded.planes[0].smooth_above(x, y, limit);
                }
            }
        }
    }
}

/// How large a step across a border still counts as the quantiser's doing, in 1/16 of its width
/// (which is in 1/16 itself).
const LIMIT: i32 = 28;
const LIMIT_MAX: i32 = 80;
