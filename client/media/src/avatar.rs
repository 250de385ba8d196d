//! An avatar: any image file into a keyframe of 32 by 32 samples, and back into a picture.

use super::film::limits;
use image::{DynamicImage, ImageDecoder, ImageReader};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use subrosa_shared::profile::{AVATAR_MAX, AVATAR_SIDE};
use subrosa_shared::video::codec::{Ask, Decoder, Encoder, QUANTISER_MAX, Rate};
use subrosa_shared::video::picture::{Fit, Picture, Rgb};

/// The longest image file that is read, in bytes.
const FILE_MAX: u64 = 32 << 20;

/// The finest quantiser that is tried; coarser ones follow until the avatar fits.
const FINEST: u8 = 8;
const STEP: usize = 8;

/// Why a file makes no avatar; each says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be opened.
    #[error("'{0}' cannot be read ({1}): check the path, and that the file may be read")]
    Unreadable(String, std::io::Error),
    /// It is a folder, a pipe or a device, or too long.
    #[error("'{0}' is no image file of at most 32 MiB: name a PNG, JPEG or GIF")]
    NotAFile(String),
    /// It is no image, or too large a one.
    #[error("'{0}' is no image that can be used ({1}): name a PNG, JPEG or GIF of at most 8192 by 8192")]
    NoImage(String, String),
}

/// Reads an image file. Takes as long as its decoding: not for the thread that draws.
///
/// Only the picture's samples are kept: a place, a camera or a date that the file tells are not in them.
///
/// # Errors
/// [`Error`], a sentence.
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let shown: String = path.to_string_lossy().chars().take(80).collect();
    let unreadable = |error| Error::Unreadable(shown.clone(), error);
    let about = std::fs::metadata(path).map_err(unreadable)?;
    if !about.is_file() || about.len() > FILE_MAX {
        return Err(Error::NotAFile(shown));
    }
    let file = File::open(path).map_err(|error| Error::Unreadable(shown.clone(), error))?;
    let refused = |why: &dyn std::fmt::Display| Error::NoImage(shown.clone(), why.to_string());
    let image = decoded(BufReader::new(file)).map_err(|error| refused(&error))?;
    let picture = scaled(&image).ok_or_else(|| refused(&"it has no samples"))?;
    encode(&picture).ok_or_else(|| refused(&"it does not get small enough"))
}

/// A picture as an avatar's bytes; `None` when it is of another size.
pub fn encode(picture: &Picture) -> Option<Vec<u8>> {
    if (picture.width(), picture.height()) != (AVATAR_SIDE, AVATAR_SIDE) {
        return None;
    }
    (FINEST..=QUANTISER_MAX).step_by(STEP).find_map(|quantiser| {
        let mut encoder = Encoder::new(AVATAR_SIDE, AVATAR_SIDE, Rate::Quality(quantiser))?;
        let bytes = encoder.encode(picture, Ask::Keyframe).bytes;
        (bytes.len() <= AVATAR_MAX).then_some(bytes)
    })
}

/// The picture of an avatar from somebody else; `None` when its bytes make none.
pub fn decode(bytes: &[u8]) -> Option<Picture> {
    if bytes.is_empty() || bytes.len() > AVATAR_MAX {
        return None;
    }
    let picture = Decoder::new().decode(bytes).ok()?;
    ((picture.width(), picture.height()) == (AVATAR_SIDE, AVATAR_SIDE)).then_some(picture)
}

fn decoded(file: BufReader<File>) -> image::ImageResult<DynamicImage> {
    let mut reader = ImageReader::new(file).with_guessed_format()?;
    reader.limits(limits());
    let mut decoder = reader.into_decoder()?;
    let turned = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(turned);
    Ok(image)
}

fn scaled(image: &DynamicImage) -> Option<Picture> {
    // What is transparent lies on black.
    let mut rgba = image.to_rgba8();
    for pixel in rgba.pixels_mut() {
        let [r, g, b, alpha] = pixel.0.map(u16::from);
        pixel.0 = [r, g, b, 255].map(|value| (value * alpha / 255) as u8);
    }
    let rgb = Rgb::with_alpha(rgba.width() as usize, rgba.height() as usize, rgba.as_raw())?;
    Picture::from_rgb(rgb, AVATAR_SIDE, AVATAR_SIDE, Fit::Crop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageBuffer, Rgba, RgbaImage};

    fn noise() -> RgbaImage {
        let mut seed = 1u32;
        ImageBuffer::from_fn(300, 200, |_, _| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Rgba([(seed >> 24) as u8, (seed >> 16) as u8, (seed >> 8) as u8, 255])
        })
    }

    #[test]
    fn any_image_file_becomes_a_small_avatar() {
        let dir = tempfile::tempdir().expect("a folder");
        let half = RgbaImage::from_fn(64, 64, |x, _| Rgba([if x < 32 { 250 } else { 5 }, 5, 5, 255]));
        for name in ["a.png", "b.jpg", "c.gif", "noext"] {
            let path = dir.path().join(name);
            let image = DynamicImage::ImageRgba8(half.clone());
            match name {
                "b.jpg" => image.to_rgb8().save(&path).expect("saved"),
                "noext" => image.save_with_format(&path, image::ImageFormat::Png).expect("saved"),
                _ => image.save(&path).expect("saved"),
            }
            let bytes = read(&path).expect("an avatar");
            let picture = decode(&bytes).expect("decodes");
            assert!(bytes.len() < 1000, "{name}: {}", bytes.len());
            let (left, right) = (picture.rgb(4, 16), picture.rgb(28, 16));
            assert!(left[0] > 180 && right[0] < 60, "{name}: {left:?} {right:?}");
        }
    }

    #[test]
    fn the_worst_picture_fits_too() {
        let picture = scaled(&DynamicImage::ImageRgba8(noise())).expect("scales");
        assert!(encode(&picture).expect("fits").len() <= AVATAR_MAX);
    }

    #[test]
    fn what_is_no_image_gets_a_sentence() {
        let dir = tempfile::tempdir().expect("a folder");
        let text = dir.path().join("text.png");
        std::fs::write(&text, b"not a picture").expect("written");
        assert!(matches!(read(&text), Err(Error::NoImage(..))));
        assert!(matches!(read(dir.path()), Err(Error::NotAFile(_))));
        assert!(matches!(read(Path::new("/nowhere")), Err(Error::Unreadable(..))));
        // A header that promises more pixels than there is memory for.
        let mut bomb = Vec::new();
        RgbaImage::new(1, 1)
            .write_to(&mut std::io::Cursor::new(&mut bomb), image::ImageFormat::Png)
            .expect("png");
        bomb[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
        let path = dir.path().join("bomb.png");
        std::fs::write(&path, &bomb).expect("written");
        assert!(matches!(read(&path), Err(Error::NoImage(..))));
    }

    #[test]
    fn foreign_bytes_of_another_size_or_none_make_no_picture() {
        let grey = Picture::grey(48, 32).expect("in bounds");
        assert_eq!(encode(&grey), None);
        let wide = Encoder::new(48, 32, Rate::Quality(30)).expect("in bounds").encode(&grey, Ask::Keyframe);
        assert!(decode(&wide.bytes).is_none(), "another size");
        assert!(
            decode(&[]).is_none() && decode(&[2; AVATAR_MAX + 1]).is_none() && decode(b"nonsense").is_none()
        );
    }
}
