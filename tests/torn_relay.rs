//! Files of a relay that were torn, changed or lost: it goes on with all that it promised, or it says what is
//! wrong, at its start or when it is checked; it never starts and is silently another.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use subrosa_relay::admin::offline;
use subrosa_relay::config::Config;
use subrosa_relay::records;
use subrosa_relay::server::Server;
use subrosa_shared::store::Kv;
use subrosa_shared::store::journaled::{FILES, FULL_BYTES};
use subrosa_tests::promise::{self, Promise, held};
use subrosa_tests::real::{Relay, program};

/// What happened to a file. Shares are of 1,000.
#[derive(Clone, Copy, Debug)]
enum Harm {
    /// It ends there.
    Ends(usize),
    /// One bit there is another.
    Flip(usize),
    /// Zeros from there on.
    Zeros(usize),
    /// It is gone.
    Gone,
}

const HARMS: [Harm; 12] = [
    Harm::Ends(0),
    Harm::Ends(500),
    Harm::Ends(990),
    Harm::Ends(999),
    Harm::Flip(0),
    Harm::Flip(300),
    Harm::Flip(600),
    Harm::Flip(900),
    Harm::Flip(999),
    Harm::Zeros(400),
    Harm::Zeros(950),
    Harm::Gone,
];

fn harm(path: &Path, harm: Harm) {
    let mut bytes = fs::read(path).expect("reads");
    let at = |share: usize| (bytes.len().saturating_sub(1)) * share / 1000;
    match harm {
        Harm::Gone => return fs::remove_file(path).expect("removed"),
        Harm::Ends(share) => bytes.truncate(at(share)),
        Harm::Flip(share) => {
            let at = at(share);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 0x10;
            }
        }
        Harm::Zeros(share) => {
            let at = at(share);
            bytes[at..].fill(0);
        }
    }
    fs::write(path, bytes).expect("written");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            // Not the socket of a relay that was killed.
            found.push(path);
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for path in files(from) {
        let target = to.join(path.strip_prefix(from).expect("below it"));
        fs::create_dir_all(target.parent().expect("below it")).expect("made");
        fs::copy(&path, &target).expect("copied");
    }
}

/// What became of a relay.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// All that it promised is there.
    Goes,
    /// It does not start; a sentence.
    Refuses(String),
    /// It starts, and a check tells what is wrong.
    Told(String),
}

async fn plays(data: &Path, link: &str, promises: &[&Promise]) -> Result<End, String> {
    let config = Config {
        listen: (std::net::Ipv4Addr::LOCALHOST, 0).into(),
        data: Some(data.to_path_buf()),
        ..Config::default()
    };
    // Looked at first: what a relay mends when it starts is told too.
    let looked = offline::check(data);
    let server = match Server::start(config).await {
        Ok(server) => server,
        Err(why) => {
            let why = why.to_string();
            let next = ["restore", "Restore", "choose another", "backup"];
            return match next.iter().any(|word| why.contains(word)) && why.len() > 60 {
                true => Ok(End::Refuses(why)),
                false => Err(format!("it refuses without a next step: {why}")),
            };
        }
    };
    let same = server.link().fingerprint == fingerprint(link);
    drop(server);
    let found = match looked {
        // No file of these was deleted: bytes without an entry are what is left of one.
        Ok(found) if !found.is_well() || !found.notes().is_empty() => {
            return Ok(End::Told(found.to_string()));
        }
        Ok(_) => offline::check(data).map_err(|error| format!("it starts, and then: {error}"))?,
        Err(why) => return Ok(End::Told(why.to_string())),
    };
    if !same {
        return Err("it starts as another relay".into());
    }
    if !found.is_well() {
        return Ok(End::Told(found.to_string()));
    }
    let records = records::open(data, records::Use::Look).map_err(|error| error.to_string())?;
    let records: Arc<dyn Kv> = Arc::new(records);
    held(&records, data, promises).map(|()| End::Goes)
}

