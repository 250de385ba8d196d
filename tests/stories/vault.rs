//! A client that is locked, and what is left of it; profiles that are destroyed.

use crossterm::event::{KeyCode, KeyModifiers};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use subrosa::chat::Link;
use subrosa::chat::expiry::TEXTS;
use subrosa::chat::talk::ACCOUNT;
use subrosa::config::Config;
use subrosa::effect::Happened;
use subrosa::event::Event;
use subrosa::lock::Leaving;
use subrosa::ui::command::Command;
use subrosa_shared::id::AccountName;
use subrosa_shared::session::timed::{Chain, SLOT_KIND};
use subrosa_shared::store::Order;
use subrosa_shared::store::profile::Profile;
use subrosa_tests::World;
use subrosa_tests::pty::Terminal;
use subrosa_tests::real::{self, Client, Relay, program};
use subrosa_tests::skip::skipped;

pub(crate) const PASSPHRASE: &str = "seven roses under one roof";

// ---- in the world

/// Ada has said «hello» to Ben, and has that open.
fn ada_with_ben(seed: u64) -> World {
    let mut world = World::with(seed, &["ada", "ben"]);
    world.says("ada", "ben", "hello");
    world.settle();
    let ben = world.app("ada").chat().with(&name("ben")).expect("there").id;
    world.commands("ada", Command::Open(ben));
    world
}

#[test]
fn a_locked_client_is_away_and_gets_everything_when_it_is_unlocked() {
    let mut world = World::with(1, &["ada", "ben"]);
    world.says("ben", "ada", "hello");
    world.settle();
    let ben = world.app("ada").chat().with(&name("ben")).expect("there").id;
    world.commands("ada", Command::Open(ben));
    world.types("ada", "half a draft");
    world.press("ada", KeyCode::Char('l'), KeyModifiers::ALT);
    world.settle();
    assert!(!world.alive("ada"), "nothing of the client is left");
    world.notified("ada");
    world.told("ben");
    for i in 0..300 {
        world.says("ben", "ada", &format!("while you are away {i}"));
    }
    world.settle();
    assert_eq!(world.notified("ada"), Vec::<String>::new(), "bells are quiet");
    let gone = world.app("ben").chat().rooms[0].online;
    assert!(!gone, "nobody is told that she is here");
    // Unlocking is starting: there is nothing else to go on from.
    world.starts("ada");
    world.settle();
    assert_eq!(world.timeline("ada", "ben").len(), 301);
    assert_eq!(world.timeline("ada", "ben")[300], "while you are away 299");
    assert!(world.screen("ada", 80, 20).contains("half a draft"), "the draft was kept, sealed");
    assert_eq!(world.app("ben").chat().link, Link::Online);
}

#[test]
fn it_locks_whatever_lies_on_top() {
    let mut world = World::with(6, &["ada", "ben"]);
    world.says("ben", "ada", "hello");
    world.settle();
    for typed in ["/status", "/files", "/search hello", "/password", "/switch"] {
        world.types("ada", &format!("{typed}\n"));
        world.press("ada", KeyCode::Char('l'), KeyModifiers::ALT);
        world.settle();
        assert!(!world.alive("ada"), "{typed}");
        world.starts("ada");
        world.settle();
    }
}

#[test]
fn it_locks_by_itself_when_nobody_presses_a_key_but_not_in_a_call() {
    let mut world = World::new(2);
    world.joins_with("ada", Config::default());
    world.joins("ben");
    world.settle();
    world.says("ben", "ada", "hello");
    world.settle();
    world.types("ada", "x");
    world.passes(14 * 60_000);
    assert!(world.alive("ada"));
    world.types("ada", "y");
    // What comes in is no sign of a person.
    world.says("ben", "ada", "are you there?");
    world.passes(14 * 60_000);
    assert!(world.alive("ada"));
    world.passes(61_000);
    assert!(!world.alive("ada"), "a quarter of an hour");
    world.starts("ada");
    world.settle();
    let ben = world.app("ada").chat().with(&name("ben")).expect("there").id;
    world.commands("ada", Command::Open(ben));
    world.commands("ada", Command::Video(None));
    world.settle();
    world.commands("ben", Command::Answer(None));
    world.passes(40 * 60_000);
    assert!(world.alive("ada") && world.app("ada").chat().call.is_some(), "they watch");
    world.commands("ben", Command::Hangup);
    world.passes(14 * 60_000);
    assert!(world.alive("ada"));
    world.passes(2 * 60_000);
    assert!(!world.alive("ada"));
}

