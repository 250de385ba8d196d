//! Scripts: the documented session, and what shells do, with real programs over real QUIC.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use subrosa::media::y4m::Reader;
use subrosa_tests::real::{Client, LOGIN, PATIENCE, Relay, behind, signal, subrosa};

/// The documentation that scripts are written from.
const DOCUMENT: &str = include_str!("../../client/src/rpc/mod.rs");

/// Values of `$words`.
type Words = HashMap<String, String>;

#[test]
fn a_script_under_nohup_outlives_its_terminal() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut nohup = behind(Command::new("nohup"), &Client::command(&dir.path().join("ada")));
    // Standard error on a terminal would go among the answers.
    nohup.stderr(Stdio::null());
    let mut ada = Client::start_as(nohup);
    ada.ask("version", json!({})).expect("it listens by now");
    signal(ada.process(), "HUP");
    ada.ask("version", json!({})).expect("it goes on");
    assert!(ada.end().1);
}

#[test]
fn the_documented_session_happens_as_documented() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let pipe = dir.path().join("ada.y4m");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let mut pictures = Some(watch(&pipe));
    let mut words = Words::from([
        ("relay".into(), relay.link.clone()),
        ("ada_pipe".into(), text(&pipe)),
        ("ben_export".into(), text(&dir.path().join("export.txt"))),
    ]);
    let mut people = HashMap::from(["ada", "ben"].map(|name| (name, Client::start(&dir.path().join(name)))));
    let lines = session();
    assert!(lines.len() > 40, "the session was found");
    for (who, writes, line) in lines {
        let client = people.get_mut(who).expect("ada or ben");
        if writes {
            if line.contains("\"hangup\"") && who == "ada" {
                // Nobody ends a call before there is something to see.
                let seen = pictures.take().expect("one call").recv_timeout(PATIENCE);
                assert_eq!(seen.expect("pictures came"), 3);
            }
            client.write(&filled(line, &words));
        } else {
            let wanted: Value = serde_json::from_str(line).expect("the document is JSON");
            client.take(line, |value| {
                let mut found = words.clone();
                fits(&wanted, value, &mut found).then(|| words = found)
            });
        }
    }
    let exported = std::fs::read_to_string(dir.path().join("export.txt")).expect("exported");
    assert!(exported.contains("ada: are you there?"), "{exported}");
    for (_, client) in people {
        assert!(client.end().1, "it ended well");
    }
}

#[test]
fn all_lines_of_a_script_can_be_written_at_once_and_nothing_is_lost() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let mut ben = registered(&dir.path().join("ben"), "ben", &relay);
    ben.ask("subscribe", json!({"events": ["message"]})).expect("subscribed");
    let mut script = Client::start(&dir.path().join("ada"));
    let register = json!({"name": "ada", "passphrase": "correct horse", "relay": relay.link, "wait": LOGIN});
    let mut lines = vec![json!({"jsonrpc": "2.0", "id": 0, "method": "register", "params": register})];
    lines.extend((1..=100).map(|i| {
        let text = format!("line {i}");
        json!({"jsonrpc": "2.0", "id": i, "method": "send", "params": {"to": "ben", "text": text}})
    }));
    for line in lines {
        script.write(&line.to_string());
    }
    let (answers, well) = script.end();
    assert!(well);
    assert_eq!(answers.iter().filter(|answer| answer["result"]["id"].is_string()).count(), 100);
    for i in 1..=100 {
        let text = format!("line {i}");
        let told = ben.told("message", |message| message["author"] == "them");
        assert_eq!(told["text"], text, "in order");
    }
}

