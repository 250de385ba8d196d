//! Carries effects out and brings events in: the only place with a clock, threads and sockets.
//!
//! ```text
//! front end ──Event──► App::update ──Effect──► order ──► store thread ──► relay, scripts
//!     ▲                                  └───► at once: pictures, wake-up; the rest to the front end
//!     └────────── next(): relay, pictures, wake-up, store
//! ```
//! Effects whose order matters pass one thread: it writes what is to be durable, then sends what
//! depended on it. It gathers what is queued and writes it as one (group commit).

use crate::app::{App, Parts};
use crate::effect::Effect;
use crate::event::{Event, LinkEvent};
use crate::export;
use crate::files::Report;
use crate::files::porter::Porter;
use crate::lock::Leaving;
use crate::media::avatar;
use crate::net::link::{Frames, Link};
use crate::studio::Studio;
use rand_core::OsRng;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as queue;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use subrosa_shared::protocol::frame::ToRelay;
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::opaque;
use subrosa_shared::store::{self, Batch, Store};
use subrosa_shared::time::{Millis, Now};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The real clock.
#[derive(Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Monotonic time counts from here.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// This moment.
    pub fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { wall: Millis(wall.as_millis() as u64), mono: Millis(self.start.elapsed().as_millis() as u64) }
    }

    fn instant(&self, mono: Millis) -> Instant {
        self.start + Duration::from_millis(mono.0)
    }
}

/// What [`Runtime::next`] brings.
pub enum Next {
    /// For [`Runtime::step`].
    Event(Event),
    /// An effect for the front end whose turn has come: what it tells is on disk.
    Done(Effect),
}

/// A running client without its front end.
pub struct Runtime {
    app: App,
    clock: Clock,
    order: queue::Sender<Effect>,
    /// For threads that do slow work.
    doing: mpsc::UnboundedSender<Next>,
    done: mpsc::UnboundedReceiver<Next>,
    link: mpsc::Receiver<LinkEvent>,
    studio: Studio,
    porter: Porter,
    reports: mpsc::UnboundedReceiver<Report>,
    wake: Option<Instant>,
    /// The person left; past this moment nothing is waited for any more.
    leave: Option<Instant>,
    /// What threads of their own have to say.
    done_out: mpsc::UnboundedSender<Next>,
    /// Ends the connection when dropped.
    connection: Link,
    /// Says whether everything was written.
    store_thread: Option<std::thread::JoinHandle<bool>>,
}

/// Events that may wait between the network and the client.
const EVENTS: usize = 256;
/// Effects that are written as one at most.
const GROUP: usize = 512;
/// Pause between two tries of a write that failed.
const WRITE_AGAIN: Duration = Duration::from_millis(1000);
/// What a person reads once nothing will be written any more.
const DEAD: &str = "writing failed: leave and start again; what you type is lost";
/// How long leaving may take while the store cannot write.
const LEAVE: Duration = Duration::from_secs(3);
/// How long it may take as long as no write has failed: some disks are slow.
const LAST_WRITES: Duration = Duration::from_secs(20);

