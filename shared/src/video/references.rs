//! The pictures that later frames may refer to: the newest ones of layer 0.

use super::codec::KEPT;
use super::plane::Planes;
use std::collections::VecDeque;
use std::sync::Arc;

/// The same on both sides, as far as frames arrived.
#[derive(Clone, Default)]
pub(super) struct References {
    /// Newest first.
    kept: VecDeque<Kept>,
}

/// A frame of layer 0, and the golden one before it. Whoever could decode the one holds the other,
/// so that naming the one is enough to refer to both.
#[derive(Clone)]
pub(super) struct Kept {
    pub reference: Reference,
    pub beside: Option<Reference>,
}

/// A picture that frames refer to by its number.
#[derive(Clone)]
pub(super) struct Reference {
    pub number: u16,
    pub held: Arc<Held>,
}

/// A picture and what later ones expect by it.
pub(super) struct Held {
    pub size: (u16, u16),
    /// The quantiser before the frame's role changed it.
    pub base: u8,
    /// Number of the newest golden frame, maybe its own.
    pub golden: u16,
    pub planes: Planes,
}

impl References {
    /// The newest frame.
    pub fn newest(&self) -> Option<&Reference> {
        self.kept.front().map(|kept| &kept.reference)
    }

    /// The frame with this number.
    pub fn get(&self, number: u16) -> Option<&Kept> {
        self.kept.iter().find(|kept| kept.reference.number == number)
    }

    /// Keeps a frame of layer 0.
    pub fn keep(&mut self, kept: Kept) {
        // After a wrap an older one of the same number must not be found instead.
        self.kept.retain(|other| other.reference.number != kept.reference.number);
        self.kept.truncate(KEPT - 1);
        self.kept.push_front(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_frames_stay() {
        let mut references = References::default();
        assert!(references.newest().is_none());
        for number in (0..30).chain([20]) {
            let held = Held { size: (16, 16), base: 0, golden: number / 4 * 4, planes: Planes::new(16, 16) };
            let reference = Reference { number, held: Arc::new(held) };
            references.keep(Kept { reference, beside: None });
        }
        assert_eq!(references.newest().map(|newest| (newest.number, newest.held.golden)), Some((20, 20)));
        let held: Vec<_> = (0..30).filter(|number| references.get(*number).is_some()).collect();
        assert_eq!(held, (14..30).collect::<Vec<_>>());
    }
}
