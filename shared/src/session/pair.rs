//! Two devices of one person agree on a key from a short code, past a relay that may not learn it.
//!
//! OPAQUE, used once: the device that shows the code makes the record of it itself and plays the
//! server; the device where it is typed logs in. Whoever stands between can try one code, and both
//! ends notice a wrong one; nothing that passed lets a guess be tested later.
//!
//! ```text
//! guest → host   KE1
//! host  → guest  KE2
//! guest → host   KE3 ‖ sealed: what the guest says
//! host  → guest  sealed: what the host says
//! guest → host   sealed: what the guest says last, when the new device shows the code
//! context        label ‖ relay fingerprint ‖ rendezvous (u16 BE)
//! label          "subrosa link/1\0": an enrolled device shows the code and a new one types it;
//!                "subrosa link new/1\0": the other way round. Neither end passes for the other's kind.
//! keys           HKDF-SHA256(session key; "subrosa link guest/1", "subrosa link host/1",
//!                "subrosa link guest last/1"): 32 B each
//! sealed         AES-256-GCM, nonce zero (a key seals once), AD = context
//! code           three words of five letters, 16 bits each: rendezvous ‖ secret (32 bits)
//! ```

use crate::protocol::frame::Slot;
use crate::protocol::password::{KE1, KE2, KE3};
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use hkdf::Hkdf;
use opaque_ke::{
    CipherSuite, ClientLogin, ClientLoginFinishParameters, ClientRegistration,
    ClientRegistrationFinishParameters, CredentialFinalization, CredentialRequest, CredentialResponse,
    Identifiers, Ristretto255, ServerLogin, ServerLoginParameters, ServerRegistration, ServerSetup, TripleDh,
};
use rand_core::CryptoRngCore;
use sha2::{Sha256, Sha512};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A code to be read from one screen and typed at another, for one try.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Code {
    #[zeroize(skip)]
    slot: Slot,
    secret: u32,
}

/// Not a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a code is three words of five letters, as the other device shows them")]
pub struct NoCode;

/// The other end does not know the code, or somebody on the way changed what passed. The code is
/// used up either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the code was not the same on both ends, or what passed was changed on the way")]
pub struct Wrong;

impl Code {
    /// A fresh one.
    pub fn draw(rng: &mut dyn CryptoRngCore) -> Self {
        Self { slot: Slot(rng.next_u32() as u16), secret: rng.next_u32() }
    }

    /// Reads what a person typed; case, dashes and spaces do not count.
    ///
    /// # Errors
    /// [`NoCode`].
    pub fn parse(text: &str) -> Result<Self, NoCode> {
        let letters: Zeroizing<Vec<u8>> = Zeroizing::new(
            text.bytes().filter(u8::is_ascii_alphabetic).map(|byte| byte.to_ascii_lowercase()).collect(),
        );
        let strange = text.chars().any(|c| !(c.is_ascii_alphabetic() || c.is_whitespace() || c == '-'));
        if letters.len() != 15 || strange {
            return Err(NoCode);
        }
        let mut words = [0; 3];
        for (word, letters) in words.iter_mut().zip(letters.chunks(5)) {
            *word = read_word(letters).ok_or(NoCode)?;
        }
        Ok(Self { slot: Slot(words[0]), secret: u32::from(words[1]) << 16 | u32::from(words[2]) })
    }

    /// As it is shown: three words.
    pub fn words(&self) -> Zeroizing<String> {
        let words = [self.slot.0, (self.secret >> 16) as u16, self.secret as u16];
        let mut text = Zeroizing::new(String::with_capacity(17));
        for (at, word) in words.into_iter().enumerate() {
            if at > 0 {
                text.push('-');
            }
            write_word(word, &mut text);
        }
        text
    }

    /// Where the two meet.
    pub fn slot(&self) -> Slot {
        self.slot
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(…)")
    }
}

/// Which of the two devices shows the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// The one that has an account.
    Enrolled,
    /// The one that gets one.
    New,
}

/// The device that shows the code.
pub struct Host {
    setup: ServerSetup<Suite>,
    record: ServerRegistration<Suite>,
    context: Vec<u8>,
}

/// The same after it has answered.
pub struct Answered {
    login: ServerLogin<Suite>,
    context: Vec<u8>,
}

/// The device where the code is typed.
pub struct Guest {
    login: ClientLogin<Suite>,
    code: Code,
    context: Vec<u8>,
}

/// The keys of both directions, once each end knows that the other has the code.
pub struct Keys {
    guest: Zeroizing<[u8; 32]>,
    host: Zeroizing<[u8; 32]>,
    last: Last,
}

