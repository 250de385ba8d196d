//! What the fuzz targets begin with: small valid inputs, written by the encoders of today. Each lies in
//! `tests/fuzz/corpus/TARGET/NAME`; one that its parser would not take any more is worth nothing, so each is
//! read here as its target reads it. After a change of a format: `CORPUS=write cargo test --test stories corpus::`.

use crossterm::event::Event;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use subrosa::chat::backup::State;
use subrosa::chat::search::query::Query;
use subrosa::chat::search::segment::{self, By, Doc};
use subrosa::config::Config;
use subrosa::export::keyfile;
use subrosa::files::preview;
use subrosa::media::receive::Receiver;
use subrosa::media::send::{Sender, Shape};
use subrosa::media::source::{Size, Source, Spec};
use subrosa::media::{avatar, feedback, reel, y4m};
use subrosa::rpc::method::Method;
use subrosa::rpc::wire;
use subrosa::term::input::{self, Input};
use subrosa::ui::composer::Composer;
use subrosa::ui::{command, text};
use subrosa_relay::admin::archive;
use subrosa_relay::config::Link;
use subrosa_relay::listener::{Key, server_config};
use subrosa_relay::porch::{Fate, Porch};
use subrosa_relay::tokens::TokenKey;
use subrosa_shared::content::rooms::{AboutRoom, RoomTalk};
use subrosa_shared::content::{Content, Mark};
use subrosa_shared::id::{
    AccountName, DeviceId, DoorId, EnvelopeId, MessageId, RoomId, RoomTag, Seq, TrackId,
};
use subrosa_shared::profile::AVATAR_SIDE;
use subrosa_shared::protocol::auth::{Cert, Login};
use subrosa_shared::protocol::blob::{self, Answer, BlobId, Request};
use subrosa_shared::protocol::codec::{self, PREFIX};
use subrosa_shared::protocol::devices::{self, DeviceList, Version};
use subrosa_shared::protocol::door::Watch;
use subrosa_shared::protocol::envelope::{Head, Keep, Outgoing};
use subrosa_shared::protocol::frame::{Ask, Refusal, ToDevice, ToRelay};
use subrosa_shared::protocol::link::{RelayLink, RoomLink};
use subrosa_shared::protocol::media::Header;
use subrosa_shared::protocol::password::KE2;
use subrosa_shared::protocol::prekey::Bundle;
use subrosa_shared::session::door::{Answer as DoorAnswer, At, Caller, Heard, Knocking, Lock, Secret};
use subrosa_shared::session::roomlog::{Entry, Log, Op, Policy};
use subrosa_shared::session::sframe::{Facts, Opener, Sealer};
use subrosa_shared::session::vault::{self, Cost};
use subrosa_shared::session::{Identity, Sessions, Why, door, message, opaque, pair, safety};
use subrosa_shared::store::memory::{Memory, MemorySlots};
use subrosa_shared::store::{Batch, Store, Table, Write, journal};
use subrosa_shared::time::{Millis, Now};
use subrosa_shared::video::codec::{self as video, Decoder, Encoder, Rate};
use subrosa_shared::video::picture::Picture;

const NOW: Now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };
const RELAY: [u8; 32] = [2; 32];
const EXPORTER: [u8; 32] = [3; 32];

/// By target and name.
type Seeds = BTreeMap<(&'static str, &'static str), Vec<u8>>;

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("valid")
}

/// A frame without its length and its version, which the targets put before it.
fn frame(frame: &impl Serialize) -> Vec<u8> {
    codec::encode(frame).expect("fits")[PREFIX + 1..].to_vec()
}

/// The byte that chooses, and what is chosen for.
fn chosen(choice: u8, data: &[u8]) -> Vec<u8> {
    [&[choice], data].concat()
}

fn picture(width: u16, height: u16) -> Picture {
    Picture::paint(width, height, |x, y| [(x * 5) as u8, (y * 7) as u8, 90]).expect("in bounds")
}

fn seeds() -> Seeds {
    let mut seeds = Seeds::new();
    let mut add = |target, name, bytes| {
        assert!(seeds.insert((target, name), bytes).is_none(), "{target}/{name} is there twice");
    };
    protocol(&mut add);
    relay(&mut add);
    client(&mut add);
    people(&mut add);
    sessions(&mut add);
    rooms(&mut add);
    pictures(&mut add);
    seeds
}

