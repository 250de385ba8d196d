//! A live call with one person: what it is doing.

use crate::event::Stats;
use crate::media::form::Made;
use crate::media::ladder::Level;
use subrosa_shared::content::Stream;
use subrosa_shared::id::{CallId, DeviceId, RoomId, TrackId};
use subrosa_shared::protocol::frame::Ask;
use subrosa_shared::time::Millis;

/// A call as the person sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallState {
    /// We ring, or are about to.
    Calling,
    /// They ring; answer or decline.
    Ringing,
    /// Both see each other.
    Active,
}

/// The one call there is.
#[derive(Debug)]
pub struct Call {
    /// Drawn by the caller.
    pub id: CallId,
    /// The conversation it belongs to.
    pub room: RoomId,
    /// The one of their devices that it goes on with; `None` while all of them ring.
    pub device: Option<DeviceId>,
    /// What it is doing.
    pub state: CallState,
    /// Since when, monotonic.
    pub since: Millis,
    /// Where the own pictures come from.
    pub source: String,
    /// The question for an own track, while it is open.
    pub asked: Option<Ask>,
    /// The own track.
    pub own: Option<Stream>,
    /// The other person's track.
    pub theirs: Option<Stream>,
    /// Own camera off.
    pub paused: bool,
    /// It is off because somebody else has the terminal, and on again after that.
    pub away: bool,
    /// The source of the own pictures failed or ended.
    pub broken: bool,
    /// Their camera off.
    pub their_pause: bool,
    /// The own picture is hidden on the own screen.
    pub own_hidden: bool,
    /// How their picture does.
    pub stats: Stats,
    /// How much of it is shown, and why not more.
    pub level: Level,
    /// Whether their picture is in characters or an image, and why.
    pub made: Made,
    /// Their track broke off; since when.
    pub lost: Option<Millis>,
    /// No picture comes any more on a track that is there; since when that is known.
    pub still: Option<Millis>,
}

impl Call {
    /// A call that just begins.
    pub fn new(id: CallId, room: RoomId, state: CallState, source: String, mono: Millis) -> Self {
        Self {
            id,
            room,
            device: None,
            state,
            since: mono,
            source,
            asked: None,
            own: None,
            theirs: None,
            paused: false,
            away: false,
            broken: false,
            their_pause: false,
            own_hidden: false,
            stats: Stats::default(),
            level: Level::default(),
            made: Made::default(),
            lost: None,
            still: None,
        }
    }

    /// Whether this person rang or answered. What only rings here is the other one's doing.
    pub fn is_taken(&self) -> bool {
        self.state != CallState::Ringing || self.asked.is_some()
    }

    /// How their picture does by now.
    pub fn measured(&mut self, stats: Stats, mono: Millis) {
        let came = self.stats.fps > 0.0;
        if stats.fps > 0.0 {
            self.still = None;
        } else if came {
            self.still = Some(mono);
        }
        self.stats = stats;
    }

    /// The track watched now.
    pub fn watched(&self) -> Option<TrackId> {
        self.theirs.as_ref().map(|stream| stream.track)
    }
}
