//! Guesses at a room's password: counted by each member, also those that another member saw, and shown.

use super::super::talk::Talk;
use serde::{Deserialize, Serialize};
use subrosa_shared::content::Content;
use subrosa_shared::content::rooms::{AboutRoom, RoomTalk, Step};
use subrosa_shared::id::{AccountName, RoomId};
use subrosa_shared::protocol::door::{GUESSES_MAX, GUESSES_MS};
use subrosa_shared::session::Why;
use subrosa_shared::store::{Error, Order, Table};
use subrosa_shared::time::{Millis, Now};

/// Room id → `Guesses`.
pub const GUESSES: Table = Table { byte: 0x4d, name: "guesses at passwords of rooms" };

/// How many wrong ones are remembered: all that count, and some more that members may tell of.
const KEPT: usize = 4 * GUESSES_MAX;

/// Guesses at the password of one room.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Guesses {
    /// When each wrong one was.
    wrong: Vec<Millis>,
    /// Who was asked for it here and has not answered, and when. On disk before it is asked for: a
    /// client that dies in between has given a guess away.
    open: Vec<(Millis, AccountName)>,
}

impl Guesses {
    /// How many count at that time.
    pub(super) fn count(&self, wall: Millis) -> usize {
        self.wrong.iter().filter(|at| counts(**at, wall)).count() + self.open.len()
    }

    fn missed(&mut self, at: Millis, wall: Millis) {
        // A clock that runs ahead does not lock a room for longer than the hour.
        self.wrong.push(at.min(wall));
        self.wrong.retain(|at| counts(*at, wall));
        let surplus = self.wrong.len().saturating_sub(KEPT);
        self.wrong.drain(..surplus);
    }
}

/// One of the last hour. What lies ahead was dated by a clock that was set back since.
fn counts(at: Millis, wall: Millis) -> bool {
    at <= wall && wall.0 - at.0 < GUESSES_MS
}

impl Talk {
    /// How many guesses are left at that time.
    pub(super) fn guesses_left(&self, room: RoomId, wall: Millis) -> usize {
        let count = self.groups.guesses.get(&room).map_or(0, |guesses| guesses.count(wall));
        GUESSES_MAX.saturating_sub(count)
    }

    /// Somebody is about to be asked for the password.
    pub(super) fn guess_begins(&mut self, room: RoomId, who: &AccountName, at: Millis) {
        self.groups.guesses.entry(room).or_default().open.push((at, who.clone()));
        self.save_guesses(room);
    }

    /// It was the right one.
    pub(super) fn guess_was_right(&mut self, room: RoomId, who: &AccountName, at: Millis) {
        if let Some(guesses) = self.groups.guesses.get_mut(&room) {
            guesses.open.retain(|(of, by)| (*of, by) != (at, who));
            self.save_guesses(room);
        }
    }

    /// It was not, or did not come: all members learn of it.
    pub(super) fn guess_was_wrong(
        &mut self,
        room: RoomId,
        who: &AccountName,
        at: Millis,
        ended: bool,
        now: Now,
    ) {
        let guesses = self.groups.guesses.entry(room).or_default();
        guesses.open.retain(|(of, by)| (*of, by) != (at, who));
        guesses.missed(at, now.wall);
        let nth = u8::try_from(guesses.count(now.wall).max(1)).unwrap_or(u8::MAX);
        self.save_guesses(room);
        let what = if ended { Step::Wrong(nth) } else { Step::Unproved(nth) };
        self.say_doorstep(room, who, at, what, now);
    }

    /// Tells of what happened at a door, here and to all members.
    pub(super) fn say_doorstep(&mut self, room: RoomId, who: &AccountName, at: Millis, what: Step, now: Now) {
        let Some(tag) = self.chat.group(room).filter(|group| group.is_open()).map(super::Group::tag) else {
            return;
        };
        self.note(room, super::words::doorstep(who, at, what, now.wall), now);
        let talk = RoomTalk::Doorstep { who: who.clone(), at, what };
        self.transmit_in(room, &Content::Room(AboutRoom { room: tag, talk }), Why::Signal, None, now);
    }

