//! The own camera and the watched picture of a running client: threads that calls start and end.

use crate::config::Video;
use crate::effect::MediaEffect;
use crate::event::{MediaEvent, Stats};
use crate::media::player::{Latest, Outgoing, Outlets};
use crate::media::receive::Receiver;
use crate::media::send::{Sender, Shape};
use crate::media::source::{Error, Size, Source, Spec};
use crate::net::link::OnDatagram;
use crate::runtime::Clock;
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver as Orders, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use subrosa_shared::content::Stream;
use subrosa_shared::id::TrackId;
use subrosa_shared::time::Now;
use subrosa_shared::video::picture::Picture;
use tokio::sync::{Notify, mpsc};

/// Takes each received picture beside the screen: a recording, a test.
pub type Sink = Box<dyn FnMut(&Picture) + Send>;

/// Takes each datagram that goes out; must not block.
type Network = Arc<Mutex<Option<Box<dyn Fn(Vec<u8>) + Send>>>>;

/// What the receiving thread is told.
enum Order {
    Datagram(Bytes),
    Watch(Stream),
    Unwatch(TrackId),
    Blank,
    Sink(Option<Sink>),
}

/// What a thread says.
struct Report {
    /// The source that it is about, by its number.
    source: Option<u64>,
    event: MediaEvent,
}

/// Datagrams that may wait for the decoder; more are dropped, as on the network.
const QUEUE: usize = 256;
/// Reports that may wait for the client; one that finds no room is dropped.
const REPORTS: usize = 256;
/// How often rates are reported and keyframes asked for, when nothing arrives.
const REPORT: Duration = Duration::from_millis(500);

/// The own picture, as the thread that opens its source and the client share it.
#[derive(Default)]
struct Stage {
    /// The number of the source. Counted up when another one is wanted, or none: one that opened late
    /// belongs to nobody, and what one before says is for nobody.
    generation: u64,
    paused: bool,
    /// Where it is sent, as long as there is to be one.
    stream: Option<Stream>,
    /// How the source is called that runs or is being opened.
    words: Option<String>,
    outgoing: Option<Outgoing>,
}

/// Live pictures, both ways.
pub struct Studio {
    video: Video,
    clock: Clock,
    reports: mpsc::Sender<Report>,
    reported: mpsc::Receiver<Report>,
    network: Network,
    live: Arc<AtomicBool>,
    stage: Arc<Mutex<Stage>>,
    /// The other end is gone once a camera or pipe that was being closed or opened no longer is, and those
    /// before it.
    busy: Option<Orders<()>>,
    receiver: SyncSender<Order>,
    theirs: Latest,
    own: Latest,
    changed: Arc<Notify>,
}

impl Studio {
    /// Nothing runs yet but a thread that waits for something to watch.
    ///
    /// # Errors
    /// When the system gives us no thread.
    pub fn new(video: Video, clock: Clock) -> std::io::Result<Self> {
        let changed = Arc::new(Notify::new());
        let slot = || {
            let changed = changed.clone();
            Latest::new(move || changed.notify_one())
        };
        let (theirs, own) = (slot(), slot());
        let (receiver, orders) = sync_channel(QUEUE);
        let (reports, reported) = mpsc::channel(REPORTS);
        let stage = Arc::<Mutex<Stage>>::default();
        let watching = Watching {
            clock,
            reports: reports.clone(),
            theirs: theirs.clone(),
            sink: None,
            stage: stage.clone(),
        };
        std::thread::Builder::new().name("video in".into()).spawn(move || watching.run(&orders))?;
        Ok(Self {
            video,
            clock,
            reports,
            reported,
            network: Arc::default(),
            live: Arc::default(),
            stage,
            busy: None,
            receiver,
            theirs,
            own,
            changed,
        })
    }

    /// What there is to tell. What was said of a source is left out once another one was asked for, or
    /// none: it would be taken for a word about the new one. Cancel safe.
    pub async fn next(&mut self) -> Option<MediaEvent> {
        loop {
            let Report { source, event } = self.reported.recv().await?;
            if source.is_none_or(|source| source == self.stage().generation) {
                return Some(event);
            }
        }
    }

    /// Where received datagrams go.
    pub fn on_datagram(&self) -> OnDatagram {
        let receiver = self.receiver.clone();
        Arc::new(move |bytes| {
            // A full queue means that the decoder is behind: what is late is useless anyway.
            let _ = receiver.try_send(Order::Datagram(bytes));
        })
    }

