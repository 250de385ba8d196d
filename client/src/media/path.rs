//! How the way to the watcher does: loss, delay, and what may be sent because of it. Pure.
//!
//! The watcher says which frame it got last, how many datagrams came in all and how long it held its
//! answer; the rest is the sender's own arithmetic. A queue that fills up shows as a longer round
//! trip: then the budget goes down by a third, and up again by a twentieth of the setting each second
//! that is calm. Loss without a queue is the air's, and less would be lost of less just the same: it
//! is answered by frames that do not need each other and by repeats, within the same budget.

use super::feedback::{Feedback, HELD_UNIT};
use std::collections::VecDeque;
use std::time::Duration;
use subrosa_shared::time::{Millis, Now};

/// The least that a picture is sent with, in bits a second.
pub const BUDGET_MIN: u32 = 2_000;

/// What is known of the way, and what follows from it.
#[derive(Debug)]
pub(super) struct Path {
    /// Bits a second that the person allows, and those that the way takes.
    setting: u32,
    budget: u32,
    /// Frames that went out lately, and datagrams in all; wraps.
    sent: VecDeque<Sent>,
    total: u16,
    /// What the watcher said of them.
    samples: VecDeque<Sample>,
    /// Each frame goes out that often when nothing but loss is wrong.
    copies: u8,
    /// Since when fewer copies would do.
    calm: Option<Millis>,
    shortest: Shortest,
    /// The budget stays until then.
    settled: Millis,
    queueing: bool,
    /// When the budget last went down.
    cut: Option<Millis>,
}

#[derive(Debug)]
struct Sent {
    frame: u16,
    at: Millis,
    total: u16,
}

#[derive(Debug)]
struct Sample {
    at: Millis,
    sent: u16,
    received: u16,
    /// In milliseconds.
    round_trip: u64,
}

/// Frames that an answer may still come for: eight seconds at 30 a second.
const SENT_MAX: usize = 256;

/// How far back loss is looked at: quickly to notice heavy loss, slowly to judge its share.
const QUICK: Duration = Duration::from_millis(1_000);
const SLOW: Duration = Duration::from_millis(4_000);

/// How long it must be better before fewer copies are sent.
const CALM: Duration = Duration::from_secs(4);

/// A round trip that much longer than the shortest one is a queue, and below half of it there is none.
const QUEUE: u64 = 120;

/// How often the budget changes, at most.
const STEP: Duration = Duration::from_secs(1);

/// How long a way that was too narrow counts as one.
const NARROW: Duration = Duration::from_secs(10);

impl Path {
    /// Nothing is known; all of the budget may be used.
    pub fn new(setting: u32) -> Self {
        Self {
            setting,
            budget: setting,
            sent: VecDeque::new(),
            total: 0,
            samples: VecDeque::new(),
            copies: 1,
            calm: None,
            shortest: Shortest::default(),
            settled: Millis(0),
            queueing: false,
            cut: None,
        }
    }

    /// Another setting, which holds at once.
    pub fn set(&mut self, setting: u32) {
        (self.setting, self.budget) = (setting, setting);
    }

    /// Bits a second that may be sent now.
    pub fn budget(&self) -> u32 {
        self.budget
    }

    /// How often each frame goes out. Where a queue is full, repeats would only make it longer.
    pub fn copies(&self) -> u8 {
        if self.queueing { 1 } else { self.copies }
    }

    /// So much is lost that frames should not need each other.
    pub fn is_rough(&self) -> bool {
        self.copies > 1
    }

    /// The way was too narrow lately: a relay may want to thin.
    pub fn is_narrow(&self, now: Now) -> bool {
        self.cut.is_some_and(|cut| now.mono.since(cut) < NARROW)
    }

