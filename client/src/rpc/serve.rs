//! The one loop of `subrosa rpc`: requests begin in their order, events are told, answers go out when
//! there is something to answer.

use super::event::{self, Kind};
use super::lines;
use super::method::{Method, Secret};
use super::output::Output;
use super::place::Place;
use super::profile;
use super::rooms;
use super::search;
use super::sink::Sink;
use super::wire::{self, Answers, Fault, Line, Reply, Request};
use super::{FILE, LOCKED, UNDECIDED};
use super::{devices, files};
use crate::chat::Link;
use crate::chat::call::CallState;
use crate::chat::timeline::Author;
use crate::config::Config;
use crate::effect::{Effect, Happened};
use crate::event::Event;
use crate::lock::Closed;
use crate::runtime::{Next, Runtime};
use crate::start::Held;
use crate::stop::Stop;
use crate::ui::act::LineCommand;
use crate::ui::command::{self, Command};
use closing::{Closing, ended_up};
use faults::{key_changed, own_name};
use later::{Lookup, Then};
use methods::{
    call, contacts, decided, distrust, history, in_call, open_room, person, petnamed, trust, verify,
};
use opening::{New, Opening, finished};
use serde_json::{Value, json};
use std::collections::{BTreeSet, VecDeque};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use subrosa_shared::id::{AccountName, MessageId};
use subrosa_shared::protocol::link::RelayLink;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub(super) use faults::{no_conversation, offline};
pub(super) use methods::run;

mod closing;
mod faults;
mod later;
mod methods;
mod opening;
mod state;

/// How long leaving waits for the relay to take what was sent, at the end of the input.
const LINGER_END: Duration = Duration::from_secs(10);
/// See [`LINGER_END`]; after `quit`, once the relay has said what messages wait for.
const LINGER_QUIT: Duration = Duration::from_secs(2);
/// See [`LINGER_END`]; after SIGTERM or SIGINT, and when nobody reads any more.
const LINGER_STOP: Duration = Duration::from_secs(1);

/// Serves requests from `input` until it ends, `quit` or a signal; `moved` as in [`super::run`].
///
/// # Errors
/// A sentence, when the system gives us no thread.
pub async fn serve(
    dir: &Path,
    config: Config,
    moved: Option<RelayLink>,
    mut input: mpsc::Receiver<Line>,
    output: impl Write + Send + 'static,
    stop: &mut Stop,
) -> Result<(), String> {
    let (faults, mut faults_inbox) = mpsc::unbounded_channel();
    let mut session = Session {
        dir: dir.to_path_buf(),
        config,
        moved,
        output: Output::start(output).map_err(|error| error.to_string())?,
        answers: Answers::default(),
        queue: VecDeque::new(),
        events: BTreeSet::new(),
        client: None,
        closed: None,
        opening: None,
        leaving: None,
        closing: None,
        login: None,
        sends: VecDeque::new(),
        said: None,
        lookups: Vec::new(),
        listing: None,
        waiting: Vec::new(),
        reading: Vec::new(),
        exports: VecDeque::new(),
        sink: None,
        faults,
        quit: None,
    };
    let mut ended = false;
    let (linger, limit) = loop {
        session.begin();
        if session.quit.is_some() {
            break (LINGER_QUIT, None);
        }
        if ended && session.is_idle() {
            break (LINGER_END, None);
        }
        if session.output.is_broken() {
            break (LINGER_STOP, Some(LINGER_STOP));
        }
        let (read, due) = (!ended && session.has_room(), session.due());
        tokio::select! {
            biased;
            () = stop.asked() => break (LINGER_STOP, Some(LINGER_STOP)),
            opened = finished(&mut session.opening) => session.opened(opened),
            closed = ended_up(&mut session.closing) => session.has_closed(closed),
            next = next(&mut session.client) => session.next(next),
            Some(why) = faults_inbox.recv() => session.step(Event::Notice { text: why, error: true }),
            () = until(due) => session.settle(),
            () = session.output.changed() => {}
            line = input.recv(), if read => match line {
                Some(line) => {
                    let requests = session.answers.expect(wire::read(&line));
                    session.queue.extend(requests);
                }
                None => ended = true,
            },
        }
    };
    let output = session.leave(linger, stop).await;
    tokio::select! {
        () = output.close(limit) => {}
        // A reader that takes nothing more must not keep us against a second wish.
        () = stop.asked() => {}
    }
    Ok(())
}

