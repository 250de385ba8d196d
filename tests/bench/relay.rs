//! Memory of the real relay, as a program of its own, with many clients that do nothing.
//!
//! The clients share one UDP socket here; for the relay each is a connection with its own TLS, login
//! and stream.

use crate::figure::{Table, mib};
use crate::people::{name, tokio};
use crate::process::{Running, beside, resident};
use anyhow::{Context, bail};
use rand_core::OsRng;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use subrosa_shared::protocol::auth::EXPORTER_LABEL;
use subrosa_shared::protocol::codec;
use subrosa_shared::protocol::frame::{Ask, ToDevice, ToRelay};
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::{Identity, Sessions};
use subrosa_shared::store::memory::{Memory, MemorySlots};
use subrosa_shared::store::{Batch, Store};

const CLIENTS: u64 = 1_000;
/// Handshakes under way at the same time.
const AT_ONCE: usize = 16;
/// Everything that a single address could otherwise not do.
const CONFIG: &str = "
[limits]
registrations = { per_minute = 1000000, burst = 1000000 }
[link]
connections_per_address = 10000
login_seconds = 60
";

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let config = dir.path().join("relay.toml");
    std::fs::write(&config, CONFIG)?;
    let mut relay = Command::new(beside("subrosa-relay")?)
        .arg("run")
        .arg("--config")
        .arg(&config)
        .args(["--listen", "127.0.0.1:0", "--data"])
        .arg(dir.path().join("data"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map(Running)?;
    let pid = relay.0.id();
    let mut link = String::new();
    BufReader::new(relay.0.stdout.take().context("piped")?).read_line(&mut link)?;
    let link: RelayLink = link.trim().parse().context("the relay printed no link")?;
    let empty = resident(pid)?;

    let tokio = tokio()?;
    let mut clients = tokio.block_on(connect(&link))?;
    let idle = resident(pid)?;
    let each =
        |now: u64| format!("{:.1} KiB a client", (now - empty.min(now)) as f64 / 1024.0 / CLIENTS as f64);
    let beside = format!("{} with none", mib(empty));
    table.value("memory of the relay, 1,000 idle clients", &mib(idle), &beside, &each(idle));
    tokio.block_on(publish(&mut clients))?;
    let stocked = resident(pid)?;
    table.value("the same, 100 prekeys stored for each", &mib(stocked), &beside, &each(stocked));
    Ok(())
}

struct Client {
    connection: quinn::Connection,
    send: quinn::SendStream,
    receive: quinn::RecvStream,
    sessions: Sessions,
}

async fn connect(link: &RelayLink) -> anyhow::Result<Vec<Client>> {
    let endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    let (config, _) = subrosa::net::tls::config(link.fingerprint)?;
    let mut tasks = tokio::task::JoinSet::new();
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        if tasks.len() == AT_ONCE {
            clients.push(tasks.join_next().await.context("there are some")???);
        }
        let (endpoint, config, link) = (endpoint.clone(), config.clone(), link.clone());
        tasks.spawn(async move { login(&endpoint, config, &link, n).await });
    }
    while let Some(client) = tasks.join_next().await {
        clients.push(client??);
    }
    Ok(clients)
}

async fn login(
    endpoint: &quinn::Endpoint,
    config: quinn::ClientConfig,
    link: &RelayLink,
    n: u64,
) -> anyhow::Result<Client> {
    let address = (Ipv4Addr::LOCALHOST, link.port).into();
    let connection = endpoint.connect_with(config, address, "subrosa")?.await?;
    let mut exporter = [0; 32];
    if connection.export_keying_material(&mut exporter, EXPORTER_LABEL, &[]).is_err() {
        bail!("TLS gave no login value");
    }
    let (send, receive) = connection.open_bi().await?;
    let store = Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) };
    let identity = Identity::generate(&mut OsRng);
    let login = identity.login(name(&format!("idle{n}"))?, true, &link.fingerprint, &exporter);
    let (sessions, _) = Sessions::load(identity, &store, crate::seal::now())?;
    let mut client = Client { connection, send, receive, sessions };
    client.say(&ToRelay::Authenticate(login)).await?;
    client.hear(|frame| matches!(frame, ToDevice::Welcome(_))).await?;
    Ok(client)
}

/// What each client does after its first login.
async fn publish(clients: &mut [Client]) -> anyhow::Result<()> {
    for client in clients {
        let mut left = 0;
        for ask in 0.. {
            let (rng, mut batch) = (&mut OsRng, Batch::default());
            let bundles = client.sessions.prekeys(left, ask > 0, rng, clock(), &mut batch);
            if bundles.is_empty() {
                break;
            }
            left += bundles.len() as u32 - u32::from(ask == 0);
            let ask = Ask(ask);
            let bundles = bundles.iter().map(|bundle| bundle.encode()).collect();
            client.say(&ToRelay::Publish { ask, bundles }).await?;
            client.hear(|frame| *frame == ToDevice::Done(ask)).await?;
        }
    }
    Ok(())
}

fn clock() -> subrosa_shared::time::Now {
    subrosa::runtime::Clock::start().now()
}

impl Client {
    async fn say(&mut self, frame: &ToRelay) -> anyhow::Result<()> {
        self.send.write_all(&codec::encode(frame)?).await?;
        Ok(())
    }

    /// Waits for a frame; a refusal is an error.
    async fn hear(&mut self, wanted: impl Fn(&ToDevice) -> bool) -> anyhow::Result<()> {
        let reading = async {
            loop {
                let mut prefix = [0; codec::PREFIX];
                self.receive.read_exact(&mut prefix).await?;
                let mut bytes = vec![0; codec::length(prefix)?];
                self.receive.read_exact(&mut bytes).await?;
                match codec::decode::<ToDevice>(&bytes)? {
                    frame if wanted(&frame) => return Ok(()),
                    ToDevice::Refused { why, .. } => bail!("the relay refuses: {why:?}"),
                    _ => {}
                }
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), reading).await;
        waited.with_context(|| format!("the relay is silent: {:?}", self.connection.close_reason()))?
    }
}
