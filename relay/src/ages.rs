//! How old something is, by a wall clock that may be set after it was dated.
//!
//! What is dated inside a span of this run that ended with the clock being set is no older than the monotonic clock
//! makes it, and as old as that while the wall clock is not there again; all else goes by the wall clock. A machine
//! without a clock that lasts boots in the past, and takes things before somebody tells it the time; what an earlier
//! run took is no younger for that.

use subrosa_shared::time::{Millis, Now};

/// What is dated by the wall clock, and how old that makes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ages {
    /// The earliest date since the run began, or since the clock was last set.
    from: Millis,
    now: Now,
    /// The spans before that, the last one first; of more than these the first ones go by the wall clock.
    spans: [Option<Span>; SPANS],
}

/// A span of the run that ended with the clock being set.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// The earliest date of it.
    from: Millis,
    /// Its end, by the wall clock as it was until then.
    to: Now,
}

const SPANS: usize = 8;

/// A wall clock that goes this much further than the monotonic one, or less far, was set.
const SET_MS: u64 = 3_600_000;

const DAY_MS: u64 = 24 * 3_600_000;

impl Ages {
    /// At the beginning of a run.
    pub(crate) fn new(now: Now) -> Self {
        Self { from: day(now.wall), now, spans: [None; SPANS] }
    }

    /// Time passed, or the clock was set.
    pub(crate) fn pass(&mut self, now: Now) {
        let passed = now.mono.0.saturating_sub(self.now.mono.0);
        let unset = Millis(self.now.wall.0.saturating_add(passed));
        if now.wall.0.abs_diff(unset.0) > SET_MS {
            // At some moment since the last look: files were dated meanwhile.
            self.spans.rotate_right(1);
            self.spans[0] = Some(Span { from: self.from, to: Now { wall: unset, ..now } });
            self.from = day(Millis(now.wall.0.saturating_sub(passed)));
        }
        self.from = self.from.min(now.wall);
        self.now = now;
    }

    /// Whether what is dated so is older than that many milliseconds.
    pub(crate) fn is_older(&self, dated: Millis, than_ms: u64) -> bool {
        // Of what lies ahead the clock says nothing.
        let by_clock = self.now.wall.0.checked_sub(dated.0);
        let ages = self.spans.iter().flatten().filter_map(|span| span.age(dated, self.now));
        by_clock.into_iter().chain(ages).min().is_some_and(|age| age > than_ms)
    }
}

impl Span {
    /// How old that is, if it is dated inside.
    fn age(&self, dated: Millis, now: Now) -> Option<u64> {
        let since = now.mono.0.saturating_sub(self.to.mono.0);
        (self.from..=self.to.wall).contains(&dated).then(|| self.to.wall.0 - dated.0 + since)
    }
}

/// When that day began: some dates say no more.
pub(crate) fn day(wall: Millis) -> Millis {
    Millis(wall.0 - wall.0 % DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: u64 = 365 * DAY_MS;

    fn at(wall: u64, mono: u64) -> Now {
        Now { wall: Millis(wall), mono: Millis(mono) }
    }

    #[test]
    fn a_clock_that_is_put_right_ages_what_the_run_took_by_the_run_and_all_else_by_itself() {
        let mut ages = Ages::new(at(2 * YEAR, 5));
        ages.pass(at(2 * YEAR + 40 * DAY_MS, 40 * DAY_MS + 5));
        assert!(ages.is_older(Millis(2 * YEAR), 40 * DAY_MS - 1), "it was not set yet");
        assert!(!ages.is_older(Millis(2 * YEAR), 40 * DAY_MS));
        // It ran behind.
        let right = 3 * YEAR;
        ages.pass(at(right, 41 * DAY_MS + 5));
        for (dated, age) in [(0, 41), (39, 2), (41, 0)] {
            let dated = Millis(2 * YEAR + dated * DAY_MS);
            assert!(
                !ages.is_older(dated, age * DAY_MS) && (age == 0 || ages.is_older(dated, age * DAY_MS - 1))
            );
        }
        for earlier in [2 * YEAR - 1, 2 * YEAR + 42 * DAY_MS, right - 31 * DAY_MS] {
            assert!(ages.is_older(Millis(earlier), 30 * DAY_MS), "of an earlier run");
        }
        ages.pass(at(right + DAY_MS, 42 * DAY_MS + 5));
        assert!(!ages.is_older(Millis(2 * YEAR + 41 * DAY_MS), DAY_MS));
        assert!(ages.is_older(Millis(2 * YEAR + 41 * DAY_MS), DAY_MS - 1), "not for ever");
        // It is set wrongly for an hour, and put right again.
        ages.pass(at(right + YEAR, 42 * DAY_MS + 6));
        assert!(!ages.is_older(Millis(right), 2 * DAY_MS));
        ages.pass(at(right + 2 * DAY_MS, 43 * DAY_MS + 5));
        assert!(!ages.is_older(Millis(right), 2 * DAY_MS) && ages.is_older(Millis(right), 2 * DAY_MS - 1));
        assert!(!ages.is_older(Millis(right + YEAR), DAY_MS), "dated within that hour");
        ages.pass(at(right + 4 * DAY_MS, 45 * DAY_MS + 5));
        assert!(
            ages.is_older(Millis(right + YEAR), DAY_MS) && !ages.is_older(Millis(right + YEAR), 3 * DAY_MS)
        );
        assert!(!ages.is_older(Millis(right + 2 * YEAR), 0), "nothing of this run");
    }

    #[test]
    fn what_is_dated_to_the_day_is_of_the_run_that_began_on_it() {
        let mut ages = Ages::new(at(YEAR + 15_000, 0));
        ages.pass(at(3 * YEAR, 10));
        assert!(!ages.is_older(Millis(YEAR), DAY_MS));
        assert!(ages.is_older(Millis(YEAR - DAY_MS), DAY_MS));
    }
}
