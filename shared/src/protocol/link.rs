//! A relay's link, to hand to friends: `subrosa://HOST:PORT/#FINGERPRINT`.

use std::fmt;
use std::str::FromStr;

/// Where a relay is and which key it must show.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RelayLink {
    /// A host name or an IP address (IPv6 without brackets).
    pub host: String,
    /// UDP port.
    pub port: u16,
    /// SHA-256 of the relay's certificate (DER): what the client pins.
    pub fingerprint: [u8; 32],
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
        let address = address.strip_suffix('/').unwrap_or(address);
        let (host, port) = match address.strip_prefix('[').and_then(|a| a.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or(Error::Form)?)),
            None => match address.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            },
        };
        let port = port.map_or(Ok(PORT), |port| port.parse().map_err(|_| Error::Form))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-:%_".contains(c);
        if host.is_empty() || !host.chars().all(plain) || port == 0 {
            return Err(Error::Form);
        }
        let bytes = data_encoding::BASE32_NOPAD
            .decode(fingerprint.to_ascii_uppercase().as_bytes())
            .map_err(|_| Error::Fingerprint)?;
        let fingerprint = bytes.try_into().map_err(|_| Error::Fingerprint)?;
        Ok(Self { host: host.into(), port, fingerprint })
    }
}

impl fmt::Display for RelayLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fingerprint = data_encoding::BASE32_NOPAD.encode(&self.fingerprint).to_ascii_lowercase();
        if self.host.contains(':') {
            write!(f, "subrosa://[{}]:{}/#{fingerprint}", self.host, self.port)
        } else {
            write!(f, "subrosa://{}:{}/#{fingerprint}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_there_and_back() {
        for host in ["relay.example.org", "192.0.2.7", "2001:db8::1"] {
            let link = RelayLink { host: host.into(), port: 4433, fingerprint: [0xA5; 32] };
            assert_eq!(link.to_string().parse(), Ok(link));
        }
    }

    #[test]
    fn mistyped_links_say_what_is_wrong() {
        let good = RelayLink { host: "h".into(), port: 1, fingerprint: [1; 32] }.to_string();
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
}
