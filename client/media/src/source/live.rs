//! Sources with a pace of their own: a pipe, a camera.

use super::{Error, Size, scaled, shown};
use crate::player::Latest;
use crate::y4m;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, BufReader, IsTerminal, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use subrosa_shared::video::picture::Picture;

/// A source with its own pace, read on its own thread; only the newest picture is kept.
///
/// The thread ends with the stream, or soon after nobody wants its pictures any more: a pipe is read
/// only when there is something in it, so that a silent writer holds nobody up.
pub(super) struct Live {
    latest: Latest,
    seen: u64,
    end: Receiver<Error>,
    ended: Option<Error>,
    stop: Arc<AtomicBool>,
    wanted: Wanted,
}

impl Live {
    fn start(size: Size, run: impl FnOnce(&Latest, &Wanted, &AtomicBool) -> Error + Send + 'static) -> Self {
        let wanted = Wanted::new(size);
        let (latest, stop) = (Latest::new(|| {}), Arc::new(AtomicBool::new(false)));
        let (sender, end) = sync_channel(1);
        let (slot, flag, size) = (latest.clone(), stop.clone(), wanted.clone());
        let thread = std::thread::Builder::new().name("video source".into());
        let started = thread.spawn({
            let sender = sender.clone();
            move || {
                // Nobody listening means that the source was closed.
                let _closed = sender.send(run(&slot, &size, &flag));
            }
        });
        if let Err(error) = started {
            let why = Error::Unreadable { path: "the source".into(), why: error.to_string() };
            let _closed = sender.try_send(why);
        }
        Self { latest, seen: 0, end, ended: None, stop, wanted }
    }

    pub(super) fn pipe(path: Option<PathBuf>, size: Size) -> Self {
        Self::start(size, move |latest, wanted, stop| {
            let opened = match &path {
                // Whoever else has it shares its flags: they stay as they are.
                None => io::stdin().as_fd().try_clone_to_owned().map(File::from),
                // Otherwise opening a named pipe waits for its writer.
                Some(path) => {
                    let flags = OFlags::NONBLOCK.bits().cast_signed();
                    File::options().read(true).custom_flags(flags).open(path)
                }
            };
            let path = path.as_deref().unwrap_or(Path::new("-"));
            let file = match opened {
                // Keys that are pressed there are for whoever reads them already.
                Ok(file) if file.is_terminal() => return Error::Terminal(shown(&path.to_string_lossy())),
                Ok(file) => file,
                Err(error) => return Error::unreadable(path, &error),
            };
            match pump(BufReader::new(Pipe { file, stop }), wanted, latest, stop) {
                Ok(()) => Error::Ended,
                Err(error) => error,
            }
        })
    }

    #[cfg(not(feature = "camera"))]
    pub(super) fn camera(_: u32, _: Size) -> Result<Self, Error> {
        Err(Error::NoCamera)
    }

    #[cfg(feature = "camera")]
    pub(super) fn camera(index: u32, size: Size) -> Result<Self, Error> {
        Ok(Self::start(size, move |latest, wanted, stop| match film_camera(index, wanted, latest, stop) {
            Ok(()) => Error::Ended,
            Err(error) => Error::Camera(error.to_string()),
        }))
    }

    pub(super) fn set_size(&self, size: Size) {
        self.wanted.set(size);
    }

    pub(super) fn set_paused(&self, paused: bool) {
        self.wanted.pause(paused);
    }

    pub(super) fn picture(&mut self) -> Result<Option<Picture>, Error> {
        // The end is looked for first: whatever picture came before it is then in the slot.
        if self.ended.is_none() {
            self.ended = match self.end.try_recv() {
                Ok(error) => Some(error),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => Some(Error::Ended),
            };
        }
        if let Some((version, picture)) = self.latest.newer_than(self.seen) {
            self.seen = version;
            return Ok(Some(Picture::clone(&picture)));
        }
        self.ended.take().map_or(Ok(None), Err)
    }
}

impl Drop for Live {
    /// Whoever opens the same source next finds it closed, unless it does not answer within a second.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _last_word = self.end.recv_timeout(CLOSES);
    }
}

/// How long closing a source waits for its thread.
const CLOSES: Duration = Duration::from_secs(1);

/// Waits until no camera of this process is open, once all are turned off; no longer than that. False when one still
/// is: it hangs.
pub fn cameras_close(within: Duration) -> bool {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = CLOSED.wait_timeout_while(open, within, |open| *open > 0);
    let (open, _) = waited.unwrap_or_else(PoisonError::into_inner);
    *open == 0
}

/// How many are open.
static OPEN: Mutex<u32> = Mutex::new(0);
/// One of them is no longer.
static CLOSED: Condvar = Condvar::new();

/// One of those in [`OPEN`].
#[cfg(any(feature = "camera", test))]
struct Counted(());