    /// A member tells of it.
    pub(super) fn doorstep_came(
        &mut self,
        room: RoomId,
        by: &AccountName,
        (who, at, what): (&AccountName, Millis, Step),
        now: Now,
    ) {
        let hears =
            |group: &super::Group| group.role(by).is_some_and(|role| role >= group.log.state().policy.invite);
        if !self.chat.group(room).is_some_and(hears) {
            // Only who may let people in hears knocks.
            self.dropped += 1;
            return;
        }
        if matches!(what, Step::Wrong(_) | Step::Unproved(_)) {
            let recent = now.wall.0.saturating_sub(at.0) < GUESSES_MS;
            if recent && self.guesses_left(room, now.wall) == 0 {
                // More than there can be: from several ends at once, or made up. It cannot lock longer.
                self.dropped += 1;
                return;
            }
            if recent {
                self.groups.guesses.entry(room).or_default().missed(at, now.wall);
                self.save_guesses(room);
            }
        }
        self.note(room, super::words::doorstep(who, at, what, now.wall), now);
    }

    /// Guesses that were not ended when the client was.
    pub(super) fn end_guesses(&mut self, now: Now) {
        let mut left = Vec::new();
        for (room, guesses) in &self.groups.guesses {
            let asked = |at: Millis, who: &AccountName| {
                self.groups.asked.values().any(|asked| asked.is(*room, at, who))
            };
            let over = guesses.open.iter().filter(|(at, who)| !asked(*at, who));
            left.extend(over.map(|(at, who)| (*room, *at, who.clone())));
        }
        for (room, at, who) in left {
            self.guess_was_wrong(room, &who, at, false, now);
        }
    }

    /// A room is forgotten.
    pub(super) fn forget_guesses(&mut self, room: RoomId) {
        self.batch.delete(GUESSES, room.0);
        self.groups.guesses.remove(&room);
    }

    /// From an earlier run.
    pub(super) fn load_guesses(&mut self) -> Result<(), Error> {
        for (key, value) in self.store.records.scan(GUESSES, &[], &[], Order::Forward, usize::MAX)? {
            let damaged = || Error::Damaged("guesses at a room's password".into());
            let room = RoomId(key.try_into().map_err(|_| damaged())?);
            self.groups.guesses.insert(room, postcard::from_bytes(&value).map_err(|_| damaged())?);
        }
        Ok(())
    }

    fn save_guesses(&mut self, room: RoomId) {
        let Some(guesses) = self.groups.guesses.get(&room) else { return };
        let value = postcard::to_stdvec(guesses).expect("it serialises: plain fields only");
        self.batch.put(GUESSES, room.0, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_counts_for_an_hour_and_a_clock_ahead_counts_no_longer() {
        let (mut guesses, hour) = (Guesses::default(), GUESSES_MS);
        guesses.missed(Millis(5), Millis(5));
        guesses.missed(Millis(9 * hour), Millis(10));
        assert_eq!(guesses.count(Millis(20)), 2);
        assert_eq!(guesses.count(Millis(hour + 5)), 1);
        assert_eq!(guesses.count(Millis(hour + 10)), 0);
        let name = AccountName::parse("eve").expect("valid");
        guesses.open.push((Millis(0), name));
        assert_eq!(guesses.count(Millis(9 * hour)), 1, "as long as it is not ended");
        for n in 0..1000 {
            guesses.missed(Millis(n), Millis(n));
        }
        assert_eq!(guesses.wrong.len(), KEPT);
    }

    #[test]
    fn guesses_that_were_dated_ahead_closed_a_room_until_the_clock_came_there() {
        let (mut guesses, hour) = (Guesses::default(), GUESSES_MS);
        for n in 0..GUESSES_MAX as u64 {
            guesses.missed(Millis(744 * hour + n), Millis(744 * hour + n));
        }
        assert_eq!(guesses.count(Millis(744 * hour + 99)), GUESSES_MAX);
        assert_eq!(guesses.count(Millis(5)), 0, "the clock was set back");
        guesses.missed(Millis(6), Millis(6));
        assert_eq!(guesses.count(Millis(744 * hour + 99)), 0, "nor do they count again");
    }
}
