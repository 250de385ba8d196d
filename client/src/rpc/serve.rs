//! The one loop of `subrosa rpc`: requests begin in their order, events are told, answers go out when
//! there is something to answer.

use super::devices;
use super::event::{self, Kind};
use super::method::{Method, Secret};
use super::output::Output;
use super::profile;
use super::sink::Sink;
use super::wire::{self, Answers, Fault, Line, PARAMS, Reply, Request};
use super::{
    ALREADY_OPEN, BUSY, FILE, KEY_CHANGED, LOCKED, NO_ACCOUNT, NO_CALL, NO_CONVERSATION, OFFLINE, PASSPHRASE,
    PROFILE, REFUSED, STORE, TIMEOUT, UNDECIDED,
};
use crate::app::history;
use crate::chat::Link;
use crate::chat::call::CallState;
use crate::chat::room::Room;
use crate::chat::timeline::Author;
use crate::config::Config;
use crate::effect::{Effect, Happened};
use crate::event::Event;
use crate::lock::{Closed, Leaving, scrub};
use crate::runtime::{Next, Runtime};
use crate::start::{self, Held, Opened};
use crate::stop::Stop;
use crate::term::Caps;
use crate::ui::command::{self, Command};
use crate::ui::setup::RelayChoice;
use serde_json::{Value, json};
use std::collections::{BTreeSet, VecDeque};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::protocol::password;
use subrosa_shared::session::safety::Compared;
use subrosa_shared::store::profile::Presence;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long the relay may take to say who somebody is.
const LOOKUP: Duration = Duration::from_secs(10);
/// Requests that wait for their answer at most before no further line is read.
const PENDING_MAX: usize = 256;
/// How long leaving waits for the relay to take what was sent, at the end of the input.
const LINGER_END: Duration = Duration::from_secs(10);
/// See [`LINGER_END`]; after `quit`.
const LINGER_QUIT: Duration = Duration::from_secs(2);
/// See [`LINGER_END`]; after SIGTERM or SIGINT, and when nobody reads any more.
const LINGER_STOP: Duration = Duration::from_secs(1);

