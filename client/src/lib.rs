//! The subrosa client: one state, one function that changes it, one that draws it.
//!
//! | module | what lives there |
//! |---|---|
//! | [`app`] | `App::update(Event, Now) -> Vec<Effect>`: the only place where state changes |
//! | [`event`], [`effect`] | everything that can happen, everything that can be done about it |
//! | [`chat`] | conversations, timelines, outbox, inbox, calls: pure |
//! | [`ui`] | commands, keys, panes: reads `chat`, never changes it |
//! | [`term`] | what the terminal can do, entering and leaving it |
//! | [`easel`] | pictures on the terminal beside the drawn text |
//! | [`runtime`] | carries effects out: the only place with a clock, threads and sockets |
//! | [`net`] | the connection to the relay |
//! | [`media`], [`studio`] | pictures to the wire and to cells, a package of its own; the threads that run them |
//! | [`text`] | foreign text made harmless and measured |
//! | [`start`] | from a folder and a passphrase to a running client |
//! | [`linking`] | this machine becomes a device of an account that has one |
//! | [`tui`], [`rpc`], [`oneshot`], [`demo`], [`demo_crypto`], [`video_tool`], [`play`], [`cli`] | the front ends |

pub mod app;
pub mod burn;
pub mod chat;
pub mod cli;
pub mod config;
pub mod demo;
pub mod demo_crypto;
pub mod easel;
pub mod effect;
pub mod event;
pub mod export;
pub mod files;
pub mod linking;
pub mod lock;
pub mod locked;
pub mod login;
pub mod net;
pub mod oneshot;
mod passphrase;
pub mod play;
pub mod rpc;
pub mod runtime;
pub mod start;
pub mod stop;
pub mod studio;
pub mod term;
pub mod text;
pub mod tui;
pub mod ui;
pub mod video_tool;

pub use subrosa_media as media;
