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
        self.keep_parked(room, &waits);
        self.acts.parked.entry((room, waits.act.on)).or_default().push(waits);
    }

    fn keep_parked(&mut self, room: RoomId, waits: &Parked) {
        let key = key(room, waits);
        let plain = postcard::to_stdvec(waits).expect("an act serialises: plain fields only");
        let value = match waits.seconds {
            None => [&[0], plain.as_slice()].concat(),
            Some(_) => [&[1], self.sealed_timed(room, &key, &plain).as_slice()].concat(),
        };
        self.batch.put(PARKED, key, value);
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
        if self.believes(now) {
            self.date_parked(now);
        }
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

    /// A clock that ran ahead and was set back keeps nothing longer than what came now.
    fn date_parked(&mut self, now: Now) {
        let mut dated = Vec::new();
        for ((room, _), all) in &mut self.acts.parked {
            for it in all.iter_mut().filter(|it| it.at > now.wall) {
                it.at = now.wall;
                dated.push((*room, it.clone()));
            }
        }
        for (room, it) in dated {
            self.keep_parked(room, &it);
        }
    }
}

fn key(room: RoomId, waits: &Parked) -> Vec<u8> {
    [room.0, waits.act.on.0, waits.act.id.0].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::acts::PATIENCE;
    use crate::chat::tests::alone;
    use crate::effect::Effect;
    use subrosa_shared::content::post::Deed;

    #[test]
    fn an_act_that_came_while_the_clock_was_ahead_waits_no_longer_than_others() {
        let now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };
        for seconds in [None, Some(60)] {
            let mut talk = alone(now);
            let ben = AccountName::parse("ben").expect("valid");
            let room = talk.room_with(&ben, now);
            let (id, on) = (MessageId([1; 16]), MessageId([2; 16]));
            let act = Act { id, on, clock: 1, deed: Deed::Delete };
            let at = now.wall.plus(PATIENCE);
            talk.park(room, Parked { who: ben, power: Power::Plain, act, seconds, at });
            let settles = |talk: &mut Talk| {
                for effect in talk.settle() {
                    if let Effect::Commit(batch) = effect {
                        talk.store().commit(&batch).expect("memory");
                    }
                }
            };
            settles(&mut talk);
            talk.expire_parked(now);
            assert_eq!(talk.acts.parked[&(room, on)][0].at, at, "whether the clock is right is not known");
            talk.relay_clock = Some(now);
            talk.expire_parked(now);
            settles(&mut talk);
            let mut kept = BTreeMap::new();
            load(talk.store(), &mut kept).expect("memory");
            assert_eq!(kept[&(room, on)][0].at, now.wall);
            assert_eq!(kept, talk.acts.parked);
            let over = given_up(now.wall, seconds);
            let then = |wall: Millis| Now { wall, mono: Millis(wall.0 - now.wall.0) };
            talk.expire_parked(then(Millis(over.0 - 1)));
            assert!(!talk.acts.parked.is_empty());
            talk.expire_parked(then(over));
            assert!(talk.acts.parked.is_empty());
        }
    }
}