/// A running client.
struct Client {
    runtime: Runtime,
    held: Held,
}

struct Session {
    dir: PathBuf,
    config: Config,
    /// Where the relay of the profile is by now, as the command line says.
    moved: Option<RelayLink>,
    output: Output,
    answers: Answers,
    /// Requests that were read and not begun.
    queue: VecDeque<(Reply, Result<Request, Fault>)>,
    events: BTreeSet<Kind>,
    client: Option<Client>,
    /// What is left of a locked one.
    closed: Option<Closed>,
    opening: Option<Opening>,
    /// `lock` or `burn`: until all is written, and until all is let go.
    leaving: Option<Reply>,
    closing: Option<Closing>,
    /// `register` or `unlock`, until the login.
    login: Option<(Reply, Instant)>,
    /// Texts on their way to the disk, in their order.
    sends: VecDeque<(Reply, AccountName, String)>,
    /// The newest own line of this run.
    said: Option<MessageId>,
    lookups: Vec<Lookup>,
    /// Who asked for the account's connections, and how many lists there were before.
    listing: Option<(Reply, (u32, u32))>,
    /// Who waits for the relay to change something about devices.
    waiting: Vec<devices::Waiting>,
    /// Files that are being read before they are sent.
    reading: Vec<files::Reading>,
    /// Exports on their way to the disk, in their order.
    exports: VecDeque<Reply>,
    sink: Option<Sink>,
    faults: mpsc::UnboundedSender<String>,
    /// The request to leave.
    quit: Option<Reply>,
}

impl Session {
    /// Begins what was asked, up to a request that holds back the others.
    fn begin(&mut self) {
        while self.opening.is_none() && self.login.is_none() && self.quit.is_none() && !self.is_closing() {
            let Some((reply, request)) = self.queue.pop_front() else { return };
            let method = request.and_then(|request| Method::parse(&request.method, request.params));
            match method {
                Ok(method) => self.run(reply, method),
                Err(fault) => self.answer(reply, Err(fault)),
            }
        }
    }

    fn run(&mut self, reply: Reply, method: Method) {
        let outcome = match method {
            Method::Version => Ok(json!({"name": "subrosa", "version": env!("CARGO_PKG_VERSION")})),
            Method::Status => self.status(),
            Method::Subscribe(kinds) => {
                self.events.extend(kinds);
                Ok(self.subscribed())
            }
            Method::Unsubscribe(kinds) => {
                self.events.retain(|kind| !kinds.contains(kind));
                Ok(self.subscribed())
            }
            Method::Register { name, passphrase, relay, wait } => {
                return self.open(reply, New::Account { name, relay }, passphrase, wait);
            }
            Method::SignIn { name, password, passphrase, relay, wait } => {
                return self.open(reply, New::SignIn { name, password, relay }, passphrase, wait);
            }
            Method::Unlock { passphrase, wait } => return self.open(reply, New::Nothing, passphrase, wait),
            Method::Quit => {
                self.quit = Some(reply);
                return;
            }
            Method::Lock | Method::Burn { .. } if self.client.is_some() => return self.lock(reply, &method),
            method => match self.client.take() {
                Some(mut client) => {
                    let outcome = self.run_open(&mut client, reply, method);
                    self.client = Some(client);
                    self.settle();
                    match outcome {
                        Some((reply, outcome)) => return self.answer(reply, outcome),
                        None => return,
                    }
                }
                None => Err(Fault::new(LOCKED, "the profile is not open: unlock it, or register")),
            },
        };
        self.answer(reply, outcome);
    }

