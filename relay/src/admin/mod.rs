//! What whoever runs a relay sees and does while it runs: figures, health, a socket in the data folder.
//!
//! Nothing here reads what people say: the relay itself cannot.

pub mod archive;
pub mod ask;
pub mod backup;
pub mod check;
pub mod exposition;
pub mod health;
mod http;
mod invite;
pub mod offline;
pub mod restore;
#[cfg(unix)]
mod socket;
pub mod systemd;
pub mod tap;
pub mod top;

pub(crate) use http::{listen, serve as serve_http};
#[cfg(unix)]
pub(crate) use socket::{Door, serve as serve_socket};

use self::exposition::Figures;
use self::health::Health;
use self::tap::Tapped;
use crate::accounts;
use crate::blobs::Blobs;
use crate::config::{self, Config};
use crate::mailbox;
use crate::metrics::Metrics;
use crate::relay::Relay;
use crate::server::{Event, Links};
use crate::sfu::Sfu;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};
use subrosa_shared::store::{Error, Kv};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// The socket in the data folder, on which a running relay answers its owner.
pub const SOCKET: &str = "admin.sock";

/// Reads the settings once more, as they were read at the start.
pub type Again = Arc<dyn Fn() -> Result<Config, config::Error> + Send + Sync>;

/// Something to do on the relay's own thread, between two groups: all before it is written.
pub(crate) type Work = Box<dyn FnOnce(&mut Core<'_>) + Send>;

/// What the relay's own thread has.
pub(crate) struct Core<'a> {
    pub(crate) relay: &'a mut Relay,
    pub(crate) links: &'a Links,
}

/// What can be asked before the store is open, and by whom later.
pub(crate) struct Front {
    pub(crate) health: Health,
    running: OnceLock<Arc<Admin>>,
}

/// A running relay, as its owner sees it.
pub(crate) struct Admin {
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) sfu: Arc<Mutex<Sfu>>,
    /// Weak, so that nothing here holds the store open.
    pub(crate) store: Option<Weak<Tapped>>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) started: Instant,
    pub(crate) again: Option<Again>,
    /// Set by whoever asks the relay to end.
    pub(crate) end: watch::Sender<bool>,
}

/// How long the relay's thread may take to answer, a place in its queue included: longer than any commit.
const PATIENCE: Duration = Duration::from_secs(10);

impl Front {
    pub(crate) fn new(data: Option<&Path>) -> Arc<Self> {
        Arc::new(Self { health: Health::new(data.map(Path::to_path_buf)), running: OnceLock::new() })
    }

    /// The relay runs.
    pub(crate) fn opens(&self, admin: Arc<Admin>) {
        // Once: a front belongs to one relay.
        let _ = self.running.set(admin);
        self.health.reach(health::Stage::Running);
    }

    pub(crate) fn admin(&self) -> Option<&Arc<Admin>> {
        self.running.get()
    }

    /// Whether the relay should be given anything to do.
    pub(crate) fn ready(&self) -> Result<(), health::Unready> {
        let (store, now) = (self.admin().and_then(|admin| admin.store()), Instant::now());
        let full = store.is_some_and(|store| store.is_full(now));
        self.health.ready(full)
    }

    /// All figures as text; `None` while there is no relay that could be asked.
    pub(crate) async fn page(&self) -> Option<String> {
        let admin = self.admin()?;
        let figures = admin.figures().await?;
        let (store, now) = (admin.store(), Instant::now());
        Some(exposition::text(&figures, &admin.metrics, &self.health, store.as_deref(), now))
    }
}

impl Admin {
    pub(crate) fn store(&self) -> Option<Arc<Tapped>> {
        self.store.as_ref()?.upgrade()
    }

