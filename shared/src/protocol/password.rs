//! The password login on the wire: OPAQUE messages (RFC 9807), the sealed backup, open sessions.
//!
//! *Setting a password*, on a connection that a device logged in on: `RegisterPassword` →
//! `PasswordAnswer` → `SetPassword`, which replaces the record and both parts of the backup at once.
//!
//! *Logging in by password*, as the first frames of a connection: `PasswordStart` (KE1) →
//! `PasswordChallenge` (KE2) → `PasswordFinish` (KE3) → `PasswordWelcome`. What the relay answers to
//! KE1 has the same form for every name, whether or not somebody has it. Such a connection may fetch
//! the backup and enrol a device, nothing else; the token opens another one like it for a while.

use crate::id::{AccountName, DeviceId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Bytes of a registration request: one ristretto255 element.
pub const REQUEST: usize = 32;
/// Bytes of the answer to it: the evaluated element and the relay's OPAQUE key.
pub const ANSWER: usize = 64;
/// Bytes of the record that a client uploads: key, masking key, envelope.
pub const RECORD: usize = 192;
/// Bytes of KE1.
pub const KE1: usize = 96;
/// Bytes of KE2.
pub const KE2: usize = 320;
/// Bytes of KE3.
pub const KE3: usize = 64;
/// Bytes of the first part of a backup, which the password opens; exactly.
pub const KEYS: usize = 160;
/// The most bytes of the second part, which the first one opens.
pub const STATE_MAX: usize = 128 * 1024;
/// The most sessions in one answer.
pub const SESSIONS_MAX: usize = 128;

/// KE1 for an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The account, whether or not there is one.
    pub name: AccountName,
    /// [`KE1`] bytes.
    pub ke1: Vec<u8>,
}

/// A new password, all or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// OPAQUE's record, [`RECORD`] bytes.
    pub record: Vec<u8>,
    /// Drawn anew with each password: which [`Set::keys`] a later state belongs to.
    pub epoch: Epoch,
    /// First part of the backup, sealed under OPAQUE's export key; [`KEYS`] bytes.
    pub keys: Vec<u8>,
    /// Second part, sealed under a key in the first; at most [`STATE_MAX`] bytes.
    pub state: Vec<u8>,
}

impl Set {
    /// Whether every part keeps its bound.
    pub fn within_bounds(&self) -> bool {
        self.record.len() == RECORD && self.keys.len() == KEYS && self.state.len() <= STATE_MAX
    }
}

/// Which password a backup belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch(pub [u8; 16]);

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({}…)", data_encoding::HEXLOWER.encode(&self.0[..4]))
    }
}

/// Opens the session that a password opened once more.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token(pub [u8; 32]);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What a right password opens.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// For another connection like this one.
    pub token: Token,
    /// How long it holds, milliseconds.
    pub expires_ms: u32,
    /// The backup.
    pub backup: Backup,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("expires_ms", &self.expires_ms).finish_non_exhaustive()
    }
}

/// Both parts of a backup, as they were stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// See [`Set::epoch`].
    pub epoch: Epoch,
    /// See [`Set::keys`].
    pub keys: Vec<u8>,
    /// See [`Set::state`].
    pub state: Vec<u8>,
}

/// A connection or a password session of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Names it for as long as the relay runs.
    pub id: u64,
    /// The device that logged in; `None` for a password session.
    pub device: Option<DeviceId>,
    /// It is the one that asks.
    pub own: bool,
    /// Since when, Unix milliseconds.
    pub since: u64,
    /// The network that it came from (IPv4 /24, IPv6 /56), at most 43 characters.
    pub network: String,
}
