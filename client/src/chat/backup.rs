//! The login password of an account, and the backup that it opens on an empty machine.
//!
//! Nobody but this device and the next one ever sees what is in it. The state (people, settings) is
//! stored again a while after something in it changed.

mod state;

pub use state::{Contact, State};

use super::Link;
use super::linked::Question;
use super::talk::{ACCOUNT, Talk};
use crate::effect::Effect;
use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::Duration;
use subrosa_shared::content::own::{BackupKey, Own};
use subrosa_shared::id::DeviceId;
use subrosa_shared::protocol::auth::public;
use subrosa_shared::protocol::frame::{Ask, Refusal, ToRelay};
use subrosa_shared::protocol::password::{Epoch, Set};
use subrosa_shared::session::backup::{Keys, seal_state};
use subrosa_shared::session::opaque::{self, Bound, Registered, Registration};
use subrosa_shared::session::vault::{self, Cost};
use subrosa_shared::store::{self, Batch, Write};
use subrosa_shared::time::{Millis, Now};
use zeroize::Zeroizing;

/// In [`ACCOUNT`]: the [`Safe`] of an account with a password.
pub const BACKUP: &[u8] = b"backup";
/// In [`ACCOUNT`]: the device whose password it is, when that is another one.
const BACKUP_BY: &[u8] = b"backup by";
/// In [`ACCOUNT`]: the [`Safe`] of a password that went to the relay, until it says whether it has it.
pub const TRIED: &[u8] = b"backup tried";
/// In [`ACCOUNT`]: a password was set, and adds no device any more.
const VOID: &[u8] = b"password void";
/// In [`ACCOUNT`]: settings that came with a backup, as TOML. A settings file comes first.
pub const SETTINGS: &[u8] = b"settings";

/// What a device keeps of the backup: enough to store its state anew.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Safe {
    /// Which password.
    pub epoch: Epoch,
    /// Seals the state.
    pub key: [u8; 32],
    /// Public half of the recovery key.
    pub recovery: [u8; 32],
    /// SHA-256 of the state that the relay has.
    pub stored: [u8; 32],
    /// The account's list of devices names the recovery key.
    pub named: bool,
}

impl Safe {
    /// What [`Safe::save`] wrote.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }

    /// Writes it.
    pub fn save(&self, batch: &mut Batch) {
        self.save_as(BACKUP, batch);
    }

    fn save_as(&self, key: &[u8], batch: &mut Batch) {
        let value = postcard::to_stdvec(self).expect("it serialises: plain fields only");
        batch.put(ACCOUNT, key, value);
    }
}

impl Drop for Safe {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.key);
    }
}

/// The slow part of setting a password, to be done where nobody waits for a key press.
pub struct Job {
    registration: Registration,
    answer: Vec<u8>,
    bound: Bound,
    /// The vault's header and what was typed as its passphrase.
    vault: Option<(Vec<u8>, Zeroizing<String>)>,
}

impl Job {
    /// Does it. `cost` is [`opaque::COST`] for people.
    pub fn run(self, cost: Cost, rng: &mut dyn CryptoRngCore) -> Stretched {
        if let Some((header, passphrase)) = &self.vault {
            vault::open(header, passphrase).map_err(|_| Unset::Passphrase)?;
        }
        self.registration.finish(&self.answer, &self.bound, cost, rng).map_err(Unset::Opaque)
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job(…)")
    }
}

/// What came of a [`Job`].
pub type Stretched = Result<Registered, Unset>;

/// Why a password was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unset {
    /// The passphrase is not that of this profile.
    Passphrase,
    /// See there.
    Opaque(opaque::Error),
}

