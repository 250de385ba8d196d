//! A member's side of a door: hears who knocks, asks for the password, says the last word.

use super::{
    Answered, At, ID, Lock, Says, Secret, Verdict, Visitor, Wrong, both, context, decode, encode,
    identifiers, open, seal, session_cipher, split,
};
use crate::id::{AccountName, DeviceId, RoomTag};
use crate::protocol::password::{KE1, KE3};
use crate::protocol::prekey::BUNDLE_MAX;
use crate::session::opaque::Suite;
use opaque_ke::{CredentialFinalization, CredentialRequest, ServerLogin, ServerLoginParameters};
use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

/// A knock that a member heard.
pub struct Heard {
    secret: Secret,
    context: Vec<u8>,
    room: RoomTag,
    pub(super) numbers: [u8; 32],
    ke1: Option<Vec<u8>>,
    visitor: Visitor,
}

/// The same after it was answered with a challenge: one guess.
pub struct Challenged {
    secret: Secret,
    pub(super) context: Vec<u8>,
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
        let visitor = Visitor { name: says.name, root: says.root, peer, since: says.since };
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

    /// Asks for a proof of the password: one guess, to be counted before it is sent. So many are `left`.
    ///
    /// # Errors
    /// [`Wrong`].
    pub fn challenge(
        self,
        lock: &Lock,
        left: u8,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<(Vec<u8>, Challenged), Wrong> {
        let mut rng = rng;
        let (setup, record) = lock.open()?;
        let ke1 = self.ke1.as_deref().ok_or(Wrong)?;
        let ke1 = CredentialRequest::deserialize(ke1).map_err(|_| Wrong)?;
        let bound = [self.context.as_slice(), &self.numbers].concat();
        let params = ServerLoginParameters { context: Some(&bound), identifiers: identifiers(&self.room) };
        let started = ServerLogin::start(&mut rng, &setup, Some(record), ke1, ID, params);
        let started = started.map_err(|_| Wrong)?;
        let message = self.answer(&Answered::Challenge(started.message.serialize().to_vec(), left));
        let Self { secret, context, room, numbers, visitor, .. } = self;
        Ok((message, Challenged { secret, context, numbers, login: started.state, room, visitor }))
    }

    pub(super) fn answer(&self, answered: &Answered) -> Vec<u8> {
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
        let judge = self.judge();
        (self.proved(message).ok(), judge)
    }

    /// No proof came.
    pub fn give_up(self) -> Judge {
        self.judge()
    }

    fn judge(&self) -> Judge {
        Judge { secret: self.secret.clone(), context: self.context.clone(), numbers: self.numbers }
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
