//! `subrosa video`: the picture codec of calls as a command-line tool.

use crate::chat::counted;
use crate::config::Config;
use crate::export::{self, Existing};
use crate::media::clip::Clip;
use crate::media::reel;
use crate::media::source::Size;
use crate::media::y4m;
use crate::stop::Stop;
use clap::{Args, Subcommand};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, IsTerminal, Read, Write, stderr, stdin, stdout};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use subrosa_shared::video::codec::{Ask, Decoder, Encoder, QUANTISER_MAX, Rate};
use subrosa_shared::video::picture::Picture;
use tempfile::NamedTempFile;

/// What to do with a video.
#[derive(Subcommand)]
pub enum Tool {
    /// Encode a y4m, GIF or image file as a call would
    Encode {
        /// A .y4m, .gif, .png or .jpg file, or - for y4m on standard input
        #[arg(value_name = "IN")]
        from: PathBuf,
        /// The reel to write, or - for standard output
        #[arg(value_name = "OUT")]
        to: PathBuf,
        /// Size and rate.
        #[command(flatten)]
        shape: Shape,
        /// Kilobits a second that the frames may take on average
        #[arg(long, value_name = "N", conflicts_with = "quality", value_parser = clap::value_parser!(u32).range(1..=20_000))]
        kbps: Option<u32>,
        /// A constant quality, 0 (finest) to 63
        #[arg(long, value_name = "N", default_value_t = QUALITY, value_parser = clap::value_parser!(u8).range(0..=i64::from(QUANTISER_MAX)))]
        quality: u8,
        /// Replace OUT when it is there
        #[arg(long)]
        force: bool,
    },
    /// Decode what `encode` wrote
    Decode {
        /// The reel, or - for standard input
        #[arg(value_name = "IN")]
        from: PathBuf,
        /// The .y4m file to write, or - for standard output
        #[arg(value_name = "OUT")]
        to: PathBuf,
        /// Replace OUT when it is there
        #[arg(long)]
        force: bool,
    },
    /// Play a file on this terminal, and say what that took
    Play(crate::play::Args),
    /// Print what files cost in several qualities: bits, decibels, milliseconds
    Bench {
        /// .y4m, .gif, .png or .jpg files; - is y4m on standard input
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// Size and rate.
        #[command(flatten)]
        shape: Shape,
    },
}

/// Size and rate of the pictures.
#[derive(Args, Clone, Copy)]
pub struct Shape {
    /// Width and height, 16x16 to 320x200
    #[arg(long, value_name = "WxH", default_value = "80x48", value_parser = size)]
    size: Size,
    /// Pictures a second, 1 to 30
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=30))]
    fps: u8,
}

/// The quality when nothing is said.
const QUALITY: u8 = 30;

/// The qualities of a bench.
const QUALITIES: [u8; 5] = [16, 24, 32, 40, 48];

/// The most pictures of each file in a bench: a minute at ten a second. They are held in memory.
const BENCH_MAX: usize = 600;

/// Runs it to its end. What was asked for goes to the named place, everything else to standard error.
///
/// # Errors
/// A sentence with the next step.
pub async fn run(tool: Tool, config: Config) -> Result<(), String> {
    match tool {
        Tool::Play(args) => crate::play::run(args, config).await,
        Tool::Encode { from, to, shape, kbps, quality, force } => {
            let rate = match kbps {
                Some(kbps) => Rate::Budget { bytes_per_second: kbps * 125, fps: shape.fps },
                None => Rate::Quality(quality),
            };
            let place = to.clone();
            until_asked(&place, force, move |ending| encode(&from, &to, shape, rate, force, ending)).await
        }
        Tool::Decode { from, to, force } => {
            let place = to.clone();
            until_asked(&place, force, move |ending| decode(&from, &to, force, ending)).await
        }
        Tool::Bench { files, shape } => {
            println!("{HEAD}");
            files.iter().try_for_each(|file| bench(file, shape))
        }
    }
}

/// What a tool that writes a file knows of its end.
#[derive(Default)]
struct Ending {
    /// It is to end with what it has.
    asked: AtomicBool,
    made: Mutex<Made>,
}

/// Where what a tool has made lies.
#[derive(Default)]
enum Made {
    /// There is nothing yet.
    #[default]
    Nothing,
    /// Beside its place, until it is whole.
    Beside(NamedTempFile),
    /// In its place, or it went on through a pipe.
    There,
}

impl Ending {
    /// What is read next, unless it is time to end; what breaks off then is the end, too.
    fn unless<T>(&self, read: impl FnOnce() -> Result<Option<T>, String>) -> Result<Option<T>, String> {
        if self.is_asked() {
            return Ok(None);
        }
        let read = read();
        if self.is_asked() { Ok(read.unwrap_or_default()) } else { read }
    }

    fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the last line says of it.
    fn said(&self) -> &'static str {
        if self.is_asked() { "ended early: " } else { "" }
    }
}

/// Runs a tool to its end. Who asks it to end sooner keeps all that it has made, even if what it reads from gives
/// nothing more and does not end.
async fn until_asked(
    to: &Path,
    force: bool,
    tool: impl FnOnce(&Ending) -> Result<(), String> + Send + 'static,
) -> Result<(), String> {
    let mut stop =
        Stop::listen().map_err(|error| format!("signals cannot be heard: {error}; start it again"))?;
    let ending = Arc::<Ending>::default();
    let mut done = tokio::task::spawn_blocking({
        let ending = ending.clone();
        move || tool(&ending)
    });
    let finished = |done: Result<Result<(), String>, _>| {
        done.unwrap_or_else(|error| Err(format!("a defect: {error}; please report it")))
    };
    tokio::select! {
        ended = &mut done => return finished(ended),
        () = stop.asked() => ending.asked.store(true, Ordering::Relaxed),
    }
    tokio::select! {
        ended = &mut done => return finished(ended),
        () = stop.asked() => {}
        () = tokio::time::sleep(WAITS) => {}
    }
    if matches!(*ending.made(), Made::Nothing) {
        return Err("ended before the first picture came: there is nothing to keep".into());
    }
    keep(&ending, to, force)?;
    eprintln!("ended early, with what was made until then");
    Ok(())
}

/// How long what is read may take to end, once somebody asked for that.
const WAITS: Duration = Duration::from_secs(1);

const HEAD: &str = "\
   size  fps  quality   kbit/s      dB  largest  encode ms  decode ms  file";

fn encode(
    from: &Path,
    to: &Path,
    shape: Shape,
    rate: Rate,
    force: bool,
    ending: &Ending,
) -> Result<(), String> {
    let Shape { size: Size { width, height }, fps } = shape;
    let mut clip = Clip::open(from, shape.size, fps).map_err(sentence)?;
    let mut encoder = Encoder::new(width, height, rate).ok_or("the size is out of bounds")?;
    let mut decoder = Decoder::new();
    // A file without a single picture leaves none behind.
    let mut next = clip.next_picture().map_err(sentence)?;
    if next.is_none() {
        return Err(format!("there is no picture in {}; check the file", from.display()));
    }
    let written = |error: io::Error| unwritten(to, &error);
    let header = reel::Header { fps, width, height };
    let output = output(to, force, ending)?;
    let mut reel = reel::Writer::new(output, header).map_err(written)?;
    let mut progress = Progress::start(fps);
    let (mut bytes, mut quality) = (0, 0.0);
    while let Some(picture) = next {
        let frame = encoder.encode(&picture, Ask::Any);
        let shown =
            decoder.decode(&frame.bytes).map_err(|error| format!("a defect of the codec: {error}"))?;
        quality += shown.psnr(&picture).unwrap_or(0.0);
        bytes += frame.bytes.len();
        reel.write(&frame.bytes).map_err(written)?;
        progress.picture();
        next = ending.unless(|| clip.next_picture().map_err(sentence))?;
    }
    reel.finish().map_err(written)?;
    keep(ending, to, force)?;
    let count = progress.finish();
    eprintln!(
        "{}{width}x{height}, {fps} a second: {}, {bytes} bytes, {:.1} kbit/s, {:.1} dB",
        ending.said(),
        counted(count as u64, "picture", "pictures"),
        kbits(bytes, fps, count),
        quality / count as f64
    );
    Ok(())
}

fn decode(from: &Path, to: &Path, force: bool, ending: &Ending) -> Result<(), String> {
    let input: Box<dyn Read> = if is_std(from) {
        Box::new(stdin().lock())
    } else {
        Box::new(
            File::open(from)
                .map_err(|error| format!("{} cannot be read: {error}; check the path", from.display()))?,
        )
    };
    let mut reel = Shown::of(reel::Reader::open(BufReader::new(input)).map_err(sentence)?);
    let header = reel.header();
    let mut progress = Progress::start(header.fps);
    let mut next = reel.next_picture()?;
    if next.is_none() {
        return Err(format!("there is no picture in {}; encode it again", from.display()));
    }
    let output = output(to, force, ending)?;
    let mut video = y4m::Writer::new(output, header.fps.into());
    while let Some(picture) = next {
        video.write(&picture).map_err(|error| unwritten(to, &error))?;
        progress.picture();
        next = ending.unless(|| reel.next_picture())?;
    }
    keep(ending, to, force)?;
    let count = progress.finish();
    let reel::Header { fps, width, height } = header;
    let pictures = counted(count as u64, "picture", "pictures");
    eprintln!("{}{width}x{height}, {fps} a second: {pictures}", ending.said());
    // Who asked for the end does not miss the rest.
    if reel.is_cut() && !ending.is_asked() {
        return Err(format!(
            "{} is cut off inside picture {}: what was whole is in {}; copy or encode it again for the rest",
            from.display(),
            count + 1,
            to.display()
        ));
    }
    Ok(())
}