#[test]
fn mistakes_are_answered_and_the_session_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let mut ada = Client::start(&dir.path().join("ada"));
    for (bad, code) in [("nonsense", -32700), ("{}", -32600), ("[]", -32600)] {
        ada.write(bad);
        ada.take(bad, |value| (value["error"]["code"] == code && value["id"].is_null()).then_some(()));
    }
    ada.write(&"x".repeat(3 << 20));
    ada.take("a line that is too long", |value| (value["error"]["code"] == -32700).then_some(()));
    assert_eq!(ada.ask("status", json!({})).expect("status")["profile"], "absent");
    assert_eq!(ada.ask("unlock", json!({"passphrase": "x"})), Err(-32002));
    assert_eq!(ada.ask("send", json!({"to": "ben", "text": "hi"})), Err(-32001));
    assert_eq!(ada.ask("nonsense", json!({})), Err(-32601));
    let register = json!({"name": "ada", "passphrase": "correct horse", "relay": relay.link});
    ada.registers("ada", "correct horse", &relay.link);
    assert_eq!(ada.ask("register", register), Err(-32012));
    assert_eq!(ada.ask("history", json!({"with": "ben"})), Err(-32007));
    for params in [
        json!({"query": " "}),
        json!({"query": "in:nowhere"}),
        json!({"query": "x", "limit": 0}),
        json!({"query": "x", "before": "7"}),
    ] {
        assert_eq!(ada.ask("search", params.clone()), Err(-32602), "{params}");
    }
    let nothing = json!({"lines": [], "next": null, "indexing": null});
    assert_eq!(ada.ask("search", json!({"query": "rose from:ben"})), Ok(nothing));
    assert_eq!(ada.ask("call", json!({"to": "nobody"})), Err(-32006));
    assert_eq!(ada.ask("answer", json!({})), Err(-32008));
    ada.ask("quit", json!({})).expect("the end");
    assert!(ada.end().1);

    let mut again = Client::start(&dir.path().join("ada"));
    assert_eq!(again.ask("unlock", json!({"passphrase": "wrong"})), Err(-32003));
    assert_eq!(again.unlocks("correct horse")["name"], "ada");
    let mut other = Client::start(&dir.path().join("other"));
    let taken = json!({"name": "ada", "passphrase": "x", "relay": relay.link});
    assert_eq!(other.ask("register", taken), Err(-32005), "the name stays its owner's");
}

#[test]
fn a_file_to_nobody_is_an_error_and_a_path_is_taken_as_it_stands_there() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let mut ada = registered(&dir.path().join("ada"), "ada", &relay);
    let mut ben = registered(&dir.path().join("ben"), "ben", &relay);
    ben.ask("subscribe", json!({"events": ["request"]})).expect("subscribed");
    let path = dir.path().join("my \\ 'notes' ");
    std::fs::write(&path, "milk").expect("written");
    assert_eq!(ada.ask("send_file", json!({"to": "bem", "path": path})), Err(-32006));
    assert_eq!(ada.ask("send_file", json!({"to": "ada", "path": path})), Err(-32602));
    let sent = ada.ask("send_file", json!({"to": "ben", "path": path})).expect("read");
    assert_eq!(sent["size"], 4);
    ben.told("request", |request| request["with"] == "ada");
}

#[test]
fn a_text_to_a_name_that_nobody_had_went_to_whoever_took_it_later() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let mut ada = registered(&dir.path().join("ada"), "ada", &relay);
    ada.ask("subscribe", json!({"events": ["link"]})).expect("subscribed");
    assert_eq!(ada.ask("send", json!({"to": "bem", "text": "for ben only"})), Err(-32006));
    assert_eq!(ada.ask("command", json!({"line": "/tell bem for ben only"})), Err(-32006));
    let mut bem = registered(&dir.path().join("bem"), "bem", &relay);
    bem.ask("subscribe", json!({"events": ["message"]})).expect("subscribed");
    ada.ask("send", json!({"to": "bem", "text": "who are you?"})).expect("sent");
    assert_eq!(bem.told("message", |_| true)["text"], "who are you?");

    assert!(relay.terminate().success());
    ada.told("link", |link| link["online"] == false);
    let path = dir.path().join("notes.txt");
    std::fs::write(&path, "milk").expect("written");
    assert_eq!(ada.ask("send", json!({"to": "cleo", "text": "for cleo only"})), Err(-32004));
    assert_eq!(ada.ask("send_file", json!({"to": "cleo", "path": path})), Err(-32004));
    ada.ask("send", json!({"to": "bem", "text": "later, then"})).expect("it waits for the relay");
}

