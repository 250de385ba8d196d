//! What stands before the relay's handshakes: whatever comes is answered with less, or not at all, and a retry
//! that was answered comes in.
#![no_main]

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::LazyLock;
use subrosa_relay::config::Link;
use subrosa_relay::listener::{Key, server_config};
use subrosa_relay::porch::{Fate, Porch};
use subrosa_relay::tokens::TokenKey;
use subrosa_shared::time::{Millis, Now};
use vary::vary;

const NOW: Now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };

fn from() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4433))
}

/// A datagram that answered a retry.
static ANSWERED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let token = TokenKey::new([1; 32]).retry(from(), &[1; 8], NOW.wall, [9; 16]);
    let mut bytes = [&[0xC3, 0, 0, 0, 1, 8][..], &[1; 8], &[2, 9, 9, token.len() as u8], &token].concat();
    bytes.resize(1200, 0);
    bytes
});

thread_local! {
    static PORCH: RefCell<(Porch, u64)> = RefCell::new({
        let (key, link) = (Key::new().expect("made"), Link::default());
        let crypto = server_config(&key, &link).expect("usable").crypto;
        (Porch::new(TokenKey::new([1; 32]), crypto, &link, NOW.mono), 0)
    });
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    PORCH.with_borrow_mut(|(porch, mono)| {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        for datagram in [data.to_vec(), vary(&ANSWERED, data)] {
            // No bucket is ever empty.
            *mono += 1_000_000;
            let now = Now { mono: Millis(*mono), ..NOW };
            let fate = porch.fate(&datagram, from(), now, &mut rng);
            if datagram == *ANSWERED {
                assert_eq!(fate, Fate::Pass);
            }
            if let Fate::Retry(retry) = fate {
                assert!(8 * retry.len() <= datagram.len() && datagram.len() >= 1200);
            }
        }
    });
});
