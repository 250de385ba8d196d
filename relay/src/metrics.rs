//! What is counted, so that a drop is never silent.

use crate::connection::{REASONS, code};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use subrosa_shared::protocol::frame::Refusal;

/// The sentence above each variant is also what a monitoring system shows for it.
macro_rules! counts {
    ($($(#[doc = $doc:literal])+ $variant:ident => $name:literal,)*) => {
        /// Something that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Count { $($(#[doc = $doc])+ $variant,)* }

        const NAMES: [&str; [$(Count::$variant),*].len()] = [$($name),*];
        const SENTENCES: [&str; NAMES.len()] = [$(concat!($($doc),+)),*];
    };
}

counts! {
    /// Connections that came in.
    Connections => "connections",
    /// Connections turned away before a handshake: too many in all or from one network.
    TurnedAway => "turned_away",
    /// Handshakes that held, encryption and the first stream.
    Handshakes => "handshakes",
    /// Handshakes that failed or took too long.
    HandshakesFailed => "handshakes_failed",
    /// Retries sent: whoever begins a handshake proves its address first.
    Retries => "retries",
    /// Datagrams dropped unread: no handshake of ours, or too many of them.
    Dropped => "datagrams_dropped",
    /// Handshakes not taken on at once: too many in all or from one network.
    HeldBack => "handshakes_held_back",
    /// Logins that held.
    Logins => "logins",
    /// Names taken.
    Registrations => "registrations",
    /// Envelopes put into mailboxes.
    Accepted => "accepted",
    /// Envelopes that were there already.
    Repeats => "repeats",
    /// Envelopes and questions refused.
    Refused => "refused",
    /// Envelopes handed to a device, repeats after a reconnection included.
    Delivered => "delivered",
    /// Envelopes that nobody fetched in time.
    Expired => "expired",
    /// Room heads moved.
    HeadsMoved => "heads_moved",
    /// Moves refused because another was first.
    HeadsOutdated => "heads_outdated",
    /// Moves refused because of a wrong key.
    HeadsWrongKey => "heads_wrong_key",
    /// Room heads dropped that nobody moved for a year.
    HeadsExpired => "heads_expired",
    /// Knocks at the doors of rooms.
    Knocks => "knocks",
    /// Knocks refused: too many, or too many guesses there.
    KnocksRefused => "knocks_refused",
    /// Answers that let a room's password be tried.
    DoorGuesses => "door_guesses",
    /// Accounts refused for want of an invitation that holds.
    InvitesRefused => "invites_refused",
    /// Bytes of frames that came in.
    FrameBytesIn => "frame_bytes_in",
    /// Bytes of frames that went out.
    FrameBytesOut => "frame_bytes_out",
    /// Connections closed for what they sent or for not logging in.
    Closed => "closed",
    /// Connections closed because they did not read.
    Slow => "slow",
    /// Media datagrams that came in.
    Media => "media",
    /// Media datagrams handed on, one for each watcher.
    MediaOut => "media_out",
    /// Bytes of media datagrams that came in.
    MediaBytesIn => "media_bytes_in",
    /// Bytes of media datagrams handed on, once for each watcher.
    MediaBytesOut => "media_bytes_out",
    /// Media datagrams that were malformed or not of an own track.
    MediaBad => "media_bad",
    /// Media datagrams above a publisher's rate.
    MediaTooFast => "media_too_fast",
    /// Media datagrams dropped because a watcher's queue was full.
    MediaBehind => "media_behind",
    /// Password logins begun: the relay answered KE1.
    PasswordTries => "password_tries",
    /// Password logins that held.
    PasswordLogins => "password_logins",
    /// Password logins refused because one name was tried too often.
    PasswordLimitedName => "password_limited_name",
    /// Password logins refused because one network tried too often.
    PasswordLimitedNetwork => "password_limited_network",
    /// Password logins refused because all together tried too often.
    PasswordLimitedAll => "password_limited_all",
    /// Passwords set or changed.
    PasswordsSet => "passwords_set",
    /// Files begun.
    FilesBegun => "files_begun",
    /// Files of which all is here.
    FilesStored => "files_stored",
    /// Questions about files refused.
    FilesRefused => "files_refused",
    /// Files deleted by who began them.
    FilesDeleted => "files_deleted",
    /// Files whose time was over.
    FilesExpired => "files_expired",
    /// Files that were never completed, dropped.
    FilesHalf => "files_half",
    /// Bytes of files that came in.
    FileBytesUp => "file_bytes_up",
    /// Bytes of files that went out.
    FileBytesDown => "file_bytes_down",
}

/// The counters; cheap to share and to count.
pub struct Metrics {
    counts: [AtomicU64; NAMES.len()],
    /// What was refused, and connections that were closed, by reason.
    refused: [AtomicU64; REASONS.len()],
    closed: [AtomicU64; REASONS.len()],
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; NAMES.len()],
            refused: [const { AtomicU64::new(0) }; REASONS.len()],
            closed: [const { AtomicU64::new(0) }; REASONS.len()],
        }
    }
}