fn protocol(add: &mut impl FnMut(&'static str, &'static str, Vec<u8>)) {
    let mut writer = archive::Writer::new(Vec::new()).expect("memory");
    for record in [
        archive::Record::Made(NOW.wall),
        archive::Record::File { name: archive::FILES[0], content: vec![1; 40] },
        archive::Record::Put { table: 1, key: b"key".to_vec(), value: b"value".to_vec() },
        archive::Record::Delete { table: 2, key: b"other".to_vec() },
    ] {
        writer.record(&record).expect("short enough");
    }
    add("archive", "records", writer.end().expect("memory"));
    let empty = archive::Writer::new(Vec::new()).expect("memory");
    add("archive", "empty", empty.end().expect("memory"));

    let table = Table { byte: 1, name: "one" };
    let writes = [
        Write::Put(table, b"key".to_vec(), b"value".to_vec().into()),
        Write::Delete(table, b"other".to_vec()),
    ];
    let commit = journal::encode(MARK, 7, &writes).expect("short");
    add("journal", "commit", commit.clone());
    let mut two = commit;
    two.resize(journal::aligned(two.len()), 0);
    two.extend(journal::encode(MARK, 8, &[]).expect("short"));
    add("journal", "two", two);

    let text = Content::Text { id: MessageId([1; 16]), at: NOW.wall, body: "hello, ben".into() };
    add("content", "text", text.encode());
    add("content", "timed", Content::Timed { seconds: 60, inside: text.encode() }.encode());
    add(
        "content",
        "receipt",
        Content::Receipt { ids: vec![MessageId([1; 16]); 3], mark: Mark::Read }.encode(),
    );
    add("content", "typing", Content::Typing(true).encode());
    let want = AboutRoom { room: RoomTag([4; 16]), talk: RoomTalk::Want { from: 3 } };
    add("content", "room", Content::Room(want).encode());

    let to = vec![Head { to: DeviceId([5; 16]), bytes: vec![6; 20] }];
    let outgoing =
        Outgoing { id: EnvelopeId([7; 16]), keep: Keep::Stored, to, body: vec![8; 30], moves: None };
    add("frame", "send", frame(&ToRelay::Send(outgoing)));
    add("frame", "claim", frame(&ToRelay::Claim { ask: Ask(1), device: DeviceId([5; 16]) }));
    add("frame", "lookup", frame(&ToRelay::Lookup { ask: Ask(2), name: name("ben") }));
    add("frame", "ack", frame(&ToRelay::Ack(Seq(70_000))));
    let why = Refusal::RateLimited { retry_ms: 1500 };
    add("frame", "refused", frame(&ToDevice::Refused { ask: Some(Ask(2)), why }));
    add("frame", "accepted", frame(&ToDevice::Accepted(EnvelopeId([7; 16]))));

    let wrong = frame(&ToDevice::Refused { ask: None, why: Refusal::NotAllowed });
    add("password", "refused", chosen(3, &[&[wrong.len() as u8][..], &wrong].concat()));
    let state = State { head: None, contacts: Vec::new(), settings: "[screen]\nsidebar = 30\n".into() };
    add("password", "state", chosen(0, &state.encode()));
    add("password", "sealed", vec![2]);

    let request = Request::Put { id: BlobId([3; 16]), size: 1 << 20 };
    add("file", "put", chosen(0, &codec::encode(&request).expect("fits")[PREFIX..]));
    let answer = Answer::Refused(blob::Refusal::TooLarge { max: 1 << 20 });
    add("file", "refused", chosen(0, &codec::encode(&answer).expect("fits")[PREFIX..]));
    add("file", "chunk", vec![1]);
    add("file", "name", chosen(2, "../con:aux/\u{202e}gpj.exe".as_bytes()));

    add("porch", "initial", initial(&[]));
    let token = tokens().retry(from(), &[1; 8], NOW.wall, [9; 16]);
    add("porch", "answered", initial(&token));
    add("porch", "short", chosen(0x41, &[7; 40]));
    add("porch", "handshake", [&[0xE1, 0, 0, 0, 1, 8][..], &[1; 8], &[0], &[3; 60]].concat());
}

/// What devices say to a relay: records of a connection and a kind, a length of two bytes, so many bytes.
fn relay(add: &mut impl FnMut(&'static str, &'static str, Vec<u8>)) {
    let mut drawn = rng(1);
    // The second of those whom the target knows.
    let [_, ben] = [(); 2].map(|()| Identity::generate(&mut drawn).device());
    let (head, door) = (Head { to: ben, bytes: vec![6; 20] }, DoorId([1; 16]));
    let hello = Outgoing {
        id: EnvelopeId([7; 16]),
        keep: Keep::Stored,
        to: vec![head],
        body: vec![8; 30],
        moves: None,
    };
    let record = |kind: u8, conn: u8, bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).expect("short").to_be_bytes();
        [&[kind << 2 | conn][..], &length, bytes].concat()
    };
    let says = |conn: u8, said: ToRelay| record(FRAME, conn, &frame(&said));
    let claims = |ask: u32| says(0, ToRelay::Claim { ask: Ask(ask), device: ben });
    let commits = || record(COMMIT, 0, &[]);
    let watch = Watch { door, key: [9; 32], guard: [8; 32] };
    let frames = [
        says(0, ToRelay::Lookup { ask: Ask(1), name: name("ben") }),
        says(0, ToRelay::Send(hello.clone())),
        commits(),
        says(1, ToRelay::Ack(Seq(1))),
        says(0, ToRelay::OpenTrack { ask: Ask(2), viewers: vec![ben] }),
        says(2, ToRelay::WatchDoor { ask: Ask(3), watch }),
        says(1, ToRelay::Knock { ask: Ask(4), door, bytes: vec![5; 30] }),
        commits(),
    ];
    add("relay", "frames", frames.concat());
    // One goes and comes, then twenty seconds pass.
    let comings = [
        record(GONE, 0, &[]),
        record(COMES, 0, &[]),
        commits(),
        record(TICK, 0, &[0; 20]),
        record(DRAIN, 0, &[]),
        commits(),
    ];
    add("relay", "comings", comings.concat());
    // Whose, from which on, how many. The second of them has another device, which comes too.
    let devices = [
        record(PREKEYS, 1, &[1, 0, 3]),
        record(LIST, 1, &[1, 0, 2]),
        commits(),
        claims(1),
        record(COMES, 3, &[]),
        record(LOGIN, 3, &[1, 1]),
        commits(),
        record(GONE, 1, &[]),
        record(COMES, 1, &[]),
        record(LOGIN, 1, &[1, 0]),
        record(LIST, 1, &[1, 2, 1]),
        commits(),
    ];
    add("relay", "devices", devices.concat());
    // No room, and room again: by the lowest bit.
    let full = [
        record(PREKEYS, 1, &[1, 0, 2]),
        says(0, ToRelay::Send(hello.clone())),
        commits(),
        record(FULL, 1, &[]),
        claims(2),
        says(1, ToRelay::Ack(Seq(1))),
        commits(),
        record(FULL, 0, &[]),
        record(TICK, 0, &[0; 2]),
        says(0, ToRelay::Send(Outgoing { id: EnvelopeId([8; 16]), ..hello })),
        commits(),
    ];
    add("relay", "full", full.concat());
}

