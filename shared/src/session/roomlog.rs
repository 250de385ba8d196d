//! Who belongs to a room and what they may do: a signed, hash-chained log that every member holds.
//!
//! # On the wire
//! ```text
//! entry     previous (32) ‖ height (u64 BE) ‖ said ‖ signature (64)                at most 1,024 B
//! said      postcard of [`Said`]: room tag, author, device's identity key, author's clock, op
//! signed    "subrosa room-op/1\0" ‖ previous (32) ‖ height (u64 BE) ‖ length of said (u32 BE) ‖ said
//! head      SHA-256 of what is signed; the next entry's `previous`
//! room tag  first 16 B of SHA-256("subrosa room/1\0" ‖ head at height 0)
//! ```
//! An entry has one spelling: [`Entry::decode`] refuses every other. Heights count from 0; the entry
//! there is [`Op::Found`], its `previous` is zeros.
//!
//! # How to use it
//! * A new room: [`Log::found`] signs the first entry and gives the log.
//! * An own operation: [`Log::draft`] signs the next entry, checked against rules and rights; the log
//!   does not change. Send it with a [`crate::protocol::envelope::Move`] from [`Log::head`] to
//!   [`Entry::head`]; once the relay accepted, [`Log::apply`] it. Rejected as `Outdated`: another was
//!   first; it is in the own mailbox; apply that, then draft again (a [`Rule`] then says if it makes no
//!   sense any more). So of two operations at once one comes after the other, the same on all ends.
//! * What came in: [`Entry::decode`], [`Log::apply`]. [`Fault`] says what to do with what is not taken.
//! * What a message claims: [`Log::meet`] compares its (height, head) with the log. A *rollback* is a
//!   sender whose height is lower than that sender showed before: the caller remembers it.
//! * Newcomers: the inviter sends [`Log::entries`] in pieces, the newcomer applies them to a log that
//!   began with [`Log::begin`]. Each signature is verified once: 20 KB and some 10 ms for a room of
//!   100 people. What is kept on the own disk, sealed, is read by [`Log::restore`],
//!   which verifies the chain of hashes and the rules but no signature.
//!
//! `knows(account, root, device)` says whether that device belongs to the account with that root identity
//! key. For an entry that is new now, it must look at the account's *present* list of devices, so that a
//! lost device that was taken off the list signs nothing any more; for the log that a newcomer gets, at
//! every version of it. An entry that was signed before its device was taken off the list, and that a
//! member who was away gets afterwards, counts if what follows vouches for it ([`Log::vouched`]). A device
//! that is removed from its account may still hold the room's secret: another device of the account
//! draws a new one with [`Op::Renew`], which vouches for all before it too.
//!
//! # Rules
//! One owner, always: the owner leaves only after [`Op::HandOver`], or ends the room with
//! [`Op::Delete`], after which nothing is taken. Moderators remove, ban and silence plain members; the
//! owner also moderators. Who may add people is the policy's; anybody may leave. An account that is
//! banned is not added under its name nor under another one. Through a door for one, one is added: of
//! two at once the second is refused by the log itself.
//! A log has at most [`ENTRIES_MAX`] entries, the last [`RESERVED`] of them for operations that take
//! away, so that nobody can fill it and stay.

use crate::id::{AccountName, DoorId, RoomTag};
use crate::session::Identity;
use crate::time::Millis;
use op::Place;
use std::collections::BTreeMap;

pub mod op;
mod secret;
pub mod state;

pub use op::{
    ENTRY_MAX, Entry, HISTORY_MAX, MEMBERS_MAX, NAME_MAX, Op, Policy, Role, Said, TOPIC_MAX, Terms,
};
pub use secret::Secret;
pub use state::{Door, Member, State};

/// The most entries of a log.
pub const ENTRIES_MAX: u64 = 10_000;

/// So many of them, the last ones, are for operations that take away.
pub const RESERVED: u64 = 1_000;

/// Whether a device, by its identity key, belongs to the account with that root identity key.
pub type Knows<'a> = &'a dyn Fn(&AccountName, &[u8; 32], &[u8; 32]) -> bool;

