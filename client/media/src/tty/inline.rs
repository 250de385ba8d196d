//! A picture as an image file inside the terminal's bytes, for terminals that show those.
//!
//! Each picture is sent in full, so it costs the same whether anything moved or not. A talking head
//! in 80 by 24 cells is better off with cells below about three kilobytes a picture; footage that
//! moves as a whole is better off with an image from one and a half (`bench terminal`).

use super::ink::{Ycc, far, rgb, ycc};
use super::paints;
use data_encoding::BASE64;
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use ratatui::layout::Rect;
use subrosa_shared::video::picture::{Fit, Picture, SIDE_MIN};

/// How a terminal is told of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inline {
    /// OSC 1337 with a JPEG: iTerm2, WezTerm. It lies in the cells, and goes with them.
    Jpeg,
    /// Kitty's graphics protocol with a PNG: kitty, Ghostty. A picture replaces the one before it
    /// under the same number, and lies over the text until it is taken away.
    Kitty {
        /// The image's number.
        id: u32,
    },
}

/// Makes images of pictures, and remembers what helps with the next one.
#[derive(Debug)]
pub struct Plate {
    kind: Inline,
    /// The palette of the last one.
    colours: Vec<Ycc>,
    /// How far from its best a sample's colour was, so that it fitted.
    slack: usize,
}

/// Bytes of a kitty chunk's payload at most.
const CHUNK: usize = 4096;
/// JPEG below this quality shows its blocks: rather fewer samples.
const QUALITY_MIN: u8 = 12;
const QUALITY_MAX: u8 = 90;
/// Colours of a palette, chosen from each so many samples.
const COLOURS: usize = 64;
const EACH: usize = 4;
/// How much more wrong (squared) a sample may be so that it is as the one before, or above.
const SLACK: [f32; 9] = [1.0, 3.0, 5.0, 8.0, 14.0, 30.0, 60.0, 120.0, 240.0];
/// How much of its samples each way of an image holds in each direction: all, or fewer shown larger.
const PARTS: [(u16, u16); 5] = [(1, 1), (3, 4), (1, 2), (3, 8), (1, 4)];

impl Plate {
    /// For images of this kind.
    pub fn new(kind: Inline) -> Self {
        Self { kind, colours: Vec::new(), slack: 0 }
    }

    /// How the terminal is told.
    pub fn kind(&self) -> Inline {
        self.kind
    }

    /// The bytes that show the picture in these cells, at most `budget` of them; `None` when that is
    /// too few. The cursor is where it was afterwards. An image covers whatever lies in its place:
    /// text over it has to be written again.
    pub fn print(&mut self, picture: &Picture, place: Rect, budget: usize) -> Option<Vec<u8>> {
        if place.is_empty() {
            return None;
        }
        let slack = self.slack;
        PARTS.into_iter().find_map(|(part, of)| {
            self.slack = slack;
            let [width, height] =
                [picture.width(), picture.height()].map(|side| (side * part / of).max(SIDE_MIN.min(side)));
            let scaled = picture.scaled(width, height, Fit::Crop)?;
            match self.kind {
                Inline::Jpeg => jpeg(&scaled, place, budget),
                Inline::Kitty { id } => self.kitty(&scaled, place, id, budget),
            }
        })
    }

    /// The finest that fits, in a palette chosen for it.
    fn kitty(&mut self, picture: &Picture, place: Rect, id: u32, budget: usize) -> Option<Vec<u8>> {
        let samples: Vec<Ycc> = pixels(picture).as_chunks().0.iter().map(|rgb| ycc(*rgb)).collect();
        let some: Vec<_> = samples.iter().step_by(EACH).map(|sample| (*sample, 1.0)).collect();
        if self.colours.is_empty() {
            self.colours = paints::choose(&some, COLOURS);
        } else {
            paints::settle(&some, &mut self.colours, 1);
        }
        // Neighbours that look alike get numbers that are alike.
        self.colours.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let best: Vec<(usize, f32)> =
            samples.iter().map(|sample| paints::closest(&self.colours, *sample)).collect();
        // As coarse as the last one had to be, or a little finer when there was room.
        (self.slack..SLACK.len()).find_map(|slack| {
            let image = self.numbers(&samples, &best, picture.width().into(), SLACK[slack]);
            let file = indexed(picture, &self.colours, &image)?;
            let out = chunks(&file, place, id);
            let fits = out.len() <= budget;
            let has_room = out.len() < budget / 4 * 3;
            self.slack = if fits && has_room { slack.saturating_sub(1) } else { slack };
            fits.then_some(out)
        })
    }

    /// Which colour each sample is: the best, or that of its neighbour when it is hardly worse.
    fn numbers(&self, samples: &[Ycc], best: &[(usize, f32)], width: usize, slack: f32) -> Vec<u8> {
        let mut image: Vec<u8> = Vec::with_capacity(samples.len());
        for (at, (sample, (best, error))) in samples.iter().zip(best).enumerate() {
            let beside = (!at.is_multiple_of(width)).then(|| image[at - 1]);
            let above = at.checked_sub(width).map(|above| image[above]);
            let alike = |number: &u8| far(self.colours[usize::from(*number)], *sample) <= error + slack;
            image.push(beside.into_iter().chain(above).find(alike).unwrap_or(*best as u8));
        }
        image
    }
}

/// The bytes that take the image with this number away again.
pub fn forget(id: u32) -> Vec<u8> {
    format!("\x1b_Ga=d,d=I,i={id},q=2\x1b\\").into_bytes()
}

/// The bytes that show an image in these cells that the terminal has under that number.
pub fn put(id: u32, place: Rect) -> Vec<u8> {
    let mut out = begin(place);
    let (width, height) = (place.width, place.height);
    out.extend_from_slice(format!("\x1b_Ga=p,i={id},p=1,c={width},r={height},C=1,q=2\x1b\\\x1b8").as_bytes());
    out
}