/// What comes to a client: records of a kind, a length of two bytes, so many bytes.
fn client(add: &mut impl FnMut(&'static str, &'static str, Vec<u8>)) {
    let record = |kind: u8, bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).expect("short").to_be_bytes();
        [&[kind][..], &length, bytes].concat()
    };
    let ben = Identity::from_seed(&[2; 64]).device();
    let frames = [
        ToDevice::Presence { device: ben, online: true },
        ToDevice::PrekeysLeft(3),
        ToDevice::Refused { ask: Some(Ask(1)), why: Refusal::NoPrekeys },
        ToDevice::Draining { retry_ms: 1000 },
    ];
    add("client", "frames", frames.iter().flat_map(|said| record(0, &frame(said))).collect());
    // Ben says something, and is answered; a minute later he types, and she starts again.
    let says = |content: Content| record(1, &chosen(0, &content.encode()));
    let text = Content::Text { id: MessageId([1; 16]), at: NOW.wall, body: "are you there?".into() };
    let said = [
        says(text),
        record(4, &[0]),
        record(2, &[0; 60]),
        says(Content::Typing(true)),
        record(5, &[]),
        record(3, &[]),
    ];
    add("client", "said", said.concat());
    let hello = postcard::to_stdvec(&(Identity::from_seed(&[3; 64]).cert(), "laptop")).expect("plain");
    add("client", "linked", [record(6, &hello), record(2, &[0; 20])].concat());
}

/// Kinds of records, as the target numbers them; above the last are frames.
const GONE: u8 = 1;
const COMES: u8 = 2;
const COMMIT: u8 = 3;
const TICK: u8 = 4;
const DRAIN: u8 = 5;
const FULL: u8 = 6;
const LOGIN: u8 = 7;
const PREKEYS: u8 = 8;
const LIST: u8 = 9;
const FRAME: u8 = 10;

/// What people and their programs write: settings, lines, searches, keys.
fn people(add: &mut impl FnMut(&'static str, &'static str, Vec<u8>)) {
    let client = "[video]\nkbps = 32\nterminal_kbps = 64\n\n[privacy]\nrequests = false\n\n[vault]\n\
                  idle_lock = \"15m\"\n\n[files]\nauto_mb = 5\n";
    add("config", "client", client.into());
    let relay = "listen = \"[::]:4433\"\nregistration = \"closed\"\n[limits]\n\
                 sends = { per_minute = 30000, burst = 5000 }\n\
                 guesses_name = { burst = 5, every_seconds = 180, a_day = 20, then_every_seconds = 1800 }\n\
                 [link]\nidle_seconds = 30\n";
    add("config", "relay", relay.into());
    add("config", "wrong", "[limits]\nsends = { per_minute = 0, burst = 1 }\n".into());

    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"status"},{"jsonrpc":"2.0","method":"quit"}]"#;
    add("rpc", "batch", [batch.as_bytes(), b"\n"].concat());
    // The target frames these.
    add("rpc", "history", r#"history{"with":"ben","before":7,"limit":20}"#.into());
    add("rpc", "send", r#"send{"to":"ben","text":"are you there?"}"#.into());
    add("rpc", "subscribe", r#"subscribe{"events":["message","mark"]}"#.into());

    add("words", "command", "/forward ben".into());
    add("words", "expire", "/expire 90m".into());
    let host = "relay.example.org".into();
    let link = RelayLink { host, port: 4433, fingerprint: [0; 32], invite: None };
    add("words", "link", link.to_string().into());
    add("words", "room", "/room link once for 2d".into());
    add("words", "source", "test".into());

    let doc = Doc { room: RoomId([4; 16]), pos: 7, at: NOW.wall, by: By::Me };
    let words = [[1; 8]];
    let part = segment::build([(&doc, &words[..])]);
    // Without the zeros behind what counts.
    let block = &part.blocks[0][..2 + 8 + 1 + 2];
    let docs = &part.docs[..part.docs.iter().rposition(|byte| *byte != 0).expect("a line") + 1];
    let search = |looked_for: &str, text: &str, bytes: &[u8]| {
        let lengths = [text, looked_for].map(|text| u8::try_from(text.len()).expect("short"));
        [looked_for.as_bytes(), text.as_bytes(), bytes, &lengths].concat()
    };
    let looked_for = "from:ben \"as a whole\" on:2026-01-31";
    add("search", "query", search(looked_for, "taken as a whole, it holds", block));
    add("search", "scripts", search("before:2026-01 東京 café", "a café in 東京", docs));

    let parts = |parts: &[(bool, &[u8])]| -> Vec<u8> {
        let part =
            |(settles, bytes): &(bool, &[u8])| [&[1, u8::from(*settles)][..], &listed(bytes), &[0]].concat();
        parts.iter().flat_map(part).collect()
    };
    let attributes: &[u8] = b"\x1b[?62;4;22c\x1b[?2026;2$y";
    let name: &[u8] = b"\x1b]11;rgb:1e1e/1e1e/2e2e\x1b\\\x1bP>|WezTerm 20240203\x1b\\";
    add("terminal", "answers", parts(&[(true, attributes), (true, name)]));
    // Both cut in the middle.
    let (press, release): (&[u8], &[u8]) = (b"\x1b[<0;10;5M\x1b[<0;1", b"0;5m\x1b[I\x1b[O");
    add("terminal", "mouse", parts(&[(false, press), (false, release)]));
    let (begin, end): (&[u8], &[u8]) = (b"\x1b[200~two\nlin", b"es\x1b[201~\x1b[1;3A\x1bOP");
    add("terminal", "paste", parts(&[(false, begin), (false, end)]));

    let typed = |columns: u8, words: &str, edits: &[u8]| {
        let length = u8::try_from(words.len()).expect("short");
        [&[columns][..], words.as_bytes(), &listed(edits), &[length]].concat()
    };
    add("text", "bidi", typed(20, "\u{202e}abc\u{2069} \u{1b}[31mred\u{7}", &[PASTE, 5, 15, 18]));
    let family = "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467} e\u{301}\u{301}";
    add("text", "joined", typed(7, family, &[PASTE, 1, 3, 21]));
}

/// As `arbitrary` reads a list: an odd byte before each entry. The lengths of texts it takes from the end.
fn listed(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| [1, *byte]).collect()
}

/// A paste, in the numbering of edits that the target `text` has.
const PASTE: u8 = 22;

const MARK: journal::Mark = journal::Mark([7; 16]);

fn tokens() -> TokenKey {
    TokenKey::new([1; 32])
}

fn from() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4433))
}

