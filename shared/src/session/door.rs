//! Coming into a room by a link: what who knocks and a member say to each other, past a relay that may
//! not learn it, with a password that neither the relay nor a thief of the link can test alone.
//!
//! ```text
//! L         128 random bits in the link; door id = first 16 B of HKDF-SHA256(L; "subrosa door id/1")
//! knock     number (16, random) ‖ sealed 1: name ‖ root ‖ certificate ‖ password? KE1
//! answer    number (16, random) ‖ sealed 2: welcome | refused, why | KE2
//! proof     sealed 3: KE3 ‖ sealed under OPAQUE's session key: the visitor's prekey bundle
//! verdict   sealed 4: welcome | refused, why
//! sealed n  AES-256-GCM, key = HKDF-SHA256(L, salt = both numbers (the knock: its own);
//!           "subrosa door seal/1" ‖ n), nonce zero (a key seals once), AD = context
//! context   "subrosa door/1\0" ‖ relay fingerprint ‖ room tag ‖ door id ‖ visitor's device id
//! OPAQUE    RFC 9807 as at login, the member plays the server: client "subrosa door visitor", server =
//!           room tag, context = context ‖ both numbers, stretched by Argon2id on the visitor's side
//! lock      OPAQUE's server setup (128) ‖ record (192): made by who sets the password, held by members
//! ```
//! Without L nothing opens and nothing can be made. With L, but without the lock, one password a knock
//! can be tried, and a member has to answer; members and relay count these tries. Whoever holds the
//! lock can test passwords alone: it goes to members only, and the log names its hash.

use super::opaque::{self, Suite};
use super::vault::Cost;
use crate::id::{AccountName, DeviceId, DoorId, RoomTag};
use crate::protocol::auth::{Cert, Peer};
use crate::protocol::password::{KE1, KE2, KE3, RECORD};
use crate::protocol::prekey::BUNDLE_MAX;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use hkdf::Hkdf;
use opaque_ke::{
    ClientLogin, ClientLoginFinishParameters, ClientRegistration, ClientRegistrationFinishParameters,
    CredentialFinalization, CredentialRequest, CredentialResponse, Identifiers, ServerLogin,
    ServerLoginParameters, ServerRegistration, ServerSetup,
};
use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes of a lock.
pub const LOCK: usize = SETUP + RECORD;

/// The longest message here.
pub const MESSAGE_MAX: usize = 4 * 1024;

/// The secret of a link.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 16]);

/// Where a door is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// The relay's fingerprint.
    pub relay: [u8; 32],
    /// The room.
    pub room: RoomTag,
}

/// Who knocks. The certificate is verified, the rest is the visitor's word: the member asks the relay
/// for the account's list of devices, which must begin at that root and hold that device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// Their account.
    pub name: AccountName,
    /// The root identity key of their account.
    pub root: [u8; 32],
    /// The device that knocks.
    pub peer: Peer,
}

/// What a member says in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// A member lets them in: the invitation comes in a message of its own.
    Welcome,
    /// Not, because of this.
    Refused(Why),
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Why {
    /// The link was taken back, replaced, used by another, or its time is over.
    #[error("that link is no longer valid; ask for a new one")]
    NoDoor,
    /// Not the password.
    #[error("that is not the room's password")]
    Wrong,
    /// None was given.
    #[error("that room has a password; join again and give it")]
    NeedsPassword,
    /// Too many wrong ones from anybody.
    #[error("too many passwords were tried at that room; wait an hour")]
    TooMany,
    /// Banned.
    #[error("that room does not let you in")]
    Banned,
    /// As many as there may be.
    #[error("that room is full")]
    Full,
}

/// Not made with that link's secret, changed on the way, or out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message of that link, or changed on the way")]
pub struct Wrong;

/// What tests a password, held by members: OPAQUE's server setup and its one record.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Lock([u8; LOCK]);

impl Secret {
    /// A fresh one.
    pub fn draw(rng: &mut dyn CryptoRngCore) -> Self {
        let mut secret = Self([0; 16]);
        rng.fill_bytes(&mut secret.0);
        secret
    }