impl Runtime {
    /// Loads the client and connects. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// Those of the store.
    pub fn start(parts: Parts, relay: RelayLink) -> Result<(Self, Vec<Effect>), store::Error> {
        let clock = Clock::start();
        let video = parts.config.video.clone();
        let (app, effects) = App::load(parts, clock.now())?;
        let store = app.store().clone();
        let studio = Studio::new(video, clock)?;
        let (link_events, link_inbox) = mpsc::channel(EVENTS);
        let link = Link::start(relay, link_events, studio.on_datagram());
        let (porter, reports) = Porter::new(link.current());
        let datagrams = link.datagrams();
        studio.attach(move |bytes| datagrams.send(bytes));
        // Bounded by what fills it: a person's commands, and relay frames, of which the relay sends
        // no more than its window before an acknowledgement that itself passes here.
        let (order, effects_in) = queue::channel();
        let (done_out, done) = mpsc::unbounded_channel();
        let (frames, threads_out) = (link.frames(), done_out.clone());
        let doing = done_out.clone();
        let store_thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || {
                let writing = || write(&store, &effects_in, &frames, &done_out);
                // All that it leaves unwritten goes with the process: nothing of it is looked at again.
                std::panic::catch_unwind(AssertUnwindSafe(writing)).unwrap_or_else(|_| {
                    let _ = done_out.send(Next::Event(Event::StoreFailed(DEAD.into())));
                    false
                })
            })
            .map_err(store::Error::Io)?;
        let mut runtime = Self {
            app,
            clock,
            order,
            doing,
            done,
            link: link_inbox,
            studio,
            porter,
            reports,
            wake: None,
            leave: None,
            done_out: threads_out,
            connection: link,
            store_thread: Some(store_thread),
        };
        let front = runtime.carry_out(effects);
        Ok((runtime, front))
    }

    /// The state, for the screen.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// This moment.
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// True once after the person asked to draw everything again.
    pub fn take_redraw(&mut self) -> bool {
        self.app.take_redraw()
    }

    /// Live pictures.
    pub fn studio(&self) -> &Studio {
        &self.studio
    }

    /// Updates the state and carries out what it can; gives what only the front end can do at once.
    pub fn step(&mut self, event: Event) -> Vec<Effect> {
        let effects = self.app.update(event, self.clock.now());
        self.carry_out(effects)
    }

    /// Waits for the next thing that is not the front end's own. Cancel safe.
    pub async fn next(&mut self) -> Next {
        loop {
            let next = tokio::select! {
                biased;
                // What is done first, so that scripts hear of a line before its mark.
                Some(next) = self.done.recv() => next,
                Some(event) = self.link.recv() => Next::Event(Event::Link(event)),
                Some(event) = self.studio.next() => Next::Event(Event::Media(event)),
                Some(report) = self.reports.recv() => Next::Event(Event::Transfer(report)),
                () = moment(self.wake) => {
                    self.wake = None;
                    Next::Event(Event::Wake)
                }
                // The disk does not answer: the person leaves all the same.
                () = moment(self.leave) => {
                    self.leave = None;
                    Next::Done(Effect::Quit)
                }
            };
            match next {
                // Its key and its place are on the disk by now.
                Next::Done(Effect::Transfer(order)) => self.porter.carry_out(order),
                next => return next,
            }
        }
    }

    /// Writes what is still to be written and ends, at once when `asked` once more. False when the store could not
    /// write it.
    pub async fn finish(mut self, asked: impl Future<Output = ()>) -> bool {
        drop(std::mem::replace(&mut self.order, queue::channel().0));
        let Some(thread) = self.store_thread.take() else { return true };
        let joined = tokio::task::spawn_blocking(move || thread.join().unwrap_or(false));
        // What is to be destroyed is not waited for either.
        let soon = self.app.chat().stuck.is_some() || self.app.leaving() == Some(Leaving::Burn);
        let written = tokio::select! {
            biased;
            written = written(joined, &mut self.done, soon, LEAVE) => written,
            () = asked => false,
        };
        self.connection.close().await;
        written
    }

    fn carry_out(&mut self, effects: Vec<Effect>) -> Vec<Effect> {
        let mut front = Vec::new();
        for effect in effects {
            match effect {
                Effect::Wake(at) => self.wake = Some(self.clock.instant(at)),
                Effect::Media(media) => self.studio.carry_out(media),
                Effect::Avatar(path) => self.read_avatar(path),
                Effect::Stretch(job) => {
                    let doing = self.doing.clone();
                    tokio::task::spawn_blocking(move || {
                        let stretched = job.run(opaque::COST, &mut OsRng);
                        // Nobody listens any more when the person has left.
                        let _ = doing.send(Next::Event(Event::Stretched(stretched)));
                    });
                }
                Effect::StretchDoor(job) => {
                    let doing = self.doing.clone();
                    tokio::task::spawn_blocking(move || {
                        let stretched = job.run(opaque::COST, &mut OsRng);
                        let _ = doing.send(Next::Event(Event::StretchedDoor(stretched)));
                    });
                }
                Effect::Commit(_)
                | Effect::Send(_)
                | Effect::Tell(_)
                | Effect::Transfer(_)
                | Effect::Export(_)
                | Effect::Reconnect
                | Effect::Quit => {
                    if matches!(effect, Effect::Quit) {
                        self.leave.get_or_insert(Instant::now() + LEAVE);
                    }
                    // The thread lives as long as this sender, or has said that it failed.
                    let _ = self.order.send(effect);
                }
                Effect::Draw
                | Effect::Notify { .. }
                | Effect::Title(_)
                | Effect::Copy(_)
                | Effect::Edit { .. }
                | Effect::Suspend
                | Effect::Mouse(_) => front.push(effect),
            }
        }
        front
    }

    /// Decodes an image on a thread of its own: a large one takes a while.
    fn read_avatar(&mut self, path: PathBuf) {
        let done = self.done_out.clone();
        let read = move || {
            let avatar = avatar::read(&path).map_err(|error| error.to_string());
            // Nobody listens when the person has left meanwhile.
            let _ = done.send(Next::Event(Event::Avatar(avatar)));
        };
        if let Err(error) = std::thread::Builder::new().name("avatar".into()).spawn(read) {
            let why = format!("no thread to read the image on: {error}");
            let _ = self.done_out.send(Next::Event(Event::Avatar(Err(why))));
        }
    }
}