fn initial(token: &[u8]) -> Vec<u8> {
    let mut bytes = [&[0xC3, 0, 0, 0, 1, 8][..], &[1; 8], &[2, 9, 9, token.len() as u8], token].concat();
    bytes.resize(1200, 0);
    bytes
}

/// A device with a store of its own.
fn device(seed: u64) -> (Sessions, Store, ChaCha20Rng) {
    let mut rng = rng(seed);
    let store = Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) };
    let (sessions, _) = Sessions::load(Identity::generate(&mut rng), &store, NOW).expect("empty");
    (sessions, store, rng)
}

/// Ben, and the first message of a session with him.
fn first_message() -> (Sessions, Vec<u8>) {
    let ((mut ada, store, mut hers), (mut ben, his_store, mut his)) = (device(1), device(2));
    let mut batch = Batch::default();
    let bundle = ben.prekeys(1, true, &mut his, NOW, &mut batch).pop().expect("one is wanted").encode();
    his_store.commit(&batch).expect("memory");
    let to = ben.identity().peer();
    ada.offer(&to, &bundle, NOW).expect("verifies");
    let mut batch = Batch::default();
    let sealed = ada.seal(&to, Why::Speech, b"hello", &mut hers, NOW, &mut batch).expect("a prekey");
    store.commit(&batch).expect("memory");
    (ben, sealed.bytes)
}

fn chain() -> Vec<Version> {
    let [desk, laptop] = [1, 2].map(|seed| Identity::from_seed(&[seed; 64]));
    let mut chain = vec![desk.begins(&name("ada"))];
    let list = DeviceList::begin(&chain[0]).expect("a list");
    chain.push(desk.adds(&list, &laptop.cert()).expect("room for it"));
    chain
}

fn number() -> safety::Number {
    let (ada, ben) = (name("ada"), name("ben"));
    let ada = safety::Party { name: &ada, identity: &[1; 32] };
    safety::Number::of(ada, safety::Party { name: &ben, identity: &[2; 32] })
}

const FACTS: Facts = Facts { track: TrackId(1), frame: 0, keyframe: true, layer: 0 };

fn sessions(add: &mut impl FnMut(&'static str, &'static str, Vec<u8>)) {
    let login = Identity::generate(&mut rng(1)).login(name("ada"), true, &RELAY, &EXPORTER);
    add("credentials", "login", chosen(1, &postcard::to_stdvec(&login).expect("plain")));
    // Of another device than the one that the target knows: a second genuine one of that would verify too.
    let (mut ada, _, mut hers) = device(9);
    let bundle = ada.prekeys(1, true, &mut hers, NOW, &mut Batch::default()).pop().expect("one is wanted");
    add("credentials", "bundle", chosen(3, &bundle.encode()));
    add("credentials", "near", vec![0, 0, 10, 1]);

    add("devices", "chain", chosen(1, &postcard::to_stdvec(&chain()).expect("plain")));
    add("devices", "whole", vec![0]);
    add("devices", "near", vec![0, 0, 3, 128]);

    let keys = keyfile::Keys {
        name: name("ada"),
        relay: "subrosa://192.0.2.1:4433".into(),
        identity: [1; 32],
        noise: [2; 32],
        people: Vec::new(),
        list: Vec::new(),
    };
    let sealed = keyfile::seal(&keys, "a good passphrase", Cost::TINY, &mut rng(3)).expect("in bounds");
    add("keyfile", "sealed", sealed.into_bytes());

    // Which of the messages between two machines is changed, and how.
    add("rendezvous", "words", vec![0, 0, 0, 0x20]);
    add("rendezvous", "whole", vec![1]);
    add("rendezvous", "second", vec![2, 0, 20, 1]);
    add("rendezvous", "third", vec![3, 0, 20, 1]);
    add("rendezvous", "last", vec![5, 0, 3, 1]);
    // What is said to the second of these devices: whose it becomes, and the list.
    let chain = chain();
    let list = DeviceList::verify(&name("ada"), &chain).expect("a list");
    let welcome = (name("ada"), list.head(), Identity::from_seed(&[1; 64]).device());
    let mut told = vec![postcard::to_stdvec(&welcome).expect("plain")];
    told.extend(chain.iter().map(|version| postcard::to_stdvec(version).expect("plain")));
    let record = |bytes: &Vec<u8>| {
        let length = u16::try_from(bytes.len()).expect("short").to_be_bytes();
        [&length[..], bytes].concat()
    };
    add("rendezvous", "told", chosen(6, &told.iter().flat_map(record).collect::<Vec<u8>>()));

    let (ada, ben) = (name("ada"), name("ben"));
    add("safety", "code", chosen(2, number().code(&ben, &ada).to_string().as_bytes()));
    add("safety", "digits", chosen(2, number().to_string().as_bytes()));
    add("safety", "theirs", vec![0]);

    add("session", "first", chosen(7, &first_message().1));
    add("session", "near", vec![0, 0, 40, 1]);
    add("session", "late", vec![2, 0, 5, 1]);
    // Opened: version, no bundle, content; before that of a first message a certificate, version and hash.
    let inside = [&[0, 0, 0, 0, 0, 5][..], b"hello"].concat();
    add("session", "inside", chosen(5, &chosen(1, &inside)));
    add("session", "begins", chosen(5, &[&[3; 128][..], &[1], &[4; 32], &inside].concat()));

    let mut sealer = Sealer::new(&[4; 32], 300);
    add("sframe", "sealed", chosen(4, &sealer.seal(&FACTS, &[]).expect("counts on")));
    add("sframe", "whole", vec![1]);
    add("sframe", "near", vec![2, 0, 3, 1]);

    let header = vault::create("passphrase", Cost::TINY, &mut rng(1)).expect("bounded").1;
    add("vault", "header", chosen(0, &header));
    add("vault", "whole", vec![1]);
    add("vault", "near", vec![2, 0, 70, 1]);
}

