//! The pictures that later frames may refer to: the last one and the newest golden ones.

use super::codec::GOLDEN_KEPT;
use super::plane::Planes;
use std::collections::VecDeque;
use std::sync::Arc;

/// The same on both sides, as far as frames arrived.
#[derive(Default)]
pub(super) struct References {
    last: Option<Reference>,
    /// Newest first.
    golden: VecDeque<Reference>,
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
    /// The last frame of layer 0.
    pub fn last(&self) -> Option<&Reference> {
        self.last.as_ref()
    }

    /// The newest golden frame.
    pub fn newest_golden(&self) -> Option<&Reference> {
        self.golden.front()
    }

    /// The golden frame with this number.
    pub fn golden(&self, number: u16) -> Option<&Reference> {
        self.golden.iter().find(|golden| golden.number == number)
    }

    /// Keeps a frame of layer 0.
    pub fn keep(&mut self, number: u16, golden: bool, held: Held) {
        let held = Arc::new(held);
        if golden {
            // After a wrap an older one of the same number must not be found instead.
            self.golden.retain(|other| other.number != number);
            self.golden.truncate(GOLDEN_KEPT - 1);
            self.golden.push_front(Reference { number, held: held.clone() });
        }
        self.last = Some(Reference { number, held });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_golden_frames_stay() {
        let mut references = References::default();
        assert!(references.last().is_none() && references.newest_golden().is_none());
        for number in 0..30 {
            let held = Held { size: (16, 16), base: 0, golden: number / 4 * 4, planes: Planes::new(16, 16) };
            references.keep(number, number % 4 == 0, held);
        }
        assert_eq!(references.last().map(|r| r.number), Some(29));
        assert_eq!(references.newest_golden().map(|r| r.held.golden), Some(28));
        let held: Vec<_> = (0..30).filter(|n| references.golden(*n).is_some()).collect();
        assert_eq!(held, [16, 20, 24, 28]);
    }
}
