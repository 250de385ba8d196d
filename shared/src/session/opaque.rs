//! The client's side of the password login: OPAQUE (RFC 9807), ristretto255, Argon2id.
//!
//! Beginning is quick. Finishing stretches the password and is slow by intent: callers run it where
//! nobody waits for a key press.

use crate::id::AccountName;
use crate::protocol::password::KE2;
use argon2::{Algorithm, Argon2, Params, Version};
use opaque_ke::key_exchange::tripledh::TripleDh;
use opaque_ke::{
    CipherSuite, ClientLogin, ClientLoginFinishParameters, ClientRegistration,
    ClientRegistrationFinishParameters, CredentialResponse, Identifiers, RegistrationResponse, Ristretto255,
};
use rand_core::CryptoRngCore;
use sha2::Sha512;
use zeroize::Zeroizing;

use super::vault::Cost;

pub(super) struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, Sha512>;
    type Ksf = Argon2<'static>;
}

/// What stretching a password costs: 64 MiB, three passes. Part of the protocol: a password that was
/// set at another cost is another password.
pub const COST: Cost = Cost { memory_kib: 64 * 1024, passes: 3, lanes: 1 };

/// Known to both sides when a password is right, and to nobody else: opens the backup. 64 bytes.
#[derive(Clone)]
pub struct ExportKey(pub(super) Zeroizing<[u8; 64]>);

impl std::fmt::Debug for ExportKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ExportKey(…)")
    }
}

/// Why a login or a registration does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another password, no such name, or not the relay that knows it: they look the same.
    #[error("wrong name or password")]
    Wrong,
    /// Bytes that are no message of OPAQUE, or a cost that Argon2 cannot spend.
    #[error("the relay's answer is malformed")]
    Malformed,
}

/// Whom and what a password is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The account.
    pub name: AccountName,
    /// The relay's fingerprint.
    pub relay: [u8; 32],
}

impl Bound {
    fn identifiers(&self) -> Identifiers<'_> {
        Identifiers { client: Some(self.name.as_str().as_bytes()), server: Some(&self.relay) }
    }
}

/// A password being set, between its two messages.
pub struct Registration {
    state: ClientRegistration<Suite>,
    password: Zeroizing<String>,
}

/// A password that was set.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The record for the relay: nothing in it tests a password without the relay's secret.
    pub record: Vec<u8>,
    /// Seals the backup.
    pub export: ExportKey,
}

impl Registration {
    /// The first message.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a password that OPAQUE cannot take (above 65,535 bytes).
    pub fn begin(password: Zeroizing<String>, rng: &mut dyn CryptoRngCore) -> Result<(Self, Vec<u8>), Error> {
        let mut rng = rng;
        let begun = ClientRegistration::<Suite>::start(&mut rng, password.as_bytes())
            .map_err(|_| Error::Malformed)?;
        Ok((Self { state: begun.state, password }, begun.message.serialize().to_vec()))
    }

    /// The record, from the relay's answer. Slow: stretches the password.
    ///
    /// # Errors
    /// [`Error`].
    pub fn finish(
        self,
        answer: &[u8],
        bound: &Bound,
        cost: Cost,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Registered, Error> {
        let answer = RegistrationResponse::deserialize(answer).map_err(|_| Error::Malformed)?;
        let (stretch, mut rng) = (argon2(cost)?, rng);
        let parameters = ClientRegistrationFinishParameters::new(bound.identifiers(), Some(&stretch));
        let done = self
            .state
            .finish(&mut rng, self.password.as_bytes(), answer, parameters)
            .map_err(|_| Error::Malformed)?;
        let mut export = Zeroizing::new([0; 64]);
        export.copy_from_slice(&done.export_key);
        Ok(Registered { record: done.message.serialize().to_vec(), export: ExportKey(export) })
    }
}

/// A login between KE1 and KE3.
pub struct Login {
    state: ClientLogin<Suite>,
    password: Zeroizing<String>,
}

/// A password that was right.
pub struct Proved {
    /// KE3 for the relay.
    pub ke3: Vec<u8>,
    /// Opens the backup.
    pub export: ExportKey,
}

impl Login {
    /// KE1.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a password that OPAQUE cannot take (above 65,535 bytes).
    pub fn begin(password: Zeroizing<String>, rng: &mut dyn CryptoRngCore) -> Result<(Self, Vec<u8>), Error> {
        let mut rng = rng;
        let begun =
            ClientLogin::<Suite>::start(&mut rng, password.as_bytes()).map_err(|_| Error::Malformed)?;
        Ok((Self { state: begun.state, password }, begun.message.serialize().to_vec()))
    }

    /// KE3, from KE2. Slow: stretches the password, for a wrong one as long. `exporter` is the TLS
    /// exporter of the connection.
    ///
    /// # Errors
    /// [`Error::Wrong`] for another password and for a name that nobody has.
    pub fn finish(
        self,
        ke2: &[u8],
        bound: &Bound,
        exporter: &[u8; 32],
        cost: Cost,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Proved, Error> {
        // What is behind a message would be passed over in silence.
        let ke2 = Some(ke2).filter(|ke2| ke2.len() == KE2).ok_or(Error::Malformed)?;
        let ke2 = CredentialResponse::deserialize(ke2).map_err(|_| Error::Malformed)?;
        let (stretch, mut rng) = (argon2(cost)?, rng);
        let parameters =
            ClientLoginFinishParameters::new(Some(exporter), bound.identifiers(), Some(&stretch));
        let done = self
            .state
            .finish(&mut rng, self.password.as_bytes(), ke2, parameters)
            .map_err(|_| Error::Wrong)?;
        let mut export = Zeroizing::new([0; 64]);
        export.copy_from_slice(&done.export_key);
        Ok(Proved { ke3: done.message.serialize().to_vec(), export: ExportKey(export) })
    }
}

macro_rules! secret_debug {
    ($($name:ident),*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )*};
}

secret_debug!(Registration, Login, Proved);

pub(super) fn argon2(cost: Cost) -> Result<Argon2<'static>, Error> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, None).map_err(|_| Error::Malformed)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}
