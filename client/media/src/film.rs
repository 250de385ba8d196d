//! Pictures that are held in memory: GIFs and sequences of images.

use super::source::{Error, Size};
use image::codecs::gif::GifDecoder;
use image::{AnimationDecoder, DynamicImage, ImageDecoder, ImageReader, Limits};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;
use subrosa_shared::video::picture::{Fit, Picture, Rgb};

/// A short film that begins anew when it is over.
pub(super) struct Film {
    /// Each picture and when it ends, from the film's start.
    pictures: Vec<(Duration, Picture)>,
}

/// The most pictures of a film; what comes later is not shown. At 320 by 200 this is 96 MB.
const PICTURES_MAX: usize = 1000;

/// The longest side of an image that is decoded, and the most memory that takes.
const SIDE_MAX: u32 = 8192;
const DECODE_MAX: u64 = 256 << 20;

/// How long each image of a sequence is shown.
const STILL: Duration = Duration::from_millis(100);

impl Film {
    /// The picture at a moment; `None` when there are none at all.
    pub fn at(&self, elapsed: Duration) -> Option<&Picture> {
        let whole = self.pictures.last()?.0;
        let into = Duration::from_nanos((elapsed.as_nanos() % whole.as_nanos().max(1)) as u64);
        self.pictures.iter().find(|(end, _)| into < *end).or(self.pictures.last()).map(|(_, picture)| picture)
    }

    /// From the first picture to the end of the last.
    pub fn length(&self) -> Duration {
        self.pictures.last().map_or(Duration::ZERO, |(end, _)| *end)
    }

    /// An animated GIF.
    pub fn gif(path: &Path, size: Size) -> Result<Self, Error> {
        let file = File::open(path).map_err(|error| Error::unreadable(path, &error))?;
        let bad = |error: image::ImageError| Error::unreadable(path, &error);
        let mut decoder = GifDecoder::new(BufReader::new(file)).map_err(bad)?;
        decoder.set_limits(limits()).map_err(bad)?;
        let mut film = Self { pictures: Vec::new() };
        for frame in decoder.into_frames().take(PICTURES_MAX) {
            // A GIF that was cut shows what there is of it.
            let Ok(frame) = frame else { break };
            let shown = Duration::from(frame.delay());
            // Browsers read a delay below 20 ms as 100.
            let shown = if shown < Duration::from_millis(20) { STILL } else { shown };
            film.push(&DynamicImage::ImageRgba8(frame.into_buffer()), shown, size)?;
        }
        film.checked(path)
    }

    /// One image or several, in the order given.
    pub fn stills(paths: &[PathBuf], size: Size) -> Result<Self, Error> {
        let mut film = Self { pictures: Vec::new() };
        for path in paths.iter().take(PICTURES_MAX) {
            let mut reader = ImageReader::open(path)
                .and_then(ImageReader::with_guessed_format)
                .map_err(|error| Error::unreadable(path, &error))?;
            reader.limits(limits());
            let image = reader.decode().map_err(|error| Error::unreadable(path, &error))?;
            film.push(&image, STILL, size)?;
        }
        film.checked(paths.first().map_or(Path::new(""), PathBuf::as_path))
    }

    fn push(&mut self, image: &DynamicImage, shown: Duration, size: Size) -> Result<(), Error> {
        // What is transparent lies on black.
        let mut rgba = image.to_rgba8();
        for pixel in rgba.pixels_mut() {
            let [r, g, b, alpha] = pixel.0.map(u16::from);
            pixel.0 = [r, g, b, 255].map(|value| (value * alpha / 255) as u8);
        }
        let (width, height) = (rgba.width() as usize, rgba.height() as usize);
        let rgb = Rgb::with_alpha(width, height, rgba.as_raw()).ok_or(Error::Size)?;
        let picture = Picture::from_rgb(rgb, size.width, size.height, Fit::Crop).ok_or(Error::Size)?;
        let start = self.pictures.last().map_or(Duration::ZERO, |(end, _)| *end);
        self.pictures.push((start + shown, picture));
        Ok(())
    }

    fn checked(self, path: &Path) -> Result<Self, Error> {
        if self.pictures.is_empty() {
            Err(Error::unreadable(path, &"there is no picture in it"))
        } else {
            Ok(self)
        }
    }
}

/// What decoding an image may take.
pub fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(DECODE_MAX);
    limits
}
