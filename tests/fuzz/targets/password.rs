//! What a relay answers to somebody who signs in, and the backup that it hands out.
#![no_main]

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::sync::LazyLock;
use subrosa::chat::backup::State;
use subrosa::login::{Next, SignIn};
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::codec;
use subrosa_shared::protocol::frame::ToDevice;
use subrosa_shared::protocol::password::Epoch;
use subrosa_shared::session::backup::{open_state, seal_state};
use subrosa_shared::session::opaque::Bound;
use subrosa_shared::session::vault::Cost;
use vary::{choose, vary};

const KEY: [u8; 32] = [5; 32];
const EPOCH: Epoch = Epoch([3; 16]);

static BOUND: LazyLock<Bound> =
    LazyLock::new(|| Bound { name: AccountName::parse("ada").expect("valid"), relay: [7; 32] });

static STATE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let state = State { head: None, contacts: Vec::new(), settings: "[screen]\nsidebar = 30\n".into() };
    state.encode().to_vec()
});

static SEALED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    seal_state(&KEY, &STATE, &BOUND, EPOCH, rng).expect("it is short")
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = choose(data, 4) else { return };
    let rng = &mut ChaCha20Rng::seed_from_u64(2);
    match choice {
        0 => {
            if let Ok(state) = State::decode(data) {
                assert_eq!(State::decode(&state.encode()), Ok(state));
            }
        }
        1 => drop(State::decode(&vary(&STATE, data))),
        2 => {
            let sealed = vary(&SEALED, data);
            if open_state(&KEY, &sealed, &BOUND, EPOCH).is_ok() {
                assert_eq!(sealed, *SEALED);
            }
        }
        _ => {
            let password = String::from("gravel teapot").into();
            let (mut login, _) = SignIn::begin(BOUND.clone(), [9; 32], password, rng).expect("short enough");
            // Frames of: length, that many bytes.
            let mut data = data;
            while let [length, rest @ ..] = data {
                let (bytes, rest) = rest.split_at(usize::from(*length).min(rest.len()));
                data = rest;
                let frame = [[codec::VERSION].as_slice(), bytes].concat();
                let Ok(frame) = codec::decode::<ToDevice>(&frame) else { return };
                match login.frame(frame, rng) {
                    Ok(Some(Next::Stretch(stretch))) => {
                        if login.stretched(stretch.run(Cost::TINY, rng)).is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        }
    }
});
