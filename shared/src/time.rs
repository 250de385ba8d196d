//! Time as an argument.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What the clock said when an event came in. Cores never ask for the time themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Wall clock: dates, expiry, what a person sees. May jump.
    pub wall: Millis,
    /// Monotonic since an arbitrary start: time-outs and rates. Never goes back.
    pub mono: Millis,
}

/// Milliseconds: since the Unix epoch on the wall clock, since some start on the monotonic one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Millis(pub u64);

impl Millis {
    /// This moment and `span` more, saturating.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.as_millis() as u64))
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}
