//! An invitation to open an account at a relay that asks for one.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// 16 random bytes; written as 26 letters and digits of base32.
#[derive(Clone, Serialize, Deserialize)]
pub struct Invite([u8; 16]);

/// Text that is no invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an invitation is 26 letters and digits; this one is cut off or mistyped")]
pub struct BadInvite;

impl Invite {
    /// Of these bytes.
    pub fn of(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// As it stands in a link.
    pub fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(data_encoding::BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl FromStr for Invite {
    type Err = BadInvite;
    fn from_str(text: &str) -> Result<Self, BadInvite> {
        if text.len() != 26 || !text.is_ascii() {
            return Err(BadInvite);
        }
        let text = Zeroizing::new(text.to_ascii_uppercase());
        let bytes = data_encoding::BASE32_NOPAD.decode(text.as_bytes()).map_err(|_| BadInvite)?;
        let bytes = Zeroizing::new(bytes);
        bytes.as_slice().try_into().map(Self).map_err(|_| BadInvite)
    }
}

impl PartialEq for Invite {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Invite {}

impl Hash for Invite {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Drop for Invite {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invite(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_is_26_letters_and_does_not_show() {
        let invite = Invite::of([0xA5; 16]);
        let text = invite.text();
        assert_eq!(text.len(), 26);
        assert_eq!(text.parse(), Ok(invite.clone()));
        assert_eq!(text.to_ascii_uppercase().parse(), Ok(invite.clone()));
        assert_ne!(invite, Invite::of([0xA4; 16]));
        assert_eq!(format!("{invite:?}"), "Invite(…)");
        for bad in [
            "",
            &text[..25],
            &format!("{}a", text.as_str()),
            "0123456789012345678901234é",
            &text.replace('u', "1"),
        ] {
            assert_eq!(bad.parse::<Invite>(), Err(BadInvite), "{bad}");
        }
        assert_eq!(postcard::to_stdvec(&invite).expect("serialises"), [0xA5; 16]);
    }
}