#[test]
fn ringing_keeps_nobody_unlocked() {
    let mut world = World::new(3);
    world.joins_with("ada", Config::default());
    world.joins("ben");
    world.settle();
    world.says("ben", "ada", "hello");
    world.settle();
    let ada = world.app("ben").chat().with(&name("ada")).expect("there").id;
    world.commands("ben", Command::Open(ada));
    world.types("ada", "x");
    world.passes(10 * 60_000);
    let rings = |world: &mut World| {
        world.commands("ben", Command::Video(None));
        world.passes(5_000);
        assert!(world.app("ada").chat().call.is_some());
    };
    rings(&mut world);
    world.commands("ben", Command::Hangup);
    world.passes(285_000);
    assert!(world.alive("ada") && world.app("ada").chat().call.is_none());
    rings(&mut world);
    world.passes(6_000);
    assert!(!world.alive("ada"), "a quarter of an hour after her last key, in the midst of the ringing");
}

#[test]
fn locking_in_a_call_ends_it_and_off_is_off() {
    let mut world = ada_with_ben(3);
    world.commands("ada", Command::Video(None));
    world.settle();
    world.commands("ben", Command::Answer(None));
    world.settle();
    world.told("ben");
    world.commands("ada", Command::Lock);
    world.settle();
    assert!(!world.alive("ada"));
    let over =
        world.told("ben").into_iter().any(|happened| matches!(happened, Happened::Call { state: None, .. }));
    assert!(over, "the call is over for ben too");
    world.starts("ada");
    world.passes(30 * 3_600_000);
    assert!(world.alive("ada"), "off is off");
}

#[test]
fn a_burn_wants_the_own_name_and_then_a_yes() {
    let mut world = World::with(4, &["ada", "ben"]);
    world.types("ada", "/burn\n");
    assert!(world.screen("ada", 100, 30).contains("/burn ada"));
    world.press("ada", KeyCode::Esc, KeyModifiers::NONE);
    world.types("ada", "/burn ben\n");
    assert!(world.screen("ada", 100, 30).contains("/burn ada"), "a wrong name is asked again");
    world.press("ada", KeyCode::Esc, KeyModifiers::NONE);
    world.types("ada", "/burn ada\nn");
    assert!(world.alive("ada"));
    assert_eq!(world.app("ada").leaving(), None);
    world.types("ada", "/burn ada\ny");
    assert!(!world.alive("ada"));
}

#[test]
fn a_client_that_was_told_to_end_was_locked_instead() {
    for quits_first in [true, false] {
        let mut world = World::new(12);
        world.joins_with("ada", Config::default());
        world.joins("ben");
        world.settle();
        world.commands("ada", Command::Add(name("ben")));
        world.settle();
        world.types("ada", "half a draft");
        // The machine slept, and the disk takes its time.
        world.clock_off("ada", 3_600_000);
        world.disk_fills("ada");
        let mut events = [Event::Run(Command::Quit), Event::Wake];
        if !quits_first {
            events.reverse();
        }
        for event in events {
            world.event("ada", event);
        }
        assert_eq!(world.app("ada").leaving(), Some(Leaving::Quit), "quits first: {quits_first}");
    }
}

#[test]
fn what_a_full_disk_did_not_take_was_thrown_away_when_nobody_pressed_a_key() {
    let mut world = World::new(13);
    world.joins_with("ada", Config::default());
    world.joins("ben");
    world.settle();
    world.says("ada", "ben", "hello");
    world.settle();
    world.disk_fills("ada");
    world.says("ada", "ben", "not written yet");
    world.passes(40 * 60_000);
    assert_eq!(world.app("ada").leaving(), None, "it does not lock by itself");
    // Who leaves or locks is asked, once however often the keys are pressed.
    world.types("ada", "/quit\n");
    for _ in 0..2 {
        world.press("ada", KeyCode::Char('l'), KeyModifiers::ALT);
    }
    assert!(world.screen("ada", 100, 30).contains("The last changes are not on the disk yet"));
    world.types("ada", "n");
    assert!(!world.screen("ada", 100, 30).contains("The last changes are not on the disk yet"));
    world.press("ada", KeyCode::Char('d'), KeyModifiers::CONTROL);
    assert!(world.screen("ada", 100, 30).contains("The last changes are not on the disk yet"));
    world.types("ada", "n");
    assert_eq!(world.app("ada").leaving(), None);
    world.disk_empties("ada");
    world.settle();
    assert_eq!(world.timeline("ben", "ada"), ["hello", "not written yet"]);
    world.passes(16 * 60_000);
    assert!(!world.alive("ada"), "now it does");
}

