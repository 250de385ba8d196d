//! One message from ada to ben: its body, the handshake, the envelope, the mailbox, the stream.

use super::people::{Chain, Person, files, holds, now, said};
use super::post::{Found, Post};
use super::step::{Step, Who};
use super::wire::Wire;
use crate::chat::timeline::{Author, LINES, Line, LineState, place};
use crate::chat::wrapped::{self, Between, Wrapped};
use rand_core::OsRng;
use sha2::{Digest, Sha256};
use subrosa_relay::relay::Conn;
use subrosa_shared::content::Content;
use subrosa_shared::id::{DeviceId, EnvelopeId, MessageId, RoomId, SessionId};
use subrosa_shared::protocol::codec;
use subrosa_shared::protocol::envelope::{Delivery, Head, Keep, Outgoing};
use subrosa_shared::protocol::frame::ToRelay;
use subrosa_shared::protocol::prekey::Bundle;
use subrosa_shared::session::Why;
use subrosa_shared::session::kept::PREKEY;
use subrosa_shared::store::{Batch, SlotKey};

/// What ada writes: long enough to need a body of its own.
pub const TEXT: &str = "Dear Ben, this letter is a little longer than half a kilobyte, because from \
    there on the text is sealed once, under a key of its own, and only that key goes through the \
    session: a room of a hundred people then costs one body and a hundred small heads. Nobody but you \
    can open it. The relay that keeps it tonight sees a name, a size and a time; the network sees less; \
    and whoever steals a disk tomorrow, yours or mine, finds that the key which opened this letter is \
    not there any more. If you read these words, then every bit of them is as I wrote it. The roses \
    are doing well. Ada";

/// Where ben keeps the conversation.
const ROOM: RoomId = RoomId([1; 16]);

/// A letter under way.
pub struct Letter {
    content: Content,
    /// The session message for ben.
    pub head: Vec<u8>,
    /// The sealed body.
    pub body: Vec<u8>,
    inside: Vec<u8>,
    /// Its session.
    pub session: SessionId,
    /// Ada's chain after it.
    pub chain: Chain,
}

/// Bytes of a session start: version, type and prekey id, then ct, e, sealed s, sealed payload 0.
const CT: usize = 2 + 16;
const E: usize = CT + 1088;
const S: usize = E + 32;
const PAYLOAD: usize = S + 48;

/// The body is sealed, and its key goes into the message.
///
/// # Errors
/// A sentence.
pub fn body(ada: &Person) -> Result<(Step, Content, Wrapped), String> {
    let id = MessageId::drawn(&ada.peer().identity, &mut OsRng);
    let content = Content::Text { id, at: now().wall, body: TEXT.to_string() };
    let wrapped = wrapped::wrap(&content, &mut OsRng);
    let (inside, body) = (&wrapped.inside, &wrapped.body);
    let step = Step::new(
        "Ada’s letter becomes a body",
        format!(
            "It is over {} bytes, so it is sealed once with AES-256-GCM under a fresh key. What goes \
             through the session is whose words they are and for whom, then 1 ‖ key ‖ SHA-256(body).",
            wrapped::INLINE_MAX
        ),
    )
    .bytes("content", &content.encode())
    .bytes("key", inside.get(1..33).unwrap_or_default())
    .bytes("body", body)
    .bytes("SHA-256(body)", inside.get(33..).unwrap_or_default())
    .sees(Who::DeviceDisk, "a sealed record of the line, which ada keeps until ben has it")
    .flip("the body", body, |bytes| wrapped::unwrap(inside, bytes))
    .flip_in("the key", inside, 1..33, |bytes| wrapped::unwrap(bytes, body))
    .flip_in("SHA-256(body)", inside, 33..inside.len(), |bytes| wrapped::unwrap(bytes, body));
    Ok((step, content, wrapped))
}

