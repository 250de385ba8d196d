//! Coming into a room by a link: what who knocks and a member say to each other, past a relay that may
//! not learn it, with a password that neither the relay nor a thief of the link can test alone.
//!
//! ```text
//! L         128 random bits in the link; door id = first 16 B of HKDF-SHA256(L; "subrosa door id/1")
//! knock     number (16, random) ‖ sealed 1: name ‖ root ‖ certificate ‖ since when ‖ password? KE1
//! answer    number (16, random) ‖ sealed 2: welcome | refused, why | KE2 ‖ guesses that are left
//! proof     sealed 3: KE3 ‖ sealed under OPAQUE's session key: the visitor's prekey bundle; nothing
//!           for a password that the visitor sees to be wrong
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
use crate::protocol::password::KE2;
use crate::time::Millis;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use hkdf::Hkdf;
use opaque_ke::{ClientLogin, ClientLoginFinishParameters, CredentialResponse, Identifiers};
use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

mod lock;
mod member;

pub use lock::{LOCK, Lock};
pub use member::{Challenged, Heard, Judge};

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
    /// Since when they want to come in, by their clock: longer than this knock, when it had to be made
    /// again.
    pub since: Millis,
}

/// Who knocks, by the own word.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The own account.
    pub name: &'a AccountName,
    /// Its root identity key.
    pub root: &'a [u8; 32],
    /// Of the own device.
    pub cert: &'a Cert,
    /// See [`Visitor::since`].
    pub since: Millis,
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
    /// One was given, and there is none any more: who answers can prove nothing by it.
    #[error("that room asks for no password any more; join again without one")]
    NoPassword,
}

/// Not made with that link's secret, changed on the way, or out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message of that link, or changed on the way")]
pub struct Wrong;

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
    waiting: Waiting,
    room: RoomTag,
    login: ClientLogin<Suite>,
    password: Zeroizing<String>,
    ke2: Vec<u8>,
    left: u8,
}

/// An answer to a [`Challenge`].
pub struct Proof {
    /// For the member.
    pub message: Vec<u8>,
    /// It was the password, and a member asked. If not, the message says so to whoever asked.
    pub right: bool,
    /// For the verdict.
    pub waiting: Waiting,
}

/// Somebody who has answered a challenge and waits for the verdict.
pub struct Waiting {
    secret: Secret,
    context: Vec<u8>,
    numbers: [u8; 32],
}

impl Knocking {
    /// Knocks, with a password if there is one.
    ///
    /// # Errors
    /// [`Wrong`] for a password that OPAQUE cannot take (above 65,535 bytes).
    pub fn begin(
        secret: &Secret,
        at: &At,
        caller: Caller<'_>,
        password: Option<Zeroizing<String>>,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<(Vec<u8>, Self), Wrong> {
        let mut rng = rng;
        let Caller { name, root, cert, since } = caller;
        let device = device_of(cert);
        let mut number = [0; 16];
        rng.fill_bytes(&mut number);
        let (mut ke1, mut login) = (None, None);
        if let Some(password) = password {
            let begun = ClientLogin::start(&mut rng, password.as_bytes()).map_err(|_| Wrong)?;
            ke1 = Some(begun.message.serialize().to_vec());
            login = Some((begun.state, password));
        }
        let says = Says { name: name.clone(), root: *root, cert: cert.clone(), since, ke1 };
        let context = context(at, &secret.door(), &device);
        let sealed = seal(&secret.cipher(&number, 1), &context, &encode(&says));
        let message = [&number[..], &sealed].concat();
        let knocking = Self { secret: secret.clone(), context, room: at.room, number, password: login };
        Ok((message, knocking))
    }

    /// Whether a password was given that was not asked for yet.
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// Takes what a member answered; after something made up it waits on.
    ///
    /// # Errors
    /// [`Wrong`], also for a challenge to who gave no password.
    pub fn answered(&mut self, message: &[u8]) -> Result<Answer, Wrong> {
        let (theirs, sealed) = split(message)?;
        let numbers = both(&self.number, &theirs);
        let opened = open(&self.secret.cipher(&numbers, 2), &self.context, sealed)?;
        match decode(&opened)? {
            Answered::Verdict(verdict) => Ok(Answer::Verdict(verdict)),
            // What is behind a message would be passed over in silence.
            Answered::Challenge(ke2, left) if ke2.len() == KE2 => {
                let (login, password) = self.password.take().ok_or(Wrong)?;
                let (secret, context) = (self.secret.clone(), self.context.clone());
                let waiting = Waiting { secret, context, numbers };
                let challenge = Challenge { waiting, room: self.room, login, password, ke2, left };
                Ok(Answer::Challenge(Box::new(challenge)))
            }
            Answered::Challenge(..) => Err(Wrong),
        }
    }
}

impl Challenge {
    /// How many guesses are left at that room within the hour after this one, as the member counts.
    pub fn left(&self) -> u8 {
        self.left
    }

    /// Proves the password and hands the bundle over, sealed for who has the lock. Slow, for a wrong
    /// password as long.
    pub fn prove(self, bundle: &[u8], cost: Cost, rng: &mut dyn CryptoRngCore) -> Proof {
        let Self { waiting, room, login, password, ke2, left: _ } = self;
        let Waiting { secret, context, numbers } = &waiting;
        let proved = prove(context, numbers, (login, &password, &ke2), &room, bundle, cost, rng);
        let right = proved.is_some();
        let says = proved.unwrap_or_default();
        Proof { message: seal(&secret.cipher(numbers, 3), context, &says), right, waiting }
    }
}

/// `None`: not the password, or not a member who asked.
fn prove(
    context: &[u8],
    numbers: &[u8; 32],
    (login, password, ke2): (ClientLogin<Suite>, &str, &[u8]),
    room: &RoomTag,
    bundle: &[u8],
    cost: Cost,
    rng: &mut dyn CryptoRngCore,
) -> Option<Vec<u8>> {
    let mut rng = rng;
    let stretch = opaque::argon2(cost).ok()?;
    let ke2 = CredentialResponse::deserialize(ke2).ok()?;
    let bound = [context, numbers].concat();
    let params = ClientLoginFinishParameters::new(Some(&bound), identifiers(room), Some(&stretch));
    let done = login.finish(&mut rng, password.as_bytes(), ke2, params).ok()?;
    let mut proof = done.message.serialize().to_vec();
    proof.extend(seal(&session_cipher(&done.session_key), context, bundle));
    Some(proof)
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

/// Inside a knock.
#[derive(Serialize, Deserialize)]
struct Says {
    name: AccountName,
    root: [u8; 32],
    cert: Cert,
    since: Millis,
    ke1: Option<Vec<u8>>,
}

/// Inside an answer.
#[derive(Serialize, Deserialize)]
enum Answered {
    Verdict(Verdict),
    /// KE2, and how many guesses are left.
    Challenge(Vec<u8>, u8),
}

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

/// These bytes, whatever they are, sealed as the message of that step: what whoever holds a link can do. For the
/// fuzz targets.
#[doc(hidden)]
pub fn sealed(
    secret: &Secret,
    at: &At,
    device: &DeviceId,
    numbers: &[u8],
    step: u8,
    bytes: &[u8],
) -> Vec<u8> {
    seal(&secret.cipher(numbers, step), &context(at, &secret.door(), device), bytes)
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

quiet_debug!(Secret, Lock, Knocking, Answer, Challenge, Proof, Waiting, Heard, Challenged, Judge);

#[cfg(test)]
mod tests;
