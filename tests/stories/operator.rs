//! Whoever runs a relay, with the real programs: backups, ends, settings, invitations, figures, logs.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Instant;
use subrosa_relay::admin::SOCKET;
use subrosa_tests::pty::Terminal;
use subrosa_tests::real::{Client, LOGIN, PATIENCE, Relay, on_small_disk, program, signal};
use subrosa_tests::skip::skipped;

const PASSPHRASE: &str = "a good passphrase";

/// A folder with a relay's data in it, and people.
struct Stage {
    dir: tempfile::TempDir,
    relay: Option<Relay>,
    address: String,
}

impl Stage {
    fn new(settings: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let mut stage = Self { dir, relay: None, address: "127.0.0.1:0".into() };
        stage.settings(settings);
        stage.starts();
        stage.address = stage.relay.as_ref().expect("started").address();
        stage
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("relay")
    }

    fn settings(&self, text: &str) {
        std::fs::write(self.dir.path().join("relay.toml"), text).expect("written");
    }

    fn starts(&mut self) {
        let config = self.dir.path().join("relay.toml");
        self.relay = Some(Relay::start_with(&self.data(), &self.address, Some(&config)));
    }

    fn link(&self) -> &str {
        &self.relay.as_ref().expect("it runs").link
    }

    fn takes(&mut self) -> Relay {
        self.relay.take().expect("it runs")
    }

    /// What the relay's program says to its owner: whether it went well, and both outputs.
    fn owner(&self, args: &[&str]) -> (bool, String, String) {
        owner(&self.data(), args)
    }

    fn person(&self, name: &str, link: &str) -> (Client, Result<Value, i64>) {
        let mut client = Client::start(&self.dir.path().join(name));
        client.ask("subscribe", json!({})).expect("subscribed");
        let params = json!({"name": name, "passphrase": PASSPHRASE, "relay": link, "wait": LOGIN});
        let registered = client.ask("register", params);
        (client, registered)
    }

    fn joins(&self, name: &str) -> Client {
        let (client, registered) = self.person(name, self.link());
        assert_eq!(registered.expect("registered")["online"], true, "{name} is connected");
        client
    }

    fn returns(&self, name: &str) -> Client {
        let mut client = Client::start(&self.dir.path().join(name));
        client.ask("subscribe", json!({})).expect("subscribed");
        client.unlocks(PASSPHRASE);
        client
    }
}

