//! End-to-end sessions between devices.

pub mod sframe;
