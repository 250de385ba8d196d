//! A town: people who talk, call, send files and keep rooms for weeks, while everything goes wrong that
//! can; all of it by one seed.
//!
//! A [`plan::Plan`] is made from the seed up front, played on the `World`, and checked after every step.
//! What fails is made shorter by leaving steps out, and told as a story.

mod alike;
pub mod check;
pub mod plan;
pub mod play;
mod secrets;
pub mod shorten;

pub use plan::{Plan, Size};

/// Plays a town; what went wrong, as a story with the command that plays it again.
///
/// # Errors
/// The story.
pub fn live(plan: &Plan) -> Result<play::Figures, String> {
    play::play(plan).map_err(|wrong| shorten::story(plan, wrong))
}
