//! What follows from a group of events is said once the group is on disk. A thread waits for that, so that
//! the relay goes on with the next group meanwhile.

use crate::outbox::{Outbox, SHARE};
use crate::relay::{Conn, Out};
use std::collections::HashMap;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use subrosa_shared::protocol::frame::{Refusal, ToDevice};
use subrosa_shared::store::{Error, Kv};
use tokio::sync::mpsc;

/// Where the frames for connections go.
pub(crate) type Links = HashMap<Conn, Outbox>;

/// Groups on their way to the disk.
pub(super) struct Release {
    kv: Arc<dyn Kv>,
    links: Arc<Mutex<Links>>,
    /// Those of the thread.
    groups: Option<SyncSender<Vec<Out>>>,
    said: mpsc::UnboundedReceiver<Result<Vec<Conn>, Error>>,
    /// Groups that the thread has.
    behind: usize,
    thread: Option<JoinHandle<()>>,
}

/// Groups that wait for the one that is on its way to the disk: the next is written behind it only.
const WAITING: usize = 2;

impl Release {
    /// Over the store that is synced.
    pub(super) fn start(kv: Arc<dyn Kv>) -> io::Result<Self> {
        let links = Arc::<Mutex<Links>>::default();
        let (groups, inbox) = sync_channel(WAITING);
        let (say, said) = mpsc::unbounded_channel();
        let (to, store) = (links.clone(), kv.clone());
        let thread = thread::Builder::new().name("release".into());
        let thread = Some(thread.spawn(move || releases(&inbox, &*store, &to, &say))?);
        Ok(Self { kv, links, groups: Some(groups), said, behind: 0, thread })
    }

    /// The connections.
    pub(super) fn links(&self) -> MutexGuard<'_, Links> {
        held(&self.links)
    }

    /// Syncs what was appended, and says what follows from it. Where `more` waits to be done it does not wait for
    /// the disk; neither where something is on its way already. Returns connections that do not take what they
    /// are told; they are forgotten here.
    ///
    /// # Errors
    /// Those of the store, also of an earlier group.
    pub(super) fn say(&mut self, outs: Vec<Out>, more: bool) -> Result<Vec<Conn>, Error> {
        let mut slow = Vec::new();
        while let Ok(said) = self.said.try_recv() {
            slow.extend(self.heard(said)?);
        }
        if self.behind > 0 || more {
            // What was appended without anything that follows goes with the next.
            if !outs.is_empty() {
                self.behind += 1;
                if self.groups.as_ref().is_none_or(|groups| groups.send(outs).is_err()) {
                    return Err(ended());
                }
            }
        } else {
            self.kv.sync()?;
            slow.extend(give(outs, &mut self.links()));
        }
        Ok(slow)
    }

    /// Waits until another group of the thread's is said, or for ever when it has none; then as
    /// [`Release::say`].
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn said(&mut self) -> Result<Vec<Conn>, Error> {
        let said = self.said.recv().await.unwrap_or_else(|| Err(ended()));
        self.heard(said)
    }

    /// Whether the thread has groups.
    pub(super) fn is_behind(&self) -> bool {
        self.behind > 0
    }

    fn heard(&mut self, said: Result<Vec<Conn>, Error>) -> Result<Vec<Conn>, Error> {
        self.behind -= 1;
        said
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        drop(self.groups.take());
        if let Some(thread) = self.thread.take() {
            // It holds the store open.
            let _ = thread.join();
        }
    }
}

/// The thread.
fn releases(
    groups: &Receiver<Vec<Out>>,
    kv: &dyn Kv,
    links: &Mutex<Links>,
    say: &mpsc::UnboundedSender<Result<Vec<Conn>, Error>>,
) {
    while let Ok(outs) = groups.recv() {
        let synced = kv.sync();
        let failed = synced.is_err();
        let said = synced.map(|()| give(outs, &mut held(links)));
        if say.send(said).is_err() || failed {
            return;
        }
    }
}

