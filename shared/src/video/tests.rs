//! The codec through its front door.

#[path = "../../../tests/harness/carphone.rs"]
mod carphone;

use super::codec::*;
use super::head::{Head, Kind};
use crate::video::picture::{Fit, Picture, Planes};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

/// A bright disc that wanders over a slanted slope, in integers.
fn clip(width: u16, height: u16, tick: u16) -> Picture {
    let (cx, cy) = (i32::from(width) / 4 + i32::from(tick) * 2, i32::from(height) / 2 - i32::from(tick));
    let paint = |x: u16, y: u16| {
        let (x, y) = (i32::from(x), i32::from(y));
        let (dx, dy) = (x - cx, y - cy);
        if dx * dx + dy * dy < i32::from(height) * i32::from(height) / 9 {
            [230, (200 - dx * 3).clamp(0, 255) as u8, (90 + dy * 4).clamp(0, 255) as u8]
        } else {
            [(x * 2 + y) as u8 / 2, (60 + y * 2).min(255) as u8, (x * y / 40 % 120) as u8]
        }
    };
    Picture::paint(width, height, paint).expect("in bounds")
}

/// Frames, what a decoder makes of them, and the mean PSNR.
fn run(width: u16, height: u16, rate: Rate, count: u16) -> (Vec<Frame>, Vec<Picture>, f64) {
    let mut encoder = Encoder::new(width, height, rate).expect("in bounds");
    let mut decoder = Decoder::new();
    let (mut frames, mut pictures, mut psnr) = (Vec::new(), Vec::new(), 0.0);
    for tick in 0..count {
        let source = clip(width, height, tick);
        let frame = encoder.encode(&source, Ask::Any);
        assert_eq!(frame.keyframe, tick == 0);
        let picture = decoder.decode(&frame.bytes).expect("our own frame");
        assert_eq!(encoder.shown().as_ref(), Some(&picture), "both sides have the same picture");
        psnr += picture.psnr(&source).expect("same size") / f64::from(count);
        frames.push(frame);
        pictures.push(picture);
    }
    (frames, pictures, psnr)
}

#[test]
fn golden_bitstream() {
    let (frames, pictures, psnr) = run(48, 32, Rate::Quality(24), 6);
    let hash = |parts: &mut dyn Iterator<Item = &[u8]>| {
        let digest = parts.fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize();
        data_encoding::HEXLOWER.encode(&digest[..8])
    };
    let stream = hash(&mut frames.iter().map(|f| f.bytes.as_slice()));
    let shown = hash(&mut pictures.iter().flat_map(|p| [&p.luma[..], &p.cb, &p.cr]));
    assert_eq!(frames[0].bytes[..6], [0x78, 0, 0, 24 << 2, 48, 32]);
    assert_eq!(frames[1].bytes[..3], [0x61, 0, 1]);
    assert_eq!((stream.as_str(), shown.as_str()), ("b043fa3cae86eafb", "346372e65dc92a3d"));
    assert!(psnr > 36.0, "{psnr} dB");
}

#[test]
fn every_size_comes_back() {
    for (width, height) in [(16, 16), (17, 31), (33, 16), (80, 48), (95, 63), (320, 200)] {
        let (_, pictures, psnr) = run(width, height, Rate::Quality(20), 2);
        assert_eq!((pictures[1].width(), pictures[1].height()), (width, height));
        assert!(psnr > 34.0, "{psnr} dB at {width}x{height}");
    }
    assert!(Encoder::new(15, 16, Rate::Quality(1)).is_none());
    assert!(Encoder::new(320, 201, Rate::Quality(1)).is_none());
}

#[test]
fn every_quantiser_works_and_finer_looks_better() {
    let psnr = [0, 16, 32, 48, QUANTISER_MAX].map(|q| run(48, 32, Rate::Quality(q), 2).2);
    assert!(psnr.windows(2).all(|pair| pair[0] > pair[1]), "{psnr:?}");
    assert!(psnr[0] > 44.0, "{psnr:?}");
}

#[test]
fn a_lost_reference_needs_a_keyframe_and_the_decoder_goes_on() {
    let mut encoder = Encoder::new(48, 32, Rate::Quality(24)).expect("in bounds");
    let mut decoder = Decoder::new();
    let mut frame = |tick, ask| encoder.encode(&clip(48, 32, tick), ask).bytes;
    let frames: Vec<_> = (0..4).map(|tick| frame(tick, Ask::Any)).collect();
    assert_eq!(decoder.decode(&frames[1]), Err(Error::NeedReference));
    assert!(decoder.decode(&frames[0]).is_ok());
    assert_eq!(decoder.decode(&frames[2]), Err(Error::NeedReference));
    assert!(decoder.decode(&frames[1]).is_ok(), "an error changes nothing");
    let again = frame(4, Ask::Keyframe);
    assert!(decoder.decode(&again).is_ok());
    assert!(decoder.decode(&frame(5, Ask::Any)).is_ok());
}