#[test]
fn a_title_that_counted_counts_no_more() {
    let mut world = World::with(5, &["ada", "ben"]);
    world.event("ada", Event::Focus(false));
    world.says("ben", "ada", "hello");
    world.settle();
    assert_eq!(world.title("ada"), "(1) subrosa");
    world.commands("ada", Command::Lock);
    assert_eq!(world.title("ada"), "subrosa");
}

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("valid")
}

// ---- messages that disappear

#[test]
fn a_message_disappears_on_both_ends_after_it_was_read() {
    let mut world = World::with(6, &["ada", "ben"]);
    world.says("ada", "ben", "this stays");
    world.settle();
    let ben = world.app("ada").chat().with(&name("ben")).expect("there").id;
    world.commands("ada", Command::Open(ben));
    world.event("ben", Event::Focus(false));
    world.types("ada", "/expire 1h\n");
    world.types("ada", "this does not\n");
    world.settle();
    assert!(
        world.screen("ada", 100, 30).contains("you set messages to disappear 1 hour after they are read")
    );
    assert!(world.screen("ada", 100, 30).contains("disappears after 1 hour"));
    world.restarts("ada");
    world.settle();
    assert_eq!(world.timeline("ada", "ben"), ["this stays", "this does not"], "a restart takes nothing");
    world.press("ada", KeyCode::Up, KeyModifiers::NONE);
    assert!(!world.screen("ada", 100, 30).contains("› this does not"), "it is no input to repeat");
    // The author's copy runs since the relay has it; Ben has not looked.
    world.passes(3_700_000);
    assert_eq!(texts(&mut world, "ada", "ben"), ["this stays"]);
    assert_eq!(texts(&mut world, "ben", "ada"), ["this stays", "this does not"]);
    let ada = world.app("ben").chat().with(&name("ada")).expect("there").id;
    world.commands("ben", Command::Open(ada));
    world.event("ben", Event::Focus(true));
    world.settle();
    assert!(world.screen("ben", 100, 30).contains("ada set messages to disappear"));
    assert!(world.screen("ben", 100, 30).contains("this does not"));
    world.passes(3_500_000);
    assert_eq!(texts(&mut world, "ben", "ada").len(), 2, "not before its time");
    world.passes(200_000);
    assert_eq!(texts(&mut world, "ben", "ada"), ["this stays"]);
    for who in ["ada", "ben"] {
        let screen = world.screen(who, 100, 30);
        assert!(
            !screen.contains("this does not") && screen.contains("a message has disappeared"),
            "{screen}"
        );
    }
    // Ben answers under the same setting, and takes it back.
    world.types("ben", "neither does this\n/expire off\nbut this does\n");
    world.settle();
    world.passes(4_000_000);
    assert_eq!(texts(&mut world, "ada", "ben"), ["this stays", "but this does"]);
    assert_eq!(texts(&mut world, "ben", "ada"), ["this stays", "but this does"]);
}

/// What is still there.
fn texts(world: &mut World, who: &str, with: &str) -> Vec<String> {
    world.timeline(who, with).into_iter().filter(|text| !text.is_empty()).collect()
}

#[test]
fn what_became_due_while_the_client_was_closed_is_gone_before_anything_is_shown() {
    let mut world = ada_with_ben(7);
    world.types("ada", "/expire 5m\n");
    for i in 0..5 {
        world.types("ada", &format!("early {i}\n"));
    }
    world.settle();
    world.passes(200_000);
    for i in 0..5 {
        world.types("ada", &format!("late {i}\n"));
    }
    world.settle();
    world.kill("ada");
    world.passes(150_000);
    world.starts("ada");
    let screen = world.screen("ada", 100, 40);
    assert!(!screen.contains("early") && screen.contains("late 4"), "{screen}");
    world.settle();
    // The texts that stayed were sealed again, and are still read.
    world.restarts("ada");
    assert_eq!(texts(&mut world, "ada", "ben").len(), 6);
    world.passes(200_000);
    assert_eq!(texts(&mut world, "ada", "ben"), ["hello"]);
    let slots = world.disk("ada").slots.list(SLOT_KIND);
    assert!(slots.is_empty(), "no key is left when no text is");
}

#[test]
fn a_process_that_dies_at_any_step_loses_no_message_that_stays() {
    for steps in 0..40 {
        let mut world = ada_with_ben(8);
        world.types("ada", "/expire 5m\nearly\n");
        world.settle();
        world.passes(250_000);
        world.types("ada", "late\n");
        world.settle();
        world.kill_after("ada", steps);
        world.passes(60_000);
        if !world.alive("ada") {
            world.starts("ada");
        }
        world.settle();
        assert_eq!(texts(&mut world, "ada", "ben"), ["hello", "late"], "killed after {steps}");
        let disk = world.disk("ada");
        let sealed = disk.records.scan(TEXTS, &[], &[], Order::Forward, 9).expect("memory");
        let links: Vec<_> =
            disk.slots.list(SLOT_KIND).iter().filter_map(|(_, link)| Chain::read(link)).collect();
        assert_eq!((sealed.len(), links.len()), (1, 1));
        assert_eq!(links[0].behind(&sealed[0].1), 0, "killed after {steps}: the key before is still there");
    }
}

