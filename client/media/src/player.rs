//! The thread that runs a source and a sender, and the slot that holds the newest picture.

use super::feedback::Feedback;
use super::meter::Stats;
use super::send::{Sender, Shape};
use super::source::{Error, Size, Source};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use subrosa_shared::id::TrackId;
use subrosa_shared::time::Now;
use subrosa_shared::video::picture::Picture;

/// A slot for the newest picture; clones share it. What nobody took in time is replaced.
#[derive(Clone)]
pub struct Latest(Arc<Slot>);

struct Slot {
    content: Mutex<(u64, Option<Arc<Picture>>)>,
    notify: Box<dyn Fn() + Send + Sync>,
}

impl Latest {
    /// Empty. `notify` is called after each change, on the thread that made it.
    pub fn new(notify: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(Slot { content: Mutex::new((0, None)), notify: Box::new(notify) }))
    }

    /// Replaces the picture.
    pub fn put(&self, picture: Picture) {
        self.replace(Some(Arc::new(picture)));
    }

    /// Leaves none: the camera is off, the call is over.
    pub fn clear(&self) {
        self.replace(None);
    }

    /// The picture, if there is one.
    pub fn get(&self) -> Option<Arc<Picture>> {
        lock(&self.0.content).1.clone()
    }

    /// Counted up by each change.
    pub fn version(&self) -> u64 {
        lock(&self.0.content).0
    }

    /// The picture and its version, when that is another one than `seen`.
    pub fn newer_than(&self, seen: u64) -> Option<(u64, Arc<Picture>)> {
        let content = lock(&self.0.content);
        content.1.clone().filter(|_| content.0 != seen).map(|picture| (content.0, picture))
    }

    fn replace(&self, picture: Option<Arc<Picture>>) {
        {
            let mut content = lock(&self.0.content);
            *content = (content.0 + 1, picture);
        }
        (self.0.notify)();
    }
}

impl std::fmt::Debug for Latest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Latest").field("version", &self.version()).finish_non_exhaustive()
    }
}

/// What a running source reports, on its own thread, and the clock it runs by; the callbacks must
/// not wait.
pub struct Outlets {
    /// The time that feedback is stamped with.
    pub clock: Box<dyn Fn() -> Now + Send>,
    /// Takes each datagram.
    pub datagram: Box<dyn Fn(Vec<u8>) + Send>,
    /// Takes the number of a source that has no more pictures, and why; only feedback follows.
    pub ended: Box<dyn Fn(u64, Error) + Send>,
}

/// A source and a sender that run on their own thread. Dropping it stops and joins the thread.
pub struct Outgoing {
    shared: Arc<Shared>,
    preview: Latest,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    orders: Mutex<Orders>,
    changed: Condvar,
}

/// What the thread was told since it last looked.
#[derive(Default)]
struct Orders {
    stop: bool,
    paused: bool,
    keyframe: bool,
    /// Another sender in place of the one before.
    sender: Option<Box<Sender>>,
    /// Other sources, of which the last counts. The thread closes those before: that may take a moment.
    sources: Vec<Option<Source>>,
    track: Option<TrackId>,
    budget: Option<u32>,
    shape: Option<(Size, u8)>,
    /// What our receiver has to say, and what the other end said: of each the newest counts.
    tell: Option<(Feedback, Now)>,
    heard: Option<(Feedback, Now)>,
    stats: Stats,
}

impl Outgoing {
    /// Starts the thread, with the camera off if it is `paused`. Each picture that is sent goes to
    /// `preview` too. Without a source it only tells the other end what our receiver has and needs.
    ///
    /// # Errors
    /// When the system gives us no thread.
    pub fn start(
        source: Option<Source>,
        sender: Sender,
        shape: Shape,
        paused: bool,
        preview: Latest,
        outlets: Outlets,
    ) -> std::io::Result<Self> {
        let orders = Mutex::new(Orders { paused, ..Orders::default() });
        let shared = Arc::new(Shared { orders, changed: Condvar::new() });
        let begun = Instant::now();
        let work =
            Work { source, begun, sender, shape, preview: preview.clone(), outlets, shared: shared.clone() };
        let thread = std::thread::Builder::new().name("video out".into()).spawn(move || work.run())?;
        Ok(Self { shared, preview, thread: Some(thread) })
    }

