//! Stories, told through the front door.

mod chat;
mod faults;
mod mended;
mod offline;
mod video;
