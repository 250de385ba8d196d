//! A picture as sixels: for terminals that show those and no image files.
//!
//! Each dot is sent, so it is for pictures that stay where they are on a terminal of this machine.
//! Like a JPEG it lies in the cells, and goes with what is written there.

use super::ink::{Ycc, rgb, ycc};
use super::paints;
use ratatui::layout::Rect;
use subrosa_shared::video::picture::Picture;

/// Colours of the palette; every terminal with sixels has at least that many.
const COLOURS: usize = 32;
/// Dots of a picture at most, in each direction.
const SIDE_MAX: u32 = 2048;
/// Dots of one character of sixels, from the top down.
const BAND: u32 = 6;
/// From so many on, a repeated character is shorter as a number.
const RUN: usize = 4;

/// The bytes that show a picture in these cells, each of so many dots; `None` when the size of a cell is
/// not known or makes no sense. The cursor is where it was afterwards.
pub fn print(picture: &Picture, place: Rect, (wide, tall): (u16, u16)) -> Option<Vec<u8>> {
    let width = u32::from(place.width) * u32::from(wide);
    let height = u32::from(place.height) * u32::from(tall);
    if width == 0 || height == 0 || width > SIDE_MAX || height > SIDE_MAX {
        return None;
    }
    let (columns, rows) = (u32::from(picture.width()), u32::from(picture.height()));
    let samples: Vec<Ycc> = (0..picture.height())
        .flat_map(|y| (0..picture.width()).map(move |x| (x, y)))
        .map(|(x, y)| ycc(picture.rgb(x, y)))
        .collect();
    let weighed: Vec<(Ycc, f32)> = samples.iter().map(|sample| (*sample, 1.0)).collect();
    let colours = paints::choose(&weighed, COLOURS);
    let numbers: Vec<usize> = samples.iter().map(|sample| paints::closest(&colours, *sample).0).collect();
    let number = |x: u32, y: u32| {
        let (x, y) = (x * columns / width, y * rows / height);
        numbers[(y * columns + x) as usize]
    };
    let mut out = format!("\x1b7\x1b[{};{}H\x1bP0;1q\"1;1;{width};{height}", place.y + 1, place.x + 1);
    for (at, colour) in colours.iter().enumerate() {
        // In hundredths.
        let [r, g, b] = rgb(*colour).map(|value| (u32::from(value) * 100 + 127) / 255);
        out.push_str(&format!("#{at};2;{r};{g};{b}"));
    }
    for top in (0..height).step_by(BAND as usize) {
        let mut masks: Vec<Vec<u8>> = vec![Vec::new(); colours.len()];
        for x in 0..width {
            for y in top..(top + BAND).min(height) {
                let mask = &mut masks[number(x, y)];
                mask.resize(width as usize, 0);
                mask[x as usize] |= 1 << (y - top);
            }
        }
        for (at, mask) in masks.iter().enumerate().filter(|(_, mask)| !mask.is_empty()) {
            out.push_str(&format!("#{at}"));
            // What is empty to the right need not be said.
            let end = mask.iter().rposition(|bits| *bits > 0).map_or(0, |last| last + 1);
            for run in mask[..end].chunk_by(|a, b| a == b) {
                let c = char::from(b'?' + run[0]);
                match run.len() {
                    count if count < RUN => out.extend(std::iter::repeat_n(c, count)),
                    count => out.push_str(&format!("!{count}{c}")),
                }
            }
            out.push('$');
        }
        out.push('-');
    }
    out.push_str("\x1b\\\x1b8");
    Some(out.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a terminal makes of sixels: dots in row order, black where nothing was set.
    fn drawn(text: &str) -> (usize, usize, Vec<[u8; 3]>) {
        let body = text.split_once('q').expect("sixels").1.split_once('\x1b').expect("an end").0;
        let mut rest = body.strip_prefix("\"1;1;").expect("a size");
        let number = |rest: &mut &str| {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let value: usize = rest[..end].parse().expect("a number");
            *rest = &rest[end..];
            value
        };
        let width = number(&mut rest);
        rest = &rest[1..];
        let height = number(&mut rest);
        let mut dots = vec![[0; 3]; width * height];
        let (mut palette, mut colour, mut x, mut top) = (vec![[0u8; 3]; 256], 0, 0, 0);
        while let Some(c) = rest.chars().next() {
            rest = &rest[1..];
            let mut count = 1;
            let mut c = c;
            match c {
                '#' => {
                    colour = number(&mut rest);
                    if rest.starts_with(";2;") {
                        rest = &rest[2..];
                        for part in &mut palette[colour][..3] {
                            rest = &rest[1..];
                            *part = (number(&mut rest) * 255 / 100) as u8;
                        }
                    }
                    continue;
                }
                '$' => {
                    x = 0;
                    continue;
                }
                '-' => {
                    (x, top) = (0, top + 6);
                    continue;
                }
                '!' => {
                    count = number(&mut rest);
                    c = rest.chars().next().expect("what is repeated");
                    rest = &rest[1..];
                }
                _ => {}
            }
            let bits = c as u8 - b'?';
            for _ in 0..count {
                for row in (0..6).filter(|row| bits >> row & 1 == 1) {
                    dots[(top + row) * width + x] = palette[colour];
                }
                x += 1;
            }
        }
        (width, height, dots)
    }

    #[test]
    fn sixels_are_the_picture_in_its_cells() {
        let paint = |x: u16, y: u16| [if x < 40 { 250 } else { 20 }, (y * 5) as u8, 60];
        let picture = Picture::paint(80, 48, paint).expect("in bounds");
        let bytes = print(&picture, Rect::new(4, 2, 20, 7), (9, 17)).expect("a size");
        let text = String::from_utf8(bytes).expect("ASCII");
        assert!(text.starts_with("\x1b7\x1b[3;5H\x1bP0;1q\"1;1;180;119#0;2;"), "{}", &text[..60]);
        assert!(text.ends_with("-\x1b\\\x1b8"));
        let (width, height, dots) = drawn(&text);
        assert_eq!((width, height), (180, 119));
        for (x, y) in [(5, 5), (80, 60), (100, 10), (170, 110)] {
            let seen = dots[y * width + x];
            let want = paint((x * 80 / 180) as u16, (y * 48 / 119) as u16);
            let far = seen.iter().zip(want).map(|(a, b)| a.abs_diff(b)).max().unwrap_or(0);
            assert!(far < 32, "{x},{y}: {seen:?} instead of {want:?}");
        }
        assert!(dots.iter().all(|dot| *dot != [0; 3]), "no hole in it");
    }

    #[test]
    fn without_the_size_of_a_cell_there_are_none() {
        let picture = Picture::paint(16, 16, |_, _| [9; 3]).expect("in bounds");
        assert!(print(&picture, Rect::new(0, 0, 10, 5), (0, 0)).is_none());
        assert!(print(&picture, Rect::new(0, 0, 10, 5), (u16::MAX, 10)).is_none());
        assert!(print(&picture, Rect::ZERO, (8, 16)).is_none());
    }
}
