//! Names and numbers of people, devices, envelopes, sessions.

use rand_core::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// An account's name at its relay: 1 to 32 of `a-z 0-9 . _ -`, starting with a letter or digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountName(String);

/// Why a name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 32 of a-z, 0-9, '.', '_' and '-', and starts with a letter or digit")]
pub struct BadName;

impl AccountName {
    /// The longest name, in bytes.
    pub const MAX: usize = 32;

    /// Checks a name; upper case is folded to lower case first.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let name = text.trim().to_ascii_lowercase();
        let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
        if first && name.len() <= Self::MAX && name.chars().all(ok) { Ok(Self(name)) } else { Err(BadName) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AccountName {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        // On the wire a name has one spelling only.
        let name = Self::parse(&text)?;
        if name.0 == text { Ok(name) } else { Err(BadName) }
    }
}

impl From<AccountName> for String {
    fn from(name: AccountName) -> String {
        name.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

macro_rules! id16 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// A fresh random one.
            pub fn random(rng: &mut (impl RngCore + CryptoRng + ?Sized)) -> Self {
                let mut bytes = [0; 16];
                rng.fill_bytes(&mut bytes);
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({}…)", stringify!($name), data_encoding::HEXLOWER.encode(&self.0[..4]))
            }
        }
    };
}

id16!(
    /// A device: the first 16 bytes of SHA-256("subrosa device/1\0" ‖ its Ed25519 identity key), so
    /// that whoever claims a device must hold that key.
    DeviceId
);
id16!(
    /// An envelope, drawn by its sender; sending the same one again changes nothing at the relay.
    EnvelopeId
);
id16!(
    /// A message in a timeline, drawn by its author; the same on both ends.
    MessageId
);
id16!(
    /// A conversation, drawn locally.
    RoomId
);
id16!(
    /// A room of several people: the first 16 bytes of SHA-256("subrosa room/1\0" ‖ head of its log's
    /// first entry), so that a room has one beginning only.
    RoomTag
);
id16!(
    /// A door of a room, where people knock who hold its link; derived from the link's secret.
    DoorId
);
id16!(
    /// A call, drawn by the caller.
    CallId
);
id16!(
    /// A one-way pairwise session: the first 16 bytes of its handshake hash.
    SessionId
);
id16!(
    /// A prekey, drawn by its owner.
    PrekeyId
);

impl DeviceId {
    /// The device that an Ed25519 identity key names.
    pub fn of(identity_key: &[u8; 32]) -> Self {
        let hash = Sha256::new().chain_update(b"subrosa device/1\0").chain_update(identity_key).finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        Self(id)
    }
}

/// A place in a device's mailbox, counted from 1; 0 is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Seq(pub u64);

/// A live track at a relay, drawn by the relay; unique while the relay runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TrackId(pub u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_and_bounded() {
        assert_eq!(AccountName::parse(" Ada ").expect("valid").as_str(), "ada");
        for bad in ["", "-ada", "a b", "ädä", &"x".repeat(33), "a/b", "a\u{202e}b"] {
            assert_eq!(AccountName::parse(bad), Err(BadName), "{bad:?}");
        }
        assert!(AccountName::try_from("Ada".to_string()).is_err(), "one spelling on the wire");
    }
}
