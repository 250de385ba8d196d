//! What one would take instead of a relay of our own: Mosquitto over TLS, when it is installed. It gets the
//! same messages at the same pace from its own client programs, and its CPU is counted.

use crate::figure::{Table, shown};
use crate::forward::{self, LENGTH, PACE, TIME};
use crate::process::{Running, ticks};
use anyhow::{Context, bail};
use data_encoding::BASE64_MIME;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// For a program to be ready, and for the last message.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let found =
        Command::new("mosquitto_sub").arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let Ok(mut found) = found else {
        eprintln!("bench: mosquitto and its clients are not installed, nothing to compare with");
        return Ok(());
    };
    // Only whether it is there.
    let _ = found.wait();
    let ours = forward::one()?;
    for (quality, beside) in [(0, "QoS 0, kept in memory"), (1, "QoS 1, acknowledged, kept in memory")] {
        let dir = tempfile::tempdir()?;
        let cpu = mosquitto(dir.path(), quality)?;
        table.value(
            &format!("a datagram of {LENGTH} B from one to one, {PACE} a second: CPU of the relay"),
            &shown(ours),
            &format!("Mosquitto over TLS, {beside}: {}", shown(cpu)),
            &format!("{:.2}×", ours.as_secs_f64() / cpu.as_secs_f64().max(1e-12)),
        );
    }
    Ok(())
}

/// CPU of the broker for one message.
fn mosquitto(dir: &Path, quality: u8) -> anyhow::Result<Duration> {
    // Free at this moment; the broker takes no port of the system's choosing.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let [cert, key, config] = ["cert.pem", "key.pem", "conf"].map(|name| dir.join(name));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    std::fs::write(&cert, pem("CERTIFICATE", made.cert.der()))?;
    std::fs::write(&key, pem("PRIVATE KEY", &made.signing_key.serialize_der()))?;
    let settings = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages 0\nuser root\n\
         cafile {cert}\ncertfile {cert}\nkeyfile {key}\n",
        cert = cert.display(),
        key = key.display()
    );
    std::fs::write(&config, settings)?;
    let broker = Command::new("mosquitto")
        .arg("-c")
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(Running)
        .context("mosquitto does not start")?;
    let until = Instant::now() + PATIENCE;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if Instant::now() > until {
            bail!("mosquitto does not listen");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let client = |program: &str| {
        let mut command = Command::new(program);
        command
            .args(["-h", "localhost", "--insecure", "-t", "track", "-p", &port.to_string()])
            .args(["-q", &quality.to_string(), "--cafile"])
            .arg(&cert)
            .stderr(Stdio::null());
        command
    };
    let mut taker =
        client("mosquitto_sub").stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map(Running)?;
    let mut sender =
        client("mosquitto_pub").arg("-l").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().map(Running)?;
    let mut input = sender.0.stdin.take().context("piped")?;
    let mut lines = BufReader::new(taker.0.stdout.take().context("piped")?).lines();
    // The first ones until one comes through: the connections are there.
    let (say, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        while let Some(Ok(line)) = lines.next() {
            if say.send(line).is_err() {
                return;
            }
        }
    });
    let until = Instant::now() + PATIENCE;
    loop {
        writeln!(input, "ready?")?;
        if heard.recv_timeout(Duration::from_millis(200)).is_ok() {
            break;
        }
        if Instant::now() > until {
            bail!("nothing passes through mosquitto");
        }
    }
    let (before, begun, mut sent) = (ticks(broker.0.id())?, Instant::now(), 0u32);
    let message = "x".repeat(LENGTH);
    while begun.elapsed() < TIME {
        while f64::from(sent) < begun.elapsed().as_secs_f64() * PACE as f64 {
            sent += 1;
            writeln!(input, "{message}")?;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut came = 0u32;
    while came < sent {
        let line = heard.recv_timeout(PATIENCE).context("messages are lost")?;
        came += u32::from(line.len() == LENGTH);
    }
    let cpu = Duration::from_millis((ticks(broker.0.id())? - before) * 10);
    Ok(cpu / sent)
}

fn pem(kind: &str, der: &[u8]) -> String {
    format!("-----BEGIN {kind}-----\n{}-----END {kind}-----\n", BASE64_MIME.encode(der))
}