#[test]
fn a_process_that_dies_behind_the_records_of_two_disappearances_loses_no_message_that_stays() {
    for steps in 0..4 {
        let mut world = ada_with_ben(8);
        world.types("ada", "/expire 5m\nfirst\n");
        for text in ["second\n", "late\n"] {
            world.passes(100_000);
            world.types("ada", text);
        }
        world.settle();
        world.lags("ada");
        world.passes(220_000);
        assert_eq!(texts(&mut world, "ada", "ben").len(), 4, "on the disk nothing has disappeared yet");
        world.kill_after("ada", steps);
        world.catches_up("ada");
        world.restarts("ada");
        world.settle();
        assert_eq!(texts(&mut world, "ada", "ben"), ["hello", "late"], "killed after {steps}");
        let disk = world.disk("ada");
        let sealed = disk.records.scan(TEXTS, &[], &[], Order::Forward, 9).expect("memory");
        let links: Vec<_> =
            disk.slots.list(SLOT_KIND).iter().filter_map(|(_, link)| Chain::read(link)).collect();
        assert_eq!((sealed.len(), links.len()), (1, 1));
        assert_eq!(links[0].behind(&sealed[0].1), 0, "killed after {steps}: the key before is still there");
    }
}

#[test]
fn a_process_that_dies_while_the_last_message_disappears_leaves_no_key() {
    for steps in 0..20 {
        let mut world = ada_with_ben(9);
        world.types("ada", "/expire 5m\nsoon gone\n");
        world.settle();
        assert_eq!(world.disk("ada").slots.list(SLOT_KIND).len(), 1);
        world.passes(290_000);
        world.kill_after("ada", steps);
        world.passes(60_000);
        if !world.alive("ada") {
            world.starts("ada");
        }
        world.settle();
        assert_eq!(texts(&mut world, "ada", "ben"), ["hello"], "killed after {steps}");
        assert!(world.disk("ada").slots.list(SLOT_KIND).is_empty(), "killed after {steps}");
    }
}

#[test]
fn a_clock_that_is_set_back_keeps_no_message_longer() {
    for restarts in [false, true] {
        let mut world = World::with(10, &["ada", "ben"]);
        world.clock_off("ada", 31 * 24 * 3_600_000);
        world.says("ada", "ben", "this stays");
        world.settle();
        let ben = world.app("ada").chat().with(&name("ben")).expect("there").id;
        world.commands("ada", Command::Open(ben));
        world.types("ada", "/expire 1h\nthis does not\n");
        world.settle();
        world.clock_off("ada", 0);
        if restarts {
            world.restarts("ada");
        }
        world.passes(1_800_000);
        assert_eq!(texts(&mut world, "ada", "ben"), ["this stays", "this does not"], "restarts: {restarts}");
        world.passes(2 * 3_600_000);
        assert_eq!(texts(&mut world, "ada", "ben"), ["this stays"], "restarts: {restarts}");
    }
}

#[test]
fn a_clock_that_is_behind_for_a_moment_takes_no_message_before_its_time() {
    let mut world = ada_with_ben(10);
    world.types("ada", "/expire 1d\na day long\n");
    world.settle();
    world.clock_off("ada", -2 * 24 * 3_600_000);
    world.restarts("ada");
    world.passes(60_000);
    world.clock_off("ada", 0);
    world.passes(3_600_000);
    assert!(texts(&mut world, "ada", "ben").contains(&"a day long".into()));
    world.passes(24 * 3_600_000);
    assert!(!texts(&mut world, "ada", "ben").contains(&"a day long".into()));
}

// ---- the real programs

fn joined(dir: &Path, name: &str, link: &str) -> Client {
    let mut client = Client::start(&dir.join(name));
    client.ask("subscribe", json!({})).expect("subscribed");
    client.registers(name, PASSPHRASE, link);
    client
}

pub(crate) fn on_terminal(dir: &Path, columns: u16, rows: u16) -> Terminal {
    let (profile, home) = (dir.join("profile"), dir.to_str().expect("text"));
    let env = [real::TESTED, &[("HOME", home), ("XDG_CONFIG_HOME", home)]].concat();
    Terminal::start(&program("subrosa"), &["--profile", profile.to_str().expect("text")], &env, columns, rows)
}