fn owner(data: &Path, args: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(program("subrosa-relay"));
    let out = command.args(args).arg("--data").arg(data).stdin(Stdio::null()).output().expect("starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (out.status.success(), text(out.stdout), text(out.stderr))
}

fn says(client: &mut Client, to: &str, text: &str) -> String {
    let sent = client.ask("send", json!({"to": to, "text": text})).expect("sent");
    sent["id"].as_str().expect("an id").to_string()
}

/// The relay has it on its disk.
fn is_accepted(client: &mut Client, id: &str) {
    client.told("mark", |mark| mark["id"] == id && mark["state"] != "sending");
}

fn hears(client: &mut Client) -> String {
    let line = client.told("message", |params| params["author"] == "them");
    line["text"].as_str().expect("a text").to_string()
}

#[test]
fn a_backup_under_load_has_what_was_acknowledged_and_people_go_on_with_it() {
    let mut stage = Stage::new("");
    let mut ada = stage.joins("ada");
    let ben = stage.joins("ben");
    assert!(ben.end().1);
    const BEFORE: usize = 30;
    for i in 0..BEFORE {
        let id = says(&mut ada, "ben", &i.to_string());
        is_accepted(&mut ada, &id);
    }
    let backup = stage.dir.path().join("backup");
    // While more is under way.
    let (data, file) = (stage.data(), backup.clone());
    let making = std::thread::spawn(move || owner(&data, &["backup", file.to_str().expect("text")]));
    let meanwhile: Vec<_> = (0..200).map(|_| says(&mut ada, "ben", "meanwhile")).collect();
    is_accepted(&mut ada, meanwhile.last().expect("some"));
    let (made, said, trouble) = making.join().expect("ended");
    assert!(made, "{trouble}");
    assert!(said.contains("records") && said.contains("keep it"), "{said}");
    let again = stage.owner(&["backup", backup.to_str().expect("text")]);
    assert!(!again.0 && again.2.contains("is there already"), "{}", again.2);
    // The disk is lost; who is connected finds another one under the same key.
    stage.takes().kill();
    let (refused, _, why) = stage.owner(&["restore", backup.to_str().expect("text")]);
    assert!(!refused && why.contains("is not empty"), "{why}");
    std::fs::remove_dir_all(stage.data()).expect("lost");
    let (restored, said, trouble) = stage.owner(&["restore", backup.to_str().expect("text")]);
    assert!(restored, "{trouble}");
    assert!(said.contains("told at login") && said.contains("invite list"), "{said}");
    let (well, said, trouble) = stage.owner(&["check"]);
    assert!(well && said.contains("hold together"), "{said}{trouble}");
    stage.starts();
    let told =
        ada.told("notice", |notice| notice["text"].as_str().is_some_and(|text| text.contains("backup")));
    assert!(told["text"].as_str().is_some_and(|text| text.contains("send it again")), "{told}");
    let mut ben = stage.returns("ben");
    let got: Vec<String> = (0..BEFORE).map(|_| hears(&mut ben)).collect();
    assert_eq!(got, (0..BEFORE).map(|i| i.to_string()).collect::<Vec<_>>());
    // A stranger's lines are shown up to a bound.
    ben.ask("accept", json!({"with": "ada"})).expect("let in");
    says(&mut ada, "ben", "goes on");
    while hears(&mut ben) != "goes on" {}
    says(&mut ben, "ada", "both ways");
    assert_eq!(hears(&mut ada), "both ways");
}

/// A file of that many bytes, sent: its content, and the id of its message.
fn sends(stage: &Stage, client: &mut Client, to: &str, file: &str, size: usize) -> (Vec<u8>, Value) {
    let content: Vec<u8> = (0..size).map(|i| (i * 31 % 251) as u8).collect();
    let path = stage.dir.path().join(file);
    std::fs::write(&path, &content).expect("written");
    let sent = client.ask("send_file", json!({"to": to, "path": path})).expect("read");
    (content, sent["id"].clone())
}

/// How a transfer is by now.
fn is_at(client: &mut Client, id: &Value, state: &str) -> Value {
    client.told("file", |file| file["id"] == *id && file["state"] == state)
}

/// Fetches a file that was offered: what is saved.
fn saves(stage: &Stage, client: &mut Client, id: &Value) -> Vec<u8> {
    client.ask("save_file", json!({"id": id, "folder": stage.dir.path().join("saved")})).expect("begun");
    let done = is_at(client, id, "done");
    std::fs::read(done["path"].as_str().expect("a path")).expect("it is there")
}

#[test]
fn a_backup_made_while_people_chat_and_upload_is_whole_and_what_came_after_it_comes_again() {
    // Six megabytes a second, so that the second file is under way all the time.
    let slow = "file_up = { per_minute = 360000000, burst = 1000000 }";
    let mut stage = Stage::new(&format!("[limits]\n{slow}\n"));
    let [mut ada, mut ben, cleo] = ["ada", "ben", "cleo"].map(|name| stage.joins(name));
    ada.ask("add", json!({"name": "ben"})).expect("known");
    ben.ask("add", json!({"name": "ada"})).expect("known");
    assert!(cleo.end().1);
    let (whole, first) = sends(&stage, &mut ada, "ben", "whole.bin", 6_000_000);
    is_at(&mut ada, &first, "done");
    const BEFORE: usize = 20;
    let mut ids: Vec<String> = (0..BEFORE).map(|i| says(&mut ada, "cleo", &i.to_string())).collect();
    is_accepted(&mut ada, ids.last().expect("some"));
    let (under_way, second) = sends(&stage, &mut ada, "ben", "under-way.bin", 12_000_000);
    is_at(&mut ada, &second, "uploading");
    let backup = stage.dir.path().join("backup");
    let (data, file) = (stage.data(), backup.clone());
    let making = std::thread::spawn(move || owner(&data, &["backup", file.to_str().expect("text")]));
    for i in BEFORE..BEFORE + 100 {
        ids.push(says(&mut ada, "cleo", &i.to_string()));
        says(&mut ben, "ada", &i.to_string());
    }
    let (made, said, trouble) = making.join().expect("ended");
    assert!(made && said.contains("sealed files"), "{said}{trouble}");
    // After it: lines to somebody who is away, a file, and the end of the one that was under way.
    for i in BEFORE + 100..BEFORE + 120 {
        ids.push(says(&mut ada, "cleo", &i.to_string()));
    }
    is_accepted(&mut ada, ids.last().expect("some"));
    let (later, third) = sends(&stage, &mut ada, "ben", "later.bin", 6_000_000);
    is_at(&mut ada, &third, "done");
    is_at(&mut ada, &second, "done");
    for id in [&first, &second, &third] {
        is_at(&mut ben, id, "offered");
    }
    stage.takes().kill();
    std::fs::remove_dir_all(stage.data()).expect("lost");
    let (restored, _, trouble) = stage.owner(&["restore", backup.to_str().expect("text")]);
    assert!(restored, "{trouble}");
    let (well, said, trouble) = stage.owner(&["check"]);
    assert!(well, "{said}{trouble}");
    stage.starts();
    ada.told("notice", |notice| {
        notice["text"].as_str().is_some_and(|text| text.contains("went back to an earlier"))
    });
    assert!(saves(&stage, &mut ben, &first) == whole, "was there before the backup");
    assert!(saves(&stage, &mut ben, &second) == under_way, "went on where the relay was");
    assert!(saves(&stage, &mut ben, &third) == later, "was brought again");
    let mut cleo = stage.returns("cleo");
    let mut got = BTreeMap::<String, u32>::new();
    let wanted: Vec<String> = (0..BEFORE + 120).map(|i| i.to_string()).collect();
    let mut order = Vec::new();
    while got.len() < wanted.len() {
        let line = hears(&mut cleo);
        *got.entry(line.clone()).or_default() += 1;
        order.push(line);
    }
    assert!(got.values().all(|times| *times == 1), "each once: {got:?}");
    assert_eq!(order[..BEFORE], wanted[..BEFORE], "what the backup has comes first, in order");
    says(&mut cleo, "ada", "all of it");
    while hears(&mut ada) != "all of it" {}
}

#[test]
fn a_backup_without_a_relay_and_a_restored_folder_are_the_same() {
    let mut stage = Stage::new("");
    let mut ada = stage.joins("ada");
    let ben = stage.joins("ben");
    assert!(ben.end().1);
    let id = says(&mut ada, "ben", "kept");
    is_accepted(&mut ada, &id);
    let (well, _, why) = stage.owner(&["check"]);
    assert!(!well && why.contains("a relay runs on") && why.contains("drain"), "{why}");
    assert!(stage.takes().terminate().success());
    let backup = stage.dir.path().join("backup");
    let (made, _, trouble) = stage.owner(&["backup", backup.to_str().expect("text")]);
    assert!(made, "{trouble}");
    let mut bytes = std::fs::read(&backup).expect("there");
    let other = stage.dir.path().join("other");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let damaged = stage.dir.path().join("damaged");
    std::fs::write(&damaged, &bytes).expect("written");
    let (restored, _, why) = owner(&other, &["restore", damaged.to_str().expect("text")]);
    assert!(!restored && why.contains("damaged") && !other.exists(), "{why}");
    let (restored, _, why) = owner(&other, &["restore", backup.to_str().expect("text")]);
    assert!(restored, "{why}");
    for name in ["relay.key", "relay.opaque"] {
        let read = |folder: &Path| std::fs::read(folder.join(name)).expect("there");
        assert_eq!(read(&stage.data()), read(&other), "{name}");
    }
    let (well, said, trouble) = owner(&other, &["check"]);
    assert!(well, "{said}{trouble}");
    // A service's folder may be a link to an empty one elsewhere; it stays one.
    let (elsewhere, link) = (stage.dir.path().join("private/relay"), stage.dir.path().join("linked"));
    std::fs::create_dir_all(&elsewhere).expect("made");
    std::os::unix::fs::symlink("private/relay", &link).expect("made");
    let (restored, _, why) = owner(&link, &["restore", backup.to_str().expect("text")]);
    assert!(restored && link.is_symlink() && elsewhere.join("relay.key").exists(), "{why}");
    let (again, _, why) = owner(&link, &["restore", backup.to_str().expect("text")]);
    assert!(!again && why.contains("empty"), "{why}");
    std::fs::remove_file(other.join("relay.opaque")).expect("removed");
    let (well, said, why) = owner(&other, &["check"]);
    assert!(
        !well && said.contains("relay.opaque is missing") && why.contains("hold together"),
        "{said}{why}"
    );
}

/// Whether a command goes well with that folder on a small disk of its own, and what it has to say then.
fn on_disk(command: &Command, folder: &Path, megabytes: u32) -> Option<(bool, String)> {
    let Some(mut command) = on_small_disk(command, folder, megabytes) else {
        skipped("this machine lets nobody mount a tmpfs in a namespace of their own");
        return None;
    };
    let out = command.stdin(Stdio::null()).output().expect("starts");
    Some((out.status.success(), String::from_utf8(out.stderr).expect("text")))
}

#[test]
fn a_backup_on_the_relays_disk_leaves_what_the_relay_needs_of_it() {
    let mut stage = Stage::new("");
    assert!(stage.takes().terminate().success());
    let disk = stage.dir.path().join("disk");
    std::fs::create_dir(&disk).expect("made");
    let mut backup = Command::new("sh");
    // There is room for both, and not for the relay's reserve beside them.
    let script = "cp -r \"$0\" \"$1/relay\" && exec \"$2\" backup \"$1/backup\" --data \"$1/relay\"";
    backup.args(["-c", script]).arg(stage.data()).arg(&disk).arg(program("subrosa-relay"));
    let Some((made, why)) = on_disk(&backup, &disk, 120) else { return };
    assert!(!made && why.contains("128 MiB") && why.contains("another disk"), "{why}");
}

#[test]
fn a_mount_point_is_not_restored_into_and_that_is_said_before_the_backup_is_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = dir.path().join("disk");
    std::fs::create_dir(&disk).expect("made");
    // Empty, and as a fresh disk of some kinds is.
    for fresh in ["true", "mkdir \"$0/lost+found\""] {
        let mut restore = Command::new("sh");
        let script = format!("{fresh} && exec \"$1\" restore no-backup --data \"$0\"");
        restore.args(["-c", &script]).arg(&disk).arg(program("subrosa-relay"));
        let Some((restored, why)) = on_disk(&restore, &disk, 1) else { return };
        assert!(!restored && why.contains("mount point") && why.contains("--data"), "{fresh}: {why}");
    }
}