#[test]
fn who_writes_to_somebody_new_stays_in_the_conversation_that_is_open() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let [mut ada, _ben, _cyd] =
        ["ada", "ben", "cyd"].map(|name| registered(&dir.path().join(name), name, &relay));
    ada.ask("add", json!({"name": "cyd"})).expect("added");
    ada.ask("send", json!({"to": "ben", "text": "hello"})).expect("sent");
    assert_eq!(ada.ask("send", json!({"to": "bem", "text": "hello"})), Err(-32006));
    ada.ask("command", json!({"line": "/expire 1h"})).expect("set");
    let mut said = |with: &str| {
        let lines = ada.ask("history", json!({"with": with})).expect("read")["lines"].take();
        let texts = lines.as_array().into_iter().flatten().map(|line| line["text"].to_string());
        texts.collect::<Vec<_>>().join(" ")
    };
    assert!(said("cyd").contains("disappear 1 hour after"), "{}", said("cyd"));
    assert!(!said("ben").contains("disappear"), "{}", said("ben"));
}

#[test]
fn who_wrote_to_the_first_person_ever_set_what_was_meant_for_an_open_conversation_there() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let [mut ada, _ben] = ["ada", "ben"].map(|name| registered(&dir.path().join(name), name, &relay));
    ada.ask("send", json!({"to": "ben", "text": "hello"})).expect("sent");
    ada.ask("command", json!({"line": "/expire 1h"})).expect("heard");
    let lines = ada.ask("history", json!({"with": "ben"})).expect("read")["lines"].take();
    let lines = lines.to_string();
    assert!(lines.contains("hello") && !lines.contains("disappear"), "{lines}");
}

#[test]
fn a_script_that_writes_to_somebody_new_and_quits_is_not_cut_off() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let mut ben = registered(&dir.path().join("ben"), "ben", &relay);
    ben.ask("subscribe", json!({"events": ["message"]})).expect("subscribed");
    let mut script = registered(&dir.path().join("ada"), "ada", &relay);
    let send = json!({"to": "ben", "text": "in passing"});
    let both = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "send", "params": send},
        {"jsonrpc": "2.0", "id": 2, "method": "quit"},
    ]);
    script.write(&both.to_string());
    let answers = script.take("both answers", |value| value.as_array().cloned());
    assert!(answers.iter().any(|answer| answer["result"]["id"].is_string()), "{answers:?}");
    assert_eq!(ben.told("message", |_| true)["text"], "in passing");
    assert!(script.end().1);
}

#[test]
fn a_forward_to_where_nothing_may_be_said_is_an_error() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let [mut ada, _ben, mut cleo] =
        ["ada", "ben", "cleo"].map(|name| registered(&dir.path().join(name), name, &relay));
    let room = gathered(&mut cleo, &mut [("ada", &mut ada)]);
    let recipe = ada.ask("send", json!({"to": "cleo", "text": "two eggs"})).expect("sent")["id"].clone();
    let forward =
        |ada: &mut Client, to: &str| ada.ask("forward", json!({"with": "cleo", "id": recipe, "to": to}));
    ada.ask("add", json!({"name": "ben"})).expect("known");
    assert_eq!(forward(&mut ada, "ben"), Ok(json!({})));
    ada.ask("block", json!({"with": "ben"})).expect("blocked");
    assert_eq!(forward(&mut ada, "ben"), Err(-32015));

    let number = format!("#{room}");
    cleo.ask("change_room", json!({"room": room, "what": "silence", "with": "ada"})).expect("silenced");
    ada.told("message", |message| message["text"] == "cleo silenced you");
    assert_eq!(forward(&mut ada, &number), Err(-32023));
    cleo.ask("change_room", json!({"room": room, "what": "kick", "with": "ada"})).expect("removed");
    ada.told("room", |changed| changed["room"] == room && changed["open"] == false);
    assert_eq!(forward(&mut ada, &number), Err(-32023));
}

