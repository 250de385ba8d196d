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
    /// A message in a timeline, drawn by its author; the same on all ends. It belongs to that account alone, see
    /// [`MessageId::drawn`]; those of a client's own grey lines go nowhere and belong to nobody.
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

impl MessageId {
    /// A fresh one of the account of that root identity key: 8 random bytes, then the first 8 bytes of
    /// SHA-256("subrosa message/1\0" ‖ key ‖ those 8 bytes). Who knows it cannot say anything under it from another
    /// account: that would take a key that hashes to the same 8 bytes, some 2^64 tries.
    pub fn drawn(author: &[u8; 32], rng: &mut (impl RngCore + CryptoRng + ?Sized)) -> Self {
        let mut nonce = [0; 8];
        rng.fill_bytes(&mut nonce);
        Self::with(author, nonce)
    }

    /// This one if it is that account's, else always the same other one, which is.
    #[must_use]
    pub fn under(self, author: &[u8; 32]) -> Self {
        let (nonce, _) = self.0.split_first_chunk().expect("8 of 16 bytes");
        if self == Self::with(author, *nonce) {
            return self;
        }
        let hash = Sha256::new().chain_update(b"subrosa other message/1\0").chain_update(author);
        let hash = hash.chain_update(self.0).finalize();
        let mut nonce = [0; 8];
        nonce.copy_from_slice(&hash[..8]);
        Self::with(author, nonce)
    }

    fn with(author: &[u8; 32], nonce: [u8; 8]) -> Self {
        let hash = Sha256::new().chain_update(b"subrosa message/1\0").chain_update(author);
        let hash = hash.chain_update(nonce).finalize();
        let mut id = [0; 16];
        id[..8].copy_from_slice(&nonce);
        id[8..].copy_from_slice(&hash[..8]);
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

    #[test]
    fn a_message_s_id_is_of_one_account() {
        let (ada, ben) = ([7; 32], [8; 32]);
        let drawn = MessageId::with(&ada, [1, 2, 3, 4, 5, 6, 7, 8]);
        // Both were computed apart from this code.
        assert_eq!(drawn.to_string(), "01020304050607088782880a0206a04b");
        let other = drawn.under(&ben);
        assert_eq!(other.to_string(), "c603e17f0f64e573669e0ee38eb07488");
        assert_eq!((drawn.under(&ada), other.under(&ben)), (drawn, other));
        let mut rng = rand_core::OsRng;
        let drawn = MessageId::drawn(&ada, &mut rng);
        assert_eq!(drawn.under(&ada), drawn);
        assert_ne!(drawn.under(&ben), drawn);
        assert_ne!(drawn, MessageId::drawn(&ada, &mut rng));
    }
}
