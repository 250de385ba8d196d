//! How the way to the watcher does: loss, delay, and what may be sent because of it. Pure.
//!
//! The watcher says which frame it got last, how many datagrams came in all and how long it held its
//! answer; the rest is the sender's own arithmetic. A queue that fills up shows as a longer round
//! trip: then the budget goes down by a third, or to what comes through if that is less, and up again by a twentieth of the setting each second
//! that is calm. Loss without a queue may be the air's, and is answered by frames that do not need each
//! other and by repeats, within the same budget. It may also be a policer's, which drops what is above a
//! rate and queues nothing: so where loss stays the rate goes down too, by the rule of the loss-based
//! controller of Google congestion control (draft-ietf-rmcat-gcc-02, section 6), but never so low that
//! pictures would stop or be sent less often than loss demands.

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
    /// For each copy.
    least: u32,
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
    lossy: Lossy,
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
    /// All that had gone out when this was heard.
    total: u16,
    received: u16,
    /// In milliseconds; none when the answer was held for longer than it can say.
    round_trip: Option<u64>,
}

/// Frames that an answer may still come for: eight seconds at 30 a second.
const SENT_MAX: usize = 256;

/// How far back loss is looked at: quickly to notice heavy loss, slowly to judge its share.
const QUICK: Duration = Duration::from_millis(1_000);
const SLOW: Duration = Duration::from_millis(4_000);

/// Of three samples within that, the one in the middle is not kept.
const SAMPLES: Duration = Duration::from_millis(10);

/// How long it must be better before fewer copies are sent.
const CALM: Duration = Duration::from_secs(4);

/// A round trip that much longer than the shortest one is a queue, and below half of it there is none.
const QUEUE: u64 = 120;

/// What a queue leaves of the budget, at most and at least.
const QUEUE_KEPT: f32 = 0.7;
const QUEUE_LEAST: f32 = 0.35;

/// How much later than the fastest one a frame may come.
const UNDER_WAY: Duration = Duration::from_millis(20);

/// How often the budget changes, at most.
const STEP: Duration = Duration::from_secs(1);

/// Of draft-ietf-rmcat-gcc-02, section 6: loss above a tenth takes half its share off the rate, below 2 %
/// the rate grows by a twentieth, and it stays in between.
const LOSS_HIGH: f32 = 0.1;
const LOSS_LOW: f32 = 0.02;

/// How long loss is watched at one rate, and from how many datagrams on it says something.
const LOSS_SPAN: Duration = Duration::from_secs(2);
const LOSS_LEAST: u16 = 15;

/// So much of what came at the full rate must come at half of it when a policer is to blame.
const LOSS_POLICED: f32 = 0.8;

/// How long a rate that lost nothing is kept before more is tried.
const LOSS_KEPT: Duration = Duration::from_secs(10);

/// How long a way that was too narrow counts as one.
const NARROW: Duration = Duration::from_secs(10);

/// Loss that is answered by a lower rate.
#[derive(Debug, Default)]
struct Lossy {
    /// What was lost at which rate before it went down, until that is over.
    began: Option<(f32, u32)>,
    /// The rate goes down until next to nothing is lost.
    falls: bool,
    /// At half the rate as much comes through as before: it is not the air that loses.
    policed: bool,
    /// When the rate changes again at the soonest.
    next: Millis,
}

impl Path {
    /// Nothing is known; all of the budget may be used.
    ///
    /// `least` is what pictures take in their smallest form, each sent once, in bits a second.
    pub fn new(setting: u32, least: u32) -> Self {
        Self {
            setting,
            least,
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
            lossy: Lossy::default(),
        }
    }

    /// Another setting, which holds at once.
    pub fn set(&mut self, setting: u32) {
        (self.setting, self.budget) = (setting, setting);
        self.lossy = Lossy::default();
    }

    /// Bits a second that the person allows.
    pub fn setting(&self) -> u32 {
        self.setting
    }

    /// Bits a second that may be sent now.
    pub fn budget(&self) -> u32 {
        self.budget
    }

    /// How often each frame goes out. Where a queue is full, repeats would only make it longer, and
    /// where what is too much is dropped, they would be too much.
    pub fn copies(&self) -> u8 {
        if self.queueing || self.lossy.policed { 1 } else { self.copies }
    }

    /// So much is lost that frames should not need each other.
    pub fn is_rough(&self) -> bool {
        self.copies > 1
    }

    /// The way was too narrow lately: a relay may want to thin.
    pub fn is_narrow(&self, now: Now) -> bool {
        self.cut.is_some_and(|cut| now.mono.since(cut) < NARROW)
    }