/// KEM and handshake, sealed by ada and tried on ben.
///
/// # Errors
/// A sentence.
pub fn handshake(
    ada: &mut Person,
    ben: &mut Person,
    bundle: &Bundle,
    content: Content,
    wrapped: Wrapped,
) -> Result<(Step, Step, Letter), String> {
    let mut batch = Batch::default();
    let Wrapped { inside, body } = wrapped;
    let named = between(ada, ben).address(&inside);
    let sealed = ada.sessions.seal(&ben.peer(), Why::Speech, &named, &mut OsRng, now(), &mut batch);
    let sealed = sealed.map_err(said)?;
    // Before the wire: session and number in the records, the chain key in its slot.
    ada.commit(&batch)?;
    let chain = ada.sends(&ben.device())?;
    let head = sealed.bytes;
    let part = |from: usize, to: usize| head.get(from..to).unwrap_or_default();
    let ct = part(CT, E);
    let mut opens = |bytes: &[u8]| ben.sessions.open(bytes, now(), &mut Batch::default()).map(drop);
    let kem = Step::new(
        "A secret that outlives quantum computers",
        "ct, ss = ML-KEM-768.Encaps(ek), and psk = HKDF-SHA256(ss; \"subrosa psk/1\" ‖ SHA256(ek) ‖ \
         SHA256(ct)). The psk covers the whole handshake, from its first byte on. ss and psk live for one \
         function call and are wiped.",
    )
    .bytes("ct", ct)
    .bytes("SHA256(ek)", &Sha256::digest(&bundle.ek))
    .bytes("SHA256(ct)", &Sha256::digest(ct))
    .sees(Who::Relay, "ct, from which only ben’s seed gets ss; a recording helps no later machine")
    .flip_in("ct", &head, CT..E, &mut opens);
    let noise = Step::new(
        "One message starts a session",
        "Noise_Xpsk0_25519_AESGCM_SHA256: -> psk, e, es, s, ss. The prologue is \"subrosa pairwise/1\" ‖ \
         ben’s IK ‖ SHA256(bundle without signature) ‖ SHA256(ct). Payload 0 carries ada’s certificate, \
         the last session from ben, a next prekey bundle for him, and the letter’s key. The session id is \
         half of the handshake hash; k_0 is the first key of Split(), the second is wiped. Outbox before \
         wire: session and number were on disk, k_0 in the ratchet file, before a byte leaves.",
    )
    .bytes("e", part(E, S))
    .bytes("sealed s", part(S, PAYLOAD))
    .bytes("sealed payload 0", part(PAYLOAD, head.len()))
    .bytes("SHA256(bundle)", &bundle.hash())
    .bytes("session id", &sealed.session.0)
    .bytes("k_0, ada’s disk", &chain.key)
    .sees(Who::Relay, "which prekey was used, and e; not who ada is: s is sealed too")
    .sees(Who::DeviceDisk, "sealed slots and records, no letter, no k_0")
    .flip_in("e", &head, E..S, &mut opens)
    .flip_in("sealed s", &head, S..PAYLOAD, &mut opens)
    .flip_in("sealed payload 0", &head, PAYLOAD..head.len(), &mut opens);
    let letter = Letter { content, head, body, inside: inside.to_vec(), session: sealed.session, chain };
    Ok((kem, noise, letter))
}

/// The envelope goes over the link.
///
/// # Errors
/// A sentence.
pub fn envelope(
    post: &mut Post,
    conn: Conn,
    wire: &mut Wire,
    ben: &Person,
    letter: &Letter,
) -> Result<Step, String> {
    let to = |device: DeviceId| Outgoing {
        id: EnvelopeId::random(&mut OsRng),
        keep: Keep::Stored,
        to: vec![Head { to: device, bytes: letter.head.clone() }],
        body: letter.body.clone(),
        moves: None,
    };
    let frame = codec::encode(&ToRelay::Send(to(ben.device()))).map_err(said)?;
    let bytes = wire.send(&frame)?;
    if holds(std::slice::from_ref(&bytes), TEXT.as_bytes())
        || holds(std::slice::from_ref(&bytes), &letter.head)
    {
        return Err("the network sees what it must not".into());
    }
    let mut other = Wire::open(&post.key, post.key.fingerprint())?;
    let other_bytes = other.send(&frame)?;
    let read = wire.receive(&bytes)?;
    let step = Step::new(
        "The envelope leaves",
        "A head for each recipient’s device, one body for all. The frame is sealed once more by TLS on its \
         way to the relay.",
    )
    .bytes("ben’s device", &ben.device().0)
    .bytes("head", &letter.head)
    .bytes("body", &letter.body)
    .bytes("on the network", &bytes)
    .sees(Who::Network, format!("{} bytes to the relay, now; neither head nor body is in them", bytes.len()))
    .sees(Who::Relay, "from ada’s device to ben’s, how long head and body are, when")
    .flip_in("the TLS record", &other_bytes, 5..other_bytes.len(), |bytes| other.receive(bytes))
    .flip("the recipient", &ben.device().0, |bytes| {
        post.say(conn, ToRelay::Send(to(DeviceId(bytes.try_into().map_err(said)?))))
    });
    let frame = codec::decode(read.get(codec::PREFIX..).unwrap_or_default()).map_err(said)?;
    post.say(conn, frame)?;
    Ok(step)
}

