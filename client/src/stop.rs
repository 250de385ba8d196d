//! Being asked to end: by the system, or by keys where they are no keys of ours.

use std::io;
use std::task::Poll;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Remembers to listen; made inside a tokio runtime.
pub struct Stop {
    /// The system wants the program to end.
    ends: Vec<Signal>,
    /// What Ctrl+C and Ctrl+\ send.
    breaks: Vec<Signal>,
}

impl Stop {
    /// From here on SIGTERM and SIGINT are taken instead of ending the program at once. SIGHUP is left as it
    /// is: `nohup` has it ignored.
    ///
    /// # Errors
    /// When the system lets us listen to no signals.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { ends: all([SignalKind::terminate()])?, breaks: all([SignalKind::interrupt()])? })
    }

    /// The same for a program that is nothing without its terminal, and gives it back at any end: SIGHUP and
    /// SIGQUIT are taken too.
    ///
    /// # Errors
    /// When the system lets us listen to no signals.
    pub fn on_screen() -> io::Result<Self> {
        Ok(Self { ends: all([SignalKind::terminate(), SignalKind::hangup()])?, breaks: breaks()? })
    }

    /// After somebody else had the screen: what its keys sent meanwhile was meant for that one.
    ///
    /// # Errors
    /// When the system lets us listen to no signals.
    pub fn forget_breaks(&mut self) -> io::Result<()> {
        self.breaks = breaks()?;
        Ok(())
    }

    /// Waits for the next one. Cancel safe.
    pub async fn asked(&mut self) {
        std::future::poll_fn(|context| {
            let mut signals = self.ends.iter_mut().chain(&mut self.breaks);
            match signals.any(|signal| signal.poll_recv(context).is_ready()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}

fn breaks() -> io::Result<Vec<Signal>> {
    all([SignalKind::interrupt(), SignalKind::quit()])
}

/// Listens from now on: what was sent before is not heard.
fn all<const N: usize>(kinds: [SignalKind; N]) -> io::Result<Vec<Signal>> {
    kinds.into_iter().map(signal).collect()
}