    /// As it came in a link or a message.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// To be put in a link or a message.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The door that the relay knows; nothing of the secret can be told from it.
    pub fn door(&self) -> DoorId {
        let mut door = [0; 16];
        self.expand(&[], &[b"subrosa door id/1"], &mut door);
        DoorId(door)
    }

    fn expand(&self, salt: &[u8], info: &[&[u8]], out: &mut [u8]) {
        let derived = Hkdf::<Sha256>::new(Some(salt).filter(|salt| !salt.is_empty()), &self.0);
        derived.expand_multi_info(info, out).expect("32 bytes are not too many");
    }

    fn cipher(&self, numbers: &[u8], step: u8) -> Aes256Gcm {
        let mut key = Zeroizing::new([0; 32]);
        self.expand(numbers, &[b"subrosa door seal/1", &[step]], key.as_mut());
        Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(key.as_ref()))
    }
}

impl Lock {
    /// For this password, in this room. Slow: stretches the password.
    ///
    /// # Errors
    /// Those of OPAQUE, for a password that it cannot take.
    pub fn make(
        password: &str,
        room: RoomTag,
        cost: Cost,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Self, opaque::Error> {
        let (mut rng, malformed) = (rng, |_| opaque::Error::Malformed);
        let stretch = opaque::argon2(cost)?;
        let setup = ServerSetup::<Suite>::new(&mut rng);
        let begun = ClientRegistration::<Suite>::start(&mut rng, password.as_bytes()).map_err(malformed)?;
        let reply = ServerRegistration::start(&setup, begun.message, ID).map_err(malformed)?;
        let params = ClientRegistrationFinishParameters::new(identifiers(&room), Some(&stretch));
        let done = begun.state.finish(&mut rng, password.as_bytes(), reply.message, params);
        let mut lock = Self([0; LOCK]);
        lock.0[..SETUP].copy_from_slice(&setup.serialize());
        lock.0[SETUP..].copy_from_slice(&done.map_err(malformed)?.message.serialize());
        Ok(lock)
    }

    /// As it came inside a message.
    ///
    /// # Errors
    /// [`Wrong`], when it is none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Wrong> {
        let lock = Self(bytes.try_into().map_err(|_| Wrong)?);
        lock.open().map(|_| ())?;
        Ok(lock)
    }

    /// To be put inside a message.
    pub fn as_bytes(&self) -> &[u8; LOCK] {
        &self.0
    }

    /// What the room's log says of it: see [`super::roomlog::Terms::password`].
    pub fn hash(&self) -> [u8; 32] {
        Sha256::new().chain_update(b"subrosa door lock/1\0").chain_update(self.0).finalize().into()
    }

    fn open(&self) -> Result<(ServerSetup<Suite>, ServerRegistration<Suite>), Wrong> {
        let setup = ServerSetup::deserialize(&self.0[..SETUP]).map_err(|_| Wrong)?;
        Ok((setup, ServerRegistration::deserialize(&self.0[SETUP..]).map_err(|_| Wrong)?))
    }
}

/// Somebody who has knocked and waits for an answer.
pub struct Knocking {
    secret: Secret,
    context: Vec<u8>,
    room: RoomTag,
    number: [u8; 16],
    password: Option<(ClientLogin<Suite>, Zeroizing<String>)>,
}

/// What a member answered.
pub enum Answer {
    /// The end of it.
    Verdict(Verdict),
    /// The password is to be proved.
    Challenge(Box<Challenge>),
}

/// What the password is proved by; slow to answer.
pub struct Challenge {
    knocking: Knocking,
    numbers: [u8; 32],
    ke2: Vec<u8>,
}

/// Somebody who has proved a password and waits for the verdict.
pub struct Waiting {
    secret: Secret,
    context: Vec<u8>,
    numbers: [u8; 32],
}

