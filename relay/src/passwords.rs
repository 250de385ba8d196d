//! Passwords that the relay never sees: OPAQUE's server side (RFC 9807), its records, its limits.
//!
//! A name without a password, and a name that nobody has, take the same path as every other: one look
//! into the records, one evaluation, one answer of the same form. Success shows only in KE3, so each
//! KE2 counts as a guess until its KE3 is right.

use crate::accounts::{decode, encode};
use crate::admin::check::{Findings, rows};
use crate::config::Limits;
use crate::limits::{Guess, Guesses, Wait, prefix};
use crate::staged::Staged;
use opaque_ke::key_exchange::tripledh::TripleDh;
use opaque_ke::{
    CipherSuite, CredentialFinalization, CredentialRequest, Identifiers, RegistrationRequest,
    RegistrationUpload, Ristretto255, ServerLogin, ServerLoginParameters, ServerRegistration, ServerSetup,
};
use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::frame::Refusal;
use subrosa_shared::protocol::password::{Backup, Epoch, KE1, KE3, KEYS, RECORD, Set};
use subrosa_shared::store::{self, Kv, Table};
use subrosa_shared::time::Millis;

/// ristretto255 and SHA-512, as RFC 9807 has them. Stretching is the client's: a server never does it.
pub struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, Sha512>;
    type Ksf = opaque_ke::ksf::Identity;
}

/// OPAQUE's long-lived secret of a relay: its OPRF seed and key pair. Kept in a file apart from the
/// records, so that whoever gets one of the two cannot guess offline.
#[derive(Clone)]
pub struct Setup(ServerSetup<Suite>);

impl Setup {
    /// A new one.
    pub fn generate(rng: &mut dyn CryptoRngCore) -> Self {
        let mut rng = rng;
        Self(ServerSetup::new(&mut rng))
    }

    /// OPRF seed 64 ‖ secret key 32 ‖ public key of names without a record 32.
    ///
    /// # Errors
    /// `InvalidData` when it is none.
    pub fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
        let exact = bytes.len() == SETUP;
        let setup = ServerSetup::deserialize(bytes).ok().filter(|_| exact);
        setup.map(Self).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Reads the one in this file, or makes one there that only the owner can read.
    ///
    /// # Errors
    /// Those of the file; `InvalidData` when it holds something else.
    pub fn read_or_make(path: &Path, rng: &mut dyn CryptoRngCore) -> io::Result<Self> {
        match Self::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let setup = Self::generate(rng);
                setup.write(path)?;
                Ok(setup)
            }
            read => read,
        }
    }

    /// Reads the one in this file.
    ///
    /// # Errors
    /// Those of the file; `InvalidData` when it holds something else.
    pub fn read(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut bytes = Vec::new();
        file.take(FILE_MAX).read_to_end(&mut bytes)?;
        let body = bytes.strip_prefix(MAGIC).and_then(|rest| rest.split_last_chunk::<32>());
        match body {
            Some((body, hash)) if Sha256::digest(body)[..] == hash[..] => Self::from_bytes(body),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Complete or not at all: written aside, synced, renamed.
    fn write(&self, path: &Path) -> io::Result<()> {
        let aside = path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&aside)?;
        let body = self.0.serialize();
        file.write_all(MAGIC)?;
        file.write_all(&body)?;
        file.write_all(&Sha256::digest(body))?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        #[cfg(unix)]
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(())
    }
}

/// Records, backups and guesses over a store; changes are on disk after [`Passwords::append`], once the store is
/// synced.
pub struct Passwords {
    setup: Setup,
    records: Staged,
    limits: Limits,
    /// What is read in place of a record that is not there, so that reading takes as long.
    decoy: Vec<u8>,
}

/// A login that waits for its KE3.
pub struct Proof {
    name: AccountName,
    network: String,
    state: ServerLogin<Suite>,
    /// Whether there is a record; without one no KE3 is right, and this makes sure of it.
    known: bool,
    guesses: [Guess; 3],
}

impl Proof {
    /// Whose.
    pub fn name(&self) -> &AccountName {
        &self.name
    }
}

