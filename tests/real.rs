//! The real programs: a relay that is killed, clients on a terminal.

use serde_json::json;
use std::collections::HashSet;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use subrosa_tests::pty::Terminal;
use subrosa_tests::real::{Client, Relay, TESTED, program, subrosa};

/// A client of this name at this relay, connected.
pub fn joined(dir: &Path, name: &str, link: &str) -> Client {
    registered(Client::start(&dir.join(name)), name, link)
}

/// The same with a client that was started already.
pub fn registered(mut client: Client, name: &str, link: &str) -> Client {
    client.ask("subscribe", json!({})).expect("subscribed");
    client.registers(name, "a good passphrase", link);
    client
}

/// So many texts of others, in the order in which they come.
pub fn texts(client: &mut Client, count: usize) -> Vec<String> {
    (0..count)
        .map(|_| {
            let line = client.told("message", |params| params["author"] == "them");
            line["text"].as_str().expect("a text").to_string()
        })
        .collect()
}

// ---- the relay

#[test]
fn a_relay_killed_under_load_loses_and_repeats_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("relay");
    let mut relay = Relay::start(&data);
    let address = relay.address();
    let mut ada = joined(dir.path(), "ada", &relay.link);
    let mut ben = joined(dir.path(), "ben", &relay.link);
    ben.ask("add", json!({"name": "ada"})).expect("known");
    const TEXTS: usize = 240;
    let mut got = Vec::new();
    for i in 0..TEXTS {
        ada.ask("send", json!({"to": "ben", "text": format!("{i}")})).expect("sent");
        if i % 80 == 60 {
            // While the last ones are under way.
            relay.kill();
            relay = Relay::start_at(&data, &address);
        }
        if i % 80 == 79 {
            got.extend(texts(&mut ben, 80));
        }
    }
    let want: Vec<String> = (0..TEXTS).map(|i| i.to_string()).collect();
    assert_eq!(got, want, "each once, in order");
    drop(relay);
}

#[test]
fn who_is_away_gets_everything_on_return_though_the_relay_was_killed() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("relay");
    let relay = Relay::start(&data);
    let address = relay.address();
    let mut ada = joined(dir.path(), "ada", &relay.link);
    let ben = joined(dir.path(), "ben", &relay.link);
    assert!(ben.end().1);
    let mut ids = HashSet::new();
    for text in ["one", "two", "three"] {
        let sent = ada.ask("send", json!({"to": "ben", "text": text})).expect("sent");
        ids.insert(sent["id"].as_str().expect("an id").to_string());
    }
    for id in ids {
        ada.told("mark", |mark| mark["id"] == id && mark["state"] == "sent");
    }
    // What the relay said to have is on its disk.
    relay.kill();
    let _relay = Relay::start_at(&data, &address);
    let mut ben = Client::start(&dir.path().join("ben"));
    ben.ask("subscribe", json!({})).expect("subscribed");
    ben.unlocks("a good passphrase");
    assert_eq!(texts(&mut ben, 3), ["one", "two", "three"]);
    assert!(ben.end().1);
    assert!(ada.end().1);
}

#[test]
fn a_relay_that_is_asked_to_end_says_so_and_ends_well() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let mut ada = joined(dir.path(), "ada", &relay.link);
    assert!(relay.terminate().success());
    let gone = ada.told("link", |link| link["online"] == false);
    assert_ne!(gone["why"], "", "{gone}");
}

#[test]
fn two_relays_do_not_share_a_folder_or_a_port() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("relay");
    let relay = Relay::start(&data);
    let second = |listen: &str, data: &Path| {
        let mut command = Command::new(program("subrosa-relay"));
        command.args(["run", "--listen", listen, "--data"]).arg(data).stdin(Stdio::null());
        let out = command.output().expect("starts");
        assert!(!out.status.success());
        String::from_utf8(out.stderr).expect("text")
    };
    let said = second("127.0.0.1:0", &data);
    assert!(said.contains("another relay is using") && said.contains("--data"), "{said}");
    let said = second(&relay.address(), &dir.path().join("other"));
    assert!(said.contains("another program listens") && said.contains("--listen"), "{said}");
    joined(dir.path(), "ada", &relay.link);
}

