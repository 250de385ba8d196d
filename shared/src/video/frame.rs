//! What both sides derive from a frame's head and the pictures that it refers to.

use super::canvas::Canvas;
use super::codec::{Error, QUANTISER_MAX};
use super::head::{Head, Kind};
use super::model::Coder;
use super::plane::Planes;
use super::references::{Held, References};
use super::symbols::Symbol;
use super::syntax::{Role, Setting};
use super::transform::step;
use std::sync::Arc;

/// How a frame is coded.
#[derive(Clone)]
pub(super) struct Plan {
    pub size: (u16, u16),
    pub setting: Setting,
    /// The quantiser before the role changes it. Of a keyframe it is known, of another one expected.
    pub base: u8,
    /// Nothing will refer to it.
    pub upper: bool,
    /// The last picture and the golden one.
    pub from: [Option<Arc<Held>>; 2],
    /// Number of the newest golden frame, maybe its own.
    pub golden: u16,
}

/// The plan of a frame with this head.
pub(super) fn plan(references: &References, head: &Head) -> Result<Plan, Error> {
    let before = |distance: u8| head.number.wrapping_sub(distance.into());
    let (size, base, from, golden, two) = match head.kind {
        Kind::Key { quantiser, width, height } => {
            ((width, height), quantiser, [None, None], head.number, false)
        }
        Kind::Golden { distance } => {
            let golden = references.golden(before(distance)).ok_or(Error::NeedReference)?;
            (golden.held.size, golden.held.base, [Some(golden.held.clone()), None], golden.number, false)
        }
        Kind::Last { distance } => {
            let last = references.last().filter(|last| last.number == before(distance));
            let last = last.ok_or(Error::NeedReference)?;
            let golden = references.golden(last.held.golden).ok_or(Error::NeedReference)?;
            if golden.held.size != last.held.size {
                return Err(Error::Malformed);
            }
            let from = [Some(last.held.clone()), Some(golden.held.clone())];
            (last.held.size, last.held.base, from, golden.number, golden.number != last.number)
        }
    };
    let role = match head.kind {
        Kind::Key { .. } => Role::Key,
        _ if head.golden => Role::Golden,
        _ if head.number.wrapping_sub(golden) % 2 == 0 => Role::Even,
        _ => Role::Odd,
    };
    let golden = if head.golden { head.number } else { golden };
    Ok(Plan { size, setting: Setting { role, two }, base, upper: head.layer > 0, from, golden })
}

impl Plan {
    /// An empty picture to draw on.
    pub fn canvas(&self) -> Canvas {
        let offset = OFFSETS[self.setting.role as usize] + if self.upper { UPPER } else { 0 };
        let of = |more: i16| {
            let quantiser = i16::from(self.base) + offset + more;
            step(quantiser.clamp(0, QUANTISER_MAX.into()) as u8)
        };
        Canvas::new(self.size, self.setting, self.from.clone(), [of(0), of(CHROMA)])
    }

    /// What later frames may refer to.
    pub fn held(&self, mut planes: Planes) -> Held {
        planes.extend();
        Held { size: self.size, base: self.base, golden: self.golden, planes }
    }
}

/// How much coarser the quantiser of each [`Role`] is: what others are made of is finer.
const OFFSETS: [i16; 4] = [-2, -4, 0, 2];

/// How much coarser a frame of an upper layer is in addition.
const UPPER: i16 = 3;

/// How much coarser chroma is.
const CHROMA: i16 = 4;

/// The quantiser, where `expected` is that of the last picture.
pub(super) fn quantiser<C: Coder>(coder: &mut C, expected: u8, value: u8) -> u8 {
    let wanted = value.abs_diff(expected);
    let mut size = 0;
    while size < QUANTISER_MAX && coder.bit(Symbol::Quantiser, &[usize::from(size.min(3))], size < wanted) {
        size += 1;
    }
    if size > 0 && coder.raw(value < expected) { expected.saturating_sub(size) } else { expected + size }
}

/// Whether the picture is the one that it refers to, and nothing more is said.
pub(super) fn still<C: Coder>(coder: &mut C, role: Role, value: bool) -> bool {
    role != Role::Key && coder.bit(Symbol::Still, &[role as usize], value)
}

/// How strongly the picture is smoothed inside, below [`STRENGTHS`].
pub(super) fn smoothing<C: Coder>(coder: &mut C, role: Role, value: usize) -> usize {
    let mut found = 0;
    while found + 1 < STRENGTHS
        && coder.bit(Symbol::Smoothing, &[role as usize, role as usize * 3 + found], found < value)
    {
        found += 1;
    }
    found
}

/// How many strengths of smoothing there are, none included.
pub(super) const STRENGTHS: usize = 4;
