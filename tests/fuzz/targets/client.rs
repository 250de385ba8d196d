//! A client whose relay and whose contact say whatever they like: it goes on, what waits to go out has an end, and
//! what is on its disk starts again.
#![no_main]

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::sync::Arc;
use subrosa::app::{App, Parts};
use subrosa::chat::outbox::OUTBOX;
use subrosa::chat::talk::Account;
use subrosa::chat::wrapped::wrap;
use subrosa::config::Config;
use subrosa::effect::Effect;
use subrosa::event::{Event, LinkEvent};
use subrosa::term::Caps;
use subrosa::ui::command;
use subrosa_shared::content::Content;
use subrosa_shared::id::{AccountName, EnvelopeId, MessageId, Seq};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::protocol::codec;
use subrosa_shared::protocol::envelope::Delivery;
use subrosa_shared::protocol::frame::{ToDevice, ToRelay, Welcome};
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::pair::{Code, Guest, Shows};
use subrosa_shared::session::{Identity, Sessions, Why};
use subrosa_shared::store::memory::{Memory, MemorySlots};
use subrosa_shared::store::{Batch, Order, Store};
use subrosa_shared::time::{Millis, Now};

const RELAY: [u8; 32] = [4; 32];
/// What the person does.
const COMMANDS: [&str; 8] = [
    "/tell ben hello",
    "/accept ben",
    "/block ben",
    "/room new tea ben",
    "/video test",
    "/answer test",
    "/hangup",
    "/devices link",
];
/// Envelopes that may wait to go out, far above what so few words bring about.
const WAITING: usize = 5_000;
/// Questions that are answered at once.
const ANSWERS: usize = 8;

struct Scene {
    app: App,
    store: Store,
    starts: u64,
    now: Now,
    ben: Sessions,
    rng: ChaCha20Rng,
    ada: Peer,
    /// What Ben begins a session with.
    bundle: Vec<u8>,
    /// What was passed on to a new machine last.
    passed: Vec<u8>,
    delivered: u64,
}

fn memory() -> Store {
    Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) }
}

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("valid")
}

/// The client on what is on the disk; what it draws is another each time.
fn load(store: &Store, starts: u64, now: Now) -> (App, Vec<Effect>) {
    let relay = RelayLink { host: "relay.invalid".into(), port: 4433, fingerprint: RELAY, invite: None };
    let account = Account {
        name: name("ada"),
        relay: relay.to_string(),
        hosting: false,
        header: None,
        search: Default::default(),
    };
    let config = Config::default();
    let parts = Parts {
        account,
        identity: Identity::from_seed(&[1; 64]),
        store: store.clone(),
        caps: Caps::detect(|_| None, &config),
        config,
        rng: Box::new(ChaCha20Rng::seed_from_u64(starts)),
        vault: false,
    };
    App::load(parts, now).expect("what it wrote itself")
}

