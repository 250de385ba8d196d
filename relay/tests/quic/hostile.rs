//! What strangers and bad devices can do to a relay, and what it costs them.

use super::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Instant;
use subrosa_relay::config::Limits;
use tokio::net::UdpSocket as Socket;
use tokio::task::JoinHandle;

/// Stands for an address that somebody else owns: what is sent from it reaches the relay, and nothing of
/// what the relay answers ever comes back. Counts both.
struct Forged {
    address: SocketAddr,
    sent: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
    /// More came back than was sent, at some moment.
    more: Arc<AtomicBool>,
    carrying: JoinHandle<()>,
}

impl Forged {
    async fn new(relay: SocketAddr) -> Self {
        let front = Socket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
        let back = Socket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
        back.connect(relay).await.expect("connects");
        let address = front.local_addr().expect("bound");
        let (sent, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let more = Arc::new(AtomicBool::new(false));
        let counts = (sent.clone(), answered.clone(), more.clone());
        let carrying = tokio::spawn(async move {
            let (mut out, mut home) = (vec![0; 2048], vec![0; 2048]);
            loop {
                tokio::select! {
                    biased;
                    Ok((length, _)) = front.recv_from(&mut out) => {
                        counts.0.fetch_add(length as u64, SeqCst);
                        // What does not fit into the relay's socket is lost, as anywhere.
                        let _ = back.send(&out[..length]).await;
                    }
                    Ok(length) = back.recv(&mut home) => {
                        let answered = counts.1.fetch_add(length as u64, SeqCst) + length as u64;
                        counts.2.fetch_or(answered > counts.0.load(SeqCst), SeqCst);
                    }
                }
            }
        });
        Self { address, sent, answered, more, carrying }
    }

    /// Nothing ever went out to it that it had not sent before.
    fn pays(&self) -> bool {
        !self.more.load(SeqCst) && self.answered() <= self.sent()
    }

    fn sent(&self) -> u64 {
        self.sent.load(SeqCst)
    }

    fn answered(&self) -> u64 {
        self.answered.load(SeqCst)
    }
}

impl Drop for Forged {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

/// A client that gives up after so many seconds.
fn client_config(seconds: u64) -> quinn::ClientConfig {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups.truncate(1);
    let provider = Arc::new(provider);
    let mut tls = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let quic = quinn::crypto::rustls::QuicClientConfig::try_from(tls).expect("QUIC");
    let mut config = quinn::ClientConfig::new(Arc::new(quic));
    let mut transport = quinn::TransportConfig::default();
    let idle = Duration::from_secs(seconds).try_into().expect("short");
    transport.max_idle_timeout(Some(idle)).stream_receive_window(2048u32.into());
    config.transport_config(Arc::new(transport));
    config
}

/// Its endpoint.
fn impatient(seconds: u64) -> quinn::Endpoint {
    let mut endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("a socket");
    endpoint.set_default_client_config(client_config(seconds));
    endpoint
}

/// The beginning of an Initial (RFC 9000, 17.2.2) with a connection id of its own and this token, padded with
/// what is no handshake.
fn initial(number: u32, token: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xC3, 0, 0, 0, 1, 8, 0, 0, 0, 0];
    bytes.extend(number.to_be_bytes());
    bytes.extend([8, 7, 7, 7, 7, 7, 7, 7, 7, token.len() as u8]);
    bytes.extend(token);
    // The length of the rest; what is behind that belongs to no packet.
    bytes.extend([0x44, 0]);
    bytes.resize(1200, number as u8);
    bytes
}

/// The token of the retry that an Initial from this socket is answered with.
fn token(socket: &UdpSocket, server: &Server) -> Vec<u8> {
    let mut answer = [0; 1500];
    socket.send_to(&initial(0, &[]), server.local_addr()).expect("sent");
    let length = socket.recv(&mut answer).expect("a retry");
    // Behind the version and two connection ids of eight bytes; a tag follows.
    answer[5 + 9 + 9..length - 16].to_vec()
}

fn socket(ip: Ipv4Addr) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).expect("an address of loopback");
    socket.set_read_timeout(Some(PATIENCE)).expect("possible");
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_not_proven_never_gets_more_than_it_sent() {
    let server = relay(None).await;
    // A handshake from an address that is somebody else's, tried again for two seconds.
    let forged = Forged::new(server.local_addr()).await;
    let connecting = impatient(2).connect(forged.address, "relay").expect("dials");
    assert!(soon(connecting).await.is_err(), "it hears nothing");
    assert!(forged.answered() > 0, "the relay did answer");
    assert!(forged.pays(), "{} for {}", forged.answered(), forged.sent());
    assert!(4 * forged.answered() < forged.sent(), "much less, even");
    let here = socket(Ipv4Addr::LOCALHOST);
    let proof = token(&here, &server);
    // One datagram after the other, each from an address of its own.
    let mut tries: Vec<(&str, Vec<u8>)> = vec![
        ("an Initial", initial(1, &[])),
        ("an Initial with a forged token", initial(2, &[9; 60])),
        ("an Initial with the token of another address", initial(3, &proof)),
        ("another version", [&[0xC3, 1, 2, 3, 4][..], &initial(4, &[])[5..]].concat()),
        ("another version, short", vec![0xC3, 1, 2, 3, 4, 8, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]),
        ("another version with a long id", [&[0xC3, 1, 2, 3, 4, 255][..], &[1; 1300]].concat()),
        ("early data", [&[0xD3][..], &initial(5, &[])[1..]].concat()),
        ("a packet of a handshake", [&[0xE3][..], &initial(6, &[])[1..]].concat()),
        ("a retry", [&[0xF3][..], &initial(7, &[])[1..]].concat()),
        ("a version negotiation", [&[0xC3, 0, 0, 0, 0][..], &initial(8, &[])[5..]].concat()),
    ];
    for length in [1, 9, 21, 22, 23, 30, 43, 60, 300, 1200, 1472] {
        tries.push(("a packet of a connection that is gone", vec![0x40; length]));
        tries.push(("zeros", vec![0; length]));
        tries.push(("ones", vec![0xFF; length]));
    }
    let mut answered = 0;
    let mut open = Vec::new();
    for (what, datagram) in &tries {
        let forged = Forged::new(server.local_addr()).await;
        let from = socket(Ipv4Addr::LOCALHOST);
        from.send_to(datagram, forged.address).expect("sent");
        open.push((what, forged));
    }
    // Whoever comes after them all was answered after them all.
    let mut ada = Device::join(&server, 1).await;
    ada.say(envelope(1, 1)).await;
    assert_eq!(ada.hear().await, ToDevice::Accepted(EnvelopeId([1; 16])));
    for (what, forged) in &open {
        assert!(forged.pays(), "{what}: {} for {}", forged.answered(), forged.sent());
        answered += u32::from(forged.answered() > 0);
    }
    assert!(answered >= 3, "{answered}: two retries and a negotiation at least");
}

