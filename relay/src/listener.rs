//! The relay's QUIC endpoint: its key, what it speaks, whom it lets in.

use crate::config;
use crate::limits::network;
use crate::tokens::{self, TokenKey};
use hkdf::Hkdf;
use rand_core::{OsRng, RngCore};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use subrosa_shared::protocol::{ACKED_AT_ONCE, ALPN, blob};

/// The relay's certificate and its secret key. Clients pin the certificate by its fingerprint.
pub struct Key {
    cert: Vec<u8>,
    secret: Vec<u8>,
}

/// The name in the certificate; nobody checks it, since the fingerprint says more.
const CERT_NAME: &str = "subrosa-relay";

/// The most bytes of a key file.
const KEY_MAX: u64 = 64 * 1024;

impl Key {
    /// A new one.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new() -> io::Result<Self> {
        let made = rcgen::generate_simple_self_signed([CERT_NAME.to_string()]).map_err(io::Error::other)?;
        Ok(Self { cert: made.cert.der().to_vec(), secret: made.signing_key.serialize_der() })
    }

    /// Reads the key in this file, or makes one there that only the owner can read.
    ///
    /// # Errors
    /// Those of the file; `InvalidData` when it is not a key.
    pub fn read_or_make(path: &Path) -> io::Result<Self> {
        match File::open(path) {
            Ok(file) => {
                let mut bytes = Vec::new();
                io::Read::read_to_end(&mut io::Read::take(file, KEY_MAX), &mut bytes)?;
                Self::from_bytes(&bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Self::new()?;
                key.write(path)?;
                Ok(key)
            }
            Err(error) => Err(error),
        }
    }

    /// SHA-256 of the certificate.
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(&self.cert).into()
    }

    /// What seals the tokens that prove an address.
    pub fn tokens(&self) -> TokenKey {
        TokenKey::new(self.derive(b"subrosa relay tokens/1\0"))
    }

    fn derive(&self, label: &[u8]) -> [u8; 32] {
        let mut derived = [0; 32];
        Hkdf::<Sha256>::new(None, &self.secret)
            .expand(label, &mut derived)
            .expect("32 bytes are within HKDF's bound");
        derived
    }

    /// `"subrosa relay key/2\n" ‖ length of the certificate: u32 BE ‖ certificate ‖ PKCS #8 key ‖ SHA-256 of
    /// everything between the first line and this`. The first version had no hash.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let body = match bytes.strip_prefix(MAGIC) {
            Some(rest) => {
                let (body, hash) = rest.split_last_chunk::<32>()?;
                (Sha256::digest(body)[..] == hash[..]).then_some(body)?
            }
            None => bytes.strip_prefix(FIRST_MAGIC)?,
        };
        let (length, rest) = body.split_first_chunk()?;
        let (cert, secret) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        (!cert.is_empty() && !secret.is_empty())
            .then(|| Self { cert: cert.to_vec(), secret: secret.to_vec() })
    }

    /// Complete or not at all: written aside, synced, renamed.
    fn write(&self, path: &Path) -> io::Result<()> {
        let aside = path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&aside)?;
        let length = (self.cert.len() as u32).to_be_bytes();
        let body = [length.as_slice(), &self.cert, &self.secret].concat();
        file.write_all(&[MAGIC, &body, &Sha256::digest(&body)].concat())?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        #[cfg(unix)]
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(())
    }
}

const MAGIC: &[u8] = b"subrosa relay key/2\n";
const FIRST_MAGIC: &[u8] = b"subrosa relay key/1\n";

/// What lets a relay that was killed say so once it runs again: the tokens of its stateless resets
/// (RFC 9000, 10.3) follow from its key. Without them clients of the process before would wait until
/// their connection counts as idle.
pub fn endpoint_config(key: &Key) -> quinn::EndpointConfig {
    let reset = key.derive(b"subrosa relay reset/1\0");
    let mut config = quinn::EndpointConfig::new(Arc::new(ResetKey(reset)));
    config.cid_generator(|| Box::new(RandomIds));
    config
}

/// Connection ids that say nothing. quinn's own are checked with a key of the process, which drops
/// packets of the process before instead of answering them.
struct RandomIds;

