//! What both sides derive from a frame's head and the pictures that it refers to.

use super::canvas::Canvas;
use super::codec::{Error, QUANTISER_MAX};
use super::head::{Head, Kind};
use super::model::Coder;
use super::plane::Planes;
use super::references::{Held, Kept, Reference, References};
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
    upper: bool,
    /// How many frames ago the first reference was; 0 when there is none.
    distance: u8,
    /// The last picture and the golden one before it.
    from: [Option<Reference>; 2],
    /// Number of the newest golden frame, maybe its own.
    golden: u16,
}

/// The plan of a frame with this head.
pub(super) fn plan(references: &References, head: &Head) -> Result<Plan, Error> {
    let (size, base, from, golden, distance) = match head.kind {
        Kind::Key { quantiser, width, height } => ((width, height), quantiser, [None, None], head.number, 0),
        Kind::From { distance } => {
            let kept = references.get(head.number.wrapping_sub(distance.into()));
            let Kept { reference: last, beside } = kept.ok_or(Error::NeedReference)?.clone();
            let (size, base, golden) = (last.held.size, last.held.base, last.held.golden);
            (size, base, [Some(last), beside], golden, distance)
        }
    };
    let role = match head.kind {
        Kind::Key { .. } => Role::Key,
        _ if head.golden => Role::Golden,
        _ if head.number.wrapping_sub(golden) % 2 == 0 => Role::Even,
        _ => Role::Odd,
    };
    let setting = Setting { role, two: from[1].is_some() };
    let golden = if head.golden { head.number } else { golden };
    Ok(Plan { size, setting, base, upper: head.layer > 0, distance, from, golden })
}

impl Plan {
    /// An empty picture to draw on.
    pub fn canvas(&self) -> Canvas {
        let of = |more: i16| {
            let quantiser = i16::from(self.base) + self.offset() + more;
            step(quantiser.clamp(0, QUANTISER_MAX.into()) as u8)
        };
        Canvas::new(self.size, self.setting, self.from(), [of(0), of(CHROMA)])
    }

    /// The pictures that it refers to.
    pub fn from(&self) -> [Option<Arc<Held>>; 2] {
        self.from.each_ref().map(|from| from.as_ref().map(|from| from.held.clone()))
    }

    /// How much coarser its quantiser is: what others are made of is finer.
    fn offset(&self) -> i16 {
        match (self.setting.role, self.distance) {
            (Role::Key, _) => -2,
            // After a loss the next picture should come soon; those after it make it finer.
            (Role::Golden, 3..) => 1,
            (Role::Golden, 2) => -3,
            (Role::Golden, _) => -4,
            (Role::Even, 2..) => 1,
            (Role::Even, _) => 0,
            (Role::Odd, _) if self.upper => 5,
            (Role::Odd, _) => 2,
        }
    }

    /// Percent of its quantiser's width by which a frame's errors are weighed against its bits: what
    /// many are made of, or what has changed more, is worth more bits.
    pub fn thrift(&self) -> i32 {
        match (self.setting.role, self.distance) {
            (Role::Key, _) => 65,
            (_, 2..) if !self.upper => 85,
            _ => 100,
        }
    }

    /// What later frames may refer to, once it is drawn.
    pub fn kept(self, number: u16, mut planes: Planes) -> Kept {
        planes.extend();
        let before = self.from[0].as_ref().map(|last| last.held.golden);
        let beside = self.from.into_iter().flatten().find(|from| Some(from.number) == before);
        let held = Held { size: self.size, base: self.base, golden: self.golden, planes };
        Kept { reference: Reference { number, held: Arc::new(held) }, beside }
    }
}

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
