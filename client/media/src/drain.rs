//! How fast the terminal swallows bytes, and how many a picture may put in its way: pure.
//!
//! Over ssh kernels and programs on the way hold kilobytes that nobody sees on the screen yet, so
//! that a write that did not block says little. What says more is a question that the terminal
//! answers (DSR, [`ASK`]): its answer comes when everything before it was read. A question before a
//! picture and one behind it measure the time that the picture itself took, whatever the way back.
//!
//! A picture gets what the terminal takes within [`BURST`], and the next one only when that was
//! answered: so a key that is typed meanwhile waits for no more than that.

use std::collections::VecDeque;
use std::time::Duration;
use subrosa_shared::time::{Millis, Now};

/// The question: is the terminal well (DSR 5)? The answer is `CSI 0 n`.
pub const ASK: &[u8] = b"\x1b[5n";
/// What may stand before a typed key, as time that the terminal needs for it.
pub const BURST: Duration = Duration::from_millis(30);

/// Of what the terminal takes, the share that pictures use; the rest is for text.
const SHARE: f64 = 0.85;
/// What is assumed of a terminal before anything is known: 64 kbit/s.
const START: f64 = 8_000.0;
/// Never assumed to be slower, in bytes a second.
const SLOWEST: f64 = 40.0;
/// The most at once, however fast the terminal: a line may become slow in a moment.
const MOST: f64 = 12_288.0;
/// Fewer bytes than this are not worth their cursor moves.
const LEAST: f64 = 48.0;
/// Pictures shorter than this say nothing about the rate.
const TELLING: u64 = 64;
/// A terminal that seems slow may have been so for a moment only: so often it gets a piece from which more can
/// be told than from what it would get else, and so many bytes of it.
const PROBE: (Duration, f64) = (Duration::from_secs(2), 192.0);
/// Differences in time that mean nothing: how exactly clocks, schedulers and networks tell it.
const JITTER: f64 = 0.004;
/// A terminal that answers nothing for so long does not know the question.
const DEAF: Duration = Duration::from_secs(2);
/// One that did answer before is given more time: the line may have been cut.
const LOST: Duration = Duration::from_secs(10);
/// How long a shortest round trip counts.
const ROUTE: Duration = Duration::from_secs(30);
/// Writes that block within this time are one event.
const AGAIN: Duration = Duration::from_millis(200);
/// Without answers: where it starts and the most that is assumed, in bytes a second.
const UNHEARD: (f64, f64) = (32_000.0, 64_000.0);

/// What is known about the way to the screen.
#[derive(Debug)]
pub struct Drain {
    how: How,
    /// The most that the settings allow, in bytes a second.
    cap: f64,
    /// Bytes a second.
    rate: f64,
    measured: bool,
    written: u64,
    answered: u64,
    asked: VecDeque<Asked>,
    /// The answer before: when, and what was written when it was asked.
    before: Option<(Millis, u64)>,
    /// Shortest round trips: of this stretch of time and of the one before.
    shortest: [Option<Duration>; 2],
    stretch: Millis,
    /// Bytes on the way, as modelled, at this moment.
    queue: (f64, Millis),
    /// When the rate was last changed without answers.
    changed: Millis,
    /// When a write last blocked.
    full: Option<Millis>,
    /// When a piece last was large enough to tell something.
    told: Millis,
}

/// Whether the terminal is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// Nothing was answered yet.
    Trying,
    /// It answers.
    Asking,
    /// It does not: only writes that block tell something.
    Unheard,
    /// Nothing is measured, nothing held back.
    Off,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    at: Millis,
    written: u64,
    /// Follows bytes of a picture, and the question before those.
    behind: bool,
    /// When it was asked, nothing was on its way.
    alone: bool,
}