#[test]
fn a_relay_drained_under_load_loses_and_repeats_nothing() {
    let mut stage = Stage::new("");
    let mut ada = stage.joins("ada");
    let mut ben = stage.joins("ben");
    const TEXTS: usize = 200;
    let mut ids = Vec::new();
    for i in 0..TEXTS {
        ids.push(says(&mut ada, "ben", &i.to_string()));
        if i % 60 == 40 {
            // While the last ones are under way, and those before them flow.
            is_accepted(&mut ada, &ids[i - 20]);
            let (drained, said, trouble) = stage.owner(&["drain"]);
            assert!(drained && said.contains("come back"), "{said}{trouble}");
            assert!(stage.takes().ends().success());
            stage.starts();
        }
    }
    let got: Vec<String> = (0..TEXTS).map(|_| hears(&mut ben)).collect();
    assert_eq!(got, (0..TEXTS).map(|i| i.to_string()).collect::<Vec<_>>(), "each once, in order");
    let (_, _, why) = owner(&stage.dir.path().join("nowhere"), &["drain"]);
    assert!(why.contains("no relay runs on") && why.contains("--data"), "{why}");
}

#[test]
fn settings_are_read_again_and_a_bad_file_changes_nothing() {
    let stage = Stage::new("");
    stage.settings("motd = \"new rules\"\nhost = \"other.example\"\n");
    let (done, said, trouble) = stage.owner(&["reload"]);
    assert!(done, "{trouble}");
    assert!(said.contains("changed: motd") && said.contains("at the next start: host"), "{said}");
    let mut ada = stage.joins("ada");
    ada.told("notice", |notice| notice["text"] == "new rules");
    stage.settings("registration = \"nobody\"\n");
    let (done, _, why) = stage.owner(&["reload"]);
    assert!(!done && why.contains("nothing was changed") && why.contains("registration"), "{why}");
    stage.joins("ben");
    stage.settings("registration = \"closed\"\n");
    signal(stage.relay.as_ref().expect("it runs").process(), "HUP");
    // The signal is taken before a question that comes later is answered.
    // Fewer than those of one network who may register at once.
    const TRIES: u32 = 40;
    let refused = (0..TRIES).find_map(|i| stage.person(&format!("cleo{i}"), stage.link()).1.err());
    assert_eq!(refused, Some(-32005), "the signal was not taken within {TRIES} tries");
}

