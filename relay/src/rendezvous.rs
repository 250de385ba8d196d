//! Where a device that is to be linked meets one that is enrolled, without a login of its own.
//!
//! Either may open it, and one of the other kind joins: two strangers without a login never meet. A
//! rendezvous has one host and at most one guest, ever: whoever joins first uses it up. Both pass
//! each other a few small messages, and after ten minutes it is over in any case.

use crate::relay::Conn;
use std::collections::BTreeMap;
use subrosa_shared::protocol::frame::{PASS_MAX, Refusal, Slot};
use subrosa_shared::time::Millis;

/// All of them. Pure.
#[derive(Debug, Default)]
pub struct Rendezvous {
    slots: BTreeMap<Slot, Meeting>,
}

#[derive(Debug)]
struct Meeting {
    host: Conn,
    side: Side,
    guest: Option<Conn>,
    until: Millis,
    passed: u32,
}

/// Of which kind somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It logged in.
    Enrolled,
    /// It did not, and does not on this connection: that ends with the rendezvous.
    New,
}

/// A rendezvous that is over, and who is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// Which one.
    pub slot: Slot,
    /// Still connected.
    pub host: Option<Conn>,
    /// Still connected.
    pub guest: Option<Conn>,
}

/// How many there may be at a time.
pub const SLOTS_MAX: usize = 256;

/// How many of them those without a login may open: the others stay for the people of this relay.
pub const NEW_MAX: usize = SLOTS_MAX / 2;

/// How long one lasts, in milliseconds.
pub const LASTS_MS: u64 = 10 * 60 * 1000;

/// Messages that pass through one, both ways together: a few, and the longest list of devices.
const MESSAGES_MAX: u32 = 300;

impl Rendezvous {
    /// A device opens one; the one that it had open before is over.
    ///
    /// # Errors
    /// The refusal: taken, or too many.
    pub fn open(&mut self, host: Conn, side: Side, slot: Slot, mono: Millis) -> Result<Vec<Over>, Refusal> {
        if self.slots.contains_key(&slot) {
            return Err(Refusal::NotAllowed);
        }
        let over = self.gone(host);
        let new = self.slots.values().filter(|meeting| meeting.side == Side::New).count();
        if self.slots.len() >= SLOTS_MAX || side == Side::New && new >= NEW_MAX {
            return Err(Refusal::RateLimited { retry_ms: 60_000 });
        }
        let until = Millis(mono.0 + LASTS_MS);
        self.slots.insert(slot, Meeting { host, side, guest: None, until, passed: 0 });
        // Whoever opened this one need not be told.
        Ok(over.into_iter().filter(|over| over.host.is_some() || over.guest.is_some()).collect())
    }

    /// A guest of the other kind joins, the first and only one.
    ///
    /// # Errors
    /// The refusal: there is none, or it has had its guest.
    pub fn join(&mut self, guest: Conn, side: Side, slot: Slot, mono: Millis) -> Result<(), Refusal> {
        let meeting = self.slots.get_mut(&slot).filter(|meeting| mono < meeting.until);
        match meeting {
            Some(meeting) if meeting.guest.is_none() && meeting.side != side => {
                meeting.guest = Some(guest);
                Ok(())
            }
            _ => Err(Refusal::NotAllowed),
        }
    }

    /// Whom a message goes to.
    ///
    /// # Errors
    /// The refusal: not theirs, nobody there yet, too long, or too many.
    pub fn pass(&mut self, from: Conn, slot: Slot, length: usize) -> Result<Conn, Refusal> {
        if length > PASS_MAX {
            return Err(Refusal::TooLarge);
        }
        let meeting = self.slots.get_mut(&slot).ok_or(Refusal::NotAllowed)?;
        let to = match meeting.guest {
            Some(guest) if meeting.host == from => guest,
            Some(guest) if guest == from => meeting.host,
            _ => return Err(Refusal::NotAllowed),
        };
        if meeting.passed >= MESSAGES_MAX {
            return Err(Refusal::RateLimited { retry_ms: LASTS_MS as u32 });
        }
        meeting.passed += 1;
        Ok(to)
    }

    /// Ends the rendezvous of one side.
    pub fn close(&mut self, side: Conn, slot: Slot) -> Option<Over> {
        let meeting = self.slots.get(&slot)?;
        if meeting.host != side && meeting.guest != Some(side) {
            return None;
        }
        let meeting = self.slots.remove(&slot)?;
        let host = Some(meeting.host).filter(|host| *host != side);
        Some(Over { slot, host, guest: meeting.guest.filter(|guest| *guest != side) })
    }

    /// A connection is gone.
    pub fn gone(&mut self, side: Conn) -> Vec<Over> {
        let of = |meeting: &Meeting| meeting.host == side || meeting.guest == Some(side);
        let slots: Vec<_> =
            self.slots.iter().filter(|(_, meeting)| of(meeting)).map(|(slot, _)| *slot).collect();
        slots.into_iter().filter_map(|slot| self.close(side, slot)).collect()
    }

    /// Those whose time is up.
    pub fn expire(&mut self, mono: Millis) -> Vec<Over> {
        let late: Vec<_> =
            self.slots.iter().filter(|(_, meeting)| meeting.until <= mono).map(|(slot, _)| *slot).collect();
        let over = late.into_iter().filter_map(|slot| {
            let meeting = self.slots.remove(&slot)?;
            Some(Over { slot, host: Some(meeting.host), guest: meeting.guest })
        });
        over.collect()
    }