#[test]
fn a_script_decides_on_strangers() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let mut ada = registered(&dir.path().join("ada"), "ada", &relay);
    let mut ben = registered(&dir.path().join("ben"), "ben", &relay);
    ben.ask("subscribe", json!({"events": ["message", "request"]})).expect("subscribed");
    ada.ask("subscribe", json!({"events": ["mark"]})).expect("subscribed");
    assert_eq!(ben.ask("accept", json!({"with": "ada"})), Err(-32007), "nobody wrote yet");
    ada.ask("send", json!({"to": "ben", "text": "hello"})).expect("sent");
    ben.told("request", |request| request["with"] == "ada");
    let found = ben.ask("search", json!({"query": "hel from:ada"})).expect("a query");
    assert_eq!(found["lines"][0]["text"], "hello", "{found}");
    let slashed = ben.ask("command", json!({"line": "/search \"hello\""})).expect("a query");
    assert_eq!(slashed["lines"], found["lines"]);
    let standing = |client: &mut Client| {
        let contacts = client.ask("contacts", json!({})).expect("a list");
        contacts["contacts"][0]["standing"].as_str().expect("a word").to_owned()
    };
    assert_eq!(standing(&mut ben), "request");
    assert_eq!(ben.ask("call", json!({"to": "ada"})), Err(-32015), "no contact yet");
    ben.ask("decline", json!({"with": "ada"})).expect("declined");
    assert_eq!(ben.ask("contacts", json!({})).expect("a list"), json!({"contacts": []}));
    ben.ask("block", json!({"with": "ada"})).expect("blocked");
    assert_eq!(standing(&mut ben), "blocked");
    assert_eq!(ben.ask("send", json!({"to": "ada", "text": "no"})), Err(-32015));
    assert_eq!(ben.ask("decline", json!({"with": "ada"})), Err(-32015));
    ben.ask("unblock", json!({"with": "ada"})).expect("unblocked");
    assert_eq!(ben.ask("unblock", json!({"with": "ada"})), Err(-32015), "once");
    let named = ben.ask("petname", json!({"with": "ada", "petname": " The \u{202e}Countess "}));
    assert_eq!(named.expect("named")["petname"], "The Countess");
    assert_eq!(ben.ask("petname", json!({"with": "ada", "petname": "ben"})), Err(-32602), "that is himself");
    // Ben writes first: for Ada, who wrote to him, he is no stranger.
    ben.ask("send", json!({"to": "ada", "text": "now then"})).expect("sent");
    ada.told("mark", |mark| mark["state"] == "sent");
    let number = ada.ask("verify", json!({"with": "ben"})).expect("shown")["number"].clone();
    let same = ben.ask("verify", json!({"with": "ada", "given": number})).expect("compared");
    assert_eq!((&same["same"], &same["verified"]), (&json!(true), &json!(true)));
    let other = "1 2 3 4 5 ".repeat(12);
    let differs = ben.ask("verify", json!({"with": "ada", "given": other})).expect("compared");
    assert_eq!((&differs["same"], &differs["verified"]), (&json!(false), &json!(false)));
    assert_eq!(ben.ask("send", json!({"to": "ada", "text": "a secret"})), Err(-32010));
    ben.ask("trust", json!({"with": "ada"})).expect("he goes on");
    ben.ask("send", json!({"to": "ada", "text": "all the same"})).expect("sent");
}

#[test]
fn a_list_that_no_screen_shows_keeps_no_mark_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let mut ada = registered(&dir.path().join("ada"), "ada", &relay);
    let mut ben = registered(&dir.path().join("ben"), "ben", &relay);
    ada.ask("subscribe", json!({"events": ["mark"]})).expect("subscribed");
    ben.ask("subscribe", json!({"events": ["message"]})).expect("subscribed");
    ben.ask("add", json!({"name": "ada"})).expect("known");
    ben.ask("sessions", json!({})).expect("a list");
    ada.ask("send", json!({"to": "ben", "text": "hello"})).expect("sent");
    ben.told("message", |message| message["text"] == "hello");
    let unread = |ben: &mut Client| ben.ask("status", json!({})).expect("status")["unread"].clone();
    assert_eq!(unread(&mut ben), 1);
    assert_eq!(ben.ask("mark_read", json!({"with": "ada"})), Ok(json!({"unread": 0})));
    assert_eq!(unread(&mut ben), 0);
    ada.told("mark", |mark| mark["state"] == "read");
}

