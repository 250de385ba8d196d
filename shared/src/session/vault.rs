//! The key of everything on disk, wrapped under a passphrase.
//!
//! A random 32-byte key (DEK) seals the store. The vault header holds it, sealed under a key that
//! Argon2id makes from the passphrase, with the cost of making it: so a new passphrase means a new
//! header and nothing else, and a thief of the disk pays that cost for each guess.
//!
//! ```text
//! "subrosa vault\0\0\0" ‖ version 4 ‖ memory 4 ‖ passes 4 ‖ lanes 4 ‖ salt 32 ‖ nonce 12 ‖ sealed key 48 ‖ SHA-256 of all before
//! ```
//! All numbers are big endian. The seal authenticates everything that stands before it; the hash at
//! the end is no protection, it only tells a damaged header from a wrong passphrase.

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use argon2::{Algorithm, Argon2, Params, Version};
use hkdf::Hkdf;
use rand_core::CryptoRngCore;
use sha2::{Digest, Sha256};
use std::time::Duration;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The key of everything on disk. In a box, so that moving it about leaves no copies on stacks.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Dek(Box<[u8; 32]>);

impl Dek {
    /// The key that seals records.
    pub fn records_key(&self) -> Zeroizing<[u8; 32]> {
        self.derive(b"subrosa records/1\0")
    }

    /// The key that seals the ratchet file.
    pub fn slots_key(&self) -> Zeroizing<[u8; 32]> {
        self.derive(b"subrosa slots/1\0")
    }

    /// The key that blinds the words of the search index.
    pub fn search_key(&self) -> Zeroizing<[u8; 32]> {
        self.derive(b"subrosa search/1\0")
    }

    /// The key that seals the body of a key file whose header wraps this key.
    pub fn keyfile_key(&self) -> Zeroizing<[u8; 32]> {
        self.derive(b"subrosa keyfile/1\0")
    }

    /// The key itself: to look for it where it must not be, and for nothing else.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    fn derive(&self, label: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, &*self.0)
            .expand(label, &mut *key)
            .expect("32 bytes are within what HKDF-SHA256 gives");
        key
    }
}

impl std::fmt::Debug for Dek {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dek(…)")
    }
}

/// What a guess at the passphrase costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes that could run in parallel.
    pub lanes: u32,
}

impl Cost {
    /// 256 MiB, three passes.
    pub const DEFAULT: Self = Self { memory_kib: 256 * 1024, passes: 3, lanes: 1 };
    /// The least that protects a person's passphrase: 64 MiB, three passes.
    pub const FLOOR: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 };
    /// The least that Argon2 can do: for tests, protects nothing.
    pub const TINY: Self = Self { memory_kib: 8, passes: 1, lanes: 1 };

    /// The cost that takes this machine between half a second and a second, as far as that is
    /// possible between [`Cost::FLOOR`] and 256 MiB with 16 passes. `measure` says how long
    /// [`Cost::spend`] takes.
    pub fn calibrate(mut measure: impl FnMut(&Cost) -> Duration) -> Self {
        let mut cost = Self::DEFAULT;
        let mut taken = measure(&cost);
        while taken > SLOWEST && cost.memory_kib > Self::FLOOR.memory_kib {
            cost.memory_kib /= 2;
            taken = measure(&cost);
        }
        while taken < FASTEST && cost.passes < MAX_PASSES {
            let per_pass = taken.as_micros().max(1) / u128::from(cost.passes);
            let wanted = FASTEST.as_micros().div_ceil(per_pass.max(1));
            let wanted = u32::try_from(wanted).unwrap_or(MAX_PASSES);
            cost.passes = wanted.clamp(cost.passes + 1, MAX_PASSES);
            taken = measure(&cost);
        }
        cost
    }

    /// Spends it once, for the clock.
    ///
    /// # Errors
    /// [`Error::Cost`] when it is out of bounds.
    pub fn spend(&self) -> Result<(), Error> {
        self.stretch("", &[0; 32]).map(drop)
    }

    fn stretch(&self, passphrase: &str, salt: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>, Error> {
        let bounded =
            self.memory_kib <= MAX_MEMORY_KIB && self.passes <= MAX_PASSES && self.lanes <= MAX_LANES;
        if !bounded {
            return Err(Error::Cost);
        }
        let params =
            Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).map_err(|_| Error::Cost)?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.as_bytes(), salt, &mut *key)
            .map_err(|_| Error::Cost)?;
        Ok(key)
    }
}

/// Why a vault does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The passphrase is another one.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// The header's bytes do not hold together.
    #[error("the vault header is damaged; put it back from a backup")]
    Damaged,
    /// Written by a newer version.
    #[error("the vault has version {found}, this program reads up to {known}")]
    Newer {
        /// In the header.
        found: u32,
        /// By this program.
        known: u32,
    },
    /// Argon2id cannot run like that, or a header asks for more than we are willing to spend.
    #[error("the vault asks for more than 1 GiB of memory, 16 passes or 16 lanes, or for nearly nothing")]
    Cost,
}