#[test]
fn an_invitation_opens_as_many_accounts_as_it_says() {
    let stage = Stage::new("registration = \"invite\"\n");
    let plain = stage.person("ada", stage.link()).1;
    assert_eq!(plain, Err(-32005), "nobody comes in without");
    let (made, link, trouble) = stage.owner(&["invite", "--uses", "2", "--for", "2h"]);
    assert!(made, "{trouble}");
    let link = link.trim();
    assert!(link.contains("/?invite=") && link.contains('#'), "{link}");
    for name in ["ben", "cleo"] {
        let (_, registered) = stage.person(name, link);
        assert_eq!(registered.expect("invited")["online"], true);
    }
    assert_eq!(stage.person("dora", link).1, Err(-32005), "used up");
    // Who is in stays in, also with a link that is used up.
    let mut ben = stage.returns("ben");
    assert_eq!(ben.ask("status", json!({})).expect("known")["name"], "ben");
    let (_, link, _) = stage.owner(&["invite"]);
    let (_, listed, _) = stage.owner(&["invite", "list"]);
    assert!(listed.contains("1 left") && listed.lines().count() == 1, "{listed}");
    let id = listed.split_whitespace().next().expect("an id");
    assert!(stage.owner(&["invite", "revoke", id]).0);
    assert_eq!(stage.person("emil", link.trim()).1, Err(-32005), "revoked");
    let (done, _, why) = stage.owner(&["invite", "revoke", id]);
    assert!(!done && why.contains("invite list"), "{why}");
    let (done, _, why) = stage.owner(&["invite", "--for", "soon"]);
    assert!(!done && why.contains("7d"), "{why}");
}