#[test]
fn the_second_layer_may_be_left_out() {
    let mut encoder = Encoder::new(48, 32, Rate::Quality(24)).expect("in bounds").with_layers(Layers::Two);
    let (mut all, mut thinned) = (Decoder::new(), Decoder::new());
    let mut layers = Vec::new();
    for tick in 0..6 {
        let frame = encoder.encode(&clip(48, 32, tick), Ask::Any);
        let picture = all.decode(&frame.bytes).expect("our own frame");
        if frame.layer == 0 {
            assert_eq!(thinned.decode(&frame.bytes), Ok(picture));
        }
        layers.push(frame.layer);
    }
    assert_eq!(layers, [0, 1, 0, 1, 0, 1]);
}

#[test]
fn a_budget_is_kept() {
    for bytes_per_second in [1_000, 4_000] {
        let (frames, _, psnr) = run(80, 48, Rate::Budget { bytes_per_second, fps: 10 }, 50);
        let total: usize = frames.iter().map(|f| f.bytes.len()).sum();
        println!("{bytes_per_second} B/s: {} B/s, {psnr:.1} dB", total / 5);
        assert!(total <= 5 * bytes_per_second as usize * 13 / 10, "{total} bytes in 5 s");
        assert!(frames.iter().skip(1).all(|f| f.bytes.len() <= bytes_per_second as usize * 4 / 10));
    }
}

#[test]
fn keyframes_and_cuts_fit_their_datagrams() {
    for (width, height, limit) in [(80, 48, 1_050), (160, 96, 2_100)] {
        for bytes_per_second in [1_000, 4_000, 8_000] {
            let rate = Rate::Budget { bytes_per_second, fps: 10 };
            let mut encoder = Encoder::new(width, height, rate).expect("in bounds");
            let noise = |x: u16, y: u16| [((x * 37) ^ (y * 91)) as u8, (x * y) as u8, (x * 5) as u8];
            for tick in 0..8 {
                let source = match tick {
                    5 => Picture::paint(width, height, noise).expect("in bounds"),
                    _ => clip(width, height, tick),
                };
                let frame = encoder.encode(&source, Ask::Any);
                assert!(frame.bytes.len() <= limit, "{frame:?} of {width}x{height}");
            }
        }
    }
}

#[test]
fn a_picture_that_stands_still_is_nearly_free() {
    for rate in [Rate::Quality(32), Rate::Budget { bytes_per_second: 1_000, fps: 10 }] {
        let mut encoder = Encoder::new(160, 96, rate).expect("in bounds");
        let frames: Vec<Frame> =
            (0..80).map(|_| encoder.encode(&clip(160, 96, 3), Ask::Any)).skip(60).collect();
        assert!(frames.iter().all(|frame| frame.bytes.len() <= 6), "{frames:?}");
    }
}

#[test]
fn changed_frames_never_panic() {
    let (frames, ..) = run(48, 32, Rate::Quality(24), 3);
    for frame in &frames[..2] {
        for bit in 0..frame.bytes.len() * 8 {
            let mut bytes = frame.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let mut decoder = Decoder::new();
            let _first = decoder.decode(&frames[0].bytes);
            // Any answer will do.
            let _any = decoder.decode(&bytes);
        }
        for length in 0..frame.bytes.len() {
            let _any = Decoder::new().decode(&frame.bytes[..length]);
        }
    }
    assert_eq!(Decoder::new().decode(&[1, 0, 0, 0]), Err(Error::Version(1)));
    assert_eq!(Decoder::new().decode(&[]), Err(Error::Malformed));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn noise_never_panics(
        kind in any::<bool>(), quantiser in 0u8..64, number in any::<u8>(),
        size in (16u16..=64, 16u16..=64), noise in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let mut decoder = Decoder::new();
        let mut encoder = Encoder::new(32, 32, Rate::Quality(40)).expect("in bounds");
        decoder.decode(&encoder.encode(&clip(32, 32, 0), Ask::Any).bytes).expect("our own frame");
        let mut bytes = Vec::new();
        let kind = if kind {
            Kind::Key { quantiser, width: size.0, height: size.1 }
        } else {
            Kind::From { distance: 1 + (number & 1) }
        };
        Head { number: 1, golden: true, layer: 0, kind }.write(&mut bytes);
        bytes.extend(&noise);
        if let Ok(picture) = decoder.decode(&bytes) {
            prop_assert!(picture.width() <= 64 && picture.height() <= 64);
        }
        let _any = Decoder::new().decode(&noise);
    }
}