#[test]
fn a_script_says_who_it_is_and_hears_who_others_are() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let mut ada = registered(&dir.path().join("ada"), "ada", &relay);
    let mut ben = registered(&dir.path().join("ben"), "ben", &relay);
    ada.ask("subscribe", json!({"events": ["message", "notice"]})).expect("subscribed");
    ben.ask("subscribe", json!({"events": ["message", "profile"]})).expect("subscribed");
    for (from, other) in [(&mut ada, "ben"), (&mut ben, "ada")] {
        from.ask("add", json!({"name": other})).expect("known");
        from.ask("send", json!({"to": other, "text": "hello"})).expect("sent");
    }
    for client in [&mut ada, &mut ben] {
        client.told("message", |message| message["author"] == "them");
    }
    let own = json!({"of": "ada", "name": "Ada L.", "status": "here", "avatar": false});
    assert_eq!(ada.ask("set_profile", json!({"name": " Ada L.", "status": "here"})), Ok(own.clone()));
    assert_eq!(ada.ask("profile", json!({})), Ok(own));
    let told = json!({"with": "ada", "name": "Ada L.", "status": "here", "avatar": false});
    ben.told("profile", |profile| *profile == told);
    let known = ben.ask("profile", json!({"with": "ada"})).expect("a contact");
    assert_eq!(
        (&known["name"], &known["shown"], &known["like"]),
        (&json!("Ada L."), &json!("Ada L."), &json!(null))
    );
    assert_eq!(ada.ask("set_profile", json!({"name": "x".repeat(65)})), Err(-32602));
    assert_eq!(ben.ask("profile", json!({"with": "nobody"})), Err(-32007));
    ada.ask("set_profile", json!({"avatar": "/nowhere.png"})).expect("it is tried");
    ada.told("notice", |notice| notice["error"] == true);
}

#[test]
fn shells_send_and_tail() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    registered(&dir.path().join("ada"), "ada", &relay).ask("quit", json!({})).expect("the end");
    let mut ben = registered(&dir.path().join("ben"), "ben", &relay);
    ben.ask("subscribe", json!({})).expect("subscribed");

    ben.ask("add", json!({"name": "ada"})).expect("known");
    assert_eq!(pipe_into(&dir.path().join("ada"), &["send", "ben", "--wait", "delivered"], "one\ntwo\n"), 0);
    ben.told("message", |message| message["text"] == "one\ntwo" && message["with"] == "ada");
    assert_eq!(pipe_into(&dir.path().join("ada"), &["send", "nobody"], "hi"), 4);
    assert_eq!(pipe_into(&dir.path().join("nowhere"), &["send", "ben"], "hi"), 6);
    assert_eq!(pipe_into(&dir.path().join("ada"), &["send", "ben"], " \n"), 1);

    let (tail, lines) = tails(&dir.path().join("ada"), &["ben", "--json", "--last", "5"]);
    ben.told("presence", |presence| presence["with"] == "ada" && presence["online"] == true);
    ben.ask("send", json!({"to": "ada", "text": "three"})).expect("sent");
    for text in ["one\ntwo", "three"] {
        let line = lines.recv_timeout(PATIENCE).expect("a line");
        assert_eq!(serde_json::from_str::<Value>(&line).expect("JSON")["text"], text);
    }
    assert_eq!(interrupted(tail), Some(0));
}

#[test]
fn a_file_whose_name_is_no_text_was_taken_for_another_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let at_ada = dir.path().join("ada");
    assert!(registered(&at_ada, "ada", &relay).end().1, "the profile is free");
    let name: &OsStr = OsStrExt::from_bytes(b"caf\xe9.txt");
    for what in ["history", "keys"] {
        let folder = dir.path().join(what);
        std::fs::create_dir(&folder).expect("made");
        let mut export = subrosa(&at_ada);
        export.args(["export", what]).arg(folder.join(name)).stdin(Stdio::null());
        export.env("SUBROSA_PASSPHRASE", "correct horse").env("SUBROSA_EXPORT_PASSPHRASE", "battery staple");
        let out = export.output().expect("starts");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let there = std::fs::read_dir(&folder).expect("a folder");
        let there: Vec<_> = there.map(|entry| entry.expect("read").file_name()).collect();
        assert_eq!(there, [name], "{what}");
    }
    let mut send = subrosa(&at_ada);
    send.args(["send", "ben", "--file"]).arg(dir.path().join("history").join(name)).stdin(Stdio::null());
    let out = send.env("SUBROSA_PASSPHRASE", "correct horse").output().expect("starts");
    let said = String::from_utf8(out.stderr).expect("text");
    assert!(out.status.code() == Some(1) && said.contains("rename the file first"), "{said}");
}