#[test]
fn top_shows_how_the_relay_does_and_gives_the_terminal_back() {
    let stage = Stage::new("");
    let mut ada = stage.joins("ada");
    let _ben = stage.joins("ben");
    let id = says(&mut ada, "ben", "hello");
    is_accepted(&mut ada, &id);
    let data = stage.data();
    let args = ["top", "--data", data.to_str().expect("text")];
    let mut terminal = Terminal::start(&program("subrosa-relay"), &args, &[("NO_COLOR", "1")], 80, 24);
    terminal.until("two are online", |screen| {
        screen.contents().lines().any(|line| line.contains("devices online") && line.contains('2'))
    });
    assert!(terminal.screen().alternate_screen());
    let coloured = |screen: &vt100::Screen| {
        let (rows, columns) = screen.size();
        let cells = (0..rows).flat_map(|row| (0..columns).filter_map(move |column| screen.cell(row, column)));
        cells.filter(|cell| cell.fgcolor() != vt100::Color::Default).count()
    };
    assert_eq!(coloured(terminal.screen()), 0);
    for word in ["ada", "ben", "127.0.0.1"] {
        assert!(!terminal.text().contains(word), "{word}");
    }
    terminal.types("q");
    assert!(terminal.ends());
    assert!(!terminal.screen().alternate_screen() && !terminal.screen().hide_cursor());
    let (printed, text, trouble) = stage.owner(&["top", "--once"]);
    assert!(printed, "{trouble}");
    let online = text.lines().find(|line| line.contains("devices-online")).expect("a line");
    assert!(online.ends_with(" 2"), "{online}");
}

