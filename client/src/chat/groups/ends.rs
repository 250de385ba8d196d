//! Who is out is told so, also when the request that moved the head could not reach them.

use super::super::talk::Talk;
use super::End;
use super::answers::Wanted;
use subrosa_shared::content::Content;
use subrosa_shared::content::rooms::{AboutRoom, RoomTalk};
use subrosa_shared::id::{AccountName, RoomId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::session::Why;
use subrosa_shared::session::roomlog::{Entry, Op};
use subrosa_shared::time::Now;

impl Talk {
    /// Tells those that they are out who did not learn it with the request that moved the head.
    pub(super) fn tell_ends(&mut self, room: RoomId, now: Now) {
        let Some(group) = self.chat.group(room) else { return };
        let (tag, ends) = (group.tag(), group.kept.ends.clone());
        for (device, End { from, to, .. }) in ends {
            let Some(group) = self.chat.group(room) else { return };
            // Nothing of what was done after it.
            let row = group.log.entries(from).iter().take_while(|entry| entry.height <= to);
            let talk = RoomTalk::Entries { entries: row.map(Entry::encode).collect(), keys: None };
            self.transmit_to(device, None, Content::Room(AboutRoom { room: tag, talk }), Why::Signal, now);
        }
        if let Some(group) = self.chat.group_mut(room) {
            group.ends_told = true;
        }
        self.told_ends(room);
    }

    /// Whether somebody who is out asks for entries: the word of that did not open. They get those up to it.
    pub(super) fn answer_end(
        &mut self,
        room: RoomId,
        name: &AccountName,
        from: &Peer,
        height: u64,
        now: Now,
    ) -> bool {
        // Who merely invites learns nothing.
        if !self.chat.room(room).is_some_and(|room| room.person.is_contact()) {
            return false;
        }
        let Some(group) = self.chat.group(room) else { return false };
        let out = |entry: &Entry| match &entry.said.op {
            Op::Remove { account } | Op::Ban { account, .. } => account == name,
            _ => false,
        };
        let end = group.log.entries(height).iter().rev().find(|entry| out(entry)).map(|entry| entry.height);
        let Some(end) = end.filter(|_| group.role(name).is_none() && *name != self.chat.name) else {
            return false;
        };
        let roots = self.ever_in(room).remove(name).unwrap_or_default();
        // Their list may be forgotten by now; the first device of an account is in none's name but its own.
        let was_in = |root: &[u8; 32]| *root == from.identity || self.speaks_for(name, root, from);
        let was_in = roots.iter().any(was_in);
        let Some(group) = self.chat.group_mut(room).filter(|_| was_in) else { return false };
        if end - height < ROW_MAX && group.answers.another(Wanted::Entries, from.device(), now) {
            group.kept.ends.insert(from.device(), End { peer: *from, from: height, to: end });
            self.save_group(room);
            self.tell_ends(room, now);
        }
        true
    }

    /// The connection is back: those who waited for that in an earlier run.
    pub(super) fn tell_ends_again(&mut self, room: RoomId, now: Now) {
        if self.chat.group(room).is_some_and(|group| !group.ends_told && !group.kept.ends.is_empty()) {
            self.tell_ends(room, now);
        }
    }

    /// Those who are told by now, or will be as soon as there are keys of theirs in this run.
    pub(super) fn told_ends(&mut self, room: RoomId) {
        let queues = &self.queues;
        let Some(group) = self.chat.rooms.iter_mut().find(|r| r.id == room).and_then(|r| r.group.as_mut())
        else {
            return;
        };
        if !group.ends_told {
            return;
        }
        let before = group.kept.ends.len();
        group.kept.ends.retain(|device, _| queues.contains_key(device));
        if group.kept.ends.len() != before {
            self.save_group(room);
        }
    }
}

/// The longest row that somebody is told who is out: it fits one piece.
const ROW_MAX: u64 = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::person::Standing;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use subrosa_shared::session::Identity;
    use subrosa_shared::time::Millis;

    #[test]
    fn of_a_room_that_was_not_accepted_who_is_out_of_it_learns_nothing() {
        let now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };
        let mut talk = crate::chat::tests::alone(now);
        let room = talk.found_room("club", &[], now).expect("a name");
        let (me, ben) = (talk.chat.name.clone(), AccountName::parse("ben").expect("valid"));
        let peer = Identity::generate(&mut ChaCha20Rng::seed_from_u64(1)).peer();
        let add = Op::Add { account: ben.clone(), root: peer.identity, door: None };
        for op in [add, Op::Remove { account: ben.clone() }] {
            let log = &mut talk.chat.group_mut(room).expect("begun").log;
            let entry = log.draft(&me, op, talk.sessions.identity(), now.wall).expect("may");
            log.apply(&entry, &|_, _, _| true).expect("follows");
        }
        for (standing, blocked, answered) in [
            (Standing::Request, false, false),
            (Standing::Contact, true, false),
            (Standing::Contact, false, true),
        ] {
            let person = &mut talk.chat.room_mut(room).expect("begun").person;
            (person.standing, person.blocked) = (standing, blocked);
            assert_eq!(talk.answer_end(room, &ben, &peer, 1, now), answered, "{standing:?}, {blocked}");
        }
    }
}
