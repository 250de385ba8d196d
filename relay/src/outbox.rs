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
    /// Bytes of these.
    bytes: AtomicUsize,
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

/// Both ends.
pub(crate) fn outbox() -> (Outbox, Inbox) {
    let shared = Arc::<Shared>::default();
    let inbox = Inbox { shared: shared.clone(), frames: Vec::new().into_iter(), close: None };
    (Outbox(shared), inbox)
}

impl Shared {
    fn between(&self) -> MutexGuard<'_, Between> {
        self.between.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn poll(&mut self, context: &Context<'_>) -> Poll<Option<Order>> {
        if let Some(order) = self.taken() {
            return Poll::Ready(Some(order));
        }
        let mut between = self.shared.between();
        if between.frames.is_empty() && between.close.is_none() {
            if between.ended {
                return Poll::Ready(None);
            }
            match &mut between.waker {
                Some(waker) => waker.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
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
                self.shared.bytes.fetch_sub(weight(&frame), Ordering::Relaxed);
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
        let (outbox, mut inbox) = outbox();
        assert!(outbox.put(frames(2), None) && outbox.put(frames(1), Some(Refusal::Draining)));
        assert_eq!(outbox.waiting(), 3);
        assert_eq!([(); 3].map(|()| number(inbox.ready())), [Some(0), Some(1), Some(0)]);
        assert!(matches!(inbox.ready(), Some(Order::Close(Refusal::Draining))) && inbox.ready().is_none());
        assert_eq!(outbox.waiting(), 0);
    }

    #[test]
    fn nothing_comes_behind_the_last_word() {
        let (outbox, mut inbox) = outbox();
        assert!(outbox.put(frames(1), Some(Refusal::Draining)) && outbox.put(frames(1), None));
        assert_eq!([(); 2].map(|()| number(inbox.ready())), [Some(0), None]);
        assert!(outbox.put(frames(1), None) && inbox.ready().is_none() && outbox.waiting() == 0);
    }

    #[tokio::test]
    async fn who_waits_hears_of_what_comes_and_of_the_end() {
        let (outbox, mut inbox) = outbox();
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
        let (outbox, mut inbox) = outbox();
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
        let (outbox, mut inbox) = outbox();
        let long = || ToDevice::PasswordChallenge(vec![7; BYTES / 4]);
        assert!(outbox.put(vec![long(), long()], None) && outbox.put(vec![long()], None));
        assert!(!outbox.put(vec![long()], None), "four and what they lie in");
        assert!(outbox.put(frames(1), None), "what is short fits");
        assert!(inbox.ready().is_some() && outbox.put(vec![long()], None));
        while inbox.ready().is_some() {}
        assert_eq!(outbox.0.bytes.load(Ordering::Relaxed), 0);
    }
}
