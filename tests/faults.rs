//! Processes die between any two effects; relays repeat, swap and forge.

use subrosa::chat::timeline::LineState;
use subrosa_shared::protocol::frame::ToDevice;
use subrosa_tests::{Mischief, World};

#[test]
fn a_client_killed_between_any_two_effects_loses_nothing() {
    for victim in ["ada", "ben"] {
        let mut deaths = 0;
        for effects in 0..60 {
            let mut world = World::with(effects, &["ada", "ben"]);
            world.says("ada", "ben", "before");
            world.says("ben", "ada", "answer");
            world.settle();
            world.kill_after(victim, effects);
            for i in 0..4 {
                world.says("ada", "ben", &format!("ada {i}"));
                world.says("ben", "ada", &format!("ben {i}"));
                world.passes(100);
            }
            deaths += u32::from(!world.alive(victim));
            world.restarts(victim);
            world.passes(5_000);
            // A line whose author died before it was on disk was never written; all others are on
            // both ends, once, in order.
            let (ada, ben) = (world.timeline("ada", "ben"), world.timeline("ben", "ada"));
            for who in ["ada", "ben"] {
                let of = |lines: &[String]| -> Vec<String> {
                    lines.iter().filter(|line| line.starts_with(who)).cloned().collect()
                };
                assert_eq!(of(&ada), of(&ben), "{victim} killed after {effects}: what {who} wrote");
            }
            for (name, with) in [("ada", "ben"), ("ben", "ada")] {
                let marks = world.marks(name, with);
                let all = marks.iter().all(|mark| *mark >= LineState::Delivered);
                assert!(all, "{victim} killed after {effects}: {name} sees {marks:?}");
            }
        }
        // Eight lines written, told of and read are more effects than that.
        assert!(deaths >= 30, "{victim} died {deaths} times");
    }
}

#[test]
fn a_relay_that_withholds_messages_is_betrayed_by_their_marks() {
    let mut world = World::with(8, &["ada", "ben"]);
    world.says("ada", "ben", "begun");
    world.settle();
    world.liar = Some(Box::new(|who, frame| match frame {
        ToDevice::Deliver(_) if who == "ben" => Vec::new(),
        frame => vec![frame],
    }));
    world.says("ada", "ben", "kept back");
    world.says("ada", "ben", "this too");
    world.passes(600_000);
    assert_eq!(world.timeline("ben", "ada"), ["begun"]);
    let marks = world.marks("ada", "ben");
    assert!(marks[0] >= LineState::Delivered, "{marks:?}");
    assert_eq!(marks[1..], [LineState::Sent, LineState::Sent], "a relay cannot make up a receipt");
    // What it let through later is there, once and in order.
    world.liar = None;
    world.says("ada", "ben", "let through");
    world.passes(5_000);
    assert_eq!(world.timeline("ben", "ada"), ["begun", "kept back", "this too", "let through"]);
}

#[test]
fn a_relay_that_repeats_and_swaps_changes_nothing_on_the_screen() {
    let mut world = World::with(7, &["ada", "ben"]);
    world.mischief = Mischief { repeat: 300, late: 200, flip: 0 };
    for i in 0..100 {
        world.says("ada", "ben", &format!("{i}"));
        world.passes(200);
    }
    world.mischief = Mischief::default();
    world.says("ada", "ben", "100");
    world.passes(5_000);
    let mut got = world.timeline("ben", "ada");
    got.sort_by_key(|line| line.parse::<u32>().expect("a number"));
    let want: Vec<_> = (0..=100).map(|i| i.to_string()).collect();
    assert_eq!(got, want);
}
