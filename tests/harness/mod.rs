//! Everything that a story needs: a world of people, a relay and a network that misbehaves; or the
//! real programs.

pub mod network;
pub mod pty;
pub mod real;
pub mod world;

pub use world::{Mischief, Seen, World};
