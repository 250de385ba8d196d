//! End-to-end sessions between devices.