/// Waits for the store thread, no longer than `leave` once a write has failed or where that is to be `soon`. False
/// when it left something unwritten, or does not end.
async fn written(
    mut thread: JoinHandle<bool>,
    done: &mut mpsc::UnboundedReceiver<Next>,
    soon: bool,
    leave: Duration,
) -> bool {
    let begun = Instant::now();
    let mut until = begun + if soon { leave } else { LAST_WRITES };
    loop {
        tokio::select! {
            biased;
            ended = &mut thread => return ended.unwrap_or(false),
            Some(next) = done.recv() => match next {
                Next::Event(Event::StoreFailed(_)) => until = until.min(Instant::now() + leave),
                Next::Event(Event::StoreBack) => until = begun + LAST_WRITES,
                _ => {}
            },
            () = moment(Some(until)) => return false,
        }
    }
}

async fn moment(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// The store thread: durable first, then out. False when it had to leave something unwritten.
fn write(
    store: &Store,
    effects: &queue::Receiver<Effect>,
    frames: &Frames,
    done: &mpsc::UnboundedSender<Next>,
) -> bool {
    // What came while a write failed, in order.
    let mut backlog = VecDeque::new();
    let mut exports = None;
    loop {
        let mut group = Vec::new();
        match backlog.pop_front() {
            Some(first) => group.push(first),
            None => match effects.recv() {
                Ok(first) => group.push(first),
                Err(_) => return true,
            },
        }
        while group.len() < GROUP {
            let Some(next) = backlog.pop_front().or_else(|| effects.try_recv().ok()) else { break };
            group.push(next);
        }
        let (batch, after) = grouped(group);
        if !batch.is_empty() && !commit(store, &batch, &after, effects, &mut backlog, frames, done) {
            return false;
        }
        for effect in after {
            match effect {
                Effect::Send(frame) => frames.send(frame),
                Effect::Reconnect => frames.reconnect(),
                Effect::Export(job) => {
                    if exports.is_none() {
                        exports = Exports::start(store.clone(), done.clone()).ok();
                    }
                    match &exports {
                        Some(exports) => exports.add(*job),
                        None => {
                            let text = "the system has no thread for an export: close something".into();
                            let _ = done.send(Next::Event(Event::Notice { text, error: true }));
                        }
                    }
                }
                other => {
                    let _ = done.send(Next::Done(other));
                }
            }
        }
    }
}

/// What of a group is written in one go, all records before all secrets, and what comes after it.
pub fn grouped(group: Vec<Effect>) -> (Batch, Vec<Effect>) {
    let (mut batch, mut after) = (Batch::default(), Vec::new());
    for effect in group {
        match effect {
            // Writing a later batch early is safe; sending early is not.
            Effect::Commit(part) => batch.extend(part),
            other => after.push(other),
        }
    }
    (batch, after)
}

/// Tries until it is written, before what comes after it. False when the client leaves before that.
fn commit(
    store: &Store,
    batch: &Batch,
    after: &[Effect],
    effects: &queue::Receiver<Effect>,
    backlog: &mut VecDeque<Effect>,
    frames: &Frames,
    done: &mpsc::UnboundedSender<Next>,
) -> bool {
    let hurry = |effect: &Effect| {
        if let Some(frame) = hurries(effect) {
            frames.send(frame.clone());
        }
    };
    let mut leaving = after.iter().any(|effect| matches!(effect, Effect::Quit));
    let mut failed = false;
    loop {
        match store.commit(batch) {
            Ok(()) => {
                if failed {
                    let _ = done.send(Next::Event(Event::StoreBack));
                }
                return true;
            }
            Err(error) => {
                if done.send(Next::Event(Event::StoreFailed(failure(&error)))).is_err() || leaving {
                    let _ = done.send(Next::Done(Effect::Quit));
                    return false;
                }
                if !failed {
                    after.iter().for_each(hurry);
                }
                failed = true;
                let again = Instant::now() + WRITE_AGAIN;
                while !leaving {
                    match effects.recv_timeout(again.saturating_duration_since(Instant::now())) {
                        Ok(next) => {
                            leaving = matches!(next, Effect::Quit);
                            hurry(&next);
                            backlog.push_back(next);
                        }
                        Err(queue::RecvTimeoutError::Timeout) => break,
                        // One more try, and then it is over.
                        Err(queue::RecvTimeoutError::Disconnected) => leaving = true,
                    }
                }
            }
        }
    }
}

/// What is sent though the store cannot write: pictures end, whatever else waits. It is sent in its turn
/// too, since what they began with may wait before it.
pub fn hurries(effect: &Effect) -> Option<&ToRelay> {
    match effect {
        Effect::Send(frame @ (ToRelay::CloseTrack(_) | ToRelay::Unwatch(_))) => Some(frame),
        _ => None,
    }
}

/// What a person reads while the store cannot write.
pub fn failure(error: &store::Error) -> String {
    match error {
        store::Error::Full => {
            "the disk is full: free some space; nothing is lost, sending goes on by itself".into()
        }
        other => format!(
            "{other}; nothing is sent meanwhile. Leave and start again: what is not written yet is written then, or said to be lost"
        ),
    }
}

/// Exports one after the other, on a thread of its own: a long one holds up nothing.
struct Exports {
    jobs: Option<queue::Sender<export::Job>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Exports {
    fn start(store: Store, done: mpsc::UnboundedSender<Next>) -> std::io::Result<Self> {
        let (jobs, inbox) = queue::channel::<export::Job>();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("export".into()).spawn(move || {
            for job in inbox {
                let mut said = Instant::now();
                let mut progress = |text| {
                    if said.elapsed() >= PROGRESS {
                        said = Instant::now();
                        let _ = done.send(Next::Event(Event::Progress(text)));
                    }
                };
                let (text, error) = match job.run(&store, &stopped, &mut progress) {
                    Ok(text) => (text, false),
                    Err(why) => (why, true),
                };
                let _ = done.send(Next::Event(Event::Notice { text, error }));
            }
        })?;
        Ok(Self { jobs: Some(jobs), stop, thread: Some(thread) })
    }

    fn add(&self, job: export::Job) {
        if let Some(jobs) = &self.jobs {
            // The thread lives as long as this sender.
            let _ = jobs.send(job);
        }
    }
}

impl Drop for Exports {
    /// Stops what is not finished: no export is half written, and no store stays open.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was printed there.
            let _ = thread.join();
        }
    }
}