impl quinn::ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> quinn::ConnectionId {
        let mut id = [0; 8];
        OsRng.fill_bytes(&mut id);
        quinn::ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        8
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// A pseudo-random function from a connection id to its reset token.
struct ResetKey([u8; 32]);

impl ResetKey {
    fn token(&self, id: &[u8], token: &mut [u8]) {
        Hkdf::<Sha256>::from_prk(&self.0)
            .expect("32 bytes are a whole hash")
            .expand(id, token)
            .expect("a token is shorter than HKDF's bound");
    }
}

impl quinn::crypto::HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        self.token(data, signature_out);
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), quinn::crypto::CryptoError> {
        let mut token = [0; 32];
        self.token(data, &mut token);
        // Only ever asked about our own tokens, which nobody else sees: no timing to hide.
        if token == signature { Ok(()) } else { Err(quinn::crypto::CryptoError) }
    }
}

/// The relay's side of TLS 1.3, X25519MLKEM768 first.
///
/// # Errors
/// When the key is not usable.
pub fn tls_config(key: &Key) -> io::Result<rustls::ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(
            vec![rustls::pki_types::CertificateDer::from(key.cert.clone())],
            rustls::pki_types::PrivatePkcs8KeyDer::from(key.secret.clone()).into(),
        )
        .map_err(io::Error::other)?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    Ok(tls)
}

/// What the endpoint speaks: TLS, BBR, small buffers.
///
/// # Errors
/// When the key is not usable.
pub fn server_config(key: &Key, link: &config::Link) -> io::Result<quinn::ServerConfig> {
    let tls = tls_config(key)?;
    let quic = quinn::crypto::rustls::QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(quic));
    let mut tokens = quinn::ValidationTokenConfig::default();
    // Two: one may be lost, or be spent on a connection that does not come about.
    tokens.lifetime(tokens::LIFETIME).sent(2).log(Arc::new(tokens::Used::default()));
    config
        .transport_config(Arc::new(transport(link)))
        .token_key(Arc::new(key.tokens()))
        .retry_token_lifetime(tokens::RETRY_LIFETIME)
        .validation_token_config(tokens)
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING)
        .incoming_buffer_size_total(MAX_INCOMING as u64 * INCOMING);
    Ok(config)
}

/// Handshakes that wait to be looked at; more are turned away.
const MAX_INCOMING: usize = 1024;

/// Bytes of one of them that wait with it; its first flight is two datagrams.
const INCOMING: u64 = 8 << 10;

/// Bytes of one stream that were sent and not read yet.
const STREAM_WINDOW: u32 = 512 << 10;

/// Bytes that may be under way, each way, of a connection that has not logged in: frames are short until then.
const STRANGER: u32 = 64 << 10;

/// Bytes that may lie here unacknowledged for frames, and for each file that is fetched.
const UNACKNOWLEDGED: u64 = 1 << 20;

/// What a connection may have under way once it has logged in.
pub fn widen(connection: &quinn::Connection) {
    // A file that is read slowly must not take the room of frames: each stream has its own.
    connection.set_receive_window((STREAM_WINDOW * (blob::STREAMS as u32 + 2)).into());
    connection.set_send_window(UNACKNOWLEDGED);
    // One stream for frames, those of files, and one more that lets a client which opened one too many
    // finish cleanly.
    connection.set_max_concurrent_bi_streams((blob::STREAMS as u32 + 2).into());
}

/// What may lie here unacknowledged on a connection: with each file that is being fetched as much more as a client lets
/// come at once of it. Whoever acknowledges nothing pins that.
pub(crate) struct SendWindow {
    set: Box<dyn Fn(u64) + Send + Sync>,
    files: Mutex<u64>,
}

/// A file is being fetched.
pub(crate) struct Fetched(Arc<SendWindow>);

impl SendWindow {
    /// Of a connection that has logged in, or that is about to.
    pub(crate) fn of(connection: &quinn::Connection) -> Arc<Self> {
        let connection = connection.clone();
        Self::over(move |bytes| connection.set_send_window(bytes))
    }

    fn over(set: impl Fn(u64) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { set: Box::new(set), files: Mutex::new(0) })
    }

    /// For one more file, until it is over.
    pub(crate) fn fetch(self: &Arc<Self>) -> Fetched {
        self.count(1);
        Fetched(self.clone())
    }

    fn count(&self, more: i64) {
        // Set under the lock: the last word is that of the last change.
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        *files = files.saturating_add_signed(more);
        (self.set)(UNACKNOWLEDGED * (1 + *files));
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        self.0.count(-1);
    }
}

