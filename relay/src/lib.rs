//! A subrosa relay: forwards what it cannot read.

pub mod accounts;
pub mod admin;
mod admission;
mod ages;
pub mod blobs;
pub mod config;
mod connection;
pub mod doors;
#[cfg(unix)]
pub mod dumps;
mod era;
pub mod heads;
pub mod invites;
pub mod limits;
pub mod listener;
pub mod log;
pub mod mailbox;
pub mod metrics;
mod outbox;
pub mod passwords;
pub mod porch;
pub mod presence;
mod private;
pub mod records;
pub mod relay;
pub mod rendezvous;
pub mod router;
pub mod server;
pub mod sfu;
mod socket;
mod staged;
pub mod tokens;
#[cfg(unix)]
mod udp;
