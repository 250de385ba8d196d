//! What one would take instead of a relay of our own: Mosquitto and NATS core over TLS, when they are
//! installed. They get the same messages at the same pace, Mosquitto from its own client programs, and
//! their CPU is counted.

use crate::figure::{Table, shown};
use crate::forward::{self, BEAT, LENGTH, Load, TIME};
use crate::nats;
use crate::process::{Running, ticks};
use anyhow::{Context, bail};
use data_encoding::BASE64_MIME;
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// For a program to be ready, and for the last message.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The first two as in `forward`: each message finds the relay asleep, and what wakes it costs most. The last is
/// a busy relay, which has several to do at once.
const LOADS: [Load; 3] = [
    Load { takers: 1, pace: forward::pace(1) },
    Load { takers: 8, pace: forward::pace(8) },
    Load { takers: 32, pace: 1_000 },
];

/// A broker beside ours: CPU for each message that goes out.
type Broker = fn(&Path, Load) -> anyhow::Result<Duration>;

/// The program that must be there, what it is called here, and how it is measured.
const BROKERS: [(&str, &str, Broker); 3] = [
    ("mosquitto", "Mosquitto over TLS, QoS 0, kept in memory", |dir, load| mosquitto(dir, load, 0)),
    ("mosquitto", "Mosquitto over TLS, QoS 1, acknowledged, kept in memory", |dir, load| {
        mosquitto(dir, load, 1)
    }),
    ("nats-server", "NATS core over TLS, at most once, kept in memory", nats::measure),
];

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let mut there = Vec::new();
    for broker in BROKERS {
        if installed(broker.0) {
            there.push(broker);
        } else {
            eprintln!("bench: {} is not installed: nothing to compare with", broker.1);
        }
    }
    for load in LOADS {
        if there.is_empty() {
            break;
        }
        let Load { takers, pace } = load;
        let (ours, lost) = forward::cpu(load)?;
        for (_, name, broker) in &there {
            let dir = tempfile::tempdir()?;
            let cpu = broker(dir.path(), load)?;
            table.value(
                &format!(
                    "a datagram of {LENGTH} B from one to {takers}, {pace} a second: CPU of the relay for each that \
                     goes out"
                ),
                &format!("{} ({:.2} % lost)", shown(ours), lost * 100.0),
                &format!("{name}: {}", shown(cpu)),
                &format!("{:.2}×", ours.as_secs_f64() / cpu.as_secs_f64().max(1e-12)),
            );
        }
    }
    Ok(())
}

/// Whether a program is to be had; what it says to this is of no interest.
fn installed(program: &str) -> bool {
    let asked =
        Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(Running);
    asked.is_ok_and(|mut asked| asked.0.wait().is_ok())
}

/// A port that is free at this moment; the brokers take none of the system's choosing.
pub fn port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Waits until somebody listens there.
pub fn listens(port: u16) -> anyhow::Result<()> {
    let until = Instant::now() + PATIENCE;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if Instant::now() > until {
            bail!("the broker does not listen");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// A new certificate and its key as files, and its SHA-256.
pub fn certificate(dir: &Path) -> anyhow::Result<(PathBuf, PathBuf, [u8; 32])> {
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| dir.join(name));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    std::fs::write(&cert, pem("CERTIFICATE", made.cert.der()))?;
    std::fs::write(&key, pem("PRIVATE KEY", &made.signing_key.serialize_der()))?;
    Ok((cert, key, Sha256::digest(made.cert.der()).into()))
}

/// Says something so often a second for as long as is measured; how often it was in all.
pub fn paced(pace: usize, mut say: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<u32> {
    let (begun, mut sent) = (Instant::now(), 0u32);
    while begun.elapsed() < TIME {
        while f64::from(sent) < begun.elapsed().as_secs_f64() * pace as f64 {
            sent += 1;
            say()?;
        }
        std::thread::sleep(BEAT);
    }
    Ok(sent)
}

/// CPU of the broker for one message that goes out.
fn mosquitto(dir: &Path, Load { takers, pace }: Load, quality: u8) -> anyhow::Result<Duration> {
    let port = port()?;
    let (cert, key, _) = certificate(dir)?;
    let settings = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages 0\nuser root\n\
         cafile {cert}\ncertfile {cert}\nkeyfile {key}\n",
        cert = cert.display(),
        key = key.display()
    );
    let config = dir.join("conf");
    std::fs::write(&config, settings)?;
    let broker = Command::new("mosquitto")
        .arg("-c")
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(Running)
        .context("mosquitto does not start")?;
    listens(port)?;
    let client = |program: &str| {
        let mut command = Command::new(program);
        command
            .args(["-h", "localhost", "--insecure", "-t", "track", "-p", &port.to_string()])
            .args(["-q", &quality.to_string(), "--cafile"])
            .arg(&cert)
            .stderr(Stdio::null());
        command
    };
    let mut inboxes = Vec::new();
    for _ in 0..takers {
        let mut taker =
            client("mosquitto_sub").stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map(Running)?;
        let lines = BufReader::new(taker.0.stdout.take().context("piped")?).lines();
        let (say, heard) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if say.send(line).is_err() {
                    return;
                }
            }
        });
        inboxes.push((taker, heard));
    }
    let mut sender =
        client("mosquitto_pub").arg("-l").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().map(Running)?;
    let mut input = sender.0.stdin.take().context("piped")?;
    // The first ones until one comes through to each: the connections are there.
    let until = Instant::now() + PATIENCE;
    for (_, heard) in &inboxes {
        loop {
            writeln!(input, "ready?")?;
            if heard.recv_timeout(Duration::from_millis(200)).is_ok() {
                break;
            }
            if Instant::now() > until {
                bail!("nothing passes through mosquitto");
            }
        }
    }
    let before = ticks(broker.0.id())?;
    let message = "x".repeat(LENGTH);
    let sent = paced(pace, || Ok(writeln!(input, "{message}")?))?;
    for (_, heard) in &inboxes {
        let mut came = 0u32;
        while came < sent {
            let line = heard.recv_timeout(PATIENCE).context("messages are lost")?;
            came += u32::from(line.len() == LENGTH);
        }
    }
    let cpu = Duration::from_millis((ticks(broker.0.id())? - before) * 10);
    Ok(cpu / (sent * takers as u32))
}

fn pem(kind: &str, der: &[u8]) -> String {
    format!("-----BEGIN {kind}-----\n{}-----END {kind}-----\n", BASE64_MIME.encode(der))
}
