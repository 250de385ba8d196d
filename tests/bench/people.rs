//! Whole clients without a screen, each with threads of its own, that type and tell what they hear.

use anyhow::{Context, anyhow};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc as heard;
use std::thread;
use std::time::{Duration, Instant};
use subrosa::app::Parts;
use subrosa::chat::talk::Account;
use subrosa::chat::timeline::{Author, LineState};
use subrosa::config::Config;
use subrosa::effect::{Effect, Happened};
use subrosa::event::Event;
use subrosa::runtime::{Next, Runtime};
use subrosa::term::Caps;
use subrosa::ui::command::Command;
use subrosa_relay::server::Server;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::Identity;
use subrosa_shared::session::vault::Cost;
use subrosa_shared::store::Store;
use subrosa_shared::store::memory::{Memory, MemorySlots};
use subrosa_shared::store::profile::Profile;
use tokio::sync::mpsc;

/// Longer than anything that works takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Threads as the programs have them.
pub fn tokio() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// A relay on loopback, on disk when a folder is named; it runs as long as this lives.
pub struct Place {
    server: Option<Server>,
    tokio: tokio::runtime::Runtime,
}

impl Place {
    pub fn start(data: Option<&Path>) -> anyhow::Result<Self> {
        let tokio = tokio()?;
        let config = subrosa_relay::config::Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            data: data.map(Path::to_path_buf),
            ..subrosa_relay::config::Config::default()
        };
        let server = tokio.block_on(Server::start(config))?;
        Ok(Self { server: Some(server), tokio })
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("there until it is dropped")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.tokio.block_on(server.shutdown());
        }
    }
}

/// Where a person keeps things.
pub enum Home<'a> {
    Memory,
    Folder(&'a Path),
}

/// A person at a keyboard.
pub struct Person {
    orders: mpsc::UnboundedSender<Order>,
    heard: heard::Receiver<(Happened, Instant)>,
    thread: Option<thread::JoinHandle<()>>,
}

enum Order {
    Run(Command),
    Write(String),
    Enter(heard::Sender<Instant>),
}

impl Person {
    /// Begins a client and waits until it is logged in.
    pub fn start(called: &str, home: &Home, link: &RelayLink) -> anyhow::Result<Self> {
        let (store, profile) = match home {
            Home::Memory => {
                let slots = Arc::new(MemorySlots::default());
                (Store { records: Arc::new(Memory::default()), slots }, None)
            }
            Home::Folder(dir) => {
                let profile = Profile::create(dir, "", Cost::TINY, &mut rand_core::OsRng)?;
                (profile.store.clone(), Some(profile))
            }
        };
        Self::with(called, Identity::generate(&mut rand_core::OsRng), store, profile, link)
    }

    /// The same with keys and a store that are there.
    pub fn with(
        called: &str,
        identity: Identity,
        store: Store,
        profile: Option<Profile>,
        link: &RelayLink,
    ) -> anyhow::Result<Self> {
        let parts = parts(called, link, identity, store)?;
        let (orders, inbox) = mpsc::unbounded_channel();
        let (tell, heard) = heard::channel();
        let (link, tokio) = (link.clone(), tokio()?);
        let thread = thread::Builder::new().name(called.into()).spawn(move || {
            if let Err(error) = tokio.block_on(live(parts, link, inbox, &tell)) {
                eprintln!("bench: a client ended: {error:#}");
            }
            drop(profile);
        })?;
        let person = Self { orders, heard, thread: Some(thread) };
        person.hears("a login", |happened| matches!(happened, Happened::Link { online: true, .. }))?;
        Ok(person)
    }

    pub fn runs(&self, command: Command) {
        // A client that ended is noticed where something is heard.
        let _ = self.orders.send(Order::Run(command));
    }

    /// Puts a text into the composer.
    pub fn writes(&self, text: &str) {
        let _ = self.orders.send(Order::Write(text.into()));
    }

    /// Presses Enter; says when that was.
    pub fn enters(&self) -> anyhow::Result<Instant> {
        let (tell, when) = heard::channel();
        self.orders.send(Order::Enter(tell)).map_err(|_| anyhow!("the client ended"))?;
        when.recv_timeout(PATIENCE).context("no key was taken")
    }

