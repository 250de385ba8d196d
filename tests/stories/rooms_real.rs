//! Rooms and linking with the real programs, by scripts; previews on a terminal.

use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use subrosa_tests::pty::{Terminal, USUAL};
use subrosa_tests::real::{Client, PATIENCE, Relay, TESTED, program};

const PASSPHRASE: &str = "a good passphrase";

fn started(dir: &Path, name: &str) -> Client {
    let mut client = Client::start(&dir.join(name));
    client.ask("subscribe", json!({})).expect("subscribed");
    client
}

fn joined(dir: &Path, name: &str, link: &str) -> Client {
    let mut client = started(dir, name);
    client.registers(name, PASSPHRASE, link);
    client
}

/// The client on a terminal, with that profile and nothing else of this machine.
fn on_terminal(dir: &Path, profile: &str, env: &[(&str, &str)], args: &[&str]) -> Terminal {
    let profile = dir.join(profile);
    let (profile, home) = (profile.to_str().expect("text"), dir.to_str().expect("text"));
    let own = [("HOME", home), ("XDG_CONFIG_HOME", home), ("COLORTERM", "truecolor")];
    let all = [TESTED, &own, env].concat();
    let args: Vec<&str> = ["--profile", profile].iter().chain(args).copied().collect();
    Terminal::of(USUAL, &program("subrosa"), &args, &all, 110, 34)
}

fn unlocked(dir: &Path, profile: &str, env: &[(&str, &str)]) -> Terminal {
    let mut terminal = on_terminal(dir, profile, env, &[]);
    terminal.shows("Welcome back");
    terminal.types(&format!("{PASSPHRASE}\r"));
    terminal.shows("online");
    terminal
}

fn says(client: &mut Client, room: &Value, text: &str) -> Value {
    client.ask("say", json!({"room": room, "text": text})).expect("said")["id"].clone()
}

/// Waits for that line of somebody else in the room; its id.
fn hears(client: &mut Client, text: &str) -> Value {
    let heard = client.told("message", |line| line["author"] == "them" && line["text"] == text);
    assert_eq!(heard["name"], "#club");
    heard["id"].clone()
}

