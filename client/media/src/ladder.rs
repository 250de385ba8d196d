//! How much of a picture is shown when something is too slow for all of it, and why: pure.
//!
//! Full, fewer frames, smaller, one still a second, the name only. Down within a moment, up again
//! only when it has been well for some seconds.

use std::time::Duration;
use subrosa_shared::time::{Millis, Now};

/// How much of the picture there is, best first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// All of it.
    #[default]
    Full,
    /// Fewer frames than come in.
    Fewer,
    /// Fewer, in a smaller place.
    Smaller,
    /// One a second.
    Still,
    /// Who it is, and no picture.
    Name,
}

/// What is too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The terminal takes so many kilobits a second.
    Terminal(u32),
    /// The network loses so many in a hundred frames.
    Network(u8),
    /// This machine: so many milliseconds a picture.
    Processor(u32),
}

/// What is shown, and why not more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// How much.
    pub rung: Rung,
    /// The reason, below [`Rung::Full`].
    pub why: Option<Why>,
    /// Pictures a second at most.
    pub fps: u8,
    /// The share of its place that the picture fills, in percent of its cells.
    pub size: u8,
}

/// What is known when a level is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts {
    /// What the terminal takes in bytes a second; `None` when that is unknown or without bound.
    pub rate: Option<u32>,
    /// Nothing has come through to the terminal for so long.
    pub stuck: Duration,
    /// Cells of the picture's place.
    pub cells: u32,
    /// Share of frames that the network loses, 0 to 1.
    pub loss: f32,
    /// Milliseconds of work a picture.
    pub work: f32,
}

/// The level over time.
#[derive(Debug, Default)]
pub struct Ladder {
    level: Level,
    /// Since when something else would be right.
    other: Option<(Rung, Millis)>,
    told: Millis,
    /// Since when it is on this rung.
    since: Millis,
    /// It is there to see whether that would do.
    tries: bool,
}

impl Default for Level {
    fn default() -> Self {
        Self { rung: Rung::Full, why: None, fps: MOST_FPS, size: 100 }
    }
}

impl Rung {
    fn said(self) -> Option<&'static str> {
        Some(match self {
            Self::Full => return None,
            Self::Fewer => "fewer frames",
            Self::Smaller => "smaller",
            Self::Still => "one still a second",
            Self::Name => "no picture",
        })
    }
}

impl Level {
    /// For the person: what there is, and why not more. `None` when it is all there.
    pub fn said(&self) -> Option<String> {
        let what = self.rung.said()?;
        Some(match self.why {
            Some(Why::Terminal(kbps)) => format!("{what}: the terminal takes {kbps} kbit/s"),
            Some(Why::Network(lost)) => format!("{what}: the network loses {lost}%"),
            Some(Why::Processor(ms)) => format!("{what}: this machine needs {ms} ms a picture"),
            None => what.into(),
        })
    }

    /// The same in fewer words, where there is little room.
    pub fn brief(&self) -> Option<String> {
        let what = self.rung.said()?;
        Some(match self.why {
            Some(Why::Terminal(kbps)) => format!("{what}: terminal {kbps} kbit/s"),
            Some(Why::Network(lost)) => format!("{what}: {lost}% lost"),
            Some(Why::Processor(ms)) => format!("{what}: {ms} ms each"),
            None => what.into(),
        })
    }

    /// The level that fits these facts, whatever was before. `ease` makes everything better than it
    /// is (above 1) or worse.
    fn of(facts: &Facts, ease: f64) -> Self {
        let terminal = Self::of_terminal(facts, ease);
        let (network, processor) = (Self::of_network(facts, ease), Self::of_processor(facts, ease));
        let worst = [terminal, network, processor].into_iter().max_by_key(|level| level.rung);
        let fps = terminal.fps.min(processor.fps).min(network.fps);
        Self { fps, size: terminal.size, ..worst.unwrap_or_default() }
    }

    fn of_terminal(facts: &Facts, ease: f64) -> Self {
        let Some(rate) = facts.rate else { return Self::default() };
        let kbps = round(f64::from(rate) / 125.0);
        let why = Some(Why::Terminal(kbps));
        let share = f64::from(rate) * PICTURES * ease;
        let need = |cells: f64| cells * A_CELL + A_FRAME;
        let cells = f64::from(facts.cells.max(1));
        let fps = share / need(cells);
        if facts.stuck >= STUCK {
            return Self { rung: Rung::Name, why: Some(Why::Terminal(0)), fps: 1, size: 100 };
        }
        if fps >= 10.0 {
            return Self::default();
        }
        if fps >= LEAST_FPS {
            return Self { rung: Rung::Fewer, why, fps: fps as u8, size: 100 };
        }
        let smaller = ((share / LEAST_FPS - A_FRAME) / A_CELL).max(0.0);
        let size = (smaller / cells * 100.0).min(100.0);
        // In steps, so that the picture does not breathe.
        let size = if size >= 75.0 {
            75
        } else if size >= 50.0 {
            50
        } else {
            30
        };
        if smaller >= LEAST_CELLS && smaller / cells >= 0.3 {
            return Self { rung: Rung::Smaller, why, fps: LEAST_FPS as u8, size };
        }
        if share >= A_STILL {
            return Self { rung: Rung::Still, why, fps: 1, size: 30 };
        }
        Self { rung: Rung::Name, why, fps: 1, size: 30 }
    }

