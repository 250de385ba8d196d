//! `subrosa video play`: a file on this terminal, through the painter of calls, and what that took.

use crate::cli::{environment, on_terminal};
use crate::config::Config;
use crate::easel::Easel;
use crate::media::clip::Clip;
use crate::media::reel;
use crate::media::source::{Error, Size};
use crate::runtime::Clock;
use crate::term::answer::{self, Answer};
use crate::term::input::Input;
use crate::term::keys::Keys;
use crate::term::out::Out;
use crate::term::{self, Answers, Caps, Term};
use crate::tui::Owed;
use crate::ui::theme::Theme;
use crate::ui::view::Beside;
use crate::video_tool::Shown;
use crossterm::event::{Event as Did, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::Rect;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use subrosa_shared::video::picture::Picture;
use tokio::sync::mpsc;

/// What to play, and how.
#[derive(clap::Args)]
pub struct Args {
    /// A .y4m, .gif, .png or .jpg file, or what `encode` wrote; - is y4m on standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Bytes that a picture may take on the way to the terminal; without it, what that takes easily
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(64..=1_000_000))]
    budget: Option<u32>,
    /// auto, image, cells, or characters: ascii, half, quadrant, sextant, octant or braille
    #[arg(long, value_name = "KIND")]
    cells: Option<String>,
    /// Colours: auto, none, 16, 256, true or adaptive
    #[arg(long, value_name = "KIND")]
    colours: Option<String>,
    /// Pictures a second, 1 to 30
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=30))]
    fps: u8,
    /// Width and height of the picture in dots, 16x16 to 320x200
    #[arg(long, value_name = "WxH", default_value = "160x96", value_parser = crate::video_tool::size)]
    size: Size,
}

/// What it took.
#[derive(Default)]
struct Figures {
    pictures: u64,
    shown: u64,
    bytes: u64,
    /// Milliseconds of planning.
    work: f64,
}

/// Plays until the end or until the person leaves with `q`; the space bar stops and goes on. A single picture
/// has no end: it stays until a key. The figures go to standard output when the terminal is as it was.
///
/// # Errors
/// A sentence with the next step.
pub async fn run(args: Args, mut config: Config) -> Result<(), String> {
    if !on_terminal() {
        return Err("playing needs a terminal; `subrosa video decode` writes a file".into());
    }
    config.screen.colours = args.colours.unwrap_or(config.screen.colours);
    config.video.cells = args.cells.unwrap_or(config.video.cells);
    config.check().map_or(Ok(()), Err)?;
    let mut film = Film::open(&args.file, args.size, args.fps)?;
    // What the file cannot give is said before the terminal is taken.
    let first = film.next()?.ok_or_else(|| format!("there is no picture in {}", args.file.display()))?;
    let fps = film.fps(args.fps);
    // The reader is ahead by little: pictures are held in memory.
    let (to, pictures) = mpsc::channel(4);
    let reading = std::thread::Builder::new().name("video file".into());
    reading
        .spawn(move || {
            let mut next = Ok(Some(first));
            while let Some(read) = next.transpose() {
                let failed = read.is_err();
                if to.blocking_send(read).is_err() || failed {
                    return;
                }
                next = film.next();
            }
        })
        .map_err(|error| format!("no thread for the file: {error}"))?;
    let unusable = |error: std::io::Error| format!("the terminal cannot be used: {error}");
    let (keys, out) = (Keys::open().map_err(unusable)?, Out::open().await.map_err(unusable)?);
    let term = Term::enter(false).map_err(unusable)?;
    let caps = Caps::detect(environment, &config);
    let theme = Theme::plain();
    let mut easel = Easel::new(&config.video, caps, &theme);
    if let Some(bytes) = args.budget {
        easel.limit(bytes);
    }
    let mut player = Player {
        keys,
        out,
        easel,
        theme,
        config,
        answers: Answers::default(),
        owed: Owed::default(),
        clock: Clock::start(),
        picture: None,
        figures: Figures::default(),
        ended: false,
        fps,
    };
    let played = player.play(pictures).await;
    // The shell would take late answers for keys.
    player.owed.settle(&mut player.keys);
    let made = player.easel.made_now(player.clock.now()).said();
    drop(term);
    println!("{}\n{made}", player.figures.said(fps, player.easel.rate()));
    played
}

/// A film on the whole terminal.
struct Player {
    keys: Keys,
    out: Out,
    easel: Easel,
    theme: Theme,
    config: Config,
    answers: Answers,
    owed: Owed,
    clock: Clock,
    picture: Option<Arc<Picture>>,
    figures: Figures,
    /// There are no more pictures.
    ended: bool,
    fps: u8,
}