    /// Waits for another person's line with this text; says when it was there.
    pub fn hears_line(&self, text: &str) -> anyhow::Result<Instant> {
        self.hears(
            "a line",
            |happened| matches!(happened, Happened::Line { author: Author::Them, body, .. } if body == text),
        )
    }

    /// Waits until the other person's client has the last line.
    pub fn hears_mark(&self) -> anyhow::Result<Instant> {
        self.hears(
            "a mark",
            |happened| matches!(happened, Happened::Mark { state, .. } if *state >= LineState::Delivered),
        )
    }

    /// Waits until somebody is typing.
    pub fn hears_typing(&self) -> anyhow::Result<Instant> {
        self.hears("typing", |happened| matches!(happened, Happened::Typing { on: true, .. }))
    }

    /// Waits for something; what comes before it is ignored.
    pub fn hears(&self, what: &str, wanted: impl Fn(&Happened) -> bool) -> anyhow::Result<Instant> {
        Ok(self.hears_within(PATIENCE, what, |happened| wanted(happened).then_some(()))?.1)
    }

    /// Waits so long for something that holds what is looked for; says when it was there.
    pub fn hears_within<T>(
        &self,
        patience: Duration,
        what: &str,
        wanted: impl Fn(&Happened) -> Option<T>,
    ) -> anyhow::Result<(T, Instant)> {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let (happened, at) =
                self.heard.recv_timeout(left).with_context(|| format!("{what} did not come"))?;
            if let Some(found) = wanted(&happened) {
                return Ok((found, at));
            }
        }
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        self.orders = mpsc::unbounded_channel().0;
        if let Some(thread) = self.thread.take() {
            // It told stderr already why it broke.
            let _ = thread.join();
        }
    }
}

/// Two people who have spoken to each other, with the conversation open on both screens.
pub fn pair(homes: [Home; 2], links: [&RelayLink; 2]) -> anyhow::Result<[Person; 2]> {
    let ada = Person::start("ada", &homes[0], links[0])?;
    let ben = Person::start("ben", &homes[1], links[1])?;
    ada.runs(Command::Add(name("ben")?));
    ada.writes("hello");
    ada.enters()?;
    ben.hears_line("hello")?;
    ben.runs(Command::Add(name("ada")?));
    ben.writes("and hello");
    ben.enters()?;
    ada.hears_line("and hello")?;
    ben.hears_mark()?;
    Ok([ada, ben])
}

/// What a client is made of.
pub fn parts(called: &str, link: &RelayLink, identity: Identity, store: Store) -> anyhow::Result<Parts> {
    let mut config = Config::default();
    // Nobody is at hand to let anybody in.
    config.privacy.requests = false;
    let caps = Caps::detect(|_| None, &config);
    let account = Account {
        name: name(called)?,
        relay: link.to_string(),
        hosting: false,
        header: None,
        search: Default::default(),
    };
    Ok(Parts { account, identity, store, config, caps, rng: Box::new(rand_core::OsRng), vault: false })
}

pub fn name(text: &str) -> anyhow::Result<AccountName> {
    AccountName::parse(text).map_err(|error| anyhow!("{text}: {error}"))
}

async fn live(
    parts: Parts,
    link: RelayLink,
    mut orders: mpsc::UnboundedReceiver<Order>,
    tell: &heard::Sender<(Happened, Instant)>,
) -> anyhow::Result<()> {
    let (mut runtime, _) = Runtime::start(parts, link)?;
    runtime.step(Event::Resize(120, 36));
    loop {
        tokio::select! {
            biased;
            next = runtime.next() => match next {
                Next::Event(event) => drop(runtime.step(event)),
                Next::Done(Effect::Tell(happened)) => drop(tell.send((happened, Instant::now()))),
                Next::Done(_) => {}
            },
            order = orders.recv() => match order {
                Some(Order::Run(command)) => drop(runtime.step(Event::Run(command))),
                Some(Order::Write(text)) => drop(runtime.step(Event::Paste(text))),
                Some(Order::Enter(when)) => {
                    let pressed = Instant::now();
                    runtime.step(Event::Key(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE)));
                    let _ = when.send(pressed);
                }
                None => break,
            },
        }
    }
    runtime.finish(std::future::pending()).await;
    Ok(())
}
