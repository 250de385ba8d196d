//! Links to hand to friends: to a relay, `subrosa://HOST:PORT/#FINGERPRINT`, and into a room there,
//! `subrosa://HOST:PORT/join#CODE`. A relay that takes new accounts by invitation only has one in its link:
//! `subrosa://HOST:PORT/?invite=TOKEN#FINGERPRINT`.
//!
//! ```text
//! code     base32 of: version (1) ‖ flags (1) ‖ relay's fingerprint (32) ‖ room tag (16) ‖ secret (16)
//!          ‖ first 4 B of SHA-256("subrosa room link/1\0" ‖ all before)
//! flags    bit 0: the room has a password
//! ```

use super::invite::Invite;
use crate::id::RoomTag;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// Where a relay is and which key it must show.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RelayLink {
    /// A host name or an IP address (IPv6 without brackets).
    pub host: String,
    /// UDP port.
    pub port: u16,
    /// SHA-256 of the relay's certificate (DER): what the client pins.
    pub fingerprint: [u8; 32],
    /// What opens an account there, where that needs an invitation.
    pub invite: Option<Invite>,
}

/// Why text is not a relay link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not of the form at all.
    #[error("a relay link looks like subrosa://HOST:PORT/#FINGERPRINT")]
    Form,
    /// The part behind `#` is cut off or mistyped.
    #[error("the fingerprint behind '#' is 52 letters and digits; this one is cut off or mistyped")]
    Fingerprint,
    /// The part behind `?invite=` is cut off or mistyped.
    #[error("the invitation behind '?invite=' is 26 letters and digits; this one is cut off or mistyped")]
    Invite,
}

/// The relay's UDP port when a link names none. Unassigned at IANA.
pub const PORT: u16 = 4433;

impl FromStr for RelayLink {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() > 400 {
            return Err(Error::Form);
        }
        let rest = text.trim().strip_prefix("subrosa://").ok_or(Error::Form)?;
        let (address, fingerprint) = rest.split_once('#').ok_or(Error::Form)?;
        let (address, invite) = match address.split_once("?invite=") {
            Some((address, invite)) => (address, Some(invite.parse().map_err(|_| Error::Invite)?)),
            None => (address, None),
        };
        let (host, port) = host_and_port(address.strip_suffix('/').unwrap_or(address)).ok_or(Error::Form)?;
        let bytes = data_encoding::BASE32_NOPAD
            .decode(fingerprint.to_ascii_uppercase().as_bytes())
            .map_err(|_| Error::Fingerprint)?;
        let fingerprint = bytes.try_into().map_err(|_| Error::Fingerprint)?;
        Ok(Self { host, port, fingerprint, invite })
    }
}

impl fmt::Display for RelayLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fingerprint = data_encoding::BASE32_NOPAD.encode(&self.fingerprint).to_ascii_lowercase();
        if self.host.contains(':') {
            write!(f, "subrosa://[{}]:{}/", self.host, self.port)?;
        } else {
            write!(f, "subrosa://{}:{}/", self.host, self.port)?;
        }
        if let Some(invite) = &self.invite {
            write!(f, "?invite={}", invite.text().as_str())?;
        }
        write!(f, "#{fingerprint}")
    }
}

/// A way into a room. Whoever has it may knock.
#[derive(Clone, PartialEq, Eq)]
pub struct RoomLink {
    /// The relay that the room's members meet at.
    pub relay: RelayLink,
    /// The room, by the beginning of its log.
    pub room: RoomTag,
    /// What knocks are sealed with: `session::door::Secret`.
    pub secret: Zeroizing<[u8; 16]>,
    /// A password is asked for.
    pub password: bool,
}

/// Why text is not a link into a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoomError {
    /// Not of the form at all.
    #[error("a link into a room looks like subrosa://HOST:PORT/join#CODE")]
    Form,
    /// The part behind `#` is cut off or mistyped.
    #[error("the code behind '#' is cut off or mistyped; copy the whole link")]
    Code,
    /// Of a later kind.
    #[error("this link needs a newer subrosa")]
    Newer,
}

