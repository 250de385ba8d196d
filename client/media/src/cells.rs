//! A picture into characters with colours.

use crate::tty;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;
use subrosa_shared::video::picture::{Picture, shares};

/// Which characters a picture is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Letters and signs by brightness: for any terminal.
    Ascii,
    /// Upper halves: two colours a cell.
    #[default]
    Halves,
    /// Quarters: four places, two colours a cell.
    Quadrants,
    /// Sixths: six places, two colours a cell (Unicode 13).
    Sextants,
    /// Eighths: eight places, two colours a cell (Unicode 16).
    Octants,
    /// Dots: eight places, one colour a cell.
    Braille,
}

/// Which colours a terminal shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colours {
    /// None (NO_COLOR).
    Mono,
    /// The 16 of the terminal's own palette.
    Sixteen,
    /// The 256 of xterm.
    Palette,
    /// 24 bits.
    #[default]
    True,
}

/// The largest rectangle in the middle of `area` with the picture's aspect, where a cell is twice
/// as tall as wide; empty when the area is.
pub fn fit(picture: &Picture, area: Rect) -> Rect {
    // A picture of w × h square samples wants w × h / 2 cells.
    let (w, h) = (u32::from(picture.width()) * 2, u32::from(picture.height()));
    let (width, height) = (u32::from(area.width), u32::from(area.height));
    if width == 0 || height == 0 {
        return Rect { width: 0, height: 0, ..area };
    }
    let (width, height) = if width * h > height * w {
        ((height * w + h / 2) / h, height)
    } else {
        (width, (width * h + w / 2) / w)
    };
    let (width, height) =
        (width.clamp(1, area.width.into()) as u16, height.clamp(1, area.height.into()) as u16);
    Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
}

/// Draws the picture in the middle of `area`, as large as fits with its aspect. Cells beside it
/// are left as they are.
pub fn draw(picture: &Picture, area: Rect, buf: &mut Buffer, mode: Mode, colours: Colours) {
    let area = fit(picture, area.intersection(buf.area));
    if area.is_empty() {
        return;
    }
    let (across, down) = match mode {
        Mode::Ascii => (1, 1),
        Mode::Halves => (1, 2),
        Mode::Quadrants => (2, 2),
        Mode::Sextants => (2, 3),
        Mode::Octants | Mode::Braille => (2, 4),
    };
    let grid = Grid::new(picture, usize::from(area.width) * across, usize::from(area.height) * down);
    for row in 0..area.height {
        for column in 0..area.width {
            let (x, y) = (usize::from(column) * across, usize::from(row) * down);
            let (glyph, fore, back) = match mode {
                Mode::Ascii => ascii(&grid, x, y),
                Mode::Halves => halves(&grid, x, y, colours),
                Mode::Quadrants => mosaic::<4>(&grid, x, y, colours, tty::quadrant),
                Mode::Sextants => mosaic::<6>(&grid, x, y, colours, tty::sextant),
                Mode::Octants => mosaic::<8>(&grid, x, y, colours, tty::octant),
                Mode::Braille => braille(&grid, x, y),
            };
            if let Some(cell) = buf.cell_mut((area.x + column, area.y + row)) {
                cell.reset();
                cell.set_char(glyph);
                cell.set_fg(fore.map_or(Color::Reset, |c| colours.nearest(c)));
                cell.set_bg(back.map_or(Color::Reset, |c| colours.nearest(c)));
            }
        }
    }
}

/// Red, green, blue.
type Rgb = [u8; 3];

/// A glyph, its colour, the colour behind it.
type Drawn = (char, Option<Rgb>, Option<Rgb>);

/// The picture averaged to one colour for each place in the cells.
struct Grid {
    width: usize,
    colours: Vec<Rgb>,
}