/// The backup and the password of a running client.
#[derive(Default)]
pub(super) struct Backup {
    safe: Option<Safe>,
    /// See [`TRIED`]. No state is stored under the password before it meanwhile.
    tried: Option<Safe>,
    /// The vault's header, to ask for its passphrase.
    header: Option<Vec<u8>>,
    setting: Option<Setting>,
    /// Something may have changed: look at this moment.
    due: Option<Millis>,
    /// What was stored in this event belongs into it.
    changed: bool,
    /// The state that is on its way to the relay.
    sent: Option<[u8; 32]>,
    /// The relay went back in time, and has not taken a state since.
    rewound: bool,
}

/// A password on its way.
enum Setting {
    /// Waits for a connection.
    Wanted {
        passphrase: Zeroizing<String>,
        password: Zeroizing<String>,
    },
    Asked {
        registration: Registration,
        passphrase: Zeroizing<String>,
    },
    Stretching,
    /// See [`Backup::tried`].
    Sent,
}

/// How long changes gather before the state is stored again.
const GATHER: Duration = Duration::from_secs(15);
/// After a refusal.
const AGAIN: Duration = Duration::from_secs(120);

impl Backup {
    pub(super) fn load(store: &store::Store, header: Option<Vec<u8>>) -> Result<Self, store::Error> {
        let damaged = || store::Error::Damaged("the key of the backup".into());
        let read = |key: &[u8]| match store.records.get(ACCOUNT, key)?.map(Zeroizing::new) {
            Some(bytes) => Safe::read(&bytes).map(Some).ok_or_else(damaged),
            None => Ok(None),
        };
        let (safe, tried) = (read(BACKUP)?, read(TRIED)?);
        Ok(Self { safe, tried, header, ..Self::default() })
    }

    pub(super) fn due(&self) -> Option<Millis> {
        self.due
    }
}

impl Talk {
    /// Whether the account has a login password, as far as this device knows.
    pub fn has_password(&self) -> bool {
        self.backup.safe.is_some()
    }

    /// Whether the passphrase of the profile is asked for before a password is set.
    pub fn guards_password(&self) -> bool {
        self.backup.header.is_some()
    }

    /// Sets or changes the login password. The passphrase of the profile says that it is its owner who
    /// asks, also when the old password is forgotten.
    pub fn set_password(&mut self, passphrase: Zeroizing<String>, password: Zeroizing<String>) {
        if self.backup.setting.as_ref().is_some_and(|setting| !matches!(setting, Setting::Wanted { .. })) {
            return self.notice("a password is being set already".into(), true);
        }
        if self.chat.link != Link::Online {
            self.backup.setting = Some(Setting::Wanted { passphrase, password });
            return self.notice("the password is set as soon as the relay is there".into(), false);
        }
        match Registration::begin(password, &mut self.rng) {
            Ok((registration, request)) => {
                self.backup.setting = Some(Setting::Asked { registration, passphrase });
                let ask = self.ask(Question::RegisterPassword);
                self.effects.push(Effect::Send(ToRelay::RegisterPassword { ask, request }));
                self.notice("setting the password; it is stretched for a moment…".into(), false);
            }
            Err(why) => self.notice(format!("the password was not set: {why}"), true),
        }
    }

    /// The relay's answer to the request.
    pub(super) fn password_answer(&mut self, answer: Vec<u8>) {
        let Some(Setting::Asked { registration, passphrase }) = self.backup.setting.take() else { return };
        let vault = self.backup.header.clone().map(|header| (header, passphrase));
        let Some(bound) = self.bound() else { return };
        self.backup.setting = Some(Setting::Stretching);
        self.effects.push(Effect::Stretch(Box::new(Job { registration, answer, bound, vault })));
    }