fn fingerprint(link: &str) -> [u8; 32] {
    link.parse::<subrosa_shared::protocol::link::RelayLink>().expect("a link").fingerprint
}

/// A relay's folder, and what it promised until it ended.
struct Ended {
    dir: tempfile::TempDir,
    link: String,
    promises: Vec<Promise>,
}

impl Ended {
    /// `full_bytes` is how long a file of its journal becomes.
    fn new(full_bytes: usize, end: impl FnOnce(Relay), runtime: &tokio::runtime::Runtime) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let config = dir.path().join("relay.toml");
        fs::write(&config, promise::CONFIG).expect("written");
        let mut command = Command::new(program("subrosa-relay"));
        command.args(["run", "--listen", "127.0.0.1:0", "--data"]).arg(dir.path().join("data"));
        command.arg("--config").arg(&config);
        command.env("SUBROSA_TEST_JOURNAL_BYTES", full_bytes.to_string()).env("RUST_LOG", "error");
        let relay = Relay::start_as(command);
        let mut promises = Vec::new();
        runtime.block_on(promise::talk(&relay.link, |promise| promises.push(promise)));
        let link = relay.link.clone();
        end(relay);
        let ended = Self { dir, link, promises };
        let all: Vec<&Promise> = ended.promises.iter().collect();
        assert_eq!(ended.plays(None, &all, runtime), Ok(End::Goes), "nothing was done to it");
        ended
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// What becomes of a copy to which that was done.
    fn plays(
        &self,
        harmed: Option<(&Path, Harm)>,
        due: &[&Promise],
        runtime: &tokio::runtime::Runtime,
    ) -> Result<End, String> {
        let copied = self.dir.path().join("copied");
        copy(&self.data(), &copied);
        if let Some((name, how)) = harmed {
            harm(&copied.join(name), how);
        }
        let end = runtime.block_on(plays(&copied, &self.link, due));
        fs::remove_dir_all(&copied).expect("removed");
        end
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime")
}

#[test]
fn a_relay_whose_files_were_torn_goes_on_or_says_what_is_wrong() {
    let runtime = runtime();
    // So that some of it is in the store and some in each file of the journal.
    let killed = Ended::new(16_384, Relay::kill, &runtime);
    let all: Vec<&Promise> = killed.promises.iter().collect();
    let (mut silent, mut goes, mut ends) = (Vec::new(), 0, 0);
    for path in files(&killed.data()) {
        let name = path.strip_prefix(killed.data()).expect("below it");
        for how in HARMS {
            ends += 1;
            match killed.plays(Some((name, how)), &all, &runtime) {
                Ok(End::Goes) => goes += 1,
                Ok(end) => println!("{} {how:?}: {end:.150?}", name.display()),
                // Bytes that are sealed from one end to the other: whoever opens the file notices, see
                // `files::`. The relay has no key to.
                Err(_) if name.starts_with("files") && matches!(how, Harm::Flip(_) | Harm::Zeros(_)) => {}
                Err(why) => silent.push(format!("{} {how:?}: {why}", name.display())),
            }
        }
    }
    println!("{goes} of {ends} go on with everything");
    assert!(silent.is_empty(), "{silent:#?}");
}

/// Nothing was under way when it ended, so that nothing may be missing.
#[test]
fn a_relay_that_ended_well_misses_even_its_last_write() {
    let runtime = runtime();
    // So that what was written last is at the end of the first.
    let ended = Ended::new(FULL_BYTES, |relay| assert!(relay.terminate().success()), &runtime);
    let all: Vec<&Promise> = ended.promises.iter().collect();
    let journal = Path::new("store").join(FILES[0]);
    for how in HARMS {
        match ended.plays(Some((&journal, how)), &all, &runtime) {
            // Between two frames lies what means nothing.
            Ok(End::Goes) if matches!(how, Harm::Flip(share) if share < 999) => {}
            Ok(End::Goes) => panic!("{how:?}: nobody noticed"),
            Ok(_) => {}
            Err(why) => panic!("{how:?}: {why}"),
        }
    }
}