impl Grid {
    fn new(picture: &Picture, width: usize, height: usize) -> Self {
        let (from_w, from_h) = (usize::from(picture.width()), usize::from(picture.height()));
        let (columns, rows) = (shares(from_w, width), shares(from_h, height));
        let mut colours = Vec::with_capacity(width * height);
        for row in &rows {
            for column in &columns {
                let (mut sums, mut whole) = ([0u32; 3], 0);
                for (y, tall) in row {
                    for (x, wide) in column {
                        let colour = picture.rgb(*x as u16, *y as u16);
                        sums.iter_mut().zip(colour).for_each(|(sum, v)| *sum += u32::from(v) * tall * wide);
                        whole += tall * wide;
                    }
                }
                colours.push(sums.map(|sum| ((sum + whole / 2) / whole) as u8));
            }
        }
        Self { width, colours }
    }

    fn at(&self, x: usize, y: usize) -> Rgb {
        self.colours[y * self.width + x]
    }
}

fn ascii(grid: &Grid, x: usize, y: usize) -> Drawn {
    let colour = grid.at(x, y);
    (tty::RAMP[usize::from(brightness(colour)) * tty::RAMP.len() / 256], Some(colour), None)
}

fn halves(grid: &Grid, x: usize, y: usize, colours: Colours) -> Drawn {
    let (upper, lower) = (grid.at(x, y), grid.at(x, y + 1));
    if colours == Colours::Mono {
        let set = u8::from(lit(upper, x, y)) | u8::from(lit(lower, x, y + 1)) << 1;
        return (tty::half(set), None, None);
    }
    ('▀', Some(upper), Some(lower))
}

/// Places in rows of two, each in one of two colours.
fn mosaic<const N: usize>(grid: &Grid, x: usize, y: usize, colours: Colours, glyph: fn(u8) -> char) -> Drawn {
    let places: [(usize, usize); N] = std::array::from_fn(|at| (x + at % 2, y + at / 2));
    let seen = places.map(|(x, y)| grid.at(x, y));
    if colours == Colours::Mono {
        let lit = (0..N).filter(|at| lit(seen[*at], places[*at].0, places[*at].1)).map(|at| 1 << at).sum();
        return (glyph(lit), None, None);
    }
    // Of the ways to divide the places in two colours, the one with the least error.
    let split = |set: usize| {
        let side = |on: bool| (0..N).filter(move |at| (set >> at & 1 == 1) == on);
        let (fore, back) = (mean(side(true).map(|at| seen[at])), mean(side(false).map(|at| seen[at])));
        let error: u32 = (0..N)
            .map(|at| far(seen[at], if set >> at & 1 == 1 { fore } else { back }.unwrap_or_default()))
            .sum();
        (error, set, fore, back)
    };
    // A division and its opposite are the same but for the colours: half of them are enough.
    let (half, whole) = (1 << (N - 1), 1 << N);
    let (_, set, fore, back) =
        (half..whole).map(split).min_by_key(|(error, set, ..)| (*error, whole - set)).unwrap_or_default();
    (glyph(set as u8), fore, back)
}

fn braille(grid: &Grid, x: usize, y: usize) -> Drawn {
    let places: [(usize, usize); 8] = std::array::from_fn(|at| (x + at % 2, y + at / 2));
    let is_lit = |at: &usize| lit(grid.at(places[*at].0, places[*at].1), places[*at].0, places[*at].1);
    let set: u8 = (0..8).filter(is_lit).map(|at| 1 << at).sum();
    let colour = mean((0..8).filter(is_lit).map(|at| grid.at(places[at].0, places[at].1)));
    (tty::braille(set), colour.map(vivid), None)
}

/// Dots already say how bright a place is, so the colour says only which.
fn vivid(colour: Rgb) -> Rgb {
    let most = u32::from(*colour.iter().max().unwrap_or(&0)).max(1);
    let wanted = (most + 255) / 2;
    colour.map(|value| (u32::from(value) * wanted / most).min(255) as u8)
}

fn brightness([r, g, b]: Rgb) -> u8 {
    ((299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) + 500) / 1000) as u8
}

/// Whether a dot is lit, by ordered dithering (Bayer's 4 by 4 matrix), so that the pattern of a
/// still picture stands still.
fn lit(colour: Rgb, x: usize, y: usize) -> bool {
    const BAYER: [[u8; 4]; 4] = [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]];
    brightness(colour) > BAYER[y % 4][x % 4] * 16 + 8
}

