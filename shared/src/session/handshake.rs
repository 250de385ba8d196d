//! The one message that starts a session: `Noise_Xpsk0_25519_AESGCM_SHA256` to a prekey.
//!
//! ```text
//! -> psk, e, es, s, ss
//! psk       HKDF-SHA256(ss; "subrosa psk/1" ‖ SHA256(ek) ‖ SHA256(ct)), ct and ss of ML-KEM-768
//! prologue  "subrosa pairwise/1\0" ‖ responder's IK ‖ SHA256(bundle without signature) ‖ SHA256(ct)
//! session   the first 16 bytes of the handshake hash
//! k0        the first key of Split(); the second is wiped
//! ```

use super::identity::Identity;
use super::prekey::{self, CT, Encapsulated, Secrets};
use super::provider::Provider;
use crate::id::SessionId;
use crate::protocol::prekey::Bundle;
use hkdf::Hkdf;
use rand_core::CryptoRngCore;
use sha2::{Digest, Sha256};
use snow::{Builder, HandshakeState};
use zeroize::{Zeroize, Zeroizing};

/// The Noise protocol.
pub const PROTOCOL: &str = "Noise_Xpsk0_25519_AESGCM_SHA256";

/// Bytes that the handshake adds to its payload: `e`, the sealed `s`, and the payload's tag.
pub const OVERHEAD: usize = 32 + 48 + 16;

/// A handshake that did not come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the handshake does not verify")]
pub struct Failed;

/// The initiator's end.
pub(super) struct Initiated {
    pub(super) ct: Box<[u8; CT]>,
    pub(super) message: Vec<u8>,
    pub(super) keys: Keys,
}

/// The responder's end.
pub(super) struct Responded {
    /// The initiator's Noise static key, proven.
    pub(super) noise: [u8; 32],
    pub(super) payload: Zeroizing<Vec<u8>>,
    pub(super) keys: Keys,
}

/// What both ends agree on.
pub(super) struct Keys {
    pub(super) session: SessionId,
    pub(super) k0: Zeroizing<[u8; 32]>,
}

/// Starts a session with the owner of a bundle that was verified.
pub(super) fn initiate(
    identity: &Identity,
    bundle: &Bundle,
    payload: &[u8],
    rng: &mut dyn CryptoRngCore,
) -> Result<Initiated, Failed> {
    let Encapsulated { ct, secret } = prekey::encapsulate(&bundle.ek, rng).map_err(|_| Failed)?;
    let psk = psk(&secret, &bundle.ek, &ct);
    let prologue = prologue(bundle, &ct);
    let mut handshake = builder(Provider::seeded(rng))?
        .prologue(&prologue)
        .and_then(|builder| builder.psk(0, &psk))
        .and_then(|builder| builder.local_private_key(identity.noise()))
        .and_then(|builder| builder.remote_public_key(&bundle.x))
        .and_then(Builder::build_initiator)
        .map_err(|_| Failed)?;
    let mut message = vec![0; payload.len() + OVERHEAD];
    let length = handshake.write_message(payload, &mut message).map_err(|_| Failed)?;
    message.truncate(length);
    Ok(Initiated { ct, message, keys: split(handshake)? })
}

/// Reads the first message to one of our prekeys.
pub(super) fn respond(
    secrets: &Secrets,
    bundle: &Bundle,
    ct: &[u8; CT],
    message: &[u8],
) -> Result<Responded, Failed> {
    let psk = psk(&secrets.decapsulate(ct), &bundle.ek, ct);
    let prologue = prologue(bundle, ct);
    let mut handshake = builder(Provider::unseeded())?
        .prologue(&prologue)
        .and_then(|builder| builder.psk(0, &psk))
        .and_then(|builder| builder.local_private_key(secrets.x()))
        .and_then(Builder::build_responder)
        .map_err(|_| Failed)?;
    let mut payload = Zeroizing::new(vec![0; message.len()]);
    let length = handshake.read_message(message, &mut payload).map_err(|_| Failed)?;
    payload.truncate(length);
    let noise = handshake.get_remote_static().and_then(|key| key.try_into().ok()).ok_or(Failed)?;
    Ok(Responded { noise, payload, keys: split(handshake)? })
}

fn builder<'a>(provider: Provider) -> Result<Builder<'a>, Failed> {
    let params = PROTOCOL.parse().map_err(|_| Failed)?;
    Ok(Builder::with_resolver(params, Box::new(provider)))
}