    /// Does something on the relay's thread; `None` when the relay has ended, or does not answer.
    pub(crate) async fn within<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Core<'_>) -> T + Send + 'static,
    ) -> Option<T> {
        self.answered(PATIENCE, work).await
    }

    async fn answered<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl FnOnce(&mut Core<'_>) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move |core| {
            // Whoever was told that the relay does not answer thinks that nothing was done.
            if answer.is_closed() {
                return;
            }
            // Whoever asked may have gone meanwhile.
            let _ = answer.send(work(core));
        });
        let asked = async {
            self.events.send(Event::Ask(work)).await.ok()?;
            answered.await.ok()
        };
        timeout(patience, asked).await.ok()?
    }

    /// Begins a backup; its pieces come out of what is returned.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) fn backup(&self) -> Result<mpsc::Receiver<Vec<u8>>, String> {
        let nothing = "this relay keeps nothing on disk, so there is nothing to back up";
        let (store, data) = (self.store.clone().ok_or(nothing)?, self.data.clone().ok_or(nothing)?);
        // Whoever reads slowly holds nothing up but itself: what is written meanwhile is caught.
        let (pieces, out) = mpsc::channel(4);
        let wall = crate::server::wall();
        tokio::task::spawn_blocking(move || {
            match backup::stream(&store, &data, wall, backup::Pieces(pieces)) {
                Ok(()) => tracing::info!("a backup was made"),
                Err(error) => tracing::error!(%error, "a backup was not finished"),
            }
        });
        Ok(out)
    }

    /// Reads the settings once more and takes over what may change while it runs.
    ///
    /// # Errors
    /// A sentence; then nothing has changed.
    pub(crate) async fn reload(&self) -> Result<String, String> {
        let again = self.again.as_ref().ok_or("this relay was started without a file of settings")?;
        let new = again().map_err(|error| format!("nothing was changed: {error}"))?;
        if let Some(what) = new.fault() {
            return Err(format!("nothing was changed: {what}"));
        }
        let reloaded = self.within(move |core| {
            let differences = core.relay.config().differences(&new);
            core.relay.reload(&new);
            differences
        });
        let (live, later) = reloaded.await.ok_or("the relay does not answer")?;
        let mut said = match live.as_slice() {
            [] => String::from("nothing changed that a running relay takes over\n"),
            live => format!("changed: {}\n", live.join(", ")),
        };
        if !later.is_empty() {
            said += &format!("not while it runs, but at the next start: {}\n", later.join(", "));
        }
        Ok(said)
    }

    async fn figures(&self) -> Option<Figures> {
        let on_disk = match self.store() {
            Some(store) => tokio::task::spawn_blocking(move || on_disk(&*store)).await.ok()?,
            None => None,
        };
        // Before this question is one of them.
        let events = (self.events.max_capacity() - self.events.capacity()) as u64;
        let core = self
            .within(|core| {
                let mut figures = core.relay.figures();
                let waiting = core.links.values().map(|link| link.waiting() as u64);
                (figures.frames, figures.frames_most) =
                    waiting.fold((0, 0), |(all, most), waits| (all + waits, most.max(waits)));
                figures.connections = core.links.len() as u64;
                figures
            })
            .await?;
        let (tracks, watchers) = crate::relay::held(&self.sfu).count();
        let (accounts, mailboxes, waiting) = match on_disk {
            Some((accounts, mailboxes, waiting)) => (Some(accounts), Some(mailboxes), Some(waiting)),
            None => (None, None, None),
        };
        Some(Figures {
            tracks,
            watchers,
            events,
            accounts,
            mailboxes,
            waiting,
            files: self.blobs.count(),
            file_bytes: self.blobs.total(),
            resident: exposition::resident(),
            uptime: self.started.elapsed().as_secs(),
            ..core
        })
    }
}

/// The folder in which something lies.
fn above(path: &Path) -> &Path {
    path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The number of the file system on which a folder lies.
#[cfg(unix)]
fn device(folder: &Path) -> std::io::Result<u64> {
    Ok(std::os::unix::fs::MetadataExt::dev(&std::fs::metadata(folder)?))
}

#[cfg(not(unix))]
fn device(_: &Path) -> std::io::Result<u64> {
    Ok(0)
}

/// Accounts, mailboxes and envelopes in them; counted beside the relay's thread, which goes on.
fn on_disk<K: Kv + ?Sized>(store: &K) -> Option<(u64, u64, u64)> {
    let counted = || -> Result<_, Error> {
        let (mailboxes, waiting) = mailbox::count(store)?;
        Ok((accounts::count(store)?, mailboxes, waiting))
    };
    match counted() {
        Ok(counted) => Some(counted),
        Err(error) => {
            tracing::error!(%error, "the mailboxes cannot be counted");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use rand_core::OsRng;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Work that counts how often it is done.
    fn counts(done: Arc<AtomicUsize>) -> impl FnOnce(&mut Core<'_>) -> usize + Send + 'static {
        move |_| done.fetch_add(1, Ordering::Relaxed)
    }

    /// A relay that can be asked so much at a time, and what it was asked.
    fn asked(most: usize) -> (Relay, Admin, mpsc::Receiver<Event>) {
        let relay = Relay::in_memory(Config::default(), [9; 32], Box::new(OsRng));
        let (events, inbox) = mpsc::channel(most);
        let admin = Admin {
            events,
            metrics: relay.metrics(),
            blobs: relay.blobs(),
            sfu: relay.sfu(),
            store: None,
            data: None,
            started: Instant::now(),
            again: None,
            end: watch::channel(false).0,
        };
        (relay, admin, inbox)
    }

    /// The relay looks at all that it was asked.
    fn answers(relay: &mut Relay, inbox: &mut mpsc::Receiver<Event>) {
        while let Ok(Event::Ask(work)) = inbox.try_recv() {
            work(&mut Core { relay, links: &Links::new() });
        }
    }

    fn clock() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a clock")
    }

    #[test]
    fn who_finds_no_place_in_the_queue_is_told_in_time_and_nothing_is_done_later() {
        let (mut relay, admin, mut inbox) = asked(1);
        let done = Arc::new(AtomicUsize::new(0));
        clock().block_on(async {
            let mut first = Box::pin(admin.within(counts(done.clone())));
            assert!((&mut first).now_or_never().is_none(), "the relay hangs");
            let second = admin.answered(Duration::ZERO, counts(done.clone()));
            let told = timeout(Duration::from_secs(60), second).await;
            assert_eq!(told.expect("it does not wait for a place"), None);
            answers(&mut relay, &mut inbox);
            assert_eq!(first.await, Some(0));
        });
        assert_eq!(done.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_not_done() {
        let (mut relay, admin, mut inbox) = asked(2);
        let done = Arc::new(AtomicUsize::new(0));
        clock().block_on(async {
            let mut stays = Box::pin(admin.within(counts(done.clone())));
            assert!((&mut stays).now_or_never().is_none(), "the relay has not looked at it");
            let gone = admin.within(counts(done.clone())).now_or_never();
            assert!(gone.is_none(), "and whoever asked this does not wait");
            answers(&mut relay, &mut inbox);
            assert_eq!(stays.await, Some(0));
        });
        assert_eq!(done.load(Ordering::Relaxed), 1);
    }
}