    /// The slow part is done.
    pub fn stretched(&mut self, stretched: Stretched) {
        if !matches!(self.backup.setting, Some(Setting::Stretching)) {
            return;
        }
        self.backup.setting = None;
        let Registered { record, export } = match stretched {
            Ok(registered) => registered,
            Err(Unset::Passphrase) => {
                let text = "the password was not set: that is not the passphrase of this profile; try /password again";
                return self.notice(text.into(), true);
            }
            Err(Unset::Opaque(why)) => return self.notice(format!("the password was not set: {why}"), true),
        };
        let Some(bound) = self.bound() else { return };
        let keys = Keys::generate(self.own_list().root().identity, &mut self.rng);
        let mut epoch = Epoch([0; 16]);
        self.rng.fill_bytes(&mut epoch.0);
        let content = self.state().encode();
        let state = seal_state(&keys.state, &content, &bound, epoch, &mut self.rng).unwrap_or_default();
        let sealed = keys.seal(&export, &bound, epoch, &mut self.rng);
        let recovery = public(&keys.recovery);
        let stored = Sha256::digest(&*content).into();
        let safe = Safe { epoch, key: keys.state, recovery, stored, named: false };
        // On this disk first: the relay may have it, and nobody here live to hear of that.
        safe.save_as(TRIED, &mut self.batch);
        if self.backup.tried.replace(safe).is_some() {
            self.backup.sent = None;
        }
        self.backup.setting = Some(Setting::Sent);
        let ask = self.ask(Question::SetPassword);
        let set = Set { record, epoch, keys: sealed, state };
        self.effects.push(Effect::Send(ToRelay::SetPassword { ask, set }));
    }

    /// The relay has it on its disk.
    pub(super) fn password_set(&mut self, now: Now) {
        self.backup.setting.take_if(|setting| matches!(setting, Setting::Sent));
        let Some(safe) = self.backup.tried.take() else { return };
        safe.save(&mut self.batch);
        self.batch.delete(ACCOUNT, TRIED);
        self.batch.delete(ACCOUNT, BACKUP_BY);
        self.batch.delete(ACCOUNT, VOID);
        let key = BackupKey { epoch: safe.epoch, key: safe.key, recovery: safe.recovery };
        let first = self.backup.safe.replace(safe).is_none();
        self.backup.sent = None;
        self.tell_siblings(Own::Backup(key), None, now);
        self.name_recovery();
        let text = if first {
            "the login password is set: with it, your name and the relay's link you can sign in on an empty machine (subrosa login)"
        } else {
            "the login password is changed: the old one opens nothing any more"
        };
        self.notice(text.into(), false);
    }

    /// The relay refused a step.
    pub(super) fn password_refused(&mut self, why: Refusal) {
        if matches!(self.backup.setting.take(), Some(Setting::Sent)) {
            self.backup.tried = None;
            self.batch.delete(ACCOUNT, TRIED);
        }
        let text = match why {
            Refusal::RateLimited { retry_ms } => format!(
                "the password was not set: too often in a short time; try again in {}",
                super::wait_in_words(retry_ms)
            ),
            why => format!("the password was not set: the relay says {why}; try again later"),
        };
        self.notice(text, true);
    }

    /// The connection is gone.
    pub(super) fn backup_unlinked(&mut self) {
        self.backup.sent = None;
        let text = match self.backup.setting {
            None | Some(Setting::Wanted { .. }) => return,
            Some(Setting::Sent) => {
                "the connection broke before the relay said whether it has the password: it is asked at the next one"
            }
            Some(_) => "the connection broke before the password was set: try /password again",
        };
        self.backup.setting = None;
        self.notice(text.into(), true);
    }

    /// Something that belongs into the backup may have changed.
    pub fn watch_backup(&mut self, now: Now) {
        let idle = self.backup.safe.is_some() && self.backup.due.is_none();
        self.look_at_batch();
        if std::mem::take(&mut self.backup.changed) && idle {
            self.backup.due = Some(now.mono.plus(GATHER));
        }
    }

    /// Notes whether what is about to be stored belongs into the backup.
    pub(super) fn look_at_batch(&mut self) {
        use super::devices::LISTS;
        use super::person::PEOPLE;
        use super::room::ROOMS;
        let watched = |write: &Write| match write {
            Write::Put(table, ..) | Write::Delete(table, _) => [ROOMS, PEOPLE, LISTS].contains(table),
        };
        self.backup.changed |= self.batch.records.iter().any(watched);
    }

