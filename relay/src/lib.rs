//! A subrosa relay: forwards what it cannot read.

pub mod accounts;
pub mod config;
pub mod limits;
pub mod mailbox;
pub mod metrics;
pub mod presence;
pub mod relay;
pub mod router;
pub mod sfu;
mod staged;
