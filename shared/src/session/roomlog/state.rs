//! What a room's log amounts to: who is in, what they may do, and the rules of each operation.

use super::op::{Op, Policy, Role, Said, Terms};
use super::{Change, Rule, What};
use crate::id::{AccountName, DoorId};
use crate::time::Millis;
use std::collections::BTreeMap;

/// The most doors that are open at once.
pub const DOORS_MAX: usize = 16;

/// How often one account renews the keys: so that nobody fills the log with it.
pub const RENEWALS_MAX: u8 = 32;

/// The most people who are banned at once.
pub const BANS_MAX: usize = 1000;

/// A room after some entry of its log. Two logs with the same head have the same state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// What it is called.
    pub name: String,
    /// What it is about; may be empty.
    pub topic: String,
    /// How it is run.
    pub policy: Policy,
    /// Who is in. Recipients come from here and from nowhere else.
    pub members: BTreeMap<AccountName, Member>,
    /// Who may not come in, and the root identity key of their account.
    pub banned: BTreeMap<AccountName, [u8; 32]>,
    /// Where people with a link may knock.
    pub doors: BTreeMap<DoorId, Door>,
    /// It is over: nothing follows.
    pub deleted: bool,
    /// Who renewed the keys how often, members or not.
    pub renewals: BTreeMap<AccountName, u8>,
}

/// Somebody in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The root identity key of their account.
    pub root: [u8; 32],
    /// What they may do.
    pub role: Role,
    /// Their words count for nothing until then; see [`Member::silent`].
    pub silenced: Option<Millis>,
    /// The height of the entry that let them in.
    pub since: u64,
}

/// An open door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// Who opened it or changed its terms last.
    pub by: AccountName,
    /// For whom.
    pub terms: Terms,
}

impl Member {
    /// Whether their words count for nothing at that time.
    pub fn silent(&self, at: Millis) -> bool {
        self.silenced.is_some_and(|until| at < until)
    }
}

impl Door {
    /// Whether somebody may still be added through it at that time.
    pub fn open(&self, at: Millis) -> bool {
        self.terms.until.is_none_or(|until| at <= until)
    }
}

impl State {
    /// The one owner.
    pub fn owner(&self) -> Option<&AccountName> {
        self.members.iter().find(|(_, member)| member.role == Role::Owner).map(|(name, _)| name)
    }

    /// What somebody may do here; `None`: not a member.
    pub fn role(&self, account: &AccountName) -> Option<Role> {
        self.members.get(account).map(|member| member.role)
    }

    /// Whether an operation of that author at that time would be taken: what a client offers.
    ///
    /// # Errors
    /// The [`Rule`] that is in the way.
    pub fn allows(&self, author: &AccountName, op: &Op, at: Millis) -> Result<(), Rule> {
        if self.deleted {
            return Err(Rule::Deleted);
        }
        let own = self.role(author).ok_or(Rule::NotMember)?;
        let need = |role: Role| if own >= role { Ok(()) } else { Err(Rule::Right(role)) };
        let above = |account: &AccountName| match self.role(account) {
            _ if own < Role::Moderator => Err(Rule::Right(Role::Moderator)),
            _ if account == author => Err(Rule::Oneself),
            Some(role) if role >= own => Err(Rule::Right(Role::Owner)),
            role => Ok(role),
        };
        match op {
            Op::Found { .. } => Err(Rule::Founded),
            Op::Add { account, root, door } => {
                need(self.policy.invite)?;
                if self.members.contains_key(account) {
                    return Err(Rule::Already);
                }
                if self.banned.contains_key(account) || self.banned.values().any(|banned| banned == root) {
                    return Err(Rule::Banned);
                }
                if self.members.len() >= usize::from(self.policy.limit) {
                    return Err(Rule::Crowded(self.policy.limit));
                }
                match door {
                    Some(door) if !self.doors.get(door).is_some_and(|door| door.open(at)) => {
                        Err(Rule::NoDoor)
                    }
                    _ => Ok(()),
                }
            }
            Op::Remove { account } if account == author && own == Role::Owner => Err(Rule::OwnerLeaves),
            Op::Remove { account } if account == author => Ok(()),
            Op::Remove { account } => above(account)?.map(|_| ()).ok_or(Rule::NoSuchMember),
            Op::Ban { account, .. } => {
                above(account)?;
                match () {
                    () if self.banned.contains_key(account) => Err(Rule::Already),
                    () if self.banned.len() >= BANS_MAX => Err(Rule::TooMany(BANS_MAX)),
                    () => Ok(()),
                }
            }
            Op::Unban { account } => {
                need(Role::Moderator)?;
                self.banned.get(account).map(|_| ()).ok_or(Rule::NoSuchMember)
            }
            Op::Silence { account, until } => {
                above(account)?;
                let member = self.members.get(account).ok_or(Rule::NoSuchMember)?;
                if member.silenced == *until { Err(Rule::Already) } else { Ok(()) }
            }
            Op::Role { account, role } => {
                need(Role::Owner)?;
                let had = self.role(account).ok_or(Rule::NoSuchMember)?;
                match role {
                    Role::Owner => Err(Rule::OneOwner),
                    _ if had == Role::Owner => Err(Rule::OneOwner),
                    role if had == *role => Err(Rule::Already),
                    _ => Ok(()),
                }
            }
            Op::Name(name) => need(Role::Moderator).and_then(|()| differs(*name != self.name)),
            Op::Topic(topic) => need(Role::Moderator).and_then(|()| differs(*topic != self.topic)),
            Op::Policy(policy) => need(Role::Owner).and_then(|()| differs(*policy != self.policy)),
            Op::HandOver { account } => {
                need(Role::Owner)?;
                let had = self.role(account).ok_or(Rule::NoSuchMember)?;
                if had == Role::Owner { Err(Rule::Already) } else { Ok(()) }
            }
            Op::Door { door, terms } => match (self.doors.get(door), terms) {
                (None, None) => Err(Rule::NoDoor),
                (None, Some(_)) => {
                    need(self.policy.invite)?;
                    if self.doors.len() < DOORS_MAX { Ok(()) } else { Err(Rule::TooMany(DOORS_MAX)) }
                }
                (Some(open), terms) => {
                    // One's own door may always be closed.
                    let least = if open.by == *author { self.policy.invite } else { Role::Moderator };
                    if terms.is_some() || open.by != *author {
                        need(least)?;
                    }
                    differs(terms.as_ref() != Some(&open.terms))
                }
            },
            Op::Delete => need(Role::Owner),
            Op::Renew => match self.renewals.get(author) {
                Some(&RENEWALS_MAX) => Err(Rule::TooMany(usize::from(RENEWALS_MAX))),
                _ => Ok(()),
            },
        }
    }

