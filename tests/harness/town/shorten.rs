//! A town that failed, made as short as it goes, and told.

use super::plan::{NAMES, Plan};
use super::play::{Wrong, play};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// How long a failure is made shorter at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// What went wrong, with the fewest steps that were found to lead there.
pub(super) fn story(plan: &Plan, wrong: Wrong) -> String {
    let (plan, wrong) = shorten(plan.only(|step| step.number <= wrong.after), wrong);
    let mut story = format!("seed {}: {}\n\n", plan.seed, wrong.what);
    let _ = writeln!(story, "In a town of {}:", NAMES[..plan.people].join(", "));
    for line in &wrong.told {
        let _ = writeln!(story, "  {line}");
    }
    let steps: Vec<String> = plan.steps.iter().map(|step| step.number.to_string()).collect();
    let _ = write!(
        story,
        "\nAgain, these steps alone:\n  TOWN_SEED={} TOWN_STEPS={} cargo test --workspace --test stories \
         town::one_seed\nor all of them: without TOWN_STEPS.",
        plan.seed,
        steps.join(",")
    );
    story
}

/// Leaves out runs of steps, halves first and single ones last, as long as anything still fails.
fn shorten(plan: Plan, wrong: Wrong) -> (Plan, Wrong) {
    let (mut plan, mut wrong) = (plan, wrong);
    let until = Instant::now() + PATIENCE;
    let mut run = plan.steps.len() / 2;
    while run > 0 {
        let mut from = 0;
        while from < plan.steps.len() {
            if Instant::now() > until {
                return (plan, wrong);
            }
            let gone: Vec<usize> = plan.steps.iter().skip(from).take(run).map(|step| step.number).collect();
            let less = plan.only(|step| !gone.contains(&step.number));
            match play(&less) {
                Err(other) => {
                    plan = less.only(|step| step.number <= other.after);
                    wrong = other;
                }
                Ok(_) => from += run,
            }
        }
        run /= 2;
    }
    (plan, wrong)
}
