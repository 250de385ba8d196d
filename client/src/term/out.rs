//! Writing to the terminal without waiting for it.

use std::fs::OpenOptions;
use std::io;
use tokio::net::unix::pipe::Sender;

/// The way to the terminal. What it does not take at once waits here, in order: at most what one
/// update of the screen needs, since nobody draws the next one before that.
pub struct Out {
    tty: Sender,
    waiting: Vec<u8>,
}

impl Out {
    /// Opens the terminal of standard output.
    ///
    /// # Errors
    /// When there is none to write to.
    pub async fn open() -> io::Result<Self> {
        let tty = super::keys::terminal(OpenOptions::new().write(true), Sender::from_file_unchecked)?;
        // Before that was seen once, no write is tried.
        tty.writable().await?;
        Ok(Self { tty, waiting: Vec::new() })
    }

    /// Writes what the terminal takes, and keeps the rest.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.waiting.extend_from_slice(bytes);
        self.push()
    }

    /// Drops what was not taken: the terminal is somebody else's now.
    pub fn forget(&mut self) {
        self.waiting.clear();
    }

    /// Whether everything was taken.
    pub fn is_clear(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Waits until the terminal takes more, and gives it that. Never comes back when there is
    /// nothing to give. Cancel safe.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub async fn flow(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return std::future::pending().await;
        }
        self.tty.writable().await?;
        self.push()
    }

    fn push(&mut self) -> io::Result<()> {
        let mut at = 0;
        let pushed = loop {
            if at == self.waiting.len() {
                break Ok(());
            }
            match self.tty.try_write(&self.waiting[at..]) {
                Ok(count) => at += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.waiting.drain(..at);
        pushed
    }
}
