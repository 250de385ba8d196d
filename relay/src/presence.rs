//! Who may see that whom is connected: two devices see each other when both name the other.

use std::collections::{BTreeMap, BTreeSet};
use subrosa_shared::id::DeviceId;

/// The rosters of connected devices. Pure.
#[derive(Debug, Default)]
pub struct Presence {
    rosters: BTreeMap<DeviceId, BTreeSet<DeviceId>>,
}

/// Tell `to` that `about` came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Who learns it.
    pub to: DeviceId,
    /// About whom.
    pub about: DeviceId,
    /// Connected now.
    pub online: bool,
}

impl Presence {
    /// A connected device names those it shares presence with; replaces what it named before.
    pub fn share(&mut self, device: DeviceId, with: Vec<DeviceId>) -> Vec<Notice> {
        let mut with: BTreeSet<_> = with.into_iter().collect();
        with.remove(&device);
        let before = self.rosters.get(&device).map(|_| self.friends(device)).unwrap_or_default();
        self.rosters.insert(device, with);
        let after = self.friends(device);
        let lost = before.difference(&after).map(|friend| (*friend, false));
        let found = after.difference(&before).map(|friend| (*friend, true));
        lost.chain(found).flat_map(|(friend, online)| both(device, friend, online)).collect()
    }

    /// A device's connection is gone, and its roster with it.
    pub fn left(&mut self, device: DeviceId) -> Vec<Notice> {
        let friends = self.friends(device);
        self.rosters.remove(&device);
        friends.into_iter().map(|to| Notice { to, about: device, online: false }).collect()
    }

    fn friends(&self, device: DeviceId) -> BTreeSet<DeviceId> {
        let Some(named) = self.rosters.get(&device) else { return BTreeSet::new() };
        let names_back = |other: &&DeviceId| self.rosters.get(*other).is_some_and(|r| r.contains(&device));
        named.iter().filter(names_back).copied().collect()
    }
}

fn both(a: DeviceId, b: DeviceId, online: bool) -> [Notice; 2] {
    [Notice { to: a, about: b, online }, Notice { to: b, about: a, online }]
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: DeviceId = DeviceId([1; 16]);
    const B: DeviceId = DeviceId([2; 16]);
    const C: DeviceId = DeviceId([3; 16]);

    #[test]
    fn only_those_who_name_each_other_see_each_other() {
        let mut presence = Presence::default();
        assert_eq!(presence.share(A, vec![B, C]), [], "nobody names A yet");
        assert_eq!(presence.share(B, vec![A]), both(B, A, true));
        assert_eq!(presence.share(C, vec![B]), [], "one-sided");
        assert_eq!(presence.share(B, vec![A, C]), both(B, C, true), "only the news");
        assert_eq!(presence.share(A, vec![]), both(A, B, false), "hidden");
        assert_eq!(presence.left(B), [Notice { to: C, about: B, online: false }]);
        assert_eq!(presence.left(A), []);
    }

    #[test]
    fn naming_oneself_is_nothing() {
        let mut presence = Presence::default();
        assert_eq!(presence.share(A, vec![A]), []);
        assert_eq!(presence.left(A), []);
    }
}
