//! What is counted, so that a drop is never silent.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counts {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// Something that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Count { $($(#[$doc])* $variant,)* }

        const NAMES: [&str; [$(Count::$variant),*].len()] = [$($name),*];
    };
}

counts! {
    /// Connections that came in.
    Connections => "connections",
    /// Connections turned away before a handshake: too many in all or from one network.
    TurnedAway => "turned_away",
    /// Logins that held.
    Logins => "logins",
    /// Names taken.
    Registrations => "registrations",
    /// Envelopes put into mailboxes.
    Accepted => "accepted",
    /// Envelopes that were there already.
    Repeats => "repeats",
    /// Envelopes and questions refused.
    Refused => "refused",
    /// Envelopes handed to a device, repeats after a reconnection included.
    Delivered => "delivered",
    /// Envelopes that nobody fetched in time.
    Expired => "expired",
    /// Room heads moved.
    HeadsMoved => "heads_moved",
    /// Moves refused because another was first.
    HeadsOutdated => "heads_outdated",
    /// Moves refused because of a wrong key.
    HeadsWrongKey => "heads_wrong_key",
    /// Room heads dropped that nobody moved for a year.
    HeadsExpired => "heads_expired",
    /// Knocks at the doors of rooms.
    Knocks => "knocks",
    /// Knocks refused: too many, or too many guesses there.
    KnocksRefused => "knocks_refused",
    /// Answers that let a room's password be tried.
    DoorGuesses => "door_guesses",
    /// Connections closed for what they sent or for not logging in.
    Closed => "closed",
    /// Connections closed because they did not read.
    Slow => "slow",
    /// Media datagrams that came in.
    Media => "media",
    /// Media datagrams handed on, one for each watcher.
    MediaOut => "media_out",
    /// Media datagrams that were malformed or not of an own track.
    MediaBad => "media_bad",
    /// Media datagrams above a publisher's rate.
    MediaTooFast => "media_too_fast",
    /// Media datagrams dropped because a watcher's queue was full.
    MediaBehind => "media_behind",
    /// Password logins begun: the relay answered KE1.
    PasswordTries => "password_tries",
    /// Password logins that held.
    PasswordLogins => "password_logins",
    /// Password logins refused because one name was tried too often.
    PasswordLimitedName => "password_limited_name",
    /// The same because of one network.
    PasswordLimitedNetwork => "password_limited_network",
    /// The same because of all together.
    PasswordLimitedAll => "password_limited_all",
    /// Passwords set or changed.
    PasswordsSet => "passwords_set",
    /// Files begun.
    FilesBegun => "files_begun",
    /// Files of which all is here.
    FilesStored => "files_stored",
    /// Questions about files refused.
    FilesRefused => "files_refused",
    /// Files deleted by who began them.
    FilesDeleted => "files_deleted",
    /// Files whose time was over.
    FilesExpired => "files_expired",
    /// Files that were never completed, dropped.
    FilesHalf => "files_half",
    /// Bytes of files that came in.
    FileBytesUp => "file_bytes_up",
    /// Bytes of files that went out.
    FileBytesDown => "file_bytes_down",
}

/// The counters; cheap to share and to count.
pub struct Metrics([AtomicU64; NAMES.len()]);

impl Default for Metrics {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; NAMES.len()])
    }
}

impl Metrics {
    /// One more.
    pub fn count(&self, what: Count) {
        self.add(what, 1);
    }

    /// So many more.
    pub fn add(&self, what: Count, by: u64) {
        self.0[what as usize].fetch_add(by, Relaxed);
    }

    /// How many so far.
    pub fn get(&self, what: Count) -> u64 {
        self.0[what as usize].load(Relaxed)
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in NAMES.iter().zip(&self.0).enumerate() {
            let gap = if i == 0 { "" } else { " " };
            write!(f, "{gap}{name}={}", value.load(Relaxed))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metrics({self})")
    }
}
