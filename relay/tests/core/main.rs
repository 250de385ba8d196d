//! Stories of the relay without sockets: frames in, frames out, one clock that the test moves.

mod bounds;
mod doors;
mod heads;
mod lists;
mod operate;
mod sequences;

use ed25519_dalek::SigningKey;
use rand_core::OsRng;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use subrosa_relay::blobs::{self, Place};
use subrosa_relay::config::{Config, Limits, Rate, Registration};
use subrosa_relay::mailbox::Totals;
use subrosa_relay::passwords::Setup;
use subrosa_relay::relay::{Conn, Out, Relay};
use subrosa_shared::id::{AccountName, DeviceId, EnvelopeId, PrekeyId, Seq, TrackId};
use subrosa_shared::protocol::auth::{Cert, Login};
use subrosa_shared::protocol::devices::{DEVICES_MAX, SIGNATURES_IN_FRAME, Version};
use subrosa_shared::protocol::envelope::{Head, Keep, Outgoing};
use subrosa_shared::protocol::frame::{Ask, Refusal, Slot, ToDevice, ToRelay};
use subrosa_shared::protocol::media::Header;
use subrosa_shared::protocol::password::SESSIONS_MAX;
use subrosa_shared::protocol::prekey::{Bundle, EK, Kind};
use subrosa_shared::store::memory::{Memory, Rule, Ruled};
use subrosa_shared::store::{Error, Kv, Order, Table, Write};
use subrosa_shared::time::{Millis, Now};

const RELAY: [u8; 32] = [9; 32];

/// What the disk has no room for.
#[derive(Default)]
struct Room {
    /// What is not small.
    full: AtomicBool,
    /// Fuller than that: what is small has no room either.
    to_the_brim: AtomicBool,
}

impl Rule for Room {
    fn commit(&self, records: &Memory, writes: &[Write]) -> Result<(), Error> {
        let puts = writes.iter().any(|write| matches!(write, Write::Put(_, _, value) if value.len() > 64));
        let any = writes.iter().any(|write| matches!(write, Write::Put(..)));
        let no_room = (self.full.load(SeqCst) && puts) || (self.to_the_brim.load(SeqCst) && any);
        if no_room { Err(Error::Full) } else { records.commit(writes) }
    }
}

/// A relay, its disk, and devices numbered by their key.
struct Stage {
    relay: Relay,
    disk: Arc<Ruled<Room>>,
    /// For the bytes of files.
    files: Place,
    config: Config,
    setup: Setup,
    now: Now,
    next: u64,
}

fn key(device: u8) -> SigningKey {
    SigningKey::from_bytes(&[device; 32])
}

fn device(number: u8) -> DeviceId {
    DeviceId::of(&key(number).verifying_key().to_bytes())
}

fn name(number: u8) -> AccountName {
    AccountName::parse(&format!("name-{number}")).expect("valid")
}

fn bundle(of: u8, id: u8, kind: Kind) -> Vec<u8> {
    Bundle::sign(&key(of), PrekeyId([id; 16]), kind, Millis(u64::MAX), [id; 32], vec![4; EK]).encode()
}

fn envelope(id: u8, to: &[u8], body: &[u8]) -> Outgoing {
    let to = to.iter().map(|to| Head { to: device(*to), bytes: vec![id] }).collect();
    Outgoing { id: EnvelopeId([id; 16]), keep: Keep::Stored, to, body: body.to_vec(), moves: None }
}

fn accepted(id: u8) -> ToDevice {
    ToDevice::Accepted(EnvelopeId([id; 16]))
}

fn rejected(id: u8, why: Refusal) -> ToDevice {
    in_the_way(id, why, &[])
}

/// Rejected because of these.
fn in_the_way(id: u8, why: Refusal, who: &[u8]) -> ToDevice {
    let who = who.iter().map(|who| device(*who)).collect();
    ToDevice::Rejected { id: EnvelopeId([id; 16]), why, who }
}

fn refused(ask: u32, why: Refusal) -> ToDevice {
    ToDevice::Refused { ask: Some(Ask(ask)), why }
}

