//! Sealed datagrams into pictures: fragments, SFrame, feedback, codec.

use super::feedback::{self, Feedback, HELD_UNIT};
use super::meter::{Meter, Stats};
use std::collections::VecDeque;
use std::time::Duration;
use subrosa_shared::id::TrackId;
use subrosa_shared::protocol::media::Header;
use subrosa_shared::session::sframe::{Facts, Opener};
use subrosa_shared::time::{Millis, Now};
use subrosa_shared::video::codec::Decoder;
use subrosa_shared::video::picture::Picture;

/// One incoming track. What is lost, late, doubled or forged is counted and dropped.
pub struct Receiver {
    track: TrackId,
    opener: Opener,
    decoder: Decoder,
    /// Frames of which some fragments are here, in order of arrival.
    partial: VecDeque<Partial>,
    /// Number of the newest frame that was opened.
    newest: Option<u32>,
    /// The same of the newest one with a picture in it, and when it came.
    pictured: Option<(u32, Millis)>,
    /// How far apart the last ones came, in milliseconds.
    gaps: VecDeque<u64>,
    /// Some came so late, though nothing before the last was lost, that they stand in a queue.
    queued: bool,
    /// The next one is overdue, and this was noticed.
    late: bool,
    /// Datagrams of this track, whatever was in them.
    received: u16,
    /// Until when those that were decoded take up their time, at [`EACH`].
    busy: Millis,
    /// Nothing can be shown until a frame comes that needs no more than what is held; since when.
    stuck: Option<Millis>,
    last_request: Option<Millis>,
    /// A picture came, or was lost, that the sender was not told of.
    news: bool,
    /// What the other end said of our own track, until somebody takes it.
    heard: Option<Feedback>,
    forged: u64,
    meter: Meter,
}

/// A frame that is not whole yet.
struct Partial {
    facts: Facts,
    fragments: Vec<Option<Vec<u8>>>,
}

/// How long a sender may take to send something that helps, before the relay is asked for a keyframe.
pub const PATIENCE: Duration = Duration::from_millis(1_000);

/// How far apart requests for a keyframe are, at least.
pub const REQUEST_SPACING: Duration = Duration::from_millis(300);

/// The most frames that wait for fragments; with at most 64 fragments each this bounds memory to
/// 560 KB a track.
pub const PARTIAL_MAX: usize = 8;

/// Gaps between pictures that are looked at. The second shortest of them counts: a lost picture makes a
/// gap longer, one that was sent again makes two short ones.
const GAPS: usize = 4;
const GAP_COUNTS: usize = 1;

/// The time that a decoded picture takes up, twice the most that a sender films, and how far ahead of it they
/// may come: what waited in a queue comes at once.
const EACH: Duration = Duration::from_millis(16);
const AHEAD: Duration = Duration::from_millis(500);

/// Jitter that is nobody's fault, in milliseconds.
const JITTER: u64 = 20;

impl Receiver {
    /// Opens what a sender with this key and key id sends on the track.
    pub fn new(track: TrackId, key: &[u8; 32], kid: u64) -> Self {
        Self {
            track,
            opener: Opener::new(key, kid),
            decoder: Decoder::new(),
            partial: VecDeque::new(),
            newest: None,
            pictured: None,
            gaps: VecDeque::new(),
            queued: false,
            late: false,
            received: 0,
            busy: Millis(0),
            stuck: Some(Millis(0)),
            last_request: None,
            news: false,
            heard: None,
            forged: 0,
            meter: Meter::default(),
        }
    }

    /// Takes a datagram; the picture, when it completes one that is newer than the last.
    pub fn datagram(&mut self, datagram: &[u8], now: Now) -> Option<Picture> {
        let (header, payload) = Header::decode(datagram).ok().filter(|(h, _)| h.track == self.track)?;
        self.received = self.received.wrapping_add(1);
        self.meter.bytes(datagram.len(), now);
        if self.newest.is_some_and(|newest| header.frame <= newest) {
            return None;
        }
        let (facts, sealed) = self.assemble(header, payload)?;
        let Ok(payload) = self.opener.open(&facts, &sealed) else {
            self.forged += 1;
            return None;
        };
        // Only a verified number moves on, or a forged one could silence the track.
        let missed = self.newest.map_or(0, |newest| facts.frame - newest - 1);
        self.newest = Some(facts.frame);
        self.partial.retain(|partial| partial.facts.frame > facts.frame);
        // Frames before the first that needs no other cannot be shown, though the network lost nothing.
        let joined = self.decoder.newest().is_some();
        if joined {
            self.meter.lost(missed, now);
        }
        let Ok((feedback, frame)) = feedback::decode(&payload) else {
            self.forged += 1;
            return None;
        };
        self.heard = feedback.or(self.heard);
        // Frames of nothing but feedback are not answered, or two silent ends would never be silent.
        if frame.is_empty() {
            return None;
        }
        // Who sends more pictures than anybody can see does not get the time of this machine for them.
        let free = self.busy.max(now.mono);
        if free.since(now.mono) > AHEAD {
            if joined {
                self.meter.lost(1, now);
            }
            return None;
        }
        self.busy = free.plus(EACH);
        self.comes(facts.frame, missed, now);
        match self.decoder.decode(frame) {
            Ok(picture) => {
                self.stuck = None;
                self.meter.picture(now);
                Some(picture)
            }
            Err(_) => {
                self.stuck.get_or_insert(now.mono);
                if joined {
                    self.meter.lost(1, now);
                }
                None
            }
        }
    }

