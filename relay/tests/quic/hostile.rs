//! What strangers and bad devices can do to a relay, and what it costs them.

use super::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use subrosa_relay::config::Limits;
use tokio::net::UdpSocket as Socket;
use tokio::task::JoinHandle;

/// Stands for an address that somebody else owns: what is sent from it reaches the relay, and nothing of
/// what the relay answers ever comes back. Counts both.
struct Forged {
    address: SocketAddr,
    sent: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
    /// More than so many times what was sent came back, at some moment.
    thrice: Arc<AtomicBool>,
    carrying: JoinHandle<()>,
}

impl Forged {
    async fn new(relay: SocketAddr) -> Self {
        let front = Socket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
        let back = Socket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
        back.connect(relay).await.expect("connects");
        let address = front.local_addr().expect("bound");
        let (sent, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let thrice = Arc::new(AtomicBool::new(false));
        let counts = (sent.clone(), answered.clone(), thrice.clone());
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
                        counts.2.fetch_or(answered > 3 * counts.0.load(SeqCst), SeqCst);
                    }
                }
            }
        });
        Self { address, sent, answered, thrice, carrying }
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

/// A client's endpoint that gives up after so many seconds.
fn impatient(seconds: u64) -> quinn::Endpoint {
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
    let mut endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("a socket");
    endpoint.set_default_client_config(config);
    endpoint
}

#[tokio::test]
async fn an_address_that_is_not_proven_gets_at_most_three_times_what_it_sent() {
    let server = relay(None).await;
    let forged = Forged::new(server.local_addr()).await;
    let connecting = impatient(2).connect(forged.address, "relay").expect("dials");
    assert!(soon(connecting).await.is_err(), "it hears nothing");
    let (sent, answered) = (forged.sent(), forged.answered());
    assert!(answered > 0, "the relay did answer");
    assert!(!forged.thrice.load(SeqCst) && answered <= 3 * sent, "{answered} for {sent}");
    // Bytes that begin no handshake are worth no answer at all, or one that is shorter than they are.
    let garbage = Forged::new(server.local_addr()).await;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    for first in 0..=255 {
        for length in [1, 20, 100, 1200] {
            socket.send_to(&vec![first; length], garbage.address).expect("sent");
        }
    }
    let mut ada = Device::join(&server, 1).await;
    ada.say(envelope(1, 1)).await;
    assert_eq!(ada.hear().await, ToDevice::Accepted(EnvelopeId([1; 16])));
    assert!(garbage.answered() <= garbage.sent(), "{} for {}", garbage.answered(), garbage.sent());
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_flood_of_handshakes_an_unproven_address_gets_less_than_it_sent() {
    let link = Link { connections_per_address: 5_000, login_seconds: 120, ..Link::default() };
    let server = Server::start(Config { link, ..config(None) }).await.expect("starts");
    let flood = Forged::new(server.local_addr()).await;
    // More than may be half open before the relay wants a proof.
    let dialling = impatient(60);
    let half_open: Vec<_> =
        (0..300).map(|_| dialling.connect(flood.address, "relay").expect("dials")).collect();
    // A late one comes with nothing before it, again until the relay is past its bound.
    let (mut sent, mut answered) = (1, 2);
    for _ in 0..20 {
        let late = Forged::new(server.local_addr()).await;
        let connecting = impatient(1).connect(late.address, "relay").expect("dials");
        assert!(soon(connecting).await.is_err(), "it hears nothing");
        (sent, answered) = (late.sent(), late.answered());
        if answered > 0 && answered <= sent {
            break;
        }
    }
    assert!(answered > 0 && answered <= sent, "{answered} for {sent}");
    assert!(!flood.thrice.load(SeqCst), "{} for {}", flood.answered(), flood.sent());
    // Honest people prove their address on the way, and get in.
    let mut ada = Device::join(&server, 1).await;
    let mut ben = Device::join(&server, 2).await;
    ada.say(envelope(7, 2)).await;
    assert_eq!(ada.hear().await, ToDevice::Accepted(EnvelopeId([7; 16])));
    assert!(matches!(ben.hear().await, ToDevice::Deliver(_)));
    drop(half_open);
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
