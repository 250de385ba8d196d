//! What waits for one connection: the relay puts in, the connection's task takes out.

use std::future::poll_fn;
use std::mem::take;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::vec;
use subrosa_shared::protocol::devices::Version;
use subrosa_shared::protocol::frame::{Refusal, ToDevice};

/// Frames that wait for one connection. A delivery window, answers to what the device asked and
/// notices fit; a device that lets it fill up does not read, and is disconnected. Nothing is lost:
/// its mailbox keeps what it did not acknowledge.
pub(crate) const QUEUE: usize = 4096;

/// Bytes of them, as [`weight`] counts. A short question may have a long answer.
pub(crate) const BYTES: usize = 8 << 20;

/// Bytes of all connections together. Above that the relay lets go of those that let the most wait.
pub(crate) const ALL: usize = 256 << 20;

/// Bytes that may wait for any of them all the same: with ten thousand connections, a third of that.
pub(crate) const SHARE: usize = 8 << 10;

/// How many bytes wait for all connections together; clones share it.
#[derive(Clone, Default)]
pub(crate) struct All(Arc<AtomicUsize>);

/// What the relay tells a connection.
pub(crate) enum Order {
    Frame(ToDevice),
    /// After everything before it.
    Close(Refusal),
}

/// What both ends share. A channel of tokio's allocates room for 32 messages when it is made: with ten thousand
/// connections, 16 MiB in which nothing waits.
#[derive(Default)]
struct Shared {
    /// Frames put in and not taken out.
    waiting: AtomicUsize,
    /// Bytes of these; none from the moment on when an end let go of them.
    bytes: AtomicUsize,
    all: All,
    between: Mutex<Between>,
}

/// What was put in and not yet fetched.
#[derive(Default)]
struct Between {
    frames: Vec<ToDevice>,
    /// The last word. Nothing comes behind it.
    close: Option<Refusal>,
    /// One of the ends is gone, or the last word was fetched.
    ended: bool,
    /// What waited is not to be said any more.
    cut: bool,
    /// Who waits for more.
    waker: Option<Waker>,
}

/// The relay's end.
pub(crate) struct Outbox(Arc<Shared>);

/// The connection's end.
pub(crate) struct Inbox {
    shared: Arc<Shared>,
    frames: vec::IntoIter<ToDevice>,
    close: Option<Refusal>,
}

/// Tells that the relay has let go of the connection and of what waits for it.
pub(crate) struct Cut(Arc<Shared>);

/// Both ends; what waits counts there too.
pub(crate) fn outbox(all: &All) -> (Outbox, Inbox) {
    let shared = Arc::new(Shared { all: all.clone(), ..Shared::default() });
    let inbox = Inbox { shared: shared.clone(), frames: Vec::new().into_iter(), close: None };
    (Outbox(shared), inbox)
}