/// The key of the guest's last message.
pub struct Last {
    key: Zeroizing<[u8; 32]>,
    context: Vec<u8>,
}

impl Host {
    /// For this code, at the relay with this fingerprint.
    pub fn new(code: &Code, shows: Shows, relay: &[u8; 32], rng: &mut dyn CryptoRngCore) -> Self {
        let mut rng = rng;
        let setup = ServerSetup::new(&mut rng);
        let secret = Zeroizing::new(code.secret.to_be_bytes());
        let begun = ClientRegistration::<Suite>::start(&mut rng, secret.as_ref()).expect(OWN);
        let reply = ServerRegistration::start(&setup, begun.message, ID).expect(OWN);
        let params = ClientRegistrationFinishParameters::new(IDENTIFIERS, None);
        let done = begun.state.finish(&mut rng, secret.as_ref(), reply.message, params).expect(OWN);
        let record = ServerRegistration::finish(done.message);
        Self { setup, record, context: context(shows, relay, code.slot) }
    }

    /// Answers KE1 with KE2. The code is used up.
    ///
    /// # Errors
    /// [`Wrong`].
    pub fn answer(self, ke1: &[u8], rng: &mut dyn CryptoRngCore) -> Result<(Vec<u8>, Answered), Wrong> {
        let mut rng = rng;
        // What is behind a message would be passed over in silence.
        let ke1 = Some(ke1).filter(|ke1| ke1.len() == KE1).ok_or(Wrong)?;
        let request = CredentialRequest::deserialize(ke1).map_err(|_| Wrong)?;
        let params = ServerLoginParameters { context: Some(&self.context), identifiers: IDENTIFIERS };
        let record = Some(self.record);
        let started = ServerLogin::start(&mut rng, &self.setup, record, request, ID, params);
        let started = started.map_err(|_| Wrong)?;
        let ke2 = started.message.serialize().to_vec();
        Ok((ke2, Answered { login: started.state, context: self.context }))
    }
}

impl Answered {
    /// Takes KE3 and what the guest says with it.
    ///
    /// # Errors
    /// [`Wrong`].
    pub fn finish(self, message: &[u8]) -> Result<(Zeroizing<Vec<u8>>, Keys), Wrong> {
        let (ke3, sealed) = message.split_at_checked(KE3).ok_or(Wrong)?;
        let ke3 = CredentialFinalization::deserialize(ke3).map_err(|_| Wrong)?;
        let params = ServerLoginParameters { context: Some(&self.context), identifiers: IDENTIFIERS };
        let done = self.login.finish(ke3, params).map_err(|_| Wrong)?;
        let keys = Keys::from(done.session_key.as_slice(), self.context);
        Ok((open(&keys.guest, &keys.last.context, sealed)?, keys))
    }
}

impl Guest {
    /// For this code; gives KE1.
    pub fn new(code: &Code, shows: Shows, relay: &[u8; 32], rng: &mut dyn CryptoRngCore) -> (Vec<u8>, Self) {
        let mut rng = rng;
        let secret = Zeroizing::new(code.secret.to_be_bytes());
        let begun = ClientLogin::start(&mut rng, secret.as_ref()).expect(OWN);
        let ke1 = begun.message.serialize().to_vec();
        (ke1, Self { login: begun.state, code: code.clone(), context: context(shows, relay, code.slot) })
    }

    /// Takes KE2; gives KE3 with what the guest says.
    ///
    /// # Errors
    /// [`Wrong`].
    pub fn finish(
        self,
        ke2: &[u8],
        says: &[u8],
        rng: &mut dyn CryptoRngCore,
    ) -> Result<(Vec<u8>, Keys), Wrong> {
        let mut rng = rng;
        let ke2 = Some(ke2).filter(|ke2| ke2.len() == KE2).ok_or(Wrong)?;
        let response = CredentialResponse::deserialize(ke2).map_err(|_| Wrong)?;
        let params = ClientLoginFinishParameters::new(Some(&self.context), IDENTIFIERS, None);
        let secret = Zeroizing::new(self.code.secret.to_be_bytes());
        let done = self.login.finish(&mut rng, secret.as_ref(), response, params).map_err(|_| Wrong)?;
        let keys = Keys::from(done.session_key.as_slice(), self.context);
        let mut message = done.message.serialize().to_vec();
        message.extend(seal(&keys.guest, &keys.last.context, says));
        Ok((message, keys))
    }
}

impl Keys {
    /// What the host says, sealed; and the key of what the guest says after it.
    pub fn host_says(self, says: &[u8]) -> (Vec<u8>, Last) {
        (seal(&self.host, &self.last.context, says), self.last)
    }

