//! The relay over real QUIC on loopback, with devices that behave and some that do not.

#[path = "quic/hostile.rs"]
mod hostile;

use ed25519_dalek::SigningKey;
use quinn::{Connection, ConnectionError, RecvStream, SendStream};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, NamedGroup, SignatureScheme};
use sha2::{Digest, Sha256};
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use subrosa_relay::config::{Config, Link};
use subrosa_relay::metrics::Count;
use subrosa_relay::server::{self, Server};
use subrosa_shared::id::{AccountName, DeviceId, DoorId, EnvelopeId, Seq};
use subrosa_shared::protocol::auth::{Cert, EXPORTER_LABEL, Login};
use subrosa_shared::protocol::blob::{self, BlobId};
use subrosa_shared::protocol::door::{Answer, Guess, Watch};
use subrosa_shared::protocol::envelope::{Head, Keep, Move, Outgoing};
use subrosa_shared::protocol::frame::{Ask, Refusal, ToDevice, ToRelay};
use subrosa_shared::protocol::media::Header;
use subrosa_shared::protocol::{ALPN, codec};
use tokio::time::timeout;

/// Everything here happens within a moment; this only ends a test that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("in time")
}

fn config(data: Option<&Path>) -> Config {
    Config {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        data: data.map(Path::to_path_buf),
        ..Config::default()
    }
}

async fn relay(data: Option<&Path>) -> Server {
    Server::start(config(data)).await.expect("starts")
}

/// Pins like a client, in its simplest form: any certificate, but its signature must hold.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".into()))
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// One endpoint that dials with this protocol name and these key exchanges.
fn endpoint(alpn: &[u8], groups: &[NamedGroup]) -> quinn::Endpoint {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    if !groups.is_empty() {
        provider.kx_groups.retain(|group| groups.contains(&group.name()));
    }
    let provider = Arc::new(provider);
    let mut tls = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    tls.alpn_protocols = vec![alpn.to_vec()];
    let quic = quinn::crypto::rustls::QuicClientConfig::try_from(tls).expect("QUIC");
    let mut endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("a socket");
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(quic)));
    endpoint
}

async fn dial(server: &Server) -> Connection {
    let connecting = endpoint(ALPN, &[]).connect(server.local_addr(), "relay").expect("dials");
    soon(connecting).await.expect("connects")
}

/// A device on the wire.
struct Device {
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
}

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

fn id(number: u8) -> DeviceId {
    DeviceId::of(&key(number).verifying_key().to_bytes())
}

fn envelope(number: u8, to: u8) -> ToRelay {
    let to = vec![Head { to: id(to), bytes: vec![number] }];
    ToRelay::Send(Outgoing {
        id: EnvelopeId([number; 16]),
        keep: Keep::Stored,
        to,
        body: vec![number; 5000],
        moves: None,
    })
}

impl Device {
    async fn open(server: &Server) -> Self {
        let connection = dial(server).await;
        let (send, receive) = soon(connection.open_bi()).await.expect("a stream");
        Self { connection, send, receive }
    }

    async fn join(server: &Server, number: u8) -> Self {
        let mut device = Self::open(server).await;
        let mut exporter = [0; 32];
        device.connection.export_keying_material(&mut exporter, EXPORTER_LABEL, &[]).expect("exports");
        let name = AccountName::parse(&format!("name-{number}")).expect("valid");
        let cert = Cert::sign(&key(number), &[number; 32]);
        let login = Login::sign(name, true, cert, &key(number), &server.link().fingerprint, &exporter);
        device.say(ToRelay::Authenticate(login)).await;
        assert!(matches!(device.hear().await, ToDevice::Welcome(_)));
        device
    }

    async fn say(&mut self, frame: ToRelay) {
        self.write(&codec::encode(&frame).expect("fits")).await;
    }

    async fn write(&mut self, bytes: &[u8]) {
        soon(self.send.write_all(bytes)).await.expect("written");
    }

    async fn hear(&mut self) -> ToDevice {
        let mut prefix = [0; codec::PREFIX];
        soon(self.receive.read_exact(&mut prefix)).await.expect("a frame");
        let mut bytes = vec![0; codec::length(prefix).expect("in bounds")];
        soon(self.receive.read_exact(&mut bytes)).await.expect("the whole frame");
        codec::decode(&bytes).expect("a frame")
    }