/// A log whose every entry was verified, and what it amounts to.
#[derive(Clone, PartialEq, Eq)]
pub struct Log {
    entries: Vec<Entry>,
    heads: Vec<[u8; 32]>,
    state: State,
    tag: RoomTag,
}

/// What an entry changed, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Of the entry.
    pub height: u64,
    /// Its author.
    pub by: AccountName,
    /// By the author's wall clock.
    pub at: Millis,
    /// What.
    pub what: What,
}

/// See [`Op`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are those of `Op`, told after the fact")]
pub enum What {
    Added { account: AccountName, door: Option<DoorId> },
    Left,
    Removed { account: AccountName },
    Banned { account: AccountName, was_in: bool },
    Unbanned { account: AccountName },
    Silenced { account: AccountName, until: Option<Millis> },
    Role { account: AccountName, role: Role },
    Named { was: String },
    Topic { was: String },
    Policy { was: Policy },
    HandedOver { account: AccountName },
    DoorOpened { door: DoorId, terms: Terms, before: Option<Terms> },
    DoorClosed { door: DoorId },
    Deleted,
    Renewed,
}

/// Who signed an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// Of the entry.
    pub height: u64,
    /// The account.
    pub account: AccountName,
    /// The root identity key that the log named for it then.
    pub root: [u8; 32],
    /// Identity key of the device.
    pub device: [u8; 32],
}

/// Why an entry is not taken; the log stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The very entry that the log has there: nothing to do.
    #[error("an entry that is in the log already")]
    Repeat,
    /// Some before it are missing: ask for those from `from` on. Nothing of it was verified.
    #[error("entries from {from} on are missing")]
    Gap {
        /// The first one that is missing.
        from: u64,
    },
    /// A member signed another history than the log has, from here on: an alarm, shown to people.
    #[error("{height} is told in two ways, and a member signed both")]
    Fork {
        /// The first height that is known to differ.
        height: u64,
    },
    /// No entry at all, of another room, or past a bound.
    #[error("not an entry of this room's log")]
    Malformed,
    /// Signed by no device of a member's account.
    #[error("an entry that no member signed")]
    Unsigned,
    /// Signed and in place, but against the rules: only a changed client makes such a thing.
    #[error(transparent)]
    Against(#[from] Rule),
}

/// Why an operation may not be. As sentences for the person whose own operation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// The room is over.
    #[error("the room was deleted")]
    Deleted,
    /// Its author is not in the room.
    #[error("only members can do that")]
    NotMember,
    /// Its author may not; this role may.
    #[error("{}", role_needed(.0))]
    Right(Role),
    /// Whom it is about is not in the room, or not banned.
    #[error("there is nobody of that name in the room or among the banned")]
    NoSuchMember,
    /// It is so already.
    #[error("that is so already")]
    Already,
    /// Whom it adds is banned: unban first.
    #[error("they are banned from this room; lift the ban first")]
    Banned,
    /// The room has as many members as its policy allows.
    #[error("the room is full: {0} people")]
    Crowded(u8),
    /// The door is closed, used up or its time is over.
    #[error("that link is no longer valid")]
    NoDoor,
    /// Too many doors or bans.
    #[error("there are {0} of them, more do not fit")]
    TooMany(usize),
    /// The owner has to hand over first, or to delete the room.
    #[error("the owner cannot leave: hand the room over first, or delete it")]
    OwnerLeaves,
    /// Its author would do it to themself.
    #[error("that cannot be done to oneself; to be out of the room, leave it")]
    Oneself,
    /// A room has one owner: hand over.
    #[error("a room has one owner: hand it over instead")]
    OneOwner,
    /// A first entry elsewhere, or another entry as the first.
    #[error("a room begins once")]
    Founded,
    /// The log is nearly full: only operations that take away fit.
    #[error("this room has been changed as often as it can be; begin a new one")]
    Full,
}