fn first_run(dir: &Path, relay: &str) -> Terminal {
    let mut terminal = on_terminal(dir, 100, 30);
    terminal.shows("Name");
    terminal.types("ada\r");
    terminal.types(&format!("{PASSPHRASE}\r"));
    terminal.types(&format!("{PASSPHRASE}\r"));
    terminal.shows("Relay");
    terminal.types(&format!("\x15{relay}\r"));
    // No login password.
    terminal.types("\r");
    terminal.shows("online");
    terminal
}

#[test]
fn no_program_leaves_its_memory_in_a_core_dump() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let client = joined(dir.path(), "ada", &relay.link);
    for process in [relay.process(), client.process()] {
        let limits = fs::read_to_string(format!("/proc/{process}/limits")).expect("it runs");
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("there");
        let bytes: Vec<u64> = core.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        assert!(bytes.len() == 2 && bytes.iter().all(|bytes| *bytes <= 1), "{core}");
    }
}

/// Which of these lie in the memory of a process; `None` when the system does not let us look.
pub(crate) fn in_memory(process: u32, words: &[(&'static str, Vec<u8>)]) -> Option<Vec<&'static str>> {
    let memory = match File::open(format!("/proc/{process}/mem")) {
        Ok(memory) => memory,
        Err(why) => {
            skipped(&format!("the memory of the client cannot be read ({why}); ptrace_scope?"));
            return None;
        }
    };
    let maps = BufReader::new(File::open(format!("/proc/{process}/maps")).expect("it runs"));
    let mut found = Vec::new();
    let (mut seen, mut buffer) = (0usize, Vec::new());
    for line in maps.lines().map(|line| line.expect("text")) {
        let mut parts = line.split_whitespace();
        let (range, rights) = (parts.next().expect("a range"), parts.next().expect("rights"));
        if !rights.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').expect("from and to");
        let (from, to) = (hex(from), hex(to));
        buffer.resize((to - from) as usize, 0);
        // A region that went meanwhile holds nothing.
        let Ok(count) = memory.read_at(&mut buffer, from) else { continue };
        seen += count;
        for (what, word) in words {
            if !found.contains(what) && find(&buffer[..count], word) {
                found.push(*what);
            }
        }
    }
    assert!(seen > 1 << 20, "only {seen} bytes were seen");
    Some(found)
}

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text, 16).expect("hexadecimal")
}

/// Looks at every place where the rarest byte of the word could be.
fn find(bytes: &[u8], word: &[u8]) -> bool {
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == word[0]) {
        from += at + 1;
        if bytes[from - 1..].starts_with(word) {
            return true;
        }
    }
    false
}

/// The keys of a profile, as a thief with the passphrase finds them in a copy.
fn keys_of(profile: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let stolen = tempfile::tempdir().expect("a folder");
    let copy = stolen.path().join("copy");
    copy_all(profile, &copy);
    let opened = Profile::open(&copy, PASSPHRASE).expect("opens");
    let identity = opened.store.records.get(ACCOUNT, b"identity").expect("reads").expect("there");
    vec![
        ("the key of everything", opened.dek().expose().to_vec()),
        ("the key of the records", opened.dek().records_key().to_vec()),
        ("the key of the ratchet file", opened.dek().slots_key().to_vec()),
        ("the identity key", identity[..32].to_vec()),
        ("the Noise key", identity[32..].to_vec()),
    ]
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("named"));
        if path.is_dir() {
            copy_all(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copied");
        }
    }
}