    /// The last word and the reason of the close.
    async fn farewell(&mut self) -> (ToDevice, String) {
        let last = self.hear().await;
        // A good client reads to the end, which is what the relay waits for.
        let _ = soon(self.receive.read_to_end(1 << 20)).await;
        (last, reason(&self.connection).await)
    }
}

async fn reason(connection: &Connection) -> String {
    match soon(connection.closed()).await {
        ConnectionError::ApplicationClosed(close) => String::from_utf8_lossy(&close.reason).into(),
        other => other.to_string(),
    }
}

fn refused(why: Refusal) -> ToDevice {
    ToDevice::Refused { ask: None, why }
}

#[tokio::test]
async fn two_devices_talk() {
    let server = relay(None).await;
    let mut ada = Device::join(&server, 1).await;
    let mut ben = Device::join(&server, 2).await;
    ada.say(envelope(7, 2)).await;
    assert_eq!(ada.hear().await, ToDevice::Accepted(EnvelopeId([7; 16])));
    let ToDevice::Deliver(delivery) = ben.hear().await else { panic!("no delivery") };
    assert_eq!((delivery.seq, delivery.from, delivery.body.len()), (Seq(1), id(1), 5000));
    server.shutdown().await;
}

#[tokio::test]
async fn what_was_accepted_survives_the_relays_end_and_so_does_its_link() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = relay(Some(dir.path())).await;
    let mut ada = Device::join(&server, 1).await;
    drop(Device::join(&server, 2).await);
    for number in 1..=20 {
        ada.say(envelope(number, 2)).await;
    }
    for number in 1..=20 {
        assert_eq!(ada.hear().await, ToDevice::Accepted(EnvelopeId([number; 16])));
    }
    let fingerprint = server.link().fingerprint;
    // Without a farewell, as a crash would.
    drop(server);
    let server = relay(Some(dir.path())).await;
    assert_eq!(server.link().fingerprint, fingerprint);
    let mut ben = Device::join(&server, 2).await;
    for number in 1..=20 {
        let ToDevice::Deliver(delivery) = ben.hear().await else { panic!("no delivery") };
        assert_eq!((delivery.seq.0, delivery.id), (u64::from(number), EnvelopeId([number; 16])));
    }
}

#[tokio::test]
async fn a_second_relay_on_a_folder_or_a_port_is_told_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = relay(Some(dir.path())).await;
    let same_folder = Server::start(config(Some(dir.path()))).await.err();
    assert!(matches!(same_folder, Some(server::Error::Locked(_))), "{same_folder:?}");
    let same_port = Config { listen: server.local_addr(), ..config(None) };
    let same_port = Server::start(same_port).await.err();
    assert!(matches!(same_port, Some(server::Error::InUse(_))), "{same_port:?}");
}

#[tokio::test]
async fn the_relay_says_goodbye() {
    let server = relay(None).await;
    let mut ada = Device::join(&server, 1).await;
    let (_, ()) = tokio::join!(
        async {
            assert!(matches!(ada.hear().await, ToDevice::Draining { retry_ms: 500.. }));
            let _ = soon(ada.receive.read_to_end(1 << 20)).await;
            assert_eq!(reason(&ada.connection).await, "draining");
        },
        server.shutdown(),
    );
}

#[tokio::test]
async fn a_picture_crosses_and_a_stranger_does_not_get_it() {
    let server = relay(None).await;
    let mut ada = Device::join(&server, 1).await;
    let mut ben = Device::join(&server, 2).await;
    let mut cy = Device::join(&server, 3).await;
    ada.say(ToRelay::OpenTrack { ask: Ask(1), viewers: vec![id(2)] }).await;
    let ToDevice::Published { track, .. } = ada.hear().await else { panic!("no track") };
    cy.say(ToRelay::Watch { ask: Ask(5), track }).await;
    let no = ToDevice::Refused { ask: Some(Ask(5)), why: Refusal::NotAllowed };
    assert_eq!(cy.hear().await, no);
    ben.say(ToRelay::Watch { ask: Ask(2), track }).await;
    assert_eq!(ben.hear().await, ToDevice::Watching { ask: Ask(2), track });
    assert_eq!(ada.hear().await, ToDevice::KeyframeWanted(track));
    let header = Header { track, frame: 1, index: 0, count: 1, layer: 0, keyframe: true };
    let datagram = [&header.encode()[..], b"sealed"].concat();
    ada.connection.send_datagram(datagram.clone().into()).expect("sent");
    assert_eq!(soon(ben.connection.read_datagram()).await.expect("arrives"), datagram);
    drop(ada);
    assert_eq!(ben.hear().await, ToDevice::TrackEnded(track));
}

