//! Which devices an account ever had, to verify what they signed in a room's log before this device knew
//! anything of it.
//!
//! Lists of devices are chains from the first version on, which the relay serves and cannot change. What
//! the log of a room says of the time before this account came is taken at once, and verified as soon as
//! the chains of its authors are here. What somebody made up is cut off again, so that what is true fits.

use super::super::talk::{RETRY, Talk};
use super::{LOGS, SHOWN};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;
use subrosa_shared::id::{AccountName, DeviceId, RoomId};
use subrosa_shared::protocol::auth::Cert;
use subrosa_shared::protocol::devices::{DeviceList, VERSIONS_IN_FRAME, Version};
use subrosa_shared::protocol::frame::Refusal;
use subrosa_shared::session::roomlog::{Log, Signer};
use subrosa_shared::store::Error;
use subrosa_shared::time::{Millis, Now};

/// Accounts that are asked for at a time.
const ASKING: usize = 16;
/// How long it takes until a relay that went back in time is asked anew for devices that it may have forgotten.
const ANEW: Duration = Duration::from_secs(60);
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
    /// The relay was asked too often: when it is asked again (monotonic).
    pub(super) later: Option<Millis>,
    /// Whose devices may still bring a relay that went back in time what it forgot of them…
    forgot: BTreeSet<AccountName>,
    /// …and when the relay is asked for them anew (monotonic).
    pub(super) anew: Option<Millis>,
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

impl Chains {
    /// The relay went back in time, and may know accounts again once their devices are back.
    pub(super) fn rewound(&mut self) {
        self.gone.clear();
    }
}

impl Talk {
    /// Whether an account ever had that device, or is gone, so that nobody can tell any more.
    pub(super) fn may_have_had(&self, name: &AccountName, root: &[u8; 32], device: &[u8; 32]) -> bool {
        self.ever_had(name, root, device).unwrap_or_else(|| self.groups.chains.gone.contains(name))
    }

