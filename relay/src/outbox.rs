//! What waits for one connection: the relay puts in, the connection's task takes out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::vec;
use subrosa_shared::protocol::frame::{Refusal, ToDevice};
use tokio::sync::mpsc;

/// Frames that wait for one connection. A delivery window, answers to what the device asked and
/// notices fit; a device that lets it fill up does not read, and is disconnected. Nothing is lost:
/// its mailbox keeps what it did not acknowledge.
pub(crate) const QUEUE: usize = 4096;

/// What the relay tells a connection.
pub(crate) enum Order {
    Frame(ToDevice),
    /// After everything before it.
    Close(Refusal),
}

/// Those of one group, and whether they are the last.
struct Orders {
    frames: Vec<ToDevice>,
    close: Option<Refusal>,
}

/// The relay's end.
pub(crate) struct Outbox {
    orders: mpsc::UnboundedSender<Orders>,
    waiting: Arc<AtomicUsize>,
}

/// The connection's end.
pub(crate) struct Inbox {
    orders: mpsc::UnboundedReceiver<Orders>,
    frames: vec::IntoIter<ToDevice>,
    close: Option<Refusal>,
    waiting: Arc<AtomicUsize>,
}

/// Both ends.
pub(crate) fn outbox() -> (Outbox, Inbox) {
    let (say, hear) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let inbox = Inbox { orders: hear, frames: Vec::new().into_iter(), close: None, waiting: waiting.clone() };
    (Outbox { orders: say, waiting }, inbox)
}

impl Outbox {
    /// Puts some in; false when they are too many, and then none of them is.
    pub(crate) fn put(&self, frames: Vec<ToDevice>, close: Option<Refusal>) -> bool {
        // Only the connection makes it smaller meanwhile.
        if self.waiting() + frames.len() > QUEUE {
            return false;
        }
        self.waiting.fetch_add(frames.len(), Ordering::Relaxed);
        // A connection that has ended needs none.
        let _ = self.orders.send(Orders { frames, close });
        true
    }

    /// Frames that the connection has not taken out.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl Inbox {
    /// The next one; `None` when the relay has forgotten the connection. It can be cut short, and nothing is lost.
    pub(crate) async fn next(&mut self) -> Option<Order> {
        loop {
            if let Some(order) = self.taken() {
                return Some(order);
            }
            let orders = self.orders.recv().await?;
            self.open(orders);
        }
    }

    /// The next one, if there is one already.
    pub(crate) fn ready(&mut self) -> Option<Order> {
        loop {
            if let Some(order) = self.taken() {
                return Some(order);
            }
            let orders = self.orders.try_recv().ok()?;
            self.open(orders);
        }
    }

    fn taken(&mut self) -> Option<Order> {
        match self.frames.next() {
            Some(frame) => {
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                Some(Order::Frame(frame))
            }
            None => self.close.take().map(Order::Close),
        }
    }

    fn open(&mut self, Orders { frames, close }: Orders) {
        (self.frames, self.close) = (frames.into_iter(), close);
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
}