#[test]
fn shells_send_into_a_room_and_tail_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let (at_ada, at_ben) = (dir.path().join("ada"), dir.path().join("ben"));
    let mut ada = registered(&at_ada, "ada", &relay);
    let mut ben = registered(&at_ben, "ben", &relay);
    let room = gathered(&mut ada, &mut [("ben", &mut ben)]);
    for client in [ada, ben] {
        assert!(client.end().1, "the profile is free");
    }

    let (tail, lines) = tails(&at_ben, &["#tea", "--json", "--last", "50"]);
    assert_eq!(pipe_into(&at_ada, &["send", "#tea", "--wait", "delivered"], "one\ntwo\n"), 0);
    let line = theirs(&lines);
    assert_eq!(
        (&line["text"], &line["room"], &line["name"], &line["by"], &line["with"]),
        (&json!("one\ntwo"), &json!(room), &json!("#tea"), &json!("ada"), &Value::Null)
    );
    let long = ["a line of a long log"; 850].join("\n");
    assert!(long.len() > 17 << 10);
    assert_eq!(pipe_into(&at_ada, &["send", "#tea"], &long), 0);
    let parts = [theirs(&lines), theirs(&lines)];
    let parts = parts.map(|line| line["text"].as_str().expect("text").to_owned());
    assert_eq!(parts.join("\n"), long);
    assert_eq!(interrupted(tail), Some(0));

    let (tail, lines) = tails(&at_ada, &["#tea", "--last", "50"]);
    while !lines.recv_timeout(PATIENCE).expect("a line").ends_with(" ada: one") {}
    assert_eq!(pipe_into(&at_ben, &["send", "#tea"], "three"), 0);
    while !lines.recv_timeout(PATIENCE).expect("a line").ends_with(" ben: three") {}
    assert_eq!(interrupted(tail), Some(0));

    let (code, said) = piped(&at_ada, &["send", "#nowhere"], "hi");
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("no room '#nowhere'"), "{said}");
    assert_eq!(pipe_into(&at_ada, &["tail", "#nowhere"], ""), 4);
}

#[test]
fn who_tailed_somebody_unknown_waited_without_a_word() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let at_ada = dir.path().join("ada");
    assert!(registered(&at_ada, "ada", &relay).end().1, "the profile is free");
    let mut command = subrosa(&at_ada);
    command.args(["tail", "nobodyhere"]).env("SUBROSA_PASSPHRASE", "correct horse");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut tail = command.spawn().expect("it starts");
    let said = lines_of(tail.stderr.take().expect("a pipe was asked for"));
    let line = said.recv_timeout(PATIENCE).expect("a line");
    assert!(line.contains("no conversation with 'nobodyhere' yet"), "{line}");
    assert_eq!(interrupted(tail), Some(0));
    assert_eq!(pipe_into(&at_ada, &["tail", "ada"], ""), 4, "the own name");
}

#[test]
fn delivered_into_a_room_means_to_everybody_else_in_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let at_ada = dir.path().join("ada");
    let [mut ada, mut ben, mut cleo] =
        ["ada", "ben", "cleo"].map(|name| registered(&dir.path().join(name), name, &relay));
    let room = gathered(&mut ada, &mut [("ben", &mut ben), ("cleo", &mut cleo)]);
    ada.ask("new_room", json!({"name": "den"})).expect("made");
    for client in [ada, cleo] {
        assert!(client.end().1, "the profile is free");
    }

    let wait = ["send", "#tea", "--wait", "delivered", "--timeout", "1"];
    let (code, said) = piped(&at_ada, &wait, "are you all there?");
    assert_eq!(code, 3, "Ben is there, and Cleo is not: {said}");
    assert!(said.contains("not within the time"), "{said}");

    let mut cleo = Client::start(&dir.path().join("cleo"));
    cleo.ask("subscribe", json!({})).expect("subscribed");
    cleo.unlocks("correct horse");
    let notes = dir.path().join("notes.txt");
    std::fs::write(&notes, "milk").expect("written");
    let send = ["send", "#tea", "--file", notes.to_str().expect("text"), "--wait", "delivered"];
    assert_eq!(pipe_into(&at_ada, &send, ""), 0);
    for client in [&mut ben, &mut cleo] {
        client.told("file", |file| file["name"] == "notes.txt" && file["room"] == room);
    }

    let (code, said) = piped(&at_ada, &["send", "#den", "--wait", "delivered"], "hello?");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("nobody else is in #den"), "{said}");
    assert_eq!(pipe_into(&at_ada, &["send", "#den"], "a note"), 0);
}