#[test]
fn top_ends_when_it_is_told_to_also_while_the_relay_hangs() {
    let dir = tempfile::tempdir().expect("a folder");
    // In place of a relay: it can be asked, and says nothing.
    let door = UnixListener::bind(dir.path().join(SOCKET)).expect("made");
    let (to, asked) = channel();
    std::thread::spawn(move || door.incoming().try_for_each(|question| to.send(question)));
    let args = ["top", "--data", dir.path().to_str().expect("text")];
    for end in ["q", "\x03", "TERM"] {
        let mut terminal = Terminal::start(&program("subrosa-relay"), &args, &[], 80, 24);
        let _question = asked.recv_timeout(PATIENCE).expect("it asks").expect("a connection");
        let told = Instant::now();
        match end {
            "TERM" => terminal.signal(end),
            keys => terminal.types(keys),
        }
        assert!(terminal.ends() && !terminal.screen().alternate_screen(), "{end:?}");
        // It would wait for an answer that long.
        assert!(told.elapsed() < PATIENCE / 2, "{end:?}");
    }
}

#[test]
fn the_log_names_nobody_at_any_level_unless_asked_to() {
    for (names, format) in [(false, "text"), (false, "json"), (true, "text")] {
        let dir = tempfile::tempdir().expect("a folder");
        let config = dir.path().join("relay.toml");
        let settings = format!("[log]\nformat = \"{format}\"\nnames = {names}\n");
        std::fs::write(&config, settings).expect("written");
        let log = dir.path().join("log");
        let relay = Relay::start_logged(&dir.path().join("relay"), &config, "trace", &log);
        let mut people = ["zebulon", "quintessa"].map(|name| {
            let mut client = Client::start(&dir.path().join(name));
            client.ask("subscribe", json!({})).expect("subscribed");
            client.registers(name, PASSPHRASE, &relay.link);
            client
        });
        says(&mut people[0], "quintessa", "marzipan");
        assert_eq!(hears(&mut people[1]), "marzipan");
        let device = people[0].ask("status", json!({})).expect("known")["device"].clone();
        let device = device.as_str().expect("an id").to_string();
        assert!(people.map(|client| client.end().1).into_iter().all(|well| well));
        assert!(relay.terminate().success());
        let log = std::fs::read_to_string(&log).expect("text");
        assert!(log.contains("logged in") && log.lines().count() > 50, "{}", log.lines().count());
        for word in ["zebulon", "quintessa", "127.0.0.1", device.as_str()] {
            let found = log.lines().find(|line| line.contains(word));
            assert_eq!(found.is_some(), names, "{word}: {found:?}");
        }
        assert!(!log.contains("marzipan"));
        if format == "json" {
            let object = |line: &str| serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object());
            assert!(log.lines().all(object));
        }
    }
}
