//! Stories, told through the front door.

mod chat;
mod faults;
mod offline;
#[path = "stories/rpc.rs"]
mod rpc;
mod video;
