//! Everything that a story needs: a world of people, a relay and a network that misbehaves.

pub mod network;
pub mod world;

pub use world::{Mischief, World};
