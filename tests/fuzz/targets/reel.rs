//! Reels: whatever a file says, memory is bounded and what is read is written the same.
#![no_main]

use subrosa::media::reel::{Reader, Writer};
use subrosa_shared::video::codec::FRAME_MAX;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(mut reader) = Reader::open(data) else { return };
    let mut writer = Writer::new(Vec::new(), reader.header()).expect("a header that was read");
    while let Ok(Some(frame)) = reader.next_frame() {
        assert!(frame.len() <= FRAME_MAX);
        writer.write(&frame).expect("memory");
    }
    let written = writer.finish().expect("memory");
    assert!(data.starts_with(&written), "each reel has one spelling");
});
