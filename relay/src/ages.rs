//! How old something is, by a wall clock that may be put right after it was dated.

use subrosa_shared::time::{Millis, Now};

/// What is dated by the wall clock, and how old that makes it.
///
/// A machine without a clock that lasts boots in the past, and takes things before somebody tells it the time: what
/// came in this run is never older than the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ages {
    /// When the run began, by the earliest wall clock of it.
    began: Now,
    now: Now,
}

impl Ages {
    /// At the beginning of a run.
    pub(crate) fn new(now: Now) -> Self {
        Self { began: now, now }
    }

    /// Time passed, or the clock was set.
    pub(crate) fn pass(&mut self, now: Now) {
        self.began.wall = self.began.wall.min(now.wall);
        self.now = now;
    }

    /// What is dated before that moment is older than so many milliseconds.
    pub(crate) fn before(&self, age_ms: u64) -> Millis {
        let before = Millis(self.now.wall.0.saturating_sub(age_ms));
        let run_ms = self.now.mono.0.saturating_sub(self.began.mono.0);
        if run_ms < age_ms { before.min(self.began.wall) } else { before }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_makes_nothing_older_than_the_run() {
        const YEAR: u64 = 365 * 24 * 3_600_000;
        let at = |wall, mono| Now { wall: Millis(wall), mono: Millis(mono) };
        let mut ages = Ages::new(at(3 * YEAR, 5));
        assert_eq!(ages.before(1000), Millis(3 * YEAR - 1000));
        // It runs behind, and is put right.
        ages.pass(at(2 * YEAR, 10));
        ages.pass(at(3 * YEAR, 20));
        assert_eq!(ages.before(1000), Millis(2 * YEAR), "what came in this run is young");
        ages.pass(at(3 * YEAR + 1000, 1005));
        assert_eq!(ages.before(1000), Millis(3 * YEAR), "as old as the run");
        assert_eq!(ages.before(1001), Millis(2 * YEAR));
    }
}
