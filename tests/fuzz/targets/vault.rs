//! The vault's header, with a hash that fits so that the fields behind it are reached.
#![no_main]

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;
use subrosa_shared::session::vault::{Cost, HEADER_LEN, MAGIC, create, open};
use vary::{choose, vary};

static HEADER: LazyLock<Vec<u8>> = LazyLock::new(|| {
    create("passphrase", Cost::TINY, &mut ChaCha20Rng::seed_from_u64(1)).expect("bounded").1
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = choose(data, 3) else { return };
    let mut header = match choice {
        0 => data.to_vec(),
        _ => vary(&HEADER, data),
    };
    if choice == 2 && header.len() == HEADER_LEN {
        // A cost within bounds may still be gibibytes: those are spent in no test.
        let at = MAGIC.len() + 4;
        header[at..at + 2].fill(0);
        header[at + 4..at + 7].fill(0);
        header[at + 7] &= 1;
        let (body, hash) = header.split_at_mut(HEADER_LEN - 32);
        hash.copy_from_slice(&Sha256::digest(body));
    }
    if open(&header, "passphrase").is_ok() {
        assert_eq!(header, *HEADER);
    }
});
