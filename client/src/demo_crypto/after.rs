//! What is there afterwards: the disk, a picture, the safety number.

use super::message::TEXT;
use super::people::{Person, files, holds, said};
use super::step::{Step, Who, one_bit};
use crate::chat::timeline::LINES;
use crate::media::feedback;
use crate::media::send::{Sender, Shape};
use crate::media::source::{Size, Source, Spec};
use rand_core::{OsRng, RngCore};
use std::time::Duration;
use subrosa_shared::id::{SessionId, TrackId};
use subrosa_shared::protocol::media::{HEADER, Header};
use subrosa_shared::session::safety::{Number, Party};
use subrosa_shared::session::sframe::{Facts, Opener};
use subrosa_shared::store::profile::Profile;
use subrosa_shared::store::sled::{Settings, Sled};
use subrosa_shared::store::{Kv, Order, Write};
use subrosa_shared::video::codec::Decoder;
use zeroize::Zeroizing;

/// Ben's profile, closed, in the hands of a thief.
///
/// # Errors
/// A sentence.
pub fn disk(ben: &mut Person, session: &SessionId) -> Result<Step, String> {
    let chain = ben.opens(session)?;
    let seed = ben.sessions.identity().seed();
    ben.leave();
    let found = files(&ben.dir)?;
    let secrets: [(&[u8], &str); 3] =
        [(TEXT.as_bytes(), "the letter"), (&*seed, "ben’s keys"), (&chain.key, "k_1")];
    for (secret, what) in secrets {
        if holds(&found, secret) {
            return Err(format!("ben’s disk has {what} in clear"));
        }
    }
    let (record, ratchet) = (line(ben)?, ben.dir.join("ratchet"));
    let slots = std::fs::read(&ratchet).map_err(said)?;

    let (bad, record_bit) = one_bit(&record.1, 0..record.1.len());
    put(ben, &record.0, &bad)?;
    let read = Profile::open(&ben.dir, &ben.passphrase)
        .and_then(|profile| profile.store.records.get(LINES, &record.0));
    let record_refused = read.err().map(said);
    put(ben, &record.0, &record.1)?;

    let (one, slot_bit) = one_bit(&slots, FIRST..FIRST + COPY);
    let twin = {
        std::fs::write(&ratchet, &one).map_err(said)?;
        let profile = Profile::open(&ben.dir, &ben.passphrase).map_err(said)?;
        let mended = std::fs::read(&ratchet).map_err(said)?;
        let refused =
            mended.get(FIRST..FIRST + COPY) != one.get(FIRST..FIRST + COPY) && profile.lost_secrets == 0;
        refused.then(|| "the copy does not open; its twin does, and mends it".to_string())
    };
    std::fs::write(&ratchet, &slots).map_err(said)?;
    let (both, _) = one_bit(&one_bit(&slots, FIRST..FIRST + COPY).0, SECOND..SECOND + COPY);
    let lost = {
        std::fs::write(&ratchet, &both).map_err(said)?;
        let profile = Profile::open(&ben.dir, &ben.passphrase).map_err(said)?;
        (profile.lost_secrets == 1)
            .then(|| "1 secret of the ratchet file is lost: counted and told".to_string())
    };
    std::fs::write(&ratchet, &slots).map_err(said)?;
    Ok(Step::new(
        "Ben’s disk is stolen",
        format!(
            "Records are sealed with AD = table ‖ key ‖ version. Chain keys and seeds are in the ratchet file \
             instead: fixed slots, two sealed copies each, overwritten in place and fsynced, since a database \
             never forgets. In the {} files of the profile the letter, ben’s keys and k_1 are not to be \
             found.",
            found.len()
        ),
    )
    .bytes("its record", &record.1)
    .bytes("a slot’s copy", slots.get(FIRST..FIRST + COPY).unwrap_or_default())
    .sees(Who::DeviceDisk, "ciphertext; how many lines and about how long; no names, no keys")
    .tried(format!("{record_bit} of the letter’s record"), record_refused)
    .tried(format!("{slot_bit} of one copy of a slot"), twin)
    .tried("a bit in both copies of a slot", lost))
}

/// Where the first slot's two copies are in the ratchet file, and how long a copy is.
const FIRST: usize = 8192;
const SECOND: usize = FIRST + 64 * COPY;
const COPY: usize = 512;

fn open(ben: &Person) -> Result<Sled, String> {
    Sled::open(&ben.dir.join("db"), Settings::default()).map_err(said)
}