#[tokio::test]
async fn who_comes_back_shows_a_token_and_pays_no_round_trip() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = relay(Some(dir.path())).await;
    let retries = |server: &Server| server.metrics().get(Count::Retries);
    let endpoint = impatient(60);
    let comes = async |server: &Server| {
        let connecting = endpoint.connect(server.local_addr(), "relay").expect("dials");
        let connection = soon(connecting).await.expect("connects");
        // The relay accepts the stream with its next packets, behind the tokens.
        let (mut send, mut receive) = soon(connection.open_bi()).await.expect("a stream");
        send.write_all(&[0, 0, 0, 0]).await.expect("written");
        let _ = soon(receive.read_to_end(1 << 10)).await;
        connection.close(0_u32.into(), b"");
    };
    comes(&server).await;
    let first = retries(&server);
    assert!(first >= 1, "nobody is known at first");
    comes(&server).await;
    comes(&server).await;
    assert_eq!(retries(&server), first, "each connection brought two tokens, and spent one");
    // The relay's key seals them, and a relay that is started again has the same.
    server.shutdown().await;
    let server = relay(Some(dir.path())).await;
    comes(&server).await;
    assert_eq!(retries(&server), 0);
}

#[tokio::test]
async fn nothing_is_dropped_of_those_who_mean_well() {
    let server = relay(None).await;
    // Many, since each chooses by chance what its packets look like (RFC 9287).
    for n in 1..=16 {
        drop(Device::join(&server, n).await);
    }
    assert_eq!(server.metrics().get(Count::Dropped), 0);
}

