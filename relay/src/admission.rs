//! How many handshakes the relay takes on: so many a second in all and from each network.
//!
//! A handshake is what costs a relay most, and its endpoint does nothing else meanwhile. What is above the
//! bound is not answered; clients ask again by themselves a moment later. The last half of the burst is
//! for those who were connected before and show it, so that a crowd of newcomers does not keep them out.
//! A handshake that comes to nothing, because it is not finished or because no login holds, costs its network
//! as much as many: else strangers who only try would take what those need who want to come in.

use crate::config::{Link, Rate};
use crate::limits::{Bucket, Buckets, Wait, network};
use std::net::IpAddr;
use subrosa_shared::time::Millis;

/// Who wants to come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guest {
    /// It shows a token of an earlier connection.
    Known,
    /// It only proved its address.
    New,
}

/// What is left of each share.
pub(crate) struct Admission {
    rate: Rate,
    all: Bucket,
    each: Buckets<IpAddr>,
}

/// What a handshake that came to nothing costs its network in all: with the usual share five at once, and then
/// one in two seconds.
const FOR_NOTHING: u64 = 20;

impl Admission {
    pub(crate) fn new(link: &Link, mono: Millis) -> Self {
        let rate = link.handshakes;
        Self { rate, all: Bucket::full(rate, mono), each: Buckets::new(link.handshakes_per_address) }
    }

    /// One handshake.
    ///
    /// # Errors
    /// [`Wait`], when there were too many.
    pub(crate) fn take(&mut self, guest: Guest, from: IpAddr, mono: Millis) -> Result<(), Wait> {
        // The network first: one that is over its share takes nothing from the others.
        self.each.take(&network(from), 1, mono)?;
        let kept = match guest {
            Guest::Known => 0,
            Guest::New => u64::from(self.rate.burst / 2),
        };
        self.all.take_above(self.rate, 1, kept, mono)
    }

    /// One that was taken came to nothing.
    pub(crate) fn came_to_nothing(&mut self, from: IpAddr, mono: Millis) {
        self.each.spend(&network(from), FOR_NOTHING - 1, mono);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from(n).into()
    }

    #[test]
    fn newcomers_leave_half_to_those_who_were_here_before() {
        let link = Link { handshakes: Rate { per_minute: 600, burst: 20 }, ..Link::default() };
        let mut admission = Admission::new(&link, Millis(0));
        let come = |admission: &mut Admission, guest, mono| {
            (0..1000).filter(|n| admission.take(guest, from(*n), Millis(mono)).is_ok()).count()
        };
        assert_eq!(come(&mut admission, Guest::New, 0), 10);
        assert_eq!(come(&mut admission, Guest::Known, 0), 10);
        assert_eq!(come(&mut admission, Guest::New, 500), 0, "first the half fills up");
        assert_eq!(come(&mut admission, Guest::Known, 500), 5);
        assert_eq!(come(&mut admission, Guest::New, 1700), 2);
    }

    #[test]
    fn one_network_takes_its_share_and_nothing_of_the_others() {
        let share = Rate { per_minute: 60, burst: 3 };
        let link = Link { handshakes_per_address: share, ..Link::default() };
        let mut admission = Admission::new(&link, Millis(0));
        let taken = (0..10_000).filter(|_| admission.take(Guest::New, from(1), Millis(0)).is_ok()).count();
        assert_eq!(taken, 3);
        admission.take(Guest::New, from(2), Millis(0)).expect("another");
    }

    #[test]
    fn a_network_that_comes_for_nothing_has_a_small_share() {
        let mut admission = Admission::new(&Link::default(), Millis(0));
        let mut tries = |from: IpAddr, nothing: bool, second: u64| {
            let mut taken = 0;
            while admission.take(Guest::Known, from, Millis(second * 1000)).is_ok() {
                taken += 1;
                if nothing {
                    admission.came_to_nothing(from, Millis(second * 1000));
                }
            }
            taken
        };
        assert_eq!(tries(from(1), true, 0), 5);
        let minute: u32 = (1..=60).map(|second| tries(from(1), true, second)).sum();
        assert_eq!(minute, 600 / FOR_NOTHING as u32);
        assert_eq!(tries(from(2), false, 60), 100, "others have all of theirs");
    }
}
