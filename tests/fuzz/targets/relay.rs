//! The relay's core, driven by whatever three connections send: it answers, refuses or closes, and goes on
//! with a fourth.
#![no_main]

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::sync::LazyLock;
use subrosa_relay::config::Config;
use subrosa_relay::relay::{Conn, Out, Relay};
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::codec;
use subrosa_shared::protocol::frame::{Refusal, ToDevice, ToRelay};
use subrosa_shared::session::Identity;
use subrosa_shared::time::{Millis, Now};

const FINGERPRINT: [u8; 32] = [6; 32];

static PEOPLE: LazyLock<Vec<Identity>> = LazyLock::new(|| {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    (0..3).map(|_| Identity::generate(&mut rng)).collect()
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let rng = Box::new(ChaCha20Rng::seed_from_u64(2));
    let mut relay = Relay::in_memory(Config::default(), FINGERPRINT, rng);
    let from = [192, 0, 2, 1].into();
    let mut now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };
    let exporter = [7; 32];
    for (conn, person) in (0u64..).zip(&*PEOPLE) {
        relay.connected(Conn(conn), exporter, from, now);
        let name = AccountName::parse(["ada", "ben", "eve"][conn as usize]).expect("valid");
        let login = person.login(name, true, &FINGERPRINT, &exporter);
        relay.frame(Conn(conn), ToRelay::Authenticate(login), now);
    }
    let outs = relay.commit().expect("memory holds");
    let welcome = |out: &&Out| matches!(out, Out::Frame(_, ToDevice::Welcome(_)));
    assert_eq!(outs.iter().filter(welcome).count(), PEOPLE.len());
    // Records of: connection and kind, length, that many bytes.
    let mut data = data;
    while let [kind, length, rest @ ..] = data {
        let (bytes, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        data = rest;
        let conn = Conn(u64::from(kind & 3));
        match kind >> 2 {
            0 => relay.datagram(conn, bytes, now),
            1 => relay.gone(conn),
            2 => relay.connected(conn, exporter, from, now),
            3 => drop(relay.commit().expect("memory holds")),
            4 => {
                let ms = u64::from(*length) * 1000;
                now = Now { wall: Millis(now.wall.0 + ms), mono: Millis(now.mono.0 + ms) };
                relay.tick(now);
            }
            5 => relay.drain(),
            _ => match codec::decode::<ToRelay>(&[[codec::VERSION].as_slice(), bytes].concat()) {
                Ok(frame) => relay.frame(conn, frame, now),
                Err(_) => relay.malformed(conn, Refusal::Malformed),
            },
        }
    }
    relay.commit().expect("memory holds");
    // Of a connection that is certainly there, what is no frame is the end.
    let last = Conn(4);
    relay.connected(last, exporter, from, now);
    relay.malformed(last, Refusal::Malformed);
    let outs = relay.commit().expect("memory holds");
    assert!(outs.contains(&Out::Close(last, Refusal::Malformed)));
});
