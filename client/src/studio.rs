//! The own camera and the watched picture of a running client: threads that calls start and end.

use crate::config::Video;
use crate::effect::MediaEffect;
use crate::event::{MediaEvent, Stats};
use crate::media::player::{Latest, Outgoing, Outlets};
use crate::media::receive::Receiver;
use crate::media::send::{Sender, Shape};
use crate::media::source::{Error, Size, Source, Spec};
use crate::net::link::{Datagrams, OnDatagram};
use crate::runtime::Clock;
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver as Orders, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use subrosa_shared::content::Stream;
use subrosa_shared::id::TrackId;
use subrosa_shared::time::Now;
use subrosa_shared::video::picture::Picture;
use tokio::sync::{Notify, mpsc};

/// Takes each received picture beside the screen: a recording, a test.
pub type Sink = Box<dyn FnMut(&Picture) + Send>;

/// What the receiving thread is told.
enum Order {
    Datagram(Bytes),
    Watch(Stream),
    Unwatch(TrackId),
    Sink(Option<Sink>),
}

/// Datagrams that may wait for the decoder; more are dropped, as on the network.
const QUEUE: usize = 256;
/// How often rates are reported and keyframes asked for, when nothing arrives.
const REPORT: Duration = Duration::from_millis(500);

/// The own source, as the thread that opens it and the client share it.
#[derive(Default)]
struct Stage {
    /// Counted up by each start and stop: a source that opened late belongs to nobody.
    generation: u64,
    paused: bool,
    outgoing: Option<Outgoing>,
}

impl Stage {
    /// Another source, or none: what ran before, and the number of what comes.
    fn next(&mut self, starts: bool) -> (Option<Outgoing>, u64) {
        self.generation += 1;
        // Each source starts with its camera on.
        self.paused &= !starts;
        (self.outgoing.take(), self.generation)
    }
}

/// Live pictures, both ways.
pub struct Studio {
    video: Video,
    clock: Clock,
    events: mpsc::Sender<MediaEvent>,
    network: Arc<Mutex<Option<Datagrams>>>,
    live: Arc<AtomicBool>,
    stage: Arc<Mutex<Stage>>,
    /// The source that ends at this moment.
    closing: Option<JoinHandle<()>>,
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
    pub fn new(video: Video, clock: Clock, events: mpsc::Sender<MediaEvent>) -> std::io::Result<Self> {
        let changed = Arc::new(Notify::new());
        let slot = || {
            let changed = changed.clone();
            Latest::new(move || changed.notify_one())
        };
        let (theirs, own) = (slot(), slot());
        let (receiver, orders) = sync_channel(QUEUE);
        let stage = Arc::<Mutex<Stage>>::default();
        let watching = Watching {
            clock,
            events: events.clone(),
            theirs: theirs.clone(),
            sink: None,
            stage: stage.clone(),
        };
        std::thread::Builder::new().name("video in".into()).spawn(move || watching.run(&orders))?;
        Ok(Self {
            video,
            clock,
            events,
            network: Arc::default(),
            live: Arc::default(),
            stage,
            closing: None,
            receiver,
            theirs,
            own,
            changed,
        })
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
    pub fn attach(&self, datagrams: Datagrams) {
        *self.network.lock().unwrap_or_else(PoisonError::into_inner) = Some(datagrams);
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
        }
    }

