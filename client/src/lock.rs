//! Locking: keys leave memory, and come back with the passphrase.
//!
//! A locked client has no state. The whole of it (sessions, timelines, drafts, the store with its key,
//! the ratchet file) is dropped as when the person leaves, and is loaded again when they unlock. What
//! is freed is wiped by the allocator; what calls left on the stack is wiped by [`scrub`]. The folder
//! stays locked for other programs, and a relay that this client hosts goes on for the others.
//!
//! The connection ends too. Its login needs the identity key, and taking envelopes down without the
//! keys would put on this disk, for a thief to read, who wrote and when, while the relay holds exactly
//! that already: sealed, on its disk, within the bounds of the mailbox of anybody who is away. What
//! finds no place there waits in its sender's outbox. So nothing is lost, nobody is told that a person
//! is here who is not, and all of it arrives after unlocking, in order.
//!
//! `/lock` in a call ends the call; the idle time does not run while there is one, since who watches a
//! picture presses no keys. It runs while one only rings: that is the other person's doing.

use crate::config::Vault;
use crate::start::{self, Opened};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use subrosa_relay::server::Server;
use subrosa_shared::store::Error;
use subrosa_shared::store::profile::Locked;
use subrosa_shared::time::{Millis, Now};
use zeroize::Zeroizing;

/// What was wanted when the client ended; of several the last in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leaving {
    /// To have it locked.
    Lock,
    /// To leave.
    Quit,
    /// To have everything destroyed.
    Burn,
}

/// How long nobody has done anything.
#[derive(Debug)]
pub struct Idle {
    /// `None`: it never locks by itself.
    after: Option<Duration>,
    /// The last key; `None` while there is no screen, since scripts are not idle when they are quiet.
    since: Option<Now>,
}

impl Idle {
    /// As the settings say.
    pub fn new(settings: &Vault) -> Self {
        Self { after: idle_lock(&settings.idle_lock).unwrap_or_default(), since: None }
    }

    /// There is a screen, or somebody did something.
    pub fn touched(&mut self, now: Now) {
        self.since = Some(now);
    }

    /// Whether it is time to lock. A machine that slept counts by the wall clock: the other one stood
    /// still.
    pub fn is_over(&self, now: Now) -> bool {
        self.after.zip(self.since).is_some_and(|(after, since)| {
            now.mono.since(since.mono) >= after || now.wall.since(since.wall) >= after
        })
    }

    /// The monotonic moment at which it will be.
    pub fn due(&self) -> Option<Millis> {
        self.after.zip(self.since).map(|(after, since)| since.mono.plus(after))
    }
}

/// A time such as `15m`, `90s`, `2h`; `None` for `off`.
///
/// # Errors
/// A sentence.
pub fn idle_lock(text: &str) -> Result<Option<Duration>, String> {
    if text == "off" {
        return Ok(None);
    }
    let wrong = || {
        format!("vault.idle_lock = {text:?} is neither \"off\" nor a time from 30s to 24h such as \"15m\"")
    };
    let unit = text
        .chars()
        .last()
        .and_then(|unit| [('s', 1), ('m', 60), ('h', 3600)].into_iter().find(|(c, _)| *c == unit));
    let (_, seconds) = unit.ok_or_else(wrong)?;
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    match count.checked_mul(seconds) {
        Some(total @ 30..=86_400) => Ok(Some(Duration::from_secs(total))),
        _ => Err(wrong()),
    }
}

/// How long the next passphrase has to wait after so many wrong ones: a second, doubling to a minute.
/// It keeps a passer-by from trying many; a thief of the disk pays with the vault's cost instead.
pub fn wait_after(wrong: u32) -> Duration {
    match wrong {
        0 => Duration::ZERO,
        wrong => Duration::from_secs(1 << (wrong - 1).min(6)).min(Duration::from_secs(60)),
    }
}

/// A profile without its keys, and what goes on without them.
pub struct Closed {
    locked: Arc<Locked>,
    server: Option<Server>,
}

