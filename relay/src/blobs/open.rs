//! How many transfers are open: each holds a file, and a process may hold only so many.

use super::lock;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use subrosa_shared::id::AccountName;

/// Transfers that are open in all: well below the 1024 files that systems let a process hold by default.
pub(super) const MOST: usize = 256;
/// Of those, by one account: nobody alone keeps all others out.
pub(super) const SHARE: usize = 32;
/// From one network: accounts cost little.
pub(super) const NEAR: usize = 128;
/// Kept for accounts that have none open, on networks that have none.
pub(super) const KEPT: usize = 64;

/// Who has how many transfers open; clones share it.
#[derive(Clone, Default)]
pub(super) struct Opened(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    accounts: HashMap<AccountName, usize>,
    networks: HashMap<IpAddr, usize>,
}

/// One open transfer, for as long as it lives.
pub(super) struct Open {
    all: Opened,
    name: AccountName,
    network: IpAddr,
}

impl Opened {
    /// One more, if there is room for it.
    pub(super) fn begin(&self, name: &AccountName, network: IpAddr) -> Option<Open> {
        let mut all = lock(&self.0);
        let own = all.accounts.get(name).copied().unwrap_or(0);
        let near = all.networks.get(&network).copied().unwrap_or(0);
        let most = if own == 0 && near == 0 { MOST } else { MOST - KEPT };
        if own >= SHARE || near >= NEAR || all.accounts.values().sum::<usize>() >= most {
            return None;
        }
        all.accounts.insert(name.clone(), own + 1);
        all.networks.insert(network, near + 1);
        Some(Open { all: self.clone(), name: name.clone(), network })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut all = lock(&self.all.0);
        one_less(&mut all.accounts, &self.name);
        one_less(&mut all.networks, &self.network);
    }
}

fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, of: &K) {
    if let Some(count) = counts.get_mut(of) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(of);
        }
    }
}
