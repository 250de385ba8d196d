//! How many handshakes the relay takes on: so many a second in all and from each network.
//!
//! A handshake is what costs a relay most, and its endpoint does nothing else meanwhile. What is above the
//! bound is not answered; clients ask again by themselves a moment later. The last half of the burst is
//! for those who were connected before and show it, so that a crowd of newcomers does not keep them out.

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
}