impl Drain {
    /// Nothing is known. `kbps` is the most that pictures may take, in kilobits a second; 0 leaves
    /// that to what is measured.
    pub fn new(kbps: u32) -> Self {
        let cap = if kbps == 0 { f64::INFINITY } else { f64::from(kbps) * 125.0 };
        Self {
            how: How::Trying,
            cap,
            rate: START.min(cap),
            measured: false,
            written: 0,
            answered: 0,
            asked: VecDeque::new(),
            before: None,
            shortest: [None; 2],
            stretch: Millis(0),
            queue: (0.0, Millis(0)),
            changed: Millis(0),
            full: None,
            told: Millis(0),
        }
    }

    /// Measures nothing and holds nothing back: to show what that would be like.
    pub fn off() -> Self {
        Self { how: How::Off, ..Self::new(0) }
    }

    /// Counts bytes that are not a picture's.
    pub fn wrote(&mut self, bytes: usize, now: Now) {
        self.written += bytes as u64;
        self.queue = (self.queue(now.mono) + bytes as f64, now.mono);
    }

    /// How many bytes of a picture may be written now; 0 is none. Give what was written to
    /// [`Drain::painted`].
    pub fn allowance(&mut self, now: Now) -> u32 {
        self.look(now);
        if self.how == How::Off {
            return u32::MAX;
        }
        let rate = self.effective(now.mono);
        let burst = (rate * BURST.as_secs_f64()).clamp(LEAST, MOST);
        let mut room = burst - self.queue(now.mono);
        if self.how != How::Unheard {
            let way = self.round_trip().unwrap_or_default().as_secs_f64();
            // What is on a long way counts, but no more than what a collapse may leave there.
            let window = (rate * way + burst).min(MOST.max(burst));
            room = room.min(window - (self.written - self.answered) as f64);
        }
        // Not where the settings, and not the terminal, allow no more.
        let slow = self.rate < self.cap && burst < PROBE.1;
        let idle = self.how == How::Asking && self.written == self.answered;
        if slow && idle && now.mono.since(self.told) >= PROBE.0 {
            return PROBE.1 as u32;
        }
        if room < (burst / 2.0).max(LEAST) { 0 } else { room as u32 }
    }

    /// How many bytes the terminal takes at once as far as was measured; `None` as long as nothing was.
    pub fn piece(&self, now: Now) -> Option<u32> {
        match self.how {
            How::Off => Some(u32::MAX),
            _ if self.measured => {
                Some((self.effective(now.mono) * BURST.as_secs_f64()).clamp(LEAST, MOST) as u32)
            }
            _ => None,
        }
    }

    /// When it is worth asking for an [`Drain::allowance`] again, if no answer comes before.
    pub fn again(&self, now: Now) -> Millis {
        let rate = self.effective(now.mono);
        let burst = (rate * BURST.as_secs_f64()).clamp(LEAST, MOST);
        let over = self.queue(now.mono) - (burst - (burst / 2.0).max(LEAST));
        let wait = Duration::from_secs_f64((over / (rate * SHARE)).clamp(0.005, 0.25));
        now.mono.plus(wait)
    }

    /// Puts a question before a picture, if the terminal is asked. Bytes go to `out`.
    pub fn before(&mut self, now: Now, out: &mut Vec<u8>) {
        let alone = self.written == self.answered && self.queue(now.mono) < 1.0;
        self.ask(now, false, alone, out);
    }

    /// Whether text is on its way behind which nothing was asked: no picture follows it before
    /// [`Drain::inquire`].
    pub fn wonders(&self) -> bool {
        matches!(self.how, How::Trying | How::Asking) && self.asked.is_empty() && self.written > self.answered
    }

    /// Puts a question behind text. Bytes go to `out`.
    pub fn inquire(&mut self, now: Now, out: &mut Vec<u8>) {
        self.ask(now, false, false, out);
    }

    /// Counts a picture's bytes, which were written behind [`Drain::before`], and puts a question
    /// behind them. Bytes go to `out`.
    pub fn painted(&mut self, bytes: usize, now: Now, out: &mut Vec<u8>) {
        if bytes as u64 >= TELLING {
            self.told = now.mono;
        }
        self.wrote(bytes, now);
        self.ask(now, true, false, out);
    }

