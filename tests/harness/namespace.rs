//! Network namespaces of the system, joined by cables that are real to whoever runs in them. Only root may
//! make them.

use crate::proxy::{Count, Line};
use crate::real::{behind, program};
use crate::skip::skipped;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A network namespace. Gone when dropped, with its end of each cable.
pub struct Space(String);

static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Space {
    /// A new one. `None`, and a word on standard error, where this machine does not let us make one.
    pub fn new() -> Option<Self> {
        let name = format!("subrosa-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let space = Self(name.clone());
        let made = run("ip", &["netns", "add", &name]).and_then(|()| space.ip(&["link", "set", "lo", "up"]));
        if let Err(why) = made {
            skipped(&format!("there are no network namespaces here ({why}); root and iproute2 have them"));
            return None;
        }
        Some(space)
    }

    /// A cable to another one: an interface here and one there, with these addresses (`IP/BITS`).
    ///
    /// # Panics
    /// When the system refuses.
    pub fn joins(&self, here: (&str, &str), other: &Self, there: (&str, &str)) {
        let wanted = [
            self.ip(&["link", "add", here.0, "type", "veth", "peer", "name", there.0, "netns", &other.0]),
            self.ip(&["address", "add", here.1, "dev", here.0]),
            other.ip(&["address", "add", there.1, "dev", there.0]),
            self.ip(&["link", "set", here.0, "up"]),
            other.ip(&["link", "set", there.0, "up"]),
        ];
        wanted.into_iter().collect::<Result<Vec<()>, _>>().expect("a cable");
    }

    /// `ip` in here.
    ///
    /// # Errors
    /// What it said.
    pub fn ip(&self, arguments: &[&str]) -> Result<(), String> {
        run("ip", &[&["-n", &self.0], arguments].concat())
    }

    /// What goes out through that interface goes at so many kilobits a second, and waits for `wait`
    /// milliseconds at most.
    ///
    /// # Errors
    /// What `tc` said, where the kernel has no token bucket.
    pub fn narrows(&self, interface: &str, kilobits: u32, wait: u32) -> Result<(), String> {
        let (rate, latency) = (format!("{kilobits}kbit"), format!("{wait}ms"));
        let bucket = ["root", "tbf", "rate", &rate, "burst", "3000", "latency", &latency];
        run("tc", &[&["-n", &self.0, "qdisc", "add", "dev", interface], &bucket[..]].concat())
    }

    /// A program that runs in here.
    pub fn inside(&self, command: &Command) -> Command {
        let mut outer = Command::new("ip");
        outer.args(["netns", "exec", &self.0]);
        behind(outer, command)
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // It may never have been.
        let _ = run("ip", &["netns", "delete", &self.0]);
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let done = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let done = done.map_err(|why| format!("{program}: {why}"))?;
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).trim().to_string()) }
}

/// The proxy as a program in a namespace between two others. Killed when dropped.
pub struct Hop {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Hop {
    /// Listens there, and is seen by the relay at `back`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(space: &Space, front: SocketAddr, back: IpAddr, relay: SocketAddr, seed: u64) -> Self {
        let mut command = Command::new(program("hop"));
        command.args([front.to_string(), back.to_string(), relay.to_string(), seed.to_string()]);
        let mut process = space
            .inside(&command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the hop starts");
        let input = process.stdin.take().expect("a pipe was asked for");
        let output = BufReader::new(process.stdout.take().expect("a pipe was asked for"));
        let mut hop = Self { process, input, output };
        // Once it answers it listens.
        hop.count();
        hop
    }

    /// How the line is from now on.
    ///
    /// # Panics
    /// When the hop is gone.
    pub fn becomes(&mut self, line: Line) {
        self.says(&json!(line));
    }

    /// Waits until its client, having been silent for longer than the line remembers, says something.
    ///
    /// # Panics
    /// When the hop is gone.
    pub fn waits_for_silence(&mut self) {
        self.says(&json!("silence"));
    }

    /// What has passed.
    ///
    /// # Panics
    /// When the hop is gone.
    pub fn count(&mut self) -> Count {
        self.says(&json!(null))
    }

    fn says(&mut self, line: &Value) -> Count {
        writeln!(self.input, "{line}").and_then(|()| self.input.flush()).expect("the hop reads");
        let mut answer = String::new();
        self.output.read_line(&mut answer).expect("the hop answers");
        serde_json::from_str(&answer).expect("a count")
    }
}

impl Drop for Hop {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