    /// A frame with a picture went out in that many datagrams.
    pub fn sends(&mut self, frame: u32, datagrams: usize, now: Now) {
        self.repeats(datagrams);
        if self.sent.len() == SENT_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent { frame: frame as u16, at: now.mono, total: self.total });
    }

    /// Datagrams of a frame went out once more, or of one without a picture.
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
        let round_trip = (feedback.held < u8::MAX).then_some(round_trip);
        let sample = Sample {
            at: now.mono,
            sent: sent.total,
            total: self.total,
            received: feedback.received,
            round_trip,
        };
        // A watcher that began anew counts from 0.
        if self.samples.back().is_some_and(|last| share(last, &sample).is_none()) {
            self.samples.clear();
        }
        // Two may come at once; more of them say no more, however many a watcher sends.
        if self.samples.iter().nth_back(1).is_some_and(|before| now.mono.since(before.at) < SAMPLES) {
            self.samples.pop_back();
        }
        self.samples.push_back(sample);
        while self.samples.front().is_some_and(|sample| now.mono.since(sample.at) > SLOW) {
            self.samples.pop_front();
        }
        round_trip.inspect(|round_trip| self.shortest.add(*round_trip, now.mono));
        self.weigh_loss(now);
        self.weigh_delay(now);
        self.weigh_rate(now);
        true
    }

    /// A frame after that one must have come by now, or it is lost: an answer to it would be here. So
    /// a watcher that misses a picture which is only under way is not taken at its word.
    pub fn is_missing(&self, newest: u16, now: Now) -> bool {
        let answered = self.round_trip() + UNDER_WAY;
        let after = self.sent.iter().rev().take_while(|sent| sent.frame != newest);
        !self.is_queueing() && after.last().is_some_and(|sent| now.mono.since(sent.at) >= answered)
    }

    /// The newest round trip that is known, with what waits in queues.
    pub fn round_trip(&self) -> Duration {
        let newest = self.samples.iter().rev().find_map(|sample| sample.round_trip);
        Duration::from_millis(newest.unwrap_or_else(|| self.shortest.get()))
    }

    /// A queue is on the way, even if that was heard only once: what is sent twice makes it longer.
    pub fn is_queueing(&self) -> bool {
        let newest = self.samples.back().and_then(|sample| sample.round_trip);
        self.queueing || newest.is_some_and(|newest| newest.saturating_sub(self.shortest.get()) > QUEUE)
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
        let Some(round_trip) = lately.filter_map(|sample| sample.round_trip).min() else { return };
        let queue = round_trip.saturating_sub(self.shortest.get());
        let queued = self.queueing;
        self.queueing = queue > QUEUE || queued && queue > QUEUE / 2;
        if queued && !self.queueing {
            // What was lost meanwhile found the queue full, and says nothing of the way without it.
            self.samples.drain(..self.samples.len() - 1);
            (self.copies, self.calm, self.lossy) = (1, None, Lossy::default());
        }
        if now.mono < self.settled {
            return;
        }
        if queue > QUEUE {
            let kept =
                (self.budget as f32 * QUEUE_KEPT.min(0.85 * self.through(now)).max(QUEUE_LEAST)) as u32;
            self.budget = kept.max(BUDGET_MIN).min(self.setting);
            self.cut = Some(now.mono);
            // What stands in the queue must drain before the next look.
            self.settled = now.mono.plus(STEP + Duration::from_millis(queue));
        } else if queue <= QUEUE / 2 && self.budget < self.setting && self.lossy.began.is_none() {
            self.budget = (self.budget + (self.setting / 20).max(250)).min(self.setting);
            self.settled = now.mono.plus(STEP);
        }
    }

    /// Lowers the rate while much is lost at it, whatever the delay, and tries more carefully after that.
    fn weigh_rate(&mut self, now: Now) {
        if self.queueing || now.mono < self.lossy.next {
            return;
        }
        let Some(loss) = self.loss(LOSS_SPAN, LOSS_LEAST, now) else { return };
        if self.lossy.began.is_none() && loss <= LOSS_HIGH {
            return;
        }
        let (first, rate) = *self.lossy.began.get_or_insert((loss, self.budget));
        let came = |loss: f32, rate: u32| (1.0 - loss) * rate as f32;
        let halved = self.budget <= rate / 2;
        self.lossy.policed |= halved && came(loss, self.budget) > LOSS_POLICED * came(first, rate);
        let least = (self.least * u32::from(self.copies())).max(BUDGET_MIN).min(self.setting);
        let (budget, after) = match () {
            // It does not help, and is bearable: the air's.
            () if loss > LOSS_LOW && loss <= LOSS_HIGH && self.budget <= least => {
                self.lossy = Lossy::default();
                return;
            }
            () if loss > LOSS_LOW => {
                self.lossy.falls = true;
                let less = (self.budget as f32 * (1.0 - 0.5 * loss)) as u32;
                (less.clamp(least.min(self.budget), self.budget), LOSS_SPAN)
            }
            () if self.lossy.falls => {
                self.lossy.falls = false;
                (self.budget, LOSS_KEPT)
            }
            () => ((self.budget + self.budget / 20).min(self.setting), LOSS_SPAN),
        };
        (self.budget, self.lossy.next) = (budget, now.mono.plus(after));
        if budget == self.setting && loss <= LOSS_LOW {
            self.lossy = Lossy::default();
        }
    }

    /// How much came of what went out in the last second: where a queue grows, what the way takes.
    fn through(&self, now: Now) -> f32 {
        let mut lately = self.samples.iter().filter(|sample| now.mono.since(sample.at) <= STEP);
        let (Some(first), Some(last)) = (lately.next(), lately.next_back()) else { return 1.0 };
        let (sent, came) = (last.total.wrapping_sub(first.total), last.received.wrapping_sub(first.received));
        f32::from(came) / f32::from(sent.max(1))
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

    /// What the tests' pictures take at the least.
    const LEAST: u32 = 4_800;

    /// Ten frames a second for some seconds over a way with that loss (each so-manieth datagram) and
    /// delay.
    struct Way {
        path: Path,
        frame: u32,
        received: u16,
    }

    impl Way {
        fn new(setting: u32) -> Self {
            Self { path: Path::new(setting, LEAST), frame: 0, received: 0 }
        }

        fn runs(&mut self, seconds: u32, mut lost: impl FnMut(u32) -> bool, round_trip: u64) {
            for _ in 0..seconds * 10 {
                let now = u64::from(self.frame) * 100;
                self.path.sends(self.frame, 1, at(now));
                if !lost(self.frame) {
                    self.received = self.received.wrapping_add(1);
                    let feedback = Feedback {
                        newest: self.frame as u16,
                        received: self.received,
                        held: 0,
                        reference: None,
                        needs: false,
                        late: false,
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
        way.runs(40, |_| false, 40);
        assert_eq!(way.path.budget(), 32_000);
        way.runs(20, |frame| frame % 20 == 7, 40);
        assert_eq!(way.path.budget(), 32_000, "a little loss costs no budget");
    }

    #[test]
    fn much_loss_lowers_the_budget_but_not_below_what_pictures_take() {
        let mut way = Way::new(32_000);
        way.runs(5, |_| false, 40);
        way.runs(6, |frame| frame % 5 == 2, 40);
        let soon = way.path.budget();
        assert!((20_000..32_000).contains(&soon), "{soon}: moderately");
        way.runs(60, |frame| frame % 5 < 2, 40);
        assert_eq!(way.path.copies(), 3, "half the rate does not bring more through: the air's");
        assert_eq!(way.path.budget(), 3 * LEAST);
        way.runs(60, |frame| frame % 20 == 7, 40);
        assert_eq!(way.path.budget(), 32_000, "what little loss lowering does not cure costs none");
        let mut small = Way::new(8_000);
        small.runs(60, |frame| frame % 5 < 2, 40);
        assert_eq!(small.path.budget(), 8_000);
    }

    #[test]
    fn a_policer_that_queues_nothing_is_obeyed() {
        for rate in [8_000, 16_000, 24_000] {
            let mut way = Way::new(32_000);
            let mut share = 0.0;
            let mut highest = 0;
            for second in 0..120 {
                let budget = way.path.budget() as f32;
                let through = (rate as f32 / budget).min(1.0);
                way.runs(
                    1,
                    |_| {
                        share += through;
                        let lost = share < 1.0;
                        share -= f32::from(u8::from(!lost));
                        lost
                    },
                    40,
                );
                if second >= 40 {
                    highest = highest.max(way.path.budget());
                }
            }
            assert!(highest <= rate + rate / 8, "{highest} past {rate}");
            assert!(highest >= rate / 2, "{highest} of {rate}");
            assert_eq!(way.path.copies(), 1, "no repeats to a policer of {rate}");
        }
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
        let mut path = Path::new(32_000, LEAST);
        let feedback =
            Feedback { newest: 7, received: 0, held: 255, reference: None, needs: false, late: false };
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
        path.sends(1_000, 1, at(100_000));
        for i in 0..20_000 {
            path.heard(&Feedback { newest: 1_000, received: 60_000, ..feedback }, at(100_000 + i / 5));
        }
        assert!((300..=450).contains(&path.samples.len()), "{}", path.samples.len());
    }
}
