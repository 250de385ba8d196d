//! The real programs as processes: a relay, and clients that are spoken to as scripts do.
//!
//! They are found beside the test binary, in `target/<profile>`; `cargo build --workspace` puts them
//! there.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long anything may take before the story fails.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Seconds that a client may take to log in: less than the patience, so that it answers either way.
pub const LOGIN: u64 = 50;

/// A program of this workspace.
///
/// # Panics
/// When it was not built.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.ancestors().nth(2).expect("a test lies in target/<profile>/deps");
    let path = folder.join(name).with_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.exists(), "{} is not there: run `cargo build --workspace` first", path.display());
    path
}

/// A program that ends with its owner.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lines of a program's output, read on a thread.
struct Lines(Receiver<String>);

impl Lines {
    fn of(output: impl std::io::Read + Send + 'static) -> Self {
        let (to, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if to.send(line).is_err() {
                    return;
                }
            }
        });
        Self(lines)
    }

    /// The next line; `None` when there are no more.
    fn next(&self, until: Instant) -> Option<String> {
        match self.0.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => Some(line),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => None,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("nothing came within {PATIENCE:?}"),
        }
    }
}

/// `subrosa-relay run` on a free port of the loopback interface. Killed when dropped.
pub struct Relay {
    /// To connect to it.
    pub link: String,
    process: Killed,
    lines: Lines,
}

impl Relay {
    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(data: &Path) -> Self {
        Self::start_at(data, "127.0.0.1:0")
    }

    /// The same at this address and port.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_at(data: &Path, listen: &str) -> Self {
        Self::start_with(data, listen, None)
    }

    /// The same with these settings.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_with(data: &Path, listen: &str, config: Option<&Path>) -> Self {
        let mut command = Command::new(program("subrosa-relay"));
        command.args(["run", "--listen", listen, "--data"]).arg(data);
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        Self::start_as(command)
    }

    /// The same with these settings, what it logs from that level on in a file.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_logged(data: &Path, config: &Path, level: &str, log: &Path) -> Self {
        let mut command = Command::new(program("subrosa-relay"));
        command.args(["run", "--listen", "127.0.0.1:0", "--data"]).arg(data).arg("--config").arg(config);
        command.env("RUST_LOG", level).stderr(std::fs::File::create(log).expect("a file"));
        Self::start_as(command)
    }

    /// The same by a command of the story's own.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_as(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the relay starts");
        let lines = Lines::of(child.stdout.take().expect("a pipe was asked for"));
        let process = Killed(child);
        let until = Instant::now() + PATIENCE;
        loop {
            let line = lines.next(until).expect("the relay says its link");
            if let Some(at) = line.find("subrosa://") {
                let link = line[at..].split_whitespace().next().expect("not empty").to_string();
                return Self { link, process, lines };
            }
        }
    }

    /// The process.
    pub fn process(&self) -> u32 {
        self.process.0.id()
    }

    /// Where it listens, as `--listen` takes it.
    pub fn address(&self) -> String {
        let rest = self.link.trim_start_matches("subrosa://");
        rest.split('/').next().unwrap_or_default().to_string()
    }

    /// `kill -9`: it is gone without a word when this returns.
    pub fn kill(self) {
        drop(self);
    }

    /// SIGTERM: how it ended.
    ///
    /// # Panics
    /// When it does not end.
    pub fn terminate(self) -> ExitStatus {
        signal(self.process.0.id(), "TERM");
        self.ends()
    }

    /// Waits for its end: how it ended.
    ///
    /// # Panics
    /// When it does not end.
    pub fn ends(mut self) -> ExitStatus {
        // Its output ends with it.
        let until = Instant::now() + PATIENCE;
        while self.lines.next(until).is_some() {}
        self.process.0.wait().expect("a child can be waited for")
    }
}

/// Sends a signal to a process.
///
/// # Panics
/// When there is no such process.
pub fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "process {process} is not there");
}

/// `subrosa rpc` with a profile of its own. Killed when dropped.
pub struct Client {
    process: Killed,
    input: Option<ChildStdin>,
    lines: Lines,
    /// Came and was not asked for yet.
    waiting: Vec<Value>,
    next: u64,
}

