//! Pictures into sealed datagrams: feedback, codec, SFrame, fragments, repeats.
//!
//! How a loss is repaired, cheapest first:
//!
//! 1. The watcher says which frame it holds, and that it needs something. From then on frames
//!    refer to that one only, until the watcher has got one of them: a third to a half of a
//!    keyframe. The first of them is golden itself.
//! 2. When a tenth of all datagrams is lost, each frame refers to the acknowledged one only, so
//!    that a lost one costs nothing but itself, and goes out twice or three times, spread over the time
//!    until the next one. The repeat is the same datagram once more: on a way that loses bursts, time
//!    between copies is what helps, and inside the next frame's payload (64 bytes instead of 150, since
//!    a usual frame is shorter than its packet's headers and seals) it would bring a picture that the
//!    frame around it has just replaced.
//! 3. From the first loss on, and not with the next picture only: a watcher says at once that it
//!    cannot show a picture or that one is overdue, and again each 25 ms. The last picture then goes
//!    out anew as such a frame, three times within 60 ms, at most once a round trip.
//! 4. A watcher that holds nothing asks for a keyframe, here or through the relay.

use super::feedback::{self, Feedback, HELD_UNIT};
use super::meter::{Meter, Stats};
use super::path::{BUDGET_MIN, Path};
use std::collections::VecDeque;
use std::time::Duration;
use subrosa_shared::id::TrackId;
use subrosa_shared::protocol::media::{DATAGRAM_MAX, FRAGMENTS_MAX, HEADER, Header};
use subrosa_shared::session::sframe::{Facts, Sealer};
use subrosa_shared::time::{Millis, Now};
use subrosa_shared::video::codec::{Ask, Chain, Encoder, Layers, Rate};
use subrosa_shared::video::picture::Picture;

// The bound: from when a lost picture should have been seen to a new one are at most 500 ms, at 10
// pictures a second of one datagram each over a round trip of up to 100 ms. Where losses are independent
// no bound is certain. With a share `p` of all datagrams lost each way: the loss is noticed 70 ms after
// the picture should have come, told each 25 ms from then on, so the n-th telling is the first to arrive
// with `(1 − p)·pⁿ⁻¹`, a round trip after it was noticed at the latest; of what is left until 500 ms
// each 33 ms bring one more copy, and 3 the burst: `3 + (500 − 70 − 100 − 25(n − 1)) / 33`, which is 13
// for the first telling and 0.75 less for each after it. The sum over n of
// `(1 − p)·pⁿ⁻¹·p^(13 − 0.75(n − 1))` is below `p¹³·(1 − p)/(1 − p^¼)`, 2·10⁻⁵ at p = 0.4, and that none
// of the tellings of the first 330 ms arrives is `p¹³`, 7·10⁻⁶: below 10⁻⁴ a loss in all. At p = 0.2 it
// is below 10⁻⁸.

/// Size and rate of an outgoing picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// In luma samples, 16 to 320.
    pub width: u16,
    /// In luma samples, 16 to 200.
    pub height: u16,
    /// Pictures a second, 1 to 30.
    pub fps: u8,
    /// Bits a second on average, headers, seals and repeats included.
    pub budget: u32,
}

impl Default for Shape {
    fn default() -> Self {
        Self { width: 96, height: 64, fps: 10, budget: 32_000 }
    }
}

/// The shape is out of bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a call picture is 16x16 to 320x200 at 1 to 30 pictures a second; set another size or rate")]
pub struct Misfit;

/// One outgoing track, with one watcher.
pub struct Sender {
    track: TrackId,
    fps: u8,
    encoder: Encoder,
    sealer: Sealer,
    /// Number of the next frame on the wire.
    frame: u32,
    /// A keyframe is wanted.
    wanted: bool,
    last_keyframe: Option<Millis>,
    /// The watcher needed something lately: loss seldom comes alone.
    shaken: Option<Millis>,
    /// The watcher needs a frame that refers only to what it holds, and has not got one yet.
    recovering: Option<Recovering>,
    path: Path,
    /// What the encoder was told last.
    pace: Pace,
    /// Pictures that are not sent: the share of them that is due.
    credit: u32,
    repeats: VecDeque<Repeat>,
    /// The picture that went out last, as long as it may be sent again.
    filmed: Option<Picture>,
    /// Its datagrams, when they need nothing but what the watcher is known to hold.
    sound: Option<Vec<Vec<u8>>>,
    /// When it is to be, and when it was.
    again: Option<Millis>,
    burst: Option<Millis>,
    /// What our own eyes say of the other end's track, and when they said it.
    seen: Option<(Feedback, Millis)>,
    /// The way was too narrow lately: nothing is insisted on, or sent again.
    narrow: bool,
    said: Option<Said>,
    meter: Meter,
}

