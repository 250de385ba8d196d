//! Standard output: answers and events in a queue that a slow reader cannot make grow.

use super::wire;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Events that wait for the reader at most; later ones are dropped and counted.
pub const EVENTS_MAX: usize = 1024;
/// Answers that wait for the reader at most before no further request is begun.
pub const ANSWERS_MAX: usize = 64;

/// The queue, and the thread that writes it.
pub struct Output(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// For the thread: something is to be written, or nothing more will be.
    work: Condvar,
    /// For the client: there is room again, or the reader is gone.
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// Lines, and whether each is an event.
    queue: VecDeque<(String, bool)>,
    events: usize,
    dropped: u64,
    closed: bool,
    ended: bool,
    broken: bool,
}

impl Output {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives us no thread.
    pub fn start(to: impl Write + Send + 'static) -> std::io::Result<Self> {
        let shared =
            Arc::new(Shared { state: Mutex::default(), work: Condvar::new(), changed: Notify::new() });
        let thread = shared.clone();
        std::thread::Builder::new().name("output".into()).spawn(move || thread.write(to))?;
        Ok(Self(shared))
    }

    /// Queues an answer, in any case.
    pub fn answer(&self, answer: &Value) {
        self.0.lock().queue.push_back((wire::to_line(answer), false));
        self.0.work.notify_one();
    }

    /// Queues an event, or drops it when too many wait.
    pub fn event(&self, event: &Value) {
        let mut state = self.0.lock();
        if state.events >= EVENTS_MAX {
            state.dropped += 1;
            return;
        }
        if let Some(gap) = state.gap() {
            state.queue.push_back((gap, false));
        }
        state.events += 1;
        state.queue.push_back((wire::to_line(event), true));
        drop(state);
        self.0.work.notify_one();
    }

    /// Whether so many answers wait that no further request should be begun.
    pub fn is_full(&self) -> bool {
        let state = self.0.lock();
        state.queue.len() - state.events >= ANSWERS_MAX
    }

    /// Whether the reader is gone.
    pub fn is_broken(&self) -> bool {
        self.0.lock().broken
    }

    /// Wakes when [`Output::is_full`] or [`Output::is_broken`] may have changed.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// Ends once everything is written, or after `limit`.
    pub async fn close(self, limit: Option<Duration>) {
        self.0.lock().closed = true;
        self.0.work.notify_one();
        let written = async {
            while !self.0.lock().ended {
                self.changed().await;
            }
        };
        match limit {
            Some(limit) => drop(tokio::time::timeout(limit, written).await),
            None => written.await,
        }
    }
}

impl State {
    /// The notification of what was dropped since the last one.
    fn gap(&mut self) -> Option<String> {
        let count = std::mem::take(&mut self.dropped);
        (count > 0).then(|| wire::to_line(&wire::notification("dropped", json!({ "count": count }))))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole at any time, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, mut to: impl Write) {
        while let Some(line) = self.next() {
            if to.write_all(line.as_bytes()).and_then(|()| to.flush()).is_err() {
                self.lock().broken = true;
                break;
            }
            self.changed.notify_one();
        }
        self.lock().ended = true;
        self.changed.notify_one();
    }

    /// Waits for the next line, with its end; `None` when there will be none.
    fn next(&self) -> Option<String> {
        let mut state = self.lock();
        loop {
            let line = match state.queue.pop_front() {
                Some((line, event)) => {
                    state.events -= usize::from(event);
                    Some(line)
                }
                None => state.gap(),
            };
            if let Some(line) = line {
                return Some(line + "\n");
            }
            if state.closed {
                return None;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    /// A reader that takes a line when it is asked to.
    struct Slow(SyncSender<String>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let text = String::from_utf8_lossy(bytes).into_owned();
            self.0.send(text).map_err(|_| std::io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Output, Receiver<String>) {
        let (to, reader) = sync_channel(0);
        (Output::start(Slow(to)).expect("a thread"), reader)
    }

    #[tokio::test]
    async fn a_slow_reader_loses_events_and_hears_how_many_but_no_answer() {
        let (output, reader) = slow();
        // One more may be in the thread's hands already.
        for i in 0..EVENTS_MAX + 11 {
            output.event(&json!({ "event": i }));
        }
        output.answer(&json!({"answer": 1}));
        let reading = std::thread::spawn(move || reader.iter().collect::<Vec<_>>());
        output.close(None).await;
        let lines = reading.join().expect("read");
        assert!(lines.iter().any(|line| line.contains("answer")));
        let events = lines.iter().filter(|line| line.contains("event")).count();
        // Where the thread begins to write late, there is more than one gap.
        let lost: u64 = lines
            .iter()
            .filter(|line| line.contains("dropped"))
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
            .map(|gap| gap["params"]["count"].as_u64().expect("a number"))
            .sum();
        assert!(lost > 0);
        assert_eq!(lost, (EVENTS_MAX + 11 - events) as u64);
    }

    #[tokio::test]
    async fn many_unread_answers_hold_back_requests_until_they_are_read() {
        let (output, reader) = slow();
        for i in 0..ANSWERS_MAX + 1 {
            output.answer(&json!(i));
        }
        assert!(output.is_full());
        for _ in 0..3 {
            reader.recv().expect("a line");
        }
        while output.is_full() {
            output.changed().await;
        }
    }

    #[tokio::test]
    async fn a_reader_that_went_away_is_noticed() {
        let (output, reader) = slow();
        drop(reader);
        output.answer(&json!(1));
        while !output.is_broken() {
            output.changed().await;
        }
        output.close(None).await;
    }
}
