//! Everything that a story needs: a world of people, a relay and a network that misbehaves; or the
//! real programs.

pub mod club;
pub mod device;
pub mod files;
pub mod late;
pub mod namespace;
pub mod network;
pub mod past;
pub mod promise;
pub mod proxy;
pub mod pty;
pub mod real;
pub mod record;
pub mod skip;
pub mod town;
pub mod trouble;
pub mod visit;
pub mod words;
pub mod world;

pub use world::{Liar, Mischief, Seen, World};
