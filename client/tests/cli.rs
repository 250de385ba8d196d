//! The program's front door: what it says to people without a terminal.

use std::process::{Command, Output, Stdio};

fn subrosa(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_subrosa"));
    command.args(args).stdin(Stdio::null()).output().expect("starts")
}

#[test]
fn help_and_version_are_complete() {
    let help = String::from_utf8(subrosa(&["--help"]).stdout).expect("text");
    for word in ["demo", "rpc", "send", "tail", "--profile", "--config", "F1"] {
        assert!(help.contains(word), "{word} is missing in {help}");
    }
    let version = String::from_utf8(subrosa(&["--version"]).stdout).expect("text");
    assert!(version.starts_with("subrosa "), "{version}");
}

#[test]
fn without_a_terminal_it_says_what_works_without_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let profile = dir.path().join("profile");
    let out = subrosa(&["--profile", profile.to_str().expect("text")]);
    assert!(!out.status.success() && out.stdout.is_empty());
    let said = String::from_utf8(out.stderr).expect("text");
    assert!(said.contains("needs a terminal") && said.contains("subrosa demo"), "{said}");
    assert!(!profile.exists(), "nothing was made");
}

#[test]
fn a_settings_file_that_is_not_there_is_a_sentence() {
    let out = subrosa(&["--config", "/nowhere/client.toml", "rpc"]);
    assert!(!out.status.success());
    let said = String::from_utf8(out.stderr).expect("text");
    assert!(said.contains("/nowhere/client.toml"), "{said}");
}