/// Ids of the delivered envelopes, by their first byte.
fn delivered(frames: &[ToDevice]) -> Vec<u8> {
    let id = |frame: &ToDevice| match frame {
        ToDevice::Deliver(delivery) => Some(delivery.id.0[0]),
        _ => None,
    };
    frames.iter().filter_map(id).collect()
}

impl Stage {
    fn new(limits: Limits) -> Self {
        Self::with(Config { limits, ..Config::default() })
    }

    fn with(config: Config) -> Self {
        let disk = Arc::new(Ruled::<Room>::default());
        let setup = Setup::generate(&mut OsRng);
        let files = Place::Memory(blobs::Memory::default());
        let relay =
            Relay::over(config.clone(), RELAY, setup.clone(), disk.clone(), files.clone(), Box::new(OsRng))
                .expect("an empty disk");
        let now = Now { wall: Millis(1_700_000_000_000), mono: Millis(1000) };
        Self { relay, disk, files, config, setup, now, next: 0 }
    }

    /// As after a power cut: only what was committed is there.
    fn restart(&mut self) {
        let (config, setup, files) = (self.config.clone(), self.setup.clone(), self.files.clone());
        self.relay = Relay::over(config, RELAY, setup, self.disk.clone(), files, Box::new(OsRng))
            .expect("the disk reads");
    }

    fn connect(&mut self) -> Conn {
        self.next += 1;
        let conn = Conn(self.next);
        self.relay.connected(conn, [self.next as u8; 32], IpAddr::V4(Ipv4Addr::LOCALHOST), self.now);
        conn
    }

    fn log_in_as(&mut self, conn: Conn, who: u8, name: AccountName, register: bool) -> Vec<Out> {
        let cert = Cert::sign(&key(who), &[who; 32]);
        let login = Login::sign(name, register, cert, &key(who), &RELAY, &[conn.0 as u8; 32]);
        self.relay.frame(conn, ToRelay::Authenticate(login), self.now);
        self.commit()
    }

    /// Connects, registers where needed, and returns what came after `Welcome`.
    fn join(&mut self, who: u8) -> (Conn, Vec<ToDevice>) {
        let conn = self.connect();
        let outs = self.log_in_as(conn, who, name(who), true);
        let mut frames = to(conn, &outs);
        assert!(matches!(frames.first(), Some(ToDevice::Welcome(_))), "{frames:?}");
        frames.remove(0);
        (conn, frames)
    }

    fn say(&mut self, conn: Conn, frame: ToRelay) -> Vec<Out> {
        self.relay.frame(conn, frame, self.now);
        self.commit()
    }

    fn answer(&mut self, conn: Conn, frame: ToRelay) -> Vec<ToDevice> {
        let outs = self.say(conn, frame);
        to(conn, &outs)
    }

    fn commit(&mut self) -> Vec<Out> {
        self.relay.commit().expect("the disk does not fail")
    }

    fn pass(&mut self, ms: u64) {
        self.now.wall.0 += ms;
        self.now.mono.0 += ms;
    }

    fn totals(&self) -> Totals {
        self.relay.mailbox().totals().expect("the disk reads")
    }
}

fn to(conn: Conn, outs: &[Out]) -> Vec<ToDevice> {
    let frame = |out: &Out| match out {
        Out::Frame(other, frame) if *other == conn => Some(frame.clone()),
        _ => None,
    };
    outs.iter().filter_map(frame).collect()
}

fn closes(conn: Conn, why: Refusal) -> [Out; 2] {
    [Out::Frame(conn, ToDevice::Refused { ask: None, why }), Out::Close(conn, why)]
}

#[test]
fn envelopes_come_in_order_and_again_until_acknowledged() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    let (ben, _) = stage.join(2);
    let mut got = Vec::new();
    for id in 1..=3 {
        let outs = stage.say(ada, ToRelay::Send(envelope(id, &[2], b"body")));
        assert_eq!(to(ada, &outs), [accepted(id)]);
        got.extend(to(ben, &outs));
    }
    assert_eq!(delivered(&got), [1, 2, 3]);
    stage.say(ben, ToRelay::Ack(Seq(1)));
    stage.relay.gone(ben);
    let (ben, again) = stage.join(2);
    assert_eq!(delivered(&again), [2, 3]);
    stage.say(ben, ToRelay::Ack(Seq(3)));
    stage.relay.gone(ben);
    assert_eq!(delivered(&stage.join(2).1), []);
}