/// A night on the relay's disk, where somebody copies it and changes it.
///
/// # Errors
/// A sentence.
pub fn mailbox(post: &mut Post, ben: &mut Person, letter: &Letter) -> Result<Step, String> {
    let mut disk = post.records()?;
    let rows = disk.len() / 2;
    disk.extend(files(&post.dir)?);
    for (secret, what) in
        [(TEXT.as_bytes(), "the letter"), (&letter.chain.key, "k_0"), (&letter.inside, "its key")]
    {
        if holds(&disk, secret) {
            return Err(format!("the relay’s disk has {what} on it"));
        }
    }
    let mut tried = Vec::new();
    for (what, bytes) in [("the stored head", &letter.head), ("the stored body", &letter.body)] {
        let Found { table, key, value, at } = post.find(bytes)?;
        let (bad, which) = super::step::one_bit(&value, at..at + bytes.len());
        post.tamper(table, &key, &bad)?;
        let (conn, came) = post.returns(ben)?;
        let read = came.first().ok_or_else(|| "nothing came".to_string()).and_then(|came| reads(ben, came));
        tried.push((format!("{which} of {what}"), read.err()));
        post.gone(conn);
        post.tamper(table, &key, &value)?;
    }
    let found = post.find(&letter.head)?;
    let step = Step::new(
        "A night in the mailbox",
        format!(
            "The relay keeps the envelope until ben’s device acknowledges it. A search through all {rows} \
             records and all files of its disk, for any twelve bytes in a row of the letter, of its key or of \
             k_0, finds none.",
        ),
    )
    .bytes("record", &found.value)
    .sees(Who::Relay, format!("{} for ben, from ada: ciphertext", post.waiting(ben)?))
    .sees(Who::RelayDisk, "the same: names, devices, sizes, times, public keys, ciphertext");
    Ok(tried.into_iter().fold(step, |step, (what, refused)| step.tried(what, refused)))
}

fn between(ada: &Person, ben: &Person) -> Between {
    Between { from: ada.name.clone(), to: Some(ben.name.clone()) }
}

/// Ben opens a delivery without keeping anything.
fn reads(ben: &mut Person, delivery: &Delivery) -> Result<Content, String> {
    let opened = ben.sessions.open(&delivery.head, now(), &mut Batch::default());
    // What opened moved ben's sessions in memory alone.
    let opened = opened.map_err(said);
    let content =
        opened.and_then(|opened| wrapped::unwrap_all(&opened.content, &delivery.body).content.map_err(said));
    ben.forget_uncommitted()?;
    content
}

