//! Stories, told through the front door.

mod chat;
mod faults;
mod offline;
mod video;
