//! People, their relay and the network between them, on one thread with a clock that the test moves.
//!
//! The people are real [`App`]s over in-memory stores that survive their deaths; the relay is the
//! real one over an in-memory store that survives its crashes. Only QUIC is replaced: frames of a
//! connection arrive in order or the connection breaks, datagrams do as they like.

use crate::files::Ports;
use crate::network::{Link, Network, Weather};
use crate::trouble::RelayDisk;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use subrosa::app::{App, Parts, history};
use subrosa::chat::link::{Joining, Step};
use subrosa::chat::showing::Showing;
use subrosa::chat::talk::Account;
use subrosa::chat::timeline::{Author, Line, LineState};
use subrosa::config::{Config, Video};
use subrosa::effect::{Effect, Happened, MediaEffect};
use subrosa::event::{Event, LinkEvent, MediaEvent};
use subrosa::media::receive::Receiver;
use subrosa::media::send::{Sender, Shape};
use subrosa::media::source::{Size, Source, Spec};
use subrosa::runtime::failure;
use subrosa::term::Caps;
use subrosa::ui::command::Command;
use subrosa::ui::devices::DevicesCommand;
use subrosa::ui::rooms::RoomCommand;
use subrosa::ui::view::{self, Pictures};
use subrosa_relay::blobs::{Memory as Blobs, Place};
use subrosa_relay::passwords::Setup;
use subrosa_relay::relay::{Conn, Out, Relay};
use subrosa_shared::id::{AccountName, MessageId, RoomId};
use subrosa_shared::protocol::frame::{ToDevice, ToRelay};
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::Identity;
use subrosa_shared::session::pair::Code;
use subrosa_shared::session::vault::{self, Cost};
use subrosa_shared::store::memory::{Memory, MemorySlots};
use subrosa_shared::store::{Batch, Error, Kv, Order, Rows, SlotWrite, Store, Table, Write};
use subrosa_shared::time::{Millis, Now};
use subrosa_shared::video::picture::Picture;

/// When the story begins: 2026-01-01 00:00 UTC.
const BEGIN: u64 = 1_767_225_600_000;
/// How long a client waits before it connects again.
const RECONNECT: u64 = 500;
/// Seed of the relay's secret behind the passwords, the same after each restart.
const PASSWORDS: u64 = 11;
/// Steps after which a story that never comes to rest is given up.
const STEPS_MAX: u64 = 5_000_000;

/// A frame or event under way.
#[derive(Clone)]
pub(crate) enum Packet {
    ToRelay(Conn, ToRelay),
    ToDevice(Conn, ToDevice),
    MediaUp(Conn, Vec<u8>),
    MediaDown(Conn, Vec<u8>),
    Gone(Conn),
    Closed(Conn, String),
    Dial(String),
    /// The next piece of a person's file.
    Piece(String, MessageId),
}

/// What a hostile relay does with what it delivers. Shares are of 1,000.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mischief {
    /// Deliveries that come twice.
    pub repeat: u32,
    /// Deliveries that are held back and come after the next one.
    pub swap: u32,
    /// Deliveries with one flipped bit.
    pub flip: u32,
}

/// What a hostile relay says instead of a frame to that person.
pub type Liar = Box<dyn FnMut(&str, ToDevice) -> Vec<ToDevice>>;

/// A frame that the relay saw.
#[derive(Clone, Debug)]
pub enum Seen {
    /// From a person.
    From(String, ToRelay),
    /// To a person.
    To(String, ToDevice),
    /// A datagram of live media from a person.
    Media(String, Vec<u8>),
}

/// Records in memory on a disk that can be full.
#[derive(Default)]
pub(crate) struct Disk {
    records: Memory,
    full: AtomicBool,
}

impl Kv for Disk {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.records.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Rows, Error> {
        self.records.scan(table, from, to, order, limit)
    }

    fn commit(&self, writes: &[Write]) -> Result<(), Error> {
        if self.full.load(Ordering::Relaxed) {
            return Err(Error::Full);
        }
        self.records.commit(writes)
    }
}

/// A machine without an account: a code is typed or shown there.
enum Machine {
    Types(Box<Joining>),
    Shows(Box<Showing>),
}

/// One person's machine.
pub(crate) struct Person {
    app: Option<App>,
    /// What is on the machine's disk.
    disk: Store,
    /// The same disk, to fill it; `None` when the story brought its own.
    memory: Option<Arc<Disk>>,
    /// Effects that wait for the disk, in order.
    pub(crate) stuck: Option<VecDeque<Effect>>,
    /// How far the machine's wall clock is off, in milliseconds.
    clock: i64,
    seed: [u8; 64],
    /// Of the vault, when the story gave this person one.
    header: Option<Vec<u8>>,
    name: AccountName,
    config: Config,
    pub(crate) conn: Option<Conn>,
    wake: Option<Millis>,
    /// Effects until the process is killed; counts each part of a commit by itself.
    pub(crate) life: Option<u64>,
    /// Lets in whoever writes first, as people do who know each other.
    welcoming: bool,
    told: Vec<Happened>,
    notified: Vec<String>,
    copied: Vec<String>,
    title: String,
    studio: Studio,
    /// Up and down.
    links: [Link; 2],
    /// A machine that is being linked.
    joining: Option<Machine>,
    /// Bytes that passed while it was linked.
    linked: usize,
    /// No way to the relay.
    pub(crate) cut_off: bool,
    /// Milliseconds that each frame to this machine takes.
    pub(crate) sluggish: u64,
}

/// Live pictures of one person: the real sender and receiver, pictures drawn by number.
#[derive(Default)]
struct Studio {
    sender: Option<Sender>,
    receiver: Option<Receiver>,
    live: bool,
    paused: bool,
    source: Option<Source>,
    /// Pictures that the camera took.
    filmed: u64,
    shown: Vec<(Millis, Picture)>,
    /// Sees the own picture as it left, when the story wants to compare.
    mirror: Option<Mirror>,
}

/// A watcher that loses nothing.
struct Mirror {
    receiver: Option<Receiver>,
    shown: Vec<(u64, Picture)>,
    bytes: usize,
}