// ---- the client on a terminal

/// What a program on a terminal is told about it.
const TRUE_COLOUR: &[(&str, &str)] = &[("COLORTERM", "truecolor")];

/// Different colours in cells of a picture: there are many.
fn picture_colours(screen: &vt100::Screen) -> usize {
    let (rows, columns) = screen.size();
    let cells = (0..rows).flat_map(|row| (0..columns).filter_map(move |column| screen.cell(row, column)));
    let drawn = cells.filter(|cell| {
        cell.bgcolor() != vt100::Color::Default || cell.contents().chars().any(|c| ('▀'..='▟').contains(&c))
    });
    let colours: HashSet<String> =
        drawn.map(|cell| format!("{:?} {:?}", cell.fgcolor(), cell.bgcolor())).collect();
    colours.len()
}

fn contains(bytes: &[u8], part: &str) -> bool {
    bytes.windows(part.len()).any(|some| some == part.as_bytes())
}

fn is_restored(terminal: &Terminal) {
    let screen = terminal.screen();
    assert!(!screen.alternate_screen(), "the screen before is back");
    assert!(!screen.hide_cursor(), "the cursor is back");
    assert!(!screen.bracketed_paste(), "paste is as before");
    for off in ["\x1b[?2004l", "\x1b[?1049l", "\x1b[?25h", "\x1b[?1004l"] {
        assert!(contains(terminal.raw(), off), "{off:?} was not written");
    }
}

/// The client with a profile in this folder, and nothing else of this machine.
fn client(dir: &Path, env: &[(&str, &str)], columns: u16, rows: u16) -> Terminal {
    let profile = dir.join("profile");
    let (profile, home) = (profile.to_str().expect("text"), dir.to_str().expect("text"));
    let all = [TESTED, &[("HOME", home), ("XDG_CONFIG_HOME", home)], env].concat();
    Terminal::start(&program("subrosa"), &["--profile", profile], &all, columns, rows)
}

fn first_run(dir: &Path, relay: &str) -> Terminal {
    let mut terminal = client(dir, TRUE_COLOUR, 100, 30);
    terminal.shows("Name");
    terminal.types("ada\r");
    terminal.types("a good passphrase\r");
    terminal.types("a good passphrase\r");
    terminal.shows("Relay");
    // Ctrl+u empties the field.
    terminal.types(&format!("\x15{relay}\r"));
    // No login password.
    terminal.types("\r");
    terminal.shows("online");
    terminal
}

#[test]
fn the_demo_is_a_conversation_with_a_live_picture() {
    let mut terminal = Terminal::start(&program("subrosa"), &["demo"], TRUE_COLOUR, 120, 36);
    terminal.shows("I am the one with the picture");
    terminal.until("a picture", |screen| picture_colours(screen) > 50);
    let still = terminal.screen().contents_formatted();
    terminal.until("a moving picture", |screen| {
        picture_colours(screen) > 50 && screen.contents_formatted() != still
    });
    // Another conversation, and a line that comes back.
    terminal.types("/add ada\r");
    terminal.shows("Hello! I run in another thread");
    terminal.types("sub rosa, please\r");
    terminal.shows("you said: sub rosa, please");
    // F1.
    terminal.types("\x1bOP");
    terminal.shows("Keys and commands");
    terminal.types("\x1b");
    terminal.until("help closes", |screen| !screen.contents().contains("Keys and commands"));
    terminal.types("\x03");
    terminal.shows("Ctrl+c again leaves");
    terminal.types("\x03");
    assert!(terminal.ends());
    is_restored(&terminal);
}

