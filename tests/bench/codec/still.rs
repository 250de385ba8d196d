//! Pictures each by itself, as most video in terminals goes over the network.

use super::clip::Film;
use super::curve::{Curve, Point, WANTED};
use anyhow::Context;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageFormat};
use std::io::Write;
use subrosa_shared::video::picture::{Fit, Picture, Rgb};

/// A JPEG a picture, as a program would make it: with the usual Huffman tables.
pub fn jpeg(film: &Film) -> anyhow::Result<Curve<u8>> {
    Curve::around(&WANTED, 1..=100, |setting| {
        let (mut bytes, mut shown) = (0, Vec::new());
        for picture in &film.pictures {
            let mut file = Vec::new();
            JpegEncoder::new_with_quality(&mut file, setting).encode(
                &pixels(picture).concat(),
                film.width.into(),
                film.height.into(),
                ExtendedColorType::Rgb8,
            )?;
            bytes += file.len();
            let back = image::load_from_memory_with_format(&file, ImageFormat::Jpeg)?.to_rgb8();
            shown.push(from_rgb(film, back.as_raw())?);
        }
        Ok(Point { kbit: film.kbit(bytes), decibels: film.quality(&shown)? })
    })
}

/// A byte for each pixel, which is half a cell: its colour out of 256; then one deflate stream, flushed
/// after each picture.
pub fn cells(film: &Film) -> anyhow::Result<Point> {
    let mut stream = ZlibEncoder::new(Vec::new(), Compression::best());
    let mut shown = Vec::new();
    for picture in &film.pictures {
        let colours: Vec<u8> = pixels(picture).into_iter().map(nearest).collect();
        stream.write_all(&colours)?;
        stream.flush()?;
        let rgb: Vec<u8> = colours.into_iter().flat_map(colour).collect();
        shown.push(from_rgb(film, &rgb)?);
    }
    Ok(Point { kbit: film.kbit(stream.get_ref().len()), decibels: film.quality(&shown)? })
}

fn pixels(picture: &Picture) -> Vec<[u8; 3]> {
    let (width, height) = (picture.width(), picture.height());
    (0..height).flat_map(|y| (0..width).map(move |x| picture.rgb(x, y))).collect()
}

fn from_rgb(film: &Film, bytes: &[u8]) -> anyhow::Result<Picture> {
    let rgb = Rgb::new(film.width.into(), film.height.into(), bytes).context("too few bytes")?;
    Picture::from_rgb(rgb, film.width, film.height, Fit::Crop).context("a size out of bounds")
}

/// The colour of 256 that is closest: of the cube, or of the greys.
fn nearest(wanted: [u8; 3]) -> u8 {
    let [r, g, b] = wanted.map(|value| {
        let far = |level: &u8| CUBE[usize::from(*level)].abs_diff(value);
        (0..6).min_by_key(far).unwrap_or_default()
    });
    let mean = wanted.iter().map(|value| u16::from(*value)).sum::<u16>() / 3;
    let grey = 232 + (mean.saturating_sub(3) / 10).min(23) as u8;
    let far = |number: u8| -> u32 {
        wanted.iter().zip(colour(number)).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
    };
    let cube = 16 + 36 * r + 6 * g + b;
    if far(cube) <= far(grey) { cube } else { grey }
}

/// What the terminal shows for one of the colours 16 to 255.
fn colour(number: u8) -> [u8; 3] {
    match number {
        232.. => [8 + 10 * (number - 232); 3],
        _ => {
            let place = usize::from(number.saturating_sub(16));
            [CUBE[place / 36], CUBE[place / 6 % 6], CUBE[place % 6]]
        }
    }
}

/// The levels of xterm's colour cube.
const CUBE: [u8; 6] = [0, 95, 135, 175, 215, 255];
