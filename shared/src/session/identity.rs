//! The two long-lived keys of this device.

use crate::id::{AccountName, DeviceId};
use crate::protocol::auth::{Cert, Login, Peer};
use crate::protocol::devices::{self, DeviceList, Version};
use ed25519_dalek::{Signer, SigningKey};
use rand_core::CryptoRngCore;
use std::fmt;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// An Ed25519 identity key, which signs, and an X25519 Noise static key, which agrees on keys. They
/// are drawn apart and never converted into each other. Both are wiped on drop.
pub struct Identity {
    signing: SigningKey,
    noise: StaticSecret,
    peer: Peer,
}

impl Identity {
    /// A new device.
    pub fn generate(rng: &mut dyn CryptoRngCore) -> Self {
        let mut seed = Zeroizing::new([0; 64]);
        rng.fill_bytes(seed.as_mut());
        Self::from_seed(&seed)
    }

    /// IK's seed ‖ NK's secret, for the sealed store.
    pub fn seed(&self) -> Zeroizing<[u8; 64]> {
        let mut seed = Zeroizing::new([0; 64]);
        seed[..32].copy_from_slice(self.signing.as_bytes());
        seed[32..].copy_from_slice(self.noise.as_bytes());
        seed
    }

    /// The device whose [`Identity::seed`] this is.
    pub fn from_seed(seed: &[u8; 64]) -> Self {
        let (mut ik, mut nk) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
        ik.copy_from_slice(&seed[..32]);
        nk.copy_from_slice(&seed[32..]);
        let signing = SigningKey::from_bytes(&ik);
        let noise = StaticSecret::from(*nk);
        let peer =
            Peer { identity: signing.verifying_key().to_bytes(), noise: PublicKey::from(&noise).to_bytes() };
        Self { signing, noise, peer }
    }

    /// What others verify it by.
    pub fn cert(&self) -> Cert {
        Cert::sign(&self.signing, &self.peer.noise)
    }

    /// This device as others see it.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Its id.
    pub fn device(&self) -> DeviceId {
        self.peer.device()
    }

    /// A login at the relay with this fingerprint, on the connection with this exporter value.
    pub fn login(&self, name: AccountName, register: bool, relay: &[u8; 32], exporter: &[u8; 32]) -> Login {
        Login::sign(name, register, self.cert(), &self.signing, relay, exporter)
    }

    /// Signs; every text begins with a label of its own and has its lengths in it.
    pub(in crate::session) fn sign(&self, text: &[u8]) -> [u8; 64] {
        self.signing.sign(text).to_bytes()
    }

    /// The first version of this account's device list: this device alone.
    pub fn begins(&self, name: &AccountName) -> Version {
        DeviceList::genesis(name, &self.cert(), &self.signing)
    }

    /// The next version of a list, with one more device.
    ///
    /// # Errors
    /// Those of [`DeviceList::add`].
    pub fn adds(&self, list: &DeviceList, cert: &Cert) -> Result<Version, devices::Error> {
        list.add(cert, &self.signing)
    }

    /// The next version of a list, without a device.
    ///
    /// # Errors
    /// Those of [`DeviceList::remove`].
    pub fn removes(&self, list: &DeviceList, device: &DeviceId) -> Result<Version, devices::Error> {
        list.remove(device, &self.signing)
    }

    /// The next version of a list, with another recovery key.
    ///
    /// # Errors
    /// Those of [`DeviceList::set_recovery`].
    pub fn recovers(&self, list: &DeviceList, key: Option<[u8; 32]>) -> Result<Version, devices::Error> {
        list.set_recovery(key, &self.signing)
    }

    /// Signs bundles.
    pub(super) fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// Noise's `s` on the initiator's side.
    pub(super) fn noise(&self) -> &[u8; 32] {
        self.noise.as_bytes()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("device", &self.device()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    #[test]
    fn the_seed_brings_the_same_device_back() {
        let ada = Identity::generate(&mut ChaCha20Rng::seed_from_u64(1));
        let again = Identity::from_seed(&ada.seed());
        assert_eq!(again.cert(), ada.cert());
        assert_eq!(again.cert().verify(), Ok(ada.peer()));
        assert_eq!(again.device(), ada.device());
        assert_ne!(ada.seed()[..32], ada.seed()[32..], "the keys are drawn apart");
    }

    #[test]
    fn a_login_verifies() {
        let ada = Identity::generate(&mut ChaCha20Rng::seed_from_u64(1));
        let login = ada.login(AccountName::parse("ada").expect("valid"), true, &[1; 32], &[2; 32]);
        assert_eq!(login.verify(&[1; 32], &[2; 32]), Ok(ada.peer()));
    }

    #[test]
    fn debug_shows_no_secret() {
        let ada = Identity::from_seed(&[0xAB; 64]);
        assert_eq!(format!("{ada:?}"), format!("Identity {{ device: {:?}, .. }}", ada.device()));
    }
}
