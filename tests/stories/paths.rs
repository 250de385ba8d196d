//! Real clients and a real relay over a line that moves, loses, narrows and takes its time.

use crate::real::{joined, texts};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use subrosa_tests::proxy::{Line, Proxy};
use subrosa_tests::real::{Client, Relay};
use tempfile::TempDir;

/// Ada and Ben, who know each other.
pub struct Pair {
    pub ada: Client,
    pub ben: Client,
}

impl Pair {
    /// Of two clients that are connected.
    pub fn of(ada: Client, mut ben: Client) -> Self {
        ben.ask("add", json!({"name": "ada"})).expect("known");
        let mut pair = Self { ada, ben };
        pair.talk("before", 2);
        pair
    }

    /// So many texts each way, the other way while the first are under way: each once and in order.
    pub fn talk(&mut self, word: &str, count: usize) {
        let said: Vec<String> = (0..count).map(|i| format!("{word} {i}")).collect();
        for text in &said {
            self.ada.ask("send", json!({"to": "ben", "text": text})).expect("sent");
            self.ben.ask("send", json!({"to": "ada", "text": text})).expect("sent");
        }
        assert_eq!(texts(&mut self.ben, count), said, "to Ben");
        assert_eq!(texts(&mut self.ada, count), said, "to Ada");
    }

    /// Ben says something first, and Ada gets it.
    pub fn calls(&mut self, text: &str) {
        self.ben.ask("send", json!({"to": "ada", "text": text})).expect("sent");
        assert_eq!(texts(&mut self.ada, 1), [text]);
    }

    /// What Ada was told of her link since she was online; and that nothing came twice.
    pub fn ends(self) -> Vec<Value> {
        let of = |lines: &[Value], method: &str| {
            let of = lines.iter().filter(|line| line["method"] == method);
            of.map(|line| line["params"].clone()).collect::<Vec<_>>()
        };
        let twice = |lines: &[Value]| of(lines, "message").iter().any(|line| line["author"] == "them");
        let (ada, well) = self.ada.end();
        assert!(well && !twice(&ada), "{ada:?}");
        let (ben, well) = self.ben.end();
        assert!(well && !twice(&ben), "{ben:?}");
        let links = of(&ada, "link");
        links.into_iter().filter(|link| link["online"] == false).collect()
    }
}

/// Ada behind a proxy, Ben beside the relay.
struct Scene {
    pair: Pair,
    proxy: Proxy,
    _relay: Relay,
    _dir: TempDir,
}

impl Scene {
    fn set(seed: u64) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let relay = Relay::start(&dir.path().join("relay"));
        let (proxy, link) = Proxy::new(&relay.link, seed);
        let ada = joined(dir.path(), "ada", &link);
        let ben = joined(dir.path(), "ben", &relay.link);
        Self { pair: Pair::of(ada, ben), proxy, _relay: relay, _dir: dir }
    }

    fn talk(&mut self, word: &str, count: usize) {
        self.pair.talk(word, count);
    }

    fn ends(self) -> Vec<Value> {
        self.pair.ends()
    }
}

#[test]
fn a_client_whose_address_moves_keeps_its_connection() {
    let mut scene = Scene::set(1);
    scene.proxy.moves_to(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)));
    scene.talk("elsewhere", 5);
    // Once more, and it is the other who speaks first: what the relay sends to the old port is lost until
    // the client next says something.
    scene.proxy.moves_to(IpAddr::V4(Ipv4Addr::LOCALHOST));
    scene.pair.calls("are you there?");
    scene.talk("home", 5);
    assert_eq!(scene.ends(), Vec::<Value>::new(), "the connection went on");
}

#[test]
fn a_fifth_of_all_datagrams_may_be_lost_and_others_overtake() {
    let mut scene = Scene::set(2);
    let jitter = Duration::from_millis(30);
    scene.proxy.becomes(Line { loss: 200, delay: Duration::from_millis(10), jitter, ..Line::default() });
    scene.talk("lossy", 12);
    let count = scene.proxy.count();
    assert!(count.lost[0] > 0 && count.lost[1] > 0, "{count:?}");
    scene.ends();
}

#[test]
fn a_path_of_1280_bytes_carries_the_longest_text() {
    let mut scene = Scene::set(3);
    // What is left of it for UDP over IPv6.
    scene.proxy.becomes(Line { longest: 1232, ..Line::default() });
    let long = "x".repeat(16_000);
    scene.talk(&long, 2);
    // Before, longer ones passed: who has not noticed that yet will still try one.
    let count = scene.proxy.count();
    assert!(count.lost[0] + count.lost[1] > 0, "nothing longer was sent: {count:?}");
    assert_eq!(scene.ends(), Vec::<Value>::new(), "the connection went on");
}

#[test]
#[ignore = "takes ten seconds"]
fn two_seconds_there_and_back_are_only_slow() {
    let mut scene = Scene::set(4);
    scene.proxy.becomes(Line { delay: Duration::from_secs(1), ..Line::default() });
    scene.talk("far", 3);
    assert_eq!(scene.ends(), Vec::<Value>::new(), "the connection went on");
}

#[test]
#[ignore = "takes ten seconds"]
fn ten_kilobits_a_second_carry_a_talk() {
    let mut scene = Scene::set(5);
    scene.proxy.becomes(Line { rate: 10_000, delay: Duration::from_millis(50), ..Line::default() });
    scene.talk("thin", 3);
    scene.ends();
}