    /// Whether an account ever had that device; `None` before that is known.
    pub(super) fn ever_had(&self, name: &AccountName, root: &[u8; 32], device: &[u8; 32]) -> Option<bool> {
        if self.knows(name, root, device) {
            return Some(true);
        }
        if *name == self.chat.name {
            let versions = self.lists.chain.iter().flat_map(|version| &version.certs);
            let had = versions.clone().any(|cert| cert.0[..32] == *device);
            let had = had && self.own_list().root().identity == *root;
            // Another own device may have come meanwhile.
            return (had || !self.asking(name)).then_some(had);
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

    /// Asks for the whole lists of these accounts: what is known of them may be older than what they signed.
    pub(super) fn want_anew(&mut self, names: &BTreeSet<AccountName>) {
        for name in names {
            if *name != self.chat.name {
                self.groups.chains.known.remove(name);
                self.groups.chains.gone.remove(name);
                self.want_chain(name);
            }
        }
    }

    /// The log was taken without knowing who signed it: of whom it seems false it is asked once more.
    pub(super) fn doubt_authors(&mut self, room: RoomId) {
        let Some(group) = self.chat.group(room) else { return };
        let signers = group.log.signers(group.kept.unproven).into_iter();
        let doubted = signers
            .filter(|signer| self.ever_had(&signer.account, &signer.root, &signer.device) == Some(false));
        let doubted = doubted.map(|signer| signer.account).collect();
        self.want_anew(&doubted);
    }

    /// Asks for those that are wanted, a few at a time.
    pub(super) fn ask_chains(&mut self) {
        if self.groups.chains.later.is_some() {
            return;
        }
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
        if why != Refusal::UnknownAccount {
            let wait = match why {
                Refusal::RateLimited { retry_ms } => Duration::from_millis(retry_ms.into()),
                _ => RETRY,
            };
            if self.awaits_chain(name) {
                self.groups.chains.later = Some(now.mono.plus(wait));
            }
            return;
        }
        if self.groups.chains.wanted.remove(name).is_some() {
            self.groups.chains.gone.insert(name.clone());
        }
        if let Err(fault) = self.prove_rooms(now) {
            self.notice(format!("the store cannot be read: {fault}"), true);
        }
        self.ask_chains();
    }

    /// Time has passed for what the relay was asked too often, or forgot.
    pub(super) fn chains_wake(&mut self, now: Now) -> Result<(), Error> {
        if self.groups.chains.later.is_some_and(|at| at <= now.mono) {
            self.groups.chains.later = None;
            self.ask_chains();
        }
        if self.groups.chains.anew.is_some_and(|at| at <= now.mono) {
            self.groups.chains.anew = None;
            for name in std::mem::take(&mut self.groups.chains.forgot) {
                self.groups.chains.known.remove(&name);
            }
            self.prove_rooms(now)?;
        }
        Ok(())
    }

    /// The connection is back, a room is new, or lists came: what is not verified yet is looked at again.
    pub(in crate::chat) fn prove_rooms(&mut self, now: Now) -> Result<(), Error> {
        for room in self.group_ids() {
            self.prove(room, now)?;
            self.hear_held(room, now)?;
        }
        Ok(())
    }

    /// Verifies who signed the log before this account came, as far as that can be known by now.
    fn prove(&mut self, room: RoomId, now: Now) -> Result<(), Error> {
        let Some(group) = self.chat.group(room).filter(|group| group.kept.unproven > 0) else {
            return Ok(());
        };
        let had = |signer: &Signer| self.ever_had(&signer.account, &signer.root, &signer.device);
        let unknown =
            |signer: &Signer| had(signer).is_none() && !self.groups.chains.gone.contains(&signer.account);
        let signers = group.log.signers(group.kept.unproven).into_iter();
        let wanted: BTreeSet<AccountName> = signers.filter(unknown).map(|signer| signer.account).collect();
        if !wanted.is_empty() {
            for name in &wanted {
                self.want_chain(name);
            }
            return Ok(());
        }
        // Who stands behind a change had that device there, whatever the relay shows of it.
        let present =
            |account: &AccountName, root: &[u8; 32], device: &[u8; 32]| self.shows(account, root, device);
        let false_one =
            group.log.unvouched(group.kept.unproven, &|signer| had(signer) == Some(false), &present);
        let returns = self.rewound.is_some_and(|until| now.mono < until);
        if let Some(signer) = false_one.as_ref().filter(|_| returns) {
            // Their devices may still have to bring the relay what it forgot.
            self.groups.chains.forgot.insert(signer.account.clone());
            self.groups.chains.anew.get_or_insert(now.mono.plus(ANEW));
            return Ok(());
        }
        if let Some(group) = self.chat.group_mut(room) {
            group.kept.unproven = 0;
        }
        self.save_group(room);
        match false_one {
            Some(signer) => self.is_false(room, &signer, now),
            None => Ok(()),
        }
    }

    /// Whether an account has that device now, as far as the relay shows it.
    fn shows(&self, account: &AccountName, root: &[u8; 32], device: &[u8; 32]) -> bool {
        let list = self.groups.chains.known.get(account).map(|chain| &chain.list);
        let list = list.filter(|list| list.root().identity == *root);
        let has = |list: &DeviceList| list.devices().any(|peer| peer.identity == *device);
        self.knows(account, root, device) || list.is_some_and(has)
    }

    /// An entry of the log is made up. It goes, and all that came after it; but not the first, by which the room is
    /// known.
    fn is_false(&mut self, room: RoomId, signer: &Signer, now: Now) -> Result<(), Error> {
        let Signer { account, height, .. } = signer;
        let goes = if *height > 0 { "; that change is not taken, nor what came after it" } else { "" };
        self.alarm(
            room,
            format!(
                "what this room's log says of the time before you came does not hold: its change {height} is not signed \
                 by a device that {account} ever had{goes}. Who let you in made it up, or the relay lies about {account}: \
                 say nothing secret here, and ask {account} another way"
            ),
            now,
        );
        if *height == 0 { Ok(()) } else { self.cut_log(room, *height, now) }
    }

    /// The log ends before that height, as if what stood from there on had never come.
    fn cut_log(&mut self, room: RoomId, height: u64, now: Now) -> Result<(), Error> {
        self.withdraw(room);
        let me = self.chat.name.clone();
        let Some(group) = self.chat.group_mut(room) else { return Ok(()) };
        let (before, last) = (group.log.state().clone(), group.log.height());
        let kept = usize::try_from(height).ok().and_then(|end| group.log.entries(0).get(..end));
        let Some(Ok(log)) = kept.map(Log::restore) else { return Ok(()) };
        let after = log.state().clone();
        group.log = log;
        group.kept.moved = group.log.head();
        (group.tries, group.behind, group.stopped) = (0, 0, false);
        (group.missing, group.rounds) = (None, 0);
        group.refresh(&me);
        // Nobody has shown what was never there.
        let shown = group.shown.iter().filter(|(_, (shown, _))| *shown >= height);
        let shown: Vec<DeviceId> = shown.map(|(device, _)| *device).collect();
        group.shown.retain(|device, _| !shown.contains(device));
        for device in shown {
            self.batch.delete(SHOWN, [room.0, device.0].concat());
        }
        for at in height..=last {
            self.batch.delete(LOGS, [room.0.as_slice(), &at.to_be_bytes()].concat());
        }
        let strangers = before.members.keys().filter(|name| !after.members.contains_key(*name));
        for name in strangers.filter(|name| **name != me) {
            self.gone(room, &before, name)?;
        }
        let open = self.chat.group(room).is_some_and(|group| group.is_open());
        if !open {
            self.shut(room, &before)?;
        }
        self.save_group(room);
        self.tell_room_changed(room);
        self.sort_rooms();
        if before.name != after.name {
            self.name_people();
        }
        // What is true may have come meanwhile, and did not fit.
        let (peers, _) = self.recipients(&after);
        let let_in = self.chat.room(room).is_some_and(|room| room.person.is_contact());
        if let Some(peer) = peers.first().filter(|_| let_in) {
            self.entries_missing(room, height, peer.device(), now);
        }
        Ok(())
    }
}
