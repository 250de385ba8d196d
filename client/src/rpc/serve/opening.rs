//! Opening a profile for `subrosa rpc`: registering, signing in, unlocking.

use super::{Client, Session};
use crate::event::Event;
use crate::lock::Closed;
use crate::rpc::method::Secret;
use crate::rpc::wire::{Fault, Reply};
use crate::rpc::{ALREADY_OPEN, PASSPHRASE, PROFILE};
use crate::runtime::Runtime;
use crate::start::{self, Opened};
use crate::term::Caps;
use crate::ui::setup::RelayChoice;
use std::time::Duration;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::store::profile::Presence;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// An open profile, or what stays locked, and why.
pub(super) type Tried = Result<Opened, (Option<Closed>, String)>;

/// A profile that is being opened.
pub(super) struct Opening {
    reply: Reply,
    wait: Duration,
    task: JoinHandle<Tried>,
}

/// How a profile comes to be.
pub(super) enum New {
    /// It is there.
    Nothing,
    /// With a new account.
    Account { name: AccountName, relay: RelayChoice },
    /// With one that has a login password.
    SignIn { name: AccountName, password: Secret, relay: RelayLink },
}

impl Session {
    pub(super) fn open(&mut self, reply: Reply, new: New, passphrase: Secret, wait: Duration) {
        if self.client.is_some() {
            return self.answer(reply, Err(Fault::new(ALREADY_OPEN, "a profile is open already")));
        }
        let dir = self.dir.display();
        let wrong = match (start::look(&self.dir), &new) {
            (Err(why), _) => Some(Fault::new(PROFILE, why)),
            (Ok(Presence::Present), New::Account { .. } | New::SignIn { .. }) => {
                Some(Fault::new(ALREADY_OPEN, format!("{dir} holds a profile already: unlock it")))
            }
            (Ok(Presence::Absent), New::Nothing) => {
                Some(Fault::new(PROFILE, format!("{dir} holds no profile yet: register makes one")))
            }
            _ => None,
        };
        if let Some(fault) = wrong {
            return self.answer(reply, Err(fault));
        }
        let dir = self.dir.clone();
        let (closed, moved) = (self.closed.take(), self.moved.clone());
        let task = tokio::spawn(async move {
            match (new, closed) {
                (New::Account { name, relay }, _) => {
                    start::create(&dir, name, passphrase.0, relay).await.map_err(|why| (None, why))
                }
                (New::SignIn { name, password, relay }, _) => {
                    let opened = start::sign_in(&dir, name, password.0, passphrase.0, relay).await;
                    opened.map_err(|why| (None, why.said))
                }
                (New::Nothing, Some(closed)) => {
                    closed.open(passphrase.0).await.map_err(|(closed, why)| (Some(closed), why))
                }
                (New::Nothing, None) => {
                    start::open(&dir, passphrase.0, moved).await.map_err(|why| (None, why))
                }
            }
        });
        self.opening = Some(Opening { reply, wait, task });
    }

    pub(super) fn opened(&mut self, (reply, wait, opened): (Reply, Duration, Tried)) {
        let caps = Caps::detect(|_| None, &self.config);
        let started = opened
            .map_err(|(closed, why)| {
                self.closed = closed;
                why
            })
            .map_err(|why| Fault::new(if why == start::WRONG_PASSPHRASE { PASSPHRASE } else { PROFILE }, why))
            .and_then(|opened| {
                let config = start::settings_of(&opened.profile.store, self.config.clone());
                let (parts, relay, held) = opened.into_parts(config, caps);
                match Runtime::start(parts, relay) {
                    Ok((runtime, _)) => Ok(Client { runtime, held }),
                    Err(error) => Err(Fault::new(PROFILE, format!("the profile cannot be used: {error}"))),
                }
            });
        match started {
            Ok(mut client) => {
                // Nobody looks: messages stay unread until `mark_read`.
                client.runtime.step(Event::Focus(false));
                self.client = Some(client);
                self.login = Some((reply, Instant::now() + wait));
                self.settle();
            }
            Err(fault) => self.answer(reply, Err(fault)),
        }
    }
}

pub(super) async fn finished(opening: &mut Option<Opening>) -> (Reply, Duration, Tried) {
    let Some(running) = opening else { return std::future::pending().await };
    let opened = match (&mut running.task).await {
        Ok(opened) => opened,
        Err(fault) => Err((None, format!("the profile could not be opened: {fault}"))),
    };
    let Some(Opening { reply, wait, .. }) = opening.take() else { return std::future::pending().await };
    (reply, wait, opened)
}