    /// Camera off: nothing is sent or shown until it is on again, with a keyframe first.
    pub fn pause(&self, paused: bool) {
        self.order(|orders| {
            orders.keyframe |= orders.paused && !paused;
            orders.paused = paused;
        });
        if paused {
            self.preview.clear();
        }
    }

    /// Whether it is paused.
    pub fn is_paused(&self) -> bool {
        lock(&self.shared.orders).paused
    }

    /// Someone cannot decode: the next picture becomes a keyframe.
    pub fn want_keyframe(&self) {
        self.order(|orders| orders.keyframe = true);
    }

    /// Tells the other end what our receiver has and needs of its track, with the next frame.
    pub fn tell(&self, feedback: Feedback, now: Now) {
        self.order(|orders| orders.tell = Some((feedback, now)));
    }

    /// What the other end has and needs of ours.
    pub fn heard(&self, feedback: Feedback, now: Now) {
        self.order(|orders| orders.heard = Some((feedback, now)));
    }

    /// Another budget, in bits a second.
    pub fn set_budget(&self, budget: u32) {
        self.order(|orders| orders.budget = Some(budget));
    }

    /// Another size, and another number of pictures a second.
    pub fn set_shape(&self, size: Size, fps: u8) {
        self.order(|orders| orders.shape = Some((size, fps)));
    }

    /// Continues on another track, after the relay was reached anew.
    pub fn set_track(&self, track: TrackId) {
        self.order(|orders| orders.track = Some(track));
    }

    /// Goes on with the same source under a fresh sender, on another track with another key, after the
    /// relay was reached anew. `shape` is the one that the sender was made with.
    pub fn go_on(&self, sender: Sender, shape: Shape) {
        let size = Size { width: shape.width, height: shape.height };
        self.order(|orders| {
            orders.sender = Some(Box::new(sender));
            orders.shape = Some((size, shape.fps));
            // Said of the track before.
            (orders.track, orders.heard) = (None, None);
        });
    }

    /// Pictures come from there from now on, on the same track, with a keyframe first; `None`: from nowhere.
    pub fn set_source(&self, source: Option<Source>) {
        self.order(|orders| orders.sources.push(source));
    }

    /// Rates of the last seconds.
    pub fn stats(&self) -> Stats {
        lock(&self.shared.orders).stats
    }

    /// Where the own picture is to be seen.
    pub fn preview(&self) -> &Latest {
        &self.preview
    }

    fn order(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut lock(&self.shared.orders));
        self.shared.changed.notify_all();
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.order(|orders| orders.stop = true);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to stop.
            let _panicked = thread.join();
        }
        self.preview.clear();
    }
}

/// The thread's side.
struct Work {
    /// Until it ends.
    source: Option<Source>,
    /// When it came.
    begun: Instant,
    sender: Sender,
    shape: Shape,
    preview: Latest,
    outlets: Outlets,
    shared: Arc<Shared>,
}

impl Work {
    fn run(mut self) {
        let start = Instant::now();
        let mut pace = Pace::new(self.shape.fps);
        loop {
            match self.wait(&mut pace, start) {
                Next::Picture => self.film(),
                Next::Due => {
                    let now = (self.outlets.clock)();
                    let datagrams = self.sender.poll(now);
                    datagrams.into_iter().for_each(&self.outlets.datagram);
                }
                Next::Stop => return,
            }
        }
    }

    /// Sends the source's newest picture, if there is one.
    fn film(&mut self) {
        let Some(source) = &mut self.source else { return };
        match source.picture(self.begun.elapsed()) {
            Ok(None) => {}
            Ok(Some(picture)) => {
                let now = (self.outlets.clock)();
                let datagrams = self.sender.send(&picture, now);
                datagrams.into_iter().for_each(&self.outlets.datagram);
                lock(&self.shared.orders).stats = self.sender.stats(now);
                self.show(picture);
            }
            Err(error) => {
                let number = source.number();
                self.source = None;
                self.sender.rest();
                (self.outlets.ended)(number, error);
            }
        }
    }

