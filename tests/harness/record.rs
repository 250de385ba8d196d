//! What a program does to its files, recorded by `strace`, and what a power cut leaves of them.
//!
//! The model: what is synced is there. Of bytes that are not, any part may be there, in any mixture of the
//! files and of their sectors. Names (made, moved, removed) are kept in the order in which they changed, up
//! to some moment after the last sync of their folder, as the journals of ext4, XFS and Btrfs keep them; a
//! synced file whose name is not is lost.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One thing that a program did, as far as it matters for its files, in the order of their beginning.
#[derive(Clone, Debug)]
pub enum Step {
    /// A file or folder was made, moved or removed.
    Name(Change),
    /// Bytes went into a file; on disk they are after a sync that begins when this has ended.
    Write {
        /// Which file, by number.
        file: usize,
        /// Where.
        at: usize,
        /// What.
        bytes: Vec<u8>,
        /// The step before which it had ended.
        ended: usize,
    },
    /// A file has another length.
    Length {
        /// Which file, by number.
        file: usize,
        /// How many bytes.
        length: usize,
        /// The step before which it had ended.
        ended: usize,
    },
    /// A sync of a file has ended.
    Synced {
        /// Which file, by number.
        file: usize,
        /// The step before which it had begun.
        begun: usize,
    },
    /// A sync of a folder has ended.
    FolderSynced {
        /// Below the root.
        path: PathBuf,
        /// The step before which it had begun.
        begun: usize,
    },
    /// Something was written to the standard output.
    Said(Vec<u8>),
}

/// A change of names, paths below the root.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new file with that number.
    File(PathBuf, usize),
    /// A new folder.
    Folder(PathBuf),
    /// Another name, which may have been another file's.
    Moved(PathBuf, PathBuf),
    /// Gone.
    Removed(PathBuf),
}

/// All that a program did below one folder, which was empty before.
pub struct Recording {
    /// In order.
    pub steps: Vec<Step>,
    /// How many steps there are up to each line of the record: its end in bytes, and the steps.
    lines: Vec<(u64, usize)>,
}

/// What a power cut leaves of what is not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing.
    Dropped,
    /// All of it.
    Kept,
    /// All of it but for the end of the last write.
    Torn,
    /// Any part of it, by this seed.
    Mixed(u64),
}

/// Sectors are written as a whole.
const SECTOR: usize = 512;

const CALLS: &str = "trace=open,openat,creat,close,dup,dup2,dup3,fcntl,lseek,read,readv,write,writev,pwrite64,\
    pwritev,pwritev2,ftruncate,truncate,fallocate,rename,renameat,renameat2,unlink,unlinkat,rmdir,link,linkat,\
    symlink,symlinkat,mkdir,mkdirat,fsync,fdatasync,syncfs,sync,copy_file_range,sendfile,io_uring_setup";

/// The same command under `strace`, which writes to that file; `None` when it is not installed or may not
/// trace here.
pub fn traced(command: &Command, log: &Path) -> Option<Command> {
    let mut tried = Command::new("strace");
    tried.args(["-f", "--seccomp-bpf", "-o", "/dev/null", "true"]);
    let quiet = tried.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !quiet.status().is_ok_and(|status| status.success()) {
        return None;
    }
    let mut traced = Command::new("strace");
    traced.args(["-f", "--seccomp-bpf", "-qq", "-xx", "-s", "100000000", "-e", "signal=none"]);
    traced.args(["-e", CALLS, "-e", "raw=read,readv,sendmsg,sendmmsg,sendto,fcntl", "-o"]);
    traced.arg(log).arg("--").arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        traced.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => traced.env(name, value),
            None => traced.env_remove(name),
        };
    }
    Some(traced)
}

/// The program that is recorded. Killed when dropped, which ending `strace` does not do.
pub struct Traced(u32);