/// How many frames a second, and how often each goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pace {
    fps: u8,
    copies: u8,
    bytes_per_second: u32,
}

/// The first frame that may help, and when the encoder was last asked for one.
struct Recovering {
    first: u32,
    asked: Option<Millis>,
}

struct Repeat {
    at: Millis,
    datagrams: Vec<Vec<u8>>,
}

/// The feedback that went out last.
struct Said {
    at: Millis,
    feedback: Feedback,
}

/// However often it is asked, keyframes are at least this far apart.
pub const KEYFRAME_SPACING: Duration = Duration::from_millis(250);

/// How often feedback goes out: with a frame, and without one when there is none.
const FEEDBACK_WITH: Duration = Duration::from_millis(250);
const FEEDBACK_ALONE: Duration = Duration::from_millis(500);

/// How often it goes out while we need something, and for how long when nothing comes.
const NEED: Duration = Duration::from_millis(25);
const INSIST: Duration = Duration::from_millis(400);

/// A picture that is sent again goes out three times within that, and not again before it is over.
const BURST: Duration = Duration::from_millis(60);

/// A frame of nothing but feedback keeps that far from a picture's, which it must not overtake.
const APART: Duration = Duration::from_millis(15);

/// How long frames do not need each other after the watcher needed something, and how often each goes
/// out meanwhile: whether much is lost is known only after a second or two.
const SHAKEN: Duration = Duration::from_millis(1_500);
const COPIES_SHAKEN: u8 = 3;

/// Pictures are sent again as long as no more went out lately than that many times what is set: more than
/// [`COPIES_SHAKEN`] of each take.
const SPENT: u64 = 4;

/// The most fragments of a frame that is repeated.
const REPEAT_MAX: usize = 4;

impl Sender {
    /// The key must be fresh: frames are counted from 0 under it.
    ///
    /// # Errors
    /// [`Misfit`] when the shape is out of bounds.
    pub fn new(track: TrackId, key: &[u8; 32], kid: u64, shape: Shape) -> Result<Self, Misfit> {
        if !(1..=30).contains(&shape.fps) {
            return Err(Misfit);
        }
        let pace = Pace::new(shape.fps, shape.budget, 1);
        let encoder = Encoder::new(shape.width, shape.height, pace.rate()).ok_or(Misfit)?;
        Ok(Self {
            track,
            fps: shape.fps,
            encoder,
            sealer: Sealer::new(key, kid),
            frame: 0,
            wanted: false,
            last_keyframe: None,
            shaken: None,
            recovering: None,
            path: Path::new(shape.budget, least(shape.fps)),
            pace,
            credit: shape.fps.into(),
            repeats: VecDeque::new(),
            filmed: None,
            sound: None,
            again: None,
            burst: None,
            seen: None,
            narrow: false,
            said: None,
            meter: Meter::default(),
        })
    }

    /// The picture's datagrams, in order, each at most [`DATAGRAM_MAX`] bytes; none when the budget
    /// has no room for so many pictures. The first picture is a keyframe.
    pub fn send(&mut self, picture: &Picture, now: Now) -> Vec<Vec<u8>> {
        self.adapt(now);
        self.credit += u32::from(self.pace.fps);
        if self.credit < u32::from(self.fps) {
            return Vec::new();
        }
        self.credit -= u32::from(self.fps);
        self.filmed = Some(picture.clone());
        let between = Duration::from_secs(1) / u32::from(self.pace.fps);
        self.meter.picture(now);
        self.picture(picture, between, now)
    }

