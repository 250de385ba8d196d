//! Token buckets: how often somebody may do something.

use crate::config::{Pace, Rate};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use subrosa_shared::time::Millis;

/// A bucket that fills with time and is emptied by use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// In sixty-thousandths of a token, so that a millisecond of any rate is a whole number; less than nothing
    /// when some are owed.
    level: i64,
    at: Millis,
}

/// Not now, but after this many milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait(pub u32);

const TOKEN: i64 = 60_000;

impl Bucket {
    /// A full one.
    pub fn full(rate: Rate, mono: Millis) -> Self {
        Self { level: capacity(rate), at: mono }
    }

    /// Takes `tokens`. More than a whole burst is let through by a full bucket, which then is empty.
    ///
    /// # Errors
    /// [`Wait`], and nothing is taken.
    pub fn take(&mut self, rate: Rate, tokens: u64, mono: Millis) -> Result<(), Wait> {
        self.take_above(rate, tokens, 0, mono)
    }

    /// The same, and `kept` tokens stay for others.
    ///
    /// # Errors
    /// [`Wait`], and nothing is taken.
    pub fn take_above(&mut self, rate: Rate, tokens: u64, kept: u64, mono: Millis) -> Result<(), Wait> {
        self.fill(rate, mono);
        let capacity = capacity(rate);
        let need = worth(tokens).min(capacity);
        let level = need.saturating_add(worth(kept)).min(capacity);
        if self.level >= level {
            self.level -= need;
            return Ok(());
        }
        let missing = (level - self.level).unsigned_abs().div_ceil(u64::from(rate.per_minute).max(1));
        Err(Wait(u32::try_from(missing).unwrap_or(u32::MAX)))
    }

    /// Takes `tokens`, whether they are there or not. No more than a burst is ever owed.
    pub fn spend(&mut self, rate: Rate, tokens: u64, mono: Millis) {
        self.fill(rate, mono);
        self.level = self.level.saturating_sub(worth(tokens)).max(-capacity(rate));
    }

    /// What came in since the last time.
    fn fill(&mut self, rate: Rate, mono: Millis) {
        self.level = self.refilled(rate, mono).min(capacity(rate));
        self.at = mono;
    }

    fn refilled(&self, rate: Rate, mono: Millis) -> i64 {
        let elapsed = i64::try_from(mono.0.saturating_sub(self.at.0)).unwrap_or(i64::MAX);
        self.level.saturating_add(elapsed.saturating_mul(rate.per_minute.into()))
    }

    fn is_full(&self, rate: Rate, mono: Millis) -> bool {
        self.refilled(rate, mono) >= capacity(rate)
    }
}

/// The most that a bucket holds.
fn capacity(rate: Rate) -> i64 {
    i64::from(rate.burst) * TOKEN
}

fn worth(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX).saturating_mul(TOKEN)
}

/// A bucket for each of many keys; keys whose bucket is full again are forgotten.
#[derive(Debug)]
pub struct Buckets<K> {
    rate: Rate,
    by: BTreeMap<K, Bucket>,
    sweep_at: usize,
}

/// Fewer keys than this are not worth a sweep.
const SWEEP: usize = 1024;

impl<K: Ord + Clone> Buckets<K> {
    /// All full.
    pub fn new(rate: Rate) -> Self {
        Self { rate, by: BTreeMap::new(), sweep_at: SWEEP }
    }

    /// From here on they fill at another rate; what they hold they keep, up to a burst.
    pub fn change(&mut self, rate: Rate) {
        self.rate = rate;
    }

    /// Takes `tokens` of this key's bucket.
    ///
    /// # Errors
    /// [`Wait`], and nothing is taken.
    pub fn take(&mut self, key: &K, tokens: u64, mono: Millis) -> Result<(), Wait> {
        let rate = self.rate;
        self.of(key, mono).take(rate, tokens, mono)
    }

    /// Takes `tokens` of this key's bucket, whether they are there or not.
    pub fn spend(&mut self, key: &K, tokens: u64, mono: Millis) {
        let rate = self.rate;
        self.of(key, mono).spend(rate, tokens, mono);
    }

    fn of(&mut self, key: &K, mono: Millis) -> &mut Bucket {
        if self.by.len() >= self.sweep_at {
            let rate = self.rate;
            self.by.retain(|_, bucket| !bucket.is_full(rate, mono));
            self.sweep_at = (self.by.len() * 2).max(SWEEP);
        }
        let rate = self.rate;
        self.by.entry(key.clone()).or_insert_with(|| Bucket::full(rate, mono))
    }
}

/// The network that an address belongs to: an IPv4 address itself, the /64 of an IPv6 one.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let mut segments = v6.segments();
            segments[4..].fill(0);
            IpAddr::V6(Ipv6Addr::from(segments))
        }
        v4 => v4,
    }
}

