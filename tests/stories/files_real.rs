//! Files between the real programs, which are killed in the middle.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use subrosa_tests::real::{Client, Relay};

const MEGABYTE: usize = 1_000_000;

/// Two people who know each other, at a relay that lets a megabyte a second pass.
struct Stage {
    dir: tempfile::TempDir,
    relay: Option<Relay>,
    address: String,
    ada: Client,
    ben: Client,
}

impl Stage {
    fn new(limits: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("relay.toml"), format!("[limits]\n{limits}")).expect("written");
        let relay = start(dir.path(), "127.0.0.1:0");
        let [mut ada, mut ben] = ["ada", "ben"].map(|name| {
            let mut client = Client::start(&dir.path().join(name));
            client.ask("subscribe", json!({"events": ["message", "file", "notice"]})).expect("subscribed");
            client.registers(name, "a good passphrase", &relay.link);
            client
        });
        ben.ask("add", json!({"name": "ada"})).expect("known");
        ada.ask("add", json!({"name": "ben"})).expect("known");
        Self { address: relay.address(), relay: Some(relay), dir, ada, ben }
    }

    fn relay_is_killed(&mut self) {
        if let Some(relay) = self.relay.take() {
            relay.kill();
        }
    }

    fn relay_starts(&mut self) {
        self.relay = Some(start(self.dir.path(), &self.address));
    }

    /// `kill -9`, and started again on what is on the disk.
    fn restarts(&mut self, name: &str) {
        let profile = self.dir.path().join(name);
        let client = if name == "ada" { &mut self.ada } else { &mut self.ben };
        client.kill();
        *client = Client::start(&profile);
        client.ask("subscribe", json!({"events": ["message", "file", "notice"]})).expect("subscribed");
        client.unlocks("a good passphrase");
    }

    /// A file of that many bytes, sent by Ada: its content, and the id of its message.
    fn sends(&mut self, size: usize) -> (Vec<u8>, Value) {
        let content: Vec<u8> = (0..size).map(|i| (i * 31 % 251) as u8).collect();
        let path = self.dir.path().join("film.mkv");
        std::fs::write(&path, &content).expect("written");
        let sent = self.ada.ask("send_file", json!({"to": "ben", "path": path})).expect("read");
        assert_eq!(sent["size"], size);
        (content, sent["id"].clone())
    }

    /// Ben fetches it.
    fn saves(&mut self, id: &Value) {
        self.ben.told("file", |file| file["id"] == *id && file["state"] == "offered");
        let folder = self.dir.path().join("saved");
        self.ben.ask("save_file", json!({"id": id, "folder": folder})).expect("begun");
    }

    fn saved(&mut self, id: &Value) -> Vec<u8> {
        let done = self.ben.told("file", |file| file["id"] == *id && file["state"] == "done");
        let path = PathBuf::from(done["path"].as_str().expect("a path"));
        assert_eq!(path, self.dir.path().join("saved").join("film.mkv"));
        std::fs::read(path).expect("it is there")
    }

    /// Bytes of files on the relay's disk.
    fn on_disk(&self) -> u64 {
        let files = std::fs::read_dir(self.dir.path().join("data").join("files")).expect("a folder");
        files.map(|file| file.and_then(|file| file.metadata()).map_or(0, |about| about.len())).sum()
    }
}

fn start(dir: &Path, address: &str) -> Relay {
    Relay::start_with(&dir.join("data"), address, Some(&dir.join("relay.toml")))
}

/// A transfer of that file that is about as far as that.
fn is_in_the_middle(file: &Value, id: &Value, state: &str) -> bool {
    let done = file["done"].as_u64().unwrap_or(0);
    file["id"] == *id && file["state"] == state && (1..4 * MEGABYTE as u64).contains(&done)
}

/// A megabyte a second, so that there is a middle.
const SLOW: &str = "file_up = { per_minute = 60000000, burst = 1000000 }
file_down = { per_minute = 60000000, burst = 1000000 }
";