/// The bytes that take the image with this number off the screen; the terminal keeps it.
pub fn hide(id: u32) -> Vec<u8> {
    format!("\x1b_Ga=d,d=i,i={id},q=2\x1b\\").into_bytes()
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
        // An image that ends in the last row scrolls some screens, unless the cursor stays.
        out.extend_from_slice(
            format!(
                "\x1b]1337;File=inline=1;width={width};height={height};preserveAspectRatio=0;doNotMoveCursor=1;size={}:",
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

/// A PNG file of these numbers of colours.
fn indexed(picture: &Picture, colours: &[Ycc], image: &[u8]) -> Option<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, picture.width().into(), picture.height().into());
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(colours.iter().flat_map(|colour| rgb(*colour)).collect::<Vec<_>>());
    encoder.set_compression(png::Compression::Balanced);
    encoder.set_filter(png::Filter::NoFilter);
    let mut writer = encoder.write_header().ok()?;
    writer.write_image_data(image).ok()?;
    writer.finish().ok()?;
    Some(file)
}

/// A PNG file for kitty: shown at once in so many cells, the cursor stays, nothing is answered.
fn chunks(file: &[u8], place: Rect, id: u32) -> Vec<u8> {
    let text = BASE64.encode(file);
    let mut out = begin(place);
    let mut chunks = text.as_bytes().chunks(CHUNK).peekable();
    let mut first = true;
    while let Some(chunk) = chunks.next() {
        let more = u8::from(chunks.peek().is_some());
        let head = if std::mem::take(&mut first) {
            format!("a=T,f=100,i={id},p=1,c={},r={},C=1,q=2,m={more}", place.width, place.height)
        } else {
            format!("m={more}")
        };
        out.extend_from_slice(format!("\x1b_G{head};").as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\x1b\\");
    }
    out.extend_from_slice(b"\x1b8");
    out
}

/// The cursor is saved and goes to the picture's place.
fn begin(place: Rect) -> Vec<u8> {
    format!("\x1b7\x1b[{};{}H", place.y + 1, place.x + 1).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face;
    use std::time::Duration;

    fn inline(picture: &Picture, place: Rect, kind: Inline, budget: usize) -> Option<Vec<u8>> {
        Plate::new(kind).print(picture, place, budget)
    }

    fn face() -> Picture {
        face::picture(160, 96, Duration::from_secs(1), 7).expect("in bounds")
    }

    #[test]
    fn a_jpeg_fits_its_budget_and_is_the_picture() {
        let place = Rect::new(2, 3, 80, 24);
        let mut last = 0;
        for budget in [1500, 2000, 4000, 8000] {
            let bytes = inline(&face(), place, Inline::Jpeg, budget).expect("fits");
            assert!(bytes.len() <= budget && bytes.len() > last);
            last = bytes.len();
            let text = String::from_utf8(bytes).expect("text");
            assert!(text.starts_with("\x1b7\x1b[4;3H\x1b]1337;File=inline=1;width=80;height=24;"));
            let file = text.strip_suffix("\x07\x1b8").and_then(|text| text.rsplit(':').next());
            let file = BASE64.decode(file.expect("a file").as_bytes()).expect("base64");
            let image = image::load_from_memory(&file).expect("a JPEG").to_rgb8();
            assert_eq!(image.width() * 96, image.height() * 160);
        }
        assert!(inline(&face(), place, Inline::Jpeg, 100).is_none());
        assert!(inline(&face(), Rect::ZERO, Inline::Jpeg, 10_000).is_none());
    }

    #[test]
    fn kitty_takes_it_in_chunks() {
        let mut plate = Plate::new(Inline::Kitty { id: 9 });
        let place = Rect::new(0, 0, 80, 24);
        let best = plate.print(&face(), place, 100_000).expect("fits").len();
        let mut last = usize::MAX;
        for (budget, floor) in [(100_000, 34.0), (best * 3 / 4, 26.0), (best / 2, 20.0)] {
            let bytes = plate.print(&face(), place, budget).expect("fits");
            assert!(bytes.len() <= budget && bytes.len() < last, "{} of {budget}", bytes.len());
            last = bytes.len();
            let text = String::from_utf8(bytes).expect("text");
            let chunks: Vec<&str> = text.split("\x1b_G").skip(1).collect();
            let more = usize::from(chunks.len() > 1);
            let head = format!("a=T,f=100,i=9,p=1,c=80,r=24,C=1,q=2,m={more};");
            assert!(chunks[0].starts_with(&head), "{}", &chunks[0][..50]);
            let payload = |chunk: &&str| chunk.split([';', '\x1b']).nth(1).expect("a payload").to_owned();
            assert!(chunks.iter().all(|chunk| payload(chunk).len() <= CHUNK));
            let file: String = chunks.iter().map(payload).collect();
            let image = image::load_from_memory(&BASE64.decode(file.as_bytes()).expect("base64"));
            let image = image.expect("a PNG").to_rgb8();
            let (width, height) = (image.width() as u16, image.height() as u16);
            let seen = Picture::paint(width, height, |x, y| image.get_pixel(x.into(), y.into()).0);
            let source = face().scaled(width, height, Fit::Crop).expect("in bounds");
            let quality = seen.expect("in bounds").psnr(&source).expect("the same size");
            assert!(quality > floor, "{quality:.1} dB in {last} bytes");
        }
        assert!(plate.print(&face(), place, 300).is_none());
        assert_eq!(forget(9), b"\x1b_Ga=d,d=I,i=9,q=2\x1b\\");
    }
}