/// The letter's record as it lies on the disk.
fn line(ben: &Person) -> Result<(Vec<u8>, Vec<u8>), String> {
    let rows = open(ben)?.scan(LINES, &[], &[], Order::Forward, 1).map_err(said)?;
    rows.into_iter().next().ok_or_else(|| "the letter’s record is not there".into())
}

fn put(ben: &Person, key: &[u8], value: &[u8]) -> Result<(), String> {
    let write = Write::Put(LINES, key.to_vec(), Zeroizing::new(value.to_vec()));
    open(ben)?.commit(&[write]).map_err(said)
}

/// A picture of a call.
///
/// # Errors
/// A sentence.
pub fn picture() -> Result<Step, String> {
    let (mut key, kid, shape) = ([0; 32], OsRng.next_u64() >> 1, Shape::default());
    OsRng.fill_bytes(&mut key);
    let track = TrackId(OsRng.next_u32());
    let mut sender = Sender::new(track, &key, kid, shape).map_err(said)?;
    let mut source =
        Source::open(&Spec::Test(1), Size { width: shape.width, height: shape.height }).map_err(said)?;
    let picture = source.picture(Duration::ZERO).map_err(said)?.ok_or("the test picture does not come")?;
    let datagrams = sender.send(&picture, super::people::now());
    let first = datagrams.first().ok_or("the picture makes no datagram")?;
    let header = first.get(..HEADER).unwrap_or_default().to_vec();
    let mut sealed = Vec::new();
    for datagram in &datagrams {
        sealed.extend_from_slice(Header::decode(datagram).map_err(said)?.1);
    }
    let opens = |header: &[u8], sealed: &[u8]| -> Result<Vec<u8>, String> {
        let header = Header::decode(&[header, sealed].concat()).map_err(said)?.0;
        let Header { track, frame, keyframe, layer, .. } = header;
        Opener::new(&key, kid).open(&Facts { track, frame, keyframe, layer }, sealed).map_err(said)
    };
    let payload = opens(&header, &sealed)?;
    let (_, frame) = feedback::decode(&payload).map_err(said)?;
    let seen = Decoder::new().decode(frame).map_err(said)?;
    if (seen.width(), seen.height()) != (shape.width, shape.height) {
        return Err("another picture came out than went in".into());
    }
    Ok(Step::new(
        "A picture of a call",
        format!(
            "SFrame (RFC 9605), AES_256_GCM_SHA512_128: one random base key a sender, sent through the \
             session; KID names it, CTR counts frames from 0. {} by {} samples became {} bytes of our codec, \
             on the way in {}. Track, frame number, fragment, layer and keyframe bit are in clear, so that \
             the relay can forward, and are bound to the frame as its metadata.",
            shape.width,
            shape.height,
            frame.len(),
            if datagrams.len() == 1 {
                "one datagram".to_string()
            } else {
                format!("{} datagrams", datagrams.len())
            }
        ),
    )
    .bytes("base key", &key)
    .bytes("header, in clear", &header)
    .bytes("sealed frame", &sealed)
    .sees(Who::Network, "datagrams inside QUIC: how many, how long, how often")
    .sees(Who::Relay, "the track, numbers and sizes; never a picture")
    .flip("the sealed frame", &sealed, |bytes| opens(&header, bytes))
    .flip_in("track and frame number in clear", &header, 2..10, |bytes| opens(bytes, &sealed)))
}

/// What the two compare in the end.
///
/// # Errors
/// A sentence.
pub fn safety(ada: &Person, ben: &Person) -> Result<Step, String> {
    let (hers, his) = (ada.peer().identity, ben.peer().identity);
    let number = |his: &[u8; 32]| {
        let ada = Party { name: &ada.name, identity: &hers };
        Number::of(ada, Party { name: &ben.name, identity: his }).groups()
    };
    let ours = number(&his);
    Ok(Step::new(
        "Is it really ben?",
        format!(
            "All of this holds for the key that ada pinned, and the relay gave her that key. Sixty digits \
             over both names and IKs, 5,200 rounds of SHA-512, tell whether it is ben’s; /verify shows them \
             on both ends: {}",
            ours.join(" ")
        ),
    )
    .sees(Who::Relay, "a different number on each end, had it put its own key between them")
    .flip("ben’s IK", &his, |bytes| {
        let other = number(&bytes.try_into().map_err(said)?);
        if other == ours { Ok(()) } else { Err(format!("another number: {} {}…", other[0], other[1])) }
    }))
}
