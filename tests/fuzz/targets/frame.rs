//! Frames from a peer: decoded or refused, and the same when written again.
#![no_main]

use subrosa_shared::protocol::codec::{self, PREFIX};
use subrosa_shared::protocol::frame::{ToDevice, ToRelay};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some(prefix) = data.first_chunk::<PREFIX>() {
        if let Ok(length) = codec::length(*prefix) {
            assert!((1..=codec::FRAME_MAX).contains(&length));
        }
    }
    // Most inputs should get past the version byte.
    let data = &[[codec::VERSION].as_slice(), data].concat();
    if let Ok(frame) = codec::decode::<ToRelay>(data) {
        if let Ok(bytes) = codec::encode(&frame) {
            assert_eq!(codec::decode::<ToRelay>(&bytes[PREFIX..]), Ok(frame));
        }
    }
    if let Ok(frame) = codec::decode::<ToDevice>(data) {
        if let Ok(bytes) = codec::encode(&frame) {
            assert_eq!(codec::decode::<ToDevice>(&bytes[PREFIX..]), Ok(frame));
        }
    }
});