#[test]
fn an_editor_takes_the_terminal_and_gives_it_back_as_it_was() {
    let mut env = TRUE_COLOUR.to_vec();
    env.push(("VISUAL", "sed -i s/typed/edited/"));
    let mut terminal = Terminal::start(&program("subrosa"), &["demo"], &env, 100, 30);
    terminal.shows("I am the one with the picture");
    terminal.types("words typed here\x18\x05");
    terminal.shows("words edited here");
    // Ctrl+L: everything is drawn again, without asking the terminal for anything.
    terminal.types("\x0c");
    terminal.types("!");
    terminal.shows("words edited here!");
    terminal.types("\x03/quit\r");
    assert!(terminal.ends());
    is_restored(&terminal);
}

#[test]
fn what_shall_disappear_goes_to_no_editor_that_would_leave_it_on_the_disk() {
    let mut env = TRUE_COLOUR.to_vec();
    env.extend([("VISUAL", "sed -i s/typed/edited/"), ("XDG_RUNTIME_DIR", "")]);
    let mut terminal = Terminal::start(&program("subrosa"), &["demo"], &env, 100, 30);
    terminal.shows("I am the one with the picture");
    terminal.types("/expire 1h\rwords typed here\x18\x05");
    terminal.shows("messages disappear here");
    terminal.shows("words typed here");
    terminal.types("\x03/quit\r");
    assert!(terminal.ends());
}

#[test]
fn a_first_run_a_second_one_and_a_wrong_passphrase_between() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut terminal = first_run(dir.path(), "here");
    terminal.shows("/add NAME");
    terminal.types("/quit\r");
    assert!(terminal.ends());
    is_restored(&terminal);
    let mut terminal = client(dir.path(), TRUE_COLOUR, 100, 30);
    terminal.shows("Welcome back");
    terminal.types("a bad passphrase\r");
    terminal.shows("that is not the passphrase");
    terminal.types("a good passphrase\r");
    terminal.shows("online");
    // SIGTERM gives the terminal back too.
    terminal.signal("TERM");
    assert!(terminal.ends());
    is_restored(&terminal);
}

#[test]
fn a_password_set_at_the_first_run_signs_in_on_an_empty_machine() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let [one, two] = ["one", "two"].map(|name| dir.path().join(name));
    for machine in [&one, &two] {
        std::fs::create_dir(machine).expect("made");
    }
    let mut first = client(&one, TRUE_COLOUR, 100, 30);
    first.shows("Name");
    for field in ["ada\r", "a good passphrase\r", "a good passphrase\r"] {
        first.types(field);
    }
    first.types(&format!("\x15{}\r", relay.link));
    first.types("gravel teapot nineteen otter");
    first.shows("strong");
    first.types("\r");
    first.shows("the login password is set");

    let mut second = client(&two, TRUE_COLOUR, 100, 30);
    second.shows("I have a password");
    // F2, and then in the fields' order.
    second.types("\x1bOQ");
    second.shows("Sign in with your password");
    second.types(&format!("{}\r", relay.link));
    second.types("ada\r");
    second.types("gravel teapot nineteen ottar\r");
    second.types("another passphrase\ranother passphrase\r");
    second.shows("do not belong together");
    // Up to the password, and Ctrl+u.
    second.types("\x1b[A\x1b[A\x15gravel teapot nineteen otter\r\r\r");
    second.shows("online");
    second.types("/sessions\r");
    second.shows("(this one)");
    second.types("\x1b");
    second.until("the list closes", |screen| !screen.contents().contains("(this one)"));
    second.types("/quit\r");
    first.types("/quit\r");
    assert!(second.ends() && first.ends());
}

