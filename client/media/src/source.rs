//! Where pictures come from: a test picture, files, a pipe, a camera.

mod live;

pub use live::cameras_close;

use super::film::Film;
use super::{face, y4m};
use live::Live;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;
use subrosa_shared::video::picture::{Fit, Picture, Planes};

/// What a person names as a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spec {
    /// `test` or `test:SEED`: a drawn face.
    Test(u64),
    /// A y4m file; it begins anew when it is over.
    Y4m(PathBuf),
    /// `-`, or a named pipe: y4m as it comes.
    Pipe(Option<PathBuf>),
    /// An animated GIF.
    Gif(PathBuf),
    /// An image, a folder of images, or a pattern with one `*` in its file name.
    Stills(PathBuf),
    /// `camera` or `camera:N`.
    Camera(u32),
}

/// Size of the pictures that a source yields, within the bounds of a call picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// In luma samples.
    pub width: u16,
    /// In luma samples.
    pub height: u16,
}

/// Why there are no pictures; each says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The words do not name a source.
    #[error(
        "{0:?} is no video source; use test, camera, - (y4m on stdin), or a .y4m, .gif, .png or .jpg file"
    )]
    Unknown(String),
    /// The seed or camera number is not one.
    #[error("{0:?} is not a number; use test:7 or camera:0")]
    Number(String),
    /// A file cannot be used.
    #[error("{path} cannot be shown: {why}; check the path or choose another source")]
    Unreadable {
        /// As it was given.
        path: String,
        /// From the system or the format's reader.
        why: String,
    },
    /// The folder or pattern names no image.
    #[error("no .png, .jpg or .gif image matches {0}; check the path or choose another source")]
    NoImages(String),
    /// What is typed there is no video.
    #[error("{0} is a terminal; start subrosa behind a pipe (... | subrosa), or name a file or a named pipe")]
    Terminal(String),
    /// A pipe is over.
    #[error("the video stream has ended; start it again or choose another source")]
    Ended,
    /// Video could not be read.
    #[error(transparent)]
    Y4m(#[from] y4m::Error),
    /// The camera does not work.
    #[error("the camera does not work: {0}; close other programs that use it, or use the source test")]
    Camera(String),
    /// This program was built without cameras.
    #[error(
        "this build has no camera support; build with --features camera, pipe y4m in with -, or use test"
    )]
    NoCamera,
    /// The size is out of bounds.
    #[error("a call picture is 16x16 to 320x200; set another size")]
    Size,
}

impl Spec {
    /// Reads what a person typed. Looks at the file system only to tell folders and pipes apart.
    ///
    /// # Errors
    /// [`Error::Unknown`] or [`Error::Number`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let number = |digits: &str| digits.parse::<u64>().map_err(|_| Error::Number(shown(digits)));
        match text {
            "" => return Err(Error::Unknown(String::new())),
            "test" => return Ok(Self::Test(0)),
            "-" => return Ok(Self::Pipe(None)),
            "camera" => return Ok(Self::Camera(0)),
            _ => {}
        }
        if let Some(seed) = text.strip_prefix("test:") {
            return number(seed).map(Self::Test);
        }
        if let Some(index) = text.strip_prefix("camera:") {
            let index = u32::try_from(number(index)?).map_err(|_| Error::Number(shown(index)))?;
            return Ok(Self::Camera(index));
        }
        let path = PathBuf::from(text);
        if is_pipe(&path) {
            return Ok(Self::Pipe(Some(path)));
        }
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("y4m") if !has_star(&path) => Ok(Self::Y4m(path)),
            Some("gif") if !has_star(&path) => Ok(Self::Gif(path)),
            Some("png" | "jpg" | "jpeg" | "gif") => Ok(Self::Stills(path)),
            _ if path.is_dir() => Ok(Self::Stills(path)),
            _ => Err(Error::Unknown(shown(text))),
        }
    }
}

/// A source that is open.
pub struct Source {
    spec: Spec,
    size: Size,
    kind: Kind,
    number: u64,
    /// The film in memory is of another size.
    stale: bool,
}

enum Kind {
    Test(u64),
    Film(Film),
    Y4m(Loop<File>),
    Live(Live),
}