impl RoomLink {
    /// Whether text looks like one, right or not.
    pub fn seems(text: &str) -> bool {
        let text = text.trim();
        text.starts_with(SCHEME) && text.contains("/join#")
    }
}

impl FromStr for RoomLink {
    type Err = RoomError;
    fn from_str(text: &str) -> Result<Self, RoomError> {
        if text.len() > 500 {
            return Err(RoomError::Form);
        }
        let rest = text.trim().strip_prefix(SCHEME).ok_or(RoomError::Form)?;
        let (address, code) = rest.split_once("/join#").ok_or(RoomError::Form)?;
        let (host, port) = host_and_port(address).ok_or(RoomError::Form)?;
        let code = Zeroizing::new(code.to_ascii_uppercase());
        let bytes = data_encoding::BASE32_NOPAD.decode(code.as_bytes()).map_err(|_| RoomError::Code)?;
        let bytes = Zeroizing::new(bytes);
        let (said, sum) = bytes.split_last_chunk::<SUM>().ok_or(RoomError::Code)?;
        if sum != &check(said) {
            return Err(RoomError::Code);
        }
        let (&[version, flags], rest) = said.split_first_chunk::<2>().ok_or(RoomError::Code)?;
        // A flag that is not known changes what the link means.
        if version != VERSION || flags > 1 {
            return Err(RoomError::Newer);
        }
        let rest: &[u8; 64] = rest.try_into().map_err(|_| RoomError::Code)?;
        let (mut fingerprint, mut room, mut secret) = ([0; 32], [0; 16], Zeroizing::new([0; 16]));
        fingerprint.copy_from_slice(&rest[..32]);
        room.copy_from_slice(&rest[32..48]);
        secret.copy_from_slice(&rest[48..]);
        let relay = RelayLink { host, port, fingerprint, invite: None };
        Ok(Self { relay, room: RoomTag(room), secret, password: flags == 1 })
    }
}

impl fmt::Display for RoomLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = Zeroizing::new(vec![VERSION, u8::from(self.password)]);
        said.extend_from_slice(&self.relay.fingerprint);
        said.extend_from_slice(&self.room.0);
        said.extend_from_slice(self.secret.as_slice());
        let sum = check(&said);
        said.extend_from_slice(&sum);
        let code = Zeroizing::new(data_encoding::BASE32_NOPAD.encode(&said).to_ascii_lowercase());
        if self.relay.host.contains(':') {
            write!(f, "{SCHEME}[{}]:{}/join#{}", self.relay.host, self.relay.port, code.as_str())
        } else {
            write!(f, "{SCHEME}{}:{}/join#{}", self.relay.host, self.relay.port, code.as_str())
        }
    }
}

impl fmt::Debug for RoomLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomLink").field("room", &self.room).finish_non_exhaustive()
    }
}

const SCHEME: &str = "subrosa://";

const VERSION: u8 = 1;

/// Bytes of the check sum.
const SUM: usize = 4;

fn check(said: &[u8]) -> [u8; SUM] {
    let hash = Sha256::new().chain_update(b"subrosa room link/1\0").chain_update(said).finalize();
    let mut sum = [0; SUM];
    sum.copy_from_slice(&hash[..SUM]);
    sum
}