    /// The last picture once more: as it was when that helps, and anew when it refers to what was lost.
    /// So recovery does not make golden frames faster than they are acknowledged.
    fn sends_again(&mut self, now: Now) -> Vec<Vec<u8>> {
        if let Some(datagrams) = self.sound.clone() {
            self.path.repeats(datagrams.len());
            self.meter.bytes(datagrams.iter().map(Vec::len).sum(), now);
            self.schedule(&datagrams, BURST, now);
            return datagrams;
        }
        self.adapt(now);
        let Some(picture) = self.filmed.take() else { return Vec::new() };
        let datagrams = self.picture(&picture, BURST, now);
        self.filmed = Some(picture);
        datagrams
    }

    /// Encodes a picture, plans the repeats within that time, and seals it.
    fn picture(&mut self, picture: &Picture, within: Duration, now: Now) -> Vec<Vec<u8>> {
        self.again = None;
        let ask = self.ask(now);
        let sound = ask != Ask::Any || self.is_independent();
        let frame = self.encoder.encode(picture, ask);
        if frame.keyframe {
            self.wanted = false;
            self.last_keyframe = Some(now.mono);
        }
        let facts =
            Facts { track: self.track, frame: self.frame, keyframe: frame.keyframe, layer: frame.layer };
        let feedback = self.feedback_due(now);
        let datagrams = self.seal(&facts, feedback, &frame.bytes, now);
        self.schedule(&datagrams, within, now);
        self.sound = sound.then(|| datagrams.clone());
        datagrams
    }

    /// When something is to go out that does not wait for a picture: a repeat, or feedback.
    pub fn due(&self) -> Option<Millis> {
        let repeat = self.repeats.front().map(|repeat| repeat.at);
        repeat.into_iter().chain(self.again).chain(self.feedback_alone()).min()
    }