impl Source {
    /// Opens it. Pipes and cameras are opened on a thread of their own, since that may wait.
    ///
    /// # Errors
    /// [`Error`] says what is wrong and what to do.
    pub fn open(spec: &Spec, size: Size) -> Result<Self, Error> {
        Picture::grey(size.width, size.height).ok_or(Error::Size)?;
        let kind = match spec {
            Spec::Test(seed) => Kind::Test(*seed),
            Spec::Gif(path) => Kind::Film(Film::gif(path, size)?),
            Spec::Stills(path) => Kind::Film(Film::stills(&images(path)?, size)?),
            Spec::Y4m(path) => {
                let file = File::open(path).map_err(|error| Error::unreadable(path, &error))?;
                Kind::Y4m(Loop::new(file)?)
            }
            Spec::Pipe(path) => Kind::Live(Live::pipe(path.clone(), size)),
            Spec::Camera(index) => Kind::Live(Live::camera(*index, size)?),
        };
        Ok(Self { spec: spec.clone(), size, kind, number: 0, stale: false })
    }

    /// The same under a number, by which its end is told from the end of another one.
    #[must_use]
    pub fn numbered(self, number: u64) -> Self {
        Self { number, ..self }
    }

    /// Its number; 0 when it was given none.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Pictures are of another size from the next one on. One out of bounds changes nothing.
    pub fn set_size(&mut self, size: Size) {
        if size == self.size || Picture::grey(size.width, size.height).is_none() {
            return;
        }
        self.size = size;
        match &mut self.kind {
            // Those are scaled as they are read.
            Kind::Test(_) | Kind::Y4m(_) => {}
            Kind::Live(live) => live.set_size(size),
            // It is read again with the next picture.
            Kind::Film(_) => self.stale = true,
        }
    }

    /// Whether nobody wants its pictures for a while: a camera is closed meanwhile, and before this is said.
    pub fn set_paused(&self, paused: bool) {
        if let Kind::Live(live) = &self.kind {
            live.set_paused(paused);
        }
    }

    /// The newest picture `elapsed` after the start, or `None` when it is the same as last time.
    ///
    /// # Errors
    /// [`Error`] when there will be no more pictures.
    pub fn picture(&mut self, elapsed: Duration) -> Result<Option<Picture>, Error> {
        let Size { width, height } = self.size;
        if std::mem::take(&mut self.stale) {
            match &self.spec {
                Spec::Gif(path) => self.kind = Kind::Film(Film::gif(path, self.size)?),
                Spec::Stills(path) => self.kind = Kind::Film(Film::stills(&images(path)?, self.size)?),
                _ => {}
            }
        }
        match &mut self.kind {
            Kind::Test(seed) => face::picture(width, height, elapsed, *seed).ok_or(Error::Size).map(Some),
            Kind::Film(film) => Ok(film.at(elapsed).cloned()),
            Kind::Y4m(video) => video.picture(elapsed, self.size),
            // The first ones may be of the size before.
            Kind::Live(live) => Ok(live.picture()?.and_then(|it| it.scaled(width, height, Fit::Crop))),
        }
    }
}

/// A y4m file that begins anew when it is over.
struct Loop<F> {
    video: Option<y4m::Reader<BufReader<F>>>,
    rate: (u32, u32),
    /// Number of the picture after the last one that was read, over all rounds.
    next: u64,
}

/// How many pictures are skipped at once; a player that fell farther behind goes on from there.
const SKIP_MAX: u64 = 120;

impl<F: Read + Seek> Loop<F> {
    fn new(file: F) -> Result<Self, Error> {
        let video = y4m::Reader::open(BufReader::new(file))?;
        let rate = video.header().rate;
        Ok(Self { video: Some(video), rate, next: 0 })
    }

    fn picture(&mut self, elapsed: Duration, size: Size) -> Result<Option<Picture>, Error> {
        let due = due(elapsed, self.rate);
        if due < self.next {
            return Ok(None);
        }
        let mut newest = None;
        for skipped in 0..=SKIP_MAX {
            let last = self.next + skipped >= due || skipped == SKIP_MAX;
            if let Some(picture) = self.read(last.then_some(size))? {
                newest = Some(picture);
            }
            if last {
                break;
            }
        }
        self.next = due + 1;
        Ok(newest)
    }