#[test]
fn what_was_accepted_survives_a_restart_and_what_was_not_leaves_no_trace() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    stage.join(2);
    stage.say(ada, ToRelay::Send(envelope(1, &[2], b"kept")));
    stage.relay.frame(ada, ToRelay::Send(envelope(2, &[2], b"not committed")), stage.now);
    stage.restart();
    let (ada, _) = stage.join(1);
    let (ben, first) = stage.join(2);
    assert_eq!(delivered(&first), [1]);
    let outs = stage.say(ada, ToRelay::Send(envelope(2, &[2], b"again")));
    assert_eq!(delivered(&to(ben, &outs)), [2]);
}

#[test]
fn a_body_for_three_is_stored_once_and_goes_with_its_last_reader() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    let readers = [2, 3, 4].map(|who| stage.join(who).0);
    stage.say(ada, ToRelay::Send(envelope(1, &[2, 3, 4], &[0; 1000])));
    assert_eq!(stage.totals(), Totals { bytes: 1003, bodies: 1 });
    for reader in readers {
        assert_eq!(stage.totals().bodies, 1);
        stage.say(reader, ToRelay::Ack(Seq(1)));
    }
    assert_eq!(stage.totals(), Totals::default());
}

#[test]
fn a_repeat_is_accepted_again_and_delivered_once() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    let (ben, _) = stage.join(2);
    let first = stage.say(ada, ToRelay::Send(envelope(1, &[2], b"x")));
    let again = stage.say(ada, ToRelay::Send(envelope(1, &[2], b"x")));
    assert_eq!((to(ada, &again), delivered(&to(ben, &first))), (vec![accepted(1)], vec![1]));
    assert_eq!(to(ben, &again), []);
}

#[test]
fn an_envelope_goes_to_all_or_to_nobody() {
    let mut stage = Stage::new(Limits { mailbox_envelopes: 1, ..Limits::default() });
    let (ada, _) = stage.join(1);
    for who in [2, 3] {
        stage.join(who);
    }
    let unknown = stage.answer(ada, ToRelay::Send(envelope(1, &[2, 99], b"x")));
    assert_eq!(unknown, [in_the_way(1, Refusal::UnknownDevice, &[99])]);
    assert_eq!(stage.answer(ada, ToRelay::Send(envelope(2, &[2], b"x"))), [accepted(2)]);
    let full = stage.answer(ada, ToRelay::Send(envelope(3, &[3, 2], b"x")));
    assert_eq!(full, [in_the_way(3, Refusal::MailboxFull, &[2])]);
    // For a moment nothing passes it to who was in the way, and the others are named as not.
    let behind = stage.answer(ada, ToRelay::Send(envelope(5, &[2, 3], b"x")));
    assert_eq!(behind, [in_the_way(5, Refusal::MailboxFull, &[2])]);
    assert_eq!(stage.relay.mailbox().status(device(3)).expect("reads").count, 0);
    let huge = stage.answer(ada, ToRelay::Send(envelope(4, &[3], &[0; 48 * 1024 + 1])));
    assert_eq!(huge, [rejected(4, Refusal::TooLarge)]);
}

#[test]
fn the_quota_of_all_is_refused_clearly() {
    let mut stage = Stage::new(Limits { total_bytes: 100, ..Limits::default() });
    let (ada, _) = stage.join(1);
    let refusal = [rejected(1, Refusal::StorageFull)];
    assert_eq!(stage.answer(ada, ToRelay::Send(envelope(1, &[1], &[0; 100]))), refusal);
}

