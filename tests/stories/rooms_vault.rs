//! Rooms, files and search in the vault: what a locked client forgets, what a burnt one leaves, what an
//! export says.

use crate::vault::{PASSPHRASE, in_memory, on_terminal};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::Duration;
use subrosa_tests::real::{Client, Relay, subrosa};

/// Where Ada's profile is, for the terminal too.
const ADA: &str = "profile";

fn joined(dir: &Path, profile: &str, name: &str, link: &str) -> Client {
    let mut client = Client::start(&dir.join(profile));
    client.ask("subscribe", json!({})).expect("subscribed");
    client.registers(name, PASSPHRASE, link);
    client
}

/// Ada and Ben in a room where Ben said a sentence and gave a file, which Ada began to fetch.
fn club(dir: &Path, relay: &Relay) -> (Client, Client) {
    let mut ada = joined(dir, ADA, "ada", &relay.link);
    let mut ben = joined(dir, "ben", "ben", &relay.link);
    let made = ada.ask("new_room", json!({"name": "heronry", "people": ["ben"]})).expect("made");
    ben.told("request", |request| request["room"] == made["room"]);
    ben.ask("accept_room", json!({"room": made["room"]})).expect("taken");
    ada.ask("change_room", json!({"room": "#heronry", "what": "topic", "topic": "quicksilver lanterns"}))
        .expect("set");
    ben.ask("say", json!({"room": "#heronry", "text": "nineteen white herons crossed the frozen lake"}))
        .expect("said");
    ada.told("message", |line| line["author"] == "them");
    (ada, ben)
}

fn gives(dir: &Path, ben: &mut Client, size: usize) -> Value {
    let path = dir.join("mooncalf-ledger.bin");
    let line = b"the ledger of the mooncalf society ";
    fs::write(&path, line.iter().copied().cycle().take(size).collect::<Vec<u8>>()).expect("written");
    ben.ask("send_file", json!({"to": "#heronry", "path": path, "caption": "burnished walnut"}))
        .expect("read")["id"]
        .clone()
}

#[test]
fn the_memory_of_a_locked_client_holds_nothing_of_rooms_files_and_searches() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let (mut ada, mut ben) = club(dir.path(), &relay);
    let id = gives(dir.path(), &mut ben, 100_000);
    let folder = dir.path().join("saved");
    ada.told("message", |line| line["id"] == id);
    ada.ask("save_file", json!({"id": id, "folder": folder})).expect("begun");
    ada.told("file", |file| file["id"] == id && file["state"] == "done");
    assert!(ada.end().1);
    let mut screen = on_terminal(dir.path(), 100, 30);
    screen.shows("Welcome back");
    screen.types(&format!("{PASSPHRASE}\r"));
    screen.shows("nineteen white herons");
    screen.types("/search frozen lake\r");
    screen.shows("in #heronry");
    screen.types("\x1b");
    screen.until("it closes", |screen| !screen.contents().contains("in #heronry"));
    let words: Vec<(&'static str, Vec<u8>)> = vec![
        ("what was said", b"nineteen white herons crossed".to_vec()),
        ("the room's topic", b"quicksilver lanterns".to_vec()),
        ("the room's name", b"heronry".to_vec()),
        ("a file's name", b"mooncalf-ledger".to_vec()),
        ("its caption", b"burnished walnut".to_vec()),
        ("what was looked for", b"frozen lake\0".to_vec()),
    ];
    let process = screen.process();
    let Some(found) = in_memory(process, &words) else { return };
    for what in ["what was said", "the room's topic", "the room's name", "a file's name", "its caption"] {
        assert!(found.contains(&what), "the check can fail: {what} is not among {found:?}");
    }
    screen.types("\x1bl");
    screen.shows("Locked");
    screen.falls_silent(Duration::from_millis(300));
    let found = in_memory(process, &words).expect("it could be read before");
    assert_eq!(found, Vec::<&str>::new(), "in the memory of a locked client");
    assert!(!screen.text().contains("heron"), "{}", screen.text());
    screen.types(&format!("{PASSPHRASE}\r"));
    screen.shows("nineteen white herons");
    screen.types("/quit\r");
    assert!(screen.ends());
}