/// Hands everything to the connections, what is for one at once. Those that do not take it are forgotten
/// and returned, and those that let the most wait while too much waits for all.
fn give(outs: Vec<Out>, links: &mut Links) -> Vec<Conn> {
    let mut orders: HashMap<Conn, (Vec<ToDevice>, Option<Refusal>)> = HashMap::new();
    for out in outs {
        match out {
            Out::Frame(conn, frame) => orders.entry(conn).or_default().0.push(frame),
            Out::Close(conn, why) => orders.entry(conn).or_default().1 = Some(why),
            // Connections forward datagrams themselves.
            Out::Datagram(..) => {}
        }
    }
    let (mut slow, mut before) = (Vec::new(), HashMap::new());
    for (conn, (frames, close)) in orders {
        let Some(link) = links.get(&conn) else { continue };
        if link.is_crowded() {
            before.insert(conn, link.bytes());
        }
        let last = close.is_some();
        let full = !link.put(frames, close);
        if !full && !last {
            continue;
        }
        let Some(link) = links.remove(&conn) else { continue };
        if full {
            link.cut();
            slow.push(conn);
        } else if link.is_crowded() && link.bytes() > SHARE {
            // Nobody could let go of it any more.
            link.cut();
        }
    }
    let over = links.values().next().map_or(0, Outbox::over);
    if over > 0 {
        slow.extend(make_room(over, &before, links));
    }
    slow
}

/// Forgets those for which the most waits, until so many bytes are free. For whoever was just handed something counts
/// what waited before: they have had no time to read.
fn make_room(bytes: usize, before: &HashMap<Conn, usize>, links: &mut Links) -> Vec<Conn> {
    let waiting = links.iter().map(|(conn, link)| {
        let waiting = link.bytes();
        (before.get(conn).map_or(waiting, |before| waiting.min(*before)), *conn)
    });
    let mut most: Vec<_> = waiting.filter(|(waiting, _)| *waiting > SHARE).collect();
    most.sort_unstable();
    let (mut slow, mut free) = (Vec::new(), 0);
    while free < bytes
        && let Some((_, conn)) = most.pop()
    {
        if let Some(link) = links.remove(&conn) {
            free += link.bytes();
            link.cut();
            slow.push(conn);
        }
    }
    slow
}

fn ended() -> Error {
    io::Error::other("the thread that waits for the disk has ended").into()
}

