//! End-to-end sessions between devices.

pub mod blob;
pub mod vault;
