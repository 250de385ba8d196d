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
    let sum = sha2::Sha256::new().chain_update(&frame).chain_update(bytes).finalize();
    frame.extend_from_slice(&sum[..16]);
    frame.extend_from_slice(bytes);
    look(&frame, mark);
});

fn look(bytes: &[u8], mark: Mark) {
    let Ok(run) = read(bytes, mark) else { return };
    let mut at = 0;
    for (number, writes) in &run.frames {
        let frame = encode(mark, *number, writes).expect("as long as what was read");
        assert_eq!(bytes.get(at..at + frame.len()), Some(frame.as_slice()));
        at = aligned(at + frame.len());
    }
    assert_eq!(run.end, at);
    if let Some((last, _)) = run.frames.last() {
        assert!(has_later(bytes, mark, last - 1) || *last == 0);
    }
}
