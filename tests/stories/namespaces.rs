//! Real programs on different networks of one machine: addresses that move, narrow and short links, NATs that
//! forget and hops that bleach. Only root may make such networks; for anybody else these are skipped, and say so.

use crate::paths::Pair;
use crate::real::registered;
use serde_json::Value;
use std::process::Command;
use std::time::Duration;
use subrosa_tests::namespace::{Hop, Space};
use subrosa_tests::proxy::Line;
use subrosa_tests::real::{Client, Relay, program};
use subrosa_tests::skip::skipped;
use tempfile::TempDir;

/// Ada in a network of her own, Ben beside the relay in another.
struct Scene {
    pair: Pair,
    /// Where Ada is; her interface is called `out`.
    hers: Space,
    relay: Space,
    _relay: Relay,
    hop: Option<Hop>,
    _middle: Option<Space>,
    _dir: TempDir,
}

/// Where the relay is; its interface is called `there`.
const RELAY: &str = "10.9.0.1";
const PORT: u16 = 4433;

/// Whether something stands between the two.
#[derive(PartialEq)]
enum Between {
    Nothing,
    AHop,
}

impl Scene {
    fn set(between: &Between) -> Option<Self> {
        let (hers, theirs) = (Space::new()?, Space::new()?);
        let dir = tempfile::tempdir().expect("a folder");
        let relay = format!("{RELAY}:{PORT}");
        let middle = match between {
            Between::Nothing => {
                hers.joins(("out", "10.9.0.2/24"), &theirs, ("there", "10.9.0.1/24"));
                None
            }
            Between::AHop => {
                let middle = Space::new()?;
                hers.joins(("out", "10.8.0.2/24"), &middle, ("in", "10.8.0.1/24"));
                middle.joins(("out", "10.9.0.2/24"), &theirs, ("there", "10.9.0.1/24"));
                Some(middle)
            }
        };
        let mut command = Command::new(program("subrosa-relay"));
        command.args(["run", "--listen", &relay, "--data"]).arg(dir.path().join("relay"));
        let running = Relay::start_as(theirs.inside(&command));
        let hop = middle.as_ref().map(|middle| {
            let front = "10.8.0.1:4433".parse().expect("an address");
            let back = "10.9.0.2".parse().expect("an address");
            Hop::start(middle, front, back, relay.parse().expect("an address"), 1)
        });
        let at = if hop.is_some() { "10.8.0.1:4433" } else { &relay };
        let link = running.link.replacen(&relay, at, 1);
        let start = |name: &str, space: &Space, link: &str| {
            let command = Client::command(&dir.path().join(name));
            registered(Client::start_as(space.inside(&command)), name, link)
        };
        let (ada, ben) = (start("ada", &hers, &link), start("ben", &theirs, &running.link));
        let pair = Pair::of(ada, ben);
        Some(Self { pair, hers, relay: theirs, _relay: running, hop, _middle: middle, _dir: dir })
    }

    fn hop(&mut self) -> &mut Hop {
        self.hop.as_mut().expect("the scene was set with one")
    }

    fn talk(&mut self, word: &str, count: usize) {
        self.pair.talk(word, count);
    }

    /// Ada is at another address from now on, and not at the one before.
    fn moves(&self, from: &str, to: &str) {
        // The kernel takes the second address of a network away with the first: one after the other.
        self.hers.ip(&["address", "delete", from, "dev", "out"]).expect("not the one before");
        self.hers.ip(&["address", "add", to, "dev", "out"]).expect("another address");
    }

    fn ends(self) -> Vec<Value> {
        self.pair.ends()
    }
}

#[test]
fn a_machine_whose_address_changes_keeps_its_session() {
    let Some(mut scene) = Scene::set(&Between::Nothing) else { return };
    scene.moves("10.9.0.2/24", "10.9.0.3/24");
    scene.talk("elsewhere", 5);
    scene.moves("10.9.0.3/24", "10.9.0.77/24");
    scene.talk("further", 5);
    scene.pair.calls("still there?");
    assert_eq!(scene.ends(), Vec::<Value>::new(), "the connection went on");
}

