//! What is under way between people and the relay, by time and by seed.

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use std::collections::BTreeMap;
use subrosa_shared::time::Millis;

/// How the network treats what passes. Shares are of 1,000.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// One-way delay of everything, in milliseconds.
    pub delay: u64,
    /// Up to that much more for each packet; frames of a connection stay in order, datagrams do not.
    pub jitter: u64,
    /// Datagrams that are lost.
    pub loss: u32,
    /// Datagrams that come twice.
    pub twice: u32,
    /// Connections that break, for each frame.
    pub cut: u32,
}

/// One person's way to the relay, or the way back: what it does beside the weather.
#[derive(Clone, Copy, Debug, Default)]
pub struct Link {
    /// Datagrams that are lost, of 1,000.
    pub loss: u32,
    /// Bytes a second, 0 for any number. What comes faster waits in a queue.
    pub rate: u64,
    /// Bytes that may wait; what comes when it is full is lost.
    pub queue: u64,
    /// When the last datagram in the queue will have left it.
    free: Millis,
}

impl Link {
    /// A link of that many bytes a second, with so many that may wait.
    pub fn narrow(rate: u64, queue: u64) -> Self {
        Self { rate, queue, ..Self::default() }
    }

    /// A link that loses so many datagrams of 1,000.
    pub fn lossy(loss: u32) -> Self {
        Self { loss, ..Self::default() }
    }

    /// When a datagram leaves the queue; `None` when it does not fit.
    fn takes(&mut self, length: usize, now: Millis) -> Option<Millis> {
        if self.rate == 0 {
            return Some(now);
        }
        let begins = self.free.max(now);
        if (begins.0 - now.0) * self.rate / 1000 > self.queue {
            return None;
        }
        self.free = Millis(begins.0 + length as u64 * 1000 / self.rate);
        Some(self.free)
    }
}

/// Things on their way, in the order of their arrival.
pub struct Network<T> {
    under_way: BTreeMap<(Millis, u64), T>,
    count: u64,
    rng: ChaCha20Rng,
    /// How it treats what passes from now on.
    pub weather: Weather,
}

impl<T: Clone> Network<T> {
    /// An empty network.
    pub fn new(seed: u64) -> Self {
        Self {
            under_way: BTreeMap::new(),
            count: 0,
            rng: ChaCha20Rng::seed_from_u64(seed),
            weather: Weather::default(),
        }
    }

    /// Puts something on its way that keeps its order on its wire: not before `after`. Gives the
    /// time of its arrival.
    pub fn ordered(&mut self, thing: T, now: Millis, after: Millis) -> Millis {
        let at = Millis(self.arrival(now).0.max(after.0));
        self.put(at, thing);
        at
    }

    /// Puts something on its way that may be lost on a link, come twice, or overtake.
    pub fn datagram(&mut self, thing: T, length: usize, link: &mut Link, now: Millis) {
        let Some(now) = link.takes(length, now) else { return };
        let copies = match () {
            () if self.happens(self.weather.loss.max(link.loss)) => 0,
            () if self.happens(self.weather.twice) => 2,
            () => 1,
        };
        for _ in 0..copies {
            let at = self.arrival(now);
            self.put(at, thing.clone());
        }
    }

    /// Puts something at a given time, past any weather.
    pub fn put_at(&mut self, thing: T, at: Millis) {
        self.put(at, thing);
    }

    /// Whether the connection breaks now.
    pub fn cuts(&mut self) -> bool {
        self.happens(self.weather.cut)
    }

    /// How many things are under way.
    pub fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// When the next thing arrives.
    pub fn next(&self) -> Option<Millis> {
        self.under_way.keys().next().map(|(at, _)| *at)
    }

    /// The next thing that has arrived.
    pub fn arrived(&mut self, now: Millis) -> Option<T> {
        let entry = self.under_way.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// Whether something happens that does so `share` times in 1,000.
    pub fn happens(&mut self, share: u32) -> bool {
        share > 0 && self.rng.next_u32() % 1000 < share
    }

    fn arrival(&mut self, now: Millis) -> Millis {
        let jitter = if self.weather.jitter > 0 { self.rng.next_u64() % self.weather.jitter } else { 0 };
        Millis(now.0 + self.weather.delay + jitter)
    }

    fn put(&mut self, at: Millis, thing: T) {
        self.count += 1;
        self.under_way.insert((at, self.count), thing);
    }
}