    /// Pictures come from there from now on. The source before is closed.
    fn turn_to(&mut self, source: Option<Source>) {
        (self.source, self.begun) = (source, Instant::now());
        self.sender.rest();
        self.sender.want_keyframe();
        if let Some(source) = &mut self.source {
            // It was opened while another size may have been asked for.
            source.set_size(Size { width: self.shape.width, height: self.shape.height });
        }
    }

    /// Waits until something is due or the end has come, and follows orders meanwhile.
    fn wait(&mut self, pace: &mut Pace, start: Instant) -> Next {
        let mut orders = lock(&self.shared.orders);
        loop {
            if orders.stop {
                return Next::Stop;
            }
            if !orders.sources.is_empty() {
                let sources = std::mem::take(&mut orders.sources);
                // Nobody who gives orders waits until one is closed.
                drop(orders);
                for source in sources {
                    self.turn_to(source);
                }
                orders = lock(&self.shared.orders);
                continue;
            }
            orders.give(&mut self.sender);
            if let Some((size, fps)) = orders.shape.take()
                && self.sender.set_shape(size.width, size.height, fps).is_ok()
            {
                *pace = Pace::new(fps);
                (self.shape.width, self.shape.height, self.shape.fps) = (size.width, size.height, fps);
                if let Some(source) = &mut self.source {
                    source.set_size(size);
                }
            }
            if let Some(source) = &self.source {
                source.set_paused(orders.paused);
            }
            let due = self.sender.due().map(|at| at.since((self.outlets.clock)().mono));
            if due == Some(Duration::ZERO) {
                return Next::Due;
            }
            // Camera off: no picture is due, but feedback may be.
            let films = !orders.paused && self.source.is_some();
            let picture = match films.then(|| pace.due(start.elapsed())) {
                Some(None) => return Next::Picture,
                Some(Some(rest)) => Some(rest),
                None => None,
            };
            // An order wakes us.
            orders = match due.into_iter().chain(picture).min() {
                Some(rest) => {
                    let woken = self.shared.changed.wait_timeout(orders, rest);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.shared.changed.wait(orders).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Shows the own picture, unless we were paused meanwhile.
    fn show(&self, picture: Picture) {
        let orders = lock(&self.shared.orders);
        let hidden = orders.paused || orders.stop;
        drop(orders);
        if !hidden {
            self.preview.put(picture);
        }
    }
}

impl Orders {
    /// Passes on what the sender is to know.
    fn give(&mut self, sender: &mut Sender) {
        if let Some(fresh) = self.sender.take() {
            *sender = *fresh;
        }
        if self.paused {
            sender.rest();
        }
        if std::mem::take(&mut self.keyframe) {
            sender.want_keyframe();
        }
        if let Some(track) = self.track.take() {
            sender.set_track(track);
        }
        if let Some(budget) = self.budget.take() {
            sender.set_budget(budget);
        }
        if let Some((feedback, now)) = self.tell.take() {
            sender.tell(feedback, now);
        }
        if let Some((feedback, now)) = self.heard.take() {
            sender.heard(&feedback, now);
        }
    }
}

/// What the thread does next.
enum Next {
    Picture,
    Due,
    Stop,
}

/// When pictures are due; a late one does not make the following ones hurry.
struct Pace {
    interval: Duration,
    next: Duration,
}

impl Pace {
    fn new(fps: u8) -> Self {
        Self { interval: Duration::from_secs(1) / u32::from(fps.max(1)), next: Duration::ZERO }
    }

    /// `None` when a picture is due now, which counts it; otherwise how long to wait.
    fn due(&mut self, elapsed: Duration) -> Option<Duration> {
        if elapsed < self.next {
            return Some(self.next - elapsed);
        }
        self.next += self.interval;
        if self.next <= elapsed {
            self.next = elapsed + self.interval;
        }
        None
    }
}

/// The values behind these locks are whole at any time, so a panic elsewhere does not spoil them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receive::Receiver;
    use crate::source::{Size, Spec};
    use crate::y4m::Writer;
    use std::path::Path;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::{self, channel};
    use subrosa_shared::time::Millis;

    fn now(start: Instant) -> Now {
        Now { wall: Millis(0), mono: Millis(start.elapsed().as_millis() as u64) }
    }

    #[test]
    fn the_newest_picture_replaces_the_one_before() {
        let told = Arc::new(AtomicU32::new(0));
        let count = told.clone();
        let latest = Latest::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert!(latest.newer_than(0).is_none());
        let shade = |luma| Picture::paint(16, 16, |_, _| [luma; 3]).expect("in bounds");
        latest.put(shade(10));
        latest.clone().put(shade(200));
        let (version, picture) = latest.newer_than(0).expect("one");
        assert_eq!((version, &*picture), (2, &shade(200)));
        assert!(latest.newer_than(version).is_none());
        latest.clear();
        assert!(latest.get().is_none() && latest.version() == 3);
        assert_eq!(told.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn pictures_are_due_at_their_rate_and_late_ones_do_not_pile_up() {
        let mut pace = Pace::new(10);
        let ms = Duration::from_millis;
        assert_eq!(pace.due(ms(0)), None);
        assert_eq!(pace.due(ms(10)), Some(ms(90)));
        assert_eq!(pace.due(ms(100)), None);
        assert_eq!(pace.due(ms(230)), None);
        assert_eq!(pace.due(ms(230)), Some(ms(70)), "the rhythm is kept when a picture is a little late");
        assert_eq!(pace.due(ms(5_000)), None);
        assert_eq!(pace.due(ms(5_001)), Some(ms(99)));
    }

    #[test]
    fn a_running_source_is_seen_far_away_and_stops_with_its_handle() {
        let shape = Shape { width: 32, height: 32, fps: 30, budget: 64_000 };
        let source = Source::open(&Spec::Test(3), Size { width: 32, height: 32 }).expect("a test picture");
        let sender = Sender::new(TrackId(1), &[1; 32], 0, shape).expect("in bounds");
        let (into, datagrams) = channel();
        let (into_end, end) = channel();
        let start = Instant::now();
        let outlets = Outlets {
            clock: Box::new(move || now(start)),
            datagram: Box::new(move |bytes| drop(into.send(bytes))),
            ended: Box::new(move |_, error| drop(into_end.send(error))),
        };
        let preview = Latest::new(|| {});
        let outgoing =
            Outgoing::start(Some(source), sender, shape, false, preview.clone(), outlets).expect("a thread");
        let mut receiver = Receiver::new(TrackId(1), &[1; 32], 0);
        let mut pictures = 0;
        for datagram in datagrams.iter() {
            pictures += u32::from(receiver.datagram(&datagram, now(start)).is_some());
            if pictures == 3 {
                break;
            }
        }
        outgoing.pause(true);
        assert!(outgoing.is_paused());
        drop(outgoing);
        // The thread is gone and its callbacks with it.
        assert!(end.recv().is_err());
        assert!(datagrams.iter().count() < 1_000, "what was queued, and then the end");
        assert!(preview.get().is_none());
    }

    const SIZE: Size = Size { width: 32, height: 32 };
    const SHAPE: Shape = Shape { width: 32, height: 32, fps: 30, budget: 64_000 };
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Which source ended, and why.
    type End = (u64, Error);

    /// A running source under a key of the track's number, what it sends, and how it ends.
    fn runs(source: Source, start: Instant) -> (Outgoing, mpsc::Receiver<Vec<u8>>, mpsc::Receiver<End>) {
        begins(source, false, start)
    }

    /// The same with the camera on or off.
    fn begins(
        source: Source,
        paused: bool,
        start: Instant,
    ) -> (Outgoing, mpsc::Receiver<Vec<u8>>, mpsc::Receiver<End>) {
        let sender = Sender::new(TrackId(1), &[1; 32], 0, SHAPE).expect("in bounds");
        let (into, datagrams) = channel();
        let (into_end, end) = channel();
        let outlets = Outlets {
            clock: Box::new(move || now(start)),
            datagram: Box::new(move |bytes| drop(into.send(bytes))),
            ended: Box::new(move |number, error| drop(into_end.send((number, error)))),
        };
        let outgoing = Outgoing::start(Some(source), sender, SHAPE, paused, Latest::new(|| {}), outlets);
        (outgoing.expect("a thread"), datagrams, end)
    }

    /// What somebody sees who comes now and watches that track.
    fn sees(track: u8, datagrams: &mpsc::Receiver<Vec<u8>>, start: Instant) -> Picture {
        let mut receiver = Receiver::new(TrackId(track.into()), &[track; 32], 0);
        let seen = (0..1_000).find_map(|_| {
            let datagram = datagrams.recv_timeout(PATIENCE).expect("it sends");
            receiver.datagram(&datagram, now(start))
        });
        seen.expect("a picture of that track")
    }

    #[test]
    fn a_camera_that_was_turned_off_while_it_opened_sent_its_first_picture() {
        let start = Instant::now();
        let source = Source::open(&Spec::Test(3), SIZE).expect("a test picture");
        let (outgoing, datagrams, _end) = begins(source, true, start);
        let mut receiver = Receiver::new(TrackId(1), &[1; 32], 0);
        // Feedback leaves though the camera is off. A picture would, too, before the second at the latest.
        for late in [false, true] {
            let feedback = Feedback { newest: 1, received: 1, held: 0, reference: None, needs: false, late };
            outgoing.tell(feedback, now(start));
            let sent = datagrams.recv_timeout(PATIENCE).expect("it sends");
            assert!(receiver.datagram(&sent, now(start)).is_none(), "a picture");
            assert!(receiver.heard().is_some());
        }
    }

    #[test]
    fn a_source_goes_on_under_another_key_and_in_another_size() {
        let start = Instant::now();
        let source = Source::open(&Spec::Test(3), SIZE).expect("a test picture");
        let (outgoing, datagrams, end) = runs(source, start);
        assert_eq!(sees(1, &datagrams, start).width(), 32);
        let shape = Shape { width: 48, ..SHAPE };
        let sender = Sender::new(TrackId(2), &[2; 32], 0, shape).expect("in bounds");
        outgoing.go_on(sender, shape);
        assert_eq!(sees(2, &datagrams, start).width(), 48);
        drop(outgoing);
        assert!(end.recv().is_err(), "the source never ended");
    }

    /// A stream of one grey picture.
    fn short(folder: &Path) -> Source {
        let path = folder.join("short.y4m");
        let mut writer = Writer::new(std::fs::File::create(&path).expect("created"), 10);
        writer.write(&Picture::grey(32, 32).expect("in bounds")).expect("written");
        Source::open(&Spec::Pipe(Some(path)), SIZE).expect("a stream of one picture")
    }

    #[test]
    fn who_hears_that_a_source_ended_hears_which_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let (outgoing, _datagrams, end) = runs(short(folder.path()).numbered(7), Instant::now());
        let ended = || end.recv_timeout(PATIENCE).expect("it ends").0;
        assert_eq!(ended(), 7);
        outgoing.set_source(Some(short(folder.path()).numbered(8)));
        assert_eq!(ended(), 8);
    }

    #[test]
    fn after_a_source_ended_another_one_is_sent_on_the_same_track() {
        let start = Instant::now();
        let folder = tempfile::tempdir().expect("a folder");
        let (outgoing, datagrams, end) = runs(short(folder.path()), start);
        let (_, ended) = end.recv_timeout(PATIENCE).expect("it ends");
        assert!(matches!(ended, Error::Ended), "{ended}");
        while datagrams.try_recv().is_ok() {}
        outgoing.set_source(Some(Source::open(&Spec::Test(3), SIZE).expect("a test picture")));
        assert_ne!(sees(1, &datagrams, start), Picture::grey(32, 32).expect("in bounds"));
    }
}
