//! What pictures cost on a terminal and what is seen there: our painter beside other ways to write
//! them, each judged by the screen that its bytes make.

use crate::figure::{MEDIAN, Table, Times, shown};
use anyhow::{Context, anyhow};
use flate2::{Compress, Compression, FlushCompress};
use image::RgbImage;
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use subrosa::media::cells::{self, Mode};
use subrosa::media::source::{Size, Source, Spec};
use subrosa::media::tty::inline::{Inline, Plate};
use subrosa::media::tty::screen::Screen;
use subrosa::media::tty::{Budget, Colours, Look, Painter, Rgb};
use subrosa::media::y4m::{Error, Reader};
use subrosa_shared::video::picture::{Fit, Picture};

/// In cells; each is judged on two by four samples.
const COLUMNS: u16 = 80;
const ROWS: u16 = 24;
pub const AREA: Rect = Rect { x: 0, y: 0, width: COLUMNS, height: ROWS };
/// Pictures a second.
const RATE: f64 = 10.0;
/// At most so many of a clip.
const PICTURES: usize = 150;

const SIXTEEN: Colours = Colours::Adaptive { first: 16, count: 16 };
const MORE: Colours = Colours::Adaptive { first: 16, count: 24 };

/// What is measured of ours: glyphs, colours, budget.
const OURS: [(Mode, Colours, Budget); 20] = [
    (Mode::Quadrants, SIXTEEN, Budget::Bytes(300)),
    (Mode::Quadrants, SIXTEEN, Budget::Bytes(1000)),
    (Mode::Quadrants, SIXTEEN, Budget::Bytes(1800)),
    (Mode::Quadrants, SIXTEEN, Budget::Unlimited),
    (Mode::Quadrants, MORE, Budget::Bytes(12_000)),
    (Mode::Octants, SIXTEEN, Budget::Bytes(1000)),
    (Mode::Octants, MORE, Budget::Bytes(3000)),
    (Mode::Octants, MORE, Budget::Bytes(12_000)),
    (Mode::Octants, MORE, Budget::Unlimited),
    (Mode::Octants, Colours::True, Budget::Bytes(12_000)),
    (Mode::Sextants, SIXTEEN, Budget::Bytes(1000)),
    (Mode::Halves, SIXTEEN, Budget::Bytes(1000)),
    (Mode::Quadrants, Colours::Palette, Budget::Bytes(1000)),
    (Mode::Quadrants, Colours::Palette, Budget::Bytes(2600)),
    (Mode::Octants, Colours::Palette, Budget::Bytes(2600)),
    (Mode::Quadrants, Colours::True, Budget::Bytes(2600)),
    (Mode::Quadrants, Colours::True, Budget::Unlimited),
    (Mode::Halves, Colours::Sixteen, Budget::Bytes(1000)),
    (Mode::Braille, Colours::Mono, Budget::Bytes(1000)),
    (Mode::Ascii, Colours::Sixteen, Budget::Bytes(1000)),
];

/// Other programs, when they are there: a name, a program and its arguments before the file's.
const PROGRAMS: [(&str, &str, &[&str]); 8] = [
    ("chafa, default", "chafa", &["-f", "symbols", "-s", "80x24", "--animate", "off", "-c", "full"]),
    ("chafa, halves", "chafa", &["-f", "symbols", "-s", "80x24", "--symbols", "vhalf+space", "-c", "full"]),
    ("chafa, quadrants", "chafa", &["-f", "symbols", "-s", "80x24", "--symbols", "quad+space", "-c", "full"]),
    (
        "chafa, sextants",
        "chafa",
        &["-f", "symbols", "-s", "80x24", "--symbols", "sextant+space", "-c", "full"],
    ),
    ("chafa, 256 colours", "chafa", &["-f", "symbols", "-s", "80x24", "-c", "256"]),
    ("timg, halves", "timg", &["-g", "80x24", "-ph"]),
    ("timg, quarters", "timg", &["-g", "80x24", "-pq"]),
    (
        "mpv tct, halves",
        "mpv",
        &[
            "--no-config",
            "--really-quiet",
            "--no-audio",
            "--frames=1",
            "--vo=tct",
            "--vo-tct-algo=half-blocks",
            "--vo-tct-width=80",
            "--vo-tct-height=24",
            "--no-keepaspect",
        ],
    ),
];

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let clips = clips();
    if clips.is_empty() {
        println!(
            "terminal: no clips (name a folder of y4m files in SUBROSA_CLIPS): the test picture instead\n"
        );
        return judge_all("test picture", &test_film(60)?, table);
    }
    for clip in clips {
        let name = clip.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        judge_all(&name, &read(&clip).with_context(|| clip.display().to_string())?, table)?;
    }
    Ok(())
}