#[test]
fn a_sign_in_that_the_relay_did_not_answer_could_not_be_left() {
    // Its port is taken, and nobody reads there.
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let link = format!("subrosa://{}/#{}", silent.local_addr().expect("bound"), "a".repeat(52));
    for leaves in ["\x03", "\x1b", "TERM"] {
        let dir = tempfile::tempdir().expect("a folder");
        let (profile, home) = (dir.path().join("profile"), dir.path().to_str().expect("text"));
        let args = ["--profile", profile.to_str().expect("text"), "login", "ada", "--relay", link.as_str()];
        let env = [TESTED, &[("HOME", home), ("XDG_CONFIG_HOME", home)], TRUE_COLOUR].concat();
        let mut terminal = Terminal::start(&program("subrosa"), &args, &env, 100, 30);
        terminal.shows("Sign in with your password");
        terminal.types("gravel teapot nineteen otter\ra good passphrase\ra good passphrase\r");
        terminal.shows("signing in");
        let begun = Instant::now();
        if leaves == "TERM" {
            terminal.signal(leaves)
        } else {
            terminal.types(leaves)
        }
        assert!(terminal.ends(), "{leaves:?}");
        // The connection is given up after a quarter of a minute.
        assert!(begun.elapsed() < Duration::from_secs(10), "{leaves:?}: {:?}", begun.elapsed());
        is_restored(&terminal);
        assert!(!profile.exists(), "nothing was made");
    }
}

/// `subrosa link` on a machine without a profile: whether it ended well, and what it printed.
fn links(profile: &Path, code: &str, relay: &str) -> (bool, String, String) {
    let mut command = subrosa(profile);
    command.args(["link", code, relay]).env("SUBROSA_PASSPHRASE", "a good passphrase").stdin(Stdio::null());
    let out = command.output().expect("starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (out.status.success(), text(out.stdout), text(out.stderr))
}

#[test]
fn scripts_link_name_list_and_remove_devices() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let mut desk = joined(dir.path(), "ada", &relay.link);
    let shown = desk.ask("link_device", json!({})).expect("a code");
    let code = shown["code"].as_str().expect("text").to_string();
    assert_eq!(shown["command"], format!("subrosa link {code} '{}'", relay.link));
    let (well, _, wrong) = links(&dir.path().join("laptop"), &code, &relay.link);
    assert!(well, "{wrong}");
    desk.told("notice", |told| {
        told["text"].as_str().is_some_and(|text| text.contains("the device is linked"))
    });
    assert_eq!(desk.ask("name_device", json!({"name": " desk"})).expect("named"), json!({"name": "desk"}));
    assert_eq!(desk.ask("name_device", json!({"name": " "})), Err(-32602));
    let listed = desk.ask("devices", json!({})).expect("listed");
    let devices = listed["devices"].as_array().expect("a list");
    let of = |this: bool| devices.iter().find(|device| device["this"] == this).expect("listed").clone();
    assert_eq!((devices.len(), &of(true)["name"]), (2, &json!("desk")));
    let (own, other) = (of(true)["device"].clone(), of(false)["device"].clone());
    assert_eq!(desk.ask("remove_device", json!({"device": other, "sure": false})), Err(-32602));
    assert_eq!(desk.ask("remove_device", json!({"device": own, "sure": true})), Err(-32602));
    assert_eq!(desk.ask("remove_device", json!({"device": other, "sure": true})), Ok(json!({})));
    let left = desk.ask("devices", json!({})).expect("listed");
    assert_eq!(left["devices"].as_array().map(Vec::len), Some(1));
    let mut laptop = Client::start(&dir.path().join("laptop"));
    let refused = laptop.ask("unlock", json!({"passphrase": "a good passphrase"}));
    assert_eq!(refused, Err(-32005), "removed");
    assert!(desk.end().1);
}

#[test]
fn a_signal_before_there_is_a_client_restores_the_terminal() {
    for signal in ["TERM", "HUP", "INT", "QUIT"] {
        let dir = tempfile::tempdir().expect("a folder");
        let mut terminal = client(dir.path(), TRUE_COLOUR, 100, 30);
        terminal.shows("Passphrase");
        terminal.signal(signal);
        assert!(terminal.ends(), "{signal}");
        is_restored(&terminal);
    }
}