impl Traced {
    /// Finds it in what `strace` has written so far.
    ///
    /// # Panics
    /// When nothing was written yet.
    pub fn of(log: &Path) -> Self {
        let text = fs::read(log).expect("strace writes");
        let digits: String =
            text.iter().take_while(|byte| byte.is_ascii_digit()).map(|byte| char::from(*byte)).collect();
        Self(digits.parse().expect("the first line begins with the process"))
    }

    /// The process.
    pub fn process(&self) -> u32 {
        self.0
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // It may have ended by itself.
        let mut kill = Command::new("kill");
        let _ = kill.args(["-KILL", &self.0.to_string()]).stderr(Stdio::null()).status();
    }
}

impl Recording {
    /// Reads what `strace` wrote of a program that keeps its files below `root`.
    ///
    /// # Panics
    /// When the program did what this does not know how to repeat.
    pub fn read(log: &Path, root: &Path) -> Self {
        let text = fs::read_to_string(log).expect("what strace wrote is text");
        let mut reader = Reader::new(root);
        let mut lines = Vec::new();
        let mut end = 0;
        for line in text.split_inclusive('\n') {
            end += line.len() as u64;
            // The last line of a program that was killed may be a part of one.
            if let Some(line) = line.strip_suffix('\n') {
                reader.line(line);
            }
            lines.push((end, reader.steps.len()));
        }
        Self { steps: reader.steps, lines }
    }

    /// How many steps there were when the record had so many bytes.
    pub fn at(&self, bytes: u64) -> usize {
        let line = self.lines.partition_point(|(end, _)| *end <= bytes);
        line.checked_sub(1).map_or(0, |line| self.lines[line].1)
    }
}

/// A disk that goes through the steps one by one.
#[derive(Clone, Default)]
pub struct Disk {
    step: usize,
    files: Vec<File>,
    names: Vec<(usize, Change)>,
    /// How many of the names are certain.
    certain: usize,
}

/// The bytes of one file.
#[derive(Clone, Default)]
struct File {
    /// Those of which nothing is uncertain.
    base: Vec<u8>,
    /// What came on top, and whether it is synced.
    over: Vec<(Over, bool)>,
}

#[derive(Clone)]
enum Over {
    Write { at: usize, bytes: Vec<u8>, ended: usize },
    Length { length: usize, ended: usize },
}

impl Disk {
    /// Takes the next step.
    pub fn take(&mut self, step: &Step) {
        self.step += 1;
        match step {
            Step::Name(change) => {
                if let Change::File(_, number) = change {
                    self.files.resize(self.files.len().max(number + 1), File::default());
                }
                self.names.push((self.step, change.clone()));
            }
            Step::Write { file, at, bytes, ended } => {
                let over = Over::Write { at: *at, bytes: bytes.clone(), ended: *ended };
                self.files[*file].over.push((over, false));
            }
            Step::Length { file, length, ended } => {
                self.files[*file].over.push((Over::Length { length: *length, ended: *ended }, false));
            }
            Step::Synced { file, begun } => self.files[*file].sync(*begun),
            Step::FolderSynced { path, begun } => {
                let within = |change: &Change| {
                    let names = match change {
                        Change::File(path, _) | Change::Folder(path) | Change::Removed(path) => [path, path],
                        Change::Moved(from, to) => [from, to],
                    };
                    names.iter().any(|name| name.parent() == Some(path))
                };
                let last = self.names.iter().rposition(|(at, change)| at <= begun && within(change));
                self.certain = self.certain.max(last.map_or(0, |at| at + 1));
            }
            Step::Said(_) => {}
        }
    }

    /// Whether a power cut could leave anything but one state.
    pub fn is_certain(&self) -> bool {
        self.certain == self.names.len() && self.files.iter().all(|file| file.over.is_empty())
    }