    /// The terminal answered something, whatever it was: it will answer this, too.
    pub fn speaks(&mut self) {
        if self.how == How::Unheard {
            // What was written meanwhile is asked about next.
            self.rate = START.min(self.cap);
        }
        self.how = if self.how == How::Off { How::Off } else { How::Asking };
    }

    /// The terminal answered. True when a question was open.
    pub fn heard(&mut self, now: Now) -> bool {
        self.speaks();
        let Some(asked) = self.asked.pop_front() else { return false };
        self.answered = asked.written;
        if asked.alone {
            self.turn(now.mono);
            let trip = now.mono.since(asked.at);
            self.shortest[0] = Some(self.shortest[0].map_or(trip, |shortest| shortest.min(trip)));
        }
        if let Some((at, written)) = self.before.filter(|_| asked.behind) {
            let bytes = asked.written.saturating_sub(written);
            if bytes >= TELLING {
                self.sample(bytes as f64, now.mono.since(at).as_secs_f64());
            }
        }
        if self.written == self.answered && self.rate < self.cap {
            // Nothing is on its way; a part of the time stays free for text.
            let burst = (self.rate * BURST.as_secs_f64()).clamp(LEAST, MOST);
            self.queue = (self.queue(now.mono).min(burst * (1.0 - SHARE)), now.mono);
        }
        self.before = Some((now.mono, asked.written));
        true
    }

    /// What is asked is not answered here any more, and says nothing about the rate.
    pub fn settled(&mut self) {
        self.asked.clear();
        (self.answered, self.before) = (self.written, None);
    }

    /// The call is over: that the terminal owed something, or was slow, says little about the next one.
    pub fn over(&mut self) {
        self.settled();
        self.rate = self.rate.max(START.min(self.cap));
    }

    /// The kernel took not all that was written.
    pub fn blocked(&mut self, now: Now) {
        if self.full.is_none_or(|full| now.mono.since(full) >= AGAIN) {
            self.rate = (self.rate / 2.0).max(SLOWEST);
            (self.full, self.changed) = (Some(now.mono), now.mono);
        }
    }

    /// What the terminal takes, in bytes a second; `None` before anything was measured.
    pub fn rate(&self) -> Option<u32> {
        let known = self.measured && self.how != How::Off;
        (known || self.cap.is_finite()).then(|| self.rate.min(self.cap).min(4e9) as u32)
    }

    /// Since when the terminal owes an answer that should have come.
    pub fn overdue(&self, now: Now) -> Option<Duration> {
        let asked = self.asked.front()?;
        let open = (self.written - self.answered) as f64;
        let due = self.round_trip().unwrap_or_default()
            + Duration::from_secs_f64((open / self.rate.min(self.cap)).clamp(0.0, 10.0) * 2.0 + 0.1);
        now.mono.since(asked.at).checked_sub(due).filter(|late| !late.is_zero())
    }

    fn ask(&mut self, now: Now, behind: bool, alone: bool, out: &mut Vec<u8>) {
        if matches!(self.how, How::Off | How::Unheard) {
            return;
        }
        out.extend_from_slice(ASK);
        // Its own bytes take time, too.
        self.wrote(ASK.len(), now);
        self.asked.push_back(Asked { at: now.mono, written: self.written, behind, alone });
    }

    /// Notices what time alone tells.
    pub fn look(&mut self, now: Now) {
        let waited = self.asked.front().map(|asked| now.mono.since(asked.at));
        match (self.how, waited) {
            (How::Trying, Some(waited)) if waited >= DEAF => {
                self.how = How::Unheard;
                self.asked.clear();
                (self.rate, self.changed) = (UNHEARD.0.min(self.cap), now.mono);
                self.queue = (0.0, now.mono);
            }
            (How::Asking, Some(waited)) if waited >= LOST => {
                self.settled();
                self.rate = SLOWEST;
            }
            (How::Unheard, _) if now.mono.since(self.changed) >= DEAF => {
                self.rate = (self.rate * 1.25).min(UNHEARD.1).max(SLOWEST);
                self.changed = now.mono;
            }
            _ => {}
        }
    }

