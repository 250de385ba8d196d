//! The chunks of a file, each sealed so that it opens in its own place of its own file alone.
//!
//! ```text
//! plaintext   the file ‖ zeros up to padded(size), in chunks of 64 KiB, the last one shorter
//! sealed      nonce (12, random) ‖ AES-256-GCM(key, nonce, chunk) ‖ tag (16)
//! AD          "subrosa file/1\0" ‖ index (u64 BE) ‖ 1 for the last one, else 0 ‖ size (u64 BE)
//! ```
//! The key is drawn for one file and travels in the message that tells of it. The nonce is random and
//! not the index: an upload that is taken up again seals its next chunks anew, from a file that may
//! have been written to meanwhile, and must not seal two texts under one nonce. The index, the mark of
//! the last chunk and the size are bound to each chunk: it cannot be swapped, left out, cut off or
//! followed by another. SHA-256 of the whole is checked at the end.
//!
//! The relay sees the padded size: the largest padding is an eighth of a small file and about a
//! thirtieth of a large one (Padmé, from "Reducing Metadata Leakage from Encrypted Files", PETS 2019).

use crate::content::file::Key;
use crate::protocol::blob::UNIT;
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInPlace, KeyInit};
use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

/// Plaintext in a chunk, in bytes.
pub const CHUNK: usize = 64 * 1024;

/// What sealing adds to a chunk, in bytes.
pub const OVERHEAD: usize = NONCE + TAG;

/// A whole sealed chunk, in bytes.
pub const SEALED: usize = CHUNK + OVERHEAD;

/// These bytes are not that chunk of that file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a piece of the file does not open: it was changed on the way or at the relay")]
pub struct Unreadable;

/// The size that a file is padded to.
pub fn padded(size: u64) -> u64 {
    let size = size.max(LEAST);
    let exponent = u64::from(size.ilog2());
    let kept = u64::from(exponent.ilog2()) + 1;
    let mask = (1 << exponent.saturating_sub(kept)) - 1;
    (size + mask) & !mask
}

/// How many chunks a file of that size has; at least one.
pub fn chunks(size: u64) -> u64 {
    padded(size).div_ceil(CHUNK as u64)
}

/// Bytes of all its sealed chunks.
pub fn sealed_size(size: u64) -> u64 {
    padded(size) + chunks(size) * OVERHEAD as u64
}

/// Bytes of the sealed chunk of that index.
pub fn sealed_len(index: u64, size: u64) -> usize {
    plain_len(index, size) + OVERHEAD
}

/// Bytes of the file itself in that chunk; the rest of it is padding.
pub fn file_len(index: u64, size: u64) -> usize {
    size.saturating_sub(index.saturating_mul(CHUNK as u64)).min(CHUNK as u64) as usize
}

/// Seals the chunk of that index of a file of that size. `bytes` are those [`file_len`] of the file.
pub fn seal(key: &Key, index: u64, size: u64, bytes: &[u8], rng: &mut dyn CryptoRngCore) -> Vec<u8> {
    let length = plain_len(index, size);
    let mut nonce = [0; NONCE];
    rng.fill_bytes(&mut nonce);
    let mut sealed = Vec::with_capacity(length + OVERHEAD);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(&bytes[..bytes.len().min(length)]);
    sealed.resize(NONCE + length, 0);
    let tag = cipher(key)
        .encrypt_in_place_detached(&nonce.into(), &about(index, size), &mut sealed[NONCE..])
        .expect("AES-GCM seals up to 64 GiB, more than a chunk");
    sealed.extend_from_slice(&tag);
    sealed
}

/// Opens a chunk: the bytes of the file in it, without the padding.
///
/// # Errors
/// [`Unreadable`] when a bit is wrong, or when it is another chunk or of another file.
pub fn open(key: &Key, index: u64, size: u64, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
    if index >= chunks(size) || sealed.len() != sealed_len(index, size) {
        return Err(Unreadable);
    }
    let (nonce, rest) = sealed.split_first_chunk::<NONCE>().ok_or(Unreadable)?;
    let (bytes, tag) = rest.split_last_chunk::<TAG>().ok_or(Unreadable)?;
    let mut bytes = Zeroizing::new(bytes.to_vec());
    cipher(key)
        .decrypt_in_place_detached(nonce.into(), &about(index, size), &mut bytes, tag.into())
        .map_err(|_| Unreadable)?;
    bytes.truncate(file_len(index, size));
    Ok(bytes)
}

fn plain_len(index: u64, size: u64) -> usize {
    padded(size).saturating_sub(index.saturating_mul(CHUNK as u64)).min(CHUNK as u64) as usize
}

fn about(index: u64, size: u64) -> Vec<u8> {
    let last = u8::from(index + 1 == chunks(size));
    [LABEL, &index.to_be_bytes(), &[last], &size.to_be_bytes()].concat()
}

