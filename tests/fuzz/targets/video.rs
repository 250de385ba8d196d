//! The picture decoder: any sequence of frames gives pictures within bounds or errors.
#![no_main]

use std::sync::LazyLock;
use subrosa_shared::video::codec::{Ask, Decoder, Encoder, Rate};
use subrosa_shared::video::picture::Picture;
use vary::vary;

static FRAMES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut encoder = Encoder::new(48, 32, Rate::Quality(20)).expect("in bounds");
    let paint = |step: u8| move |x: u16, y: u16| [(x * 5) as u8, (y * 7) as u8 ^ step, step.wrapping_mul(40)];
    let pictures = (0..4).map(|step| Picture::paint(48, 32, paint(step)).expect("in bounds"));
    pictures.map(|picture| encoder.encode(&picture, Ask::Any).bytes).collect()
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut decoder = Decoder::new();
    let mut data = data;
    // Records of: which real frame (or none), how many bytes of changes, the changes.
    while let [which, length, rest @ ..] = data {
        let (script, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        data = rest;
        let frame = match FRAMES.get(usize::from(*which % 6)) {
            Some(valid) => vary(valid, script),
            None => script.to_vec(),
        };
        if let Ok(picture) = decoder.decode(&frame) {
            assert!(picture.width() <= 320 && picture.height() <= 200);
            picture.rgb(picture.width() - 1, picture.height() - 1);
        }
    }
});