#[test]
fn three_in_a_room_over_a_relay_that_is_killed_in_between() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("relay");
    let mut relay = Relay::start(&data);
    let address = relay.address();
    let [mut ada, mut ben, mut cleo] =
        ["ada", "ben", "cleo"].map(|name| joined(dir.path(), name, &relay.link));
    let made = ada.ask("new_room", json!({"name": "club", "people": ["ben", "cleo"]})).expect("made");
    let room = made["room"].clone();
    for client in [&mut ben, &mut cleo] {
        client.told("request", |request| request["room"] == room && request["by"] == "ada");
        client.ask("accept_room", json!({"room": room})).expect("taken");
    }
    says(&mut ada, &room, "welcome");
    for client in [&mut ben, &mut cleo] {
        hears(client, "welcome");
    }
    // Killed while lines are on their way, again and again: each arrives once, in one order.
    for round in 0..3 {
        for (i, client) in [&mut ada, &mut ben, &mut cleo].into_iter().enumerate() {
            says(client, &room, &format!("{round} {i}"));
        }
        relay.kill();
        says(&mut ben, &room, &format!("{round} without a relay"));
        relay = Relay::start_at(&data, &address);
        for (i, client) in [&mut ada, &mut ben, &mut cleo].into_iter().enumerate() {
            for other in (0..3).filter(|other| *other != i) {
                hears(client, &format!("{round} {other}"));
            }
            if i != 1 {
                hears(client, &format!("{round} without a relay"));
            }
        }
    }
    // An answer, a reaction, other words, a pin: by `#club` where people stand otherwise.
    let question = says(&mut ada, &room, "who brings the cake?");
    hears(&mut ben, "who brings the cake?");
    let answer = ben.ask("say", json!({"room": "#club", "text": "I do", "reply": question})).expect("said");
    let heard = cleo.told("message", |line| line["text"] == "I do");
    assert_eq!((&heard["reply"], &heard["by"]), (&question, &json!("ben")));
    let id = answer["id"].clone();
    hears(&mut ada, "I do");
    cleo.ask("react", json!({"with": "#club", "id": id, "sign": "+1"})).expect("done");
    ada.ask("pin", json!({"with": "#club", "id": id})).expect("done");
    ben.ask(
        "edit",
        json!({"with": format!("#{}", room.as_str().expect("a number")), "id": id, "text": "we do"}),
    )
    .expect("done");
    assert_eq!(cleo.ask("pin", json!({"with": "#club", "id": id})), Err(-32021), "a plain member does not");
    assert_eq!(cleo.ask("delete", json!({"with": "#club", "id": id})), Err(-32021));
    let forward = json!({"with": "#club", "id": id, "to": "nobody-there"});
    assert_eq!(cleo.ask("forward", forward), Err(-32007), "it would go to whoever takes that name");
    assert_eq!(cleo.ask("pins", json!({"with": "#nowhere"})), Err(-32022));
    for change in ["react", "pin", "edit"] {
        ada.told("change", |told| told["id"] == id && told["change"] == change && told["room"] == room)
            .as_object()
            .expect("an object");
    }
    for change in ["pin", "edit"] {
        cleo.told("change", |told| told["id"] == id && told["change"] == change);
    }
    let pins = cleo.ask("pins", json!({"with": "#club"})).expect("listed");
    assert_eq!(pins["pins"][0]["text"], "we do", "{pins}");
    let rings = cleo.ask("mute", json!({"with": "#club", "rings": "mentions", "for": "2h"})).expect("set");
    assert_eq!(rings["rings"], "mentions");
    // Found by room and by person.
    let found = cleo.ask("search", json!({"query": "cake in:#club from:ada"})).expect("found");
    assert_eq!(found["lines"].as_array().map(Vec::len), Some(1), "{found}");

    // A file for all, the relay killed in the middle of it.
    let content: Vec<u8> = (0..5_000_000_u32).map(|i| (i * 31 % 251) as u8).collect();
    let path = dir.path().join("film.mkv");
    std::fs::write(&path, &content).expect("written");
    let sent = ada.ask("send_file", json!({"to": "#club", "path": path})).expect("read");
    let id = sent["id"].clone();
    for client in [&mut ben, &mut cleo] {
        client.told("file", |file| file["id"] == id && file["room"] == room);
    }
    relay.kill();
    let _relay = Relay::start_at(&data, &address);
    for (name, client) in [("ben", &mut ben), ("cleo", &mut cleo)] {
        let folder = dir.path().join(format!("saved by {name}"));
        // They know each other from the room alone.
        client.ask("save_file", json!({"id": id, "folder": folder})).expect("begun");
        let done = client.told("file", |file| file["id"] == id && file["state"] == "done");
        let saved = Path::new(done["path"].as_str().expect("a path"));
        assert!(std::fs::read(saved).expect("it is there") == content, "{name}: bit for bit");
    }
    let history = |client: &mut Client| -> Vec<String> {
        let history = client.ask("room_history", json!({"room": room, "limit": 200})).expect("read");
        let lines = history["lines"].as_array().expect("a list").clone();
        let said = lines.into_iter().filter(|line| line["author"] == "me" || line["author"] == "them");
        // In one order for all.
        said.map(|line| format!("{} {}", line["text"], line["id"])).collect()
    };
    let all = history(&mut ada);
    assert_eq!(all.len(), 1 + 3 * 4 + 2 + 1);
    assert_eq!(history(&mut ben), all);
    assert_eq!(history(&mut cleo), all);
    for client in [ada, ben, cleo] {
        assert!(client.end().1, "it ended well");
    }
}

