//! A device that was away so long that the relay may have dropped what waited for it.
//!
//! What comes later opens all the same, and nobody sees that something is missing. So it asks the other own devices
//! for all that they tell a new one, and for each line of which it said nothing.

use super::groups::DECLINED;
use super::talk::{ACCOUNT, Talk};
use std::time::Duration;
use subrosa_shared::id::{DeviceId, RoomTag};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::session::UNREADABLE_START;
use subrosa_shared::store::Error;
use subrosa_shared::time::{Millis, Now};

/// In [`ACCOUNT`]: when this device was last connected (wall clock, u64 BE), to within [`ABOUT`].
const HERE: &[u8] = b"here";
/// How often that is written at most.
const ABOUT: Duration = Duration::from_secs(24 * 3600);
/// Who was away for longer asks: relays keep envelopes for 30 days, or as their owners have it.
const LONG: Duration = Duration::from_secs(7 * 24 * 3600);

impl Talk {
    /// This device is connected.
    pub(super) fn is_here(&mut self, now: Now) -> Result<(), Error> {
        let last = self.store.records.get(ACCOUNT, HERE)?.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
        let last = last.map(|bytes| Millis(u64::from_be_bytes(bytes)));
        // Also where the clock was set back.
        if last.is_some_and(|last| now.wall.since(last).max(last.since(now.wall)) < ABOUT) {
            return Ok(());
        }
        self.batch.put(ACCOUNT, HERE, now.wall.0.to_be_bytes().to_vec());
        if last.is_some_and(|last| now.wall.since(last) >= LONG) {
            for device in self.siblings().iter().map(Peer::device) {
                self.ask_for_all(device, u128::from(now.wall.0).to_be_bytes(), now)?;
            }
        }
        Ok(())
    }

    /// A device speaks in a room that is not known here. Of an own one this should have heard of it.
    pub(super) fn is_unknown_room(&mut self, from: &Peer, room: RoomTag, now: Now) -> Result<(), Error> {
        let own = self.is_sibling(&from.device()) && self.own_list().has(from);
        if !own || self.store.records.get(DECLINED, &room.0)?.is_some() {
            return Ok(());
        }
        self.ask_for_all(from.device(), room.0, now)
    }

    /// Asks an own device for everything, once by each sign.
    fn ask_for_all(&mut self, device: DeviceId, sign: [u8; 16], now: Now) -> Result<(), Error> {
        self.owe_reset(device, UNREADABLE_START, sign);
        self.answer_unknown(device, now)
    }
}
