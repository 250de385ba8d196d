//! The program's front door: what it says to people without a terminal.

use rustix::process::{Pid, Signal, kill_process};
use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};

fn subrosa(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_subrosa"));
    command.args(args).stdin(Stdio::null()).output().expect("starts")
}

#[test]
fn help_and_version_are_complete() {
    let help = String::from_utf8(subrosa(&["--help"]).stdout).expect("text");
    for word in ["demo", "login", "rpc", "send", "tail", "video", "--profile", "--config", "F1"] {
        assert!(help.contains(word), "{word} is missing in {help}");
    }
    let version = String::from_utf8(subrosa(&["--version"]).stdout).expect("text");
    assert!(version.starts_with("subrosa "), "{version}");
}

#[test]
fn the_walk_of_one_message_shows_every_step_and_every_refusal() {
    let out = subrosa(&["demo", "crypto"]);
    let said = String::from_utf8(out.stdout).expect("text");
    assert!(out.status.success(), "{said}");
    assert!(!said.contains('\x1b'), "no colours in a pipe");
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    for title in [
        "Two people, two keys each",
        "The vault",
        "The link to the relay",
        "Ada logs in",
        "prekey waits at the relay",
        "letter becomes a body",
        "A secret that outlives quantum computers",
        "One message starts a session",
        "The envelope leaves",
        "A night in the mailbox",
        "Ben opens it, once",
        "The stream, a new key for each message",
        "disk is stolen",
        "A picture of a call",
        "Is it really ben?",
    ] {
        assert!(said.contains(title), "{title} is missing in {said}");
    }
    for name in
        ["ML-KEM-768", "Noise_Xpsk0_25519_AESGCM_SHA256", "REKEY", "Argon2id", "SFrame", "X25519MLKEM768"]
    {
        assert!(said.contains(name), "{name} is missing in {said}");
    }
    assert!(said.contains("all of them refused") && !said.contains("NOT REFUSED"), "{said}");
}