    /// A frame went out in that many datagrams.
    pub fn sends(&mut self, frame: u32, datagrams: usize, now: Now) {
        self.repeats(datagrams);
        if self.sent.len() == SENT_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent { frame: frame as u16, at: now.mono, total: self.total });
    }

    /// Datagrams of a frame went out once more.
    pub fn repeats(&mut self, datagrams: usize) {
        self.total = self.total.wrapping_add(datagrams as u16);
    }

    /// The watcher said something; false when it is about a frame that never went out.
    pub fn heard(&mut self, feedback: &Feedback, now: Now) -> bool {
        let Some(sent) = self.sent.iter().rev().find(|sent| sent.frame == feedback.newest) else {
            return false;
        };
        let held = u64::from(feedback.held) * HELD_UNIT;
        let round_trip = (now.mono.since(sent.at).as_millis() as u64).saturating_sub(held);
        let sample = Sample { at: now.mono, sent: sent.total, received: feedback.received, round_trip };
        // A watcher that began anew counts from 0.
        if self.samples.back().is_some_and(|last| share(last, &sample).is_none()) {
            self.samples.clear();
        }
        self.samples.push_back(sample);
        while self.samples.front().is_some_and(|sample| now.mono.since(sample.at) > SLOW) {
            self.samples.pop_front();
        }
        self.shortest.add(round_trip, now.mono);
        self.weigh_loss(now);
        self.weigh_delay(now);
        true
    }

    /// Another track: what was sent and heard before says nothing of it.
    pub fn begin_anew(&mut self) {
        self.sent.clear();
        self.samples.clear();
    }

    fn weigh_loss(&mut self, now: Now) {
        let quick = self.loss(QUICK, 8, now).unwrap_or(0.0);
        let Some(slow) = self.loss(SLOW, 20, now) else {
            if quick >= 0.25 {
                self.copies = self.copies.max(2);
            }
            return;
        };
        let wanted = match () {
            () if quick >= 0.5 || slow >= 0.28 => 3,
            () if quick >= 0.25 || slow >= 0.12 => 2,
            () => 1,
        };
        if wanted > self.copies {
            (self.copies, self.calm) = (wanted, None);
        }
        // Back later, and not at the threshold.
        let better = match self.copies {
            3 => slow < 0.2,
            2 => slow < 0.05,
            _ => false,
        };
        match self.calm {
            Some(since) if better && now.mono.since(since) >= CALM => {
                (self.copies, self.calm) = (self.copies - 1, None);
            }
            Some(_) if better => {}
            _ => self.calm = better.then_some(now.mono),
        }
    }

    fn weigh_delay(&mut self, now: Now) {
        let lately = self.samples.iter().filter(|sample| now.mono.since(sample.at) <= STEP);
        let Some(round_trip) = lately.map(|sample| sample.round_trip).min() else { return };
        let queue = round_trip.saturating_sub(self.shortest.get());
        self.queueing = queue > QUEUE || self.queueing && queue > QUEUE / 2;
        if now.mono < self.settled {
            return;
        }
        if queue > QUEUE {
            self.budget = (self.budget / 10 * 7).max(BUDGET_MIN.min(self.setting));
            self.cut = Some(now.mono);
            // What stands in the queue must drain before the next look.
            self.settled = now.mono.plus(STEP + Duration::from_millis(queue));
        } else if queue <= QUEUE / 2 && self.budget < self.setting {
            self.budget = (self.budget + (self.setting / 20).max(250)).min(self.setting);
            self.settled = now.mono.plus(STEP);
        }
    }

    /// The share of datagrams that was lost, when that many went out at least.
    fn loss(&self, span: Duration, least: u16, now: Now) -> Option<f32> {
        let last = self.samples.back()?;
        let first = self.samples.iter().find(|sample| now.mono.since(sample.at) <= span)?;
        (last.sent.wrapping_sub(first.sent) >= least).then(|| share(first, last))?
    }
}

/// What was lost between two samples; `None` when more came than can be.
fn share(first: &Sample, last: &Sample) -> Option<f32> {
    let (sent, came) = (last.sent.wrapping_sub(first.sent), last.received.wrapping_sub(first.received));
    // The network may double a few, and the frame's own repeats come after it is counted.
    (came <= sent.saturating_add(64)).then(|| 1.0 - (f32::from(came) / f32::from(sent.max(1))).min(1.0))
}