/// Draws a new key and wraps it: the key and the header to keep.
///
/// # Errors
/// [`Error::Cost`] when the cost is out of bounds.
pub fn create(passphrase: &str, cost: Cost, rng: &mut dyn CryptoRngCore) -> Result<(Dek, Vec<u8>), Error> {
    let mut dek = Dek(Box::new([0; 32]));
    rng.fill_bytes(&mut *dek.0);
    let header = wrap(&dek, passphrase, cost, rng)?;
    Ok((dek, header))
}

/// Wraps a key under a (new) passphrase: the header to keep instead of the one before.
///
/// # Errors
/// [`Error::Cost`] when the cost is out of bounds.
pub fn wrap(dek: &Dek, passphrase: &str, cost: Cost, rng: &mut dyn CryptoRngCore) -> Result<Vec<u8>, Error> {
    let mut salt = [0; 32];
    rng.fill_bytes(&mut salt);
    let kek = cost.stretch(passphrase, &salt)?;
    let mut nonce = [0; 12];
    rng.fill_bytes(&mut nonce);

    let mut header = Vec::with_capacity(HEADER_LEN);
    header.extend_from_slice(MAGIC);
    for number in [VERSION, cost.memory_kib, cost.passes, cost.lanes] {
        header.extend_from_slice(&number.to_be_bytes());
    }
    header.extend_from_slice(&salt);
    header.extend_from_slice(&nonce);
    let sealed = Aes256Gcm::new((&*kek).into())
        .encrypt(&nonce.into(), Payload { msg: &*dek.0, aad: &header })
        .expect("AES-GCM seals 32 bytes");
    header.extend_from_slice(&sealed);
    header.extend_from_slice(&Sha256::digest(&header));
    Ok(header)
}

/// Opens a header with the passphrase. Takes as long as its cost says, also for a wrong one.
///
/// # Errors
/// [`Error::WrongPassphrase`]; [`Error::Damaged`], [`Error::Newer`] and [`Error::Cost`] without
/// spending anything.
pub fn open(header: &[u8], passphrase: &str) -> Result<Dek, Error> {
    let Parsed { cost, salt, nonce, authenticated, sealed } = parse(header)?;
    let kek = cost.stretch(passphrase, &salt)?;
    let opened = Aes256Gcm::new((&*kek).into())
        .decrypt(&nonce.into(), Payload { msg: sealed, aad: authenticated })
        .map(Zeroizing::new)
        .map_err(|_| Error::WrongPassphrase)?;
    let mut dek = Dek(Box::new([0; 32]));
    dek.0.copy_from_slice(&opened);
    Ok(dek)
}

/// The length of a header, in bytes.
pub const HEADER_LEN: usize = MAGIC.len() + 16 + 32 + 12 + 48 + 32;

/// How every header of every version begins.
pub const MAGIC: &[u8; 16] = b"subrosa vault\0\0\0";

struct Parsed<'a> {
    cost: Cost,
    salt: [u8; 32],
    nonce: [u8; 12],
    authenticated: &'a [u8],
    sealed: &'a [u8],
}

fn parse(header: &[u8]) -> Result<Parsed<'_>, Error> {
    let rest = header.strip_prefix(MAGIC).ok_or(Error::Damaged)?;
    let (version, rest) = number(rest)?;
    if version > VERSION {
        return Err(Error::Newer { found: version, known: VERSION });
    }
    let (body, hash) = header.split_last_chunk::<32>().ok_or(Error::Damaged)?;
    if header.len() != HEADER_LEN || version != VERSION || Sha256::digest(body)[..] != hash[..] {
        return Err(Error::Damaged);
    }
    let (memory_kib, rest) = number(rest)?;
    let (passes, rest) = number(rest)?;
    let (lanes, rest) = number(rest)?;
    let (salt, rest) = rest.split_first_chunk::<32>().ok_or(Error::Damaged)?;
    let (nonce, _) = rest.split_first_chunk::<12>().ok_or(Error::Damaged)?;
    let (authenticated, sealed) = body.split_at(body.len() - 48);
    Ok(Parsed { cost: Cost { memory_kib, passes, lanes }, salt: *salt, nonce: *nonce, authenticated, sealed })
}

fn number(bytes: &[u8]) -> Result<(u32, &[u8]), Error> {
    let (number, rest) = bytes.split_first_chunk::<4>().ok_or(Error::Damaged)?;
    Ok((u32::from_be_bytes(*number), rest))
}