    /// What needs an open profile. Gives the answer, unless it comes later.
    fn run_open(
        &mut self,
        client: &mut Client,
        reply: Reply,
        method: Method,
    ) -> Option<(Reply, Result<Value, Fault>)> {
        let runtime = &mut client.runtime;
        let outcome = match method {
            Method::Contacts => Ok(contacts(runtime)),
            Method::Add(name) => match self.known(runtime, &name) {
                Ok(true) => {
                    run(runtime, Command::Add(name.clone()));
                    runtime.app().chat().with(&name).map(person).ok_or_else(no_conversation)
                }
                Ok(false) => return self.look_up(runtime, reply, name, Then::Answer),
                Err(fault) => Err(fault),
            },
            Method::Send { to, text, reply: answered } => {
                match sendable(runtime, &to).and_then(|()| self.known(runtime, &to)) {
                    Ok(true) => match say(runtime, &to, &text, answered) {
                        Ok(()) => {
                            self.sends.push_back((reply, to, text));
                            return None;
                        }
                        Err(fault) => Err(fault),
                    },
                    // Kept for a name that nobody has, it would go to whoever takes that one day.
                    Ok(false) => {
                        return self.look_up(runtime, reply, to, Then::Send { text, reply: answered });
                    }
                    Err(fault) => Err(fault),
                }
            }
            Method::Act { with, id, command } => lines::act(runtime, &with, id, command),
            Method::Pins(with) => lines::pins(runtime, &with),
            Method::Mute { with, level, seconds } => lines::rings(runtime, &with, level, seconds),
            Method::Search { query, limit, before } => search::found(runtime, &query, limit, before),
            Method::History { with, limit, before } => {
                let room = runtime.app().chat().with(&with).ok_or_else(no_conversation);
                room.and_then(|room| history(runtime, room, limit, before))
            }
            Method::RoomHistory { room, limit, before } => {
                let chat = runtime.app().chat();
                let room = rooms::find(chat, &room);
                let room = room.and_then(|id| chat.room(id).ok_or_else(no_conversation));
                room.and_then(|room| history(runtime, room, limit, before))
            }
            Method::Room(method) => rooms::serve(runtime, method),
            Method::MarkRead(with) => open_room(runtime, &with).map(|()| {
                // A moment in which the newest line is seen.
                runtime.step(Event::Focus(true));
                runtime.step(Event::Focus(false));
                let unread = runtime.app().chat().with(&with).map_or(0, |room| room.kept.unread);
                json!({ "unread": unread })
            }),
            Method::Call { to, source } => match self.known(runtime, &to) {
                Ok(true) => call(runtime, &to, source),
                Ok(false) => return self.look_up(runtime, reply, to, Then::Call(source)),
                Err(fault) => Err(fault),
            },
            Method::Answer(source) => {
                in_call(runtime, Some(CallState::Ringing)).map(|_| run(runtime, Command::Answer(source)))
            }
            Method::Decline => {
                in_call(runtime, Some(CallState::Ringing)).map(|_| run(runtime, Command::Decline))
            }
            Method::Accept(with) => decided(runtime, &with, |room| room.person.is_request()).map(|()| {
                run(runtime, Command::Accept(Some(with)));
                json!({})
            }),
            Method::DeclineRequest(with) => {
                decided(runtime, &with, |room| room.person.is_request()).map(|()| {
                    run(runtime, Command::DeclineRequest(Some(with)));
                    json!({})
                })
            }
            Method::Block(with) if runtime.app().chat().name == with => Err(own_name()),
            Method::Block(with) => Ok(run(runtime, Command::Block(Some(with)))),
            Method::Unblock(with) => decided(runtime, &with, |room| room.person.blocked).map(|()| {
                run(runtime, Command::Unblock(Some(with)));
                json!({})
            }),
            Method::Petname { with, petname } => petnamed(runtime, with, petname),
            Method::Profile(with) => profile::shown(runtime, with.as_ref()),
            Method::SetProfile(changes) => profile::change(runtime, changes),
            Method::Sessions | Method::EndSession(_) if runtime.app().chat().link != Link::Online => {
                Err(offline())
            }
            Method::Sessions if self.listing.is_some() => {
                Err(Fault::new(wire::INVALID, "the connections are being listed already"))
            }
            Method::Sessions => {
                let chat = runtime.app().chat();
                self.listing = Some((reply, (chat.listings, chat.listings_refused)));
                run(runtime, Command::Sessions(None));
                return None;
            }
            Method::EndSession(number) => Ok(run(runtime, Command::Sessions(Some(number)))),
            Method::Files => Ok(files::list(runtime)),
            Method::File { change, id, folder } => files::change(runtime, change, id, folder),
            Method::SendFile { to, path, caption } => {
                let known = sendable_in(runtime, &to).and_then(|()| match &to {
                    Place::Person(name) => self.known(runtime, name),
                    Place::Room(_) => Ok(true),
                });
                match (known, to) {
                    // As a text to them; and it may be large.
                    (Ok(false), Place::Person(name)) => {
                        return self.look_up(runtime, reply, name, Then::File { path, caption });
                    }
                    (Ok(_), to) => match files::send(runtime, reply, to, path, caption) {
                        Ok(reading) => {
                            self.reading.push(reading);
                            return None;
                        }
                        Err((reply, fault)) => return Some((reply, Err(fault))),
                    },
                    (Err(fault), _) => Err(fault),
                }
            }
            Method::Devices => Ok(devices::list(runtime)),
            Method::NameDevice(name) => devices::name(runtime, name),
            Method::LinkDevice(_) if self.waiting.iter().any(devices::Waiting::links) => Err(Fault::new(
                wire::INVALID,
                "another machine is being linked: wait for that answer, and call again",
            )),
            Method::LinkDevice(_) | Method::RemoveDevice { .. } => {
                let asked = match method {
                    Method::RemoveDevice { device, sure } => devices::remove(runtime, &device, sure),
                    Method::LinkDevice(code) => devices::link(runtime, code),
                    _ => devices::link(runtime, None),
                };
                match asked {
                    Ok(change) => {
                        self.waiting.push(devices::Waiting::new(reply, change));
                        return None;
                    }
                    Err(fault) => Err(fault),
                }
            }
            Method::SetPassword { passphrase, password } => {
                let secret = |secret: Secret| command::Secret(secret.0);
                let (passphrase, password) = (secret(passphrase), secret(password));
                Ok(run(runtime, Command::SetPassword { passphrase, password }))
            }
            Method::Verify { with, given } => verify(runtime, &with, given),
            Method::Expire { with, seconds } => with.find(runtime.app().chat()).map(|room| {
                run(runtime, Command::Open(room));
                run(runtime, Command::Expire(Some(seconds)));
                let holds = runtime.app().chat().room(room).map_or(0, |room| room.timeline.timer());
                json!({ "seconds": holds })
            }),
            Method::Hangup => in_call(runtime, None).map(|_| run(runtime, Command::Hangup)),
            Method::Camera(on) => in_call(runtime, None).map(|paused| {
                if paused == on {
                    run(runtime, Command::Camera);
                }
                json!({ "on": on })
            }),
            Method::Sink { path, fps } => self.set_sink(runtime, path, fps),
            Method::CallStats => self.stats(runtime),
            Method::Trust { with, device } => trust(runtime, &with, device.as_deref()),
            Method::Distrust { with, device } => distrust(runtime, &with, device.as_deref()),
            Method::Export { with, path } => {
                let command = match with {
                    Some(with) => with.find(runtime.app().chat()).map(|room| {
                        run(runtime, Command::Open(room));
                        Command::Export(path)
                    }),
                    None => Ok(Command::ExportAll(path)),
                };
                match command {
                    Ok(command) => {
                        run(runtime, command);
                        self.exports.push_back(reply);
                        return None;
                    }
                    Err(fault) => Err(fault),
                }
            }
            Method::ExportKeys { path, passphrase } => {
                run(runtime, Command::ExportKeys(path, Some(command::Secret(passphrase.0))));
                self.exports.push_back(reply);
                return None;
            }
            Method::Command(command @ Command::Export(_)) => {
                if runtime.app().chat().current().is_none() {
                    Err(no_conversation())
                } else {
                    run(runtime, command);
                    self.exports.push_back(reply);
                    return None;
                }
            }
            Method::Command(command) => Ok(run(runtime, command)),
            Method::Version
            | Method::Status
            | Method::Subscribe(_)
            | Method::Unsubscribe(_)
            | Method::Register { .. }
            | Method::SignIn { .. }
            | Method::Unlock { .. }
            | Method::Lock
            | Method::Burn { .. }
            | Method::Quit => Err(Fault::new(wire::INVALID, "that needs no open profile")),
        };
        Some((reply, outcome))
    }

