//! Ending a client of `subrosa rpc`: locking, burning, leaving.

use super::methods::run;
use super::{Client, LINGER_END, LINGER_STOP, Session};
use crate::chat::Link;
use crate::effect::Effect;
use crate::event::Event;
use crate::lock::{Closed, Leaving, scrub};
use crate::rpc::method::Method;
use crate::rpc::output::Output;
use crate::rpc::wire::{Fault, PARAMS, Reply};
use crate::rpc::{LOCKED, PROFILE, STORE};
use crate::runtime::Next;
use crate::stop::Stop;
use crate::ui::command::Command;
use serde_json::json;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A client that is being locked or burnt.
pub(super) struct Closing {
    reply: Reply,
    task: JoinHandle<Result<Option<Closed>, Fault>>,
}

impl Session {
    /// Begins to lock or to burn; what was asked and not answered ends with it.
    pub(super) fn lock(&mut self, reply: Reply, method: &Method) {
        let Some(client) = &mut self.client else { return };
        let command = match method {
            Method::Burn { name, sure } if *sure && *name == client.runtime.app().chat().name => {
                Command::Burn(Some(name.clone()))
            }
            Method::Burn { .. } => {
                let fault = Fault::new(
                    PARAMS,
                    "to burn it, give your own account name and sure: true; nothing was done",
                );
                return self.answer(reply, Err(fault));
            }
            _ => Command::Lock,
        };
        run(&mut client.runtime, command);
        self.leaving = Some(reply);
    }

    /// All is written: lets go of everything.
    pub(super) fn close(&mut self, reply: Reply) {
        let Some(Client { runtime, held }) = self.client.take() else { return };
        runtime.studio().set_sink(None);
        self.sink = None;
        for reply in self.unanswered() {
            self.answer(
                reply,
                Err(Fault::new(LOCKED, "it was locked before that was done: unlock it and ask again")),
            );
        }
        let (leaving, halves) = (runtime.app().leaving(), runtime.app().halves());
        let task = tokio::spawn(Box::pin(async move {
            let written = runtime.finish(std::future::pending()).await;
            scrub();
            match leaving {
                Some(Leaving::Burn) => {
                    crate::burn::halves(&halves);
                    let burnt = held.lock().burn().await;
                    burnt.map(|()| None).map_err(|error| Fault::new(PROFILE, crate::burn::unfinished(&error)))
                }
                _ if written => Ok(Some(held.lock())),
                _ => {
                    held.close().await;
                    Err(Fault::new(STORE, "the store could not be written to the end; end this program"))
                }
            }
        }));
        self.closing = Some(Closing { reply, task });
    }

    pub(super) fn has_closed(&mut self, (reply, closed): (Reply, Result<Option<Closed>, Fault>)) {
        scrub();
        let outcome = closed.map(|closed| {
            self.closed = closed;
            json!({})
        });
        self.answer(reply, outcome);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.leaving.is_some() || self.closing.is_some()
    }

    /// Writes what is to be written, waits a little for the relay, ends. Gives what still has to be
    /// read.
    pub(super) async fn leave(mut self, mut linger: Duration, stop: &mut Stop) -> Output {
        let first = Instant::now() + if linger == LINGER_STOP { LINGER_STOP } else { LINGER_END };
        // A profile that is being opened is let go when the task ends: nothing depends on it.
        self.opening = None;
        if let Some(closing) = self.closing.take() {
            // Whatever was begun is carried through.
            let closed =
                closing.task.await.unwrap_or_else(|fault| Err(Fault::new(PROFILE, fault.to_string())));
            self.has_closed((closing.reply, closed));
        }
        if let Some(closed) = self.closed.take() {
            closed.close().await;
        }
        // What the relay was asked first goes out yet, or is refused; so does what waits for keys of somebody new.
        while self.asks_first()
            && let Some(client) = &mut self.client
        {
            tokio::select! {
                biased;
                () = stop.asked() => {
                    linger = LINGER_STOP;
                    break;
                }
                next = tokio::time::timeout_at(first, client.runtime.next()) => match next {
                    Ok(next) => self.next(next),
                    Err(_) => break,
                },
            }
        }
        let mut until = first.min(Instant::now() + linger);
        self.step(Event::Run(Command::Quit));
        let mut written = false;
        while let Some(client) = &mut self.client {
            let chat = client.runtime.app().chat();
            let taken = chat.waiting == 0 || chat.link != Link::Online;
            if written && taken {
                break;
            }
            tokio::select! {
                biased;
                () = stop.asked() => until = until.min(Instant::now() + LINGER_STOP),
                next = tokio::time::timeout_at(until, client.runtime.next()) => match next {
                    Ok(Next::Done(Effect::Quit)) => written = true,
                    Ok(next) => self.next(next),
                    Err(_) => break,
                },
            }
        }
        if let Some(Client { runtime, held }) = self.client.take() {
            runtime.studio().set_sink(None);
            written = runtime.finish(stop.asked()).await;
            held.close().await;
        } else {
            written = true;
        }
        for reply in self.unanswered().into_iter().chain(self.leaving.take()).collect::<Vec<_>>() {
            self.answer(reply, Err(Fault::new(STORE, "the client ended before that was done")));
        }
        if let Some(reply) = self.quit.take() {
            let outcome = if written {
                Ok(json!({}))
            } else {
                Err(Fault::new(STORE, "the store could not be written to the end"))
            };
            self.answer(reply, outcome);
        }
        self.output
    }

    /// Whether the relay is still to say something before what was written can be handed to it.
    fn asks_first(&self) -> bool {
        let Some(client) = &self.client else { return false };
        let app = client.runtime.app();
        let waits = !self.sends.is_empty() || self.said.is_some_and(|id| app.on_its_way(&id));
        !self.lookups.is_empty() || (waits && app.chat().link == Link::Online)
    }

    /// Requests whose answer depends on the client.
    pub(super) fn unanswered(&mut self) -> Vec<Reply> {
        let sends = std::mem::take(&mut self.sends).into_iter().map(|(reply, ..)| reply);
        let lookups = std::mem::take(&mut self.lookups).into_iter().map(|lookup| lookup.reply);
        let exports = std::mem::take(&mut self.exports);
        let login = self.login.take().map(|(reply, _)| reply);
        let listing = self.listing.take().map(|(reply, _)| reply);
        let waiting = std::mem::take(&mut self.waiting).into_iter().map(|waiting| waiting.reply);
        let reading = std::mem::take(&mut self.reading).into_iter().map(|reading| reading.reply);
        let sends = sends.chain(reading);
        sends.chain(exports).chain(lookups).chain(login).chain(listing).chain(waiting).collect()
    }
}

pub(super) async fn ended_up(closing: &mut Option<Closing>) -> (Reply, Result<Option<Closed>, Fault>) {
    let Some(running) = closing else { return std::future::pending().await };
    let closed = match (&mut running.task).await {
        Ok(closed) => closed,
        Err(fault) => Err(Fault::new(PROFILE, format!("the profile could not be closed: {fault}"))),
    };
    let Some(Closing { reply, .. }) = closing.take() else { return std::future::pending().await };
    (reply, closed)
}