    /// Writes what a power cut at this moment leaves into an empty folder.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn leave(&self, cut: Cut, folder: &Path) {
        let mut dice = Dice(match cut {
            Cut::Mixed(seed) => seed.wrapping_mul(2).wrapping_add(1),
            Cut::Dropped | Cut::Kept | Cut::Torn => 1,
        });
        let names = match cut {
            Cut::Dropped => self.certain,
            Cut::Kept | Cut::Torn => self.names.len(),
            Cut::Mixed(_) => self.certain + dice.below(self.names.len() - self.certain + 1),
        };
        let mut there: BTreeMap<PathBuf, Option<usize>> = BTreeMap::new();
        for (_, change) in &self.names[..names] {
            match change {
                Change::File(path, number) => drop(there.insert(path.clone(), Some(*number))),
                Change::Folder(path) => drop(there.insert(path.clone(), None)),
                Change::Removed(path) => drop(there.remove(path)),
                Change::Moved(from, to) => {
                    let below: Vec<_> = there.keys().filter(|path| path.starts_with(from)).cloned().collect();
                    for path in below {
                        let what = there.remove(&path).expect("a moment ago");
                        let rest = path.strip_prefix(from).expect("looked at");
                        let target = if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
                        there.insert(target, what);
                    }
                }
            }
        }
        let newest = self.files.iter().flat_map(|file| &file.over).map(|(over, _)| over.ended()).max();
        for (path, what) in there {
            let path = folder.join(path);
            match what {
                None => fs::create_dir_all(&path).expect("made"),
                Some(number) => {
                    fs::create_dir_all(path.parent().expect("below the folder")).expect("made");
                    fs::write(&path, self.files[number].left(cut, newest, &mut dice)).expect("written");
                }
            }
        }
    }
}

impl File {
    fn sync(&mut self, begun: usize) {
        for (over, synced) in &mut self.over {
            *synced |= over.ended() <= begun;
        }
        let certain = self.over.iter().take_while(|(_, synced)| *synced).count();
        for (over, _) in self.over.drain(..certain) {
            over.put(&mut self.base, None);
        }
    }

    fn left(&self, cut: Cut, newest: Option<usize>, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.base.clone();
        for (over, synced) in &self.over {
            match cut {
                _ if *synced => over.put(&mut bytes, None),
                Cut::Dropped => {}
                Cut::Kept => over.put(&mut bytes, None),
                Cut::Torn if Some(over.ended()) == newest => {
                    over.put(&mut bytes, Some(&mut |at, count| at < count / 2))
                }
                Cut::Torn => over.put(&mut bytes, None),
                Cut::Mixed(_) => match dice.below(3) {
                    0 => {}
                    1 => over.put(&mut bytes, None),
                    _ => over.put(&mut bytes, Some(&mut |_, _| dice.below(2) == 0)),
                },
            }
        }
        bytes
    }
}

impl Over {
    fn ended(&self) -> usize {
        match self {
            Self::Write { ended, .. } | Self::Length { ended, .. } => *ended,
        }
    }

    /// Lays this over bytes: all of it, or those of its sectors that `keep` wants, asked by their number
    /// and how many there are.
    fn put(&self, under: &mut Vec<u8>, keep: Option<&mut dyn FnMut(usize, usize) -> bool>) {
        match self {
            Self::Length { length, .. } => under.resize(*length, 0),
            Self::Write { at, bytes, .. } => {
                let Some(keep) = keep else {
                    under.resize(under.len().max(at + bytes.len()), 0);
                    return under[*at..at + bytes.len()].copy_from_slice(bytes);
                };
                let (first, end) = (at / SECTOR, (at + bytes.len()).div_ceil(SECTOR));
                for sector in first..end {
                    if keep(sector - first, end - first) {
                        let from = (sector * SECTOR).max(*at);
                        let to = ((sector + 1) * SECTOR).min(at + bytes.len());
                        under.resize(under.len().max(to), 0);
                        under[from..to].copy_from_slice(&bytes[from - at..to - at]);
                    }
                }
            }
        }
    }
}

/// Numbers by a seed.
struct Dice(u64);