    /// What the host said; and the key of what the guest says after it.
    ///
    /// # Errors
    /// [`Wrong`].
    pub fn host_said(self, sealed: &[u8]) -> Result<(Zeroizing<Vec<u8>>, Last), Wrong> {
        Ok((open(&self.host, &self.last.context, sealed)?, self.last))
    }

    fn from(session: &[u8], context: Vec<u8>) -> Self {
        let derived = Hkdf::<Sha256>::new(None, session);
        let key = |label: &[u8]| {
            let mut key = Zeroizing::new([0; 32]);
            derived.expand(label, key.as_mut()).expect("32 bytes are not too many");
            key
        };
        Self {
            guest: key(b"subrosa link guest/1"),
            host: key(b"subrosa link host/1"),
            last: Last { key: key(b"subrosa link guest last/1"), context },
        }
    }
}

impl Last {
    /// What the guest says last, sealed.
    pub fn guest_says(self, says: &[u8]) -> Vec<u8> {
        seal(&self.key, &self.context, says)
    }

    /// What the guest said last.
    ///
    /// # Errors
    /// [`Wrong`].
    pub fn guest_said(self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Wrong> {
        open(&self.key, &self.context, sealed)
    }
}

fn seal(key: &[u8; 32], context: &[u8], says: &[u8]) -> Vec<u8> {
    let payload = Payload { msg: says, aad: context };
    cipher(key).encrypt(&Nonce::default(), payload).expect("a few kilobytes are not too many")
}

fn open(key: &[u8; 32], context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Wrong> {
    let payload = Payload { msg: sealed, aad: context };
    cipher(key).decrypt(&Nonce::default(), payload).map(Zeroizing::new).map_err(|_| Wrong)
}

fn cipher(key: &[u8; 32]) -> Aes256Gcm {
    Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(key))
}

/// RFC 9807 with ristretto255 and SHA-512. The code is not stretched: its record never leaves the
/// memory of the device that shows it, and is gone after one try.
struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, Sha512>;
    type Ksf = opaque_ke::ksf::Identity;
}

const IDENTIFIERS: Identifiers<'static> =
    Identifiers { client: Some(b"subrosa link guest"), server: Some(b"subrosa link host") };

const ID: &[u8] = b"subrosa link";

const OWN: &str = "own messages of a code that is not empty are well-formed";

fn context(shows: Shows, relay: &[u8; 32], slot: Slot) -> Vec<u8> {
    let label: &[u8] = match shows {
        Shows::Enrolled => b"subrosa link/1\0",
        Shows::New => b"subrosa link new/1\0",
    };
    [label, relay, &slot.0.to_be_bytes()].concat()
}

const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
const VOWELS: &[u8; 4] = b"aiou";

/// Sixteen bits as a word that can be spoken: consonant, vowel, consonant, vowel, consonant.
fn write_word(word: u16, text: &mut String) {
    for (shift, letters) in
        [(12, &CONSONANTS[..]), (10, VOWELS), (6, CONSONANTS), (4, VOWELS), (0, CONSONANTS)]
    {
        text.push(letters[(word >> shift) as usize % letters.len()] as char);
    }
}