fn transport(link: &config::Link) -> quinn::TransportConfig {
    let mut transport = quinn::TransportConfig::default();
    let mut acks = quinn::AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(ACKED_AT_ONCE.into());
    let idle = Duration::from_secs(link.idle_seconds.into());
    transport
        .ack_frequency_config(Some(acks))
        // One for frames, and one too many.
        .max_concurrent_bidi_streams(2u8.into())
        .max_concurrent_uni_streams(0u8.into())
        // One frame of the largest size under way, and the next.
        .stream_receive_window(STREAM_WINDOW.into())
        // See `widen`.
        .receive_window(STRANGER.into())
        .send_window(STRANGER.into())
        .max_idle_timeout(idle.try_into().ok())
        // What does not fit is better lost than late.
        .datagram_send_buffer_size(link.media_buffer as usize)
        .datagram_receive_buffer_size(Some(256 << 10))
        .congestion_controller_factory(Arc::new(quinn::congestion::BbrConfig::default()));
    transport
}

/// Seats for connections, in all and for each network.
pub(crate) struct Seats {
    all: usize,
    each: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
    /// The sum of all that is taken.
    open: Arc<AtomicUsize>,
}

/// One connection's seat; given back when dropped.
pub(crate) struct Seat {
    seats: Arc<Seats>,
    network: IpAddr,
}

impl Seats {
    pub(crate) fn new(link: &config::Link) -> Arc<Self> {
        Arc::new(Self {
            all: link.connections as usize,
            each: link.connections_per_address as usize,
            taken: Mutex::default(),
            open: Arc::default(),
        })
    }

    /// How many are taken, from now on.
    pub(crate) fn open(&self) -> Arc<AtomicUsize> {
        self.open.clone()
    }

    /// `None` when all seats, or those of this network, are taken.
    pub(crate) fn take(self: &Arc<Self>, from: SocketAddr) -> Option<Seat> {
        let network = network(from.ip());
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // Changes under this lock only; relaxed, since who reads it elsewhere only wants to know about how many.
        let all = self.open.load(Ordering::Relaxed);
        if all >= self.all || taken.get(&network).is_some_and(|here| *here >= self.each) {
            return None;
        }
        *taken.entry(network).or_default() += 1;
        self.open.store(all + 1, Ordering::Relaxed);
        Some(Seat { seats: self.clone(), network })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        self.seats.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(here) = taken.get_mut(&self.network) {
            *here -= 1;
            if *here == 0 {
                taken.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_lie_unacknowledged_follows_the_files_that_are_fetched() {
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let seen = sizes.clone();
        let window = SendWindow::over(move |bytes| seen.lock().expect("nobody failed").push(bytes >> 20));
        let one = window.fetch();
        let another = window.fetch();
        drop((one, another));
        assert_eq!(*sizes.lock().expect("nobody failed"), [2, 3, 2, 1]);
    }

    #[test]
    fn a_key_is_the_same_after_a_restart_and_only_the_owners() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("relay.key");
        let made = Key::read_or_make(&path).expect("made").fingerprint();
        assert_eq!(Key::read_or_make(&path).expect("read").fingerprint(), made);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        }
        fs::write(&path, b"junk").expect("written");
        assert_eq!(Key::read_or_make(&path).err().map(|e| e.kind()), Some(io::ErrorKind::InvalidData));
    }

    #[test]
    fn a_key_of_the_first_version_is_read_and_a_changed_one_of_this_is_not() {
        let key = Key { cert: vec![1; 300], secret: vec![2; 100] };
        let first = [FIRST_MAGIC, &300u32.to_be_bytes(), &key.cert, &key.secret].concat();
        assert_eq!(Key::from_bytes(&first).map(|key| key.fingerprint()), Some(key.fingerprint()));
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("relay.key");
        key.write(&path).expect("written");
        let bytes = fs::read(&path).expect("reads");
        assert_eq!(Key::from_bytes(&bytes).map(|key| key.fingerprint()), Some(key.fingerprint()));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(
                Key::from_bytes(&changed).is_none() && Key::from_bytes(&bytes[..at]).is_none(),
                "at {at}"
            );
        }
    }

    #[test]
    fn seats_are_bounded_in_all_and_for_each_network_and_given_back() {
        let link = config::Link { connections: 3, connections_per_address: 2, ..config::Link::default() };
        let seats = Seats::new(&link);
        let from = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let one = seats.take(from("192.0.2.1:1")).expect("free");
        let _two = seats.take(from("192.0.2.1:2")).expect("free");
        assert!(seats.take(from("192.0.2.1:3")).is_none(), "two for each");
        let _three = seats.take(from("192.0.2.2:1")).expect("free");
        assert!(seats.take(from("192.0.2.3:1")).is_none(), "three in all");
        drop(one);
        assert!(seats.take(from("192.0.2.3:1")).is_some());
    }
}