#[test]
fn a_full_disk_refuses_loses_nothing_and_the_relay_goes_on() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    let (ben, _) = stage.join(2);
    stage.say(ada, ToRelay::Send(envelope(1, &[2], &[0; 100])));
    stage.disk.rule.full.store(true, SeqCst);
    stage.relay.frame(ben, ToRelay::Ack(Seq(1)), stage.now);
    let outs = stage.say(ada, ToRelay::Send(envelope(2, &[2], &[0; 100])));
    assert_eq!(to(ada, &outs), [rejected(2, Refusal::StorageFull)]);
    assert_eq!(to(ben, &outs), []);
    assert_eq!(stage.totals(), Totals::default(), "the acknowledgement of the same group made room");
    let publish = ToRelay::Publish { ask: Ask(1), bundles: vec![bundle(1, 1, Kind::OneTime)] };
    assert_eq!(stage.answer(ada, publish), [refused(1, Refusal::StorageFull)]);
    let newcomer = stage.connect();
    let outs = stage.log_in_as(newcomer, 3, name(3), true);
    assert_eq!(outs, closes(newcomer, Refusal::StorageFull));
    stage.disk.rule.full.store(false, SeqCst);
    let next = stage.answer(ada, ToRelay::Send(envelope(3, &[2], &[0; 100])));
    assert_eq!(next, [rejected(3, Refusal::StorageFull)], "nothing overtakes what was refused");
    stage.pass(1000);
    let outs = stage.say(ada, ToRelay::Send(envelope(2, &[2], &[0; 100])));
    assert_eq!((to(ada, &outs), delivered(&to(ben, &outs))), (vec![accepted(2)], vec![2]));
}

#[test]
fn a_reader_that_does_not_acknowledge_gets_a_window_and_no_more() {
    let mut stage = Stage::new(Limits { window_envelopes: 2, ..Limits::default() });
    let (ada, _) = stage.join(1);
    let (ben, _) = stage.join(2);
    let mut got = Vec::new();
    for id in 1..=5 {
        let outs = stage.say(ada, ToRelay::Send(envelope(id, &[2], b"x")));
        got.extend(to(ben, &outs));
    }
    assert_eq!(delivered(&got), [1, 2]);
    let next = stage.answer(ben, ToRelay::Ack(Seq(1)));
    assert_eq!(delivered(&next), [3]);
    let next = stage.answer(ben, ToRelay::Ack(Seq(99)));
    assert_eq!(delivered(&next), [4, 5], "99 was never handed out; it counts as 3");
    assert_eq!(stage.relay.mailbox().status(device(2)).expect("reads").acked, Seq(3));
}

#[test]
fn what_is_fleeting_reaches_only_who_is_there() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    let (ben, _) = stage.join(2);
    let fleeting = |id| Outgoing { keep: Keep::Fleeting, ..envelope(id, &[2], b"") };
    let outs = stage.say(ada, ToRelay::Send(fleeting(1)));
    assert_eq!((to(ada, &outs), delivered(&to(ben, &outs))), (vec![accepted(1)], vec![1]));
    stage.relay.gone(ben);
    assert_eq!(stage.answer(ada, ToRelay::Send(fleeting(2))), [accepted(2)]);
    stage.say(ada, ToRelay::Send(envelope(3, &[2], b"kept")));
    assert_eq!(delivered(&stage.join(2).1), [3], "1 came too late the second time");
}

#[test]
fn a_mailbox_that_fleeting_envelopes_have_filled_is_empty_once_its_owner_is_back() {
    let limits = Limits { mailbox_envelopes: 5, window_envelopes: 2, ..Limits::default() };
    let mut stage = Stage::new(limits);
    let (ada, _) = stage.join(1);
    let (ben, _) = stage.join(2);
    let fleeting = |id| ToRelay::Send(Outgoing { keep: Keep::Fleeting, ..envelope(id, &[2], b"") });
    // Ben is half gone: nothing is acknowledged any more.
    for id in 1..=5 {
        assert_eq!(stage.answer(ada, fleeting(id)), [accepted(id)]);
    }
    let kept = ToRelay::Send(envelope(6, &[2], b"kept"));
    assert_eq!(stage.answer(ada, kept.clone()), [in_the_way(6, Refusal::MailboxFull, &[2])]);
    stage.relay.gone(ben);
    let (ben, came) = stage.join(2);
    assert_eq!(delivered(&came), []);
    stage.pass(1000);
    let outs = stage.say(ada, kept);
    assert_eq!((to(ada, &outs), delivered(&to(ben, &outs))), (vec![accepted(6)], vec![6]));
    // Those behind one that is kept go with its acknowledgement.
    for id in 7..=9 {
        assert_eq!(stage.answer(ada, fleeting(id)), [accepted(id)]);
    }
    stage.relay.gone(ben);
    let (ben, came) = stage.join(2);
    assert_eq!(delivered(&came), [6]);
    assert_eq!(stage.relay.mailbox().status(device(2)).expect("reads").count, 4);
    stage.say(ben, ToRelay::Ack(Seq(6)));
    stage.restart();
    assert_eq!(stage.relay.mailbox().status(device(2)).expect("reads").count, 0);
    assert_eq!(stage.totals(), Totals::default());
}

