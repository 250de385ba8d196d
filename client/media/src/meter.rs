//! Rates over the last seconds: pictures, bits, losses.

use std::collections::VecDeque;
use std::time::Duration;
use subrosa_shared::time::{Millis, Now};

/// What a stream did lately.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Pictures a second.
    pub fps: f32,
    /// Kilobits a second, headers and seals included.
    pub kbits: f32,
    /// Frames that never became a picture, in percent of all.
    pub loss: f32,
}

/// Counts over a sliding window of [`Meter::WINDOW`].
#[derive(Debug, Default)]
pub struct Meter {
    slots: VecDeque<Slot>,
    began: Option<Millis>,
}

#[derive(Debug)]
struct Slot {
    start: Millis,
    pictures: u32,
    bytes: u32,
    lost: u32,
}

impl Meter {
    /// How far back it looks.
    pub const WINDOW: Duration = Duration::from_secs(3);
    const SLOT: Duration = Duration::from_millis(100);

    /// Counts bytes that went over the wire.
    pub fn bytes(&mut self, count: usize, now: Now) {
        let slot = self.slot(now);
        slot.bytes = slot.bytes.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// Counts a picture.
    pub fn picture(&mut self, now: Now) {
        self.slot(now).pictures += 1;
    }

    /// Counts frames that will not become pictures.
    pub fn lost(&mut self, count: u32, now: Now) {
        let slot = self.slot(now);
        slot.lost = slot.lost.saturating_add(count);
    }

    /// Bytes of the window that ends now.
    pub fn recent(&self, now: Now) -> u64 {
        let recent = self.slots.iter().filter(|slot| now.mono.since(slot.start) < Self::WINDOW);
        recent.map(|slot| u64::from(slot.bytes)).sum()
    }

    /// The rates of the window that ends now.
    pub fn stats(&self, now: Now) -> Stats {
        let recent = || self.slots.iter().filter(|slot| now.mono.since(slot.start) < Self::WINDOW);
        // The sum of no floats is -0.0.
        let sum = |of: fn(&Slot) -> u32| recent().map(|slot| u64::from(of(slot))).sum::<u64>() as f64;
        let Some(began) = self.began else { return Stats::default() };
        // A young stream is not slow, only short.
        let span = now.mono.since(began).clamp(Duration::from_millis(500), Self::WINDOW).as_secs_f64();
        let (pictures, lost) = (sum(|s| s.pictures), sum(|s| s.lost));
        let loss = if lost > 0.0 { 100.0 * lost / (pictures + lost) } else { 0.0 };
        Stats {
            fps: (pictures / span) as f32,
            kbits: (sum(|s| s.bytes) * 8.0 / 1000.0 / span) as f32,
            loss: loss as f32,
        }
    }

    fn slot(&mut self, now: Now) -> &mut Slot {
        self.began.get_or_insert(now.mono);
        while self.slots.front().is_some_and(|slot| now.mono.since(slot.start) >= Self::WINDOW) {
            self.slots.pop_front();
        }
        if self.slots.back().is_none_or(|slot| now.mono.since(slot.start) >= Self::SLOT) {
            self.slots.push_back(Slot { start: now.mono, pictures: 0, bytes: 0, lost: 0 });
        }
        self.slots.back_mut().expect("one was just pushed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_pictures_a_second_are_ten() {
        let mut meter = Meter::default();
        let at = |ms| Now { wall: Millis(0), mono: Millis(ms) };
        for tick in 0..100 {
            meter.picture(at(tick * 100));
            meter.bytes(100, at(tick * 100));
        }
        let stats = meter.stats(at(9_950));
        assert!((stats.fps - 10.0).abs() < 0.5, "{stats:?}");
        assert!((stats.kbits - 8.0).abs() < 0.5, "{stats:?}");
        assert_eq!(stats.loss, 0.0);
        meter.lost(30, at(9_960));
        assert!((meter.stats(at(9_960)).loss - 50.0).abs() < 2.0);
        let nothing = meter.stats(at(20_000));
        assert_eq!(nothing, Stats::default());
        assert!(nothing.fps.is_sign_positive() && nothing.kbits.is_sign_positive(), "-0 is read as a sign");
        assert!(meter.slots.len() <= 31, "bounded");
    }
}