/// What holds a guess back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Too many for that name.
    Name,
    /// Too many from that network.
    Network,
    /// Too many in all.
    All,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Fault {
    /// Too many.
    Held(Held, Wait),
    /// What came is no message of OPAQUE, or not the right one.
    Refusal(Refusal),
    /// The store's.
    Store(store::Error),
}

impl From<store::Error> for Fault {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

#[derive(Serialize, Deserialize)]
struct Record {
    /// OPAQUE's.
    opaque: Vec<u8>,
    epoch: Epoch,
    keys: Vec<u8>,
    /// Unix milliseconds.
    since: Millis,
}

const RECORDS: Table = Table { byte: b'o', name: "passwords: name → Record" };
const STATES: Table = Table { byte: b'b', name: "states of backups: name → sealed" };
const GUESSES: Table = Table { byte: b'g', name: "guesses: n ‖ name, p ‖ network, a → Guesses" };

const MAGIC: &[u8] = b"subrosa relay opaque/1\n";
const SETUP: usize = 128;
const FILE_MAX: u64 = 4096;
const SWEEP: usize = 256;

/// Looks whether records and guesses can be read.
pub(crate) fn audit(kv: &dyn Kv, found: &mut Findings) -> Result<(), store::Error> {
    let mut names = BTreeSet::new();
    rows(kv, RECORDS, |key, value| {
        // Known repeats of envelopes lie under the same letter; no name holds a zero byte.
        if !key.contains(&0) && key.len() <= AccountName::MAX {
            found.looked();
            names.insert(key.to_vec());
            let opaque = decode::<Record>(value, RECORDS.name).ok();
            if opaque.is_none_or(|record| ServerRegistration::<Suite>::deserialize(&record.opaque).is_err()) {
                found.wrong("a password's record cannot be read");
            }
        }
    })?;
    let mut states = 0;
    rows(kv, STATES, |key, _| {
        // Bodies of envelopes lie under the same letter; their keys begin with a zero byte.
        if key.first().is_some_and(|first| *first != 0) {
            states += 1;
            if !names.contains(key) {
                found.wrong("a backup belongs to no password");
            }
        }
    })?;
    if states < names.len() {
        found.wrong(format!("{} passwords have no backup", names.len() - states));
    }
    rows(kv, GUESSES, |_, value| {
        if decode::<Guesses>(value, GUESSES.name).is_err() {
            found.wrong("the guesses at a password cannot be read");
        }
    })
}

impl Passwords {
    /// Over a store.
    pub fn new(setup: Setup, kv: Arc<dyn Kv>, limits: Limits) -> Self {
        let mut opaque = setup.0.keypair().public().serialize().to_vec();
        opaque.resize(RECORD, 0);
        let decoy = Record { opaque, epoch: Epoch([0; 16]), keys: vec![0; KEYS], since: Millis(0) };
        Self { setup, records: Staged::new(kv), limits, decoy: encode(&decoy) }
    }

    /// Other bounds of guessing from here on.
    pub fn bound(&mut self, limits: &Limits) {
        self.limits = limits.clone();
    }

    /// Answers KE1: KE2, and what waits for KE3. `relay` is the relay's fingerprint, `exporter` the TLS
    /// exporter of the connection.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn challenge(
        &mut self,
        name: &AccountName,
        ke1: &[u8],
        bound: Bound<'_>,
        from: IpAddr,
        wall: Millis,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<(Vec<u8>, Proof), Fault> {
        let malformed = |_| Fault::Refusal(Refusal::Malformed);
        // What is behind a message would be passed over in silence.
        let ke1 = Some(ke1).filter(|ke1| ke1.len() == KE1).ok_or(Fault::Refusal(Refusal::Malformed))?;
        let ke1 = CredentialRequest::<Suite>::deserialize(ke1).map_err(malformed)?;
        let network = prefix(from);
        let guesses = self.guess(name, &network, wall)?;
        let found = self.records.get(RECORDS, name.as_str().as_bytes())?;
        let known = found.is_some();
        let record: Record = decode(found.as_ref().unwrap_or(&self.decoy), "a password's record")?;
        let opaque = ServerRegistration::deserialize(&record.opaque).map_err(|_| damaged())?;
        let mut rng = rng;
        let started = ServerLogin::start(
            &mut rng,
            &self.setup.0,
            known.then_some(opaque),
            ke1,
            name.as_str().as_bytes(),
            bound.parameters(name),
        )
        .map_err(malformed)?;
        let proof = Proof { name: name.clone(), network, state: started.state, known, guesses };
        Ok((started.message.serialize().to_vec(), proof))
    }