#[test]
fn prekeys_go_out_once_and_their_owner_hears_when_they_run_out() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    let (ben, _) = stage.join(2);
    let claim = ToRelay::Claim { ask: Ask(7), device: device(2) };
    assert_eq!(stage.answer(ada, claim.clone()), [refused(7, Refusal::NoPrekeys)]);
    let bundles = vec![bundle(2, 1, Kind::OneTime), bundle(2, 9, Kind::LastResort)];
    let publish = ToRelay::Publish { ask: Ask(1), bundles };
    assert_eq!(stage.answer(ben, publish.clone()), [ToDevice::Done(Ask(1))]);
    let prekey = |id, kind| ToDevice::Prekey { ask: Ask(7), device: device(2), bundle: bundle(2, id, kind) };
    let outs = stage.say(ada, claim.clone());
    assert_eq!(to(ada, &outs), [prekey(1, Kind::OneTime)]);
    assert_eq!(to(ben, &outs), [ToDevice::PrekeysLeft(0)]);
    stage.restart();
    let (ada, _) = stage.join(1);
    let (ben, _) = stage.join(2);
    stage.say(ben, publish);
    assert_eq!(stage.answer(ada, claim), [prekey(9, Kind::LastResort)], "1 is spent for ever");
    let unknown = ToRelay::Claim { ask: Ask(8), device: device(50) };
    assert_eq!(stage.answer(ada, unknown), [refused(8, Refusal::UnknownDevice)]);
}

#[test]
fn a_bundle_of_another_device_is_not_published() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    let foreign = ToRelay::Publish { ask: Ask(1), bundles: vec![bundle(2, 1, Kind::OneTime)] };
    assert_eq!(stage.answer(ada, foreign), [refused(1, Refusal::BadSignature)]);
    let junk = ToRelay::Publish { ask: Ask(2), bundles: vec![vec![1, 2, 3]] };
    assert_eq!(stage.answer(ada, junk), [refused(2, Refusal::Malformed)]);
}

#[test]
fn a_name_once_taken_stays_its_owners() {
    let mut stage = Stage::new(Limits::default());
    stage.join(1);
    stage.restart();
    let thief = stage.connect();
    assert_eq!(stage.log_in_as(thief, 2, name(1), true), closes(thief, Refusal::NameTaken));
    let owner = stage.connect();
    assert_eq!(stage.log_in_as(owner, 1, name(7), true), closes(owner, Refusal::NotAllowed), "a second name");
    let nobody = stage.connect();
    assert_eq!(stage.log_in_as(nobody, 3, name(3), false), closes(nobody, Refusal::UnknownAccount));
    let forged = stage.connect();
    let cert = Cert::sign(&key(1), &[1; 32]);
    let login = Login::sign(name(1), false, cert, &key(1), &RELAY, &[0xEE; 32]);
    let outs = stage.say(forged, ToRelay::Authenticate(login));
    assert_eq!(outs, closes(forged, Refusal::BadSignature), "of another connection");
}

#[test]
fn a_closed_relay_takes_no_newcomers_but_keeps_its_people() {
    let mut stage = Stage::new(Limits::default());
    stage.join(1);
    stage.config.registration = Registration::Closed;
    stage.restart();
    stage.join(1);
    let newcomer = stage.connect();
    let outs = stage.log_in_as(newcomer, 2, name(2), true);
    assert_eq!(outs, closes(newcomer, Refusal::RegistrationClosed));
}