impl Studio {
    fn due(&self) -> Option<Millis> {
        let overdue = self.receiver.as_ref().and_then(Receiver::due);
        self.sender.as_ref()?.due().into_iter().chain(overdue).min()
    }
}

/// People, relay, network, clock.
pub struct World {
    people: BTreeMap<String, Person>,
    pub(crate) relay: Option<Relay>,
    pub(crate) relay_disk: Arc<RelayDisk>,
    /// The bytes of files at the relay.
    pub(crate) relay_files: Blobs,
    relay_config: subrosa_relay::config::Config,
    pub(crate) relay_key: [u8; 32],
    pub(crate) network: Network<Packet>,
    /// Arrival of the last ordered packet on each wire: up, down.
    wires: HashMap<Conn, (Millis, Millis)>,
    pub(crate) owners: BTreeMap<Conn, String>,
    pub(crate) conns: u64,
    now: Now,
    pub(crate) rng: ChaCha20Rng,
    /// Which of the relay's deliveries are tampered with.
    pub mischief: Mischief,
    held: HashMap<Conn, ToDevice>,
    steps: u64,
    /// Events that wait until the one before is done with, and whether one is being taken.
    waiting: VecDeque<(String, Event)>,
    busy: bool,
    /// Of everything that arrived, and when.
    digest: DefaultHasher,
    /// Stands between the relay and everybody, when there is one.
    pub liar: Option<Liar>,
    /// What connections without a device were told since they last looked.
    pub(crate) visits: HashMap<Conn, Vec<ToDevice>>,
    /// What the relay saw since the story asked to listen.
    seen: Option<Vec<Seen>>,
    /// Every sealed head that went out, to prove that no key seals twice.
    sealed: HashMap<Vec<u8>, Vec<u8>>,
    /// Files on their way.
    pub(crate) ports: Ports,
}

impl World {
    /// A relay and nobody yet.
    pub fn new(seed: u64) -> Self {
        let mut world = Self {
            people: BTreeMap::new(),
            relay: None,
            relay_disk: Arc::default(),
            relay_files: Blobs::default(),
            relay_config: open_limits(),
            relay_key: [7; 32],
            network: Network::new(seed ^ 0x6e65_7477_6f72_6b00),
            wires: HashMap::new(),
            owners: BTreeMap::new(),
            conns: 0,
            now: Now { wall: Millis(BEGIN), mono: Millis(0) },
            rng: ChaCha20Rng::seed_from_u64(seed),
            mischief: Mischief::default(),
            held: HashMap::new(),
            steps: 0,
            waiting: VecDeque::new(),
            busy: false,
            digest: DefaultHasher::new(),
            liar: None,
            visits: HashMap::new(),
            seen: None,
            sealed: HashMap::new(),
            ports: Ports::default(),
        };
        world.start_relay();
        world
    }

    /// A relay with these people, registered and connected.
    pub fn with(seed: u64, names: &[&str]) -> Self {
        let mut world = Self::new(seed);
        for name in names {
            world.joins(name);
        }
        world.settle();
        world
    }

    /// Another config for the relay from its next start on.
    pub fn relay_config(&mut self) -> &mut subrosa_relay::config::Config {
        &mut self.relay_config
    }

    /// How the network treats what passes from now on.
    pub fn weather(&mut self, weather: Weather) {
        self.network.weather = weather;
    }

    // ---- people

    /// A new person with a fresh profile starts the client.
    pub fn joins(&mut self, name: &str) {
        self.joins_with(name, watched());
    }

    /// The same with settings.
    pub fn joins_with(&mut self, name: &str, config: Config) {
        let memory = Arc::new(Disk::default());
        let disk = Store { records: memory.clone(), slots: Arc::new(MemorySlots::default()) };
        self.moves_in(name, name, config, disk, Some(memory));
    }

    /// The same under an account name that is not the story's name for them.
    pub fn joins_as(&mut self, name: &str, account: &str) {
        let memory = Arc::new(Disk::default());
        let disk = Store { records: memory.clone(), slots: Arc::new(MemorySlots::default()) };
        self.moves_in(name, account, watched(), disk, Some(memory));
    }

    /// The same on a disk of the story's own.
    pub fn joins_on(&mut self, name: &str, disk: Store) {
        self.moves_in(name, name, watched(), disk, None);
    }

    fn moves_in(
        &mut self,
        name: &str,
        account: &str,
        config: Config,
        disk: Store,
        memory: Option<Arc<Disk>>,
    ) {
        self.furnishes(name, account, config, disk, memory);
        self.starts(name);
    }

    fn furnishes(
        &mut self,
        name: &str,
        account: &str,
        config: Config,
        disk: Store,
        memory: Option<Arc<Disk>>,
    ) {
        if self.people.contains_key(name) {
            self.kill(name);
        }
        let identity = Identity::generate(&mut self.rng);
        let seed = *identity.seed();
        self.settles(name, account, config, disk, memory, seed);
    }

    /// A machine of that device.
    pub(crate) fn settles(
        &mut self,
        name: &str,
        account: &str,
        config: Config,
        disk: Store,
        memory: Option<Arc<Disk>>,
        seed: [u8; 64],
    ) {
        let person = Person {
            app: None,
            disk,
            memory,
            stuck: None,
            clock: 0,
            seed,
            header: None,
            name: AccountName::parse(account).expect("a story's names are valid"),
            config,
            conn: None,
            wake: None,
            life: None,
            welcoming: true,
            told: Vec::new(),
            notified: Vec::new(),
            copied: Vec::new(),
            title: String::new(),
            studio: Studio::default(),
            links: Default::default(),
            joining: None,
            linked: 0,
            cut_off: false,
            sluggish: 0,
        };
        self.people.insert(name.to_string(), person);
    }

    // ---- devices

    /// A fresh machine becomes another device of that person's account, by the code that theirs shows.
    pub fn adds_device(&mut self, host: &str, name: &str) {
        self.commands(host, Command::Devices(DevicesCommand::Link));
        self.settle();
        let code = self.code(host);
        self.types_code(name, &code);
        self.settle();
        assert!(self.alive(name), "linked: {:?}", self.told(name));
    }

    /// The code that a person's client shows.
    pub fn code(&mut self, host: &str) -> String {
        self.app(host).chat().linking.as_ref().expect("a code is shown").code.clone()
    }

