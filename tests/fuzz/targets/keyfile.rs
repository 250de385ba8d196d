//! Armoured key files: read before a passphrase is asked for.
#![no_main]

use subrosa::export::keyfile::{BEGIN, END, parse};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = parse(text);
    // Most of what is random has no armour.
    if let Ok(bytes) = parse(&format!("{BEGIN}\nVersion: 1\n\n{text}\n{END}\n")) {
        assert!(bytes.len() <= text.len());
    }
});
