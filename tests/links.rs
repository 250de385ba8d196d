//! Relays that cannot be used, over real QUIC: what the client says, and that it goes on.

use rand_core::OsRng;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use subrosa::event::LinkEvent;
use subrosa::net::link::Link;
use subrosa_relay::config::{self, Config};
use subrosa_relay::listener::{Key, server_config};
use subrosa_relay::metrics::Count;
use subrosa_relay::server::Server;
use subrosa_shared::id::{AccountName, Seq};
use subrosa_shared::protocol::frame::{Refusal, ToDevice, ToRelay, Welcome};
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::protocol::{ALPN, codec};
use subrosa_shared::session::Identity;
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);
const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// A client's connection and what it reports.
struct Client {
    link: Link,
    events: mpsc::Receiver<LinkEvent>,
}

impl Client {
    fn dials(relay: RelayLink) -> Self {
        let (to, events) = mpsc::channel(64);
        Self { link: Link::start(relay, to, Arc::new(|_| ())), events }
    }

    async fn next(&mut self) -> LinkEvent {
        timeout(PATIENCE, self.events.recv()).await.expect("in time").expect("the task runs")
    }

    /// Why there is no connection; it is tried again.
    async fn lost(&mut self) -> String {
        match self.next().await {
            LinkEvent::Lost { why } => why,
            other => panic!("not lost but {other:?}"),
        }
    }

    /// Why there is no connection and will be none.
    async fn refused(&mut self) -> String {
        match self.next().await {
            LinkEvent::Refused { why } => why,
            other => panic!("not refused but {other:?}"),
        }
    }

    /// The connection is made; gives its exporter value, which a login is bound to.
    async fn connected(&mut self) -> [u8; 32] {
        match self.next().await {
            LinkEvent::Connected { exporter } => exporter,
            other => panic!("not connected but {other:?}"),
        }
    }
}

fn link(address: SocketAddr, fingerprint: [u8; 32]) -> RelayLink {
    RelayLink { host: address.ip().to_string(), port: address.port(), fingerprint, invite: None }
}

async fn relay(data: Option<&Path>) -> Server {
    let data = data.map(Path::to_path_buf);
    Server::start(Config { listen: LOOPBACK.into(), data, ..Config::default() }).await.expect("starts")
}

/// Listens like a relay with this key, and then does as the story likes.
fn listens(key: &Key) -> quinn::Endpoint {
    let config = server_config(key, &config::Link::default()).expect("a usable key");
    quinn::Endpoint::server(config, LOOPBACK.into()).expect("a free port")
}

/// Takes one connection with its stream, sends these bytes and waits until the client hangs up.
async fn says(endpoint: &quinn::Endpoint, bytes: &[u8], ends: bool) {
    let incoming = timeout(PATIENCE, endpoint.accept()).await.expect("in time").expect("open");
    let connection = incoming.await.expect("a handshake");
    // The client's first frame makes the stream known here.
    let (mut send, _receive) = connection.accept_bi().await.expect("a stream");
    send.write_all(bytes).await.expect("written");
    if ends {
        send.finish().expect("finished once");
    }
    timeout(PATIENCE, connection.closed()).await.expect("the client hangs up");
}

#[tokio::test]
async fn an_unknown_host_is_a_sentence_and_tried_again() {
    let relay = RelayLink { host: "relay.invalid".into(), port: 4433, fingerprint: [1; 32], invite: None };
    let mut client = Client::dials(relay);
    for _ in 0..2 {
        let why = client.lost().await;
        assert!(why.contains("relay.invalid") && why.contains("check the network"), "{why}");
    }
}

#[tokio::test]
async fn nobody_at_that_port_is_a_sentence_with_a_next_step() {
    // A socket that never answers: as a firewall that drops.
    let silent = UdpSocket::bind(LOOPBACK).expect("a port");
    let mut client = Client::dials(link(silent.local_addr().expect("bound"), [1; 32]));
    let why = client.lost().await;
    assert!(why.contains("is the relay running") && why.contains("firewall"), "{why}");
}

