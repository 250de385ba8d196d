//! `subrosa demo`: a relay and two resident people on this machine, and a conversation with a live
//! picture for whoever just came by.
//!
//! Nothing is played back: the residents are whole clients in threads of their own, with their own
//! keys, that talk to the newcomer through the relay over QUIC on the loopback interface. Everything
//! lives in memory and is gone at the end.

use crate::app::Parts;
use crate::chat::call::CallState;
use crate::chat::room::{Kept, ROOMS};
use crate::chat::talk::Account;
use crate::chat::timeline::Author;
use crate::config::Config;
use crate::effect::{Effect, Happened, Whose};
use crate::event::Event;
use crate::runtime::{Next, Runtime};
use crate::term::Caps;
use crate::ui::command::Command;
use rand_core::{OsRng, RngCore};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use subrosa_relay::server::Server;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::Identity;
use subrosa_shared::store::memory::{Memory, MemorySlots};
use subrosa_shared::store::{Batch, Kv, Store};
use subrosa_shared::time::Millis;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// Echoes what one writes.
pub const ECHO: &str = "ada";
/// Answers calls with a moving picture.
pub const FACE: &str = "rosa";
/// The person at the keyboard.
pub const GUEST: &str = "you";

/// The relay and the residents of a running demo.
pub struct Demo {
    server: Server,
    residents: Vec<Resident>,
    cast: Cast,
}

struct Resident {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Demo {
    /// Starts the relay on a free loopback port, and the residents.
    ///
    /// # Errors
    /// A sentence with the next step.
    pub async fn start() -> Result<Self, String> {
        let config = subrosa_relay::config::Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            data: None,
            ..subrosa_relay::config::Config::default()
        };
        let server = Server::start(config).await.map_err(|error| {
            format!("the demo's relay does not start: {error}; is loopback networking off?")
        })?;
        let link = server.link().clone();
        let cast = Cast::draw();
        let resident = |called, life| Resident::start(called, cast.clone(), link.clone(), life);
        let residents = vec![resident(ECHO, echo as Life)?, resident(FACE, face as Life)?];
        Ok(Self { server, residents, cast })
    }

    /// Where the newcomer connects.
    pub fn link(&self) -> &RelayLink {
        self.server.link()
    }

    /// What the newcomer's client is made of.
    pub fn guest(&self, config: Config, caps: Caps) -> Parts {
        parts(GUEST, &self.cast, self.link(), config, caps)
    }

    /// Ends residents and relay.
    pub async fn end(self) {
        drop(self.residents);
        self.server.shutdown().await;
    }
}

/// What the demo does for the newcomer: opens the picture as soon as its person is there.
#[derive(Default)]
pub struct Usher {
    called: bool,
}

impl Usher {
    /// Commands that follow from something that happened.
    pub fn follow(&mut self, happened: &Happened, runtime: &Runtime) -> Vec<Command> {
        let Happened::Line { with: Whose::Person(with), author: Author::Them, .. } = happened else {
            return Vec::new();
        };
        if with.as_str() != FACE || self.called {
            return Vec::new();
        }
        self.called = true;
        let room = runtime.app().chat().with(with).map(|room| room.id);
        room.map_or(Vec::new(), |room| vec![Command::Open(room), Command::Video(Some("test:1".into()))])
    }
}

/// The demo without a terminal: a full encrypted round trip, told in words.
///
/// # Errors
/// A sentence: what did not work within the time.
pub async fn headless(seconds: Option<u64>) -> Result<(), String> {
    println!("subrosa demo: on a terminal this shows a chat beside a live picture.");
    println!("There is none here, so it does the same without one and says what happens.");
    let demo = Demo::start().await?;
    println!("relay: {}", demo.link());
    let parts = demo.guest(Config::default(), Caps::detect(|_| None, &Config::default()));
    let (mut runtime, _) = Runtime::start(parts, demo.link().clone()).map_err(|error| error.to_string())?;
    let pictures = Arc::new(AtomicU32::new(0));
    let seen = pictures.clone();
    runtime.studio().set_sink(Some(Box::new(move |_| {
        seen.fetch_add(1, Ordering::Relaxed);
    })));
    let said = "is anybody there?";
    runtime.step(Event::Run(Command::Tell(name(ECHO), said.into())));
    let begun = Instant::now();
    let until = begun + Duration::from_secs(seconds.unwrap_or(20));
    let (mut usher, mut echoed, mut active) = (Usher::default(), None, None);
    while Instant::now() < until && !(echoed.is_some() && pictures.load(Ordering::Relaxed) >= PICTURES) {
        let next = tokio::time::timeout(Duration::from_millis(100), runtime.next()).await;
        match next {
            Ok(Next::Event(event)) => drop(runtime.step(event)),
            Ok(Next::Done(Effect::Tell(happened))) => {
                match &happened {
                    Happened::Line { with, author: Author::Them, body, .. } => {
                        println!("{}: {}", with.as_str(), crate::ui::text::harmless(body));
                        if with.as_str() == ECHO && body.contains(said) {
                            echoed = Some(begun.elapsed());
                        }
                    }
                    Happened::Call { state: Some(CallState::Active), .. } => active = Some(begun.elapsed()),
                    _ => {}
                }
                for command in usher.follow(&happened, &runtime) {
                    runtime.step(Event::Run(command));
                }
            }
            Ok(Next::Done(_)) | Err(_) => {}
        }
    }
    let count = pictures.load(Ordering::Relaxed);
    runtime.finish(std::future::pending()).await;
    demo.end().await;
    match (echoed, active) {
        (Some(echo), Some(call)) if count >= PICTURES => {
            println!("echo: came back sealed end to end after {} ms", echo.as_millis());
            println!("call: up after {} ms, {count} sealed pictures opened and decoded", call.as_millis());
            println!("the relay forwarded all of it and could read none of it.");
            Ok(())
        }
        _ => Err(format!(
            "the demo did not get through: echo {}, call {}, {count} pictures. Is UDP on loopback blocked?",
            if echoed.is_some() { "came" } else { "did not come" },
            if active.is_some() { "came up" } else { "did not come up" },
        )),
    }
}