/// Whether it goes on.
enum Next {
    On,
    Pause,
    Leave,
}

impl Player {
    async fn play(&mut self, mut pictures: mpsc::Receiver<Result<Picture, String>>) -> Result<(), String> {
        let gone = |error: std::io::Error| format!("the terminal is gone: {error}");
        let mut stop = crate::stop::Stop::on_screen().map_err(gone)?;
        self.owed.kind = true;
        self.write(&answer::questions(&environment("TERM").unwrap_or_default())).map_err(gone)?;
        self.write(b"\x1b[?25l").map_err(gone)?;
        let each = Duration::from_secs(1) / u32::from(self.fps.max(1));
        let (mut due, mut paused) = (Instant::now(), false);
        loop {
            let now = self.clock.now();
            let paint = if self.out.is_clear() { self.easel.next(now) } else { None };
            // The last picture is finished before it is over.
            if self.ended && self.figures.pictures > 1 && self.out.is_clear() && paint.is_none() {
                return Ok(());
            }
            let paint = paint.map(|at| Instant::now() + at.since(now.mono));
            let runs = !paused && !self.ended;
            let ready = runs && Instant::now() >= due;
            tokio::select! {
                biased;
                () = stop.asked() => return Ok(()),
                input = self.keys.next() => {
                    let Some(Ok(input)) = input else { return Ok(()) };
                    match self.input(input).map_err(gone)? {
                        Next::On => {}
                        Next::Pause => paused = !paused,
                        Next::Leave => return Ok(()),
                    }
                }
                flowed = self.out.flow() => flowed.map_err(gone)?,
                () = sleep_until(paint) => self.paint().map_err(gone)?,
                () = sleep_until((runs && !ready).then_some(due)) => {}
                picture = pictures.recv(), if ready => match picture {
                    Some(picture) => {
                        // After a stop it goes on from here.
                        due = (due + each).max(Instant::now() - each);
                        self.figures.pictures += 1;
                        self.picture = Some(Arc::new(picture?));
                        self.show(false).map_err(gone)?;
                    }
                    None => self.ended = true,
                },
            }
        }
    }

    fn input(&mut self, input: Input) -> std::io::Result<Next> {
        match input {
            Input::Answer(Answer::Status) => {
                self.owed.heard(&Answer::Status);
                self.easel.heard(self.clock.now());
            }
            Input::Answer(answer) => {
                self.owed.heard(&answer);
                self.easel.speaks();
                if self.answers.take(answer) {
                    let caps = Caps::learn(environment, &self.config, &self.answers);
                    let mut bytes = Vec::new();
                    self.easel.look(caps, &self.theme, &mut bytes);
                    self.write(&bytes)?;
                }
            }
            Input::Event(Did::Resize(..)) => {
                self.write(b"\x1b[0m\x1b[2J")?;
                self.easel.forget();
                self.show(true)?;
            }
            Input::Event(Did::Key(key)) if key.kind != KeyEventKind::Release => match key.code {
                _ if self.ended => return Ok(Next::Leave),
                KeyCode::Char('q') | KeyCode::Esc => return Ok(Next::Leave),
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                    return Ok(Next::Leave);
                }
                KeyCode::Char(' ') => return Ok(Next::Pause),
                _ => {}
            },
            Input::Event(_) => {}
        }
        Ok(Next::On)
    }

    /// Gives the easel the picture, and its place when that may be another.
    fn show(&mut self, moved: bool) -> std::io::Result<()> {
        if self.easel.show(self.picture.clone(), None) || moved {
            let (width, height) = term::size();
            // An image in the last row would scroll some screens.
            let height = height.saturating_sub(1);
            let whole = Beside { theirs: Some(Rect::new(0, 0, width, height)), ..Beside::default() };
            let mut bytes = Vec::new();
            self.easel.place(&whole, &mut bytes);
            self.write(&bytes)?;
        }
        Ok(())
    }

    fn paint(&mut self) -> std::io::Result<()> {
        let (now, begun) = (self.clock.now(), Instant::now());
        let mut bytes = Vec::new();
        let painted = self.easel.paint(now, &mut bytes);
        if painted.bytes > 0 {
            self.easel.worked(begun.elapsed());
        }
        self.figures.work += begun.elapsed().as_secs_f64() * 1000.0;
        self.figures.bytes += bytes.len() as u64;
        self.figures.shown += u64::from(painted.new);
        self.owed.asked(&bytes);
        self.out.write(&bytes)?;
        if !self.out.is_clear() {
            self.easel.blocked(now);
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.easel.wrote(bytes.len(), self.clock.now());
        self.out.write(bytes)
    }
}

