//! Sealed datagrams into pictures: fragments, SFrame, codec.

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
    /// Nothing can be shown until a keyframe comes.
    stuck: bool,
    last_request: Option<Millis>,
    forged: u64,
    meter: Meter,
}

/// A frame that is not whole yet.
struct Partial {
    facts: Facts,
    fragments: Vec<Option<Vec<u8>>>,
}

/// How far apart requests for a keyframe are, at least.
pub const REQUEST_SPACING: Duration = Duration::from_millis(300);

/// The most frames that wait for fragments; with at most 64 fragments each this bounds memory to
/// 560 KB a track.
pub const PARTIAL_MAX: usize = 8;

impl Receiver {
    /// Opens what a sender with this key and key id sends on the track.
    pub fn new(track: TrackId, key: &[u8; 32], kid: u64) -> Self {
        Self {
            track,
            opener: Opener::new(key, kid),
            decoder: Decoder::new(),
            partial: VecDeque::new(),
            newest: None,
            stuck: true,
            last_request: None,
            forged: 0,
            meter: Meter::default(),
        }
    }

    /// Takes a datagram; the picture, when it completes one that is newer than the last.
    pub fn datagram(&mut self, datagram: &[u8], now: Now) -> Option<Picture> {
        let (header, payload) = Header::decode(datagram).ok().filter(|(h, _)| h.track == self.track)?;
        if self.newest.is_some_and(|newest| header.frame <= newest) {
            return None;
        }
        self.meter.bytes(datagram.len(), now);
        let (facts, sealed) = self.assemble(header, payload)?;
        let Ok(frame) = self.opener.open(&facts, &sealed) else {
            self.forged += 1;
            return None;
        };
        // Only a verified number moves on, or a forged one could silence the track.
        let missed = self.newest.map_or(0, |newest| facts.frame - newest - 1);
        self.newest = Some(facts.frame);
        self.partial.retain(|partial| partial.facts.frame > facts.frame);
        match self.decoder.decode(&frame) {
            Ok(picture) => {
                self.stuck = false;
                self.meter.lost(missed, now);
                self.meter.picture(now);
                Some(picture)
            }
            Err(_) => {
                self.stuck = true;
                self.meter.lost(missed.saturating_add(1), now);
                None
            }
        }
    }

    /// Whether to ask the sender for a keyframe now; says so at most each [`REQUEST_SPACING`].
    pub fn wants_keyframe(&mut self, now: Now) -> bool {
        let due = self.last_request.is_none_or(|last| now.mono.since(last) >= REQUEST_SPACING);
        let wants = self.stuck && due;
        if wants {
            self.last_request = Some(now.mono);
        }
        wants
    }

    /// Continues on another track of the same sender, after the relay was reached anew.
    pub fn set_track(&mut self, track: TrackId) {
        self.track = track;
        self.partial.clear();
        self.stuck = true;
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
