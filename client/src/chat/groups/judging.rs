//! Whose words count in a room: the rule by which all who are in show the same lines.
//!
//! A line, and what is done to one, names the height of the log at which it was written, also when it is
//! sent again. It is shown if its author was a member there and not silenced: each member judges the
//! same, whichever came first in their mailbox. What names a height that the log here has not reached
//! waits for it. Who is out could name an old height for ever: [`LATE`] after a removal was learned of,
//! what names a height before it is not shown any more; the same after a silence.

use super::super::expiry::opened;
use super::super::talk::Talk;
use super::{EARLY, Group, room_id};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use subrosa_shared::content::Content;
use subrosa_shared::content::rooms::{AboutRoom, InRoom, RoomTalk};
use subrosa_shared::id::{AccountName, DeviceId, MessageId, RoomId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::session::Why;
use subrosa_shared::session::roomlog::{Change, Met, What};
use subrosa_shared::store::{Error, Order, Store, prefix_end};
use subrosa_shared::time::{Millis, Now};
use zeroize::Zeroizing;

/// So long what was written before a removal or a silence may come after it.
const LATE: Duration = Duration::from_secs(10 * 60);
/// Messages of a room that wait for an entry of its log…
const EARLY_MAX: usize = 512;
/// …and bytes of them: that many short lines, and long ones beside them.
const EARLY_BYTES: usize = 1 << 20;
/// Messages of one account among them…
const THEIRS_MAX: usize = 64;
/// …and bytes of these: nobody takes the place of all others.
const THEIRS_BYTES: usize = 128 * 1024;
/// Devices for whose messages there was no place, of which it is known.
const CROWDED_MAX: usize = 64;
/// Bytes of them while the invitation waits for a decision: as many as a stranger's lines may have.
const REQUEST_BYTES: usize = 64 * 1024;
/// So long they wait, which is as long as the keys of what came not in its order are kept.
const EARLY_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// Bytes around what was said, at most: its key, who said it, where and when.
const AROUND: usize = 256;
/// Bytes of a key in [`EARLY`]…
const KEY: usize = 16 + 8 + 16;
/// …and what stands behind them where the value is sealed. What an earlier version wrote has a key without it, and
/// may begin with any byte.
const SEALED: u8 = 1;

/// Something that came before an entry of the log that it depends on. What disappears lies there as the
/// conversation's chain sealed it, under a key that says so: see [`SEALED`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Early {
    from: Peer,
    name: AccountName,
    said: InRoom,
    /// When, by the wall clock; 0 where an earlier version kept it.
    came: Millis,
}

/// What becomes of something said in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is taken in.
    Counts,
    /// It waits for the log.
    Waits,
    /// It would wait for the log, but there is no place: it is asked for when the log is here.
    Crowded,
    /// It is nobody's who may.
    Refused,
}

impl Talk {
    /// What becomes of something that a device says in a room, in a member's name.
    pub(super) fn weigh(
        &self,
        from: &Peer,
        name: &AccountName,
        said: &InRoom,
        content: &Content,
        now: Now,
    ) -> Verdict {
        let Some(group) = self.chat.group(room_id(said.room)) else { return Verdict::Refused };
        let present = group.log.state();
        let met = group.log.meet(said.height, &said.head);
        let here = |root: &[u8; 32]| self.speaks_for(name, root, from);
        let member = present.members.get(name).filter(|member| here(&member.root));
        let ahead = matches!(met, Met::Ahead { .. });
        if ahead && (member.is_none() || lasts(content)) {
            let listed = self.lists.of(name).is_some_and(|list| list.has(from));
            match self.may_wait(name, said) {
                true if member.is_some() || listed => return Verdict::Waits,
                true => return Verdict::Refused,
                false if member.is_none() && listed && lasts(content) => return Verdict::Crowded,
                false => {}
            }
        }
        if !lasts(content) {
            return if member.is_some() { Verdict::Counts } else { Verdict::Refused };
        }
        let at = written(content).unwrap_or(now.wall).min(now.wall);
        // Of two histories each goes by their own, and is warned.
        let state = match met {
            Met::Behind => group.log.state_at(said.height),
            _ => None,
        };
        let state = state.as_ref().unwrap_or(present);
        match state.members.get(name).filter(|there| here(&there.root)) {
            Some(there) if !there.silent(at) => {
                let still = member.is_some_and(|member| member.root == there.root && !member.silent(at));
                let own = *name == self.chat.name;
                if still || own || group.is_late(name, now) { Verdict::Counts } else { Verdict::Refused }
            }
            _ => Verdict::Refused,
        }
    }