    /// The room that a first entry makes.
    pub(super) fn found(said: &Said) -> Result<Self, Rule> {
        let Op::Found { root, name, policy, .. } = &said.op else { return Err(Rule::Founded) };
        let owner = Member { root: *root, role: Role::Owner, silenced: None, since: 0 };
        Ok(Self {
            name: name.clone(),
            topic: String::new(),
            policy: *policy,
            members: BTreeMap::from([(said.author.clone(), owner)]),
            banned: BTreeMap::new(),
            doors: BTreeMap::new(),
            deleted: false,
            renewals: BTreeMap::new(),
        })
    }

    /// Carries out an operation, or changes nothing.
    pub(super) fn apply(&mut self, height: u64, said: &Said) -> Result<Change, Rule> {
        self.allows(&said.author, &said.op, said.at)?;
        let what = match said.op.clone() {
            Op::Found { .. } => return Err(Rule::Founded),
            Op::Add { account, root, door } => {
                let member = Member { root, role: Role::Member, silenced: None, since: height };
                self.members.insert(account.clone(), member);
                if let Some(door) = door
                    && self.doors.get(&door).is_some_and(|door| door.terms.once)
                {
                    self.doors.remove(&door);
                }
                What::Added { account, door }
            }
            Op::Remove { account } => {
                self.members.remove(&account);
                if account == said.author { What::Left } else { What::Removed { account } }
            }
            Op::Ban { account, root } => {
                let member = self.members.remove(&account);
                // The key of a member is known better than what the author says.
                self.banned.insert(account.clone(), member.map_or(root, |member| member.root));
                What::Banned { account, was_in: member.is_some() }
            }
            Op::Unban { account } => {
                self.banned.remove(&account);
                What::Unbanned { account }
            }
            Op::Silence { account, until } => {
                self.change(&account, |member| member.silenced = until);
                What::Silenced { account, until }
            }
            Op::Role { account, role } => {
                self.change(&account, |member| member.role = role);
                What::Role { account, role }
            }
            Op::Name(name) => What::Named { was: std::mem::replace(&mut self.name, name) },
            Op::Topic(topic) => What::Topic { was: std::mem::replace(&mut self.topic, topic) },
            Op::Policy(policy) => What::Policy { was: std::mem::replace(&mut self.policy, policy) },
            Op::HandOver { account } => {
                self.change(&said.author, |member| member.role = Role::Moderator);
                self.change(&account, |member| (member.role, member.silenced) = (Role::Owner, None));
                What::HandedOver { account }
            }
            Op::Door { door, terms: Some(terms) } => {
                let opened = Door { by: said.author.clone(), terms };
                let before = self.doors.insert(door, opened).map(|door| door.terms);
                What::DoorOpened { door, terms, before }
            }
            Op::Door { door, terms: None } => {
                self.doors.remove(&door);
                What::DoorClosed { door }
            }
            Op::Delete => {
                self.deleted = true;
                What::Deleted
            }
            Op::Renew => {
                *self.renewals.entry(said.author.clone()).or_default() += 1;
                What::Renewed
            }
        };
        Ok(Change { height, by: said.author.clone(), at: said.at, what })
    }

    fn change(&mut self, account: &AccountName, change: impl FnOnce(&mut Member)) {
        if let Some(member) = self.members.get_mut(account) {
            change(member);
        }
    }
}

fn differs(differs: bool) -> Result<(), Rule> {
    if differs { Ok(()) } else { Err(Rule::Already) }
}