    /// Reads one picture, from the start again after the last; scales it when it is wanted.
    fn read(&mut self, size: Option<Size>) -> Result<Option<Picture>, Error> {
        for _ in 0..2 {
            let mut video = self.video.take().ok_or(Error::Ended)?;
            if let Some(planes) = video.next_picture()? {
                let picture = size.and_then(|size| scaled(planes, size));
                self.video = Some(video);
                return Ok(picture);
            }
            let mut file = video.into_inner();
            file.seek(SeekFrom::Start(0)).map_err(y4m::Error::from)?;
            self.video = Some(y4m::Reader::open(file)?);
        }
        // A file without a picture in it.
        Err(Error::Ended)
    }
}

/// Which picture of a stream is to be seen after a while, from 0.
fn due(elapsed: Duration, (count, unit): (u32, u32)) -> u64 {
    let due = elapsed.as_micros() * u128::from(count) / (u128::from(unit.max(1)) * 1_000_000);
    u64::try_from(due).unwrap_or(u64::MAX)
}

fn scaled(planes: Planes<'_>, size: Size) -> Option<Picture> {
    Picture::from_scaled(planes, size.width, size.height, Fit::Crop)
}

/// The images that a path names, in order of their names.
fn images(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let (folder, (before, after)) = if path.is_dir() {
        (path, (String::new(), String::new()))
    } else if let Some((before, after)) = pattern(path) {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        (folder, (before, after))
    } else {
        return Ok(vec![path.to_path_buf()]);
    };
    let entries = std::fs::read_dir(folder).map_err(|error| Error::unreadable(folder, &error))?;
    let mut found: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|e| e.path())).collect();
    found.retain(|path| {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        let image = matches!(extension.as_deref(), Some("png" | "jpg" | "jpeg" | "gif"));
        image
            && name.len() >= before.len() + after.len()
            && name.starts_with(&before)
            && name.ends_with(&after)
    });
    found.sort();
    if found.is_empty() { Err(Error::NoImages(shown(&path.to_string_lossy()))) } else { Ok(found) }
}

/// What stands before and after the `*` of a file name.
fn pattern(path: &Path) -> Option<(String, String)> {
    let name = path.file_name()?.to_str()?;
    name.split_once('*').map(|(before, after)| (before.to_string(), after.to_string()))
}

fn has_star(path: &Path) -> bool {
    pattern(path).is_some()
}

#[cfg(unix)]
fn is_pipe(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_fifo() || meta.file_type().is_char_device())
}

#[cfg(not(unix))]
fn is_pipe(_: &Path) -> bool {
    false
}

/// Text from outside, short enough for a sentence.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

