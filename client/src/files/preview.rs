//! A small picture of an image file, as one keyframe of the picture codec.
//!
//! The author's client makes it; the other end decodes nothing but our own codec, whose pictures are
//! bounded before anything is allocated.

use crate::media::film::limits;
use image::{DynamicImage, ImageDecoder, ImageReader};
use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use subrosa_shared::content::file::PREVIEW_MAX;
use subrosa_shared::video::codec::{Ask, Decoder, Encoder, QUANTISER_MAX, Rate};
use subrosa_shared::video::picture::{Fit, HEIGHT_MAX, Picture, Rgb, SIDE_MIN, WIDTH_MAX};

/// The longest image file of which a picture is made, in bytes.
const FILE_MAX: u64 = 64 << 20;
/// Samples of the longer side.
const SIDE: u32 = 128;
/// The finest quantiser that is tried; coarser ones follow until it fits.
const FINEST: u8 = 16;
const STEP: usize = 8;
/// Samples of the longer side when it is looked at by itself.
const LARGE: u32 = 320;

/// A small picture of an image file; empty when it is none that can be used. The file is read from its
/// beginning.
pub fn make(file: &mut File, length: u64) -> Vec<u8> {
    let mut small = || {
        let picture = read(file, length, SIDE)?;
        (FINEST..=QUANTISER_MAX).step_by(STEP).find_map(|quantiser| {
            let mut encoder = Encoder::new(picture.width(), picture.height(), Rate::Quality(quantiser))?;
            let bytes = encoder.encode(&picture, Ask::Keyframe).bytes;
            (bytes.len() <= PREVIEW_MAX).then_some(bytes)
        })
    };
    small().unwrap_or_default()
}

/// The picture of such bytes from somebody else; `None` when they make none.
pub fn decode(bytes: &[u8]) -> Option<Picture> {
    if bytes.is_empty() || bytes.len() > PREVIEW_MAX {
        return None;
    }
    Decoder::new().decode(bytes).ok()
}

/// An image file as large as a picture can be here; bounded before anything is allocated.
pub fn large(file: &mut File, length: u64) -> Option<Picture> {
    read(file, length, LARGE)
}

fn read(file: &mut File, length: u64, side: u32) -> Option<Picture> {
    if length == 0 || length > FILE_MAX {
        return None;
    }
    file.seek(SeekFrom::Start(0)).ok()?;
    let mut reader = ImageReader::new(BufReader::new(file)).with_guessed_format().ok()?;
    reader.limits(limits());
    let mut decoder = reader.into_decoder().ok()?;
    let turned = decoder.orientation().ok()?;
    let mut image = DynamicImage::from_decoder(decoder).ok()?;
    image.apply_orientation(turned);
    let mut rgba = image.to_rgba8();
    for pixel in rgba.pixels_mut() {
        // What is transparent lies on black.
        let [r, g, b, alpha] = pixel.0.map(u16::from);
        pixel.0 = [r, g, b, 255].map(|value| (value * alpha / 255) as u8);
    }
    let (width, height) = within(rgba.width(), rgba.height(), side);
    let rgb = Rgb::with_alpha(rgba.width() as usize, rgba.height() as usize, rgba.as_raw())?;
    Picture::from_rgb(rgb, width, height, Fit::Crop)
}

/// The image's size with `side` samples on its longer side, in steps that the codec takes.
fn within(width: u32, height: u32, side: u32) -> (u16, u16) {
    let longer = width.max(height).max(1);
    let scaled = |length: u32, most: u16| {
        let length = (u64::from(length) * u64::from(side) / u64::from(longer)) as u32;
        // Even, since colours have half the samples.
        (length & !1).clamp(u32::from(SIDE_MIN), u32::from(most) & !1) as u16
    };
    (scaled(width, WIDTH_MAX), scaled(height, HEIGHT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgba, RgbaImage};

    fn saved(dir: &std::path::Path, name: &str, image: &RgbaImage) -> File {
        let path = dir.join(name);
        match name.ends_with(".jpg") {
            true => DynamicImage::ImageRgba8(image.clone()).to_rgb8().save(&path).expect("saved"),
            false => image.save(&path).expect("saved"),
        }
        File::open(path).expect("there")
    }

    #[test]
    fn image_files_have_a_small_picture_with_their_aspect() {
        let dir = tempfile::tempdir().expect("a folder");
        let half = RgbaImage::from_fn(600, 300, |x, _| Rgba([if x < 300 { 250 } else { 5 }, 5, 5, 255]));
        for name in ["a.png", "b.jpg", "c.gif"] {
            let mut file = saved(dir.path(), name, &half);
            let length = file.metadata().expect("there").len();
            let bytes = make(&mut file, length);
            let picture = decode(&bytes).expect("decodes");
            assert_eq!((picture.width(), picture.height()), (128, 64), "{name}");
            assert!(picture.rgb(10, 32)[0] > 180 && picture.rgb(118, 32)[0] < 70, "{name}");
            let large = large(&mut file, length).expect("an image");
            assert_eq!((large.width(), large.height()), (320, 160));
        }
    }

    #[test]
    fn the_worst_image_fits_and_a_long_thin_one_is_no_trouble() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut seed = 1u32;
        let noise = RgbaImage::from_fn(300, 300, |_, _| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Rgba([(seed >> 24) as u8, (seed >> 16) as u8, (seed >> 8) as u8, 255])
        });
        let mut file = saved(dir.path(), "noise.png", &noise);
        let length = file.metadata().expect("there").len();
        let bytes = make(&mut file, length);
        assert!(!bytes.is_empty() && bytes.len() <= PREVIEW_MAX, "{}", bytes.len());
        let mut thin = saved(dir.path(), "thin.png", &RgbaImage::new(2000, 1));
        let length = thin.metadata().expect("there").len();
        assert!(decode(&make(&mut thin, length)).is_some());
    }

    #[test]
    fn other_files_and_foreign_nonsense_have_none() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("text.png");
        std::fs::write(&path, b"no picture").expect("written");
        assert!(make(&mut File::open(&path).expect("there"), 10).is_empty());
        assert!(decode(&[]).is_none() && decode(b"nonsense").is_none());
        assert!(decode(&[3; PREVIEW_MAX + 1]).is_none());
    }
}
