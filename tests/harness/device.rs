//! A device that is only a connection: QUIC, a login, frames. For a relay it is like any other.

use super::real::PATIENCE;
use ed25519_dalek::SigningKey;
use quinn::{Connection, RecvStream, SendStream};
use std::net::Ipv4Addr;
use subrosa_shared::id::{AccountName, DeviceId, EnvelopeId};
use subrosa_shared::protocol::auth::{Cert, EXPORTER_LABEL, Login};
use subrosa_shared::protocol::blob::{self, Answer, BlobId, Request};
use subrosa_shared::protocol::codec;
use subrosa_shared::protocol::envelope::{Head, Keep, Outgoing};
use subrosa_shared::protocol::frame::{ToDevice, ToRelay};
use subrosa_shared::protocol::link::RelayLink;
use tokio::time::timeout;

/// A device that is logged in, as `name-N` with the key of that number.
pub struct Device {
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
    /// Came and was not asked for yet.
    waiting: Vec<ToDevice>,
}

/// The key of a device.
pub fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

/// The id of a device.
pub fn id(number: u8) -> DeviceId {
    DeviceId::of(&key(number).verifying_key().to_bytes())
}

/// The name of a device's account.
///
/// # Panics
/// Never.
pub fn name(number: u8) -> AccountName {
    AccountName::parse(&format!("name-{number}")).expect("letters and a number")
}

/// An envelope with that number to those devices, its head and body of so many bytes.
pub fn envelope(number: u32, to: &[u8], head: usize, body: usize) -> Outgoing {
    let fill = |length| number.to_be_bytes().into_iter().cycle().take(length).collect::<Vec<u8>>();
    let mut bytes = [0; 16];
    bytes[12..].copy_from_slice(&number.to_be_bytes());
    let to = to.iter().map(|to| Head { to: id(*to), bytes: fill(head) }).collect();
    Outgoing { id: EnvelopeId(bytes), keep: Keep::Stored, to, body: fill(body), moves: None }
}

impl Device {
    /// Connects and registers, or logs in.
    ///
    /// # Panics
    /// When the relay does not let it.
    pub async fn join(link: &RelayLink, number: u8) -> Self {
        let endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("a socket");
        let (config, _) = subrosa::net::tls::config(link.fingerprint).expect("TLS");
        let connecting =
            endpoint.connect_with(config, (Ipv4Addr::LOCALHOST, link.port).into(), "subrosa").expect("dials");
        let connection = soon(connecting).await.expect("connects");
        let (send, receive) = soon(connection.open_bi()).await.expect("a stream");
        let mut device = Self { connection, send, receive, waiting: Vec::new() };
        let mut exporter = [0; 32];
        device.connection.export_keying_material(&mut exporter, EXPORTER_LABEL, &[]).expect("exports");
        let cert = Cert::sign(&key(number), &[number; 32]);
        let login = Login::sign(name(number), true, cert, &key(number), &link.fingerprint, &exporter);
        device.say(&ToRelay::Authenticate(login)).await;
        device.hears(|frame| matches!(frame, ToDevice::Welcome(_)).then_some(())).await;
        device
    }

    /// Sends a frame.
    ///
    /// # Panics
    /// When the relay is gone.
    pub async fn say(&mut self, frame: &ToRelay) {
        soon(self.send.write_all(&codec::encode(frame).expect("fits"))).await.expect("written");
    }

    /// The first frame, of those not taken yet, that is `wanted`; others wait for their turn.
    ///
    /// # Panics
    /// When it does not come, or the relay refuses something.
    pub async fn hears<T>(&mut self, wanted: impl Fn(&ToDevice) -> Option<T>) -> T {
        let there = self.waiting.iter().enumerate().find_map(|(at, frame)| Some((at, wanted(frame)?)));
        if let Some((at, found)) = there {
            self.waiting.remove(at);
            return found;
        }
        loop {
            let mut prefix = [0; codec::PREFIX];
            soon(self.receive.read_exact(&mut prefix)).await.expect("a frame");
            let mut bytes = vec![0; codec::length(prefix).expect("in bounds")];
            soon(self.receive.read_exact(&mut bytes)).await.expect("the whole frame");
            let frame = codec::decode(&bytes).expect("a frame");
            if let Some(found) = wanted(&frame) {
                return found;
            }
            if let ToDevice::Refused { why, .. } | ToDevice::Rejected { why, .. } = &frame {
                panic!("the relay refuses: {why}");
            }
            self.waiting.push(frame);
        }
    }

    /// Uploads a file piece by piece; says after each `Stored` how much counts.
    ///
    /// # Panics
    /// When the relay does not take it.
    pub async fn uploads(&mut self, id: BlobId, bytes: &[u8], mut stored: impl FnMut(u64)) {
        let (mut send, mut receive) = soon(self.connection.open_bi()).await.expect("a stream");
        let size = bytes.len() as u64;
        let request = codec::encode(&Request::Put { id, size }).expect("fits");
        soon(send.write_all(&request)).await.expect("written");
        assert_eq!(answer(&mut receive).await, Answer::Ready { size, stored: 0 });
        let mut sent = 0;
        while sent < size {
            let next = (sent + blob::UNIT).min(size);
            soon(send.write_all(&bytes[sent as usize..next as usize])).await.expect("written");
            sent = next;
            loop {
                match answer(&mut receive).await {
                    Answer::Stored(count) => {
                        stored(count);
                        if count == sent {
                            break;
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

async fn answer(receive: &mut RecvStream) -> Answer {
    let mut prefix = [0; codec::PREFIX];
    soon(receive.read_exact(&mut prefix)).await.expect("an answer");
    let mut bytes = vec![0; blob::length(prefix).expect("in bounds")];
    soon(receive.read_exact(&mut bytes)).await.expect("the whole answer");
    codec::decode(&bytes).expect("an answer")
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("in time")
}
