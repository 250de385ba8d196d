//! Sealed frames: only the very bytes that were sealed open, with the facts they were sealed with.
#![no_main]

use std::sync::LazyLock;
use subrosa_shared::id::TrackId;
use subrosa_shared::session::sframe::{Facts, Opener, Sealer};
use vary::{choose, vary};

const KEY: [u8; 32] = [4; 32];
const FACTS: Facts = Facts { track: TrackId(1), frame: 0, keyframe: true, layer: 0 };

static SEALED: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut sealer = Sealer::new(&KEY, 300);
    (0..3).map(|n| sealer.seal(&FACTS, &vec![n; 40 * usize::from(n)]).expect("counts on")).collect()
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = choose(data, 5) else { return };
    let mut opener = Opener::new(&KEY, 300);
    match SEALED.get(usize::from(choice)) {
        Some(sealed) => {
            let bytes = vary(sealed, data);
            assert_eq!(opener.open(&FACTS, &bytes).is_ok(), bytes == *sealed);
        }
        // libFuzzer sees what is compared, and so learns what was sealed.
        None => assert_eq!(opener.open(&FACTS, data).is_ok(), SEALED.iter().any(|sealed| sealed == data)),
    }
});
