//! The link to the relay in memory: the TLS of a real connection, its bytes kept to be looked at.

use crate::net::tls;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, ServerConnection};
use std::io::{self, Read, Write};
use std::sync::Arc;
use subrosa_relay::listener::{Key, tls_config};
use subrosa_shared::protocol::auth::EXPORTER_LABEL;

/// Both ends of one connection.
pub struct Wire {
    device: Connection,
    relay: Connection,
    /// Everything that went over it while it was made.
    pub greeting: Vec<u8>,
}

impl Wire {
    /// Connects to the relay with this key, of which the device has pinned that fingerprint.
    ///
    /// # Errors
    /// A sentence; above all when the key is another than the pinned one.
    pub fn open(key: &Key, fingerprint: [u8; 32]) -> Result<Self, String> {
        let (client, _) = tls::pinned(fingerprint).map_err(said)?;
        let name = ServerName::try_from("relay").map_err(said)?;
        let device = ClientConnection::new(Arc::new(client), name).map_err(said)?;
        let relay = ServerConnection::new(Arc::new(tls_config(key).map_err(said)?)).map_err(said)?;
        let mut wire = Self { device: device.into(), relay: relay.into(), greeting: Vec::new() };
        while wire.device.is_handshaking() || wire.relay.is_handshaking() {
            let there = written(&mut wire.device)?;
            taken(&mut wire.relay, &there)?;
            let back = written(&mut wire.relay)?;
            taken(&mut wire.device, &back)?;
            if there.is_empty() && back.is_empty() {
                return Err("the connection does not come about".into());
            }
            wire.greeting.extend(there);
            wire.greeting.extend(back);
        }
        // Session tickets, which nobody asked for.
        let rest = written(&mut wire.relay)?;
        taken(&mut wire.device, &rest)?;
        Ok(wire)
    }

    /// The value that ties a login to this connection.
    ///
    /// # Errors
    /// A sentence.
    pub fn exporter(&self) -> Result<[u8; 32], String> {
        let Connection::Client(device) = &self.device else { return Err("no device's end".into()) };
        device.export_keying_material([0; 32], EXPORTER_LABEL, None).map_err(said)
    }

    /// The name of the key exchange.
    pub fn exchange(&self) -> String {
        let group = self.device.negotiated_key_exchange_group();
        group.map_or_else(|| "none".into(), |group| format!("{:?}", group.name()))
    }

    /// The cipher suite's name.
    pub fn suite(&self) -> String {
        let suite = self.device.negotiated_cipher_suite();
        suite.map_or_else(|| "none".into(), |suite| format!("{:?}", suite.suite()))
    }

    /// What goes over the network when the device sends that.
    ///
    /// # Errors
    /// A sentence.
    pub fn send(&mut self, frame: &[u8]) -> Result<Vec<u8>, String> {
        self.device.writer().write_all(frame).map_err(said)?;
        written(&mut self.device)
    }

    /// What the relay reads out of bytes from the network.
    ///
    /// # Errors
    /// When they are not what the device sent. The connection is then of no more use.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let (mut bytes, mut read) = (bytes, Vec::new());
        while !bytes.is_empty() {
            self.relay.read_tls(&mut bytes).map_err(said)?;
            self.relay.process_new_packets().map_err(said)?;
            match self.relay.reader().read_to_end(&mut read) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(said(error)),
                _ => {}
            }
        }
        Ok(read)
    }
}

/// What one end has to say, at most a few records.
fn written(end: &mut Connection) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while end.wants_write() {
        end.write_tls(&mut bytes).map_err(said)?;
    }
    Ok(bytes)
}

fn taken(end: &mut Connection, mut bytes: &[u8]) -> Result<(), String> {
    while !bytes.is_empty() {
        end.read_tls(&mut bytes).map_err(said)?;
        end.process_new_packets().map_err(said)?;
    }
    Ok(())
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_end_says_the_other_reads_and_the_network_does_not() {
        let key = Key::new().expect("randomness");
        let mut wire = Wire::open(&key, key.fingerprint()).expect("connects");
        assert_eq!(wire.exchange(), "X25519MLKEM768");
        let frame = [7; 40_000];
        let bytes = wire.send(&frame).expect("sent");
        assert!(!bytes.windows(8).any(|some| some == [7; 8]));
        assert_eq!(wire.receive(&bytes).expect("whole"), frame);
        assert!(Wire::open(&key, [0; 32]).is_err());
    }
}
