//! What the person sees and presses.
pub mod command;