/// The shortest round trip of the last 30 to 60 seconds.
#[derive(Debug, Default)]
struct Shortest {
    since: Millis,
    now: Option<u64>,
    before: Option<u64>,
}

impl Shortest {
    fn add(&mut self, round_trip: u64, at: Millis) {
        if at.since(self.since) >= Duration::from_secs(30) {
            (self.since, self.before) = (at, self.now.take());
        }
        self.now = Some(self.now.map_or(round_trip, |shortest| shortest.min(round_trip)));
    }

    fn get(&self) -> u64 {
        self.now.into_iter().chain(self.before).min().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now { wall: Millis(0), mono: Millis(ms) }
    }

    /// Ten frames a second for some seconds over a way with that loss (each so-manieth datagram) and
    /// delay.
    struct Way {
        path: Path,
        frame: u32,
        received: u16,
    }

    impl Way {
        fn new(setting: u32) -> Self {
            Self { path: Path::new(setting), frame: 0, received: 0 }
        }

        fn runs(&mut self, seconds: u32, lost: impl Fn(u32) -> bool, round_trip: u64) {
            for _ in 0..seconds * 10 {
                let now = u64::from(self.frame) * 100;
                self.path.sends(self.frame, 1, at(now));
                if !lost(self.frame) {
                    self.received = self.received.wrapping_add(1);
                    let feedback = Feedback {
                        newest: self.frame as u16,
                        received: self.received,
                        held: 0,
                        golden: None,
                        needs: false,
                    };
                    assert!(self.path.heard(&feedback, at(now + round_trip)));
                }
                self.frame += 1;
            }
        }
    }

    #[test]
    fn copies_follow_loss_up_at_once_and_down_later() {
        let mut way = Way::new(32_000);
        way.runs(10, |frame| frame % 20 == 7, 40);
        assert!(!way.path.is_rough(), "5 % is not rough");
        way.runs(3, |frame| frame % 5 == 2, 40);
        assert_eq!(way.path.copies(), 2);
        way.runs(3, |frame| frame % 5 < 2, 40);
        assert_eq!(way.path.copies(), 3);
        way.runs(3, |_| false, 40);
        assert!(way.path.is_rough(), "a calm second is not enough");
        way.runs(12, |_| false, 40);
        assert!(!way.path.is_rough());
        assert_eq!(way.path.budget(), 32_000, "the air's loss costs no budget");
    }

    #[test]
    fn a_queue_halves_the_budget_and_calm_brings_it_back_slowly() {
        let mut way = Way::new(32_000);
        way.runs(3, |_| false, 40);
        way.runs(4, |_| false, 400);
        let low = way.path.budget();
        assert!((8_000..24_000).contains(&low), "{low}");
        assert!(way.path.is_narrow(at(u64::from(way.frame) * 100)));
        way.runs(20, |_| false, 900);
        assert_eq!(way.path.budget(), BUDGET_MIN, "never below");
        way.runs(4, |_| false, 40);
        let soon = way.path.budget();
        assert!(soon < 12_000, "{soon} after four seconds");
        way.runs(30, |_| false, 40);
        assert_eq!(way.path.budget(), 32_000);
    }

    #[test]
    fn no_repeats_into_a_queue() {
        let mut way = Way::new(32_000);
        way.runs(3, |_| false, 40);
        way.runs(4, |frame| frame % 3 == 0, 500);
        assert!(way.path.is_rough());
        assert_eq!(way.path.copies(), 1);
    }

    #[test]
    fn strange_feedback_changes_nothing() {
        let mut path = Path::new(32_000);
        let feedback = Feedback { newest: 7, received: 0, held: 255, golden: None, needs: false };
        assert!(!path.heard(&feedback, at(5)), "no such frame");
        for frame in 0..1000 {
            path.sends(frame, 1, at(u64::from(frame) * 100));
        }
        assert_eq!(path.sent.len(), SENT_MAX);
        for received in (0..60_000).step_by(4_001) {
            path.heard(&Feedback { newest: 999, received, ..feedback }, at(100_000));
        }
        assert!(!path.is_rough() && path.budget() == 32_000);
        assert!(path.samples.len() < 100);
    }
}
