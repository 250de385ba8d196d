//! Payloads of sealed frames: one spelling each, and a sender that hears whatever a watcher says.
#![no_main]

use subrosa::media::feedback::{decode, encode};
use subrosa::media::send::{Sender, Shape};
use subrosa_shared::id::TrackId;
use subrosa_shared::time::{Millis, Now};
use subrosa_shared::video::picture::Picture;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok((feedback, frame)) = decode(data) {
        assert_eq!(encode(feedback.as_ref(), frame), data);
    }
    let shape = Shape { width: 16, height: 16, ..Shape::default() };
    let mut sender = Sender::new(TrackId(1), &[1; 32], 0, shape).expect("in bounds");
    let picture = Picture::grey(16, 16).expect("in bounds");
    for (tick, record) in data.chunks(8).take(64).enumerate() {
        let now = Now { wall: Millis(0), mono: Millis(tick as u64 * 100) };
        sender.send(&picture, now);
        if let Ok((Some(feedback), _)) = decode(record) {
            sender.heard(&feedback, now);
            sender.tell(feedback, now);
        }
        assert!(sender.poll(now).len() < 32);
        assert!((2_000..=shape.budget).contains(&sender.budget()));
    }
});
