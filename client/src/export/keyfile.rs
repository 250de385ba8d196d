//! The key file: everything that makes an account this one, sealed under a passphrase, as text that
//! survives a mail or a printout.
//!
//! ```text
//! -----BEGIN SUBROSA KEYS-----
//! Version: 1
//!
//! base64, 64 columns: vault header ‖ nonce 12 ‖ sealed body
//! =base64 of the first 6 bytes of SHA-256 of these bytes
//! -----END SUBROSA KEYS-----
//! ```
//! The header is that of a vault ([`vault`]): Argon2id with its cost, and a random key. The body is
//! sealed under a key that is derived from that one (AES-256-GCM, AD = label ‖ header). Inside:
//! version 2, then [`Keys`] in postcard (version 1 had no list of devices), zeros up to a whole KiB, so that the length tells little.
//!
//! What is not inside, by design: ratchets and prekeys. A key that exists twice seals twice; so
//! sessions begin anew by their handshake, and the old machine must not go on.

use crate::chat::person::Person;
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use data_encoding::BASE64;
use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::protocol::devices::{DeviceList, Version};
use subrosa_shared::session::Identity;
use subrosa_shared::session::vault::{self, Cost, HEADER_LEN};
use zeroize::{Zeroize, Zeroizing};

/// What a key file holds.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// Own account.
    pub name: AccountName,
    /// Link of its relay.
    pub relay: String,
    /// Seed of the identity key.
    pub identity: [u8; 32],
    /// The Noise static key.
    pub noise: [u8; 32],
    /// Everybody, with the keys that are pinned.
    pub people: Vec<Contact>,
    /// All versions of the account's list of devices, as far as this device knew: people know the account by
    /// the first of them.
    pub list: Vec<Version>,
}

/// One person in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Their account.
    pub with: AccountName,
    /// Pinned keys.
    pub peer: Option<Peer>,
    /// Other keys, on which nothing was decided.
    pub changed: Option<Peer>,
    /// No bells.
    pub muted: bool,
    /// What is thought of them.
    pub person: Person,
}

impl Keys {
    /// The device whose keys these are.
    fn device(&self) -> Peer {
        let mut seed = Zeroizing::new([0; 64]);
        seed[..32].copy_from_slice(&self.identity);
        seed[32..].copy_from_slice(&self.noise);
        Identity::from_seed(&seed).peer()
    }

    /// Whether the list of devices, if there is one, is the account's and has this device in it.
    pub fn is_listed(&self) -> bool {
        let list = DeviceList::verify(&self.name, &self.list);
        self.list.is_empty() || list.is_ok_and(|list| list.has(&self.device()))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.identity.zeroize();
        self.noise.zeroize();
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("name", &self.name)
            .field("people", &self.people.len())
            .finish_non_exhaustive()
    }
}

/// Why a key file does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No armour.
    #[error("there is no key file in it: one begins with the line {BEGIN}")]
    Foreign,
    /// It has a beginning and no end.
    #[error("the key file is cut short: its last line must be {END}; copy it once more, as a whole")]
    Cut,
    /// Its sum is another one, or it makes no sense.
    #[error("the key file is damaged: copy it once more, as a whole")]
    Damaged,
    /// Written by a newer version.
    #[error("the key file is of a newer subrosa: update this one, then import it")]
    Newer,
    /// The passphrase is another one.
    #[error("that is not the passphrase of this key file; try again")]
    WrongPassphrase,
    /// It asks for more than we are willing to spend.
    #[error("the key file asks for more than 1 GiB of memory or 16 passes: subrosa did not write it")]
    Cost,
}

/// Seals keys under a passphrase.
///
/// # Errors
/// [`Error::Cost`] when the cost is out of bounds.
pub fn seal(keys: &Keys, passphrase: &str, cost: Cost, rng: &mut dyn CryptoRngCore) -> Result<String, Error> {
    let (dek, mut bytes) = vault::create(passphrase, cost, rng).map_err(not_opened)?;
    let mut nonce = [0; NONCE];
    rng.fill_bytes(&mut nonce);
    let mut body = Zeroizing::new(Vec::with_capacity(BODY_MAX));
    body.push(BODY_VERSION);
    let plain = postcard::to_stdvec(keys).expect("keys serialise: plain fields only");
    body.extend_from_slice(&Zeroizing::new(plain));
    let padded = body.len().div_ceil(1024) * 1024;
    body.resize(padded, 0);
    let sealed = Aes256Gcm::new((&*dek.keyfile_key()).into())
        .encrypt(&nonce.into(), Payload { msg: &body, aad: &about(&bytes) })
        .expect("AES-GCM seals up to 64 GiB");
    bytes.extend_from_slice(&nonce);
    bytes.extend_from_slice(&sealed);
    Ok(armour(&bytes))
}

