//! What tests a room's password, held by its members.

use super::{ID, Wrong, identifiers};
use crate::id::RoomTag;
use crate::protocol::password::RECORD;
use crate::session::opaque::{self, Suite};
use crate::session::vault::Cost;
use opaque_ke::{ClientRegistration, ClientRegistrationFinishParameters, ServerRegistration, ServerSetup};
use rand_core::CryptoRngCore;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of a lock.
pub const LOCK: usize = SETUP + RECORD;

/// OPAQUE's server setup and its one record.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Lock([u8; LOCK]);

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

    /// What the room's log says of it: see [`crate::session::roomlog::Terms::password`].
    pub fn hash(&self) -> [u8; 32] {
        Sha256::new().chain_update(b"subrosa door lock/1\0").chain_update(self.0).finalize().into()
    }

    pub(super) fn open(&self) -> Result<(ServerSetup<Suite>, ServerRegistration<Suite>), Wrong> {
        let setup = ServerSetup::deserialize(&self.0[..SETUP]).map_err(|_| Wrong)?;
        Ok((setup, ServerRegistration::deserialize(&self.0[SETUP..]).map_err(|_| Wrong)?))
    }
}

/// OPRF seed 64 ‖ secret key 32 ‖ public key of names without a record 32.
const SETUP: usize = 128;