    fn next(&mut self, next: Next) {
        match next {
            Next::Event(event) => {
                // Only an export has something to say that way, and exports are written in order.
                if let Event::Notice { text, error } = &event
                    && let Some(reply) = self.exports.pop_front()
                {
                    let outcome = if *error {
                        Err(Fault::new(FILE, text.clone()))
                    } else {
                        Ok(json!({ "note": text }))
                    };
                    self.answer(reply, outcome);
                }
                let mut read = Vec::new();
                if let Event::Transfer(report) = &event {
                    let done = |reading: &mut files::Reading| reading.outcome(report).is_some();
                    let done: Vec<files::Reading> = self.reading.extract_if(.., done).collect();
                    read.extend(done.into_iter().filter_map(|reading| {
                        let outcome = reading.outcome(report)?;
                        Some((reading, outcome))
                    }));
                }
                self.step(event);
                for (reading, outcome) in read {
                    let outcome = match &self.client {
                        Some(client) => reading.answer(&client.runtime, outcome),
                        None => outcome,
                    };
                    self.answer(reading.reply, outcome);
                }
            }
            Next::Done(Effect::Tell(happened)) => {
                if let Happened::Line { id, author: Author::Me, .. } = &happened {
                    self.said = Some(*id);
                }
                if let Happened::Line { with, id, author: Author::Me, body, .. } = &happened
                    && let Some(at) = self.sends.iter().position(|(_, to, text)| *with == *to && text == body)
                    && let Some((reply, ..)) = self.sends.remove(at)
                {
                    self.answer(reply, Ok(json!({ "id": id.to_string() })));
                }
                let (kind, params) = event::told(&happened);
                if self.events.contains(&kind) {
                    self.output.event(&wire::notification(kind.name(), params));
                }
            }
            Next::Done(Effect::Quit) => {
                if let Some(reply) = self.leaving.take() {
                    self.close(reply);
                }
            }
            Next::Done(_) => {}
        }
    }