/// The contact sheet: the test picture in each mode after a second, beside what it is made of.
pub fn sheet(_: &mut Table) -> anyhow::Result<()> {
    const SHEET: [(Mode, Colours, u32); 11] = [
        (Mode::Quadrants, SIXTEEN, 300),
        (Mode::Quadrants, SIXTEEN, 1000),
        (Mode::Octants, MORE, 2900),
        (Mode::Halves, SIXTEEN, 1000),
        (Mode::Sextants, SIXTEEN, 1000),
        (Mode::Octants, SIXTEEN, 1000),
        (Mode::Quadrants, Colours::Palette, 2600),
        (Mode::Quadrants, Colours::True, 2600),
        (Mode::Halves, Colours::Sixteen, 1000),
        (Mode::Braille, SIXTEEN, 1000),
        (Mode::Ascii, Colours::Sixteen, 1000),
    ];
    const GAP: u32 = 8;
    let film = test_film(10)?;
    let last = film.last().context("a picture")?;
    let mut tiles = vec![tile(|x, y| last.rgb(x, y))];
    for (glyphs, colours, budget) in SHEET {
        let mut painter = Painter::new(look(glyphs, colours));
        let mut screen = Screen::new(COLUMNS, ROWS);
        for picture in &film {
            let mut out = Vec::new();
            painter.paint(picture, AREA, &[], Budget::Bytes(budget), &mut out);
            screen.write(&out);
        }
        tiles.push(tile(|x, y| dot(&screen, x, y)));
    }
    let (width, height) = tiles[0].dimensions();
    let columns = 4;
    let rows = (tiles.len() as u32).div_ceil(columns);
    let size = ((width + GAP) * columns + GAP, (height + GAP) * rows + GAP);
    let mut sheet = RgbImage::from_pixel(size.0, size.1, image::Rgb([24; 3]));
    for (tile, at) in tiles.iter().zip(0..) {
        let (x, y) = (GAP + at % columns * (width + GAP), GAP + at / columns * (height + GAP));
        image::imageops::replace(&mut sheet, tile, x.into(), y.into());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../client/assets/modes.png");
    sheet.save(&path)?;
    println!("sheet: {}", path.display());
    Ok(())
}

/// Two pixels for each sample.
fn tile(colour: impl Fn(u16, u16) -> Rgb) -> RgbImage {
    let (width, height) = (u32::from(COLUMNS) * 4, u32::from(ROWS) * 8);
    RgbImage::from_fn(width, height, |x, y| image::Rgb(colour((x / 2) as u16, (y / 2) as u16)))
}

pub fn look(glyphs: Mode, colours: Colours) -> Look {
    Look { glyphs, colours, synchronized: true, repeat: true }
}

/// What a way to write pictures comes to.
#[derive(Default)]
struct Figures {
    bytes: Vec<usize>,
    /// After a zlib flush a picture, as `ssh -C` sends them.
    packed: Vec<usize>,
    luma: Vec<f64>,
    ssim: Vec<f64>,
    face: Vec<f64>,
    times: Times,
}

fn judge_all(clip: &str, film: &[Picture], table: &mut Table) -> anyhow::Result<()> {
    println!("## {clip}, {} pictures, {RATE} a second, {COLUMNS}×{ROWS} cells\n", film.len());
    println!(
        "| writer | B a picture | without the first | most | zlib | luma PSNR | without the first ten | SSIM | skin | plan |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (glyphs, colours, budget) in OURS {
        let budget_name = match budget {
            Budget::Bytes(bytes) => format!("{bytes} B"),
            Budget::Unlimited => "no budget".into(),
        };
        let colours_name = match colours {
            Colours::Adaptive { count, .. } => format!("{count} set colours"),
            other => format!("{other:?}").to_lowercase(),
        };
        let name = format!("{} · {colours_name} · {budget_name}", format!("{glyphs:?}").to_lowercase());
        let painter = || Painter::new(look(glyphs, colours));
        let mut ours = painter();
        let figures = judge(film, |picture, out| {
            ours.paint(picture, AREA, &[], budget, out);
        });
        figures.print(&name);
        if colours == SIXTEEN && budget == Budget::Bytes(1000) && glyphs == Mode::Quadrants {
            table.alone(&format!("painting {clip} in 80×24 cells, 1000 B"), &figures.times);
        }
        if matches!(budget, Budget::Bytes(1000 | 1800 | 3000)) && glyphs.ne(&Mode::Braille) {
            let mut ours = painter();
            let mut first = true;
            let figures = judge(film, |picture, out| {
                let budget = if std::mem::take(&mut first) { Budget::Unlimited } else { budget };
                ours.paint(picture, AREA, &[], budget, out);
            });
            figures.print(&format!("{name}, the first picture free"));
        }
    }
    for (name, colours) in [("true", cells::Colours::True), ("256", cells::Colours::Palette)] {
        let mut last = Buffer::empty(AREA);
        let figures = judge(film, |picture, out| {
            let mut next = Buffer::empty(AREA);
            cells::draw(picture, AREA, &mut next, Mode::Halves, colours);
            let changed = last.diff(&next);
            let mut backend = CrosstermBackend::new(&mut *out);
            // Writing to memory does not fail.
            let _ = backend.draw(changed.into_iter()).and_then(|()| Backend::flush(&mut backend));
            last = next;
        });
        figures.print(&format!("ratatui's own diff, halves, {name}"));
    }
    judge(film, in_full).print("ascii-chat's way: halves, true, in full, runs repeated");
    for budget in [1500, 2000, 3000, 4000] {
        images(&format!("inline JPEG · {budget} B"), Inline::Jpeg, budget, film)?;
    }
    for budget in [4000, 6000, 8000, 10_000, usize::MAX] {
        let name = if budget < usize::MAX { format!("{budget} B") } else { "no budget".into() };
        images(&format!("kitty PNG · {name}"), Inline::Kitty { id: 1 }, budget, film)?;
    }
    for (name, program, arguments) in PROGRAMS {
        other(name, program, arguments, film)?;
    }
    sixels(film)?;
    println!();
    Ok(())
}

/// Sixels, as chafa writes them without dither: only counted. They hold each dot of the screen, so that
/// a picture has to be enlarged before it is sent.
fn sixels(film: &[Picture]) -> anyhow::Result<()> {
    const FEW: usize = 5;
    let arguments = ["-f", "sixels", "-s", "80x24", "--dither", "none", "--animate", "off", "-c"];
    for colours in ["16", "256"] {
        let name = format!("sixels by chafa, {colours} colours");
        if !is_there("chafa") {
            println!("| {name} | skipped: not installed | | | | | | | | | |");
            continue;
        }
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("picture.png");
        let mut zlib = Compress::new(Compression::default(), true);
        let (mut bytes, mut small) = (0, 0);
        for picture in film.iter().take(FEW) {
            pixels(picture).save(&path)?;
            let run = Command::new("chafa").args(arguments).arg(colours).arg(&path).output()?;
            bytes += run.stdout.len();
            small += packed(&mut zlib, &run.stdout);
        }
        let count = film.len().clamp(1, FEW);
        println!("| {name} | {} | | | {} | not judged | | | | |", bytes / count, small / count);
    }
    Ok(())
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

fn pixels(picture: &Picture) -> RgbImage {
    RgbImage::from_fn(picture.width().into(), picture.height().into(), |x, y| {
        image::Rgb(picture.rgb(x as u16, y as u16))
    })
}

/// Rows in full, a colour change when there is one, equal cells repeated.
pub fn in_full(picture: &Picture, out: &mut Vec<u8>) {
    let mut buffer = Buffer::empty(AREA);
    cells::draw(picture, AREA, &mut buffer, Mode::Halves, cells::Colours::True);
    let sgr = |side: u8, colour| match colour {
        ratatui::style::Color::Rgb(r, g, b) => format!("\x1b[{side};2;{r};{g};{b}m"),
        _ => String::new(),
    };
    out.extend_from_slice(b"\x1b[H");
    for y in 0..ROWS {
        let (mut x, mut pen) = (0, None);
        while x < COLUMNS {
            let cell = &buffer[(x, y)];
            let run = (x..COLUMNS).take_while(|at| buffer[(*at, y)] == *cell).count() as u16;
            if pen.replace((cell.fg, cell.bg)) != Some((cell.fg, cell.bg)) {
                out.extend_from_slice(sgr(38, cell.fg).as_bytes());
                out.extend_from_slice(sgr(48, cell.bg).as_bytes());
            }
            out.extend_from_slice(cell.symbol().as_bytes());
            if run > 2 {
                out.extend_from_slice(format!("\x1b[{}b", run - 1).as_bytes());
            } else if run == 2 {
                out.extend_from_slice(cell.symbol().as_bytes());
            }
            x += run;
        }
        out.extend_from_slice(if y + 1 < ROWS { b"\x1b[0m\r\n" } else { b"\x1b[0m" });
    }
}

/// Pictures as image files, judged by what those hold.
fn images(name: &str, kind: Inline, budget: usize, film: &[Picture]) -> anyhow::Result<()> {
    let mut figures = Figures::default();
    let mut zlib = Compress::new(Compression::default(), true);
    let mut plate = Plate::new(kind);
    for picture in film {
        let Some(bytes) = figures.times.of(|| plate.print(picture, AREA, budget)) else {
            println!("| {name} | does not fit | | | | | | | | | |");
            return Ok(());
        };
        let text = std::str::from_utf8(&bytes)?;
        let file = match kind {
            Inline::Jpeg => {
                text.rsplit(':').next().unwrap_or_default().trim_end_matches("\x07\x1b8").to_owned()
            }
            Inline::Kitty { .. } => {
                text.split("\x1b_G").skip(1).filter_map(|chunk| chunk.split([';', '\x1b']).nth(1)).collect()
            }
        };
        let image = image::load_from_memory(&data_encoding::BASE64.decode(file.as_bytes())?)?;
        let (width, height) = (u32::from(COLUMNS) * 2, u32::from(ROWS) * 4);
        let image = image.resize_exact(width, height, image::imageops::FilterType::Triangle).to_rgb8();
        let seen = Picture::paint(COLUMNS * 2, ROWS * 4, |x, y| image.get_pixel(x.into(), y.into()).0);
        figures.add(&bytes, &mut zlib, &seen.context("in bounds")?, picture);
    }
    figures.print(name);
    Ok(())
}

/// Another program, run once a picture.
fn other(name: &str, program: &str, arguments: &[&str], film: &[Picture]) -> anyhow::Result<()> {
    if !is_there(program) {
        println!("| {name} | skipped: not installed | | | | | | | | | |");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("picture.png");
    let mut problem = None;
    let figures = judge(film, |picture, out| {
        let run = pixels(picture).save(&path).map_err(anyhow::Error::from).and_then(|()| {
            Ok(Command::new(program).args(arguments).arg(&path).stderr(Stdio::null()).output()?.stdout)
        });
        match run {
            // Each picture over the last one; a terminal's line discipline adds the returns.
            Ok(bytes) => {
                out.extend_from_slice(b"\x1b[H");
                // timg shows the cursor again on a line of its own, which would scroll the screen.
                let cells = |line: &&[u8]| !line.is_empty() && *line != b"\x1b[?25h";
                let mut lines = last_drawn(&bytes).split(|byte| *byte == b'\n').filter(cells).peekable();
                while let Some(line) = lines.next() {
                    out.extend_from_slice(line);
                    if lines.peek().is_some() {
                        out.extend_from_slice(b"\r\n");
                    }
                }
            }
            Err(error) => problem = Some(error),
        }
    });
    figures.print(name);
    problem.map_or(Ok(()), Err)
}

/// mpv draws a lone picture twice and clears the screen at the end: the last drawing alone.
fn last_drawn(bytes: &[u8]) -> &[u8] {
    let last = |part: &[u8]| bytes.windows(part.len()).rposition(|some| some == part);
    match (last(b"\x1b[1;0f"), last(b"\x1b[?25h\x1b[2J")) {
        (Some(begins), Some(ends)) if begins < ends => &bytes[begins..ends],
        _ => bytes,
    }
}

/// Judges what the screen shows after each picture.
fn judge(film: &[Picture], mut write: impl FnMut(&Picture, &mut Vec<u8>)) -> Figures {
    let mut figures = Figures::default();
    let mut screen = Screen::new(COLUMNS, ROWS);
    let mut zlib = Compress::new(Compression::default(), true);
    for picture in film {
        let mut out = Vec::new();
        figures.times.of(|| write(picture, &mut out));
        screen.write(&out);
        if let Some(seen) = Picture::paint(COLUMNS * 2, ROWS * 4, |x, y| dot(&screen, x, y)) {
            figures.add(&out, &mut zlib, &seen, picture);
        }
    }
    figures
}

impl Figures {
    fn add(&mut self, bytes: &[u8], zlib: &mut Compress, seen: &Picture, source: &Picture) {
        self.bytes.push(bytes.len());
        self.packed.push(packed(zlib, bytes));
        self.luma.push(seen.psnr(source).unwrap_or(0.0));
        self.ssim.push(ssim(seen, source));
        self.face.extend(skin(seen, source));
    }

    fn print(&self, name: &str) {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let bytes = |values: &[usize]| mean(&values.iter().map(|bytes| *bytes as f64).collect::<Vec<_>>());
        println!(
            "| {name} | {:.0} | {:.0} | {} | {:.0} | {:.2} dB | {:.2} | {:.3} | {:.2} | {} |",
            bytes(&self.bytes),
            bytes(self.bytes.get(1..).unwrap_or_default()),
            self.bytes.iter().skip(1).max().unwrap_or(&0),
            bytes(&self.packed),
            mean(&self.luma),
            mean(self.luma.get(10..).unwrap_or_default()),
            mean(&self.ssim),
            mean(&self.face),
            shown(self.times.at(MEDIAN)),
        );
        let _ = std::io::stdout().flush();
    }
}

/// Bytes of one more flushed block of a stream.
fn packed(zlib: &mut Compress, bytes: &[u8]) -> usize {
    let mut out = Vec::with_capacity(bytes.len() + 1024);
    let before = zlib.total_out();
    // There is room for what cannot be compressed, so that one call takes it all.
    let _ = zlib.compress_vec(bytes, &mut out, FlushCompress::Sync);
    (zlib.total_out() - before) as usize
}

fn dot(screen: &Screen, x: u16, y: u16) -> Rgb {
    screen.dots(x / 2, y / 4).map_or([0; 3], |dots| dots[usize::from(y % 4 * 2 + x % 2)])
}

/// Structural similarity of the luma (Wang and others 2004), windows of eight by eight every two.
fn ssim(a: &Picture, b: &Picture) -> f64 {
    const SIDE: usize = 8;
    let (width, height) = (usize::from(a.width()), usize::from(a.height()));
    let (c1, c2) = ((0.01f64 * 255.0).powi(2), (0.03f64 * 255.0).powi(2));
    let (mut sum, mut count) = (0.0, 0.0);
    for (x, y) in
        (0..=height - SIDE).step_by(2).flat_map(|y| (0..=width - SIDE).step_by(2).map(move |x| (x, y)))
    {
        let mut moments = [0.0f64; 5];
        for row in y..y + SIDE {
            let at = row * width + x;
            for (p, q) in a.luma[at..at + SIDE].iter().zip(&b.luma[at..at + SIDE]) {
                let (p, q) = (f64::from(*p), f64::from(*q));
                moments.iter_mut().zip([p, q, p * p, q * q, p * q]).for_each(|(sum, value)| *sum += value);
            }
        }
        let [p, q, pp, qq, pq] = moments.map(|moment| moment / (SIDE * SIDE) as f64);
        let (vp, vq, both) = (pp - p * p, qq - q * q, pq - p * q);
        sum += (2.0 * p * q + c1) * (2.0 * both + c2) / ((p * p + q * q + c1) * (vp + vq + c2));
        count += 1.0;
    }
    sum / count
}

/// Luma PSNR where the source has the colour of skin; `None` where there is none.
fn skin(seen: &Picture, source: &Picture) -> Option<f64> {
    let (width, half) = (usize::from(source.width()), usize::from(source.width().div_ceil(2)));
    let (mut squares, mut count) = (0.0, 0.0);
    for (at, (wanted, shown)) in source.luma.iter().zip(&seen.luma).enumerate() {
        let chroma = at / width / 2 * half + at % width / 2;
        let is_skin = *wanted > 60
            && (90..=125).contains(&source.cb[chroma])
            && (135..=170).contains(&source.cr[chroma]);
        if is_skin {
            squares += f64::from(wanted.abs_diff(*shown)).powi(2);
            count += 1.0;
        }
    }
    (count > 0.0).then(|| 10.0 * (255.0 * 255.0 / (squares / count).max(0.01)).log10())
}

/// The project's own test picture.
fn test_film(pictures: usize) -> anyhow::Result<Vec<Picture>> {
    let size = Size { width: COLUMNS * 2, height: ROWS * 4 };
    let mut source = Source::open(&Spec::Test(7), size).map_err(|error| anyhow!("{error}"))?;
    let at = |nth: usize| Duration::from_secs_f64(nth as f64 / RATE);
    let mut film = Vec::new();
    for nth in 0..pictures {
        film.extend(source.picture(at(nth)).map_err(|error| anyhow!("{error}"))?);
    }
    Ok(film)
}

/// A clip at the judge's size and rate.
fn read(path: &Path) -> anyhow::Result<Vec<Picture>> {
    let refused = |error: Error| anyhow!("{error}");
    let mut reader = Reader::open(BufReader::new(File::open(path)?)).map_err(refused)?;
    let (over, under) = reader.header().rate;
    let step = RATE / (f64::from(over) / f64::from(under.max(1)));
    let (mut film, mut due) = (Vec::new(), 1.0);
    while let Some(planes) = reader.next_picture().map_err(refused)? {
        // As many of each second as the judge wants, the first of all first.
        if due >= 1.0 - 1e-6 {
            due -= 1.0;
            film.extend(Picture::from_scaled(planes, COLUMNS * 2, ROWS * 4, Fit::Crop));
        }
        due += step;
        if film.len() == PICTURES {
            break;
        }
    }
    Ok(film)
}

/// The y4m files in `SUBROSA_CLIPS`, or in `shared/clips` beside the project.
fn clips() -> Vec<PathBuf> {
    let folder = std::env::var_os("SUBROSA_CLIPS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/clips"), PathBuf::from);
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut clips: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "y4m")).collect();
    clips.sort();
    clips
}