impl Knocking {
    /// Knocks, with a password if the link says that there is one.
    ///
    /// # Errors
    /// [`Wrong`] for a password that OPAQUE cannot take (above 65,535 bytes).
    pub fn begin(
        secret: &Secret,
        at: &At,
        (name, root, cert): (&AccountName, &[u8; 32], &Cert),
        password: Option<Zeroizing<String>>,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<(Vec<u8>, Self), Wrong> {
        let mut rng = rng;
        let device = device_of(cert);
        let mut number = [0; 16];
        rng.fill_bytes(&mut number);
        let (mut ke1, mut login) = (None, None);
        if let Some(password) = password {
            let begun = ClientLogin::start(&mut rng, password.as_bytes()).map_err(|_| Wrong)?;
            ke1 = Some(begun.message.serialize().to_vec());
            login = Some((begun.state, password));
        }
        let says = Says { name: name.clone(), root: *root, cert: cert.clone(), ke1 };
        let context = context(at, &secret.door(), &device);
        let sealed = seal(&secret.cipher(&number, 1), &context, &encode(&says));
        let message = [&number[..], &sealed].concat();
        let knocking = Self { secret: secret.clone(), context, room: at.room, number, password: login };
        Ok((message, knocking))
    }

    /// Takes what a member answered.
    ///
    /// # Errors
    /// [`Wrong`].
    pub fn answered(self, message: &[u8]) -> Result<Answer, Wrong> {
        let (theirs, sealed) = split(message)?;
        let numbers = both(&self.number, &theirs);
        let opened = open(&self.secret.cipher(&numbers, 2), &self.context, sealed)?;
        match decode(&opened)? {
            Answered::Verdict(verdict) => Ok(Answer::Verdict(verdict)),
            // What is behind a message would be passed over in silence.
            Answered::Challenge(ke2) if ke2.len() == KE2 && self.password.is_some() => {
                Ok(Answer::Challenge(Box::new(Challenge { knocking: self, numbers, ke2 })))
            }
            Answered::Challenge(_) => Err(Wrong),
        }
    }
}

impl Challenge {
    /// Proves the password and hands the bundle over, sealed for who has the lock. Slow, for a wrong
    /// password as long.
    ///
    /// # Errors
    /// [`Why::Wrong`] when it is not the password, or not a member who answered.
    pub fn prove(
        self,
        bundle: &[u8],
        cost: Cost,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<(Vec<u8>, Waiting), Why> {
        let Self { knocking: Knocking { secret, context, room, password, .. }, numbers, ke2 } = self;
        let (mut rng, (login, password)) = (rng, password.ok_or(Why::NeedsPassword)?);
        let stretch = opaque::argon2(cost).map_err(|_| Why::Wrong)?;
        let ke2 = CredentialResponse::deserialize(&ke2).map_err(|_| Why::Wrong)?;
        let bound = [context.as_slice(), &numbers].concat();
        let params = ClientLoginFinishParameters::new(Some(&bound), identifiers(&room), Some(&stretch));
        let done = login.finish(&mut rng, password.as_bytes(), ke2, params).map_err(|_| Why::Wrong)?;
        let mut proof = done.message.serialize().to_vec();
        proof.extend(seal(&session_cipher(&done.session_key), &context, bundle));
        let message = seal(&secret.cipher(&numbers, 3), &context, &proof);
        Ok((message, Waiting { secret, context, numbers }))
    }
}

impl Waiting {
    /// Takes what the member said in the end.
    ///
    /// # Errors
    /// [`Wrong`].
    pub fn verdict(&self, message: &[u8]) -> Result<Verdict, Wrong> {
        let opened = open(&self.secret.cipher(&self.numbers, 4), &self.context, message)?;
        decode(&opened)
    }
}

/// A knock that a member heard.
pub struct Heard {
    secret: Secret,
    context: Vec<u8>,
    room: RoomTag,
    numbers: [u8; 32],
    ke1: Option<Vec<u8>>,
    visitor: Visitor,
}

/// The same after it was answered with a challenge: one guess.
pub struct Challenged {
    secret: Secret,
    context: Vec<u8>,
    numbers: [u8; 32],
    login: ServerLogin<Suite>,
    room: RoomTag,
    visitor: Visitor,
}

impl Heard {
    /// Opens a knock. `from` is the device and account that the relay says it came from.
    ///
    /// # Errors
    /// [`Wrong`], also when the relay says it of another.
    pub fn open(
        secret: &Secret,
        at: &At,
        (device, name): (&DeviceId, &AccountName),
        message: &[u8],
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Self, Wrong> {
        let (theirs, sealed) = split(message)?;
        let context = context(at, &secret.door(), device);
        let says: Says = decode(&open(&secret.cipher(&theirs, 1), &context, sealed)?)?;
        let peer = says.cert.verify().map_err(|_| Wrong)?;
        let whole = says.ke1.as_ref().is_none_or(|ke1| ke1.len() == KE1);
        if peer.device() != *device || says.name != *name || !whole {
            return Err(Wrong);
        }
        let mut own = [0; 16];
        rng.fill_bytes(&mut own);
        let visitor = Visitor { name: says.name, root: says.root, peer };
        let numbers = both(&theirs, &own);
        Ok(Self { secret: secret.clone(), context, room: at.room, numbers, ke1: says.ke1, visitor })
    }

    /// Who knocks.
    pub fn visitor(&self) -> &Visitor {
        &self.visitor
    }

    /// Whether they would prove a password.
    pub fn has_password(&self) -> bool {
        self.ke1.is_some()
    }

    /// The end of it, without a password.
    pub fn verdict(&self, verdict: Verdict) -> Vec<u8> {
        self.answer(&Answered::Verdict(verdict))
    }

    /// Asks for a proof of the password: one guess, to be counted before it is sent.
    ///
    /// # Errors
    /// [`Wrong`].
    pub fn challenge(self, lock: &Lock, rng: &mut dyn CryptoRngCore) -> Result<(Vec<u8>, Challenged), Wrong> {
        let mut rng = rng;
        let (setup, record) = lock.open()?;
        let ke1 = self.ke1.as_deref().ok_or(Wrong)?;
        let ke1 = CredentialRequest::deserialize(ke1).map_err(|_| Wrong)?;
        let bound = [self.context.as_slice(), &self.numbers].concat();
        let params = ServerLoginParameters { context: Some(&bound), identifiers: identifiers(&self.room) };
        let started = ServerLogin::start(&mut rng, &setup, Some(record), ke1, ID, params);
        let started = started.map_err(|_| Wrong)?;
        let message = self.answer(&Answered::Challenge(started.message.serialize().to_vec()));
        let Self { secret, context, room, numbers, visitor, .. } = self;
        Ok((message, Challenged { secret, context, numbers, login: started.state, room, visitor }))
    }

    fn answer(&self, answered: &Answered) -> Vec<u8> {
        let sealed = seal(&self.secret.cipher(&self.numbers, 2), &self.context, &encode(answered));
        [&self.numbers[16..], &sealed].concat()
    }
}

impl Challenged {
    /// Who knocks.
    pub fn visitor(&self) -> &Visitor {
        &self.visitor
    }

