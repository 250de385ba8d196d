//! People come and go; the relay restarts; nothing is lost.

use subrosa::chat::timeline::LineState;
use subrosa_shared::protocol::frame::ToDevice;
use subrosa_shared::protocol::prekey::{Bundle, Kind};
use subrosa_tests::network::Weather;
use subrosa_tests::{Seen, World};

const DAY: u64 = 24 * 3_600_000;

#[test]
fn talk_while_the_other_is_away() {
    let mut world = World::with(1, &["ada", "ben"]);
    world.kill("ben");
    world.settle();
    for text in ["one", "two", "three"] {
        world.says("ada", "ben", text);
    }
    world.settle();
    assert_eq!(world.marks("ada", "ben"), vec![LineState::Sent; 3]);
    world.starts("ben");
    world.settle();
    assert_eq!(world.timeline("ben", "ada"), ["one", "two", "three"]);
    assert_eq!(world.marks("ada", "ben"), vec![LineState::Delivered; 3]);
}

#[test]
fn what_is_written_without_a_connection_goes_out_later() {
    let mut world = World::with(2, &["ada", "ben"]);
    world.relay_crashes();
    world.says("ada", "ben", "are you there?");
    world.passes(3_000);
    assert_eq!(world.marks("ada", "ben"), [LineState::Sending]);
    world.restarts("ada");
    world.start_relay();
    world.passes(3_000);
    assert_eq!(world.timeline("ben", "ada"), ["are you there?"]);
    assert_eq!(world.marks("ada", "ben"), [LineState::Delivered]);
}

#[test]
fn the_relay_restarts_in_the_middle() {
    let mut world = World::with(3, &["ada", "ben"]);
    for round in 0..10 {
        world.says("ada", "ben", &format!("ada {round}"));
        world.says("ben", "ada", &format!("ben {round}"));
        if round % 3 == 1 {
            world.relay_crashes();
            world.passes(200);
            world.start_relay();
        }
        world.passes(2_000);
    }
    world.settle();
    let of = |lines: Vec<String>, who: &str| -> Vec<String> {
        lines.into_iter().filter(|line| line.starts_with(who)).collect()
    };
    let want: Vec<_> = (0..10).map(|round| format!("ada {round}")).collect();
    assert_eq!(of(world.timeline("ben", "ada"), "ada"), want);
    let want: Vec<_> = (0..10).map(|round| format!("ben {round}")).collect();
    assert_eq!(of(world.timeline("ada", "ben"), "ben"), want);
}

#[test]
fn a_bad_line_delays_and_cuts_but_loses_nothing() {
    for seed in 0..8 {
        let mut world = World::with(seed, &["ada", "ben"]);
        world.weather(Weather { delay: 80, jitter: 120, cut: 60, ..Weather::default() });
        for i in 0..40 {
            world.says("ada", "ben", &format!("ada {i}"));
            world.says("ben", "ada", &format!("ben {i}"));
            world.passes(150);
        }
        world.weather(Weather::default());
        world.passes(10_000);
        for (name, with) in [("ada", "ben"), ("ben", "ada")] {
            let lines = world.timeline(name, with);
            let theirs: Vec<_> = lines.iter().filter(|line| line.starts_with(with)).cloned().collect();
            let want: Vec<_> = (0..40).map(|i| format!("{with} {i}")).collect();
            assert_eq!(theirs, want, "seed {seed}, {name}");
            assert!(world.marks(name, with).iter().all(|mark| *mark >= LineState::Delivered), "seed {seed}");
        }
    }
}

#[test]
fn ten_thousand_messages() {
    let mut world = World::with(5, &["ada", "ben"]);
    for i in 0..10_000 {
        world.says("ada", "ben", &format!("{i}"));
        if i % 500 == 0 {
            world.settle();
        }
    }
    world.passes(60_000);
    let want: Vec<_> = (0..10_000).map(|i| i.to_string()).collect();
    assert_eq!(world.timeline("ben", "ada"), want);
    assert!(world.marks("ada", "ben").iter().all(|mark| *mark >= LineState::Delivered));
}

/// Nobody is there for so long; the relay neither.
fn days_pass(world: &mut World, days: u64) {
    world.kill("ada");
    world.settle();
    world.relay_crashes();
    world.passes(days * DAY);
    world.start_relay();
}

#[test]
fn who_was_there_a_moment_before_their_prekeys_were_over_has_one_time_prekeys_for_newcomers() {
    let mut world = World::with(9, &["ada"]);
    days_pass(&mut world, 59);
    world.starts("ada");
    world.settle();
    days_pass(&mut world, 3);
    world.joins("ben");
    world.settle();
    world.seen();
    world.says("ben", "ada", "hello");
    world.settle();
    let claimed = world.seen().into_iter().filter_map(|seen| match seen {
        Seen::To(_, ToDevice::Prekey { bundle, .. }) => Some(Bundle::decode(&bundle).expect("a bundle").kind),
        _ => None,
    });
    assert_eq!(claimed.collect::<Vec<_>>(), [Kind::OneTime]);
    world.starts("ada");
    world.settle();
    assert_eq!(world.timeline("ada", "ben"), ["hello"]);
}
