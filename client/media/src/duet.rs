//! Tests of two ends that send to each other over a way that loses.

use super::receive::Receiver;
use super::send::{Sender, Shape};
use std::collections::BTreeMap;
use subrosa_shared::id::TrackId;
use subrosa_shared::time::{Millis, Now};
use subrosa_shared::video::picture::Picture;

const SHAPE: Shape = Shape { width: 16, height: 16, fps: 10, budget: 32_000 };
/// One way, in milliseconds; jitter comes on top.
const DELAY: u64 = 20;
const JITTER: u64 = 10;

/// Both ends film ten pictures a second; the first end's pictures are looked at.
struct Duet {
    ends: [(Sender, Receiver); 2],
    /// Sees what the first end sends, and loses nothing.
    mirror: Receiver,
    /// Pictures that left, each with the number that the camera gave it: one that is sent again is not
    /// a new one.
    left: Vec<(u64, Picture)>,
    newest: Option<u64>,
    /// When each picture was shown at the second end.
    shown: Vec<u64>,
    under_way: BTreeMap<(u64, u64), (usize, Vec<u8>)>,
    now: u64,
    random: u64,
    /// Each end's camera.
    films: [bool; 2],
    /// Bytes that the first end sent.
    bytes: usize,
    count: u64,
}

impl Duet {
    fn new(seed: u64) -> Self {
        let end = |own: u32, other: u32| {
            let key = |track: u32| [track as u8; 32];
            let sender = Sender::new(TrackId(own), &key(own), 0, SHAPE).expect("in bounds");
            (sender, Receiver::new(TrackId(other), &key(other), 0))
        };
        Self {
            ends: [end(1, 2), end(2, 1)],
            mirror: Receiver::new(TrackId(1), &[1; 32], 0),
            left: Vec::new(),
            newest: None,
            shown: Vec::new(),
            under_way: BTreeMap::new(),
            now: 0,
            random: seed,
            films: [true; 2],
            bytes: 0,
            count: 0,
        }
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    /// Lets time pass; of a thousand datagrams each way that many are lost.
    fn passes(&mut self, span: u64, loss: [u64; 2]) {
        let end = self.now + span;
        while self.now < end {
            let now = at(self.now);
            while let Some(entry) = self.under_way.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let (to, datagram) = entry.remove();
                self.arrives(to, &datagram, now);
            }
            for (from, loss) in loss.into_iter().enumerate() {
                let mut datagrams = Vec::new();
                if self.films[from] && self.now % 100 == 50 * from as u64 {
                    let shade = self.now / 100 * 7;
                    let picture = Picture::paint(16, 16, |x, y| [(shade + u64::from(x * y)) as u8; 3]);
                    datagrams = self.ends[from].0.send(&picture.expect("in bounds"), now);
                }
                self.listens(from, now);
                if self.ends[from].0.due().is_some_and(|due| due <= now.mono) {
                    datagrams.extend(self.ends[from].0.poll(now));
                }
                for datagram in datagrams {
                    if from == 0 {
                        self.bytes += datagram.len();
                        let picture = self.mirror.datagram(&datagram, now);
                        self.left.extend(picture.map(|picture| (self.now / 100, picture)));
                    }
                    if self.draw(1000) >= loss {
                        self.count += 1;
                        let arrival = self.now + DELAY + self.draw(JITTER);
                        self.under_way.insert((arrival, self.count), (1 - from, datagram));
                    }
                }
            }
            self.now += 1;
        }
    }

    fn arrives(&mut self, to: usize, datagram: &[u8], now: Now) {
        let (sender, receiver) = &mut self.ends[to];
        if let Some(picture) = receiver.datagram(datagram, now)
            && to == 1
        {
            let place = self.left.iter().rposition(|(_, left)| *left == picture);
            let (number, _) = self.left[place.expect("a picture that left")];
            self.left.retain(|(left, _)| *left >= number);
            if self.newest.is_none_or(|newest| number > newest) {
                self.newest = Some(number);
                self.shown.push(self.now);
            }
        }
        receiver.heard().inspect(|heard| sender.heard(heard, now));
        if receiver.wants_keyframe(now) {
            self.ends[1 - to].0.want_keyframe();
        }
    }

