//! The program's front door: what it says to people.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

fn relay(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_subrosa-relay")).args(args).output().expect("starts")
}

#[test]
fn help_and_version_are_complete() {
    let help = String::from_utf8(relay(&["run", "--help"]).stdout).expect("text");
    for option in ["--config", "--listen", "--data", "--host"] {
        assert!(help.contains(option), "{help}");
    }
    let version = String::from_utf8(relay(&["--version"]).stdout).expect("text");
    assert!(version.starts_with("subrosa-relay "), "{version}");
}

#[test]
fn a_bad_setting_is_a_sentence_with_key_and_line() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("relay.toml");
    std::fs::write(&path, "motd = \"hi\"\nlisten_to = 3\n").expect("written");
    let out = relay(&["run", "--config", path.to_str().expect("text")]);
    assert!(!out.status.success() && out.stdout.is_empty());
    let said = String::from_utf8(out.stderr).expect("text");
    assert!(said.contains("listen_to") && said.contains("line 2") && said.contains("relay.toml"), "{said}");
}

#[test]
fn a_folder_of_something_else_is_left_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = dir.path().join("store");
    std::fs::create_dir(&store).expect("made");
    std::fs::write(store.join("novel.txt"), "chapter one").expect("written");
    let data = dir.path().to_str().expect("text");
    let out = relay(&["run", "--listen", "127.0.0.1:0", "--data", data]);
    assert!(!out.status.success());
    let said = String::from_utf8(out.stderr).expect("text");
    assert!(said.contains("--data"), "{said}");
    assert_eq!(std::fs::read_dir(&store).expect("there").count(), 1, "nothing was added");
}

#[test]
fn it_prints_its_link_once_ready_and_keeps_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    let data = data.to_str().expect("text");
    let early = relay(&["link", "--data", data]);
    let said = String::from_utf8(early.stderr).expect("text");
    assert!(!early.status.success() && said.contains("no relay has run in"), "{said}");
    assert!(!said.contains("os error"), "{said}");
    let mut child = Command::new(env!("CARGO_BIN_EXE_subrosa-relay"))
        .args(["run", "--listen", "127.0.0.1:0", "--data", data])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    assert!(line.starts_with("subrosa://127.0.0.1:"), "{line}");
    let second = relay(&["run", "--listen", "127.0.0.1:0", "--data", data]);
    let said = String::from_utf8(second.stderr).expect("text");
    assert!(said.contains("another relay is using"), "{said}");
    child.kill().expect("ends");
    child.wait().expect("ended");
    let stored = String::from_utf8(relay(&["link", "--data", data]).stdout).expect("text");
    assert_eq!(stored, line);
    let path = |name: &str| dir.path().join(name).to_str().expect("text").to_owned();
    let (backup, restored) = (path("backup"), path("restored"));
    assert!(relay(&["backup", &backup, "--data", data]).status.success());
    let out = relay(&["restore", &backup, "--data", &restored]);
    let said = String::from_utf8(out.stdout).expect("text");
    assert!(out.status.success() && said.contains("check` names fewer records"), "{said}");
    let out = relay(&["link", "--data", &restored]);
    let said = String::from_utf8(out.stderr).expect("text");
    assert!(!out.status.success() && said.contains("has not run there yet"), "{said}");
}

#[test]
fn figures_that_nobody_serves_were_missed_without_a_place_and_twice() {
    let out = relay(&["top", "--once", "--metrics", "127.0.0.1:1"]);
    let said = String::from_utf8(out.stderr).expect("text");
    assert!(!out.status.success() && said.contains("127.0.0.1:1: "), "{said}");
    assert!(said.contains("[metrics]") && said.matches("refused").count() <= 1, "{said}");
}
