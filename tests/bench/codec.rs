//! The picture codec on film, beside a JPEG a picture of the same quality.

use crate::figure::{Table, Times};
use anyhow::{Context, anyhow};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageFormat};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use subrosa::media::y4m::Reader;
use subrosa_shared::video::codec::{Ask, Decoder, Encoder, Rate};
use subrosa_shared::video::picture::{Fit, Picture, Rgb};

const WIDTH: u16 = 160;
const HEIGHT: u16 = 96;
/// Pictures of each clip.
const PICTURES: usize = 150;
/// What a call may take by default is between what these two do.
const QUANTISERS: [u8; 2] = [24, 36];

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let clips = clips();
    if clips.is_empty() {
        table.value("codec", "skipped: no clips", "name a folder of y4m files in SUBROSA_CLIPS", "");
    }
    for clip in clips {
        let name = clip.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let (film, fps) = read(&clip).with_context(|| clip.display().to_string())?;
        for quantiser in QUANTISERS {
            one(table, &name, &film, fps, quantiser)?;
        }
    }
    Ok(())
}

/// One clip at one quality.
fn one(table: &mut Table, name: &str, film: &[Picture], fps: f64, quantiser: u8) -> anyhow::Result<()> {
    let mut encoder =
        Encoder::new(WIDTH, HEIGHT, Rate::Quality(quantiser)).context("a size within bounds")?;
    let mut decoder = Decoder::new();
    let [mut encoding, mut decoding] = [(); 2].map(|()| Times::default());
    let (mut bytes, mut quality) = (0, 0.0);
    for picture in film {
        let frame = encoding.of(|| encoder.encode(picture, Ask::Any));
        bytes += frame.bytes.len();
        let shown = decoding.of(|| decoder.decode(&frame.bytes))?;
        quality += shown.psnr(picture).unwrap_or(0.0);
    }
    let quality = quality / film.len() as f64;
    let jpeg = Jpeg::at_least(quality, film)?;
    let kbit = |bytes: usize| bytes as f64 * 8.0 * fps / film.len() as f64 / 1000.0;
    let what = format!("{name} at {quality:.1} dB");
    table.times(&format!("encode {what}"), &encoding, "JPEG", &jpeg.encoding);
    table.times(&format!("decode {what}"), &decoding, "JPEG", &jpeg.decoding);
    table.value(
        &format!("rate of {what}, {fps:.0} a second"),
        &format!("{:.0} kbit/s", kbit(bytes)),
        &format!("JPEG at {:.1} dB: {:.0} kbit/s", jpeg.quality, kbit(jpeg.bytes)),
        &format!("{:.2}×", bytes as f64 / jpeg.bytes as f64),
    );
    Ok(())
}

/// A clip as JPEGs, each picture by itself.
#[derive(Default)]
struct Jpeg {
    encoding: Times,
    decoding: Times,
    bytes: usize,
    quality: f64,
}

impl Jpeg {
    /// The smallest that is as good on average.
    fn at_least(quality: f64, film: &[Picture]) -> anyhow::Result<Self> {
        let (mut low, mut high) = (1, 100);
        while low < high {
            let middle = (low + high) / 2;
            if Self::of(film, middle)?.quality >= quality { high = middle } else { low = middle + 1 }
        }
        Self::of(film, low)
    }

    fn of(film: &[Picture], setting: u8) -> anyhow::Result<Self> {
        let mut jpeg = Self::default();
        for picture in film {
            let raw: Vec<u8> =
                (0..HEIGHT).flat_map(|y| (0..WIDTH).flat_map(move |x| picture.rgb(x, y))).collect();
            let mut bytes = Vec::new();
            let (width, height) = (WIDTH.into(), HEIGHT.into());
            jpeg.encoding.of(|| {
                JpegEncoder::new_with_quality(&mut bytes, setting).encode(
                    &raw,
                    width,
                    height,
                    ExtendedColorType::Rgb8,
                )
            })?;
            jpeg.bytes += bytes.len();
            let decode = || image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg);
            let back = jpeg.decoding.of(decode)?.to_rgb8();
            let rgb = Rgb::new(WIDTH.into(), HEIGHT.into(), back.as_raw()).context("as many bytes")?;
            let back = Picture::from_rgb(rgb, WIDTH, HEIGHT, Fit::Crop).context("the same size")?;
            jpeg.quality += back.psnr(picture).unwrap_or(0.0) / film.len() as f64;
        }
        Ok(jpeg)
    }
}

fn read(path: &Path) -> anyhow::Result<(Vec<Picture>, f64)> {
    let refused = |error: subrosa::media::y4m::Error| anyhow!("{error}");
    let mut reader = Reader::open(BufReader::new(File::open(path)?)).map_err(refused)?;
    let (over, under) = reader.header().rate;
    let mut film = Vec::new();
    while let Some(planes) = reader.next_picture().map_err(refused)? {
        film.extend(Picture::from_scaled(planes, WIDTH, HEIGHT, Fit::Crop));
        if film.len() == PICTURES {
            break;
        }
    }
    Ok((film, f64::from(over) / f64::from(under.max(1))))
}

/// The y4m files in `SUBROSA_CLIPS`, or in `shared/clips` beside the project.
pub fn clips() -> Vec<PathBuf> {
    let folder = std::env::var_os("SUBROSA_CLIPS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/clips"), PathBuf::from);
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut clips: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "y4m"))
        .collect();
    clips.sort();
    clips
}