/// Prints what real footage costs.
#[test]
fn a_talking_head_fits_a_thin_link() {
    let Some(clip) = carphone::clip(concat!(env!("CARGO_MANIFEST_DIR"), "/..")) else { return };
    let (width, height, fps) = (80, 48, 10);
    let mut encoder = Encoder::new(width, height, Rate::Quality(32)).expect("in bounds");
    let mut decoder = Decoder::new();
    let (mut size, mut psnr, mut count) = (0, 0.0, 0);
    // 15 pictures a second become 10; two seconds are enough here.
    for at in (0..30).filter(|at| at % 3 != 2) {
        let planes = carphone::picture(&clip, at);
        let source = Picture::from_scaled(planes, width, height, Fit::Crop).expect("in bounds");
        let frame = encoder.encode(&source, Ask::Any);
        size += frame.bytes.len();
        psnr += decoder.decode(&frame.bytes).expect("ours").psnr(&source).expect("same size");
        count += 1;
    }
    let (psnr, kbits) = (psnr / f64::from(count), (size * 8 * fps) as f64 / f64::from(count) / 1000.0);
    println!("carphone {width}x{height} at {fps} fps: {kbits:.2} kbit/s, {psnr:.2} dB");
    assert!(psnr > 29.0 && kbits < 15.0, "{kbits} kbit/s, {psnr} dB");
}

#[test]
fn any_acknowledged_frame_is_enough_to_recover() {
    for (layers, held) in [(Layers::One, 6), (Layers::Two, 6), (Layers::One, 5)] {
        let encoder = Encoder::new(48, 32, Rate::Quality(24)).expect("in bounds");
        let mut encoder = encoder.with_layers(layers);
        let mut decoder = Decoder::new();
        for tick in 0..=held {
            let frame = encoder.encode(&clip(48, 32, tick), Ask::Any);
            decoder.decode(&frame.bytes).expect("our own frame");
        }
        assert_eq!(decoder.newest(), Some(held));
        assert!(encoder.encode(&clip(48, 32, held + 1), Ask::Recover).keyframe, "none is acknowledged");
        for tick in held + 2..held + 5 {
            let frame = encoder.encode(&clip(48, 32, tick), Ask::Any);
            assert!(!frame.keyframe);
        }
        encoder.acknowledge(held);
        let frame = encoder.encode(&clip(48, 32, held + 5), Ask::Recover);
        assert!(frame.golden && !frame.keyframe);
        assert_eq!(Decoder::new().decode(&frame.bytes), Err(Error::NeedReference));
        let picture = decoder.decode(&frame.bytes).expect("it missed four frames, one of them a keyframe");
        assert_eq!(encoder.shown(), Some(picture));
        for tick in held + 6..held + 12 {
            let next = encoder.encode(&clip(48, 32, tick), Ask::Any);
            assert!(decoder.decode(&next.bytes).is_ok(), "what follows refers to the frame that recovered");
        }
    }
}

#[test]
fn a_frame_of_the_second_layer_is_never_referred_to() {
    let mut encoder = Encoder::new(48, 32, Rate::Quality(24)).expect("in bounds").with_layers(Layers::Two);
    for tick in 0..4 {
        encoder.encode(&clip(48, 32, tick), Ask::Any);
    }
    encoder.acknowledge(3);
    assert!(encoder.encode(&clip(48, 32, 4), Ask::Recover).keyframe, "3 is in layer 1");
}

#[test]
fn with_acknowledged_frames_alone_any_one_may_be_lost() {
    let mut encoder = Encoder::new(48, 32, Rate::Quality(24)).expect("in bounds");
    encoder.set_chain(Chain::Acknowledged);
    let mut decoder = Decoder::new();
    let mut shown = 0;
    for tick in 0..40 {
        let frame = encoder.encode(&clip(48, 32, tick), Ask::Any);
        let lost = tick % 3 == 1 && tick > 4;
        if !lost {
            decoder.decode(&frame.bytes).expect("its reference is held");
            shown += 1;
        }
        if let Some(held) = decoder.newest() {
            encoder.acknowledge(held);
        }
    }
    assert_eq!(shown, 29);
}

#[test]
fn a_frame_that_decoders_may_have_dropped_is_not_used() {
    let mut encoder = Encoder::new(48, 32, Rate::Quality(24)).expect("in bounds");
    encoder.encode(&clip(48, 32, 0), Ask::Any);
    encoder.acknowledge(0);
    for tick in 1..17 {
        encoder.encode(&clip(48, 32, tick), Ask::Any);
    }
    assert!(encoder.encode(&clip(48, 32, 17), Ask::Recover).keyframe);
}
