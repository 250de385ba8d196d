//! Which devices an account ever had, to verify what they signed in a room's log before this device knew
//! anything of it.
//!
//! Lists of devices are chains from the first version on, which the relay serves and cannot change. What
//! the log of a room says of the time before this account came is taken at once, and verified as soon as
//! the chains of its authors are here.

use super::super::talk::Talk;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use subrosa_shared::id::{AccountName, RoomId};
use subrosa_shared::protocol::auth::Cert;
use subrosa_shared::protocol::devices::{DeviceList, VERSIONS_IN_FRAME, Version};
use subrosa_shared::protocol::frame::Refusal;
use subrosa_shared::session::roomlog::Signer;
use subrosa_shared::store::Error;
use subrosa_shared::time::Now;

/// Accounts that are asked for at a time.
const ASKING: usize = 16;
/// Answers about one account, of which none brings anything new.
const TRIES: u8 = 3;

/// The chains of accounts, as far as they are here.
#[derive(Default)]
pub(super) struct Chains {
    known: HashMap<AccountName, Chain>,
    /// Those that are wanted, and how often they were asked for in vain.
    wanted: BTreeMap<AccountName, u8>,
    /// The relay knows no such account any more.
    gone: HashSet<AccountName>,
}

/// All devices that an account ever had, up to a version of its list.
struct Chain {
    list: DeviceList,
    devices: HashSet<[u8; 32]>,
}

impl Chain {
    fn begin(list: DeviceList) -> Self {
        let devices = list.devices().map(|peer| peer.identity).collect();
        Self { list, devices }
    }

    fn take(&mut self, version: &Version) -> bool {
        let Ok(next) = self.list.next(version) else { return false };
        self.devices.extend(next.devices().map(|peer| peer.identity));
        self.list = next;
        true
    }
}

impl Talk {
    /// Whether an account ever had that device; `None` before that is known.
    pub(super) fn ever_had(&self, name: &AccountName, root: &[u8; 32], device: &[u8; 32]) -> Option<bool> {
        if self.knows(name, root, device) {
            return Some(true);
        }
        if *name == self.chat.name {
            let versions = self.lists.chain.iter().flat_map(|version| &version.certs);
            let had = versions.clone().any(|cert| cert.0[..32] == *device);
            return Some(had && self.own_list().root().identity == *root);
        }
        if self.awaits_chain(name) {
            return None;
        }
        let chain = self.groups.chains.known.get(name)?;
        Some(chain.list.root().identity == *root && chain.devices.contains(device))
    }

    /// Asks for the whole list of an account.
    pub(super) fn want_chain(&mut self, name: &AccountName) {
        let known = self.groups.chains.known.contains_key(name) || self.groups.chains.gone.contains(name);
        if !known && *name != self.chat.name {
            self.groups.chains.wanted.entry(name.clone()).or_default();
        }
        self.ask_chains();
    }

    fn ask_chains(&mut self) {
        let wanted: Vec<AccountName> = self.groups.chains.wanted.keys().cloned().collect();
        for name in wanted {
            if self.asking_devices() >= ASKING {
                return;
            }
            let from = self.groups.chains.known.get(&name).map_or(0, |chain| chain.list.head().number);
            self.ask_devices(&name, from);
        }
    }

    /// The relay says which devices an account has, from the first version on if that was asked for.
    pub(in crate::chat) fn chain_came(
        &mut self,
        name: &AccountName,
        versions: &[Version],
        certs: &[Cert],
        now: Now,
    ) -> Result<(), Error> {
        let Some(tries) = self.groups.chains.wanted.get(name).copied() else { return Ok(()) };
        let mut known = self.groups.chains.known.remove(name);
        let before = known.as_ref().map(|chain| chain.list.head().number);
        let first = versions.first().and_then(|first| DeviceList::begin(first).ok());
        match (first.filter(|first| first.name() == name), certs.first()) {
            (Some(first), _) if known.as_ref().is_none_or(|chain| chain.list.root() != first.root()) => {
                known = Some(Chain::begin(first));
            }
            (None, Some(cert)) if versions.is_empty() && cert.verify().is_ok() => {
                known = Some(Chain::begin(DeviceList::alone(name, cert)));
            }
            _ => {}
        }
        let mut whole = versions.len() < VERSIONS_IN_FRAME;
        if let Some(chain) = &mut known {
            for version in versions.iter().filter(|version| version.number > 0) {
                if version.number > chain.list.head().number && !chain.take(version) {
                    whole = false;
                    break;
                }
            }
        }
        let moved = known.as_ref().map(|chain| chain.list.head().number) != before;
        if let Some(chain) = known {
            self.groups.chains.known.insert(name.clone(), chain);
        }
        if whole || (!moved && tries >= TRIES) {
            self.groups.chains.wanted.remove(name);
            self.prove_rooms(now)?;
        } else {
            self.groups.chains.wanted.insert(name.clone(), if moved { 0 } else { tries + 1 });
        }
        self.ask_chains();
        Ok(())
    }

    /// Whether more of an account's list is still to come.
    pub(in crate::chat) fn awaits_chain(&self, name: &AccountName) -> bool {
        self.groups.chains.wanted.contains_key(name)
    }

    /// The relay does not say which devices an account has.
    pub(in crate::chat) fn no_chain(&mut self, name: &AccountName, why: Refusal, now: Now) {
        if why == Refusal::UnknownAccount && self.groups.chains.wanted.remove(name).is_some() {
            self.groups.chains.gone.insert(name.clone());
        }
        if let Err(fault) = self.prove_rooms(now) {
            self.notice(format!("the store cannot be read: {fault}"), true);
        }
    }

    /// The connection is back, or a room is new: what is not verified yet is asked for.
    pub(super) fn prove_rooms(&mut self, now: Now) -> Result<(), Error> {
        for room in self.group_ids() {
            self.prove(room, now);
        }
        Ok(())
    }

    /// Verifies who signed the log before this account came, as far as that can be known by now.
    fn prove(&mut self, room: RoomId, now: Now) {
        let Some(group) = self.chat.group(room).filter(|group| group.kept.unproven > 0) else { return };
        let signers = group.log.signers(group.kept.unproven);
        let (mut wanted, mut false_ones): (BTreeSet<AccountName>, Vec<Signer>) = Default::default();
        for signer in signers {
            match self.ever_had(&signer.account, &signer.root, &signer.device) {
                Some(true) => {}
                Some(false) => false_ones.push(signer),
                None if self.groups.chains.gone.contains(&signer.account) => {}
                None => drop(wanted.insert(signer.account)),
            }
        }
        for name in &wanted {
            self.groups.chains.wanted.entry(name.clone()).or_default();
        }
        if !wanted.is_empty() {
            return self.ask_chains();
        }
        if let Some(group) = self.chat.group_mut(room) {
            group.kept.unproven = 0;
        }
        self.save_group(room);
        if let Some(Signer { account, height, .. }) = false_ones.first() {
            self.alarm(
                room,
                format!(
                    "what this room's log says of the time before you came does not hold: its change {height} is not signed \
                     by a device that {account} ever had. Who let you in made it up, or the relay lies about {account}: say \
                     nothing secret here, and ask {account} another way"
                ),
                now,
            );
        }
    }
}