fn rooms(add: &mut impl FnMut(&'static str, &'static str, Vec<u8>)) {
    let ada = Identity::generate(&mut rng(1));
    let root = ada.peer().identity;
    let (entry, _) = Log::found(&name("ada"), &root, "tea", Policy::default(), [1; 16], &ada, Millis(1))
        .expect("in bounds");
    add("rooms", "entry", entry.encode());
    // Of another room: in that of the target it would be one that was not made up.
    let (_, log) = Log::found(&name("ada"), &root, "tea", Policy::default(), [2; 16], &ada, Millis(1))
        .expect("in bounds");
    let topic = log.draft(&name("ada"), Op::Topic("black or green".into()), &ada, Millis(2));
    add("rooms", "topic", topic.expect("the owner may").encode());
    // What is sealed in a knock with a password, and in the answer to one.
    let password = zeroize::Zeroizing::new("gravel".to_owned());
    let (_, ke1) = opaque::Login::begin(password, &mut rng(7)).expect("short");
    let ke2: Vec<u8> = ke1.iter().copied().cycle().take(KE2).collect();
    let says = (name("ada"), root, ada.cert(), Millis(0), Some(ke1));
    add("rooms", "says", postcard::to_stdvec(&says).expect("plain"));
    add("rooms", "challenge", chosen(1, &postcard::to_stdvec(&(ke2, 3_u8)).expect("plain")));
    let relay = RelayLink { host: "192.0.2.1".into(), port: 4433, fingerprint: RELAY, invite: None };
    let link =
        RoomLink { relay, room: RoomTag([4; 16]), secret: zeroize::Zeroizing::new([5; 16]), password: true };
    add("rooms", "link", link.to_string().into_bytes());
    let (secret, at) = door();
    let (name, cert) = (name("ada"), ada.cert());
    let caller = Caller { name: &name, root: &root, cert: &cert, since: Millis(0) };
    let (knock, _) = Knocking::begin(&secret, &at, caller, None, &mut rng(5)).expect("no password");
    add("rooms", "knock", knock);
    let lock = Lock::make("gravel", RoomTag([1; 16]), Cost::TINY, &mut rng(6)).expect("made");
    add("rooms", "lock", lock.as_bytes().to_vec());
    add("rooms", "inside", Content::Typing(true).encode());
}

fn door() -> (Secret, At) {
    (Secret::from_bytes([7; 16]), At { relay: RELAY, room: RoomTag([1; 16]) })
}

/// Before what these pictures' targets are handed.
const Y4M: &[u8] = b"YUV4MPEG2 W4 H2 F25:1 C420\nFRAME\n";
const GIF: &[u8] = b"GIF89a\x02\x00\x02\x00\x80\x00\x00";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x02\x00\x00\x00\x02\x08\x02";
const JPEG: &[u8] = b"\xff\xd8\xff\xe0";
/// In a JPEG file, EXIF 2.3: one entry, the orientation; it is to be turned by 90 degrees.
const TURNED: &[u8] =
    b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";

fn pictures(add: &mut impl FnMut(&'static str, &'static str, Vec<u8>)) {
    let shape = Shape { width: 48, height: 32, ..Shape::default() };
    let mut sender = Sender::new(TrackId(7), &[1; 32], 1, shape).expect("in bounds");
    let sent = sender.send(&picture(48, 32), NOW);
    add("datagram", "first", sent.into_iter().next().expect("a picture is one at least"));
    // Records: which datagram of the target's own, how many bytes of changes, the changes.
    add("datagram", "all", (0..30).flat_map(|which| [which, 0]).collect());
    add("datagram", "near", [0, 0, 1, 3, 0, 20, 1, 2, 0].to_vec());

    let heard = feedback::Feedback {
        newest: 700,
        received: 900,
        held: 3,
        reference: Some(4),
        needs: true,
        late: false,
    };
    add("feedback", "with", feedback::encode(Some(&heard), b"frame"));
    add("feedback", "without", feedback::encode(None, b"frame"));

    let mut encoder = Encoder::new(48, 32, Rate::Quality(10)).expect("in bounds");
    let frames: Vec<Vec<u8>> =
        (0..2).map(|_| encoder.encode(&picture(48, 32), video::Ask::Any).bytes).collect();
    let mut records = Vec::new();
    for frame in &frames {
        records.extend(chosen(4, &[&[u8::try_from(frame.len()).expect("small")][..], frame].concat()));
    }
    add("video", "frames", records);
    add("video", "own", vec![0, 0, 1, 0, 2, 0, 3, 0]);
    add("video", "near", vec![0, 0, 1, 3, 0, 6, 1, 2, 0]);

    let header = reel::Header { fps: 10, width: 48, height: 32 };
    let mut writer = reel::Writer::new(Vec::new(), header).expect("memory");
    frames.iter().for_each(|frame| writer.write(frame).expect("memory"));
    add("reel", "two", writer.finish().expect("memory"));
    add(
        "reel",
        "empty",
        reel::Writer::new(Vec::new(), header).and_then(reel::Writer::finish).expect("memory"),
    );

    let face = avatar::encode(&picture(AVATAR_SIDE, AVATAR_SIDE)).expect("fits");
    add("profile", "avatar", chosen(1, &face));
    add("profile", "whole", vec![2]);
    add("profile", "near", vec![0, 0, 9, 1]);
    let mut small = Encoder::new(64, 48, Rate::Quality(24)).expect("in bounds");
    add("file", "preview", chosen(3, &small.encode(&picture(64, 48), video::Ask::Keyframe).bytes));

    add("pictures", "y4m", chosen(0, &[Y4M, &[128; 12]].concat()));
    add("pictures", "y4m-frame", chosen(1, &[128; 12]));
    // Two colours, one picture of two by two, its four pixels packed by LZW.
    let gif = [0, 0, 0, 255, 255, 255, 0x2C, 0, 0, 0, 0, 2, 0, 2, 0, 0, 2, 3, 0x44, 2, 5, 0, 0x3B];
    add("pictures", "gif", chosen(2, &gif));
    let pixels = image::RgbImage::from_fn(2, 2, |x, y| image::Rgb([(x * 200) as u8, (y * 200) as u8, 9]));
    let written = |pixels: &image::RgbImage, format| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        pixels.write_to(&mut bytes, format).expect("memory");
        bytes.into_inner()
    };
    let png = written(&pixels, image::ImageFormat::Png);
    add("pictures", "png", chosen(3, png.strip_prefix(PNG).expect("two by two")));
    let jpeg = written(&pixels, image::ImageFormat::Jpeg);
    add("pictures", "jpeg", chosen(4, jpeg.strip_prefix(JPEG).expect("JFIF")));

    let tall = image::RgbImage::from_fn(2, 4, |x, y| image::Rgb([(x * 200) as u8, (y * 60) as u8, 9]));
    add("preview", "webp", written(&tall, image::ImageFormat::WebP));
    let jpeg = written(&tall, image::ImageFormat::Jpeg);
    let (start, rest) = jpeg.split_at(2);
    add("preview", "turned", [start, TURNED, rest].concat());
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