/// How often somebody may guess, on the wall clock, so that it can be kept through a restart.
///
/// A guess makes the next one due later; as many as a burst may be owed. That is one number, and a
/// count of the day (UTC), past which each guess costs more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guesses {
    /// When nothing is owed any more, Unix milliseconds.
    due: Millis,
    /// Days since the epoch, and the guesses of that day.
    day: u64,
    count: u32,
}

/// What a guess cost, to give it back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guess(u64);

impl Guesses {
    /// One guess.
    ///
    /// # Errors
    /// [`Wait`], and nothing is taken.
    pub fn take(&mut self, pace: Pace, wall: Millis) -> Result<Guess, Wait> {
        let every = u64::from(pace.every_seconds) * 1000;
        let then = u64::from(pace.then_every_seconds) * 1000;
        let owed = u64::from(pace.burst.saturating_sub(1)) * every;
        // A clock that was far ahead for a while must not lock anybody out for as long.
        let due = self.due.0.clamp(wall.0, wall.0.saturating_add(owed + every.max(then)));
        if let Some(missing) = due.checked_sub(wall.0.saturating_add(owed)).filter(|missing| *missing > 0) {
            return Err(Wait(u32::try_from(missing).unwrap_or(u32::MAX)));
        }
        // Nor does one that steps back begin a day anew.
        let today = wall.0 / DAY_MS;
        if today > self.day {
            self.count = 0;
        }
        self.day = today;
        let cost = if self.count < pace.a_day { every } else { then };
        self.count = self.count.saturating_add(1);
        self.due = Millis(due.saturating_add(cost));
        Ok(Guess(cost))
    }

    /// It was no guess: whoever made it knew the answer.
    pub fn give_back(&mut self, guess: Guess) {
        self.due.0 = self.due.0.saturating_sub(guess.0);
        self.count = self.count.saturating_sub(1);
    }

    /// Whether it says no more than that nobody guessed.
    pub fn is_over(&self, wall: Millis) -> bool {
        self.due <= wall && self.day < wall.0 / DAY_MS
    }
}

const DAY_MS: u64 = 24 * 3_600_000;

