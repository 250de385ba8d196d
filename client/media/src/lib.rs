//! Pictures from a source to the wire, and from the wire to cells on the screen.
//!
//! | module | what lives there |
//! |---|---|
//! | [`source`] | where pictures come from: a test picture, files, a pipe, a camera |
//! | [`send`] | pictures into sealed datagrams, pure |
//! | [`receive`] | sealed datagrams into pictures, pure |
//! | [`feedback`] | what a watcher tells the sender, sealed with its own frames |
//! | `path` | how the way to the watcher does, and what may be sent over it; pure |
//! | [`cells`] | a picture into characters with colours, pure |
//! | [`film`] | films that are held in memory |
//! | [`tty`] | each new picture into the few bytes that a terminal needs, pure |
//! | [`player`] | the thread that runs a source and a sender; the newest-picture slot |
//! | [`y4m`] | raw video as other programs read and write it |
//! | [`clip`] | a video file from its first picture to its last |
//! | [`reel`] | encoded frames in a file |
//! | [`meter`] | rates over the last seconds |
//! | [`drain`] | how fast the terminal swallows bytes, and what a picture may add, pure |
//! | [`form`] | whether a picture is shown in characters or as an image, and why, pure |
//! | [`ladder`] | how much of a picture is shown, and why not more, pure |
//!
//! Nothing here knows the application or the screen around the picture.

pub mod avatar;
pub mod cells;
pub mod clip;
pub mod drain;
#[cfg(test)]
mod duet;
mod face;
pub mod feedback;
pub mod film;
pub mod form;
pub mod ladder;
pub mod meter;
mod path;
pub mod player;
pub mod receive;
pub mod reel;
pub mod send;
pub mod source;
pub mod tty;
pub mod y4m;
