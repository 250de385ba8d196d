//! Image files of others as the client shows them: whichever format it finds in them, turned as they say.
#![no_main]

use std::cell::RefCell;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use subrosa::files::preview;

thread_local! {
    static FILE: RefCell<File> = RefCell::new(tempfile::tempfile().expect("a temporary file"));
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    FILE.with_borrow_mut(|file| {
        file.set_len(0).expect("written");
        file.seek(SeekFrom::Start(0)).expect("written");
        file.write_all(data).expect("written");
        if let Some(picture) = preview::large(file, data.len() as u64) {
            assert!(picture.width() <= 320 && picture.height() <= 320);
        }
    });
});