#[cfg(any(feature = "camera", test))]
impl Counted {
    fn new() -> Self {
        *OPEN.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Self(())
    }
}

#[cfg(any(feature = "camera", test))]
impl Drop for Counted {
    fn drop(&mut self) {
        *OPEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        CLOSED.notify_all();
    }
}

/// What a source's own thread looks at with each picture.
#[derive(Clone)]
struct Wanted(Arc<Wish>);

#[derive(Default)]
struct Wish {
    size: AtomicU32,
    paused: AtomicBool,
}

impl Wanted {
    /// Nothing, until whoever takes the pictures says that they are wanted.
    fn new(size: Size) -> Self {
        let wanted = Self(Arc::default());
        wanted.pause(true);
        wanted.set(size);
        wanted
    }

    fn set(&self, size: Size) {
        self.0.size.store(u32::from(size.width) << 16 | u32::from(size.height), Ordering::Relaxed);
    }

    fn get(&self) -> Size {
        let both = self.0.size.load(Ordering::Relaxed);
        Size { width: (both >> 16) as u16, height: both as u16 }
    }

    fn pause(&self, paused: bool) {
        self.0.paused.store(paused, Ordering::Relaxed);
    }

    #[cfg(any(feature = "camera", test))]
    fn is_paused(&self) -> bool {
        self.0.paused.load(Ordering::Relaxed)
    }
}

/// A pipe that ends when nobody wants it any more.
struct Pipe<'a> {
    file: File,
    stop: &'a AtomicBool,
}

/// How often it is looked at whether anybody still wants it.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

impl Read for Pipe<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // A named pipe is not ready before its first writer came.
            let ready = match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&LOOK)) {
                Ok(count) => count > 0,
                Err(Errno::INTR) => false,
                Err(error) => return Err(error.into()),
            };
            // What came for the next reader is left to that one.
            if self.stop.load(Ordering::Relaxed) {
                return Ok(0);
            }
            if !ready {
                continue;
            }
            match self.file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }
}

/// Reads y4m as fast as it comes until it ends or nobody wants it.
fn pump(
    input: BufReader<impl Read>,
    wanted: &Wanted,
    latest: &Latest,
    stop: &AtomicBool,
) -> Result<(), Error> {
    let mut video = y4m::Reader::open(input)?;
    while let Some(planes) = video.next_picture()? {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if let Some(picture) = scaled(planes, wanted.get()) {
            latest.put(picture);
        }
    }
    Ok(())
}

#[cfg(feature = "camera")]
fn film_camera(
    index: u32,
    wanted: &Wanted,
    latest: &Latest,
    stop: &AtomicBool,
) -> Result<(), nokhwa::NokhwaError> {
    use nokhwa::pixel_format::RgbFormat;
    use nokhwa::utils::{CameraIndex, RequestedFormat, RequestedFormatType};
    use subrosa_shared::video::picture::{Fit, Rgb};

    let format = RequestedFormat::new::<RgbFormat>(RequestedFormatType::AbsoluteHighestFrameRate);
    by_turns(wanted, stop, |on| {
        let mut camera = nokhwa::Camera::new(CameraIndex::Index(index), format)?;
        camera.open_stream()?;
        while on() {
            let image = camera.frame()?.decode_image::<RgbFormat>()?;
            let (width, height) = (image.width() as usize, image.height() as usize);
            let size = wanted.get();
            let picture = Rgb::new(width, height, image.as_raw())
                .and_then(|rgb| Picture::from_rgb(rgb, size.width, size.height, Fit::Crop));
            // What it saw while it was turned off is for nobody.
            if let Some(picture) = picture.filter(|_| on()) {
                latest.put(picture);
            }
        }
        camera.stop_stream()
    })
}