fn bench(file: &Path, shape: Shape) -> Result<(), String> {
    let Shape { size: Size { width, height }, fps } = shape;
    let mut clip = Clip::open(file, shape.size, fps).map_err(sentence)?;
    let mut film = Vec::new();
    while film.len() < BENCH_MAX {
        let Some(picture) = clip.next_picture().map_err(sentence)? else { break };
        film.push(picture);
    }
    if film.is_empty() {
        return Err(format!("there is no picture in {}; check the file", file.display()));
    }
    for quality in QUALITIES {
        let mut encoder =
            Encoder::new(width, height, Rate::Quality(quality)).ok_or("the size is out of bounds")?;
        let mut decoder = Decoder::new();
        let mut progress = Progress::start(fps);
        let (mut bytes, mut largest, mut sum) = (0, 0, 0.0);
        let [mut encoding, mut decoding] = [Duration::ZERO; 2];
        for picture in &film {
            let began = Instant::now();
            let frame = encoder.encode(picture, Ask::Any);
            encoding += began.elapsed();
            let began = Instant::now();
            let shown =
                decoder.decode(&frame.bytes).map_err(|error| format!("a defect of the codec: {error}"))?;
            decoding += began.elapsed();
            bytes += frame.bytes.len();
            largest = largest.max(frame.bytes.len());
            sum += shown.psnr(picture).unwrap_or(0.0);
            progress.picture();
        }
        let count = progress.finish();
        let each = |time: Duration| time.as_secs_f64() * 1000.0 / count as f64;
        println!(
            "{:>7}  {fps:>3}  {quality:>7}  {:>7.1}  {:>6.2}  {largest:>5} B  {:>9.2}  {:>9.2}  {}",
            format!("{width}x{height}"),
            kbits(bytes, fps, count),
            sum / count as f64,
            each(encoding),
            each(decoding),
            file.display()
        );
    }
    Ok(())
}

/// A reel as it is seen.
pub(crate) struct Shown<R> {
    reel: reel::Reader<R>,
    decoder: Decoder,
    last: Option<Picture>,
    /// Of the frame that is read next, from 1.
    number: u64,
}

impl<R: Read> Shown<R> {
    pub(crate) fn of(reel: reel::Reader<R>) -> Self {
        Self { reel, decoder: Decoder::new(), last: None, number: 1 }
    }

    pub(crate) fn header(&self) -> reel::Header {
        self.reel.header()
    }

    /// The reel ended inside a picture.
    pub(crate) fn is_cut(&self) -> bool {
        self.reel.is_cut()
    }

    /// The next picture, or `None` after the last.
    ///
    /// # Errors
    /// A sentence with the next step.
    pub(crate) fn next_picture(&mut self) -> Result<Option<Picture>, String> {
        let Some(frame) = self.reel.next_frame().map_err(sentence)? else { return Ok(None) };
        if !frame.is_empty() {
            let picture = self.decoder.decode(&frame).map_err(|error| {
                format!("picture {} of the reel cannot be decoded: {error}; encode it again", self.number)
            })?;
            self.last = Some(picture);
        }
        self.number += 1;
        let last = self.last.as_ref().ok_or("the reel begins without a picture; encode it again")?;
        Ok(Some(last.clone()))
    }
}

/// Where a result goes. A file that is there is left alone unless it may be replaced.
fn output(path: &Path, force: bool, ending: &Ending) -> Result<Box<dyn Write>, String> {
    if is_std(path) {
        *ending.made() = Made::There;
        return Ok(Box::new(BufWriter::new(stdout().lock())));
    }
    let failed = |error: io::Error| unwritten(path, &error);
    let there = path.metadata().ok();
    if there.is_some() && !force {
        return Err(unwritten(path, &io::ErrorKind::AlreadyExists.into()));
    }
    // A pipe or a device takes what comes.
    if there.is_some_and(|there| !there.is_file()) {
        let file = File::options().write(true).open(path).map_err(failed)?;
        *ending.made() = Made::There;
        return Ok(Box::new(BufWriter::new(file)));
    }
    let beside = export::beside(path).map_err(failed)?;
    let file = beside.as_file().try_clone().map_err(failed)?;
    *ending.made() = Made::Beside(beside);
    Ok(Box::new(BufWriter::new(file)))
}