    /// Checks the proof: the visitor's bundle, when the password was right.
    pub fn finish(self, message: &[u8]) -> (Option<Zeroizing<Vec<u8>>>, Judge) {
        let judge =
            Judge { secret: self.secret.clone(), context: self.context.clone(), numbers: self.numbers };
        (self.proved(message).ok(), judge)
    }

    fn proved(self, message: &[u8]) -> Result<Zeroizing<Vec<u8>>, Wrong> {
        let proof = open(&self.secret.cipher(&self.numbers, 3), &self.context, message)?;
        let (ke3, sealed) = proof.split_at_checked(KE3).ok_or(Wrong)?;
        let ke3 = CredentialFinalization::deserialize(ke3).map_err(|_| Wrong)?;
        let bound = [self.context.as_slice(), &self.numbers].concat();
        let params = ServerLoginParameters { context: Some(&bound), identifiers: identifiers(&self.room) };
        let done = self.login.finish(ke3, params).map_err(|_| Wrong)?;
        let bundle = open(&session_cipher(&done.session_key), &self.context, sealed)?;
        if bundle.len() <= BUNDLE_MAX { Ok(bundle) } else { Err(Wrong) }
    }
}

/// Says the last word to somebody who proved, or failed to.
pub struct Judge {
    secret: Secret,
    context: Vec<u8>,
    numbers: [u8; 32],
}

impl Judge {
    /// Once.
    pub fn verdict(self, verdict: Verdict) -> Vec<u8> {
        seal(&self.secret.cipher(&self.numbers, 4), &self.context, &encode(&verdict))
    }
}

/// Inside a knock.
#[derive(Serialize, Deserialize)]
struct Says {
    name: AccountName,
    root: [u8; 32],
    cert: Cert,
    ke1: Option<Vec<u8>>,
}

/// Inside an answer.
#[derive(Serialize, Deserialize)]
enum Answered {
    Verdict(Verdict),
    Challenge(Vec<u8>),
}

/// OPRF seed 64 ‖ secret key 32 ‖ public key of names without a record 32.
const SETUP: usize = 128;

/// The one record of a lock.
const ID: &[u8] = b"subrosa door";

fn identifiers(room: &RoomTag) -> Identifiers<'_> {
    Identifiers { client: Some(b"subrosa door visitor"), server: Some(&room.0) }
}

fn context(at: &At, door: &DoorId, device: &DeviceId) -> Vec<u8> {
    [b"subrosa door/1\0".as_slice(), &at.relay, &at.room.0, &door.0, &device.0].concat()
}

fn device_of(cert: &Cert) -> DeviceId {
    let mut identity = [0; 32];
    identity.copy_from_slice(&cert.0[..32]);
    DeviceId::of(&identity)
}

fn split(message: &[u8]) -> Result<([u8; 16], &[u8]), Wrong> {
    if message.len() > MESSAGE_MAX {
        return Err(Wrong);
    }
    let (number, sealed) = message.split_first_chunk::<16>().ok_or(Wrong)?;
    Ok((*number, sealed))
}

fn both(visitor: &[u8; 16], member: &[u8; 16]) -> [u8; 32] {
    let mut numbers = [0; 32];
    numbers[..16].copy_from_slice(visitor);
    numbers[16..].copy_from_slice(member);
    numbers
}

fn session_cipher(session: &[u8]) -> Aes256Gcm {
    let mut key = Zeroizing::new([0; 32]);
    let derived = Hkdf::<Sha256>::new(None, session);
    derived.expand(b"subrosa door proof/1", key.as_mut()).expect("32 bytes are not too many");
    Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(key.as_ref()))
}

fn seal(cipher: &Aes256Gcm, context: &[u8], says: &[u8]) -> Vec<u8> {
    let payload = Payload { msg: says, aad: context };
    cipher.encrypt(&Nonce::default(), payload).expect("a few kilobytes are not too many")
}

fn open(cipher: &Aes256Gcm, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Wrong> {
    if sealed.len() > MESSAGE_MAX {
        return Err(Wrong);
    }
    let payload = Payload { msg: sealed, aad: context };
    cipher.decrypt(&Nonce::default(), payload).map(Zeroizing::new).map_err(|_| Wrong)
}

fn encode<T: Serialize>(says: &T) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(postcard::to_stdvec(says).expect("plain fields serialise"))
}

fn decode<T: for<'a> Deserialize<'a>>(opened: &[u8]) -> Result<T, Wrong> {
    match postcard::take_from_bytes(opened) {
        Ok((says, [])) => Ok(says),
        _ => Err(Wrong),
    }
}

macro_rules! quiet_debug {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )*};
}

quiet_debug!(Secret, Lock, Knocking, Answer, Challenge, Waiting, Heard, Challenged, Judge);

#[cfg(test)]
mod tests;