/// Serves requests from `input` until it ends, `quit` or a signal.
///
/// # Errors
/// A sentence, when the system gives us no thread.
pub async fn serve(
    dir: &Path,
    config: Config,
    mut input: mpsc::Receiver<Line>,
    output: impl Write + Send + 'static,
    stop: &mut Stop,
) -> Result<(), String> {
    let (faults, mut faults_inbox) = mpsc::unbounded_channel();
    let mut session = Session {
        dir: dir.to_path_buf(),
        config,
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
        lookups: Vec::new(),
        listing: None,
        waiting: Vec::new(),
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
    let output = session.leave(linger).await;
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

/// An open profile, or what stays locked, and why.
type Tried = Result<Opened, (Option<Closed>, String)>;

/// A profile that is being opened.
struct Opening {
    reply: Reply,
    wait: Duration,
    task: JoinHandle<Tried>,
}

/// A client that is being locked or burnt.
struct Closing {
    reply: Reply,
    task: JoinHandle<Result<Option<Closed>, Fault>>,
}

/// How a profile comes to be.
enum New {
    /// It is there.
    Nothing,
    /// With a new account.
    Account { name: AccountName, relay: RelayChoice },
    /// With one that has a login password.
    SignIn { name: AccountName, password: Secret, relay: RelayLink },
}

/// Somebody whom the relay was asked about.
struct Lookup {
    reply: Reply,
    name: AccountName,
    until: Instant,
    then: Then,
}

/// What follows a lookup.
enum Then {
    Answer,
    Call(Option<String>),
}

struct Session {
    dir: PathBuf,
    config: Config,
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
    lookups: Vec<Lookup>,
    /// Who asked for the account's connections, and how many lists there were before.
    listing: Option<(Reply, u32)>,
    /// Who waits for the relay to change something about devices.
    waiting: Vec<devices::Waiting>,
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
            Method::Send { to, text } => {
                let chat = runtime.app().chat();
                if chat.name == to {
                    Err(own_name())
                } else if chat.with(&to).is_some_and(|room| room.trouble().is_some()) {
                    Err(key_changed(&to))
                } else if chat.with(&to).is_some_and(|room| room.person.blocked) {
                    Err(Fault::new(UNDECIDED, format!("'{to}' is blocked: unblock them first")))
                } else {
                    run(runtime, Command::Tell(to.clone(), text.clone()));
                    self.sends.push_back((reply, to, text));
                    return None;
                }
            }
            Method::History { with, limit, before } => lines(runtime, &with, limit, before),
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
                self.listing = Some((reply, runtime.app().chat().listings));
                run(runtime, Command::Sessions(None));
                return None;
            }
            Method::EndSession(number) => Ok(run(runtime, Command::Sessions(Some(number)))),
            Method::Devices => Ok(devices::list(runtime)),
            Method::NameDevice(name) => devices::name(runtime, name),
            Method::LinkDevice | Method::RemoveDevice { .. } => {
                let asked = match method {
                    Method::RemoveDevice { device, sure } => devices::remove(runtime, &device, sure),
                    _ => devices::link(runtime),
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
            Method::Expire { with, seconds } => open_room(runtime, &with).map(|()| {
                run(runtime, Command::Expire(Some(seconds)));
                json!({ "seconds": seconds })
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
            Method::Export { with, path } => {
                let command = match with {
                    Some(with) => open_room(runtime, &with).map(|()| Command::Export(path)),
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

    // ---- opening

    fn open(&mut self, reply: Reply, new: New, passphrase: Secret, wait: Duration) {
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
        let closed = self.closed.take();
        let task = tokio::spawn(async move {
            match (new, closed) {
                (New::Account { name, relay }, _) => {
                    start::create(&dir, name, passphrase.0, relay).await.map_err(|why| (None, why))
                }
                (New::SignIn { name, password, relay }, _) => {
                    let opened = start::sign_in(&dir, name, password.0, passphrase.0, relay).await;
                    opened.map_err(|why| (None, why))
                }
                (New::Nothing, Some(closed)) => {
                    closed.open(passphrase.0).await.map_err(|(closed, why)| (Some(closed), why))
                }
                (New::Nothing, None) => start::open(&dir, passphrase.0).await.map_err(|why| (None, why)),
            }
        });
        self.opening = Some(Opening { reply, wait, task });
    }

    fn opened(&mut self, (reply, wait, opened): (Reply, Duration, Tried)) {
        let caps = Caps::detect(|_| None, &self.config);
        let started = opened
            .map_err(|(closed, why)| {
                self.closed = closed;
                why
            })
            .map_err(|why| Fault::new(if why == start::WRONG_PASSPHRASE { PASSPHRASE } else { PROFILE }, why))
            .and_then(|opened| {
                let (parts, relay, held) = opened.into_parts(self.config.clone(), caps);
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

    // ---- closing

    /// Begins to lock or to burn; what was asked and not answered ends with it.
    fn lock(&mut self, reply: Reply, method: &Method) {
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
    fn close(&mut self, reply: Reply) {
        let Some(Client { runtime, held }) = self.client.take() else { return };
        runtime.studio().set_sink(None);
        self.sink = None;
        for reply in self.unanswered() {
            self.answer(
                reply,
                Err(Fault::new(LOCKED, "it was locked before that was done: unlock it and ask again")),
            );
        }
        let leaving = runtime.app().leaving();
        let task = tokio::spawn(Box::pin(async move {
            let written = runtime.finish().await;
            scrub();
            match leaving {
                Leaving::Burn => {
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

    fn has_closed(&mut self, (reply, closed): (Reply, Result<Option<Closed>, Fault>)) {
        scrub();
        let outcome = closed.map(|closed| {
            self.closed = closed;
            json!({})
        });
        self.answer(reply, outcome);
    }

    fn is_closing(&self) -> bool {
        self.leaving.is_some() || self.closing.is_some()
    }

    // ---- what happens

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
                self.step(event);
            }
            Next::Done(Effect::Tell(happened)) => {
                if let Happened::Line { with, id, author: Author::Me, body, .. } = &happened
                    && let Some(at) = self.sends.iter().position(|(_, to, text)| to == with && text == body)
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

    /// Answers what the new state decides: logins and lookups.
    fn settle(&mut self) {
        let Some(client) = self.client.as_mut() else { return };
        let runtime = &mut client.runtime;
        let mut answers = Vec::new();
        let now = Instant::now();
        let refused = match &runtime.app().chat().link {
            Link::Refused { why } => Some(why.clone()),
            _ => None,
        };
        let online = runtime.app().chat().link == Link::Online;
        if let Some((reply, until)) = self.login.take() {
            match refused {
                Some(why) => answers.push((reply, Err(Fault::new(REFUSED, why)))),
                None if online || until <= now => {
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
            match (chat.listings > before, online) {
                (true, _) => {
                    let sessions: Vec<Value> = chat.sessions.iter().map(session).collect();
                    answers.push((reply, Ok(json!({ "sessions": sessions }))));
                }
                (false, false) => answers.push((reply, Err(offline()))),
                (false, true) => self.listing = Some((reply, before)),
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
    fn due(&self) -> Option<Instant> {
        let lookups = self.lookups.iter().map(|lookup| lookup.until);
        let waiting = self.waiting.iter().map(|waiting| waiting.until);
        lookups.chain(waiting).chain(self.login.as_ref().map(|(_, until)| *until)).min()
    }

    fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.pending() == 0
    }

    fn has_room(&self) -> bool {
        self.queue.is_empty() && self.pending() < PENDING_MAX && !self.output.is_full()
    }

    fn pending(&self) -> usize {
        let held = [self.opening.is_some(), self.login.is_some(), self.listing.is_some(), self.is_closing()];
        let held = held.into_iter().filter(|held| *held).count();
        held + self.sends.len() + self.lookups.len() + self.exports.len() + self.waiting.len()
    }

    fn answer(&mut self, reply: Reply, outcome: Result<Value, Fault>) {
        if let Some(message) = self.answers.settle(reply, outcome) {
            self.output.answer(&message);
        }
    }

    /// Writes what is to be written, waits a little for the relay, ends. Gives what still has to be
    /// read.
    async fn leave(mut self, linger: Duration) -> Output {
        let until = Instant::now() + linger;
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
        self.step(Event::Run(Command::Quit));
        let mut written = false;
        while let Some(client) = &mut self.client {
            let chat = client.runtime.app().chat();
            let taken = chat.waiting == 0 || chat.link != Link::Online;
            if written && taken {
                break;
            }
            match tokio::time::timeout_at(until, client.runtime.next()).await {
                Ok(Next::Done(Effect::Quit)) => written = true,
                Ok(next) => self.next(next),
                Err(_) => break,
            }
        }
        if let Some(Client { runtime, held }) = self.client.take() {
            runtime.studio().set_sink(None);
            written = runtime.finish().await;
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

    /// Requests whose answer depends on the client.
    fn unanswered(&mut self) -> Vec<Reply> {
        let sends = std::mem::take(&mut self.sends).into_iter().map(|(reply, ..)| reply);
        let lookups = std::mem::take(&mut self.lookups).into_iter().map(|lookup| lookup.reply);
        let exports = std::mem::take(&mut self.exports);
        let login = self.login.take().map(|(reply, _)| reply);
        let listing = self.listing.take().map(|(reply, _)| reply);
        let waiting = std::mem::take(&mut self.waiting).into_iter().map(|waiting| waiting.reply);
        sends.chain(exports).chain(lookups).chain(login).chain(listing).chain(waiting).collect()
    }

    // ---- single methods

    /// Whether somebody's key is known; an error when they cannot be asked about.
    fn known(&self, runtime: &Runtime, name: &AccountName) -> Result<bool, Fault> {
        let chat = runtime.app().chat();
        if chat.name == *name {
            return Err(own_name());
        }
        match chat.with(name) {
            Some(room) if room.kept.peer.is_some() => Ok(true),
            _ if chat.link == Link::Online => Ok(false),
            _ => Err(offline()),
        }
    }

    fn look_up(
        &mut self,
        runtime: &mut Runtime,
        reply: Reply,
        name: AccountName,
        then: Then,
    ) -> Option<(Reply, Result<Value, Fault>)> {
        run(runtime, Command::Add(name.clone()));
        self.lookups.push(Lookup { reply, name, until: Instant::now() + LOOKUP, then });
        None
    }

    fn subscribed(&self) -> Value {
        json!({ "events": self.events.iter().map(|kind| kind.name()).collect::<Vec<_>>() })
    }

    fn status(&self) -> Result<Value, Fault> {
        let Some(Client { runtime, .. }) = &self.client else {
            let presence = start::look(&self.dir).map_err(|why| Fault::new(PROFILE, why))?;
            let profile = if presence == Presence::Present { "locked" } else { "absent" };
            return Ok(json!({ "profile": profile }));
        };
        let chat = runtime.app().chat();
        let (link, why) = match &chat.link {
            Link::Connecting | Link::LoggingIn => ("connecting", ""),
            Link::Online => ("online", ""),
            Link::Offline { why } => ("offline", why.as_str()),
            Link::Refused { why } => ("refused", why.as_str()),
        };
        let call = chat.call.as_ref().and_then(|call| {
            let with = chat.room(call.room)?.kept.with.as_str();
            Some(json!({"with": with, "state": event::phase(Some(call.state))}))
        });
        Ok(json!({
            "profile": "open",
            "name": chat.name.as_str(),
            "device": runtime.app().device().to_string(),
            "relay": chat.relay,
            "hosting": chat.hosting,
            "link": link,
            "why": why,
            "waiting": chat.waiting,
            "unread": chat.unread(),
            "dropped": runtime.app().dropped(),
            "stuck": chat.stuck,
            "call": call,
        }))
    }

    fn set_sink(
        &mut self,
        runtime: &Runtime,
        path: Option<PathBuf>,
        fps: Option<u32>,
    ) -> Result<Value, Fault> {
        let pictures = match path {
            None => {
                runtime.studio().set_sink(None);
                self.sink.take().map_or(0, |sink| sink.written())
            }
            Some(path) => {
                let fps = fps.unwrap_or(u32::from(self.config.video.fps));
                let (sink, take) =
                    Sink::open(&path, fps, self.faults.clone()).map_err(|why| Fault::new(FILE, why))?;
                runtime.studio().set_sink(Some(take));
                self.sink.replace(sink).map_or(0, |sink| sink.written())
            }
        };
        // Of the sink before.
        Ok(json!({ "pictures": pictures }))
    }

    fn stats(&self, runtime: &Runtime) -> Result<Value, Fault> {
        let chat = runtime.app().chat();
        let call = chat.call.as_ref().ok_or_else(no_call)?;
        let sink = self
            .sink
            .as_ref()
            .map(|sink| json!({"path": sink.path, "pictures": sink.written(), "dropped": sink.dropped()}));
        Ok(json!({
            "with": chat.room(call.room).map(|room| room.kept.with.as_str()),
            "state": event::phase(Some(call.state)),
            "seconds": runtime.now().mono.since(call.since).as_secs(),
            "source": call.source,
            "camera": !call.paused,
            "their_camera": !call.their_pause,
            "fps": call.stats.fps,
            "kbps": call.stats.kbps,
            "loss": call.stats.loss,
            "sink": sink,
        }))
    }
}

async fn next(client: &mut Option<Client>) -> Next {
    match client {
        Some(client) => client.runtime.next().await,
        None => std::future::pending().await,
    }
}

async fn ended_up(closing: &mut Option<Closing>) -> (Reply, Result<Option<Closed>, Fault>) {
    let Some(running) = closing else { return std::future::pending().await };
    let closed = match (&mut running.task).await {
        Ok(closed) => closed,
        Err(fault) => Err(Fault::new(PROFILE, format!("the profile could not be closed: {fault}"))),
    };
    let Some(Closing { reply, .. }) = closing.take() else { return std::future::pending().await };
    (reply, closed)
}

async fn finished(opening: &mut Option<Opening>) -> (Reply, Duration, Tried) {
    let Some(running) = opening else { return std::future::pending().await };
    let opened = match (&mut running.task).await {
        Ok(opened) => opened,
        Err(fault) => Err((None, format!("the profile could not be opened: {fault}"))),
    };
    let Some(Opening { reply, wait, .. }) = opening.take() else { return std::future::pending().await };
    (reply, wait, opened)
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Runs a command whose outcome its caller does not wait for.
pub(super) fn run(runtime: &mut Runtime, command: Command) -> Value {
    runtime.step(Event::Run(command));
    json!({})
}

fn open_room(runtime: &mut Runtime, with: &AccountName) -> Result<(), Fault> {
    let room = runtime.app().chat().with(with).map(|room| room.id).ok_or_else(no_conversation)?;
    run(runtime, Command::Open(room));
    Ok(())
}

fn person(room: &Room) -> Value {
    let key = match (&room.kept.peer, &room.kept.changed) {
        (_, Some(_)) => "changed",
        (Some(_), None) => "pinned",
        (None, None) => "unknown",
    };
    let standing = match &room.person {
        person if person.blocked => "blocked",
        person if person.is_request() => "request",
        _ => "contact",
    };
    json!({
        "name": room.kept.with.as_str(),
        "online": room.online,
        "unread": room.kept.unread,
        "lines": room.kept.lines,
        "muted": room.kept.muted,
        "petname": room.person.petname,
        "standing": standing,
        "verified": room.is_verified(),
        "key": key,
        "device": room.kept.peer.map(|peer| peer.device().to_string()),
        "new_device": room.kept.changed.map(|peer| peer.device().to_string()),
    })
}

fn contacts(runtime: &Runtime) -> Value {
    json!({ "contacts": runtime.app().chat().rooms.iter().map(person).collect::<Vec<_>>() })
}

fn lines(runtime: &Runtime, with: &AccountName, limit: usize, before: u64) -> Result<Value, Fault> {
    let room = runtime.app().chat().with(with).ok_or_else(no_conversation)?;
    let lines = history(runtime.app().store(), room.id, 0, before, limit)
        .map_err(|error| Fault::new(STORE, format!("the store cannot be read: {error}")))?;
    let more = lines.first().is_some_and(|(pos, _)| *pos > 0);
    let lines: Vec<Value> = lines
        .iter()
        .map(|(pos, line)| {
            let mut told = event::message(with, &line.id, line.author, line.at, &line.body);
            told["pos"] = json!(pos);
            told["state"] = json!(event::progress(&line.state));
            told
        })
        .collect();
    Ok(json!({ "lines": lines, "more": more }))
}

fn call(runtime: &mut Runtime, to: &AccountName, source: Option<String>) -> Result<Value, Fault> {
    let chat = runtime.app().chat();
    if chat.call.is_some() {
        return Err(Fault::new(BUSY, "there is a call already"));
    }
    if chat.link != Link::Online {
        return Err(offline());
    }
    if chat.with(to).is_some_and(|room| room.trouble().is_some()) {
        return Err(key_changed(to));
    }
    if chat.with(to).is_some_and(|room| !room.person.is_contact()) {
        let why = format!("'{to}' is no contact: accept or unblock them first");
        return Err(Fault::new(UNDECIDED, why));
    }
    open_room(runtime, to)?;
    run(runtime, Command::Video(source));
    match &runtime.app().chat().call {
        Some(call) => Ok(json!({ "call": call.id.to_string() })),
        None => Err(Fault::new(OFFLINE, "the call could not be made")),
    }
}

/// Whether the own camera is off in the call that there is, in that state.
fn in_call(runtime: &Runtime, state: Option<CallState>) -> Result<bool, Fault> {
    let call = runtime.app().chat().call.as_ref();
    call.filter(|call| state.is_none_or(|state| call.state == state))
        .map(|call| call.paused)
        .ok_or_else(no_call)
}

fn trust(runtime: &mut Runtime, with: &AccountName, device: Option<&str>) -> Result<Value, Fault> {
    let room = runtime.app().chat().with(with).ok_or_else(no_conversation)?;
    let undecided = room.kept.changed.or(room.kept.peer.filter(|_| room.trouble().is_some()));
    let changed = undecided.map(|peer| peer.device().to_string());
    match (changed, device) {
        (None, _) => Err(Fault::new(KEY_CHANGED, format!("the key of '{with}' has not changed"))),
        (Some(changed), Some(device)) if changed != device => {
            Err(Fault::new(PARAMS, format!("the changed key of '{with}' is of device {changed}")))
        }
        (Some(changed), _) => {
            open_room(runtime, with)?;
            run(runtime, Command::Trust);
            Ok(json!({ "device": changed }))
        }
    }
}

/// Whether there is something of that kind to decide about a person.
fn decided(runtime: &Runtime, with: &AccountName, waits: fn(&Room) -> bool) -> Result<(), Fault> {
    let room = runtime.app().chat().with(with).ok_or_else(no_conversation)?;
    if waits(room) {
        return Ok(());
    }
    Err(Fault::new(UNDECIDED, format!("there is nothing of that kind to decide about '{with}'")))
}

fn petnamed(runtime: &mut Runtime, with: AccountName, petname: Option<String>) -> Result<Value, Fault> {
    runtime.app().chat().with(&with).ok_or_else(no_conversation)?;
    let shown = petname.as_deref().map(crate::ui::text::line);
    let wanted = shown.as_deref().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
    run(runtime, Command::Petname(with.clone(), petname));
    let now = runtime.app().chat().with(&with).and_then(|room| room.person.petname.clone());
    if now == wanted {
        Ok(json!({ "petname": now }))
    } else {
        Err(Fault::new(PARAMS, "that name is too long, or would be taken for somebody else"))
    }
}

fn verify(runtime: &mut Runtime, with: &AccountName, given: Option<String>) -> Result<Value, Fault> {
    let chat = runtime.app().chat();
    let room = chat.with(with).ok_or_else(no_conversation)?;
    let (number, _) = chat
        .safety(room)
        .ok_or_else(|| Fault::new(TIMEOUT, format!("the relay has not said yet who '{with}' is")))?;
    let code = number.code(&chat.name, with).to_string();
    let same = match given {
        None => Value::Null,
        Some(given) => {
            let compared = number.compare(&chat.name, with, &given);
            let compared = compared.map_err(|why| Fault::new(PARAMS, why.to_string()))?;
            run(runtime, Command::Verify(Some(with.clone()), Some(given)));
            json!(compared == Compared::Same)
        }
    };
    let verified = runtime.app().chat().with(with).is_some_and(Room::is_verified);
    Ok(json!({"number": number.to_string(), "code": code, "same": same, "verified": verified}))
}

/// A connection of the account, as `sessions` lists it.
fn session(session: &password::Session) -> Value {
    json!({
        "device": session.device.map(|device| device.to_string()),
        "own": session.own,
        "since": session.since,
        "network": session.network,
    })
}

pub(super) fn no_conversation() -> Fault {
    Fault::new(NO_CONVERSATION, "there is no conversation with that person: add begins one")
}

fn no_call() -> Fault {
    Fault::new(NO_CALL, "there is no such call")
}

pub(super) fn offline() -> Fault {
    Fault::new(OFFLINE, "there is no connection to the relay now; it is tried again by itself")
}

fn own_name() -> Fault {
    Fault::new(PARAMS, "that is your own name")
}

fn key_changed(name: &AccountName) -> Fault {
    Fault::new(
        KEY_CHANGED,
        format!("the key of '{name}' has changed: ask them another way whether that is true, then trust"),
    )
}
