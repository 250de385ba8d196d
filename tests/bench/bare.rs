//! Connections to the least that a relay could be: `peer`, which gives each datagram of the first one to all
//! others.

use crate::process::{Running, peer};
use anyhow::Context;
use quinn::Connection;
use std::net::{Ipv4Addr, SocketAddr};

/// Such a program.
pub struct Bare {
    process: Running,
    address: SocketAddr,
    fingerprint: [u8; 32],
}

impl Bare {
    pub fn start() -> anyhow::Result<Self> {
        let (process, address, fingerprint) = peer(&["bare"])?;
        Ok(Self { process, address, fingerprint })
    }

    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// So many connections over one socket, the first of which is heard by the others.
    pub async fn connect(&self, count: usize, at_once: usize) -> anyhow::Result<Vec<Connection>> {
        let endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
        let (config, _) = subrosa::net::tls::config(self.fingerprint)?;
        let mut all = vec![endpoint.connect_with(config.clone(), self.address, "subrosa")?.await?];
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 1..count {
            if tasks.len() == at_once {
                all.push(tasks.join_next().await.context("there are some")???);
            }
            let connecting = endpoint.connect_with(config.clone(), self.address, "subrosa")?;
            tasks.spawn(async move { anyhow::Ok(connecting.await?) });
        }
        while let Some(connection) = tasks.join_next().await {
            all.push(connection??);
        }
        Ok(all)
    }
}