    fn of_network(facts: &Facts, ease: f64) -> Self {
        let loss = if facts.loss.is_finite() { f64::from(facts.loss.clamp(0.0, 1.0)) } else { 0.0 };
        let why = Some(Why::Network((loss * 100.0).round() as u8));
        match loss / ease {
            loss if loss >= 0.5 => Self { rung: Rung::Still, why, fps: 1, ..Self::default() },
            loss if loss >= 0.1 => Self { rung: Rung::Fewer, why, ..Self::default() },
            _ => Self::default(),
        }
    }

    fn of_processor(facts: &Facts, ease: f64) -> Self {
        // Half of one core is the most that a picture may cost.
        let fps = 500.0 / f64::from(facts.work.max(0.01)) * ease;
        let why = Some(Why::Processor(facts.work.round().clamp(0.0, 60_000.0) as u32));
        match fps {
            fps if fps >= 10.0 => Self::default(),
            fps if fps >= LEAST_FPS => Self { rung: Rung::Fewer, why, fps: fps as u8, size: 100 },
            fps => Self { rung: Rung::Still, why, fps: (fps as u8).max(1), size: 100 },
        }
    }
}

impl Ladder {
    /// What is shown now.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Looks at the facts; gives the level when the person should hear of another one.
    pub fn look(&mut self, facts: &Facts, now: Now) -> Option<Level> {
        let right = Level::of(facts, 1.0);
        // Without a picture nothing is measured: now and then a small one shows whether it would do by now.
        let blind = self.level.rung == Rung::Name && facts.stuck < STUCK;
        if blind && now.mono.since(self.since) >= TRY {
            let level = self.take(Level { rung: Rung::Still, why: right.why, fps: 1, size: 30 }, now);
            self.tries = true;
            return Some(level);
        }
        if right.rung > self.level.rung {
            let time = if self.tries { TRIES } else { DOWN };
            return self.waited(right, time, now).then(|| self.take(right, now));
        }
        if right.rung < self.level.rung {
            // Up only if it would also be right with less.
            let careful = Level::of(facts, 0.75);
            let up = careful.rung < self.level.rung && self.waited(careful, UP, now);
            return up.then(|| self.take(careful, now));
        }
        self.other = None;
        let another = right.why != self.level.why || right.fps != self.level.fps;
        let change = another && now.mono.since(self.told) >= TELL && self.level.rung != Rung::Full;
        // The size stays as long as the rung does.
        change.then(|| self.take(Level { size: self.level.size, ..right }, now))
    }

    fn waited(&mut self, right: Level, time: Duration, now: Now) -> bool {
        let same_way = |rung: Rung| (rung > self.level.rung) == (right.rung > self.level.rung);
        match self.other {
            Some((rung, since)) if same_way(rung) => now.mono.since(since) >= time,
            _ => {
                self.other = Some((right.rung, now.mono));
                false
            }
        }
    }

    fn take(&mut self, level: Level, now: Now) -> Level {
        if level.rung != self.level.rung {
            (self.since, self.tries) = (now.mono, false);
        }
        (self.level, self.other, self.told) = (level, None, now.mono);
        level
    }
}

/// Two digits are all that a measured rate is worth.
fn round(kbps: f64) -> u32 {
    let step = if kbps >= 1000.0 {
        100.0
    } else if kbps >= 100.0 {
        10.0
    } else {
        1.0
    };
    ((kbps / step).round() * step) as u32
}

