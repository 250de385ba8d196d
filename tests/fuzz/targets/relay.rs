//! The relay's core over a disk that can be full, driven by whatever connections send: it answers, refuses or
//! closes, and goes on with another one.
#![no_main]

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::sync::{Arc, LazyLock};
use subrosa_relay::blobs::{self, Place};
use subrosa_relay::config::Config;
use subrosa_relay::passwords::Setup;
use subrosa_relay::relay::{Conn, Out, Relay};
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::auth::Login;
use subrosa_shared::protocol::codec;
use subrosa_shared::protocol::devices::{DeviceList, Version};
use subrosa_shared::protocol::frame::{Ask, Refusal, ToDevice, ToRelay};
use subrosa_shared::protocol::prekey::Bundle;
use subrosa_shared::session::{Identity, Sessions};
use subrosa_shared::store::memory::{Disk, Memory, MemorySlots};
use subrosa_shared::store::{Batch, Store};
use subrosa_shared::time::{Millis, Now};

const FINGERPRINT: [u8; 32] = [6; 32];
const EXPORTER: [u8; 32] = [7; 32];
const NOW: Now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };
const ASK: Ask = Ask(9);

/// What somebody has signed, which no fuzzer would guess.
struct Person {
    /// By the first device, and by the other one that may be on the list.
    logins: [Login; 2],
    bundles: Vec<Vec<u8>>,
    /// The first device, the other one too, the first alone.
    versions: [Version; 3],
}

static PEOPLE: LazyLock<Vec<Person>> = LazyLock::new(|| {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let [ada, ben, eve, other] = [(); 4].map(|()| Identity::generate(&mut rng));
    let people = [("ada", ada), ("ben", ben), ("eve", eve)].into_iter();
    people.map(|(name, device)| Person::new(name, device, &other, &mut rng)).collect()
});

impl Person {
    fn new(name: &str, device: Identity, other: &Identity, rng: &mut ChaCha20Rng) -> Self {
        let name = AccountName::parse(name).expect("valid");
        let logins = [
            device.login(name.clone(), true, &FINGERPRINT, &EXPORTER),
            other.login(name.clone(), false, &FINGERPRINT, &EXPORTER),
        ];
        let begins = device.begins(&name);
        let alone = DeviceList::begin(&begins).expect("a list");
        let adds = device.adds(&alone, &other.cert()).expect("room for it");
        let both = alone.next(&adds).expect("follows");
        let removes = device.removes(&both, &other.device()).expect("it is there");
        let store = Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) };
        let (mut sessions, _) = Sessions::load(device, &store, NOW).expect("empty");
        let bundles = sessions.prekeys(0, false, rng, NOW, &mut Batch::default());
        let bundles = bundles.iter().map(Bundle::encode).collect();
        Self { logins, bundles, versions: [begins, adds, removes] }
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let (setup, disk) = (Setup::generate(&mut rng), Arc::new(Disk::default()));
    let files = Place::Memory(blobs::Memory::default());
    let mut relay = Relay::over(Config::default(), FINGERPRINT, setup, disk.clone(), files, Box::new(rng))
        .expect("empty");
    let from = [192, 0, 2, 1].into();
    let mut now = NOW;
    for (conn, person) in (0u64..).zip(&*PEOPLE) {
        relay.connected(Conn(conn), EXPORTER, from, now);
        relay.frame(Conn(conn), ToRelay::Authenticate(person.logins[0].clone()), now);
    }
    let outs = relay.commit().expect("memory holds");
    let welcome = |out: &&Out| matches!(out, Out::Frame(_, ToDevice::Welcome(_)));
    assert_eq!(outs.iter().filter(welcome).count(), PEOPLE.len());
    // What records call a connection; the last of them has not come yet, and none comes twice.
    let mut conns = [0, 1, 2, 3].map(Conn);
    let mut next = 4;
    // Records of: connection and kind, length (two bytes), that many bytes.
    let mut data = data;
    while let [kind, high, low, rest @ ..] = data {
        let length = u16::from_be_bytes([*high, *low]);
        let (bytes, rest) = rest.split_at(usize::from(length).min(rest.len()));
        data = rest;
        let at = usize::from(kind & 3);
        let conn = conns[at];
        // Of what somebody has signed: whose, from where on, how many.
        let [whose, first, count] =
            [0_usize, 1, 2].map(|at| usize::from(bytes.get(at).copied().unwrap_or(0)));
        let person = &PEOPLE[whose % PEOPLE.len()];
        match kind >> 2 {
            0 => relay.datagram(conn, bytes, now),
            1 => relay.gone(conn),
            2 => {
                conns[at] = Conn(next);
                next += 1;
                relay.connected(conns[at], EXPORTER, from, now);
            }
            3 => drop(relay.commit().expect("memory holds")),
            4 => {
                let ms = u64::from(length) * 1000;
                now = Now { wall: Millis(now.wall.0 + ms), mono: Millis(now.mono.0 + ms) };
                relay.tick(now);
            }
            5 => relay.drain(),
            6 => disk.fill(kind & 1 == 1),
            7 => relay.frame(conn, ToRelay::Authenticate(person.logins[first % 2].clone()), now),
            8 => {
                let bundles = person.bundles.iter().skip(first).take(count).cloned().collect();
                relay.frame(conn, ToRelay::Publish { ask: ASK, bundles }, now);
            }
            9 => {
                let versions = person.versions.iter().skip(first).take(count).cloned().collect();
                relay.frame(conn, ToRelay::PublishDevices { ask: ASK, versions }, now);
            }
            _ => match codec::decode::<ToRelay>(&[[codec::VERSION].as_slice(), bytes].concat()) {
                Ok(frame) => relay.frame(conn, frame, now),
                Err(_) => relay.malformed(conn, Refusal::Malformed),
            },
        }
    }
    relay.commit().expect("memory holds");
    // Of a connection that is certainly there, what is no frame is the end.
    let last = Conn(next);
    relay.connected(last, EXPORTER, from, now);
    relay.malformed(last, Refusal::Malformed);
    let outs = relay.commit().expect("memory holds");
    assert!(outs.contains(&Out::Close(last, Refusal::Malformed)));
});