#[tokio::test]
async fn bytes_that_are_no_frame_end_that_connection_only() {
    let server = relay(None).await;
    let mut ada = Device::join(&server, 1).await;
    let malformed = (refused(Refusal::Malformed), Refusal::Malformed.to_string());
    let too_large = (refused(Refusal::TooLarge), Refusal::TooLarge.to_string());

    let mut junk = Device::join(&server, 2).await;
    junk.write(&[0, 0, 0, 3, 1, 0xff, 0xff]).await;
    assert_eq!(junk.farewell().await, malformed);

    let mut cut_off = Device::join(&server, 2).await;
    cut_off.write(&[0, 0, 0, 100, 1, 5]).await;
    cut_off.send.finish().expect("finishes");
    assert_eq!(cut_off.farewell().await, malformed);

    let mut oversized = Device::join(&server, 2).await;
    oversized.write(&u32::MAX.to_be_bytes()).await;
    assert_eq!(oversized.farewell().await, too_large);

    let mut before_login = Device::open(&server).await;
    before_login.write(&2000u32.to_be_bytes()).await;
    assert_eq!(before_login.farewell().await, too_large);

    let mut newer = Device::open(&server).await;
    newer.write(&[0, 0, 0, 2, 2, 0]).await;
    let version = Refusal::Version { spoken: codec::VERSION };
    assert_eq!(newer.farewell().await, (refused(version), version.to_string()));

    ada.say(envelope(1, 1)).await;
    assert_eq!(ada.hear().await, ToDevice::Accepted(EnvelopeId([1; 16])), "others do not notice");
}

#[tokio::test]
async fn garbage_on_the_port_is_nothing() {
    let server = relay(None).await;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    for length in [0, 1, 20, 1200, 9000] {
        for byte in [0x00, 0x40, 0xC0, 0xFF] {
            socket.send_to(&vec![byte; length], server.local_addr()).expect("sent");
        }
    }
    let mut ada = Device::join(&server, 1).await;
    for bad in [&b""[..], b"x", &[1; 12], &[0xff; 1100]] {
        ada.connection.send_datagram(bad.to_vec().into()).expect("sent");
    }
    ada.say(envelope(1, 1)).await;
    assert_eq!(ada.hear().await, ToDevice::Accepted(EnvelopeId([1; 16])));
}

#[tokio::test]
async fn another_protocol_is_turned_away_in_the_handshake() {
    let server = relay(None).await;
    let connecting = endpoint(b"subrosa/99", &[]).connect(server.local_addr(), "relay").expect("dials");
    assert!(matches!(soon(connecting).await, Err(ConnectionError::ConnectionClosed(_))));
}

#[tokio::test]
async fn the_post_quantum_key_exchange_is_spoken() {
    assert_eq!(
        rustls::crypto::aws_lc_rs::default_provider().kx_groups[0].name(),
        NamedGroup::X25519MLKEM768,
        "first choice"
    );
    let server = relay(None).await;
    // A client that knows nothing else gets through, so it is what two of ours agree on.
    let only = endpoint(ALPN, &[NamedGroup::X25519MLKEM768]);
    soon(only.connect(server.local_addr(), "relay").expect("dials")).await.expect("connects");
}

#[tokio::test]
async fn silence_instead_of_a_login_is_bounded() {
    let link = Link { login_seconds: 1, ..Link::default() };
    let server = Server::start(Config { link, ..config(None) }).await.expect("starts");
    let no_stream = dial(&server).await;
    let mut silent = Device::open(&server).await;
    // A stream exists for the relay from its first byte on.
    silent.write(&[0]).await;
    assert_eq!(silent.farewell().await.0, refused(Refusal::NotAllowed));
    soon(no_stream.closed()).await;
    assert!(server.metrics().get(Count::Closed) >= 2);
}

#[tokio::test]
async fn more_connections_than_seats_are_refused() {
    let link = Link { connections_per_address: 1, ..Link::default() };
    let server = Server::start(Config { link, ..config(None) }).await.expect("starts");
    let _ada = Device::join(&server, 1).await;
    let connecting = endpoint(ALPN, &[]).connect(server.local_addr(), "relay").expect("dials");
    assert!(soon(connecting).await.is_err());
    assert_eq!(server.metrics().get(Count::TurnedAway), 1);
}