#[tokio::test]
async fn who_connects_again_does_not_prove_its_address_once_more() {
    let server = relay(None).await;
    let (identity, name) = (Identity::generate(&mut OsRng), AccountName::parse("ada").expect("valid"));
    let mut client = Client::dials(server.link().clone());
    let mut retries = Vec::new();
    for _ in 0..3 {
        let exporter = client.connected().await;
        let login = identity.login(name.clone(), true, &server.link().fingerprint, &exporter);
        client.link.send(ToRelay::Authenticate(login));
        let welcome = client.next().await;
        assert!(matches!(welcome, LinkEvent::Frame(ToDevice::Welcome(_))), "{welcome:?}");
        retries.push(server.metrics().get(Count::Retries));
        client.link.reconnect();
        client.lost().await;
    }
    assert!(retries[0] > 0 && retries[2] == retries[0], "{retries:?}");
}

#[tokio::test]
async fn a_relay_with_another_key_is_refused_until_the_person_asks() {
    let server = relay(None).await;
    let mut client = Client::dials(link(server.local_addr(), [9; 32]));
    let why = client.refused().await;
    assert!(why.contains("another key") && why.contains("ask its owner"), "{why}");
    // Not by itself, but when asked.
    client.link.reconnect();
    assert!(client.refused().await.contains("another key"));
    server.shutdown().await;
}

#[tokio::test]
async fn a_relay_of_another_version_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("key");
    let key = Key::read_or_make(&path).expect("made");
    let bytes = std::fs::read(&path).expect("read");
    // "subrosa relay key/1\n" ‖ length: u32 BE ‖ certificate ‖ PKCS #8.
    let (length, rest) = bytes[20..].split_first_chunk::<4>().expect("long enough");
    let (cert, secret) = rest.split_at(u32::from_be_bytes(*length) as usize);
    let mut tls =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from(cert.to_vec())],
                PrivatePkcs8KeyDer::from(secret.to_vec()).into(),
            )
            .expect("a usable key");
    assert_ne!(ALPN, b"subrosa/99");
    tls.alpn_protocols = vec![b"subrosa/99".to_vec()];
    let quic = quinn::crypto::rustls::QuicServerConfig::try_from(tls).expect("QUIC");
    let config = quinn::ServerConfig::with_crypto(Arc::new(quic));
    let endpoint = quinn::Endpoint::server(config, LOOPBACK.into()).expect("a free port");
    let mut client = Client::dials(link(endpoint.local_addr().expect("bound"), key.fingerprint()));
    let accepting = async {
        let incoming = endpoint.accept().await.expect("open");
        assert!(incoming.await.is_err(), "no common version");
    };
    let (why, ()) = tokio::join!(client.refused(), accepting);
    assert!(why.contains("another version of subrosa") && why.contains("update"), "{why}");
}

#[tokio::test]
async fn frames_that_are_none_end_the_connection_with_a_sentence_and_it_is_made_again() {
    let key = Key::new().expect("a key");
    let endpoint = listens(&key);
    let mut client = Client::dials(link(endpoint.local_addr().expect("bound"), key.fingerprint()));
    let welcome = ToDevice::Welcome(Welcome {
        prekeys_left: 0,
        last_resort_fresh: false,
        newest: Seq(0),
        clock: 0,
        era: 0,
        motd: String::new(),
    });
    let good = codec::encode(&welcome).expect("encodes");
    let mut wrong_version = good.clone();
    wrong_version[codec::PREFIX] ^= 0x40;
    let garbage = [good.as_slice(), &[0, 0, 0, 5, 250, 251, 252, 253, 254]].concat();
    let oversized = [u8::MAX; 64].to_vec();
    // Bytes, whether the stream ends behind them, frames that count, words of the sentence.
    let cases: [(Vec<u8>, bool, usize, &str); 4] = [
        (garbage, false, 1, "is no frame"),
        (oversized, false, 0, "is no frame"),
        (wrong_version, false, 0, "is no frame"),
        (good[..good.len() - 1].to_vec(), true, 0, "the connection to the relay ended"),
    ];
    for (bytes, ends, frames, words) in cases {
        let reporting = async {
            let exporter = client.connected().await;
            // As the client's login: until then the relay does not know of the stream.
            client.link.send(ToRelay::Authenticate(login(&key.fingerprint(), &exporter)));
            for _ in 0..frames {
                let event = client.next().await;
                assert!(matches!(event, LinkEvent::Frame(ToDevice::Welcome(_))), "{event:?}");
            }
            let why = client.lost().await;
            assert!(why.contains(words), "{why}");
        };
        tokio::join!(says(&endpoint, &bytes, ends), reporting);
    }
}

