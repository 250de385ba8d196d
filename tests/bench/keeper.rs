//! Connections to the least that a relay which keeps envelopes could be: `peer`, which appends each frame to a
//! log before it answers and hands it on.

#[path = "peer/frame.rs"]
mod frame;

use crate::process::{Running, peer};
use anyhow::bail;
use frame::KEPT;
pub use frame::{frame, take};
use quinn::{Connection, RecvStream, SendStream};
use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

/// Such a program.
pub struct Keeper {
    process: Running,
    address: SocketAddr,
    fingerprint: [u8; 32],
}

/// A connection to it.
pub struct Line {
    /// Not closed as long as this lives.
    pub connection: Connection,
    pub send: SendStream,
    pub receive: RecvStream,
}

impl Keeper {
    pub fn start(log: &Path) -> anyhow::Result<Self> {
        let (process, address, fingerprint) = peer(&[OsStr::new("keeper"), log.as_os_str()])?;
        Ok(Self { process, address, fingerprint })
    }

    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// So many pairs, a sender and who gets its frames.
    pub async fn connect(&self, pairs: u8) -> anyhow::Result<Vec<(Line, Line)>> {
        let endpoints = [
            quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?,
            quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?,
        ];
        let (config, _) = subrosa::net::tls::config(self.fingerprint)?;
        let mut all = Vec::new();
        for number in 0..pairs {
            let mut lines = Vec::new();
            for (endpoint, kind) in endpoints.iter().zip(*b"ts") {
                let connection = endpoint.connect_with(config.clone(), self.address, "subrosa")?.await?;
                let (mut send, mut receive) = connection.open_bi().await?;
                send.write_all(&[kind, number]).await?;
                // It answers once it knows the connection.
                receive.read_exact(&mut [0]).await?;
                lines.push(Line { connection, send, receive });
            }
            let (Some(sender), Some(taker)) = (lines.pop(), lines.pop()) else { bail!("two were made") };
            all.push((sender, taker));
        }
        Ok(all)
    }
}

/// Reads one answer.
pub async fn hear_kept(receive: &mut RecvStream) -> anyhow::Result<()> {
    Ok(receive.read_exact(&mut [0; KEPT.len()]).await?)
}
