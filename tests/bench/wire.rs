//! Bytes on the network: UDP payload between one client and the relay, counted on the way.

use crate::figure::Table;
use crate::people::{Home, Person, Place, pair};
use crate::seal::{self, TEXT};
use anyhow::Context;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;
use subrosa::chat::call::CallState;
use subrosa::effect::Happened;
use subrosa::ui::command::Command;
use subrosa_shared::id::EnvelopeId;
use subrosa_shared::protocol::codec;
use subrosa_shared::protocol::envelope::{Head, Keep, Outgoing};
use subrosa_shared::protocol::frame::ToRelay;
use subrosa_shared::protocol::link::RelayLink;

const TEXTS: u64 = 200;
/// Seconds of a call.
const CALL: u64 = 5;

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let place = Place::start(None)?;
    let link = place.server().link();
    let between = Between::start(link)?;
    let [ada, ben] = pair([Home::Memory, Home::Memory], [&between.link, link])?;

    let before = between.counted();
    for n in 0..TEXTS {
        let body = format!("{n:0TEXT$}");
        ada.writes(&body);
        ada.enters()?;
        ben.hears_line(&body)?;
        ada.hears_mark()?;
    }
    let [up, down] = between.since(before, TEXTS);
    let frame = frame(&"x".repeat(TEXT))?.len();
    table.value(
        "bytes for a text of 100 B with typing, mark and receipt",
        &format!("{up} up, {down} down"),
        &format!("its frame: {frame} B"),
        &format!("{:.1}× / {:.1}×", up as f64 / TEXT as f64, down as f64 / TEXT as f64),
    );
    call(table, &between, &ada, &ben)
}

fn call(table: &mut Table, between: &Between, ada: &Person, ben: &Person) -> anyhow::Result<()> {
    let is = |wanted: CallState| move |happened: &Happened| matches!(happened, Happened::Call { state: Some(state), .. } if *state == wanted);
    ada.runs(Command::Video(Some("test:1".into())));
    ben.hears("a call", is(CallState::Ringing))?;
    ben.runs(Command::Answer(Some("test:2".into())));
    ada.hears("an answer", is(CallState::Active))?;
    thread::sleep(Duration::from_secs(2));
    let before = between.counted();
    thread::sleep(Duration::from_secs(CALL));
    let [up, down] = between.since(before, CALL);
    let kbit = |bytes: u64| format!("{:.0} kbit/s", bytes as f64 * 8.0 / 1000.0);
    let video = subrosa::config::Config::default().video;
    table.value(
        "bytes a second of a call, test pictures both ways",
        &format!("{up} up, {down} down"),
        &format!("set: {} kbit/s, {}×{}, {} a second", video.kbps, video.width, video.height, video.fps),
        &format!("{} / {}", kbit(up), kbit(down)),
    );
    ada.runs(Command::Hangup);
    Ok(())
}

/// The frame that carries a text in an established session.
pub fn frame(text: &str) -> anyhow::Result<Vec<u8>> {
    let [mut from, mut to] = [seal::device()?, seal::device()?];
    let first = seal::start(&mut from, &mut to, b"first")?;
    seal::open(&mut to, &first)?;
    let peer = to.identity().peer();
    let bytes = seal::seal(&mut from, &peer, &seal::text(text))?;
    let outgoing = Outgoing {
        id: EnvelopeId([7; 16]),
        keep: Keep::Stored,
        to: vec![Head { to: peer.device(), bytes }],
        body: Vec::new(),
        moves: None,
    };
    codec::encode(&ToRelay::Send(outgoing)).context("a frame")
}

/// A hop that passes on datagrams of one client and counts their bytes.
pub struct Between {
    /// Where the client connects to.
    pub link: RelayLink,
    counts: Arc<[AtomicU64; 2]>,
    packets: Arc<[AtomicU64; 2]>,
    over: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Between {
    pub fn start(relay: &RelayLink) -> anyhow::Result<Self> {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let to_relay = SocketAddr::from((Ipv4Addr::LOCALHOST, relay.port));
        back.connect(to_relay)?;
        let link = RelayLink { port: front.local_addr()?.port(), ..relay.clone() };
        let [counts, packets] = [(); 2].map(|()| Arc::new([AtomicU64::new(0), AtomicU64::new(0)]));
        let over = Arc::new(AtomicBool::new(false));
        for socket in [&front, &back] {
            socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        }
        let client: Arc<std::sync::OnceLock<SocketAddr>> = Arc::default();
        let (up_in, up_out) = (front.try_clone()?, back.try_clone()?);
        let (counted, ended, known) = (counts.clone(), over.clone(), client.clone());
        let one_more = packets.clone();
        let up = thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while !ended.load(Relaxed) {
                let Ok((n, from)) = up_in.recv_from(&mut buffer) else { continue };
                known.get_or_init(|| from);
                counted[0].fetch_add(n as u64, Relaxed);
                one_more[0].fetch_add(1, Relaxed);
                // As lossy as the network.
                let _ = up_out.send(&buffer[..n]);
            }
        });
        let (counted, ended, one_more) = (counts.clone(), over.clone(), packets.clone());
        let down = thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while !ended.load(Relaxed) {
                let Ok(n) = back.recv(&mut buffer) else { continue };
                counted[1].fetch_add(n as u64, Relaxed);
                one_more[1].fetch_add(1, Relaxed);
                if let Some(client) = client.get() {
                    let _ = front.send_to(&buffer[..n], client);
                }
            }
        });
        Ok(Self { link, counts, packets, over, threads: vec![up, down] })
    }

    /// Bytes so far: from the client, to the client.
    pub fn counted(&self) -> [u64; 2] {
        [0, 1].map(|way| self.counts[way].load(Relaxed))
    }

    /// Packets so far, the same two ways.
    pub fn packets(&self) -> [u64; 2] {
        [0, 1].map(|way| self.packets[way].load(Relaxed))
    }

    /// Bytes since then, shared among so many.
    pub fn since(&self, before: [u64; 2], among: u64) -> [u64; 2] {
        let now = self.counted();
        [0, 1].map(|way| (now[way] - before[way]) / among)
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