#[tokio::test]
async fn a_refusal_that_lasts_is_not_asked_for_again() {
    let key = Key::new().expect("a key");
    let endpoint = listens(&key);
    let mut client = Client::dials(link(endpoint.local_addr().expect("bound"), key.fingerprint()));
    let taken = codec::encode(&ToDevice::Refused { ask: None, why: Refusal::NameTaken }).expect("encodes");
    for _ in 0..2 {
        let reporting = async {
            let exporter = client.connected().await;
            client.link.send(ToRelay::Authenticate(login(&key.fingerprint(), &exporter)));
            let event = client.next().await;
            assert!(matches!(event, LinkEvent::Frame(ToDevice::Refused { .. })), "{event:?}");
        };
        tokio::join!(says(&endpoint, &taken, false), reporting);
        // Longer than the first pause between two tries.
        let again = timeout(Duration::from_millis(1500), endpoint.accept()).await;
        assert!(again.is_err(), "it was asked for again");
        client.link.reconnect();
    }
}

#[tokio::test]
async fn a_relay_that_ends_is_not_asked_again_before_the_time_that_it_named() {
    let key = Key::new().expect("a key");
    let endpoint = listens(&key);
    let mut client = Client::dials(link(endpoint.local_addr().expect("bound"), key.fingerprint()));
    let leaving = codec::encode(&ToDevice::Draining { retry_ms: 3_000 }).expect("encodes");
    let reporting = async {
        let exporter = client.connected().await;
        client.link.send(ToRelay::Authenticate(login(&key.fingerprint(), &exporter)));
        let event = client.next().await;
        assert!(matches!(event, LinkEvent::Frame(ToDevice::Draining { .. })), "{event:?}");
        client.lost().await;
    };
    tokio::join!(says(&endpoint, &leaving, true), reporting);
    // Longer than the pause without it.
    let again = timeout(Duration::from_millis(1500), endpoint.accept()).await;
    assert!(again.is_err(), "it came back too early");
    let again = timeout(PATIENCE, endpoint.accept()).await.expect("in time");
    assert!(again.is_some(), "and then it comes");
}

#[tokio::test]
async fn garbage_at_the_relays_port_harms_nobody() {
    let server = relay(None).await;
    let mut client = Client::dials(server.link().clone());
    client.connected().await;
    let socket = UdpSocket::bind(LOOPBACK).expect("a socket");
    for length in [0, 1, 7, 20, 300, 1200, 1400, 9000] {
        for fill in [0, 0x40, 0xC3, 0xFF] {
            socket.send_to(&vec![fill; length], server.local_addr()).expect("sent");
        }
    }
    // Neither who is here nor who comes.
    Client::dials(server.link().clone()).connected().await;
    assert!(client.events.try_recv().is_err(), "the first connection stands");
    server.shutdown().await;
}

fn login(relay: &[u8; 32], exporter: &[u8; 32]) -> subrosa_shared::protocol::auth::Login {
    let identity = subrosa_shared::session::Identity::from_seed(&[7; 64]);
    let name = subrosa_shared::id::AccountName::parse("ada").expect("valid");
    identity.login(name, true, relay, exporter)
}