/// A stream of its own for a file.
struct Transfer {
    send: SendStream,
    receive: RecvStream,
}

impl Transfer {
    async fn open(connection: &Connection, request: blob::Request) -> Self {
        let (mut send, receive) = soon(connection.open_bi()).await.expect("a stream");
        soon(send.write_all(&codec::encode(&request).expect("fits"))).await.expect("written");
        Self { send, receive }
    }

    async fn hear(&mut self) -> blob::Answer {
        let mut prefix = [0; codec::PREFIX];
        soon(self.receive.read_exact(&mut prefix)).await.expect("an answer");
        let mut bytes = vec![0; blob::length(prefix).expect("in bounds")];
        soon(self.receive.read_exact(&mut bytes)).await.expect("the whole answer");
        codec::decode(&bytes).expect("an answer")
    }

    async fn stored(&mut self, wanted: u64) {
        loop {
            match self.hear().await {
                blob::Answer::Stored(stored) if stored == wanted => return,
                blob::Answer::Stored(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

const FILE: BlobId = BlobId([9; 16]);

#[tokio::test]
async fn a_file_passes_on_a_stream_of_its_own_and_frames_pass_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = relay(Some(dir.path())).await;
    let mut ada = Device::join(&server, 1).await;
    let mut ben = Device::join(&server, 2).await;
    let size = 3 * blob::UNIT + 7;
    let bytes: Vec<u8> = (0..size).map(|i| (i % 249) as u8).collect();
    let mut up = Transfer::open(&ada.connection, blob::Request::Put { id: FILE, size }).await;
    assert_eq!(up.hear().await, blob::Answer::Ready { size, stored: 0 });
    soon(up.send.write_all(&bytes[..blob::UNIT as usize + 5])).await.expect("written");
    // What came is safe after a moment, and counts in whole chunks.
    up.stored(blob::UNIT).await;
    // Halted in the middle of a chunk: texts go on.
    ada.say(envelope(7, 2)).await;
    assert_eq!(ada.hear().await, ToDevice::Accepted(EnvelopeId([7; 16])));
    assert!(matches!(ben.hear().await, ToDevice::Deliver(_)));
    // Whoever reads along gets what counts, and then the rest as it comes.
    let mut down = Transfer::open(&ben.connection, blob::Request::Get { id: FILE, from: 3 }).await;
    assert_eq!(down.hear().await, blob::Answer::Ready { size, stored: blob::UNIT });
    soon(up.send.write_all(&bytes[blob::UNIT as usize + 5..])).await.expect("written");
    up.stored(size).await;
    let got = soon(down.receive.read_to_end(1 << 20)).await.expect("to its end");
    assert!(got == bytes[3..]);
    drop(server);
    let server = relay(Some(dir.path())).await;
    let ben = Device::join(&server, 2).await;
    let mut down = Transfer::open(&ben.connection, blob::Request::Get { id: FILE, from: 0 }).await;
    assert_eq!(down.hear().await, blob::Answer::Ready { size, stored: size });
    assert!(soon(down.receive.read_to_end(1 << 20)).await.expect("to its end") == bytes);
    let mut deleted = Transfer::open(&ben.connection, blob::Request::Delete(FILE)).await;
    assert_eq!(deleted.hear().await, blob::Answer::Refused(blob::Refusal::NotAllowed), "it is Ada's");
    let ada = Device::join(&server, 1).await;
    let mut deleted = Transfer::open(&ada.connection, blob::Request::Delete(FILE)).await;
    assert_eq!(deleted.hear().await, blob::Answer::Done);
    let mut down = Transfer::open(&ben.connection, blob::Request::Get { id: FILE, from: 0 }).await;
    assert_eq!(down.hear().await, blob::Answer::Refused(blob::Refusal::Gone));
}

#[tokio::test]
async fn files_are_for_who_is_logged_in_and_nonsense_is_refused_alone() {
    let server = relay(None).await;
    let nobody = Device::open(&server).await;
    // The relay takes the stream for frames first.
    let mut asked = nobody.send;
    soon(asked.write_all(&[0])).await.expect("written");
    let mut up = Transfer::open(&nobody.connection, blob::Request::Put { id: FILE, size: 10 }).await;
    assert_eq!(up.hear().await, blob::Answer::Refused(blob::Refusal::NotAllowed));
    let mut ada = Device::join(&server, 1).await;
    let mut wrong = Transfer::open(&ada.connection, blob::Request::Put { id: FILE, size: u64::MAX }).await;
    assert!(matches!(wrong.hear().await, blob::Answer::Refused(blob::Refusal::TooLarge { .. })));
    for nonsense in [vec![0, 0, 1, 0], vec![0, 0, 0, 2, 1, 99], vec![0xff; 8]] {
        let (mut send, receive) = soon(ada.connection.open_bi()).await.expect("a stream");
        soon(send.write_all(&nonsense)).await.expect("written");
        let mut asked = Transfer { send, receive };
        assert_eq!(asked.hear().await, blob::Answer::Refused(blob::Refusal::Malformed), "{nonsense:?}");
    }
    ada.say(envelope(7, 1)).await;
    assert!(matches!(ada.hear().await, ToDevice::Accepted(_)), "the connection goes on");
}

#[tokio::test]
async fn an_operation_and_its_head_survive_the_relays_end_together() {
    let operation = |number: u8, from: u8| {
        let ToRelay::Send(outgoing) = envelope(number, 2) else { unreachable!("a send") };
        let guard = Sha256::digest([9; 32]).into();
        let moves = Move { handle: [7; 16], from: [from; 32], to: [number; 32], key: [9; 32], guard };
        ToRelay::Send(Outgoing { moves: Some(Box::new(moves)), ..outgoing })
    };
    let dir = tempfile::tempdir().expect("a folder");
    let server = relay(Some(dir.path())).await;
    let mut ada = Device::join(&server, 1).await;
    drop(Device::join(&server, 2).await);
    for number in 1..=5 {
        ada.say(operation(number, number - 1)).await;
        assert_eq!(ada.hear().await, ToDevice::Accepted(EnvelopeId([number; 16])));
    }
    // Without a farewell, as a crash would.
    drop(server);
    let server = relay(Some(dir.path())).await;
    let mut ada = Device::join(&server, 1).await;
    let why = Refusal::Outdated;
    ada.say(operation(6, 4)).await;
    assert_eq!(ada.hear().await, ToDevice::Rejected { id: EnvelopeId([6; 16]), why, who: vec![] });
    ada.say(operation(6, 5)).await;
    assert_eq!(ada.hear().await, ToDevice::Accepted(EnvelopeId([6; 16])));
    let mut ben = Device::join(&server, 2).await;
    for number in 1..=6 {
        let ToDevice::Deliver(delivery) = ben.hear().await else { panic!("no delivery") };
        assert_eq!(delivery.id, EnvelopeId([number; 16]));
    }
}

#[tokio::test]
async fn a_knock_waits_for_a_member_and_is_answered() {
    let server = relay(None).await;
    let mut ada = Device::join(&server, 1).await;
    let mut cy = Device::join(&server, 3).await;
    let door = DoorId([4; 16]);
    let watch = Watch { door, key: [9; 32], guard: Sha256::digest([9; 32]).into() };
    ada.say(ToRelay::WatchDoor { ask: Ask(1), watch: watch.clone() }).await;
    assert_eq!(ada.hear().await, ToDevice::Done(Ask(1)));
    ada.connection.close(0_u32.into(), b"");
    let mut ada = Device::join(&server, 1).await;
    cy.say(ToRelay::Knock { ask: Ask(1), door, bytes: vec![5; 4096] }).await;
    assert_eq!(cy.hear().await, ToDevice::Done(Ask(1)));
    assert_eq!(cy.hear().await, ToDevice::KnockHeard { door, heard: false });
    ada.say(ToRelay::WatchDoor { ask: Ask(2), watch }).await;
    assert_eq!(ada.hear().await, ToDevice::Done(Ask(2)));
    let ToDevice::Knocked(knocked) = ada.hear().await else { panic!("no knock") };
    assert_eq!((knocked.from, knocked.bytes.len()), (id(3), 4096));
    let answer = Answer { knock: knocked.knock, bytes: vec![6], guess: Guess::Taken, last: true };
    ada.say(ToRelay::AnswerKnock { ask: Ask(3), answer }).await;
    assert_eq!(cy.hear().await, ToDevice::KnockHeard { door, heard: true });
    assert_eq!(cy.hear().await, ToDevice::Answered { door, bytes: vec![6], last: true });
    assert_eq!(server.metrics().get(Count::DoorGuesses), 1);
}