/// Opens a key file. Takes as long as its cost says, also for a wrong passphrase.
///
/// # Errors
/// Each [`Error`]; all but the wrong passphrase without spending anything.
pub fn open(text: &str, passphrase: &str) -> Result<Keys, Error> {
    let bytes = parse(text)?;
    let (header, rest) = bytes.split_at_checked(HEADER_LEN).ok_or(Error::Damaged)?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or(Error::Damaged)?;
    let dek = vault::open(header, passphrase).map_err(not_opened)?;
    let body = Aes256Gcm::new((&*dek.keyfile_key()).into())
        .decrypt(nonce.into(), Payload { msg: sealed, aad: &about(header) })
        .map(Zeroizing::new)
        .map_err(|_| Error::Damaged)?;
    match body.split_first() {
        Some((&(1 | BODY_VERSION), rest)) => {
            // Version 1 ends before the list: a zero, as padding is, says that there is none.
            let rest = Zeroizing::new([rest, &[0]].concat());
            let (keys, padding) = postcard::take_from_bytes::<Keys>(&rest).map_err(|_| Error::Damaged)?;
            let whole = padding.iter().all(|byte| *byte == 0) && keys.is_listed();
            if whole { Ok(keys) } else { Err(Error::Damaged) }
        }
        Some((version, _)) if *version > BODY_VERSION => Err(Error::Newer),
        _ => Err(Error::Damaged),
    }
}

/// The bytes within the armour, checked against their sum. Whatever stands before and after it, the
/// ends of its lines and blanks behind them do not matter.
///
/// # Errors
/// [`Error::Foreign`], [`Error::Cut`], [`Error::Damaged`], [`Error::Newer`].
pub fn parse(text: &str) -> Result<Vec<u8>, Error> {
    let mut lines = text.lines().map(str::trim).skip_while(|line| *line != BEGIN);
    lines.next().ok_or(Error::Foreign)?;
    // Said first: what was cut off anywhere looks damaged too.
    if !lines.clone().any(|line| line == END) {
        return Err(Error::Cut);
    }
    let mut data = String::new();
    let (mut version, mut head, mut sum) = (None, true, None);
    loop {
        let line = lines.next().ok_or(Error::Cut)?;
        if line == END {
            break;
        }
        if head {
            match line.split_once(": ") {
                Some(("Version", number)) => {
                    version = Some(number.parse::<u32>().map_err(|_| Error::Damaged)?)
                }
                // What a newer version may say about itself.
                Some(_) => {}
                None if line.is_empty() => head = false,
                None => return Err(Error::Damaged),
            }
        } else if let Some(given) = line.strip_prefix('=') {
            if sum.replace(given).is_some() {
                return Err(Error::Damaged);
            }
        } else if sum.is_some() || line.is_empty() {
            return Err(Error::Damaged);
        } else {
            data.push_str(line);
        }
        if data.len() > TEXT_MAX {
            return Err(Error::Damaged);
        }
    }
    match version {
        Some(version) if version > VERSION => return Err(Error::Newer),
        Some(VERSION) => {}
        _ => return Err(Error::Damaged),
    }
    let bytes = BASE64.decode(data.as_bytes()).map_err(|_| Error::Damaged)?;
    let sum = sum.ok_or(Error::Damaged)?;
    if BASE64.encode(&Sha256::digest(&bytes)[..SUM]) == sum { Ok(bytes) } else { Err(Error::Damaged) }
}

fn armour(bytes: &[u8]) -> String {
    let mut text = format!("{BEGIN}\nVersion: {VERSION}\n\n");
    let data = BASE64.encode(bytes);
    for line in data.as_bytes().chunks(COLUMNS) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text.push_str(&format!("={}\n{END}\n", BASE64.encode(&Sha256::digest(bytes)[..SUM])));
    text
}

fn about(header: &[u8]) -> Vec<u8> {
    [b"subrosa keyfile/1\0".as_slice(), header].concat()
}