fn mean(colours: impl Iterator<Item = Rgb>) -> Option<Rgb> {
    let (mut sums, mut count) = ([0u32; 3], 0);
    for colour in colours {
        sums.iter_mut().zip(colour).for_each(|(sum, value)| *sum += u32::from(value));
        count += 1;
    }
    (count > 0).then(|| sums.map(|sum| ((sum + count / 2) / count) as u8))
}

/// How different two colours look, roughly: squared distance with green weighed most.
fn far(a: Rgb, b: Rgb) -> u32 {
    let square = |at: usize| u32::from(a[at].abs_diff(b[at])).pow(2);
    square(0) * 3 + square(1) * 6 + square(2)
}

impl Colours {
    /// The nearest colour that the terminal shows.
    pub fn nearest(self, colour: [u8; 3]) -> Color {
        match self {
            Self::Mono => Color::Reset,
            Self::True => Color::Rgb(colour[0], colour[1], colour[2]),
            Self::Palette => Color::Indexed(nearest_of_256(colour)),
            Self::Sixteen => SIXTEEN
                .iter()
                .min_by_key(|(_, other)| far(colour, *other))
                .map_or(Color::Reset, |(name, _)| *name),
        }
    }
}

/// Entries 16 to 255 of xterm's palette: a cube of six levels, then greys. The first 16 belong to
/// the person's theme.
fn nearest_of_256(colour: Rgb) -> u8 {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let level = colour.map(|v| (0..6).min_by_key(|at| LEVELS[*at].abs_diff(v)).unwrap_or(0));
    let cube = level.map(|at| LEVELS[at]);
    let grey = (brightness(colour).saturating_sub(3) / 10).min(23);
    let value = 8 + grey * 10;
    if far(colour, [value; 3]) < far(colour, cube) {
        232 + grey
    } else {
        (16 + 36 * level[0] + 6 * level[1] + level[2]) as u8
    }
}

/// The usual values of the 16; the terminal has the last word.
const SIXTEEN: [(Color, Rgb); 16] = [
    (Color::Black, [0, 0, 0]),
    (Color::Red, [170, 0, 0]),
    (Color::Green, [0, 170, 0]),
    (Color::Yellow, [170, 85, 0]),
    (Color::Blue, [0, 0, 170]),
    (Color::Magenta, [170, 0, 170]),
    (Color::Cyan, [0, 170, 170]),
    (Color::Gray, [170, 170, 170]),
    (Color::DarkGray, [85, 85, 85]),
    (Color::LightRed, [255, 85, 85]),
    (Color::LightGreen, [85, 255, 85]),
    (Color::LightYellow, [255, 255, 85]),
    (Color::LightBlue, [85, 85, 255]),
    (Color::LightMagenta, [255, 85, 255]),
    (Color::LightCyan, [85, 255, 255]),
    (Color::White, [255, 255, 255]),
];

#[cfg(test)]
mod tests {
    use super::*;

    const MODES: [Mode; 6] =
        [Mode::Ascii, Mode::Halves, Mode::Quadrants, Mode::Sextants, Mode::Octants, Mode::Braille];

    /// A white disc on black.
    fn disc() -> Picture {
        let inside = |x: u16, y: u16| (f32::from(x) - 15.5).hypot(f32::from(y) - 15.5) < 12.0;
        Picture::paint(32, 32, |x, y| if inside(x, y) { [255; 3] } else { [0; 3] }).expect("in bounds")
    }

    fn lines(mode: Mode, colours: Colours, width: u16, height: u16) -> Vec<String> {
        let area = Rect::new(0, 0, width, height);
        let mut buf = Buffer::empty(area);
        draw(&disc(), area, &mut buf, mode, colours);
        let row = |y: u16| (0..width).map(|x| buf[(x, y)].symbol().to_string()).collect::<String>();
        (0..height).map(row).collect()
    }

