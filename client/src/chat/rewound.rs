//! A relay that went back in time: its owner restored a backup, or its store was lost.
//!
//! What it took since the backup and did not hand out is nowhere but on the machines of who sent it. The
//! relay says in which era it is; when that is another one, whatever nobody has receipted goes out again
//! (what comes twice is shown once), contacts and rooms are told how things stand here, and the backup of
//! the account is stored anew.

use super::sending::{PLACE, Resend};
use super::talk::{ACCOUNT, PENDING, Talk};
use std::time::Duration;
use subrosa_shared::store::{Error, Order};
use subrosa_shared::time::Now;

/// How long people whom the relay does not know any more may take to come back to it.
const RETURN: Duration = Duration::from_secs(600);

/// In [`ACCOUNT`]: the era in which the relay was last.
const ERA: &[u8] = b"era";

impl Talk {
    /// The relay says in which era it is.
    pub(super) fn in_era(&mut self, era: u64, now: Now) -> Result<(), Error> {
        let era = era.to_be_bytes().to_vec();
        let known = self.store.records.get(ACCOUNT, ERA)?;
        if known.as_ref() == Some(&era) {
            return Ok(());
        }
        self.batch.put(ACCOUNT, ERA, era);
        if known.is_none() {
            return Ok(());
        }
        self.notice(
            "this relay went back to an earlier state, most likely to a backup: what nobody has confirmed goes out again \
             by itself, files too"
                .into(),
            true,
        );
        self.rewound = Some(now.mono.plus(RETURN));
        // On this disk first: who is killed now goes on at the next start.
        for (key, value) in self.store.records.scan(PENDING, &[], &[], Order::Forward, usize::MAX)? {
            if let Some(place) = value.get(..PLACE).filter(|place| place.len() < value.len()) {
                self.batch.put(PENDING, key, place.to_vec());
            }
        }
        self.groups_rewound(now)?;
        self.resend(None, Resend::Unreceipted, now)?;
        self.lists.told.clear();
        let people = self.chat.rooms.iter().filter(|room| room.is_open() && room.group.is_none());
        for room in people.map(|room| room.id).collect::<Vec<_>>() {
            self.profile_again(room, now);
        }
        self.files_rewound(now);
        self.backup_rewound();
        Ok(())
    }
}
