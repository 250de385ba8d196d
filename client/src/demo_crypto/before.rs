//! What is there before the first message: keys, vault, link, login, prekeys.

use super::people::{Person, now, said};
use super::post::Post;
use super::step::{Step, Who, one_bit};
use super::wire::Wire;
use rand_core::OsRng;
use subrosa_relay::relay::Conn;
use subrosa_shared::protocol::auth::{BadSignature, Cert};
use subrosa_shared::protocol::codec;
use subrosa_shared::protocol::frame::{Ask, ToDevice, ToRelay};
use subrosa_shared::protocol::prekey::{Bundle, Kind};
use subrosa_shared::session::vault;
use subrosa_shared::store::Batch;

/// IK, NK and the certificate.
///
/// # Errors
/// A sentence.
pub fn keys(ada: &Person, ben: &Person) -> Result<Step, String> {
    let (cert, peer) = (ada.sessions.identity().cert(), ada.peer());
    Ok(Step::new(
        "Two people, two keys each",
        "ada and ben are drawn now, for this walk alone. A device has an identity key IK (Ed25519, it \
         signs) and a Noise static key NK (X25519, it agrees on keys), drawn apart and never converted. \
         Its certificate is IK.pk ‖ NK.pk ‖ Sig_IK(\"subrosa noise-static/1\" ‖ NK.pk). Signatures are \
         verified strictly.",
    )
    .bytes("IK.pk of ada", &peer.identity)
    .bytes("NK.pk of ada", &peer.noise)
    .bytes("cert of ada", &cert.0)
    .bytes("cert of ben", &ben.sessions.identity().cert().0)
    .sees(Who::Relay, "both certificates; they are public")
    .flip("ada’s certificate", &cert.0, |bytes| {
        let bytes = bytes.try_into().map_err(|_| BadSignature)?;
        Cert(bytes).verify()
    }))
}

/// The passphrase, Argon2id, the header.
///
/// # Errors
/// A sentence.
pub fn vault(ada: &Person) -> Result<Step, String> {
    let header = std::fs::read(ada.dir.join("vault")).map_err(said)?;
    let sealed = header.len().saturating_sub(32 + 48);
    Ok(Step::new(
        "The vault",
        "Secrets are on ada’s disk, under a passphrase: Argon2id makes a key of it (here 64 MiB and 3 \
         passes, the floor; a real profile is calibrated to half a second), which opens the random DEK in \
         the header. The key of a record is HKDF(DEK, table ‖ key).",
    )
    .bytes("header", &header)
    .bytes("sealed DEK", header.get(sealed..sealed + 48).unwrap_or_default())
    .sees(Who::DeviceDisk, "the header, and must pay Argon2id for each guess at the passphrase")
    .flip("the header", &header, |bytes| vault::open(bytes, &ada.passphrase))
    .flip("the passphrase", ada.passphrase.as_bytes(), |bytes| {
        vault::open(&header, &String::from_utf8_lossy(bytes))
    }))
}

/// TLS to the relay.
///
/// # Errors
/// A sentence.
pub fn link(post: &Post) -> Result<(Step, Wire), String> {
    let fingerprint = post.key.fingerprint();
    let wire = Wire::open(&post.key, fingerprint)?;
    let mut other = Wire::open(&post.key, fingerprint)?;
    let record = other.send(b"the first thing that a device says")?;
    let step = Step::new(
        "The link to the relay",
        format!(
            "TLS 1.3 inside QUIC with {} and {}. No authority is asked: the relay’s link carries the \
             SHA-256 of its certificate, and any other one is refused.",
            wire.exchange(),
            wire.suite()
        ),
    )
    .bytes("fingerprint", &fingerprint)
    .bytes("handshake", &wire.greeting)
    .bytes("a record", &record)
    .sees(Who::Network, "addresses, times, sizes, and that this is a subrosa relay (ALPN)")
    .flip("the pinned fingerprint", &fingerprint, |bytes| {
        Wire::open(&post.key, bytes.try_into().map_err(said)?)
    })
    .flip_in("the record’s ciphertext", &record, 5..record.len(), |bytes| other.receive(bytes));
    Ok((step, wire))
}

