//! Signing in by password on an empty machine: pure, from KE1 to an enrolled device.
//!
//! ```text
//! name, password ─KE1─► relay ─KE2─► stretch ─KE3─► relay ─backup─► open ─► list of devices
//!     ─► a device of its own, in a profile ─► added to the list by the recovery key
//! ```
//! The relay is trusted with nothing: the backup opens for this name, relay and password only, and the
//! list of devices must have the root that the backup names and be no older than the backup knew it.

use crate::chat::backup::{Safe, State};
use crate::chat::devices::CHAIN;
use crate::chat::wait_in_words;
use rand_core::CryptoRngCore;
use subrosa_shared::protocol::auth::public;
use subrosa_shared::protocol::devices::{self, DeviceList, VERSIONS_IN_FRAME, Version};
use subrosa_shared::protocol::frame::{Ask, Refusal, ToDevice, ToRelay};
use subrosa_shared::protocol::password::{Backup, Start};
use subrosa_shared::session::Identity;
use subrosa_shared::session::backup::{self, Keys, open_state};
use subrosa_shared::session::opaque::{self, Bound, ExportKey, Login, Proved};
use subrosa_shared::session::vault::Cost;
use subrosa_shared::store::Batch;
use zeroize::Zeroizing;

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// Send it, and bring the answer.
    Send(ToRelay),
    /// Do this where nobody waits for a key press, and bring what came of it.
    Stretch(Box<Stretch>),
    /// Write this down, then send that, the list with the new device: nobody is listed whom nobody has.
    Enroll(Box<Restored>, ToRelay),
    /// The device is enrolled.
    Done,
}

/// Why it does not go on: a sentence with the next step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Another password, or no such name, or one without a password: nobody is told which.
    #[error("that name and password do not belong together here: check both, and the relay's link")]
    Wrong,
    /// Too many tries.
    #[error("too many tries with this name or from this network: try again in {}", wait_in_words(*.0))]
    Wait(u32),
    /// The relay refused.
    #[error("the relay refused: {0}; try again later")]
    Refused(Refusal),
    /// The backup does not open although the password is right.
    #[error("{0}")]
    Backup(backup::Error),
    /// The list of devices is not the account's.
    #[error(
        "the relay's list of your devices is not the one that your backup knows: nothing was taken from it. Ask the relay's owner"
    )]
    List,
    /// The list does not name the key any more by which the password could add a device.
    #[error(
        "this password adds no device any more: one was removed since it was set. Set it anew with /password on a device that is left"
    )]
    Void,
    /// The list has never named that key: the device died before, or its list has no room for it.
    #[error(
        "this password was never finished: start the device on which it was set, or set it anew there with /password"
    )]
    Unfinished,
    /// There are as many devices as there can be.
    #[error("this account has as many devices as it can have: remove one on another device first")]
    Full,
    /// Something out of order.
    #[error("the relay's answer makes no sense ({0}): it is broken, or not the one it should be")]
    Malformed(&'static str),
}

/// A login under way.
pub struct SignIn {
    bound: Bound,
    exporter: [u8; 32],
    stage: Stage,
}

enum Stage {
    Challenge(Box<Login>),
    Stretching,
    Welcome(ExportKey),
    Chain(Box<Within>),
    Enrolling,
    Over,
}

/// What the password opened.
struct Within {
    keys: Keys,
    safe: Safe,
    state: State,
    chain: Vec<Version>,
}

/// The slow part.
#[derive(Debug)]
pub struct Stretch {
    login: Box<Login>,
    ke2: Vec<u8>,
    bound: Bound,
    exporter: [u8; 32],
}

impl Stretch {
    /// Does it. `cost` is [`opaque::COST`] for people.
    ///
    /// # Errors
    /// [`opaque::Error`].
    pub fn run(self, cost: Cost, rng: &mut dyn CryptoRngCore) -> Result<Proved, opaque::Error> {
        self.login.finish(&self.ke2, &self.bound, &self.exporter, cost, rng)
    }
}

/// Everything that a new profile is made of.
pub struct Restored {
    /// Keys of the new device.
    pub identity: Identity,
    safe: Safe,
    state: State,
    chain: Vec<Version>,
}

impl std::fmt::Debug for Restored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restored").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Restored {
    /// People and conversations that were found.
    pub fn people(&self) -> usize {
        self.state.contacts.len()
    }

    /// Writes people, settings, the list of devices and the key of the backup into an empty profile.
    pub fn write(self, batch: &mut Batch, rng: &mut dyn CryptoRngCore) {
        for version in &self.chain {
            let value = postcard::to_stdvec(version).expect("it serialises: plain fields only");
            batch.put(CHAIN, version.number.to_be_bytes(), value);
        }
        self.safe.save(batch);
        self.state.restore(batch, rng);
    }
}

impl SignIn {
    /// KE1, on a connection with that exporter value.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn begin(
        bound: Bound,
        exporter: [u8; 32],
        password: Zeroizing<String>,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<(Self, ToRelay), Problem> {
        let (login, ke1) = Login::begin(password, rng).map_err(|_| Problem::Wrong)?;
        let start = ToRelay::PasswordStart(Start { name: bound.name.clone(), ke1 });
        Ok((Self { bound, exporter, stage: Stage::Challenge(Box::new(login)) }, start))
    }