fn not_opened(error: vault::Error) -> Error {
    match error {
        vault::Error::WrongPassphrase => Error::WrongPassphrase,
        vault::Error::Damaged => Error::Damaged,
        vault::Error::Newer { .. } => Error::Newer,
        vault::Error::Cost => Error::Cost,
    }
}

/// The first line of the armour.
pub const BEGIN: &str = "-----BEGIN SUBROSA KEYS-----";
/// Its last line.
pub const END: &str = "-----END SUBROSA KEYS-----";
/// A file longer than this is none of ours: 4 MiB are some 10,000 people.
pub const TEXT_MAX: usize = 4 << 20;
const VERSION: u32 = 1;
const BODY_VERSION: u8 = 2;
const NONCE: usize = 12;
const SUM: usize = 6;
const COLUMNS: usize = 64;
/// Room for a usual body, so that no copies are left behind by growing.
const BODY_MAX: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::person::Standing;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn keys() -> Keys {
        let name = |name: &str| AccountName::parse(name).expect("valid");
        let contact = |i: u8| Contact {
            with: name(&format!("friend{i}")),
            peer: Some(Peer { identity: [i; 32], noise: [i + 1; 32] }),
            changed: None,
            muted: i.is_multiple_of(2),
            person: Person {
                petname: Some(format!("Friend {i}")),
                standing: Standing::Contact,
                ..Person::default()
            },
        };
        Keys {
            name: name("ada"),
            relay: "subrosa://relay.example:4433/#aa".into(),
            identity: [7; 32],
            noise: [8; 32],
            people: (0..20).map(contact).collect(),
            list: Vec::new(),
        }
    }

    fn sealed() -> String {
        seal(&keys(), "export me", Cost::TINY, &mut ChaCha20Rng::seed_from_u64(1)).expect("sealed")
    }

    #[test]
    fn only_its_passphrase_opens_it() {
        let text = sealed();
        assert!(text.starts_with(BEGIN) && text.ends_with(&format!("{END}\n")));
        assert!(text.lines().all(|line| line.len() <= COLUMNS));
        assert_eq!(open(&text, "export me"), Ok(keys()));
        assert_eq!(open(&text, "export mf"), Err(Error::WrongPassphrase));
        let bytes = parse(&text).expect("armour");
        for clear in [&b"friend"[..], &[7; 32], b"subrosa://"] {
            assert!(!bytes.windows(clear.len()).any(|part| part == clear));
        }
        assert_eq!(format!("{:?}", keys()), "Keys { name: \"ada\", people: 20, .. }");
    }

    #[test]
    fn a_mail_around_it_and_other_line_ends_do_no_harm() {
        let text = format!("Dear me,\r\n\r\n{}  \r\nregards", sealed().replace('\n', " \r\n"));
        assert_eq!(open(&text, "export me"), Ok(keys()));
    }

    #[test]
    fn what_is_wrong_with_it_is_said() {
        let text = sealed();
        assert_eq!(open("", "x"), Err(Error::Foreign));
        assert_eq!(open("-----BEGIN PGP PRIVATE KEY BLOCK-----\n", "x"), Err(Error::Foreign));
        assert_eq!(open(&text.replace("Version: 1", "Version: 2\nFrom: later"), "x"), Err(Error::Newer));
        assert_eq!(open(&text.replace("Version: 1", "Version: one"), "x"), Err(Error::Damaged));
        for (at, _) in text.trim_end().char_indices() {
            let found = open(&text[..at], "export me").expect_err("cut");
            assert!(matches!(found, Error::Foreign | Error::Cut), "cut at {at}: {found}");
        }
        let body = text.find("\n\n").expect("a head") + 2;
        for at in body..text.rfind('=').expect("a sum") {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).expect("text");
            assert_eq!(open(&changed, "export me"), Err(Error::Damaged), "at {at}");
        }
    }

    #[test]
    fn a_sum_that_was_put_right_helps_nobody() {
        let bytes = parse(&sealed()).expect("armour");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let found = open(&armour(&changed), "export me").expect_err("changed");
            assert!(
                matches!(found, Error::Damaged | Error::WrongPassphrase | Error::Newer | Error::Cost),
                "at {at}: {found}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_in_words(text in "(?s).{0,300}", inner in "[A-Za-z0-9+/=\n :]{0,300}") {
            prop_assert!(open(&text, "x").is_err());
            let text = format!("{BEGIN}\nVersion: 1\n\n{inner}\n{END}\n");
            prop_assert!(open(&text, "x").is_err());
        }
    }
}