/// Ada logs in over that link, ben without being looked at.
///
/// # Errors
/// A sentence.
pub fn login(post: &mut Post, ada: &Person, wire: &mut Wire) -> Result<(Step, Conn), String> {
    let (fingerprint, exporter) = (post.key.fingerprint(), wire.exporter()?);
    let login = ada.sessions.identity().login(ada.name.clone(), true, &fingerprint, &exporter);
    let frame = codec::encode(&ToRelay::Authenticate(login.clone())).map_err(said)?;
    let bytes = wire.send(&frame)?;
    let read = wire.receive(&bytes)?;
    let step = Step::new(
        "Ada logs in",
        "An enrolled device signs the relay’s fingerprint and the exporter value of this very TLS \
         connection, so that its login can be replayed nowhere. No password takes part.",
    )
    .bytes("TLS exporter", &exporter)
    .bytes("Sig_IK", &login.signature)
    .bytes("on the network", &bytes)
    .sees(Who::Network, format!("{} bytes of ciphertext", bytes.len()))
    .sees(Who::Relay, "the account’s name and certificate; it knows who talks to it")
    .flip("Sig_IK", &login.signature, |bytes| {
        post.log_in(
            exporter,
            subrosa_shared::protocol::auth::Login { signature: bytes.to_vec(), ..login.clone() },
        )
    })
    .flip("the exporter (a login replayed elsewhere)", &exporter, |bytes| {
        post.log_in(bytes.try_into().map_err(said)?, login.clone())
    });
    match codec::decode(read.get(codec::PREFIX..).unwrap_or_default()).map_err(said)? {
        ToRelay::Authenticate(login) => Ok((step, post.log_in(exporter, login)?.0)),
        _ => Err("the relay read another frame than was sent".into()),
    }
}

/// Ben leaves a bundle and goes; ada fetches it.
///
/// # Errors
/// A sentence.
pub fn prekeys(
    post: &mut Post,
    ada: &mut Person,
    conn: Conn,
    ben: &mut Person,
) -> Result<(Step, Bundle), String> {
    let mut batch = Batch::default();
    let made = ben.sessions.prekeys(63, true, &mut OsRng, now(), &mut batch);
    ben.commit(&batch)?;
    let one_time = made.iter().find(|bundle| bundle.kind == Kind::OneTime);
    let made = one_time.ok_or("no prekey was wanted")?.encode();
    let (his, _) = post.returns(ben)?;
    let (bad, which) = one_bit(&made, 0..made.len());
    let publish = |bundle: Vec<u8>, ask| ToRelay::Publish { ask: Ask(ask), bundles: vec![bundle] };
    let at_relay = post.say(his, publish(bad, 1)).err();
    post.say(his, publish(made, 2))?;
    post.gone(his);

    let found = post.say(conn, ToRelay::Lookup { ask: Ask(1), name: ben.name.clone() })?;
    let Some(ToDevice::Account { certs, .. }) = found.first() else { return Err("no such account".into()) };
    let cert = certs.first().ok_or("an account without a device")?;
    let pinned = cert.verify().map_err(said)?;
    let claimed = post.say(conn, ToRelay::Claim { ask: Ask(2), device: pinned.device() })?;
    let Some(ToDevice::Prekey { bundle: bytes, .. }) = claimed.first() else {
        return Err("no prekey".into());
    };
    let bundle = Bundle::decode(bytes).map_err(said)?;
    let step = Step::new(
        "Ben’s prekey waits at the relay",
        "Ben is away, so he left a bundle: id ‖ kind ‖ not_after ‖ x (X25519) ‖ ek (ML-KEM-768) ‖ IK.pk ‖ \
         Sig_IK(\"subrosa prekey/1\" ‖ all of it). Both secrets grow from one 32-byte seed in his ratchet \
         file. Ada pins his certificate on first use and takes only what his IK has signed.",
    )
    .bytes("x", &bundle.x)
    .bytes("ek", &bundle.ek)
    .bytes("Sig_IK", &bundle.signature)
    .bytes("bundle", bytes)
    .sees(Who::Relay, "the bundle, and that ada asked for it; it hands it out once")
    .sees(Who::DeviceDisk, "a sealed slot where the seed is")
    .tried(format!("{which} of the bundle, to the relay"), at_relay)
    .flip("the bundle, from the relay", bytes, |bytes| ada.sessions.offer(&pinned, bytes, now()))
    .flip("ben’s certificate, from the relay", &cert.0, |bytes| {
        let bytes = bytes.try_into().map_err(|_| BadSignature)?;
        Cert(bytes).verify()
    });
    ada.sessions.offer(&pinned, bytes, now()).map_err(said)?;
    Ok((step, bundle))
}
