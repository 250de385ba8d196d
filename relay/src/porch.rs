//! The porch: what becomes of a datagram before anybody inside looks at it.
//!
//! Whoever begins a handshake proves first that its address is its own, by answering a retry or with a token
//! from an earlier connection (RFC 9000, 8.1). The retry is shorter than what asked for it, and making it needs
//! no state and none of TLS: a flood from forged addresses costs the relay a few microseconds each and
//! gives whoever is meant less than was sent.

use crate::config::{Link, Rate};
use crate::limits::{Bucket, Buckets, network};
use crate::tokens::{NONCE, Said, TokenKey};
use quinn::ConnectionId;
use rand_core::CryptoRngCore;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use subrosa_shared::time::{Millis, Now};

/// What becomes of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes in.
    Pass,
    /// Nothing.
    Drop,
    /// This goes back, shorter than what came.
    Retry(Vec<u8>),
}

/// Decides by the bytes alone and by how many came before.
pub struct Porch {
    tokens: TokenKey,
    crypto: Arc<dyn quinn::crypto::ServerConfig>,
    retries: Bucket,
    odd: Bucket,
    /// Packets of handshakes from networks that proved an address.
    proven: Buckets<IpAddr>,
}

/// Retries in all: 10,000 a second are more than any crowd that comes back needs, and 2 MB/s.
const RETRIES: Rate = Rate { per_minute: 600_000, burst: 4_000 };

/// What only the QUIC stack can answer, with a packet that is small: another version, a retry answered too late.
const ODD: Rate = Rate { per_minute: 6_000, burst: 100 };

/// Packets that one handshake needs at most from its client, repeats included.
const PACKETS: u32 = 16;

/// The least bytes of a datagram that begins a handshake (RFC 9000, 14.1).
const LEAST: usize = 1200;

/// QUIC version 1.
const V1: u32 = 1;

/// Bytes of the connection ids that the relay chooses, and the tag behind a retry.
const ID: usize = 8;

impl Porch {
    /// `crypto` is what the endpoint behind it speaks.
    pub fn new(
        tokens: TokenKey,
        crypto: Arc<dyn quinn::crypto::ServerConfig>,
        link: &Link,
        mono: Millis,
    ) -> Self {
        let Rate { per_minute, burst } = link.handshakes_per_address;
        let packets =
            Rate { per_minute: per_minute.saturating_mul(PACKETS), burst: burst.saturating_mul(PACKETS) };
        Self {
            tokens,
            crypto,
            retries: Bucket::full(RETRIES, mono),
            odd: Bucket::full(ODD, mono),
            proven: Buckets::new(packets),
        }
    }

    /// What becomes of this datagram.
    pub fn fate(&mut self, datagram: &[u8], from: SocketAddr, now: Now, rng: &mut dyn CryptoRngCore) -> Fate {
        let pass = |passes| if passes { Fate::Pass } else { Fate::Drop };
        let Some(&first) = datagram.first() else { return Fate::Drop };
        if first & LONG == 0 {
            // An open connection's, or one's that is gone: a look-up, and rarely a stateless reset.
            return pass(datagram.len() > ID);
        }
        let Some(long) = Long::parse(datagram) else { return Fate::Drop };
        let whole = datagram.len() >= LEAST;
        if long.version != V1 {
            // Version 0 is an answer, which nobody gives to a relay.
            return pass(long.version != 0 && whole && self.odd.take(ODD, 1, now.mono).is_ok());
        }
        let token = match long.kind {
            Kind::Initial { token } => token,
            Kind::Handshake => return Fate::Pass,
            // Early data is not taken, and only a relay sends retries.
            Kind::Other => return Fate::Drop,
        };
        match self.tokens.says(token, from, now.wall) {
            Said::Here | Said::Before => pass(self.proven.take(&network(from.ip()), 1, now.mono).is_ok()),
            Said::Elsewhere => pass(whole && self.odd.take(ODD, 1, now.mono).is_ok()),
            Said::Nothing if whole && long.fixed && long.to.len() >= ID => {
                match self.retries.take(RETRIES, 1, now.mono) {
                    Ok(()) => Fate::Retry(self.retry(&long, from, now, rng)),
                    Err(_) => Fate::Drop,
                }
            }
            Said::Nothing => Fate::Drop,
        }
    }