    /// Where datagrams go out.
    pub fn attach(&self, send: impl Fn(Vec<u8>) + Send + 'static) {
        *self.network.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(send));
    }

    /// Gives each received picture to `sink` too, or no longer.
    pub fn set_sink(&self, sink: Option<Sink>) {
        self.tell(Order::Sink(sink));
    }

    /// The other person's newest picture.
    pub fn theirs(&self) -> Option<Arc<Picture>> {
        self.theirs.get()
    }

    /// The own newest picture.
    pub fn own(&self) -> Option<Arc<Picture>> {
        self.own.get()
    }

    /// Wakes when there is a new picture.
    pub fn changed(&self) -> Arc<Notify> {
        self.changed.clone()
    }

    /// Starts, changes or ends something.
    pub fn carry_out(&mut self, effect: MediaEffect) {
        match effect {
            MediaEffect::Start { stream, source } => self.start(stream, source),
            MediaEffect::Source(source) => self.turn_to(source),
            MediaEffect::Live(on) => {
                self.live.store(on, Ordering::Relaxed);
                self.keyframe();
            }
            MediaEffect::Pause(paused) => {
                let mut stage = self.stage();
                stage.paused = paused;
                if let Some(outgoing) = &stage.outgoing {
                    outgoing.pause(paused);
                }
            }
            MediaEffect::Keyframe => self.keyframe(),
            MediaEffect::Budget(kbps) => {
                self.video.kbps = kbps;
                if let Some(outgoing) = &self.stage().outgoing {
                    outgoing.set_budget(kbps.saturating_mul(1000));
                }
            }
            MediaEffect::Shape { size, fps } => {
                (self.video.width, self.video.height, self.video.fps) = (size.width, size.height, fps);
                if let Some(outgoing) = &self.stage().outgoing {
                    outgoing.set_shape(size, fps);
                }
            }
            MediaEffect::Stop => {
                self.stop();
                self.live.store(false, Ordering::Relaxed);
                self.own.clear();
            }
            MediaEffect::Watch(stream) => self.tell(Order::Watch(stream)),
            MediaEffect::Unwatch(track) => self.tell(Order::Unwatch(track)),
            MediaEffect::Blank => self.tell(Order::Blank),
        }
    }

    /// The own picture goes out there. What runs or is being opened under that name already goes on: a
    /// pipe is not read from its beginning again, and a camera opens once.
    fn start(&mut self, stream: Stream, source: String) {
        let mut stage = self.stage();
        // Each source starts with its camera on.
        stage.paused = false;
        if stage.words.as_ref() == Some(&source) {
            if let Some(outgoing) = &stage.outgoing {
                let shape = shape(&self.video);
                match Sender::new(stream.track, &stream.key, stream.kid, shape) {
                    Ok(sender) => outgoing.go_on(sender, shape),
                    Err(misfit) => report_failed(&self.reports, stage.generation, misfit.to_string()),
                }
                outgoing.pause(false);
            }
            stage.stream = Some(stream);
            return;
        }
        stage.generation += 1;
        stage.stream = Some(stream);
        stage.words = Some(source.clone());
        let (old, generation) = (stage.outgoing.take(), stage.generation);
        drop(stage);
        self.open(source, generation, old);
    }

    /// The own picture comes from another source from now on, on the same track under the same key.
    fn turn_to(&mut self, source: String) {
        let mut stage = self.stage();
        if stage.stream.is_none() {
            // The call that is to begin names it once more.
            return;
        }
        stage.generation += 1;
        stage.paused = false;
        stage.words = Some(source.clone());
        if let Some(outgoing) = &stage.outgoing {
            // Whatever becomes of the new one, the old one is not sent any longer.
            outgoing.set_source(None);
            outgoing.pause(false);
        }
        let generation = stage.generation;
        drop(stage);
        self.open(source, generation, None);
    }

    /// Opens the source on a thread of its own: a camera, a large file or a pipe without a writer may
    /// take its time, and the screen must not.
    fn open(&mut self, source: String, generation: u64, old: Option<Outgoing>) {
        let opening = Opening {
            video: self.video.clone(),
            clock: self.clock,
            network: self.network.clone(),
            live: self.live.clone(),
            reports: self.reports.clone(),
            own: self.own.clone(),
        };
        let (stage, busy) = (self.stage.clone(), self.busy.take());
        let (done, next) = sync_channel(0);
        let opened = std::thread::Builder::new().name("video open".into()).spawn(move || {
            // The old source is closed first: a camera opens once.
            if let Some(busy) = busy {
                let _ = busy.recv();
            }
            drop(old);
            let spec = Spec::parse(&source);
            // A file is in nobody's way, however long it takes to read.
            let done = matches!(spec, Ok(Spec::Pipe(_) | Spec::Camera(_))).then_some(done);
            let opened = spec.and_then(|spec| opening.open(&spec));
            let mut stage = stage.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever asked for another one meanwhile, or for none, does not get this one.
            let late = if stage.generation == generation {
                opening.use_in(&mut stage, opened);
                None
            } else {
                opened.ok()
            };
            drop(stage);
            // Waits for its thread, which nobody else should.
            drop(late);
            drop(done);
        });
        match opened {
            Ok(_) => self.busy = Some(next),
            Err(error) => {
                self.stage().words = None;
                report_failed(&self.reports, generation, format!("no thread: {error}"));
            }
        }
    }

    /// Closes the source without waiting for it.
    fn stop(&mut self) {
        let mut stage = self.stage();
        stage.generation += 1;
        (stage.stream, stage.words) = (None, None);
        let old = stage.outgoing.take();
        drop(stage);
        if let Some(old) = old {
            let busy = self.busy.take();
            let (done, next) = sync_channel(0);
            let close = move || {
                drop(old);
                if let Some(busy) = busy {
                    let _ = busy.recv();
                }
                drop(done);
            };
            // Without a thread it is closed here.
            let closing = std::thread::Builder::new().name("video close".into()).spawn(close);
            self.busy = closing.ok().map(|_| next);
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keyframe(&self) {
        if let Some(outgoing) = &self.stage().outgoing {
            outgoing.want_keyframe();
        }
    }

    fn tell(&self, order: Order) {
        let _ = self.receiver.send(order);
    }
}

/// What a source needs to run.
struct Opening {
    video: Video,
    clock: Clock,
    network: Network,
    live: Arc<AtomicBool>,
    reports: mpsc::Sender<Report>,
    own: Latest,
}

impl Opening {
    fn open(&self, spec: &Spec) -> Result<Source, Error> {
        let Video { width, height, .. } = self.video;
        Source::open(spec, Size { width, height })
    }

    /// Hands the source to the own picture, which begins with it if it has not begun.
    fn use_in(&self, stage: &mut Stage, opened: Result<Source, Error>) {
        let number = stage.generation;
        let failed = |why| report_failed(&self.reports, number, why);
        let opened = opened.map(|source| source.numbered(number));
        // Who has no camera still tells the other end what it needs.
        let source = opened.map_err(|error| failed(error.to_string())).ok();
        if let Some(outgoing) = &stage.outgoing {
            return outgoing.set_source(source);
        }
        let Some(stream) = &stage.stream else { return };
        match self.run(stream, source, stage.paused) {
            Ok(outgoing) => stage.outgoing = Some(outgoing),
            Err(why) => {
                stage.words = None;
                failed(why);
            }
        }
    }

    fn run(&self, stream: &Stream, source: Option<Source>, paused: bool) -> Result<Outgoing, String> {
        let shape = shape(&self.video);
        let sender =
            Sender::new(stream.track, &stream.key, stream.kid, shape).map_err(|error| error.to_string())?;
        let (network, live, reports) = (self.network.clone(), self.live.clone(), self.reports.clone());
        let datagram = move |bytes| {
            if live.load(Ordering::Relaxed)
                && let Some(send) = &*network.lock().unwrap_or_else(PoisonError::into_inner)
            {
                send(bytes);
            }
        };
        let ended = move |number, error| match error {
            Error::Ended => report(&reports, Some(number), MediaEvent::SourceEnded),
            error => report_failed(&reports, number, error.to_string()),
        };
        let clock = self.clock;
        let outlets = Outlets {
            clock: Box::new(move || clock.now()),
            datagram: Box::new(datagram),
            ended: Box::new(ended),
        };
        let own = self.own.clone();
        Outgoing::start(source, sender, shape, paused, own, outlets).map_err(|error| error.to_string())
    }
}

/// Size, rate and budget of the own picture, as they are set.
fn shape(video: &Video) -> Shape {
    let Video { width, height, fps, kbps, .. } = *video;
    Shape { width, height, fps, budget: kbps.saturating_mul(1000) }
}

fn report_failed(reports: &mpsc::Sender<Report>, source: u64, why: String) {
    report(reports, Some(source), MediaEvent::SourceFailed { why });
}

fn report(reports: &mpsc::Sender<Report>, source: Option<u64>, event: MediaEvent) {
    let _ = reports.try_send(Report { source, event });
}

/// The receiving thread. It ends with the studio.
struct Watching {
    clock: Clock,
    reports: mpsc::Sender<Report>,
    theirs: Latest,
    sink: Option<Sink>,
    /// Whose frames carry what we have to say.
    stage: Arc<Mutex<Stage>>,
}

impl Watching {
    fn run(mut self, orders: &Orders<Order>) {
        let mut watched: Option<(Stream, Receiver)> = None;
        let mut reported = self.clock.now().mono;
        loop {
            // Without anything to watch it sleeps until it is told: an idle client uses no CPU.
            let order = match &watched {
                Some((_, receiver)) => match orders.recv_timeout(self.rest(receiver)) {
                    Ok(order) => Some(order),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return,
                },
                None => match orders.recv() {
                    Ok(order) => Some(order),
                    Err(_) => return,
                },
            };
            let now = self.clock.now();
            match order {
                Some(Order::Datagram(bytes)) => {
                    let picture = watched.as_mut().and_then(|(_, receiver)| receiver.datagram(&bytes, now));
                    if let Some(picture) = picture {
                        if let Some(sink) = &mut self.sink {
                            sink(&picture);
                        }
                        self.theirs.put(picture);
                    }
                }
                Some(Order::Watch(stream)) => watch(&mut watched, stream),
                Some(Order::Unwatch(track)) if watched.as_ref().is_some_and(|(at, _)| at.track == track) => {
                    watched = None;
                    self.theirs.clear();
                }
                Some(Order::Blank) => self.theirs.clear(),
                Some(Order::Sink(sink)) => self.sink = sink,
                Some(Order::Unwatch(_)) | None => {}
            }
            let Some((Stream { track, .. }, receiver)) = &mut watched else { continue };
            self.answer(receiver, now);
            if receiver.wants_keyframe(now) {
                self.report(MediaEvent::WantKeyframe(*track));
            }
            if now.mono.since(reported) >= REPORT * 2 {
                reported = now.mono;
                let stats = receiver.stats(now);
                let stats = Stats { fps: stats.fps, kbps: stats.kbits, loss: stats.loss / 100.0 };
                self.report(MediaEvent::Stats(*track, stats));
            }
        }
    }

    /// How long there is nothing to do if no order comes: until a picture is overdue, or a report due.
    fn rest(&self, receiver: &Receiver) -> Duration {
        let now = self.clock.now().mono;
        receiver.due().map_or(REPORT, |due| due.since(now).min(REPORT))
    }

    /// Hands to the own sender what the other end said, and what it is to be told.
    fn answer(&self, receiver: &mut Receiver, now: Now) {
        // Taken though there may be nobody to take it along: what is overdue must be so once only.
        let (heard, feedback) = (receiver.heard(), receiver.feedback(now));
        let stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(outgoing) = &stage.outgoing else { return };
        if let Some(heard) = heard {
            outgoing.heard(heard, now);
        }
        if let Some(feedback) = feedback {
            outgoing.tell(feedback, now);
        }
    }

    /// A report that finds no room is a report too many: the next one says the same.
    fn report(&self, event: MediaEvent) {
        report(&self.reports, None, event);
    }
}

/// What is watched from now on. The same stream once more is no new one: which of its frames came
/// already is not forgotten, or a relay could show them again.
fn watch(watched: &mut Option<(Stream, Receiver)>, stream: Stream) {
    match watched {
        Some((before, receiver)) if *before == stream => receiver.set_track(stream.track),
        _ => {
            let receiver = Receiver::new(stream.track, &stream.key, stream.kid);
            *watched = Some((stream, receiver));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::y4m::Writer;
    use futures_util::FutureExt;
    use std::collections::HashMap;
    use std::fs::{File, OpenOptions};
    use std::time::Instant;
    use subrosa_shared::protocol::media::Header;
    use subrosa_shared::time::Millis;

    const SIZE: (u16, u16) = (32, 24);

    fn stream(number: u8) -> Stream {
        Stream { track: TrackId(number.into()), key: [number; 32], kid: 0 }
    }

    fn studio() -> Studio {
        let video = Video { width: SIZE.0, height: SIZE.1, fps: 30, ..Video::default() };
        Studio::new(video, Clock::start()).expect("a thread")
    }

    /// What it says next, if it has said something already.
    fn heard(studio: &mut Studio) -> Option<MediaEvent> {
        studio.next().now_or_never().flatten()
    }

    fn shade(luma: u8) -> Picture {
        Picture::paint(SIZE.0, SIZE.1, |_, _| [luma; 3]).expect("in bounds")
    }

    fn starts(studio: &mut Studio, number: u8, source: &str) {
        studio.carry_out(MediaEffect::Start { stream: stream(number), source: source.into() });
    }

    /// Waits until it has said something.
    fn speaks(studio: &Studio) {
        let until = Instant::now() + Duration::from_secs(60);
        while studio.reported.is_empty() {
            assert!(Instant::now() < until, "nothing is said");
            std::thread::yield_now();
        }
    }

    /// Writes this picture again and again until it is the own one.
    fn shows(studio: &Studio, writer: &mut Writer<File>, luma: u8) {
        let until = Instant::now() + Duration::from_secs(60);
        while studio.own().is_none_or(|own| own.luma != shade(luma).luma) {
            assert!(Instant::now() < until, "the own picture is another one");
            // A pipe takes no more than is read.
            writer.write(&shade(luma)).expect("somebody reads");
        }
    }

    #[test]
    fn a_pipe_goes_on_when_the_call_moves_to_another_track() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("mkfifo").success());
        let source = path.to_str().expect("UTF-8");
        let mut studio = studio();
        starts(&mut studio, 1, source);
        // It waits until somebody reads.
        let file = OpenOptions::new().write(true).open(&path).expect("a pipe");
        let mut writer = Writer::new(file, 30);
        shows(&studio, &mut writer, 50);
        starts(&mut studio, 2, source);
        shows(&studio, &mut writer, 200);
        assert!(heard(&mut studio).is_none(), "nothing failed and nothing ended");
    }

    #[test]
    fn another_source_takes_the_place_of_one_that_failed() {
        let mut studio = studio();
        starts(&mut studio, 1, "nowhere.y4m");
        speaks(&studio);
        assert!(matches!(heard(&mut studio), Some(MediaEvent::SourceFailed { .. })));
        assert!(studio.own().is_none());
        studio.carry_out(MediaEffect::Source("test:1".into()));
        let until = Instant::now() + Duration::from_secs(60);
        while studio.own().is_none() {
            assert!(Instant::now() < until, "nothing is shown");
            std::thread::yield_now();
        }
        studio.carry_out(MediaEffect::Stop);
        studio.carry_out(MediaEffect::Source("nowhere.y4m".into()));
        assert!(heard(&mut studio).is_none(), "there is no call that it would be for");
    }

    #[test]
    fn a_file_that_takes_long_to_read_keeps_no_other_source_waiting() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("slow.png");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("mkfifo").success());
        let mut studio = studio();
        // The folder's only image is read once somebody writes it.
        starts(&mut studio, 1, folder.path().to_str().expect("UTF-8"));
        studio.carry_out(MediaEffect::Source("test:1".into()));
        let until = Instant::now() + Duration::from_secs(60);
        while studio.own().is_none() {
            assert!(Instant::now() < until, "nothing is shown");
            std::thread::yield_now();
        }
        // So that its thread ends. What it says is for nobody.
        drop(OpenOptions::new().write(true).open(&path).expect("somebody reads"));
        assert!(heard(&mut studio).is_none());
    }

    #[test]
    fn another_source_goes_on_where_the_one_before_stopped_counting() {
        let folder = tempfile::tempdir().expect("a folder");
        let (to, sent) = std::sync::mpsc::channel();
        let mut studio = studio();
        studio.attach(move |bytes| {
            let _ = to.send(bytes);
        });
        studio.carry_out(MediaEffect::Budget(2_000));
        studio.carry_out(MediaEffect::Live(true));
        let of = stream(1);
        let mut receiver = Receiver::new(of.track, &of.key, of.kid);
        let mut sealed: HashMap<(u32, u8), Vec<u8>> = HashMap::new();
        for (name, luma) in [("dark.y4m", 50), ("light.y4m", 200)] {
            let path = folder.path().join(name);
            let mut film = Writer::new(File::create(&path).expect("made"), 30);
            film.write(&shade(luma)).expect("written");
            let source: String = path.to_str().expect("UTF-8").into();
            studio.carry_out(match luma {
                50 => MediaEffect::Start { stream: stream(1), source },
                _ => MediaEffect::Source(source),
            });
            let mut seen = 0;
            while seen < 10 {
                let bytes = sent.recv_timeout(Duration::from_secs(60)).expect("pictures go out");
                let (header, payload) = Header::decode(&bytes).expect("its own");
                let first = sealed.entry((header.frame, header.index)).or_insert_with(|| payload.to_vec());
                assert!(first == payload, "two pictures under one key and number");
                let picture = receiver.datagram(&bytes, studio.clock.now());
                let near = |picture: Picture| picture.luma[0].abs_diff(shade(luma).luma[0]) < 20;
                seen += u32::from(picture.is_some_and(near));
            }
        }
    }

    #[test]
    fn what_a_source_says_is_not_heard_once_another_one_is_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let empty = folder.path().join("empty.y4m");
        std::fs::write(&empty, "YUV4MPEG2 W4 H4 F10:1 Cmono\n").expect("written");
        let empty = empty.to_str().expect("UTF-8");
        let mut studio = studio();
        starts(&mut studio, 1, "test:1");
        for old in ["nowhere.y4m", empty] {
            studio.carry_out(MediaEffect::Source(old.into()));
            speaks(&studio);
            studio.carry_out(MediaEffect::Source("test:1".into()));
            assert!(heard(&mut studio).is_none(), "{old}");
        }
        studio.carry_out(MediaEffect::Source(empty.into()));
        speaks(&studio);
        assert!(matches!(heard(&mut studio), Some(MediaEvent::SourceEnded)), "the one in use is heard");
        studio.carry_out(MediaEffect::Source("nowhere.y4m".into()));
        speaks(&studio);
        studio.carry_out(MediaEffect::Stop);
        starts(&mut studio, 2, "test:1");
        assert!(heard(&mut studio).is_none(), "nor in the next call");
    }

    #[test]
    fn what_they_showed_before_their_camera_was_off_is_not_shown_when_it_is_on() {
        let mut studio = studio();
        studio.theirs.put(shade(50));
        studio.carry_out(MediaEffect::Blank);
        let until = Instant::now() + Duration::from_secs(60);
        while studio.theirs().is_some() {
            assert!(Instant::now() < until, "it is shown still");
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_was_seen_of_a_stream_is_not_seen_again_after_it_is_watched_anew() {
        let now = |at: u64| Now { wall: Millis(0), mono: Millis(at) };
        let shape = Shape { width: SIZE.0, height: SIZE.1, fps: 10, budget: 2_000_000 };
        let of = stream(1);
        let mut sender = Sender::new(of.track, &of.key, of.kid, shape).expect("in bounds");
        let frames: Vec<Vec<Vec<u8>>> =
            (0..4).map(|i| sender.send(&shade(50 + i * 40), now(u64::from(i) * 100))).collect();
        let mut watched = None;
        let sees = |watched: &mut Option<(Stream, Receiver)>, frame: &[Vec<u8>], at: u64| {
            let (_, receiver) = watched.as_mut().expect("it is watched");
            frame.iter().filter_map(|datagram| receiver.datagram(datagram, now(at))).count()
        };
        watch(&mut watched, stream(1));
        for (frame, at) in frames[..3].iter().zip([0, 100, 200]) {
            assert_eq!(sees(&mut watched, frame, at), 1);
        }
        watch(&mut watched, stream(1));
        for frame in &frames[..3] {
            assert_eq!(sees(&mut watched, frame, 2_000), 0, "repeated");
        }
        assert_eq!(sees(&mut watched, &frames[3], 2_100), 1, "and it goes on");
        watch(&mut watched, stream(2));
        assert_eq!(sees(&mut watched, &frames[3], 2_200), 0, "under another key it is another one");
    }
}