    /// Somebody types a code on a fresh machine.
    pub fn types_code(&mut self, name: &str, code: &str) {
        let identity = self.fresh_machine(name);
        let code = Code::parse(code).expect("a code");
        let (joining, first) = Joining::new(code, &self.relay_key, &identity, name, &mut self.rng);
        self.meets(name, Machine::Types(Box::new(joining)), first);
    }

    /// A fresh machine shows a code.
    pub fn shows_code(&mut self, name: &str) -> String {
        let identity = self.fresh_machine(name);
        let (showing, first) = Showing::new(&self.relay_key, &identity, name, &mut self.rng);
        self.meets(name, Machine::Shows(Box::new(showing)), first);
        self.settle();
        match &self.person(name).joining {
            Some(Machine::Shows(showing)) => showing.code().expect("it waits").to_string(),
            _ => panic!("no code is shown: {:?}", self.told(name)),
        }
    }

    /// A person types the code that a fresh machine shows, and says yes.
    pub fn links_shown(&mut self, host: &str, code: &str) {
        let code = Code::parse(code).expect("a code");
        self.commands(host, Command::Devices(DevicesCommand::Joined(code)));
    }

    fn fresh_machine(&mut self, name: &str) -> Identity {
        let memory = Arc::new(Disk::default());
        let disk = Store { records: memory.clone(), slots: Arc::new(MemorySlots::default()) };
        self.furnishes(name, "nobody-yet", watched(), disk, Some(memory));
        Identity::from_seed(&self.seed_of(name))
    }

    fn meets(&mut self, name: &str, machine: Machine, first: ToRelay) {
        self.conns += 1;
        let conn = Conn(self.conns);
        self.owners.insert(conn, name.into());
        let person = self.person(name);
        (person.conn, person.joining) = (Some(conn), Some(machine));
        let now = self.now;
        let relay = self.relay.as_mut().expect("the relay runs");
        relay.connected(conn, [0; 32], IpAddr::V4(Ipv4Addr::LOCALHOST), now);
        self.sends(name, first);
    }

    /// Bytes that passed the rendezvous while a machine was linked.
    pub fn bytes_to_link(&mut self, name: &str) -> usize {
        self.person(name).linked
    }

    fn joins_further(&mut self, name: &str, frame: ToDevice) {
        let mut rng = ChaCha20Rng::seed_from_u64(self.rng.next_u64());
        let Some(mut joining) = self.person(name).joining.take() else { return };
        let (step, bytes) = match &mut joining {
            Machine::Types(joining) => (joining.frame(frame, &mut rng), joining.bytes),
            Machine::Shows(showing) => (showing.frame(frame, &mut rng), showing.bytes),
        };
        match step {
            Step::Send(frames) => {
                self.person(name).joining = Some(joining);
                for frame in frames {
                    self.sends(name, frame);
                }
            }
            Step::Linked(linked) => {
                let relay = RelayLink {
                    host: "relay.invalid".into(),
                    port: 4433,
                    fingerprint: self.relay_key,
                    invite: None,
                };
                let person = self.person(name);
                let mut batch = Batch::default();
                linked.write(&relay.to_string(), &Identity::from_seed(&person.seed), &mut batch);
                person.disk.commit(&batch).expect("a memory store writes");
                (person.name, person.linked) = (linked.name, bytes);
                self.hangs_up(name);
                self.starts(name);
            }
            Step::Failed(text) => {
                self.person(name).told.push(Happened::Notice { text, error: true });
                self.hangs_up(name);
            }
        }
    }

    /// Starts the client on what is on the disk.
    pub fn starts(&mut self, name: &str) {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let relay =
            RelayLink { host: "relay.invalid".into(), port: 4433, fingerprint: self.relay_key, invite: None };
        let now = self.now_of(name);
        let person = self.person(name);
        let header = person.header.clone();
        let account = Account {
            name: person.name.clone(),
            relay: relay.to_string(),
            hosting: false,
            header,
            search: Default::default(),
        };
        let identity = Identity::from_seed(&person.seed);
        let parts = Parts {
            account,
            identity,
            store: person.disk.clone(),
            config: person.config.clone(),
            caps: Caps::detect(|_| None, &person.config),
            rng: Box::new(ChaCha20Rng::from_seed(seed)),
            vault: true,
        };
        let (mut app, effects) = App::load(parts, now).expect("the store reads");
        app.show_utc();
        (person.app, person.studio, person.wake) = (Some(app), Studio::default(), None);
        let busy = std::mem::replace(&mut self.busy, true);
        self.perform(name, effects);
        self.busy = busy;
        self.event(name, Event::Resize(100, 30));
        self.event(name, Event::Focus(true));
        self.welcome(name);
        self.network.put_at(Packet::Dial(name.into()), self.now.mono);
    }

    /// The process is gone, without a word.
    pub fn kill(&mut self, name: &str) {
        let now = self.now;
        let person = self.person(name);
        (person.app, person.wake, person.life, person.stuck) = (None, None, None, None);
        if let Some(conn) = person.conn.take() {
            self.network.put_at(Packet::Gone(conn), now.mono);
        }
    }

    /// The process is killed after that many more effects, each half of a commit counted.
    pub fn kill_after(&mut self, name: &str, effects: u64) {
        self.person(name).life = Some(effects);
    }

    /// From now on a person's profile lies on this disk.
    pub fn disk_is(&mut self, name: &str, disk: Store) {
        let person = self.person(name);
        (person.disk, person.memory) = (disk, None);
    }

    /// No more space on a person's disk.
    pub fn disk_fills(&mut self, name: &str) {
        self.disk_full(name, true);
    }

    /// Space again: the client tries its writes again by itself.
    pub fn disk_empties(&mut self, name: &str) {
        self.disk_full(name, false);
        let Some(waiting) = self.person(name).stuck.take() else { return };
        self.perform(name, waiting.into());
        self.event(name, Event::StoreBack);
    }

    fn disk_full(&mut self, name: &str, full: bool) {
        let memory = self.person(name).memory.as_ref().expect("the world made this disk");
        memory.full.store(full, Ordering::Relaxed);
    }

