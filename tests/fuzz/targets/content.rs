//! What an opened message says: read or refused, and the same when written again.
#![no_main]

use subrosa::chat::wrapped::unwrap_all;
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
    // What stands before it in a head, too.
    for form in [&b""[..], b"\x00", b"\x00\x02", b"\x02", b"\x00\x02\x03ada\x03ben\x00"] {
        let opened = [form, data].concat();
        if let Some(between) = unwrap_all(&opened, &[]).between {
            let again = between.address(&[]);
            assert!(opened.windows(again.len()).any(|bytes| bytes == again.as_slice()));
        }
    }
});
