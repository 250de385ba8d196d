//! Whether the relay is well, for whoever watches it.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};

/// How far a relay is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It opens its store.
    Starting,
    /// It takes what comes.
    Running,
    /// It takes nothing new and ends.
    Draining,
}

/// What is known of a relay's health without asking it.
#[derive(Debug)]
pub struct Health {
    stage: AtomicU8,
    /// Where its data lies, when it keeps any.
    data: Option<PathBuf>,
}

/// Why a relay should be given nothing to do just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unready {
    /// It opens its store.
    Starting,
    /// It ends.
    Draining,
    /// The disk refuses, or is about to.
    DiskFull,
}

/// Free space below which the store takes nothing more, in bytes.
pub const RESERVE: u64 = 64 << 20;

impl Health {
    /// Of a relay that starts.
    pub fn new(data: Option<PathBuf>) -> Self {
        Self { stage: AtomicU8::new(0), data }
    }

    /// It has come further.
    pub fn reach(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Ordering::Relaxed);
    }

    /// How far it is.
    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Starting,
            1 => Stage::Running,
            _ => Stage::Draining,
        }
    }

    /// Bytes that are free where its data lies; `None` when it keeps none, or the system does not say.
    pub fn free(&self) -> Option<u64> {
        // Before the first start there is no folder: what its parent has is what it will have.
        let data = self.data.as_deref()?;
        data.ancestors().find(|folder| folder.exists()).and_then(|folder| fs4::available_space(folder).ok())
    }

    /// Whether it should be given anything to do. `refused` says that the disk refused the last write.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self, refused: bool) -> Result<(), Unready> {
        match self.stage() {
            Stage::Starting => Err(Unready::Starting),
            Stage::Draining => Err(Unready::Draining),
            Stage::Running if refused || self.free().is_some_and(|free| free < RESERVE) => {
                Err(Unready::DiskFull)
            }
            Stage::Running => Ok(()),
        }
    }
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting: the store is being opened",
            Self::Draining => "draining: the relay takes nothing new and ends",
            Self::DiskFull => "the disk is full: make room, then the relay takes envelopes again by itself",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_running_with_room_on_the_disk() {
        let dir = tempfile::tempdir().expect("a folder");
        let health = Health::new(Some(dir.path().join("not").join("made")));
        assert_eq!(health.ready(false), Err(Unready::Starting));
        health.reach(Stage::Running);
        assert_eq!(health.ready(false), Ok(()));
        assert!(health.free().is_some_and(|free| free > RESERVE));
        assert_eq!(health.ready(true), Err(Unready::DiskFull));
        health.reach(Stage::Draining);
        health.reach(Stage::Running);
        assert_eq!(health.ready(false), Err(Unready::Draining), "there is no way back");
        assert_eq!(Health::new(None).free(), None);
    }
}