/// Pictures that prove a live call without a terminal.
const PICTURES: u32 = 5;

impl Resident {
    fn start(called: &'static str, cast: Cast, link: RelayLink, life: Life) -> Result<Self, String> {
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(called.into())
            .spawn(move || live(called, &cast, &link, life, stopped))
            .map_err(|error| format!("no thread for {called}: {error}"))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A resident that broke ends the demo's thread only; its client told the log why.
            let _ = thread.join();
        }
    }
}

/// Everybody in the demo with their keys: they have met before.
#[derive(Clone)]
struct Cast(Arc<[(&'static str, Identity); 3]>);

impl Cast {
    fn draw() -> Self {
        Self(Arc::new([ECHO, FACE, GUEST].map(|called| (called, Identity::generate(&mut OsRng)))))
    }

    fn identity(&self, called: &str) -> Identity {
        let (_, identity) = self.0.iter().find(|(name, _)| *name == called).expect("the cast is fixed");
        Identity::from_seed(&identity.seed())
    }
}

/// What a resident does about something that happened.
type Life = fn(&Happened, &Runtime) -> Vec<Command>;

/// One resident from first to last.
fn live(called: &'static str, cast: &Cast, link: &RelayLink, life: Life, mut stopped: oneshot::Receiver<()>) {
    let Ok(tokio) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    tokio.block_on(async {
        let config = Config::default();
        let caps = Caps::detect(|_| None, &config);
        let Ok((mut runtime, _)) = Runtime::start(parts(called, cast, link, config, caps), link.clone())
        else {
            return;
        };
        loop {
            let next = tokio::select! {
                biased;
                _ = &mut stopped => break,
                next = runtime.next() => next,
            };
            match next {
                Next::Event(event) => drop(runtime.step(event)),
                Next::Done(Effect::Tell(happened)) => {
                    for command in life(&happened, &runtime) {
                        runtime.step(Event::Run(command));
                    }
                }
                Next::Done(_) => {}
            }
        }
        runtime.finish(std::future::pending()).await;
    });
}

/// Greets whoever comes, and says back what they write.
fn echo(happened: &Happened, runtime: &Runtime) -> Vec<Command> {
    match happened {
        Happened::Presence { with, online: true } if fresh(with, runtime) => vec![Command::Tell(
            with.clone(),
            "Hello! I run in another thread; what we write is sealed here and opened there, \
             and the relay between us sees only ciphertext. Write something, I say it back."
                .into(),
        )],
        Happened::Line { with: Whose::Person(with), author: Author::Them, body, .. } => {
            vec![Command::Tell(with.clone(), format!("you said: {body}"))]
        }
        Happened::Call { state: Some(CallState::Ringing), .. } => vec![Command::Decline],
        _ => Vec::new(),
    }
}

/// Greets whoever comes, and answers their call with a moving picture.
fn face(happened: &Happened, runtime: &Runtime) -> Vec<Command> {
    match happened {
        Happened::Presence { with, online: true } if fresh(with, runtime) => vec![Command::Tell(
            with.clone(),
            "Hello, I am the one with the picture. /hangup ends the call, /video calls me again, \
             /help shows everything."
                .into(),
        )],
        Happened::Call { state: Some(CallState::Ringing), .. } => {
            vec![Command::Answer(Some("test:7".into()))]
        }
        Happened::Line { with: Whose::Person(with), author: Author::Them, .. } => {
            vec![Command::Tell(with.clone(), "I only nod; ada is the one who answers.".into())]
        }
        _ => Vec::new(),
    }
}

fn fresh(with: &AccountName, runtime: &Runtime) -> bool {
    runtime.app().chat().with(with).is_none_or(|room| room.kept.lines == 0)
}

/// A client in memory that knows some people already, with their keys pinned.
fn parts(called: &str, cast: &Cast, link: &RelayLink, config: Config, caps: Caps) -> Parts {
    let records = Memory::default();
    let mut batch = Batch::default();
    let known = |other: &str| (called == GUEST) != (other == GUEST);
    for (i, (other, identity)) in cast.0.iter().enumerate().filter(|(_, (other, _))| known(other)) {
        let kept = Kept {
            with: Some(name(other)),
            peer: Some(identity.peer()),
            changed: None,
            lines: 0,
            read: 0,
            unread: 0,
            muted: false,
            last: Millis(0),
        };
        let value = postcard::to_stdvec(&kept).expect("a room serialises: plain fields only");
        batch.put(ROOMS, [i as u8; 16], value);
    }
    records.commit(&batch.records).expect("memory is written without fail");
    let store = Store { records: Arc::new(records), slots: Arc::new(MemorySlots::default()) };
    let mut search = Zeroizing::new([0; 32]);
    OsRng.fill_bytes(&mut *search);
    let hosting = called == GUEST;
    let account = Account { name: name(called), relay: link.to_string(), hosting, header: None, search };
    Parts {
        account,
        identity: cast.identity(called),
        store,
        config,
        caps,
        rng: Box::new(OsRng),
        vault: false,
    }
}

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("the demo's names are valid")
}