impl Scene {
    /// Ada, online, and Ben, whom she has let in.
    fn new() -> Self {
        let now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };
        let (store, ada) = (memory(), Identity::from_seed(&[1; 64]).peer());
        let (app, effects) = load(&store, 0, now);
        let (ben, _) = Sessions::load(Identity::from_seed(&[2; 64]), &memory(), now).expect("empty");
        let mut rng = ChaCha20Rng::seed_from_u64(u64::MAX);
        let id = MessageId::drawn(&ben.identity().peer().identity, &mut rng);
        let (bundle, passed) = (Vec::new(), Vec::new());
        let mut scene = Self { app, store, starts: 0, now, ben, rng, ada, bundle, passed, delivered: 0 };
        scene.carries_out(effects);
        scene.takes(Event::Resize(100, 30));
        scene.comes_online();
        assert!(!scene.bundle.is_empty(), "others can write to her");
        let hello = Content::Text { id, at: now.wall, body: "hello".into() };
        let hello = wrap(&hello, &mut scene.rng);
        scene.ben_says(&hello.inside);
        scene.runs("/accept ben");
        scene
    }

    fn comes_online(&mut self) {
        self.takes(Event::Link(LinkEvent::Connected { exporter: [3; 32] }));
        // One-time prekeys take their time, and the last resort is as good.
        let (prekeys_left, clock) = (1_000, self.now.wall.0);
        let newest = Seq(self.delivered);
        let welcome =
            Welcome { prekeys_left, last_resort_fresh: false, newest, clock, era: 1, motd: String::new() };
        self.hears(ToDevice::Welcome(welcome));
    }

    fn hears(&mut self, frame: ToDevice) {
        self.takes(Event::Link(LinkEvent::Frame(frame)));
    }

    fn runs(&mut self, text: &str) {
        self.takes(Event::Run(command::parse(text).expect("a command")));
    }

    /// One event, and answers to what the client asks about it.
    fn takes(&mut self, event: Event) {
        let effects = self.app.update(event, self.now);
        let mut answers = self.carries_out(effects);
        for _ in 0..ANSWERS {
            let Some(answer) = answers.pop() else { return };
            let effects = self.app.update(Event::Link(LinkEvent::Frame(answer)), self.now);
            answers.extend(self.carries_out(effects));
        }
    }

    fn carries_out(&mut self, effects: Vec<Effect>) -> Vec<ToDevice> {
        let mut answers = Vec::new();
        for effect in effects {
            match effect {
                Effect::Commit(batch) => self.store.commit(&batch).expect("memory"),
                Effect::Send(ToRelay::Publish { bundles, .. }) => {
                    self.bundle = bundles.into_iter().next_back().unwrap_or_default();
                }
                Effect::Send(ToRelay::Devices { ask, name, .. }) if name.as_str() == "ben" => {
                    let certs = vec![self.ben.identity().cert()];
                    answers.push(ToDevice::Devices { ask, name, versions: Vec::new(), certs });
                }
                Effect::Send(ToRelay::OpenSlot { ask, .. }) => answers.push(ToDevice::Done(ask)),
                Effect::Send(ToRelay::Pass { bytes, .. }) => self.passed = bytes,
                _ => {}
            }
        }
        answers
    }

    /// Ben seals these bytes.
    fn ben_says(&mut self, inside: &[u8]) {
        if self.ben.needs_bundle(&self.ada.device(), self.now)
            && self.ben.offer(&self.ada, &self.bundle, self.now).is_err()
        {
            return;
        }
        let mut batch = Batch::default();
        let sealed = self.ben.seal(&self.ada, Why::Speech, inside, &mut self.rng, self.now, &mut batch);
        let Ok(sealed) = sealed else { return };
        self.delivered += 1;
        let id = EnvelopeId::random(&mut self.rng);
        self.hears(ToDevice::Deliver(Delivery {
            seq: Seq(self.delivered),
            from: self.ben.identity().device(),
            name: name("ben"),
            id,
            head: sealed.bytes,
            body: Vec::new(),
        }));
    }

    /// Whoever was given the code for another device says this of itself.
    fn is_linked(&mut self, hello: &[u8]) {
        self.runs("/devices link");
        let Some(shown) = self.app.chat().linking.clone() else { return };
        let code = Code::parse(&shown.code).expect("as it is shown");
        let slot = code.slot();
        let (bytes, guest) = Guest::new(&code, Shows::Enrolled, &RELAY, &mut self.rng);
        self.hears(ToDevice::Passed { slot, bytes });
        let finished = guest.finish(&std::mem::take(&mut self.passed), hello, &mut self.rng);
        let Ok((bytes, _)) = finished else { return };
        self.hears(ToDevice::Passed { slot, bytes });
    }

    fn passes(&mut self, seconds: u64) {
        let later = |at: Millis| Millis(at.0 + seconds * 1000);
        self.now = Now { wall: later(self.now.wall), mono: later(self.now.mono) };
        self.takes(Event::Wake);
    }

    /// The process ends, and another one starts.
    fn restarts(&mut self) {
        self.starts += 1;
        let (app, effects) = load(&self.store, self.starts, self.now);
        self.app = app;
        self.carries_out(effects);
        self.comes_online();
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut scene = Scene::new();
    // Records of: kind, length (two bytes), that many bytes.
    let mut data = data;
    while let [kind, high, low, rest @ ..] = data {
        let length = u16::from_be_bytes([*high, *low]);
        let (bytes, rest) = rest.split_at(usize::from(length).min(rest.len()));
        data = rest;
        match kind % 7 {
            0 => {
                if let Ok(frame) = codec::decode::<ToDevice>(&[[codec::VERSION].as_slice(), bytes].concat()) {
                    scene.hears(frame);
                }
            }
            1 => scene.ben_says(bytes),
            2 => scene.passes(u64::from(length)),
            3 => {
                scene.takes(Event::Link(LinkEvent::Lost { why: "the network is away".into() }));
                scene.comes_online();
            }
            4 => scene.runs(COMMANDS[usize::from(bytes.first().copied().unwrap_or(0)) % COMMANDS.len()]),
            5 => scene.restarts(),
            _ => scene.is_linked(bytes),
        }
    }
    let waiting = scene.store.records.scan(OUTBOX, &[], &[], Order::Forward, usize::MAX).expect("memory");
    assert!(waiting.len() <= WAITING, "{} envelopes wait", waiting.len());
    scene.restarts();
});