impl Dice {
    /// One of `0..bound`, by the generator SplitMix64.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound.max(1) as u64) as usize
    }
}

/// Makes steps of the lines that `strace` writes.
struct Reader {
    root: PathBuf,
    steps: Vec<Step>,
    /// What lies where: a file by its number, or a folder.
    names: BTreeMap<PathBuf, Option<usize>>,
    /// Lengths of files.
    lengths: Vec<usize>,
    opened: Vec<Opened>,
    descriptors: BTreeMap<i64, usize>,
    /// Calls that have begun and not ended, by thread: their text so far, and the steps when they began.
    begun: BTreeMap<String, (String, usize)>,
}

/// An open file.
#[derive(Clone)]
struct Opened {
    what: What,
    at: usize,
    appends: bool,
}

#[derive(Clone, PartialEq)]
enum What {
    File(usize),
    Folder(PathBuf),
    Output,
}

/// One call, its arguments as text.
struct Call<'a> {
    name: &'a str,
    arguments: Vec<&'a str>,
    /// What it returned; `None` as long as it has not ended.
    result: Option<i64>,
    begun: usize,
}

impl Reader {
    fn new(root: &Path) -> Self {
        let output = Opened { what: What::Output, at: 0, appends: true };
        Self {
            root: root.to_path_buf(),
            steps: Vec::new(),
            names: BTreeMap::from([(PathBuf::new(), None)]),
            lengths: Vec::new(),
            opened: vec![output],
            descriptors: BTreeMap::from([(1, 0)]),
            begun: BTreeMap::new(),
        }
    }

    fn line(&mut self, line: &str) {
        let Some((thread, text)) = line.split_once(' ') else { return };
        let text = text.trim_start();
        if let Some(text) = text.strip_suffix(" <unfinished ...>") {
            let begun = self.steps.len();
            self.enters(text, begun);
            self.begun.insert(thread.into(), (text.into(), begun));
        } else if let Some(resumed) = text.strip_prefix("<... ") {
            let Some((head, begun)) = self.begun.remove(thread) else { return };
            let rest = resumed.split_once(" resumed>").map_or("", |(_, rest)| rest);
            let whole = format!("{head}{rest}");
            self.ends(&whole, begun);
        } else if !text.starts_with("+++") && !text.starts_with("---") {
            let begun = self.steps.len();
            self.enters(text, begun);
            self.ends(text, begun);
        }
    }

    /// What has an effect as soon as it begins: bytes that are written or sent, a file that is closed.
    fn enters(&mut self, text: &str, begun: usize) {
        let Some(call) = Call::parse(text, begun) else { return };
        match call.name {
            // Before it has ended its number may be given out again.
            "close" => drop(self.descriptors.remove(&call.number(0))),
            "write" | "writev" | "pwrite64" | "pwritev" | "pwritev2" => {
                let Some(opened) = self.descriptors.get(&call.number(0)).map(|at| self.opened[*at].clone())
                else {
                    return;
                };
                let bytes = bytes(call.arguments[1]);
                match opened.what {
                    What::Output => self.steps.push(Step::Said(bytes)),
                    What::File(file) => {
                        let at = match call.name {
                            "write" | "writev" if opened.appends => self.lengths[file],
                            "write" | "writev" => opened.at,
                            _ => call.number(call.arguments.len().min(4) - 1) as usize,
                        };
                        self.steps.push(Step::Write { file, at, bytes, ended: usize::MAX });
                    }
                    What::Folder(_) => {}
                }
            }
            _ => {}
        }
    }