    /// At login: a password may wait for it, and settings may be others than in the run before.
    pub(super) fn backup_linked(&mut self, now: Now) {
        if let Some(Setting::Wanted { passphrase, password }) = self.backup.setting.take() {
            self.set_password(passphrase, password);
        }
        let void = self.store.records.get(ACCOUNT, VOID).is_ok_and(|void| void.is_some());
        if void && self.own_list().recovery().is_none() {
            self.say_void();
        }
        if let Some(safe) = &mut self.backup.safe {
            self.backup.due = Some(now.mono.plus(GATHER));
            if !safe.named {
                // Another device may have set another password since: the relay takes the state only if
                // not, and only then the list is to name this recovery key.
                (safe.stored, self.backup.due) = ([0; 32], Some(now.mono));
            }
        }
        if self.backup.tried.is_some() {
            // Whether the relay takes a state under that password says whether it has it.
            self.backup.due = Some(now.mono);
        }
    }

    /// The relay went back in time: it has an older state, or an older password.
    pub(super) fn backup_rewound(&mut self) {
        self.backup.rewound = true;
        if let Some(safe) = &mut self.backup.safe {
            safe.stored = [0; 32];
        }
    }

    /// Stores the state when it is time to and it is another one.
    pub(super) fn backup_wake(&mut self, now: Now) {
        if self.backup.due.is_none_or(|due| due > now.mono) {
            return;
        }
        if matches!(self.backup.setting, Some(Setting::Sent)) {
            // Under which password, its answer says.
            self.backup.due = Some(now.mono.plus(GATHER));
            return;
        }
        self.backup.due = None;
        // At the next login it is looked at again.
        let Some(bound) = self.bound().filter(|_| self.chat.link == Link::Online) else { return };
        let content = self.state().encode();
        let hash: [u8; 32] = Sha256::digest(&*content).into();
        let tried = self.backup.tried.as_ref();
        let Some(safe) = tried.or(self.backup.safe.as_ref()) else { return };
        if (tried.is_none() && safe.stored == hash) || self.backup.sent.is_some() {
            return;
        }
        let Ok(state) = seal_state(&safe.key, &content, &bound, safe.epoch, &mut self.rng) else { return };
        let epoch = safe.epoch;
        self.backup.sent = Some(hash);
        let ask = self.ask(Question::StoreState(epoch));
        self.effects.push(Effect::Send(ToRelay::StoreState { ask, epoch, state }));
    }

    /// The relay has the state of that password on its disk.
    pub(super) fn state_stored(&mut self, epoch: Epoch, now: Now) {
        if let Some(tried) = self.backup.tried.as_mut().filter(|tried| tried.epoch == epoch) {
            tried.stored = self.backup.sent.take().unwrap_or_default();
            self.backup.rewound = false;
            return self.password_set(now);
        }
        if let Some(safe) = self.backup.safe.as_mut().filter(|safe| safe.epoch == epoch)
            && let Some(hash) = self.backup.sent.take()
        {
            self.backup.rewound = false;
            safe.stored = hash;
            safe.save(&mut self.batch);
            self.name_recovery();
        }
    }

    /// The relay refused the state of that password.
    pub(super) fn state_refused(&mut self, epoch: Epoch, why: Refusal, now: Now) {
        let tried = self.backup.tried.as_ref().is_some_and(|tried| tried.epoch == epoch);
        if !tried && self.backup.safe.as_ref().is_none_or(|safe| safe.epoch != epoch) {
            // Another one took its place meanwhile, or a removal ended it.
            return;
        }
        self.backup.sent = None;
        if why == Refusal::NotAllowed && tried {
            // Whether the one before still holds, its own state is to say.
            (self.backup.tried, self.backup.due) = (None, Some(now.mono));
            self.batch.delete(ACCOUNT, TRIED);
            self.notice(
                "the login password that you typed last was not set: the relay does not have it. Try /password again".into(),
                true,
            );
        } else if why == Refusal::NotAllowed {
            // Another device has set another password: from then on it keeps the backup.
            self.backup.safe = None;
            self.batch.delete(ACCOUNT, BACKUP);
            if std::mem::take(&mut self.backup.rewound) {
                self.notice(
                    "the relay went back to a time before your login password was set: the one before holds there again, if \
                     there was one. Set it anew with /password"
                        .into(),
                    true,
                );
                return;
            }
            // That device tells the others how to go on.
            self.notice("the login password was changed on another device".into(), false);
        } else {
            self.backup.due = Some(now.mono.plus(AGAIN));
        }
    }