    /// RFC 9000, 17.2.5.
    fn retry(&self, long: &Long, from: SocketAddr, now: Now, rng: &mut dyn CryptoRngCore) -> Vec<u8> {
        let mut random = [0; NONCE + ID + 1];
        rng.fill_bytes(&mut random);
        let (nonce, random) = random.split_first_chunk::<NONCE>().expect("it is longer");
        let (id, first) = random.split_first_chunk::<ID>().expect("one more than that");
        let mut bytes = Vec::with_capacity(160);
        bytes.push(LONG | FIXED | RETRY << 4 | first[0] & 0x0F);
        bytes.extend(V1.to_be_bytes());
        bytes.push(long.from.len() as u8);
        bytes.extend(long.from);
        bytes.push(ID as u8);
        bytes.extend(id);
        bytes.extend(self.tokens.retry(from, long.to, now.wall, *nonce));
        let tag = self.crypto.retry_tag(V1, &ConnectionId::new(long.to), &bytes);
        bytes.extend(tag);
        bytes
    }
}

const LONG: u8 = 0x80;
const FIXED: u8 = 0x40;
const RETRY: u8 = 3;

/// The beginning of a packet with a long header (RFC 9000, 17.2).
struct Long<'a> {
    version: u32,
    /// The fixed bit. Who has heard from the relay may clear it (RFC 9287); who begins has no leave to.
    fixed: bool,
    /// The connection ids: whom it is to, and whom an answer is to.
    to: &'a [u8],
    from: &'a [u8],
    kind: Kind<'a>,
}

enum Kind<'a> {
    Initial { token: &'a [u8] },
    Handshake,
    Other,
}

/// The longest connection id of version 1.
const ID_MAX: usize = 20;

impl<'a> Long<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (&first, rest) = bytes.split_first()?;
        let (version, rest) = rest.split_first_chunk()?;
        let version = u32::from_be_bytes(*version);
        let (to, rest) = id(rest, version)?;
        let (from, rest) = id(rest, version)?;
        let kind = match first >> 4 & 3 {
            0 if version == V1 => Kind::Initial { token: token(rest)? },
            2 => Kind::Handshake,
            _ => Kind::Other,
        };
        Some(Self { version, fixed: first & FIXED != 0, to, from, kind })
    }
}

/// Other versions may have longer ones.
fn id(bytes: &[u8], version: u32) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    let length = usize::from(length);
    if version == V1 && length > ID_MAX { None } else { rest.split_at_checked(length) }
}

