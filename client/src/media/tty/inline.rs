//! A picture as an image file inside the terminal's bytes, for terminals that show those.
//!
//! Each picture is sent in full, so it costs the same whether anything moved or not. A talking head
//! in 80 by 24 cells is better off with cells below about three kilobytes a picture; footage that
//! moves as a whole is better off with an image from one and a half (`bench terminal`).

use data_encoding::BASE64;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use ratatui::layout::Rect;
use subrosa_shared::video::picture::{Fit, Picture, SIDE_MIN};

/// How a terminal is told of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inline {
    /// OSC 1337 with a JPEG: iTerm2, WezTerm, mintty, Konsole.
    Jpeg,
    /// Kitty's graphics protocol with a PNG: kitty, Ghostty, WezTerm, Konsole. A picture replaces
    /// the one before it under the same number.
    Kitty {
        /// The image's number.
        id: u32,
    },
}

/// Bytes of a kitty chunk's payload at most.
const CHUNK: usize = 4096;
/// JPEG below this quality shows its blocks: rather fewer samples.
const QUALITY_MIN: u8 = 12;
const QUALITY_MAX: u8 = 90;

/// The bytes that show the picture in the middle of `area`, at most `budget` of them; `None` when
/// that is too few. The cursor is where it was afterwards. An image covers whatever lies in its
/// place: text over it has to be written again.
pub fn inline(picture: &Picture, area: Rect, kind: Inline, budget: usize) -> Option<Vec<u8>> {
    let place = crate::media::cells::fit(picture, area);
    if place.is_empty() {
        return None;
    }
    // As many samples as fit: all of them, or fewer that are shown larger.
    let sizes = [(1, 1), (3, 4), (1, 2), (3, 8), (1, 4)].into_iter().map(|(part, of)| {
        [picture.width(), picture.height()].map(|side| (side * part / of).max(SIDE_MIN.min(side)))
    });
    sizes.into_iter().find_map(|[width, height]| {
        let scaled = picture.scaled(width, height, Fit::Crop)?;
        match kind {
            Inline::Jpeg => jpeg(&scaled, place, budget),
            Inline::Kitty { id } => kitty(&scaled, place, id).filter(|bytes| bytes.len() <= budget),
        }
    })
}

/// Takes the image with this number away again.
pub fn forget(id: u32) -> Vec<u8> {
    format!("\x1b_Ga=d,d=I,i={id},q=2\x1b\\").into_bytes()
}

fn pixels(picture: &Picture) -> Vec<u8> {
    let row = |y| (0..picture.width()).flat_map(move |x| picture.rgb(x, y));
    (0..picture.height()).flat_map(row).collect()
}

/// The best quality that fits.
fn jpeg(picture: &Picture, place: Rect, budget: usize) -> Option<Vec<u8>> {
    let raw = pixels(picture);
    let encode = |quality: u8| {
        let mut file = Vec::new();
        let (width, height) = (picture.width().into(), picture.height().into());
        let mut encoder = JpegEncoder::new_with_quality(&mut file, quality);
        encoder.encode(&raw, width, height, ExtendedColorType::Rgb8).ok()?;
        let mut out = begin(place);
        let (width, height) = (place.width, place.height);
        out.extend_from_slice(
            format!(
                "\x1b]1337;File=inline=1;width={width};height={height};preserveAspectRatio=0;size={}:",
                file.len()
            )
            .as_bytes(),
        );
        out.extend_from_slice(BASE64.encode(&file).as_bytes());
        out.extend_from_slice(b"\x07\x1b8");
        (out.len() <= budget).then_some(out)
    };
    let (mut low, mut high) = (QUALITY_MIN, QUALITY_MAX);
    let mut best = encode(low)?;
    while low < high {
        let middle = (low + high).div_ceil(2);
        match encode(middle) {
            Some(better) => (best, low) = (better, middle),
            None => high = middle - 1,
        }
    }
    Some(best)
}

fn kitty(picture: &Picture, place: Rect, id: u32) -> Option<Vec<u8>> {
    let mut file = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut file, CompressionType::Best, FilterType::Adaptive);
    let (width, height) = (picture.width().into(), picture.height().into());
    encoder.write_image(&pixels(picture), width, height, ExtendedColorType::Rgb8).ok()?;
    let text = BASE64.encode(&file);
    let mut out = begin(place);
    let mut chunks = text.as_bytes().chunks(CHUNK).peekable();
    let mut first = true;
    while let Some(chunk) = chunks.next() {
        let more = u8::from(chunks.peek().is_some());
        let head = if std::mem::take(&mut first) {
            // Shown at once in so many cells, the cursor stays, nothing is answered.
            format!("a=T,f=100,i={id},p=1,c={},r={},C=1,q=2,m={more}", place.width, place.height)
        } else {
            format!("m={more}")
        };
        out.extend_from_slice(format!("\x1b_G{head};").as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\x1b\\");
    }
    out.extend_from_slice(b"\x1b8");
    Some(out)
}

/// The cursor is saved and goes to the picture's place.
fn begin(place: Rect) -> Vec<u8> {
    format!("\x1b7\x1b[{};{}H", place.y + 1, place.x + 1).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::face;
    use std::time::Duration;

    fn face() -> Picture {
        face::picture(160, 96, Duration::from_secs(1), 7).expect("in bounds")
    }

    #[test]
    fn a_jpeg_fits_its_budget_and_is_the_picture() {
        let area = Rect::new(2, 3, 80, 24);
        let mut last = 0;
        for budget in [1500, 2000, 4000, 8000] {
            let bytes = inline(&face(), area, Inline::Jpeg, budget).expect("fits");
            assert!(bytes.len() <= budget && bytes.len() > last);
            last = bytes.len();
            let text = String::from_utf8(bytes).expect("text");
            assert!(text.starts_with("\x1b7\x1b[4;3H\x1b]1337;File=inline=1;width=80;height=24;"));
            let file = text.strip_suffix("\x07\x1b8").and_then(|text| text.rsplit(':').next());
            let file = BASE64.decode(file.expect("a file").as_bytes()).expect("base64");
            let image = image::load_from_memory(&file).expect("a JPEG").to_rgb8();
            assert_eq!(image.width() * 96, image.height() * 160);
        }
        assert!(inline(&face(), area, Inline::Jpeg, 100).is_none());
        assert!(inline(&face(), Rect::ZERO, Inline::Jpeg, 10_000).is_none());
    }

    #[test]
    fn kitty_takes_it_in_chunks() {
        let bytes = inline(&face(), Rect::new(0, 0, 80, 24), Inline::Kitty { id: 9 }, 100_000).expect("fits");
        let text = String::from_utf8(bytes).expect("text");
        let chunks: Vec<&str> = text.split("\x1b_G").skip(1).collect();
        assert!(chunks[0].starts_with("a=T,f=100,i=9,p=1,c=80,r=24,C=1,q=2,m=1;"), "{}", &chunks[0][..50]);
        let payload = |chunk: &&str| chunk.split([';', '\x1b']).nth(1).expect("a payload").to_owned();
        assert!(chunks.iter().all(|chunk| payload(chunk).len() <= CHUNK));
        let file: String = chunks.iter().map(payload).collect();
        let image = image::load_from_memory(&BASE64.decode(file.as_bytes()).expect("base64")).expect("a PNG");
        assert_eq!(image.to_rgb8().get_pixel(80, 40).0, face().rgb(80, 40));
        assert_eq!(forget(9), b"\x1b_Ga=d,d=I,i=9,q=2\x1b\\");
    }
}
