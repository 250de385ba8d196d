//! Files of a store's journal: whatever a crash or a faulty disk left is read without harm, and what is read
//! as a commit is one that was written.
#![no_main]

use sha2::Digest;
use subrosa_shared::store::journal::{Mark, aligned, encode, has_later, read};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mark = Mark([7; 16]);
    look(bytes, mark);
    // With the right beginning, so that more than the mark is looked at.
    look(&[&mark.0, bytes].concat(), mark);
    // As the content of a frame, which verifies but may hold nothing that is a write.
    let mut frame = encode(mark, 1, &[]).expect("short");
    frame.truncate(24);
    frame.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    let sum = sum_before(&frame, bytes);
    frame.extend_from_slice(&sum);
    frame.extend_from_slice(bytes);
    look(&frame, mark);
});

/// Where the checksum lies in a frame.
const SUM: std::ops::Range<usize> = 32..48;

/// The first kind of checksum, over what is before and behind it.
fn sum_before(head: &[u8], content: &[u8]) -> [u8; 16] {
    let sum = sha2::Sha256::new().chain_update(head).chain_update(content).finalize();
    sum[..16].try_into().expect("16 of 32 bytes")
}

fn look(bytes: &[u8], mark: Mark) {
    let Ok(run) = read(bytes, mark) else { return };
    let mut at = 0;
    for (number, writes) in &run.frames {
        let mut frame = encode(mark, *number, writes).expect("as long as what was read");
        let there = bytes.get(at..at + frame.len()).expect("as long as what was read");
        if there[SUM] != frame[SUM] {
            // Written by an earlier version.
            let sum = sum_before(&frame[..SUM.start], &frame[SUM.end..]);
            frame[SUM].copy_from_slice(&sum);
        }
        assert_eq!(there, frame);
        at = aligned(at + frame.len());
    }
    assert_eq!(run.end, at);
    if let Some((last, _)) = run.frames.last() {
        assert!(has_later(bytes, mark, last - 1) || *last == 0);
    }
}