    fn step(&mut self, event: Event) {
        if let Some(client) = &mut self.client {
            client.runtime.step(event);
            self.settle();
        }
    }

    fn answer(&mut self, reply: Reply, outcome: Result<Value, Fault>) {
        if let Some(message) = self.answers.settle(reply, outcome) {
            self.output.answer(&message);
        }
    }
}

/// Says something to somebody who is known.
fn say(
    runtime: &mut Runtime,
    to: &AccountName,
    text: &str,
    answered: Option<MessageId>,
) -> Result<(), Fault> {
    match answered {
        Some(id) => {
            let command = LineCommand::Reply(Some(text.to_owned()));
            lines::act(runtime, &Place::Person(to.clone()), id, command)?;
        }
        None => drop(run(runtime, Command::Tell(to.clone(), text.to_owned()))),
    }
    Ok(())
}

/// Whether something may go out to that person.
fn sendable(runtime: &Runtime, to: &AccountName) -> Result<(), Fault> {
    let chat = runtime.app().chat();
    if chat.name == *to {
        Err(own_name())
    } else if chat.with(to).is_some_and(|room| room.trouble().is_some()) {
        Err(key_changed(to))
    } else if chat.with(to).is_some_and(|room| room.person.blocked) {
        Err(Fault::new(UNDECIDED, format!("'{to}' is blocked: unblock them first")))
    } else {
        Ok(())
    }
}

/// The same for a conversation.
pub(super) fn sendable_in(runtime: &Runtime, to: &Place) -> Result<(), Fault> {
    match to {
        Place::Person(name) => sendable(runtime, name),
        Place::Room(room) => rooms::sayable(runtime, rooms::find(runtime.app().chat(), room)?),
    }
}

async fn next(client: &mut Option<Client>) -> Next {
    match client {
        Some(client) => client.runtime.next().await,
        None => std::future::pending().await,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
