//! Answers of `subrosa rpc` that come later: logins, lookups and lists, once the relay has spoken.

use super::faults::{no_conversation, offline};
use super::methods::{call, person, run, session};
use super::{Session, say, sendable};
use crate::chat::Link;
use crate::rpc::files;
use crate::rpc::place::Place;
use crate::rpc::wire::{Fault, Reply};
use crate::rpc::{NO_ACCOUNT, REFUSED, TIMEOUT};
use crate::runtime::Runtime;
use crate::ui::command::Command;
use serde_json::{Value, json};
use std::time::Duration;
use subrosa_shared::id::{AccountName, MessageId};
use tokio::time::Instant;

/// Somebody whom the relay was asked about.
pub(super) struct Lookup {
    pub(super) reply: Reply,
    name: AccountName,
    until: Instant,
    then: Then,
}

/// What follows a lookup.
pub(super) enum Then {
    Answer,
    Call(Option<String>),
    Send { text: String, reply: Option<MessageId> },
    File { path: String, caption: String },
}

impl Session {
    pub(super) fn look_up(
        &mut self,
        runtime: &mut Runtime,
        reply: Reply,
        name: AccountName,
        then: Then,
    ) -> Option<(Reply, Result<Value, Fault>)> {
        let asked = match then {
            // Who only sends something there goes on where they were.
            Then::Send { .. } | Then::File { .. } => Command::Meet(name.clone()),
            Then::Answer | Then::Call(_) => Command::Add(name.clone()),
        };
        run(runtime, asked);
        self.lookups.push(Lookup { reply, name, until: Instant::now() + LOOKUP, then });
        None
    }

    /// Answers what the new state decides: logins and lookups.
    pub(super) fn settle(&mut self) {
        let Some(client) = self.client.as_mut() else { return };
        let runtime = &mut client.runtime;
        let mut answers = Vec::new();
        let now = Instant::now();
        let refused = match &runtime.app().chat().link {
            Link::Refused { why } => Some(why.clone()),
            _ => None,
        };
        let online = runtime.app().chat().link == Link::Online;
        // Nobody can write to an account whose first keys are still on their way to the relay.
        let reached = online && !runtime.app().publishes();
        if let Some((reply, until)) = self.login.take() {
            match refused {
                Some(why) => answers.push((reply, Err(Fault::new(REFUSED, why)))),
                None if reached || until <= now => {
                    let chat = runtime.app().chat();
                    let result = json!({
                        "name": chat.name.as_str(),
                        "device": runtime.app().device().to_string(),
                        "relay": chat.relay,
                        "online": online,
                    });
                    answers.push((reply, Ok(result)));
                }
                None => self.login = Some((reply, until)),
            }
        }
        if let Some((reply, before)) = self.listing.take() {
            let chat = runtime.app().chat();
            let (listed, refused) = before;
            if chat.listings > listed {
                let sessions: Vec<Value> = chat.sessions.iter().map(session).collect();
                answers.push((reply, Ok(json!({ "sessions": sessions }))));
            } else if chat.listings_refused > refused {
                let why = "the relay does not list them now: a notice says why";
                answers.push((reply, Err(Fault::new(TIMEOUT, why))));
            } else if !online {
                answers.push((reply, Err(offline())));
            } else {
                self.listing = Some((reply, before));
            }
        }
        for waiting in std::mem::take(&mut self.waiting) {
            match waiting.outcome(runtime, now) {
                Some(outcome) => answers.push((waiting.reply, outcome)),
                None => self.waiting.push(waiting),
            }
        }
        for lookup in std::mem::take(&mut self.lookups) {
            let found = runtime.app().chat().with(&lookup.name).map(|room| room.kept.peer.is_some());
            let outcome = match (found, lookup.then) {
                (Some(true), Then::Answer) => {
                    runtime.app().chat().with(&lookup.name).map(person).ok_or_else(no_conversation)
                }
                (Some(true), Then::Call(source)) => call(runtime, &lookup.name, source),
                (Some(true), Then::Send { text, reply: answered }) => {
                    let to = lookup.name;
                    let said = sendable(runtime, &to).and_then(|()| say(runtime, &to, &text, answered));
                    match said {
                        Ok(()) => self.sends.push_back((lookup.reply, to, text)),
                        Err(fault) => answers.push((lookup.reply, Err(fault))),
                    }
                    continue;
                }
                (Some(true), Then::File { path, caption }) => {
                    let to = Place::Person(lookup.name);
                    match files::send(runtime, lookup.reply, to, path, caption) {
                        Ok(reading) => self.reading.push(reading),
                        Err((reply, fault)) => answers.push((reply, Err(fault))),
                    }
                    continue;
                }
                (None, _) => Err(Fault::new(
                    NO_ACCOUNT,
                    format!("nobody is called '{}' at this relay: check the spelling with them", lookup.name),
                )),
                (Some(false), _) if !online => Err(offline()),
                (Some(false), _) if lookup.until <= now => {
                    Err(Fault::new(TIMEOUT, format!("the relay does not say who '{}' is", lookup.name)))
                }
                (Some(false), then) => {
                    self.lookups.push(Lookup { then, ..lookup });
                    continue;
                }
            };
            answers.push((lookup.reply, outcome));
        }
        for (reply, outcome) in answers {
            self.answer(reply, outcome);
        }
    }

    /// When waiting for a login or a lookup is over.
    pub(super) fn due(&self) -> Option<Instant> {
        let lookups = self.lookups.iter().map(|lookup| lookup.until);
        let waiting = self.waiting.iter().map(|waiting| waiting.until);
        lookups.chain(waiting).chain(self.login.as_ref().map(|(_, until)| *until)).min()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.pending() == 0
    }

    pub(super) fn has_room(&self) -> bool {
        self.queue.is_empty() && self.pending() < PENDING_MAX && !self.output.is_full()
    }

    fn pending(&self) -> usize {
        let held = [self.opening.is_some(), self.login.is_some(), self.listing.is_some(), self.is_closing()];
        let held = held.into_iter().filter(|held| *held).count();
        let files = self.exports.len() + self.reading.len();
        held + self.sends.len() + self.lookups.len() + files + self.waiting.len()
    }
}

/// How long the relay may take to say who somebody is.
const LOOKUP: Duration = Duration::from_secs(10);

/// Requests that wait for their answer at most before no further line is read.
const PENDING_MAX: usize = 256;
