//! Picture files and streams: y4m, GIF, PNG and JPEG.
#![no_main]

use std::cell::RefCell;
use std::io::{Seek, SeekFrom, Write};
use std::time::Duration;
use subrosa::media::source::{Size, Source, Spec};
use subrosa::media::y4m::Reader;
use vary::choose;

const SIZE: Size = Size { width: 32, height: 24 };

thread_local! {
    static FILE: RefCell<tempfile::NamedTempFile> =
        RefCell::new(tempfile::NamedTempFile::new().expect("a temporary file"));
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = choose(data, 5) else { return };
    if choice < 2 {
        let head: &[u8] = if choice == 0 { b"" } else { b"YUV4MPEG2 W4 H2 F25:1 C420\nFRAME\n" };
        let bytes = [head, data].concat();
        let Ok(mut reader) = Reader::open(bytes.as_slice()) else { return };
        for _ in 0..64 {
            match reader.next_picture() {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        return;
    }
    let (magic, gif): (&[u8], bool) = match choice {
        2 => (b"GIF89a\x02\x00\x02\x00\x80\x00\x00", true),
        3 => (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x02\x00\x00\x00\x02\x08\x02", false),
        _ => (b"\xff\xd8\xff\xe0", false),
    };
    FILE.with_borrow_mut(|file| {
        file.as_file_mut().set_len(0).expect("written");
        file.seek(SeekFrom::Start(0)).expect("written");
        file.write_all(magic).and_then(|()| file.write_all(data)).expect("written");
        let path = file.path().to_path_buf();
        let spec = if gif { Spec::Gif(path) } else { Spec::Stills(path) };
        if let Ok(mut source) = Source::open(&spec, SIZE) {
            for ms in [0, 50, 1_000_000] {
                let _picture = source.picture(Duration::from_millis(ms));
            }
        }
    });
});