    /// When the next one's time is up.
    pub fn due(&self) -> Option<Millis> {
        self.slots.values().map(|meeting| meeting.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Conn = Conn(1);
    const GUEST: Conn = Conn(2);
    const SLOT: Slot = Slot(7);

    fn open() -> Rendezvous {
        let mut rendezvous = Rendezvous::default();
        assert_eq!(rendezvous.open(HOST, Side::Enrolled, SLOT, Millis(0)), Ok(vec![]));
        rendezvous
    }

    #[test]
    fn two_pass_each_other_messages_and_no_third_comes_in() {
        let mut rendezvous = open();
        assert_eq!(rendezvous.pass(HOST, SLOT, 1), Err(Refusal::NotAllowed), "nobody is there");
        assert_eq!(rendezvous.join(GUEST, Side::New, SLOT, Millis(1)), Ok(()));
        assert_eq!(rendezvous.join(Conn(3), Side::New, SLOT, Millis(1)), Err(Refusal::NotAllowed));
        assert_eq!(rendezvous.pass(HOST, SLOT, 1), Ok(GUEST));
        assert_eq!(rendezvous.pass(GUEST, SLOT, PASS_MAX), Ok(HOST));
        assert_eq!(rendezvous.pass(GUEST, SLOT, PASS_MAX + 1), Err(Refusal::TooLarge));
        assert_eq!(rendezvous.pass(Conn(3), SLOT, 1), Err(Refusal::NotAllowed));
        for _ in 2..MESSAGES_MAX {
            assert!(rendezvous.pass(HOST, SLOT, 1).is_ok());
        }
        assert!(rendezvous.pass(HOST, SLOT, 1).is_err(), "a few messages and no more");
    }

    #[test]
    fn one_side_that_leaves_ends_it_for_good() {
        let mut rendezvous = open();
        rendezvous.join(GUEST, Side::New, SLOT, Millis(1)).expect("open");
        assert_eq!(rendezvous.gone(GUEST), [Over { slot: SLOT, host: Some(HOST), guest: None }]);
        assert_eq!(rendezvous.join(Conn(3), Side::New, SLOT, Millis(1)), Err(Refusal::NotAllowed));
        let mut rendezvous = open();
        rendezvous.join(GUEST, Side::New, SLOT, Millis(1)).expect("open");
        assert_eq!(rendezvous.close(HOST, SLOT), Some(Over { slot: SLOT, host: None, guest: Some(GUEST) }));
        assert_eq!(rendezvous.close(HOST, SLOT), None);
    }

    #[test]
    fn it_is_over_after_ten_minutes_and_there_are_not_too_many() {
        let mut rendezvous = open();
        assert_eq!(rendezvous.due(), Some(Millis(LASTS_MS)));
        assert_eq!(rendezvous.join(GUEST, Side::New, SLOT, Millis(LASTS_MS)), Err(Refusal::NotAllowed));
        assert_eq!(rendezvous.expire(Millis(LASTS_MS)).len(), 1);
        assert_eq!(rendezvous.due(), None);
        for i in 0..SLOTS_MAX as u16 {
            rendezvous.open(Conn(100 + u64::from(i)), Side::Enrolled, Slot(i), Millis(0)).expect("room");
        }
        assert!(rendezvous.open(Conn(9), Side::Enrolled, Slot(60_000), Millis(0)).is_err());
        let mut again = open();
        assert_eq!(again.open(Conn(5), Side::Enrolled, SLOT, Millis(0)), Err(Refusal::NotAllowed), "taken");
        assert_eq!(again.open(HOST, Side::Enrolled, Slot(8), Millis(0)), Ok(vec![]));
        assert_eq!(again.join(GUEST, Side::New, SLOT, Millis(1)), Err(Refusal::NotAllowed), "one a device");
    }

    #[test]
    fn one_without_a_login_opens_one_for_a_device_and_for_no_other_stranger() {
        let mut rendezvous = Rendezvous::default();
        assert_eq!(rendezvous.open(HOST, Side::New, SLOT, Millis(0)), Ok(vec![]));
        assert_eq!(rendezvous.join(GUEST, Side::New, SLOT, Millis(1)), Err(Refusal::NotAllowed));
        assert_eq!(rendezvous.join(GUEST, Side::Enrolled, SLOT, Millis(1)), Ok(()));
        assert_eq!(rendezvous.pass(GUEST, SLOT, 1), Ok(HOST));
        let over = Over { slot: SLOT, host: Some(HOST), guest: None };
        let opened = rendezvous.open(GUEST, Side::Enrolled, Slot(8), Millis(2));
        assert_eq!(opened, Ok(vec![over]), "the one that waits hears of it");
        let mut full = Rendezvous::default();
        for i in 0..NEW_MAX as u16 {
            full.open(Conn(100 + u64::from(i)), Side::New, Slot(i), Millis(0)).expect("room");
        }
        let more = full.open(HOST, Side::New, Slot(60_000), Millis(0));
        assert_eq!(more, Err(Refusal::RateLimited { retry_ms: 60_000 }));
        assert_eq!(full.open(HOST, Side::Enrolled, Slot(60_000), Millis(0)), Ok(vec![]));
    }
}
