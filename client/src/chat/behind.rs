//! Lines that a device was handed and says nothing of, though it has later ones: they did not open there,
//! or the relay kept them back. They go out again.
//!
//! A device that could not open a message asks for another session, and then gets everything again; but it
//! may have been killed before it asked. What comes twice is shown once.

use super::sending::{PLACE, Resend, pending};
use super::talk::{PENDING, Talk};
use super::timeline::{LINES, Line, place, unplace};
use std::collections::BTreeMap;
use std::time::Duration;
use subrosa_shared::id::{DeviceId, MessageId, RoomId};
use subrosa_shared::store::{Error, Order};
use subrosa_shared::time::Now;

/// So old is a line that is looked at: receipts of a moment come in several messages.
const OLD: Duration = Duration::from_secs(60);
/// A device's lines are looked at so often at most.
const SELDOM: Duration = Duration::from_secs(60);

impl Talk {
    /// A device says that it has these own lines.
    pub(super) fn has_later(&mut self, device: DeviceId, ids: &[MessageId], now: Now) -> Result<(), Error> {
        if self.looked_behind.get(&device).is_some_and(|at| now.mono.since(*at) < SELDOM) {
            return Ok(());
        }
        self.looked_behind.retain(|_, at| now.mono.since(*at) < SELDOM);
        self.looked_behind.insert(device, now.mono);
        let mut newest: BTreeMap<RoomId, u64> = BTreeMap::new();
        for id in ids {
            if let Some((room, pos)) = self.place_of(id)?.and_then(|place| unplace(&place)) {
                let known = newest.entry(room).or_insert(pos);
                *known = pos.max(*known);
            }
        }
        if newest.is_empty() {
            return Ok(());
        }
        for (key, value) in self.store.records.scan(PENDING, &[], &[], Order::Forward, usize::MAX)? {
            let Some((id, to)) = pending(&key).filter(|(_, to)| *to == device) else { continue };
            let before = |(room, pos): &(RoomId, u64)| newest.get(room).is_some_and(|newest| pos < newest);
            let at = value.get(..PLACE).and_then(unplace).filter(before);
            let Some((room, pos)) = at.filter(|_| value.len() > PLACE && !ids.contains(&id)) else {
                continue;
            };
            let line = self.store.records.get(LINES, &place(room, pos))?.and_then(|bytes| Line::read(&bytes));
            if line.is_some_and(|line| now.wall.since(line.at) >= OLD) {
                return self.resend_but(ids, Some(to), Resend::Unreceipted, now);
            }
        }
        Ok(())
    }
}