#[test]
fn an_idle_client_writes_nothing_and_uses_no_cpu() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let mut terminal = first_run(dir.path(), &relay.link);
    // Once it has come to rest, which takes as long as a busy machine takes. A notice goes after 6 seconds.
    terminal.falls_silent(Duration::from_secs(7));
    let before = ticks(terminal.process());
    // Longer than the 10 seconds after which the connection is kept alive.
    let written = terminal.listens(Duration::from_secs(12));
    let used = ticks(terminal.process()) - before;
    let raw = terminal.raw();
    let last = String::from_utf8_lossy(&raw[raw.len() - written..]);
    // A tick is 10 ms; keeping the connection alive takes less than that.
    assert!(written == 0 && used <= 12, "{used} ticks of CPU and {last:?} in 12 idle seconds");
    // It is still there.
    terminal.types("x");
    terminal.shows("x");
}

/// Clock ticks of CPU that a process used: fields 14 and 15 of its stat.
fn ticks(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let rest = stat.rsplit_once(") ").expect("a name in brackets").1;
    rest.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

#[test]
fn twenty_columns_and_six_rows_are_enough_to_talk() {
    let mut terminal = Terminal::start(&program("subrosa"), &["demo"], TRUE_COLOUR, 20, 6);
    terminal.shows("rosa");
    terminal.types("/add ada\r");
    terminal.shows("ada");
    terminal.types("hm\r");
    terminal.shows("you said: hm");
    terminal.types("\x03");
    terminal.types("\x03");
    assert!(terminal.ends());
    is_restored(&terminal);
}

/// Parameters of everything that sets colours or attributes.
fn graphics(raw: &[u8]) -> Vec<Vec<u32>> {
    let text = String::from_utf8_lossy(raw);
    let mut found = Vec::new();
    for part in text.split("\x1b[").skip(1) {
        let end = part.find(|c: char| !c.is_ascii_digit() && c != ';' && c != ':').unwrap_or(part.len());
        if part[end..].starts_with('m') {
            found.push(part[..end].split([';', ':']).map(|n| n.parse().unwrap_or(0)).collect());
        }
    }
    found
}

/// Whether this sets a colour; 39 and 49 give the default one back.
fn colours(parameters: &[u32]) -> bool {
    parameters.iter().any(|n| matches!(n, 30..=38 | 40..=48 | 90..=97 | 100..=107))
}

#[test]
fn no_color_is_no_colour() {
    let mut terminal =
        Terminal::start(&program("subrosa"), &["demo"], &[("NO_COLOR", "1"), TRUE_COLOUR[0]], 100, 30);
    terminal.shows("I am the one with the picture");
    terminal.until("a picture in Braille", |screen| {
        screen.contents().chars().filter(|c| ('\u{2801}'..='\u{28ff}').contains(c)).count() > 50
    });
    terminal.signal("TERM");
    assert!(terminal.ends());
    let set: Vec<_> = graphics(terminal.raw()).into_iter().filter(|set| colours(set)).collect();
    assert!(set.is_empty(), "{set:?}");
}

#[test]
fn sixteen_colours_are_all_that_a_plain_xterm_gets() {
    let mut terminal = Terminal::start(&program("subrosa"), &["demo"], &[("TERM", "xterm")], 100, 30);
    terminal.shows("I am the one with the picture");
    terminal.shows("fps");
    terminal.signal("TERM");
    assert!(terminal.ends());
    let set = graphics(terminal.raw());
    assert!(set.iter().any(|set| colours(set)), "there are colours");
    for set in set {
        for window in set.windows(3).filter(|window| [38, 48].contains(&window[0])) {
            assert!(window[1] == 5 && window[2] < 16, "{set:?} asks for more than 16 colours");
        }
    }
}