    /// What the other end said of our own track since the last call.
    pub fn heard(&mut self) -> Option<Feedback> {
        self.heard.take()
    }

    /// When the next picture is overdue, which the sender should know: time for [`Receiver::feedback`].
    pub fn due(&self) -> Option<Millis> {
        let (_, came) = self.pictured.filter(|_| !self.late)?;
        let mut gaps: Vec<u64> = self.gaps.iter().copied().collect();
        gaps.sort_unstable();
        // In a queue, the second longest is usual too.
        let gap = gaps.get(if self.queued { gaps.len().checked_sub(2)? } else { GAP_COUNTS })?;
        Some(came.plus(Duration::from_millis(gap + gap / 2 + JITTER)))
    }

    /// What to tell the sender; `None` when that is nothing new.
    pub fn feedback(&mut self, now: Now) -> Option<Feedback> {
        if self.due().is_some_and(|due| due <= now.mono) {
            (self.late, self.news) = (true, true);
        }
        let (newest, came) = self.pictured.filter(|_| self.news)?;
        self.news = false;
        let held = now.mono.since(came).as_millis() as u64 / HELD_UNIT;
        Some(Feedback {
            newest: newest as u16,
            received: self.received,
            held: held.min(u8::MAX.into()) as u8,
            reference: self.decoder.newest(),
            needs: self.stuck.is_some(),
            late: self.late,
        })
    }

    /// Whether to ask for a keyframe through the relay now: when nothing was ever shown, or when
    /// feedback did not help. Says so at most each [`REQUEST_SPACING`].
    pub fn wants_keyframe(&mut self, now: Now) -> bool {
        let due = self.last_request.is_none_or(|last| now.mono.since(last) >= REQUEST_SPACING);
        let nothing = self.decoder.newest().is_none();
        let waited = self.stuck.is_some_and(|since| nothing || now.mono.since(since) >= PATIENCE);
        let wants = waited && due;
        if wants {
            self.last_request = Some(now.mono);
        }
        wants
    }

    /// Continues on another track of the same sender, after the relay was reached anew.
    pub fn set_track(&mut self, track: TrackId) {
        self.track = track;
        self.partial.clear();
        self.gaps.clear();
        self.queued = false;
        self.late = false;
        self.stuck = Some(Millis(0));
        self.last_request = None;
    }

    /// Rates of the last seconds.
    pub fn stats(&self, now: Now) -> Stats {
        self.meter.stats(now)
    }

    /// Whole frames that did not verify, or came before.
    pub fn forged(&self) -> u64 {
        self.forged
    }

    /// A frame with a picture in it is here, whether or not it can be shown.
    fn comes(&mut self, frame: u32, missed: u32, now: Now) {
        if let Some((_, before)) = self.pictured.replace((frame, now.mono)) {
            if self.gaps.len() == GAPS {
                self.gaps.pop_front();
            }
            self.gaps.push_back(now.mono.since(before).as_millis() as u64);
            self.queued = missed == 0 && self.is_uneven();
        }
        (self.late, self.news) = (false, true);
    }

    /// Two gaps are longer than copies of a picture are ever spread: one alone may be a pause.
    fn is_uneven(&self) -> bool {
        let mut gaps: Vec<u64> = self.gaps.iter().copied().collect();
        gaps.sort_unstable();
        let usual = gaps.get(GAP_COUNTS).copied().unwrap_or(u64::MAX / 4);
        gaps.iter().nth_back(1).is_some_and(|gap| *gap > 2 * usual + JITTER)
    }