/// What a message's (height, head) says, beside the own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// The sender has the same log.
    Same,
    /// The sender has entries that are missing here: ask for those from `from` on.
    Ahead {
        /// The first one that is missing here.
        from: u64,
    },
    /// The sender has the beginning of the same log.
    Behind,
    /// The sender has another history: an alarm, shown to people.
    Fork,
}

impl Change {
    /// Who is out since then, and may not learn the room's next secret.
    pub fn out(&self) -> Option<&AccountName> {
        match &self.what {
            What::Left => Some(&self.by),
            What::Removed { account } | What::Banned { account, was_in: true } => Some(account),
            _ => None,
        }
    }
}

impl Log {
    /// A new room of this account: its first entry, signed by this device, and its log.
    ///
    /// # Errors
    /// [`Fault::Malformed`] for a name or a policy out of bounds.
    pub fn found(
        author: &AccountName,
        root: &[u8; 32],
        name: &str,
        policy: Policy,
        nonce: [u8; 16],
        identity: &Identity,
        at: Millis,
    ) -> Result<(Entry, Self), Fault> {
        let op = Op::Found { nonce, root: *root, name: name.into(), policy };
        if !op.bounded() {
            return Err(Fault::Malformed);
        }
        let device = identity.peer().identity;
        let said = Said { room: RoomTag([0; 16]), author: author.clone(), device, at, op };
        let entry = Entry::sign(Place { previous: [0; 32], height: 0 }, said, identity);
        let log = Self::begin(&entry, &|_, _, _| true)?;
        Ok((entry, log))
    }

