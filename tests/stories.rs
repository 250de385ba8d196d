//! Stories, told through the front door.

mod badinput;
mod chat;
#[path = "stories/conversation.rs"]
mod conversation;
#[path = "stories/devices.rs"]
mod devices;
mod faults;
#[path = "stories/files.rs"]
mod files;
#[path = "stories/files_real.rs"]
mod files_real;
mod forensic;
#[path = "stories/joining.rs"]
mod joining;
mod links;
#[path = "stories/login.rs"]
mod login;
mod mended;
mod offline;
#[path = "stories/operator.rs"]
mod operator;
#[path = "stories/profile.rs"]
mod profile;
mod real;
#[path = "stories/rooms.rs"]
mod rooms;
#[path = "stories/rpc.rs"]
mod rpc;
mod screens;
#[path = "stories/search.rs"]
mod search;
mod supply;
#[path = "stories/thin.rs"]
mod thin;
#[path = "stories/trust.rs"]
mod trust;
#[path = "stories/vault.rs"]
mod vault;
mod video;
mod wire;
