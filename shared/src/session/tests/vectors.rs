//! Published Noise vectors: the handshakes through snow as we use it, the streams through our chain.

use crate::session::chain::CipherState;
use crate::session::handshake::PROTOCOL;
use crate::session::provider::Provider;
use data_encoding::HEXLOWER;
use serde_json::Value;
use snow::{Builder, HandshakeState};

/// From cacophony's `vectors/cacophony.txt`: those for `25519_AESGCM_SHA256`.
const PUBLISHED: &str = include_str!("../../../testdata/noise-25519-aesgcm-sha256.json");
/// Xpsk0 is in no published list: made by a separate Python implementation of the specification.
const INDEPENDENT: &str = include_str!("../../../testdata/noise-xpsk0-independent.json");

fn bytes(vector: &Value, field: &str) -> Option<Vec<u8>> {
    let text = vector.get(field)?.as_str().expect("hex text");
    Some(HEXLOWER.decode(text.as_bytes()).expect("hex"))
}

/// One side of a published vector.
fn side(vector: &Value, who: &str) -> HandshakeState {
    let name = vector["protocol_name"].as_str().expect("a name");
    let field = |what: &str| bytes(vector, &format!("{who}_{what}"));
    let (prologue, ephemeral) = (field("prologue").unwrap_or_default(), field("ephemeral"));
    let (own, theirs) = (field("static"), field("remote_static"));
    let mut builder = Builder::with_resolver(name.parse().expect("known"), Box::new(Provider::unseeded()))
        .prologue(&prologue)
        .expect("once");
    if let Some(key) = &ephemeral {
        builder = builder.fixed_ephemeral_key_for_testing_only(key);
    }
    if let Some(key) = &own {
        builder = builder.local_private_key(key).expect("once");
    }
    if let Some(key) = &theirs {
        builder = builder.remote_public_key(key).expect("once");
    }
    let psk = vector[format!("{who}_psks")].get(0).map(|psk| {
        let psk = HEXLOWER.decode(psk.as_str().expect("hex text").as_bytes()).expect("hex");
        <[u8; 32]>::try_from(psk).expect("32 bytes")
    });
    if let Some(psk) = &psk {
        let at = name.split_once("psk").and_then(|(_, rest)| rest[..1].parse().ok()).expect("a place");
        builder = builder.psk(at, psk).expect("once");
    }
    let built = if who == "init" { builder.build_initiator() } else { builder.build_responder() };
    built.expect("complete")
}

#[test]
fn the_59_published_vectors() {
    let all: Value = serde_json::from_str(PUBLISHED).expect("JSON");
    let all = all["vectors"].as_array().expect("a list");
    assert_eq!(all.len(), 59);
    for vector in all {
        let name = vector["protocol_name"].as_str().expect("a name");
        let mut ends = [side(vector, "init"), side(vector, "resp")];
        let pattern = name.split('_').nth(1).expect("a pattern");
        let one_way = pattern.split("psk").next().is_some_and(|p| ["N", "K", "X"].contains(&p));
        let mut streams = None;
        for (turn, message) in vector["messages"].as_array().expect("a list").iter().enumerate() {
            let payload = bytes(message, "payload").expect("there");
            let ciphertext = bytes(message, "ciphertext").expect("there");
            let way = if one_way { 0 } else { turn % 2 };
            if !ends[0].is_handshake_finished() {
                let mut out = vec![0; 1024];
                let length = ends[way].write_message(&payload, &mut out).expect("writes");
                assert_eq!(out[..length], ciphertext, "{name} message {turn}");
                let length = ends[1 - way].read_message(&ciphertext, &mut out).expect("reads");
                assert_eq!(out[..length], payload, "{name} message {turn}");
                continue;
            }
            let streams = streams.get_or_insert_with(|| {
                let hash = bytes(vector, "handshake_hash").expect("there");
                for end in &ends {
                    assert_eq!(end.get_handshake_hash(), hash, "{name}");
                }
                let split = ends[0].dangerously_get_raw_split();
                assert_eq!(split, ends[1].dangerously_get_raw_split(), "{name}");
                [CipherState::new(&split.0), CipherState::new(&split.1)]
            });
            assert_eq!(streams[way].encrypt(&[], &payload), ciphertext, "{name} message {turn}");
            let opened = streams[way].decrypt(&[], &ciphertext).expect("opens");
            assert_eq!(*opened, payload, "{name} message {turn}");
            streams[way].count();
        }
        assert!(streams.is_some(), "{name}: no transport message was compared");
    }
}

#[test]
fn the_independent_xpsk0_vector_with_a_rekey_after_each_message() {
    let vector: Value = serde_json::from_str(INDEPENDENT).expect("JSON");
    let field = |name| bytes(&vector, name).expect("there");
    let (prologue, secret) = (field("prologue"), field("rpriv"));
    let psk: [u8; 32] = field("psk").try_into().expect("32 bytes");
    let mut responder =
        Builder::with_resolver(PROTOCOL.parse().expect("known"), Box::new(Provider::unseeded()))
            .prologue(&prologue)
            .and_then(|builder| builder.psk(0, &psk))
            .and_then(|builder| builder.local_private_key(&secret))
            .and_then(Builder::build_responder)
            .expect("complete");
    let mut payload = vec![0; 1024];
    let length = responder.read_message(&field("m0"), &mut payload).expect("reads");
    assert_eq!(payload[..length], *b"payload zero");
    assert_eq!(responder.get_remote_static(), Some(field("ipub").as_slice()));
    assert_eq!(responder.get_handshake_hash(), field("h"));
    let mut stream = CipherState::new(&responder.dangerously_get_raw_split().0);
    for (n, sealed) in vector["t"].as_array().expect("a list").iter().enumerate() {
        let sealed = HEXLOWER.decode(sealed.as_str().expect("hex text").as_bytes()).expect("hex");
        let opened = stream.decrypt(&[], &sealed).expect("opens");
        assert_eq!(*opened, format!("transport {n}").into_bytes());
        assert_eq!(stream.encrypt(&[], &opened), sealed, "message {n}");
        stream.step();
    }
}
