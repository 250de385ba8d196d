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
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
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
        Ok(found) if !found.is_well() => return Ok(End::Told(found.to_string())),
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

#[test]
fn a_relay_whose_files_were_torn_goes_on_or_says_what_is_wrong() {
    let dir = tempfile::tempdir().expect("a folder");
    let (data, config) = (dir.path().join("data"), dir.path().join("relay.toml"));
    fs::write(&config, promise::CONFIG).expect("written");
    let mut command = Command::new(program("subrosa-relay"));
    command.args(["run", "--listen", "127.0.0.1:0", "--data"]).arg(&data).arg("--config").arg(&config);
    // So that some of it is in the store and some in each file of the journal.
    command.env("SUBROSA_TEST_JOURNAL_BYTES", "16384").env("RUST_LOG", "error");
    let relay = Relay::start_as(command);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut promises = Vec::new();
    runtime.block_on(promise::talk(&relay.link, |promise| promises.push(promise)));
    let link = relay.link.clone();
    relay.kill();
    let all: Vec<&Promise> = promises.iter().collect();
    let whole = dir.path().join("whole");
    copy(&data, &whole);
    assert_eq!(runtime.block_on(plays(&whole, &link, &all)), Ok(End::Goes), "nothing was done to it");
    // A last write that was torn looks as if it had not been synced: what it promised does not count.
    let before_the_last: Vec<&Promise> = promises[..promises.len() - 1].iter().collect();
    let (mut silent, mut goes, mut ends) = (Vec::new(), 0, 0);
    for path in files(&data) {
        let name = path.strip_prefix(&data).expect("below it");
        for how in HARMS {
            let copied = dir.path().join("copied");
            copy(&data, &copied);
            harm(&copied.join(name), how);
            let journal = name.to_string_lossy().contains("journal");
            let due = if journal { &before_the_last } else { &all };
            ends += 1;
            match runtime.block_on(plays(&copied, &link, due)) {
                Ok(End::Goes) => goes += 1,
                Ok(end) => println!("{} {how:?}: {end:.150?}", name.display()),
                Err(why) => silent.push(format!("{} {how:?}: {why}", name.display())),
            }
            fs::remove_dir_all(&copied).expect("removed");
        }
    }
    println!("{goes} of {ends} go on with everything");
    assert!(silent.is_empty(), "{silent:#?}");
}
