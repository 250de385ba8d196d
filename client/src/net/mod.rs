//! The connection to the relay.
pub mod link;
pub mod tls;
pub mod visit;