    /// The log that a first entry begins.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn begin(first: &Entry, knows: Knows<'_>) -> Result<Self, Fault> {
        let log = Self::unverified(first)?;
        let Op::Found { root, .. } = &first.said.op else { return Err(Rule::Founded.into()) };
        if !knows(&first.said.author, root, &first.said.device) || !first.is_signed() {
            return Err(Fault::Unsigned);
        }
        Ok(log)
    }

    /// The log whose entries were all verified before, from the own sealed disk: signatures are not
    /// looked at again.
    ///
    /// # Errors
    /// [`Fault`], when they are not the entries of one log, in order.
    pub fn restore(entries: &[Entry]) -> Result<Self, Fault> {
        let (first, rest) = entries.split_first().ok_or(Fault::Malformed)?;
        let mut log = Self::unverified(first)?;
        for entry in rest {
            let follows = entry.height == log.next() && entry.previous == log.head();
            if !follows || entry.said.room != log.tag || !entry.said.op.bounded() {
                return Err(Fault::Malformed);
            }
            log.take(entry)?;
        }
        Ok(log)
    }

    /// The next entry, signed by this device; [`Log::apply`] it once the relay accepted it.
    ///
    /// # Errors
    /// [`Fault::Against`] with what to tell the person, [`Fault::Malformed`] for a text out of bounds.
    pub fn draft(
        &self,
        author: &AccountName,
        op: Op,
        identity: &Identity,
        at: Millis,
    ) -> Result<Entry, Fault> {
        if !op.bounded() {
            return Err(Fault::Malformed);
        }
        self.room_for(&op)?;
        self.state.allows(author, &op, at)?;
        let device = identity.peer().identity;
        let said = Said { room: self.tag, author: author.clone(), device, at, op };
        Ok(Entry::sign(Place { previous: self.head(), height: self.next() }, said, identity))
    }

    /// Takes the next entry, once everything about it holds.
    ///
    /// # Errors
    /// [`Fault`]; then nothing has changed.
    pub fn apply(&mut self, entry: &Entry, knows: Knows<'_>) -> Result<Change, Fault> {
        if entry.height > self.next() {
            return Err(Fault::Gap { from: self.next() });
        }
        if self.head_at(entry.height).is_some_and(|head| head == entry.head()) {
            return Err(Fault::Repeat);
        }
        if entry.said.room != self.tag || !entry.said.op.bounded() {
            return Err(Fault::Malformed);
        }
        if entry.height < self.next() || entry.previous != self.head() {
            return Err(self.contradicts(entry, knows));
        }
        self.signed(&self.state, entry, knows)?;
        self.take(entry)
    }

    /// What a sender's (height, head) says.
    pub fn meet(&self, height: u64, head: &[u8; 32]) -> Met {
        match self.head_at(height) {
            None => Met::Ahead { from: self.next() },
            Some(own) if own != *head => Met::Fork,
            Some(_) if height == self.height() => Met::Same,
            Some(_) => Met::Behind,
        }
    }

    /// Which room it is.
    pub fn tag(&self) -> RoomTag {
        self.tag
    }

    /// What it amounts to.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What it amounted to after the entry of that height; `None`: not yet.
    pub fn state_at(&self, height: u64) -> Option<State> {
        if height == self.height() {
            return Some(self.state.clone());
        }
        let end = usize::try_from(height).ok()?.checked_add(1)?;
        Self::restore(self.entries.get(..end)?).ok().map(|log| log.state)
    }

    /// Who signed the first so many entries: what there is to verify of a log that was taken without
    /// knowing anybody's devices.
    pub fn signers(&self, first: u64) -> Vec<Signer> {
        let first = usize::try_from(first).unwrap_or(usize::MAX).min(self.entries.len());
        let mut past: Option<Self> = None;
        let mut signers = Vec::with_capacity(first);
        for entry in &self.entries[..first] {
            let said = &entry.said;
            let root = match (&past, &said.op) {
                (Some(past), _) => past.state.members.get(&said.author).map(|member| member.root),
                (None, Op::Found { root, .. }) => Some(*root),
                (None, _) => None,
            };
            let Some(root) = root else { break };
            let (account, device) = (said.author.clone(), said.device);
            signers.push(Signer { height: entry.height, account, root, device });
            let taken = match &mut past {
                Some(past) => past.take(entry).is_ok(),
                None => Self::unverified(entry).map(|log| past = Some(log)).is_ok(),
            };
            if !taken {
                break;
            }
        }
        signers
    }

    /// The first one of the first so many entries of which `doubted` says so and that nobody vouches for: no later
    /// entry of a present device, of the same account, or of one that stood above it before the entry. `present` is
    /// [`Knows`] of the present devices.
    pub fn unvouched(
        &self,
        first: u64,
        doubted: &dyn Fn(&Signer) -> bool,
        present: Knows<'_>,
    ) -> Option<Signer> {
        let signers = self.signers(u64::MAX);
        let mut last: BTreeMap<(&AccountName, [u8; 32]), u64> = BTreeMap::new();
        for Signer { height, account, root, device } in &signers {
            if present(account, root, device) {
                last.insert((account, *root), *height);
            }
        }
        let mut past: Option<Self> = None;
        for (entry, signer) in self.entries.iter().zip(&signers).take_while(|(entry, _)| entry.height < first)
        {
            let before = past.as_ref().map(|past| &past.state);
            let author = (&signer.account, signer.root);
            let vouched =
                || last.iter().any(|(by, height)| *height > signer.height && vouches(before, author, *by));
            if doubted(signer) && !vouched() {
                return Some(signer.clone());
            }
            match &mut past {
                Some(past) => drop(past.take(entry)),
                None => past = Self::unverified(entry).ok(),
            }
        }
        None
    }

    /// Whether an entry that a device signed which its account has not any more is vouched for by what
    /// follows: by a later entry of a present device, of the same account, or of one that stood above it
    /// before the entry. `present` and `ever` are [`Knows`] of the present and of all devices.
    pub fn vouched(&self, entries: &[Entry], present: Knows<'_>, ever: Knows<'_>) -> bool {
        let Some((entry, after)) = entries.split_first() else { return false };
        let root = self.state.members.get(&entry.said.author).map(|member| member.root);
        let Some(author) = root.map(|root| (&entry.said.author, root)) else { return false };
        let mut log = self.clone();
        if log.apply(entry, ever).is_err() {
            return false;
        }
        for later in after {
            let said = &later.said;
            let root = log.state.members.get(&said.author).map(|member| member.root);
            let may = root.is_some_and(|root| vouches(Some(&self.state), author, (&said.author, root)));
            let here = root.is_some_and(|root| present(&said.author, &root, &said.device));
            if log.apply(later, ever).is_err() {
                return false;
            }
            if may && here {
                return true;
            }
        }
        false
    }

    /// Of the newest entry.
    pub fn height(&self) -> u64 {
        self.next() - 1
    }

    /// Of the newest entry.
    pub fn head(&self) -> [u8; 32] {
        *self.heads.last().expect("a log begins with an entry")
    }

    /// After the entry of that height; `None`: not yet.
    pub fn head_at(&self, height: u64) -> Option<[u8; 32]> {
        self.heads.get(usize::try_from(height).ok()?).copied()
    }

    /// The entries from that height on, oldest first.
    pub fn entries(&self, from: u64) -> &[Entry] {
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(self.entries.len());
        &self.entries[from..]
    }

    fn next(&self) -> u64 {
        self.entries.len() as u64
    }

    fn unverified(first: &Entry) -> Result<Self, Fault> {
        let said = &first.said;
        let first_of_all = first.height == 0 && first.previous == [0; 32] && said.room == RoomTag([0; 16]);
        if !first_of_all || !said.op.bounded() {
            return Err(Fault::Malformed);
        }
        let state = State::found(&first.said)?;
        Ok(Self { entries: vec![first.clone()], heads: vec![first.head()], state, tag: first.tag() })
    }

    fn take(&mut self, entry: &Entry) -> Result<Change, Fault> {
        self.room_for(&entry.said.op)?;
        let change = self.state.apply(entry.height, &entry.said)?;
        self.heads.push(entry.head());
        self.entries.push(entry.clone());
        Ok(change)
    }

    fn room_for(&self, op: &Op) -> Result<(), Rule> {
        let reserved = if op.takes_away() { 0 } else { RESERVED };
        if self.next() < ENTRIES_MAX - reserved { Ok(()) } else { Err(Rule::Full) }
    }

    fn signed(&self, state: &State, entry: &Entry, knows: Knows<'_>) -> Result<(), Fault> {
        let said = &entry.said;
        let member = state.members.get(&said.author).ok_or(Fault::Unsigned)?;
        if knows(&said.author, &member.root, &said.device) && entry.is_signed() {
            Ok(())
        } else {
            Err(Fault::Unsigned)
        }
    }

    /// An entry where the log has another, or after another: whether a member stands behind it.
    fn contradicts(&self, entry: &Entry, knows: Knows<'_>) -> Fault {
        let before = usize::try_from(entry.height).unwrap_or(usize::MAX).min(self.entries.len());
        // Before the first entry there is nothing: another first one is another room.
        let Ok(mut past) = Self::restore(&self.entries[..before]) else { return Fault::Malformed };
        if let Err(fault) = self.signed(&past.state, entry, knows) {
            return fault;
        }
        if entry.previous != past.head() {
            // Its author has another entry before it, or an earlier one.
            return Fault::Fork { height: entry.height.saturating_sub(1) };
        }
        match past.take(entry) {
            Ok(_) => Fault::Fork { height: entry.height },
            Err(fault) => fault,
        }
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("tag", &self.tag).field("height", &self.height()).finish_non_exhaustive()
    }
}

/// Whether a later entry of that account bears out one of `author`'s: of the same account, or of one that stood above
/// it before. Both with their roots.
fn vouches(before: Option<&State>, author: (&AccountName, [u8; 32]), by: (&AccountName, [u8; 32])) -> bool {
    let above = |state: &State| {
        let member = state.members.get(by.0).filter(|member| member.root == by.1);
        member.is_some_and(|member| Some(member.role) > state.role(author.0))
    };
    by == author || before.is_some_and(above)
}

fn role_needed(role: &Role) -> &'static str {
    match role {
        Role::Member => "only members can do that",
        Role::Moderator => "only moderators and the owner of the room can do that",
        Role::Owner => "only the owner of the room can do that",
    }
}

#[cfg(test)]
mod tests;