fn read_word(letters: &[u8]) -> Option<u16> {
    let mut word = 0;
    for (letter, known) in letters.iter().zip([&CONSONANTS[..], VOWELS, CONSONANTS, VOWELS, CONSONANTS]) {
        let bits = known.iter().position(|known| known == letter)? as u16;
        word = word << known.len().trailing_zeros() | bits;
    }
    Some(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    const RELAY: [u8; 32] = [4; 32];

    fn rng(seed: u64) -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(seed)
    }

    fn code() -> Code {
        Code { slot: Slot(7), secret: 0xdead_beef }
    }

    /// Runs it with a change made to each message, by its number.
    fn run(
        host: &Code,
        guest: &Code,
        relay: &[u8; 32],
        change: impl Fn(usize, &mut Vec<u8>),
    ) -> Result<Vec<u8>, usize> {
        let side = Host::new(host, Shows::New, &RELAY, &mut rng(1));
        let (mut ke1, other) = Guest::new(guest, Shows::New, relay, &mut rng(2));
        change(1, &mut ke1);
        let (mut ke2, side) = side.answer(&ke1, &mut rng(3)).map_err(|Wrong| 1usize)?;
        change(2, &mut ke2);
        let (mut ke3, keys) = other.finish(&ke2, b"my certificate", &mut rng(4)).map_err(|Wrong| 2usize)?;
        change(3, &mut ke3);
        let (said, mine) = side.finish(&ke3).map_err(|Wrong| 3usize)?;
        assert_eq!(said.as_slice(), b"my certificate");
        let (mut hello, mine) = mine.host_says(b"hello");
        change(4, &mut hello);
        let (said, keys) = keys.host_said(&hello).map_err(|Wrong| 4usize)?;
        assert_eq!(said.as_slice(), b"hello");
        let mut last = keys.guest_says(b"welcome");
        change(5, &mut last);
        mine.guest_said(&last).map(|said| said.to_vec()).map_err(|Wrong| 5usize)
    }

    #[test]
    fn the_same_code_gives_the_same_keys() {
        assert_eq!(run(&code(), &code(), &RELAY, |_, _| ()), Ok(b"welcome".to_vec()));
    }

    #[test]
    fn a_wrong_code_and_another_relay_or_rendezvous_are_found_out_by_the_guest() {
        let wrong = Code { slot: Slot(7), secret: 0xdead_beee };
        assert_eq!(run(&code(), &wrong, &RELAY, |_, _| ()), Err(2));
        assert_eq!(run(&code(), &code(), &[5; 32], |_, _| ()), Err(2));
        let elsewhere = Code { slot: Slot(8), secret: code().secret };
        assert_eq!(run(&code(), &elsewhere, &RELAY, |_, _| ()), Err(2));
    }

    #[test]
    fn both_ends_must_mean_the_same_direction() {
        let host = Host::new(&code(), Shows::Enrolled, &RELAY, &mut rng(1));
        let (ke1, guest) = Guest::new(&code(), Shows::New, &RELAY, &mut rng(2));
        let (ke2, _) = host.answer(&ke1, &mut rng(3)).expect("well-formed");
        assert!(guest.finish(&ke2, b"my account", &mut rng(4)).is_err());
    }

    #[test]
    fn a_message_with_something_behind_it_is_none() {
        for (message, at) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)] {
            let longer = run(&code(), &code(), &RELAY, |number, bytes| {
                if number == message {
                    bytes.push(0);
                }
            });
            assert_eq!(longer, Err(at), "message {message}");
        }
    }

    #[test]
    fn a_relay_that_changes_any_message_is_found_out() {
        for message in 1..=5 {
            for at in [0, 31, 40, 63] {
                let tampered = run(&code(), &code(), &RELAY, |number, bytes| {
                    if number == message {
                        let at = at % bytes.len();
                        bytes[at] ^= 1;
                    }
                });
                assert!(tampered.is_err(), "message {message}, byte {at}");
            }
            assert!(
                run(&code(), &code(), &RELAY, |number, bytes| if number == message {
                    bytes.clear()
                })
                .is_err()
            );
        }
    }

    #[test]
    fn a_relay_that_plays_the_host_or_replays_learns_nothing_and_gets_nothing() {
        // It answers with a record of a code that it made up.
        let (ke1, guest) = Guest::new(&code(), Shows::Enrolled, &RELAY, &mut rng(2));
        let guess = Code { slot: Slot(7), secret: 1 };
        let (ke2, _) = Host::new(&guess, Shows::Enrolled, &RELAY, &mut rng(9))
            .answer(&ke1, &mut rng(3))
            .expect("well-formed");
        assert!(guest.finish(&ke2, b"my certificate", &mut rng(4)).is_err(), "nothing was sealed");
        // It plays what passed at another time to the host.
        let (ke1, guest) = Guest::new(&code(), Shows::Enrolled, &RELAY, &mut rng(2));
        let (ke2, _) = Host::new(&code(), Shows::Enrolled, &RELAY, &mut rng(1))
            .answer(&ke1, &mut rng(3))
            .expect("well-formed");
        let (ke3, _) = guest.finish(&ke2, b"my certificate", &mut rng(4)).expect("the code is right");
        let (_, again) = Host::new(&code(), Shows::Enrolled, &RELAY, &mut rng(11))
            .answer(&ke1, &mut rng(12))
            .expect("well-formed");
        assert!(again.finish(&ke3).is_err());
    }

    #[test]
    fn a_code_is_read_as_it_is_shown() {
        for seed in 0..200 {
            let code = Code::draw(&mut rng(seed));
            let words = code.words();
            assert_eq!(Code::parse(&words), Ok(code.clone()), "{}", words.as_str());
            assert_eq!(Code::parse(&words.to_uppercase().replace('-', "  ")), Ok(code));
        }
        assert_eq!(Code { slot: Slot(0), secret: 0xffff_0001 }.words().as_str(), "babab-zuzuz-babad");
        for bad in ["", "babab", "babab-zuzuz-babae", "babab-zuzuz-babad-babab", "babab zuzuz bab1d"] {
            assert_eq!(Code::parse(bad), Err(NoCode), "{bad}");
        }
        assert_eq!(format!("{:?}", Code::draw(&mut rng(1))), "Code(…)");
    }
}