/// Files below a folder with these bytes in their names or in them.
fn with_bytes(dir: &Path, word: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(with_bytes(&path, word));
            continue;
        }
        let inside = fs::read(&path).is_ok_and(|bytes| bytes.windows(word.len()).any(|some| some == word));
        if inside || path.to_string_lossy().as_bytes().windows(word.len()).any(|some| some == word) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn a_burnt_profile_leaves_no_room_no_index_and_no_half_of_a_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = dir.path().join("relay.toml");
    // A megabyte a second, so that there is a middle.
    let slow = "[limits]\nfile_up = { per_minute = 60000000, burst = 1000000 }\nfile_down = { per_minute = 60000000, burst = 1000000 }\n";
    fs::write(&config, slow).expect("written");
    let relay = Relay::start_with(&dir.path().join("relay"), "127.0.0.1:0", Some(&config));
    let (mut ada, mut ben) = club(dir.path(), &relay);
    let id = gives(dir.path(), &mut ben, 8_000_000);
    let folder = dir.path().join("saved");
    ada.told("message", |line| line["id"] == id);
    ada.ask("save_file", json!({"id": id, "folder": folder})).expect("begun");
    ada.told("file", |file| {
        file["id"] == id
            && file["state"] == "downloading"
            && file["done"].as_u64().is_some_and(|done| done > 0)
    });
    let half = with_bytes(&folder, b"mooncalf society");
    assert_eq!(half.len(), 1, "a part of it is there, hidden: {half:?}");
    ada.ask("burn", json!({"name": "ada", "sure": true})).expect("burnt");
    assert_eq!(with_bytes(&folder, b"mooncalf"), [""; 0], "nothing of a half file stays");
    let profile = dir.path().join(ADA);
    for word in ["heron", "mooncalf", "quicksilver", "walnut"] {
        assert_eq!(with_bytes(&profile, word.as_bytes()), [""; 0], "{word}");
    }
    assert_eq!(ada.ask("status", json!({})).expect("told")["profile"], "absent");
}

#[test]
fn an_export_has_rooms_and_says_who_wrote_each_line() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let (mut ada, mut ben) = club(dir.path(), &relay);
    let said = ada.ask("say", json!({"room": "#heronry", "text": "I counted twenty"})).expect("said");
    ben.told("message", |line| line["id"] == said["id"]);
    let id = gives(dir.path(), &mut ben, 1_000);
    ada.told("message", |line| line["id"] == id);
    let path = |name: &str| dir.path().join(name);
    for name in ["club.txt", "club.md", "club.json"] {
        ada.ask("export", json!({"with": "#heronry", "path": path(name)})).expect("written");
    }
    let text = fs::read_to_string(path("club.txt")).expect("there");
    assert!(text.starts_with("subrosa: conversation of ada with #heronry\n"), "{text}");
    assert!(text.contains(" ben: nineteen white herons crossed the frozen lake\n"), "{text}");
    assert!(text.contains(" ada: I counted twenty\n"), "{text}");
    assert!(text.contains(" ben: mooncalf-ledger.bin (1.0 kB)\n    burnished walnut\n"), "{text}");
    assert!(text.contains(" *: you added ben\n"), "{text}");
    let text = fs::read_to_string(path("club.md")).expect("there");
    assert!(text.contains("**ben**") && text.contains("> nineteen white herons"), "{text}");
    let text = fs::read_to_string(path("club.json")).expect("there");
    let value: Value = serde_json::from_str(&text).expect("JSON");
    let lines = value["conversations"][0]["lines"].as_array().expect("a list").clone();
    let by = |text: &str| {
        let line =
            lines.iter().find(|line| line["text"] == text).unwrap_or_else(|| panic!("{text}: {lines:?}"));
        (line["by"].clone(), line["author"].clone())
    };
    assert_eq!(by("nineteen white herons crossed the frozen lake"), (json!("ben"), json!("them")));
    assert_eq!(by("I counted twenty"), (json!("ada"), json!("me")));
    assert_eq!(value["conversations"][0]["with"], "#heronry");
    // The same by the shell, with nobody running.
    assert!(ada.end().1);
    let export = |arguments: &[&str]| {
        let mut command = subrosa(&path(ADA));
        command
            .args(["export", "history"])
            .args(arguments)
            .current_dir(dir.path())
            .env("SUBROSA_PASSPHRASE", PASSPHRASE);
        command.output().expect("starts")
    };
    assert!(export(&["all.txt"]).status.success());
    let text = fs::read_to_string(path("all.txt")).expect("there");
    assert!(text.contains("subrosa: conversation of ada with #heronry\n"), "{text}");
    assert!(text.contains(" ben: nineteen white herons crossed the frozen lake\n"), "{text}");
    // One room alone, as `send` and `tail` take it.
    assert!(export(&["alone.txt", "--with", "#Heronry"]).status.success());
    let text = fs::read_to_string(path("alone.txt")).expect("there");
    assert!(text.starts_with("subrosa: conversation of ada with #heronry\n"), "{text}");
    let missed = export(&["no.txt", "--with", "#tea"]);
    let said = String::from_utf8_lossy(&missed.stderr);
    assert!(!missed.status.success() && said.contains("there is no room #tea"), "{said}");
    assert!(!path("no.txt").exists());
}
