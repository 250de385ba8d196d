//! x
pub mod media;
