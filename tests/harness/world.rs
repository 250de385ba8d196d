//! People, their relay and the network between them, on one thread with a clock that the test moves.
//!
//! The people are real [`App`]s over in-memory stores that survive their deaths; the relay is the
//! real one over an in-memory store that survives its crashes. Only QUIC is replaced: frames of a
//! connection arrive in order or the connection breaks, datagrams do as they like.

mod acting;
mod devices;
mod machine;
mod relay;
mod seen;
mod studio;
mod time;

use self::devices::Machine;
use self::studio::Studio;
use crate::files::Ports;
use crate::network::{Link, Network, Weather};
use crate::trouble::RelayDisk;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hasher;
use std::sync::Arc;
use subrosa::app::{App, Parts};
use subrosa::chat::talk::Account;
use subrosa::config::Config;
use subrosa::effect::{Effect, Happened};
use subrosa::event::Event;
use subrosa::term::Caps;
use subrosa_relay::blobs::Memory as Blobs;
use subrosa_relay::relay::{Conn, Relay};
use subrosa_shared::id::{AccountName, MessageId, Seq};
use subrosa_shared::protocol::frame::{ToDevice, ToRelay};
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::Identity;
use subrosa_shared::session::vault::{self, Cost};
use subrosa_shared::store::Store;
use subrosa_shared::store::memory::{Disk, MemorySlots};
use subrosa_shared::time::{Millis, Now};

/// When the story begins: 2026-01-01 00:00 UTC.
const BEGIN: u64 = 1_767_225_600_000;
/// How long a client waits before it connects again.
const RECONNECT: u64 = 500;
/// Seed of the relay's secret behind the passwords, the same after each restart.
const PASSWORDS: u64 = 11;
/// Milliseconds by which a delivery is late at most.
const LATE: u64 = 5_000;
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
    /// Deliveries that others overtake: they come up to five seconds later.
    pub late: u32,
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

/// What was said on a connection, as `subrosa::net::link` keeps it: what was meant for an earlier one is not.
#[derive(Clone, Copy, Default)]
struct Login {
    exporter: [u8; 32],
    said: bool,
    welcome: bool,
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
    /// Effects that wait for a store thread that does nothing at the moment, in order.
    late: Option<Vec<Effect>>,
    /// How far the machine's wall clock is off, in milliseconds.
    clock: i64,
    seed: [u8; 64],
    /// Of the vault, when the story gave this person one.
    header: Option<Vec<u8>>,
    name: AccountName,
    config: Config,
    pub(crate) conn: Option<Conn>,
    /// How far the login on it is.
    login: Login,
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

/// People, relay, network, clock.
pub struct World {
    people: BTreeMap<String, Person>,
    pub(crate) relay: Option<Relay>,
    /// When time alone changes something at the relay.
    relay_due: Option<Millis>,
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
    /// What was delivered on each connection since something came late, and not forgotten yet: whether it was
    /// acknowledged.
    delivered: HashMap<Conn, BTreeMap<Seq, bool>>,
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
    /// The same of every datagram of live pictures, by key, frame and fragment: a digest of what is sealed.
    filmed: HashMap<(studio::Key, u32, u8), u64>,
    /// Files on their way.
    pub(crate) ports: Ports,
}

impl World {
    /// A relay and nobody yet.
    pub fn new(seed: u64) -> Self {
        let mut world = Self {
            people: BTreeMap::new(),
            relay: None,
            relay_due: None,
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
            delivered: HashMap::new(),
            steps: 0,
            waiting: VecDeque::new(),
            busy: false,
            digest: DefaultHasher::new(),
            liar: None,
            visits: HashMap::new(),
            seen: None,
            sealed: HashMap::new(),
            filmed: HashMap::new(),
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
            late: None,
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
            login: Login::default(),
            sluggish: 0,
        };
        self.people.insert(name.to_string(), person);
    }

    // ---- devices

    /// Starts the client on what is on the disk.
    pub fn starts(&mut self, name: &str) {
        self.loads(name);
        self.event(name, Event::Resize(100, 30));
        self.event(name, Event::Focus(true));
        self.connects(name);
    }

    /// The same without a screen, as scripts do.
    pub fn starts_unseen(&mut self, name: &str) {
        self.loads(name);
        self.event(name, Event::Focus(false));
        self.connects(name);
    }

    fn loads(&mut self, name: &str) {
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
        self.carries_out(name, effects);
    }

    fn connects(&mut self, name: &str) {
        self.welcome(name);
        self.network.put_at(Packet::Dial(name.into()), self.now.mono);
    }

    /// The process is gone, without a word.
    pub fn kill(&mut self, name: &str) {
        let now = self.now;
        let person = self.person(name);
        (person.app, person.wake, person.life, person.stuck) = (None, None, None, None);
        (person.joining, person.late) = (None, None);
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
        self.carries_out(name, waiting.into());
        self.event(name, Event::StoreBack);
    }

    fn disk_full(&mut self, name: &str, full: bool) {
        let memory = self.person(name).memory.as_ref().expect("the world made this disk");
        memory.fill(full);
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

    // ---- what is seen

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

    // ---- a person's machine

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

/// What IPv4, UDP and QUIC add to a datagram: 20, 8, and a short header with an eight-byte connection
/// id, packet number, frame type and tag.
const PACKET: usize = 20 + 8 + 1 + 8 + 2 + 3 + 16;

/// The relay's defaults without rate limits, which stories of many messages would meet.
fn open_limits() -> subrosa_relay::config::Config {
    subrosa_relay::config::Config::default()
}