#[test]
fn the_corpus_is_what_the_encoders_write_today() {
    let corpus = folder().join("corpus");
    for ((target, name), bytes) in seeds() {
        let path = corpus.join(target).join(name);
        if std::env::var_os("CORPUS").is_some_and(|what| what == "write") {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(&path, &bytes).expect("written");
        }
        let there = std::fs::read(&path).unwrap_or_default();
        assert!(there == bytes, "{target}/{name} is not what is written today: CORPUS=write writes it anew");
    }
}

#[test]
fn every_target_begins_with_something_and_with_little() {
    let listed = |folder: PathBuf| -> Vec<PathBuf> {
        let mut entries: Vec<PathBuf> =
            std::fs::read_dir(folder).expect("there").map(|entry| entry.expect("read").path()).collect();
        entries.sort();
        entries
    };
    let (mut all, mut there) = (0, BTreeSet::new());
    let targets = listed(folder().join("targets"));
    for target in &targets {
        let name = target.file_stem().expect("a file").to_string_lossy().into_owned();
        let files = listed(folder().join("corpus").join(&name));
        assert!((1..=30).contains(&files.len()), "{name} begins with {} inputs", files.len());
        all += files.iter().map(|file| file.metadata().expect("there").len()).sum::<u64>();
        let called = |file: &PathBuf| file.file_name().expect("a file").to_string_lossy().into_owned();
        there.extend(files.iter().map(|file| (name.clone(), called(file))));
    }
    let seeds = seeds();
    let written: BTreeSet<_> =
        seeds.keys().map(|(target, name)| (target.to_string(), name.to_string())).collect();
    assert_eq!(there, written, "each file is written by a seed, and each seed is there");
    assert!(all <= 200_000, "{all} bytes");
    assert_eq!(listed(folder().join("corpus")).len(), targets.len(), "a corpus without a target");
}