    /// What a picture of so many bytes, which took so long, says about the rate.
    fn sample(&mut self, bytes: f64, seconds: f64) {
        let seen = bytes / seconds.max(0.001);
        // What it may have been in truth, when it seems slow.
        let at_best = bytes / (seconds - JITTER).max(0.001);
        if seen > self.rate {
            // Up carefully: a fast answer may have been luck, a little faster one nearly always is.
            let step = if seen > self.rate * 2.0 { 2.0 } else { 12.0 };
            self.rate += (seen.min(self.rate * 2.0) - self.rate) / step;
        } else if seconds <= JITTER {
            // Nobody can tell how fast it really was.
        } else if at_best < self.rate / 2.0 {
            self.rate = at_best;
        } else if at_best < self.rate {
            self.rate += (at_best - self.rate) / 2.0;
        }
        self.rate = self.rate.max(SLOWEST);
        self.measured = true;
    }

    /// The rate, or less when an answer is late.
    fn effective(&self, at: Millis) -> f64 {
        let rate = self.rate.min(self.cap);
        let Some(asked) = self.asked.front().filter(|_| self.how != How::Unheard) else { return rate };
        let way = self.round_trip().unwrap_or(DEAF).as_secs_f64();
        let waited = at.since(asked.at).as_secs_f64() - way - BURST.as_secs_f64();
        if waited <= 0.0 {
            return rate;
        }
        let open = (self.written - self.answered) as f64;
        rate.min(open / (waited + BURST.as_secs_f64())).max(SLOWEST)
    }

    fn queue(&self, at: Millis) -> f64 {
        let gone = self.rate.min(self.cap) * SHARE * at.since(self.queue.1).as_secs_f64();
        (self.queue.0 - gone).max(0.0)
    }

    fn round_trip(&self) -> Option<Duration> {
        self.shortest.into_iter().flatten().min()
    }