impl Error {
    pub(super) fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> Self {
        Self::Unreadable { path: shown(&path.to_string_lossy()), why: why.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, Write};

    pub(super) const SIZE: Size = Size { width: 32, height: 24 };

    /// A y4m of flat pictures, one for each shade.
    pub(super) fn video(shades: &[u8]) -> Vec<u8> {
        let mut bytes = b"YUV4MPEG2 W4 H4 F10:1 Cmono\n".to_vec();
        for shade in shades {
            bytes.extend(b"FRAME\n");
            bytes.extend([*shade; 16]);
        }
        bytes
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_people_type_is_understood() {
        let path = PathBuf::from;
        let cases = [
            ("test", Spec::Test(0)),
            (" test:7 ", Spec::Test(7)),
            ("-", Spec::Pipe(None)),
            ("camera", Spec::Camera(0)),
            ("camera:2", Spec::Camera(2)),
            ("a b.Y4M", Spec::Y4m(path("a b.Y4M"))),
            ("x/cat.gif", Spec::Gif(path("x/cat.gif"))),
            ("me.JPG", Spec::Stills(path("me.JPG"))),
            ("shots/*.png", Spec::Stills(path("shots/*.png"))),
        ];
        for (text, spec) in cases {
            assert_eq!(Spec::parse(text).expect(text), spec);
        }
        for text in ["", "tset", "test:", "test:x", "camera:-1", "camera:99999999999", "film.mkv", "a*.y4m"] {
            let error = Spec::parse(text).expect_err(text).to_string();
            assert!(error.contains("use "), "{error:?} says what to do");
        }
    }

    #[test]
    fn a_video_plays_at_its_rate_and_begins_anew() {
        let mut video = Loop::new(Cursor::new(video(&[16, 66, 116]))).expect("a header");
        let mut shade = |at| video.picture(ms(at), SIZE).expect("pictures").map(|p| p.luma[0]);
        assert_eq!(shade(0), Some(16));
        assert_eq!(shade(50), None, "nothing new yet");
        assert_eq!(shade(100), Some(66));
        assert_eq!(shade(300), Some(16), "one was skipped, then the start again");
        assert_eq!(shade(1_000_000), Some(66), "far behind skips a bounded number and goes on from there");
        assert_eq!(shade(1_000_100), Some(116));
    }

    #[test]
    fn a_video_without_a_picture_ends() {
        let mut empty = Loop::new(Cursor::new(video(&[]))).expect("a header");
        assert!(matches!(empty.picture(ms(0), SIZE), Err(Error::Ended)));
        let mut cut = video(&[16, 66]);
        cut.truncate(cut.len() - 3);
        let mut cut = Loop::new(Cursor::new(cut)).expect("a header");
        for at in 0..5 {
            let picture = cut.picture(ms(at * 100), SIZE).expect("the whole one again").expect("new");
            assert_eq!(picture.luma[0], 16);
        }
    }

    #[test]
    fn images_in_a_folder_become_a_film() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, shade) in [("b.png", 250u8), ("a.png", 0)] {
            image::RgbImage::from_pixel(40, 30, image::Rgb([shade; 3]))
                .save(folder.path().join(name))
                .expect("saved");
        }
        std::fs::write(folder.path().join("notes.txt"), "no image").expect("saved");
        let spec = Spec::parse(&folder.path().to_string_lossy()).expect("a folder");
        let mut film = Source::open(&spec, SIZE).expect("two images");
        let mut shade = |at| film.picture(ms(at)).expect("pictures").expect("one").rgb(5, 5)[0];
        assert_eq!([shade(0), shade(150), shade(200)], [0, 250, 0]);
        let one = Source::open(&Spec::Stills(folder.path().join("b*.png")), SIZE);
        assert!(one.expect("one image").picture(ms(0)).expect("pictures").is_some());
        let none = Source::open(&Spec::Stills(folder.path().join("x*.png")), SIZE);
        assert!(matches!(none, Err(Error::NoImages(_))));
    }

    #[test]
    fn a_gif_plays_with_its_delays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("two.gif");
        {
            let file = File::create(&path).expect("created");
            let mut encoder = image::codecs::gif::GifEncoder::new(file);
            for shade in [0, 255] {
                let image = image::RgbaImage::from_pixel(20, 20, image::Rgba([shade, shade, shade, 255]));
                let delay = image::Delay::from_numer_denom_ms(300, 1);
                encoder.encode_frame(image::Frame::from_parts(image, 0, 0, delay)).expect("encoded");
            }
        }
        let mut film = Source::open(&Spec::Gif(path), SIZE).expect("a GIF");
        let mut shade = |at| film.picture(ms(at)).expect("pictures").expect("one").rgb(9, 9)[0];
        assert_eq!([shade(0), shade(299), shade(300), shade(650)], [0, 0, 255, 0]);
    }

    #[test]
    fn what_cannot_be_shown_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let broken = folder.path().join("broken.gif");
        File::create(&broken)
            .and_then(|mut file| file.write_all(b"GIF89a\xff\xff\xff\xff"))
            .expect("written");
        for spec in [
            Spec::Gif(broken.clone()),
            Spec::Stills(broken.clone()),
            Spec::Y4m(broken),
            Spec::Gif("no".into()),
        ] {
            assert!(Source::open(&spec, SIZE).is_err(), "{spec:?}");
        }
        let small = Source::open(&Spec::Test(0), Size { width: 2, height: 2 });
        assert!(matches!(small, Err(Error::Size)));
        if cfg!(not(feature = "camera")) {
            assert!(matches!(Source::open(&Spec::Camera(0), SIZE), Err(Error::NoCamera)));
        }
    }
}