const VERSION: u32 = 1;
/// A header from a thief or a broken disk must not eat the machine.
const MAX_MEMORY_KIB: u32 = 1024 * 1024;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 16;
/// What a person waits for without noticing, and what a guess should cost at least.
const SLOWEST: Duration = Duration::from_secs(1);
const FASTEST: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(7)
    }

    #[test]
    fn only_the_passphrase_opens_it() {
        let (dek, header) = create("correct horse", Cost::TINY, &mut rng()).expect("made");
        assert_eq!(header.len(), HEADER_LEN);
        assert!(open(&header, "correct horse").expect("opens") == dek);
        assert_eq!(open(&header, "correct horsf"), Err(Error::WrongPassphrase));
        assert_eq!(open(&header, ""), Err(Error::WrongPassphrase));
        assert!(!header.windows(32).any(|bytes| bytes == *dek.0), "the key is not there in clear");
    }

    #[test]
    fn a_new_passphrase_keeps_the_key() {
        let (dek, old) = create("old", Cost::TINY, &mut rng()).expect("made");
        let new =
            wrap(&dek, "new", Cost { memory_kib: 64, passes: 2, lanes: 2 }, &mut rng()).expect("wrapped");
        assert!(open(&new, "new").expect("opens") == dek);
        assert_eq!(open(&new, "old"), Err(Error::WrongPassphrase));
        assert_ne!(old, new);
    }

    #[test]
    fn damage_is_told_from_a_wrong_passphrase() {
        let (_, header) = create("p", Cost::TINY, &mut rng()).expect("made");
        for bit in 0..header.len() * 8 {
            let mut changed = header.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let found = open(&changed, "p").expect_err("changed");
            // The version stands where a newer program may change everything after it.
            let version = (16..20).contains(&(bit / 8));
            assert!(
                found == Error::Damaged || (version && matches!(found, Error::Newer { .. })),
                "bit {bit}: {found}"
            );
        }
        for length in 0..header.len() {
            assert_eq!(open(&header[..length], "p"), Err(Error::Damaged));
        }
        assert_eq!(open(&[header, vec![0]].concat(), "p"), Err(Error::Damaged));
    }

    #[test]
    fn the_parameters_are_authenticated() {
        let (_, header) = create("p", Cost::TINY, &mut rng()).expect("made");
        // An attacker fixes the hash; the seal still notices each byte before it.
        for byte in 20..header.len() - 32 {
            let mut changed = header.clone();
            changed[byte] ^= 1;
            rehash(&mut changed);
            assert!(matches!(open(&changed, "p"), Err(Error::WrongPassphrase | Error::Cost)), "byte {byte}");
        }
    }

    #[test]
    fn a_greedy_header_is_refused_before_anything_is_spent() {
        for (at, value) in
            [(20, MAX_MEMORY_KIB + 1), (20, u32::MAX), (24, 17), (24, 0), (28, 17), (28, 0), (20, 0)]
        {
            let (_, mut header) = create("p", Cost::TINY, &mut rng()).expect("made");
            header[at..at + 4].copy_from_slice(&value.to_be_bytes());
            rehash(&mut header);
            assert_eq!(open(&header, "p"), Err(Error::Cost), "{value} at {at}");
        }
        assert_eq!(
            create("p", Cost { memory_kib: u32::MAX, ..Cost::TINY }, &mut rng()).map(drop),
            Err(Error::Cost)
        );
    }

    #[test]
    fn a_newer_header_is_left_alone() {
        let (_, mut header) = create("p", Cost::TINY, &mut rng()).expect("made");
        header[16..20].copy_from_slice(&9u32.to_be_bytes());
        assert_eq!(open(&header, "p"), Err(Error::Newer { found: 9, known: VERSION }));
        assert_eq!(open(&header[..40], "p"), Err(Error::Newer { found: 9, known: VERSION }));
    }

    #[test]
    fn the_cost_is_fitted_to_the_machine() {
        let machine = |mib_per_second: u64| {
            move |cost: &Cost| {
                Duration::from_micros(
                    u64::from(cost.memory_kib) * u64::from(cost.passes) * 1000 / mib_per_second,
                )
            }
        };
        assert_eq!(Cost::calibrate(machine(1000)), Cost::DEFAULT, "0.77 s");
        assert_eq!(Cost::calibrate(machine(500)).memory_kib, 128 * 1024);
        assert_eq!(Cost::calibrate(machine(1)), Cost::FLOOR, "however slow");
        let fast = Cost::calibrate(machine(4000));
        assert_eq!(fast.memory_kib, Cost::DEFAULT.memory_kib);
        assert!(machine(4000)(&fast) >= FASTEST && machine(4000)(&fast) <= SLOWEST, "{fast:?}");
        assert_eq!(Cost::calibrate(|_| Duration::ZERO).passes, MAX_PASSES, "however fast");
    }

    #[test]
    fn each_use_has_its_own_key() {
        let (dek, _) = create("p", Cost::TINY, &mut rng()).expect("made");
        assert_ne!(dek.records_key(), dek.slots_key());
        assert_ne!(*dek.records_key(), *dek.0);
        assert_eq!(format!("{dek:?}"), "Dek(…)");
    }

    fn rehash(header: &mut [u8]) {
        let at = header.len() - 32;
        let hash = Sha256::digest(&header[..at]);
        header[at..].copy_from_slice(&hash);
    }
}
