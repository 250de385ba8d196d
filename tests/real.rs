//! The real programs: a relay that is killed, clients on a terminal.

use serde_json::json;
use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use subrosa_tests::pty::Terminal;
use subrosa_tests::real::{Client, Relay, program};

/// Long enough for whatever a settled program still has to write.
const SILENCE: Duration = Duration::from_millis(1500);

/// A client of this name at this relay, connected.
fn joined(dir: &Path, name: &str, link: &str) -> Client {
    let mut client = Client::start(&dir.join(name));
    let params = json!({"name": name, "passphrase": "a good passphrase", "relay": link});
    client.ask("register", params).expect("registered");
    client.ask("subscribe", json!({})).expect("subscribed");
    online(&mut client);
    client
}

fn online(client: &mut Client) {
    let until = Instant::now() + Duration::from_secs(60);
    while client.ask("status", json!({})).expect("a status")["link"] != "online" {
        assert!(Instant::now() < until, "never online");
    }
}

fn texts(client: &mut Client, count: usize) -> Vec<String> {
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