#[test]
fn rooms_of_one_name_are_told_apart_by_their_numbers() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let at_ada = dir.path().join("ada");
    let mut ada = registered(&at_ada, "ada", &relay);
    let mut ben = registered(&dir.path().join("ben"), "ben", &relay);
    let own = ada.ask("new_room", json!({"name": "tea"})).expect("made")["room"].clone();
    let bens = gathered(&mut ben, &mut []);
    for client in [&mut ada, &mut ben] {
        client.ask("subscribe", json!({})).expect("subscribed");
    }
    ben.ask("change_room", json!({"room": bens, "what": "invite", "with": "ada"})).expect("invited");
    ada.told("request", |request| request["room"] == bens);
    let meant = ada.ask("room", json!({"room": "tea"})).expect("one");
    assert_eq!(meant["room"], own, "an invitation takes no name away");

    ada.ask("accept_room", json!({"room": bens})).expect("taken");
    assert_eq!(ada.ask("say", json!({"room": "tea", "text": "which one?"})), Err(-32602));
    assert!(ada.end().1, "the profile is free");
    let (code, said) = piped(&at_ada, &["send", "#tea"], "which one?");
    assert_eq!(code, 4, "{said}");
    for number in [own.as_str().expect("a number"), bens.as_str()] {
        assert!(said.contains(number), "{number} is missing in {said}");
    }
    assert_eq!(pipe_into(&at_ada, &["send", &format!("#{bens}")], "this one"), 0);
    ben.told("message", |message| message["text"] == "this one" && message["room"] == bens);
}

#[test]
fn a_room_that_came_while_nobody_looked_is_written_to() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&dir.path().join("relay"));
    let (at_ada, at_ben) = (dir.path().join("ada"), dir.path().join("ben"));
    let mut ada = registered(&at_ada, "ada", &relay);
    let mut ben = registered(&at_ben, "ben", &relay);
    ben.ask("add", json!({"name": "ada"})).expect("known");
    assert!(ben.end().1, "he is away");
    ada.ask("subscribe", json!({})).expect("subscribed");
    ada.ask("new_room", json!({"name": "tea", "people": ["ben"]})).expect("made");
    ada.told("room", |room| room["people"] == 2);
    assert!(ada.end().1, "the invitation lies at the relay");
    assert_eq!(pipe_into(&at_ben, &["send", "#tea"], "here I am"), 0);
    let mut ada = Client::start(&at_ada);
    ada.ask("subscribe", json!({})).expect("subscribed");
    ada.unlocks("correct horse");
    ada.told("message", |message| message["text"] == "here I am" && message["by"] == "ben");
}

/// A room `#tea` of somebody with these people in it; its number.
fn gathered(founder: &mut Client, people: &mut [(&str, &mut Client)]) -> String {
    let names: Vec<&str> = people.iter().map(|(name, _)| *name).collect();
    for (_, client) in people.iter_mut() {
        client.ask("subscribe", json!({})).expect("subscribed");
    }
    let made = founder.ask("new_room", json!({"name": "tea", "people": names})).expect("made");
    let room = made["room"].as_str().expect("a number").to_owned();
    for (_, client) in people {
        client.told("request", |request| request["room"] == room);
        client.ask("accept_room", json!({"room": room})).expect("taken");
    }
    room
}

