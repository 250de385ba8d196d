//! The systemd unit as systemd itself reads it, where its tools are; elsewhere that is said and skipped.

#[path = "../../tests/harness/skip.rs"]
mod skip;

use skip::skipped;
use std::path::Path;
use std::process::{Command, Output};

const UNIT: &str = include_str!("../../config/subrosa-relay.service");

/// What systemd says of the unit, with this program in place of the installed one; `None` without systemd.
fn asks(dir: &Path, args: &[&str]) -> Option<Output> {
    let unit = dir.join("subrosa-relay.service");
    let text = UNIT.replace("/usr/local/bin/subrosa-relay", env!("CARGO_BIN_EXE_subrosa-relay"));
    std::fs::write(&unit, text).expect("written");
    let asked = Command::new("systemd-analyze").args(args).arg(&unit).env("SYSTEMD_COLORS", "0").output();
    asked.inspect_err(|_| skipped("there is no systemd-analyze here")).ok()
}

fn words(output: &Output) -> String {
    let [out, error] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    out + &error
}

#[test]
fn systemd_takes_every_line_of_the_unit() {
    let dir = tempfile::tempdir().expect("a folder");
    let Some(verified) = asks(dir.path(), &["verify"]) else { return };
    let said = words(&verified);
    // Other units of the machine are none of ours.
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("subrosa")).collect();
    assert!(ours.is_empty(), "{said}");
    // It can say no.
    let broken = dir.path().join("broken.service");
    std::fs::write(&broken, UNIT.replace("ProtectProc=", "ProtectProcs=")).expect("written");
    let verified = Command::new("systemd-analyze").arg("verify").arg(&broken).output().expect("it is there");
    assert!(words(&verified).contains("ProtectProcs"), "{}", words(&verified));
}

#[test]
fn what_systemd_calls_exposed_is_what_a_relay_needs() {
    let dir = tempfile::tempdir().expect("a folder");
    // At most 1.5 of 10, or it ends with a fault.
    let args = ["security", "--offline=true", "--threshold=15", "--no-pager"];
    let Some(exposed) = asks(dir.path(), &args) else { return };
    let said = words(&exposed);
    if said.contains("unrecognized option") {
        return skipped("this systemd cannot judge a unit that is not running");
    }
    assert!(exposed.status.success(), "{said}");
    for needs in ["User=/DynamicUser=", "NoNewPrivileges=", "ProtectSystem=", "MemoryDenyWriteExecute="] {
        assert!(said.lines().any(|line| line.starts_with('✓') && line.contains(needs)), "{needs}: {said}");
    }
}

#[test]
fn what_the_unit_runs_is_what_the_program_takes() {
    for line in UNIT.lines().filter_map(|line| line.strip_prefix("Exec")) {
        let (_, command) = line.split_once('=').expect("a command");
        let verb = command.split(' ').nth(1).expect("a verb");
        let help = Command::new(env!("CARGO_BIN_EXE_subrosa-relay")).args([verb, "--help"]).output();
        let help = String::from_utf8(help.expect("it starts").stdout).expect("text");
        let flags = command.split(' ').filter(|word| word.starts_with("--"));
        for flag in flags {
            assert!(help.contains(flag), "{verb} {flag}");
        }
    }
}