    /// A frame of the relay's; `None` for one that says nothing here.
    ///
    /// # Errors
    /// [`Problem`]; then it is over.
    pub fn frame(&mut self, frame: ToDevice, rng: &mut dyn CryptoRngCore) -> Result<Option<Next>, Problem> {
        match (std::mem::replace(&mut self.stage, Stage::Over), frame) {
            (_, ToDevice::Refused { why, .. }) => Err(refused(why)),
            (Stage::Challenge(login), ToDevice::PasswordChallenge(ke2)) => {
                self.stage = Stage::Stretching;
                let (bound, exporter) = (self.bound.clone(), self.exporter);
                Ok(Some(Next::Stretch(Box::new(Stretch { login, ke2, bound, exporter }))))
            }
            (Stage::Welcome(export), ToDevice::PasswordWelcome(opened)) => {
                let within = self.open(&export, &opened.backup)?;
                self.stage = Stage::Chain(Box::new(within));
                Ok(Some(Next::Send(self.ask(0))))
            }
            (Stage::Chain(within), ToDevice::Devices { versions, name, .. }) if name == self.bound.name => {
                self.listed(*within, versions, rng).map(Some)
            }
            (Stage::Enrolling, ToDevice::Done(_)) => Ok(Some(Next::Done)),
            (stage, ToDevice::Draining { .. }) => {
                self.stage = stage;
                Ok(None)
            }
            _ => Err(Problem::Malformed("out of order")),
        }
    }

    /// The password is stretched.
    ///
    /// # Errors
    /// [`Problem::Wrong`], for another password and for a name that nobody has.
    pub fn stretched(&mut self, proved: Result<Proved, opaque::Error>) -> Result<Next, Problem> {
        match (std::mem::replace(&mut self.stage, Stage::Over), proved) {
            (Stage::Stretching, Ok(Proved { ke3, export })) => {
                self.stage = Stage::Welcome(export);
                Ok(Next::Send(ToRelay::PasswordFinish(ke3)))
            }
            (_, Err(opaque::Error::Malformed)) => Err(Problem::Malformed("no message of OPAQUE")),
            (_, Err(opaque::Error::Wrong)) => Err(Problem::Wrong),
            _ => Err(Problem::Malformed("out of order")),
        }
    }

    fn open(&self, export: &ExportKey, sealed: &Backup) -> Result<Within, Problem> {
        let epoch = sealed.epoch;
        let keys = Keys::open(&sealed.keys, export, &self.bound, epoch).map_err(Problem::Backup)?;
        let state = open_state(&keys.state, &sealed.state, &self.bound, epoch).map_err(Problem::Backup)?;
        let state = State::decode(&state).map_err(Problem::Backup)?;
        let recovery = public(&keys.recovery);
        // The next look at the state says what the relay has.
        let safe = Safe { epoch, key: keys.state, recovery, stored: [0; 32], named: true };
        Ok(Within { keys, safe, state, chain: Vec::new() })
    }

    /// Versions of the list: all of them are needed, since each vouches for the next.
    fn listed(
        &mut self,
        mut within: Within,
        versions: Vec<Version>,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Next, Problem> {
        let (full, known) = (versions.len() >= VERSIONS_IN_FRAME, within.chain.len() as u32);
        within.chain.extend(versions.into_iter().filter(|version| version.number >= known));
        let from = within.chain.len() as u32;
        if full && from > known {
            self.stage = Stage::Chain(Box::new(within));
            return Ok(Next::Send(self.ask(from)));
        }
        let Within { keys, safe, state, mut chain } = within;
        let list = DeviceList::verify(&self.bound.name, &chain).map_err(|_| Problem::List)?;
        let rooted = list.root().identity == keys.root;
        let fresh = state
            .head
            .is_none_or(|head| chain.get(head.number as usize).is_some_and(|version| version.head() == head));
        let named = chain.iter().any(|version| version.recovery == Some(safe.recovery));
        match list.recovery() {
            _ if !rooted || !fresh => return Err(Problem::List),
            Some(key) if key == safe.recovery => {}
            _ if !named => return Err(Problem::Unfinished),
            None => return Err(Problem::Void),
            Some(_) => return Err(Problem::List),
        }
        let identity = Identity::generate(rng);
        let version = keys.add(&list, &identity.cert()).map_err(|why| match why {
            devices::Error::Devices | devices::Error::Full => Problem::Full,
            devices::Error::Order | devices::Error::Signature => Problem::List,
        })?;
        chain.push(version.clone());
        self.stage = Stage::Enrolling;
        let restored = Box::new(Restored { identity, safe, state, chain });
        Ok(Next::Enroll(restored, ToRelay::PublishDevices { ask: Ask(2), versions: vec![version] }))
    }

    fn ask(&self, from: u32) -> ToRelay {
        ToRelay::Devices { ask: Ask(1), name: self.bound.name.clone(), from }
    }
}

fn refused(why: Refusal) -> Problem {
    match why {
        Refusal::RateLimited { retry_ms } => Problem::Wait(retry_ms),
        // A relay that knows better than the envelope: it says nothing more either.
        Refusal::BadSignature => Problem::Wrong,
        why => Problem::Refused(why),
    }
}
