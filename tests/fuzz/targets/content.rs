//! What an opened message says: read or refused, and the same when written again.
#![no_main]

use subrosa_shared::content::{Content, VERSION};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for bytes in [data.to_vec(), [[VERSION].as_slice(), data].concat()] {
        if let Ok(content) = Content::decode(&bytes) {
            assert_eq!(Content::decode(&content.encode()), Ok(content.clone()));
            // What is inside is bounded too, and holds no other of its kind.
            if let Ok((line, clock)) = content.unplaced() {
                assert!(!matches!(line, Content::Placed { .. }), "{clock:?}");
                let _ = line.plain();
            }
        }
    }
});
