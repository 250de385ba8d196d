//! The password that links into a room ask for: set, changed, taken away; what tests it, held by members.

use super::super::talk::Talk;
use super::ops::NO_ROOM;
use super::{AtDoor, Group, Stretch, Stretched};
use crate::effect::Effect;
use subrosa_shared::content::Content;
use subrosa_shared::content::rooms::{AboutRoom, Lock as SentLock, RoomTalk};
use subrosa_shared::id::RoomId;
use subrosa_shared::session::Why as Purpose;
use subrosa_shared::session::door::Lock;
use subrosa_shared::session::roomlog::{Log, Op, Role, Rule, Terms};
use subrosa_shared::store::{Error, Order, Table};
use subrosa_shared::time::Now;
use zeroize::Zeroizing;

/// Room (16) ‖ hash of the lock (32) → the lock.
pub const LOCKS: Table = Table { byte: 0x4e, name: "what tests passwords of rooms" };

/// Locks of a room that its log does not name yet.
const AHEAD: usize = 4;

impl Group {
    /// Whether links into the room ask for a password, those too that are still to be made.
    pub fn has_password(&self) -> bool {
        password(&self.log).is_some()
    }

    /// A change of one link's terms that gives all of them another password; `None` without a link.
    fn change_of_password(&self, password: Option<[u8; 32]>) -> Option<Op> {
        let mut doors = self.log.state().doors.iter();
        let (id, door) = doors.find(|(_, door)| door.terms.password != password)?;
        Some(Op::Door { door: *id, terms: Some(Terms { password, ..door.terms }) })
    }
}

/// What links into the room ask for, by the last word of its log on that: a password stays while there is
/// no link.
pub(super) fn password(log: &Log) -> Option<[u8; 32]> {
    let said = log.entries(0).iter().rev().find_map(|entry| match entry.said.op {
        Op::Door { terms: Some(terms), .. } => Some(terms.password),
        _ => None,
    });
    said.flatten()
}

impl Talk {
    /// Asks who comes by a link for this password from now on, once it is stretched.
    ///
    /// # Errors
    /// A sentence with the next step.
    pub fn set_room_password(&mut self, room: RoomId, password: Zeroizing<String>) -> Result<(), String> {
        let tag = self.may_set_password(room)?.tag();
        if !self.groups.locking.insert(room) {
            return Err("a password is being set there already: a moment".into());
        }
        self.effects.push(Effect::StretchDoor(Box::new(Stretch::Lock { room, tag, password })));
        self.notice("setting the room's password; it is stretched for a moment…".into(), false);
        Ok(())
    }

    /// Nobody is asked for a password any more.
    ///
    /// # Errors
    /// A sentence with the next step.
    pub fn drop_room_password(&mut self, room: RoomId, now: Now) -> Result<(), String> {
        let group = self.may_set_password(room)?;
        if !group.has_password() {
            return Err("that room has no password: /room password sets one".into());
        }
        let without = "no link into that room is open, so nobody is asked for the password: /room link makes one, and \
                       then /room password off takes it away";
        let op = group.change_of_password(None).ok_or(without)?;
        self.operate(room, op, now)
    }

    /// Whether this account may set a room's password.
    ///
    /// # Errors
    /// A sentence with the next step.
    pub fn may_set_password(&self, room: RoomId) -> Result<&Group, String> {
        let group = self.chat.group(room).ok_or(NO_ROOM)?;
        if !group.is_open() {
            return Err(super::words::over(group, &self.chat.name));
        }
        let need = group.log.state().policy.invite.max(Role::Moderator);
        if group.role(&self.chat.name).is_none_or(|role| role < need) {
            return Err(super::words::refused(Rule::Right(need), &Op::Delete));
        }
        Ok(group)
    }

    /// The slow part about a room's password is done.
    pub fn stretched_door(&mut self, stretched: Stretched, now: Now) {
        match stretched {
            Stretched::Lock(room, lock) => {
                self.groups.locking.remove(&room);
                let lock = lock.map_err(|_| "choose a shorter one".to_owned());
                if let Err(why) = lock.and_then(|lock| self.locked(room, &lock, now)) {
                    self.notice(format!("the room's password was not set: {why}"), true);
                }
            }
            Stretched::Proof(door, attempt, left, proof) => self.proof_made(door, attempt, left, *proof),
        }
    }

    /// Members get the lock before the log names it.
    fn locked(&mut self, room: RoomId, lock: &Lock, now: Now) -> Result<(), String> {
        let group = self.may_set_password(room)?;
        let (tag, op) = (group.tag(), group.change_of_password(Some(lock.hash())));
        self.keep_lock(room, lock);
        let talk = RoomTalk::Doors { links: Vec::new(), lock: Some(SentLock(lock.as_bytes().to_vec())) };
        self.transmit_in(room, &Content::Room(AboutRoom { room: tag, talk }), Purpose::Signal, None, now);
        let Some(op) = op else {
            // It is asked for by links, and there is none.
            let terms = Terms { once: false, until: None, password: None };
            let link = self.open_door(room, terms, Some(lock.hash()), now)?;
            self.chat.at_doors.push(AtDoor::Made { link, once: false });
            return Ok(());
        };
        self.operate(room, op, now)
    }

    pub(super) fn keep_lock(&mut self, room: RoomId, lock: &Lock) {
        let hash = lock.hash();
        let named = self.chat.group(room).and_then(|group| password(&group.log));
        let ahead = self.locks_of(room).filter(|of| Some(*of) != named);
        let ahead: Vec<[u8; 32]> = ahead.filter(|of| *of != hash).collect();
        if ahead.len() >= AHEAD {
            self.forget_lock(room, ahead[0]);
        }
        self.batch.put(LOCKS, [room.0.as_slice(), &hash].concat(), lock.as_bytes().to_vec());
        self.groups.locks.insert((room, hash), lock.clone());
    }

    pub(super) fn forget_lock(&mut self, room: RoomId, hash: [u8; 32]) {
        self.batch.delete(LOCKS, [room.0.as_slice(), &hash].concat());
        self.groups.locks.remove(&(room, hash));
    }

    pub(super) fn forget_locks(&mut self, room: RoomId) {
        for hash in self.locks_of(room).collect::<Vec<_>>() {
            self.forget_lock(room, hash);
        }
    }

    fn locks_of(&self, room: RoomId) -> impl Iterator<Item = [u8; 32]> {
        self.groups.locks.range((room, [0; 32])..=(room, [0xff; 32])).map(|((_, hash), _)| *hash)
    }

    /// From an earlier run.
    pub(super) fn load_locks(&mut self) -> Result<(), Error> {
        for (key, value) in self.store.records.scan(LOCKS, &[], &[], Order::Forward, usize::MAX)? {
            let value = Zeroizing::new(value);
            let Some((room, _)) = key.split_first_chunk::<16>() else { continue };
            let Ok(lock) = Lock::from_bytes(&value) else { continue };
            self.groups.locks.insert((RoomId(*room), lock.hash()), lock);
        }
        Ok(())
    }
}