    /// Tells the own sender what its eyes say, now that something came or is overdue.
    fn listens(&mut self, who: usize, now: Now) {
        let (sender, receiver) = &mut self.ends[who];
        receiver.feedback(now).inspect(|feedback| sender.tell(*feedback, now));
    }

    /// The longest time without a new picture since that moment, and when it ended.
    fn longest(&self, since: u64) -> (u64, u64) {
        let times: Vec<u64> = [since]
            .into_iter()
            .chain(self.shown.iter().copied().filter(|at| *at > since))
            .chain([self.now])
            .collect();
        times.windows(2).map(|pair| (pair[1] - pair[0], pair[1])).max().unwrap_or_default()
    }
}

fn at(ms: u64) -> Now {
    Now { wall: Millis(0), mono: Millis(ms) }
}

/// How long the second end saw nothing new at most, from the first loss on.
///
/// The chance to fail by independent losses alone is below 10⁻⁴ a loss even at 400 of a thousand, by the
/// sum in `send`; the seeds are fixed, so either it holds for these or it does not.
fn loses(loss: u64, seeds: std::ops::Range<u64>) {
    let mut failed = Vec::new();
    for seed in seeds {
        let mut duet = Duet::new(seed * 77 + 5);
        duet.passes(2_000 + seed * 7, [0; 2]);
        let begun = duet.shown.last().copied().unwrap_or_default();
        duet.passes(20_000, [loss; 2]);
        let (longest, at) = duet.longest(begun);
        if longest > 500 {
            failed.push((seed, longest, at));
        }
    }
    assert!(failed.is_empty(), "(seed, ms without a new picture, until) at {loss}/1000 lost: {failed:?}");
}

#[test]
fn a_new_picture_comes_within_half_a_second_of_a_twentieth_lost() {
    loses(50, 0..10);
}

#[test]
fn a_new_picture_comes_within_half_a_second_of_a_fifth_lost() {
    loses(200, 0..10);
}

#[test]
fn a_new_picture_comes_within_half_a_second_of_two_fifths_lost() {
    loses(400, 0..20);
}

#[test]
fn after_a_blackout_the_picture_is_back_within_half_a_second() {
    for seed in 0..10 {
        let mut duet = Duet::new(seed);
        duet.passes(3_000 + seed * 13, [0; 2]);
        duet.passes(300, [1000; 2]);
        let light = duet.now;
        duet.passes(1_000, [0; 2]);
        let back = duet.shown.iter().find(|at| **at > light + DELAY + JITTER).expect("it came back");
        assert!(back - light <= 500, "{} ms", back - light);
    }
}

#[test]
fn whoever_has_no_camera_is_helped_too() {
    let mut duet = Duet::new(9);
    duet.films[1] = false;
    duet.passes(2_000, [0; 2]);
    duet.passes(10_000, [200, 0]);
    let (longest, at) = duet.longest(2_000);
    assert!(longest <= 500, "{longest} ms until {at} ms");
    duet.films[0] = false;
    duet.passes(2_000, [0; 2]);
    let sent = duet.count;
    duet.passes(60_000, [0; 2]);
    assert_eq!(duet.count, sent, "two silent ends stay silent");
}

#[test]
fn calm_costs_nothing_and_recovery_less_than_keyframes() {
    let mut duet = Duet::new(3);
    duet.passes(10_000, [0; 2]);
    assert!(duet.count <= 10 * 2 * 10 + 4, "{} datagrams: nothing is repeated", duet.count);
    let mut losing = Duet::new(3);
    losing.passes(10_000, [30; 2]);
    assert!(losing.bytes < duet.bytes * 5 / 2, "{} bytes instead of {}", losing.bytes, duet.bytes);
}