/// Films while pictures are wanted, as long as it is told that it is on; nothing is open in between.
#[cfg(any(feature = "camera", test))]
fn by_turns<E>(
    wanted: &Wanted,
    stop: &AtomicBool,
    mut film: impl FnMut(&dyn Fn() -> bool) -> Result<(), E>,
) -> Result<(), E> {
    let stopped = || stop.load(Ordering::Relaxed);
    let on = || !stopped() && !wanted.is_paused();
    while !stopped() {
        // First, so that who waits after it was turned off overlooks none.
        let counted = Counted::new();
        if on() {
            film(&on)?;
        } else {
            drop(counted);
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tests::{SIZE, video};
    use crate::source::{Source, Spec};
    use std::io::Cursor;
    use std::time::Instant;

    #[test]
    fn a_pipe_leaves_its_newest_picture_and_then_its_end() {
        let latest = Latest::new(|| {});
        let stop = AtomicBool::new(false);
        let input = BufReader::new(Box::new(Cursor::new(video(&[16, 66, 116]))) as Box<dyn Read>);
        pump(input, &Wanted::new(SIZE), &latest, &stop).expect("a stream");
        assert_eq!((latest.version(), latest.get().map(|p| p.luma[0])), (3, Some(116)));
        stop.store(true, Ordering::Relaxed);
        pump(BufReader::new(Cursor::new(video(&[16]))), &Wanted::new(SIZE), &latest, &stop)
            .expect("a stream");
        assert_eq!(latest.version(), 3, "nobody wants it");
    }

    #[test]
    fn who_reads_a_pipe_no_longer_leaves_what_comes_to_the_next_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("mkfifo").success());
        let pipe = || Source::open(&Spec::Pipe(Some(path.clone())), SIZE).expect("a pipe");
        drop(pipe());
        let mut next = pipe();
        // It waits until somebody reads.
        std::fs::write(&path, video(&[16, 66])).expect("written");
        let until = Instant::now() + Duration::from_secs(60);
        let picture = loop {
            assert!(Instant::now() < until, "nothing came");
            match next.picture(Duration::ZERO) {
                Ok(Some(picture)) => break picture,
                Ok(None) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        };
        assert!([16, 66].contains(&picture.luma[0]), "{}", picture.luma[0]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_terminal_is_not_read() {
        // One that is new, of nobody.
        let spec = Spec::parse("/dev/ptmx").expect("a device");
        let mut source = Source::open(&spec, SIZE).expect("it is looked at later");
        let until = Instant::now() + Duration::from_secs(60);
        let why = loop {
            assert!(Instant::now() < until, "somebody waits for what is typed there");
            match source.picture(Duration::ZERO) {
                Ok(_) => std::thread::yield_now(),
                Err(why) => break why.to_string(),
            }
        };
        assert!(why.contains("/dev/ptmx is a terminal; start subrosa behind a pipe"), "{why}");
    }

    #[test]
    fn a_camera_is_closed_while_nobody_wants_its_pictures() {
        let (wanted, stop) = (Wanted::new(SIZE), Arc::new(AtomicBool::new(false)));
        let (to, told) = std::sync::mpsc::channel();
        let hears = || told.recv_timeout(Duration::from_secs(60)).expect("it goes on");
        let (asks, ends) = (wanted.clone(), stop.clone());
        std::thread::spawn(move || {
            by_turns(&asks, &ends, |on| {
                to.send("open")?;
                while on() {
                    std::thread::yield_now();
                }
                to.send("closed")
            })
        });
        wanted.pause(false);
        assert_eq!(hears(), "open");
        wanted.pause(true);
        assert_eq!(hears(), "closed");
        assert!(told.try_recv().is_err(), "until it is wanted again");
        wanted.pause(false);
        assert_eq!(hears(), "open");
        stop.store(true, Ordering::Relaxed);
        assert_eq!(hears(), "closed");
        assert!(told.recv().is_err(), "that was all");
    }

    #[test]
    fn who_stops_the_client_waits_until_the_camera_is_closed() {
        let (wanted, stop) = (Wanted::new(SIZE), Arc::new(AtomicBool::new(false)));
        let (to, told) = std::sync::mpsc::channel();
        let (closes, may_close) = std::sync::mpsc::channel();
        let (asks, ends) = (wanted.clone(), stop.clone());
        std::thread::spawn(move || {
            by_turns(&asks, &ends, |on| {
                to.send("open").expect("somebody listens");
                while on() {
                    std::thread::yield_now();
                }
                may_close.recv()
            })
        });
        wanted.pause(false);
        assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok("open"));
        wanted.pause(true);
        assert!(!cameras_close(Duration::ZERO), "it takes its time");
        closes.send(()).expect("it waits");
        assert!(cameras_close(Duration::from_secs(60)));
        stop.store(true, Ordering::Relaxed);
    }

    #[test]
    fn a_camera_filmed_before_anybody_said_that_it_is_on() {
        let (to, told) = std::sync::mpsc::channel();
        let _live = Live::start(SIZE, move |_, wanted, _| {
            to.send(wanted.is_paused()).expect("somebody listens");
            Error::Ended
        });
        assert_eq!(told.recv(), Ok(true));
    }

    #[test]
    fn a_live_source_reports_its_end_after_its_last_picture() {
        let mut live = Live::start(SIZE, |latest, wanted, stop| {
            let input = BufReader::new(Cursor::new(video(&[16, 66])));
            pump(input, wanted, latest, stop).err().unwrap_or(Error::Ended)
        });
        let mut last = None;
        let end = loop {
            match live.picture() {
                Ok(Some(picture)) => last = Some(picture.luma[0]),
                Ok(None) => std::thread::yield_now(),
                Err(error) => break error,
            }
        };
        assert!(matches!(end, Error::Ended));
        assert_eq!(last, Some(66));
    }
}