/// `subrosa tail`, and the lines that it prints.
fn tails(profile: &Path, args: &[&str]) -> (Child, Receiver<String>) {
    let mut tail = subrosa(profile)
        .arg("tail")
        .args(args)
        .env("SUBROSA_PASSPHRASE", "correct horse")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let output = tail.stdout.take().expect("a pipe was asked for");
    (tail, lines_of(output))
}

/// What a program writes, line by line.
fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
    let (to, lines) = channel();
    std::thread::spawn(move || {
        for line in std::io::BufRead::lines(BufReader::new(output)).map_while(Result::ok) {
            if to.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// The next line of somebody else, as JSON.
fn theirs(lines: &Receiver<String>) -> Value {
    loop {
        let line = lines.recv_timeout(PATIENCE).expect("a line");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        if line["author"] == "them" {
            return line;
        }
    }
}

/// Ctrl+C; the exit code.
fn interrupted(mut child: Child) -> Option<i32> {
    signal(child.id(), "INT");
    child.wait().expect("it ended").code()
}

fn registered(profile: &Path, name: &str, relay: &Relay) -> Client {
    let mut client = Client::start(profile);
    client.registers(name, "correct horse", &relay.link);
    client
}

/// Runs the client once with that standard input; its exit code.
fn pipe_into(profile: &Path, args: &[&str], input: &str) -> i32 {
    piped(profile, args, input).0
}

/// The same, and what it said.
fn piped(profile: &Path, args: &[&str], input: &str) -> (i32, String) {
    let mut child = subrosa(profile)
        .args(args)
        .env("SUBROSA_PASSPHRASE", "correct horse")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // It may end before it reads.
    let _ = child.stdin.take().expect("a pipe was asked for").write_all(input.as_bytes());
    let mut said = String::new();
    let mut errors = child.stderr.take().expect("a pipe was asked for");
    errors.read_to_string(&mut said).expect("text");
    let code = child.wait().expect("it ended").code().expect("no signal");
    assert_eq!(code == 0, said.is_empty(), "a sentence comes with a failure and only then: {said:?}");
    (code, said)
}

/// Says how many pictures came through a pipe, once three came or it ended.
fn watch(pipe: &Path) -> Receiver<usize> {
    let (to, seen) = channel();
    let pipe = pipe.to_path_buf();
    std::thread::spawn(move || {
        let file = std::fs::File::open(pipe).expect("a pipe");
        let mut reader = Reader::open(BufReader::new(file)).expect("y4m");
        let mut count = 0;
        while count < 3 && reader.next_picture().expect("whole").is_some() {
            count += 1;
        }
        // The story may have failed already.
        let _ = to.send(count);
    });
    seen
}

/// The session in the documentation: who, whether they write or read, and the message.
fn session() -> Vec<(&'static str, bool, &'static str)> {
    let line = |line: &'static str| {
        let (who, rest) = line.strip_prefix("//! ")?.split_once(['>', '<'])?;
        let writes = line.as_bytes().get(4 + who.len()) == Some(&b'>');
        matches!(who, "ada" | "ben").then(|| (who, writes, rest.trim()))
    };
    DOCUMENT.lines().filter_map(line).collect()
}

/// A line with its `$words` replaced. Longer words first, as one may begin like another.
fn filled(line: &str, words: &Words) -> String {
    let mut names: Vec<_> = words.keys().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    names.into_iter().fold(line.to_string(), |line, name| line.replace(&format!("${name}"), &words[name]))
}

/// Whether a message is the documented one; learns `$words` that are new.
fn fits(wanted: &Value, value: &Value, words: &mut Words) -> bool {
    match (wanted, value) {
        (Value::String(wanted), _) if wanted == "…" => true,
        (Value::String(wanted), Value::String(value)) => match wanted.strip_prefix('$') {
            Some(word) => words.entry(word.into()).or_insert_with(|| value.clone()) == value,
            None => wanted == value,
        },
        (Value::Array(wanted), Value::Array(value)) => {
            wanted.len() == value.len() && wanted.iter().zip(value).all(|(w, v)| fits(w, v, words))
        }
        (Value::Object(wanted), Value::Object(value)) => {
            wanted.len() == value.len()
                && wanted.iter().all(|(key, w)| value.get(key).is_some_and(|v| fits(w, v, words)))
        }
        _ => wanted == value,
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_string()
}