/// Whether the input's own target would get out of it what it is called after.
fn accepted(target: &str, name: &str, bytes: &[u8]) -> bool {
    let (choice, data) = bytes.split_first().expect("no seed is empty");
    match target {
        "archive" => {
            let mut reader = archive::Reader::new(bytes).expect("a backup");
            loop {
                match reader.record() {
                    Ok(Some(_)) => {}
                    other => return matches!(other, Ok(None)),
                }
            }
        }
        "config" => {
            let text = std::str::from_utf8(bytes).expect("text");
            let relay = toml::from_str::<subrosa_relay::config::Config>(text);
            match name {
                "client" => Config::parse(text).is_ok(),
                "relay" => relay.is_ok_and(|config| config.fault().is_none()),
                _ => relay.is_ok_and(|config| config.fault().is_some()),
            }
        }
        "client" => comes_to_a_client(bytes),
        "content" => Content::decode(bytes).is_ok(),
        "credentials" if *choice == 1 => {
            postcard::from_bytes::<Login>(data).is_ok_and(|login| login.verify(&RELAY, &EXPORTER).is_ok())
        }
        "credentials" if *choice == 3 => {
            Bundle::decode(data).is_ok_and(|bundle| bundle.verify(&bundle.device(), Millis(0)).is_ok())
        }
        "datagram" if name == "first" => {
            let picture = Receiver::new(TrackId(7), &[1; 32], 1).datagram(bytes, NOW);
            Header::decode(bytes).is_ok() && picture.is_some()
        }
        "datagram" => records(bytes)
            .is_some_and(|all| all.iter().all(|(_, script)| script.len() < 16 && script.len() % 3 == 0)),
        "devices" if *choice == 1 => postcard::from_bytes::<Vec<Version>>(data)
            .is_ok_and(|chain| DeviceList::verify(&ada(), &chain).is_ok()),
        "feedback" => feedback::decode(bytes).is_ok(),
        "file" => match choice {
            0 => codec::decode::<Request>(data).is_ok() || codec::decode::<Answer>(data).is_ok(),
            2 => std::str::from_utf8(data).is_ok(),
            3 => preview::decode(data).is_some(),
            _ => data.is_empty(),
        },
        "frame" => {
            let bytes = [&[codec::VERSION], bytes].concat();
            codec::decode::<ToRelay>(&bytes).is_ok() || codec::decode::<ToDevice>(&bytes).is_ok()
        }
        "journal" => journal::read(bytes, MARK).is_ok_and(|run| !run.frames.is_empty() && !run.cut_off),
        "keyfile" => keyfile::open(std::str::from_utf8(bytes).expect("text"), "a good passphrase").is_ok(),
        "password" => match choice {
            0 => State::decode(data).is_ok(),
            3 => codec::decode::<ToDevice>(&[&[codec::VERSION], &data[1..]].concat()).is_ok(),
            _ => data.is_empty(),
        },
        "pictures" => is_picture(*choice, data),
        "porch" => {
            let (key, link) = (Key::new().expect("made"), Link::default());
            let crypto = server_config(&key, &link).expect("usable").crypto;
            let mut porch = Porch::new(tokens(), crypto, &link, NOW.mono);
            porch.fate(bytes, from(), NOW, &mut rng(1)) != Fate::Drop
        }
        "preview" => {
            let mut file = tempfile::tempfile().expect("a temporary file");
            file.write_all(bytes).expect("written");
            preview::large(&mut file, bytes.len() as u64)
                .is_some_and(|picture| (picture.width() > picture.height()) == (name == "turned"))
        }
        "profile" if *choice == 1 => avatar::decode(data).is_some(),
        "reel" => {
            let mut reader = reel::Reader::open(bytes).expect("a reel");
            std::iter::from_fn(|| reader.next_frame().transpose()).all(|frame| frame.is_ok())
        }
        "relay" => is_said_to_a_relay(name, bytes),
        "rooms" => match name {
            "entry" | "topic" => Entry::decode(bytes).is_ok(),
            "says" | "challenge" => is_said_at_a_door(name, bytes),
            "link" => std::str::from_utf8(bytes).expect("text").parse::<RoomLink>().is_ok(),
            "lock" => Lock::from_bytes(bytes).is_ok(),
            "knock" => {
                let ((secret, at), device) = (door(), Identity::generate(&mut rng(1)).device());
                Heard::open(&secret, &at, (&device, &ada()), bytes, &mut rng(1)).is_ok()
            }
            _ => Content::decode(bytes).is_ok(),
        },
        "rpc" => is_asked(bytes),
        "safety" if *choice == 2 => {
            let text = std::str::from_utf8(data).expect("text");
            number().compare(&ada(), &ben(), text) == Ok(safety::Compared::Same)
        }
        "search" => is_found(name, bytes),
        "session" if *choice == 5 => {
            let again = message::respelt(data);
            again.len() == 1 && again[0].as_slice() == data
        }
        "session" if *choice == 7 => {
            let (mut ben, first) = first_message();
            first == data && ben.open(data, NOW, &mut Batch::default()).is_ok()
        }
        "sframe" if *choice == 4 => Opener::new(&[4; 32], 300).open(&FACTS, data).is_ok(),
        "terminal" => is_input(name, bytes),
        "text" => is_written(name, bytes),
        "vault" if *choice == 0 => vault::open(data, "passphrase").is_ok(),
        "video" => {
            let mut decoder = Decoder::new();
            records(bytes).is_some_and(|all| {
                all.iter().all(|(which, bytes)| match which {
                    0..4 => bytes.len() % 3 == 0,
                    _ => decoder.decode(bytes).is_ok(),
                })
            })
        }
        "words" => {
            let text = std::str::from_utf8(bytes).expect("text");
            match name {
                "link" => text.parse::<RelayLink>().is_ok(),
                "source" => Spec::parse(text).is_ok(),
                _ => command::parse(text).is_ok(),
            }
        }
        "rendezvous" if *choice == 0 => {
            let code = pair::Code::draw(&mut rng(1));
            let mut words = code.words().as_bytes().to_vec();
            for change in data.chunks(3) {
                words[usize::from(change[1])] ^= change[2];
            }
            pair::Code::parse(std::str::from_utf8(&words).expect("letters")) == Ok(code)
        }
        "rendezvous" if *choice == 6 => is_told(data),
        // Changes of something valid that the target has itself: nothing, or records of three bytes.
        _ => {
            let known = ["whole", "near", "late", "theirs", "second", "third", "last"];
            known.contains(&name) && data.len() % 3 == 0
        }
    }
}

fn ada() -> AccountName {
    name("ada")
}

fn ben() -> AccountName {
    name("ben")
}

/// Records of a byte, a length and so many bytes; `None` when the last is cut off.
fn records(mut data: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut records = Vec::new();
    while let [kind, length, rest @ ..] = data {
        let (bytes, rest) = rest.split_at_checked(usize::from(*length))?;
        records.push((*kind, bytes));
        data = rest;
    }
    data.is_empty().then_some(records)
}

