//! Who a device is: its certificate, and the login that proves it holds the key.

use crate::id::{AccountName, DeviceId};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The TLS exporter's label; its context is empty, its output 32 bytes.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-subrosa-login/1";

/// `IK.pk ‖ NK.pk ‖ Sig_IK("subrosa noise-static/1\0" ‖ NK.pk)`: an Ed25519 identity and the X25519
/// Noise static key that it vouches for. 128 bytes, not yet verified.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cert(#[serde(with = "bytes128")] pub [u8; 128]);

/// A certificate whose signature verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Peer {
    /// Ed25519 identity key.
    pub identity: [u8; 32],
    /// X25519 Noise static key.
    pub noise: [u8; 32],
}

impl Peer {
    /// The device that this identity names.
    pub fn device(&self) -> DeviceId {
        DeviceId::of(&self.identity)
    }
}

/// A signature that does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

impl Cert {
    /// Signs a Noise static key.
    pub fn sign(identity: &SigningKey, noise: &[u8; 32]) -> Self {
        let mut cert = [0; 128];
        cert[..32].copy_from_slice(identity.verifying_key().as_bytes());
        cert[32..64].copy_from_slice(noise);
        cert[64..].copy_from_slice(&identity.sign(&cert_text(noise)).to_bytes());
        Self(cert)
    }

    /// Verifies strictly (no small-order keys, no malleable signatures).
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self) -> Result<Peer, BadSignature> {
        let mut peer = Peer { identity: [0; 32], noise: [0; 32] };
        peer.identity.copy_from_slice(&self.0[..32]);
        peer.noise.copy_from_slice(&self.0[32..64]);
        verify(&peer.identity, &cert_text(&peer.noise), &self.0[64..])?;
        Ok(peer)
    }
}

impl fmt::Debug for Cert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cert({}…)", data_encoding::HEXLOWER.encode(&self.0[..4]))
    }
}

/// A login, or the registration of a free name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The account.
    pub name: AccountName,
    /// Take the name if it is free. Without this an unknown name is refused.
    pub register: bool,
    /// The device's certificate.
    pub cert: Cert,
    /// Ed25519 over the login's text (label, name, relay fingerprint, TLS exporter), 64 bytes.
    pub signature: Vec<u8>,
}

impl Login {
    /// A login of this device on the connection with this exporter value and relay fingerprint.
    pub fn sign(
        name: AccountName,
        register: bool,
        cert: Cert,
        identity: &SigningKey,
        relay: &[u8; 32],
        exporter: &[u8; 32],
    ) -> Self {
        let signature = identity.sign(&Self::text(&name, relay, exporter)).to_bytes().to_vec();
        Self { name, register, cert, signature }
    }

    /// Checks certificate and signature.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, relay: &[u8; 32], exporter: &[u8; 32]) -> Result<Peer, BadSignature> {
        let peer = self.cert.verify()?;
        verify(&peer.identity, &Self::text(&self.name, relay, exporter), &self.signature)?;
        Ok(peer)
    }

    /// `"subrosa login/1\0" ‖ len ‖ name ‖ relay fingerprint ‖ exporter`: bound to one TLS
    /// connection with one relay, so that it can be replayed nowhere.
    fn text(name: &AccountName, relay: &[u8; 32], exporter: &[u8; 32]) -> Vec<u8> {
        let name = name.as_str().as_bytes();
        let mut text = b"subrosa login/1\0".to_vec();
        text.push(name.len() as u8);
        text.extend_from_slice(name);
        text.extend_from_slice(relay);
        text.extend_from_slice(exporter);
        text
    }
}

/// Strict Ed25519 verification of `text` under a raw key.
///
/// # Errors
/// [`BadSignature`], for keys and signatures of the wrong form too.
pub fn verify(identity: &[u8; 32], text: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
    let key = VerifyingKey::from_bytes(identity).map_err(|_| BadSignature)?;
    let signature = Signature::from_slice(signature).map_err(|_| BadSignature)?;
    key.verify_strict(text, &signature).map_err(|_| BadSignature)
}

/// The public half of an Ed25519 seed.
pub fn public(seed: &[u8; 32]) -> [u8; 32] {
    SigningKey::from_bytes(seed).verifying_key().to_bytes()
}

fn cert_text(noise: &[u8; 32]) -> Vec<u8> {
    [b"subrosa noise-static/1\0".as_slice(), noise].concat()
}

/// serde reads arrays of up to 32; a certificate is written as 128 plain bytes.
mod bytes128 {
    use serde::{Deserializer, Serializer, de::Error, ser::SerializeTuple};
    use std::fmt;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 128], s: S) -> Result<S::Ok, S::Error> {
        let mut tuple = s.serialize_tuple(128)?;
        for byte in bytes {
            tuple.serialize_element(byte)?;
        }
        tuple.end()
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<[u8; 128], D::Error> {
        struct Bytes;
        impl<'de> serde::de::Visitor<'de> for Bytes {
            type Value = [u8; 128];
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("128 bytes")
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<[u8; 128], A::Error> {
                let mut bytes = [0; 128];
                for byte in &mut bytes {
                    *byte = seq.next_element()?.ok_or_else(|| A::Error::custom("cut off"))?;
                }
                Ok(bytes)
            }
        }
        d.deserialize_tuple(128, Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_bytes(&[byte; 32])
    }

    #[test]
    fn a_login_verifies_only_on_its_own_connection() {
        let cert = Cert::sign(&key(1), &[9; 32]);
        let name = AccountName::parse("ada").expect("valid");
        let login = Login::sign(name, true, cert, &key(1), &[2; 32], &[3; 32]);
        assert_eq!(login.verify(&[2; 32], &[3; 32]).map(|peer| peer.noise), Ok([9; 32]));
        assert_eq!(login.verify(&[2; 32], &[4; 32]), Err(BadSignature), "another connection");
        assert_eq!(login.verify(&[5; 32], &[3; 32]), Err(BadSignature), "another relay");
        let mut other = login.clone();
        other.name = AccountName::parse("adb").expect("valid");
        assert_eq!(other.verify(&[2; 32], &[3; 32]), Err(BadSignature), "another name");
    }

    #[test]
    fn a_certificate_with_any_flipped_bit_is_refused() {
        let cert = Cert::sign(&key(1), &[9; 32]);
        assert!(cert.verify().is_ok());
        for bit in 0..1024 {
            let mut bad = cert.clone();
            bad.0[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(bad.verify(), Err(BadSignature), "bit {bit}");
        }
    }

    #[test]
    fn a_certificate_is_128_plain_bytes() {
        let cert = Cert::sign(&key(1), &[9; 32]);
        assert_eq!(postcard::to_stdvec(&cert).expect("serialises"), cert.0);
    }
}
