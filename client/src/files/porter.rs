//! Carries out what is to be done with files, each on a task of its own.

use super::wire::{self, Reports};
use super::{End, Order, Report, prepare, saver};
use crate::net::link::Current;
use std::collections::HashMap;
use std::future::Future;
use subrosa_shared::id::MessageId;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Runs transfers; they end when it is dropped.
pub struct Porter {
    current: Current,
    reports: mpsc::UnboundedSender<Report>,
    running: HashMap<MessageId, Running>,
}

struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Porter {
    /// On whatever connection there is.
    pub fn new(current: Current) -> (Self, mpsc::UnboundedReceiver<Report>) {
        // Bounded by what fills it: a few words a second of the transfers that run.
        let (reports, inbox) = mpsc::unbounded_channel();
        (Self { current, reports, running: HashMap::new() }, inbox)
    }

    /// Does it.
    pub fn carry_out(&mut self, order: Order) {
        let reports = Reports::new(self.reports.clone());
        match order {
            Order::Look(text) => {
                tokio::task::spawn_blocking(move || {
                    let file = prepare::look(&text);
                    reports.say(Report::Looked { text, file });
                });
            }
            Order::View(id, path) => {
                tokio::task::spawn_blocking(move || reports.say(Report::Viewed(id, prepare::view(&path))));
            }
            Order::Prepare { id, path } => {
                tokio::task::spawn_blocking(move || {
                    reports.say(Report::Prepared(id, prepare::prepare(&path)))
                });
            }
            Order::Upload(job) => {
                let current = self.current.clone();
                self.start(job.id, move |stop| async move {
                    match current.get() {
                        Some(connection) => wire::upload(&connection, *job, stop, &reports).await,
                        None => Some(unconnected()),
                    }
                });
            }
            Order::Download(job) => {
                let current = self.current.clone();
                self.start(job.id, move |stop| async move {
                    match current.get() {
                        Some(connection) => wire::download(&connection, *job, stop, &reports).await,
                        None => Some(unconnected()),
                    }
                });
            }
            Order::Delete(id, blob) => {
                let current = self.current.clone();
                self.start(id, move |_| async move {
                    match current.get() {
                        Some(connection) => Some(wire::delete(&connection, blob).await),
                        None => Some(unconnected()),
                    }
                });
            }
            Order::Discard(id, folder) => {
                let before = self.running.remove(&id);
                tokio::spawn(async move {
                    ended(before).await;
                    // The disk may be slow; nobody waits for it.
                    let discard = move || saver::discard(id, &folder).then_some(folder);
                    if let Ok(Some(folder)) = tokio::task::spawn_blocking(discard).await {
                        reports.say(Report::Discarded(id, folder));
                    }
                });
            }
            Order::Stop(id) => {
                if let Some(running) = self.running.get(&id) {
                    running.stop.send_replace(true);
                }
            }
        }
    }

    /// Runs one for a message, once the one before has let go of its file.
    fn start<F>(&mut self, id: MessageId, work: impl FnOnce(watch::Receiver<bool>) -> F + Send + 'static)
    where
        F: Future<Output = Option<End>> + Send,
    {
        self.running.retain(|_, running| !running.task.is_finished());
        let before = self.running.remove(&id);
        let (stop, stopped) = watch::channel(false);
        let reports = self.reports.clone();
        let task = tokio::spawn(async move {
            ended(before).await;
            if let Some(end) = work(stopped).await {
                // Nobody listens when the person has left.
                let _ = reports.send(Report::Ended(id, end));
            }
        });
        self.running.insert(id, Running { stop, task });
    }
}

async fn ended(before: Option<Running>) {
    if let Some(before) = before {
        before.stop.send_replace(true);
        // A panic there was printed there.
        let _ = before.task.await;
    }
}

fn unconnected() -> End {
    End::Later("there is no connection to the relay".into())
}

impl Drop for Porter {
    fn drop(&mut self) {
        for running in self.running.values() {
            running.stop.send_replace(true);
        }
    }
}
