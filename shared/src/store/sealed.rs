//! Records whose values only the owner of a key can read.
//!
//! Each value is sealed under a key of its own: AES-256-GCM, key = HKDF(key of the store, table ‖
//! key), AD = table ‖ key ‖ version, a random nonce in front. So a value that was moved to another
//! record, or changed, does not open. Keys, and the length of values, stay in clear: keep what is
//! secret out of keys. That a record was put back to an older state is not noticed.

use super::{Error, Kv, Order, Rows, Table, Write};
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use hkdf::Hkdf;
use rand_core::CryptoRngCore;
use sha2::Sha256;
use std::sync::{Mutex, PoisonError};
use zeroize::Zeroizing;

/// Any records, sealed.
pub struct Sealed<K> {
    inner: K,
    key: Hkdf<Sha256>,
    rng: Mutex<Box<dyn CryptoRngCore + Send>>,
}

/// The table that tells a wrong key from a damaged record; no other use of its byte is allowed.
pub const CHECK_TABLE: Table = Table { byte: 0xff, name: "key check" };

impl<K: Kv> Sealed<K> {
    /// Seals `inner` under a key; `rng` draws nonces. A store that was sealed before must have been
    /// sealed under the same key.
    ///
    /// # Errors
    /// [`Error::WrongKey`], then nothing was touched; those of [`Kv`].
    pub fn open(inner: K, key: &[u8; 32], rng: Box<dyn CryptoRngCore + Send>) -> Result<Self, Error> {
        let sealed = Self { inner, key: Hkdf::new(None, key), rng: Mutex::new(rng) };
        match sealed.get(CHECK_TABLE, CHECK_KEY) {
            Ok(Some(_)) => {}
            Ok(None) => {
                let value = Zeroizing::new(Vec::new());
                sealed.commit(&[Write::Put(CHECK_TABLE, CHECK_KEY.to_vec(), value)])?;
            }
            Err(Error::Damaged(_)) => return Err(Error::WrongKey),
            Err(error) => return Err(error),
        }
        Ok(sealed)
    }

    fn seal(&self, table: Table, key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut nonce);
        let sealed = self
            .cipher(table, key)
            .encrypt(&nonce.into(), Payload { msg: value, aad: &about(table, key) })
            .expect("AES-GCM seals up to 64 GiB, more than memory holds here");
        [nonce.as_slice(), &sealed].concat()
    }

    fn unseal(&self, table: Table, key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let opened = sealed.split_first_chunk::<NONCE_LEN>().and_then(|(nonce, sealed)| {
            let payload = Payload { msg: sealed, aad: &about(table, key) };
            self.cipher(table, key).decrypt(nonce.into(), payload).ok()
        });
        opened.ok_or_else(|| Error::Damaged(format!("a record of {table:?} does not open")))
    }

    fn cipher(&self, table: Table, key: &[u8]) -> Aes256Gcm {
        let mut record_key = Zeroizing::new([0; 32]);
        self.key
            .expand_multi_info(&[LABEL, &[table.byte], key], &mut *record_key)
            .expect("32 bytes are within what HKDF-SHA256 gives");
        Aes256Gcm::new((&*record_key).into())
    }
}

impl<K: Kv> Kv for Sealed<K> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.inner.get(table, key)?.map(|sealed| self.unseal(table, key, &sealed)).transpose()
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Rows, Error> {
        let mut rows = self.inner.scan(table, from, to, order, limit)?;
        for (key, value) in &mut rows {
            *value = self.unseal(table, key, value)?;
        }
        Ok(rows)
    }

    fn commit(&self, writes: &[Write]) -> Result<(), Error> {
        let sealed = writes.iter().map(|write| match write {
            Write::Put(table, key, value) => {
                Write::Put(*table, key.clone(), Zeroizing::new(self.seal(*table, key, value)))
            }
            Write::Delete(table, key) => Write::Delete(*table, key.clone()),
        });
        self.inner.commit(&sealed.collect::<Vec<_>>())
    }
}