#[tokio::test]
async fn a_token_that_is_shown_twice_counts_once() {
    /// Gives out the same one for ever.
    #[derive(Default)]
    struct Same(std::sync::Mutex<Option<bytes::Bytes>>);
    impl quinn::TokenStore for Same {
        fn insert(&self, _: &str, token: bytes::Bytes) {
            self.0.lock().expect("nobody panicked").get_or_insert(token);
        }
        fn take(&self, _: &str) -> Option<bytes::Bytes> {
            self.0.lock().expect("nobody panicked").clone()
        }
    }
    let server = relay(None).await;
    let mut config = client_config(60);
    config.token_store(Arc::new(Same::default()));
    let mut endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("a socket");
    endpoint.set_default_client_config(config);
    let mut retries = Vec::new();
    for _ in 0..3 {
        let before = server.metrics().get(Count::Retries);
        let connecting = endpoint.connect(server.local_addr(), "relay").expect("dials");
        let connection = soon(connecting).await.expect("connects");
        let (mut send, mut receive) = soon(connection.open_bi()).await.expect("a stream");
        send.write_all(&[0, 0, 0, 0]).await.expect("written");
        let _ = soon(receive.read_to_end(1 << 10)).await;
        retries.push(server.metrics().get(Count::Retries) > before);
    }
    assert_eq!(retries, [true, false, true], "none, fresh, used");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_forged_handshakes_begins_none_and_keeps_nobody_out() {
    let server = relay(None).await;
    let flood: Vec<UdpSocket> = (2..=254).map(|n| socket(Ipv4Addr::new(127, 0, 0, n))).collect();
    for number in 0..20_000 {
        let from = &flood[number as usize % flood.len()];
        from.send_to(&initial(number, &[]), server.local_addr()).expect("sent");
    }
    let mut ada = Device::join(&server, 1).await;
    let mut ben = Device::join(&server, 2).await;
    ada.say(envelope(7, 2)).await;
    assert_eq!(ada.hear().await, ToDevice::Accepted(EnvelopeId([7; 16])));
    assert!(matches!(ben.hear().await, ToDevice::Deliver(_)));
    let of = |count| server.metrics().get(count);
    assert!(of(Count::Retries) >= 100, "{}", of(Count::Retries));
    assert_eq!((of(Count::Connections), of(Count::HandshakesFailed)), (2, 0), "nothing was begun for them");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_handshakes_from_one_address_are_a_few_and_others_come_in() {
    let share = subrosa_relay::config::Rate { per_minute: 6, burst: 3 };
    let link = Link { handshakes_per_address: share, ..Link::default() };
    let server = Server::start(Config { link, ..config(None) }).await.expect("starts");
    let bad = socket(Ipv4Addr::new(127, 0, 0, 2));
    let proof = token(&bad, &server);
    for number in 1..=10_000 {
        bad.send_to(&initial(number, &proof), server.local_addr()).expect("sent");
    }
    let mut ada = Device::join(&server, 1).await;
    ada.say(envelope(7, 1)).await;
    assert_eq!(ada.hear().await, ToDevice::Accepted(EnvelopeId([7; 16])));
    let of = |count| server.metrics().get(count);
    let (begun, held) = (of(Count::HandshakesFailed) + of(Count::Handshakes), of(Count::HeldBack));
    assert!(begun <= 3 + 1 + 3, "{begun} were taken on: three, Ada's, and what half a minute gives");
    assert!(held <= 3 * 16 + 10, "{held} came further than the porch");
    assert!(of(Count::Dropped) > 0);
}

#[tokio::test]
async fn who_only_tries_is_let_in_seldom_and_who_logs_in_is_not_held_back() {
    let share = subrosa_relay::config::Rate { per_minute: 1, burst: 60 };
    let link = Link { handshakes_per_address: share, ..Link::default() };
    let server = Server::start(Config { link, ..config(None) }).await.expect("starts");
    for number in 1..=10 {
        drop(Device::join(&server, number).await);
    }
    let mut tried = 0;
    while let Ok(connection) = impatient(1).connect(server.local_addr(), "relay").expect("dials").await {
        let (send, receive) = soon(connection.open_bi()).await.expect("a stream");
        let mut mallory = Device { connection, send, receive };
        let cert = Cert::sign(&key(99), &[99; 32]);
        let name = AccountName::parse("mallory").expect("valid");
        let login = Login::sign(name, true, cert, &key(99), &server.link().fingerprint, &[0; 32]);
        mallory.say(ToRelay::Authenticate(login)).await;
        assert_eq!(mallory.farewell().await.0, refused(Refusal::BadSignature));
        tried += 1;
        // Two or three; the relay may notice the end of one a moment later.
        assert!(tried < 10, "fifty, when nothing is made of it");
    }
    assert!(tried > 1 && server.metrics().get(Count::HeldBack) > 0, "{tried}");
}

#[tokio::test]
async fn who_never_reads_costs_the_relay_no_more_than_a_window_and_others_nothing() {
    let server = relay(None).await;
    let mut ada = Device::join(&server, 1).await;
    drop(Device::join(&server, 2).await);
    // He lets two kilobytes come and reads none of them.
    let endpoint = impatient(60);
    let connection = soon(endpoint.connect(server.local_addr(), "relay").expect("dials")).await;
    let connection = connection.expect("connects");
    let (send, receive) = soon(connection.open_bi()).await.expect("a stream");
    let mut deaf = Device { connection, send, receive };
    let mut exporter = [0; 32];
    deaf.connection.export_keying_material(&mut exporter, EXPORTER_LABEL, &[]).expect("exports");
    let cert = Cert::sign(&key(2), &[2; 32]);
    let name = AccountName::parse("name-2").expect("valid");
    let login = Login::sign(name, true, cert, &key(2), &server.link().fingerprint, &exporter);
    deaf.say(ToRelay::Authenticate(login)).await;
    assert!(matches!(deaf.hear().await, ToDevice::Welcome(_)));
    for number in 1..=200 {
        ada.say(envelope(number, 2)).await;
        assert_eq!(ada.hear().await, ToDevice::Accepted(EnvelopeId([number; 16])));
    }
    // He asks and asks; the relay reads nothing more of him while he does not take its answers.
    let asked = async {
        loop {
            let ask = codec::encode(&ToRelay::Claim { ask: Ask(1), device: id(1) }).expect("fits");
            if deaf.send.write_all(&ask).await.is_err() {
                return;
            }
        }
    };
    let mut cy = Device::join(&server, 3).await;
    let others = async {
        for number in 201..=220 {
            ada.say(envelope(number, 3)).await;
            assert_eq!(ada.hear().await, ToDevice::Accepted(EnvelopeId([number; 16])));
            let ToDevice::Deliver(delivery) = cy.hear().await else { panic!("no delivery") };
            cy.say(ToRelay::Ack(delivery.seq)).await;
        }
    };
    tokio::select! {
        () = asked => panic!("the relay took everything, or hung up"),
        () = soon(others) => {}
    }
    // What he did not take is there when he comes back and reads.
    deaf.connection.close(0_u32.into(), b"");
    let mut ben = Device::join(&server, 2).await;
    for number in 1..=64 {
        let ToDevice::Deliver(delivery) = ben.hear().await else { panic!("no delivery") };
        assert_eq!(delivery.id, EnvelopeId([number; 16]));
    }
}

#[tokio::test]
async fn a_flooded_mailbox_is_full_for_its_owner_alone() {
    let limits = Limits { mailbox_envelopes: 40, ..Limits::default() };
    let server = Server::start(Config { limits, ..config(None) }).await.expect("starts");
    let mut eve = Device::join(&server, 9).await;
    let mut ada = Device::join(&server, 1).await;
    let mut cy = Device::join(&server, 3).await;
    drop(Device::join(&server, 2).await);
    let mut refused = 0;
    for number in 1..=200 {
        eve.say(envelope(number, 2)).await;
        match eve.hear().await {
            ToDevice::Accepted(_) => {}
            ToDevice::Rejected { why: Refusal::MailboxFull, .. } => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, 160, "forty wait, and no more");
    ada.say(envelope(1, 3)).await;
    assert_eq!(ada.hear().await, ToDevice::Accepted(EnvelopeId([1; 16])));
    assert!(matches!(cy.hear().await, ToDevice::Deliver(_)));
}

#[tokio::test]
async fn who_asks_too_often_is_read_slowly_and_others_are_not() {
    let limits =
        Limits { claims: subrosa_relay::config::Rate { per_minute: 1, burst: 5 }, ..Limits::default() };
    let server = Server::start(Config { limits, ..config(None) }).await.expect("starts");
    let mut eve = Device::join(&server, 9).await;
    let mut ada = Device::join(&server, 1).await;
    drop(Device::join(&server, 2).await);
    let asks = codec::encode(&ToRelay::Claim { ask: Ask(1), device: id(2) }).expect("fits").repeat(5_000);
    let asking = async {
        if eve.send.write_all(&asks).await.is_ok() {
            // She reads, too; there is no end of it.
            while eve.receive.read_chunk(1 << 16, true).await.is_ok_and(|chunk| chunk.is_some()) {}
        }
    };
    let talking = async {
        for number in 1..=100 {
            ada.say(envelope(number, 1)).await;
            while ada.hear().await != ToDevice::Accepted(EnvelopeId([number; 16])) {}
        }
    };
    let began = Instant::now();
    tokio::select! {
        () = asking => panic!("the relay read everything"),
        () = talking => {}
    }
    let refused = server.metrics().get(Count::Refused);
    // Where others have the processor too, the talk takes longer.
    let most = 1_000 + 500 * began.elapsed().as_secs();
    assert!((1..most).contains(&refused), "{refused} of 5,000 were read meanwhile");
}

#[tokio::test]
async fn prekeys_are_not_drained_faster_than_the_bucket_lets() {
    let limits =
        Limits { claims: subrosa_relay::config::Rate { per_minute: 1, burst: 5 }, ..Limits::default() };
    let server = Server::start(Config { limits, ..config(None) }).await.expect("starts");
    let mut eve = Device::join(&server, 9).await;
    drop(Device::join(&server, 2).await);
    let mut held = 0;
    for ask in 0..50 {
        eve.say(ToRelay::Claim { ask: Ask(ask), device: id(2) }).await;
        match eve.hear().await {
            ToDevice::Refused { why: Refusal::RateLimited { retry_ms }, .. } if retry_ms > 1000 => held += 1,
            ToDevice::Refused { why: Refusal::NoPrekeys, .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(held, 45, "five, and then one a minute");
}