impl Closed {
    /// From a profile whose store nobody else holds any more.
    pub fn new(locked: Locked, server: Option<Server>) -> Self {
        Self { locked: Arc::new(locked), server }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        self.locked.dir()
    }

    /// Opens it again.
    ///
    /// # Errors
    /// A sentence with the next step, and what stays locked.
    pub async fn open(self, passphrase: Zeroizing<String>) -> Result<Opened, (Self, String)> {
        let locked = self.locked.clone();
        let opened = apart(move || locked.open(&passphrase)).await;
        let opened = opened.map_err(|error| start::sentence(self.dir(), &error)).and_then(|profile| {
            let (account, identity) =
                start::read_account(&profile.store).map_err(|error| start::sentence(self.dir(), &error))?;
            Ok((profile, account, identity))
        });
        match opened {
            Ok((profile, account, identity)) => {
                Ok(Opened { profile, account, identity, server: self.server })
            }
            Err(why) => Err((self, why)),
        }
    }

    /// Ends the hosted relay, telling whoever is connected.
    pub async fn close(self) {
        if let Some(server) = self.server {
            server.shutdown().await;
        }
    }

    /// Destroys the profile. A hosted relay ends first: its data goes too.
    ///
    /// # Errors
    /// Those of the store; what was overwritten by then stays so, and the next start goes on.
    pub async fn burn(self) -> Result<(), Error> {
        let Self { locked, server } = self;
        if let Some(server) = server {
            server.shutdown().await;
        }
        match Arc::into_inner(locked) {
            Some(locked) => locked.burn(),
            // A try to unlock that was given up still stretches its passphrase.
            None => Err(Error::Locked),
        }
    }
}

/// Runs work that handles keys on a thread of its own, whose stack goes with it.
///
/// # Panics
/// When the work does, or the system gives no thread.
pub async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("vault".into()).spawn(move || {
        let outcome = work();
        scrub();
        // Who asked may have left.
        let _ = done.send(outcome);
    });
    let thread = thread.expect("the system has a thread for us");
    match result.await {
        Ok(outcome) => outcome,
        Err(_) => std::panic::resume_unwind(thread.join().expect_err("it sends before it ends well")),
    }
}

/// Overwrites what calls that have returned left on this thread's stack.
#[inline(never)]
pub fn scrub() {
    let mut dead = [0u8; STACK];
    // Used, so that it is really written.
    std::hint::black_box(&mut dead).fill(0);
    std::hint::black_box(&dead);
}

/// Deeper than any of our calls goes; a thread has at least 2 MiB.
const STACK: usize = 768 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_times_are_read() {
        assert_eq!(idle_lock("off"), Ok(None));
        assert_eq!(idle_lock("15m"), Ok(Some(Duration::from_secs(900))));
        assert_eq!(idle_lock("30s"), Ok(Some(Duration::from_secs(30))));
        for wrong in
            ["", "m", "0m", "29s", "25h", "-1m", "1d", "5é", "99999999999999999999h", "18446744073709551615h"]
        {
            assert!(idle_lock(wrong).expect_err(wrong).contains("15m"), "{wrong}");
        }
    }

    #[test]
    fn a_machine_that_slept_was_idle() {
        let mut idle = Idle::new(&Vault { idle_lock: "15m".into() });
        let at = |wall: u64, mono: u64| Now { wall: Millis(wall), mono: Millis(mono) };
        assert!(!idle.is_over(at(u64::MAX, u64::MAX)), "there is no screen");
        idle.touched(at(1_000_000, 5_000));
        assert_eq!(idle.due(), Some(Millis(905_000)));
        assert!(!idle.is_over(at(1_899_999, 904_999)));
        assert!(idle.is_over(at(1_000_000, 905_000)));
        assert!(idle.is_over(at(1_900_000, 5_001)), "the lid was closed");
        assert!(!idle.is_over(at(0, 6_000)), "a clock that was set back is no reason");
    }

    #[test]
    fn waits_grow_and_end() {
        let waits: Vec<u64> = (0..9).map(|wrong| wait_after(wrong).as_secs()).collect();
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(wait_after(u32::MAX).as_secs(), 60);
    }
}