/// What a seal is bound to.
fn about(table: Table, key: &[u8]) -> Vec<u8> {
    let length = u32::try_from(key.len()).expect("a key is far shorter than 4 GiB");
    let mut about = vec![table.byte];
    about.extend_from_slice(&length.to_be_bytes());
    about.extend_from_slice(key);
    about.extend_from_slice(&VERSION.to_be_bytes());
    about
}

const LABEL: &[u8] = b"subrosa record/1\0";
/// Of the way records are sealed, not of what they say.
const VERSION: u32 = 1;
const NONCE_LEN: usize = 12;
const CHECK_KEY: &[u8] = b"";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{contract, memory::Memory};
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use std::sync::Arc;

    const TABLE: Table = Table { byte: 5, name: "test" };
    const SECRET: &[u8] = b"meet me at the old mill";

    fn open(disk: &Arc<Memory>, key: u8) -> Result<Sealed<Arc<Memory>>, Error> {
        Sealed::open(disk.clone(), &[key; 32], Box::new(ChaCha20Rng::seed_from_u64(1)))
    }

    fn put(key: &[u8], value: &[u8]) -> Write {
        Write::Put(TABLE, key.to_vec(), Zeroizing::new(value.to_vec()))
    }

    #[test]
    fn sealed_records_keep_the_contract() {
        contract::kv(|| Box::new(open(&Arc::default(), 1).expect("opens")));
        let disk = Arc::default();
        contract::kv_reopen(|| Box::new(open(&disk, 1).expect("opens")));
    }

    #[test]
    fn nothing_below_sees_the_value() {
        let disk = Arc::default();
        let sealed = open(&disk, 1).expect("opens");
        sealed.commit(&[put(b"a", SECRET), put(b"b", SECRET)]).expect("commits");
        let rows = disk.scan(TABLE, b"", b"", Order::Forward, 9).expect("scans");
        for (_, value) in &rows {
            assert!(!value.windows(4).any(|some| SECRET.windows(4).any(|clear| clear == some)));
        }
        assert_ne!(rows[0].1, rows[1].1);
    }

    #[test]
    fn the_wrong_key_touches_nothing() {
        let disk = Arc::default();
        open(&disk, 1).expect("opens").commit(&[put(b"a", SECRET)]).expect("commits");
        let before = disk.scan(CHECK_TABLE, b"", b"", Order::Forward, 9).expect("scans");
        assert!(matches!(open(&disk, 2), Err(Error::WrongKey)));
        assert_eq!(before, disk.scan(CHECK_TABLE, b"", b"", Order::Forward, 9).expect("scans"));
        assert_eq!(open(&disk, 1).expect("opens").get(TABLE, b"a").expect("reads"), Some(SECRET.to_vec()));
    }

    #[test]
    fn a_flipped_bit_or_a_moved_record_is_damage() {
        let disk: Arc<Memory> = Arc::default();
        let sealed = open(&disk, 1).expect("opens");
        sealed.commit(&[put(b"a", SECRET)]).expect("commits");
        let good = disk.get(TABLE, b"a").expect("reads").expect("there");
        let lies = |table: Table, key: &[u8], bytes: &[u8]| {
            let write = Write::Put(table, key.to_vec(), Zeroizing::new(bytes.to_vec()));
            disk.commit(&[write]).expect("commits");
            assert!(matches!(sealed.get(table, key), Err(Error::Damaged(_))));
            assert!(matches!(sealed.scan(table, b"", b"", Order::Forward, 9), Err(Error::Damaged(_))));
        };
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            lies(TABLE, b"a", &bad);
        }
        for length in 0..good.len() {
            lies(TABLE, b"a", &good[..length]);
        }
        lies(TABLE, b"b", &good);
        lies(Table { byte: 6, name: "other" }, b"a", &good);
    }
}
