//! Acts that came before their line, as happens when the line is on another way: they wait, bounded.

use super::{Power, given_up};
use crate::chat::expiry::opened;
use crate::chat::talk::Talk;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use subrosa_shared::content::post::Act;
use subrosa_shared::id::{AccountName, MessageId, RoomId};
use subrosa_shared::store::{Error, Order, Store, Table};
use subrosa_shared::time::{Millis, Now};

/// `room ‖ message id ‖ act id` → 0 ‖ [`Parked`], or 1 ‖ the same as the conversation's chain sealed it:
/// what is said to a line that disappears.
pub(in crate::chat) const PARKED: Table = Table { byte: 0xa1, name: "acts before their line" };

/// An act that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::chat) struct Parked {
    pub(super) who: AccountName,
    /// What they might do when they did it.
    pub(super) power: Power,
    pub(super) act: Act,
    /// It disappears with its line.
    pub(super) seconds: Option<u32>,
    pub(super) at: Millis,
}

/// Acts of one person that may wait in one conversation.
const PARKED_MAX: usize = 64;

pub(super) fn load(
    store: &Store,
    parked: &mut BTreeMap<(RoomId, MessageId), Vec<Parked>>,
) -> Result<(), Error> {
    for (key, value) in store.records.scan(PARKED, &[], &[], Order::Forward, usize::MAX)? {
        let Some((room, _)) = key.split_first_chunk::<16>() else { continue };
        let room = RoomId(*room);
        let waits: Option<Parked> = match value.split_first() {
            Some((0, plain)) => postcard::from_bytes(plain).ok(),
            // Sealed by a link that is gone: then so is the line that it was about.
            Some((1, sealed)) => {
                opened(store, room, &key, sealed).and_then(|plain| postcard::from_bytes(&plain).ok())
            }
            _ => None,
        };
        if let Some(waits) = waits {
            parked.entry((room, waits.act.on)).or_default().push(waits);
        }
    }
    Ok(())
}

impl Talk {
    /// Keeps an act for its line; one too many is dropped.
    pub(super) fn park(&mut self, room: RoomId, waits: Parked) {
        let of = |(key, all): (&(RoomId, MessageId), &Vec<Parked>)| match key.0 == room {
            true => all.iter().filter(|it| it.who == waits.who).count(),
            false => 0,
        };
        let known = self.acts.parked.get(&(room, waits.act.on));
        if known.is_some_and(|all| all.iter().any(|it| it.act.id == waits.act.id)) {
            return;
        }
        if self.acts.parked.iter().map(of).sum::<usize>() >= PARKED_MAX {
            self.dropped += 1;
            return;
        }
        let key = key(room, &waits);
        let plain = postcard::to_stdvec(&waits).expect("an act serialises: plain fields only");
        let value = match waits.seconds {
            None => [&[0], plain.as_slice()].concat(),
            Some(_) => [&[1], self.sealed_timed(room, &key, &plain).as_slice()].concat(),
        };
        self.batch.put(PARKED, key, value);
        self.acts.parked.entry((room, waits.act.on)).or_default().push(waits);
    }

    /// What waited for that line, and waits no longer.
    pub(super) fn unpark(&mut self, room: RoomId, on: MessageId) -> Vec<Parked> {
        let waited = self.acts.parked.remove(&(room, on)).unwrap_or_default();
        for it in &waited {
            self.batch.delete(PARKED, key(room, it));
        }
        waited
    }

    /// Where those are that the conversation's chain seals.
    pub(in crate::chat) fn parked_timed(&self, room: RoomId) -> impl Iterator<Item = Vec<u8>> {
        let all = self.acts.parked.range((room, MessageId([0; 16]))..=(room, MessageId([u8::MAX; 16])));
        all.flat_map(|(_, all)| all).filter(|it| it.seconds.is_some()).map(move |it| key(room, it))
    }

    /// Nobody waits for ever.
    pub(in crate::chat) fn expire_parked(&mut self, now: Now) {
        let over = |it: &Parked| given_up(it.at, it.seconds) <= now.wall;
        for ((room, _), all) in &mut self.acts.parked {
            for it in all.iter().filter(|it| over(it)) {
                self.batch.delete(PARKED, key(*room, it));
                if it.seconds.is_some() {
                    self.expiry.turn_soon(*room, now);
                }
            }
            all.retain(|it| !over(it));
        }
        self.acts.parked.retain(|_, all| !all.is_empty());
    }
}

fn key(room: RoomId, waits: &Parked) -> Vec<u8> {
    [room.0, waits.act.on.0, waits.act.id.0].concat()
}