    /// Sets a person's clock that many milliseconds off.
    pub fn clock_off(&mut self, name: &str, millis: i64) {
        self.person(name).clock = millis;
    }

    /// From the next start on a person's passphrase is asked for before a login password is set.
    pub fn has_passphrase(&mut self, name: &str, passphrase: &str) {
        let (_, header) =
            vault::create(passphrase, Cost::TINY, &mut self.rng).expect("the cost is within bounds");
        self.person(name).header = Some(header);
    }

    /// The 64 secret bytes of a person's identity.
    pub fn seed_of(&mut self, name: &str) -> [u8; 64] {
        self.person(name).seed
    }

    /// Whether the process runs.
    pub fn alive(&mut self, name: &str) -> bool {
        self.person(name).app.is_some()
    }

    /// Kills and starts again.
    pub fn restarts(&mut self, name: &str) {
        self.kill(name);
        self.starts(name);
    }

    /// Types, as on a keyboard: `\n` is Enter.
    pub fn types(&mut self, name: &str, text: &str) {
        for c in text.chars() {
            let code = if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) };
            self.press(name, code, KeyModifiers::NONE);
        }
    }

    /// Presses one key.
    pub fn press(&mut self, name: &str, code: KeyCode, modifiers: KeyModifiers) {
        self.event(name, Event::Key(KeyEvent::new(code, modifiers)));
    }

    /// Gives a command, as a script does.
    pub fn commands(&mut self, name: &str, command: Command) {
        self.event(name, Event::Run(command));
    }

    /// Writes to somebody, whichever conversation is open.
    pub fn says(&mut self, name: &str, to: &str, text: &str) {
        self.commands(name, Command::Tell(AccountName::parse(to).expect("valid"), text.into()));
    }

    /// Brings one event to a person's client, if it runs: after those that wait, as a program takes them.
    pub fn event(&mut self, name: &str, event: Event) {
        self.waiting.push_back((name.to_owned(), event));
        if std::mem::replace(&mut self.busy, true) {
            return;
        }
        while let Some((name, event)) = self.waiting.pop_front() {
            self.takes(&name, event);
        }
        self.busy = false;
    }

    fn takes(&mut self, name: &str, event: Event) {
        let now = self.now_of(name);
        let Some(app) = &mut self.person(name).app else { return };
        let effects = app.update(event, now);
        self.perform(name, effects);
        self.welcome(name);
    }

    /// A person writes down another's name before that one ever writes.
    pub fn knows(&mut self, name: &str, other: &str) {
        self.commands(name, Command::Add(AccountName::parse(other).expect("valid")));
        self.settle();
    }

    /// A person who decides on strangers by the story's commands only.
    pub fn is_wary(&mut self, name: &str) {
        self.person(name).welcoming = false;
    }

    /// Accepts whoever waits to be let in.
    fn welcome(&mut self, name: &str) {
        let person = self.person(name);
        let Some(app) = person.app.as_ref().filter(|_| person.welcoming) else { return };
        let stranger = app.chat().rooms.iter().find(|room| room.person.is_request());
        let invited = stranger.filter(|room| room.group.is_some()).map(|room| room.id);
        if let Some(room) = invited {
            self.event(name, Event::Run(Command::Room(Some(room), RoomCommand::Accept)));
        } else if let Some(with) = stranger.and_then(|room| room.with().cloned()) {
            self.event(name, Event::Run(Command::Accept(Some(with))));
        }
    }

    // ---- what is seen

    /// The texts in a person's conversation with another, oldest first, from the disk.
    pub fn timeline(&mut self, name: &str, with: &str) -> Vec<String> {
        let lines = self.lines(name, with);
        let said = |line: &Line| matches!(line.author, Author::Me | Author::Them);
        lines.into_iter().filter(said).map(|line| line.body).collect()
    }

    /// All lines of a conversation, from the disk.
    pub fn lines(&mut self, name: &str, with: &str) -> Vec<Line> {
        self.room(name, with).map_or_else(Vec::new, |room| self.lines_of(name, room))
    }

    /// All lines of that conversation, from the disk.
    pub fn lines_of(&mut self, name: &str, room: RoomId) -> Vec<Line> {
        let disk = self.person(name).disk.clone();
        let page = history(&disk, room, u64::MAX, usize::MAX).expect("a memory store reads");
        page.lines.into_iter().map(|(_, line)| line).collect()
    }

    /// How far the own lines got.
    pub fn marks(&mut self, name: &str, with: &str) -> Vec<LineState> {
        let lines = self.lines(name, with);
        lines.into_iter().filter(|line| line.author == Author::Me).map(|line| line.state).collect()
    }

    /// A person's running client.
    pub fn app(&mut self, name: &str) -> &App {
        self.person(name).app.as_ref().expect("the client runs")
    }

    /// What scripts were told since the last call.
    pub fn told(&mut self, name: &str) -> Vec<Happened> {
        std::mem::take(&mut self.person(name).told)
    }

    /// Notifications since the last call.
    pub fn notified(&mut self, name: &str) -> Vec<String> {
        std::mem::take(&mut self.person(name).notified)
    }

    /// What was copied to the clipboard since the last call.
    pub fn copied(&mut self, name: &str) -> Vec<String> {
        std::mem::take(&mut self.person(name).copied)
    }

    /// The title of a person's window.
    pub fn title(&mut self, name: &str) -> String {
        self.person(name).title.clone()
    }

    /// Pictures that a person saw since the last call.
    pub fn pictures(&mut self, name: &str) -> Vec<Picture> {
        self.shown(name).into_iter().map(|(_, picture)| picture).collect()
    }

    /// The same, with the moment at which each was shown.
    pub fn shown(&mut self, name: &str) -> Vec<(Millis, Picture)> {
        std::mem::take(&mut self.person(name).studio.shown)
    }

    /// From the next call on, a person's own pictures are kept as they leave, after the codec.
    pub fn mirrors(&mut self, name: &str) {
        self.person(name).studio.mirror = Some(Mirror { receiver: None, shown: Vec::new(), bytes: 0 });
    }

    /// A person's own pictures as they left since the last call, each with the number that the camera
    /// gave it, and the bytes of all their media datagrams.
    pub fn mirrored(&mut self, name: &str) -> (Vec<(u64, Picture)>, usize) {
        let mirror = self.person(name).studio.mirror.as_mut().expect("the story mirrors this person");
        (std::mem::take(&mut mirror.shown), std::mem::take(&mut mirror.bytes))
    }

    /// A person's sender, to look at.
    pub fn sender(&mut self, name: &str) -> &Sender {
        self.person(name).studio.sender.as_ref().expect("they are in a call")
    }

    /// How a person's way to the relay and back does from now on.
    pub fn links(&mut self, name: &str, link: Link) {
        self.person(name).links = [link; 2];
    }

    /// The screen as text.
    pub fn screen(&mut self, name: &str, width: u16, height: u16) -> String {
        self.event(name, Event::Resize(width, height));
        let now = self.now_of(name);
        let person = self.person(name);
        let app = person.app.as_ref().expect("the client runs");
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a test terminal is made");
        let theirs = person.studio.shown.last().map(|(_, picture)| picture);
        let pictures = Pictures { theirs, ..Pictures::default() };
        terminal
            .draw(|frame| view::draw(app.chat(), app.ui(), &pictures, now, frame))
            .expect("a test terminal draws");
        terminal.backend().to_string()
    }

    /// A person's disk.
    pub fn disk(&mut self, name: &str) -> Store {
        self.person(name).disk.clone()
    }

    /// The bytes of files at the relay, to spoil them.
    pub fn relay_files(&self) -> &Blobs {
        &self.relay_files
    }

    /// The relay, to look at.
    pub fn relay(&self) -> &Relay {
        self.relay.as_ref().expect("the relay runs")
    }

    /// A digest of everything that arrived anywhere, and when: the same for the same story.
    pub fn digest(&self) -> u64 {
        self.digest.finish()
    }

    /// This moment.
    pub fn now(&self) -> Now {
        self.now
    }

    /// This moment by a person's clock.
    pub fn now_of(&mut self, name: &str) -> Now {
        let off = self.person(name).clock;
        Now { wall: Millis(self.now.wall.0.saturating_add_signed(off)), mono: self.now.mono }
    }

    /// What the relay saw since the last call; from the first call on it is written down.
    pub fn seen(&mut self) -> Vec<Seen> {
        self.seen.replace(Vec::new()).unwrap_or_default()
    }

    // ---- the relay

    /// The relay crashes: what it has not committed is gone, and all connections.
    pub fn relay_crashes(&mut self) {
        self.relay = None;
        for conn in self.owners.keys().copied().collect::<Vec<_>>() {
            self.break_conn(conn, "the relay was restarted");
        }
    }

    /// The relay crashes and its disk is lost.
    pub fn relay_loses_its_disk(&mut self) {
        self.relay_crashes();
        self.relay_disk = Arc::default();
        self.relay_files = Blobs::default();
    }

    /// The relay starts on what is on its disk.
    pub fn start_relay(&mut self) {
        let rng = Box::new(ChaCha20Rng::seed_from_u64(self.rng.next_u64()));
        let setup = Setup::generate(&mut ChaCha20Rng::seed_from_u64(PASSWORDS));
        let disk = self.relay_disk.clone();
        let files = Place::Memory(self.relay_files.clone());
        let relay = Relay::over(self.relay_config.clone(), self.relay_key, setup, disk, files, rng);
        self.relay = Some(relay.expect("a memory store reads"));
    }

    /// Reads of the relay's disk since the last call.
    pub fn relay_disk_reads(&mut self) -> u64 {
        self.relay_disk.reads.swap(0, Ordering::Relaxed)
    }

    /// Breaks a person's connection; the client connects again by itself.
    pub fn cut(&mut self, name: &str) {
        if let Some(conn) = self.person(name).conn {
            self.break_conn(conn, "the connection broke");
        }
    }

    // ---- time

    /// Runs until nothing is under way and no wake-up is due within the next second.
    pub fn settle(&mut self) {
        let mut quiet = self.now.mono.0;
        while let Some(at) = self.next_at() {
            if at.0 > quiet + 1000 {
                return;
            }
            if self.network.next().is_some_and(|next| next.0 <= at.0) {
                quiet = at.0.max(self.now.mono.0);
            }
            self.step_to(at);
        }
    }

    /// Lets that many milliseconds pass.
    pub fn passes(&mut self, millis: u64) {
        let end = Millis(self.now.mono.0 + millis);
        while let Some(at) = self.next_at().filter(|at| *at <= end) {
            self.step_to(at);
        }
        self.set_clock(end);
    }

    fn next_at(&self) -> Option<Millis> {
        let wakes = self.people.values().flat_map(|person| [person.wake, person.studio.due()]).flatten();
        wakes.chain(self.network.next()).min()
    }

    fn set_clock(&mut self, mono: Millis) {
        let passed = mono.0.saturating_sub(self.now.mono.0);
        self.now = Now { wall: Millis(self.now.wall.0 + passed), mono: Millis(self.now.mono.0 + passed) };
    }

    fn step_to(&mut self, at: Millis) {
        self.steps += 1;
        assert!(self.steps < STEPS_MAX, "the story never comes to rest");
        self.set_clock(at);
        while let Some(packet) = self.network.arrived(self.now.mono) {
            self.arrives(packet);
        }
        let now = self.now.mono;
        let due: Vec<String> = self
            .people
            .iter()
            .filter(|(_, person)| person.wake.is_some_and(|wake| wake <= now))
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            self.person(&name).wake = None;
            self.event(&name, Event::Wake);
        }
        let sends = |person: &Person| person.studio.due().is_some_and(|due| due <= now);
        let due: Vec<String> =
            self.people.iter().filter(|(_, person)| sends(person)).map(|(name, _)| name.clone()).collect();
        for name in due {
            self.sends_due(&name);
        }
        if let Some(relay) = &mut self.relay {
            relay.tick(self.now);
        }
        self.relay_commits();
    }

    fn arrives(&mut self, packet: Packet) {
        let about = match &packet {
            Packet::ToRelay(conn, _) => (0, conn.0),
            Packet::ToDevice(conn, _) => (1, conn.0),
            Packet::MediaUp(conn, _) => (2, conn.0),
            Packet::MediaDown(conn, _) => (3, conn.0),
            Packet::Gone(conn) | Packet::Closed(conn, _) => (4, conn.0),
            Packet::Dial(_) | Packet::Piece(..) => (5, 0),
        };
        (self.now.mono.0, about).hash(&mut self.digest);
        match packet {
            Packet::ToRelay(conn, frame) if self.owners.contains_key(&conn) => {
                if self.network.cuts() {
                    return self.break_conn(conn, "the connection broke");
                }
                if let Some((seen, owner)) = self.seen.as_mut().zip(self.owners.get(&conn)) {
                    seen.push(Seen::From(owner.clone(), frame.clone()));
                }
                if let Some(relay) = &mut self.relay {
                    relay.frame(conn, frame, self.now);
                }
                self.relay_commits();
            }
            Packet::MediaUp(conn, bytes) => {
                if let Some((seen, owner)) = self.seen.as_mut().zip(self.owners.get(&conn)) {
                    seen.push(Seen::Media(owner.clone(), bytes.clone()));
                }
                if let Some(relay) = self.relay.as_mut().filter(|_| self.owners.contains_key(&conn)) {
                    relay.datagram(conn, &bytes, self.now);
                }
                self.relay_commits();
            }
            Packet::ToDevice(conn, frame) => {
                if let Some(name) = self.owner(conn) {
                    if self.person(&name).joining.is_some() {
                        return self.joins_further(&name, frame);
                    }
                    let over = matches!(&frame, ToDevice::Refused { ask: None, why } if why.lasts());
                    self.event(&name, Event::Link(LinkEvent::Frame(frame)));
                    if over {
                        self.hangs_up(&name);
                    }
                }
            }
            Packet::MediaDown(conn, bytes) => {
                if let Some(name) = self.owner(conn) {
                    self.watched(&name, &bytes);
                }
            }
            Packet::Gone(conn) => {
                self.owners.remove(&conn);
                if let Some(relay) = &mut self.relay {
                    relay.gone(conn);
                }
                self.relay_commits();
            }
            Packet::Closed(conn, why) => {
                if self.owner(conn).is_some() {
                    self.break_conn(conn, &why);
                }
            }
            Packet::Dial(name) => self.dial(&name),
            Packet::Piece(name, id) => self.piece(&name, id),
            Packet::ToRelay(..) => {}
        }
    }

    /// The person whose connection of this moment that is.
    fn owner(&self, conn: Conn) -> Option<String> {
        let name = self.owners.get(&conn)?;
        (self.people.get(name)?.conn == Some(conn)).then(|| name.clone())
    }

    fn dial(&mut self, name: &str) {
        let person = self.person(name);
        if person.app.is_none() || person.conn.is_some() || person.cut_off {
            return;
        }
        if self.relay.is_none() {
            self.event(name, Event::Link(LinkEvent::Lost { why: "no answer".into() }));
            self.network.put_at(Packet::Dial(name.into()), Millis(self.now.mono.0 + RECONNECT));
            return;
        }
        self.conns += 1;
        let conn = Conn(self.conns);
        let mut exporter = [0; 32];
        self.rng.fill_bytes(&mut exporter);
        self.owners.insert(conn, name.into());
        self.person(name).conn = Some(conn);
        let now = self.now;
        let relay = self.relay.as_mut().expect("looked at above");
        relay.connected(conn, exporter, IpAddr::V4(Ipv4Addr::LOCALHOST), now);
        self.event(name, Event::Link(LinkEvent::Connected { exporter }));
    }

    /// Ends a person's connection from their side; it is not made again by itself.
    fn hangs_up(&mut self, name: &str) {
        let now = self.now.mono;
        if let Some(conn) = self.person(name).conn.take() {
            self.network.put_at(Packet::Gone(conn), now);
        }
    }

    fn break_conn(&mut self, conn: Conn, why: &str) {
        let owner = self.owner(conn);
        self.owners.remove(&conn);
        self.held.remove(&conn);
        if let Some(relay) = &mut self.relay {
            relay.gone(conn);
        }
        if let Some(name) = owner {
            self.person(&name).conn = None;
            self.event(&name, Event::Link(LinkEvent::Lost { why: why.into() }));
            self.network.put_at(Packet::Dial(name), Millis(self.now.mono.0 + RECONNECT));
        }
        self.relay_commits();
    }

    pub(crate) fn relay_commits(&mut self) {
        let Some(relay) = &mut self.relay else { return };
        let outs = relay.commit();
        if self.relay_disk.died() {
            return self.relay_crashes();
        }
        let outs: VecDeque<Out> = outs.expect("a memory store writes").into();
        for out in outs {
            match out {
                Out::Frame(conn, frame) => self.relay_says(conn, frame),
                Out::Datagram(conn, bytes) => {
                    let (bytes, now) = (bytes.to_vec(), self.now.mono);
                    let length = bytes.len() + PACKET;
                    let down = match self.owners.get(&conn).and_then(|name| self.people.get_mut(name)) {
                        Some(person) => &mut person.links[1],
                        None => &mut Link::default(),
                    };
                    self.network.datagram(Packet::MediaDown(conn, bytes), length, down, now);
                }
                Out::Close(conn, why) => {
                    let (now, after) = (self.now.mono, self.wires.entry(conn).or_default().1);
                    self.network.ordered(Packet::Closed(conn, why.to_string()), now, after);
                }
            }
        }
    }

    fn relay_says(&mut self, conn: Conn, frame: ToDevice) {
        let mut frames = vec![frame];
        let owner = self.owners.get(&conn).cloned().unwrap_or_default();
        if let Some(seen) = &mut self.seen {
            seen.push(Seen::To(owner.clone(), frames[0].clone()));
        }
        if let Some(liar) = &mut self.liar {
            frames = frames.into_iter().flat_map(|frame| liar(&owner, frame)).collect();
        }
        if let Some(ToDevice::Deliver(delivery)) = frames.first_mut() {
            if self.network.happens(self.mischief.flip) && !delivery.head.is_empty() {
                let at = self.rng.next_u32() as usize % (delivery.head.len() * 8);
                delivery.head[at / 8] ^= 1 << (at % 8);
            }
            if self.network.happens(self.mischief.repeat) {
                frames.push(frames[0].clone());
            }
            if self.network.happens(self.mischief.swap) && !self.held.contains_key(&conn) {
                self.held.insert(conn, frames.swap_remove(0));
            } else if let Some(held) = self.held.remove(&conn) {
                frames.push(held);
            }
        }
        if let Some(told) = self.visits.get_mut(&conn) {
            return told.extend(frames);
        }
        let sluggish = self.people.get(&owner).map_or(0, |person| person.sluggish);
        for frame in frames {
            let (now, after) = (self.now.mono, self.wires.entry(conn).or_default().1);
            let after = if sluggish > 0 { Millis(after.0.max(now.0) + sluggish) } else { after };
            let at = self.network.ordered(Packet::ToDevice(conn, frame), now, after);
            self.wires.entry(conn).or_default().1 = at;
        }
    }

    // ---- a person's machine

    /// Carries effects out one by one, as long as the process lives.
    fn perform(&mut self, name: &str, effects: Vec<Effect>) {
        let mut trouble = None;
        for effect in effects {
            if self.person(name).app.is_none() {
                return;
            }
            // What waits for the disk keeps its order.
            if let Some(waiting) = self.person(name).stuck.as_mut().filter(|_| passes_the_disk(&effect)) {
                waiting.push_back(effect);
                continue;
            }
            if !self.lives(name) {
                return;
            }
            match effect {
                Effect::Commit(batch) => match self.write(name, &batch) {
                    Ok(()) => {}
                    Err(fault) => {
                        self.person(name).stuck = Some(VecDeque::from([Effect::Commit(batch)]));
                        trouble = Some(failure(&fault));
                    }
                },
                effect => self.perform_one(name, effect),
            }
        }
        if let Some(why) = trouble {
            self.event(name, Event::StoreFailed(why));
        }
    }

    /// Records first, then the slots one by one; the process may die in between.
    fn write(&mut self, name: &str, batch: &Batch) -> Result<(), Error> {
        let disk = self.app(name).store().clone();
        if !batch.records.is_empty() {
            disk.records.commit(&batch.records)?;
        }
        let (puts, erases): (Vec<_>, Vec<_>) =
            batch.slots.iter().cloned().partition(|write| matches!(write, SlotWrite::Put(..)));
        for write in puts.into_iter().chain(erases) {
            if !self.lives(name) {
                return Ok(());
            }
            disk.slots.apply(&[write])?;
        }
        Ok(())
    }

    /// One more effect of a limited life; false when it was the last.
    fn lives(&mut self, name: &str) -> bool {
        match &mut self.person(name).life {
            None => true,
            Some(0) => {
                self.kill(name);
                false
            }
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }

    fn perform_one(&mut self, name: &str, effect: Effect) {
        match effect {
            Effect::Send(frame) => self.sends(name, frame),
            Effect::Wake(at) => self.person(name).wake = Some(at.max(Millis(self.now.mono.0 + 1))),
            Effect::Media(media) => self.media(name, media),
            Effect::Avatar(path) => {
                let avatar = subrosa::media::avatar::read(&path).map_err(|error| error.to_string());
                self.event(name, Event::Avatar(avatar));
            }
            Effect::Notify { title, body } => self.person(name).notified.push(format!("{title}: {body}")),
            Effect::Title(text) => self.person(name).title = text,
            Effect::Copy(text) => self.person(name).copied.push(text),
            Effect::Tell(happened) => self.person(name).told.push(happened),
            Effect::Reconnect => {
                if self.person(name).conn.is_some() {
                    self.cut(name);
                } else {
                    self.network.put_at(Packet::Dial(name.into()), self.now.mono);
                }
            }
            Effect::Transfer(order) => self.transfers(name, order),
            Effect::Quit => self.kill(name),
            Effect::Stretch(job) => {
                let stretched = job.run(Cost::TINY, &mut self.rng);
                self.event(name, Event::Stretched(stretched));
            }
            Effect::StretchDoor(job) => {
                let stretched = job.run(Cost::TINY, &mut self.rng);
                self.event(name, Event::StretchedDoor(stretched));
            }
            _ => {}
        }
    }

    fn sends(&mut self, name: &str, frame: ToRelay) {
        let Some(conn) = self.person(name).conn else { return };
        if let ToRelay::Send(outgoing) = &frame {
            for head in &outgoing.to {
                // Type `next` (1 byte version, 1 byte type): session ‖ n. The same pair twice must be
                // the same ciphertext: a key seals once.
                if head.bytes.get(1) == Some(&NEXT) && head.bytes.len() > 26 {
                    let (place, sealed) = head.bytes.split_at(26);
                    let first = self.sealed.entry(place.to_vec()).or_insert_with(|| sealed.to_vec());
                    assert!(first == sealed, "{name} sealed twice under one key");
                }
            }
        }
        let (now, after) = (self.now.mono, self.wires.entry(conn).or_default().0);
        let at = self.network.ordered(Packet::ToRelay(conn, frame), now, after);
        self.wires.entry(conn).or_default().0 = at;
    }

    fn media(&mut self, name: &str, effect: MediaEffect) {
        let person = self.person(name);
        let Video { width, height, fps, kbps, .. } = person.config.video;
        let studio = &mut person.studio;
        match effect {
            MediaEffect::Start { stream, .. } => {
                let shape = Shape { width, height, fps, budget: kbps * 1000 };
                let sender = Sender::new(stream.track, &stream.key, stream.kid, shape);
                studio.sender = Some(sender.expect("settings are within bounds"));
                let source = Source::open(&Spec::Test(0), Size { width, height });
                studio.source = Some(source.expect("the test picture is always there"));
                if let Some(mirror) = &mut studio.mirror {
                    mirror.receiver = Some(Receiver::new(stream.track, &stream.key, stream.kid));
                }
                let Shape { width, height, .. } = Shape::default();
                let source = Source::open(&Spec::Test(0), Size { width, height });
                studio.source = Some(source.expect("the test picture is always there"));
            }
            MediaEffect::Live(on) => studio.live = on,
            MediaEffect::Pause(on) => {
                studio.paused = on;
                if let Some(sender) = studio.sender.as_mut().filter(|_| on) {
                    sender.rest();
                }
            }
            MediaEffect::Keyframe => {
                if let Some(sender) = &mut studio.sender {
                    sender.want_keyframe();
                }
            }
            MediaEffect::Budget(kbps) => {
                person.config.video.kbps = kbps;
                if let Some(sender) = &mut studio.sender {
                    sender.set_budget(kbps * 1000);
                }
            }
            MediaEffect::Shape { size: Size { width, height }, fps } => {
                let video = &mut person.config.video;
                (video.width, video.height, video.fps) = (width, height, fps);
                if let Some(sender) = &mut studio.sender {
                    sender.set_shape(width, height, fps).expect("in bounds");
                }
                if let Some(source) = &mut studio.source {
                    source.set_size(Size { width, height });
                }
            }
            MediaEffect::Stop => (studio.sender, studio.live) = (None, false),
            MediaEffect::Watch(stream) => {
                studio.receiver = Some(Receiver::new(stream.track, &stream.key, stream.kid));
            }
            MediaEffect::Unwatch(_) => studio.receiver = None,
        }
    }

    /// A person's camera takes one picture.
    pub fn films(&mut self, name: &str) {
        let now = self.now;
        let person = self.person(name);
        let studio = &mut person.studio;
        if !studio.live || studio.paused {
            return;
        }
        let (Some(sender), Some(conn)) = (&mut studio.sender, person.conn) else { return };
        let Some(source) = &mut studio.source else { return };
        let filmed = source.picture(Duration::from_millis(now.mono.0)).expect("the test picture never ends");
        let Some(picture) = filmed else { return };
        studio.filmed += 1;
        let datagrams = sender.send(&picture, now);
        self.goes_out(name, conn, datagrams);
    }

    fn goes_out(&mut self, name: &str, conn: Conn, datagrams: Vec<Vec<u8>>) {
        let now = self.now;
        let person = self.people.get_mut(name).expect("they have a connection");
        for datagram in datagrams {
            if let Some(mirror) = &mut person.studio.mirror {
                mirror.bytes += datagram.len();
                let picture = mirror.receiver.as_mut().and_then(|mirror| mirror.datagram(&datagram, now));
                mirror.shown.extend(picture.map(|picture| (person.studio.filmed, picture)));
            }
            let (length, up) = (datagram.len() + PACKET, &mut person.links[0]);
            self.network.datagram(Packet::MediaUp(conn, datagram), length, up, now.mono);
        }
    }

    /// Sends what does not wait for a picture: repeats, feedback.
    fn sends_due(&mut self, name: &str) {
        let now = self.now;
        let person = self.person(name);
        let Studio { sender: Some(sender), receiver, .. } = &mut person.studio else { return };
        if let Some(feedback) = receiver.as_mut().and_then(|receiver| receiver.feedback(now)) {
            sender.tell(feedback, now);
        }
        let datagrams = sender.poll(now);
        let Some(conn) = person.conn.filter(|_| person.studio.live) else { return };
        self.goes_out(name, conn, datagrams);
    }

    fn watched(&mut self, name: &str, bytes: &[u8]) {
        let now = self.now;
        let studio = &mut self.person(name).studio;
        let Some(receiver) = &mut studio.receiver else { return };
        studio.shown.extend(receiver.datagram(bytes, now).map(|picture| (now.mono, picture)));
        if let Some(sender) = &mut studio.sender {
            receiver.heard().inspect(|heard| sender.heard(heard, now));
            receiver.feedback(now).inspect(|feedback| sender.tell(*feedback, now));
        }
        let wants = receiver.wants_keyframe(now);
        let track = self.app(name).chat().call.as_ref().and_then(|call| call.watched());
        if let Some(track) = track.filter(|_| wants) {
            self.event(name, Event::Media(MediaEvent::WantKeyframe(track)));
        }
    }

    /// The connection of a person's client that runs.
    pub(crate) fn conn(&mut self, name: &str) -> Option<Conn> {
        let person = self.person(name);
        person.app.as_ref().and(person.conn)
    }

    /// The next piece of a file comes in so many milliseconds.
    pub(crate) fn piece_in(&mut self, name: &str, id: MessageId, millis: u64) {
        self.network.put_at(Packet::Piece(name.into(), id), Millis(self.now.mono.0 + millis));
    }

    fn room(&mut self, name: &str, with: &str) -> Option<RoomId> {
        if with.starts_with('#') {
            return self.app(name).chat().room_named(with).map(|room| room.id);
        }
        let disk = self.person(name).disk.clone();
        let rows = disk
            .records
            .scan(subrosa::chat::room::ROOMS, &[], &[], subrosa_shared::store::Order::Forward, usize::MAX)
            .expect("a memory store reads");
        rows.into_iter().find_map(|(key, value)| {
            let kept: subrosa::chat::room::Kept = postcard::from_bytes(&value).expect("a room reads");
            (kept.with.as_ref().is_some_and(|name| name.as_str() == with))
                .then(|| RoomId(key.try_into().expect("16 bytes")))
        })
    }

    pub(crate) fn person(&mut self, name: &str) -> &mut Person {
        self.people.get_mut(name).unwrap_or_else(|| panic!("nobody is called {name} in this story"))
    }
}

/// Settings of people whom no story wants to fall asleep, or to fetch files into the folder where the
/// tests run.
fn watched() -> Config {
    let mut config = Config::default();
    config.vault.idle_lock = "off".into();
    config.files.auto_mb = 0;
    config
}

/// What the store thread carries out, in its order; see `subrosa::runtime`.
fn passes_the_disk(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Commit(_)
            | Effect::Send(_)
            | Effect::Tell(_)
            | Effect::Transfer(_)
            | Effect::Export(_)
            | Effect::Reconnect
            | Effect::Quit
    )
}

/// What IPv4, UDP and QUIC add to a datagram: 20, 8, and a short header with an eight-byte connection
/// id, packet number, frame type and tag.
const PACKET: usize = 20 + 8 + 1 + 8 + 2 + 3 + 16;

/// Type byte of a session message that is not the first.
const NEXT: u8 = 1;

/// The relay's defaults without rate limits, which stories of many messages would meet.
fn open_limits() -> subrosa_relay::config::Config {
    subrosa_relay::config::Config::default()
}