    /// Whether there is a place for one more message of that account.
    fn may_wait(&self, name: &AccountName, said: &InRoom) -> bool {
        let Some(room) = self.chat.room(room_id(said.room)) else { return false };
        let Some(group) = room.group.as_deref() else { return false };
        let most = if room.person.is_request() { REQUEST_BYTES } else { EARLY_BYTES };
        let bytes = |said: &InRoom| said.inside.len() + AROUND;
        let (mut all, mut theirs, mut count) = (bytes(said), bytes(said), 1);
        for early in group.early.values() {
            let by = usize::from(early.name == *name);
            all += bytes(&early.said);
            theirs += by * bytes(&early.said);
            count += by;
        }
        group.early.len() < EARLY_MAX && all <= most && count <= THEIRS_MAX && theirs <= THEIRS_BYTES
    }

    /// Keeps what waits for the log, and asks for what is missing of it.
    pub(super) fn wait_for_log(&mut self, from: &Peer, name: &AccountName, said: InRoom, now: Now) {
        let (room, height, clock) = (room_id(said.room), said.height, said.clock);
        let fades = matches!(said.open(), Ok(Content::Timed { .. }));
        let mut key = [room.0.as_slice(), &clock.to_be_bytes(), &MessageId::random(&mut self.rng).0].concat();
        let early = Early { from: *from, name: name.clone(), said, came: now.wall };
        let mut value = postcard::to_stdvec(&early).expect("it serialises: plain fields only");
        if fades {
            key.push(SEALED);
            value = self.sealed_timed(room, &key, &value);
        }
        self.batch.put(EARLY, key.clone(), value);
        if let Some(group) = self.chat.group_mut(room) {
            group.early.insert(key, early);
        }
        self.entries_missing(room, height, from.device(), now);
    }

    /// There was no place for what that device said, which no log here names yet.
    pub(super) fn had_no_place(&mut self, room: RoomId, device: DeviceId, height: u64, now: Now) {
        let Some(group) = self.chat.group_mut(room) else { return };
        if group.crowded.len() < CROWDED_MAX {
            group.crowded.insert(device);
        }
        self.entries_missing(room, height, device, now);
    }

    /// Those are members now for whose words there was no place before: they are asked for what has no receipt.
    fn ask_crowded(&mut self, room: RoomId, now: Now) {
        // What is said to members tells them that the invitation was accepted.
        let Some(group) =
            self.chat.room(room).filter(|room| room.person.is_contact()).and(self.chat.group(room))
        else {
            return;
        };
        let (tag, crowded) = (group.tag(), group.crowded.iter().copied());
        let named: Vec<DeviceId> = crowded.filter(|device| self.member_peer(device).is_some()).collect();
        for device in named {
            if let Some(group) = self.chat.group_mut(room) {
                group.crowded.remove(&device);
            }
            let content = Content::Room(AboutRoom { room: tag, talk: RoomTalk::Accept });
            self.transmit_to(device, None, content, Why::Signal, now);
        }
    }

    /// What waited for entries that are here by now, in the order in which it was said. Of a member whose devices
    /// are not known yet it waits for these.
    pub(super) fn heard_early(&mut self, room: RoomId, now: Now) -> Result<(), Error> {
        let Some(group) = self.chat.group(room) else { return Ok(()) };
        let (height, unknown) = match group.early.is_empty() {
            true => (0, Vec::new()),
            false => (group.log.height(), self.recipients(group.log.state()).1),
        };
        let Some(group) = self.chat.group_mut(room) else { return Ok(()) };
        let early = std::mem::take(&mut group.early).into_iter();
        let (heard, waits): (BTreeMap<_, _>, _) =
            early.partition(|(_, early)| early.said.height <= height && !unknown.contains(&early.name));
        group.early = waits;
        for (key, early) in heard {
            self.drop_early(room, key, now);
            self.hear_in_room(&early.from, &early.name, early.said, now)?;
        }
        self.ask_crowded(room, now);
        let me = &self.chat.name;
        if self.chat.group(room).is_some_and(|group| group.is_over(me)) {
            let waits = self.chat.group_mut(room).map(|group| std::mem::take(&mut group.early));
            for key in waits.unwrap_or_default().into_keys() {
                self.drop_early(room, key, now);
            }
        }
        Ok(())
    }