#[test]
fn the_walk_is_also_told_as_json() {
    let out = subrosa(&["demo", "crypto", "--json"]);
    assert!(out.status.success());
    let said = String::from_utf8(out.stdout).expect("text");
    let steps: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    assert_eq!(steps.len(), 15);
    for step in steps {
        let flips = step["flips"].as_array().expect("what was tried");
        assert!(!flips.is_empty() && flips.iter().all(|flip| flip["refused"].is_string()), "{step}");
    }
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

/// What it answers or says that is asked one thing, with the profile's passphrase.
fn asked(profile: &Path, args: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_subrosa"));
    command.arg("--profile").arg(profile).args(args);
    command.env("SUBROSA_PASSPHRASE", "a good passphrase").env("SUBROSA_TEST_VAULT_COST", "small");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    // Who refuses the command line reads nothing.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    child.wait_with_output().expect("ends")
}

#[test]
fn scripts_could_not_follow_a_relay_that_had_moved() {
    let dir = tempfile::tempdir().expect("a folder");
    let profile = dir.path().join("profile");
    // Nobody answers there.
    let link = |port: u16, key: &str| format!("subrosa://127.0.0.1:{port}/#{key}{}", "a".repeat(51));
    let (old, new, other) = (link(9, "a"), link(10, "a"), link(10, "b"));
    let rpc = |args: &[&str], method: &str, mut params: serde_json::Value| {
        params["passphrase"] = "a good passphrase".into();
        params["wait"] = serde_json::json!(0);
        let request = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let out = asked(&profile, &[args, &["rpc"]].concat(), &format!("{request}\n"));
        let said = String::from_utf8(out.stdout).expect("text");
        serde_json::from_str::<serde_json::Value>(said.lines().next().expect("an answer")).expect("JSON")
    };
    let made = rpc(&[], "register", serde_json::json!({"name": "ada", "relay": old}));
    assert_eq!(made["result"]["relay"], old, "{made}");
    let unlock = |args: &[&str]| rpc(args, "unlock", serde_json::json!({}));
    assert_eq!(unlock(&["--relay", "here"])["result"]["relay"], old);
    let refused = unlock(&["--relay", &other]);
    assert!(refused["error"]["message"].as_str().is_some_and(|why| why.contains("another key")), "{refused}");
    for one in [["send", "ben"], ["tail", "ben"]] {
        let out = asked(&profile, &[&["--relay", other.as_str()], &one[..]].concat(), "are you there?\n");
        let said = String::from_utf8(out.stderr).expect("text");
        assert!(out.status.code() == Some(6) && said.contains("another key"), "{one:?}: {said}");
    }
    assert_eq!(unlock(&["--relay", &new])["result"]["relay"], new);
    assert_eq!(unlock(&[])["result"]["relay"], new);
    for none in [&["demo", "crypto"][..], &["burn"], &["import", "keys.txt"]] {
        let out = asked(&profile, &[&["--relay", new.as_str()], none].concat(), "");
        let said = String::from_utf8(out.stderr).expect("text");
        assert!(!out.status.success() && said.contains("--relay goes with"), "{none:?}: {said}");
    }
}

#[test]
fn a_machine_was_linked_with_a_passphrase_that_no_other_door_takes() {
    let dir = tempfile::tempdir().expect("a folder");
    let profile = dir.path().join("profile");
    // Nobody answers there, and nobody is asked.
    let link = format!("subrosa://127.0.0.1:9/#{}", "a".repeat(52));
    for passphrase in ["", "seven77"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_subrosa"));
        command.args(["link", "--show", &link, "--profile"]).arg(&profile);
        command.env("SUBROSA_PASSPHRASE", passphrase).stdin(Stdio::null());
        let out = command.output().expect("starts");
        let said = String::from_utf8(out.stderr).expect("text");
        assert!(!out.status.success() && said.contains("at least 8 characters"), "{said}");
        assert!(out.stdout.is_empty() && !profile.exists(), "no code was shown, and nothing was made");
    }
}

/// Eight pictures of 40 by 32 samples that change, as y4m.
fn y4m() -> Vec<u8> {
    let mut bytes = b"YUV4MPEG2 W40 H32 F10:1 C420jpeg\n".to_vec();
    for tick in 0..8u32 {
        bytes.extend(b"FRAME\n");
        bytes.extend((0..40 * 32).map(|at| (60 + (at % 40 + at / 40 + tick * 2) * 2) as u8));
        bytes.extend([128; 2 * 20 * 16]);
    }
    bytes
}

#[test]
fn a_video_is_encoded_and_decoded_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name).to_str().expect("text").to_string();
    let (film, reel, back) = (path("film.y4m"), path("film.reel"), path("back.y4m"));
    std::fs::write(&film, y4m()).expect("written");
    let encode = subrosa(&["video", "encode", &film, &reel, "--size", "40x32", "--quality", "8"]);
    let said = String::from_utf8(encode.stderr).expect("text");
    assert!(encode.status.success() && said.contains("40x32, 10 a second: 8 pictures"), "{said}");
    let bytes = std::fs::read(&reel).expect("a reel");
    assert!(bytes.starts_with(b"subreel\x01\x0a\x00\x28\x00\x20"));
    assert!(bytes.len() < y4m().len() / 4, "{} bytes", bytes.len());
    let decode = subrosa(&["video", "decode", &reel, &back]);
    assert!(decode.status.success(), "{}", String::from_utf8_lossy(&decode.stderr));
    let decoded = std::fs::read(&back).expect("a film");
    let (start, old) = (decoded.len() - 8 * (6 + 40 * 32 * 3 / 2), y4m());
    let frame = |film: &[u8], start: usize, at: usize| {
        let from = start + at * (6 + 40 * 32 * 3 / 2) + 6;
        film[from..from + 40 * 32].to_vec()
    };
    for at in 0..8 {
        let (new, old) = (frame(&decoded, start, at), frame(&old, old.len() - 8 * (6 + 40 * 32 * 3 / 2), at));
        let error: u32 = new.iter().zip(&old).map(|(a, b)| u32::from(a.abs_diff(*b)).pow(2)).sum();
        assert!(error / (40 * 32) < 20, "picture {at}: a mean squared error of {}", error / (40 * 32));
    }
    let cut = path("cut.reel");
    std::fs::write(&cut, &bytes[..bytes.len() - 1]).expect("written");
    let decode = subrosa(&["video", "decode", &cut, &back, "--force"]);
    let said = String::from_utf8(decode.stderr).expect("text");
    assert!(decode.status.code() == Some(1) && said.contains("cut off inside picture 8"), "{said}");
    assert!(said.contains("7 pictures") && std::fs::read(&back).expect("kept").len() < decoded.len());
    let again = subrosa(&["video", "encode", &film, &reel]);
    let said = String::from_utf8(again.stderr).expect("text");
    assert!(!again.status.success() && said.contains("--force"), "{said}");
    assert!(subrosa(&["video", "encode", &film, &reel, "--kbps", "20", "--force"]).status.success());
    let bench =
        String::from_utf8(subrosa(&["video", "bench", &film, "--size", "40x32"]).stdout).expect("text");
    assert!(bench.lines().count() == 6 && bench.contains("kbit/s") && bench.contains("film.y4m"), "{bench}");
}

#[test]
fn video_goes_through_pipes() {
    let piped = |args: &[&str], input: &[u8]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_subrosa"));
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        child.stdin.take().expect("a pipe").write_all(input).expect("read to the end");
        child.wait_with_output().expect("ends")
    };
    let reel = piped(&["video", "encode", "-", "-", "--size", "40x32"], &y4m());
    assert!(reel.status.success() && reel.stdout.starts_with(b"subreel"));
    let film = piped(&["video", "decode", "-", "-"], &reel.stdout);
    assert!(film.status.success() && film.stdout.starts_with(b"YUV4MPEG2 W40 H32 F10:1"));
}