    /// Routes change: what was the shortest way half a minute ago may be gone.
    fn turn(&mut self, at: Millis) {
        if at.since(self.stretch) >= ROUTE {
            self.stretch = at;
            self.shortest = [None, self.shortest[0]];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A way to a terminal: bytes pass one after the other, answers come back after the delay.
    struct Way {
        rate: f64,
        delay: f64,
        jitter: f64,
        /// When the last byte that was written has been read by the terminal, in seconds.
        done: f64,
        answers: VecDeque<f64>,
        dice: u64,
    }

    impl Way {
        fn new(rate: f64, delay: f64, jitter: f64) -> Self {
            Self { rate, delay, jitter, done: 0.0, answers: VecDeque::new(), dice: 7 }
        }

        fn takes(&mut self, bytes: usize, at: f64) {
            self.done = self.done.max(at + self.delay / 2.0) + bytes as f64 / self.rate;
        }

        fn asked(&mut self) {
            self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let late = (self.dice >> 33) as f64 / f64::from(u32::MAX >> 1) * self.jitter;
            let back = self.done + self.delay / 2.0 + late;
            // Answers do not overtake each other.
            self.answers.push_back(self.answers.back().map_or(back, |last: &f64| last.max(back)));
        }
    }

    fn now(at: f64) -> Now {
        Now { wall: Millis(0), mono: Millis((at * 1000.0) as u64 + 1_000) }
    }

    struct Run {
        /// What a key typed at any moment would have waited for, longest first, in milliseconds.
        waits: Vec<u32>,
        painted: usize,
    }

    impl Run {
        fn worst(&self) -> u32 {
            self.waits[0]
        }
    }

    /// A picture that always wants more, for so many seconds; `each` may change the way.
    fn runs(way: &mut Way, drain: &mut Drain, from: f64, seconds: f64) -> Run {
        let mut run = Run { waits: Vec::new(), painted: 0 };
        for tick in 0..(seconds * 1000.0) as u64 {
            let at = from + tick as f64 / 1000.0;
            while way.answers.front().is_some_and(|back| *back <= at) {
                way.answers.pop_front();
                drain.heard(now(at));
            }
            let bytes = drain.allowance(now(at)).min(20_000) as usize;
            if bytes > 0 {
                let mut out = Vec::new();
                drain.before(now(at), &mut out);
                if !out.is_empty() {
                    way.takes(out.len(), at);
                    way.asked();
                }
                let before = out.len();
                drain.painted(bytes, now(at), &mut out);
                way.takes(bytes + out.len() - before, at);
                if out.len() > before {
                    way.asked();
                }
                run.painted += bytes;
            }
            run.waits.push((way.done - at - way.delay / 2.0).max(0.0).mul_add(1000.0, 0.5) as u32);
        }
        run.waits.sort_unstable_by(|a, b| b.cmp(a));
        run
    }

    #[test]
    fn a_moment_in_which_nothing_passes_is_forgotten_soon() {
        let (mut way, mut drain) = (Way::new(8_000.0, 0.02, 0.004), Drain::new(0));
        runs(&mut way, &mut drain, 0.0, 3.0);
        way.rate = 300.0;
        runs(&mut way, &mut drain, 3.0, 3.0);
        assert!(drain.rate < 1_000.0, "{}", drain.rate);
        way.rate = 8_000.0;
        runs(&mut way, &mut drain, 6.0, 20.0);
        let run = runs(&mut way, &mut drain, 26.0, 5.0);
        let used = run.painted as f64 / 5.0 / way.rate;
        assert!(used > 0.45, "{:.0} % used", used * 100.0);
    }

    #[test]
    fn a_fast_terminal_gets_no_more_than_the_settings_allow() {
        let (mut way, mut drain) = (Way::new(100_000.0, 0.02, 0.004), Drain::new(2));
        runs(&mut way, &mut drain, 0.0, 10.0);
        let run = runs(&mut way, &mut drain, 10.0, 20.0);
        assert!(run.painted > 0 && run.painted <= 20 * 250, "{} bytes in 20 s", run.painted);
    }

    #[test]
    fn a_thin_line_is_used_and_never_full() {
        for (kbps, delay, jitter) in [(64, 0.0, 0.0), (64, 0.03, 0.004), (256, 0.02, 0.005), (64, 0.3, 0.01)]
        {
            let rate = f64::from(kbps) * 125.0;
            let (mut way, mut drain) = (Way::new(rate, delay, jitter), Drain::new(0));
            runs(&mut way, &mut drain, 0.0, 3.0);
            let run = runs(&mut way, &mut drain, 3.0, 10.0);
            let used = run.painted as f64 / 10.0 / rate;
            assert!(run.worst() <= 80, "{kbps} kbit/s, {delay} s: a key waits {} ms", run.worst());
            assert!(used > 0.45, "{kbps} kbit/s, {delay} s: {:.0} % used", used * 100.0);
            let told = f64::from(drain.rate().expect("measured"));
            assert!((0.7..1.4).contains(&(told / rate)), "{kbps} kbit/s, {delay} s: told {told} B/s");
        }
    }

    #[test]
    fn a_fast_line_opens_within_a_second() {
        let (mut way, mut drain) = (Way::new(12_500_000.0, 0.001, 0.001), Drain::new(0));
        runs(&mut way, &mut drain, 0.0, 1.0);
        assert!(drain.rate().expect("measured") > 400_000, "{drain:?}");
        let run = runs(&mut way, &mut drain, 1.0, 2.0);
        assert!(run.painted > 400_000, "{} bytes in two seconds", run.painted);
        assert!(run.worst() <= 10);
    }

    #[test]
    fn a_fast_line_crawled_after_an_editor_had_it() {
        let (mut way, mut drain) = (Way::new(12_500_000.0, 0.001, 0.001), Drain::new(0));
        runs(&mut way, &mut drain, 0.0, 1.0);
        drain.painted(1_000, now(1.0), &mut Vec::new());
        drain.settled();
        // Nobody hears them.
        way.answers.clear();
        let run = runs(&mut way, &mut drain, 60.0, 1.0);
        assert!(run.painted > 100_000, "{} bytes in a second", run.painted);
    }

    #[test]
    fn a_line_that_collapses_is_left_alone_at_once() {
        let (mut way, mut drain) = (Way::new(1_250_000.0, 0.01, 0.002), Drain::new(0));
        runs(&mut way, &mut drain, 0.0, 3.0);
        way.rate = 8_000.0;
        // One picture was on its way, and no second one follows it.
        let shock = runs(&mut way, &mut drain, 3.0, 4.0);
        assert!(shock.worst() <= 2_500, "{}", shock.worst());
        let run = runs(&mut way, &mut drain, 7.0, 5.0);
        assert!(run.worst() <= 80, "a key waits {} ms", run.worst());
        assert!(run.painted > 10_000, "{} bytes", run.painted);
    }

    #[test]
    fn a_terminal_without_answers_gets_little_and_slowly_more() {
        let mut drain = Drain::new(0);
        let (mut early, mut all) = (0, 0);
        for tick in 0..10_000 {
            let at = now(f64::from(tick) / 1000.0);
            let bytes = drain.allowance(at);
            if bytes > 0 {
                let mut out = Vec::new();
                drain.before(at, &mut out);
                drain.painted(bytes as usize, at, &mut out);
                all += bytes;
                if tick < 1_000 {
                    early += bytes;
                }
            }
        }
        assert!(early < 1_000, "{early}");
        assert!((100_000..600_000).contains(&all), "{all}");
        let before = drain.allowance(now(20.0));
        drain.blocked(now(20.0));
        assert!(drain.allowance(now(20.0)) < before);
        assert!(!drain.heard(now(21.0)), "an answer that comes now is to nothing that was asked");
        assert!(drain.wonders(), "but the terminal answers after all");
    }

    #[test]
    fn a_cap_holds_and_text_counts() {
        let mut drain = Drain::new(64);
        assert_eq!(drain.rate(), Some(8_000));
        let mut way = Way::new(12_500_000.0, 0.0, 0.0);
        let run = runs(&mut way, &mut drain, 0.0, 10.0);
        assert!((40_000..80_000).contains(&run.painted), "{} bytes in ten seconds", run.painted);
        while drain.heard(now(10.0)) {}
        drain.wrote(5_000, now(10.0));
        assert_eq!(drain.allowance(now(10.1)), 0, "the text comes first");
        assert!(drain.wonders());
        drain.inquire(now(10.1), &mut Vec::new());
        assert!(!drain.wonders());
        assert!(drain.heard(now(10.2)));
        assert!(drain.allowance(now(10.9)) > 0);
        assert_eq!(Drain::off().allowance(now(0.0)), u32::MAX);
    }

    #[test]
    fn a_cut_line_is_forgiven() {
        let (mut way, mut drain) = (Way::new(8_000.0, 0.01, 0.0), Drain::new(0));
        runs(&mut way, &mut drain, 0.0, 2.0);
        way.done = 9.0;
        let cut = runs(&mut way, &mut drain, 2.0, 7.0);
        assert!(cut.painted < 1_500, "{}", cut.painted);
        assert!(drain.overdue(now(8.0)).is_some());
        let back = runs(&mut way, &mut drain, 9.0, 5.0);
        assert!(back.painted > 10_000, "{}", back.painted);
        assert_eq!(drain.overdue(now(14.0)), None);
    }
}
