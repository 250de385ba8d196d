//! What comes with files: questions at the relay and its answers, chunks, names, small pictures.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;
use subrosa::files::{names, preview};
use subrosa_shared::content::file::Key;
use subrosa_shared::protocol::blob::{Answer, BlobId, Request};
use subrosa_shared::protocol::codec::{decode, encode};
use subrosa_shared::session::file::{open, seal};
use subrosa_shared::video::codec::{Ask, Encoder, Rate};
use subrosa_shared::video::picture::Picture;
use vary::{choose, vary};

const KEY: [u8; 32] = [7; 32];
const SIZE: u64 = 40;

/// A request, a sealed chunk, a small picture.
static WHOLE: LazyLock<(Vec<u8>, Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let request = encode(&Request::Put { id: BlobId([3; 16]), size: 1 << 20 }).expect("fits");
    let chunk = seal(&Key(KEY), 0, SIZE, &[1; SIZE as usize], &mut rand());
    let picture = Picture::paint(64, 48, |x, y| [(x * 4) as u8, (y * 4) as u8, 90]).expect("in bounds");
    let mut encoder = Encoder::new(64, 48, Rate::Quality(24)).expect("in bounds");
    (request[4..].to_vec(), chunk, encoder.encode(&picture, Ask::Keyframe).bytes)
});

fn rand() -> rand_chacha::ChaCha20Rng {
    rand_chacha::rand_core::SeedableRng::seed_from_u64(1)
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = choose(data, 4) else { return };
    match choice {
        0 => {
            for bytes in [data.to_vec(), vary(&WHOLE.0, data)] {
                if let Ok(request) = decode::<Request>(&bytes) {
                    assert_eq!(decode(&encode(&request).expect("fits")[4..]), Ok(request));
                }
                if let Ok(answer) = decode::<Answer>(&bytes) {
                    assert_eq!(decode(&encode(&answer).expect("fits")[4..]), Ok(answer));
                }
            }
        }
        1 => {
            let chunk = vary(&WHOLE.1, data);
            let opened = open(&Key(KEY), 0, SIZE, &chunk);
            assert_eq!(opened.is_ok(), chunk == WHOLE.1, "what was changed does not open");
        }
        2 => {
            let name = names::safe(&String::from_utf8_lossy(data));
            assert_eq!(Path::new(&name).components().count(), 1);
            assert_eq!(names::safe(&name), name);
        }
        _ => {
            preview::decode(data);
            preview::decode(&vary(&WHOLE.2, data));
        }
    }
});
