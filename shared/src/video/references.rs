//! The pictures that later frames may refer to: the last one and the newest golden ones.

use super::codec::GOLDEN_KEPT;
use std::collections::VecDeque;
use std::sync::Arc;

/// The same on both sides, as far as frames arrived.
pub(super) struct References<P> {
    last: Option<Reference<P>>,
    /// Newest first.
    golden: VecDeque<Reference<P>>,
}

/// A picture that frames refer to by its number.
pub(super) struct Reference<P> {
    pub number: u16,
    pub picture: Arc<P>,
}

impl<P> References<P> {
    /// The last frame that was not in a layer of its own.
    pub fn last(&self) -> Option<&Reference<P>> {
        self.last.as_ref()
    }

    /// The newest golden frame.
    pub fn newest_golden(&self) -> Option<&Reference<P>> {
        self.golden.front()
    }

    /// The golden frame with this number.
    pub fn golden(&self, number: u16) -> Option<&Reference<P>> {
        self.golden.iter().find(|golden| golden.number == number)
    }

    /// Keeps a frame of layer 0.
    pub fn keep(&mut self, number: u16, picture: P, golden: bool) {
        let picture = Arc::new(picture);
        if golden {
            // After a wrap an older one of the same number must not be found instead.
            self.golden.retain(|other| other.number != number);
            self.golden.truncate(GOLDEN_KEPT - 1);
            self.golden.push_front(Reference { number, picture: picture.clone() });
        }
        self.last = Some(Reference { number, picture });
    }
}

impl<P> Default for References<P> {
    fn default() -> Self {
        Self { last: None, golden: VecDeque::with_capacity(GOLDEN_KEPT) }
    }
}

impl<P> Clone for Reference<P> {
    fn clone(&self) -> Self {
        Self { number: self.number, picture: self.picture.clone() }
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
            references.keep(number, number, number % 4 == 0);
        }
        assert_eq!(references.last().map(|r| r.number), Some(29));
        assert_eq!(references.newest_golden().map(|r| *r.picture), Some(28));
        let held: Vec<_> = (0..30).filter(|n| references.golden(*n).is_some()).collect();
        assert_eq!(held, [16, 20, 24, 28]);
    }
}