/// Ben comes back and reads.
///
/// # Errors
/// A sentence.
pub fn delivery(
    post: &mut Post,
    ada: &Person,
    ben: &mut Person,
    bundle: &Bundle,
    letter: &Letter,
) -> Result<Step, String> {
    let seed = SlotKey { kind: PREKEY, id: bundle.id.0, part: 0 };
    let before = ben.store()?.slots.get(&seed).ok_or("the seed is not where it was")?;
    let (conn, came) = post.returns(ben)?;
    let came = came.first().ok_or("the relay lost the letter")?;
    let mut batch = Batch::default();
    let opened = ben.sessions.open(&came.head, now(), &mut batch).map_err(said)?;
    let content = wrapped::unwrap_all(&opened.content, &came.body).content.map_err(said)?;
    if content != letter.content || opened.from != ada.peer() || opened.session != letter.session {
        return Err("ben reads another letter than ada wrote".into());
    }
    if let Content::Text { id, at, body } = content {
        let line = Line::new(id, Author::Them, at, body, LineState::Received);
        batch.put(LINES, place(ROOM, 0), line.encode());
    }
    ben.commit(&batch)?;
    if ben.store()?.slots.get(&seed).is_some() {
        return Err("the prekey’s seed is still there".into());
    }
    let chain = ben.opens(&letter.session)?;
    post.say(conn, ToRelay::Ack(came.seq))?;
    let left = post.waiting(ben)?;
    let mut again = |bytes: &[u8]| ben.sessions.open(bytes, now(), &mut Batch::default()).map(drop);
    let repeated = again(&letter.head).err().map(said);
    let step = Step::new(
        "Ben opens it, once",
        "His ratchet file still has the prekey’s seed. He gets the same ss, psk and session id, checks the \
         body’s hash, and proves that NK in ada’s certificate is the one of the handshake. In this order: \
         the line is on disk, k_0 in its slot, the prekey’s seed erased, and only then is the envelope \
         acknowledged.",
    )
    .bytes("seed, now erased", before.get(1..33).unwrap_or_default())
    .bytes("session id", &opened.session.0)
    .bytes("k_0, ben’s disk", &chain.key)
    .bytes("the letter", TEXT.as_bytes())
    .sees(Who::Relay, format!("that ben took it; {left} are left for him"))
    .sees(Who::DeviceDisk, "no seed: the head that was recorded last night opens for nobody any more")
    .tried("nothing, the same bytes once more", repeated)
    .flip_in("the prekey’s id", &letter.head, 2..CT, &mut again);
    post.gone(conn);
    if chain.key != letter.chain.key {
        return Err("the two ends have different keys".into());
    }
    Ok(step)
}

/// The stream after the handshake.
///
/// # Errors
/// A sentence.
pub fn stream(ada: &mut Person, ben: &mut Person, letter: &Letter) -> Result<Step, String> {
    let said_next = "PS: the cat is well too.";
    let id = MessageId::drawn(&ada.peer().identity, &mut OsRng);
    let content = Content::Text { id, at: now().wall, body: said_next.to_string() };
    let inside = between(ada, ben).address(&wrapped::wrap(&content, &mut OsRng).inside);
    let mut batch = Batch::default();
    let sealed = ada.sessions.seal(&ben.peer(), Why::Speech, &inside, &mut OsRng, now(), &mut batch);
    let bytes = sealed.map_err(said)?.bytes;
    ada.commit(&batch)?;
    let after = ada.sends(&ben.device())?;
    let mut opens = |bytes: &[u8]| ben.sessions.open(bytes, now(), &mut Batch::default()).map(drop);
    let step = Step::new(
        "The stream, a new key for each message",
        "AD = session id ‖ n ‖ type; AES-256-GCM(k_n, 0^4 ‖ BE64(n)); k_{n+1} = REKEY(k_n), and k_n is \
         overwritten on both disks. n is never reset. Ben’s state moves only after the tag verifies: after \
         all that is tried below, the message still opens.",
    )
    .bytes("session id", bytes.get(2..18).unwrap_or_default())
    .bytes("n", bytes.get(18..26).unwrap_or_default())
    .bytes("ciphertext, tag", bytes.get(26..).unwrap_or_default())
    .bytes("k_0, overwritten", &letter.chain.key)
    .bytes("k_1 = REKEY(k_0)", &after.key)
    .sees(Who::Relay, "that the session goes on, and its number n")
    .sees(Who::DeviceDisk, "at best k_1, which leads to no message before it")
    .flip_in("the session id", &bytes, 2..18, &mut opens)
    .flip_in("n", &bytes, 18..26, &mut opens)
    .flip_in("ciphertext and tag", &bytes, 26..bytes.len(), &mut opens);
    let mut batch = Batch::default();
    let opened = ben.sessions.open(&bytes, now(), &mut batch).map_err(said)?;
    ben.commit(&batch)?;
    let chain = ben.opens(&letter.session)?;
    if wrapped::unwrap_all(&opened.content, &[]).content != Ok(content)
        || chain != after
        || after.key == letter.chain.key
    {
        return Err("the stream does not go on as it should".into());
    }
    let repeated = ben.sessions.open(&bytes, now(), &mut Batch::default()).err().map(said);
    Ok(step.tried("nothing, the same bytes once more", repeated))
}
