//! A real program on a terminal: what it writes, what it would look like, what is typed.

use crate::real::{PATIENCE, signal};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How a terminal behaves.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// It answers when it is asked how it is, and what it is.
    pub answers: bool,
    /// It reads so many bytes a second and not faster, as at the end of a thin line; 0 has no bound.
    pub rate: u32,
}

/// Answers, and reads as fast as it can.
pub const USUAL: Manner = Manner { answers: true, rate: 0 };

type Keys = Arc<Mutex<Box<dyn Write + Send>>>;

/// A program on a terminal of its own. Killed when dropped.
pub struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keys: Keys,
    output: Receiver<Vec<u8>>,
    parser: vt100::Parser,
    raw: Vec<u8>,
    // Closed last: the program ends when its terminal is gone.
    _master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    /// Starts a program with these arguments and these changes to its environment.
    ///
    /// # Panics
    /// When there are no terminals to be had, or the program does not start.
    pub fn start(program: &Path, args: &[&str], env: &[(&str, &str)], columns: u16, rows: u16) -> Self {
        Self::of(USUAL, program, args, env, columns, rows)
    }

    /// The same on a terminal that behaves like this.
    ///
    /// # Panics
    /// When there are no terminals to be had, or the program does not start.
    pub fn of(
        manner: Manner,
        program: &Path,
        args: &[&str],
        env: &[(&str, &str)],
        columns: u16,
        rows: u16,
    ) -> Self {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a terminal");
        let mut command = CommandBuilder::new(program);
        command.args(args);
        // What the person at this machine has is no part of the story.
        for name in ["NO_COLOR", "COLORTERM", "TMUX", "STY", "TERM_PROGRAM", "KITTY_WINDOW_ID", "EDITOR"] {
            command.env_remove(name);
        }
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        command.env("LC_ALL", "C.UTF-8");
        for (name, value) in env {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).expect("the program starts");
        let mut reader = pair.master.try_clone_reader().expect("a terminal is read");
        let keys: Keys = Arc::new(Mutex::new(pair.master.take_writer().expect("a terminal is written")));
        let (to, output) = channel();
        let answers = keys.clone();
        std::thread::spawn(move || {
            let (mut buffer, mut asked, mut line) =
                ([0; 16 * 1024], Asked::default(), Line::new(manner.rate));
            // Reading fails when the program is gone.
            while let Some(count) = reader.read(&mut buffer[..line.most()]).ok().filter(|count| *count > 0) {
                line.passes(count);
                if manner.answers {
                    let answer = asked.answer(&buffer[..count]);
                    // The program may be gone already.
                    let _ = answers.lock().expect("nobody panics with it").write_all(&answer);
                }
                if to.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let parser = vt100::Parser::new(rows, columns, 0);
        Self { child, keys, output, parser, raw: Vec::new(), _master: pair.master }
    }

    /// Types.
    ///
    /// # Panics
    /// When the program is gone.
    pub fn types(&mut self, text: &str) {
        let mut keys = self.keys.lock().expect("nobody panics with it");
        keys.write_all(text.as_bytes()).and_then(|()| keys.flush()).expect("the program reads");
    }

    /// The screen of this moment.
    pub fn screen(&self) -> &vt100::Screen {
        self.parser.screen()
    }

    /// The text on the screen.
    pub fn text(&self) -> String {
        self.screen().contents()
    }

    /// Every byte that was written so far.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The process.
    pub fn process(&self) -> u32 {
        self.child.process_id().expect("a child has an id")
    }

    /// Waits until the screen is as wanted.
    ///
    /// # Panics
    /// When it is not within [`PATIENCE`].
    pub fn until(&mut self, what: &str, wanted: impl Fn(&vt100::Screen) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !wanted(self.screen()) {
            match self.output.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.take(&bytes),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{what}: not within {PATIENCE:?}; the screen is\n{}", self.text())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("{what}: the program ended; the screen was\n{}", self.text())
                }
            }
        }
    }

    /// Waits until this text is on the screen.
    ///
    /// # Panics
    /// When it does not come.
    pub fn shows(&mut self, text: &str) {
        self.until(text, |screen| flat(&screen.contents()).contains(&flat(text)));
    }

    /// Whatever is written within this time, in bytes.
    pub fn listens(&mut self, time: Duration) -> usize {
        let (until, before) = (Instant::now() + time, self.raw.len());
        while let Ok(bytes) = self.output.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.take(&bytes);
        }
        self.raw.len() - before
    }

    /// Waits until nothing has been written for that long.
    ///
    /// # Panics
    /// When it never falls silent.
    pub fn falls_silent(&mut self, time: Duration) {
        let until = Instant::now() + PATIENCE;
        while self.listens(time) > 0 {
            assert!(Instant::now() < until, "it never falls silent; the screen is\n{}", self.text());
        }
    }

    /// Asks the process to end.
    pub fn signal(&mut self, name: &str) {
        signal(self.process(), name);
    }

    /// Waits for the end: whether it ended well.
    ///
    /// # Panics
    /// When it does not end.
    pub fn ends(&mut self) -> bool {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.output.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.take(&bytes),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end; the screen is\n{}", self.text()),
            }
        }
        self.child.wait().expect("a child can be waited for").success()
    }

    fn take(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        self.parser.process(bytes);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Questions in what a program writes, however they are cut.
#[derive(Default)]
struct Asked(Vec<u8>);

impl Asked {
    const KNOWN: [(&[u8], &[u8]); 2] = [(b"\x1b[5n", b"\x1b[0n"), (b"\x1b[c", b"\x1b[?62;22c")];

    fn answer(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut answer = Vec::new();
        for byte in bytes {
            self.0.push(*byte);
            match Self::KNOWN.iter().find(|(question, _)| *question == self.0) {
                Some((_, known)) => {
                    answer.extend_from_slice(known);
                    self.0.clear();
                }
                None if !Self::KNOWN.iter().any(|(question, _)| question.starts_with(&self.0)) => {
                    self.0.clear();
                    if *byte == 0x1b {
                        self.0.push(*byte);
                    }
                }
                None => {}
            }
        }
        answer
    }
}

/// A line that lets bytes pass one after the other, in real time.
struct Line {
    rate: u32,
    free: Instant,
}

impl Line {
    fn new(rate: u32) -> Self {
        Self { rate, free: Instant::now() }
    }

    /// The most that is taken at once: five milliseconds of it.
    fn most(&self) -> usize {
        if self.rate == 0 { usize::from(u16::MAX >> 2) } else { (self.rate as usize / 200).max(1) }
    }

    /// Returns when so many bytes have passed.
    fn passes(&mut self, count: usize) {
        if self.rate > 0 {
            self.free =
                self.free.max(Instant::now()) + Duration::from_secs_f64(count as f64 / f64::from(self.rate));
            std::thread::sleep(self.free.saturating_duration_since(Instant::now()));
        }
    }
}

/// Without what wrapping and frames put between words.
fn flat(text: &str) -> String {
    let plain = |c: char| if "│┃|║".contains(c) { ' ' } else { c };
    text.chars().map(plain).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}
