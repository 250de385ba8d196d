//! Two people see each other.

use subrosa::chat::call::CallState;
use subrosa::effect::Happened;
use subrosa::ui::command::Command;
use subrosa_shared::time::Millis;
use subrosa_shared::video::picture::Picture;
use subrosa_tests::World;
use subrosa_tests::network::{Link, Weather};

fn in_a_call(seed: u64) -> World {
    let mut world = World::with(seed, &["ada", "ben"]);
    world.mirrors("ada");
    world.commands("ada", Command::Add(subrosa_shared::id::AccountName::parse("ben").expect("valid")));
    world.settle();
    world.commands("ada", Command::Video(Some("test".into())));
    world.settle();
    world.commands("ben", Command::Answer(Some("test".into())));
    world.settle();
    world
}

fn state(world: &mut World, name: &str) -> Option<CallState> {
    world.app(name).chat().call.as_ref().map(|call| call.state)
}

fn film(world: &mut World, pictures: u32) {
    for _ in 0..pictures {
        world.films("ada");
        world.films("ben");
        world.passes(100);
    }
}

#[test]
fn ring_answer_see_each_other_hang_up() {
    let mut world = in_a_call(1);
    assert_eq!(
        (state(&mut world, "ada"), state(&mut world, "ben")),
        (Some(CallState::Active), Some(CallState::Active))
    );
    film(&mut world, 20);
    assert!(world.pictures("ada").len() >= 19);
    assert!(world.pictures("ben").len() >= 19);
    world.commands("ben", Command::Hangup);
    world.settle();
    assert_eq!((state(&mut world, "ada"), state(&mut world, "ben")), (None, None));
    let ended = world.told("ada").into_iter().any(|told| matches!(told, Happened::Call { state: None, .. }));
    assert!(ended);
}

#[test]
fn decline_busy_and_no_answer() {
    let mut world = World::with(2, &["ada", "ben", "cyd"]);
    let name = |n: &str| subrosa_shared::id::AccountName::parse(n).expect("valid");
    world.commands("ada", Command::Add(name("ben")));
    world.commands("cyd", Command::Add(name("ben")));
    world.settle();
    world.commands("ada", Command::Video(None));
    world.settle();
    assert_eq!(state(&mut world, "ben"), Some(CallState::Ringing));
    world.commands("cyd", Command::Video(None));
    world.settle();
    assert_eq!(state(&mut world, "cyd"), None, "busy");
    world.commands("ben", Command::Decline);
    world.settle();
    assert_eq!(state(&mut world, "ada"), None);
    world.commands("ada", Command::Video(None));
    world.passes(60_000);
    assert_eq!((state(&mut world, "ada"), state(&mut world, "ben")), (None, None), "nobody answered");
}

#[test]
fn both_ring_at_once_and_it_is_one_call() {
    let mut world = World::with(3, &["ada", "ben"]);
    let name = |n: &str| subrosa_shared::id::AccountName::parse(n).expect("valid");
    world.commands("ada", Command::Add(name("ben")));
    world.commands("ben", Command::Add(name("ada")));
    world.settle();
    world.weather(Weather { delay: 50, ..Weather::default() });
    world.commands("ada", Command::Video(None));
    world.commands("ben", Command::Video(None));
    world.settle();
    assert_eq!(
        (state(&mut world, "ada"), state(&mut world, "ben")),
        (Some(CallState::Active), Some(CallState::Active))
    );
    film(&mut world, 10);
    assert!(!world.pictures("ada").is_empty() && !world.pictures("ben").is_empty());
}

#[test]
fn the_picture_comes_back_after_loss_and_after_a_cut() {
    let mut world = in_a_call(4);
    world.weather(Weather { delay: 30, jitter: 20, loss: 100, twice: 50, ..Weather::default() });
    film(&mut world, 50);
    assert!(world.pictures("ben").len() > 10, "a fifth of the datagrams is lost between the two");
    world.weather(Weather::default());
    film(&mut world, 10);
    world.pictures("ben");
    film(&mut world, 10);
    assert!(world.pictures("ben").len() >= 9, "well again");
    world.cut("ada");
    film(&mut world, 20);
    world.pictures("ben");
    world.pictures("ada");
    film(&mut world, 10);
    assert!(world.pictures("ben").len() >= 9, "on the new track");
    assert!(world.pictures("ada").len() >= 9);
    world.relay_crashes();
    world.passes(300);
    world.start_relay();
    film(&mut world, 30);
    world.pictures("ben");
    film(&mut world, 10);
    assert!(world.pictures("ben").len() >= 9, "after the relay came back");
}

/// What ben saw of ada: how long the picture stood still, longest first.
fn gaps(shown: &[(Millis, Picture)], from: Millis, to: Millis) -> Vec<u64> {
    let mut times: Vec<u64> = shown.iter().map(|(at, _)| at.0).collect();
    times.insert(0, from.0);
    times.push(to.0);
    let mut gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    gaps
}

/// Each picture that was shown is one that left, to the last sample, and they come in order.
fn assert_true_to(left: &[Picture], shown: &[(Millis, Picture)]) {
    let mut next = 0;
    for (at, picture) in shown {
        let found = left[next..].iter().position(|other| other == picture);
        next += found.unwrap_or_else(|| panic!("at {} ms something was shown that never left", at.0)) + 1;
    }
}

#[test]
fn the_picture_recovers_within_half_a_second_from_any_loss() {
    for loss in [50, 200, 400] {
        let mut worst = Vec::new();
        for seed in 10..16 {
            let mut world = in_a_call(seed);
            world.weather(Weather { delay: 15, jitter: 10, ..Weather::default() });
            film(&mut world, 10);
            world.links("ada", Link::lossy(loss));
            let (from, _) = (world.now().mono, world.shown("ben"));
            film(&mut world, 600);
            let shown = world.shown("ben");
            let gaps = gaps(&shown, from, world.now().mono);
            let (left, bytes) = world.mirrored("ada");
            assert_true_to(&left, &shown);
            println!(
                "{} % lost: {} of 600 shown, longest {:?} ms, {} B/s",
                loss / 10,
                shown.len(),
                &gaps[..4],
                bytes / 61
            );
            worst.push(gaps[0]);
        }
        println!("{worst:?}");
        assert!(
            worst.iter().all(|gap| *gap <= 500),
            "{worst:?} ms without a new picture at {loss}/1000 lost"
        );
    }
}