#[test]
fn the_memory_of_a_locked_client_holds_no_key_and_no_word() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let mut ben = joined(dir.path(), "ben", &relay.link);
    ben.ask("add", json!({"name": "ben"})).expect_err("that is him");
    let mut ada = first_run(dir.path(), &relay.link);
    ada.types("/add ben\r");
    ada.shows("Write a message");
    ada.types("the cellar key hangs behind the blue painting\r");
    let said = ben.told("message", |message| message["author"] == "them");
    assert_eq!(said["with"], "ada");
    ben.ask("accept", json!({"with": "ada"})).expect("accepted");
    ben.ask("send", json!({"to": "ada", "text": "nineteen white herons crossed the frozen lake"}))
        .expect("sent");
    ada.shows("nineteen white herons");
    ada.types("an unfinished thought about lighthouses");
    ada.shows("about lighthouses");
    // A wrong passphrase first, so that its way is looked at too.
    let process = ada.process();
    let mut words = keys_of(&dir.path().join("profile"));
    words.push(("what she said", b"the cellar key hangs behind".to_vec()));
    words.push(("what he said", b"nineteen white herons crossed".to_vec()));
    words.push(("the draft", b"thought about lighthouses".to_vec()));
    let Some(found) = in_memory(process, &words) else { return };
    // The derived keys are gone as soon as they are used.
    for what in [
        "the key of everything",
        "the identity key",
        "the Noise key",
        "what she said",
        "what he said",
        "the draft",
    ] {
        assert!(found.contains(&what), "the check can fail: {what} is not among {found:?}");
    }
    words.push(("the passphrase", PASSPHRASE.into()));
    for round in 0..2 {
        ada.types("\x1bl");
        ada.shows("Locked");
        ada.falls_silent(Duration::from_millis(300));
        let found = in_memory(process, &words).expect("it could be read before");
        assert_eq!(found, Vec::<&str>::new(), "in the memory of a locked client, round {round}");
        for word in ["ben", "herons", "ada"] {
            assert!(!ada.text().contains(word), "{word} on the screen:\n{}", ada.text());
        }
        ada.types("not the right one\r");
        ada.shows("That was not the passphrase");
        ada.types(&format!("{PASSPHRASE}\r"));
        ada.shows("nineteen white herons");
        ada.shows("about lighthouses");
    }
    ada.types("\x15/quit\r");
    assert!(ada.ends());
}

#[test]
fn what_comes_while_it_is_locked_arrives_and_wrong_passphrases_wait_longer_and_longer() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let mut ben = joined(dir.path(), "ben", &relay.link);
    let mut ada = first_run(dir.path(), &relay.link);
    ada.types("/add ben\r");
    ada.shows("Write a message");
    ada.types("hello\r");
    ben.told("message", |message| message["author"] == "them");
    ben.ask("accept", json!({"with": "ada"})).expect("accepted");
    ben.told("presence", |presence| presence["with"] == "ada" && presence["online"] == true);
    ada.types("/lock\r");
    ada.shows("Locked");
    ben.told("presence", |presence| presence["with"] == "ada" && presence["online"] == false);
    let sent = ben.ask("send", json!({"to": "ada", "text": "the boat leaves at nine"})).expect("sent");
    ben.told("mark", |mark| mark["id"] == sent["id"] && mark["state"] == "sent");
    assert!(!ada.text().contains("boat") && !ada.text().contains("ben"));
    ada.types("guess one\r");
    ada.shows("try again.");
    ada.types("guess two\r");
    // The second wait is longer; what is typed meanwhile is tried when it is over.
    ada.shows("in 2 s");
    ada.types(&format!("{PASSPHRASE}\r"));
    ada.shows("the boat leaves at nine");
    let title = "\x1b]2;subrosa";
    assert!(ada.raw().windows(title.len()).any(|part| part == title.as_bytes()), "the title says nothing");
    ada.types("/lock\r");
    ada.shows("Locked");
    ada.types("\x03");
    assert!(ada.ends());
}

#[test]
fn a_locked_client_did_not_hear_that_it_is_to_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ada = first_run(dir.path(), "here");
    for signal in ["HUP", "QUIT"] {
        ada.types("/lock\r");
        ada.shows("Locked");
        ada.signal(signal);
        assert!(ada.ends(), "{signal}");
        ada = on_terminal(dir.path(), 100, 30);
        ada.shows("Welcome back");
        ada.types(&format!("{PASSPHRASE}\r"));
        ada.shows("online");
    }
    ada.types("/quit\r");
    assert!(ada.ends());
}

#[test]
fn a_locked_script_says_so_and_unlocks() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let mut ben = joined(dir.path(), "ben", &relay.link);
    let mut ada = joined(dir.path(), "ada", &relay.link);
    ada.ask("add", json!({"name": "ben"})).expect("known");
    ben.ask("add", json!({"name": "ada"})).expect("known");
    ada.ask("lock", json!({})).expect("locked");
    assert_eq!(ada.ask("status", json!({})), Ok(json!({"profile": "locked"})));
    assert_eq!(ada.ask("send", json!({"to": "ben", "text": "x"})), Err(-32001));
    assert_eq!(ada.ask("lock", json!({})), Err(-32001));
    ben.ask("send", json!({"to": "ada", "text": "later"})).expect("sent");
    assert_eq!(ada.ask("unlock", json!({"passphrase": "a guess"})), Err(-32003));
    ada.unlocks(PASSPHRASE);
    ada.told("message", |message| message["text"] == "later");
    assert_eq!(ada.ask("burn", json!({"name": "ben", "sure": true})), Err(-32602));
    assert_eq!(ada.ask("burn", json!({"name": "ada", "sure": false})), Err(-32602));
    ada.ask("burn", json!({"name": "ada", "sure": true})).expect("burnt");
    assert_eq!(ada.ask("status", json!({})), Ok(json!({"profile": "absent"})));
    let left: Vec<_> = fs::read_dir(dir.path().join("ada")).map_or(Vec::new(), |entries| entries.collect());
    assert!(left.is_empty(), "{left:?}");
    assert!(ada.end().1);
}