#[test]
fn a_login_that_was_under_way_for_long_does_not_take_a_later_connection_s_place() {
    let mut stage = Stage::new(Limits::default());
    let old = stage.connect();
    let (new, _) = stage.join(1);
    let outs = stage.log_in_as(old, 1, name(1), false);
    assert_eq!(outs, closes(old, Refusal::Replaced));
    let outs = stage.say(new, ToRelay::Send(envelope(1, &[1], b"self")));
    assert_eq!(delivered(&to(new, &outs)), [1]);
}

#[test]
fn a_second_login_of_a_device_takes_over() {
    let mut stage = Stage::new(Limits::default());
    let (old, _) = stage.join(1);
    let new = stage.connect();
    let outs = stage.log_in_as(new, 1, name(1), false);
    assert_eq!(to(old, &outs), [ToDevice::Refused { ask: None, why: Refusal::Replaced }]);
    assert!(outs.contains(&Out::Close(old, Refusal::Replaced)));
    assert!(matches!(to(new, &outs)[..], [ToDevice::Welcome(_)]));
    stage.relay.gone(old);
    let outs = stage.say(new, ToRelay::Send(envelope(1, &[1], b"self")));
    assert_eq!(delivered(&to(new, &outs)), [1], "the old one's end changes nothing");
}

#[test]
fn presence_is_mutual() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    let (ben, _) = stage.join(2);
    assert_eq!(stage.say(ada, ToRelay::Roster(vec![device(2)])), []);
    let outs = stage.say(ben, ToRelay::Roster(vec![device(1)]));
    let online = |who, online| ToDevice::Presence { device: device(who), online };
    assert_eq!((to(ada, &outs), to(ben, &outs)), (vec![online(2, true)], vec![online(1, true)]));
    stage.relay.gone(ben);
    assert_eq!(stage.commit(), [Out::Frame(ada, online(2, false))]);
}

#[test]
fn a_picture_goes_to_its_watchers_and_ends_with_its_publisher() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    let (ben, _) = stage.join(2);
    let opened = stage.answer(ada, ToRelay::OpenTrack { ask: Ask(1), viewers: vec![device(2)] });
    let [ToDevice::Published { ask: Ask(1), track }] = opened[..] else { panic!("{opened:?}") };
    let outs = stage.say(ben, ToRelay::Watch { ask: Ask(2), track });
    assert_eq!(to(ben, &outs), [ToDevice::Watching { ask: Ask(2), track }]);
    assert_eq!(to(ada, &outs), [ToDevice::KeyframeWanted(track)]);
    assert_eq!(stage.say(ben, ToRelay::WantKeyframe(track)), [], "asked just now");
    stage.pass(250);
    assert_eq!(stage.answer(ben, ToRelay::WantKeyframe(track)), []);
    let datagram = Header { track, frame: 1, index: 0, count: 1, layer: 0, keyframe: true }.encode();
    stage.relay.datagram(ada, &datagram, stage.now);
    assert!(stage.commit().contains(&Out::Datagram(ben, datagram.to_vec().into())));
    stage.relay.datagram(ben, &datagram, stage.now);
    assert_eq!(stage.commit(), [], "not ben's track");
    let strange = stage.answer(ben, ToRelay::Watch { ask: Ask(3), track: TrackId(track.0 ^ 1) });
    assert_eq!(strange, [refused(3, Refusal::NotAllowed)]);
    stage.relay.gone(ada);
    assert_eq!(stage.commit(), [Out::Frame(ben, ToDevice::TrackEnded(track))]);
}

#[test]
fn rates_are_bounded_and_say_when_to_come_back() {
    let sends = Rate { per_minute: 60, burst: 1 };
    let mut stage = Stage::new(Limits { sends, ..Limits::default() });
    let (ada, _) = stage.join(1);
    assert_eq!(stage.answer(ada, ToRelay::Send(envelope(1, &[99], b""))).len(), 1);
    let again = stage.answer(ada, ToRelay::Send(envelope(2, &[1], b"")));
    assert_eq!(again, [rejected(2, Refusal::RateLimited { retry_ms: 1000 })]);
    stage.pass(1000);
    assert_eq!(stage.answer(ada, ToRelay::Send(envelope(2, &[1], b"")))[0], accepted(2));
}