/// One of 320 by 200 samples, as y4m.
fn picture() -> Vec<u8> {
    [&b"FRAME\n"[..], &[90; 320 * 200 * 3 / 2]].concat()
}

/// An encoder in the middle of a picture behind so many whole ones, of which nothing more comes.
fn stalled(reel: &Path, whole: usize) -> (Child, ChildStdin) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_subrosa"));
    command.args(["video", "encode", "-"]).arg(reel);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let mut input = child.stdin.take().expect("a pipe");
    let picture = picture();
    input.write_all(b"YUV4MPEG2 W320 H200 F10:1 C420jpeg\n").expect("read");
    input.write_all(&picture.repeat(whole)).expect("read");
    // More than a pipe and a buffer hold: those before were read to their end when this is done.
    input.write_all(&picture[..picture.len() - 1000]).expect("read");
    (child, input)
}

/// How it ended, and what it said.
fn ended(child: Child) -> (bool, String) {
    let out = child.wait_with_output().expect("ends");
    (out.status.success(), String::from_utf8(out.stderr).expect("text"))
}

/// How many pictures the reel has; nothing lies beside it.
fn pictures(reel: &Path) -> usize {
    let back = subrosa(&["video", "decode", reel.to_str().expect("text"), "-"]);
    assert!(back.status.success(), "{}", String::from_utf8_lossy(&back.stderr));
    assert!(back.stdout.starts_with(b"YUV4MPEG2 W80 H48"));
    let folder = reel.parent().expect("it lies in a folder");
    assert_eq!(std::fs::read_dir(folder).expect("a folder").count(), 1);
    back.stdout.windows(6).filter(|bytes| bytes == b"FRAME\n").count()
}

#[test]
fn who_interrupts_an_encoder_keeps_what_was_filmed() {
    let dir = tempfile::tempdir().expect("a folder");
    let reel = dir.path().join("film.reel");
    let (child, mut input) = stalled(&reel, 1);
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    // The camera goes on, for as long as somebody reads.
    let mut rest = vec![90; 1000];
    while input.write_all(&rest).is_ok() {
        rest = picture();
    }
    let (well, said) = ended(child);
    assert!(well && said.starts_with("ended early"), "{said}");
    assert!(pictures(&reel) > 0);
}

#[test]
fn an_encoder_whose_camera_hung_lost_what_was_filmed_or_did_not_end() {
    for signals in [&[Signal::INT, Signal::INT][..], &[Signal::TERM]] {
        let dir = tempfile::tempdir().expect("a folder");
        let reel = dir.path().join("film.reel");
        let (child, input) = stalled(&reel, 1);
        for signal in signals {
            kill_process(Pid::from_child(&child), *signal).expect("it runs");
        }
        let (well, said) = ended(child);
        assert!(well && said.starts_with("ended early"), "{signals:?}: {said}");
        assert_eq!(pictures(&reel), 1);
        drop(input);
    }
}

#[test]
fn an_encoder_to_which_no_picture_came_leaves_nothing_behind() {
    let dir = tempfile::tempdir().expect("a folder");
    let (child, input) = stalled(&dir.path().join("film.reel"), 0);
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
    let (well, said) = ended(child);
    assert!(!well && said.contains("there is nothing to keep"), "{said}");
    assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 0);
    drop(input);
}

#[test]
fn what_is_no_video_is_refused_with_the_next_step() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name).to_str().expect("text").to_string();
    let (text, out) = (path("notes.txt"), path("out"));
    std::fs::write(&text, "no video at all, and long enough to be one\n").expect("written");
    let refused = [
        (vec!["encode", text.as_str(), &out], "not a y4m stream"),
        (vec!["encode", "/nowhere/a.gif", &out], "/nowhere/a.gif"),
        (vec!["encode", &text, &out, "--size", "8x8"], "16x16 to 320x200"),
        (vec!["encode", &text, &out, "--fps", "99"], "1..=30"),
        (vec!["encode", &text, &out, "--kbps", "8", "--quality", "9"], "cannot be used with"),
        (vec!["decode", &text, &out], "not a reel"),
        (vec!["decode", "/nowhere/a.reel", &out], "/nowhere/a.reel"),
        (vec!["bench", &text], "not a y4m stream"),
        (vec!["bench"], "FILE"),
    ];
    for (args, word) in refused {
        let run = subrosa(&[&["video"], &args[..]].concat());
        let said = String::from_utf8(run.stderr).expect("text");
        assert!(!run.status.success() && said.contains(word), "{args:?}: {said}");
        assert!(!dir.path().join("out").exists(), "{args:?} left something behind");
    }
}