    /// Another own device has set a password: this one stores its state under it too from now on.
    pub(super) fn backup_key_came(&mut self, by: DeviceId, key: &BackupKey, now: Now) {
        if self.named_before(key.recovery) {
            // It was under way for longer than it held. A newer one stays.
            let newer = self.backup.safe.as_ref().is_some_and(|safe| !self.named_before(safe.recovery));
            if !newer {
                self.forget_password();
            }
            return;
        }
        let safe = Safe {
            epoch: key.epoch,
            key: key.key,
            recovery: key.recovery,
            stored: [0; 32],
            // The other device names it; where it could not, this one does, once the relay says that this
            // is the newest password.
            named: false,
        };
        safe.save(&mut self.batch);
        self.batch.put(ACCOUNT, BACKUP_BY, by.0.to_vec());
        self.batch.delete(ACCOUNT, VOID);
        self.backup.safe = Some(safe);
        (self.backup.due, self.backup.sent) = (Some(now.mono.plus(GATHER)), None);
    }

    /// The list of devices has changed, and with it maybe what a login password may do.
    pub(super) fn recovery_changed(&mut self, before: Option<[u8; 32]>, gone: &[DeviceId], here: bool) {
        let after = self.own_list().recovery();
        if after.is_none() && !gone.is_empty() {
            return self.password_void(before, gone, here);
        }
        // One that was set here may be named by another device.
        let own = self.backup.safe.as_ref().is_some_and(|safe| Some(safe.recovery) == after);
        let elsewhere = self.store.records.get(ACCOUNT, BACKUP_BY).is_ok_and(|by| by.is_some());
        if after != before && after.is_some() && !here && (elsewhere || !own) {
            self.notice(
                "a login password was set on another device of yours: who knows it can add devices. If that was not you, \
                 remove that device (/devices) and set one with /password"
                    .into(),
                true,
            );
        }
    }

    /// A device was removed that may have set the password, or knows what seals its backup.
    fn password_void(&mut self, before: Option<[u8; 32]>, gone: &[DeviceId], here: bool) {
        let Some(safe) = self.backup.safe.take() else {
            // Not every device has its key: one that came from a key file has none.
            if before.is_some() {
                self.forget_password();
            }
            return;
        };
        let by = self.store.records.get(ACCOUNT, BACKUP_BY).ok().flatten();
        let theirs = by.is_some_and(|by| gone.iter().any(|device| device.0[..] == by[..]));
        if before != Some(safe.recovery) && !theirs && !self.named_before(safe.recovery) {
            // One that was set since: its device names it.
            self.backup.safe = Some(safe);
            return;
        }
        if let Some(bound) = self.bound().filter(|_| here && self.chat.link == Link::Online) {
            // Nobody is to find there with that key what changes from here on, nor what it was.
            let head = Some(self.own_list().head());
            let nothing = State { head, contacts: Vec::new(), settings: String::new() }.encode();
            if let Ok(state) = seal_state(&safe.key, &nothing, &bound, safe.epoch, &mut self.rng) {
                let ask = self.ask(Question::StoreState(safe.epoch));
                self.effects.push(Effect::Send(ToRelay::StoreState { ask, epoch: safe.epoch, state }));
            }
        }
        self.forget_password();
    }