    fn ends(&mut self, text: &str, begun: usize) {
        let Some(call) = Call::parse(text, begun) else { return };
        let Some(result) = call.result else { return };
        // What was written was counted when it began.
        if let "write" | "writev" | "pwrite64" | "pwritev" | "pwritev2" = call.name {
            return self.written(&call, result);
        }
        if result < 0 {
            return;
        }
        match call.name {
            "open" | "openat" | "creat" => self.open(&call, result),
            "dup" | "dup2" | "dup3" => self.dup(call.number(0), result),
            // F_DUPFD and F_DUPFD_CLOEXEC.
            "fcntl" if [0, 1030].contains(&call.number(1)) => self.dup(call.number(0), result),
            "lseek" => self.seek(call.number(0), |_| result as usize),
            "read" | "readv" => self.seek(call.number(0), |at| at + result as usize),
            "ftruncate" => self.length(&call, |_| call.number(1) as usize),
            "fallocate" => {
                assert_eq!(call.arguments[1], "0", "a way to allocate that is not known here: {text:.200}");
                self.length(&call, |now| now.max((call.number(2) + call.number(3)) as usize));
            }
            "fsync" | "fdatasync" => {
                let opened = self.descriptors.get(&call.number(0)).map(|at| self.opened[*at].what.clone());
                match opened {
                    Some(What::File(file)) => self.steps.push(Step::Synced { file, begun }),
                    Some(What::Folder(path)) => self.steps.push(Step::FolderSynced { path, begun }),
                    Some(What::Output) | None => {}
                }
            }
            "mkdir" | "mkdirat" => {
                if let Some(path) = self.path(&call, usize::from(call.name == "mkdirat")) {
                    self.names.insert(path.clone(), None);
                    self.steps.push(Step::Name(Change::Folder(path)));
                }
            }
            "unlink" | "rmdir" | "unlinkat" => {
                if let Some(path) = self.path(&call, usize::from(call.name == "unlinkat"))
                    && self.names.remove(&path).is_some()
                {
                    self.steps.push(Step::Name(Change::Removed(path)));
                }
            }
            "rename" | "renameat" | "renameat2" => {
                let at = usize::from(call.name != "rename");
                let (from, to) = (self.path(&call, at), self.path(&call, 1 + 2 * at));
                let (Some(from), Some(to)) = (from, to) else { return };
                let below: Vec<_> =
                    self.names.keys().filter(|path| path.starts_with(&from)).cloned().collect();
                for path in below {
                    let what = self.names.remove(&path).expect("a moment ago");
                    let rest = path.strip_prefix(&from).expect("looked at");
                    let target = if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
                    self.names.insert(target, what);
                }
                self.steps.push(Step::Name(Change::Moved(from, to)));
            }
            "truncate" | "link" | "linkat" | "symlink" | "symlinkat" | "syncfs" | "sync"
            | "copy_file_range" | "sendfile" | "io_uring_setup" => {
                panic!("a call that is not known here: {text:.200}")
            }
            _ => {}
        }
    }

    fn open(&mut self, call: &Call<'_>, descriptor: i64) {
        let at = usize::from(call.name == "openat");
        let Some(path) = self.path(call, at) else { return };
        let flags = if call.name == "creat" { "O_CREAT|O_TRUNC" } else { call.arguments[at + 1] };
        let has = |flag: &str| flags.split('|').any(|one| one == flag);
        let what = match self.names.get(&path) {
            Some(Some(file)) => {
                let file = *file;
                if has("O_TRUNC") && self.lengths[file] > 0 {
                    self.lengths[file] = 0;
                    self.steps.push(Step::Length { file, length: 0, ended: self.steps.len() + 1 });
                }
                What::File(file)
            }
            Some(None) => What::Folder(path),
            None if has("O_CREAT") => {
                let file = self.lengths.len();
                self.lengths.push(0);
                self.names.insert(path.clone(), Some(file));
                self.steps.push(Step::Name(Change::File(path, file)));
                What::File(file)
            }
            // Something else that is there, as a socket.
            None => return,
        };
        self.descriptors.insert(descriptor, self.opened.len());
        self.opened.push(Opened { what, at: 0, appends: has("O_APPEND") });
    }

