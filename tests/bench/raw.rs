//! Devices that are only a connection: QUIC, a login, frames. For a relay they are like any other.

use crate::people::name;
use anyhow::{Context, bail};
use rand_core::OsRng;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use subrosa_shared::id::DeviceId;
use subrosa_shared::protocol::auth::EXPORTER_LABEL;
use subrosa_shared::protocol::codec;
use subrosa_shared::protocol::frame::{ToDevice, ToRelay};
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::{Identity, Sessions};
use subrosa_shared::store::Store;
use subrosa_shared::store::memory::{Memory, MemorySlots};

/// Longer than anything that works takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Settings of a relay that lets one address do what a thousand do elsewhere.
pub const CONFIG: &str = "
[limits]
accounts = 1000000
registrations = { per_minute = 1000000, burst = 1000000 }
sends = { per_minute = 100000000, burst = 1000000 }
send_bytes = { per_minute = 4000000000, burst = 1000000000 }
frames = { per_minute = 100000000, burst = 1000000 }
media_bytes = { per_minute = 4000000000, burst = 1000000000 }
[link]
connections = 20000
connections_per_address = 20000
handshakes = { per_minute = 1000000, burst = 20000 }
handshakes_per_address = { per_minute = 1000000, burst = 20000 }
login_seconds = 60
";

/// A device that is logged in.
pub struct Raw {
    pub connection: quinn::Connection,
    pub out: Out,
    pub inbox: Inbox,
    pub sessions: Sessions,
    pub device: DeviceId,
}

/// Frames to the relay.
pub struct Out(quinn::SendStream);

/// Frames from the relay.
pub struct Inbox(quinn::RecvStream);

/// Logs in so many devices over one socket, so many at once.
pub async fn connect(
    link: &RelayLink,
    called: &str,
    count: usize,
    at_once: usize,
) -> anyhow::Result<Vec<Raw>> {
    let endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    let (config, _) = subrosa::net::tls::config(link.fingerprint)?;
    let mut tasks = tokio::task::JoinSet::new();
    let mut all = Vec::with_capacity(count);
    for n in 0..count {
        if tasks.len() == at_once {
            all.push(tasks.join_next().await.context("there are some")???);
        }
        let (endpoint, config, link, called) =
            (endpoint.clone(), config.clone(), link.clone(), format!("{called}{n}"));
        tasks.spawn(async move { login(&endpoint, config, &link, &called).await });
    }
    while let Some(raw) = tasks.join_next().await {
        all.push(raw??);
    }
    Ok(all)
}

async fn login(
    endpoint: &quinn::Endpoint,
    config: quinn::ClientConfig,
    link: &RelayLink,
    called: &str,
) -> anyhow::Result<Raw> {
    let address = (Ipv4Addr::LOCALHOST, link.port).into();
    let connection = endpoint.connect_with(config, address, "subrosa")?.await?;
    let mut exporter = [0; 32];
    if connection.export_keying_material(&mut exporter, EXPORTER_LABEL, &[]).is_err() {
        bail!("TLS gave no login value");
    }
    let (send, receive) = connection.open_bi().await?;
    let store = Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) };
    let identity = Identity::generate(&mut OsRng);
    let device = identity.peer().device();
    let login = identity.login(name(called)?, true, &link.fingerprint, &exporter);
    let (sessions, _) = Sessions::load(identity, &store, crate::seal::now())?;
    let mut raw = Raw { connection, out: Out(send), inbox: Inbox(receive), sessions, device };
    raw.out.say(&ToRelay::Authenticate(login)).await?;
    raw.inbox.hear(|frame| matches!(frame, ToDevice::Welcome(_)).then_some(())).await?;
    Ok(raw)
}

impl Out {
    pub async fn say(&mut self, frame: &ToRelay) -> anyhow::Result<()> {
        self.0.write_all(&codec::encode(frame)?).await?;
        Ok(())
    }
}

impl Inbox {
    /// The next frame.
    pub async fn next(&mut self) -> anyhow::Result<ToDevice> {
        let mut prefix = [0; codec::PREFIX];
        self.0.read_exact(&mut prefix).await?;
        let mut bytes = vec![0; codec::length(prefix)?];
        self.0.read_exact(&mut bytes).await?;
        Ok(codec::decode(&bytes)?)
    }

    /// Waits for a frame; a refusal is an error.
    pub async fn hear<T>(&mut self, wanted: impl Fn(&ToDevice) -> Option<T>) -> anyhow::Result<T> {
        let reading = async {
            loop {
                let frame = self.next().await?;
                if let Some(found) = wanted(&frame) {
                    return Ok(found);
                }
                if let ToDevice::Refused { why, .. } = frame {
                    bail!("the relay refuses: {why:?}");
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.context("the relay is silent")?
    }
}