/// The same with two bytes of length.
fn long_records(mut data: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut records = Vec::new();
    while let [kind, high, low, rest @ ..] = data {
        let (bytes, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
        records.push((*kind, bytes));
        data = rest;
    }
    data.is_empty().then_some(records)
}

/// A list as `arbitrary` reads it, and what is behind it.
fn list(mut data: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut list = Vec::new();
    while let [1, byte, rest @ ..] = data {
        list.push(*byte);
        data = rest;
    }
    (list, data.get(1..).unwrap_or_default())
}

fn is_said_to_a_relay(name: &str, bytes: &[u8]) -> bool {
    let Some(all) = long_records(bytes) else { return false };
    let whole = all.iter().all(|(kind, bytes)| match kind >> 2 {
        TICK => true,
        LOGIN => bytes.len() == 2,
        PREKEYS | LIST => bytes.len() == 3,
        0..FRAME => bytes.is_empty(),
        _ => codec::decode::<ToRelay>(&[&[codec::VERSION], *bytes].concat()).is_ok(),
    });
    let count = |wanted: u8| all.iter().filter(|(kind, _)| kind >> 2 == wanted).count();
    let said = match name {
        "frames" => count(FRAME) == 6,
        "devices" => [PREKEYS, LIST, LOGIN].map(count) == [1, 2, 2],
        "full" => count(FULL) == 2,
        _ => count(TICK) == 1 && count(DRAIN) == 1,
    };
    whole && said && count(COMMIT) > 0
}

fn comes_to_a_client(bytes: &[u8]) -> bool {
    let Some(all) = long_records(bytes) else { return false };
    all.iter().all(|(kind, bytes)| match kind {
        0 => codec::decode::<ToDevice>(&[&[codec::VERSION], *bytes].concat()).is_ok(),
        1 => bytes.strip_prefix(&[0]).is_some_and(|content| Content::decode(content).is_ok()),
        6 => postcard::from_bytes::<(Cert, String)>(bytes).is_ok_and(|(cert, _)| cert.verify().is_ok()),
        kind => *kind < 6,
    })
}

/// What is inside of a knock, or of the answer to one.
fn is_said_at_a_door(name: &str, bytes: &[u8]) -> bool {
    let ((secret, at), own, identity) = (door(), ada(), Identity::generate(&mut rng(1)));
    let device = identity.device();
    let says = |numbers: &[u8], step: u8| door::sealed(&secret, &at, &device, numbers, step, bytes);
    if name == "says" {
        let knock = [&[8; 16][..], &says(&[8; 16], 1)].concat();
        let lock = Lock::make("gravel", at.room, Cost::TINY, &mut rng(6)).expect("made");
        let heard = Heard::open(&secret, &at, (&device, &own), &knock, &mut rng(1));
        return heard.is_ok_and(|heard| heard.challenge(&lock, 3, &mut rng(1)).is_ok());
    }
    let (root, cert) = (identity.peer().identity, identity.cert());
    let caller = Caller { name: &own, root: &root, cert: &cert, since: Millis(0) };
    let password = Some(zeroize::Zeroizing::new("gravel".to_owned()));
    let (knock, mut knocking) =
        Knocking::begin(&secret, &at, caller, password, &mut rng(1)).expect("a short password");
    let numbers = [&knock[..16], &[9; 16]].concat();
    let answer = [&[9; 16][..], &says(&numbers, 2)].concat();
    matches!(knocking.answered(&answer), Ok(DoorAnswer::Challenge(_)))
}

/// Whose device somebody becomes, and that account's list with it.
fn is_told(mut data: &[u8]) -> bool {
    let mut told = Vec::new();
    while let [high, low, rest @ ..] = data {
        let Some((bytes, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))
        else {
            return false;
        };
        told.push(bytes);
        data = rest;
    }
    let (welcome, chain) = told.split_first().expect("a welcome");
    let (name, head, host): (AccountName, devices::Head, DeviceId) =
        postcard::from_bytes(welcome).expect("a welcome");
    let chain: Vec<Version> =
        chain.iter().map(|version| postcard::from_bytes(version).expect("a version")).collect();
    DeviceList::verify(&name, &chain).is_ok_and(|list| list.head() == head && list.get(&host).is_some())
}

/// Lines of requests, or a method with its parameters, that the JSON interface would carry out.
fn is_asked(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).expect("text");
    let line = match text.split_once('{') {
        Some((method, params)) if method != "[" => {
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}}}"#)
        }
        _ => text.to_owned(),
    };
    let line = wire::next_line(&mut line.as_bytes()).expect("memory").expect("a line");
    let asked = wire::Answers::default().expect(wire::read(&line));
    !asked.is_empty()
        && asked.into_iter().all(|(_, request)| {
            request.and_then(|request| Method::parse(&request.method, request.params)).is_ok()
        })
}

/// What is looked for stands in the text, and the index has what is behind it.
fn is_found(name: &str, bytes: &[u8]) -> bool {
    let Some((data, [text, looked_for])) = bytes.split_last_chunk::<2>() else { return false };
    let (looked_for, rest) = data.split_at(usize::from(*looked_for));
    let (text, rest) = rest.split_at(usize::from(*text));
    let [looked_for, text] = [looked_for, text].map(|bytes| std::str::from_utf8(bytes).expect("text"));
    let query = Query::parse(looked_for, "2026-01-31".parse().expect("a day"));
    let found = query.is_ok_and(|query| !query.terms.is_empty() && query.is_in(text));
    found
        && match name {
            "query" => segment::read(rest).is_some_and(|entries| entries.len() == 1),
            _ => segment::read_docs(rest).is_some_and(|docs| docs.len() == 1),
        }
}

fn is_input(name: &str, bytes: &[u8]) -> bool {
    let (mut decoder, mut inputs, mut data) = (input::Decoder::default(), Vec::new(), bytes);
    while let [1, settles, rest @ ..] = data {
        let (part, rest) = list(rest);
        decoder.feed(&part, &mut inputs);
        if *settles == 1 {
            decoder.settle(&mut inputs);
        }
        data = rest;
    }
    let whole = data.is_empty() && decoder.waits().is_none();
    whole
        && match name {
            "answers" => inputs.len() == 4 && inputs.iter().all(|input| matches!(input, Input::Answer(_))),
            "mouse" => {
                matches!(inputs[..], [Input::Event(Event::Mouse(_)), .., Input::Event(Event::FocusLost)])
            }
            _ => inputs.first() == Some(&Input::Event(Event::Paste("two\nlines".into()))),
        }
}

fn is_written(name: &str, bytes: &[u8]) -> bool {
    let [_columns, data @ .., length] = bytes else { return false };
    let (words, edits) = data.split_at(usize::from(*length));
    let (words, (edits, behind)) = (std::str::from_utf8(words).expect("text"), list(edits));
    let shown = text::harmless(words);
    let told = match name {
        "bidi" => shown != words && shown.contains("abc"),
        _ => shown.contains('\u{200d}'),
    };
    told && behind.is_empty() && edits.first() == Some(&PASTE) && Composer::default().paste(words).is_ok()
}

fn is_picture(choice: u8, data: &[u8]) -> bool {
    let head = [b"", Y4M, GIF, PNG, JPEG][usize::from(choice)];
    let bytes = [head, data].concat();
    if choice < 2 {
        let mut reader = y4m::Reader::open(bytes.as_slice()).expect("a y4m");
        return matches!(reader.next_picture(), Ok(Some(_)));
    }
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(&bytes).expect("written");
    let path = file.path().to_path_buf();
    let spec = if choice == 2 { Spec::Gif(path) } else { Spec::Stills(path) };
    let source = Source::open(&spec, Size { width: 32, height: 24 });
    source.is_ok_and(|mut source| {
        let _picture = source.picture(Duration::ZERO);
        true
    })
}

#[test]
fn each_seed_is_taken_by_its_parser() {
    for ((target, name), bytes) in seeds() {
        assert!(accepted(target, name, &bytes), "{target}/{name} is refused");
    }
}