#[test]
fn five_megabytes_arrive_bit_for_bit() {
    let mut stage = Stage::new("");
    let (content, id) = stage.sends(5 * MEGABYTE + 1);
    stage.saves(&id);
    assert!(stage.saved(&id) == content, "bit for bit");
    stage.ada.told("file", |file| file["id"] == id && file["state"] == "done");
    let listed = stage.ben.ask("files", json!({})).expect("listed");
    let file = &listed["files"][0];
    assert_eq!(
        (&file["state"], &file["up"], &file["name"]),
        (&json!("done"), &json!(false), &json!("film.mkv"))
    );
    assert_eq!(stage.ben.ask("save_file", json!({"id": id})), Err(-32016), "it is saved already");
    assert_eq!(stage.ben.ask("pause_file", json!({"id": "00".repeat(16)})), Err(-32016));
    let nowhere = json!({"to": "ben", "path": "/nowhere"});
    assert_eq!(stage.ada.ask("send_file", nowhere), Err(-32011));
}

#[test]
fn a_relay_killed_in_the_middle_of_upload_and_download_loses_nothing() {
    let mut stage = Stage::new(SLOW);
    let (content, id) = stage.sends(12 * MEGABYTE);
    stage.saves(&id);
    stage.ada.told("file", |file| is_in_the_middle(file, &id, "uploading"));
    stage.ben.told("file", |file| is_in_the_middle(file, &id, "downloading"));
    stage.relay_is_killed();
    let kept = stage.on_disk();
    assert!(kept > 0 && kept < content.len() as u64, "{kept}");
    stage.relay_starts();
    assert!(stage.saved(&id) == content, "bit for bit");
    assert!(stage.ada.told("file", |file| file["id"] == id && file["state"] == "done")["why"] == "");
}

#[test]
fn clients_killed_in_the_middle_go_on() {
    let mut stage = Stage::new(SLOW);
    let (content, id) = stage.sends(6 * MEGABYTE);
    stage.saves(&id);
    stage.ada.told("file", |file| is_in_the_middle(file, &id, "uploading"));
    stage.restarts("ada");
    stage.ben.told("file", |file| is_in_the_middle(file, &id, "downloading"));
    stage.restarts("ben");
    let hidden = std::fs::read_dir(stage.dir.path().join("saved")).expect("made").next().expect("begun");
    assert!(hidden.expect("reads").file_name().to_string_lossy().starts_with(".subrosa-"));
    assert!(stage.saved(&id) == content, "bit for bit");
}

#[test]
fn cancelling_frees_the_relays_disk_and_limits_are_said() {
    let mut stage = Stage::new(&format!("{SLOW}file_bytes = 8000000\n"));
    let (_, id) = stage.sends(6 * MEGABYTE);
    stage.ada.told("file", |file| is_in_the_middle(file, &id, "uploading"));
    assert!(stage.on_disk() > 0);
    stage.ada.ask("pause_file", json!({"id": id})).expect("halted");
    let cancelled = stage.ada.ask("cancel_file", json!({"id": id})).expect("taken back");
    assert_eq!(cancelled, json!({"state": "cancelled"}));
    // Said when it is true: the state comes once more then.
    stage.ada.told("file", |file| file["id"] == id && file["state"] == "cancelled");
    stage.ada.told("file", |file| file["id"] == id && file["state"] == "cancelled");
    stage.ada.told("file", |file| file["id"] == id && file["state"] == "cancelled");
    assert_eq!(stage.on_disk(), 0);
    let (_, large) = stage.sends(9 * MEGABYTE);
    let failed = stage.ada.told("file", |file| file["id"] == large && file["state"] == "failed");
    let why = failed["why"].as_str().expect("a sentence");
    assert!(why.contains("at most 8.0 MB"), "{why}");
    assert_eq!(stage.on_disk(), 0);
}