    #[test]
    fn a_disc_in_each_mode() {
        assert_eq!(
            lines(Mode::Ascii, Colours::Mono, 12, 6),
            ["     ::     ", "  -%@@@@%-  ", " -@@@@@@@@- ", " -@@@@@@@@- ", "  -%@@@@%-  ", "     ::     "]
        );
        assert_eq!(
            lines(Mode::Halves, Colours::Mono, 12, 6),
            ["     ▄      ", "   ██████▄  ", " ▄████████▀ ", "  ████████▀ ", "  ▀█████▀▀  ", "      ▀     "]
        );
        assert_eq!(
            lines(Mode::Quadrants, Colours::Mono, 12, 6),
            ["     ▗▗     ", "  ▗█████▙▄  ", " ▗████████▌ ", " ▝████████▘ ", "  ▀▜█████▘▘ ", "     ▘▘▘    "]
        );
        assert_eq!(lines(Mode::Sextants, Colours::Mono, 4, 2), ["🬞🬵🬺🬏", "🬁🬎🬎🬄"]);
        // Eighths light the same places as dots do.
        let eighths = lines(Mode::Octants, Colours::Mono, 12, 6).join("");
        let dots = lines(Mode::Braille, Colours::Mono, 12, 6).join("");
        assert!(eighths.chars().zip(dots.chars()).all(|(one, other)| (one == ' ') == (other == '\u{2800}')));
        assert_eq!(
            lines(Mode::Braille, Colours::Mono, 12, 6),
            ["⠀⠀⠀⠀⠀⣀⣀⠀⠀⠀⠀⠀", "⠀⠀⢠⣼⣿⣿⣿⣿⣷⣄⠀⠀", "⠀⢰⣿⣿⣿⣿⣿⣿⣿⣿⡅⠀", "⠀⠘⣿⣿⣿⣿⣿⣿⣿⣿⠇⠀", "⠀⠀⠙⢿⣿⣿⣿⣿⠿⠉⠁⠀", "⠀⠀⠀⠀⠁⠉⠉⠁⠁⠀⠀⠀"]
        );
    }

    #[test]
    fn the_aspect_is_kept_in_any_area() {
        let picture = disc();
        assert_eq!(fit(&picture, Rect::new(0, 0, 80, 10)), Rect::new(30, 0, 20, 10));
        assert_eq!(fit(&picture, Rect::new(2, 1, 20, 40)), Rect::new(2, 16, 20, 10));
        for (width, height) in [(0, 0), (1, 0), (0, 9), (1, 1), (3, 1), (300, 200)] {
            let area = Rect::new(0, 0, width, height);
            let mut buf = Buffer::empty(area);
            for mode in MODES {
                draw(&picture, area, &mut buf, mode, Colours::True);
            }
            let larger = Rect::new(0, 0, width + 7, height + 7);
            draw(&picture, larger, &mut buf, Mode::Halves, Colours::True);
        }
    }

    #[test]
    fn half_blocks_carry_both_colours_and_mono_none() {
        let picture =
            Picture::paint(16, 16, |_, y| if y < 8 { [255, 0, 0] } else { [0, 0, 255] }).expect("fits");
        let area = Rect::new(0, 0, 2, 1);
        let mut buf = Buffer::empty(area);
        draw(&picture, area, &mut buf, Mode::Halves, Colours::Sixteen);
        assert_eq!((buf[(0, 0)].symbol(), buf[(0, 0)].bg), ("▀", Color::Blue));
        draw(&picture, area, &mut buf, Mode::Quadrants, Colours::Palette);
        let cell = &buf[(0, 0)];
        assert_eq!((cell.symbol(), cell.fg, cell.bg), ("▄", Color::Indexed(21), Color::Indexed(196)));
        for mode in MODES {
            draw(&picture, area, &mut buf, mode, Colours::Mono);
            assert_eq!((buf[(1, 0)].fg, buf[(1, 0)].bg), (Color::Reset, Color::Reset), "{mode:?}");
        }
    }

    #[test]
    fn colours_are_the_nearest_there_are() {
        assert_eq!(Colours::Palette.nearest([255, 0, 0]), Color::Indexed(196));
        assert_eq!(Colours::Palette.nearest([118, 118, 118]), Color::Indexed(243));
        assert_eq!(Colours::Palette.nearest([0, 0, 0]), Color::Indexed(16));
        assert_eq!(Colours::Sixteen.nearest([250, 250, 240]), Color::White);
        assert_eq!(Colours::True.nearest([1, 2, 3]), Color::Rgb(1, 2, 3));
    }
}