#[test]
fn what_costs_the_relay_signatures_is_bounded() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    let late = |answer: &[ToDevice]| {
        matches!(answer, [ToDevice::Refused { why: Refusal::RateLimited { retry_ms: 1.. }, .. }])
    };
    let bundles: Vec<_> = (0..32).map(|id| bundle(1, id, Kind::OneTime)).collect();
    let publish = ToRelay::Publish { ask: Ask(1), bundles };
    for _ in 0..12 {
        assert_eq!(stage.answer(ada, publish.clone()), [ToDevice::Done(Ask(1))], "again and again the same");
    }
    assert!(late(&stage.answer(ada, publish.clone())));
    stage.pass(60_000);
    assert_eq!(stage.answer(ada, publish), [ToDevice::Done(Ask(1))]);

    // The largest lists, which are no good.
    let version = |number: u32| Version {
        name: name(1),
        number,
        previous: [0; 32],
        certs: (1..=DEVICES_MAX as u8).map(|who| Cert::sign(&key(who), &[number as u8; 32])).collect(),
        recovery: None,
        signer: [0; 32],
        signature: vec![0; 64],
    };
    let most = SIGNATURES_IN_FRAME / (DEVICES_MAX + 1);
    let lists = |count| ToRelay::PublishDevices { ask: Ask(2), versions: (0..count).map(version).collect() };
    assert_eq!(stage.answer(ada, lists(most as u32 + 1)), [refused(2, Refusal::TooLarge)]);
    for _ in 0..4 {
        assert_eq!(stage.answer(ada, lists(most as u32)), [refused(2, Refusal::BadSignature)]);
    }
    assert!(late(&stage.answer(ada, lists(most as u32))));
    stage.pass(1000);
    assert!(late(&stage.answer(ada, lists(1))));
    stage.pass(10_000);
    assert_eq!(stage.answer(ada, lists(1)), [refused(2, Refusal::BadSignature)]);

    // Nothing at all is handed over for the price of one.
    stage.pass(600_000);
    let nothing = ToRelay::Publish { ask: Ask(1), bundles: vec![] };
    for _ in 0..400 {
        assert_eq!(stage.answer(ada, nothing.clone()), [ToDevice::Done(Ask(1))]);
    }
    assert!(late(&stage.answer(ada, nothing)));
}

#[test]
fn how_often_a_device_lists_and_ends_sessions_is_bounded() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    let (list, end) = (ToRelay::Sessions { ask: Ask(1) }, ToRelay::EndSession { ask: Ask(2), id: 99 });
    // As often at once as it takes to end all that are listed, one after the other.
    for _ in 0..SESSIONS_MAX {
        let listed = stage.answer(ada, list.clone());
        assert!(matches!(&listed[..], [ToDevice::Sessions { sessions, .. }] if sessions.len() == 1));
        assert_eq!(stage.answer(ada, end.clone()), [refused(2, Refusal::NotAllowed)]);
    }
    let late = Refusal::RateLimited { retry_ms: 1000 };
    assert_eq!(stage.answer(ada, list.clone()), [refused(1, late)]);
    assert_eq!(stage.answer(ada, end), [refused(2, late)]);
    stage.pass(1000);
    assert_eq!(stage.answer(ada, list).len(), 1);
}

#[test]
fn whoever_does_not_log_in_or_speaks_out_of_turn_is_shown_out() {
    let mut stage = Stage::new(Limits::default());
    let silent = stage.connect();
    while stage.relay.tick(stage.now) <= stage.now.mono {}
    assert_eq!(stage.relay.tick(stage.now), Millis(stage.now.mono.0 + 5000));
    stage.pass(5000);
    stage.relay.tick(stage.now);
    assert_eq!(stage.commit(), closes(silent, Refusal::NotAllowed));
    let early = stage.connect();
    assert_eq!(stage.say(early, ToRelay::Ack(Seq(1))), closes(early, Refusal::Malformed));
    let junk = stage.connect();
    stage.relay.malformed(junk, Refusal::Version { spoken: 1 });
    assert_eq!(stage.commit(), closes(junk, Refusal::Version { spoken: 1 }));
}