/// Faster than any source.
const MOST_FPS: u8 = 60;
/// Fewer a second are no movement.
const LEAST_FPS: f64 = 3.0;
/// Of what the terminal takes, the share that is counted on for pictures.
const PICTURES: f64 = 0.75;
/// What a cell needs in a frame for the picture to be worth looking at, in bytes.
const A_CELL: f64 = 0.3;
/// What a frame needs beside its cells.
const A_FRAME: f64 = 60.0;
/// A place with fewer cells shows nothing.
const LEAST_CELLS: f64 = 160.0;
/// Bytes a second that one still a second needs.
const A_STILL: f64 = 150.0;
/// After so long without an answer the person is told that nothing moves.
const STUCK: Duration = Duration::from_secs(3);
const DOWN: Duration = Duration::from_millis(400);
const UP: Duration = Duration::from_secs(4);
/// How long there is no picture before a small one is tried, and how long that is tried.
const TRY: Duration = Duration::from_secs(20);
const TRIES: Duration = Duration::from_secs(4);
/// How often a level's figures may change.
const TELL: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Facts =
        Facts { rate: Some(1_000_000), stuck: Duration::ZERO, cells: 1_400, loss: 0.0, work: 5.0 };

    fn at(ms: u64) -> Now {
        Now { wall: Millis(0), mono: Millis(10_000 + ms) }
    }

    fn right(facts: Facts) -> String {
        let level = Level::of(&facts, 1.0);
        format!("{:?} {} {}% {:?}", level.rung, level.fps, level.size, level.said().unwrap_or_default())
    }

    #[test]
    fn each_rung_has_its_reason() {
        let slow = |kbps: u32| Facts { rate: Some(kbps * 125), ..WELL };
        assert_eq!(right(WELL), "Full 60 100% \"\"");
        assert_eq!(right(Facts { rate: None, ..WELL }), "Full 60 100% \"\"");
        assert_eq!(right(slow(48)), "Fewer 9 100% \"fewer frames: the terminal takes 48 kbit/s\"");
        assert_eq!(right(slow(12)), "Smaller 3 75% \"smaller: the terminal takes 12 kbit/s\"");
        assert_eq!(right(slow(8)), "Smaller 3 30% \"smaller: the terminal takes 8 kbit/s\"");
        assert_eq!(right(slow(4)), "Still 1 30% \"one still a second: the terminal takes 4 kbit/s\"");
        assert_eq!(right(slow(1)), "Name 1 30% \"no picture: the terminal takes 1 kbit/s\"");
        assert_eq!(
            right(Facts { loss: 0.2, ..WELL }),
            "Fewer 60 100% \"fewer frames: the network loses 20%\""
        );
        assert_eq!(
            right(Facts { loss: 0.6, ..slow(48) }),
            "Still 1 100% \"one still a second: the network loses 60%\""
        );
        assert_eq!(
            right(Facts { work: 100.0, ..WELL }),
            "Fewer 5 100% \"fewer frames: this machine needs 100 ms a picture\""
        );
        assert_eq!(
            right(Facts { stuck: Duration::from_secs(5), ..WELL }),
            "Name 1 100% \"no picture: the terminal takes 0 kbit/s\""
        );
        assert_eq!(right(Facts { loss: f32::NAN, ..WELL }), "Full 60 100% \"\"");
    }

    #[test]
    fn down_fast_and_up_slowly() {
        let mut ladder = Ladder::default();
        let slow = Facts { rate: Some(1_500), ..WELL };
        assert_eq!(ladder.look(&slow, at(0)), None, "a moment is nothing");
        assert_eq!(ladder.look(&WELL, at(200)), None);
        assert_eq!(ladder.look(&slow, at(300)), None);
        let level = ladder.look(&slow, at(700)).expect("down");
        assert_eq!(level.rung, Rung::Smaller);
        assert_eq!(ladder.look(&WELL, at(1_000)), None);
        assert_eq!(ladder.look(&WELL, at(4_900)), None);
        assert_eq!(ladder.look(&WELL, at(5_000)).expect("up").rung, Rung::Full);
        assert_eq!(ladder.level().said(), None);
    }

    #[test]
    fn a_rate_at_the_edge_does_not_flutter() {
        let mut ladder = Ladder::default();
        let edge = |ms: u64| Facts { rate: Some(if ms.is_multiple_of(200) { 6_300 } else { 6_600 }), ..WELL };
        let changes =
            (0..60_000).step_by(100).filter(|ms| ladder.look(&edge(*ms), at(*ms)).is_some()).count();
        assert!(changes <= 2, "{changes}");
        let falls = Facts { rate: Some(4_000), ..WELL };
        assert_eq!(ladder.look(&falls, at(61_000)), None);
        assert!(ladder.look(&falls, at(61_500)).is_some_and(|level| level.rung == Rung::Fewer));
    }

    #[test]
    fn no_picture_is_tried_with_a_small_one_now_and_then() {
        let mut ladder = Ladder::default();
        let slow = Facts { rate: Some(40), ..WELL };
        let rungs: Vec<_> = (0..60_000)
            .step_by(500)
            .filter_map(|ms| ladder.look(&slow, at(ms)).map(|level| (ms, level.rung)))
            .collect();
        let (name, still) = (Rung::Name, Rung::Still);
        let tried = [(500, name), (20_500, still), (25_000, name), (45_000, still), (49_500, name)];
        assert_eq!(rungs, tried);
        let stuck = Facts { stuck: Duration::from_secs(5), ..slow };
        assert!((60_000..90_000).step_by(500).all(|ms| ladder.look(&stuck, at(ms)).is_none()));
    }

    #[test]
    fn figures_change_seldom() {
        let mut ladder = Ladder::default();
        let told = (0..30_000u32)
            .step_by(100)
            .filter(|ms| {
                let facts = Facts { rate: Some(4_000 + ms % 700), ..WELL };
                ladder.look(&facts, at(u64::from(*ms))).is_some()
            })
            .count();
        assert!((1..=11).contains(&told), "{told}");
    }
}