#[test]
fn burning_on_the_terminal_and_on_the_command_line() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let mut ada = first_run(dir.path(), &relay.link);
    let burn = |answers: &str| -> (bool, Value) {
        let answers_file = dir.path().join("answers");
        fs::write(&answers_file, answers).expect("written");
        let out = real::subrosa(&dir.path().join("profile"))
            .arg("burn")
            .stdin(File::open(&answers_file).expect("reads"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .expect("runs");
        (out.status.success(), json!(String::from_utf8_lossy(&[out.stdout, out.stderr].concat())))
    };
    let (burnt, said) = burn("profile\nBURN\n");
    assert!(!burnt && said.to_string().contains("/burn there"), "{said}");
    ada.types("/burn ada\r");
    ada.shows("no way back");
    ada.types("y");
    assert!(ada.ends());
    assert!(String::from_utf8_lossy(ada.raw()).contains("Goodbye"));
    assert!(!dir.path().join("profile").exists());
    let (burnt, said) = burn("profile\nBURN\n");
    assert!(!burnt && said.to_string().contains("no profile"), "{said}");
    let mut ada = first_run(dir.path(), "here");
    ada.types("/quit\r");
    assert!(ada.ends());
    for wrong in ["", "profil\nBURN\n", "profile\nburn\n", "profile\n"] {
        let (burnt, said) = burn(wrong);
        assert!(!burnt && said.to_string().contains("nothing was touched"), "{wrong:?}: {said}");
    }
    let (burnt, said) = burn("profile\nBURN\n");
    assert!(burnt && said.to_string().contains("Goodbye"), "{said}");
    assert!(!dir.path().join("profile").exists());
}

// ---- taking things out

const EXPORT: &str = "a passphrase for the paper";

fn runs(command: &mut std::process::Command) -> (bool, String) {
    let out = command.stdin(Stdio::null()).output().expect("runs");
    (out.status.success(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
}

#[test]
fn a_key_file_brings_the_account_to_an_empty_machine() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let mut ben = joined(dir.path(), "ben", &relay.link);
    let mut ada = joined(dir.path(), "ada", &relay.link);
    ada.ask("send", json!({"to": "ben", "text": "before the move"})).expect("sent");
    ben.told("message", |message| message["text"] == "before the move");
    ben.ask("accept", json!({"with": "ada"})).expect("accepted");
    let verified = ben.ask("verify", json!({"with": "ada"})).expect("a number");
    ada.ask("verify", json!({"with": "ben", "given": verified["code"]})).expect("the same");
    ada.ask("petname", json!({"with": "ben", "petname": "The Baker"})).expect("named");
    let device = ada.ask("status", json!({})).expect("open")["device"].clone();
    let file = dir.path().join("keys.txt");
    ada.ask("export_keys", json!({"path": file, "passphrase": "short"})).expect_err("too short");
    ada.ask("export_keys", json!({"path": file, "passphrase": EXPORT})).expect("written");
    assert_eq!(
        ada.ask("export_keys", json!({"path": file, "passphrase": EXPORT})),
        Err(-32011),
        "never twice"
    );
    ada.ask("burn", json!({"name": "ada", "sure": true})).expect("burnt");
    assert!(ada.end().1);
    let text = fs::read_to_string(&file).expect("text");
    assert!(text.starts_with("-----BEGIN SUBROSA KEYS-----\nVersion: 1\n") && !text.contains("ben"));
    // On the new machine.
    let new = dir.path().join("new");
    let import = |passphrase: &str, file: &Path| {
        let mut command = real::subrosa(&new);
        command.arg("import").arg("--yes").arg(file);
        runs(command.env("SUBROSA_EXPORT_PASSPHRASE", passphrase).env("SUBROSA_PASSPHRASE", PASSPHRASE))
    };
    let (done, said) = import("another passphrase", &file);
    assert!(!done && said.contains("not the passphrase of this key file"), "{said}");
    let half = dir.path().join("half.txt");
    fs::write(&half, &text[..text.len() / 2]).expect("written");
    let (done, said) = import(EXPORT, &half);
    assert!(!done && said.contains("cut short"), "{said}");
    fs::write(&half, "no keys here").expect("written");
    let (done, said) = import(EXPORT, &half);
    assert!(!done && said.contains("no key file"), "{said}");
    let mut unsure = real::subrosa(&new);
    let (done, said) = runs(unsure.arg("import").arg(&file).env("SUBROSA_EXPORT_PASSPHRASE", EXPORT));
    assert!(!done && said.contains("must not go on") && said.contains("not confirmed"), "{said}");
    assert!(!new.exists(), "nothing was made yet");
    let (done, said) = import(EXPORT, &file);
    assert!(done && said.contains("'ada' is here now"), "{said}");
    let (done, said) = import(EXPORT, &file);
    assert!(!done && said.contains("--profile NEW"), "{said}");
    let mut ada = Client::start(&new);
    ada.ask("subscribe", json!({})).expect("subscribed");
    assert_eq!(ada.unlocks(PASSPHRASE)["device"], device, "the same device by its keys");
    let contacts = ada.ask("contacts", json!({})).expect("people");
    let person = &contacts["contacts"][0];
    assert_eq!((&person["name"], &person["petname"]), (&json!("ben"), &json!("The Baker")));
    assert_eq!((&person["verified"], &person["lines"]), (&json!(true), &json!(0)));
    // Both ways, though Ben's session is with a ratchet that is nowhere any more.
    ben.ask("send", json!({"to": "ada", "text": "to the new machine"})).expect("sent");
    ada.told("message", |message| message["text"] == "to the new machine");
    ada.ask("send", json!({"to": "ben", "text": "from the new machine"})).expect("sent");
    ben.told("message", |message| message["text"] == "from the new machine");
    assert_eq!(ben.ask("contacts", json!({})).expect("people")["contacts"][0]["key"], "pinned");
}

#[test]
fn histories_are_written_by_command_by_script_and_by_shell() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let mut ben = joined(dir.path(), "ben", &relay.link);
    let mut ada = joined(dir.path(), "ada", &relay.link);
    ada.ask("send", json!({"to": "ben", "text": "one"})).expect("sent");
    ben.told("message", |message| message["text"] == "one");
    let path = |name: &str| dir.path().join(name);
    ada.ask("export", json!({"with": "ben", "path": path("a.md")})).expect("written");
    ada.ask("export", json!({"path": path("a.json")})).expect("written");
    assert_eq!(ada.ask("export", json!({"path": path("a.json")})), Err(-32011), "it is there");
    assert!(fs::read_to_string(path("a.md")).expect("there").contains("> one\n"));
    let value: Value =
        serde_json::from_str(&fs::read_to_string(path("a.json")).expect("there")).expect("JSON");
    assert_eq!(value["conversations"][0]["lines"][0]["text"], "one");
    assert!(ada.end().1);
    let export = |arguments: &[&str]| {
        let mut command = real::subrosa(&path("ada"));
        runs(
            command
                .arg("export")
                .args(arguments)
                .current_dir(dir.path())
                .env("SUBROSA_PASSPHRASE", PASSPHRASE),
        )
    };
    let (done, said) = export(&["history", "all.txt"]);
    assert!(done && said.contains("1 line written to all.txt"), "{said}");
    let (done, said) = export(&["history", "all.txt", "--with", "ben"]);
    assert!(!done && said.contains("choose another name"), "{said}");
    let (done, said) = export(&["history", "all.txt", "--with", "ben", "--replace", "--form", "json"]);
    assert!(done, "{said}");
    let (done, said) = export(&["history", "no.txt", "--with", "carol"]);
    assert!(!done && said.contains("no conversation with carol"), "{said}");
    assert!(fs::read_to_string(path("all.txt")).expect("there").starts_with('{'));
}

#[test]
fn a_key_file_on_the_terminal_asks_for_its_passphrase_twice() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let mut ada = first_run(dir.path(), &relay.link);
    let file = dir.path().join("keys.txt");
    ada.types(&format!("/export keys {}\r", file.display()));
    ada.shows("A passphrase for the key file");
    ada.types("short\r");
    ada.shows("At least 8 characters");
    ada.types(&format!("\x15{EXPORT}\r{EXPORT} not\r"));
    ada.shows("The two differ");
    assert!(!ada.text().contains(EXPORT));
    ada.types(&format!("{EXPORT}\r"));
    ada.shows("your keys and contacts are in");
    let text = fs::read_to_string(file).expect("written");
    assert_eq!(subrosa::export::keyfile::open(&text, EXPORT).expect("opens").name.as_str(), "ada");
    ada.types("/quit\r");
    assert!(ada.ends());
}