/// `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`.
fn host_and_port(address: &str) -> Option<(String, u16)> {
    let (host, port) = match address.strip_prefix('[').and_then(|a| a.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':')?)),
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    let port = port.map_or(Some(PORT), |port| port.parse().ok())?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:%_".contains(c);
    if host.is_empty() || !host.chars().all(plain) || port == 0 {
        return None;
    }
    Some((host.into(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_there_and_back() {
        for host in ["relay.example.org", "192.0.2.7", "2001:db8::1"] {
            let link = RelayLink { host: host.into(), port: 4433, fingerprint: [0xA5; 32], invite: None };
            assert_eq!(link.to_string().parse(), Ok(link));
        }
    }

    #[test]
    fn links_with_an_invitation_there_and_back() {
        for host in ["relay.example.org", "2001:db8::1"] {
            let invite = Some(Invite::of([7; 16]));
            let link = RelayLink { host: host.into(), port: 4433, fingerprint: [0xA5; 32], invite };
            let text = link.to_string();
            assert_eq!(text.parse(), Ok(link));
            assert_eq!(
                text.replace("/?", "?").parse::<RelayLink>().map(|link| link.invite.is_some()),
                Ok(true)
            );
            assert_eq!(text.replace("#", "a#").parse::<RelayLink>(), Err(Error::Invite));
            assert_eq!(text.replace("?invite=", "?other=").parse::<RelayLink>(), Err(Error::Form));
        }
    }

    #[test]
    fn mistyped_links_say_what_is_wrong() {
        let good = RelayLink { host: "h".into(), port: 1, fingerprint: [1; 32], invite: None }.to_string();
        assert_eq!(good[..good.len() - 1].parse::<RelayLink>(), Err(Error::Fingerprint));
        for bad in [
            "",
            "subrosa://",
            "http://h:1/#a",
            "subrosa://h:x/#aa",
            "subrosa://h:1",
            "subrosa://h\u{1b}[2J:1/#aa",
        ] {
            assert_eq!(bad.parse::<RelayLink>(), Err(Error::Form), "{bad:?}");
        }
    }

    fn room_link(host: &str) -> RoomLink {
        let relay = RelayLink { host: host.into(), port: 4433, fingerprint: [0xA5; 32], invite: None };
        RoomLink { relay, room: RoomTag([7; 16]), secret: Zeroizing::new([8; 16]), password: true }
    }

    #[test]
    fn room_links_there_and_back() {
        for host in ["relay.example.org", "192.0.2.7", "2001:db8::1"] {
            let link = room_link(host);
            assert_eq!(link.to_string().parse(), Ok(link.clone()));
            let open = RoomLink { password: false, ..link };
            assert_eq!(open.to_string().parse(), Ok(open.clone()));
            assert!(RoomLink::seems(&open.to_string()));
            assert_eq!(open.to_string().parse::<RelayLink>(), Err(Error::Form));
        }
        assert!(!format!("{:?}", room_link("h")).contains('8'), "the secret does not show");
    }

    #[test]
    fn bytes_of_a_room_link() {
        let text = room_link("h").to_string();
        let code = text.strip_prefix("subrosa://h:4433/join#").expect("of that form").to_ascii_uppercase();
        let bytes = data_encoding::BASE32_NOPAD.decode(code.as_bytes()).expect("base32");
        let want = [&[1, 1][..], &[0xA5; 32], &[7; 16], &[8; 16]].concat();
        assert_eq!(bytes[..66], want);
        let sum = Sha256::digest([b"subrosa room link/1\0".as_slice(), &want].concat());
        assert_eq!(bytes[66..], sum[..4]);
        assert_eq!(text.len(), 134);
    }

    #[test]
    fn mistyped_room_links_say_what_is_wrong() {
        let good = room_link("h").to_string();
        for (at, c) in good.char_indices().skip("subrosa://h:4433/join#".len()) {
            let other = if c == 'a' { "b" } else { "a" };
            let mut bad = good.clone();
            bad.replace_range(at..=at, other);
            assert_eq!(bad.parse::<RoomLink>(), Err(RoomError::Code), "{at}");
        }
        assert_eq!(good[..good.len() - 1].parse::<RoomLink>(), Err(RoomError::Code));
        for bad in [
            "",
            "subrosa://",
            "subrosa://h:1/#a",
            "subrosa:///join#a",
            "subrosa://h:0/join#a",
            "http://h/join#a",
        ] {
            assert_eq!(bad.parse::<RoomLink>(), Err(RoomError::Form), "{bad:?}");
        }
        let newer = |version: u8, flags: u8| {
            let mut said = [&[version, flags][..], &[0; 64]].concat();
            said.extend(check(&said));
            let code = data_encoding::BASE32_NOPAD.encode(&said);
            format!("subrosa://h/join#{code}").parse::<RoomLink>()
        };
        assert!(newer(1, 0).is_ok());
        assert_eq!(newer(2, 0), Err(RoomError::Newer));
        assert_eq!(newer(1, 2), Err(RoomError::Newer));
    }
}
