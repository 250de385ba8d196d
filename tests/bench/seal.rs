//! What sealing costs: one text of 100 bytes from plain to sealed to plain.

use crate::figure::{Table, Times};
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use anyhow::{Context, anyhow};
use rand_core::OsRng;
use std::hint::black_box;
use std::sync::Arc;
use subrosa_shared::content::Content;
use subrosa_shared::id::MessageId;
use subrosa_shared::session::{Identity, Sessions, Why};
use subrosa_shared::store::memory::{Memory, MemorySlots};
use subrosa_shared::store::{Batch, Store};
use subrosa_shared::time::{Millis, Now};

const ROUNDS: usize = 20_000;
const STARTS: usize = 200;
/// Bytes of text.
pub const TEXT: usize = 100;

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let content = text(&"x".repeat(TEXT));
    let [mut ada, mut ben] = [device()?, device()?];
    let first = start(&mut ada, &mut ben, &content)?;
    open(&mut ben, &first)?;
    let cipher = Aes256Gcm::new(&[7; 32].into());
    let mut noise = noise()?;
    let mut buffers = [vec![0; content.len() + 64], vec![0; content.len() + 64]];

    let [mut ours, mut bare, mut snow] = [(); 3].map(|()| Times::default());
    for n in 0..ROUNDS as u64 {
        let sealed = ours.of(|| {
            let sealed = seal(&mut ada, &ben.identity().peer(), &content)?;
            open(&mut ben, black_box(&sealed))
        });
        sealed?;
        bare.of(|| one_bare(&cipher, n, &content))?;
        snow.of(|| one_snow(&mut noise, &mut buffers, &content))?;
    }
    let mut starts = Times::default();
    for _ in 0..STARTS {
        let [mut ada, mut ben] = [device()?, device()?];
        let bundle = bundle(&mut ben)?;
        let peer = ben.identity().peer();
        let done = starts.of(|| {
            ada.offer(&peer, &bundle, now()).map_err(|error| anyhow!("{error}"))?;
            let sealed = seal(&mut ada, &peer, &content)?;
            open(&mut ben, &sealed)
        });
        done?;
    }
    let what = format!("seal + open a text of {TEXT} B, keys replaced after it");
    table.times(&what, &ours, "bare AES-256-GCM", &bare);
    table.times(&what, &ours, "snow transport", &snow);
    table.alone("start a session: X25519, ML-KEM-768, signatures, both sides", &starts);
    Ok(())
}

/// A device with an empty store in memory.
pub fn device() -> anyhow::Result<Sessions> {
    let store = Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) };
    let (sessions, _) = Sessions::load(Identity::generate(&mut OsRng), &store, now())?;
    Ok(sessions)
}

/// The first message of a session.
pub fn start(from: &mut Sessions, to: &mut Sessions, content: &[u8]) -> anyhow::Result<Vec<u8>> {
    let peer = to.identity().peer();
    from.offer(&peer, &bundle(to)?, now()).map_err(|error| anyhow!("{error}"))?;
    seal(from, &peer, content)
}

pub fn seal(
    from: &mut Sessions,
    to: &subrosa_shared::protocol::auth::Peer,
    content: &[u8],
) -> anyhow::Result<Vec<u8>> {
    let sealed = from
        .seal(to, Why::Speech, content, &mut OsRng, now(), &mut Batch::default())
        .map_err(|error| anyhow!("not sealed: {error}"))?;
    Ok(sealed.bytes)
}

pub fn open(by: &mut Sessions, sealed: &[u8]) -> anyhow::Result<()> {
    let opened =
        by.open(sealed, now(), &mut Batch::default()).map_err(|error| anyhow!("not opened: {error:?}"))?;
    black_box(opened.content.len());
    Ok(())
}

/// A text as it is sealed.
pub fn text(body: &str) -> Vec<u8> {
    Content::Text { id: MessageId([7; 16]), at: now().wall, body: body.into() }.encode()
}

pub fn now() -> Now {
    Now { wall: Millis(1_800_000_000_000), mono: Millis(0) }
}

fn bundle(of: &mut Sessions) -> anyhow::Result<Vec<u8>> {
    let bundles = of.prekeys(99, true, &mut OsRng, now(), &mut Batch::default());
    Ok(bundles.last().context("no prekey was made")?.encode())
}

fn one_bare(cipher: &Aes256Gcm, n: u64, content: &[u8]) -> anyhow::Result<()> {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&n.to_be_bytes());
    let nonce = Nonce::from_slice(&nonce);
    let failed = |_| anyhow!("AES-GCM refused");
    let sealed = cipher.encrypt(nonce, Payload { msg: content, aad: &[] }).map_err(failed)?;
    let opened = cipher.decrypt(nonce, Payload { msg: black_box(&sealed), aad: &[] }).map_err(failed)?;
    black_box(opened);
    Ok(())
}

fn noise() -> anyhow::Result<[snow::TransportState; 2]> {
    let builder = || anyhow::Ok(snow::Builder::new("Noise_NN_25519_AESGCM_SHA256".parse()?));
    let (mut from, mut to) = (builder()?.build_initiator()?, builder()?.build_responder()?);
    let [mut there, mut read] = [[0; 256]; 2];
    let n = from.write_message(&[], &mut there)?;
    to.read_message(&there[..n], &mut read)?;
    let n = to.write_message(&[], &mut there)?;
    from.read_message(&there[..n], &mut read)?;
    Ok([from.into_transport_mode()?, to.into_transport_mode()?])
}

fn one_snow(
    ends: &mut [snow::TransportState; 2],
    [there, back]: &mut [Vec<u8>; 2],
    content: &[u8],
) -> anyhow::Result<()> {
    let n = ends[0].write_message(content, there)?;
    ends[1].read_message(black_box(&there[..n]), back)?;
    Ok(())
}