fn cipher(key: &Key) -> Aes256Gcm {
    Aes256Gcm::new((&key.0).into())
}

const LABEL: &[u8] = b"subrosa file/1\0";
const NONCE: usize = 12;
const TAG: usize = 16;
/// Smaller files are all of this size.
const LEAST: u64 = 512;
// The relay counts in whole chunks.
const _: () = assert!(SEALED as u64 == UNIT);

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::{RngCore, SeedableRng};

    /// A file with its key, and its sealed chunks.
    fn sealed(size: usize, seed: u64) -> (Vec<u8>, Key, Vec<Vec<u8>>) {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut bytes = vec![0; size];
        rng.fill_bytes(&mut bytes);
        let mut key = Key([0; 32]);
        rng.fill_bytes(&mut key.0);
        let size = size as u64;
        let chunk = |index: u64| {
            let from = (index as usize * CHUNK).min(bytes.len());
            &bytes[from..from + file_len(index, size)]
        };
        let chunks = (0..chunks(size)).map(|i| seal(&key, i, size, chunk(i), &mut rng)).collect();
        (bytes, key, chunks)
    }

    #[test]
    fn files_of_all_sizes_come_back() {
        for size in [0, 1, 512, 513, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 300_000] {
            let (bytes, key, chunks) = sealed(size, 1);
            let all: usize = chunks.iter().map(Vec::len).sum();
            assert_eq!(all as u64, sealed_size(size as u64));
            let mut back = Vec::new();
            for (i, chunk) in chunks.iter().enumerate() {
                assert_eq!(chunk.len(), sealed_len(i as u64, size as u64));
                back.extend_from_slice(&open(&key, i as u64, size as u64, chunk).expect("opens"));
            }
            assert_eq!(back, bytes, "{size}");
        }
    }

    #[test]
    fn swapped_cut_off_appended_and_foreign_chunks_are_refused() {
        let size = 3 * CHUNK + 7;
        let (_, key, chunks) = sealed(size, 2);
        let size = size as u64;
        let open = |index: usize, bytes: &[u8]| open(&key, index as u64, size, bytes);
        for (i, chunk) in chunks.iter().enumerate() {
            for j in (0..chunks.len()).filter(|j| *j != i) {
                assert_eq!(open(j, chunk), Err(Unreadable), "{i} in the place of {j}");
            }
            assert_eq!(open(i, &chunk[..chunk.len() - 1]), Err(Unreadable), "shorter");
            assert_eq!(open(i, &[chunk.as_slice(), &[0]].concat()), Err(Unreadable), "longer");
        }
        assert_eq!(open(chunks.len(), &chunks[0]), Err(Unreadable), "one more than there are");
        // The same bytes as the last chunk of a shorter file, and as one of a longer.
        let (_, _, shorter) = sealed(3 * CHUNK, 2);
        assert_eq!(shorter.len(), 3);
        assert_eq!(open(2, &shorter[2]), Err(Unreadable));
        let (_, _, foreign) = sealed(size as usize, 3);
        assert_eq!(open(0, &foreign[0]), Err(Unreadable), "of another file");
    }

    #[test]
    fn a_file_of_another_size_under_the_same_key_does_not_pass() {
        let (bytes, key, chunks) = sealed(2 * CHUNK, 4);
        let longer = 3 * CHUNK as u64;
        assert_eq!(bytes.len(), 2 * CHUNK);
        for (i, chunk) in chunks.iter().enumerate() {
            assert_eq!(open(&key, i as u64, longer, chunk), Err(Unreadable), "cut off behind {i}");
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed_wherever_it_is() {
        let (_, key, chunks) = sealed(40, 5);
        for bit in 0..chunks[0].len() * 8 {
            let mut changed = chunks[0].clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&key, 0, 40, &changed), Err(Unreadable), "bit {bit}");
        }
        let other = Key([9; 32]);
        assert_eq!(open(&other, 0, 40, &chunks[0]), Err(Unreadable));
    }

    #[test]
    fn the_same_chunk_is_never_sealed_under_the_same_nonce() {
        let mut rng = ChaCha20Rng::seed_from_u64(6);
        let key = Key([1; 32]);
        let (one, two) = (seal(&key, 0, 3, b"abc", &mut rng), seal(&key, 0, 3, b"abd", &mut rng));
        assert_ne!(one[..NONCE], two[..NONCE]);
    }

    #[test]
    fn padding_hides_all_but_the_magnitude_and_costs_little() {
        assert_eq!([0, 1, 512].map(padded), [512; 3]);
        assert_eq!([513, 1000, 1_000_000].map(padded), [544, 1024, 1_015_808]);
        for exponent in 9..40 {
            for size in [1u64 << exponent, (1 << exponent) + 1, (3 << exponent) / 2 + 1] {
                let more = padded(size) - size;
                assert!(more * 8 <= size, "{size}: {more}");
                assert_eq!(padded(padded(size)), padded(size));
            }
        }
    }
}