    /// What is due by now.
    pub fn poll(&mut self, now: Now) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        while self.repeats.front().is_some_and(|repeat| repeat.at <= now.mono) {
            let Some(repeat) = self.repeats.pop_front() else { break };
            self.path.repeats(repeat.datagrams.len());
            self.meter.bytes(repeat.datagrams.iter().map(Vec::len).sum(), now);
            datagrams.extend(repeat.datagrams);
        }
        if self.again.take_if(|at| *at <= now.mono).is_some() {
            self.burst = Some(now.mono);
            datagrams.extend(self.sends_again(now));
        }
        if self.feedback_alone().is_some_and(|at| at <= now.mono) {
            let facts = Facts { track: self.track, frame: self.frame, keyframe: false, layer: 0 };
            let feedback = self.say(now);
            datagrams.extend(self.seal(&facts, feedback, &[], now));
        }
        datagrams
    }

    /// What our own receiver has to say to the other end; it travels with our frames.
    pub fn tell(&mut self, feedback: Feedback, now: Now) {
        self.seen = Some((feedback, now.mono));
        self.narrow = self.path.is_queueing() || self.path.is_narrow(now);
    }

    /// What the watcher of this track said.
    pub fn heard(&mut self, feedback: &Feedback, now: Now) {
        if !self.path.heard(feedback, now) {
            return;
        }
        // The path knows the frame, so it is one of the last few hundred.
        let back = (self.frame.wrapping_sub(1) as u16).wrapping_sub(feedback.newest);
        let newest = self.frame.wrapping_sub(1).wrapping_sub(back.into());
        if let Some(reference) = feedback.reference {
            self.encoder.acknowledge(reference);
        }
        let needs = feedback.needs || feedback.late && self.path.is_missing(feedback.newest, now);
        if needs {
            let spacing = BURST.max(self.path.round_trip());
            self.narrow = self.path.is_queueing() || self.path.is_narrow(now);
            if !self.narrow {
                self.shaken = Some(now.mono);
            }
            let room = self.filmed.is_some() && !self.narrow && !self.is_spent(now);
            if room && self.burst.is_none_or(|last| now.mono.since(last) >= spacing) {
                self.again = Some(now.mono);
            }
        }
        match (needs, &self.recovering) {
            (true, _) if feedback.reference.is_none() => self.wanted = true,
            (true, None) => self.recovering = Some(Recovering { first: self.frame, asked: None }),
            (false, Some(recovering)) if newest.wrapping_sub(recovering.first) < 1 << 31 => {
                self.recovering = None;
            }
            _ => {}
        }
    }

    /// The camera is off: what it saw last is not sent again.
    pub fn rest(&mut self) {
        (self.filmed, self.sound, self.again) = (None, None, None);
    }

    /// Someone cannot decode: the next picture becomes a keyframe, unless one has just been.
    pub fn want_keyframe(&mut self) {
        self.wanted = true;
    }

    /// Continues on another track, after the relay was reached anew; starts with a keyframe.
    pub fn set_track(&mut self, track: TrackId) {
        self.track = track;
        self.wanted = true;
        self.last_keyframe = None;
        self.recovering = None;
        self.repeats.clear();
        self.rest();
        self.path.begin_anew();
    }

    /// Another budget from the next picture on, in bits a second.
    pub fn set_budget(&mut self, budget: u32) {
        self.path.set(budget.max(BUDGET_MIN));
    }

    /// Another size and rate from the next picture on, which is a keyframe; the budget stays.
    ///
    /// # Errors
    /// [`Misfit`] when they are out of bounds; then nothing changes.
    pub fn set_shape(&mut self, width: u16, height: u16, fps: u8) -> Result<(), Misfit> {
        if !(1..=30).contains(&fps) || !self.encoder.resize(width, height) {
            return Err(Misfit);
        }
        self.fps = fps;
        self.credit = fps.into();
        self.pace = Pace::new(fps, self.path.budget(), self.path.copies());
        self.encoder.set_rate(self.pace.rate());
        self.recovering = None;
        self.repeats.clear();
        Ok(())
    }

    /// Bits a second that are used at most; less than was set while the way is too narrow.
    pub fn budget(&self) -> u32 {
        self.path.budget()
    }

    /// Rates of the last seconds.
    pub fn stats(&self, now: Now) -> Stats {
        self.meter.stats(now)
    }

    /// Sets the encoder to what the way takes now.
    fn adapt(&mut self, now: Now) {
        if self.shaken.is_some_and(|since| now.mono.since(since) >= SHAKEN) {
            self.shaken = None;
        }
        self.encoder.set_chain(if self.is_independent() { Chain::Acknowledged } else { Chain::Last });
        self.encoder.set_layers(if self.path.is_narrow(now) { Layers::Two } else { Layers::One });
        let pace = Pace::new(self.fps, self.path.budget(), self.path.copies());
        if pace != self.pace {
            self.pace = pace;
            self.encoder.set_rate(pace.rate());
        }
    }

    /// So much went out lately that nothing is sent again: a watcher may need something all the time.
    fn is_spent(&self, now: Now) -> bool {
        let set = u64::from(self.path.setting()) / 8 * Meter::WINDOW.as_secs();
        self.meter.recent(now) >= set * SPENT
    }

    /// Frames do not need each other.
    fn is_independent(&self) -> bool {
        self.path.is_rough() || self.recovering.is_some() || self.shaken.is_some()
    }

    fn ask(&mut self, now: Now) -> Ask {
        let due = |last: Option<Millis>| last.is_none_or(|last| now.mono.since(last) >= KEYFRAME_SPACING);
        if self.wanted && due(self.last_keyframe) {
            return Ask::Keyframe;
        }
        // Those in between refer to acknowledged frames, by the chain.
        match &mut self.recovering {
            Some(recovering) if due(recovering.asked) => {
                recovering.asked = Some(now.mono);
                Ask::Recover
            }
            _ => Ask::Any,
        }
    }

    /// Seals a frame that goes out now, and counts it.
    fn seal(&mut self, facts: &Facts, say: Option<Feedback>, frame: &[u8], now: Now) -> Vec<Vec<u8>> {
        // 2^32 frames are four years at 30 a second; the far end refuses what comes after.
        self.frame = self.frame.wrapping_add(1);
        let payload = feedback::encode(say.as_ref(), frame);
        let Ok(sealed) = self.sealer.seal(facts, &payload) else { return Vec::new() };
        let datagrams = fragments(facts, &sealed);
        if frame.is_empty() {
            self.path.repeats(datagrams.len());
        } else {
            self.path.sends(facts.frame, datagrams.len(), now);
        }
        self.meter.bytes(datagrams.iter().map(Vec::len).sum(), now);
        datagrams
    }

    /// Plans the frame's repeats, spread over that time.
    fn schedule(&mut self, datagrams: &[Vec<u8>], within: Duration, now: Now) {
        // What has not gone out yet of the frame before is replaced.
        self.repeats.clear();
        // Someone who waits for a picture should not wait for one datagram, unless all wait in a queue.
        let copies = match () {
            () if self.narrow => 1,
            () if self.shaken.is_some() => COPIES_SHAKEN,
            () => self.pace.copies,
        };
        if datagrams.len() > REPEAT_MAX {
            return;
        }
        let between = within / u32::from(copies);
        for copy in 1..u32::from(copies) {
            self.repeats
                .push_back(Repeat { at: now.mono.plus(between * copy), datagrams: datagrams.to_vec() });
        }
    }

    /// Feedback that goes along with a frame: now and then, and each time while it is pressing.
    fn feedback_due(&mut self, now: Now) -> Option<Feedback> {
        let (seen, _) = self.seen.as_ref()?;
        let due = self.said.as_ref().is_none_or(|said| {
            !self.narrow && (seen.presses() || self.path.is_rough())
                || now.mono.since(said.at) >= FEEDBACK_WITH
        });
        due.then(|| self.say(now)).flatten()
    }

    /// When feedback goes out without a picture, if none takes it along before.
    fn feedback_alone(&self) -> Option<Millis> {
        let (seen, at) = self.seen.as_ref()?;
        let Some(said) = &self.said else { return Some(*at) };
        // What is pressing is said more than once, since that may be lost too; but not forever to someone
        // who sends nothing any more.
        let again = seen.presses() && !self.narrow && said.at.since(*at) < INSIST;
        if said.feedback == *seen && !again {
            return None;
        }
        let pressing = seen.presses() && !said.feedback.presses();
        let spacing = match () {
            () if self.narrow => FEEDBACK_ALONE,
            () if pressing => APART,
            () if seen.presses() => NEED,
            () => FEEDBACK_ALONE,
        };
        Some(said.at.plus(spacing))
    }

    /// The feedback of this moment; it counts as said.
    fn say(&mut self, now: Now) -> Option<Feedback> {
        let (seen, at) = self.seen?;
        self.said = Some(Said { at: now.mono, feedback: seen });
        let held = now.mono.since(at).as_millis() as u64 / HELD_UNIT;
        let held = u64::from(seen.held).saturating_add(held).min(u8::MAX.into()) as u8;
        Some(Feedback { held, ..seen })
    }
}

