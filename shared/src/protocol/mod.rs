//! Bytes on the wire between a device and its relay.
//!
//! A device opens one QUIC connection (ALPN [`ALPN`], the relay's key pinned by fingerprint) and on
//! it one bidirectional stream. Both sides write *frames* there: `length: u32 BE ‖ version: u8 ‖
//! postcard` ([`codec`]). Live media goes in QUIC datagrams ([`media`]).
//!
//! 1. The device sends [`frame::ToRelay::Authenticate`]: its name, its certificate and a signature
//!    over the TLS exporter ([`auth`]). The relay answers `Welcome` or `Refused`. One that came by an
//!    invitation shows that too ([`invite`], `Enter`), for a relay that asks newcomers for one.
//! 2. It publishes prekey bundles ([`prekey`]); others claim them one by one.
//! 3. `Send` hands over one body and a head for each recipient ([`envelope`]). `Accepted` means: on
//!    the relay's disk, safe against power loss, in every named mailbox. The same envelope id again
//!    is answered `Accepted` again and stored once.
//! 4. The relay delivers from the device's mailbox in order of [`crate::id::Seq`], starting after
//!    the last acknowledged one on each connection. `Ack(seq)` erases up to it.
//! 5. `Roster` names the devices that may see this one's presence; two devices see each other when
//!    both name the other.
//! 6. `Publish` opens a track for named devices; `Watch` subscribes to it; datagrams of the track are
//!    forwarded unchanged.
//! 7. A connection may begin with a password instead ([`password`]): it then sees the account's
//!    sealed backup and enrols a new device, which logs in by its own signature.
//!
//! 8. An account's devices are a signed chain ([`devices`]): `PublishDevices` extends it, `Devices`
//!    asks for it. A device that is not in the newest version is refused and forgotten.
//! 9. Files go over streams of their own beside the one for frames ([`blob`]).
//! 10. `Knock` reaches a device that said `WatchDoor` for that door ([`door`]): how people come into a room
//!     by a link.
//! 11. `OpenSlot` opens a rendezvous of a device that is to be linked and one that logged in; the
//!     other one joins with `JoinSlot`, and both `Pass` each other a few small messages. To the one
//!     that is to be linked its frame stands for the login.
//!
//! Everything that a frame refuses is a [`frame::Refusal`]: a closed list.

pub mod auth;
pub mod blob;
pub mod codec;
pub mod devices;
pub mod door;
pub mod envelope;
pub mod frame;
pub mod invite;
pub mod link;
pub mod media;
pub mod password;
pub mod prekey;
pub mod raw;

/// The application protocol in TLS; another number is another protocol.
pub const ALPN: &[u8] = b"subrosa/1";

/// Packets that a peer may leave without an acknowledgement, for 25 ms at most (RFC 9000's default delay).
/// QUIC's own is one; each that is spared saves a system call, a wake-up and a decryption on both sides: a
/// third of what a forwarded datagram costs. What is out of order is acknowledged at once, as ever.
/// <https://datatracker.ietf.org/doc/draft-ietf-quic-ack-frequency/>
pub const ACKED_AT_ONCE: u32 = 10;
