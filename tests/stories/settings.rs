//! Settings of scripts: what came with a backup holds until a file says otherwise.

use crate::real::joined;
use serde_json::json;
use std::fs;
use std::process::Command;
use subrosa::chat::backup::SETTINGS;
use subrosa::chat::talk::ACCOUNT;
use subrosa_shared::store::Batch;
use subrosa_shared::store::profile::Profile;
use subrosa_tests::real::{Client, Relay, subrosa};

/// Of those who join.
const PASSPHRASE: &str = "a good passphrase";

/// Whether Ben saw Ada come before he heard this from her.
fn came(ben: &mut Client, text: &str) -> bool {
    ben.take(text, |value| {
        let params = &value["params"];
        let came = value["method"] == "presence" && params["with"] == "ada" && params["online"] == true;
        let heard = value["method"] == "message" && params["text"] == text;
        (came || heard).then_some(came)
    })
}

/// Ben sees Ada go.
fn leaves(ben: &mut Client) {
    ben.told("presence", |presence| presence["with"] == "ada" && presence["online"] == false);
}

#[test]
fn settings_that_came_with_a_backup_hold_for_scripts_and_yield_to_a_settings_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let mut ada = joined(dir.path(), "ada", &relay.link);
    let mut ben = joined(dir.path(), "ben", &relay.link);
    ada.ask("add", json!({"name": "ben"})).expect("known");
    ben.ask("add", json!({"name": "ada"})).expect("known");
    ben.told("presence", |presence| presence["with"] == "ada" && presence["online"] == true);
    assert!(ada.end().1);
    leaves(&mut ben);

    let profile = dir.path().join("ada");
    let opened = Profile::open(&profile, PASSPHRASE).expect("opens");
    let mut batch = Batch::default();
    batch.put(ACCOUNT, SETTINGS, b"[privacy]\npresence = false\n".to_vec());
    opened.store.commit(&batch).expect("written");
    drop(opened);
    // What is usual anyway, but said.
    let file = dir.path().join("client.toml");
    fs::write(&file, "[privacy]\npresence = true\n").expect("written");

    for file in [None, Some(&file)] {
        let shown = file.is_some();
        let with_file = |mut command: Command| {
            if let Some(file) = file {
                command.arg("--config").arg(file);
            }
            command
        };
        let text = format!("a bot, {shown}");
        let mut bot = Client::start_as(with_file(Client::command(&profile)));
        bot.unlocks(PASSPHRASE);
        bot.ask("send", json!({"to": "ben", "text": text})).expect("sent");
        assert_eq!(came(&mut ben, &text), shown, "subrosa rpc");
        assert!(bot.end().1);
        if shown {
            leaves(&mut ben);
        }

        let text = format!("a shell, {shown}");
        let said = dir.path().join("said.txt");
        fs::write(&said, &text).expect("written");
        let mut shell = with_file(subrosa(&profile));
        shell.args(["send", "ben"]).env("SUBROSA_PASSPHRASE", PASSPHRASE);
        let sent = shell.stdin(fs::File::open(&said).expect("there")).output().expect("starts");
        assert!(sent.status.success(), "{sent:?}");
        assert_eq!(came(&mut ben, &text), shown, "subrosa send");
        if shown {
            leaves(&mut ben);
        }
    }
}