/// How often it is said how far an export is.
const PROGRESS: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use subrosa_shared::id::TrackId;
    use subrosa_shared::store::Table;
    use subrosa_shared::store::memory::{Disk, MemorySlots};

    fn full() -> Store {
        let disk = Disk::default();
        disk.fill(true);
        Store { records: Arc::new(disk), slots: Arc::new(MemorySlots::default()) }
    }

    /// Something to write.
    fn record() -> Effect {
        let mut batch = Batch::default();
        batch.put(Table { byte: 1, name: "test" }, [1], vec![1]);
        Effect::Commit(batch)
    }

    #[test]
    fn who_hung_up_on_a_full_disk_was_in_the_call_still() {
        let store = full();
        let (order, effects) = queue::channel();
        let (done, mut heard) = mpsc::unbounded_channel();
        let (frames, mut sent) = Frames::to_nowhere();
        let (close, unwatch) = (ToRelay::CloseTrack(TrackId(1)), ToRelay::Unwatch(TrackId(2)));
        // One beside what cannot be written, one after it.
        order.send(record()).expect("a queue");
        order.send(Effect::Send(close.clone())).expect("a queue");
        let writing = std::thread::spawn(move || write(&store, &effects, &frames, &done));
        let failed = heard.blocking_recv();
        assert!(matches!(failed, Some(Next::Event(Event::StoreFailed(_)))));
        order.send(Effect::Send(unwatch.clone())).expect("runs");
        order.send(Effect::Send(ToRelay::WantKeyframe(TrackId(2)))).expect("runs");
        order.send(Effect::Quit).expect("runs");
        assert!(!writing.join().expect("no panic"));
        assert_eq!([sent(), sent(), sent()], [Some(close), Some(unwatch), None], "and nothing else");
    }

    #[tokio::test]
    async fn a_disk_that_took_its_time_was_taken_for_a_broken_one() {
        let thread = |written: tokio::sync::oneshot::Receiver<()>| {
            tokio::spawn(async move {
                let _ = written.await;
                true
            })
        };
        let (said, mut done) = mpsc::unbounded_channel();
        let (ends, end) = tokio::sync::oneshot::channel();
        {
            let leaving = written(thread(end), &mut done, false, Duration::ZERO);
            tokio::pin!(leaving);
            tokio::select! {
                biased;
                _ = &mut leaving => panic!("it is still being written"),
                () = tokio::task::yield_now() => {}
            }
            ends.send(()).expect("waits");
            assert!(leaving.await);
        }
        let (_never, end) = tokio::sync::oneshot::channel();
        assert!(said.send(Next::Event(Event::StoreFailed("the disk is full".into()))).is_ok());
        assert!(!written(thread(end), &mut done, false, Duration::ZERO).await, "once a write has failed");
        let (_never, end) = tokio::sync::oneshot::channel();
        assert!(!written(thread(end), &mut done, true, Duration::ZERO).await, "and when one had before");
    }

    #[tokio::test]
    async fn a_full_disk_did_not_let_the_person_leave() {
        let store = full();
        let (order, effects) = queue::channel();
        let (done, mut heard) = mpsc::unbounded_channel();
        let relay = RelayLink { host: "relay.invalid".into(), port: 1, fingerprint: [0; 32], invite: None };
        let (events, _inbox) = mpsc::channel(1);
        let link = Link::start(relay, events, Arc::new(|_| ()));
        let frames = link.frames();
        let writing = std::thread::spawn(move || write(&store, &effects, &frames, &done));
        order.send(record()).expect("runs");
        let failed = heard.recv().await;
        assert!(matches!(failed, Some(Next::Event(Event::StoreFailed(_)))));
        order.send(Effect::Quit).expect("runs");
        loop {
            match heard.recv().await {
                Some(Next::Done(Effect::Quit)) => break,
                Some(Next::Event(Event::StoreFailed(_))) => {}
                _ => panic!("left without a word"),
            }
        }
        assert!(!writing.join().expect("no panic"), "and says that something was not written");
    }
}
