//! What is out of date is looked for, a bounded piece at a time.

use super::Relay;
use super::commit::Tables;
use crate::ages::Ages;
use crate::metrics::Count;
use crate::{doors, heads};
use subrosa_shared::id::DeviceId;
use subrosa_shared::time::{Millis, Now};

/// How far the search for what is out of date has come.
pub(super) enum Sweep {
    /// Begins at this moment.
    At(Millis),
    /// In the mailboxes, after this one.
    Mailboxes(Option<DeviceId>),
    /// In the room heads, from this key on.
    Heads(Vec<u8>),
    /// In what was taken of each sender, from this key on.
    Repeats(Vec<u8>),
    /// In the spent prekeys, from this key on.
    Prekeys(Vec<u8>),
    /// In the guesses at passwords, from this key on.
    Guesses(Vec<u8>),
    /// In the files, from this key on.
    Files(Vec<u8>),
    /// In the doors of rooms, from this key on.
    Doors(Vec<u8>),
}

const HOUR_MS: u64 = 3_600_000;

impl Relay {
    /// Whether the next [`Relay::tick`] looks for what is out of date. What came before is to be written first: a
    /// full disk takes what only removes.
    pub fn searches(&self, now: Now) -> bool {
        !matches!(self.sweep, Sweep::At(at) if now.mono < at)
    }

    /// Goes on behind the mailboxes, of which a full disk drops nothing: asked again at once, it would be for ever.
    pub(super) fn sweep_elsewhere(&mut self) {
        if matches!(self.sweep, Sweep::Mailboxes(_)) {
            self.sweep = Sweep::Heads(Vec::new());
        }
    }

    /// Time passed, for the ages of what is kept.
    pub(super) fn passes(&mut self, now: Now) -> Ages {
        let ages = self.ages.get_or_insert(Ages::new(now));
        ages.pass(now);
        *ages
    }

    /// One bounded piece of the search for what is out of date; when to go on.
    pub(super) fn swept(&mut self, now: Now) -> Millis {
        let ages = self.passes(now);
        let older = |than_ms: u64| move |dated: Millis| ages.is_older(dated, than_ms);
        let most = u64::from(self.config.limits.expiry_days) * 24 * HOUR_MS;
        let next = match &self.sweep {
            Sweep::At(at) if now.mono < *at => return *at,
            Sweep::At(_) => Ok(Sweep::Mailboxes(None)),
            Sweep::Mailboxes(from) => self.mailbox.expire(&older(most), *from).map(|(dropped, next)| {
                self.group.counts.push((Tables::Mailboxes, Count::Expired, dropped));
                match next {
                    Some(device) => Sweep::Mailboxes(Some(device)),
                    None => Sweep::Heads(Vec::new()),
                }
            }),
            Sweep::Heads(from) => {
                self.mailbox.expire_heads(&older(heads::LASTS_MS), from).map(|(dropped, next)| {
                    self.group.counts.push((Tables::Mailboxes, Count::HeadsExpired, dropped));
                    next.map_or(Sweep::Repeats(Vec::new()), Sweep::Heads)
                })
            }
            Sweep::Repeats(from) => {
                let next = self.mailbox.expire_repeats(now.wall, from);
                next.map(|next| next.map_or(Sweep::Prekeys(Vec::new()), Sweep::Repeats))
            }
            Sweep::Prekeys(from) => match self.accounts.sweep(now.wall, from.clone()) {
                Ok(Some(from)) => Ok(Sweep::Prekeys(from)),
                Ok(None) => Ok(Sweep::Guesses(Vec::new())),
                Err(error) => Err(error.into()),
            },
            Sweep::Guesses(from) => match self.passwords.sweep(now.wall, from) {
                Ok(Some(from)) => Ok(Sweep::Guesses(from)),
                Ok(None) => Ok(Sweep::Files(Vec::new())),
                Err(error) => Err(error.into()),
            },
            Sweep::Files(from) => match self.blobs.sweep(&ages, from) {
                Ok(Some(from)) => Ok(Sweep::Files(from)),
                Ok(None) => Ok(Sweep::Doors(Vec::new())),
                Err(error) => Err(error.into()),
            },
            Sweep::Doors(from) => match self.doors.sweep(&older(doors::LASTS_MS), now.wall, from) {
                Ok(Some(from)) => Ok(Sweep::Doors(from)),
                Ok(None) => Ok(Sweep::At(Millis(now.mono.0 + HOUR_MS))),
                Err(error) => Err(error.into()),
            },
        };
        self.sweep = next.unwrap_or_else(|error| {
            tracing::error!(%error, "cannot drop what is out of date");
            Sweep::At(Millis(now.mono.0 + HOUR_MS))
        });
        match self.sweep {
            Sweep::At(at) => at,
            Sweep::Mailboxes(_)
            | Sweep::Heads(_)
            | Sweep::Repeats(_)
            | Sweep::Prekeys(_)
            | Sweep::Guesses(_)
            | Sweep::Files(_)
            | Sweep::Doors(_) => now.mono,
        }
    }
}
