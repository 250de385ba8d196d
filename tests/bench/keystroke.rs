//! From Enter on one client to the line in the other's timeline, over a relay on loopback.
//!
//! Beside it, round by round, the same bytes go to a bare quinn endpoint and back on one stream: two
//! hops over the same network stack, without anything sealed, stored or shown.

use crate::figure::{Table, Times};
use crate::people::{Home, Person, Place, pair, tokio};
use crate::wire;
use std::net::Ipv4Addr;
use std::time::Instant;
use subrosa_relay::listener::{Key, server_config};

/// Texts each way of measuring.
const ROUNDS: usize = 300;

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let at = |name: &str| dir.path().join(name);
    let text = "what a person types, in one line";
    let mut echo = Echo::start(wire::frame(text)?)?;

    let light = Place::start(None)?;
    let link = light.server().link();
    let in_memory = pair([Home::Memory, Home::Memory], [link, link])?;
    let heavy = Place::start(Some(&at("relay")))?;
    let link = heavy.server().link();
    let on_disk = pair([Home::Folder(&at("ada")), Home::Folder(&at("ben"))], [link, link])?;
    let turns_place = Place::start(Some(&at("relay of turns")))?;
    let link = turns_place.server().link();
    let in_turns = pair([Home::Folder(&at("ada 2")), Home::Folder(&at("ben 2"))], [link, link])?;

    let mut times = [(); 4].map(|()| Times::default());
    for round in 0..ROUNDS {
        let text = format!("{text} {round:03}");
        times[0].add(echo.turn()?);
        times[1].add(tell(&in_memory[0], &in_memory[1], &text)?);
        times[2].add(tell(&on_disk[0], &on_disk[1], &text)?);
        let [from, to] = [round % 2, (round + 1) % 2];
        times[3].add(tell(&in_turns[from], &in_turns[to], &text)?);
    }
    let [echo, in_memory, on_disk, in_turns] = &times;
    let beside = "quinn echo";
    table.times("keystroke to timeline, all in memory", in_memory, beside, echo);
    table.times("keystroke to timeline, all on disk (3 durable writes)", on_disk, beside, echo);
    table.times("the same, a new session each turn", in_turns, beside, echo);
    table.alone("one durable write of 4 KiB on this disk", &disk(dir.path())?);
    Ok(())
}

fn tell(from: &Person, to: &Person, text: &str) -> anyhow::Result<std::time::Duration> {
    let pressed = from.enters(text)?;
    Ok(to.hears_line(text)?.saturating_duration_since(pressed))
}

/// What the disk itself takes.
fn disk(dir: &std::path::Path) -> anyhow::Result<Times> {
    use std::io::Write;
    let mut times = Times::default();
    let mut file = std::fs::File::create(dir.join("plain"))?;
    for _ in 0..100 {
        file.write_all(&[7; 4096])?;
        times.of(|| file.sync_data())?;
    }
    Ok(times)
}

/// A quinn connection to an endpoint that gives everything back.
struct Echo {
    bytes: Vec<u8>,
    send: quinn::SendStream,
    receive: quinn::RecvStream,
    client: tokio::runtime::Runtime,
    _server: tokio::runtime::Runtime,
    _ends: (quinn::Endpoint, quinn::Connection),
}

impl Echo {
    fn start(bytes: Vec<u8>) -> anyhow::Result<Self> {
        let (client, server) = (tokio()?, tokio()?);
        let key = Key::new()?;
        let listening = {
            let _entered = server.enter();
            let config = server_config(&key, &subrosa_relay::config::Link::default())?;
            quinn::Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into())?
        };
        let address = listening.local_addr()?;
        server.spawn(serve(listening));
        let (config, _) = subrosa::net::tls::config(key.fingerprint())?;
        let (endpoint, connection, send, receive) = client.block_on(async {
            let endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
            let connection = endpoint.connect_with(config, address, "subrosa")?.await?;
            let (send, receive) = connection.open_bi().await?;
            anyhow::Ok((endpoint, connection, send, receive))
        })?;
        Ok(Self { bytes, send, receive, client, _server: server, _ends: (endpoint, connection) })
    }

    fn turn(&mut self) -> anyhow::Result<std::time::Duration> {
        let Self { bytes, send, receive, client, .. } = self;
        let mut back = vec![0; bytes.len()];
        client.block_on(async {
            let begun = Instant::now();
            send.write_all(bytes).await?;
            receive.read_exact(&mut back).await?;
            Ok(begun.elapsed())
        })
    }
}

async fn serve(endpoint: quinn::Endpoint) -> anyhow::Result<()> {
    let Some(incoming) = endpoint.accept().await else { return Ok(()) };
    let connection = incoming.await?;
    let (mut send, mut receive) = connection.accept_bi().await?;
    while let Some(chunk) = receive.read_chunk(64 << 10, true).await? {
        send.write_chunk(chunk.bytes).await?;
    }
    Ok(())
}
