//! `subrosa send` and `subrosa tail`: one thing each, for shells.
//!
//! `send` ends with
//!
//! | code | means |
//! |---|---|
//! | 0 | the relay has it on its disk (or they, in a room all others, have it on theirs, with `--wait delivered`) |
//! | 1 | something else went wrong |
//! | 2 | the command line is not right |
//! | 3 | not within the time: what was written stays in the profile and goes out when subrosa next runs |
//! | 4 | nobody has that name at the relay, or this account is in no such room, or in several called so |
//! | 5 | their key has changed, or the safety numbers differed; nothing was sent |
//! | 6 | the profile could not be opened (there is none, another program has it open, wrong passphrase) |
//!
//! `tail` ends with 0 when it is asked to (SIGINT, SIGTERM) or when nobody reads any more, otherwise as
//! above. Both say on standard error what went wrong.
//!
//! A room is written to once the relay has handed over what waited: who is in it may be another than when
//! this profile was last open.

mod send;
mod tail;

pub use send::{Wait, send};
pub use tail::{Form, tail};

use crate::chat::Link;
use crate::config::Config;
use crate::effect::{Effect, Happened};
use crate::event::{Event, LinkEvent};
use crate::passphrase::ask;
use crate::rpc::place::Place;
use crate::rpc::wire;
use crate::runtime::{Next, Runtime};
use crate::start::{self, Held};
use crate::stop::Stop;
use crate::term::Caps;
use crate::ui::command::Command;
use crate::ui::files::{FilesCommand, Which};
use crate::ui::text;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use subrosa_shared::id::{MessageId, RoomId};
use subrosa_shared::protocol::frame::ToDevice;
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::store::profile::Presence;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// How long leaving waits for the relay.
const LINGER: Duration = Duration::from_secs(1);

/// Why it did not work: exit code and sentence.
#[derive(Debug)]
struct Failure(u8, String);

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self(1, why)
    }
}

fn end(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(code, why)) => {
            eprintln!("subrosa: {}", text::line(&why));
            ExitCode::from(code)
        }
    }
}

/// A running client, without anybody who looks.
struct Client {
    runtime: Runtime,
    held: Held,
    /// The relay has handed over what waited, or the first of it.
    caught_up: bool,
    /// What was written last.
    said: Option<(RoomId, MessageId)>,
}

impl Client {
    async fn open(
        dir: &Path,
        config: Config,
        moved: Option<RelayLink>,
        passphrase: Zeroizing<String>,
    ) -> Result<Self, Failure> {
        let opened = start::open(dir, passphrase, moved).await.map_err(|why| Failure(6, why))?;
        let config = start::settings_of(&opened.profile.store, config);
        let caps = Caps::detect(|_| None, &config);
        let (parts, relay, held) = opened.into_parts(config, caps);
        let (mut runtime, _) = Runtime::start(parts, relay)
            .map_err(|error| Failure(6, format!("the profile cannot be used: {error}")))?;
        runtime.step(Event::Focus(false));
        Ok(Self { runtime, held, caught_up: false, said: None })
    }

    /// A conversation that there is by now; an error when none can come by waiting.
    fn find(&self, place: &Place) -> Result<Option<RoomId>, Failure> {
        match place.find(self.runtime.app().chat()) {
            Ok(room) => Ok(Some(room)),
            Err(fault) if fault.code == wire::PARAMS => Err(Failure(4, fault.message)),
            Err(_) if self.caught_up && matches!(place, Place::Room(_)) => {
                let why = format!(
                    "you are in no room '{place}': check the spelling; Ctrl+k in subrosa finds those that you are in"
                );
                Err(Failure(4, why))
            }
            Err(_) => Ok(None),
        }
    }

    /// One step; what it told.
    async fn wait(&mut self) -> Result<Option<Happened>, Failure> {
        match self.runtime.next().await {
            Next::Event(event) => {
                // The relay hands over what waits before it answers the first question behind a login.
                self.caught_up |= matches!(
                    event,
                    Event::Link(LinkEvent::Frame(
                        ToDevice::Devices { .. } | ToDevice::Refused { ask: Some(_), .. }
                    ))
                );
                self.runtime.step(event);
                self.refused()?;
                Ok(None)
            }
            Next::Done(Effect::Tell(happened)) => Ok(Some(happened)),
            Next::Done(_) => Ok(None),
        }
    }

    /// An error once the relay will not have us.
    fn refused(&self) -> Result<(), Failure> {
        match &self.runtime.app().chat().link {
            Link::Refused { why } => Err(Failure(1, why.clone())),
            _ => Ok(()),
        }
    }

    /// Gives receipts a moment, then writes the rest.
    async fn leave(mut self, stop: &mut Stop) -> Result<(), Failure> {
        let until = Instant::now() + LINGER;
        // What is still being read is no message yet, and does not become one.
        for id in self.runtime.app().chat().attaching.clone() {
            self.runtime.step(Event::Run(Command::Files(FilesCommand::Cancel(Which::Of(id)))));
        }
        self.runtime.step(Event::Run(Command::Quit));
        let mut written = false;
        loop {
            let chat = self.runtime.app().chat();
            if written && (chat.waiting == 0 || chat.link != Link::Online) {
                break;
            }
            match tokio::time::timeout_at(until, self.runtime.next()).await {
                Ok(Next::Event(event)) => drop(self.runtime.step(event)),
                Ok(Next::Done(Effect::Quit)) => written = true,
                Ok(Next::Done(_)) => {}
                Err(_) => break,
            }
        }
        let saved = self.runtime.finish(stop.asked()).await;
        self.held.close().await;
        if saved {
            Ok(())
        } else {
            Err(Failure(1, "the last changes could not be written: the disk is full or broken".into()))
        }
    }
}

/// The passphrase of a profile that is there: from the environment, or asked on the terminal.
async fn passphrase(dir: &Path) -> Result<Zeroizing<String>, Failure> {
    if start::look(dir).map_err(|why| Failure(6, why))? == Presence::Absent {
        return Err(Failure(6, "there is no profile yet: start `subrosa` once, or `subrosa rpc`".into()));
    }
    if let Ok(passphrase) = std::env::var("SUBROSA_PASSPHRASE") {
        return Ok(Zeroizing::new(passphrase));
    }
    let asked =
        tokio::task::spawn_blocking(|| ask("passphrase: ")).await.map_err(|error| error.to_string())?;
    asked
        .map_err(|_| {
            Failure(6, "there is no terminal to ask for the passphrase: set SUBROSA_PASSPHRASE".into())
        })?
        .ok_or_else(|| Failure(6, "no passphrase was given".into()))
}
