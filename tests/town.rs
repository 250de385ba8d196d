//! Whole towns for simulated weeks, by seed: nothing is lost, doubled or out of order, whatever happens.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use subrosa_tests::town::plan::{Step, What};
use subrosa_tests::town::{Plan, live};

/// Towns of a plain `cargo test`.
const SEEDS: u64 = 30;
/// A long run tells after so many how far it is.
const SHOWN: u64 = 500;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// `TOWN_SEED=7 TOWN_STEPS=0,4,9 cargo test --workspace --test stories town::one_seed`: that town, with all
/// its steps or with those.
#[test]
fn one_seed() {
    let plan = Plan::of(number("TOWN_SEED").unwrap_or_default());
    let steps: Option<Vec<usize>> =
        std::env::var("TOWN_STEPS").ok().map(|steps| steps.split(',').flat_map(str::parse).collect());
    let plan = plan.only(|step| steps.as_ref().is_none_or(|steps| steps.contains(&step.number)));
    match live(&plan) {
        Ok(figures) => println!("{figures:?}"),
        Err(story) => panic!("{story}"),
    }
}

/// `TOWN_SEEDS=200` is how many, `TOWN_FROM=1000` where they begin.
#[test]
fn towns_of_many_seeds_live_through_everything() {
    let from = number("TOWN_FROM").unwrap_or_default();
    let next = AtomicU64::new(from);
    let end = from + number("TOWN_SEEDS").unwrap_or(SEEDS);
    let (began, failed) = (Instant::now(), Mutex::new(Vec::new()));
    let lines = AtomicU64::new(0);
    let millis = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let seed = next.fetch_add(1, Ordering::Relaxed)
                    && seed < end
                {
                    if seed > from && (seed - from).is_multiple_of(SHOWN) {
                        eprintln!("{} of {} towns after {:.0?}", seed - from, end - from, began.elapsed());
                    }
                    match live(&Plan::of(seed)) {
                        Ok(figures) => {
                            lines.fetch_add(figures.lines as u64, Ordering::Relaxed);
                            millis.fetch_add(figures.millis, Ordering::Relaxed);
                        }
                        Err(story) => {
                            eprintln!("{story}\n");
                            failed.lock().expect("no thread panics").push(seed);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no thread panics");
    println!(
        "{} towns, {} days, {} lines in {:.1?}",
        end - from,
        millis.into_inner() / 86_400_000,
        lines.into_inner(),
        began.elapsed()
    );
    assert!(failed.is_empty(), "seeds that failed: {failed:?}");
}

/// No plan of a seed is long enough for a last-resort prekey to outlive its time.
#[test]
fn a_town_whose_nights_last_for_weeks() {
    const WEEKS: u64 = 24 * 26;
    let whats = [
        What::Says(0, 1, 3),
        What::Says(1, 0, 2),
        What::Night(WEEKS),
        What::Says(0, 1, 1),
        What::Says(1, 0, 1),
        What::Night(1),
    ];
    let steps = whats.into_iter().enumerate().map(|(number, what)| Step { number, then: 100, what });
    let plan = Plan { seed: 5, people: 2, steps: steps.collect() };
    let figures = live(&plan).unwrap_or_else(|story| panic!("{story}"));
    assert_eq!(figures.lines, 7);
    assert!(figures.millis > WEEKS * 3_600_000);
}

#[test]
fn the_same_seed_is_the_same_story() {
    let plan = Plan::of(3);
    assert_eq!(live(&plan), live(&plan));
}
