//! What comes of a room's log to who is out of it, until it is known who signed it.
//!
//! Whoever was in a room once can write what looks like its next entry: that the owner brings somebody
//! back. Who is in knows the devices of all authors; who is out asks the relay for them first.

use super::super::talk::Talk;
use super::Group;
use std::collections::BTreeSet;
use subrosa_shared::content::rooms::{Keys, RoomTalk};
use subrosa_shared::id::{AccountName, RoomId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::session::roomlog::{Entry, Fault};
use subrosa_shared::store::Error;
use subrosa_shared::time::Now;

/// Messages of one room that wait. One more is asked for again: what waits is what it stands on.
const HELD_MAX: usize = 8;

/// A message with entries that waits.
#[derive(Debug)]
pub(super) struct Held {
    from: Peer,
    name: AccountName,
    /// Whose devices were asked for.
    authors: BTreeSet<AccountName>,
    talk: RoomTalk,
}

impl Talk {
    /// Entries of the log, from a member or with an invitation.
    pub(super) fn entries(
        &mut self,
        room: RoomId,
        name: &AccountName,
        from: &Peer,
        entries: &[Vec<u8>],
        keys: Option<Keys>,
        now: Now,
    ) -> Result<(), Error> {
        let authors = self.unknown_authors(room, entries);
        // They are taken in the order in which they came.
        let waits = |group: &Group| group.is_shut() && !group.held.is_empty();
        if authors.is_empty() && !self.chat.group(room).is_some_and(waits) {
            return self.take_entries(room, name, from, entries, keys, now);
        }
        let Some(group) = self.chat.group_mut(room) else { return Ok(()) };
        if group.held.len() >= HELD_MAX {
            self.dropped += 1;
            return Ok(());
        }
        let talk = RoomTalk::Entries { entries: entries.to_vec(), keys };
        let held = Held { from: *from, name: name.clone(), authors: authors.clone(), talk };
        group.held.push_back(held);
        self.want_anew(&authors);
        self.hear_held(room, now)
    }

    /// Takes what waited for devices that are known by now, or that the relay does not know.
    pub(super) fn hear_held(&mut self, room: RoomId, now: Now) -> Result<(), Error> {
        loop {
            let Some(group) = self.chat.group(room) else { return Ok(()) };
            let Some(held) = group.held.front() else { return Ok(()) };
            if held.authors.iter().any(|author| self.awaits_chain(author)) {
                return Ok(());
            }
            let held = self.chat.group_mut(room).and_then(|group| group.held.pop_front());
            let Some(Held { from, name, authors, talk: RoomTalk::Entries { entries, keys } }) = held else {
                continue;
            };
            // It may follow on what waited before it.
            let mut more = self.unknown_authors(room, &entries);
            more.retain(|author| !authors.contains(author));
            if more.is_empty() {
                self.take_entries(room, &name, &from, &entries, keys, now)?;
                continue;
            }
            if let Some(group) = self.chat.group_mut(room) {
                let authors = authors.union(&more).cloned().collect();
                let talk = RoomTalk::Entries { entries, keys };
                group.held.push_front(Held { from, name, authors, talk });
            }
            self.want_anew(&more);
        }
    }

    /// Who is said to have signed what is new among these entries, as far as it is not known that the device was
    /// theirs; of a room that takes no such entry.
    fn unknown_authors(&self, room: RoomId, entries: &[Vec<u8>]) -> BTreeSet<AccountName> {
        let Some(group) = self.chat.group(room).filter(|group| group.is_shut()) else {
            return BTreeSet::new();
        };
        let mut log = group.log.clone();
        for entry in entries.iter().map_while(|bytes| Entry::decode(bytes).ok()) {
            if !matches!(log.apply(&entry, &|_, _, _| true), Ok(_) | Err(Fault::Repeat)) {
                break;
            }
        }
        let new = log.signers(u64::MAX).into_iter().skip(group.log.entries(0).len());
        let unknown =
            new.filter(|signer| self.ever_had(&signer.account, &signer.root, &signer.device) != Some(true));
        unknown.map(|signer| signer.account).filter(|account| *account != self.chat.name).collect()
    }
}

impl Group {
    /// This account is not in, by a log that is verified: nothing is added to it that is not.
    pub(super) fn is_shut(&self) -> bool {
        !self.open && self.kept.unproven == 0
    }
}
