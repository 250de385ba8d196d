//! Rooms at a relay that went back in time: who is how far is asked before anything changes.
//!
//! A change that the relay took after its backup may have reached some members and not others, and a room
//! has one history. So each member says how far their log is, to all, and takes what it lacks; own changes
//! wait until those who are there have had time to say so.

use super::super::talk::Talk;
use std::time::Duration;
use subrosa_shared::content::rooms::Keys;
use subrosa_shared::id::RoomId;
use subrosa_shared::session::Why;
use subrosa_shared::store::Error;
use subrosa_shared::time::Now;

/// How long own changes wait: clients are back within seconds, at most half a minute, after a relay is.
const QUIET: Duration = Duration::from_secs(60);

/// How many keys of earlier times are kept: the relay may have gone back behind the newest.
const FORMER: usize = 4;

impl super::Kept {
    /// The next keys; gives those before.
    pub(super) fn renew(&mut self, keys: Keys) -> Keys {
        let old = std::mem::replace(&mut self.keys, keys);
        self.former.push_front(old.clone());
        self.former.truncate(FORMER);
        old
    }
}

impl super::Group {
    /// The keys by which the relay knows who may move the head, as far as known: it refused newer ones.
    pub(super) fn keys_there(&self) -> &Keys {
        let former = self.behind.checked_sub(1).and_then(|at| self.kept.former.get(at));
        former.unwrap_or(&self.kept.keys)
    }

    /// The relay refused a key: the one before is tried next, and after the oldest the newest again.
    pub(super) fn key_refused(&mut self) {
        self.behind = if self.behind < self.kept.former.len() { self.behind + 1 } else { 0 };
    }
}

impl Talk {
    /// The relay went back in time.
    pub(in crate::chat) fn groups_rewound(&mut self, now: Now) -> Result<(), Error> {
        self.groups.chains.rewound();
        for room in self.group_ids() {
            self.withdraw(room);
            let Some(group) = self.chat.group_mut(room).filter(|group| group.is_open()) else { continue };
            let owed = group.kept.owed.clone();
            group.quiet = Some(now.mono.plus(QUIET));
            // Who lacks something sees it by the head beside this; what is missing here, they send.
            let want = group.want();
            self.transmit_in(room, &want, Why::Signal, None, now);
            self.wake_group(room, now, QUIET);
            for name in owed {
                self.invite_anew(room, &name, now);
            }
        }
        Ok(())
    }

    /// Whether own changes of a room wait until the others have said how far they are.
    pub(super) fn is_quiet(&mut self, room: RoomId, now: Now) -> bool {
        let Some(group) = self.chat.group_mut(room) else { return false };
        let Some(until) = group.quiet else { return false };
        if until <= now.mono {
            group.quiet = None;
            return false;
        }
        self.wake_group(room, now, until.since(now.mono));
        true
    }

    /// What is on its way is proposed anew, on top of what the others have.
    pub(super) fn withdraw(&mut self, room: RoomId) {
        let Some(group) = self.chat.group_mut(room) else { return };
        let Some(proposed) = group.kept.proposed.take() else { return };
        self.save_group(room);
        let withdrawn = self.outbox.rejected(&proposed.envelope, &mut self.batch);
        // Sessions that it would have begun are known to nobody else.
        for device in withdrawn.iter().flat_map(super::super::outbox::Entry::begun) {
            self.sessions.restart(&device, &mut self.batch);
        }
    }
}