impl Pace {
    /// As many pictures as the budget has room for, and for each what is left once its datagrams are
    /// paid for.
    fn new(fps: u8, budget: u32, copies: u8) -> Self {
        let bytes = budget / 8 / u32::from(copies.max(1));
        let room = bytes / (OVERHEAD + FRAME_MIN);
        let fps = room.clamp(1, fps.into()) as u8;
        let bytes_per_second =
            bytes.saturating_sub(u32::from(fps) * OVERHEAD).max(u32::from(fps) * FRAME_MIN);
        Self { fps, copies, bytes_per_second }
    }

    fn rate(&self) -> Rate {
        Rate::Budget { bytes_per_second: self.bytes_per_second, fps: self.fps }
    }
}

/// Our header, the payload's head with some feedback, and SFrame's header and tag of a usual frame, in
/// bytes.
const OVERHEAD: u32 = HEADER as u32 + 4 + 20;

/// A picture that gets less is not worth its datagram, in bytes.
const FRAME_MIN: u32 = 24;

/// What the smallest pictures take, each sent once, in bits a second: as many as were asked for, but no
/// more than recovery within half a second needs.
fn least(fps: u8) -> u32 {
    u32::from(fps.min(10)) * (OVERHEAD + FRAME_MIN) * 8
}

/// A sealed frame in datagrams of about equal length.
fn fragments(facts: &Facts, sealed: &[u8]) -> Vec<Vec<u8>> {
    let count = sealed.len().div_ceil(DATAGRAM_MAX - HEADER).max(1);
    let Some(count) = u8::try_from(count).ok().filter(|count| *count <= FRAGMENTS_MAX) else {
        return Vec::new();
    };
    let length = sealed.len().div_ceil(count.into()).max(1);
    let datagram = |(index, payload): (u8, &[u8])| {
        let header = Header {
            track: facts.track,
            frame: facts.frame,
            index,
            count,
            layer: facts.layer,
            keyframe: facts.keyframe,
        };
        [&header.encode()[..], payload].concat()
    };
    (0..count).zip(sealed.chunks(length)).map(datagram).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face;

    const KEY: [u8; 32] = [3; 32];

    fn at(ms: u64) -> Now {
        Now { wall: Millis(0), mono: Millis(ms) }
    }

    #[test]
    fn it_starts_with_a_keyframe_and_repeats_one_when_asked() {
        let mut sender = Sender::new(TrackId(4), &KEY, 1, Shape::default()).expect("in bounds");
        let mut keyframes = Vec::new();
        for tick in 0..12 {
            if tick >= 5 {
                sender.want_keyframe();
            }
            let picture = face::picture(96, 64, Duration::from_millis(tick * 100), 1).expect("in bounds");
            let datagrams = sender.send(&picture, at(tick * 100));
            let (header, _) = Header::decode(&datagrams[0]).expect("ours");
            assert_eq!((header.track, header.frame), (TrackId(4), tick as u32));
            if header.keyframe {
                keyframes.push(tick);
            }
        }
        assert_eq!(keyframes, [0, 5, 8, 11], "at most one each quarter of a second");
    }

    #[test]
    fn fragments_fit_and_cover_the_frame() {
        let facts = Facts { track: TrackId(1), frame: 2, keyframe: true, layer: 0 };
        for length in [1, 1107, 1108, 1109, 5_000, 64 * 1108] {
            let sealed: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let datagrams = fragments(&facts, &sealed);
            let mut whole = Vec::new();
            for (index, datagram) in datagrams.iter().enumerate() {
                assert!(datagram.len() <= DATAGRAM_MAX);
                let (header, payload) = Header::decode(datagram).expect("ours");
                assert_eq!((usize::from(header.index), usize::from(header.count)), (index, datagrams.len()));
                whole.extend_from_slice(payload);
            }
            assert!(whole == sealed, "{length} bytes");
        }
        assert!(fragments(&facts, &vec![0; 64 * 1108 + 1]).is_empty());
    }

    #[test]
    fn a_watcher_that_always_needs_something_gets_no_flood() {
        let shape = Shape { width: 320, height: 200, fps: 1, budget: 32_000 };
        let mut sender = Sender::new(TrackId(4), &KEY, 1, shape).expect("in bounds");
        let (mut bytes, mut received) = (0, 0u16);
        for ms in (0..10_000).step_by(5) {
            let mut sent = Vec::new();
            if ms % 1_000 == 0 {
                let picture = face::picture(320, 200, Duration::from_millis(ms), 1).expect("in bounds");
                sent = sender.send(&picture, at(ms));
            }
            if ms % 25 == 0 {
                let newest = sender.frame.wrapping_sub(1) as u16;
                // Nothing seems to take any time, or to be lost.
                let feedback =
                    Feedback { newest, received, held: 254, reference: None, needs: true, late: false };
                sender.heard(&feedback, at(ms));
            }
            sent.extend(sender.poll(at(ms)));
            bytes += sent.iter().map(Vec::len).sum::<usize>();
            received = received.wrapping_add(sent.len() as u16);
        }
        let set = 10 * 32_000 / 8;
        assert!((set / 2..5 * set).contains(&bytes), "{bytes} bytes where {set} are set");
    }

    #[test]
    fn shapes_are_bounded() {
        let wrong = [(8, 64, 10), (96, 400, 10), (96, 64, 0), (96, 64, 31)];
        for (width, height, fps) in wrong {
            let shape = Shape { width, height, fps, budget: 32_000 };
            assert!(Sender::new(TrackId(1), &KEY, 1, shape).is_err(), "{shape:?}");
        }
    }
}
