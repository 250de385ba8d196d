//! All who are in a room have the same room, whatever happens to it meanwhile.

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::frame::ToDevice;
use subrosa_tests::World;
use subrosa_tests::club::{club, does, group, head, lines, speaks};
use subrosa_tests::network::Weather;
use subrosa_tests::words::alarms;

/// Lines that people wrote, with the height of their own log then; each text is written once.
#[derive(Default)]
struct Written(BTreeMap<String, u64>);

impl Written {
    /// Writes in the room, if that can be.
    fn speaks(&mut self, world: &mut World, who: &str, text: &str) {
        let height = head(world, who, "#club").0;
        speaks(world, who, "#club", text);
        if lines(world, who, "#club").iter().any(|line| line.body == text) {
            self.0.insert(text.to_owned(), height);
        }
    }

    /// Everybody who is in has every line that was written since they came, in one order, and no line
    /// that was not.
    fn all_have_it(&self, world: &mut World, story: &str) {
        let state = group(world, "ada", "#club").log.state().clone();
        let want = head(world, "ada", "#club");
        let mut order: BTreeMap<String, (u64, [u8; 16])> = BTreeMap::new();
        for (name, member) in &state.members {
            let who = name.as_str();
            assert_eq!(head(world, who, "#club"), want, "{story}: {who}'s log");
            assert_eq!(alarms(world, who, "#club"), [""; 0], "{story}: {who}");
            let shown = lines(world, who, "#club");
            let texts: Vec<&str> = shown.iter().map(|line| line.body.as_str()).collect();
            let once: BTreeSet<&&str> = texts.iter().collect();
            assert_eq!(once.len(), texts.len(), "{story}: {who} has something twice: {texts:?}");
            for (text, height) in self.0.iter().filter(|(_, height)| **height >= member.since) {
                assert!(
                    texts.contains(&text.as_str()),
                    "{story}: {who} lacks '{text}' of height {height}: {texts:?}"
                );
            }
            for line in &shown {
                assert!(self.0.contains_key(&line.body), "{story}: nobody wrote '{}'", line.body);
                let place = (line.more.clock, line.id.0);
                let known = order.entry(line.body.clone()).or_insert(place);
                assert_eq!(*known, place, "{story}: {who} has '{}' elsewhere", line.body);
            }
        }
    }
}

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("valid")
}

fn below(rng: &mut ChaCha20Rng, most: usize) -> usize {
    rng.next_u32() as usize % most
}

/// Operations and texts at random by up to ten members on a network that cuts and delays: all who are in
/// end with the same log and the same lines.
#[test]
fn random_operations_by_ten_members_converge() {
    for seed in 0..4_u64 {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let all = ["ada", "ben", "cleo", "dan", "eve", "fay", "gus", "hal", "ivy", "jon"];
        let mut world = club(500 + seed, &all[1..6]);
        let mut written = Written::default();
        does(&mut world, "ada", "#club", "/room invites members");
        does(&mut world, "ada", "#club", "/role ben moderator");
        does(&mut world, "ada", "#club", "/role cleo moderator");
        world.settle();
        for who in &all[6..] {
            world.joins(who);
        }
        world.settle();
        world.weather(Weather { delay: 20, jitter: 60, cut: 4, ..Weather::default() });
        for step in 0..80 {
            let who = all[below(&mut rng, all.len())];
            let whom = all[1 + below(&mut rng, all.len() - 1)];
            let inside = world.app(who).chat().room_named("club").is_some_and(|room| room.is_open());
            if inside {
                match below(&mut rng, 12) {
                    0 => does(&mut world, who, "#club", &format!("/topic {step}")),
                    1 | 2 => does(&mut world, who, "#club", &format!("/invite {whom}")),
                    3 if whom != "ben" && whom != "cleo" => {
                        does(&mut world, who, "#club", &format!("/kick {whom}"));
                    }
                    4 => does(&mut world, who, "#club", &format!("/silence {whom}")),
                    5 => does(&mut world, who, "#club", &format!("/unsilence {whom}")),
                    6 => does(&mut world, who, "#club", &format!("/room limit {}", 10 + step)),
                    7 => world.restarts(who),
                    _ => written.speaks(&mut world, who, &format!("{step}")),
                }
            }
            world.passes(5 + below(&mut rng, 115) as u64);
        }
        world.weather(Weather::default());
        for who in all {
            world.cut(who);
        }
        world.settle();
        world.passes(120_000);
        let members: Vec<AccountName> =
            group(&mut world, "ada", "#club").log.state().members.keys().cloned().collect();
        for who in members {
            let there = world.app(who.as_str()).chat().room_named("club").is_some();
            assert!(there, "{seed}: {who} is in the log and has no room");
        }
        assert!(written.0.len() > 10, "{seed}: {} lines", written.0.len());
        written.all_have_it(&mut world, &format!("seed {seed}"));
    }
}

/// What the stories of this file rest on: a line that one member lacks is noticed.
#[test]
#[should_panic(expected = "cleo lacks 'for all'")]
fn a_line_that_one_member_lacks_is_noticed() {
    let mut world = club(600, &["ben", "cleo"]);
    let mut written = Written::default();
    world.liar = Some(Box::new(|who, frame| match frame {
        ToDevice::Deliver(_) if who == "cleo" => Vec::new(),
        frame => vec![frame],
    }));
    written.speaks(&mut world, "ada", "for all");
    world.settle();
    written.all_have_it(&mut world, "a line is lost");
}

/// The same among people who are removed while they write, and come back.
#[test]
fn what_is_written_while_its_author_is_removed_is_on_all_screens_or_on_none() {
    for seed in 0..6_u64 {
        let mut world = club(700 + seed, &["ben", "cleo", "dan"]);
        let mut written = Written::default();
        world.weather(Weather { delay: 40, jitter: 80, ..Weather::default() });
        for round in 0..4 {
            written.speaks(&mut world, "dan", &format!("dan {round}"));
            world.passes(20 * seed);
            does(&mut world, "ada", "#club", "/kick dan");
            written.speaks(&mut world, "dan", &format!("dan again {round}"));
            written.speaks(&mut world, "ben", &format!("ben {round}"));
            if round % 2 == 1 {
                world.restarts("dan");
            }
            world.settle();
            does(&mut world, "ada", "#club", "/invite dan");
            written.speaks(&mut world, "cleo", &format!("cleo {round}"));
            world.settle();
        }
        world.passes(60_000);
        assert!(group(&mut world, "ben", "#club").role(&name("dan")).is_some());
        assert_eq!(written.0.len(), 16, "dan did not know yet");
        written.all_have_it(&mut world, &format!("seed {seed}"));
    }
}
