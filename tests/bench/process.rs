//! Other programs of the project as child processes, and what the system says about them.

use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A program that was built beside this one.
pub fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.exists() {
        bail!("{} is not built: run `cargo build --release --workspace --bins` first", path.display());
    }
    Ok(path)
}

/// A child that does not outlive this.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The server that these arguments make of `peer`: its port on loopback and the fingerprint of its certificate.
pub fn peer<A: AsRef<OsStr>>(arguments: &[A]) -> anyhow::Result<(Running, SocketAddr, [u8; 32])> {
    let mut process =
        Command::new(beside("peer")?).args(arguments).stdout(Stdio::piped()).spawn().map(Running)?;
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().context("piped")?).read_line(&mut line)?;
    let (port, fingerprint) = line.trim().split_once(' ').context("it printed no address")?;
    let fingerprint = data_encoding::HEXLOWER.decode(fingerprint.as_bytes())?;
    let Ok(fingerprint) = fingerprint.try_into() else { bail!("it printed no fingerprint") };
    Ok((process, (Ipv4Addr::LOCALHOST, port.parse()?).into(), fingerprint))
}

/// A relay on loopback with these settings, its data and its settings in this folder; and its link.
pub fn relay(folder: &Path, settings: &str) -> anyhow::Result<(Running, String)> {
    let config = folder.join("relay.toml");
    std::fs::write(&config, settings)?;
    let mut relay = Command::new(beside("subrosa-relay")?)
        .args(["run", "--listen", "127.0.0.1:0", "--config"])
        .arg(&config)
        .arg("--data")
        .arg(folder.join("data"))
        .env("RUST_LOG", "error")
        .stdout(Stdio::piped())
        .spawn()
        .map(Running)?;
    let mut link = String::new();
    BufReader::new(relay.0.stdout.take().context("piped")?).read_line(&mut link)?;
    Ok((relay, link.trim().into()))
}

/// `subrosa rpc`.
pub struct Client {
    pub process: Running,
    input: ChildStdin,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    waiting: VecDeque<Value>,
}

impl Client {
    /// A new account under that name, told of these kinds of events.
    pub fn start(profile: &Path, name: &str, link: &str, events: &[&str]) -> anyhow::Result<Self> {
        let mut process = Command::new(beside("subrosa")?)
            .arg("--profile")
            .arg(profile)
            .arg("rpc")
            .env("XDG_CONFIG_HOME", profile)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map(Running)?;
        let input = process.0.stdin.take().context("piped")?;
        let lines = BufReader::new(process.0.stdout.take().context("piped")?).lines();
        let mut client = Self { process, input, lines, waiting: VecDeque::new() };
        client.ask("subscribe", &json!({"events": events}))?;
        let params = json!({"name": name, "passphrase": "a good passphrase", "relay": link});
        client.ask("register", &params)?;
        Ok(client)
    }

    /// Calls a method and waits for its result; events before it are kept.
    pub fn ask(&mut self, method: &str, params: &Value) -> anyhow::Result<Value> {
        let line = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        writeln!(self.input, "{line}")?;
        loop {
            let mut value = self.read()?;
            match value.get("id") {
                Some(_) if value["error"].is_null() => return Ok(value["result"].take()),
                Some(_) => bail!("{method}: {}", value["error"]),
                None => self.waiting.push_back(value),
            }
        }
    }

    /// The next event.
    pub fn event(&mut self) -> anyhow::Result<Value> {
        match self.waiting.pop_front() {
            Some(event) => Ok(event),
            None => self.read(),
        }
    }

    fn read(&mut self) -> anyhow::Result<Value> {
        let line = self.lines.next().context("the client ended")??;
        Ok(serde_json::from_str(&line)?)
    }
}

/// Bytes of memory that a process has resident.
pub fn resident(pid: u32) -> anyhow::Result<u64> {
    let kib = field(Path::new(&format!("/proc/{pid}/status")), "VmRSS:")?;
    Ok(kib * 1024)
}

/// How often the threads of a process were switched to.
pub fn switches(pid: u32) -> anyhow::Result<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        sum += field(&task?.path().join("status"), "voluntary_ctxt_switches:")?;
    }
    Ok(sum)
}

/// CPU time of a process in ticks of 10 ms, in user and system mode together.
pub fn ticks(pid: u32) -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in brackets may hold anything; utime and stime are fields 14 and 15 (proc(5)).
    let (_, rest) = stat.rsplit_once(") ").context("no name in /proc/PID/stat")?;
    let times = rest.split(' ').skip(11).take(2).map(|time| time.parse::<u64>().unwrap_or(0));
    Ok(times.sum())
}

fn field(path: &Path, name: &str) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).context("no such field")?;
    Ok(line.split_whitespace().next().unwrap_or("").parse()?)
}
