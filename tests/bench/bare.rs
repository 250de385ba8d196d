//! The least that a relay could be: a program that lets connections in with the relay's own settings, and
//! gives each datagram of the first one to all others. It is this program, started once more.

use crate::people::as_the_relay;
use crate::process::{Running, again};
use anyhow::Context;
use quinn::Connection;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use subrosa_relay::listener::{Key, server_config, widen};

/// The argument that makes this program that one.
pub const ARGUMENT: &str = "bare-loop";

/// Such a program.
pub struct Bare {
    process: Running,
    address: SocketAddr,
    fingerprint: [u8; 32],
}

impl Bare {
    pub fn start() -> anyhow::Result<Self> {
        let (process, address, fingerprint) = again(&[ARGUMENT])?;
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

/// Is that program until it is killed.
pub fn run() -> anyhow::Result<()> {
    let runtime = as_the_relay()?;
    runtime.block_on(async {
        let key = Key::new()?;
        let config = server_config(&key, &subrosa_relay::config::Link::default())?;
        let endpoint = quinn::Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into())?;
        let port = endpoint.local_addr()?.port();
        println!("{port} {}", data_encoding::HEXLOWER.encode(&key.fingerprint()));
        std::io::stdout().flush()?;
        let others: Arc<RwLock<Vec<Connection>>> = Arc::default();
        let mut first = true;
        while let Some(incoming) = endpoint.accept().await {
            let (others, loops) = (others.clone(), std::mem::take(&mut first));
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else { return };
                widen(&connection);
                if !loops {
                    others.write().unwrap_or_else(PoisonError::into_inner).push(connection);
                    return;
                }
                while let Ok(datagram) = connection.read_datagram().await {
                    for other in others.read().unwrap_or_else(PoisonError::into_inner).iter() {
                        // What does not fit is lost, as on any network.
                        let _ = other.send_datagram(datagram.clone());
                    }
                }
            });
        }
        Ok(())
    })
}