    /// What has waited too long waits no longer: its author still has it, without a receipt.
    pub(in crate::chat) fn expire_early(&mut self, now: Now) {
        for room in self.group_ids() {
            let Some(group) = self.chat.group_mut(room) else { continue };
            let mut over = Vec::new();
            group.early.retain(|key, early| {
                if early.came == Millis(0) {
                    early.came = now.wall;
                }
                let waits = now.wall.since(early.came) < EARLY_FOR;
                if !waits {
                    over.push(key.clone());
                }
                waits
            });
            for key in over {
                self.drop_early(room, key, now);
            }
        }
    }

    /// It waits no longer: if it counts, it is sealed anew where it stands.
    fn drop_early(&mut self, room: RoomId, key: Vec<u8>, now: Now) {
        if is_sealed(&key) {
            self.expiry.turn_soon(room, now);
        }
        self.batch.delete(EARLY, key);
    }

    /// Where those are that the conversation's chain seals.
    pub(in crate::chat) fn early_timed(&self, room: RoomId) -> impl Iterator<Item = Vec<u8>> {
        let early = self.chat.group(room).into_iter().flat_map(|group| group.early.keys());
        early.filter(|key| is_sealed(key)).cloned()
    }
}

impl Group {
    /// What waits for the log, from an earlier run.
    pub(super) fn load_early(&mut self, store: &Store, room: RoomId) -> Result<(), Error> {
        let end = prefix_end(&room.0);
        for (key, value) in store.records.scan(EARLY, &room.0, &end, Order::Forward, usize::MAX)? {
            let damaged = || Error::Damaged("what was said early".into());
            let plain = match is_sealed(&key) {
                true => opened(store, room, &key, &value),
                false => Some(Zeroizing::new(value)),
            };
            // Sealed by a link that is gone: nobody here said that it came, so its author still has it.
            let Some(plain) = plain else { continue };
            self.early.insert(key, Early::read(&plain).ok_or_else(damaged)?);
        }
        Ok(())
    }

    /// From a change on somebody's words count for nothing, or count again.
    pub(super) fn closes(&mut self, change: &Change, now: Now) {
        self.kept.closed.retain(|_, learned| now.wall.since(*learned) <= LATE);
        match (&change.what, change.out()) {
            (_, Some(out)) => drop(self.kept.closed.insert(out.clone(), now.wall)),
            (What::Silenced { account, until: Some(_) }, _) => {
                self.kept.closed.insert(account.clone(), now.wall);
            }
            _ => {}
        }
    }

    /// This account is out since a moment ago, or the room is over: what waits for the log waits for nothing.
    /// Not so before it was in, while the log that lets it in still comes.
    fn is_over(&self, me: &AccountName) -> bool {
        !self.open && (self.log.state().deleted || self.kept.closed.contains_key(me))
    }

    /// What somebody wrote before their words counted for nothing may still come.
    fn is_late(&self, name: &AccountName, now: Now) -> bool {
        self.kept.closed.get(name).is_some_and(|learned| now.wall.since(*learned) <= LATE)
    }
}

impl Early {
    fn read(bytes: &[u8]) -> Option<Self> {
        let before = || postcard::from_bytes(&Zeroizing::new([bytes, &[0]].concat())).ok();
        postcard::from_bytes(bytes).ok().or_else(before)
    }
}

/// Whether what lies in [`EARLY`] under that key is sealed by the conversation's chain.
fn is_sealed(key: &[u8]) -> bool {
    key.len() > KEY && key.ends_with(&[SEALED])
}

/// Whether it stays on the screen, so that all have to judge it the same.
fn lasts(content: &Content) -> bool {
    !matches!(content, Content::Room(_) | Content::Typing(_) | Content::Receipt { .. } | Content::Call { .. })
}

/// When a line was written, as its author says.
fn written(content: &Content) -> Option<Millis> {
    match content {
        Content::Text { at, .. } => Some(*at),
        Content::Post(post) => Some(post.at),
        Content::File(file) => Some(file.at),
        Content::Timed { inside, .. } => {
            let inside = Content::decode(inside).ok()?;
            if matches!(inside, Content::Timed { .. }) { None } else { written(&inside) }
        }
        _ => None,
    }
}