#[test]
fn a_cable_that_is_pulled_and_put_back_elsewhere_only_delays() {
    let Some(mut scene) = Scene::set(&Between::Nothing) else { return };
    scene.hers.ip(&["link", "set", "out", "down"]).expect("pulled");
    scene.pair.ben.ask("send", serde_json::json!({"to": "ada", "text": "are you there?"})).expect("sent");
    scene.hers.ip(&["address", "flush", "dev", "out"]).expect("no address");
    scene.hers.ip(&["address", "add", "10.9.0.9/24", "dev", "out"]).expect("another");
    scene.hers.ip(&["link", "set", "out", "up"]).expect("put back");
    assert_eq!(crate::real::texts(&mut scene.pair.ada, 1), ["are you there?"]);
    scene.talk("here", 3);
    scene.ends();
}

#[test]
fn a_link_of_1280_bytes_carries_the_longest_text() {
    let Some(mut scene) = Scene::set(&Between::Nothing) else { return };
    scene.hers.ip(&["link", "set", "out", "mtu", "1280"]).expect("shorter");
    scene.relay.ip(&["link", "set", "there", "mtu", "1280"]).expect("shorter");
    scene.talk(&"x".repeat(16_000), 2);
    assert_eq!(scene.ends(), Vec::<Value>::new(), "the connection went on");
}

#[test]
fn a_link_of_a_hundred_kilobits_is_only_slow() {
    let Some(mut scene) = Scene::set(&Between::Nothing) else { return };
    for (space, interface) in [(&scene.hers, "out"), (&scene.relay, "there")] {
        if let Err(why) = space.narrows(interface, 100, 400) {
            return skipped(&format!("this kernel narrows no link ({why})"));
        }
    }
    scene.talk(&"y".repeat(4_000), 3);
    assert_eq!(scene.ends(), Vec::<Value>::new(), "the connection went on");
}

#[test]
fn networks_that_lose_and_delay_carry_everything_once_and_in_order() {
    let Some(mut scene) = Scene::set(&Between::AHop) else { return };
    let (delay, jitter) = (Duration::from_millis(40), Duration::from_millis(20));
    scene.hop().becomes(Line { loss: 200, delay, jitter, ..Line::default() });
    scene.talk("far and bad", 12);
    let count = scene.hop().count();
    assert!(count.lost[0] > 0 && count.lost[1] > 0, "{count:?}");
    scene.ends();
}

#[test]
fn a_nat_that_forgets_who_was_silent_costs_no_session() {
    let Some(mut scene) = Scene::set(&Between::AHop) else { return };
    // Longer than a talk is silent, shorter than the ten seconds after which an idle client says something.
    let forgets = Duration::from_secs(3);
    scene.hop().becomes(Line { forgets, ..Line::default() });
    // It is she who breaks the silence: by herself, since what Ben says first is lost on the way until then.
    scene.hop().waits_for_silence();
    scene.pair.calls("are you there?");
    scene.talk("after the silence", 3);
    assert_eq!(scene.ends(), Vec::<Value>::new(), "the connection went on at another port");
}

#[test]
fn a_hop_that_bleaches_ecn_is_noticed_and_costs_nothing() {
    let Some(mut scene) = Scene::set(&Between::AHop) else { return };
    scene.talk("marked", 3);
    let clean = scene.hop().count();
    assert!(clean.marked[0] > 0 && clean.marked[1] > 0, "both sides mark what they send: {clean:?}");
    scene.hop().becomes(Line { bleach: true, ..Line::default() });
    scene.talk("bleached", 5);
    let noticed = scene.hop().count();
    scene.talk("afterwards", 5);
    let after = scene.hop().count();
    assert!(after.came[0] > noticed.came[0] && after.came[1] > noticed.came[1]);
    assert_eq!(after.marked, noticed.marked, "nobody marks any more");
    assert_eq!(scene.ends(), Vec::<Value>::new(), "the connection went on");
}