impl Client {
    /// Starts it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(profile: &Path) -> Self {
        Self::start_as(Self::command(profile))
    }

    /// How it is started.
    ///
    /// # Panics
    /// When the profile lies in no folder.
    pub fn command(profile: &Path) -> Command {
        let mut command = subrosa(profile);
        // Files that come by themselves lie beside the profile, not where the tests run.
        command.arg("rpc").current_dir(profile.parent().expect("a profile lies in a folder"));
        command
    }

    /// The same by a command of the story's own.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_as(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the client starts");
        let input = child.stdin.take();
        let lines = Lines::of(child.stdout.take().expect("a pipe was asked for"));
        // Far from the ids of a documented session.
        Self { process: Killed(child), input, lines, waiting: Vec::new(), next: 1_000_000 }
    }

    /// The process.
    pub fn process(&self) -> u32 {
        self.process.0.id()
    }

    /// Writes one line.
    ///
    /// # Panics
    /// When the client is gone.
    pub fn write(&mut self, line: &str) {
        let input = self.input.as_mut().expect("the input was not ended");
        writeln!(input, "{line}").and_then(|()| input.flush()).expect("the client reads");
    }

    /// The first message, of those not taken yet, that `wanted` likes; others wait for their turn.
    ///
    /// # Panics
    /// When it does not come within [`PATIENCE`].
    pub fn take<T>(&mut self, what: &str, mut wanted: impl FnMut(&Value) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        if let Some((at, found)) =
            self.waiting.iter().enumerate().find_map(|(at, value)| Some((at, wanted(value)?)))
        {
            self.waiting.remove(at);
            return found;
        }
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.0.recv_timeout(left) else {
                panic!("{what} did not come; there were {:#?}", self.waiting);
            };
            let value: Value = serde_json::from_str(&line)
                .unwrap_or_else(|error| panic!("only JSON on standard output, not {line:?}: {error}"));
            match wanted(&value) {
                Some(found) => return found,
                None => self.waiting.push(value),
            }
        }
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// The code of the error.
    ///
    /// # Panics
    /// When no answer comes.
    pub fn ask(&mut self, method: &str, params: Value) -> Result<Value, i64> {
        let id = self.begin(method, params);
        self.answer(id)
    }

    /// Makes an account at the relay of this link and logs in: the answer.
    ///
    /// # Panics
    /// When it is refused, or not online in time.
    pub fn registers(&mut self, name: &str, passphrase: &str, link: &str) -> Value {
        let params = json!({"name": name, "passphrase": passphrase, "relay": link, "wait": LOGIN});
        self.logs_in("register", params)
    }

    /// Opens the profile and logs in: the answer.
    ///
    /// # Panics
    /// When it is refused, or not online in time.
    pub fn unlocks(&mut self, passphrase: &str) -> Value {
        self.logs_in("unlock", json!({"passphrase": passphrase, "wait": LOGIN}))
    }

    fn logs_in(&mut self, method: &str, params: Value) -> Value {
        let answer = self.ask(method, params).expect("logged in");
        assert_eq!(answer["online"], true, "{method}: {answer}");
        answer
    }

    /// Asks without waiting; gives the number of the question.
    ///
    /// # Panics
    /// When the client is gone.
    pub fn begin(&mut self, method: &str, params: Value) -> u64 {
        self.next += 1;
        let id = self.next;
        self.write(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string());
        id
    }

    /// Waits for the answer to a question.
    ///
    /// # Errors
    /// The code of the error.
    ///
    /// # Panics
    /// When no answer comes.
    pub fn answer(&mut self, id: u64) -> Result<Value, i64> {
        self.take(&format!("the answer to question {id}"), |value| {
            (value["id"] == id).then(|| match value.get("error") {
                Some(error) => Err(error["code"].as_i64().expect("a code")),
                None => Ok(value["result"].clone()),
            })
        })
    }

    /// Kills it and takes what it still said.
    pub fn last_words(&mut self) -> Vec<Value> {
        self.kill();
        let until = Instant::now() + PATIENCE;
        let mut words = std::mem::take(&mut self.waiting);
        while let Some(line) = self.lines.next(until) {
            // The last line may be a part of one.
            words.extend(serde_json::from_str::<Value>(&line).ok());
        }
        words
    }

    /// Waits for a notification.
    ///
    /// # Panics
    /// When it does not come.
    pub fn told(&mut self, method: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.take(&format!("a notification '{method}'"), |value| {
            (value["method"] == method && wanted(&value["params"])).then(|| value["params"].clone())
        })
    }

    /// `kill -9`: it is gone without a word when this returns.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.process.0.kill();
        let _ = self.process.0.wait();
    }

    /// Ends the input and waits for the end of the program: the lines that still came, and whether it
    /// ended well.
    ///
    /// # Panics
    /// When it does not end.
    pub fn end(mut self) -> (Vec<Value>, bool) {
        drop(self.input.take());
        let until = Instant::now() + PATIENCE;
        let mut rest = std::mem::take(&mut self.waiting);
        while let Some(line) = self.lines.next(until) {
            rest.push(serde_json::from_str(&line).expect("only JSON on standard output"));
        }
        (rest, self.process.0.wait().is_ok_and(|status| status.success()))
    }
}

/// What a client in a debug build takes from tests alone: a cheap vault, and any free port for a relay of its
/// own, so that stories beside each other do not want the same one.
pub const TESTED: &[(&str, &str)] = &[("SUBROSA_TEST_VAULT_COST", "small"), ("SUBROSA_TEST_ANY_PORT", "1")];

/// The client's program with a profile, ready for arguments, as tests want it.
pub fn subrosa(profile: &Path) -> Command {
    let mut command = Command::new(program("subrosa"));
    // What a person of this machine configured is no part of the story.
    command
        .arg("--profile")
        .arg(profile)
        .envs(TESTED.iter().copied())
        .env("XDG_CONFIG_HOME", profile)
        .env_remove("SUBROSA_PASSPHRASE");
    command
}

/// The same program with that folder on a small disk of its own: a tmpfs that it alone sees. `None` where
/// this machine does not let us make one.
pub fn on_small_disk(command: &Command, folder: &Path, megabytes: u32) -> Option<Command> {
    let script = "mount -t tmpfs -o size=$0m tmpfs \"$1\" && shift && exec \"$@\"";
    let mut small = Command::new("unshare");
    small.args(["-rm", "sh", "-c", script]).arg(megabytes.to_string()).arg(folder);
    let mut tried = Command::new("unshare");
    tried.args(["-rm", "sh", "-c", script]).arg(megabytes.to_string()).arg(folder).arg("true");
    let quiet = tried.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !quiet.status().is_ok_and(|status| status.success()) {
        return None;
    }
    Some(behind(small, command))
}

/// A command that another one runs: behind its arguments, and with what was said of its surroundings.
pub fn behind(mut outer: Command, command: &Command) -> Command {
    outer.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        outer.current_dir(folder);
    }
    outer
}

/// A folder as that process sees it.
pub fn seen_by(process: u32, folder: &Path) -> PathBuf {
    let inside = folder.strip_prefix("/").unwrap_or(folder);
    Path::new("/proc").join(process.to_string()).join("root").join(inside)
}