    /// Opens the source on a thread of its own: a camera, a large file or a pipe without a writer may
    /// take its time, and the screen must not.
    fn start(&mut self, stream: Stream, source: String) {
        let (old, generation) = self.stage().next(true);
        let opening = Opening {
            video: self.video.clone(),
            clock: self.clock,
            network: self.network.clone(),
            live: self.live.clone(),
            events: self.events.clone(),
            own: self.own.clone(),
        };
        let (stage, closing) = (self.stage.clone(), self.closing.take());
        let opened = std::thread::Builder::new().name("video open".into()).spawn(move || {
            // The old source is closed first: a camera opens once.
            if let Some(closing) = closing {
                let _ = closing.join();
            }
            drop(old);
            let opened = opening.open(&stream, &source);
            let mut stage = stage.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever asked for another one meanwhile, or for none, does not get this one.
            let late = if stage.generation == generation {
                match opened {
                    Ok(outgoing) => {
                        outgoing.pause(stage.paused);
                        stage.outgoing.replace(outgoing)
                    }
                    Err(why) => {
                        opening.failed(why);
                        None
                    }
                }
            } else {
                opened.ok()
            };
            drop(stage);
            // Joins its thread, which nobody else should wait for.
            drop(late);
        });
        if let Err(error) = opened {
            let _ = self.events.try_send(MediaEvent::SourceFailed { why: format!("no thread: {error}") });
        }
    }

    /// Closes the source without waiting for it.
    fn stop(&mut self) {
        let (old, _) = self.stage().next(false);
        if let Some(old) = old {
            // Without a thread it is closed here.
            self.closing =
                std::thread::Builder::new().name("video close".into()).spawn(move || drop(old)).ok();
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
    network: Arc<Mutex<Option<Datagrams>>>,
    live: Arc<AtomicBool>,
    events: mpsc::Sender<MediaEvent>,
    own: Latest,
}

impl Opening {
    fn open(&self, stream: &Stream, source: &str) -> Result<Outgoing, String> {
        let Video { width, height, fps, kbps, .. } = self.video;
        let shape = Shape { width, height, fps, budget: kbps.saturating_mul(1000) };
        let sender =
            Sender::new(stream.track, &stream.key, stream.kid, shape).map_err(|error| error.to_string())?;
        // Who has no camera still tells the other end what it needs.
        let opened = Spec::parse(source).and_then(|spec| Source::open(&spec, Size { width, height }));
        let source = opened.map_err(|error| self.failed(error.to_string())).ok();
        let (network, live, events) = (self.network.clone(), self.live.clone(), self.events.clone());
        let datagram = move |bytes| {
            if live.load(Ordering::Relaxed)
                && let Some(network) = &*network.lock().unwrap_or_else(PoisonError::into_inner)
            {
                network.send(bytes);
            }
        };
        let ended = move |error| {
            let event = match error {
                Error::Ended => MediaEvent::SourceEnded,
                error => MediaEvent::SourceFailed { why: error.to_string() },
            };
            let _ = events.try_send(event);
        };
        let clock = self.clock;
        let outlets = Outlets {
            clock: Box::new(move || clock.now()),
            datagram: Box::new(datagram),
            ended: Box::new(ended),
        };
        Outgoing::start(source, sender, shape, self.own.clone(), outlets).map_err(|error| error.to_string())
    }

    fn failed(&self, why: String) {
        let _ = self.events.try_send(MediaEvent::SourceFailed { why });
    }
}

/// The receiving thread. It ends with the studio.
struct Watching {
    clock: Clock,
    events: mpsc::Sender<MediaEvent>,
    theirs: Latest,
    sink: Option<Sink>,
    /// Whose frames carry what we have to say.
    stage: Arc<Mutex<Stage>>,
}

impl Watching {
    fn run(mut self, orders: &Orders<Order>) {
        let mut watched: Option<(TrackId, Receiver)> = None;
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
                Some(Order::Watch(stream)) => {
                    watched = Some((stream.track, Receiver::new(stream.track, &stream.key, stream.kid)));
                }
                Some(Order::Unwatch(track)) if watched.as_ref().is_some_and(|(at, _)| *at == track) => {
                    watched = None;
                    self.theirs.clear();
                }
                Some(Order::Sink(sink)) => self.sink = sink,
                Some(Order::Unwatch(_)) | None => {}
            }
            let Some((track, receiver)) = &mut watched else { continue };
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
        let _ = self.events.try_send(event);
    }
}