    /// Keeps a fragment; the sealed frame when it is the last one missing.
    fn assemble(&mut self, header: Header, payload: &[u8]) -> Option<(Facts, Vec<u8>)> {
        let facts = Facts {
            track: header.track,
            frame: header.frame,
            keyframe: header.keyframe,
            layer: header.layer,
        };
        if header.count == 1 {
            return Some((facts, payload.to_vec()));
        }
        let (index, count) = (usize::from(header.index), usize::from(header.count));
        // Fragments that contradict each other are not of one frame.
        let place = match self.partial.iter().position(|p| p.facts == facts && p.fragments.len() == count) {
            Some(place) => place,
            None => {
                if self.partial.len() == PARTIAL_MAX {
                    self.partial.pop_front();
                }
                self.partial.push_back(Partial { facts, fragments: vec![None; count] });
                self.partial.len() - 1
            }
        };
        let fragments = &mut self.partial[place].fragments;
        fragments[index].get_or_insert_with(|| payload.to_vec());
        if fragments.iter().any(Option::is_none) {
            return None;
        }
        let whole = self.partial.remove(place)?;
        Some((facts, whole.fragments.into_iter().flatten().flatten().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face;
    use crate::send::{Sender, Shape};

    const KEY: [u8; 32] = [3; 32];
    const TRACK: TrackId = TrackId(4);

    fn at(ms: u64) -> Now {
        Now { wall: Millis(0), mono: Millis(ms) }
    }

    fn shape() -> Shape {
        // Rich enough that a keyframe takes several datagrams.
        Shape { width: 320, height: 200, fps: 10, budget: 2_000_000 }
    }

    /// The datagrams of some pictures, a list each.
    fn frames(count: u64) -> Vec<Vec<Vec<u8>>> {
        let mut sender = Sender::new(TRACK, &KEY, 1, shape()).expect("in bounds");
        let picture =
            |tick| face::picture(320, 200, Duration::from_millis(tick * 100), 1).expect("in bounds");
        (0..count).map(|tick| sender.send(&picture(tick), at(tick * 100))).collect()
    }

    fn take(receiver: &mut Receiver, datagrams: &[Vec<u8>], now: Now) -> Option<Picture> {
        datagrams.iter().filter_map(|datagram| receiver.datagram(datagram, now)).last()
    }

    #[test]
    fn pictures_arrive_and_look_like_what_was_sent() {
        let mut receiver = Receiver::new(TRACK, &KEY, 1);
        assert!(receiver.wants_keyframe(at(0)), "whoever joins late needs one");
        for (tick, datagrams) in frames(6).iter().enumerate() {
            let tick = tick as u64;
            let picture = take(&mut receiver, datagrams, at(tick * 100)).expect("whole");
            let sent = face::picture(320, 200, Duration::from_millis(tick * 100), 1).expect("in bounds");
            let psnr = picture.psnr(&sent).expect("same size");
            assert!(psnr > 30.0, "{psnr} dB");
            assert!(!receiver.wants_keyframe(at(tick * 100 + 5_000)));
        }
        let stats = receiver.stats(at(550));
        assert!(stats.fps > 5.0 && stats.kbits > 10.0 && stats.loss == 0.0, "{stats:?}");
    }

    #[test]
    fn fragments_may_come_in_any_order_and_twice() {
        let frames = frames(3);
        assert!(frames[0].len() > 1, "a keyframe of several datagrams");
        let mut receiver = Receiver::new(TRACK, &KEY, 1);
        let mut first = frames[0].clone();
        first.reverse();
        first.insert(1, first[0].clone());
        assert!(take(&mut receiver, &first, at(0)).is_some());
        assert!(take(&mut receiver, &frames[0], at(1)).is_none(), "the whole frame again is late");
        assert!(take(&mut receiver, &frames[1], at(2)).is_some());
        assert_eq!(receiver.forged(), 0);
    }

    #[test]
    fn a_lost_frame_asks_for_a_keyframe_at_a_bounded_rate() {
        let frames = frames(5);
        let mut receiver = Receiver::new(TRACK, &KEY, 1);
        take(&mut receiver, &frames[0], at(0));
        assert!(!receiver.feedback(at(100)).expect("one came").needs);
        assert!(take(&mut receiver, &frames[2], at(200)).is_none(), "its reference is lost");
        let feedback = receiver.feedback(at(240)).expect("some came");
        assert!(feedback.needs && feedback.reference == Some(0), "{feedback:?}");
        assert_eq!((feedback.newest, feedback.held), (2, 10));
        assert!(!receiver.wants_keyframe(at(1_100)), "the sender knows how to help");
        assert!(receiver.wants_keyframe(at(1_200)));
        assert!(!receiver.wants_keyframe(at(1_400)));
        assert!(receiver.wants_keyframe(at(1_500)));
        assert!(take(&mut receiver, &frames[1], at(1_510)).is_none(), "too late");
        assert!(receiver.stats(at(1_600)).loss > 50.0);
    }

    #[test]
    fn what_came_before_the_first_keyframe_counted_as_lost() {
        let mut sender = Sender::new(TRACK, &KEY, 1, shape()).expect("in bounds");
        let mut receiver = Receiver::new(TRACK, &KEY, 1);
        let mut sent = |tick: u64, asked: bool| {
            if asked {
                sender.want_keyframe();
            }
            let picture = face::picture(320, 200, Duration::from_millis(tick * 100), 1).expect("in bounds");
            sender.send(&picture, at(tick * 100))
        };
        assert!(!sent(0, false).is_empty(), "whoever watches later does not get it");
        let [before, _lost, after] = [1, 2, 3].map(|tick| sent(tick, false));
        assert!(take(&mut receiver, &before, at(100)).is_none());
        assert!(take(&mut receiver, &after, at(300)).is_none());
        assert_eq!(receiver.stats(at(350)).loss, 0.0);
        let came = (4..60).find(|tick| take(&mut receiver, &sent(*tick, true), at(tick * 100)).is_some());
        let came = came.expect("a keyframe");
        assert_eq!(receiver.stats(at(came * 100)).loss, 0.0);
    }

    #[test]
    fn an_overdue_picture_is_told_once_and_silence_is_not_one_each_time() {
        let frames = frames(8);
        let mut receiver = Receiver::new(TRACK, &KEY, 1);
        for tick in 0..4 {
            take(&mut receiver, &frames[tick as usize], at(tick * 100)).expect("whole");
            receiver.feedback(at(tick * 100)).expect("one came");
        }
        assert_eq!(receiver.due(), Some(Millis(300 + 150 + JITTER)));
        assert_eq!(receiver.feedback(at(469)), None);
        let feedback = receiver.feedback(at(470)).expect("it is overdue");
        assert!(feedback.late && !feedback.needs && feedback.newest == 3, "{feedback:?}");
        assert_eq!((receiver.due(), receiver.feedback(at(9_000))), (None, None), "said once");
        // Its reference is here; one long gap does not make it wait longer for the next.
        take(&mut receiver, &frames[4], at(9_000)).expect("whole");
        assert!(!receiver.feedback(at(9_000)).expect("one came").late);
        assert_eq!(receiver.due(), Some(Millis(9_000 + 150 + JITTER)));
    }

    #[test]
    fn whatever_is_changed_or_strange_is_dropped_and_nothing_is_silenced() {
        let frames = frames(4);
        let mut receiver = Receiver::new(TRACK, &KEY, 1);
        take(&mut receiver, &frames[0], at(0));
        for (number, bit) in (0..frames[1][0].len() * 8).step_by(7).enumerate() {
            let mut datagram = frames[1][0].clone();
            datagram[bit / 8] ^= 1 << (bit % 8);
            assert!(receiver.datagram(&datagram, at(number as u64)).is_none(), "bit {bit}");
        }
        // A forged number far ahead must not make the real ones late.
        let header = Header { track: TRACK, frame: u32::MAX, index: 0, count: 1, layer: 0, keyframe: true };
        let forged = [&header.encode()[..], &[0; 60]].concat();
        assert!(receiver.datagram(&forged, at(50)).is_none());
        assert!(receiver.forged() > 0);
        assert!(take(&mut receiver, &frames[1], at(100)).is_some());
        assert!(Receiver::new(TRACK, &[4; 32], 1).datagram(&frames[0][0], at(0)).is_none(), "another key");
        assert!(take(&mut Receiver::new(TRACK, &[4; 32], 1), &frames[0], at(0)).is_none(), "another key");
        assert!(take(&mut Receiver::new(TrackId(5), &KEY, 1), &frames[0], at(0)).is_none(), "another track");
    }

    #[test]
    fn more_pictures_than_anybody_sees_are_not_decoded() {
        let small = Shape { width: 16, height: 16, ..shape() };
        let mut sender = Sender::new(TRACK, &KEY, 1, small).expect("in bounds");
        let mut receiver = Receiver::new(TRACK, &KEY, 1);
        let picture = face::picture(16, 16, Duration::ZERO, 1).expect("in bounds");
        let mut decoded = 0;
        for number in 0..5_000 {
            sender.want_keyframe();
            let datagrams = sender.send(&picture, at(number * 250));
            decoded += u32::from(take(&mut receiver, &datagrams, at(number / 5)).is_some());
        }
        assert!((60..100).contains(&decoded), "{decoded} within a second");
        sender.want_keyframe();
        let later = sender.send(&picture, at(5_000 * 250));
        assert!(take(&mut receiver, &later, at(2_000)).is_some(), "it goes on");
    }

    #[test]
    fn memory_is_bounded() {
        let mut receiver = Receiver::new(TRACK, &KEY, 1);
        for frame in 0..10_000 {
            let header = Header { track: TRACK, frame, index: 0, count: 64, layer: 0, keyframe: true };
            receiver.datagram(&[&header.encode()[..], &[0; 1000]].concat(), at(u64::from(frame)));
        }
        assert_eq!(receiver.partial.len(), PARTIAL_MAX);
    }
}