impl Figures {
    fn said(&self, fps: u8, rate: Option<u32>) -> String {
        let each = |sum: f64| sum / self.shown.max(1) as f64;
        let bytes = each(self.bytes as f64);
        let rate = rate.map_or("not measured".into(), |rate| format!("{} kbit/s", rate / 125));
        format!(
            "pictures    {} of {} shown\nbytes       {bytes:.0} a picture, {:.0} kbit/s at {fps} a second\nplanning    {:.1} ms a picture\nterminal    {rate}",
            self.shown,
            self.pictures,
            bytes * 8.0 * f64::from(fps) / 1000.0,
            each(self.work),
        )
    }
}

/// A file of pictures, or one of encoded frames.
enum Film {
    Clip(Box<Clip>),
    Reel(Shown<Box<dyn BufRead + Send>>),
}

impl Film {
    fn open(path: &Path, size: Size, fps: u8) -> Result<Self, String> {
        let mut input = None;
        if path != Path::new("-") {
            let unreadable = |error: std::io::Error| {
                Error::Unreadable { path: path.display().to_string(), why: error.to_string() }.to_string()
            };
            let mut file = File::open(path).map_err(unreadable)?;
            // A reel says in its first bytes that it is one. They are put back: it may be a pipe.
            let mut head = Vec::new();
            file.by_ref().take(reel::MAGIC.len() as u64).read_to_end(&mut head).map_err(unreadable)?;
            let is_reel = head == reel::MAGIC;
            let whole: Box<dyn BufRead + Send> = Box::new(BufReader::new(Cursor::new(head).chain(file)));
            if is_reel {
                let reel = reel::Reader::open(whole).map_err(|error| error.to_string())?;
                return Ok(Self::Reel(Shown::of(reel)));
            }
            input = Some(whole);
        }
        let clip = Clip::with(path, input, size, fps).map_err(|error| error.to_string())?;
        Ok(Self::Clip(Box::new(clip)))
    }

    /// Pictures a second: a reel has its own.
    fn fps(&self, wanted: u8) -> u8 {
        match self {
            Self::Clip(_) => wanted,
            Self::Reel(reel) => reel.header().fps,
        }
    }

    fn next(&mut self) -> Result<Option<Picture>, String> {
        match self {
            Self::Clip(clip) => clip.next_picture().map_err(|error| error.to_string()),
            Self::Reel(reel) => reel.next_picture(),
        }
    }
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use subrosa_shared::video::codec::{Ask, Encoder, Rate};

    #[test]
    fn a_reel_whose_picture_stays_as_it_was_could_not_be_played() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("still.reel");
        let size = Size { width: 32, height: 24 };
        let header = reel::Header { fps: 10, width: size.width, height: size.height };
        let mut reel = reel::Writer::new(File::create(&path).expect("created"), header).expect("written");
        let mut encoder = Encoder::new(size.width, size.height, Rate::Quality(30)).expect("in bounds");
        let picture = Picture::grey(size.width, size.height).expect("in bounds");
        reel.write(&encoder.encode(&picture, Ask::Any).bytes).expect("written");
        reel.write(&[]).expect("written");
        reel.finish().expect("written");
        let mut film = Film::open(&path, size, 10).expect("a reel");
        let mut next = || film.next().expect("whole");
        let first = next();
        assert!(first.is_some());
        assert_eq!((next(), next()), (first, None));
    }

    #[test]
    fn a_pipe_is_played_from_its_beginning() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("mkfifo").success());
        let size = Size { width: 32, height: 24 };
        let picture = Picture::grey(size.width, size.height).expect("in bounds");
        let (to, first) = std::sync::mpsc::channel();
        let reads = path.clone();
        std::thread::spawn(move || {
            let read = Film::open(&reads, size, 10).and_then(|mut film| film.next());
            to.send(read).expect("it is waited for");
        });
        // It waits until somebody reads.
        let file = File::options().write(true).open(&path).expect("a pipe");
        crate::media::y4m::Writer::new(file, 10).write(&picture).expect("somebody reads");
        let first = first.recv_timeout(Duration::from_secs(60)).expect("it comes").expect("whole");
        assert_eq!(first.map(|first| first.luma), Some(picture.luma));
    }

    #[test]
    fn a_reel_of_a_newer_version_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("newer.reel");
        let mut bytes = reel::Header { fps: 10, width: 32, height: 24 }.encode().expect("in bounds");
        bytes[7] = 2;
        std::fs::write(&path, bytes).expect("written");
        let why = Film::open(&path, Size { width: 32, height: 24 }, 10).err().expect("another version");
        assert!(why.contains("version 2"), "{why}");
    }
}