/// Puts a result in its place, unless it is there.
fn keep(ending: &Ending, path: &Path, force: bool) -> Result<(), String> {
    let existing = if force { Existing::Replace } else { Existing::Keep };
    // Held to the end: the program does not leave while the other one is at it.
    let mut made = ending.made();
    match std::mem::replace(&mut *made, Made::There) {
        Made::Beside(file) => export::settle(file, path, existing).map_err(|error| unwritten(path, &error)),
        Made::Nothing | Made::There => Ok(()),
    }
}

fn is_std(path: &Path) -> bool {
    path.as_os_str() == OsStr::new("-")
}

fn unwritten(path: &Path, error: &io::Error) -> String {
    let at = path.display();
    match error.kind() {
        io::ErrorKind::AlreadyExists => format!("{at} is there already; name another file, or add --force"),
        _ => format!("{at} cannot be written: {error}; check the folder and the space in it"),
    }
}

fn sentence(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn kbits(bytes: usize, fps: u8, count: usize) -> f64 {
    bytes as f64 * 8.0 * f64::from(fps) / (count.max(1) as f64 * 1000.0)
}

pub(crate) fn size(text: &str) -> Result<Size, String> {
    let sides = text.split_once(['x', 'X', '×']).and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let size = sides.filter(|(width, height)| Picture::grey(*width, *height).is_some());
    let (width, height) = size.ok_or("a size is WIDTHxHEIGHT, 16x16 to 320x200, as in 80x48")?;
    Ok(Size { width, height })
}

/// How far it got, on a line of its own for whoever watches a terminal.
struct Progress {
    began: Instant,
    said: Instant,
    fps: u8,
    count: usize,
    shows: bool,
    wrote: bool,
}

impl Progress {
    fn start(fps: u8) -> Self {
        let now = Instant::now();
        Self { began: now, said: now, fps, count: 0, shows: stderr().is_terminal(), wrote: false }
    }

    fn picture(&mut self) {
        self.count += 1;
        if self.shows && self.said.elapsed() >= Duration::from_millis(250) {
            self.said = Instant::now();
            self.wrote = true;
            let film = self.count / usize::from(self.fps);
            let pace = self.count as f64 / self.began.elapsed().as_secs_f64();
            eprint!("\r\x1b[K{} pictures, {film} s of video, {pace:.0} a second", self.count);
        }
    }

    /// Wipes the line; how many pictures there were.
    fn finish(self) -> usize {
        if self.wrote {
            eprint!("\r\x1b[K");
        }
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_bounded() {
        assert_eq!(size("80x48"), Ok(Size { width: 80, height: 48 }));
        assert_eq!(size("320X200"), Ok(Size { width: 320, height: 200 }));
        for wrong in ["", "80", "80x", "x48", "8x8", "321x200", "80x48x3", "-80x48", "80 x48"] {
            let why = size(wrong).expect_err(wrong);
            assert!(why.contains("80x48"), "{why}");
        }
    }

    #[test]
    fn what_could_not_be_encoded_to_its_end_left_half_a_reel() {
        let folder = tempfile::tempdir().expect("a folder");
        let (film, reel) = (folder.path().join("film.y4m"), folder.path().join("film.reel"));
        // One whole picture, and then something else.
        let whole = [&b"YUV4MPEG2 W16 H16 F10:1 Cmono\nFRAME\n"[..], &[100; 256]].concat();
        std::fs::write(&film, [&whole[..], b"no picture\n"].concat()).expect("written");
        let shape = Shape { size: Size { width: 16, height: 16 }, fps: 10 };
        let encode = |force| encode(&film, &reel, shape, Rate::Quality(QUALITY), force, &Ending::default());
        let why = encode(false).expect_err("it is damaged");
        assert!(why.contains("FRAME"), "{why}");
        assert!(!reel.exists());
        std::fs::write(&reel, "the one before").expect("written");
        assert_eq!(encode(true), Err(why));
        assert_eq!(std::fs::read(&reel).expect("there"), b"the one before");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 2, "and nothing beside");
        std::fs::write(&film, whole).expect("written");
        assert_eq!(encode(true), Ok(()));
        assert!(std::fs::read(&reel).expect("there").starts_with(b"subreel"));
        let why = encode(false).expect_err("it is there");
        assert!(why.contains("--force"), "{why}");
    }
}
