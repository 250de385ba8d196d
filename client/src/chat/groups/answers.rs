//! How much is sent to a device that asks again and again.

use std::collections::HashMap;
use std::time::Duration;
use subrosa_shared::id::DeviceId;
use subrosa_shared::time::{Millis, Now};

/// How often devices were answered lately.
#[derive(Debug, Default)]
pub(super) struct Answers(HashMap<(Wanted, DeviceId), (Millis, u8)>);

/// What a device wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wanted {
    /// What comes after its log.
    Entries,
    /// What was said before it knew of the room.
    Lines,
}

impl Answers {
    /// Whether a member's device is answered once more.
    pub(super) fn another(&mut self, wanted: Wanted, device: DeviceId, now: Now) -> bool {
        self.0.retain(|(wanted, _), (first, _)| now.mono.since(*first) < wanted.span());
        let (_, given) = self.0.entry((wanted, device)).or_insert((now.mono, 0));
        let more = *given < ANSWERS_MAX;
        *given += u8::from(more);
        more
    }
}

impl Wanted {
    fn span(self) -> Duration {
        match self {
            Self::Entries => ENTRIES_IN,
            Self::Lines => LINES_IN,
        }
    }
}

/// Answers of a kind to one device within its time: more than a client needs whose connection breaks.
const ANSWERS_MAX: u8 = 4;
/// The time for those with the log. Who misses something asks after three seconds, and then ever more seldom.
const ENTRIES_IN: Duration = Duration::from_secs(10);
/// The time for those with all unreceipted lines: they are many, and asked for when somebody comes in.
const LINES_IN: Duration = Duration::from_secs(3600);