impl Metrics {
    /// One more.
    pub fn count(&self, what: Count) {
        self.add(what, 1);
    }

    /// So many more.
    pub fn add(&self, what: Count, by: u64) {
        self.counts[what as usize].fetch_add(by, Relaxed);
    }

    /// How many so far.
    pub fn get(&self, what: Count) -> u64 {
        self.counts[what as usize].load(Relaxed)
    }

    /// An envelope or a question refused.
    pub fn refuse(&self, why: Refusal) {
        self.count(Count::Refused);
        count_reason(&self.refused, why);
    }

    /// A connection closed.
    pub fn close(&self, why: Refusal) {
        self.count(Count::Closed);
        count_reason(&self.closed, why);
    }

    /// All counts: name, what it counts, how many so far.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let counts = NAMES.iter().zip(SENTENCES).zip(&self.counts);
        counts.map(|((name, sentence), count)| (*name, sentence.trim(), count.load(Relaxed)))
    }

    /// What was refused, by reason.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REASONS.into_iter().zip(self.refused.iter().map(|count| count.load(Relaxed)))
    }

    /// Connections that were closed, by reason.
    pub fn closings(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REASONS.into_iter().zip(self.closed.iter().map(|count| count.load(Relaxed)))
    }
}

fn count_reason(counts: &[AtomicU64; REASONS.len()], why: Refusal) {
    let at = u64::from(code(why)) as usize;
    // Codes begin with one; a code without a name is counted nowhere rather than as another.
    if let Some(count) = at.checked_sub(1).and_then(|at| counts.get(at)) {
        count.fetch_add(1, Relaxed);
    }
}

/// How long something took, in steps that grow.
#[derive(Default)]
pub struct Histogram {
    /// Those up to each of [`Histogram::STEPS`], and those above the last.
    steps: [AtomicU64; Histogram::STEPS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    /// Upper ends of the steps, in microseconds: half a millisecond to two seconds and a half.
    pub const STEPS: [u64; 12] =
        [500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000];

    /// One more.
    pub fn add(&self, took: Duration) {
        let micros = took.as_micros() as u64;
        let at = Self::STEPS.partition_point(|step| *step < micros);
        self.steps[at].fetch_add(1, Relaxed);
        self.micros.fetch_add(micros, Relaxed);
    }

    /// How many took at most as long as each step, and at the end all; and the sum of them, in
    /// microseconds.
    pub fn read(&self) -> ([u64; Histogram::STEPS.len() + 1], u64) {
        let mut sum = 0;
        let up_to = std::array::from_fn(|at| {
            sum += self.steps[at].load(Relaxed);
            sum
        });
        (up_to, self.micros.load(Relaxed))
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in NAMES.iter().zip(&self.counts).enumerate() {
            let gap = if i == 0 { "" } else { " " };
            write!(f, "{gap}{name}={}", value.load(Relaxed))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metrics({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_in_every_step_that_it_fits() {
        let histogram = Histogram::default();
        for micros in [1, 500, 501, 3_000_000] {
            histogram.add(Duration::from_micros(micros));
        }
        let (up_to, sum) = histogram.read();
        assert_eq!(up_to[..2], [2, 3]);
        assert_eq!(up_to[11..], [3, 4], "what is longer than all steps is only in the last");
        assert_eq!(sum, 3_001_002);
    }

    #[test]
    fn each_reason_has_a_count_of_its_own() {
        let metrics = Metrics::default();
        metrics.refuse(Refusal::NameTaken);
        metrics.refuse(Refusal::Ended);
        metrics.close(Refusal::RateLimited { retry_ms: 1 });
        let some = |counts: Vec<(&'static str, u64)>| -> Vec<_> {
            counts.into_iter().filter(|(_, count)| *count > 0).map(|(reason, _)| reason).collect()
        };
        assert_eq!(some(metrics.refusals().collect()), ["name_taken", "ended"]);
        assert_eq!(some(metrics.closings().collect()), ["rate_limited"]);
        assert_eq!(metrics.get(Count::Refused), 2);
    }
}
