//! What the client and the relay agree on, and the word list.
//!
//! | module | what lives there |
//! |---|---|
//! | [`id`] | names and numbers of people, devices, envelopes, sessions |
//! | [`time`] | time as an argument |
//! | [`content`] | what an opened envelope says |
//! | [`profile`] | what a person says of themselves |
//! | [`protocol`] | bytes on the wire between a device and the relay |
//! | [`session`] | end-to-end sessions (feature `session`; the relay builds without it) |
//! | [`store`] | the local store: a key-value trait, a ratchet file, their implementations |
//! | [`video`] | a raw picture into a frame and back, pure |
//!
//! Words: an *envelope* is sealed, *content* is opened; a *picture* is raw, a *frame* is encoded;
//! a *mailbox* belongs to a device and is read by *seq*; the *outbox* holds envelopes until the
//! relay accepted them, the *inbox* remembers what was opened; a *receipt* comes from the person.

pub mod content;
pub mod id;
pub mod profile;
pub mod protocol;
#[cfg(feature = "session")]
pub mod session;
pub mod store;
pub mod time;
pub mod video;
