//! Two devices over a network that loses, repeats and reorders, crashing at every write.
//!
//! Each device does what the client does: the text and its ciphertext go into the batch that seals
//! it, a received text into the batch that opened it; what was not received is sent again, and a
//! session that cannot be opened is reset.

use super::world::{Device, Fate, HOUR, at};
use crate::id::SessionId;
use crate::protocol::auth::Peer;
use crate::session::{OpenError, SealError, UNREADABLE_START, Why};
use crate::store::{Batch, Table};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const OUTBOX: Table = Table { byte: 0x20, name: "outbox" };
const INBOX: Table = Table { byte: 0x21, name: "inbox" };

#[derive(Clone, Debug)]
enum Step {
    Say(bool, Fate),
    Signal(bool, Fate),
    Deliver { which: prop::sample::Index, repeat: bool, fate: Fate },
    Lose(prop::sample::Index),
    Restart(bool),
    Wait(u64),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Whole),
        1 => Just(Fate::Nothing),
        3 => (0..5usize).prop_map(Fate::Torn),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let deliver = (any::<prop::sample::Index>(), any::<bool>(), fate());
    prop_oneof![
        6 => (any::<bool>(), fate()).prop_map(|(who, fate)| Step::Say(who, fate)),
        2 => (any::<bool>(), fate()).prop_map(|(who, fate)| Step::Signal(who, fate)),
        8 => deliver.prop_map(|(which, repeat, fate)| Step::Deliver { which, repeat, fate }),
        1 => any::<prop::sample::Index>().prop_map(Step::Lose),
        1 => any::<bool>().prop_map(Step::Restart),
        1 => (1..30u64).prop_map(Step::Wait),
    ]
}

/// A session message on its way: to whom, and its bytes.
type Packet = (usize, Vec<u8>);

struct Network {
    devices: [Device; 2],
    peers: [Peer; 2],
    /// At the relay: one-time bundles, and a last-resort one.
    bundles: [(Vec<u8>, Vec<Vec<u8>>); 2],
    air: Vec<Packet>,
    /// Every durable ciphertext by session and number.
    sealed: BTreeMap<(SessionId, u64), Vec<u8>>,
    /// What each said, once it was durable.
    said: [Vec<Vec<u8>>; 2],
    texts: u32,
    hours: u64,
    /// Who answered which unknown session or start: once is enough while nothing is lost.
    answered: BTreeSet<(usize, Vec<u8>)>,
}

const TEXT: u8 = 0;
const SIGNAL: u8 = 1;
const RESET: u8 = 2;

