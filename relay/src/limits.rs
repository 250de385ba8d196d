//! Token buckets: how often somebody may do something.

use crate::config::Rate;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use subrosa_shared::time::Millis;

/// A bucket that fills with time and is emptied by use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// In sixty-thousandths of a token, so that a millisecond of any rate is a whole number.
    level: u64,
    at: Millis,
}

/// Not now, but after this many milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait(pub u32);

const TOKEN: u64 = 60_000;

impl Bucket {
    /// A full one.
    pub fn full(rate: Rate, mono: Millis) -> Self {
        Self { level: u64::from(rate.burst) * TOKEN, at: mono }
    }

    /// Takes `tokens`. More than a whole burst is let through by a full bucket, which then is empty.
    ///
    /// # Errors
    /// [`Wait`], and nothing is taken.
    pub fn take(&mut self, rate: Rate, tokens: u64, mono: Millis) -> Result<(), Wait> {
        let capacity = u64::from(rate.burst) * TOKEN;
        let elapsed = mono.0.saturating_sub(self.at.0);
        self.at = mono;
        self.level =
            self.level.saturating_add(elapsed.saturating_mul(u64::from(rate.per_minute))).min(capacity);
        let need = tokens.saturating_mul(TOKEN).min(capacity);
        match self.level.checked_sub(need) {
            Some(left) => {
                self.level = left;
                Ok(())
            }
            None => {
                let missing = (need - self.level).div_ceil(u64::from(rate.per_minute).max(1));
                Err(Wait(u32::try_from(missing).unwrap_or(u32::MAX)))
            }
        }
    }

    fn is_full(&self, rate: Rate, mono: Millis) -> bool {
        let refill = mono.0.saturating_sub(self.at.0).saturating_mul(u64::from(rate.per_minute));
        self.level.saturating_add(refill) >= u64::from(rate.burst) * TOKEN
    }
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

    /// Takes `tokens` of this key's bucket.
    ///
    /// # Errors
    /// [`Wait`], and nothing is taken.
    pub fn take(&mut self, key: &K, tokens: u64, mono: Millis) -> Result<(), Wait> {
        if self.by.len() >= self.sweep_at {
            let rate = self.rate;
            self.by.retain(|_, bucket| !bucket.is_full(rate, mono));
            self.sweep_at = (self.by.len() * 2).max(SWEEP);
        }
        let rate = self.rate;
        self.by.entry(key.clone()).or_insert_with(|| Bucket::full(rate, mono)).take(rate, tokens, mono)
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_clock_that_stands_still_or_steps_back_gives_nothing() {
        let mut bucket = Bucket::full(RATE, Millis(5000));
        assert_eq!(bucket.take(RATE, 3, Millis(5000)), Ok(()));
        assert_eq!(bucket.take(RATE, 1, Millis(10)), Err(Wait(1000)));
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