/// snow would split an unfinished handshake too, into keys that are worth nothing.
fn split(mut handshake: HandshakeState) -> Result<Keys, Failed> {
    if !handshake.is_handshake_finished() {
        return Err(Failed);
    }
    let mut session = [0; 16];
    session.copy_from_slice(handshake.get_handshake_hash().get(..16).ok_or(Failed)?);
    let (mut first, mut second) = handshake.dangerously_get_raw_split();
    second.zeroize();
    let k0 = Zeroizing::new(first);
    first.zeroize();
    Ok(Keys { session: SessionId(session), k0 })
}

fn psk(secret: &[u8; 32], ek: &[u8], ct: &[u8; CT]) -> Zeroizing<[u8; 32]> {
    let info = [b"subrosa psk/1".as_slice(), &Sha256::digest(ek), &Sha256::digest(ct)];
    let mut psk = Zeroizing::new([0; 32]);
    let hkdf = Hkdf::<Sha256>::new(None, secret);
    hkdf.expand_multi_info(&info, psk.as_mut()).expect("32 bytes are within HKDF's bound");
    psk
}

fn prologue(bundle: &Bundle, ct: &[u8; CT]) -> Vec<u8> {
    [b"subrosa pairwise/1\0".as_slice(), &bundle.identity, &bundle.hash(), &Sha256::digest(ct)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PrekeyId;
    use crate::protocol::prekey::Kind;
    use crate::time::Millis;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    fn ends() -> (Identity, Secrets, Bundle) {
        let ben = Identity::from_seed(&[2; 64]);
        let secrets = Secrets::grow(&[3; 32]);
        let bundle = secrets.bundle(&ben, PrekeyId([4; 16]), Kind::OneTime, Millis(1));
        (Identity::from_seed(&[1; 64]), secrets, bundle)
    }

    #[test]
    fn both_ends_agree_and_the_randomness_is_the_callers() {
        let (ada, secrets, bundle) = ends();
        let start =
            || initiate(&ada, &bundle, b"hello", &mut ChaCha20Rng::seed_from_u64(5)).expect("initiates");
        let first = start();
        assert_eq!(first.message, start().message, "deterministic under a seeded rng");
        assert_eq!(first.message.len(), 5 + OVERHEAD);
        let read = respond(&secrets, &bundle, &first.ct, &first.message).expect("verifies");
        assert_eq!(read.payload.as_slice(), b"hello");
        assert_eq!(read.noise, ada.peer().noise);
        assert_eq!(read.keys.session, first.keys.session);
        assert_eq!(*read.keys.k0, *first.keys.k0);
    }

    #[test]
    fn rule_1_the_prologue_binds_responder_bundle_and_ciphertext() {
        let (ada, secrets, bundle) = ends();
        let first = initiate(&ada, &bundle, b"hello", &mut ChaCha20Rng::seed_from_u64(5)).expect("initiates");
        let mut other = bundle.clone();
        other.identity = [9; 32];
        assert!(respond(&secrets, &other, &first.ct, &first.message).is_err(), "another responder");
        let mut other = bundle.clone();
        other.not_after = Millis(2);
        assert!(respond(&secrets, &other, &first.ct, &first.message).is_err(), "another bundle");
        let mut ct = first.ct.clone();
        ct[0] ^= 1;
        assert!(respond(&secrets, &bundle, &ct, &first.message).is_err(), "another ciphertext");
        let text = prologue(&bundle, &first.ct);
        assert_eq!(text[..19], *b"subrosa pairwise/1\0");
        assert_eq!(text[19..51], bundle.identity);
        assert_eq!(text[51..83], bundle.hash());
        assert_eq!(text[83..], *Sha256::digest(first.ct.as_slice()));
    }

    #[test]
    fn rule_10_an_unfinished_handshake_is_not_split() {
        let (ada, _, bundle) = ends();
        let handshake = builder(Provider::unseeded())
            .and_then(|builder| builder.psk(0, &[1; 32]).map_err(|_| Failed))
            .and_then(|builder| builder.local_private_key(ada.noise()).map_err(|_| Failed))
            .and_then(|builder| builder.remote_public_key(&bundle.x).map_err(|_| Failed))
            .and_then(|builder| builder.build_initiator().map_err(|_| Failed))
            .expect("builds");
        assert!(split(handshake).is_err());
    }
}