impl Network {
    fn new(seed: u64) -> Self {
        let mut devices = [Device::new(seed), Device::new(!seed)];
        let peers = [devices[0].peer(), devices[1].peer()];
        let bundles = [0, 1].map(|who: usize| {
            let mut bundles = devices[who].publish(61, false);
            (bundles.remove(0), bundles)
        });
        let (air, sealed, answered) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        Self { devices, peers, bundles, air, sealed, said: Default::default(), texts: 0, hours: 0, answered }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Say(who, fate) => {
                self.texts += 1;
                let text = [[TEXT].as_slice(), &self.texts.to_be_bytes()].concat();
                if self.send(usize::from(*who), Why::Speech, &text, *fate) {
                    self.said[usize::from(*who)].push(text);
                }
            }
            Step::Signal(who, fate) => {
                self.send(usize::from(*who), Why::Signal, &[SIGNAL], *fate);
            }
            Step::Deliver { which, repeat, fate } if !self.air.is_empty() => {
                let at = which.index(self.air.len());
                let (to, bytes) = self.air[at].clone();
                let acknowledged = self.deliver(to, &bytes, *fate);
                if acknowledged && !repeat {
                    self.air.remove(at);
                }
            }
            Step::Lose(which) if !self.air.is_empty() => {
                self.air.remove(which.index(self.air.len()));
            }
            Step::Deliver { .. } | Step::Lose(_) => {}
            Step::Restart(who) => self.devices[usize::from(*who)].reload(),
            Step::Wait(hours) => {
                self.hours += hours;
                for device in &mut self.devices {
                    device.now = at(self.hours * HOUR);
                    device.expire();
                }
            }
        }
    }

    /// Seals, claiming a bundle if one is needed; says whether it is durable. What a crash kept from
    /// being sent lies in the outbox.
    fn send(&mut self, who: usize, why: Why, content: &[u8], fate: Fate) -> bool {
        let to = self.peers[1 - who];
        let needs = self.devices[who].sessions.needs_bundle(&to.device(), self.devices[who].now);
        if needs {
            self.claim(who);
        }
        let (sealed, mut batch) = match self.devices[who].try_seal(&to, why, content) {
            Ok(sealed) => sealed,
            Err(error) => panic!("{error} (needed a bundle: {needs})"),
        };
        assert!(sealed.bytes.len() <= crate::protocol::envelope::HEAD_MAX);
        if content[0] == TEXT {
            batch.put(OUTBOX, content, sealed.bytes.clone());
        }
        if !self.devices[who].commit(&batch, fate) {
            return false;
        }
        let before = self.sealed.insert((sealed.session, sealed.n), sealed.bytes.clone());
        assert_eq!(before, None, "a key and number sealed twice");
        if matches!(fate, Fate::Whole) {
            self.air.push((1 - who, sealed.bytes));
        }
        true
    }

    fn claim(&mut self, who: usize) {
        let (last_resort, one_time) = &mut self.bundles[1 - who];
        let bundle = one_time.pop().unwrap_or_else(|| last_resort.clone());
        let owner = self.peers[1 - who];
        let device = &mut self.devices[who];
        device.sessions.offer(&owner, &bundle, device.now).expect("verifies");
    }

    /// Says whether it is acknowledged.
    fn deliver(&mut self, who: usize, bytes: &[u8], fate: Fate) -> bool {
        match self.devices[who].try_open(bytes) {
            Ok((opened, mut batch)) => {
                assert_eq!(opened.from, self.peers[1 - who]);
                let written = self.sealed.get(&(opened.session, opened.n)).map(Vec::as_slice);
                assert_eq!(written, Some(bytes), "opened what was sealed");
                match opened.content[0] {
                    TEXT => batch.put(INBOX, opened.content.to_vec(), Vec::new()),
                    RESET => {
                        let session = SessionId(opened.content[1..].try_into().expect("an id"));
                        self.devices[who].sessions.reset(&opened.from.device(), session, &mut batch);
                        self.devices[who].commit(&batch, Fate::Whole);
                        self.send_again(who);
                        return true;
                    }
                    _ => {}
                }
                self.devices[who].commit(&batch, fate) && matches!(fate, Fate::Whole)
            }
            Err(OpenError::Repeated) => true,
            Err(OpenError::Unknown { session }) => {
                let about = session.map_or_else(|| bytes.to_vec(), |session| session.0.to_vec());
                if !self.answered.insert((who, about)) {
                    return true;
                }
                let session = session.unwrap_or(UNREADABLE_START);
                let mut batch = Batch::default();
                self.devices[who].sessions.restart(&self.peers[1 - who].device(), &mut batch);
                self.devices[who].commit(&batch, Fate::Whole);
                self.send(who, Why::Signal, &[[RESET].as_slice(), &session.0].concat(), Fate::Whole);
                true
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Seals anew all that the other did not receive.
    fn send_again(&mut self, who: usize) {
        for text in self.missing(who) {
            self.send(who, Why::Speech, &text, Fate::Whole);
        }
    }

    /// What the other did not receive of what this one said.
    fn missing(&self, who: usize) -> Vec<Vec<u8>> {
        let inbox = &self.devices[1 - who].store.records;
        let there = |text: &Vec<u8>| inbox.get(INBOX, text).expect("memory").is_some();
        self.said[who].iter().filter(|text| !there(text)).cloned().collect()
    }

    /// A good network at last: everything is sent again until all is there.
    fn settle(&mut self) {
        for _ in 0..12 {
            self.answered.clear();
            for delivered in 0.. {
                if self.air.is_empty() {
                    break;
                }
                assert!(delivered < 2000, "resets without an end");
                let (to, bytes) = self.air.remove(0);
                self.deliver(to, &bytes, Fate::Whole);
            }
            for who in [0, 1] {
                for text in self.missing(who) {
                    let bytes = self.devices[who].store.records.get(OUTBOX, &text).expect("memory");
                    self.air.push((1 - who, bytes.expect("kept until it is receipted")));
                }
            }
            if self.air.is_empty() {
                return;
            }
        }
        panic!("texts are lost: {:?} {:?}", self.missing(0), self.missing(1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, max_shrink_iters: 50, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_no_key_seals_twice(
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut network = Network::new(seed);
        for step in &steps {
            network.step(step);
        }
        network.settle();
        for who in [0, 1] {
            prop_assert!(network.missing(who).is_empty());
        }
    }
}

/// A conversation with turns, torn at each of its writes in turn.
#[test]
fn a_crash_at_every_write_of_a_conversation() {
    for torn in 0..5 {
        for crash in 0..12 {
            let mut network = Network::new(7);
            let fate = |at: usize| if at == crash { Fate::Torn(torn) } else { Fate::Whole };
            for turn in 0..6 {
                let who = (turn / 2) % 2 == 1;
                network.step(&Step::Say(who, fate(2 * turn)));
                for (to, bytes) in std::mem::take(&mut network.air) {
                    if !network.deliver(to, &bytes, fate(2 * turn + 1)) {
                        network.air.push((to, bytes));
                    }
                }
            }
            network.settle();
        }
    }
}

#[test]
fn a_seal_that_is_refused_changes_nothing() {
    let mut ada = Device::new(1);
    let ben = Device::new(2).peer();
    let refused = ada.try_seal(&ben, Why::Speech, b"x").map(|_| ());
    assert_eq!(refused, Err(SealError::NeedBundle));
    assert!(ada.slots().is_empty());
    assert!(ada.sessions.needs_bundle(&ben.device(), ada.now));
}