impl Shared {
    fn between(&self) -> MutexGuard<'_, Between> {
        self.between.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many bytes do not wait any more, if the ends have not let go of all.
    fn less(&self, bytes: usize) {
        let less = |own: usize| own.checked_sub(bytes);
        if self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
            self.all.0.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Lets go of all, for whoever has seen to it that nothing more is put in.
    fn none(&self) {
        self.all.0.fetch_sub(self.bytes.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl Between {
    fn wait(&mut self, context: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
    }
}

/// Bytes that a frame takes while it waits, about: itself, and what of it may be long.
pub(crate) fn weight(frame: &ToDevice) -> usize {
    let long = match frame {
        ToDevice::Deliver(delivery) => delivery.head.len() + delivery.body.len(),
        ToDevice::Devices { versions, certs, .. } => {
            let more = |version: &Version| size_of_val(version.certs.as_slice()) + version.signature.len();
            let more = versions.iter().map(more).sum::<usize>();
            size_of_val(versions.as_slice()) + more + size_of_val(certs.as_slice())
        }
        ToDevice::Account { certs, .. } => size_of_val(certs.as_slice()),
        ToDevice::Prekey { bundle: bytes, .. }
        | ToDevice::Passed { bytes, .. }
        | ToDevice::Proved { bytes, .. }
        | ToDevice::Answered { bytes, .. }
        | ToDevice::PasswordChallenge(bytes)
        | ToDevice::PasswordAnswer { answer: bytes, .. } => bytes.len(),
        ToDevice::PasswordWelcome(opened) => opened.backup.keys.len() + opened.backup.state.len(),
        ToDevice::Knocked(knocked) => knocked.bytes.len(),
        ToDevice::Rejected { who, .. } => size_of_val(who.as_slice()),
        ToDevice::Sessions { sessions, .. } => size_of_val(sessions.as_slice()),
        ToDevice::Welcome(welcome) => welcome.motd.len(),
        _ => 0,
    };
    size_of::<ToDevice>() + long
}

/// Whoever waits looks again.
fn wake(mut between: MutexGuard<'_, Between>) {
    let waker = between.waker.take();
    drop(between);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Outbox {
    /// Puts some in; false when they are too many or too long, and then none of them is.
    pub(crate) fn put(&self, mut frames: Vec<ToDevice>, close: Option<Refusal>) -> bool {
        let bytes = frames.iter().map(weight).sum::<usize>();
        // Only the connection makes it smaller meanwhile.
        let all = self.0.bytes.load(Ordering::Relaxed) + bytes;
        if self.waiting() + frames.len() > QUEUE || all > BYTES {
            return false;
        }
        let mut between = self.0.between();
        // A connection that has ended needs none.
        if between.ended || between.close.is_some() {
            return true;
        }
        self.0.waiting.fetch_add(frames.len(), Ordering::Relaxed);
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.0.all.0.fetch_add(bytes, Ordering::Relaxed);
        match between.frames.is_empty() {
            true => between.frames = frames,
            false => between.frames.append(&mut frames),
        }
        between.close = close;
        wake(between);
        true
    }

    /// Frames that the connection has not taken out.
    pub(crate) fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// Bytes of these.
    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Bytes that wait for all connections above [`ALL`].
    pub(crate) fn over(&self) -> usize {
        self.0.all.0.load(Ordering::Relaxed).saturating_sub(ALL)
    }

    /// Whether half of [`ALL`] waits.
    pub(crate) fn is_crowded(&self) -> bool {
        self.0.all.0.load(Ordering::Relaxed) > ALL / 2
    }

    /// Lets go of a connection that does not read, and of what waits for it.
    pub(crate) fn cut(self) {
        let mut between = self.0.between();
        (between.ended, between.cut) = (true, true);
        (between.frames, between.close) = (Vec::new(), None);
        self.0.none();
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let mut between = self.0.between();
        between.ended = true;
        wake(between);
    }
}

impl Inbox {
    /// The next one; `None` when the relay has forgotten the connection. It can be cut short, and nothing is lost.
    pub(crate) async fn next(&mut self) -> Option<Order> {
        poll_fn(|context| self.poll(context)).await
    }

    /// Tells when the relay lets go of what waits, also while nothing of it is taken out.
    pub(crate) fn cut(&self) -> Cut {
        Cut(self.shared.clone())
    }

    /// Whether nothing more comes behind what waits.
    pub(crate) fn is_last(&self) -> bool {
        let between = self.shared.between();
        between.ended || between.close.is_some()
    }

    fn poll(&mut self, context: &Context<'_>) -> Poll<Option<Order>> {
        if let Some(order) = self.taken() {
            return Poll::Ready(Some(order));
        }
        let mut between = self.shared.between();
        if between.frames.is_empty() && between.close.is_none() {
            if between.ended {
                return Poll::Ready(None);
            }
            between.wait(context);
            return Poll::Pending;
        }
        drop(between);
        Poll::Ready(self.ready())
    }

    /// The next one, if there is one already.
    pub(crate) fn ready(&mut self) -> Option<Order> {
        self.taken().or_else(|| {
            let mut between = self.shared.between();
            (self.frames, self.close) = (take(&mut between.frames).into_iter(), between.close.take());
            between.ended |= self.close.is_some();
            drop(between);
            self.taken()
        })
    }

    fn taken(&mut self) -> Option<Order> {
        match self.frames.next() {
            Some(frame) => {
                self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
                self.shared.less(weight(&frame));
                Some(Order::Frame(frame))
            }
            None => self.close.take().map(Order::Close),
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let mut between = self.shared.between();
        between.ended = true;
        between.frames = Vec::new();
        self.shared.none();
    }
}

impl Cut {
    /// Returns once it has; for the task that takes out alone.
    pub(crate) async fn off(&self) {
        poll_fn(|context| {
            let mut between = self.0.between();
            if between.cut {
                return Poll::Ready(());
            }
            between.wait(context);
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(count: u32) -> Vec<ToDevice> {
        (0..count).map(ToDevice::PrekeysLeft).collect()
    }

    /// The number of the next frame; what closes is none.
    fn number(order: Option<Order>) -> Option<u32> {
        match order? {
            Order::Frame(ToDevice::PrekeysLeft(number)) => Some(number),
            Order::Frame(other) => panic!("nobody put in {other:?}"),
            Order::Close(_) => None,
        }
    }

    #[test]
    fn what_is_put_in_together_comes_out_one_by_one_and_the_last_word_is_last() {
        let (outbox, mut inbox) = outbox(&All::default());
        assert!(outbox.put(frames(2), None) && outbox.put(frames(1), Some(Refusal::Draining)));
        assert_eq!(outbox.waiting(), 3);
        assert_eq!([(); 3].map(|()| number(inbox.ready())), [Some(0), Some(1), Some(0)]);
        assert!(matches!(inbox.ready(), Some(Order::Close(Refusal::Draining))) && inbox.ready().is_none());
        assert_eq!(outbox.waiting(), 0);
    }

    #[test]
    fn nothing_comes_behind_the_last_word() {
        let (outbox, mut inbox) = outbox(&All::default());
        assert!(outbox.put(frames(1), Some(Refusal::Draining)) && outbox.put(frames(1), None));
        assert_eq!([(); 2].map(|()| number(inbox.ready())), [Some(0), None]);
        assert!(outbox.put(frames(1), None) && inbox.ready().is_none() && outbox.waiting() == 0);
    }

    #[tokio::test]
    async fn who_waits_hears_of_what_comes_and_of_the_end() {
        let (outbox, mut inbox) = outbox(&All::default());
        let heard = tokio::spawn(async move { (number(inbox.next().await), inbox.next().await.is_none()) });
        // It waits now; and once more when it has taken what came.
        tokio::task::yield_now().await;
        assert!(outbox.put(frames(1), None));
        tokio::task::yield_now().await;
        drop(outbox);
        assert_eq!(heard.await.expect("it does not panic"), (Some(0), true));
    }

    #[tokio::test]
    async fn nothing_more_fits_than_a_bound_and_what_waits_outlives_the_relays_end() {
        let (outbox, mut inbox) = outbox(&All::default());
        assert!(outbox.put(frames(QUEUE as u32 - 1), None) && !outbox.put(frames(2), None));
        assert_eq!(number(inbox.ready()), Some(0));
        assert!(outbox.put(frames(2), None) && !outbox.put(frames(1), None));
        drop(outbox);
        let mut all = Vec::new();
        while let Some(order) = inbox.next().await {
            all.extend(number(Some(order)));
        }
        assert_eq!((all.len(), all.last()), (QUEUE, Some(&1)));
    }

    #[test]
    fn no_more_bytes_wait_than_a_bound_however_few_frames_they_are() {
        let (outbox, mut inbox) = outbox(&All::default());
        let long = || ToDevice::PasswordChallenge(vec![7; BYTES / 4]);
        assert!(outbox.put(vec![long(), long()], None) && outbox.put(vec![long()], None));
        assert!(!outbox.put(vec![long()], None), "four and what they lie in");
        assert!(outbox.put(frames(1), None), "what is short fits");
        assert!(inbox.ready().is_some() && outbox.put(vec![long()], None));
        while inbox.ready().is_some() {}
        assert_eq!(outbox.0.bytes.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn what_the_ends_let_go_of_counts_for_nobody_and_who_is_cut_off_hears_of_it_while_it_writes() {
        let all = All::default();
        let waiting = || all.0.load(Ordering::Relaxed);
        let long = || vec![ToDevice::PasswordChallenge(vec![7; 1 << 20]), ToDevice::PrekeysLeft(1)];
        let mut ends: Vec<_> = (0..3).map(|_| outbox(&all)).collect();
        assert!(ends.iter().all(|(outbox, _)| outbox.put(long(), None)));
        let one = ends[0].0.bytes();
        assert_eq!(waiting(), 3 * one);
        // What the relay forgets is still said, and counts until then.
        let (outbox, mut inbox) = ends.remove(0);
        drop(outbox);
        assert!(inbox.is_last() && inbox.ready().is_some() && waiting() > 2 * one);
        drop(inbox);
        assert_eq!(waiting(), 2 * one);
        // Fetched already, but not all of it taken out.
        let (outbox, mut inbox) = ends.remove(0);
        assert!(inbox.ready().is_some() && !inbox.is_last());
        let cut = inbox.cut();
        let hears = tokio::spawn(async move { cut.off().await });
        tokio::task::yield_now().await;
        outbox.cut();
        assert_eq!(waiting(), one);
        hears.await.expect("it does not panic");
        while inbox.ready().is_some() {}
        drop(inbox);
        assert_eq!(waiting(), one);
        drop(ends);
        assert_eq!(waiting(), 0);
    }
}
