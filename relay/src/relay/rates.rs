//! How often a device or a network may ask for what.

use crate::config::{Limits, Rate};
use crate::limits::{Buckets, Wait};
use crate::router::Cost;
use std::net::IpAddr;
use subrosa_shared::id::{AccountName, DeviceId};
use subrosa_shared::protocol::devices::SIGNATURES_IN_FRAME;
use subrosa_shared::protocol::password::SESSIONS_MAX;
use subrosa_shared::time::Millis;

/// Buckets by device, and one by network.
pub(super) struct Rates {
    pub(super) frames: Buckets<DeviceId>,
    pub(super) sends: Buckets<DeviceId>,
    pub(super) send_bytes: Buckets<DeviceId>,
    pub(super) claims: Buckets<DeviceId>,
    pub(super) lookups: Buckets<DeviceId>,
    pub(super) passwords: Buckets<DeviceId>,
    pub(super) backups: Buckets<DeviceId>,
    pub(super) registrations: Buckets<IpAddr>,
    pub(super) prekeys: Buckets<DeviceId>,
    pub(super) lists: Buckets<DeviceId>,
    pub(super) signatures: Buckets<DeviceId>,
    pub(super) slots: Buckets<DeviceId>,
    pub(super) knocks: Buckets<DeviceId>,
    pub(super) sessions: Buckets<DeviceId>,
    /// What is said by those who proved the password of an account.
    visits: Buckets<AccountName>,
    /// Guests of a rendezvous: each try uses somebody's code up.
    pub(super) joins: Buckets<IpAddr>,
    /// Rendezvous opened without a login.
    pub(super) opens: Buckets<IpAddr>,
}

/// New versions of a device list, and rendezvous, of one device.
const LISTS: Rate = Rate { per_minute: 6, burst: 20 };
/// Prekeys handed over by one device, each with a signature to verify: a device keeps 64 here.
const PREKEYS: Rate = Rate { per_minute: 240, burst: 400 };
/// Signatures to verify in the lists of one device: at once what the longest list has that a person makes, each
/// version with one device more or fewer.
const SIGNATURES: Rate = Rate { per_minute: 120, burst: 4 * SIGNATURES_IN_FRAME as u32 };
/// Frames of those who proved the password of one account, and signatures to verify in them.
const VISITS: Rate = Rate { per_minute: 120, burst: 2 * SIGNATURES_IN_FRAME as u32 };
/// Knocks of one device at the doors of rooms.
const KNOCKS: Rate = Rate { per_minute: 6, burst: 20 };
/// Sessions that one device lists or ends, a person's doing: at once it may end all that are listed.
const SESSIONS: Rate = Rate { per_minute: 60, burst: 2 * SESSIONS_MAX as u32 };
/// Rendezvous joined from one network.
const JOINS: Rate = Rate { per_minute: 6, burst: 10 };
/// Rendezvous opened from one network without a login: each keeps a connection and a place.
const OPENS: Rate = Rate { per_minute: 2, burst: 6 };

impl Rates {
    /// Full buckets.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            frames: Buckets::new(limits.frames),
            sends: Buckets::new(limits.sends),
            send_bytes: Buckets::new(limits.send_bytes),
            claims: Buckets::new(limits.claims),
            lookups: Buckets::new(limits.lookups),
            passwords: Buckets::new(limits.passwords),
            backups: Buckets::new(limits.backups),
            registrations: Buckets::new(limits.registrations),
            prekeys: Buckets::new(PREKEYS),
            lists: Buckets::new(LISTS),
            signatures: Buckets::new(SIGNATURES),
            visits: Buckets::new(VISITS),
            slots: Buckets::new(LISTS),
            knocks: Buckets::new(KNOCKS),
            sessions: Buckets::new(SESSIONS),
            joins: Buckets::new(JOINS),
            opens: Buckets::new(OPENS),
        }
    }

    pub(super) fn take(&mut self, device: DeviceId, cost: Cost, mono: Millis) -> Result<(), Wait> {
        match cost {
            Cost::Frame => Ok(()),
            Cost::Send(bytes) => {
                self.sends.take(&device, 1, mono)?;
                self.send_bytes.take(&device, bytes, mono)
            }
            Cost::Claim => self.claims.take(&device, 1, mono),
            Cost::Lookup => self.lookups.take(&device, 1, mono),
            Cost::Prekeys(bundles) => self.prekeys.take(&device, bundles, mono),
            Cost::List(signatures) => {
                self.signatures.take(&device, signatures, mono)?;
                self.lists.take(&device, 1, mono)
            }
            Cost::Slot => self.slots.take(&device, 1, mono),
            Cost::Knock => self.knocks.take(&device, 1, mono),
            Cost::Sessions => self.sessions.take(&device, 1, mono),
            Cost::Password => self.passwords.take(&device, 1, mono),
            Cost::Backup => self.backups.take(&device, 1, mono),
        }
    }

    /// A frame of somebody who proved a password and is no device yet.
    pub(super) fn visit(&mut self, name: &AccountName, cost: Cost, mono: Millis) -> Result<(), Wait> {
        let signatures = if let Cost::List(signatures) = cost { signatures } else { 0 };
        self.visits.take(name, 1 + signatures, mono)
    }
}