fn held(links: &Mutex<Links>) -> MutexGuard<'_, Links> {
    links.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::{ALL, All, Inbox, Order, QUEUE, outbox};
    use std::sync::atomic::{AtomicBool, Ordering};
    use subrosa_shared::store::memory::{Rule, Ruled};

    /// A disk that syncs when it is let, or breaks.
    #[derive(Default)]
    struct Slow {
        go: Mutex<Option<Receiver<()>>>,
        breaks: AtomicBool,
    }

    impl Rule for Slow {
        fn sync(&self) -> Result<(), Error> {
            if let Some(go) = &*self.go.lock().expect("nobody panics") {
                go.recv().expect("it is let once");
            }
            if self.breaks.load(Ordering::Relaxed) { Err(io::Error::other("broke").into()) } else { Ok(()) }
        }
    }

    fn frame(conn: u64, number: u32) -> Out {
        Out::Frame(Conn(conn), ToDevice::PrekeysLeft(number))
    }

    fn frames(inbox: &mut Inbox) -> Vec<u32> {
        std::iter::from_fn(|| match inbox.ready()? {
            Order::Frame(ToDevice::PrekeysLeft(number)) => Some(number),
            _ => None,
        })
        .collect()
    }

    #[tokio::test]
    async fn nothing_is_said_before_it_is_on_disk_and_all_in_its_order() {
        let (let_it, go) = std::sync::mpsc::channel();
        let disk = Arc::new(Ruled::<Slow>::default());
        *disk.rule.go.lock().expect("nobody panics") = Some(go);
        let mut release = Release::start(disk).expect("a thread");
        let (out, mut inbox) = outbox(&All::default());
        release.links().insert(Conn(1), out);
        assert!(release.say(vec![frame(1, 1), frame(1, 2)], true).expect("goes on").is_empty());
        // Nothing more waits, but what is under way is said first.
        assert!(release.say(vec![frame(1, 3)], false).expect("goes on").is_empty());
        assert!(release.is_behind() && frames(&mut inbox).is_empty());
        let_it.send(()).expect("it waits");
        assert!(release.said().await.expect("synced").is_empty());
        assert_eq!(frames(&mut inbox), [1, 2]);
        let_it.send(()).expect("it waits");
        assert!(release.said().await.expect("synced").is_empty());
        assert_eq!(frames(&mut inbox), [3]);
        // With nothing under way and nothing to do meanwhile the caller waits for the disk itself.
        let_it.send(()).expect("it waits");
        assert!(!release.is_behind() && release.say(vec![frame(1, 4)], false).expect("synced").is_empty());
        assert_eq!(frames(&mut inbox), [4]);
    }

    #[tokio::test]
    async fn a_disk_that_fails_is_told_and_what_depended_on_it_is_not_said() {
        let disk = Arc::new(Ruled::<Slow>::default());
        disk.rule.breaks.store(true, Ordering::Relaxed);
        for more in [true, false] {
            let mut release = Release::start(disk.clone()).expect("a thread");
            let (out, mut inbox) = outbox(&All::default());
            release.links().insert(Conn(1), out);
            let said = release.say(vec![frame(1, 1)], more);
            assert_eq!(said.is_ok(), more);
            if more {
                assert!(release.said().await.is_err());
            }
            assert!(frames(&mut inbox).is_empty());
        }
    }

    #[tokio::test]
    async fn who_does_not_take_what_it_is_told_is_forgotten() {
        let mut release = Release::start(Arc::new(Ruled::<Slow>::default())).expect("a thread");
        let ends: Vec<Inbox> = (1..=3)
            .map(|conn| {
                let (out, inbox) = outbox(&All::default());
                release.links().insert(Conn(conn), out);
                inbox
            })
            .collect();
        let many = (0..QUEUE as u32 + 1).map(|number| frame(1, number));
        let outs = many.chain([frame(2, 1), Out::Close(Conn(2), Refusal::Draining), frame(3, 1)]).collect();
        assert_eq!(release.say(outs, false).expect("synced"), [Conn(1)]);
        assert_eq!(release.links().keys().collect::<Vec<_>>(), [&Conn(3)]);
        let mut ends = ends.into_iter();
        let (mut one, mut two) = (ends.next().expect("three"), ends.next().expect("three"));
        assert!(one.next().await.is_none(), "forgotten without a word");
        assert!(matches!(two.next().await, Some(Order::Frame(_))));
        assert!(matches!(two.next().await, Some(Order::Close(Refusal::Draining))));
    }

    #[test]
    fn who_reads_a_long_answer_is_not_forgotten_for_many_that_hold_a_shorter_one() {
        let (all, mut links) = (All::default(), Links::new());
        let connects = |links: &mut Links, conn| {
            let (out, inbox) = outbox(&all);
            links.insert(Conn(conn), out);
            inbox
        };
        let long = |conn, bytes| Out::Frame(Conn(conn), ToDevice::PasswordChallenge(vec![0; bytes]));
        let mut reads = connects(&mut links, 0);
        let held: Vec<_> = (1..=600).map(|conn| connects(&mut links, conn)).collect();
        for conn in 1..=600 {
            let slow = give(vec![long(conn, 500 << 10), long(0, 1 << 20)], &mut links);
            assert!(!slow.contains(&Conn(0)), "{conn}");
            while reads.ready().is_some() {}
        }
        drop(held);
        // Whom the relay ends counts as long as they do not read, and nobody could let go of them.
        let ends: Vec<_> = (1..=100).map(|conn| connects(&mut links, 1000 + conn)).collect();
        for conn in 1001..=1100 {
            let mut outs: Vec<_> = (0..7).map(|_| long(conn, 1 << 20)).collect();
            outs.push(Out::Close(Conn(conn), Refusal::Malformed));
            assert!(!give(outs, &mut links).contains(&Conn(0)));
            assert_eq!(links[&Conn(0)].over(), 0);
        }
        assert!(give(vec![long(0, 1 << 20)], &mut links).is_empty());
        drop(ends);
    }

    #[test]
    fn a_hundred_that_do_not_read_hold_no_more_than_all_may_and_who_reads_is_not_forgotten_for_them() {
        let (all, mut links, mut ends) = (All::default(), Links::new(), Vec::new());
        let connects = |links: &mut Links, conn| {
            let (out, inbox) = outbox(&all);
            links.insert(Conn(conn), out);
            inbox
        };
        let mut reads = connects(&mut links, 0);
        let long = |conn| Out::Frame(Conn(conn), ToDevice::PasswordChallenge(vec![0; 1 << 20]));
        let mut slow = Vec::new();
        for conn in 1..=100 {
            ends.push(connects(&mut links, conn));
            for _ in 0..7 {
                slow.extend(give(vec![long(conn), frame(0, 1)], &mut links));
                assert!(links.values().map(Outbox::bytes).sum::<usize>() <= ALL);
                assert_eq!(frames(&mut reads), [1]);
            }
        }
        assert!(slow.len() > 60 && !slow.contains(&Conn(0)), "{slow:?}");
        assert!(give(vec![frame(0, 2)], &mut links).is_empty() && frames(&mut reads) == [2]);
        // Those that go give their place back.
        ends.clear();
        let before = links.len();
        for conn in 101..=130 {
            ends.push(connects(&mut links, conn));
            assert!((0..7).all(|_| give(vec![long(conn)], &mut links).is_empty()));
        }
        assert_eq!(links.len(), before + 30);
    }
}
