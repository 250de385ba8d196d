//! Which live track goes to whom. Pure: it forwards numbers, and knows nothing about pictures.

use crate::config::Limits;
use crate::limits::Bucket;
use crate::relay::Conn;
use rand_core::RngCore;
use std::collections::{BTreeMap, BTreeSet};
use subrosa_shared::id::{DeviceId, TrackId};
use subrosa_shared::protocol::frame::Refusal;
use subrosa_shared::protocol::media::Header;
use subrosa_shared::time::Millis;

/// The open tracks and their watchers.
#[derive(Debug)]
pub struct Sfu {
    limits: Limits,
    tracks: BTreeMap<TrackId, Track>,
    publishers: BTreeMap<Conn, Publisher>,
    /// Tracks that a connection watches.
    watching: BTreeMap<Conn, BTreeSet<TrackId>>,
}

#[derive(Debug)]
struct Track {
    publisher: Conn,
    viewers: BTreeSet<DeviceId>,
    watchers: BTreeMap<Conn, Gate>,
    /// When a keyframe may be asked for again.
    ask_again: Millis,
}

#[derive(Debug)]
struct Publisher {
    tracks: BTreeSet<TrackId>,
    bytes: Bucket,
}

/// What goes through to one watcher. Frames are never held back for a keyframe: which one helps after a
/// loss only the two ends know, and they tell each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Open,
    /// All; but no keyframe has come through yet, and one is asked for.
    Joining,
    /// All but what is left of this frame, of which a fragment was dropped.
    Past(u32),
}

/// Where a datagram goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// What it says in clear.
    pub header: Header,
    /// Watchers that get it.
    pub to: Vec<Conn>,
    /// One that has just joined and waits for a keyframe, which is to be asked for again.
    pub waiting: Option<Conn>,
}

/// Why a datagram went nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Not a media datagram.
    Malformed,
    /// Not a track of this connection.
    NotYours,
    /// Above the publisher's rate.
    TooFast,
}

/// A publisher is asked for at most four keyframes a second and track.
const KEYFRAME_MS: u64 = 250;

impl Sfu {
    /// No tracks.
    pub fn new(limits: Limits) -> Self {
        Self { limits, tracks: BTreeMap::new(), publishers: BTreeMap::new(), watching: BTreeMap::new() }
    }