    /// Checks KE3; a right one gives the guesses back and opens the backup.
    ///
    /// # Errors
    /// [`Fault`]; a wrong one is `BadSignature`.
    pub fn prove(&mut self, proof: Proof, ke3: &[u8], bound: Bound<'_>) -> Result<Backup, Fault> {
        let wrong = |_| Fault::Refusal(Refusal::BadSignature);
        let ke3 = Some(ke3).filter(|ke3| ke3.len() == KE3).ok_or(Fault::Refusal(Refusal::BadSignature))?;
        let ke3 = CredentialFinalization::<Suite>::deserialize(ke3).map_err(wrong)?;
        proof.state.finish(ke3, bound.parameters(&proof.name)).map_err(wrong)?;
        let backup = self.backup(&proof.name)?.filter(|_| proof.known);
        let backup = backup.ok_or(Fault::Refusal(Refusal::BadSignature))?;
        for (key, guess) in keys(&proof.name, &proof.network).into_iter().zip(proof.guesses) {
            if let Some(mut guesses) = self.guesses(&key)? {
                guesses.give_back(guess);
                self.records.put(GUESSES, &key, encode(&guesses));
            }
        }
        Ok(backup)
    }

    /// Answers a registration request.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn answer(&self, name: &AccountName, request: &[u8]) -> Result<Vec<u8>, Refusal> {
        let request = RegistrationRequest::<Suite>::deserialize(request).map_err(|_| Refusal::Malformed)?;
        let started = ServerRegistration::start(&self.setup.0, request, name.as_str().as_bytes());
        Ok(started.map_err(|_| Refusal::Malformed)?.message.serialize().to_vec())
    }

