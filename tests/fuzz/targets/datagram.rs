//! Media datagrams: headers, and a viewer that gets whatever the relay sends.
#![no_main]

use std::cell::RefCell;
use subrosa::media::receive::Receiver;
use subrosa::media::send::{Sender, Shape};
use subrosa_shared::id::TrackId;
use subrosa_shared::protocol::media::Header;
use subrosa_shared::time::{Millis, Now};
use subrosa_shared::video::picture::Picture;
use vary::vary;

const TRACK: TrackId = TrackId(7);
const KEY: [u8; 32] = [1; 32];

thread_local! {
    static FRAMES: RefCell<Vec<Vec<u8>>> = RefCell::new(datagrams());
}

/// A few real frames' datagrams.
fn datagrams() -> Vec<Vec<u8>> {
    let mut sender = Sender::new(TRACK, &KEY, 1, Shape::default()).expect("the usual shape");
    let mut all = Vec::new();
    for step in 0..4u8 {
        let (width, height) = {
            let shape = Shape::default();
            (shape.width, shape.height)
        };
        let picture =
            Picture::paint(width, height, |x, y| [(x as u8) ^ step, y as u8, step]).expect("in bounds");
        all.extend(sender.send(&picture, at(u64::from(step) * 100)));
    }
    all
}

fn at(ms: u64) -> Now {
    Now { wall: Millis(1_800_000_000_000 + ms), mono: Millis(ms) }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok((header, payload)) = Header::decode(data) {
        let again = [header.encode().as_slice(), payload].concat();
        assert_eq!(again, data);
    }
    // Records of: which real datagram, how many bytes of changes, the changes.
    FRAMES.with_borrow(|frames| {
        let mut receiver = Receiver::new(TRACK, &KEY, 1);
        let mut now = 0;
        let mut data = data;
        while let [which, length, rest @ ..] = data {
            let (script, rest) = rest.split_at(usize::from(*length % 16).min(rest.len()));
            data = rest;
            now += u64::from(*length);
            let datagram = match which {
                255 => script.to_vec(),
                which => vary(&frames[usize::from(*which) % frames.len()], script),
            };
            receiver.datagram(&datagram, at(now));
            receiver.wants_keyframe(at(now));
            receiver.stats(at(now));
        }
    });
});
