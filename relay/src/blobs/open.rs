//! How many transfers are open: each holds a file, and a process may hold only so many.

use super::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use subrosa_shared::id::AccountName;

/// Transfers that are open in all: well below the 1024 files that systems let a process hold by default.
pub(super) const MOST: usize = 256;
/// Of those, by one account: nobody alone keeps all others out.
pub(super) const SHARE: usize = 32;

/// Who has how many transfers open; clones share it.
#[derive(Clone, Default)]
pub(super) struct Opened(Arc<Mutex<HashMap<AccountName, usize>>>);

/// One open transfer, for as long as it lives.
pub(super) struct Open {
    all: Opened,
    name: AccountName,
}

impl Opened {
    /// One more, if there is room for it.
    pub(super) fn begin(&self, name: &AccountName) -> Option<Open> {
        let mut all = lock(&self.0);
        let own = all.get(name).copied().unwrap_or(0);
        if own >= SHARE || all.values().sum::<usize>() >= MOST {
            return None;
        }
        all.insert(name.clone(), own + 1);
        Some(Open { all: self.clone(), name: name.clone() })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut all = lock(&self.all.0);
        if let Some(own) = all.get_mut(&self.name) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                all.remove(&self.name);
            }
        }
    }
}