    /// Whether the list has named that recovery key, and does not any more.
    fn named_before(&self, recovery: [u8; 32]) -> bool {
        let chain = &self.lists.chain;
        let named = chain.iter().any(|version| version.recovery == Some(recovery));
        named && self.own_list().recovery() != Some(recovery)
    }

    /// What a password did holds no more; when nothing took its place, it is said until one is set.
    fn forget_password(&mut self) {
        if self.own_list().recovery().is_some() {
            return;
        }
        self.backup.safe = None;
        (self.backup.due, self.backup.sent) = (None, None);
        self.batch.delete(ACCOUNT, BACKUP);
        self.batch.delete(ACCOUNT, BACKUP_BY);
        self.batch.put(ACCOUNT, VOID, vec![1]);
        self.say_void();
    }

    fn say_void(&mut self) {
        self.notice(
            "your login password adds no device any more, since one was removed that knew what it opens: set it anew with \
             /password"
                .into(),
            true,
        );
    }

    /// The key of the backup for a device that has joined the account.
    pub(super) fn backup_key(&self) -> Option<BackupKey> {
        // An old one would take the place of a newer one there.
        let newest = |safe: &&Safe| self.own_list().recovery() == Some(safe.recovery);
        let safe = self.backup.safe.as_ref().filter(newest)?;
        Some(BackupKey { epoch: safe.epoch, key: safe.key, recovery: safe.recovery })
    }

    /// Asks for all connections of the account.
    pub fn ask_sessions(&mut self) {
        if self.chat.link != Link::Online {
            return self
                .notice("connections are listed by the relay: try again when it is there".into(), true);
        }
        let ask = self.ask(Question::Sessions);
        self.effects.push(Effect::Send(ToRelay::Sessions { ask }));
    }

    /// Ends the connection of that number in the list, from 1.
    pub fn end_session(&mut self, nth: usize) {
        match nth.checked_sub(1).and_then(|nth| self.chat.sessions.get(nth)) {
            None => self.notice("there is no connection of that number: /sessions lists them".into(), true),
            Some(session) if session.own => {
                self.notice("that is this connection: leave with /quit".into(), true);
            }
            Some(session) => {
                let id = session.id;
                let ask: Ask = self.ask(Question::EndSession);
                self.effects.push(Effect::Send(ToRelay::EndSession { ask, id }));
            }
        }
    }

    /// The account's list of devices is to name the recovery key of today's password: with it, and with
    /// nothing else that the password opens, a new device is added.
    pub(super) fn name_recovery(&mut self) {
        self.recovery_named();
        let wanted = self.backup.safe.as_ref().filter(|safe| !safe.named).map(|safe| safe.recovery);
        // One change of the list at a time: what is under way ends here again.
        let free = self.list_is_free() && self.chat.link == Link::Online;
        let Some(recovery) = wanted.filter(|key| free && !self.named_before(*key)) else { return };
        if let Ok(version) = self.sessions.identity().recovers(self.own_list(), Some(recovery)) {
            self.publishing = vec![version.clone()];
            let ask = self.ask(Question::PublishDevices);
            self.effects.push(Effect::Send(ToRelay::PublishDevices { ask, versions: vec![version] }));
        }
    }

    /// Whether the list names the recovery key by now.
    pub(super) fn recovery_named(&mut self) {
        let named = self.own_list().recovery();
        if let Some(safe) = &mut self.backup.safe
            && !safe.named
            && named == Some(safe.recovery)
        {
            safe.named = true;
            safe.save(&mut self.batch);
        }
    }

    fn state(&self) -> State {
        let heads = |name: &_| self.head_of(name);
        State::of(&self.chat.rooms, &self.config, Some(self.own_list().head()), heads)
    }

    fn bound(&self) -> Option<Bound> {
        let link: subrosa_shared::protocol::link::RelayLink = self.chat.relay.parse().ok()?;
        Some(Bound { name: self.chat.name.clone(), relay: link.fingerprint })
    }
}