    fn dup(&mut self, from: i64, to: i64) {
        match self.descriptors.get(&from).copied() {
            Some(opened) => drop(self.descriptors.insert(to, opened)),
            None => drop(self.descriptors.remove(&to)),
        }
    }

    fn seek(&mut self, descriptor: i64, to: impl FnOnce(usize) -> usize) {
        if let Some(at) = self.descriptors.get(&descriptor) {
            let opened = &mut self.opened[*at];
            opened.at = to(opened.at);
        }
    }

    fn length(&mut self, call: &Call<'_>, of: impl FnOnce(usize) -> usize) {
        let Some(at) = self.descriptors.get(&call.number(0)) else { return };
        let What::File(file) = self.opened[*at].what else { return };
        let length = of(self.lengths[file]);
        self.lengths[file] = length;
        self.steps.push(Step::Length { file, length, ended: self.steps.len() + 1 });
    }

    fn written(&mut self, call: &Call<'_>, result: i64) {
        let Some(at) = self.descriptors.get(&call.number(0)) else { return };
        let opened = &mut self.opened[*at];
        let What::File(number) = opened.what else { return };
        let count = usize::try_from(result).unwrap_or(0);
        let now = self.steps.len();
        let step = self.steps[call.begun..].iter_mut().find(
            |step| matches!(step, Step::Write { file, ended, .. } if *file == number && *ended == usize::MAX),
        );
        let Some(Step::Write { at, bytes, ended, .. }) = step else { return };
        bytes.truncate(count);
        *ended = now;
        self.lengths[number] = self.lengths[number].max(*at + count);
        if matches!(call.name, "write" | "writev") {
            opened.at = *at + count;
        }
    }

    /// A path below the root, in that argument or, for calls with a folder before it, beginning there.
    fn path(&self, call: &Call<'_>, argument: usize) -> Option<PathBuf> {
        use std::os::unix::ffi::OsStringExt;
        let path = PathBuf::from(std::ffi::OsString::from_vec(bytes(call.arguments[argument])));
        if path.is_absolute() {
            return path.strip_prefix(&self.root).ok().map(Path::to_path_buf);
        }
        let folder = argument.checked_sub(1).and_then(|before| call.arguments[before].parse::<i64>().ok())?;
        match &self.opened[*self.descriptors.get(&folder)?].what {
            What::Folder(folder) => Some(folder.join(path)),
            What::File(_) | What::Output => None,
        }
    }
}

impl<'a> Call<'a> {
    fn parse(text: &'a str, begun: usize) -> Option<Self> {
        let (name, rest) = text.split_once('(')?;
        let (inside, result) = match rest.rsplit_once(" = ") {
            Some((inside, result)) => (inside.trim_end().strip_suffix(')')?, Some(result)),
            None => (rest, None),
        };
        let result = result.map(|result| number(result.split(' ').next().unwrap_or_default()));
        Some(Self { name, arguments: arguments(inside), result, begun })
    }

    fn number(&self, argument: usize) -> i64 {
        self.arguments.get(argument).map_or(-1, |text| number(text))
    }
}

/// Arguments as they are separated, those in brackets as one. Strings hold no comma: each byte is in hex.
fn arguments(text: &str) -> Vec<&str> {
    let (mut found, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, letter) in text.bytes().enumerate() {
        match letter {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            b',' if depth == 0 => {
                found.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    found.push(text[from..].trim());
    found
}

fn number(text: &str) -> i64 {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).map_or(-1, |number| number as i64),
        None => text.parse().unwrap_or(-1),
    }
}

/// The bytes of all strings in an argument.
fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for string in text.split('"').skip(1).step_by(2) {
        let hex = string.as_bytes().chunks_exact(4).map(|escape| (digit(escape[2]) << 4) | digit(escape[3]));
        bytes.extend(hex);
    }
    bytes
}

fn digit(letter: u8) -> u8 {
    match letter {
        b'0'..=b'9' => letter - b'0',
        _ => letter.to_ascii_lowercase() - b'a' + 10,
    }
}
