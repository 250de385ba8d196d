//! What others start a session with: the secret half of a prekey bundle, grown from a 32-byte seed.

use super::identity::Identity;
use crate::id::PrekeyId;
use crate::protocol::prekey::{Bundle, EK, Error, Kind};
use crate::time::Millis;
use hkdf::Hkdf;
use ml_kem::{Decapsulate, DecapsulationKey768, EncapsulationKey768, Key, KeyExport};
use rand_core::CryptoRngCore;
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// Bytes of an ML-KEM-768 ciphertext (FIPS 203, table 3).
pub const CT: usize = 1088;

/// The secrets behind one bundle. Wiped on drop.
pub(super) struct Secrets {
    x: StaticSecret,
    kem: DecapsulationKey768,
}

impl Secrets {
    /// Grows the X25519 secret and ML-KEM's `d ‖ z`.
    pub(super) fn grow(seed: &[u8; 32]) -> Self {
        let hkdf = Hkdf::<Sha256>::new(None, seed);
        let mut x = Zeroizing::new([0; 32]);
        let mut dz = Zeroizing::new([0; 64]);
        hkdf.expand(b"subrosa prekey x25519/1\0", x.as_mut()).expect("32 bytes are within HKDF's bound");
        hkdf.expand(b"subrosa prekey ml-kem/1\0", dz.as_mut()).expect("64 bytes are within HKDF's bound");
        let mut kem_seed = ml_kem::Seed::from(*dz);
        let kem = DecapsulationKey768::from_seed(kem_seed);
        zeroize::Zeroize::zeroize(kem_seed.as_mut_slice());
        Self { x: StaticSecret::from(*x), kem }
    }

    /// Noise's `s` on the responder's side.
    pub(super) fn x(&self) -> &[u8; 32] {
        self.x.as_bytes()
    }

    /// ML-KEM's shared secret; for a false ciphertext a secret that nobody else has.
    pub(super) fn decapsulate(&self, ct: &[u8; CT]) -> Zeroizing<[u8; 32]> {
        let mut shared = self.kem.decapsulate(&(*ct).into());
        let secret = Zeroizing::new(shared.into());
        zeroize::Zeroize::zeroize(shared.as_mut_slice());
        secret
    }

    /// The signed public half.
    pub(super) fn bundle(&self, identity: &Identity, id: PrekeyId, kind: Kind, not_after: Millis) -> Bundle {
        let x = PublicKey::from(&self.x).to_bytes();
        let ek = self.kem.encapsulation_key().to_bytes().to_vec();
        Bundle::sign(identity.signing(), id, kind, not_after, x, ek)
    }
}

/// A shared secret and the ciphertext that tells it to the owner of the key.
pub(super) struct Encapsulated {
    pub(super) ct: Box<[u8; CT]>,
    pub(super) secret: Zeroizing<[u8; 32]>,
}

/// Draws a secret for the owner of `ek`.
///
/// # Errors
/// [`Error::Malformed`] when `ek` fails FIPS 203's check of its form.
pub(super) fn encapsulate(ek: &[u8], rng: &mut dyn CryptoRngCore) -> Result<Encapsulated, Error> {
    let ek = encapsulation_key(ek)?;
    let mut m = ml_kem::B32::default();
    rng.fill_bytes(m.as_mut_slice());
    let (ct, mut shared) = ek.encapsulate_deterministic(&m);
    let secret = Zeroizing::new(shared.into());
    zeroize::Zeroize::zeroize(shared.as_mut_slice());
    zeroize::Zeroize::zeroize(m.as_mut_slice());
    Ok(Encapsulated { ct: Box::new(ct.into()), secret })
}

/// Checks the form of an encapsulation key (FIPS 203, section 7.2).
///
/// # Errors
/// [`Error::Malformed`].
pub(super) fn encapsulation_key(ek: &[u8]) -> Result<EncapsulationKey768, Error> {
    let ek: [u8; EK] = ek.try_into().map_err(|_| Error::Malformed)?;
    EncapsulationKey768::new(&Key::<EncapsulationKey768>::from(ek)).map_err(|_| Error::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    #[test]
    fn both_sides_have_the_same_secret() {
        let secrets = Secrets::grow(&[7; 32]);
        let ada = Identity::from_seed(&[1; 64]);
        let bundle = secrets.bundle(&ada, PrekeyId([2; 16]), Kind::OneTime, Millis(9));
        assert_eq!(bundle.verify(&ada.device(), Millis(9)), Ok(()));
        let drawn = encapsulate(&bundle.ek, &mut ChaCha20Rng::seed_from_u64(1));
        let Encapsulated { ct, secret } = drawn.expect("well formed");
        assert_eq!(*Secrets::grow(&[7; 32]).decapsulate(&ct), *secret);
        assert_ne!(*Secrets::grow(&[8; 32]).decapsulate(&ct), *secret, "another prekey");
    }

    #[test]
    fn an_encapsulation_key_with_coefficients_past_the_modulus_is_refused() {
        assert_eq!(encapsulation_key(&[0xff; EK]).err(), Some(Error::Malformed));
        assert_eq!(encapsulation_key(&[0; EK - 1]).err(), Some(Error::Malformed));
    }
}
