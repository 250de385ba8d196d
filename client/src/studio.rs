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
mod tests;
