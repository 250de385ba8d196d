//! Reading the terminal: keys, pastes, answers and new sizes, without a thread of their own.

use super::answer::Answer;
use super::input::{Decoder, Input};
use crossterm::event::Event;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{QueueSelector, tcflush};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};
use tokio::net::unix::pipe::Receiver;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the person and the terminal say. While there is one, nobody else reads the terminal.
pub struct Keys {
    tty: Receiver,
    resized: Signal,
    decoder: Decoder,
    ready: VecDeque<Input>,
}

impl Keys {
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When there is no terminal to read.
    pub fn open() -> io::Result<Self> {
        let tty = terminal(OpenOptions::new().read(true), Receiver::from_file_unchecked)?;
        let resized = signal(SignalKind::window_change())?;
        Ok(Self { tty, resized, decoder: Decoder::default(), ready: VecDeque::new() })
    }

    /// The next thing; `None` when the terminal is gone. Cancel safe.
    pub async fn next(&mut self) -> Option<io::Result<Input>> {
        loop {
            if let Some(input) = self.ready.pop_front() {
                return Some(Ok(input));
            }
            let waits = self.decoder.waits();
            let mut out = Vec::new();
            tokio::select! {
                biased;
                ready = self.tty.readable() => {
                    let mut bytes = [0; 4096];
                    match ready.and_then(|()| self.tty.try_read(&mut bytes)) {
                        Ok(0) => return None,
                        Ok(count) => self.decoder.feed(&bytes[..count], &mut out),
                        // It was not ready after all.
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Some(Err(error)),
                    }
                }
                () = async { tokio::time::sleep(waits.unwrap_or_default()).await }, if waits.is_some() => {
                    self.decoder.settle(&mut out);
                }
                _ = self.resized.recv() => {
                    let (width, height) = super::size();
                    out.push(Input::Event(Event::Resize(width, height)));
                }
            }
            self.ready.extend(out);
        }
    }

    /// Forgets what was typed so far: who typed it did not see what it would reach now.
    pub fn forget(&mut self) {
        self.ready.clear();
        self.decoder = Decoder::default();
        let mut bytes = [0u8; 4096];
        // A flood does not keep it.
        for _ in 0..FORGOTTEN {
            match rustix::io::read(&self.tty, &mut bytes) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
    }

    /// Reads on until an answer was the last one that is owed, so that no other program finds them; after
    /// that time what came of the rest is dropped, unread. Whoever calls it waits.
    pub fn settle(&mut self, time: Duration, mut is_last: impl FnMut(&Answer) -> bool) {
        let until = Instant::now() + time;
        let mut bytes = [0u8; 4096];
        loop {
            while let Some(input) = self.ready.pop_front() {
                if let Input::Answer(answer) = &input
                    && is_last(answer)
                {
                    return;
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let left = Timespec::try_from(left).ok();
            let ready = poll(&mut [PollFd::new(&self.tty, PollFlags::IN)], left.as_ref());
            match ready.and_then(|_| rustix::io::read(&self.tty, &mut bytes)) {
                // The terminal is gone.
                Ok(0) => return,
                Ok(count) => {
                    let mut out = Vec::new();
                    self.decoder.feed(&bytes[..count], &mut out);
                    self.ready.extend(out);
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => return,
            }
        }
        // Where it cannot be dropped, it comes late.
        let _ = tcflush(&self.tty, QueueSelector::IFlush);
    }
}

/// The terminal that standard output goes to, opened once more: so that it can be used without
/// waiting, and programs that share the first opening are not surprised by that. `register` has the
/// runtime watch it, as it watches a pipe.
pub(super) fn terminal<T>(options: &OpenOptions, register: fn(File) -> io::Result<T>) -> io::Result<T> {
    let mut options = options.clone();
    options.custom_flags((rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY).bits() as i32);
    // By its name, since not every system can wait for the other one; but it may be another person's.
    let named = rustix::termios::ttyname(rustix::stdio::stdout(), Vec::new())
        .ok()
        .and_then(|name| name.into_string().ok())
        .and_then(|name| options.open(name).ok())
        .and_then(|tty| register(tty).ok());
    match named {
        Some(tty) => Ok(tty),
        None => register(options.open("/dev/tty")?),
    }
}

/// How often it is read for what is forgotten; a terminal holds less.
const FORGOTTEN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[tokio::test]
    async fn a_passphrase_that_was_typed_twice_reached_the_conversation() {
        let (reader, mut person) = io::pipe().expect("a pipe");
        let tty = Receiver::from_owned_fd(reader.into()).expect("it is a pipe");
        let resized = signal(SignalKind::window_change()).expect("a signal");
        let mut keys = Keys { tty, resized, decoder: Decoder::default(), ready: VecDeque::new() };
        person.write_all(b"ab").expect("it takes that");
        assert!(matches!(keys.next().await, Some(Ok(Input::Event(Event::Key(_))))));
        person.write_all(b"correct horse\r\x1b[").expect("it takes that");
        keys.forget();
        drop(person);
        assert!(keys.next().await.is_none(), "nothing is left of either");
    }
}