/// The network that a guess comes from, in words: the /24 of an IPv4 address and the /56 of an IPv6
/// one, which is what one customer has, or one careless machine in a rack beside it.
pub fn prefix(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(v6) => {
            let mut segments = v6.segments();
            segments[3] &= 0xff00;
            segments[4..].fill(0);
            format!("{}/56", Ipv6Addr::from(segments))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Pace = Pace { burst: 5, every_seconds: 180, a_day: 20, then_every_seconds: 1800 };
    /// A moment early in a day.
    const DAWN: u64 = 20_000 * DAY_MS;
    const MINUTE: u64 = 60_000;

    #[test]
    fn five_guesses_and_then_one_in_three_minutes() {
        let mut guesses = Guesses::default();
        for _ in 0..5 {
            guesses.take(NAME, Millis(DAWN)).expect("in the burst");
        }
        assert_eq!(guesses.take(NAME, Millis(DAWN)), Err(Wait(180_000)));
        assert_eq!(guesses.take(NAME, Millis(DAWN + 20_000)), Err(Wait(160_000)), "nothing was taken");
        guesses.take(NAME, Millis(DAWN + 3 * MINUTE)).expect("refilled");
        assert_eq!(guesses.take(NAME, Millis(DAWN + 3 * MINUTE)), Err(Wait(180_000)));
    }

    #[test]
    fn after_twenty_guesses_a_day_each_costs_half_an_hour() {
        let (mut guesses, mut at) = (Guesses::default(), DAWN);
        for _ in 0..20 {
            while guesses.take(NAME, Millis(at)).is_err() {
                at += MINUTE;
            }
        }
        assert_eq!(at, DAWN + 15 * 3 * MINUTE);
        let mut rest = 0;
        for minute in at / MINUTE + 1..(DAWN + DAY_MS) / MINUTE {
            rest += u32::from(guesses.take(NAME, Millis(minute * MINUTE)).is_ok());
        }
        assert!((44..=48).contains(&rest), "{rest} in the rest of the day");
        let tomorrow = DAWN + DAY_MS + 60 * MINUTE;
        assert!((0..5).all(|_| guesses.take(NAME, Millis(tomorrow)).is_ok()), "a new day begins anew");
    }

    #[test]
    fn a_right_password_costs_nothing() {
        let mut guesses = Guesses::default();
        for _ in 0..100 {
            let guess = guesses.take(NAME, Millis(DAWN)).expect("always");
            guesses.give_back(guess);
        }
        assert!(guesses.is_over(Millis(DAWN + DAY_MS)));
    }

    #[test]
    fn a_clock_that_steps_back_gives_nothing_and_locks_nobody_out() {
        let mut guesses = Guesses::default();
        for _ in 0..5 {
            guesses.take(NAME, Millis(DAWN + 365 * DAY_MS)).expect("in the burst");
        }
        let Err(Wait(wait)) = guesses.take(NAME, Millis(DAWN)) else { panic!("the burst is used up") };
        assert!(u64::from(wait) <= 30 * MINUTE, "{wait}");
        guesses.take(NAME, Millis(DAWN + u64::from(wait))).expect_err("nothing is credited for the step");
        let mut guesses = Guesses { due: Millis(0), day: 20_001, count: 20 };
        assert_eq!(guesses.take(NAME, Millis(DAWN)), Ok(Guess(1_800_000)), "the day does not begin anew");
    }

    #[test]
    fn networks_of_guesses_are_a_24_and_a_56() {
        let of = |text: &str| prefix(text.parse().expect("valid"));
        assert_eq!(of("192.0.2.77"), "192.0.2.0/24");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.0/24");
        assert_eq!(of("2001:db8:1:2ff::9"), "2001:db8:1:200::/56");
        assert!(of("2001:db8:ffff:ff00:ffff::1").len() <= 43);
    }

    const RATE: Rate = Rate { per_minute: 60, burst: 3 };

    #[test]
    fn a_burst_and_then_one_a_second() {
        let mut bucket = Bucket::full(RATE, Millis(0));
        for _ in 0..3 {
            assert_eq!(bucket.take(RATE, 1, Millis(0)), Ok(()));
        }
        assert_eq!(bucket.take(RATE, 1, Millis(0)), Err(Wait(1000)));
        assert_eq!(bucket.take(RATE, 1, Millis(400)), Err(Wait(600)));
        assert_eq!(bucket.take(RATE, 1, Millis(1000)), Ok(()));
        assert_eq!(bucket.take(RATE, 3, Millis(600_000)), Ok(()), "never more than a burst");
        assert_eq!(bucket.take(RATE, 1, Millis(600_000)), Err(Wait(1000)));
    }

    #[test]
    fn more_than_a_burst_passes_a_full_bucket_and_empties_it() {
        let mut bucket = Bucket::full(RATE, Millis(0));
        assert_eq!(bucket.take(RATE, 50, Millis(0)), Ok(()));
        assert_eq!(bucket.take(RATE, 50, Millis(2999)), Err(Wait(1)));
        assert_eq!(bucket.take(RATE, 50, Millis(3000)), Ok(()));
    }

    #[test]
    fn what_is_spent_may_be_owed_but_no_more_than_a_burst() {
        let mut bucket = Bucket::full(RATE, Millis(0));
        bucket.spend(RATE, 2, Millis(0));
        assert_eq!(bucket.take(RATE, 1, Millis(0)), Ok(()));
        bucket.spend(RATE, 1, Millis(500));
        assert_eq!(bucket.take(RATE, 1, Millis(500)), Err(Wait(1500)));
        bucket.spend(RATE, u64::MAX, Millis(500));
        assert_eq!(bucket.take(RATE, 1, Millis(500)), Err(Wait(4000)));
        assert_eq!(bucket.take(RATE, 3, Millis(u64::MAX)), Ok(()));
    }

    #[test]
    fn a_clock_that_stands_still_or_steps_back_gives_nothing() {
        let mut bucket = Bucket::full(RATE, Millis(5000));
        assert_eq!(bucket.take(RATE, 3, Millis(5000)), Ok(()));
        assert_eq!(bucket.take(RATE, 1, Millis(10)), Err(Wait(1000)));
    }

    #[test]
    fn buckets_go_on_at_another_rate() {
        let mut buckets = Buckets::new(RATE);
        buckets.take(&1, 1, Millis(0)).expect("full");
        buckets.change(Rate { per_minute: 60, burst: 1 });
        buckets.take(&1, 1, Millis(0)).expect("one is left of them");
        assert_eq!(buckets.take(&1, 1, Millis(0)), Err(Wait(1000)));
        buckets.change(Rate { per_minute: 600, burst: 9 });
        assert_eq!(buckets.take(&1, 1, Millis(0)), Err(Wait(100)), "nothing is given for the change");
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let mut buckets = Buckets::new(RATE);
        for key in 0..SWEEP {
            buckets.take(&key, 1, Millis(0)).expect("full");
        }
        buckets.take(&SWEEP, 1, Millis(2000)).expect("full");
        assert_eq!(buckets.by.len(), 1);
    }

    #[test]
    fn an_ipv6_network_is_a_64() {
        let [a, b]: [IpAddr; 2] = ["2001:db8::1", "2001:db8::ffff:1"].map(|ip| ip.parse().expect("valid"));
        assert_eq!(network(a), network(b));
        let mapped: IpAddr = "::ffff:192.0.2.7".parse().expect("valid");
        assert_eq!(network(mapped), "192.0.2.7".parse::<IpAddr>().expect("valid"));
    }
}
