//! How often a peer is told that a session of theirs is unknown here, and how often it is heeded that they say so.
//!
//! Anybody on the way can make up bytes that look like a message of an unknown session, so answers
//! are few; but none is left out, because a text that was acknowledged and not opened comes again
//! only for an answer. What may not go out yet is owed, and several that are owed become one. So it is with what
//! they say: each word of it costs a session, a bundle and all that has no receipt, and the last one counts.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;
use subrosa_shared::id::SessionId;
use subrosa_shared::session::UNREADABLE_START;
use subrosa_shared::time::Millis;

/// What one peer was told, and is to be told.
#[derive(Default)]
pub(super) struct Resets {
    /// Hashes of the messages that did not open: a replay asks for nothing.
    seen: HashSet<[u8; 16]>,
    owed: Option<SessionId>,
    /// The last answers, at most [`BURST`].
    answered: VecDeque<(Millis, SessionId)>,
    /// The last answer that named no session.
    blank: Option<Millis>,
}

impl Resets {
    /// That session is unknown here, by this sign. Each sign is heard once.
    pub(super) fn unknown(&mut self, session: SessionId, sign: [u8; 16]) {
        if self.seen.len() >= SEEN_MAX {
            self.seen.clear();
        }
        if self.seen.insert(sign) {
            owe(&mut self.owed, session);
        }
    }

    /// The session that is to be named.
    pub(super) fn owed(&self) -> Option<SessionId> {
        self.owed
    }

    /// When the next answer may go out, if one is owed.
    pub(super) fn due(&self) -> Option<Millis> {
        let owed = self.owed?;
        let oldest = self.answered.front().filter(|_| self.answered.len() >= BURST);
        let burst = oldest.map(|(at, _)| at.plus(EVERY * BURST as u32));
        let blank = self.blank.filter(|_| owed == UNREADABLE_START).map(|at| at.plus(EVERY));
        // The answer may have been lost: what goes on coming in that session is answered again.
        let same = self.answered.iter().rev().find(|(_, session)| *session == owed);
        let again = same.map(|(at, _)| at.plus(EVERY));
        Some(burst.max(blank).max(again).unwrap_or_default())
    }

    /// The session that an answer may name now.
    pub(super) fn take(&mut self, mono: Millis) -> Option<SessionId> {
        self.due().filter(|due| *due <= mono)?;
        if self.answered.len() >= BURST {
            self.answered.pop_front();
        }
        let session = self.owed.take()?;
        self.answered.push_back((mono, session));
        if session == UNREADABLE_START {
            self.blank = Some(mono);
        }
        Some(session)
    }
}

/// What one peer says that it cannot open.
#[derive(Default)]
pub(super) struct Heard {
    owed: Option<SessionId>,
    /// Until when those that were heeded would have lasted, one in [`EVERY`] (monotonic).
    spent: Millis,
}

impl Heard {
    /// That session of ours is unknown there.
    pub(super) fn unknown(&mut self, session: SessionId) {
        owe(&mut self.owed, session);
    }

    /// The session that is not heeded yet.
    pub(super) fn owed(&self) -> Option<SessionId> {
        self.owed
    }

    /// When the next one may be heeded, if there is one.
    pub(super) fn due(&self) -> Option<Millis> {
        let ahead = EVERY * (BURST as u32 - 1);
        self.owed.map(|_| Millis(self.spent.0.saturating_sub(ahead.as_millis() as u64)))
    }

    /// The session that is heeded now.
    pub(super) fn take(&mut self, mono: Millis) -> Option<SessionId> {
        self.due().filter(|due| *due <= mono)?;
        self.spent = self.spent.max(mono).plus(EVERY);
        self.owed.take()
    }
}

/// Owes one more; of several no single one is named.
fn owe(owed: &mut Option<SessionId>, session: SessionId) {
    let other = owed.is_some_and(|owed| owed != session);
    *owed = Some(if other { UNREADABLE_START } else { session });
}

/// In the long run there is one answer in this time.
const EVERY: Duration = Duration::from_secs(30);
/// Those that may follow each other without a pause: a peer may have a few sessions under way.
const BURST: usize = 4;
/// Signs that are remembered; past this the memory starts anew.
const SEEN_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: u8) -> SessionId {
        SessionId([number; 16])
    }

    #[test]
    fn made_up_sessions_are_answered_a_few_at_once_and_then_seldom_but_never_left_out() {
        let mut resets = Resets::default();
        let mut answers = 0;
        for second in 0..600u64 {
            for k in 0..10u8 {
                let mut made_up = [k; 16];
                made_up[..8].copy_from_slice(&second.to_be_bytes());
                resets.unknown(SessionId(made_up), made_up);
                answers += usize::from(resets.take(Millis(second * 1000)).is_some());
            }
        }
        assert!((20..=24).contains(&answers), "{answers} answers to 6,000 in ten minutes");
        let due = resets.due().expect("the last ones are owed still");
        assert_eq!(resets.take(due), Some(UNREADABLE_START), "many that are owed become one");
        assert_eq!(resets.due(), None);
    }

    #[test]
    fn a_second_unreadable_start_is_answered_later_and_a_replay_of_it_is_not() {
        let mut resets = Resets::default();
        resets.unknown(UNREADABLE_START, [1; 16]);
        assert_eq!(resets.take(Millis(0)), Some(UNREADABLE_START));
        resets.unknown(UNREADABLE_START, [1; 16]);
        assert_eq!(resets.due(), None, "the same bytes again");
        resets.unknown(UNREADABLE_START, [2; 16]);
        assert_eq!(resets.take(Millis(29_999)), None);
        assert_eq!(resets.due(), Some(Millis(30_000)));
        assert_eq!(resets.take(Millis(30_000)), Some(UNREADABLE_START));
    }

    #[test]
    fn a_session_whose_answer_was_lost_is_answered_again_later() {
        let mut resets = Resets::default();
        resets.unknown(session(1), [1; 16]);
        assert_eq!(resets.take(Millis(0)), Some(session(1)));
        resets.unknown(session(1), [2; 16]);
        assert_eq!(resets.take(Millis(29_999)), None);
        assert_eq!(resets.take(Millis(30_000)), Some(session(1)));
    }

    #[test]
    fn a_peer_that_says_all_the_time_what_it_cannot_open_is_heeded_a_few_times_and_then_seldom() {
        let mut heard = Heard::default();
        let mut heeded = Vec::new();
        for second in 0..600u64 {
            for k in 0..10 {
                heard.unknown(session(k));
                heeded.extend(heard.take(Millis(second * 1000)).map(|_| second));
            }
        }
        assert_eq!(heeded[..6], [0, 0, 0, 0, 30, 60]);
        assert_eq!(heeded.len(), 23, "one in thirty seconds");
        let due = heard.due().expect("the last ones are owed still");
        assert_eq!(heard.take(due), Some(UNREADABLE_START), "many that are owed become one");
        assert_eq!(heard.due(), None);
    }

    #[test]
    fn each_session_is_answered_once_by_its_name() {
        let mut resets = Resets::default();
        for number in [1, 2, 1, 2, 3] {
            resets.unknown(session(number), [number; 16]);
            let answer = resets.take(Millis(number.into()));
            assert!(answer.is_none_or(|answer| answer == session(number)));
        }
        assert_eq!(resets.answered.len(), 3);
    }
}
