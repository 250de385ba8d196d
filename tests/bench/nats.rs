//! NATS core over TLS as the relay's peer: a server of its own, and the little of its protocol that one
//! publisher and some subscribers need (<https://docs.nats.io/reference/reference-protocols/nats-protocol>).

use crate::broker::{PATIENCE, certificate, listens, paced, port};
use crate::forward::{LENGTH, Load};
use crate::process::{Running, ticks};
use anyhow::{Context, bail, ensure};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

type Link = StreamOwned<ClientConnection, TcpStream>;

/// CPU of the server for one message that goes out.
pub fn measure(dir: &Path, Load { takers, pace }: Load) -> anyhow::Result<Duration> {
    let port = port()?;
    let (cert, key, fingerprint) = certificate(dir)?;
    let server = Command::new("nats-server")
        .args(["--addr", "127.0.0.1", "--port", &port.to_string(), "--tls", "--tlscert"])
        .arg(&cert)
        .arg("--tlskey")
        .arg(&key)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(Running)
        .context("nats-server does not start")?;
    listens(port)?;
    let mut inboxes = Vec::new();
    for _ in 0..takers {
        let mut link = connect(port, fingerprint)?;
        link.write_all(b"SUB track 1\r\nPING\r\n")?;
        let mut reader = BufReader::new(link);
        until_pong(&mut reader)?;
        let (say, heard) = mpsc::channel();
        std::thread::spawn(move || {
            while matches!(take(&mut reader), Ok(())) {
                if say.send(()).is_err() {
                    return;
                }
            }
        });
        inboxes.push(heard);
    }
    let mut sender = connect(port, fingerprint)?;
    sender.write_all(b"PING\r\n")?;
    let mut sender = BufReader::new(sender);
    until_pong(&mut sender)?;
    let before = ticks(server.0.id())?;
    let mut message = format!("PUB track {LENGTH}\r\n").into_bytes();
    message.resize(message.len() + LENGTH, b'x');
    message.extend_from_slice(b"\r\n");
    let sent = paced(pace, || Ok(sender.get_mut().write_all(&message)?))?;
    for heard in &inboxes {
        for _ in 0..sent {
            heard.recv_timeout(PATIENCE).context("messages are lost")?;
        }
    }
    let cpu = Duration::from_millis((ticks(server.0.id())? - before) * 10);
    Ok(cpu / (sent * takers as u32))
}

/// Past the server's greeting, which comes in the clear, and into TLS.
fn connect(port: u16, fingerprint: [u8; 32]) -> anyhow::Result<Link> {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    socket.set_nodelay(true)?;
    // Byte by byte, since what stands behind the line is TLS already.
    let mut greeting = Vec::new();
    while !greeting.ends_with(b"\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte)?;
        greeting.push(byte[0]);
    }
    ensure!(greeting.starts_with(b"INFO "), "the server does not greet as NATS does");
    let (mut config, _) = subrosa::net::tls::pinned(fingerprint)?;
    config.alpn_protocols.clear();
    let tls = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost")?)?;
    let mut link = StreamOwned::new(tls, socket);
    link.write_all(b"CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":true}\r\n")?;
    Ok(link)
}

fn until_pong(reader: &mut BufReader<Link>) -> anyhow::Result<()> {
    loop {
        let mut line = String::new();
        ensure!(reader.read_line(&mut line)? > 0, "the server has hung up");
        match line.trim_end() {
            "PONG" => return Ok(()),
            line if line.starts_with("-ERR") => bail!("the server says {line}"),
            _ => {}
        }
    }
}

/// One message; what the server asks meanwhile is of no interest for as long as is measured.
fn take(reader: &mut BufReader<Link>) -> anyhow::Result<()> {
    loop {
        let mut line = String::new();
        ensure!(reader.read_line(&mut line)? > 0, "the server has hung up");
        if line.starts_with("MSG ") {
            let mut body = [0; LENGTH + 2];
            reader.read_exact(&mut body)?;
            return Ok(());
        }
    }
}