/// Behind its length, a variable-length integer (RFC 9000, 16) of which two bytes are plenty.
fn token(bytes: &[u8]) -> Option<&[u8]> {
    let (&first, rest) = bytes.split_first()?;
    let (length, rest) = match first >> 6 {
        0 => (usize::from(first), rest),
        1 => {
            let (&second, rest) = rest.split_first()?;
            (usize::from(first & 0x3F) << 8 | usize::from(second), rest)
        }
        _ => return None,
    };
    rest.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::{Key, server_config};
    use rand_core::OsRng;

    const AT: Now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };

    fn porch() -> Porch {
        let (key, link) = (Key::new().expect("made"), Link::default());
        let config = server_config(&key, &link).expect("usable");
        Porch::new(key.tokens(), config.crypto.clone(), &link, AT.mono)
    }

    fn from(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    /// The beginning of an Initial, padded.
    fn initial(token: &[u8], length: usize) -> Vec<u8> {
        let mut bytes = vec![0xC3, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 2, 9, 9, token.len() as u8];
        bytes.extend(token);
        bytes.resize(length.max(bytes.len()), 0);
        bytes
    }

    /// What of a retry is its token.
    fn token(retry: &[u8]) -> &[u8] {
        &retry[5 + 1 + 2 + 1 + ID..retry.len() - 16]
    }

    #[test]
    fn a_stranger_gets_a_retry_that_is_shorter_and_comes_in_with_its_token() {
        let mut porch = porch();
        let Fate::Retry(retry) = porch.fate(&initial(&[], 1200), from(1), AT, &mut OsRng) else {
            panic!("no retry")
        };
        assert!(retry.len() < 160, "{}", retry.len());
        assert_eq!(retry[0] >> 4, 0xF);
        assert_eq!(retry[1..8], [0, 0, 0, 1, 2, 9, 9], "to whom it came from");
        let again = initial(token(&retry), 1200);
        assert_eq!(porch.fate(&again, from(1), AT, &mut OsRng), Fate::Pass);
        // The rest of its handshake has the fixed bit or not.
        for first in [0x83, 0xC3, 0xA3, 0xE3] {
            let mut greased = again.clone();
            greased[0] = first;
            assert_eq!(porch.fate(&greased, from(1), AT, &mut OsRng), Fate::Pass, "{first:x}");
        }
        // It may be shorter.
        assert_eq!(porch.fate(&initial(token(&retry), 60), from(1), AT, &mut OsRng), Fate::Pass);
    }

    #[test]
    fn what_is_too_short_to_begin_a_handshake_gets_nothing() {
        let mut porch = porch();
        for length in 0..1200 {
            let stranger = &initial(&[], 1200)[..length];
            assert_eq!(porch.fate(stranger, from(1), AT, &mut OsRng), Fate::Drop, "{length}");
        }
        let mut short_id = initial(&[], 1200);
        short_id[5] = 7;
        short_id.remove(6);
        short_id.push(0);
        assert_eq!(porch.fate(&short_id, from(1), AT, &mut OsRng), Fate::Drop);
        let mut early = initial(&[], 1200);
        early[0] = 0xD3;
        assert_eq!(porch.fate(&early, from(1), AT, &mut OsRng), Fate::Drop, "0-RTT");
        early[0] = 0xF3;
        assert_eq!(porch.fate(&early, from(1), AT, &mut OsRng), Fate::Drop, "a retry");
        early[0] = 0x83;
        assert_eq!(porch.fate(&early, from(1), AT, &mut OsRng), Fate::Drop, "not QUIC");
    }

    #[test]
    fn retries_and_other_versions_and_one_network_are_bounded() {
        let mut porch = porch();
        let count = |porch: &mut Porch, datagram: &[u8], mono| {
            let now = Now { mono: Millis(mono), ..AT };
            let fates = (0..20_000).map(|_| porch.fate(datagram, from(1), now, &mut OsRng));
            fates.filter(|fate| *fate != Fate::Drop).count()
        };
        assert_eq!(count(&mut porch, &initial(&[], 1200), 0), 4_000);
        assert_eq!(count(&mut porch, &initial(&[], 1200), 100), 1_000, "ten thousand a second");
        let mut other = initial(&[], 1200);
        other[4] = 9;
        assert_eq!(count(&mut porch, &other, 0), 100);
        let token = porch.tokens.retry(from(1), &[1; 8], AT.wall, [1; NONCE]);
        let rate = Link::default().handshakes_per_address;
        let most = (rate.burst * PACKETS) as usize;
        assert_eq!(count(&mut porch, &initial(&token, 1200), 0), most);
        // Another network has its own share.
        let other = SocketAddr::from(([192, 0, 2, 2], 1));
        let token = porch.tokens.retry(other, &[1; 8], AT.wall, [1; NONCE]);
        assert_eq!(porch.fate(&initial(&token, 1200), other, AT, &mut OsRng), Fate::Pass);
    }
}