/// Where the last of these bytes are.
fn last(terminal: &Terminal, part: &[u8]) -> Option<usize> {
    terminal.raw().windows(part.len()).rposition(|some| some == part)
}

/// Waits until these bytes were written after that moment.
fn writes(terminal: &mut Terminal, part: &[u8], after: usize) -> usize {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(at) = last(terminal, part).filter(|at| *at >= after) {
            return at;
        }
        assert!(
            Instant::now() < until,
            "{:?} was not written: {}",
            String::from_utf8_lossy(part),
            terminal.text()
        );
        terminal.listens(Duration::from_millis(50));
    }
}

const KITTY: &str = "\x1bP>|kitty(0.40.1)\x1b\\\x1b_Gi=31;OK\x1b\\";
const IMAGE: &[u8] = b"\x1b_Ga=T,f=100,";
const PUT: &[u8] = b"\x1b_Ga=p,";
const HIDDEN: &[u8] = b"\x1b_Ga=d,d=i,";
const GONE: &[u8] = b"\x1b_Ga=d,d=I,";

/// Ada and Ben, and a picture that Ben sent.
fn with_a_picture(dir: &Path, relay: &Relay) -> Client {
    let mut ada = joined(dir, "ada", &relay.link);
    let mut ben = joined(dir, "ben", &relay.link);
    ada.ask("add", json!({"name": "ben"})).expect("known");
    let path = dir.join("rose.webp");
    let paint = |x: u32, y: u32| image::Rgb([x as u8, (2 * y) as u8, 90]);
    image::RgbImage::from_fn(200, 100, paint).save(&path).expect("saved");
    let sent = ben.ask("send_file", json!({"to": "ada", "path": path})).expect("read");
    ada.told("message", |line| line["id"] == sent["id"]);
    assert!(ada.end().1);
    ben
}

#[test]
fn a_preview_is_an_image_where_the_terminal_takes_those() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let _ben = with_a_picture(dir.path(), &relay);
    let mut screen = unlocked(dir.path(), "ada", &[]);
    screen.shows("rose.webp");
    // Nothing is known of the terminal: characters.
    screen.until("half-blocks", |screen| screen.contents().contains('▀') || screen.contents().contains('▄'));
    assert_eq!(last(&screen, IMAGE), None);
    screen.types(KITTY);
    let first = writes(&mut screen, IMAGE, 0);
    // Help covers it, and it comes back without being sent once more.
    screen.types("\x1bOP");
    screen.shows("Keys and commands");
    let hidden = writes(&mut screen, HIDDEN, first);
    screen.types("\x1b");
    let back = writes(&mut screen, PUT, hidden);
    assert_eq!(last(&screen, IMAGE), Some(first));
    // It moves with the conversation.
    screen.types("a line below\r");
    writes(&mut screen, PUT, back + 1);
    assert_eq!(last(&screen, IMAGE), Some(first));
    screen.types("/quit\r");
    assert!(screen.ends());
    assert!(last(&screen, GONE) > last(&screen, PUT), "nothing of it stays");
}

#[test]
fn behind_a_multiplexer_a_preview_is_characters() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let _ben = with_a_picture(dir.path(), &relay);
    let mut screen = unlocked(dir.path(), "ada", &[("TMUX", "/tmp/none,1,0")]);
    screen.shows("rose.webp");
    screen.types(KITTY);
    screen.listens(Duration::from_secs(2));
    assert_eq!(last(&screen, IMAGE), None);
    screen.until("half-blocks", |screen| screen.contents().contains('▀') || screen.contents().contains('▄'));
    screen.types("/quit\r");
    assert!(screen.ends());
}

#[test]
fn a_wrong_code_is_answered_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let mut ada = joined(dir.path(), "ada", &relay.link);
    let begun = Instant::now();
    let answer = ada.ask("link_device", json!({"code": "babab-zuzuz-babad"}));
    assert_eq!(answer, Err(-32003));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(ada.end().1);
}