    /// Other bounds from here on; what is open stays.
    pub fn bound(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// How many tracks there are, and how many watchers of all of them together.
    pub fn count(&self) -> (u64, u64) {
        let watchers: usize = self.tracks.values().map(|track| track.watchers.len()).sum();
        (self.tracks.len() as u64, watchers as u64)
    }

    /// Opens a track for these viewers, with a number drawn at random.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] past the number of tracks of one device.
    pub fn open(
        &mut self,
        conn: Conn,
        viewers: Vec<DeviceId>,
        rng: &mut (impl RngCore + ?Sized),
        mono: Millis,
    ) -> Result<TrackId, Refusal> {
        let rate = self.limits.media_bytes;
        let publisher = self
            .publishers
            .entry(conn)
            .or_insert_with(|| Publisher { tracks: BTreeSet::new(), bytes: Bucket::full(rate, mono) });
        if publisher.tracks.len() >= self.limits.tracks as usize {
            return Err(Refusal::TooLarge);
        }
        let mut id = TrackId(rng.next_u32());
        while self.tracks.contains_key(&id) {
            id = TrackId(rng.next_u32());
        }
        publisher.tracks.insert(id);
        let track = Track {
            publisher: conn,
            viewers: viewers.into_iter().collect(),
            watchers: BTreeMap::new(),
            ask_again: Millis(0),
        };
        self.tracks.insert(id, track);
        Ok(id)
    }

    /// Ends an own track; returns who watched it. Other tracks are left alone.
    pub fn close(&mut self, conn: Conn, track: TrackId) -> Vec<Conn> {
        if self.tracks.get(&track).is_none_or(|t| t.publisher != conn) {
            return Vec::new();
        }
        if let Some(publisher) = self.publishers.get_mut(&conn) {
            publisher.tracks.remove(&track);
        }
        let watchers: Vec<_> =
            self.tracks.remove(&track).map(|t| t.watchers.into_keys().collect()).unwrap_or_default();
        for watcher in &watchers {
            self.forget(*watcher, track);
        }
        watchers
    }

    /// Subscribes a device's connection; a keyframe is to be asked for.
    ///
    /// # Errors
    /// [`Refusal::NotAllowed`] for a track that is not there or not for this device, alike;
    /// [`Refusal::TooLarge`] past the number of watchers or of watched tracks.
    pub fn watch(&mut self, conn: Conn, device: DeviceId, track: TrackId) -> Result<(), Refusal> {
        let open = self.tracks.get_mut(&track).filter(|t| t.publisher != conn && t.viewers.contains(&device));
        let open = open.ok_or(Refusal::NotAllowed)?;
        if open.watchers.contains_key(&conn) {
            return Ok(());
        }
        let watching = self.watching.entry(conn).or_default();
        if open.watchers.len() >= self.limits.watchers as usize
            || watching.len() >= self.limits.watching as usize
        {
            return Err(Refusal::TooLarge);
        }
        watching.insert(track);
        open.watchers.insert(conn, Gate::Joining);
        Ok(())
    }

    /// Ends a subscription.
    pub fn unwatch(&mut self, conn: Conn, track: TrackId) {
        if let Some(open) = self.tracks.get_mut(&track) {
            open.watchers.remove(&conn);
        }
        self.forget(conn, track);
    }

    /// The publisher to ask for a keyframe on behalf of a watcher; `None` when it was asked just now.
    pub fn want_keyframe(&mut self, conn: Conn, track: TrackId, mono: Millis) -> Option<Conn> {
        let open = self.tracks.get_mut(&track)?;
        if !open.watchers.contains_key(&conn) || mono < open.ask_again {
            return None;
        }
        open.ask_again = Millis(mono.0 + KEYFRAME_MS);
        Some(open.publisher)
    }

    /// Where a publisher's datagram goes.
    ///
    /// # Errors
    /// [`Dropped`].
    pub fn forward(&mut self, conn: Conn, datagram: &[u8], mono: Millis) -> Result<Forward, Dropped> {
        let (header, _) = Header::decode(datagram).map_err(|_| Dropped::Malformed)?;
        let track = self.tracks.get_mut(&header.track).filter(|track| track.publisher == conn);
        let track = track.ok_or(Dropped::NotYours)?;
        let publisher = self.publishers.get_mut(&conn).ok_or(Dropped::NotYours)?;
        let cost = datagram.len() as u64;
        publisher.bytes.take(self.limits.media_bytes, cost, mono).map_err(|_| Dropped::TooFast)?;
        let mut forward = Forward { header, to: Vec::new(), waiting: None };
        for (watcher, gate) in &mut track.watchers {
            if gate.lets(&header) {
                forward.to.push(*watcher);
            }
            if *gate == Gate::Joining && mono >= track.ask_again {
                forward.waiting = Some(*watcher);
            }
        }
        Ok(forward)
    }

    /// A fragment did not fit into a watcher's queue: the rest of its frame is of no use. Who has seen no
    /// keyframe yet still waits for one.
    pub fn lost(&mut self, conn: Conn, header: &Header) {
        let gate = self.tracks.get_mut(&header.track).and_then(|track| track.watchers.get_mut(&conn));
        if let Some(gate) = gate {
            let joining = *gate == Gate::Joining || header.keyframe;
            *gate = if joining { Gate::Joining } else { Gate::Past(header.frame) };
        }
    }

    /// A connection is gone: its subscriptions end, and its tracks with those who watched them.
    pub fn gone(&mut self, conn: Conn) -> Vec<(TrackId, Vec<Conn>)> {
        for track in self.watching.remove(&conn).unwrap_or_default() {
            if let Some(open) = self.tracks.get_mut(&track) {
                open.watchers.remove(&conn);
            }
        }
        let own = self.publishers.get(&conn).map(|p| p.tracks.clone()).unwrap_or_default();
        let ended = own.into_iter().map(|track| (track, self.close(conn, track))).collect();
        self.publishers.remove(&conn);
        ended
    }

    /// Nothing is open.
    pub fn is_empty(&self) -> bool {
        self.tracks.is_empty() && self.publishers.is_empty() && self.watching.is_empty()
    }

    fn forget(&mut self, watcher: Conn, track: TrackId) {
        if let Some(watching) = self.watching.get_mut(&watcher) {
            watching.remove(&track);
            if watching.is_empty() {
                self.watching.remove(&watcher);
            }
        }
    }
}

impl Gate {
    fn lets(&mut self, header: &Header) -> bool {
        match *self {
            Self::Past(frame) if frame == header.frame => return false,
            Self::Joining if !header.keyframe => {}
            _ => *self = Self::Open,
        }
        true
    }
}

/// Whether a watcher's queue of `capacity` bytes, of which `space` are free, takes a datagram. The upper
/// layers, which nothing refers to, are left out once it is half full.
pub fn fits(space: usize, capacity: usize, length: usize, layer: u8) -> bool {
    space >= length && (layer == 0 || space >= capacity / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::impls::next_u64_via_u32;

    const ADA: Conn = Conn(1);
    const BEN: Conn = Conn(2);
    const CY: Conn = Conn(3);
    const BEN_DEVICE: DeviceId = DeviceId([2; 16]);
    const CY_DEVICE: DeviceId = DeviceId([3; 16]);
    const NOW: Millis = Millis(1000);

    /// Each number twice, so that a clash is met.
    struct Twice(u32);
    impl RngCore for Twice {
        fn next_u32(&mut self) -> u32 {
            self.0 += 1;
            self.0 / 2
        }
        fn next_u64(&mut self) -> u64 {
            next_u64_via_u32(self)
        }
        fn fill_bytes(&mut self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
            bytes.fill(0);
            Ok(())
        }
    }

    fn fragment(track: TrackId, frame: u32, keyframe: bool) -> Vec<u8> {
        Header { track, frame, index: 0, count: 1, layer: 0, keyframe }.encode().to_vec()
    }

    fn watched() -> (Sfu, TrackId) {
        let mut sfu = Sfu::new(Limits::default());
        let track = sfu.open(ADA, vec![BEN_DEVICE], &mut Twice(1), NOW).expect("room");
        sfu.watch(BEN, BEN_DEVICE, track).expect("a viewer");
        (sfu, track)
    }

    fn to(sfu: &mut Sfu, conn: Conn, datagram: &[u8]) -> Vec<Conn> {
        sfu.forward(conn, datagram, NOW).map(|forward| forward.to).unwrap_or_default()
    }

    #[test]
    fn frames_flow_from_the_first_on() {
        let (mut sfu, track) = watched();
        assert_eq!(to(&mut sfu, ADA, &fragment(track, 1, false)), [BEN], "it may be feedback");
        assert_eq!(to(&mut sfu, ADA, &fragment(track, 2, true)), [BEN]);
        assert_eq!(to(&mut sfu, ADA, &fragment(track, 3, false)), [BEN]);
    }

    #[test]
    fn a_watcher_that_fell_behind_misses_that_frame_and_goes_on_without_a_keyframe() {
        let (mut sfu, track) = watched();
        to(&mut sfu, ADA, &fragment(track, 1, true));
        let header = sfu.forward(ADA, &fragment(track, u32::MAX, false), NOW).expect("own track").header;
        sfu.lost(BEN, &header);
        assert_eq!(to(&mut sfu, ADA, &fragment(track, u32::MAX, false)), [], "the rest of the lost one");
        let next = sfu.forward(ADA, &fragment(track, 0, false), Millis(9_000)).expect("own track");
        assert_eq!((next.to, next.waiting), (vec![BEN], None), "past the wrap");
    }

    #[test]
    fn half_a_queue_is_for_the_lowest_layer_only() {
        assert!(fits(100, 100, 100, 0) && fits(100, 100, 100, 1));
        assert!(fits(50, 100, 10, 1) && !fits(49, 100, 10, 1) && fits(49, 100, 10, 0));
        assert!(!fits(9, 100, 10, 0));
    }

    #[test]
    fn only_viewers_watch_and_only_the_publisher_publishes() {
        let (mut sfu, track) = watched();
        assert_eq!(sfu.watch(CY, CY_DEVICE, track), Err(Refusal::NotAllowed));
        assert_eq!(sfu.watch(CY, CY_DEVICE, TrackId(77)), Err(Refusal::NotAllowed), "the same answer");
        assert_eq!(sfu.forward(CY, &fragment(track, 1, true), NOW).err(), Some(Dropped::NotYours));
        assert_eq!(sfu.forward(ADA, b"junk", NOW).err(), Some(Dropped::Malformed));
        assert_eq!(sfu.close(CY, track), [], "not an own track");
        assert_eq!(to(&mut sfu, ADA, &fragment(track, 1, true)), [BEN]);
    }

    #[test]
    fn keyframes_are_asked_for_four_times_a_second_at_most() {
        let (mut sfu, track) = watched();
        assert_eq!(sfu.want_keyframe(CY, track, NOW), None, "does not watch");
        assert_eq!(sfu.want_keyframe(BEN, track, NOW), Some(ADA));
        assert_eq!(sfu.want_keyframe(BEN, track, Millis(1249)), None);
        assert_eq!(sfu.want_keyframe(BEN, track, Millis(1250)), Some(ADA));
    }

    #[test]
    fn a_lost_keyframe_is_asked_for_again_while_somebody_waits() {
        let (mut sfu, track) = watched();
        let waiting = |sfu: &mut Sfu, keyframe, mono| {
            sfu.forward(ADA, &fragment(track, 1, keyframe), Millis(mono)).expect("own track").waiting
        };
        assert_eq!(waiting(&mut sfu, false, 1000), Some(BEN));
        assert_eq!(sfu.want_keyframe(BEN, track, NOW), Some(ADA));
        assert_eq!(waiting(&mut sfu, false, 1249), None, "asked just now");
        assert_eq!(waiting(&mut sfu, false, 1250), Some(BEN));
        assert_eq!(waiting(&mut sfu, true, 1250), None, "here it is");
        assert_eq!(waiting(&mut sfu, false, 1250), None);
    }

    #[test]
    fn tracks_end_with_their_publisher_and_leave_nothing_behind() {
        let (mut sfu, track) = watched();
        let other = sfu.open(ADA, vec![BEN_DEVICE], &mut Twice(1), NOW).expect("room");
        assert_ne!(other, track, "a number in use is not drawn again");
        assert_eq!(sfu.gone(ADA), [(track, vec![BEN]), (other, vec![])]);
        assert!(sfu.is_empty(), "{sfu:?}");
        let (mut sfu, track) = watched();
        assert_eq!(sfu.gone(BEN), []);
        assert_eq!(to(&mut sfu, ADA, &fragment(track, 1, true)), []);
        assert_eq!(sfu.close(ADA, track), []);
    }

    #[test]
    fn tracks_watchers_and_rate_are_bounded() {
        let media_bytes = crate::config::Rate { per_minute: 1, burst: 12 };
        let limits = Limits { tracks: 1, watchers: 1, watching: 1, media_bytes, ..Limits::default() };
        let mut sfu = Sfu::new(limits);
        let viewers = vec![BEN_DEVICE, CY_DEVICE];
        let track = sfu.open(ADA, viewers.clone(), &mut Twice(1), NOW).expect("room");
        assert_eq!(sfu.open(ADA, viewers.clone(), &mut Twice(7), NOW), Err(Refusal::TooLarge));
        sfu.watch(BEN, BEN_DEVICE, track).expect("room");
        assert_eq!(sfu.watch(CY, CY_DEVICE, track), Err(Refusal::TooLarge));
        let second = sfu.open(CY, viewers, &mut Twice(9), NOW).expect("room");
        assert_eq!(sfu.watch(BEN, BEN_DEVICE, second), Err(Refusal::TooLarge));
        assert_eq!(to(&mut sfu, ADA, &fragment(track, 1, true)), [BEN]);
        assert_eq!(sfu.forward(ADA, &fragment(track, 2, true), NOW).err(), Some(Dropped::TooFast));
    }
}