#[test]
fn what_nobody_fetched_in_a_month_is_dropped() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    let (ben, _) = stage.join(2);
    stage.relay.gone(ben);
    stage.say(ada, ToRelay::Send(envelope(1, &[2], b"old")));
    stage.pass(30 * 24 * 3_600_000 + 1);
    stage.say(ada, ToRelay::Send(envelope(2, &[2], b"new")));
    while stage.relay.tick(stage.now) <= stage.now.mono {}
    stage.commit();
    assert_eq!(delivered(&stage.join(2).1), [2]);
    assert_eq!(stage.totals().bodies, 1);
}

#[test]
fn a_draining_relay_says_so_and_takes_nothing_new() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    stage.relay.drain();
    assert!(matches!(to(ada, &stage.commit())[..], [ToDevice::Draining { retry_ms: 500..3000 }]));
    let late = stage.answer(ada, ToRelay::Send(envelope(1, &[1], b"")));
    assert_eq!(late, [rejected(1, Refusal::Draining)]);
    let newcomer = stage.connect();
    assert_eq!(stage.log_in_as(newcomer, 2, name(2), true), closes(newcomer, Refusal::Draining));
}

#[test]
fn a_connection_without_a_login_opens_one_meeting_for_a_device_and_does_nothing_else() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    let slot = Slot(7);
    let (new, other) = (stage.connect(), stage.connect());
    assert_eq!(stage.answer(new, ToRelay::OpenSlot { ask: Ask(1), slot }), [ToDevice::Done(Ask(1))]);
    // No stranger joins it.
    let join = ToRelay::JoinSlot { ask: Ask(2), slot };
    assert_eq!(stage.answer(other, join.clone()), [refused(2, Refusal::NotAllowed)]);
    // It outlives the time of a login.
    stage.pass(60_000);
    stage.relay.tick(stage.now);
    assert_eq!(stage.answer(ada, join.clone()), [ToDevice::Done(Ask(2))]);
    let outs = stage.say(ada, ToRelay::Pass { slot, bytes: vec![1] });
    assert_eq!(to(new, &outs), [ToDevice::Passed { slot, bytes: vec![1] }]);
    let outs = stage.say(new, ToRelay::Pass { slot, bytes: vec![2] });
    assert_eq!(to(ada, &outs), [ToDevice::Passed { slot, bytes: vec![2] }]);
    // Any other frame ends it, and the device hears of it.
    let outs = stage.say(new, ToRelay::Ack(Seq(1)));
    assert_eq!(to(ada, &outs), [ToDevice::SlotClosed(slot)]);
    assert!(outs.contains(&Out::Close(new, Refusal::Malformed)));
    // The device goes on; its own meeting that ends closes the stranger's connection and not its.
    let new = stage.connect();
    stage.say(new, ToRelay::OpenSlot { ask: Ask(1), slot });
    stage.say(ada, join);
    let outs = stage.say(ada, ToRelay::CloseSlot(slot));
    assert_eq!(to(new, &outs).first(), Some(&ToDevice::SlotClosed(slot)));
    assert!(outs.contains(&Out::Close(new, Refusal::NotAllowed)));
    assert!(!outs.iter().any(|out| matches!(out, Out::Close(conn, _) if *conn == ada)));
}

#[test]
fn meetings_without_a_login_are_few_for_a_network_and_end_in_time() {
    let mut stage = Stage::new(Limits::default());
    let mut opened = Vec::new();
    let refusal = loop {
        let conn = stage.connect();
        let slot = Slot(opened.len() as u16);
        match stage.answer(conn, ToRelay::OpenSlot { ask: Ask(1), slot }).remove(0) {
            ToDevice::Done(_) => opened.push(conn),
            other => break other,
        }
    };
    assert_eq!(opened.len(), 6);
    assert!(matches!(refusal, ToDevice::Refused { why: Refusal::RateLimited { .. }, .. }), "{refusal:?}");
    let (ada, _) = stage.join(1);
    let own = ToRelay::OpenSlot { ask: Ask(1), slot: Slot(99) };
    assert_eq!(stage.answer(ada, own), [ToDevice::Done(Ask(1))], "a device is not held up by them");
    stage.pass(10 * 60_000);
    stage.relay.tick(stage.now);
    let outs = stage.commit();
    for conn in opened {
        assert!(outs.contains(&Out::Close(conn, Refusal::NotAllowed)));
    }
}