    /// Sets or replaces a password with its backup.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn set(&mut self, name: &AccountName, set: &Set, wall: Millis) -> Result<(), Fault> {
        // Read once, so that a record that is kept is one that can be used.
        RegistrationUpload::<Suite>::deserialize(&set.record)
            .map_err(|_| Fault::Refusal(Refusal::Malformed))?;
        let record =
            Record { opaque: set.record.clone(), epoch: set.epoch, keys: set.keys.clone(), since: wall };
        self.records.put(RECORDS, name.as_str().as_bytes(), encode(&record));
        self.records.put(STATES, name.as_str().as_bytes(), set.state.clone());
        Ok(())
    }

    /// Replaces the state of a backup.
    ///
    /// # Errors
    /// `NotAllowed` when it belongs to another password than the one of today.
    pub fn store(&mut self, name: &AccountName, epoch: Epoch, state: Vec<u8>) -> Result<(), Fault> {
        let known = self.record(name)?.is_some_and(|record| record.epoch == epoch);
        if !known {
            return Err(Fault::Refusal(Refusal::NotAllowed));
        }
        self.records.put(STATES, name.as_str().as_bytes(), state);
        Ok(())
    }

    /// The backup of an account that has a password.
    ///
    /// # Errors
    /// Those of the store.
    pub fn backup(&self, name: &AccountName) -> Result<Option<Backup>, store::Error> {
        let state = self.records.get(STATES, name.as_str().as_bytes())?;
        let record = self.record(name)?;
        Ok(record.zip(state).map(|(Record { epoch, keys, .. }, state)| Backup { epoch, keys, state }))
    }

    /// Forgets guesses that say nothing any more, a bounded piece of work after `from`; says where to
    /// go on, `None` at the end. What is kept is bounded by the guesses of a day in all.
    ///
    /// # Errors
    /// Those of the store.
    pub fn sweep(&mut self, wall: Millis, from: &[u8]) -> Result<Option<Vec<u8>>, store::Error> {
        let rows = self.records.scan(GUESSES, from, &[], SWEEP)?;
        let next =
            rows.last().filter(|_| rows.len() == SWEEP).map(|(key, _)| [key.as_slice(), &[0]].concat());
        for (key, value) in rows {
            if decode::<Guesses>(&value, "guesses")?.is_over(wall) {
                self.records.delete(GUESSES, &key);
            }
        }
        Ok(next)
    }

    /// Writes everything since the last call; it is durable once the store is synced.
    ///
    /// # Errors
    /// Those of the store; then everything since the last call is undone.
    pub fn append(&mut self) -> Result<(), store::Error> {
        self.records.append()
    }

    /// Takes one guess everywhere, or nowhere.
    fn guess(&mut self, name: &AccountName, network: &str, wall: Millis) -> Result<[Guess; 3], Fault> {
        let paces = [
            (Held::Name, self.limits.guesses_name),
            (Held::Network, self.limits.guesses_network),
            (Held::All, self.limits.guesses_all),
        ];
        let (mut taken, mut writes, mut held) = ([Guess::default(); 3], Vec::new(), None);
        for (i, (key, (by, pace))) in keys(name, network).into_iter().zip(paces).enumerate() {
            let mut guesses = self.guesses(&key)?.unwrap_or_default();
            match guesses.take(pace, wall) {
                Ok(guess) => {
                    taken[i] = guess;
                    writes.push((key, encode(&guesses)));
                }
                Err(wait) => {
                    held = held.filter(|(_, longest): &(_, Wait)| longest.0 >= wait.0).or(Some((by, wait)))
                }
            }
        }
        if let Some((by, wait)) = held {
            return Err(Fault::Held(by, wait));
        }
        for (key, value) in writes {
            self.records.put(GUESSES, &key, value);
        }
        Ok(taken)
    }

    fn guesses(&self, key: &[u8]) -> Result<Option<Guesses>, store::Error> {
        self.records.get(GUESSES, key)?.map(|bytes| decode(&bytes, "guesses")).transpose()
    }

    fn record(&self, name: &AccountName) -> Result<Option<Record>, store::Error> {
        let bytes = self.records.get(RECORDS, name.as_str().as_bytes())?;
        bytes.map(|bytes| decode(&bytes, "a password's record")).transpose()
    }
}

/// What a login is bound to, so that it holds on one connection with one relay.
#[derive(Clone, Copy)]
pub struct Bound<'a> {
    /// The relay's fingerprint.
    pub relay: &'a [u8; 32],
    /// The TLS exporter.
    pub exporter: &'a [u8; 32],
}

impl<'a> Bound<'a> {
    fn parameters(self, name: &'a AccountName) -> ServerLoginParameters<'a, 'a> {
        ServerLoginParameters {
            context: Some(self.exporter),
            identifiers: Identifiers { client: Some(name.as_str().as_bytes()), server: Some(self.relay) },
        }
    }
}

fn keys(name: &AccountName, network: &str) -> [Vec<u8>; 3] {
    [[b"n", name.as_str().as_bytes()].concat(), [b"p", network.as_bytes()].concat(), b"a".to_vec()]
}

fn damaged() -> store::Error {
    store::Error::Damaged("a password's record cannot be read".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::OsRng;

    #[test]
    fn the_secret_is_the_same_after_a_restart_and_only_the_owners() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("relay.opaque");
        let made = Setup::read_or_make(&path, &mut OsRng).expect("made").0.serialize();
        assert_eq!(Setup::read_or_make(&path, &mut OsRng).expect("read").0.serialize(), made);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        }
        let whole = fs::read(&path).expect("read");
        for bad in [&whole[..whole.len() - 1], b"junk", &[whole.as_slice(), &[0]].concat()] {
            fs::write(&path, bad).expect("written");
            let error = Setup::read_or_make(&path, &mut OsRng).err().map(|error| error.kind());
            assert_eq!(error, Some(io::ErrorKind::InvalidData));
        }
    }
}
